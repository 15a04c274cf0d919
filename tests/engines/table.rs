//! The built-in rules: each line, each pair of context and risk, and what just
//! misses.

use adrt::engines::context::Risk;
use adrt::engines::decision::rules::built_in;
use adrt::engines::decision::{Policy, Priority, Question};
use adrt::engines::environment::Level;

/// The table as the design has it: context, risk, confidence, action, reason.
const LINES: [(&str, &str, f64, &str, &str); 16] = [
    ("resource_pressure", "critical", 0.0, "scale_up_immediate", "critical_resource_pressure"),
    ("resource_pressure", "high", 0.80, "scale_up_immediate", "high_resource_pressure_certain"),
    ("resource_pressure", "high", 0.70, "restart_service", "high_resource_pressure"),
    ("resource_pressure", "high", 0.0, "throttle_requests", "resource_pressure_low_confidence"),
    ("resource_pressure", "medium", 0.0, "optimize_resources", "medium_resource_pressure"),
    ("anomaly_signal", "critical", 0.0, "isolate_component", "critical_anomaly"),
    ("anomaly_signal", "high", 0.65, "rollback_deployment", "anomaly_with_confidence"),
    ("anomaly_signal", "high", 0.0, "increase_monitoring", "anomaly_low_confidence"),
    ("anomaly_signal", "", 0.0, "flag_for_review", "anomaly_detected"),
    ("latency_issue", "high+", 0.0, "optimize_query", "latency_degradation"),
    ("latency_issue", "", 0.0, "cache_warmup", "latency_signal"),
    ("security_signal", "", 0.0, "trigger_security_audit", "security_event"),
    ("self_healing", "", 0.0, "run_recovery", "recovery_requested"),
    ("service_degradation", "high+", 0.0, "circuit_breaker_open", "service_degraded_high"),
    ("service_degradation", "", 0.0, "health_check", "service_degraded"),
    ("", "", 0.0, "monitor_and_wait", "no_matching_rule"),
];

#[test]
fn the_lines_are_those_of_the_design() {
    let rules = built_in();
    assert_eq!(rules.len(), LINES.len());
    for (rule, (context, risk, min, action, reason)) in rules.iter().zip(LINES) {
        assert_eq!(rule.context.as_deref().unwrap_or(""), context, "{reason}");
        assert_eq!(rule.risk.name().as_deref().unwrap_or(""), risk, "{reason}");
        assert_eq!(rule.min_confidence, min, "{reason}");
        assert_eq!((&*rule.action, &*rule.reason), (action, reason));
    }
    assert_eq!(Policy::default().rules(), rules);
}

/// The reasons that a context and a risk have, by the confidence from which on
/// each is the one, falling.
type Reasons = &'static [(f64, &'static str)];

/// Contexts with the reasons at low, medium, high and critical risk.
const BY_CONTEXT: [(&str, [Reasons; 4]); 10] = {
    const NONE: Reasons = &[(0.0, "no_matching_rule")];
    const ANOMALY: Reasons = &[(0.0, "anomaly_detected")];
    const LATENCY: Reasons = &[(0.0, "latency_signal")];
    const QUERY: Reasons = &[(0.0, "latency_degradation")];
    const AUDIT: Reasons = &[(0.0, "security_event")];
    const HEAL: Reasons = &[(0.0, "recovery_requested")];
    const DEGRADED: Reasons = &[(0.0, "service_degraded")];
    const BROKEN: Reasons = &[(0.0, "service_degraded_high")];
    [
        (
            "resource_pressure",
            [
                NONE,
                &[(0.0, "medium_resource_pressure")],
                &[
                    (0.80, "high_resource_pressure_certain"),
                    (0.70, "high_resource_pressure"),
                    (0.0, "resource_pressure_low_confidence"),
                ],
                &[(0.0, "critical_resource_pressure")],
            ],
        ),
        (
            "anomaly_signal",
            [
                ANOMALY,
                ANOMALY,
                &[(0.65, "anomaly_with_confidence"), (0.0, "anomaly_low_confidence")],
                &[(0.0, "critical_anomaly")],
            ],
        ),
        ("latency_issue", [LATENCY, LATENCY, QUERY, QUERY]),
        ("security_signal", [AUDIT; 4]),
        ("self_healing", [HEAL; 4]),
        ("service_degradation", [DEGRADED, DEGRADED, BROKEN, BROKEN]),
        ("unknown_fire", [NONE; 4]),
        // Contexts that are not quite those of a line.
        ("resource_pressure ", [NONE; 4]),
        ("Anomaly_signal", [NONE; 4]),
        ("", [NONE; 4]),
    ]
};

#[test]
fn every_context_and_risk_has_its_line() {
    let policy = Policy::default();
    for (context, by_risk) in BY_CONTEXT {
        for (risk, reasons) in Risk::ALL.into_iter().zip(by_risk) {
            let decide = |confidence: f64| {
                let question = Question { context, risk, confidence, environment: Level::Calm };
                policy.decide(&[], &question)
            };
            let mut upper = 1.0;
            for (from, reason) in reasons {
                for confidence in [*from, (from + upper) / 2.0, f64::next_down(upper)] {
                    let decision = decide(confidence);
                    assert_eq!(&*decision.rule.reason, *reason, "{context} {risk:?} {confidence}");
                    assert_eq!(&policy.rules()[decision.place], decision.rule);
                }
                upper = *from;
            }
            let (_, surest) = reasons[0];
            assert_eq!(&*decide(1.0).rule.reason, surest, "{context} {risk:?}");
        }
    }
}

#[test]
fn every_line_but_the_last_can_be_missed_by_each_of_its_parts() {
    let policy = Policy::default();
    for (place, (context, risk, min, ..)) in LINES.into_iter().enumerate() {
        let risks = Risk::ALL.into_iter().filter(|one| {
            let of = |name: &str| Risk::from_name(name).unwrap();
            match risk.strip_suffix('+') {
                Some(least) => *one >= of(least),
                None => risk.is_empty() || *one == of(risk),
            }
        });
        let rule = &policy.rules()[place];
        for risk in risks {
            let misses = |context: &str, risk, confidence| rule.misses(context, risk, confidence);
            assert_eq!(misses(context, risk, min), None);
            if !context.is_empty() {
                let name = misses("another", risk, min).map(|miss| miss.as_str());
                assert_eq!(name, Some("context"), "{rule:?}");
            }
            if min > 0.0 {
                let name = misses(context, risk, min.next_down()).map(|miss| miss.as_str());
                assert_eq!(name, Some("confidence"), "{rule:?}");
            }
        }
        for other in Risk::ALL.into_iter().filter(|other| !rule.risk.matches(*other)) {
            let name = rule.misses(context, other, 1.0).map(|miss| miss.as_str());
            assert_eq!(name, Some("risk"), "{rule:?}");
        }
    }
}

#[test]
fn priority_goes_by_risk() {
    let names = Risk::ALL.map(|risk| Priority::of(risk).as_str());
    assert_eq!(names, ["low", "normal", "high", "critical"]);
}
