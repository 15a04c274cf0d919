//! adrt's own stdout and stderr, in every state they can be in: the agent and
//! its wire go on.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde_json::json;

use crate::support::{Puppet, Puppets, Run, World, wait_for};

/// Starts a run with its output as `prepare` has it.
fn start(world: &World, prepare: impl FnOnce(&mut Command)) -> (Run, Puppets) {
    let puppets = world.puppets();
    let options = ["--no-python-client", "--backoff-initial", "1ms", "--stop-timeout", "1s"];
    let mut command = world.run_command(&options, puppets.argv());
    prepare(&mut command);
    (Run::start_as_it_is(command), puppets)
}

/// A shell that does this with its descriptors and becomes the command.
fn redirected(world: &World, how: &str, puppets: &Puppets) -> Command {
    let mut shell = world.program("/bin/sh");
    let inner = world.run_command(
        &["--no-python-client", "--backoff-initial", "1ms", "--stop-timeout", "1s"],
        puppets.argv(),
    );
    shell.arg("-c").arg(format!("exec \"$@\" {how}")).arg("sh");
    shell.arg(inner.get_program()).args(inner.get_args());
    shell.stdout(Stdio::null()).stderr(Stdio::null());
    shell
}

/// Text on all ways, patches between, a crash, and all again: whatever has
/// become of adrt's output.
fn lives(world: &World, puppets: &Puppets, run: Run) {
    for round in 1..=2 {
        let mut puppet = puppets.next();
        chatter(&mut puppet, "before initialize\n");
        let greeting = puppet.initialize();
        assert_eq!(greeting["incarnation"], round);
        for n in 0..20 {
            chatter(&mut puppet, "{\"text\":1}\nhello\n");
            let patch = json!({"patch": {"n": n}});
            puppet.wire.ask("state.patch", patch).unwrap();
        }
        assert_eq!(world.status()["phase"], "running");
        if round == 1 {
            puppet.exit(1);
        } else {
            run.signal(15);
            assert_eq!(puppet.wire.read()["method"], "shutdown");
            puppet.exit(0);
        }
    }
    assert_eq!(run.done().code, Some(0));
    assert_eq!(world.state(), (40, json!({"n": 19})));
}

fn chatter(puppet: &mut Puppet, text: &str) {
    puppet.wire.write(text.as_bytes());
    // More than a pipe holds, so that it would block if it were not read.
    puppet.stderr.write_all(text.repeat(1000).as_bytes()).unwrap();
    puppet.text.as_ref().unwrap().write_all(text.repeat(1000).as_bytes()).unwrap();
}

#[test]
fn closed_or_full() {
    for how in [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"] {
        let world = World::new();
        let puppets = world.puppets();
        let run = Run::start_as_it_is(redirected(&world, how, &puppets));
        lives(&world, &puppets, run);
    }
}

#[test]
fn a_reader_that_goes_away() {
    let world = World::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let (run, puppets) = start(&world, |command| {
        command.stderr(writer.try_clone().unwrap()).stdout(writer);
    });
    drop(reader);
    lives(&world, &puppets, run);
}

#[test]
fn a_reader_that_has_seen_enough() {
    let world = World::new();
    let puppets = world.puppets();
    let mut pipeline = redirected(&world, "| head -n 1", &puppets);
    pipeline.stdout(Stdio::piped());
    let run = Run::start_as_it_is(pipeline);
    let mut puppet = puppets.next();
    puppet.initialize();
    puppet.text.as_ref().unwrap().write_all(b"first\nsecond\n").unwrap();
    run.stdout.wait_for("first\n");
    for n in 0..20 {
        chatter(&mut puppet, "hello\n");
        puppet.wire.ask("state.patch", json!({"patch": {"n": n}})).unwrap();
    }
    let stop = Run::start(world.adrt(["stop", "a"]));
    assert_eq!(puppet.wire.read()["method"], "shutdown");
    puppet.exit(0);
    assert_eq!(stop.done().code, Some(0));
    assert_eq!(run.done().stdout, b"first\n");
    assert_eq!(world.state(), (20, json!({"n": 19})));
}

#[test]
fn a_reader_that_never_reads_holds_up_text_alone() {
    const TEXT_BYTES: usize = 8 << 20;
    let world = World::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (run, puppets) = start(&world, |command| {
        command.stdout(writer).stderr(Stdio::null());
    });
    let mut puppet = puppets.next();
    puppet.initialize();
    // A thread of the agent's prints more than all queues on the way hold.
    puppet.ask(&format!(
        "import threading\n\
         def flood():\n\
         \x20   text = bytes(range(256)) * ({TEXT_BYTES} // 256)\n\
         \x20   while text: text = text[os.write(3, text):]\n\
         threading.Thread(target=flood, daemon=True).start()"
    ));
    for n in 0..200 {
        puppet.wire.ask("state.patch", json!({"patch": {"n": n}})).unwrap();
    }
    assert_eq!(world.status()["version"], 200);
    // When it reads at last, nothing is missing.
    let mut text = vec![0; TEXT_BYTES];
    reader.read_exact(&mut text).unwrap();
    assert!(text.iter().enumerate().all(|(at, byte)| *byte == (at % 256) as u8));
    // And a stop does not wait for it.
    puppet.tell("[os.write(3, bytes(65536)) for _ in range(1000)]");
    let done = run.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    drop(reader);
}

#[test]
fn a_terminal_that_goes_away_ends_the_run() {
    let world = World::new();
    let terminal = nix::pty::openpty(None, None).unwrap();
    let slave = terminal.slave;
    // Or adrt would have the other end as well, and it would never go away.
    fcntl(&terminal.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    let (mut run, puppets) = start(&world, |command| {
        command.stdin(slave.try_clone().unwrap());
        command.stderr(slave).stdout(Stdio::null());
    });
    let mut puppet = puppets.next();
    puppet.initialize();
    // While it is there, a SIGHUP of anybody's has the rules read again.
    run.signal(1);
    puppet.wire.ask("state.set", r#"{"value":{}}"#).unwrap();
    drop(terminal.master);
    run.signal(1);
    assert_eq!(puppet.wire.read()["method"], "shutdown");
    puppet.exit(0);
    assert_eq!(run.wait().code(), Some(0));
}

#[test]
fn a_hangup_without_a_terminal_is_no_stop() {
    let world = World::new();
    let (run, puppets) = start(&world, |command| {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    });
    let mut puppet = puppets.next();
    puppet.initialize();
    run.signal(1);
    wait_for("its word on it", || run.stderr.contains("reload").then_some(()));
    puppet.wire.ask("state.set", r#"{"value":{}}"#).unwrap();
}
