//! An agent's text as entries of a journal.
//!
//! A line is an entry, of priority `info`, or of the one that it names itself
//! by beginning with `<N>` as in sd-daemon(3). A traceback of Python's is one
//! entry, at `err`, with those it was caused by:
//!
//! ```text
//!          Traceback (most …      unindented            blank, During …
//!  (none) ────────────────► Frames ─────────► Told ─────────────────────► Between
//!                             ▲                 │ any other line             │
//!                             │                 └──► (none)                  │
//!                             └────────────── Traceback (most … ─────────────┘
//! ```
//!
//! Python writes it line by line, so it is held back until the next line shows
//! that it is over, or for a moment ([`Lines::release`]).

/// The priority `info`.
const INFO: u8 = 6;
/// The priority `err`.
const ERROR: u8 = 3;
/// The longest entry: the journal's own limit for a line. A longer line is
/// cut, a longer traceback ends there.
pub(super) const LINE_BYTES_MAX: usize = 48 * 1024;

const TRACEBACK: &[u8] = b"Traceback (most recent call last):";
const GROUP: &[u8] = b"  + Exception Group Traceback (most recent call last):";
const BETWEEN: [&[u8]; 2] = [
    b"During handling of the above exception, another exception occurred:",
    b"The above exception was the direct cause of the following exception:",
];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// A line whose end has not come.
    partial: Vec<u8>,
    /// A traceback, as far as it has come.
    held: Vec<u8>,
    stage: Stage,
    /// Blank lines behind it, of which nobody knows yet whether they belong to it.
    blanks: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// No traceback.
    #[default]
    None,
    /// Its indented lines.
    Frames,
    /// Those of a group, which has no last line of its own.
    Group,
    /// The exception has been named.
    Told,
    /// Another traceback follows.
    Between,
}

impl Lines {
    /// Takes text; `found` is called for each entry.
    pub(super) fn push(&mut self, mut text: &[u8], mut found: impl FnMut(u8, &[u8])) {
        while let Some(at) = memchr::memchr(b'\n', text) {
            let (line, rest) = (&text[..at], &text[at + 1..]);
            text = rest;
            if self.partial.is_empty() {
                self.line(line, &mut found);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole, &mut found);
                whole.clear();
                self.partial = whole;
            }
        }
        self.partial.extend_from_slice(text);
        while self.partial.len() >= LINE_BYTES_MAX {
            let rest = self.partial.split_off(LINE_BYTES_MAX);
            let line = std::mem::replace(&mut self.partial, rest);
            self.line(&line, &mut found);
        }
    }

    /// Whether a traceback is held back.
    pub(super) const fn holds(&self) -> bool {
        !matches!(self.stage, Stage::None)
    }

    /// Gives out a traceback that is held back.
    pub(super) fn release(&mut self, mut found: impl FnMut(u8, &[u8])) {
        if self.holds() {
            found(ERROR, self.held.trim_ascii_end());
            self.held.clear();
            self.held.shrink_to(LINE_BYTES_MAX);
            self.stage = Stage::None;
            self.blanks = 0;
        }
    }

    /// Gives out all there is: nothing belongs to it that comes later.
    pub(super) fn finish(&mut self, mut found: impl FnMut(u8, &[u8])) {
        let partial = std::mem::take(&mut self.partial);
        if !partial.is_empty() {
            self.line(&partial, &mut found);
        }
        self.release(found);
    }

    fn line(&mut self, mut line: &[u8], found: &mut impl FnMut(u8, &[u8])) {
        while line.len() > LINE_BYTES_MAX {
            let (first, rest) = line.split_at(LINE_BYTES_MAX);
            self.line(first, found);
            line = rest;
        }
        match self.stage {
            Stage::None => self.first(line, found),
            Stage::Frames if is_indented(line) => self.hold(line, found),
            Stage::Frames => {
                self.stage = Stage::Told;
                self.hold(line, found);
            }
            Stage::Group if is_indented(line) => self.hold(line, found),
            Stage::Told | Stage::Between if line.is_empty() => self.blanks += 1,
            Stage::Told if BETWEEN.contains(&line) => {
                self.stage = Stage::Between;
                self.hold(line, found);
            }
            Stage::Between if line == TRACEBACK => {
                self.stage = Stage::Frames;
                self.hold(line, found);
            }
            Stage::Group | Stage::Told | Stage::Between => {
                self.release(&mut *found);
                self.first(line, found);
            }
        }
    }

    fn first(&mut self, line: &[u8], found: &mut impl FnMut(u8, &[u8])) {
        if line == TRACEBACK || line == GROUP {
            self.stage = if line == GROUP { Stage::Group } else { Stage::Frames };
            return self.hold(line, found);
        }
        let (priority, text) = match line {
            [b'<', digit @ b'0'..=b'7', b'>', rest @ ..] => (digit - b'0', rest),
            all => (INFO, all),
        };
        let text = text.trim_ascii_end();
        if !text.is_empty() {
            found(priority, text);
        }
    }

    fn hold(&mut self, line: &[u8], found: &mut impl FnMut(u8, &[u8])) {
        if self.held.len() + self.blanks + line.len() >= LINE_BYTES_MAX {
            let stage = self.stage;
            self.release(&mut *found);
            self.stage = stage;
        }
        self.held.extend(std::iter::repeat_n(b'\n', std::mem::take(&mut self.blanks)));
        self.held.extend_from_slice(line);
        self.held.push(b'\n');
    }
}

