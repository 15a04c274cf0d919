//! A command that knows no protocol runs as it would without adrt.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;

use crate::support::{Run, World, python, wait_for};

#[test]
fn its_output_is_passed_on_byte_for_byte() {
    let world = World::new();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut bytes: Vec<u8> = (0..=255).collect();
    bytes.extend((0..1 << 20).map(|_| rng.u8(..)));
    bytes.extend_from_slice(b"{\"jsonrpc\":\"2.0\"}\r\n{\xff\n\n{\n no end of line");
    world.file("bytes", &bytes);
    let done = world.run_shell(&[], "cat bytes").done();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout == bytes, "stdout came out changed");
    let mut run = world.run_shell(&[], "exec cat bytes >&2");
    run.wait();
    wait_for("all of stderr", || (run.stderr.len() >= bytes.len()).then_some(()));
    let said = run.stderr.bytes();
    assert!(memchr::memmem::find(&said, &bytes).is_some(), "stderr came out changed");
}

#[test]
fn its_stdin_is_a_pipe_with_nothing_in_it() {
    let world = World::new();
    let script = "import os, select, stat\n\
                  assert stat.S_ISFIFO(os.fstat(0).st_mode)\n\
                  assert select.select([0], [], [], 0.05)[0] == []\n\
                  print('nothing')";
    let mut command =
        world.run_command(&[], [python().as_os_str(), "-c".as_ref(), script.as_ref()]);
    command.stdin(Stdio::piped());
    let mut run = Run::start(command);
    run.type_in("not for the agent\n");
    let done = run.done();
    assert_eq!((done.code, &done.stdout[..]), (Some(0), &b"nothing\n"[..]), "{done:?}");
}

#[test]
fn with_stdin_inherit_it_reads_adrts() {
    let world = World::new();
    let script = "read line; echo \"got $line\"; cat; echo end";
    let mut command = world.run_command(&["--stdin", "inherit"], ["sh", "-c", script]);
    command.stdin(Stdio::piped());
    let mut run = Run::start(command);
    run.type_in("one\n");
    run.stdout.wait_for("got one\n");
    run.type_in("two\n");
    run.stdin = None;
    let done = run.done();
    assert_eq!((done.code, &done.stdout[..]), (Some(0), &b"got one\ntwo\nend\n"[..]));
}

#[test]
fn its_arguments_are_untouched() {
    let world = World::new();
    let script = r#"for word; do printf '[%s]' "$word"; done"#;
    let words: [&[u8]; 9] =
        [b"a b", b"", b"*", b"$HOME", b"\n", b"--json", b"--", b"\xff\xfe", b"'\"\\"];
    let argv = [&b"sh"[..], b"-c", script.as_bytes(), b"sh"].into_iter().chain(words);
    let done = world.run(&[], argv.map(std::ffi::OsStr::from_bytes)).done();
    let expected: Vec<u8> = words.iter().flat_map(|word| [b"[", *word, b"]"].concat()).collect();
    assert_eq!(done.stdout, expected, "{done:?}");
}

#[test]
fn its_environment() {
    let world = World::new();
    let mut command = world.run_command(&[], ["env", "-0"]);
    command
        .env("MINE", "a\nb")
        .env("NOTIFY_SOCKET", world.path("nobody"))
        .env("WATCHDOG_USEC", "60000000")
        .env("WATCHDOG_PID", "1")
        .env("LISTEN_FDS", "1")
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDNAMES", "x")
        .env("ADRT_TOKEN", "stale")
        .env("ADRT_INCARNATION", "77");
    let done = Run::start(command).done();
    assert_eq!(done.code, Some(0), "{done:?}");
    let text = String::from_utf8(done.stdout).unwrap();
    let get = |name: &str| {
        let prefix = format!("{name}=");
        let mut found = text.split('\0').filter_map(|line| line.strip_prefix(&prefix));
        let value = found.next();
        assert_eq!(found.next(), None, "{name} stands there twice");
        value
    };
    assert_eq!(get("MINE"), Some("a\nb"));
    assert_eq!(get("PYTHONUNBUFFERED"), Some("1"));
    for gone in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"] {
        assert_eq!(get(gone), None);
    }
    assert_eq!(get("LISTEN_FDNAMES"), None);
    assert_eq!(get("ADRT_AGENT"), Some("a"));
    assert_eq!(get("ADRT_PROTOCOL"), Some("1"));
    assert_eq!(get("ADRT_INCARNATION"), Some("1"));
    assert_eq!(get("ADRT_TEXT_FD"), Some("3"));
    assert_eq!(get("ADRT_STATE_DIR"), world.state_dir().to_str());
    assert_eq!(get("ADRT_TOKEN").map(str::len), Some(32));
    assert!(get("ADRT_SOCKET").is_some_and(|path| path.ends_with(".sock")), "{text}");
    assert!(get("ADRT_WIRE").is_some_and(|wire| !wire.is_empty()));
    assert!(get("PYTHONPATH").is_some(), "the Python client is at hand");
}

