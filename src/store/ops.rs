//! One unit's ops, as statements.

use rusqlite::{CachedStatement, Connection, params};

use super::commit::{Tallies, begin, end};
use super::home::Home;
use super::load::{self, LoadError};
use super::reserve::Reserve;
use super::retention;
use super::rows::{Sum, signed};
use super::{forget, ledger, schema, verify, work};
use crate::engines::state::Node;
use crate::supervisor::io::{
    Answer, CheckpointInfo, CheckpointRef, CheckpointRow, JournalRow, KeyRow, Op, Unit,
};

/// What stands in a keyed result for the size of a checkpoint that is not
/// written yet. It can't be part of a string there: its quotes would be escaped.
const BYTES_TO_COME: &str = "\"bytes\":null";

/// The statement that nearly every unit needs, looked up once for all units
/// of a transaction.
pub(crate) struct Journal<'a> {
    conn: &'a Connection,
    insert: Option<CachedStatement<'a>>,
}

impl<'a> Journal<'a> {
    pub(crate) fn new(conn: &'a Connection) -> Self {
        Self { conn, insert: None }
    }

    fn insert(&mut self) -> rusqlite::Result<&mut CachedStatement<'a>> {
        if let Some(ref mut insert) = self.insert {
            return Ok(insert);
        }
        let insert = self.conn.prepare_cached(
            "INSERT INTO journal (version, base, at, format, made_by, incarnation, patch, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        Ok(self.insert.insert(insert))
    }
}

/// Applies the ops of one unit within an open transaction.
pub(crate) struct Applier<'a, 'conn> {
    conn: &'conn Connection,
    journal: &'a mut Journal<'conn>,
    tallies: &'a mut Tallies,
    reserve: &'a mut Reserve,
    home: &'a Home,
    unit: &'a Unit,
    answers: Vec<Answer>,
    /// Sizes of the checkpoints made so far, in order.
    made: Vec<u64>,
    /// Written last: their results may wait for the size of a checkpoint.
    keys: Vec<&'a KeyRow>,
}

impl<'a, 'conn> Applier<'a, 'conn> {
    pub(crate) fn new(
        journal: &'a mut Journal<'conn>,
        tallies: &'a mut Tallies,
        reserve: &'a mut Reserve,
        home: &'a Home,
        unit: &'a Unit,
    ) -> Self {
        let (answers, made, keys) = (Vec::new(), Vec::new(), Vec::new());
        Self { conn: journal.conn, journal, tallies, reserve, home, unit, answers, made, keys }
    }

    pub(crate) fn apply(&mut self, op: &'a Op) -> rusqlite::Result<()> {
        match op {
            Op::Journal(row) => self.journal(row),
            Op::Checkpoint(row) => self.checkpoint(row),
            Op::Pin { checkpoint, incarnation } => {
                retention::pin(self.conn, *checkpoint, *incarnation)
            }
            Op::Key(row) => {
                self.keys.push(row);
                Ok(())
            }
            Op::RecallKey { key } => {
                let result = load::recall(self.conn, key)?;
                self.answer(Answer::Recalled(result))
            }
            Op::Begin(start) => begin(self.conn, self.unit.at, start),
            Op::End(ended) => {
                end(self.conn, self.unit.at, ended)?;
                retention::note_time(self.conn, self.tallies)
            }
            Op::Restart(memory) => ledger::put_restart(self.conn, memory),
            Op::LoadCheckpoint(which) => {
                let loaded = load_checkpoint(self.conn, which)?;
                self.answer(Answer::Loaded(loaded))
            }
            Op::ListCheckpoints { limit } => {
                let list = list_checkpoints(self.conn, *limit)?;
                self.answer(Answer::Checkpoints(list))
            }
            Op::Prune { keep, all } => {
                let (checkpoints, versions) = retention::prune(self.conn, *keep, *all)?;
                self.answer(Answer::Removed { checkpoints, versions })
            }
            Op::Forget { path } => {
                let (checkpoints, versions) =
                    forget::forget(self.conn, self.tallies, path.as_deref())?;
                self.answer(Answer::Removed { checkpoints, versions })
            }
            Op::RebuildReserve => {
                let there = self.reserve.rebuild();
                self.answer(Answer::Reserve(there))
            }
            Op::Meta { name, value } => schema::put_meta(self.conn, name, value),
            Op::Work(op) => {
                let answer = work::apply(self.conn, self.tallies, self.home, self.unit, op)?;
                self.answers.extend(answer.map(Answer::Work));
                Ok(())
            }
        }
    }

