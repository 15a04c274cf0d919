//! Events, steps, timers and the rest as the disk has them, and what must hold
//! of every single write of them.

use std::collections::{BTreeMap, BTreeSet};

use adrt::clock::{Age, Wall};
use adrt::supervisor::io::{
    Arrival, EventRow, EventState, EventStatus, Fetch, Fetched, History, KeyHash, KvQuery, KvValue,
    Op, Place, PostRow, ReviewRef, ReviewRow, ReviewStatus, Scope, Seq, StepFound, StepKey,
    StepRow, StepState, TimerRow, Unit, Wear, WorkAnswer, WorkOp, WorkRestored,
};
use adrt::supervisor::work::POSTS_KEPT;
use serde_json::Value;

use super::decisions::Decisions;
use super::unit::{Effects, Marks};

/// Events read at a time, so that the end of what is in memory is met.
const READ_MAX: u64 = 5;
/// Events looked at in one read.
const SCAN_MAX: usize = 12;
/// Open steps that are told at a start; others are looked up.
const STEPS_TOLD: usize = 2;
/// The one other agent there is.
pub const OTHER: &str = "other";

#[derive(Clone, Default)]
pub struct Work {
    pub events: BTreeMap<Seq, EventRow>,
    pub steps: BTreeMap<StepKey, StepRow>,
    pub kv: BTreeMap<(Box<str>, Box<str>), KvValue>,
    pub timers: BTreeMap<Box<str>, TimerRow>,
    pub posts: BTreeMap<u64, PostRow>,
    pub reviews: BTreeMap<u64, ReviewRow>,
    pub decisions: Decisions,
    pub dropped: BTreeSet<Seq>,
    ids: Vec<(KeyHash, Seq)>,
    pub last_seq: Seq,
    last_post: u64,
    last_review: u64,
    /// adrt's count of time at the last write, and the wall clock.
    pub age: Age,
    age_at: Option<Wall>,
    /// Events in somebody's hands, with the incarnation.
    pub held: BTreeMap<Seq, u64>,
    /// Lines of the source that are in the inbox.
    pub lines: BTreeSet<u64>,
    /// Posts of which the other side has said what became of them.
    pub posts_over: BTreeSet<u64>,
    /// As the run was told.
    pub max_attempts: u32,
    pub ordered: bool,
    pub every: Option<u64>,
    /// Events dealt with since the last checkpoint or restore.
    since: u64,
    /// What the present unit has done.
    pub marks: Marks,
}

