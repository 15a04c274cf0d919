//! `[[rule]]`.

use std::ops::Range;

use super::RULES_MAX;
use super::sections::{approves, context, meant, name, timeout, within};
use crate::engines::context::Risk;
use crate::engines::decision::{Gate, ReviewTerms, RiskMatch, Rule};
use crate::typed::document::{self, Entry, Value, Wrong};

/// A rule, and where it stands.
pub(super) struct Placed {
    pub(super) rule: Rule,
    /// Its beginning.
    pub(super) at: Range<usize>,
    /// Its context, if it names one.
    pub(super) context_at: Option<Range<usize>>,
}

/// All rules.
pub(super) fn all(value: &Value<'_, '_>) -> Result<Vec<Placed>, Wrong> {
    const EACH: &str = "begin each rule with [[rule]], in two pairs of brackets";
    let elements = value.elements().map_err(|wrong| wrong.hint(EACH))?;
    if let Some(beyond) = elements.get(RULES_MAX) {
        let what = format!("there are {} rules, and {RULES_MAX} is the most", elements.len());
        return Err(beyond.wrong(what));
    }
    elements.iter().map(one).collect()
}

/// What a rule's keys say.
#[derive(Default)]
struct Found<'t> {
    context: Option<&'t str>,
    context_at: Option<Range<usize>>,
    risk: Option<RiskMatch>,
    min_confidence: f64,
    action: Option<&'t str>,
    reason: Option<&'t str>,
    gate: Option<Gate>,
    review: ReviewTerms,
}

fn one(value: &Value<'_, '_>) -> Result<Placed, Wrong> {
    const KNOWN: [&str; 8] = [
        "context",
        "risk",
        "min_confidence",
        "action",
        "reason",
        "gate",
        "review_timeout",
        "review_default",
    ];
    let mut found = Found::default();
    for Entry { key, key_at, value } in document::entries(value.table()?) {
        match key {
            "context" => {
                found.context = Some(context(&value)?);
                found.context_at = Some(value.at);
            }
            "risk" => found.risk = Some(risk(&value)?),
            "min_confidence" => found.min_confidence = within(&value, 1.0)?,
            "action" => found.action = Some(name(&value)?),
            "reason" => found.reason = Some(name(&value)?),
            "gate" => found.gate = Some(gate(&value)?),
            "review_timeout" => found.review.timeout_ms = Some(timeout(&value)?),
            "review_default" => found.review.approve = Some(approves(&value)?),
            _ => {
                let hint = format!("a rule has {}", KNOWN.join(", "));
                return Err(document::unknown(key, key_at, &KNOWN, &hint));
            }
        }
    }
    let missing = |what| value.wrong(format!("this rule has no {what}"));
    let action = found.action.ok_or_else(|| {
        missing("action").hint("say what is to be done: action = \"restart_service\"")
    })?;
    let reason = found.reason.ok_or_else(|| {
        missing("reason").hint("say why, in a word: reason = \"disk_is_filling\"")
    })?;
    let risk = found.risk.unwrap_or(RiskMatch::Any);
    let mut rule = Rule::new(found.context, risk, found.min_confidence, action, reason);
    if let Some(gate) = found.gate {
        rule.gate = gate;
    }
    rule.review = found.review;
    Ok(Placed { rule, at: value.at.clone(), context_at: found.context_at })
}

/// `high`, or `high+` for what is above, too.
fn risk(value: &Value<'_, '_>) -> Result<RiskMatch, Wrong> {
    let text = value.string()?;
    RiskMatch::from_name(text).ok_or_else(|| {
        let hint = match document::nearest(text, &Risk::ALL.map(Risk::as_str)) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "low, medium, high or critical; high+ is high and above".to_owned(),
        };
        value.wrong(format!("{text:?} is no risk")).hint(hint)
    })
}

fn gate(value: &Value<'_, '_>) -> Result<Gate, Wrong> {
    let names = [Gate::Never, Gate::Risk, Gate::Full].map(Gate::as_str);
    let text = value.string()?;
    Gate::from_name(text)
        .ok_or_else(|| value.wrong(format!("{text:?} is no gate")).hint(meant(text, &names)))
}
