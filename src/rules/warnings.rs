//! What makes sense, and does nothing.

use std::ops::Range;

use super::Remark;
use super::rule::Placed;
use crate::engines::context::{KNOWN_CONTEXTS, Reading};
use crate::engines::decision::Policy;
use crate::engines::decision::rules::shadowed;
use crate::typed::document::{Place, nearest};

/// Rules that are never reached, since others before them take all they would
/// match. `places` are those of the policy's own rules.
pub(super) fn unreachable(
    policy: &Policy,
    places: &[Range<usize>],
    text: &str,
    remarks: &mut Vec<Remark>,
) {
    for (place, at) in places.iter().enumerate() {
        let Some(by) = shadowed(policy.rules(), place) else { continue };
        let line = places.get(by).map_or(0, |by| Place::of(text, by.start).line);
        let what = format!(
            "this rule is never reached: rule {} in line {line} comes first, and takes what it \
             would match",
            by + 1
        );
        remarks.push(Remark { at: at.clone(), what });
    }
}

/// Contexts that no type of event leads to, and that are nearly ones that do.
/// Any other may come with a request.
pub(super) fn slips(reading: &Reading, rules: &[Placed], remarks: &mut Vec<Remark>) {
    let built_in = KNOWN_CONTEXTS.iter().map(|(_, context)| *context);
    let known: Vec<&str> = built_in.chain(reading.names.values().map(|name| &**name)).collect();
    for placed in rules {
        let (Some(context), Some(at)) = (placed.rule.context.as_deref(), &placed.context_at) else {
            continue;
        };
        if known.contains(&context) {
            continue;
        }
        if let Some(near) = nearest(context, &known) {
            let what = format!("no type of event has the context {context:?}; is it {near:?}?");
            remarks.push(Remark { at: at.clone(), what });
        }
    }
}
