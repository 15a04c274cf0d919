//! Units into one transaction.
//!
//! ```text
//! BEGIN IMMEDIATE -> every op in order -> retention, budget -> COMMIT
//!        |                  |                    |               |
//!        +------------------+---------+----------+               |
//!                                     v                          v
//!                          rolled back: not applied     outcome unknown,
//!                                                       but for a refused write
//! ```
//!
//! SQLite writes pages at COMMIT for the most part, so that is where a full
//! disk shows. A write that was refused for want of space left the frame that
//! marks the commit unwritten, or torn: that transaction is not there, and is
//! told as not applied. Only an error of a sync, or of a kind that leaves it
//! open whether the bytes arrived, is an unknown outcome.

use std::time::Duration;

use rusqlite::{Connection, ffi};

use super::failure::{code_of, failure, kind_of, system_errno};
use super::ledger;
use super::load;
use super::open::Store;
use super::ops::{Applier, Journal};
use super::retention::mark::Mark;
use super::retention::{self, AgeClock};
use super::rows::unsigned;
use super::schema::{self, PAGE_SIZE};
use super::verify::Verified;
use super::work;
use crate::supervisor::io::{Committed, Op, Receipt, StoreFailure, StoreFailureKind, Unit, Wear};

/// Bytes of a frame of the WAL: a page, and what stands before it.
const FRAME_SIZE: u64 = PAGE_SIZE + 24;
/// Pages in the WAL at which its content is moved into the file.
pub(crate) const WAL_MOVE_PAGES: u64 = 1000;
/// Free pages that are kept for the next writes, of as many as there are used.
const FREE_PAGES_KEPT: u64 = 256;
/// How long a reader is waited for when the WAL is to be emptied.
const SCRUB_PATIENCE: Duration = Duration::from_millis(200);
/// Pages given back to the file system in one go.
const VACUUM_STEP_PAGES: u64 = 256;

/// What the writer knows without asking the file. Taken back with the
/// transaction when it fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tallies {
    /// The newest version written.
    pub version: u64,
    /// Number of the first remembered key, and of the next.
    pub first_key: u64,
    pub next_key: u64,
    /// The same for remembered ids of events.
    pub first_event_id: u64,
    pub next_event_id: u64,
    /// adrt's own count of time.
    pub age: AgeClock,
    /// What was written to the disk in the last day.
    pub wear: Wear,
    /// How far old events are let go.
    pub events: Mark,
    /// How far old decisions are.
    pub decisions: Mark,
    /// The journal may be cut up to this version, a step at a time.
    pub cut_to: Option<u64>,
    /// Nothing more can be shed until there is another checkpoint.
    pub shed_all: bool,
    /// How often the file was reopened.
    pub fences: u64,
    /// Pages in the WAL that are not in the file yet, at most.
    pub wal_pages: u64,
    /// Bytes written between transactions, in moving the WAL into the file and
    /// in letting go, and not told yet.
    pub untold_bytes: u64,
    /// What is still to be done for [`Op::Forget`].
    pub scrub: Scrub,
}

/// How far the traces of what was forgotten are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Scrub {
    /// There are none.
    #[default]
    Done,
    /// The file has to be rewritten.
    Rewrite,
    /// The old pages are in the WAL.
    EmptyWal,
}

impl Tallies {
    pub(crate) fn read(conn: &Connection, verified: &Verified) -> rusqlite::Result<Self> {
        let (first_key, last_key) = load::key_range(conn)?;
        let (first_event_id, last_event_id) = work::event_id_range(conn)?;
        Ok(Self {
            version: verified.version,
            first_key,
            next_key: last_key + 1,
            first_event_id,
            next_event_id: last_event_id + 1,
            age: AgeClock::read(conn)?,
            wear: retention::read_wear(conn)?,
            events: Mark::read(conn, "SELECT max(seq) FROM inbox")?,
            decisions: Mark::read(conn, "SELECT max(id) FROM decisions")?,
            // The WAL is moved soon after opening, whatever is in it.
            wal_pages: WAL_MOVE_PAGES,
            scrub: match schema::get_meta(conn, schema::META_SCRUB)? {
                Some(_) => Scrub::Rewrite,
                None => Scrub::Done,
            },
            ..Self::default()
        })
    }
}

/// An error, and whether it came from COMMIT itself.
struct Trouble {
    error: rusqlite::Error,
    at_commit: bool,
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self { error, at_commit: false }
    }
}

