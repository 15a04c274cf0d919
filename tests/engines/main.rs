//! The pure engines from outside: the numbers and tables of the design, one by
//! one and at their edges; what must hold whatever comes; a file of vectors
//! that other programs can be held against; and the calibration in worlds
//! where the truth is known.
//!
//! `ADRT_BLESS=1 cargo test --test engines` writes the vectors anew,
//! `ADRT_SEED=n` looks at the world of one seed, `ADRT_SIM_SEEDS=n` at so many.

#![expect(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod any;
mod article;
mod calibration;
mod calls;
mod confidence;
mod context;
mod explain;
mod gates;
mod golden;
mod policy;
mod rivals;
mod rules;
mod table;
#[expect(dead_code, reason = "the bench uses the rest")]
mod worlds;

use adrt::engines::context::Signals;
use adrt::engines::environment::Level;

/// An event's signals.
fn signals(event: &str) -> Signals {
    Signals::of_event(event).unwrap()
}

/// Whether two numbers are the same but for how the last digits are rounded.
fn close(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-12
}

/// All levels, rising, and by how much each raises a threshold.
const RAISED: [(Level, f64); 4] =
    [(Level::Calm, 0.0), (Level::Elevated, 0.05), (Level::High, 0.10), (Level::Critical, 0.20)];
