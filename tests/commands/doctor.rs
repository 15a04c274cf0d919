//! `adrt doctor`: each thing it looks at, spoilt for real.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use crate::world::{World, assert_three_lines, output, text};

/// Its findings; it has ended as they say.
fn findings(command: &mut Command) -> Vec<Value> {
    let said = output(command);
    let complaint = String::from_utf8_lossy(&said.stderr);
    let report: Value =
        serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {complaint}"));
    let findings = report["findings"].as_array().expect("a list").clone();
    let count = |level: &str| findings.iter().filter(|found| found["level"] == level).count();
    let (warnings, problems) = (count("warning"), count("problem"));
    assert_eq!((&report["warnings"], &report["problems"]), (&warnings.into(), &problems.into()));
    assert_eq!(said.status.code(), Some(i32::from(warnings + problems > 0)), "{report}");
    for found in &findings {
        let is_ok = found["level"] == "ok";
        let told = ["why", "do"].map(|name| found[name].is_string());
        assert_eq!(told, [!is_ok; 2], "what is wrong has a reason and a cure: {found}");
        assert!(found["what"].as_str().is_some_and(|what| !what.is_empty()), "{found}");
    }
    findings
}

fn doctor(world: &World) -> Vec<Value> {
    findings(&mut world.adrt(&["doctor", "--json"]))
}

/// The worst that a check says.
fn level<'f>(findings: &'f [Value], check: &str) -> &'f str {
    let of = findings.iter().filter(|found| found["check"] == check);
    let levels: Vec<&str> = of.filter_map(|found| found["level"].as_str()).collect();
    let worst = ["problem", "warning", "ok"].into_iter().find(|level| levels.contains(level));
    worst.unwrap_or("nothing")
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode can be set");
}

/// All files of a world: their sizes and when they were changed.
fn files(dir: &Path, found: &mut BTreeMap<PathBuf, (u64, i64, i64)>) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let meta = entry.metadata().expect("is there");
        found.insert(entry.path(), (meta.len(), meta.mtime(), meta.mtime_nsec()));
        if meta.is_dir() {
            files(&entry.path(), found);
        }
    }
}

#[test]
fn a_sound_agent_and_none_at_all() {
    let world = World::new();
    let none = doctor(&world);
    assert_eq!(level(&none, "agents"), "ok");
    for check in ["state-directory", "disk", "clock", "kernel", "limits", "cgroups", "python"] {
        assert_ne!(level(&none, check), "nothing", "{check}: {none:?}");
    }
    assert!(!world.path("state").exists(), "it was made");

    let world = World::with(&["a"]);
    let mut before = BTreeMap::new();
    files(&world.path("state"), &mut before);
    let sound = doctor(&world);
    let mut after = BTreeMap::new();
    files(&world.path("state"), &mut after);
    assert!(
        before == after,
        "it has written: {:?}",
        after.keys().filter(|p| !before.contains_key(*p))
    );
    for check in ["state-directory", "database"] {
        assert_eq!(level(&sound, check), "ok", "{sound:?}");
    }
    for check in ["crashes", "dead-letters", "reviews", "reserve", "leftovers", "schema"] {
        assert_eq!(level(&sound, check), "nothing", "{sound:?}");
    }
    assert!(sound.iter().any(|found| found["agent"] == "a"));
    assert_three_lines(&world.fails(66, &["doctor", "nobody"]));
    let page = output(&mut world.adrt(&["doctor"])).stdout;
    let page = String::from_utf8(page).expect("text");
    assert!(page.contains("ok       a: sound, "), "{page}");
}

