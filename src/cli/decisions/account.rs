//! What a decision was made of, and how it came about.
//!
//! Two things come here: an event that is decided about now, and a decision
//! that was written down. Of the latter only the ingredients are kept; the rest
//! is worked out again by the policy it went by. Where that comes to something
//! else, as with the built-in rules of another adrt's version, what was written
//! down is what happened, and the difference is told.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clock::Age;
use crate::engines::confidence::{Calibration, Scope, calculate};
use crate::engines::context::{Risk, Signals};
use crate::engines::decision::explain::Explanation;
use crate::engines::decision::policy::rules_from_json;
use crate::engines::decision::{Policy, Question, Rule, Verdict};
use crate::engines::environment::Level;
use crate::protocol::work::EventText;
use crate::supervisor::rulings::{ALL_CONTEXTS, CalibrationRow, DecisionRow};
use crate::supervisor::work::Seq;

/// Thresholds that are written down and worked out again may differ by so much.
const THRESHOLD_EPSILON: f64 = 1e-9;

/// A decision with its ingredients.
#[derive(Debug, Clone)]
pub struct Account {
    /// The event it is about, if that is kept.
    pub seq: Option<Seq>,
    /// The event's type.
    pub kind: Arc<str>,
    /// The kind of trouble.
    pub context: Arc<str>,
    /// The risk.
    pub risk: Risk,
    /// The confidence.
    pub confidence: f64,
    /// How hard pressed the machine was.
    pub environment: Level,
    /// What was decided.
    pub action: Arc<str>,
    /// Why, in a word.
    pub reason: Arc<str>,
    /// The confidence that it takes.
    pub threshold: f64,
    /// Whether it may be carried out.
    pub verdict: Verdict,
    /// What the event said; none where only a confidence was given.
    pub signals: Option<Signals>,
    /// How hard pressed that says it is.
    pub pressure: Option<f64>,
    /// What the confidence was made of.
    pub evidence: Option<Evidence>,
    /// What it went by, if that is kept.
    pub policy: Option<Arc<Policy>>,
    /// Rules that came with the request.
    pub extra: Vec<Rule>,
}

/// What a confidence was made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// What the signals say.
    pub base: f64,
    /// What it is multiplied by for the sake of the risk.
    pub caution: f64,
    /// What that makes.
    pub q: f64,
    /// The slope of the calibration.
    pub a: f64,
    /// Its offset.
    pub b: f64,
    /// From so many outcomes.
    pub outcomes: u64,
    /// Whose they are.
    pub scope: Scope,
    /// What is left of what they taught.
    pub decay: f64,
}

/// What outcomes have taught, as an agent's database has it.
#[derive(Debug, Default)]
pub struct Learnt {
    rows: Vec<CalibrationRow>,
    now: Age,
}

impl Learnt {
    /// From the rows, at that time.
    pub const fn new(rows: Vec<CalibrationRow>, now: Age) -> Self {
        Self { rows, now }
    }

    fn of(&self, context: &str, risk: Risk) -> Option<&Calibration> {
        let mut rows = self.rows.iter();
        let row = rows.find(|row| &*row.context == context && row.risk == risk);
        row.map(|row| &row.calibration)
    }
}

impl Account {
    /// Decides about an event.
    pub fn of_event(
        event: &EventText,
        signals: Signals,
        policy: &Arc<Policy>,
        learnt: &Learnt,
        environment: Level,
    ) -> Self {
        let found = policy.reading.analyze(&event.kind, &signals);
        let (context, risk) = (found.context, found.risk);
        let confidence = calculate(
            &policy.reading.weights,
            &signals,
            risk,
            learnt.of(&context, risk),
            learnt.of(ALL_CONTEXTS, risk),
            learnt.now,
        );
        let asked = Question { context: &context, risk, confidence: confidence.value, environment };
        let decision = policy.decide(&[], &asked);
        Self {
            seq: None,
            kind: event.kind.clone(),
            risk,
            confidence: confidence.value,
            environment,
            action: decision.rule.action.clone(),
            reason: decision.rule.reason.clone(),
            threshold: decision.threshold,
            verdict: decision.verdict,
            signals: Some(signals),
            pressure: Some(found.pressure_score),
            evidence: Some(Evidence {
                base: confidence.base,
                caution: confidence.context_adjustment,
                q: confidence.q,
                a: confidence.calibration.a,
                b: confidence.calibration.b,
                outcomes: confidence.calibration.outcomes,
                scope: confidence.scope,
                decay: confidence.decay_factor,
            }),
            policy: Some(Arc::clone(policy)),
            extra: Vec::new(),
            context,
        }
    }

    /// Of one that was written down, and the policy it went by.
    pub fn of_row(row: &DecisionRow, policy: Option<Policy>) -> Self {
        let basis: Basis<'_> = serde_json::from_str(&row.basis).unwrap_or_default();
        let signals = basis.signals.and_then(|text| Signals::of_event(text.get()).ok());
        let extra = basis.rules.and_then(|text| rules_from_json(text.get()).ok());
        Self {
            seq: (row.seq > 0).then_some(row.seq),
            kind: row.kind.clone(),
            context: row.context.clone(),
            risk: row.risk,
            confidence: row.confidence,
            environment: row.environment,
            action: row.action.clone(),
            reason: row.reason.clone(),
            threshold: row.threshold,
            verdict: row.verdict,
            signals,
            pressure: basis.pressure,
            evidence: basis.evidence(row.q),
            policy: policy.map(Arc::new),
            extra: extra.unwrap_or_default(),
        }
    }

