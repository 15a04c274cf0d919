//! Decisions, their reviews and policies, and what outcomes taught: what the
//! script makes the store do with them, and what it must have afterwards.

use std::collections::BTreeMap;

use adrt::clock::{Age, Wall};
use adrt::engines::confidence::Calibration;
use adrt::engines::context::Risk;
use adrt::engines::decision::Verdict;
use adrt::engines::environment::Level;
use adrt::supervisor::io::{
    CalibrationRow, DecisionRow, PolicyRow, Restored, ReviewRow, ReviewStatus, WorkOp,
};
use fastrand::Rng;
use rusqlite::Connection;

/// Contexts and policies that the script plays with.
const CONTEXTS: u8 = 2;
const POLICIES: u8 = 4;

/// All of it that was committed so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judged {
    decisions: BTreeMap<u64, DecisionRow>,
    last: u64,
    /// Those that are kept, the newest last.
    policies: Vec<PolicyRow>,
    /// By context and the place of the risk.
    taught: BTreeMap<(String, usize), Calibration>,
    reviews: BTreeMap<u64, ReviewRow>,
}

impl Judged {
    /// What the machine may write next.
    pub fn ops(&self, rng: &mut Rng) -> Vec<WorkOp> {
        let there: Vec<u64> = self.decisions.keys().copied().collect();
        match (rng.u8(0..8), rng.choice(&there)) {
            (0, _) if rng.bool() => vec![policy_op(rng.u8(0..POLICIES))],
            (0..=3, _) | (4, None) => self.decide(rng),
            (4, Some(id)) => vec![WorkOp::Decision(Box::new(DecisionRow {
                outcome: Some(rng.bool()),
                settled: Some(Wall::from_millis(rng.i64(0..1 << 40))),
                ..self.decisions[id].clone()
            }))],
            (5, _) => self.settle(rng),
            (6, _) if rng.bool() => {
                vec![WorkOp::DropCalibration { context: context(rng).into(), risk: risk(rng) }]
            }
            (_, _) => vec![WorkOp::Calibration(CalibrationRow {
                context: context(rng).into(),
                risk: risk(rng),
                calibration: Calibration {
                    a: rng.f64() * 3.0,
                    b: rng.f64() - 0.5,
                    outcomes: rng.u64(1..1000),
                    last: Age::from_millis(rng.u64(0..1 << 40)),
                },
            })],
        }
    }

    /// A decision, with the policy where that is another one, and a review.
    fn decide(&self, rng: &mut Rng) -> Vec<WorkOp> {
        let mut ops = Vec::new();
        let mut policy = self.policies.last().map_or(0, |policy| policy.id[0]);
        if self.policies.is_empty() || rng.u8(0..4) == 0 {
            policy = rng.u8(0..POLICIES);
            ops.push(policy_op(policy));
        }
        let review = (rng.u8(0..3) == 0).then(|| {
            let waits: Vec<&ReviewRow> = self.pending().collect();
            let row = match rng.choice(&waits) {
                Some(row) if rng.bool() => ReviewRow { count: row.count + 1, ..(*row).clone() },
                Some(_) | None => question(self.reviews.keys().next_back().map_or(1, |id| id + 1)),
            };
            let id = row.id;
            ops.push(WorkOp::Review(Box::new(row)));
            id
        });
        let size = if rng.u8(0..8) == 0 { 6000 } else { rng.usize(0..300) };
        ops.push(WorkOp::Decision(Box::new(DecisionRow {
            id: self.last + 1,
            at: Wall::from_millis(rng.i64(0..1 << 40)),
            seq: rng.u64(0..20),
            kind: "test".into(),
            context: context(rng).into(),
            risk: risk(rng),
            confidence: rng.f64(),
            q: rng.bool().then(|| rng.f64()),
            environment: Level::High,
            threshold: rng.f64(),
            action: "restart_service".into(),
            reason: "because".into(),
            verdict: if review.is_some() { Verdict::Review } else { Verdict::Execute },
            policy: [policy; 16],
            basis: "x".repeat(size).into(),
            review,
            outcome: None,
            settled: None,
        })));
        ops
    }

    /// A person answers, if anything was asked.
    fn settle(&self, rng: &mut Rng) -> Vec<WorkOp> {
        let waits: Vec<&ReviewRow> = self.pending().collect();
        let Some(row) = rng.choice(&waits) else { return self.decide(rng) };
        vec![WorkOp::Review(Box::new(ReviewRow {
            status: ReviewStatus::Approved,
            settled: Some(Wall::from_millis(1)),
            ..(*row).clone()
        }))]
    }

    /// False if this is none of its ops.
    pub fn apply(&mut self, op: &WorkOp) -> bool {
        match op {
            WorkOp::Decision(row) => {
                self.last = self.last.max(row.id);
                self.decisions.insert(row.id, (**row).clone());
            }
            WorkOp::Policy(row) => self.in_force(row),
            WorkOp::Calibration(CalibrationRow { context, risk, calibration }) => {
                self.taught.insert((context.to_string(), risk.index()), *calibration);
            }
            WorkOp::DropCalibration { context, risk } => {
                self.taught.remove(&(context.to_string(), risk.index()));
            }
            WorkOp::Review(row) => {
                self.reviews.insert(row.id, (**row).clone());
            }
            _ => return false,
        }
        true
    }

