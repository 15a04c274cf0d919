//! The params of the methods about work, as they are written.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::{Assess, EventText, Look, NAME_BYTES_MAX, PatchText, WorkWrite};
use crate::json::{self, JsonFault};
use crate::protocol::error::WireError;
use crate::protocol::message::{Caller, PatchFormat, WriteExtra};

/// What a method that writes comes to: the write, and what may stand beside
/// any of them.
type Decoded = Result<(WorkWrite, WriteExtra), WireError>;

mod engines;
mod events;
mod kv;
mod reviews;
mod steps;
mod timers;

/// Decodes a method that writes, or says that it is none of these.
pub fn write_op(method: &str, text: &str, caller: Caller) -> Option<Decoded> {
    let operator = caller == Caller::Operator;
    Some(match method {
        "event.emit" => events::emit(text, operator),
        "event.ack" => events::ack(text),
        "event.nack" => events::nack(text),
        "event.park" => events::park(text),
        "event.extend" => events::extend(text),
        "step.begin" => steps::step_begin(text),
        "step.complete" => steps::step_complete(text),
        "step.forget" => steps::step_forget(text),
        "kv.put" => kv::kv_put(text),
        "kv.delete" => kv::kv_delete(text),
        "timer.set" => timers::timer_set(text),
        "timer.cancel" => timers::timer_cancel(text),
        "event.process" => engines::process(text),
        "decision.decide" => engines::decide(text),
        "confidence.record_outcome" => engines::record_outcome(text),
        "review.request" => reviews::review_request(text),
        "review.resolve" if operator => reviews::review_resolve(text),
        "event.retry" if operator => {
            events::seqs(text).map(|seqs| (WorkWrite::Retry { seqs }, none()))
        }
        "event.drop" if operator => {
            events::seqs(text).map(|seqs| (WorkWrite::Drop { seqs }, none()))
        }
        _ => return None,
    })
}

/// Decodes a method that reads, or says that it is none of these.
pub fn look(method: &str, text: &str) -> Option<Result<Look, WireError>> {
    Some(match method {
        "kv.get" => kv::kv_get(text),
        "kv.list" => kv::kv_list(text),
        "event.history" => events::history(text),
        "review.get" => reviews::review_get(text),
        _ => return None,
    })
}

/// Decodes a question to the engines, or says that the method is none.
pub fn assess(method: &str, text: &str) -> Option<Result<Assess, WireError>> {
    Some(match method {
        "context.analyze" => engines::analyze(text),
        "confidence.calculate" => engines::calculate(text),
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
