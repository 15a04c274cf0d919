//! How full the disk is that an agent's state is on.

use std::path::Path;

use nix::sys::statvfs::statvfs;

/// Room on a disk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Room {
    /// The share that is used, as `df` counts it: of what all may use, without
    /// what is kept for root.
    pub used: f64,
    /// Bytes free.
    pub free: f64,
}

/// From blocks: of how many bytes each, how many there are, are free, and may
/// be used by all. None of a file system that has no size.
pub fn room(bytes: f64, all: f64, free: f64, available: f64) -> Option<Room> {
    let used = (all - free).max(0.0);
    let total = used + available;
    (total > 0.0).then(|| Room { used: used / total, free: available * bytes })
}

/// Looks.
pub fn look(path: &Path) -> Option<Room> {
    let disk = statvfs(path).ok()?;
    // As floats: their types differ from system to system.
    room(
        disk.fragment_size() as f64,
        disk.blocks() as f64,
        disk.blocks_free() as f64,
        disk.blocks_available() as f64,
    )
}
