//! What the article that adrt grew out of prints, and its examples.

use adrt::clock::Age;
use adrt::engines::confidence::calculate;
use adrt::engines::context::{Context, Reading, Risk, Stability};
use adrt::engines::decision::{Decision, Policy, Priority, Question, Verdict};
use adrt::engines::environment::Level;

use super::signals;

/// The whole pipeline, with nothing learnt and a calm machine.
fn process<'p>(policy: &'p Policy, kind: &str, event: &str) -> (Context, f64, Decision<'p>) {
    let signals = signals(event);
    let context = policy.reading.analyze(kind, &signals);
    let weights = &policy.reading.weights;
    let confidence = calculate(weights, &signals, context.risk, None, None, Age::default()).value;
    let environment = Level::Calm;
    let question =
        Question { context: &context.context, risk: context.risk, confidence, environment };
    let decision = policy.decide(&[], &question);
    (context, confidence, decision)
}

#[test]
fn the_program_decides_as_the_article_prints() {
    let policy = Policy::default();
    for (kind, event, priority, action) in [
        (
            "service_overload",
            r#"{"severity":0.91,"cpu":96,"memory":92}"#,
            Priority::High,
            "scale_up_immediate",
        ),
        (
            "anomaly_detected",
            r#"{"severity":0.74,"error_rate":0.6}"#,
            Priority::Normal,
            "flag_for_review",
        ),
        ("auth_failure", r#"{"severity":0.55}"#, Priority::Normal, "trigger_security_audit"),
        ("timeout", r#"{"severity":0.45,"latency_ms":4200}"#, Priority::Low, "cache_warmup"),
        ("recovery_needed", r#"{"severity":0.30}"#, Priority::Low, "run_recovery"),
    ] {
        let (_, _, decision) = process(&policy, kind, event);
        assert_eq!(decision.priority, priority, "{kind}");
        assert_eq!(&*decision.rule.action, action, "{kind}");
        assert_eq!(decision.verdict, Verdict::Execute, "{kind}");
    }
}

#[test]
fn the_overload_is_read_as_the_article_reads_it() {
    let event = r#"{"type":"service_overload","cpu":94,"memory":88,"severity":0.82}"#;
    let policy = Policy::default();
    let (context, confidence, decision) = process(&policy, "service_overload", event);
    assert_eq!((context.risk, context.stability), (Risk::High, Stability::Low));
    assert_eq!(&*context.context, "resource_pressure");
    assert_eq!(format!("{:.2}", context.pressure_score), "0.65");
    assert_eq!(context.tags, ["risk:high", "event:service_overload", "cpu:high", "memory:high"]);
    assert_eq!(format!("{confidence:.2}"), "0.78");
    assert_eq!(&*decision.rule.action, "restart_service");
}

#[test]
fn a_stated_confidence_decides_as_in_the_article() {
    let policy = Policy::default();
    let question = Question {
        context: "resource_pressure",
        risk: Risk::High,
        confidence: 0.78,
        environment: Level::Calm,
    };
    let decision = policy.decide(&[], &question);
    assert_eq!(&*decision.rule.action, "restart_service");
    assert_eq!(&*decision.rule.reason, "high_resource_pressure");
    assert_eq!((decision.priority, decision.verdict), (Priority::High, Verdict::Execute));
}

#[test]
fn a_pressure_of_349_is_a_step_from_350() {
    // The anomaly's pressure is below medium; its severity makes the risk.
    let event = signals(r#"{"severity":0.74,"error_rate":0.6}"#);
    let reading = Reading::default();
    assert_eq!(reading.pressure(&event), 0.349);
    assert_eq!(reading.risk(&event), Risk::Medium);
    // Without severity pressure alone decides.
    let of = |event: &str| (reading.pressure(&signals(event)), reading.risk(&signals(event)));
    assert_eq!(of(r#"{"cpu":74.5,"memory":100}"#), (0.349, Risk::Low));
    assert_eq!(of(r#"{"cpu":75,"memory":100}"#).1, Risk::Medium);
    assert_eq!(of(r#"{"cpu":74.99999999,"memory":100}"#).1, Risk::Low);
}

#[test]
fn the_order_of_summing_is_part_of_the_result() {
    let reading = Reading::default();
    let backwards = |event: &str| {
        let terms = reading.weights.in_order().into_iter().zip(signals(event).normalised());
        terms.rev().map(|(weight, signal)| weight * signal.unwrap_or(0.0)).sum::<f64>()
    };
    let medium = r#"{"severity":0.1,"cpu":70,"memory":35,"error_rate":0.7}"#;
    assert!(backwards(medium) < 0.35, "the other way round it would be low");
    assert_eq!(reading.pressure(&signals(medium)), 0.35);
    assert_eq!(reading.risk(&signals(medium)), Risk::Medium);
    let stable = r#"{"cpu":70,"memory":70,"error_rate":0.8}"#;
    assert!(backwards(stable) >= 0.4, "the other way round it would be degraded");
    assert_eq!(reading.analyze("x", &signals(stable)).stability, Stability::Stable);
}