impl Work {
    pub fn op(&mut self, op: &WorkOp, unit: &Unit) -> Option<WorkAnswer> {
        match op {
            WorkOp::Arrive(arrival) => self.arrive(arrival, unit),
            WorkOp::Status(status) => self.status(status, unit),
            WorkOp::Drop { seq } => self.delete(*seq),
            WorkOp::Fetch(fetch) => {
                let held: Vec<Seq> = self.held.keys().copied().collect();
                assert_eq!(fetch.without, held, "who holds what");
                return Some(WorkAnswer::Fetched(self.fetch(fetch)));
            }
            WorkOp::Unpark { wait, place } => self.unpark(wait, *place),
            WorkOp::LookEvent { seq } => {
                return Some(WorkAnswer::Event(self.events.get(seq).cloned().map(Box::new)));
            }
            WorkOp::Reopen { .. } => panic!("nobody asks for it in this world"),
            WorkOp::History(history) => return Some(self.history(history)),
            WorkOp::Step(row) => self.step(row),
            WorkOp::ForgetSteps { scope } => {
                self.steps.retain(|key, _| key.scope != Scope::Named((**scope).into()));
            }
            WorkOp::LookStep(key) => {
                let found = self.steps.get(key).cloned().map(|row| {
                    let review = row.review.and_then(|id| self.reviews.get(&id).cloned());
                    Box::new(StepFound { row, review })
                });
                return Some(WorkAnswer::Step(found));
            }
            WorkOp::KvPut(row) => self.kv_put(row.ns.clone(), row.key.clone(), &row.value),
            WorkOp::KvDelete { ns, key } => drop(self.kv.remove(&(ns.clone(), key.clone()))),
            WorkOp::KvGet { ns, key } => {
                return Some(WorkAnswer::Kv(self.kv.get(&(ns.clone(), key.clone())).cloned()));
            }
            WorkOp::KvList(query) => return Some(self.kv_list(query)),
            WorkOp::Timer(row) => self.timer(row, unit),
            WorkOp::DropTimer { id } => {
                self.marks.fired.remove(id);
                self.timers.remove(id);
            }
            WorkOp::Post(row) => self.post(row),
            WorkOp::DropPost { id } => {
                assert!(self.posts_over.contains(id), "a post is let go without a word of it");
                self.posts.remove(id);
            }
            WorkOp::FetchPosts { after, limit } => {
                return Some(WorkAnswer::Posts(self.posts_after(*after, *limit)));
            }
            WorkOp::LookAgent { name } => {
                let exists = **name == *OTHER;
                return Some(WorkAnswer::Agent { name: name.clone(), exists });
            }
            WorkOp::Review(row) => self.review(row, unit),
            WorkOp::LookReview(which) => {
                let found = match which {
                    ReviewRef::Id(id) => self.reviews.get(id),
                    ReviewRef::Key(key) => {
                        self.reviews.values().rev().find(|row| row.key.as_ref() == Some(key))
                    }
                    ReviewRef::Decision(id) => {
                        let decision = self.decisions.rows.get(id);
                        decision.and_then(|row| self.reviews.get(&row.review?))
                    }
                };
                let found = found.map(|row| Box::new(self.decisions.review_read(row)));
                return Some(WorkAnswer::Review(found));
            }
            WorkOp::Decision(row) => self.decisions.write(row, unit),
            WorkOp::LookDecision(which) => {
                let found = self.decisions.find(which).cloned();
                return Some(WorkAnswer::Decision(found.map(Box::new)));
            }
            WorkOp::Policy(row) => self.decisions.policy(row),
            WorkOp::Calibration(row) => {
                let Decisions { lessons, rows, .. } = &mut self.decisions;
                lessons.write(row, rows, unit);
            }
            WorkOp::DropCalibration { context, risk } => {
                self.decisions.lessons.drop_row(context, *risk);
            }
        }
        None
    }

    // ----------------------------------------------------------------- events

    fn arrive(&mut self, arrival: &Arrival, unit: &Unit) {
        let Arrival { status, kind, body, id } = arrival;
        assert_eq!(status.seq, self.last_seq + 1, "numbers of events rise by one");
        self.last_seq = status.seq;
        if let Some(id) = id {
            assert!(self.ids.iter().all(|(known, _)| known != id), "an event came twice");
            self.ids.push((*id, status.seq));
        }
        let row = EventRow {
            status: EventStatus { attempt: 0, holder: 0, ..status.clone() },
            kind: kind.clone(),
            body: body.clone(),
            at: unit.at,
        };
        let text: Value = serde_json::from_str(body).expect("an event is JSON");
        self.marks.arrived(&text, status.state);
        self.decisions.arrived(status.seq, status.state, &text);
        if let Some(id) = text["timer"].as_str() {
            self.fired(id, &text, unit);
        }
        self.events.insert(status.seq, row);
        if status.attempt > 0 {
            self.status(status, unit);
        }
    }

    fn status(&mut self, new: &EventStatus, unit: &Unit) {
        let seq = new.seq;
        let old = self.events.get(&seq).expect("an event that is there").status.clone();
        assert!(new.born == old.born || old.state == EventState::Dead, "{seq} is as old as it is");
        if new.attempt == old.attempt + 1 {
            self.hand_out(&old, new, unit);
        } else {
            assert_eq!(new.attempt, old.attempt, "an attempt is one hand-out");
            self.settle(&old, new, unit);
        }
        assert!(new.deaths <= self.max_attempts, "too many deaths over {seq}");
        self.events.get_mut(&seq).unwrap().status = new.clone();
    }

    fn hand_out(&mut self, old: &EventStatus, new: &EventStatus, unit: &Unit) {
        let seq = new.seq;
        assert_eq!((old.state, new.state), (EventState::Pending, EventState::Pending));
        assert!(old.due <= unit.age, "{seq} is handed out before its time");
        assert!(new.holder > 0 && new.holder >= old.holder, "{seq} goes to an older incarnation");
        let before = self.held.insert(seq, new.holder);
        assert_eq!(before, None, "{seq} is in somebody's hands");
        self.marks.handed.push(seq);
    }

