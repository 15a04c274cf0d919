//! The crash ledger: the rows of incarnations, and what is read of them.
//!
//! A row is written at the start and completed at the end; each half has its
//! own checksum, so that the second is added without the first being read.
//! The last output of an incarnation is kept apart, and so is what it had in
//! hand, for the newest [`OUTPUTS_KEPT`] of them.

mod hands;

use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::rows::{Sum, holds, int, lossy, signed, unsigned};
use super::schema::{self, META_DAMAGED, META_HIGHEST_INCARNATION, META_OWN, META_RESTART};
use crate::clock::{Age, Wall};
use crate::supervisor::io::{
    Boot, Exit, ExitClass, Incarnation, IncarnationEnd, IncarnationStart, LastEnd, Origin,
    ProcessIdentity, RestartMemory, StepAttempt,
};
use crate::supervisor::units::UNSTABLE_CRASHES;
use crate::supervisor::work::Seq;

/// Incarnations whose output is kept: at 64 KiB each, 6 MiB at most.
pub const OUTPUTS_KEPT: u64 = 100;
/// Incarnations that are remembered at all.
pub const INCARNATIONS_KEPT: u64 = 10_000;

/// An incarnation, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncarnationRow {
    /// Its number.
    pub id: Incarnation,
    /// When it was started; none where it never could be.
    pub begun: Option<Wall>,
    /// The `adrt run` it belongs to.
    pub run_id: String,
    /// What `start.reason` said.
    pub reason: String,
    /// Its process.
    pub process: ProcessIdentity,
    /// `--release`.
    pub release: Option<String>,
    /// How it ended; none while it runs.
    pub end: Option<IncarnationEnding>,
    /// The events it held when it ended; none when they are no longer kept.
    pub held: Vec<Seq>,
    /// The steps it was in then; kept as long.
    pub steps: Vec<StepAttempt>,
    /// Who had asked for the end, in words; kept as long.
    pub asked_by: Option<String>,
    /// The checkpoint that is kept for the sake of its crash.
    pub pinned: Option<u64>,
    /// When the next one was started.
    pub next_begun: Option<Wall>,
    /// A checksum does not hold: what is shown of it may be wrong.
    pub damaged: bool,
}

/// The second half of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncarnationEnding {
    /// When.
    pub ended: Wall,
    /// [`ExitClass::as_str`], or what a newer adrt wrote.
    pub class: String,
    /// Whether it counts as a crash.
    pub crash: bool,
    /// What wait said.
    pub exit: Option<Exit>,
    /// One sentence for people.
    pub summary: String,
    /// How long it had lived.
    pub uptime: Duration,
    /// Version of the state when it ended.
    pub version: u64,
    /// The delay chosen before the next start.
    pub backoff: Option<Duration>,
    /// Why that delay, or why no next start.
    pub backoff_why: String,
    /// The last of its stderr and text; none in lists, and when it is no
    /// longer kept.
    pub output: Option<Vec<u8>>,
}

impl IncarnationEnding {
    /// When the next start was due, if there was to be one.
    pub fn next_due(&self) -> Option<Wall> {
        Some(Wall::from_millis(self.ended.millis().saturating_add(millis(self.backoff?))))
    }
}

const BEGIN_COLUMNS: &str =
    "id, begun, run_id, reason, pid, session, start_ticks, boot_id, release, begin_sum";
const END_COLUMNS: &str = "id, ended, class, code, signal, core, summary, uptime_ms, version, \
                           backoff_ms, backoff_why, end_sum, crash";
/// What other rows say of it.
const BESIDE_COLUMNS: &str = "(SELECT c.id FROM pins p JOIN checkpoints c ON c.id = p.checkpoint
         WHERE p.incarnation = incarnations.id),
     (SELECT n.begun FROM incarnations n WHERE n.id = incarnations.id + 1)";

/// Writes the first half.
pub(crate) fn begin(conn: &Connection, at: Wall, start: &IncarnationStart) -> rusqlite::Result<()> {
    let id = signed(start.incarnation);
    let process = &start.process;
    let ticks = signed(process.start_ticks);
    let sum = Sum::of("incarnations")
        .int(id)
        .int(at.millis())
        .text(&start.run_id)
        .text(&start.reason)
        .int(process.pid.into())
        .int(process.session.into())
        .int(ticks)
        .text(&process.boot_id)
        .opt_text(start.release.as_deref())
        .finish();
    conn.prepare_cached(
        "INSERT INTO incarnations (id, begun, run_id, reason, pid, session, start_ticks, boot_id,
             release, begin_sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET begun = ?2, run_id = ?3, reason = ?4, pid = ?5,
             session = ?6, start_ticks = ?7, boot_id = ?8, release = ?9, begin_sum = ?10",
    )?
    .execute((
        id,
        at.millis(),
        &start.run_id,
        &start.reason,
        process.pid,
        process.session,
        ticks,
        &process.boot_id,
        &start.release,
        sum,
    ))?;
    schema::drop_meta(conn, META_DAMAGED)
}

