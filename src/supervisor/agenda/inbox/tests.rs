use std::collections::BTreeMap;

use super::*;
use crate::clock::Wall;
use crate::supervisor::io::EventState;

const KINDS: [&str; 3] = ["a", "b", "c"];

fn status(seq: Seq, at: u64) -> EventStatus {
    EventStatus::new(seq, EventState::Pending, Age::from_millis(at))
}

fn entry(seq: Seq, at: u64, kind: &str) -> Entry {
    Entry { status: status(seq, at), kind: kind.into(), body: "{}".into() }
}

fn row(entry: &Entry) -> EventRow {
    let Entry { status, kind, body } = entry.clone();
    EventRow { status, kind, body, at: Wall::default() }
}

#[test]
fn the_order_is_by_place_and_then_by_number() {
    let mut inbox = Inbox::default();
    for (seq, at) in [(1, 9), (2, 5), (3, 5), (4, 1)] {
        inbox.arrive(entry(seq, at, "a"));
    }
    let now = Age::from_millis(8);
    let mut order = Vec::new();
    while inbox.next(now) == Next::Now {
        order.push(inbox.hand_out(1).unwrap().status.seq);
    }
    assert_eq!(order, [4, 2, 3]);
    assert_eq!(inbox.next(now), Next::At(Age::from_millis(9)));
}

#[test]
fn what_may_be_deadly_is_handed_out_alone_and_first() {
    let mut inbox = Inbox::default();
    let mut suspect = entry(1, 1, "a");
    suspect.status.deaths = 1;
    inbox.arrive(suspect);
    inbox.arrive(entry(2, 2, "a"));
    let now = Age::from_millis(9);
    assert_eq!(inbox.hand_out(1).unwrap().status.seq, 1);
    assert_eq!(inbox.next(now), Next::None, "nothing beside it");
    let held = inbox.let_go(1).unwrap();
    inbox.hand_out(1).unwrap();
    inbox.put_back(held);
    assert_eq!(inbox.next(now), Next::None, "nor it beside others");
}

#[test]
fn a_late_record_takes_only_what_was_held_by_then() {
    let mut inbox = Inbox::default();
    inbox.arrive(entry(1, 1, "a"));
    inbox.arrive(entry(2, 1, "a"));
    inbox.hand_out(3);
    inbox.hand_out(4);
    assert_eq!((inbox.held_until(3), inbox.held_until(4)), (vec![1], vec![1, 2]));
}

#[test]
fn a_large_event_that_comes_back_is_read_again() {
    let mut inbox = Inbox::default();
    let large: Arc<str> = "x".repeat(HELD_BYTES_MAX + 1).into();
    inbox.arrive(Entry { body: large, ..entry(1, 1, "a") });
    inbox.arrive(entry(2, 2, "a"));
    inbox.hand_out(1);
    let held = inbox.let_go(1).unwrap();
    inbox.put_back(held);
    let now = Age::from_millis(5);
    assert_eq!(inbox.next(now), Next::None);
    let after = inbox.fetch_after(now).unwrap();
    assert!(after < (Age::from_millis(1), 1), "{after:?}");
}

#[test]
fn an_event_that_is_read_twice_is_in_the_window_once() {
    let mut inbox = Inbox::default();
    let rows: Vec<EventRow> = (1..4).map(|seq| row(&entry(seq, 1, "a"))).collect();
    for _ in 0..3 {
        let rows = rows.clone();
        inbox.fetched(Fetched { rows, horizon: None, damaged: Vec::new() });
    }
    assert_eq!((inbox.window.size(), inbox.window_bytes), (3, 6));
}

#[test]
fn a_window_that_grows_too_large_lets_its_end_go() {
    let mut inbox = Inbox::default();
    for seq in 1..=WINDOW_EVENTS_MAX as u64 + 10 {
        inbox.arrive(entry(seq, seq, "a"));
    }
    assert_eq!(inbox.window.size(), WINDOW_EVENTS_MAX);
    assert_eq!(inbox.horizon.map(|(_, seq)| seq), Some(WINDOW_EVENTS_MAX as u64));
    assert_eq!(inbox.depth(), WINDOW_EVENTS_MAX as u64 + 10);
    assert_eq!(inbox.ready_ahead(), usize::MAX, "no source is read meanwhile");
}

/// The inbox beside what it stands for: all that waits, sorted.
struct Pair {
    inbox: Inbox,
    /// Pending, held ones included: as the disk has them.
    disk: BTreeMap<Seq, Entry>,
    held: Vec<Seq>,
    types: Vec<String>,
    now: u64,
}

