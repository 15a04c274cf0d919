//! What is kept, and what is let go.
//!
//! Checkpoints: the newest 5, the last of each hour for a day, the last of
//! each day for a week, those with labels (100 at most), and one pinned at
//! each of the last 10 crashes. The journal: back to the oldest of the newest
//! 5 checkpoints, so that one damaged checkpoint, or four, cost nothing.
//!
//! "An hour", "a day" are of adrt's own count of time ([`AgeClock`]): a clock
//! that jumps by years at its first NTP answer lets nothing go.
//!
//! Events and what else belongs to work: [`work`]; decisions: [`decisions`].
//!
//! Past the file's budget history goes first, in this order: decisions, acked
//! events, old outputs of the ledger, checkpoints without labels and the journal before them down to
//! two checkpoints, labelled ones. If that is not enough, the supervisor
//! refuses writes; the store itself refuses none.

pub(crate) mod decisions;
pub(crate) mod mark;
pub(crate) mod work;

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::commit::{Tallies, used_bytes};
use super::load::KEYS_KEPT;
use super::rows::{Sum, holds, signed, unsigned};
use super::schema::{self, META_AGE, META_WEAR};
use super::verify::CHECKPOINT_COLUMNS;
use crate::clock::{Age, Wall};
use crate::supervisor::io::Wear;

/// The newest checkpoints that are always kept; the journal goes back to the
/// oldest of them.
pub const NEWEST_KEPT: usize = 5;
/// For so long, one an hour is kept.
const HOURLY_FOR: i64 = 24;
/// For so long, one a day is kept.
const DAILY_FOR: i64 = 7;
/// Checkpoints with labels that are kept.
pub const LABELLED_KEPT: usize = 100;
/// Crashes that a checkpoint is pinned for.
pub const PINS_KEPT: u64 = 10;
/// Rows deleted in one transaction, so that nobody waits long for it.
pub const DELETES_MAX: u64 = 1000;
/// Checkpoints that not even the budget sheds.
const SHED_DOWN_TO: usize = 2;
/// Decisions or events that the budget sheds before it looks again at what is
/// used.
const SHED_STEP: u64 = 100;
/// Outputs of the ledger that the budget leaves.
const OUTPUTS_SHED_TO: u64 = 10;
/// How long keys are remembered.
pub const KEYS_KEPT_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Keys above [`KEYS_KEPT`] that may gather before they are deleted together.
const KEYS_SLACK: u64 = 256;

/// A table of what is remembered for a while: numbered without gaps, in the
/// order of age.
struct Remembered {
    table: &'static str,
    /// In the order of the checksum, the sum last; the number first.
    columns: &'static str,
    summed: usize,
    /// Which of them is the age.
    age_at: usize,
}

const KEYS: Remembered = Remembered {
    table: "keys",
    columns: "id, key, request, at, age, result, sum",
    summed: 6,
    age_at: 4,
};
const EVENT_IDS: Remembered =
    Remembered { table: "event_ids", columns: "id, hash, seq, age, sum", summed: 4, age_at: 3 };

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A span in milliseconds.
pub(crate) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// How long the count of time may go on without being written down: so much
/// of it a power cut takes back.
const NOTE_EVERY_MS: i64 = 60_000;

/// adrt's own count of time, as the supervisor gives it with each unit, and
/// when it was last written down. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AgeClock {
    counted: i64,
    /// The wall clock of the last unit; none before the first.
    wall: Option<i64>,
    /// The count that was written last since the file was opened.
    noted: Option<i64>,
}

impl AgeClock {
    /// From the file.
    pub(crate) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let text = schema::get_meta(conn, META_AGE)?.unwrap_or_default();
        let mut words = text.split(' ').map(str::parse);
        Ok(match (words.next(), words.next()) {
            (Some(Ok(counted)), Some(Ok(wall))) => Self { counted, wall: Some(wall), noted: None },
            // Lost: nothing gets older than the newest checkpoint says.
            _ => {
                let newest = scan(conn)?.0.first().map(|entry| entry.age);
                Self { counted: newest.unwrap_or(0), ..Self::default() }
            }
        })
    }

    /// A unit of that age comes, the wall clock being at that.
    pub(crate) fn advance(&mut self, age: Age, wall: Wall) {
        self.counted = self.counted.max(signed(age.millis()));
        self.wall = Some(wall.millis());
    }

    /// Milliseconds counted.
    pub(crate) const fn millis(self) -> i64 {
        self.counted
    }

    /// The count, and the wall clock that goes with it.
    pub(crate) fn stand(self) -> (Age, Option<Wall>) {
        (Age::from_millis(unsigned(self.counted)), self.wall.map(Wall::from_millis))
    }

    /// Whether it is to be written down: at the first write after opening,
    /// from when on the time counts however this run ends, and then now and
    /// then.
    pub(crate) fn is_due(self) -> bool {
        self.noted.is_none_or(|noted| self.counted - noted >= NOTE_EVERY_MS)
    }

    /// For the file.
    fn note(&mut self) -> String {
        self.noted = Some(self.counted);
        format!("{} {}", self.counted, self.wall.unwrap_or(0))
    }
}

