//! Requests to the engines, and their answers held against what is on the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use adrt::engines::confidence::SURE;
use adrt::engines::context::{Reading, Risk, Weights};
use adrt::engines::decision::{Policy, RiskMatch, Rule, Thresholds};
use adrt::supervisor::io::Seq;
use fastrand::Rng;
use serde_json::Value;

use super::durable::Durable;
use super::errands::Errand;
use super::lessons::{Of, Told as Outcome};
use super::request::{Known, Request, Script, What, pick};

/// Types whose context is known, and one of which nobody has heard.
const KINDS: [&str; 6] = [
    "service_overload",
    "anomaly_detected",
    "timeout",
    "recovery_needed",
    "degraded_service",
    "b.z",
];
/// Few, so that each comes to be trusted.
const CONTEXTS: [&str; 4] = ["resource_pressure", "latency_issue", "unknown_b.z", "*"];
const SIGNALS: [(&str, f64); 5] = [
    ("severity", 1.0),
    ("cpu", 100.0),
    ("memory", 100.0),
    ("error_rate", 1.0),
    ("latency_ms", 9e3),
];

/// Members of an event, each of which may be missing; once in a while one that
/// is no signal.
pub fn signals(rng: &mut Rng) -> String {
    let mut text = String::new();
    for (name, most) in SIGNALS {
        match rng.u8(0..80) {
            0 => text += &format!(",\"{name}\":\"high\""),
            1..4 => text += &format!(",\"{name}\":null"),
            4..40 => text += &format!(",\"{name}\":{}", rng.f64() * most),
            _ => {}
        }
    }
    text
}

/// What decisions go by, now and then something else.
pub fn policy(rng: &mut Rng) -> Policy {
    let mut reading = Reading::default();
    if rng.bool() {
        reading.names.insert("b.z".into(), "latency_issue".into());
    }
    if rng.u8(0..3) == 0 {
        reading.weights = Weights { severity: 0.1, cpu: 0.45, ..Weights::default() };
    }
    let thresholds = match rng.u8(0..3) {
        0 => Thresholds::default(),
        1 => Thresholds([rng.f64(), rng.f64(), rng.f64(), rng.f64()]),
        _ => Thresholds([0.9; 4]),
    };
    let own = match rng.u8(0..3) {
        0 => {
            let mut rule = Rule::new(None, RiskMatch::AtLeast(Risk::Medium), 0.5, "act", "mine");
            rule.review.timeout_ms = Some(300);
            rule.review.approve = Some(true);
            vec![rule]
        }
        _ => Vec::new(),
    };
    let mut policy = Policy::new(reading, thresholds, own);
    policy.review_timeout_ms = [300, 5000, 3_600_000][rng.usize(0..3)];
    policy
}

impl Script {
    /// A step of a write about decisions.
    pub fn consult(&mut self, rng: &mut Rng, known: &Known) -> (&'static str, String, Errand) {
        match rng.u8(0..16) {
            0..5 => self.process(rng),
            5..7 => self.process_held(rng, known),
            7..9 => self.decide(rng),
            9..14 => self.outcome(rng, known),
            _ => self.review_of_decision(rng, known),
        }
    }

    fn process(&mut self, rng: &mut Rng) -> (&'static str, String, Errand) {
        let id = (rng.u8(0..3) == 0).then(|| format!("id{}", rng.u8(0..12)));
        let member = id.as_ref().map_or(String::new(), |id| format!(",\"id\":\"{id}\""));
        let (mark, mut kind, mut signals) = (self.next(), pick(rng, &KINDS), signals(rng));
        if rng.u8(0..3) == 0 {
            // Always the same question.
            (kind, signals) = ("recovery_needed", String::new());
        }
        let event = format!("{{\"type\":\"{kind}\",\"mark\":{mark}{member}{signals}}}");
        ("event.process", format!("{{\"event\":{event}}}"), Errand::Process { mark, id })
    }

    pub fn process_held(&mut self, rng: &mut Rng, known: &Known) -> (&'static str, String, Errand) {
        let (seq, _) = self.in_hand(rng, known);
        ("event.process", format!("{{\"seq\":{seq}}}"), Errand::ProcessHeld { seq })
    }

