//! Lines of `--events`, on their way to the machine.
//!
//! ```text
//!             ask                                    news
//!  the loop ───────► a thread that reads ──────────────────► the loop
//!                    │ follow: a regular file, over rotation and restarts
//!                    │ stream: a FIFO, or stdin
//! ```
//!
//! Whatever is read may block for as long as a disk or another machine does,
//! so it is read by a thread, and the loop only ever asks for the next batch
//! and is told when it is there. Nothing is read that was not asked for: what
//! adrt has in hand is one batch, and the rest stays where it is, be it in a
//! file or in a pipe whose writer then waits.
//!
//! - *A file* has a position: after each batch, as text, to be written down
//!   with its events. A new [`Feed`] that is given it goes on right there.
//! - *A FIFO and stdin* have none. What was taken out of them and has not
//!   reached the disk when adrt dies is lost.
//!
//! Parts: [`reader`] (the thread), [`follow`], [`resume`] and [`rotation`]
//! (files), [`position`], [`stream`], [`watch`] (waiting), [`cutter`] (lines).
//!
//! Deliberately not here: what a line means. A bad one is handed on as it is.

use std::io::{self, PipeWriter};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::unistd::AccessFlags;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::supervisor::io::{Level, SourceBatch};

mod cutter;
mod files;
mod filesystem;
mod follow;
mod position;
mod reader;
mod resume;
mod rotation;
mod stream;
mod watch;

use reader::{Reader, Report};

/// Stack of the thread.
const THREAD_STACK_BYTES: usize = 256 * 1024;

/// Where lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// adrt's own stdin.
    Stdin,
    /// A file or a FIFO, which need not be there yet.
    Path(PathBuf),
}

/// Why no lines can come from there, as far as a look can tell.
#[derive(Debug)]
pub enum Unusable {
    /// It is a directory, a device, a socket.
    Kind(&'static str),
    /// It can't be read.
    Unreadable(io::Error),
}

/// Looks whether a source can be read, before anything is made for it.
///
/// # Errors
/// It can't, and waiting would not help.
pub fn check(source: &Source) -> Result<(), Unusable> {
    let Source::Path(path) = source else { return Ok(()) };
    let kind = match std::fs::metadata(path) {
        Ok(meta) => meta.file_type(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Unusable::Unreadable(e)),
    };
    if kind.is_dir() {
        return Err(Unusable::Kind("a directory"));
    }
    if kind.is_socket() {
        return Err(Unusable::Kind("a socket"));
    }
    if kind.is_char_device() || kind.is_block_device() {
        return Err(Unusable::Kind("a device"));
    }
    // Not by opening it: a FIFO's writer that waits for a reader would go on,
    // and then find none.
    readable(path).map_err(|errno| Unusable::Unreadable(errno.into()))
}

fn readable(path: &Path) -> nix::Result<()> {
    nix::unistd::eaccess(path, AccessFlags::R_OK)
}

/// What the loop is told.
#[derive(Debug)]
pub enum News {
    /// What was asked for is there: [`Feed::take`] has it.
    Ready,
    /// Something to be told to the operator.
    Told {
        /// How grave.
        level: Level,
        /// What.
        message: String,
    },
    /// It can't be read, and is tried again; or it can, after that.
    Trouble(Option<String>),
    /// Nothing will come any more.
    Ended,
}

/// The loop's side. Dropped, it ends the thread as soon as that can hear it.
#[derive(Debug)]
pub struct Feed {
    asks: mpsc::Sender<()>,
    reports: UnboundedReceiver<Report>,
    /// The thread has been asked, and has not answered.
    asked: bool,
    batch: Option<SourceBatch>,
    _closed_to_stop: PipeWriter,
}

impl Feed {
    /// Begins to read a source: from the position that came with the last batch
    /// whose events have reached the disk, if there is one. Lines are at most so
    /// long.
    ///
    /// # Errors
    /// The system has no thread or descriptor to give.
    pub fn start(source: Source, position: Option<&str>, line_max: usize) -> io::Result<Self> {
        let (asks, asked) = mpsc::channel();
        let (report, reports) = unbounded_channel();
        let (stop, closed_to_stop) = io::pipe()?;
        let reader = Reader::new(source, position, line_max, stop, report);
        thread::Builder::new()
            .name("adrt-events".to_owned())
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || {
                // Signals are other threads' work.
                let _cannot_fail =
                    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
                reader.run(&asked);
            })?;
        Ok(Self { asks, reports, asked: false, batch: None, _closed_to_stop: closed_to_stop })
    }

    /// Asks for a batch, unless one is here or on its way. Never waits.
    pub fn ask(&mut self) {
        if self.batch.is_none() && !self.asked {
            // If the thread is gone, that is told.
            self.asked = self.asks.send(()).is_ok();
        }
    }

    /// The batch that was asked for, if it is here.
    pub fn take(&mut self) -> Option<SourceBatch> {
        self.batch.take()
    }

    /// Waits for news. May be dropped at any time.
    pub async fn next(&mut self) -> News {
        match self.reports.recv().await {
            Some(Report::Batch(batch)) => {
                self.asked = false;
                self.batch = Some(batch);
                News::Ready
            }
            Some(Report::Told { level, message }) => News::Told { level, message },
            Some(Report::Trouble(trouble)) => News::Trouble(trouble),
            Some(Report::Ended) | None => News::Ended,
        }
    }
}

/// To whom something is told.
type Tell<'a> = &'a mut dyn FnMut(Level, String);

/// Tells of lines that were too long.
fn tell_cut(lengths: &[u64], name: &str, tell: Tell<'_>) {
    for length in lengths {
        let what = format!(
            "a line of {length} bytes in {name} is longer than --max-frame; only its first \
             {} are kept",
            cutter::OVERLONG_KEPT_BYTES
        );
        tell(Level::Warning, what);
    }
}

#[cfg(test)]
mod tests;
