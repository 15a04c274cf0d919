//! Steps, what a script says of itself, and reviews.

use serde_json::json;

use crate::world::{World, assert_three_lines, failed, no_reader, output, text};

/// A command that leaves a line in a file each time it runs, and tells its key.
const PAID: &str = "echo paid >>paid; echo \"$ADRT_IDEMPOTENCY_KEY $ADRT_STEP_ATTEMPT\"";

fn runs(world: &World) -> usize {
    std::fs::read_to_string(world.path("paid")).unwrap_or_default().lines().count()
}

#[test]
fn a_step_is_done_once() {
    let world = World::with(&["a"]);
    let step = ["step", "run", "pay", "--", "sh", "-c", PAID];
    let first = world.ok(&step);
    assert_eq!(world.ok(&step), first);
    let key = first.split(' ').next().expect("a key");
    assert_eq!(key.len(), 32, "{first}");
    // With nobody running, each command has a machine of its own.
    let other = world.ok(&["step", "run", "pay more", "--", "sh", "-c", PAID]);
    assert_ne!(other.split(' ').next(), Some(key));
    let _running = world.idle("a");
    assert_eq!(world.ok(&step), first);
    assert_eq!(runs(&world), 2);
    // Another scope is another step.
    let elsewhere = ["step", "run", "a", "pay", "--scope", "x", "--", "sh", "-c", PAID];
    assert_ne!(world.ok(&elsewhere), first);
    assert_eq!(world.ok(&["step", "forget", "default"]), "a: the steps of default are forgotten\n");
    assert_ne!(world.ok(&step), first);
    let forgotten = world.json(&["step", "forget", "a", "x", "--json"]);
    assert_eq!(forgotten, json!({"agent": "a", "scope": "x"}));
    assert_eq!(runs(&world), 4);
}

#[test]
fn output_is_remembered_byte_for_byte() {
    let world = World::with(&["a"]);
    let step = ["step", "run", "raw", "--", "printf", r"\377\000a\n\n"];
    for _ in 0..2 {
        assert_eq!(output(&mut world.adrt(&step)).stdout, b"\xff\0a\n\n");
    }
    let long =
        ["step", "run", "long", "--", "sh", "-c", "head -c 9000000 /dev/zero; echo x >>paid"];
    let seen = output(&mut world.adrt(&long));
    let told = String::from_utf8_lossy(&seen.stderr);
    assert_eq!((seen.status.code(), seen.stdout.len()), (Some(0), 9_000_000), "{told}");
    assert!(told.contains("more than is remembered"), "{told}");
    assert_three_lines(&world.fails(66, &long));
    assert_eq!(runs(&world), 1);
}

#[test]
fn a_failure_is_tried_again_unless_it_is_kept() {
    let world = World::new();
    let _running = world.idle("a");
    let script = format!("{PAID}; [ -e enough ] || exit 7");
    let step = ["step", "run", "pay", "--", "sh", "-c", &script];
    let first = output(&mut world.adrt(&step));
    assert_eq!(first.status.code(), Some(7));
    std::fs::write(world.path("enough"), "").expect("written");
    let second = world.ok(&step);
    let first = String::from_utf8(first.stdout).expect("text");
    assert_eq!(first.trim().strip_suffix(" 1"), second.trim().strip_suffix(" 2"), "the same key");

    let kept = [
        "step",
        "run",
        "kept",
        "--keep-failure",
        "--",
        "sh",
        "-c",
        "echo paid >>paid; echo no; exit 3",
    ];
    for _ in 0..2 {
        let seen = output(&mut world.adrt(&kept));
        assert_eq!((seen.status.code(), seen.stdout.as_slice()), (Some(3), &b"no\n"[..]));
    }
    assert_eq!(runs(&world), 3);
    let by_signal = ["step", "run", "killed", "--keep-failure", "--", "sh", "-c", "kill -TERM $$"];
    assert!(world.fails(143, &by_signal).is_empty());
}

#[test]
fn a_step_that_makes_no_sense() {
    let world = World::with(&["a"]);
    world.ok(&["step", "run", "s", "--input", "1", "--", "true"]);
    assert_three_lines(&world.fails(2, &["step", "run", "s", "--input", "2", "--", "true"]));
    assert_three_lines(&world.fails(127, &["step", "run", "t", "--", "/no/such"]));
    assert_three_lines(&world.fails(126, &["step", "run", "u", "--", "/etc/passwd"]));
    assert_three_lines(&world.fails(66, &["step", "run", "v", "--event", "9", "--", "true"]));
    let mut command = world.adrt(&["step", "run", "w", "--", "true"]);
    assert_three_lines(&failed(2, command.env("ADRT_EVENT", "none")));
}

