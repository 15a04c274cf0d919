//! What is printed: widths, colour, help, and a stdout that takes nothing.

use std::fs::OpenOptions;

use crate::world::{World, failed, no_reader, output};

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let world = World::with(&["a"]);
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(100_000));
    world.ok(&["state", "set", &large]);
    for words in [&["state", "show"][..], &["list"], &["status", "--json"], &["--help"]] {
        let mut command = world.adrt(words);
        let seen = output(command.stdout(no_reader().expect("a pipe")));
        assert_eq!(seen.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&seen.stderr), "", "{words:?}");
    }
}

#[test]
fn a_full_disk_under_stdout_is_a_failure() {
    let world = World::with(&["a"]);
    let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let complaint = failed_to(full, &world);
    assert!(complaint.contains("the output could not be written"), "{complaint}");
}

fn failed_to(stdout: std::fs::File, world: &World) -> String {
    let mut command = world.adrt(&["list"]);
    let seen = command.stdout(stdout).output().expect("runs");
    assert_eq!(seen.status.code(), Some(1));
    String::from_utf8(seen.stderr).expect("text")
}

#[test]
fn closed_descriptors_are_no_panic() {
    let world = World::with(&["a"]);
    let adrt = env!("CARGO_BIN_EXE_adrt");
    for (closing, code) in [("list >&-", 0), ("list 2>&-", 0), ("status nobody >&- 2>&- <&-", 66)] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("{adrt} {closing}")]);
        let given = world.adrt(&["list"]);
        shell.env_clear().envs(given.get_envs().filter_map(|(name, value)| Some((name, value?))));
        failed(code, &mut shell);
    }
}

#[test]
fn colour_only_where_it_is_wanted() {
    let world = World::with(&["a"]);
    world.ok(&["state", "set", "{\"n\":1}"]);
    assert!(!world.ok(&["state", "show"]).contains('\u{1b}'));
    assert!(world.ok(&["state", "show", "--color", "always"]).contains('\u{1b}'));
    assert!(world.ok(&["list", "--color", "always"]).contains('\u{1b}'));
    world.ok(&["events", "emit", "{\"type\":\"t\"}"]);
    for words in [&["events", "list"][..], &["events", "show", "1"]] {
        assert!(!world.ok(words).contains('\u{1b}'));
        assert!(world.ok(&[words, &["--color", "always"]].concat()).contains('\u{1b}'));
    }
    assert!(!world.ok(&["list", "--color", "never"]).contains('\u{1b}'));
}

#[test]
fn pages_fit_eighty_columns() {
    let world = World::with(&["a-name-of-some-length"]);
    let wide = format!("{{\"{}\":\"{}\"}}", "k".repeat(200), "v".repeat(200));
    world.ok(&["state", "set", &wide]);
    world.ok(&["checkpoints", "create", "--label", &"label ".repeat(30)]);
    let event = format!("{{\"type\":\"{0}\",\"text\":\"{0}\"}}", "t".repeat(300));
    world.ok(&["events", "emit", &event]);
    let unknown = ["step", "run", &"s".repeat(100), "--on-unknown", "review", "--", "false"];
    for code in [1, 69] {
        world.fails(code, &unknown);
    }
    let running = world.idle("a-name-of-some-length");
    world.ok(&["events", "next"]);
    world.ok(&["events", "nack", "1", "1", "--dead", "--reason", &"why ".repeat(50)]);
    drop(running);
    for words in [
        &["list"][..],
        &["status"],
        &["events", "list"],
        &["events", "list", "--dead"],
        &["reviews", "list"],
        &["state", "history"],
        &["checkpoints", "list"],
        &["crashes", "list", "--all"],
    ] {
        let seen = output(world.adrt(words).env("COLUMNS", "80"));
        let page = String::from_utf8(seen.stdout).expect("text");
        for line in page.lines() {
            assert!(line.chars().count() <= 80, "{words:?}: {line}");
        }
    }
}

#[test]
fn every_command_has_help_of_eighty_columns() {
    fn visit(command: &clap::Command, path: &[&str], seen: &mut Vec<Vec<String>>) {
        seen.push(path.iter().map(|&word| word.to_owned()).collect());
        for below in command.get_subcommands() {
            visit(below, &[path, &[below.get_name()]].concat(), seen);
        }
    }
    let mut commands = Vec::new();
    visit(&adrt::cli::args::command(), &[], &mut commands);
    let world = World::new();
    for mut words in commands {
        words.push("--help".to_owned());
        let long = world.ok(&words);
        for line in long.lines() {
            assert!(line.chars().count() <= 80, "{words:?}: {line}");
        }
        assert!(long.ends_with('\n') && !long.ends_with("\n\n"), "{words:?}");
        words.pop();
        words.push("-h".to_owned());
        assert_eq!(world.ok(&words), long, "{words:?}");
    }
}

#[test]
fn completions_for_every_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(world.ok(&["completions", shell]).contains("checkpoints"), "{shell}");
    }
    world.fails(2, &["completions", "tcsh"]);
}
