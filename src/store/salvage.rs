//! After damage, when the operator said to go on.
//!
//! Nothing is mended in place: a new database is built in `db.new`, the
//! damaged one is renamed aside whole, and the new one takes its place.
//!
//! *Salvage* takes over every row whose checksum holds, as far as the state
//! can be made from them; the next version is the highest ever seen + 1, so
//! that no version stands for two states. An event of which only the content is
//! sound becomes a dead letter. *Fresh* takes over only what keeps
//! numbers from being given twice.

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params_from_iter};

use super::failure::{OpenError, open_failure};
use super::home::Home;
use super::migrate::BLANK;
use super::open::{Options, connect, harden};
use super::rows::{Sum, holds, signed, unsigned};
use super::schema::{
    self, META_DAMAGED, META_HIGHEST_CHECKPOINT, META_HIGHEST_DECISION, META_HIGHEST_EVENT,
    META_HIGHEST_INCARNATION, META_HIGHEST_POST, META_HIGHEST_REVIEW, META_HIGHEST_VERSION,
    META_MIN_WRITER, META_SCHEMA_SUM, META_SCRUB, STEPS,
};
use super::verify::{self, Damage};
use super::work::calibration::CALIBRATION_COLUMNS;
use super::work::decisions::{DECISION_COLUMNS, DECISION_SUMMED, POLICY_COLUMNS};
use super::work::rows::{KV_COLUMNS, POST_COLUMNS, REVIEW_COLUMNS, TIMER_COLUMNS};
use super::{install, settings, work};
use crate::clock::Age;
use crate::supervisor::io::{EventState, EventStatus};

/// Builds a new database of what is sound in the damaged one. Returns what
/// the operator should know.
///
/// # Errors
/// Nothing sound is there: [`OpenError::Damaged`] with `nothing_sound`; or the
/// disk's refusal. The damaged database is where it was then.
pub(crate) fn rebuild(home: &Home, why: &OpenError) -> Result<Vec<String>, OpenError> {
    let old = open_damaged(home).map_err(|_| nothing(home, why))?;
    let path = install::begin(home)?;
    let new = connect(&path, &Options::default())?;
    settings::settle(&new, &BLANK, false)?;
    let failed = |e: rusqlite::Error| open_failure(Some(&new), &e);
    new.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let numbers = Numbers::of(&old);
    let counts = fill(&old, &new).map_err(failed)?;
    let version = reachable(&new).map_err(failed)?.ok_or_else(|| nothing(home, why))?;
    finish(&new, &numbers).map_err(failed)?;
    new.execute_batch("COMMIT").map_err(failed)?;
    new.close().map_err(|(conn, e)| open_failure(Some(&conn), &e))?;
    drop(old);
    let aside = install::put_aside(home)?;
    install::put_in_place(home)?;
    Ok(vec![format!(
        "{why}; what is sound was taken over, up to version {version} ({} rows were not); the \
         old database is kept in {}",
        counts.lost,
        aside.display()
    )])
}

/// Puts the damaged database aside and makes an empty one.
///
/// # Errors
/// The disk's refusal.
pub(crate) fn fresh(home: &Home, why: &OpenError) -> Result<Vec<String>, OpenError> {
    let numbers = open_damaged(home).map_or_else(|_| Numbers::default(), |old| Numbers::of(&old));
    let path = install::begin(home)?;
    let new = connect(&path, &Options::default())?;
    settings::settle(&new, &BLANK, false)?;
    let failed = |e: rusqlite::Error| open_failure(Some(&new), &e);
    new.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    make_tables(&new).and_then(|()| finish(&new, &numbers)).map_err(failed)?;
    new.execute_batch("COMMIT").map_err(failed)?;
    new.close().map_err(|(conn, e)| open_failure(Some(&conn), &e))?;
    let aside = install::put_aside(home)?;
    install::put_in_place(home)?;
    Ok(vec![format!(
        "{why}; a new, empty one was made as asked, and the old one is kept in {}",
        aside.display()
    )])
}

fn nothing(home: &Home, why: &OpenError) -> OpenError {
    OpenError::Damaged { dir: home.db_dir(), what: why.to_string(), nothing_sound: true }
}

/// The damaged file, for reading, with no more trust than needed.
fn open_damaged(home: &Home) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(home.database(), flags)?;
    harden(&conn)?;
    conn.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON")?;
    // Reads the schema: if that is gone, nothing can be found.
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(conn)
}

