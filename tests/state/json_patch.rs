//! JSON Patch (RFC 6902).

use adrt::engines::state::{Format, Limits, Node, PatchError};
use proptest::prelude::*;

use crate::model::{Op, object, op};
use crate::{ROOMY, apply, refusal, text_of};

fn patch(state: &str, operations: &str) -> Result<String, PatchError> {
    apply(state, Format::Json, operations)
}

fn failed_at(result: Result<String, PatchError>) -> usize {
    match result {
        Err(PatchError::Failed { index, .. }) => index,
        other => panic!("expected a failure, got {other:?}"),
    }
}

/// State, patch, result.
const DONE: &[(&str, &str, &str)] = &[
    // The RFC's appendix A: 1 to 8, 10, 11, 14, 16.
    (
        r#"{"foo":"bar"}"#,
        r#"[{"op":"add","path":"/baz","value":"qux"}]"#,
        r#"{"foo":"bar","baz":"qux"}"#,
    ),
    (
        r#"{"foo":["bar","baz"]}"#,
        r#"[{"op":"add","path":"/foo/1","value":"qux"}]"#,
        r#"{"foo":["bar","qux","baz"]}"#,
    ),
    (r#"{"baz":"qux","foo":"bar"}"#, r#"[{"op":"remove","path":"/baz"}]"#, r#"{"foo":"bar"}"#),
    (
        r#"{"foo":["bar","qux","baz"]}"#,
        r#"[{"op":"remove","path":"/foo/1"}]"#,
        r#"{"foo":["bar","baz"]}"#,
    ),
    (
        r#"{"baz":"qux","foo":"bar"}"#,
        r#"[{"op":"replace","path":"/baz","value":"boo"}]"#,
        r#"{"baz":"boo","foo":"bar"}"#,
    ),
    (
        r#"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
        r#"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
        r#"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#,
    ),
    (
        r#"{"foo":["all","grass","cows","eat"]}"#,
        r#"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
        r#"{"foo":["all","cows","eat","grass"]}"#,
    ),
    (
        r#"{"baz":"qux","foo":["a",2,"c"]}"#,
        r#"[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]"#,
        r#"{"baz":"qux","foo":["a",2,"c"]}"#,
    ),
    (
        r#"{"foo":"bar"}"#,
        r#"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
        r#"{"foo":"bar","child":{"grandchild":{}}}"#,
    ),
    (
        r#"{"foo":"bar"}"#,
        r#"[{"op":"add","path":"/baz","value":"qux","xyz":123}]"#,
        r#"{"foo":"bar","baz":"qux"}"#,
    ),
    (r#"{"/":9,"~1":10}"#, r#"[{"op":"test","path":"/~01","value":10}]"#, r#"{"/":9,"~1":10}"#),
    (
        r#"{"foo":["bar"]}"#,
        r#"[{"op":"add","path":"/foo/-","value":["abc","def"]}]"#,
        r#"{"foo":["bar",["abc","def"]]}"#,
    ),
    // Adding what is there replaces it, in its place.
    (
        r#"{"one":1,"two":2}"#,
        r#"[{"op":"add","path":"/one","value":{"x":1}}]"#,
        r#"{"one":{"x":1},"two":2}"#,
    ),
    (r#"{"one":1}"#, r#"[{"op":"add","path":"/one","value":null}]"#, r#"{"one":null}"#),
    (r#"{"one":1}"#, "[]", r#"{"one":1}"#),
    (r#"{ "one" : 1 }"#, "[]", r#"{ "one" : 1 }"#),
    // The whole state.
    (r#"{"one":1}"#, r#"[{"op":"add","path":"","value":{"two":2}}]"#, r#"{"two":2}"#),
    (r#"{"one":1}"#, r#"[{"op":"replace","path":"","value":{"two":2}}]"#, r#"{"two":2}"#),
    (r#"{"one":{"two":2}}"#, r#"[{"op":"move","from":"/one","path":""}]"#, r#"{"two":2}"#),
    (r#"{"one":{"two":2}}"#, r#"[{"op":"copy","from":"/one","path":""}]"#, r#"{"two":2}"#),
    (
        r#"{"one":1}"#,
        r#"[{"op":"copy","from":"","path":"/self"}]"#,
        r#"{"one":1,"self":{"one":1}}"#,
    ),
    (r#"{"one":1}"#, r#"[{"op":"move","from":"","path":""}]"#, r#"{"one":1}"#),
    (r#"{"one":1}"#, r#"[{"op":"test","path":"","value":{"one":1.0}}]"#, r#"{"one":1}"#),
    // Odd names.
    (
        r#"{"":{"":1}}"#,
        r#"[{"op":"replace","path":"//","value":2},{"op":"add","path":"//a","value":3}]"#,
        r#"{"":{"":2,"a":3}}"#,
    ),
    (
        r#"{"x/y":1,"m~n":2}"#,
        r#"[{"op":"remove","path":"/x~1y"},{"op":"copy","from":"/m~0n","path":"/~1~0"}]"#,
        r#"{"m~n":2,"/~":2}"#,
    ),
    (
        r#"{"0":"name","list":["index"]}"#,
        r#"[{"op":"replace","path":"/0","value":1},{"op":"replace","path":"/list/0","value":2}]"#,
        r#"{"0":1,"list":[2]}"#,
    ),
    (r#"{"01":1,"-":2}"#, r#"[{"op":"remove","path":"/01"},{"op":"remove","path":"/-"}]"#, "{}"),
    (
        r#"{"caf\u00e9":1}"#,
        r#"[{"op":"replace","path":"/café","value":2},{"op":"add","path":"/\u00e9\"","value":3}]"#,
        r#"{"caf\u00e9":2,"é\"":3}"#,
    ),
    (
        r#"{"\ud800":1,"\ud801":2}"#,
        r#"[{"op":"remove","path":"/\ud800"},{"op":"add","path":"/\udc00","value":3}]"#,
        r#"{"\ud801":2,"\udc00":3}"#,
    ),
    // Arrays in arrays, and both ends of an array.
    (
        r#"{"m":[[1,2],[3,4]]}"#,
        r#"[{"op":"move","from":"/m/0/1","path":"/m/1/0"},{"op":"remove","path":"/m/0/0"}]"#,
        r#"{"m":[[],[2,3,4]]}"#,
    ),
    (
        r#"{"l":[]}"#,
        r#"[{"op":"add","path":"/l/0","value":1},{"op":"add","path":"/l/1","value":2},{"op":"add","path":"/l/0","value":0}]"#,
        r#"{"l":[0,1,2]}"#,
    ),
    (r#"{"l":[1,2,3]}"#, r#"[{"op":"move","from":"/l/0","path":"/l/-"}]"#, r#"{"l":[2,3,1]}"#),
    (r#"{"l":[1,[2]]}"#, r#"[{"op":"copy","from":"/l/1/0","path":"/l/-"}]"#, r#"{"l":[1,[2],2]}"#),
    // Moving.
    (r#"{"a":{"b":1},"c":2}"#, r#"[{"op":"move","from":"/a/b","path":"/a"}]"#, r#"{"a":1,"c":2}"#),
    (r#"{"a":1,"b":2}"#, r#"[{"op":"move","from":"/a","path":"/a"}]"#, r#"{"a":1,"b":2}"#),
    (r#"{"a":1,"b":2,"c":3}"#, r#"[{"op":"move","from":"/a","path":"/b"}]"#, r#"{"b":1,"c":3}"#),
    (r#"{"a":1,"ab":{}}"#, r#"[{"op":"move","from":"/a","path":"/ab/c"}]"#, r#"{"ab":{"c":1}}"#),
    // A copy is a value of its own.
    (
        r#"{"a":{"n":[1]}}"#,
        r#"[{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/b/n/-","value":2},{"op":"remove","path":"/a/n/0"}]"#,
        r#"{"a":{"n":[]},"b":{"n":[1,2]}}"#,
    ),
    // What `test` calls equal.
    (
        r#"{"v":{"a":[1,{"b":2}],"c":"é"}}"#,
        r#"[{"op":"test","path":"/v","value":{"c":"\u00e9","a":[1.0,{"b":20e-1}]}}]"#,
        r#"{"v":{"a":[1,{"b":2}],"c":"é"}}"#,
    ),
    (
        r#"{"n":1e400,"z":-0.0,"t":true,"o":null,"e":{},"l":[]}"#,
        r#"[{"op":"test","path":"/n","value":10E399},{"op":"test","path":"/z","value":0},{"op":"test","path":"/t","value":true},{"op":"test","path":"/o","value":null},{"op":"test","path":"/e","value":{ }},{"op":"test","path":"/l","value":[ ]}]"#,
        r#"{"n":1e400,"z":-0.0,"t":true,"o":null,"e":{},"l":[]}"#,
    ),
    (
        r#"{"s":"\ud83d\ude00/"}"#,
        r#"[{"op":"test","path":"/s","value":"😀\/"}]"#,
        r#"{"s":"\ud83d\ude00/"}"#,
    ),
];

#[test]
fn what_is_done() {
    for (state, operations, result) in DONE {
        assert_eq!(patch(state, operations).as_deref(), Ok(*result), "{state} {operations}");
    }
}

/// State, patch, and which operation fails.
const FAILED: &[(&str, &str, usize)] = &[
    // The RFC's appendix A: 9, 12, 15.
    (r#"{"baz":"qux"}"#, r#"[{"op":"test","path":"/baz","value":"bar"}]"#, 0),
    (r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"/baz/bat","value":"qux"}]"#, 0),
    (r#"{"/":9,"~1":10}"#, r#"[{"op":"test","path":"/~01","value":"10"}]"#, 0),
    // Nothing there.
    ("{}", r#"[{"op":"remove","path":"/a"}]"#, 0),
    ("{}", r#"[{"op":"replace","path":"/a","value":1}]"#, 0),
    ("{}", r#"[{"op":"move","from":"/a","path":"/b"}]"#, 0),
    ("{}", r#"[{"op":"move","from":"/a","path":"/a"}]"#, 0),
    ("{}", r#"[{"op":"copy","from":"/a","path":"/b"}]"#, 0),
    ("{}", r#"[{"op":"test","path":"/a","value":null}]"#, 0),
    (r#"{"a":1}"#, r#"[{"op":"add","path":"/a/b","value":1}]"#, 0),
    (r#"{"a":"x"}"#, r#"[{"op":"remove","path":"/a/0"}]"#, 0),
    // Places in arrays that are none.
    (r#"{"l":[1,2]}"#, r#"[{"op":"add","path":"/l/3","value":0}]"#, 0),
    (r#"{"l":[1,2]}"#, r#"[{"op":"add","path":"/l/-1","value":0}]"#, 0),
    (r#"{"l":[1,2]}"#, r#"[{"op":"add","path":"/l/01","value":0}]"#, 0),
    (r#"{"l":[1,2]}"#, r#"[{"op":"add","path":"/l/1e0","value":0}]"#, 0),
    (r#"{"l":[1,2]}"#, r#"[{"op":"add","path":"/l/","value":0}]"#, 0),
    (r#"{"l":[1,2]}"#, r#"[{"op":"add","path":"/l/99999999999999999999999","value":0}]"#, 0),
    (r#"{"l":[1,2]}"#, r#"[{"op":"remove","path":"/l/2"}]"#, 0),
    (r#"{"l":[1,2]}"#, r#"[{"op":"remove","path":"/l/-"}]"#, 0),
    (r#"{"l":[1,2]}"#, r#"[{"op":"replace","path":"/l/-","value":0}]"#, 0),
    (r#"{"l":[1,2]}"#, r#"[{"op":"test","path":"/l/-","value":2}]"#, 0),
    (r#"{"l":[1,2]}"#, r#"[{"op":"replace","path":"/l/00","value":0}]"#, 0),
    (r#"{"l":[[1]]}"#, r#"[{"op":"add","path":"/l/-/0","value":0}]"#, 0),
    (r#"{"l":[1,2]}"#, r#"[{"op":"move","from":"/l/0","path":"/l/2"}]"#, 0),
    // Into itself.
    (r#"{"a":{"b":1}}"#, r#"[{"op":"move","from":"/a","path":"/a/c"}]"#, 0),
    (r#"{"a":1}"#, r#"[{"op":"move","from":"","path":"/b"}]"#, 0),
    // Not even when another value would move up into the place.
    (r#"{"l":[{"a":1},{}]}"#, r#"[{"op":"move","from":"/l/0","path":"/l/0/b"}]"#, 0),
    // The state must stay an object.
    ("{}", r#"[{"op":"remove","path":""}]"#, 0),
    ("{}", r#"[{"op":"replace","path":"","value":[]}]"#, 0),
    ("{}", r#"[{"op":"add","path":"","value":null}]"#, 0),
    (
        r#"{"a":1}"#,
        r#"[{"op":"test","path":"/a","value":1},{"op":"move","from":"/a","path":""}]"#,
        1,
    ),
    (r#"{"a":1}"#, r#"[{"op":"copy","from":"/a","path":""},{"op":"add","path":"","value":{}}]"#, 0),
    // What `test` does not call equal.
    (r#"{"a":1}"#, r#"[{"op":"test","path":"/a","value":1.0000000000000000000000001}]"#, 0),
    (r#"{"a":1e400}"#, r#"[{"op":"test","path":"/a","value":1e401}]"#, 0),
    (r#"{"a":[1,2]}"#, r#"[{"op":"test","path":"/a","value":[2,1]}]"#, 0),
    (r#"{"a":[1,2]}"#, r#"[{"op":"test","path":"/a","value":[1]}]"#, 0),
    (r#"{"a":{"b":1}}"#, r#"[{"op":"test","path":"/a","value":{"b":1,"c":1}}]"#, 0),
    (r#"{"a":{"b":1}}"#, r#"[{"op":"test","path":"/a","value":{"c":1}}]"#, 0),
    (r#"{"a":null}"#, r#"[{"op":"test","path":"/a","value":false}]"#, 0),
    (r#"{"a":"1"}"#, r#"[{"op":"test","path":"/a","value":1}]"#, 0),
    (r#"{"a":{}}"#, r#"[{"op":"test","path":"/a","value":[]}]"#, 0),
    (r#"{"a":"\ud800"}"#, r#"[{"op":"test","path":"/a","value":"\ud801"}]"#, 0),
    (r#"{"a":"\ud800"}"#, r#"[{"op":"test","path":"/a","value":"\ufffd"}]"#, 0),
    // All or nothing, and the first that fails is named.
    (
        r#"{"a":1}"#,
        r#"[{"op":"add","path":"/b","value":2},{"op":"remove","path":"/a"},{"op":"remove","path":"/a"},{"op":"remove","path":"/x"}]"#,
        2,
    ),
];

#[test]
fn what_fails() {
    for (state, operations, index) in FAILED {
        assert_eq!(failed_at(patch(state, operations)), *index, "{state} {operations}");
    }
}

#[test]
fn what_is_no_patch() {
    for (operations, word) in [
        ("{}", "array"),
        ("null", "array"),
        ("[1]", "object"),
        ("[{}]", "\"op\""),
        (r#"[{"op":"spam","path":"/a"}]"#, "spam"),
        (r#"[{"op":1,"path":"/a"}]"#, "\"op\""),
        (r#"[{"op":"ADD","path":"/a","value":1}]"#, "ADD"),
        (r#"[{"op":"add","value":1}]"#, "\"path\""),
        (r#"[{"op":"add","path":null,"value":1}]"#, "\"path\""),
        (r#"[{"op":"add","path":"/a"}]"#, "\"value\""),
        (r#"[{"op":"replace","path":"/a"}]"#, "\"value\""),
        (r#"[{"op":"test","path":"/a"}]"#, "\"value\""),
        (r#"[{"op":"move","path":"/a"}]"#, "\"from\""),
        (r#"[{"op":"copy","path":"/a"}]"#, "\"from\""),
        (r#"[{"op":"copy","from":7,"path":"/a"}]"#, "\"from\""),
        (r#"[{"op":"add","path":"a","value":1}]"#, "\"a\""),
        (r#"[{"op":"add","path":"/~x","value":1}]"#, "~"),
        (r#"[{"op":"add","path":"/a","path":"/b","value":1}]"#, "\"path\""),
        (r#"[{"op":"add","\u006fp":"remove","path":"/b","value":1}]"#, "\"op\""),
        // Told before anything is tried.
        (r#"[{"op":"remove","path":"/nowhere"},{"op":"add"}]"#, "operation 1"),
    ] {
        let reason = refusal(patch(r#"{"a":1}"#, operations));
        assert!(reason.contains(word), "{operations}: {reason}");
    }
}

#[test]
fn duplicate_names_in_the_way_are_refused() {
    let state = r#"{"x":{"twin":1,"twin":2},"y":1}"#;
    for operations in [
        r#"[{"op":"add","path":"/x/a","value":1}]"#,
        r#"[{"op":"test","path":"/x/twin","value":1}]"#,
        r#"[{"op":"test","path":"/x","value":{"twin":1}}]"#,
        r#"[{"op":"test","path":"/y","value":1},{"op":"copy","from":"/x/twin","path":"/z"}]"#,
    ] {
        let reason = refusal(patch(state, operations));
        assert!(reason.contains("\"twin\""), "{operations}: {reason}");
    }
    assert!(patch(state, r#"[{"op":"add","path":"/y","value":2}]"#).is_ok());
    assert_eq!(patch(state, r#"[{"op":"remove","path":"/x"}]"#).unwrap(), r#"{"y":1}"#);
}

#[test]
fn size_is_checked_after_each_operation() {
    let limits = Limits { max_state: 1000 };
    let state = Node::parse(r#"{"a":[1,2,3,4]}"#).unwrap();
    let doubling = r#"{"op":"copy","from":"/a","path":"/a/-"}"#;
    let back = r#"{"op":"replace","path":"/a","value":1}"#;
    // Forty doublings would be a state of terabytes.
    let patch = format!("[{}{back}]", format!("{doubling},").repeat(40));
    match state.apply(Format::Json, &patch, &limits) {
        Err(PatchError::TooLarge { size, limit: 1000 }) => assert!(size > 1000 && size < 3000),
        other => panic!("{other:?}"),
    }
    let small = format!("[{}{back}]", format!("{doubling},").repeat(5));
    assert_eq!(text_of(&state.apply(Format::Json, &small, &limits).unwrap()), r#"{"a":1}"#);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn like_the_model(
        state in object(),
        patches in proptest::collection::vec(proptest::collection::vec(op(), 1..4), 1..8),
    ) {
        let mut node = Node::parse(&state.text()).unwrap();
        let mut model = state;
        for operations in patches {
            let texts: Vec<_> = operations.iter().map(Op::text).collect();
            let result = node.apply(Format::Json, &format!("[{}]", texts.join(",")), &ROOMY);
            let mut next = model.clone();
            match operations.iter().position(|op| next.run(op).is_none()) {
                Some(place) => {
                    let failed = matches!(result, Err(PatchError::Failed { index, .. }) if index == place);
                    prop_assert!(failed, "{:?}, expected a failure at {}", result, place);
                }
                None => {
                    node = result.unwrap();
                    model = next;
                }
            }
            prop_assert_eq!(text_of(&node), model.text());
        }
    }
}
