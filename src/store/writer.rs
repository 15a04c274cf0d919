//! The store's thread.
//!
//! It waits for one unit, takes what else is waiting, writes all of it in one
//! transaction and reports once that is on the disk. So the slower the disk,
//! the more shares one sync, and nobody waits for more than two of them.
//!
//! ```text
//!            start            Persist*              fails
//! (thread) --------> Loading --------> Writing ----------------> Waiting
//!                       |                ^   units are dropped      |
//!                       +----------------+<---------- Resume -------+
//! ```
//!
//! After a failure every unit of that epoch is dropped without a word: what
//! failed was reported, and the rest was built on it. [`Command::Resume`]
//! starts the next epoch.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::open::Store;
use crate::supervisor::io::{Committed, KvValue, Op, Restored, StoreFailure, Unit, WorkOp};

/// Units in one transaction, at most: more than the supervisor lets wait for
/// a commit, so that one sync answers all of it.
const BATCH_UNITS_MAX: usize = 4096;
/// Bytes of patches in one transaction, at most; a single unit may be larger.
/// It bounds the wait of whoever comes next, and the growth of the WAL.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// How long nothing must come before there is time for maintenance.
const IDLE: Duration = Duration::from_millis(50);

/// What the thread is told.
#[derive(Debug)]
pub enum Command {
    /// Write that.
    Persist(Unit),
    /// After a failure: go on with this epoch, dropping units of older ones.
    Resume {
        /// The new epoch.
        epoch: u32,
        /// Close and reopen the file, and load all again.
        reread: bool,
    },
}

/// What the thread says, in the order of what it was told.
#[derive(Debug)]
pub enum Report {
    /// Those units are on the disk.
    Committed(Committed),
    /// They are not, or it is not known.
    Failed(StoreFailure),
    /// The state, at the start and after [`Command::Resume`] with `reread`.
    Restored(Box<Restored>),
    /// It could not be read.
    RestoreFailed(StoreFailure),
}

/// The thread's handle.
#[derive(Debug)]
pub struct Writer {
    commands: Sender<Command>,
    thread: JoinHandle<Result<(), StoreFailure>>,
}

impl Writer {
    /// Starts the thread `adrt-store`. It begins with loading the state.
    /// `report` is called on that thread and must not block.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(store: Store, report: impl Fn(Report) + Send + 'static) -> io::Result<Self> {
        let (commands, inbox) = channel();
        let thread =
            std::thread::Builder::new().name("adrt-store".to_owned()).spawn(move || {
                let mut desk = Desk { store, inbox, report, epoch: 0, failed: false, next: None };
                desk.load();
                while desk.turn() {}
                desk.store.close()
            })?;
        Ok(Self { commands, thread })
    }

    /// Tells it something. Never blocks; how much waits is bounded by the
    /// supervisor, which counts what it has not had an answer to.
    pub fn send(&self, command: Command) {
        // The thread ends only when this handle is gone, or by a panic, which
        // `stop` reports.
        let _ = self.commands.send(command);
    }

    /// Whether the thread is there; a slow disk may keep it for long, but only
    /// a panic ends it.
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Lets it finish what it was told, close the file with the WAL moved
    /// into it, and end.
    ///
    /// # Errors
    /// The file could not be closed properly. Nothing is lost by that.
    pub fn stop(self) -> Result<(), StoreFailure> {
        drop(self.commands);
        self.thread.join().unwrap_or_else(|_| {
            Err(super::failure::damaged("the store's thread panicked".to_owned()))
        })
    }
}

/// What the thread works with.
struct Desk<F: Fn(Report)> {
    store: Store,
    inbox: Receiver<Command>,
    report: F,
    epoch: u32,
    /// Units of this epoch are dropped.
    failed: bool,
    /// Taken from the inbox, but not of the last batch.
    next: Option<Command>,
}

impl<F: Fn(Report)> Desk<F> {
    fn load(&mut self) {
        (self.report)(match self.store.load() {
            Ok(restored) => Report::Restored(Box::new(restored)),
            Err(failure) => Report::RestoreFailed(failure),
        });
    }

    /// One command, or one batch. False when there is nothing more to come.
    fn turn(&mut self) -> bool {
        let Some(command) = self.next.take().or_else(|| self.wait()) else { return false };
        match command {
            Command::Persist(unit) => {
                if self.is_due(&unit) {
                    self.write(unit);
                }
            }
            Command::Resume { epoch, reread } => self.resume(epoch, reread),
        }
        true
    }

