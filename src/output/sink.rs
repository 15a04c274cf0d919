//! A bounded queue in front of one of adrt's own descriptors.
//!
//! The loop puts text in and never waits; a thread ([`super::writer`]) takes
//! it out and may wait as long as whoever reads adrt's output pleases.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use tokio::sync::Notify;

use super::entry::{Entry, Priority};
use super::escape::escape_line;
use super::journal::{Journal, is_journal};
use super::writer::Writer;
use crate::quiet;

/// Bytes of a buffer: what is read from a pipe and written at once. Large, so
/// that a flood costs few system calls; not larger than a processor's cache.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// A sink that holds this much takes no more text: eight chunks keep both the
/// reader and the writer busy, and more would only be memory. Since it is
/// asked before a chunk and not after, it may hold one chunk more.
pub const QUEUE_BYTES: usize = 8 * CHUNK_BYTES;

/// Further room for what dead agents leave in their pipes, which can't wait
/// there: all that one agent's pipes hold, and more. Past it, that text is
/// dropped: nobody has read adrt's output during several crashes.
const LEFT_OVER_BYTES: usize = 1024 * 1024;

/// Further room for adrt's own lines, which must not wait behind an agent's.
const OWN_LINES_BYTES: usize = 256 * 1024;

/// Text up to this size is copied to the end of the last buffer that waits,
/// so that many small pieces take neither many buffers nor many writes.
const JOIN_BYTES: usize = 16 * 1024;

/// Empty buffers kept for the next text.
const SPARE_BUFFERS: usize = 8;

/// Stack of the writing thread.
const THREAD_STACK_BYTES: usize = 128 * 1024;

/// The queue is full; here is the text again.
#[derive(Debug, PartialEq, Eq)]
pub struct Full(pub Vec<u8>);

/// The loop's side of the queue. Clones share it.
#[derive(Debug, Clone)]
pub struct Sink {
    shared: Arc<Shared>,
}

/// What the loop and the writing thread share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The descriptor is the journal.
    journal: bool,
    queue: Mutex<Queue>,
    /// There is something to write, or nothing ever again.
    work: Condvar,
    /// Everything has been written.
    quiet: Condvar,
    /// There is room again.
    room: Notify,
}

/// A piece of what is to be written.
#[derive(Debug)]
pub(super) enum Piece {
    /// An agent's bytes.
    Text(Vec<u8>),
    /// A line of adrt's, newline included, to begin at the beginning of one.
    Line(Vec<u8>),
    /// The same for the journal.
    Entry(Box<Entry>),
    /// For the journal: text that follows is this incarnation's, or nobody's.
    Whose(Option<u64>),
}

impl Piece {
    /// What it takes of the room for adrt's own lines.
    fn line_bytes(&self) -> usize {
        match self {
            Self::Text(_) => 0,
            Self::Line(line) => line.len(),
            Self::Entry(entry) => entry.bytes(),
            Self::Whose(_) => size_of::<Self>(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pieces: VecDeque<Piece>,
    /// Bytes of text that wait or are being written.
    text_bytes: usize,
    /// Bytes of adrt's own lines likewise.
    line_bytes: usize,
    /// The writer waits for work.
    idle: bool,
    /// Nothing more comes.
    closed: bool,
    /// Bytes that were dropped: nobody reads, or the descriptor fails.
    lost_bytes: u64,
    /// Own lines that were dropped since the last one that was taken.
    lost_lines: u64,
    spare: Vec<Vec<u8>>,
}

impl Sink {
    /// adrt's stdout.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn stdout() -> io::Result<Self> {
        Self::start("adrt-stdout", copy_of(io::stdout().as_fd()), None)
    }

    /// adrt's stderr.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn stderr() -> io::Result<Self> {
        Self::start("adrt-stderr", copy_of(io::stderr().as_fd()), None)
    }

    /// Any descriptor.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn to(fd: OwnedFd) -> io::Result<Self> {
        Self::start("adrt-sink", Some(fd), None)
    }

    /// adrt's stdout and stderr for the agent of that name: each of them that
    /// is the journal of systemd gets entries of it.
    ///
    /// # Errors
    /// The system has no thread or socket to give.
    pub fn both_for(agent: &str) -> io::Result<(Self, Self)> {
        let start = |name, fd: Option<OwnedFd>| {
            let journal = fd.as_ref().is_some_and(is_journal).then(|| Journal::new(agent));
            Self::start(name, fd, journal.transpose()?)
        };
        let stdout = start("adrt-stdout", copy_of(io::stdout().as_fd()))?;
        Ok((stdout, start("adrt-stderr", copy_of(io::stderr().as_fd()))?))
    }

