//! JSON Patch (RFC 6902).
//!
//! The whole patch is read before any of it is applied, so that what is wrong
//! with the patch itself is told whatever the state. The size of the state is
//! checked after each operation, not at the end: `copy` doubles.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::equal::{Incomparable, equal};
use super::node::{Node, OpenedMut};
use super::pointer::{self, Pointer};
use super::view::View;
use super::{Limits, PatchError};
use crate::json;

/// One operation, read.
#[derive(Debug)]
enum Operation<'a> {
    Add { path: Pointer, value: &'a str },
    Remove { path: Pointer },
    Replace { path: Pointer, value: &'a str },
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test { path: Pointer, value: &'a str },
}

/// Why an operation was not done.
enum Why {
    /// The state is not as the operation needs it.
    Failed(String),
    /// It can't be done in any state, or not in one that can't be opened.
    Refused(PatchError),
}

type Done<T = ()> = Result<T, Why>;

/// Applies a JSON Patch to the state.
pub(super) fn apply(state: &Node, patch: &str, limits: &Limits) -> Result<Node, PatchError> {
    let mut next = state.clone();
    for (index, operation) in read(patch)?.iter().enumerate() {
        match run(&mut next, operation) {
            Ok(()) if !next.is_object() => {
                let reason = "the state must stay a JSON object".to_owned();
                return Err(PatchError::Failed { index, reason });
            }
            Ok(()) => limits.check(&next)?,
            Err(Why::Failed(reason)) => return Err(PatchError::Failed { index, reason }),
            Err(Why::Refused(error)) => return Err(error),
        }
    }
    Ok(next)
}

// ---------------------------------------------------------------- reading

fn read(patch: &str) -> Result<Vec<Operation<'_>>, PatchError> {
    let mut operations = Vec::new();
    let mut wrong = None;
    json::each_element(patch, |text| match read_operation(text) {
        Ok(operation) => {
            operations.push(operation);
            ControlFlow::Continue(())
        }
        Err(reason) => {
            wrong = Some(format!("operation {}: {reason}", operations.len()));
            ControlFlow::Break(())
        }
    })
    .map_err(|fault| PatchError::invalid(format!("a JSON Patch is an array: {fault}")))?;
    match wrong {
        Some(reason) => Err(PatchError::invalid(reason)),
        None => Ok(operations),
    }
}

/// Members that no operation knows are ignored, as the RFC has it.
fn read_operation(text: &str) -> Result<Operation<'_>, String> {
    let members = json::members(text).map_err(|error| error.to_string())?;
    let member = |name: &str| {
        let found = members.iter().find(|(key, _)| *json::decode(key) == *name.as_bytes());
        found.map(|(_, value)| *value).ok_or_else(|| format!("the member {name:?} is missing"))
    };
    let pointer = |name: &str| {
        let literal = member(name)?;
        if !literal.starts_with('"') {
            return Err(format!("the member {name:?} must be a string"));
        }
        Pointer::parse(&json::decode(literal))
    };
    let op = member("op")?;
    match json::display(op).as_str() {
        _ if !op.starts_with('"') => Err("the member \"op\" must be a string".to_owned()),
        "add" => Ok(Operation::Add { path: pointer("path")?, value: member("value")? }),
        "remove" => Ok(Operation::Remove { path: pointer("path")? }),
        "replace" => Ok(Operation::Replace { path: pointer("path")?, value: member("value")? }),
        "move" => Ok(Operation::Move { from: pointer("from")?, path: pointer("path")? }),
        "copy" => Ok(Operation::Copy { from: pointer("from")?, path: pointer("path")? }),
        "test" => Ok(Operation::Test { path: pointer("path")?, value: member("value")? }),
        other => {
            Err(format!("\"op\" is {other:?}; it may be add, remove, replace, move, copy or test"))
        }
    }
}

// ---------------------------------------------------------------- doing

fn run(root: &mut Node, operation: &Operation<'_>) -> Done {
    match operation {
        Operation::Add { path, value } => add(root, path, Node::from_valid(value)),
        Operation::Remove { path } => remove(root, path).map(drop),
        Operation::Replace { path, value } => replace(root, path, Node::from_valid(value)),
        Operation::Move { from, path } if from.contains(path) => {
            Err(Why::Failed(format!("{:?} can't be moved into itself", from.shown())))
        }
        Operation::Move { from, path } if from == path => find(root, from).map(drop),
        Operation::Move { from, path } => {
            let value = remove(root, from)?;
            add(root, path, value.sealed())
        }
        Operation::Copy { from, path } => {
            let value = find(root, from)?.to_node();
            add(root, path, value.sealed())
        }
        Operation::Test { path, value } => test(root, path, value),
    }
}

