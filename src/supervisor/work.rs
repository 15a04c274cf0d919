//! Work as it is written to the disk: events and how far they are, steps,
//! timers, entries of the key-value store, what is on its way to other agents,
//! decisions with what they were learnt from, and reviews.
//!
//! As with all writes, the machine has decided before it sends one of these;
//! the store carries them out. Reads ([`WorkOp::Fetch`] and the `Look…`) see
//! the writes before them in the same unit and in those before it.

use std::sync::Arc;

use super::rulings::{CalibrationRow, DecisionRef, DecisionRow, PolicyRow};
use super::units::KeyHash;
use super::wear::Wear;
use crate::clock::{Age, Wall};
use crate::engines::context::Risk;
pub use crate::protocol::work::{KvValue, Scope, StepKey};

/// The number of an event: 1, 2, 3 … over the agent's life.
pub type Seq = u64;

/// A typed write of work, or a read that must see the writes before it.
#[derive(Debug, Clone)]
pub enum WorkOp {
    /// An event has come.
    Arrive(Box<Arrival>),
    /// How far an event is: takes the place of what was there.
    Status(Box<EventStatus>),
    /// Deletes an event with its steps.
    Drop {
        /// Which.
        seq: Seq,
    },
    /// Reads pending events in their order: answered by [`WorkAnswer::Fetched`].
    Fetch(Fetch),
    /// Makes the parked events that wait for that pending again, at this place.
    Unpark {
        /// As in [`EventStatus::wait`].
        wait: Box<str>,
        /// Their new place, and when they are due.
        place: Age,
    },
    /// Reads one event: answered by [`WorkAnswer::Event`].
    LookEvent {
        /// Which.
        seq: Seq,
    },
    /// Makes pending again what was acked in versions after this one, at its
    /// old place: answered by [`WorkAnswer::Reopened`].
    Reopen {
        /// The version.
        since: u64,
    },
    /// Reads what came, newest first: answered by [`WorkAnswer::History`].
    History(History),
    /// A step: takes the place of what was there under its scope and name.
    Step(Box<StepRow>),
    /// Deletes all steps of a named scope.
    ForgetSteps {
        /// Its name.
        scope: Box<str>,
    },
    /// Reads a step: answered by [`WorkAnswer::Step`].
    LookStep(StepKey),
    /// Writes an entry.
    KvPut(Box<KvRow>),
    /// Deletes an entry, if it is there.
    KvDelete {
        /// Its namespace.
        ns: Box<str>,
        /// Its key.
        key: Box<str>,
    },
    /// Reads an entry: answered by [`WorkAnswer::Kv`].
    KvGet {
        /// Its namespace.
        ns: Box<str>,
        /// Its key.
        key: Box<str>,
    },
    /// Reads entries in the order of their keys: answered by [`WorkAnswer::KvList`].
    KvList(KvQuery),
    /// Sets a timer: takes the place of what was there under its name.
    Timer(Box<TimerRow>),
    /// Deletes a timer, if it is there.
    DropTimer {
        /// Its name.
        id: Box<str>,
    },
    /// An event for another agent.
    Post(Box<PostRow>),
    /// It is in the other one's inbox, or never will be.
    DropPost {
        /// Which.
        id: u64,
    },
    /// Reads what is still to be sent, oldest first: answered by [`WorkAnswer::Posts`].
    FetchPosts {
        /// Those after this number.
        after: u64,
        /// At most so many.
        limit: u64,
    },
    /// Whether there is an agent of that name in the same state directory:
    /// answered by [`WorkAnswer::Agent`].
    LookAgent {
        /// Its name.
        name: Box<str>,
    },
    /// A review: takes the place of what was there under its number.
    Review(Box<ReviewRow>),
    /// Reads a review: answered by [`WorkAnswer::Review`].
    LookReview(ReviewRef),
    /// A decision: takes the place of what was there under its number.
    Decision(Box<DecisionRow>),
    /// Reads a decision: answered by [`WorkAnswer::Decision`].
    LookDecision(DecisionRef),
    /// Keeps the text of a policy that decisions go by, if it is not there yet.
    Policy(PolicyRow),
    /// What outcomes have taught: takes the place of what was there for this
    /// context and risk.
    Calibration(CalibrationRow),
    /// Forgets what they taught about a context and risk.
    DropCalibration {
        /// The context.
        context: Arc<str>,
        /// The risk.
        risk: Risk,
    },
}

