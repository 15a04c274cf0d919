//! The reserve file: room for what must still be written when the disk is full.
//!
//! It is made when the file is opened, if that leaves the disk most of what it
//! has, and given up when a write is refused for want of space. The space it
//! held lets the crash ledger, a last checkpoint and deletions through. It is
//! remade when asked for, which tells at the same time whether writes work again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::fstatvfs;

use super::home::open_file;

/// Bytes of the reserve file.
pub const RESERVE_BYTES: u64 = 8 << 20;
/// It is not made where it would take more than one part in so many of what is free.
const SHARE: u64 = 4;
/// The same for remaking it: the disk has room for one when not full, so half
/// of what is free is enough to call it mended.
const SHARE_AGAIN: u64 = 2;
/// Bytes written to learn whether writes work, where no reserve is kept.
const PROBE_BYTES: usize = 64 << 10;

/// Whether there is a reserve file, and where.
#[derive(Debug)]
pub(crate) struct Reserve {
    /// None where files are not touched at all.
    path: Option<PathBuf>,
    /// It is there with its full length.
    present: bool,
    /// It was there since the file was opened: there is room for one.
    ever: bool,
}

impl Reserve {
    /// No reserve is kept.
    pub(crate) const fn none() -> Self {
        Self { path: None, present: false, ever: false }
    }

    /// Makes it if it is not there and there is room for it. That it can't be
    /// made is no reason not to run.
    pub(crate) fn keep(path: PathBuf) -> Self {
        let present = make(&path, SHARE).unwrap_or(false);
        Self { path: Some(path), present, ever: present }
    }

    /// Deletes a file that an earlier opening left. Whether there was one.
    pub(crate) fn drop_file(path: &Path) -> bool {
        fs::remove_file(path).is_ok()
    }

    /// Frees its space. Whether there was any.
    pub(crate) fn give_up(&mut self) -> bool {
        let Some(path) = self.path.as_ref().filter(|_| self.present) else { return false };
        self.present = false;
        fs::remove_file(path).is_ok()
    }

    /// Makes it again; where the disk is too small for one, tries whether a
    /// small file can be written. Whether that worked.
    pub(crate) fn rebuild(&mut self) -> bool {
        let Some(path) = self.path.as_ref() else { return true };
        if !self.present {
            let share = if self.ever { SHARE_AGAIN } else { SHARE };
            self.present = make(path, share).unwrap_or(false);
            self.ever |= self.present;
        }
        self.present || (!self.ever && probe(path).is_ok())
    }
}

/// Makes the file. False if it would take too much of what is free.
fn make(path: &Path, share: u64) -> io::Result<bool> {
    let file = open_file(path).map_err(io::Error::other)?;
    let meta = file.metadata()?;
    // Blocks count, not the length: a sparse file reserves nothing.
    if meta.len() == RESERVE_BYTES && meta.blocks() * 512 >= RESERVE_BYTES {
        return Ok(true);
    }
    let made = fits(&file, share).and_then(|fits| if fits { allocate(&file) } else { Ok(false) });
    if !made.as_ref().is_ok_and(|made| *made) {
        fs::remove_file(path)?;
    }
    made
}

fn fits(file: &File, share: u64) -> io::Result<bool> {
    let disk = fstatvfs(file)?;
    let free = (disk.blocks_available() as u64).saturating_mul(disk.fragment_size() as u64);
    Ok(free / share >= RESERVE_BYTES)
}

fn allocate(file: &File) -> io::Result<bool> {
    let length = RESERVE_BYTES as i64;
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(true),
        // A file system that can't: zeroes hold the space as well.
        Err(nix::errno::Errno::EOPNOTSUPP) => {
            let mut file = file;
            let zeroes = vec![0; PROBE_BYTES];
            for _ in 0..RESERVE_BYTES / PROBE_BYTES as u64 {
                file.write_all(&zeroes)?;
            }
            Ok(true)
        }
        Err(e) => Err(e.into()),
    }
}

/// Writes and syncs a small file in the reserve's place, and deletes it.
fn probe(path: &Path) -> io::Result<()> {
    let mut file = open_file(path).map_err(io::Error::other)?;
    let written = file.write_all(&[0; PROBE_BYTES]).and_then(|()| file.sync_all());
    fs::remove_file(path)?;
    written
}
