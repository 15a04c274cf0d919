//! What the methods do, over the deaths of agent and adrt.

use serde_json::{Value, json};

use super::Scene;

#[test]
fn the_greeting() {
    let scene = Scene::new(&["--max-frame", "1MiB", "--max-inflight", "7"]);
    let mut puppet = scene.puppets.next();
    let greeting = puppet.initialize_with(json!({"agent_id": "other", "schema": 3}));
    assert_eq!(greeting["protocol"], 1);
    assert_eq!(greeting["agent"], "a");
    assert_eq!(greeting["incarnation"], 1);
    assert_eq!(greeting["start"]["reason"], "first");
    assert_eq!(greeting["start"]["crashes_in_row"], 0);
    assert_eq!(greeting["start"]["safe_mode"], false);
    assert_eq!(greeting["state"], json!({"version": 0, "value": {}}));
    assert_eq!(greeting["checkpoint"], Value::Null);
    let limits = json!({
        "max_frame": 1 << 20, "max_state": 64 << 20, "max_inflight": 7,
        "hang_timeout_ms": null, "event_timeout_ms": null,
    });
    assert_eq!(greeting["limits"], limits);
    // adrt's name wins, and says so.
    scene.run.stderr.wait_for("other");
    puppet.wire.ask("state.set", r#"{"value":{"n":1}}"#).unwrap();
    let made = puppet.wire.ask("checkpoint.create", r#"{"label":"one"}"#).unwrap();
    puppet.ask("os.kill(os.getpid(), 0)");
    puppet.tell("os.kill(os.getpid(), 9)");
    let mut puppet = scene.puppets.next();
    let greeting = puppet.initialize_with(json!({"state": "omit"}));
    assert_eq!(greeting["incarnation"], 2);
    assert_eq!(greeting["start"]["reason"], "crash");
    assert_eq!(greeting["start"]["exit"], json!({"signal": 9}));
    assert_eq!(greeting["start"]["crashes_in_row"], 1);
    assert!(greeting["start"]["downtime_ms"].is_u64());
    assert_eq!(greeting["state"], json!({"version": 1}));
    assert_eq!(greeting["checkpoint"]["id"], made["id"]);
    assert_eq!(greeting["checkpoint"]["label"], "one");
    let run_id = greeting["run_id"].clone();
    puppet.exit(7);
    let greeting = scene.puppets.next().initialize();
    assert_eq!(greeting["start"]["exit"], json!({"code": 7}));
    assert_eq!(greeting["run_id"], run_id);
}

#[test]
fn five_crashes_in_a_row_are_a_loop() {
    let (scene, mut puppet) = Scene::open(&[]);
    for crashes in 1..=6 {
        // State writes are no progress.
        puppet.wire.ask("state.patch", json!({"patch": {"n": crashes}})).unwrap();
        puppet.exit(1);
        puppet = scene.puppets.next();
        let start = puppet.initialize()["start"].clone();
        assert_eq!(start["crashes_in_row"], crashes);
        assert_eq!(start["safe_mode"], crashes >= 5, "{start}");
    }
    assert_eq!(scene.world.status()["crash_loop"], true);
}

#[test]
fn going_back_makes_a_new_version() {
    let (_scene, mut puppet) = Scene::open(&[]);
    let wire = &mut puppet.wire;
    wire.ask("state.set", r#"{"value":{"n":1}}"#).unwrap();
    let one = wire.ask("checkpoint.create", r#"{"label":"one"}"#).unwrap();
    assert_eq!(one["version"], 1);
    wire.ask("state.patch", r#"{"patch":{"n":2}}"#).unwrap();
    let two = wire.ask("checkpoint.create", "{}").unwrap();
    let list = wire.ask("checkpoint.list", "{}").unwrap();
    let ids: Vec<_> = list["checkpoints"].as_array().unwrap().iter().map(|c| &c["id"]).collect();
    assert_eq!(ids, [&two["id"], &one["id"]], "newest first");
    let newest = wire.ask("checkpoint.list", r#"{"limit":1}"#).unwrap();
    assert_eq!(newest["checkpoints"].as_array().unwrap().len(), 1);
    // What is sent behind it is applied behind it.
    let back = wire.send("checkpoint.restore", json!({"id": one["id"]}));
    let patch = wire.send("state.patch", r#"{"patch":{"m":1}}"#);
    let get = wire.send("state.get", "{}");
    assert_eq!(wire.answer(back).unwrap(), json!({"version": 3}));
    assert_eq!(wire.answer(patch).unwrap(), json!({"version": 4}));
    let state = json!({"version": 4, "value": {"n": 1, "m": 1}});
    assert_eq!(wire.answer(get).unwrap(), state);
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let (_scene, mut puppet) = Scene::open(&[]);
    let wire = &mut puppet.wire;
    let mut expected = Vec::new();
    for round in 0..50 {
        expected.push((wire.send("state.patch", json!({"patch": {"n": round}})), true));
        expected.push((wire.send("state.get", r#"{"path":"/n"}"#), true));
        expected.push((wire.send("nonsense", "{}"), false));
        expected.push((wire.send("heartbeat", "{}"), true));
        expected.push((wire.send("checkpoint.list", r#"{"limit":1}"#), true));
        expected.push((wire.send("state.patch", r#"{"patch":{},"if_version":0}"#), false));
        if round % 10 == 0 {
            expected.push((wire.send("checkpoint.create", "{}"), true));
        }
    }
    let mut version = 0;
    for (id, fine) in expected {
        let answer = wire.answer(id);
        assert_eq!(answer.is_ok(), fine, "{id}: {answer:?}");
        if let Some(made) = answer.ok().and_then(|answer| answer["version"].as_u64()) {
            assert!(made == version || made == version + 1);
            version = made;
        }
    }
    assert_eq!(version, 50);
}

#[test]
fn a_notification_is_applied_in_its_place_without_an_answer() {
    let (_scene, mut puppet) = Scene::open(&[]);
    let wire = &mut puppet.wire;
    for n in 0..10 {
        wire.line(&format!(
            r#"{{"jsonrpc":"2.0","method":"state.patch","params":{{"patch":{{"n":{n}}}}}}}"#
        ));
        let path = r#"{"path":"/n"}"#;
        assert_eq!(wire.ask("state.get", path).unwrap(), json!({"version": n + 1, "value": n}));
    }
    // Nor are those answered that are refused.
    wire.line(r#"{"jsonrpc":"2.0","method":"nonsense"}"#);
    wire.line(r#"{"jsonrpc":"2.0","method":"state.set","params":{"value":1}}"#);
    wire.line(r#"{"jsonrpc":"2.0","method":"ready"}"#);
    wire.line(r#"{"jsonrpc":"2.0","method":"log","params":{"level":"info","message":"x"}}"#);
    assert_eq!(wire.ask("heartbeat", "{}").unwrap(), json!({}));
}

#[test]
fn what_the_agent_says_of_itself_is_in_the_status() {
    let (scene, mut puppet) = Scene::open(&[]);
    let progress = r#"{"status":"reading","progress":{"done":3,"total":10}}"#;
    puppet.wire.ask("heartbeat", progress).unwrap();
    let said = scene.world.status()["status_text"].clone();
    assert_eq!(said, "reading (3 of 10)");
    assert_eq!(scene.world.status()["ready"], false);
    puppet.wire.ask("ready", "{}").unwrap();
    assert_eq!(scene.world.status()["ready"], true);
    let line = r#"{"level":"warning","message":"half\nfull","fields":{"at":3}}"#;
    puppet.wire.ask("log", line).unwrap();
    scene.run.stderr.wait_for("half");
    assert!(scene.run.stderr.contains(r#"{"at":3}"#));
}

#[test]
fn a_change_from_outside_is_told_to_the_agent() {
    let (scene, mut puppet) = Scene::open(&[]);
    puppet.wire.ask("state.set", r#"{"value":{"n":1,"old":true}}"#).unwrap();
    let done = scene.world.done(["state", "patch", "a", r#"{"n":2,"old":null}"#]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let told = puppet.wire.read();
    assert_eq!(told["method"], "state.changed");
    assert!(told.get("id").is_none());
    assert_eq!(told["params"]["version"], 2);
    assert_eq!(told["params"]["by"], "operator");
    assert_eq!(told["params"]["patch"], json!({"n": 2, "old": null}));
    assert_eq!(puppet.wire.state_text(), r#"{"n":2}"#);
    // Its own changes are not.
    puppet.wire.ask("state.patch", r#"{"patch":{"n":3}}"#).unwrap();
    assert_eq!(puppet.wire.ask("heartbeat", "{}").unwrap(), json!({}));
}
