//! Where an agent lives on disk: directories, names, modes.
//!
//! ```text
//! <state-dir>/<agent>/            0700
//!     lock                        0600, see `lock`
//!     reserve                     0600, see `reserve`
//!     log                         0600, where the log of the last run is
//!     db/                         0700, renamed aside whole when damaged
//!         adrt.db  -wal  -shm     0600
//!     db.new/                     a database being made; see below
//!     db.damaged-<n>/             what a salvage or a fresh start put aside
//! ```
//!
//! Invariants:
//! - no symlink below the state directory is followed (the state directory
//!   itself may be one: systemd's `DynamicUser=` makes it so);
//! - modes do not depend on the umask;
//! - a database is made in `db.new` and renamed to `db` when it is whole. So
//!   a `db` without a sound file in it is damage, never a fresh start.
//!
//! Not here: which state directory is meant (the command line's business).

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc;

use super::lock::{Holder, HolderKind, Lock, LockError};

/// Mode of every directory that adrt makes.
pub const DIRECTORY_MODE: u32 = 0o700;
/// Mode of every file that adrt makes there.
pub const FILE_MODE: u32 = 0o600;
/// The longest name of an agent, in bytes.
pub const NAME_MAX: usize = 64;

/// Name of the file that says where the log is.
const LOG_PLACE: &str = "log";
/// Paths are shorter.
const LOG_PLACE_BYTES_MAX: u64 = 4096;
/// Name of the directory that holds the database.
pub(crate) const DB_DIR: &str = "db";
/// Name of the directory in which a database is made.
pub(crate) const NEW_DIR: &str = "db.new";
/// Start of the names of directories put aside.
pub(crate) const ASIDE_PREFIX: &str = "db.damaged-";
/// Name of the database file.
pub(crate) const DB_FILE: &str = "adrt.db";

/// One agent's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// `<state-dir>/<agent>`.
    pub dir: PathBuf,
    agent: String,
}

/// Why a directory can't be used.
#[derive(Debug)]
pub enum HomeError {
    /// The agent's name breaks the rule: a letter or digit, then letters,
    /// digits, `.`, `_` or `-`, 64 at most.
    BadName(String),
    /// There is no such agent.
    Missing(PathBuf),
    /// There is one already.
    Exists(PathBuf),
    /// Something in the state directory is a symlink; it is not followed.
    Symlink(PathBuf),
    /// A file is where a directory should be, or the reverse.
    WrongKind(PathBuf),
    /// It is in use.
    Held(Holder),
    /// The system refused.
    Io {
        /// What was touched.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl std::fmt::Display for HomeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadName(name) => write!(
                f,
                "{name:?} can't be the name of an agent: it takes 1 to 64 letters, digits, \
                 '.', '_' or '-', the first a letter or digit"
            ),
            Self::Missing(dir) => write!(f, "there is no agent in {}", dir.display()),
            Self::Exists(dir) => write!(f, "{} exists already", dir.display()),
            Self::Symlink(path) => {
                write!(f, "{} is a symbolic link, which adrt does not follow", path.display())
            }
            Self::WrongKind(path) => {
                write!(f, "{} is not what adrt keeps under that name", path.display())
            }
            Self::Held(holder) => write!(f, "the agent is in use by process {}", holder.pid),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for HomeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::BadName(_)
            | Self::Missing(_)
            | Self::Exists(_)
            | Self::Symlink(_)
            | Self::WrongKind(_)
            | Self::Held(_) => None,
        }
    }
}

/// Whether `name` may be the name of an agent.
pub fn valid_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= NAME_MAX
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

impl Home {
    /// The home of that agent; nothing is touched.
    ///
    /// # Errors
    /// [`HomeError::BadName`].
    pub fn new(state_dir: &Path, agent: &str) -> Result<Self, HomeError> {
        if !valid_name(agent) {
            return Err(HomeError::BadName(agent.to_owned()));
        }
        Ok(Self { dir: state_dir.join(agent), agent: agent.to_owned() })
    }

    /// Another agent's, in the same state directory; none for what is no name.
    pub(crate) fn neighbour(&self, agent: &str) -> Option<Self> {
        Self::new(self.dir.parent()?, agent).ok()
    }

    /// The agent's name.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// Makes the directory with those above it (0700), and syncs its parent,
    /// so that it outlives a power cut. Not an error if it is there.
    ///
    /// # Errors
    /// A symlink or a file in its place; the system's refusal.
    pub fn create(&self) -> Result<(), HomeError> {
        if let Some(parent) = self.dir.parent() {
            make_parents(parent)?;
        }
        make_dir(&self.dir)
    }