/// What a committed op says.
#[derive(Debug, Clone)]
pub enum WorkAnswer {
    /// [`WorkOp::Fetch`].
    Fetched(Fetched),
    /// [`WorkOp::LookEvent`]; `None` if it is not kept, or damaged.
    Event(Option<Box<EventRow>>),
    /// [`WorkOp::Reopen`]: how many.
    Reopened(u64),
    /// [`WorkOp::History`].
    History {
        /// Newest first.
        rows: Vec<EventRow>,
        /// There are older ones: before this number.
        next: Option<Seq>,
    },
    /// [`WorkOp::LookStep`]; `None` if it is not kept, or damaged.
    Step(Option<Box<StepFound>>),
    /// [`WorkOp::KvGet`].
    Kv(Option<KvValue>),
    /// [`WorkOp::KvList`].
    KvList {
        /// Keys with their values.
        entries: Vec<(String, KvValue)>,
        /// There are more: after this key.
        next: Option<String>,
    },
    /// [`WorkOp::FetchPosts`].
    Posts(Vec<PostRow>),
    /// [`WorkOp::LookAgent`].
    Agent {
        /// Which.
        name: Box<str>,
        /// Whether it is there.
        exists: bool,
    },
    /// [`WorkOp::LookReview`]; `None` if it is not kept, or damaged.
    Review(Option<Box<ReviewRow>>),
    /// [`WorkOp::LookDecision`]; `None` if it is not kept, or damaged.
    Decision(Option<Box<DecisionRow>>),
}

/// Where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventState {
    /// Waits for its turn, or is held by the live incarnation.
    Pending,
    /// Out of the way until something happens: [`EventStatus::wait`].
    Parked,
    /// Done.
    Acked,
    /// Given up: a dead letter.
    Dead,
}

impl EventState {
    /// As it is stored.
    pub const fn code(self) -> i64 {
        match self {
            Self::Pending => 0,
            Self::Parked => 1,
            Self::Acked => 2,
            Self::Dead => 3,
        }
    }

    /// The state stored under that number.
    pub fn from_code(code: i64) -> Option<Self> {
        [Self::Pending, Self::Parked, Self::Acked, Self::Dead]
            .into_iter()
            .find(|state| state.code() == code)
    }

    /// As it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Parked => "parked",
            Self::Acked => "acked",
            Self::Dead => "dead",
        }
    }
}

/// How far an event is: all of it that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventStatus {
    /// Its number.
    pub seq: Seq,
    /// Where it is.
    pub state: EventState,
    /// Its place in the order of (place, seq).
    pub place: Age,
    /// When it may be handed out; as `place`, but under `--ordered`.
    pub due: Age,
    /// When it came.
    pub born: Age,
    /// How often it was handed out.
    pub attempt: u32,
    /// How many of those ended with a death of the agent that counts.
    pub deaths: u32,
    /// How often it was nacked.
    pub nacks: u32,
    /// The incarnation that has it in hand, or had it when that died or it was
    /// settled; 0 while it waits for any other reason.
    pub holder: u64,
    /// Of an acked one, the state's version that goes with its ack.
    pub version: u64,
    /// Of a parked one, what it waits for: `review:ID` or `event:TYPE`.
    pub wait: Option<Box<str>>,
    /// Why it was nacked last, or is dead.
    pub reason: Option<Box<str>>,
}

impl EventStatus {
    /// Of one that came at that time and that nobody has had yet.
    pub fn new(seq: Seq, state: EventState, born: Age) -> Self {
        Self {
            seq,
            state,
            place: born,
            due: born,
            born,
            attempt: 0,
            deaths: 0,
            nacks: 0,
            holder: 0,
            version: 0,
            wait: None,
            reason: None,
        }
    }
}

