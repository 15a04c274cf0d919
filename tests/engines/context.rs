//! What events mean: weights, bounds, names, tags, and what is no signal.

use adrt::engines::context::{KNOWN_CONTEXTS, Reading, Risk, Signals, Stability, Weights};
use proptest::prelude::*;

use super::{any, close, signals};

#[test]
fn each_signal_has_its_weight() {
    let reading = Reading::default();
    for (event, pressure) in [
        ("{}", 0.0),
        (r#"{"severity":1}"#, 0.35),
        (r#"{"cpu":100}"#, 0.20),
        (r#"{"memory":100}"#, 0.20),
        (r#"{"error_rate":1}"#, 0.15),
        (r#"{"latency_ms":5000}"#, 0.10),
        (r#"{"latency_ms":2500}"#, 0.05),
        (r#"{"latency_ms":5000.001}"#, 0.10),
        (r#"{"latency_ms":1e300}"#, 0.10),
        (r#"{"severity":null,"cpu":50}"#, 0.10),
        (r#"{"severity":1,"cpu":100,"memory":100,"error_rate":1,"latency_ms":5000}"#, 1.0),
    ] {
        assert!(close(reading.pressure(&signals(event)), pressure), "{event}");
    }
}

/// A reading in which pressure is the error rate, to the last bit.
fn by_error_rate() -> Reading {
    let weights = Weights { severity: 0.0, cpu: 0.0, memory: 0.0, error_rate: 1.0, latency: 0.0 };
    Reading { weights, ..Reading::default() }
}

#[test]
fn bounds_are_reached_from_below() {
    use Risk::{Critical, High, Low, Medium};
    let reading = by_error_rate();
    let pressed = |pressure: f64| {
        let signals = Signals { error_rate: Some(pressure), ..Signals::default() };
        assert_eq!(reading.pressure(&signals), pressure);
        reading.analyze("x", &signals)
    };
    for (bound, below, at) in [(0.35, Low, Medium), (0.60, Medium, High), (0.85, High, Critical)] {
        assert_eq!(pressed(f64::next_down(bound)).risk, below, "below {bound}");
        assert_eq!(pressed(bound).risk, at, "at {bound}");
    }
    for (bound, below, at) in [
        (0.40, Stability::Stable, Stability::Degraded),
        (0.65, Stability::Degraded, Stability::Low),
        (0.85, Stability::Low, Stability::Critical),
    ] {
        assert_eq!(pressed(f64::next_down(bound)).stability, below, "below {bound}");
        assert_eq!(pressed(bound).stability, at, "at {bound}");
    }
    let grave = |severity: f64| {
        let signals = Signals { severity: Some(severity), ..Signals::default() };
        let context = reading.analyze("x", &signals);
        assert_eq!(context.stability, Stability::Stable, "severity alone is no pressure here");
        context.risk
    };
    for (bound, below, at) in [(0.50, Low, Medium), (0.80, Medium, High), (0.95, High, Critical)] {
        assert_eq!(grave(f64::next_down(bound)), below, "below {bound}");
        assert_eq!(grave(bound), at, "at {bound}");
    }
}

#[test]
fn risk_is_the_higher_of_pressure_and_severity() {
    let reading = by_error_rate();
    let pressures = [0.0, 0.35, 0.60, 0.85];
    let severities = [0.0, 0.50, 0.80, 0.95];
    for (by_pressure, pressure) in Risk::ALL.into_iter().zip(pressures) {
        for (by_severity, severity) in Risk::ALL.into_iter().zip(severities) {
            let signals = Signals {
                error_rate: Some(pressure),
                severity: Some(severity),
                ..Signals::default()
            };
            assert_eq!(reading.risk(&signals), by_pressure.max(by_severity));
        }
    }
}

#[test]
fn types_have_their_contexts() {
    let mut reading = Reading::default();
    for (kind, context) in [
        ("service_overload", "resource_pressure"),
        ("memory_leak", "resource_pressure"),
        ("anomaly_detected", "anomaly_signal"),
        ("timeout", "latency_issue"),
        ("auth_failure", "security_signal"),
        ("recovery_needed", "self_healing"),
        ("degraded_service", "service_degradation"),
        ("fire", "unknown_fire"),
        ("Timeout", "unknown_Timeout"),
        ("timeout ", "unknown_timeout "),
        ("", "unknown_"),
    ] {
        assert_eq!(&*reading.context_of(kind), context);
    }
    assert_eq!(KNOWN_CONTEXTS.len(), 7);
    reading.names.insert("fire".into(), "emergency".into());
    reading.names.insert("timeout".into(), "patience".into());
    assert_eq!(&*reading.context_of("fire"), "emergency");
    assert_eq!(&*reading.context_of("timeout"), "patience", "a name that was given comes first");
    assert_eq!(&*reading.context_of("memory_leak"), "resource_pressure");
}

#[test]
fn tags_are_for_what_lies_above_their_bounds() {
    let reading = Reading::default();
    let at = reading
        .analyze("fire", &signals(r#"{"cpu":80,"memory":80,"error_rate":0.5,"latency_ms":2000}"#));
    assert_eq!(at.tags, ["risk:medium", "event:fire"]);
    for (event, tag) in [
        (r#"{"cpu":80.00000000000001}"#, "cpu:high"),
        (r#"{"memory":80.00000000000001}"#, "memory:high"),
        (r#"{"error_rate":0.5000000000000001}"#, "errors:elevated"),
        (r#"{"latency_ms":2000.0000000000002}"#, "latency:high"),
    ] {
        let tags = reading.analyze("fire", &signals(event)).tags;
        assert_eq!(tags, ["risk:low", "event:fire", tag], "{event}");
    }
    let all = r#"{"severity":1,"cpu":81,"memory":81,"error_rate":1,"latency_ms":9000}"#;
    let tags = reading.analyze("fire", &signals(all)).tags;
    let high = ["cpu:high", "memory:high", "errors:elevated", "latency:high"];
    assert_eq!(tags[..2], ["risk:critical", "event:fire"]);
    assert_eq!(tags[2..], high);
}

#[test]
fn what_is_no_signal_is_refused_by_name() {
    for (name, most) in [
        ("severity", Some(1.0)),
        ("cpu", Some(100.0)),
        ("memory", Some(100.0)),
        ("error_rate", Some(1.0)),
        ("latency_ms", None),
    ] {
        let mut wrong = [
            r#""high""#,
            r#""94""#,
            "true",
            "false",
            "[]",
            "[1]",
            "{}",
            "-1",
            "-1e-300",
            "1e400",
            "-1e400",
        ]
        .map(str::to_owned)
        .to_vec();
        wrong.extend(most.map(|most: f64| most.next_up().to_string()));
        for value in wrong {
            let refused = Signals::of_event(&format!(r#"{{"type":"x","{name}":{value}}}"#));
            let refused = refused.expect_err(&value);
            assert_eq!(refused.member, name, "{value}");
            assert!(refused.to_string().starts_with(&format!("\"{name}\" must be")), "{refused}");
        }
        let twice = format!(r#"{{"{name}":0.5,"other":1,"{name}":0.5}}"#);
        assert_eq!(Signals::of_event(&twice).unwrap_err().member, name, "which one counts?");
        for value in ["0", "-0", "-0.0", "1e-400", "1", "null", " 0.5 "] {
            let event = format!(r#"{{"{name}":{value}}}"#);
            assert!(Signals::of_event(&event).is_ok(), "{event}");
        }
    }
}

#[test]
fn the_first_signal_that_is_wrong_is_named() {
    let refused = Signals::of_event(r#"{"cpu":"high","severity":2}"#).unwrap_err();
    assert_eq!(refused.member, "severity", "in the order of the table, not of the event");
}

#[test]
fn what_is_no_event_is_refused() {
    for text in ["", "null", "[]", "5", r#""x""#, "{", r#"{"cpu":1"#, r#"{"cpu":1.}"#, "{cpu:1}"] {
        let refused = Signals::of_event(text).unwrap_err();
        assert_eq!(refused.member, "", "{text}");
        assert_eq!(refused.to_string(), "the event is no JSON object");
    }
}

#[test]
fn members_are_known_by_what_their_names_say() {
    assert_eq!(signals(r#"{"cp\u0075":50}"#).cpu, Some(50.0));
    assert_eq!(signals(r#"{"CPU":500,"cpu ":"high","a":{"cpu":"high"}}"#), Signals::default());
    assert_eq!(signals(r#"{"cpu":-0.0}"#).cpu.map(f64::to_bits), Some(0), "zero has no sign");
}

#[test]
fn on_the_wire_it_has_five_members() {
    let context = Reading::default().analyze("fire", &signals(r#"{"severity":0.5}"#));
    assert_eq!(
        context.to_json(),
        r#"{"context":"unknown_fire","pressure_score":0.175,"risk":"medium","stability":"stable","tags":["risk:medium","event:fire"]}"#
    );
}

proptest! {
    #[test]
    fn more_of_a_signal_is_never_less_pressure_or_risk(
        event in any::signals(),
        place in 0..5_usize,
        value in 0.0..=1.0_f64,
    ) {
        let reading = Reading::default();
        let more = any::raised(&event, place, value);
        prop_assert!(reading.pressure(&more) >= reading.pressure(&event));
        prop_assert!(reading.risk(&more) >= reading.risk(&event));
        let stability = |signals| reading.analyze("x", signals).stability;
        prop_assert!(stability(&more) >= stability(&event));
    }

    #[test]
    fn more_pressure_or_severity_is_never_less_risk(
        one in any::signals(),
        other in any::signals(),
    ) {
        let reading = Reading::default();
        let of = |signals: &Signals| {
            (reading.pressure(signals), signals.severity.unwrap_or(0.0), reading.risk(signals))
        };
        let ((pressure, severity, risk), (more, graver, higher)) = (of(&one), of(&other));
        if more >= pressure && graver >= severity {
            prop_assert!(higher >= risk);
        }
        if more <= pressure && graver <= severity {
            prop_assert!(higher <= risk);
        }
    }

    #[test]
    fn pressure_stays_within_its_bounds(event in any::signals()) {
        prop_assert!((0.0..=1.0).contains(&Reading::default().pressure(&event)));
    }

    #[test]
    fn an_event_reads_back_as_the_signals_it_was_written_from(event in any::signals()) {
        prop_assert_eq!(signals(&any::text(&event)), event);
    }

    #[test]
    fn no_text_makes_it_panic(text in r#"[{}\[\]":,0-9eE+.\-a-z\\ ]{0,40}"#) {
        let _read_or_refused = Signals::of_event(&text);
        let _the_same = Signals::of_event(&format!("{{\"cpu\":{text}}}"));
    }
}
