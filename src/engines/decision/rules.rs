//! Rules: what they match, and the table that every policy ends with.

use std::borrow::Cow;
use std::sync::Arc;

use crate::engines::context::Risk;

/// Which risks a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RiskMatch {
    /// All.
    Any,
    /// One.
    Is(Risk),
    /// One and those above it.
    AtLeast(Risk),
}

impl RiskMatch {
    /// Whether it is for that risk.
    pub fn matches(self, risk: Risk) -> bool {
        match self {
            Self::Any => true,
            Self::Is(one) => risk == one,
            Self::AtLeast(least) => risk >= least,
        }
    }

    /// As it is written: `high`, `high+`; none for all.
    pub fn name(self) -> Option<Cow<'static, str>> {
        match self {
            Self::Any => None,
            Self::Is(risk) => Some(risk.as_str().into()),
            Self::AtLeast(risk) => Some(format!("{}+", risk.as_str()).into()),
        }
    }

    /// Reads [`RiskMatch::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        match name.strip_suffix('+') {
            Some(least) => Risk::from_name(least).map(Self::AtLeast),
            None => Risk::from_name(name).map(Self::Is),
        }
    }
}

/// How much confidence an action needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// None: it only watches.
    Never,
    /// The threshold of the risk, whatever the machine's environment is: it
    /// brings relief, and must not become harder when relief is needed.
    Risk,
    /// The threshold of the risk, raised by the environment.
    Full,
}

impl Gate {
    const ALL: [Self; 3] = [Self::Never, Self::Risk, Self::Full];

    /// Its name in rules files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Risk => "risk",
            Self::Full => "full",
        }
    }

    /// The gate of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gate| gate.as_str() == name)
    }

    /// The gate of an action that was given none.
    pub fn of_action(action: &str) -> Self {
        match action {
            "monitor_and_wait"
            | "increase_monitoring"
            | "flag_for_review"
            | "health_check"
            | "cache_warmup" => Self::Never,
            "throttle_requests" | "scale_up_immediate" | "circuit_breaker_open" => Self::Risk,
            _ if action.starts_with("optimize_") => Self::Risk,
            _ => Self::Full,
        }
    }
}

/// One line of a policy: the first that matches decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The context it is for; all without.
    pub context: Option<Arc<str>>,
    /// The risks it is for.
    pub risk: RiskMatch,
    /// And no less confidence than this.
    pub min_confidence: f64,
    /// What is to be done.
    pub action: Arc<str>,
    /// Why, in a word.
    pub reason: Arc<str>,
    /// How much confidence the action needs.
    pub gate: Gate,
    /// What a review of it is given other than the usual.
    pub review: ReviewTerms,
}

/// What a rule says about the reviews of its action; none leaves the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReviewTerms {
    /// After so many milliseconds silence is an answer.
    pub timeout_ms: Option<u64>,
    /// Silence means yes.
    pub approve: Option<bool>,
}

/// Why a rule does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// It is for another context.
    Context,
    /// It is for other risks.
    Risk,
    /// It wants more confidence.
    Confidence,
}

impl Miss {
    /// A word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Risk => "risk",
            Self::Confidence => "confidence",
        }
    }
}

impl Rule {
    /// A rule with the gate that its action has by itself.
    pub fn new(
        context: Option<&str>,
        risk: RiskMatch,
        min_confidence: f64,
        action: &str,
        reason: &str,
    ) -> Self {
        Self {
            context: context.map(Into::into),
            risk,
            min_confidence,
            action: action.into(),
            reason: reason.into(),
            gate: Gate::of_action(action),
            review: ReviewTerms::default(),
        }
    }

    /// Why it does not match, if it does not. Confidence is looked at last.
    pub fn misses(&self, context: &str, risk: Risk, confidence: f64) -> Option<Miss> {
        if self.context.as_deref().is_some_and(|own| own != context) {
            Some(Miss::Context)
        } else if !self.risk.matches(risk) {
            Some(Miss::Risk)
        } else if confidence < self.min_confidence {
            Some(Miss::Confidence)
        } else {
            None
        }
    }
}

/// What a line of the table is written as.
type Line = (Option<&'static str>, RiskMatch, f64, &'static str, &'static str);

/// The rules that every policy ends with: whatever the event, one matches.
const TABLE: [Line; 16] = {
    use RiskMatch::{Any, AtLeast, Is};
    const PRESSURE: Option<&str> = Some("resource_pressure");
    const ANOMALY: Option<&str> = Some("anomaly_signal");
    const LATENCY: Option<&str> = Some("latency_issue");
    const DEGRADED: Option<&str> = Some("service_degradation");
    [
        (PRESSURE, Is(Risk::Critical), 0.0, "scale_up_immediate", "critical_resource_pressure"),
        (PRESSURE, Is(Risk::High), 0.80, "scale_up_immediate", "high_resource_pressure_certain"),
        (PRESSURE, Is(Risk::High), 0.70, "restart_service", "high_resource_pressure"),
        (PRESSURE, Is(Risk::High), 0.0, "throttle_requests", "resource_pressure_low_confidence"),
        (PRESSURE, Is(Risk::Medium), 0.0, "optimize_resources", "medium_resource_pressure"),
        (ANOMALY, Is(Risk::Critical), 0.0, "isolate_component", "critical_anomaly"),
        (ANOMALY, Is(Risk::High), 0.65, "rollback_deployment", "anomaly_with_confidence"),
        (ANOMALY, Is(Risk::High), 0.0, "increase_monitoring", "anomaly_low_confidence"),
        (ANOMALY, Any, 0.0, "flag_for_review", "anomaly_detected"),
        (LATENCY, AtLeast(Risk::High), 0.0, "optimize_query", "latency_degradation"),
        (LATENCY, Any, 0.0, "cache_warmup", "latency_signal"),
        (Some("security_signal"), Any, 0.0, "trigger_security_audit", "security_event"),
        (Some("self_healing"), Any, 0.0, "run_recovery", "recovery_requested"),
        (DEGRADED, AtLeast(Risk::High), 0.0, "circuit_breaker_open", "service_degraded_high"),
        (DEGRADED, Any, 0.0, "health_check", "service_degraded"),
        (None, Any, 0.0, "monitor_and_wait", "no_matching_rule"),
    ]
};

/// The rules that every policy ends with. The last one matches everything.
pub fn built_in() -> Vec<Rule> {
    TABLE
        .into_iter()
        .map(|(context, risk, min, action, reason)| Rule::new(context, risk, min, action, reason))
        .collect()
}

/// The first of the rules before this one that leave nothing for it, if it can
/// never be reached.
///
/// For each risk it is for, some earlier rule matches whatever context and
/// confidence it would match itself.
pub fn shadowed(rules: &[Rule], place: usize) -> Option<usize> {
    let rule = rules.get(place)?;
    let covers = |earlier: &Rule, risk: Risk| {
        (earlier.context.is_none() || earlier.context == rule.context)
            && earlier.risk.matches(risk)
            && earlier.min_confidence <= rule.min_confidence
    };
    let before = rules.get(..place)?;
    let mut first = None;
    for risk in Risk::ALL.into_iter().filter(|risk| rule.risk.matches(*risk)) {
        let by = before.iter().position(|earlier| covers(earlier, risk))?;
        first = Some(first.map_or(by, |known: usize| known.min(by)));
    }
    first
}