/// An event that comes.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// How far it is: pending, handed out at once, or a dead letter at birth.
    pub status: EventStatus,
    /// Its type.
    pub kind: Arc<str>,
    /// The whole of it, as JSON text.
    pub body: Arc<str>,
    /// Hash of source and id, if it has an id: a second one is a duplicate.
    pub id: Option<KeyHash>,
}

/// An event as it is kept.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// How far it is.
    pub status: EventStatus,
    /// Its type.
    pub kind: Arc<str>,
    /// The whole of it, as JSON text.
    pub body: Arc<str>,
    /// When it came.
    pub at: Wall,
}

/// A place in the order of pending events.
pub type Place = (Age, Seq);

/// Which pending events to read.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Those after this place; all without.
    pub after: Option<Place>,
    /// Globs of types; all without.
    pub types: Vec<String>,
    /// At most so many.
    pub limit: u64,
    /// And no more once their bodies have so many bytes.
    pub bytes: u64,
    /// Those in no case: they are held.
    pub without: Vec<Seq>,
}

/// Pending events in their order.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// Those of the types asked for.
    pub rows: Vec<EventRow>,
    /// Where reading stopped; `None` when it came to the end.
    pub horizon: Option<Place>,
    /// Those whose row is damaged: passed over.
    pub damaged: Vec<Seq>,
}

/// Which of the events that came.
#[derive(Debug, Clone)]
pub struct History {
    /// At most so many.
    pub limit: u64,
    /// Those before this number.
    pub before: Option<Seq>,
    /// Only of this type.
    pub kind: Option<String>,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Begun, and nobody knows what came of it.
    Open,
    /// Done: its result is remembered.
    Done,
    /// Failed for good: its error is remembered.
    Failed,
}

impl StepState {
    /// As it is stored.
    pub const fn code(self) -> i64 {
        match self {
            Self::Open => 0,
            Self::Done => 1,
            Self::Failed => 2,
        }
    }

    /// The state stored under that number.
    pub fn from_code(code: i64) -> Option<Self> {
        [Self::Open, Self::Done, Self::Failed].into_iter().find(|state| state.code() == code)
    }
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// Its scope and name.
    pub key: StepKey,
    /// How far it is.
    pub state: StepState,
    /// How often it was begun.
    pub attempt: u32,
    /// Handed to the outside; the same over all attempts.
    pub idempotency_key: Arc<str>,
    /// What it was begun with.
    pub input_hash: Option<Arc<str>>,
    /// Its result or error, as JSON text.
    pub outcome: Option<Arc<str>>,
    /// The review that decides whether it is begun again.
    pub review: Option<u64>,
}

/// A step, with the review it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFound {
    /// The step.
    pub row: StepRow,
    /// Its review, if it has one and that is kept.
    pub review: Option<ReviewRow>,
}

/// An entry of the key-value store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvRow {
    /// Its namespace.
    pub ns: Box<str>,
    /// Its key.
    pub key: Box<str>,
    /// Its value.
    pub value: KvValue,
}

/// Which entries of the key-value store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvQuery {
    /// Their namespace.
    pub ns: Box<str>,
    /// What their keys begin with.
    pub prefix: Box<str>,
    /// Those after this key, in the order of the listing.
    pub after: Option<Box<str>>,
    /// From the last key to the first.
    pub reverse: bool,
    /// At most so many.
    pub limit: u64,
}

/// When a timer fires next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// In adrt's own count of time: `after`, `every`.
    Age(Age),
    /// On the wall clock: `at`, `cron`.
    Wall(Wall),
}

/// When a timer fires again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeat {
    /// Never.
    Once,
    /// After each of so many milliseconds.
    Every(u64),
    /// By that cron expression.
    Cron(Arc<str>),
}

/// A timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerRow {
    /// Its name.
    pub id: Arc<str>,
    /// When it fires next.
    pub due: Due,
    /// And then.
    pub repeat: Repeat,
    /// The event it fires, as JSON text.
    pub event: Arc<str>,
    /// The event's type.
    pub kind: Arc<str>,
}

