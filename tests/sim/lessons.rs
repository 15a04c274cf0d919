//! What outcomes have taught, folded a second time: outcomes that were asked
//! for are matched with what was written, in the order of the commits.
//!
//! Every outcome the script makes up has numbers of its own, so what was
//! learnt tells, to the last bit, from which of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adrt::clock::Age;
use adrt::engines::confidence::{self, Calibration, Confidence};
use adrt::engines::context::{Risk, Signals, Weights};
use adrt::supervisor::io::{CalibrationRow, DecisionRow, Op, Unit, WorkOp};
use adrt::supervisor::rulings::{ALL_CONTEXTS, CONTEXTS_KEPT};

/// A context and a risk.
type Kind = (Arc<str>, Risk);
/// All that was learnt, to the last bit.
type Bits = (u64, u64, u64, Age);

/// An outcome that is told without a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The same for all repeats of one request.
    pub number: u64,
    pub success: bool,
    pub of: Of,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Of {
    Call(String),
    Stated {
        confidence: f64,
        risk: Risk,
        context: Option<Arc<str>>,
    },
    /// Found by its row.
    Decision(u64),
}

/// Where a lesson may come from.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    Decision(u64),
    Call(String),
    Stated(u64),
}

struct Candidate {
    source: Source,
    kind: (Option<Arc<str>>, Risk),
    /// None: what makes that confidence.
    q: Option<f64>,
    confidence: f64,
    success: bool,
}

#[derive(Clone, Default)]
pub struct Lessons {
    /// As they were written.
    pub rows: BTreeMap<Kind, Calibration>,
    /// As they are when all that was told is learnt in its order.
    folded: BTreeMap<Kind, Calibration>,
    /// What was asked for.
    asked: BTreeMap<u64, Told>,
    there: BTreeSet<u64>,
    /// What has taught.
    pub stated: BTreeSet<u64>,
    pub calls: BTreeMap<String, bool>,
    /// A key was forgotten: what is told again may teach again.
    pub forgetful: bool,
    /// Of the present unit: decisions whose outcome taught, and the rest of a
    /// lesson: what it taught of all contexts.
    learnt: BTreeSet<u64>,
    rest: Option<(Risk, f64, bool)>,
    forgotten: bool,
}

impl Lessons {
    /// Somebody is about to tell it.
    pub fn ask(&mut self, told: &Told, decided: &BTreeMap<u64, DecisionRow>) {
        if let Of::Decision(id) = told.of
            && decided.contains_key(&id)
        {
            self.there.insert(told.number);
        }
        self.asked.insert(told.number, told.clone());
    }

    /// Whether the decision it is about was on the disk when it was told.
    pub fn was_there(&self, told: &Told) -> bool {
        self.there.contains(&told.number)
    }

    /// That decision's outcome is written down: it has taught just now.
    pub fn told(&mut self, row: &DecisionRow) {
        assert!(self.learnt.remove(&row.id), "the outcome of {} taught nothing", row.id);
    }

    pub fn end_unit(&self) {
        assert!(self.learnt.is_empty(), "it taught and was not written down: {:?}", self.learnt);
        assert!(self.rest.is_none(), "half a lesson");
        assert!(!self.forgotten, "forgotten for nothing");
        assert_eq!(bits(&self.rows), bits(&self.folded), "what was learnt");
    }

    /// As it is read.
    pub fn kept(&self) -> Vec<CalibrationRow> {
        let row = |(kind, calibration): (&Kind, &Calibration)| {
            let (context, risk) = kind.clone();
            CalibrationRow { context, risk, calibration: *calibration }
        };
        self.rows.iter().map(row).collect()
    }

    /// Whether that has taught.
    pub fn has_taught(&self, told: &Told) -> bool {
        match &told.of {
            Of::Call(id) => self.calls.get(id) == Some(&told.success),
            Of::Stated { .. } => self.stated.contains(&told.number),
            Of::Decision(_) => true,
        }
    }

    pub fn drop_row(&mut self, context: &Arc<str>, risk: Risk) {
        assert!(self.rows.len() >= CONTEXTS_KEPT * Risk::ALL.len(), "there was room");
        let kind = (context.clone(), risk);
        let gone = self.rows.remove(&kind).expect("what is forgotten was known");
        assert!(self.rows.values().all(|row| row.last >= gone.last), "another taught before");
        self.folded.remove(&kind);
        self.forgotten = true;
    }

