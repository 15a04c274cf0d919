//! What one unit does to the work, taken together: what belongs together is
//! in it, all of it or nothing.

use std::collections::{BTreeMap, BTreeSet};

use adrt::supervisor::io::{EventState, Op, SOURCE_POSITION, Seq, Unit};
use serde_json::Value;

/// Acked events by the changes of the state that go with them, each with the
/// number of events it says to emit.
pub type Effects = BTreeMap<Seq, u64>;

/// The effects in a unit's changes of the state.
pub fn effects(unit: &Unit) -> Effects {
    let mut found = Effects::new();
    for op in &unit.ops {
        let Op::Journal(row) = op else { continue };
        if row.by.starts_with("restore:") {
            continue;
        }
        let patch: Value = serde_json::from_str(&row.patch).expect("a patch is JSON");
        let parts = match patch.as_array() {
            Some(parts) => parts.iter().map(|part| &part["patch"]).collect(),
            None => vec![&patch],
        };
        for (seq, emits) in parts.iter().filter_map(|part| part["effect"].as_object()).flatten() {
            let seq = seq.parse().unwrap();
            assert!(found.insert(seq, emits.as_u64().unwrap()).is_none(), "{seq} twice");
        }
    }
    found
}

/// What one unit has done.
#[derive(Clone, Default)]
pub struct Marks {
    pub acked: Vec<Seq>,
    pub handed: Vec<Seq>,
    /// Entries written with the ack of that event.
    pub entries: Vec<Seq>,
    /// Timers whose event has come, and which go on or end next.
    pub fired: BTreeSet<Box<str>>,
    /// Events that an ack said would follow, by the acked one.
    emitted: BTreeMap<Seq, u64>,
    lines: Vec<u64>,
}

impl Marks {
    /// An event has come, or goes to another agent.
    pub fn arrived(&mut self, event: &Value, state: EventState) {
        if let Some(of) = event["of"].as_u64() {
            *self.emitted.entry(of).or_default() += 1;
        }
        self.lines.extend(event["line"].as_u64());
        if let Some(text) = event["text"].as_str() {
            assert_eq!(state, EventState::Dead, "a line that is no event");
            self.lines.push(text.trim_start_matches("bad ").parse().unwrap());
        }
    }

    /// At the unit's end.
    pub fn check(&self, effects: &Effects, unit: &Unit, lines: &mut BTreeSet<u64>) {
        let acked: BTreeSet<Seq> = self.acked.iter().copied().collect();
        assert_eq!(acked.len(), self.acked.len(), "acked twice");
        let changed: BTreeSet<Seq> = effects.keys().copied().collect();
        assert_eq!(acked, changed, "an ack and its change of the state");
        let emitted: Effects =
            effects.iter().filter(|(_, emits)| **emits > 0).map(|(s, e)| (*s, *e)).collect();
        assert_eq!(emitted, self.emitted, "an ack and what follows from it");
        assert!(self.entries.iter().all(|seq| acked.contains(seq)), "an entry without its ack");
        assert!(self.fired.is_empty(), "a timer fired and does not go on");
        self.check_source(unit, lines);
    }

    /// A source's lines come once, and with the position after them.
    fn check_source(&self, unit: &Unit, lines: &mut BTreeSet<u64>) {
        for line in &self.lines {
            assert!(lines.insert(*line), "line {line} came twice");
        }
        let position = unit.ops.iter().find_map(|op| match op {
            Op::Meta { name, value } if *name == SOURCE_POSITION => Some(value),
            _ => None,
        });
        match position {
            Some(position) => {
                let position: usize = position.parse().unwrap();
                assert_eq!(lines.len(), position, "all lines before {position} are there");
            }
            None => assert!(self.lines.is_empty(), "lines without their position"),
        }
    }
}
