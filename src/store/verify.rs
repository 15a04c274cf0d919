//! Is what a restore needs sound? Asked before anything is built on it.
//!
//! Two kinds of damage, two questions:
//! - *structure* (pages, trees, free lists): SQLite's own check. A file whose
//!   structure is broken is never written to: what is freed in it may be in
//!   use. The whole file is checked while it is small, else the tables that a
//!   restore reads. The check includes that each index has what its table
//!   has: an event that waits is found by an index only;
//! - *content*: the checksum of each row, for the newest checkpoint whose
//!   content holds, and for each change after it. A damaged checkpoint is
//!   passed over with a warning; a damaged change is the end of what is sound.
//!
//! A change that is missing is noticed since each continues the one before it.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::raw::RawFile;
use super::rows::{self, holds, unsigned};
use super::schema::{self, META_HIGHEST_CHECKPOINT, META_HIGHEST_VERSION, PAGE_SIZE};
use crate::clock::Wall;
use crate::supervisor::io::CheckpointInfo;

/// Up to so many bytes the whole file is checked at each opening.
const WHOLE_CHECK_MAX_BYTES: u64 = 16 << 20;

/// The tables a restore reads. Not those with what is read a row at a time
/// and may be long: snapshots, events, entries, decisions; a row that can't be
/// trusted is told by its checksum.
const ESSENTIAL: &[&str] = &[
    "meta",
    "checkpoints",
    "journal",
    "keys",
    "inbox",
    "event_ids",
    "steps",
    "timers",
    "posts",
    "reviews",
    "calibration",
];

/// A version above this is a damaged number, not one that ever was.
pub(crate) const PLAUSIBLE_VERSION: u64 = 1 << 53;

/// What was found sound.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verified {
    /// The newest checkpoint that holds.
    pub checkpoint: Option<CheckpointInfo>,
    /// The newest version that can be made.
    pub version: u64,
    /// The highest version ever seen.
    pub highest_version: u64,
    /// The highest checkpoint number ever given.
    pub highest_checkpoint: u64,
    /// Bytes of the changes after the checkpoint.
    pub tail_bytes: u64,
    /// Sentences about what was passed over.
    pub warnings: Vec<String>,
}

/// What keeps a restore from being trusted.
#[derive(Debug)]
pub(crate) enum Damage {
    /// The file's structure.
    Structure(String),
    /// A change that the restore needs.
    Tail {
        /// The first version that can't be made.
        version: u64,
        /// The last that can.
        last_sound: u64,
    },
    /// No damage: the disk refused. Or damage that SQLite met by itself.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Damage {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

/// Checks structure and content.
pub(crate) fn verify(conn: &Connection) -> Result<Verified, Damage> {
    structure(conn)?;
    content(conn)
}

/// SQLite's check of the file.
pub(crate) fn structure(conn: &Connection) -> Result<(), Damage> {
    if let Some(sum) = schema::get_meta(conn, schema::META_SCHEMA_SUM)?
        && sum != schema::schema_sum(conn)?
    {
        return Err(Damage::Structure("the definitions of its tables were changed".to_owned()));
    }
    let pages: i64 = conn.query_row("PRAGMA page_count", [], |r| r.get(0))?;
    if unsigned(pages) * PAGE_SIZE <= WHOLE_CHECK_MAX_BYTES {
        return one_check(conn, "PRAGMA integrity_check(1)");
    }
    for table in ESSENTIAL {
        if !schema::has_table(conn, table)? {
            continue; // of a newer schema than the file's
        }
        one_check(conn, &format!("PRAGMA integrity_check('{table}')"))?;
    }
    Ok(())
}

fn one_check(conn: &Connection, sql: &str) -> Result<(), Damage> {
    let ask = || conn.query_row(sql, [], |r| r.get::<_, String>(0));
    if ask()? == "ok" {
        return Ok(());
    }
    // SQLite's check tells a page that can't be read like one that is broken.
    // A disk that fails is no damage: nothing may be put aside for it.
    for file in [RawFile::database(conn), RawFile::log(conn)?].into_iter().flatten() {
        file.try_reading()?;
    }
    let again = ask()?;
    if again == "ok" { Ok(()) } else { Err(Damage::Structure(again)) }
}

/// The checksums of what a restore needs.
pub(crate) fn content(conn: &Connection) -> Result<Verified, Damage> {
    let mut found = Verified::default();
    let list = checkpoints(conn, &mut found.warnings)?;
    for info in &list {
        if snapshot_holds(conn, info)? {
            found.checkpoint = Some(info.clone());
            break;
        }
        found.warnings.push(format!(
            "checkpoint {} (version {}) is damaged and was passed over",
            info.id, info.version
        ));
    }
    found.version = found.checkpoint.as_ref().map_or(0, |c| c.version);
    walk_tail(conn, &mut found)?;
    let newest = list.iter().map(|c| c.version).max().unwrap_or(0);
    if newest > found.version {
        // A checkpoint was made of a version whose change is not there.
        let last_sound = found.version;
        return Err(Damage::Tail { version: last_sound + 1, last_sound });
    }
    damaged_meta(conn, &mut found.warnings)?;
    found.highest_version = found.version.max(number(conn, META_HIGHEST_VERSION)?.unwrap_or(0));
    found.highest_checkpoint = highest_checkpoint(conn)?;
    Ok(found)
}

/// The highest number of a checkpoint, sound or not: it is not given again.
pub(crate) fn highest_checkpoint(conn: &Connection) -> rusqlite::Result<u64> {
    let mut highest = number(conn, META_HIGHEST_CHECKPOINT)?.unwrap_or(0);
    for sql in ["SELECT max(id) FROM checkpoints", "SELECT max(id) FROM snapshots"] {
        let id: Option<i64> = conn.query_row(sql, [], |r| r.get(0))?;
        let plausible = id.map(unsigned).filter(|id| *id <= PLAUSIBLE_VERSION);
        highest = highest.max(plausible.unwrap_or(0));
    }
    Ok(highest)
}

fn number(conn: &Connection, name: &str) -> rusqlite::Result<Option<u64>> {
    Ok(schema::get_meta(conn, name)?.and_then(|text| text.parse().ok()))
}

/// Columns of `checkpoints` in the order of their checksum, the sum last.
pub(crate) const CHECKPOINT_COLUMNS: &str =
    "id, version, created, age, label, reason, incarnation, bytes, state_bytes, sum";

/// All sound rows of `checkpoints`, newest first. There are never many: the
/// retention sees to it.
pub(crate) fn checkpoints(
    conn: &Connection,
    warnings: &mut Vec<String>,
) -> rusqlite::Result<Vec<CheckpointInfo>> {
    let sql = format!("SELECT {CHECKPOINT_COLUMNS} FROM checkpoints ORDER BY id DESC");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        if holds("checkpoints", row, 9) {
            list.push(checkpoint_of(row)?);
        } else {
            warnings.push(format!(
                "the row of checkpoint {} is damaged and was passed over",
                row.get::<_, i64>(0).unwrap_or(0)
            ));
        }
    }
    Ok(list)
}

