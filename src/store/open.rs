//! Opening an agent's database: everything that must be known before its
//! first process is started.
//!
//! ```text
//! links and modes -> finish or begin the making of db/ -> the WAL's own sums
//!   -> header, settings read back, migration -> structure, checksums -> Boot
//! ```
//!
//! Damage found on the way is answered by [`OnDamage`], and only damage is: a
//! file that could not be read for want of a permission, a descriptor or a
//! working disk is an error, and stays where it is.
//!
//! The caller holds the agent's lock.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::commit::Tallies;
use super::failure::{OpenError, failure, open_failure};
use super::home::Home;
use super::ledger;
use super::raw::RawFile;
use super::reserve::Reserve;
use super::schema::{self, META_MOVED_TO, STEPS};
use super::verify::{self, Damage, Verified};
use super::{install, migrate, salvage, settings, wal};
use crate::supervisor::io::{Boot, Origin, StoreFailure, StoreFailureKind};

/// What to do when the database is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDamage {
    /// Say so, and touch nothing.
    #[default]
    Stop,
    /// Put it aside whole, and go on from what is sound in it.
    Salvage,
    /// Put it aside whole, and start anew.
    Fresh,
}

/// How a database is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The budget of the file: history is shed when used pages pass so many bytes.
    pub max_db: u64,
    /// What to do when it is damaged.
    pub on_damage: OnDamage,
    /// Keep a reserve file for bad times.
    pub reserve: bool,
    /// Keep everything in memory, touch no file.
    pub ephemeral: bool,
    /// The SQLite VFS to use; with one, nothing is done to files but through it.
    #[doc(hidden)]
    pub vfs: Option<String>,
    /// Pages in the WAL at which its content is moved into the file.
    #[doc(hidden)]
    pub wal_move_pages: u64,
}

/// The budget of the file unless another is set.
pub const MAX_DB_DEFAULT: u64 = 256 << 20;

impl Default for Options {
    fn default() -> Self {
        Self {
            max_db: MAX_DB_DEFAULT,
            on_damage: OnDamage::Stop,
            reserve: true,
            ephemeral: false,
            vfs: None,
            wal_move_pages: super::commit::WAL_MOVE_PAGES,
        }
    }
}

/// An open database, for one thread.
#[derive(Debug)]
pub struct Store {
    /// None after a failure whose outcome is not known, until it is reopened.
    pub(crate) conn: Option<Connection>,
    pub(crate) home: Home,
    pub(crate) options: Options,
    pub(crate) reserve: Reserve,
    pub(crate) verified: Verified,
    /// Something was committed since `verified` was found.
    pub(crate) stale: bool,
    pub(crate) tallies: Tallies,
}

/// How many prepared statements are kept: all that the writer uses.
const STATEMENTS_KEPT: usize = 96;

