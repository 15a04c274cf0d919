//! `--env-file`: secrets that are read at each start, and never told.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::support::{Run, World, wait_for};

const QUICK: [&str; 4] = ["--backoff-initial", "1ms", "--backoff-max", "5ms"];

fn options(files: &[&std::path::Path]) -> Vec<String> {
    let named = files.iter().flat_map(|file| ["--env-file".into(), file.display().to_string()]);
    QUICK.iter().map(|word| (*word).to_owned()).chain(named).collect()
}

fn run(world: &World, files: &[&std::path::Path], script: &str) -> Run {
    let options = options(files);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    world.run_shell(&options, script)
}

#[test]
fn the_agent_has_them_and_later_files_win() {
    let world = World::new();
    let first = world.file("first.env", "# keys\nKEY=\"a b\"\nBOTH=1\nOUTER=file\n");
    let second = world.file("second.env", "BOTH=2\nPATH=/nowhere:/usr/bin:/bin\n");
    let script = "echo \"$KEY|$BOTH|$OUTER|$PYTHONUNBUFFERED|$PATH\"";
    let done = run(&world, &[&first, &second], script).done();
    let out = String::from_utf8(done.stdout.clone()).unwrap();
    assert!(out.starts_with("a b|2|file|1|/nowhere:/usr/bin:/bin:/"), "{done:?}");
    // From the environment, and from the file of options, in which the name may
    // be relative.
    let mut command = world.run_command(&[], ["sh", "-c", "echo $BOTH"]);
    command.env("ADRT_ENV_FILE", "first.env,second.env");
    assert_eq!(Run::start(command).done().stdout, b"2\n");
}

#[test]
fn a_restart_takes_a_key_that_was_changed() {
    let world = World::new();
    let file = world.file("agent.env", "KEY=old-hunter2\n");
    let puppets = world.puppets();
    let words = options(&[&file]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut run = world.run(&words, puppets.argv());
    assert_eq!(puppets.next().env["KEY"], "old-hunter2");
    world.file("agent.env", "KEY=new-hunter2\n");
    let restarted = world.done(["restart", "a"]);
    assert_eq!(restarted.code, Some(0), "{restarted:?}");
    let puppet = puppets.next();
    assert_eq!(puppet.env["KEY"], "new-hunter2");
    // A crash is as good as a restart.
    world.file("agent.env", "KEY=newest-hunter2\n");
    puppet.exit(1);
    assert_eq!(puppets.next().env["KEY"], "newest-hunter2");
    // None of them is anywhere but in the agent.
    let command_line = std::fs::read(format!("/proc/{}/cmdline", run.pid())).unwrap();
    let environment = std::fs::read(format!("/proc/{}/environ", run.pid())).unwrap();
    run.signal(15);
    run.wait();
    let shown = world.done(["crashes", "list", "a", "--all", "--json"]).stdout;
    let mut seen = vec![command_line, environment, shown, run.stdout.bytes(), run.stderr.bytes()];
    seen.extend(files_in(&world.state_dir()));
    seen.extend(files_in(&world.path("run")));
    assert!(seen.len() > 6);
    assert!(seen.iter().all(|bytes| memchr::memmem::find(bytes, b"hunter2").is_none()));
}

/// What is in all files under a directory.
fn files_in(dir: &std::path::Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_in(&path));
        } else if path.is_file() {
            found.push(std::fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn a_mistake_is_told_before_anything_is_started() {
    let world = World::new();
    let fifo = world.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (bad, nowhere, dir) = (world.path("bad.env"), world.path("nowhere.env"), world.path(""));
    for (file, content, told) in [
        (&bad, "A=1\nhunter2\n", "bad.env, line 2, column 1"),
        (&bad, "A=\"hunter2\n", "bad.env, line 1, column 3"),
        (&bad, "A=1\n\nADRT_TOKEN=hunter2\n", "bad.env, line 3, column 1"),
        (&bad, "NOTIFY_SOCKET=hunter2\n", "NOTIFY_SOCKET is adrt's to set"),
        (&bad, "WATCHDOG_USEC=hunter2\n", "WATCHDOG_USEC is adrt's to set"),
        (&nowhere, "", "nowhere.env"),
        (&fifo, "", "it is no file"),
        (&dir, "", "it is no file"),
    ] {
        world.file("bad.env", content);
        let done = run(&world, &[file], "echo started").done();
        assert_eq!(done.code, Some(78), "{told}: {done:?}");
        assert!(done.stderr.contains(told), "{told}: {done:?}");
        assert_eq!(done.stderr.lines().count(), 3, "{done:?}");
        assert!(done.stdout.is_empty() && !done.stderr.contains("hunter2"), "{done:?}");
    }
    assert_eq!(std::fs::read_dir(world.state_dir()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_later_start_waits_until_the_file_is_mended() {
    let world = World::new();
    let file = world.file("agent.env", "KEY=1\n");
    let script = "echo \"key $KEY\"; [ \"$KEY\" = 3 ] && exit 0; \
                  printf 'KEY=2\\nhunter2\\n' > agent.env; exit 1";
    let run = run(&world, &[&file], script);
    let missed = || world.crash_list().into_iter().find(|end| end["class"] == "exec_failed");
    let row = wait_for("a start that failed", missed);
    let summary = row["summary"].as_str().unwrap();
    assert!(summary.contains("agent.env, line 2, column 1: this line has no ="), "{row}");
    assert_eq!((&row["crash"], &row["start_reason"]), (&json!(true), &json!("crash")));
    // In one step, or a start might see half of it.
    world.file("mended.env", "KEY=3\n");
    std::fs::rename(world.path("mended.env"), &file).unwrap();
    let done = run.done();
    assert_eq!((done.code, &done.stdout[..]), (Some(0), &b"key 1\nkey 3\n"[..]), "{done:?}");
    assert!(done.stderr.contains("agent not started") && !done.stderr.contains("hunter2"));
}

#[test]
fn a_file_that_others_may_write_is_warned_of() {
    let world = World::new();
    let file = world.file("agent.env", "KEY=1\n");
    for (mode, warned) in [(0o600, false), (0o644, false), (0o660, true), (0o666, true)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let done = run(&world, &[&file], "exit 0").done();
        assert_eq!(done.stderr.contains("others may write"), warned, "{mode:o}: {done:?}");
    }
}

#[test]
fn credentials_of_the_service_are_the_agents_to_read() {
    let world = World::new();
    let dir = world.path("credentials");
    std::fs::create_dir(&dir).unwrap();
    world.file("credentials/key", "secret\n");
    let mut command = world.run_command(&[], ["sh", "-c", "cat \"$CREDENTIALS_DIRECTORY/key\""]);
    command.env("CREDENTIALS_DIRECTORY", &dir);
    assert_eq!(Run::start(command).done().stdout, b"secret\n");
}
