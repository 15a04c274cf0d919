//! How many decisions the pure engines make in a second on one processor: what
//! an event means, how sure it is, what to do.
//!
//! Events of all known types, with and without signals that are missing, at
//! every level of the machine's environment; with what was learnt about each
//! context and with none. Nothing is written and no wire is used: this is the
//! share of the engines in what a decision costs. By processor time, so that
//! other work on the machine does not count. Beside it, what has to be done in
//! any case: reading the signals from the event's text.
//!
//! The goal is a million in a second.
//!
//! `cargo bench --bench decide`

#![expect(clippy::disallowed_methods, reason = "what benches share starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::hint::black_box;
use std::io;

use adrt::clock::Age;
use adrt::engines::confidence::{Calibration, calculate};
use adrt::engines::context::{KNOWN_CONTEXTS, Signals};
use adrt::engines::decision::{Policy, Question};
use adrt::engines::environment::Level;
use fastrand::Rng;
use nix::time::{ClockId, clock_gettime};

use support::report::{Report, median};

const EVENTS: usize = 1_000;
/// Times that all events are taken in a turn.
const IN_A_TURN: usize = 50;
const TURNS: usize = 21;

/// An event, and the machine as it then is.
struct Case {
    kind: &'static str,
    text: String,
    signals: Signals,
    environment: Level,
    own: Option<Calibration>,
}

fn case(rng: &mut Rng) -> io::Result<Case> {
    let (kind, _) = KNOWN_CONTEXTS[rng.usize(0..KNOWN_CONTEXTS.len())];
    let mut text = format!("{{\"type\":\"{kind}\",\"source\":\"bench\"");
    let most = [("severity", 1), ("cpu", 100), ("memory", 100), ("error_rate", 1)];
    for (name, most) in most.into_iter().chain([("latency_ms", 6_000)]) {
        if rng.u8(0..4) > 0 {
            text += &format!(",\"{name}\":{:.3}", rng.f64() * f64::from(most));
        }
    }
    text.push('}');
    let signals = Signals::of_event(&text).map_err(io::Error::other)?;
    let own = Calibration { a: 0.7 + rng.f64(), b: rng.f64() - 0.5, outcomes: 9, ..EMPTY };
    let own = rng.bool().then_some(own);
    Ok(Case { kind, text, signals, environment: Level::ALL[rng.usize(0..4)], own })
}

const EMPTY: Calibration = Calibration { a: 1.0, b: 0.0, outcomes: 0, last: Age::from_millis(0) };

/// Processor time of this process, in nanoseconds.
fn own_time() -> io::Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    Ok(time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64)
}

/// Nanoseconds for each event, in a turn.
fn turn(cases: &[Case], mut each: impl FnMut(&Case)) -> io::Result<f64> {
    let begin = own_time()?;
    for _ in 0..IN_A_TURN {
        cases.iter().for_each(&mut each);
    }
    Ok((own_time()? - begin) / (cases.len() * IN_A_TURN) as f64)
}

fn decide(policy: &Policy, all: &Calibration, now: Age, case: &Case) {
    let Case { kind, signals, environment, own, .. } = black_box(case);
    let context = policy.reading.analyze(kind, signals);
    let risk = context.risk;
    let weights = &policy.reading.weights;
    let confidence = calculate(weights, signals, risk, own.as_ref(), Some(all), now);
    let question = Question {
        context: &context.context,
        risk,
        confidence: confidence.value,
        environment: *environment,
    };
    let decision = policy.decide(&[], &question);
    black_box((decision.place, decision.verdict, &confidence, &context));
}

fn main() -> io::Result<()> {
    let mut rng = Rng::with_seed(1);
    let cases: Vec<Case> = (0..EVENTS).map(|_| case(&mut rng)).collect::<io::Result<_>>()?;
    let policy = Policy::default();
    let all = Calibration { a: 1.2, b: -0.3, outcomes: 400, ..EMPTY };
    let now = Age::from_millis(86_400_000);
    let (mut decisions, mut reading) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        decisions.push(turn(&cases, |case| decide(&policy, &all, now, case))?);
        reading.push(turn(&cases, |case| {
            let _signals = black_box(Signals::of_event(black_box(&case.text)));
        })?);
    }
    let (decision, read) = (median(&decisions), median(&reading));
    let mut report = Report::new("decide");
    report.at_least("decisions", 1e9 / decision, "/s", 1_000_000.0);
    report.number("decision", decision, "ns");
    report.number("reading_the_event", read, "ns");
    report.number("ratio_to_reading", decision / read, "");
    report.number("with_reading", 1e9 / (decision + read), "/s");
    report.finish();
    Ok(())
}
