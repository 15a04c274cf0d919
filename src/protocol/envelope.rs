//! Telling frames from text, and opening a frame's outer object.
//!
//! Before a valid `initialize` all is text but an object that calls
//! `initialize` itself. After it, an object whose `jsonrpc` is `"2.0"` is a
//! frame, and everything else is text: `print({"a": 1})` stays a log line.
//! One case must not be demoted to text, or its caller would wait for ever: a
//! line that looks like a frame and does not parse.

use std::borrow::Cow;
use std::ops::ControlFlow;

use memchr::memmem;

use crate::json::{self, JsonFault};

/// Where `"jsonrpc"` has to begin for a broken line to be taken for a frame.
const FRAME_HEAD_BYTES: usize = 256;

/// How nearly every client begins.
const USUAL_HEAD: &[u8] = br#"{"jsonrpc":"#;

/// An envelope has five members. More than this are no request, and looking
/// for duplicates stays cheap.
const ENVELOPE_MEMBERS_MAX: usize = 16;

/// What counts as a frame at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode<'a> {
    /// Nothing but `initialize`.
    Closed,
    /// Every `jsonrpc` object.
    Open,
    /// Only those with this `tag`.
    Tagged(&'a str),
}

/// What a line is.
#[derive(Debug)]
pub enum Line<'a> {
    /// Log text.
    Text,
    /// A request or notification.
    Frame(Envelope<'a>),
    /// A frame that is no valid request.
    Invalid {
        /// Its id, where it has one.
        id: Option<&'a str>,
        /// What is wrong with it.
        reason: String,
        /// A member stands in it twice.
        duplicate: bool,
    },
    /// Looks like a frame and does not parse.
    Broken(JsonFault),
}

/// The outer object of a request.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// As it was written; none makes it a notification.
    pub id: Option<&'a str>,
    /// What is asked.
    pub method: Cow<'a, str>,
    /// Its params, unopened.
    pub params: Option<&'a str>,
}

/// Says what a line whose first non-blank byte is `{` is.
pub fn classify<'a>(line: &'a [u8], mode: Mode<'_>) -> Line<'a> {
    // The cheap answer for JSON log lines. A name can also be written with
    // escapes, so a line with a backslash gets the full look.
    if !line.starts_with(USUAL_HEAD)
        && memmem::find(line, b"jsonrpc").is_none()
        && memchr::memchr(b'\\', line).is_none()
    {
        return Line::Text;
    }
    // One scan validates the whole line and takes its members out.
    let Ok(members) = json::text(line).and_then(members) else {
        return match json::validate(line) {
            // Valid JSON that is not an object of ours.
            Ok(_) => Line::Text,
            Err(fault) => broken(line, mode, fault),
        };
    };
    if !members.is_jsonrpc() {
        return Line::Text;
    }
    match mode {
        Mode::Closed if members.method.as_deref() != Some("initialize") => return Line::Text,
        Mode::Tagged(tag) if members.tag.as_deref() != Some(tag) => return Line::Text,
        Mode::Closed | Mode::Open | Mode::Tagged(_) => {}
    }
    members.into_line()
}

fn broken<'a>(line: &[u8], mode: Mode<'_>, fault: JsonFault) -> Line<'a> {
    let head = &line[..line.len().min(FRAME_HEAD_BYTES)];
    let looks_like_a_frame = memmem::find(head, br#""jsonrpc""#).is_some();
    match mode {
        Mode::Open if looks_like_a_frame => Line::Broken(fault),
        Mode::Tagged(tag) if looks_like_a_frame && memmem::find(line, tag.as_bytes()).is_some() => {
            Line::Broken(fault)
        }
        Mode::Open | Mode::Tagged(_) | Mode::Closed => Line::Text,
    }
}

#[derive(Default)]
struct Members<'a> {
    version: Option<Cow<'a, str>>,
    id: Option<&'a str>,
    method: Option<Cow<'a, str>>,
    params: Option<&'a str>,
    tag: Option<Cow<'a, str>>,
    duplicate: Option<String>,
    too_many: bool,
}

impl<'a> Members<'a> {
    fn is_jsonrpc(&self) -> bool {
        self.version.as_deref() == Some("2.0")
    }

    /// Notes a member. Of several `jsonrpc`s one that is right is enough to
    /// make it a frame: it is refused then, and not taken for text.
    fn note(&mut self, name: &[u8], value: &'a str) {
        match name {
            b"jsonrpc" if self.is_jsonrpc() => {}
            b"jsonrpc" => self.version = text_of(value),
            b"id" => self.id = Some(value),
            b"method" => self.method = text_of(value),
            b"params" => self.params = Some(value),
            b"tag" => self.tag = text_of(value),
            _ => {}
        }
    }

    fn into_line(self) -> Line<'a> {
        let id = self.id.filter(|raw| is_id(raw));
        let invalid = |reason: String, duplicate| Line::Invalid { id, reason, duplicate };
        if let Some(name) = self.duplicate {
            return invalid(format!("member \"{name}\" stands twice in the request"), true);
        }
        if self.too_many {
            return invalid(format!("a request has at most {ENVELOPE_MEMBERS_MAX} members"), false);
        }
        if self.id.is_some() && id.is_none() {
            return invalid("\"id\" must be a string, a number or null".into(), false);
        }
        match self.method {
            Some(method) => Line::Frame(Envelope { id, method, params: self.params }),
            None => invalid("a request needs a \"method\", and it must be a string".into(), false),
        }
    }
}

/// A string, a number or null, by its first byte.
fn is_id(raw: &str) -> bool {
    matches!(raw.as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9' | b'n'))
}

fn members(text: &str) -> Result<Members<'_>, JsonFault> {
    let mut members = Members::default();
    let mut seen: Vec<Cow<'_, [u8]>> = Vec::with_capacity(5);
    json::each_member(text, |key, value| {
        let name = json::decode(key);
        members.too_many = seen.len() == ENVELOPE_MEMBERS_MAX;
        if seen.contains(&name) {
            members.duplicate.get_or_insert_with(|| json::display(key));
        }
        members.note(&name, value);
        if !members.too_many {
            seen.push(name);
        }
        ControlFlow::Continue(())
    })?;
    Ok(members)
}

/// The content of a JSON string literal; none for any other value, nor for
/// one that is no Unicode text (a lone surrogate), which is no name of ours.
fn text_of(literal: &str) -> Option<Cow<'_, str>> {
    if !literal.starts_with('"') {
        return None;
    }
    match json::decode(literal) {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests;
