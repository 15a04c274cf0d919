//! The ledger, as `adrt crashes` shows it.

use serde_json::json;

use crate::world::{World, assert_three_lines};

fn crashed(world: &World) {
    let words = ["run", "-n", "a", "--restart", "never", "--", "sh", "-c"];
    let script = "printf 'before\\033[2J\\n' >&2; echo boom; exit 3";
    world.fails(3, &[&words[..], &[script]].concat());
}

#[test]
fn a_crash_is_on_record() {
    let world = World::new();
    crashed(&world);
    let listed = world.json(&["crashes", "list", "--json"]);
    let crash = &listed[0];
    assert_eq!((&crash["id"], &crash["class"]), (&json!(1), &json!("failed")));
    assert_eq!((&crash["code"], &crash["signal"]), (&json!(3), &json!(null)));
    let shown = world.json(&["crashes", "show", "--json"]);
    let output = shown["output"].as_str().expect("output");
    assert!(output.contains("boom") && output.contains("\u{1b}[2J"), "{output}");
    for words in [&["crashes", "show"][..], &["crashes", "show", "1"], &["crashes", "show", "a"]] {
        let page = world.ok(words);
        assert!(page.contains("exited with code 3") && page.contains("boom"), "{page}");
        assert!(!page.contains('\u{1b}'), "what an agent wrote is not obeyed");
    }
    assert!(world.ok(&["crashes", "list"]).contains("exited with code 3"));
}

#[test]
fn ends_that_are_no_crashes() {
    let world = World::with(&["a"]);
    assert_eq!(world.ok(&["crashes", "list"]), "no crash of a is on record\n");
    assert_eq!(world.json(&["crashes", "list", "--all", "--json"])[0]["class"], "done");
    assert_three_lines(&world.fails(66, &["crashes", "show"]));
    assert_three_lines(&world.fails(66, &["crashes", "show", "9"]));
    assert_three_lines(&world.fails(2, &["crashes", "show", "x"]));
    assert!(world.ok(&["crashes", "show", "a", "1"]).contains("exited with code 0"));
}

#[test]
fn a_signal_is_told_as_one() {
    let world = World::new();
    let words = ["run", "-n", "a", "--restart", "never", "--", "sh", "-c", "kill -SEGV $$"];
    world.fails(128 + 11, &words);
    let crash = &world.json(&["crashes", "list", "--json"])[0];
    assert_eq!((&crash["signal"], &crash["code"]), (&json!(11), &json!(null)));
    assert_eq!(crash["class"], "signal");
}
