//! What a run is told at its beginning, and the usual values.

use std::time::Duration;

use super::restart::Policy;

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
    /// What the name was derived from, kept to recognise another script.
    pub script: Option<String>,
    /// Seeds the jitter.
    pub seed: u64,
}
