//! A file that somebody wrote for adrt to read: all of it, as text.
//!
//! It may lie on a disk that hangs, so the loop never reads one.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::libc;

use crate::typed::document::{Fault, Wrong};

/// The largest: a thousand rules, or as many secrets, have room in a tenth of it.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads it. The hint says what to do when it can't be read.
///
/// # Errors
/// It can't be read, is no file, is too large, or is no text.
pub fn read(path: &Path, hint: &str) -> Result<String, Fault> {
    let bytes = bytes(path).map_err(|error| Fault {
        path: path.to_owned(),
        place: None,
        what: format!("can't be read: {error}"),
        hint: hint.to_owned(),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes().get(..sound).unwrap_or_default());
        Wrong::new(sound..sound, "this is not UTF-8").in_file(path, &text)
    })
}

/// What is in a file. A pipe is none: it could be read only once.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a FIFO would wait for its writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it has more than 1 MiB"));
    }
    Ok(bytes)
}