fn is_indented(line: &[u8]) -> bool {
    matches!(line.first(), None | Some(b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(pieces: &[&[u8]]) -> Vec<(u8, String)> {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        let mut found = |priority, line: &[u8]| {
            all.push((priority, String::from_utf8_lossy(line).into_owned()));
        };
        pieces.iter().for_each(|piece| lines.push(piece, &mut found));
        lines.finish(&mut found);
        all
    }

    fn of(text: &str) -> Vec<(u8, String)> {
        let whole = entries(&[text.as_bytes()]);
        // However it is cut.
        for at in 0..text.len() {
            let (first, second) = text.as_bytes().split_at(at);
            assert_eq!(entries(&[first, second]), whole, "cut at {at}");
        }
        whole
    }

    #[test]
    fn a_line_names_its_priority_or_is_usual() {
        let text = "a\n\n<3>b\n<8>c\n<4>\nno end";
        let expected = [(6, "a"), (3, "b"), (6, "<8>c"), (6, "no end")];
        assert_eq!(of(text), expected.map(|(priority, line)| (priority, line.to_owned())));
    }

    #[test]
    fn a_traceback_is_one_entry() {
        let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\n\
                     ValueError: x";
        let text = format!("before\n{trace}\nafter\n");
        let expected = [(6, "before"), (3, trace), (6, "after")];
        assert_eq!(of(&text), expected.map(|(priority, line)| (priority, line.to_owned())));
        assert_eq!(of(&format!("{trace}\n\n")), [(3, trace.to_owned())]);
        assert_eq!(of(&format!("{trace}\n{trace}\n")), [(3, trace.into()), (3, trace.to_owned())]);
    }

    #[test]
    fn with_what_it_was_caused_by() {
        for between in BETWEEN {
            let between = std::str::from_utf8(between).unwrap();
            let trace = format!(
                "Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 1\n\n{between}\n\n\
                 Traceback (most recent call last):\n  File \"b.py\"\nValueError: 2"
            );
            assert_eq!(of(&format!("{trace}\n")), [(3, trace)]);
        }
    }

    #[test]
    fn a_group_ends_with_its_indentation() {
        let trace = "  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\"\n  \
                     | ExceptionGroup: two (2 sub-exceptions)\n  +-+---------------- 1 ---";
        assert_eq!(of(&format!("{trace}\ndone\n")), [(3, trace.into()), (6, "done".to_owned())]);
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let line = "x".repeat(2 * LINE_BYTES_MAX + 1);
        let lengths = |text: &str| {
            entries(&[text.as_bytes()]).iter().map(|(_, line)| line.len()).collect::<Vec<_>>()
        };
        assert_eq!(lengths(&format!("{line}\n")), [LINE_BYTES_MAX, LINE_BYTES_MAX, 1]);
        assert_eq!(lengths(&line), [LINE_BYTES_MAX, LINE_BYTES_MAX, 1]);
        let frames = format!("  {}\n", "y".repeat(1000)).repeat(100);
        let found =
            entries(&[format!("Traceback (most recent call last):\n{frames}E: x\n").as_bytes()]);
        assert!(
            found.iter().all(|(priority, line)| *priority == 3 && line.len() <= LINE_BYTES_MAX)
        );
        assert_eq!(found.len(), 3);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "(Traceback \\(most recent call last\\):|  a|b: c||<3>d|During handling of the above exception, another exception occurred:|\n){0,40}") {
            let words = |text: &str| text.replace("<3>", "").split_whitespace().collect::<Vec<_>>().join(" ");
            let told: Vec<String> = of(&text).into_iter().map(|(_, line)| line).collect();
            prop_assert_eq!(words(&told.join("\n")), words(&text));
        }
    }
}
