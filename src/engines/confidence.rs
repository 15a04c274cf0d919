//! How likely it is that acting is right: evidence, calibrated by outcomes.
//!
//! ```text
//!  signals ──► base ──· caution of the risk ──► q ──► σ(a·logit q + b) ──► final
//!                                                        ▲
//!                                 outcomes ── learn ── (a, b)
//! ```
//!
//! The calibration is Platt's, learnt online: one step of gradient descent on
//! the logarithmic loss for each outcome (J. Platt, "Probabilistic outputs for
//! support vector machines", 1999, is the shape; the steps are the design's).
//! It starts at (1, 0), which changes nothing, and drifts back there while no
//! outcome comes: what was learnt in another season is worth less.
//!
//! Asking changes nothing, however often.
//!
//! # Does it mean anything?
//!
//! `tests/engines/worlds.rs` makes worlds in which the truth is known: success
//! depends on evidence by a curve that no one is told and that is another one
//! from half-time on. There the confidence comes within a few per cent of one
//! who knows the truth, in Brier score and in cost; `cargo bench --bench
//! calibration` measures it and draws this life, the middle one of a thousand
//! (one and the same event, asked about again and again):
//!
#![doc = include_str!("../../docs/calibration.svg")]

use std::time::Duration;

use crate::clock::Age;

use super::context::{Risk, Signals, Weights};

/// What is believed of an event without signals.
const BASE_UNKNOWN: f64 = 0.5;
/// By how much evidence is discounted, by risk.
pub const CAUTION: [f64; 4] = [1.00, 0.95, 0.90, 0.80];
/// Nothing is ever certain: the least and the most a confidence may be.
pub const SURE: (f64, f64) = (0.02, 0.98);
/// With fewer outcomes of its own, a context goes by those of all contexts.
pub const OUTCOMES_TRUSTED: u64 = 5;
/// What is learnt fades by half in this time without an outcome.
pub const HALF_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A confidence is told in steps of 1 / 10¹².
const DIGITS: f64 = 1e12;

/// The step of the slope, its bounds, and the step of the offset.
const SLOPE_STEP: f64 = 0.03;
const SLOPE_BOUNDS: (f64, f64) = (0.1, 3.0);
const OFFSET_STEP: f64 = 0.1;

/// What was learnt about one kind of decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// The slope.
    pub a: f64,
    /// The offset.
    pub b: f64,
    /// From so many outcomes.
    pub outcomes: u64,
    /// When the last of them came, in adrt's own count of time.
    pub last: Age,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { a: 1.0, b: 0.0, outcomes: 0, last: Age::default() }
    }
}

impl Calibration {
    /// What is left of it at that time, 0 to 1.
    pub fn weight(&self, now: Age) -> f64 {
        if self.outcomes == 0 {
            return 1.0;
        }
        (-(now.since(self.last).as_secs_f64() / HALF_LIFE.as_secs_f64())).exp2()
    }

    /// As it is at that time: drifted back towards (1, 0).
    pub fn at(&self, now: Age) -> Self {
        let weight = self.weight(now);
        // Written so that a weight of 1 leaves it as it is, to the last bit.
        Self { a: self.a * weight + (1.0 - weight), b: self.b * weight, ..*self }
    }

    /// The confidence it makes of evidence. It has been brought to the present
    /// by [`Calibration::at`].
    ///
    /// Rounded to 12 digits: a severity of 0.2 at a threshold of 0.2 is not to
    /// wait for a person because there and back the last bit was lost.
    pub fn apply(&self, q: f64) -> f64 {
        sure((sigmoid(self.a * logit(q) + self.b) * DIGITS).round() / DIGITS)
    }

    /// The evidence that it made this confidence of.
    pub fn evidence_of(&self, confidence: f64) -> f64 {
        sure(sigmoid((logit(sure(confidence)) - self.b) / self.a))
    }

