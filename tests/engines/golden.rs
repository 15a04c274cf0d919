//! Vectors: questions to the engines with their answers, for other programs to
//! be held against. The Python package has the same arithmetic once more.
//!
//! `tests/golden/engines.json` is made by machine, one vector a line:
//!
//! - `analyze`: an event, and what it means.
//! - `calculate`: an event, a risk, what was learnt about that risk in all
//!   contexts (null: nothing) and how long ago; the `threshold` is that of the
//!   risk on a calm machine.
//! - `learn`: outcomes, each so long after the one before; what is learnt from
//!   them by one who begins with nothing.
//! - `decide`: what is decided, under rules that come before the built-in ones.
//! - `refused`: events that are none, and the member that is wrong.
//!
//! All of it is IEEE arithmetic and the same to the last bit everywhere, but
//! for `ln` and `exp`, which C libraries round as they like: what goes through
//! them ([`ROUNDED`]) is compared to the 12 digits that are told, the last of
//! which may be tipped over.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use adrt::clock::Age;
use adrt::engines::confidence::{Calibration, calculate};
use adrt::engines::context::{Reading, Risk, Signals, Weights};
use adrt::engines::decision::rules::built_in;
use adrt::engines::decision::{Gate, Policy, Question, RiskMatch, Rule};
use adrt::engines::environment::Level;
use fastrand::Rng;
use serde_json::{Value, json};

/// Members whose last digits depend on the machine.
const ROUNDED: [&str; 5] = ["final", "history_weight", "decay_factor", "a", "b"];

const SEED: u64 = 6;
const KINDS: [&str; 9] = [
    "service_overload",
    "memory_leak",
    "anomaly_detected",
    "timeout",
    "auth_failure",
    "recovery_needed",
    "degraded_service",
    "fire",
    "火 \"fire\"\n",
];
const NAMES: [(&str, f64); 5] = [
    ("severity", 1.0),
    ("cpu", 100.0),
    ("memory", 100.0),
    ("error_rate", 1.0),
    ("latency_ms", 5000.0),
];

#[test]
fn the_vectors_are_what_the_engines_answer() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/engines.json");
    let text = vectors();
    if std::env::var_os("ADRT_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let bless = "if that is meant, bless it with ADRT_BLESS=1 cargo test --test engines";
    assert_eq!(kept.lines().count(), text.lines().count(), "{bless}");
    for (kept, new) in kept.lines().zip(text.lines()) {
        assert!(same_line(kept, new), "kept: {kept}\nnew:  {new}\n{bless}");
    }
}

/// Whether two lines are the same but for how numbers are rounded.
fn same_line(one: &str, other: &str) -> bool {
    let read = |line: &str| serde_json::from_str(line.trim_end_matches(',')).ok();
    one == other || read(one).zip(read(other)).is_some_and(|(one, other)| same(&one, &other, false))
}

fn same(one: &Value, other: &Value, rounded: bool) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let each = |(key, value): (&String, &Value)| {
                let rounded = ROUNDED.contains(&key.as_str());
                other.get(key).is_some_and(|other| same(value, other, rounded))
            };
            one.len() == other.len() && one.iter().all(each)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| same(one, other, rounded))
        }
        (Value::Number(one), Value::Number(other)) if rounded => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            (one - other).abs() <= 2e-12 * one.abs().max(1.0)
        }
        _ => one == other,
    }
}

#[test]
fn rounding_is_forgiven_where_it_may_be_and_nowhere_else() {
    let of = |member: &str, value: f64| json!({ "result": { member: value } }).to_string();
    assert!(same_line(&of("final", 0.75), &of("final", 0.750_000_000_000_000_1)));
    assert!(!same_line(&of("final", 0.75), &of("final", 0.750_000_1)));
    let (pressure, next) = (0.35, f64::next_up(0.35));
    assert!(!same_line(&of("pressure_score", pressure), &of("pressure_score", next)));
}

/// The whole file.
fn vectors() -> String {
    let mut rng = Rng::with_seed(SEED);
    let parts = [
        ("analyze", analyze(&mut rng)),
        ("calculate", confidences(&mut rng)),
        ("learn", learn(&mut rng)),
        ("decide", decide(&mut rng)),
        ("refused", refused()),
    ];
    let mut text = String::from("{\n");
    for (place, (name, vectors)) in parts.iter().enumerate() {
        let comma = if place + 1 < parts.len() { "," } else { "" };
        writeln!(text, "\"{name}\":[\n{}\n]{comma}", vectors.join(",\n")).unwrap();
    }
    text.push_str("}\n");
    text
}

fn pick<T: Clone>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.usize(0..all.len())].clone()
}

/// A share of 1: as people write them, or with all digits, or at an end.
fn share(rng: &mut Rng) -> f64 {
    match rng.u8(0..8) {
        0 => 0.0,
        1 => 1.0,
        2..=4 => f64::from(rng.u8(0..=100)) / 100.0,
        5.. => rng.f64(),
    }
}

