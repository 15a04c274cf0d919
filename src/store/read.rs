//! The command line's read-only view of an agent's database.
//!
//! A connection of its own: it sees what is committed while a writer lives,
//! and works when there is none, also where nothing may be written, and on
//! files of a newer schema. Each call is one short read transaction, and what
//! it gives is whole: printing happens outside, so that a slow pipe does not
//! keep the write-ahead log from being moved into the file.
//!
//! Which versions can be read: those of the checkpoints that are kept, and
//! those of the journal from the first checkpoint it goes back to.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::failure::failure;
use super::home::{Home, HomeError, Kind, kind_of};
use super::ledger::{self, IncarnationRow};
use super::load::{self, LoadError};
use super::past::{Kept, made_at, made_from};
use super::rows::{holds, int, lossy, signed, unsigned};
use super::schema::{self, APPLICATION_ID, META_MIN_WRITER, META_MOVED_TO};
use super::verify::{self, JOURNAL_COLUMNS, PLAUSIBLE_VERSION};
use super::{commit, migrate, ops, retention};
use crate::clock::Wall;
use crate::engines::state::Node;
use crate::supervisor::io::{CheckpointInfo, CheckpointRef, RestartMemory, StoreFailure};

/// A read-only connection.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    home: Home,
}

/// The state at a version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The version.
    pub version: u64,
    /// When it was made; of a version whose change is no longer kept, when
    /// the checkpoint of it was taken; the epoch where nothing ever was written.
    pub updated: Wall,
    /// The state.
    pub root: Node,
}

/// One change, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The version it made.
    pub version: u64,
    /// When.
    pub at: Wall,
    /// Who: `agent`, `operator`, `restore:<checkpoint id>`.
    pub by: String,
    /// `set`, `merge`, `json`, `shallow`, `many`, or what a newer adrt wrote.
    pub format: String,
    /// The change.
    pub patch: String,
    /// Under which incarnation (0: none ran).
    pub incarnation: u64,
    /// Its checksum does not hold: what is shown of it may be wrong.
    pub damaged: bool,
}

/// All that `status` and `list` show of an agent that does not run.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The newest version.
    pub version: u64,
    /// When it was made; none where nothing ever was written.
    pub updated: Option<Wall>,
    /// The newest incarnation.
    pub incarnation: Option<IncarnationRow>,
    /// How many incarnations there were.
    pub incarnations: u64,
    /// How many of those that are remembered were crashes.
    pub crashes: u64,
    /// How many changes the journal keeps.
    pub changes: u64,
    /// How many checkpoints are kept.
    pub checkpoints: u64,
    /// The newest of them.
    pub checkpoint: Option<CheckpointInfo>,
    /// What the restart policy remembers.
    pub restart: RestartMemory,
    /// Bytes of the file, the write-ahead log included.
    pub file_bytes: u64,
    /// Bytes in used pages, which the budget counts.
    pub used_bytes: u64,
    /// The file's schema.
    pub schema: i32,
    /// The oldest schema whose adrt may write it.
    pub min_writer: i32,
    /// Settings kept by the supervisor.
    pub meta: Vec<(String, String)>,
    /// Where it was moved to.
    pub moved_to: Option<String>,
}

/// Why something could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// There is no such agent.
    NoAgent(Home),
    /// The directory.
    Home(HomeError),
    /// The file is a database of another program.
    NotOurs,
    /// That version is not kept.
    NotKept {
        /// The version.
        asked: u64,
        /// The nearest one before it that is.
        nearest_before: Option<u64>,
        /// The nearest one after it that is.
        nearest_after: Option<u64>,
        /// The oldest one that is.
        oldest: u64,
        /// The newest one.
        newest: u64,
    },
    /// No version as old as that is kept.
    NothingBefore {
        /// The time that was asked for.
        asked: Wall,
        /// The oldest version that is kept.
        oldest: u64,
    },
    /// There is no such checkpoint.
    NoCheckpoint(CheckpointRef),
    /// What was asked for is damaged.
    Damaged(String),
    /// The disk refused.
    Failed(StoreFailure),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAgent(home) => write!(f, "there is no agent {:?}", home.agent()),
            Self::Home(error) => error.fmt(f),
            Self::NotOurs => write!(f, "the file is a database of another program"),
            Self::NotKept { asked, oldest, newest, .. } => write!(
                f,
                "version {asked} is not kept; the oldest is {oldest}, the newest {newest}"
            ),
            Self::NothingBefore { oldest, .. } => {
                write!(f, "no version that old is kept; the oldest is {oldest}")
            }
            Self::NoCheckpoint(CheckpointRef::Id(id)) => write!(f, "there is no checkpoint {id}"),
            Self::NoCheckpoint(CheckpointRef::Label(label)) => {
                write!(f, "there is no checkpoint labelled {label:?}")
            }
            Self::Damaged(what) => write!(f, "the database is damaged: {what}"),
            Self::Failed(failure) => write!(f, "the database can't be read: {}", failure.message),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<HomeError> for ReadError {
    fn from(error: HomeError) -> Self {
        Self::Home(error)
    }
}

