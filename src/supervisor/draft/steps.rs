//! Steps: side effects whose outcome is remembered.
//!
//! ```text
//!              begin                     complete
//!  (nothing) ────────► open, attempt 1 ───────────► done or failed
//!                        │        ▲
//!                        │ death  │ begin: attempt + 1, the same
//!                        ▼        │ idempotency key
//!                      open, and nobody knows ──► a review decides, if the
//!                                                 agent asks for that
//! ```
//!
//! An exception of the agent's completes nothing: the step stays open, and
//! its next attempt runs it again. Only a failure that is meant to be final
//! is remembered.

use super::Draft;
use crate::protocol::error::{Kind, WireError};
use crate::protocol::work::{StepBegin, StepComplete};
use crate::supervisor::io::{
    Op, ReviewRef, ReviewRow, ReviewStatus, Scope, StepKey, StepRow, StepState, WorkOp,
};

impl Draft<'_> {
    /// `step.begin`.
    pub(super) fn step_begin(&mut self, begin: &StepBegin) -> Result<(), WireError> {
        if let Scope::Event(seq) = begin.key.scope {
            self.check_held(seq, None)?;
        }
        let context = self.context;
        if let Some(open) = self.doc.agenda.steps.get(&begin.key) {
            if open.incarnation != 0 && open.incarnation == context.incarnation {
                return Err(in_progress(&begin.key));
            }
            let row = open.row.clone();
            check_input(&row, begin)?;
            return self.begin_again(row, begin);
        }
        let Some(found) = self.remembered(&begin.key) else {
            return self.begin_first(begin);
        };
        check_input(&found, begin)?;
        match found.state {
            StepState::Open => self.begin_again(found, begin),
            StepState::Done => self.step_result("done", &found, &outcome("result", &found)),
            StepState::Failed => self.step_result("failed", &found, &outcome("error", &found)),
        }
        .map(drop)
    }

    /// A step that is open no more, as the steps before this one have left it
    /// or the disk has it.
    fn remembered(&self, key: &StepKey) -> Option<StepRow> {
        for op in self.ops.iter().rev() {
            match op {
                Op::Work(WorkOp::Step(row)) if row.key == *key => return Some((**row).clone()),
                Op::Work(WorkOp::ForgetSteps { scope }) if matches!(&key.scope, Scope::Named(named) if **named == **scope) =>
                {
                    return None;
                }
                _ => {}
            }
        }
        self.known.step(key).map(|found| found.row.clone())
    }

    fn begin_first(&mut self, begin: &StepBegin) -> Result<(), WireError> {
        let idempotency_key = format!("{:032x}", self.rng.u128(..)).into();
        self.run(StepRow {
            key: begin.key.clone(),
            state: StepState::Open,
            attempt: 0,
            idempotency_key,
            input_hash: begin.input_hash.clone(),
            outcome: None,
            review: None,
        })
    }

    /// One more attempt.
    fn run(&mut self, mut row: StepRow) -> Result<(), WireError> {
        if self.doc.agenda.steps.is_full() {
            return Err(WireError::invalid_params(
                "too many steps are open; complete some, or forget their scope",
            ));
        }
        row.attempt += 1;
        row.review = None;
        self.step_result("run", &row, "")?;
        // A command does it, which may end while the agent lives; that no two
        // do is the command's care.
        let who = if self.context.by == "operator" { 0 } else { self.context.incarnation };
        self.doc.agenda.steps.begun(row.clone(), who, self.context.incarnation);
        self.put(WorkOp::Step(Box::new(row)));
        Ok(())
    }

    /// An attempt began and never completed: nobody knows whether it came to
    /// pass.
    fn begin_again(&mut self, row: StepRow, begin: &StepBegin) -> Result<(), WireError> {
        if !begin.on_unknown_review && row.review.is_none() {
            return self.run(row);
        }
        let Some(id) = row.review else { return self.ask_about(row) };
        if self.doc.agenda.reviews.get(id).is_some() {
            return self.in_review(&row, id);
        }
        let settled = self.review_of(&row.key, id).map(|review| (review.status, review.to_json()));
        match settled {
            Some((ReviewStatus::Approved, _)) => self.run(row),
            Some((ReviewStatus::Rejected | ReviewStatus::Expired, told)) => {
                let error = format!("{{\"kind\":\"review\",\"review\":{told}}}");
                self.close_step(row, StepState::Failed, error.as_str().into())
            }
            // It is not kept any more: the question is asked again.
            Some((ReviewStatus::Pending, _)) | None => self.ask_about(row),
        }
    }

    fn review_of(&self, key: &StepKey, id: u64) -> Option<&ReviewRow> {
        let with_step = self.known.step(key).and_then(|found| found.review.as_ref());
        with_step.or_else(|| self.known.review(&ReviewRef::Id(id)))
    }

    /// A person is to say whether it is begun again.
    fn ask_about(&mut self, mut row: StepRow) -> Result<(), WireError> {
        let what = match &row.key.scope {
            Scope::Event(seq) => format!("event {seq}"),
            Scope::Named(scope) => format!("{scope:?}"),
        };
        let prompt = format!(
            "step {:?} of {what} began (attempt {}) and never completed: approve to run it again, \
             reject to fail it",
            row.key.name, row.attempt
        );
        let id = self.ask(prompt.into(), None)?;
        row.review = Some(id);
        self.doc.agenda.steps.begun(row.clone(), 0, 0);
        self.put(WorkOp::Step(Box::new(row.clone())));
        self.in_review(&row, id)
    }

    fn in_review(&mut self, row: &StepRow, id: u64) -> Result<(), WireError> {
        self.step_result("review", row, &format!(",\"review_id\":{id}"))
    }

    fn close_step(
        &mut self,
        mut row: StepRow,
        state: StepState,
        error: std::sync::Arc<str>,
    ) -> Result<(), WireError> {
        (row.state, row.outcome, row.review) = (state, Some(error), None);
        self.doc.agenda.steps.closed(&row.key);
        let told = outcome("error", &row);
        self.put(WorkOp::Step(Box::new(row.clone())));
        self.step_result("failed", &row, &told)
    }

    #[expect(clippy::unnecessary_wraps, reason = "ends every way through a step")]
    fn step_result(&mut self, status: &str, row: &StepRow, more: &str) -> Result<(), WireError> {
        let (attempt, key) = (row.attempt, &row.idempotency_key);
        self.result(format_args!(
            "{{\"status\":\"{status}\",\"attempt\":{attempt},\"idempotency_key\":\"{key}\"{more}}}"
        ));
        Ok(())
    }

    /// `step.complete`; its result is another's business.
    pub(super) fn step_complete(&mut self, complete: &StepComplete) -> Result<(), WireError> {
        let open = self.doc.agenda.steps.get(&complete.key);
        if open.is_none_or(|open| open.row.attempt != complete.attempt) {
            let (name, attempt) = (&complete.key.name, complete.attempt);
            return Err(WireError::new(
                Kind::StaleAttempt,
                format!("attempt {attempt} of step {name:?} is not under way; begin it again"),
            ));
        }
        self.patch_text(complete.patch.as_ref())?;
        if let Some(mut row) = self.doc.agenda.steps.closed(&complete.key) {
            row.state = if complete.done { StepState::Done } else { StepState::Failed };
            row.outcome = Some(complete.outcome.clone());
            self.put(WorkOp::Step(Box::new(row)));
        }
        self.progress |= complete.done;
        Ok(())
    }
}

fn outcome(name: &str, row: &StepRow) -> String {
    format!(",\"{name}\":{}", row.outcome.as_deref().unwrap_or("null"))
}

fn in_progress(key: &StepKey) -> WireError {
    WireError::new(
        Kind::StepInProgress,
        format!("step {:?} was begun by this incarnation; complete it first", key.name),
    )
}

/// The same step with other input is another step by mistake.
fn check_input(row: &StepRow, begin: &StepBegin) -> Result<(), WireError> {
    match (&row.input_hash, &begin.input_hash) {
        (Some(before), Some(now)) if before != now => Err(WireError::new(
            Kind::StepMismatch,
            format!(
                "step {:?} was begun with other input; give it another name, or forget its scope",
                row.key.name
            ),
        )),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
