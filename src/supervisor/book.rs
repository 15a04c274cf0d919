//! The state, twice: as the disk has it, and as it will be once all that was
//! sent to the disk has arrived there.
//!
//! Requests are applied to the speculative [`Doc`] at once and answered later,
//! after their commit. Both docs share all the structure they have in common,
//! so keeping two costs what differs between them. When a transaction fails,
//! [`Book::revert`] drops the speculation and the requests run again.
//!
//! Also kept here, because it moves with the state: which checkpoint is the
//! last, how long the journal's tail after it is, and which idempotency keys
//! have been seen.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::agenda::Agenda;
use super::io::{CheckpointInfo, Incarnation, KeyHash, Restored, Seq, Wear};
use crate::clock::{Mono, Now};
use crate::engines::state::Node;

/// Keys remembered at most.
pub const KEYS_MAX: usize = 65_536;
/// Keys are remembered for so long at most.
pub const KEYS_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// A tail of at least this size, and larger than the last checkpoint, brings
/// the next one at once …
const TAIL_AT_ONCE_BYTES: u64 = 1024 * 1024;
/// … and one of this size, and larger than a quarter of it, brings it …
const TAIL_IN_TIME_BYTES: u64 = 64 * 1024;
/// … after this time: a storage card is not to be worn by whole snapshots.
const TAIL_PATIENCE: Duration = Duration::from_secs(60);

/// The state at a version, with what moves along with it.
#[derive(Debug, Clone)]
pub struct Doc {
    /// The state.
    pub root: Node,
    /// Its version.
    pub version: u64,
    /// Number and version of the newest checkpoint.
    pub checkpoint: Option<(u64, u64)>,
    /// Bytes of journal after the newest checkpoint.
    pub tail_bytes: u64,
    /// Events acked since then.
    pub events_since: u64,
    /// What is still to be done.
    pub agenda: Agenda,
}

/// Both docs and what belongs to them.
#[derive(Debug)]
pub struct Book {
    committed: Doc,
    /// What requests see.
    pub doc: Doc,
    /// The next version is greater than this; after damage it is ahead of the
    /// version that could be read.
    highest_version: u64,
    next_checkpoint: u64,
    last_checkpoint: Option<CheckpointInfo>,
    last_begun: Incarnation,
    checkpoint_taken: Mono,
    /// The hash of its request by the hash of a key.
    keys: Remembered<KeyHash>,
    /// The number of an event by the hash of its source and id.
    events: Remembered<Seq>,
    /// Bytes in used pages of the file.
    pub used_bytes: u64,
    /// What was written to the disk in the last day.
    pub wear: Wear,
}

impl Book {
    /// From what was restored.
    pub fn new(restored: Restored, now: Now) -> Self {
        let (mut keys, mut events) = (Remembered::default(), Remembered::default());
        for (key, request, _) in restored.keys {
            keys.insert(key, request, now.mono);
        }
        for (id, seq) in &restored.work.ids {
            events.insert(*id, *seq, now.mono);
        }
        let wear = restored.work.wear;
        let doc = Doc {
            root: restored.root,
            version: restored.version,
            checkpoint: restored.checkpoint.as_ref().map(|c| (c.id, c.version)),
            tail_bytes: restored.tail_bytes,
            events_since: 0,
            agenda: Agenda::new(restored.work),
        };
        Self {
            committed: doc.clone(),
            doc,
            highest_version: restored.highest_version.max(restored.version),
            next_checkpoint: restored.highest_checkpoint + 1,
            last_checkpoint: restored.checkpoint,
            last_begun: restored.last_begun,
            checkpoint_taken: now.mono,
            keys,
            events,
            used_bytes: restored.used_bytes,
            wear,
        }
    }

    /// The version the next change makes.
    pub fn next_version(&self) -> u64 {
        self.doc.version.max(self.highest_version) + 1
    }

    /// Takes the number of the next checkpoint. Numbers of failed ones are
    /// not used again.
    pub fn take_checkpoint_id(&mut self) -> u64 {
        let id = self.next_checkpoint;
        self.next_checkpoint += 1;
        id
    }

    /// The newest checkpoint on the disk.
    pub fn last_checkpoint(&self) -> Option<&CheckpointInfo> {
        self.last_checkpoint.as_ref()
    }

    /// Whether the start of that one, or of a later one, was on record when the
    /// file was read.
    pub fn has_begun(&self, incarnation: Incarnation) -> bool {
        incarnation <= self.last_begun
    }