/// An event with some of the signals, and with what adrt does not look into.
fn event(rng: &mut Rng) -> String {
    let mut members = vec![format!("\"type\":{}", json!(pick(rng, &KINDS)))];
    for (name, full) in NAMES {
        match rng.u8(0..8) {
            0..=4 => members.push(format!("\"{name}\":{}", json!(share(rng) * full))),
            5 => members.push(format!("\"{name}\":null")),
            6.. => {}
        }
    }
    if rng.bool() {
        members.push(String::from(r#""source":"a","note":{"cpu":"high"}"#));
    }
    rng.shuffle(&mut members);
    format!("{{{}}}", members.join(","))
}

/// Events at which something turns.
const EDGES: [&str; 20] = [
    r#"{"type":"service_overload","severity":0.91,"cpu":96,"memory":92}"#,
    r#"{"type":"anomaly_detected","severity":0.74,"error_rate":0.6}"#,
    r#"{"type":"auth_failure","severity":0.55}"#,
    r#"{"type":"timeout","severity":0.45,"latency_ms":4200}"#,
    r#"{"type":"recovery_needed","severity":0.30}"#,
    r#"{"type":"service_overload","cpu":94,"memory":88,"severity":0.82}"#,
    r#"{"type":"fire"}"#,
    r#"{"type":"fire","cpu":75,"memory":100}"#,
    r#"{"type":"fire","cpu":74.99999999,"memory":100}"#,
    r#"{"type":"fire","cpu":74.5,"memory":100}"#,
    r#"{"type":"fire","severity":0.1,"cpu":70,"memory":35,"error_rate":0.7}"#,
    r#"{"type":"fire","cpu":70,"memory":70,"error_rate":0.8}"#,
    r#"{"type":"fire","severity":0.5}"#,
    r#"{"type":"fire","severity":0.49999999999999994}"#,
    r#"{"type":"fire","severity":0.8}"#,
    r#"{"type":"fire","severity":0.95}"#,
    r#"{"type":"fire","severity":1,"cpu":100,"memory":100,"error_rate":1,"latency_ms":5000}"#,
    r#"{"type":"fire","cpu":80,"memory":80,"error_rate":0.5,"latency_ms":2000}"#,
    r#"{"type":"fire","cpu":80.1,"memory":80.1,"error_rate":0.51,"latency_ms":2000.1}"#,
    r#"{"type":"fire","latency_ms":1e300,"cpu":-0.0,"memory":1e-320}"#,
];

fn events(rng: &mut Rng, more: usize) -> Vec<String> {
    let edges = EDGES.iter().map(|event| (*event).to_owned());
    edges.chain(std::iter::repeat_with(|| event(rng)).take(more)).collect()
}

fn analyze(rng: &mut Rng) -> Vec<String> {
    let answer = |event: String| {
        let kind = adrt::protocol::work::event(&event).unwrap().kind;
        let context = Reading::default().analyze(&kind, &Signals::of_event(&event).unwrap());
        format!("{{\"event\":{event},\"result\":{}}}", context.to_json())
    };
    events(rng, 100).into_iter().map(answer).collect()
}

/// What might have been learnt; often nothing.
fn calibration(rng: &mut Rng) -> Option<(Calibration, u64)> {
    let weeks = [0.0, 1.0, 0.01, 0.3, 2.5, 60.0];
    let since = (pick(rng, &weeks) * 604_800_000.0) as u64;
    let known = Calibration {
        a: 0.1 + 2.9 * rng.f64(),
        b: 6.0 * (rng.f64() - 0.5),
        outcomes: pick(rng, &[1, 5, 300]),
        last: Age::from_millis(1_000),
    };
    (rng.u8(0..4) > 0).then_some((known, since))
}

fn confidences(rng: &mut Rng) -> Vec<String> {
    let mut all = Vec::new();
    for event in events(rng, 80) {
        let risk = pick(rng, &Risk::ALL);
        let known = calibration(rng);
        let now = Age::from_millis(1_000 + known.map_or(0, |(_, since)| since));
        let learnt = known.as_ref().map(|(learnt, _)| learnt);
        let signals = Signals::of_event(&event).unwrap();
        let found = calculate(&Weights::default(), &signals, risk, None, learnt, now);
        let calibration = known.map(|(Calibration { a, b, outcomes, .. }, since)| {
            json!({ "a": a, "b": b, "outcomes": outcomes, "age_ms_since_last": since })
        });
        let threshold = Policy::default().threshold(Gate::Full, risk, Level::Calm);
        let result = json!({
            "final": found.value,
            "base": found.base,
            "context_adjustment": found.context_adjustment,
            "history_weight": found.history_weight,
            "decay_factor": found.decay_factor,
            "threshold": threshold,
        });
        let risk = risk.as_str();
        let calibration = json!(calibration);
        all.push(format!(
            "{{\"event\":{event},\"risk\":\"{risk}\",\"calibration\":{calibration},\"result\":{result}}}"
        ));
    }
    all
}

fn learn(rng: &mut Rng) -> Vec<String> {
    let one = |rng: &mut Rng| {
        let (mut learnt, mut now) = (Calibration::default(), Age::default());
        let mut sequence = Vec::new();
        let luck = rng.f64();
        for _ in 0..pick(rng, &[1, 2, 5, 12, 40]) {
            let elapsed_ms = pick(rng, &[0, 1, 1_000, 600_000, 86_400_000, 604_800_000]);
            now = Age::from_millis(now.millis() + elapsed_ms);
            let any = 0.02 + 0.96 * rng.f64();
            let q = pick(rng, &[0.02, 0.5, 0.98, any]);
            let success = rng.f64() < luck;
            learnt = learnt.learn(q, success, now);
            sequence.push(json!({ "q": q, "success": success, "elapsed_ms": elapsed_ms }));
        }
        let result = json!({ "a": learnt.a, "b": learnt.b });
        json!({ "sequence": sequence, "result": result }).to_string()
    };
    std::iter::repeat_with(|| one(rng)).take(40).collect()
}

/// The confidences at which a decision turns, and others.
fn confidence(rng: &mut Rng) -> f64 {
    let edges = [0.2, 0.3, 0.45, 0.6, 0.65, 0.7, 0.75, 0.76, 0.8, 0.855];
    match rng.u8(0..4) {
        0 => pick(rng, &edges),
        1 => pick(rng, &edges).next_down(),
        2.. => share(rng),
    }
}

fn contexts() -> Vec<String> {
    let mut known: Vec<String> =
        built_in().iter().filter_map(|rule| rule.context.as_deref().map(str::to_owned)).collect();
    known.dedup();
    known.extend(["unknown_fire", "mine"].map(str::to_owned));
    known
}

/// A rule, and how it is written.
fn rule(rng: &mut Rng) -> (Rule, Value) {
    let context = (rng.u8(0..3) > 0).then(|| pick(rng, &contexts()));
    let risk = pick(rng, &["", "low", "high", "critical", "medium+", "high+"]);
    let min = confidence(rng);
    let action = pick(rng, &["my_action", "health_check", "optimize_mine", "throttle_requests"]);
    let gate = pick(rng, &[None, Some(Gate::Never), Some(Gate::Risk), Some(Gate::Full)]);
    let matched = RiskMatch::from_name(risk).unwrap_or(RiskMatch::Any);
    let mut rule = Rule::new(context.as_deref(), matched, min, action, "my_reason");
    rule.gate = gate.unwrap_or(rule.gate);
    let mut written = json!({
        "context": context,
        "risk": rule.risk.name(),
        "min_confidence": min,
        "action": action,
        "reason": "my_reason",
    });
    if let Some(gate) = gate {
        written["gate"] = gate.as_str().into();
    }
    (rule, written)
}

fn decide(rng: &mut Rng) -> Vec<String> {
    let policy = Policy::default();
    let mut all = Vec::new();
    for place in 0..240 {
        let (rules, written): (Vec<Rule>, Vec<Value>) =
            std::iter::repeat_with(|| rule(rng)).take(rules_in(place)).unzip();
        let context = pick(rng, &contexts());
        let question = Question {
            context: &context,
            risk: pick(rng, &Risk::ALL),
            confidence: confidence(rng),
            environment: pick(rng, &Level::ALL),
        };
        let decision = policy.decide(&rules, &question);
        let mut vector = json!({
            "context": context,
            "risk": question.risk.as_str(),
            "confidence": question.confidence,
            "environment": question.environment.as_str(),
            "result": {
                "action": &*decision.rule.action,
                "reason": &*decision.rule.reason,
                "verdict": decision.verdict.as_str(),
                "threshold": decision.threshold,
                "priority": decision.priority.as_str(),
            },
        });
        if !written.is_empty() {
            vector["rules"] = written.into();
        }
        all.push(vector.to_string());
    }
    all
}

/// Two of three vectors are about the built-in rules alone.
fn rules_in(place: usize) -> usize {
    if place.is_multiple_of(3) { 1 + place / 3 % 3 } else { 0 }
}

fn refused() -> Vec<String> {
    let mut all = Vec::new();
    for (name, full) in NAMES {
        let mut wrong: Vec<String> =
            ["\"high\"", "\"1\"", "true", "false", "[]", "{}", "-1", "-1e-300", "1e400"]
                .map(str::to_owned)
                .to_vec();
        if name != "latency_ms" {
            wrong.push(json!(f64::next_up(full)).to_string());
        }
        for value in wrong {
            let event = format!("{{\"type\":\"fire\",\"{name}\":{value}}}");
            let member = Signals::of_event(&event).unwrap_err().member;
            all.push(format!("{{\"event\":{event},\"member\":\"{member}\"}}"));
        }
    }
    all
}