    /// Writes what waited, and gives the answers.
    pub(crate) fn finish(mut self) -> rusqlite::Result<Vec<Answer>> {
        for row in std::mem::take(&mut self.keys) {
            self.key(row)?;
        }
        retention::cut_keys(self.conn, self.tallies)?;
        Ok(self.answers)
    }

    #[expect(clippy::unnecessary_wraps, reason = "ends an arm of `apply`")]
    fn answer(&mut self, answer: Answer) -> rusqlite::Result<()> {
        self.answers.push(answer);
        Ok(())
    }

    fn journal(&mut self, row: &JournalRow) -> rusqlite::Result<()> {
        let version = signed(row.version);
        let follows = self.tallies.version + 1 == row.version;
        let base = (!follows).then(|| signed(self.tallies.version));
        let format = row.format.name();
        let at = self.unit.at.millis();
        let incarnation = signed(row.incarnation);
        let sum = Sum::of("journal")
            .int(version)
            .opt_int(base)
            .int(at)
            .text(format)
            .text(&row.by)
            .int(incarnation)
            .text(&row.patch)
            .finish();
        self.journal.insert()?.execute(params![
            version,
            base,
            at,
            format,
            row.by,
            incarnation,
            &*row.patch,
            sum
        ])?;
        self.tallies.version = row.version;
        Ok(())
    }

    fn checkpoint(&mut self, row: &CheckpointRow) -> rusqlite::Result<()> {
        let (content, state_bytes) = load::pack(&row.root)
            .map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
        let info = CheckpointInfo {
            id: row.id,
            version: row.version,
            created: self.unit.at,
            label: row.label.clone(),
            reason: row.reason.as_str().to_owned(),
            incarnation: row.incarnation,
            bytes: content.len() as u64,
            state_bytes,
        };
        put_checkpoint(self.conn, &info, self.tallies.age.millis(), &content)?;
        retention::note_time(self.conn, self.tallies)?;
        // A checkpoint of a version that no change made (a restored agent's first).
        self.tallies.version = self.tallies.version.max(row.version);
        self.tallies.shed_all = false;
        self.made.push(info.bytes);
        self.answer(Answer::Checkpoint(info))
    }

    fn key(&mut self, row: &KeyRow) -> rusqlite::Result<()> {
        let result = with_bytes(&row.result, &self.made);
        let id = signed(self.tallies.next_key);
        put_key(
            self.conn,
            &KeyFields {
                id,
                key: &row.key,
                request: &row.request,
                at: self.unit.at.millis(),
                age: self.tallies.age.millis(),
                result: &result,
            },
        )?;
        self.tallies.next_key += 1;
        Ok(())
    }
}

/// The result with the sizes of the unit's checkpoints put in, in order.
fn with_bytes(result: &str, made: &[u64]) -> String {
    let mut text = String::with_capacity(result.len() + 16);
    let mut sizes = made.iter();
    let mut rest = result;
    while let Some(at) = rest.find(BYTES_TO_COME) {
        let Some(size) = sizes.next() else { break };
        text.push_str(&rest[..at]);
        text.push_str(&format!("\"bytes\":{size}"));
        rest = &rest[at + BYTES_TO_COME.len()..];
    }
    text.push_str(rest);
    text
}

