//! All that decisions go by, as one value that can be written down.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rules::{Gate, ReviewTerms, RiskMatch, Rule, built_in};
use crate::engines::context::{Reading, Risk, Weights};

/// After this time silence is an answer, unless something else was said.
pub const REVIEW_TIMEOUT: Duration = Duration::from_secs(3600);

/// The confidence it takes to act, by risk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds(pub [f64; 4]);

impl Default for Thresholds {
    fn default() -> Self {
        Self([0.20, 0.45, 0.60, 0.75])
    }
}

impl Thresholds {
    /// That of a risk.
    pub fn of(&self, risk: Risk) -> f64 {
        let Self([low, medium, high, critical]) = *self;
        match risk {
            Risk::Low => low,
            Risk::Medium => medium,
            Risk::High => high,
            Risk::Critical => critical,
        }
    }

    /// The confidence above which acting costs less than asking: an error
    /// costs `error` with probability 1 − p, a review costs `review` always.
    pub fn of_costs(error: f64, review: f64) -> f64 {
        1.0 - review / error
    }
}

/// See the module's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// How events are read.
    pub reading: Reading,
    /// The confidence it takes to act.
    pub thresholds: Thresholds,
    /// After so many milliseconds the silence about a review is an answer.
    pub review_timeout_ms: u64,
    /// And means yes.
    pub review_approve: bool,
    /// The user's rules, then those that every policy ends with.
    rules: Vec<Rule>,
    /// How many are the user's.
    own: usize,
    last_resort: Rule,
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(Reading::default(), Thresholds::default(), Vec::new())
    }
}

impl Policy {
    /// A policy with these rules before the built-in ones.
    pub fn new(reading: Reading, thresholds: Thresholds, own: Vec<Rule>) -> Self {
        let mut rules = own;
        let own = rules.len();
        rules.extend(built_in());
        let review_timeout_ms = u64::try_from(REVIEW_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        Self {
            reading,
            thresholds,
            review_timeout_ms,
            review_approve: false,
            rules,
            own,
            last_resort: Rule::new(
                None,
                RiskMatch::Any,
                0.0,
                "monitor_and_wait",
                "no_matching_rule",
            ),
        }
    }

    /// All rules, in the order in which they are tried.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// How many of them, from the first, are the user's own.
    pub fn own_rules(&self) -> usize {
        self.own
    }

    pub(super) fn last_resort(&self) -> &Rule {
        &self.last_resort
    }

    /// What a review of this rule's action is given.
    pub fn review_terms(&self, rule: &Rule) -> (Duration, bool) {
        let ReviewTerms { timeout_ms, approve } = rule.review;
        let timeout = timeout_ms.unwrap_or(self.review_timeout_ms);
        (Duration::from_millis(timeout), approve.unwrap_or(self.review_approve))
    }

    /// As text, the same for the same policy: what a decision went by is kept
    /// under a hash of it.
    pub fn to_json(&self) -> String {
        let text = PolicyText {
            weights: self.reading.weights.in_order(),
            contexts: self
                .reading
                .names
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
            thresholds: self.thresholds.0,
            review_timeout_ms: self.review_timeout_ms,
            review_approve: self.review_approve,
            own: self.own,
            rules: self.rules.iter().map(RuleText::of).collect(),
        };
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// Reads [`Policy::to_json`], also that of another adrt.
    ///
    /// # Errors
    /// It is not such a text.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let text: PolicyText = serde_json::from_str(text)?;
        let [severity, cpu, memory, error_rate, latency] = text.weights;
        let names = text.contexts.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into()));
        let reading = Reading {
            weights: Weights { severity, cpu, memory, error_rate, latency },
            names: names.collect(),
        };
        let rules: Vec<Rule> = text.rules.iter().map(RuleText::rule).collect();
        Ok(Self {
            review_timeout_ms: text.review_timeout_ms,
            review_approve: text.review_approve,
            own: text.own.min(rules.len()),
            rules,
            ..Self::new(reading, Thresholds(text.thresholds), Vec::new())
        })
    }
}

/// Rules as text: those of one call are kept with their decision.
pub fn rules_to_json(rules: &[Rule]) -> String {
    let all: Vec<RuleText> = rules.iter().map(RuleText::of).collect();
    serde_json::to_string(&all).unwrap_or_default()
}

/// Reads [`rules_to_json`].
///
/// # Errors
/// It is not such a text.
pub fn rules_from_json(text: &str) -> Result<Vec<Rule>, serde_json::Error> {
    let all: Vec<RuleText> = serde_json::from_str(text)?;
    Ok(all.iter().map(RuleText::rule).collect())
}

#[derive(Serialize, Deserialize)]
struct PolicyText {
    weights: [f64; 5],
    contexts: BTreeMap<String, String>,
    thresholds: [f64; 4],
    review_timeout_ms: u64,
    review_approve: bool,
    own: usize,
    rules: Vec<RuleText>,
}

/// A rule as an array, since there are many: context, risk, confidence,
/// action, reason, gate, time-out and default of its reviews.
#[derive(Serialize, Deserialize)]
struct RuleText(
    Option<String>,
    Option<String>,
    f64,
    String,
    String,
    String,
    Option<u64>,
    Option<bool>,
);

impl RuleText {
    fn of(rule: &Rule) -> Self {
        Self(
            rule.context.as_deref().map(str::to_owned),
            rule.risk.name().map(|name| name.into_owned()),
            rule.min_confidence,
            rule.action.to_string(),
            rule.reason.to_string(),
            rule.gate.as_str().into(),
            rule.review.timeout_ms,
            rule.review.approve,
        )
    }

    fn rule(&self) -> Rule {
        let Self(context, risk, min, action, reason, gate, timeout_ms, approve) = self;
        let risk = risk.as_deref().and_then(RiskMatch::from_name).unwrap_or(RiskMatch::Any);
        let context: Option<Arc<str>> = context.as_deref().map(Into::into);
        Rule {
            context,
            gate: Gate::from_name(gate).unwrap_or(Gate::Full),
            review: ReviewTerms { timeout_ms: *timeout_ms, approve: *approve },
            ..Rule::new(None, risk, *min, action, reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_was_written_down_is_the_same_to_the_last_bit() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let mut any = || rng.f64();
            let weights = Weights { severity: any(), cpu: any(), ..Weights::default() };
            let reading = Reading { weights, ..Reading::default() };
            let rule = Rule::new(None, RiskMatch::Any, any(), "act", "so");
            let policy = Policy::new(reading, Thresholds([any(), any(), any(), any()]), vec![rule]);
            let read = Policy::from_json(&policy.to_json());
            assert_eq!(read.ok().as_ref(), Some(&policy));
        }
    }
}
