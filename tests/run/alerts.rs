//! `--on-alert`: a real command, told of real troubles.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::attach::Client;
use crate::support::process::{is_alive, wait_dead};
use crate::support::{Run, World, wait_for};
use crate::wire::Scene;

const QUICK: [&str; 4] = ["--backoff-initial", "1ms", "--backoff-max", "5ms"];

/// Appends what it is told to a file.
fn diary(world: &World) -> (String, PathBuf) {
    let file = world.path("diary");
    (format!("cat >> '{}'", file.display()), file)
}

fn entries(file: &PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(file: &PathBuf) -> Vec<String> {
    entries(file).iter().map(|alert| alert["alert"].as_str().unwrap().to_owned()).collect()
}

/// Waits until so many have been told.
fn told(file: &PathBuf, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} alerts"), || Some(entries(file)).filter(|all| all.len() >= count))
}

#[test]
fn crashes_are_told_once_and_the_end_before_adrt_ends() {
    let world = World::new();
    let (command, file) = diary(&world);
    let options = [&QUICK[..], &["--max-restarts", "9", "--on-alert", &command]].concat();
    let done = world.run_shell(&options, "exit 4").done();
    assert_eq!(done.code, Some(69), "{done:?}");
    assert_eq!(kinds(&file), ["crash_loop", "unstable", "gave_up"]);
    let [first, _, last] = &entries(&file)[..] else { panic!() };
    assert_eq!((&first["agent"], &first["crashes_in_row"]), (&json!("a"), &json!(5)));
    assert!(first["message"].as_str().unwrap().contains("code 4"), "{first}");
    assert!(first["time"].as_str().unwrap().ends_with('Z') && first["host"].is_string());
    assert_eq!((&last["outcome"], &last["incarnation"]), (&json!("gave_up"), &json!(10)));
}

