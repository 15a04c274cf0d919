//! Events: their arrival, how far they are, and reading them in their order.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, params};
use wildmatch::WildMatch;

use super::rows::{
    EVENT_COLUMNS, STATUS_COLUMNS, STATUS_WIDTH, age, event_row, event_sum, status_row, status_sum,
};
use super::things;
use crate::clock::Age;
use crate::store::commit::Tallies;
use crate::store::retention::work as retention;
use crate::store::rows::{Sum, signed, unsigned};
use crate::store::schema::META_HIGHEST_EVENT;
use crate::supervisor::io::{
    Arrival, EventRow, EventState, EventStatus, Fetch, Fetched, History, KeyHash, Seq, Unit,
};

/// Rows looked at in one read: nobody waits long for it, however many types
/// there are that nobody wants.
const SCAN_MAX: u64 = 10_000;

/// An event has come.
pub(crate) fn arrive(
    conn: &Connection,
    tallies: &mut Tallies,
    unit: &Unit,
    arrival: &Arrival,
) -> rusqlite::Result<()> {
    let (seq, at) = (signed(arrival.status.seq), unit.at.millis());
    let sum = event_sum(seq, at, &arrival.kind, &arrival.body);
    conn.prepare_cached(
        "INSERT INTO events (seq, at, type, body, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((seq, at, &*arrival.kind, &*arrival.body, sum))?;
    insert_status(conn, &arrival.status)?;
    tallies.events.came(arrival.status.seq);
    match &arrival.id {
        Some(id) => remember(conn, tallies, id, seq),
        None => Ok(()),
    }
}

/// How far an event is that has no such row yet.
pub(crate) fn insert_status(conn: &Connection, status: &EventStatus) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO inbox (seq, state, place, due, born, attempt, deaths, nacks, holder, version,
             wait, reason, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    execute_status(&mut insert, status)
}

/// How far an event is; one that is acked late goes at once.
pub(crate) fn settle(
    conn: &Connection,
    tallies: &Tallies,
    status: &EventStatus,
) -> rusqlite::Result<()> {
    put_status(conn, status)?;
    match status.state {
        EventState::Acked => retention::acked(conn, tallies, status.seq),
        EventState::Pending | EventState::Parked | EventState::Dead => Ok(()),
    }
}

/// How far an event is, as a row.
pub(crate) fn put_status(conn: &Connection, status: &EventStatus) -> rusqlite::Result<()> {
    let mut update = conn.prepare_cached(
        "UPDATE inbox SET state = ?2, place = ?3, due = ?4, born = ?5, attempt = ?6, deaths = ?7,
             nacks = ?8, holder = ?9, version = ?10, wait = ?11, reason = ?12, sum = ?13
         WHERE seq = ?1",
    )?;
    execute_status(&mut update, status)
}

fn execute_status(
    statement: &mut rusqlite::CachedStatement<'_>,
    status: &EventStatus,
) -> rusqlite::Result<()> {
    let EventStatus { attempt, deaths, nacks, .. } = *status;
    statement
        .execute(params![
            signed(status.seq),
            status.state.code(),
            age(status.place),
            age(status.due),
            age(status.born),
            attempt,
            deaths,
            nacks,
            signed(status.holder),
            signed(status.version),
            status.wait.as_deref(),
            status.reason.as_deref(),
            status_sum(status),
        ])
        .map(drop)
}

/// Remembers the hash of an event's source and id.
fn remember(
    conn: &Connection,
    tallies: &mut Tallies,
    hash: &KeyHash,
    seq: i64,
) -> rusqlite::Result<()> {
    put_event_id(conn, signed(tallies.next_event_id), hash, seq, tallies.age.millis())?;
    tallies.next_event_id += 1;
    Ok(())
}

/// A row of `event_ids`.
pub(crate) fn put_event_id(
    conn: &Connection,
    id: i64,
    hash: &[u8],
    seq: i64,
    age: i64,
) -> rusqlite::Result<()> {
    let sum = Sum::of("event_ids").int(id).blob(hash).int(seq).int(age).finish();
    conn.prepare_cached(
        "INSERT INTO event_ids (id, hash, seq, age, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((id, hash, seq, age, sum))
    .map(drop)
}

/// The numbers of the first and last remembered id of an event.
pub(crate) fn event_id_range(conn: &Connection) -> rusqlite::Result<(u64, u64)> {
    let one = |sql| conn.query_row(sql, [], |r| r.get::<_, Option<i64>>(0));
    let (first, last) =
        (one("SELECT min(id) FROM event_ids")?, one("SELECT max(id) FROM event_ids")?);
    Ok((first.map_or(1, unsigned), last.map_or(0, unsigned)))
}

/// Deletes an event with its steps. Its number is not given again.
pub(crate) fn delete(conn: &Connection, seq: Seq) -> rusqlite::Result<()> {
    things::raise(conn, META_HIGHEST_EVENT, seq)?;
    delete_rows(conn, seq)
}

/// Deletes the rows of an event that is not the newest.
pub(crate) fn delete_rows(conn: &Connection, seq: Seq) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM inbox WHERE seq = ?1",
        "DELETE FROM events WHERE seq = ?1",
        "DELETE FROM steps WHERE seq = ?1",
    ] {
        conn.prepare_cached(sql)?.execute([signed(seq)])?;
    }
    Ok(())
}

