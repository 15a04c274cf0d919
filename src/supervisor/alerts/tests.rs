use std::time::Duration;

use super::super::io::{
    Boot, Exit, Input, Origin, Request, Restored, SpawnFailure, StoreFailureKind,
};
use super::super::setup::Setup;
use super::super::testbed::{Bed, STOP_TIMEOUT, empty, setup};
use super::super::work::WorkRestored;
use super::*;
use crate::clock::Age;

const SECOND: Duration = Duration::from_secs(1);

/// What was told by the last input.
fn told(bed: &Bed) -> Vec<Alert> {
    let alert = |effect: &Effect| match effect {
        Effect::Alert(alert) => Some(alert.clone()),
        _ => None,
    };
    bed.effects.iter().filter_map(alert).collect()
}

/// Nothing to do, at that age.
fn aged(age: Duration) -> WorkRestored {
    WorkRestored { age: Age::default() + age, ..WorkRestored::default() }
}

fn kinds(bed: &Bed) -> Vec<&'static str> {
    told(bed).iter().map(|alert| alert.kind.as_str()).collect()
}

fn detail(alert: &Alert, name: &str) -> Value {
    let found = alert.details.iter().find(|(named, _)| *named == name);
    found.map_or(Value::Null, |(_, value)| value.clone())
}

/// One crash, and the next start: what was told of it.
fn crash(bed: &mut Bed) -> Vec<&'static str> {
    let mut all = Vec::new();
    bed.ends(Exit::Code(7));
    all.extend(kinds(bed));
    while !bed.units.is_empty() {
        bed.commit();
        all.extend(kinds(bed));
    }
    while !bed.spawns() {
        bed.pass(60 * SECOND);
        all.extend(kinds(bed));
    }
    bed.spawned();
    all.extend(kinds(bed));
    bed.commit();
    all
}

#[test]
fn a_crash_loop_is_told_once_and_when_it_is_over() {
    let mut bed = Bed::running();
    for _ in 0..4 {
        assert!(crash(&mut bed).is_empty());
    }
    assert_eq!(crash(&mut bed), ["crash_loop"]);
    assert!(crash(&mut bed).is_empty(), "it goes on");
    // The seventh within the hour is a matter of its own.
    assert_eq!(crash(&mut bed), ["unstable"]);
    bed.pass(61 * SECOND);
    let [over] = &told(&bed)[..] else { panic!("{:?}", told(&bed)) };
    assert_eq!(detail(over, "over"), "crash_loop");
    assert!(detail(over, "lasted_ms").as_u64().unwrap() > 60_000, "{over:?}");
}

#[test]
fn a_stop_of_an_unstable_agent_waits_for_its_last_writes_only() {
    // Older than an hour, so that no crash at all lies in the past.
    let restored = Restored { work: aged(3 * 3600 * SECOND), ..empty() };
    let mut bed = Bed::started(setup(), &Boot { origin: Origin::First, ..Boot::default() });
    bed.give(Input::Restored(Box::new(restored)));
    bed.spawned();
    bed.commit_all();
    let all: Vec<_> = (0..7).flat_map(|_| crash(&mut bed)).collect();
    assert_eq!(all, ["crash_loop", "unstable"]);
    bed.give(Input::Signal { request: Request::Stop, who: "a test" });
    bed.ends(Exit::Code(0));
    let next = bed.machine.next_timeout();
    assert_eq!(next, Some(bed.now.mono + STOP_TIMEOUT), "a deadline that lies in the past");
}

#[test]
fn an_hour_without_a_crash_is_noticed_by_itself() {
    let mut bed = Bed::running();
    let all: Vec<_> = (0..7).flat_map(|_| crash(&mut bed)).collect();
    assert_eq!(all, ["crash_loop", "unstable"]);
    let mut over = Vec::new();
    for _ in 0..10 {
        let Some(at) = bed.machine.next_timeout() else { break };
        bed.pass(at.since(bed.now.mono));
        over.extend(told(&bed).iter().map(|alert| detail(alert, "over")));
        bed.commit_all();
    }
    assert_eq!(over, ["crash_loop", "unstable"]);
}

#[test]
fn a_failing_store_is_told_with_its_end() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    bed.fail(StoreFailureKind::Full);
    bed.fail(StoreFailureKind::Full);
    let [alert] = &told(&bed)[..] else { panic!("{:?}", told(&bed)) };
    assert_eq!((alert.kind, detail(alert, "reason")), (AlertKind::StoreFailing, "full".into()));
    bed.pass(SECOND);
    bed.fail(StoreFailureKind::Full);
    bed.fail(StoreFailureKind::Full);
    assert!(told(&bed).is_empty(), "it still fails");
    bed.pass(SECOND);
    bed.commit();
    let [over] = &told(&bed)[..] else { panic!("{:?}", told(&bed)) };
    assert_eq!(detail(over, "over"), "store_failing");
}

