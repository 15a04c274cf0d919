use std::time::Duration;

use super::super::io::{
    Boot, EventState, GroupSignal, IncarnationEnd, Input, Op, Origin, ProcessIdentity, Request,
    RestartMemory, StoreFailureKind,
};
use super::super::setup::Setup;
use super::super::testbed::{Bed, STOP_TIMEOUT, empty, setup};
use super::*;

fn attached() -> Setup {
    Setup { attached: true, ..setup() }
}

/// A client that speaks.
fn client() -> Bed {
    Bed::speaking_with(attached())
}

fn eof(bed: &mut Bed) {
    let incarnation = bed.incarnation();
    bed.give(Input::Eof { incarnation });
}

/// So much of what it was sent has left.
fn reads(bed: &mut Bed, bytes: usize) {
    let incarnation = bed.incarnation();
    bed.give(Input::Sent { incarnation, bytes });
}

fn stop(bed: &mut Bed) {
    bed.give(Input::Signal { request: Request::Stop, who: "a test" });
    assert!(bed.signals().is_empty());
}

fn is_let_go(bed: &Bed) -> bool {
    bed.effects.iter().any(|effect| matches!(effect, Effect::LetGo { .. }))
}

fn closes(bed: &Bed) -> bool {
    bed.effects.iter().any(|effect| matches!(effect, Effect::CloseStdin { .. }))
}

/// All is written, and how it ended.
fn ends(bed: &mut Bed, outcome: Outcome) -> IncarnationEnd {
    bed.drained();
    assert!(!bed.spawns());
    let end = bed.ops().find_map(|op| if let Op::End(end) = op { Some(end.clone()) } else { None });
    bed.commit();
    assert_eq!(bed.verdict().map(|verdict| verdict.outcome), Some(outcome));
    *end.expect("it is recorded")
}

#[test]
fn one_that_closes_the_wire_is_done() {
    let mut bed = client();
    let greeting = bed.sent().len();
    reads(&mut bed, greeting);
    eof(&mut bed);
    assert!(is_let_go(&bed));
    let end = ends(&mut bed, Outcome::Done);
    assert_eq!((end.class, end.exit, end.class.is_crash()), (ExitClass::Done, None, false));
    assert_eq!(end.summary, "closed the wire");
}

#[test]
fn run_finish_is_told_apart() {
    let mut bed = client();
    let greeting = bed.sent().len();
    bed.asks("run.finish", "{}");
    bed.commit();
    let answer = bed.sent().len();
    reads(&mut bed, greeting + answer);
    eof(&mut bed);
    assert_eq!(ends(&mut bed, Outcome::Done).class, ExitClass::Finished);
}