    fn decide(&mut self, rng: &mut Rng) -> (&'static str, String, Errand) {
        let (mark, kind, context) = (self.next(), pick(rng, &KINDS), pick(rng, &CONTEXTS));
        let (risk, confidence) = (pick(rng, &Risk::ALL).as_str(), rng.f64());
        let rules = match rng.u8(0..4) {
            0 => ",\"rules\":[[null,\"high+\",0.3,\"mine\",\"so\"]]",
            1 => {
                ",\"rules\":[{\"context\":\"*\",\"action\":\"mine\",\"reason\":\"so\",\"gate\":\"risk\"}]"
            }
            _ => "",
        };
        let event = format!("{{\"type\":\"{kind}\",\"mark\":{mark}}}");
        let params = format!(
            "{{\"event\":{event},\"context\":\"{context}\",\"risk\":\"{risk}\",\
             \"confidence\":{confidence}{rules}}}"
        );
        ("decision.decide", params, Errand::Decide { confidence })
    }

    fn outcome(&mut self, rng: &mut Rng, known: &Known) -> (&'static str, String, Errand) {
        let (number, success) = (self.next(), rng.u8(0..3) > 0);
        let (of, member) = match rng.u8(0..3) {
            0 if !known.calls.is_empty() => {
                let id = known.calls[rng.usize(0..known.calls.len())].clone();
                let member = format!("\"call_id\":\"{id}\"");
                (Of::Call(id), member)
            }
            0 | 1 if known.last_decision > 0 => {
                let newest = known.last_decision;
                let id = rng.u64(newest.saturating_sub(4)..newest + 2);
                (Of::Decision(id), format!("\"decision_id\":{id}"))
            }
            _ => {
                let confidence = rng.f64().mul_add(0.6, 0.2);
                let risk = pick(rng, &[Risk::High, Risk::High, Risk::Low]);
                let context: Option<Arc<str>> = rng.bool().then(|| pick(rng, &CONTEXTS).into());
                let given =
                    context.as_ref().map_or(String::new(), |c| format!(",\"context\":\"{c}\""));
                let risk_name = risk.as_str();
                let member =
                    format!("\"confidence\":{confidence},\"context_risk\":\"{risk_name}\"{given}");
                (Of::Stated { confidence, risk, context }, member)
            }
        };
        let params = format!("{{\"success\":{success},{member}}}");
        let told = Outcome { number, success, of };
        ("confidence.record_outcome", params, Errand::Outcome(told))
    }

    fn review_of_decision(
        &mut self,
        rng: &mut Rng,
        known: &Known,
    ) -> (&'static str, String, Errand) {
        let decision = rng.u64(1..known.last_decision + 3);
        let key = match rng.u8(0..3) {
            0 => format!(",\"key\":\"d{}\"", rng.u8(0..4)),
            _ => String::new(),
        };
        let prompt = pick(rng, &["may I", "shall I"]);
        let params = format!("{{\"prompt\":\"{prompt}\",\"decision_id\":{decision}{key}}}");
        ("review.request", params, Errand::ReviewOf { decision })
    }

    /// A question that changes nothing.
    pub fn assess(&mut self, rng: &mut Rng) -> Request {
        let (kind, signals) = (pick(rng, &KINDS), signals(rng).replace("\"high\"", "1"));
        let event = format!("{{\"type\":\"{kind}\"{signals}}}");
        let id = Some(self.next().to_string());
        if rng.u8(0..4) == 0 {
            let params = format!("{{\"event\":{event}}}");
            return Request { id, method: "context.analyze", params, what: What::Analyze };
        }
        let risk = pick(rng, &[Risk::High, Risk::High, Risk::Low]).as_str();
        let context = match rng.bool() {
            true => format!(",\"context\":\"{}\"", pick(rng, &CONTEXTS)),
            false => String::new(),
        };
        let params = format!("{{\"event\":{event},\"context_risk\":\"{risk}\"{context}}}");
        Request { id, method: "confidence.calculate", params, what: What::Calculate }
    }
}

// ------------------------------------------------------------------- answers

/// What was told of decisions.
#[derive(Default)]
pub struct Told {
    /// Names of calculations, the newest last.
    pub calls: Vec<String>,
    /// By event: processed again it is told the same.
    processed: BTreeMap<Seq, Value>,
}

impl Told {
    /// `confidence.calculate`.
    pub fn calculated(&mut self, result: &Value) {
        let number = |member: &str| result[member].as_f64().expect("a number");
        let id = result["call_id"].as_str().expect("its name").to_owned();
        let q = u64::from_str_radix(id.split('.').nth(2).unwrap(), 16).unwrap();
        let (q, value) = (f64::from_bits(q), number("final"));
        assert!((SURE.0..=SURE.1).contains(&value) && (SURE.0..=SURE.1).contains(&q), "{result}");
        assert_eq!(number("history_weight").to_bits(), (value / q).to_bits());
        let plain = number("base") * number("context_adjustment");
        assert_eq!(plain.clamp(SURE.0, SURE.1).to_bits(), q.to_bits(), "the evidence");
        assert!((0.0..=1.0).contains(&number("decay_factor")), "{result}");
        assert!(!self.calls.contains(&id), "two calculations go by one name");
        self.calls.push(id);
    }