    /// Whether there is an agent here: a database, or one put aside; or what
    /// is another user's, who alone can say.
    pub fn exists(&self) -> bool {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) => return e.kind() == io::ErrorKind::PermissionDenied,
        };
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            name == DB_DIR || name.to_string_lossy().starts_with("db.")
        })
    }

    /// Whose it is: the owner of the directory, or, where root would make it,
    /// of that above, to whom [`Home::create`] leaves it.
    pub fn owner(&self) -> Option<u32> {
        let of = |dir: &Path| fs::symlink_metadata(dir).ok().map(|meta| meta.uid());
        let is_root = nix::unistd::geteuid().is_root();
        of(&self.dir).or_else(|| of(self.dir.parent().filter(|_| is_root)?))
    }

    /// What the control socket is called in a directory that agents share.
    pub fn socket_name(&self) -> String {
        let tag = crc32c::crc32c(self.dir.as_os_str().as_encoded_bytes());
        format!("{}-{tag:08x}.sock", self.agent)
    }

    /// `<state-dir>/<agent>/db`.
    pub fn db_dir(&self) -> PathBuf {
        self.dir.join(DB_DIR)
    }

    /// `<state-dir>/<agent>/db/adrt.db`.
    pub fn database(&self) -> PathBuf {
        self.db_dir().join(DB_FILE)
    }

    /// `<state-dir>/<agent>/lock`.
    pub fn lock_path(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// `<state-dir>/<agent>/reserve`.
    pub fn reserve_path(&self) -> PathBuf {
        self.dir.join("reserve")
    }

    /// `<state-dir>/<agent>/kin`: while an agent runs, what its processes are
    /// known by; written and removed by who runs it.
    pub fn kin_path(&self) -> PathBuf {
        self.dir.join("kin")
    }

    /// Where the log of the agent's last run is, or was: in a runtime directory,
    /// which a command that comes later need not know. What is there now is
    /// another question.
    pub fn log_place(&self) -> Option<PathBuf> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(self.dir.join(LOG_PLACE));
        let mut content = Vec::new();
        file.ok()?.take(LOG_PLACE_BYTES_MAX).read_to_end(&mut content).ok()?;
        let path = content.strip_suffix(b"\n")?;
        Some(PathBuf::from(OsStr::from_bytes(path)))
    }

    /// Says where it is; nothing is written if that was said before. A power
    /// cut may take it: it takes the log, too.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn set_log_place(&self, log: &Path) -> Result<(), HomeError> {
        if self.log_place().as_deref() == Some(log) {
            return Ok(());
        }
        let path = self.dir.join(LOG_PLACE);
        let mut file = open_file(&path)?;
        let content = [log.as_os_str().as_bytes(), b"\n"].concat();
        let written = file.set_len(0).and_then(|()| file.write_all(&content));
        written.map_err(|e| io_error(&path, e))
    }

    /// Directories of damaged databases that were put aside, and copies made
    /// before a migration: they hold old content, and nothing of adrt deletes
    /// them but [`Home::remove`].
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for (dir, prefix) in [(&self.dir, ASIDE_PREFIX), (&self.db_dir(), "adrt.db.v")] {
            let Ok(entries) = fs::read_dir(dir) else { continue };
            let named = |e: &fs::DirEntry| e.file_name().to_string_lossy().starts_with(prefix);
            found.extend(entries.flatten().filter(named).map(|e| e.path()));
        }
        found.sort();
        found
    }

    /// Checks that nothing of it is a symlink: the directory, `db`, the file.
    ///
    /// # Errors
    /// [`HomeError::Symlink`], [`HomeError::WrongKind`], the system's refusal.
    pub(crate) fn check(&self) -> Result<(), HomeError> {
        for dir in [self.dir.clone(), self.db_dir()] {
            match kind_of(&dir)? {
                Kind::Directory | Kind::Nothing => {}
                Kind::Symlink => return Err(HomeError::Symlink(dir)),
                Kind::File | Kind::Other => return Err(HomeError::WrongKind(dir)),
            }
        }
        for suffix in ["", "-wal", "-shm"] {
            let file = self.db_dir().join(format!("{DB_FILE}{suffix}"));
            match kind_of(&file)? {
                Kind::File | Kind::Nothing => {}
                Kind::Symlink => return Err(HomeError::Symlink(file)),
                Kind::Directory | Kind::Other => return Err(HomeError::WrongKind(file)),
            }
        }
        Ok(())
    }

    /// The same home with the state directory's own symlinks resolved, since
    /// SQLite refuses a path with any symlink in it.
    pub(crate) fn resolved(&self) -> Result<Self, HomeError> {
        self.check()?;
        let parent = self.dir.parent().unwrap_or_else(|| Path::new("/"));
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let real = fs::canonicalize(parent).map_err(|e| io_error(parent, e))?;
        Ok(Self { dir: real.join(&self.agent), agent: self.agent.clone() })
    }

    /// Deletes the agent with everything it has. The caller holds the lock,
    /// which is given back with the directory it was in.
    ///
    /// # Errors
    /// The system's refusal; what could be deleted is gone then.
    pub fn remove(&self, lock: Lock) -> Result<(), HomeError> {
        for entry in fs::read_dir(&self.dir).map_err(|e| io_error(&self.dir, e))? {
            let entry = entry.map_err(|e| io_error(&self.dir, e))?;
            let path = entry.path();
            if path == self.lock_path() {
                continue; // last: until then nobody else can start here
            }
            match kind_of(&path)? {
                Kind::Directory => fs::remove_dir_all(&path),
                Kind::File | Kind::Symlink | Kind::Other => fs::remove_file(&path),
                Kind::Nothing => Ok(()),
            }
            .map_err(|e| io_error(&path, e))?;
        }
        let path = self.lock_path();
        fs::remove_file(&path).map_err(|e| io_error(&path, e))?;
        fs::remove_dir(&self.dir).map_err(|e| io_error(&self.dir, e))?;
        drop(lock);
        sync_parent(&self.dir)
    }

    /// Gives the agent another name. Refused while anybody holds it; the lock
    /// that was taken for it comes with the new home, for what is still to be
    /// done before anybody runs it.
    ///
    /// # Errors
    /// [`HomeError::Missing`], [`HomeError::Exists`], [`HomeError::Held`],
    /// [`HomeError::BadName`], the system's refusal.
    pub fn rename(&self, name: &str) -> Result<(Self, Lock), HomeError> {
        if !self.exists() {
            return Err(HomeError::Missing(self.dir.clone()));
        }
        let state_dir = self.dir.parent().unwrap_or_else(|| Path::new(""));
        let target = Self::new(state_dir, name)?;
        if kind_of(&target.dir)? != Kind::Nothing {
            return Err(HomeError::Exists(target.dir));
        }
        let lock = Lock::take(self, HolderKind::Command, None).map_err(|e| match e {
            LockError::Held(holder) => HomeError::Held(holder),
            LockError::Io { path, source } => HomeError::Io { path, source },
            LockError::Home(error) => error,
        })?;
        fs::rename(&self.dir, &target.dir).map_err(|e| io_error(&self.dir, e))?;
        sync_parent(&target.dir)?;
        Ok((target, lock))
    }
}