/// Numbers that must not be given again.
#[derive(Debug, Default)]
struct Numbers {
    version: u64,
    checkpoint: u64,
    incarnation: u64,
    event: u64,
    post: u64,
    review: u64,
    decision: u64,
}

impl Numbers {
    /// As far as they can be read; damaged rows count too, if plausible.
    fn of(old: &Connection) -> Self {
        let highest = |sql: &str, meta: &str| {
            let row: Option<i64> = old.query_row(sql, [], |r| r.get(0)).ok().flatten();
            let kept = schema::get_meta(old, meta).ok().flatten().and_then(|t| t.parse().ok());
            let plausible = row.map(unsigned).filter(|n| *n <= verify::PLAUSIBLE_VERSION);
            plausible.into_iter().chain(kept).max().unwrap_or(0)
        };
        Self {
            version: verify::highest_seen(old)
                .max(highest("SELECT max(version) FROM incarnations", META_HIGHEST_VERSION)),
            checkpoint: highest("SELECT max(id) FROM checkpoints", META_HIGHEST_CHECKPOINT),
            incarnation: highest("SELECT max(id) FROM incarnations", META_HIGHEST_INCARNATION),
            event: highest("SELECT max(seq) FROM events", META_HIGHEST_EVENT)
                .max(highest("SELECT max(seq) FROM inbox", META_HIGHEST_EVENT)),
            post: highest("SELECT max(id) FROM posts", META_HIGHEST_POST),
            review: highest("SELECT max(id) FROM reviews", META_HIGHEST_REVIEW),
            decision: highest("SELECT max(id) FROM decisions", META_HIGHEST_DECISION),
        }
    }
}

/// A table's rows are taken over if their checksums hold.
struct Table {
    name: &'static str,
    key: &'static str,
    /// In the order of the checksum, the sum last.
    columns: &'static str,
    summed: usize,
}

const TABLES: &[Table] = &[
    Table { name: "meta", key: "name", columns: "name, value, sum", summed: 2 },
    Table { name: "outputs", key: "incarnation", columns: "incarnation, content, sum", summed: 2 },
    Table { name: "journal", key: "version", columns: verify::JOURNAL_COLUMNS, summed: 7 },
    Table { name: "checkpoints", key: "id", columns: verify::CHECKPOINT_COLUMNS, summed: 9 },
    Table { name: "snapshots", key: "id", columns: "id, content, sum", summed: 2 },
    Table { name: "pins", key: "incarnation", columns: "incarnation, checkpoint, sum", summed: 2 },
    Table { name: "keys", key: "id", columns: "id, key, request, at, age, result, sum", summed: 6 },
    Table { name: "held", key: "incarnation", columns: "incarnation, events, sum", summed: 2 },
    Table { name: "events", key: "seq", columns: "seq, at, type, body, sum", summed: 4 },
    Table { name: "inbox", key: "seq", columns: INBOX_COLUMNS, summed: 12 },
    Table { name: "event_ids", key: "id", columns: "id, hash, seq, age, sum", summed: 4 },
    Table { name: "steps", key: "id", columns: STEPS_COLUMNS, summed: 9 },
    Table { name: "kv", key: "id", columns: KV_COLUMNS, summed: 4 },
    Table { name: "timers", key: "id", columns: TIMER_COLUMNS, summed: 7 },
    Table { name: "posts", key: "id", columns: POST_COLUMNS, summed: 5 },
    Table { name: "reviews", key: "id", columns: REVIEW_COLUMNS, summed: 13 },
    Table { name: "decisions", key: "id", columns: DECISION_COLUMNS, summed: DECISION_SUMMED },
    Table { name: "policies", key: "id", columns: POLICY_COLUMNS, summed: 3 },
    Table { name: "calibration", key: "id", columns: CALIBRATION_COLUMNS, summed: 6 },
];
const INBOX_COLUMNS: &str =
    "seq, state, place, due, born, attempt, deaths, nacks, holder, version, wait, reason, sum";
const STEPS_COLUMNS: &str =
    "seq, named, name, state, attempt, ikey, input_hash, outcome, review, sum";
/// What a dead letter says of which nothing is known but itself.
const STATUS_LOST: &str = "how far it was is lost: that row of the database was damaged";

#[derive(Debug, Default)]
struct Counts {
    lost: u64,
}

/// Makes the tables within the transaction that fills them.
fn make_tables(new: &Connection) -> rusqlite::Result<()> {
    for step in STEPS {
        new.execute_batch(step.sql)?;
        new.execute_batch(&format!(
            "PRAGMA application_id = {}; PRAGMA user_version = {}",
            schema::APPLICATION_ID,
            step.to
        ))?;
    }
    Ok(())
}

