//! Whatever may come: strategies for signals, rules, policies and questions.

use adrt::clock::Age;
use adrt::engines::confidence::Calibration;
use adrt::engines::context::{Reading, Risk, Signals, Weights};
use adrt::engines::decision::{Gate, Policy, ReviewTerms, RiskMatch, Rule, Thresholds};
use adrt::engines::environment::Level;
use proptest::option;
use proptest::prelude::*;

/// A share: any number from 0 to 1, and often one at an edge of something.
pub fn share() -> impl Strategy<Value = f64> {
    let edges: [f64; 14] =
        [0.0, 0.02, 0.2, 0.35, 0.45, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.95, 0.98, 1.0];
    let near =
        (prop::sample::select(edges.to_vec()), -1..=1).prop_map(|(edge, side): (f64, i32)| {
            match side {
                -1 => f64::max(edge.next_down(), 0.0),
                1 => f64::min(edge.next_up(), 1.0),
                _ => edge,
            }
        });
    prop_oneof![2 => 0.0..=1.0_f64, 1 => near, 1 => (0..=100_u8).prop_map(|n| f64::from(n) / 100.0)]
}

/// Signals, any of them missing.
pub fn signals() -> impl Strategy<Value = Signals> {
    let latency = prop_oneof![share().prop_map(|x| x * 5000.0), 0.0..=1e300_f64];
    let each = (share(), share(), share(), share(), latency)
        .prop_map(|(s, c, m, e, latency)| [s, c * 100.0, m * 100.0, e, latency]);
    (each, prop::array::uniform5(any::<bool>())).prop_map(|(values, there)| {
        let mut all = values.map(Some);
        for (value, there) in all.iter_mut().zip(there) {
            *value = value.filter(|_| there);
        }
        let [severity, cpu, memory, error_rate, latency_ms] = all;
        Signals { severity, cpu, memory, error_rate, latency_ms }
    })
}

/// With that much more of one of them; of one that is missing, so much.
pub fn raised(signals: &Signals, place: usize, by: f64) -> Signals {
    let mut all = signals.named().map(|(_, value)| value);
    let most = [1.0, 100.0, 100.0, 1.0, f64::MAX][place];
    let step = if place == 4 { 10_000.0 } else { most };
    all[place] = Some((all[place].unwrap_or(0.0) + by * step).min(most));
    let [severity, cpu, memory, error_rate, latency_ms] = all;
    Signals { severity, cpu, memory, error_rate, latency_ms }
}

/// As an event's text.
pub fn text(signals: &Signals) -> String {
    let there = signals.named().into_iter().filter_map(|(name, value)| Some((name, value?)));
    let members: Vec<String> = there.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// A risk.
pub fn risk() -> impl Strategy<Value = Risk> {
    prop::sample::select(Risk::ALL.to_vec())
}

/// A level of the environment.
pub fn level() -> impl Strategy<Value = Level> {
    prop::sample::select(Level::ALL.to_vec())
}

/// What was learnt, however it came about.
pub fn calibration() -> impl Strategy<Value = Calibration> {
    (0.1..=3.0_f64, -20.0..=20.0_f64, any::<u64>(), any::<u64>()).prop_map(
        |(a, b, outcomes, last)| Calibration { a, b, outcomes, last: Age::from_millis(last) },
    )
}

/// A name of a context: one that the built-in rules know, or another.
pub fn context() -> impl Strategy<Value = String> {
    let known = ["resource_pressure", "anomaly_signal", "latency_issue", "mine", "yours"];
    prop::sample::select(known.map(str::to_owned).to_vec())
}

/// What a rule says of risk.
fn risk_match() -> impl Strategy<Value = RiskMatch> {
    prop_oneof![
        Just(RiskMatch::Any),
        risk().prop_map(RiskMatch::Is),
        risk().prop_map(RiskMatch::AtLeast),
    ]
}

/// A rule, with names of that kind.
fn rule_with<S: Strategy<Value = String> + 'static>(
    name: impl Fn() -> S,
) -> impl Strategy<Value = Rule> {
    let gate = prop::sample::select(vec![Gate::Never, Gate::Risk, Gate::Full]);
    let review = (option::of(any::<u64>()), option::of(any::<bool>()))
        .prop_map(|(timeout_ms, approve)| ReviewTerms { timeout_ms, approve });
    let names = (option::of(name()), name(), name());
    (names, risk_match(), share(), gate, review).prop_map(
        |((context, action, reason), risk, min, gate, review)| Rule {
            gate,
            review,
            ..Rule::new(context.as_deref(), risk, min, &action, &reason)
        },
    )
}

/// A rule of few names, so that rules get into each other's way.
pub fn rule() -> impl Strategy<Value = Rule> {
    rule_with(context)
}

/// A policy of such rules.
pub fn policy() -> impl Strategy<Value = Policy> {
    let thresholds = prop::array::uniform4(share().prop_map(|share| share * 0.95));
    (thresholds, prop::collection::vec(rule(), 0..6)).prop_map(|(thresholds, rules)| {
        Policy::new(Reading::default(), Thresholds(thresholds), rules)
    })
}

/// A policy in which every part is anything it may be.
pub fn strange_policy() -> impl Strategy<Value = Policy> {
    let weights = prop::array::uniform5(share());
    let thresholds = prop::array::uniform4(share());
    let names = prop::collection::btree_map(".*", ".*", 0..4);
    let rules = prop::collection::vec(rule_with(|| ".*"), 0..4);
    let reviews = (any::<u64>(), any::<bool>());
    (weights, thresholds, names, rules, reviews).prop_map(
        |(weights, thresholds, names, rules, (review_timeout_ms, review_approve))| {
            let [severity, cpu, memory, error_rate, latency] = weights;
            let weights = Weights { severity, cpu, memory, error_rate, latency };
            let names = names.into_iter().map(|(kind, name)| (kind.into(), name.into()));
            let reading = Reading { weights, names: names.collect() };
            let mut policy = Policy::new(reading, Thresholds(thresholds), rules);
            policy.review_timeout_ms = review_timeout_ms;
            policy.review_approve = review_approve;
            policy
        },
    )
}