#[test]
fn pythonunbuffered_is_the_users_if_it_is_set() {
    for value in ["", "0"] {
        let world = World::new();
        let mut command = world.run_command(&[], ["sh", "-c", "echo \"[$PYTHONUNBUFFERED]\""]);
        command.env("PYTHONUNBUFFERED", value);
        let done = Run::start(command).done();
        assert_eq!(String::from_utf8(done.stdout).unwrap(), format!("[{value}]\n"));
    }
}

#[test]
fn a_python_print_is_there_before_the_agent_is_killed() {
    let world = World::new();
    let script = "print('printed'); import signal; signal.pause()";
    let argv = [python().as_os_str(), "-c".as_ref(), script.as_ref()];
    let run = world.run(&["--stop-timeout", "1s"], argv);
    run.stdout.wait_for("printed\n");
}

#[test]
fn it_finds_itself_as_a_shell_would_have_left_it() {
    let world = World::new();
    let script = "ls /proc/self/fd; grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; \
                  cut -d' ' -f5 /proc/$$/stat; echo $$; pwd; umask";
    let done = world.run_shell(&[], script).done();
    let text = String::from_utf8(done.stdout).unwrap();
    // ls itself has the directory open.
    assert!(text.starts_with("0\n1\n2\n3\n4\n"), "no descriptor but its own: {text}");
    assert!(!text.contains("\n5\n"), "{text}");
    for name in ["SigBlk", "SigIgn"] {
        assert!(text.contains(&format!("{name}:\t0000000000000000\n")), "{text}");
    }
    let lines: Vec<_> = text.lines().rev().collect();
    assert_eq!(lines[2], lines[3], "it leads a group of its own: {text}");
    assert_eq!(lines[1], world.path("").to_str().unwrap().trim_end_matches('/'));
}

#[test]
fn a_shell_agent_keeps_its_state_with_the_command_line() {
    let world = World::new();
    let adrt = env!("CARGO_BIN_EXE_adrt");
    let script = format!(
        "n=$('{adrt}' state get n 2>/dev/null || echo 0); echo had $n; \
         '{adrt}' state patch \"{{\\\"n\\\":$((n + 1))}}\" >/dev/null || exit 9; \
         [ $n = 3 ] || exit 1"
    );
    let options = ["--backoff-initial", "1ms", "--fatal-exit", "9"];
    let done = world.run_shell(&options, &script).done();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "had 0\nhad 1\nhad 2\nhad 3\n");
    assert_eq!(world.state(), (4, serde_json::json!({"n": 4})));
}

#[test]
fn a_flood_of_text_makes_the_agent_wait() {
    /// More than all pipes and queues on the way hold.
    const FLOOD_BYTES: u64 = 64 << 20;
    let world = World::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let script = format!("head -c {FLOOD_BYTES} /dev/zero; echo done >&2");
    let mut command = world.run_command(&[], ["sh", "-c", &script]);
    command.stdout(writer).stderr(Stdio::piped());
    let mut run = Run::start_as_it_is(command);
    // Operators are served while nobody reads.
    world.wait_for_phase("running");
    assert!(!run.stderr.contains("done\n"));
    let mut count = 0;
    let mut chunk = vec![0; 1 << 20];
    while count < FLOOD_BYTES {
        count += reader.read(&mut chunk).unwrap() as u64;
    }
    assert_eq!(run.wait().code(), Some(0));
    assert_eq!(reader.read(&mut chunk).unwrap(), 0, "not a byte more");
    assert!(run.stderr.contains("done\n"));
}

#[test]
fn an_ephemeral_run_leaves_no_file() {
    let world = World::new();
    let before = files(&world);
    let script = "echo started; [ -e once ] && exit 0; touch once; exit 1";
    let done = world.run_shell(&["--ephemeral", "--backoff-initial", "1ms"], script).done();
    assert_eq!((done.code, &done.stdout[..]), (Some(0), &b"started\nstarted\n"[..]), "{done:?}");
    std::fs::remove_file(world.path("once")).unwrap();
    assert_eq!(files(&world), before);
}

/// All there is in a world.
fn files(world: &World) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![world.path("")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.clone());
            if path.is_dir() {
                directories.push(path);
            }
        }
    }
    found.sort();
    found
}
