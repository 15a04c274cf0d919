//! What the ledger tells of each kind of end, and what the next incarnation is
//! told of it.

use serde_json::{Value, json};

use crate::support::{Puppet, Run, World, kill, wait_for};
use crate::wire::Scene;

/// Its first life ends so; the newest row, and `start` of the second one.
fn after(options: &[&str], end: impl FnOnce(&Scene, Puppet)) -> (Value, Value, Scene) {
    let (scene, puppet) = Scene::open(options);
    end(&scene, puppet);
    let mut next = scene.puppets.next();
    let start = next.initialize()["start"].clone();
    let row = scene.world.ends().pop().unwrap();
    assert!(start["downtime_ms"].is_u64(), "{start}");
    assert_eq!(row["next_started"].as_str().map(str::len), Some(24), "{row}");
    (row, start, scene)
}

fn told(start: &Value) -> Value {
    json!([start["reason"], start["exit"], start["crashes_in_row"], start["safe_mode"]])
}

fn summary(row: &Value) -> &str {
    row["summary"].as_str().unwrap()
}

#[test]
fn an_exit_code() {
    let (row, start, _scene) = after(&[], |_, puppet| puppet.exit(3));
    assert_eq!(told(&start), json!(["crash", {"code": 3}, 1, false]));
    assert_eq!((&row["class"], summary(&row)), (&json!("failed"), "exited with code 3"));
    assert_eq!(
        (&row["code"], &row["signal"], &row["oom"]),
        (&json!(3), &json!(null), &json!(false))
    );
}

#[test]
fn a_signal_of_somebody_elses() {
    for (signal, name) in [(9, "SIGKILL"), (15, "SIGTERM")] {
        let (row, start, _scene) = after(&[], |_, puppet| kill(puppet.pid, signal));
        assert_eq!(told(&start), json!(["crash", {"signal": signal}, 1, false]));
        assert_eq!(row["class"], "signal");
        assert_eq!(summary(&row), format!("killed by {name} (not by adrt)"));
        assert_eq!((&row["signal_name"], &row["asked_by"]), (&json!(name), &json!(null)));
    }
}

#[test]
fn a_core() {
    let mut may_dump = false;
    let (row, start, scene) = after(&[], |_, mut puppet| {
        // Where no core may be had there is none, and none is told of.
        let limit = puppet.ask(
            "import resource\n\
             hard = resource.getrlimit(resource.RLIMIT_CORE)[1]\n\
             resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))\n\
             answer = hard",
        );
        may_dump = limit != 0;
        puppet.tell("os.abort()");
    });
    assert_eq!((&row["class"], &row["core"]), (&json!("signal"), &json!(may_dump)));
    let page = scene.world.done(["crashes", "show", "a"]);
    let page = String::from_utf8(page.stdout).unwrap();
    assert_eq!(page.lines().any(|line| line.trim_start().starts_with("core ")), may_dump, "{page}");
    let exit = if may_dump { json!({"signal": 6, "core": true}) } else { json!({"signal": 6}) };
    assert_eq!(told(&start), json!(["crash", exit, 1, false]));
}

