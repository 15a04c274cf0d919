//! What the machine keeps of all work in memory, read at a start.
//!
//! It costs what waits, not what ever came: counts go by the indexes of what
//! is pending and dead, and of pending events only the first are read.

use rusqlite::Connection;

use super::{calibration, events, steps, things};
use crate::store::commit::Tallies;
use crate::store::load::KEYS_KEPT;
use crate::store::retention::{KEYS_KEPT_AGE, millis};
use crate::store::rows::{holds, signed, unsigned};
use crate::store::schema::{
    self, META_HIGHEST_DECISION, META_HIGHEST_EVENT, META_HIGHEST_POST, META_HIGHEST_REVIEW,
};
use crate::supervisor::io::{Fetch, KeyHash, Seq, WorkRestored};
use crate::supervisor::work::{POSTS_KEPT, STEPS_OPEN_KEPT, WINDOW_BYTES, WINDOW_EVENTS};

/// All of it.
pub(crate) fn restored(
    conn: &Connection,
    tallies: &Tallies,
    warnings: &mut Vec<String>,
) -> rusqlite::Result<WorkRestored> {
    let count = |sql| conn.query_row(sql, [], |r| r.get::<_, i64>(0)).map(unsigned);
    let first = events::fetch(
        conn,
        &Fetch {
            after: None,
            types: Vec::new(),
            limit: WINDOW_EVENTS,
            bytes: WINDOW_BYTES,
            without: Vec::new(),
        },
    )?;
    let (timers, damaged) = things::timers(conn)?;
    if damaged > 0 {
        warnings.push(format!("{damaged} timers are damaged and were passed over"));
    }
    let (calibrations, damaged) = calibration::all(conn)?;
    if damaged > 0 {
        warnings.push(format!(
            "what {damaged} kinds of decisions were taught by their outcomes is damaged and was \
             passed over: it is learnt anew"
        ));
    }
    let highest = |table, meta| highest(conn, table, meta);
    let (age, age_at) = tallies.age.stand();
    Ok(WorkRestored {
        age,
        age_at,
        wear: tallies.wear,
        last_seq: highest("events", META_HIGHEST_EVENT)?,
        depth: count("SELECT count(*) FROM inbox WHERE state = 0")?
            + count("SELECT count(*) FROM inbox WHERE state = 1")?,
        dead: count("SELECT count(*) FROM inbox WHERE state = 3")?,
        first,
        parked: parked(conn)?,
        ids: ids(conn, tallies.age.millis(), warnings)?,
        open_steps: steps::open(conn, STEPS_OPEN_KEPT)?,
        timers,
        posts: things::posts(conn, 0, POSTS_KEPT)?,
        last_post: highest("posts", META_HIGHEST_POST)?,
        reviews: things::pending_reviews(conn)?,
        last_review: highest("reviews", META_HIGHEST_REVIEW)?,
        last_decision: highest("decisions", META_HIGHEST_DECISION)?,
        calibrations,
    })
}

/// The highest number ever given: of a row, or as it was written down.
fn highest(conn: &Connection, table: &str, meta: &str) -> rusqlite::Result<u64> {
    let column = if table == "events" { "seq" } else { "id" };
    let sql = format!("SELECT max({column}) FROM {table}");
    let there: Option<i64> = conn.query_row(&sql, [], |r| r.get(0))?;
    let noted = schema::get_meta(conn, meta)?.and_then(|text| text.parse().ok());
    Ok(there.map_or(0, unsigned).max(noted.unwrap_or(0)))
}

fn parked(conn: &Connection) -> rusqlite::Result<Vec<(Box<str>, u64)>> {
    let mut statement = conn.prepare(
        "SELECT wait, count(*) FROM inbox WHERE state = 1 AND wait IS NOT NULL GROUP BY wait",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?.into_boxed_str(), unsigned(row.get(1)?)))
    })?;
    rows.collect()
}

/// The remembered ids of events, oldest first; as with keys, one that is lost
/// is told and passed over.
fn ids(
    conn: &Connection,
    age: i64,
    warnings: &mut Vec<String>,
) -> rusqlite::Result<Vec<(KeyHash, Seq)>> {
    let oldest = age.saturating_sub(millis(KEYS_KEPT_AGE));
    let mut statement = conn.prepare(
        "SELECT id, hash, seq, age, sum FROM event_ids
         WHERE id > (SELECT coalesce(max(id), 0) FROM event_ids) - ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([signed(KEYS_KEPT)])?;
    let (mut found, mut lost) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if !holds("event_ids", row, 4) {
            lost += 1;
        } else if row.get::<_, i64>(3)? >= oldest {
            found.push((row.get(1)?, unsigned(row.get(2)?)));
        }
    }
    if lost > 0 {
        warnings.push(format!(
            "{lost} remembered ids of events are damaged and were passed over: if one of them \
             comes again, it is taken for a new one"
        ));
    }
    Ok(found)
}
