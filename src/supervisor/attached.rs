//! An agent that adrt did not start: a client that started `adrt attach` and
//! speaks the wire on its stdin and stdout.
//!
//! It is served like any other, for one incarnation, less all supervision.
//! adrt knows nothing of its process: it is told to leave and let go of, and
//! never signalled; no start follows its end; and what takes one (a restart,
//! a restore by an operator) is refused.
//!
//! ```text
//!  Running ──its side of the wire closes──► last answers leave ──► let go ──► Draining
//!     │                                       no byte for T ──────────┘
//!     └──a stop: T is over, or it was asked twice ────────────────────┘
//! ```
//!
//! That its side of the wire closed means that it is done, or dead: there is
//! no telling, so it counts as done. It may still read: the answers to what it
//! said before are sent, for as long as it goes on taking them.

use super::exit::EXIT_NOT_EXECUTABLE;
use super::io::{Effect, Exit, ExitClass, Incarnation, Level, Outcome};
use super::leaving::Why;
use super::lifecycle::Settled;
use super::machine::{Live, Machine, Phase};
use super::restart::Next;
use crate::clock::Mono;
use crate::protocol::error::{Kind, WireError};

/// What is done where another agent would be killed.
pub(super) const LETTING_GO: &str = "letting go of the client";

impl Live {
    /// It is to be served on: neither asked to leave nor leaving by itself.
    pub fn stays(&self) -> bool {
        self.leaving.is_none() && self.eof.is_none()
    }
}

impl Machine {
    /// The client's side of the wire has closed.
    pub(super) fn eof(&mut self, incarnation: Incarnation) {
        let deadline = self.now.mono + self.setup.stop_timeout;
        if !self.setup.attached || !matches!(self.phase, Phase::Running) {
            return;
        }
        if let Some(live) = self.live.as_mut().filter(|live| live.incarnation == incarnation)
            && live.eof.is_none()
        {
            live.eof = Some(deadline);
            self.log(Level::Debug, "the client has closed its side of the wire");
        }
    }

    /// It takes what it is told, so it is given time for the rest.
    pub(super) fn still_reads(&mut self) {
        let deadline = self.now.mono + self.setup.stop_timeout;
        if let Some(eof) = self.live.as_mut().and_then(|live| live.eof.as_mut()) {
            *eof = deadline;
        }
    }

    /// Until when the last answers may take to leave.
    pub(super) fn eof_deadline(&self) -> Option<Mono> {
        self.live.as_ref().filter(|_| matches!(self.phase, Phase::Running))?.eof
    }

    /// A client that says nothing more is let go of once it has been told
    /// everything, or takes nothing any more.
    pub(super) fn let_go_if_answered(&mut self) {
        let Some(deadline) = self.eof_deadline() else { return };
        let Some(live) = &self.live else { return };
        let told = live.outbox.is_empty() && !self.queue.has_of(live.incarnation);
        if told || deadline <= self.now.mono {
            self.let_go();
        }
    }

    /// The end of the wire, whatever the client thinks of it.
    pub(super) fn let_go(&mut self) {
        let Some(live) = &mut self.live else { return };
        live.outbox.close();
        self.out.push(Effect::LetGo { incarnation: live.incarnation });
        // Nobody knows how it ends; it counts as done.
        self.set_phase(Phase::Draining { exit: Exit::Code(0), oom: None });
    }

    /// Why an operator's `restart` is not done, if it isn't.
    pub(super) fn refuses_restart(&self) -> Option<WireError> {
        self.setup.attached.then(|| {
            let what = "the agent is attached: adrt did not start its process and can't start it \
                        anew; adrt stop lets go of it, and it may attach again";
            WireError::new(Kind::Attached, what)
        })
    }

    /// Why an operator's `checkpoint.restore` is not done, if it isn't: not
    /// while there is a client, nor before all of its end is written down.
    pub(super) fn refuses_restore(&self) -> Option<WireError> {
        let there = match self.phase {
            Phase::Starting | Phase::Running | Phase::Draining { .. } | Phase::Settling(_) => true,
            Phase::Waiting(_) | Phase::Closing { .. } | Phase::Over | Phase::Detached => false,
        };
        (self.setup.attached && there).then(|| {
            let what = "the agent is attached: adrt can't start it anew with an older state, and \
                        it would write over it what it has in memory; stop it first, or restore \
                        from within it";
            WireError::new(Kind::Attached, what)
        })
    }
}

/// How it ended, as far as that can be known.
pub(super) fn summary(live: &Live, class: ExitClass) -> String {
    let how = match live.eof {
        _ if class == ExitClass::Finished => "finished",
        Some(_) => "closed the wire",
        None => "was let go of",
    };
    how.to_owned()
}

/// What follows: the end, always.
pub(super) fn after(settled: &Settled) -> Next {
    let (outcome, why) = match settled.why {
        // Even if it said that it was done: it never heard that this was kept.
        Some(Why::StoreLost) => (
            Outcome::StoreFailed,
            "what is on the disk may not be what the client was told; attach again to go on \
             from what is there",
        ),
        Some(Why::Hang | Why::Operator | Why::Restore | Why::Stop) | None => {
            if settled.class == ExitClass::ExecFailed {
                let outcome = Outcome::ExecFailed(EXIT_NOT_EXECUTABLE);
                (outcome, "the wire could not be set up")
            } else {
                (Outcome::Done, "the client is done")
            }
        }
    };
    Next::End { outcome, why: why.into() }
}

#[cfg(test)]
mod tests;
