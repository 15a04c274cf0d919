use std::time::Duration;

use super::super::io::{
    Effect, EventState, Exit, GroupSignal, Input, Op, Posted, SOURCE_POSITION, SourceBatch,
    StoreFailureKind, WorkOp,
};
use super::super::machine::{EventPolicy, Phase, Setup};
use super::super::testbed::{Bed, Shelf, setup};
use super::super::work::POSTS_KEPT;
use crate::clock::Wall;

fn emit(bed: &mut Bed, n: u32) -> String {
    bed.done("event.emit", &format!(r#"{{"event":{{"type":"e","n":{n}}}}}"#))
}

fn deliveries(sent: &str) -> usize {
    sent.matches(r#""method":"event.deliver""#).count()
}

fn source(bed: &mut Bed, lines: &[&str], position: &str) {
    assert!(bed.machine.wants_source());
    let lines = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    bed.give(Input::Source(SourceBatch { lines, position: Some(position.into()) }));
}

fn sent_posts(bed: &Bed) -> Vec<u64> {
    let post = |effect: &Effect| match effect {
        Effect::Post(row) => Some(row.id),
        _ => None,
    };
    bed.effects.iter().filter_map(post).collect()
}

// ------------------------------------------------------------ failed disks

#[test]
fn of_a_transaction_that_failed_nothing_is_delivered_and_all_runs_again() {
    let mut bed = Bed::working(setup(), 2);
    bed.asks("event.emit", r#"{"event":{"type":"e"}}"#);
    bed.asks("event.emit", r#"{"event":{"type":"f"}}"#);
    bed.fail(StoreFailureKind::Full);
    assert_eq!(bed.sent(), "", "nothing was there");
    let sent = bed.commit_all();
    assert_eq!(deliveries(&sent), 2);
    assert!(
        sent.contains(r#""seq":1,"duplicate":false"#) && sent.contains(r#""seq":2,"#),
        "{sent}"
    );
    assert!(bed.shelf.events.values().all(|row| row.status.attempt == 1));
}

#[test]
fn a_greeting_is_not_refused_for_what_is_handed_out_beside_it() {
    let mut bed = Bed::running();
    bed.operator(1, "event.emit", r#"{"event":{"type":"e"}}"#);
    bed.commit_all();
    bed.initialize_with(r#","events":{"credit":1}"#);
    bed.fail(StoreFailureKind::Full);
    assert!(bed.sent().contains(r#""id":0,"result":{"protocol":1"#), "{}", bed.sent());
    assert_eq!(deliveries(&bed.sent()), 0);
    while bed.machine.trouble.is_none() {
        bed.fail(StoreFailureKind::Full);
    }
    bed.pass(Duration::from_secs(1));
    assert_eq!(deliveries(&bed.commit_all()), 1);
}

#[test]
fn a_commit_in_doubt_ends_an_incarnation_that_holds_something() {
    let mut bed = Bed::working(setup(), 1);
    emit(&mut bed, 1);
    // Nothing but adrt's own record is in doubt.
    bed.operator(1, "checkpoint.prune", r#"{"keep":1}"#);
    bed.lose();
    assert!(bed.sent().contains(r#""reason":"store_lost""#), "{}", bed.sent());
    bed.reread();
    bed.commit_all();
    assert!(bed.done("event.ack", r#"{"seq":1,"attempt":1}"#).contains(r#""code":1201"#));
    bed.ends(Exit::Code(0));
    bed.next_one(1);
    let sent = bed.commit_all();
    assert!(sent.contains(r#""seq":1,"attempt":2"#), "{sent}");
    assert_eq!(bed.shelf.events[&1].status.deaths, 0, "it was not the agent's fault");
}

#[test]
fn a_lease_is_over_with_what_was_known_of_it() {
    let events = EventPolicy { timeout: Some(Duration::from_secs(5)), ..EventPolicy::default() };
    let mut bed = Bed::working(Setup { events, ..setup() }, 1);
    emit(&mut bed, 1);
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    bed.lose();
    // The bench would panic at a deadline that stays in the past.
    bed.pass(Duration::from_secs(6));
    assert!(!bed.signals().contains(&GroupSignal::Abort));
}

#[test]
fn lines_of_a_source_come_once_whatever_becomes_of_their_commit() {
    for there in [true, false] {
        let mut bed = Bed::working(setup(), 1);
        source(&mut bed, &[r#"{"type":"a"}"#, "no event"], "2");
        if there {
            bed.lose_what_is_there();
        } else {
            bed.lose();
        }
        bed.reread();
        bed.commit_all();
        assert_eq!(bed.shelf.events.len(), 2, "there: {there}");
        let states: Vec<_> = bed.shelf.events.values().map(|row| row.status.state).collect();
        assert_eq!(states, [EventState::Pending, EventState::Dead]);
        source(&mut bed, &[r#"{"type":"b"}"#], "3");
        let position = |op: &Op| matches!(op, Op::Meta { name, value } if *name == SOURCE_POSITION && value == "3");
        let unit = bed.units.iter().find(|unit| unit.ops.iter().any(position)).unwrap();
        let arrives = |op: &Op| matches!(op, Op::Work(WorkOp::Arrive(_)));
        assert!(unit.ops.iter().any(arrives), "the position goes with its events");
    }
}

#[test]
fn a_source_waits_for_its_commit_and_for_room() {
    let mut bed = Bed::working(setup(), 1);
    source(&mut bed, &[r#"{"type":"a"}"#], "1");
    assert!(!bed.machine.wants_source());
    bed.commit_all();
    let many: Vec<String> = (0..600).map(|n| format!("{{\"type\":\"a\",\"n\":{n}}}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    source(&mut bed, &many, "601");
    bed.commit_all();
    assert!(!bed.machine.wants_source(), "enough is read ahead");
}

// ------------------------------------------------------- slow disks, quick deaths

#[test]
fn what_was_handed_out_to_one_incarnation_is_not_told_to_the_next() {
    let mut bed = Bed::working(setup(), 1);
    // Handed out, and not on the disk, when the agent ends.
    bed.asks("event.emit", r#"{"event":{"type":"e"}}"#);
    bed.operator(1, "restart", "{}");
    bed.ends(Exit::Code(0));
    bed.spawned();
    bed.initialize_with(r#","events":{"credit":1}"#);
    let sent = bed.commit_all();
    assert_eq!(deliveries(&sent), 1, "{sent}");
    assert!(sent.contains(r#""seq":1,"attempt":2"#), "{sent}");
    let (greeting, event) = (sent.find(r#""protocol":1"#), sent.find("event.deliver"));
    assert!(greeting.is_some() && greeting < event, "{sent}");
}

// --------------------------------------------------------------- leases

#[test]
fn the_end_of_a_lease_is_a_hang_that_counts() {
    let timeout = Duration::from_secs(30);
    let events = EventPolicy { timeout: Some(timeout), max_attempts: 1, ..EventPolicy::default() };
    let mut bed = Bed::working(Setup { events, ..setup() }, 1);
    assert!(emit(&mut bed, 1).contains(r#""lease_ms":30000"#));
    bed.pass(timeout - Duration::from_millis(1));
    let sent = bed.done("event.extend", r#"{"seq":1,"attempt":1}"#);
    assert!(sent.contains(r#""result":{"lease_ms":30000}"#), "{sent}");
    bed.pass(timeout - Duration::from_millis(1));
    assert!(bed.signals().is_empty());
    bed.pass(Duration::from_millis(1));
    assert_eq!(bed.signals(), [GroupSignal::Abort], "a trace of where it hung");
    bed.pass(Duration::from_secs(5));
    assert_eq!(bed.signals(), [GroupSignal::Kill]);
    bed.ends(Exit::Signal { signal: 9, core: false });
    let hang = bed.ops().any(|op| matches!(op, Op::End(end) if end.class.as_str() == "hang"));
    assert!(hang, "{:?}", bed.units);
    bed.commit_all();
    assert_eq!(bed.shelf.events[&1].status.state, EventState::Dead);
}

// ----------------------------------------------------------- event.next

#[test]
fn event_next_waits_for_an_event_and_is_answered_once() {
    let mut bed = Bed::speaking();
    let replies = |bed: &mut Bed| {
        let mut replies = bed.replies();
        while !bed.units.is_empty() {
            bed.commit();
            replies.extend(bed.replies());
        }
        replies
    };
    bed.operator(1, "event.next", r#"{"wait_ms":0}"#);
    assert!(bed.replies()[0].contains(r#""event":null"#));
    bed.operator(2, "event.next", r#"{"wait_ms":5000}"#);
    assert!(bed.replies().is_empty());
    bed.asks("event.emit", r#"{"event":{"type":"e"}}"#);
    let told = replies(&mut bed);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains(r#""seq":1,"attempt":1"#), "{told:?}");
    bed.operator(3, "event.next", r#"{"wait_ms":5000}"#);
    bed.pass(Duration::from_secs(5));
    assert!(bed.replies()[0].contains(r#""event":null"#));
    bed.operator(4, "event.ack", r#"{"seq":1,"attempt":1,"patch":{"a":1}}"#);
    let told = replies(&mut bed);
    assert!(told[0].contains(r#""result":{"version":1}"#), "{told:?}");
}

#[test]
fn a_patch_of_an_operators_ack_is_told_to_the_agent() {
    let mut bed = Bed::speaking();
    bed.asks("event.emit", r#"{"event":{"type":"e"}}"#);
    bed.commit_all();
    bed.operator(1, "event.next", "{}");
    bed.commit_all();
    bed.operator(1, "event.ack", r#"{"seq":1,"attempt":1,"patch":{"a":1}}"#);
    let sent = bed.commit_all();
    assert!(sent.contains(r#""state.changed","params":{"version":1,"patch":{"a":1}"#), "{sent}");
    let tx = r#"{"ops":[{"method":"state.patch","params":{"patch":{"b":1}}},{"method":"event.emit","params":{"event":{"type":"e"},"to":"other"}}]}"#;
    bed.operator(1, "tx", tx);
    let sent = bed.commit_all();
    assert!(
        sent.contains(r#""params":{"version":2,"patch":{"b":1}"#),
        "what had to be looked up: {sent}"
    );
}

#[test]
fn whoever_waits_is_answered_once_though_a_transaction_failed() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    bed.operator(1, "event.next", r#"{"wait_ms":5000}"#);
    bed.fail(StoreFailureKind::Full);
    bed.commit_all();
    bed.pass(Duration::from_secs(5));
    assert_eq!(bed.replies().len(), 1);
}

// ----------------------------------------------------------------- posts

#[test]
fn a_post_is_sent_after_its_commit_and_again_until_it_arrives() {
    let mut bed = Bed::speaking();
    let to = Shelf::NEIGHBOUR;
    bed.asks("event.emit", &format!(r#"{{"event":{{"type":"e"}},"to":"{to}"}}"#));
    bed.commit();
    assert!(sent_posts(&bed).is_empty() && !bed.units.is_empty(), "it was looked up first");
    bed.commit();
    assert!(bed.sent().contains(r#""outbox_id":1"#));
    assert_eq!(sent_posts(&bed), [1]);
    for seconds in [1, 2, 4] {
        bed.give(Input::Posted { id: 1, outcome: Posted::Later("busy".into()) });
        bed.pass(Duration::from_secs(seconds) - Duration::from_millis(1));
        assert!(sent_posts(&bed).is_empty());
        bed.pass(Duration::from_millis(1));
        assert_eq!(sent_posts(&bed), [1]);
    }
    bed.give(Input::Posted { id: 1, outcome: Posted::Arrived });
    assert!(bed.ops().any(|op| matches!(op, Op::Work(WorkOp::DropPost { id: 1 }))));
    bed.commit_all();
    assert!(bed.shelf.posts.is_empty());
    let nobody = bed.done("event.emit", r#"{"event":{"type":"e"},"to":"nobody"}"#);
    assert!(nobody.contains(r#""code":1203"#), "{nobody}");
}

#[test]
fn more_posts_than_are_kept_in_memory_all_arrive() {
    let mut bed = Bed::speaking();
    let count = POSTS_KEPT * 2 + 3;
    let mut sent = Vec::new();
    for n in 0..count {
        let to = Shelf::NEIGHBOUR;
        bed.asks("event.emit", &format!(r#"{{"event":{{"type":"e","n":{n}}},"to":"{to}"}}"#));
        while !bed.units.is_empty() {
            bed.commit();
            sent.extend(sent_posts(&bed));
        }
    }
    let mut arrived = 0;
    while arrived < sent.len() {
        bed.give(Input::Posted { id: sent[arrived], outcome: Posted::Arrived });
        arrived += 1;
        sent.extend(sent_posts(&bed));
        while !bed.units.is_empty() {
            bed.commit();
            sent.extend(sent_posts(&bed));
        }
    }
    assert_eq!(sent, (1..=count).collect::<Vec<_>>());
    assert!(bed.shelf.posts.is_empty());
}

// ---------------------------------------------------------------- timers

#[test]
fn a_timer_fires_once_for_each_point_also_over_a_crash() {
    let mut bed = Bed::working(setup(), 9);
    bed.done("timer.set", r#"{"id":"t","every_ms":1000,"event":{"type":"tick"}}"#);
    bed.pass(Duration::from_secs(1));
    let sent = bed.commit_all();
    assert!(sent.contains(r#""event":{"type":"tick"}"#), "{sent}");
    // The next comes late, and stands for the two before it, too.
    bed.pass(Duration::from_millis(3500));
    let sent = bed.commit_all();
    assert!(sent.contains(r#"{"type":"tick","missed":2}"#) && deliveries(&sent) == 1, "{sent}");
    bed.pass(Duration::from_millis(400));
    assert!(bed.units.is_empty(), "the beat is kept");
    bed.pass(Duration::from_millis(100));
    assert_eq!(deliveries(&bed.commit_all()), 1);
    assert!(bed.done("timer.cancel", r#"{"id":"t"}"#).contains(r#""existed":true"#));
    bed.pass(Duration::from_secs(9));
    assert!(bed.units.is_empty());
}

#[test]
fn a_timer_that_could_not_be_written_fires_all_the_same_and_once() {
    let mut bed = Bed::working(setup(), 9);
    bed.done("timer.set", r#"{"id":"t","after_ms":1000,"event":{"type":"tick"}}"#);
    bed.pass(Duration::from_secs(1));
    while bed.machine.trouble.is_none() {
        bed.fail(StoreFailureKind::Full);
    }
    assert_eq!(bed.sent(), "");
    bed.pass(Duration::from_secs(2));
    assert_eq!(deliveries(&bed.commit_all()), 1);
    assert!(bed.shelf.timers.is_empty());
}

#[test]
fn a_step_of_the_clock_is_told_and_fires_what_is_due_by_it_once() {
    let mut bed = Bed::working(setup(), 9);
    let at = Wall::from_millis(bed.now.wall.millis() + 3_600_000).rfc3339();
    bed.done("timer.set", &format!(r#"{{"id":"t","at":"{at}","event":{{"type":"tick"}}}}"#));
    bed.pass(Duration::from_secs(5));
    assert!(!logs(&bed).contains("the wall clock"), "it goes on as it should");
    bed.now.wall = Wall::from_millis(bed.now.wall.millis() + 7_200_000);
    bed.give(Input::Tick);
    assert!(logs(&bed).contains("the wall clock went forward by 2 h"), "{}", logs(&bed));
    assert_eq!(deliveries(&bed.commit_all()), 1);
    bed.now.wall = Wall::from_millis(bed.now.wall.millis() - 7_200_000);
    bed.pass(Duration::from_secs(60));
    assert_eq!(deliveries(&bed.commit_all()), 0, "it has fired");
}

fn logs(bed: &Bed) -> String {
    let told = bed.effects.iter().filter_map(|effect| match effect {
        Effect::Log { message, .. } => Some(message.as_str()),
        _ => None,
    });
    told.collect::<Vec<_>>().join("\n")
}

// ------------------------------------------------------------------ keys

#[test]
fn a_keyed_ack_that_is_asked_again_gives_its_result_and_does_nothing() {
    let mut bed = Bed::working(setup(), 1);
    emit(&mut bed, 1);
    let ack = r#"{"seq":1,"attempt":1,"patch":{"a":1},"emit":[{"type":"f"}],"key":"k"}"#;
    assert!(bed.done("event.ack", ack).contains(r#""result":{"version":1}"#));
    bed.asks("event.ack", ack);
    let ops: Vec<&Op> = bed.ops().collect();
    assert!(matches!(ops[..], [Op::RecallKey { .. }]), "{ops:?}");
    assert_eq!(bed.shelf.events.len(), 2);
}

#[test]
fn nothing_is_handed_out_to_an_agent_that_is_to_end() {
    let mut bed = Bed::working(setup(), 1);
    bed.give(Input::Signal { request: super::super::io::Request::Stop, who: "a test" });
    let sent = emit(&mut bed, 1);
    assert!(matches!(bed.machine.phase, Phase::Running) && deliveries(&sent) == 0, "{sent}");
    bed.ends(Exit::Code(0));
    assert!(bed.verdict().is_none());
    while bed.verdict().is_none() {
        bed.commit();
    }
}
