//! A file that grows, followed through rotation.
//!
//! ```text
//!            the file is there              nothing more to read
//! (no file) ------------------> reading <------------------------> waiting
//!     ^                          |  ^                               |
//!     |        can't be read     |  | the next of the queue          | another
//!     +--------------------------+  +--- (its end, then queue) <-----+ has its name
//! ```
//!
//! Each batch carries the place after its last line, so the two are written
//! down together. A line counts once its end is there. When another file has
//! the name and something is in it, its writer is done with the old one: that
//! is read to its end, then those that came between, then the new one.
//!
//! At most one chunk and one batch are in memory.

use std::collections::VecDeque;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use super::lines::Cutter;
use super::outlet::{Gone, Outlet, Trouble};
use super::position::{Position, Print, path_text};
use super::rotated::{self, Rotated};
use super::watch::Watch;
use crate::supervisor::io::Level;

/// Read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// So many times a look at names is repeated because one was changing: a
/// rotation changes some at once, a busy directory does so all the time.
const LOOKS_MAX: u32 = 50;

/// Why a file is followed no longer.
#[derive(Debug)]
pub(super) enum Stop {
    /// The loop is over.
    Gone,
    /// What has the name can only be read once.
    Stream,
    /// It can't be read just now.
    Io(io::Error),
}

impl From<Gone> for Stop {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a turn did.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// Something; there may be more.
    Went,
    /// Nothing, until something changes.
    Idle,
}

/// A file that is being read.
#[derive(Debug)]
struct Open {
    file: File,
    device: u64,
    inode: u64,
    /// How far it is read, unfinished line included.
    at: u64,
    /// What it looked like when a batch was last taken from it.
    print: Print,
}

impl Open {
    fn has_grown(&self) -> bool {
        self.file.metadata().is_ok_and(|there| there.len() > self.at)
    }
}

/// See the module's text.
pub(super) struct Follower<'a> {
    path: &'a Path,
    outlet: &'a Outlet,
    cutter: Cutter,
    current: Option<Open>,
    /// To be read when the current one is at its end, oldest first.
    queue: VecDeque<File>,
    /// Where to go on while there is no current one.
    resume: Option<Position>,
    watch: Watch,
    /// Looks at names that were repeated.
    looks: u32,
    trouble: Trouble,
    /// What was said last, not to be said again at every look.
    told: String,
    chunk: Vec<u8>,
}

impl<'a> Follower<'a> {
    pub fn new(
        path: &'a Path,
        resume: Option<Position>,
        outlet: &'a Outlet,
        line_bytes_max: usize,
    ) -> Self {
        Self {
            path,
            outlet,
            cutter: Cutter::new(line_bytes_max),
            current: None,
            queue: VecDeque::new(),
            resume,
            watch: Watch::new(),
            looks: 0,
            trouble: Trouble::default(),
            told: String::new(),
            chunk: vec![0; CHUNK_BYTES],
        }
    }

    /// Follows it for as long as it can be followed. True when what has the
    /// name now is a stream.
    pub fn run(mut self) -> bool {
        loop {
            match self.turn() {
                Ok(Turn::Went) => self.is_well(),
                Ok(Turn::Idle) => {
                    self.is_well();
                    self.watch.wait();
                }
                Err(Stop::Gone) => return false,
                Err(Stop::Stream) => return true,
                Err(Stop::Io(error)) => {
                    self.let_go();
                    let path = self.path.display().to_string();
                    if self.trouble.tell_and_pause(self.outlet, &path, &error).is_err() {
                        return false;
                    }
                }
            }
        }
    }

    fn is_well(&mut self) {
        if self.trouble.is_over() {
            self.log(Level::Info, format!("{} is read again", self.path.display()));
        }
    }

    fn turn(&mut self) -> Result<Turn, Stop> {
        self.outlet.check()?;
        if self.current.is_none() {
            return self.open();
        }
        if !self.is_unchanged()? {
            return self.start_over();
        }
        if self.read()? {
            return Ok(Turn::Went);
        }
        self.at_end()
    }

    // -------------------------------------------------------------- opening

    fn open(&mut self) -> Result<Turn, Stop> {
        self.watch.arm(self.path, None);
        self.watch.clear();
        let there = self.there()?;
        match self.resume.clone() {
            None => match there {
                Some(file) => self.begin(file, 0)?,
                None => return Ok(self.missing()),
            },
            Some(position) if position.path != path_text(self.path) => {
                let (path, old) = (self.path.display(), position.path);
                self.log(Level::Warning, format!("{path} is read from its beginning, not {old}"));
                self.resume = None;
            }
            Some(position) => return self.go_on(position, there),
        }
        Ok(Turn::Went)
    }

