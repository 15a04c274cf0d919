//! What an event means: its risk, the pressure it shows, the kind of trouble.
//!
//! ```text
//!  signals ── weights ──► pressure ── bounds ──► risk, stability
//!     └── severity ──────────────────────────────► risk (the higher of both)
//!  type ── names ──► context
//! ```
//!
//! All of it is arithmetic on the event alone: no model, no history, no clock.
//! The numbers are those of the project's design; [`Weights`] and the names
//! can be set.

mod signals;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

pub use signals::{LATENCY_FULL_MS, SignalError, Signals};

/// How bad it would be to do the wrong thing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// Little can go wrong.
    Low,
    /// Something to watch.
    Medium,
    /// Harm is near.
    High,
    /// Harm is being done.
    Critical,
}

impl Risk {
    /// All of them, rising.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The risk of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|risk| risk.as_str() == name)
    }

    /// Its place in [`Risk::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Self::Low => 0,
            Self::Medium => 1,
            Self::High => 2,
            Self::Critical => 3,
        }
    }

    /// The highest whose bound a value reaches; the bounds are those of
    /// medium, high and critical.
    fn reached(value: f64, bounds: [f64; 3]) -> Self {
        match bounds {
            [_, _, critical] if value >= critical => Self::Critical,
            [_, high, _] if value >= high => Self::High,
            [medium, _, _] if value >= medium => Self::Medium,
            _ => Self::Low,
        }
    }
}

/// How much more the system can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stability {
    /// All it is meant to.
    Stable,
    /// Less than that.
    Degraded,
    /// Little.
    Low,
    /// Nothing.
    Critical,
}

impl Stability {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Degraded => "degraded",
            Self::Low => "low",
            Self::Critical => "critical",
        }
    }

    fn of(pressure: f64) -> Self {
        match Risk::reached(pressure, STABILITY_BOUNDS) {
            Risk::Low => Self::Stable,
            Risk::Medium => Self::Degraded,
            Risk::High => Self::Low,
            Risk::Critical => Self::Critical,
        }
    }
}

/// The pressures at which risk is medium, high, critical.
pub const PRESSURE_BOUNDS: [f64; 3] = [0.35, 0.60, 0.85];
/// The severities at which risk is medium, high, critical.
pub const SEVERITY_BOUNDS: [f64; 3] = [0.50, 0.80, 0.95];
/// The pressures at which stability is degraded, low, critical.
pub const STABILITY_BOUNDS: [f64; 3] = [0.40, 0.65, 0.85];

/// Above it, in per cent, `cpu` and `memory` are tagged as high.
const USE_TAGGED: f64 = 80.0;
/// Above it, errors are tagged as elevated.
const ERRORS_TAGGED: f64 = 0.5;
/// Above it, in milliseconds, latency is tagged as high.
const LATENCY_TAGGED_MS: f64 = 2000.0;

/// What each signal counts for. They sum to 1, so that pressure stays within
/// its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Of `severity`.
    pub severity: f64,
    /// Of `cpu`.
    pub cpu: f64,
    /// Of `memory`.
    pub memory: f64,
    /// Of `error_rate`.
    pub error_rate: f64,
    /// Of `latency_ms`.
    pub latency: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { severity: 0.35, cpu: 0.20, memory: 0.20, error_rate: 0.15, latency: 0.10 }
    }
}

impl Weights {
    /// In the order in which they are summed: the order is part of the
    /// result, to the last bit.
    pub const fn in_order(&self) -> [f64; 5] {
        [self.severity, self.cpu, self.memory, self.error_rate, self.latency]
    }
}

/// The contexts of the types that are known without being told.
pub const KNOWN_CONTEXTS: [(&str, &str); 7] = [
    ("service_overload", "resource_pressure"),
    ("memory_leak", "resource_pressure"),
    ("anomaly_detected", "anomaly_signal"),
    ("timeout", "latency_issue"),
    ("auth_failure", "security_signal"),
    ("recovery_needed", "self_healing"),
    ("degraded_service", "service_degradation"),
];

/// How events are read: what signals count for, and what types mean.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// What each signal counts for.
    pub weights: Weights,
    /// Contexts by type of event, before those of [`KNOWN_CONTEXTS`].
    pub names: BTreeMap<Arc<str>, Arc<str>>,
}

