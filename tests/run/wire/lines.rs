//! Frames and text on one pipe.

use serde_json::{Value, json};

use super::Scene;

/// A request that would be answered on an open wire.
const GET: &str = r#"{"jsonrpc":"2.0","id":"early","method":"state.get","params":{}}"#;

#[test]
fn before_initialize_all_is_text() {
    let scene = Scene::new(&[]);
    let mut puppet = scene.puppets.next();
    puppet.wire.line(GET);
    puppet.wire.line(r#"{"jsonrpc":"2.0","id":1,"method":"#);
    puppet.wire.line(r#"{"method":"initialize","params":{}}"#);
    puppet.wire.line("[1,2]");
    puppet.initialize();
    scene.run.stdout.wait_for("[1,2]\n");
    let text = scene.run.stdout.text();
    assert_eq!(
        text,
        format!(
            "{GET}\n{}\n{}\n[1,2]\n",
            r#"{"jsonrpc":"2.0","id":1,"method":"#, r#"{"method":"initialize","params":{}}"#
        )
    );
}

#[test]
fn an_initialize_is_answered_valid_or_not() {
    let scene = Scene::new(&[]);
    let mut puppet = scene.puppets.next();
    puppet.wire.refused(1002, "initialize", hello("wrong", json!({})));
    let error = puppet.wire.refused(-32602, "initialize", json!({"protocol": [1]}));
    assert!(error["message"].as_str().unwrap().contains("token"), "{error}");
    let token = puppet.token();
    let error =
        puppet.wire.refused(-32602, "initialize", hello(&token, json!({"frame_tags": true})));
    assert!(error["message"].as_str().unwrap().contains("frame_tags"), "{error}");
    let error = puppet.wire.refused(1001, "initialize", {
        json!({"protocol": [7, 8], "token": token, "client": {"name": "x"}})
    });
    assert_eq!(error["data"]["supported"], json!([1]));
    // None of these opened the wire.
    puppet.wire.line(GET);
    let greeting = puppet.initialize();
    assert_eq!(greeting["protocol"], 1);
    puppet.wire.refused(1003, "initialize", hello(&token, json!({})));
    scene.run.stdout.wait_for(&format!("{GET}\n"));
}

#[test]
fn after_it_only_jsonrpc_objects_are_frames() {
    let (scene, mut puppet) = Scene::open(&[]);
    let texts = [
        "42",
        "\"jsonrpc\"",
        r#"{"a":1}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"state.get"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"state.get"}"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"state.get"}]"#,
        r#"{"a":{"jsonrpc":"2.0"},"id":1,"method":"state.get"}"#,
        r#"{"not json"#,
        r#"x {"jsonrpc":"2.0","id":1,"method":"state.get"}"#,
        "\u{1b}[31mred\u{1b}[0m \u{0}",
        "",
    ];
    texts.iter().for_each(|text| puppet.wire.line(text));
    puppet.wire.ask("state.get", "{}").unwrap();
    let expected = texts.join("\n") + "\n";
    scene.run.stdout.wait_for(&expected);
    assert_eq!(scene.run.stdout.text(), expected);
}

#[test]
fn a_frame_may_be_written_in_other_ways() {
    let (_scene, mut puppet) = Scene::open(&[]);
    for line in [
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"state.get\"}\r\n",
        " \t{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"state.get\"} \n",
        "{\"params\":{},\"method\":\"state\\u002eget\",\"id\":7,\"json\\u0072pc\":\"2.0\"}\n",
        "{ \"jsonrpc\" : \"2.0\" , \"id\" : 7 , \"method\" : \"state.get\", \"more\": [] }\n",
    ] {
        puppet.wire.write(line.as_bytes());
        assert_eq!(puppet.wire.answer(7).unwrap()["value"], json!({}), "{line}");
    }
}

#[test]
fn a_byte_order_mark_before_the_first_line_is_stripped() {
    let scene = Scene::new(&[]);
    let mut puppet = scene.puppets.next();
    puppet.wire.write(b"\xef\xbb\xbf");
    assert_eq!(puppet.initialize()["agent"], "a");
}

#[test]
fn ids_come_back_as_they_were_written() {
    let (_scene, mut puppet) = Scene::open(&[]);
    for id in [
        "0",
        "-1",
        "1.50",
        "1e3",
        "123456789012345678901234567890",
        r#""""#,
        r#""a\u00e4\/b""#,
        "null",
    ] {
        puppet.wire.line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"heartbeat"}}"#));
        let answer = puppet.wire.read_line();
        assert_eq!(answer, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    }
}

#[test]
fn requests_may_follow_initialize_without_waiting() {
    let scene = Scene::new(&["--max-frame", "1KiB", "--max-inflight", "1"]);
    let mut puppet = scene.puppets.next();
    let hello = hello(&puppet.token(), json!({}));
    let patch = r#"{"jsonrpc":"2.0","id":2,"method":"state.patch","params":{"patch":{"n":1}}}"#;
    let long = GET.replacen('{', &format!(r#"{{"pad":"{}","#, "x".repeat(1024)), 1);
    let marked = GET.replace("{}", &format!("{{}},\"pad\":\"{}\"", "x".repeat(1024)));
    let all = [
        "text before",
        &format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{hello}}}"#),
        patch,
        "text between",
        // Too long, and its mark is too late for it to be taken for a frame.
        &long,
        // Too long.
        &marked,
        GET,
        "text after",
        "",
    ]
    .join("\n");
    puppet.wire.write(all.as_bytes());
    assert_eq!(puppet.wire.answer(1).unwrap()["agent"], "a");
    assert_eq!(puppet.wire.answer(2).unwrap()["version"], 1);
    assert_eq!(puppet.wire.read()["error"]["code"], -32700);
    assert_eq!(puppet.wire.read()["result"], json!({"version": 1, "value": {"n": 1}}));
    let text = format!("text before\ntext between\n{long}\ntext after\n");
    scene.run.stdout.wait_for(&text);
    assert_eq!(scene.run.stdout.text(), text);
}

#[test]
fn a_broken_frame_is_answered_and_never_text() {
    let (scene, mut puppet) = Scene::open(&[]);
    for (line, culprit) in [
        (&br#"{"jsonrpc":"2.0","id":1,"method":"state.get","params":{"x":NaN}}"#[..], "NaN"),
        (
            br#"{"jsonrpc":"2.0","id":1,"method":"state.set","params":{"value":{"a":Infinity}}}"#,
            "Infinity",
        ),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\x01b\"}", "\u{1}"),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\xff\"}", "\u{fffd}"),
        (br#"{"jsonrpc":"2.0","id":1,"method":"state.get","#, ""),
        (br#"{"jsonrpc":"2.0","id":1} trailing"#, "t"),
    ] {
        puppet.wire.write(&[line, b"\n"].concat());
        let shown = String::from_utf8_lossy(line).into_owned();
        let answer = puppet.wire.read();
        assert_eq!(answer["id"], Value::Null, "{answer}");
        assert_eq!(answer["error"]["code"], -32700, "{answer}");
        let data = &answer["error"]["data"];
        assert_eq!(data["kind"], "parse_error");
        assert_eq!(data["retryable"], false);
        assert_eq!(data["line"], 1);
        assert!(data["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{answer}");
        // The first byte that can't stand where it does.
        let place =
            if culprit.is_empty() { shown.len() - 1 } else { shown.rfind(culprit).unwrap() };
        assert_eq!(data["column"], place + 1, "{shown}: {answer}");
    }
    puppet.wire.ask("state.get", "{}").unwrap();
    assert_eq!(scene.run.stdout.text(), "");
}

#[test]
fn a_frame_that_is_no_request_is_refused() {
    let (_scene, mut puppet) = Scene::open(&[]);
    puppet.wire.line(r#"{"jsonrpc":"2.0","id":3}"#);
    assert_eq!(puppet.wire.answer(3).unwrap_err()["code"], -32600);
    puppet.wire.line(r#"{"jsonrpc":"2.0","id":3,"method":4}"#);
    assert_eq!(puppet.wire.answer(3).unwrap_err()["code"], -32600);
    puppet.wire.line(r#"{"jsonrpc":"2.0","id":[3],"method":"state.get"}"#);
    let answer = puppet.wire.read();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(-32600)));
    puppet.wire.line(r#"{"jsonrpc":"2.0","id":3,"method":"state.get","method":"state.get"}"#);
    let error = puppet.wire.answer(3).unwrap_err();
    assert_eq!(error["code"], -32602);
    assert!(error["message"].as_str().unwrap().contains("method"), "{error}");
}

#[test]
fn what_the_agent_did_not_end_with_a_newline_was_never_sent() {
    let (scene, mut puppet) = Scene::open(&[]);
    puppet.wire.ask("state.set", json!({"value": {"n": 1}})).unwrap();
    let torn = r#"{"jsonrpc":"2.0","id":9,"method":"state.set","params":{"value":{"n":2}}}"#;
    puppet.wire.write(torn.as_bytes());
    puppet.tell("os.kill(os.getpid(), 9)");
    drop(puppet);
    let mut next = scene.puppets.next();
    let greeting = next.initialize();
    assert_eq!(greeting["state"], json!({"version": 1, "value": {"n": 1}}));
    assert_eq!(scene.run.stdout.text(), torn);
    let crash = scene.world.json(&["crashes", "show", "a", "--json"]);
    assert_eq!(crash["output"], torn);
}

#[test]
fn with_a_frame_tag_printed_frames_are_text() {
    let scene = Scene::new(&[]);
    let mut puppet = scene.puppets.next();
    puppet.initialize_with(json!({"frame_tag": true}));
    let (tag, bare) = (puppet.token(), GET.to_owned());
    let wrong = GET.replacen('{', r#"{"tag":"guess","#, 1);
    let broken = r#"{"jsonrpc":"2.0","id":1,"method":"#;
    for text in [&bare, &wrong, broken] {
        puppet.wire.line(text);
    }
    let tagged = format!(
        r#"{{"jsonrpc":"2.0","tag":"{tag}","id":5,"method":"state.set","params":{{"value":{{}}}}}}"#
    );
    puppet.wire.line(&tagged);
    assert_eq!(puppet.wire.answer(5).unwrap()["version"], 1);
    puppet.wire.line(&format!(r#"{{"jsonrpc":"2.0","tag":"{tag}","id":6,"method":NaN}}"#));
    assert_eq!(puppet.wire.read()["error"]["code"], -32700);
    let expected = format!("{bare}\n{wrong}\n{broken}\n");
    scene.run.stdout.wait_for(&expected);
    assert_eq!(scene.run.stdout.text(), expected);
}

#[test]
fn every_incarnation_has_a_token_of_its_own() {
    let (scene, first) = Scene::open(&[]);
    let token = first.token();
    first.exit(1);
    let mut second = scene.puppets.next();
    assert_ne!(second.token(), token);
    second.wire.refused(1002, "initialize", hello(&token, json!({})));
}

fn hello(token: &str, extra: Value) -> Value {
    let mut params = json!({"protocol": [1], "token": token, "client": {"name": "x"}});
    params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    params
}
