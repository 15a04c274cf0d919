//! The state engine from outside: its patches against the RFCs' examples and
//! against a slow model, and what comes back byte for byte.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what is wrong")]

mod diff;
mod fidelity;
mod json_patch;
mod limits;
mod merge;
mod model;

use adrt::engines::state::{Format, Limits, Node, PatchError};

/// More than any state here has.
pub const ROOMY: Limits = Limits { max_state: 1 << 30 };

/// Applies a patch to text, and checks what must hold for every patch: the
/// old root is as it was, and the length is that of the text.
pub fn apply(state: &str, format: Format, patch: &str) -> Result<String, PatchError> {
    let old = Node::parse(state).unwrap();
    let result = old.apply(format, patch, &ROOMY);
    assert_eq!(old.to_text(), state);
    result.map(|new| text_of(&new))
}

/// The text of a node, whose length must be known.
pub fn text_of(node: &Node) -> String {
    let text = node.to_text();
    assert_eq!(node.text_len(), text.len());
    Node::parse(&text).expect("the text of a node is JSON");
    text
}

/// What an [`PatchError::Invalid`] says.
pub fn refusal(result: Result<String, PatchError>) -> String {
    match result {
        Err(PatchError::Invalid { reason }) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}