/// What an event means.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// How bad it would be to do the wrong thing now.
    pub risk: Risk,
    /// How much more the system can take.
    pub stability: Stability,
    /// The kind of trouble, by the event's type.
    pub context: Arc<str>,
    /// How hard pressed it is, 0 to 1.
    pub pressure_score: f64,
    /// For people, and for filters.
    pub tags: Vec<Cow<'static, str>>,
}

impl Reading {
    /// The kind of trouble that events of a type tell of; `unknown_<type>` for
    /// one that nobody named.
    pub fn context_of(&self, kind: &str) -> Arc<str> {
        if let Some(name) = self.names.get(kind) {
            return name.clone();
        }
        match KNOWN_CONTEXTS.iter().find(|(known, _)| *known == kind) {
            Some((_, name)) => (*name).into(),
            None => format!("unknown_{kind}").into(),
        }
    }

    /// Σ wᵢxᵢ over all signals, 0 to 1. One that is missing counts nothing.
    pub fn pressure(&self, signals: &Signals) -> f64 {
        let weighed = self.weights.in_order().into_iter().zip(signals.normalised());
        weighed.map(|(weight, signal)| weight * signal.unwrap_or(0.0)).sum::<f64>().clamp(0.0, 1.0)
    }

    /// How bad it would be to do the wrong thing now: the higher of what
    /// pressure says and what severity says.
    pub fn risk(&self, signals: &Signals) -> Risk {
        let by_severity = Risk::reached(signals.severity.unwrap_or(0.0), SEVERITY_BOUNDS);
        Risk::reached(self.pressure(signals), PRESSURE_BOUNDS).max(by_severity)
    }

    /// All that an event of this type with these signals means.
    ///
    /// ```
    /// use adrt::engines::context::{Reading, Risk, Signals, Stability};
    ///
    /// let event = r#"{"type":"service_overload","cpu":94,"memory":88,"severity":0.82}"#;
    /// let signals = Signals::of_event(event)?;
    /// let context = Reading::default().analyze("service_overload", &signals);
    /// assert_eq!(context.risk, Risk::High);
    /// assert_eq!(context.stability, Stability::Low);
    /// assert_eq!(&*context.context, "resource_pressure");
    /// assert_eq!(format!("{:.2}", context.pressure_score), "0.65");
    /// # Ok::<(), adrt::engines::context::SignalError>(())
    /// ```
    pub fn analyze(&self, kind: &str, signals: &Signals) -> Context {
        let (context, risk) = (self.context_of(kind), self.risk(signals));
        Context::of(kind, context, risk, self.pressure(signals), signals)
    }
}

fn tags(kind: &str, risk: Risk, signals: &Signals) -> Vec<Cow<'static, str>> {
    let mut tags: Vec<Cow<'static, str>> =
        vec![format!("risk:{}", risk.as_str()).into(), format!("event:{kind}").into()];
    let passes = |signal: Option<f64>, bound: f64| signal.is_some_and(|value| value > bound);
    let more = [
        (passes(signals.cpu, USE_TAGGED), "cpu:high"),
        (passes(signals.memory, USE_TAGGED), "memory:high"),
        (passes(signals.error_rate, ERRORS_TAGGED), "errors:elevated"),
        (passes(signals.latency_ms, LATENCY_TAGGED_MS), "latency:high"),
    ];
    tags.extend(more.into_iter().filter(|(is, _)| *is).map(|(_, tag)| Cow::from(tag)));
    tags
}

/// A [`Context`] on the wire.
#[derive(Serialize)]
struct ContextText<'a> {
    context: &'a str,
    pressure_score: f64,
    risk: &'static str,
    stability: &'static str,
    tags: &'a [Cow<'static, str>],
}

impl Context {
    /// What follows from what an event was read as: the same again, whatever
    /// events are read as by now.
    pub fn of(
        kind: &str,
        context: Arc<str>,
        risk: Risk,
        pressure_score: f64,
        signals: &Signals,
    ) -> Self {
        let stability = Stability::of(pressure_score);
        Self { risk, stability, context, pressure_score, tags: tags(kind, risk, signals) }
    }

    /// As it stands on the wire.
    pub fn to_json(&self) -> String {
        let text = ContextText {
            context: &self.context,
            pressure_score: self.pressure_score,
            risk: self.risk.as_str(),
            stability: self.stability.as_str(),
            tags: &self.tags,
        };
        serde_json::to_string(&text).unwrap_or_default()
    }
}