/// Writes adrt's own count of time, with the wall clock, and what was written
/// by then.
pub(crate) fn note_time(conn: &Connection, tallies: &mut Tallies) -> rusqlite::Result<()> {
    schema::put_meta(conn, META_AGE, &tallies.age.note())?;
    schema::put_meta(conn, META_WEAR, &tallies.wear.to_string())
}

/// What was written in the last day; nothing where that is not known.
pub(crate) fn read_wear(conn: &Connection) -> rusqlite::Result<Wear> {
    let text = schema::get_meta(conn, META_WEAR)?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// What retention looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    id: i64,
    version: i64,
    age: i64,
    labelled: bool,
}

/// All sound checkpoints, newest first. A row that is damaged is of no use to
/// anybody, and nothing may be let go for what it says: it goes itself.
fn entries(conn: &Connection) -> rusqlite::Result<Vec<Entry>> {
    let (sound, damaged) = scan(conn)?;
    for id in damaged {
        delete_checkpoint(conn, id)?;
    }
    Ok(sound)
}

/// Sound checkpoints, and the numbers of damaged ones, newest first.
fn scan(conn: &Connection) -> rusqlite::Result<(Vec<Entry>, Vec<i64>)> {
    let sql = format!("SELECT {CHECKPOINT_COLUMNS} FROM checkpoints ORDER BY id DESC");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let (mut sound, mut damaged) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        if holds("checkpoints", row, 9) {
            let labelled = row.get_ref(4)? != ValueRef::Null;
            sound.push(Entry { id, version: row.get(1)?, age: row.get(3)?, labelled });
        } else {
            damaged.push(id);
        }
    }
    Ok((sound, damaged))
}

fn pinned(conn: &Connection) -> rusqlite::Result<BTreeSet<i64>> {
    let mut statement =
        conn.prepare_cached("SELECT incarnation, checkpoint, sum FROM pins ORDER BY incarnation")?;
    let mut rows = statement.query([])?;
    let mut found = BTreeSet::new();
    while let Some(row) = rows.next()? {
        if holds("pins", row, 2) {
            found.insert(row.get(1)?);
        }
    }
    Ok(found)
}

/// Which of `list` (newest first) stay, by number.
fn kept(list: &[Entry], pinned: &BTreeSet<i64>, now: i64) -> BTreeSet<i64> {
    let mut keep: BTreeSet<i64> = list.iter().take(NEWEST_KEPT).map(|e| e.id).collect();
    // The last of each hour and day, counted from the beginning of time, so
    // that what is the last of its hour once remains so.
    for (length, lasts) in [(HOUR_MS, HOURLY_FOR), (DAY_MS, DAILY_FOR)] {
        let current = now / length;
        let mut seen = BTreeSet::new();
        let recent = list.iter().filter(|e| e.age / length > current - lasts);
        keep.extend(recent.filter(|e| seen.insert(e.age / length)).map(|e| e.id));
    }
    keep.extend(list.iter().filter(|e| e.labelled).take(LABELLED_KEPT).map(|e| e.id));
    keep.extend(list.iter().map(|e| e.id).filter(|id| pinned.contains(id)));
    keep
}

/// Keeps a checkpoint for a crash's sake, and lets go of the oldest such.
pub(crate) fn pin(conn: &Connection, checkpoint: u64, incarnation: u64) -> rusqlite::Result<()> {
    let (checkpoint, incarnation) = (signed(checkpoint), signed(incarnation));
    let sum = Sum::of("pins").int(incarnation).int(checkpoint).finish();
    conn.prepare_cached(
        "INSERT OR REPLACE INTO pins (incarnation, checkpoint, sum) VALUES (?1, ?2, ?3)",
    )?
    .execute((incarnation, checkpoint, sum))?;
    conn.prepare_cached(
        "DELETE FROM pins WHERE incarnation NOT IN
             (SELECT incarnation FROM pins ORDER BY incarnation DESC LIMIT ?1)",
    )?
    .execute([signed(PINS_KEPT)])
    .map(drop)
}

