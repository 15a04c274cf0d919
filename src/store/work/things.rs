//! Timers, posts and reviews: few rows each, written one at a time.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::decisions;
use super::rows::{
    POST_COLUMNS, TIMER_COLUMNS, age, post_row, post_sum, review_row, review_sum, reviews_sql,
    timer_row, timer_sum, timer_times,
};
use crate::clock::Wall;
use crate::store::commit::Tallies;
use crate::store::retention;
use crate::store::rows::signed;
use crate::store::schema::{self, META_HIGHEST_POST, META_HIGHEST_REVIEW};
use crate::supervisor::io::{DecisionRef, PostRow, ReviewRef, ReviewRow, ReviewStatus, TimerRow};

/// A timer, in the place of what was there.
pub(crate) fn put_timer(conn: &Connection, row: &TimerRow) -> rusqlite::Result<()> {
    let (due_age, due_wall, every, cron) = timer_times(row);
    conn.prepare_cached(
        "INSERT OR REPLACE INTO timers (id, due_age, due_wall, every, cron, type, event, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        &*row.id,
        due_age,
        due_wall,
        every,
        cron,
        &*row.kind,
        &*row.event,
        timer_sum(row)
    ])
    .map(drop)
}

/// Deletes a timer.
pub(crate) fn drop_timer(conn: &Connection, id: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM timers WHERE id = ?1")?.execute([id]).map(drop)
}

/// All timers, and how many rows are damaged.
pub(crate) fn timers(conn: &Connection) -> rusqlite::Result<(Vec<TimerRow>, usize)> {
    let mut statement = conn.prepare(&format!("SELECT {TIMER_COLUMNS} FROM timers ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let (mut found, mut damaged) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        match timer_row(row)? {
            Some(timer) => found.push(timer),
            None => damaged += 1,
        }
    }
    Ok((found, damaged))
}

/// An event for another agent. Its number is written down apart, since the
/// row goes when it has arrived.
pub(crate) fn put_post(conn: &Connection, row: &PostRow) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO posts (id, target, token, event, delay_ms, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        signed(row.id),
        &*row.to,
        &*row.token,
        &*row.event,
        signed(row.delay_ms),
        post_sum(row)
    ])?;
    schema::put_meta(conn, META_HIGHEST_POST, &row.id.to_string())
}

/// It has arrived.
pub(crate) fn drop_post(conn: &Connection, id: u64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM posts WHERE id = ?1")?.execute([signed(id)]).map(drop)
}

/// What is to be sent, after that number. Fewer than asked for means that this
/// was the end, so rows that are damaged are passed over and not counted.
pub(crate) fn posts(conn: &Connection, after: u64, limit: u64) -> rusqlite::Result<Vec<PostRow>> {
    let sql = format!("SELECT {POST_COLUMNS} FROM posts WHERE id > ?1 ORDER BY id");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([signed(after)])?;
    let mut found = Vec::new();
    while (found.len() as u64) < limit
        && let Some(row) = rows.next()?
    {
        found.extend(post_row(row)?);
    }
    Ok(found)
}

/// A review, in the place of what was there. Decisions that were only kept for
/// it may go when it is settled.
pub(crate) fn put_review(
    conn: &Connection,
    tallies: &mut Tallies,
    row: &ReviewRow,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO reviews (id, key, prompt, options, default_to, expires, count,
             asked, status, answer, made_by, note, settled, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(params![
        signed(row.id),
        row.key.as_deref(),
        &*row.prompt,
        row.options.as_deref(),
        row.default.as_str(),
        row.expires.map(age),
        row.count,
        row.asked.millis(),
        row.status.as_str(),
        row.answer.as_deref(),
        row.by.as_deref(),
        row.note.as_deref(),
        row.settled.map(Wall::millis),
        review_sum(row),
    ])?;
    if row.status != ReviewStatus::Pending {
        retention::decisions::review_settled(conn, tallies, row.id)?;
    }
    raise(conn, META_HIGHEST_REVIEW, row.id)
}

/// Writes a number down that is not to be given again.
pub(crate) fn raise(conn: &Connection, meta: &str, number: u64) -> rusqlite::Result<()> {
    let highest = schema::get_meta(conn, meta)?.and_then(|text| text.parse().ok());
    if highest.unwrap_or(0) < number {
        schema::put_meta(conn, meta, &number.to_string())?;
    }
    Ok(())
}

/// One review; of several with one key the newest.
pub(crate) fn review(conn: &Connection, which: &ReviewRef) -> rusqlite::Result<Option<ReviewRow>> {
    let found = match which {
        ReviewRef::Id(id) => {
            let sql = reviews_sql(true, "WHERE id = ?1");
            conn.prepare_cached(&sql)?.query_row([signed(*id)], review_row).optional()?
        }
        ReviewRef::Key(key) => {
            let sql = reviews_sql(true, "WHERE key = ?1 ORDER BY id DESC LIMIT 1");
            conn.prepare_cached(&sql)?.query_row([&**key], review_row).optional()?
        }
        ReviewRef::Decision(id) => {
            let decision = decisions::look(conn, &DecisionRef::Id(*id))?;
            let Some(named) = decision.and_then(|row| row.review) else { return Ok(None) };
            return review(conn, &ReviewRef::Id(named));
        }
    };
    Ok(found.flatten())
}

/// Those that wait.
pub(crate) fn pending_reviews(conn: &Connection) -> rusqlite::Result<Vec<ReviewRow>> {
    let sql = reviews_sql(true, "WHERE status = 'pending' ORDER BY id");
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(review_row(row)?);
    }
    Ok(found)
}
