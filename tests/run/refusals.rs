//! What keeps a run from beginning, and what is said then. No agent is
//! started in any of these.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use serde_json::json;

use crate::support::{Done, World};
use crate::wire::Scene;

/// Runs an agent that must not be started.
fn refused(world: &World, options: &[&str], code: i32) -> Done {
    let done = world.run_shell(options, "echo started").done();
    assert_eq!(done.code, Some(code), "{options:?}: {done:?}");
    assert_eq!(done.stdout, b"", "{options:?}: {done:?}");
    assert!(!done.stderr.contains("panicked"), "{done:?}");
    // What, why, and what to do.
    assert!(done.stderr.lines().count() >= 2, "{done:?}");
    done
}

#[test]
fn usage() {
    let world = World::new();
    for options in [
        &["--backoff-initial", "x"][..],
        &["--restart", "sometimes"],
        &["--no-such-option"],
        &["--backoff-initial", "2h", "--backoff-max", "1h"],
        &["--max-frame", "10"],
        &["--max-inflight", "0"],
        &["--max-attempts", "0"],
        &["--nack-max", "0"],
        &["--nack-max", "10"],
        &["--event-timeout", "0s"],
        &["--on-crash-loop", "panic"],
        &["--events="],
        &["--events", "-", "--stdin", "inherit"],
    ] {
        refused(&world, options, 2);
    }
    assert_eq!(world.done(["run", "-n", "a"]).code, Some(2));
    assert_eq!(world.done(["run", "-n", "../a", "--", "true"]).code, Some(2));
    assert_eq!(world.done(["run", "--", "sh", "-c", "true"]).code, Some(2), "it needs a name");
}

#[test]
fn configuration() {
    let world = World::new();
    for (content, named) in [
        ("restart = \"sometimes\"", "sometimes"),
        ("restrat = \"always\"", "restrat"),
        ("restart = [", "1"),
        ("backoff-initial = \"soon\"", "soon"),
    ] {
        let file = world.file("bad.toml", content).display().to_string();
        let done = refused(&world, &["--config", &file], 78);
        assert!(done.stderr.contains(named), "{content}: {done:?}");
        assert!(done.stderr.contains("bad.toml"), "{content}: {done:?}");
    }
    refused(&world, &["--config", "/no/such/file.toml"], 78);
}

#[test]
fn a_state_directory_that_cannot_be_made() {
    let world = World::new();
    let file = world.file("file", "").display().to_string();
    for (dir, named) in
        [("/proc/adrt-state", "/proc/adrt-state"), (&format!("{file}/state"), &file)]
    {
        let done = refused(&world, &["--state-dir", dir], 73);
        assert!(done.stderr.contains(named), "{done:?}");
    }
}

#[test]
fn a_symlink_is_not_followed() {
    let world = World::new();
    let elsewhere = world.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, world.state_dir().join("a")).unwrap();
    let done = world.run_shell(&[], "echo started").done();
    assert_ne!(done.code, Some(0));
    assert_eq!(done.stdout, b"");
    assert!(done.stderr.contains("symlink") || done.stderr.contains("symbolic"), "{done:?}");
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    // Nor inside it.
    std::fs::remove_file(world.state_dir().join("a")).unwrap();
    assert_eq!(world.run_shell(&[], "exit 0").done().code, Some(0));
    let db = world.state_dir().join("a/db");
    std::fs::remove_dir_all(&db).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &db).unwrap();
    let done = world.run_shell(&[], "echo started").done();
    assert_ne!(done.code, Some(0));
    assert_eq!(done.stdout, b"", "{done:?}");
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
}

/// A world with a state of version 3, of which version 2 is in a checkpoint,
/// and its database file.
fn kept() -> (World, PathBuf) {
    let (scene, mut puppet) = Scene::open(&[]);
    let patch = |n: u64| json!({"patch": {"n": n, "mark": format!("marker-{n}")}});
    puppet.wire.ask("state.patch", patch(1)).unwrap();
    puppet.wire.ask("state.patch", patch(2)).unwrap();
    puppet.wire.ask("checkpoint.create", "{}").unwrap();
    puppet.wire.ask("state.patch", patch(3)).unwrap();
    let Scene { mut run, world, .. } = scene;
    run.kill();
    // Opening it once puts everything into the file itself, with no new version.
    assert_eq!(world.done(["checkpoints", "prune", "a", "--keep", "1"]).code, Some(0));
    let db = world.state_dir().join("a/db/adrt.db");
    assert!(db.is_file());
    (world, db)
}

fn overwrite(db: &PathBuf, at: u64, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).open(db).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[test]
fn a_damaged_database_stops_the_run_before_the_agent_starts() {
    let (world, db) = kept();
    overwrite(&db, 0, b"not a database");
    let done = refused(&world, &[], 74);
    for hint in ["salvage", "fresh"] {
        assert!(done.stderr.contains(hint), "{done:?}");
    }
    assert!(db.is_file(), "it is never deleted");
}

#[test]
fn fresh_puts_it_aside_and_tells_the_agent() {
    let (world, db) = kept();
    overwrite(&db, 0, b"not a database");
    let puppets = world.puppets();
    let run = world.run(&["--on-damage", "fresh"], puppets.argv());
    let greeting = puppets.next().initialize();
    assert_eq!(greeting["start"]["reason"], "damaged");
    assert_eq!(greeting["state"]["value"], json!({}));
    let aside = std::fs::read_dir(world.state_dir().join("a")).unwrap().filter(|entry| {
        let entry = entry.as_ref().unwrap();
        let file = entry.path().join("adrt.db");
        entry.file_name() != "db"
            && std::fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"not a database"))
    });
    assert_eq!(aside.count(), 1, "the old one is kept, whole");
    drop(run);
}

#[test]
fn a_damaged_change_is_never_passed_over_in_silence() {
    let (world, db) = kept();
    let bytes = std::fs::read(&db).unwrap();
    let place = memchr::memmem::rfind(&bytes, b"marker-3").unwrap();
    overwrite(&db, place as u64, b"mArker-3");
    let done = refused(&world, &[], 74);
    assert!(done.stderr.contains('3'), "which version: {done:?}");
    let puppets = world.puppets();
    let run = world.run(&["--on-damage", "salvage"], puppets.argv());
    let mut puppet = puppets.next();
    let greeting = puppet.initialize();
    assert_eq!(greeting["start"]["reason"], "damaged");
    assert_eq!(greeting["state"]["value"], json!({"n": 2, "mark": "marker-2"}));
    // No version is ever used twice.
    let next = puppet.wire.ask("state.patch", r#"{"patch":{"n":4}}"#).unwrap();
    assert_eq!(next["version"], 4);
    drop(run);
}
