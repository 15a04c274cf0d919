//! Which versions of the past can be made again, and making them.
//!
//! A version is kept if there is a checkpoint of it, or if the journal has the
//! change that made it and every change from some checkpoint up to it.

use rusqlite::Connection;

use super::load::{self, LoadError, Replayed};
use super::read::Snapshot;
use super::rows::{int, signed, unsigned};
use super::verify::{self, PLAUSIBLE_VERSION};
use crate::clock::Wall;
use crate::supervisor::io::CheckpointInfo;

/// Which versions can be made again.
pub(crate) struct Kept {
    checkpoints: Vec<u64>,
    /// Changes above this can be reached from a checkpoint, or from nothing.
    journal_above: Option<u64>,
}

impl Kept {
    pub(crate) fn of(conn: &Connection) -> Result<Self, LoadError> {
        let list = verify::checkpoints(conn, &mut Vec::new())?;
        let checkpoints: Vec<u64> = list.iter().map(|c| c.version).collect();
        let first: Option<(i64, Option<i64>)> = {
            let mut statement =
                conn.prepare("SELECT version, base FROM journal ORDER BY version LIMIT 1")?;
            let mut rows = statement.query([])?;
            match rows.next()? {
                Some(row) => Some((row.get(0)?, int(row, 1))),
                None => None,
            }
        };
        let journal_above = first.and_then(|(version, base)| {
            let base = base.map_or(unsigned(version) - 1, unsigned);
            let from_nothing = (base == 0).then_some(0);
            checkpoints.iter().copied().chain(from_nothing).filter(|v| *v >= base).min()
        });
        Ok(Self { checkpoints, journal_above })
    }

    /// The journal has it, and it can be reached.
    fn journal(&self, conn: &Connection, sql: &str, version: u64) -> rusqlite::Result<Option<u64>> {
        let Some(above) = self.journal_above else { return Ok(None) };
        let found: Option<i64> =
            conn.query_row(sql, (signed(version), signed(above)), |r| r.get(0))?;
        Ok(found.map(unsigned))
    }

    pub(crate) fn has(&self, conn: &Connection, version: u64) -> rusqlite::Result<bool> {
        let sql = "SELECT max(version) FROM journal WHERE version = ?1 AND version > ?2";
        Ok(self.checkpoints.contains(&version)
            || (version == 0 && (self.journal_above == Some(0) || self.is_blank(conn)?))
            || self.journal(conn, sql, version)?.is_some())
    }

    /// Nothing was ever written.
    fn is_blank(&self, conn: &Connection) -> rusqlite::Result<bool> {
        Ok(self.checkpoints.is_empty()
            && self.journal_above.is_none()
            && verify::highest_seen(conn) == 0)
    }

    pub(crate) fn before(&self, conn: &Connection, version: u64) -> rusqlite::Result<Option<u64>> {
        let sql = "SELECT max(version) FROM journal WHERE version < ?1 AND version > ?2";
        let changes = self.journal(conn, sql, version)?;
        Ok(self.checkpoints.iter().copied().filter(|v| *v < version).chain(changes).max())
    }

    pub(crate) fn after(&self, conn: &Connection, version: u64) -> rusqlite::Result<Option<u64>> {
        let sql = "SELECT min(version) FROM journal WHERE version > ?1 AND version > ?2";
        let changes = self.journal(conn, sql, version)?;
        Ok(self.checkpoints.iter().copied().filter(|v| *v > version).chain(changes).min())
    }

    pub(crate) fn oldest(&self, conn: &Connection) -> rusqlite::Result<u64> {
        if self.has(conn, 0)? {
            return Ok(0);
        }
        Ok(self.after(conn, 0)?.unwrap_or(0))
    }

    /// The newest version made, or checkpointed, at or before a time.
    pub(crate) fn newest_at(&self, conn: &Connection, time: Wall) -> rusqlite::Result<Option<u64>> {
        let list = verify::checkpoints(conn, &mut Vec::new())?;
        let checkpoint = list.iter().filter(|c| c.created <= time).map(|c| c.version).max();
        let change = match self.journal_above {
            Some(above) => change_at(conn, above, time)?,
            None => None,
        };
        Ok(checkpoint.into_iter().chain(change).max())
    }
}

/// The last change above a version that was made at or before a time, found
/// by halving: there is no index on the time.
fn change_at(conn: &Connection, above: u64, time: Wall) -> rusqlite::Result<Option<u64>> {
    let mut look = conn
        .prepare("SELECT version, at FROM journal WHERE version >= ?1 ORDER BY version LIMIT 1")?;
    let last: Option<i64> = conn.query_row("SELECT max(version) FROM journal", [], |r| r.get(0))?;
    let Some(last) = last else { return Ok(None) };
    // Everything below `low` is early enough, nothing from `high` on is.
    let (mut low, mut high) = (signed(above) + 1, last + 1);
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let (version, at): (i64, i64) =
            look.query_row([middle], |r| Ok((r.get(0)?, int(r, 1).unwrap_or(i64::MAX))))?;
        if version < high && at <= time.millis() {
            found = Some(unsigned(version));
            low = version + 1;
        } else {
            high = middle;
        }
    }
    Ok(found)
}

/// Makes a state from the newest of `list` that holds: that of `to`, or the
/// newest. None if nothing leads there.
pub(crate) fn made_from(
    conn: &Connection,
    list: &[CheckpointInfo],
    to: Option<u64>,
) -> Result<Option<Snapshot>, LoadError> {
    let newest = list.iter().map(|c| c.version).max().unwrap_or(0);
    let mut damage = None;
    for from in list.iter().map(Some).chain([None]) {
        match load::replay(conn, from, to.unwrap_or(PLAUSIBLE_VERSION)) {
            Ok(made) if made.version == to.unwrap_or_else(|| made.version.max(newest)) => {
                return snapshot_of(conn, made).map(Some);
            }
            Ok(_) => {}
            Err(LoadError::Damaged(what)) => {
                damage.get_or_insert(what);
            }
            Err(LoadError::Sql(e)) => return Err(LoadError::Sql(e)),
        }
    }
    damage.map_or(Ok(None), |what| Err(LoadError::Damaged(what)))
}

fn snapshot_of(conn: &Connection, made: Replayed) -> Result<Snapshot, LoadError> {
    let updated = made_at(conn, made.version)?.unwrap_or(made.updated);
    Ok(Snapshot { version: made.version, updated, root: made.root })
}

/// When a version was made, if its change is kept.
pub(crate) fn made_at(conn: &Connection, version: u64) -> rusqlite::Result<Option<Wall>> {
    let sql = "SELECT max(at) FROM journal WHERE version = ?1";
    let at = conn.query_row(sql, [signed(version)], |r| Ok(int(r, 0)))?;
    Ok(at.map(Wall::from_millis))
}