    /// The next command; in the pauses, maintenance.
    fn wait(&mut self) -> Option<Command> {
        let mut more = true;
        while more {
            match self.inbox.recv_timeout(IDLE) {
                Ok(command) => return Some(command),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => more = self.store.maintain(),
            }
        }
        self.inbox.recv().ok()
    }

    fn is_due(&self, unit: &Unit) -> bool {
        unit.epoch > self.epoch || (unit.epoch == self.epoch && !self.failed)
    }

    /// Writes a unit, with what waits behind it.
    fn write(&mut self, first: Unit) {
        if first.epoch > self.epoch {
            self.epoch = first.epoch;
            self.failed = false;
        }
        let mut batch = vec![first];
        self.gather(&mut batch);
        match self.store.commit(&batch) {
            Ok(committed) => (self.report)(Report::Committed(committed)),
            Err(failure) => {
                self.failed = true;
                (self.report)(Report::Failed(failure));
            }
        }
        // The WAL is bounded even if there never is a pause.
        self.store.move_wal(false);
    }

    /// Takes what else is waiting and may share the transaction.
    fn gather(&mut self, batch: &mut Vec<Unit>) {
        let mut bytes: usize = batch.iter().map(weight).sum();
        if batch.iter().any(|unit| unit.alone) {
            return;
        }
        while batch.len() < BATCH_UNITS_MAX && bytes < BATCH_BYTES_MAX {
            match self.inbox.try_recv() {
                Ok(Command::Persist(unit)) if unit.epoch == self.epoch && !unit.alone => {
                    bytes += weight(&unit);
                    batch.push(unit);
                }
                Ok(Command::Persist(unit)) if unit.epoch < self.epoch => {}
                Ok(other) => {
                    self.next = Some(other);
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn resume(&mut self, epoch: u32, reread: bool) {
        self.epoch = epoch;
        self.failed = false;
        if !reread {
            return;
        }
        match self.store.reopen() {
            Ok(()) => self.load(),
            Err(failure) => {
                self.failed = true;
                (self.report)(Report::RestoreFailed(StoreFailure { epoch, ..failure }));
            }
        }
    }
}

/// Bytes a unit is about to write, roughly.
fn weight(unit: &Unit) -> usize {
    unit.ops
        .iter()
        .map(|op| match op {
            Op::Journal(row) => row.patch.len(),
            Op::Checkpoint(row) => row.root.text_len(),
            Op::End(end) => end.output.len(),
            Op::Key(row) => row.result.len(),
            Op::Work(op) => weight_of_work(op),
            Op::Pin { .. }
            | Op::RecallKey { .. }
            | Op::Begin(_)
            | Op::Restart(_)
            | Op::LoadCheckpoint(_)
            | Op::ListCheckpoints { .. }
            | Op::Prune { .. }
            | Op::Forget { .. }
            | Op::RebuildReserve
            | Op::Meta { .. } => 0,
        })
        .sum()
}

fn weight_of_work(op: &WorkOp) -> usize {
    match op {
        WorkOp::Arrive(arrival) => arrival.body.len(),
        WorkOp::Step(row) => row.outcome.as_ref().map_or(0, |outcome| outcome.len()),
        WorkOp::KvPut(row) => match &row.value {
            KvValue::Json(text) => text.len(),
            KvValue::Bytes(bytes) => bytes.len(),
        },
        WorkOp::Post(row) => row.event.len(),
        WorkOp::Timer(row) => row.event.len(),
        WorkOp::Decision(row) => row.basis.len(),
        WorkOp::Policy(row) => row.text.len(),
        WorkOp::Status(_)
        | WorkOp::Drop { .. }
        | WorkOp::Fetch(_)
        | WorkOp::Unpark { .. }
        | WorkOp::LookEvent { .. }
        | WorkOp::Reopen { .. }
        | WorkOp::History(_)
        | WorkOp::ForgetSteps { .. }
        | WorkOp::LookStep(_)
        | WorkOp::KvDelete { .. }
        | WorkOp::KvGet { .. }
        | WorkOp::KvList(_)
        | WorkOp::DropTimer { .. }
        | WorkOp::DropPost { .. }
        | WorkOp::FetchPosts { .. }
        | WorkOp::LookAgent { .. }
        | WorkOp::Review(_)
        | WorkOp::LookReview(_)
        | WorkOp::LookDecision(_)
        | WorkOp::Calibration(_)
        | WorkOp::DropCalibration { .. } => 0,
    }
}