#[test]
fn two_at_a_time_are_one_too_many() {
    let world = World::with(&["a"]);
    let adrt = env!("CARGO_BIN_EXE_adrt");
    // The step within the step is the same one.
    let inner = format!("{adrt} step run pay -- true");
    let complaint = world.fails(75, &["step", "run", "pay", "--", "sh", "-c", &inner]);
    assert_three_lines(&complaint);
    world.ok(&["step", "run", "pay", "--", "true"]);
}

#[test]
fn a_kill_leaves_the_step_to_the_next() {
    let world = World::with(&["a"]);
    // It kills the adrt above it.
    let script = format!("{PAID}; [ -e paid2 ] || {{ : >paid2; kill -KILL $PPID; }}");
    let step = ["step", "run", "pay", "--", "sh", "-c", &script];
    assert_eq!(output(&mut world.adrt(&step)).status.code(), None);
    assert!(world.ok(&step).ends_with(" 2\n"));
    assert_eq!(runs(&world), 2);
}

#[test]
fn a_request_to_end_is_passed_on() {
    let world = World::with(&["a"]);
    // The command is told, does its last work, and that counts.
    let script = "trap 'echo told; exit 0' TERM; kill -TERM $PPID; while :; do sleep 0.01; done";
    let step = ["step", "run", "pay", "--", "sh", "-c", script];
    for _ in 0..2 {
        assert_eq!(world.ok(&step), "told\n");
    }
}

#[test]
fn a_reader_that_goes_away_costs_no_result() {
    let world = World::with(&["a"]);
    let mut first = world.adrt(&["step", "run", "pay", "--", "sh", "-c", "echo one; echo two"]);
    let seen = output(first.stdout(no_reader().expect("a pipe")));
    assert_eq!((seen.status.code(), &*seen.stderr), (Some(0), &b""[..]));
    assert_eq!(world.ok(&["step", "run", "pay", "--", "false"]), "one\ntwo\n");
}

#[test]
fn steps_of_an_event_go_with_it() {
    let world = World::new();
    let _running = world.idle("a");
    for seq in ["1", "2"] {
        world.ok(&["events", "emit", "{\"type\":\"t\"}"]);
        world.ok(&["events", "next"]);
        let mut command = world.adrt(&["step", "run", "pay", "--", "sh", "-c", PAID]);
        assert_eq!(output(command.env("ADRT_EVENT", seq)).status.code(), Some(0));
        world.ok(&["step", "run", "pay", "--event", seq, "--", "sh", "-c", PAID]);
    }
    assert_eq!(runs(&world), 2);
    let steps = world.json(&["events", "show", "1", "--json"])["steps"].clone();
    assert_eq!((&steps[0]["step"], &steps[0]["status"]), (&json!("pay"), &json!("done")));
    assert_eq!(steps[0]["result"]["exit"], 0);
    assert!(world.ok(&["events", "show", "1"]).contains("pay"));
    // Nacked and handed out again, it is still done.
    world.ok(&["events", "nack", "1", "1", "--delay", "0s"]);
    let handed = world.json(&["events", "next"]);
    assert_eq!((&handed["seq"], &handed["attempt"]), (&json!(1), &json!(2)));
    world.ok(&["step", "run", "pay", "--event", "1", "--", "sh", "-c", PAID]);
    assert_eq!(runs(&world), 2);
    world.ok(&["events", "ack", "1", "2"]);
    let late = ["step", "run", "late", "--event", "1", "--", "true"];
    assert_three_lines(&world.fails(1, &late));
}

