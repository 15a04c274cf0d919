//! A look at the write-ahead log before anything is done with what SQLite
//! read in it.
//!
//! SQLite ends its reading of the log at the first frame whose checksum does
//! not hold, without a word. After a power cut that is right: the frame was
//! of a transaction that never was acknowledged. But if a frame in the middle
//! has gone bad, acknowledged transactions after it would vanish silently.
//!
//! The two can be told apart, since every commit is synced before the next is
//! begun: only frames of the last transaction can be torn. A bad frame with
//! two or more commits of the same generation after it is damage. With one or
//! none it may be either, and is taken for a power cut.
//!
//! The format is SQLite's documented one: a header of 32 bytes, then frames
//! of 24 bytes and a page, their checksums running on from the header's.

use std::io::{self, Read};

use rusqlite::Connection;

use super::raw::{CHUNK, RawFile};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const MAGIC_LITTLE: u32 = 0x377f_0682;
const MAGIC_BIG: u32 = 0x377f_0683;

/// Checks the log of that database.
///
/// # Errors
/// A sentence that says why it is damaged for certain. What can't be read
/// here is no error: SQLite will meet and report it.
pub(crate) fn check(conn: &Connection) -> Result<(), String> {
    let Ok(Some(file)) = RawFile::log(conn) else { return Ok(()) };
    let Ok(reader) = file.reader() else { return Ok(()) };
    let mut reader = io::BufReader::with_capacity(CHUNK, reader);
    let mut header = [0; HEADER];
    if reader.read_exact(&mut header).is_err() {
        return Ok(());
    }
    let Some(log) = Log::of(&header) else {
        return if is_unused(&header, reader) { Ok(()) } else { Err(bad_header()) };
    };
    let mut first = [0; FRAME_HEADER];
    if reader.read_exact(&mut first).is_err() {
        return Ok(());
    }
    log.walk(first, reader)
}

/// Whether a log without a sound header never held anything: the header is
/// one sector, and synced before the first frame is written. So either there
/// is nothing after it, or a power cut left zeroes only.
fn is_unused(header: &[u8; HEADER], rest: impl io::BufRead) -> bool {
    let mut bytes = rest.bytes().map_while(Result::ok).peekable();
    bytes.peek().is_none() || (*header == [0; HEADER] && bytes.all(|byte| byte == 0))
}

fn bad_header() -> String {
    "the header of its write-ahead log does not hold, so the writes in it can't be read".to_owned()
}

/// What the header says.
struct Log {
    big_endian: bool,
    page: usize,
    salts: [u8; 8],
    sum: (u32, u32),
}

impl Log {
    fn of(header: &[u8; HEADER]) -> Option<Self> {
        let magic = be(header, 0);
        if magic != MAGIC_LITTLE && magic != MAGIC_BIG {
            return None;
        }
        let big_endian = magic == MAGIC_BIG;
        let sum = checksum(big_endian, (0, 0), &header[..24]);
        let mut salts = [0; 8];
        salts.copy_from_slice(&header[16..24]);
        let page = be(header, 8) as usize;
        let sound = sum == (be(header, 24), be(header, 28))
            && (512..=65536).contains(&page)
            && page.is_power_of_two();
        sound.then_some(Self { big_endian, page, salts, sum })
    }

    /// Follows the frames; `frame` is the first one's header.
    fn walk(&self, mut frame: [u8; FRAME_HEADER], mut rest: impl Read) -> Result<(), String> {
        let mut page = vec![0; self.page];
        let mut sum = self.sum;
        let mut number = 1_u64;
        let mut bad: Option<u64> = None;
        let mut commits_after = 0;
        while rest.read_exact(&mut page).is_ok() {
            let ours = frame[8..16] == self.salts;
            if bad.is_none() {
                let next = checksum(self.big_endian, sum, &frame[..8]);
                sum = checksum(self.big_endian, next, &page);
                if !ours || sum != (be(&frame, 16), be(&frame, 20)) || be(&frame, 0) == 0 {
                    bad = Some(number);
                }
            }
            // The bad one itself counts neither way: its own marks can't be trusted.
            if bad.is_some_and(|at| at != number) && ours && be(&frame, 4) != 0 {
                commits_after += 1;
            }
            number += 1;
            if rest.read_exact(&mut frame).is_err() {
                break;
            }
        }
        match bad {
            Some(at) if commits_after >= 2 => Err(format!(
                "frame {at} of its write-ahead log does not hold, and {commits_after} committed \
                 writes come after it"
            )),
            Some(_) | None => Ok(()),
        }
    }
}

fn be(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

fn checksum(big_endian: bool, (mut a, mut b): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let word = |at: &[u8]| {
        let mut w = [0; 4];
        w.copy_from_slice(at);
        if big_endian { u32::from_be_bytes(w) } else { u32::from_le_bytes(w) }
    };
    for pair in bytes.chunks_exact(8) {
        a = a.wrapping_add(word(&pair[..4])).wrapping_add(b);
        b = b.wrapping_add(word(&pair[4..])).wrapping_add(a);
    }
    (a, b)
}
