//! The log of an agent, whatever becomes of its agent, its adrt and its file.

use crate::support::{Run, World};

const SAYS_AND_STAYS: &str = "echo \"here is $ADRT_INCARNATION\"; exec sleep 1000";

/// `adrt logs -f`, from the beginning.
fn follow(world: &World) -> Run {
    Run::start(world.adrt(["logs", "a", "-f"]))
}

#[test]
fn following_goes_on_over_restarts_of_the_agent_and_of_adrt() {
    let world = World::new();
    let run = world.run_shell(&[], SAYS_AND_STAYS);
    run.stdout.wait_for("here is 1");
    let mut following = follow(&world);
    following.stdout.wait_for("\nhere is 1\n");
    assert_eq!(world.done(["restart", "a"]).code, Some(0));
    following.stdout.wait_for("\nhere is 2\n");
    // Its adrt is killed, and the next one goes on in the same file.
    run.signal(9);
    drop(run);
    let run = world.run_shell(&[], SAYS_AND_STAYS);
    following.stdout.wait_for("\nhere is 3\n");
    run.stop();
    following.stdout.wait_for("the run is over");
    // The file itself goes, as when a unit's runtime directory does.
    for entry in std::fs::read_dir(world.path("run")).unwrap().flatten() {
        std::fs::remove_file(entry.path()).unwrap();
    }
    let run = world.run_shell(&[], SAYS_AND_STAYS);
    following.stdout.wait_for("\nhere is 4\n");
    let text = following.stdout.text();
    for n in 1..=4 {
        assert_eq!(text.matches(&format!("\nhere is {n}\n")).count(), 1, "{text}");
    }
    assert!(following.is_running());
    run.stop();
    assert_eq!(world.done(["rm", "a", "--yes"]).code, Some(0));
    let done = following.done();
    assert_eq!(done.code, Some(66), "{done:?}");
}

/// Says that it is there, and does the rest when it is told to.
fn when_told(world: &World, script: &str) -> (Run, Run) {
    nix::unistd::mkfifo(&world.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = world.run_shell(&[], &format!("echo here; read go < go; {script}; exec sleep 1000"));
    run.stdout.wait_for("here");
    let following = follow(world);
    following.stdout.wait_for("here");
    std::fs::write(world.path("go"), "go\n").unwrap();
    (run, following)
}

#[test]
fn a_flood_is_followed_to_its_end() {
    let world = World::new();
    let flood = "yes 'a line, again and again' | head -c 30000000; echo; echo that was all";
    let (run, following) = when_told(&world, flood);
    following.stdout.wait_for("\nthat was all\n");
    let last = world.done(["logs", "a", "-n", "1"]);
    assert_eq!(last.stdout, b"that was all\n", "{last:?}");
    run.stop();
}

#[test]
fn a_line_without_an_end_is_shown_when_nothing_follows() {
    let world = World::new();
    let (run, following) = when_told(&world, "printf 'and now? '");
    following.stdout.wait_for("\nand now? \n");
    run.stop();
}

#[test]
fn an_agent_runs_without_a_log_where_none_can_be_made() {
    let world = World::new();
    let run = world.run_shell(&[], SAYS_AND_STAYS);
    run.stdout.wait_for("here is 1");
    run.stop();
    let log = std::fs::read_dir(world.path("run"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "log"))
        .unwrap();
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    let run = world.run_shell(&[], SAYS_AND_STAYS);
    run.stdout.wait_for("here is 2");
    assert_eq!(world.status()["phase"], "running");
    let done = run.stop();
    assert_eq!((done.code, done.stderr.matches("adrt logs").count()), (Some(0), 1), "{done:?}");
    let seen = world.done(["logs", "a"]);
    let text = String::from_utf8_lossy(&seen.stdout);
    assert!(text.contains("here is 1") && text.contains("here is 2"), "{seen:?}");
    assert!(seen.stderr.contains("from the ledger"), "{seen:?}");
}
