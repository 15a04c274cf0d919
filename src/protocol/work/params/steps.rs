//! Params of `step.*`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Decoded, name, patch_text, with_key};
use crate::protocol::error::WireError;
use crate::protocol::message::{PatchFormat, WriteExtra, params_of};
use crate::protocol::work::{Scope, StepBegin, StepComplete, StepKey, WorkWrite};

/// The two ways to say what a step belongs to.
fn scope(seq: Option<u64>, named: Option<String>) -> Result<Scope, WireError> {
    match (seq, named) {
        (Some(seq), None) => Ok(Scope::Event(seq)),
        (None, Some(named)) => Ok(Scope::Named(name("scope", named)?)),
        (Some(_), Some(_)) | (None, None) => {
            Err(WireError::invalid_params("give \"seq\" or \"scope\", and one of them only"))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepBeginParams {
    step: String,
    #[serde(default)]
    seq: Option<u64>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    input_hash: Option<String>,
    #[serde(default)]
    on_unknown: OnUnknown,
    #[serde(default)]
    key: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnUnknown {
    #[default]
    Rerun,
    Review,
}

pub(super) fn step_begin(text: &str) -> Decoded {
    let params: StepBeginParams = params_of(text)?;
    let begin = StepBegin {
        key: StepKey { scope: scope(params.seq, params.scope)?, name: name("step", params.step)? },
        input_hash: params.input_hash.map(|hash| name("input_hash", hash)).transpose()?,
        on_unknown_review: params.on_unknown == OnUnknown::Review,
    };
    Ok((WorkWrite::StepBegin(begin), with_key(params.key)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepCompleteParams<'a> {
    step: String,
    #[serde(default)]
    seq: Option<u64>,
    #[serde(default)]
    scope: Option<String>,
    attempt: u32,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    patch: Option<&'a RawValue>,
    #[serde(default)]
    format: PatchFormat,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    if_version: Option<u64>,
}

pub(super) fn step_completed(text: &str) -> Result<(StepComplete, WriteExtra), WireError> {
    let params: StepCompleteParams<'_> = params_of(text)?;
    if params.result.is_some() && params.error.is_some() {
        let reason = "give \"result\" or \"error\", and one of them only";
        return Err(WireError::invalid_params(reason));
    }
    let outcome = params.error.or(params.result).map_or("null", RawValue::get);
    let complete = StepComplete {
        key: StepKey { scope: scope(params.seq, params.scope)?, name: name("step", params.step)? },
        attempt: params.attempt,
        done: params.error.is_none(),
        outcome: outcome.into(),
        patch: patch_text(params.patch, params.format),
    };
    Ok((complete, WriteExtra { key: params.key, if_version: params.if_version }))
}

pub(super) fn step_complete(text: &str) -> Decoded {
    let (complete, extra) = step_completed(text)?;
    Ok((WorkWrite::StepComplete(Box::new(complete)), extra))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgetParams {
    scope: String,
    #[serde(default)]
    key: Option<String>,
}

pub(super) fn step_forget(text: &str) -> Decoded {
    let ForgetParams { scope, key } = params_of(text)?;
    Ok((WorkWrite::StepForget { scope: name("scope", scope)? }, with_key(key)))
}
