//! The store, as far as the machine can tell: a durable prefix, and a queue of
//! units that a crash takes away.
//!
//! It keeps the rules of the real one's thread: batches of one epoch, a unit
//! that asks for it alone, everything dropped after a failure until the next
//! epoch, the file read again after a failure in COMMIT.

use std::collections::VecDeque;

use adrt::clock::Wall;
use adrt::supervisor::io::{
    Boot, Committed, Effect, Input, LastEnd, Op, Origin, Receipt, Restored, StoreFailure,
    StoreFailureKind, Unit, WorkOp,
};

use super::durable::Durable;

/// How the disk is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    Well,
    /// Every write fails; so many units may still use the reserve's room.
    Bad {
        kind: StoreFailureKind,
        room: u32,
    },
    /// It never answers.
    Hung,
}

enum Command {
    Persist(Unit),
    Resume { epoch: u32, reread: bool },
}

/// What the thread has said and the loop has not heard yet.
#[derive(Clone)]
pub enum Report {
    Committed(Committed),
    Failed(StoreFailure),
    Restored(Box<Restored>),
    RestoreFailed(StoreFailure),
}

impl Report {
    pub fn into_input(self) -> Input<'static> {
        match self {
            Self::Committed(committed) => Input::Committed(committed),
            Self::Failed(failure) => Input::StoreFailed(failure),
            Self::Restored(restored) => Input::Restored(restored),
            Self::RestoreFailed(failure) => Input::RestoreFailed(failure),
        }
    }
}

/// Chances of trouble in a thousand transactions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Odds {
    pub glitch: u32,
    pub unknown: u32,
    pub restore_fails: u32,
    pub forgets_key: u32,
}

pub struct Store {
    pub durable: Durable,
    pub disk: Disk,
    pub odds: Odds,
    pub max_db: u64,
    queue: VecDeque<Command>,
    pub reports: VecDeque<Report>,
    loading: bool,
    closed: bool,
    epoch: u32,
    failed: bool,
}

impl Store {
    pub fn new(odds: Odds, max_db: u64) -> Self {
        Self {
            durable: Durable::default(),
            disk: Disk::Well,
            odds,
            max_db,
            queue: VecDeque::new(),
            reports: VecDeque::new(),
            loading: false,
            closed: false,
            epoch: 0,
            failed: false,
        }
    }

    /// A new run opens the file: what was not on the disk is gone.
    pub fn open(&mut self) -> Boot {
        self.queue.clear();
        self.reports.clear();
        (self.loading, self.closed, self.epoch, self.failed) = (true, false, 0, false);
        self.durable.work_mut().forget_held();
        let last = self.durable.incarnations.last_key_value().map(|(_, row)| row);
        Boot {
            last_incarnation: last.map_or(0, |row| row.id),
            last_end: last.and_then(|row| row.end.as_ref()).map(|(end, at)| LastEnd {
                class: end.class,
                exit: end.exit,
                ended: *at,
            }),
            last_release: self.durable.last_release().flatten(),
            restart: self.durable.restart,
            origin: if self.durable.is_new() { Origin::First } else { Origin::Kept },
            meta: self.durable.meta.clone().into_iter().collect(),
            orphan: last.filter(|row| row.end.is_none()).and_then(|row| row.begun.clone()),
        }
    }

    /// adrt is killed. What the thread was about to write may yet arrive.
    pub fn crash(&mut self, rng: &mut fastrand::Rng) {
        if rng.bool() && !self.failed && !self.closed && matches!(self.disk, Disk::Well) {
            let batch = self.gather(rng);
            if !batch.is_empty() {
                self.durable = self.durable.transact(&batch, self.max_db).0;
            }
        }
        self.queue.clear();
        self.reports.clear();
    }

    /// Carries out what the machine asks of it.
    pub fn take(&mut self, effect: &Effect) {
        match effect {
            Effect::Persist(unit) => self.queue.push_back(Command::Persist(unit.clone())),
            Effect::Resume { epoch, reread } => {
                self.queue.push_back(Command::Resume { epoch: *epoch, reread: *reread });
            }
            _ => {}
        }
    }

    /// Whether it has something to do.
    pub fn has_work(&self) -> bool {
        self.disk != Disk::Hung && (self.loading || !self.queue.is_empty())
    }

    /// One turn of its thread.
    pub fn turn(&mut self, rng: &mut fastrand::Rng) {
        if self.loading {
            return self.load(rng);
        }
        match self.queue.front() {
            None => {}
            Some(Command::Resume { .. }) => {
                let Some(Command::Resume { epoch, reread }) = self.queue.pop_front() else {
                    return;
                };
                self.epoch = epoch;
                self.failed = false;
                if reread {
                    self.closed = false;
                    self.loading = true;
                }
            }
            Some(Command::Persist(unit)) => {
                assert!(unit.epoch <= self.epoch, "a unit of an epoch that was never begun");
                if unit.epoch < self.epoch || self.failed {
                    self.queue.pop_front();
                } else {
                    self.write(rng);
                }
            }
        }
    }

