//! How far the rows of a table are old.
//!
//! A mark goes along them in the order of their numbers. What it passes is a
//! week old, or has 100,000 newer ones; most of that is let go, and what can't
//! be yet is left behind. So nobody ever looks for old ones among all that are
//! kept: the mark stands before the first that is not old yet.
//!
//! The mark is not written down. After an opening it starts over, and only
//! meets what it left behind before.

use std::time::Duration;

use rusqlite::Connection;

use super::{AgeClock, millis};
use crate::store::rows::unsigned;

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    /// Those up to this one are passed.
    pub(super) passed: u64,
    /// The newest of all. It is never passed: its number tells the next one's.
    pub(super) newest: u64,
    /// The first that is not passed, and its age; none if it must be looked for.
    pub(super) next: Option<(u64, i64)>,
    /// There may be more to pass at once.
    pub more: bool,
}

impl Mark {
    /// At the beginning. `highest` asks for the newest number.
    pub(crate) fn read(conn: &Connection, highest: &str) -> rusqlite::Result<Self> {
        let newest: Option<i64> = conn.query_row(highest, [], |r| r.get(0))?;
        Ok(Self { newest: newest.map_or(0, unsigned), ..Self::default() })
    }

    /// A row was written. Whether it is a new one.
    pub(crate) fn came(&mut self, number: u64) -> bool {
        let is_new = number > self.newest;
        self.newest = self.newest.max(number);
        is_new
    }

    /// Whether it has passed that one.
    pub(crate) const fn is_past(&self, number: u64) -> bool {
        number <= self.passed
    }

    /// What kept that one from being let go may be over: it is looked at again.
    pub(crate) fn back_to(&mut self, number: u64) {
        if self.is_past(number) {
            (self.passed, self.next) = (number.saturating_sub(1), None);
        }
    }

    /// Whether the first that is not passed is known not to be old yet.
    pub(super) fn waits(&self, old: &Old) -> bool {
        self.next.is_some_and(|(number, age)| !old.is(number, age))
    }
}

/// What makes a row old.
#[derive(Debug, Clone, Copy)]
pub(super) struct Old {
    before: i64,
    up_to: u64,
}

impl Old {
    /// Those of that age, and all but the newest.
    pub(super) fn now(now: AgeClock, mark: &Mark, age: Duration, newest: u64) -> Self {
        Self {
            before: now.millis().saturating_sub(millis(age)),
            up_to: mark.newest.saturating_sub(newest),
        }
    }

    /// All are, for want of room.
    pub(super) const fn all() -> Self {
        Self { before: i64::MAX, up_to: u64::MAX }
    }

    /// Whether that one is.
    pub(super) const fn is(&self, number: u64, age: i64) -> bool {
        number <= self.up_to || age < self.before
    }
}
