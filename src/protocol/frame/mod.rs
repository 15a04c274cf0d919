//! Cuts an agent's stdout into log text and lines that may be frames.
//!
//! Bytes are read straight into the framer's buffer ([`Framer::space`],
//! [`Framer::filled`]) and handed out as slices of it ([`Framer::next`]), so
//! a flood of text is searched for line ends once and never copied.
//!
//! ```text
//!              blank, BOM               `{`
//!   line start ──────────▶ line start ──────▶ candidate ──▶ Line at its `\n`
//!       │ any other byte                          │ longer than max_frame
//!       ▼                                         ▼
//!     text ◀──────────────────────────────────── text, or, on an open wire
//!       │ `\n`                                    and with "jsonrpc" early on:
//!       ▼                                        discard ──▶ Overlong at its `\n`
//!   line start
//! ```
//!
//! Invariants:
//! - every byte of the stream comes out once, in order, in a `Text` or in the
//!   `whole` of a `Line`, but for the bytes of a discarded line;
//! - what comes out does not depend on how the stream was cut into reads;
//! - memory stays below `max_frame` plus a chunk, and a large line's memory
//!   is given back.
//!
//! Deliberately not here: whether a candidate is a frame. That takes the
//! token and the JSON, which the machine has.

use std::ops::Range;

use memchr::{memchr, memmem};

#[cfg(test)]
mod tests;

/// Bytes asked for with each read: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// An empty buffer larger than this many chunks is given back. Below it, it
/// is kept: a stream of frames of some 200 KB should not allocate for each.
const CHUNKS_KEPT: usize = 4;

/// Room that a read is offered at least, as a part of a chunk.
const LEAST_ROOM: usize = 4;

/// A line that is too long counts as a frame if `"jsonrpc"` is this early.
const FRAME_MARK_WITHIN: usize = 256;

const FRAME_MARK: &[u8] = b"\"jsonrpc\"";

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What came out of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// Bytes that are certainly log text, line ends included: as many lines
    /// at once as are there, or a part of one.
    Text(&'a [u8]),
    /// A line whose first non-blank byte is `{`.
    Line {
        /// Without its line end (`\n` or `\r\n`) and without a byte order mark.
        line: &'a [u8],
        /// Every byte of it, to be passed on if it turns out to be text.
        whole: &'a [u8],
    },
    /// A line that looked like a frame was longer than `max_frame`. It is gone.
    Overlong,
}

/// An item as places in the buffer.
enum Found {
    Text(Range<usize>),
    Line { line: Range<usize>, whole: Range<usize> },
    Overlong,
}

/// Where in a line the next byte is. Counts are of bytes from the line's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing but `blanks` bytes of blanks so far: nothing is decided.
    Start { blanks: usize },
    /// It began with `{`; there is no line end in its first `searched` bytes.
    Candidate { searched: usize },
    /// It is text.
    Text,
    /// It is too long and looked like a frame.
    Discard,
}

/// How a line begins.
enum Lead {
    Undecided { blanks: usize },
    Brace,
    Text,
}

/// Cuts a stream into [`Item`]s. See the module.
#[derive(Debug)]
pub struct Framer {
    /// What was read and not yet handed out is `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    place: Place,
    /// The line at `start` is the stream's first: it may have a byte order mark.
    first_line: bool,
    /// Nothing more can be said about the bytes that are there.
    drained: bool,
    wire_open: bool,
    max_frame: usize,
    chunk: usize,
}

impl Framer {
    /// A framer at the beginning of a stream. `max_frame` is the longest line
    /// in bytes, without its line end, that may be a frame; 256 at least.
    pub fn new(max_frame: usize) -> Self {
        Self::with_chunk(max_frame, CHUNK)
    }