type Result<T> = std::result::Result<T, ReadError>;

/// Bytes of page cache a reader uses, in KiB as SQLite counts.
const READER_SETTINGS: &str = "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;
     PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA cache_size = -512;
     PRAGMA busy_timeout = 5000; PRAGMA temp_store = MEMORY";

impl Reader {
    /// Opens the agent's database for reading.
    ///
    /// # Errors
    /// [`ReadError::NoAgent`]; the disk's refusal; damage of the header.
    pub fn open(home: &Home) -> Result<Self> {
        Self::open_by(home, |database| {
            connect(database).or_else(|first| match connect_unwritable(database) {
                Some(Ok(conn)) => Ok(conn),
                Some(Err(_)) | None => Err(first),
            })
        })
    }

    /// The same, without so much as an index made beside the database, if
    /// nothing is in its log. What is read is only right if nobody wrote
    /// meanwhile, which is the caller's to find out.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_untouched(home: &Home) -> Result<Self> {
        Self::open_by(home, |database| match connect_unwritable(database) {
            Some(Ok(conn)) => Ok(conn),
            Some(Err(_)) | None => connect(database),
        })
    }

    fn open_by(
        home: &Home,
        connect: impl FnOnce(&Path) -> rusqlite::Result<Connection>,
    ) -> Result<Self> {
        if kind_of(&home.db_dir())? == Kind::Nothing {
            return Err(ReadError::NoAgent(home.clone()));
        }
        let home = home.resolved()?;
        let conn = connect(&home.database()).map_err(|error| told(None, &error))?;
        let identity = migrate::identity(&conn).map_err(|e| told(Some(&conn), &e))?;
        if identity.application != APPLICATION_ID {
            return Err(ReadError::NotOurs);
        }
        Ok(Self { conn, home })
    }

    /// The newest version.
    ///
    /// # Errors
    /// Damage; the disk's refusal.
    pub fn newest(&self) -> Result<Snapshot> {
        self.within(|conn| {
            let list = verify::checkpoints(conn, &mut Vec::new())?;
            made_from(conn, &list, None)
        })
        .and_then(|made| made.ok_or_else(|| ReadError::Damaged(NOTHING_SOUND.to_owned())))
    }

    /// That version.
    ///
    /// # Errors
    /// [`ReadError::NotKept`]; damage; the disk's refusal.
    pub fn at_version(&self, version: u64) -> Result<Snapshot> {
        let made = self.within(|conn| {
            if !Kept::of(conn)?.has(conn, version)? {
                return Ok(None);
            }
            made_from(conn, &load::checkpoints_to(conn, version)?, Some(version))
        })?;
        made.map_or_else(|| Err(self.not_kept(version)), Ok)
    }

    /// The newest version that was there at that time and is kept. Times are
    /// taken to rise with the versions: where a clock was set back, one of the
    /// versions of that time is found.
    ///
    /// # Errors
    /// [`ReadError::NothingBefore`]; damage; the disk's refusal.
    pub fn at_time(&self, time: Wall) -> Result<Snapshot> {
        let (version, oldest) = self.within(|conn| {
            let kept = Kept::of(conn)?;
            Ok((kept.newest_at(conn, time)?, kept.oldest(conn)?))
        })?;
        match version {
            Some(version) => self.at_version(version),
            None => Err(ReadError::NothingBefore { asked: time, oldest }),
        }
    }

    /// A checkpoint and its content.
    ///
    /// # Errors
    /// [`ReadError::NoCheckpoint`]; damage; the disk's refusal.
    pub fn at_checkpoint(&self, which: &CheckpointRef) -> Result<(CheckpointInfo, Snapshot)> {
        let found = self.within(|conn| {
            let Some(info) = ops::find_checkpoint(conn, which)? else { return Ok(None) };
            let root = load::snapshot(conn, &info)?;
            let updated = made_at(conn, info.version)?.unwrap_or(info.created);
            let snapshot = Snapshot { version: info.version, updated, root };
            Ok(Some((info, snapshot)))
        })?;
        found.ok_or_else(|| ReadError::NoCheckpoint(which.clone()))
    }

    /// Changes before that version (all, if none is given), newest first.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn history(&self, before: Option<u64>, limit: u64) -> Result<Vec<Change>> {
        self.within(|conn| {
            let sql = format!(
                "SELECT {JOURNAL_COLUMNS} FROM journal WHERE version < ?1
                 ORDER BY version DESC LIMIT ?2"
            );
            let mut statement = conn.prepare(&sql)?;
            let before = before.map_or(i64::MAX, signed);
            let rows = statement.query_map((before, signed(limit)), change_of)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The checkpoints, newest first.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn checkpoints(&self, limit: Option<u64>) -> Result<Vec<CheckpointInfo>> {
        self.within(|conn| {
            let mut list = verify::checkpoints(conn, &mut Vec::new())?;
            if let Some(limit) = limit {
                list.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            }
            Ok(list)
        })
    }

    /// Incarnations before that one (all, if none is given), newest first,
    /// without their output.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn incarnations(
        &self,
        crashes_only: bool,
        before: Option<u64>,
        limit: u64,
    ) -> Result<Vec<IncarnationRow>> {
        self.within(|conn| Ok(ledger::list(conn, crashes_only, before, limit)?))
    }

    /// The release that an incarnation was of, if it was of one.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn release(&self, incarnation: u64) -> Result<Option<String>> {
        self.within(|conn| Ok(ledger::release(conn, incarnation)?))
    }

    /// One incarnation with its output.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn incarnation(&self, id: u64) -> Result<Option<IncarnationRow>> {
        self.within(|conn| Ok(ledger::one(conn, id)?))
    }

    /// All that is shown of an agent at a glance.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn summary(&self) -> Result<Summary> {
        let mut summary = self.within(summary_of)?;
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
        let database = self.home.database();
        summary.file_bytes = size(&database) + size(&database.with_extension("db-wal"));
        Ok(summary)
    }

    /// Bytes written to the disk in the day before now, as far as it was written
    /// down.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn written_in_a_day(&self, now: Wall) -> Result<u64> {
        let wear = self.within(|conn| Ok(retention::read_wear(conn)?))?;
        Ok(wear.last_day(self.age(now)?))
    }

    /// Looks for damage: SQLite's own check of the whole file, and the
    /// checksums that a restore needs. Empty when nothing was found.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn check(&self) -> Result<Vec<String>> {
        self.within(|conn| {
            let mut statement = conn.prepare("PRAGMA integrity_check(20)")?;
            let said = statement.query_map([], |r| r.get::<_, String>(0))?;
            let mut found: Vec<String> = said.collect::<rusqlite::Result<_>>()?;
            found.retain(|line| line != "ok");
            match verify::content(conn) {
                Ok(verified) => found.extend(verified.warnings),
                Err(verify::Damage::Structure(what)) => found.push(what),
                Err(verify::Damage::Tail { version, last_sound }) => found.push(format!(
                    "the change that made version {version} is damaged or missing; the last \
                     sound version is {last_sound}"
                )),
                Err(verify::Damage::Failed(e)) => return Err(e.into()),
            }
            Ok(found)
        })
    }

    /// Looks for damage as a start of adrt does: of a large file only the tables
    /// that a restore needs are checked. Empty when nothing was found.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn glance(&self) -> Result<Vec<String>> {
        self.within(|conn| match verify::verify(conn) {
            Ok(verified) => Ok(verified.warnings),
            Err(verify::Damage::Structure(what)) => Ok(vec![what]),
            Err(verify::Damage::Tail { version, last_sound }) => Ok(vec![format!(
                "the change that made version {version} is damaged or missing; the last sound \
                 version is {last_sound}"
            )]),
            Err(verify::Damage::Failed(e)) => Err(e.into()),
        })
    }

    /// A number that is another whenever somebody has committed something
    /// since it was asked for last.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn data_version(&self) -> Result<i64> {
        self.conn
            .query_row("PRAGMA data_version", [], |row| row.get(0))
            .map_err(|error| told(Some(&self.conn), &error))
    }

    /// The connection, for a backup.
    pub(crate) const fn connection(&self) -> &Connection {
        &self.conn
    }

    /// Runs a read in one transaction, so that all of it sees one moment.
    pub(super) fn within<T>(
        &self,
        read: impl FnOnce(&Connection) -> std::result::Result<T, LoadError>,
    ) -> Result<T> {
        let sql = |e: rusqlite::Error| told(Some(&self.conn), &e);
        self.conn.execute_batch("BEGIN").map_err(sql)?;
        let result = read(&self.conn);
        // There is nothing to commit, and no error to this but one that the
        // next read will have too.
        let _ = self.conn.execute_batch("ROLLBACK");
        result.map_err(|e| match e {
            LoadError::Damaged(what) => ReadError::Damaged(what),
            LoadError::Sql(e) => told(Some(&self.conn), &e),
        })
    }

    fn not_kept(&self, asked: u64) -> ReadError {
        let found = self.within(|conn| {
            let kept = Kept::of(conn)?;
            Ok(ReadError::NotKept {
                asked,
                nearest_before: kept.before(conn, asked)?,
                nearest_after: kept.after(conn, asked)?,
                oldest: kept.oldest(conn)?,
                newest: kept.before(conn, PLAUSIBLE_VERSION)?.unwrap_or(0),
            })
        });
        found.unwrap_or_else(|error| error)
    }
}