impl Store {
    /// Opens the agent's database, making it if there is none, and checks all
    /// that a restore needs.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(home: &Home, options: &Options) -> Result<(Self, Boot), OpenError> {
        let on_disk = !options.ephemeral && options.vfs.is_none();
        let home = if on_disk { home.resolved()? } else { home.clone() };
        let made = on_disk && install::settle(&home, options.on_damage)?;
        let first = Opened::new(&home, options).or_else(|error| match &error {
            // A full disk has no room for the log's index: the reserve is for that.
            OpenError::Failed(failure)
                if failure.kind == StoreFailureKind::Full
                    && on_disk
                    && Reserve::drop_file(&home.reserve_path()) =>
            {
                Opened::new(&home, options)
            }
            _ => Err(error),
        });
        let (opened, damaged) = match first {
            Ok(opened) => (opened, false),
            Err(error) => {
                let warnings = after_damage(&home, options, error)?;
                let mut opened = Opened::new(&home, options)?;
                opened.verified.warnings.splice(0..0, warnings);
                (opened, true)
            }
        };
        let failed = |e: &rusqlite::Error| open_failure(Some(&opened.conn), e);
        let mut boot = ledger::boot(&opened.conn).map_err(|e| failed(&e))?;
        boot.origin = match (boot.origin, made || opened.made, damaged) {
            (Origin::Damaged, _, _) | (_, _, true) => Origin::Damaged,
            (_, true, false) => Origin::First,
            (Origin::First | Origin::Kept, false, false) => Origin::Kept,
        };
        let reserve = if on_disk && options.reserve {
            Reserve::keep(home.reserve_path())
        } else {
            Reserve::none()
        };
        let Opened { conn, verified, tallies, .. } = opened;
        let store = Self {
            conn: Some(conn),
            home,
            options: options.clone(),
            reserve,
            verified,
            stale: false,
            tallies,
        };
        Ok((store, boot))
    }

    /// Closes the file, if it is open, and opens and checks it again: after a
    /// failure whose outcome is not known, to learn it.
    ///
    /// What is found is made to last by one more commit. Without it a power
    /// cut could bring back what is now found missing, or lose what is found
    /// there: after a failed sync the system may hold pages in memory that it
    /// will never write.
    ///
    /// # Errors
    /// The disk's refusal, or damage.
    pub fn reopen(&mut self) -> Result<(), StoreFailure> {
        if self.options.ephemeral {
            return Ok(());
        }
        self.abandon();
        let opened = Opened::new(&self.home, &self.options).map_err(to_failure)?;
        let fence = (self.tallies.fences + 1).to_string();
        schema::put_meta(&opened.conn, schema::META_FENCE, &fence)
            .map_err(|e| failure(Some(&opened.conn), 0, &e))?;
        let fences = self.tallies.fences + 1;
        self.conn = Some(opened.conn);
        self.verified = opened.verified;
        self.stale = false;
        self.tallies = Tallies { fences, ..opened.tallies };
        Ok(())
    }

    /// Gives up the connection without moving the WAL's content, of which it
    /// is not known whether it is on the disk.
    pub(crate) fn abandon(&mut self) {
        if let Some(conn) = self.conn.take() {
            // If it is refused, the WAL is moved at closing: no harm but that
            // a failing disk is asked once more.
            let _ = keep_wal_at_close(&conn, true);
            drop(conn);
        }
    }

    /// The connection; an error if the store waits to be reopened.
    pub(crate) fn connection(&self) -> Result<&Connection, StoreFailure> {
        self.conn.as_ref().ok_or_else(|| StoreFailure {
            epoch: 0,
            kind: StoreFailureKind::Other,
            outcome_unknown: false,
            message: "the database is closed after a failure".to_owned(),
            reserve_freed: false,
        })
    }

    /// The connection, for tests that must see or spoil what no caller may.
    #[doc(hidden)]
    pub const fn raw(&self) -> Option<&Connection> {
        self.conn.as_ref()
    }

    /// Closes the file, with the WAL's content moved into it.
    ///
    /// # Errors
    /// The disk's refusal; nothing is lost then, the WAL stays.
    pub fn close(mut self) -> Result<(), StoreFailure> {
        match self.conn.take() {
            None => Ok(()),
            Some(conn) => {
                conn.flush_prepared_statement_cache();
                conn.close().map_err(|(conn, e)| failure(Some(&conn), 0, &e))
            }
        }
    }
}

/// A connection with what its checks found.
struct Opened {
    conn: Connection,
    verified: Verified,
    tallies: Tallies,
    made: bool,
}

impl Opened {
    fn new(home: &Home, options: &Options) -> Result<Self, OpenError> {
        let database = home.database();
        let on_disk = !options.ephemeral && options.vfs.is_none();
        let conn = connect(&database, options).map_err(|e| with_dir(e, home))?;
        if !options.ephemeral {
            // Until all is found sound: closing must not change a file that is
            // damaged, or not ours.
            keep_wal_at_close(&conn, true).map_err(|e| at(home, &conn, &e))?;
            wal::check(&conn).map_err(|what| damage(home, what))?;
        }
        let path = (!options.ephemeral).then_some(database.as_path());
        let copies = path.filter(|_| on_disk);
        let name_it = |error| with_dir(error, home);
        let found = migrate::inspect(&conn, STEPS, copies).map_err(name_it)?;
        settings::settle(&conn, &found, options.ephemeral).map_err(name_it)?;
        if !found.blank
            && let Some(to) =
                schema::get_meta(&conn, META_MOVED_TO).map_err(|e| at(home, &conn, &e))?
        {
            return Err(OpenError::Moved { to });
        }
        if found.is_old() {
            // Bringing it up to date is writing: not to a file that is
            // damaged, and not behind a log that a power cut may take back.
            verify::verify(&conn).map_err(|d| unsound(home, &conn, d))?;
            make_last(&conn).map_err(|e| at(home, &conn, &e))?;
        }
        let migrated = migrate::migrate(&conn, &found, STEPS, copies).map_err(name_it)?;
        let mut verified = verify::verify(&conn).map_err(|d| unsound(home, &conn, d))?;
        verified.warnings.splice(0..0, migrated.warnings);
        let tallies = Tallies::read(&conn, &verified).map_err(|e| at(home, &conn, &e))?;
        if !options.ephemeral {
            // Nothing is written before all of it is known to be sound, and ours.
            make_last(&conn).map_err(|e| at(home, &conn, &e))?;
            keep_wal_at_close(&conn, false).map_err(|e| at(home, &conn, &e))?;
        }
        Ok(Self { conn, verified, tallies, made: migrated.made })
    }
}

