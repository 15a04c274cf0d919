//! What a disk would have of the work, for the bench: enough to answer reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::io::{
    CalibrationRow, DecisionRef, DecisionRow, EventRow, EventState, Fetch, Fetched, KeyHash,
    PostRow, ReviewRef, ReviewRow, ReviewStatus, Scope, Seq, StepFound, StepKey, StepRow,
    StepState, TimerRow, Unit, Wear, WorkAnswer, WorkOp, WorkRestored,
};
use super::super::work::{POSTS_KEPT, WINDOW_BYTES, WINDOW_EVENTS};
use crate::clock::{Age, Wall};
use crate::engines::context::Risk;

#[derive(Default)]
pub struct Shelf {
    pub events: BTreeMap<Seq, EventRow>,
    pub steps: BTreeMap<StepKey, StepRow>,
    pub timers: BTreeMap<Box<str>, TimerRow>,
    pub posts: BTreeMap<u64, PostRow>,
    pub reviews: BTreeMap<u64, ReviewRow>,
    pub decisions: BTreeMap<u64, DecisionRow>,
    pub policies: BTreeMap<KeyHash, Arc<str>>,
    pub calibrations: BTreeMap<(Arc<str>, Risk), CalibrationRow>,
    last_seq: Seq,
    last_post: u64,
    age: Age,
    age_at: Option<Wall>,
}

impl Shelf {
    /// The one agent beside the bench's own.
    pub const NEIGHBOUR: &str = "other";

    pub fn op(&mut self, op: &WorkOp, unit: &Unit) -> Option<WorkAnswer> {
        (self.age, self.age_at) = (unit.age, Some(unit.at));
        match op {
            WorkOp::Arrive(arrival) => {
                let (status, kind, body) =
                    (arrival.status.clone(), arrival.kind.clone(), arrival.body.clone());
                self.last_seq = status.seq;
                self.events.insert(status.seq, EventRow { status, kind, body, at: unit.at });
            }
            WorkOp::Status(status) => {
                self.events.get_mut(&status.seq).unwrap().status = (**status).clone();
            }
            WorkOp::Drop { seq } => drop(self.events.remove(seq)),
            WorkOp::Unpark { wait, place } => self.unpark(wait, *place),
            WorkOp::Step(row) => drop(self.steps.insert(row.key.clone(), (**row).clone())),
            WorkOp::ForgetSteps { scope } => {
                self.steps.retain(|key, _| key.scope != Scope::Named((**scope).into()));
            }
            WorkOp::Timer(row) => drop(self.timers.insert((*row.id).into(), (**row).clone())),
            WorkOp::DropTimer { id } => drop(self.timers.remove(id)),
            WorkOp::Post(row) => {
                self.last_post = row.id;
                self.posts.insert(row.id, (**row).clone());
            }
            WorkOp::DropPost { id } => drop(self.posts.remove(id)),
            WorkOp::Review(row) => drop(self.reviews.insert(row.id, (**row).clone())),
            WorkOp::Decision(row) => drop(self.decisions.insert(row.id, (**row).clone())),
            WorkOp::Policy(row) => drop(self.policies.insert(row.id, row.text.clone())),
            WorkOp::Calibration(row) => {
                self.calibrations.insert((row.context.clone(), row.risk), row.clone());
            }
            WorkOp::DropCalibration { context, risk } => {
                self.calibrations.remove(&(context.clone(), *risk));
            }
            WorkOp::KvPut(_) | WorkOp::KvDelete { .. } => {}
            WorkOp::Fetch(_)
            | WorkOp::FetchPosts { .. }
            | WorkOp::LookEvent { .. }
            | WorkOp::LookStep(_)
            | WorkOp::LookAgent { .. }
            | WorkOp::LookReview(_)
            | WorkOp::LookDecision(_)
            | WorkOp::Reopen { .. }
            | WorkOp::History(_)
            | WorkOp::KvGet { .. }
            | WorkOp::KvList(_) => return Some(self.look(op)),
        }
        None
    }

