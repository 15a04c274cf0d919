//! Whether the agent still gives a sign of life: `--hang-timeout`.
//!
//! ```text
//!            no sign for T              nor while all it wrote is read
//!  (alive) ───────────────► (doubted) ───────────────────────────────► hung: SIGABRT, SIGKILL
//!     ▲                         │
//!     └── a sign, an excuse ────┘
//! ```
//!
//! A sign is any frame, and what a script says for it on the control socket
//! (`adrt notify heartbeat`, `adrt events ack`, …); before `initialize`, any
//! output at all. Text is not handed to the machine, so that a flood of it
//! costs nothing: the loop is asked for it ([`Machine::doubts_life`]) only when
//! the time is over, and tells it by [`Input::Output`].
//!
//! Silence is excused as long as the next word is adrt's or somebody else's:
//! - an answer is owed, or adrt takes no more of its lines for the disk's sake;
//! - whoever reads adrt's own output takes no more of its text;
//! - it waits for an event, and there is none that it could have;
//! - it is made to end already.
//!
//! When the excuse is over its time begins anew. What it was told and does not
//! read is no excuse: adrt waits for it then, and that it reads is the sign.
//!
//! A deadline that adrt itself comes to much too late proves nothing: adrt stood
//! still, and what the agent said meanwhile is still in its pipe. Leases of
//! events (`--event-timeout`) are treated alike.
//!
//! An attached client is nobody's to kill, so it has no such time.
//!
//! [`Input::Output`]: super::io::Input::Output

use std::time::Duration;

use super::io::{Incarnation, Level, Occasion};
use super::leaving::Why;
use super::machine::{Live, Machine, Phase, Wire};
use crate::clock::{Mono, span};
use crate::protocol::message::{Request, WriteOp};
use crate::protocol::work::WorkWrite;

/// From the doubt to the deed: what the agent wrote in time is read meanwhile.
const DOUBT: Duration = Duration::from_millis(100);
/// A deadline that is noticed later than this was not missed by the agent, but
/// by adrt: it had been stopped, or the whole machine stood still.
const LATE: Duration = Duration::from_secs(1);

/// What is known of an incarnation's life.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    /// Its last sign, or the end of its last excuse.
    heard: Mono,
    /// Its time is over; it counts as hung if nothing is heard until then.
    doubted: Option<Mono>,
}

impl Pulse {
    /// It was started.
    pub const fn begun(now: Mono) -> Self {
        Self { heard: now, doubted: None }
    }

    fn hear(&mut self, at: Mono) {
        if at >= self.heard {
            *self = Self::begun(at);
        }
    }
}

impl Machine {
    /// How long it may be silent.
    pub(super) fn hang_timeout(&self) -> Option<Duration> {
        self.setup.hang_timeout.filter(|_| !self.setup.attached)
    }

    /// The live agent said something at this moment.
    pub(super) fn sign_of_life(&mut self) {
        let now = self.now.mono;
        if let Some(live) = &mut self.live {
            live.pulse.hear(now);
        }
    }

    /// Somebody asked for something on the control socket that only an agent
    /// asks for: its script speaks for it.
    pub(super) fn sign_by_request(&mut self, request: &Request) {
        if speaks_for_agent(request) {
            self.sign_of_life();
        }
    }

    /// What the loop knows of its text: when it last wrote any, and until when
    /// it had to wait for somebody to take it.
    pub(super) fn output(
        &mut self,
        incarnation: Incarnation,
        wrote: Option<Mono>,
        held_up: Option<Mono>,
    ) {
        let Some(live) = self.live.as_mut().filter(|live| live.incarnation == incarnation) else {
            return;
        };
        // One that speaks has better words than text.
        let wrote = wrote.filter(|_| live.wire == Wire::Closed);
        if let Some(at) = wrote.max(held_up) {
            live.pulse.hear(at);
        }
    }

    /// adrt was stopped along with the agent for so long: no time of either
    /// has passed.
    pub(super) fn stood_still(&mut self, still: Duration) {
        let now = self.now.mono;
        let Some(live) = &mut self.live else { return };
        live.pulse.hear((live.pulse.heard + still).min(now));
        live.leases.values_mut().for_each(|until| *until = *until + still);
    }

    /// Before anything is made of an input: the time since the last one is not
    /// held against the agent if it had an excuse, or if adrt was away.
    pub(super) fn excuse_silence(&mut self) {
        let now = self.now.mono;
        let missed = |at: Mono| at + LATE <= now;
        // Not looked into where nobody would be killed for it: this is on the
        // way of every line.
        let times_it = self.hang_timeout().is_some();
        let excused = times_it && (self.is_excused() || self.pulse_deadline().is_some_and(missed));
        let lease = self.setup.events.timeout;
        let Some(live) = &mut self.live else { return };
        if excused {
            live.pulse.hear(now);
        }
        if let Some(lease) = lease {
            live.leases.values_mut().filter(|at| missed(**at)).for_each(|at| *at = now + lease);
        }
    }

