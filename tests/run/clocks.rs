//! A wall clock that jumps by forty days, there and back, under a running adrt:
//! what waits for a span waits for that, and nothing is taken for late.
//!
//! By libfaketime (Debian's package `faketime`); without it this is skipped.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Puppets, Run, World, wait_for};

const DAYS: [&str; 3] = ["+40d", "-40d", "+0"];
const FORTY_DAYS_MS: i64 = 40 * 24 * 3600 * 1000;
const HOUR_MS: u64 = 3600 * 1000;

/// The library, where Debian has it.
fn library() -> Option<PathBuf> {
    let found = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let mut paths = found.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let path = paths.find(|path| path.exists());
    if path.is_none() {
        eprintln!("skipped: libfaketime is not installed (apt-get install faketime)");
    }
    path
}

/// An adrt whose wall clock is the test's.
struct Clock {
    world: World,
    run: Run,
    puppets: Puppets,
}

impl Clock {
    fn new(options: &[&str]) -> Option<Self> {
        let library = library()?;
        let world = World::new();
        let offset = world.file("offset", "+0");
        let puppets = world.puppets();
        let mut all = vec!["--no-python-client", "--stop-timeout", "1s"];
        all.extend(options);
        let mut command = world.run_command(&all, puppets.argv());
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", offset)
            .env("FAKETIME_NO_CACHE", "1")
            // The monotonic clock is no person's to set.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        Some(Self { run: Run::start(command), puppets, world })
    }

    /// Sets it, and waits until adrt has seen it: a version bears its time.
    fn set(&self, offset: &str) {
        self.world.file("offset", offset);
        wait_for(&format!("the clock to be {offset}"), || {
            let patched = self.world.done(["state", "patch", "a", r#"{"clock":1}"#]);
            assert_eq!(patched.code, Some(0), "{patched:?}");
            let shown = self.world.json(&["state", "show", "a", "--json"]);
            let at: jiff::Timestamp = shown["updated"].as_str()?.parse().ok()?;
            let ahead = at.as_millisecond() - adrt::clock::wall().millis();
            let wanted = match offset.as_bytes().first()? {
                _ if offset == "+0" => 0,
                b'-' => -FORTY_DAYS_MS,
                _ => FORTY_DAYS_MS,
            };
            ((ahead - wanted).abs() < FORTY_DAYS_MS / 2).then_some(())
        });
    }

    fn millis(&self, of: &str) -> u64 {
        let status = self.world.status();
        status[of].as_u64().unwrap_or_else(|| panic!("{of}: {status}"))
    }
}

#[test]
fn a_live_agent_its_lease_and_its_timers_do_not_notice() {
    let Some(clock) = Clock::new(&["--hang-timeout", "1h", "--event-timeout", "1h"]) else {
        return;
    };
    let mut puppet = clock.puppets.next();
    puppet.initialize_with(json!({"events": {"credit": 1}}));
    let timer = json!({"id": "t", "after_ms": HOUR_MS, "event": {"type": "late"}});
    puppet.wire.ask("timer.set", timer).unwrap();
    puppet.wire.ask("event.emit", r#"{"event":{"type":"held"}}"#).unwrap();
    assert_eq!(puppet.wire.read()["params"]["event"]["type"], "held");
    for days in DAYS {
        clock.set(days);
        let status = clock.world.status();
        assert_eq!((&status["phase"], &status["pid"]), (&json!("running"), &json!(puppet.pid)));
        assert!(clock.millis("uptime_ms") < HOUR_MS, "{status}");
        assert_eq!(status["timers"], 1, "it is not due");
        assert_eq!(status["inbox"]["held"], 1);
        // What was told meanwhile is the operator's patches, and nothing else.
        while let Some(told) = puppet.wire.buffered_line() {
            assert!(told.contains("state.changed"), "{told}");
        }
    }
    let acked = puppet.wire.send("event.ack", r#"{"seq":1,"attempt":1}"#);
    let answer = wait_for("the answer", || {
        let line: Value = puppet.wire.read();
        (line["id"] == acked).then_some(line)
    });
    assert!(answer["result"].is_object(), "{answer}");
    assert_eq!(clock.run.stop().code, Some(0));
    assert!(clock.world.crash_list().is_empty());
}

#[test]
fn a_delay_is_neither_cut_short_nor_made_longer() {
    let Some(clock) =
        Clock::new(&["--backoff-initial", "1h", "--backoff-max", "1h", "--backoff-jitter", "0"])
    else {
        return;
    };
    clock.puppets.next().exit(1);
    clock.world.wait_for_phase("backoff");
    for days in DAYS {
        clock.set(days);
        let left = clock.millis("next_retry_ms");
        assert!(left <= HOUR_MS && left > HOUR_MS / 2, "{days}: {left} ms left");
    }
    assert_eq!(clock.run.stop().code, Some(0));
}

#[test]
fn a_timer_of_the_wall_clock_goes_by_it() {
    let Some(clock) = Clock::new(&[]) else { return };
    let mut puppet = clock.puppets.next();
    puppet.initialize_with(json!({"events": {"credit": 1}}));
    let at = adrt::clock::Wall::from_millis(adrt::clock::wall().millis() + FORTY_DAYS_MS / 4);
    let timer = json!({"id": "t", "at": at.rfc3339(), "event": {"type": "at last"}});
    puppet.wire.ask("timer.set", timer).unwrap();
    clock.set("+40d");
    clock.run.stderr.wait_for("the wall clock went forward by");
    wait_for("the event", || {
        (puppet.wire.read()["params"]["event"]["type"] == "at last").then_some(())
    });
    assert_eq!(clock.run.stop().code, Some(0));
}
