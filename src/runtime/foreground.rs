//! One command in the foreground, as a shell runs one: its stdin and stderr
//! are those of adrt, its stdout is passed on and kept.
//!
//! For `adrt step run`. The command is no agent: it stays in the process
//! group it is started from, and is neither restarted nor killed. A request
//! to end is passed on to it and its end waited for, so that what it has done
//! until then is known; a terminal's Ctrl-C reaches it without our help.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::signals::PassedOn;
use crate::supervisor::io::Exit;

/// Read at once: a pipe's capacity, so that one piece is all that a process
/// can have left behind in it.
const PIECE_BYTES: usize = 64 * 1024;

/// How a command ended, and what it printed.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub exit: Exit,
    /// Bytes of its stdout.
    pub bytes: u64,
    /// They, if there are no more than were to be kept.
    pub output: Option<Vec<u8>>,
}

/// Runs a command to its end. What it prints on stdout is given to `pass`
/// piece by piece, and kept up to so many bytes.
///
/// # Errors
/// It can't be started; the error's kind says whether there is none.
pub fn run(
    argv: &[OsString],
    variables: &[(&str, &str)],
    keep: usize,
    pass: impl FnMut(&[u8]),
) -> io::Result<Ended> {
    let Some((program, args)) = argv.split_first() else {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    };
    let signals = Arc::new(PassedOn::install()?);
    let mut command = Command::new(program);
    command.args(args).envs(variables.iter().copied()).stdout(Stdio::piped());
    #[expect(clippy::disallowed_methods, reason = "this one is supervised by nobody")]
    let mut child = command.spawn()?;
    let pid = i32::try_from(child.id()).unwrap_or(0);
    signals.begin(pid);
    let mut output = Output { pass, keep, bytes: 0, kept: Some(Vec::new()) };
    if let Some(stdout) = child.stdout.take() {
        output.until_its_end(stdout, pid, &signals)?;
    }
    let exit = reaped(&mut child)?;
    Ok(Ended { exit, bytes: output.bytes, output: output.kept })
}

fn reaped(child: &mut Child) -> io::Result<Exit> {
    Ok(exit_of(child.wait()?))
}

/// An end as the standard library tells it.
pub(super) fn exit_of(status: ExitStatus) -> Exit {
    match status.signal() {
        Some(signal) => Exit::Signal { signal, core: status.core_dumped() },
        None => Exit::Code(status.code().unwrap_or_default()),
    }
}

/// What it prints.
struct Output<F> {
    pass: F,
    keep: usize,
    bytes: u64,
    kept: Option<Vec<u8>>,
}

impl<F: FnMut(&[u8])> Output<F> {
    /// Reads until the process has ended. Its end is known from wait: what it
    /// started may hold the pipe open for ever.
    fn until_its_end(
        &mut self,
        mut stdout: ChildStdout,
        pid: i32,
        signals: &Arc<PassedOn>,
    ) -> io::Result<()> {
        let (ended, ending) = io::pipe()?;
        let signals = Arc::clone(signals);
        std::thread::Builder::new().name("adrt-wait".to_owned()).spawn(move || {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            while let Err(Errno::EINTR) = waitid(Id::Pid(Pid::from_raw(pid)), flags) {}
            // Before its number can belong to another process.
            signals.end();
            drop(ending);
        })?;
        let mut open = true;
        loop {
            let mut waiting = [
                PollFd::new(ended.as_fd(), PollFlags::POLLIN),
                PollFd::new(stdout.as_fd(), PollFlags::POLLIN),
            ];
            let watched = if open { &mut waiting[..] } else { &mut waiting[..1] };
            match poll(watched, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let [end, more] = waiting.map(|fd| fd.any().unwrap_or(false));
            if end {
                return if open { self.leftover(stdout) } else { Ok(()) };
            }
            if more {
                open = self.piece(&mut stdout)? > 0;
            }
        }
    }

    fn piece(&mut self, stdout: &mut ChildStdout) -> io::Result<usize> {
        let mut piece = vec![0; PIECE_BYTES];
        let count = stdout.read(&mut piece)?;
        (self.pass)(&piece[..count]);
        self.bytes += count as u64;
        if self.bytes > self.keep as u64 {
            self.kept = None;
        } else if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(&piece[..count]);
        }
        Ok(count)
    }

    /// What is still in the pipe, at most its capacity.
    fn leftover(&mut self, mut stdout: ChildStdout) -> io::Result<()> {
        fcntl(&stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut left = PIECE_BYTES;
        while left > 0 {
            match self.piece(&mut stdout) {
                Ok(0) => break,
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, keep: usize) -> (Ended, Vec<u8>) {
        let argv = ["sh", "-c", script].map(OsString::from);
        let mut passed = Vec::new();
        let ended = run(&argv, &[("GIVEN", "yes")], keep, |piece| passed.extend_from_slice(piece));
        (ended.expect("runs"), passed)
    }

    #[test]
    fn output_is_passed_on_and_kept() {
        let (ended, passed) = shell("printf \"$GIVEN\\0\"; exit 3", 100);
        assert_eq!(ended.exit, Exit::Code(3));
        assert_eq!((ended.bytes, ended.output.as_deref()), (4, Some(&b"yes\0"[..])));
        assert_eq!(passed, b"yes\0");
    }

    #[test]
    fn too_much_is_passed_on_and_not_kept() {
        let (ended, passed) = shell("printf 1234567", 6);
        assert_eq!((ended.bytes, ended.output), (7, None));
        assert_eq!(passed, b"1234567");
        assert!(shell("printf 123456", 6).0.output.is_some());
    }

    #[test]
    fn a_signal_is_an_end_of_its_own() {
        let (ended, _) = shell("kill -KILL $$", 6);
        assert!(matches!(ended.exit, Exit::Signal { signal: 9, .. }));
    }

    #[test]
    fn a_process_left_behind_keeps_nobody_waiting() {
        let (ended, passed) = shell("sleep 1000 & echo $!", 100);
        assert_eq!(ended.exit, Exit::Code(0));
        let pid: i32 = String::from_utf8_lossy(&passed).trim().parse().expect("a number");
        let killed = nix::sys::signal::kill(Pid::from_raw(pid), nix::sys::signal::SIGKILL);
        killed.expect("it still runs");
    }

    #[test]
    fn what_is_not_there_is_told_from_what_may_not_run() {
        let run = |program: &str| {
            run(&[program.into()], &[], 0, |_| ()).map(|_| ()).map_err(|e| e.kind())
        };
        assert_eq!(run("/nothing/here"), Err(io::ErrorKind::NotFound));
        assert_eq!(run("/etc/passwd"), Err(io::ErrorKind::PermissionDenied));
    }
}
