//! The signals an event carries: five numbers, any of which may be missing.

use std::fmt;
use std::ops::ControlFlow;

use crate::json;

/// The latency, in milliseconds, that counts in full; a higher one counts no
/// more.
pub const LATENCY_FULL_MS: f64 = 5000.0;

/// The members of an event that adrt reads as signals, in their order.
const NAMES: [&str; 5] = ["severity", "cpu", "memory", "error_rate", "latency_ms"];
/// The greatest each may be.
const MOST: [f64; 5] = [1.0, 100.0, 100.0, 1.0, f64::MAX];
/// What each is divided by.
const FULL: [f64; 5] = [1.0, 100.0, 100.0, 1.0, LATENCY_FULL_MS];

/// What an event says in numbers, as it says it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Signals {
    /// How grave its sender finds it, 0 to 1.
    pub severity: Option<f64>,
    /// Processor use in per cent.
    pub cpu: Option<f64>,
    /// Memory use in per cent.
    pub memory: Option<f64>,
    /// The share of requests that fail, 0 to 1.
    pub error_rate: Option<f64>,
    /// How long a request takes, in milliseconds.
    pub latency_ms: Option<f64>,
}

/// A signal that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalError {
    /// The event's member; empty if it is no object at all.
    pub member: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for SignalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.member {
            "" => write!(f, "the event {}", self.reason),
            member => write!(f, "\"{member}\" {}", self.reason),
        }
    }
}

impl std::error::Error for SignalError {}

impl Signals {
    /// Reads an event's signals from its JSON text. Null is missing.
    ///
    /// # Errors
    /// A signal that is no number within its range, by name: a sensor that
    /// says `"high"` must not become a zero.
    pub fn of_event(text: &str) -> Result<Self, SignalError> {
        let mut found: [Option<&str>; 5] = [None; 5];
        let mut twice = None;
        let scanned = json::each_member(text, |key, value| {
            let name = json::decode(key);
            let place = NAMES.iter().position(|known| known.as_bytes() == &*name);
            if let Some(place) = place
                && let Some(slot) = found.get_mut(place)
                && slot.replace(value).is_some()
            {
                twice = NAMES.get(place).copied();
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        if let Some(member) = twice {
            return Err(SignalError { member, reason: "stands twice in the event".into() });
        }
        if scanned.is_err() {
            return Err(SignalError { member: "", reason: "is no JSON object".into() });
        }
        let mut read = [None; 5];
        for (place, slot) in read.iter_mut().enumerate() {
            let (Some(member), Some(most)) = (NAMES.get(place), MOST.get(place)) else { continue };
            *slot = number(member, found.get(place).copied().flatten(), *most)?;
        }
        let [severity, cpu, memory, error_rate, latency_ms] = read;
        Ok(Self { severity, cpu, memory, error_rate, latency_ms })
    }

    /// With their names, in the order in which they are summed.
    pub const fn named(&self) -> [(&'static str, Option<f64>); 5] {
        let [severity, cpu, memory, error_rate, latency_ms] = NAMES;
        [
            (severity, self.severity),
            (cpu, self.cpu),
            (memory, self.memory),
            (error_rate, self.error_rate),
            (latency_ms, self.latency_ms),
        ]
    }

    /// Each as a share of its full value, 0 to 1, in the order in which they
    /// are summed.
    pub fn normalised(&self) -> [Option<f64>; 5] {
        let mut all = self.named().map(|(_, value)| value);
        for (value, full) in all.iter_mut().zip(FULL) {
            *value = value.map(|value| (value / full).clamp(0.0, 1.0));
        }
        all
    }
}

/// A number from 0 to `most`, if the member is there and not null.
fn number(member: &'static str, text: Option<&str>, most: f64) -> Result<Option<f64>, SignalError> {
    let Some(text) = text.map(str::trim).filter(|text| *text != "null") else { return Ok(None) };
    let wrong = |reason: String| SignalError { member, reason };
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let value = is_number.then(|| text.parse::<f64>().ok()).flatten();
    let range = if most == f64::MAX { "0 or more".into() } else { format!("from 0 to {most}") };
    match value {
        None => Err(wrong(format!("must be a number {range}, or null"))),
        Some(value) if value.is_finite() && (0.0..=most).contains(&value) => Ok(Some(value.abs())),
        Some(_) => Err(wrong(format!("must be {range}"))),
    }
}
