//! `adrt run`: what it refuses, and how it ends.

use crate::world::{World, assert_three_lines, failed, text};

#[test]
fn exit_codes_of_a_run() {
    let world = World::new();
    world.ok(&["run", "-n", "a", "--", "true"]);
    world.fails(7, &["run", "-n", "a", "--restart", "never", "--", "sh", "-c", "exit 7"]);
    world.fails(70, &["run", "-n", "a", "--fatal-exit", "3,7", "--", "sh", "-c", "exit 7"]);
    let words = ["run", "-n", "a", "--max-restarts", "1", "--backoff-initial", "1ms"];
    world.fails(69, &[&words[..], &["--", "false"]].concat());
    world.fails(127, &["run", "--", "./nothing"]);
    let plain = world.path("plain");
    std::fs::write(&plain, "no program").expect("written");
    world.fails(126, &["run", "--", text(&plain)]);
}

#[test]
fn a_name_is_taken_from_the_script_or_asked_for() {
    let world = World::new();
    let script = world.script("jobs/night.sh", "exit 0\n");
    world.ok(&["run", "--", "env", "A=1", "sh", text(&script)]);
    assert_eq!(world.json(&["list", "--json"])[0]["agent"], "night");
    assert_three_lines(&world.fails(2, &["run", "--", "sh", "-c", "true"]));
    assert_three_lines(&world.fails(2, &["run", "-n", "a b", "--", "true"]));
    assert_three_lines(&world.fails(2, &["run"]));
    // Another script of that name is another agent.
    let other = world.script("more/night.sh", "exit 0\n");
    let complaint = world.fails(2, &["run", "--", "sh", text(&other)]);
    assert_three_lines(&complaint);
    assert!(complaint.contains(text(&script)) && complaint.contains(text(&other)), "{complaint}");
    world.ok(&["run", "-n", "night", "--", "sh", text(&other)]);
}

#[test]
fn configuration() {
    let world = World::new();
    let file = world.path("adrt.toml");
    let config = |content: &str| std::fs::write(&file, content).expect("written");
    config("name = \"night\"\ncommand = [\"sh\", \"-c\", \"exit 7\"]\nrestart = \"never\"\n");
    world.fails(7, &["run", "--config", text(&file)]);
    assert_eq!(world.json(&["list", "--json"])[0]["agent"], "night");
    // Flag over variable over file.
    let mut run = world.adrt(&["run", "--config", text(&file), "--fatal-exit", "7"]);
    let code = |run: &mut std::process::Command| run.output().expect("runs").status.code();
    assert_eq!(code(run.env("ADRT_RESTART", "on-failure")), Some(70));
    let mut run = world.adrt(&["run", "--config", text(&file), "--restart", "never"]);
    assert_eq!(code(run.env("ADRT_RESTART", "always")), Some(7));
    for (content, place) in [
        ("name = \"a\"\nbackof-max = \"1s\"\n", "line 2, column 1"),
        ("stop-timeout = \"soon\"\n", "line 1, column 16"),
        ("restart = \n", "line 1, column"),
    ] {
        config(content);
        let complaint = world.fails(78, &["run", "--config", text(&file), "--", "true"]);
        assert_three_lines(&complaint);
        assert!(complaint.contains(place), "{complaint}");
    }
    assert_three_lines(&world.fails(78, &["run", "--config", "nothing.toml", "--", "true"]));
}

#[test]
fn a_bad_variable_is_named() {
    let world = World::new();
    for (name, value) in [("ADRT_STOP_TIMEOUT", "10"), ("ADRT_RESTART", "sometimes")] {
        let mut run = world.adrt(&["run", "-n", "a", "--", "true"]);
        let complaint = failed(78, run.env(name, value));
        assert_three_lines(&complaint);
        assert!(complaint.contains(name) && complaint.contains(value), "{complaint}");
    }
    // The flag is what is looked at first, and so what is complained of.
    let mut run = world.adrt(&["run", "--restart", "sometimes", "--", "true"]);
    let complaint = failed(2, run.env("ADRT_RESTART", "sometimes"));
    assert!(complaint.contains("--restart"), "{complaint}");
}

#[test]
fn a_state_directory_that_can_not_be_made() {
    let world = World::new();
    std::fs::write(world.path("file"), "").expect("written");
    let dir = world.path("file/state");
    let complaint = world.fails(73, &["run", "--state-dir", text(&dir), "-n", "a", "--", "true"]);
    assert_three_lines(&complaint);
}

#[test]
fn options_are_checked() {
    let world = World::new();
    for words in [
        &["--stop-timeout", "10"][..],
        &["--max-db", "lots"],
        &["--restart", "sometimes"],
        &["--fatal-exit", "0"],
        &["--backoff-jitter", "2"],
        &["--no-such-option"],
        &["--backoff-initial", "2m"],
    ] {
        world.fails(2, &[&["run", "-n", "a"], words, &["--", "true"]].concat());
    }
    assert_eq!(world.ok(&["list", "--json"]), "[]\n");
}
