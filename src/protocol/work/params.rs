//! The params of the methods about work, as they are written.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Ack, Emit, EventText, KvValue, KvWrite, Look, NAME_BYTES_MAX, Nack, Park, PatchText,
    ReviewRequest, ReviewResolve, SEQS_MAX, Scope, StepBegin, StepComplete, StepKey, TimerSet,
    Until, When, WorkWrite,
};
use crate::clock::Wall;
use crate::json::{self, JsonFault};
use crate::protocol::error::WireError;
use crate::protocol::message::{Caller, PatchFormat, WriteExtra, params_of};

/// Decodes a method that writes, or says that it is none of these.
pub fn write_op(
    method: &str,
    text: &str,
    caller: Caller,
) -> Option<Result<(WorkWrite, WriteExtra), WireError>> {
    let operator = caller == Caller::Operator;
    Some(match method {
        "event.emit" => emit(text, operator),
        "event.ack" => ack(text),
        "event.nack" => nack(text),
        "event.park" => park(text),
        "event.extend" => extend(text),
        "step.begin" => step_begin(text),
        "step.complete" => step_complete(text),
        "step.forget" => step_forget(text),
        "kv.put" => kv_put(text),
        "kv.delete" => kv_delete(text),
        "timer.set" => timer_set(text),
        "timer.cancel" => timer_cancel(text),
        "review.request" => review_request(text),
        "review.resolve" if operator => review_resolve(text),
        "event.retry" if operator => seqs(text).map(|seqs| (WorkWrite::Retry { seqs }, none())),
        "event.drop" if operator => seqs(text).map(|seqs| (WorkWrite::Drop { seqs }, none())),
        _ => return None,
    })
}

/// Decodes a method that reads, or says that it is none of these.
pub fn look(method: &str, text: &str) -> Option<Result<Look, WireError>> {
    Some(match method {
        "kv.get" => params_of::<KvKey>(text).and_then(|params| {
            let (ns, key) = (name("ns", params.ns)?, name("key", params.key)?);
            Ok(Look::KvGet { ns: (&*ns).into(), key: (&*key).into() })
        }),
        "kv.list" => params_of::<KvListParams>(text).and_then(|params| {
            Ok(Look::KvList {
                ns: (&*name("ns", params.ns)?).into(),
                prefix: params.prefix.into(),
                after: params.after.map(Into::into),
                reverse: params.reverse,
                limit: params.limit,
            })
        }),
        "event.history" => params_of::<HistoryParams>(text).map(|params| Look::History {
            limit: params.limit,
            after: params.after,
            kind: params.kind,
        }),
        "review.get" => params_of::<IdParams>(text).map(|params| Look::Review { id: params.id }),
        _ => return None,
    })
}

fn none() -> WriteExtra {
    WriteExtra::default()
}

fn with_key(key: Option<String>) -> WriteExtra {
    WriteExtra { key, if_version: None }
}

/// A name: not empty, and not too long to be kept in memory.
fn name(member: &str, text: String) -> Result<Arc<str>, WireError> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        let reason = format!("\"{member}\" must have 1 to {NAME_BYTES_MAX} bytes");
        return Err(WireError::invalid_params(reason).with_text("member", member));
    }
    Ok(text.into())
}

/// An event as it is written on the wire: an object with a `type`.
///
/// # Errors
/// `invalid_params` naming the member.
pub fn event(text: &str) -> Result<EventText, WireError> {
    let (mut kind, mut source, mut id) = (None, None, None);
    let mut twice = None;
    let scanned = json::each_member(text, |key, value| {
        let slot = match &*json::decode(key) {
            b"type" => &mut kind,
            b"source" => &mut source,
            b"id" => &mut id,
            _ => return ControlFlow::Continue(()),
        };
        if slot.replace(value).is_some() {
            twice.get_or_insert_with(|| json::display(key));
        }
        ControlFlow::Continue(())
    });
    if scanned.is_err() {
        return Err(WireError::invalid_params("\"event\" must be an object"));
    }
    if let Some(member) = twice {
        let reason = format!("member \"{member}\" stands twice in the event");
        return Err(WireError::invalid_params(reason).with_text("member", member));
    }
    let Some(kind) = text_member("type", kind)? else {
        let reason = "the event has no \"type\"";
        return Err(WireError::invalid_params(reason).with_text("member", "type"));
    };
    Ok(EventText {
        kind: name("type", kind)?,
        source: text_member("source", source)?.map(Into::into),
        id: text_member("id", id)?.map(Into::into),
        text: text.trim().into(),
    })
}

