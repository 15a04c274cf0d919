//! Does the confidence mean anything? In worlds in which the truth is known,
//! how far it is from one who knows it, and what is beside it: evidence that
//! never learns, and weighing by history.
//!
//! The worlds are those of `tests/engines/worlds.rs`, a thousand for each risk,
//! each with another curve from evidence to success that changes at half-time;
//! the formulas beside ours are in `tests/engines/rivals.rs`. The Brier score
//! and the cost are over the best possible, and on average over the risks:
//! 1 is to know the truth. Goals: 1.06 and 1.05, also where each of several
//! contexts learns by itself. What comes after them has no goal: shorter and
//! longer lives, outcomes that are rare or never told.
//!
//! It draws one of the worlds, the middle one of those at high risk by our own
//! score, into `docs/calibration.svg`.
//!
//! `cargo bench --bench calibration`

#![expect(clippy::disallowed_methods, reason = "what benches share starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

#[path = "calibration/plot.rs"]
mod plot;
#[path = "../tests/engines/rivals.rs"]
mod rivals;
#[expect(dead_code, reason = "the test uses the rest")]
#[path = "../tests/engines/worlds.rs"]
mod worlds;

use std::io;

use adrt::engines::context::Risk;

use support::report::Report;
use worlds::{BETWEEN_MS, Events, Plan, Tally, Told, Who, live};

/// Worlds for each risk.
const WORLDS: u64 = 1_000;
const BRIER_GOAL: f64 = 1.06;
const COST_GOAL: f64 = 1.05;

/// Brier score and cost over the best possible, on average over the risks.
fn figures(plan: &Plan, who: Who) -> (f64, f64) {
    let (mut brier, mut cost) = (0.0, 0.0);
    for risk in Risk::ALL {
        let mut all = Tally::default();
        for seed in 0..WORLDS {
            all.add(&live(seed, risk, plan, who, |_| ()));
        }
        brier += all.brier() / 4.0;
        cost += all.cost() / 4.0;
    }
    (brier, cost)
}

/// All who are tried, in worlds of a plan with a goal.
fn with_goal(report: &mut Report, name: &str, plan: &Plan) {
    let (brier, cost) = figures(plan, Who::Ours);
    report.at_most(&format!("{name}_brier"), brier, "", BRIER_GOAL);
    report.at_most(&format!("{name}_cost"), cost, "", COST_GOAL);
    for (who, of) in [
        (Who::OursWithoutContext, "no_context"),
        (Who::Raw, "evidence"),
        (Who::Published, "published"),
        (Who::Weighted, "weighted"),
    ] {
        if who == Who::OursWithoutContext && plan.contexts == 1 {
            continue;
        }
        let (brier, cost) = figures(plan, who);
        report.number(&format!("{name}_brier_{of}"), brier, "");
        report.number(&format!("{name}_cost_{of}"), cost, "");
    }
}

fn main() -> io::Result<()> {
    let mut report = Report::new("calibration");
    let usual = Plan::default();
    with_goal(&mut report, "one", &usual);
    with_goal(&mut report, "four", &Plan { contexts: 4, ..usual });
    for (name, plan) in [
        ("outcomes_100", Plan { outcomes: 100, ..usual }),
        ("outcomes_250", Plan { outcomes: 250, ..usual }),
        ("outcomes_2000", Plan { outcomes: 2_000, ..usual }),
        ("one_an_hour", Plan { between_ms: BETWEEN_MS * 6.0, ..usual }),
        ("one_a_day", Plan { between_ms: BETWEEN_MS * 144.0, ..usual }),
        ("half_approved", Plan { told: Told::Approved(0.5), ..usual }),
        ("none_approved", Plan { told: Told::Approved(0.0), ..usual }),
        ("any_event", Plan { events: Events::Any, ..usual }),
    ] {
        let (brier, cost) = figures(&plan, Who::Ours);
        report.number(&format!("{name}_brier"), brier, "");
        report.number(&format!("{name}_cost"), cost, "");
    }
    report.number("plotted_seed", plot::draw(&usual, WORLDS)? as f64, "");
    report.finish();
    Ok(())
}
