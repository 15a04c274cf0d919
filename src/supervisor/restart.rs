//! Whether to start the agent again, and when.
//!
//! Exponential back-off with jitter. The count grows with each crash and is
//! forgotten on *progress*, never on mere output or state writes: an agent
//! that saves its state and then dies at the same line is still in a loop.
//!
//! The crate `backoff` computes the intervals and nothing else. Its own clock
//! and randomness are shut off (a frozen clock, randomization 0, no
//! `max_elapsed_time`, whose default gives up after 15 minutes), because the
//! supervisor must be replayable. The crate is flagged unmaintained
//! (RUSTSEC-2025-0012; its dependency `instant`, RUSTSEC-2024-0384): it stays
//! behind this one file, so that replacing it is a change of one function.

use std::time::{Duration, Instant};

use backoff::backoff::Backoff;
use backoff::exponential::ExponentialBackoff;

use crate::clock::{self, Age};

use super::exit::EXIT_NOT_EXECUTABLE;
use super::io::{Exit, ExitClass, Outcome, RestartMemory};
use super::units::{UNSTABLE_CRASHES, UNSTABLE_SPAN};

/// `--backoff-initial`.
pub const BACKOFF_INITIAL_DEFAULT: Duration = Duration::from_millis(500);
/// `--backoff-multiplier`.
pub const BACKOFF_MULTIPLIER_DEFAULT: f64 = 2.0;
/// `--backoff-max`.
pub const BACKOFF_MAX_DEFAULT: Duration = Duration::from_secs(60);
/// `--backoff-jitter`, as a share of the delay to either side.
pub const BACKOFF_JITTER_DEFAULT: f64 = 0.2;
/// `--backoff-reset`: alive for so long is progress.
pub const BACKOFF_RESET_DEFAULT: Duration = Duration::from_secs(60);
/// So many crashes in a row are a crash loop: `initialize` says `safe_mode`.
pub const CRASH_LOOP: u32 = 5;

/// When to start an agent again that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartMode {
    /// After a crash.
    #[default]
    OnFailure,
    /// After any end but `run.finish`.
    Always,
    /// Not at all.
    Never,
}

/// What the operator chose.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// When at all.
    pub mode: RestartMode,
    /// Delay after the first crash.
    pub initial: Duration,
    /// Factor from each delay to the next; at least 1.
    pub multiplier: f64,
    /// No delay is longer, jitter included.
    pub max: Duration,
    /// Share of the delay that chance may add or take; 0 to 1.
    pub jitter: f64,
    /// Alive for so long is progress.
    pub reset: Duration,
    /// Give up after so many restarts without progress in between.
    pub max_restarts: Option<u32>,
    /// Codes that end the run.
    pub fatal_exit: Vec<i32>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: RestartMode::OnFailure,
            initial: BACKOFF_INITIAL_DEFAULT,
            multiplier: BACKOFF_MULTIPLIER_DEFAULT,
            max: BACKOFF_MAX_DEFAULT,
            jitter: BACKOFF_JITTER_DEFAULT,
            reset: BACKOFF_RESET_DEFAULT,
            max_restarts: None,
            fatal_exit: Vec::new(),
        }
    }
}

/// An end that nobody asked for, as far as the policy cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// What it was.
    pub class: ExitClass,
    /// What wait said.
    pub exit: Option<Exit>,
    /// How long it had lived.
    pub uptime: Duration,
    /// When, by adrt's own count of time.
    pub age: Age,
    /// The newest checkpoint then.
    pub checkpoint: Option<u64>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Start again after this delay.
    Start {
        /// From now.
        delay: Duration,
        /// One sentence.
        why: String,
    },
    /// End the run.
    End {
        /// How.
        outcome: Outcome,
        /// One sentence.
        why: String,
    },
}

/// The policy with its memory.
#[derive(Debug)]
pub struct Restarts {
    policy: Policy,
    memory: RestartMemory,
}

