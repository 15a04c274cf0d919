//! Events that come from outside: files, FIFOs, stdin, other agents. Each is
//! counted once, whoever is killed meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::support::process::peak_memory_kib;
use crate::support::{Puppet, Run, World, beside, kill, python_script, wait_for};

const QUICK: [&str; 6] = [
    "--no-python-client",
    "--backoff-initial=1ms",
    "--backoff-max=5ms",
    "--stop-timeout=1s",
    "--max-attempts=1000",
    "--events",
];

/// A world with an agent that counts what comes from `source`.
struct Counting {
    world: World,
    source: PathBuf,
    diary: PathBuf,
}

impl Counting {
    fn new() -> Self {
        let world = World::new();
        let (source, diary) = (world.path("feed"), world.file("diary", ""));
        Self { world, source, diary }
    }

    fn run(&self) -> Run {
        self.run_from(self.source.to_str().unwrap(), Stdio::null())
    }

    fn run_from(&self, source: &str, stdin: Stdio) -> Run {
        let options: Vec<&str> = QUICK.into_iter().chain([source]).collect();
        let mut argv = python_script(beside("run/agents/count.py"));
        argv.push(self.diary.clone().into());
        let mut command = self.world.run_command(&options, argv);
        command.stdin(stdin);
        Run::start(command)
    }

    /// How many acks were answered, and the newest agent.
    fn diary(&self) -> (usize, i32) {
        let diary = fs::read_to_string(&self.diary).unwrap();
        let pid = diary.lines().rev().find_map(|line| line.strip_prefix("P "));
        let acks = diary.lines().filter(|line| *line == "A").count();
        (acks, pid.and_then(|pid| pid.parse().ok()).unwrap_or_default())
    }

    /// Waits for so many answered acks; the agent.
    fn acks(&self, run: &mut Run, count: usize) -> i32 {
        wait_for(&format!("{count} acks"), || {
            assert!(run.is_running(), "adrt ended: {}", run.stderr.text());
            let (acks, agent) = self.diary();
            (acks >= count).then_some(agent)
        })
    }

    /// Waits until the numbers up to this one, and no others, are counted.
    fn counted(&self, run: &mut Run, count: u64) {
        let state = wait_for(&format!("{count} to be counted"), || {
            assert!(run.is_running(), "adrt ended: {}", run.stderr.text());
            let done = self.world.done(["state", "show", "a", "--json"]);
            let shown: Value = serde_json::from_slice(&done.stdout).ok()?;
            let state = shown["state"].clone();
            (state["n"].as_u64()? >= count).then_some(state)
        });
        assert_eq!(state, json!({"n": count, "sum": count * (count + 1) / 2}));
    }

    fn append(&self, numbers: std::ops::RangeInclusive<u64>) {
        append(&self.source, numbers);
    }
}

fn lines(numbers: std::ops::RangeInclusive<u64>) -> String {
    numbers.map(|n| format!("{{\"type\":\"count\",\"n\":{n}}}\n")).collect()
}

fn append(path: &Path, numbers: std::ops::RangeInclusive<u64>) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(lines(numbers).as_bytes()).unwrap();
}

#[test]
fn three_thousand_lines_among_kills() {
    let counting = Counting::new();
    counting.append(1..=3000);
    let mut run = counting.run();
    let mut acks = 0;
    for round in 0..9 {
        acks += 60;
        let agent = counting.acks(&mut run, acks);
        match round % 3 {
            0 => kill(agent, 9),
            1 => run.kill(),
            _ => {
                run.kill();
                kill(agent, 9);
            }
        }
        if round % 3 != 0 {
            run = counting.run();
        }
        acks = counting.diary().0;
    }
    counting.counted(&mut run, 3000);
    assert_eq!(run.stop().code, Some(0));
    let mut run = counting.run();
    counting.append(3001..=3001);
    counting.counted(&mut run, 3001);
}

#[test]
fn rotation_and_truncation() {
    let counting = Counting::new();
    let mut run = counting.run();
    wait_for("the wait to be told", || run.stderr.text().contains("not there yet").then_some(()));
    counting.append(1..=10);
    counting.counted(&mut run, 10);
    let old = counting.world.path("feed.1");
    fs::rename(&counting.source, &old).unwrap();
    append(&old, 11..=15);
    counting.append(16..=20);
    counting.counted(&mut run, 20);
    run.kill();
    counting.append(21..=25);
    fs::rename(&old, counting.world.path("feed.2")).unwrap();
    fs::rename(&counting.source, &old).unwrap();
    counting.append(26..=30);
    let mut run = counting.run();
    counting.counted(&mut run, 30);
    File::create(&counting.source).unwrap();
    counting.append(31..=32);
    counting.counted(&mut run, 32);
    let done = run.stop();
    assert!(done.stderr.contains("truncated or replaced"), "{}", done.stderr);
}

