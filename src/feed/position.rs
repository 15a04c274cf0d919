//! How far a file is read, as text that outlives a restart.
//!
//! ```text
//! 1 <device> <inode> <offset> <bytes of the head> <CRC-32C of the head> <path>
//! ```
//!
//! The head is the beginning of what has been read: an inode may be given to
//! another file, and a file may be emptied and filled again, but what was
//! read once does not change in a file that only grows.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

/// Longest beginning of a file that is compared: a few lines, which differ in
/// a time, a number or an id.
const HEAD_BYTES_MAX: usize = 1024;
/// The form of the text.
const FORM: &str = "1";

/// Which file, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub device: u64,
    pub inode: u64,
    /// Where the next line begins.
    pub offset: u64,
    pub head: Head,
    /// Under which name it was followed.
    pub path: String,
}

/// The beginning of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head {
    bytes: usize,
    crc: u32,
}

impl Head {
    /// The beginning of that file's first `offset` bytes.
    pub fn read(file: &File, offset: u64) -> io::Result<Self> {
        let bytes = usize::try_from(offset).unwrap_or(usize::MAX).min(HEAD_BYTES_MAX);
        let mut head = vec![0; bytes];
        file.read_exact_at(&mut head, 0)?;
        Ok(Self { bytes, crc: crc32c::crc32c(&head) })
    }

    /// Whether it is still the beginning of that file.
    pub fn matches(self, file: &File) -> io::Result<bool> {
        match Self::read(file, self.bytes as u64) {
            Ok(now) => Ok(now == self),
            // It has become shorter than that.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Whether it can grow with what is read.
    pub const fn is_short(self) -> bool {
        self.bytes < HEAD_BYTES_MAX
    }
}

impl Position {
    /// What is written down.
    pub fn text(&self) -> String {
        let Self { device, inode, offset, head: Head { bytes, crc }, path } = self;
        format!("{FORM} {device} {inode} {offset} {bytes} {crc:08x} {path}")
    }

    /// What was written down; none if it makes no sense, as one of a later adrt.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(7, ' ');
        let mut word = || words.next();
        if word()? != FORM {
            return None;
        }
        Some(Self {
            device: word()?.parse().ok()?,
            inode: word()?.parse().ok()?,
            offset: word()?.parse().ok()?,
            head: Head {
                bytes: word()?.parse().ok().filter(|bytes| *bytes <= HEAD_BYTES_MAX)?,
                crc: u32::from_str_radix(word()?, 16).ok()?,
            },
            path: word()?.to_owned(),
        })
    }

    /// Whether it is in that file. The device is not asked: its number may be
    /// another after a reboot, and the head tells enough.
    pub fn is_in(&self, file: &File) -> io::Result<bool> {
        let there = file.metadata()?;
        let plausible = there.ino() == self.inode && there.len() >= self.offset;
        Ok(plausible && self.head.matches(file)?)
    }
}

/// A path as it stands in a position.
pub(super) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let position = Position {
            device: 1,
            inode: u64::MAX,
            offset: 12,
            head: Head { bytes: 12, crc: 0xabc },
            path: "/var/log/a b".into(),
        };
        assert_eq!(position.text(), "1 1 18446744073709551615 12 12 00000abc /var/log/a b");
        assert_eq!(Position::parse(&position.text()), Some(position));
        for bad in ["", "2 1 1 1 1 0 /x", "1 1 1 1", "1 1 1 -1 1 0 /x", "1 1 1 1 9999 0 /x"] {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_file_is_known_by_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let file = File::open(&path).unwrap();
        let mut position = Position {
            device: 0,
            inode: file.metadata().unwrap().ino(),
            offset: 4,
            head: Head::read(&file, 4).unwrap(),
            path: String::new(),
        };
        assert!(position.is_in(&file).unwrap());
        std::fs::write(&path, "ONE\ntwo\n").unwrap();
        assert!(!position.is_in(&file).unwrap(), "other content");
        std::fs::write(&path, "on").unwrap();
        assert!(!position.is_in(&file).unwrap(), "shorter");
        std::fs::write(&path, "one\n").unwrap();
        assert!(position.is_in(&file).unwrap());
        position.inode += 1;
        assert!(!position.is_in(&file).unwrap(), "another file");
    }
}
