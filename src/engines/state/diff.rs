//! What changed between two values: as a merge patch, and for people.

use std::borrow::Cow;
use std::collections::HashMap;

use super::merge::has_null_member;
use super::node::Node;
use super::view::{Shape, View};
use super::{MAX_DEPTH, pointer};
use crate::json;

/// One difference, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where: a JSON Pointer (RFC 6901). Halves of surrogate pairs in names
    /// are shown as U+FFFD.
    pub path: String,
    /// JSON text of what was there; `None` if it is new.
    pub before: Option<String>,
    /// JSON text of what is there now; `None` if it is gone.
    pub after: Option<String>,
}

type ByName<'a> = HashMap<Cow<'a, [u8]>, View<'a>>;

fn by_name<'a>(members: &[(&'a str, View<'a>)]) -> ByName<'a> {
    members.iter().map(|(key, value)| (json::decode(key), *value)).collect()
}

/// Same text, the white space that opening drops aside.
fn same(one: View<'_>, other: View<'_>) -> bool {
    if let (View::Node(one), View::Node(other)) = (one, other)
        && one.same(other)
    {
        return true;
    }
    one.text() == other.text()
}

// ---------------------------------------------------------------- as a merge patch

/// The merge patch (RFC 7396) that turns `old` into `new`, as JSON text;
/// `None` where a merge patch can't say it (a member that became null).
///
/// Values are told apart by their text, so `1` and `1.0` are a change. The
/// order of members is not something a merge patch can change.
pub fn merge_diff(old: &Node, new: &Node) -> Option<String> {
    let (old, new) = (View::Node(old), View::Node(new));
    if old.shape() != Shape::Object || new.shape() != Shape::Object {
        return None;
    }
    let mut out = String::new();
    write_patch(old, new, 0, &mut out)?;
    Some(out)
}

/// Both are objects.
fn write_patch(old: View<'_>, new: View<'_>, depth: usize, out: &mut String) -> Option<()> {
    if depth >= MAX_DEPTH {
        return None;
    }
    let (old_members, new_members) = (old.members().ok()?, new.members().ok()?);
    let (old_values, new_values) = (by_name(&old_members), by_name(&new_members));
    let start = out.len();
    for (key, _) in
        old_members.iter().filter(|(key, _)| !new_values.contains_key(&json::decode(key)))
    {
        push_key(out, start, key);
        out.push_str("null");
    }
    for (key, value) in new_members {
        let before = old_values.get(&json::decode(key)).copied();
        if before.is_some_and(|before| same(before, value)) {
            continue;
        }
        push_key(out, start, key);
        match before {
            Some(before) if before.shape() == Shape::Object && value.shape() == Shape::Object => {
                write_patch(before, value, depth + 1, out)?;
            }
            Some(_) | None if sayable(value, depth + 1)? => out.push_str(&value.text()),
            Some(_) | None => return None,
        }
    }
    if out.len() == start {
        out.push('{');
    }
    out.push('}');
    Some(())
}

fn push_key(out: &mut String, start: usize, key: &str) {
    out.push(if out.len() == start { '{' } else { ',' });
    out.push_str(key);
    out.push(':');
}

/// Whether a merge patch can put this value in: not if it is null or has a
/// null member, which would be taken for a removal.
fn sayable(value: View<'_>, depth: usize) -> Option<bool> {
    match value.shape() {
        Shape::Word => return Some(value.text() != "null"),
        Shape::Array | Shape::String | Shape::Number => return Some(true),
        Shape::Object => {}
    }
    if !has_null_member(&value.text()) {
        return Some(true);
    }
    if depth >= MAX_DEPTH {
        return None;
    }
    for (_, member) in value.members().ok()? {
        if !sayable(member, depth + 1)? {
            return Some(false);
        }
    }
    Some(true)
}

// ---------------------------------------------------------------- for people

/// At most `limit` differences, in the order of `old`, then what is new.
///
/// Objects are compared by name and arrays by index, so an element put in at
/// the front of an array shows as a change of each after it. What can't be
/// walked (too deep, or a name that is there twice) is compared as a whole.
pub fn changes(old: &Node, new: &Node, limit: usize) -> Vec<Change> {
    let mut walk = Walk { limit, path: String::new(), found: Vec::new() };
    walk.compare(Some(View::Node(old)), Some(View::Node(new)), 0);
    walk.found
}

struct Walk {
    limit: usize,
    path: String,
    found: Vec<Change>,
}

impl Walk {
    fn compare(&mut self, old: Option<View<'_>>, new: Option<View<'_>>, depth: usize) {
        if self.found.len() >= self.limit {
            return;
        }
        if let (Some(old), Some(new)) = (old, new) {
            if same(old, new) {
                return;
            }
            if depth < MAX_DEPTH && self.inside(old, new, depth).is_some() {
                return;
            }
        }
        self.found.push(Change {
            path: self.path.clone(),
            before: old.map(|old| old.text().into_owned()),
            after: new.map(|new| new.text().into_owned()),
        });
    }

    /// `None` if there is no inside, or it can't be had.
    fn inside(&mut self, old: View<'_>, new: View<'_>, depth: usize) -> Option<()> {
        match (old.shape(), new.shape()) {
            (Shape::Object, Shape::Object) => {
                let (old, new) = (old.members().ok()?, new.members().ok()?);
                let (old_values, new_values) = (by_name(&old), by_name(&new));
                for (key, before) in &old {
                    let after = new_values.get(&json::decode(key)).copied();
                    self.below(&json::display(key), Some(*before), after, depth);
                }
                for (key, after) in &new {
                    if !old_values.contains_key(&json::decode(key)) {
                        self.below(&json::display(key), None, Some(*after), depth);
                    }
                }
                Some(())
            }
            (Shape::Array, Shape::Array) => {
                let (old, new) = (old.elements().ok()?, new.elements().ok()?);
                for index in 0..old.len().max(new.len()) {
                    let pair = (old.get(index).copied(), new.get(index).copied());
                    self.below(&index.to_string(), pair.0, pair.1, depth);
                }
                Some(())
            }
            (
                Shape::Object | Shape::Array | Shape::String | Shape::Number | Shape::Word,
                Shape::Object | Shape::Array | Shape::String | Shape::Number | Shape::Word,
            ) => None,
        }
    }

    fn below(&mut self, token: &str, old: Option<View<'_>>, new: Option<View<'_>>, depth: usize) {
        let len = self.path.len();
        pointer::push_token(&mut self.path, token);
        self.compare(old, new, depth + 1);
        self.path.truncate(len);
    }
}