    fn look(&mut self, op: &WorkOp) -> WorkAnswer {
        match op {
            WorkOp::Fetch(fetch) => WorkAnswer::Fetched(self.fetch(fetch)),
            WorkOp::FetchPosts { after, limit } => WorkAnswer::Posts(self.posts(*after, *limit)),
            WorkOp::LookEvent { seq } => {
                WorkAnswer::Event(self.events.get(seq).cloned().map(Box::new))
            }
            WorkOp::LookStep(key) => WorkAnswer::Step(self.steps.get(key).cloned().map(|row| {
                let review = row.review.and_then(|id| self.reviews.get(&id).cloned());
                Box::new(StepFound { row, review })
            })),
            WorkOp::LookAgent { name } => {
                let exists = **name == *Self::NEIGHBOUR;
                WorkAnswer::Agent { name: name.clone(), exists }
            }
            WorkOp::LookReview(which) => {
                let is = |row: &&ReviewRow| match which {
                    ReviewRef::Id(id) => row.id == *id,
                    ReviewRef::Key(key) => row.key.as_ref() == Some(key),
                    ReviewRef::Decision(id) => {
                        self.decisions.get(id).is_some_and(|found| found.review == Some(row.id))
                    }
                };
                WorkAnswer::Review(self.reviews.values().find(is).cloned().map(Box::new))
            }
            WorkOp::LookDecision(which) => {
                let is = |row: &&DecisionRow| match which {
                    DecisionRef::Id(id) => row.id == *id,
                    DecisionRef::Event(seq) => row.seq == *seq,
                };
                WorkAnswer::Decision(self.decisions.values().find(is).cloned().map(Box::new))
            }
            WorkOp::Reopen { since } => WorkAnswer::Reopened(self.reopen(*since)),
            other => panic!("the shelf has no answer to {other:?}"),
        }
    }

    fn unpark(&mut self, wait: &str, now: Age) {
        for row in self.events.values_mut() {
            if row.status.state == EventState::Parked && row.status.wait.as_deref() == Some(wait) {
                row.status.state = EventState::Pending;
                (row.status.place, row.status.due, row.status.wait) = (now, now, None);
            }
        }
    }

    fn reopen(&mut self, since: u64) -> u64 {
        let mut count = 0;
        for row in self.events.values_mut() {
            if row.status.state == EventState::Acked && row.status.version > since {
                row.status.state = EventState::Pending;
                count += 1;
            }
        }
        count
    }

    fn fetch(&self, fetch: &Fetch) -> Fetched {
        let place = |row: &EventRow| (row.status.place, row.status.seq);
        let mut rows: Vec<EventRow> = self
            .events
            .values()
            .filter(|row| row.status.state == EventState::Pending)
            .filter(|row| fetch.after.is_none_or(|after| place(row) > after))
            .filter(|row| !fetch.without.contains(&row.status.seq))
            .filter(|row| fetch.types.is_empty() || fetch.types.contains(&row.kind.to_string()))
            .cloned()
            .collect();
        rows.sort_by_key(place);
        let limit = usize::try_from(fetch.limit).unwrap();
        let horizon = (rows.len() > limit).then(|| place(&rows[limit - 1]));
        rows.truncate(limit);
        Fetched { rows, horizon, damaged: Vec::new() }
    }

    fn posts(&self, after: u64, limit: u64) -> Vec<PostRow> {
        let rows = self.posts.range(after + 1..).map(|(_, row)| row.clone());
        rows.take(usize::try_from(limit).unwrap()).collect()
    }

    /// As the store would read it again.
    pub fn restored(&self) -> WorkRestored {
        let of = |state| self.events.values().filter(move |row| row.status.state == state);
        let first = Fetch {
            after: None,
            types: Vec::new(),
            limit: WINDOW_EVENTS,
            bytes: WINDOW_BYTES,
            without: Vec::new(),
        };
        let parked = of(EventState::Parked).map(|row| (row.status.wait.clone().unwrap(), 1));
        let waits = |row: &&ReviewRow| row.status == ReviewStatus::Pending;
        let open = |row: &&StepRow| row.state == StepState::Open;
        WorkRestored {
            age: self.age,
            age_at: self.age_at,
            wear: Wear::default(),
            last_seq: self.last_seq,
            depth: (of(EventState::Pending).count() + of(EventState::Parked).count()) as u64,
            dead: of(EventState::Dead).count() as u64,
            first: self.fetch(&first),
            parked: parked.collect(),
            ids: Vec::new(),
            open_steps: self.steps.values().filter(open).cloned().collect(),
            timers: self.timers.values().cloned().collect(),
            posts: self.posts(0, POSTS_KEPT),
            last_post: self.last_post,
            reviews: self.reviews.values().filter(waits).cloned().collect(),
            last_review: self.reviews.last_key_value().map_or(0, |(id, _)| *id),
            last_decision: self.decisions.last_key_value().map_or(0, |(id, _)| *id),
            calibrations: self.calibrations.values().cloned().collect(),
        }
    }
}