#[test]
fn a_bad_line_is_a_dead_letter() {
    let counting = Counting::new();
    fs::write(&counting.source, "what?\n{\"no\":\"type\"}\n\n{\"type\":\"count\",\"n\":1}\n")
        .unwrap();
    let mut run = counting.run();
    counting.counted(&mut run, 1);
    let dead = "FROM inbox JOIN events USING (seq) WHERE state = 3 AND body LIKE";
    for text in ["what?", "no"] {
        let found = count(&counting.world, "a", &format!("{dead} '%{text}%' AND reason != ''"));
        assert_eq!(found, 1, "{text}");
    }
}

#[test]
fn a_fifo_and_its_writers() {
    let counting = Counting::new();
    mkfifo(&counting.source, Mode::S_IRWXU).unwrap();
    let mut run = counting.run();
    for last in [5, 10, 15] {
        counting.append(last - 4..=last);
        counting.counted(&mut run, last);
    }
    assert_eq!(run.stop().code, Some(0));
}

#[test]
fn stdin_and_its_end() {
    let counting = Counting::new();
    let mut run = counting.run_from("-", Stdio::piped());
    run.type_in(&lines(1..=3));
    counting.counted(&mut run, 3);
    run.type_in(lines(4..=4).trim_end());
    run.stdin = None;
    counting.counted(&mut run, 4);
    wait_for("its end to be told", || {
        run.stderr.text().contains("no more events come from stdin").then_some(())
    });
    assert!(run.is_running());
    assert_eq!(run.stop().code, Some(0));
}

#[test]
fn what_is_no_source() {
    let world = World::new();
    world.file("file", "");
    for (source, code) in [(".", 2), ("file/x", 66)] {
        let done = Run::start(world.run_command(&["--events", source], ["true"])).done();
        assert_eq!(done.code, Some(code), "{source}: {done:?}");
        assert_eq!(done.stderr.lines().count(), 3, "what, why, what to do: {done:?}");
    }
    let args = ["--events", "-", "--stdin", "inherit"];
    assert_eq!(Run::start(world.run_command(&args, ["true"])).done().code, Some(2));
    assert!(!world.state_dir().join("a").exists());
}

#[test]
fn an_event_held_too_long_is_a_hang() {
    let world = World::new();
    let puppets = world.puppets();
    let feed = world.file("feed", lines(1..=1));
    let options: Vec<&str> = QUICK.into_iter().chain([feed.to_str().unwrap()]).collect();
    let options = [&["--event-timeout=50ms"], &options[..]].concat();
    let run = world.run(&options, puppets.argv());
    let mut held = puppets.next();
    held.initialize_with(json!({"events": {"credit": 1}}));
    assert_eq!(delivered(&mut held), 1);
    let mut next = puppets.next();
    next.initialize_with(json!({"events": {"credit": 0}}));
    let end = world.ends()[0].clone();
    assert_eq!((&end["class"], &end["signal"]), (&json!("hang"), &json!(6)), "{end}");
    assert!(run.stop().stderr.contains("--event-timeout"));
}

/// The number in the next event.
fn delivered(puppet: &mut Puppet) -> u64 {
    loop {
        let frame = puppet.wire.read();
        if frame["method"] == "event.deliver" {
            return frame["params"]["event"]["n"].as_u64().unwrap();
        }
    }
}

fn run_named(world: &World, name: &str, argv: Vec<std::ffi::OsString>) -> Run {
    let mut command = world.adrt(["run", "-n", name]);
    command.args(&QUICK[..QUICK.len() - 1]).arg("--").args(argv);
    Run::start(command)
}

fn count(world: &World, agent: &str, what: &str) -> i64 {
    let path = world.state_dir().join(agent).join("db/adrt.db");
    let database = rusqlite::Connection::open(path).unwrap();
    database.query_row(&format!("SELECT count(*) {what}"), [], |row| row.get(0)).unwrap()
}

fn events_in(world: &World, agent: &str) -> i64 {
    count(world, agent, "FROM events")
}

fn emit(puppet: &mut Puppet, to: &str, number: u64) -> u64 {
    let event = json!({"type": "count", "n": number});
    puppet.wire.send("event.emit", json!({"event": event, "to": to}))
}

