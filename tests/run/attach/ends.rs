//! How it ends: by the client, by an operator, by a signal.

use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Stdio;

use nix::poll::PollTimeout;
use serde_json::json;

use super::{Client, params};
use crate::support::{Done, World, wait_for};

/// So long that no test lives to see its end.
const NEVER: &str = "1h";

/// A line as a client writes it.
fn request(id: u64, method: &str, params: impl std::fmt::Display) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}\n")
}

#[test]
fn all_that_was_said_before_the_end_is_answered() {
    const PATCHES: u64 = 2000;
    let world = World::new();
    let mut text = request(0, "initialize", params("", json!({"state": "omit"})));
    for n in 1..=PATCHES {
        text += &request(n, "state.patch", json!({"patch": {"n": n}}));
    }
    // A file, read to its end before the first commit.
    let file = std::fs::File::open(world.file("requests", &text)).unwrap();
    let mut command = world.adrt(["attach", "-n", "a"]);
    command.stdin(file);
    let done = Done::of(command);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{}", done.stderr);
    let answers = String::from_utf8(done.stdout).unwrap();
    let last = format!(r#"{{"jsonrpc":"2.0","id":{PATCHES},"result":{{"version":{PATCHES}}}}}"#);
    assert_eq!(answers.lines().last(), Some(last.as_str()));
    assert_eq!(answers.lines().count() as u64, PATCHES + 1);
    assert_eq!(world.state(), (PATCHES, json!({"n": PATCHES})));
}

#[test]
fn a_client_that_only_listens_any_more_hears_all_of_it() {
    let world = World::new();
    let mut client = Client::open(&world, &["--stop-timeout", NEVER]);
    client.wire.ask("state.set", json!({"value": {"x": "x".repeat(1 << 20)}})).unwrap();
    let ids: Vec<u64> = (0..8).map(|_| client.wire.send("state.get", "{}")).collect();
    client.wire.close_output();
    // More than all pipes hold is on its way, so adrt still has some of it.
    wait_for("the end to be noticed", || (world.status()["phase"] == "stopping").then_some(()));
    for id in ids {
        assert_eq!(client.wire.answer(id).unwrap()["version"], 1);
    }
    client.wire.wait_end();
    assert_eq!(client.run.done().code, Some(0));
}

#[test]
fn one_that_neither_speaks_nor_listens_is_let_go_of() {
    let world = World::new();
    let mut client = Client::open(&world, &["--stop-timeout", "100ms"]);
    client.wire.ask("state.set", json!({"value": {"x": "x".repeat(1 << 20)}})).unwrap();
    for _ in 0..8 {
        client.wire.send("state.get", "{}");
    }
    client.wire.close_output();
    assert_eq!(client.run.wait().code(), Some(0));
    assert_eq!(world.ends().pop().unwrap()["class"], "done");
}

#[test]
fn an_end_may_come_at_any_time() {
    let world = World::new();
    // Before a word.
    assert_eq!(Client::start(&world, &[]).leave().code, Some(0));
    // After text alone, which is told; within a line, which was never sent.
    for (said, told) in [("hello\n", "hello\n"), ("{\"jsonrpc\":\"2.0\",\"id\":1", "{\"jsonrpc")] {
        let mut client = Client::start(&world, &[]);
        client.wire.write(said.as_bytes());
        let done = client.leave();
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.stderr.starts_with(told), "{done:?}");
    }
    let mut client = Client::open(&world, &[]);
    let torn = request(9, "state.set", r#"{"value":{"torn":true}}"#);
    client.wire.write(torn.trim_end().as_bytes());
    assert_eq!(client.leave().code, Some(0));
    assert_eq!(world.state(), (0, json!({})));
    // With stdin closed from the start, and none at all.
    assert_eq!(world.done(["attach", "-n", "a"]).code, Some(0));
    let command = world.script("closed", "exec adrt attach -n a <&- >&-");
    let mut command = world.program(command);
    let own = std::path::Path::new(env!("CARGO_BIN_EXE_adrt")).parent().unwrap();
    let path = std::env::join_paths([own, "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    command.env("PATH", path);
    let done = Done::of(command);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(world.crash_list(), [] as [serde_json::Value; 0]);
}

#[test]
fn events_in_hand_wait_for_the_next() {
    let world = World::new();
    for attempt in 1..=5 {
        let mut client = Client::start(&world, &["--max-attempts", "1"]);
        client.initialize(json!({"events": {"credit": 1}}));
        if attempt == 1 {
            client.wire.send("event.emit", r#"{"event":{"type":"x"}}"#);
            client.wire.read();
        }
        let told = client.wire.read();
        assert_eq!(told["method"], "event.deliver");
        assert_eq!(told["params"]["attempt"], attempt, "each hand-out is one");
        assert_eq!(client.leave().code, Some(0));
    }
    let inbox = world.status()["inbox"].clone();
    assert_eq!((&inbox["pending"], &inbox["dead"]), (&json!(1), &json!(0)), "no death is counted");
}

/// What an operator may stop it with.
fn stop(world: &World, client: &Client, how: &str) {
    match how {
        "TERM" => client.run.signal(15),
        "INT" => client.run.signal(2),
        _ => assert_eq!(world.done(["stop", "a", "--wait", "0"]).code, Some(0)),
    }
}

#[test]
fn a_stop_asks_the_client_and_waits_for_it() {
    for how in ["TERM", "INT", "stop"] {
        let world = World::new();
        let mut client = Client::open(&world, &["--stop-timeout", NEVER]);
        stop(&world, &client, how);
        let told = client.wire.read();
        assert_eq!(told["method"], "shutdown");
        assert_eq!(told["params"], json!({"reason": "stop", "deadline_ms": 3_600_000}));
        assert_eq!(world.status()["phase"], "stopping");
        // What it still has to say is heard, and answered.
        client.wire.ask("state.set", r#"{"value":{"last":"words"}}"#).unwrap();
        let done = client.leave();
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{how}");
        assert_eq!(world.state().1, json!({"last": "words"}));
        assert_eq!(world.ends().pop().unwrap()["class"], "stopped");
    }
}

#[test]
fn then_the_wire_closes_then_it_goes_without_the_client() {
    let world = World::new();
    let mut client = Client::open(&world, &["--stop-timeout", "500ms"]);
    client.run.signal(15);
    assert_eq!(client.wire.read()["method"], "shutdown");
    client.wire.wait_end();
    // The test is alive, and so is its end of the pipe.
    assert_eq!(client.run.wait().code(), Some(0));
    assert_eq!(world.ends().pop().unwrap()["class"], "stopped");
}

#[test]
fn a_second_request_waits_for_nothing() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("stop", "TERM"), ("INT", "stop")] {
        let world = World::new();
        let mut client = Client::open(&world, &["--stop-timeout", NEVER]);
        stop(&world, &client, first);
        assert_eq!(client.wire.read()["method"], "shutdown");
        stop(&world, &client, second);
        assert_eq!(client.run.wait().code(), Some(0), "{first} {second}");
    }
}

#[test]
fn a_client_that_has_not_said_hello_is_let_go_of_at_once() {
    let world = World::new();
    let mut client = Client::start(&world, &["--stop-timeout", NEVER]);
    world.wait_for_phase("attached");
    assert_eq!(world.done(["stop", "a"]).code, Some(0));
    client.wire.wait_end();
    assert_eq!(client.run.done().code, Some(0));
}

#[test]
fn answers_that_nobody_reads_any_more_are_no_reason_to_end() {
    let world = World::new();
    let mut client = Client::open(&world, &[]);
    client.wire.close_input();
    for n in 1..=100 {
        client.wire.send("state.patch", json!({"patch": {"n": n}}));
    }
    wait_for("the last patch", || (world.state().0 == 100).then_some(()));
    assert_eq!(world.status()["phase"], "attached");
    client.wire.close_output();
    assert_eq!(client.run.done().code, Some(0));
}

#[test]
fn by_hand_on_a_terminal() {
    let world = World::new();
    let pty = nix::pty::openpty(None, None).unwrap();
    let terminal = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut command = world.adrt(["attach", "-n", "a"]);
    command.stdin(terminal()).stdout(terminal()).stderr(Stdio::piped());
    let Client { run, mut wire } =
        Client::over(command, pty.master.try_clone().unwrap(), pty.master);
    run.stderr.wait_for("adrt-protocol(7)");
    assert_eq!(run.stderr.text().lines().count(), 1);
    // A terminal shows what is typed into it.
    let typed = request(1, "initialize", params("", json!({})));
    wire.write(typed.as_bytes());
    assert_eq!(wire.read_line(), typed.trim_end());
    assert_eq!(wire.answer(1).unwrap()["agent"], "a");
    // Ctrl-D.
    wire.write(b"\x04");
    let done = run.done();
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn it_makes_nothing_non_blocking_that_others_have_too() {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let world = World::new();
    let (input, to) = std::io::pipe().unwrap();
    let (from, output) = std::io::pipe().unwrap();
    let mut command = world.adrt(["attach", "-n", "a"]);
    command.stdin(input.try_clone().unwrap()).stdout(output.try_clone().unwrap());
    command.stderr(Stdio::piped());
    let mut client = Client::over(command, from, to);
    client.initialize(json!({}));
    for ours in [input.as_fd(), output.as_fd()] {
        let flags = OFlag::from_bits_retain(fcntl(ours, FcntlArg::F_GETFL).unwrap());
        assert!(!flags.contains(OFlag::O_NONBLOCK));
    }
    drop((input, output));
    assert_eq!(client.leave().code, Some(0));
}

#[test]
fn a_socket_is_as_good_as_two_pipes() {
    use std::os::unix::net::UnixStream;
    let world = World::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = world.adrt(["attach", "-n", "a"]);
    command.stdin(OwnedFd::from(theirs.try_clone().unwrap()));
    command.stdout(OwnedFd::from(theirs)).stderr(Stdio::piped());
    // Somebody has made it non-blocking, for both who have it.
    ours.set_nonblocking(true).unwrap();
    let (from, to) = (ours.try_clone().unwrap(), ours.try_clone().unwrap());
    let mut client = Client::over(command, from, to);
    client.initialize(json!({}));
    client.wire.ask("state.set", json!({"value": {"x": "x".repeat(1 << 20)}})).unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    while client.wire.read_some(PollTimeout::from(100_u16)) != Some(0) {}
    assert_eq!(client.run.done().code, Some(0));
}
