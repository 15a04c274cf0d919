//! An agent in one file, and back.
//!
//! The file is a SQLite database, as `VACUUM INTO` writes it in one read
//! transaction, followed by a trailer of [`TRAILER`] bytes of text:
//!
//! ```text
//! \nadrt-backup 1\n
//! agent <name>\n
//! bytes <length of the database>\n
//! sha256 <of the database and the three lines before, in hexadecimal>\n
//! (spaces up to the last byte, which is a newline)
//! ```
//!
//! The trailer comes last and is written last: a file without one was cut
//! short, and is refused. Nothing is ever overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;
use sha2::{Digest, Sha256};

use super::failure::{OpenError, open_failure};
use super::home::{FILE_MODE, Home, HomeError, sync_parent};
use super::lock::Lock;
use super::migrate::Found;
use super::open::{Options, connect};
use super::read::{ReadError, Reader};
use super::schema::{self, META_MOVED_TO, META_WEAR, SCHEMA_VERSION, STEPS};
use super::{install, migrate, settings, verify};

/// Bytes of the trailer.
pub const TRAILER: usize = 512;
const MAGIC: &str = "\nadrt-backup 1\n";
/// Bytes copied and hashed at a time.
const CHUNK: usize = 128 << 10;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupInfo {
    /// The agent's name when it was made.
    pub agent: String,
    /// Bytes of the database in it.
    pub bytes: u64,
    /// SHA-256 of database and name, in hexadecimal.
    pub sha256: String,
    /// The newest version of the state in it.
    pub version: u64,
}

/// Why a backup was not made, or not brought back.
#[derive(Debug)]
pub enum BackupError {
    /// The target is there already; nothing is overwritten.
    Exists(PathBuf),
    /// The agent can't be read.
    Read(ReadError),
    /// The agent's directory.
    Home(HomeError),
    /// The file is no backup, or was cut short.
    NotABackup(PathBuf),
    /// The file is not what was written.
    Mismatch(PathBuf),
    /// The database in it, or the one that is to be marked, can't be opened.
    Open(OpenError),
    /// The system refused.
    Io {
        /// What was touched.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
}

impl std::fmt::Display for BackupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exists(path) => {
                write!(f, "{} exists already; nothing was overwritten", path.display())
            }
            Self::Read(error) => error.fmt(f),
            Self::Home(error) => error.fmt(f),
            Self::NotABackup(path) => {
                write!(f, "{} is not a whole backup made by adrt", path.display())
            }
            Self::Mismatch(path) => write!(
                f,
                "{} is damaged: its content does not match the hash in it",
                path.display()
            ),
            Self::Open(error) => error.fmt(f),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<ReadError> for BackupError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<HomeError> for BackupError {
    fn from(error: HomeError) -> Self {
        Self::Home(error)
    }
}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    |source| BackupError::Io { path: path.to_owned(), source }
}

/// Writes the whole agent to a new file: consistent also while it runs, and
/// without holding it up.
///
/// # Errors
/// The target exists; the agent can't be read; the system's refusal. The file
/// is removed again then.
pub fn backup(home: &Home, file: &Path) -> Result<BackupInfo, BackupError> {
    let reader = Reader::open(home)?;
    let made = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .custom_flags(libc::O_NOFOLLOW)
        .open(file);
    let target = match made {
        Ok(target) => target,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return Err(BackupError::Exists(file.to_owned()));
        }
        Err(e) => return Err(io_at(file)(e)),
    };
    fill(&reader, home, file, target).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = fs::remove_file(file);
    })
}

