//! Reading a value, opened or still text, without changing it.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::node::{Node, Opened};
use super::pointer::{self, Pointer};
use crate::json::{self, MembersError};

/// A value somewhere in a tree, or inside the text of one.
#[derive(Clone, Copy)]
pub(super) enum View<'a> {
    Node(&'a Node),
    Text(&'a str),
}

/// What kind of JSON a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Array,
    String,
    Number,
    /// `true`, `false` or `null`.
    Word,
}

impl<'a> View<'a> {
    fn opened(self) -> Opened<'a> {
        match self {
            Self::Node(node) => node.opened(),
            Self::Text(text) => Opened::Text(text),
        }
    }

    pub(super) fn shape(self) -> Shape {
        match self.opened() {
            Opened::Object(_) => Shape::Object,
            Opened::Array(_) => Shape::Array,
            Opened::Text(text) => match text.as_bytes().first() {
                Some(b'{') => Shape::Object,
                Some(b'[') => Shape::Array,
                Some(b'"') => Shape::String,
                Some(b't' | b'f' | b'n') => Shape::Word,
                Some(_) | None => Shape::Number,
            },
        }
    }

    /// The text; made only if the value has been opened.
    pub(super) fn text(self) -> Cow<'a, str> {
        match (self, self.opened()) {
            (_, Opened::Text(text)) => Cow::Borrowed(text),
            (Self::Node(node), Opened::Object(_) | Opened::Array(_)) => Cow::Owned(node.to_text()),
            (Self::Text(text), Opened::Object(_) | Opened::Array(_)) => Cow::Borrowed(text),
        }
    }

    /// The text of a value that has not been opened.
    pub(super) fn raw(self) -> Option<&'a str> {
        match self.opened() {
            Opened::Text(text) => Some(text),
            Opened::Object(_) | Opened::Array(_) => None,
        }
    }

    pub(super) fn to_node(self) -> Node {
        match self {
            Self::Node(node) => node.clone(),
            Self::Text(text) => Node::from_valid(text),
        }
    }

    /// The members of an object as (key literal, value), in order; none for
    /// anything else.
    pub(super) fn members(self) -> Result<Vec<(&'a str, View<'a>)>, MembersError> {
        match self.opened() {
            Opened::Object(object) => {
                let members = object.members().into_iter();
                Ok(members.map(|member| (&*member.key, Self::Node(&member.node))).collect())
            }
            Opened::Text(text) if text.starts_with('{') => {
                let members = json::members(text)?.into_iter();
                Ok(members.map(|(key, value)| (key, Self::Text(value))).collect())
            }
            Opened::Text(_) | Opened::Array(_) => Ok(Vec::new()),
        }
    }

    /// The elements of an array; none for anything else.
    pub(super) fn elements(self) -> Result<Vec<View<'a>>, MembersError> {
        match self.opened() {
            Opened::Array(array) => Ok(array.elements().into_iter().map(Self::Node).collect()),
            Opened::Text(text) if text.starts_with('[') => {
                let mut elements = Vec::new();
                json::each_element(text, |element| {
                    elements.push(Self::Text(element));
                    ControlFlow::Continue(())
                })
                .map_err(MembersError::Malformed)?;
                Ok(elements)
            }
            Opened::Text(_) | Opened::Object(_) => Ok(Vec::new()),
        }
    }

    /// The value a pointer leads to.
    pub(super) fn find(self, pointer: &Pointer) -> Result<Option<View<'a>>, MembersError> {
        let mut view = self;
        for token in pointer.tokens() {
            match view.step(token)? {
                Some(next) => view = next,
                None => return Ok(None),
            }
        }
        Ok(Some(view))
    }

    fn step(self, token: &[u8]) -> Result<Option<View<'a>>, MembersError> {
        match self.opened() {
            Opened::Object(object) => Ok(object.get(token).map(Self::Node)),
            Opened::Array(array) => {
                Ok(pointer::index(token).and_then(|index| array.get(index)).map(Self::Node))
            }
            Opened::Text(text) if text.starts_with('{') => member_of_text(text, token),
            Opened::Text(text) if text.starts_with('[') => {
                Ok(pointer::index(token).and_then(|index| element_of_text(text, index)))
            }
            Opened::Text(_) => Ok(None),
        }
    }
}

fn member_of_text<'a>(text: &'a str, name: &[u8]) -> Result<Option<View<'a>>, MembersError> {
    let mut found = None;
    let mut duplicate = None;
    json::each_member(text, |key, value| {
        if *json::decode(key) == *name && found.replace(View::Text(value)).is_some() {
            duplicate = Some(json::display(key));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })
    .map_err(MembersError::Malformed)?;
    match duplicate {
        Some(name) => Err(MembersError::Duplicate { name }),
        None => Ok(found),
    }
}

fn element_of_text(text: &str, index: usize) -> Option<View<'_>> {
    let mut left = index;
    let mut found = None;
    let scanned = json::each_element(text, |element| {
        if left == 0 {
            found = Some(View::Text(element));
            return ControlFlow::Break(());
        }
        left -= 1;
        ControlFlow::Continue(())
    });
    scanned.ok().and(found)
}
