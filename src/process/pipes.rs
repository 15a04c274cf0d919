//! The pipes between adrt and an agent.
//!
//! Every descriptor made here is close-on-exec and lies above 3, so that a
//! child's `dup2` to 0–3 can't overwrite one that is still needed, even when
//! adrt itself was started with 0, 1 or 2 closed.
//!
//! Only adrt's end is non-blocking. The flag belongs to the open file
//! description, and the two ends of a pipe are two of them: the agent's end
//! stays the ordinary blocking descriptor that every program expects.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Capacity asked for where the agent may write much: one large read takes
/// all of it while the agent goes on. Still more brings little, and all pipes
/// of a user share 64 MiB (/proc/sys/fs/pipe-user-pages-soft), past which
/// each new one is a page or two; a hundred agents are to fit.
pub const LARGE_PIPE_BYTES: i32 = 256 * 1024;

/// What the kernel gives when it is not asked for more.
const DEFAULT_PIPE_BYTES: usize = 64 * 1024;

/// The child's descriptors are 0 to 3; what is to be moved there lies above.
const LAST_CHILD_FD: RawFd = 3;

/// Where a descriptor is moved that came to lie among the child's.
const FIRST_SAFE_FD: RawFd = 10;

/// Buffer for [`drain`].
const DRAIN_CHUNK_BYTES: usize = 64 * 1024;

/// A pipe of which adrt keeps one end and the child gets the other.
#[derive(Debug)]
pub struct Pipe {
    /// adrt's end: non-blocking.
    pub ours: OwnedFd,
    /// The child's end: blocking.
    pub theirs: OwnedFd,
}

/// A pipe that the child reads.
///
/// # Errors
/// The system has no descriptor or memory for it.
pub fn to_child() -> io::Result<Pipe> {
    let (read, write) = pipe()?;
    set_nonblocking(&write)?;
    Ok(Pipe { ours: write, theirs: read })
}

/// A pipe that the child writes.
///
/// # Errors
/// The system has no descriptor or memory for it.
pub fn from_child() -> io::Result<Pipe> {
    let (read, write) = pipe()?;
    set_nonblocking(&read)?;
    Ok(Pipe { ours: read, theirs: write })
}

/// A pipe that the child may write much to; large where the system allows it.
///
/// # Errors
/// The system has no descriptor or memory for it.
pub fn from_child_large() -> io::Result<Pipe> {
    let pipe = from_child()?;
    enlarge(&pipe.ours);
    Ok(pipe)
}

/// A close-on-exec copy of `fd` that lies clear of the child's descriptors.
///
/// # Errors
/// `fd` is closed, or there is no descriptor left.
pub fn safe_copy(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let raw = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(FIRST_SAFE_FD))?;
    // SAFETY: fcntl has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// `/dev/null` to read from, clear of the child's descriptors.
///
/// # Errors
/// It can't be opened.
pub fn null_input() -> io::Result<OwnedFd> {
    clear_of_child(OwnedFd::from(File::open("/dev/null")?))
}

/// How many bytes a pipe can hold.
pub fn capacity(fd: BorrowedFd<'_>) -> usize {
    fcntl(fd, FcntlArg::F_GETPIPE_SZ)
        .ok()
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(DEFAULT_PIPE_BYTES)
}

/// Reads what a dead agent left in a pipe, and hands it on piece by piece.
///
/// At most one capacity of the pipe is read: what was in it when the agent
/// died is not more, and a surviving writer can't keep adrt here. Returns the
/// number of bytes. `fd` must be non-blocking.
///
/// # Errors
/// Reading failed for another reason than that the pipe is empty.
pub fn drain(fd: BorrowedFd<'_>, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
    let limit = capacity(fd);
    let mut buffer = vec![0; DRAIN_CHUNK_BYTES];
    let mut total = 0;
    while total < limit {
        let room = buffer.len().min(limit - total);
        match nix::unistd::read(fd, &mut buffer[..room]) {
            Ok(0) | Err(Errno::EAGAIN) => break,
            Ok(count) => {
                take(&buffer[..count]);
                total += count;
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(total)
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok((clear_of_child(read)?, clear_of_child(write)?))
}

/// Moves a descriptor away from the child's, if it lies among them.
fn clear_of_child(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() <= LAST_CHILD_FD { safe_copy(fd.as_fd()) } else { Ok(fd) }
}

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Asks for a large pipe. A refusal (EPERM past the user's share of pipe
/// memory) costs speed only, so nobody is told.
fn enlarge(fd: &OwnedFd) {
    let _small_is_fine = fcntl(fd, FcntlArg::F_SETPIPE_SZ(LARGE_PIPE_BYTES));
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn drain_stops_at_the_capacity_of_the_pipe() {
        let pipe = from_child_large().unwrap();
        let limit = capacity(pipe.ours.as_fd());
        let mut writer = File::from(pipe.theirs.try_clone().unwrap());
        let feeder = std::thread::spawn(move || {
            // A writer that never stops, until the last reader is gone.
            while writer.write_all(&[7; 4096]).is_ok() {}
        });
        let mut seen = 0;
        while seen < limit {
            let count = drain(pipe.ours.as_fd(), |bytes| {
                assert!(bytes.iter().all(|byte| *byte == 7));
            })
            .unwrap();
            assert!(count <= limit);
            seen += count;
        }
        drop(pipe);
        feeder.join().unwrap();
    }

    #[test]
    fn drain_of_an_empty_pipe_returns_at_once() {
        let pipe = from_child().unwrap();
        assert_eq!(drain(pipe.ours.as_fd(), |_| ()).unwrap(), 0);
        drop(pipe.theirs);
        assert_eq!(drain(pipe.ours.as_fd(), |_| ()).unwrap(), 0);
    }

    #[test]
    fn only_our_end_is_nonblocking() {
        for pipe in [to_child().unwrap(), from_child().unwrap()] {
            let nonblocking = |fd: &OwnedFd| {
                OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap())
                    .contains(OFlag::O_NONBLOCK)
            };
            assert!(nonblocking(&pipe.ours));
            assert!(!nonblocking(&pipe.theirs));
        }
    }
}
