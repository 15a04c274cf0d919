//! Params of `timer.*`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Decoded, event, name, with_key};
use crate::clock::Wall;
use crate::protocol::error::WireError;
use crate::protocol::message::params_of;
use crate::protocol::work::{TimerSet, When, WorkWrite};

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

pub(super) fn timer_set(text: &str) -> Decoded {
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

pub(super) fn timer_cancel(text: &str) -> Decoded {
    let CancelParams { id, key } = params_of(text)?;
    Ok((WorkWrite::TimerCancel { id: name("id", id)? }, with_key(key)))
}
