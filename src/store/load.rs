//! Reading the state: a checkpoint, and the changes after it.
//!
//! Checksums are looked at again on the way: what was sound when the file was
//! opened is not trusted to be so now.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::failure::{damaged, failure};
use super::open::Store;
use super::retention::{KEYS_KEPT_AGE, millis};
use super::rows::{holds, signed, unsigned};
use super::verify::{self, Damage, JOURNAL_COLUMNS, Verified, step};
use crate::clock::Wall;
use crate::engines::state::{Format, Limits, Node};
use crate::supervisor::io::{CheckpointInfo, KeyHash, Restored, StoreFailure};

/// A change was accepted when it was made; the limit of today does not matter.
const NO_LIMITS: Limits = Limits { max_state: usize::MAX };

/// Keys that are remembered, at most.
pub const KEYS_KEPT: u64 = 65_536;

/// Why a state could not be read.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// What the damage is.
    Damaged(String),
    /// SQLite's refusal.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for LoadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Store {
    /// Makes the state and all else that the supervisor keeps in memory.
    ///
    /// # Errors
    /// The disk's refusal, or damage that came after opening.
    pub fn load(&mut self) -> Result<Restored, StoreFailure> {
        if self.stale {
            self.verified = self.look_again()?;
            self.stale = false;
        }
        let conn = self.connection()?;
        let (root, version) = replay(conn, self.verified.checkpoint.as_ref(), u64::MAX)
            .map_err(|e| told(conn, e))
            .map(|made| (made.root, made.version))?;
        let mut warnings = self.verified.warnings.clone();
        let keys = keys(conn, self.tallies.age.millis(), &mut warnings)
            .map_err(|e| failure(Some(conn), 0, &e))?;
        let work = super::work::restored(conn, &self.tallies, &mut warnings)
            .map_err(|e| failure(Some(conn), 0, &e))?;
        let last_begun = super::ledger::last_begun(conn).map_err(|e| failure(Some(conn), 0, &e))?;
        let used_bytes = super::commit::used_bytes(conn).map_err(|e| failure(Some(conn), 0, &e))?;
        Ok(Restored {
            root,
            version,
            highest_version: self.verified.highest_version.max(version),
            checkpoint: self.verified.checkpoint.clone(),
            highest_checkpoint: self.verified.highest_checkpoint,
            tail_bytes: self.verified.tail_bytes,
            last_begun,
            keys,
            used_bytes,
            work,
            warnings,
        })
    }
}

impl Store {
    /// What a restore needs, as it is now.
    fn look_again(&self) -> Result<Verified, StoreFailure> {
        let conn = self.connection()?;
        verify::content(conn).map_err(|damage| match damage {
            Damage::Structure(what) => damaged(what),
            Damage::Tail { version, .. } => {
                damaged(format!("the change that made version {version} is damaged"))
            }
            Damage::Failed(e) => failure(Some(conn), 0, &e),
        })
    }
}

fn told(conn: &Connection, error: LoadError) -> StoreFailure {
    match error {
        LoadError::Damaged(what) => damaged(what),
        LoadError::Sql(e) => failure(Some(conn), 0, &e),
    }
}

/// A state that was made again.
#[derive(Debug, Clone)]
pub(crate) struct Replayed {
    pub root: Node,
    pub version: u64,
    /// When its last change was made; `since` where there was none.
    pub updated: Wall,
}

/// Makes the state of the newest version up to `to`, from a checkpoint, or
/// from nothing.
pub(crate) fn replay(
    conn: &Connection,
    from: Option<&CheckpointInfo>,
    to: u64,
) -> Result<Replayed, LoadError> {
    replay_each(conn, from, to, |_| ())
}

/// As [`replay`], with a look at every version on the way.
pub(crate) fn replay_each(
    conn: &Connection,
    from: Option<&CheckpointInfo>,
    to: u64,
    mut look: impl FnMut(&Node),
) -> Result<Replayed, LoadError> {
    let mut made = match from {
        None => Replayed { root: Node::empty_object(), version: 0, updated: Wall::default() },
        Some(info) => {
            let root = snapshot(conn, info)?;
            Replayed { root, version: info.version, updated: info.created }
        }
    };
    let sql = format!(
        "SELECT {JOURNAL_COLUMNS} FROM journal WHERE version > ?1 AND version <= ?2
         ORDER BY version"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((signed(made.version), signed(to)))?;
    while let Some(row) = rows.next()? {
        let Some((version, _)) = step(row, made.version) else {
            return Err(LoadError::Damaged(format!(
                "the change after version {} is damaged",
                made.version
            )));
        };
        let broken = |why: String| {
            LoadError::Damaged(format!("the change to version {version} can't be made: {why}"))
        };
        let name: String = row.get(3)?;
        let format = Format::from_name(&name)
            .ok_or_else(|| broken(format!("its format {name:?} is not known")))?;
        let patch = text(row, 6)?;
        made.root =
            made.root.apply(format, patch, &NO_LIMITS).map_err(|e| broken(format!("{e:?}")))?;
        look(&made.root);
        made.version = version;
        made.updated = Wall::from_millis(row.get(2)?);
    }
    Ok(made)
}

/// A text column, borrowed.
fn text<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> Result<&'a str, LoadError> {
    match row.get_ref(column)? {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes)
            .map_err(|_| LoadError::Damaged("a change is not UTF-8".to_owned())),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => {
            Err(LoadError::Damaged("a change is not text".to_owned()))
        }
    }
}