fn fill(old: &Connection, new: &Connection) -> rusqlite::Result<Counts> {
    make_tables(new)?;
    let mut counts = Counts::default();
    for table in TABLES {
        take_over(old, new, table, &mut counts)?;
    }
    take_over_incarnations(old, new, &mut counts)?;
    join_work(new, &mut counts)?;
    Ok(counts)
}

/// Events whose half is lost. One without its content is nothing any more;
/// one of which it is not known how far it was may have been done or not, so a
/// person has to say: it becomes a dead letter.
fn join_work(new: &Connection, counts: &mut Counts) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM inbox WHERE seq NOT IN (SELECT seq FROM events)",
        "DELETE FROM steps WHERE seq <> 0 AND seq NOT IN (SELECT seq FROM events)",
    ] {
        counts.lost += new.execute(sql, [])? as u64;
    }
    let mut select =
        new.prepare("SELECT seq FROM events WHERE seq NOT IN (SELECT seq FROM inbox)")?;
    let lost = select.query_map([], |r| r.get(0))?;
    for seq in lost.collect::<rusqlite::Result<Vec<i64>>>()? {
        work::insert_status(
            new,
            &EventStatus {
                reason: Some(STATUS_LOST.into()),
                ..EventStatus::new(unsigned(seq), EventState::Dead, Age::default())
            },
        )?;
    }
    Ok(())
}

