//! A client that says anything, or too much, or does not listen.

use nix::poll::PollTimeout;
use serde_json::json;

use super::Client;
use crate::support::process::peak_memory_kib;
use crate::support::{World, wait_for};

/// What adrt may have at its peak; see `wire::flow`.
const PEAK_KIB_MAX: u64 = 64 * 1024;
/// A pipe that takes nothing for so long is full, for all a test can tell.
const QUIET: u16 = 500;

#[test]
fn whatever_is_said_before_hello_is_text_for_stderr() {
    let world = World::new();
    let mut client = Client::start(&world, &[]);
    for said in [
        &b"plain text\n"[..],
        b"\x00\xff\xfe\x1b[2J\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"state.get\"}\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\n",
        b"[1,2,3]\n\n\n{}\n42\n",
    ] {
        client.wire.write(said);
    }
    client.wire.write(&[&b"["[..]; 100_000].concat());
    client.wire.line("");
    client.initialize(json!({}));
    client.wire.line("text after it");
    client.wire.ask("heartbeat", "{}").unwrap();
    let done = client.leave();
    assert_eq!(done.code, Some(0));
    for told in ["plain text\n", "\"method\":\"state.get\"", "\n42\n", "[[[[", "text after it\n"] {
        assert!(done.stderr.contains(told), "{told:?} is missing");
    }
    assert!(!done.stderr.contains("adrt:"), "nothing of adrt's own");
}

#[test]
fn broken_frames_are_answered_and_it_goes_on() {
    let world = World::new();
    let mut client = Client::open(&world, &["--max-frame", "64KiB"]);
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"x":"{}"}}"#, "x".repeat(70_000));
    let deep =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"state.set","params":{}"#, "[".repeat(5000));
    for broken in ["{\"jsonrpc\":\"2.0\",", &long, "{\"jsonrpc\":\"2.0\",\"x\":NaN}", &deep] {
        client.wire.line(broken);
        let answer = client.wire.read();
        assert_eq!(answer["error"]["code"], -32700, "{answer}");
    }
    client.wire.refused(1003, "initialize", super::params("", json!({})));
    client.wire.refused(-32601, "no.such.method", "{}");
    client.wire.refused(-32601, "stop", "{}");
    client.wire.ask("state.set", r#"{"value":{"n":1}}"#).unwrap();
    assert_eq!(client.leave().code, Some(0));
}

#[test]
fn a_flood_without_reading_waits_and_loses_nothing() {
    const FLOOD: u64 = 60_000;
    let world = World::new();
    let mut client = Client::open(&world, &["--max-db", "1GiB"]);
    let request = |n: u64| {
        let params = format!("{{\"patch\":{{\"n\":{n},\"x\":\"{}\"}}}}", "x".repeat(200));
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{n},\"method\":\"state.patch\",\"params\":{params}}}\n"
        )
    };
    // And a state.get with each, whose answers soon fill all there is.
    let get = |n: u64| format!("{{\"jsonrpc\":\"2.0\",\"id\":{n},\"method\":\"state.get\"}}\n");
    let mut flood: Vec<u8> =
        (1..=FLOOD).flat_map(|n| [request(n), get(n)]).collect::<String>().into_bytes();
    let mut sent = 0;
    while sent < flood.len() {
        match client.wire.write_some(&flood[sent..], PollTimeout::from(QUIET)) {
            0 => break,
            count => sent += count,
        }
    }
    assert!(sent < flood.len(), "all of it was taken");
    let peak = peak_memory_kib(client.run.pid());
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    assert_eq!(world.status()["phase"], "attached", "operators are still served");
    flood.drain(..sent);
    let mut answered = 0;
    while answered < 2 * FLOOD {
        if !flood.is_empty() {
            let count = client.wire.write_some(&flood, PollTimeout::ZERO);
            flood.drain(..count);
        }
        client.wire.read_some(PollTimeout::from(10_u16));
        while let Some(line) = client.wire.buffered_line() {
            answered += 1;
            let id = answered.div_ceil(2);
            let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"version":{id}"#);
            assert!(line.starts_with(&expected), "{line}");
        }
    }
    let peak = peak_memory_kib(client.run.pid());
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    assert_eq!(client.leave().code, Some(0));
}

#[test]
fn one_that_does_not_listen_can_be_stopped() {
    let world = World::new();
    let mut client = Client::open(&world, &["--stop-timeout", "500ms"]);
    let value = json!({"value": {"text": "x".repeat(4 << 20)}});
    client.wire.ask("state.set", value).unwrap();
    let request = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"state.get\"}\n";
    let many = request.repeat(100_000);
    let mut sent = 0;
    while sent < many.len() {
        match client.wire.write_some(&many[sent..], PollTimeout::from(QUIET)) {
            0 => break,
            count => sent += count,
        }
    }
    assert!(sent < many.len(), "all of it was taken");
    assert_eq!(world.done(["stop", "a"]).code, Some(0));
    assert_eq!(client.run.wait().code(), Some(0));
}

#[test]
fn a_flood_of_text_that_nobody_reads_makes_its_client_wait() {
    let world = World::new();
    let mut command = world.adrt(["attach", "-n", "a"]);
    let (_unread, stderr) = std::io::pipe().unwrap();
    let (input, to) = std::io::pipe().unwrap();
    let (from, output) = std::io::pipe().unwrap();
    command.stdin(input).stdout(output).stderr(stderr);
    let mut client = Client::over(command, from, to);
    let text = [b'y', b'\n'].repeat(1 << 20);
    let mut sent = 0_usize;
    loop {
        match client.wire.write_some(&text, PollTimeout::from(QUIET)) {
            0 => break,
            count => sent += count,
        }
        assert!(sent < 256 << 20, "all of it was taken");
    }
    let peak = peak_memory_kib(client.run.pid());
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    wait_for("an answer to operators", || (world.status()["phase"] == "attached").then_some(()));
    client.run.kill();
}
