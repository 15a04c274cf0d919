use std::time::Duration;

use super::super::io::{Boot, Effect, Exit, Input, Notice, Origin, Request};
use super::super::machine::Setup;
use super::super::testbed::{Bed, STOP_TIMEOUT, empty, setup};
use super::{ASK_EVERY, CLOSE_MARGIN, TIME_ASKED};

fn patient() -> Setup {
    Setup { ready_from_agent: true, ..setup() }
}

/// What the manager was told by the last input, but lines of status.
fn told(bed: &Bed) -> Vec<Notice> {
    let notices = bed.effects.iter().filter_map(|effect| match effect {
        Effect::Notify(Notice::Status(_)) => None,
        Effect::Notify(notice) => Some(notice.clone()),
        _ => None,
    });
    notices.collect()
}

const MORE_TIME: [Notice; 1] = [Notice::ExtendTimeout(TIME_ASKED)];

#[test]
fn more_time_is_asked_for_until_the_agent_says_that_it_is_ready() {
    let mut bed = Bed::started(patient(), &Boot { origin: Origin::First, ..Boot::default() });
    assert_eq!(told(&bed), MORE_TIME, "before anything takes its time");
    bed.give(Input::Restored(Box::new(empty())));
    bed.spawned();
    bed.commit();
    bed.initialize();
    bed.pass(ASK_EVERY - Duration::from_millis(1));
    assert_eq!(told(&bed), []);
    for _ in 0..5 {
        bed.pass(ASK_EVERY);
        assert_eq!(told(&bed), MORE_TIME, "--ready-timeout ends nothing");
    }
    bed.asks("ready", "{}");
    assert_eq!(told(&bed), [Notice::Ready]);
    bed.pass(ASK_EVERY);
    assert_eq!(told(&bed), []);
}

#[test]
fn neither_crashes_nor_delays_make_it_ready() {
    let mut bed = Bed::running_with(patient());
    bed.ends(Exit::Code(1));
    bed.commit();
    assert_eq!(told(&bed), []);
    bed.pass(Duration::from_millis(500));
    bed.spawned();
    bed.commit();
    bed.pass(ASK_EVERY);
    assert_eq!(told(&bed), MORE_TIME);
    bed.initialize();
    bed.asks("ready", "{}");
    assert_eq!(told(&bed), [Notice::Ready]);
}

#[test]
fn a_run_that_ends_before_it_is_ready_never_was() {
    let mut bed = Bed::running_with(patient());
    bed.ends(Exit::Code(0));
    let time = Notice::ExtendTimeout(STOP_TIMEOUT + CLOSE_MARGIN);
    assert_eq!(told(&bed), [Notice::Stopping, time]);
    let next = bed.machine.next_timeout().map(|at| at.since(bed.now.mono));
    assert_eq!(next, Some(STOP_TIMEOUT), "nothing but its end is due");
    bed.commit();
    assert!(bed.verdict().is_some());
}

#[test]
fn without_it_the_first_of_many_things_is_enough() {
    let mut bed = Bed::running();
    bed.pass(setup().ready_timeout);
    assert_eq!(told(&bed), [Notice::Ready]);
    let mut bed = Bed::running();
    bed.ends(Exit::Code(1));
    assert_eq!(told(&bed), [Notice::Ready]);
}

#[test]
fn the_last_writes_get_the_time_they_may_take() {
    let mut bed = Bed::speaking();
    bed.give(Input::Signal { request: Request::Stop, who: "a test" });
    // The manager's own clock for a stop begins when the stop does.
    assert_eq!(told(&bed), [Notice::Ready, Notice::Stopping]);
    bed.give(Input::Signal { request: Request::Stop, who: "a test" });
    assert_eq!(told(&bed), []);
    bed.ends(Exit::Code(0));
    assert_eq!(told(&bed), [Notice::ExtendTimeout(STOP_TIMEOUT + CLOSE_MARGIN)]);
}

#[test]
fn who_alone_can_say_that_it_is_ready_may_still_say_so_while_it_stops() {
    let mut bed = Bed::started(patient(), &Boot { origin: Origin::First, ..Boot::default() });
    bed.give(Input::Restored(Box::new(empty())));
    bed.spawned();
    bed.commit();
    bed.initialize();
    bed.operator(1, "stop", "{}");
    assert_eq!(told(&bed), [Notice::Stopping]);
    bed.asks("ready", "{}");
    assert_eq!(told(&bed), [Notice::Ready]);
}