/// A checkpoint's content.
pub(crate) fn snapshot(conn: &Connection, info: &CheckpointInfo) -> Result<Node, LoadError> {
    let broken = |why: &str| {
        LoadError::Damaged(format!("checkpoint {} (version {}) {why}", info.id, info.version))
    };
    let mut statement =
        conn.prepare_cached("SELECT id, content, sum FROM snapshots WHERE id = ?1")?;
    let mut rows = statement.query([signed(info.id)])?;
    let row = rows.next()?.ok_or_else(|| broken("has no content"))?;
    if !holds("snapshots", row, 2) {
        return Err(broken("is damaged"));
    }
    let content = row.get_ref(1)?.as_blob().map_err(|_| broken("is damaged"))?;
    let room = usize::try_from(info.state_bytes).map_err(|_| broken("is too large"))?;
    let text = zstd::bulk::decompress(content, room).map_err(|_| broken("can't be unpacked"))?;
    let text = std::str::from_utf8(&text).map_err(|_| broken("is not UTF-8"))?;
    if text.len() != room {
        return Err(broken("has another length than it should"));
    }
    Ok(Node::from_valid(text))
}

/// A checkpoint's content, as it is stored.
pub(crate) fn pack(root: &Node) -> std::io::Result<(Vec<u8>, u64)> {
    let text = root.to_text();
    let packed = zstd::bulk::compress(text.as_bytes(), PACK_LEVEL)?;
    Ok((packed, text.len() as u64))
}

/// zstd's level: its own default, some 300 MB/s.
const PACK_LEVEL: i32 = 3;

/// The remembered keys, oldest first: at most [`KEYS_KEPT`], none older than
/// [`KEYS_KEPT_AGE`]. Numbers run without gaps, so a row that is lost is
/// noticed; it is told and passed over, since one forgotten key is no reason
/// to keep an agent from running.
fn keys(
    conn: &Connection,
    age: i64,
    warnings: &mut Vec<String>,
) -> rusqlite::Result<Vec<(KeyHash, KeyHash, Wall)>> {
    let oldest = age.saturating_sub(millis(KEYS_KEPT_AGE));
    let mut statement = conn.prepare(
        "SELECT id, key, request, at, age, result, sum FROM keys
         WHERE id > (SELECT coalesce(max(id), 0) FROM keys) - ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([signed(KEYS_KEPT)])?;
    let mut found = Vec::new();
    let mut lost = 0_u64;
    let mut before: Option<i64> = None;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        lost += before.map_or(0, |b| unsigned(id.saturating_sub(b).saturating_sub(1)));
        before = Some(id);
        if !holds("keys", row, 6) {
            lost += 1;
        } else if row.get::<_, i64>(4)? >= oldest {
            let hash = |column| row.get::<_, KeyHash>(column);
            found.push((hash(1)?, hash(2)?, Wall::from_millis(row.get(3)?)));
        }
    }
    if lost > 0 {
        warnings.push(format!(
            "{lost} remembered requests are damaged and were passed over: if one of them is sent \
             again with its key, it is done again"
        ));
    }
    Ok(found)
}

/// The result remembered under a key. Asked only for keys that are known to
/// be there, and mostly soon after: so from the newest back, with no index.
pub(crate) fn recall(conn: &Connection, key: &KeyHash) -> rusqlite::Result<Option<String>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, key, request, at, age, result, sum FROM keys ORDER BY id DESC",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if row.get_ref(1)? == ValueRef::Blob(key) {
            return if holds("keys", row, 6) { row.get(5).map(Some) } else { Ok(None) };
        }
    }
    Ok(None)
}

/// The sound checkpoints at or before a version, newest first.
pub(crate) fn checkpoints_to(
    conn: &Connection,
    version: u64,
) -> rusqlite::Result<Vec<CheckpointInfo>> {
    let mut list = verify::checkpoints(conn, &mut Vec::new())?;
    list.retain(|info| info.version <= version);
    Ok(list)
}

/// How many keys there are, and the numbers of the first and last.
pub(crate) fn key_range(conn: &Connection) -> rusqlite::Result<(u64, u64)> {
    let first: Option<i64> = conn.query_row("SELECT min(id) FROM keys", [], |r| r.get(0))?;
    let last: Option<i64> = conn.query_row("SELECT max(id) FROM keys", [], |r| r.get(0))?;
    Ok((first.map_or(1, unsigned), last.map_or(0, unsigned)))
}