const NOTHING_SOUND: &str = "no sound checkpoint is left, and the journal does not go back to the \
                             beginning";

fn connect(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    settled(Connection::open_with_flags(database, flags)?)
}

fn settled(conn: Connection) -> rusqlite::Result<Connection> {
    conn.execute_batch(READER_SETTINGS)?;
    // The first look at the file: it shows whether it can be read at all.
    migrate::identity(&conn)?;
    Ok(conn)
}

/// Where not even the index of the log can be made (a read-only file system):
/// the file alone is read, if there is nothing in the log.
fn connect_unwritable(database: &Path) -> Option<rusqlite::Result<Connection>> {
    let log = database.with_extension("db-wal");
    if std::fs::metadata(&log).is_ok_and(|meta| meta.len() > 0) {
        return None;
    }
    let mut uri = "file:".to_owned();
    for byte in database.to_str()?.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Some(Connection::open_with_flags(uri, flags).and_then(settled))
}

fn told(conn: Option<&Connection>, error: &rusqlite::Error) -> ReadError {
    let failure = failure(conn, 0, error);
    if failure.kind == crate::supervisor::io::StoreFailureKind::Damaged {
        return ReadError::Damaged(failure.message);
    }
    ReadError::Failed(failure)
}

fn change_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Change> {
    let damaged = !holds("journal", row, 7);
    let text = |column| lossy(row, column).unwrap_or_default();
    Ok(Change {
        version: unsigned(row.get(0)?),
        at: Wall::from_millis(int(row, 2).unwrap_or(0)),
        by: text(4),
        format: text(3),
        patch: text(6),
        incarnation: unsigned(int(row, 5).unwrap_or(0)),
        damaged,
    })
}

