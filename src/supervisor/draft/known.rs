//! What the store has to be asked before a write can be decided.
//!
//! Most of what a refusal depends on is in memory. What is not (a step that is
//! done, a review that was settled, whether there is such an agent) is looked
//! up first; the write waits in its place meanwhile, and nothing overtakes it.
//! What was looked up is true until it is applied: everything before it has
//! reached the disk by then.

use super::events::id_of;
use crate::protocol::message::{Write, WriteOp};
use crate::protocol::work::{Emit, OutcomeOf, Process, Scope, StepBegin, WorkWrite};
use crate::supervisor::agenda::Agenda;
use crate::supervisor::io::{
    DecisionRef, DecisionRow, EventRow, KeyHash, ReviewRef, ReviewRow, Seq, StepFound, StepKey,
    WorkAnswer, WorkOp,
};

/// Answers to what was looked up, each beside its question.
#[derive(Debug, Clone, Default)]
pub struct Known(Vec<(WorkOp, WorkAnswer)>);

impl Known {
    /// Joins questions with their answers, which come in the same order.
    pub fn new(
        questions: impl IntoIterator<Item = WorkOp>,
        answers: impl IntoIterator<Item = WorkAnswer>,
    ) -> Self {
        Self(questions.into_iter().zip(answers).collect())
    }

    /// A step as the disk has it.
    pub fn step(&self, key: &StepKey) -> Option<&StepFound> {
        self.0.iter().find_map(|(question, answer)| match (question, answer) {
            (WorkOp::LookStep(asked), WorkAnswer::Step(found)) if asked == key => found.as_deref(),
            _ => None,
        })
    }

    /// A review as the disk has it.
    pub fn review(&self, which: &ReviewRef) -> Option<&ReviewRow> {
        self.0.iter().find_map(|(question, answer)| match (question, answer) {
            (WorkOp::LookReview(asked), WorkAnswer::Review(found)) if asked == which => {
                found.as_deref()
            }
            _ => None,
        })
    }

    /// A decision as the disk has it.
    pub fn decision(&self, which: &DecisionRef) -> Option<&DecisionRow> {
        self.0.iter().find_map(|(question, answer)| match (question, answer) {
            (WorkOp::LookDecision(asked), WorkAnswer::Decision(found)) if asked == which => {
                found.as_deref()
            }
            _ => None,
        })
    }

    /// Whether there is an agent of that name, if it was asked.
    pub fn agent(&self, name: &str) -> Option<bool> {
        self.agents().find(|(agent, _)| *agent == name).map(|(_, exists)| exists)
    }

    /// Agents that were asked for.
    pub fn agents(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.iter().filter_map(|(_, answer)| match answer {
            WorkAnswer::Agent { name, exists } => Some((&**name, *exists)),
            _ => None,
        })
    }

    /// An event as the disk has it.
    pub fn event(&self, seq: Seq) -> Option<&EventRow> {
        self.0.iter().find_map(|(question, answer)| match (question, answer) {
            (WorkOp::LookEvent { seq: asked }, WorkAnswer::Event(row)) if *asked == seq => {
                row.as_deref()
            }
            _ => None,
        })
    }
}

/// What a write has to know that is not in memory.
pub fn questions(
    write: &Write,
    agenda: &Agenda,
    own_name: &str,
    is_known_agent: impl Fn(&str) -> bool,
) -> Vec<WorkOp> {
    let mut asked = Vec::new();
    let emit = |emit: &Emit, asked: &mut Vec<WorkOp>| {
        if let Some(to) = emit.to.as_deref().filter(|to| *to != own_name && !is_known_agent(to)) {
            asked.push(WorkOp::LookAgent { name: to.into() });
        }
    };
    for op in &write.ops {
        let WriteOp::Work(work) = op else { continue };
        match work {
            WorkWrite::Emit(emitted) => emit(emitted, &mut asked),
            WorkWrite::Ack(ack) => ack.emit.iter().for_each(|each| emit(each, &mut asked)),
            WorkWrite::StepBegin(begin) if step_is_unknown(begin, agenda) => {
                asked.push(WorkOp::LookStep(begin.key.clone()));
            }
            WorkWrite::Process(process) => match &**process {
                // Whether it came before is asked apart: it takes the book.
                Process::Event(..) => {}
                Process::Delivered(seq) => {
                    asked.push(WorkOp::LookDecision(DecisionRef::Event(*seq)));
                    asked.push(WorkOp::LookEvent { seq: *seq });
                }
            },
            WorkWrite::Outcome(outcome) => {
                if let OutcomeOf::Decision(id) = outcome.of {
                    asked.push(WorkOp::LookDecision(DecisionRef::Id(id)));
                }
            }
            WorkWrite::ReviewRequest(request) => {
                if let Some(id) = request.decision {
                    asked.push(WorkOp::LookDecision(DecisionRef::Id(id)));
                    asked.push(WorkOp::LookReview(ReviewRef::Decision(id)));
                }
                let waits = |key| agenda.reviews.alike(|row| row.key.as_ref() == Some(key));
                if let Some(key) = request.key.as_ref().filter(|key| waits(key).is_none()) {
                    asked.push(WorkOp::LookReview(ReviewRef::Key(key.clone())));
                }
            }
            WorkWrite::ReviewResolve(resolve) if agenda.reviews.get(resolve.id).is_none() => {
                asked.push(WorkOp::LookReview(ReviewRef::Id(resolve.id)));
            }
            WorkWrite::Retry { seqs } | WorkWrite::Drop { seqs } => {
                asked.extend(seqs.iter().map(|seq| WorkOp::LookEvent { seq: *seq }));
            }
            WorkWrite::StepBegin(_)
            | WorkWrite::ReviewResolve(_)
            | WorkWrite::Nack(_)
            | WorkWrite::Park(_)
            | WorkWrite::Extend { .. }
            | WorkWrite::StepComplete(_)
            | WorkWrite::StepForget { .. }
            | WorkWrite::Kv(_)
            | WorkWrite::TimerSet(_)
            | WorkWrite::TimerCancel { .. }
            | WorkWrite::Decide(_) => {}
        }
    }
    asked
}

/// The decisions about events that are to be processed and came before.
pub fn processed_before(
    write: &Write,
    mut came: impl FnMut(&KeyHash) -> Option<Seq>,
) -> Vec<WorkOp> {
    let mut asked = Vec::new();
    for op in &write.ops {
        if let WriteOp::Work(WorkWrite::Process(process)) = op
            && let Process::Event(event, _) = &**process
            && let Some(seq) = id_of(event).and_then(|id| came(&id))
        {
            asked.push(WorkOp::LookDecision(DecisionRef::Event(seq)));
        }
    }
    asked
}

/// Whether only the disk can tell what is known of a step.
fn step_is_unknown(begin: &StepBegin, agenda: &Agenda) -> bool {
    match agenda.steps.get(&begin.key) {
        // Its review may have been settled.
        Some(open) => {
            let waits = |id| agenda.reviews.get(id).is_some();
            open.row.review.is_some_and(|id| !waits(id))
        }
        None => match &begin.key.scope {
            // The first step of an event that was never handed out before is
            // no step that ever was.
            Scope::Event(seq) => {
                let first = agenda.inbox.held(*seq).is_some_and(|held| held.status.attempt == 1);
                !first || agenda.steps.has_done(*seq)
            }
            Scope::Named(_) => true,
        },
    }
}