impl Restarts {
    /// Goes on from what an earlier run remembered.
    pub fn new(policy: Policy, memory: RestartMemory) -> Self {
        Self { policy, memory }
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// To be kept on disk.
    pub fn memory(&self) -> RestartMemory {
        self.memory
    }

    /// Crashes since the last progress.
    pub fn crashes_in_row(&self) -> u32 {
        self.memory.crashes_in_row
    }

    /// Whether the agent is in a crash loop.
    pub fn is_loop(&self) -> bool {
        self.memory.crashes_in_row >= CRASH_LOOP
    }

    /// Whether it crashed more than [`UNSTABLE_CRASHES`] times within
    /// [`UNSTABLE_SPAN`], however long it lived in between.
    pub fn is_unstable(&self, now: Age) -> bool {
        let recent = |crash: &Age| *crash != Age::default() && now.since(*crash) < UNSTABLE_SPAN;
        self.memory.crashes.iter().all(recent)
    }

    /// Until when it will be so, if it does not crash again.
    pub fn unstable_until(&self) -> Option<Age> {
        self.memory.crashes.first().map(|oldest| *oldest + UNSTABLE_SPAN)
    }

    /// The checkpoint to go back to, if this is a loop in which that was not
    /// done yet.
    pub fn take_rollback(&mut self) -> Option<u64> {
        let due = self.is_loop() && !self.memory.rolled_back;
        let checkpoint = self.memory.before_loop.filter(|_| due)?;
        self.memory.rolled_back = true;
        Some(checkpoint)
    }

    /// A delay has so much left.
    pub fn set_delay_left(&mut self, left: Option<Duration>) {
        self.memory.delay_left = left;
    }

    /// The run ended by its own decision: the next one begins without a delay
    /// and with all its restarts. Only a crash of adrt or of the machine
    /// carries them over.
    pub fn run_is_over(&mut self) {
        self.memory.delay_left = None;
        self.memory.restarts = 0;
    }

    /// Whether anything is counted against the agent.
    pub fn counts(&self) -> bool {
        self.memory.crashes_in_row > 0 || self.memory.restarts > 0
    }

    /// The agent got on: what came before is not counted any more.
    pub fn progress(&mut self) {
        self.memory.crashes_in_row = 0;
        self.memory.restarts = 0;
        self.memory.before_loop = None;
        self.memory.rolled_back = false;
    }

    /// An operator stepped in: nothing is counted against the agent any more.
    pub fn forget(&mut self) {
        self.memory = RestartMemory::default();
    }

    /// Decides after an end that nobody asked for.
    pub fn after(&mut self, ended: Ended, rng: &mut fastrand::Rng) -> Next {
        if ended.uptime >= self.policy.reset {
            self.progress();
        }
        match ended.class {
            ExitClass::Finished => {
                Next::End { outcome: Outcome::Done, why: "the agent finished".into() }
            }
            ExitClass::Stopped => {
                Next::End { outcome: Outcome::Stopped, why: "the agent was stopped".into() }
            }
            ExitClass::Done => self.after_success(),
            ExitClass::Lost | ExitClass::StoreLost => {
                Next::Start { delay: Duration::ZERO, why: "it did not end by its own fault".into() }
            }
            ExitClass::Failed
            | ExitClass::Signal
            | ExitClass::OutOfMemory
            | ExitClass::Hang
            | ExitClass::ExecFailed => self.after_crash(ended, rng),
        }
    }

    /// Counts a crash: in the row, and among those of the last hour.
    fn count(&mut self, ended: Ended) {
        if self.memory.crashes_in_row == 0 {
            self.memory.before_loop = ended.checkpoint;
            self.memory.rolled_back = false;
        }
        self.memory.crashes_in_row = self.memory.crashes_in_row.saturating_add(1);
        self.memory.crashes.rotate_left(1);
        if let Some(last) = self.memory.crashes.last_mut() {
            // Zero would mean that there was none.
            *last = ended.age.max(Age::from_millis(1));
        }
    }

    fn after_success(&mut self) -> Next {
        self.memory.crashes_in_row = 0;
        match self.policy.mode {
            // Without a delay, an agent that is done at once would spin.
            RestartMode::Always => {
                Next::Start { delay: self.policy.initial, why: "--restart always".into() }
            }
            RestartMode::OnFailure | RestartMode::Never => {
                Next::End { outcome: Outcome::Done, why: "the agent is done".into() }
            }
        }
    }

    fn after_crash(&mut self, ended: Ended, rng: &mut fastrand::Rng) -> Next {
        self.count(ended);
        if let Some(Exit::Code(code)) = ended.exit
            && self.policy.fatal_exit.contains(&code)
        {
            let why = format!("exit code {code} is one that --fatal-exit names");
            return Next::End { outcome: Outcome::Fatal, why };
        }
        if self.policy.mode == RestartMode::Never {
            // Without an exit it never ran: it could not be started.
            let never_ran = Outcome::ExecFailed(EXIT_NOT_EXECUTABLE);
            let outcome = ended.exit.map_or(never_ran, Outcome::AgentFailed);
            return Next::End { outcome, why: "--restart never".into() };
        }
        if let Some(max) = self.policy.max_restarts
            && self.memory.restarts >= max
        {
            let why = match max {
                0 => "--max-restarts is 0".to_owned(),
                1 => "it was restarted once without progress (--max-restarts)".to_owned(),
                _ => format!("it was restarted {max} times without progress (--max-restarts)"),
            };
            return Next::End { outcome: Outcome::GaveUp, why };
        }
        self.memory.restarts = self.memory.restarts.saturating_add(1);
        let count = self.memory.crashes_in_row;
        let unstable = self.is_unstable(ended.age);
        let slowed = if unstable { count.max(CRASH_LOOP) } else { count };
        let delay = delay(&self.policy, slowed, rng);
        let why = match count {
            n if n < CRASH_LOOP && unstable => {
                format!("more than {UNSTABLE_CRASHES} crashes within an hour: unstable")
            }
            1 => "first crash in a row".into(),
            n if n >= CRASH_LOOP => format!("crash {n} in a row: a crash loop"),
            n => format!("crash {n} in a row"),
        };
        Next::Start { delay, why }
    }
}

/// A clock that stands still: the crate reads one for `max_elapsed_time`,
/// which is off.
struct Frozen(Instant);

impl backoff::Clock for Frozen {
    fn now(&self) -> Instant {
        self.0
    }
}

/// The delay after so many crashes in a row: initial · multiplierⁿ⁻¹, then
/// jitter, and the cap last so that it holds.
fn delay(policy: &Policy, crashes_in_row: u32, rng: &mut fastrand::Rng) -> Duration {
    let interval = interval(policy, crashes_in_row);
    let swing = policy.jitter * (rng.f64().mul_add(2.0, -1.0));
    let seconds = interval.as_secs_f64() * (1.0 + swing).max(0.0);
    Duration::try_from_secs_f64(seconds).map_or(policy.max, |delay| delay.min(policy.max))
}

/// The same without jitter: the crate's part.
fn interval(policy: &Policy, crashes_in_row: u32) -> Duration {
    /// Far past any count at which a multiplier worth the name is at its cap.
    const STEPS_MAX: u32 = 10_000;
    if policy.initial.is_zero() {
        return Duration::ZERO;
    }
    let initial = policy.initial.min(policy.max);
    let frozen = Frozen(clock::fixed_instant());
    let mut steps = ExponentialBackoff {
        current_interval: initial,
        initial_interval: initial,
        randomization_factor: 0.0,
        multiplier: policy.multiplier.max(1.0),
        max_interval: policy.max,
        max_elapsed_time: None,
        start_time: frozen.0,
        clock: frozen,
    };
    for _ in 1..crashes_in_row.min(STEPS_MAX) {
        if steps.current_interval >= policy.max {
            break;
        }
        // What it returns has a random nanosecond in it even so; what it
        // keeps has not.
        let _with_its_own_randomness = steps.next_backoff();
    }
    steps.current_interval
}

#[cfg(test)]
mod tests;
