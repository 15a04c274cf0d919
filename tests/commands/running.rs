//! Commands on an agent that runs: they ask its adrt.

use serde_json::json;

use crate::world::{World, assert_three_lines, text, until};

#[test]
fn status_of_a_running_and_a_stopped_agent() {
    let world = World::new();
    let mut running = world.idle("a");
    let status = running.status();
    assert_eq!((&status["phase"], &status["incarnation"]), (&json!("running"), &json!(1)));
    assert_eq!(status["adrt_pid"], running.pid());
    assert!(status["pid"].as_i64() > Some(0), "{status}");
    let line = world.ok(&["status", "--check"]);
    assert!(line.starts_with("a ok, running, pid ") && line.lines().count() == 1, "{line}");
    assert!(world.ok(&["status"]).starts_with("● a · running since "));
    assert_eq!(world.json(&["list", "--json"])[0]["phase"], "running");

    assert_eq!(world.ok(&["stop"]), "a stopped\n");
    assert_eq!(running.ended(), Some(0));
    assert_eq!(world.ok(&["stop"]), "a is not running\n");
    let status = world.json(&["status", "--json"]);
    assert_eq!((&status["phase"], &status["pid"]), (&json!("stopped"), &json!(null)));
    assert!(world.fails(2, &["status", "--check"]).is_empty());
    assert!(world.ok(&["status"]).starts_with("○ a · stopped since "));
}

#[test]
fn an_agent_in_its_delay_is_degraded() {
    let world = World::new();
    let words = ["run", "-n", "a", "--backoff-initial", "1h", "--backoff-max", "1h", "--", "false"];
    let mut running = world.run("a", &words, "backoff");
    assert!(world.fails(1, &["status", "--check"]).is_empty());
    let page = world.ok(&["status"]);
    assert!(page.contains("next start") && page.contains("exited with code 1"), "{page}");
    // A stop does not wait for the delay.
    world.ok(&["stop"]);
    assert_eq!(running.ended(), Some(0));
}

#[test]
fn an_end_is_told_as_the_ledger_has_it() {
    let world = World::new();
    let delays = ["--backoff-initial", "1h", "--backoff-max", "1h"];
    let hangs = ["--hang-timeout", "100ms", "--", "sleep", "1000"];
    let words = [&["run", "-n", "a"], &delays[..], &hangs].concat();
    let running = world.run("a", &words, "backoff");
    // The delay begins before the end is on the disk.
    let status = until("the end on record", || {
        let status = running.status();
        (!status["last_exit"].is_null()).then_some(status)
    });
    // Not that of the next one.
    assert_eq!(status["start_reason"], "first");
    assert_eq!(status["last_exit"]["class"], "hang");
    let summary = status["last_exit"]["summary"].as_str().expect("text");
    assert!(summary.contains(": it hung"), "{summary}");
    assert!(world.ok(&["list"]).contains(": it hung"));
}

#[test]
fn writes_go_through_the_running_adrt() {
    let world = World::new();
    let running = world.idle("a");
    assert_eq!(world.ok(&["state", "set", "{\"n\": 1e400}"]), "a is at version 1\n");
    assert_eq!(world.ok(&["state", "get", "n"]), "1e400\n");
    assert_eq!(running.status()["version"], 1);
    world.fails(1, &["state", "set", "{}", "--if-version", "7"]);
    let made = world.json(&["checkpoints", "create", "--label", "base", "--json"]);
    assert_eq!(made["version"], 1);
    world.ok(&["state", "patch", "{\"n\":2}"]);
    assert_eq!(world.ok(&["backup", text(&world.path("b"))]).lines().count(), 1);

    world.ok(&["checkpoints", "restore", "base"]);
    assert_eq!(world.ok(&["state", "get", "n"]), "1e400\n");
    world.fails(66, &["checkpoints", "restore", "nothing"]);
    world.ok(&["history", "forget", "--yes"]);
    assert_eq!(world.json(&["state", "history", "--json"]), json!([]));
}

#[test]
fn a_restart_is_a_new_incarnation() {
    let world = World::new();
    let running = world.idle("a");
    let before = running.status();
    let after = world.json(&["restart", "--json"]);
    assert_eq!(after["incarnation"], 2);
    assert_ne!(after["pid"], before["pid"]);
    assert_eq!(running.status()["run_id"], before["run_id"]);
    drop(running);
    assert_three_lines(&world.fails(1, &["restart"]));
}

#[test]
fn a_running_agent_is_held() {
    let world = World::new();
    let running = world.idle("a");
    let pid = running.pid().to_string();
    for words in
        [&["run", "-n", "a", "--", "true"][..], &["rm", "a", "--yes"], &["rename", "a", "b"]]
    {
        let complaint = world.fails(75, words);
        assert_three_lines(&complaint);
        assert!(complaint.contains(&pid), "{complaint}");
    }
    assert_eq!(running.status()["phase"], "running");
}

#[test]
fn an_agent_uses_the_commands_without_naming_itself() {
    let world = World::with(&["other"]);
    let adrt = env!("CARGO_BIN_EXE_adrt");
    let script = format!(
        "set -e\n{adrt} state patch '{{\"n\":1}}' >/dev/null\n\
         {adrt} checkpoints create --label mine >/dev/null\n"
    );
    let path = world.script("agent.sh", &script);
    world.ok(&["run", "--", "sh", text(&path)]);
    assert_eq!(world.ok(&["state", "get", "agent", "n"]), "1\n");
    assert_eq!(world.ok(&["state", "show", "other"]), "{}\n");
    world.ok(&["checkpoints", "show", "agent", "mine"]);
}
