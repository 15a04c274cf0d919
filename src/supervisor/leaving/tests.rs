//! Every phase × a first and a second request to stop.

use std::time::Duration;

use super::super::io::{
    Boot, Effect, Exit, GroupSignal, Input, Op, Origin, Outcome, Request as Signal,
};
use super::super::machine::{Machine, Phase};
use super::super::testbed::{Bed, STOP_TIMEOUT, setup};

const KILLED: Exit = Exit::Signal { signal: 9, core: false };

fn fresh() -> Boot {
    Boot { origin: Origin::First, ..Boot::default() }
}

fn waiting() -> Bed {
    let mut bed = Bed::running();
    bed.ends(Exit::Code(1));
    bed.commit();
    assert!(matches!(bed.machine.phase, Phase::Waiting(_)));
    bed
}

fn starting() -> Bed {
    let mut bed = Bed::started(setup(), &fresh());
    bed.give(Input::Restored(Box::new(super::super::testbed::empty())));
    assert!(matches!(bed.machine.phase, Phase::Starting));
    bed
}

fn draining() -> Bed {
    let mut bed = Bed::speaking();
    bed.exits(Exit::Code(1));
    assert!(matches!(bed.machine.phase, Phase::Draining { .. }));
    bed
}

/// Ended before the state was there to record it with.
fn settling() -> Bed {
    let mut bed = Bed::started(setup(), &fresh());
    bed.spawned();
    bed.ends(Exit::Code(1));
    assert!(matches!(bed.machine.phase, Phase::Settling(_)));
    bed
}

fn closing() -> Bed {
    let mut bed = Bed::running();
    bed.ends(Exit::Code(0));
    assert!(matches!(bed.machine.phase, Phase::Closing { .. }));
    bed
}

fn stop(bed: &mut Bed) {
    bed.give(Input::Signal { request: Signal::Stop, who: "a test" });
}

#[test]
fn a_terminal_that_goes_away_twice_is_one_request() {
    let mut bed = Bed::speaking();
    bed.give(Input::Signal { request: Signal::HangUp, who: "a test" });
    assert!(bed.sent().contains("shutdown"));
    bed.give(Input::Signal { request: Signal::HangUp, who: "a test" });
    assert!(bed.signals().is_empty());
    stop(&mut bed);
    assert_eq!(bed.signals(), [GroupSignal::Kill]);
}

#[test]
fn to_quit_is_to_be_aborted_in_whatever_phase() {
    let quit = |bed: &mut Bed| {
        bed.give(Input::Signal { request: Signal::Quit, who: "a test" });
    };
    // It speaks, or not, or is being restarted: there are no words.
    let mut restarting = Bed::speaking();
    restarting.operator(1, "restart", "{}");
    for mut bed in [Bed::speaking(), Bed::running(), restarting] {
        quit(&mut bed);
        assert_eq!(bed.signals(), [GroupSignal::Abort]);
        bed.pass(super::HANG_GRACE);
        assert_eq!(bed.signals(), [GroupSignal::Kill]);
        bed.ends(KILLED);
        let stopped =
            bed.ops().any(|op| matches!(op, Op::End(end) if end.class.as_str() == "stopped"));
        assert!(stopped);
        ends_stopped(bed);
    }
    let mut bed = starting();
    quit(&mut bed);
    bed.spawned();
    assert_eq!(bed.signals(), [GroupSignal::Abort]);
    // A second one, or one after a stop, kills.
    quit(&mut bed);
    assert_eq!(bed.signals(), [GroupSignal::Kill]);
    let mut bed = Bed::speaking();
    stop(&mut bed);
    quit(&mut bed);
    assert_eq!(bed.signals(), [GroupSignal::Kill]);
    let mut bed = waiting();
    quit(&mut bed);
    ends_stopped(bed);
}

fn closes_stdin(bed: &Bed) -> bool {
    bed.effects.iter().any(|effect| matches!(effect, Effect::CloseStdin { .. }))
}

/// All is written, and the run ends so.
fn ends_stopped(mut bed: Bed) {
    assert!(matches!(bed.machine.phase, Phase::Closing { .. }));
    bed.commit();
    assert_eq!(bed.verdict().map(|verdict| verdict.outcome), Some(Outcome::Stopped));
}

#[test]
fn waiting_the_start_is_cancelled() {
    let mut bed = waiting();
    stop(&mut bed);
    assert!(!bed.spawns());
    ends_stopped(bed);
    let mut bed = waiting();
    stop(&mut bed);
    stop(&mut bed);
    assert!(!bed.spawns() && bed.signals().is_empty());
    ends_stopped(bed);
}

#[test]
fn starting_it_is_stopped_as_soon_as_it_is_there() {
    let mut bed = starting();
    stop(&mut bed);
    assert!(bed.signals().is_empty(), "there is nobody yet");
    bed.spawned();
    assert_eq!(bed.signals(), [GroupSignal::Terminate]);
    bed.pass(STOP_TIMEOUT);
    assert_eq!(bed.signals(), [GroupSignal::Kill]);
    bed.ends(KILLED);
    ends_stopped(bed);
}

#[test]
fn starting_and_asked_twice_it_is_killed_as_soon_as_it_is_there() {
    let mut bed = starting();
    stop(&mut bed);
    stop(&mut bed);
    bed.spawned();
    assert_eq!(bed.signals().last(), Some(&GroupSignal::Kill));
    bed.ends(KILLED);
    ends_stopped(bed);
}

#[test]
fn starting_and_failing_to_it_is_stopped_all_the_same() {
    let mut bed = starting();
    stop(&mut bed);
    let failure = super::super::io::SpawnFailure::NotFound("not there".into());
    bed.give(Input::SpawnFailed { incarnation: 1, failure });
    ends_stopped(bed);
}

