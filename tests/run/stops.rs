//! How a run is stopped, and an agent restarted, and that nothing is left.

use serde_json::json;

use crate::support::process::{is_alive, wait_dead};
use crate::support::{Run, World, kill, wait_for};
use crate::wire::Scene;

/// So long that no test lives to see its end.
const NEVER: &str = "1h";
/// Does nothing, whatever is said to it.
const DEAF: &str = "trap '' TERM; echo deaf; while :; do sleep 1000 & wait; done";

#[test]
fn an_agent_that_speaks_is_asked_first() {
    let (scene, mut puppet) = Scene::open(&["--stop-timeout", NEVER]);
    scene.run.signal(15);
    let asked = puppet.wire.read();
    assert_eq!(asked["method"], "shutdown");
    assert_eq!(asked["params"], json!({"reason": "stop", "deadline_ms": 3_600_000}));
    // What it still has to say is heard.
    puppet.wire.ask("state.set", r#"{"value":{"last":"words"}}"#).unwrap();
    assert_eq!(scene.world.status()["phase"], "stopping");
    puppet.exit(0);
    let Scene { run, world, .. } = scene;
    assert_eq!(run.done().code, Some(0));
    assert_eq!(world.state().1, json!({"last": "words"}));
    assert_eq!(world.ends().last().unwrap()["class"], "stopped");
    let kept = world.json(&["checkpoints", "list", "a", "--json"]);
    assert_eq!(kept[0]["version"], 1, "a last checkpoint");
}

#[test]
fn then_its_stdin_closes_then_comes_sigterm_then_sigkill() {
    let (scene, mut puppet) = Scene::open(&["--stop-timeout", "1s"]);
    let heard = scene.world.file("heard", "");
    puppet.ask(&format!(
        "def hear(*_): open({heard:?}, 'w').write('TERM')\nsignal.signal(signal.SIGTERM, hear)"
    ));
    scene.run.signal(2);
    assert_eq!(puppet.wire.read()["method"], "shutdown");
    puppet.wire.wait_end();
    wait_for("SIGTERM", || (std::fs::read(&heard).unwrap() == b"TERM").then_some(()));
    let Scene { run, world, .. } = scene;
    let done = run.done();
    assert_eq!(done.code, Some(0), "{done:?}");
    let end = world.ends().pop().unwrap();
    assert_eq!((&end["class"], &end["signal"]), (&json!("stopped"), &json!(9)));
}

#[test]
fn an_agent_that_does_not_speak_gets_sigterm_at_once() {
    let world = World::new();
    let script = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 1000 & wait; done";
    let run = world.run_shell(&["--stop-timeout", NEVER], script);
    run.stdout.wait_for("up\n");
    let done = run.stop();
    assert_eq!((done.code, done.stdout), (Some(0), b"up\nbye\n".to_vec()));
    let end = world.ends().pop().unwrap();
    assert_eq!((&end["class"], &end["code"]), (&json!("stopped"), &json!(5)));
    world.wait_empty();
}

#[test]
fn a_deaf_one_is_killed_when_its_time_is_up() {
    let world = World::new();
    let run = world.run_shell(&["--stop-timeout", "200ms"], DEAF);
    run.stdout.wait_for("deaf\n");
    let done = run.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(world.ends().pop().unwrap()["signal"], 9);
    world.wait_empty();
}

#[test]
fn a_second_signal_kills_at_once() {
    for (first, second) in [(15, 15), (2, 2), (15, 2)] {
        let world = World::new();
        let run = world.run_shell(&["--stop-timeout", NEVER], DEAF);
        run.stdout.wait_for("deaf\n");
        run.signal(first);
        run.stderr.wait_for("stopping the agent");
        run.signal(second);
        let done = run.done();
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(world.ends().pop().unwrap()["signal"], 9);
    }
}

#[test]
fn adrt_stop_and_adrt_restart() {
    let (scene, puppet) = Scene::open(&["--stop-timeout", "1s"]);
    let world = &scene.world;
    assert_eq!(world.done(["restart", "a"]).code, Some(0));
    let mut next = scene.puppets.next();
    assert!(!is_alive(puppet.pid), "the old one is gone before the new one starts");
    let greeting = next.initialize();
    assert_eq!(greeting["start"]["reason"], "operator");
    assert_eq!(greeting["start"]["crashes_in_row"], 0);
    assert_eq!(world.done(["stop", "a"]).code, Some(0));
    let Scene { run, world, .. } = scene;
    assert_eq!(run.done().code, Some(0));
    assert_eq!(world.done(["status", "a", "--check"]).code, Some(2));
}

#[test]
fn a_stopped_process_is_continued_to_be_ended() {
    for (how, signal) in [("", 15), ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", 9)] {
        let (scene, mut puppet) = Scene::open(&["--stop-timeout", "1s"]);
        puppet.ask(how);
        kill(puppet.pid, 19);
        let stat = format!("/proc/{}/stat", puppet.pid);
        wait_for("it to stand still", || {
            std::fs::read_to_string(&stat).unwrap().contains(") T ").then_some(())
        });
        // Its standing still is no operator's trouble.
        assert_eq!(scene.world.status()["phase"], "running");
        let patched = scene.world.done(["state", "patch", "a", r#"{"n":1}"#]);
        assert_eq!(patched.code, Some(0), "{patched:?}");
        let stopped = scene.world.done(["stop", "a"]);
        assert_eq!(stopped.code, Some(0), "{stopped:?}");
        let Scene { run, world, .. } = scene;
        assert_eq!(run.done().code, Some(0));
        assert_eq!(world.ends().pop().unwrap()["signal"], signal);
        assert_eq!(world.state().1, json!({"n": 1}));
    }
}

#[test]
fn sigterm_by_somebody_else_is_a_crash() {
    let (scene, puppet) = Scene::open(&[]);
    kill(puppet.pid, 15);
    let greeting = scene.puppets.next().initialize();
    assert_eq!(greeting["start"]["reason"], "crash");
    assert_eq!(greeting["start"]["exit"], json!({"signal": 15}));
    let end = scene.world.ends().pop().unwrap();
    assert_eq!((&end["class"], &end["crash"]), (&json!("signal"), &json!(true)));
}

#[test]
fn a_stop_during_a_delay_ends_the_run() {
    for by_signal in [true, false] {
        let world = World::new();
        let run = world.run_shell(&["--backoff-initial", NEVER, "--backoff-max", NEVER], "exit 3");
        world.wait_for_phase("backoff");
        if by_signal {
            run.signal(15);
        } else {
            assert_eq!(world.done(["stop", "a"]).code, Some(0));
        }
        let done = run.done();
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(world.ends().len(), 1, "no further start");
    }
}

#[test]
fn who_sent_a_signal_is_told() {
    let (scene, mut puppet) = Scene::open(&[]);
    scene.run.signal(15);
    assert_eq!(puppet.wire.read()["method"], "shutdown");
    let sender = format!("SIGTERM from pid {} (", std::process::id());
    scene.run.stderr.wait_for(&format!("stopping the agent: {sender}"));
    puppet.exit(0);
    let Scene { run, world, .. } = scene;
    let done = run.done();
    assert_eq!(done.code, Some(0));
    let why = world.ends().pop().unwrap()["backoff_why"].clone();
    assert!(why.as_str().unwrap().starts_with(&sender), "{why}");
}

#[test]
fn a_checkpoint_that_a_signal_asked_for_is_told_by_its_number() {
    let (scene, mut puppet) = Scene::open(&[]);
    scene.run.signal(10);
    scene.run.stderr.wait_for("there is nothing to take a checkpoint of yet");
    puppet.wire.ask("state.set", r#"{"value":{"n":1}}"#).unwrap();
    scene.run.signal(10);
    let told = scene.run.stderr.after("adrt: checkpoint ");
    let kept = scene.world.json(&["checkpoints", "list", "a", "--json"]);
    assert_eq!(told, format!("{} holds version 1 now", kept[0]["id"]));
    assert_eq!(kept[0]["reason"], "request");
    scene.run.signal(10);
    let told = scene.run.stderr.after("nothing has changed since checkpoint ");
    assert_eq!(told, format!("{}: none was taken", kept[0]["id"]));
}

#[test]
fn sigquit_leaves_a_trace_and_ends_the_run_at_once() {
    let (scene, mut puppet) = Scene::open(&["--stop-timeout", NEVER]);
    puppet.ask("import faulthandler; faulthandler.enable()");
    puppet.wire.ask("state.set", r#"{"value":{"n":1}}"#).unwrap();
    scene.run.signal(3);
    let Scene { run, world, .. } = scene;
    let done = run.done();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("Fatal Python error: Aborted"), "{done:?}");
    let end = world.ends().pop().unwrap();
    assert_eq!((&end["class"], &end["signal"]), (&json!("stopped"), &json!(6)));
    let kept = world.json(&["checkpoints", "list", "a", "--json"]);
    assert_eq!(kept[0]["version"], 1, "a last checkpoint");
}

/// Starts something that outlives it, and says which process it is.
fn grandchild(how: &str) -> String {
    format!("{how} sh -c 'echo child $$; exec sleep 1000' & wait_for_it=$!")
}

fn number_after(run: &Run, text: &str) -> i32 {
    run.stdout.after(text).trim().parse().unwrap()
}

#[test]
fn a_grandchild_that_holds_stdout_delays_nothing() {
    for how in ["", "setsid", "setsid --fork", "nohup"] {
        let world = World::new();
        let script = format!("{}; read go; exit 3", grandchild(how));
        let mut command =
            world.run_command(&["--restart", "never", "--stdin", "inherit"], ["sh", "-c", &script]);
        command.stdin(std::process::Stdio::piped());
        let mut run = Run::start(command);
        let child = number_after(&run, "child ");
        run.type_in("go\n");
        let done = run.done();
        assert_eq!(done.code, Some(3), "{how}: {done:?}");
        wait_dead(child);
    }
}

#[test]
fn grandchildren_are_gone_before_the_next_incarnation() {
    let (scene, mut puppet) = Scene::open(&[]);
    let children = puppet.ask(
        "sleep = ['sleep', '1000']\n\
         alone = subprocess.Popen(sleep, start_new_session=True)\n\
         daemon = ['setsid', '--fork', 'sh', '-c', 'echo $$; exec sleep 1000 >/dev/null']\n\
         daemon = int(subprocess.check_output(daemon))\n\
         answer = [subprocess.Popen(sleep).pid, alone.pid, daemon]",
    );
    let children: Vec<i32> = serde_json::from_value(children).unwrap();
    assert!(children.iter().all(|pid| is_alive(*pid)));
    puppet.exit(1);
    scene.puppets.next();
    for child in children {
        wait_dead(child);
    }
}

#[test]
fn what_a_killed_adrt_left_is_killed_by_the_next() {
    let world = World::new();
    let script = format!("{}; echo agent $$; wait", grandchild(""));
    let mut run = world.run_shell(&[], &script);
    let (child, agent) = (number_after(&run, "child "), number_after(&run, "agent "));
    // What is written now is written after the record of its start.
    let done = world.done(["state", "patch", "a", "{}"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    run.kill();
    wait_dead(agent);
    assert!(is_alive(child), "nobody is there to kill it");
    let run = world.run_shell(&[], "echo next; exec sleep 1000");
    run.stdout.wait_for("next\n");
    wait_dead(child);
    let lost = wait_for("its record", || world.ends().first().cloned());
    assert_eq!((&lost["class"], &lost["crash"]), (&json!("lost"), &json!(false)));
}
