//! Merge patches (RFC 7396) and shallow patches.

use std::sync::Arc;

use super::node::{Node, OpenedMut};
use super::object::Object;
use super::{MAX_DEPTH, PatchError};
use crate::json;

/// Applies a merge patch to the state.
///
/// `null` removes a member, an object is merged into the member of that name
/// (which becomes an object if it is none), anything else replaces it. Nulls
/// in an object that is put in new are not kept, nor in the objects inside it;
/// those inside arrays are.
pub(super) fn merge(state: &Node, patch: &str) -> Result<Node, PatchError> {
    if !is_object(patch) {
        return Err(PatchError::invalid("a merge patch of the state must be a JSON object"));
    }
    let mut next = state.clone();
    merge_into(&mut next, patch, 0)?;
    Ok(next)
}

/// Replaces top-level members; `null` is a value like any other.
pub(super) fn shallow(state: &Node, patch: &str) -> Result<Node, PatchError> {
    if !is_object(patch) {
        return Err(PatchError::invalid("a shallow patch must be a JSON object"));
    }
    let mut next = state.clone();
    let OpenedMut::Object(object) = open(&mut next)? else {
        return Err(PatchError::invalid("the state is no object"));
    };
    for (key, value) in json::members(patch).map_err(|error| PatchError::in_patch(&error))? {
        object.insert(Arc::from(key), Node::from_valid(value));
    }
    Ok(next)
}

fn open(node: &mut Node) -> Result<OpenedMut<'_>, PatchError> {
    node.open_mut().map_err(|error| PatchError::in_state(&error))
}

/// `target` is an object; `patch` is one `depth` deep in the whole patch.
fn merge_into(target: &mut Node, patch: &str, depth: usize) -> Result<(), PatchError> {
    if depth >= MAX_DEPTH {
        return Err(PatchError::too_deep());
    }
    let members = json::members(patch).map_err(|error| PatchError::in_patch(&error))?;
    if members.is_empty() {
        return Ok(());
    }
    let OpenedMut::Object(object) = open(target)? else {
        return Err(PatchError::invalid("the state is no object"));
    };
    for (key, value) in members {
        merge_member(object, key, value, depth)?;
    }
    Ok(())
}

fn merge_member(
    object: &mut Object,
    key: &str,
    value: &str,
    depth: usize,
) -> Result<(), PatchError> {
    let name = json::decode(key);
    if value == "null" {
        object.remove(&name);
        return Ok(());
    }
    if is_object(value) && object.get(&name).is_some_and(Node::is_object) {
        let merged = object.update(&name, |member| merge_into(member, value, depth + 1));
        return merged.unwrap_or(Ok(()));
    }
    let value = if has_null_member(value) {
        let mut kept = String::with_capacity(value.len());
        strip(value, depth + 1, &mut kept)?;
        Node::from_valid(&kept)
    } else {
        Node::from_valid(value)
    };
    object.insert(Arc::from(key), value);
    Ok(())
}

fn is_object(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{')
}

/// Whether nulls may have to be taken out. Most values hold no such letters
/// at all, and then they stay the text they are, however deep.
pub(super) fn has_null_member(value: &str) -> bool {
    is_object(value) && memchr::memmem::find(value.as_bytes(), b"null").is_some()
}

/// Writes a value without its null members. It is no null itself.
fn strip(value: &str, depth: usize, out: &mut String) -> Result<(), PatchError> {
    if !has_null_member(value) {
        out.push_str(value);
        return Ok(());
    }
    if depth >= MAX_DEPTH {
        return Err(PatchError::too_deep());
    }
    out.push('{');
    let mut first = true;
    for (key, value) in json::members(value).map_err(|error| PatchError::in_patch(&error))? {
        if value == "null" {
            continue;
        }
        if !std::mem::replace(&mut first, false) {
            out.push(',');
        }
        out.push_str(key);
        out.push(':');
        strip(value, depth + 1, out)?;
    }
    out.push('}');
    Ok(())
}
