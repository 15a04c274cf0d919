//! What is remembered of a command that was run as a step:
//! `{"exit": 0, "stdout": "…"}`.
//!
//! Output that is no text, or little of it, goes in as `stdout_base64`. Of output that is more
//! than is kept there is only its length, as `stdout_bytes`: the step is done
//! all the same, since it may have cost money, and is not done again; but
//! nobody is given half of its output for the whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use crate::cli::json::Object;
use crate::json;

/// Output that is remembered at most. In JSON it is at most twice as long,
/// which a request to adrt still takes.
pub const OUTPUT_BYTES_MAX: usize = 8 << 20;
/// So short a text stays one, whatever is in it.
const ESCAPES_FREE: usize = 64;

/// The text of an outcome; `output` is none where there was too much of it.
pub fn encode(exit: u8, bytes: u64, output: Option<&[u8]>) -> String {
    let object = Object::new().number("exit", exit);
    let object = match (output, output.and_then(as_text)) {
        (_, Some(text)) => object.raw("stdout", &text),
        (Some(output), None) => object.text("stdout_base64", &BASE64.encode(output)),
        (None, None) => object.number("stdout_bytes", bytes),
    };
    object.finish()
}

/// Output as a JSON string, if it is text and not made of what must be escaped.
fn as_text(output: &[u8]) -> Option<String> {
    let text = json::encode(std::str::from_utf8(output).ok()?.as_bytes());
    (text.len() <= 2 * output.len() + ESCAPES_FREE).then_some(text)
}

/// What is known of a command that was run before.
#[derive(Debug, PartialEq, Eq)]
pub enum Remembered {
    /// How it ended and what it printed.
    Whole {
        /// Its exit code.
        exit: u8,
        /// Its stdout.
        output: Vec<u8>,
    },
    /// It printed too much.
    TooLong {
        /// So many bytes.
        bytes: u64,
    },
    /// The step was done by something else.
    Other,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    exit: u8,
    stdout: Option<Box<serde_json::value::RawValue>>,
    stdout_base64: Option<String>,
    stdout_bytes: Option<u64>,
}

/// Reads the text of an outcome.
pub fn decode(text: &str) -> Remembered {
    let Ok(Outcome { exit, stdout, stdout_base64, stdout_bytes }) = serde_json::from_str(text)
    else {
        return Remembered::Other;
    };
    let binary = stdout_base64.map(|text| BASE64.decode(text));
    match (stdout, binary, stdout_bytes) {
        (Some(literal), None, None) if literal.get().starts_with('"') => {
            Remembered::Whole { exit, output: json::decode(literal.get()).into_owned() }
        }
        (None, Some(Ok(output)), None) => Remembered::Whole { exit, output },
        (None, None, Some(bytes)) => Remembered::TooLong { bytes },
        _ => Remembered::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_comes_back_byte_for_byte() {
        for output in [&b""[..], b"two\nlines\0\x1b[m", "\u{feff}é😀".as_bytes(), b"\xff\xfe\n"]
        {
            let text = encode(3, output.len() as u64, Some(output));
            assert_eq!(decode(&text), Remembered::Whole { exit: 3, output: output.to_vec() });
        }
        assert_eq!(encode(0, 3, Some(b"a\"\n")), r#"{"exit":0,"stdout":"a\"\n"}"#);
    }

    #[test]
    fn what_escapes_would_swell_goes_in_as_bytes() {
        let zeros = vec![0; 1000];
        let text = encode(0, 1000, Some(&zeros));
        assert!(text.contains("stdout_base64") && text.len() < 1500, "{text}");
        assert_eq!(decode(&text), Remembered::Whole { exit: 0, output: zeros });
    }

    #[test]
    fn too_long_is_not_cut() {
        let text = encode(0, 9 << 20, None);
        assert_eq!(text, r#"{"exit":0,"stdout_bytes":9437184}"#);
        assert_eq!(decode(&text), Remembered::TooLong { bytes: 9 << 20 });
    }

    #[test]
    fn results_of_others_are_told_apart() {
        for text in ["null", "7", "{}", r#"{"exit":0}"#, r#"{"exit":0,"stdout":1}"#, r#"{"id":4}"#]
        {
            assert_eq!(decode(text), Remembered::Other, "{text}");
        }
    }
}
