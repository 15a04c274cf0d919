//! Starts a command the way an agent is to be started.
//!
//! One thread does all spawning, for as long as adrt lives: the kernel sends
//! a child its death signal when the *thread* that made it ends, not the
//! process. So when adrt is killed the agent is too, and no sooner.
//! Dropping the [`Spawner`] ends that thread, and with it every child.
//!
//! What a child gets: its arguments untouched; the environment it is given
//! plus `ADRT_TEXT_FD`, `ADRT_WIRE` and `ADRT_RUN`; descriptors 0 to 3 and no
//! other; a process group of its own, and the agent's group of the kernel where
//! there is one; default signal dispositions, nothing blocked; and the first
//! place among those the kernel kills when memory is short.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::mpsc;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use super::child::{self, NotStarted, Setup, Stack};
use super::exec::Image;
use super::kin::{Kin, MARK_VARIABLE};
use super::pipes::{self, Pipe};
use super::reap::{Kind, Roster};
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

/// An agent is rated as if it used so much more of the memory there is, in
/// thousandths of it: when that is short it dies before adrt and, on a small
/// device, before what the device is reached by; its state is on the disk,
/// theirs is not. Half is more than adrt itself uses of any limit under which
/// both can run. All that it starts is rated so, too.
const OOM_SCORE_RAISE: i32 = 500;

/// The highest rating there is.
const OOM_SCORE_MAX: i32 = 1000;

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
    /// The whole environment but `ADRT_TEXT_FD`, `ADRT_WIRE` and `ADRT_RUN`,
    /// which are set here, in the place of any in it. Its `PATH` is what is
    /// searched.
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
    orders: mpsc::Sender<(Kind, Make, Done)>,
}

impl Spawner {
    /// Starts the thread `adrt-spawn`. Children are entered in `roster`
    /// before anyone else can see them end.
    ///
    /// # Errors
    /// The system has no thread or memory to give.
    pub fn start(roster: Roster) -> io::Result<Self> {
        let (orders, incoming) = mpsc::channel::<(Kind, Make, Done)>();
        let mut spawner = LocalSpawner::new(roster)?;
        quiet::spawn("adrt-spawn", Some(THREAD_STACK_BYTES), move || {
            for (kind, make, done) in incoming {
                done(make().and_then(|command| spawner.spawn_as(kind, command)));
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
        self.order(Kind::Leader, Box::new(make), Box::new(done));
    }

    /// Starts a command that is no agent but does something for adrt, as
    /// [`Self::spawn`] does; it is not told of the wire. An agent's end spares
    /// it, and its end the agent. It is to have a thread of its own, since an
    /// agent's start is not to wait for it.
    pub fn spawn_helper(
        &self,
        command: Command,
        done: impl FnOnce(Result<Child, SpawnFailure>) + Send + 'static,
    ) {
        self.order(Kind::Helper, Box::new(|| Ok(command)), Box::new(done));
    }

    fn order(&self, kind: Kind, make: Make, done: Done) {
        if let Err(mpsc::SendError((_, _, done))) = self.orders.send((kind, make, done)) {
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
    oom_score: Option<String>,
}

impl LocalSpawner {
    /// See [`Spawner::start`].
    ///
    /// # Errors
    /// The system has no memory to give.
    pub fn new(roster: Roster) -> io::Result<Self> {
        Ok(Self { stack: Stack::new()?, roster, oom_score: raised_oom_score() })
    }

    /// Starts a command.
    ///
    /// # Errors
    /// It could not be started, or not be executed.
    pub fn spawn(&mut self, command: Command) -> Result<Child, SpawnFailure> {
        self.spawn_as(Kind::Leader, command)
    }

    fn spawn_as(&mut self, kind: Kind, command: Command) -> Result<Child, SpawnFailure> {
        // A handler of adrt's must not run in a child that shares its memory.
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))
            .map_err(|errno| no_process(errno.into()))?;
        let result = self.spawn_undisturbed(kind, command);
        let _same_mask_as_before = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        result
    }

    fn spawn_undisturbed(&self, kind: Kind, command: Command) -> Result<Child, SpawnFailure> {
        let Command { argv, mut env, stdin, cwd } = command;
        let ends = Ends::make(stdin).map_err(no_pipes)?;
        // A helper is not the agent's, and not to be found with what is.
        let (text, wire, kin) = match kind {
            Kind::Leader => {
                let wire = ends.wire().map_err(no_pipes)?;
                (Some(TEXT_FD.into()), Some(wire), self.roster.kin())
            }
            Kind::Helper => (None, None, None),
        };
        set(&mut env, TEXT_FD_VARIABLE, text);
        set(&mut env, WIRE_VARIABLE, wire);
        set(&mut env, MARK_VARIABLE, kin.map(|kin| kin.mark().into()));
        let image = Image::new(argv, env, cwd)?;
        let group = kin.and_then(Kin::group);
        let entrance = group.map(|group| group.entrance()).transpose().map_err(no_group)?;

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
            entrance: entrance.as_ref().map(AsFd::as_fd),
            oom_score: self.oom_score.as_deref(),
        };
        let process = self.make(kind, &image, &setup)?;
        Ok(Child {
            process,
            stdin: ends.stdin,
            stdout: ends.stdout.ours,
            stderr: ends.stderr.ours,
            text: ends.text.ours,
            has_terminal: take_terminal,
        })
    }

    fn make(
        &self,
        kind: Kind,
        image: &Image,
        setup: &Setup<'_>,
    ) -> Result<ProcessIdentity, SpawnFailure> {
        // Identified before the reaper may take it away.
        let process = self
            .roster
            .while_spawning(kind, || child::start(image, setup, &self.stack).map(table::identify))
            .map_err(|failure| match failure {
                NotStarted::NoProcess(error) => no_process(error),
                NotStarted::Failed(failed) => image.explain(failed),
            });
        if process.is_err() && setup.take_terminal {
            terminal::give_back_terminal();
        }
        process
    }
}

/// Sets a variable, in the place of any of that name; or leaves none.
fn set(env: &mut Vec<(OsString, OsString)>, name: &str, value: Option<OsString>) {
    env.retain(|(key, _)| key != name);
    env.extend(value.map(|value| (name.into(), value)));
}

/// What an agent's `oom_score_adj` is to be; none where adrt's own can't be read.
fn raised_oom_score() -> Option<String> {
    let own: i32 = std::fs::read_to_string("/proc/self/oom_score_adj").ok()?.trim().parse().ok()?;
    Some((own + OOM_SCORE_RAISE).min(OOM_SCORE_MAX).to_string())
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

fn no_group(error: io::Error) -> SpawnFailure {
    SpawnFailure::System(format!("the agent's control group can't be used: {error}"))
}

fn no_process(error: io::Error) -> SpawnFailure {
    let hint = match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
        Errno::EAGAIN => "; the limit of processes (ulimit -u, TasksMax=) may be reached",
        _ => "",
    };
    SpawnFailure::System(format!("the system made no process: {error}{hint}"))
}