    /// Whether the agent has been silent for too long: then the loop tells
    /// what it knows of its text, by [`super::io::Input::Output`].
    pub fn doubts_life(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.pulse.doubted.is_some())
    }

    /// When its silence is looked at next.
    pub(super) fn pulse_deadline(&self) -> Option<Mono> {
        let timeout = self.hang_timeout()?;
        let pulse = self.live.as_ref()?.pulse;
        let at = pulse.doubted.unwrap_or(pulse.heard + timeout);
        (!self.is_excused()).then_some(at)
    }

    /// Ends an agent that hangs.
    pub(super) fn check_pulse(&mut self) {
        let now = self.now.mono;
        let (Some(timeout), Some(at)) = (self.hang_timeout(), self.pulse_deadline()) else {
            return;
        };
        let Some(live) = self.live.as_mut().filter(|_| at <= now) else { return };
        if live.pulse.doubted.is_none() {
            live.pulse.doubted = Some(now + DOUBT);
            return;
        }
        live.pulse.doubted = None;
        self.hangs(format!("no sign of life for {}", span(timeout)), "--hang-timeout");
    }

    /// It is made to end, and why is remembered for the ledger.
    pub(super) fn hangs(&mut self, how: String, option: &str) {
        self.log_as(Occasion::Killed, Level::Warning, format!("the agent hangs: {how} ({option})"));
        if let Some(live) = &mut self.live {
            live.hung = Some(how);
        }
        self.begin_leaving(Why::Hang);
    }

    /// Whether its silence says nothing about it.
    fn is_excused(&self) -> bool {
        let Some(live) = self.live.as_ref().filter(|_| matches!(self.phase, Phase::Running)) else {
            return true;
        };
        live.leaving.is_some()
            || self.queue.owes_agent()
            || !self.takes_lines()
            || self.waits_for_event(live)
    }

    /// Whether it, or a script of its, waits for an event and has none in
    /// hand. Were there one that it could have, it would have been handed out.
    fn waits_for_event(&self, live: &Live) -> bool {
        let asks = live.subscribed.as_ref().is_some_and(|wanted| wanted.credit > 0);
        // What is on its way to the disk it has not been told of yet, or has
        // settled already.
        let has_some = self.book.as_ref().is_some_and(|book| {
            book.committed().agenda.inbox.shares_held_with(&book.doc.agenda.inbox)
        });
        // One that has closed its stdin waits in vain.
        let can_have = asks && live.outbox.is_open() && !live.finished;
        !has_some && (self.has_waiters() || can_have)
    }
}

/// Whether it is an agent's own business.
fn speaks_for_agent(request: &Request) -> bool {
    match request {
        Request::Ready { .. } | Request::Heartbeat(_) | Request::EventNext { .. } => true,
        Request::Write(write) => write.ops.iter().any(|op| match op {
            WriteOp::Work(work) => match work {
                WorkWrite::Ack(_)
                | WorkWrite::Nack(_)
                | WorkWrite::Park(_)
                | WorkWrite::Extend { .. }
                | WorkWrite::StepBegin(_)
                | WorkWrite::StepComplete(_) => true,
                // An operator does these as well.
                WorkWrite::Emit(_)
                | WorkWrite::StepForget { .. }
                | WorkWrite::Kv(_)
                | WorkWrite::TimerSet(_)
                | WorkWrite::TimerCancel { .. }
                | WorkWrite::ReviewRequest(_)
                | WorkWrite::ReviewResolve(_)
                | WorkWrite::Process(_)
                | WorkWrite::Decide(_)
                | WorkWrite::Outcome(_)
                | WorkWrite::Retry { .. }
                | WorkWrite::Drop { .. } => false,
            },
            WriteOp::Patch { .. } | WriteOp::Checkpoint { .. } => false,
        }),
        Request::Initialize(_)
        | Request::StateGet { .. }
        | Request::Look(_)
        | Request::Assess(_)
        | Request::Subscribe(_)
        | Request::CheckpointList { .. }
        | Request::CheckpointRestore(_)
        | Request::CheckpointPrune { .. }
        | Request::HistoryForget { .. }
        | Request::RunFinish { .. }
        | Request::Log(_)
        | Request::Status
        | Request::Reload
        | Request::Stop
        | Request::Restart => false,
    }
}

#[cfg(test)]
mod tests;
