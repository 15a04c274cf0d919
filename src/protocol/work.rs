//! The methods about work: events, steps, entries of the key-value store,
//! timers and reviews.
//!
//! As in [`super::message`], each has a struct of its own that refuses members
//! it does not know. Bodies of events, results and values stay the text that
//! came in.

mod params;

use std::sync::Arc;
use std::time::Duration;

pub(super) use params::{assess, look, write_op};
pub use params::{event, event_line};

use crate::clock::Wall;
use crate::engines::context::{Risk, Signals};
use crate::engines::decision::Rule;
use crate::engines::state::Format;

/// An event, with what adrt looks into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventText {
    /// Its type.
    pub kind: Arc<str>,
    /// Where it comes from.
    pub source: Option<Arc<str>>,
    /// Its name there: with it, a second one is a duplicate.
    pub id: Option<Arc<str>>,
    /// The whole of it, as JSON text.
    pub text: Arc<str>,
}

/// A patch of the state that goes along with something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchText {
    /// How `text` is written.
    pub format: Format,
    /// JSON text.
    pub text: Arc<str>,
}

/// `event.emit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emit {
    /// What has happened.
    pub event: EventText,
    /// For another agent.
    pub to: Option<Arc<str>>,
    /// Not to be handed out before.
    pub delay: Duration,
    /// What another agent's adrt knows it by (operator).
    pub dedup: Option<Arc<str>>,
}

/// `event.ack`: all of it in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Which event.
    pub seq: u64,
    /// Which of its hand-outs.
    pub attempt: u32,
    /// What it changes.
    pub patch: Option<PatchText>,
    /// What follows from it.
    pub emit: Vec<Emit>,
    /// Steps completed with it.
    pub steps: Vec<StepComplete>,
    /// Entries written with it.
    pub kv: Vec<KvWrite>,
    /// A checkpoint after it, with its label.
    pub checkpoint: Option<Option<String>>,
}

/// `event.nack`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// Which event.
    pub seq: u64,
    /// Which of its hand-outs.
    pub attempt: u32,
    /// When to try again, instead of the usual delay.
    pub delay: Option<Duration>,
    /// Never: it is a dead letter.
    pub dead: bool,
    /// What went wrong.
    pub reason: Option<String>,
}

/// `event.park`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Park {
    /// Which event.
    pub seq: u64,
    /// Which of its hand-outs.
    pub attempt: u32,
    /// What it waits for.
    pub until: Until,
}

/// What a parked event waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// The end of a review.
    Review(u64),
    /// An event of that type.
    EventType(Arc<str>),
    /// A span.
    After(Duration),
}

/// What a step belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// An event: it lives as long as that is kept.
    Event(u64),
    /// A name: it lives until it is forgotten.
    Named(Arc<str>),
}

/// A step's scope and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepKey {
    /// Its scope.
    pub scope: Scope,
    /// Its name.
    pub name: Arc<str>,
}

/// `step.begin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepBegin {
    /// Which.
    pub key: StepKey,
    /// With what.
    pub input_hash: Option<Arc<str>>,
    /// An attempt that began and never completed is for a person to judge.
    pub on_unknown_review: bool,
}

/// `step.complete`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepComplete {
    /// Which.
    pub key: StepKey,
    /// Which of its attempts.
    pub attempt: u32,
    /// It is done, not failed for good.
    pub done: bool,
    /// Its result or error, as JSON text.
    pub outcome: Arc<str>,
    /// What it changes.
    pub patch: Option<PatchText>,
}

/// A value of the key-value store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvValue {
    /// JSON text.
    Json(Arc<str>),
    /// Bytes.
    Bytes(Arc<[u8]>),
}

/// `kv.put`, `kv.delete`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvWrite {
    /// Namespace.
    pub ns: Box<str>,
    /// Key.
    pub key: Box<str>,
    /// What to write; none deletes.
    pub value: Option<KvValue>,
}

/// `timer.set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerSet {
    /// Its name.
    pub id: Arc<str>,
    /// When it fires.
    pub when: When,
    /// What it fires.
    pub event: EventText,
}

/// When a timer fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Once, after a span.
    After(Duration),
    /// Once, at that time of the wall clock.
    At(Wall),
    /// After each span.
    Every(Duration),
    /// By a cron expression, on the wall clock.
    Cron(Arc<str>),
}

/// `review.request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewRequest {
    /// The asker's name for it: the same key is the same review.
    pub key: Option<Arc<str>>,
    /// What is asked.
    pub prompt: Arc<str>,
    /// What may be answered, as JSON text of a list.
    pub options: Option<Arc<str>>,
    /// After which silence is taken for an answer.
    pub timeout: Option<Duration>,
    /// Silence means yes.
    pub default_approve: bool,
    /// The decision it is about.
    pub decision: Option<u64>,
}

/// `review.resolve` (operator).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewResolve {
    /// Which.
    pub id: u64,
    /// Yes, or no.
    pub approve: bool,
    /// One of the options, as JSON text.
    pub answer: Option<Arc<str>>,
    /// Who says so.
    pub by: Option<Arc<str>>,
    /// What they have to say to it.
    pub note: Option<Arc<str>>,
}

/// `event.process`.
#[derive(Debug, Clone, PartialEq)]
pub enum Process {
    /// One that comes with the request.
    Event(EventText, Signals),
    /// One that was delivered.
    Delivered(u64),
}

/// `decision.decide`.
#[derive(Debug, Clone, PartialEq)]
pub struct Decide {
    /// What has happened.
    pub event: EventText,
    /// The kind of trouble.
    pub context: Arc<str>,
    /// The risk.
    pub risk: Risk,
    /// The probability that acting is right.
    pub confidence: f64,
    /// Rules that are tried before all others.
    pub rules: Vec<Rule>,
}

