//! The environment: what the machine's sensors say, as one number and a level.
//!
//! ```text
//!  Sample ──► smoothed ──► strain of each signal ──► score, the greatest ──► Level
//!  (sensors)  (smooth)     (strain: the bounds)
//! ```
//!
//! Invariants:
//! - the score is in [0, 1] whatever a sensor says, never NaN, and rises with
//!   each signal;
//! - a level is entered when the score reaches its bound, and left when the
//!   score has stayed below that by [`GAP`] for [`HOLD`]: a score that swings
//!   around a bound changes the level once;
//! - a signal that the machine does not have is null and adds nothing.
//!
//! Not here: how sensors are read, and what a level leads to.

mod smooth;
mod strain;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use smooth::Smoothed;
pub use strain::THROTTLES_AT;

/// So far below its bound a score must fall for its level to be left: the
/// noise of a steady load stays within it.
pub const GAP: f64 = 0.05;
/// And for so long: a load that comes and goes every few seconds is one load.
pub const HOLD: Duration = Duration::from_secs(30);

/// How much of [`HOLD`] one sample stands for at the most: of a time in which
/// nobody looked, one look says nothing.
const HOLD_SHARE: u32 = 2;

/// How hard pressed the machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Level {
    /// There is room for all.
    #[default]
    Calm,
    /// It is well used.
    Elevated,
    /// Work waits, or will soon.
    High,
    /// It will end badly if nothing is done: out of memory, too hot, disk full.
    Critical,
}

impl Level {
    /// All of them, rising.
    pub const ALL: [Self; 4] = [Self::Calm, Self::Elevated, Self::High, Self::Critical];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Elevated => "elevated",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The level of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }

    /// The score at which it begins.
    pub const fn bound(self) -> f64 {
        match self {
            Self::Calm => 0.0,
            Self::Elevated => 0.40,
            Self::High => 0.65,
            Self::Critical => 0.85,
        }
    }

    /// The highest whose bound, lowered by so much, the score reaches.
    fn reached(score: f64, lowered: f64) -> Self {
        let reached = Self::ALL.into_iter().rfind(|level| score >= level.bound() - lowered);
        reached.unwrap_or_default()
    }
}

/// One look at all sensors. What is missing could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// The share of processor time that may be used and was, 0 to 1.
    pub cpu: Option<f64>,
    /// The share of memory that may be used and is, 0 to 1.
    pub memory: Option<f64>,
    /// Pressure stall information.
    pub psi: Stalls,
    /// The temperature of the part nearest to its limit, in °C.
    pub temperature: Option<f64>,
    /// Where that part is slowed down, in °C; [`THROTTLES_AT`] if nobody knows.
    pub throttles_at: Option<f64>,
    /// The share of the state directory's disk that is used, 0 to 1.
    pub disk: Option<f64>,
    /// Bytes free there.
    pub disk_free: Option<f64>,
}

/// Shares of time, 0 to 1, in which work stood still for want of something.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stalls {
    /// Some task waited for a processor.
    pub cpu: Option<f64>,
    /// Some task waited for memory.
    pub memory: Option<f64>,
    /// All tasks waited for a disk.
    pub io: Option<f64>,
}

/// What is told of one kind of sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Stalls.
    Psi,
    /// Heat.
    Temperature,
    /// Room on the disk.
    Disk,
}

impl Signal {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Psi => "psi",
            Self::Temperature => "temperature",
            Self::Disk => "disk",
        }
    }
}

/// The signals, smoothed, as they are told; null for what the machine does not
/// have.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Signals {
    /// As in [`Sample`].
    pub cpu: Option<f64>,
    /// As in [`Sample`].
    pub memory: Option<f64>,
    /// The greatest of [`Stalls`].
    pub psi: Option<f64>,
    /// As in [`Sample`].
    pub temperature: Option<f64>,
    /// As in [`Sample`].
    pub disk: Option<f64>,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Environment {
    cpu: Smoothed,
    memory: Smoothed,
    stalled_cpu: Smoothed,
    stalled_memory: Smoothed,
    stalled_io: Smoothed,
    temperature: Smoothed,
    /// By how much the temperature is above its limit.
    excess: Smoothed,
    disk: Smoothed,
    disk_free: Smoothed,
    score: f64,
    worst: Option<Signal>,
    level: Level,
    /// The score is too low for the level.
    quiet: Quiet,
}

/// How long it has been too low, and the highest it was meanwhile.
#[derive(Debug, Clone, Copy, Default)]
struct Quiet {
    passed: Duration,
    peak: f64,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            cpu: Smoothed::counted_from_zero(smooth::CPU),
            memory: Smoothed::new(smooth::MEMORY),
            stalled_cpu: Smoothed::new(smooth::STALLS),
            stalled_memory: Smoothed::new(smooth::STALLS),
            stalled_io: Smoothed::new(smooth::STALLS),
            temperature: Smoothed::new(smooth::TEMPERATURE),
            excess: Smoothed::new(smooth::TEMPERATURE),
            disk: Smoothed::new(smooth::DISK),
            disk_free: Smoothed::new(smooth::DISK),
            score: 0.0,
            worst: None,
            level: Level::default(),
            quiet: Quiet::default(),
        }
    }
}

