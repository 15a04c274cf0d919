//! How far a file is read, as text that outlives a restart.
//!
//! ```text
//! 1 <device> <inode> <offset> <size> <CRC-32C of the head> <of the tail> <path>
//! ```
//!
//! The head is the beginning of what has been read, the tail its end: an inode
//! may be given to another file, and a file may be emptied and filled again,
//! but what was read once does not change in a file that only grows.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

/// Longest beginning and end that are compared: a few lines, which differ in
/// a time, a number or an id.
const PRINT_BYTES_MAX: usize = 1024;
/// The form of the text.
const FORM: &str = "1";

/// Which file, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub device: u64,
    pub inode: u64,
    /// The file's size then.
    pub size: u64,
    /// Where the next line begins, and what is before it.
    pub print: Print,
    /// Under which name it was followed.
    pub path: String,
}

/// What a file looks like before an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Print {
    pub offset: u64,
    head: u32,
    tail: u32,
}

impl Print {
    /// Of that file's first `offset` bytes.
    pub fn read(file: &File, offset: u64) -> io::Result<Self> {
        let mut bytes = [0; PRINT_BYTES_MAX];
        let length = usize::try_from(offset).unwrap_or(usize::MAX).min(PRINT_BYTES_MAX);
        let bytes = &mut bytes[..length];
        file.read_exact_at(bytes, 0)?;
        let head = crc32c::crc32c(bytes);
        file.read_exact_at(bytes, offset - length as u64)?;
        Ok(Self { offset, head, tail: crc32c::crc32c(bytes) })
    }

    /// The same further on, in a file that is too short for that by now.
    pub fn beyond(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// Whether that file still looks so.
    pub fn matches(self, file: &File) -> io::Result<bool> {
        match Self::read(file, self.offset) {
            Ok(now) => Ok(now == self),
            // It has become shorter than that.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }
}

impl Position {
    /// What is written down.
    pub fn text(&self) -> String {
        let Self { device, inode, size, print: Print { offset, head, tail }, path } = self;
        format!("{FORM} {device} {inode} {offset} {size} {head:08x} {tail:08x} {path}")
    }

    /// What was written down; none if it makes no sense, as one of a later adrt.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(8, ' ');
        let mut word = || words.next();
        if word()? != FORM {
            return None;
        }
        let (device, inode) = (word()?.parse().ok()?, word()?.parse().ok()?);
        let (offset, size) = (word()?.parse().ok()?, word()?.parse().ok()?);
        let mut crc = || u32::from_str_radix(word()?, 16).ok();
        let print = Print { offset, head: crc()?, tail: crc()? };
        Some(Self { device, inode, size, print, path: word()?.to_owned() })
    }

    /// How many bytes were not read then.
    pub fn unread(&self) -> u64 {
        self.size.saturating_sub(self.print.offset)
    }

    /// Whether it is in that file. The device is not asked: its number may be
    /// another after a reboot, and the print tells enough.
    pub fn is_in(&self, file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.ino() == self.inode && self.print.matches(file)?)
    }
}

/// A path as it stands in a position.
pub(super) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with this in it, read so far.
    fn read(text: &[u8], offset: u64) -> (tempfile::NamedTempFile, Position) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all_at(text, 0).unwrap();
        let there = file.as_file().metadata().unwrap();
        let position = Position {
            device: 0,
            inode: there.ino(),
            size: there.len(),
            print: Print::read(file.as_file(), offset).unwrap(),
            path: "/var/log/a b".into(),
        };
        (file, position)
    }

    #[test]
    fn text_and_back() {
        let position = Position {
            device: 1,
            inode: u64::MAX,
            size: 40,
            print: Print { offset: 12, head: 0xabc, tail: 0xdef },
            path: "/var/log/a b".into(),
        };
        let text = "1 1 18446744073709551615 12 40 00000abc 00000def /var/log/a b";
        assert_eq!(position.text(), text);
        assert_eq!(Position::parse(text), Some(position));
        for bad in ["", "2 1 1 1 1 0 0 /x", "1 1 1 1", "1 1 1 -1 1 0 0 /x"] {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_file_is_known_by_its_beginning_and_by_where_reading_stopped() {
        let lines = b"line\n".repeat(1000);
        let (file, mut position) = read(&lines, 4000);
        let is_in = |position: &Position| position.is_in(file.as_file()).unwrap();
        assert!(is_in(&position));
        for changed in [0, 3999] {
            file.as_file().write_all_at(b"L", changed).unwrap();
            assert!(!is_in(&position), "at {changed}");
            file.as_file().write_all_at(&lines, 0).unwrap();
        }
        file.as_file().write_all_at(b"L", 4000).unwrap();
        assert!(is_in(&position), "what comes after may be anything");
        position.inode += 1;
        assert!(!is_in(&position), "another file");
        position.inode -= 1;
        file.as_file().set_len(100).unwrap();
        assert!(!is_in(&position), "shorter");
    }
}
