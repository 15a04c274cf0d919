//! A regular file, followed: as it grows, through its rotations, over
//! restarts of adrt.
//!
//! ```text
//!           it is there                    another has its name
//!  nothing ────────────► a file is open ─────────────────────────► its end is
//!  open                   ▲    │ grows        and was written to     read, then
//!     ▲                   │    ▼                                     the next
//!     └── not there       lines, with the position after them
//! ```
//!
//! - A line counts when its newline is there. The end of a file that another
//!   one has followed counts without.
//! - A file that got another name is read to its end before the next one is
//!   begun, and it is not given up before there is something in that: until
//!   then its writer may well still write to it. What is written to it later
//!   is not seen.
//! - A file that is shorter than what was read of it, or whose content is
//!   another before that place, is read from its beginning, and that is told.
//! - After any error nothing has moved: the next try does the same again.
//!
//! Every function may block as long as the disk does; this runs on a thread of
//! its own.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::cutter::{Batch, Cutter};
use super::files::{at, look, open_regular, shown};
use super::position::{Id, Position, Print, boot_id};
use super::{Tell, resume, rotation, tell_cut};
use crate::supervisor::io::{Level, SourceBatch};

/// See the module.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    boot: String,
    /// Where the last run stopped, until its file is found or given up.
    kept: Option<Position>,
    open: Option<Open>,
    /// What was read after the offset.
    cutter: Cutter,
    told_missing: bool,
}

/// The file that is being read.
#[derive(Debug)]
struct Open {
    file: File,
    id: Id,
    /// The name it was opened by.
    name: PathBuf,
    /// All before it has been handed on.
    offset: u64,
    /// What it looked like there.
    print: Print,
}

impl Open {
    fn at(file: File, name: &Path, offset: u64) -> io::Result<Self> {
        let id = file.metadata().map(|meta| Id::of(&meta)).map_err(|e| at(name, e))?;
        let print = Print::of(&file, offset).map_err(|e| at(name, e))?;
        Ok(Self { file, id, name: name.to_owned(), offset, print })
    }

    /// Its size, and what it looks like before that place.
    fn look(&self, offset: u64) -> io::Result<(u64, Print)> {
        Ok((self.file.metadata()?.len(), Print::of(&self.file, offset)?))
    }
}

/// What follows a file that was rotated.
struct Next {
    file: File,
    name: PathBuf,
    /// Those before it that can't be read.
    compressed: Vec<PathBuf>,
}

impl Follower {
    /// Goes on where this position says; without one at the beginning.
    pub(super) fn new(path: PathBuf, kept: Option<Position>, line_max: usize) -> Self {
        Self {
            path,
            boot: boot_id(),
            kept,
            open: None,
            cutter: Cutter::new(line_max, true),
            told_missing: false,
        }
    }

    /// The file that is open now.
    pub(super) fn file(&self) -> Option<&File> {
        self.open.as_ref().map(|open| &open.file)
    }

    /// The next lines; none when there are none now.
    ///
    /// # Errors
    /// Something can't be read; it is worth trying again.
    pub(super) fn next(&mut self, tell: Tell<'_>) -> io::Result<Option<SourceBatch>> {
        loop {
            if self.open.is_none() && !self.begin(tell)? {
                return Ok(None);
            }
            self.check_unchanged(tell)?;
            if let Some(batch) = self.read(tell)? {
                return Ok(Some(batch));
            }
            let Some(next) = self.successor()? else { return Ok(None) };
            // What it has now, after its successor was seen, is all.
            if let Some(batch) = self.read(tell)? {
                return Ok(Some(batch));
            }
            if let Some(batch) = self.last_line(tell)? {
                return Ok(Some(batch));
            }
            self.go_on_with(next, tell)?;
        }
    }

    // -------------------------------------------------------------- reading