impl Store {
    /// Writes units, all in one transaction, and returns when it is on the
    /// disk. They are of one epoch.
    ///
    /// # Errors
    /// Nothing of them is there then, unless `outcome_unknown`: then the store
    /// is closed until [`Store::reopen`].
    pub fn commit(&mut self, units: &[Unit]) -> Result<Committed, StoreFailure> {
        let epoch = units.first().map_or(0, |unit| unit.epoch);
        if self.conn.is_none() {
            let again = self.connection().err();
            if let Some(failure) = again {
                return Err(StoreFailure { epoch, ..failure });
            }
        }
        let before = self.tallies.clone();
        self.stale = true;
        match self.transact(units) {
            Ok(committed) => {
                self.scrub_if_due();
                Ok(committed)
            }
            Err(trouble) => {
                self.tallies = before;
                Err(self.after_failure(epoch, &trouble))
            }
        }
    }

    fn transact(&mut self, units: &[Unit]) -> Result<Committed, Trouble> {
        let Self { conn, tallies, options, reserve, home, .. } = self;
        let conn = conn.as_ref().ok_or(rusqlite::Error::InvalidQuery)?;
        let thorough = units.iter().flat_map(|u| &u.ops).any(|op| matches!(op, Op::Forget { .. }));
        if thorough {
            conn.execute_batch("PRAGMA secure_delete = ON")?;
        }
        let pages_before = pages_written(conn);
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut receipts = Vec::with_capacity(units.len());
        let mut checkpoints = false;
        let mut journal = Journal::new(conn);
        for unit in units {
            tallies.age.advance(unit.age, unit.at);
            let mut applier = Applier::new(&mut journal, tallies, reserve, home, unit);
            for op in &unit.ops {
                checkpoints |= matches!(op, Op::Checkpoint(_));
                applier.apply(op)?;
            }
            let answers = applier.finish()?;
            receipts.push(Receipt { unit: unit.id, answers });
        }
        if checkpoints {
            retention::after_checkpoint(conn, tallies)?;
        }
        retention::after_units(conn, tallies)?;
        let used_bytes = retention::hold_budget(conn, tallies, options.max_db)?;
        let committed = conn.prepare_cached("COMMIT")?.execute([]);
        committed.map_err(|error| Trouble { error, at_commit: true })?;
        let pages = pages_written(conn).saturating_sub(pages_before);
        tallies.wal_pages += pages;
        if thorough {
            conn.execute_batch("PRAGMA secure_delete = FAST")?;
        }
        let untold = std::mem::take(&mut tallies.untold_bytes);
        let written_bytes = pages * FRAME_SIZE + untold;
        tallies.wear.add(tallies.age.stand().0, written_bytes);
        Ok(Committed { receipts, used_bytes, written_bytes })
    }

    /// Brings the connection back to where it was, or gives it up, and says
    /// what happened.
    fn after_failure(&mut self, epoch: u32, trouble: &Trouble) -> StoreFailure {
        let Some(conn) = self.conn.as_ref() else {
            return failure(None, epoch, &trouble.error);
        };
        let mut told = failure(Some(conn), epoch, &trouble.error);
        told.outcome_unknown = trouble.at_commit && !was_refused(conn, &trouble.error);
        let open = !conn.is_autocommit();
        if open && conn.execute_batch("ROLLBACK").is_err() {
            // Without a commit frame nothing of it counts; the connection is
            // of no use any more, and is made anew.
            self.abandon();
            if !told.outcome_unknown {
                told.outcome_unknown = self.reopen().is_err();
            }
        } else if told.outcome_unknown {
            self.abandon();
        }
        if told.kind == StoreFailureKind::Full {
            told.reserve_freed = self.reserve.give_up();
        }
        told
    }

    /// What can wait until nobody waits for the writer: moving the WAL into
    /// the file, letting old changes and events go, giving pages back. One step
    /// of each.
    /// Returns whether there is more to do.
    ///
    /// Failures are not told: nothing was promised, the WAL keeps what it
    /// has, and the next write will meet the same trouble.
    pub fn maintain(&mut self) -> bool {
        let moved = self.move_wal(false);
        let Some(conn) = self.conn.as_ref() else { return false };
        let before = pages_written(conn);
        let kept = self.tallies.clone();
        if retention::has_more(&self.tallies) && let_go_alone(conn, &mut self.tallies).is_err() {
            self.tallies = kept;
            if !conn.is_autocommit() {
                // As above: what is not rolled back ends with the connection.
                let _ = conn.execute_batch("ROLLBACK");
            }
            return false;
        }
        let shrunk = give_back(conn).unwrap_or(false);
        let pages = pages_written(conn).saturating_sub(before);
        self.tallies.wal_pages += pages;
        self.tallies.untold_bytes += pages * FRAME_SIZE;
        self.scrub_if_due();
        moved && (shrunk || retention::has_more(&self.tallies))
    }