fn fill(
    reader: &Reader,
    home: &Home,
    file: &Path,
    mut target: File,
) -> Result<BackupInfo, BackupError> {
    let absolute = fs::canonicalize(file).map_err(io_at(file))?;
    let name = absolute.to_str().ok_or_else(|| {
        io_at(file)(io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8"))
    })?;
    let conn = reader.connection();
    // SQLite counts writing to another file as writing.
    let vacuum = conn
        .execute_batch("PRAGMA query_only = OFF")
        .and_then(|()| conn.execute("VACUUM INTO ?1", [name]))
        .and_then(|_| conn.execute_batch("PRAGMA query_only = ON"));
    vacuum.map_err(|e| open_failure(Some(conn), &e))?;
    let bytes = target.metadata().map_err(io_at(file))?.len();
    let lines = format!("{MAGIC}agent {}\nbytes {bytes}\n", home.agent());
    let sha256 = hash(&target, bytes, &lines).map_err(io_at(file))?;
    let trailer = format!("{lines}sha256 {sha256}\n");
    let trailer = format!("{trailer:<width$}\n", width = TRAILER - 1);
    io::Seek::seek(&mut target, io::SeekFrom::Start(bytes)).map_err(io_at(file))?;
    target.write_all(trailer.as_bytes()).map_err(io_at(file))?;
    target.sync_all().map_err(io_at(file))?;
    sync_parent(&absolute)?;
    let version = version_in(&absolute, false)?;
    Ok(BackupInfo { agent: home.agent().to_owned(), bytes, sha256, version })
}

/// SHA-256 of the first `bytes` of a file and of some lines.
fn hash(file: &File, bytes: u64, lines: &str) -> io::Result<String> {
    let mut file = file;
    io::Seek::seek(&mut file, io::SeekFrom::Start(0))?;
    let mut rest = file.take(bytes);
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = rest.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
    }
    hash.update(lines.as_bytes());
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a backup, and then marks the agent as moved away: it refuses to run
/// and says where it went. The caller holds the lock.
///
/// # Errors
/// As [`backup`]; the mark could not be written (the backup is there then).
pub fn backup_move(home: &Home, lock: &Lock, file: &Path) -> Result<BackupInfo, BackupError> {
    debug_assert_eq!(lock.path(), home.lock_path(), "the lock is this agent's");
    let info = backup(home, file)?;
    let to = fs::canonicalize(file).map_err(io_at(file))?;
    let home = home.resolved()?;
    let conn = connect(&home.database(), &Options::default())?;
    let found = migrate::inspect(&conn, STEPS, Some(&home.database()))?;
    settings::settle(&conn, &found, false)?;
    schema::put_meta(&conn, META_MOVED_TO, &to.to_string_lossy())
        .map_err(|e| open_failure(Some(&conn), &e))?;
    conn.close().map_err(|(conn, e)| open_failure(Some(&conn), &e))?;
    Ok(info)
}

/// Makes an agent from a backup. There must be none under that name; of one
/// that was moved away, the database is put aside.
///
/// # Errors
/// The file is no backup or damaged; the agent exists; the system's refusal.
pub fn restore(file: &Path, home: &Home) -> Result<BackupInfo, BackupError> {
    let source = OpenOptions::new().read(true).open(file).map_err(io_at(file))?;
    let trailer = Trailer::read(&source, file)?;
    let sha256 = hash(&source, trailer.bytes, &trailer.lines).map_err(io_at(file))?;
    if sha256 != trailer.sha256 {
        return Err(BackupError::Mismatch(file.to_owned()));
    }
    if home.exists() && !was_moved(home) {
        return Err(BackupError::Home(HomeError::Exists(home.dir.clone())));
    }
    home.create()?;
    let lock = Lock::take(home, super::lock::HolderKind::Command, None).map_err(|e| match e {
        super::lock::LockError::Held(holder) => BackupError::Home(HomeError::Held(holder)),
        super::lock::LockError::Io { path, source } => BackupError::Io { path, source },
        super::lock::LockError::Home(error) => BackupError::Home(error),
    })?;
    let home = home.resolved()?;
    let new = install::begin(&home)?;
    copy(&source, trailer.bytes, &new).map_err(io_at(&new))?;
    let version = version_in(&new, true)?;
    if home.database().exists() {
        install::put_aside(&home)?;
    }
    install::put_in_place(&home)?;
    drop(lock);
    Ok(BackupInfo { agent: trailer.agent, bytes: trailer.bytes, sha256, version })
}

/// The name that the agent in a backup had.
///
/// # Errors
/// The file is no backup; the system's refusal.
pub fn agent_in(file: &Path) -> Result<String, BackupError> {
    let source = OpenOptions::new().read(true).open(file).map_err(io_at(file))?;
    Ok(Trailer::read(&source, file)?.agent)
}

fn was_moved(home: &Home) -> bool {
    Reader::open(home)
        .and_then(|reader| reader.summary())
        .is_ok_and(|summary| summary.moved_to.is_some())
}

fn copy(source: &File, bytes: u64, new: &Path) -> io::Result<()> {
    let mut source = source;
    io::Seek::seek(&mut source, io::SeekFrom::Start(0))?;
    let mut target = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(new)?;
    io::copy(&mut source.take(bytes), &mut target)?;
    target.sync_all()
}

/// Checks the database in a file. `settle` gives it the settings it is to
/// have, WAL among them, and takes away what was true of another disk.
fn version_in(database: &Path, settle: bool) -> Result<u64, BackupError> {
    let conn = connect(database, &Options::default())?;
    if settle {
        let found = migrate::inspect(&conn, STEPS, Some(database)).or_else(|e| match e {
            // A newer one may be brought back, to be read.
            OpenError::Newer { schema, .. } => Ok(Found { blank: false, schema }),
            other => Err(other),
        })?;
        settings::settle(&conn, &found, false)?;
        if found.schema <= SCHEMA_VERSION {
            let dropped = schema::drop_meta(&conn, META_WEAR);
            dropped.map_err(|e| open_failure(Some(&conn), &e))?;
        }
    }
    let verified = verify::verify(&conn).map_err(|damage| OpenError::Damaged {
        dir: database.to_owned(),
        what: match damage {
            verify::Damage::Structure(what) => what,
            verify::Damage::Tail { version, .. } => format!("version {version} is damaged"),
            verify::Damage::Failed(e) => e.to_string(),
        },
        nothing_sound: false,
    })?;
    conn.close().map_err(|(conn, e)| open_failure(Some(&conn), &e))?;
    Ok(verified.version)
}

/// What the last bytes of a backup say.
struct Trailer {
    agent: String,
    bytes: u64,
    sha256: String,
    /// The lines that are hashed with the database.
    lines: String,
}

impl Trailer {
    fn read(mut file: &File, path: &Path) -> Result<Self, BackupError> {
        let not_one = || BackupError::NotABackup(path.to_owned());
        let length = file.metadata().map_err(io_at(path))?.len();
        let bytes = length.checked_sub(TRAILER as u64).ok_or_else(not_one)?;
        let mut text = vec![0; TRAILER];
        io::Seek::seek(&mut file, io::SeekFrom::Start(bytes)).map_err(io_at(path))?;
        file.read_exact(&mut text).map_err(io_at(path))?;
        let text = String::from_utf8(text).map_err(|_| not_one())?;
        let rest = text.strip_prefix(MAGIC).ok_or_else(not_one)?;
        let mut words = rest.lines().filter_map(|line| line.trim_end().split_once(' '));
        let mut next = |name: &str| {
            words.next().filter(|(word, _)| *word == name).map(|(_, value)| value.to_owned())
        };
        let agent = next("agent").ok_or_else(not_one)?;
        let said = next("bytes").ok_or_else(not_one)?;
        let sha256 = next("sha256").ok_or_else(not_one)?;
        if said != bytes.to_string() {
            return Err(not_one());
        }
        let lines = format!("{MAGIC}agent {agent}\nbytes {bytes}\n");
        Ok(Self { agent, bytes, sha256, lines })
    }
}
