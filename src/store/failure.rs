//! What can go wrong with a database, told apart by SQLite's codes.
//!
//! A refusal by the disk becomes a [`StoreFailure`] for the supervisor;
//! what keeps a database from being opened at all is an [`OpenError`].

use std::path::PathBuf;

use nix::libc;
use rusqlite::{Connection, Error, ffi};

use super::home::HomeError;
use crate::supervisor::io::{StoreFailure, StoreFailureKind};

/// Why a database was not opened. The file is left as it was.
#[derive(Debug)]
pub enum OpenError {
    /// The directory, or a file in it.
    Home(HomeError),
    /// The file is damaged.
    Damaged {
        /// The directory of the database.
        dir: PathBuf,
        /// What is wrong with it.
        what: String,
        /// Nothing sound was found in it: only a fresh start is left.
        nothing_sound: bool,
    },
    /// A row of the journal that the restore needs is damaged.
    DamagedTail {
        /// The directory of the database.
        dir: PathBuf,
        /// The first version that can't be made.
        version: u64,
        /// The last version that can.
        last_sound: u64,
    },
    /// A newer adrt changed the tables so that this one must not write.
    Newer {
        /// The file's schema.
        schema: i32,
        /// The oldest schema whose adrt may write it.
        min_writer: i32,
    },
    /// It is a database, but not adrt's.
    NotOurs(PathBuf),
    /// The agent was moved away by `adrt backup --move`.
    Moved {
        /// Where to.
        to: String,
    },
    /// SQLite did not take a setting that durability depends on.
    Setting {
        /// The pragma.
        name: &'static str,
        /// What was asked for.
        wanted: String,
        /// What it says now.
        got: String,
    },
    /// The disk refused.
    Failed(StoreFailure),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Home(error) => error.fmt(f),
            Self::Damaged { dir, what, .. } => {
                write!(f, "the database in {} is damaged: {what}", dir.display())
            }
            Self::DamagedTail { dir, version, last_sound } => write!(
                f,
                "the database in {} is damaged: the change that made version {version} can't be \
                 trusted; the last sound version is {last_sound}",
                dir.display()
            ),
            Self::Newer { schema, min_writer } => write!(
                f,
                "the database was written by a newer adrt (schema {schema}, to be written by \
                 schema {min_writer} or later); this adrt can only read it"
            ),
            Self::NotOurs(path) => {
                write!(f, "{} is a database of another program", path.display())
            }
            Self::Moved { to } => write!(f, "the agent was moved away, to {to}"),
            Self::Setting { name, wanted, got } => {
                write!(f, "SQLite did not take {name} = {wanted}, it says {got}")
            }
            Self::Failed(failure) => write!(f, "the store failed: {}", failure.message),
        }
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    /// What to do about it: one sentence.
    pub fn hint(&self) -> String {
        match self {
            Self::Home(_) => "check the state directory and who owns it".to_owned(),
            Self::Damaged { nothing_sound: true, .. } => {
                "nothing sound is left in it: bring back a backup with `adrt restore`, or run \
                 with --on-damage fresh to start anew (the old file is kept beside)"
                    .to_owned()
            }
            Self::Damaged { .. } | Self::DamagedTail { .. } => {
                "run with --on-damage salvage to go on with what is sound, bring back a backup \
                 with `adrt restore`, or start anew with --on-damage fresh; the old file is kept \
                 beside in each case"
                    .to_owned()
            }
            Self::Newer { .. } => "use the newer adrt, at least to write".to_owned(),
            Self::NotOurs(_) => "move that file away".to_owned(),
            Self::Moved { to } => {
                format!("run it where it went, or bring it back with `adrt restore {to}`")
            }
            Self::Setting { .. } => {
                "use a local file system that SQLite's WAL mode works on".to_owned()
            }
            Self::Failed(failure) => match failure.kind {
                StoreFailureKind::Full => "make room on the disk".to_owned(),
                StoreFailureKind::ReadOnly => "make the state directory writable".to_owned(),
                StoreFailureKind::Io | StoreFailureKind::Damaged | StoreFailureKind::Other => {
                    "look at the system's log for errors of the disk".to_owned()
                }
            },
        }
    }
}

impl From<HomeError> for OpenError {
    fn from(error: HomeError) -> Self {
        Self::Home(error)
    }
}

/// SQLite's extended result code; [`ffi::SQLITE_ERROR`] where it is not SQLite's.
pub(crate) fn code_of(error: &Error) -> i32 {
    match error {
        Error::SqliteFailure(inner, _) => inner.extended_code,
        _ => ffi::SQLITE_ERROR,
    }
}

/// The kind of trouble, from SQLite's code and the system's error number.
pub(crate) fn kind_of(code: i32, errno: i32) -> StoreFailureKind {
    match (code & 0xff, errno) {
        (ffi::SQLITE_FULL, _) => StoreFailureKind::Full,
        (ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN, libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => {
            StoreFailureKind::Full
        }
        // The WAL's index can't grow: its only causes are space and quota.
        (ffi::SQLITE_IOERR, _) if code == ffi::SQLITE_IOERR_SHMSIZE => StoreFailureKind::Full,
        (ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN, libc::EROFS | libc::EACCES | libc::EPERM)
        | (ffi::SQLITE_READONLY | ffi::SQLITE_PERM | ffi::SQLITE_AUTH, _) => {
            StoreFailureKind::ReadOnly
        }
        (ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB, _) => StoreFailureKind::Damaged,
        (ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN, _) => StoreFailureKind::Io,
        _ => StoreFailureKind::Other,
    }
}

/// The system's error number behind the connection's last failure, 0 if none.
pub(crate) fn system_errno(conn: &Connection) -> i32 {
    // SAFETY: the handle belongs to an open connection that outlives the call,
    // and is used by no other thread.
    unsafe { ffi::sqlite3_system_errno(conn.handle()) }
}

/// A failure that left the database as it was.
pub(crate) fn failure(conn: Option<&Connection>, epoch: u32, error: &Error) -> StoreFailure {
    let errno = conn.map_or(0, system_errno);
    let kind = kind_of(code_of(error), errno);
    let mut message = error.to_string();
    if errno != 0 {
        message.push_str(": ");
        message.push_str(&std::io::Error::from_raw_os_error(errno).to_string());
    }
    StoreFailure { epoch, kind, outcome_unknown: false, message, reserve_freed: false }
}

/// A failure that SQLite knows nothing of.
pub(crate) fn damaged(message: String) -> StoreFailure {
    StoreFailure {
        epoch: 0,
        kind: StoreFailureKind::Damaged,
        outcome_unknown: false,
        message,
        reserve_freed: false,
    }
}

/// For use in opening: damage is told as such, all else as a failure.
pub(crate) fn open_failure(conn: Option<&Connection>, error: &Error) -> OpenError {
    let failure = failure(conn, 0, error);
    if code_of(error) == ffi::SQLITE_ERROR && matches!(error, Error::SqlInputError { .. }) {
        // Our statements don't change: it is the tables that are not ours.
        return OpenError::Damaged {
            dir: PathBuf::new(),
            what: format!("its tables are not what they should be ({})", failure.message),
            nothing_sound: false,
        };
    }
    match failure.kind {
        StoreFailureKind::Damaged => {
            OpenError::Damaged { dir: PathBuf::new(), what: failure.message, nothing_sound: false }
        }
        StoreFailureKind::Full
        | StoreFailureKind::ReadOnly
        | StoreFailureKind::Io
        | StoreFailureKind::Other => OpenError::Failed(failure),
    }
}