/// Makes pending what waits for that.
pub(crate) fn unpark(conn: &Connection, wait: &str, place: Age) -> rusqlite::Result<()> {
    let sql = format!("SELECT {STATUS_COLUMNS} FROM inbox i WHERE i.state = 1 AND i.wait = ?1");
    change_all(conn, &sql, &[&wait], |status| {
        (status.place, status.due) = (place, place);
    })
    .map(drop)
}

/// Makes pending what was acked in versions after that one.
pub(crate) fn reopen(conn: &Connection, since: u64) -> rusqlite::Result<u64> {
    let sql = format!("SELECT {STATUS_COLUMNS} FROM inbox i WHERE i.state = 2 AND i.version > ?1");
    change_all(conn, &sql, &[&signed(since)], |status| status.due = status.place)
}

/// Makes all those events pending, with a change to each; how many it were.
/// A row that is damaged stays as it is.
fn change_all(
    conn: &Connection,
    sql: &str,
    params: &[&dyn rusqlite::ToSql],
    change: impl Fn(&mut EventStatus),
) -> rusqlite::Result<u64> {
    let mut found = Vec::new();
    {
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            found.extend(status_row(row, 0)?);
        }
    }
    for status in &mut found {
        status.state = EventState::Pending;
        (status.wait, status.version, status.holder) = (None, 0, 0);
        change(status);
        put_status(conn, status)?;
    }
    Ok(found.len() as u64)
}

/// Pending events in their order.
pub(crate) fn fetch(conn: &Connection, fetch: &Fetch) -> rusqlite::Result<Fetched> {
    let globs: Vec<WildMatch> = fetch.types.iter().map(|t| WildMatch::new(t)).collect();
    let wanted = |kind: &str| globs.is_empty() || globs.iter().any(|glob| glob.matches(kind));
    let (place, seq) = fetch.after.map_or((-1, 0), |(place, seq)| (age(place), signed(seq)));
    let sql = format!(
        "SELECT {STATUS_COLUMNS}, {EVENT_COLUMNS} FROM inbox i LEFT JOIN events e ON e.seq = i.seq
         WHERE i.state = 0 AND (i.place, i.seq) > (?1, ?2) ORDER BY i.place, i.seq"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((place, seq))?;
    let mut found = Fetched::default();
    let (mut bytes, mut looked_at) = (0, 0);
    while let Some(row) = rows.next()? {
        looked_at += 1;
        let seq = unsigned(row.get(0)?);
        let here = (Age::from_millis(unsigned(row.get(2)?)), seq);
        // What is not wanted need not be read whole.
        let kind = row.get_ref(STATUS_WIDTH + 2)?;
        let skip = fetch.without.contains(&seq)
            || matches!(kind, ValueRef::Text(kind) if !std::str::from_utf8(kind).is_ok_and(wanted));
        if !skip {
            match event_row(row)? {
                Some(event) => {
                    bytes += event.body.len() as u64;
                    found.rows.push(event);
                }
                None => found.damaged.push(seq),
            }
        }
        let full = found.rows.len() as u64 >= fetch.limit || bytes >= fetch.bytes;
        if full || looked_at >= SCAN_MAX {
            found.horizon = Some(here);
            break;
        }
    }
    Ok(found)
}

/// One event.
pub(crate) fn look(conn: &Connection, seq: Seq) -> rusqlite::Result<Option<EventRow>> {
    let sql = format!(
        "SELECT {STATUS_COLUMNS}, {EVENT_COLUMNS} FROM inbox i JOIN events e ON e.seq = i.seq
         WHERE i.seq = ?1"
    );
    let found = conn.prepare_cached(&sql)?.query_row([signed(seq)], event_row).optional()?;
    Ok(found.flatten())
}

/// What came, newest first, and where to go on. Rows that are damaged are
/// passed over.
pub(crate) fn history(
    conn: &Connection,
    history: &History,
) -> rusqlite::Result<(Vec<EventRow>, Option<Seq>)> {
    // Events lead, by their type's index or by their number: a join the other
    // way would walk the whole inbox for a rare type.
    let of_type = if history.kind.is_some() { "e.type = ?3 AND" } else { "?3 IS NULL AND" };
    let sql = format!(
        "SELECT {STATUS_COLUMNS}, {EVENT_COLUMNS} FROM events e CROSS JOIN inbox i ON i.seq = e.seq
         WHERE {of_type} e.seq < ?1 ORDER BY e.seq DESC LIMIT ?2"
    );
    let before = history.before.map_or(i64::MAX, signed);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((before, signed(history.limit) + 1, &history.kind))?;
    let (mut found, mut count, mut next) = (Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        count += 1;
        if count > history.limit {
            break;
        }
        next = Some(unsigned(row.get(0)?));
        found.extend(event_row(row)?);
    }
    let more = count > history.limit;
    Ok((found, next.filter(|_| more)))
}
