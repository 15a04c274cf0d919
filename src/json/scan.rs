//! One level of an object or array, as slices of its text.
//!
//! `serde_json` does the scanning: its `RawValue` skips a value without
//! recursion and hands out the text. It gives raw keys too.

use std::fmt;
use std::ops::ControlFlow;

use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::string::{decode, display};
use super::validate::JsonFault;

/// Why the members of an object can't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembersError {
    /// The text is no JSON object.
    Malformed(JsonFault),
    /// A member name is there twice.
    Duplicate {
        /** The name, readable. */
        name: String,
    },
}

impl fmt::Display for MembersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(fault) => write!(f, "{fault}"),
            Self::Duplicate { name } => write!(f, "the member {name:?} is there twice"),
        }
    }
}

impl std::error::Error for MembersError {}

/// Calls `each` with the raw key literal (quotes included) and the raw value
/// of every member of the object, in order, until it breaks. After a break
/// the rest of the text is not looked at.
///
/// # Errors
/// The text is no JSON object.
pub fn each_member<'a>(
    text: &'a str,
    each: impl FnMut(&'a str, &'a str) -> ControlFlow<()>,
) -> Result<(), JsonFault> {
    let mut stopped = false;
    let mut parser = serde_json::Deserializer::from_str(text);
    let scanned = parser
        .deserialize_map(Members { each, stopped: &mut stopped })
        .and_then(|()| if stopped { Ok(()) } else { parser.end() });
    finish(text, stopped, scanned)
}

/// Calls `each` with the raw text of every element of the array, in order,
/// until it breaks.
///
/// # Errors
/// The text is no JSON array.
pub fn each_element<'a>(
    text: &'a str,
    each: impl FnMut(&'a str) -> ControlFlow<()>,
) -> Result<(), JsonFault> {
    let mut stopped = false;
    let mut parser = serde_json::Deserializer::from_str(text);
    let scanned = parser
        .deserialize_seq(Elements { each, stopped: &mut stopped })
        .and_then(|()| if stopped { Ok(()) } else { parser.end() });
    finish(text, stopped, scanned)
}

/// A break leaves the parser in the middle, which it calls an error.
fn finish(text: &str, stopped: bool, scanned: serde_json::Result<()>) -> Result<(), JsonFault> {
    match scanned {
        Ok(()) => Ok(()),
        Err(_) if stopped => Ok(()),
        Err(error) => Err(JsonFault::from_parser(&error, text)),
    }
}

/// All members of an object as (raw key literal, raw value), in order.
///
/// # Errors
/// The text is no JSON object, or a name is there twice, however it is written.
pub fn members(text: &str) -> Result<Vec<(&str, &str)>, MembersError> {
    let mut found = Vec::new();
    each_member(text, |key, value| {
        found.push((key, value));
        ControlFlow::Continue(())
    })
    .map_err(MembersError::Malformed)?;
    match first_duplicate(&found) {
        Some(key) => Err(MembersError::Duplicate { name: display(key) }),
        None => Ok(found),
    }
}

fn first_duplicate<'a>(members: &[(&'a str, &'a str)]) -> Option<&'a str> {
    if members.len() < 2 {
        return None;
    }
    let mut names: Vec<_> =
        members.iter().enumerate().map(|(place, (key, _))| (decode(key), place)).collect();
    names.sort_unstable();
    let second = names.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1);
    second.min().map(|place| members[place].0)
}

struct Members<'s, F> {
    each: F,
    stopped: &'s mut bool,
}

impl<'a, F: FnMut(&'a str, &'a str) -> ControlFlow<()>> Visitor<'a> for Members<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<&'a RawValue, &'a RawValue>()? {
            if (self.each)(key.get(), value.get()).is_break() {
                *self.stopped = true;
                break;
            }
        }
        Ok(())
    }
}

struct Elements<'s, F> {
    each: F,
    stopped: &'s mut bool,
}

impl<'a, F: FnMut(&'a str) -> ControlFlow<()>> Visitor<'a> for Elements<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<&'a RawValue>()? {
            if (self.each)(element.get()).is_break() {
                *self.stopped = true;
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_out_as_they_are_written() {
        let text = r#" { "a" : 1e400 , "\u0062":[ -0.0 ,{"x":1, "x":2}], "\ud800" : "\/" } "#;
        assert_eq!(
            members(text),
            Ok(vec![
                (r#""a""#, "1e400"),
                (r#""\u0062""#, r#"[ -0.0 ,{"x":1, "x":2}]"#),
                (r#""\ud800""#, r#""\/""#),
            ])
        );
    }

    #[test]
    fn duplicates_are_told_by_content() {
        assert_eq!(
            members(r#"{"a":1,"b":2,"\u0061":3}"#),
            Err(MembersError::Duplicate { name: "a".into() })
        );
        assert!(members(r#"{"\ud800":1,"\ud801":2}"#).is_ok());
    }

    #[test]
    fn a_break_ends_the_scan() {
        let mut seen = 0;
        let scanned = each_member(r#"{"a":1,"b":2, broken"#, |_, _| {
            seen += 1;
            ControlFlow::Break(())
        });
        assert_eq!((scanned, seen), (Ok(()), 1));
        let mut seen = Vec::new();
        let scanned = each_element("[1, [2], 3]", |element| {
            seen.push(element);
            if seen.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((scanned, seen), (Ok(()), vec!["1", "[2]"]));
    }

    #[test]
    fn other_kinds_are_refused() {
        assert!(matches!(members("[]"), Err(MembersError::Malformed(_))));
        assert!(each_element("{}", |_| ControlFlow::Continue(())).is_err());
        assert!(members("{} x").is_err());
    }

    #[test]
    fn deep_values_stay_text() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = format!("{{\"a\":{deep}}}");
        assert_eq!(members(&text), Ok(vec![("\"a\"", deep.as_str())]));
    }
}