    /// Why it came to that; none where the policy is not kept.
    pub fn explanation(&self) -> Option<Explanation<'_>> {
        let question = Question {
            context: &self.context,
            risk: self.risk,
            confidence: self.confidence,
            environment: self.environment,
        };
        self.policy.as_ref().map(|policy| policy.explain(&self.extra, &question))
    }

    /// Whether that is what was decided.
    pub fn agrees(&self, explanation: &Explanation<'_>) -> bool {
        let decision = &explanation.decision;
        decision.rule.action == self.action
            && decision.rule.reason == self.reason
            && decision.verdict == self.verdict
            && (decision.threshold - self.threshold).abs() < THRESHOLD_EPSILON
    }
}

/// What is kept beside a decision. Members that an older adrt did not write, or
/// a newer one will, are no reason not to show the rest.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Basis<'a> {
    #[serde(borrow)]
    signals: Option<&'a RawValue>,
    pressure: Option<f64>,
    base: Option<f64>,
    caution: Option<f64>,
    a: Option<f64>,
    b: Option<f64>,
    outcomes: Option<u64>,
    scope: Option<String>,
    decay: Option<f64>,
    #[serde(borrow)]
    rules: Option<&'a RawValue>,
}

impl Basis<'_> {
    fn evidence(&self, q: Option<f64>) -> Option<Evidence> {
        let (base, caution) = (self.base?, self.caution?);
        Some(Evidence {
            base,
            caution,
            q: q.unwrap_or(base * caution),
            a: self.a?,
            b: self.b?,
            outcomes: self.outcomes.unwrap_or(0),
            scope: match self.scope.as_deref() {
                Some(scope) if scope == Scope::Context.as_str() => Scope::Context,
                Some(_) | None => Scope::All,
            },
            decay: self.decay.unwrap_or(1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Wall;
    use crate::engines::decision::RiskMatch;
    use crate::engines::decision::explain::Source;
    use crate::engines::decision::policy::rules_to_json;

    fn event(text: &str) -> (EventText, Signals) {
        (crate::protocol::work::event(text).expect("event"), Signals::of_event(text).expect("ok"))
    }

    fn account(text: &str) -> Account {
        let (event, signals) = event(text);
        Account::of_event(&event, signals, &Arc::default(), &Learnt::default(), Level::Calm)
    }

    fn row(account: &Account, basis: &str) -> DecisionRow {
        DecisionRow {
            id: 1,
            at: Wall::default(),
            seq: 0,
            kind: account.kind.clone(),
            context: account.context.clone(),
            risk: account.risk,
            confidence: account.confidence,
            q: account.evidence.map(|evidence| evidence.q),
            environment: account.environment,
            threshold: account.threshold,
            action: account.action.clone(),
            reason: account.reason.clone(),
            verdict: account.verdict,
            policy: Default::default(),
            basis: basis.into(),
            review: None,
            outcome: None,
            settled: None,
        }
    }

    #[test]
    fn the_article_s_event() {
        let text = r#"{"type":"service_overload","cpu":94,"memory":88,"severity":0.82}"#;
        let account = account(text);
        assert_eq!((&*account.action, account.risk), ("restart_service", Risk::High));
        let explanation = account.explanation().expect("a policy");
        assert!(account.agrees(&explanation));
        let last = explanation.tried.last().expect("one matched");
        assert_eq!((last.source, last.number), (Source::BuiltIn, 3));
    }

    #[test]
    fn what_outcomes_taught_is_used() {
        let (event, signals) = event(r#"{"type":"timeout","severity":0.5}"#);
        let rows = [("*", 3), ("latency_issue", 7)].map(|(context, outcomes)| CalibrationRow {
            context: context.into(),
            risk: Risk::Medium,
            calibration: Calibration { a: 2.0, b: 1.0, outcomes, last: Age::default() },
        });
        let learnt = Learnt::new(rows.into(), Age::default());
        let found = Account::of_event(&event, signals, &Arc::default(), &learnt, Level::Calm);
        let evidence = found.evidence.expect("made of evidence");
        assert_eq!((evidence.outcomes, evidence.scope, evidence.a), (7, Scope::Context, 2.0));
        assert!(found.confidence > evidence.q);
    }

    #[test]
    fn a_basis_of_any_shape_is_taken() {
        let account = account(r#"{"type":"timeout","severity":0.5}"#);
        for basis in ["", "{", "7", "{}", "{\"signals\":7}", "{\"new\":{\"a\":[1]}}"] {
            let found = Account::of_row(&row(&account, basis), None);
            assert_eq!((found.signals, found.evidence), (None, None), "{basis}");
            assert_eq!(found.explanation(), None);
        }
        let rules = [Rule::new(None, RiskMatch::Any, 0.0, "mine", "r")];
        let basis = format!(
            "{{\"signals\":{{\"severity\":0.5,\"later\":1}},\"pressure\":0.2,\"rules\":{},\"x\":1}}",
            rules_to_json(&rules)
        );
        let found = Account::of_row(&row(&account, &basis), Some(Policy::default()));
        assert_eq!(found.signals.and_then(|signals| signals.severity), Some(0.5));
        assert_eq!(found.pressure, Some(0.2));
        assert_eq!(found.extra, rules);
        let explanation = found.explanation().expect("a policy");
        assert!(!found.agrees(&explanation), "the rule of the call would have decided");
    }
}
