//! One writer: the lock of an agent's directory.
//!
//! The lock is an open-file-description lock on two bytes of the file `lock`:
//!
//! | byte | locked means |
//! |---|---|
//! | 0 | somebody holds the agent |
//! | 1 | what the file says (pid, kind, socket) is the holder's, and whole |
//! | 2 and on | a command does a step whose scope and name hash to it |
//!
//! So who holds it is never told from a stale file, nor from a pid that may
//! belong to another by now, and asking never stands in a taker's way. The
//! kernel drops both when the holder dies, however it dies.
//!
//! The file outlives its holders, but may be renamed or deleted with its
//! directory: a taker looks again whether what it locked is still there.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::home::{Home, HomeError, open_file};
use crate::clock;

/// The byte that says the agent is held.
const BYTE_HELD: i64 = 0;
/// The byte that says the file's content is the holder's.
const BYTE_TOLD: i64 = 1;
/// From here on each byte stands for the steps whose names hash to it.
const BYTE_STEPS: i64 = 2;
/// So many bytes. Offsets of a small machine have 32 bits, one of them the sign.
const STEP_BYTES: u32 = i32::MAX as u32 - 2;
/// How often a look at a holder who has not said its name yet is repeated.
const NAME_TRIES: u32 = 50;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);
/// The longest content that is read.
const CONTENT_MAX: usize = 8192;

/// Who holds an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process; 0 if it has not said so yet.
    pub pid: i32,
    /// What it is.
    pub kind: HolderKind,
    /// Its control socket.
    pub socket: Option<PathBuf>,
}

/// What a holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderKind {
    /// `adrt run`: for long, with a control socket.
    Run,
    /// `adrt attach`: likewise.
    Attach,
    /// A command that writes while no agent runs: for a moment.
    Command,
}

impl HolderKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Attach => "attach",
            Self::Command => "command",
        }
    }

    /// Whether it holds the agent for long, and answers on a control socket.
    pub const fn answers(self) -> bool {
        match self {
            Self::Run | Self::Attach => true,
            Self::Command => false,
        }
    }
}

/// Why the lock was not had.
#[derive(Debug)]
pub enum LockError {
    /// Somebody has it.
    Held(Holder),
    /// The system refused.
    Io {
        /// What was touched.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
    /// The file or directory is not what it should be.
    Home(HomeError),
}

impl std::fmt::Display for LockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Held(holder) => match holder.kind {
                HolderKind::Run => {
                    write!(f, "adrt run (process {}) supervises this agent already", holder.pid)
                }
                HolderKind::Attach => {
                    write!(
                        f,
                        "adrt attach (process {}) holds this agent for its client",
                        holder.pid
                    )
                }
                HolderKind::Command => {
                    write!(f, "an adrt command (process {}) is writing", holder.pid)
                }
            },
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Home(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LockError {}

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    kind: HolderKind,
}

impl Lock {
    /// Takes the lock at once or not at all. The directory must be there.
    ///
    /// # Errors
    /// [`LockError::Held`] with its holder; the system's refusal.
    pub fn take(home: &Home, kind: HolderKind, socket: Option<&Path>) -> Result<Self, LockError> {
        let path = home.lock_path();
        loop {
            let file = open_file(&path).map_err(|e| match e {
                HomeError::Io { path, source } => LockError::Io { path, source },
                other => LockError::Home(other),
            })?;
            let io = |source| LockError::Io { path: path.clone(), source };
            if !set_lock(&file, BYTE_HELD, libc::F_WRLCK).map_err(io)? {
                if let Some(holder) = holder(home) {
                    return Err(LockError::Held(holder));
                }
                continue; // it was given back just now
            }
            if !still_there(&file, &path).map_err(io)? {
                continue; // renamed or deleted with its directory meanwhile
            }
            let mut lock = Self { file, path: path.clone(), kind };
            lock.update_socket(socket).map_err(io)?;
            return Ok(lock);
        }
    }

    /// As [`Lock::take`], but waits for a [`HolderKind::Command`] to be done,
    /// at most so long.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn take_within(
        home: &Home,
        kind: HolderKind,
        socket: Option<&Path>,
        patience: Duration,
    ) -> Result<Self, LockError> {
        let begun = clock::mono();
        loop {
            match Self::take(home, kind, socket) {
                Err(LockError::Held(Holder { kind: HolderKind::Command, .. }))
                    if clock::mono().since(begun) < patience =>
                {
                    std::thread::sleep(PAUSE);
                }
                other => return other,
            }
        }
    }

