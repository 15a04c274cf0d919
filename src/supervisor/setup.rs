//! What a run is told at its beginning, and the usual values.

use std::sync::Arc;
use std::time::Duration;

use super::restart::Policy;
use crate::engines::decision;

/// `--max-attempts`: so many deaths of the agent over an event make it a dead
/// letter.
pub const MAX_ATTEMPTS_DEFAULT: u32 = 3;
/// `--nack-max`: the longest delay after a nack.
pub const NACK_MAX_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// `--event-max-age`: an event that is nacked at this age is given up.
pub const EVENT_MAX_AGE_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// `--stop-timeout`: from the request to SIGKILL.
pub const STOP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// `--ready-timeout`: the service counts as started after it even if the
/// agent never says so.
pub const READY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Longest line an agent may send.
pub const MAX_FRAME_DEFAULT: usize = 16 * 1024 * 1024;
/// Largest state.
pub const MAX_STATE_DEFAULT: usize = 64 * 1024 * 1024;
/// Requests of the agent waiting for their commit, after which its stdout is
/// not read. One transaction takes them all, so it is also what a disk's
/// latency is divided by.
pub const MAX_INFLIGHT_DEFAULT: usize = 1024;
/// Bytes of such requests, with the same effect: a thousand frames of the
/// largest size would be sixteen gigabytes.
pub const INFLIGHT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a run is told at its beginning.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The agent's name.
    pub agent: String,
    /// Names this run.
    pub run_id: String,
    /// When to start again.
    pub policy: Policy,
    /// From a request to stop to SIGKILL.
    pub stop_timeout: Duration,
    /// From spawn to counting as ready.
    pub ready_timeout: Duration,
    /// Only the agent's own word makes it ready.
    pub ready_from_agent: bool,
    /// How long the agent may give no sign of life; after it, it counts as hung.
    pub hang_timeout: Option<Duration>,
    /// Which release of the agent's code this is.
    pub release: Option<String>,
    /// Longest line.
    pub max_frame: usize,
    /// Largest state.
    pub max_state: usize,
    /// Requests waiting for their commit.
    pub max_inflight: usize,
    /// Largest database; past it, writes are refused.
    pub max_db: u64,
    /// Started by a person's hand: no delay is waited out.
    pub by_hand: bool,
    /// The agent is a client that started adrt, not the other way round: it
    /// is never signalled and never started again (`adrt attach`).
    pub attached: bool,
    /// What the name was derived from, kept to recognise another script.
    pub script: Option<String>,
    /// How events are handed out and given up.
    pub events: EventPolicy,
    /// What a crash loop leads to.
    pub on_crash_loop: OnCrashLoop,
    /// A checkpoint after so many acked or processed events; what the client
    /// asks for counts only without it.
    pub checkpoint_every: Option<u64>,
    /// What decisions go by, until it is read again.
    pub decisions: Arc<decision::Policy>,
    /// There is a rules file to read again.
    pub rules_file: bool,
    /// The name of the time zone for cron timers that name none.
    pub time_zone: String,
    /// Seeds the jitter.
    pub seed: u64,
}

/// How events are handed out and given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPolicy {
    /// So many deaths of the agent over an event make it a dead letter.
    pub max_attempts: u32,
    /// The longest delay after a nack.
    pub nack_max: Duration,
    /// An event that is nacked at this age is given up.
    pub max_age: Duration,
    /// How long an event may be held; after it the agent counts as hung.
    pub timeout: Option<Duration>,
    /// A delayed or nacked event holds back the later ones.
    pub ordered: bool,
}

impl Default for EventPolicy {
    fn default() -> Self {
        Self {
            max_attempts: MAX_ATTEMPTS_DEFAULT,
            nack_max: NACK_MAX_DEFAULT,
            max_age: EVENT_MAX_AGE_DEFAULT,
            timeout: None,
            ordered: false,
        }
    }
}

/// What a crash loop leads to, beside a warning and `safe_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCrashLoop {
    /// The agent is started again, later and later.
    #[default]
    Continue,
    /// Once per loop, the state goes back to the newest checkpoint older than
    /// the loop's first crash.
    Rollback,
    /// The run ends.
    Stop,
}
