//! What follows the end of an agent, and the exit code of adrt.

use serde_json::{Value, json};

use crate::support::{Done, Run, World, wait_for};
use crate::wire::Scene;

const QUICK: [&str; 4] = ["--backoff-initial", "1ms", "--backoff-max", "5ms"];

fn end_of(world: &World, options: &[&str], script: &str) -> Done {
    world.run_shell(&[&QUICK, options].concat(), script).done()
}

fn classes(world: &World) -> Vec<String> {
    world.ends().iter().map(|end| end["class"].as_str().unwrap().to_owned()).collect()
}

/// Counts its lives in a file; `$n` is which one this is.
const COUNT: &str = "echo x >> lives; n=$(wc -l < lives); ";

#[test]
fn an_exit_0_ends_the_run() {
    for mode in ["on-failure", "never"] {
        let world = World::new();
        let done = end_of(&world, &["--restart", mode], "exit 0");
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(classes(&world), ["done"]);
    }
}

#[test]
fn crashes_are_followed_by_a_new_start() {
    let world = World::new();
    let script = format!("{COUNT} [ $n = 1 ] && exit 9; [ $n = 2 ] && kill -KILL $$; exit 0");
    let done = end_of(&world, &[], &script);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(classes(&world), ["failed", "signal", "done"]);
}

#[test]
fn always_means_after_exit_0_too() {
    let world = World::new();
    let script = format!("{COUNT} [ $n = 4 ] && exit 9; exit 0");
    let done = end_of(&world, &["--restart", "always", "--fatal-exit", "9"], &script);
    assert_eq!(done.code, Some(70), "{done:?}");
    assert_eq!(classes(&world), ["done", "done", "done", "failed"]);
}

