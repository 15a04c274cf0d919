//! What was written to the disk in the last day: an SD card has so many writes
//! in it, and no more.
//!
//! An hour is one of adrt's own count of time ([`Age`]), so a clock that is set
//! changes nothing, and a run goes on where the last one ended. The store
//! writes it down along with that count, in transactions that are there anyway;
//! a kill or a power cut takes what came after the last time.

use std::fmt;
use std::str::FromStr;

use crate::clock::Age;

/// Hours that are kept apart. The present one is not over, so that together
/// they are 23 hours to 24.
const HOURS: usize = 24;
const HOUR_MS: u64 = 3_600_000;

/// See the module's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wear {
    /// The newest hour, counted from the agent's beginning.
    hour: u64,
    /// Bytes of that hour, and of those before it.
    bytes: [u64; HOURS],
}

impl Wear {
    /// So many bytes were written at that time.
    pub fn add(&mut self, age: Age, bytes: u64) {
        self.reach(age);
        self.bytes[0] = self.bytes[0].saturating_add(bytes);
    }

    /// Bytes of the last day.
    pub fn last_day(mut self, age: Age) -> u64 {
        self.reach(age);
        self.bytes.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// It is that time now: what is older than a day is let go.
    fn reach(&mut self, age: Age) {
        let hour = age.millis() / HOUR_MS;
        let passed = usize::try_from(hour.saturating_sub(self.hour)).unwrap_or(HOURS).min(HOURS);
        self.bytes.copy_within(..HOURS - passed, passed);
        self.bytes[..passed].fill(0);
        self.hour = self.hour.max(hour);
    }
}

/// As it is written down: the hour, then the bytes, newest first.
impl fmt::Display for Wear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.hour)?;
        let used = self.bytes.iter().rposition(|bytes| *bytes > 0).map_or(0, |last| last + 1);
        self.bytes[..used].iter().try_for_each(|bytes| write!(f, " {bytes}"))
    }
}

impl FromStr for Wear {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(' ').map(str::parse);
        let mut wear = Self { hour: words.next().unwrap_or(Ok(0))?, ..Self::default() };
        for (place, word) in wear.bytes.iter_mut().zip(words) {
            *place = word?;
        }
        Ok(wear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: u64) -> Age {
        Age::from_millis(hours * HOUR_MS + 1)
    }

    #[test]
    fn a_day_is_remembered_and_no_more() {
        let mut wear = Wear::default();
        for hour in 0..100 {
            wear.add(at(hour), 1);
            wear.add(at(hour), 1);
            assert_eq!(wear.last_day(at(hour)), 2 * (hour + 1).min(24));
        }
        assert_eq!(wear.last_day(at(99 + 5)), 2 * 19);
        assert_eq!(wear.last_day(at(99 + 23)), 2);
        for hours in [24, 25, 1000, u64::MAX / HOUR_MS - 100] {
            assert_eq!(wear.last_day(at(99 + hours)), 0, "{hours}");
        }
    }

    #[test]
    fn a_count_that_is_behind_belongs_to_the_newest_hour() {
        let mut wear = Wear::default();
        wear.add(at(30), 5);
        wear.add(at(3), 7);
        assert_eq!(wear.last_day(at(0)), 12);
        assert_eq!(wear.last_day(at(53)), 12);
        assert_eq!(wear.last_day(at(54)), 0);
    }

    #[test]
    fn what_is_written_down_is_read() {
        let mut wear = Wear::default();
        assert_eq!(wear.to_string(), "0");
        for (hour, bytes) in [(2, 4096), (3, 10), (20, u64::MAX), (27, 1)] {
            wear.add(at(hour), bytes);
            assert_eq!(wear.to_string().parse(), Ok(wear), "{wear}");
        }
        assert_eq!("7".parse::<Wear>().map(|wear| wear.last_day(at(7))), Ok(0));
        for odd in ["", "x", "1 2 x", "1  2", "-1"] {
            assert!(odd.parse::<Wear>().is_err(), "{odd:?}");
        }
    }
}