#[test]
fn a_hang() {
    let (scene, mut puppet) = Scene::open(&["--event-timeout", "50ms"]);
    puppet.wire.ask("event.subscribe", r#"{"credit":1}"#).unwrap();
    puppet.wire.ask("event.emit", r#"{"event":{"type":"t"}}"#).unwrap();
    let start = scene.puppets.next().initialize()["start"].clone();
    assert_eq!((&start["reason"], &start["exit"]["signal"]), (&json!("hang"), &json!(6)));
    assert_eq!(start["crashes_in_row"], 1);
    let row = scene.world.ends().pop().unwrap();
    assert_eq!((&row["class"], &row["held"]), (&json!("hang"), &json!([1])));
}

#[test]
fn a_command_that_is_away_for_a_while() {
    let world = World::new();
    let puppets = world.puppets();
    let words: Vec<String> =
        puppets.argv().iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let agent = world.script("agent", &format!("exec {}", words.join(" ")));
    let options = ["--backoff-initial", "1ms", "--backoff-max", "5ms"];
    let _run = world.run(&options, [&agent]);
    let mut first = puppets.next();
    first.initialize();
    std::fs::rename(&agent, world.path("away")).unwrap();
    first.exit(1);
    let missed = || world.crash_list().into_iter().find(|end| end["class"] == "exec_failed");
    let row = wait_for("it to be missed", missed);
    let expected = format!("there is no file {}; check the path", agent.display());
    assert_eq!(
        (summary(&row), &row["pid"], &row["code"]),
        (&*expected, &json!(null), &json!(null))
    );
    std::fs::rename(world.path("away"), &agent).unwrap();
    let start = puppets.next().initialize()["start"].clone();
    assert_eq!((&start["reason"], &start["exit"]), (&json!("crash"), &json!(null)));
    assert!(start["crashes_in_row"].as_u64() > Some(1), "{start}");
}

#[test]
fn an_operators_restart() {
    let (row, start, _scene) = after(&[], |scene, _| {
        assert_eq!(scene.world.done(["restart", "a", "--wait", "0s"]).code, Some(0));
    });
    assert_eq!((&start["reason"], &start["crashes_in_row"]), (&json!("operator"), &json!(0)));
    let who = format!("adrt restart (uid {})", nix::unistd::getuid());
    assert_eq!((&row["class"], &row["crash"]), (&json!("stopped"), &json!(false)));
    assert_eq!(row["asked_by"], *who);
    assert!(summary(&row).starts_with(&format!("stopped by {who}, ")), "{row}");
    assert_eq!(row["backoff_why"], format!("{who} asked for it"));
    assert_eq!(row["backoff_ms"], 0);
}

#[test]
fn an_operators_restore_and_stop() {
    let (scene, mut puppet) = Scene::open(&[]);
    puppet.wire.ask("checkpoint.create", r#"{"label":"good"}"#).unwrap();
    let Scene { run, puppets, world } = scene;
    assert_eq!(world.done(["checkpoints", "restore", "a", "good"]).code, Some(0));
    let start = puppets.next().initialize()["start"].clone();
    assert_eq!(start["reason"], "rollback");
    assert_eq!(world.done(["stop", "a"]).code, Some(0));
    assert_eq!(run.done().code, Some(0));
    let uid = nix::unistd::getuid();
    let asked: Vec<Value> = world.ends().iter().map(|row| row["asked_by"].clone()).collect();
    let whos = [format!("adrt checkpoints restore (uid {uid})"), format!("adrt stop (uid {uid})")];
    assert_eq!(json!(asked), json!(whos));
    let listed = world.done(["crashes", "list", "a", "--all"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(whos.iter().all(|who| listed.contains(&format!("stopped by {who}"))), "{listed}");
}

#[test]
fn an_exit_0_under_always() {
    let (row, start, _scene) = after(&["--restart", "always"], |_, puppet| puppet.exit(0));
    assert_eq!(told(&start), json!(["restart", {"code": 0}, 0, false]));
    assert_eq!((&row["class"], &row["crash"]), (&json!("done"), &json!(false)));
}

#[test]
fn the_fifth_crash_in_a_row() {
    let (scene, puppet) = Scene::open(&[]);
    puppet.exit(1);
    for _ in 0..3 {
        let mut puppet = scene.puppets.next();
        assert_eq!(puppet.initialize()["start"]["safe_mode"], false);
        puppet.exit(1);
    }
    scene.puppets.next().exit(1);
    let start = scene.puppets.next().initialize()["start"].clone();
    assert_eq!(told(&start), json!(["crash", {"code": 1}, 5, true]));
    let row = scene.world.ends().pop().unwrap();
    assert_eq!(row["backoff_why"], "crash 5 in a row: a crash loop");
}

/// A crash in the midst of work, which the run has recorded, and after which
/// no test lives to see a start that nobody asks for.
fn crashed_at_work(options: &[&str]) -> Scene {
    let world = World::new();
    let puppets = world.puppets();
    let long = ["--backoff-initial", "1h", "--backoff-max", "1h", "--backoff-jitter", "0"];
    let run = world.run(&[&long, options].concat(), puppets.argv());
    let scene = Scene { run, puppets, world };
    let mut puppet = scene.puppets.next();
    puppet.initialize();
    puppet.wire.ask("state.patch", r#"{"patch":{"n":1}}"#).unwrap();
    puppet.wire.ask("event.subscribe", r#"{"credit":2}"#).unwrap();
    for _ in 0..2 {
        puppet.wire.ask("event.emit", r#"{"event":{"type":"order"}}"#).unwrap();
        assert_eq!(puppet.wire.read()["method"], "event.deliver");
    }
    puppet.wire.ask("step.begin", r#"{"seq":1,"step":"charge the card"}"#).unwrap();
    puppet.wire.ask("step.begin", r#"{"scope":"nightly","step":"report"}"#).unwrap();
    puppet.wire.ask("step.begin", r#"{"seq":2,"step":"done"}"#).unwrap();
    let done = r#"{"seq":2,"step":"done","attempt":1,"result":1}"#;
    puppet.wire.ask("step.complete", done).unwrap();
    puppet.ask("os.write(2, b'last words\\n')");
    kill(puppet.pid, 9);
    wait_for("its record", || (!scene.world.crash_list().is_empty()).then_some(()));
    scene
}

#[test]
fn what_it_was_doing() {
    let scene = crashed_at_work(&["--release", "v7"]);
    let world = &scene.world;
    let shown = world.json(&["crashes", "show", "a", "--json"]);
    assert_eq!(shown["held"], json!([1, 2]));
    let steps = json!([
        {"seq": 1, "step": "charge the card", "attempt": 1},
        {"scope": "nightly", "step": "report", "attempt": 1},
    ]);
    assert_eq!(shown["steps"], steps, "those that were not completed");
    assert_eq!((&shown["release"], &shown["version"]), (&json!("v7"), &json!(1)));
    assert!(shown["output"].as_str().unwrap().ends_with("last words\n"), "{shown}");
    assert_eq!(shown["backoff_ms"], 3_600_000);
    let ended: jiff::Timestamp = shown["ended"].as_str().unwrap().parse().unwrap();
    let due: jiff::Timestamp = shown["next_due"].as_str().unwrap().parse().unwrap();
    assert_eq!(due.as_millisecond() - ended.as_millisecond(), 3_600_000);
    assert_eq!(shown["next_started"], json!(null));
    let kept = world.json(&["checkpoints", "list", "a", "--json"]);
    assert_eq!((&shown["checkpoint"], &kept[0]["version"]), (&kept[0]["id"], &json!(1)));
    // The list has all of it but the output.
    let mut of_list = world.crash_list().remove(0);
    of_list["output"] = shown["output"].clone();
    assert_eq!(of_list, shown);
}

#[test]
fn its_page_fits_a_small_terminal() {
    let scene = crashed_at_work(&[]);
    let page = |world: &World| {
        let mut command = world.adrt(["crashes", "show", "a", "1"]);
        command.env("COLUMNS", "80");
        let done = Run::start(command).done();
        assert_eq!(done.code, Some(0), "{done:?}");
        let page = String::from_utf8(done.stdout).unwrap();
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
        page
    };
    let shown = page(&scene.world);
    for line in [
        "incarnation 1 · killed by SIGKILL (not by adrt)",
        "in hand     events 1, 2\n",
        "in step     charge the card of event 1, attempt 1\n",
        "report of scope nightly, attempt 1\n",
        "next start  after 1 h 00 min: first crash in a row\n",
        "due at ",
        "last words\n",
    ] {
        assert!(shown.contains(line), "{line:?}: {shown}");
    }
    assert_eq!(scene.world.done(["restart", "a", "--wait", "0s"]).code, Some(0));
    let _next = scene.puppets.next();
    wait_for("its start to be told", || {
        page(&scene.world).contains("incarnation 2 was started at ").then_some(())
    });
}

#[test]
fn an_adrt_that_was_killed_does_not_know_how_it_ended() {
    let (mut scene, _puppet) = Scene::open(&[]);
    scene.run.kill();
    let Scene { world, puppets, .. } = scene;
    let _run = world.run(&[], puppets.argv());
    let start = puppets.next().initialize()["start"].clone();
    assert_eq!((&start["reason"], &start["exit"]), (&json!("resume"), &json!(null)));
    let row = wait_for("its record", || world.ends().into_iter().next());
    assert_eq!((&row["class"], &row["crash"]), (&json!("lost"), &json!(false)));
}
