//! What can be read once: a FIFO, adrt's stdin, a device such as a serial line.
//!
//! Such a source has no position: lines that were read and are not on the
//! disk yet when adrt dies are lost. At most two batches are, and only while
//! the machine takes none; what was not read waits in the pipe.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::lines::Cutter;
use super::outlet::{Gone, Outlet, Trouble};
use super::watch::Watch;
use crate::supervisor::io::Level;

/// Read at once: all that a pipe holds by default.
const CHUNK_BYTES: usize = 64 * 1024;
/// How a stream came to its end.
#[derive(Debug)]
enum End {
    /// No more comes.
    Over,
    /// Its name belongs to another one now.
    Replaced,
    /// It can't be read any more.
    Failed(io::Error),
}

/// Reads adrt's own stdin to its end.
pub(super) fn stdin(outlet: &Outlet, line_bytes_max: usize) -> Result<(), Gone> {
    // Its flags are left as they are: others have the same open file.
    let copy = io::stdin().as_fd().try_clone_to_owned();
    let end = match copy.map(File::from) {
        Ok(mut file) => read(&mut file, outlet, line_bytes_max, None)?,
        Err(e) => End::Failed(e),
    };
    match end {
        End::Over | End::Replaced => {
            outlet.log(Level::Info, "no more events come from stdin; the run goes on");
        }
        End::Failed(e) => {
            outlet.log(Level::Error, &format!("events can't be read from stdin any more: {e}"));
        }
    }
    Ok(())
}

/// Reads what has that name and is no regular file, until something else, or
/// nothing, has it. False at the end of a device.
pub(super) fn named(path: &Path, outlet: &Outlet, line_bytes_max: usize) -> Result<bool, Gone> {
    let what = path.display().to_string();
    let mut trouble = Trouble::default();
    loop {
        let end = match open(path) {
            Ok((mut file, fifo)) => {
                let end = read(&mut file, outlet, line_bytes_max, Some(path))?;
                match end {
                    // It was not ours to write, and its last writer went.
                    End::Over if fifo => continue,
                    other => other,
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(e) => End::Failed(e),
        };
        let error = match end {
            End::Over => {
                outlet
                    .log(Level::Info, &format!("no more events come from {what}; the run goes on"));
                return Ok(false);
            }
            End::Replaced => {
                outlet.log(Level::Info, &format!("{what} was replaced; the new one is read"));
                return Ok(true);
            }
            End::Failed(error) => error,
        };
        trouble.tell_and_pause(outlet, &what, &error)?;
    }
}

/// Opens it, and tells whether it is a FIFO.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let fifo = fs::metadata(path)?.file_type().is_fifo();
    if fifo {
        // Holding a writing end keeps it from ending with its last writer.
        let both = OpenOptions::new().read(true).write(true).open(path);
        if let Ok(file) = both {
            return Ok((file, fifo));
        }
        // Not ours to write: then it ends with each writer, and is opened
        // anew, which waits for the next.
    }
    Ok((File::open(path)?, fifo))
}

fn read(
    file: &mut File,
    outlet: &Outlet,
    line_bytes_max: usize,
    path: Option<&Path>,
) -> Result<End, Gone> {
    let mut cutter = Cutter::new(line_bytes_max);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut watch = path.map_or_else(Watch::of_nothing, |_| Watch::new());
    let inode = file.metadata().map(|there| there.ino()).ok();
    let end = loop {
        outlet.check()?;
        if let Some(path) = path {
            watch.arm(path, None);
            watch.clear();
            // Of one that is gone a new one will be made in a moment.
            if fs::metadata(path).is_ok_and(|there| Some(there.ino()) != inode) && !has(file) {
                break End::Replaced;
            }
        }
        if !watch.wait_or(Some(file)) {
            continue;
        }
        match file.read(&mut chunk) {
            Ok(0) => break End::Over,
            Ok(count) => pass_on(&chunk[..count], &mut cutter, outlet)?,
            Err(e)
                if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => break End::Failed(e),
        }
    };
    cutter.end();
    flush(&mut cutter, outlet)?;
    Ok(end)
}

/// Whether there is something to read just now.
fn has(file: &File) -> bool {
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn pass_on(bytes: &[u8], cutter: &mut Cutter, outlet: &Outlet) -> Result<(), Gone> {
    let mut taken = 0;
    while taken < bytes.len() {
        taken += cutter.push(&bytes[taken..]);
        // Whole lines do not wait for others: there may be none for long.
        flush(cutter, outlet)?;
    }
    Ok(())
}

fn flush(cutter: &mut Cutter, outlet: &Outlet) -> Result<(), Gone> {
    if cutter.has_lines() { outlet.send(cutter.take(), None) } else { Ok(()) }
}
