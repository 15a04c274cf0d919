//! What is measured of an agent: put together here, for the command line and
//! for `run --metrics FILE`.
//!
//! The file is for node_exporter's textfile collector. It is written anew every
//! [`EVERY`], at each change of phase, and at the end, when nothing of the agent
//! is up any more; each time beside it and then renamed, so that nobody reads
//! half of one. A thread does it: the disk it is on may be as slow as it likes.
//! That thread has one page to write at most; a newer one takes its place.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use super::told::tell;
use super::usage::Units;
use crate::clock;
use crate::metrics::{self, Figures, Format, Usage};
use crate::output::Sink;
use crate::process::table;
use crate::quiet;
use crate::store::home::Home;
use crate::store::read::Reader;
use crate::supervisor::io::Level;

/// How often the file is written anew: as often as most collectors ask.
const EVERY: Duration = Duration::from_secs(15);
/// How long the last page may take to be written.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// Mode of the file: a collector runs as another user.
const MODE: u32 = 0o644;

/// Adds what the agent's adrt does not know.
pub fn complete(mut figures: Figures, home: &Home) -> Figures {
    figures.usage = figures.pid.and_then(usage);
    let waits = figures.inbox.as_ref().is_some_and(|i| i.pending + i.held + i.parked > 0);
    if let Some(inbox) = figures.inbox.as_mut().filter(|inbox| waits && inbox.oldest.is_none()) {
        let kept = Reader::open(home).and_then(|reader| reader.inbox_summary());
        inbox.oldest = kept.ok().and_then(|kept| Some(kept.oldest_unacked?.1.rfc3339()));
    }
    figures
}

/// What a process uses, as the kernel has it.
fn usage(pid: i32) -> Option<Usage> {
    let (load, units) = (table::load(pid)?, Units::of_system()?);
    Some(Usage { resident_bytes: units.bytes(load), cpu_seconds: units.seconds(load) })
}

/// The file of a run.
#[derive(Debug)]
pub struct MetricsFile {
    shared: Arc<Shared>,
    every: Interval,
    /// The phase that was last put into it.
    phase: &'static str,
}

#[derive(Debug, Default)]
struct Shared {
    order: Mutex<Order>,
    /// There is something to write.
    work: Condvar,
    /// All of it was written.
    done: Condvar,
}

/// What the thread is to write.
#[derive(Debug, Default)]
struct Order {
    /// A status document.
    status: Option<String>,
    /// It is the last one.
    last: bool,
    busy: bool,
}

impl MetricsFile {
    /// Starts the thread; to be called on the loop.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(path: PathBuf, home: Home, stderr: Sink) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        quiet::spawn("adrt-metrics", None, move || Page { path, home, stderr }.keep(&theirs))?;
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { shared, every, phase: "" })
    }

    /// Whether that is news.
    pub fn entered(&mut self, phase: &'static str) -> bool {
        std::mem::replace(&mut self.phase, phase) != phase
    }

    /// It is time for the next page.
    pub async fn due(&mut self) {
        self.every.tick().await;
    }

    /// Has a page made of this. Never waits.
    pub fn put(&self, status: String) {
        self.shared.lock().status = Some(status);
        self.shared.work.notify_one();
    }

    /// Has the last one made, and waits for it, though not for long.
    pub fn close(&self, status: String) {
        let mut order = self.shared.lock();
        (order.status, order.last) = (Some(status), true);
        self.shared.work.notify_one();
        let unwritten = |order: &mut Order| order.busy || order.status.is_some();
        let _as_far_as_it_got =
            self.shared.done.wait_timeout_while(order, LAST_PATIENCE, unwritten);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Order> {
        // Each change of it is whole.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next status, and whether it is the last.
    fn next(&self) -> (String, bool) {
        let mut order = self.lock();
        loop {
            if let Some(status) = order.status.take() {
                order.busy = true;
                return (status, order.last);
            }
            order = self.work.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn written(&self) {
        self.lock().busy = false;
        self.done.notify_all();
    }
}

/// The thread's side.
struct Page {
    path: PathBuf,
    home: Home,
    stderr: Sink,
}

impl Page {
    fn keep(self, shared: &Shared) {
        let mut failed = false;
        loop {
            let (status, last) = shared.next();
            let outcome = self.write(&status, last);
            shared.written();
            match outcome {
                Err(error) if !failed => {
                    let path = self.path.display();
                    tell(
                        &self.stderr,
                        Level::Warning,
                        format!("metrics can't be kept in {path}: {error}"),
                    );
                    failed = true;
                }
                Ok(()) if failed => {
                    tell(&self.stderr, Level::Info, "metrics are kept again");
                    failed = false;
                }
                Ok(()) | Err(_) => {}
            }
            if last {
                return;
            }
        }
    }

    fn write(&self, status: &str, last: bool) -> io::Result<()> {
        let figures = Figures::parse(status)?;
        let figures = if last { figures.stopped() } else { complete(figures, &self.home) };
        let text = metrics::page(&[figures], clock::wall(), Format::Classic);
        put_in_place(&self.path, text.as_bytes())
    }
}

/// All of it at once, or nothing. It is not synced: after a power cut it would
/// tell of what is no more.
fn put_in_place(path: &Path, text: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_string_lossy();
    // Collectors pass over names with another end.
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file = File::create(&beside)?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.write_all(text)?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _none_was_made = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_that_of_the_process() {
        let us = usage(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(us.resident_bytes > 100_000, "{us:?}");
    }

    #[test]
    fn a_file_is_put_in_place_whole_and_for_all_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("adrt.prom");
        for text in ["one", "two"] {
            put_in_place(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        // A directory in its place: nothing is left beside it.
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(put_in_place(&taken, b"x").is_err());
        assert!(put_in_place(&dir.path().join("gone/x"), b"x").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
