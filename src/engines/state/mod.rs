//! The state engine: one JSON object, held as a tree of raw JSON text.
//!
//! [`Node`] is a persistent value: cloning is a reference count, and applying
//! a patch makes a new root that shares all it did not touch. Text is opened
//! only along the path a patch touches; all else comes back byte for byte.
//!
//! | module | subject |
//! |---|---|
//! | `node` | the value: text, or an opened object or array |
//! | `object`, `array` | the opened kinds, as trees that are cheap to copy along a path |
//! | `view` | reading either form without changing it |
//! | `merge`, `json_patch` | the ways to change it |
//! | `pointer`, `equal`, `number` | JSON Pointer, and what `test` calls equal |
//! | `diff` | what changed between two values |
//!
//! Invariants:
//! - a failed patch changes nothing: it worked on a new root that is dropped;
//! - no recursion is deeper than a fixed multiple of [`MAX_DEPTH`], however
//!   deep the text: what is deeper stays text, and reading a path, writing,
//!   comparing and dropping all stop at what has been opened;
//! - every node knows the length of its text, so that the size of a state is
//!   checked without writing it out.
//!
//! Deliberately not here: numbers, strings or anything else of JSON as types
//! of Rust. A value that nobody has to look into is never parsed.

mod array;
mod diff;
mod equal;
mod json_patch;
mod many;
mod merge;
mod node;
mod number;
mod object;
mod pointer;
mod view;

use std::fmt;

pub use diff::{Change, changes, merge_diff};
pub use many::join;
pub use node::Node;

use crate::json::MembersError;

/// How a change is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text is the whole new state.
    Set,
    /// RFC 7396 merge patch.
    Merge,
    /// RFC 6902 JSON Patch.
    Json,
    /// Top-level members replaced, null kept.
    Shallow,
    /// A JSON array of `{"format": "...", "patch": ...}`, applied in order:
    /// several patches of one transaction, which make one version.
    Many,
}

impl Format {
    /// The name it has on the wire and on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Merge => "merge",
            Self::Json => "json",
            Self::Shallow => "shallow",
            Self::Many => "many",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Set, Self::Merge, Self::Json, Self::Shallow, Self::Many]
            .into_iter()
            .find(|format| format.name() == name)
    }
}

/// What [`Node::apply`] holds a result to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest state, in bytes of JSON text.
    pub max_state: usize,
}

impl Limits {
    fn check(&self, state: &Node) -> Result<(), PatchError> {
        let size = state.text_len();
        if size > self.max_state {
            return Err(PatchError::TooLarge { size, limit: self.max_state });
        }
        Ok(())
    }
}

/// The deepest nesting that is walked; values kept as text may be deeper.
pub const MAX_DEPTH: usize = 128;

/// Why a patch was not applied. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchError {
    /// A JSON Patch operation failed (`test`, or a path that leads nowhere).
    Failed {
        /** Which operation, from 0. */
        index: usize,
        /** Why. */
        reason: String,
    },
    /// The state would be larger than it may be.
    TooLarge {
        /** Bytes it would have. */
        size: usize,
        /** Bytes it may have. */
        limit: usize,
    },
    /// The patch itself is not what its format asks for.
    Invalid {
        /** What is wrong, naming the member. */
        reason: String,
    },
}

impl PatchError {
    fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into() }
    }

    /// An object of the state that can't be opened.
    fn in_state(error: &MembersError) -> Self {
        Self::invalid(format!("in the state: {error}; replace that object as a whole"))
    }

    /// An object of the patch that can't be opened.
    fn in_patch(error: &MembersError) -> Self {
        Self::invalid(format!("in the patch: {error}"))
    }

    fn too_deep() -> Self {
        Self::invalid(format!("nested more than {MAX_DEPTH} deep where it must be walked"))
    }
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { index, reason } => write!(f, "operation {index} failed: {reason}"),
            Self::TooLarge { size, limit } => {
                write!(f, "the state would have {size} bytes; it may have {limit}")
            }
            Self::Invalid { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for PatchError {}

impl Node {
    /// The new root after a change. `self` is untouched.
    ///
    /// The patch must be valid JSON text. A patch that does not change a
    /// member leaves it as it is written, byte for byte.
    ///
    /// # Errors
    /// See [`PatchError`].
    pub fn apply(&self, format: Format, patch: &str, limits: &Limits) -> Result<Self, PatchError> {
        let next = match format {
            Format::Set => set(patch)?,
            Format::Merge => merge::merge(self, patch)?,
            Format::Json => json_patch::apply(self, patch, limits)?,
            Format::Shallow => merge::shallow(self, patch)?,
            Format::Many => many::apply(self, patch, limits)?,
        };
        limits.check(&next)?;
        Ok(next)
    }
}

fn set(text: &str) -> Result<Node, PatchError> {
    let state = Node::from_valid(text);
    if !state.is_object() {
        return Err(PatchError::invalid("the state must be a JSON object"));
    }
    Ok(state)
}
