//! Decisions as they are written to the disk, the policies they went by, and
//! what their outcomes have taught.

use std::sync::Arc;

use super::units::KeyHash;
use super::work::Seq;
use crate::clock::Wall;
use crate::engines::confidence::Calibration;
use crate::engines::context::Risk;
use crate::engines::decision::Verdict;
use crate::engines::environment::Level;

/// A decision, with all that it was made of but for the policy's text.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionRow {
    /// Its number: 1, 2, 3 … over the agent's life.
    pub id: u64,
    /// When it was made.
    pub at: Wall,
    /// The event it is about; 0 for one that is not kept as such.
    pub seq: Seq,
    /// The event's type.
    pub kind: Arc<str>,
    /// The kind of trouble.
    pub context: Arc<str>,
    /// The risk.
    pub risk: Risk,
    /// The confidence it was made with.
    pub confidence: f64,
    /// The evidence before calibration; none where only a confidence was given.
    pub q: Option<f64>,
    /// How hard pressed the machine was.
    pub environment: Level,
    /// The confidence it took to go ahead.
    pub threshold: f64,
    /// What is to be done.
    pub action: Arc<str>,
    /// Why, in a word.
    pub reason: Arc<str>,
    /// Whether it could be carried out at once.
    pub verdict: Verdict,
    /// The policy it went by: a hash of its text.
    pub policy: KeyHash,
    /// What else it was made of, as JSON text: signals, evidence, calibration,
    /// the rules that came with the request.
    pub basis: Arc<str>,
    /// The review it waits for, or waited for.
    pub review: Option<u64>,
    /// How it went, once that was told.
    pub outcome: Option<bool>,
    /// When that was told.
    pub settled: Option<Wall>,
}

/// How a decision is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionRef {
    /// By number.
    Id(u64),
    /// As the first that was made about this event by processing it.
    Event(Seq),
}

/// The text of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    /// A hash of the text.
    pub id: KeyHash,
    /// [`crate::engines::decision::Policy::to_json`].
    pub text: Arc<str>,
}

/// What outcomes have taught about one context and risk.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationRow {
    /// The context; [`ALL_CONTEXTS`] for all of them together.
    pub context: Arc<str>,
    /// The risk.
    pub risk: Risk,
    /// What was learnt.
    pub calibration: Calibration,
}

/// The name under which is kept what the outcomes of all contexts taught.
pub const ALL_CONTEXTS: &str = "*";
/// Contexts about which something is kept, for each risk: events of unknown
/// types have a context each, and their number has no bound.
pub const CONTEXTS_KEPT: usize = 256;
