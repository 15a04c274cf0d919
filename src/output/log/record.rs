//! The form of the file and of a record in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::clock::Wall;

/// What the file begins with; another form gets another one.
pub(super) const MAGIC: [u8; 8] = *b"adrtlog1";
/// Bytes before the ring: a page, so that the ring's pages are the system's.
pub(super) const HEADER_BYTES: u64 = 4096;
/// Bytes of the ring: a few thousand lines, and small enough for a tmpfs of a
/// device with little memory and a dozen agents.
pub(super) const RING_BYTES: usize = 256 * 1024;
/// Bytes of the whole file.
pub(super) const FILE_BYTES: u64 = HEADER_BYTES + RING_BYTES as u64;
/// Bytes of text in one record at most. Of a piece that is longer the end is
/// kept: in a flood nobody reads each line, and adrt has more to do.
pub(super) const TEXT_MAX_BYTES: usize = 64 * 1024;
/// Records begin at multiples of this.
pub(super) const ALIGN: usize = 8;
/// Bytes before a record's text.
pub(super) const HEAD_BYTES: usize = 56;
/// How far the checksum looks into the head: to itself.
const SUMMED_BYTES: usize = 48;

/// Where text came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// The agent's stdout, and what the Python client passes on as such.
    Stdout,
    /// The agent's stderr.
    Stderr,
    /// What the agent has said by the wire's `log`.
    Log,
    /// What adrt itself says of the agent.
    Adrt,
}

impl Stream {
    /// Its name, for JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Log => "log",
            Self::Adrt => "adrt",
        }
    }

    const fn number(self) -> u32 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Log => 3,
            Self::Adrt => 4,
        }
    }

    const fn of_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Stdout,
            2 => Self::Stderr,
            3 => Self::Log,
            4 => Self::Adrt,
            _ => return None,
        })
    }
}

/// A piece of text, and where and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place among all bytes that were ever written to the ring.
    pub at: u64,
    /// When it came.
    pub wall: Wall,
    /// Of which process of the agent; of adrt's own words, the last one that
    /// was started.
    pub incarnation: u64,
    /// From where.
    pub stream: Stream,
    /// Bytes that came just before it and are not kept.
    pub skipped: u64,
    /// The text as it came: not always whole lines, nor whole characters.
    pub text: Vec<u8>,
}

impl Record {
    /// The place of the record after it.
    pub(super) const fn end(&self) -> u64 {
        self.at + size(self.text.len()) as u64
    }
}

/// What stands before a record's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub at: u64,
    pub wall: Wall,
    pub incarnation: u64,
    pub stream: Stream,
    pub skipped: u64,
}

impl Head {
    /// The bytes before that text.
    pub fn encode(&self, key: u64, text: &[u8]) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let length = u32::try_from(text.len()).unwrap_or(0);
        put(&mut bytes, 0, &key.to_le_bytes());
        put(&mut bytes, 8, &self.at.to_le_bytes());
        put(&mut bytes, 16, &self.wall.millis().to_le_bytes());
        put(&mut bytes, 24, &self.incarnation.to_le_bytes());
        put(&mut bytes, 32, &self.skipped.to_le_bytes());
        put(&mut bytes, 40, &length.to_le_bytes());
        put(&mut bytes, 44, &self.stream.number().to_le_bytes());
        let sum = sum(&bytes, text);
        put(&mut bytes, SUMMED_BYTES, &sum.to_le_bytes());
        bytes
    }
}

/// Bytes that a record with so much text takes.
pub(super) const fn size(text_bytes: usize) -> usize {
    (HEAD_BYTES + text_bytes).next_multiple_of(ALIGN)
}

/// Where in the ring that place is.
pub(super) const fn offset(at: u64) -> usize {
    // Less than RING_BYTES.
    (at % RING_BYTES as u64) as usize
}

/// The record at that offset of the ring, if a whole one of that file is there.
pub(super) fn decode(ring: &[u8], offset: usize, key: u64) -> Option<Record> {
    let mut head = [0; HEAD_BYTES];
    copy(ring, offset, &mut head);
    if number(&head, 0) != key {
        return None;
    }
    let at = number(&head, 8);
    let length = usize::try_from(small(&head, 40)).ok()?;
    if self::offset(at) != offset || length > TEXT_MAX_BYTES {
        return None;
    }
    let stream = Stream::of_number(small(&head, 44))?;
    let mut text = vec![0; length];
    copy(ring, (offset + HEAD_BYTES) % ring.len(), &mut text);
    if small(&head, SUMMED_BYTES) != sum(&head, &text) {
        return None;
    }
    Some(Record {
        at,
        wall: Wall::from_millis(number(&head, 16).cast_signed()),
        incarnation: number(&head, 24),
        stream,
        skipped: number(&head, 32),
        text,
    })
}

/// Whether a record of that place begins with these bytes. Text does not.
pub(super) fn is_head(bytes: &[u8; 16], key: u64, at: u64) -> bool {
    number(bytes, 0) == key && number(bytes, 8) == at
}

/// The key of a file, or none if it is no log of this form.
pub(super) fn key(file: &File) -> io::Result<Option<u64>> {
    let mut header = [0; 16];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    }
    Ok((header[..8] == MAGIC).then(|| number(&header, 8)))
}

/// What a file with that key begins with.
pub(super) fn header(key: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    put(&mut bytes, 0, &MAGIC);
    put(&mut bytes, 8, &key.to_le_bytes());
    bytes
}

fn sum(head: &[u8; HEAD_BYTES], text: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..SUMMED_BYTES]), text)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

fn small(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

/// Copies from a ring, over its end.
fn copy(ring: &[u8], offset: usize, to: &mut [u8]) {
    let first = to.len().min(ring.len() - offset);
    to[..first].copy_from_slice(&ring[offset..offset + first]);
    let rest = to.len() - first;
    to[first..].copy_from_slice(&ring[..rest]);
}