/// What damage means for the opening.
fn unsound(home: &Home, conn: &Connection, damaged: Damage) -> OpenError {
    match damaged {
        Damage::Structure(what) => damage(home, what),
        Damage::Tail { version, last_sound } => {
            OpenError::DamagedTail { dir: home.db_dir(), version, last_sound }
        }
        Damage::Failed(e) => at(home, conn, &e),
    }
}

/// Makes the WAL that whoever had the file open before left behind last, and
/// begins a new one.
///
/// It may not be on the disk although it can be read: it was written but not
/// synced when adrt was killed, or a sync failed (see [`RawFile::write_again`]).
/// What is shown to an agent must not be taken back by the next power cut.
///
/// Frames that a power cut tore stay behind the last good one, and look like
/// those of the transaction under way if that one is torn as well. Two cuts in
/// a row would then look like damage in the middle (see [`wal`]). Frames of a
/// log that was begun before are told by their salts.
///
/// After a proper close there is no WAL, and nothing to do.
fn make_last(conn: &Connection) -> rusqlite::Result<()> {
    let Some(log) = RawFile::log(conn)? else { return Ok(()) };
    if log.size()? == 0 {
        return Ok(());
    }
    log.write_again()?;
    // Once all of it is in the file, the next write begins a new log. If that
    // can't be done now, for want of space or for a reader, nothing is lost.
    let _ = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    Ok(())
}

/// Whether closing the connection leaves the WAL as it is. Else its content is
/// moved into the file, and it is deleted.
fn keep_wal_at_close(conn: &Connection, keep: bool) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop)
}

/// Opens the file as a writer. It must be there, unless a VFS makes it.
pub(crate) fn connect(database: &Path, options: &Options) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match &options.vfs {
        _ if options.ephemeral => Connection::open_in_memory(),
        Some(vfs) => {
            let flags = flags | OpenFlags::SQLITE_OPEN_CREATE;
            Connection::open_with_flags_and_vfs(database, flags, vfs.as_str())
        }
        None => Connection::open_with_flags(database, flags | OpenFlags::SQLITE_OPEN_NOFOLLOW),
    };
    let conn = opened.map_err(|e| open_failure(None, &e))?;
    harden(&conn).map_err(|e| open_failure(Some(&conn), &e))?;
    Ok(conn)
}

/// Settings of a connection that are no pragmas.
pub(crate) fn harden(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(())
}

/// Carries out [`OnDamage`]; what it has to say, or the error itself when it
/// is no damage or the answer to it is to stop.
fn after_damage(
    home: &Home,
    options: &Options,
    error: OpenError,
) -> Result<Vec<String>, OpenError> {
    let is_damage = matches!(error, OpenError::Damaged { .. } | OpenError::DamagedTail { .. });
    if !is_damage || options.ephemeral || options.vfs.is_some() {
        return Err(error);
    }
    match options.on_damage {
        OnDamage::Stop => Err(error),
        OnDamage::Salvage => salvage::rebuild(home, &error),
        OnDamage::Fresh => salvage::fresh(home, &error),
    }
}

fn damage(home: &Home, what: String) -> OpenError {
    OpenError::Damaged { dir: home.db_dir(), what, nothing_sound: false }
}

/// An SQLite error in opening, with the directory named where it is damage.
fn at(home: &Home, conn: &Connection, error: &rusqlite::Error) -> OpenError {
    with_dir(open_failure(Some(conn), error), home)
}

/// Names the directory of damage, and tells want of a permission from a
/// failing disk: SQLite only says that it can't open something.
fn with_dir(error: OpenError, home: &Home) -> OpenError {
    match error {
        OpenError::Failed(mut failure)
            if failure.kind == StoreFailureKind::Io && !may_write(&home.db_dir()) =>
        {
            failure.kind = StoreFailureKind::ReadOnly;
            failure.message = format!("{} can't be written to", home.db_dir().display());
            OpenError::Failed(failure)
        }
        OpenError::Damaged { what, nothing_sound, .. } => {
            OpenError::Damaged { dir: home.db_dir(), what, nothing_sound }
        }
        other => other,
    }
}

fn may_write(dir: &Path) -> bool {
    use nix::unistd::{AccessFlags, access};
    !matches!(
        access(dir, AccessFlags::W_OK),
        Err(nix::errno::Errno::EROFS | nix::errno::Errno::EACCES | nix::errno::Errno::EPERM)
    )
}

/// An error of opening, for the supervisor of a run that has begun.
fn to_failure(error: OpenError) -> StoreFailure {
    match error {
        OpenError::Failed(failure) => failure,
        other => super::failure::damaged(other.to_string()),
    }
}
