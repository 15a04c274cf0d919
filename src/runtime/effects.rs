//! What the machine says is to be done, and doing it.
//!
//! Nothing here waits: what can block has a thread of its own, and is handed
//! its orders.

use super::child::Child;
use super::driver::Driver;
use crate::output::Sink;
use crate::store::writer::Command;
use crate::supervisor::io::{Effect, Level, Notice};

impl Driver {
    /// Carries out effects, in order. `line` is what [`Effect::PassLine`] means.
    pub(super) fn carry_out(&mut self, effects: &mut Vec<Effect>, line: &[u8]) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Spawn { incarnation } => self.spawn(incarnation),
                Effect::OpenWire { .. } => self.with_child(|child| child.wire_open = true),
                Effect::PassLine => self.pass_on(line),
                Effect::Send { incarnation, bytes } => {
                    self.with_child(|child| {
                        if child.incarnation == incarnation {
                            child.stdin.send(bytes);
                        }
                    });
                }
                Effect::CloseStdin { .. } => self.with_child(|child| child.stdin.close()),
                Effect::Signal { incarnation, signal } => self.signal_child(incarnation, signal),
                Effect::LetGo { .. } => self.with_child(Child::let_go),
                Effect::Persist(unit) => self.command_store(Command::Persist(unit)),
                Effect::Resume { epoch, reread } => {
                    self.command_store(Command::Resume { epoch, reread });
                }
                Effect::Reply { conn, bytes } => {
                    if let Some(control) = &mut self.control {
                        control.answer(conn, bytes);
                    }
                }
                Effect::Post(row) => self.post_office.send(row),
                Effect::Notify(notice) => self.notify(&notice),
                Effect::Log { level, message, from_agent } => self.log(level, &message, from_agent),
                Effect::Exit(verdict) => self.verdict = Some(verdict),
            }
        }
    }

    pub(super) fn command_store(&self, command: Command) {
        if let Some(writer) = &self.writer {
            writer.send(command);
        }
    }

    pub(super) fn notify(&self, notice: &Notice) {
        match notice {
            Notice::Ready => self.notifier.ready(),
            Notice::Status(line) => self.notifier.status(line),
            Notice::Stopping => self.notifier.stopping(),
        }
    }

    pub(super) fn log(&self, level: Level, message: &str, from_agent: bool) {
        if level >= self.told_from {
            say(&self.stderr, message, from_agent);
        }
    }
}

/// A line on adrt's stderr.
pub(super) fn say(stderr: &Sink, message: &str, from_agent: bool) {
    let who = if from_agent { "agent" } else { "adrt" };
    stderr.line(&format!("{who}: {message}"));
}
