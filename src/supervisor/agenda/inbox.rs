//! Events that wait for their turn, and those that are held.
//!
//! ```text
//!            emit           hand-out             ack
//!  (world) ───────► window ─────────► held ─────────────► acked
//!                     ▲ ▲               │ park ► parked ─┐
//!                     │ └── nack, death ┘                │
//!                     └──────────────────────────────────┘
//!                                       │ too often, too old, or told so
//!                                       └────────────────► dead letter
//! ```
//!
//! Pending events are in one order, by (place, seq). The *window* is the part
//! of them that is in memory: those wanted by the agent, up to the *horizon*.
//! What lies beyond it is only on the disk and read when the window runs low,
//! so a backlog of a million events costs the memory of a thousand.
//!
//! Invariants:
//! - every pending event that is wanted, not held and not after the horizon is
//!   in the window; without a horizon, all of them are;
//! - a held event is in `held` and not in the window;
//! - the last of the window is not after the horizon.

use std::sync::Arc;

use rpds::RedBlackTreeMap;
use wildmatch::WildMatch;

use crate::clock::Age;
use crate::supervisor::io::{EventRow, EventStatus, Fetched, Incarnation, Place, Seq};
use crate::supervisor::work::{WINDOW_BYTES, WINDOW_EVENTS};

/// The window may grow to twice what is read at a time before its end is let go.
const WINDOW_EVENTS_MAX: usize = 2 * WINDOW_EVENTS as usize;
const WINDOW_BYTES_MAX: usize = 2 * WINDOW_BYTES as usize;
/// With fewer than so many left, the next are read.
const WINDOW_LOW: usize = 256;
/// Content of held events that is kept, should they come back: with more, it
/// is read again.
const HELD_BYTES_MAX: usize = 1 << 20;

/// An event that waits.
#[derive(Debug, Clone)]
pub struct Entry {
    /// How far it is.
    pub status: EventStatus,
    /// Its type.
    pub kind: Arc<str>,
    /// The whole of it.
    pub body: Arc<str>,
}

impl Entry {
    fn place(&self) -> Place {
        (self.status.place, self.status.seq)
    }
}

impl From<EventRow> for Entry {
    fn from(row: EventRow) -> Self {
        Self { status: row.status, kind: row.kind, body: row.body }
    }
}

/// An event that the live incarnation holds.
#[derive(Debug, Clone)]
pub struct Held {
    /// How far it is.
    pub status: EventStatus,
    /// Its type.
    pub kind: Arc<str>,
    /// The whole of it, if it is kept.
    body: Option<Arc<str>>,
}

/// Which types the agent wants.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    globs: Arc<[WildMatch]>,
    types: Arc<[String]>,
}

impl Filter {
    /// These; all of them when there is none.
    pub fn new(types: &[String]) -> Self {
        Self { globs: types.iter().map(|t| WildMatch::new(t)).collect(), types: types.into() }
    }

    /// Whether it wants that type.
    pub fn wants(&self, kind: &str) -> bool {
        self.globs.is_empty() || self.globs.iter().any(|glob| glob.matches(kind))
    }

    /// As they were given.
    pub fn types(&self) -> &[String] {
        &self.types
    }
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Inbox {
    last_seq: Seq,
    depth: u64,
    dead: u64,
    window: RedBlackTreeMap<Place, Entry>,
    window_bytes: usize,
    horizon: Option<Place>,
    filter: Filter,
    held: RedBlackTreeMap<Seq, Held>,
    held_bytes: usize,
    /// Held ones that may have killed the agent before.
    held_suspects: usize,
    parked: RedBlackTreeMap<Arc<str>, u64>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new(0, 0, 0, Fetched::default(), Vec::new())
    }
}

impl Inbox {
    /// From what was read.
    pub fn new(
        last_seq: Seq,
        depth: u64,
        dead: u64,
        first: Fetched,
        parked: Vec<(Box<str>, u64)>,
    ) -> Self {
        let mut inbox = Self {
            last_seq,
            depth,
            dead,
            window: RedBlackTreeMap::new(),
            window_bytes: 0,
            horizon: None,
            filter: Filter::default(),
            held: RedBlackTreeMap::new(),
            held_bytes: 0,
            held_suspects: 0,
            parked: parked.into_iter().map(|(wait, count)| (Arc::from(wait), count)).collect(),
        };
        inbox.fetched(first);
        inbox
    }

    /// Pending and parked events.
    pub fn depth(&self) -> u64 {
        self.depth
    }

    /// Dead letters.
    pub fn dead(&self) -> u64 {
        self.dead
    }

