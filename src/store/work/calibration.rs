//! What outcomes have taught, by context and risk.

use rusqlite::{Connection, Row, params};

use super::rows::{age, text};
use crate::clock::Age;
use crate::engines::confidence::Calibration;
use crate::engines::context::Risk;
use crate::store::rows::{Sum, holds, real, signed, unsigned};
use crate::supervisor::io::CalibrationRow;

/// Columns of `calibration`, their checksum last.
pub(crate) const CALIBRATION_COLUMNS: &str = "context, risk, a, b, outcomes, last, sum";

/// What was learnt, in the place of what was there.
pub(crate) fn put(conn: &Connection, row: &CalibrationRow) -> rusqlite::Result<()> {
    let Calibration { a, b, outcomes, last } = row.calibration;
    let (a, b, outcomes, last) = (real(a), real(b), signed(outcomes), age(last));
    let risk = row.risk.as_str();
    let sum = Sum::of("calibration")
        .text(&row.context)
        .text(risk)
        .real(a)
        .real(b)
        .int(outcomes)
        .int(last)
        .finish();
    conn.prepare_cached(
        "INSERT INTO calibration (context, risk, a, b, outcomes, last, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (context, risk) DO UPDATE SET a = ?3, b = ?4, outcomes = ?5, last = ?6,
             sum = ?7",
    )?
    .execute(params![&*row.context, risk, a, b, outcomes, last, sum])
    .map(drop)
}

/// Forgets what was learnt.
pub(crate) fn delete(conn: &Connection, context: &str, risk: Risk) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM calibration WHERE context = ?1 AND risk = ?2")?
        .execute((context, risk.as_str()))
        .map(drop)
}

/// All that was learnt, and how many rows are damaged.
pub(crate) fn all(conn: &Connection) -> rusqlite::Result<(Vec<CalibrationRow>, usize)> {
    let sql = format!("SELECT {CALIBRATION_COLUMNS} FROM calibration ORDER BY context, risk");
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let (mut found, mut damaged) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        match calibration_row(row)? {
            Some(row) => found.push(row),
            None => damaged += 1,
        }
    }
    Ok((found, damaged))
}

/// [`CALIBRATION_COLUMNS`].
fn calibration_row(row: &Row<'_>) -> rusqlite::Result<Option<CalibrationRow>> {
    if !holds("calibration", row, 6) {
        return Ok(None);
    }
    let Some(risk) = Risk::from_name(row.get_ref(1)?.as_str()?) else { return Ok(None) };
    let calibration = Calibration {
        a: row.get(2)?,
        b: row.get(3)?,
        outcomes: unsigned(row.get(4)?),
        last: Age::from_millis(unsigned(row.get(5)?)),
    };
    Ok(Some(CalibrationRow { context: text(row, 0)?, risk, calibration }))
}