    fn with_chunk(max_frame: usize, chunk: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            place: Place::Start { blanks: 0 },
            first_line: true,
            drained: true,
            wire_open: false,
            // So that the mark is found or not whatever the reads were.
            max_frame: max_frame.max(FRAME_MARK_WITHIN),
            chunk,
        }
    }

    /// From the next line on, a line that is too long and looks like a frame
    /// is an error instead of text.
    pub fn open_wire(&mut self) {
        self.wire_open = true;
    }

    /// Room for the next read; tell [`Self::filled`] how much of it was used.
    ///
    /// Empty only while there are items that [`Self::next`] has not been asked
    /// for: then ask first, and don't take a read of 0 bytes for the end.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.is_empty() {
                self.buffer.resize(self.chunk, 0);
            }
        }
        let least = self.chunk.div_ceil(LEAST_ROOM);
        if self.buffer.len() - self.end < least {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        // What is left of a drained buffer is one candidate, within its limit.
        if self.buffer.len() - self.end < least && self.drained {
            let most = self.max_frame.saturating_add(BOM.len() + "\r\n".len() + self.chunk);
            let wanted = (self.end + least).max(2 * self.buffer.len()).min(most);
            self.buffer.resize(wanted, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// The first `count` bytes of the last [`Self::space`] were read into.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
        self.drained = false;
    }

    /// Copies bytes in, as many as there is room for, and says how many.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let count = space.len().min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        self.filled(count);
        count
    }

    /// The next item; `None` when more bytes are needed to tell.
    ///
    /// It may be left for later at any time: nothing is lost, and no more is
    /// read into the buffer than it has room for.
    #[expect(
        clippy::should_implement_trait,
        reason = "items borrow from the buffer, which an Iterator's can't"
    )]
    pub fn next(&mut self) -> Option<Item<'_>> {
        let found = self.find()?;
        Some(self.item(found))
    }

    /// The same after the end of the stream: what [`Self::next`] still has,
    /// then the bytes after the last line end, which are text and never a
    /// frame. To be called until it gives `None`.
    pub fn finish(&mut self) -> Option<Item<'_>> {
        let found = self.find().or_else(|| {
            let rest = self.start..self.end;
            self.start = self.end;
            self.place = Place::Text;
            (!rest.is_empty()).then_some(Found::Text(rest))
        })?;
        Some(self.item(found))
    }

    fn item(&self, found: Found) -> Item<'_> {
        match found {
            Found::Text(text) => Item::Text(&self.buffer[text]),
            Found::Line { line, whole } => {
                Item::Line { line: &self.buffer[line], whole: &self.buffer[whole] }
            }
            Found::Overlong => Item::Overlong,
        }
    }

    fn find(&mut self) -> Option<Found> {
        while !self.drained {
            let found = match self.place {
                Place::Start { .. } | Place::Text => self.text(),
                Place::Candidate { searched } => self.candidate(searched),
                Place::Discard => self.discard(),
            };
            if found.is_some() {
                return found;
            }
        }
        if self.start == self.end && self.buffer.len() > CHUNKS_KEPT * self.chunk {
            (self.buffer, self.start, self.end) = (Vec::new(), 0, 0);
        }
        None
    }

    /// Takes all text up to the next candidate or the end of what is there.
    fn text(&mut self) -> Option<Found> {
        let bytes = &self.buffer[..self.end];
        let mut at = self.start;
        loop {
            match self.place {
                Place::Start { blanks } => match lead(&bytes[at..], blanks, self.first_line) {
                    Lead::Text => self.place = Place::Text,
                    Lead::Brace => {
                        self.place = Place::Candidate { searched: 0 };
                        break;
                    }
                    Lead::Undecided { blanks } if blanks > self.max_frame => {
                        self.place = Place::Text;
                    }
                    Lead::Undecided { blanks } => {
                        self.place = Place::Start { blanks };
                        self.drained = true;
                        break;
                    }
                },
                Place::Text => {
                    self.first_line = false;
                    match memchr(b'\n', &bytes[at..]) {
                        Some(newline) => {
                            at += newline + 1;
                            self.place = Place::Start { blanks: 0 };
                        }
                        None => {
                            at = self.end;
                            self.drained = true;
                            break;
                        }
                    }
                }
                Place::Candidate { .. } | Place::Discard => break,
            }
        }
        let text = self.start..at;
        self.start = at;
        (!text.is_empty()).then_some(Found::Text(text))
    }

    /// A line that began with `{` is at `start`.
    fn candidate(&mut self, searched: usize) -> Option<Found> {
        let held = &self.buffer[self.start..self.end];
        let mark = if self.first_line && held.starts_with(BOM) { BOM.len() } else { 0 };
        let Some(newline) = memchr(b'\n', &held[searched..]).map(|place| searched + place) else {
            // The last byte may be the first of the line end.
            if held.len() - mark > self.max_frame.saturating_add(1) {
                self.too_long(mark);
            } else {
                self.place = Place::Candidate { searched: held.len() };
                self.drained = true;
            }
            return None;
        };
        let content = held[..newline].strip_suffix(b"\r").unwrap_or(&held[..newline]);
        if content.len() - mark > self.max_frame {
            self.too_long(mark);
            return None;
        }
        let line = self.start + mark..self.start + content.len();
        let whole = self.start..self.start + newline + 1;
        self.start = whole.end;
        self.next_line();
        Some(Found::Line { line, whole })
    }

    fn too_long(&mut self, mark: usize) {
        let content = &self.buffer[self.start + mark..self.end];
        let early = &content[..content.len().min(FRAME_MARK_WITHIN)];
        let looks_like_frame = memmem::find(early, FRAME_MARK).is_some();
        self.place = if self.wire_open && looks_like_frame { Place::Discard } else { Place::Text };
    }

    fn discard(&mut self) -> Option<Found> {
        match memchr(b'\n', &self.buffer[self.start..self.end]) {
            Some(newline) => {
                self.start += newline + 1;
                self.next_line();
                Some(Found::Overlong)
            }
            None => {
                self.start = self.end;
                self.drained = true;
                None
            }
        }
    }

    fn next_line(&mut self) {
        self.first_line = false;
        self.place = Place::Start { blanks: 0 };
    }
}

/// How the line that `bytes` starts with begins; `blanks` of it are known to
/// be blanks.
fn lead(bytes: &[u8], blanks: usize, first_line: bool) -> Lead {
    let known = match blanks {
        0 if first_line && BOM.starts_with(&bytes[..bytes.len().min(BOM.len())]) => {
            if bytes.len() < BOM.len() {
                return Lead::Undecided { blanks: 0 };
            }
            BOM.len()
        }
        known => known,
    };
    match bytes[known..].iter().position(|byte| !matches!(byte, b' ' | b'\t')) {
        None => Lead::Undecided { blanks: bytes.len() },
        Some(place) if bytes[known + place] == b'{' => Lead::Brace,
        Some(_) => Lead::Text,
    }
}
