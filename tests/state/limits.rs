//! Depth and size: nothing here may crash, whatever the nesting.

use adrt::engines::state::{Format, Limits, MAX_DEPTH, Node, PatchError, changes, merge_diff};

use proptest::prelude::*;

use crate::{ROOMY, apply, refusal, text_of};

/// Would overflow any stack if it were walked.
const VERY_DEEP: usize = 100_000;

/// Each level that is walked scans what is below it, so this is kept smaller.
const TOO_DEEP: usize = 3_000;

fn arrays(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

fn objects(depth: usize, inner: &str) -> String {
    format!("{}{inner}{}", "{\"a\":".repeat(depth), "}".repeat(depth))
}

#[test]
fn deep_values_are_kept_as_text() {
    for deep in [arrays(VERY_DEEP), objects(VERY_DEEP, "1")] {
        let state = format!("{{\"x\":{deep},\"n\":1}}");
        for format in [Format::Set, Format::Merge, Format::Shallow] {
            assert_eq!(apply("{}", format, &state).unwrap(), state);
        }
        let next = apply(&state, Format::Merge, "{\"n\":2}").unwrap();
        assert_eq!(next, format!("{{\"x\":{deep},\"n\":2}}"));
        let copy =
            r#"[{"op":"copy","from":"/x","path":"/y"},{"op":"move","from":"/x","path":"/z"}]"#;
        let moved = apply(&state, Format::Json, copy).unwrap();
        assert_eq!(moved, format!("{{\"n\":1,\"y\":{deep},\"z\":{deep}}}"));
        let same = format!("[{{\"op\":\"test\",\"path\":\"/x\",\"value\":{deep}}}]");
        assert!(apply(&state, Format::Json, &same).is_ok());
        let node = Node::parse(&state).unwrap();
        assert_eq!(node.get("/x").unwrap().unwrap().to_text(), deep);
    }
}

#[test]
fn what_must_be_walked_stops_at_a_depth() {
    let deep = objects(TOO_DEEP, "null");
    let state = format!("{{\"x\":{}}}", objects(TOO_DEEP, "1"));
    let too_deep = |result| assert!(refusal(result).contains("128"));
    // A null may have to be taken out.
    too_deep(apply("{}", Format::Merge, &deep));
    too_deep(apply("{}", Format::Merge, &format!("{{\"x\":{deep}}}")));
    // Object is merged into object.
    too_deep(apply(&state, Format::Merge, &format!("{{\"x\":{}}}", objects(TOO_DEEP, "2"))));
    let other = format!("[{{\"op\":\"test\",\"path\":\"/x\",\"value\":{deep}}}]");
    too_deep(apply(&state, Format::Json, &other));
    let path = "/a".repeat(TOO_DEEP);
    too_deep(apply(&state, Format::Json, &format!("[{{\"op\":\"remove\",\"path\":\"{path}\"}}]")));
}

#[test]
fn the_depth_itself_is_allowed() {
    let deepest = objects(MAX_DEPTH, "1");
    let patch = objects(MAX_DEPTH, "2");
    assert_eq!(apply(&deepest, Format::Merge, &patch).unwrap(), patch);
    assert!(apply(&deepest, Format::Merge, &objects(MAX_DEPTH + 1, "2")).is_ok());
    let result = apply(&objects(MAX_DEPTH + 1, "1"), Format::Merge, &objects(MAX_DEPTH + 1, "2"));
    refusal(result);
    let nulls = objects(MAX_DEPTH, "null");
    assert_eq!(apply("{}", Format::Merge, &nulls).unwrap(), objects(MAX_DEPTH - 1, "{}"));
    let path = "/a".repeat(MAX_DEPTH);
    let replace = format!("[{{\"op\":\"replace\",\"path\":\"{path}\",\"value\":2}}]");
    assert_eq!(apply(&deepest, Format::Json, &replace).unwrap(), patch);
}

/// Moving an opened value down again and again must not make a tree that is
/// too tall to be written, compared or dropped.
#[test]
fn moving_down_for_ever_grows_no_tall_tree() {
    let path = "/a".repeat(MAX_DEPTH - 1);
    let holder = objects(MAX_DEPTH - 1, "{}");
    let operations = format!(
        "[{{\"op\":\"add\",\"path\":\"/next\",\"value\":{holder}}},\
          {{\"op\":\"move\",\"from\":\"/tower\",\"path\":\"/next{path}\"}},\
          {{\"op\":\"move\",\"from\":\"/next\",\"path\":\"/tower\"}}]"
    );
    let mut state = Node::parse("{\"tower\":{\"a\":1}}").unwrap();
    let first = state.clone();
    for _ in 0..500 {
        state = state.apply(Format::Json, &operations, &ROOMY).unwrap();
    }
    let levels = text_of(&state).matches('{').count();
    assert_eq!(levels, 2 + 500 * (MAX_DEPTH - 1));
    assert!(state.get(&"/tower/a/a".repeat(10)).unwrap().is_none());
    assert!(merge_diff(&first, &state).is_some());
    assert!(!changes(&first, &state, 10).is_empty());
    assert_eq!(text_of(&state.clone()), text_of(&state));
}

#[test]
fn a_state_has_a_largest_size() {
    let limits = Limits { max_state: 20 };
    let state = Node::parse(r#"{"a":"0123456789"}"#).unwrap();
    for (format, patch, size) in [
        (Format::Set, r#"{"a":"01234567890123"}"#, 22),
        (Format::Merge, r#"{"b":1}"#, 24),
        (Format::Shallow, r#"{"b":1}"#, 24),
        (Format::Json, r#"[{"op":"add","path":"/b","value":1}]"#, 24),
        (Format::Many, r#"[{"format":"merge","patch":{"b":1}},{"format":"set","patch":{}}]"#, 24),
    ] {
        let result = state.apply(format, patch, &limits).map(|node| node.to_text());
        assert_eq!(result, Err(PatchError::TooLarge { size, limit: 20 }), "{patch}");
    }
    let exact = state.apply(Format::Merge, r#"{"a":"012345678901"}"#, &limits).unwrap();
    assert_eq!(exact.text_len(), 20);
}

#[test]
fn large_objects_and_arrays() {
    let members: Vec<_> = (0..20_000).map(|n| format!("\"key {n}\":{n}")).collect();
    let elements: Vec<_> = (0..20_000).map(|n| n.to_string()).collect();
    let state = format!("{{\"o\":{{{}}},\"l\":[{}]}}", members.join(","), elements.join(","));
    let node = Node::parse(&state).unwrap();
    let patch = r#"[{"op":"replace","path":"/o/key 777","value":777},
        {"op":"remove","path":"/l/19999"},{"op":"add","path":"/l/-","value":19999},
        {"op":"remove","path":"/l/0"},{"op":"add","path":"/l/0","value":0}]"#;
    assert_eq!(text_of(&node.apply(Format::Json, patch, &ROOMY).unwrap()), state);
    let odd: Vec<_> = (0..10_000).map(|n| format!("\"key {}\":null", 2 * n + 1)).collect();
    let halved = node.apply(Format::Merge, &format!("{{\"o\":{{{}}}}}", odd.join(",")), &ROOMY);
    let even: Vec<_> = members.iter().step_by(2).map(String::as_str).collect();
    let expected = format!("{{\"o\":{{{}}},\"l\":[{}]}}", even.join(","), elements.join(","));
    assert_eq!(text_of(&halved.unwrap()), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Patches are validated before they come here, but nothing hangs on it.
    #[test]
    fn no_text_crashes(
        text in prop_oneof![any::<String>(), "[\\[\\]{}\":,\\\\a0-9eEn. -]{0,40}"],
        opened in any::<bool>(),
    ) {
        let mut state = Node::parse(r#"{"a":{"b":[1,"x",null]},"0":1e5}"#).unwrap();
        if opened {
            let patch = r#"[{"op":"add","path":"/a/b/-","value":{}}]"#;
            state = state.apply(Format::Json, patch, &ROOMY).unwrap();
        }
        let valid = Node::parse(&text).is_ok();
        let members = format!(r#"{{"a":{text},"b":1}}"#);
        let operations = format!(r#"[{{"op":"add","path":"/a/b/0","value":{text}}}]"#);
        for patch in [&text, &members, &operations] {
            for format in [Format::Merge, Format::Shallow, Format::Json, Format::Many] {
                if let Ok(next) = state.apply(format, patch, &ROOMY) {
                    text_of(&next);
                }
            }
        }
        prop_assert_eq!(state.apply(Format::Shallow, &members, &ROOMY).is_ok(), valid);
        prop_assert_eq!(state.apply(Format::Json, &operations, &ROOMY).is_ok(), valid);
        let _ = state.get(&text);
    }
}
