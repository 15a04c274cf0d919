//! Strict validation of JSON text (RFC 8259, UTF-8), with a fault that a
//! person can act on.

use std::borrow::Cow;
use std::fmt;

use serde::de::IgnoredAny;
use serde_json::error::Category;

/// Where and why text is no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonFault {
    /// The line, from 1.
    pub line: usize,
    /// The byte in that line, from 1.
    pub column: usize,
    /// What is wrong there, without the place.
    pub reason: String,
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {} column {}", self.reason, self.line, self.column)
    }
}

impl std::error::Error for JsonFault {}

impl JsonFault {
    /// From the parser's error, put plainly.
    pub(super) fn from_parser(error: &serde_json::Error, text: &str) -> Self {
        let (line, column) = (error.line().max(1), error.column().max(1));
        let line_text = text.split('\n').nth(line - 1).unwrap_or_default().as_bytes();
        if let Some((start, name)) = unspeakable_number(line_text, column) {
            let reason = format!("{name} is not in JSON; send null or a string instead");
            return Self { line, column: start + 1, reason };
        }
        if let Some(byte) = bare_control(line_text, column) {
            let reason = format!("the control character 0x{byte:02x} must be escaped in a string");
            return Self { line, column: column + 1, reason };
        }
        let shown = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let reason = shown.strip_suffix(&place).unwrap_or(&shown);
        let reason = match error.classify() {
            Category::Eof => format!("the text ends too early: {reason}"),
            Category::Io | Category::Syntax | Category::Data => reason.to_owned(),
        };
        Self { line, column, reason }
    }
}

/// Python's `json.dumps` writes these unless told `allow_nan=False`, so they
/// are worth a sentence of their own. The parser stops at their first or
/// second byte.
fn unspeakable_number(line: &[u8], column: usize) -> Option<(usize, &'static str)> {
    for start in column.saturating_sub(2)..=column {
        let rest = line.get(start..)?;
        for name in ["NaN", "-Infinity", "Infinity"] {
            if rest.starts_with(name.as_bytes()) {
                return Some((start, name));
            }
        }
    }
    None
}

/// The parser stops one byte before a control character in a string. (A bare
/// line end in a string ends the line, so the parser's words must do.)
fn bare_control(line: &[u8], next: usize) -> Option<u8> {
    let byte = line.get(next).copied().filter(|byte| *byte < b' ')?;
    let mut in_string = false;
    let mut before = line[..next].iter();
    while let Some(byte) = before.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                before.next();
            }
            _ => {}
        }
    }
    in_string.then_some(byte)
}

/// Checks that the bytes are one JSON value in UTF-8 and gives them back as
/// text. Values may nest as deep as they like.
///
/// # Errors
/// The first fault: bytes that are not UTF-8, `NaN`, a bare control character
/// in a string, anything else RFC 8259 does not know.
pub fn validate(bytes: &[u8]) -> Result<&str, JsonFault> {
    let text = text(bytes)?;
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => Ok(text),
        Err(error) => Err(JsonFault::from_parser(&error, text)),
    }
}

/// The bytes as text, which may be JSON or not.
///
/// # Errors
/// The first bytes that are not UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, JsonFault> {
    std::str::from_utf8(bytes).map_err(|error| utf8_fault(bytes, error))
}

fn utf8_fault(bytes: &[u8], error: std::str::Utf8Error) -> JsonFault {
    let (before, rest) = bytes.split_at(error.valid_up_to());
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let column = before.len() - line_start + 1;
    let reason = match rest.first() {
        Some(byte) => format!("byte 0x{byte:02x} is not UTF-8"),
        None => "not UTF-8".to_owned(),
    };
    JsonFault { line, column, reason }
}

/// Valid JSON text without line ends and without white space around it.
///
/// A bare line end can only stand between tokens, where it may go without a
/// trace; everything that is sent over a wire of lines must be rid of them.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split(['\n', '\r']).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &[u8]) -> JsonFault {
        validate(text).expect_err("must be refused")
    }

    #[test]
    fn keeps_what_is_json() {
        for text in [
            "{}",
            " [1 , 2]\t",
            "1e400",
            "-0.0",
            "123456789012345678901234567890.5e-7",
            r#""\ud800 alone""#,
            r#"{"a":1,"a":2}"#,
            "null",
        ] {
            assert_eq!(validate(text.as_bytes()), Ok(text));
        }
    }

    #[test]
    fn depth_is_no_matter() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(validate(deep.as_bytes()), Ok(deep.as_str()));
        assert!(validate("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn names_what_python_writes_for_numbers_that_are_none() {
        for (text, column, name) in [
            (r#"{"a":NaN}"#, 6, "NaN"),
            (r#"{"a": Infinity}"#, 7, "Infinity"),
            (r#"{"a": [1, -Infinity]}"#, 11, "-Infinity"),
            ("NaN", 1, "NaN"),
            ("-Infinity", 1, "-Infinity"),
        ] {
            let fault = fault(text.as_bytes());
            assert_eq!((fault.line, fault.column), (1, column), "{text}");
            assert!(fault.reason.starts_with(&format!("{name} is not in JSON")), "{fault}");
        }
    }

    #[test]
    fn says_where() {
        let control = fault(b"{\"a\":\"x\ty\"}");
        assert_eq!(control.column, 8);
        assert_eq!(control.reason, "the control character 0x09 must be escaped in a string");
        let newline = fault(b"{\"a\":\"x\ny\"}");
        assert!(newline.reason.contains("control character"), "{newline}");
        assert!(!fault(b"[tru\t]").reason.contains("control character"));
        let not_utf8 = fault(b"{\"a\":\"\xff\"}");
        assert_eq!((not_utf8.line, not_utf8.column), (1, 7));
        assert_eq!(not_utf8.reason, "byte 0xff is not UTF-8");
        let second_line = fault(b"{\n\"a\":\xe9}");
        assert_eq!((second_line.line, second_line.column), (2, 5));
        for broken in
            ["", "{", "{\"a\"", "[1,]", "01", "1.", "+1", "{} {}", "\"\\x\"", "nul", "{a:1}"]
        {
            let fault = fault(broken.as_bytes());
            assert!(fault.column >= 1 && fault.line == 1, "{broken}: {fault:?}");
            assert!(!fault.reason.contains(" at line "), "{fault}");
        }
    }

    #[test]
    fn line_ends_go_without_a_trace() {
        assert_eq!(one_line("{\n  \"a\": 1,\r\n  \"b\": 2\n}\n"), r#"{  "a": 1,  "b": 2}"#);
        assert!(matches!(one_line(" {} "), Cow::Borrowed("{}")));
    }
}
