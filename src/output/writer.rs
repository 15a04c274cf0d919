//! The thread behind a [`super::Sink`]: writes, waits, and gives up quietly.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::escape::Escaper;
use super::journal::Journal;
use super::sink::{Piece, Shared};

/// How long empty buffers are kept after the last text.
const SPARE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a traceback is held back for its next line, on its way to the
/// journal: Python takes microseconds for it.
const TRACEBACK_PATIENCE: Duration = Duration::from_millis(100);

/// The writing side of a sink.
pub(super) struct Writer {
    /// `None` once it turned out to be closed for good.
    fd: Option<OwnedFd>,
    shared: Arc<Shared>,
    /// Set if the descriptor is the journal.
    journal: Option<Journal>,
    /// Set if the descriptor is a terminal.
    escaper: Option<Escaper>,
    /// For the escaped form of a piece.
    scratch: Vec<u8>,
    /// The last byte that was written was a newline, or nothing was.
    at_line_start: bool,
}

impl Writer {
    pub(super) fn new(fd: Option<OwnedFd>, journal: Option<Journal>, shared: Arc<Shared>) -> Self {
        let terminal = fd.as_ref().is_some_and(IsTerminal::is_terminal);
        let escaper = terminal.then(Escaper::default);
        Self { fd, shared, journal, escaper, scratch: Vec::new(), at_line_start: true }
    }

    /// Writes until the sink is closed.
    pub(super) fn run(mut self) {
        while let Some(pieces) = self.next() {
            if let Some(journal) = self.journal.as_mut().filter(|_| pieces.is_empty()) {
                journal.release(&mut self.fd);
            }
            for piece in pieces {
                let lost = self.piece(&piece);
                self.shared.done(piece, lost);
            }
        }
        if let Some(journal) = &mut self.journal {
            journal.whose(None, &mut self.fd);
        }
        self.scratch.clear();
        if let Some(escaper) = &mut self.escaper {
            escaper.finish(&mut self.scratch);
            let _nobody_counts_any_more = write_all(&mut self.fd, &self.scratch);
        }
    }

    /// What is to be written next; nothing, when something was held back for long.
    fn next(&self) -> Option<VecDeque<Piece>> {
        let holds = self.journal.as_ref().is_some_and(Journal::holds);
        self.shared.take(if holds { TRACEBACK_PATIENCE } else { SPARE_PATIENCE }, holds)
    }

    /// Writes a piece; returns how many of its bytes were lost.
    fn piece(&mut self, piece: &Piece) -> usize {
        let Some(journal) = &mut self.journal else { return self.plain(piece) };
        let stream = &mut self.fd;
        match piece {
            Piece::Text(text) => journal.text(text, stream),
            Piece::Entry(entry) => journal.entry(entry, stream),
            Piece::Whose(next) => {
                journal.whose(*next, stream);
                0
            }
            Piece::Line(line) => journal.text(line, stream),
        }
    }

    fn plain(&mut self, piece: &Piece) -> usize {
        let bytes = match (piece, &mut self.escaper) {
            (Piece::Text(text), None) => text,
            (Piece::Text(text), Some(escaper)) => {
                self.scratch.clear();
                escaper.escape(text, &mut self.scratch);
                &self.scratch
            }
            (Piece::Line(line), _) if self.at_line_start => line,
            // They are for the journal.
            (Piece::Entry(_) | Piece::Whose(_), _) => return 0,
            (Piece::Line(line), escaper) => {
                self.scratch.clear();
                if let Some(escaper) = escaper {
                    escaper.finish(&mut self.scratch);
                }
                self.scratch.push(b'\n');
                self.scratch.extend_from_slice(line);
                &self.scratch
            }
        };
        let lost = write_all(&mut self.fd, bytes);
        if let Some(last) = bytes.last() {
            self.at_line_start = *last == b'\n';
        }
        lost
    }
}

/// Writes it all, however long that takes; returns how many bytes could not
/// be. A descriptor that is closed, or whose reader is gone, is given up; one
/// that fails otherwise (a full disk) is tried again with the next piece.
pub(super) fn write_all(fd: &mut Option<OwnedFd>, bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(open) = fd else { return rest.len() };
        match nix::unistd::write(&*open, rest) {
            Ok(0) => return rest.len(),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            // Somebody who shares our stdout has made it non-blocking.
            Err(Errno::EAGAIN) => wait_writable(open),
            Err(Errno::EPIPE | Errno::EBADF) => *fd = None,
            Err(_) => return rest.len(),
        }
    }
    0
}

fn wait_writable(fd: &OwnedFd) {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    let _the_next_write_tells = poll(&mut fds, PollTimeout::NONE);
}
