//! Reviews that wait for a person.
//!
//! Those that were settled are only on the disk.

use rpds::RedBlackTreeMap;

use crate::clock::Age;
use crate::supervisor::io::ReviewRow;

/// Reviews that may wait at a time: more than a person will ever look through.
pub const REVIEWS_MAX: usize = 1000;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Reviews {
    last: u64,
    pending: RedBlackTreeMap<u64, ReviewRow>,
}

impl Reviews {
    /// From what was read.
    pub fn new(rows: Vec<ReviewRow>, last: u64) -> Self {
        Self { last, pending: rows.into_iter().map(|row| (row.id, row)).collect() }
    }

    /// The highest number given.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Whether no further one may be asked for.
    pub fn is_full(&self) -> bool {
        self.pending.size() >= REVIEWS_MAX
    }

    /// Takes the next number.
    pub fn take_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// One that waits.
    pub fn get(&self, id: u64) -> Option<&ReviewRow> {
        self.pending.get(&id)
    }

    /// The one that waits and was asked for like that.
    pub fn alike(&self, same: impl Fn(&ReviewRow) -> bool) -> Option<&ReviewRow> {
        self.pending.values().find(|row| same(row))
    }

    /// It waits, as it is now.
    pub fn put(&mut self, row: ReviewRow) {
        self.pending.insert_mut(row.id, row);
    }

    /// It is settled.
    pub fn remove(&mut self, id: u64) -> Option<ReviewRow> {
        let row = self.pending.get(&id)?.clone();
        self.pending.remove_mut(&id);
        Some(row)
    }

    /// Those for which silence is an answer by now.
    pub fn expired(&self, now: Age) -> Vec<u64> {
        let over = |row: &&ReviewRow| row.expires.is_some_and(|at| at <= now);
        self.pending.values().filter(over).map(|row| row.id).collect()
    }

    /// When that is the case next.
    pub fn next_expiry(&self) -> Option<Age> {
        self.pending.values().filter_map(|row| row.expires).min()
    }

    /// Their numbers.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.pending.keys().copied()
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.pending.size()
    }
}
