//! Why an incarnation starts: `start` in its greeting.

use std::time::Duration;

use super::io::{Boot, Exit, ExitClass, Origin as DataOrigin};
use crate::clock::{Mono, Now, Wall};

/// Why an incarnation starts, for `start` in its greeting.
#[derive(Debug, Clone)]
pub(super) struct StartCause {
    pub reason: StartReason,
    /// How the one before it ended.
    pub exit: Option<Exit>,
    pub oom: bool,
    pub down_since: DownSince,
}

/// `start.reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartReason {
    First,
    Resume,
    Crash,
    Hang,
    Operator,
    Rollback,
    Restart,
    Damaged,
}

impl StartReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Resume => "resume",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Operator => "operator",
            Self::Rollback => "rollback",
            Self::Restart => "restart",
            Self::Damaged => "damaged",
        }
    }
}

/// When the one before it ended: on the monotonic clock within a run, else
/// only on the wall clock.
#[derive(Debug, Clone, Copy)]
pub(super) enum DownSince {
    Never,
    Mono(Mono),
    Wall(Wall),
}

impl StartCause {
    /// For the first incarnation of a run.
    pub fn of_boot(boot: &Boot) -> Self {
        let last = boot.last_end.as_ref();
        let reason = match (boot.origin, last) {
            (DataOrigin::Damaged, _) => StartReason::Damaged,
            (DataOrigin::First, _) => StartReason::First,
            (DataOrigin::Kept, _) if boot.last_incarnation == 0 => StartReason::First,
            // adrt itself died: the agent did nothing wrong.
            (DataOrigin::Kept, _) if boot.orphan.is_some() => StartReason::Resume,
            (DataOrigin::Kept, Some(end)) if end.class == ExitClass::Hang => StartReason::Hang,
            (DataOrigin::Kept, Some(end)) if end.class.is_crash() => StartReason::Crash,
            (DataOrigin::Kept, Some(_) | None) => StartReason::Resume,
        };
        Self {
            reason,
            exit: last.and_then(|end| end.exit),
            oom: last.is_some_and(|end| end.class == ExitClass::OutOfMemory),
            down_since: last.map_or(DownSince::Never, |end| DownSince::Wall(end.ended)),
        }
    }

    /// How long the agent was down.
    pub fn downtime(&self, now: Now) -> Duration {
        match self.down_since {
            DownSince::Never => Duration::ZERO,
            DownSince::Mono(at) => now.mono.since(at),
            DownSince::Wall(at) => now.wall.since(at),
        }
    }
}
