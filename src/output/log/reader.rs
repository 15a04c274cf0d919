//! The reading side of the log: what is in it, and what comes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc;

use super::record::{ALIGN, HEADER_BYTES, RING_BYTES, Record, decode, is_head, key, offset, size};

/// A log that is open for reading. The writer may be at work, or gone.
#[derive(Debug)]
pub struct Reader {
    file: File,
    key: u64,
}

impl Reader {
    /// Opens it.
    ///
    /// # Errors
    /// There is none, or it can't be read; [`io::ErrorKind::InvalidData`] for
    /// a file that is something else.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(path)?;
        let is_file = file.metadata()?.is_file();
        let key = if is_file { key(&file)? } else { None };
        let key = key.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no log"))?;
        Ok(Self { file, key })
    }

    /// All that is kept, oldest first.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn records(&self) -> io::Result<Vec<Record>> {
        whole(&self.file, self.key)
    }

    /// Whether the file under that name is this one.
    pub fn is_at(&self, path: &Path) -> bool {
        match (self.file.metadata(), fs::symlink_metadata(path)) {
            (Ok(own), Ok(there)) => own.ino() == there.ino() && own.dev() == there.dev(),
            (Err(_), _) | (_, Err(_)) => false,
        }
    }
}

/// A reader that waits for what comes.
#[derive(Debug)]
pub struct Tail {
    reader: Reader,
    /// The place of the last record that was read; none before the first.
    last: Option<u64>,
    /// The place of the one that is waited for.
    next: u64,
}

impl Tail {
    /// Begins with the oldest that is kept.
    pub const fn new(reader: Reader) -> Self {
        Self { reader, last: None, next: 0 }
    }

    /// See [`Reader::is_at`].
    pub fn is_at(&self, path: &Path) -> bool {
        self.reader.is_at(path)
    }

    /// What has come since the last time, oldest first; all that is kept at
    /// the first. What was overwritten before it was read counts among the
    /// first one's skipped bytes.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn more(&mut self) -> io::Result<Vec<Record>> {
        if !self.has_news()? {
            return Ok(Vec::new());
        }
        let mut records = self.reader.records()?;
        records.retain(|record| record.at >= self.next);
        if let Some(first) = records.first_mut().filter(|_| self.last.is_some()) {
            first.skipped += first.at - self.next;
        }
        if let Some(last) = records.last() {
            (self.last, self.next) = (Some(last.at), last.end());
        }
        Ok(records)
    }

    /// Whether it is worth the while to read it all. Before a writer comes
    /// round to the place of the next record a second time, it has written
    /// over the last one.
    fn has_news(&self) -> io::Result<bool> {
        let Some(last) = self.last else { return Ok(true) };
        Ok(self.begins(self.next)? || !self.begins(last)?)
    }

    /// Whether the record of that place begins there, whole or not.
    fn begins(&self, at: u64) -> io::Result<bool> {
        let Reader { file, key } = &self.reader;
        let mut bytes = [0; 16];
        let offset = offset(at);
        let first = bytes.len().min(RING_BYTES - offset);
        file.read_exact_at(&mut bytes[..first], HEADER_BYTES + offset as u64)?;
        file.read_exact_at(&mut bytes[first..], HEADER_BYTES)?;
        Ok(is_head(&bytes, *key, at))
    }
}

/// The whole records of a file, oldest first, up to the newest and without a
/// gap. One that is being written or overwritten is none of them.
pub(super) fn whole(file: &File, key: u64) -> io::Result<Vec<Record>> {
    let mut ring = vec![0; RING_BYTES];
    file.read_exact_at(&mut ring, HEADER_BYTES)?;
    let mut found = BTreeMap::new();
    let mut offset = 0;
    while offset < RING_BYTES {
        // What is within a record that holds is text.
        offset += match decode(&ring, offset, key) {
            Some(record) => {
                let bytes = size(record.text.len());
                found.insert(record.at, record);
                bytes
            }
            None => ALIGN,
        };
    }
    let mut records: Vec<Record> = Vec::new();
    while let Some((_, record)) = found.pop_last() {
        if records.last().is_some_and(|later| record.end() != later.at) {
            break;
        }
        records.push(record);
    }
    records.reverse();
    Ok(records)
}