/// Lets go of what a new checkpoint made old.
pub(crate) fn after_checkpoint(conn: &Connection, tallies: &mut Tallies) -> rusqlite::Result<()> {
    let list = entries(conn)?;
    let keep = kept(&list, &pinned(conn)?, tallies.age.millis());
    let old = list.iter().rev().filter(|e| !keep.contains(&e.id));
    for entry in old.take(usize::try_from(DELETES_MAX / 2).unwrap_or(usize::MAX)) {
        delete_checkpoint(conn, entry.id)?;
    }
    // With fewer than five the journal goes back to its beginning.
    if let Some(oldest) = list.get(NEWEST_KEPT - 1) {
        tallies.cut_to = Some(unsigned(oldest.version));
    }
    age_keys(conn, tallies)
}

fn delete_checkpoint(conn: &Connection, id: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM snapshots WHERE id = ?1")?.execute([id])?;
    conn.prepare_cached("DELETE FROM checkpoints WHERE id = ?1")?.execute([id]).map(drop)
}

/// Deletes up to `most` changes that are no longer needed. How many it were.
pub(crate) fn cut_step(
    conn: &Connection,
    tallies: &mut Tallies,
    most: u64,
) -> rusqlite::Result<u64> {
    let Some(to) = tallies.cut_to.map(signed) else { return Ok(0) };
    let first: Option<i64> =
        conn.prepare_cached("SELECT min(version) FROM journal")?.query_row([], |r| r.get(0))?;
    let Some(first) = first.filter(|first| *first <= to) else {
        tallies.cut_to = None;
        return Ok(0);
    };
    // Versions run without gaps but after damage; a gap only makes a step shorter.
    let step_to = to.min(first.saturating_add(signed(most) - 1));
    if step_to == to {
        tallies.cut_to = None;
    }
    cut(conn, step_to)
}

fn cut(conn: &Connection, to: i64) -> rusqlite::Result<u64> {
    let deleted = conn.prepare_cached("DELETE FROM journal WHERE version <= ?1")?.execute([to])?;
    Ok(deleted as u64)
}

/// Deletes keys and ids of events above their number, some at a time.
pub(crate) fn cut_keys(conn: &Connection, tallies: &mut Tallies) -> rusqlite::Result<()> {
    let Tallies { first_key, next_key, first_event_id, next_event_id, .. } = tallies;
    KEYS.cut(conn, first_key, *next_key)?;
    EVENT_IDS.cut(conn, first_event_id, *next_event_id)
}

/// Deletes keys and ids of events past their age.
fn age_keys(conn: &Connection, tallies: &mut Tallies) -> rusqlite::Result<()> {
    let oldest = tallies.age.millis().saturating_sub(millis(KEYS_KEPT_AGE));
    let Tallies { first_key, next_key, first_event_id, next_event_id, .. } = tallies;
    KEYS.age(conn, first_key, *next_key, oldest)?;
    EVENT_IDS.age(conn, first_event_id, *next_event_id, oldest)
}

impl Remembered {
    fn cut(&self, conn: &Connection, first: &mut u64, next: u64) -> rusqlite::Result<()> {
        if next.saturating_sub(*first) < KEYS_KEPT + KEYS_SLACK {
            return Ok(());
        }
        self.delete_before(conn, first, next, (next - KEYS_KEPT).min(*first + DELETES_MAX))
    }

    fn age(
        &self,
        conn: &Connection,
        first: &mut u64,
        next: u64,
        oldest: i64,
    ) -> rusqlite::Result<()> {
        let after_old = {
            let Self { table, columns, .. } = self;
            let sql = format!("SELECT {columns} FROM {table} ORDER BY id LIMIT ?1");
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query([signed(DELETES_MAX)])?;
            let mut after_old = None;
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                let sound = holds(table, row, self.summed);
                if !sound || row.get::<_, i64>(self.age_at)? >= oldest {
                    break;
                }
                after_old = Some(id + 1);
            }
            after_old
        };
        match after_old {
            Some(to) => self.delete_before(conn, first, next, unsigned(to)),
            None => Ok(()),
        }
    }

    fn delete_before(
        &self,
        conn: &Connection,
        first: &mut u64,
        next: u64,
        to: u64,
    ) -> rusqlite::Result<()> {
        // The last one always stays: its number tells the next one's.
        let to = to.min(next.saturating_sub(1));
        let sql = format!("DELETE FROM {} WHERE id < ?1", self.table);
        conn.prepare_cached(&sql)?.execute([signed(to)])?;
        *first = (*first).max(to);
        Ok(())
    }
}

