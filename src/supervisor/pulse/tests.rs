//! Every sign of life, every excuse, and none of both.

use std::time::Duration;

use super::super::io::{Effect, Exit, GroupSignal, Input, Op};
use super::super::setup::{EventPolicy, Setup};
use super::super::testbed::{Bed, setup};
use super::{DOUBT, LATE};

const TIMEOUT: Duration = Duration::from_secs(30);
const MS: Duration = Duration::from_millis(1);

fn watched() -> Setup {
    Setup { hang_timeout: Some(TIMEOUT), ..setup() }
}

/// One that speaks, and takes no events.
fn speaking() -> Bed {
    Bed::speaking_with(watched())
}

/// So much of its time passes, in steps that the loop would make.
fn pass(bed: &mut Bed, span: Duration) {
    let until = bed.now.mono + span;
    while bed.now.mono < until {
        let left = until.since(bed.now.mono);
        let next = bed.machine.next_timeout().map_or(left, |at| at.since(bed.now.mono).min(left));
        bed.pass(next);
    }
}

/// It is not taken for hung for the whole of its time but a millisecond.
fn stays_for_its_time(bed: &mut Bed) {
    pass(bed, TIMEOUT - MS);
    assert!(bed.signals().is_empty() && !bed.machine.doubts_life());
}

/// And then it is.
fn hangs_now(bed: &mut Bed) {
    bed.pass(MS);
    assert!(bed.machine.doubts_life(), "what it wrote is asked for");
    bed.pass(DOUBT);
    assert_eq!(bed.signals(), [GroupSignal::Abort], "a trace of where it hung");
    assert!(!bed.machine.doubts_life());
}

fn summary(bed: &Bed) -> String {
    let end = bed.ops().find_map(|op| match op {
        Op::End(end) => Some(format!("{}: {}", end.class.as_str(), end.summary)),
        _ => None,
    });
    end.expect("its end is written down")
}

