//! The journal of systemd, spoken to in its own language: one datagram an
//! entry, `NAME=value` lines in it, so that an entry has a priority, fields
//! and more than one line.
//!
//! It is used where adrt's stdout or stderr is the journal already, which
//! `JOURNAL_STREAM` tells. That stream remains the way out when the socket
//! can't be reached: each line begins with its priority then, as `<N>`.
//!
//! A send may block, as any write of a sink may: the socket is the manager's,
//! so what is sent while the journal is being restarted waits in it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;

use super::entry::{Entry, Priority};
use super::escape::escape_line;
use super::lines::{LINE_BYTES_MAX, Lines};
use super::writer::write_all;

/// Where it listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Tells a process which of its descriptors are the journal's stream.
const STREAM_VARIABLE: &str = "JOURNAL_STREAM";
/// The facility `daemon`.
const FACILITY: &str = "3";
/// What adrt is called in it.
const OWN_IDENTIFIER: &str = "adrt";
/// Fields of one entry, all together; past it they are left out. A datagram
/// takes at least twice that.
const FIELDS_BYTES_MAX: usize = 48 * 1024;

/// Whether the descriptor is the journal's stream.
pub(super) fn is_journal(fd: impl AsFd) -> bool {
    let Ok(told) = std::env::var(STREAM_VARIABLE) else { return false };
    let Ok(copy) = fd.as_fd().try_clone_to_owned() else { return false };
    let Ok(meta) = std::fs::File::from(copy).metadata() else { return false };
    told == format!("{}:{}", meta.dev(), meta.ino())
}

/// A sink's way into the journal.
pub(super) struct Journal {
    socket: UnixDatagram,
    agent: String,
    /// The last process of the agent that has begun.
    incarnation: Option<u64>,
    lines: Lines,
    datagram: Vec<u8>,
}

impl Journal {
    /// For the text and the entries of that agent.
    ///
    /// # Errors
    /// The system has no socket to give.
    pub(super) fn new(agent: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        let agent = agent.to_owned();
        let lines = Lines::default();
        Ok(Self { socket, agent, incarnation: None, lines, datagram: Vec::new() })
    }

    /// Text as it comes; returns how many bytes were lost.
    pub(super) fn text(&mut self, text: &[u8], stream: &mut Option<OwnedFd>) -> usize {
        let mut lost = 0;
        self.with_lines(|lines, journal| {
            lines.push(text, |priority, line| lost += journal.line(priority, line, stream));
        });
        lost
    }

    /// What was held back for more to come has waited long enough.
    pub(super) fn release(&mut self, stream: &mut Option<OwnedFd>) {
        self.with_lines(|lines, journal| {
            lines.release(|priority, line| {
                journal.line(priority, line, stream);
            });
        });
    }

    /// Whether something is held back.
    pub(super) const fn holds(&self) -> bool {
        self.lines.holds()
    }

    /// What comes next is of another process: one that begins, or none.
    pub(super) fn whose(&mut self, next: Option<u64>, stream: &mut Option<OwnedFd>) {
        self.with_lines(|lines, journal| {
            lines.finish(|priority, line| {
                journal.line(priority, line, stream);
            });
        });
        if next.is_some() {
            self.incarnation = next;
        }
    }

    /// An entry, behind all text that came before it; returns how many bytes
    /// were lost.
    pub(super) fn entry(&mut self, entry: &Entry, stream: &mut Option<OwnedFd>) -> usize {
        self.release(stream);
        let priority = entry.priority as u8;
        self.begin(priority, if entry.from_agent { None } else { Some(OWN_IDENTIFIER) });
        if let Some(id) = entry.message_id {
            self.field("MESSAGE_ID", id.as_bytes());
        }
        let bytes: usize = entry.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes <= FIELDS_BYTES_MAX {
            for (name, value) in &entry.fields {
                self.field(name, value.as_bytes());
            }
        }
        let message = &entry.message;
        let mut end = message.len().min(LINE_BYTES_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        self.field("MESSAGE", &message.as_bytes()[..end]);
        if self.send() {
            0
        } else {
            fall_back(priority, escape_line(&entry.plain()).as_bytes(), stream)
        }
    }

    fn line(&mut self, priority: u8, line: &[u8], stream: &mut Option<OwnedFd>) -> usize {
        self.begin(priority, None);
        self.field("MESSAGE", line);
        if self.send() { 0 } else { fall_back(priority, line, stream) }
    }

    fn with_lines(&mut self, work: impl FnOnce(&mut Lines, &mut Self)) {
        let mut lines = std::mem::take(&mut self.lines);
        work(&mut lines, self);
        self.lines = lines;
    }

    /// Begins a datagram of adrt's, or of the agent's.
    fn begin(&mut self, priority: u8, identifier: Option<&str>) {
        self.datagram.clear();
        let agent = std::mem::take(&mut self.agent);
        self.field("PRIORITY", &[b'0' + priority]);
        self.field("SYSLOG_FACILITY", FACILITY.as_bytes());
        self.field("SYSLOG_IDENTIFIER", identifier.unwrap_or(&agent).as_bytes());
        self.field("AGENT", agent.as_bytes());
        if let Some(incarnation) = self.incarnation {
            self.field("INCARNATION", incarnation.to_string().as_bytes());
        }
        self.agent = agent;
    }

    /// A value of more than one line is told by its length.
    fn field(&mut self, name: &str, value: &[u8]) {
        let out = &mut self.datagram;
        out.extend_from_slice(name.as_bytes());
        if memchr::memchr(b'\n', value).is_some() {
            out.push(b'\n');
            out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend_from_slice(value);
        out.push(b'\n');
    }

    fn send(&self) -> bool {
        loop {
            match self.socket.send_to(&self.datagram, SOCKET) {
                Ok(_) => return true,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
}

/// By the stream: each line with its priority before it.
fn fall_back(priority: u8, text: &[u8], stream: &mut Option<OwnedFd>) -> usize {
    let mut prefixed = Vec::with_capacity(text.len() + 4);
    for line in text.split(|byte| *byte == b'\n') {
        prefixed.extend_from_slice(&[b'<', b'0' + priority, b'>']);
        prefixed.extend_from_slice(line);
        prefixed.push(b'\n');
    }
    write_all(stream, &prefixed)
}

/// The priority as a line's beginning, where stderr is the journal; else
/// nothing. For what is written without a sink.
pub fn prefix_on_stderr(priority: Priority) -> &'static str {
    if !is_journal(io::stderr()) {
        return "";
    }
    match priority {
        Priority::Error => "<3>",
        Priority::Warning => "<4>",
        Priority::Info => "<6>",
        Priority::Debug => "<7>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_what_the_journal_reads() {
        let mut journal = Journal::new("night").expect("a socket");
        journal.incarnation = Some(7);
        journal.begin(4, None);
        journal.field("MESSAGE", b"a=b");
        journal.field("TRACE", b"1\n2");
        let expected = b"PRIORITY=4\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=night\nAGENT=night\n\
                         INCARNATION=7\nMESSAGE=a=b\nTRACE\n\x03\0\0\0\0\0\0\x001\n2\n";
        assert_eq!(journal.datagram, expected);
    }

    #[test]
    fn without_the_socket_each_line_has_its_priority() {
        let (read, write) = io::pipe().expect("a pipe");
        let mut stream = Some(OwnedFd::from(write));
        assert_eq!(fall_back(3, b"Traceback\n  x", &mut stream), 0);
        drop(stream);
        let text = io::read_to_string(read).expect("text");
        assert_eq!(text, "<3>Traceback\n<3>  x\n");
    }
}
