//! What is measured of agents, as text for Prometheus and its like.
//!
//! [`Figures`] are what is known of one agent: members of its status document,
//! so a figure that an older adrt does not tell is simply not there. [`page`]
//! makes a text of any number of them.
//!
//! Names and units follow the conventions of Prometheus: base units, a unit at
//! the end of a name, `_total` at that of a counter. The names of labels and
//! their values come from adrt, but for the agents' names and their releases:
//! nothing an agent says makes a new series.
//!
//! Not here: where the figures come from, and where the text goes.

mod families;
mod text;

use serde::Deserialize;

use crate::clock::Wall;

pub use text::Format;

/// What is known of an agent. The names are those of the status document.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// The agent.
    pub agent: String,
    /// `running`, `backoff`, … or `stopped`.
    pub phase: String,
    /// Its process.
    pub pid: Option<i32>,
    /// Starts over its life.
    pub incarnation: Option<u64>,
    /// How long its process has lived.
    pub uptime_ms: Option<u64>,
    /// Starts after the first of the run.
    pub restarts: Option<u64>,
    /// Crashes without progress.
    pub crashes_in_row: Option<u64>,
    /// Too many of them.
    pub crash_loop: Option<bool>,
    /// Too many within an hour.
    pub unstable: Option<bool>,
    /// Time to the next start.
    pub next_retry_ms: Option<u64>,
    /// Of the state.
    pub version: Option<u64>,
    /// Of its text.
    pub state_bytes: Option<u64>,
    /// The newest.
    pub checkpoint: Option<Checkpoint>,
    /// Of the database.
    pub file_bytes: Option<u64>,
    /// Since the run began.
    pub written_bytes: Option<u64>,
    /// In the last 24 hours, by earlier runs, too.
    pub written_day_bytes: Option<u64>,
    /// Of the machine.
    pub environment: Option<Environment>,
    /// `ok`, or what is wrong.
    pub store: Option<String>,
    /// For the disk.
    pub writes_waiting: Option<u64>,
    /// Its events.
    pub inbox: Option<Inbox>,
    /// That wait for a person.
    pub reviews: Option<u64>,
    /// That are set.
    pub timers: Option<u64>,
    /// For other agents.
    pub posts: Option<u64>,
    /// Of the run.
    pub counters: Option<Counters>,
    /// What its process uses; nobody says so but the system.
    #[serde(skip)]
    pub usage: Option<Usage>,
}

/// A checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    /// When, RFC 3339.
    pub created: String,
}

/// How hard pressed the machine is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// `calm` to `critical`.
    pub level: String,
    /// 0 to 1.
    pub score: f64,
}

/// Events that are not settled, and those given up.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Inbox {
    /// They wait for their turn.
    pub pending: u64,
    /// The agent has them in hand.
    pub held: u64,
    /// They wait for something else.
    pub parked: u64,
    /// Dead letters.
    pub dead: u64,
    /// No more are taken.
    pub full: bool,
    /// When the oldest came that is not settled, RFC 3339.
    pub oldest: Option<String>,
}

/// What is counted over a run.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Of the agent's code.
    pub release: Option<String>,
    /// What the database may have.
    pub max_db: Option<u64>,
    /// By class.
    pub crashes: Crashes,
    /// By what became of them.
    pub events: Events,
    /// Writes that reached the disk.
    pub commits: u64,
    /// How long they took together.
    pub commit_seconds: f64,
}

/// Crashes by class.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is a class of crashes, as the ledger has it")]
pub struct Crashes {
    pub failed: u64,
    pub signal: u64,
    pub out_of_memory: u64,
    pub hang: u64,
    pub exec_failed: u64,
}

/// Events by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is what became of an event")]
pub struct Events {
    pub arrived: u64,
    pub delivered: u64,
    pub acked: u64,
    pub dead: u64,
}

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Memory that is in use, in bytes.
    pub resident_bytes: u64,
    /// Processor time, in seconds.
    pub cpu_seconds: f64,
}

impl Figures {
    /// From a status document.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(status: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(status)
    }

    /// The same agent when nothing of it runs any more.
    pub fn stopped(mut self) -> Self {
        "stopped".clone_into(&mut self.phase);
        (self.pid, self.uptime_ms, self.next_retry_ms, self.usage) = (None, None, None, None);
        self
    }
}

/// The text about these agents, at that time.
pub fn page(agents: &[Figures], now: Wall, format: Format) -> String {
    text::page(families::ALL, agents, now, format)
}

#[cfg(test)]
mod tests;