/// Writes the second half, and lets go of old outputs and rows.
pub(crate) fn end(conn: &Connection, at: Wall, end: &IncarnationEnd) -> rusqlite::Result<()> {
    let id = signed(end.incarnation);
    let (code, signal, core) = match end.exit {
        None => (None, None, None),
        Some(Exit::Code(code)) => (Some(i64::from(code)), None, None),
        Some(Exit::Signal { signal, core }) => {
            (None, Some(i64::from(signal)), Some(i64::from(core)))
        }
    };
    let class = end.class.as_str();
    let (uptime, version) = (millis(end.uptime), signed(end.version));
    let backoff = end.backoff.map(millis);
    let sum = Sum::of("incarnations")
        .int(id)
        .int(at.millis())
        .text(class)
        .opt_int(code)
        .opt_int(signal)
        .opt_int(core)
        .text(&end.summary)
        .int(uptime)
        .int(version)
        .opt_int(backoff)
        .text(&end.backoff_why)
        .finish();
    conn.prepare_cached(
        "INSERT INTO incarnations (id, ended, class, code, signal, core, summary, uptime_ms,
             version, backoff_ms, backoff_why, end_sum, crash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET ended = ?2, class = ?3, code = ?4, signal = ?5, core = ?6,
             summary = ?7, uptime_ms = ?8, version = ?9, backoff_ms = ?10, backoff_why = ?11,
             end_sum = ?12, crash = ?13",
    )?
    .execute((
        id,
        at.millis(),
        class,
        code,
        signal,
        core,
        &end.summary,
        uptime,
        version,
        backoff,
        &end.backoff_why,
        sum,
        i64::from(end.class.is_crash()),
    ))?;
    keep_output(conn, id, &end.output)?;
    keep_hands(conn, id, end)?;
    forget_old(conn, end.incarnation)
}

fn keep_output(conn: &Connection, id: i64, output: &[u8]) -> rusqlite::Result<()> {
    if output.is_empty() {
        return Ok(());
    }
    let sum = Sum::of("outputs").int(id).blob(output).finish();
    conn.prepare_cached(
        "INSERT OR REPLACE INTO outputs (incarnation, content, sum) VALUES (?1, ?2, ?3)",
    )?
    .execute((id, output, sum))
    .map(drop)
}

fn keep_hands(conn: &Connection, id: i64, end: &IncarnationEnd) -> rusqlite::Result<()> {
    let text = hands::to_text(&end.held, &end.steps, end.asked_by.as_deref());
    if text.is_empty() {
        return Ok(());
    }
    let sum = Sum::of("held").int(id).text(&text).finish();
    conn.prepare_cached(
        "INSERT OR REPLACE INTO held (incarnation, events, sum) VALUES (?1, ?2, ?3)",
    )?
    .execute((id, text, sum))
    .map(drop)
}

