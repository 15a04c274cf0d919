//! Differences: as a merge patch, and for people.

use adrt::engines::state::{Change, Format, Node, changes, merge_diff};
use proptest::prelude::*;

use crate::ROOMY;
use crate::model::object;

fn node(text: &str) -> Node {
    Node::parse(text).unwrap()
}

#[test]
fn as_a_merge_patch() {
    for (old, new, patch) in [
        ("{}", "{}", "{}"),
        (r#"{"a":1}"#, r#"{"a":1}"#, "{}"),
        (r#"{"a":1,"b":2}"#, r#"{"b":3,"c":4}"#, r#"{"a":null,"b":3,"c":4}"#),
        (r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":1}}"#, r#"{"a":{"c":null}}"#),
        (r#"{"a":{"b":1}}"#, r#"{"a":{}}"#, r#"{"a":{"b":null}}"#),
        (r#"{"a":[1]}"#, r#"{"a":[null]}"#, r#"{"a":[null]}"#),
        (r#"{"a":1}"#, r#"{"a":1.0}"#, r#"{"a":1.0}"#),
        (r#"{"a":1}"#, r#"{"a":{"b":"null"}}"#, r#"{"a":{"b":"null"}}"#),
        (r#"{"a":null}"#, r#"{"a":null,"b":1}"#, r#"{"b":1}"#),
        (r#"{"\u0061":1}"#, r#"{"a":2}"#, r#"{"a":2}"#),
    ] {
        assert_eq!(merge_diff(&node(old), &node(new)).as_deref(), Some(patch), "{old} {new}");
    }
    for (old, new) in [
        ("{}", r#"{"a":null}"#),
        (r#"{"a":1}"#, r#"{"a":null}"#),
        ("{}", r#"{"a":{"b":null}}"#),
        (r#"{"a":{"c":1}}"#, r#"{"a":{"b":{"d":null}}}"#),
        ("{}", r#"{"a":{"b":1,"b":2},"c":{"n":null,"n":1}}"#),
        (r#"{"t":1,"t":2}"#, "{}"),
        ("{}", "[]"),
    ] {
        assert_eq!(merge_diff(&node(old), &node(new)), None, "{old} {new}");
    }
}

fn change(path: &str, before: Option<&str>, after: Option<&str>) -> Change {
    Change {
        path: path.to_owned(),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    }
}

#[test]
fn for_people() {
    let old = node(r#"{"a":1,"b":{"x/y":[1,2,3],"~":0},"c":"s","gone":[]}"#);
    let new = node(r#"{"a":1,"b":{"x/y":[1,5],"~":{}},"c":"s","new":null}"#);
    assert_eq!(
        changes(&old, &new, 100),
        [
            change("/b/x~1y/1", Some("2"), Some("5")),
            change("/b/x~1y/2", Some("3"), None),
            change("/b/~0", Some("0"), Some("{}")),
            change("/gone", Some("[]"), None),
            change("/new", None, Some("null")),
        ]
    );
    assert_eq!(changes(&old, &new, 2).len(), 2);
    assert_eq!(changes(&old, &new, 0), []);
    assert_eq!(changes(&old, &old.clone(), 100), []);
}

#[test]
fn what_can_t_be_walked_is_compared_as_a_whole() {
    let (old, new) = (r#"{"t":1,"t":2}"#, r#"{"t":1}"#);
    assert_eq!(changes(&node(old), &node(new), 9), [change("", Some(old), Some(new))]);
    let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(50_000), "]".repeat(50_000));
    let found = changes(&node(&deep("1")), &node(&deep("2")), 9);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "/0".repeat(128));
}

#[test]
fn white_space_that_opening_drops_is_no_change() {
    let old = node(r#"{ "a" : { "b" : 1 } , "c" : 2 }"#);
    let new = old.apply(Format::Merge, r#"{"a":{"b":1}}"#, &ROOMY).unwrap();
    assert_eq!(changes(&old, &new, 9), []);
    assert_eq!(merge_diff(&old, &new).as_deref(), Some(r#"{"a":{}}"#));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_diff_applied_gives_the_new_value(old in object(), new in object()) {
        let (before, after) = (node(&old.text()), node(&new.text()));
        let value = |node: &Node| -> serde_json::Value {
            serde_json::from_str(&node.to_text()).unwrap()
        };
        match merge_diff(&before, &after) {
            Some(patch) => {
                let patched = before.apply(Format::Merge, &patch, &ROOMY).unwrap();
                prop_assert_eq!(value(&patched), value(&after));
                prop_assert_eq!(patch == "{}", changes(&before, &after, 1).is_empty());
            }
            None => prop_assert!(new.text().contains("null")),
        }
    }

    #[test]
    fn a_diff_of_a_patched_state_leads_there(old in object(), patch in object()) {
        let before = node(&old.text());
        let after = before.apply(Format::Merge, &patch.text(), &ROOMY).unwrap();
        // A merge patch never makes a null, so it can always be said.
        let diff = merge_diff(&before, &after).unwrap();
        let again = before.apply(Format::Merge, &diff, &ROOMY).unwrap();
        prop_assert_eq!(again.to_text(), after.to_text());
        prop_assert!(changes(&again, &after, 1).is_empty());
    }
}