/// A row of `keys` to be written.
pub(crate) struct KeyFields<'a> {
    pub id: i64,
    pub key: &'a [u8],
    pub request: &'a [u8],
    pub at: i64,
    pub age: i64,
    pub result: &'a str,
}

pub(crate) fn put_key(conn: &Connection, row: &KeyFields<'_>) -> rusqlite::Result<()> {
    let sum = Sum::of("keys")
        .int(row.id)
        .blob(row.key)
        .blob(row.request)
        .int(row.at)
        .int(row.age)
        .text(row.result)
        .finish();
    conn.prepare_cached(
        "INSERT INTO keys (id, key, request, at, age, result, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((row.id, row.key, row.request, row.at, row.age, row.result, sum))
    .map(drop)
}

/// Writes both rows of a checkpoint.
pub(crate) fn put_checkpoint(
    conn: &Connection,
    info: &CheckpointInfo,
    age: i64,
    content: &[u8],
) -> rusqlite::Result<()> {
    let (id, version) = (signed(info.id), signed(info.version));
    let (bytes, state_bytes) = (signed(info.bytes), signed(info.state_bytes));
    let (created, incarnation) = (info.created.millis(), signed(info.incarnation));
    let label = info.label.as_deref();
    let sum = Sum::of("checkpoints")
        .int(id)
        .int(version)
        .int(created)
        .int(age)
        .opt_text(label)
        .text(&info.reason)
        .int(incarnation)
        .int(bytes)
        .int(state_bytes)
        .finish();
    conn.prepare_cached(
        "INSERT INTO checkpoints (id, version, created, age, label, reason, incarnation, bytes,
             state_bytes, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        id,
        version,
        created,
        age,
        label,
        info.reason,
        incarnation,
        bytes,
        state_bytes,
        sum
    ])?;
    let sum = Sum::of("snapshots").int(id).blob(content).finish();
    conn.prepare_cached("INSERT INTO snapshots (id, content, sum) VALUES (?1, ?2, ?3)")?
        .execute((id, content, sum))
        .map(drop)
}

/// What is known of a checkpoint; none if there is no such one, or its row is damaged.
pub(crate) fn find_checkpoint(
    conn: &Connection,
    which: &CheckpointRef,
) -> rusqlite::Result<Option<CheckpointInfo>> {
    let list = verify::checkpoints(conn, &mut Vec::new())?;
    Ok(match which {
        CheckpointRef::Id(id) => list.into_iter().find(|info| info.id == *id),
        CheckpointRef::Label(label) => {
            list.into_iter().find(|info| info.label.as_deref() == Some(label))
        }
    })
}

fn load_checkpoint(
    conn: &Connection,
    which: &CheckpointRef,
) -> rusqlite::Result<Option<(CheckpointInfo, Node)>> {
    let Some(info) = find_checkpoint(conn, which)? else { return Ok(None) };
    match load::snapshot(conn, &info) {
        Ok(root) => Ok(Some((info, root))),
        Err(LoadError::Damaged(_)) => Ok(None),
        Err(LoadError::Sql(e)) => Err(e),
    }
}

fn list_checkpoints(conn: &Connection, limit: u64) -> rusqlite::Result<Vec<CheckpointInfo>> {
    let mut list = verify::checkpoints(conn, &mut Vec::new())?;
    list.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_put_where_they_are_waited_for() {
        let one = r#"{"id":1,"bytes":null,"version":2}"#;
        assert_eq!(with_bytes(one, &[99]), r#"{"id":1,"bytes":99,"version":2}"#);
        assert_eq!(with_bytes(one, &[]), one);
        let two = r#"[{"bytes":null},{"bytes":null}]"#;
        assert_eq!(with_bytes(two, &[1, 2]), r#"[{"bytes":1},{"bytes":2}]"#);
        let label = r#"{"label":"\"bytes\":null","bytes":null}"#;
        assert_eq!(with_bytes(label, &[7]), r#"{"label":"\"bytes\":null","bytes":7}"#);
    }
}
