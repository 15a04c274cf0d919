//! Decisions: made, written down, and what their outcomes teach.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::Draft;
use crate::clock::Age;
use crate::engines::confidence::{self, Confidence};
use crate::engines::context::{Context, Risk, Signals};
use crate::engines::decision::{Decision, Priority, Question, Verdict, policy};
use crate::protocol::error::WireError;
use crate::protocol::reply::quote;
use crate::protocol::work::{Call, Decide, EventText, Outcome, OutcomeOf, Process};
use crate::supervisor::agenda::learned::Lesson;
use crate::supervisor::apply::Judgement;
use crate::supervisor::book::Doc;
use crate::supervisor::io::{DecisionRef, DecisionRow, PolicyRow, Seq, WorkOp};
use crate::supervisor::keys;

/// A decision to be, with what it is made of.
struct Made<'a> {
    seq: Seq,
    kind: &'a Arc<str>,
    context: &'a Arc<str>,
    question: Question<'a>,
    q: Option<f64>,
    basis: String,
    decision: Decision<'a>,
}

/// An event on its way to a decision.
enum TakenIn {
    /// It was decided about.
    Before(Box<DecisionRow>),
    /// It is new, or was not decided about yet.
    New(Seq, EventText, Signals),
}

impl Draft<'_> {
    // -------------------------------------------------------------- processing

    /// `event.process`: event, decision and checkpoint together.
    pub(super) fn process(&mut self, process: &Process) -> Result<(), WireError> {
        let judgement = self.context.judgement.clone();
        let (seq, event, signals) = match self.taken_in(process)? {
            TakenIn::Before(row) => return self.process_again(&row),
            TakenIn::New(seq, event, signals) => (seq, event, signals),
        };
        let context = judgement.policy.reading.analyze(&event.kind, &signals);
        let confidence = calculate(
            &self.doc,
            &judgement,
            &signals,
            context.risk,
            Some(&context.context),
            self.context.age,
        );
        let question = Question {
            context: &context.context,
            risk: context.risk,
            confidence: confidence.value,
            environment: self.context.environment,
        };
        let decision = judgement.policy.decide(&[], &question);
        let row = self.decided(
            &judgement,
            Made {
                seq,
                kind: &event.kind,
                context: &context.context,
                question,
                q: Some(confidence.q),
                basis: basis(&signals, &context, &confidence),
                decision,
            },
        )?;
        let before = self.checkpoints;
        if matches!(process, Process::Event(..)) {
            self.doc.events_since += 1;
            self.checkpoint_if_every();
        }
        self.progress = true;
        self.process_result(&row, &context, self.checkpoints && !before);
        Ok(())
    }

    /// What is to be processed, or what came of it before.
    fn taken_in(&mut self, process: &Process) -> Result<TakenIn, WireError> {
        match process {
            Process::Event(event, signals) => Ok(match self.processed_before(event) {
                Some(row) => TakenIn::Before(Box::new(row)),
                None => TakenIn::New(self.arrive_done(event)?, event.clone(), *signals),
            }),
            Process::Delivered(seq) => {
                if let Some(row) = self.decision_about(*seq) {
                    return Ok(TakenIn::Before(Box::new(row)));
                }
                let event = self.delivered(*seq)?;
                let signals = Signals::of_event(&event.text)?;
                Ok(TakenIn::New(*seq, event, signals))
            }
        }
    }

    /// The decision that was made when an event with this source and id came
    /// before.
    fn processed_before(&mut self, event: &EventText) -> Option<DecisionRow> {
        let id = super::events::id_of(event)?;
        let seq = self.came_before(id)?;
        self.decision_about(seq)
    }

    /// An event that is in the agent's hands.
    fn delivered(&self, seq: Seq) -> Result<EventText, WireError> {
        self.check_held(seq, None)?;
        let row = self.known.event(seq).ok_or_else(|| super::events::unknown(seq))?;
        Ok(EventText { kind: row.kind.clone(), source: None, id: None, text: row.body.clone() })
    }

    /// It was processed before: the same answer, and nothing is written.
    fn process_again(&mut self, row: &DecisionRow) -> Result<(), WireError> {
        // What events are read as may have changed since.
        let (signals, pressure) = read_basis(&row.basis)?;
        let context = Context::of(&row.kind, row.context.clone(), row.risk, pressure, &signals);
        self.process_result(row, &context, false);
        Ok(())
    }

    fn process_result(&mut self, row: &DecisionRow, context: &Context, checkpoint: bool) {
        let review = row.review.map_or_else(String::new, |id| format!(",\"review_id\":{id}"));
        let version = self.doc.version;
        self.result(format_args!(
            "{{\"event_type\":{},\"context\":{},\"confidence\":{},\"threshold\":{},\
             \"verdict\":\"{}\",\"action\":{},\"reason\":{},\"priority\":\"{}\",\
             \"decision_id\":{}{review},\"seq\":{},\"state_version\":{version},\
             \"state_persisted\":true,\"checkpoint_created\":{checkpoint}}}",
            quote(&row.kind),
            context.to_json(),
            row.confidence,
            row.threshold,
            row.verdict.as_str(),
            quote(&row.action),
            quote(&row.reason),
            Priority::of(row.risk).as_str(),
            row.id,
            row.seq,
        ));
    }

    // ---------------------------------------------------------------- deciding

    /// `decision.decide`.
    pub(super) fn decide(&mut self, decide: &Decide) -> Result<(), WireError> {
        let judgement = self.context.judgement.clone();
        let Decide { event, context, risk, confidence, rules } = decide;
        let question = Question {
            context,
            risk: *risk,
            confidence: *confidence,
            environment: self.context.environment,
        };
        let decision = judgement.policy.decide(rules, &question);
        let basis = match rules.as_slice() {
            [] => "{}".into(),
            rules => format!("{{\"rules\":{}}}", policy::rules_to_json(rules)),
        };
        let (source, number) = judgement.policy.origin(decision.place, rules.len());
        let rule = format!("\"{} {number}\"", source.as_str());
        let gate = decision.rule.gate;
        let row = self.decided(
            &judgement,
            Made { seq: 0, kind: &event.kind, context, question, q: None, basis, decision },
        )?;
        let review = row.review.map_or_else(String::new, |id| format!(",\"review_id\":{id}"));
        self.result(format_args!(
            "{{\"decision_id\":{},\"action\":{},\"reason\":{},\"priority\":\"{}\",\
             \"verdict\":\"{}\"{review},\"metadata\":{{\"rule\":{rule},\"gate\":\"{}\",\
             \"threshold\":{},\"confidence\":{},\"environment\":\"{}\"}}}}",
            row.id,
            quote(&row.action),
            quote(&row.reason),
            Priority::of(row.risk).as_str(),
            row.verdict.as_str(),
            gate.as_str(),
            row.threshold,
            row.confidence,
            row.environment.as_str(),
        ));
        Ok(())
    }

    /// Writes a decision down, with the policy it went by and the review it
    /// waits for.
    fn decided(&mut self, judgement: &Judgement, made: Made<'_>) -> Result<DecisionRow, WireError> {
        let Made { seq, kind, context, question, q, basis, decision } = made;
        let review = match decision.verdict {
            Verdict::Execute => None,
            Verdict::Review => Some(self.ask_whether(judgement, kind, &question, &decision)?),
        };
        if self.doc.agenda.learned.notes_policy(judgement.id) {
            let text = judgement.policy.to_json().into();
            self.put(WorkOp::Policy(PolicyRow { id: judgement.id, text }));
        }
        let row = DecisionRow {
            id: self.doc.agenda.learned.take_id(),
            at: self.context.now.wall,
            seq,
            kind: kind.clone(),
            context: context.clone(),
            risk: question.risk,
            confidence: question.confidence,
            q,
            environment: question.environment,
            threshold: decision.threshold,
            action: decision.rule.action.clone(),
            reason: decision.rule.reason.clone(),
            verdict: decision.verdict,
            policy: judgement.id,
            basis: basis.into(),
            review,
            outcome: None,
            settled: None,
        };
        if let Some(review) = review {
            self.review_is_about(review, row.id);
        }
        self.put(WorkOp::Decision(Box::new(row.clone())));
        Ok(row)
    }

    fn ask_whether(
        &mut self,
        judgement: &Judgement,
        kind: &str,
        question: &Question<'_>,
        decision: &Decision<'_>,
    ) -> Result<u64, WireError> {
        let Question { context, risk, .. } = question;
        let (action, risk) = (&decision.rule.action, risk.as_str());
        let prompt = format!("{action} for {kind} ({context}, risk {risk})?");
        let terms = judgement.policy.review_terms(decision.rule);
        self.ask_for_decision(prompt.into(), terms)
    }

    // ---------------------------------------------------------------- outcomes

    /// `confidence.record_outcome`.
    pub(super) fn outcome(&mut self, outcome: &Outcome) -> Result<(), WireError> {
        match &outcome.of {
            OutcomeOf::Call(call) => self.outcome_of_call(call, outcome.success)?,
            OutcomeOf::Decision(id) => self.outcome_of_decision(*id, outcome.success)?,
            OutcomeOf::Stated { confidence, risk, context } => {
                let q = self.evidence_of(*confidence, *risk, context.as_deref());
                self.learn(context.as_deref(), *risk, q, outcome.success);
            }
        }
        self.empty_result();
        Ok(())
    }

    /// A calculation is remembered by its outcome, as a key is, so that it
    /// teaches once.
    fn outcome_of_call(&mut self, call: &Call, success: bool) -> Result<(), WireError> {
        let key = keys::hash_parts(&["outcome", &call.id()]);
        let request = keys::hash_parts(&[if success { "success" } else { "failure" }]);
        match self.known_key(&key) {
            Some(known) if known == request => return Ok(()),
            Some(_) => return Err(told_before("this call_id")),
            None => {}
        }
        self.note_key(key, request);
        self.learn(call.context.as_deref(), call.risk, call.q, success);
        Ok(())
    }

    fn outcome_of_decision(&mut self, id: u64, success: bool) -> Result<(), WireError> {
        let Some(mut row) = self.decision_as_it_is(id) else {
            let why = format!("there is no decision {id}, or it is kept no longer");
            return Err(WireError::invalid_params(why).with_text("member", "decision_id"));
        };
        match row.outcome {
            Some(known) if known == success => return Ok(()),
            Some(_) => return Err(told_before(&format!("decision {id}"))),
            None => {}
        }
        let q =
            row.q.unwrap_or_else(|| self.evidence_of(row.confidence, row.risk, Some(&row.context)));
        self.learn(Some(&row.context), row.risk, q, success);
        row.outcome = Some(success);
        row.settled = Some(self.context.now.wall);
        self.put(WorkOp::Decision(Box::new(row)));
        Ok(())
    }

    /// A decision as this very transaction has it, or else the disk.
    pub(super) fn decision_as_it_is(&self, id: u64) -> Option<DecisionRow> {
        self.decision_here(|row| row.id == id)
            .or_else(|| self.known.decision(&DecisionRef::Id(id)))
            .cloned()
    }

    /// The decision that was made by processing an event, in this very
    /// transaction or before.
    fn decision_about(&self, seq: Seq) -> Option<DecisionRow> {
        // A decision about no event bears a zero.
        let is_about = |row: &DecisionRow| row.seq == seq && seq > 0;
        let known = self.known.decision(&DecisionRef::Event(seq));
        self.decision_here(is_about).or(known.filter(|row| is_about(row))).cloned()
    }

    /// As this transaction has written it last.
    fn decision_here(&self, is: impl Fn(&DecisionRow) -> bool) -> Option<&DecisionRow> {
        self.work_ops().rev().find_map(|op| match op {
            WorkOp::Decision(row) if is(row) => Some(&**row),
            _ => None,
        })
    }

    /// The evidence that a confidence was made of, as far as that can be told.
    fn evidence_of(&self, confidence: f64, risk: Risk, context: Option<&str>) -> f64 {
        let (own, all) = self.doc.agenda.learned.known(context, risk);
        let (serving, _) = confidence::serving(own, all);
        serving.copied().unwrap_or_default().at(self.context.age).evidence_of(confidence)
    }

    fn learn(&mut self, context: Option<&str>, risk: Risk, q: f64, success: bool) {
        let now = self.context.age;
        let Lesson { known, forgotten } =
            self.doc.agenda.learned.learn(context, risk, q, success, now);
        if let Some((context, risk)) = forgotten {
            self.put(WorkOp::DropCalibration { context, risk });
        }
        for row in known {
            self.put(WorkOp::Calibration(row));
        }
    }
}

