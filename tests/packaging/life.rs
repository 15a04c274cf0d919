//! A short life of an agent, under the adrt of these tests and under those that
//! were built for other machines, which qemu runs here.
//!
//! `ADRT_STATIC_BINARIES` names the latter, with `:` between them;
//! `packaging/check` builds them and sets it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::{Puppet, World, kill, process::wait_dead};

/// How a machine is numbered in an ELF header, and how its qemu is called.
const MACHINES: [(u16, &str); 2] = [(40, "qemu-arm"), (183, "qemu-aarch64")];
/// The oldest qemu that is known to let a program adopt orphans
/// (`PR_SET_CHILD_SUBREAPER`), without which adrt starts no agent: 7.2, which
/// is Debian 12's, does not; its backports have this one.
const QEMU_MAJOR_MIN: u32 = 10;
/// Where that number is, in a header of either word size.
const ELF_MACHINE_AT: usize = 18;

#[test]
fn it_lives_under_this_adrt() {
    a_life(&World::new());
}

#[test]
fn it_lives_under_adrt_for_other_machines() {
    let Some(list) = std::env::var_os("ADRT_STATIC_BINARIES") else {
        println!("skipped: ADRT_STATIC_BINARIES names no binaries; packaging/check builds some");
        return;
    };
    for binary in std::env::split_paths(&list) {
        let Some(emulator) = emulator(&binary) else {
            println!("skipped: {}: no qemu-user for it here", binary.display());
            continue;
        };
        if is_too_old(&emulator) {
            println!("skipped: {} is older than {QEMU_MAJOR_MIN}.0", emulator.display());
            continue;
        }
        println!("{} by {}", binary.display(), emulator.display());
        let scripts = tempfile::tempdir().unwrap();
        a_life(&World::around(&under(&emulator, &binary, scripts.path())));
    }
}

/// What runs such binaries here: qemu, or nothing at all for this machine's own.
fn emulator(binary: &Path) -> Option<PathBuf> {
    let header = std::fs::read(binary).unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
    let machine = u16::from_le_bytes([header[ELF_MACHINE_AT], header[ELF_MACHINE_AT + 1]]);
    let Some((_, name)) = MACHINES.iter().find(|(number, _)| *number == machine) else {
        return Some("/usr/bin/env".into());
    };
    let path = std::env::var_os("PATH").unwrap();
    let mut names = std::env::split_paths(&path)
        .flat_map(|dir| [dir.join(name), dir.join(format!("{name}-static"))]);
    names.find(|path| path.exists())
}

fn is_too_old(emulator: &Path) -> bool {
    let told = Command::new(emulator).arg("--version").output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let Some((_, version)) = told.split_once("version ") else { return false };
    let major = version.split('.').next().unwrap();
    major.parse::<u32>().unwrap_or_else(|e| panic!("{told}: {e}")) < QEMU_MAJOR_MIN
}

/// A program that is adrt to whoever starts it.
fn under(emulator: &Path, binary: &Path, dir: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let binary = binary.canonicalize().unwrap();
    let script = format!("#!/bin/sh\nexec {} {} \"$@\"\n", emulator.display(), binary.display());
    let path = dir.join("adrt");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn a_life(world: &World) {
    let version = world.done(["--version"]);
    assert_eq!(
        String::from_utf8_lossy(&version.stdout),
        concat!("adrt ", env!("CARGO_PKG_VERSION"), "\n"),
        "{version:?}"
    );
    without_an_agent(world);
    over_crashes(world);
    of_a_script(world);
}

/// The state is read and written while no agent runs.
fn without_an_agent(world: &World) {
    let born = world.run(&[], ["true"]).done();
    assert_eq!(born.code, Some(0), "{born:?}");
    let patched = world.done(["state", "patch", "a", r#"{"n":1,"large":18014398509481985}"#]);
    assert_eq!(patched.code, Some(0), "{patched:?}");
    assert_eq!(world.state(), (1, json!({"n": 1, "large": 18_014_398_509_481_985_u64})));
}

/// The agent is killed, then adrt, then both are asked to end.
fn over_crashes(world: &World) {
    // A limit that no address of 32 bits can say.
    let options = ["--backoff-initial", "1ms", "--max-frame", "8GiB", "--max-db", "8GiB"];
    let puppets = world.puppets();
    let mut run = world.run(&options, puppets.argv());
    let mut agent = puppets.next();
    started(&mut agent, "resume", 1);
    patch(&mut agent, 2);
    kill(agent.pid, 9);

    let mut agent = puppets.next();
    started(&mut agent, "crash", 2);
    patch(&mut agent, 3);
    run.kill();
    wait_dead(agent.pid);

    let run = world.run(&options, puppets.argv());
    let mut agent = puppets.next();
    started(&mut agent, "resume", 3);
    patch(&mut agent, 4);
    let done = run.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(world.state().1["n"], 4);
    let crashes = world.crash_list();
    assert!(crashes.iter().any(|crash| crash["signal"] == 9), "{crashes:?}");
    world.wait_empty();
}

/// It was started for this reason, and has what it had.
fn started(agent: &mut Puppet, reason: &str, n: u64) {
    let greeting = agent.initialize();
    assert_eq!(greeting["start"]["reason"], reason, "{greeting}");
    assert_eq!(greeting["state"]["value"]["n"], n, "{greeting}");
}

fn patch(agent: &mut Puppet, n: u64) {
    agent.wire.ask("state.patch", json!({"patch": {"n": n}})).unwrap();
}

/// A program without any library, which speaks the wire.
fn of_a_script(world: &World) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/agent.sh");
    let mut command = world.adrt(["run", "-n", "steps", "--", "sh", script, "--wire"]);
    command.env("STEP_SECONDS", "0");
    let done = crate::support::Done::of(command);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.ends_with(b"step 5\n"), "{done:?}");
    assert_eq!(world.json(&["state", "show", "steps", "--json"])["state"]["done"], 5);
}
