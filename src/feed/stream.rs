//! What can be read once: a FIFO, or adrt's own stdin.
//!
//! A FIFO is opened for writing, too: so it never comes to an end when its last
//! writer goes. Where that is not allowed, its end is looked past once a second.
//! One that was made anew under the same name is gone over to.
//!
//! Stdin may be shared with others (a shell, a terminal), so it is not made
//! non-blocking: it is read only after it said that there is something.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::cutter::{Batch, Cutter};
use super::files::{at, look, shown};
use super::position::Id;
use super::{Tell, tell_cut};
use crate::supervisor::io::SourceBatch;

/// Clear of what children are given.
const FIRST_SAFE_FD: i32 = 10;

/// A FIFO or stdin.
#[derive(Debug)]
pub(super) struct Stream {
    fd: OwnedFd,
    name: String,
    cutter: Cutter,
    fifo: Option<Fifo>,
    /// Nobody can write to it now.
    hung_up: bool,
}

#[derive(Debug)]
struct Fifo {
    path: PathBuf,
    id: Id,
}

/// What there was.
#[derive(Debug)]
pub(super) enum Flow {
    /// Lines.
    Batch(SourceBatch),
    /// Nothing now.
    Dry,
    /// Nothing ever again.
    Ended,
}

/// Whether there is a FIFO under that name.
pub(super) fn is_fifo(path: &Path) -> io::Result<bool> {
    Ok(look(path)?.is_some_and(|meta| meta.file_type().is_fifo()))
}

impl Stream {
    /// adrt's stdin.
    pub(super) fn stdin(line_max: usize) -> io::Result<Self> {
        let fd = io::stdin();
        let copy = fcntl(fd.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(FIRST_SAFE_FD))?;
        // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
        let fd = unsafe { std::os::fd::FromRawFd::from_raw_fd(copy) };
        let cutter = Cutter::new(line_max, true);
        Ok(Self { fd, name: "stdin".to_owned(), cutter, fifo: None, hung_up: false })
    }

    /// The FIFO of that name.
    pub(super) fn fifo(path: &Path, line_max: usize) -> io::Result<Self> {
        let mut how = OpenOptions::new();
        how.read(true).custom_flags(libc::O_NONBLOCK);
        let file = match how.clone().write(true).open(path) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => how.open(path),
            other => other,
        };
        let file = file.map_err(|e| at(path, e))?;
        let meta = file.metadata().map_err(|e| at(path, e))?;
        if !meta.file_type().is_fifo() {
            return Err(at(path, io::Error::other("is no FIFO any more")));
        }
        Ok(Self {
            fd: file.into(),
            name: shown(path),
            cutter: Cutter::new(line_max, true),
            fifo: Some(Fifo { path: path.to_owned(), id: Id::of(&meta) }),
            hung_up: false,
        })
    }

    /// What is to be waited for, if it can tell.
    pub(super) fn wait_on(&self) -> Option<BorrowedFd<'_>> {
        (!self.hung_up).then(|| self.fd.as_fd())
    }

    /// The next lines.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) fn next(&mut self, tell: Tell<'_>) -> io::Result<Flow> {
        let mut batch = Batch::default();
        let mut ended = false;
        self.hung_up = false;
        while !ended && batch.fill(&mut self.cutter) && self.is_readable()? {
            match self.cutter.read(|space| Ok(nix::unistd::read(&self.fd, space)?)) {
                Ok(0) => ended = true,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if batch.lines.is_empty() => return Err(e),
                // It will be met again.
                Err(_) => break,
            }
        }
        if ended && self.fifo.is_some() {
            self.hung_up = true;
            ended = false;
        }
        ended = ended || batch.lines.is_empty() && self.was_replaced()?;
        if ended && let Some(rest) = self.cutter.rest() {
            batch.push(rest);
        }
        tell_cut(&batch.cut, &self.name, tell);
        Ok(if !batch.lines.is_empty() {
            Flow::Batch(SourceBatch { lines: batch.lines, position: None })
        } else if ended {
            Flow::Ended
        } else {
            Flow::Dry
        })
    }

    fn is_readable(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::ZERO) {
            Ok(0) | Err(Errno::EINTR) => Ok(false),
            // Its end can be read, too, and so can an error.
            Ok(_) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }

    /// Another FIFO has its name: nobody new will write to this one.
    fn was_replaced(&self) -> io::Result<bool> {
        let Some(fifo) = &self.fifo else { return Ok(false) };
        Ok(look(&fifo.path)?.is_some_and(|meta| Id::of(&meta) != fifo.id))
    }
}