    /// The regular file of that name, if there is any.
    fn there(&self) -> Result<Option<File>, Stop> {
        // Looked at before it is opened: opening and closing a FIFO would
        // break its writers.
        match fs::metadata(self.path) {
            Ok(there) if is_stream(&there) => Err(Stop::Stream),
            Ok(there) if there.is_file() => match File::open(self.path) {
                Ok(file) => Ok(Some(file)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e.into()),
            },
            Ok(_) => Err(io::Error::from(io::ErrorKind::IsADirectory).into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn missing(&mut self) -> Turn {
        let path = self.path.display();
        self.tell(Level::Warning, format!("{path} is not there yet; adrt waits for it"));
        Turn::Idle
    }

    /// Finds what was read before, whatever has become of it.
    fn go_on(&mut self, position: Position, there: Option<File>) -> Result<Turn, Stop> {
        let path = self.path.display();
        if let Some(file) = &there {
            if position.is_in(file)? {
                self.begin_of(there, position.print.offset)?;
                return Ok(Turn::Went);
            }
            if file.metadata()?.ino() == position.inode {
                self.log(Level::Warning, shrunk(&path.to_string(), position.print.offset));
                self.begin_of(there, 0)?;
                return Ok(Turn::Went);
            }
        }
        let is_it = |file: &File| position.is_in(file);
        // A directory that is gone has nothing beside it.
        let found = rotated::find(self.path, position.inode, is_it).unwrap_or(None);
        let found = found.map(Rotated::open).transpose()?;
        if !self.names_rested() {
            return Ok(Turn::Went);
        }
        match (found, there) {
            (Some((file, later)), _) => {
                self.log(Level::Info, format!("{path} was rotated; the rest of the old is read"));
                self.begin(file, position.print.offset)?;
                self.queue = later;
            }
            (None, None) => return Ok(self.missing()),
            (None, Some(file)) => {
                let (offset, unread) = (position.print.offset, position.unread());
                let what = "is another file than before, which is gone: what was written to";
                let rest = "that one after its byte";
                let known = format!("{unread} bytes or more");
                self.log(
                    Level::Error,
                    format!("{path} {what} {rest} {offset} was not read, {known}"),
                );
                self.begin(file, 0)?;
            }
        }
        Ok(Turn::Went)
    }

    fn begin_of(&mut self, file: Option<File>, offset: u64) -> io::Result<()> {
        file.map_or(Ok(()), |file| self.begin(file, offset))
    }

    fn begin(&mut self, file: File, offset: u64) -> io::Result<()> {
        let (there, print) = (file.metadata()?, Print::read(&file, offset)?);
        self.cutter.restart(offset);
        let (device, inode) = (there.dev(), there.ino());
        self.current = Some(Open { file, device, inode, at: offset, print });
        self.resume = None;
        self.told.clear();
        Ok(())
    }

    /// Whether no name changed during a look at several. Otherwise a rotation
    /// may have been going on, and what was seen is of before and after it.
    fn names_rested(&mut self) -> bool {
        self.looks += 1;
        if self.watch.names_changed() && self.looks < LOOKS_MAX {
            return false;
        }
        self.looks = 0;
        true
    }

    /// After an error: all is found again from the last position that was
    /// handed over, and what was read after it is read again.
    fn let_go(&mut self) {
        if let Some(position) = self.position() {
            self.resume = Some(position);
        }
        drop(self.cutter.take());
        self.current = None;
        self.queue.clear();
    }

    // -------------------------------------------------------------- reading

    /// Reads a chunk; false at the end.
    fn read(&mut self) -> Result<bool, Stop> {
        let Some(open) = &mut self.current else { return Ok(false) };
        let mut chunk = std::mem::take(&mut self.chunk);
        let count = open.file.read_at(&mut chunk, open.at);
        open.at += *count.as_ref().unwrap_or(&0) as u64;
        let passed = count.map_err(Stop::Io).and_then(|count| {
            self.pass_on(&chunk[..count])?;
            Ok(count > 0)
        });
        self.chunk = chunk;
        passed
    }

    fn pass_on(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut taken = 0;
        while taken < bytes.len() {
            taken += self.cutter.push(&bytes[taken..]);
            if self.cutter.is_full() {
                self.send()?;
            }
        }
        Ok(())
    }

    /// The batch so far, with the place after it.
    fn send(&mut self) -> Result<(), Stop> {
        let offset = self.cutter.consumed();
        if let Some(open) = &mut self.current {
            // When the power goes, a line whose event is on the disk must not be
            // missing in the file: all after it would be looked for in a wrong
            // place. Where it can't be synced, it is no disk's business.
            let _as_far_as_can_be = open.file.sync_data();
            // One that is too short for it was truncated just now, which is
            // told at its end.
            let print = Print::read(&open.file, offset);
            open.print = print.unwrap_or_else(|_| open.print.beyond(offset));
        }
        let position = self.position().map(|position| position.text());
        self.outlet.send(self.cutter.take(), position)?;
        Ok(())
    }

    fn position(&self) -> Option<Position> {
        self.current.as_ref().map(|open| Position {
            device: open.device,
            inode: open.inode,
            size: open.file.metadata().map_or(open.at, |there| there.len()),
            print: open.print,
            path: path_text(self.path),
        })
    }

    // -------------------------------------------------------------- at its end

    fn at_end(&mut self) -> Result<Turn, Stop> {
        if self.cutter.has_lines() {
            self.send()?;
            return Ok(Turn::Went);
        }
        if let Some(next) = self.queue.pop_front() {
            self.turn_over(next)?;
            return Ok(Turn::Went);
        }
        let Some(open) = &self.current else { return Ok(Turn::Idle) };
        // First this, then the look: what happens in between ends the wait.
        self.watch.arm(self.path, Some(&open.file));
        self.watch.clear();
        if !self.is_unchanged()? {
            return self.start_over();
        }
        if self.current.as_ref().is_some_and(Open::has_grown) {
            return Ok(Turn::Went);
        }
        self.look_at_name()
    }

    /// Whether what was read of it is still there.
    fn is_unchanged(&self) -> io::Result<bool> {
        let Some(open) = &self.current else { return Ok(true) };
        Ok(open.file.metadata()?.len() >= open.at && open.print.matches(&open.file)?)
    }

    /// The current one has ended for good.
    fn turn_over(&mut self, next: File) -> Result<(), Stop> {
        // The end of an unfinished line will not come any more.
        self.cutter.end();
        if self.cutter.has_lines() {
            self.send()?;
        }
        self.begin(next, 0)?;
        self.watch = Watch::new();
        // So that a restart does not look for the old one.
        self.send()
    }

    fn start_over(&mut self) -> Result<Turn, Stop> {
        let Some(open) = self.current.take() else { return Ok(Turn::Idle) };
        let read = self.cutter.consumed();
        self.log(Level::Warning, shrunk(&self.path.display().to_string(), read));
        self.begin(open.file, 0)?;
        self.send()?;
        Ok(Turn::Went)
    }

    /// Whether another file has the name.
    fn look_at_name(&mut self) -> Result<Turn, Stop> {
        let Some(open) = &self.current else { return Ok(Turn::Idle) };
        let there = match fs::metadata(self.path) {
            Ok(there) => there,
            // A rotation's first half, or the writer makes it anew one day.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Turn::Idle),
            Err(e) => return Err(e.into()),
        };
        let same = there.ino() == open.inode && there.dev() == open.device;
        if same || (there.is_file() && there.len() == 0) {
            return Ok(Turn::Idle);
        }
        if is_stream(&there) {
            return Err(Stop::Stream);
        }
        let inode = open.inode;
        let Some(new) = self.there()? else { return Ok(Turn::Idle) };
        let found =
            rotated::find(self.path, inode, |file| Ok(file.metadata()?.dev() == open.device));
        // Without a name of the old one nobody knows what came between.
        let between = found.unwrap_or(None).map(Rotated::open).transpose()?;
        if !self.names_rested() {
            return Ok(Turn::Went);
        }
        self.queue = between.map(|(_, later)| later).unwrap_or_default();
        self.queue.push_back(new);
        self.log(Level::Info, format!("{} was rotated; the new one follows", self.path.display()));
        Ok(Turn::Went)
    }

    // -------------------------------------------------------------- telling

    fn log(&self, level: Level, message: String) {
        self.outlet.log(level, &message);
    }

    /// Once, until something else happens.
    fn tell(&mut self, level: Level, message: String) {
        if self.told != message {
            self.outlet.log(level, &message);
            self.told = message;
        }
    }
}

fn is_stream(there: &Metadata) -> bool {
    let kind = there.file_type();
    kind.is_fifo() || kind.is_char_device()
}

fn shrunk(path: &str, read: u64) -> String {
    format!(
        "{path} was truncated or replaced after {read} bytes were read: it is read from its \
         beginning, and what was not read before that is lost"
    )
}
