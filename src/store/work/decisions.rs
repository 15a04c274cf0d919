//! Decisions, and the policies they went by.
//!
//! A decision is written whole when it is made, and again when it is given a
//! review, or its outcome is told. Once retention has let it go, it does not
//! come back.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::text;
use crate::clock::Wall;
use crate::engines::context::Risk;
use crate::engines::decision::Verdict;
use crate::engines::environment::Level;
use crate::store::commit::Tallies;
use crate::store::rows::{Sum, holds, real, signed, unsigned};
use crate::supervisor::io::{DecisionRef, DecisionRow, KeyHash, PolicyRow};

/// Columns of `decisions`, their checksum last.
pub(crate) const DECISION_COLUMNS: &str = "id, at, age, seq, type, context, risk, confidence, q, \
     environment, threshold, action, reason, verdict, policy, review, outcome, settled, basis, sum";
/// How many are summed.
pub(crate) const DECISION_SUMMED: usize = 19;

fn decision_sum(row: &DecisionRow, age: i64) -> i64 {
    Sum::of("decisions")
        .int(signed(row.id))
        .int(row.at.millis())
        .int(age)
        .int(signed(row.seq))
        .text(&row.kind)
        .text(&row.context)
        .text(row.risk.as_str())
        .real(real(row.confidence))
        .opt_real(row.q.map(real))
        .text(row.environment.as_str())
        .real(real(row.threshold))
        .text(&row.action)
        .text(&row.reason)
        .text(row.verdict.as_str())
        .blob(&row.policy)
        .opt_int(row.review.map(signed))
        .opt_int(row.outcome.map(i64::from))
        .opt_int(row.settled.map(Wall::millis))
        .text(&row.basis)
        .finish()
}

/// [`DECISION_COLUMNS`].
pub(crate) fn decision_row(row: &Row<'_>) -> rusqlite::Result<Option<DecisionRow>> {
    if !holds("decisions", row, DECISION_SUMMED) {
        return Ok(None);
    }
    let name = |column| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
    let (Some(risk), Some(environment), Some(verdict)) =
        (Risk::from_name(name(6)?), Level::from_name(name(9)?), Verdict::from_name(name(13)?))
    else {
        return Ok(None); // a newer adrt knows more of them
    };
    Ok(Some(DecisionRow {
        id: unsigned(row.get(0)?),
        at: Wall::from_millis(row.get(1)?),
        seq: unsigned(row.get(3)?),
        kind: text(row, 4)?,
        context: text(row, 5)?,
        risk,
        confidence: row.get(7)?,
        q: row.get(8)?,
        environment,
        threshold: row.get(10)?,
        action: text(row, 11)?,
        reason: text(row, 12)?,
        verdict,
        policy: row.get(14)?,
        review: row.get::<_, Option<i64>>(15)?.map(unsigned),
        outcome: row.get(16)?,
        settled: row.get::<_, Option<i64>>(17)?.map(Wall::from_millis),
        basis: text(row, 18)?,
    }))
}

/// A decision, in the place of what was there.
pub(crate) fn put(
    conn: &Connection,
    tallies: &mut Tallies,
    row: &DecisionRow,
) -> rusqlite::Result<()> {
    let now = tallies.age.millis();
    if tallies.decisions.came(row.id) {
        return write(conn, INSERT, row, now);
    }
    let Some(age) = age_of(conn, row.id)? else { return Ok(()) };
    // Perhaps it need no longer be kept.
    tallies.decisions.back_to(row.id);
    match age {
        Some(age) => amend(conn, row, age),
        None => write(conn, REPLACE, row, now),
    }
}

/// The age of a decision that is kept; none within if its row is damaged.
fn age_of(conn: &Connection, id: u64) -> rusqlite::Result<Option<Option<i64>>> {
    let sql = format!("SELECT {DECISION_COLUMNS} FROM decisions WHERE id = ?1");
    let age = |row: &Row<'_>| {
        Ok(if holds("decisions", row, DECISION_SUMMED) { Some(row.get(2)?) } else { None })
    };
    conn.prepare_cached(&sql)?.query_row([signed(id)], age).optional()
}

/// For a new one: were it one that may take the place of another, SQLite would
/// note every page it touches, to be able to take it back alone.
const INSERT: &str = "INSERT";
/// In the place of a damaged one.
const REPLACE: &str = "INSERT OR REPLACE";

