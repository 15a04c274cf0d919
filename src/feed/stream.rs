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
use super::outlet::{Gone, Outlet};
use crate::supervisor::io::Level;

/// Read at once: all that a pipe holds by default.
const CHUNK_BYTES: usize = 64 * 1024;
/// How often a silent source is looked at: is it still the one of that name,
/// and is the loop there?
const PATIENCE_MS: u16 = 1000;

/// How a stream came to its end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// No more comes.
    Over,
    /// Its name belongs to another one now.
    Replaced,
}

/// Reads adrt's own stdin to its end.
pub(super) fn stdin(outlet: &Outlet, line_bytes_max: usize) -> Result<(), Gone> {
    // Its flags are left as they are: others have the same open file.
    let copy = io::stdin().as_fd().try_clone_to_owned();
    match copy.map(File::from) {
        Ok(file) => {
            read(file, outlet, line_bytes_max, || true, "stdin")?;
            outlet.log(Level::Info, "no more events come from stdin; the run goes on");
        }
        Err(e) => outlet.log(Level::Error, &format!("events can't be read from stdin: {e}")),
    }
    Ok(())
}

/// Reads what has that name and is no regular file, until something else has
/// it, or to the end of a device.
pub(super) fn named(path: &Path, outlet: &Outlet, line_bytes_max: usize) -> Result<bool, Gone> {
    let what = path.display().to_string();
    let Ok((file, fifo)) = open(path).inspect_err(|e| {
        outlet.log(Level::Error, &format!("events can't be read from {what}: {e}"));
    }) else {
        return Ok(false);
    };
    let inode = file.metadata().map(|there| there.ino()).ok();
    let still_there = || match fs::metadata(path) {
        Ok(there) => Some(there.ino()) == inode,
        // Whoever replaces it makes a new one in a moment.
        Err(_) => true,
    };
    let end = read(file, outlet, line_bytes_max, still_there, &what)?;
    if end == End::Over && !fifo {
        outlet.log(Level::Info, &format!("no more events come from {what}; the run goes on"));
        return Ok(false);
    }
    Ok(true)
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
    mut file: File,
    outlet: &Outlet,
    line_bytes_max: usize,
    still_there: impl Fn() -> bool,
    what: &str,
) -> Result<End, Gone> {
    let mut cutter = Cutter::new(line_bytes_max);
    let mut chunk = vec![0; CHUNK_BYTES];
    let end = loop {
        outlet.check()?;
        if !is_readable(&file) {
            if still_there() {
                continue;
            }
            outlet.log(Level::Info, &format!("{what} was replaced; the new one is read"));
            break End::Replaced;
        }
        match file.read(&mut chunk) {
            Ok(0) => break End::Over,
            Ok(count) => pass_on(&chunk[..count], &mut cutter, outlet)?,
            Err(e)
                if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => {
                outlet.log(Level::Error, &format!("events can't be read from {what}: {e}"));
                break End::Over;
            }
        }
    };
    cutter.end();
    flush(&mut cutter, outlet)?;
    Ok(end)
}

/// Waits a while; anything but silence is readable, an end or an error too.
fn is_readable(file: &File) -> bool {
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(PATIENCE_MS)).is_ok_and(|ready| ready > 0)
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