fn find<'a>(root: &'a Node, path: &Pointer) -> Done<View<'a>> {
    let found = View::Node(root).find(path);
    found.map_err(|error| Why::Refused(PatchError::in_state(&error)))?.ok_or_else(|| nowhere(path))
}

fn test(root: &Node, path: &Pointer, value: &str) -> Done {
    match equal(find(root, path)?, View::Text(value)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Why::Failed(format!("the value at {:?} is another", path.shown()))),
        Err(Incomparable::TooDeep) => Err(Why::Refused(PatchError::too_deep())),
        Err(Incomparable::Members(error)) => {
            Err(Why::Refused(PatchError::invalid(format!("in what is compared: {error}"))))
        }
    }
}

fn add(root: &mut Node, path: &Pointer, value: Node) -> Done {
    at_parent(root, path, value, |parent, token, value| match parent {
        OpenedMut::Object(object) => {
            object.insert(Arc::from(json::encode(token)), value);
            Ok(())
        }
        OpenedMut::Array(array) => {
            let index = if token == b"-" { Some(array.len()) } else { pointer::index(token) };
            match index {
                Some(index) if array.insert(index, value) => Ok(()),
                Some(_) | None => Err(no_index(path, array.len())),
            }
        }
        OpenedMut::Scalar => Err(nowhere(path)),
    })
}

fn replace(root: &mut Node, path: &Pointer, value: Node) -> Done {
    at_parent(root, path, value, |parent, token, value| {
        let replaced = match parent {
            OpenedMut::Object(object) => object.update(token, |member| *member = value),
            OpenedMut::Array(array) => pointer::index(token)
                .and_then(|index| array.update(index, |element| *element = value)),
            OpenedMut::Scalar => None,
        };
        replaced.ok_or_else(|| nowhere(path))
    })
}

/// Does something to the parent of the place that `path` names. The root has
/// no parent: there, `value` becomes the root.
fn at_parent<T: Default>(
    root: &mut Node,
    path: &Pointer,
    value: Node,
    act: impl FnOnce(OpenedMut<'_>, &[u8], Node) -> Done<T>,
) -> Done<T> {
    match path.tokens().split_last() {
        None => {
            *root = value;
            Ok(T::default())
        }
        Some((last, above)) => {
            descend(root, above, path, |parent| act(parent, last.as_slice(), value))
        }
    }
}

fn remove(root: &mut Node, path: &Pointer) -> Done<Node> {
    let Some((last, above)) = path.tokens().split_last() else {
        // Only `remove` comes here: moving the root is moving it into itself.
        return Err(Why::Failed("the state itself can't be removed".to_owned()));
    };
    descend(root, above, path, |parent| {
        let removed = match parent {
            OpenedMut::Object(object) => object.remove(last),
            OpenedMut::Array(array) => pointer::index(last).and_then(|index| array.remove(index)),
            OpenedMut::Scalar => None,
        };
        removed.ok_or_else(|| nowhere(path))
    })
}

/// Opens the way down and acts on what it leads to.
fn descend<T>(
    node: &mut Node,
    way: &[Vec<u8>],
    path: &Pointer,
    act: impl FnOnce(OpenedMut<'_>) -> Done<T>,
) -> Done<T> {
    let opened = node.open_mut().map_err(|error| Why::Refused(PatchError::in_state(&error)))?;
    let Some((token, rest)) = way.split_first() else {
        return act(opened);
    };
    let below = |child: &mut Node| descend(child, rest, path, act);
    let done = match opened {
        OpenedMut::Object(object) => object.update(token, below),
        OpenedMut::Array(array) => {
            pointer::index(token).and_then(|index| array.update(index, below))
        }
        OpenedMut::Scalar => None,
    };
    done.unwrap_or_else(|| Err(nowhere(path)))
}

fn nowhere(path: &Pointer) -> Why {
    Why::Failed(format!("there is nothing at {:?}", path.shown()))
}

fn no_index(path: &Pointer, len: usize) -> Why {
    let shown = path.shown();
    Why::Failed(format!("{shown:?} names no place in an array of {len}; use an index or \"-\""))
}
