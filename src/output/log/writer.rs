//! The writing side of the log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc;
use nix::sys::uio::pwritev;
use nix::unistd::Uid;

use super::reader::whole;
use super::record::{
    ALIGN, FILE_BYTES, HEAD_BYTES, HEADER_BYTES, Head, RING_BYTES, Stream, TEXT_MAX_BYTES, header,
    key, offset, size,
};
use crate::clock::{self, Mono};
use crate::output::escape_line;

/// Records that wait for the end of a turn of the loop: enough for the lines
/// of one read of the wire, which come one by one, and no burden where they
/// are kept.
const WAITING_MAX_BYTES: usize = 16 * 1024;
/// A piece of this size is written as it is, without being copied first.
const DIRECT_BYTES: usize = 4 * 1024;
/// Of pieces that come faster than a ring in [`FLOOD_WINDOW`], so much is kept
/// of each: nobody could follow them, and adrt has the flood itself to pass on.
const FLOOD_TEXT_BYTES: usize = 4 * 1024;
/// How long a ring's worth of text is expected to last: as long as a reader
/// takes from look to look.
const FLOOD_WINDOW: Duration = Duration::from_millis(100);
/// Mode of the file, until it is shared.
const MODE: u32 = 0o600;

/// Where an agent's text and adrt's own lines are kept for `adrt logs`. Clones
/// share it.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// None while the log is off.
    writer: Option<Writer>,
    /// Why it was switched off, until that is told.
    failed: Option<io::Error>,
    /// Of adrt's own lines.
    incarnation: u64,
}

impl Log {
    /// One that keeps nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// Goes on with the log under that name, or makes a new one where there
    /// is none of ours. `share` is shown a new file before it gets its name.
    ///
    /// # Errors
    /// It can't be made: no room, no right, or something else of that name.
    pub fn open(path: &Path, share: impl FnOnce(&Path)) -> io::Result<Self> {
        Self::open_for(path, share, FLOOD_WINDOW)
    }

    /// As [`Log::open`], for who expects another flow of text.
    pub(super) fn open_for(
        path: &Path,
        share: impl FnOnce(&Path),
        window: Duration,
    ) -> io::Result<Self> {
        let mut writer = match Writer::of_existing(path)? {
            Some(writer) => writer,
            None => Writer::of_new(path, share)?,
        };
        writer.flow.window = window;
        let state = State { writer: Some(writer), ..State::default() };
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    /// Keeps text of an agent's. It is written at once or by the next
    /// [`Log::flush`], in the order in which it came.
    pub fn push(&self, stream: Stream, incarnation: u64, text: &[u8]) {
        if !text.is_empty() {
            self.with(|writer, _| writer.push(stream, incarnation, text));
        }
    }

    /// Keeps a line about an agent, without its newline. It stays one line,
    /// whatever is in it.
    pub fn line(&self, stream: Stream, line: &str) {
        let line = escape_line(line) + "\n";
        self.with(|writer, incarnation| writer.push(stream, incarnation, line.as_bytes()));
    }

    /// Overwrites all that is kept. Who follows goes on with what comes.
    pub fn clear(&self) {
        self.with(|writer, _| writer.clear());
    }

    /// Overwrites all that is kept in a log that nobody writes, and says why
    /// in a line. Who follows goes on with that.
    ///
    /// # Errors
    /// It is no log, or can't be written.
    pub fn wipe(path: &Path, line: &str) -> io::Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(path)?;
        let meta = file.metadata()?;
        let key = if meta.is_file() && meta.nlink() == 1 { key(&file)? } else { None };
        let key = key.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no log"))?;
        let last = whole(&file, key)?.pop();
        overwrite(&file)?;
        let (next, incarnation) = last.map_or((0, 0), |last| (last.end(), last.incarnation));
        let mut writer = Writer::new(file, key, next);
        writer.push(Stream::Adrt, incarnation, (escape_line(line) + "\n").as_bytes())?;
        writer.write_waiting()
    }

    /// Lines are about this incarnation from now on.
    pub fn begin(&self, incarnation: u64) {
        self.lock().incarnation = incarnation;
    }

    /// Writes what waits. Gives the reason if the log was switched off since
    /// the last time.
    #[must_use = "that the log is off is to be told"]
    pub fn flush(&self) -> Option<io::Error> {
        self.with(|writer, _| writer.write_waiting());
        self.lock().failed.take()
    }

