//! Bytes into lines, and lines into batches; no I/O of its own.
//!
//! A line is taken out whole: without its newline, nor the `\r` before it. One
//! that is longer than the limit is cut: what is kept of it is enough to know
//! it by, and the rest is passed over without ever being held. Lines of nothing
//! but white space count as read and are not handed on.

use std::io;

use crate::supervisor::io::SOURCE_LINES_MAX;

/// Lines of a batch have no more bytes together, unless one alone has: a batch
/// is in memory several times over on its way to the disk.
pub(super) const BATCH_BYTES_MAX: usize = 1 << 20;
/// What is kept of a line that is too long.
pub(super) const OVERLONG_KEPT_BYTES: usize = 4096;
/// Read at once: what a pipe holds, and a batch of ordinary lines.
const READ_BYTES: usize = 64 * 1024;
/// UTF-8's byte order mark, which some editors put before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What was read and not taken out yet.
#[derive(Debug)]
pub(super) struct Cutter {
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Before this there is no newline.
    searched: usize,
    /// Bytes of the next line that were passed over; then what precedes
    /// `start` + [`Cutter::kept_max`] is its beginning.
    dropped: u64,
    line_max: usize,
    /// The next line is the first of all.
    first: bool,
}

/// A line on its way out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub bytes: Vec<u8>,
    /// Bytes of the source that it stands for, its newline included.
    pub span: u64,
    /// It is only the beginning of one that was too long.
    pub cut: bool,
}

impl Cutter {
    /// For lines of at most so many bytes, from the beginning of a source or,
    /// later, from amid it.
    pub(super) fn new(line_max: usize, first: bool) -> Self {
        Self { buffer: Vec::new(), start: 0, searched: 0, dropped: 0, line_max, first }
    }

    /// Forgets all it has, to go on elsewhere.
    pub(super) fn restart(&mut self, first: bool) {
        *self = Self::new(self.line_max, first);
    }

    /// Takes in what this reads; how many bytes that was.
    pub(super) fn read(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let end = self.buffer.len();
        self.buffer.resize(end + READ_BYTES, 0);
        let count = read(&mut self.buffer[end..]);
        self.buffer.truncate(end + count.as_ref().map_or(0, |count| *count));
        count
    }

    /// Bytes of the source that are in here.
    pub(super) fn unread(&self) -> u64 {
        (self.buffer.len() - self.start) as u64 + self.dropped
    }

    fn kept_max(&self) -> usize {
        OVERLONG_KEPT_BYTES.min(self.line_max)
    }

    /// How long the next line is, if all of it is here.
    fn ready(&mut self) -> Option<usize> {
        let rest = &self.buffer[self.searched..];
        let Some(at) = memchr::memchr(b'\n', rest) else {
            self.searched = self.buffer.len();
            self.pass_over();
            return None;
        };
        // To be found again by `take`.
        self.searched += at;
        Some((self.searched - self.start).min(self.line_max))
    }

    /// Of a line that is too long already only the beginning is held.
    fn pass_over(&mut self) {
        let length = self.buffer.len() - self.start;
        if self.dropped > 0 || length > self.line_max {
            let kept = length.min(self.kept_max());
            self.dropped += (length - kept) as u64;
            self.buffer.truncate(self.start + kept);
            self.searched = self.buffer.len();
        }
    }

    /// The line that [`Cutter::ready`] has found.
    fn take(&mut self) -> Line {
        let end = self.searched;
        let mut line = self.line_to(end);
        line.span += 1;
        self.start = end + 1;
        self.searched = self.start;
        if self.start == self.buffer.len() && self.buffer.capacity() > 2 * READ_BYTES {
            // What one long line needed is not kept for the next.
            self.restart(false);
        }
        line
    }

    fn line_to(&mut self, end: usize) -> Line {
        let whole = &self.buffer[self.start..end];
        let span = whole.len() as u64 + self.dropped;
        let cut = self.dropped > 0 || whole.len() > self.line_max;
        let mut text = if cut { &whole[..self.kept_max().min(whole.len())] } else { whole };
        if self.first {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        if !cut {
            text = text.strip_suffix(b"\r").unwrap_or(text);
        }
        let bytes = text.to_vec();
        self.dropped = 0;
        self.first = false;
        Line { bytes, span, cut }
    }

    /// What follows the last newline, when no more will come; none if that is
    /// nothing.
    pub(super) fn rest(&mut self) -> Option<Line> {
        if self.unread() == 0 {
            return None;
        }
        let line = self.line_to(self.buffer.len());
        self.restart(false);
        Some(line)
    }
}

/// Lines for one commit.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub lines: Vec<Vec<u8>>,
    bytes: usize,
    /// Bytes of the source that they stand for, blank lines included.
    pub span: u64,
    /// Lengths of those that were cut.
    pub cut: Vec<u64>,
}