    /// What is there of whole lines, as far as a batch takes them.
    fn read(&mut self, tell: Tell<'_>) -> io::Result<Option<SourceBatch>> {
        let Some(open) = &self.open else { return Ok(None) };
        let mut batch = Batch::default();
        while batch.fill(&mut self.cutter) {
            let from = open.offset + batch.span + self.cutter.unread();
            match self.cutter.read(|space| open.file.read_at(space, from)) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.undone(e)),
            }
        }
        self.hand_on(batch, tell)
    }

    /// What follows the last newline of a file to which no more will come.
    fn last_line(&mut self, tell: Tell<'_>) -> io::Result<Option<SourceBatch>> {
        let Some(line) = self.cutter.rest() else { return Ok(None) };
        let mut batch = Batch::default();
        batch.push(line);
        self.hand_on(batch, tell)
    }

    /// Moves the offset behind a batch.
    fn hand_on(&mut self, batch: Batch, tell: Tell<'_>) -> io::Result<Option<SourceBatch>> {
        let Some(open) = &mut self.open else { return Ok(None) };
        if batch.span == 0 {
            return Ok(None);
        }
        let offset = open.offset + batch.span;
        let (size, print) = match open.look(offset) {
            Ok(looked) => looked,
            Err(e) => return Err(self.undone(e)),
        };
        open.offset = offset;
        open.print = print;
        tell_cut(&batch.cut, &shown(&open.name), tell);
        // Of blank lines nobody needs to know; they go with the next ones.
        Ok((!batch.lines.is_empty()).then(|| SourceBatch {
            lines: batch.lines,
            position: Some(
                Position {
                    boot: self.boot.clone(),
                    id: open.id,
                    offset,
                    size,
                    print,
                    path: shown(&self.path),
                }
                .text(),
            ),
        }))
    }

    /// What was taken out of the cutter is read again next time.
    fn undone(&mut self, error: io::Error) -> io::Error {
        self.cutter.restart(self.open.as_ref().is_none_or(|open| open.offset == 0));
        match &self.open {
            Some(open) => at(&open.name, error),
            None => error,
        }
    }

    /// A file that does not hold any more what was read of it is begun anew.
    fn check_unchanged(&mut self, tell: Tell<'_>) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let (size, print) = open.look(open.offset).map_err(|e| at(&open.name, e))?;
        if size >= open.offset && print == open.print {
            if size < open.offset + self.cutter.unread() {
                // An unfinished line was taken back.
                self.cutter.restart(open.offset == 0);
            }
            return Ok(());
        }
        let what = if size < open.offset {
            format!("was truncated to {size} bytes after {} were read", open.offset)
        } else {
            format!("was written anew: what was read of it, {} bytes, is gone", open.offset)
        };
        tell(
            Level::Warning,
            format!(
                "{} {what}; going on from its beginning. Lines that were not read \
                 yet are lost: rotate by renaming (logrotate: create, not copytruncate)",
                shown(&open.name)
            ),
        );
        open.print = Print::of(&open.file, 0).map_err(|e| at(&open.name, e))?;
        open.offset = 0;
        self.cutter.restart(true);
        Ok(())
    }

    // ------------------------------------------------------------- rotation

    /// The file that has followed the open one, if that was rotated.
    fn successor(&self) -> io::Result<Option<Next>> {
        let Some(open) = &self.open else { return Ok(None) };
        let there = look(&self.path)?;
        if there.as_ref().is_some_and(|meta| Id::of(meta) == open.id) {
            return Ok(None);
        }
        let mut compressed = Vec::new();
        if let Some(name) = rotation::find(&self.path, open.id.inode)? {
            for later in rotation::between(&self.path, &name)? {
                if later.compressed {
                    compressed.push(later.path);
                } else if let Some(file) = open_regular(&later.path)? {
                    return Ok(Some(Next { file, name: later.path, compressed }));
                }
            }
        }
        // As long as it is empty its writer may not have turned to it yet.
        if there.is_none_or(|meta| meta.is_file() && meta.len() == 0) {
            return Ok(None);
        }
        let file = open_regular(&self.path)?;
        Ok(file.map(|file| Next { file, name: self.path.clone(), compressed }))
    }

    fn go_on_with(&mut self, next: Next, tell: Tell<'_>) -> io::Result<()> {
        let offset = self.open.as_ref().map_or(0, |open| open.offset);
        let open = Open::at(next.file, &next.name, 0)?;
        tell(
            Level::Info,
            format!(
                "{} was rotated and is read to its end, byte {offset}; going on with {}",
                shown(&self.path),
                shown(&next.name)
            ),
        );
        for name in next.compressed {
            tell(Level::Warning, format!("{} is compressed already and is not read", shown(&name)));
        }
        self.open = Some(open);
        self.cutter.restart(true);
        Ok(())
    }

    /// Opens the file to begin with; false while there is none.
    fn begin(&mut self, tell: Tell<'_>) -> io::Result<bool> {
        let Some(start) = resume::start(&self.path, self.kept.as_ref())? else {
            if !std::mem::replace(&mut self.told_missing, true) {
                let what = format!("{} is not there yet; waiting for it", shown(&self.path));
                tell(Level::Info, what);
            }
            return Ok(false);
        };
        let open = Open::at(start.file, &start.name, start.offset)?;
        if std::mem::replace(&mut self.told_missing, false) {
            tell(Level::Info, format!("{} is there", shown(&self.path)));
        }
        if let Some((level, what)) = start.told {
            tell(level, what);
        }
        self.kept = None;
        self.cutter.restart(open.offset == 0);
        self.open = Some(open);
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
