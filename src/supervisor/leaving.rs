//! How a live agent is made to end.
//!
//! All within `--stop-timeout` T. An agent that speaks the protocol is told
//! `shutdown` at 0 and goes on being answered; at T/2 its stdin closes and
//! SIGTERM, then SIGCONT, go to its group; at T SIGKILL. One that doesn't
//! speak, or has closed its stdin, gets SIGTERM at 0. A second request kills
//! at once. One that hangs, or whose run is to end with a trace (SIGQUIT),
//! gets SIGABRT at 0, and SIGKILL a little later.
//!
//! An attached client goes the same way, but nobody signals it: at T/2 only
//! the wire to it closes, and instead of SIGKILL adrt lets go of it.

use std::time::Duration;

use super::attached;
use super::cause::StartReason;
use super::io::{Effect, GroupSignal, Level, Occasion, Outcome};
use super::machine::{Machine, Phase, Wire};
use super::queue::{Origin, Work};
use crate::clock::Mono;
use crate::protocol::reply;

/// Why it is made to end; the later of these outweigh the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// Nobody knows whether a transaction is on the disk.
    StoreLost,
    /// It holds an event for too long, or gives no sign of life.
    Hang,
    /// An operator wants it started anew.
    Operator,
    /// An old checkpoint is to become its state.
    Restore,
    /// The run is to end.
    Stop,
}

/// Somebody asked for the end of the run: no more starts.
#[derive(Debug)]
pub(super) struct Stopping {
    /// Who, in words.
    pub who: String,
    /// Twice, or there is no state to leave in order.
    pub at_once: bool,
    /// Where the agent was is to be seen: SIGABRT instead of words.
    pub trace: bool,
}

impl Why {
    const fn reason(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Operator => "restart",
            Self::Restore => "restore",
            Self::StoreLost => "store_lost",
            Self::Hang => "hang",
        }
    }
}

/// What a hung agent has to write its trace, at most.
const HANG_GRACE: Duration = Duration::from_secs(5);

/// How far it has come.
#[derive(Debug, Clone)]
pub(super) struct Leaving {
    pub why: Why,
    stage: Stage,
    kill_at: Mono,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// `shutdown` is out; SIGTERM follows then.
    Asked { terminate_at: Mono },
    /// SIGTERM is out.
    Terminated,
    /// SIGKILL is out: what is left is wait's report.
    Killed,
}

impl Leaving {
    /// When the next, harder step is due.
    pub fn next_at(&self) -> Option<Mono> {
        match self.stage {
            Stage::Asked { terminate_at } => Some(terminate_at),
            Stage::Terminated => Some(self.kill_at),
            Stage::Killed => None,
        }
    }
}

impl Machine {
    /// Somebody asked for the end of the run.
    pub(super) fn stop(&mut self, who: &str) {
        self.end_run(who, false);
    }

    /// Somebody asked for it at once, and to see where the agent was.
    pub(super) fn quit(&mut self, who: &str) {
        self.end_run(who, true);
    }

    fn end_run(&mut self, who: &str, trace: bool) {
        self.tell_stopping();
        let at_once = self.stopping.is_some();
        // Who asks twice has seen enough.
        self.stopping = Some(Stopping { who: who.to_owned(), at_once, trace: trace && !at_once });
        match &self.phase {
            Phase::Waiting(_) => {
                self.log(Level::Info, "stopped while waiting to start the agent again");
                self.close(Outcome::Stopped, "stopped during a delay".into(), String::new());
            }
            Phase::Running if at_once => {
                let then =
                    if self.setup.attached { attached::LETTING_GO } else { "killing the agent" };
                self.log_as(
                    Occasion::Killed,
                    Level::Warning,
                    format!("asked a second time to stop, by {who}: {then}"),
                );
                self.begin_leaving(Why::Stop);
                self.kill();
            }
            Phase::Running => {
                self.log(Level::Info, format!("stopping the agent: {who} asked for it"));
                self.begin_leaving(Why::Stop);
            }
            // The end is recorded when there is a state to record it with, and
            // not waited for any longer than the last writes are.
            Phase::Settling(_) => self.settle_waiting(),
            // These go on by themselves and look at `stopping` when they end.
            Phase::Starting | Phase::Draining { .. } => {}
            Phase::Closing { .. } | Phase::Over | Phase::Detached => {}
        }
    }