impl Batch {
    /// Takes lines while they are here and there is room; false when it is full.
    pub(super) fn fill(&mut self, from: &mut Cutter) -> bool {
        while self.lines.len() < SOURCE_LINES_MAX {
            let Some(length) = from.ready() else { return true };
            if !self.lines.is_empty() && self.bytes + length > BATCH_BYTES_MAX {
                return false;
            }
            let line = from.take();
            self.push(line);
        }
        false
    }

    pub(super) fn push(&mut self, line: Line) {
        self.span += line.span;
        if line.cut {
            self.cut.push(line.span);
        }
        if !line.bytes.iter().all(u8::is_ascii_whitespace) {
            self.bytes += line.bytes.len();
            self.lines.push(line.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(cutter: &mut Cutter, bytes: &[u8]) {
        for chunk in bytes.chunks(READ_BYTES) {
            let read = cutter.read(|space| {
                space[..chunk.len()].copy_from_slice(chunk);
                Ok(chunk.len())
            });
            assert_eq!(read.expect("read"), chunk.len());
            // As a reader does between two reads.
            if cutter.ready().is_none() {
                cutter.pass_over();
            }
        }
    }

    fn lines(cutter: &mut Cutter) -> Vec<String> {
        let mut batch = Batch::default();
        batch.fill(cutter);
        batch.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    #[test]
    fn lines_come_out_whole_however_they_come_in() {
        let mut cutter = Cutter::new(100, true);
        feed(&mut cutter, b"\xef\xbb\xbfone\r\ntw");
        assert_eq!(lines(&mut cutter), ["one"]);
        assert_eq!(cutter.unread(), 2);
        feed(&mut cutter, b"o\n\n \t\r\nthree\n\xef\xbb\xbfx\nend");
        assert_eq!(lines(&mut cutter), ["two", "three", "\u{feff}x"]);
        assert_eq!(cutter.unread(), 3);
        let rest = cutter.rest().expect("a rest");
        assert_eq!((&rest.bytes[..], rest.span), (&b"end"[..], 3));
        assert_eq!(cutter.rest(), None);
    }

    #[test]
    fn every_byte_is_accounted_for() {
        let text = b"a\r\n\n  \nbb\n";
        let mut cutter = Cutter::new(100, true);
        feed(&mut cutter, text);
        let mut batch = Batch::default();
        assert!(batch.fill(&mut cutter), "there is room left");
        assert_eq!((batch.span, batch.lines.len()), (text.len() as u64, 2));
    }

    #[test]
    fn a_long_line_is_cut_in_constant_memory() {
        const LENGTH: usize = 50 * READ_BYTES;
        let mut cutter = Cutter::new(10_000, true);
        let mut text = vec![b'x'; LENGTH];
        text.extend_from_slice(b"\nnext\n");
        let mut most = 0;
        let mut batch = Batch::default();
        for chunk in text.chunks(1000) {
            feed(&mut cutter, chunk);
            batch.fill(&mut cutter);
            most = most.max(cutter.buffer.capacity());
        }
        assert!(most <= 4 * READ_BYTES, "{most}");
        assert_eq!(batch.lines[0], [b'x'; OVERLONG_KEPT_BYTES]);
        assert_eq!(batch.lines[1], b"next");
        assert_eq!(batch.cut, [LENGTH as u64 + 1]);
        assert_eq!(batch.span, text.len() as u64);
    }

    #[test]
    fn a_line_at_the_limit_is_whole() {
        let mut cutter = Cutter::new(5, true);
        feed(&mut cutter, b"12345\n123456\n1\n");
        let mut batch = Batch::default();
        batch.fill(&mut cutter);
        assert_eq!(batch.lines, [&b"12345"[..], b"12345", b"1"]);
        assert_eq!(batch.cut, [7]);
    }

    #[test]
    fn a_batch_has_bounds() {
        let mut cutter = Cutter::new(1 << 24, true);
        let short = b"x\n".repeat(SOURCE_LINES_MAX + 1);
        feed(&mut cutter, &short);
        assert_eq!(lines(&mut cutter).len(), SOURCE_LINES_MAX);
        assert_eq!(lines(&mut cutter).len(), 1);
        let long = [vec![b'y'; BATCH_BYTES_MAX - 10], b"\n0123456789\n.\n".to_vec()].concat();
        feed(&mut cutter, &long);
        assert_eq!(lines(&mut cutter).len(), 2, "exactly as much as fits");
        assert_eq!(lines(&mut cutter), ["."]);
        // One that is larger alone goes alone.
        let large = [b"a\n".to_vec(), vec![b'y'; 3 * BATCH_BYTES_MAX], b"\nb\n".to_vec()].concat();
        feed(&mut cutter, &large);
        assert_eq!(lines(&mut cutter), ["a"]);
        assert_eq!(lines(&mut cutter)[0].len(), 3 * BATCH_BYTES_MAX);
        assert_eq!(lines(&mut cutter), ["b"]);
        assert!(cutter.buffer.capacity() <= 4 * READ_BYTES, "given back");
    }
}
