//! `adrt attach`: the test is the client, on both ends of adrt's own stdin
//! and stdout.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::puppet::Wire;
use crate::support::{Run, World, kill, wait_for};

pub mod ends;
pub mod hostile;
pub mod kills;
pub mod rivals;

/// A client, and the adrt it has started.
pub struct Client {
    pub run: Run,
    pub wire: Wire,
}

impl Client {
    /// Attaches as `a`, and says nothing yet.
    pub fn start(world: &World, options: &[&str]) -> Self {
        let mut command = world.adrt(["attach", "-n", "a"]);
        command.args(options);
        let (run, wire) = Run::start_with_wire(command);
        Self { run, wire }
    }

    /// Over descriptors of the test's choice; these are its own ends of them.
    pub fn over(command: Command, from: impl Into<OwnedFd>, to: impl Into<OwnedFd>) -> Self {
        let wire = Wire::new(File::from(from.into()), File::from(to.into()));
        Self { run: Run::start_as_it_is(command), wire }
    }

    /// Attaches, and says `initialize`.
    pub fn open(world: &World, options: &[&str]) -> Self {
        let mut client = Self::start(world, options);
        client.initialize(json!({"state": "omit"}));
        client
    }

    /// Says `initialize` with these further members; its result.
    pub fn initialize(&mut self, extra: Value) -> Value {
        self.wire.ask("initialize", params("", extra)).unwrap()
    }

    /// Closes its side of the wire, and waits for what adrt makes of it.
    pub fn leave(mut self) -> crate::support::Done {
        self.wire.close();
        self.run.done()
    }
}

/// Params of `initialize`.
pub fn params(token: &str, extra: Value) -> Value {
    let mut params = json!({"protocol": [1], "token": token, "client": {"name": "test"}});
    params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    params
}

fn us() -> i32 {
    std::process::id().try_into().unwrap()
}

