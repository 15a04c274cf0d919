use std::time::Duration;

use crate::supervisor::io::{EventState, ReviewStatus};
use crate::supervisor::testbed::{Bed, setup};

#[test]
fn the_same_key_is_the_same_review_its_answer_included() {
    let mut bed = Bed::working(setup(), 1);
    let ask = r#"{"prompt":"may I?","key":"k"}"#;
    for _ in 0..2 {
        let sent = bed.done("review.request", ask);
        assert!(sent.contains(r#"{"review_id":1,"status":"pending"}"#), "{sent}");
    }
    assert_eq!(bed.shelf.reviews[&1].count, 2);
    bed.operator(1, "review.resolve", r#"{"id":1,"status":"approved","answer":[1],"note":"go"}"#);
    bed.commit_all();
    bed.crashes(1);
    let sent = bed.done("review.request", ask);
    assert!(sent.contains(r#"{"review_id":1,"status":"approved","answer":[1]}"#), "{sent}");
    bed.operator(2, "review.resolve", r#"{"id":1,"status":"rejected"}"#);
    bed.commit();
    assert!(bed.replies()[0].contains("approved already"), "{:?}", bed.replies());
}

#[test]
fn the_end_of_a_review_is_told_outside_credit_and_is_an_event() {
    let mut bed = Bed::working(setup(), 1);
    bed.done("event.emit", r#"{"event":{"type":"e"}}"#);
    bed.done("review.request", r#"{"prompt":"may I?"}"#);
    bed.done("event.park", r#"{"seq":1,"attempt":1,"until":{"review":1}}"#);
    assert_eq!(bed.shelf.events[&1].status.state, EventState::Parked);
    bed.done("event.emit", r#"{"event":{"type":"f"}}"#);
    bed.operator(1, "review.resolve", r#"{"id":1,"status":"rejected"}"#);
    assert!(!bed.sent().contains("review.resolved"), "not before its commit");
    let sent = bed.commit_all();
    assert!(
        sent.contains(r#""method":"review.resolved","params":{"review_id":1,"status":"rejected"}"#)
    );
    assert!(!sent.contains("event.deliver"), "the agent holds one: {sent}");
    assert_eq!(bed.shelf.events[&1].status.state, EventState::Pending);
    assert_eq!(&*bed.shelf.events[&3].kind, "review.resolved");
    // One that was settled before is not waited for.
    bed.done("event.park", r#"{"seq":2,"attempt":1,"until":{"review":1}}"#);
    assert_eq!(bed.shelf.events[&2].status.state, EventState::Pending);
}

#[test]
fn silence_is_an_answer_after_a_while() {
    let mut bed = Bed::working(setup(), 1);
    let ask = r#"{"prompt":"may I?","timeout_ms":5000,"default":"approve"}"#;
    bed.done("review.request", ask);
    bed.pass(Duration::from_millis(4999));
    assert!(bed.units.is_empty());
    bed.pass(Duration::from_millis(1));
    let sent = bed.commit_all();
    assert!(sent.contains(r#""status":"expired","default":"approved""#), "{sent}");
    assert_eq!(bed.shelf.reviews[&1].status, ReviewStatus::Expired);
}