    /// The state as the disk has it.
    pub fn committed(&self) -> &Doc {
        &self.committed
    }

    /// Whether the newest checkpoint is behind the state.
    pub fn is_dirty(&self) -> bool {
        match self.doc.checkpoint {
            Some((_, version)) => version != self.doc.version,
            None => self.doc.version != 0,
        }
    }

    /// A unit that made `doc` has reached the disk.
    pub fn commit(&mut self, doc: Doc) {
        self.highest_version = self.highest_version.max(doc.version);
        self.committed = doc;
    }

    /// A checkpoint has reached the disk.
    pub fn checkpoint_written(&mut self, info: CheckpointInfo, now: Mono) {
        self.checkpoint_taken = now;
        self.last_checkpoint = Some(info);
    }

    /// Takes in what was read. Nothing else is under way then: it is the same
    /// change to the state as the disk has it.
    pub fn amend(&mut self, change: impl FnOnce(&mut Doc)) {
        change(&mut self.doc);
        self.committed = self.doc.clone();
    }

    /// Back to what the disk has.
    pub fn revert(&mut self) {
        self.doc = self.committed.clone();
    }

    /// Whether the tail has grown so long that a checkpoint is due now.
    pub fn checkpoint_is_due(&self, now: Mono) -> bool {
        let last = self.last_checkpoint.as_ref().map_or(0, |c| c.bytes);
        self.doc.tail_bytes > TAIL_AT_ONCE_BYTES.max(last)
            || self.checkpoint_deadline().is_some_and(|at| at <= now)
    }

    /// When one will be due if nothing more is written.
    pub fn checkpoint_deadline(&self) -> Option<Mono> {
        let last = self.last_checkpoint.as_ref().map_or(0, |c| c.bytes);
        (self.doc.tail_bytes > TAIL_IN_TIME_BYTES.max(last / 4))
            .then(|| self.checkpoint_taken + TAIL_PATIENCE)
    }

    /// What is remembered of a key: the hash of its request.
    pub fn key(&mut self, key: &KeyHash, now: Mono) -> Option<KeyHash> {
        self.keys.expire(now);
        self.keys.map.get(key).copied()
    }

    /// Remembers a key.
    pub fn remember_key(&mut self, key: KeyHash, request: KeyHash, now: Mono) {
        self.keys.insert(key, request, now);
    }

    /// Forgets a key whose request did not come to pass.
    pub fn forget_key(&mut self, key: &KeyHash) {
        self.keys.remove(key);
    }

    /// The number of the event that came with this source and id.
    pub fn event(&mut self, id: &KeyHash, now: Mono) -> Option<Seq> {
        self.events.expire(now);
        self.events.map.get(id).copied()
    }

    /// Remembers the source and id of an event.
    pub fn remember_event(&mut self, id: KeyHash, seq: Seq, now: Mono) {
        self.events.insert(id, seq, now);
    }

    /// Forgets those of an event that did not come to pass.
    pub fn forget_event(&mut self, id: &KeyHash) {
        self.events.remove(id);
    }
}

/// What is remembered by hashes, and in the order it came.
///
/// Their age is counted on the monotonic clock, from when they came or were
/// restored: a step of the wall clock must not make a request that was done
/// look new. The store leaves out what is too old when it restores, and a key
/// that it has let go of earlier than this is asked for in vain and forgotten
/// here, too.
#[derive(Debug)]
struct Remembered<T> {
    map: HashMap<KeyHash, T>,
    order: VecDeque<(KeyHash, Mono)>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { map: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Remembered<T> {
    fn insert(&mut self, key: KeyHash, what: T, at: Mono) {
        if self.map.insert(key, what).is_none() {
            self.order.push_back((key, at));
        }
        while self.order.len() > KEYS_MAX {
            self.drop_oldest();
        }
    }

    /// Keys of failed requests are among the last that came.
    fn remove(&mut self, key: &KeyHash) {
        if self.map.remove(key).is_some()
            && let Some(place) = self.order.iter().rposition(|(k, _)| k == key)
        {
            self.order.remove(place);
        }
    }

    fn expire(&mut self, now: Mono) {
        while self.order.front().is_some_and(|(_, at)| now.since(*at) > KEYS_AGE_MAX) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((key, _)) = self.order.pop_front() {
            self.map.remove(&key);
        }
    }
}