/// An event on its way to another agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostRow {
    /// Its number among those that were sent.
    pub id: u64,
    /// To whom.
    pub to: Arc<str>,
    /// What the other side knows it by, so that it arrives once.
    pub token: Arc<str>,
    /// The event, as JSON text.
    pub event: Arc<str>,
    /// To be waited for by the other side before it hands it out.
    pub delay_ms: u64,
}

/// How a review ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewStatus {
    /// Waits for a person.
    Pending,
    /// A person said yes.
    Approved,
    /// A person said no.
    Rejected,
    /// Nobody said anything in time.
    Expired,
}

impl ReviewStatus {
    /// As it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Rejected, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == name)
    }
}

/// A decision that waits for a person, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewRow {
    /// Its number.
    pub id: u64,
    /// The asker's name for it: the same key is the same review.
    pub key: Option<Arc<str>>,
    /// What is asked.
    pub prompt: Arc<str>,
    /// What may be answered, as JSON text of a list.
    pub options: Option<Arc<str>>,
    /// What silence means: approved or rejected.
    pub default: ReviewStatus,
    /// When silence is taken for an answer.
    pub expires: Option<Age>,
    /// The first decision it is about. It is not in the review's own row:
    /// decisions name their review.
    pub decision: Option<u64>,
    /// How often the same was asked.
    pub count: u32,
    /// When it was asked.
    pub asked: Wall,
    /// How it ended.
    pub status: ReviewStatus,
    /// What was answered, as JSON text.
    pub answer: Option<Arc<str>>,
    /// Who did.
    pub by: Option<Arc<str>>,
    /// What they said to it.
    pub note: Option<Arc<str>>,
    /// When.
    pub settled: Option<Wall>,
}

/// How a review is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReviewRef {
    /// By number.
    Id(u64),
    /// By its asker's key.
    Key(Arc<str>),
    /// As the review that this decision waits for, or waited.
    Decision(u64),
}

/// All of the work that the machine keeps in memory, as it was read.
#[derive(Debug, Clone, Default)]
pub struct WorkRestored {
    /// adrt's own count of time when it was last written …
    pub age: Age,
    /// … and the wall clock then.
    pub age_at: Option<Wall>,
    /// What was written to the disk, as far as that was written down.
    pub wear: Wear,
    /// The highest number of an event ever given.
    pub last_seq: Seq,
    /// How many events are pending or parked.
    pub depth: u64,
    /// How many are dead letters.
    pub dead: u64,
    /// The first of those that are pending, of all types.
    pub first: Fetched,
    /// What parked events wait for, and how many wait for each.
    pub parked: Vec<(Box<str>, u64)>,
    /// Hashes of source and id with the event's number, oldest first.
    pub ids: Vec<(KeyHash, Seq)>,
    /// Steps that were begun and not completed, of pending events and of named
    /// scopes; the newest [`STEPS_OPEN_KEPT`].
    pub open_steps: Vec<StepRow>,
    /// All timers.
    pub timers: Vec<TimerRow>,
    /// The first of what is still to be sent, and the highest number ever given.
    pub posts: Vec<PostRow>,
    /// The highest number of a post ever given.
    pub last_post: u64,
    /// Reviews that wait.
    pub reviews: Vec<ReviewRow>,
    /// The highest number of a review ever given.
    pub last_review: u64,
    /// The highest number of a decision ever given.
    pub last_decision: u64,
    /// All that outcomes have taught.
    pub calibrations: Vec<CalibrationRow>,
}

/// Pending events that are kept in memory with their content: enough that the
/// disk is asked once for hundreds of events.
pub const WINDOW_EVENTS: u64 = 1024;
/// And no more once their content has so many bytes; one that is larger is
/// read alone.
pub const WINDOW_BYTES: u64 = 1 << 20;
/// Open steps that are read at a start; others are looked up.
pub const STEPS_OPEN_KEPT: u64 = 1024;
/// Posts that are in memory at a time.
pub const POSTS_KEPT: u64 = 64;
