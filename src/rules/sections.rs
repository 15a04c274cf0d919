//! Everything but the rules themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Remark;
use crate::engines::confidence::Scope;
use crate::engines::context::{Risk, Weights};
use crate::engines::decision::{THRESHOLD_MAX, Thresholds};
use crate::protocol::work::NAME_BYTES_MAX;
use crate::typed::document::{self, Entry, Value, Wrong};
use crate::typed::quantity;

/// How far the sum of the weights may be from 1: thirds, written with three
/// digits, pass.
const SUM_TOLERANCE: f64 = 0.001;

/// `[contexts]`.
pub(super) fn contexts(value: &Value<'_, '_>) -> Result<BTreeMap<Arc<str>, Arc<str>>, Wrong> {
    let mut names = BTreeMap::new();
    for Entry { key, key_at, value } in document::entries(value.table()?) {
        if let Some(why) = no_name(key) {
            return Err(Wrong::new(key_at, format!("a type of event {why}")));
        }
        names.insert(key.into(), context(&value)?.into());
    }
    Ok(names)
}

/// A name that is kept in memory, and printed.
pub(super) fn name<'t>(value: &Value<'t, '_>) -> Result<&'t str, Wrong> {
    let text = value.string()?;
    match no_name(text) {
        Some(why) => Err(value.wrong(format!("a name {why}"))),
        None => Ok(text),
    }
}

/// Why it can't be a name.
fn no_name(text: &str) -> Option<String> {
    if text.is_empty() {
        Some("is never empty".to_owned())
    } else if text.len() > NAME_BYTES_MAX {
        Some(format!("has {NAME_BYTES_MAX} bytes at most, and this has {}", text.len()))
    } else if text.contains(char::is_control) {
        Some("has no control characters".to_owned())
    } else {
        None
    }
}

/// The name of a context.
pub(super) fn context<'t>(value: &Value<'t, '_>) -> Result<&'t str, Wrong> {
    let name = name(value)?;
    if name == Scope::All.as_str() {
        return Err(value
            .wrong(format!("{name:?} is no context"))
            .hint("leave the context out of a rule that is for all"));
    }
    Ok(name)
}

/// `[weights]`.
pub(super) fn weights(value: &Value<'_, '_>) -> Result<Weights, Wrong> {
    const KNOWN: [&str; 5] = ["severity", "cpu", "memory", "error_rate", "latency"];
    let mut weights = Weights::default();
    for Entry { key, key_at, value } in document::entries(value.table()?) {
        let slot = match key {
            "severity" => &mut weights.severity,
            "cpu" => &mut weights.cpu,
            "memory" => &mut weights.memory,
            "error_rate" => &mut weights.error_rate,
            "latency" => &mut weights.latency,
            _ => return Err(document::unknown(key, key_at, &KNOWN, &one_of(&KNOWN))),
        };
        *slot = within(&value, 1.0)?;
    }
    let sum: f64 = weights.in_order().iter().sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        let Weights { severity, cpu, memory, error_rate, latency } = weights;
        let all = format!(
            "they are severity {severity}, cpu {cpu}, memory {memory}, error_rate {error_rate}, \
             latency {latency}; those left out are as built in"
        );
        let sum = (sum * 1e4).round() / 1e4;
        return Err(value.wrong(format!("the weights sum to {sum}, not to 1")).hint(all));
    }
    Ok(weights)
}

/// A number from 0 to `most`.
pub(super) fn within(value: &Value<'_, '_>, most: f64) -> Result<f64, Wrong> {
    let number = value.number()?;
    if (0.0..=most).contains(&number) {
        // There is a -0.0, too.
        Ok(number.abs())
    } else {
        Err(value.wrong(format!("{number} is no number from 0 to {most}")))
    }
}