#[test]
fn run_finish_ends_even_always() {
    let (scene, mut puppet) = Scene::open(&["--restart", "always"]);
    puppet.wire.ask("run.finish", r#"{"result":{"rows":3}}"#).unwrap();
    puppet.exit(0);
    let Scene { run, world, .. } = scene;
    let done = run.done();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(classes(&world), ["finished"]);
    // A crash after it is a crash.
    let (scene, mut puppet) = Scene::open(&["--restart", "always"]);
    puppet.wire.ask("run.finish", "{}").unwrap();
    puppet.exit(1);
    assert_eq!(scene.puppets.next().initialize()["start"]["reason"], "crash");
}

#[test]
fn with_never_the_agents_own_code_is_adrts() {
    for (script, code) in [
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
        ("ulimit -c 0; kill -SEGV $$", 139),
    ] {
        let world = World::new();
        let done = end_of(&world, &["--restart", "never"], script);
        assert_eq!(done.code, Some(code), "{script}: {done:?}");
        assert_eq!(done.signal, None);
    }
}

#[test]
fn max_restarts_gives_up() {
    let world = World::new();
    let done = end_of(&world, &["--max-restarts", "2"], "exit 4");
    assert_eq!(done.code, Some(69), "{done:?}");
    assert_eq!(classes(&world), ["failed"; 3]);
    assert!(done.stderr.contains("code 4"), "{done:?}");
    // Another run has all of its restarts again.
    let done = end_of(&world, &["--max-restarts", "1"], "exit 4");
    assert_eq!(done.code, Some(69), "{done:?}");
    assert_eq!(classes(&world).len(), 5);
}

#[test]
fn a_fatal_exit_is_final() {
    let world = World::new();
    let done = end_of(&world, &["--fatal-exit", "7,42", "--restart", "always"], "exit 42");
    assert_eq!(done.code, Some(70), "{done:?}");
    assert!(done.stderr.contains("42"), "{done:?}");
    assert_eq!(classes(&world), ["failed"]);
    let done = end_of(&world, &["--fatal-exit", "7,42", "--max-restarts", "1"], "exit 41");
    assert_eq!(done.code, Some(69), "{done:?}");
}

#[test]
fn a_command_that_cannot_be_executed_ends_the_run_at_once() {
    let world = World::new();
    let plain = world.file("plain", "no program").display().to_string();
    let broken = world.script("broken", "").display().to_string();
    std::fs::write(&broken, "#!/no/such/interpreter\n").unwrap();
    let dir = world.state_dir().display().to_string();
    for (command, code, to_do) in [
        ("no-such-program-at-all", 127, "install it or give its path"),
        ("/no/such/program", 127, "check the path"),
        (&plain, 126, "check its mode (chmod +x), "),
        (&dir, 126, "check the command, "),
        (&broken, 126, "install it or mend that line"),
    ] {
        let done = world.run(&["--restart", "always"], [command]).done();
        assert_eq!(done.code, Some(code), "{command}: {done:?}");
        assert!(done.stderr.contains(command), "{command}: {done:?}");
        assert!(done.stderr.contains(&format!("\n  try: {to_do}")), "{command}: {done:?}");
    }
    assert!(classes(&world).iter().all(|class| class == "exec_failed"));
}

#[test]
fn later_in_life_it_is_waited_out_like_a_crash() {
    let world = World::new();
    let agent = world.script("agent", "echo alive; rm \"$0\"; exit 1");
    let options = [&QUICK[..], &["--max-restarts", "3"]].concat();
    let done = world.run(&options, [&agent]).done();
    assert_eq!(done.code, Some(69), "{done:?}");
    assert_eq!(classes(&world), ["failed", "exec_failed", "exec_failed", "exec_failed"]);
}

#[test]
fn an_agent_that_was_gone_for_a_while_comes_back() {
    let world = World::new();
    let agent = world.script("agent", "rm \"$0\"; exit 1");
    let run = world.run(&QUICK, [&agent]);
    let is_missed = || world.crash_list().iter().any(|end| end["class"] == "exec_failed");
    wait_for("it to be missed", || is_missed().then_some(()));
    world.script("new", "echo back; exit 0");
    std::fs::rename(world.path("new"), &agent).unwrap();
    let done = run.done();
    assert_eq!((done.code, done.stdout), (Some(0), b"back\n".to_vec()));
}

#[test]
fn crashes_are_kept_with_their_last_output() {
    let world = World::new();
    let agent = world.file(
        "agent.py",
        "import sys\n\
         for n in range(20_000): print('line', n)\n\
         sys.stderr.write('on stderr\\n')\n\
         raise ValueError('the reason')\n",
    );
    let argv = [crate::support::python().as_os_str(), agent.as_os_str()];
    let options = [&QUICK[..], &["--max-restarts", "1"]].concat();
    let done = world.run(&options, argv).done();
    assert_eq!(done.code, Some(69), "{:?}", done.stderr);
    assert_eq!(done.stdout.iter().filter(|byte| **byte == b'\n').count(), 40_000);
    let rows = world.json(&["crashes", "list", "a", "--json"]);
    let [newest, oldest] = rows.as_array().unwrap().as_slice() else { panic!("{rows}") };
    for row in [newest, oldest] {
        assert_eq!(row["class"], "failed");
        assert_eq!(row["code"], 1);
        assert_eq!(row["signal"], Value::Null);
        assert!(row["uptime_ms"].is_u64() && row["summary"].is_string(), "{row}");
    }
    assert_eq!((&oldest["id"], &newest["id"]), (&json!(1), &json!(2)));
    assert!(oldest["backoff_ms"].is_u64(), "{oldest}");
    assert_eq!(newest["backoff_ms"], Value::Null, "no further start");
    let shown = world.json(&["crashes", "show", "a", "1", "--json"]);
    let output = shown["output"].as_str().unwrap();
    assert_eq!(output.len(), 64 << 10, "the last 64 KiB");
    for text in ["line 19999\n", "on stderr\n", "Traceback", "ValueError: the reason\n"] {
        assert!(output.contains(text), "{text}: …{}", &output[output.len() - 1000..]);
    }
}

/// An agent that crashes at once, and a delay that no test lives to see the end of.
fn long_wait(world: &World) -> Run {
    let options = ["--backoff-initial", "1h", "--backoff-max", "2h", "--backoff-jitter", "0"];
    let run = world.run_shell(&options, "echo started; exit 1");
    let status = world.wait_for_phase("backoff");
    // What adrt shows is ahead of what it has written down.
    let is_written = || world.crash_list().iter().any(|end| end["id"] == status["incarnation"]);
    wait_for("its record", || is_written().then_some(()));
    run
}

#[test]
fn a_killed_adrt_forgets_neither_count_nor_delay() {
    let world = World::new();
    let mut run = long_wait(&world);
    run.kill();
    let mut run = long_wait(&world);
    let status = world.status();
    assert_eq!(status["crashes_in_row"], 1);
    let left = status["next_retry_ms"].as_u64().unwrap();
    assert!(0 < left && left <= 3_600_000, "{status}");
    assert_eq!(run.stdout.text(), "", "no start before its time");
    run.kill();
    // An operator's word ends it.
    let run = long_wait(&world);
    let restarted = world.done(["restart", "a"]);
    // It has seen it run, or end at once.
    match restarted.code {
        Some(0) => {}
        Some(1) => assert!(restarted.stderr.contains("adrt crashes show a"), "{restarted:?}"),
        _ => panic!("{restarted:?}"),
    }
    run.stdout.wait_for("started\n");
    assert_eq!(world.wait_for_phase("backoff")["crashes_in_row"], 1, "counted anew");
    // A stop that was asked for makes the next start immediate.
    assert_eq!(run.stop().code, Some(0));
    let run = long_wait(&world);
    assert_eq!(run.stdout.text(), "started\n");
    assert_eq!(world.status()["crashes_in_row"], 1);
}

#[test]
fn a_start_by_hand_waits_for_nothing() {
    let world = World::new();
    long_wait(&world).kill();
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = world.run_command(&["--backoff-initial", "1h", "--backoff-max", "1h"], {
        ["sh", "-c", "echo started; exit 1"]
    });
    command.stdin(terminal.slave);
    let run = Run::start(command);
    run.stdout.wait_for("started\n");
    assert_eq!(world.wait_for_phase("backoff")["crashes_in_row"], 2, "the count is kept");
}
