//! Timers: events of the future.
//!
//! `after` and `every` count adrt's own time, so no step of a clock moves
//! them; `at` and `cron` go by the wall clock. A timer fires once for each
//! point at which it is due. What was missed meanwhile, because adrt did not
//! run or the machine was away, fires once, with the number of the points that
//! went by beside it.
//!
//! All timers are in memory, with their events: hence the bounds.

use std::sync::Arc;
use std::time::Duration;

use rpds::RedBlackTreeMap;

use crate::clock::{Age, Wall};
use crate::supervisor::io::{Due, Repeat, TimerRow};

/// Timers at a time.
pub const TIMERS_MAX: usize = 1000;
/// Bytes of a timer's event.
pub const TIMER_EVENT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of all of them.
pub const TIMERS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Missed points of a cron timer that are counted; what lies behind is not
/// told apart.
const MISSED_MAX: u64 = 10_000;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Timers {
    all: RedBlackTreeMap<Arc<str>, TimerRow>,
    bytes: usize,
    next_age: Option<Age>,
    next_wall: Option<Wall>,
}

/// Both clocks that timers go by.
#[derive(Debug, Clone, Copy)]
pub struct TimerNow {
    /// adrt's own count of time.
    pub age: Age,
    /// The wall clock, while it can be believed.
    pub wall: Option<Wall>,
}

/// A timer that is due.
#[derive(Debug, Clone)]
pub struct Fired {
    /// As it was.
    pub row: TimerRow,
    /// Points at which it was due before this one, and which went by.
    pub missed: u64,
    /// When it is due next.
    pub next: Option<Due>,
}

impl Timers {
    /// From what was read.
    pub fn new(rows: Vec<TimerRow>) -> Self {
        let mut timers = Self::default();
        for row in rows {
            timers.bytes += row.event.len();
            timers.all.insert_mut(row.id.clone(), row);
        }
        timers.look_ahead();
        timers
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.size()
    }

    /// Whether one may be set; else what is the matter.
    pub fn has_room_for(&self, id: &str, bytes: usize) -> Result<(), String> {
        let before = self.all.get(id).map_or(0, |row| row.event.len());
        if bytes > TIMER_EVENT_BYTES_MAX {
            return Err(format!("a timer's event may have {TIMER_EVENT_BYTES_MAX} bytes"));
        }
        if !self.all.contains_key(id) && self.all.size() >= TIMERS_MAX {
            return Err(format!("there may be {TIMERS_MAX} timers at a time"));
        }
        if self.bytes - before + bytes > TIMERS_BYTES_MAX {
            return Err(format!("the events of all timers may have {TIMERS_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    /// Sets one, in the place of what was there under its name.
    pub fn set(&mut self, row: TimerRow) {
        self.take_out(&row.id.clone());
        self.bytes += row.event.len();
        self.all.insert_mut(row.id.clone(), row);
        self.look_ahead();
    }

    /// Cancels one: whether it was there.
    pub fn cancel(&mut self, id: &str) -> bool {
        let existed = self.take_out(id);
        self.look_ahead();
        existed
    }

    fn take_out(&mut self, id: &str) -> bool {
        self.bytes -= self.all.get(id).map_or(0, |row| row.event.len());
        self.all.remove_mut(id)
    }

    fn look_ahead(&mut self) {
        (self.next_age, self.next_wall) = (None, None);
        for row in self.all.values() {
            match row.due {
                Due::Age(at) => self.next_age = Some(self.next_age.map_or(at, |n| n.min(at))),
                Due::Wall(at) => self.next_wall = Some(self.next_wall.map_or(at, |n| n.min(at))),
            }
        }
    }

    /// When the next of `after` and `every` is due.
    pub fn next_age(&self) -> Option<Age> {
        self.next_age
    }

    /// When the next of `at` and `cron` is due.
    pub fn next_wall(&self) -> Option<Wall> {
        self.next_wall
    }

    /// Whether any is due.
    pub fn any_due(&self, now: TimerNow) -> bool {
        self.next_age.is_some_and(|at| at <= now.age)
            || now.wall.is_some_and(|wall| self.next_wall.is_some_and(|at| at <= wall))
    }

    /// Those that are due.
    pub fn due(&self, now: TimerNow, zone: &str) -> Vec<Fired> {
        let due = |row: &&TimerRow| match row.due {
            Due::Age(at) => at <= now.age,
            Due::Wall(at) => now.wall.is_some_and(|wall| at <= wall),
        };
        self.all.values().filter(due).map(|row| fire(row, now, zone)).collect()
    }
}

/// What a due timer comes to.
fn fire(row: &TimerRow, now: TimerNow, zone: &str) -> Fired {
    let (missed, next) = match (&row.repeat, row.due) {
        (Repeat::Every(ms), Due::Age(at)) => {
            let missed = now.age.millis().saturating_sub(at.millis()) / (*ms).max(1);
            let step = ms.saturating_mul(missed + 1);
            (missed, Some(Due::Age(at + Duration::from_millis(step))))
        }
        (Repeat::Cron(cron), Due::Wall(at)) => {
            let wall = now.wall.unwrap_or(at);
            let (missed, next) = cron_points(cron, at, wall, zone);
            (missed, next.map(Due::Wall))
        }
        (Repeat::Once, _) | (Repeat::Every(_), Due::Wall(_)) | (Repeat::Cron(_), Due::Age(_)) => {
            (0, None)
        }
    };
    Fired { row: row.clone(), missed, next }
}

/// How many points of a cron expression lie between `at`, exclusive, and
/// `now`, and the first after.
fn cron_points(cron: &str, at: Wall, now: Wall, zone: &str) -> (u64, Option<Wall>) {
    let (mut missed, mut from) = (0, at);
    while missed < MISSED_MAX {
        match next_cron(cron, from, zone) {
            Ok(point) if point <= now => {
                missed += 1;
                from = point;
            }
            Ok(point) => return (missed, Some(point)),
            Err(_) => return (missed, None),
        }
    }
    (missed, next_cron(cron, now, zone).ok())
}

/// The first point of a cron expression after that time. An expression that
/// names no time zone goes by this one.
///
/// # Errors
/// What is wrong with the expression, for people.
pub fn next_cron(cron: &str, after: Wall, zone: &str) -> Result<Wall, String> {
    let plain = cron.split_whitespace().count() == CRON_FIELDS;
    let zoned = if plain { format!("{cron} {zone}") } else { cron.to_owned() };
    let crontab = cronexpr::parse_crontab(&zoned).map_err(|e| one_line(&e.to_string()))?;
    let from = jiff::Timestamp::from_millisecond(after.millis()).map_err(|e| e.to_string())?;
    let next = crontab.find_next(from).map_err(|e| one_line(&e.to_string()))?;
    Ok(Wall::from_millis(next.timestamp().as_millisecond()))
}

/// Minute, hour, day of the month, month, day of the week.
const CRON_FIELDS: usize = 5;

/// The crate draws a picture below the expression; a message has one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
