//! JSON as agents write it: kept as it came, or refused by name.

use serde_json::json;

use super::Scene;

#[test]
fn values_come_back_as_they_were_written() {
    let (scene, mut puppet) = Scene::open(&[]);
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let members = [
        ("big", "123456789012345678901234567890123456789012345678901234567890"),
        ("huge", "1e400"),
        ("tiny", "-1E-400"),
        ("zero", "-0.0"),
        ("minus", "-0"),
        ("tenth", "0.1"),
        ("long", "0.30000000000000004"),
        ("pad", "1.10"),
        ("text", r#""\u00e4 \ud83d\ude00 \ud800 \/ \u0000 é""#),
        ("del", "\"\u{7f}\u{9b}31m\""),
        ("deep", deep.as_str()),
        ("empty", r#"{"":null,"a":{},"b":[]}"#),
    ];
    for (name, value) in members {
        let patch = format!(r#"[{{"op":"add","path":"/{name}","value":{value}}}]"#);
        let params = format!(r#"{{"patch":{patch},"format":"json"}}"#);
        puppet.wire.ask("state.patch", params).unwrap();
    }
    let whole: Vec<_> =
        members.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
    let whole = format!("{{{}}}", whole.join(","));
    assert_eq!(puppet.wire.state_text(), whole);
    let shown = scene.world.done(["state", "show", "a", "--json"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&format!(r#""state":{whole}"#)), "{shown}");
    // From the journal, then from a checkpoint.
    for _ in 0..2 {
        puppet.exit(1);
        puppet = scene.puppets.next();
        let id = puppet.wire.send("initialize", {
            json!({"protocol": [1], "token": puppet.token(), "client": {"name": "x"}})
        });
        let line = puppet.wire.read_line();
        assert!(line.contains(&format!(r#""id":{id},"#)), "{line}");
        assert!(line.contains(&format!(r#""value":{whole}}}"#)), "{line}");
        puppet.wire.ask("checkpoint.create", "{}").unwrap();
    }
}

#[test]
fn patches_keep_the_text_around_them() {
    let (_scene, mut puppet) = Scene::open(&[]);
    puppet
        .wire
        .ask("state.set", r#"{"value":{"a":1.50,"b":{"c":1e400,"d":[1.0]},"z":0}}"#)
        .unwrap();
    puppet.wire.ask("state.patch", r#"{"patch":{"b":{"d":null,"e":2.0},"z":-0}}"#).unwrap();
    assert_eq!(puppet.wire.state_text(), r#"{"a":1.50,"b":{"c":1e400,"e":2.0},"z":-0}"#);
    puppet.wire.ask("state.patch", r#"{"patch":{"b":null,"y":null},"format":"shallow"}"#).unwrap();
    assert_eq!(puppet.wire.state_text(), r#"{"a":1.50,"b":null,"z":-0,"y":null}"#);
}

#[test]
fn deep_nesting_is_no_crash() {
    /// What adrt walks itself stops here.
    const WALKED_MAX: &str = "128";
    let (scene, mut puppet) = Scene::open(&[]);
    let depth = 100_000;
    let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    // As text it may be as deep as it likes.
    puppet.wire.ask("state.set", format!(r#"{{"value":{{"deep":{deep}}}}}"#)).unwrap();
    puppet.wire.ask("state.patch", format!(r#"{{"patch":{{"b":{objects}}}}}"#)).unwrap();
    let nulls = objects.replace('1', "null");
    for params in [
        format!(r#"{{"patch":{{"b":{objects}}}}}"#),
        format!(r#"{{"patch":{{"c":{nulls}}}}}"#),
        format!(
            r#"{{"format":"json","patch":[{{"op":"add","path":"/b{}","value":1}}]}}"#,
            "/a".repeat(depth)
        ),
        format!(r#"{{"format":"json","patch":[{{"op":"test","path":"/b","value":{nulls}}}]}}"#),
    ] {
        let answer = puppet.wire.ask("state.patch", params);
        let error = answer.expect_err("it was applied");
        assert_eq!(error["code"], -32602, "{error}");
        assert!(error["message"].as_str().unwrap().contains(WALKED_MAX), "{error}");
    }
    let whole = format!(r#"{{"deep":{deep},"b":{objects}}}"#);
    assert_eq!(puppet.wire.state_text(), whole);
    // The same when it is read again, and shown.
    puppet.exit(1);
    let mut puppet = scene.puppets.next();
    puppet.initialize_with(json!({"state": "omit"}));
    assert_eq!(puppet.wire.state_text(), whole);
    for args in [&["state", "show", "a"][..], &["state", "get", "a", "b.a.a"]] {
        let done = scene.world.done(args);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    }
}

#[test]
fn duplicate_members_are_refused_by_name() {
    let (_scene, mut puppet) = Scene::open(&[]);
    for (method, params) in [
        ("state.set", r#"{"value":{},"value":{}}"#),
        ("state.patch", r#"{"patch":{"value":1,"value":2}}"#),
    ] {
        let error = puppet.wire.refused(-32602, method, params);
        assert!(error["message"].as_str().unwrap().contains("value"), "{error}");
    }
    // Where adrt does not look, it is the agent's own business.
    let inner = r#"{"value":{"a":{"b":1,"b":2}}}"#;
    puppet.wire.ask("state.set", inner).unwrap();
    assert_eq!(puppet.wire.state_text(), r#"{"a":{"b":1,"b":2}}"#);
    let error = puppet.wire.refused(-32602, "state.patch", r#"{"patch":{"a":{"b":3}}}"#);
    assert!(error["message"].as_str().unwrap().contains(r#""b""#), "{error}");
    puppet.wire.ask("state.patch", r#"{"patch":{"a":null}}"#).unwrap();
}