/// An event as a line of a source.
///
/// # Errors
/// What is wrong with it, for people.
pub fn event_line(line: &[u8]) -> Result<EventText, String> {
    let fault = |fault: JsonFault| format!("column {}: {}", fault.column, fault.reason);
    let text = json::validate(line).map_err(fault)?;
    event(&json::one_line(text)).map_err(|error| error.message)
}

/// A member that must be a string where it is there; null is not there.
fn text_member(member: &str, value: Option<&str>) -> Result<Option<String>, WireError> {
    let Some(value) = value.filter(|value| *value != "null") else { return Ok(None) };
    let content = value.starts_with('"').then(|| json::decode(value).into_owned());
    match content.map(String::from_utf8) {
        Some(Ok(text)) if text.len() <= NAME_BYTES_MAX => Ok(Some(text)),
        Some(_) | None => {
            let reason = format!("\"{member}\" must be a string of at most {NAME_BYTES_MAX} bytes");
            Err(WireError::invalid_params(reason).with_text("member", member))
        }
    }
}

fn patch_text(patch: Option<&RawValue>, format: PatchFormat) -> Option<PatchText> {
    patch.map(|patch| PatchText { format: format.into(), text: patch.get().into() })
}

// ----------------------------------------------------------------- events

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

fn emit(text: &str, operator: bool) -> Result<(WorkWrite, WriteExtra), WireError> {
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

fn ack(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
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

fn nack(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
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

fn park(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
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

fn extend(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
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

fn seqs(text: &str) -> Result<Vec<u64>, WireError> {
    let SeqsParams { seqs } = params_of(text)?;
    if seqs.is_empty() || seqs.len() > SEQS_MAX {
        let reason = format!("\"seqs\" must name 1 to {SEQS_MAX} events");
        return Err(WireError::invalid_params(reason));
    }
    Ok(seqs)
}

// ------------------------------------------------------------------ steps

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

fn step_begin(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
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

fn step_completed(text: &str) -> Result<(StepComplete, WriteExtra), WireError> {
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

fn step_complete(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
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

fn step_forget(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
    let ForgetParams { scope, key } = params_of(text)?;
    Ok((WorkWrite::StepForget { scope: name("scope", scope)? }, with_key(key)))
}

// --------------------------------------------------------------------- kv

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KvKey {
    ns: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KvItem<'a> {
    ns: String,
    key: String,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(default)]
    base64: Option<String>,
    #[serde(default)]
    delete: bool,
}

/// A member that may be null: null is a value, too.
fn present<'de, D: serde::Deserializer<'de>>(de: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(de).map(Some)
}

fn kv_value(value: Option<&RawValue>, base64: Option<&str>) -> Result<KvValue, WireError> {
    match (value, base64) {
        (Some(value), None) => Ok(KvValue::Json(value.get().into())),
        (None, Some(text)) => match BASE64.decode(text) {
            Ok(bytes) => Ok(KvValue::Bytes(bytes.into())),
            Err(error) => Err(WireError::invalid_params(format!("\"base64\": {error}"))
                .with_text("member", "base64")),
        },
        (Some(_), Some(_)) | (None, None) => {
            Err(WireError::invalid_params("give \"value\" or \"base64\", and one of them only"))
        }
    }
}

fn kv_item(text: &str) -> Result<KvWrite, WireError> {
    let item: KvItem<'_> = params_of(text)?;
    let (ns, key) = (name("ns", item.ns)?, name("key", item.key)?);
    let value = match item.delete {
        true if item.value.is_some() || item.base64.is_some() => {
            return Err(WireError::invalid_params("what is deleted has no value"));
        }
        true => None,
        false => Some(kv_value(item.value, item.base64.as_deref())?),
    };
    Ok(KvWrite { ns: (&*ns).into(), key: (&*key).into(), value })
}

fn kv_put(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
    let write = kv_item(text)?;
    if write.value.is_none() {
        return Err(WireError::invalid_params("unknown field `delete`; call kv.delete"));
    }
    Ok((WorkWrite::Kv(write), none()))
}

fn kv_delete(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
    let KvKey { ns, key } = params_of(text)?;
    let (ns, key) = (name("ns", ns)?, name("key", key)?);
    Ok((WorkWrite::Kv(KvWrite { ns: (&*ns).into(), key: (&*key).into(), value: None }), none()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KvListParams {
    ns: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    reverse: bool,
    #[serde(default)]
    limit: Option<u64>,
}

// ----------------------------------------------------------------- timers

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimerParams<'a> {
    id: String,
    #[serde(default)]
    after_ms: Option<u64>,
    #[serde(default)]
    at: Option<String>,
    #[serde(default)]
    every_ms: Option<u64>,
    #[serde(default)]
    cron: Option<String>,
    #[serde(borrow)]
    event: &'a RawValue,
    #[serde(default)]
    key: Option<String>,
}

fn timer_set(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
    let params: TimerParams<'_> = params_of(text)?;
    let when = match (params.after_ms, params.at, params.every_ms, params.cron) {
        (Some(ms), None, None, None) => When::After(Duration::from_millis(ms)),
        (None, Some(at), None, None) => When::At(point("at", &at)?),
        (None, None, Some(0), None) => {
            let reason = "\"every_ms\" must be at least 1";
            return Err(WireError::invalid_params(reason).with_text("member", "every_ms"));
        }
        (None, None, Some(ms), None) => When::Every(Duration::from_millis(ms)),
        (None, None, None, Some(cron)) => When::Cron(name("cron", cron)?),
        _ => {
            let reason = "give one of \"after_ms\", \"at\", \"every_ms\" and \"cron\"";
            return Err(WireError::invalid_params(reason));
        }
    };
    let id = name("id", params.id)?;
    let set = TimerSet { id, when, event: event(params.event.get())? };
    Ok((WorkWrite::TimerSet(Box::new(set)), with_key(params.key)))
}

/// A point in time in RFC 3339.
fn point(member: &str, text: &str) -> Result<Wall, WireError> {
    text.parse::<jiff::Timestamp>().map(|at| Wall::from_millis(at.as_millisecond())).map_err(|_| {
        let reason = format!("\"{member}\" must be a time like 2026-01-31T12:00:00Z (RFC 3339)");
        WireError::invalid_params(reason).with_text("member", member)
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelParams {
    id: String,
    #[serde(default)]
    key: Option<String>,
}

fn timer_cancel(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
    let CancelParams { id, key } = params_of(text)?;
    Ok((WorkWrite::TimerCancel { id: name("id", id)? }, with_key(key)))
}

// ---------------------------------------------------------------- reviews

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdParams {
    id: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewParams<'a> {
    prompt: String,
    #[serde(default)]
    decision_id: Option<u64>,
    #[serde(borrow, default)]
    options: Option<&'a RawValue>,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    default: ReviewDefault,
    #[serde(default)]
    key: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReviewDefault {
    #[serde(alias = "approved")]
    Approve,
    #[default]
    #[serde(alias = "rejected")]
    Reject,
}

fn review_request(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
    let params: ReviewParams<'_> = params_of(text)?;
    if params.options.is_some_and(|raw| !raw.get().starts_with('[')) {
        let reason = "\"options\" must be a list";
        return Err(WireError::invalid_params(reason).with_text("member", "options"));
    }
    let request = ReviewRequest {
        key: params.key.map(|key| name("key", key)).transpose()?,
        prompt: params.prompt.into(),
        options: params.options.map(|raw| raw.get().into()),
        timeout: params.timeout_ms.map(Duration::from_millis),
        default_approve: params.default == ReviewDefault::Approve,
        decision: params.decision_id,
    };
    Ok((WorkWrite::ReviewRequest(Box::new(request)), none()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolveParams<'a> {
    id: u64,
    status: Resolution,
    #[serde(borrow, default)]
    answer: Option<&'a RawValue>,
    #[serde(default)]
    by: Option<String>,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Resolution {
    Approved,
    Rejected,
}

fn review_resolve(text: &str) -> Result<(WorkWrite, WriteExtra), WireError> {
    let params: ResolveParams<'_> = params_of(text)?;
    let resolve = ReviewResolve {
        id: params.id,
        approve: params.status == Resolution::Approved,
        answer: params.answer.map(|raw| raw.get().into()),
        by: params.by.map(Into::into),
        note: params.note.map(Into::into),
    };
    Ok((WorkWrite::ReviewResolve(Box::new(resolve)), none()))
}
