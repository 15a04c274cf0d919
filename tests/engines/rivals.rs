//! What adrt's confidence is held against.

use adrt::engines::confidence::{SURE, caution, evidence};
use adrt::engines::context::{Risk, Weights};

use super::worlds::{Case, Judge};

/// Evidence after caution, as adrt starts with it.
fn q(event: &Case) -> f64 {
    let q = evidence(&Weights::default(), &event.signals) * caution(event.risk);
    q.clamp(SURE.0, SURE.1)
}

/// Evidence, and no learning.
pub struct Raw;

impl Judge for Raw {
    fn confidence(&self, event: &Case) -> f64 {
        q(event)
    }

    fn learn(&mut self, _event: &Case, _success: bool) {}
}

/// What is left of an outcome's weight after the next one.
const FADES: f64 = 0.95;

/// "Adaptive probability scoring, weighted by history": the formula of the
/// article that adrt grew out of. It names the parts (a base, the risk's
/// adjustment, a weight by history, decay) and not the numbers, so this is our
/// reading of it:
///
/// score = base · caution · (½ + s), clamped as ours is, where s is the share
/// of successes at this risk, older outcomes counting ever less, and a half at
/// first: a history of as many failures as successes changes nothing.
///
/// The article also says that history moves the *threshold*. Dividing the
/// threshold by the weight is the same decision as multiplying the score by
/// it, so one reading serves for both.
#[derive(Default)]
pub struct Published {
    rates: [Rate; 4],
}

#[derive(Clone, Copy, Default)]
struct Rate {
    sum: f64,
    weight: f64,
}

impl Rate {
    /// With so much weight given to that value at first.
    fn from(self, value: f64, weight: f64) -> f64 {
        (self.sum + value * weight) / (self.weight + weight)
    }

    fn add(&mut self, value: f64) {
        self.sum = self.sum * FADES + value;
        self.weight = self.weight * FADES + 1.0;
    }
}

impl Judge for Published {
    fn confidence(&self, event: &Case) -> f64 {
        let success = self.rates[event.risk.index()].from(0.5, 1.0);
        (q(event) * (0.5 + success)).clamp(SURE.0, SURE.1)
    }

    fn learn(&mut self, event: &Case, success: bool) {
        self.rates[event.risk.index()].add(f64::from(u8::from(success)));
    }
}

/// The most that weighing by history could do, so that nobody can say the
/// reading above was an unkind one: the weight is the share of successes over
/// the mean of the evidence, so that the scores are right on average.
#[derive(Default)]
pub struct Weighted {
    successes: [Rate; 4],
    evidence: [Rate; 4],
}

impl Weighted {
    fn weight(&self, risk: Risk) -> f64 {
        let at = risk.index();
        self.successes[at].from(0.5, 1.0) / self.evidence[at].from(0.5, 1.0)
    }
}

impl Judge for Weighted {
    fn confidence(&self, event: &Case) -> f64 {
        (q(event) * self.weight(event.risk)).clamp(SURE.0, SURE.1)
    }

    fn learn(&mut self, event: &Case, success: bool) {
        let at = event.risk.index();
        self.successes[at].add(f64::from(u8::from(success)));
        self.evidence[at].add(q(event));
    }
}
