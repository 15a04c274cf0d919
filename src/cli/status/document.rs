//! The status document: what the `status` method of the control socket says of
//! an agent, or what is made of a stopped one's database.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::environment::Environment;
use crate::clock::Wall;
use crate::runtime::usage::Usage;

/// How an agent is. The names are those of the `status` method of the control
/// socket; what an older adrt does not say is null.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Status {
    /// The agent.
    pub agent: String,
    /// `starting`, `running`, `attached`, `backoff`, `stopping`, … or `stopped`.
    pub phase: String,
    /// Since when, RFC 3339.
    pub since: Option<String>,
    /// The `adrt run`, or `adrt attach`.
    pub run_id: Option<String>,
    /// The agent's process.
    pub pid: Option<i64>,
    /// The adrt that holds it.
    pub adrt_pid: Option<i64>,
    /// Which process of the agent; the last one, when it is stopped.
    pub incarnation: Option<u64>,
    /// Why that one was started.
    pub start_reason: Option<String>,
    /// The release it is of.
    pub release: Option<String>,
    /// How long it has lived.
    pub uptime_ms: Option<u64>,
    /// It said so.
    pub ready: Option<bool>,
    /// What it says of itself.
    pub status_text: Option<String>,
    /// Starts after the first of this run.
    pub restarts: Option<u64>,
    /// Crashes since the last progress.
    pub crashes_in_row: Option<u64>,
    /// That many that it is called a loop.
    pub crash_loop: Option<bool>,
    /// So many within an hour that it is treated like one.
    pub unstable: Option<bool>,
    /// Time to the next start.
    pub next_retry_ms: Option<u64>,
    /// How the incarnation before ended.
    pub last_exit: Option<LastExit>,
    /// What its processes take of the machine, if they can be seen.
    pub usage: Option<Usage>,
    /// Version of the state.
    pub version: Option<u64>,
    /// When it was made, RFC 3339.
    pub updated: Option<String>,
    /// Bytes of its JSON text.
    pub state_bytes: Option<u64>,
    /// The newest checkpoint.
    pub checkpoint: Option<LastCheckpoint>,
    /// Bytes of the database.
    pub file_bytes: Option<u64>,
    /// Bytes written since the run began.
    pub written_bytes: Option<u64>,
    /// Bytes written in the last 24 hours, by earlier runs, too.
    pub written_day_bytes: Option<u64>,
    /// How hard pressed the machine is; null if nobody looks.
    pub environment: Option<Environment>,
    /// The rules file; null without one.
    pub rules: Option<Rules>,
    /// `ok`, or what is wrong with the disk.
    pub store: Option<String>,
    /// Requests that wait for the disk.
    pub writes_waiting: Option<u64>,
    /// Its events.
    pub inbox: Option<Inbox>,
    /// Reviews that wait for a person.
    pub reviews: Option<u64>,
    /// Timers that are set.
    pub timers: Option<u64>,
    /// Events on their way to other agents.
    pub posts: Option<u64>,
    /// What events the agent takes; null while it takes none.
    pub subscribed: Option<Subscribed>,
}

/// How many events there are.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Inbox {
    /// They wait for their turn.
    pub pending: u64,
    /// The agent has them in hand.
    pub held: u64,
    /// They wait for something else.
    pub parked: u64,
    /// They were given up.
    pub dead: u64,
    /// No more are taken.
    pub full: bool,
    /// When the oldest came that is not settled, RFC 3339.
    pub oldest: Option<String>,
    /// Its number.
    pub oldest_seq: Option<u64>,
    /// Its type.
    pub oldest_type: Option<String>,
    /// Types that wait and that the agent has not asked for, with their counts.
    pub unwanted: Vec<OfType>,
}

/// How many events of a type wait.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct OfType {
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// So many.
    pub pending: u64,
}

/// What events the agent takes.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Subscribed {
    /// How many at a time.
    pub credit: u64,
    /// Globs of types; empty for all.
    pub types: Vec<String>,
}

impl Subscribed {
    /// What waits without being asked for.
    pub(super) fn leaves(&self, by_type: &[(String, u64)]) -> Vec<OfType> {
        let globs: Vec<WildMatch> = self.types.iter().map(|glob| WildMatch::new(glob)).collect();
        let is_wanted =
            |kind: &str| globs.is_empty() || globs.iter().any(|glob| glob.matches(kind));
        let unwanted = by_type.iter().filter(|(kind, _)| !is_wanted(kind));
        unwanted.map(|(kind, pending)| OfType { kind: kind.clone(), pending: *pending }).collect()
    }
}

impl Inbox {
    /// Those that are not settled.
    pub const fn depth(&self) -> u64 {
        self.pending + self.held + self.parked
    }
}

/// The rules file of a run.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Rules {
    /// Rules in it that are in force.
    pub own: u64,
    /// How often it was read again.
    pub reloads: u64,
    /// When those in force were read, RFC 3339; null if at the start.
    pub reloaded: Option<String>,
    /// Why the last reading changed nothing.
    pub trouble: Option<String>,
}

/// How an incarnation ended.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct LastExit {
    /// What kind of end.
    pub class: Option<String>,
    /// Its code.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// In words.
    pub summary: String,
}

/// The newest checkpoint.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct LastCheckpoint {
    /// Its number.
    pub id: u64,
    /// Of this version.
    pub version: u64,
    /// When, RFC 3339.
    pub created: String,
}

impl Status {
    /// How long the process has lived.
    pub fn uptime(&self) -> Option<Duration> {
        self.uptime_ms.map(Duration::from_millis)
    }

    /// When its phase began.
    pub fn since_at(&self) -> Option<Wall> {
        self.since.as_deref().and_then(point)
    }

    /// When the state last changed.
    pub fn updated_at(&self) -> Option<Wall> {
        self.updated.as_deref().and_then(point)
    }
}

/// A time as it is on the wire.
pub(super) fn point(text: &str) -> Option<Wall> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Wall::from_millis(at.as_millisecond()))
}
