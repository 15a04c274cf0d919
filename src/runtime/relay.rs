//! The wire on adrt's own stdin and stdout, for a client that started adrt.
//!
//! ```text
//!   stdin ──thread──> pipe ──> loop ──> pipe ──thread──> stdout
//! ```
//!
//! Others may have the same open files: what was typed in a terminal, what a
//! shell redirected to. So they are never made non-blocking, and what may
//! block on them is a thread of its own. To the loop the pipes in between are
//! those of any agent.
//!
//! What the two threads and pipes hold is bounded, and comes on top of what
//! the machine counts: a few hundred KiB at most.
//!
//! In their place adrt has `/dev/null`, so that nothing it might print comes
//! between the frames, and so that closing the wire closes it.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{dup2_stdin, dup2_stdout, getppid, read, write};

use crate::process::pipes;
use crate::quiet;

/// Carried at once: what a pipe holds by default.
const CHUNK_BYTES: usize = 64 * 1024;
/// Stack of a thread.
const THREAD_STACK_BYTES: usize = 128 * 1024;

/// The loop's ends of the wire with a client.
#[derive(Debug)]
pub struct Client {
    /// The process that started adrt; 0 if it has no number here. It is told
    /// to people, and nothing is ever done to it.
    pub pid: i32,
    /// What it says.
    pub from: OwnedFd,
    /// What it is told.
    pub to: OwnedFd,
}

/// Tells when all that was said has been written.
#[derive(Debug)]
pub struct Written(Receiver<()>);

impl Written {
    /// Waits until the last byte is out, or nobody takes it; at most so long.
    /// The loop's end of the wire must have been closed.
    pub fn wait(&self, patience: Duration) -> bool {
        self.0.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }
}

/// Takes stdin and stdout for the wire. To be done once.
///
/// # Errors
/// The system has no descriptor or thread to give.
pub fn take() -> io::Result<(Client, Written)> {
    let input = pipes::safe_copy(io::stdin().as_fd())?;
    let output = pipes::safe_copy(io::stdout().as_fd())?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    let (from, to) = (pipes::from_child_large()?, pipes::to_child()?);
    quiet::spawn("adrt-wire-in", Some(THREAD_STACK_BYTES), move || carry(&input, &from.theirs))?;
    let (at_work, written) = mpsc::channel();
    quiet::spawn("adrt-wire-out", Some(THREAD_STACK_BYTES), move || {
        carry(&to.theirs, &output);
        // Closed before anybody is told that it is.
        drop((to.theirs, output));
        drop::<mpsc::Sender<()>>(at_work);
    })?;
    let pid = getppid().as_raw();
    Ok((Client { pid, from: from.ours, to: to.ours }, Written(written)))
}

/// Carries bytes until there are no more, or nobody takes them. Whatever goes
/// wrong is an end: a terminal that went away, a reader that is gone.
fn carry(from: &OwnedFd, to: &OwnedFd) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match read(from, &mut chunk) {
            Ok(0) => return,
            Ok(count) => {
                if write_all(to, &chunk[..count]).is_err() {
                    return;
                }
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => wait(from, PollFlags::POLLIN),
            Err(_) => return,
        }
    }
}

fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => wait(to, PollFlags::POLLOUT),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Somebody who shares the open file has made it non-blocking.
fn wait(fd: &OwnedFd, what: PollFlags) {
    let mut fds = [PollFd::new(fd.as_fd(), what)];
    let _the_next_try_tells = poll(&mut fds, PollTimeout::NONE);
}
