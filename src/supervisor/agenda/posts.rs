//! Events on their way to other agents.
//!
//! The first of them are in memory; what lies behind is read when these are
//! gone. Each is handed to the post office once it is on the disk, and again,
//! later and later, as long as it could not be delivered.

use rpds::RedBlackTreeMap;

use crate::supervisor::io::PostRow;
use crate::supervisor::work::POSTS_KEPT;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Posts {
    last: u64,
    waiting: RedBlackTreeMap<u64, PostRow>,
    /// There may be more on the disk, after the last that was in memory.
    more: bool,
    /// Its number.
    read: u64,
}

impl Posts {
    /// From what was read.
    pub fn new(rows: Vec<PostRow>, last: u64) -> Self {
        let mut posts = Self { last, ..Self::default() };
        posts.fetched(rows);
        posts
    }

    /// Takes the next number.
    pub fn take_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// One more is to be sent.
    pub fn add(&mut self, row: PostRow) {
        if self.more || self.waiting.size() as u64 >= POSTS_KEPT {
            self.more = true;
        } else {
            self.read = row.id;
            self.waiting.insert_mut(row.id, row);
        }
    }

    /// One has arrived, or never will.
    pub fn done(&mut self, id: u64) {
        self.waiting.remove_mut(&id);
    }

    /// Whether the next are to be read.
    pub fn wants_more(&self) -> bool {
        self.more && self.waiting.is_empty()
    }

    /// The last one in memory, or that was.
    pub fn last_read(&self) -> u64 {
        self.waiting.last().map_or(self.read, |(id, _)| *id)
    }

    /// What was read, after the number before the first of it.
    pub fn fetched(&mut self, rows: Vec<PostRow>) {
        self.more = rows.len() as u64 >= POSTS_KEPT;
        for row in rows {
            self.read = self.read.max(row.id);
            self.waiting.insert_mut(row.id, row);
        }
    }

    /// Those in memory.
    pub fn waiting(&self) -> impl Iterator<Item = &PostRow> {
        self.waiting.values()
    }

    /// One in memory.
    pub fn get(&self, id: u64) -> Option<&PostRow> {
        self.waiting.get(&id)
    }

    /// How many are in memory.
    pub fn count(&self) -> usize {
        self.waiting.size()
    }
}
