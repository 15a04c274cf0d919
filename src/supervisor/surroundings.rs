//! What the machine's sensors say, over a run: the level, when it changed,
//! and the telling of it.
//!
//! An agent is told the level in its greeting, and of each change after that,
//! unless another change comes before it could be told: then only of the last.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::io::{Level as LogLevel, Occasion};
use super::machine::Machine;
use super::queue::{Origin, Work};
use crate::clock::{Now, Wall};
use crate::engines::environment::{Environment, Level, Sample};
use crate::protocol::message::Request;

/// Changes that are kept for an operator to see.
const CHANGES_KEPT: usize = 32;

/// The environment of a run.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    engine: Environment,
    /// The last look; none before the first, or if nobody looks.
    looked: Option<Now>,
    /// When the level was entered.
    since: Option<Wall>,
    /// The last changes, oldest first.
    changes: VecDeque<Change>,
}

#[derive(Debug)]
struct Change {
    at: Wall,
    level: Level,
    score: f64,
}

impl Surroundings {
    /// How hard pressed the machine is; calm if nobody looks.
    pub const fn level(&self) -> Level {
        self.engine.level()
    }

    /// `{"level":…,"score":…,"signals":{…}}`.
    pub fn to_json(&self) -> String {
        self.engine.to_json()
    }

    fn take(&mut self, sample: &Sample, now: Now) -> Option<Level> {
        let before = self.looked.replace(now);
        let elapsed = before.map_or(Duration::ZERO, |before| now.mono.since(before.mono));
        let change = self.engine.take(sample, elapsed);
        if let Some(level) = change {
            if self.changes.len() == CHANGES_KEPT {
                self.changes.pop_front();
            }
            self.changes.push_back(Change { at: now.wall, level, score: self.engine.score() });
        }
        if change.is_some() || before.is_none() {
            self.since = Some(now.wall);
        }
        change
    }

    /// For an operator; null if nobody looks.
    pub fn status(&self) -> Value {
        let Some(looked) = self.looked else { return Value::Null };
        let score = |score: f64| (score * 1000.0).round() / 1000.0;
        let changes = self.changes.iter().map(|change| {
            let Change { at, level, score: reached } = change;
            json!({"at": at.rfc3339(), "level": level.as_str(), "score": score(*reached)})
        });
        json!({
            "level": self.level().as_str(),
            "score": score(self.engine.score()),
            "since": self.since.map(Wall::rfc3339),
            "worst": self.engine.worst().map(|signal| signal.as_str()),
            "signals": self.engine.signals().rounded(),
            "looked": looked.wall.rfc3339(),
            "changes": changes.collect::<Vec<_>>(),
        })
    }

    /// A change, for the log.
    fn in_words(&self, before: Level) -> String {
        let level = self.level();
        let (score, signals) = (self.engine.score(), self.engine.in_words());
        let what = match level {
            Level::Calm => "the machine is calm again".to_owned(),
            Level::Elevated | Level::High | Level::Critical => {
                let how = if level > before { "up" } else { "down" };
                format!("pressure on the machine is {how} to {}", level.as_str())
            }
        };
        format!("{what} (score {score:.2}; {signals})")
    }
}

impl Machine {
    /// A look at all sensors.
    pub(super) fn sampled(&mut self, sample: &Sample) {
        let before = self.environment.level();
        let Some(level) = self.environment.take(sample, self.now) else { return };
        let grave = level > before && level >= Level::High;
        let log_level = if grave { LogLevel::Warning } else { LogLevel::Info };
        self.log_as(Occasion::Environment, log_level, self.environment.in_words(before));
        self.tell_environment();
    }

    /// Tells the agent of the level, unless it knows.
    fn tell_environment(&mut self) {
        let (level, params) = (self.environment.level(), self.environment.to_json());
        if let Some(live) = self.greeted_live() {
            live.outbox.environment(level, params);
        }
    }

    /// The greeting of an agent is being put together, with the level as it is.
    pub(super) fn greet_with_environment(&mut self, origin: &Origin) {
        let level = self.environment.level();
        let Origin::Agent { incarnation, .. } = origin else { return };
        if let Some(live) = self.live.as_mut().filter(|live| live.incarnation == *incarnation) {
            live.outbox.greeted_with(level);
        }
    }

    /// It has gone out: perhaps the level is another one by now.
    pub(super) fn catch_up_environment(&mut self, work: &Work) {
        if let Work::Request(Request::Initialize(_)) = work {
            self.tell_environment();
        }
    }

    /// The level, for checks from outside.
    pub const fn environment_level(&self) -> Level {
        self.environment.level()
    }
}

#[cfg(test)]
mod tests;
