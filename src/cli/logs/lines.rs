//! Lines out of the pieces in which an agent's text came.
//!
//! Pieces of stdout and stderr take turns and end anywhere. A line is told
//! when its end has come, with the time at which it began. Where adrt itself
//! says something, or another process of the agent begins, what was not ended
//! is told as it is: it stands before that.

use std::collections::BTreeMap;

use crate::cli::text::bytes;
use crate::clock::Wall;
use crate::output::{Record, Stream};

/// A longer line is told in parts: an agent may never end one.
const LINE_MAX_BYTES: usize = 64 * 1024;

/// A line, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it began; of output that was kept with an end, when that was.
    pub at: Wall,
    /// Of which process of the agent.
    pub incarnation: u64,
    /// From where; none where nobody knows any more.
    pub stream: Option<Stream>,
    /// As it came.
    pub text: Vec<u8>,
}

/// Lines that have begun.
#[derive(Debug, Default)]
pub struct Lines {
    open: BTreeMap<(u64, Stream), Line>,
}

impl Lines {
    /// Takes the next piece, and adds the lines that are whole with it.
    pub fn take(&mut self, record: Record, whole: &mut Vec<Line>) {
        let Record { wall, incarnation, stream, skipped, text, .. } = record;
        let is_news = stream == Stream::Adrt || skipped > 0;
        if is_news || self.open.keys().any(|(of, _)| *of != incarnation) {
            self.finish(whole);
        }
        let begun =
            |text: &[u8]| Line { at: wall, incarnation, stream: Some(stream), text: text.to_vec() };
        if skipped > 0 {
            let gap = format!("{} are missing here: too much came at once", bytes(skipped));
            let stream = Some(Stream::Adrt);
            whole.push(Line { stream, ..begun(gap.as_bytes()) });
        }
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            let (part, ends) = match part.strip_suffix(b"\n") {
                Some(part) => (part, true),
                None => (part, false),
            };
            let mut line = match self.open.remove(&(incarnation, stream)) {
                Some(mut line) => {
                    line.text.extend_from_slice(part);
                    line
                }
                None => begun(part),
            };
            while line.text.len() > LINE_MAX_BYTES {
                let rest = line.text.split_off(LINE_MAX_BYTES);
                whole.push(std::mem::replace(&mut line, begun(&rest)));
            }
            if ends {
                whole.push(line);
            } else {
                self.open.insert((incarnation, stream), line);
            }
        }
    }

    /// Adds what has begun as it is, in the order in which it did.
    pub fn finish(&mut self, whole: &mut Vec<Line>) {
        let mut left: Vec<Line> = std::mem::take(&mut self.open).into_values().collect();
        left.sort_by_key(|line| (line.incarnation, line.at));
        whole.append(&mut left);
    }

    /// Whether no line has begun.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(stream: Stream, incarnation: u64, at: i64, text: &[u8]) -> Record {
        let wall = Wall::from_millis(at);
        Record { at: 0, wall, incarnation, stream, skipped: 0, text: text.to_vec() }
    }

    fn told(records: Vec<Record>) -> Vec<(i64, String)> {
        let (mut lines, mut whole) = (Lines::default(), Vec::new());
        for record in records {
            lines.take(record, &mut whole);
        }
        lines.finish(&mut whole);
        let text = |line: Line| String::from_utf8_lossy(&line.text).into_owned();
        whole.into_iter().map(|line| (line.at.millis(), text(line))).collect()
    }

    #[test]
    fn pieces_of_two_streams_take_turns() {
        use Stream::{Adrt, Stderr, Stdout};
        let lines = told(vec![
            record(Stdout, 1, 1, b"one\ntw"),
            record(Stderr, 1, 2, b"err"),
            record(Stdout, 1, 3, b"o\n\n"),
            record(Stderr, 1, 4, b"or\nha"),
            record(Adrt, 1, 5, b"killed\n"),
            record(Stdout, 2, 6, "é".as_bytes().split_at(1).0),
            record(Stdout, 2, 7, "é\n".as_bytes().split_at(1).1),
            record(Stdout, 2, 8, b"open"),
            record(Stdout, 3, 9, b"new\n"),
        ]);
        let expected = [
            (1, "one"),
            (1, "two"),
            (3, ""),
            (2, "error"),
            (4, "ha"),
            (5, "killed"),
            (6, "é"),
            (8, "open"),
            (9, "new"),
        ];
        assert_eq!(lines, expected.map(|(at, text)| (at, text.to_owned())));
    }

    #[test]
    fn what_is_missing_is_told_and_nothing_is_joined_over_it() {
        let gap = Record { skipped: 2048, ..record(Stream::Stdout, 1, 2, b"after\n") };
        let lines = told(vec![record(Stream::Stdout, 1, 1, b"before"), gap]);
        let lines: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(lines, ["before", "2.0 KiB are missing here: too much came at once", "after"]);
    }

    #[test]
    fn a_line_without_an_end_is_told_in_parts() {
        let endless = vec![b'x'; 60_000];
        let lines = told(vec![
            record(Stream::Stdout, 1, 1, &endless),
            record(Stream::Stdout, 1, 2, &endless),
        ]);
        let sizes: Vec<usize> = lines.iter().map(|(_, text)| text.len()).collect();
        assert_eq!(sizes, [LINE_MAX_BYTES, 120_000 - LINE_MAX_BYTES]);
    }
}
