use std::time::Duration;

use super::super::io::{Answer, EventStatus, Op, WorkAnswer, WorkOp};
use super::super::testbed::Bed;

/// Nothing is kept on the disk but what the machine knows anyway.
fn commit(bed: &mut Bed) {
    bed.commit_with(|op| match op {
        Op::Work(WorkOp::LookStep(_)) => Some(Answer::Work(WorkAnswer::Step(None))),
        _ => None,
    });
}

/// An agent that was handed an event.
fn handed() -> Bed {
    let mut bed = Bed::speaking();
    bed.operator(1, "event.emit", r#"{"event":{"type":"t"}}"#);
    commit(&mut bed);
    next(&mut bed, 1);
    bed
}

fn next(bed: &mut Bed, attempt: u32) {
    bed.operator(1, "event.next", "{}");
    commit(bed);
    let told = bed.replies().concat();
    assert!(told.contains(&format!(r#""seq":1,"attempt":{attempt}"#)), "{told}");
}

fn asked(bed: &mut Bed, method: &str, params: &str) -> String {
    bed.asks(method, params);
    let at_once = bed.sent();
    commit(bed);
    if bed.units.is_empty() {
        return at_once + &bed.sent();
    }
    // What was looked up is known now, and written.
    commit(bed);
    at_once + &bed.sent()
}

fn operator(bed: &mut Bed, method: &str, params: &str) -> String {
    bed.operator(1, method, params);
    let at_once = bed.replies().concat();
    commit(bed);
    if bed.units.is_empty() {
        return at_once + &bed.replies().concat();
    }
    commit(bed);
    at_once + &bed.replies().concat()
}

const BEGIN: &str = r#"{"step":"s","seq":1}"#;

#[test]
fn an_open_step_is_begun_again_with_the_next_attempt_of_its_event() {
    let mut bed = handed();
    let begun = asked(&mut bed, "step.begin", BEGIN);
    assert!(begun.contains(r#""status":"run","attempt":1"#), "{begun}");
    let again = asked(&mut bed, "step.begin", BEGIN);
    assert!(again.contains(r#""kind":"step_in_progress""#), "{again}");
    asked(&mut bed, "event.nack", r#"{"seq":1,"attempt":1,"delay_ms":0}"#);
    bed.pass(Duration::from_secs(1));
    next(&mut bed, 2);
    let begun = asked(&mut bed, "step.begin", BEGIN);
    assert!(begun.contains(r#""status":"run","attempt":2"#), "{begun}");
}

#[test]
fn a_command_that_failed_may_begin_its_step_again() {
    let mut bed = handed();
    for attempt in 1..=3 {
        let begun = operator(&mut bed, "step.begin", BEGIN);
        let expected = format!(r#""status":"run","attempt":{attempt}"#);
        assert!(begun.contains(&expected), "{begun}");
    }
    let late = r#"{"step":"s","seq":1,"attempt":2,"result":1}"#;
    assert!(operator(&mut bed, "step.complete", late).contains(r#""kind":"stale_attempt""#));
    let done = r#"{"step":"s","seq":1,"attempt":3,"result":1}"#;
    assert!(operator(&mut bed, "step.complete", done).contains(r#""result":{"version":0}"#));
}

/// The last status of an event that was sent to the disk.
fn noted(bed: &Bed) -> EventStatus {
    let status = bed.ops().filter_map(|op| match op {
        Op::Work(WorkOp::Status(status)) => Some((**status).clone()),
        _ => None,
    });
    status.last().expect("a status")
}

#[test]
fn an_event_that_waits_is_in_nobody_s_hands() {
    let waits = [
        ("event.nack", r#"{"seq":1,"attempt":1}"#, 0),
        ("event.nack", r#"{"seq":1,"attempt":1,"dead":true}"#, 1),
        ("event.park", r#"{"seq":1,"attempt":1,"until":{"event_type":"u"}}"#, 0),
        ("event.park", r#"{"seq":1,"attempt":1,"until":{"after_ms":9}}"#, 0),
        ("event.ack", r#"{"seq":1,"attempt":1}"#, 1),
    ];
    for (method, params, holder) in waits {
        let mut bed = handed();
        bed.asks(method, params);
        assert_eq!(noted(&bed).holder, holder, "{method} {params}");
    }
}
