//! A signal over time: a mean in which the past fades, by the time that has
//! really passed, so that a look that came late or not at all matters little.

use std::time::Duration;

/// Processor time is used in bursts: what lasts for less than this is one.
pub(super) const CPU: Duration = Duration::from_secs(15);
/// Memory changes slowly, and its end comes fast.
pub(super) const MEMORY: Duration = Duration::from_secs(5);
/// The kernel has smoothed these already, over ten seconds.
pub(super) const STALLS: Duration = Duration::from_secs(5);
/// Sensors in a chip jump by a few degrees with every burst.
pub(super) const TEMPERATURE: Duration = Duration::from_secs(10);
/// Nothing to smooth.
pub(super) const DISK: Duration = Duration::ZERO;

/// A signal that can't be read is remembered for so long: one failed read of
/// a sensor is no news.
pub(super) const REMEMBERED: Duration = Duration::from_secs(30);

/// One signal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Smoothed {
    span: Duration,
    /// It is taken to have been zero before the first look.
    from_zero: bool,
    mean: f64,
    /// How much of the mean has been seen; zero before the first look.
    seen: f64,
    missing: Duration,
}

impl Smoothed {
    /// What is seen first is how it is: for what the machine has at a moment.
    pub const fn new(span: Duration) -> Self {
        Self { span, from_zero: false, mean: 0.0, seen: 0.0, missing: Duration::ZERO }
    }

    /// It counts for as much as has been seen of it: for what is used over
    /// time, of which a first look, at an agent that has just been started,
    /// says little.
    pub const fn counted_from_zero(span: Duration) -> Self {
        Self { from_zero: true, ..Self::new(span) }
    }

    /// A look, so long after the one before.
    pub fn take(&mut self, value: Option<f64>, elapsed: Duration) {
        let Some(value) = value else {
            self.missing = self.missing.saturating_add(elapsed);
            if self.missing > REMEMBERED {
                (self.mean, self.seen) = (0.0, 0.0);
            }
            return;
        };
        let missing = std::mem::take(&mut self.missing);
        let is_first = self.seen <= 0.0;
        // The time in which it was missing has passed, too.
        let elapsed = if is_first { elapsed } else { elapsed.saturating_add(missing) };
        let fresh = if self.span.is_zero() || (is_first && !self.from_zero) {
            1.0
        } else {
            1.0 - faded(elapsed.as_secs_f64() / self.span.as_secs_f64())
        };
        self.mean += fresh * (value - self.mean);
        self.seen += fresh * (1.0 - self.seen);
    }

    /// How it is, as far as it was seen.
    pub fn told(&self) -> Option<f64> {
        (self.seen > 0.0).then(|| self.mean / self.seen)
    }

    /// What counts of it.
    pub fn counted(&self) -> Option<f64> {
        (self.seen > 0.0).then_some(self.mean)
    }
}

/// What is left of 1 after so many spans: e to the power of minus `spans`.
///
/// By hand, since the C library's brings its tables into memory with it: more
/// than all else about sensors takes.
fn faded(spans: f64) -> f64 {
    /// Where the series is taken is so much nearer to zero.
    const HALVINGS: i32 = 6;
    let x = spans / f64::from(1 << HALVINGS);
    let mut grown = 1.0 + x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0))));
    for _ in 0..HALVINGS {
        grown *= grown;
    }
    // After very long it is infinite, and nothing is left.
    1.0 / grown
}

#[cfg(test)]
mod tests {
    use super::faded;

    #[test]
    fn what_fades_fades_like_the_real_one() {
        for spans in [0.0, 1e-9, 0.01, 0.3333, 1.0, 2.0, 5.0, 20.0, 1e3, 1e30, f64::INFINITY] {
            let (ours, real) = (faded(spans), (-spans).exp());
            assert!((ours - real).abs() < 1e-9, "{spans}: {ours} and {real}");
        }
    }
}
