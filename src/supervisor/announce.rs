//! The one line that `systemctl status` shows of a run.
//!
//! It is told again when something in it has changed that a person would
//! want to know at once. The state's version may change thousands of times a
//! second: a new one is told every [`PAUSE`] at most.

use std::fmt::Write as _;
use std::time::Duration;

use super::io::{Effect, Notice};
use super::machine::{Machine, Phase};
use super::trouble;
use crate::clock::{Mono, Wall, span};

/// Between two lines that differ in numbers only.
const PAUSE: Duration = Duration::from_secs(5);

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Announced {
    /// More than numbers may have changed since.
    pub dirty: bool,
    /// STOPPING=1 is out.
    pub stopping: bool,
    line: String,
    numbers: (u64, usize),
    at: Option<Mono>,
}

impl Machine {
    /// Tells what has changed, if it is time for it.
    pub(super) fn announce(&mut self) {
        let due = self.announced.dirty || self.announce_at().is_some_and(|at| at <= self.now.mono);
        if !due || matches!(self.phase, Phase::Detached | Phase::Over) {
            return;
        }
        let line = self.status_line();
        let numbers = self.numbers();
        let announced = &mut self.announced;
        (announced.dirty, announced.numbers, announced.at) = (false, numbers, Some(self.now.mono));
        if announced.line != line {
            announced.line.clone_from(&line);
            self.out.push(Effect::Notify(Notice::Status(line)));
        }
    }

    /// When changed numbers are told.
    pub(super) fn announce_at(&self) -> Option<Mono> {
        let Announced { numbers, at, .. } = self.announced;
        at.filter(|_| numbers != self.numbers()).map(|at| at + PAUSE)
    }

    /// The state's version, and what waits for a disk in trouble.
    fn numbers(&self) -> (u64, usize) {
        let version =
            self.book.as_ref().map_or(self.announced.numbers.0, |book| book.committed().version);
        let owed = self.trouble.as_ref().map(|trouble| trouble.owed.len());
        (version, owed.map_or(0, |owed| owed + self.writes_waiting()))
    }

    fn status_line(&self) -> String {
        let mut line = String::new();
        let _a_string_takes_all = self.write_status(&mut line);
        line
    }

    fn write_status(&self, out: &mut String) -> std::fmt::Result {
        let (version, waiting) = self.numbers();
        if let Some(trouble) = &self.trouble {
            let (what, since) = (trouble::headline(trouble.kind), to_the_second(trouble.since));
            write!(out, "{what} since {since}, {waiting} writes waiting, 0 lost; ")?;
        }
        self.write_phase(out)?;
        write!(out, "; state version {version}")?;
        let restarts = self.starts.saturating_sub(1);
        match restarts {
            0 => {}
            1 => write!(out, "; 1 restart")?,
            _ => write!(out, "; {restarts} restarts")?,
        }
        if self.restarts.is_loop() {
            write!(out, ", in a crash loop")?;
        }
        match self.live.as_ref().and_then(|live| live.said.as_deref()) {
            Some(said) => write!(out, "; says: {said}"),
            None => Ok(()),
        }
    }

    fn write_phase(&self, out: &mut String) -> std::fmt::Result {
        let incarnation = self.incarnation;
        match &self.phase {
            Phase::Waiting(delay) => {
                let left = delay.until.since(self.now.mono);
                let left_ms = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
                let at = Wall::from_millis(self.now.wall.millis().saturating_add(left_ms));
                let crashes = self.restarts.crashes_in_row();
                write!(out, "waiting to start again, in {} at {}", span(left), to_the_second(at))?;
                match (self.cause.exit, crashes) {
                    (None, _) => Ok(()),
                    (Some(exit), 0) => write!(out, "; it {exit}"),
                    (Some(exit), _) => write!(out, "; it {exit}, crash {crashes} in a row"),
                }
            }
            Phase::Starting => write!(out, "starting incarnation {incarnation}"),
            Phase::Running => {
                let leaves = self.live.as_ref().is_some_and(|live| live.leaving.is_some());
                let pid = self.live.as_ref().map_or(0, |live| live.process.pid);
                let verb = if leaves { "stopping" } else { "running" };
                write!(out, "{verb}, incarnation {incarnation}, process {pid}")
            }
            Phase::Draining { .. } | Phase::Settling(_) => write!(out, "the agent has ended"),
            Phase::Closing { .. } => write!(out, "stopped, the last writes are under way"),
            Phase::Over | Phase::Detached => write!(out, "over"),
        }
    }
}

fn to_the_second(at: Wall) -> String {
    const SECOND_MS: i64 = 1000;
    let second = at.millis().div_euclid(SECOND_MS) * SECOND_MS;
    Wall::from_millis(second).rfc3339().replace(".000", "")
}

#[cfg(test)]
mod tests;