#[test]
fn what_a_person_is_to_look_at() {
    let world = World::new();
    let agent = world.script(
        "agent.sh",
        "#!/bin/sh\n\
         adrt events emit '{\"type\":\"x\"}' && adrt events next > event || exit 9\n\
         adrt events nack 1 1 --dead --reason no || exit 8\n\
         exit 7\n",
    );
    let words = ["run", "-n", "a", "--restart", "never", "--", text(&agent)];
    assert_eq!(output(&mut world.adrt(&words)).status.code(), Some(7));
    let found = doctor(&world);
    assert_eq!(level(&found, "crashes"), "warning", "{found:?}");
    assert_eq!(level(&found, "dead-letters"), "warning", "{found:?}");
    // Five in a row are worse.
    let words =
        ["run", "-n", "b", "--max-restarts", "4", "--backoff-initial", "1ms", "--", "false"];
    assert_eq!(output(&mut world.adrt(&words)).status.code(), Some(69));
    let found = findings(&mut world.adrt(&["doctor", "b", "--json"]));
    assert_eq!(level(&found, "crashes"), "problem", "{found:?}");
    assert!(found.iter().all(|found| found["agent"] != "a"), "{found:?}");
}

#[test]
fn damage_is_found() {
    let world = World::with(&["a", "b"]);
    world.ok(&["state", "set", "a", "{\"n\":1}"]);
    let db = world.path("state/a/db/adrt.db");
    let mut bytes = fs::read(&db).expect("a file");
    let (from, to) = (bytes.len() / 4, bytes.len() * 3 / 4);
    bytes[from..to].fill(0xa5);
    fs::write(&db, bytes).expect("writes");
    fs::write(world.path("state/b/db/adrt.db"), "no database at all").expect("writes");
    let found = doctor(&world);
    let of = |agent: &str| {
        let of: Vec<Value> = found.iter().filter(|f| f["agent"] == agent).cloned().collect();
        assert_eq!(level(&of, "database"), "problem", "{of:?}");
        of.iter().find(|found| found["check"] == "database").expect("one")["do"].to_string()
    };
    assert!(of("a").contains("salvage"));
    of("b");
}

#[test]
fn directories_and_what_lies_in_them() {
    let world = World::with(&["a"]);
    let state = world.path("state");
    mode(&state, 0o777);
    mode(&state.join("a"), 0o755);
    fs::remove_file(state.join("a/reserve")).expect("there is one");
    fs::create_dir(state.join("a/db.damaged-1")).expect("a directory");
    let found = doctor(&world);
    for (check, expected) in [
        ("state-directory", "problem"),
        ("agent-directory", "warning"),
        ("reserve", "warning"),
        ("leftovers", "warning"),
    ] {
        assert_eq!(level(&found, check), expected, "{check}: {found:?}");
    }
    fs::remove_dir(state.join("a/db.damaged-1")).expect("is empty");
    fs::rename(state.join("a/db"), world.path("db")).expect("moves");
    std::os::unix::fs::symlink(world.path("db"), state.join("a/db")).expect("a link");
    assert_eq!(level(&doctor(&world), "database"), "problem");
}

#[test]
fn disks() {
    let world = World::new();
    let state = world.path("state");
    fs::create_dir(&state).expect("a directory");
    let none = None::<&str>;
    let mounted = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
        .and_then(|()| {
            let options = Some("size=24m,nr_inodes=60,mode=700");
            mount(Some("tmpfs"), &state, Some("tmpfs"), MsFlags::empty(), options)
        });
    if let Err(errno) = mounted {
        println!("skipped: a tmpfs can't be mounted here ({errno})");
        return;
    }
    let found = doctor(&world);
    assert_eq!(level(&found, "file-system"), "warning", "{found:?}");
    assert_eq!(level(&found, "disk"), "problem", "too few inodes: {found:?}");
    let inodes = found.iter().any(|f| f["why"].as_str().is_some_and(|why| why.contains("inodes")));
    assert!(inodes, "{found:?}");
    world.ok(&["run", "-n", "a", "--no-python-client", "--", "true"]);
    fs::write(state.join("filler"), vec![1; 12 << 20]).expect("there is room");
    let full = doctor(&world);
    let room = full.iter().find(|f| f["check"] == "disk").expect("one");
    assert_eq!(room["level"], "problem", "{full:?}");
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(none, &state, none, read_only, none).expect("it can be remounted");
    let found = doctor(&world);
    assert_eq!(level(&found, "file-system"), "problem", "{found:?}");
    assert_eq!(level(&found, "database"), "ok", "it can still be read: {found:?}");
}

