//! Steps.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::{STEP_COLUMNS, scope, step_row, step_sum};
use super::things;
use crate::store::rows::signed;
use crate::supervisor::io::{ReviewRef, StepFound, StepKey, StepRow};

/// A step, in the place of what was there.
pub(crate) fn put(conn: &Connection, row: &StepRow) -> rusqlite::Result<()> {
    let (seq, named) = scope(&row.key.scope);
    conn.prepare_cached(
        "INSERT INTO steps (seq, named, name, state, attempt, ikey, input_hash, outcome, review, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (seq, named, name) DO UPDATE SET state = ?4, attempt = ?5, ikey = ?6,
             input_hash = ?7, outcome = ?8, review = ?9, sum = ?10",
    )?
    .execute(params![
        seq,
        named,
        &*row.key.name,
        row.state.code(),
        row.attempt,
        &*row.idempotency_key,
        row.input_hash.as_deref(),
        row.outcome.as_deref(),
        row.review.map(signed),
        step_sum(row),
    ])
    .map(drop)
}

/// All of a named scope are deleted.
pub(crate) fn forget(conn: &Connection, scope: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM steps WHERE seq = 0 AND named = ?1")?
        .execute([scope])
        .map(drop)
}

/// One step with its review.
pub(crate) fn look(conn: &Connection, key: &StepKey) -> rusqlite::Result<Option<StepFound>> {
    let (seq, named) = scope(&key.scope);
    let sql = format!(
        "SELECT {STEP_COLUMNS} FROM steps s WHERE s.seq = ?1 AND s.named = ?2 AND s.name = ?3"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_row((seq, named, &*key.name), step_row).optional()?;
    let Some(row) = found.flatten() else { return Ok(None) };
    let review = match row.review {
        Some(id) => things::review(conn, &ReviewRef::Id(id))?,
        None => None,
    };
    Ok(Some(StepFound { row, review }))
}

/// The newest open ones, of named scopes and of events that are not settled.
pub(crate) fn open(conn: &Connection, limit: u64) -> rusqlite::Result<Vec<StepRow>> {
    let sql = format!(
        "SELECT {STEP_COLUMNS} FROM steps s LEFT JOIN inbox i ON i.seq = s.seq
         WHERE s.state = 0 AND (s.seq = 0 OR i.state IN (0, 1)) ORDER BY s.id DESC LIMIT ?1"
    );
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([signed(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(step_row(row)?);
    }
    Ok(found)
}