fn summary_of(conn: &Connection) -> std::result::Result<Summary, LoadError> {
    let count = |sql: &str| conn.query_row(sql, [], |r| r.get::<_, i64>(0)).map(unsigned);
    let list = verify::checkpoints(conn, &mut Vec::new())?;
    let in_journal: Option<i64> =
        conn.query_row("SELECT max(version) FROM journal", [], |r| r.get(0))?;
    let in_checkpoints = list.iter().map(|c| c.version).max();
    let version = in_journal.map(unsigned).into_iter().chain(in_checkpoints).max();
    let updated = match version {
        Some(version) => made_at(conn, version)?
            .or_else(|| list.iter().find(|c| c.version == version).map(|c| c.created)),
        None => None,
    };
    let boot = ledger::boot(conn)?;
    let identity = migrate::identity(conn)?;
    let min_writer = schema::get_meta(conn, META_MIN_WRITER)?.and_then(|text| text.parse().ok());
    Ok(Summary {
        version: version.unwrap_or(0),
        updated,
        incarnation: ledger::newest(conn)?,
        incarnations: boot.last_incarnation,
        crashes: count("SELECT count(*) FROM incarnations WHERE crash = 1")?,
        changes: changes(conn)?,
        checkpoints: list.len() as u64,
        checkpoint: list.into_iter().next(),
        restart: boot.restart,
        file_bytes: 0,
        used_bytes: commit::used_bytes(conn)?,
        schema: identity.schema,
        min_writer: min_writer.unwrap_or(identity.schema),
        meta: boot.meta,
        moved_to: schema::get_meta(conn, META_MOVED_TO)?,
    })
}

/// How many changes are kept, from the ends of the journal: counting rows
/// would cost more the longer it is.
fn changes(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_row(
        "SELECT coalesce((SELECT max(version) FROM journal) - (SELECT min(version) FROM journal) + 1,
             0)",
        [],
        |r| r.get(0),
    )
    .map(unsigned)
}