/// Reads a table from both ends: a broken page in the middle hides what is
/// between it and one end only.
fn take_over(
    old: &Connection,
    new: &Connection,
    table: &Table,
    counts: &mut Counts,
) -> rusqlite::Result<()> {
    let marks = vec!["?"; table.summed + 1].join(", ");
    let insert =
        format!("INSERT OR IGNORE INTO {} ({}) VALUES ({marks})", table.name, table.columns);
    let mut insert = new.prepare(&insert)?;
    let mut damaged = 0;
    for order in ["ASC", "DESC"] {
        let sql =
            format!("SELECT {} FROM {} ORDER BY {} {order}", table.columns, table.name, table.key);
        let mut whole = false;
        let mut lost = 0;
        // An error of the damaged file ends the reading, not the salvage.
        if let Ok(mut select) = old.prepare(&sql)
            && let Ok(mut rows) = select.query([])
        {
            whole = loop {
                match rows.next() {
                    Ok(Some(row)) if holds(table.name, row, table.summed) => {
                        let values = (0..=table.summed).map(|c| row.get::<_, Value>(c));
                        let values: Vec<Value> = values.collect::<rusqlite::Result<_>>()?;
                        insert.execute(params_from_iter(values))?;
                    }
                    Ok(Some(_)) => lost += 1,
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
        }
        damaged = damaged.max(lost);
        if whole {
            break;
        }
    }
    counts.lost += damaged;
    Ok(())
}

/// The ledger's rows have two checksums; each half is taken over for itself.
fn take_over_incarnations(
    old: &Connection,
    new: &Connection,
    counts: &mut Counts,
) -> rusqlite::Result<()> {
    let begin = "id, begun, run_id, reason, pid, session, start_ticks, boot_id, release, begin_sum";
    let end = "id, ended, class, code, signal, core, summary, uptime_ms, version, backoff_ms, \
               backoff_why, end_sum";
    for (columns, summed, last) in [(begin, 9, "begin_sum"), (end, 11, "end_sum")] {
        let sql =
            format!("SELECT {columns} FROM incarnations WHERE {last} IS NOT NULL ORDER BY id DESC");
        let names: Vec<&str> = columns.split(", ").map(str::trim).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let set: Vec<String> =
            names.iter().skip(1).map(|n| format!("{n} = excluded.{n}")).collect();
        let mut insert = new.prepare(&format!(
            "INSERT INTO incarnations ({columns}) VALUES ({marks})
             ON CONFLICT (id) DO UPDATE SET {}",
            set.join(", ")
        ))?;
        let Ok(mut select) = old.prepare(&sql) else { continue };
        let Ok(mut rows) = select.query([]) else { continue };
        while let Ok(Some(row)) = rows.next() {
            if holds("incarnations", row, summed) {
                let values = (0..=summed).map(|c| row.get::<_, Value>(c));
                let values: Vec<Value> = values.collect::<rusqlite::Result<_>>()?;
                insert.execute(params_from_iter(values))?;
            } else {
                counts.lost += 1;
            }
        }
    }
    mark_crashes(new)
}

/// The column that the index of crashes is made of follows from the class.
fn mark_crashes(new: &Connection) -> rusqlite::Result<()> {
    use crate::supervisor::io::ExitClass;
    let mut select = new.prepare("SELECT id, class FROM incarnations WHERE class IS NOT NULL")?;
    let rows = select.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let ended: Vec<(i64, String)> = rows.collect::<rusqlite::Result<_>>()?;
    for (id, class) in ended {
        let crash = ExitClass::from_name(&class).is_some_and(ExitClass::is_crash);
        new.execute("UPDATE incarnations SET crash = ?2 WHERE id = ?1", (id, i64::from(crash)))?;
    }
    Ok(())
}

/// Cuts what was taken over to what a state can be made of: the newest
/// version that can be reached, and nothing that builds on what is lost.
/// None if there is no such version although there was one.
fn reachable(new: &Connection) -> rusqlite::Result<Option<u64>> {
    // A checkpoint without its content is of no use to anybody.
    new.execute("DELETE FROM checkpoints WHERE id NOT IN (SELECT id FROM snapshots)", [])?;
    new.execute("DELETE FROM snapshots WHERE id NOT IN (SELECT id FROM checkpoints)", [])?;
    new.execute("DELETE FROM pins WHERE checkpoint NOT IN (SELECT id FROM checkpoints)", [])?;
    let last_sound = match verify::content(new) {
        Ok(found) => found.version,
        Err(Damage::Tail { last_sound, .. }) => last_sound,
        Err(Damage::Structure(_)) => 0,
        Err(Damage::Failed(e)) => return Err(e),
    };
    new.execute("DELETE FROM journal WHERE version > ?1", [signed(last_sound)])?;
    let anything: Option<i64> = new
        .query_row(
            "SELECT 1 FROM checkpoints UNION ALL SELECT 1 FROM journal WHERE version = ?1 LIMIT 1",
            [signed(last_sound)],
            |r| r.get(0),
        )
        .optional()?;
    Ok(anything.map(|_| last_sound))
}

/// Notes the numbers, and that this database stands for a damaged one.
fn finish(new: &Connection, numbers: &Numbers) -> rusqlite::Result<()> {
    for (name, number) in [
        (META_HIGHEST_VERSION, numbers.version),
        (META_HIGHEST_CHECKPOINT, numbers.checkpoint),
        (META_HIGHEST_INCARNATION, numbers.incarnation),
        (META_HIGHEST_EVENT, numbers.event),
        (META_HIGHEST_POST, numbers.post),
        (META_HIGHEST_REVIEW, numbers.review),
        (META_HIGHEST_DECISION, numbers.decision),
    ] {
        if number > 0 {
            schema::put_meta(new, name, &number.to_string())?;
        }
    }
    schema::drop_meta(new, META_SCRUB)?;
    schema::put_meta(new, META_DAMAGED, "1")?;
    let min_writer = STEPS.iter().rev().find(|s| !s.additive).map_or(0, |s| s.to);
    schema::put_meta(new, META_MIN_WRITER, &min_writer.to_string())?;
    schema::put_meta(new, META_SCHEMA_SUM, &schema::schema_sum(new)?)?;
    renumber_keys(new)
}

/// Keys are numbered without gaps, which is how a lost one is noticed.
fn renumber_keys(new: &Connection) -> rusqlite::Result<()> {
    let mut select =
        new.prepare("SELECT id, key, request, at, age, result, sum FROM keys ORDER BY id")?;
    let rows = select.query_map([], |r| {
        Ok((
            r.get::<_, i64>(0)?,
            r.get::<_, Vec<u8>>(1)?,
            r.get::<_, Vec<u8>>(2)?,
            r.get::<_, i64>(3)?,
            r.get::<_, i64>(4)?,
            r.get::<_, String>(5)?,
        ))
    })?;
    let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    let Some(first) = rows.first().map(|row| row.0) else { return Ok(()) };
    for (next, (id, key, request, at, age, result)) in (first..).zip(&rows) {
        if *id == next {
            continue;
        }
        let sum = Sum::of("keys")
            .int(next)
            .blob(key)
            .blob(request)
            .int(*at)
            .int(*age)
            .text(result)
            .finish();
        new.execute("UPDATE keys SET id = ?2, sum = ?3 WHERE id = ?1", (id, next, sum))?;
    }
    Ok(())
}
