//! What comes back as it was written.

use adrt::engines::state::{Format, Node};

use crate::{ROOMY, apply, text_of};

/// Values that a parse into machine types would damage.
const DELICATE: [&str; 14] = [
    "-0.0",
    "-0",
    "1e400",
    "1E+400",
    "1e999999999",
    "0.1000000000000000055511151231257827",
    "123456789012345678901234567890123456789012345678901234567890",
    "1.0",
    "100000000000000000000.50",
    r#""\ud800 and \uDFFF""#,
    r#""\/\u002f\u0041\b""#,
    r#""é\u00e9 😀 \ud83d\ude00""#,
    r#"{ "b" : 1 , "a" : [ 1 , 2 ] }"#,
    r#"{"twin":1,"twin":2}"#,
];

#[test]
fn values_come_back_byte_for_byte() {
    for value in DELICATE {
        let state = format!(r#"{{"x":{value},"other":{{"y":{value}}},"list":[{value},0]}}"#);
        assert_eq!(apply("{}", Format::Set, &state).unwrap(), state);
        assert_eq!(
            apply(&state, Format::Merge, r#"{"other":{"n":1}}"#).unwrap(),
            format!(r#"{{"x":{value},"other":{{"y":{value},"n":1}},"list":[{value},0]}}"#)
        );
        assert_eq!(
            apply(&state, Format::Json, r#"[{"op":"move","from":"/list/0","path":"/moved"}]"#)
                .unwrap(),
            format!(r#"{{"x":{value},"other":{{"y":{value}}},"list":[0],"moved":{value}}}"#)
        );
        for format in [Format::Merge, Format::Shallow] {
            let patch = format!(r#"{{"x":{value}}}"#);
            assert_eq!(apply("{}", format, &patch).unwrap(), patch);
        }
        let node = Node::parse(&state).unwrap();
        assert_eq!(node.get("/other/y").unwrap().unwrap().to_text(), value);
    }
}

#[test]
fn keys_come_back_as_their_literals() {
    let state = r#"{"\u0061\/":1,"\ud800":{"\u00e9":1}}"#;
    assert_eq!(
        apply(state, Format::Merge, r#"{"a/":2,"\ud800":{"é":3,"\u00E8":4}}"#).unwrap(),
        r#"{"\u0061\/":2,"\ud800":{"\u00e9":3,"\u00E8":4}}"#
    );
}

#[test]
fn a_value_is_always_one_line() {
    let state = "{\n  \"a\": 1,\r\n  \"b\": [\n    1e2\n  ]\n}\n";
    let node = Node::parse(state).unwrap();
    assert_eq!(text_of(&node), "{  \"a\": 1,  \"b\": [    1e2  ]}");
    let next = node.apply(Format::Merge, "{\n\"c\":\n{\n\"d\": 2}}\n", &ROOMY).unwrap();
    assert_eq!(text_of(&next), "{\"a\":1,\"b\":[    1e2  ],\"c\":{\"d\": 2}}");
    let many =
        "[{\"format\":\"json\",\"patch\":[\n{\"op\":\"add\",\"path\":\"/e\",\"value\":[\n]}]}]";
    let next = next.apply(Format::Many, many, &ROOMY).unwrap();
    assert!(!text_of(&next).contains('\n'));
}

#[test]
fn old_roots_stay_as_they_were() {
    let mut roots = vec![Node::parse(r#"{"n":0,"list":[],"deep":{"er":{}}}"#).unwrap()];
    for n in 1..200 {
        let last = roots.last().unwrap();
        let merged = last
            .apply(Format::Merge, &format!(r#"{{"n":{n},"deep":{{"er":{{"k{n}":{n}}}}}}}"#), &ROOMY)
            .unwrap();
        let add = format!(r#"[{{"op":"add","path":"/list/0","value":{n}}}]"#);
        roots.push(merged.apply(Format::Json, &add, &ROOMY).unwrap());
    }
    for (n, root) in roots.iter().enumerate() {
        let list: Vec<_> = (1..=n).rev().map(|n| n.to_string()).collect();
        let keys: Vec<_> = (1..=n).map(|n| format!("\"k{n}\":{n}")).collect();
        let (list, keys) = (list.join(","), keys.join(","));
        let text = format!(r#"{{"n":{n},"list":[{list}],"deep":{{"er":{{{keys}}}}}}}"#);
        assert_eq!(text_of(root), text);
    }
}

#[test]
fn a_failed_patch_changes_nothing() {
    let node = Node::parse(r#"{"a":{"b":[1,2,3]},"c":1}"#).unwrap();
    let before = node.apply(Format::Merge, r#"{"a":{"d":1}}"#, &ROOMY).unwrap();
    for (format, patch) in [
        (Format::Json, r#"[{"op":"remove","path":"/a/b/0"},{"op":"test","path":"/c","value":2}]"#),
        (Format::Merge, r#"{"c":2,"a":{"d":null,"x":{"y":null,"y":1}}}"#),
        (Format::Many, r#"[{"format":"merge","patch":{"c":9}},{"format":"merge","patch":1}]"#),
    ] {
        before.apply(format, patch, &ROOMY).expect_err(patch);
        assert_eq!(text_of(&before), r#"{"a":{"b":[1,2,3],"d":1},"c":1}"#);
    }
}

#[test]
fn get_follows_pointers() {
    let text = r#"{"a":{"x/y":[10,{"~":"\u0041"}]},"":{"":0},"twin":{"t":1,"t":2,"u":3}}"#;
    let raw = Node::parse(text).unwrap();
    let patch = r#"[{"op":"replace","path":"/a/x~1y/1/~0","value":"\u0041"}]"#;
    let opened = raw.apply(Format::Json, patch, &ROOMY).unwrap();
    for node in [raw, opened] {
        let get = |pointer| node.get(pointer).map(|found| found.map(|node| node.to_text()));
        let is = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(get(""), is(text));
        assert_eq!(get("/a/x~1y/0"), is("10"));
        assert_eq!(get("/a/x~1y/1/~0"), is(r#""\u0041""#));
        assert_eq!(get("/"), is(r#"{"":0}"#));
        assert_eq!(get("//"), is("0"));
        assert_eq!(get("/twin/u"), is("3"));
        for nowhere in ["/b", "/a/x~1y/2", "/a/x~1y/-", "/a/x~1y/00", "/a/x~1y/0/0", "/a/"] {
            assert_eq!(get(nowhere), Ok(None), "{nowhere}");
        }
        for (wrong, word) in [("a", "\"a\""), ("/~", "~"), ("/twin/t", "\"t\"")] {
            assert!(get(wrong).unwrap_err().contains(word), "{wrong}");
        }
        assert!(get(&"/a".repeat(129)).is_err());
    }
}

#[test]
fn what_is_not_json_is_refused_at_intake() {
    let fault = Node::parse("{\"a\":NaN}").unwrap_err();
    assert_eq!((fault.line, fault.column), (1, 6));
    assert!(Node::parse("{\"a\":\"\u{1}\"}").is_err());
    assert!(Node::parse("").is_err());
}

#[test]
fn a_node_shows_its_shape_and_not_its_text() {
    let node = Node::parse(r#"{"secret":1}"#).unwrap();
    assert_eq!(format!("{node:?}"), "Node(text of 12 bytes)");
    assert!(node.is_object() && !Node::parse(" [1]").unwrap().is_object());
    assert_eq!(Node::empty_object().to_text(), "{}");
}