#[test]
fn its_last_answers_are_waited_for() {
    let mut bed = client();
    let greeting = bed.sent().len();
    bed.asks("state.patch", r#"{"patch":{"n":1}}"#);
    eof(&mut bed);
    assert!(!is_let_go(&bed), "its patch is on its way to the disk");
    bed.commit();
    let answer = bed.sent();
    assert!(answer.contains(r#""version":1"#) && !is_let_go(&bed), "nobody has read it");
    reads(&mut bed, greeting + answer.len() - 1);
    assert!(!is_let_go(&bed));
    reads(&mut bed, 1);
    assert!(is_let_go(&bed));
    ends(&mut bed, Outcome::Done);
}

#[test]
fn but_not_for_ever() {
    let mut bed = client();
    let almost = STOP_TIMEOUT - Duration::from_millis(1);
    eof(&mut bed);
    bed.pass(almost);
    // It goes on reading, and is given time again.
    reads(&mut bed, 1);
    bed.pass(almost);
    assert!(!is_let_go(&bed));
    bed.pass(Duration::from_millis(1));
    assert!(is_let_go(&bed));
    ends(&mut bed, Outcome::Done);
}

#[test]
fn one_that_can_not_be_told_anything_is_not_waited_for() {
    let mut bed = client();
    bed.asks("state.patch", r#"{"patch":{"n":1}}"#);
    let incarnation = bed.incarnation();
    bed.give(Input::SendFailed { incarnation });
    eof(&mut bed);
    assert!(!is_let_go(&bed), "what it asked for is done all the same");
    bed.commit();
    assert!(is_let_go(&bed));
}

#[test]
fn a_stop_asks_then_closes_then_lets_go() {
    let mut bed = client();
    stop(&mut bed);
    assert!(bed.sent().contains(r#""method":"shutdown","params":{"reason":"stop""#));
    bed.asks("state.get", "{}");
    assert!(bed.sent().contains(r#""result""#), "replies still go out");
    bed.pass(STOP_TIMEOUT / 2);
    assert!(closes(&bed) && !is_let_go(&bed) && bed.signals().is_empty());
    bed.pass(STOP_TIMEOUT / 2);
    assert!(is_let_go(&bed) && bed.signals().is_empty());
    let end = ends(&mut bed, Outcome::Stopped);
    assert_eq!((end.class, end.summary.as_str()), (ExitClass::Stopped, "was let go of"));
}

#[test]
fn one_that_leaves_when_asked_is_let_go_of_at_once() {
    let mut bed = client();
    let greeting = bed.sent().len();
    stop(&mut bed);
    let shutdown = bed.sent().len();
    reads(&mut bed, greeting + shutdown);
    eof(&mut bed);
    assert!(is_let_go(&bed));
    assert_eq!(ends(&mut bed, Outcome::Stopped).summary, "closed the wire");
}

#[test]
fn a_second_stop_and_one_of_a_client_that_does_not_speak_wait_for_nothing() {
    let mut bed = client();
    stop(&mut bed);
    assert!(!is_let_go(&bed));
    stop(&mut bed);
    assert!(is_let_go(&bed));
    ends(&mut bed, Outcome::Stopped);
    let mut mute = Bed::running_with(attached());
    stop(&mut mute);
    assert!(is_let_go(&mute));
    ends(&mut mute, Outcome::Stopped);
}

#[test]
fn a_stop_before_the_wire_has_begun() {
    for times in 1..=2 {
        let boot = Boot { origin: Origin::First, ..Boot::default() };
        let mut bed = Bed::started(attached(), &boot);
        bed.give(Input::Restored(Box::new(empty())));
        (0..times).for_each(|_| stop(&mut bed));
        bed.spawned();
        assert!(is_let_go(&bed));
        ends(&mut bed, Outcome::Stopped);
    }
}

#[test]
fn an_operator_can_not_have_it_started_anew() {
    let mut bed = client();
    for (method, params) in [("restart", "{}"), ("checkpoint.restore", r#"{"id":1}"#)] {
        bed.operator(1, method, params);
        assert!(bed.replies()[0].contains(r#""code":1006"#), "{:?}", bed.replies());
        assert!(bed.sent().is_empty() && bed.units.is_empty());
    }
    // It may take itself back.
    bed.asks("checkpoint.restore", r#"{"id":1}"#);
    assert!(!bed.units.is_empty());
}

#[test]
fn what_nobody_knows_to_be_on_the_disk_ends_it() {
    let mut bed = client();
    bed.asks("state.patch", r#"{"patch":{"n":1}}"#);
    bed.lose();
    assert!(bed.sent().contains("store_lost"), "{}", bed.sent());
    assert!(bed.signals().is_empty());
    bed.give(Input::Restored(Box::new(empty())));
    eof(&mut bed);
    bed.pass(STOP_TIMEOUT);
    bed.drained();
    bed.commit_all();
    assert_eq!(bed.verdict().map(|v| v.outcome), Some(Outcome::StoreFailed));
}

#[test]
fn a_disk_that_only_refuses_does_not() {
    let mut bed = client();
    bed.asks("state.patch", r#"{"patch":{"n":1}}"#);
    bed.fail(StoreFailureKind::Full);
    bed.fail(StoreFailureKind::Full);
    assert!(bed.sent().contains("1501"), "{}", bed.sent());
    assert!(!is_let_go(&bed));
}

#[test]
fn events_in_hand_wait_again_and_no_death_is_counted() {
    let mut bed = Bed::working(attached(), 1);
    bed.done("event.emit", r#"{"event":{"type":"x"}}"#);
    assert_eq!(bed.shelf.events[&1].status.attempt, 1, "it was handed out");
    eof(&mut bed);
    // None is handed out to one that will not settle it.
    bed.operator(1, "event.emit", r#"{"event":{"type":"y"}}"#);
    bed.commit_all();
    assert_eq!(bed.shelf.events[&2].status.attempt, 0);
    bed.pass(STOP_TIMEOUT);
    let end = ends(&mut bed, Outcome::Done);
    assert_eq!(end.held, [1]);
    let status = &bed.shelf.events[&1].status;
    assert_eq!((status.deaths, status.state), (0, EventState::Pending));
}

#[test]
fn no_delay_is_waited_out_for_it() {
    let restart = RestartMemory {
        crashes_in_row: 3,
        delay_left: Some(Duration::from_secs(7)),
        ..RestartMemory::default()
    };
    let boot = Boot { last_incarnation: 6, restart, origin: Origin::Kept, ..Boot::default() };
    assert!(Bed::started(attached(), &boot).spawns());
}

#[test]
fn an_adrt_that_was_killed_beside_it_is_told_from_one_that_killed_its_agent() {
    let orphan = Some(ProcessIdentity::attached(5));
    let boot = Boot { last_incarnation: 6, orphan, origin: Origin::Kept, ..Boot::default() };
    let mut bed = Bed::started(setup(), &boot);
    bed.give(Input::Restored(Box::new(empty())));
    let lost = bed.ops().find_map(|op| if let Op::End(end) = op { Some(end) } else { None });
    assert_eq!(lost.unwrap().summary, "was attached when adrt itself ended");
}

/// Whatever comes, and in whatever order.
#[test]
fn it_is_never_signalled() {
    let inputs = |incarnation| {
        [
            Input::Signal { request: Request::Stop, who: "a test" },
            Input::Eof { incarnation },
            Input::SendFailed { incarnation },
            Input::Sent { incarnation, bytes: 10 },
            Input::Tick,
        ]
    };
    for first in 0..5 {
        for second in 0..5 {
            let mut bed = client();
            for which in [first, second, 0] {
                let input = inputs(bed.incarnation()).into_iter().nth(which).unwrap();
                bed.give(input);
                assert_eq!(bed.signals(), [] as [GroupSignal; 0]);
                for _ in 0..2 {
                    bed.pass(STOP_TIMEOUT / 2);
                    assert_eq!(bed.signals(), [] as [GroupSignal; 0]);
                }
            }
        }
    }
}