    fn load(&mut self, rng: &mut fastrand::Rng) {
        self.loading = false;
        if self.hits(rng, self.odds.restore_fails) {
            self.failed = true;
            let failure = self.failure(StoreFailureKind::Io, false);
            self.reports.push_back(Report::RestoreFailed(failure));
        } else {
            self.durable.work_mut().forget_held();
            self.reports.push_back(Report::Restored(Box::new(self.durable.restored())));
        }
    }

    fn hits(&self, rng: &mut fastrand::Rng, in_a_thousand: u32) -> bool {
        in_a_thousand > 0 && rng.u32(0..1000) < in_a_thousand
    }

    fn failure(&self, kind: StoreFailureKind, outcome_unknown: bool) -> StoreFailure {
        StoreFailure {
            epoch: self.epoch,
            kind,
            outcome_unknown,
            message: "the world is against it".into(),
            reserve_freed: false,
        }
    }

    /// The first unit, with some that wait behind it.
    fn gather(&mut self, rng: &mut fastrand::Rng) -> Vec<Unit> {
        let most = if rng.bool() { usize::MAX } else { rng.usize(1..4) };
        let mut batch: Vec<Unit> = Vec::new();
        while batch.len() < most {
            match self.queue.front() {
                Some(Command::Persist(unit))
                    if unit.epoch == self.epoch
                        && (batch.is_empty() || !(unit.alone || batch[0].alone)) => {}
                Some(Command::Persist(_) | Command::Resume { .. }) | None => break,
            }
            if let Some(Command::Persist(unit)) = self.queue.pop_front() {
                batch.push(unit);
            }
        }
        batch
    }

    fn write(&mut self, rng: &mut fastrand::Rng) {
        let batch = self.gather(rng);
        if self.hits(rng, self.odds.forgets_key) {
            self.durable.forget_a_key();
        }
        if self.hits(rng, self.odds.unknown) {
            if rng.bool() {
                self.durable = self.durable.transact(&batch, self.max_db).0;
            }
            (self.failed, self.closed) = (true, true);
            let failure = self.failure(StoreFailureKind::Io, true);
            return self.reports.push_back(Report::Failed(failure));
        }
        match self.refusal(&batch, rng) {
            Some(failure) => {
                self.failed = true;
                self.reports.push_back(Report::Failed(failure));
            }
            None => self.commit(&batch),
        }
    }

    fn refusal(&mut self, batch: &[Unit], rng: &mut fastrand::Rng) -> Option<StoreFailure> {
        let writes = batch.iter().filter(|unit| unit.ops.iter().any(is_write)).count();
        match self.disk {
            Disk::Bad { kind, room } => {
                let needed = u32::try_from(writes).unwrap_or(u32::MAX);
                if let Some(room) = room.checked_sub(needed) {
                    self.disk = Disk::Bad { kind, room };
                    return None;
                }
                let mut failure = self.failure(kind, false);
                if kind == StoreFailureKind::Full && self.durable.reserve {
                    self.durable.reserve = false;
                    failure.reserve_freed = true;
                    self.disk = Disk::Bad { kind, room: rng.u32(0..4) };
                }
                Some(failure)
            }
            Disk::Well if self.hits(rng, self.odds.glitch) => {
                Some(self.failure(StoreFailureKind::Other, false))
            }
            Disk::Well | Disk::Hung => None,
        }
    }

    fn commit(&mut self, batch: &[Unit]) {
        let disk_is_well = self.disk == Disk::Well;
        if disk_is_well
            && batch.iter().flat_map(|u| &u.ops).any(|op| matches!(op, Op::RebuildReserve))
        {
            self.durable.reserve = true;
        }
        let (durable, answers) = self.durable.transact(batch, self.max_db);
        self.durable = durable;
        let receipts = batch
            .iter()
            .zip(answers)
            .map(|(unit, answers)| Receipt { unit: unit.id, answers })
            .collect();
        let committed =
            Committed { receipts, used_bytes: self.durable.used_bytes(), written_bytes: 1 };
        self.reports.push_back(Report::Committed(committed));
    }
}

fn is_write(op: &Op) -> bool {
    !matches!(
        op,
        Op::RecallKey { .. }
            | Op::LoadCheckpoint(_)
            | Op::ListCheckpoints { .. }
            | Op::Work(
                WorkOp::Fetch(_)
                    | WorkOp::LookEvent { .. }
                    | WorkOp::LookStep(_)
                    | WorkOp::LookAgent { .. }
                    | WorkOp::LookReview(_)
                    | WorkOp::LookDecision(_)
                    | WorkOp::FetchPosts { .. }
                    | WorkOp::History(_)
                    | WorkOp::KvGet { .. }
                    | WorkOp::KvList(_)
            )
    )
}

/// The kinds a disk comes to be bad in.
pub fn bad(rng: &mut fastrand::Rng) -> Disk {
    let kinds = [StoreFailureKind::Full, StoreFailureKind::Io, StoreFailureKind::ReadOnly];
    Disk::Bad { kind: kinds[rng.usize(0..kinds.len())], room: 0 }
}

/// A point on the wall clock.
pub fn wall(ms: i64) -> Wall {
    Wall::from_millis(ms)
}
