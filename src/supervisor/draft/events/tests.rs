use std::time::Duration;

use crate::supervisor::io::{EventState, Exit, Op, Seq, WorkOp};
use crate::supervisor::machine::{EventPolicy, Setup};
use crate::supervisor::testbed::{Bed, setup};

fn with(events: EventPolicy) -> Setup {
    Setup { events, ..setup() }
}

fn emit(bed: &mut Bed, n: u32) -> String {
    bed.done("event.emit", &format!(r#"{{"event":{{"type":"e","n":{n}}}}}"#))
}

fn state(bed: &Bed, seq: Seq) -> EventState {
    bed.shelf.events[&seq].status.state
}

fn delivered(sent: &str, seq: Seq, attempt: u32) -> bool {
    sent.contains(&format!(
        r#""method":"event.deliver","params":{{"seq":{seq},"attempt":{attempt},"#
    ))
}

#[test]
fn an_ack_with_all_that_goes_with_it_is_one_unit_and_one_version() {
    let mut bed = Bed::working(setup(), 1);
    emit(&mut bed, 1);
    bed.done("step.begin", r#"{"seq":1,"step":"pay"}"#);
    bed.asks(
        "event.ack",
        r#"{"seq":1,"attempt":1,"patch":{"a":1},"emit":[{"type":"f"},{"event":{"type":"g"},"delay_ms":5}],
            "steps":[{"seq":1,"step":"pay","attempt":1,"result":7,"patch":{"b":2}}],
            "kv":[{"ns":"n","key":"k","value":1}],"checkpoint":{"label":"after"}}"#
            .replace('\n', "")
            .as_str(),
    );
    assert_eq!(bed.units.len(), 1);
    let ops: Vec<&Op> = bed.ops().collect();
    assert!(matches!(ops[0], Op::Journal(row) if row.version == 1), "{:?}", ops[0]);
    let works = ops.iter().filter(|op| matches!(op, Op::Work(_))).count();
    assert_eq!(works, 5, "two events, a step, an entry, the ack");
    assert!(ops.iter().any(|op| matches!(op, Op::Checkpoint(row) if row.version == 1)));
    assert!(bed.sent().is_empty(), "nothing is told before the commit");
    let sent = bed.commit_all();
    assert!(sent.contains(r#""result":{"version":1}"#) && delivered(&sent, 2, 1), "{sent}");
    let get = bed.done("state.get", "{}");
    assert!(get.contains(r#""version":1,"value":{"a":1,"b":2}"#), "{get}");
}

#[test]
fn what_fails_in_an_ack_or_a_tx_leaves_nothing_behind() {
    let mut bed = Bed::working(setup(), 1);
    emit(&mut bed, 1);
    let bad_step = r#"{"seq":1,"attempt":1,"patch":{"a":1},"emit":[{"type":"f"}],"steps":[{"seq":1,"step":"x","attempt":1}]}"#;
    bed.asks("event.ack", bad_step);
    assert!(bed.sent().contains(r#""code":1201"#) && bed.units.is_empty(), "{}", bed.sent());
    let tx = r#"{"ops":[{"method":"event.ack","params":{"seq":1,"attempt":1,"patch":{"a":1}}},
        {"method":"event.emit","params":{"event":{"type":"f"}}},
        {"method":"event.nack","params":{"seq":1,"attempt":1}}]}"#;
    bed.asks("tx", &tx.replace('\n', ""));
    assert!(bed.sent().contains(r#""index":2"#) && bed.units.is_empty(), "{}", bed.sent());
    let sent = bed.done("event.ack", r#"{"seq":1,"attempt":1}"#);
    assert!(sent.contains(r#""result":{"version":0}"#), "{sent}");
    assert!(emit(&mut bed, 2).contains(r#""seq":2"#), "no number was lost");
}

#[test]
fn a_hand_out_rides_along_with_what_makes_it_possible() {
    let mut bed = Bed::working(setup(), 1);
    bed.asks("event.emit", r#"{"event":{"type":"e"}}"#);
    assert_eq!(bed.units.len(), 1);
    let arrives = |op: &Op| matches!(op, Op::Work(WorkOp::Arrive(a)) if a.status.attempt == 1);
    assert!(bed.ops().all(arrives), "it arrives handed out");
    let sent = bed.commit_all();
    let (answer, event) = (sent.find(r#""seq":1,"duplicate""#), sent.find("event.deliver"));
    assert!(answer < event && event.is_some(), "{sent}");
    emit(&mut bed, 2);
    bed.asks("event.ack", r#"{"seq":1,"attempt":1}"#);
    assert_eq!(bed.units.len(), 1, "the ack and the next hand-out");
    assert!(delivered(&bed.commit_all(), 2, 1));
}

#[test]
fn credit_is_never_exceeded() {
    let mut bed = Bed::working(setup(), 2);
    let sent: String = (0..4).map(|n| emit(&mut bed, n)).collect();
    assert_eq!(sent.matches("event.deliver").count(), 2);
    let sent = bed.done("event.subscribe", r#"{"credit":3}"#);
    assert_eq!(sent.matches("event.deliver").count(), 1);
    let sent = bed.done("event.subscribe", r#"{"credit":1}"#);
    assert_eq!(sent.matches("event.deliver").count(), 0);
    for seq in 1..=3 {
        let sent = bed.done("event.ack", &format!(r#"{{"seq":{seq},"attempt":1}}"#));
        assert_eq!(delivered(&sent, 4, 1), seq == 3, "{sent}");
    }
}

#[test]
fn types_that_are_not_wanted_wait() {
    let mut bed = Bed::running();
    bed.initialize_with(r#","events":{"credit":9,"types":["b"]}"#);
    let a = bed.done("event.emit", r#"{"event":{"type":"a"}}"#);
    let b = bed.done("event.emit", r#"{"event":{"type":"b"}}"#);
    assert!(!a.contains("deliver") && delivered(&b, 2, 1));
    let sent = bed.done("event.subscribe", r#"{"credit":9}"#);
    assert!(delivered(&sent, 1, 1), "it is read from the disk: {sent}");
}

#[test]
fn after_a_crash_with_several_in_flight_they_come_one_at_a_time() {
    let mut bed = Bed::working(setup(), 3);
    (0..4).for_each(|n| drop(emit(&mut bed, n)));
    bed.crashes(3);
    let sent = bed.commit_all();
    assert!(delivered(&sent, 1, 2) && sent.matches("deliver").count() == 1, "{sent}");
    assert!(sent.contains(r#""last_error":"the agent died: exited with code 1""#), "{sent}");
    for seq in 1..=2 {
        let sent = bed.done("event.ack", &format!(r#"{{"seq":{seq},"attempt":2}}"#));
        assert!(delivered(&sent, seq + 1, 2) && sent.matches("deliver").count() == 1, "{sent}");
    }
    let sent = bed.done("event.ack", r#"{"seq":3,"attempt":2}"#);
    assert!(delivered(&sent, 4, 1), "never suspected: {sent}");
}

#[test]
fn a_poison_event_is_given_up_and_the_crash_count_starts_anew() {
    let mut bed = Bed::working(setup(), 1);
    (0..2).for_each(|n| drop(emit(&mut bed, n)));
    for attempt in 1..=3 {
        assert_eq!(bed.shelf.events[&1].status.attempt, attempt);
        assert_eq!(state(&bed, 1), EventState::Pending);
        bed.crashes(1);
        bed.commit_all();
    }
    assert_eq!(state(&bed, 1), EventState::Dead);
    assert_eq!(bed.shelf.events[&1].status.deaths, 3);
    assert_eq!(bed.shelf.events[&2].status.attempt, 1, "the agent goes on");
    assert!(bed.machine.restarts.crashes_in_row() <= 1);
    // It would be alone with the one that is handed out.
    let sent = bed.done("event.ack", r#"{"seq":1,"attempt":3}"#);
    assert!(sent.contains(r#""code":1201"#), "{sent}");
}

#[test]
fn an_end_that_was_asked_for_counts_against_nothing() {
    let mut bed = Bed::working(setup(), 1);
    emit(&mut bed, 1);
    bed.operator(1, "restart", "{}");
    bed.ends(Exit::Code(1));
    bed.next_one(1);
    assert!(delivered(&bed.commit_all(), 1, 2));
    assert_eq!(bed.shelf.events[&1].status.deaths, 0);
}

#[test]
fn nacks_wait_longer_and_longer_until_the_event_is_too_old() {
    let day = Duration::from_secs(24 * 3600);
    let policy =
        EventPolicy { nack_max: Duration::from_secs(4), max_age: day, ..EventPolicy::default() };
    let mut bed = Bed::working(with(policy), 1);
    emit(&mut bed, 1);
    for (attempt, seconds) in [(1, 1), (2, 2), (3, 4), (4, 4)] {
        let nack = format!(r#"{{"seq":1,"attempt":{attempt},"reason":"429"}}"#);
        assert!(bed.done("event.nack", &nack).contains(r#""result":{}"#));
        bed.pass(Duration::from_secs(seconds) - Duration::from_millis(1));
        assert!(!bed.commit_all().contains("deliver"));
        bed.pass(Duration::from_millis(1));
        let sent = bed.commit_all();
        assert!(
            delivered(&sent, 1, attempt + 1) && sent.contains(r#""last_error":"429""#),
            "{sent}"
        );
    }
    bed.pass(day);
    bed.done("event.nack", r#"{"seq":1,"attempt":5,"reason":"429"}"#);
    assert_eq!(state(&bed, 1), EventState::Dead, "by age, not by count");
    let reason = bed.shelf.events[&1].status.reason.clone().unwrap();
    assert!(reason.contains("5 times") && reason.contains("429"), "{reason}");
}

#[test]
fn a_nacked_event_gives_up_its_place_unless_order_is_kept() {
    for ordered in [false, true] {
        let mut bed = Bed::working(with(EventPolicy { ordered, ..EventPolicy::default() }), 1);
        (0..2).for_each(|n| drop(emit(&mut bed, n)));
        let sent = bed.done("event.nack", r#"{"seq":1,"attempt":1}"#);
        assert_eq!(delivered(&sent, 2, 1), !ordered, "{sent}");
        bed.pass(Duration::from_secs(1));
        assert_eq!(delivered(&bed.commit_all(), 1, 2), ordered);
    }
}

#[test]
fn parked_events_are_out_of_the_way_until_it_happens() {
    let mut bed = Bed::working(setup(), 1);
    (0..2).for_each(|n| drop(emit(&mut bed, n)));
    let until = r#"{"seq":1,"attempt":1,"until":{"event_type":"go"}}"#;
    let sent = bed.done("event.park", until);
    assert!(delivered(&sent, 2, 1) && state(&bed, 1) == EventState::Parked);
    bed.done("event.ack", r#"{"seq":2,"attempt":1}"#);
    let sent = bed.done("event.emit", r#"{"event":{"type":"go"}}"#);
    assert!(sent.contains("deliver"), "{sent}");
    assert_eq!(state(&bed, 1), EventState::Pending);
    let other = bed.done("event.park", r#"{"seq":1,"attempt":1,"until":{"review":4}}"#);
    assert!(other.contains("-32602"), "there is no such review: {other}");
}

#[test]
fn the_same_source_and_id_come_once() {
    let mut bed = Bed::working(setup(), 1);
    let event =
        |source: &str| format!(r#"{{"event":{{"type":"e","source":"{source}","id":"7"}}}}"#);
    let both = format!(
        r#"{{"ops":[{{"method":"event.emit","params":{0}}},{{"method":"event.emit","params":{0}}}]}}"#,
        event("a")
    );
    let sent = bed.done("tx", &both);
    assert!(sent.contains(r#"{"seq":1,"duplicate":false},{"seq":1,"duplicate":true}"#), "{sent}");
    assert!(bed.done("event.emit", &event("a")).contains(r#""seq":1,"duplicate":true"#));
    assert!(bed.done("event.emit", &event("b")).contains(r#""seq":2,"duplicate":false"#));
}

#[test]
fn what_did_not_reach_the_disk_is_no_duplicate() {
    let mut bed = Bed::working(setup(), 1);
    let event = r#"{"event":{"type":"e","id":"7"}}"#;
    bed.asks("event.emit", event);
    let kind = crate::supervisor::io::StoreFailureKind::Io;
    bed.fail(kind);
    bed.fail(kind);
    assert!(bed.sent().contains(r#""code":1501"#) && !bed.sent().contains("deliver"));
    bed.pass(Duration::from_secs(1));
    bed.commit_all();
    assert!(bed.done("event.emit", event).contains(r#""seq":1,"duplicate":false"#));
}

#[test]
fn an_inbox_that_is_full_takes_acks_but_no_events() {
    let mut bed = Bed::working(Setup { max_db: 1000, ..setup() }, 1);
    bed.used_bytes = 900;
    assert!(emit(&mut bed, 1).contains(r#""seq":1"#));
    bed.used_bytes = 901;
    bed.done("state.patch", r#"{"patch":{"a":1}}"#);
    let sent = emit(&mut bed, 2);
    assert!(sent.contains(r#""code":1204"#) && sent.contains(r#""retryable":true"#), "{sent}");
    assert!(!bed.machine.wants_source());
    assert!(bed.done("event.ack", r#"{"seq":1,"attempt":1}"#).contains("result"));
    bed.used_bytes = 900;
    bed.done("state.patch", r#"{"patch":{"a":2}}"#);
    assert!(emit(&mut bed, 3).contains(r#""seq":2"#));
}

#[test]
fn an_event_that_is_named_twice_is_revived_or_dropped_once() {
    let mut bed = Bed::working(setup(), 1);
    emit(&mut bed, 1);
    bed.done("event.nack", r#"{"seq":1,"attempt":1,"dead":true}"#);
    bed.operator(1, "event.retry", r#"{"seqs":[1,1]}"#);
    bed.commit_all();
    let inbox = |bed: &Bed| {
        let inbox = &bed.machine.book.as_ref().unwrap().doc.agenda.inbox;
        (inbox.depth(), inbox.dead())
    };
    assert_eq!(inbox(&bed), (0, 1), "refused as a whole");
    bed.operator(1, "event.retry", r#"{"seqs":[1]}"#);
    assert!(delivered(&bed.commit_all(), 1, 2));
    bed.operator(2, "event.drop", r#"{"seqs":[1]}"#);
    bed.commit();
    assert!(bed.replies()[0].contains("the agent holds it"), "{:?}", bed.replies());
    bed.done("event.nack", r#"{"seq":1,"attempt":2}"#);
    bed.operator(3, "event.drop", r#"{"seqs":[1,1]}"#);
    bed.commit_all();
    assert_eq!(inbox(&bed), (1, 0));
    bed.operator(3, "event.drop", r#"{"seqs":[1]}"#);
    bed.commit_all();
    assert_eq!(inbox(&bed), (0, 0));
}

#[test]
fn what_was_acked_since_a_checkpoint_can_wait_again() {
    let mut bed = Bed::working(setup(), 1);
    bed.done("checkpoint.create", "{}");
    emit(&mut bed, 1);
    bed.done("event.ack", r#"{"seq":1,"attempt":1,"patch":{"a":1}}"#);
    bed.operator(1, "checkpoint.restore", r#"{"id":1,"reopen_events":true}"#);
    let root = crate::engines::state::Node::empty_object();
    bed.commit_with(|op| match op {
        Op::LoadCheckpoint(_) => {
            let info = crate::supervisor::testbed::checkpoint(1, 0);
            Some(crate::supervisor::io::Answer::Loaded(Some((info, root.clone()))))
        }
        _ => None,
    });
    bed.ends(Exit::Code(0));
    let mut replies = bed.replies();
    while !bed.units.is_empty() {
        bed.commit();
        replies.extend(bed.replies());
    }
    assert!(replies.iter().any(|r| r.contains(r#""reopened":1"#)), "{replies:?}");
    bed.next_one(1);
    assert!(delivered(&bed.commit_all(), 1, 2));
}
