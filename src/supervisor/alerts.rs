//! When a person should look: `--on-alert`.
//!
//! Two kinds of things are told. What *lasts* (a crash loop, an unstable
//! agent, a store that fails) is told once when it begins, and once when it is
//! over. What *happens* (a dead letter, a review that waits, damage, the end of
//! a run that failed) is told once for each time; but so that a storm of dead
//! letters is not a storm of alerts, at most once in [`ALERT_PAUSE`], with how
//! many there were.
//!
//! Only what is on the disk is told. A new run tells again what lasts; dead
//! letters and reviews of an earlier run it takes as known.
//!
//! Not here: how it is told (the runtime runs a command).

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::book::Book;
use super::cause::StartReason;
use super::io::{Effect, Incarnation, Outcome};
use super::machine::{Machine, Phase};
use super::trouble;
use super::units::UNSTABLE_CRASHES;
use crate::clock::{Mono, Wall, span};

/// Between two alerts about the same kind of happening.
pub const ALERT_PAUSE: Duration = Duration::from_secs(60);
/// Characters of a text in an alert. With two texts, each character four bytes
/// and escaped, the whole still fits into [`ALERT_BYTES_MAX`].
const TEXT_CHARS_MAX: usize = 200;
/// Bytes of an alert as JSON: what a pipe takes at once even where the system
/// is short of memory for pipes, so that nobody waits for its reader.
pub const ALERT_BYTES_MAX: usize = 4096;

/// Something a person should look at, or need not look at any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// What kind.
    pub kind: AlertKind,
    /// When.
    pub at: Wall,
    /// The last incarnation that was started; 0 if none was.
    pub incarnation: Incarnation,
    /// One sentence for people.
    pub message: String,
    /// More, by kind.
    pub details: Vec<(&'static str, Value)>,
}

/// What there is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertKind {
    /// Crash after crash without progress.
    CrashLoop,
    /// Many crashes within an hour, whatever the agent got done in between.
    Unstable,
    /// Events were given up.
    DeadLetter,
    /// A person is asked.
    ReviewPending,
    /// The disk refuses writes.
    StoreFailing,
    /// The database was damaged.
    Damaged,
    /// The run ended, and not well.
    GaveUp,
    /// One of the lasting ones is over.
    Recovered,
}

impl AlertKind {
    /// As it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CrashLoop => "crash_loop",
            Self::Unstable => "unstable",
            Self::DeadLetter => "dead_letter",
            Self::ReviewPending => "review_pending",
            Self::StoreFailing => "store_failing",
            Self::Damaged => "damaged",
            Self::GaveUp => "gave_up",
            Self::Recovered => "recovered",
        }
    }
}

impl Alert {
    /// One without details. Control characters are left out of its text:
    /// whoever it is sent to may look at it on a terminal.
    pub fn new(kind: AlertKind, at: Wall, incarnation: Incarnation, message: &str) -> Self {
        Self { kind, at, incarnation, message: plain(message), details: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    /// The JSON object that the command reads, without a newline; at most
    /// [`ALERT_BYTES_MAX`].
    pub fn to_json(&self, agent: &str, host: Option<&str>) -> String {
        let mut object = Map::new();
        object.insert("alert".into(), self.kind.as_str().into());
        object.insert("agent".into(), agent.into());
        object.insert("time".into(), self.at.rfc3339().into());
        object.insert("message".into(), self.message.as_str().into());
        object.insert("incarnation".into(), self.incarnation.into());
        for (name, value) in &self.details {
            object.insert((*name).into(), value.clone());
        }
        if let Some(host) = host {
            object.insert("host".into(), host.into());
        }
        Value::Object(object).to_string()
    }
}

/// A text as it may stand in an alert.
fn plain(text: &str) -> String {
    let mut plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TEXT_CHARS_MAX + 1)
        .collect();
    if plain.chars().count() > TEXT_CHARS_MAX {
        plain.pop();
        plain.push('…');
    }
    plain
}

/// What has been told.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    crash_loop: Option<Mono>,
    unstable: Option<Mono>,
    store: Option<Mono>,
    damage: bool,
    /// Dead letters when they were last looked at; none before the first look.
    dead_seen: Option<u64>,
    dead: Untold,
    /// The newest review that was looked at.
    reviews_seen: Option<u64>,
    reviews: Untold,
}