/// Reads a row of [`CHECKPOINT_COLUMNS`].
pub(crate) fn checkpoint_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<CheckpointInfo> {
    Ok(CheckpointInfo {
        id: unsigned(row.get(0)?),
        version: unsigned(row.get(1)?),
        created: Wall::from_millis(row.get(2)?),
        label: row.get(4)?,
        reason: row.get(5)?,
        incarnation: unsigned(row.get(6)?),
        bytes: unsigned(row.get(7)?),
        state_bytes: unsigned(row.get(8)?),
    })
}

/// Whether a checkpoint's content is there and holds.
fn snapshot_holds(conn: &Connection, info: &CheckpointInfo) -> rusqlite::Result<bool> {
    let mut statement =
        conn.prepare_cached("SELECT id, content, sum FROM snapshots WHERE id = ?1")?;
    let mut rows = statement.query([rows::signed(info.id)])?;
    Ok(match rows.next()? {
        Some(row) => holds("snapshots", row, 2),
        None => false,
    })
}

/// Columns of `journal` in the order of their checksum, the sum last.
pub(crate) const JOURNAL_COLUMNS: &str =
    "version, base, at, format, made_by, incarnation, patch, sum";

/// Follows the changes after the checkpoint to the newest one.
fn walk_tail(conn: &Connection, found: &mut Verified) -> Result<(), Damage> {
    let sql = format!("SELECT {JOURNAL_COLUMNS} FROM journal WHERE version > ?1 ORDER BY version");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([rows::signed(found.version)])?;
    while let Some(row) = rows.next()? {
        let last_sound = found.version;
        match step(row, last_sound) {
            Some((version, bytes)) => {
                found.version = version;
                found.tail_bytes += bytes;
            }
            None => {
                let version = unsigned(row.get(0).unwrap_or(0));
                return Err(Damage::Tail { version, last_sound });
            }
        }
    }
    Ok(())
}

/// Whether a row of [`JOURNAL_COLUMNS`] holds and continues that version: the
/// version it makes, and the length of its patch.
pub(crate) fn step(row: &rusqlite::Row<'_>, on: u64) -> Option<(u64, u64)> {
    if !holds("journal", row, 7) {
        return None;
    }
    let version = unsigned(row.get(0).ok()?);
    let base: Option<i64> = row.get(1).ok()?;
    let base = base.map_or(version.saturating_sub(1), unsigned);
    let patch = match row.get_ref(6).ok()? {
        ValueRef::Text(text) => text.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => {
            return None;
        }
    };
    (base == on && version > on).then_some((version, patch as u64))
}

/// The highest version that any row speaks of, sound or not.
pub(crate) fn highest_seen(conn: &Connection) -> u64 {
    ["SELECT max(version) FROM journal", "SELECT max(version) FROM checkpoints"]
        .iter()
        .filter_map(|sql| conn.query_row(sql, [], |r| r.get::<_, Option<i64>>(0)).ok().flatten())
        .map(unsigned)
        .filter(|version| *version <= PLAUSIBLE_VERSION)
        .chain(number(conn, META_HIGHEST_VERSION).ok().flatten())
        .max()
        .unwrap_or(0)
}

/// Says which settings were lost.
fn damaged_meta(conn: &Connection, warnings: &mut Vec<String>) -> rusqlite::Result<()> {
    let mut statement = conn.prepare("SELECT name, value, sum FROM meta")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if !holds("meta", row, 2) {
            let name = row.get_ref(0)?;
            let name = name.as_bytes().map(String::from_utf8_lossy).unwrap_or_default();
            warnings.push(format!("the setting {name:?} is damaged and was passed over"));
        }
    }
    Ok(())
}
