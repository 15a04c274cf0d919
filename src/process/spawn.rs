//! Starts a command the way an agent is to be started.
//!
//! One thread does all spawning, for as long as adrt lives: the kernel sends
//! a child its death signal when the *thread* that made it ends, not the
//! process. So when adrt is killed the agent is too, and no sooner.
//! Dropping the [`Spawner`] ends that thread, and with it every child.
//!
//! What a child gets: its arguments untouched; the environment it is given
//! plus `ADRT_TEXT_FD` and `ADRT_WIRE`; descriptors 0 to 3 and no other; a
//! process group of its own; default signal dispositions, nothing blocked.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::mpsc;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use super::child::{self, NotStarted, Setup, Stack};
use super::exec::Image;
use super::pipes::{self, Pipe};
use super::reap::Roster;
use super::table;
use super::terminal;
use crate::quiet;
use crate::supervisor::io::{ProcessIdentity, SpawnFailure};

/// Names the text pipe to the agent.
const TEXT_FD_VARIABLE: &str = "ADRT_TEXT_FD";

/// The text pipe's number in the child.
const TEXT_FD: &str = "3";

/// Device and inode of 0, 1 and 3, for clients to check that nothing between
/// adrt and them replaced one.
const WIRE_VARIABLE: &str = "ADRT_WIRE";

/// Stack of the spawning thread; the child has one of its own.
const THREAD_STACK_BYTES: usize = 256 * 1024;

/// Where the agent's stdin comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// A pipe that adrt writes.
    Wire,
    /// adrt's own; its terminal's foreground is lent along with it.
    /// `/dev/null` if adrt has none.
    Inherit,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Command {
    /// The command and its arguments, passed on as they are.
    pub argv: Vec<OsString>,
    /// The whole environment but `ADRT_TEXT_FD` and `ADRT_WIRE`, which are
    /// set here, in the place of any in it. Its `PATH` is what is searched.
    pub env: Vec<(OsString, OsString)>,
    /// Where its stdin comes from.
    pub stdin: Stdin,
    /// Its working directory; adrt's own if none is given.
    pub cwd: Option<PathBuf>,
}

/// A started command. The descriptors are adrt's ends: non-blocking and
/// close-on-exec.
#[derive(Debug)]
pub struct Child {
    /// Its process, which leads a group of its own.
    pub process: ProcessIdentity,
    /// To write its stdin; none with [`Stdin::Inherit`].
    pub stdin: Option<OwnedFd>,
    /// To read its stdout.
    pub stdout: OwnedFd,
    /// To read its stderr.
    pub stderr: OwnedFd,
    /// To read its descriptor 3.
    pub text: OwnedFd,
    /// Its group was put in the terminal's foreground; to be taken back with
    /// [`terminal::give_back_terminal`] when it has ended.
    pub has_terminal: bool,
}

type Make = Box<dyn FnOnce() -> Result<Command, SpawnFailure> + Send>;
type Done = Box<dyn FnOnce(Result<Child, SpawnFailure>) + Send>;

/// The thread that spawns.
#[derive(Debug)]
pub struct Spawner {
    orders: mpsc::Sender<(Make, Done)>,
}

impl Spawner {
    /// Starts the thread `adrt-spawn`. Children are entered in `roster`
    /// before anyone else can see them end.
    ///
    /// # Errors
    /// The system has no thread or memory to give.
    pub fn start(roster: Roster) -> io::Result<Self> {
        let (orders, incoming) = mpsc::channel::<(Make, Done)>();
        let mut spawner = LocalSpawner::new(roster)?;
        quiet::spawn("adrt-spawn", Some(THREAD_STACK_BYTES), move || {
            for (make, done) in incoming {
                done(make().and_then(|command| spawner.spawn(command)));
            }
        })?;
        Ok(Self { orders })
    }

    /// Starts a command; `done` is told on the spawning thread, and must not
    /// block it.
    pub fn spawn(
        &self,
        command: Command,
        done: impl FnOnce(Result<Child, SpawnFailure>) + Send + 'static,
    ) {
        self.spawn_made(|| Ok(command), done);
    }

    /// The same for a command that is put together on the spawning thread, since
    /// that may have to wait for a disk.
    pub fn spawn_made(
        &self,
        make: impl FnOnce() -> Result<Command, SpawnFailure> + Send + 'static,
        done: impl FnOnce(Result<Child, SpawnFailure>) + Send + 'static,
    ) {
        let order: (Make, Done) = (Box::new(make), Box::new(done));
        if let Err(mpsc::SendError((_, done))) = self.orders.send(order) {
            done(Err(SpawnFailure::System("adrt's spawning thread is gone".to_owned())));
        }
    }
}

/// Spawns on the thread that calls it, which waits until the command has been
/// executed, or has failed: well under a millisecond, but as long as a slow
/// disk takes where the program must be read first.
///
/// Only for a thread that lives as long as the children are to live; the main
/// thread is one. It saves the way to another thread and back.
#[derive(Debug)]
pub struct LocalSpawner {
    stack: Stack,
    roster: Roster,
}