/// `[thresholds]`.
pub(super) fn thresholds(
    value: &Value<'_, '_>,
    remarks: &mut Vec<Remark>,
) -> Result<Thresholds, Wrong> {
    let mut thresholds = Thresholds::default();
    for Entry { key, key_at, value } in document::entries(value.table()?) {
        let Some(risk) = Risk::from_name(key) else {
            let known = Risk::ALL.map(Risk::as_str);
            return Err(document::unknown(key, key_at, &known, &one_of(&known)));
        };
        let found = if value.is.is_table() {
            of_costs(&value, remarks)?
        } else {
            within(&value, THRESHOLD_MAX)?
        };
        if let Some(slot) = thresholds.0.get_mut(risk.index()) {
            *slot = found;
        }
    }
    Ok(thresholds)
}

/// A threshold as `{ error = 10.0, review = 2.0 }`: what the one costs, and
/// what the other.
fn of_costs(value: &Value<'_, '_>, remarks: &mut Vec<Remark>) -> Result<f64, Wrong> {
    const KNOWN: [&str; 2] = ["error", "review"];
    let (mut error, mut review) = (None, None);
    for Entry { key, key_at, value } in document::entries(value.table()?) {
        let slot = match key {
            "error" => &mut error,
            "review" => &mut review,
            _ => return Err(document::unknown(key, key_at, &KNOWN, &one_of(&KNOWN))),
        };
        let cost = value.number()?;
        if cost <= 0.0 {
            return Err(value.wrong(format!("{cost} is no cost; that is a number above 0")));
        }
        *slot = Some(cost);
    }
    let (Some(error), Some(review)) = (error, review) else {
        let missing = if error.is_none() { "error" } else { "review" };
        return Err(value
            .wrong(format!("the cost of {} is missing", article(missing)))
            .hint("{ error = 10.0, review = 2.0 }, or a number from 0 to 0.95"));
    };
    if review > error {
        return Err(value
            .wrong("a review costs more than an error")
            .hint("then it is never worth one: write the threshold 0"));
    }
    let threshold = Thresholds::of_costs(error, review);
    if threshold > THRESHOLD_MAX {
        let what = format!(
            "these costs ask for a confidence of {threshold:.3}; no threshold is above \
             {THRESHOLD_MAX}, so that is what it is"
        );
        remarks.push(Remark { at: value.at.clone(), what });
    }
    Ok(threshold.clamp(0.0, THRESHOLD_MAX))
}

fn article(noun: &str) -> String {
    let an = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if an { "an" } else { "a" })
}

/// `[reviews]`: what it says; none leaves what is built in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reviews {
    pub(super) timeout_ms: Option<u64>,
    pub(super) approve: Option<bool>,
}

pub(super) fn reviews(value: &Value<'_, '_>) -> Result<Reviews, Wrong> {
    const KNOWN: [&str; 2] = ["timeout", "default"];
    let mut reviews = Reviews::default();
    for Entry { key, key_at, value } in document::entries(value.table()?) {
        match key {
            "timeout" => reviews.timeout_ms = Some(timeout(&value)?),
            "default" => reviews.approve = Some(approves(&value)?),
            _ => return Err(document::unknown(key, key_at, &KNOWN, &one_of(&KNOWN))),
        }
    }
    Ok(reviews)
}

/// How long a person has, in milliseconds.
pub(super) fn timeout(value: &Value<'_, '_>) -> Result<u64, Wrong> {
    let text = value.string().map_err(|wrong| wrong.hint("write it like \"10m\" or \"1h\""))?;
    let span = quantity::duration(text).map_err(|why| value.wrong(format!("{text:?} {why}")))?;
    match quantity::millis(span) {
        0 => Err(value
            .wrong("nobody answers in no time")
            .hint("give the rule the gate \"never\", and there are no reviews of it")),
        ms => Ok(ms),
    }
}

/// What silence means.
pub(super) fn approves(value: &Value<'_, '_>) -> Result<bool, Wrong> {
    match value.string()? {
        "approve" => Ok(true),
        "reject" => Ok(false),
        other => Err(value
            .wrong(format!("{other:?} is no answer"))
            .hint(meant(other, &["approve", "reject"]))),
    }
}

/// "one of: a, b".
fn one_of(names: &[&str]) -> String {
    format!("one of: {}", names.join(", "))
}

/// The name that may have been meant, or all of them.
pub(super) fn meant(typed: &str, names: &[&str]) -> String {
    match document::nearest(typed, names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => one_of(names),
    }
}