/// `confidence.record_outcome`.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// It went well.
    pub success: bool,
    /// What did.
    pub of: OutcomeOf,
}

/// What an outcome is of.
#[derive(Debug, Clone, PartialEq)]
pub enum OutcomeOf {
    /// Of what was done on a calculated confidence.
    Call(Call),
    /// Of a decision.
    Decision(u64),
    /// Of something that was done with that confidence.
    Stated {
        /// The confidence.
        confidence: f64,
        /// The risk.
        risk: Risk,
        /// The kind of trouble, if it is known.
        context: Option<Arc<str>>,
    },
}

/// What a `call_id` stands for: calculating writes nothing, so the name of a
/// calculation carries all that its outcome needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Tells it from others that are alike.
    pub number: u64,
    /// The risk.
    pub risk: Risk,
    /// The evidence.
    pub q: f64,
    /// The kind of trouble, if it was given.
    pub context: Option<Arc<str>>,
}

impl Call {
    /// As text: `c1.RISK.Q.NUMBER.CONTEXT`, the numbers in hexadecimal, the
    /// context last since it may have any character.
    pub fn id(&self) -> String {
        let Self { number, risk, q, context } = self;
        let context = context.as_deref().unwrap_or_default();
        format!("c1.{}.{:016x}.{number:016x}.{context}", risk.as_str(), q.to_bits())
    }

    /// Reads [`Call::id`].
    pub fn from_id(id: &str) -> Option<Self> {
        let mut parts = id.strip_prefix("c1.")?.splitn(4, '.');
        let risk = Risk::from_name(parts.next()?)?;
        let bits = |text: &str| u64::from_str_radix(text, 16).ok();
        let q = f64::from_bits(bits(parts.next()?)?);
        let number = bits(parts.next()?)?;
        let context = parts.next().filter(|context| !context.is_empty());
        // None longer was given out, and it would be kept.
        let sound = q > 0.0 && q < 1.0 && context.is_none_or(|name| name.len() <= NAME_BYTES_MAX);
        sound.then(|| Self { number, risk, q, context: context.map(Into::into) })
    }
}

/// A question that the engines answer from what is in memory.
#[derive(Debug, Clone, PartialEq)]
pub enum Assess {
    /// `context.analyze`.
    Analyze {
        /// The event's type.
        kind: Arc<str>,
        /// Its signals.
        signals: Signals,
    },
    /// `confidence.calculate`.
    Calculate {
        /// The event's signals.
        signals: Signals,
        /// The risk.
        risk: Risk,
        /// The kind of trouble, if it is known.
        context: Option<Arc<str>>,
    },
}

/// A step of a [`super::message::Write`] that is about work.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkWrite {
    /// `event.emit`.
    Emit(Box<Emit>),
    /// `event.ack`.
    Ack(Box<Ack>),
    /// `event.nack`.
    Nack(Nack),
    /// `event.park`.
    Park(Park),
    /// `event.extend`.
    Extend {
        /// Which event.
        seq: u64,
        /// Which of its hand-outs.
        attempt: u32,
    },
    /// `step.begin`.
    StepBegin(StepBegin),
    /// `step.complete`.
    StepComplete(Box<StepComplete>),
    /// `step.forget`.
    StepForget {
        /// The scope's name.
        scope: Arc<str>,
    },
    /// `kv.put`, `kv.delete`.
    Kv(KvWrite),
    /// `timer.set`.
    TimerSet(Box<TimerSet>),
    /// `timer.cancel`.
    TimerCancel {
        /// Its name.
        id: Arc<str>,
    },
    /// `review.request`.
    ReviewRequest(Box<ReviewRequest>),
    /// `review.resolve` (operator).
    ReviewResolve(Box<ReviewResolve>),
    /// `event.process`.
    Process(Box<Process>),
    /// `decision.decide`.
    Decide(Box<Decide>),
    /// `confidence.record_outcome`.
    Outcome(Box<Outcome>),
    /// `event.retry` (operator): dead letters get another chance.
    Retry {
        /// Which.
        seqs: Vec<u64>,
    },
    /// `event.drop` (operator): events are deleted.
    Drop {
        /// Which.
        seqs: Vec<u64>,
    },
}

/// A question about work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// `kv.get`.
    KvGet {
        /// Namespace.
        ns: Box<str>,
        /// Key.
        key: Box<str>,
    },
    /// `kv.list`.
    KvList {
        /// Namespace.
        ns: Box<str>,
        /// What keys begin with.
        prefix: Box<str>,
        /// Those after this one.
        after: Option<Box<str>>,
        /// From the last to the first.
        reverse: bool,
        /// At most so many.
        limit: Option<u64>,
    },
    /// `event.history`.
    History {
        /// At most so many.
        limit: Option<u64>,
        /// Where the page before ended.
        after: Option<u64>,
        /// Only of this type.
        kind: Option<String>,
    },
    /// `review.get`.
    Review {
        /// Which.
        id: u64,
    },
}

/// What events an agent wants: `event.subscribe`, or `events` of `initialize`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// How many it may hold unacked.
    pub credit: usize,
    /// Globs of types; empty for all.
    pub types: Vec<String>,
}

/// Events an agent holds unless it says otherwise.
pub const CREDIT_DEFAULT: u64 = 1;
/// Events an agent may hold at most: each is known in memory.
pub const CREDIT_MAX: u64 = 10_000;
/// Globs of types at most.
pub const TYPES_MAX: usize = 64;
/// Bytes of a type, a name of a step, a timer or the like, at most.
pub const NAME_BYTES_MAX: usize = 512;
/// Events in one `event.retry` or `event.drop`.
pub const SEQS_MAX: usize = 1000;