    /// It leaves somebody's hands, or is a dead letter that is revived.
    fn settle(&mut self, old: &EventStatus, new: &EventStatus, unit: &Unit) {
        let seq = new.seq;
        if old.state == EventState::Dead {
            assert_eq!((new.state, new.deaths, new.nacks), (EventState::Pending, 0, 0));
            return;
        }
        assert_eq!(old.state, EventState::Pending, "{seq} is not in anybody's hands");
        assert!(self.held.remove(&seq).is_some(), "{seq} is not in anybody's hands");
        let crash = unit.ops.iter().any(|op| matches!(op, Op::End(end) if end.class.is_crash()));
        let died = new.deaths - old.deaths;
        assert_eq!(died, u32::from(crash), "deaths over {seq} in this unit");
        match new.state {
            EventState::Acked => self.marks.acked.push(seq),
            EventState::Dead if died == 1 => assert_eq!(new.deaths, self.max_attempts),
            EventState::Dead => assert_eq!(new.nacks, old.nacks + 1, "{seq} is given up for that"),
            EventState::Pending => {
                assert!(new.deaths < self.max_attempts, "{seq} should have been given up");
                assert!(new.holder == 0, "{seq} waits in somebody's hands");
            }
            EventState::Parked => assert!(new.wait.is_some() && new.holder == 0),
        }
    }

    fn delete(&mut self, seq: Seq) {
        assert!(!self.held.contains_key(&seq), "{seq} is taken out of somebody's hands");
        assert!(self.events.remove(&seq).is_some(), "{seq} is dropped twice");
        self.dropped.insert(seq);
        self.steps.retain(|key, _| key.scope != Scope::Event(seq));
    }

    /// All of that incarnation's, or an earlier one's, wait again. What it
    /// died over has been written down before.
    pub fn ended(&mut self, incarnation: u64, crash: bool) {
        let left = self.held.values().any(|holder| *holder <= incarnation);
        assert!(!crash || !left, "a death escapes an event that was held");
        self.held.retain(|_, holder| *holder > incarnation);
    }

    /// Nobody's hands are known any more.
    pub fn forget_held(&mut self) {
        self.held.clear();
        self.since = 0;
    }

    fn unpark(&mut self, wait: &str, now: Age) {
        for row in self.events.values_mut() {
            let status = &mut row.status;
            if status.state == EventState::Parked && status.wait.as_deref() == Some(wait) {
                status.state = EventState::Pending;
                (status.place, status.due, status.wait) = (now, now, None);
            }
        }
    }

    /// Pending events in their order.
    pub fn pending(&self) -> Vec<&EventRow> {
        let mut rows: Vec<&EventRow> =
            self.events.values().filter(|row| row.status.state == EventState::Pending).collect();
        rows.sort_by_key(|row| place(row));
        rows
    }

    fn fetch(&self, fetch: &Fetch) -> Fetched {
        let wanted =
            |kind: &str| fetch.types.is_empty() || fetch.types.iter().any(|g| glob(g, kind));
        let mut found = Fetched::default();
        let mut looked_at = 0;
        for row in self.pending() {
            if fetch.after.is_some_and(|after| place(row) <= after) {
                continue;
            }
            looked_at += 1;
            if wanted(&row.kind) && !fetch.without.contains(&row.status.seq) {
                found.rows.push(row.clone());
            }
            let full = found.rows.len() as u64 >= fetch.limit.min(READ_MAX);
            if full || looked_at >= SCAN_MAX {
                found.horizon = Some(place(row));
                break;
            }
        }
        found
    }

    fn history(&self, history: &History) -> WorkAnswer {
        let before = history.before.unwrap_or(u64::MAX);
        let of_kind = |row: &&EventRow| history.kind.as_deref().is_none_or(|k| k == &*row.kind);
        let rows = self.events.range(..before).rev().map(|(_, row)| row).filter(of_kind);
        let rows = rows.take(usize::try_from(history.limit).unwrap()).cloned().collect();
        WorkAnswer::History { rows, next: None }
    }

