//! JSON text laid out for people, without ever parsing a number.
//!
//! `1e400`, `-0.0` and 17-digit floats must come out as they are kept, so
//! this works on the tokens of text that is known to be valid JSON.

use super::output::Paint;
use super::text::is_hostile;

/// Indented by two; members and elements on lines of their own, `{}` and `[]`
/// where empty. Characters that a terminal would obey are written as `\u00…`,
/// which is the same JSON.
pub fn pretty(text: &str, paint: Paint) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    let mut depth = 0_usize;
    let mut after_open = false;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_whitespace() {
            rest = &rest[1..];
            continue;
        }
        if after_open && !matches!(c, '}' | ']') {
            newline(&mut out, depth);
        }
        let was_open = std::mem::replace(&mut after_open, false);
        let length = token_length(rest);
        let (token, tail) = rest.split_at(length);
        rest = tail;
        match c {
            '{' | '[' => {
                out.push(c);
                depth += 1;
                after_open = true;
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !was_open {
                    newline(&mut out, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(',');
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                let is_name = rest.trim_ascii_start().starts_with(':');
                let shown = shown_string(token);
                out.push_str(&if is_name { paint.name(&shown) } else { paint.string(&shown) });
            }
            _ => out.push_str(&paint.literal(token)),
        }
    }
    out
}

/// Deeper than this nothing is indented further: the text of a value nested
/// 100,000 deep would be 20 GB of blanks.
const INDENTED_MAX: usize = 64;

fn newline(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth.min(INDENTED_MAX) {
        out.push_str("  ");
    }
}

/// Length of the token at the start of `text`: a string, a mark, or a run of
/// anything else (number, `true`, `null`).
fn token_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'"') => {
            let mut at = 1;
            while let Some(byte) = bytes.get(at) {
                match byte {
                    b'\\' => at += 2,
                    b'"' => return at + 1,
                    _ => at += 1,
                }
            }
            text.len()
        }
        Some(b'{' | b'}' | b'[' | b']' | b',' | b':') | None => 1.min(text.len()),
        Some(_) => bytes
            .iter()
            .position(|b| b.is_ascii_whitespace() || b"{}[],:\"".contains(b))
            .unwrap_or(text.len()),
    }
}

/// A string token in which nothing is left for a terminal to obey.
pub fn shown_string(token: &str) -> String {
    if !token.chars().any(is_hostile) {
        return token.to_owned();
    }
    let mut out = String::with_capacity(token.len() + 8);
    for c in token.chars() {
        if is_hostile(c) {
            // All of them are below U+10000: one unit of UTF-16.
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// The whole text on one line, without white space between tokens.
pub fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        let (token, tail) = rest.split_at(token_length(rest));
        out.push_str(token);
        rest = tail.trim_ascii_start();
    }
    out
}

/// A string as a JSON token.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Builds the text of one JSON object member by member; values that are JSON
/// text already go in as they are.
#[derive(Debug, Default)]
pub struct Object(String);

impl Object {
    /// An object with no members yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member whose value is JSON text.
    #[must_use]
    pub fn raw(mut self, name: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&quoted(name));
        self.0.push(':');
        self.0.push_str(value);
        self
    }

    /// Adds the members of another one.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        if !self.0.is_empty() && !other.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&other.0);
        self
    }

    /// Adds a member with a string.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.raw(name, &quoted(value))
    }

    /// Adds a member with a string, or null.
    #[must_use]
    pub fn maybe_text(self, name: &str, value: Option<&str>) -> Self {
        self.raw(name, &value.map_or_else(|| "null".to_owned(), quoted))
    }

    /// Adds a member with a number or truth value.
    #[must_use]
    pub fn number(self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.raw(name, &value.into().to_string())
    }

    /// The text with the members of another object behind, which is JSON text.
    pub fn joined_with(self, object: &str) -> String {
        let inner = object.trim();
        let inner = inner.strip_prefix('{').unwrap_or(inner);
        let inner = inner.strip_suffix('}').unwrap_or(inner).trim();
        let comma = if self.0.is_empty() || inner.is_empty() { "" } else { "," };
        format!("{{{}{comma}{inner}}}", self.0)
    }

    /// The text.
    pub fn finish(self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// The text of an array of values that are JSON text.
pub fn array(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    format!("[{}]", items.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lays_out_and_keeps_every_token() {
        let text = r#"{"a":[1e400,-0.0,{}, []],"b \" ]":{"c":null},"d":"x"}"#;
        assert_eq!(
            pretty(text, Paint::PLAIN),
            "{\n  \"a\": [\n    1e400,\n    -0.0,\n    {},\n    []\n  ],\n  \"b \\\" ]\": {\n    \"c\": null\n  },\n  \"d\": \"x\"\n}"
        );
        assert_eq!(compact(&pretty(text, Paint::PLAIN)), compact(text));
    }

    #[test]
    fn scalars_and_empties() {
        for text in ["1", "\"\"", "{}", "[]", "true"] {
            assert_eq!(pretty(text, Paint::PLAIN), text);
        }
        assert_eq!(pretty(" { } ", Paint::PLAIN), "{}");
        assert_eq!(pretty("[[]]", Paint::PLAIN), "[\n  []\n]");
    }

    #[test]
    fn indentation_ends_somewhere() {
        const DEPTH: usize = 100_000;
        let shown = pretty(&format!("{}1{}", "[".repeat(DEPTH), "]".repeat(DEPTH)), Paint::PLAIN);
        assert!(shown.len() < DEPTH * 6 * INDENTED_MAX);
        assert_eq!(shown.lines().count(), 2 * DEPTH + 1);
    }

    #[test]
    fn hostile_characters_become_escapes() {
        assert_eq!(pretty("\"a\u{9b}\u{7f}\"", Paint::PLAIN), "\"a\\u009b\\u007f\"");
    }

    #[test]
    fn objects() {
        let text = Object::new()
            .text("a", "x\n")
            .raw("b", "1e400")
            .maybe_text("c", None)
            .number("d", 3)
            .finish();
        assert_eq!(text, r#"{"a":"x\n","b":1e400,"c":null,"d":3}"#);
        assert_eq!(Object::new().number("a", 1).joined_with(" { \"b\": 2 } "), r#"{"a":1,"b": 2}"#);
        assert_eq!(Object::new().joined_with("{}"), "{}");
        assert_eq!(array(["1".to_owned(), "2".to_owned()]), "[1,2]");
    }
}