/// What every transaction lets go, and now and then what the passing of time
/// makes old. At most [`DELETES_MAX`] changes, decisions and events.
pub(crate) fn after_units(conn: &Connection, tallies: &mut Tallies) -> rusqlite::Result<()> {
    if tallies.age.is_due() {
        note_time(conn, tallies)?;
        age_keys(conn, tallies)?;
        work::settled_reviews(conn)?;
    }
    go_on(conn, tallies)
}

/// A step of what is let go in steps.
pub(crate) fn go_on(conn: &Connection, tallies: &mut Tallies) -> rusqlite::Result<()> {
    let mut room = DELETES_MAX;
    room -= cut_step(conn, tallies, room)?.min(room);
    room -= decisions::pass(conn, tallies, room)?;
    work::pass(conn, tallies, room)
}

/// Whether there is more to let go at once.
pub(crate) const fn has_more(tallies: &Tallies) -> bool {
    tallies.cut_to.is_some() || tallies.decisions.more || tallies.events.more
}

/// `checkpoints prune`: all in one transaction, since somebody waits for the
/// count. Returns checkpoints and changes deleted.
pub(crate) fn prune(conn: &Connection, keep: u64, all: bool) -> rusqlite::Result<(u64, u64)> {
    let list = entries(conn)?;
    let keep = usize::try_from(keep.max(1)).unwrap_or(usize::MAX);
    let pinned = pinned(conn)?;
    let mut deleted = 0;
    for entry in list.iter().skip(keep) {
        if all || !(entry.labelled || pinned.contains(&entry.id)) {
            delete_checkpoint(conn, entry.id)?;
            deleted += 1;
        }
    }
    conn.execute("DELETE FROM pins WHERE checkpoint NOT IN (SELECT id FROM checkpoints)", [])?;
    let floor = keep.min(NEWEST_KEPT).min(list.len());
    let cut_to = floor.checked_sub(1).and_then(|at| list.get(at));
    let versions = cut_to.map_or(Ok(0), |oldest| cut(conn, oldest.version))?;
    Ok((deleted, versions))
}

/// Sheds history while used pages are past the budget. Returns what is used.
pub(crate) fn hold_budget(
    conn: &Connection,
    tallies: &mut Tallies,
    max_db: u64,
) -> rusqlite::Result<u64> {
    let mut used = used_bytes(conn)?;
    if used > max_db {
        let mut steps = DELETES_MAX / SHED_STEP;
        used = decisions::shed(conn, tallies, max_db, &mut steps)?;
        if used > max_db {
            used = work::shed(conn, tallies, max_db, steps)?;
        }
    }
    if used <= max_db || tallies.shed_all {
        return Ok(used);
    }
    shed_outputs(conn)?;
    used = used_bytes(conn)?;
    let mut room = DELETES_MAX;
    while used > max_db && room > 0 {
        let list = entries(conn)?;
        let Some(victim) = next_to_shed(&list) else {
            tallies.shed_all = true;
            break;
        };
        delete_checkpoint(conn, victim)?;
        room -= 1;
        if let Some(oldest) = entries(conn)?.iter().take(NEWEST_KEPT).next_back() {
            let to = unsigned(oldest.version);
            tallies.cut_to = Some(tallies.cut_to.map_or(to, |before| before.max(to)));
            room -= cut_step(conn, tallies, room)?;
        }
        used = used_bytes(conn)?;
    }
    Ok(used)
}

/// The oldest checkpoint without a label, else the oldest with one; the
/// newest two stay.
fn next_to_shed(list: &[Entry]) -> Option<i64> {
    let old = list.get(SHED_DOWN_TO..)?;
    let plain = old.iter().rev().find(|e| !e.labelled);
    plain.or_else(|| old.last()).map(|e| e.id)
}

fn shed_outputs(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute(
        "DELETE FROM outputs WHERE incarnation <=
             (SELECT max(incarnation) FROM outputs) - ?1",
        [signed(OUTPUTS_SHED_TO)],
    )
    .map(drop)
}

#[cfg(test)]
mod tests;
