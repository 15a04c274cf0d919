//! What was: old versions, checkpoints, and forgetting them.

use serde_json::{Value, json};

use crate::world::{World, assert_three_lines, output};

fn counted(world: &World, to: u64) {
    for n in 1..=to {
        world.ok(&["state", "patch", &format!("{{\"n\":{n}}}")]);
    }
}

#[test]
fn old_versions_are_shown() {
    let world = World::with(&["a"]);
    counted(&world, 3);
    let old = world.json(&["state", "show", "--version", "2", "--json"]);
    assert_eq!((&old["version"], &old["state"]), (&json!(2), &json!({"n": 2})));
    assert_eq!(world.ok(&["state", "get", "n", "--version", "1"]), "1\n");
    assert_eq!(world.ok(&["state", "get", "n", "--at", "now"]), "3\n");
    assert_three_lines(&world.fails(66, &["state", "show", "--version", "4"]));
    assert_three_lines(&world.fails(2, &["state", "show", "--at", "soon"]));
    world.fails(2, &["state", "show", "--at", "now", "--version", "1"]);
}

#[test]
fn a_time_finds_the_version_of_then() {
    let world = World::with(&["a"]);
    counted(&world, 3);
    let history = world.json(&["state", "history", "--json"]);
    let second = history[1]["at"].as_str().expect("a time");
    let found = world.json(&["state", "show", "--at", second, "--json"]);
    // Changes of one millisecond share their time.
    assert!(found["version"].as_u64() >= Some(2), "{found}");
    assert_eq!(found["state"]["n"], found["version"]);
}

#[test]
fn the_nearest_version_is_shown_and_said() {
    let world = World::with(&["a"]);
    counted(&world, 3);
    world.ok(&["history", "forget", "--yes"]);
    let output = output(&mut world.adrt(&["state", "show", "--version", "1", "--json"]));
    assert!(output.status.success());
    let note = String::from_utf8_lossy(&output.stderr);
    assert!(note.contains("version 1 is no longer kept"), "{note}");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&shown["version"], &shown["state"]), (&json!(3), &json!({"n": 3})));
}

#[test]
fn checkpoints_from_first_to_last() {
    let world = World::with(&["a"]);
    counted(&world, 2);
    let made = world.json(&["checkpoints", "create", "--label", "base", "--json"]);
    assert_eq!(made["version"], 2);
    counted(&world, 1);
    let listed = world.json(&["checkpoints", "list", "--json"]);
    let found = &listed[0];
    assert_eq!((&found["label"], &found["reason"]), (&json!("base"), &json!("request")));
    let members: Vec<&str> =
        found.as_object().expect("object").keys().map(String::as_str).collect();
    let mut expected = [
        "id",
        "version",
        "created",
        "label",
        "reason",
        "release",
        "incarnation",
        "bytes",
        "state_bytes",
    ];
    expected.sort_unstable();
    assert_eq!(members, expected);
    let id = found["id"].to_string();
    for which in ["base", &id] {
        let shown = world.json(&["checkpoints", "show", which, "--json"]);
        assert_eq!((&shown["state"], &shown["version"]), (&json!({"n": 2}), &json!(2)));
        let state = world.json(&["state", "show", "--checkpoint", which, "--json"]);
        assert_eq!(state["state"], json!({"n": 2}));
    }
    let diff = world.ok(&["checkpoints", "diff", "base"]);
    assert_eq!(diff, "a: checkpoint \"base\" → now (version 3)\n  ~ /n  2 → 1\n");
    assert_eq!(world.ok(&["checkpoints", "diff", "a", "base", &id]).lines().count(), 2);
    let back = world.ok(&["checkpoints", "restore", "a", "base"]);
    assert_eq!(back, "a is back at checkpoint \"base\", as version 4\n");
    assert_eq!(world.ok(&["state", "get", "n"]), "2\n");
    assert_eq!(world.ok(&["state", "get", "n", "--version", "3"]), "1\n");
}

#[test]
fn a_checkpoint_that_is_none() {
    let world = World::with(&["a"]);
    assert_three_lines(&world.fails(66, &["checkpoints", "show", "nothing"]));
    assert_three_lines(&world.fails(66, &["checkpoints", "restore", "77"]));
    assert_three_lines(&world.fails(66, &["state", "show", "--checkpoint", "77"]));
    world.fails(2, &["checkpoints", "create", "--label", "77"]);
}

#[test]
fn pruning_spares_labels_unless_told() {
    let world = World::with(&["a"]);
    for label in ["one", "two", "three"] {
        counted(&world, 1);
        world.ok(&["checkpoints", "create", "--label", label]);
    }
    let labels = || -> Vec<Value> {
        let listed = world.json(&["checkpoints", "list", "--json"]);
        listed.as_array().expect("array").iter().map(|row| row["label"].clone()).collect()
    };
    world.ok(&["checkpoints", "prune", "--keep", "1"]);
    assert!(labels().contains(&json!("one")));
    world.ok(&["checkpoints", "prune", "--keep", "1", "--all"]);
    assert_eq!(labels(), [json!("three")]);
    world.fails(2, &["checkpoints", "prune", "--keep", "0"]);
}

#[test]
fn forgetting_needs_a_yes_and_leaves_nothing_behind() {
    let world = World::with(&["a"]);
    world.ok(&["state", "set", r#"{"token":"hunter2hunter2"}"#]);
    world.ok(&["state", "set", r#"{"n":1}"#]);
    assert_three_lines(&world.fails(2, &["history", "forget"]));
    assert_eq!(world.ok(&["state", "get", "token", "--version", "1"]), "hunter2hunter2\n");
    let gone = world.json(&["history", "forget", "--path", "token", "--yes", "--json"]);
    assert!(gone["versions"].as_u64() > Some(0), "{gone}");
    assert_eq!(world.ok(&["state", "get", "n"]), "1\n");
    let db = std::fs::read_dir(world.path("state/a/db")).expect("the database");
    for file in db {
        let content = std::fs::read(file.expect("entry").path()).expect("content");
        let found = content.windows(14).any(|window| window == b"hunter2hunter2");
        assert!(!found, "the secret is still in a file");
    }
}
