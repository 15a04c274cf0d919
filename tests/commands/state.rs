//! `adrt state …` while nothing runs.

use crate::world::{World, assert_three_lines, failed};

#[test]
fn text_comes_back_byte_for_byte() {
    let world = World::with(&["a"]);
    let state = r#"{"n": 1e400, "z":-0.0,"f":0.1000, "s":"\ud83d\u0041\n"}"#;
    assert_eq!(world.ok(&["state", "set", state]), "a is at version 1\n");
    let shown = world.ok(&["state", "show", "--json"]);
    assert!(shown.contains(&format!("\"state\":{state}}}")), "{shown}");
    assert_eq!(world.ok(&["state", "get", "n"]), "1e400\n");
    assert_eq!(world.ok(&["state", "get", "/z"]), "-0.0\n");
    assert_eq!(world.ok(&["state", "get", "--json", "f"]), "0.1000\n");
}

#[test]
fn values_are_printed_bare() {
    let world = World::with(&["a"]);
    world.ok(&["state", "set", r#"{"t":"two\nlines","o":{"l":[1, "x"]},"e/f":{"~":null}}"#]);
    assert_eq!(world.ok(&["state", "get", "t"]), "two\nlines\n");
    assert_eq!(world.ok(&["state", "get", "t", "--json"]), "\"two\\nlines\"\n");
    assert_eq!(world.ok(&["state", "get", "o"]), "{\"l\":[1,\"x\"]}\n");
    assert_eq!(world.ok(&["state", "get", "a", "o.l.1"]), "x\n");
    assert_eq!(world.ok(&["state", "get", "/e~1f/~0"]), "null\n");
    let complaint = world.fails(66, &["state", "get", "o.nothing"]);
    assert_three_lines(&complaint);
    // An agent's name alone is a slip, and told.
    let complaint = world.fails(66, &["state", "get", "a"]);
    assert!(complaint.contains("adrt state show a"), "{complaint}");
}

#[test]
fn patches_of_every_format() {
    let world = World::with(&["a"]);
    world.ok(&["state", "set", r#"{"l":[1,2],"o":{"a":1,"b":2}}"#]);
    world.ok(&["state", "patch", r#"{"o":{"a":null,"c":3}}"#]);
    assert_eq!(world.ok(&["state", "get", "o"]), "{\"b\":2,\"c\":3}\n");
    world.ok(&["state", "patch", "--format", "json", r#"[{"op":"remove","path":"/l/0"}]"#]);
    assert_eq!(world.ok(&["state", "get", "l"]), "[2]\n");
    world.ok(&["state", "patch", "--format", "shallow", r#"{"o":null}"#]);
    assert_eq!(world.ok(&["state", "get", "o"]), "null\n");
    let test = r#"[{"op":"test","path":"/l/0","value":7}]"#;
    assert_three_lines(&world.fails(1, &["state", "patch", "--format", "json", test]));
    assert_eq!(world.json(&["state", "show", "--json"])["version"], 4);
}

#[test]
fn a_version_can_be_insisted_on() {
    let world = World::with(&["a"]);
    let written = world.json(&["state", "set", "{}", "--if-version", "0", "--json"]);
    assert_eq!(written, serde_json::json!({"agent": "a", "version": 1}));
    let complaint = world.fails(1, &["state", "patch", "{\"n\":1}", "--if-version", "0"]);
    assert_three_lines(&complaint);
    assert_eq!(world.ok(&["state", "get", ""]), "{}\n");
}

#[test]
fn what_is_no_json_is_refused() {
    let world = World::with(&["a"]);
    for value in ["{a:1}", "[]", "", "{} {}", "{\"n\":NaN}", "\"text\""] {
        assert_three_lines(&world.fails(2, &["state", "set", value]));
    }
    assert_three_lines(&world.fails(2, &["state", "patch", "--format", "json", "{}"]));
    assert_eq!(world.json(&["state", "show", "--json"])["version"], 0);
}

#[test]
fn a_value_is_read_from_stdin() {
    let world = World::with(&["a"]);
    let file = world.path("value");
    std::fs::write(&file, "\n{\n \"n\": 1\n}\n").expect("written");
    let input = std::fs::File::open(&file).expect("opened");
    let mut command = world.adrt(&["state", "set", "-"]);
    assert!(command.stdin(input).output().expect("runs").status.success());
    assert_eq!(world.ok(&["state", "get", "n"]), "1\n");
    assert_three_lines(&failed(2, &mut world.adrt(&["state", "set", "-"])));
}

#[test]
fn diffs() {
    let world = World::with(&["a"]);
    world.ok(&["state", "set", r#"{"keep":1,"gone":2,"new":1}"#]);
    world.ok(&["state", "set", r#"{"keep":1,"new":[1e400],"more":"x"}"#]);
    let last = world.ok(&["state", "diff"]);
    assert_eq!(
        last,
        "a: version 1 → version 2\n  - /gone  2\n  ~ /new  1 → [1e400]\n  + /more  \"x\"\n"
    );
    assert_eq!(world.ok(&["state", "diff", "1"]), last);
    assert_eq!(world.ok(&["state", "diff", "a", "1", "2"]), last);
    assert_eq!(world.ok(&["state", "diff", "a", "1"]), last);
    let none = world.json(&["state", "diff", "2", "2", "--json"]);
    assert_eq!(none["changes"], serde_json::json!([]));
    let all = world.ok(&["state", "diff", "1", "--json"]);
    assert!(all.contains(r#"{"path":"/new","before":1,"after":[1e400]}"#), "{all}");
    world.fails(2, &["state", "diff", "x"]);
    world.fails(66, &["state", "diff", "9"]);
}

#[test]
fn history_in_pages() {
    let world = World::with(&["a"]);
    for n in 1..=5 {
        world.ok(&["state", "patch", &format!("{{\"n\":{n}}}")]);
    }
    let versions = |words: &[&str]| -> Vec<u64> {
        let listed = world.json(&[&["state", "history", "--json"], words].concat());
        let rows = listed.as_array().expect("an array").iter();
        rows.map(|row| row["version"].as_u64().expect("a number")).collect()
    };
    assert_eq!(versions(&["--limit", "2"]), [5, 4]);
    assert_eq!(versions(&["--limit", "2", "--before", "4"]), [3, 2]);
    let page = world.ok(&["state", "history", "--limit", "2"]);
    assert!(page.contains("{\"n\":5}") && page.contains("operator"), "{page}");
    assert!(page.contains("adrt state history a --before 4"), "{page}");
}
