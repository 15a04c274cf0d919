//! The command line's view of decisions: what was decided, by which policy, and
//! what outcomes taught.
//!
//! Every question is answered by an index, so it costs what it shows. A file of
//! an older schema has no decisions: all answers are empty then. Damaged rows
//! are passed over.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::load::LoadError;
use super::read::{ReadError, Reader};
use super::retention::AgeClock;
use super::rows::signed;
use super::schema;
use super::work::calibration;
use super::work::decisions::{self, DECISION_COLUMNS, decision_row};
use crate::clock::{Age, Wall};
use crate::engines::decision::Verdict;
use crate::supervisor::io::{CalibrationRow, DecisionRef, DecisionRow, KeyHash, PolicyRow, Seq};

/// Which decisions to show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecisionFilter {
    /// Only with this verdict.
    pub verdict: Option<Verdict>,
    /// Only about this kind of trouble.
    pub context: Option<String>,
}

type Result<T> = std::result::Result<T, ReadError>;

fn decisions_sql(verdict: Option<Verdict>, by_context: bool) -> String {
    // Said outright: only so is it seen that the index has all of them.
    let verdict = match verdict {
        Some(Verdict::Execute) => "verdict = 'execute'",
        Some(Verdict::Review) => "verdict = 'review'",
        None => "true",
    };
    let context = if by_context { "context = ?2" } else { "?2 IS NULL" };
    format!(
        "SELECT {DECISION_COLUMNS} FROM decisions WHERE {verdict} AND {context} AND id < ?1
         ORDER BY id DESC"
    )
}

impl Reader {
    /// Decisions before that one (all, if none is given), newest first.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn decisions(
        &self,
        limit: u64,
        before: Option<u64>,
        filter: &DecisionFilter,
    ) -> Result<Vec<DecisionRow>> {
        let before = before.map_or(i64::MAX, signed);
        self.learnt(|conn| {
            let context = filter.context.as_deref();
            if filter.verdict.is_some() || context.is_none() {
                return page(conn, before, filter.verdict, context, limit);
            }
            // One context is in the order of numbers for each verdict.
            let mut found = page(conn, before, Some(Verdict::Execute), context, limit)?;
            found.extend(page(conn, before, Some(Verdict::Review), context, limit)?);
            found.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
            found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(found)
        })
    }

    /// One decision; none if it is not kept, or damaged.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn decision(&self, id: u64) -> Result<Option<DecisionRow>> {
        self.learnt(|conn| decisions::look(conn, &DecisionRef::Id(id)))
    }

    /// The decision that was made by processing this event; none if there is
    /// none, it is not kept, or damaged.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn decision_of_event(&self, seq: Seq) -> Result<Option<DecisionRow>> {
        self.learnt(|conn| decisions::look(conn, &DecisionRef::Event(seq)))
    }

    /// The policy of that hash; none if it is not kept, or damaged.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn policy(&self, id: &KeyHash) -> Result<Option<PolicyRow>> {
        self.learnt(|conn| decisions::policy(conn, id))
    }

    /// All that outcomes have taught, by context and risk.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn calibrations(&self) -> Result<Vec<CalibrationRow>> {
        self.learnt(|conn| Ok(calibration::all(conn)?.0))
    }

    /// adrt's own count of time, by which they fade, as it is now if that is
    /// what the wall clock says.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn age(&self, now: Wall) -> Result<Age> {
        let (age, at) = self.within(|conn| Ok(AgeClock::read(conn)?.stand()))?;
        let gap = at.map_or(Duration::ZERO, |at| now.since(at).min(Age::GAP_MAX));
        Ok(age + gap)
    }

    /// Runs a read, if there are tables to read.
    fn learnt<T: Default>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.within(|conn| {
            if !schema::has_table(conn, "decisions")? {
                return Ok(T::default());
            }
            read(conn).map_err(LoadError::Sql)
        })
    }
}

/// So many sound decisions, newest first.
fn page(
    conn: &Connection,
    before: i64,
    verdict: Option<Verdict>,
    context: Option<&str>,
    limit: u64,
) -> rusqlite::Result<Vec<DecisionRow>> {
    let mut statement = conn.prepare_cached(&decisions_sql(verdict, context.is_some()))?;
    let mut rows = statement.query(params![before, context])?;
    let mut found = Vec::new();
    while (found.len() as u64) < limit
        && let Some(row) = rows.next()?
    {
        found.extend(decision_row(row)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::plan::{assert_no_walk, empty};
    use super::*;

    #[test]
    fn no_question_walks_a_whole_table() {
        let conn = empty();
        // One context is asked about with each verdict, see `decisions`.
        for (verdict, by_context, index) in [
            (None, false, "PRIMARY KEY"),
            (Some(Verdict::Execute), false, "PRIMARY KEY"),
            (Some(Verdict::Review), false, "decisions_asked"),
            (Some(Verdict::Execute), true, "decisions_context"),
            (Some(Verdict::Review), true, "decisions_context"),
        ] {
            let sql = decisions_sql(verdict, by_context);
            assert_no_walk(&conn, &sql);
            let plan = super::super::plan::plan(&conn, &sql);
            assert!(plan.iter().any(|line| line.contains(index)), "{plan:?}: {sql}");
        }
    }
}
