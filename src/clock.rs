//! The two clocks, and the only place that reads them.
//!
//! Everything else is handed a [`Now`]. That is what lets the supervisor be
//! replayed and simulated: a test owns time, and no deadline can be moved by
//! a step of the wall clock (a Raspberry Pi has no battery-backed clock and
//! jumps by years at its first NTP answer).

use std::ops::Add;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point on the monotonic clock, from an origin that means nothing.
/// All deadlines are of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(Duration);

impl Mono {
    /// The point `since_origin` after the clock's origin.
    pub const fn from_origin(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// Time since the clock's origin.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// A point on the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
/// Only ever recorded and shown; nothing waits for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(i64);

impl Wall {
    /// The point `ms` milliseconds after the epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// RFC 3339, UTC, with milliseconds.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(
            // Beyond the year 9999: a broken clock, told as it is.
            |_| format!("{} ms after 1970", self.0),
            |at| format!("{at:.3}"),
        )
    }

    /// Time since `earlier`; zero when the clock was set back in between.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// adrt's own count of time over an agent's life, in milliseconds: the time
/// it ran, plus the gaps between its runs as the wall clock tells them, none of
/// them taken for more than a day. No step of a clock moves it, so what waits
/// for a point of it is neither hurried nor pruned by one; and it goes on from
/// where it was after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Age(u64);

impl Age {
    /// The longest gap between two runs that is believed.
    pub const GAP_MAX: Duration = Duration::from_secs(24 * 3600);

    /// So many milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Age {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For deadlines.
    pub mono: Mono,
    /// For records.
    pub wall: Wall,
}

/// Reads both clocks.
pub fn now() -> Now {
    Now { mono: mono(), wall: wall() }
}

/// Reads the monotonic clock. It stands still while the machine is suspended,
/// so a back-off is not shortened by a closed lid.
pub fn mono() -> Mono {
    Mono(origin().elapsed())
}

#[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
fn origin() -> &'static std::time::Instant {
    use std::sync::OnceLock;
    use std::time::Instant;
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    ORIGIN.get_or_init(Instant::now)
}

/// An `Instant` that never changes, for an interface that asks for one where
/// time must not matter.
pub fn fixed_instant() -> std::time::Instant {
    *origin()
}

/// The name of this machine's time zone, by the IANA database; UTC where it
/// has none.
pub fn time_zone() -> String {
    jiff::tz::TimeZone::system().iana_name().unwrap_or("UTC").to_owned()
}

/// Reads the wall clock.
#[expect(clippy::disallowed_methods, reason = "this module is where clocks are read")]
pub fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// `340 ms`, `12 s`, `3 min`, `2 h 05 min`, `4 d 3 h`: two units at most.
pub fn span(span: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..10 => format!("{:.1} s", span.as_secs_f64()),
        10..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR if seconds < 10 * MINUTE && !seconds.is_multiple_of(MINUTE) => {
            format!("{} min {} s", seconds / MINUTE, seconds % MINUTE)
        }
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} h {:02} min", seconds / HOUR, seconds % HOUR / MINUTE),
        DAY.. => format!("{} d {} h", seconds / DAY, seconds % DAY / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (ms, text) in [
            (0, "0 ms"),
            (512, "512 ms"),
            (1_500, "1.5 s"),
            (12_400, "12 s"),
            (61_000, "1 min 1 s"),
            (120_000, "2 min"),
            (15 * 60_000 + 30_000, "15 min"),
            (2 * 3_600_000 + 5 * 60_000, "2 h 05 min"),
            (99 * 3_600_000, "4 d 3 h"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }
}
