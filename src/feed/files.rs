//! Looking at files and opening them, with errors that name them.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::libc;

/// A path in a message, or in what is kept of it.
pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The error, saying of what file.
pub(super) fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", shown(path)))
}

/// What is under that name; none if there is nothing.
pub(super) fn look(path: &Path) -> io::Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(at(path, e)),
    }
}

/// Opens a file for reading; none if there is none.
pub(super) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    // Should something else have taken its place, that is not waited for.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(at(path, e)),
    };
    if file.metadata().map_err(|e| at(path, e))?.is_file() {
        return Ok(Some(file));
    }
    Err(at(path, io::Error::other("is no regular file any more")))
}
