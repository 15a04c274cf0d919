//! A disk that refuses.
//!
//! A batch that failed before its COMMIT was not applied: the speculation is
//! dropped and its requests run again in order, each in a transaction of its
//! own, once. What fails then is answered `store_failed`. A failure *in*
//! COMMIT is another matter: the frame may or may not be there. Then the
//! answer is `outcome_unknown`, the file is read again, and the agent starts
//! anew from what is really there; unless nothing but adrt's own records is in
//! doubt, of which the agent knows nothing.
//!
//! While a disk is known to refuse, writes of the agent are refused without
//! trying, so that the room the reserve file left stays for what must be
//! written: the ledger, a last checkpoint, pruning. A probe finds out when it
//! takes writes again. adrt's own records wait meanwhile.
//!
//! A file past its budget is no trouble of the disk: writes are refused until
//! there is room, and each refusal, once in a while, has the store shed what
//! it can.

use std::time::Duration;

use super::io::{
    CheckpointReason, Committed, Effect, Level, Occasion, StoreFailure, StoreFailureKind,
};
use super::leaving::{Stopping, Why};
use super::machine::{Machine, Phase};
use super::queue::{Body, Flight, Origin, Own, Waiting, Work};
use crate::clock::{Mono, Wall, span};
use crate::protocol::error::{Kind, WireError};
use crate::protocol::message::Request;

/// How often a disk that refuses is tried.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// adrt's own records that wait for the disk at most; older ones are dropped
/// and counted, so that a crash loop on a full disk does not grow adrt.
const OWED_MAX: usize = 64;

/// What is known of it.
#[derive(Debug)]
pub(super) struct Trouble {
    pub kind: StoreFailureKind,
    pub message: String,
    pub since: Wall,
    begun: Mono,
    /// When it is tried next, at the earliest.
    pub probe_at: Mono,
    /// Requests refused meanwhile.
    pub refused: u64,
    /// adrt's own records that wait.
    pub owed: Vec<Own>,
    /// A probe is under way.
    probing: bool,
}

impl Machine {
    /// Units are on the disk.
    pub(super) fn committed(&mut self, committed: Committed) {
        let age = self.age();
        let Some(book) = &mut self.book else { return };
        book.used_bytes = committed.used_bytes;
        book.wear.add(age, committed.written_bytes);
        let (counters, now) = (&mut self.counters, self.now.mono);
        counters.written_bytes += committed.written_bytes;
        self.queue.settle(committed.receipts, |flight| {
            counters.committed(flight.tally, now);
            if let Some(after) = &flight.after {
                book.commit(after.clone());
            }
        });
    }

    /// A transaction failed.
    pub(super) fn store_failed(&mut self, failure: StoreFailure) {
        if failure.epoch != self.epoch {
            return;
        }
        self.epoch += 1;
        self.out.push(Effect::Resume { epoch: self.epoch, reread: failure.outcome_unknown });
        let unanswered = self.take_back();
        if failure.outcome_unknown {
            self.outcome_unknown(&failure, unanswered);
        } else {
            self.try_again(&failure, unanswered);
        }
    }

    /// Undoes the speculation; gives back what is unanswered, oldest first.
    fn take_back(&mut self) -> Vec<Flight> {
        let mut unanswered = Vec::new();
        for flight in self.queue.recall() {
            if flight.committed {
                self.answer(flight);
            } else {
                if let Some(book) = &mut self.book {
                    flight.keys.iter().for_each(|key| book.forget_key(key));
                    flight.ids.iter().for_each(|id| book.forget_event(id));
                }
                unanswered.push(flight);
            }
        }
        if let Some(book) = &mut self.book {
            book.revert();
        }
        self.way_back.taken_back();
        if let Some(live) = &mut self.live {
            live.subscription.clone_from(&live.subscribed);
        }
        unanswered
    }

    fn try_again(&mut self, failure: &StoreFailure, unanswered: Vec<Flight>) {
        // One that ran alone already is at the head, and it is the one that failed.
        if failure.reserve_freed || unanswered.first().is_some_and(|f| f.second_try) {
            self.begin_trouble(failure);
        }
        for flight in unanswered.into_iter().rev() {
            let Flight { origin, work, second_try, unit, size, .. } = flight;
            if second_try && unit.is_some() {
                self.give_up(failure, &origin, work);
            } else {
                self.queue.push_front(Waiting { origin, work, second_try: true, size });
            }
        }
    }