#[test]
fn a_loop_that_ends_is_told_as_over() {
    let world = World::new();
    let (command, file) = diary(&world);
    let (scene, mut puppet) = Scene::open(&["--on-alert", &command]);
    for _ in 0..5 {
        puppet.exit(1);
        puppet = scene.puppets.next();
    }
    puppet.initialize();
    told(&file, 1);
    // A step that is done is progress.
    puppet.wire.ask("step.begin", r#"{"step":"x","scope":"s"}"#).unwrap();
    puppet.wire.ask("step.complete", r#"{"step":"x","scope":"s","attempt":1,"result":1}"#).unwrap();
    let all = told(&file, 2);
    assert_eq!((&all[0]["alert"], &all[1]["alert"]), (&json!("crash_loop"), &json!("recovered")));
    assert_eq!(all[1]["over"], "crash_loop");
    scene.run.stop();
    assert_eq!(kinds(&file).len(), 2);
}

#[test]
fn dead_letters_and_reviews_are_told_in_order_and_not_one_by_one() {
    let world = World::new();
    let (command, file) = diary(&world);
    let events = world.file("events", "");
    let events_option = events.display().to_string();
    let options = ["--on-alert", &command[..], "--events", &events_option];
    let (scene, mut puppet) = Scene::open(&options);
    puppet.wire.ask("review.request", r#"{"prompt":"may I?"}"#).unwrap();
    let first = told(&file, 1);
    let asked = (&first[0]["alert"], &first[0]["prompt"]);
    assert_eq!(asked, (&json!("review_pending"), &json!("may I?")));
    // What is no event is a dead letter from the first.
    let mut source = std::fs::OpenOptions::new().append(true).open(&events).unwrap();
    for _ in 1..=50 {
        source.write_all(b"no event\n").unwrap();
    }
    let dead = || scene.world.status()["inbox"]["dead"].as_u64();
    wait_for("fifty dead letters", || (dead() == Some(50)).then_some(()));
    told(&file, 2);
    puppet.exit(0);
    let done = scene.run.done();
    assert_eq!(done.code, Some(0), "{done:?}");
    let all = entries(&file);
    assert!(all.len() <= 4, "a storm of alerts: {all:?}");
    let letters = all.iter().filter(|alert| alert["alert"] == "dead_letter");
    let new: u64 = letters.map(|alert| alert["new"].as_u64().unwrap()).sum();
    assert_eq!(new, 50, "{all:?}");
    assert_eq!(all.last().unwrap()["dead_letters"], 50);
}

#[test]
fn a_command_that_hangs_holds_up_nothing() {
    let world = World::new();
    let pid_file = world.path("pid");
    let command = format!("echo $$ > '{}'; exec sleep 1000", pid_file.display());
    let (scene, mut puppet) = Scene::open(&["--on-alert", &command]);
    puppet.wire.ask("review.request", r#"{"prompt":"1"}"#).unwrap();
    let pid: i32 =
        wait_for("the command", || std::fs::read_to_string(&pid_file).ok()?.trim().parse().ok());
    // The agent goes on, and may end and start again beside it.
    for n in 0..20 {
        puppet.wire.ask("state.patch", format!(r#"{{"patch":{{"n":{n}}}}}"#)).unwrap();
    }
    puppet.exit(1);
    let mut puppet = scene.puppets.next();
    puppet.initialize();
    assert!(is_alive(pid), "an agent's end is nothing to it");
    let done = scene.run.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("were not told"), "{done:?}");
    wait_dead(pid);
    drop(puppet);
    scene.world.wait_empty();
}

#[test]
fn one_that_takes_too_long_is_killed_and_the_next_one_told() {
    let world = World::new();
    let (command, file) = diary(&world);
    // The first one hangs, with a child and its output held open.
    let command = format!(
        "if mkdir '{}' 2>/dev/null; then sleep 1000 & echo $$ > '{}'; wait; fi; {command}",
        world.path("hung").display(),
        world.path("pid").display(),
    );
    let options = ["--on-alert", &command[..], "--backoff-initial", "1ms", "--backoff-max", "5ms"];
    let run = world.run_shell(&options, "[ $ADRT_INCARNATION -gt 7 ] && exec sleep 1000; exit 4");
    let pid: i32 = wait_for("the command", || {
        std::fs::read_to_string(world.path("pid")).ok()?.trim().parse().ok()
    });
    // The loop went on meanwhile; what came of it is told after the kill.
    world.wait_for_phase("running");
    run.stderr.wait_for("--on-alert took longer than 30 s over crash_loop, and was killed");
    assert_eq!(told(&file, 1)[0]["alert"], "unstable");
    wait_dead(pid);
    assert_eq!(run.stop().code, Some(0));
    world.wait_empty();
}

#[test]
fn its_end_is_nothing_to_the_agents_daemons() {
    let world = World::new();
    let (command, file) = diary(&world);
    let events = world.file("events", "");
    let events_option = events.display().to_string();
    let options = ["--on-alert", &command[..], "--events", &events_option];
    let (scene, mut puppet) = Scene::open(&options);
    let daemon = puppet.ask(
        "import subprocess\n\
         daemon = ['setsid', '--fork', 'sh', '-c', 'echo $$; exec sleep 1000 >/dev/null']\n\
         answer = int(subprocess.run(daemon, stdout=subprocess.PIPE).stdout)",
    );
    let daemon = i32::try_from(daemon.as_i64().unwrap()).unwrap();
    puppet.wire.ask("review.request", r#"{"prompt":"1"}"#).unwrap();
    told(&file, 1);
    std::fs::write(&events, "no event\n").unwrap();
    // The second is told once the first has been reaped.
    told(&file, 2);
    assert!(is_alive(daemon), "a helper's end has swept it away");
    scene.run.stop();
    wait_dead(daemon);
}

#[test]
fn what_goes_wrong_with_it_is_logged() {
    for (command, said) in [
        ("exit 3", "--on-alert exited with code 3 over gave_up"),
        ("kill -9 $$", "--on-alert killed by SIGKILL over gave_up"),
        ("/no/such/command", "--on-alert exited with code 127"),
        ("echo to-stdout; echo to-stderr >&2; exit 1", "to-stdout"),
        ("echo to-stdout; echo to-stderr >&2; exit 1", "to-stderr"),
        // It need not read.
        ("exec <&-; exit 5", "code 5"),
    ] {
        let world = World::new();
        let done = world.run_shell(&["--restart", "never", "--on-alert", command], "exit 9").done();
        assert_eq!(done.code, Some(9), "{done:?}");
        assert!(done.stderr.contains(said), "{command}: {done:?}");
        assert!(!String::from_utf8_lossy(&done.stdout).contains("to-"), "{done:?}");
    }
}

#[test]
fn it_is_given_no_secrets() {
    let world = World::new();
    let command = format!("env > '{}'", world.path("env").display());
    let mut run = world
        .run_command(&["--restart", "never", "--on-alert", &command], ["/bin/sh", "-c", "exit 1"]);
    run.env("ADRT_TOKEN", "secret").env("WATCHDOG_USEC", "1").env("KEPT", "yes");
    assert_eq!(Run::start(run).done().code, Some(1));
    let env = std::fs::read_to_string(world.path("env")).unwrap();
    let has = |name: &str| env.lines().any(|line| line.starts_with(name));
    assert!(has("KEPT=yes") && has("ADRT_AGENT=a") && has("ADRT_STATE_DIR="), "{env}");
    for name in ["ADRT_TOKEN", "ADRT_TEXT_FD", "ADRT_WIRE", "WATCHDOG_USEC", "NOTIFY_SOCKET"] {
        assert!(!has(name), "{name}: {env}");
    }
}

#[test]
fn damage_is_told_before_anything_is_started_and_once() {
    let world = World::new();
    let (command, file) = diary(&world);
    let options = ["--on-alert", &command[..]];
    assert_eq!(world.run_shell(&options, "exit 0").done().code, Some(0));
    let db = world.state_dir().join("a/db/adrt.db");
    std::fs::write(&db, b"this is no database, and long enough to be told from one".repeat(100))
        .unwrap();
    for _ in 0..3 {
        let done = world.run_shell(&options, "touch started").done();
        assert_eq!(done.code, Some(74), "{done:?}");
    }
    assert!(!world.path("started").exists());
    let [alert] = &entries(&file)[..] else { panic!("{:?}", entries(&file)) };
    assert_eq!((&alert["alert"], &alert["started"]), (&json!("damaged"), &json!(false)));
    assert!(alert["hint"].as_str().unwrap().contains("--on-damage"), "{alert}");
    // What was made of it is told by the run that does so.
    let fresh = [&options[..], &["--on-damage", "fresh"]].concat();
    assert_eq!(world.run_shell(&fresh, "exit 0").done().code, Some(0));
    assert_eq!(kinds(&file), ["damaged", "damaged"]);
    assert_eq!(entries(&file)[1]["incarnation"], 1);
}

#[test]
fn attached_agents_are_watched_too() {
    let world = World::new();
    let (command, file) = diary(&world);
    let mut client = Client::open(&world, &["--on-alert", &command]);
    client.wire.ask("review.request", r#"{"prompt":"1"}"#).unwrap();
    told(&file, 1);
    assert_eq!(client.leave().code, Some(0));
    assert_eq!(kinds(&file), ["review_pending"]);
}