/// Names of the agents there are, sorted. A state directory that does not
/// exist has none.
///
/// # Errors
/// The system's refusal to read the directory.
pub fn list(state_dir: &Path) -> Result<Vec<String>, HomeError> {
    let entries = match fs::read_dir(state_dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_error(state_dir, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| io_error(state_dir, e))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if Home::new(state_dir, &name).is_ok_and(|home| home.exists()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// What is under a name, symlinks not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nothing,
    Directory,
    File,
    Symlink,
    Other,
}

pub(crate) fn kind_of(path: &Path) -> Result<Kind, HomeError> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => Ok(Kind::Symlink),
        Ok(meta) if meta.is_dir() => Ok(Kind::Directory),
        Ok(meta) if meta.is_file() => Ok(Kind::File),
        Ok(_) => Ok(Kind::Other),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Kind::Nothing),
        Err(e) => Err(io_error(path, e)),
    }
}

pub(crate) fn io_error(path: &Path, source: io::Error) -> HomeError {
    HomeError::Io { path: path.to_owned(), source }
}

/// Makes the state directory and what is above it.
fn make_parents(dir: &Path) -> Result<(), HomeError> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_parents(parent)?;
    }
    make_dir(dir)
}

/// Makes one directory with its mode, whatever the umask, and syncs its parent.
pub(crate) fn make_dir(dir: &Path) -> Result<(), HomeError> {
    match kind_of(dir)? {
        Kind::Directory => return Ok(()),
        Kind::Symlink => return Err(HomeError::Symlink(dir.to_owned())),
        Kind::File | Kind::Other => return Err(HomeError::WrongKind(dir.to_owned())),
        Kind::Nothing => {}
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(dir) {
        Ok(()) => {}
        // Another taker of the same agent was faster.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(e) => return Err(io_error(dir, e)),
    }
    let handle = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY)
        .open(dir)
        .map_err(|e| io_error(dir, e))?;
    set_mode(&handle, DIRECTORY_MODE).map_err(|e| io_error(dir, e))?;
    keep_owner(&handle, dir).map_err(|e| io_error(dir, e))?;
    sync_parent(dir)
}

/// Opens a file of the home for reading and writing, making it if need be.
pub(crate) fn open_file(path: &Path) -> Result<File, HomeError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
        .map_err(|e| match e.raw_os_error() {
            Some(libc::ELOOP) => HomeError::Symlink(path.to_owned()),
            _ => io_error(path, e),
        })?;
    let meta = file.metadata().map_err(|e| io_error(path, e))?;
    if !meta.is_file() {
        return Err(HomeError::WrongKind(path.to_owned()));
    }
    if meta.len() == 0 && meta.mode() & 0o777 != FILE_MODE {
        set_mode(&file, FILE_MODE).map_err(|e| io_error(path, e))?;
    }
    keep_owner(&file, path).map_err(|e| io_error(path, e))?;
    Ok(file)
}

fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// Root working on somebody's agent leaves its files to that user: else the
/// service could not write them any more.
fn keep_owner(file: &File, path: &Path) -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) else {
        return Ok(());
    };
    let owner = fs::metadata(parent)?;
    let own = file.metadata()?;
    if owner.uid() != 0 && own.uid() == 0 {
        std::os::unix::fs::fchown(file.as_fd(), Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// Makes the entry of `path` in its directory durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), HomeError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => return Ok(()),
    };
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|e| io_error(parent, e))
}