    fn start(name: &str, fd: Option<OwnedFd>, journal: Option<Journal>) -> io::Result<Self> {
        let shared = Arc::new(Shared { journal: journal.is_some(), ..Shared::default() });
        let writer = Writer::new(fd, journal, Arc::clone(&shared));
        // With SIGTTOU blocked, too, a terminal that was lent to the agent still
        // takes what adrt writes.
        quiet::spawn(name, Some(THREAD_STACK_BYTES), move || writer.run())?;
        Ok(Self { shared })
    }

    /// An empty buffer of [`CHUNK_BYTES`], used before if there is one.
    pub fn buffer(&self) -> Vec<u8> {
        let spare = self.shared.lock().spare.pop();
        spare.unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES))
    }

    /// Gives back a buffer that was not sent.
    pub fn recycle(&self, buffer: Vec<u8>) {
        self.shared.lock().keep(buffer);
    }

    /// Queues text.
    ///
    /// # Errors
    /// [`Full`], with the text: ask again after [`Sink::room`].
    pub fn try_send(&self, text: Vec<u8>) -> Result<(), Full> {
        let mut queue = self.shared.lock();
        if !queue.has_room() {
            return Err(Full(text));
        }
        queue.put_text(text);
        self.shared.wake(queue);
        Ok(())
    }

    /// Queues a copy of text, as the wire's text comes in slices. Says
    /// whether there was room.
    pub fn try_copy(&self, text: &[u8]) -> bool {
        let mut queue = self.shared.lock();
        let has_room = queue.has_room();
        if has_room {
            queue.copy_text(text);
            self.shared.wake(queue);
        }
        has_room
    }

    /// Queues the last words of a dead agent: past the bound if need be, but
    /// not without one. What does not fit is dropped and counted.
    pub fn copy_left_over(&self, text: &[u8]) {
        let mut queue = self.shared.lock();
        if queue.text_bytes + text.len() <= QUEUE_BYTES + LEFT_OVER_BYTES {
            queue.copy_text(text);
            self.shared.wake(queue);
        } else {
            queue.lose(text.len());
        }
    }

    /// Queues a line of adrt's own. It begins at the beginning of a line,
    /// whatever an agent wrote before it, and is one line: control characters
    /// in it are escaped. Never waits; past a bound of their own, lines are
    /// dropped, and the next one says how many.
    pub fn line(&self, line: &str) {
        self.put_own(|| Piece::Line((escape_line(line) + "\n").into_bytes()));
    }

    /// The same with all that is known of it, of which but for the journal
    /// only the line is told.
    pub fn entry(&self, entry: Entry) {
        if self.shared.journal {
            self.put_own(|| Piece::Entry(Box::new(entry)));
        } else {
            self.line(&entry.plain());
        }
    }

    /// Text that follows is this incarnation's; or nobody's, and what was said
    /// before is all. Means nothing but to the journal.
    pub fn whose(&self, incarnation: Option<u64>) {
        if self.shared.journal {
            self.put_own(|| Piece::Whose(incarnation));
        }
    }

    /// Whether it leads to the journal.
    pub fn is_journal(&self) -> bool {
        self.shared.journal
    }

    fn put_own(&self, piece: impl FnOnce() -> Piece) {
        let mut queue = self.shared.lock();
        if queue.closed || queue.line_bytes >= OWN_LINES_BYTES {
            queue.lost_lines += 1;
            return;
        }
        if queue.lost_lines > 0 {
            let lost = std::mem::take(&mut queue.lost_lines);
            let missing = format!("{lost} lines are missing here: nobody read them");
            let entry = Entry::own(Priority::Warning, missing);
            queue.put_own(if self.shared.journal {
                Piece::Entry(Box::new(entry))
            } else {
                Piece::Line((entry.plain() + "\n").into_bytes())
            });
        }
        queue.put_own(piece());
        self.shared.wake(queue);
    }

    /// Whether text would be taken now.
    pub fn has_room(&self) -> bool {
        self.shared.lock().has_room()
    }

    /// Waits until text would be taken. May be dropped at any time.
    pub async fn room(&self) {
        loop {
            let told = self.shared.room.notified();
            tokio::pin!(told);
            // From here on no notice is missed, even before it is awaited.
            told.as_mut().enable();
            if self.has_room() {
                return;
            }
            told.await;
        }
    }

    /// Bytes that were taken and not written, because nobody read for long or
    /// the descriptor is closed or fails.
    pub fn lost_bytes(&self) -> u64 {
        self.shared.lock().lost_bytes
    }

    /// Waits until all that was queued has been written or dropped, at most
    /// so long; says whether it has been. Blocks the calling thread.
    pub fn flush(&self, patience: Duration) -> bool {
        let queue = self.shared.lock();
        let waiting = |queue: &mut Queue| queue.text_bytes + queue.line_bytes > 0;
        let waited = self.shared.quiet.wait_timeout_while(queue, patience, waiting);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !waiting(&mut queue)
    }

    /// [`Sink::flush`], then ends the thread. What comes later is dropped and
    /// counted. A thread that still hangs in a write is left to the end of the process.
    pub fn close(&self, patience: Duration) -> bool {
        let written = self.flush(patience);
        let mut queue = self.shared.lock();
        queue.closed = true;
        self.shared.wake(queue);
        self.shared.room.notify_waiters();
        written
    }
}

