//! Several patches as one: what a transaction leaves in the journal.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use super::{Format, Limits, Node, PatchError};
use crate::json;

/// Writes several patches as one of [`Format::Many`]. Each must be valid JSON
/// text, none of that format itself.
pub fn join<'a>(patches: impl IntoIterator<Item = (Format, &'a str)>) -> String {
    let mut out = String::from("[");
    for (place, (format, patch)) in patches.into_iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        // Writing to a String can't fail.
        let _ = write!(out, "{comma}{{\"format\":\"{}\",\"patch\":{patch}}}", format.name());
    }
    out.push(']');
    out
}

/// Applies the patches in order, each held to the limits.
pub(super) fn apply(state: &Node, patches: &str, limits: &Limits) -> Result<Node, PatchError> {
    let mut parts = Vec::new();
    json::each_element(patches, |part| {
        parts.push(part);
        ControlFlow::Continue(())
    })
    .map_err(|fault| PatchError::invalid(format!("the patches are no array: {fault}")))?;
    let mut next = state.clone();
    for (place, part) in parts.into_iter().enumerate() {
        let (format, patch) = read(part).map_err(|error| at(place, error))?;
        next = next.apply(format, patch, limits).map_err(|error| at(place, error))?;
    }
    Ok(next)
}

fn read(part: &str) -> Result<(Format, &str), PatchError> {
    let (mut format, mut patch) = (None, None);
    for (key, value) in json::members(part).map_err(|error| PatchError::in_patch(&error))? {
        match json::display(key).as_str() {
            "format" => format = Some(value),
            "patch" => patch = Some(value),
            other => return Err(PatchError::invalid(format!("the member {other:?} is unknown"))),
        }
    }
    let (Some(format), Some(patch)) = (format, patch) else {
        return Err(PatchError::invalid("the members \"format\" and \"patch\" must be there"));
    };
    match Format::from_name(&json::display(format)) {
        Some(Format::Many) | None => {
            Err(PatchError::invalid(format!("\"format\" may not be {format}")))
        }
        Some(format) => Ok((format, patch)),
    }
}

/// Says which of the patches it was.
fn at(place: usize, error: PatchError) -> PatchError {
    match error {
        PatchError::Failed { index, reason } => {
            PatchError::Failed { index, reason: format!("in patch {place}: {reason}") }
        }
        PatchError::Invalid { reason } => PatchError::invalid(format!("patch {place}: {reason}")),
        too_large @ PatchError::TooLarge { .. } => too_large,
    }
}
