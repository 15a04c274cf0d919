//! Which agent is meant, and agents as a whole.

use crate::world::{World, assert_three_lines, failed, text};

#[test]
fn where_there_are_none() {
    let world = World::new();
    assert!(world.ok(&["list"]).starts_with("no agents in "));
    assert_eq!(world.ok(&["list", "--json"]), "[]\n");
    for words in [&["status"][..], &["state", "show"], &["stop"], &["checkpoints", "list"]] {
        assert_three_lines(&world.fails(66, words));
    }
    assert_three_lines(&world.fails(66, &["status", "nobody"]));
    assert_three_lines(&world.fails(66, &["status", "no/body"]));
}

#[test]
fn the_first_word_is_the_agent_where_there_are_several() {
    let world = World::with(&["a", "b"]);
    let complaint = world.fails(2, &["state", "show"]);
    assert_three_lines(&complaint);
    assert!(complaint.contains("a, b"), "{complaint}");
    world.ok(&["state", "set", "b", "{\"who\":\"b\"}"]);
    assert_eq!(world.ok(&["state", "get", "b", "who"]), "b\n");
    assert_eq!(world.ok(&["state", "show", "a"]), "{}\n");
    let listed = world.json(&["list", "--json"]);
    assert_eq!((&listed[0]["agent"], &listed[1]["agent"]), (&"a".into(), &"b".into()));
    assert_eq!((&listed[0]["phase"], &listed[1]["version"]), (&"stopped".into(), &1.into()));
}

#[test]
fn inside_an_agent_it_is_that_agent() {
    let world = World::with(&["a", "b"]);
    world.ok(&["state", "set", "b", "{\"who\":\"b\"}"]);
    let inside = world.adrt(&["state", "get", "who"]).env("ADRT_AGENT", "b").output();
    assert_eq!(inside.expect("runs").stdout, b"b\n");
}

#[test]
fn a_process_of_an_old_incarnation_may_not_write() {
    let world = World::with(&["a"]);
    let mut write = world.adrt(&["state", "patch", "{\"n\":1}"]);
    write.env("ADRT_AGENT", "a").env("ADRT_INCARNATION", "1");
    assert_three_lines(&failed(75, &mut write));
    assert_eq!(world.ok(&["state", "show"]), "{}\n");
}

#[test]
fn renaming_and_deleting() {
    let world = World::with(&["a"]);
    world.ok(&["state", "set", "{\"n\":1}"]);
    world.ok(&["rename", "b"]);
    assert_eq!(world.ok(&["state", "get", "b", "n"]), "1\n");
    world.fails(66, &["rename", "a", "c"]);
    world.fails(2, &["rename", "b", ".c"]);
    assert_three_lines(&world.fails(2, &["rm", "b"]));
    world.fails(2, &["rm"]);
    assert_eq!(world.ok(&["rm", "b", "--yes"]), "b is deleted\n");
    assert_eq!(world.ok(&["list", "--json"]), "[]\n");
    assert!(!world.path("state/b").exists());
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let world = World::with(&["a", "b"]);
    assert_three_lines(&world.fails(1, &["rename", "a", "b"]));
}

#[test]
fn a_backup_brings_everything_back() {
    let world = World::with(&["a"]);
    world.ok(&["state", "set", "{\"n\":1e400}"]);
    let file = world.path("a.adrt");
    let made = world.json(&["backup", text(&file), "--json"]);
    assert_eq!((&made["agent"], &made["version"]), (&"a".into(), &1.into()));
    assert_three_lines(&world.fails(1, &["backup", text(&file)]));
    assert_three_lines(&world.fails(1, &["restore", text(&file)]));
    world.ok(&["restore", text(&file), "-n", "copy"]);
    assert_eq!(world.ok(&["state", "get", "copy", "n"]), "1e400\n");
    world.ok(&["rm", "a", "--yes"]);
    world.ok(&["restore", text(&file)]);
    assert_eq!(world.ok(&["state", "get", "a", "n"]), "1e400\n");
}

#[test]
fn a_damaged_backup_is_refused() {
    let world = World::with(&["a"]);
    let file = world.path("a.adrt");
    world.ok(&["backup", text(&file)]);
    let mut content = std::fs::read(&file).expect("read");
    content[5000] ^= 1;
    std::fs::write(&file, &content).expect("written");
    assert_three_lines(&world.fails(1, &["restore", text(&file), "-n", "b"]));
    std::fs::write(&file, &content[..9000]).expect("written");
    assert_three_lines(&world.fails(1, &["restore", text(&file), "-n", "b"]));
    assert_three_lines(&world.fails(66, &["restore", "nothing.adrt"]));
    world.fails(66, &["status", "b"]);
}
