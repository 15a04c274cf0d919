//! What the service manager is told of a start, and how it is kept waiting.
//!
//! READY goes out at the first of: the agent's `ready`; `--ready-timeout` after
//! the spawn; the end of the first incarnation. With `--ready agent` it goes
//! out at the agent's `ready` alone, however many incarnations that takes, and
//! meanwhile the manager is asked for more time again and again: it fails a
//! start that is neither ready nor heard of.

use std::time::Duration;

use super::io::{Effect, Notice};
use super::machine::{Machine, Phase, Readiness};

/// So much time is asked for at once …
const TIME_ASKED: Duration = Duration::from_secs(30);
/// … and so often: two words that are lost fail no start.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// What closing the database may take beyond the last writes' own deadline.
const CLOSE_MARGIN: Duration = Duration::from_secs(10);

impl Machine {
    /// The agent is ready, or counts as ready.
    pub(super) fn tell_ready(&mut self) {
        if self.ready != Readiness::Told {
            self.ready = Readiness::Told;
            self.out.push(Effect::Notify(Notice::Ready));
        }
    }

    /// The first incarnation has ended: nothing more is waited for, unless the
    /// agent alone can say that it is ready.
    pub(super) fn ready_or_not(&mut self) {
        match self.ready {
            Readiness::Pending(_) => self.tell_ready(),
            Readiness::AgentsWord(_) | Readiness::Told => {}
        }
    }

    /// No start will follow: somebody asked for the end, or the run is over.
    /// What still waits for a mere time is ready before that: a READY that comes
    /// after STOPPING would make no sense, and a start that never was ready is
    /// one that failed.
    pub(super) fn tell_stopping(&mut self) {
        let is_over = matches!(self.phase, Phase::Over | Phase::Detached);
        if is_over || std::mem::replace(&mut self.announced.stopping, true) {
            return;
        }
        self.ready_or_not();
        self.out.push(Effect::Notify(Notice::Stopping));
    }

    /// The run begins. The first word must come before the manager's own
    /// patience is over, which may be short.
    pub(super) fn wait_for_agents_word(&mut self) {
        if self.setup.ready_from_agent {
            self.ask_for_time_to_start();
        }
    }

    /// A deadline may have passed.
    pub(super) fn readiness_is_due(&mut self) {
        let now = self.now.mono;
        match self.ready {
            Readiness::Pending(Some(at)) if at <= now => self.tell_ready(),
            Readiness::AgentsWord(at) if at <= now => self.ask_for_time_to_start(),
            Readiness::Pending(_) | Readiness::AgentsWord(_) | Readiness::Told => {}
        }
    }

    fn ask_for_time_to_start(&mut self) {
        self.ready = Readiness::AgentsWord(self.now.mono + ASK_EVERY);
        self.out.push(Effect::Notify(Notice::ExtendTimeout(TIME_ASKED)));
    }

    /// The last checkpoint and the last records are being written. Once is
    /// enough: their deadline is known.
    pub(super) fn ask_for_time_to_close(&mut self) {
        if let Readiness::AgentsWord(_) = self.ready {
            // It never will be.
            self.ready = Readiness::Pending(None);
        }
        let time = self.setup.stop_timeout.saturating_add(CLOSE_MARGIN);
        self.out.push(Effect::Notify(Notice::ExtendTimeout(time)));
    }
}

#[cfg(test)]
mod tests;
