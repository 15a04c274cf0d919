//! Events: put in, looked at, handed out, settled.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::world::{World, assert_three_lines, output, until};

/// An event of that type, emitted: its number.
fn emit(world: &World, kind: &str) -> u64 {
    let event = json!({"type": kind}).to_string();
    world.ok(&["events", "emit", &event]).trim().parse().expect("a number")
}

fn next(world: &World) -> Value {
    world.json(&["events", "next"])
}

/// adrt with these words and that on stdin: exit code, stdout, stderr.
#[expect(clippy::disallowed_methods, reason = "the rule is for the agents of adrt itself")]
fn piped(world: &World, words: &[&str], text: &str) -> (i32, String, String) {
    let mut command = world.adrt(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("started");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
}

#[test]
fn an_event_is_there_when_emit_ends() {
    let world = World::with(&["a"]);
    assert_eq!(world.ok(&["events", "emit", r#"{"type":"t","c":1e400}"#]), "1\n");
    let with_id = r#"{"type":"t","source":"s","id":"x"}"#;
    let emitted = world.json(&["events", "emit", "a", with_id, "--json"]);
    assert_eq!(emitted, json!({"seq": 2, "duplicate": false}));
    let emitted = world.json(&["events", "emit", with_id, "--json"]);
    assert_eq!(emitted, json!({"seq": 2, "duplicate": true}));
    let words = ["events", "emit", "--type", "u", "--data", "{\"n\":1}", "--source", "me"];
    assert_eq!(world.ok(&words), "3\n");

    // It outlives the process, and goes to the agent that runs next.
    let running = world.idle("a");
    assert_eq!(running.status()["inbox"]["pending"], 3);
    assert!(world.ok(&["events", "next"]).contains(r#""event":{"type":"t","c":1e400}"#));
    assert_eq!(next(&world)["event"]["id"], "x");
    assert_eq!(next(&world)["event"], json!({"type": "u", "source": "me", "n": 1}));
    assert_eq!(emit(&world, "w"), 4);
}

#[test]
fn what_is_no_event_is_refused() {
    let world = World::with(&["a"]);
    for event in
        ["{}", "[]", "nonsense", r#"{"type":1}"#, r#"{"type":""}"#, r#"{"type":"t","id":7}"#]
    {
        assert_three_lines(&world.fails(2, &["events", "emit", event]));
    }
    assert_three_lines(&world.fails(2, &["events", "emit"]));
    assert_three_lines(&world.fails(66, &["events", "emit", "nobody", r#"{"type":"t"}"#]));
    let to_nobody = ["events", "emit", "--to", "nobody", r#"{"type":"t"}"#];
    assert_three_lines(&world.fails(66, &to_nobody));
    assert_eq!(world.json(&["status", "--json"])["inbox"]["pending"], 0);
}

#[test]
fn lines_of_stdin_are_events() {
    let world = World::with(&["a"]);
    let lines = "{\"type\":\"t\"}\n\n{\"type\":\"u\"}\n{\"type\":\"v\"}";
    let (code, said, _) = piped(&world, &["events", "emit", "-"], lines);
    assert_eq!((code, said.as_str()), (0, "1\n2\n3\n"));
    let (code, said, complaint) = piped(
        &world,
        &["events", "emit", "a", "-", "--json"],
        "{\"type\":\"t\"}\nno\n{\"type\":\"u\"}\n",
    );
    assert_eq!((code, said.as_str()), (2, "{\"seq\":4,\"duplicate\":false}\n"));
    assert_three_lines(&complaint);
    assert!(complaint.contains("line 2") && complaint.contains("tail -n +2"), "{complaint}");
    assert_eq!(piped(&world, &["events", "emit", "-"], "").0, 0);
    let (code, ..) = piped(&world, &["events", "emit", "-", "--id", "x"], lines);
    assert_eq!(code, 2);
}

#[test]
fn events_are_settled_by_a_script() {
    let world = World::new();
    let running = world.idle("a");
    assert_eq!(output(&mut world.adrt(&["events", "next"])).status.code(), Some(1));
    assert!(world.fails(1, &["events", "next", "--wait=10ms"]).is_empty());
    emit(&world, "t");
    emit(&world, "u");
    let handed = next(&world);
    assert_eq!((&handed["seq"], &handed["attempt"]), (&json!(1), &json!(1)));
    assert_eq!(running.status()["inbox"]["held"], 1);
    let ack = ["events", "ack", "1", "1", "--patch", "{\"n\":1}", "--emit", "{\"type\":\"more\"}"];
    assert_eq!(world.ok(&ack), "a: event 1 is done, at version 1\n");
    assert_eq!(world.ok(&["state", "get", "n"]), "1\n");
    assert_three_lines(&world.fails(1, &["events", "ack", "1", "1"]));
    assert_three_lines(&world.fails(66, &["events", "ack", "99", "1"]));
    assert_three_lines(&world.fails(2, &["events", "ack", "one", "1"]));

    next(&world);
    let words = ["events", "nack", "2", "1", "--delay", "0s", "--reason", "not now", "--json"];
    assert_eq!(world.json(&words), json!({"agent": "a", "seq": 2}));
    let nacked = world.json(&["events", "show", "2", "--json"]);
    assert_eq!((&nacked["status"], &nacked["nacks"]), (&json!("pending"), &json!(1)));
    let order = [next(&world), next(&world)];
    let again = order.iter().find(|handed| handed["seq"] == 2).expect("it comes again");
    assert_eq!((&again["attempt"], &again["last_error"]), (&json!(2), &json!("not now")));
    let acked = world.json(&["events", "ack", "a", "3", "1", "--checkpoint", "--json"]);
    assert_eq!(acked, json!({"agent": "a", "seq": 3, "version": 1}));
}

#[test]
fn next_waits_for_one() {
    let world = World::new();
    let _running = world.idle("a");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| world.json(&["events", "next", "--wait"]));
        emit(&world, "t");
        assert_eq!(waits.join().expect("no panic")["event"]["type"], "t");
    });
}

#[test]
fn only_the_live_incarnation_is_handed_events() {
    let world = World::with(&["a"]);
    emit(&world, "t");
    for words in
        [&["events", "next"][..], &["events", "ack", "1", "1"], &["events", "nack", "1", "1"]]
    {
        assert_three_lines(&world.fails(1, words));
    }
    let _running = world.idle("a");
    next(&world);
    world.ok(&["restart"]);
    assert_three_lines(&world.fails(1, &["events", "ack", "1", "1"]));
    assert_eq!(next(&world)["attempt"], 2);
}

#[test]
fn lists_and_pages() {
    let world = World::new();
    let running = world.idle("a");
    for kind in ["t", "u\u{1b}[2J", "t"] {
        emit(&world, kind);
    }
    next(&world);
    let listed = world.json(&["events", "list", "--json"]);
    let seen: Vec<Value> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| json!([event["seq"], event["status"], event["type"], event["attempt"]]))
        .collect();
    assert_eq!(
        seen,
        [
            json!([3, "pending", "t", 0]),
            json!([2, "pending", "u\u{1b}[2J", 0]),
            json!([1, "held", "t", 1])
        ]
    );
    let table = world.ok(&["events", "list"]);
    assert!(table.contains("held") && !table.contains('\u{1b}'), "{table}");
    assert_eq!(table.lines().count(), 4);
    let one = world.json(&["events", "list", "--limit", "1", "--before", "3", "--json"]);
    assert_eq!(one[0]["seq"], 2);
    let of_type = world.json(&["events", "list", "--type", "t", "--since", "1h ago", "--json"]);
    assert_eq!(of_type.as_array().map(Vec::len), Some(2));
    assert_eq!(world.ok(&["events", "list", "--dead"]), "a has no dead letters\n");
    assert_three_lines(&world.fails(2, &["events", "list", "--since", "soon"]));

    let page = world.ok(&["events", "show", "1"]);
    assert!(page.starts_with("a · event 1 · held\n"), "{page}");
    let shown = world.json(&["events", "show", "a", "1", "--json"]);
    assert_eq!((&shown["agent"], &shown["event"]), (&json!("a"), &json!({"type": "t"})));
    assert_eq!((&shown["incarnation"], &shown["steps"]), (&json!(1), &json!([])));
    assert_three_lines(&world.fails(66, &["events", "show", "99"]));
    let status = running.status();
    assert_eq!((&status["inbox"]["pending"], &status["inbox"]["held"]), (&json!(2), &json!(1)));
    assert!(status["inbox"]["oldest"].is_string(), "{status}");
    drop(running);
    assert_eq!(world.json(&["events", "show", "1", "--json"])["status"], "pending");
}

#[test]
fn dead_letters_are_retried_or_dropped() {
    let world = World::new();
    let running = world.idle("a");
    for kind in ["t", "t", "u"] {
        emit(&world, kind);
        let handed = next(&world);
        let (seq, attempt) = (handed["seq"].to_string(), handed["attempt"].to_string());
        world.ok(&["events", "nack", &seq, &attempt, "--dead", "--reason", "no such customer"]);
    }
    assert_eq!(running.status()["inbox"]["dead"], 3);
    assert!(world.ok(&["status", "--check"]).contains("3 dead letters"));
    assert!(world.ok(&["list"]).contains("3 dead letters"));
    let dead = world.json(&["events", "list", "--dead", "--json"]);
    assert_eq!(
        (&dead[0]["status"], &dead[0]["last_error"]),
        (&json!("dead"), &json!("no such customer"))
    );
    assert!(world.ok(&["events", "list", "--dead"]).contains("no such customer"));

    assert_eq!(world.ok(&["events", "retry", "3"]), "a: 1 event is pending again\n");
    let again = world.json(&["events", "show", "3", "--json"]);
    assert_eq!((&again["nacks"], &again["attempt"]), (&json!(0), &json!(1)), "{again}");
    assert_eq!(again["status"], "pending", "{again}");
    next(&world);
    assert_three_lines(&world.fails(1, &["events", "drop", "3"]));
    let complaint = world.fails(1, &["events", "retry", "3"]);
    assert_three_lines(&complaint);
    assert!(complaint.contains("event 3") && complaint.contains("events list a"), "{complaint}");
    let words = ["events", "retry", "--dead", "--type", "u", "--json"];
    assert_eq!(world.json(&words), json!({"agent": "a", "retried": 0}));
    drop(running);
    // The same with nobody running.
    assert_three_lines(&world.fails(2, &["events", "drop", "--dead"]));
    assert_eq!(world.ok(&["events", "drop", "1"]), "a: 1 event is deleted\n");
    let dropped = world.json(&["events", "drop", "--dead", "--yes", "--json"]);
    assert_eq!(dropped, json!({"agent": "a", "dropped": 1}));
    assert_three_lines(&world.fails(66, &["events", "drop", "99"]));
    assert_three_lines(&world.fails(2, &["events", "retry"]));
    assert_eq!(world.json(&["events", "list", "--json"]).as_array().map(Vec::len), Some(1));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the rule is for the agents of adrt itself")]
fn follow_tells_what_comes_and_what_becomes_of_it() {
    let world = World::new();
    let _running = world.idle("a");
    emit(&world, "old");
    let mut command = world.adrt(&["events", "follow", "--since", "1h ago", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut told = || -> Value {
        let line = lines.next().expect("goes on").expect("text");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        json!([event["seq"], event["status"]])
    };
    assert_eq!(told(), json!([1, "pending"]));
    next(&world);
    assert_eq!(told(), json!([1, "held"]));
    world.ok(&["events", "ack", "1", "1"]);
    assert_eq!(told(), json!([1, "acked"]));
    emit(&world, "new");
    assert_eq!(told(), json!([2, "pending"]));
    child.kill().expect("killed");
    child.wait().expect("ends");
}

#[test]
fn a_restore_may_open_events_again() {
    let world = World::new();
    let running = world.idle("a");
    world.ok(&["checkpoints", "create", "--label", "base"]);
    emit(&world, "t");
    next(&world);
    world.ok(&["events", "ack", "1", "1", "--patch", "{\"n\":1}"]);
    let restored = world.json(&["checkpoints", "restore", "base", "--reopen-events", "--json"]);
    assert_eq!((&restored["agent"], &restored["reopened"]), (&json!("a"), &json!(1)));
    until("it waits again", || (running.status()["phase"] == "running").then_some(()));
    assert_eq!(next(&world)["seq"], 1);
}

#[test]
fn a_crash_tells_what_was_in_hand() {
    let world = World::new();
    let running = world.idle("a");
    emit(&world, "t");
    next(&world);
    let pid = running.status()["pid"].as_i64().expect("a pid");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL).expect("killed");
    until("the crash is on record", || {
        (world.json(&["crashes", "list", "--json"]) != json!([])).then_some(())
    });
    assert_eq!(world.json(&["crashes", "show", "1", "--json"])["held"], json!([1]));
    assert!(world.ok(&["crashes", "show", "1"]).contains("event 1"));
    let event = world.json(&["events", "show", "1", "--json"]);
    assert_eq!(event["deaths"], 1, "{event}");
}

#[test]
fn an_event_for_another_agent_gets_there_once() {
    let world = World::with(&["a", "b"]);
    let _running = world.idle("a");
    let event = r#"{"type":"t","n":1}"#;
    let words = ["events", "emit", "a", event, "--to", "b", "--json"];
    assert_eq!(world.json(&words), json!({"outbox_id": 1}));
    let arrived = until("it is there", || {
        let there = world.json(&["events", "list", "b", "--json"]);
        (there != json!([])).then_some(there)
    });
    assert_eq!((arrived.as_array().map(Vec::len), &arrived[0]["event"]["n"]), (Some(1), &json!(1)));
    assert_eq!(
        world.ok(&["events", "emit", "b", event, "--to", "a"]),
        "on its way to a, 1 in the outbox\n"
    );
}
