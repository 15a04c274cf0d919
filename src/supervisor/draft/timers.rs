//! Timers: set, and fired.

use std::sync::Arc;
use std::time::Duration;

use super::Draft;
use crate::clock::Wall;
use crate::protocol::error::WireError;
use crate::protocol::work::{EventText, TimerSet, When};
use crate::supervisor::agenda::timers::{Fired, TimerNow, next_cron};
use crate::supervisor::io::{Due, Repeat, TimerRow, WorkOp};

impl Draft<'_> {
    /// `timer.set`.
    pub(super) fn timer_set(&mut self, set: &TimerSet) -> Result<(), WireError> {
        let bytes = set.event.text.len();
        self.doc.agenda.timers.has_room_for(&set.id, bytes).map_err(WireError::invalid_params)?;
        let (age, wall) = (self.context.age, self.context.now.wall);
        let (due, repeat) = match &set.when {
            When::After(span) => (Due::Age(age + *span), Repeat::Once),
            When::At(at) => (Due::Wall(*at), Repeat::Once),
            When::Every(span) => {
                let every = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
                (Due::Age(age + *span), Repeat::Every(every))
            }
            When::Cron(cron) => {
                let next = next_cron(cron, wall, &self.context.time_zone).map_err(|why| {
                    WireError::invalid_params(format!("\"cron\": {why}"))
                        .with_text("member", "cron")
                })?;
                (Due::Wall(next), Repeat::Cron(cron.clone()))
            }
        };
        let row = TimerRow {
            id: set.id.clone(),
            due,
            repeat,
            event: set.event.text.clone(),
            kind: set.event.kind.clone(),
        };
        self.put(WorkOp::Timer(Box::new(row.clone())));
        self.doc.agenda.timers.set(row);
        let told = match due {
            Due::Wall(at) => at,
            Due::Age(at) => later(wall, at.since(age)),
        };
        self.result(format_args!("{{\"due\":\"{}\"}}", told.rfc3339()));
        Ok(())
    }

    /// Puts the events of all timers that are due into the inbox.
    pub fn fire_timers(&mut self, now: TimerNow) {
        for fired in self.doc.agenda.timers.due(now, &self.context.time_zone) {
            self.fire(fired);
        }
    }

    fn fire(&mut self, fired: Fired) {
        let Fired { row, missed, next } = fired;
        let event = EventText {
            kind: row.kind.clone(),
            source: None,
            id: None,
            text: with_missed(&row.event, missed),
        };
        // Whether there is room was asked before.
        self.arrived(&event, Duration::ZERO, None);
        match next {
            Some(due) => {
                let row = TimerRow { due, ..row };
                self.put(WorkOp::Timer(Box::new(row.clone())));
                self.doc.agenda.timers.set(row);
            }
            None => {
                self.put(WorkOp::DropTimer { id: (*row.id).into() });
                self.doc.agenda.timers.cancel(&row.id);
            }
        }
    }
}

/// The event with the number of points that went by, if any did. It has at
/// least its type in it.
fn with_missed(event: &Arc<str>, missed: u64) -> Arc<str> {
    match event.trim_end().strip_suffix('}') {
        Some(head) if missed > 0 => format!("{head},\"missed\":{missed}}}").into(),
        Some(_) | None => event.clone(),
    }
}

fn later(wall: Wall, span: Duration) -> Wall {
    let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Wall::from_millis(wall.millis().saturating_add(span))
}
