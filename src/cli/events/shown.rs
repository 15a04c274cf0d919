//! How an event is shown, in tables, on pages and as JSON.

use crate::cli::json::{Object, quoted};
use crate::cli::output::Tint;
use crate::cli::text::{Moment, escaped};
use crate::clock::Wall;
use crate::store::read_work::EventView;
use crate::supervisor::work::{EventRow, EventState};

/// Where an event is, for people: one that is in the hands of the live
/// incarnation is told from those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    state: EventState,
    held: bool,
}

impl Standing {
    /// Of that event, while this incarnation lives.
    pub fn of(row: &EventRow, live: Option<u64>) -> Self {
        let state = row.status.state;
        let held = state == EventState::Pending && live == Some(row.status.holder);
        Self { state, held }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        if self.held { "held" } else { self.state.as_str() }
    }

    /// Its colour.
    pub const fn tint(self) -> Tint {
        match self.state {
            EventState::Pending if self.held => Tint::Good,
            EventState::Pending => Tint::None,
            EventState::Parked => Tint::Warn,
            EventState::Acked => Tint::Dim,
            EventState::Dead => Tint::Bad,
        }
    }

    /// Whether the live incarnation has it.
    pub const fn is_held(self) -> bool {
        self.held
    }

    /// Whether nothing more becomes of it by itself.
    pub const fn is_over(self) -> bool {
        match self.state {
            EventState::Pending | EventState::Parked => false,
            EventState::Acked | EventState::Dead => true,
        }
    }
}

/// When a pending event may be handed out, on the wall clock: adrt counts
/// time by itself, and when the event came both were read.
pub fn due(row: &EventRow) -> Wall {
    let status = &row.status;
    let delay = i64::try_from(status.due.since(status.born).as_millis()).unwrap_or(i64::MAX);
    Wall::from_millis(row.at.millis().saturating_add(delay))
}

/// What keeps it, or why it was given up; empty where there is nothing to say.
pub fn why(view: &EventView, standing: Standing, moment: &Moment) -> String {
    let (row, mut parts) = (&view.row, Vec::new());
    if view.damaged {
        parts.push("damaged".to_owned());
    }
    if let Some(wait) = waits_for(row) {
        parts.push(wait);
    } else if standing.state == EventState::Pending && !standing.held && due(row) > moment.now {
        parts.push(format!("due {}", moment.ago(due(row))));
    }
    parts.extend(row.status.reason.as_deref().map(escaped));
    parts.join(", ")
}

/// What a parked event waits for.
pub fn waits_for(row: &EventRow) -> Option<String> {
    let wait = row.status.wait.as_deref().filter(|_| row.status.state == EventState::Parked)?;
    Some(match wait.split_once(':') {
        Some(("review", id)) => format!("waits for review {}", escaped(id)),
        Some(("event", kind)) => format!("waits for an event {}", escaped(kind)),
        Some(_) | None => format!("waits for {}", escaped(wait)),
    })
}

/// The members of one event; the names are those of `event.history`.
pub fn fields(view: &EventView, standing: Standing) -> Object {
    let EventView { row, damaged } = view;
    let status = &row.status;
    let object = Object::new()
        .number("seq", status.seq)
        .text("status", standing.as_str())
        .text("type", &row.kind)
        .text("at", &row.at.rfc3339())
        .number("attempt", status.attempt)
        .number("deaths", status.deaths)
        .number("nacks", status.nacks);
    let object = match status.state {
        EventState::Pending | EventState::Parked => object.text("due", &due(row).rfc3339()),
        EventState::Acked => object.number("version", status.version),
        EventState::Dead => object,
    };
    let object = match status.holder {
        0 => object,
        holder => object.number("incarnation", holder),
    };
    let object = match &status.wait {
        Some(wait) => object.text("wait", wait),
        None => object,
    };
    let object = match &status.reason {
        Some(reason) => object.text("last_error", reason),
        None => object,
    };
    let object = if *damaged { object.number("damaged", true) } else { object };
    object.raw("event", &body(view))
}

/// The event as JSON, also where it is damaged.
pub fn body(view: &EventView) -> std::borrow::Cow<'_, str> {
    let body = &*view.row.body;
    if view.damaged && crate::json::validate(body.as_bytes()).is_err() {
        return quoted(body).into();
    }
    body.into()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::clock::Age;
    use crate::supervisor::work::EventStatus;

    fn view(state: EventState) -> EventView {
        let row = EventRow {
            status: EventStatus {
                seq: 88,
                state,
                place: Age::from_millis(1000),
                due: Age::from_millis(61_000),
                born: Age::from_millis(1000),
                attempt: 2,
                deaths: 1,
                nacks: 0,
                holder: 3,
                version: 0,
                wait: None,
                reason: Some("no \u{1b}way".into()),
            },
            kind: "t".into(),
            body: "{\"type\":\"t\",\"c\":1e400}".into(),
            at: Wall::from_millis(0),
        };
        EventView { row, damaged: false }
    }

    #[test]
    fn in_the_hands_of_the_live_incarnation() {
        let word = |state, live| Standing::of(&view(state).row, live).as_str();
        assert_eq!(word(EventState::Pending, Some(3)), "held");
        assert_eq!(word(EventState::Pending, Some(4)), "pending");
        assert_eq!(word(EventState::Pending, None), "pending");
        assert_eq!(word(EventState::Acked, Some(3)), "acked");
    }

    #[test]
    fn why_it_is_where_it_is() {
        let moment = Moment { now: Wall::from_millis(0), zone: TimeZone::UTC };
        let said = |view: &EventView| why(view, Standing::of(&view.row, None), &moment);
        assert_eq!(said(&view(EventState::Pending)), "due in 1 min, no \\u{1b}way");
        assert_eq!(said(&view(EventState::Dead)), "no \\u{1b}way");
        let mut parked = view(EventState::Parked);
        parked.row.status.reason = None;
        parked.row.status.wait = Some("review:7".into());
        assert_eq!(said(&parked), "waits for review 7");
        parked.row.status.wait = Some("event:a:b".into());
        assert_eq!(said(&parked), "waits for an event a:b");
        parked.damaged = true;
        assert_eq!(said(&parked), "damaged, waits for an event a:b");
    }

    #[test]
    fn as_json() {
        let pending = view(EventState::Pending);
        assert_eq!(
            fields(&pending, Standing::of(&pending.row, None)).finish(),
            r#"{"seq":88,"status":"pending","type":"t","at":"1970-01-01T00:00:00.000Z","attempt":2,"deaths":1,"nacks":0,"due":"1970-01-01T00:01:00.000Z","incarnation":3,"last_error":"no \u001bway","event":{"type":"t","c":1e400}}"#
        );
    }
}