#[test]
fn an_agent_that_does_not_run_gets_its_events() {
    let world = World::new();
    let (ours, theirs) = (world.puppets(), world.puppets());
    let run = run_named(&world, "b", theirs.argv());
    theirs.next().initialize();
    assert_eq!(run.stop().code, Some(0));

    let run = run_named(&world, "a", ours.argv());
    let mut a = ours.next();
    a.initialize_with(json!({"state": "omit"}));
    for number in 1..=3 {
        let id = emit(&mut a, "b", number);
        a.wire.answer(id).unwrap();
    }
    wait_for("the events to be there", || (events_in(&world, "b") == 3).then_some(()));
    let other = run_named(&world, "b", theirs.argv());
    let mut b = theirs.next();
    b.initialize_with(json!({"events": {"credit": 10}}));
    assert_eq!([(); 3].map(|()| delivered(&mut b)), [1, 2, 3]);
    // Now it runs.
    let id = emit(&mut a, "b", 4);
    a.wire.answer(id).unwrap();
    assert_eq!(delivered(&mut b), 4);
    assert_eq!((run.stop().code, other.stop().code), (Some(0), Some(0)));
    assert_eq!(events_in(&world, "b"), 4);
}

#[test]
fn two_agents_that_write_to_each_other_at_once() {
    const EACH: u64 = 50;
    let world = World::new();
    let puppets = [world.puppets(), world.puppets()];
    let runs = [("a", 0), ("b", 1)].map(|(name, at)| run_named(&world, name, puppets[at].argv()));
    let mut agents = puppets.each_ref().map(|puppets| {
        let mut agent = puppets.next();
        agent.initialize_with(json!({"state": "omit", "events": {"credit": 1000}}));
        agent
    });
    for number in 1..=EACH {
        for (at, to) in [(0, "b"), (1, "a")] {
            emit(&mut agents[at], to, number);
        }
    }
    for agent in &mut agents {
        let mut numbers: Vec<u64> = (0..EACH).map(|_| delivered(agent)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=EACH).collect::<Vec<_>>());
    }
    for run in runs {
        assert_eq!(run.stop().code, Some(0));
    }
    for agent in ["a", "b"] {
        assert_eq!(events_in(&world, agent), EACH as i64, "each once");
    }
}

/// Events that go through in the usual test; `ADRT_EVENTS=1000000` for a long one.
const MANY: u64 = 20_000;
/// What adrt may have at its peak, however many went through.
const PEAK_KIB_MAX: u64 = 32 * 1024;
/// What a hundred thousand kept events of that size, and what is free between
/// them, may take.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[test]
fn however_many_go_through_memory_and_file_stay_as_they_are() {
    let many = std::env::var("ADRT_EVENTS").map_or(MANY, |text| text.parse().unwrap());
    let world = World::new();
    let (source, said) = (world.path("feed"), world.path("said"));
    append(&source, 1..=many);
    let mut argv = python_script(beside("run/agents/swallow.py"));
    argv.extend([many.to_string().into(), said.clone().into()]);
    let options = ["--no-python-client", "--events", source.to_str().unwrap()];
    let mut run = Run::start(world.run_command(&options, argv));
    // Longer than a wait usually may be: it is work, not a condition that hangs.
    let mut seen = 0;
    loop {
        assert!(run.is_running(), "adrt ended: {}", run.stderr.text());
        let last = wait_for("more events", || {
            let done = fs::read(&said).is_ok_and(|count| !count.is_empty());
            let last = events_seen(&world);
            (done || last > seen).then_some(if done { many } else { last })
        });
        if last >= many {
            break;
        }
        seen = last;
    }
    wait_for("all to be acked", || {
        let done = world.done(["status", "a", "--json"]);
        let status: Value = serde_json::from_slice(&done.stdout).ok()?;
        let inbox = &status["inbox"];
        (inbox["pending"] == 0 && inbox["held"] == 0).then_some(())
    });
    let peak = peak_memory_kib(run.pid());
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    let file = fs::metadata(world.path("state/a/db/adrt.db")).unwrap().len();
    assert!(file < FILE_BYTES_MAX, "{file} bytes");
    assert_eq!(run.stop().code, Some(0));
}

/// The number of the newest event.
fn events_seen(world: &World) -> u64 {
    let done = world.done(["events", "list", "a", "--limit", "1", "--json"]);
    let list: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
    let events = if list.is_array() { &list } else { &list["events"] };
    events[0]["seq"].as_u64().unwrap_or(0)
}
