//! Merge patches (RFC 7396), shallow patches, whole states, and several at once.

use adrt::engines::state::{Format, Node, PatchError, join};
use proptest::prelude::*;

use crate::model::{J, object, value};
use crate::{ROOMY, apply, refusal, text_of};

fn merge(state: &str, patch: &str) -> String {
    apply(state, Format::Merge, patch).unwrap_or_else(|error| panic!("{state} {patch}: {error}"))
}

/// The table of the RFC's appendix A: target, patch, result. States are
/// objects, so each is tried as the value of a member; a result of null is a
/// member that is gone.
const APPENDIX_A: [(&str, &str, &str); 15] = [
    (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
    (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
    (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
    (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
    (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
    (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
    (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
    (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
    (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
    (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
    (r#"{"a":"foo"}"#, "null", "null"),
    (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
    (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
    ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
    ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
];

#[test]
fn the_appendix_of_the_rfc() {
    for (target, patch, result) in APPENDIX_A {
        let expected =
            if result == "null" { "{}".to_owned() } else { format!("{{\"x\":{result}}}") };
        let merged = merge(&format!("{{\"x\":{target}}}"), &format!("{{\"x\":{patch}}}"));
        assert_eq!(merged, expected, "{target} {patch}");
        if [target, patch].iter().all(|text| text.starts_with('{')) {
            assert_eq!(merge(target, patch), result);
        }
    }
}

#[test]
fn nulls_go_from_objects_but_not_from_arrays() {
    assert_eq!(
        merge("{}", r#"{"a":{"b":null,"c":[null,{"d":null}],"e":{"f":null}}}"#),
        r#"{"a":{"c":[null,{"d":null}],"e":{}}}"#
    );
    assert_eq!(merge(r#"{"a":[1]}"#, r#"{"a":{"b":null,"c":1}}"#), r#"{"a":{"c":1}}"#);
    assert_eq!(
        merge(r#"{"a":1}"#, r#"{"a":"null","null":{"x":"null"}}"#),
        r#"{"a":"null","null":{"x":"null"}}"#
    );
}

#[test]
fn members_keep_their_place() {
    assert_eq!(
        merge(r#"{"z":1,"y":2,"x":3,"w":4}"#, r#"{"new":9,"x":30,"y":null,"z":10}"#),
        r#"{"z":10,"x":30,"w":4,"new":9}"#
    );
}

#[test]
fn names_are_told_by_content() {
    assert_eq!(merge(r#"{"\u0061":1,"b":2}"#, r#"{"a":3,"\u0062":null}"#), r#"{"\u0061":3}"#);
}

#[test]
fn an_empty_patch_changes_no_byte() {
    let state = r#"{ "a" : { "b" : 1 } , "c" : [ ] }"#;
    assert_eq!(merge(state, "{}"), state);
    assert_eq!(merge(state, r#"{"a":{}}"#), r#"{"a":{ "b" : 1 },"c":[ ]}"#);
}

#[test]
fn only_objects_are_states_and_patches() {
    for patch in ["[]", "null", "1", "\"a\"", " []"] {
        assert!(refusal(apply("{}", Format::Merge, patch)).contains("object"));
        assert!(refusal(apply("{}", Format::Shallow, patch)).contains("object"));
        assert!(refusal(apply("{}", Format::Set, patch)).contains("object"));
    }
    assert_eq!(apply("{\"a\":1}", Format::Set, " {\n\"b\": 2}\n").unwrap(), "{\"b\": 2}");
}

#[test]
fn duplicate_names_are_refused_by_name_where_they_are_walked() {
    for (state, patch) in [
        ("{}", r#"{"a":1,"twin":2,"\u0074win":3}"#),
        (r#"{"a":{}}"#, r#"{"a":{"twin":2,"twin":3}}"#),
        ("{}", r#"{"a":{"twin":2,"twin":null}}"#),
        (r#"{"twin":1,"twin":2}"#, r#"{"a":1}"#),
        (r#"{"a":{"twin":1,"twin":2}}"#, r#"{"a":{"b":1}}"#),
    ] {
        let reason = refusal(apply(state, Format::Merge, patch));
        assert!(reason.contains("\"twin\""), "{state} {patch}: {reason}");
    }
    let kept = r#"{"a":{"twin":1,"twin":2}}"#;
    assert_eq!(merge(kept, r#"{"b":1}"#), r#"{"a":{"twin":1,"twin":2},"b":1}"#);
    assert_eq!(merge("{}", kept), kept);
    assert_eq!(merge(kept, r#"{"a":null}"#), "{}");
}

#[test]
fn shallow_replaces_whole_members_and_keeps_null() {
    let shallow = |state, patch| apply(state, Format::Shallow, patch).unwrap();
    assert_eq!(
        shallow(r#"{"a":{"b":1},"c":2}"#, r#"{"a":{"d":null},"e":null}"#),
        r#"{"a":{"d":null},"c":2,"e":null}"#
    );
    assert!(refusal(apply("{}", Format::Shallow, r#"{"a":1,"a":2}"#)).contains("\"a\""));
}

#[test]
fn several_patches_are_one() {
    let many = join([
        (Format::Set, r#"{"n":1}"#),
        (Format::Merge, r#"{"m":{"x":null}}"#),
        (Format::Json, r#"[{"op":"add","path":"/m/y","value":2}]"#),
        (Format::Shallow, r#"{"z":null}"#),
    ]);
    let result = apply(r#"{"old":1}"#, Format::Many, &many).unwrap();
    assert_eq!(result, r#"{"n":1,"m":{"y":2},"z":null}"#);
    assert_eq!(apply("{}", Format::Many, &join([])).unwrap(), "{}");
}

#[test]
fn several_patches_fail_as_one() {
    let ok = r#"{"format":"merge","patch":{"a":1}}"#;
    for (broken, word) in [
        (r#"{"format":"many","patch":[]}"#, "many"),
        (r#"{"format":"other","patch":[]}"#, "other"),
        (r#"{"format":"merge"}"#, "patch"),
        (r#"{"patch":{}}"#, "format"),
        (r#"{"format":"merge","patch":{},"extra":1}"#, "extra"),
        (r#"{"format":"merge","patch":{},"patch":{}}"#, "patch"),
        (r#"{"format":"merge","patch":[]}"#, "object"),
        ("1", "object"),
    ] {
        let reason = refusal(apply("{}", Format::Many, &format!("[{ok},{broken}]")));
        assert!(reason.contains(word) && reason.contains("patch 1"), "{broken}: {reason}");
    }
    let test = join([(Format::Merge, "{}"), (Format::Json, r#"[{"op":"remove","path":"/a"}]"#)]);
    match apply("{}", Format::Many, &test) {
        Err(PatchError::Failed { index: 0, reason }) => assert!(reason.contains("patch 1")),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn like_the_model(state in object(), patches in proptest::collection::vec(object(), 1..6)) {
        let mut node = Node::parse(&state.text()).unwrap();
        let mut model = state;
        let mut history = vec![(node.clone(), model.text())];
        for patch in patches {
            node = node.apply(Format::Merge, &patch.text(), &ROOMY).unwrap();
            model.merge(&patch);
            prop_assert_eq!(text_of(&node), model.text());
            history.push((node.clone(), model.text()));
        }
        for (node, text) in history {
            prop_assert_eq!(text_of(&node), text);
        }
    }

    #[test]
    fn shallow_like_the_model(state in object(), patch in object()) {
        let node = Node::parse(&state.text()).unwrap();
        let node = node.apply(Format::Shallow, &patch.text(), &ROOMY).unwrap();
        let (mut model, J::Object(members)) = (state, patch) else { panic!("an object") };
        for (key, value) in members {
            model.insert(&key, value);
        }
        prop_assert_eq!(text_of(&node), model.text());
    }

    #[test]
    fn get_like_the_model(state in object(), patch in object(), other in value(),
        path in crate::model::pointer()
    ) {
        let mut model = state.clone();
        let text = Node::parse(&state.text()).unwrap();
        let opened = text.apply(Format::Merge, &patch.text(), &ROOMY).unwrap();
        prop_assert_eq!(
            text.get(&path).unwrap().map(|node| text_of(&node)),
            model.get(&path).map(J::text)
        );
        model.merge(&patch);
        prop_assert_eq!(
            opened.get(&path).unwrap().map(|node| text_of(&node)),
            model.get(&path).map(J::text)
        );
        prop_assert_eq!(Node::from_valid(&other.text()).is_object(), matches!(other, J::Object(_)));
    }
}
