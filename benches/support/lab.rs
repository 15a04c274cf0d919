//! A place of its own for a bench, and the real `adrt` in it.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Nothing here takes as long; what does has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The binary that is measured: the one just built, or another, to compare
/// with, that `BENCH_ADRT` names.
pub fn adrt() -> PathBuf {
    std::env::var_os("BENCH_ADRT").unwrap_or_else(|| env!("CARGO_BIN_EXE_adrt").into()).into()
}

/// This program, to be run in another role.
pub fn own_path() -> io::Result<OsString> {
    std::env::current_exe().map(OsString::from)
}

/// Directories of its own, gone when dropped.
#[derive(Debug)]
pub struct Lab {
    /// On the disk that is built on, which is more often a real one than that
    /// of temporary files.
    data: TempDir,
    /// Sockets, whose paths have to be short.
    links: TempDir,
}

impl Lab {
    /// A new one.
    pub fn new() -> io::Result<Self> {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        Ok(Self { data, links: tempfile::tempdir()? })
    }

    /// A path on the same file system as adrt's database.
    pub fn path(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    /// `adrt run` of a command, with an environment of its own.
    pub fn adrt_run(&self, name: &str, options: &[&str]) -> Command {
        let mut command = self.bare(&adrt());
        command.args(["run", "-n", name]).args(options).arg("--state-dir").arg(self.path("state"));
        command.arg("--runtime-dir").arg(self.links.path());
        command
    }

    /// A command with the same environment, without adrt.
    pub fn bare(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.data.path());
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// A socket on which an agent reports.
    pub fn link(&self, name: &str) -> io::Result<Link> {
        let path = self.links.path().join(name);
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        Ok(Link { listener, path })
    }

    /// `adrt run` of this program as an agent of that role, connected.
    pub fn start_agent(
        &self,
        name: &str,
        options: &[&str],
        role: &str,
        more: &[&str],
    ) -> io::Result<(Run, Talk)> {
        let link = self.link(name)?;
        let mut command = self.adrt_run(name, options);
        // What is told of the machine is no answer to what a bench asks.
        command.env("ADRT_SENSORS_EVERY", "0");
        command.arg("--").arg(own_path()?).args(["--agent", role]).arg(&link.path).args(more);
        let run = Run(command.spawn()?);
        let talk = link.accept()?;
        Ok((run, talk))
    }
}

/// A process that is ended when dropped: `adrt run`, for the most part.
#[derive(Debug)]
pub struct Run(pub Child);

impl Run {
    /// Its process.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap_or(0)
    }

    /// Ends it in good order.
    pub fn stop(&mut self) -> io::Result<()> {
        if self.0.try_wait()?.is_none() {
            kill(Pid::from_raw(self.pid()), Signal::SIGTERM)?;
            self.0.wait()?;
        }
        Ok(())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _gone_already = self.stop();
    }
}

/// Where an agent, and each of its successors, reports.
#[derive(Debug)]
pub struct Link {
    listener: UnixListener,
    /// To be given to the agent.
    pub path: PathBuf,
}

impl Link {
    /// Waits for an agent.
    pub fn accept(&self) -> io::Result<Talk> {
        use std::os::fd::AsFd;
        let mut fds = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(PATIENCE).map_err(io::Error::other)?;
        if poll(&mut fds, patience)? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no agent came"));
        }
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(false)?;
        Talk::over(stream)
    }
}

/// A conversation between a bench and its agent, in lines.
#[derive(Debug)]
pub struct Talk {
    read: BufReader<UnixStream>,
    write: UnixStream,
}

impl Talk {
    /// The agent's side.
    pub fn to(path: &str) -> io::Result<Self> {
        Self::over(UnixStream::connect(path)?)
    }

    fn over(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { read: BufReader::new(stream.try_clone()?), write: stream })
    }

    /// Says a line.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        self.write.write_all(format!("{line}\n").as_bytes())
    }

    /// Hears the words of a line; none when the other side is gone.
    pub fn hear(&mut self) -> io::Result<Vec<String>> {
        let mut line = String::new();
        self.read.read_line(&mut line)?;
        Ok(line.split_whitespace().map(str::to_owned).collect())
    }

    /// Hears numbers.
    pub fn hear_numbers(&mut self) -> io::Result<Vec<f64>> {
        let words = self.hear()?;
        words.iter().map(|word| word.parse().map_err(io::Error::other)).collect()
    }

    /// Says a line and hears numbers.
    pub fn ask(&mut self, line: &str) -> io::Result<Vec<f64>> {
        self.say(line)?;
        self.hear_numbers()
    }
}