#[test]
fn one_that_does_not_speak_is_terminated_at_0_and_killed_at_t() {
    let mut bed = Bed::running();
    stop(&mut bed);
    assert!(closes_stdin(&bed));
    assert_eq!(bed.signals(), [GroupSignal::Terminate]);
    assert!(bed.sent().is_empty(), "it would not understand");
    assert!(bed.pass(STOP_TIMEOUT - Duration::from_millis(1)).is_empty());
    bed.pass(Duration::from_millis(1));
    assert_eq!(bed.signals(), [GroupSignal::Kill]);
    assert_eq!(bed.machine.next_timeout(), None, "what is left is wait's report");
    bed.ends(KILLED);
    ends_stopped(bed);
}

#[test]
fn one_that_speaks_is_told_at_0_terminated_at_half_t_and_killed_at_t() {
    let mut bed = Bed::speaking();
    stop(&mut bed);
    assert!(bed.signals().is_empty());
    assert!(
        bed.sent()
            .contains(r#""method":"shutdown","params":{"reason":"stop","deadline_ms":10000}"#)
    );
    // It still gets its answers.
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    bed.commit();
    assert!(bed.sent().contains(r#""result":{"version":1}"#));
    bed.pass(STOP_TIMEOUT / 2);
    assert!(closes_stdin(&bed));
    assert_eq!(bed.signals(), [GroupSignal::Terminate]);
    // What it asks for now is done, and there is no way to tell it.
    bed.asks("state.patch", r#"{"patch":{"a":2}}"#);
    bed.commit();
    assert!(bed.sent().is_empty());
    bed.pass(STOP_TIMEOUT / 2);
    assert_eq!(bed.signals(), [GroupSignal::Kill]);
    bed.ends(KILLED);
    ends_stopped(bed);
}

#[test]
fn one_that_closed_its_stdin_can_t_be_told_and_is_terminated_at_0() {
    let mut bed = Bed::speaking();
    bed.give(Input::SendFailed { incarnation: 1 });
    stop(&mut bed);
    assert_eq!(bed.signals(), [GroupSignal::Terminate]);
}

#[test]
fn asked_twice_it_is_killed_at_once_and_once() {
    for mut bed in [Bed::running(), Bed::speaking()] {
        stop(&mut bed);
        stop(&mut bed);
        assert_eq!(bed.signals(), [GroupSignal::Kill]);
        stop(&mut bed);
        assert!(bed.signals().is_empty());
        bed.ends(KILLED);
        ends_stopped(bed);
    }
}

#[test]
fn leaving_for_a_restart_it_is_stopped_within_the_first_deadline() {
    let mut bed = Bed::speaking();
    bed.operator(1, "restart", "{}");
    bed.pass(STOP_TIMEOUT - Duration::from_secs(1));
    stop(&mut bed);
    bed.pass(Duration::from_secs(1));
    assert_eq!(bed.signals(), [GroupSignal::Kill]);
    bed.ends(KILLED);
    assert!(!bed.spawns());
    ends_stopped(bed);
}

#[test]
fn draining_nobody_is_signalled_and_nothing_starts() {
    for requests in [1, 2] {
        let mut bed = draining();
        for _ in 0..requests {
            stop(&mut bed);
            assert!(bed.signals().is_empty() && !closes_stdin(&bed));
        }
        assert!(!{
            bed.drained();
            bed.spawns()
        });
        ends_stopped(bed);
    }
}

#[test]
fn a_process_that_wait_has_reported_is_not_signalled_when_its_deadlines_pass() {
    let mut bed = Bed::speaking();
    stop(&mut bed);
    bed.exits(Exit::Code(0));
    bed.pass(STOP_TIMEOUT / 2);
    assert!(bed.signals().is_empty() && !closes_stdin(&bed));
    bed.pass(STOP_TIMEOUT);
    assert!(bed.signals().is_empty());
    bed.drained();
    ends_stopped(bed);
}

#[test]
fn settling_it_does_not_wait_for_a_store_that_never_answers() {
    for requests in [1, 2] {
        let mut bed = settling();
        (0..requests).for_each(|_| stop(&mut bed));
        assert!(matches!(bed.machine.phase, Phase::Closing { .. }));
        bed.pass(STOP_TIMEOUT);
        assert_eq!(bed.verdict().map(|verdict| verdict.outcome), Some(Outcome::Stopped));
    }
}

#[test]
fn settling_its_end_is_recorded_if_the_state_comes_in_time() {
    let mut bed = settling();
    stop(&mut bed);
    bed.give(Input::Restored(Box::new(super::super::testbed::empty())));
    assert!(bed.ops().any(|op| matches!(op, Op::End(end) if end.exit == Some(Exit::Code(1)))));
    ends_stopped(bed);
}

#[test]
fn closing_the_verdict_stands() {
    for requests in [1, 2] {
        let mut bed = closing();
        (0..requests).for_each(|_| stop(&mut bed));
        assert!(bed.signals().is_empty());
        bed.commit();
        assert_eq!(bed.verdict().map(|verdict| verdict.outcome), Some(Outcome::Done));
    }
}

#[test]
fn over_and_detached_there_is_nothing_to_stop() {
    let mut bed = closing();
    bed.commit();
    assert!(bed.machine.is_over());
    stop(&mut bed);
    stop(&mut bed);
    assert!(bed.verdict().is_none() && bed.signals().is_empty());
    let mut bed = Bed::started(setup(), &fresh());
    bed.machine = Machine::detached(setup(), &fresh(), bed.now);
    stop(&mut bed);
    stop(&mut bed);
    assert!(bed.effects.is_empty());
}
