//! Decisions as the disk has them, and what must hold of every write of them:
//! each is reckoned a second time from the text of the policy it names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adrt::engines::context::Signals;
use adrt::engines::decision::{Decision, Policy, Question, policy};
use adrt::supervisor::io::{
    CheckpointReason, DecisionRef, DecisionRow, EventState, KeyHash, Op, PolicyRow, ReviewRow,
    ReviewStatus, Seq, Unit,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::lessons::Lessons;
use super::work::Work;

#[derive(Clone, Default)]
pub struct Decisions {
    pub rows: BTreeMap<u64, DecisionRow>,
    pub policies: BTreeMap<KeyHash, Arc<str>>,
    /// Those that came with an automatic checkpoint.
    pub saved: BTreeSet<u64>,
    pub lessons: Lessons,
    /// Of the present unit: new ones, and reviews that were asked for or
    /// asked for again.
    made: Vec<u64>,
    asked: BTreeSet<u64>,
    /// Events that came and were dealt with at once.
    arrived_done: BTreeSet<Seq>,
    /// Reviews that were settled, and the events that tell of it.
    settled: BTreeSet<u64>,
    resolved: BTreeSet<u64>,
}

impl Decisions {
    pub fn begin_unit(&mut self) {
        self.made.clear();
        self.asked.clear();
        self.arrived_done.clear();
        self.settled.clear();
        self.resolved.clear();
    }

    pub fn find(&self, which: &DecisionRef) -> Option<&DecisionRow> {
        match which {
            DecisionRef::Id(id) => self.rows.get(id),
            DecisionRef::Event(seq) => self.about(*seq),
        }
    }

    /// The one that was made by processing that event.
    pub fn about(&self, seq: Seq) -> Option<&DecisionRow> {
        self.rows.values().find(|row| row.seq == seq)
    }

    /// The first that waits for a review, or did.
    pub fn first_of(&self, review: u64) -> Option<u64> {
        self.rows.values().find(|row| row.review == Some(review)).map(|row| row.id)
    }

    /// As it is read: a review's own row does not say what it is about.
    pub fn review_read(&self, row: &ReviewRow) -> ReviewRow {
        ReviewRow { decision: self.first_of(row.id), ..row.clone() }
    }

    pub fn policy(&mut self, row: &PolicyRow) {
        assert_eq!(row.id, hash(&["policy", &row.text]), "a policy goes by a hash of its text");
        self.policies.insert(row.id, row.text.clone());
    }

    pub fn write(&mut self, row: &DecisionRow, unit: &Unit) {
        match self.rows.get(&row.id) {
            None => self.new_one(row, unit),
            Some(old) => {
                let told = old.outcome.is_none() && row.outcome.is_some();
                if told {
                    self.lessons.told(row);
                }
                let asked = old.review.is_none() && row.review.is_some();
                assert!(told || asked, "{} is written for nothing", row.id);
                let mut same = row.clone();
                if told {
                    (same.outcome, same.settled) = (None, old.settled);
                }
                if asked {
                    same.review = None;
                }
                assert_eq!(same, *old, "what was decided stays as it is");
            }
        }
        self.rows.insert(row.id, row.clone());
    }

    fn new_one(&mut self, row: &DecisionRow, unit: &Unit) {
        let last = self.rows.last_key_value().map_or(0, |(id, _)| *id);
        assert_eq!(row.id, last + 1, "numbers of decisions rise by one");
        assert_eq!((row.at, row.outcome, row.settled), (unit.at, None, None));
        let before = self.about(row.seq).filter(|_| row.seq > 0);
        assert!(before.is_none(), "event {} was decided twice: {before:?}", row.seq);
        self.reckon(row, unit);
        self.made.push(row.id);
    }

    /// The same question, asked of the policy as it was written down.
    fn reckon(&self, row: &DecisionRow, unit: &Unit) {
        let text = self.policies.get(&row.policy).expect("the policy's text is there");
        let kept = Policy::from_json(text).expect("a policy that can be read");
        let basis: Value = serde_json::from_str(&row.basis).expect("a basis is JSON");
        let extra = match basis.get("rules") {
            Some(rules) => policy::rules_from_json(&rules.to_string()).expect("rules"),
            None => Vec::new(),
        };
        if row.seq > 0 {
            let signals = Signals::of_event(&basis["signals"].to_string()).expect("signals");
            let context = kept.reading.analyze(&row.kind, &signals);
            assert_eq!((&context.context, context.risk), (&row.context, row.risk));
            let weights = &kept.reading.weights;
            let found =
                self.lessons.confidence(weights, &signals, row.risk, &row.context, unit.age);
            let (made, again) = (row.confidence.to_bits(), found.value.to_bits());
            assert_eq!(made, again, "the confidence of {}: {found:?}", row.id);
            assert_eq!(row.q.map(f64::to_bits), Some(found.q.to_bits()), "the evidence");
        }
        let question = Question {
            context: &row.context,
            risk: row.risk,
            confidence: row.confidence,
            environment: row.environment,
        };
        let Decision { rule, threshold, verdict, .. } = kept.decide(&extra, &question);
        let again = (&rule.action, &rule.reason, threshold.to_bits(), verdict);
        let made = (&row.action, &row.reason, row.threshold.to_bits(), row.verdict);
        assert_eq!(made, again, "decision {} by its policy", row.id);
    }

    pub fn arrived(&mut self, seq: Seq, state: EventState, event: &Value) {
        if state == EventState::Acked {
            self.arrived_done.insert(seq);
        }
        if event["type"] == "review.resolved" {
            let id = event["review_id"].as_u64().expect("which review");
            let about = self.first_of(id);
            assert_eq!(event["decision_id"].as_u64(), about, "what review {id} was about");
            assert!(self.resolved.insert(id), "the end of a review comes once");
        }
    }

    pub fn reviewed(&mut self, row: &ReviewRow) {
        if row.status == ReviewStatus::Pending {
            self.asked.insert(row.id);
        } else {
            self.settled.insert(row.id);
        }
    }

    pub fn done_at_once(&self) -> usize {
        self.arrived_done.len()
    }

    pub fn note_checkpoint(&mut self, unit: &Unit) {
        let is =
            |op: &Op| matches!(op, Op::Checkpoint(row) if row.reason == CheckpointReason::Every);
        if unit.ops.iter().any(is) {
            self.saved.extend(&self.made);
        }
    }

    /// All that belongs to a decision is in its unit.
    pub fn end_unit(&self, work: &Work) {
        self.lessons.end_unit();
        let decided: BTreeSet<Seq> = self.made.iter().map(|id| self.rows[id].seq).collect();
        assert!(
            self.arrived_done.is_subset(&decided),
            "an event is done and was not decided: {:?} of {decided:?}",
            self.arrived_done
        );
        for id in &self.made {
            let row = &self.rows[id];
            let there = |seq| work.events.contains_key(&seq) || work.dropped.contains(&seq);
            assert!(row.seq == 0 || there(row.seq), "decision {id} is about an event");
            if let Some(review) = row.review {
                let waits = work.reviews[&review].status == ReviewStatus::Pending;
                // An operator may ask, and say yes in the same breath.
                assert!(waits || self.settled.contains(&review), "the review of decision {id}");
                assert!(self.asked.contains(&review), "decision {id} asked nobody");
            }
            if row.verdict.as_str() == "review" {
                assert!(row.review.is_some(), "decision {id} waits for nobody");
            }
            if self.arrived_done.contains(&row.seq) {
                let body = &work.events[&row.seq].body;
                let basis: Value = serde_json::from_str(&row.basis).unwrap();
                let told = Signals::of_event(&basis["signals"].to_string()).unwrap();
                assert_eq!(Signals::of_event(body).unwrap(), told, "the signals of {}", row.seq);
            }
        }
        assert_eq!(self.settled, self.resolved, "reviews that ended, and who was told");
        self.joined(work);
    }

    /// Nobody is asked the same twice at a time.
    fn joined(&self, work: &Work) {
        let mut prompts = BTreeSet::new();
        let waits = |row: &&ReviewRow| row.status == ReviewStatus::Pending && row.key.is_none();
        for row in work.reviews.values().filter(waits) {
            let about = self.first_of(row.id);
            // adrt's own question is the same whatever decision it comes from.
            let about = about.filter(|_| !row.prompt.ends_with(")?"));
            assert!(
                prompts.insert((&row.prompt, about)),
                "review {} asks what another asks: {}",
                row.id,
                row.prompt
            );
        }
    }
}

/// As the machine makes it.
pub fn hash(parts: &[&str]) -> KeyHash {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    sum.finalize()[..16].try_into().unwrap()
}