    /// It failed alone, too.
    fn give_up(&mut self, failure: &StoreFailure, origin: &Origin, work: Work) {
        match work {
            Work::Own(Own::Ended(mut end)) => {
                // Others may write before it is written after all.
                end.version = self.book.as_ref().map_or(0, |book| book.doc.version);
                self.owe(Own::Ended(end));
            }
            Work::Own(own) => {
                self.desk_is_done(&own, false);
                self.owe(own);
            }
            Work::Answered(body) => self.answer_body(origin, body, &[]),
            Work::Request(_) | Work::Restore { .. } | Work::Informed { .. } => {
                if let Some(trouble) = &mut self.trouble {
                    trouble.refused += 1;
                }
                self.answer_body(origin, Body::Error(store_error(failure)), &[]);
            }
        }
    }

    fn owe(&mut self, own: Own) {
        if let Own::Checkpoint(CheckpointReason::Request) = own {
            self.log(Level::Warning, "the checkpoint that was asked for was not taken");
        }
        let keep = match own {
            Own::Begin(_)
            | Own::Ended(_)
            | Own::Farewell
            | Own::Restart
            | Own::Posted { .. }
            | Own::Meta { .. } => true,
            // Due again by themselves.
            Own::Checkpoint(_)
            | Own::Probe
            | Own::MakeRoom
            | Own::HandOut
            | Own::Fetch
            | Own::Timers
            | Own::Source(_)
            | Own::FetchPosts => false,
        };
        let Some(trouble) = &mut self.trouble else { return };
        trouble.probing = false;
        if keep {
            if trouble.owed.len() == OWED_MAX {
                trouble.owed.remove(0);
            }
            trouble.owed.push(own);
        }
    }

    fn begin_trouble(&mut self, failure: &StoreFailure) {
        let now = self.now.mono;
        let probe_at = now + PROBE_INTERVAL;
        if let Some(trouble) = &mut self.trouble {
            trouble.kind = failure.kind;
            trouble.probe_at = probe_at;
            trouble.message.clone_from(&failure.message);
            return;
        }
        self.log_as(
            Occasion::StoreFailing,
            Level::Error,
            format!("{}: {}; {}", headline(failure.kind), failure.message, advice(failure.kind)),
        );
        self.trouble = Some(Trouble {
            kind: failure.kind,
            message: failure.message.clone(),
            since: self.now.wall,
            begun: now,
            // A file that is read again is tried as soon as it has been: for
            // all that is known it was one bad moment.
            probe_at: if failure.outcome_unknown { now } else { probe_at },
            refused: 0,
            owed: Vec::new(),
            probing: false,
        });
        self.announced.dirty = true;
    }

    fn outcome_unknown(&mut self, failure: &StoreFailure, unanswered: Vec<Flight>) {
        self.begin_trouble(failure);
        // What is held is only known here, and not any more.
        let mut astray =
            self.book.as_ref().is_some_and(|book| book.doc.agenda.inbox.held_count() > 0);
        let mut again = Vec::new();
        for flight in unanswered {
            let in_doubt = flight.in_doubt();
            let Flight { origin, work, size, after, .. } = flight;
            let work = match work {
                Work::Own(own) => {
                    self.source_lost(&own);
                    self.desk_is_done(&own, false);
                    self.owe(own);
                    continue;
                }
                Work::Request(_) | Work::Restore { .. } | Work::Informed { .. } if in_doubt => {
                    astray |= after.is_some();
                    Work::Answered(Body::Error(unknown_error(failure)))
                }
                // What only looks is done again, in its place in the line.
                Work::Request(_)
                | Work::Restore { .. }
                | Work::Informed { .. }
                | Work::Answered(_) => work,
            };
            again.push(Waiting { origin, work, second_try: false, size });
        }
        again.into_iter().rev().for_each(|waiting| self.queue.push_front(waiting));
        self.book = None;
        if let Some(live) = &mut self.live {
            live.leases.clear();
        }
        if astray {
            self.begin_leaving(Why::StoreLost);
        }
    }

    /// The file could not be read again, or not at all.
    pub(super) fn restore_failed(&mut self, failure: &StoreFailure) {
        self.log_as(
            Occasion::StoreUnreadable,
            Level::Error,
            format!("can't read the state: {}", failure.message),
        );
        let who = "a store that can't be read".into();
        self.stopping = Some(Stopping { who, at_once: true, trace: false });
        self.store_dead = Some(failure.message.clone());
        match self.phase {
            Phase::Running => {
                self.begin_leaving(Why::StoreLost);
                self.kill();
            }
            Phase::Waiting(_) | Phase::Settling(_) | Phase::Closing { .. } | Phase::Detached => {
                self.die_of_store();
            }
            Phase::Starting | Phase::Draining { .. } | Phase::Over => {}
        }
    }

    pub(super) fn probe(&mut self) {
        let probe_at = self.now.mono + PROBE_INTERVAL;
        let Some(trouble) = &mut self.trouble else { return };
        trouble.probe_at = probe_at;
        if !trouble.probing && self.book.is_some() {
            trouble.probing = true;
            self.write_own(Own::Probe);
        }
    }

