//! `--release`: who ran what, and the way back.

use serde_json::{Value, json};

use crate::support::{World, wait_for};

/// A life of a release that leaves this in the state, and ends well.
fn life(world: &World, release: &str, n: u64) -> Value {
    let script =
        format!("echo $ADRT_RELEASE; adrt state patch a '{{\"n\":{n}}}' >&2; adrt status a --json");
    let done = world.run_shell(&["--release", release], &script).done();
    assert_eq!(done.code, Some(0), "{done:?}");
    let text = String::from_utf8(done.stdout).unwrap();
    let (first, status) = text.split_once('\n').unwrap();
    assert_eq!(first, release, "ADRT_RELEASE");
    serde_json::from_str(status).unwrap()
}

fn labelled(world: &World) -> Vec<Value> {
    let all = world.json(&["checkpoints", "list", "a", "--json"]);
    all.as_array().unwrap().iter().filter(|row| !row["label"].is_null()).cloned().collect()
}

#[test]
fn a_new_release_can_be_taken_back() {
    let world = World::new();
    assert_eq!(life(&world, "v1", 1)["release"], "v1");
    assert_eq!(labelled(&world), [json!(null); 0], "nothing to go back to");
    life(&world, "v1", 2);
    assert_eq!(labelled(&world), [json!(null); 0], "nothing to go back from");
    life(&world, "v2", 3);
    let kept = labelled(&world);
    let [before] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((&before["label"], &before["reason"]), (&json!("before v2"), &json!("release")));
    assert_eq!((&before["release"], &before["version"]), (&json!("v1"), &json!(2)));
    let shown = world.json(&["checkpoints", "show", "a", "before v2", "--json"]);
    assert_eq!((&shown["state"], &shown["release"]), (&json!({"n": 2}), &json!("v1")));
    let releases: Vec<Value> = world.ends().iter().map(|end| end["release"].clone()).collect();
    assert_eq!(releases, ["v1", "v1", "v2"]);
    let table = String::from_utf8(world.done(["checkpoints", "list", "a"]).stdout).unwrap();
    assert!(table.contains("RELEASE") && table.contains("before v2"), "{table}");
    assert_eq!(world.status()["release"], "v2", "of the last one, where none runs");
    // Back to the code of before, and to its state.
    let back = world.done(["checkpoints", "restore", "a", "before v2"]);
    assert_eq!(back.code, Some(0), "{back:?}");
    assert_eq!(world.state(), (4, json!({"n": 2})));
    life(&world, "v1", 5);
    let labels: Vec<Value> = labelled(&world).iter().map(|row| row["label"].clone()).collect();
    assert_eq!(labels, ["before v1", "before v2"], "and there again");
}

#[test]
fn without_a_word_nothing_has_changed() {
    let world = World::new();
    life(&world, "v1", 1);
    assert_eq!(world.run_shell(&[], "exit 0").done().code, Some(0));
    assert_eq!(labelled(&world), [json!(null); 0]);
    assert_eq!(world.ends()[1]["release"], json!(null));
}

#[test]
fn an_adrt_that_is_killed_at_it_takes_one_all_the_same() {
    let world = World::new();
    life(&world, "v1", 1);
    for _ in 0..10 {
        let mut run = world.run_shell(&["--release", "v2"], "exec sleep 1000");
        // Whenever that is: before its record, with it, or after.
        wait_for("the lock", || {
            let status = world.done(["status", "a", "--json"]);
            let status: Value = serde_json::from_slice(&status.stdout).ok()?;
            (status["phase"] != "stopped").then_some(())
        });
        run.kill();
    }
    life(&world, "v2", 2);
    let kept = labelled(&world);
    let [before] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((&before["label"], &before["version"]), (&json!("before v2"), &json!(1)));
}

#[test]
fn what_is_no_name_of_a_release_is_refused() {
    let world = World::new();
    for release in ["", "a\nb", &"x".repeat(101)] {
        let done = world.run_shell(&["--release", release], "echo started").done();
        assert_eq!((done.code, done.stdout), (Some(2), Vec::new()), "{release:?}");
    }
}