    /// Says where the control socket is.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn update_socket(&mut self, socket: Option<&Path>) -> io::Result<()> {
        set_lock(&self.file, BYTE_TOLD, libc::F_UNLCK)?;
        let mut content = format!("{} {}\n", std::process::id(), self.kind.as_str()).into_bytes();
        if let Some(socket) = socket {
            content.extend_from_slice(socket.as_os_str().as_bytes());
            content.push(b'\n');
        }
        self.file.write_all_at(&content, 0)?;
        self.file.set_len(content.len() as u64)?;
        set_lock(&self.file, BYTE_TOLD, libc::F_WRLCK)?;
        Ok(())
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Who holds it now; none if it is free, or there is no such agent.
///
/// The kernel is asked, not the file. A holder that has not got round to
/// writing its name is waited for, a tenth of a second at most.
pub fn holder(home: &Home) -> Option<Holder> {
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(home.lock_path())
        .ok()?;
    for _ in 0..NAME_TRIES {
        if !is_locked(&file, BYTE_HELD) {
            return None;
        }
        if is_locked(&file, BYTE_TOLD) {
            let first = read_content(&file);
            // The same words twice, the byte locked after each: they were not
            // being written in between.
            if is_locked(&file, BYTE_TOLD)
                && read_content(&file) == first
                && let Some(holder) = parse(&first)
            {
                return Some(holder);
            }
        }
        std::thread::sleep(PAUSE);
    }
    Some(Holder { pid: 0, kind: HolderKind::Run, socket: None })
}

/// That one process at a time does a step; it ends when it is dropped, and
/// with the process, however that dies.
#[derive(Debug)]
pub struct StepLock(#[expect(dead_code, reason = "held open")] Option<File>);

impl StepLock {
    /// Takes it at once, or gives none: another process has it. Somebody who
    /// may not write the file, a member of the group say, does without.
    pub fn take(home: &Home, hash: u32) -> Option<Self> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(home.lock_path());
        let Ok(file) = file else { return Some(Self(None)) };
        match set_lock(&file, BYTE_STEPS + i64::from(hash % STEP_BYTES), libc::F_WRLCK) {
            Ok(true) => Some(Self(Some(file))),
            Ok(false) => None,
            Err(_) => Some(Self(None)),
        }
    }
}

fn read_content(file: &File) -> Vec<u8> {
    let mut content = vec![0; CONTENT_MAX];
    let read = file.read_at(&mut content, 0).unwrap_or(0);
    content.truncate(read);
    content
}

fn parse(content: &[u8]) -> Option<Holder> {
    let mut lines = content.split(|b| *b == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (pid, kind) = first.split_once(' ')?;
    let kind = match kind {
        "run" => HolderKind::Run,
        "attach" => HolderKind::Attach,
        "command" => HolderKind::Command,
        _ => return None,
    };
    let socket = lines
        .next()
        .filter(|line| !line.is_empty())
        .map(|line| PathBuf::from(std::ffi::OsStr::from_bytes(line)));
    Some(Holder { pid: pid.parse().ok()?, kind, socket })
}

fn one_byte(byte: i64, kind: i32) -> libc::flock {
    // SAFETY: flock is plain data, and all zeroes is a valid value of it; it
    // has padding on some targets, which is why it is not written out.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = byte as libc::off_t;
    lock.l_len = 1;
    lock
}

/// Locks or unlocks one byte; false if somebody else has it.
fn set_lock(file: &File, byte: i64, kind: i32) -> io::Result<bool> {
    match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&one_byte(byte, kind))) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        Err(e) => Err(io::Error::from_raw_os_error(e as i32)),
    }
}

/// Whether anybody holds that byte. Asking takes nothing.
fn is_locked(file: &File, byte: i64) -> bool {
    let mut lock = one_byte(byte, libc::F_WRLCK);
    fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut lock)).is_ok()
        && lock.l_type != libc::F_UNLCK as libc::c_short
}

/// Whether the file that is locked is the one under its name.
fn still_there(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(there.ino() == own.ino() && there.dev() == own.dev()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
