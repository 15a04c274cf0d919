//! What to do about an event, and whether a person is to be asked first.
//!
//! ```text
//!  context, risk, confidence ── first rule that matches ──► action, reason
//!                                          │ gate
//!       threshold of the risk ── raised by the environment ──► execute | review
//! ```
//!
//! A [`Policy`] is all that decisions go by. It is data: it can be written
//! down, named by a hash of its text, and asked again years later why it
//! decided as it did ([`explain`]).

pub mod explain;
pub mod policy;
pub mod rules;

pub use policy::{Policy, Thresholds};
pub use rules::{Gate, Miss, ReviewTerms, RiskMatch, Rule};

use super::confidence::caution;
use super::context::Risk;
use super::environment::Level;

/// No threshold is higher: above it nothing could ever be done without a
/// person.
pub const THRESHOLD_MAX: f64 = 0.95;

/// By how much an environment raises the threshold.
pub const fn raise(level: Level) -> f64 {
    match level {
        Level::Calm => 0.0,
        Level::Elevated => 0.05,
        Level::High => 0.10,
        Level::Critical => 0.20,
    }
}

/// How urgent an action is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// When there is time.
    Low,
    /// In its turn.
    Normal,
    /// Soon.
    High,
    /// Now.
    Critical,
}

impl Priority {
    /// The priority that goes with a risk.
    pub const fn of(risk: Risk) -> Self {
        match risk {
            Risk::Low => Self::Low,
            Risk::Medium => Self::Normal,
            Risk::High => Self::High,
            Risk::Critical => Self::Critical,
        }
    }

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Whether a decision may be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// At once.
    Execute,
    /// If a person says yes.
    Review,
}

impl Verdict {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Review => "review",
        }
    }

    /// The verdict of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Execute, Self::Review].into_iter().find(|verdict| verdict.as_str() == name)
    }
}

/// What is decided about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question<'a> {
    /// The kind of trouble.
    pub context: &'a str,
    /// How bad it would be to do the wrong thing.
    pub risk: Risk,
    /// The probability that acting is right, 0 to 1.
    pub confidence: f64,
    /// How hard pressed the machine is.
    pub environment: Level,
}

/// A decision: the rule that matched, and whether its gate is open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision<'p> {
    /// The rule.
    pub rule: &'p Rule,
    /// Its place: among the extra rules first, then those of the policy.
    pub place: usize,
    /// The confidence it takes to go ahead; 0 for what only watches.
    pub threshold: f64,
    /// Whether it may be carried out.
    pub verdict: Verdict,
    /// How urgent it is.
    pub priority: Priority,
}

impl Policy {
    /// The confidence that actions behind this gate need.
    ///
    /// What the environment raises is never raised past 0.95 of what the
    /// caution of the risk leaves: else nothing at that risk could ever pass.
    pub fn threshold(&self, gate: Gate, risk: Risk, environment: Level) -> f64 {
        let plain = self.thresholds.of(risk);
        match gate {
            Gate::Never => 0.0,
            Gate::Risk => plain,
            Gate::Full => {
                let most = THRESHOLD_MAX * caution(risk);
                plain.max((plain + raise(environment)).min(most))
            }
        }
    }

    /// The first rule that matches, of `extra` and then of its own.
    ///
    /// ```
    /// use adrt::engines::context::Risk;
    /// use adrt::engines::decision::{Policy, Question, Verdict};
    /// use adrt::engines::environment::Level;
    ///
    /// let policy = Policy::default();
    /// let question = Question {
    ///     context: "resource_pressure",
    ///     risk: Risk::High,
    ///     confidence: 0.78,
    ///     environment: Level::Calm,
    /// };
    /// let decision = policy.decide(&[], &question);
    /// assert_eq!(&*decision.rule.action, "restart_service");
    /// assert_eq!(decision.verdict, Verdict::Execute);
    /// ```
    pub fn decide<'p>(&'p self, extra: &'p [Rule], question: &Question<'_>) -> Decision<'p> {
        let Question { context, risk, confidence, environment } = *question;
        let mut all = extra.iter().chain(self.rules()).enumerate();
        let matching = all.find(|(_, rule)| rule.misses(context, risk, confidence).is_none());
        // The last of the policy's rules matches whatever there is.
        let (place, rule) = matching.unwrap_or_else(|| (extra.len(), self.last_resort()));
        let threshold = self.threshold(rule.gate, risk, environment);
        let verdict = if confidence >= threshold { Verdict::Execute } else { Verdict::Review };
        Decision { rule, place, threshold, verdict, priority: Priority::of(risk) }
    }
}
