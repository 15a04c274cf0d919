//! The live process and its pipes; or, of an attached client, the wire alone.
//!
//! Its stdout is the wire: read into the framer, and only while the machine
//! takes lines, so that an agent which floods makes itself wait. Its stderr
//! and text pipe are read on their own and never hold up the wire. What is
//! sent to it is queued in chunks and written when its pipe has room; the
//! machine knows how much is queued and bounds it.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;

use nix::errno::Errno;
use tokio::net::unix::pipe::Receiver;

use super::relay::Client;
use super::stdin_queue::StdinQueue;
use crate::clock::Mono;
use crate::output::{Log, SharedRing, Sink, Stream, TextPipe};
use crate::process::pipes;
use crate::process::spawn::Child as Spawned;
use crate::protocol::frame::Framer;
use crate::supervisor::io::Incarnation;

/// What is known of its end.
#[derive(Debug)]
pub enum End {
    /// It lives.
    None,
    /// Wait has reported it; so much may still be read of its wire.
    Draining {
        /// Bytes.
        left: usize,
    },
}

/// Reads what the pipe holds, whatever the loop knows of it: the end of a
/// process may be seen in the same turn as its last bytes, or before them, and
/// `try_read` would not even look until the pipe has been reported readable.
fn read_now(wire: &Receiver, space: &mut [u8]) -> io::Result<usize> {
    loop {
        match nix::unistd::read(wire, space) {
            Err(Errno::EINTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

/// A live process.
#[derive(Debug)]
pub struct Child {
    /// Which.
    pub incarnation: Incarnation,
    /// Its process, and its group; none of an attached client, which is
    /// nobody's to signal and whose end wait does not tell.
    pub pid: Option<i32>,
    /// It was given the terminal.
    pub has_terminal: bool,
    /// Its stdin is adrt's, and a terminal: it may be given it.
    pub shares_terminal: bool,
    /// When it last wrote text.
    pub wrote: Option<Mono>,
    /// Until when it could write none.
    pub held_up: Option<Mono>,
    /// Its stdout, until it closes it.
    pub wire: Option<Receiver>,
    /// Cuts the wire into lines; away while its lines are being handled.
    pub framer: Framer,
    /// Frames count by now.
    pub wire_open: bool,
    /// The framer may have a line that was not taken yet.
    pub pending: bool,
    /// Its stderr, until it closes it.
    pub stderr: Option<TextPipe>,
    /// Its text pipe, until it closes it.
    pub text: Option<TextPipe>,
    /// Its end.
    pub end: End,
    /// The machine knows that an attached client has closed its side.
    pub eof_told: bool,
    /// The last of all its text; what is pushed here is its stdout's.
    pub ring: SharedRing,
    /// What is sent to it.
    pub stdin: StdinQueue,
}

impl Child {
    /// Takes over what the spawner made.
    ///
    /// # Errors
    /// The loop takes no more descriptors.
    pub fn new(
        incarnation: Incarnation,
        spawned: Spawned,
        max_frame: usize,
        (stdout, stderr): (&Sink, &Sink),
        log: &Log,
    ) -> io::Result<Self> {
        let ring = SharedRing::new().logged(log, Stream::Stdout, incarnation);
        let of_stderr = ring.logged(log, Stream::Stderr, incarnation);
        Ok(Self {
            incarnation,
            pid: Some(spawned.process.pid),
            has_terminal: spawned.has_terminal,
            shares_terminal: spawned.stdin.is_none() && io::stdin().is_terminal(),
            wrote: None,
            held_up: None,
            wire: Some(Receiver::from_owned_fd(spawned.stdout)?),
            framer: Framer::new(max_frame),
            wire_open: false,
            pending: false,
            stderr: Some(TextPipe::new(spawned.stderr, of_stderr, stderr.clone())?),
            text: Some(TextPipe::new(spawned.text, ring.clone(), stdout.clone())?),
            end: End::None,
            eof_told: false,
            ring,
            stdin: StdinQueue::new(spawned.stdin)?,
        })
    }

    /// A client that has attached itself: its wire, and nothing else of it.
    ///
    /// # Errors
    /// The loop takes no more descriptors.
    pub fn attached(
        incarnation: Incarnation,
        client: Client,
        max_frame: usize,
        log: &Log,
    ) -> io::Result<Self> {
        Ok(Self {
            incarnation,
            pid: None,
            has_terminal: false,
            shares_terminal: false,
            wrote: None,
            held_up: None,
            wire: Some(Receiver::from_owned_fd(client.from)?),
            framer: Framer::new(max_frame),
            wire_open: false,
            pending: false,
            stderr: None,
            text: None,
            end: End::None,
            eof_told: false,
            ring: SharedRing::new().logged(log, Stream::Stdout, incarnation),
            stdin: StdinQueue::new(Some(client.to))?,
        })
    }

    /// Whether adrt's own output has room for its text, and had since this was
    /// asked last.
    pub fn note_held_up(&mut self, now: Mono) {
        let pipes = [self.stderr.as_mut(), self.text.as_mut()].into_iter().flatten();
        // Each has to be asked, or it would tell of an old time later.
        let held_up = pipes.map(TextPipe::take_held_up).fold(false, |any, held| any | held);
        if held_up {
            self.held_up = Some(now);
        }
    }

    /// Whether an attached client has closed its side, all it wrote has been
    /// handed in, and nobody has been told of it.
    pub fn is_at_eof(&self) -> bool {
        let all_in = self.wire.is_none() && !self.pending;
        self.pid.is_none() && all_in && !self.eof_told && matches!(self.end, End::None)
    }

    /// Lets go of an attached client: nothing more is read or said. Lines that
    /// are here already are still taken, as of a process that has ended.
    pub fn let_go(&mut self) {
        self.end = End::Draining { left: 0 };
        self.stdin.drop_all();
    }

    /// Reads the wire once, without waiting; false when there is nothing to
    /// be read now, or ever again.
    pub fn read_wire(&mut self) -> bool {
        let Some(wire) = &self.wire else { return false };
        let space = self.framer.space();
        let read = match &self.end {
            End::None => wire.try_read(space),
            End::Draining { left } => {
                let most = space.len().min(*left);
                read_now(wire, &mut space[..most])
            }
        };
        match read {
            Ok(0) => self.wire = None,
            Ok(count) => {
                self.framer.filled(count);
                self.pending = true;
                if let End::Draining { left } = &mut self.end {
                    *left -= count;
                }
                return true;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.wire = None,
        }
        false
    }

    /// It has ended: what its pipes hold is still to be read, at most what a
    /// pipe can hold, since a grandchild may go on writing.
    pub fn ended(&mut self) {
        let left = self.wire.as_ref().map_or(0, |wire| pipes::capacity(wire.as_fd()));
        self.end = End::Draining { left };
        self.stdin.drop_all();
        for pipe in [self.stderr.take(), self.text.take()].into_iter().flatten() {
            let _read_what_there_is = pipes::drain(pipe.as_fd(), |bytes| pipe.left_over(bytes));
        }
    }
}
