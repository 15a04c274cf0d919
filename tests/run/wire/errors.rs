//! Each error has its code, its kind, and leaves everything as it was.

use serde_json::json;

use super::Scene;

#[test]
fn methods_and_params_that_are_none() {
    let (_scene, mut puppet) = Scene::open(&[]);
    let wire = &mut puppet.wire;
    let error = wire.refused(-32601, "state.path", "{}");
    assert!(error["message"].as_str().unwrap().contains("state.path"), "{error}");
    // Not everything can stand in a tx.
    for method in ["run.finish", "state.get", "checkpoint.restore", "tx", "nonsense"] {
        let error = wire.refused(-32601, "tx", json!({"ops": [{"method": method}]}));
        assert_eq!(error["data"]["index"], 0, "{error}");
    }
    // An operator's methods are not the agent's.
    for method in ["stop", "restart", "status", "checkpoint.prune", "history.forget"] {
        wire.refused(-32601, method, "{}");
    }
    for (method, params, named) in [
        ("state.set", "[1]", "object"),
        ("state.set", "{}", "value"),
        ("state.set", r#"{"value":[1]}"#, "object"),
        ("state.set", r#"{"value":{},"if_verison":1}"#, "if_verison"),
        ("state.get", r#"{"path":"a"}"#, "path"),
        ("state.get", r#"{"path":"/none"}"#, "/none"),
        ("state.patch", r#"{"patch":[1]}"#, "patch"),
        ("state.patch", r#"{"patch":{},"format":"diff"}"#, "diff"),
        ("state.patch", r#"{"patch":{"op":"add"},"format":"json"}"#, ""),
        ("checkpoint.restore", "{}", "id"),
        ("heartbeat", r#"{"progress":{"total":3}}"#, "done"),
        ("log", r#"{"level":"loud","message":"x"}"#, "loud"),
    ] {
        let error = wire.refused(-32602, method, params);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(named), "{method} {params}: {error}");
    }
    assert_eq!(wire.ask("state.get", "{}").unwrap(), json!({"version": 0, "value": {}}));
}

#[test]
fn a_version_that_is_not_the_current_one() {
    let (_scene, mut puppet) = Scene::open(&[]);
    let wire = &mut puppet.wire;
    wire.ask("state.set", r#"{"value":{"n":1},"if_version":0}"#).unwrap();
    for (method, params) in [
        ("state.set", r#"{"value":{},"if_version":0}"#),
        ("state.patch", r#"{"patch":{},"if_version":2}"#),
        ("tx", r#"{"ops":[{"method":"state.set","params":{"value":{}}}],"if_version":7}"#),
        ("checkpoint.create", r#"{"if_version":0}"#),
        ("checkpoint.restore", r#"{"id":1,"if_version":0}"#),
    ] {
        let error = wire.refused(1101, method, params);
        assert_eq!(error["data"]["version"], 1, "{error}");
        assert_eq!(error["data"]["kind"], "version_conflict");
    }
    assert_eq!(wire.state_text(), r#"{"n":1}"#);
    // What is pipelined sees what stands before it, committed or not.
    let first = wire.send("state.patch", r#"{"patch":{"n":2},"if_version":1}"#);
    let second = wire.send("state.patch", r#"{"patch":{"n":3},"if_version":1}"#);
    let third = wire.send("state.patch", r#"{"patch":{"n":3},"if_version":2}"#);
    assert_eq!(wire.answer(first).unwrap()["version"], 2);
    assert_eq!(wire.answer(second).unwrap_err()["data"]["version"], 2);
    assert_eq!(wire.answer(third).unwrap()["version"], 3);
}

#[test]
fn a_json_patch_that_fails_names_its_operation() {
    let (_scene, mut puppet) = Scene::open(&[]);
    let wire = &mut puppet.wire;
    wire.ask("state.set", r#"{"value":{"n":1}}"#).unwrap();
    for (patch, index) in [
        (r#"[{"op":"test","path":"/n","value":1},{"op":"test","path":"/n","value":2}]"#, 1),
        (r#"[{"op":"remove","path":"/none"}]"#, 0),
        (r#"[{"op":"add","path":"/m","value":1},{"op":"replace","path":"/x/y","value":1}]"#, 1),
    ] {
        let params = format!(r#"{{"format":"json","patch":{patch}}}"#);
        let error = wire.refused(1102, "state.patch", params);
        assert_eq!(error["data"]["index"], index, "{error}");
        assert_eq!(error["data"]["kind"], "patch_failed");
    }
    // In a tx the index is the op's.
    let error = wire.refused(
        1102,
        "tx",
        r#"{"ops":[{"method":"state.patch","params":{"patch":{"m":1}}},
            {"method":"state.patch","params":{"format":"json","patch":[{"op":"remove","path":"/x"}]}}]}"#
            .replace('\n', ""),
    );
    assert_eq!(error["data"]["index"], 1, "{error}");
    assert_eq!(wire.ask("state.get", "{}").unwrap(), json!({"version": 1, "value": {"n": 1}}));
}

#[test]
fn a_state_that_is_too_large() {
    let (_scene, mut puppet) = Scene::open(&["--max-state", "1000"]);
    let wire = &mut puppet.wire;
    wire.ask("state.set", json!({"value": {"a": "x".repeat(900)}})).unwrap();
    let error = wire.refused(1103, "state.patch", json!({"patch": {"b": "y".repeat(100)}}));
    assert_eq!(error["data"]["kind"], "too_large");
    wire.refused(1103, "state.set", json!({"value": {"a": "x".repeat(1000)}}));
    // A patch that doubles is caught on its way.
    let copies: Vec<_> =
        (0..40).map(|n| json!({"op": "copy", "from": "", "path": format!("/c{n}")})).collect();
    wire.refused(1103, "state.patch", json!({"patch": copies, "format": "json"}));
    wire.ask("state.patch", r#"{"patch":{"a":null,"b":1}}"#).unwrap();
    assert_eq!(wire.state_text(), r#"{"b":1}"#);
}

#[test]
fn a_checkpoint_that_is_unknown() {
    let (_scene, mut puppet) = Scene::open(&[]);
    let error = puppet.wire.refused(1401, "checkpoint.restore", r#"{"id":99}"#);
    assert_eq!(error["data"]["kind"], "unknown_checkpoint");
}

#[test]
fn a_tx_is_all_or_nothing() {
    let (_scene, mut puppet) = Scene::open(&[]);
    let wire = &mut puppet.wire;
    let good = r#"{"ops":[{"method":"state.set","params":{"value":{"a":1}}},
        {"method":"checkpoint.create","params":{"label":"mid"}},
        {"method":"state.patch","params":{"patch":{"b":2}}}]}"#
        .replace('\n', "");
    let done = wire.ask("tx", good).unwrap();
    let results = done["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    assert_eq!((&results[0]["version"], &results[2]["version"]), (&json!(1), &json!(1)));
    assert!(results[1]["bytes"].as_u64().unwrap() > 0, "{done}");
    assert_eq!(wire.ask("tx", r#"{"ops":[]}"#).unwrap(), json!({"results": []}));
    assert_eq!(wire.ask("state.get", "{}").unwrap()["version"], 1, "one tx is one version");
}

#[test]
fn a_key_does_a_thing_once() {
    let (scene, mut puppet) = Scene::open(&[]);
    let once = r#"{"patch":[{"op":"add","path":"/list","value":[1]}],"format":"json","key":"k1"}"#;
    let first = puppet.wire.ask("state.patch", once).unwrap();
    puppet.wire.ask("state.patch", r#"{"patch":{"list":null}}"#).unwrap();
    assert_eq!(puppet.wire.ask("state.patch", once).unwrap(), first);
    let error = puppet.wire.refused(-32602, "state.patch", r#"{"patch":{"n":2},"key":"k1"}"#);
    assert_eq!(error["data"]["kind"], "key_reused");
    puppet.wire.refused(-32602, "state.set", r#"{"value":{},"key":"k1"}"#);
    // Two in one breath: the second finds the first on its way.
    let params = r#"{"patch":{"twice":1},"key":"k2"}"#;
    let (one, two) =
        (puppet.wire.send("state.patch", params), puppet.wire.send("state.patch", params));
    let (one, two) = (puppet.wire.answer(one).unwrap(), puppet.wire.answer(two).unwrap());
    assert_eq!(one, two);
    // A refusal is not remembered.
    puppet.wire.refused(1101, "state.set", r#"{"value":{},"if_version":99,"key":"k3"}"#);
    let made = puppet.wire.ask("checkpoint.create", r#"{"label":"x","key":"k3"}"#).unwrap();
    assert_eq!(puppet.wire.ask("checkpoint.create", r#"{"label":"x","key":"k3"}"#).unwrap(), made);
    let version = puppet.wire.ask("state.get", "{}").unwrap()["version"].clone();
    // And over a death.
    puppet.exit(1);
    let mut puppet = scene.puppets.next();
    puppet.initialize();
    assert_eq!(puppet.wire.ask("state.patch", once).unwrap(), first);
    puppet.wire.refused(-32602, "state.patch", r#"{"patch":{"n":2},"key":"k1"}"#);
    assert_eq!(puppet.wire.ask("state.get", "{}").unwrap()["version"], version);
}
