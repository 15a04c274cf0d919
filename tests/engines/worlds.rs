//! Worlds in which success depends on evidence by a curve that nobody knows,
//! to hold the calibration against one who knows it.
//!
//! ```text
//!  signals ── Reading::risk ──► only those of the risk in question
//!     └── evidence ── unknown rising curve ──► p ──► outcome
//!                      (another one from half-time on)
//! ```
//!
//! What is measured is what is expected given p, so that luck plays no part in
//! it: the Brier score p(1 − c)² + (1 − p)c² of a confidence c, and the cost of
//! acting (1 − p) where c reaches the threshold t, of asking (1 − t) where it
//! does not. The best possible has c = p. All of it comes from a seed.

use adrt::clock::Age;
use adrt::engines::confidence::{Calibration, calculate, evidence};
use adrt::engines::context::{Reading, Risk, Signals, Weights};
use adrt::engines::decision::Thresholds;
use fastrand::Rng;

use super::rivals::{Published, Raw, Weighted};

/// Time between two outcomes, on average.
pub const BETWEEN_MS: f64 = 10.0 * 60.0 * 1000.0;

/// How success depends on evidence: rising, and unknown to all but the world.
#[derive(Debug, Clone, Copy)]
pub enum Curve {
    /// σ(slope · logit x + offset): the shape that the calibration can learn
    /// to the full.
    Logistic { slope: f64, offset: f64 },
    /// low + (high − low) · x^power.
    Power { low: f64, high: f64, power: f64 },
    /// Straight lines through these, at 0, ¼, ½, ¾ and 1.
    Lines([f64; 5]),
}

impl Curve {
    fn random(rng: &mut Rng) -> Self {
        let mut within = |least: f64, most: f64| least + (most - least) * rng.f64();
        let kind = within(0.0, 3.0);
        if kind < 1.0 {
            let slope = within(-1.0, 1.0).exp2();
            return Self::Logistic { slope, offset: within(-1.5, 1.5) };
        }
        if kind < 2.0 {
            let (low, high) = (within(0.02, 0.5), within(0.5, 0.98));
            return Self::Power { low, high, power: within(-1.5, 1.5).exp2() };
        }
        let mut knots = [0.0; 5].map(|_: f64| within(0.02, 0.98));
        knots.sort_by(f64::total_cmp);
        Self::Lines(knots)
    }

    /// The probability of success.
    pub fn at(&self, x: f64) -> f64 {
        let p = match *self {
            Self::Logistic { slope, offset } => {
                let x = x.clamp(0.001, 0.999);
                1.0 / (1.0 + (-(slope * (x / (1.0 - x)).ln() + offset)).exp())
            }
            Self::Power { low, high, power } => low + (high - low) * x.powf(power),
            Self::Lines(knots) => {
                let place = (x * 4.0).min(3.999);
                let at = place as usize;
                knots[at] + (knots[at + 1] - knots[at]) * (place - at as f64)
            }
        };
        p.clamp(0.01, 0.99)
    }
}

/// An event's signals: a hidden trouble, of which each sensor that is there
/// shows something.
fn signals(rng: &mut Rng) -> Signals {
    let trouble = rng.f64();
    let mut shown = |full: f64| {
        let value = (trouble + 0.4 * (rng.f64() - 0.5)).clamp(0.0, 1.0);
        (rng.f64() < 0.8).then_some(value * full)
    };
    Signals {
        severity: shown(1.0),
        cpu: shown(100.0),
        memory: shown(100.0),
        error_rate: shown(1.0),
        latency_ms: shown(5000.0),
    }
}

/// What kinds of events there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// Those that the context engine gives the risk in question.
    OfTheRisk,
    /// Any: a caller may name the risk by itself.
    Any,
}

/// Which outcomes are told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Told {
    /// All.
    All,
    /// Those of what was done at once, and of this share of the rest: a person
    /// has approved it.
    Approved(f64),
}

/// How a world is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Outcomes of each context; the curves are others after half of them.
    pub outcomes: usize,
    /// Contexts, each with curves of its own.
    pub contexts: usize,
    /// Time between two outcomes, on average.
    pub between_ms: f64,
    /// See there.
    pub events: Events,
    /// See there.
    pub told: Told,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            outcomes: 500,
            contexts: 1,
            between_ms: BETWEEN_MS,
            events: Events::OfTheRisk,
            told: Told::All,
        }
    }
}

/// One who says how likely success is, and is told how it went.
pub trait Judge {
    /// The probability of success, as this one sees it.
    fn confidence(&self, event: &Case) -> f64;
    /// How it went.
    fn learn(&mut self, event: &Case, success: bool);
}

/// An event that is judged.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What it says.
    pub signals: Signals,
    /// At this risk.
    pub risk: Risk,
    /// Of which kind it is.
    pub context: usize,
    /// When.
    pub now: Age,
}

/// Who is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// adrt.
    Ours,
    /// adrt, with no context given.
    OursWithoutContext,
    /// Evidence, and no learning.
    Raw,
    /// The published formula, as it is read in [`Published`].
    Published,
    /// The most that a weight can do.
    Weighted,
}