    fn with(&self, write: impl FnOnce(&mut Writer, u64) -> io::Result<()>) {
        let mut state = self.lock();
        let incarnation = state.incarnation;
        let Some(writer) = &mut state.writer else { return };
        if let Err(error) = write(writer, incarnation) {
            state.writer = None;
            state.failed = Some(error);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Each change of it is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Writer {
    file: File,
    key: u64,
    /// The place of the next record that is not written yet.
    next: u64,
    /// Whole records, and perhaps one that is still open.
    waiting: Vec<u8>,
    open: Option<Open>,
    flow: Flow,
}

/// How much came of late.
#[derive(Debug, Default)]
struct Flow {
    window: Duration,
    /// When this window began.
    since: Mono,
    /// Bytes in it.
    bytes: usize,
}

impl Flow {
    /// Takes note of a piece, and says how much of it is to be kept.
    fn keeps(&mut self, bytes: usize) -> usize {
        let now = clock::mono();
        if now.since(self.since) >= self.window {
            (self.since, self.bytes) = (now, 0);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > RING_BYTES { FLOOD_TEXT_BYTES } else { TEXT_MAX_BYTES }
    }
}

/// The last record of those that wait: more of the same may be added to it.
#[derive(Debug)]
struct Open {
    /// Where in `waiting` it begins.
    start: usize,
    head: Head,
}

impl Writer {
    fn new(file: File, key: u64, next: u64) -> Self {
        Self { file, key, next, waiting: Vec::new(), open: None, flow: Flow::default() }
    }

    /// None where there is nothing of ours to go on with.
    fn of_existing(path: &Path) -> io::Result<Option<Self>> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(path);
        let Ok(file) = opened else { return Ok(None) };
        let meta = file.metadata()?;
        let is_ours = meta.is_file() && meta.uid() == Uid::effective().as_raw();
        if !is_ours || meta.nlink() != 1 || meta.len() != FILE_BYTES {
            return Ok(None);
        }
        let Some(key) = key(&file)? else { return Ok(None) };
        // Where the room was taken before, this costs nothing.
        take_room(&file)?;
        let next = whole(&file, key)?.last().map_or(0, super::Record::end);
        Ok(Some(Self::new(file, key, next)))
    }

    fn of_new(path: &Path, share: impl FnOnce(&Path)) -> io::Result<Self> {
        let new = path.with_extension("log.new");
        match fs::remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
        let made = Self::make(&new, path, share);
        if made.is_err() {
            let _best_effort = fs::remove_file(&new);
        }
        made
    }

    fn make(new: &Path, path: &Path, share: impl FnOnce(&Path)) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(MODE)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(new)?;
        let mut key = [0; 8];
        getrandom::fill(&mut key).map_err(|e| io::Error::other(e.to_string()))?;
        // Never the key of what was never written.
        let key = u64::from_ne_bytes(key) | 1;
        take_room(&file)?;
        file.write_all_at(&header(key), 0)?;
        share(new);
        fs::rename(new, path)?;
        Ok(Self::new(file, key, 0))
    }

    fn push(&mut self, stream: Stream, incarnation: u64, text: &[u8]) -> io::Result<()> {
        if text.len() >= DIRECT_BYTES {
            self.write_waiting()?;
            let skipped = text.len().saturating_sub(self.flow.keeps(text.len()));
            let head = self.head(stream, incarnation, skipped as u64);
            let text = &text[skipped..];
            let encoded = head.encode(self.key, text);
            return self.write(&[&encoded, text, padding(text.len())]);
        }
        let more = |open: &Open| open.head.stream == stream && open.head.incarnation == incarnation;
        if !self.open.as_ref().is_some_and(more) {
            self.close();
            self.open =
                Some(Open { start: self.waiting.len(), head: self.head(stream, incarnation, 0) });
            self.waiting.resize(self.waiting.len() + HEAD_BYTES, 0);
        }
        self.waiting.extend_from_slice(text);
        if self.waiting.len() >= WAITING_MAX_BYTES { self.write_waiting() } else { Ok(()) }
    }

    /// The head of a record behind all that waits.
    fn head(&self, stream: Stream, incarnation: u64, skipped: u64) -> Head {
        let at = self.next + self.waiting.len() as u64;
        Head { at, wall: clock::wall(), incarnation, stream, skipped }
    }

    /// Completes the record that is open.
    fn close(&mut self) {
        let Some(Open { start, head }) = self.open.take() else { return };
        let (head_bytes, text) = self.waiting[start..].split_at_mut(HEAD_BYTES);
        head_bytes.copy_from_slice(&head.encode(self.key, text));
        self.waiting.resize(self.waiting.len().next_multiple_of(ALIGN), 0);
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.close();
        let mut waiting = std::mem::take(&mut self.waiting);
        let written = self.write(&[&waiting]);
        waiting.clear();
        self.waiting = waiting;
        written
    }

    /// Its place stays the same, for those who follow.
    fn clear(&mut self) -> io::Result<()> {
        // What waits was said before, too.
        self.open = None;
        self.waiting.clear();
        overwrite(&self.file)
    }

    /// Writes parts one after the other, at the end of the ring and on at its
    /// beginning.
    fn write(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut left: Vec<&[u8]> = parts.to_vec();
        while let Some(total) = Some(left.iter().map(|part| part.len()).sum()).filter(|n| *n > 0) {
            let offset = offset(self.next);
            let mut room = RING_BYTES - offset;
            let slices: Vec<IoSlice<'_>> = left
                .iter()
                .map(|part| {
                    let count = part.len().min(room);
                    room -= count;
                    IoSlice::new(&part[..count])
                })
                .collect();
            let place = libc::off_t::try_from(HEADER_BYTES as usize + offset);
            let place = place.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            let written = match pwritev(&self.file, &slices, place) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
                Ok(count) => count.min(total),
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(e.into()),
            };
            self.next += written as u64;
            let mut gone = written;
            for part in &mut left {
                let count = part.len().min(gone);
                gone -= count;
                *part = &part[count..];
            }
        }
        Ok(())
    }
}

/// What fills a record of so much text up to where the next may begin.
fn padding(text_bytes: usize) -> &'static [u8] {
    const ZEROS: [u8; ALIGN] = [0; ALIGN];
    &ZEROS[..size(text_bytes) - HEAD_BYTES - text_bytes]
}

/// Nothing is left of what was in the ring.
fn overwrite(file: &File) -> io::Result<()> {
    file.write_all_at(&vec![0; RING_BYTES], HEADER_BYTES)
}

/// Takes the room of the whole file, so that no later write wants for it.
fn take_room(file: &File) -> io::Result<()> {
    let bytes = libc::off_t::try_from(FILE_BYTES).unwrap_or(libc::off_t::MAX);
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // A file system that can't: then a write tells.
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => file.set_len(FILE_BYTES),
        Err(e) => Err(e.into()),
    }
}
