//! `history forget`: old versions go, and what they held with them.
//!
//! Rows are deleted with `secure_delete`, then the file is rewritten and the
//! write-ahead log emptied (see `commit`): what a deleted row leaves in free
//! pages, or in the unused part of a page, is gone as well. That the rewriting
//! is still to be done is kept in the file, so a crash in between forgets
//! nothing but the time.
//!
//! Events that were acked go as well, with their steps: they are history, and
//! may hold what the old versions held.
//!
//! So do decisions, but for those whose review waits, with the policies that
//! only they went by: they hold what was known of their events.
//!
//! Not forgotten: the present version, events that are not acked, what work
//! keeps by name (entries, steps of named scopes, timers, reviews), what outcomes
//! taught, the ledger with the agent's last output, and databases put aside after damage ([`super::Home::leftovers`]).

use rusqlite::Connection;

use super::commit::{Scrub, Tallies};
use super::load::{self, LoadError};
use super::rows::{signed, unsigned};
use super::work::raise;
use super::{retention, schema, verify};
use crate::engines::state::Node;
use crate::supervisor::io::{CheckpointInfo, EventState};

/// Drops every version but the present one, of which there is a checkpoint;
/// without one nothing is touched. With a path, only if an older version has
/// something else there. Returns checkpoints and changes deleted.
pub(crate) fn forget(
    conn: &Connection,
    tallies: &mut Tallies,
    path: Option<&str>,
) -> rusqlite::Result<(u64, u64)> {
    let list = verify::checkpoints(conn, &mut Vec::new())?;
    let Some(newest) = list.first().filter(|info| info.version == tallies.version) else {
        return Ok((0, 0));
    };
    if let Some(path) = path
        && !differs(conn, newest, list.get(1..).unwrap_or_default(), path)?
    {
        return Ok((0, 0));
    }
    let newest = signed(newest.id);
    conn.execute("DELETE FROM snapshots WHERE id <> ?1", [newest])?;
    let checkpoints = conn.execute("DELETE FROM checkpoints WHERE id <> ?1", [newest])?;
    conn.execute("DELETE FROM pins WHERE checkpoint <> ?1", [newest])?;
    let versions = conn.execute("DELETE FROM journal", [])?;
    forget_acked(conn)?;
    retention::decisions::forget(conn)?;
    schema::put_meta(conn, schema::META_SCRUB, "1")?;
    tallies.scrub = Scrub::Rewrite;
    tallies.cut_to = None;
    Ok((checkpoints as u64, versions as u64))
}

/// Drops acked events with their steps. The highest number is kept apart.
fn forget_acked(conn: &Connection) -> rusqlite::Result<()> {
    let newest: Option<i64> = conn.query_row("SELECT max(seq) FROM events", [], |r| r.get(0))?;
    if let Some(newest) = newest {
        raise(conn, schema::META_HIGHEST_EVENT, unsigned(newest))?;
    }
    let acked = format!("(SELECT seq FROM inbox WHERE state = {})", EventState::Acked.code());
    for table in ["steps", "events", "inbox"] {
        conn.execute(&format!("DELETE FROM {table} WHERE seq IN {acked}"), [])?;
    }
    Ok(())
}

/// Whether any older version that is kept has another value at that path than
/// the present one. What can't be read is taken to.
fn differs(
    conn: &Connection,
    newest: &CheckpointInfo,
    older: &[CheckpointInfo],
    path: &str,
) -> rusqlite::Result<bool> {
    let Some(present) = sound(load::snapshot(conn, newest))? else { return Ok(true) };
    let Ok(present) = value_at(&present, path) else { return Ok(true) };
    for info in older {
        let Some(root) = sound(load::snapshot(conn, info))? else { return Ok(true) };
        if value_at(&root, path).as_ref() != Ok(&present) {
            return Ok(true);
        }
    }
    let first: Option<i64> =
        conn.query_row("SELECT min(version) FROM journal", [], |r| r.get(0))?;
    let Some(first) = first.map(unsigned) else { return Ok(false) };
    // From the checkpoint the journal begins at; changes that nothing leads
    // to can't be judged.
    let from = older.iter().find(|info| info.version < first);
    let mut same = true;
    let replayed = load::replay_each(conn, from, u64::MAX, |root| {
        same &= value_at(root, path).as_ref() == Ok(&present);
    });
    Ok(sound(replayed)?.is_none() || !same)
}

fn value_at(root: &Node, path: &str) -> Result<Option<String>, String> {
    Ok(root.get(path)?.map(|value| value.to_text()))
}

/// None where it is damaged.
fn sound<T>(result: Result<T, LoadError>) -> rusqlite::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(LoadError::Damaged(_)) => Ok(None),
        Err(LoadError::Sql(e)) => Err(e),
    }
}
