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
pub const SCHEMA_VERSION: i32 = 3;
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
pub const STEPS: &[Step] = &[
    Step { to: 1, additive: false, sql: V1 },
    Step { to: 2, additive: true, sql: V2 },
    Step { to: 3, additive: true, sql: V3 },
];

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

/// Schema 2: work. Why it is so:
/// - an event is in two rows: `events` holds what never changes, and is
///   appended to; `inbox` holds how far it is, and is updated in place, however
///   large the event;
/// - the order of pending events is an index over those alone, so it is as
///   long as what waits, not as what ever came; the same for dead letters and
///   for what is parked;
/// - `event_ids` outlives the events: a second one with the same id is known
///   even when the first has been let go;
/// - a step's scope is `seq` for an event's and `named` for another, the other
///   one being 0 or empty, so that both are in one index;
/// - `posts` and `reviews` give no number twice: AUTOINCREMENT would do that
///   with a table that has no checksum, so the highest are in `meta`;
/// - `held` tells which events an incarnation held when it ended, as numbers
///   with a blank between them; what later versions tell beside them stands
///   behind, in one word that is no number.
const V2: &str = "
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL,
    sum INTEGER NOT NULL
) STRICT;
CREATE INDEX events_type ON events (type, seq);
CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY, state INTEGER NOT NULL, place INTEGER NOT NULL,
    due INTEGER NOT NULL, born INTEGER NOT NULL, attempt INTEGER NOT NULL,
    deaths INTEGER NOT NULL, nacks INTEGER NOT NULL, holder INTEGER NOT NULL,
    version INTEGER NOT NULL, wait TEXT, reason TEXT, sum INTEGER NOT NULL
) STRICT;
CREATE INDEX inbox_pending ON inbox (place, seq) WHERE state = 0;
CREATE INDEX inbox_parked ON inbox (wait) WHERE state = 1;
CREATE INDEX inbox_dead ON inbox (seq) WHERE state = 3;
CREATE TABLE event_ids (
    id INTEGER PRIMARY KEY, hash BLOB NOT NULL, seq INTEGER NOT NULL, age INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT;

CREATE TABLE steps (
    id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, named TEXT NOT NULL, name TEXT NOT NULL,
    state INTEGER NOT NULL, attempt INTEGER NOT NULL, ikey TEXT NOT NULL, input_hash TEXT,
    outcome TEXT, review INTEGER, sum INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX steps_key ON steps (seq, named, name);
CREATE INDEX steps_open ON steps (id) WHERE state = 0;

CREATE TABLE kv (
    id INTEGER PRIMARY KEY, ns TEXT NOT NULL, key TEXT NOT NULL, json TEXT, bytes BLOB,
    sum INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX kv_key ON kv (ns, key);

CREATE TABLE timers (
    id TEXT PRIMARY KEY NOT NULL, due_age INTEGER, due_wall INTEGER, every INTEGER, cron TEXT,
    type TEXT NOT NULL, event TEXT NOT NULL, sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE posts (
    id INTEGER PRIMARY KEY, target TEXT NOT NULL, token TEXT NOT NULL, event TEXT NOT NULL,
    delay_ms INTEGER NOT NULL, sum INTEGER NOT NULL
) STRICT;

CREATE TABLE reviews (
    id INTEGER PRIMARY KEY, key TEXT, prompt TEXT NOT NULL, options TEXT, default_to TEXT NOT NULL,
    expires INTEGER, count INTEGER NOT NULL, asked INTEGER NOT NULL, status TEXT NOT NULL,
    answer TEXT, made_by TEXT, note TEXT, settled INTEGER, sum INTEGER NOT NULL
) STRICT;
CREATE INDEX reviews_key ON reviews (key) WHERE key IS NOT NULL;
CREATE INDEX reviews_pending ON reviews (id) WHERE status = 'pending';

CREATE TABLE held (
    incarnation INTEGER PRIMARY KEY, events TEXT NOT NULL, sum INTEGER NOT NULL
) STRICT;
";

/// Schema 3: decisions. Why it is so:
/// - decisions name their review, and not the other way round: an older adrt
///   must still be able to read and write the rows of `reviews` with their sums;
/// - `age` is when a decision was first written: it stays when its outcome
///   comes, so that what is old is at the beginning;
/// - `decisions_asked` has those that a person was asked about: most are not, so
///   most decisions write one page less, and who looks for the others finds
///   them in the order of their numbers;
/// - `decisions_context` answers for one context whatever the verdict, since
///   there are two verdicts only; `decisions_policy` tells whether the text of a
///   policy is still needed;
/// - `policies` are numbered by when they came into force: the newest stays
///   although nothing was decided by it yet;
/// - `basis` stands last, since what is read of many rows stands before it.
const V3: &str = "
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, age INTEGER NOT NULL, seq INTEGER NOT NULL,
    type TEXT NOT NULL, context TEXT NOT NULL, risk TEXT NOT NULL, confidence REAL NOT NULL,
    q REAL, environment TEXT NOT NULL, threshold REAL NOT NULL, action TEXT NOT NULL,
    reason TEXT NOT NULL, verdict TEXT NOT NULL, policy BLOB NOT NULL, review INTEGER,
    outcome INTEGER, settled INTEGER, basis TEXT NOT NULL, sum INTEGER NOT NULL
) STRICT;
CREATE INDEX decisions_seq ON decisions (seq) WHERE seq > 0;
CREATE INDEX decisions_review ON decisions (review) WHERE review IS NOT NULL;
CREATE INDEX decisions_asked ON decisions (id) WHERE verdict = 'review';
CREATE INDEX decisions_context ON decisions (context, verdict);
CREATE INDEX decisions_policy ON decisions (policy);

CREATE TABLE policies (
    id INTEGER PRIMARY KEY, hash BLOB NOT NULL, text TEXT NOT NULL, sum INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX policies_hash ON policies (hash);

CREATE TABLE calibration (
    id INTEGER PRIMARY KEY, context TEXT NOT NULL, risk TEXT NOT NULL, a REAL NOT NULL,
    b REAL NOT NULL, outcomes INTEGER NOT NULL, last INTEGER NOT NULL, sum INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX calibration_key ON calibration (context, risk);
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
/// The highest number of an event ever given, where the tables no longer tell.
pub(crate) const META_HIGHEST_EVENT: &str = "adrt.highest_event";
/// The highest number of a post ever given.
pub(crate) const META_HIGHEST_POST: &str = "adrt.highest_post";
/// The highest number of a review ever given.
pub(crate) const META_HIGHEST_REVIEW: &str = "adrt.highest_review";
/// The highest number of a decision ever given, where the tables no longer tell.
pub(crate) const META_HIGHEST_DECISION: &str = "adrt.highest_decision";
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
/// What was written to the disk in the last day.
pub(crate) const META_WEAR: &str = "adrt.wear";

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

/// Whether the file has that table: one of an older schema, opened for
/// reading, may not.
pub(crate) fn has_table(conn: &Connection, name: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?
        .exists([name])
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
