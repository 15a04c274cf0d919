//! How far a file has been read, as text that outlives adrt.
//!
//! ```text
//! 1 BOOT DEVICE INODE OFFSET SIZE HEAD TAIL PATH
//! ```
//!
//! The file is known again by its inode and by what is in it: checksums of its
//! first bytes and of the last ones before the offset. An inode alone would not
//! do: it is given to another file soon after the first is deleted. A device's
//! number may change with a reboot, and is only there for people to see.
//!
//! `BOOT` is there for one case. When the power goes, a file's last lines may
//! go, too, though their events are on the disk: nobody had synced the file.
//! After a reboot a file that begins as it did and ends early has lost its
//! end; under the same boot somebody has truncated it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use super::filesystem;

/// The form of the text.
const VERSION: &str = "1";
/// What stands for a boot that is not known.
const NO_BOOT: &str = "-";
/// Bytes of the head and of the tail that are compared.
const PRINT_BYTES: u64 = 1024;

/// Which file, for as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    pub device: u64,
    pub inode: u64,
}

impl Id {
    pub(super) fn of(meta: &std::fs::Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino() }
    }
}

/// What a file looks like before an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Print {
    head: u32,
    tail: u32,
}

impl Print {
    /// Of what there is, if the file is shorter.
    pub(super) fn of(file: &File, offset: u64) -> io::Result<Self> {
        let length = offset.min(PRINT_BYTES);
        Ok(Self {
            head: checksum(file, 0, length)?,
            tail: checksum(file, offset - length, length)?,
        })
    }
}

fn checksum(file: &File, from: u64, length: u64) -> io::Result<u32> {
    let mut bytes = [0; PRINT_BYTES as usize];
    let mut have = 0;
    let wanted = &mut bytes[..length as usize];
    while have < wanted.len() {
        match file.read_at(&mut wanted[have..], from + have as u64) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(crc32c::crc32c(&wanted[..have]))
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub boot: String,
    pub id: Id,
    /// All before it has been read.
    pub offset: u64,
    /// How long the file was then.
    pub size: u64,
    pub print: Print,
    /// Its path; where that is no UTF-8, as near as can be.
    pub path: String,
}

/// How a file compares with a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is that file.
    Same,
    /// It is that file, less its end: the machine went down meanwhile. What is
    /// left has been read up to here.
    Shortened {
        /// The offset.
        to: u64,
    },
    /// It is another, or was written anew.
    Other,
}

impl Position {
    /// As it is kept.
    pub(super) fn text(&self) -> String {
        let Self { boot, id, offset, size, print, path } = self;
        format!(
            "{VERSION} {boot} {} {} {offset} {size} {:08x} {:08x} {path}",
            id.device, id.inode, print.head, print.tail
        )
    }

    /// Reads what [`Position::text`] wrote; none if it is something else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(9, ' ');
        if words.next()? != VERSION {
            return None;
        }
        let boot = words.next()?.to_owned();
        let mut number = || words.next()?.parse::<u64>().ok();
        let id = Id { device: number()?, inode: number()? };
        let (offset, size) = (number()?, number()?);
        let mut sum = || u32::from_str_radix(words.next()?, 16).ok();
        let print = Print { head: sum()?, tail: sum()? };
        Some(Self { boot, id, offset, size, print, path: words.next()?.to_owned() })
    }

    /// Whether `file` is the one that was read, its inode being known to fit.
    pub(super) fn fit(&self, file: &File) -> io::Result<Fit> {
        let size = file.metadata()?.len();
        let there = Print::of(file, self.offset)?;
        if size >= self.offset && there == self.print {
            return Ok(Fit::Same);
        }
        // What a reboot leaves in memory is nothing.
        let rebooted = self.boot != boot_id() && !filesystem::is_in_memory(file);
        Ok(if rebooted && there.head == self.print.head {
            Fit::Shortened { to: self.offset.min(size) }
        } else {
            Fit::Other
        })
    }
}

/// Names this boot of the machine.
pub(super) fn boot_id() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let id = read.map_or(String::new(), |text| text.trim().to_owned());
    if id.is_empty() || id.contains(' ') { NO_BOOT.to_owned() } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(file: &File, offset: u64) -> Position {
        let meta = file.metadata().expect("meta");
        Position {
            boot: boot_id(),
            id: Id::of(&meta),
            offset,
            size: meta.len(),
            print: Print::of(file, offset).expect("print"),
            path: "/a path/with blanks".into(),
        }
    }

    fn file(text: &[u8]) -> File {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(text, 0).expect("written");
        file
    }

    #[test]
    fn text_and_back() {
        let position = position(&file(b"one\ntwo\n"), 4);
        assert_eq!(Position::parse(&position.text()), Some(position.clone()));
        for wrong in ["", "2 x", "1 - 1 2 3", &position.text().replace("1 ", "9 ")] {
            assert_eq!(Position::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_that_grew_is_the_same() {
        let file = file(b"one\ntwo\n");
        let position = position(&file, 8);
        file.write_all_at(b"three\n", 8).expect("written");
        assert_eq!(position.fit(&file).expect("looked"), Fit::Same);
    }

    #[test]
    fn another_with_its_inode_is_not() {
        let text = b"line\n".repeat(1000);
        let file = file(&text);
        let position = position(&file, 4000);
        file.write_all_at(b"L", 0).expect("written");
        assert_eq!(position.fit(&file).expect("looked"), Fit::Other, "another head");
        file.write_all_at(b"l", 0).expect("written");
        file.write_all_at(b"L", 3995).expect("written");
        assert_eq!(position.fit(&file).expect("looked"), Fit::Other, "another tail");
        file.set_len(100).expect("cut");
        assert_eq!(position.fit(&file).expect("looked"), Fit::Other, "too short");
    }

    #[test]
    fn what_a_power_cut_took_is_not_read_again() {
        let file = file(&b"line\n".repeat(1000));
        if filesystem::is_in_memory(&file) {
            return;
        }
        let position = Position { boot: "another".into(), ..position(&file, 4000) };
        file.set_len(2000).expect("cut");
        assert_eq!(position.fit(&file).expect("looked"), Fit::Shortened { to: 2000 });
        file.write_all_at(b"L", 0).expect("written");
        assert_eq!(position.fit(&file).expect("looked"), Fit::Other);
    }
}