fn forget_old(conn: &Connection, newest: Incarnation) -> rusqlite::Result<()> {
    let old = signed(newest) - signed(OUTPUTS_KEPT);
    conn.prepare_cached("DELETE FROM outputs WHERE incarnation <= ?1")?.execute([old])?;
    conn.prepare_cached("DELETE FROM held WHERE incarnation <= ?1")?.execute([old])?;
    conn.prepare_cached("DELETE FROM incarnations WHERE id <= ?1")?
        .execute([signed(newest) - signed(INCARNATIONS_KEPT)])
        .map(drop)
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn span(ms: i64) -> Duration {
    Duration::from_millis(unsigned(ms))
}

/// Writes what the restart policy must not forget: numbers with a space
/// between them, `-` for none. What came later stands behind.
pub(crate) fn put_restart(conn: &Connection, memory: &RestartMemory) -> rusqlite::Result<()> {
    let or_none = |number: Option<u128>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let mut text = format!(
        "{} {} {} {} {}",
        memory.crashes_in_row,
        or_none(memory.delay_left.map(|delay| delay.as_millis())),
        memory.restarts,
        or_none(memory.before_loop.map(u128::from)),
        u8::from(memory.rolled_back),
    );
    for crash in memory.crashes {
        text.push_str(&format!(" {}", crash.millis()));
    }
    schema::put_meta(conn, META_RESTART, &text)
}

/// Reads it; nothing remembered where there is none, or it is damaged. An
/// older adrt wrote the first three numbers only.
pub(crate) fn restart(conn: &Connection) -> rusqlite::Result<RestartMemory> {
    let text = schema::get_meta(conn, META_RESTART)?.unwrap_or_default();
    let mut words = text.split(' ');
    let in_row = words.next().and_then(|w| w.parse().ok());
    let delay = words.next().and_then(|w| w.parse().ok()).map(Duration::from_millis);
    let restarts = words.next().and_then(|w| w.parse().ok());
    let before_loop = words.next().and_then(|w| w.parse().ok());
    let rolled_back = words.next() == Some("1");
    let mut crashes = [Age::default(); UNSTABLE_CRASHES + 1];
    for crash in &mut crashes {
        *crash = Age::from_millis(words.next().and_then(|w| w.parse().ok()).unwrap_or(0));
    }
    Ok(RestartMemory {
        crashes_in_row: in_row.unwrap_or(0),
        delay_left: delay,
        restarts: restarts.unwrap_or(0),
        before_loop,
        rolled_back,
        crashes,
    })
}

/// What must be known before the first process is started. `origin` is
/// [`Origin::Damaged`] if the file was made anew and nothing ran since.
pub(crate) fn boot(conn: &Connection) -> rusqlite::Result<Boot> {
    let last = newest(conn)?;
    let highest = schema::get_meta(conn, META_HIGHEST_INCARNATION)?;
    let highest = highest.and_then(|text| text.parse().ok()).unwrap_or(0);
    let damaged = schema::get_meta(conn, META_DAMAGED)?.is_some();
    let orphan = last
        .as_ref()
        .filter(|row| row.end.is_none() && row.begun.is_some() && !row.damaged)
        .map(|row| row.process.clone());
    let last_end = last.as_ref().and_then(|row| {
        let end = row.end.as_ref()?;
        let class = ExitClass::from_name(&end.class)?;
        Some(LastEnd { class, exit: end.exit, ended: end.ended })
    });
    Ok(Boot {
        last_incarnation: last.as_ref().map_or(0, |row| row.id).max(highest),
        last_end,
        last_release: release(conn, last_begun(conn)?)?,
        restart: restart(conn)?,
        origin: if damaged { Origin::Damaged } else { Origin::Kept },
        meta: settings(conn)?,
        orphan,
    })
}

/// The settings kept by the supervisor, by name.
pub(crate) fn settings(conn: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = conn.prepare("SELECT name, value, sum FROM meta ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if !holds("meta", row, 2) {
            continue; // told by the verification
        }
        let name: String = row.get(0)?;
        if !name.starts_with(META_OWN) {
            found.push((name, row.get(1)?));
        }
    }
    Ok(found)
}

/// The newest incarnation whose start is on record.
pub(crate) fn last_begun(conn: &Connection) -> rusqlite::Result<Incarnation> {
    let sql = "SELECT id FROM incarnations WHERE begin_sum IS NOT NULL ORDER BY id DESC LIMIT 1";
    let id = conn.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(id.map_or(0, unsigned))
}

/// The newest incarnation.
pub(crate) fn newest(conn: &Connection) -> rusqlite::Result<Option<IncarnationRow>> {
    Ok(list(conn, false, None, 1)?.pop())
}

/// Incarnations before that one, newest first.
pub(crate) fn list(
    conn: &Connection,
    crashes_only: bool,
    before: Option<u64>,
    limit: u64,
) -> rusqlite::Result<Vec<IncarnationRow>> {
    let only = if crashes_only { "AND crash = 1" } else { "" };
    let sql = format!(
        "SELECT {BEGIN_COLUMNS}, {END_COLUMNS}, {BESIDE_COLUMNS} FROM incarnations
         WHERE id < ?1 {only} ORDER BY id DESC LIMIT ?2"
    );
    let mut statement = conn.prepare(&sql)?;
    let rows = statement.query_map((before.map_or(i64::MAX, signed), signed(limit)), row_of)?;
    let mut found: Vec<IncarnationRow> = rows.collect::<rusqlite::Result<_>>()?;
    for row in &mut found {
        add_hands(conn, row)?;
    }
    Ok(found)
}