fn told_before(what: &str) -> WireError {
    let why = format!("another outcome of {what} was recorded before");
    WireError::invalid_params(why).with_text("member", "success")
}

/// The confidence in acting, by what was learnt so far.
pub fn calculate(
    doc: &Doc,
    judgement: &Judgement,
    signals: &Signals,
    risk: Risk,
    context: Option<&str>,
    now: Age,
) -> Confidence {
    let (own, all) = doc.agenda.learned.known(context, risk);
    confidence::calculate(&judgement.policy.reading.weights, signals, risk, own, all, now)
}

/// What else a decision was made of: enough to work out all of it again.
fn basis(signals: &Signals, context: &Context, confidence: &Confidence) -> String {
    let mut told = String::new();
    for (name, value) in signals.named() {
        if let Some(value) = value {
            let comma = if told.is_empty() { "" } else { "," };
            // Into a string: it can't fail.
            let _ = write!(told, "{comma}\"{name}\":{value}");
        }
    }
    let Confidence { base, context_adjustment, decay_factor, calibration, scope, .. } = confidence;
    format!(
        "{{\"signals\":{{{told}}},\"pressure\":{},\"base\":{base},\
         \"caution\":{context_adjustment},\"a\":{},\"b\":{},\"outcomes\":{},\
         \"scope\":\"{}\",\"decay\":{decay_factor}}}",
        context.pressure_score,
        calibration.a,
        calibration.b,
        calibration.outcomes,
        scope.as_str(),
    )
}

/// The signals and the pressure in [`basis`].
fn read_basis(basis: &str) -> Result<(Signals, f64), WireError> {
    let (mut signals, mut pressure) = ("{}", "0");
    let _ = crate::json::each_member(basis, |key, value| {
        match key {
            "\"signals\"" => signals = value,
            "\"pressure\"" => pressure = value,
            _ => {}
        }
        ControlFlow::Continue(())
    });
    Ok((Signals::of_event(signals)?, pressure.parse().unwrap_or_default()))
}

#[cfg(test)]
mod tests;
