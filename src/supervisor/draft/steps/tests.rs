use crate::supervisor::io::StepState;
use crate::supervisor::machine::Setup;
use crate::supervisor::testbed::{Bed, setup};

const BEGIN: &str = r#"{"scope":"job","step":"pay","input_hash":"h"}"#;

fn bed() -> Bed {
    Bed::working(setup(), 1)
}

fn complete(attempt: u32, what: &str) -> String {
    format!(r#"{{"scope":"job","step":"pay","attempt":{attempt},{what}}}"#)
}

/// What stands behind a member in an answer.
fn word(sent: &str, member: &str) -> String {
    let start = sent.find(&format!("\"{member}\":\"")).unwrap() + member.len() + 4;
    sent[start..].chars().take_while(|c| *c != '"').collect()
}

#[test]
fn a_step_that_is_done_gives_its_result_and_never_runs_again() {
    let mut bed = bed();
    let first = bed.done("step.begin", BEGIN);
    assert!(first.contains(r#""status":"run","attempt":1"#), "{first}");
    let told =
        bed.done("step.complete", &complete(1, r#""result":{"id":7},"patch":{"paid":true}"#));
    assert!(told.contains(r#""result":{"version":1}"#), "{told}");
    for _ in 0..2 {
        let again = bed.done("step.begin", BEGIN);
        assert!(again.contains(r#""status":"done","attempt":1"#), "{again}");
        assert!(again.contains(r#""result":{"id":7}"#), "{again}");
        assert_eq!(word(&again, "idempotency_key"), word(&first, "idempotency_key"));
        bed.crashes(1);
        bed.commit_all();
    }
    bed.done("step.forget", r#"{"scope":"job"}"#);
    assert!(bed.done("step.begin", BEGIN).contains(r#""status":"run","attempt":1"#));
}

#[test]
fn a_failure_that_is_final_is_remembered() {
    let mut bed = bed();
    bed.done("step.begin", BEGIN);
    bed.done("step.complete", &complete(1, r#""error":"no such account""#));
    let again = bed.done("step.begin", BEGIN);
    assert!(again.contains(r#""status":"failed""#) && again.contains("no such account"), "{again}");
}

#[test]
fn the_same_name_with_other_input_is_refused() {
    let mut bed = bed();
    bed.done("step.begin", BEGIN);
    let other = r#"{"scope":"job","step":"pay","input_hash":"other"}"#;
    bed.crashes(1);
    assert!(bed.done("step.begin", other).contains(r#""code":1301"#));
    bed.done("step.begin", BEGIN);
    bed.done("step.complete", &complete(2, r#""result":1"#));
    assert!(bed.done("step.begin", other).contains(r#""code":1301"#));
}

#[test]
fn what_is_under_way_is_not_begun_a_second_time() {
    let mut bed = bed();
    let first = bed.done("step.begin", BEGIN);
    assert!(bed.done("step.begin", BEGIN).contains(r#""code":1302"#));
    bed.crashes(1);
    let again = bed.done("step.begin", BEGIN);
    assert!(again.contains(r#""status":"run","attempt":2"#), "{again}");
    assert_eq!(word(&again, "idempotency_key"), word(&first, "idempotency_key"));
    let late = bed.done("step.complete", &complete(1, r#""result":1"#));
    assert!(late.contains(r#""code":1201"#), "{late}");
}

#[test]
fn a_nacked_event_begins_its_open_steps_again_in_the_same_incarnation() {
    let mut bed = bed();
    bed.done("event.emit", r#"{"event":{"type":"e"}}"#);
    let begin = r#"{"seq":1,"step":"pay"}"#;
    bed.done("step.begin", begin);
    assert!(bed.done("step.begin", begin).contains(r#""code":1302"#));
    bed.done("event.nack", r#"{"seq":1,"attempt":1,"delay_ms":0}"#);
    let again = bed.done("step.begin", begin);
    assert!(again.contains(r#""status":"run","attempt":2"#), "{again}");
}

#[test]
fn a_step_of_an_event_belongs_to_who_holds_it() {
    let mut bed = bed();
    assert!(bed.done("step.begin", r#"{"seq":1,"step":"pay"}"#).contains(r#""code":1202"#));
    bed.done("event.emit", r#"{"event":{"type":"e"}}"#);
    bed.done("event.ack", r#"{"seq":1,"attempt":1}"#);
    assert!(bed.done("step.begin", r#"{"seq":1,"step":"pay"}"#).contains(r#""code":1201"#));
}

#[test]
fn done_within_a_transaction_is_done_for_the_rest_of_it() {
    let mut bed = bed();
    bed.done("step.begin", BEGIN);
    let tx = format!(
        r#"{{"ops":[{{"method":"step.complete","params":{}}},{{"method":"step.begin","params":{BEGIN}}}]}}"#,
        complete(1, r#""result":5"#)
    );
    let sent = bed.done("tx", &tx);
    assert!(sent.contains(r#""status":"done""#) && sent.contains(r#""result":5"#), "{sent}");
}

#[test]
fn a_person_says_what_becomes_of_a_step_that_nobody_knows_of() {
    let ask = r#"{"scope":"job","step":"pay","on_unknown":"review"}"#;
    for (says, becomes) in
        [("approved", r#""status":"run","attempt":2"#), ("rejected", r#""status":"failed""#)]
    {
        let mut bed = bed();
        bed.done("step.begin", BEGIN);
        bed.crashes(1);
        bed.commit_all();
        for _ in 0..2 {
            let sent = bed.done("step.begin", ask);
            assert!(
                sent.contains(r#""status":"review""#) && sent.contains(r#""review_id":1"#),
                "{sent}"
            );
        }
        bed.operator(1, "review.resolve", &format!(r#"{{"id":1,"status":"{says}"}}"#));
        bed.commit_all();
        let sent = bed.done("step.begin", ask);
        assert!(sent.contains(becomes), "{sent}");
        let state = bed.shelf.steps.values().next().unwrap().state;
        assert_eq!(state == StepState::Failed, says == "rejected");
    }
}

#[test]
fn a_step_is_progress_and_a_failed_one_is_not() {
    for (outcome, counts) in [(r#""result":1"#, 0), (r#""error":1"#, 1)] {
        let mut bed = Bed::working(Setup { ..setup() }, 1);
        bed.crashes(1);
        bed.done("step.begin", BEGIN);
        bed.done("step.complete", &complete(1, outcome));
        assert_eq!(bed.machine.restarts.crashes_in_row(), counts);
    }
}
