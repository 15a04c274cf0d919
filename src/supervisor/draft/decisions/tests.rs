use std::time::Duration;

use serde_json::{Value, json};

use crate::engines::context::Risk;
use crate::supervisor::exit::Exit;
use crate::supervisor::io::{EventState, Input, StoreFailureKind};
use crate::supervisor::setup::Setup;
use crate::supervisor::testbed::{Bed, setup};

const OVERLOAD: &str = r#"{"type":"service_overload","severity":0.91,"cpu":96,"memory":92}"#;
const RECOVERY: &str = r#"{"type":"recovery_needed","severity":0.15}"#;

/// The result of a request, once all is on the disk.
fn result(bed: &mut Bed, method: &str, params: &str) -> Value {
    let sent = bed.done(method, params);
    let answers = sent.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let answer = answers.into_iter().find(|answer| answer.get("id").is_some());
    let answer = answer.unwrap_or_else(|| panic!("{method} has no answer: {sent}"));
    answer.get("result").or_else(|| answer.get("error")).unwrap().clone()
}

fn process(bed: &mut Bed, event: &str) -> Value {
    result(bed, "event.process", &format!(r#"{{"event":{event}}}"#))
}

#[test]
fn the_whole_pipeline_in_one_transaction() {
    let mut bed = Bed::working(Setup { checkpoint_every: Some(2), ..setup() }, 1);
    let first = process(&mut bed, OVERLOAD);
    assert_eq!(first["action"], "scale_up_immediate");
    assert_eq!(first["priority"], "high");
    assert_eq!(first["verdict"], "execute");
    assert_eq!(first["context"]["context"], "resource_pressure");
    assert_eq!(first["threshold"], 0.6);
    assert_eq!(first["decision_id"], 1);
    assert_eq!(first["checkpoint_created"], false);
    assert!(first.get("review_id").is_none());
    let second = process(&mut bed, OVERLOAD);
    assert_eq!(second["checkpoint_created"], true);
    let shelf = &bed.shelf;
    assert_eq!(shelf.events.len(), 2);
    assert!(shelf.events.values().all(|row| row.status.state == EventState::Acked));
    assert_eq!(shelf.decisions.len(), 2);
    assert_eq!(shelf.policies.len(), 1, "the policy is kept once");
    assert_eq!(shelf.decisions[&2].seq, 2);
}

#[test]
fn what_falls_short_of_its_threshold_is_for_a_person() {
    let mut bed = Bed::working(setup(), 1);
    let asked = process(&mut bed, RECOVERY);
    assert_eq!((&asked["verdict"], &asked["review_id"]), (&json!("review"), &json!(1)));
    let again = process(&mut bed, RECOVERY);
    assert_eq!(again["review_id"], 1, "the same question is asked once");
    assert_eq!(again["decision_id"], 2);
    assert_eq!(bed.shelf.reviews[&1].count, 2);
    assert_eq!(bed.shelf.reviews[&1].decision, Some(1));
    let found = result(&mut bed, "review.request", r#"{"prompt":"?","decision_id":2}"#);
    assert_eq!((&found["review_id"], &found["status"]), (&json!(1), &json!("pending")));
    bed.operator(1, "review.resolve", r#"{"id":1,"status":"approved","note":"go"}"#);
    let told = bed.commit_all();
    assert!(told.contains(r#""review_id":1,"status":"approved","decision_id":1"#), "{told}");
    let found = result(&mut bed, "review.request", r#"{"prompt":"?","decision_id":2}"#);
    assert_eq!(found["status"], "approved");
    assert_eq!(bed.shelf.calibrations.len(), 0, "an approval alone teaches nothing");
    result(&mut bed, "confidence.record_outcome", r#"{"success":true,"decision_id":1}"#);
    assert_eq!(bed.shelf.calibrations.len(), 2, "its context, and all contexts");
}

#[test]
fn who_asks_about_a_decision_by_a_key_takes_its_review_over() {
    let mut bed = Bed::working(setup(), 1);
    process(&mut bed, RECOVERY);
    let mine = r#"{"prompt":"Run repair.sh?","options":["now"],"decision_id":1,"key":"k"}"#;
    let taken = result(&mut bed, "review.request", mine);
    assert_eq!(taken["review_id"], 1);
    assert_eq!(&*bed.shelf.reviews[&1].prompt, "Run repair.sh?");
    assert_eq!(result(&mut bed, "review.request", mine)["review_id"], 1);
    let other = mine.replace("\"k\"", "\"l\"");
    assert_eq!(result(&mut bed, "review.request", &other)["review_id"], 2);
    assert_eq!(bed.shelf.decisions[&1].review, Some(1), "which is another question");
    let plain = r#"{"prompt":"?","decision_id":1}"#;
    assert_eq!(result(&mut bed, "review.request", plain)["review_id"], 1);
    assert_eq!(&*bed.shelf.reviews[&1].prompt, "Run repair.sh?", "its words stay");
    assert_eq!(process(&mut bed, RECOVERY)["review_id"], 3, "that one was for another");
}

#[test]
fn silence_settles_a_review_by_its_default() {
    let mut bed = Bed::working(setup(), 1);
    process(&mut bed, RECOVERY);
    bed.pass(Duration::from_secs(3601));
    let told = bed.commit_all();
    assert!(told.contains(r#""status":"expired","default":"rejected","decision_id":1"#), "{told}");
}

#[test]
fn outcomes_teach_once() {
    let mut bed = Bed::working(setup(), 1);
    process(&mut bed, OVERLOAD);
    let ask =
        format!(r#"{{"event":{OVERLOAD},"context_risk":"high","context":"resource_pressure"}}"#);
    let before = result(&mut bed, "confidence.calculate", &ask);
    assert_eq!(before["history_weight"], 1.0);
    let call = format!(r#"{{"success":false,"call_id":{}}}"#, before["call_id"]);
    for _ in 0..2 {
        assert_eq!(result(&mut bed, "confidence.record_outcome", &call), json!({}));
    }
    let other = call.replace("false", "true");
    let refused = result(&mut bed, "confidence.record_outcome", &other);
    assert_eq!(refused["data"]["member"], "success");
    let decision = r#"{"success":false,"decision_id":1}"#;
    for _ in 0..2 {
        assert_eq!(result(&mut bed, "confidence.record_outcome", decision), json!({}));
    }
    let kept = &bed.shelf.calibrations[&("resource_pressure".into(), Risk::High)];
    assert_eq!(kept.calibration.outcomes, 2);
    let stated = r#"{"success":false,"confidence":0.83,"context_risk":"high"}"#;
    result(&mut bed, "confidence.record_outcome", stated);
    let all = &bed.shelf.calibrations[&("*".into(), Risk::High)];
    assert_eq!(all.calibration.outcomes, 3);
    // Two of its own are too few to go by; three of all are not.
    let after = result(&mut bed, "confidence.calculate", &ask);
    assert!(after["final"].as_f64() < before["final"].as_f64());
    assert_ne!(after["call_id"], before["call_id"]);
}

#[test]
fn what_was_learnt_outlives_the_agent_and_a_failed_disk_teaches_nothing() {
    let mut bed = Bed::working(setup(), 1);
    process(&mut bed, OVERLOAD);
    bed.asks("confidence.record_outcome", r#"{"success":true,"decision_id":1}"#);
    bed.commit();
    bed.fail(StoreFailureKind::Full);
    bed.fail(StoreFailureKind::Full);
    assert!(bed.shelf.calibrations.is_empty());
    bed.pass(Duration::from_secs(60));
    bed.commit_all();
    result(&mut bed, "confidence.record_outcome", r#"{"success":true,"decision_id":1}"#);
    let kept = bed.shelf.calibrations[&("*".into(), Risk::High)].clone();
    assert_eq!(kept.calibration.outcomes, 1, "and it can be told again");
    bed.exits(Exit::Signal { signal: 9, core: false });
    bed.drained();
    bed.commit_all();
    bed.next_one(1);
    bed.commit_all();
    let again =
        result(&mut bed, "confidence.record_outcome", r#"{"success":true,"decision_id":1}"#);
    assert_eq!(again, json!({}));
    assert_eq!(bed.shelf.calibrations[&("*".into(), Risk::High)], kept, "not counted twice");
}

#[test]
fn a_delivered_event_is_processed_once() {
    let mut bed = Bed::working(setup(), 1);
    bed.operator(1, "event.emit", &format!(r#"{{"event":{OVERLOAD}}}"#));
    bed.commit_all();
    let first = result(&mut bed, "event.process", r#"{"seq":1}"#);
    let second = result(&mut bed, "event.process", r#"{"seq":1}"#);
    assert_eq!(first, second);
    assert_eq!(bed.shelf.decisions.len(), 1);
    assert_eq!(bed.shelf.events[&1].status.state, EventState::Pending, "it is still held");
    let decide = format!(r#"{{"event":{RECOVERY},"context":"a","risk":"low","confidence":0.9}}"#);
    result(&mut bed, "decision.decide", &decide);
    for seq in [7, 0] {
        // A decision about no event is not about event 0.
        let unknown = result(&mut bed, "event.process", &format!(r#"{{"seq":{seq}}}"#));
        assert_eq!(unknown["data"]["kind"], "unknown_event", "{unknown}");
    }
}

#[test]
fn an_event_that_comes_again_by_its_id_is_not_decided_again() {
    let mut bed = Bed::working(setup(), 1);
    let event = r#"{"type":"timeout","id":"a","source":"s","severity":0.45}"#;
    let first = process(&mut bed, event);
    assert_eq!(process(&mut bed, event), first);
    assert_eq!((bed.shelf.events.len(), bed.shelf.decisions.len()), (1, 1));
}

#[test]
fn signals_that_are_none_are_refused_by_name() {
    let mut bed = Bed::working(setup(), 1);
    for (event, member) in [
        (r#"{"type":"a","cpu":"high"}"#, "cpu"),
        (r#"{"type":"a","cpu":101}"#, "cpu"),
        (r#"{"type":"a","severity":-0.1}"#, "severity"),
        (r#"{"type":"a","error_rate":1e999}"#, "error_rate"),
        (r#"{"type":"a","memory":true}"#, "memory"),
        (r#"{"severity":0.1}"#, "type"),
    ] {
        for method in ["event.process", "context.analyze"] {
            let refused = result(&mut bed, method, &format!(r#"{{"event":{event}}}"#));
            assert_eq!(refused["data"]["member"], member, "{method} {event}: {refused}");
        }
    }
    let null = process(&mut bed, r#"{"type":"a","cpu":null,"latency_ms":90000}"#);
    assert_eq!(null["context"]["pressure_score"], 0.1);
    assert_eq!(null["context"]["context"], "unknown_a");
    assert_eq!(bed.shelf.decisions.len(), 1);
}

#[test]
fn rules_of_a_request_come_first() {
    let mut bed = Bed::working(setup(), 1);
    let ask = |rules: &str| {
        format!(
            r#"{{"event":{OVERLOAD},"context":"resource_pressure","risk":"high","confidence":0.78{rules}}}"#
        )
    };
    let plain = result(&mut bed, "decision.decide", &ask(""));
    assert_eq!((&plain["action"], &plain["priority"]), (&json!("restart_service"), &json!("high")));
    assert_eq!(plain["metadata"]["rule"], "built-in 3");
    let mine = r#","rules":[["resource_pressure","high",0.7,"my_action","mine"]]"#;
    let own = result(&mut bed, "decision.decide", &ask(mine));
    assert_eq!((&own["action"], &own["reason"]), (&json!("my_action"), &json!("mine")));
    assert_eq!(own["metadata"]["rule"], "call 1");
    let low = r#","rules":[{"risk":"low+","min_confidence":0.79,"action":"a","reason":"b"}]"#;
    assert_eq!(result(&mut bed, "decision.decide", &ask(low))["action"], "restart_service");
    let bad = r#","rules":[["resource_pressure","hihg",0.7,"my_action","mine"]]"#;
    assert_eq!(result(&mut bed, "decision.decide", &ask(bad))["data"]["member"], "rules");
}

#[test]
fn another_policy_holds_from_the_next_decision_on() {
    let mut bed = Bed::working(setup(), 1);
    process(&mut bed, OVERLOAD);
    let mut reading = crate::engines::context::Reading::default();
    reading.names.insert("service_overload".into(), "self_healing".into());
    let policy = crate::engines::decision::Policy::new(reading, Default::default(), Vec::new());
    bed.give(Input::Policy(std::sync::Arc::new(policy)));
    assert_eq!(process(&mut bed, OVERLOAD)["action"], "run_recovery");
    assert_eq!(bed.shelf.policies.len(), 2);
    assert_ne!(bed.shelf.decisions[&1].policy, bed.shelf.decisions[&2].policy);
}

#[test]
fn one_transaction_decides_an_event_once() {
    let mut bed = Bed::working(setup(), 1);
    bed.operator(1, "event.emit", &format!(r#"{{"event":{OVERLOAD}}}"#));
    bed.commit_all();
    let by_seq = r#"{"method":"event.process","params":{"seq":1}}"#;
    let found = result(&mut bed, "tx", &format!(r#"{{"ops":[{by_seq},{by_seq}]}}"#));
    assert_eq!(found["results"][0], found["results"][1]);
    let by_id =
        r#"{"method":"event.process","params":{"event":{"type":"timeout","source":"s","id":"a"}}}"#;
    let found = result(&mut bed, "tx", &format!(r#"{{"ops":[{by_id},{by_id}]}}"#));
    assert_eq!(found["results"][0], found["results"][1]);
    assert_eq!((bed.shelf.events.len(), bed.shelf.decisions.len()), (2, 2));
}

#[test]
fn an_event_that_comes_again_is_told_what_it_was_told_whatever_the_policy_is_by_now() {
    let mut bed = Bed::working(setup(), 1);
    let event =
        r#"{"type":"timeout","id":"a","severity":0.45,"cpu":91.7,"latency_ms":1234.5678901234567}"#;
    let first = process(&mut bed, event);
    let mut reading = crate::engines::context::Reading::default();
    reading.names.insert("timeout".into(), "self_healing".into());
    reading.weights = crate::engines::context::Weights { cpu: 0.9, ..reading.weights };
    let policy = crate::engines::decision::Policy::new(reading, Default::default(), Vec::new());
    bed.give(Input::Policy(std::sync::Arc::new(policy)));
    assert_eq!(process(&mut bed, event), first);
}

#[test]
fn a_decision_has_one_review_whoever_asks_for_it() {
    let mut bed = Bed::working(setup(), 1);
    let decide = |risk: &str| {
        format!(
            r#"{{"method":"decision.decide","params":{{"event":{RECOVERY},"context":"a","risk":"{risk}","confidence":0.1,"rules":[[null,null,0,"act","so"]]}}}}"#
        )
    };
    let ask = |id: u32, more: &str| {
        format!(
            r#"{{"method":"review.request","params":{{"prompt":"?","decision_id":{id}{more}}}}}"#
        )
    };
    // Its own, in the same transaction, …
    let ops = [decide("high"), ask(1, ""), ask(1, r#","key":"k""#)].join(",");
    let found = result(&mut bed, "tx", &format!(r#"{{"ops":[{ops}]}}"#));
    let results = &found["results"];
    assert_eq!(results[0]["review_id"], 1, "{found}");
    assert_eq!((&results[1]["review_id"], &results[2]["review_id"]), (&json!(1), &json!(1)));
    // … and one that was asked for about a decision that needed none.
    let run = decide("low").replace("\"confidence\":0.1", "\"confidence\":0.9");
    let ops = [run, ask(2, ""), ask(2, r#","options":["yes"]"#)].join(",");
    let found = result(&mut bed, "tx", &format!(r#"{{"ops":[{ops}]}}"#));
    assert_eq!(found["results"][1]["review_id"], 2, "{found}");
    assert_eq!(found["results"][2]["review_id"], 2);
    assert_eq!(bed.shelf.decisions[&2].review, Some(2));
    // A key that was never used finds it, too.
    let asked = r#"{"prompt":"?","decision_id":2,"key":"new"}"#;
    assert_eq!(result(&mut bed, "review.request", asked)["review_id"], 2);
    bed.operator(1, "review.resolve", r#"{"id":2,"status":"rejected","answer":["no"]}"#);
    bed.commit_all();
    let found = result(&mut bed, "review.request", asked);
    assert_eq!(
        (&found["status"], &found["answer"]),
        (&json!("rejected"), &json!(["no"])),
        "and its answer when it is settled: {found}"
    );
}

#[test]
fn what_an_operators_transaction_has_settled_is_settled() {
    let mut bed = Bed::working(setup(), 1);
    result(&mut bed, "review.request", r#"{"prompt":"?","key":"k"}"#);
    let resolve = r#"{"method":"review.resolve","params":{"id":1,"status":"approved"}}"#;
    let ask = r#"{"method":"review.request","params":{"prompt":"?","key":"k"}}"#;
    bed.operator(1, "tx", &format!(r#"{{"ops":[{resolve},{ask}]}}"#));
    bed.commit_all();
    assert_eq!(bed.shelf.reviews.len(), 1, "nobody is asked again");
}

#[test]
fn numbers_are_taken_to_the_last_bit() {
    let mut bed = Bed::working(setup(), 1);
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..100 {
        let given = rng.f64();
        let asked = format!(
            r#"{{"event":{RECOVERY},"context":"a","risk":"low","confidence":{given},"rules":[[null,null,{given},"act","so"]]}}"#
        );
        let found = result(&mut bed, "decision.decide", &asked);
        assert_eq!(found["action"], "act", "{given} is no less than itself");
        let (_, kept) = bed.shelf.decisions.last_key_value().unwrap();
        assert_eq!(kept.confidence, given);
    }
}