#[test]
fn nobody_knows_and_a_person_decides() {
    let world = World::with(&["a"]);
    let step =
        |name| ["step", "run", name, "--on-unknown", "review", "--", "sh", "-c", "test -e yes"];
    for name in ["one", "two"] {
        assert_eq!(output(&mut world.adrt(&step(name))).status.code(), Some(1));
        assert_three_lines(&world.fails(69, &step(name)));
    }
    let waiting = world.json(&["reviews", "list", "--json"]);
    assert_eq!(waiting.as_array().map(Vec::len), Some(2));
    assert!(waiting.as_array().expect("a list").iter().all(|review| review["status"] == "pending"));
    assert_eq!(world.json(&["status", "--json"])["reviews"], 2);
    assert!(world.ok(&["list"]).contains("2 reviews"));
    assert!(world.ok(&["reviews", "list"]).contains("step"));

    std::fs::write(world.path("yes"), "").expect("written");
    assert_eq!(world.ok(&["reviews", "approve", "1", "--note", "go"]), "a: review 1 is approved\n");
    assert_eq!(world.ok(&step("one")), "");
    let said = world.json(&["reviews", "reject", "a", "2", "--answer", "never", "--json"]);
    assert_eq!(said, json!({"agent": "a", "id": 2, "status": "rejected"}));
    let complaint = world.fails(1, &step("two"));
    assert!(complaint.contains("failed for good"), "{complaint}");
    assert_eq!(world.ok(&["reviews", "list"]), "a waits for nobody\n");
    let all = world.json(&["reviews", "list", "--all", "--json"]);
    let settled = all.as_array().expect("a list").iter().find(|review| review["id"] == 2);
    assert_eq!(settled.expect("it is kept")["answer"], "never");
    assert_three_lines(&world.fails(1, &["reviews", "approve", "1"]));
    assert_three_lines(&world.fails(66, &["reviews", "approve", "99"]));
}

#[test]
fn a_script_says_how_it_is() {
    let world = World::with(&["a"]);
    for words in [&["notify", "ready"][..], &["notify", "status", "x"], &["notify", "heartbeat"]] {
        assert_three_lines(&world.fails(1, words));
    }
    let running = world.idle("a");
    assert_eq!(world.ok(&["notify", "ready", "--status", "warm"]), "");
    assert_eq!(
        (&running.status()["ready"], &running.status()["status_text"]),
        (&json!(true), &json!("warm"))
    );
    world.ok(&["notify", "status", "a", "page 7\u{1b}[2J"]);
    assert_eq!(running.status()["status_text"], "page 7\u{1b}[2J");
    assert!(!world.ok(&["status"]).contains('\u{1b}'));
    world.ok(&["notify", "heartbeat", "--progress", "7/12"]);
    world.fails(2, &["notify", "heartbeat", "--progress", "much"]);
}

#[test]
fn the_example_does_each_step_once_though_it_is_killed_behind_it() {
    let world = World::with(&["mailer"]);
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shell_events.sh");
    // The first ack of each event comes too late: the agent is dead by then.
    let shim = format!(
        "#!/bin/sh\nif [ \"$1 $2\" = 'events ack' ] && mkdir \"killed.$3\" 2>/dev/null; then\n    \
         kill -9 $PPID\n    exit 1\nfi\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_adrt")
    );
    let shim = world.script("bin/adrt", &shim);
    let bin = text(shim.parent().expect("a directory")).to_owned();
    for n in 1..=3 {
        world.ok(&["events", "emit", &format!("{{\"type\":\"mail\",\"n\":{n}}}")]);
    }
    let path = format!("PATH={bin}:{}", std::env::var("PATH").unwrap_or_default());
    let backoff = ["--backoff-initial", "10ms", "--backoff-max", "20ms"];
    let words =
        [&["run", "-n", "mailer"][..], &backoff, &["--", "env", &path, "sh", example]].concat();
    let running = world.run("mailer", &words, "running");
    crate::world::until("all are done", || {
        let inbox = running.status()["inbox"].clone();
        let waiting = inbox["pending"].as_u64()? + inbox["held"].as_u64()?;
        (waiting == 0).then_some(())
    });
    let sent = std::fs::read_to_string(world.path("sent.txt")).expect("something was sent");
    let mut lines: Vec<&str> = sent.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 3, "{sent}");
    assert!(lines.iter().all(|line| line.contains("\"attempt\":1")), "{sent}");
    assert_eq!(running.status()["restarts"], 3);
    assert_eq!(running.status()["inbox"]["dead"], 0);
    for seq in ["1", "2", "3"] {
        let event = world.json(&["events", "show", seq, "--json"]);
        assert_eq!((&event["status"], &event["attempt"]), (&json!("acked"), &json!(2)));
    }
}
