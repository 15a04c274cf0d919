//! The last of what an agent wrote, for the crash ledger.

use std::cell::RefCell;
use std::rc::Rc;

use super::log::{Log, Stream};

/// How much of it is kept: enough for a long traceback, little enough to be
/// written to an SD card at each crash.
pub const RING_BYTES: usize = 64 * 1024;

/// Keeps the last [`RING_BYTES`] of what is pushed. Takes no memory before
/// the first push.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    /// Grows up to `RING_BYTES`, then is overwritten from `oldest` on.
    bytes: Vec<u8>,
    /// Where the oldest byte is, once it is full.
    oldest: usize,
}

impl Ring {
    /// An empty one.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), oldest: 0 }
    }

    /// Adds bytes; those that can't be among the last are not even copied.
    pub fn push(&mut self, new: &[u8]) {
        let new = &new[new.len().saturating_sub(RING_BYTES)..];
        let grown = new.len().min(RING_BYTES - self.bytes.len());
        let (append, overwrite) = new.split_at(grown);
        self.bytes.extend_from_slice(append);
        // Nothing is overwritten before it is full.
        let to_end = overwrite.len().min(self.bytes.len() - self.oldest);
        let (first, second) = overwrite.split_at(to_end);
        self.bytes[self.oldest..][..first.len()].copy_from_slice(first);
        self.bytes[..second.len()].copy_from_slice(second);
        if !overwrite.is_empty() {
            self.oldest = (self.oldest + overwrite.len()) % RING_BYTES;
        }
    }

    /// What it holds, oldest first, and leaves it empty without memory.
    pub fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.rotate_left(self.oldest);
        self.oldest = 0;
        bytes
    }
}

/// A ring that several sources of one thread push to: an agent's stderr and
/// its text. What is pushed goes to the log, too, if the source has one.
#[derive(Debug, Clone, Default)]
pub struct SharedRing {
    ring: Rc<RefCell<Ring>>,
    log: Option<(Log, Stream, u64)>,
}

impl SharedRing {
    /// An empty one, with no log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same ring, for a source whose text is logged as that incarnation's.
    pub fn logged(&self, log: &Log, stream: Stream, incarnation: u64) -> Self {
        Self { ring: Rc::clone(&self.ring), log: Some((log.clone(), stream, incarnation)) }
    }

    /// See [`Ring::push`].
    pub fn push(&self, new: &[u8]) {
        self.ring.borrow_mut().push(new);
        if let Some((log, stream, incarnation)) = &self.log {
            log.push(*stream, *incarnation, new);
        }
    }

    /// See [`Ring::take`].
    pub fn take(&self) -> Vec<u8> {
        self.ring.borrow_mut().take()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_the_last_of_it(
            sizes in proptest::collection::vec(0..=(RING_BYTES + 3), 0..12),
        ) {
            let mut ring = Ring::new();
            let mut model = Vec::new();
            for (round, size) in sizes.into_iter().enumerate() {
                let new: Vec<u8> = (0..size).map(|i| ((i * 31 + round * 7) % 251) as u8).collect();
                ring.push(&new);
                model.extend_from_slice(&new);
            }
            let last = &model[model.len().saturating_sub(RING_BYTES)..];
            prop_assert!(ring.take() == last);
            prop_assert!(ring.take().is_empty());
        }
    }

    #[test]
    fn small_pieces_wrap_around() {
        let mut ring = Ring::new();
        let mut model = Vec::new();
        for n in 0..30_000_u32 {
            let line = format!("line {n}\n");
            ring.push(line.as_bytes());
            model.extend_from_slice(line.as_bytes());
        }
        assert_eq!(ring.take(), model[model.len() - RING_BYTES..]);
    }
}