    // ----------------------------------------------------- steps, entries, timers

    fn step(&mut self, row: &StepRow) {
        match self.steps.get(&row.key) {
            None => assert_eq!((row.state, row.attempt), (StepState::Open, 1), "a step begins"),
            Some(old) => {
                assert_eq!(old.idempotency_key, row.idempotency_key, "its key stays the same");
                assert_eq!(old.state, StepState::Open, "{:?} is done already", row.key);
                let again = row.state == StepState::Open && row.attempt == old.attempt + 1;
                assert!(again || row.attempt == old.attempt, "an attempt is one beginning");
            }
        }
        self.steps.insert(row.key.clone(), row.clone());
    }

    fn kv_put(&mut self, ns: Box<str>, key: Box<str>, value: &KvValue) {
        if &*ns == "ack" {
            self.marks.entries.push(key.parse().unwrap());
        }
        self.kv.insert((ns, key), value.clone());
    }

    fn kv_list(&self, query: &KvQuery) -> WorkAnswer {
        let of = self
            .kv
            .iter()
            .filter(|((ns, key), _)| *ns == query.ns && key.starts_with(&*query.prefix));
        let entries = of.map(|((_, key), value)| (key.to_string(), value.clone())).collect();
        WorkAnswer::KvList { entries, next: None }
    }

    /// A timer's event comes: it was due.
    fn fired(&mut self, id: &str, event: &Value, unit: &Unit) {
        use adrt::supervisor::io::{Due, Repeat};
        let row = self.timers.get(id).expect("a timer that is there");
        match row.due {
            Due::Age(at) => assert!(at <= unit.age, "{id} fires before its time"),
            Due::Wall(at) => assert!(at <= unit.at, "{id} fires before its time"),
        }
        if let (Repeat::Every(every), Due::Age(at)) = (&row.repeat, row.due) {
            let missed = (unit.age.millis() - at.millis()) / every;
            assert_eq!(event["missed"].as_u64().unwrap_or(0), missed, "points that went by");
        }
        assert!(self.marks.fired.insert(id.into()), "{id} fires twice");
    }

    fn timer(&mut self, row: &TimerRow, unit: &Unit) {
        if self.marks.fired.remove(&*row.id) {
            assert!(!is_due(row, unit.age, unit.at), "{} fires twice for one point", row.id);
        }
        self.timers.insert((*row.id).into(), row.clone());
    }

    // -------------------------------------------------------- posts and reviews

    fn post(&mut self, row: &PostRow) {
        assert_eq!(row.id, self.last_post + 1, "numbers of posts rise by one");
        self.last_post = row.id;
        let text: Value = serde_json::from_str(&row.event).expect("an event is JSON");
        self.marks.arrived(&text, EventState::Pending);
        self.posts.insert(row.id, row.clone());
    }

    fn posts_after(&self, after: u64, limit: u64) -> Vec<PostRow> {
        let rows = self.posts.range(after + 1..).map(|(_, row)| row.clone());
        rows.take(usize::try_from(limit).unwrap()).collect()
    }

    fn review(&mut self, row: &ReviewRow, unit: &Unit) {
        match self.reviews.get(&row.id) {
            None => {
                assert_eq!(row.id, self.last_review + 1, "numbers of reviews rise by one");
                assert_eq!(row.status, ReviewStatus::Pending);
                self.last_review = row.id;
            }
            Some(old) => assert_eq!(old.status, ReviewStatus::Pending, "settled twice"),
        }
        if row.status == ReviewStatus::Expired {
            assert!(row.expires.is_some_and(|at| at <= unit.age), "it ended before its time");
        }
        self.decisions.reviewed(row);
        self.reviews.insert(row.id, row.clone());
    }

    // ---------------------------------------------------------------- as a whole

    pub fn begin_unit(&mut self, unit: &Unit) {
        assert!(unit.age >= self.age, "adrt's count of time goes back");
        (self.age, self.age_at) = (unit.age, Some(unit.at));
        self.marks = Marks::default();
        self.decisions.begin_unit();
    }