#[test]
fn a_client_is_greeted_and_its_state_is_kept() {
    let world = World::new();
    let mut client = Client::start(&world, &["--max-state", "1MiB"]);
    let greeting = client.initialize(json!({}));
    assert_eq!((&greeting["agent"], &greeting["incarnation"]), (&json!("a"), &json!(1)));
    assert_eq!(greeting["start"]["reason"], "first");
    assert_eq!(greeting["state"], json!({"version": 0, "value": {}}));
    assert_eq!(greeting["limits"]["max_state"], 1 << 20);
    client.wire.ask("state.patch", r#"{"patch":{"n":0.10}}"#).unwrap();
    assert_eq!(client.wire.state_text(), r#"{"n":0.10}"#);
    client.wire.refused(1103, "state.set", json!({"value": {"x": "x".repeat(1 << 20)}}));
    let done = client.leave();
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");

    let end = world.ends().pop().unwrap();
    assert_eq!((&end["class"], &end["crash"]), (&json!("done"), &json!(false)));
    assert_eq!((&end["code"], &end["signal"]), (&json!(null), &json!(null)), "nobody knows");
    let kept = world.json(&["checkpoints", "list", "a", "--json"]);
    assert_eq!((&kept[0]["version"], &kept[0]["reason"]), (&json!(1), &json!("end")));

    let mut next = Client::start(&world, &[]);
    let greeting = next.initialize(json!({}));
    assert_eq!(greeting["incarnation"], 2);
    assert_eq!(greeting["start"]["reason"], "resume");
    assert_eq!(
        (&greeting["start"]["exit"], &greeting["start"]["crashes_in_row"]),
        (&json!(null), &json!(0))
    );
    assert_eq!(greeting["state"]["version"], 1);
    next.wire.ask("run.finish", "{}").unwrap();
    assert_eq!(next.leave().code, Some(0));
    assert_eq!(world.ends().pop().unwrap()["class"], "finished");
}

#[test]
fn the_same_state_is_run_and_attached_in_turn() {
    let world = World::new();
    let ran = world.run_shell(&[], "adrt state patch '{\"n\":1}' >/dev/null; exit 3");
    ran.stderr.wait_for("exited with code 3");
    ran.stop();
    let mut client = Client::start(&world, &[]);
    let greeting = client.initialize(json!({}));
    assert_eq!(greeting["start"]["reason"], "crash");
    assert_eq!(greeting["state"]["value"], json!({"n": 1}));
    client.wire.ask("state.patch", r#"{"patch":{"n":2}}"#).unwrap();
    assert_eq!(client.leave().code, Some(0));
    let ran = world.run_shell(&[], "adrt state get n").done();
    assert_eq!((ran.code, &ran.stdout[..]), (Some(0), &b"2\n"[..]), "{ran:?}");
}

#[test]
fn operators_see_it_and_write_to_it() {
    let world = World::new();
    let mut client = Client::open(&world, &[]);
    let status = world.status();
    assert_eq!((&status["phase"], &status["pid"]), (&json!("attached"), &json!(us())));
    assert_eq!(status["adrt_pid"], client.run.pid());
    assert_eq!(world.json(&["list", "--json"])[0]["phase"], "attached");
    let checked = world.done(["status", "a", "--check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let page = String::from_utf8(world.done(["status", "a"]).stdout).unwrap();
    assert!(page.starts_with("● a · attached since ") && page.contains("client"), "{page}");

    assert_eq!(world.done(["state", "patch", "a", r#"{"by":"hand"}"#]).code, Some(0));
    let told = client.wire.read();
    assert_eq!(told["method"], "state.changed");
    assert_eq!(
        (&told["params"]["version"], &told["params"]["by"]),
        (&json!(1), &json!("operator"))
    );
    client.wire.ask("event.subscribe", r#"{"credit":1}"#).unwrap();
    assert_eq!(world.done(["events", "emit", "a", r#"{"type":"x"}"#]).code, Some(0));
    let told = client.wire.read();
    assert_eq!((&told["method"], &told["params"]["seq"]), (&json!("event.deliver"), &json!(1)));
    let asked = client.wire.ask("review.request", r#"{"prompt":"may I"}"#).unwrap();
    let id = asked["review_id"].to_string();
    assert_eq!(world.done(["reviews", "approve", "a", &id]).code, Some(0));
    assert_eq!(client.wire.read()["method"], "review.resolved");
    assert_eq!(client.leave().code, Some(0));
}

#[test]
fn nobody_can_start_it_anew() {
    let world = World::new();
    let mut client = Client::open(&world, &[]);
    client.wire.ask("state.patch", r#"{"patch":{"n":1}}"#).unwrap();
    client.wire.ask("checkpoint.create", r#"{"label":"one"}"#).unwrap();
    client.wire.ask("state.patch", r#"{"patch":{"n":2}}"#).unwrap();
    for words in [&["restart", "a"][..], &["checkpoints", "restore", "a", "one"]] {
        let refused = world.done(words);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert_eq!(refused.stderr.lines().count(), 3, "{refused:?}");
        assert!(refused.stderr.contains("attached"), "{refused:?}");
    }
    assert_eq!(client.wire.state_text(), r#"{"n":2}"#);
    // By itself it may go back.
    client.wire.ask("checkpoint.restore", r#"{"label":"one"}"#).unwrap();
    assert_eq!(client.wire.state_text(), r#"{"n":1}"#);
    assert_eq!(client.leave().code, Some(0));
    assert_eq!(world.done(["checkpoints", "restore", "a", "one"]).code, Some(0));
}

#[test]
fn a_token_must_be_shown_where_there_is_one() {
    let world = World::new();
    let mut command = world.adrt(["attach", "-n", "a"]);
    command.env("ADRT_TOKEN", "sesame");
    let (run, wire) = Run::start_with_wire(command);
    let mut client = Client { run, wire };
    for wrong in ["", "sesam", "sesame "] {
        client.wire.refused(1002, "initialize", params(wrong, json!({})));
    }
    client.wire.ask("initialize", params("sesame", json!({"frame_tag": true}))).unwrap();
    // Without the tag it is text, and nobody's request.
    client.wire.send("state.set", r#"{"value":{"n":1}}"#);
    client.wire.line(r#"{"jsonrpc":"2.0","tag":"sesame","id":7,"method":"state.get"}"#);
    let answer = client.wire.answer(7).unwrap();
    assert_eq!(answer, json!({"version": 0, "value": {}}));
    assert_eq!(client.leave().code, Some(0));

    let mut client = Client::start(&world, &[]);
    client.wire.refused(1002, "initialize", params("sesame", json!({})));
    client.initialize(json!({}));
    assert_eq!(client.leave().code, Some(0));
}

#[test]
fn events_come_from_a_file_too() {
    let world = World::new();
    let feed = world.file("feed", "{\"type\":\"x\",\"n\":1}\n{\"type\":\"x\",\"n\":2}\n");
    let options = ["--events", feed.to_str().unwrap(), "--checkpoint-every", "2"];
    for (credit, events) in [(1, &[1][..]), (2, &[2])] {
        let mut client = Client::start(&world, &options);
        client.initialize(json!({"events": {"credit": credit}}));
        for event in events {
            let told = client.wire.read()["params"].clone();
            assert_eq!(told["event"]["n"], *event);
            let ack = json!({"seq": told["seq"], "attempt": told["attempt"]});
            client.wire.send("event.ack", ack);
            // With a credit of one, the next is told together with the answer.
            while client.wire.read()["result"].is_null() {}
        }
        assert_eq!(client.leave().code, Some(0));
    }
    let left = world.status()["inbox"].clone();
    assert_eq!((&left["pending"], &left["dead"]), (&json!(0), &json!(0)));
    let refused = world.done(["attach", "-n", "a", "--events", "-"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
}

#[test]
fn in_memory_it_leaves_nothing() {
    let world = World::new();
    let mut client = Client::open(&world, &["--ephemeral"]);
    client.wire.ask("state.set", r#"{"value":{"n":1}}"#).unwrap();
    let mut other = Client::open(&world, &["--ephemeral"]);
    assert_eq!(other.wire.state_text(), "{}");
    assert_eq!((client.leave().code, other.leave().code), (Some(0), Some(0)));
    assert_eq!(std::fs::read_dir(world.state_dir()).unwrap().count(), 0);
}

/// Waits until `a` has so many incarnations on record that have begun.
fn wait_for_record(world: &World, incarnation: u64) {
    wait_for("the record of its start", || {
        (world.status()["incarnation"] == incarnation).then_some(())
    });
    // What is written now is written after it.
    let done = world.done(["state", "patch", "a", "{}"]);
    assert_eq!(done.code, Some(0), "{done:?}");
}

/// SIGKILL, and the lock is free.
fn kill_and_wait(run: &mut Run) {
    kill(run.pid(), 9);
    run.wait();
}