    fn in_force(&mut self, row: &PolicyRow) {
        let before = self.policies.last().map(|policy| policy.id);
        if before != Some(row.id) {
            self.policies.retain(|policy| policy.id != row.id);
            self.policies.push(row.clone());
            let named = |id| self.decisions.values().any(|row| row.policy == id);
            if let Some(before) = before.filter(|id| !named(*id)) {
                self.policies.retain(|policy| policy.id != before);
            }
        }
    }

    /// `history forget`.
    pub fn forget(&mut self) {
        let waits: Vec<u64> = self.pending().map(|row| row.id).collect();
        self.decisions.retain(|_, row| row.review.is_some_and(|id| waits.contains(&id)));
        let newest = self.policies.last().map(|policy| policy.id);
        let named: Vec<_> = self.decisions.values().map(|row| row.policy).collect();
        self.policies.retain(|row| Some(row.id) == newest || named.contains(&row.id));
    }

    fn pending(&self) -> impl Iterator<Item = &ReviewRow> {
        self.reviews.values().filter(|row| row.status == ReviewStatus::Pending)
    }

    /// The first thing that is not so in a store.
    pub fn difference(&self, restored: &Restored, inside: &Inside) -> Option<&'static str> {
        let work = &restored.work;
        let taught = work.calibrations.iter();
        let taught =
            taught.map(|row| ((row.context.to_string(), row.risk.index()), row.calibration));
        let about = |id| self.decisions.values().find(|row| row.review == Some(id));
        let waits = self.pending().map(|row| {
            let decision = about(row.id).map(|decision| decision.id);
            ReviewRow { decision, ..row.clone() }
        });
        let policies = self.policies.iter().map(|row| (row.id.to_vec(), row.text.to_string()));
        let checks = [
            ("the last decision", self.last == work.last_decision),
            ("what outcomes taught", taught.collect::<BTreeMap<_, _>>() == self.taught),
            ("the reviews that wait", waits.eq(work.reviews.iter().cloned())),
            (
                "the decisions",
                self.decisions.values().map(line).eq(inside.decisions.iter().cloned()),
            ),
            ("the policies", policies.eq(inside.policies.iter().cloned())),
        ];
        checks.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
    }
}

fn context(rng: &mut Rng) -> String {
    format!("context{}", rng.u8(0..CONTEXTS))
}

fn policy_op(policy: u8) -> WorkOp {
    let text = "rule ".repeat(usize::from(policy) * 300 + 1).into();
    WorkOp::Policy(PolicyRow { id: [policy; 16], text })
}

fn risk(rng: &mut Rng) -> Risk {
    if rng.bool() { Risk::High } else { Risk::Low }
}

fn question(id: u64) -> ReviewRow {
    ReviewRow {
        id,
        key: None,
        prompt: "restart_service?".into(),
        options: None,
        default: ReviewStatus::Rejected,
        expires: Some(Age::from_millis(3_600_000)),
        decision: None,
        count: 1,
        asked: Wall::from_millis(0),
        status: ReviewStatus::Pending,
        answer: None,
        by: None,
        note: None,
        settled: None,
    }
}

/// A decision as it is compared.
fn line(row: &DecisionRow) -> String {
    let DecisionRow { id, seq, context, confidence, q, threshold, policy, .. } = row;
    let numbers = (row.review, row.outcome, row.settled.map(Wall::millis));
    let (risk, verdict, policy) = (row.risk.as_str(), row.verdict.as_str(), policy.to_vec());
    let basis = &row.basis;
    format!(
        "{id} {seq} {context} {risk} {confidence:?} {q:?} {threshold:?} {verdict} {policy:?} \
         {numbers:?} {basis}"
    )
}

/// The tables that a restore does not read.
pub struct Inside {
    decisions: Vec<String>,
    policies: Vec<(Vec<u8>, String)>,
}

impl Inside {
    pub fn of(conn: &Connection) -> rusqlite::Result<Self> {
        let mut decisions = conn.prepare(
            "SELECT id, seq, context, risk, confidence, q, threshold, verdict, policy, review,
                 outcome, settled, basis FROM decisions ORDER BY id",
        )?;
        let decisions = decisions.query_map([], |r| {
            let (id, seq, context): (i64, i64, String) = (r.get(0)?, r.get(1)?, r.get(2)?);
            let (risk, confidence, q): (String, f64, Option<f64>) =
                (r.get(3)?, r.get(4)?, r.get(5)?);
            let (threshold, verdict, policy): (f64, String, Vec<u8>) =
                (r.get(6)?, r.get(7)?, r.get(8)?);
            let numbers: (Option<i64>, Option<bool>, Option<i64>) =
                (r.get(9)?, r.get(10)?, r.get(11)?);
            let basis: String = r.get(12)?;
            Ok(format!(
                "{id} {seq} {context} {risk} {confidence:?} {q:?} {threshold:?} {verdict} \
                 {policy:?} {numbers:?} {basis}"
            ))
        })?;
        let mut policies = conn.prepare("SELECT hash, text FROM policies ORDER BY id")?;
        let policies = policies.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(Self {
            decisions: decisions.collect::<rusqlite::Result<_>>()?,
            policies: policies.collect::<rusqlite::Result<_>>()?,
        })
    }
}