fn drop_event(bed: &mut Bed) {
    bed.operator(9, "event.emit", r#"{"event":{"type":"x"}}"#);
    bed.commit_all();
}

/// One event is given up: what was told of it.
fn dead_letter(bed: &mut Bed, seq: u64) -> Vec<Alert> {
    drop_event(bed);
    bed.asks("event.nack", &format!(r#"{{"seq":{seq},"attempt":1,"dead":true,"reason":"no"}}"#));
    assert!(told(bed).is_empty(), "not before it is on the disk");
    bed.commit();
    let all = told(bed);
    bed.commit_all();
    all
}

#[test]
fn a_storm_of_dead_letters_is_told_in_a_few_words() {
    let mut bed = Bed::working(setup(), 1);
    let first = dead_letter(&mut bed, 1);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!((detail(&first[0], "new"), detail(&first[0], "dead_letters")), (1.into(), 1.into()));
    assert_eq!(detail(&first[0], "event"), 1);
    for seq in 2..12 {
        assert!(dead_letter(&mut bed, seq).is_empty());
    }
    bed.pass(ALERT_PAUSE);
    let [more] = &told(&bed)[..] else { panic!("{:?}", told(&bed)) };
    assert_eq!((detail(more, "new"), detail(more, "dead_letters")), (10.into(), 11.into()));
    bed.commit_all();
    bed.pass(ALERT_PAUSE);
    assert!(told(&bed).is_empty());
    assert_eq!(dead_letter(&mut bed, 12).len(), 1, "after a pause, at once");
    // What is untold is told before the run ends.
    assert!(dead_letter(&mut bed, 13).is_empty());
    bed.give(Input::Signal { request: Request::Stop, who: "a test" });
    bed.ends(Exit::Code(0));
    assert_eq!(kinds(&bed), ["dead_letter"]);
}

#[test]
fn a_review_is_told_with_what_is_asked() {
    let mut bed = Bed::speaking();
    let prompt = format!("may I \\u001b[31m{}", "x".repeat(500));
    bed.asks("review.request", &format!(r#"{{"prompt":"{prompt}"}}"#));
    assert!(told(&bed).is_empty());
    bed.commit();
    let [alert] = &told(&bed)[..] else { panic!("{:?}", told(&bed)) };
    assert_eq!((alert.kind, detail(alert, "review")), (AlertKind::ReviewPending, 1.into()));
    let asked = detail(alert, "prompt").as_str().unwrap().to_owned();
    assert!(asked.starts_with("may I  [31mxxx") && asked.ends_with('…'), "{asked}");
}

#[test]
fn damage_is_told_when_the_state_is_there() {
    let boot = Boot { origin: Origin::Damaged, ..Boot::default() };
    let mut bed = Bed::started(setup(), &boot);
    let warnings = vec!["put aside".to_owned(), "salvaged".to_owned()];
    bed.give(Input::Restored(Box::new(Restored { version: 7, warnings, ..empty() })));
    let [alert] = &told(&bed)[..] else { panic!("{:?}", told(&bed)) };
    assert_eq!((alert.kind, &*alert.message), (AlertKind::Damaged, "put aside; salvaged"));
    assert_eq!(detail(alert, "version"), 7);
}

#[test]
fn an_end_is_told_unless_it_is_a_good_one() {
    let never = || {
        let mut setup = setup();
        setup.policy.mode = super::super::restart::RestartMode::Never;
        setup
    };
    for (setup, exit, outcome) in [
        (never(), Exit::Code(3), Some("agent_failed")),
        (never(), Exit::Code(0), None),
        (with_max_restarts(0), Exit::Signal { signal: 9, core: false }, Some("gave_up")),
    ] {
        let mut bed = Bed::running_with(setup);
        bed.ends(exit);
        let outcomes: Vec<Value> = told(&bed).iter().map(|a| detail(a, "outcome")).collect();
        assert_eq!(outcomes, outcome.into_iter().collect::<Vec<_>>());
    }
    let mut bed = Bed::started(setup(), &Boot::default());
    bed.give(Input::Restored(Box::new(empty())));
    let failure = SpawnFailure::NotFound("x is not in PATH".into());
    bed.give(Input::SpawnFailed { incarnation: 1, failure });
    assert_eq!(detail(&told(&bed)[0], "outcome"), "exec_failed");
}

fn with_max_restarts(max: u32) -> Setup {
    let mut setup = setup();
    setup.policy.max_restarts = Some(max);
    setup
}

#[test]
fn the_longest_alert_fits_into_a_pipe() {
    let text = "\"𝄞\\".repeat(1000);
    let at = Wall::from_millis(0);
    let alert = Alert::new(AlertKind::ReviewPending, at, u64::MAX, &text)
        .with("new", u64::MAX)
        .with("review", u64::MAX)
        .with("prompt", plain(&text))
        .with("reviews", u64::MAX);
    let json = alert.to_json(&"a".repeat(64), Some(&"\"".repeat(64)));
    assert!(json.len() <= ALERT_BYTES_MAX, "{}", json.len());
    let read: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&read["alert"], &read["time"]),
        (&"review_pending".into(), &"1970-01-01T00:00:00.000Z".into())
    );
}