impl Who {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Ours, Self::OursWithoutContext, Self::Raw, Self::Published, Self::Weighted];

    /// A fresh one.
    pub fn judge(self, contexts: usize) -> Box<dyn Judge> {
        match self {
            Self::Ours => Box::new(Ours::new(contexts)),
            Self::OursWithoutContext => Box::new(Ours::new(0)),
            Self::Raw => Box::new(Raw),
            Self::Published => Box::new(Published::default()),
            Self::Weighted => Box::new(Weighted::default()),
        }
    }
}

/// adrt's confidence engine, kept as the machine keeps it.
struct Ours {
    own: Vec<Calibration>,
    all: Calibration,
}

impl Ours {
    fn new(contexts: usize) -> Self {
        Self { own: vec![Calibration::default(); contexts], all: Calibration::default() }
    }
}

impl Judge for Ours {
    fn confidence(&self, event: &Case) -> f64 {
        let Case { signals, risk, context, now } = *event;
        let own = self.own.get(context);
        calculate(&Weights::default(), &signals, risk, own, Some(&self.all), now).value
    }

    fn learn(&mut self, event: &Case, success: bool) {
        let Case { signals, risk, context, now } = *event;
        let q = calculate(&Weights::default(), &signals, risk, None, None, now).q;
        self.all = self.all.learn(q, success, now);
        if let Some(own) = self.own.get_mut(context) {
            *own = own.learn(q, success, now);
        }
    }
}

/// What someone's confidence costs, beside what the best possible does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    brier: f64,
    brier_best: f64,
    cost: f64,
    cost_best: f64,
}

impl Tally {
    /// Counts one event.
    pub fn count(&mut self, confidence: f64, p: f64, threshold: f64) {
        let brier = |c: f64| p * (1.0 - c).powi(2) + (1.0 - p) * c.powi(2);
        let cost = |c: f64| if c >= threshold { 1.0 - p } else { 1.0 - threshold };
        self.brier += brier(confidence);
        self.brier_best += brier(p);
        self.cost += cost(confidence);
        self.cost_best += cost(p);
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.brier += other.brier;
        self.brier_best += other.brier_best;
        self.cost += other.cost;
        self.cost_best += other.cost_best;
    }

    /// The Brier score over the best possible.
    pub fn brier(&self) -> f64 {
        self.brier / self.brier_best
    }

    /// The cost over the best possible.
    pub fn cost(&self) -> f64 {
        self.cost / self.cost_best
    }
}

/// One event of a life: the truth, and what was believed.
pub struct Moment<'a> {
    /// What happened.
    pub case: Case,
    /// How likely success was.
    pub p: f64,
    /// How likely it was thought to be.
    pub confidence: f64,
    /// The curve that the world goes by now.
    pub curve: Curve,
    /// The one who is tried, who has not been told of this one yet.
    pub judge: &'a dyn Judge,
}

/// Lives through the world of a seed.
pub fn live(
    seed: u64,
    risk: Risk,
    plan: &Plan,
    who: Who,
    mut each: impl FnMut(&Moment<'_>),
) -> Tally {
    let mut rng = Rng::with_seed(seed);
    let curves: Vec<[Curve; 2]> =
        (0..plan.contexts).map(|_| [Curve::random(&mut rng), Curve::random(&mut rng)]).collect();
    let pool = pool(&mut rng, risk, plan.events);
    let threshold = Thresholds::default().of(risk);
    let mut judge = who.judge(plan.contexts);
    let mut tally = Tally::default();
    let mut ms = 0.0;
    let all = plan.outcomes * plan.contexts;
    for place in 0..all {
        let context = rng.usize(0..plan.contexts);
        ms -= plan.between_ms * (1.0 - rng.f64()).ln();
        let signals = pool[rng.usize(0..pool.len())];
        let case = Case { signals, risk, context, now: Age::from_millis(ms as u64) };
        let curve = curves[context][usize::from(place >= all / 2)];
        let p = curve.at(evidence(&Weights::default(), &signals));
        let confidence = judge.confidence(&case);
        tally.count(confidence, p, threshold);
        each(&Moment { case, p, confidence, curve, judge: &*judge });
        // Drawn for each, so that all who are tried see the same world.
        let (success, approval) = (rng.f64() < p, rng.f64());
        let told = match plan.told {
            Told::All => true,
            Told::Approved(share) => confidence >= threshold || approval < share,
        };
        if told {
            judge.learn(&case, success);
        }
    }
    tally
}

/// Events to draw from.
fn pool(rng: &mut Rng, risk: Risk, events: Events) -> Vec<Signals> {
    const EVENTS: usize = 200;
    let reading = Reading::default();
    let mut pool = Vec::with_capacity(EVENTS);
    while pool.len() < EVENTS {
        let signals = signals(rng);
        if events == Events::Any || reading.risk(&signals) == risk {
            pool.push(signals);
        }
    }
    pool
}
