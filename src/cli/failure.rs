//! How a command fails: what happened, why, and what to do about it, in at
//! most three lines on stderr.
//!
//! [`Kind`] alone decides the exit code. Nothing here looks at text to find
//! out what went wrong; whoever makes a [`Failure`] knows its kind.

use std::fmt;
use std::io::{self, Write as _};

use crate::output::{Priority, prefix_on_stderr};

/// What sort of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The reader of our stdout went away: that is success, and silent.
    ReaderGone,
    /// The command could not do what was asked.
    Failed,
    /// `status --check`: the agent is not there.
    Down,
    /// The command line makes no sense.
    Usage,
    /// No such agent, checkpoint, version, crash, value, event or review, or a
    /// source of events that can't be read.
    NotFound,
    /// The state directory can't be made.
    CantCreate,
    /// The store can't be read or written.
    Store,
    /// Another adrt holds the agent, or another process the step.
    Held,
    /// `step run`: a person is to decide first.
    Waiting,
    /// The configuration file, a variable standing for one of its settings, or the rules are wrong.
    Config,
    /// `step run`: the command is not executable.
    NotExecutable,
    /// `step run`: there is no such command.
    NoCommand,
}

/// One line of the table of exit codes.
#[derive(Debug, Clone, Copy)]
pub struct ExitCode {
    /// The number.
    pub code: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// The only commands that end with it; all do where none is named.
    pub only: &'static [&'static str],
}

const fn any(code: &'static str, meaning: &'static str) -> ExitCode {
    ExitCode { code, meaning, only: &[] }
}

const fn of(only: &'static [&'static str], code: &'static str, meaning: &'static str) -> ExitCode {
    ExitCode { code, meaning, only }
}

/// What runs a supervised command.
const RUN: &[&str] = &["run"];
/// What reads files of configuration or rules.
const CONFIGURED: &[&str] = &["run", "attach", "reload", "decide", "systemd unit"];
/// What holds an agent for long.
const HOLDERS: &[&str] = &["run", "attach"];
/// What runs a command as a step.
const STEP: &[&str] = &["step run"];
/// What runs commands at all.
const RUNS: &[&str] = &["run", "step run"];

/// Every exit code of adrt, for the manual pages. One that means more with
/// some command stands there again for it.
pub const EXIT_CODES: &[ExitCode] = &[
    any("0", "Done."),
    any("1", "The command failed; with status --check: degraded."),
    of(&["events next"], "1", "Of events next: there is none."),
    any("2", "Wrong usage; with status --check: down."),
    any("66", "No such agent, checkpoint, version, crash, value, event or review."),
    of(HOLDERS, "66", "Of run and attach: the events of --events can't be read."),
    of(&["why"], "66", "Of why: there is no such decision."),
    of(RUN, "69", "It gave up after --max-restarts."),
    of(STEP, "69", "Of step run: the step waits for a review."),
    of(RUN, "70", "The agent exited with a code of --fatal-exit."),
    of(HOLDERS, "73", "The state directory can't be created."),
    any("74", "The store can't be read or written, or takes no more events."),
    any("75", "Another adrt holds the agent."),
    of(HOLDERS, "75", "Of run and attach: the agent was moved away, by backup --move."),
    of(STEP, "75", "Of step run: another process does the step."),
    of(CONFIGURED, "78", "Bad configuration, or a mistake in the rules or in a file of variables."),
    of(RUNS, "126", "The command is not executable."),
    of(RUNS, "127", "The command was not found."),
    of(
        RUN,
        "N, 128+N",
        "With --restart never: the agent's own code, or the signal that killed it.",
    ),
    of(STEP, "N, 128+N", "Of step run: the command's own code, or the signal that killed it."),
];

impl Kind {
    /// The exit code of adrt.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Failed => 1,
            Self::Down | Self::Usage => 2,
            Self::NotFound => 66,
            Self::Waiting => 69,
            Self::CantCreate => 73,
            Self::Store => 74,
            Self::Held => 75,
            Self::Config => 78,
            Self::NotExecutable => 126,
            Self::NoCommand => 127,
        }
    }
}

/// Why a command did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// What happened; a phrase with no full stop.
    pub what: String,
    /// Why; may be empty when `what` says it all.
    pub why: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Failure {
    /// A failure with no reason and no hint yet.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), why: String::new(), hint: String::new() }
    }

    /// Says why.
    #[must_use]
    pub fn why(mut self, why: impl fmt::Display) -> Self {
        self.why = why.to_string();
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// What is written to stderr: up to three lines, each with its newline.
    /// Control characters are escaped, since parts of it may come from agents.
    pub fn lines(&self) -> String {
        if self.kind == Kind::ReaderGone || self.what.is_empty() {
            return String::new();
        }
        let mut out = format!("adrt: {}\n", super::text::escaped(&self.what));
        for (name, text) in [("why", &self.why), ("try", &self.hint)] {
            if !text.is_empty() {
                out.push_str(&format!("  {name}: {}\n", super::text::escaped(text)));
            }
        }
        out
    }
}

impl Failure {
    /// Writes it to stderr; that this may be closed is no reason to fail.
    pub fn tell(&self) {
        let prefix = prefix_on_stderr(Priority::Error);
        let lines: String = self.lines().lines().map(|line| format!("{prefix}{line}\n")).collect();
        let _ = io::stderr().lock().write_all(lines.as_bytes());
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lines().trim_end())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_lines() {
        let failure = Failure::new(Kind::NotFound, "no agent named \"x\"")
            .why("there is nothing in /tmp")
            .hint("adrt list");
        assert_eq!(
            failure.lines(),
            "adrt: no agent named \"x\"\n  why: there is nothing in /tmp\n  try: adrt list\n"
        );
        assert_eq!(failure.kind.exit_code(), 66);
    }

    #[test]
    fn a_reader_gone_is_silent_success() {
        let failure = Failure::new(Kind::ReaderGone, "stdout closed");
        assert_eq!(failure.lines(), "");
        assert_eq!(failure.kind.exit_code(), 0);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let failure = Failure::new(Kind::Failed, "label \u{1b}[2J\nadrt: fine");
        assert_eq!(failure.lines(), "adrt: label \\u{1b}[2J\\nadrt: fine\n");
    }

    #[test]
    fn every_code_is_in_the_table() {
        for kind in [
            Kind::ReaderGone,
            Kind::Failed,
            Kind::Down,
            Kind::Usage,
            Kind::NotFound,
            Kind::CantCreate,
            Kind::Store,
            Kind::Held,
            Kind::Waiting,
            Kind::Config,
            Kind::NotExecutable,
            Kind::NoCommand,
        ] {
            let code = kind.exit_code().to_string();
            assert!(EXIT_CODES.iter().any(|row| row.code == code), "{code}");
        }
    }
}
