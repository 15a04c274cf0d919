//! The persistent value.

use std::fmt;
use std::sync::Arc;

use super::array::Array;
use super::object::Object;
use super::view::View;
use super::{MAX_DEPTH, pointer::Pointer};
use crate::json::{self, JsonFault, MembersError};

/// A JSON value, cheap to clone, raw text until something looks inside.
///
/// Opening copies the text of each member or element into an allocation of
/// its own. Slices of one shared buffer would be quicker to make, but the
/// last small member would keep the whole old text in memory.
#[derive(Clone)]
pub struct Node(Kind);

#[derive(Clone)]
enum Kind {
    Raw(Arc<str>),
    Object(Arc<Object>),
    Array(Arc<Array>),
}

/// A node, opened for reading.
pub(super) enum Opened<'a> {
    Text(&'a str),
    Object(&'a Object),
    Array(&'a Array),
}

/// A node, opened for changing.
pub(super) enum OpenedMut<'a> {
    Object(&'a mut Object),
    Array(&'a mut Array),
    /// It has no inside.
    Scalar,
}

impl fmt::Debug for Node {
    /// The shape only: a state may have 64 MiB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match &self.0 {
            Kind::Raw(_) => "text",
            Kind::Object(_) => "object",
            Kind::Array(_) => "array",
        };
        write!(f, "Node({form} of {} bytes)", self.text_len())
    }
}

impl Node {
    /// `{}`.
    pub fn empty_object() -> Self {
        Self(Kind::Raw(Arc::from("{}")))
    }

    /// Takes JSON text that has been validated already (a `RawValue`'s).
    ///
    /// White space around it and line ends between its tokens are dropped, so
    /// that a value can always be written on one line.
    pub fn from_valid(text: &str) -> Self {
        Self(Kind::Raw(Arc::from(json::one_line(text))))
    }

    /// Takes JSON text that has not been validated.
    ///
    /// # Errors
    /// Where and why it is no JSON.
    pub fn parse(text: &str) -> Result<Self, JsonFault> {
        json::validate(text.as_bytes()).map(Self::from_valid)
    }

    /// Whether the value is an object.
    pub fn is_object(&self) -> bool {
        match &self.0 {
            Kind::Raw(text) => text.starts_with('{'),
            Kind::Object(_) => true,
            Kind::Array(_) => false,
        }
    }

    /// Exact length of the JSON text in bytes, without making it. O(1).
    pub fn text_len(&self) -> usize {
        match &self.0 {
            Kind::Raw(text) => text.len(),
            Kind::Object(object) => object.text_len(),
            Kind::Array(array) => array.text_len(),
        }
    }

    /// Appends the JSON text.
    pub fn write_to(&self, out: &mut String) {
        match &self.0 {
            Kind::Raw(text) => out.push_str(text),
            Kind::Object(object) => object.write_to(out),
            Kind::Array(array) => array.write_to(out),
        }
    }

    /// The JSON text.
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(self.text_len());
        self.write_to(&mut out);
        out
    }

    /// The value at a JSON Pointer (RFC 6901); `Ok(None)` where there is none.
    ///
    /// Nothing is opened for good: text that the path leads into is scanned
    /// again at each call.
    ///
    /// # Errors
    /// A malformed pointer, one of more than [`MAX_DEPTH`] parts, or a member
    /// it passes that is there twice: the sentence says which.
    pub fn get(&self, pointer: &str) -> Result<Option<Self>, String> {
        let pointer = Pointer::parse(pointer.as_bytes())?;
        let found = View::Node(self).find(&pointer).map_err(|error| error.to_string())?;
        Ok(found.map(View::to_node))
    }

    /// How deep it is opened, at most. Text is 0.
    pub(super) fn height(&self) -> usize {
        match &self.0 {
            Kind::Raw(_) => 0,
            Kind::Object(object) => object.height(),
            Kind::Array(array) => array.height(),
        }
    }

    /// The same value, fit to be put anywhere in a tree.
    ///
    /// Paths are at most [`MAX_DEPTH`] long, so no patch opens deeper than
    /// that; but moving an opened value down, again and again, could. What
    /// has grown too tall becomes text again, and so nothing opened is ever
    /// taller than twice [`MAX_DEPTH`].
    pub(super) fn sealed(self) -> Self {
        if self.height() <= MAX_DEPTH {
            return self;
        }
        Self(Kind::Raw(Arc::from(self.to_text())))
    }

    pub(super) fn opened(&self) -> Opened<'_> {
        match &self.0 {
            Kind::Raw(text) => Opened::Text(text),
            Kind::Object(object) => Opened::Object(object),
            Kind::Array(array) => Opened::Array(array),
        }
    }

    /// Opens one level, for good.
    pub(super) fn open_mut(&mut self) -> Result<OpenedMut<'_>, MembersError> {
        if let Kind::Raw(text) = &self.0 {
            match text.as_bytes().first() {
                Some(b'{') => self.0 = Kind::Object(Arc::new(Object::open(text)?)),
                Some(b'[') => {
                    let array = Array::open(text).map_err(MembersError::Malformed)?;
                    self.0 = Kind::Array(Arc::new(array));
                }
                Some(_) | None => return Ok(OpenedMut::Scalar),
            }
        }
        Ok(match &mut self.0 {
            Kind::Raw(_) => OpenedMut::Scalar,
            Kind::Object(object) => OpenedMut::Object(Arc::make_mut(object)),
            Kind::Array(array) => OpenedMut::Array(Arc::make_mut(array)),
        })
    }

    /// Whether both are the very same value in memory.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Raw(one), Kind::Raw(other)) => Arc::ptr_eq(one, other),
            (Kind::Object(one), Kind::Object(other)) => Arc::ptr_eq(one, other),
            (Kind::Array(one), Kind::Array(other)) => Arc::ptr_eq(one, other),
            (Kind::Raw(_) | Kind::Object(_) | Kind::Array(_), _) => false,
        }
    }
}