impl LocalSpawner {
    /// See [`Spawner::start`].
    ///
    /// # Errors
    /// The system has no memory to give.
    pub fn new(roster: Roster) -> io::Result<Self> {
        Ok(Self { stack: Stack::new()?, roster })
    }

    /// Starts a command.
    ///
    /// # Errors
    /// It could not be started, or not be executed.
    pub fn spawn(&mut self, command: Command) -> Result<Child, SpawnFailure> {
        // A handler of adrt's must not run in a child that shares its memory.
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))
            .map_err(|errno| no_process(errno.into()))?;
        let result = spawn(command, &self.stack, &self.roster);
        let _same_mask_as_before = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        result
    }
}

/// Whether starting this command is bound to fail, as far as a look can tell:
/// for telling so before anything is made for it.
///
/// # Errors
/// There is no such command, or it may not be executed.
pub fn foresee(command: Command) -> Result<(), SpawnFailure> {
    Image::new(command.argv, command.env, command.cwd)?.foresee()
}

/// Both ends of everything between adrt and a child.
struct Ends {
    stdin: Option<OwnedFd>,
    child_stdin: OwnedFd,
    stdout: Pipe,
    stderr: Pipe,
    text: Pipe,
}

impl Ends {
    fn make(stdin: Stdin) -> io::Result<Self> {
        let (stdin, child_stdin) = match stdin {
            Stdin::Wire => {
                let pipe = pipes::to_child()?;
                (Some(pipe.ours), pipe.theirs)
            }
            Stdin::Inherit => {
                let copy = pipes::safe_copy(io::stdin().as_fd());
                (None, copy.or_else(|_closed| pipes::null_input())?)
            }
        };
        Ok(Self {
            stdin,
            child_stdin,
            stdout: pipes::from_child_large()?,
            stderr: pipes::from_child()?,
            text: pipes::from_child_large()?,
        })
    }

    /// `device:inode` of the child's 0, 1 and 3.
    fn wire(&self) -> io::Result<OsString> {
        let mut named = Vec::new();
        for fd in [&self.child_stdin, &self.stdout.theirs, &self.text.theirs] {
            let stat = nix::sys::stat::fstat(fd)?;
            named.push(format!("{}:{}", stat.st_dev, stat.st_ino));
        }
        Ok(named.join(",").into())
    }
}

fn spawn(command: Command, stack: &Stack, roster: &Roster) -> Result<Child, SpawnFailure> {
    let Command { argv, mut env, stdin, cwd } = command;
    let ends = Ends::make(stdin).map_err(no_pipes)?;
    env.retain(|(key, _)| key != TEXT_FD_VARIABLE && key != WIRE_VARIABLE);
    env.push((TEXT_FD_VARIABLE.into(), TEXT_FD.into()));
    env.push((WIRE_VARIABLE.into(), ends.wire().map_err(no_pipes)?));
    let image = Image::new(argv, env, cwd)?;

    let take_terminal = match stdin {
        Stdin::Wire => false,
        Stdin::Inherit => terminal::is_ours_to_lend(ends.child_stdin.as_fd()),
    };
    let setup = Setup {
        fds: [
            ends.child_stdin.as_fd(),
            ends.stdout.theirs.as_fd(),
            ends.stderr.theirs.as_fd(),
            ends.text.theirs.as_fd(),
        ],
        take_terminal,
        mark_up_to: highest_to_mark(),
    };
    // Identified before the reaper may take it away.
    let process = roster
        .while_spawning(|| child::start(&image, &setup, stack).map(table::identify))
        .map_err(|failure| match failure {
            NotStarted::NoProcess(error) => no_process(error),
            NotStarted::Failed(failed) => image.explain(failed),
        });
    if process.is_err() && take_terminal {
        terminal::give_back_terminal();
    }
    Ok(Child {
        process: process?,
        stdin: ends.stdin,
        stdout: ends.stdout.ours,
        stderr: ends.stderr.ours,
        text: ends.text.ours,
        has_terminal: take_terminal,
    })
}

/// Where the kernel can't mark all descriptors at once: the highest open one.
/// All that adrt opens is close-on-exec, so one opened after this look is too.
fn highest_to_mark() -> Option<RawFd> {
    // SAFETY: nothing is open at the highest number there is.
    if unsafe { child::mark_close_on_exec(RawFd::MAX) } {
        return None;
    }
    let open = std::fs::read_dir("/proc/self/fd").ok()?;
    open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).max()
}

fn no_pipes(error: io::Error) -> SpawnFailure {
    SpawnFailure::System(format!("the pipes to the agent could not be made: {error}"))
}

fn no_process(error: io::Error) -> SpawnFailure {
    let hint = match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
        Errno::EAGAIN => "; the limit of processes (ulimit -u, TasksMax=) may be reached",
        _ => "",
    };
    SpawnFailure::System(format!("the system made no process: {error}{hint}"))
}