    /// Parked events.
    pub fn parked(&self) -> u64 {
        self.parked.values().sum()
    }

    /// The highest number given.
    pub fn last_seq(&self) -> Seq {
        self.last_seq
    }

    /// Takes the next number.
    pub fn take_seq(&mut self) -> Seq {
        self.last_seq += 1;
        self.last_seq
    }

    // ------------------------------------------------------------- arriving

    /// One more waits for its turn.
    pub fn arrive(&mut self, entry: Entry) {
        self.depth += 1;
        self.insert(entry);
    }

    /// One was given up at birth.
    pub fn arrive_dead(&mut self) {
        self.dead += 1;
    }

    /// A dead letter waits for its turn again, or is gone.
    pub fn undertake(&mut self, revived: Option<Entry>) {
        self.dead = self.dead.saturating_sub(1);
        if let Some(entry) = revived {
            self.arrive(entry);
        }
    }

    fn insert(&mut self, entry: Entry) {
        let place = entry.place();
        let beyond = self.horizon.is_some_and(|horizon| place > horizon);
        if beyond || !self.filter.wants(&entry.kind) {
            return;
        }
        self.remove(place);
        self.window_bytes += entry.body.len();
        self.window.insert_mut(place, entry);
        while self.window.size() > 1
            && (self.window.size() > WINDOW_EVENTS_MAX || self.window_bytes > WINDOW_BYTES_MAX)
        {
            self.drop_last();
        }
    }

    /// The last of the window goes back to being only on the disk.
    fn drop_last(&mut self) {
        let Some(last) = self.window.last().map(|(place, _)| *place) else { return };
        self.remove(last);
        self.horizon = self.window.last().map(|(place, _)| *place).or(Some(BEGINNING));
    }

    fn remove(&mut self, place: Place) -> Option<Entry> {
        let entry = self.window.get(&place)?.clone();
        self.window.remove_mut(&place);
        self.window_bytes -= entry.body.len();
        Some(entry)
    }

    // -------------------------------------------------------------- reading

    /// Where reading has to go on now, if it has to.
    pub fn fetch_after(&self, now: Age) -> Option<Place> {
        // What is not due yet can wait on the disk.
        self.horizon.filter(|place| self.window.size() < WINDOW_LOW && place.0 <= now)
    }

    /// What was read. Nothing has changed since it was asked for.
    pub fn fetched(&mut self, fetched: Fetched) {
        self.horizon = None;
        for row in fetched.rows {
            if self.held.get(&row.status.seq).is_none() {
                self.insert(row.into());
            }
        }
        // Unless the window was too small for all of it.
        self.horizon = match (self.horizon, fetched.horizon) {
            (Some(window), Some(disk)) => Some(window.min(disk)),
            (window, disk) => window.or(disk),
        };
    }

    /// Only these are wanted from now on.
    pub fn set_filter(&mut self, types: &[String]) {
        if self.filter.types() == types {
            return;
        }
        let had_all = self.filter.types().is_empty();
        self.filter = Filter::new(types);
        if !had_all {
            return self.reread();
        }
        let unwanted = self.window.iter().filter(|(_, entry)| !self.filter.wants(&entry.kind));
        let unwanted: Vec<Place> = unwanted.map(|(place, _)| *place).collect();
        for place in unwanted {
            self.remove(place);
        }
    }

    /// What is wanted.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The window is read anew: events became pending that are only on the disk.
    pub fn reread(&mut self) {
        self.window = RedBlackTreeMap::new();
        self.window_bytes = 0;
        self.horizon = Some(BEGINNING);
    }

    /// Numbers of held events, which the disk has as pending.
    pub fn held_seqs(&self) -> Vec<Seq> {
        self.held.keys().copied().collect()
    }

    /// Numbers of those that this incarnation holds, or an earlier one.
    pub fn held_until(&self, incarnation: Incarnation) -> Vec<Seq> {
        let theirs = self.held.iter().filter(|(_, held)| held.status.holder <= incarnation);
        theirs.map(|(seq, _)| *seq).collect()
    }

    // ----------------------------------------------------------- handing out

    /// Whether the next one may be handed out, and when if not yet. An event
    /// that the agent may have died of is handed out alone.
    pub fn next(&self, now: Age) -> Next {
        let Some((_, first)) = self.window.first() else {
            return match self.horizon {
                Some((due, _)) if due > now => Next::At(due),
                Some(_) | None => Next::None,
            };
        };
        if first.status.due > now {
            return Next::At(first.status.due);
        }
        let alone = first.status.deaths > 0 && !self.held.is_empty();
        if alone || self.held_suspects > 0 { Next::None } else { Next::Now }
    }

