//! Bytes into lines, lines into batches.
//!
//! A line ends with `\n` or `\r\n`; blank ones are skipped. One that is longer
//! than is allowed becomes a short one that says so, and that is no JSON, so
//! it ends as a dead letter: a source is never stuck on a line.
//!
//! It holds at most one batch and one unfinished line.

use crate::supervisor::io::SOURCE_LINES_MAX;

/// Bytes of lines in a batch, at most, unless a single line is longer: what
/// shares one commit must not keep an acknowledgement waiting for long.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// So much of a line that is too long is kept, to tell whose it was.
const CUT_BYTES: usize = 1024;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Cutter {
    line_bytes_max: usize,
    /// The line that has begun, or the beginning of it.
    partial: Vec<u8>,
    /// All its bytes so far.
    partial_bytes: u64,
    lines: Vec<Vec<u8>>,
    lines_bytes: usize,
    /// Bytes of whole lines, their ends included, since [`Cutter::restart`].
    consumed: u64,
}

impl Cutter {
    pub fn new(line_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            partial: Vec::new(),
            partial_bytes: 0,
            lines: Vec::new(),
            lines_bytes: 0,
            consumed: 0,
        }
    }

    /// Goes on elsewhere: forgets the line that has begun, counts from there.
    pub fn restart(&mut self, consumed: u64) {
        self.partial = Vec::new();
        self.partial_bytes = 0;
        self.consumed = consumed;
    }

    /// Takes bytes until the batch is full; how many.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && !self.is_full() {
            let rest = &bytes[taken..];
            let end = memchr::memchr(b'\n', rest);
            self.extend(&rest[..end.unwrap_or(rest.len())]);
            taken += end.map_or(rest.len(), |end| end + 1);
            if end.is_some() {
                self.consumed += self.partial_bytes + 1;
                self.line();
            }
        }
        taken
    }

    /// What has begun is the whole of the last line: no more comes.
    pub fn end(&mut self) {
        self.consumed += self.partial_bytes;
        self.line();
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.partial_bytes += bytes.len() as u64;
        // One byte more than is allowed, so that a `\r` may still be taken off.
        let room = (self.line_bytes_max + 1).saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The line that has begun is whole.
    fn line(&mut self) {
        let mut line = std::mem::take(&mut self.partial);
        let bytes = std::mem::take(&mut self.partial_bytes);
        if bytes == line.len() as u64 && line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.len() > self.line_bytes_max {
            line = self.cut(&line, bytes);
        }
        if !line.trim_ascii().is_empty() {
            self.lines_bytes += line.len();
            self.lines.push(line);
        }
    }

    fn cut(&self, line: &[u8], bytes: u64) -> Vec<u8> {
        let max = self.line_bytes_max;
        let mut cut = line[..line.len().min(CUT_BYTES)].to_vec();
        let note = format!(" … cut: the line has {bytes} bytes, --max-frame is {max}");
        cut.extend_from_slice(note.as_bytes());
        cut
    }

    /// Whether no further line goes into the batch.
    pub fn is_full(&self) -> bool {
        self.lines.len() >= SOURCE_LINES_MAX || self.lines_bytes >= BATCH_BYTES_MAX
    }

    /// The batch so far; may be empty.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        self.lines_bytes = 0;
        std::mem::take(&mut self.lines)
    }

    /// Whether there is anything in the batch.
    pub fn has_lines(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Where the next line begins.
    pub fn consumed(&self) -> u64 {
        self.consumed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(max: usize, text: &[u8]) -> (Vec<String>, u64, u64) {
        let mut cutter = Cutter::new(max);
        for byte in text {
            assert_eq!(cutter.push(&[*byte]), 1);
        }
        let bytewise = (cutter.take(), cutter.consumed(), cutter.partial_bytes);
        let mut cutter = Cutter::new(max);
        assert_eq!(cutter.push(text), text.len());
        let at_once = (cutter.take(), cutter.consumed(), cutter.partial_bytes);
        assert_eq!(bytewise, at_once, "how it arrives does not matter");
        let texts = at_once.0.into_iter().map(|line| String::from_utf8(line).unwrap());
        (texts.collect(), at_once.1, at_once.2)
    }

    #[test]
    fn lines_and_their_ends() {
        let (lines, consumed, unfinished) = cut(100, b"one\r\n\n  \r\ntwo\nthr");
        assert_eq!(lines, ["one", "two"]);
        assert_eq!((consumed, unfinished), (14, 3));
    }

    #[test]
    fn the_last_line_of_what_has_ended() {
        let mut cutter = Cutter::new(100);
        cutter.push(b"a\nb");
        cutter.end();
        assert_eq!(cutter.take(), [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(cutter.consumed(), 3);
        cutter.end();
        assert!(!cutter.has_lines());
    }

    #[test]
    fn a_line_that_is_too_long_is_one_cut_line() {
        assert_eq!(cut(4, b"1234\r\n").0, ["1234"]);
        let (lines, consumed, _) = cut(4, b"12345\n6\n");
        assert_eq!(lines, ["12345 … cut: the line has 5 bytes, --max-frame is 4", "6"]);
        assert_eq!(consumed, 8);
        let (lines, ..) = cut(2000, &[&[b'x'; 10_000][..], b"\ny\n"].concat());
        assert!(lines[0].len() < 2 * CUT_BYTES && lines[0].ends_with("2000"), "{}", lines[0]);
        assert_eq!(lines[1], "y");
    }

    #[test]
    fn a_batch_has_a_bound() {
        let text = "x\n".repeat(SOURCE_LINES_MAX + 5);
        let mut cutter = Cutter::new(100);
        let taken = cutter.push(text.as_bytes());
        assert_eq!((taken, cutter.take().len()), (2 * SOURCE_LINES_MAX, SOURCE_LINES_MAX));
        assert_eq!(cutter.consumed(), taken as u64);
        assert_eq!(cutter.push(&text.as_bytes()[taken..]), 10);
        let long = [vec![b'x'; BATCH_BYTES_MAX], b"\ny\n".to_vec()].concat();
        let mut cutter = Cutter::new(2 * BATCH_BYTES_MAX);
        assert_eq!(cutter.push(&long), BATCH_BYTES_MAX + 1);
        assert_eq!(cutter.take().len(), 1);
    }

    #[test]
    fn going_on_elsewhere() {
        let mut cutter = Cutter::new(100);
        cutter.push(b"a\nunfinish");
        cutter.restart(7);
        cutter.push(b"b\n");
        assert_eq!(cutter.take(), [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(cutter.consumed(), 9);
    }
}
