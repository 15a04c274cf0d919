//! What is kept of work: acked events with their steps, the ids of events,
//! settled reviews.
//!
//! A [`Mark`] goes along the events. Of what it passes, acked events are let
//! go. What is pending, parked or a dead letter is left behind it, and let go
//! at its ack.

use std::time::Duration;

use rusqlite::Connection;

use super::mark::{Mark, Old};
use super::{DELETES_MAX, KEYS_KEPT_AGE, SHED_STEP};
use crate::store::commit::{Tallies, used_bytes};
use crate::store::rows::{signed, unsigned};
use crate::store::work::rows::{STATUS_COLUMNS, status_row};
use crate::store::work::{delete_event, delete_event_rows};
use crate::supervisor::io::{EventState, Seq};

/// How long acked events are kept, from when they came.
pub const EVENTS_KEPT_AGE: Duration = KEYS_KEPT_AGE;
/// Events among which acked ones are kept: the newest.
pub const EVENTS_KEPT: u64 = 100_000;
/// Reviews among which settled ones are kept: the newest.
pub const REVIEWS_KEPT: u64 = 10_000;

/// An event was acked: one that was left behind goes.
pub(crate) fn acked(conn: &Connection, tallies: &Tallies, seq: Seq) -> rusqlite::Result<()> {
    if tallies.events.is_past(seq) { delete_event(conn, seq) } else { Ok(()) }
}

/// Moves the mark on, and lets up to `most` events go.
pub(crate) fn pass(conn: &Connection, tallies: &mut Tallies, most: u64) -> rusqlite::Result<()> {
    let old = Old::now(tallies.age, &tallies.events, EVENTS_KEPT_AGE, EVENTS_KEPT);
    if tallies.events.waits(&old) {
        return Ok(());
    }
    advance(conn, &mut tallies.events, &old, most)
}

fn advance(conn: &Connection, mark: &mut Mark, old: &Old, most: u64) -> rusqlite::Result<()> {
    let found = after(conn, mark)?;
    (mark.next, mark.more) = (None, found.len() as u64 == DELETES_MAX);
    let mut deleted = 0;
    for (seq, status) in found {
        if let Some((state, born)) = status {
            if !old.is(seq, born) {
                (mark.next, mark.more) = (Some((seq, born)), false);
                break;
            }
            if deleted == most {
                mark.more = true;
                break;
            }
            if state == EventState::Acked {
                delete_event_rows(conn, seq)?;
                deleted += 1;
            }
        }
        mark.passed = seq;
    }
    Ok(())
}

/// An event's number, with its state and birth; none if its row is damaged:
/// for what that says nothing may be let go.
type Looked = (Seq, Option<(EventState, i64)>);

/// The first events after the mark, but for the newest of all: its number
/// tells the next one's.
fn after(conn: &Connection, mark: &Mark) -> rusqlite::Result<Vec<Looked>> {
    let sql = format!(
        "SELECT {STATUS_COLUMNS} FROM inbox i WHERE i.seq > ?1 AND i.seq < ?2
         ORDER BY i.seq LIMIT ?3"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(
        (signed(mark.passed), signed(mark.newest), signed(DELETES_MAX)),
        |row| {
            let status = status_row(row, 0)?;
            Ok((unsigned(row.get(0)?), status.map(|s| (s.state, signed(s.born.millis())))))
        },
    )?;
    rows.collect()
}

/// Sheds acked events, oldest first, while used pages are past the budget, in
/// so many steps. Returns what is used.
pub(crate) fn shed(
    conn: &Connection,
    tallies: &mut Tallies,
    max_db: u64,
    steps: u64,
) -> rusqlite::Result<u64> {
    let mut used = used_bytes(conn)?;
    for _ in 0..steps {
        let before = tallies.events.passed;
        advance(conn, &mut tallies.events, &Old::all(), SHED_STEP)?;
        used = used_bytes(conn)?;
        if used <= max_db || tallies.events.passed == before {
            break;
        }
    }
    Ok(used)
}

/// Lets settled reviews go that are not among the newest. They go by their
/// number alone: they know no clock but the wall's, and a step of that must
/// not take an answer away that an agent may still ask for.
pub(crate) fn settled_reviews(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "DELETE FROM reviews WHERE id IN (
             SELECT id FROM reviews WHERE id <= (SELECT max(id) FROM reviews) - ?1
                 AND status <> 'pending' ORDER BY id LIMIT ?2)",
    )?
    .execute((signed(REVIEWS_KEPT), signed(DELETES_MAX)))
    .map(drop)
}
