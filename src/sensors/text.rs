//! Small files of the kernel, read into one buffer.
//!
//! They are opened anew for each look: that costs microseconds, and finds what
//! has come, gone or been replaced meanwhile. Only regular files are read, and
//! opened so that nothing that took the place of one (a FIFO, a terminal) is
//! waited for.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::libc;

/// What all but few of them fit into.
const USUAL_BYTES: usize = 4096;
/// No more of one is read: `/proc/stat` of some seven hundred processors.
const MOST_BYTES: usize = 64 * 1024;

/// The buffer.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    /// The text of a file; none if it can't be read, or is no text.
    pub fn text(&mut self, path: &Path) -> Option<&str> {
        self.beginning(path, MOST_BYTES)
    }

    /// The lines in its first bytes, so many or somewhat more.
    pub fn beginning(&mut self, path: &Path, bytes: usize) -> Option<&str> {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut held = 0;
        loop {
            if held == self.buffer.len() {
                self.buffer.resize((2 * held).max(USUAL_BYTES), 0);
            }
            match file.read(self.buffer.get_mut(held..)?) {
                Ok(0) => break,
                Ok(count) => held += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
            if held >= bytes {
                // Perhaps in the midst of a line.
                held = memchr::memrchr(b'\n', self.buffer.get(..held)?).map_or(0, |at| at + 1);
                break;
            }
        }
        std::str::from_utf8(self.buffer.get(..held)?).ok()
    }
}

/// The first number in a text.
pub fn number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The number after a name, in a text of lines like `name 1` or `name:  1 kB`.
pub fn named(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    let rest = lines.find_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.strip_prefix([':', ' ', '\t'])
    })?;
    number(rest)
}