    /// An operator wants a new incarnation.
    pub(super) fn restart(&mut self, who: &str) {
        match self.phase {
            Phase::Waiting(_) => {
                self.log(Level::Info, format!("starting the agent now: {who} asked for it"));
                self.restarts.forget();
                self.cause.reason = StartReason::Operator;
                self.spawn();
            }
            Phase::Running => {
                self.log(Level::Info, format!("restarting the agent: {who} asked for it"));
                self.asked_by = Some(who.to_owned());
                self.begin_leaving(Why::Operator);
            }
            // It has ended; what follows is still to be decided.
            Phase::Draining { .. } | Phase::Settling(_) => {
                self.asked_by = Some(who.to_owned());
                self.restart_asked = true;
            }
            // A start is under way already, or none will ever be again.
            Phase::Starting | Phase::Closing { .. } | Phase::Over | Phase::Detached => {}
        }
    }

    /// A restore is applied when the agent is gone, or it would write what it
    /// still has in memory over it.
    pub(super) fn restore_when_gone(&mut self, origin: Origin, work: Work) {
        match self.phase {
            Phase::Running | Phase::Starting | Phase::Draining { .. } | Phase::Settling(_) => {
                if let Origin::Operator { uid, .. } = origin {
                    self.asked_by = Some(format!("adrt checkpoints restore (uid {uid})"));
                }
                self.after_leaving.push((origin, work));
                if matches!(self.phase, Phase::Running) {
                    self.begin_leaving(Why::Restore);
                }
            }
            Phase::Waiting(_) => {
                self.queue.push(origin, work);
                self.cause.reason = StartReason::Rollback;
                self.restarts.forget();
                self.spawn();
            }
            Phase::Closing { .. } | Phase::Over | Phase::Detached => self.queue.push(origin, work),
        }
    }

    /// Begins, or changes the reason to a stronger one.
    pub(super) fn begin_leaving(&mut self, why: Why) {
        let (now, timeout) = (self.now.mono, self.setup.stop_timeout);
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        let Some(live) = &mut self.live else { return };
        let quits = why == Why::Stop && self.stopping.as_ref().is_some_and(|s| s.trace);
        self.announced.dirty = true;
        if let Some(leaving) = &mut live.leaving {
            leaving.why = leaving.why.max(why);
            if !quits || leaving.stage == Stage::Killed {
                return;
            }
        }
        if (quits || why == Why::Hang) && !self.setup.attached {
            // It does not listen, or is not to be listened to; SIGABRT leaves a
            // trace of where it was.
            let kill_at = now + timeout.min(HANG_GRACE);
            let why = live.leaving.as_ref().map_or(why, |leaving| leaving.why);
            live.leaving = Some(Leaving { why, stage: Stage::Terminated, kill_at });
            self.signal_group(GroupSignal::Abort);
            return;
        }
        if live.leaving.is_some() {
            return;
        }
        let speaks = live.wire != Wire::Closed && live.outbox.is_open();
        let stage = if speaks {
            Stage::Asked { terminate_at: now + timeout / 2 }
        } else {
            Stage::Terminated
        };
        live.leaving = Some(Leaving { why, stage, kill_at: now + timeout });
        if speaks {
            let deadline = timeout.as_millis();
            let params = format!("{{\"reason\":\"{}\",\"deadline_ms\":{deadline}}}", why.reason());
            live.outbox.line(reply::notification_line("shutdown", &params));
            self.pump_outbox();
        } else if self.setup.attached {
            // It can't be told, and there is nothing else to be done to it.
            self.kill();
        } else {
            self.terminate();
        }
    }

    fn terminate(&mut self) {
        let Some(live) = &mut self.live else { return };
        live.outbox.seal();
        self.out.push(Effect::CloseStdin { incarnation: live.incarnation });
        self.signal_group(GroupSignal::Terminate);
    }

    pub(super) fn kill(&mut self) {
        if let Some(live) = &mut self.live
            && let Some(leaving) = &mut live.leaving
            && leaving.stage != Stage::Killed
        {
            leaving.stage = Stage::Killed;
            if self.setup.attached {
                self.let_go();
            } else {
                self.signal_group(GroupSignal::Kill);
            }
        }
    }

    /// Takes the next step if its time has come.
    pub(super) fn press_on_leaving(&mut self) {
        let now = self.now.mono;
        // Once wait has reported its end, its number may be somebody else's.
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        let Some(leaving) = self.live.as_mut().and_then(|live| live.leaving.as_mut()) else {
            return;
        };
        if leaving.next_at().is_none_or(|at| at > now) {
            return;
        }
        match leaving.stage {
            Stage::Asked { .. } => {
                leaving.stage = Stage::Terminated;
                self.terminate();
            }
            Stage::Terminated => {
                let then = if self.setup.attached { attached::LETTING_GO } else { "killing it" };
                self.log_as(
                    Occasion::Killed,
                    Level::Warning,
                    format!("the agent did not end in time: {then}"),
                );
                self.kill();
            }
            Stage::Killed => {}
        }
    }
}

#[cfg(test)]
mod tests;