/// One incarnation with its output.
pub(crate) fn one(conn: &Connection, id: u64) -> rusqlite::Result<Option<IncarnationRow>> {
    let sql = format!(
        "SELECT {BEGIN_COLUMNS}, {END_COLUMNS}, {BESIDE_COLUMNS} FROM incarnations WHERE id = ?1"
    );
    let Some(mut row) = conn.query_row(&sql, [signed(id)], row_of).optional()? else {
        return Ok(None);
    };
    let mut statement =
        conn.prepare("SELECT incarnation, content, sum FROM outputs WHERE incarnation = ?1")?;
    let mut rows = statement.query([signed(id)])?;
    if let (Some(end), Some(output)) = (row.end.as_mut(), rows.next()?) {
        row.damaged |= !holds("outputs", output, 2);
        end.output = output.get_ref(1)?.as_bytes().ok().map(<[u8]>::to_vec);
    }
    add_hands(conn, &mut row)?;
    Ok(Some(row))
}

/// The release of an incarnation, if it was of one and is remembered.
pub(crate) fn release(conn: &Connection, id: Incarnation) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT release FROM incarnations WHERE id = ?1")?
        .query_row([signed(id)], |row| Ok(lossy(row, 0)))
        .optional()
        .map(Option::flatten)
}

/// What it had in hand. A reader may meet a file that has no such table.
fn add_hands(conn: &Connection, row: &mut IncarnationRow) -> rusqlite::Result<()> {
    if !schema::has_table(conn, "held")? {
        return Ok(());
    }
    let mut statement =
        conn.prepare_cached("SELECT incarnation, events, sum FROM held WHERE incarnation = ?1")?;
    let mut rows = statement.query([signed(row.id)])?;
    if let Some(held) = rows.next()? {
        row.damaged |= !holds("held", held, 2);
        let hands = hands::from_text(&lossy(held, 1).unwrap_or_default());
        (row.held, row.steps, row.asked_by) = (hands.events, hands.steps, hands.asked_by);
    }
    Ok(())
}

/// Column at which the second half begins.
const END_AT: usize = 10;
/// Column at which begins what other rows say.
const BESIDE_AT: usize = END_AT + 13;

/// Reads a row as far as it can be read: a damaged one is shown as such.
fn row_of(row: &Row<'_>) -> rusqlite::Result<IncarnationRow> {
    let has_end = row.get_ref(END_AT + 11)? != ValueRef::Null;
    let mut damaged = row.get_ref(9)? != ValueRef::Null && !holds("incarnations", row, 9);
    damaged |= has_end && !end_holds(row)?;
    Ok(IncarnationRow {
        id: unsigned(row.get(0)?),
        begun: int(row, 1).map(Wall::from_millis),
        run_id: lossy(row, 2).unwrap_or_default(),
        reason: lossy(row, 3).unwrap_or_default(),
        process: ProcessIdentity {
            pid: small(int(row, 4)),
            session: small(int(row, 5)),
            start_ticks: unsigned(int(row, 6).unwrap_or(0)),
            boot_id: lossy(row, 7).unwrap_or_default(),
        },
        release: lossy(row, 8),
        end: has_end.then(|| ending_of(row)),
        held: Vec::new(),
        steps: Vec::new(),
        asked_by: None,
        pinned: int(row, BESIDE_AT).map(unsigned),
        next_begun: int(row, BESIDE_AT + 1).map(Wall::from_millis),
        damaged,
    })
}

fn small(value: Option<i64>) -> i32 {
    value.and_then(|v| i32::try_from(v).ok()).unwrap_or(0)
}

fn end_holds(row: &Row<'_>) -> rusqlite::Result<bool> {
    let mut sum = Sum::of("incarnations");
    for column in END_AT..END_AT + 11 {
        sum = sum.value(row.get_ref(column)?);
    }
    Ok(int(row, END_AT + 11) == Some(sum.finish()))
}

fn ending_of(row: &Row<'_>) -> IncarnationEnding {
    let number = |column| int(row, END_AT + column);
    let text = |column| lossy(row, END_AT + column).unwrap_or_default();
    let exit = match (number(3), number(4)) {
        (Some(code), _) => Some(Exit::Code(small(Some(code)))),
        (None, Some(signal)) => {
            Some(Exit::Signal { signal: small(Some(signal)), core: number(5) == Some(1) })
        }
        (None, None) => None,
    };
    IncarnationEnding {
        ended: Wall::from_millis(number(1).unwrap_or(0)),
        class: text(2),
        crash: number(12) == Some(1),
        exit,
        summary: text(6),
        uptime: span(number(7).unwrap_or(0)),
        version: unsigned(number(8).unwrap_or(0)),
        backoff: number(9).map(span),
        backoff_why: text(10),
        output: None,
    }
}