    pub(super) fn probed(&mut self, free: bool) {
        let Some(trouble) = &mut self.trouble else { return };
        trouble.probing = false;
        if !free {
            return;
        }
        let Some(trouble) = self.trouble.take() else { return };
        let waited = self.now.mono.since(trouble.begun);
        self.log_as(
            Occasion::StoreRecovered,
            Level::Info,
            format!(
                "the disk takes writes again after {}; {} writes were refused, none lost",
                span(waited),
                trouble.refused
            ),
        );
        for own in trouble.owed {
            self.write_own(own);
        }
        self.announced.dirty = true;
    }

    /// Whether a request is refused without trying, because the disk is known
    /// to refuse or the budget is used up.
    pub(super) fn trouble_refuses(
        &mut self,
        origin: &Origin,
        work: &Work,
        second_try: bool,
    ) -> Option<WireError> {
        if matches!(origin, Origin::Own) || second_try || !grows(work) {
            return None;
        }
        if let Some(trouble) = &mut self.trouble {
            trouble.refused += 1;
            return Some(refusal(trouble.kind, &trouble.message));
        }
        let (used, most) = (self.book.as_ref()?.used_bytes, self.setup.max_db);
        // Exactly at it the store sheds nothing: so nothing is refused either.
        if used <= most {
            return None;
        }
        self.make_room();
        let message = format!(
            "the database has {used} bytes and may have {most} (--max-db); prune, or raise it"
        );
        Some(WireError::new(Kind::StoreFailed, message).with_text("reason", "budget"))
    }

    /// Without a transaction the store sheds nothing, and nobody would learn
    /// that there is room again.
    fn make_room(&mut self) {
        let now = self.now.mono;
        if self.room_made_at.is_none_or(|at| at + PROBE_INTERVAL <= now) {
            self.room_made_at = Some(now);
            self.write_own(Own::MakeRoom);
        }
    }
}

/// Whether it makes the file larger.
fn grows(work: &Work) -> bool {
    match work {
        Work::Restore { .. } | Work::Informed { .. } => true,
        Work::Own(_) | Work::Answered(_) => false,
        Work::Request(request) => match request {
            Request::Write(_) | Request::CheckpointRestore(_) => true,
            Request::Initialize(_)
            | Request::Ready { .. }
            | Request::StateGet { .. }
            | Request::Look(_)
            | Request::Assess(_)
            | Request::Subscribe(_)
            | Request::EventNext { .. }
            | Request::CheckpointList { .. }
            | Request::CheckpointPrune { .. }
            | Request::HistoryForget { .. }
            | Request::RunFinish { .. }
            | Request::Heartbeat(_)
            | Request::Log(_)
            | Request::Status
            | Request::Reload
            | Request::Stop
            | Request::Restart => false,
        },
    }
}

/// `store_failed`.
pub(super) fn store_error(failure: &StoreFailure) -> WireError {
    refusal(failure.kind, &failure.message)
}

fn refusal(kind: StoreFailureKind, message: &str) -> WireError {
    let mut error = WireError::new(
        Kind::StoreFailed,
        format!("{}: {message}; nothing of this request was applied", headline(kind)),
    )
    .with_text("reason", reason(kind));
    error.retryable = kind.retryable();
    error
}

fn unknown_error(failure: &StoreFailure) -> WireError {
    WireError::new(
        Kind::OutcomeUnknown,
        format!(
            "{} in COMMIT: {}; ask again with the same key after the restart that follows",
            headline(failure.kind),
            failure.message
        ),
    )
}

/// Its name on the wire.
pub(super) const fn reason(kind: StoreFailureKind) -> &'static str {
    match kind {
        StoreFailureKind::Full => "full",
        StoreFailureKind::ReadOnly => "read_only",
        StoreFailureKind::Io => "io",
        StoreFailureKind::Damaged => "damaged",
        StoreFailureKind::Other => "other",
    }
}

/// What it is called in a line for people.
pub(super) const fn headline(kind: StoreFailureKind) -> &'static str {
    match kind {
        StoreFailureKind::Full => "store: disk full",
        StoreFailureKind::ReadOnly => "store: read-only",
        StoreFailureKind::Io => "store: the disk fails",
        StoreFailureKind::Damaged => "store: the database is damaged",
        StoreFailureKind::Other => "store: SQLite refused",
    }
}

/// What to do about it.
pub(super) const fn advice(kind: StoreFailureKind) -> &'static str {
    match kind {
        StoreFailureKind::Full => "make room; writing goes on by itself then",
        StoreFailureKind::ReadOnly => "mount it writable; writing goes on by itself then",
        StoreFailureKind::Io => "look at the kernel's log; it is tried again every second",
        StoreFailureKind::Damaged => "stop the agent and see `adrt run --help` on --on-damage",
        StoreFailureKind::Other => "it is tried again every second",
    }
}

#[cfg(test)]
mod tests;
