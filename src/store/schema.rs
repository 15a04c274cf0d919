//! The tables, and the small settings kept in one of them.
//!
//! `user_version` is the schema of the file. Each step of [`STEPS`] leads
//! from one to the next, in one transaction each. An *additive* step only
//! adds tables, indexes, or columns that may be NULL: an older adrt can still
//! write the file, since it names the columns it knows. Any other step first
//! keeps a copy `adrt.db.v<N>` beside the file, and raises
//! `min_writer`, the oldest schema whose adrt may write.
//!
//! Reading is always allowed: a reader names its columns as well.

use rusqlite::Connection;

use super::rows::Sum;

/// The schema this adrt writes.
pub const SCHEMA_VERSION: i32 = 1;
/// "adrt", in the file's header.
pub const APPLICATION_ID: i32 = 0x6164_7274;

/// Bytes of a page.
pub(crate) const PAGE_SIZE: u64 = 4096;

/// A change of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The schema it leads to; one more than the one it starts from.
    pub to: i32,
    /// An adrt of the schema before may still write the file afterwards.
    pub additive: bool,
    /// The statements.
    pub sql: &'static str,
}

/// All steps, oldest first.
pub const STEPS: &[Step] = &[Step { to: 1, additive: false, sql: V1 }];

/// Schema 1. Why it is so:
/// - `journal` is appended to at its end and has no index: one change makes
///   one page dirty, mostly. `base` is NULL but after damage: the version a
///   change was made on when that is not the one before. So a row that is
///   lost is told from a number that was never used;
/// - a checkpoint's content is apart from what is known of it, so that lists
///   cost no reading of content;
/// - `age` is adrt's own count of time, which no step of a clock moves by
///   more than a day: retention goes by it (see `retention`);
/// - `keys` has no index on the key: only the supervisor's memory is asked
///   whether one is there, and then it is looked up from the newest back;
/// - `sum`, `begin_sum`, `end_sum`: see `rows`.
const V1: &str = "
CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL, sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE incarnations (
    id INTEGER PRIMARY KEY,
    begun INTEGER, run_id TEXT, reason TEXT, pid INTEGER, session INTEGER,
    start_ticks INTEGER, boot_id TEXT, release TEXT, begin_sum INTEGER,
    ended INTEGER, class TEXT, code INTEGER, signal INTEGER, core INTEGER,
    summary TEXT, uptime_ms INTEGER, version INTEGER, backoff_ms INTEGER,
    backoff_why TEXT, end_sum INTEGER,
    crash INTEGER
) STRICT;
CREATE INDEX incarnations_crash ON incarnations (id) WHERE crash = 1;

CREATE TABLE outputs (
    incarnation INTEGER PRIMARY KEY, content BLOB NOT NULL, sum INTEGER NOT NULL
) STRICT;

CREATE TABLE journal (
    version INTEGER PRIMARY KEY, base INTEGER, at INTEGER NOT NULL, format TEXT NOT NULL,
    made_by TEXT NOT NULL, incarnation INTEGER NOT NULL, patch TEXT NOT NULL, sum INTEGER NOT NULL
) STRICT;

CREATE TABLE checkpoints (
    id INTEGER PRIMARY KEY, version INTEGER NOT NULL, created INTEGER NOT NULL,
    age INTEGER NOT NULL, label TEXT, reason TEXT NOT NULL, incarnation INTEGER NOT NULL,
    bytes INTEGER NOT NULL, state_bytes INTEGER NOT NULL, sum INTEGER NOT NULL
) STRICT;
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY, content BLOB NOT NULL, sum INTEGER NOT NULL
) STRICT;
CREATE TABLE pins (
    incarnation INTEGER PRIMARY KEY, checkpoint INTEGER NOT NULL, sum INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, request BLOB NOT NULL, at INTEGER NOT NULL,
    age INTEGER NOT NULL, result TEXT NOT NULL, sum INTEGER NOT NULL
) STRICT;
";

/// Names of our own rows in `meta` start so; settings of the supervisor don't.
pub(crate) const META_OWN: &str = "adrt.";
/// The oldest schema whose adrt may write the file.
pub(crate) const META_MIN_WRITER: &str = "adrt.min_writer";
/// The highest version ever seen, where the tables no longer tell.
pub(crate) const META_HIGHEST_VERSION: &str = "adrt.highest_version";
/// The highest checkpoint number ever given.
pub(crate) const META_HIGHEST_CHECKPOINT: &str = "adrt.highest_checkpoint";
/// The highest incarnation ever, where the tables no longer tell.
pub(crate) const META_HIGHEST_INCARNATION: &str = "adrt.highest_incarnation";
/// Checksum of the tables' definitions: a bit flipped in one of them may give
/// another table that is no less valid.
pub(crate) const META_SCHEMA_SUM: &str = "adrt.schema_sum";
/// What the restart policy remembers.
pub(crate) const META_RESTART: &str = "adrt.restart";
/// Where the agent was moved to.
pub(crate) const META_MOVED_TO: &str = "adrt.moved_to";
/// The database was made anew after damage, and no incarnation began since.
pub(crate) const META_DAMAGED: &str = "adrt.damaged";
/// Old content was deleted, but may still be in free pages.
pub(crate) const META_SCRUB: &str = "adrt.scrub";
/// Raised by every reopening, see `open`.
pub(crate) const META_FENCE: &str = "adrt.fence";
/// adrt's own count of time and the wall clock when it was written.
pub(crate) const META_AGE: &str = "adrt.age";

/// Checksum of the tables' definitions, as they are in the file.
pub(crate) fn schema_sum(conn: &Connection) -> rusqlite::Result<String> {
    let mut statement =
        conn.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")?;
    let mut rows = statement.query([])?;
    let mut sum = Sum::of("sqlite_schema");
    while let Some(row) = rows.next()? {
        for column in 0..4 {
            sum = sum.value(row.get_ref(column)?);
        }
    }
    Ok(sum.finish().to_string())
}

/// A setting of `meta`; none if it is not there or its checksum does not hold.
pub(crate) fn get_meta(conn: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = conn.prepare_cached("SELECT name, value, sum FROM meta WHERE name = ?1")?;
    let mut rows = statement.query([name])?;
    match rows.next()? {
        Some(row) if super::rows::holds("meta", row, 2) => row.get(1).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// Writes a setting of `meta`.
pub(crate) fn put_meta(conn: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let sum = Sum::of("meta").text(name).text(value).finish();
    conn.prepare_cached("INSERT OR REPLACE INTO meta (name, value, sum) VALUES (?1, ?2, ?3)")?
        .execute((name, value, sum))
        .map(drop)
}

/// Deletes a setting of `meta`.
pub(crate) fn drop_meta(conn: &Connection, name: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM meta WHERE name = ?1")?.execute([name]).map(drop)
}
