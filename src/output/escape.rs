//! Makes an agent's text harmless for a terminal.
//!
//! A terminal takes orders from what it is shown: to move the cursor over
//! what a person is about to read, to change its title, to answer as if the
//! person had typed. So on a terminal, control characters are shown in the
//! form `\x1b` and not obeyed: the ASCII ones but newline, carriage return
//! and tab, the C1 ones (U+0080 to U+009F), and bytes that are not UTF-8,
//! which some terminals take for C1.

use std::fmt::Write;

/// Escapes a stream of text, whose pieces may end within a character.
#[derive(Debug, Default)]
pub(super) struct Escaper {
    /// The beginning of a character that is not complete yet.
    partial: Vec<u8>,
}

impl Escaper {
    /// Adds the form for the terminal of `text` to `out`.
    pub(super) fn escape(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let joined;
        let mut rest = text;
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(text);
            joined = std::mem::take(&mut self.partial);
            rest = &joined;
        }
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => return escape_chars(valid, out),
                Err(error) => {
                    let (valid, invalid) = rest.split_at(error.valid_up_to());
                    escape_chars(&String::from_utf8_lossy(valid), out);
                    let Some(bad) = error.error_len() else {
                        self.partial = invalid.to_vec();
                        return;
                    };
                    let (bad, after) = invalid.split_at(bad);
                    escape_bytes(bad, out);
                    rest = after;
                }
            }
        }
    }

    /// Adds what is left of a character that was never completed.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        escape_bytes(&std::mem::take(&mut self.partial), out);
    }
}

/// One line for people, whatever is in `text`: all control characters but the
/// tab are escaped, newlines too, so that quoted text of an agent can't pass
/// for a line of adrt's.
pub fn escape_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => line.push('\t'),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            control if control.is_control() => push_escape(control, &mut line),
            other => line.push(other),
        }
    }
    line
}

fn escape_chars(text: &str, out: &mut Vec<u8>) {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let mut rest = text;
    while let Some(at) = rest.find(obeyed) {
        let (harmless, tail) = rest.split_at(at);
        out.extend_from_slice(harmless.as_bytes());
        let mut chars = tail.chars();
        if let Some(control) = chars.next() {
            let mut shown = String::new();
            push_escape(control, &mut shown);
            out.extend_from_slice(shown.as_bytes());
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn push_escape(control: char, out: &mut String) {
    let code = u32::from(control);
    let _a_string_takes_all = if control.is_ascii() {
        write!(out, "\\x{code:02x}")
    } else {
        write!(out, "\\u{{{code:x}}}")
    };
}

fn escape_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(pieces: &[&[u8]]) -> String {
        let mut escaper = Escaper::default();
        let mut out = Vec::new();
        for piece in pieces {
            escaper.escape(piece, &mut out);
        }
        escaper.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn controls_are_shown_and_not_obeyed() {
        assert_eq!(shown(&[b"a\x1b[31mb\x07\x7f\x00"]), "a\\x1b[31mb\\x07\\x7f\\x00");
        assert_eq!(shown(&[b"tab\tcr\rnl\n"]), "tab\tcr\rnl\n");
        assert_eq!(shown(&["\u{9b}2J grün".as_bytes()]), "\\u{9b}2J grün");
        assert_eq!(shown(&[b"\x9b2J\xff"]), "\\x9b2J\\xff");
    }

    #[test]
    fn characters_may_be_cut_anywhere() {
        let text = "a\u{9b}é漢🦀\x1b".as_bytes();
        let whole = shown(&[text]);
        for cut in 0..text.len() {
            assert_eq!(shown(&[&text[..cut], &text[cut..]]), whole);
        }
        assert_eq!(shown(&["é".as_bytes(), &"é".as_bytes()[..1]]), "é\\xc3");
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(escape_line("a\nadrt: b\r\x1b[0m\tc"), "a\\nadrt: b\\r\\x1b[0m\tc");
    }

    proptest! {
        #[test]
        fn nothing_that_is_obeyed_comes_out(
            pieces in proptest::collection::vec(any::<Vec<u8>>(), 0..8),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let out = shown(&pieces);
            prop_assert!(!out.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')));
        }
    }
}