#[test]
fn silence_ends_in_abort_and_kill_and_is_told_as_what_it_was() {
    let mut bed = speaking();
    stays_for_its_time(&mut bed);
    hangs_now(&mut bed);
    bed.pass(Duration::from_secs(5));
    assert_eq!(bed.signals(), [GroupSignal::Kill]);
    bed.ends(Exit::Signal { signal: 9, core: false });
    assert_eq!(summary(&bed), "hang: killed by SIGKILL: it hung (no sign of life for 30 s)");
    bed.commit_all();
    // The next one knows.
    while bed.machine.live_incarnation().is_none() {
        bed.pass(Duration::from_secs(1));
        if bed.spawns() {
            bed.spawned();
        }
    }
    bed.commit_all();
    bed.initialize();
    assert!(bed.sent().contains(r#""reason":"hang","exit":{"signal":9}"#), "{}", bed.sent());
}

#[test]
fn the_limits_are_told() {
    let events = EventPolicy { timeout: Some(Duration::from_millis(1500)), ..Default::default() };
    let mut bed = Bed::running_with(Setup { events, ..watched() });
    bed.initialize();
    let told = r#""hang_timeout_ms":30000,"event_timeout_ms":1500}"#;
    assert!(bed.sent().contains(told), "{}", bed.sent());
    let mut bed = Bed::running_with(Setup { attached: true, ..watched() });
    bed.initialize();
    let told = r#""hang_timeout_ms":null,"event_timeout_ms":null}"#;
    assert!(bed.sent().contains(told), "nobody kills who is attached: {}", bed.sent());
}

#[test]
fn every_frame_is_a_sign() {
    for line in [
        r#"{"jsonrpc":"2.0","method":"heartbeat"}"#,
        r#"{"jsonrpc":"2.0","method":"heartbeat","params":{"status":"at it"}}"#,
        r#"{"jsonrpc":"2.0","method":"log","params":{"level":"info","message":"m"}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"state.get"}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"no.such"}"#,
        r#"{"jsonrpc":"2.0","id":7,"#,
    ] {
        let mut bed = speaking();
        pass(&mut bed, TIMEOUT - MS);
        bed.says(line);
        stays_for_its_time(&mut bed);
        hangs_now(&mut bed);
    }
}

#[test]
fn text_of_one_that_speaks_is_none() {
    let mut bed = speaking();
    pass(&mut bed, TIMEOUT - MS);
    bed.says(r#"{"a log":"line"}"#);
    bed.pass(MS);
    let (incarnation, wrote) = (bed.incarnation(), Some(bed.now.mono));
    bed.give(Input::Output { incarnation, wrote, held_up: None });
    bed.pass(DOUBT);
    assert_eq!(bed.signals(), [GroupSignal::Abort]);
}

#[test]
fn before_initialize_all_output_is_one() {
    let mut bed = Bed::running_with(watched());
    pass(&mut bed, TIMEOUT - MS);
    bed.says("{no frame");
    pass(&mut bed, TIMEOUT - MS);
    let (incarnation, wrote) = (bed.incarnation(), Some(bed.now.mono));
    bed.pass(MS);
    assert!(bed.machine.doubts_life());
    bed.give(Input::Output { incarnation, wrote, held_up: None });
    assert!(!bed.machine.doubts_life(), "it wrote a moment ago");
    // As long from what it wrote, not from when that was told.
    pass(&mut bed, TIMEOUT - MS - MS);
    assert!(bed.signals().is_empty() && !bed.machine.doubts_life());
    hangs_now(&mut bed);
    // Nothing of an earlier one counts for it.
    let mut bed = Bed::running_with(watched());
    pass(&mut bed, TIMEOUT);
    let wrote = Some(bed.now.mono);
    bed.give(Input::Output { incarnation: 0, wrote, held_up: wrote });
    bed.pass(DOUBT);
    assert_eq!(bed.signals(), [GroupSignal::Abort]);
}

#[test]
fn one_whose_text_nobody_takes_is_excused() {
    let mut bed = speaking();
    pass(&mut bed, TIMEOUT);
    let (incarnation, held_up) = (bed.incarnation(), Some(bed.now.mono));
    bed.give(Input::Output { incarnation, wrote: None, held_up });
    stays_for_its_time(&mut bed);
    hangs_now(&mut bed);
}

#[test]
fn its_scripts_speak_for_it() {
    for (method, params) in [
        ("heartbeat", r#"{"status":"3 of 5"}"#),
        ("ready", "{}"),
        ("event.ack", r#"{"seq":9,"attempt":1}"#),
        ("step.begin", r#"{"step":"s","scope":"x"}"#),
    ] {
        let mut bed = Bed::running_with(watched());
        pass(&mut bed, TIMEOUT - MS);
        bed.operator(1, method, params);
        stays_for_its_time(&mut bed);
        hangs_now(&mut bed);
    }
    for (method, params) in [("state.patch", r#"{"patch":{"a":1}}"#), ("status", "{}")] {
        let mut bed = Bed::running_with(watched());
        pass(&mut bed, TIMEOUT - MS);
        bed.operator(1, method, params);
        bed.commit_all();
        hangs_now(&mut bed);
    }
}

#[test]
fn an_answer_that_is_owed_excuses_for_as_long_as_it_is() {
    let mut bed = speaking();
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    pass(&mut bed, TIMEOUT * 10);
    assert!(bed.signals().is_empty() && !bed.machine.doubts_life(), "the disk is slow, not it");
    bed.commit();
    stays_for_its_time(&mut bed);
    hangs_now(&mut bed);
}

#[test]
fn reading_is_a_sign_and_not_reading_is_no_excuse() {
    let mut bed = speaking();
    pass(&mut bed, TIMEOUT - MS);
    let incarnation = bed.incarnation();
    bed.give(Input::Sent { incarnation, bytes: 10 });
    stays_for_its_time(&mut bed);
    hangs_now(&mut bed);
}

#[test]
fn one_that_waits_for_an_event_may_be_silent_and_one_that_holds_one_may_not() {
    let mut bed = Bed::working(watched(), 1);
    pass(&mut bed, TIMEOUT * 10);
    assert!(bed.signals().is_empty() && !bed.machine.doubts_life());
    bed.operator(1, "event.emit", r#"{"event":{"type":"e"}}"#);
    assert!(bed.commit_all().contains("event.deliver"));
    stays_for_its_time(&mut bed);
    hangs_now(&mut bed);
}

#[test]
fn a_disk_in_trouble_hands_out_nothing_and_that_is_not_its_fault() {
    use super::super::io::StoreFailureKind::Full;
    let mut bed = Bed::working(watched(), 1);
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    bed.fail(Full);
    bed.fail(Full);
    pass(&mut bed, TIMEOUT * 10);
    assert!(bed.signals().is_empty() && !bed.machine.doubts_life());
}

#[test]
fn a_script_that_waits_for_an_event_excuses_its_agent() {
    let mut bed = Bed::running_with(watched());
    bed.operator(1, "event.next", r#"{"wait_ms":600000}"#);
    pass(&mut bed, Duration::from_millis(600_000));
    assert!(bed.replies()[0].contains(r#""event":null"#));
    assert!(bed.signals().is_empty() && !bed.machine.doubts_life());
    stays_for_its_time(&mut bed);
    hangs_now(&mut bed);
}

#[test]
fn one_that_is_leaving_is_left_to_that() {
    let mut bed = speaking();
    pass(&mut bed, TIMEOUT - MS);
    bed.operator(1, "stop", "{}");
    bed.pass(MS + DOUBT);
    assert!(bed.signals().is_empty());
}

#[test]
fn an_attached_client_has_no_such_time() {
    let mut bed = Bed::speaking_with(Setup { attached: true, ..watched() });
    bed.pass(TIMEOUT * 2);
    let lets_go = bed.effects.iter().any(|effect| matches!(effect, Effect::LetGo { .. }));
    assert!(!lets_go && bed.signals().is_empty());
}

#[test]
fn an_adrt_that_was_away_holds_nothing_against_its_agent() {
    let mut bed = speaking();
    bed.pass(TIMEOUT + LATE);
    assert!(!bed.machine.doubts_life(), "what it said meanwhile is read first");
    stays_for_its_time(&mut bed);
    // Away between the doubt and the deed.
    bed.pass(MS);
    assert!(bed.machine.doubts_life());
    bed.pass(DOUBT + LATE);
    assert!(bed.signals().is_empty());
    stays_for_its_time(&mut bed);
    hangs_now(&mut bed);
}

#[test]
fn an_adrt_that_was_away_gives_leases_anew() {
    let events = EventPolicy { timeout: Some(TIMEOUT), ..EventPolicy::default() };
    let mut bed = Bed::working(Setup { events, ..setup() }, 1);
    bed.operator(1, "event.emit", r#"{"event":{"type":"e"}}"#);
    bed.commit_all();
    bed.pass(TIMEOUT + LATE);
    assert!(bed.signals().is_empty());
    bed.pass(TIMEOUT - MS);
    assert!(bed.signals().is_empty());
    bed.pass(MS);
    assert_eq!(bed.signals(), [GroupSignal::Abort]);
    bed.ends(Exit::Signal { signal: 6, core: false });
    assert_eq!(summary(&bed), "hang: killed by SIGABRT: it hung (it held event 1 for 30 s)");
}

#[test]
fn heartbeats_extend_no_lease() {
    let events = EventPolicy { timeout: Some(TIMEOUT), ..EventPolicy::default() };
    let mut bed = Bed::working(Setup { events, ..watched() }, 1);
    bed.operator(1, "event.emit", r#"{"event":{"type":"e"}}"#);
    bed.commit_all();
    for _ in 0..30 {
        assert!(bed.signals().is_empty());
        bed.pass(TIMEOUT / 30);
        bed.says(r#"{"jsonrpc":"2.0","method":"heartbeat","params":{"progress":{"done":1}}}"#);
    }
    bed.ends(Exit::Signal { signal: 6, core: false });
    assert_eq!(summary(&bed), "hang: killed by SIGABRT: it hung (it held event 1 for 30 s)");
}

#[test]
fn time_in_which_both_stood_still_is_not_counted() {
    let events = EventPolicy { timeout: Some(TIMEOUT * 2), ..EventPolicy::default() };
    let mut bed = Bed::working(Setup { events, ..watched() }, 1);
    bed.operator(1, "event.emit", r#"{"event":{"type":"e"}}"#);
    bed.commit_all();
    pass(&mut bed, TIMEOUT - MS);
    let still = Duration::from_secs(3600);
    bed.now.mono = bed.now.mono + still;
    bed.give(Input::StoodStill { span: still });
    assert!(bed.signals().is_empty() && !bed.machine.doubts_life());
    // What was left of its time is still there, and no more.
    hangs_now(&mut bed);
}
