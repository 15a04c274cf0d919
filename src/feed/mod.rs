//! Lines of `--events`: a file that is followed, a FIFO, or adrt's stdin.
//!
//! ```text
//!  file, FIFO, stdin ──> thread ──channel of one batch──> loop, while it wants any
//!                         lines, position
//! ```
//!
//! Invariants:
//! - reading is done by a thread, which may hang with its file system; the
//!   loop never waits for it;
//! - it reads one batch ahead and no further: what is not wanted stays where
//!   it is, and a writer into a pipe waits;
//! - a batch carries the place after its last line, to be written down with
//!   what comes of it;
//! - nothing that happens to a source ends the run.
//!
//! - `follow`: regular files; `rotated`: those that lost their name;
//!   `position`: how far one is read; `watch`: when to look again.
//! - `stream`: what can be read once.
//! - `lines`: bytes into batches; `outlet`: the way to the loop.
//!
//! Not here: what a line means, and what becomes of a bad one.

mod follow;
mod lines;
mod outlet;
mod position;
mod rotated;
mod stream;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use tokio::sync::mpsc;

use follow::Follower;
pub use outlet::Log;
use outlet::{Gone, Outlet};
use position::Position;

use crate::quiet;
use crate::supervisor::io::{Level, SourceBatch};

/// Batches between the thread and the loop: one is read while the one before
/// it is being written down.
const BATCHES_AHEAD: usize = 1;

/// Stack of the reading thread.
const THREAD_STACK_BYTES: usize = 256 * 1024;

/// Where lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// adrt's own stdin.
    Stdin,
    /// A file or FIFO; it need not be there yet.
    Path(PathBuf),
}

/// Why a source can't be one.
#[derive(Debug)]
pub enum SourceError {
    /// A directory, a socket or a disk.
    WrongKind(PathBuf),
    /// The system refuses to read it.
    Io {
        /// What.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongKind(path) => {
                write!(f, "{} is neither a file nor a FIFO", path.display())
            }
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for SourceError {}

/// Looks whether it can be read, as far as that can be told without opening
/// it: whoever writes to a FIFO would notice that.
///
/// # Errors
/// It never can be, or not by this user. A missing file is none.
pub fn check(source: &Source) -> Result<(), SourceError> {
    let Source::Path(path) = source else { return Ok(()) };
    let error = |source: io::Error| SourceError::Io { path: path.clone(), source };
    let kind = match fs::metadata(path) {
        Ok(there) => there.file_type(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(error(e)),
    };
    if !(kind.is_file() || kind.is_fifo() || kind.is_char_device()) {
        return Err(SourceError::WrongKind(path.clone()));
    }
    faccessat(AT_FDCWD, path, AccessFlags::R_OK, AtFlags::AT_EACCESS).map_err(|e| error(e.into()))
}

/// A source that is being read.
#[derive(Debug)]
pub struct Feed {
    batches: mpsc::Receiver<SourceBatch>,
}

impl Feed {
    /// Starts the thread `adrt-feed`. `position` is what the last batch that
    /// was written down carried.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(
        source: Source,
        position: Option<String>,
        line_bytes_max: usize,
        log: Log,
    ) -> io::Result<Self> {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let outlet = Outlet::new(sender, log);
        quiet::spawn("adrt-feed", Some(THREAD_STACK_BYTES), move || {
            let _loop_is_gone = match source {
                Source::Stdin => stream::stdin(&outlet, line_bytes_max),
                Source::Path(path) => read(&path, position, &outlet, line_bytes_max),
            };
        })?;
        Ok(Self { batches })
    }

    /// The next batch; none ever again once the source has ended. Nothing is
    /// lost if it is dropped while it waits.
    pub async fn next(&mut self) -> Option<SourceBatch> {
        self.batches.recv().await
    }
}

/// Reads whatever has that name, and what has it after that.
fn read(
    path: &Path,
    position: Option<String>,
    outlet: &Outlet,
    line_bytes_max: usize,
) -> Result<(), Gone> {
    let mut resume = position.as_deref().and_then(Position::parse);
    if position.is_some() && resume.is_none() {
        let path = path.display();
        outlet.log(
            Level::Error,
            &format!("how far {path} was read is written in words this adrt does not know: it is read from its beginning"),
        );
    }
    while Follower::new(path, resume.take(), outlet, line_bytes_max).run() {
        if !stream::named(path, outlet, line_bytes_max)? {
            break;
        }
    }
    Ok(())
}
