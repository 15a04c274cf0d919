//! Thresholds and gates: every risk in every environment behind every gate.

use adrt::engines::context::{Reading, Risk};
use adrt::engines::decision::rules::built_in;
use adrt::engines::decision::{
    Gate, Policy, Question, RiskMatch, Rule, Thresholds, Verdict, raise,
};
use adrt::engines::environment::Level;
use proptest::prelude::*;

use super::{RAISED, any, close};

/// What a full gate asks for: by risk, then by environment, calm first. At
/// critical risk evidence can't be above .80, so raising stops at .76.
const FULL: [(Risk, [f64; 4]); 4] = [
    (Risk::Low, [0.20, 0.25, 0.30, 0.40]),
    (Risk::Medium, [0.45, 0.50, 0.55, 0.65]),
    (Risk::High, [0.60, 0.65, 0.70, 0.80]),
    (Risk::Critical, [0.75, 0.76, 0.76, 0.76]),
];

fn with_gate(gate: Gate) -> Policy {
    let rule = Rule { gate, ..Rule::new(None, RiskMatch::Any, 0.0, "act", "because") };
    Policy::new(Reading::default(), Thresholds::default(), vec![rule])
}

#[test]
fn each_environment_raises_by_its_share() {
    assert_eq!(RAISED.map(|(level, _)| level), Level::ALL);
    for (level, by) in RAISED {
        assert_eq!(raise(level), by);
    }
}

#[test]
fn thresholds_by_risk_environment_and_gate() {
    for (risk, by_level) in FULL {
        for (level, full) in Level::ALL.into_iter().zip(by_level) {
            for (gate, expected) in
                [(Gate::Never, 0.0), (Gate::Risk, by_level[0]), (Gate::Full, full)]
            {
                let policy = with_gate(gate);
                let threshold = policy.threshold(gate, risk, level);
                assert!(close(threshold, expected), "{risk:?} {level:?} {gate:?}: {threshold}");
                let decide = |confidence: f64| {
                    let question = Question { context: "x", risk, confidence, environment: level };
                    let decision = policy.decide(&[], &question);
                    assert_eq!(decision.threshold, threshold);
                    decision.verdict
                };
                assert_eq!(decide(threshold), Verdict::Execute, "at the threshold");
                assert_eq!(decide(1.0), Verdict::Execute);
                if threshold > 0.0 {
                    assert_eq!(decide(threshold.next_down()), Verdict::Review, "just below");
                    assert_eq!(decide(0.0), Verdict::Review);
                }
            }
        }
    }
}

#[test]
fn actions_have_their_gates() {
    use Gate::{Full, Never, Risk};
    for (action, gate) in [
        ("monitor_and_wait", Never),
        ("increase_monitoring", Never),
        ("flag_for_review", Never),
        ("health_check", Never),
        ("cache_warmup", Never),
        ("throttle_requests", Risk),
        ("scale_up_immediate", Risk),
        ("circuit_breaker_open", Risk),
        ("optimize_resources", Risk),
        ("optimize_query", Risk),
        ("optimize_", Risk),
        ("restart_service", Full),
        ("isolate_component", Full),
        ("rollback_deployment", Full),
        ("trigger_security_audit", Full),
        ("run_recovery", Full),
        ("optimize", Full),
        ("my_action", Full),
        ("Health_check", Full),
        ("", Full),
    ] {
        assert_eq!(Gate::of_action(action), gate, "{action}");
        assert_eq!(Rule::new(None, RiskMatch::Any, 0.0, action, "x").gate, gate);
    }
    for rule in built_in() {
        assert_eq!(rule.gate, Gate::of_action(&rule.action));
    }
}

#[test]
fn what_was_configured_is_not_lowered_by_a_bad_environment() {
    let policy = Policy::new(Reading::default(), Thresholds([0.94, 0.94, 0.94, 0.94]), Vec::new());
    for (risk, [calm, elevated, high, critical]) in [
        (Risk::Low, [0.94, 0.95, 0.95, 0.95]),
        (Risk::Medium, [0.94; 4]),
        (Risk::High, [0.94; 4]),
        (Risk::Critical, [0.94; 4]),
    ] {
        for (level, expected) in Level::ALL.into_iter().zip([calm, elevated, high, critical]) {
            let threshold = policy.threshold(Gate::Full, risk, level);
            assert!(close(threshold, expected), "{risk:?} {level:?}: {threshold}");
        }
    }
}

#[test]
fn a_threshold_is_what_an_error_and_a_review_cost() {
    for (error, review, threshold) in [(1.0, 0.4, 0.6), (10.0, 2.5, 0.75), (5.0, 4.0, 0.2)] {
        assert!(close(Thresholds::of_costs(error, review), threshold));
        // Right at it, acting and asking cost the same.
        assert!(close((1.0 - threshold) * error, review));
    }
}

proptest! {
    #[test]
    fn raising_keeps_to_its_bounds(
        policy in any::policy(),
        risk in any::risk(),
        level in any::level(),
    ) {
        let caution = [1.00, 0.95, 0.90, 0.80][risk.index()];
        let plain = policy.thresholds.of(risk);
        let full = policy.threshold(Gate::Full, risk, level);
        prop_assert!(full <= 0.95, "above it nothing could be done without a person");
        prop_assert!(full >= plain);
        prop_assert!(full <= plain + raise(level));
        prop_assert!(full == plain || full <= 0.95 * caution, "raised beyond what evidence has");
        prop_assert_eq!(policy.threshold(Gate::Risk, risk, level), plain);
        prop_assert_eq!(policy.threshold(Gate::Never, risk, level), 0.0);
        let by_level = Level::ALL.map(|level| policy.threshold(Gate::Full, risk, level));
        prop_assert!(by_level.is_sorted(), "a worse environment never makes it easier");
    }
}
