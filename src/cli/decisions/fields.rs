//! A decision and all of how it came about, as JSON.

use super::account::{Account, Evidence};
use crate::cli::json::{Object, array};
use crate::engines::context::Signals;
use crate::engines::decision::Priority;
use crate::engines::decision::explain::{Alternative, Explanation, Tried};

/// All of it; the names are those of the wire where it has some.
pub(super) fn fields(account: &Account) -> Object {
    let explanation = account.explanation();
    let sound = explanation.as_ref().filter(|found| account.agrees(found));
    let object = Object::new()
        .number("seq", account.seq)
        .text("event_type", &account.kind)
        .raw("context", &context(account))
        .raw("signals", &or_null(account.signals.as_ref(), |signals| of_signals(account, signals)))
        .raw("evidence", &or_null(account.evidence.as_ref(), of_evidence))
        .number("confidence", account.confidence)
        .text("environment", account.environment.as_str())
        .number("threshold", account.threshold)
        .number("threshold_calm", sound.map(|found| found.threshold_calm))
        .maybe_text("gate", sound.map(|found| found.decision.rule.gate.as_str()))
        .text("verdict", account.verdict.as_str())
        .text("action", &account.action)
        .text("reason", &account.reason)
        .text("priority", Priority::of(account.risk).as_str());
    object
        .raw(
            "rules",
            &or_null(sound, |found| array(found.tried.iter().map(|tried| of_rule(tried)))),
        )
        .raw("otherwise", &or_null(sound, otherwise))
        .raw("differs", &or_null(explanation.as_ref().filter(|_| sound.is_none()), differs))
}

fn or_null<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "null".to_owned(), text)
}

/// As `context.analyze` answers; of a decision about which less is known, less.
fn context(account: &Account) -> String {
    let read = account.policy.as_ref().zip(account.signals.as_ref());
    if let Some((policy, signals)) = read {
        let mut found = policy.reading.analyze(&account.kind, signals);
        found.risk = account.risk;
        found.context = account.context.clone();
        return found.to_json();
    }
    Object::new()
        .text("risk", account.risk.as_str())
        .text("context", &account.context)
        .number("pressure_score", account.pressure)
        .finish()
}

fn of_signals(account: &Account, signals: &Signals) -> String {
    let weights = account.policy.as_ref().map(|policy| policy.reading.weights.in_order());
    let shares = signals.normalised();
    array(signals.named().into_iter().enumerate().map(|(place, (name, value))| {
        let share = shares.get(place).copied().flatten();
        let weight = weights.and_then(|weights| weights.get(place).copied());
        Object::new()
            .text("signal", name)
            .number("value", value)
            .number("share", share)
            .number("weight", weight)
            .number("adds", weight.map(|weight| weight * share.unwrap_or(0.0)))
            .finish()
    }))
}

fn of_evidence(evidence: &Evidence) -> String {
    let Evidence { base, caution, q, a, b, outcomes, scope, decay } = *evidence;
    let calibration = Object::new()
        .number("a", a)
        .number("b", b)
        .number("outcomes", outcomes)
        .text("scope", scope.as_str())
        .number("decay_factor", decay);
    Object::new()
        .number("base", base)
        .number("context_adjustment", caution)
        .number("q", q)
        .raw("calibration", &calibration.finish())
        .finish()
}

fn of_rule(tried: &Tried<'_>) -> String {
    let rule = tried.rule;
    Object::new()
        .text("rule", &format!("{} {}", tried.source.as_str(), tried.number))
        .maybe_text("context", rule.context.as_deref())
        .maybe_text("risk", rule.risk.name().as_deref())
        .number("min_confidence", rule.min_confidence)
        .text("action", &rule.action)
        .text("reason", &rule.reason)
        .text("gate", rule.gate.as_str())
        .maybe_text("missed_by", tried.miss.map(|miss| miss.as_str()))
        .finish()
}

/// What would have changed it.
fn otherwise(explanation: &Explanation<'_>) -> String {
    let other = |found: &Alternative<'_>| {
        Object::new()
            .number("confidence", found.confidence)
            .text("action", found.action)
            .text("verdict", found.verdict.as_str())
            .finish()
    };
    Object::new()
        .raw("from", &or_null(explanation.above.as_ref(), other))
        .raw("below", &or_null(explanation.below.as_ref(), other))
        .maybe_text("environment", explanation.environment.map(|level| level.as_str()))
        .finish()
}

/// What this adrt comes to, where that is something else.
fn differs(explanation: &Explanation<'_>) -> String {
    let decision = &explanation.decision;
    Object::new()
        .text("action", &decision.rule.action)
        .text("reason", &decision.rule.reason)
        .text("verdict", decision.verdict.as_str())
        .number("threshold", decision.threshold)
        .finish()
}