/// Happenings that have not been told yet.
#[derive(Debug, Default, Clone, Copy)]
struct Untold {
    count: u64,
    /// None is told before then.
    not_before: Option<Mono>,
}

impl Untold {
    fn due_at(&self) -> Option<Mono> {
        (self.count > 0).then(|| self.not_before.unwrap_or_default())
    }

    /// Takes what is to be told now.
    fn take(&mut self, now: Mono, at_once: bool) -> Option<u64> {
        let due = self.due_at().is_some_and(|at| at_once || at <= now);
        due.then(|| {
            self.not_before = Some(now + ALERT_PAUSE);
            std::mem::take(&mut self.count)
        })
    }
}

impl Machine {
    /// Tells what began, happened or is over since the last look.
    pub(super) fn raise_alerts(&mut self) {
        match self.phase {
            Phase::Detached | Phase::Over => return,
            // What the end of a run leaves behind is told in its place; what
            // lasted has no end then, even if nobody counts it any more.
            Phase::Closing { .. } => {}
            Phase::Waiting(_)
            | Phase::Starting
            | Phase::Running
            | Phase::Draining { .. }
            | Phase::Settling(_) => {
                self.watch_crashes();
                self.watch_store();
            }
        }
        self.look_for_new();
        let at_once = matches!(self.phase, Phase::Closing { .. });
        self.tell_dead_letters(at_once);
        self.tell_reviews(at_once);
    }

    /// When something is to be told at the latest.
    pub(super) fn alert_deadline(&self) -> Option<Mono> {
        // Nobody waits for the end of anything in a run that ends itself: see
        // `raise_alerts`.
        let goes_on = !matches!(self.phase, Phase::Closing { .. });
        let unstable = self.alarms.unstable.filter(|_| goes_on);
        let unstable = unstable.and(self.restarts.unstable_until());
        let unstable = unstable.zip(self.age_base).map(|(age, base)| base.when(age));
        let untold = [self.alarms.dead.due_at(), self.alarms.reviews.due_at(), unstable];
        untold.into_iter().flatten().min()
    }