impl Environment {
    /// One more look, so long after the one before. Gives the new level, if
    /// it is another one.
    pub fn take(&mut self, sample: &Sample, elapsed: Duration) -> Option<Level> {
        let limit = sample.throttles_at.filter(|at| at.is_finite()).unwrap_or(THROTTLES_AT);
        let temperature = bounded(sample.temperature, -100.0, 200.0);
        self.cpu.take(share(sample.cpu), elapsed);
        self.memory.take(share(sample.memory), elapsed);
        self.stalled_cpu.take(share(sample.psi.cpu), elapsed);
        self.stalled_memory.take(share(sample.psi.memory), elapsed);
        self.stalled_io.take(share(sample.psi.io), elapsed);
        self.temperature.take(temperature, elapsed);
        self.excess.take(temperature.map(|degrees| degrees - limit), elapsed);
        self.disk.take(share(sample.disk), elapsed);
        self.disk_free.take(bounded(sample.disk_free, 0.0, f64::MAX), elapsed);
        let strains = self.strains();
        let worst = strains.into_iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
        self.score = worst.map_or(0.0, |(_, strain)| strain);
        self.worst = worst.filter(|(_, strain)| *strain > 0.0).map(|(signal, _)| signal);
        self.settle(elapsed)
    }

    /// What each signal adds.
    fn strains(&self) -> [(Signal, f64); 5] {
        let of = |curve, signal: &Smoothed| {
            signal.counted().map_or(0.0, |value| strain::at(curve, value))
        };
        let stalls = [
            of(strain::STALLED_CPU, &self.stalled_cpu),
            of(strain::STALLED_MEMORY, &self.stalled_memory),
            of(strain::STALLED_IO, &self.stalled_io),
        ];
        // A large disk has room when it is 95 % full, a small one never has
        // much: it is short of room if both say so.
        let free = self.disk_free.counted().map(|free| strain::at(strain::DISK_FREE, -free));
        let disk = of(strain::DISK, &self.disk).min(free.unwrap_or(1.0));
        [
            (Signal::Cpu, of(strain::CPU, &self.cpu)),
            (Signal::Memory, of(strain::MEMORY, &self.memory)),
            (Signal::Psi, stalls.into_iter().fold(0.0, f64::max)),
            (Signal::Temperature, of(strain::EXCESS, &self.excess)),
            (Signal::Disk, disk),
        ]
    }

    fn settle(&mut self, elapsed: Duration) -> Option<Level> {
        let reached = Level::reached(self.score, 0.0);
        if reached > self.level {
            return Some(self.enter(reached));
        }
        if self.score >= self.level.bound() - GAP {
            self.quiet = Quiet::default();
            return None;
        }
        self.quiet.passed += elapsed.min(HOLD / HOLD_SHARE);
        self.quiet.peak = self.quiet.peak.max(self.score);
        if self.quiet.passed < HOLD {
            return None;
        }
        Some(self.enter(Level::reached(self.quiet.peak, GAP)))
    }

    fn enter(&mut self, level: Level) -> Level {
        self.quiet = Quiet::default();
        self.level = level;
        level
    }

    /// How hard pressed the machine is.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The strain of the signal that is worst, 0 to 1.
    pub const fn score(&self) -> f64 {
        self.score
    }

    /// Which that is; none when there is no strain.
    pub const fn worst(&self) -> Option<Signal> {
        self.worst
    }

    /// The signals.
    pub fn signals(&self) -> Signals {
        let stalls = [&self.stalled_cpu, &self.stalled_memory, &self.stalled_io];
        Signals {
            cpu: self.cpu.told(),
            memory: self.memory.told(),
            psi: stalls.into_iter().filter_map(Smoothed::told).reduce(f64::max),
            temperature: self.temperature.told(),
            disk: self.disk.told(),
        }
    }

    /// `{"level":…,"score":…,"signals":{…}}`, as on the wire.
    pub fn to_json(&self) -> String {
        format!(
            "{{\"level\":\"{}\",\"score\":{:?},\"signals\":{}}}",
            self.level.as_str(),
            rounded(self.score, SHARE_DIGITS),
            self.signals().to_json()
        )
    }

    /// The signals that there are, for people, the worst first.
    pub fn in_words(&self) -> String {
        let Signals { cpu, memory, psi, temperature, disk } = self.signals();
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let mut words = [
            (Signal::Memory, memory.map(|share| format!("memory {}", percent(share)))),
            (Signal::Cpu, cpu.map(|share| format!("cpu {}", percent(share)))),
            (Signal::Psi, psi.map(|share| format!("stalled {} of the time", percent(share)))),
            (Signal::Temperature, temperature.map(|degrees| format!("{degrees:.0} °C"))),
            (Signal::Disk, disk.map(|share| format!("disk {}", percent(share)))),
        ];
        words.sort_by_key(|(signal, _)| Some(*signal) != self.worst);
        let words: Vec<String> = words.into_iter().filter_map(|(_, text)| text).collect();
        words.join(", ")
    }
}

/// Digits told of a share, and of a temperature.
const SHARE_DIGITS: i32 = 3;
const DEGREE_DIGITS: i32 = 1;

impl Signals {
    /// As they are told: nobody needs the last digits.
    #[must_use]
    pub fn rounded(&self) -> Self {
        let share = |value: Option<f64>| value.map(|value| rounded(value, SHARE_DIGITS));
        Self {
            cpu: share(self.cpu),
            memory: share(self.memory),
            psi: share(self.psi),
            temperature: self.temperature.map(|degrees| rounded(degrees, DEGREE_DIGITS)),
            disk: share(self.disk),
        }
    }

    /// One object; what is missing is null.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.rounded()).unwrap_or_default()
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    // No -0.0: it is no number to tell.
    (value * scale).round() / scale + 0.0
}

fn share(value: Option<f64>) -> Option<f64> {
    bounded(value, 0.0, 1.0)
}

/// What a sensor may say; the rest is nonsense, or at the bound.
fn bounded(value: Option<f64>, least: f64, most: f64) -> Option<f64> {
    value.filter(|value| value.is_finite()).map(|value| value.clamp(least, most))
}
