//! Job control: Ctrl-Z, `fg` and `bg`; and a terminal that goes away.
//!
//! The agent has a group of its own, so it is stopped and continued along
//! with adrt by adrt. While it has the terminal (`--stdin inherit`) it is the
//! other way round: the terminal stops the agent, and adrt follows, so that
//! the shell sees its job stopped and prompts again.

use std::time::Duration;

use super::driver::Driver;
use crate::clock;
use crate::process::reap::Halt;
use crate::process::terminal;
use crate::signals::Sender;
use crate::supervisor::io::{Input, Level};

/// Nobody lets a job go on as fast as this: the kernel did not stop it.
const NOT_STOPPED: Duration = Duration::from_millis(1);

impl Driver {
    /// Whether a SIGHUP says that the terminal adrt was started from is gone:
    /// the kernel says so, or the shell does, or there is none to be seen.
    pub(super) fn terminal_went_away(&self, sender: Sender) -> bool {
        match sender {
            Sender::Kernel => true,
            Sender::Process { pid, .. } => {
                let gone = || !terminal::has_terminal();
                self.had_terminal && (gone() || terminal::is_session_leader(pid))
            }
            Sender::Unknown => self.had_terminal,
        }
    }

    /// The terminal may have stopped an agent that shares it.
    pub(super) fn look_for_halt(&mut self) {
        let Some(child) = self.child.as_ref().filter(|child| child.shares_terminal) else { return };
        if let Some(why) = child.pid.and_then(|pid| self.reaper.halted_by_terminal(pid)) {
            self.stand_still(why, true);
        }
    }

    /// Stops the agent and adrt, until somebody lets adrt go on. Nobody's time
    /// runs meanwhile.
    pub(super) fn stand_still(&mut self, why: Halt, whole_group: bool) {
        let pid = self.child.as_ref().and_then(|child| child.pid);
        if let Some(pid) = pid {
            let _ended = self.reaper.halt_group(pid, true);
        }
        let shares = self.child.as_ref().is_some_and(|child| child.shares_terminal);
        if self.child.as_ref().is_some_and(|child| child.has_terminal) {
            terminal::give_back_terminal();
        }
        let begun = clock::mono();
        terminal::halt(why, whole_group);
        let span = clock::mono().since(begun);
        let has_terminal = shares && pid.is_some_and(terminal::lend_terminal);
        self.with_child(|child| child.has_terminal = has_terminal);
        self.handle(Input::StoodStill { span });
        if why == Halt::Reads && !has_terminal && span < NOT_STOPPED {
            // It would be stopped again at once, and so on.
            let what = "the agent reads a terminal that adrt has not in its foreground: it is \
                        left stopped";
            self.say(Level::Warning, what);
        } else if let Some(pid) = pid {
            let _ended = self.reaper.halt_group(pid, false);
        }
    }
}
