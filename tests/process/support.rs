//! A process for each test, and waiting for conditions.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use adrt::clock;
use adrt::process::kin::Kin;
use adrt::process::reap::{Ended, Reaper, become_subreaper};
use adrt::process::spawn::{self, Child, LocalSpawner, Stdin};
use adrt::process::table;
use adrt::supervisor::io::{Exit, SpawnFailure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

#[path = "../support/cgroup.rs"]
#[expect(dead_code, reason = "tests of the whole binary use the rest")]
pub mod cgroup;

/// Names the test that is to run in this process.
const ISOLATED: &str = "ADRT_TEST_ISOLATED";

/// How long a condition may take to come true on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A test that hangs is ended by SIGALRM after so many seconds.
const ALARM_SECONDS: u32 = 90;

/// The name libtest knows a test of this module by.
#[macro_export]
macro_rules! test_name {
    ($name:ident) => {
        concat!(module_path!(), "::", stringify!($name)).split_once("::").unwrap().1
    };
}

/// Declares tests whose bodies run in processes of their own.
#[macro_export]
macro_rules! isolated {
    ($($(#[$attribute:meta])* fn $name:ident() $body:block)*) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            $crate::support::isolate($crate::test_name!($name), &[], || $body);
        }
    )*};
}

/// Runs `body` in a new process with these variables in its environment. The
/// process is this test binary, asked for this one test.
pub fn isolate(name: &str, env: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os(ISOLATED).is_some_and(|isolated| isolated == name) {
        nix::unistd::alarm::set(ALARM_SECONDS);
        return body();
    }
    let output = itself(name).envs(env.iter().copied()).output().unwrap();
    assert!(
        output.status.success(),
        "{name}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// This binary, to run one of its tests isolated, be it an ignored one.
pub fn itself(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([name, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"])
        .env(ISOLATED, name);
    command
}

/// Calls `look` until it finds something; panics after [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = clock::mono();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock::mono().since(begin) < PATIENCE, "waited too long for: {what}");
        std::thread::yield_now();
    }
}

/// An adrt of nothing but its process part.
pub struct World {
    pub reaper: Reaper,
    pub spawner: LocalSpawner,
    /// Ended leaders that no test has asked for yet.
    ended: Vec<Ended>,
}

impl World {
    pub fn new() -> Self {
        become_subreaper().unwrap();
        Self::without_adoption()
    }

    /// Where the kernel or a sandbox makes no subreaper of us.
    pub fn without_adoption() -> Self {
        let reaper = Reaper::new();
        let spawner = LocalSpawner::new(reaper.roster()).unwrap();
        Self { reaper, spawner, ended: Vec::new() }
    }

    /// For one agent, whose processes are told from others by this.
    pub fn for_kin(kin: Arc<Kin>) -> Self {
        become_subreaper().unwrap();
        let reaper = Reaper::for_kin(kin);
        let spawner = LocalSpawner::new(reaper.roster()).unwrap();
        Self { reaper, spawner, ended: Vec::new() }
    }

    pub fn spawn(&mut self, command: spawn::Command) -> Child {
        self.spawner.spawn(command).unwrap()
    }

    pub fn fail(&mut self, argv: &[&str]) -> SpawnFailure {
        self.spawner.spawn(command(argv)).expect_err("it was started")
    }

    pub fn shell(&mut self, script: &str) -> Child {
        self.spawn(sh(script))
    }

    /// Waits for the end of this child.
    pub fn end(&mut self, pid: i32) -> Exit {
        wait_for("the end of a child", || {
            self.ended.extend(self.reaper.reap());
            let at = self.ended.iter().position(|ended| ended.pid == pid)?;
            Some(self.ended.swap_remove(at).exit)
        })
    }

    /// Runs a command to its end; its stdout and its exit.
    pub fn run(&mut self, command: spawn::Command) -> (Vec<u8>, Exit) {
        let child = self.spawn(command);
        let stdout = read_all(child.stdout);
        (stdout, self.end(child.process.pid))
    }

    /// What a shell script prints.
    pub fn print(&mut self, script: &str) -> String {
        String::from_utf8(self.run(sh(script)).0).unwrap()
    }

    /// Waits until we have no children left, reaping meanwhile.
    pub fn wait_childless(&mut self) {
        wait_for("all children to be gone", || {
            self.ended.extend(self.reaper.reap());
            let me = i32::try_from(std::process::id()).unwrap();
            table::all().unwrap().iter().all(|process| process.parent != me).then_some(())
        });
    }
}

pub fn command(argv: &[&str]) -> spawn::Command {
    spawn::Command {
        argv: argv.iter().map(OsString::from).collect(),
        env: std::env::vars_os().collect(),
        stdin: Stdin::Wire,
        cwd: None,
    }
}

pub fn sh(script: &str) -> spawn::Command {
    command(&["/bin/sh", "-c", script])
}

/// Reads a non-blocking pipe to its end.
pub fn read_all(pipe: OwnedFd) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = File::from(pipe);
    loop {
        wait_readable(&file);
        match file.read_to_end(&mut bytes) {
            Ok(_) => return bytes,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads a non-blocking pipe up to and without the next newline.
pub fn read_line(pipe: &OwnedFd) -> String {
    let mut line = Vec::new();
    let mut file = File::from(pipe.try_clone().unwrap());
    loop {
        wait_readable(&file);
        let mut byte = [0];
        assert_eq!(file.read(&mut byte).unwrap(), 1, "closed after {line:?}");
        if byte == *b"\n" {
            return String::from_utf8(line).unwrap();
        }
        line.push(byte[0]);
    }
}

pub fn wait_readable(fd: impl AsFd) {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    let patience = PollTimeout::try_from(PATIENCE).unwrap();
    loop {
        match poll(&mut fds, patience) {
            Ok(count) => return assert_eq!(count, 1, "nothing to read"),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => panic!("{errno}"),
        }
    }
}

/// Waits until no process has this number, or only its remains.
pub fn wait_dead(pid: i32) {
    wait_for("a process to die", || table::entry(pid).is_none_or(|it| it.zombie).then_some(()));
}

/// What a thread sends, or a panic after [`PATIENCE`].
pub fn receive<T>(channel: &mpsc::Receiver<T>) -> T {
    channel.recv_timeout(PATIENCE).expect("nothing came")
}