#[test]
fn surroundings() {
    let world = World::new();
    let bin = world.path("bin");
    fs::create_dir(&bin).expect("a directory");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("a PATH"));
    let look = || findings(world.adrt(&["doctor", "--json"]).env("PATH", &path));
    world.script("bin/python3", "#!/bin/sh\necho 3 7; echo /x/adrt/__init__.py; echo\n");
    world.script("bin/adrt", "#!/bin/sh\n");
    let found = look();
    for check in ["python", "python-adrt", "adrt-on-path"] {
        assert_eq!(level(&found, check), "warning", "{check}: {found:?}");
    }
    world.script("bin/python3", "#!/bin/sh\necho broken >&2; exit 1\n");
    assert_eq!(level(&look(), "python"), "warning");
    let found = findings(world.adrt(&["doctor", "--json"]).env("TZ", "Middle-earth/Shire"));
    assert_eq!(level(&found, "time-zone"), "warning", "{found:?}");
    let mut limited = world.adrt(&["unused"; 0]);
    let line = format!("ulimit -n 64; exec '{}' doctor --json", env!("CARGO_BIN_EXE_adrt"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(world.path(""));
    shell.env_clear().envs(limited.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.env_clear();
    assert_eq!(level(&findings(&mut shell), "limits"), "warning");
}

#[test]
fn an_adrt_that_does_not_answer() {
    let world = World::new();
    let running = world.idle("a");
    let found = doctor(&world);
    assert_eq!(level(&found, "running"), "nothing", "{found:?}");
    assert_eq!(level(&found, "budget"), "ok", "{found:?}");
    let pid = nix::unistd::Pid::from_raw(running.pid().try_into().expect("a number"));
    nix::sys::signal::kill(pid, nix::sys::signal::SIGSTOP).expect("it is there");
    let found = doctor(&world);
    assert_eq!(level(&found, "running"), "problem", "{found:?}");
    let running_said = found.iter().find(|f| f["check"] == "running").expect("it is there");
    assert_eq!(running_said["do"], format!("kill -CONT {pid}"));
    let page = world.ok(&["status"]);
    assert!(page.contains("unreachable") && page.contains("was stopped, as by SIGSTOP"), "{page}");
    let line = String::from_utf8(output(&mut world.adrt(&["status", "--check"])).stdout);
    assert!(line.expect("text").contains(&format!("; kill -CONT {pid} ")));
    assert_eq!(level(&found, "database"), "ok", "{found:?}");
}

#[test]
fn an_adrt_that_was_killed_and_not_started_again() {
    let world = World::new();
    drop(world.idle("a"));
    let found = doctor(&world);
    assert_eq!(level(&found, "lost"), "problem", "{found:?}");
    world.ok(&["run", "-n", "a", "--", "true"]);
    let found = doctor(&world);
    assert_eq!(level(&found, "lost"), "nothing", "{found:?}");
}

#[test]
fn a_narrow_screen_is_enough() {
    let world = World::with(&["a"]);
    let said = output(world.adrt(&["doctor"]).env("COLUMNS", "50"));
    let page = String::from_utf8(said.stdout).expect("text");
    assert!(
        page.lines().any(|line| line.starts_with("ok ") && line.chars().count() > 41),
        "{page}"
    );
    let is_word = |line: &str| line.trim().split(' ').count() == 1;
    assert!(page.lines().all(|line| line.chars().count() <= 50 || is_word(line)), "{page}");
    assert!(page.lines().any(|line| line.starts_with("         try: ")), "{page}");
}