    /// Hands the next one out. To be asked after [`Self::next`].
    pub fn hand_out(&mut self, holder: Incarnation) -> Option<Entry> {
        let place = *self.window.first()?.0;
        let mut entry = self.remove(place)?;
        entry.status.attempt += 1;
        entry.status.holder = holder;
        let keep = self.held_bytes + entry.body.len() <= HELD_BYTES_MAX;
        let body = keep.then(|| entry.body.clone());
        self.held_bytes += body.as_ref().map_or(0, |body| body.len());
        self.held_suspects += usize::from(entry.status.deaths > 0);
        let held = Held { status: entry.status.clone(), kind: entry.kind.clone(), body };
        self.held.insert_mut(entry.status.seq, held);
        Some(entry)
    }

    /// How many are held.
    pub fn held_count(&self) -> usize {
        self.held.size()
    }

    /// Whether any is held here and there.
    pub fn shares_held_with(&self, other: &Self) -> bool {
        self.held.keys().any(|seq| other.held.contains_key(seq))
    }

    /// A held one.
    pub fn held(&self, seq: Seq) -> Option<&Held> {
        self.held.get(&seq)
    }

    /// The held events that a death of the agent now would make dead letters.
    pub fn would_bury(&self, max_attempts: u32) -> Vec<Seq> {
        let over = |held: &&Held| held.status.deaths + 1 >= max_attempts;
        self.held.values().filter(over).map(|held| held.status.seq).collect()
    }

    /// Wanted events in memory; as if there were no end of them while more
    /// are on the disk.
    pub fn ready_ahead(&self) -> usize {
        if self.horizon.is_some() { usize::MAX } else { self.window.size() }
    }

    /// Takes one out of the agent's hands.
    pub fn let_go(&mut self, seq: Seq) -> Option<Held> {
        let held = self.held.get(&seq)?.clone();
        self.held.remove_mut(&seq);
        self.held_bytes -= held.body.as_ref().map_or(0, |body| body.len());
        self.held_suspects -= usize::from(held.status.deaths > 0);
        Some(held)
    }

    /// One that was let go waits again, perhaps at another place.
    pub fn put_back(&mut self, held: Held) {
        let Held { status, kind, body } = held;
        let place = (status.place, status.seq);
        match body {
            Some(body) => self.insert(Entry { status, kind, body }),
            // It is read again when its turn comes.
            None => self.cut(place),
        }
    }

    /// From that place on there is only the disk.
    fn cut(&mut self, place: Place) {
        if self.horizon.is_some_and(|horizon| horizon < place) {
            return;
        }
        while self.window.last().is_some_and(|(last, _)| *last >= place) {
            self.drop_last();
        }
        self.horizon = self.window.last().map(|(last, _)| *last).or(Some(just_before(place)));
    }

    /// One that was let go is done.
    pub fn settled(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// One that was let go is given up.
    pub fn buried(&mut self) {
        self.settled();
        self.dead += 1;
    }

    /// One that waits is deleted.
    pub fn forgotten(&mut self, status: &EventStatus) {
        self.settled();
        self.remove((status.place, status.seq));
    }

    /// So many acked ones wait again.
    pub fn reopened(&mut self, count: u64) {
        self.depth += count;
        self.reread();
    }

    // --------------------------------------------------------------- parking

    /// One that was let go is out of the way.
    pub fn park(&mut self, wait: &str) {
        let count = self.parked.get(wait).copied().unwrap_or(0);
        self.parked.insert_mut(wait.into(), count + 1);
    }

    /// Different things that are waited for.
    pub fn waits_for(&self) -> usize {
        self.parked.size()
    }

    /// One that waited for that is gone.
    pub fn unpark_one(&mut self, wait: &str) {
        match self.parked.get(wait).copied() {
            Some(count @ 2..) => self.parked.insert_mut(wait.into(), count - 1),
            Some(_) => drop(self.parked.remove_mut(wait)),
            None => {}
        }
    }

    /// That has happened: whether any waited for it.
    pub fn unpark(&mut self, wait: &str) -> bool {
        let any = self.parked.remove_mut(wait);
        if any {
            self.reread();
        }
        any
    }
}

/// Before all events.
const BEGINNING: Place = (Age::from_millis(0), 0);

/// A place that only those before that one are not after.
fn just_before(place: Place) -> Place {
    (place.0, place.1.saturating_sub(1))
}

/// What is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// One may be handed out.
    Now,
    /// None before then.
    At(Age),
    /// None, as things stand.
    None,
}

#[cfg(test)]
mod tests;