fn write(conn: &Connection, how: &str, row: &DecisionRow, age: i64) -> rusqlite::Result<()> {
    let sql = format!(
        "{how} INTO decisions ({DECISION_COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
             ?19, ?20)"
    );
    conn.prepare_cached(&sql)?
        .execute(params![
            signed(row.id),
            row.at.millis(),
            age,
            signed(row.seq),
            &*row.kind,
            &*row.context,
            row.risk.as_str(),
            real(row.confidence),
            row.q.map(real),
            row.environment.as_str(),
            real(row.threshold),
            &*row.action,
            &*row.reason,
            row.verdict.as_str(),
            row.policy,
            row.review.map(signed),
            row.outcome,
            row.settled.map(Wall::millis),
            &*row.basis,
            decision_sum(row, age),
        ])
        .map(drop)
}

/// What changes of one that is there, and no index that it is in but one.
fn amend(conn: &Connection, row: &DecisionRow, age: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE decisions SET review = ?2, outcome = ?3, settled = ?4, sum = ?5 WHERE id = ?1",
    )?
    .execute(params![
        signed(row.id),
        row.review.map(signed),
        row.outcome,
        row.settled.map(Wall::millis),
        decision_sum(row, age),
    ])
    .map(drop)
}

/// One decision; none if it is not there, or damaged.
pub(crate) fn look(
    conn: &Connection,
    which: &DecisionRef,
) -> rusqlite::Result<Option<DecisionRow>> {
    let (DecisionRef::Id(number) | DecisionRef::Event(number)) = which;
    let mut statement = conn.prepare_cached(&look_sql(which))?;
    Ok(statement.query_row([signed(*number)], decision_row).optional()?.flatten())
}

pub(crate) fn look_sql(which: &DecisionRef) -> String {
    let which = match which {
        DecisionRef::Id(_) => "id = ?1",
        DecisionRef::Event(_) => "seq = ?1 AND seq > 0 ORDER BY id LIMIT 1",
    };
    format!("SELECT {DECISION_COLUMNS} FROM decisions WHERE {which}")
}

/// Columns of `policies`, their checksum last.
pub(crate) const POLICY_COLUMNS: &str = "id, hash, text, sum";

/// [`POLICY_COLUMNS`].
pub(crate) fn policy_row(row: &Row<'_>) -> rusqlite::Result<Option<PolicyRow>> {
    if !holds("policies", row, 3) {
        return Ok(None);
    }
    Ok(Some(PolicyRow { id: row.get(1)?, text: text(row, 2)? }))
}

/// A policy is in force from now on: it is the newest. The one before it goes
/// if nothing was decided by it.
pub(crate) fn put_policy(conn: &Connection, row: &PolicyRow) -> rusqlite::Result<()> {
    let sql = format!("SELECT {POLICY_COLUMNS} FROM policies ORDER BY id DESC LIMIT 1");
    let newest = conn
        .prepare_cached(&sql)?
        .query_row([], |found| Ok((found.get::<_, i64>(0)?, policy_row(found)?)))
        .optional()?;
    if let Some((_, Some(there))) = &newest
        && there.id == row.id
    {
        return Ok(());
    }
    let id = newest.as_ref().map_or(1, |(id, _)| id + 1);
    let sum = Sum::of("policies").int(id).blob(&row.id).text(&row.text).finish();
    // Where it was in force before, its row gives way.
    conn.prepare_cached(
        "INSERT OR REPLACE INTO policies (id, hash, text, sum) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute((id, row.id, &*row.text, sum))?;
    match newest {
        Some((_, Some(before))) => drop_policy(conn, &before.id),
        Some((_, None)) | None => Ok(()),
    }
}

/// Deletes a policy, unless it is the newest, or a decision names it.
pub(crate) fn drop_policy(conn: &Connection, hash: &[u8]) -> rusqlite::Result<()> {
    conn.prepare_cached(DROP_POLICY)?.execute([hash]).map(drop)
}

pub(crate) const DROP_POLICY: &str = "DELETE FROM policies
    WHERE hash = ?1 AND id < (SELECT max(id) FROM policies)
        AND NOT EXISTS (SELECT 1 FROM decisions WHERE policy = ?1)";

/// The text of a policy; none if it is not there, or damaged.
pub(crate) fn policy(conn: &Connection, id: &KeyHash) -> rusqlite::Result<Option<PolicyRow>> {
    let sql = format!("SELECT {POLICY_COLUMNS} FROM policies WHERE hash = ?1");
    Ok(conn.prepare_cached(&sql)?.query_row([id], policy_row).optional()?.flatten())
}