    pub fn end_unit(&mut self, unit: &Unit, effects: &Effects) {
        let marks = std::mem::take(&mut self.marks);
        marks.check(effects, unit, &mut self.lines);
        self.decisions.end_unit(self);
        self.decisions.note_checkpoint(unit);
        self.count(&marks, unit);
        let suspect = |seq: &Seq| self.events[seq].status.deaths > 0;
        assert!(
            marks.handed.is_empty() || self.held.len() == 1 || !self.held.keys().any(suspect),
            "what may be deadly is handed out alone"
        );
        for seq in &marks.handed {
            self.check_order(*seq, unit.age);
        }
    }

    /// A checkpoint comes with the event that makes it due.
    fn count(&mut self, marks: &Marks, unit: &Unit) {
        self.since += (marks.acked.len() + self.decisions.done_at_once()) as u64;
        if unit.ops.iter().any(|op| matches!(op, Op::Checkpoint(_))) {
            self.since = 0;
        }
        let (since, every) = (self.since, self.every);
        assert!(every.is_none_or(|every| since < every), "{since} events without a checkpoint");
    }

    /// Of its own type, it was the first that could be handed out.
    fn check_order(&self, seq: Seq, now: Age) {
        let row = &self.events[&seq];
        let earlier = |other: &&EventRow| {
            other.kind == row.kind
                && place(other) < place(row)
                && !self.held.contains_key(&other.status.seq)
                && (self.ordered || other.status.due <= now)
        };
        let passed = self.pending().into_iter().find(earlier);
        assert!(passed.is_none(), "{seq} was handed out before {passed:?}");
    }

    pub fn restored(&self) -> WorkRestored {
        let first = Fetch {
            after: None,
            types: Vec::new(),
            limit: READ_MAX,
            bytes: u64::MAX,
            without: Vec::new(),
        };
        let of_state = |state| self.events.values().filter(move |row| row.status.state == state);
        let mut parked: BTreeMap<Box<str>, u64> = BTreeMap::new();
        for row in of_state(EventState::Parked) {
            *parked.entry(row.status.wait.clone().unwrap()).or_default() += 1;
        }
        WorkRestored {
            age: self.age,
            age_at: self.age_at,
            wear: Wear::default(),
            last_seq: self.last_seq,
            depth: (of_state(EventState::Pending).count() + of_state(EventState::Parked).count())
                as u64,
            dead: of_state(EventState::Dead).count() as u64,
            first: self.fetch(&first),
            parked: parked.into_iter().collect(),
            ids: self.ids.clone(),
            open_steps: self.open_steps(),
            timers: self.timers.values().cloned().collect(),
            posts: self.posts_after(0, POSTS_KEPT),
            last_post: self.last_post,
            reviews: self
                .reviews
                .values()
                .filter(|r| r.status == ReviewStatus::Pending)
                .map(|row| self.decisions.review_read(row))
                .collect(),
            last_review: self.last_review,
            last_decision: self.decisions.rows.last_key_value().map_or(0, |(id, _)| *id),
            calibrations: self.decisions.lessons.kept(),
        }
    }

    fn open_steps(&self) -> Vec<StepRow> {
        let waits = |row: &&StepRow| match row.key.scope {
            Scope::Named(_) => true,
            Scope::Event(seq) => self.events.get(&seq).is_some_and(|row| {
                matches!(row.status.state, EventState::Pending | EventState::Parked)
            }),
        };
        let open = self.steps.values().filter(|row| row.state == StepState::Open).filter(waits);
        open.take(STEPS_TOLD).cloned().collect()
    }
}

pub fn place(row: &EventRow) -> Place {
    (row.status.place, row.status.seq)
}

/// Whether a timer is due.
pub fn is_due(row: &TimerRow, age: Age, wall: Wall) -> bool {
    match row.due {
        adrt::supervisor::io::Due::Age(at) => at <= age,
        adrt::supervisor::io::Due::Wall(at) => at <= wall,
    }
}

/// Whether a type is one of those, as far as the script goes: `a.*`.
pub fn glob(glob: &str, kind: &str) -> bool {
    glob.strip_suffix('*').map_or(glob == kind, |head| kind.starts_with(head))
}
