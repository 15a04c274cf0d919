//! An agent that floods, or never reads, makes itself wait; adrt neither
//! grows nor stops.

use nix::poll::PollTimeout;
use serde_json::json;

use super::Scene;
use crate::support::process::peak_memory_kib;
use crate::support::{kill, wait_for};

/// What adrt may have at its peak, whatever the agent does. Two queues of
/// 16 MiB each are bounded by design; the rest is the program.
const PEAK_KIB_MAX: u64 = 64 * 1024;

/// A pipe that takes nothing for so long is full, for all a test can tell.
const QUIET: u16 = 500;

/// Patches of an agent that floods.
const FLOOD: u64 = 200_000;

#[test]
fn a_flood_without_reading_waits_and_loses_nothing() {
    let (scene, mut puppet) = Scene::open(&["--max-db", "1GiB"]);
    let request = |n: u64| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{n},\"method\":\"state.patch\",\
             \"params\":{{\"patch\":{{\"n\":{n}}}}}}}\n"
        )
    };
    let mut flood = (1..=FLOOD).map(request).collect::<String>().into_bytes();
    // Reads nothing, as long as anything is taken.
    let mut sent = 0;
    while sent < flood.len() {
        match puppet.wire.write_some(&flood[sent..], PollTimeout::from(QUIET)) {
            0 => break,
            count => sent += count,
        }
    }
    let peak = peak_memory_kib(scene.run.pid());
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    assert_eq!(scene.world.status()["phase"], "running");
    // Then reads, and writes the rest.
    flood.drain(..sent);
    let mut answered = 0;
    while answered < FLOOD {
        if !flood.is_empty() {
            let count = puppet.wire.write_some(&flood, PollTimeout::ZERO);
            flood.drain(..count);
        }
        puppet.wire.read_some(PollTimeout::from(10_u16));
        while let Some(line) = puppet.wire.buffered_line() {
            answered += 1;
            let expected =
                format!(r#"{{"jsonrpc":"2.0","id":{answered},"result":{{"version":{answered}}}}}"#);
            assert_eq!(line, expected);
        }
    }
    let peak = peak_memory_kib(scene.run.pid());
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    assert_eq!(scene.world.state(), (FLOOD, json!({"n": FLOOD})));
}

#[test]
fn an_agent_that_never_reads_is_not_read() {
    let (scene, mut puppet) = Scene::open(&[]);
    let value = json!({"value": {"text": "x".repeat(4 << 20)}});
    puppet.wire.ask("state.set", value).unwrap();
    // Each answer is 4 MiB: soon adrt has enough of them.
    let request = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"state.get\"}\n";
    let many = request.repeat(100_000);
    let mut sent = 0;
    while sent < many.len() {
        match puppet.wire.write_some(&many[sent..], PollTimeout::from(QUIET)) {
            0 => break,
            count => sent += count,
        }
    }
    assert!(sent < many.len(), "all of it was taken");
    let peak = peak_memory_kib(scene.run.pid());
    assert!(peak < 2 * PEAK_KIB_MAX, "{peak} KiB");
    // Operators are served meanwhile, stderr and text go on, and it can be stopped.
    assert_eq!(scene.world.status()["phase"], "running");
    use std::io::Write as _;
    puppet.stderr.write_all(b"on stderr\n").unwrap();
    puppet.text.as_ref().unwrap().write_all(b"as text\n").unwrap();
    scene.run.stderr.wait_for("on stderr\n");
    scene.run.stdout.wait_for("as text\n");
    let done = scene.world.done(["state", "patch", "a", r#"{"text":1}"#]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(scene.world.state().1, json!({"text": 1}));
    // Nor does what it left unread outlive it.
    kill(puppet.pid, 9);
    let mut puppet = scene.puppets.next();
    assert_eq!(puppet.initialize()["start"]["exit"], json!({"signal": 9}));
    let done = scene.run.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn an_agent_that_closes_its_stdin_goes_on() {
    let (scene, mut puppet) = Scene::open(&[]);
    puppet.ask("os.close(0)");
    puppet.wire.close_input();
    for n in 1..=100 {
        puppet.wire.send("state.patch", json!({"patch": {"n": n}}));
    }
    wait_for("the last patch", || (scene.world.state().0 == 100).then_some(()));
    assert_eq!(scene.world.status()["phase"], "running");
    let done = scene.run.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn an_agent_that_closes_its_stdout_lives_on() {
    let (scene, mut puppet) = Scene::open(&[]);
    puppet.wire.ask("state.set", r#"{"value":{"n":1}}"#).unwrap();
    puppet.ask("os.close(1)");
    puppet.wire.close();
    let done = scene.world.done(["state", "patch", "a", r#"{"n":2}"#]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(scene.world.status()["phase"], "running");
    puppet.exit(3);
    let again = scene.puppets.next().initialize();
    assert_eq!(again["start"]["exit"], json!({"code": 3}));
    assert_eq!(again["state"]["value"], json!({"n": 2}));
}
