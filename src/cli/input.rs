//! JSON as people type it, or pipe it in.
//!
//! It goes on as the text that came: only its syntax is looked at here, and
//! what it does is decided where it is kept.

use std::io::Read as _;

use super::failure::{Failure, Kind};

/// Stands for stdin.
pub const STDIN: &str = "-";
/// More than this is no value that somebody pipes in.
const STDIN_MAX_BYTES: u64 = 1 << 30;
/// Characters of a wrong value that are repeated.
const REPEATED_MAX: usize = 20;

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// Any.
    Any,
}

impl Shape {
    fn fits(self, text: &str) -> bool {
        match self {
            Self::Object => text.starts_with('{'),
            Self::Array => text.starts_with('['),
            Self::Any => true,
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::Object => "give an object, {…}, in single quotes for the shell",
            Self::Array => "give an array of operations, […], in single quotes for the shell",
            Self::Any => "give JSON, in single quotes for the shell; text has quotes of its own",
        }
    }
}

/// The text that was typed, or piped in for `-`, if it is JSON of that shape.
///
/// # Errors
/// It is not, or stdin can't be read.
pub fn json_or_stdin(word: &str, what: &str, shape: Shape) -> Result<String, Failure> {
    if word == STDIN { checked(&stdin()?, what, shape) } else { json(word, what, shape) }
}

/// The text that was typed, if it is JSON of that shape.
///
/// # Errors
/// It is not.
pub fn json(word: &str, what: &str, shape: Shape) -> Result<String, Failure> {
    checked(word.as_bytes(), what, shape)
}

fn checked(text: &[u8], what: &str, shape: Shape) -> Result<String, Failure> {
    let refused = |why: String| {
        Failure::new(Kind::Usage, format!("{what} makes no sense")).why(why).hint(shape.hint())
    };
    let text = crate::json::validate(text).map_err(|fault| refused(fault.to_string()))?.trim();
    if !shape.fits(text) {
        let start: String = text.chars().take(REPEATED_MAX).collect();
        return Err(refused(format!("it begins with {start:?}")));
    }
    Ok(text.to_owned())
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let read = std::io::stdin().lock().take(STDIN_MAX_BYTES).read_to_end(&mut text);
    read.map(|_| text).map_err(|error| unreadable(&error))
}

/// stdin gives nothing.
pub fn unreadable(error: &std::io::Error) -> Failure {
    Failure::new(Kind::Failed, "stdin can't be read").why(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_on_as_it_was_typed() {
        let object = json(" {\"a\": 1e400} ", "x", Shape::Object);
        assert_eq!(object.as_deref(), Ok("{\"a\": 1e400}"));
        assert_eq!(json("[]", "x", Shape::Array).as_deref(), Ok("[]"));
        assert_eq!(json("-0.0", "x", Shape::Any).as_deref(), Ok("-0.0"));
    }

    #[test]
    fn other_text_is_refused() {
        for (word, shape) in [
            ("[]", Shape::Object),
            ("{}", Shape::Array),
            ("{a:1}", Shape::Object),
            ("", Shape::Any),
            ("{}{}", Shape::Object),
            ("blue", Shape::Any),
        ] {
            let failure = json(word, "the state", shape).expect_err(word);
            assert_eq!(failure.kind, Kind::Usage, "{word}");
            assert!(!failure.why.is_empty() && !failure.hint.is_empty());
        }
    }
}
