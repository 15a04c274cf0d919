//! What outcomes have taught, and the numbers of decisions.
//!
//! Decisions themselves are only on the disk; what the next ones go by is
//! here, so that asking for a confidence costs no look at it.

use std::sync::Arc;

use rpds::HashTrieMap;

use crate::clock::Age;
use crate::engines::confidence::Calibration;
use crate::engines::context::Risk;
use crate::supervisor::io::{CalibrationRow, KeyHash};
use crate::supervisor::rulings::{ALL_CONTEXTS, CONTEXTS_KEPT};

/// A context and a risk.
type Kind = (Arc<str>, Risk);

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    last: u64,
    calibrations: HashTrieMap<Kind, Calibration>,
    /// The policy whose text is known to be kept.
    policy: Option<KeyHash>,
}

/// What an outcome changes: what is known now, and what is forgotten for it.
#[derive(Debug, Default)]
pub struct Lesson {
    /// Takes the place of what was there.
    pub known: Vec<CalibrationRow>,
    /// There is no room for it any more.
    pub forgotten: Option<(Arc<str>, Risk)>,
}

impl Learned {
    /// From what was read.
    pub fn new(rows: Vec<CalibrationRow>, last: u64) -> Self {
        let calibrations =
            rows.into_iter().map(|row| ((row.context, row.risk), row.calibration)).collect();
        Self { last, calibrations, policy: None }
    }

    /// Takes the next number of a decision.
    pub fn take_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Whether that policy's text is still to be kept; it is from now on.
    pub fn notes_policy(&mut self, id: KeyHash) -> bool {
        self.policy.replace(id) != Some(id)
    }

    /// What is known of a context and of all contexts, at a risk.
    pub fn known(
        &self,
        context: Option<&str>,
        risk: Risk,
    ) -> (Option<&Calibration>, Option<&Calibration>) {
        let get = |context: &str| self.calibrations.get(&(Arc::from(context), risk));
        (context.and_then(get), get(ALL_CONTEXTS))
    }

    /// Learns from an outcome. Both what is known of the context and what is
    /// known of all contexts are taught by it.
    pub fn learn(
        &mut self,
        context: Option<&str>,
        risk: Risk,
        q: f64,
        success: bool,
        now: Age,
    ) -> Lesson {
        let mut lesson = Lesson::default();
        let own = context.filter(|context| *context != ALL_CONTEXTS);
        for context in own.into_iter().chain([ALL_CONTEXTS]) {
            let kind: Kind = (context.into(), risk);
            let before = self.calibrations.get(&kind).copied();
            if before.is_none() && context != ALL_CONTEXTS {
                lesson.forgotten = self.make_room();
            }
            let calibration = before.unwrap_or_default().learn(q, success, now);
            let (context, risk) = kind.clone();
            self.calibrations.insert_mut(kind, calibration);
            lesson.known.push(CalibrationRow { context, risk, calibration });
        }
        lesson
    }

    /// Forgets the context that has taught nothing for the longest time, if
    /// there are too many.
    fn make_room(&mut self) -> Option<(Arc<str>, Risk)> {
        if self.calibrations.size() < CONTEXTS_KEPT * Risk::ALL.len() {
            return None;
        }
        let contexts =
            self.calibrations.iter().filter(|((context, _), _)| **context != *ALL_CONTEXTS);
        let oldest =
            contexts.min_by_key(|((context, risk), known)| (known.last, context.clone(), *risk));
        let kind = oldest.map(|(kind, _)| kind.clone())?;
        self.calibrations.remove_mut(&kind);
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_that_taught_nothing_for_the_longest_time_makes_room() {
        let most = CONTEXTS_KEPT * Risk::ALL.len();
        let mut learned = Learned::default();
        let mut learn = |context: &str, at: u64| {
            let now = Age::from_millis(at);
            let lesson = learned.learn(Some(context), Risk::Low, 0.5, true, now);
            let kept = learned.calibrations.size();
            (lesson.forgotten.map(|(context, _)| context.to_string()), kept)
        };
        // One row is that of all contexts.
        for number in 1..most {
            let (forgotten, kept) = learn(&format!("c{number}"), number as u64);
            assert_eq!((forgotten, kept), (None, number + 1));
        }
        assert_eq!(learn("c1", 10_000), (None, most), "one that is known takes no room");
        let oldest = Some("c2".to_owned());
        assert_eq!(learn("new", 10_001), (oldest, most));
        assert_eq!(learn("*", 10_002), (None, most), "what all have taught is never forgotten");
        let (own, all) = learned.known(Some("c2"), Risk::Low);
        assert_eq!((own, all.map(|known| known.outcomes)), (None, Some(most as u64 + 2)));
    }
}