    pub fn write(
        &mut self,
        row: &CalibrationRow,
        decided: &BTreeMap<u64, DecisionRow>,
        unit: &Unit,
    ) {
        let kind = (row.context.clone(), row.risk);
        if !self.rows.contains_key(&kind) {
            self.forgotten = false;
        }
        self.rows.insert(kind.clone(), row.calibration);
        let before = self.folded.get(&kind).copied().unwrap_or_default();
        let after = |q: f64, success: bool| before.learn(q, success, unit.age);
        if let Some((risk, q, success)) = self.rest.take() {
            assert_eq!((&*row.context, row.risk), (ALL_CONTEXTS, risk), "the rest of a lesson");
            self.folded.insert(kind, after(q, success));
            return;
        }
        let fits = |c: &Candidate| {
            let first = c.kind.0.as_deref().unwrap_or(ALL_CONTEXTS);
            first == &*row.context
                && c.kind.1 == row.risk
                && same(&after(self.evidence(c, unit.age), c.success), &row.calibration)
        };
        let candidates = self.candidates(decided, unit);
        let found = candidates.into_iter().find(fits);
        let Some(found) = found else { panic!("nobody told that, or not again: {row:?}") };
        let q = self.evidence(&found, unit.age);
        self.folded.insert(kind, after(q, found.success));
        if &*row.context != ALL_CONTEXTS {
            self.rest = Some((row.risk, q, found.success));
        }
        match found.source {
            Source::Decision(id) => drop(self.learnt.insert(id)),
            Source::Call(id) => drop(self.calls.insert(id, found.success)),
            Source::Stated(number) => drop(self.stated.insert(number)),
        }
    }

    /// What may teach in that unit.
    fn candidates(&self, decided: &BTreeMap<u64, DecisionRow>, unit: &Unit) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        for op in &unit.ops {
            let Op::Work(WorkOp::Decision(row)) = op else { continue };
            let before = decided.get(&row.id).is_none_or(|row| row.outcome.is_none());
            let Some(success) = row.outcome.filter(|_| before && !self.learnt.contains(&row.id))
            else {
                continue;
            };
            found.push(Candidate {
                source: Source::Decision(row.id),
                kind: (Some(row.context.clone()), row.risk),
                q: row.q,
                confidence: row.confidence,
                success,
            });
        }
        let untaught = |told: &&Told| self.forgetful || !self.was_taught(told);
        found.extend(self.asked.values().filter(untaught).filter_map(candidate));
        found
    }

    /// That, or the contrary.
    fn was_taught(&self, told: &Told) -> bool {
        match &told.of {
            Of::Call(id) => self.calls.contains_key(id),
            Of::Stated { .. } | Of::Decision(_) => self.has_taught(told),
        }
    }

    fn evidence(&self, candidate: &Candidate, now: Age) -> f64 {
        candidate.q.unwrap_or_else(|| {
            let (own, all) = self.known(candidate.kind.0.as_ref(), candidate.kind.1);
            let (serving, _) = confidence::serving(own, all);
            serving.copied().unwrap_or_default().at(now).evidence_of(candidate.confidence)
        })
    }

    fn known(
        &self,
        context: Option<&Arc<str>>,
        risk: Risk,
    ) -> (Option<&Calibration>, Option<&Calibration>) {
        let own = context.and_then(|context| self.folded.get(&(context.clone(), risk)));
        (own, self.folded.get(&(ALL_CONTEXTS.into(), risk)))
    }

    /// The confidence in acting, by what was learnt up to now.
    pub fn confidence(
        &self,
        weights: &Weights,
        signals: &Signals,
        risk: Risk,
        context: &Arc<str>,
        now: Age,
    ) -> Confidence {
        let (own, all) = self.known(Some(context), risk);
        confidence::calculate(weights, signals, risk, own, all, now)
    }
}

/// What was asked for, as it may teach. A call's name says all of it:
/// `c1.RISK.Q.NUMBER.CONTEXT`.
fn candidate(told: &Told) -> Option<Candidate> {
    let (source, kind, q, confidence) = match &told.of {
        Of::Decision(_) => return None,
        Of::Call(id) => {
            let parts: Vec<&str> = id.splitn(5, '.').collect();
            let [_, risk, q, _, context] = parts[..] else { panic!("a call's name: {id}") };
            let context = (!context.is_empty()).then(|| context.into());
            let q = f64::from_bits(u64::from_str_radix(q, 16).unwrap());
            (Source::Call(id.clone()), (context, Risk::from_name(risk).unwrap()), Some(q), 0.0)
        }
        Of::Stated { confidence, risk, context } => {
            (Source::Stated(told.number), (context.clone(), *risk), None, *confidence)
        }
    };
    Some(Candidate { source, kind, q, confidence, success: told.success })
}

fn same(one: &Calibration, other: &Calibration) -> bool {
    bits_of(one) == bits_of(other)
}

fn bits_of(known: &Calibration) -> Bits {
    (known.a.to_bits(), known.b.to_bits(), known.outcomes, known.last)
}

fn bits(rows: &BTreeMap<Kind, Calibration>) -> Vec<(&Kind, Bits)> {
    rows.iter().map(|(kind, known)| (kind, bits_of(known))).collect()
}
