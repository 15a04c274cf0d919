//! adrt's own count of time, and the wall clock's credit.

use std::time::Duration;

use crate::clock::{Age, Mono, Now, Wall};

/// Where the count began in this run.
#[derive(Debug, Clone, Copy)]
pub struct AgeBase {
    age: Age,
    mono: Mono,
    /// The wall clock when the count was last written down before.
    noted: Option<Wall>,
}

impl AgeBase {
    /// Goes on from what was written down, with the gap since then as the
    /// wall clock has it.
    pub fn new(noted: Age, at: Option<Wall>, now: Now) -> Self {
        let gap = at.map_or(Duration::ZERO, |at| now.wall.since(at).min(Age::GAP_MAX));
        Self { age: noted + gap, mono: now.mono, noted: at }
    }

    /// The count at that moment.
    pub fn at(&self, now: Mono) -> Age {
        self.age + now.since(self.mono)
    }

    /// The moment at which the count is that; the beginning of the run if it
    /// lies before.
    pub fn when(&self, age: Age) -> Mono {
        self.mono + age.since(self.age)
    }

    /// The wall clock, if it can be believed: a device without a battery
    /// begins in the past until it has asked for the time, and it was later
    /// than that already when something was last written down.
    pub fn believe(&self, wall: Wall) -> Option<Wall> {
        self.noted.is_none_or(|noted| wall >= noted).then_some(wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(mono_ms: u64, wall_ms: i64) -> Now {
        let mono = Mono::from_origin(Duration::from_millis(mono_ms));
        Now { mono, wall: Wall::from_millis(wall_ms) }
    }

    #[test]
    fn it_goes_on_with_the_gap_but_never_more_than_a_day_of_it() {
        let noted = Age::from_millis(1000);
        let base = AgeBase::new(noted, Some(Wall::from_millis(5_000)), now(70, 8_000));
        assert_eq!(base.at(now(70, 0).mono), Age::from_millis(4000));
        assert_eq!(base.at(now(100, -1).mono), Age::from_millis(4030));
        assert_eq!(base.when(Age::from_millis(4030)), now(100, 0).mono);
        let years = AgeBase::new(noted, Some(Wall::from_millis(0)), now(0, 1 << 42));
        assert_eq!(years.at(Mono::default()), noted + Age::GAP_MAX);
        let back = AgeBase::new(noted, Some(Wall::from_millis(9_000)), now(0, 1));
        assert_eq!(back.at(Mono::default()), noted);
    }

    #[test]
    fn a_clock_that_fell_back_is_not_believed_until_it_has_caught_up() {
        let base = AgeBase::new(Age::default(), Some(Wall::from_millis(9_000)), now(0, 1));
        assert_eq!(base.believe(Wall::from_millis(8_999)), None);
        assert_eq!(base.believe(Wall::from_millis(9_000)), Some(Wall::from_millis(9_000)));
    }
}
