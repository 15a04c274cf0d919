//! Params of the methods of the engines.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Decoded, event, name, with_key};
use crate::engines::context::{Risk, SignalError, Signals};
use crate::engines::decision::{Gate, RiskMatch, Rule};
use crate::protocol::error::WireError;
use crate::protocol::message::{WriteExtra, params_of};
use crate::protocol::work::{Assess, Call, Decide, Outcome, OutcomeOf, Process, WorkWrite};

/// Rules in one request: each is tried.
const RULES_MAX: usize = 1000;

/// A refusal that names the member.
fn wrong(member: &'static str, reason: &str) -> WireError {
    WireError::invalid_params(format!("\"{member}\" {reason}")).with_text("member", member)
}

impl From<SignalError> for WireError {
    fn from(error: SignalError) -> Self {
        let member = if error.member.is_empty() { "event" } else { error.member };
        Self::invalid_params(error).with_text("member", member)
    }
}

fn risk(member: &'static str, name: &str) -> Result<Risk, WireError> {
    let unknown = || wrong(member, "must be \"low\", \"medium\", \"high\" or \"critical\"");
    Risk::from_name(name).ok_or_else(unknown)
}

fn probability(member: &'static str, value: f64) -> Result<f64, WireError> {
    let refusal = || wrong(member, "must be a number from 0 to 1");
    (0.0..=1.0).contains(&value).then_some(value).ok_or_else(refusal)
}

fn context(value: String) -> Result<Arc<str>, WireError> {
    name("context", value)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProcessParams<'a> {
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(default)]
    seq: Option<u64>,
    #[serde(default)]
    key: Option<String>,
}

pub(super) fn process(text: &str) -> Decoded {
    let ProcessParams { event: given, seq, key } = params_of(text)?;
    let what = match (given, seq) {
        (Some(given), None) => Process::Event(event(given.get())?, Signals::of_event(given.get())?),
        (None, Some(seq)) => Process::Delivered(seq),
        (Some(_), Some(_)) | (None, None) => {
            return Err(WireError::invalid_params(
                "give \"event\" or \"seq\", and one of them only",
            ));
        }
    };
    Ok((WorkWrite::Process(Box::new(what)), with_key(key)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnalyzeParams<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
}

pub(super) fn analyze(text: &str) -> Result<Assess, WireError> {
    let AnalyzeParams { event: given } = params_of(text)?;
    let kind = event(given.get())?.kind;
    Ok(Assess::Analyze { kind, signals: Signals::of_event(given.get())? })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CalculateParams<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    context_risk: String,
    #[serde(default)]
    context: Option<String>,
}

pub(super) fn calculate(text: &str) -> Result<Assess, WireError> {
    let params: CalculateParams<'_> = params_of(text)?;
    Ok(Assess::Calculate {
        signals: Signals::of_event(params.event.get())?,
        risk: risk("context_risk", &params.context_risk)?,
        context: params.context.map(context).transpose()?,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeParams {
    success: bool,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    decision_id: Option<u64>,
    #[serde(default)]
    confidence: Option<f64>,
    #[serde(default)]
    context_risk: Option<String>,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    key: Option<String>,
}

pub(super) fn record_outcome(text: &str) -> Decoded {
    let params: OutcomeParams = params_of(text)?;
    let stated =
        params.confidence.is_some() || params.context_risk.is_some() || params.context.is_some();
    let of = match (params.call_id, params.decision_id, stated) {
        (Some(id), None, false) => {
            let call = Call::from_id(&id);
            OutcomeOf::Call(call.ok_or_else(|| wrong("call_id", "is none that was given out"))?)
        }
        (None, Some(id), false) => OutcomeOf::Decision(id),
        (None, None, true) => {
            let confidence = params.confidence.ok_or_else(|| wrong("confidence", "is missing"))?;
            let name = params.context_risk.ok_or_else(|| wrong("context_risk", "is missing"))?;
            OutcomeOf::Stated {
                confidence: probability("confidence", confidence)?,
                risk: risk("context_risk", &name)?,
                context: params.context.map(context).transpose()?,
            }
        }
        _ => {
            return Err(WireError::invalid_params(
                "give \"call_id\", or \"decision_id\", or \"confidence\" with \"context_risk\"",
            ));
        }
    };
    let outcome = Outcome { success: params.success, of };
    Ok((WorkWrite::Outcome(Box::new(outcome)), with_key(params.key)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecideParams<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    context: String,
    risk: String,
    confidence: f64,
    #[serde(borrow, default)]
    rules: Vec<&'a RawValue>,
    #[serde(default)]
    key: Option<String>,
}

pub(super) fn decide(text: &str) -> Decoded {
    let params: DecideParams<'_> = params_of(text)?;
    // Signals play no part, but one that is none is a mistake all the same.
    Signals::of_event(params.event.get())?;
    if params.rules.len() > RULES_MAX {
        return Err(wrong("rules", "may be 1000 at most"));
    }
    let rules: Result<_, WireError> = params.rules.iter().map(|raw| rule(raw.get())).collect();
    let decide = Decide {
        event: event(params.event.get())?,
        context: context(params.context)?,
        risk: risk("risk", &params.risk)?,
        confidence: probability("confidence", params.confidence)?,
        rules: rules?,
    };
    let extra = WriteExtra { key: params.key, if_version: None };
    Ok((WorkWrite::Decide(Box::new(decide)), extra))
}

/// A rule as an array of five, as the article writes it.
#[derive(Deserialize)]
struct RuleArray(Option<String>, Option<String>, f64, String, String);

/// A rule as an object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleObject {
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    risk: Option<String>,
    #[serde(default)]
    min_confidence: f64,
    action: String,
    reason: String,
    #[serde(default)]
    gate: Option<String>,
}

fn rule(text: &str) -> Result<Rule, WireError> {
    let object = if text.starts_with('[') {
        let RuleArray(context, risk, min_confidence, action, reason) = serde_json::from_str(text)
            .map_err(|_| {
            wrong("rules", "must be [context, risk, min_confidence, action, reason] each")
        })?;
        RuleObject { context, risk, min_confidence, action, reason, gate: None }
    } else {
        params_of::<RuleObject>(text)?
    };
    let risk = match object.risk.as_deref() {
        None => RiskMatch::Any,
        Some(name) => RiskMatch::from_name(name).ok_or_else(|| {
            wrong("rules", "have an unknown risk: write high, or high+ for above, too")
        })?,
    };
    let min = probability("min_confidence", object.min_confidence)?;
    let (action, reason) = (name("action", object.action)?, name("reason", object.reason)?);
    let context = object.context.map(context).transpose()?;
    let mut rule = Rule::new(context.as_deref(), risk, min, &action, &reason);
    if let Some(gate) = object.gate {
        rule.gate = Gate::from_name(&gate)
            .ok_or_else(|| wrong("gate", "must be \"never\", \"risk\" or \"full\""))?;
    }
    Ok(rule)
}
