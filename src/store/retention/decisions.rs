//! Which decisions are kept, and the policies they went by.
//!
//! A [`Mark`] goes along the decisions. One whose review waits is left behind
//! it; when that is settled, the mark goes back to it. A policy goes with the
//! last decision that names it, unless it is the newest.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::mark::{Mark, Old};
use super::{KEYS_KEPT_AGE, SHED_STEP};
use crate::store::commit::{Tallies, used_bytes};
use crate::store::rows::{holds, signed, unsigned};
use crate::store::schema::META_HIGHEST_DECISION;
use crate::store::work::decisions::{DECISION_COLUMNS, DECISION_SUMMED, drop_policy};
use crate::store::work::raise;

/// How long decisions are kept.
pub const DECISIONS_KEPT_AGE: Duration = KEYS_KEPT_AGE;
/// How many are kept: the newest.
pub const DECISIONS_KEPT: u64 = 100_000;

/// What keeps a decision.
const REVIEW_WAITS: &str = "EXISTS (SELECT 1 FROM reviews r
    WHERE r.id = decisions.review AND r.status = 'pending')";

/// Moves the mark on, over at most `most` decisions. Returns how many it let go.
pub(crate) fn pass(conn: &Connection, tallies: &mut Tallies, most: u64) -> rusqlite::Result<u64> {
    let old = Old::now(tallies.age, &tallies.decisions, DECISIONS_KEPT_AGE, DECISIONS_KEPT);
    if tallies.decisions.waits(&old) {
        return Ok(0);
    }
    advance(conn, &mut tallies.decisions, &old, most)
}

fn advance(conn: &Connection, mark: &mut Mark, old: &Old, most: u64) -> rusqlite::Result<u64> {
    let found = after(conn, mark, most)?;
    (mark.next, mark.more) = (None, found.len() as u64 == most);
    let mut policies = BTreeSet::new();
    let mut deleted = 0;
    for Looked { id, age, waits, policy } in found {
        if !old.is(id, age) {
            let known = age != UNKNOWN;
            (mark.next, mark.more) = (known.then_some((id, age)), false);
            break;
        }
        if !waits {
            conn.prepare_cached("DELETE FROM decisions WHERE id = ?1")?.execute([signed(id)])?;
            policies.extend(policy);
            deleted += 1;
        }
        mark.passed = id;
    }
    for policy in policies {
        drop_policy(conn, &policy)?;
    }
    Ok(deleted)
}

/// What is looked at of a decision.
struct Looked {
    id: u64,
    age: i64,
    /// Its review is pending.
    waits: bool,
    policy: Option<Vec<u8>>,
}

/// The first decisions after the mark, but for the newest of all. A damaged one
/// is taken to be as old as the next sound one: nothing is believed of it.
fn after(conn: &Connection, mark: &Mark, most: u64) -> rusqlite::Result<Vec<Looked>> {
    let mut statement = conn.prepare_cached(&after_sql())?;
    let mut rows = statement.query((signed(mark.passed), signed(mark.newest), signed(most)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let sound = holds("decisions", row, DECISION_SUMMED);
        let policy = match row.get_ref(14)? {
            ValueRef::Blob(hash) => Some(hash.to_vec()),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => None,
        };
        found.push(Looked {
            id: unsigned(row.get(0)?),
            age: if sound { row.get(2)? } else { UNKNOWN },
            waits: row.get(DECISION_SUMMED + 1)?,
            policy,
        });
    }
    let mut next = UNKNOWN;
    for looked in found.iter_mut().rev() {
        if looked.age == UNKNOWN {
            looked.age = next;
        }
        next = looked.age;
    }
    Ok(found)
}

fn after_sql() -> String {
    format!(
        "SELECT {DECISION_COLUMNS}, {REVIEW_WAITS} FROM decisions WHERE id > ?1 AND id < ?2
         ORDER BY id LIMIT ?3"
    )
}

/// The age of a damaged decision: never old.
const UNKNOWN: i64 = i64::MAX;

const FIRST_OF_REVIEW: &str = "SELECT min(id) FROM decisions WHERE review = ?1";

/// A review was settled: decisions that were only kept for it are looked at
/// again.
pub(crate) fn review_settled(
    conn: &Connection,
    tallies: &mut Tallies,
    review: u64,
) -> rusqlite::Result<()> {
    let first: Option<i64> =
        conn.prepare_cached(FIRST_OF_REVIEW)?.query_row([signed(review)], |r| r.get(0))?;
    if let Some(first) = first {
        tallies.decisions.back_to(unsigned(first));
    }
    Ok(())
}

/// Sheds decisions, oldest first, while used pages are past the budget, in at
/// most so many steps. Returns what is used.
pub(crate) fn shed(
    conn: &Connection,
    tallies: &mut Tallies,
    max_db: u64,
    steps: &mut u64,
) -> rusqlite::Result<u64> {
    let mut used = used_bytes(conn)?;
    while used > max_db && *steps > 0 {
        let before = tallies.decisions.passed;
        advance(conn, &mut tallies.decisions, &Old::all(), SHED_STEP)?;
        if tallies.decisions.passed == before {
            break;
        }
        *steps -= 1;
        used = used_bytes(conn)?;
    }
    Ok(used)
}

/// Drops all decisions but those whose review waits, and the policies that
/// none is left of. The highest number is kept apart.
pub(crate) fn forget(conn: &Connection) -> rusqlite::Result<()> {
    let newest: Option<i64> = conn.query_row("SELECT max(id) FROM decisions", [], |r| r.get(0))?;
    if let Some(newest) = newest {
        raise(conn, META_HIGHEST_DECISION, unsigned(newest))?;
    }
    conn.execute(&format!("DELETE FROM decisions WHERE NOT {REVIEW_WAITS}"), [])?;
    conn.execute(
        "DELETE FROM policies WHERE id < (SELECT max(id) FROM policies)
             AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.policy = policies.hash)",
        [],
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{assert_no_walk, empty};
    use crate::store::work::decisions::{DROP_POLICY, look_sql};
    use crate::store::work::rows::reviews_sql;
    use crate::supervisor::io::DecisionRef;

    #[test]
    fn nothing_that_is_done_with_each_decision_walks_a_whole_table() {
        let conn = empty();
        let looks = [DecisionRef::Id(1), DecisionRef::Event(1)].map(|which| look_sql(&which));
        let review = reviews_sql(true, "WHERE id = ?1");
        let plain = [FIRST_OF_REVIEW, DROP_POLICY].map(str::to_owned);
        for sql in looks.into_iter().chain(plain).chain([after_sql(), review]) {
            assert_no_walk(&conn, &sql);
        }
    }
}
