//! Params of `review.*`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Decoded, name, none};
use crate::protocol::error::WireError;
use crate::protocol::message::params_of;
use crate::protocol::work::{Look, ReviewRequest, ReviewResolve, WorkWrite};

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

pub(super) fn review_request(text: &str) -> Decoded {
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

pub(super) fn review_resolve(text: &str) -> Decoded {
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

pub(super) fn review_get(text: &str) -> Result<Look, WireError> {
    Ok(Look::Review { id: params_of::<IdParams>(text)?.id })
}
