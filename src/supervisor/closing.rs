//! The end of a run: the last writes, and how long they are waited for.

use super::book::Book;
use super::io::{Effect, Level, Outcome, Verdict};
use super::machine::{Machine, Phase};
use super::queue::Own;

impl Machine {
    /// No further start. What is unwritten is written, then the run is over.
    pub(super) fn close(&mut self, outcome: Outcome, message: String, why: String) {
        self.tell_stopping();
        self.ask_for_time_to_close();
        // A start after a requested stop, or by another `adrt run` after the
        // run was over, is not held up by what happened before.
        self.restarts.run_is_over();
        match outcome {
            Outcome::Stopped | Outcome::Done => self.restarts.forget(),
            Outcome::GaveUp
            | Outcome::Fatal
            | Outcome::AgentFailed(_)
            | Outcome::ExecFailed(_)
            | Outcome::StoreFailed => {}
        }
        self.write_own(Own::Farewell);
        let message = if why.is_empty() { message } else { format!("{message}: {why}") };
        self.tell_end(outcome, &message);
        let deadline = self.now.mono + self.setup.stop_timeout;
        self.set_phase(Phase::Closing { verdict: Verdict { outcome, message }, deadline });
    }

    pub(super) fn close_if_done(&mut self) {
        let Phase::Closing { verdict, deadline } = &self.phase else { return };
        let verdict = verdict.clone();
        // What a disk in trouble still owes is waited for as well.
        let left = self.queue.len() + self.trouble.as_ref().map_or(0, |t| t.owed.len());
        let in_time = *deadline > self.now.mono;
        if left > 0 && in_time {
            return;
        }
        // An operator may have changed the state since the last checkpoint;
        // while the file is read again, nobody knows.
        match self.book.as_ref().map(Book::is_dirty) {
            None if in_time => return,
            Some(true) if in_time => {
                self.write_own(Own::Farewell);
                return self.pump();
            }
            None | Some(_) => {}
        }
        if left > 0 {
            self.log(
                Level::Error,
                format!("the disk took no more: {left} last records were not written; no acknowledged write is among them"),
            );
        }
        self.out.push(Effect::Exit(verdict));
        self.set_phase(Phase::Over);
    }

    /// Nothing can be written any more: the run ends without its last records.
    pub(super) fn die_of_store(&mut self) {
        let message = self.store_dead.clone().unwrap_or_default();
        let outcome = Outcome::StoreFailed;
        self.tell_end(outcome, &message);
        self.out.push(Effect::Exit(Verdict { outcome, message }));
        self.set_phase(Phase::Over);
    }
}
