//! What the machine says is to be done, and doing it.
//!
//! Nothing here waits: what can block has a thread of its own, and is handed
//! its orders.

use std::sync::Arc;

use super::child::Child;
use super::driver::Driver;
use super::log_file::FORGOTTEN;
use super::{rules, told};
use crate::output::{Entry, Priority, Stream};
use crate::store::writer::Command;
use crate::supervisor::io::{Effect, Input, Level, Occasion, Outcome, Verdict};

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
                Effect::Reload => self.reread_rules(),
                Effect::ForgetLog => self.forget_log(),
                Effect::Post(row) => self.post_office.send(row),
                Effect::Notify(notice) => self.manager.tell(notice),
                Effect::Alert(alert) => self.alerts.raise(alert),
                Effect::Log { level, message, from_agent, occasion, fields } => {
                    self.tell(level, told::entry(level, message, from_agent, occasion, fields));
                }
                Effect::Exit(verdict) => self.exit(verdict),
            }
        }
    }

    pub(super) fn command_store(&self, command: Command) {
        if let Some(writer) = &self.writer {
            writer.send(command);
        }
    }

    fn reread_rules(&mut self) {
        self.manager.reloading();
        self.rereader.read();
    }

    /// The rules were read again. With a mistake in them they stay as they
    /// were: half of somebody's rules would be another policy than theirs.
    pub(super) fn reread(&mut self, report: rules::Report) {
        let is_last = self.rereader.reported();
        let Some(file) = self.rules_file.clone() else { return };
        let trouble = match report {
            Ok(found) => {
                for line in rules::warnings(&file, &found) {
                    self.say(Level::Warning, line);
                }
                let summary = format!("read again: {}", rules::summary(&file, &found));
                self.log_as(Occasion::RulesRead, Level::Info, summary);
                self.handle(Input::Policy(Arc::new(found.policy)));
                None
            }
            Err(fault) => {
                let trouble = format!("the rules stay as they were: {fault}");
                self.log_as(Occasion::RulesRefused, Level::Error, trouble.clone());
                self.handle(Input::PolicyRefused(fault.to_string()));
                Some(trouble)
            }
        };
        if is_last {
            self.manager.reloaded(trouble);
        }
    }

    fn log_as(&self, occasion: Occasion, level: Level, message: String) {
        self.tell(level, told::entry(level, message, false, Some(occasion), None));
    }

    /// adrt's own words, and nothing beside them.
    pub(super) fn say(&self, level: Level, message: impl Into<String>) {
        self.tell(level, told::own(level, message));
    }

    /// Says it on stderr, if it is grave enough, and keeps it in the log. The
    /// journal has what people may look for in any case.
    fn tell(&self, level: Level, mut entry: Entry) {
        if level >= self.told_from.min(Level::Info) {
            let stream = if entry.from_agent { Stream::Log } else { Stream::Adrt };
            self.log.line(stream, &entry.said());
        }
        let is_looked_for = entry.message_id.is_some() && self.stderr.is_journal();
        if is_looked_for {
            entry.priority = entry.priority.min(Priority::Info);
        }
        if level >= self.told_from || is_looked_for {
            self.stderr.entry(entry);
        }
    }

    fn exit(&mut self, verdict: Verdict) {
        // What kept it from going on was told with its end.
        if let Outcome::Done | Outcome::Stopped = verdict.outcome {
            self.log.line(Stream::Adrt, &format!("the run is over: {}", verdict.message));
        }
        self.verdict = Some(verdict);
    }

    fn forget_log(&self) {
        self.log.clear();
        self.log.line(Stream::Adrt, FORGOTTEN);
    }

    /// Writes what the log still holds back: once a turn, however many lines
    /// came in it.
    pub(super) fn flush_log(&self) {
        if let Some(error) = self.log.flush() {
            let message = format!("nothing more is kept for adrt logs: {error}");
            told::tell(&self.stderr, Level::Warning, message);
        }
    }
}