    /// Moves the WAL into the file if enough is in it. False if that failed.
    pub(crate) fn move_wal(&mut self, now: bool) -> bool {
        let Some(conn) = self.conn.as_ref() else { return false };
        if self.options.ephemeral || (!now && self.tallies.wal_pages < self.options.wal_move_pages)
        {
            return true;
        }
        // PASSIVE: it waits for no reader; what one of them holds back is
        // moved the next time. The WAL is then written again from its start.
        let done: rusqlite::Result<(i64, i64)> =
            conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |r| Ok((r.get(1)?, r.get(2)?)));
        if let Ok((in_wal, moved)) = done {
            self.tallies.wal_pages = unsigned(in_wal - moved);
            self.tallies.untold_bytes += unsigned(moved) * PAGE_SIZE;
        }
        done.is_ok()
    }

    /// After [`Op::Forget`]: the file is rewritten, so that nothing of what was
    /// deleted stays in unused parts of pages, and the WAL emptied. What can't
    /// be done now (a reader may still need the old content) is tried again
    /// later, and at the next opening.
    fn scrub_if_due(&mut self) {
        let Some(conn) = self.conn.as_ref() else { return };
        if self.tallies.scrub == Scrub::Rewrite && conn.execute_batch("VACUUM").is_ok() {
            self.tallies.scrub = Scrub::EmptyWal;
        }
        if self.tallies.scrub == Scrub::EmptyWal
            && (self.options.ephemeral || empty_wal(conn).unwrap_or(false))
            && schema::drop_meta(conn, schema::META_SCRUB).is_ok()
        {
            self.tallies.scrub = Scrub::Done;
            self.tallies.wal_pages = 0;
        }
    }
}

/// Moves all of the WAL into the file and cuts it to nothing. False if a
/// reader is in the way; it is not waited for long, since the agent waits too.
fn empty_wal(conn: &Connection) -> rusqlite::Result<bool> {
    conn.busy_timeout(SCRUB_PATIENCE)?;
    let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy = conn.query_row(truncate, [], |r| r.get::<_, i64>(0));
    conn.busy_timeout(super::settings::BUSY_TIMEOUT)?;
    Ok(busy? == 0)
}

/// Whether an error of COMMIT says that a write was refused for want of
/// space: then the frame that would commit is not there, or not whole.
fn was_refused(conn: &Connection, error: &rusqlite::Error) -> bool {
    let code = code_of(error);
    match code & 0xff {
        ffi::SQLITE_FULL => true,
        // Somebody else is in the file: nothing was written yet.
        ffi::SQLITE_BUSY => !conn.is_autocommit(),
        ffi::SQLITE_IOERR if code == ffi::SQLITE_IOERR_WRITE => {
            kind_of(code, system_errno(conn)) == StoreFailureKind::Full
        }
        _ => false,
    }
}

/// A step of letting go, in a transaction of its own.
fn let_go_alone(conn: &Connection, tallies: &mut Tallies) -> rusqlite::Result<()> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    retention::go_on(conn, tallies)?;
    conn.prepare_cached("COMMIT")?.execute([]).map(drop)
}

/// Gives free pages back to the file system, a step at a time, when there are
/// many. True if there are more.
fn give_back(conn: &Connection) -> rusqlite::Result<bool> {
    let free = count(conn, "PRAGMA freelist_count")?;
    let pages = count(conn, "PRAGMA page_count")?;
    let kept = FREE_PAGES_KEPT.max(pages / 4);
    if free <= kept {
        return Ok(false);
    }
    let step = VACUUM_STEP_PAGES.min(free - kept);
    conn.execute_batch(&format!("PRAGMA incremental_vacuum({step})"))?;
    Ok(free - kept > step)
}

fn count(conn: &Connection, sql: &str) -> rusqlite::Result<u64> {
    conn.prepare_cached(sql)?.query_row([], |r| r.get(0)).map(unsigned)
}

/// Bytes in used pages of the file.
pub(crate) fn used_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let pages = count(conn, "PRAGMA page_count")?;
    Ok(pages.saturating_sub(count(conn, "PRAGMA freelist_count")?) * PAGE_SIZE)
}

/// Pages this connection has written, to the WAL for the most part.
fn pages_written(conn: &Connection) -> u64 {
    let (mut now, mut high) = (0, 0);
    // SAFETY: the handle belongs to an open connection that outlives the call
    // and is used by no other thread; both results are our own variables.
    let code = unsafe {
        ffi::sqlite3_db_status(
            conn.handle(),
            ffi::SQLITE_DBSTATUS_CACHE_WRITE,
            &raw mut now,
            &raw mut high,
            0,
        )
    };
    if code == ffi::SQLITE_OK { u64::try_from(now).unwrap_or(0) } else { 0 }
}

/// The ledger's two writes, with the count of time.
pub(crate) use ledger::{begin, end};
