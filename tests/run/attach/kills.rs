//! SIGKILL of adrt, and of the client, at random moments: each event takes
//! effect once, and what was acknowledged is there.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::poll::PollTimeout;
use serde_json::{Value, json};

use super::Client;
use crate::support::{World, wait_for};

/// Kills.
const KILLS: usize = 60;
/// Events that are counted.
const EVENTS: u64 = 400;
/// Gives the seed of a campaign that failed.
const SEED: &str = "ADRT_TEST_SEED";
/// Lines a life may have before it is ended, at most …
const LINES_MAX: usize = 60;
/// … and then so many microseconds.
const MICROSECONDS_MAX: u64 = 1500;

#[test]
fn each_event_is_counted_once_whoever_is_killed() {
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("kills: {SEED}={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let world = World::new();
    let lines: String = (1..=EVENTS).map(|n| format!("{{\"type\":\"x\",\"n\":{n}}}\n")).collect();
    let feed = world.file("feed", lines);
    let options = ["--events", feed.to_str().unwrap(), "--max-attempts", "1"];

    let mut acked = 0;
    for _ in 0..KILLS {
        let (mut client, mut seen) = hello(&world, &options);
        assert!(seen.len() >= acked, "{acked} were acknowledged: {seen:?}");
        for _ in 0..rng.usize(..LINES_MAX) {
            acked += usize::from(step(&mut client, &mut seen));
        }
        std::thread::sleep(Duration::from_micros(rng.u64(..MICROSECONDS_MAX)));
        if rng.bool() {
            client.run.kill();
        }
        // Or it is the client who is gone.
        client.wire.close();
        if rng.bool() {
            client.run.kill();
        }
    }
    let (mut client, mut seen) = hello(&world, &options);
    wait_for("the last event", || {
        step(&mut client, &mut seen);
        let inbox = world.status()["inbox"].clone();
        (inbox["pending"] == 0 && inbox["held"] == 0).then_some(())
    });
    assert_eq!(client.leave().code, Some(0));
    let (_, state) = world.state();
    for n in 1..=EVENTS {
        assert_eq!(state["seen"][n.to_string()], 1, "event {n}");
    }
    assert_eq!(world.status()["inbox"]["dead"], 0);
    assert_eq!(world.crash_list(), [] as [Value; 0]);
}

/// How often each event took effect.
type Seen = BTreeMap<String, u64>;

/// Attaches, and goes on from what is there.
fn hello(world: &World, options: &[&str]) -> (Client, Seen) {
    let mut client = Client::start(world, options);
    let greeting = client.initialize(json!({"events": {"credit": 3}}));
    let seen = serde_json::from_value(greeting["state"]["value"]["seen"].clone());
    (client, seen.unwrap_or_default())
}

/// Reads a line, if one comes soon, and acks the event in it. Whether it was
/// the answer to an ack.
fn step(client: &mut Client, seen: &mut Seen) -> bool {
    let Some(line) = client.wire.buffered_line() else {
        client.wire.read_some(PollTimeout::from(20_u16));
        return false;
    };
    let message: Value = serde_json::from_str(&line).unwrap();
    if message["method"] != "event.deliver" {
        assert!(message["result"]["version"].is_u64(), "{message}");
        return true;
    }
    let told = &message["params"];
    let n = told["event"]["n"].to_string();
    let count = seen.entry(n.clone()).or_insert(0);
    *count += 1;
    let patch = json!({"seen": {n: *count}});
    let ack = json!({"seq": told["seq"], "attempt": told["attempt"], "patch": patch});
    client.wire.send("event.ack", ack);
    false
}
