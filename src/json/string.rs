//! The content of JSON string literals.
//!
//! Content is bytes, not `str`: a literal may hold half a surrogate pair
//! (`"\ud800"`), which no UTF-8 can say. Such a half is kept as the three
//! bytes that UTF-8 would give it if it were allowed to, so that two
//! different literals never look the same.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The content of a string literal (quotes included), escapes resolved.
/// Literals without a backslash cost nothing.
///
/// Lenient: an escape that is none is kept as it stands. Valid JSON has none.
pub fn decode(literal: &str) -> Cow<'_, [u8]> {
    let inner = literal.strip_prefix('"').unwrap_or(literal);
    let inner = inner.strip_suffix('"').unwrap_or(inner).as_bytes();
    if memchr::memchr(b'\\', inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..backslash]);
        rest = unescape(&rest[backslash..], &mut out);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// Resolves the escape that `text` starts with and gives what follows it.
fn unescape<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let plain = match text.get(1) {
        Some(b'u') => return unescape_unicode(text, out),
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(&other) => other,
        None => {
            out.push(b'\\');
            return &[];
        }
    };
    out.push(plain);
    &text[2..]
}

fn unescape_unicode<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let Some(first) = code_unit(text) else {
        out.push(b'\\');
        return &text[1..];
    };
    let rest = &text[ESCAPE_LEN..];
    if (0xd800..0xdc00).contains(&first)
        && let Some(second @ 0xdc00..0xe000) = code_unit(rest)
    {
        let scalar = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        push_scalar(scalar, out);
        return &rest[ESCAPE_LEN..];
    }
    push_scalar(first, out);
    rest
}

/// Bytes of `\uXXXX`.
const ESCAPE_LEN: usize = 6;

/// The UTF-16 code unit of the `\uXXXX` that `text` starts with.
fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
}

/// UTF-8, but for the surrogates too, which are not scalars.
fn push_scalar(scalar: u32, out: &mut Vec<u8>) {
    match char::from_u32(scalar) {
        Some(ch) => out.extend_from_slice(ch.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let [_, _, high, low] = scalar.to_be_bytes();
            out.push(0xe0 | (high >> 4));
            out.push(0x80 | ((high & 0x0f) << 2) | (low >> 6));
            out.push(0x80 | (low & 0x3f));
        }
    }
}

/// The shortest literal (quotes included) with this content, which is what
/// [`decode`] gives.
pub fn encode(content: &[u8]) -> String {
    let mut out = String::with_capacity(content.len() + 2);
    out.push('"');
    match std::str::from_utf8(content) {
        Ok(text) => push_escaped(text, &mut out),
        Err(_) => push_with_surrogates(content, &mut out),
    }
    out.push('"');
    out
}

/// Halves of surrogate pairs are the only thing in decoded content that is no
/// UTF-8; they start with the same byte as U+D000 to U+D7FF.
fn push_with_surrogates(mut content: &[u8], out: &mut String) {
    while let Some(start) = memchr::memchr(0xed, content) {
        let (before, rest) = content.split_at(start);
        push_escaped(&String::from_utf8_lossy(before), out);
        match rest {
            [0xed, high @ 0xa0..=0xbf, low @ 0x80..=0xbf, after @ ..] => {
                let unit = 0xd000 | (u32::from(high & 0x3f) << 6) | u32::from(low & 0x3f);
                let _ = write!(out, "\\u{unit:04x}");
                content = after;
            }
            // An ordinary character of U+D000 to U+D7FF.
            [_, _, _, after @ ..] => {
                push_escaped(&String::from_utf8_lossy(&rest[..3]), out);
                content = after;
            }
            short => {
                push_escaped(&String::from_utf8_lossy(short), out);
                return;
            }
        }
    }
    push_escaped(&String::from_utf8_lossy(content), out);
}

fn push_escaped(text: &str, out: &mut String) {
    for ch in text.chars() {
        match ch {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(ch));
            }
            _ => out.push(ch),
        }
    }
}

/// The content of a literal for people: halves of surrogate pairs become
/// U+FFFD. Control characters are still in it.
pub fn display(literal: &str) -> String {
    String::from_utf8_lossy(&decode(literal)).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(literal: &str) -> Vec<u8> {
        decode(literal).into_owned()
    }

    #[test]
    fn plain_literals_are_borrowed() {
        assert!(matches!(decode("\"caf\u{e9}\""), Cow::Borrowed(b"caf\xc3\xa9")));
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(content(r#""\"\\\/\b\f\n\r\t""#), b"\"\\/\x08\x0c\n\r\t");
        assert_eq!(content(r#""\u00e9\u0041x""#), "éAx".as_bytes());
        assert_eq!(content(r#""\ud83d\uDE00""#), "😀".as_bytes());
        assert_eq!(content(r#""\ud800\udc00\udbff\udfff""#), "\u{10000}\u{10ffff}".as_bytes());
    }

    #[test]
    fn halves_of_pairs_stay_apart() {
        let halves = [r#""\ud800""#, r#""\ud801""#, r#""\udc00""#, r#""\ufffd""#];
        for (i, one) in halves.iter().enumerate() {
            for (j, other) in halves.iter().enumerate() {
                assert_eq!(decode(one) == decode(other), i == j, "{one} {other}");
            }
        }
        // The wrong way round is two halves, not a pair.
        assert_eq!(content(r#""\ude00\ud83d""#), b"\xed\xb8\x80\xed\xa0\xbd");
        assert_eq!(content(r#""\ud83d\u0041""#), b"\xed\xa0\xbdA");
        assert_eq!(display(r#""a\ud800""#), "a\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn encode_is_the_way_back() {
        for literal in [r#""\ud800""#, r#""a\udfff\"b""#, r#""퀀\ud800힣""#, r#""\n\u0001é""#] {
            assert_eq!(encode(&decode(literal)), literal);
        }
    }

    proptest! {
        #[test]
        fn any_text_survives(text in any::<String>()) {
            prop_assert_eq!(content(&encode(text.as_bytes())), text.as_bytes());
            let theirs = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(content(&theirs), text.as_bytes());
            let read: String = serde_json::from_str(&encode(text.as_bytes())).unwrap();
            prop_assert_eq!(read, text);
        }

        #[test]
        fn any_code_units_survive(units in proptest::collection::vec(
            prop_oneof![0xd700u16..0xe100, any::<u16>()], 0..8)
        ) {
            let mut literal = String::from("\"");
            for unit in units {
                literal.push_str(&format!("\\u{unit:04x}"));
            }
            literal.push('"');
            let once = content(&literal);
            prop_assert_eq!(content(&encode(&once)), once);
        }
    }
}
