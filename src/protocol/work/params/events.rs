//! Params of `event.*`.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::kv::kv_item;
use super::steps::step_completed;
use super::{Decoded, event, name, patch_text, with_key};
use crate::json;
use crate::protocol::error::WireError;
use crate::protocol::message::{PatchFormat, WriteExtra, params_of};
use crate::protocol::work::{Ack, Emit, Look, Nack, Park, SEQS_MAX, Until, WorkWrite};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmitParams<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    dedup: Option<String>,
    #[serde(default)]
    key: Option<String>,
}

impl EmitParams<'_> {
    fn into_emit(self) -> Result<Emit, WireError> {
        Ok(Emit {
            event: event(self.event.get())?,
            to: self.to.map(|to| name("to", to)).transpose()?,
            delay: Duration::from_millis(self.delay_ms),
            dedup: self.dedup.map(Into::into),
        })
    }
}

pub(super) fn emit(text: &str, operator: bool) -> Decoded {
    let mut params: EmitParams<'_> = params_of(text)?;
    if params.dedup.is_some() && !operator {
        return Err(WireError::invalid_params("unknown field `dedup`"));
    }
    let extra = with_key(params.key.take());
    Ok((WorkWrite::Emit(Box::new(params.into_emit()?)), extra))
}

/// What follows from an ack: an event, or params of `event.emit`. Which one
/// it is, its `type` tells.
fn emit_item(text: &str) -> Result<Emit, WireError> {
    let mut has_type = false;
    let _not_an_object = json::each_member(text, |key, _| {
        has_type |= &*json::decode(key) == b"type";
        ControlFlow::Continue(())
    });
    if has_type {
        return Ok(Emit { event: event(text)?, to: None, delay: Duration::ZERO, dedup: None });
    }
    let params: EmitParams<'_> = params_of(text)?;
    if params.key.is_some() || params.dedup.is_some() {
        return Err(WireError::invalid_params(
            "\"key\" belongs to the ack, not to one of its emits",
        ));
    }
    params.into_emit()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AckParams<'a> {
    seq: u64,
    attempt: u32,
    #[serde(borrow, default)]
    patch: Option<&'a RawValue>,
    #[serde(default)]
    format: PatchFormat,
    #[serde(borrow, default)]
    emit: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    steps: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    kv: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    checkpoint: Option<&'a RawValue>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    if_version: Option<u64>,
}

pub(super) fn ack(text: &str) -> Decoded {
    let params: AckParams<'_> = params_of(text)?;
    let steps = params.steps.iter().map(|raw| Ok(step_completed(raw.get())?.0));
    let ack = Ack {
        seq: params.seq,
        attempt: params.attempt,
        patch: patch_text(params.patch, params.format),
        emit: params.emit.iter().map(|raw| emit_item(raw.get())).collect::<Result<_, _>>()?,
        steps: steps.collect::<Result<_, WireError>>()?,
        kv: params.kv.iter().map(|raw| kv_item(raw.get())).collect::<Result<_, _>>()?,
        checkpoint: ack_checkpoint(params.checkpoint)?,
    };
    let extra = WriteExtra { key: params.key, if_version: params.if_version };
    Ok((WorkWrite::Ack(Box::new(ack)), extra))
}

/// `true`, or an object with a label.
fn ack_checkpoint(raw: Option<&RawValue>) -> Result<Option<Option<String>>, WireError> {
    match raw.map(RawValue::get) {
        None | Some("null" | "false") => Ok(None),
        Some("true") => Ok(Some(None)),
        Some(text) if text.starts_with('{') => Ok(Some(params_of::<LabelParams>(text)?.label)),
        Some(_) => Err(WireError::invalid_params(
            "\"checkpoint\" must be true, or an object with a \"label\"",
        )),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelParams {
    #[serde(default)]
    label: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NackParams {
    seq: u64,
    attempt: u32,
    #[serde(default)]
    delay_ms: Option<u64>,
    #[serde(default)]
    dead: bool,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    key: Option<String>,
}

pub(super) fn nack(text: &str) -> Decoded {
    let NackParams { seq, attempt, delay_ms, dead, reason, key } = params_of(text)?;
    let delay = delay_ms.map(Duration::from_millis);
    Ok((WorkWrite::Nack(Nack { seq, attempt, delay, dead, reason }), with_key(key)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParkParams {
    seq: u64,
    attempt: u32,
    until: UntilParams,
    #[serde(default)]
    key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UntilParams {
    #[serde(default)]
    review: Option<u64>,
    #[serde(default)]
    event_type: Option<String>,
    #[serde(default)]
    after_ms: Option<u64>,
}

pub(super) fn park(text: &str) -> Decoded {
    let ParkParams { seq, attempt, until, key } = params_of(text)?;
    let until = match (until.review, until.event_type, until.after_ms) {
        (Some(id), None, None) => Until::Review(id),
        (None, Some(kind), None) => Until::EventType(name("event_type", kind)?),
        (None, None, Some(ms)) => Until::After(Duration::from_millis(ms)),
        _ => {
            let reason = "\"until\" must have one of \"review\", \"event_type\" and \"after_ms\"";
            return Err(WireError::invalid_params(reason).with_text("member", "until"));
        }
    };
    Ok((WorkWrite::Park(Park { seq, attempt, until }), with_key(key)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtendParams {
    seq: u64,
    attempt: u32,
    #[serde(default)]
    key: Option<String>,
}

pub(super) fn extend(text: &str) -> Decoded {
    let ExtendParams { seq, attempt, key } = params_of(text)?;
    Ok((WorkWrite::Extend { seq, attempt }, with_key(key)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryParams {
    #[serde(default)]
    limit: Option<u64>,
    #[serde(default)]
    after: Option<u64>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeqsParams {
    seqs: Vec<u64>,
}

pub(super) fn history(text: &str) -> Result<Look, WireError> {
    let HistoryParams { limit, after, kind } = params_of(text)?;
    Ok(Look::History { limit, after, kind })
}

pub(super) fn seqs(text: &str) -> Result<Vec<u64>, WireError> {
    let SeqsParams { seqs } = params_of(text)?;
    if seqs.is_empty() || seqs.len() > SEQS_MAX {
        let reason = format!("\"seqs\" must name 1 to {SEQS_MAX} events");
        return Err(WireError::invalid_params(reason));
    }
    Ok(seqs)
}