    /// `event.process`. Gives the version it tells.
    pub fn processed(
        &mut self,
        result: &Value,
        durable: &Durable,
        surely_first: bool,
    ) -> Option<u64> {
        decided(result, durable);
        let id = result["decision_id"].as_u64().unwrap();
        let row = &durable.work.decisions.rows[&id];
        let (created, there) =
            (result["checkpoint_created"] == true, durable.work.decisions.saved.contains(&id));
        let by_it = surely_first && created != there;
        assert!(!by_it && (there || !created), "a checkpoint with decision {id}: {result}");
        assert_eq!(result["seq"], row.seq);
        assert_eq!(result["event_type"], *row.kind);
        assert_eq!(result["context"]["context"], *row.context);
        assert_eq!(result["context"]["risk"], row.risk.as_str());
        assert_eq!(result["confidence"].as_f64(), Some(row.confidence), "{result}");
        assert_eq!(result["threshold"].as_f64(), Some(row.threshold), "{result}");
        assert_eq!(result["state_persisted"], true);
        let mut same = result.clone();
        // These may be others by now.
        for member in ["state_version", "checkpoint_created", "review_id"] {
            same.as_object_mut().unwrap().remove(member);
        }
        let first = self.processed.entry(row.seq).or_insert_with(|| same.clone());
        assert_eq!(*first, same, "event {} was processed twice", row.seq);
        result["state_version"].as_u64()
    }
}

/// A decision is told when it is on the disk, and as it is there.
pub fn decided(result: &Value, durable: &Durable) {
    let id = result["decision_id"].as_u64().expect("a decision has a number");
    let row = durable.work.decisions.rows.get(&id).expect("a decision is told when it is there");
    assert_eq!(result["action"], *row.action, "{result}");
    assert_eq!(result["reason"], *row.reason);
    assert_eq!(result["verdict"], row.verdict.as_str());
    let review = result["review_id"].as_u64();
    let asked_later = review.is_none() && row.verdict.as_str() == "execute";
    assert!(review == row.review || asked_later, "the review of decision {id}");
    let gate = &result["metadata"];
    if gate.is_object() {
        assert_eq!(gate["threshold"].as_f64(), Some(row.threshold), "{result}");
        assert_eq!(gate["environment"], row.environment.as_str());
    }
}

/// An outcome is told to be recorded when it has taught.
pub fn taught(outcome: &Outcome, durable: &Durable) {
    let decisions = &durable.work.decisions;
    let known = match outcome.of {
        Of::Decision(id) => decisions.rows[&id].outcome == Some(outcome.success),
        Of::Call(_) | Of::Stated { .. } => decisions.lessons.has_taught(outcome),
    };
    assert!(known, "{outcome:?} taught nothing");
}

/// A review about a decision is that decision's, or one that was asked for by
/// the same key.
pub fn asked_about(decision: u64, params: &str, result: &Value, durable: &Durable) {
    let id = result["review_id"].as_u64().expect("a review has a number");
    let row = durable.work.reviews.get(&id).expect("a review is told when it is there");
    let its_own = durable.work.decisions.rows.get(&decision).and_then(|row| row.review);
    let by_key = row.key.as_deref().is_some_and(|key| params.contains(&format!("\"{key}\"")));
    assert!(its_own == Some(id) || by_key, "the review of decision {decision} is {its_own:?}");
}

/// Refused with -32602: there is a reason for it.
pub fn refused(what: &Errand, data: &Value, durable: &Durable) {
    let Errand::Outcome(outcome) = what else { return };
    let decisions = &durable.work.decisions;
    match (&outcome.of, data["member"].as_str()) {
        (Of::Call(id), Some("success")) => {
            let known = decisions.lessons.calls.get(id);
            assert_eq!(known, Some(&!outcome.success), "what was told of {id}");
        }
        (Of::Decision(id), Some("success")) => {
            assert_eq!(decisions.rows[id].outcome, Some(!outcome.success), "of decision {id}");
        }
        (Of::Decision(_), Some("decision_id")) => {
            assert!(!decisions.lessons.was_there(outcome), "{outcome:?} was refused");
        }
        (_, _) => panic!("{outcome:?} was refused: {data}"),
    }
}
