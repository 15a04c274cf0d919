//! What the `test` operation calls equal (RFC 6902, 4.6): numbers by value,
//! strings by content, arrays element by element, objects whatever the order.

use std::borrow::Cow;

use super::view::{Shape, View};
use super::{MAX_DEPTH, number};
use crate::json::{self, MembersError};

/// Why two values can't be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Incomparable {
    /// One of them nests too deep to be walked.
    TooDeep,
    /// An object that can't be opened.
    Members(MembersError),
}

/// Whether two values are equal. Equal text is, without being walked.
pub(super) fn equal(one: View<'_>, other: View<'_>) -> Result<bool, Incomparable> {
    equal_at(one, other, 0)
}

fn equal_at(one: View<'_>, other: View<'_>, depth: usize) -> Result<bool, Incomparable> {
    if same_text(one, other) {
        return Ok(true);
    }
    let shape = one.shape();
    if shape != other.shape() {
        return Ok(false);
    }
    match shape {
        // The texts differ.
        Shape::Word => Ok(false),
        Shape::Number => Ok(number::equal(&one.text(), &other.text())),
        Shape::String => Ok(json::decode(&one.text()) == json::decode(&other.text())),
        Shape::Object | Shape::Array if depth >= MAX_DEPTH => Err(Incomparable::TooDeep),
        Shape::Object => objects(one, other, depth),
        Shape::Array => arrays(one, other, depth),
    }
}

fn objects(one: View<'_>, other: View<'_>, depth: usize) -> Result<bool, Incomparable> {
    let (one, other) = (by_name(one)?, by_name(other)?);
    if one.len() != other.len() || one.iter().zip(&other).any(|(a, b)| a.0 != b.0) {
        return Ok(false);
    }
    for ((_, one), (_, other)) in one.into_iter().zip(other) {
        if !equal_at(one, other, depth + 1)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Member names by content, with the values.
type Named<'a> = Vec<(Cow<'a, [u8]>, View<'a>)>;

fn by_name(object: View<'_>) -> Result<Named<'_>, Incomparable> {
    let members = object.members().map_err(Incomparable::Members)?;
    let mut named: Named<'_> =
        members.into_iter().map(|(key, value)| (json::decode(key), value)).collect();
    named.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    Ok(named)
}

fn arrays(one: View<'_>, other: View<'_>, depth: usize) -> Result<bool, Incomparable> {
    let one = one.elements().map_err(Incomparable::Members)?;
    let other = other.elements().map_err(Incomparable::Members)?;
    if one.len() != other.len() {
        return Ok(false);
    }
    for (one, other) in one.into_iter().zip(other) {
        if !equal_at(one, other, depth + 1)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether both are the same in memory or, both still being text, the same
/// text. `false` says nothing.
fn same_text(one: View<'_>, other: View<'_>) -> bool {
    if let (View::Node(one), View::Node(other)) = (one, other)
        && one.same(other)
    {
        return true;
    }
    match (one.raw(), other.raw()) {
        (Some(one), Some(other)) => one == other,
        (_, None) | (None, _) => false,
    }
}