/// A copy that stays open whatever happens to the original. `None` if adrt
/// was started without it.
fn copy_of(fd: impl AsFd) -> Option<OwnedFd> {
    use std::os::fd::{AsRawFd, FromRawFd};
    let raw = fcntl(fd.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(fd.as_fd().as_raw_fd())).ok()?;
    // SAFETY: fcntl has just made this descriptor, and nobody else knows it.
    Some(unsafe { OwnedFd::from_raw_fd(raw) })
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Each change of it is complete before anything can panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the writer, if it waits.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        if std::mem::take(&mut queue.idle) {
            drop(queue);
            self.work.notify_one();
        }
    }

    /// For the writer: all that waits. `None` when nothing comes any more.
    /// Buffers that were not needed for `patience` are given back to the
    /// system: an agent that was loud once costs nothing afterwards. With
    /// `holding`, nothing is given after it, for what the writer holds back.
    pub(super) fn take(&self, patience: Duration, holding: bool) -> Option<VecDeque<Piece>> {
        let mut queue = self.lock();
        loop {
            if !queue.pieces.is_empty() {
                queue.idle = false;
                return Some(std::mem::take(&mut queue.pieces));
            }
            if queue.closed {
                return None;
            }
            queue.idle = true;
            if queue.spare.is_empty() && !holding {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else {
                let waited = self.work.wait_timeout(queue, patience);
                let (woken, result) = waited.unwrap_or_else(PoisonError::into_inner);
                queue = woken;
                if result.timed_out() && queue.pieces.is_empty() {
                    if holding {
                        queue.idle = false;
                        return Some(VecDeque::new());
                    }
                    queue.spare = Vec::new();
                }
            }
        }
    }

    /// For the writer: this piece is done with; `lost` bytes of it were not
    /// written.
    pub(super) fn done(&self, piece: Piece, lost: usize) {
        let mut queue = self.lock();
        queue.lose(lost);
        let before = queue.text_bytes;
        queue.line_bytes -= piece.line_bytes();
        match piece {
            Piece::Text(buffer) => {
                queue.text_bytes -= buffer.len();
                queue.keep(buffer);
            }
            Piece::Line(_) | Piece::Entry(_) | Piece::Whose(_) => {}
        }
        let has_room_again = before >= QUEUE_BYTES && queue.text_bytes < QUEUE_BYTES;
        let is_quiet = queue.text_bytes + queue.line_bytes == 0;
        drop(queue);
        if has_room_again {
            self.room.notify_waiters();
        }
        if is_quiet {
            self.quiet.notify_all();
        }
    }
}

impl Queue {
    fn has_room(&self) -> bool {
        self.closed || self.text_bytes < QUEUE_BYTES
    }

    fn put_text(&mut self, text: Vec<u8>) {
        if text.len() <= JOIN_BYTES || self.closed {
            self.copy_text(&text);
            self.keep(text);
        } else {
            self.text_bytes += text.len();
            self.pieces.push_back(Piece::Text(text));
        }
    }

    fn copy_text(&mut self, text: &[u8]) {
        if self.closed {
            return self.lose(text.len());
        }
        if text.is_empty() {
            return;
        }
        self.text_bytes += text.len();
        if let Some(Piece::Text(last)) = self.pieces.back_mut()
            && last.capacity() - last.len() >= text.len()
        {
            last.extend_from_slice(text);
            return;
        }
        let mut buffer = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES));
        buffer.extend_from_slice(text);
        self.pieces.push_back(Piece::Text(buffer));
    }

    fn put_own(&mut self, piece: Piece) {
        self.line_bytes += piece.line_bytes();
        self.pieces.push_back(piece);
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() == CHUNK_BYTES && self.spare.len() < SPARE_BUFFERS {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    fn lose(&mut self, bytes: usize) {
        self.lost_bytes = self.lost_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}