    fn watch_crashes(&mut self) {
        let count = self.restarts.crashes_in_row();
        match (self.restarts.is_loop(), self.alarms.crash_loop) {
            (true, None) => {
                self.alarms.crash_loop = Some(self.now.mono);
                let how = self.cause.exit.map_or_else(String::new, |exit| format!("; {exit}"));
                let what = format!("{count} crashes in a row without progress{how}");
                self.alert(
                    self.new_alert(AlertKind::CrashLoop, &what).with("crashes_in_row", count),
                );
            }
            (false, Some(since)) => {
                self.alarms.crash_loop = None;
                self.recovered(AlertKind::CrashLoop, since, "the crash loop is over");
            }
            (true, Some(_)) | (false, None) => {}
        }
        match (self.restarts.is_unstable(self.age()), self.alarms.unstable) {
            (true, None) => {
                self.alarms.unstable = Some(self.now.mono);
                let what = format!("more than {UNSTABLE_CRASHES} crashes within an hour");
                self.alert(
                    self.new_alert(AlertKind::Unstable, &what).with("crashes_in_row", count),
                );
            }
            (false, Some(since)) => {
                self.alarms.unstable = None;
                let what = format!("no more than {UNSTABLE_CRASHES} crashes in the last hour");
                self.recovered(AlertKind::Unstable, since, &what);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn watch_store(&mut self) {
        match (&self.trouble, self.alarms.store) {
            (Some(trouble), None) => {
                let (head, why) = (trouble::headline(trouble.kind), &trouble.message);
                let what = format!("{head}: {why}; {}", trouble::advice(trouble.kind));
                let reason = trouble::reason(trouble.kind);
                let alert = self.new_alert(AlertKind::StoreFailing, &what).with("reason", reason);
                self.alarms.store = Some(self.now.mono);
                self.alert(alert);
            }
            (None, Some(since)) => {
                self.alarms.store = None;
                self.recovered(AlertKind::StoreFailing, since, "the disk takes writes again");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// Counts the dead letters and reviews that have come since the last look.
    fn look_for_new(&mut self) {
        let Some(agenda) = self.book.as_ref().map(|book| &book.committed().agenda) else { return };
        let dead = agenda.inbox.dead();
        let before = self.alarms.dead_seen.replace(dead);
        self.alarms.dead.count += dead.saturating_sub(before.unwrap_or(dead));
        let last = agenda.reviews.last();
        let before = self.alarms.reviews_seen.replace(last).unwrap_or(last);
        if last > before {
            let new = agenda.reviews.ids().filter(|id| *id > before).count();
            self.alarms.reviews.count += new as u64;
        }
    }

    fn tell_dead_letters(&mut self, at_once: bool) {
        let Some(new) = self.alarms.dead.take(self.now.mono, at_once) else { return };
        let dead = self.book.as_ref().map_or(new, |book| book.committed().agenda.inbox.dead());
        let event = self.counters.last_dead.take();
        let which = match (new, event) {
            (1, Some(seq)) => format!("event {seq} was given up"),
            (1, None) => "an event was given up".to_owned(),
            (_, _) => format!("{new} events were given up"),
        };
        let what = format!("{which}; adrt events list {} --dead shows why", self.agent);
        let alert = self.new_alert(AlertKind::DeadLetter, &what).with("event", event);
        self.alert(alert.with("new", new).with("dead_letters", dead));
    }

    fn tell_reviews(&mut self, at_once: bool) {
        let Some(new) = self.alarms.reviews.take(self.now.mono, at_once) else { return };
        let reviews = self.book.as_ref().map(|book| &book.committed().agenda.reviews);
        let newest = reviews.and_then(|reviews| reviews.get(reviews.ids().max()?));
        // They may have been answered already.
        let Some(newest) = newest else { return };
        let (id, prompt) = (newest.id, plain(&newest.prompt));
        let pending = reviews.map_or(0, super::agenda::reviews::Reviews::count);
        let waits = if new == 1 { "review waits" } else { "reviews wait" };
        let what = format!("{new} {waits} for a person; adrt reviews list {}", self.agent);
        let alert = self.new_alert(AlertKind::ReviewPending, &what).with("new", new);
        self.alert(alert.with("review", id).with("prompt", prompt).with("reviews", pending));
    }

    /// The state has been read. If it was damaged, that is told.
    pub(super) fn tell_damage(&mut self, warnings: &[String]) {
        let is_news = self.cause.reason == StartReason::Damaged && !self.alarms.damage;
        if std::mem::replace(&mut self.alarms.damage, true) || !is_news {
            return;
        }
        let what = match warnings {
            [] => "the database was damaged, and made anew".to_owned(),
            found => found.join("; "),
        };
        let version = self.book.as_ref().map(Book::committed).map(|doc| doc.version);
        self.alert(self.new_alert(AlertKind::Damaged, &what).with("version", version));
    }

    /// The run ends; if it ends badly, that is told.
    pub(super) fn tell_end(&mut self, outcome: Outcome, message: &str) {
        let outcome = match outcome {
            Outcome::Done | Outcome::Stopped => return,
            Outcome::GaveUp => "gave_up",
            Outcome::Fatal => "fatal_exit",
            Outcome::AgentFailed(_) => "agent_failed",
            Outcome::ExecFailed(_) => "exec_failed",
            Outcome::StoreFailed => "store_failed",
        };
        self.alert(self.new_alert(AlertKind::GaveUp, message).with("outcome", outcome));
    }

    fn recovered(&mut self, from: AlertKind, since: Mono, what: &str) {
        let lasted = self.now.mono.since(since);
        let what = format!("{what}, after {}", span(lasted));
        let lasted = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        let alert = self.new_alert(AlertKind::Recovered, &what);
        self.alert(alert.with("over", from.as_str()).with("lasted_ms", lasted));
    }

    fn new_alert(&self, kind: AlertKind, what: &str) -> Alert {
        Alert::new(kind, self.now.wall, self.incarnation, what)
    }

    fn alert(&mut self, alert: Alert) {
        self.out.push(Effect::Alert(alert));
    }
}

/// The same, where there is no machine: the database could not be opened.
pub fn not_opened(kind: AlertKind, at: Wall, what: &str, hint: &str) -> Alert {
    let mut alert = Alert::new(kind, at, 0, what);
    alert.details = vec![("started", json!(false)), ("hint", json!(plain(hint)))];
    alert
}

#[cfg(test)]
mod tests;
