//! Agents that give no sign of life, and those that only look like it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{World, kill, wait_for};
use crate::wire::Scene;

/// Soon over; what is expected within it never is said.
const SHORT: &[&str] = &["--hang-timeout", "100ms", "--backoff-initial", "1ms"];
/// Long beside what an agent here does in it.
const LONG: &[&str] = &["--hang-timeout", "1500ms", "--restart", "never"];

fn hang(end: &Value, signal: i32, how: &str) {
    assert_eq!((&end["class"], &end["signal"]), (&json!("hang"), &json!(signal)), "{end}");
    assert_eq!(end["crash"], true);
    let summary = end["summary"].as_str().unwrap();
    assert!(summary.ends_with(&format!(": it hung ({how})")), "{summary}");
}

#[test]
fn one_that_says_nothing_is_started_again() {
    let world = World::new();
    let run = world.run_shell(SHORT, "exec sleep 1000");
    let ends = wait_for("two ends", || {
        let ends = world.crash_list();
        (ends.len() >= 2).then_some(ends)
    });
    hang(ends.last().unwrap(), 6, "no sign of life for 100 ms");
    run.stderr.wait_for("the agent hangs: no sign of life for 100 ms (--hang-timeout)");
    assert_eq!(run.stop().code, Some(0));
    world.wait_empty();
}

#[test]
fn one_that_is_stopped_and_one_that_ignores_abort_are_killed() {
    let scene = Scene::new(&["--hang-timeout", "1s", "--stop-timeout", "200ms"]);
    let mut puppet = scene.puppets.next();
    puppet.initialize();
    kill(puppet.pid, 19);
    let mut puppet = scene.puppets.next();
    assert_eq!(puppet.initialize()["start"]["reason"], "hang");
    hang(&scene.world.ends()[0], 6, "no sign of life for 1.0 s");
    puppet.ask("signal.signal(signal.SIGABRT, signal.SIG_IGN)");
    scene.puppets.next();
    hang(&scene.world.ends()[1], 9, "no sign of life for 1.0 s");
}

#[test]
fn output_of_a_plain_program_is_a_sign() {
    for way in ["echo at it", "echo at it >&2", "echo at it >&3"] {
        let world = World::new();
        let script = format!("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do {way}; sleep 0.25; done");
        let done = world.run_shell(LONG, &script).done();
        assert_eq!(done.code, Some(0), "{way}: {done:?}");
    }
}

#[test]
fn a_script_says_so_by_adrt_notify() {
    let world = World::new();
    let adrt = env!("CARGO_BIN_EXE_adrt");
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do {adrt} notify heartbeat; sleep 0.25; done"
    );
    let done = world.run_shell(LONG, &script).done();
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn one_whose_output_nobody_reads_is_not_blamed() {
    let world = World::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = world.run_command(SHORT, ["/bin/sh", "-c", "cat /dev/zero >&3"]);
    command.stdout(writer).stderr(std::process::Stdio::piped());
    let run = crate::support::Run::start_as_it_is(command);
    // All queues on the way are full, and it stays so for many of its times.
    let begun = adrt::clock::mono();
    while adrt::clock::mono().since(begun) < Duration::from_secs(2) {
        assert!(world.crash_list().is_empty(), "{}", run.stderr.text());
    }
    drop(reader);
}

#[test]
fn one_that_waits_for_an_event_is_not_blamed_and_one_that_sits_on_it_is() {
    let scene = Scene::new(&["--hang-timeout", "1500ms"]);
    let mut puppet = scene.puppets.next();
    let limits = puppet.initialize_with(json!({"events": {"credit": 1}}))["limits"].clone();
    assert_eq!(
        (&limits["hang_timeout_ms"], &limits["event_timeout_ms"]),
        (&json!(1500), &json!(null))
    );
    // Twice its time, in which commands come and go.
    let begun = adrt::clock::mono();
    while adrt::clock::mono().since(begun) < Duration::from_secs(3) {
        let n = adrt::clock::mono().since(begun).as_millis();
        let done = scene.world.done(["state", "patch", "a", &format!("{{\"n\":{n}}}")]);
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    assert!(scene.world.crash_list().is_empty());
    let emitted = scene.world.done(["events", "emit", "a", r#"{"type":"e"}"#]);
    assert_eq!(emitted.code, Some(0), "{emitted:?}");
    let mut next = scene.puppets.next();
    hang(&scene.world.ends()[0], 6, "no sign of life for 1.5 s");
    next.initialize_with(json!({"events": {"credit": 1}}));
    let again = next.wire.read();
    assert_eq!((&again["params"]["seq"], &again["params"]["attempt"]), (&json!(1), &json!(2)));
}

#[test]
fn one_that_beats_its_heart_and_holds_an_event_for_ever_is_caught_by_its_lease() {
    let scene = Scene::new(&["--hang-timeout", "1h", "--event-timeout", "300ms"]);
    let mut puppet = scene.puppets.next();
    puppet.initialize_with(json!({"events": {"credit": 1}}));
    puppet.wire.ask("event.emit", r#"{"event":{"type":"e"}}"#).unwrap();
    assert_eq!(puppet.wire.read()["params"]["lease_ms"], 300);
    puppet.tell(
        "while True:\n os.write(1, b'{\"jsonrpc\":\"2.0\",\"method\":\"heartbeat\"}\\n')\n time.sleep(0.01)",
    );
    scene.puppets.next();
    hang(&scene.world.ends()[0], 6, "it held event 1 for 300 ms");
}
