//! adrt as the job of a shell on a real terminal: the keys that a person
//! presses, job control, and a terminal that is closed.

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::AsFd as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;

use crate::support::process::{Capture, is_alive, wait_dead};
use crate::support::{Puppets, Run, World, kill, wait_for};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";
const CTRL_BACKSLASH: &str = "\x1c";

/// So long that no test lives to see its end.
const NEVER: &str = "1h";
/// Reads lines, and says what they were.
const PARROT: &str = "while read line; do echo heard:$line; done; echo over";

/// A person at a terminal, with a shell that has job control.
struct Terminal {
    world: World,
    keyboard: File,
    screen: Capture,
    shell: Run,
    closed: Arc<AtomicBool>,
    reader: JoinHandle<()>,
}

/// Reads a terminal until it is to be closed: a read that waits would keep it.
struct Screen {
    file: File,
    closed: Arc<AtomicBool>,
}

impl Read for Screen {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if self.closed.load(Ordering::Acquire) {
                return Ok(0);
            }
            let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            let _nothing_yet = poll(&mut fds, PollTimeout::from(10_u8));
            match self.file.read(space) {
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }
}

impl Terminal {
    fn new() -> Self {
        let world = World::new();
        let pty = nix::pty::openpty(None, None).unwrap();
        fcntl(&pty.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        fcntl(&pty.slave, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        let mut shell = world.program("setsid");
        shell.args(["--ctty", "bash", "--norc", "--noprofile", "-i"]);
        shell.env("PS1", "ready> ").env("HISTFILE", "");
        let theirs = || Stdio::from(pty.slave.try_clone().unwrap());
        shell.stdin(theirs()).stdout(theirs()).stderr(theirs());
        let shell = Run::start_as_it_is(shell);
        let keyboard = File::from(pty.master);
        fcntl(&keyboard, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let closed = Arc::<AtomicBool>::default();
        let file = keyboard.try_clone().unwrap();
        let (screen, reader) = Capture::of(Screen { file, closed: Arc::clone(&closed) });
        screen.wait_for("ready> ");
        Self { world, keyboard, screen, shell, closed, reader }
    }

    /// Closes its window.
    fn close(self) -> World {
        let Self { world, keyboard, mut shell, closed, reader, .. } = self;
        closed.store(true, Ordering::Release);
        reader.join().unwrap();
        drop(keyboard);
        shell.wait();
        world
    }

    /// What was on the screen before is wiped away.
    fn press(&mut self, keys: &str) {
        self.screen.take();
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a command, of which nothing is to be found on the screen later.
    fn enter(&mut self, command: &str) {
        self.keyboard.write_all(format!("{command}\n").as_bytes()).unwrap();
    }

    /// `adrt run` with these options, as a script that can be typed.
    fn job<S: AsRef<std::ffi::OsStr>>(
        &self,
        options: &[&str],
        argv: impl IntoIterator<Item = S>,
    ) -> String {
        let command = self.world.run_command(options, argv);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let quoted: Vec<String> = words
            .map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''")))
            .collect();
        self.world.script("job", &format!("exec {}", quoted.join(" ")));
        "./job".into()
    }

    /// Starts a puppet in the foreground.
    fn puppets(&mut self, options: &[&str]) -> Puppets {
        let puppets = self.world.puppets();
        let mut all = vec!["--no-python-client", "--stop-timeout", NEVER];
        all.extend(options);
        let job = self.job(&all, puppets.argv());
        self.enter(&job);
        puppets
    }

    /// Starts a shell script in the foreground.
    fn script(&mut self, options: &[&str], script: &str) {
        let mut all = vec!["--stop-timeout", NEVER];
        all.extend(options);
        let job = self.job(&all, ["/bin/sh", "-c", script]);
        self.enter(&job);
    }

    /// The exit code of the last command, when the shell has it.
    fn code(&mut self) -> String {
        self.screen.wait_for("ready> ");
        // What is typed is shown, too, and is not to be taken for the answer.
        self.enter("echo co''de=$?.");
        self.screen.after("code=").split('.').next().unwrap().to_owned()
    }

    /// Its process, as soon as it holds the lock.
    fn adrt(&self) -> i32 {
        let lock = self.world.state_dir().join("a/lock");
        wait_for("the lock to be held", || {
            let holder = std::fs::read_to_string(&lock).ok()?;
            let digits = holder.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
            digits?.parse().ok()
        })
    }

    fn end(&self) -> serde_json::Value {
        self.world.ends().pop().unwrap()
    }
}

fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.contains(") T ")
}

fn wait_stopped(pid: i32, stopped: bool) {
    let what = format!("{pid} to be {}", if stopped { "stopped" } else { "going on" });
    wait_for(&what, || (is_stopped(pid) == stopped).then_some(()));
}

#[test]
fn ctrl_c_stops_in_order() {
    let mut terminal = Terminal::new();
    let mut puppet = terminal.puppets(&[]).next();
    puppet.initialize();
    terminal.press(CTRL_C);
    assert_eq!(puppet.wire.read()["method"], "shutdown");
    terminal.screen.wait_for("stopping the agent: SIGINT from the terminal asked for it");
    puppet.wire.ask("state.set", r#"{"value":{"last":"words"}}"#).unwrap();
    puppet.exit(0);
    assert_eq!(terminal.code(), "0");
    assert_eq!(terminal.world.state().1, json!({"last": "words"}));
    assert_eq!(terminal.end()["class"], "stopped");
}

#[test]
fn ctrl_c_twice_ends_it_at_once() {
    let mut terminal = Terminal::new();
    let mut puppet = terminal.puppets(&[]).next();
    puppet.initialize();
    terminal.press(CTRL_C);
    terminal.screen.wait_for("stopping the agent");
    terminal.press(CTRL_C);
    assert_eq!(terminal.code(), "0");
    terminal.screen.wait_for("asked a second time to stop");
    let end = terminal.end();
    assert_eq!((&end["class"], &end["signal"]), (&json!("stopped"), &json!(9)));
}

#[test]
fn ctrl_backslash_ends_it_with_a_trace() {
    let mut terminal = Terminal::new();
    let mut puppet = terminal.puppets(&[]).next();
    puppet.initialize();
    puppet.ask("import faulthandler; faulthandler.enable()");
    terminal.press(CTRL_BACKSLASH);
    assert_eq!(terminal.code(), "0");
    terminal.screen.wait_for("SIGQUIT from the terminal asked for it");
    terminal.screen.wait_for("Fatal Python error: Aborted");
    let end = terminal.end();
    assert_eq!((&end["class"], &end["signal"]), (&json!("stopped"), &json!(6)));
}

#[test]
fn ctrl_z_stops_both_and_fg_lets_both_go_on() {
    let mut terminal = Terminal::new();
    let mut puppet = terminal.puppets(&["--hang-timeout", NEVER]).next();
    puppet.initialize();
    let adrt = terminal.adrt();
    for how in ["fg", "bg", "fg"] {
        // Whether in the foreground or not: `kill %1` and Ctrl-Z are alike then.
        if how == "fg" {
            terminal.press(CTRL_Z);
        } else {
            kill(adrt, 20);
        }
        wait_stopped(adrt, true);
        wait_stopped(puppet.pid, true);
        terminal.screen.wait_for("Stopped");
        terminal.screen.take();
        terminal.enter(how);
        wait_stopped(adrt, false);
        wait_stopped(puppet.pid, false);
        puppet.wire.ask("state.patch", json!({"patch": {"how": how}})).unwrap();
        if how == "bg" {
            terminal.enter("fg");
        }
        // The shell's own word on it: the job is in the foreground again.
        wait_for("the job in the foreground", || {
            let stat = std::fs::read_to_string(format!("/proc/{adrt}/stat")).unwrap();
            let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
            (fields[2] == fields[5]).then_some(())
        });
    }
    terminal.press(CTRL_C);
    assert_eq!(puppet.wire.read()["method"], "shutdown");
    puppet.exit(0);
    assert_eq!(terminal.code(), "0");
}

#[test]
fn a_closed_terminal_stops_the_run() {
    let mut terminal = Terminal::new();
    let mut puppet = terminal.puppets(&[]).next();
    puppet.initialize();
    let world = terminal.close();
    assert_eq!(puppet.wire.read()["method"], "shutdown");
    puppet.wire.ask("state.set", r#"{"value":{"last":"words"}}"#).unwrap();
    puppet.exit(0);
    wait_for("the end of it all", || (world.status()["phase"] == "stopped").then_some(()));
    assert_eq!(world.state().1, json!({"last": "words"}));
    assert_eq!(world.ends().pop().unwrap()["class"], "stopped");
}

#[test]
fn an_agent_that_has_the_terminal_gets_ctrl_c_itself() {
    let by_code = "trap 'exit 130' INT; echo up; while :; do sleep 1000; done";
    for script in ["echo up; exec sleep 1000", by_code] {
        let mut terminal = Terminal::new();
        terminal.script(&["--stdin", "inherit"], script);
        terminal.screen.wait_for("\nup");
        terminal.press(CTRL_C);
        assert_eq!(terminal.code(), "0");
        terminal.screen.wait_for("SIGINT from the terminal asked for it");
        assert_eq!(terminal.world.ends().len(), 1, "it is not started again");
    }
}

#[test]
fn an_agent_that_has_the_terminal_is_suspended_with_its_adrt() {
    let mut terminal = Terminal::new();
    terminal.script(&["--stdin", "inherit"], PARROT);
    terminal.enter("one");
    terminal.screen.wait_for("heard:one");
    let adrt = terminal.adrt();
    for round in ["two", "three"] {
        terminal.press(CTRL_Z);
        wait_stopped(adrt, true);
        // The shell reads again what is typed.
        terminal.enter("echo shell$((40 + 2))");
        terminal.screen.wait_for("shell42");
        terminal.screen.take();
        terminal.enter("fg");
        wait_stopped(adrt, false);
        terminal.enter(round);
        terminal.screen.wait_for(&format!("heard:{round}"));
    }
    terminal.press(CTRL_D);
    terminal.screen.wait_for("over");
    assert_eq!(terminal.code(), "0");
}

#[test]
fn a_background_job_that_reads_waits_for_fg() {
    let mut terminal = Terminal::new();
    let job =
        terminal.job(&["--stdin", "inherit", "--stop-timeout", NEVER], ["/bin/sh", "-c", PARROT]);
    // The shell tells of what becomes of a job as soon as it knows.
    terminal.enter("set -b");
    terminal.enter(&format!("{job} &"));
    let adrt = terminal.adrt();
    wait_stopped(adrt, true);
    terminal.screen.wait_for("Stopped");
    terminal.enter("fg");
    wait_stopped(adrt, false);
    terminal.enter("now");
    terminal.screen.wait_for("heard:now");
    terminal.press(CTRL_D);
    assert_eq!(terminal.code(), "0");
}

#[test]
fn a_wire_agents_job_in_the_background_just_runs() {
    let mut terminal = Terminal::new();
    let puppets = terminal.world.puppets();
    let job = terminal.job(&["--no-python-client", "--stop-timeout", NEVER], puppets.argv());
    terminal.enter(&format!("{job} &"));
    let mut puppet = puppets.next();
    puppet.initialize();
    puppet.wire.ask("state.set", r#"{"value":{}}"#).unwrap();
    // A shell that is left leaves it running; who stops it is told.
    terminal.enter("kill %1");
    assert_eq!(puppet.wire.read()["method"], "shutdown");
    let pid = terminal.shell.pid();
    let told = terminal.screen.after("stopping the agent: SIGTERM from pid ");
    assert!(told.starts_with(&format!("{pid} (bash, uid ")), "{told}");
    let gone = puppet.pid;
    puppet.exit(0);
    wait_dead(gone);
    assert!(is_alive(pid));
}