impl Pair {
    fn wanted(&self) -> Vec<&Entry> {
        let wants = |kind: &str| self.types.is_empty() || self.types.iter().any(|t| t == kind);
        let mut list: Vec<&Entry> = self
            .disk
            .values()
            .filter(|e| wants(&e.kind) && !self.held.contains(&e.status.seq))
            .collect();
        list.sort_by_key(|e| e.place());
        list
    }

    /// A few of them, as the disk would read them.
    fn read(&mut self, rng: &mut fastrand::Rng) {
        let Some(after) = self.inbox.fetch_after(Age::from_millis(self.now)) else { return };
        let rest: Vec<EventRow> =
            self.wanted().into_iter().filter(|e| e.place() > after).map(row).collect();
        let count = rng.usize(1..4).min(rest.len());
        let more = count < rest.len() || rng.bool();
        let rows = rest[..count].to_vec();
        let last = rows.last().map(|row| (row.status.place, row.status.seq));
        let horizon = last.filter(|_| more);
        self.inbox.fetched(Fetched { rows, horizon, damaged: Vec::new() });
    }

    fn step(&mut self, rng: &mut fastrand::Rng) {
        match rng.u8(0..12) {
            0..4 => {
                let seq = self.inbox.take_seq();
                let entry = entry(seq, self.now + rng.u64(0..20), KINDS[rng.usize(0..3)]);
                self.disk.insert(seq, entry.clone());
                self.inbox.arrive(entry);
            }
            4 | 5 => self.hand_out(),
            6 if !self.held.is_empty() => {
                let seq = self.held.swap_remove(rng.usize(0..self.held.len()));
                let mut held = self.inbox.let_go(seq).unwrap();
                if rng.bool() {
                    self.disk.remove(&seq);
                    self.inbox.settled();
                } else {
                    held.status.place = Age::from_millis(self.now + rng.u64(0..20));
                    held.status.due = held.status.place;
                    if rng.bool() {
                        held.body = None;
                    }
                    self.disk.get_mut(&seq).unwrap().status = held.status.clone();
                    self.inbox.put_back(held);
                }
            }
            7 => {
                self.types = match rng.u8(0..3) {
                    0 => Vec::new(),
                    1 => vec!["a".into()],
                    _ => vec!["b".into(), "c".into()],
                };
                self.inbox.set_filter(&self.types);
            }
            8 => self.inbox.reread(),
            9 => {
                let gone = self.wanted().first().map(|e| e.status.clone());
                if let Some(status) = gone {
                    self.disk.remove(&status.seq);
                    self.inbox.forgotten(&status);
                }
            }
            10 => self.now += rng.u64(0..15),
            _ => self.read(rng),
        }
    }

    fn hand_out(&mut self) {
        let now = Age::from_millis(self.now);
        let first = self.wanted().first().map(|e| (e.status.seq, e.status.due));
        match self.inbox.next(now) {
            Next::Now => {
                let seq = self.inbox.hand_out(1).unwrap().status.seq;
                assert_eq!(Some(seq), first.map(|(seq, _)| seq), "out of turn");
                self.held.push(seq);
            }
            Next::At(at) => {
                assert!(at > now && first.is_none_or(|(_, due)| due >= at), "it is due already");
            }
            // Only while there is something to be read.
            Next::None => {
                let due = first.is_some_and(|(_, due)| due <= now);
                assert!(!due || self.inbox.fetch_after(now).is_some(), "it is never handed out");
            }
        }
    }

    fn check(&self) {
        let inbox = &self.inbox;
        assert_eq!((inbox.depth(), inbox.held_count()), (self.disk.len() as u64, self.held.len()));
        let in_window: Vec<Place> = inbox.window.keys().copied().collect();
        let there: Vec<Place> = self
            .wanted()
            .iter()
            .map(|e| e.place())
            .filter(|place| inbox.horizon.is_none_or(|horizon| *place <= horizon))
            .collect();
        assert_eq!(in_window, there, "what is in memory, up to {:?}", inbox.horizon);
        let bytes: usize = inbox.window.values().map(|e| e.body.len()).sum();
        assert_eq!(inbox.window_bytes, bytes);
    }
}

#[test]
fn it_is_the_beginning_of_a_sorted_list_whatever_happens() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (inbox, disk, held) = (Inbox::default(), BTreeMap::new(), Vec::new());
        let mut pair = Pair { inbox, disk, held, types: Vec::new(), now: 0 };
        for _ in 0..200 {
            pair.step(&mut rng);
            pair.check();
        }
        pair.now += 1000;
        while !pair.wanted().is_empty() {
            pair.read(&mut rng);
            pair.hand_out();
        }
    }
}