    /// Learns how it went when `q` was the evidence.
    #[must_use]
    pub fn learn(&self, q: f64, success: bool, now: Age) -> Self {
        let Self { a, b, .. } = self.at(now);
        let x = logit(sure(q));
        let error = sigmoid(a * x + b) - f64::from(u8::from(success));
        let (least, most) = SLOPE_BOUNDS;
        Self {
            a: (a - SLOPE_STEP * error * x).clamp(least, most),
            b: b - OFFSET_STEP * error,
            outcomes: self.outcomes.saturating_add(1),
            last: now.max(self.last),
        }
    }
}

/// The calibration that serves: that of the context if it has seen enough, else
/// that of all contexts.
pub fn serving<'a>(
    own: Option<&'a Calibration>,
    all: Option<&'a Calibration>,
) -> (Option<&'a Calibration>, Scope) {
    match own.filter(|own| own.outcomes >= OUTCOMES_TRUSTED) {
        Some(own) => (Some(own), Scope::Context),
        None => (all, Scope::All),
    }
}

/// Whose outcomes a confidence goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of this context and risk.
    Context,
    /// Those of this risk, in all contexts.
    All,
}

impl Scope {
    /// Its name in what is kept.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::All => "*",
        }
    }
}

/// A confidence, with how it came about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confidence {
    /// The probability that acting is right.
    pub value: f64,
    /// What the signals say, 0 to 1.
    pub base: f64,
    /// What it is multiplied by for the sake of the risk.
    pub context_adjustment: f64,
    /// The evidence, after caution: what is calibrated.
    pub q: f64,
    /// What the outcomes so far make of it: `value / q`.
    pub history_weight: f64,
    /// What is left of what was learnt, 0 to 1.
    pub decay_factor: f64,
    /// The calibration as it was applied.
    pub calibration: Calibration,
    /// Whose it is.
    pub scope: Scope,
}

/// What the signals that are there say: Σ wᵢxᵢ / Σ wᵢ, or a half if none is.
pub fn evidence(weights: &Weights, signals: &Signals) -> f64 {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (w, x) in weights.in_order().into_iter().zip(signals.normalised()) {
        if let Some(x) = x {
            sum += w * x;
            weight += w;
        }
    }
    if weight > 0.0 { sum / weight } else { BASE_UNKNOWN }
}

/// The confidence in acting on an event, by the calibrations of its context
/// and of all contexts.
///
/// ```
/// use adrt::clock::Age;
/// use adrt::engines::confidence::calculate;
/// use adrt::engines::context::{Risk, Signals, Weights};
///
/// let signals = Signals::of_event(r#"{"cpu":94,"memory":88,"severity":0.82}"#)?;
/// let fresh = calculate(&Weights::default(), &signals, Risk::High, None, None, Age::default());
/// assert_eq!(format!("{:.2}", fresh.value), "0.78");
/// # Ok::<(), adrt::engines::context::SignalError>(())
/// ```
pub fn calculate(
    weights: &Weights,
    signals: &Signals,
    risk: Risk,
    own: Option<&Calibration>,
    all: Option<&Calibration>,
    now: Age,
) -> Confidence {
    let base = evidence(weights, signals);
    let context_adjustment = caution(risk);
    let q = sure(base * context_adjustment);
    let (serving, scope) = serving(own, all);
    let kept = serving.copied().unwrap_or_default();
    let calibration = kept.at(now);
    let value = calibration.apply(q);
    Confidence {
        value,
        base,
        context_adjustment,
        q,
        history_weight: value / q,
        decay_factor: kept.weight(now),
        calibration,
        scope,
    }
}

/// What evidence is multiplied by at a risk.
pub const fn caution(risk: Risk) -> f64 {
    let [low, medium, high, critical] = CAUTION;
    match risk {
        Risk::Low => low,
        Risk::Medium => medium,
        Risk::High => high,
        Risk::Critical => critical,
    }
}

fn sure(p: f64) -> f64 {
    p.clamp(SURE.0, SURE.1)
}

/// ln(p / (1 − p)).
fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
