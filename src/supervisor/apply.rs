//! Requests, done on the speculative state.
//!
//! Every refusal but the disk's is decided here, before anything is sent to
//! the store: the store refuses nothing request by request.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::book::{Book, Doc};
use super::draft::decisions::calculate;
use super::draft::{Draft, Follow, Known, known};
use super::io::{
    CheckpointInfo, CheckpointReason, CheckpointRef, History, Incarnation, JournalRow, KeyHash,
    KvQuery, Op, RestartMemory, ReviewRef, WorkOp,
};
use super::keys::{hash_parts, known_key, remember};
use super::outbox::Text;
use super::queue::Body;
use super::records::checkpoint_op;
use super::setup::EventPolicy;
use crate::clock::{Age, Now};
use crate::engines::decision::{Gate, Policy};
use crate::engines::environment::Level;
use crate::engines::state::{Format, Limits, Node};
use crate::protocol::error::{Kind, WireError};
use crate::protocol::message::{Restore, Write};
use crate::protocol::reply::quote;
use crate::protocol::work::{Assess, Call, Look};

/// `checkpoint.list` without a limit, and the most it gives.
const CHECKPOINTS_LISTED_MAX: u64 = 1000;

/// Entries of `kv.list` and `event.history` without a limit …
const LISTED_DEFAULT: u64 = 100;
/// … and the most they give.
const LISTED_MAX: u64 = 1000;

/// What doing something came to.
#[derive(Debug)]
pub struct Applied {
    /// For the store; empty for a read.
    pub ops: Vec<Op>,
    /// The answer to be.
    pub body: Body,
    /// The state was changed, or what moves with it.
    pub changed: bool,
    /// May use the reserve of a full disk.
    pub privileged: bool,
    /// Remembered under these keys.
    pub keys: Vec<KeyHash>,
    /// Nothing behind it is applied until it is answered.
    pub barrier: bool,
    /// Hashes of the events that came with it.
    pub ids: Vec<KeyHash>,
    /// What is to be done once it was answered.
    pub follow: Vec<Follow>,
    /// The agent got on by it.
    pub progress: bool,
}

impl Applied {
    /// Something that only reads, answered with this.
    pub fn answer(body: Body) -> Self {
        Self {
            ops: Vec::new(),
            body,
            changed: false,
            privileged: false,
            keys: Vec::new(),
            barrier: false,
            ids: Vec::new(),
            follow: Vec::new(),
            progress: false,
        }
    }

    /// Something the store has to look up.
    pub fn lookup(op: Op, body: Body) -> Self {
        Self { ops: vec![op], ..Self::answer(body) }
    }
}

/// Under what a request is done.
#[derive(Debug, Clone)]
pub struct Context {
    /// The live incarnation, or 0.
    pub incarnation: Incarnation,
    /// `agent` or `operator`.
    pub by: &'static str,
    /// When.
    pub now: Now,
    /// What the restart policy remembers.
    pub memory: RestartMemory,
    /// The largest state.
    pub limits: Limits,
    /// The agent's name.
    pub agent: Arc<str>,
    /// adrt's own count of time.
    pub age: Age,
    /// How events are handed out and given up.
    pub events: EventPolicy,
    /// A checkpoint after so many acked events.
    pub checkpoint_every: Option<u64>,
    /// There is no room for new events.
    pub inbox_full: bool,
    /// What decisions go by.
    pub judgement: Judgement,
    /// How hard pressed the machine is.
    pub environment: Level,
    /// For cron timers that name none.
    pub time_zone: Arc<str>,
    /// For names that nobody must be able to guess.
    pub seed: u64,
}

/// What decisions go by, beside what outcomes have taught.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Rules and numbers.
    pub policy: Arc<Policy>,
    /// A hash of its text.
    pub id: KeyHash,
}

impl Judgement {
    /// By this policy.
    pub fn new(policy: Arc<Policy>) -> Self {
        let id = hash_parts(&["policy", &policy.to_json()]);
        Self { policy, id }
    }
}

/// What the engines say to a question.
pub fn assess(doc: &Doc, asked: &Assess, context: &Context) -> Applied {
    let judgement = &context.judgement;
    let text = match asked {
        Assess::Analyze { kind, signals } => {
            judgement.policy.reading.analyze(kind, signals).to_json()
        }
        Assess::Calculate { signals, risk, context: kind } => {
            let found = calculate(doc, judgement, signals, *risk, kind.as_deref(), context.age);
            let number = fastrand::Rng::with_seed(context.seed).u64(..);
            let call = Call { number, risk: *risk, q: found.q, context: kind.clone() };
            let threshold = judgement.policy.threshold(Gate::Full, *risk, context.environment);
            format!(
                "{{\"call_id\":{},\"final\":{},\"base\":{},\"context_adjustment\":{},\
                 \"history_weight\":{},\"decay_factor\":{},\"threshold\":{threshold}}}",
                quote(&call.id()),
                found.value,
                found.base,
                found.context_adjustment,
                found.history_weight,
                found.decay_factor,
            )
        }
    };
    Applied::answer(Body::Text(Text::Plain(text)))
}

/// `state.get`.
pub fn get(doc: &Doc, path: Option<&str>) -> Result<Applied, WireError> {
    let node = match path {
        None => doc.root.clone(),
        Some(path) => match doc.root.get(path).map_err(WireError::invalid_params)? {
            Some(node) => node,
            None => {
                let reason = format!("there is nothing at {path:?}");
                return Err(WireError::invalid_params(reason).with_text("path", path));
            }
        },
    };
    let head = format!("{{\"version\":{},\"value\":", doc.version);
    Ok(Applied::answer(Body::Text(Text::WithState { head, node, tail: "}".into() })))
}

/// Everything that changes the agent's record: one transaction.
pub fn write(
    book: &mut Book,
    write: &Write,
    known: &Known,
    context: &Context,
) -> Result<Applied, WireError> {
    check_version(&book.doc, write.if_version)?;
    let mut draft = Draft::new(book, context, known);
    draft.write(write)?;
    Ok(draft.into_applied(write.is_tx, write.key.as_ref()))
}

/// The first half of a write that needs to know something first, or the
/// repeat of one that was done.
pub fn ask_first(
    book: &mut Book,
    write: &Write,
    agents: &BTreeSet<Box<str>>,
    context: &Context,
) -> Result<Option<Applied>, WireError> {
    if let Some(recall) = known_key(book, write.key.as_ref(), context)? {
        return Ok(Some(recall));
    }
    let now = context.now.mono;
    let mut questions =
        known::questions(write, &book.doc.agenda, &context.agent, |name| agents.contains(name));
    questions.extend(known::processed_before(write, |id| book.event(id, now)));
    if questions.is_empty() {
        return Ok(None);
    }
    let ops = questions.iter().cloned().map(Op::Work).collect();
    let body = Body::Informs { write: write.clone(), questions };
    Ok(Some(Applied { ops, barrier: true, ..Applied::answer(body) }))
}

/// A question about work.
pub fn look(look: &Look) -> Applied {
    let op = match look {
        Look::KvGet { ns, key } => WorkOp::KvGet { ns: ns.clone(), key: key.clone() },
        Look::KvList { ns, prefix, after, reverse, limit } => WorkOp::KvList(KvQuery {
            ns: ns.clone(),
            prefix: prefix.clone(),
            after: after.clone(),
            reverse: *reverse,
            limit: limit.unwrap_or(LISTED_MAX).min(LISTED_MAX),
        }),
        Look::History { limit, after, kind } => WorkOp::History(History {
            limit: limit.unwrap_or(LISTED_DEFAULT).min(LISTED_MAX),
            before: *after,
            kind: kind.clone(),
        }),
        Look::Review { id } => WorkOp::LookReview(ReviewRef::Id(*id)),
    };
    Applied::lookup(Op::Work(op), Body::Looked)
}

/// The first half of `checkpoint.restore`: the content is looked up.
pub fn restore(
    book: &mut Book,
    restore: &Restore,
    context: &Context,
) -> Result<Applied, WireError> {
    if let Some(recall) = known_key(book, restore.key.as_ref(), context)? {
        return Ok(recall);
    }
    check_version(&book.doc, restore.if_version)?;
    let op = Op::LoadCheckpoint(reference(restore));
    Ok(Applied { barrier: true, ..Applied::lookup(op, Body::Loaded(restore.clone())) })
}

/// How a restore names its checkpoint.
fn reference(restore: &Restore) -> CheckpointRef {
    match (restore.id, &restore.label) {
        (Some(id), _) => CheckpointRef::Id(id),
        (None, label) => CheckpointRef::Label(label.clone().unwrap_or_default()),
    }
}

/// That there is no such checkpoint.
pub fn unknown_checkpoint(restore: &Restore) -> WireError {
    let which = match reference(restore) {
        CheckpointRef::Id(id) => id.to_string(),
        CheckpointRef::Label(label) => format!("{label:?}"),
    };
    WireError::new(
        Kind::UnknownCheckpoint,
        format!(
            "no checkpoint {which} is kept, or it is damaged; checkpoint.list names those that are"
        ),
    )
}

/// The second half: the old content becomes the new version.
pub fn restore_loaded(
    book: &mut Book,
    restore: &Restore,
    checkpoint: &CheckpointInfo,
    root: &Node,
    context: &Context,
) -> Result<Applied, WireError> {
    // Several with the same key may have been looked up before this was done.
    if let Some(recall) = known_key(book, restore.key.as_ref(), context)? {
        return Ok(recall);
    }
    check_version(&book.doc, restore.if_version)?;
    let since = restore.reopen_events.then_some(checkpoint.version);
    let version = book.next_version();
    let patch: std::sync::Arc<str> = root.to_text().into();
    book.doc.tail_bytes += patch.len() as u64;
    book.doc.root = root.clone();
    book.doc.version = version;
    let mut ops = vec![Op::Journal(JournalRow {
        version,
        format: Format::Set,
        patch,
        by: format!("restore:{}", checkpoint.id).into(),
        incarnation: context.incarnation,
    })];
    let result = format!("{{\"version\":{version}}}");
    let key = remember(book, &mut ops, restore.key.as_ref(), &result, context);
    let body = match since {
        Some(since) => {
            ops.push(Op::Work(WorkOp::Reopen { since }));
            Body::Reopened { version }
        }
        None => Body::Text(Text::Plain(result)),
    };
    let barrier = since.is_some();
    let keys = key.into_iter().collect();
    Ok(Applied { changed: true, ops, keys, barrier, ..Applied::answer(body) })
}

/// `checkpoint.list`.
pub fn list(limit: Option<u64>) -> Applied {
    let limit = limit.unwrap_or(CHECKPOINTS_LISTED_MAX).min(CHECKPOINTS_LISTED_MAX);
    Applied::lookup(Op::ListCheckpoints { limit }, Body::Checkpoints)
}

/// `checkpoint.prune`.
pub fn prune(keep: u64, all: bool) -> Result<Applied, WireError> {
    if keep == 0 {
        return Err(WireError::invalid_params("\"keep\" must be at least 1"));
    }
    Ok(Applied { privileged: true, ..Applied::lookup(Op::Prune { keep, all }, Body::Removed) })
}

/// `history.forget`.
pub fn forget(
    book: &mut Book,
    path: Option<&str>,
    context: &Context,
) -> Result<Applied, WireError> {
    if let Some(path) = path {
        book.doc.root.get(path).map_err(WireError::invalid_params)?;
    }
    let mut ops = Vec::new();
    checkpoint_op(book, &mut ops, CheckpointReason::Request, context.incarnation);
    ops.push(Op::Forget { path: path.map(str::to_owned) });
    Ok(Applied { ops, changed: true, ..Applied::answer(Body::Removed) })
}

/// `run.finish`.
pub fn finish(result: Option<&str>) -> Applied {
    let body = Body::Text(Text::Plain("{}".into()));
    let value = result.unwrap_or("null").to_owned();
    Applied { ops: vec![Op::Meta { name: "result", value }], ..Applied::answer(body) }
}

fn check_version(doc: &Doc, if_version: Option<u64>) -> Result<(), WireError> {
    match if_version {
        Some(wanted) if wanted != doc.version => Err(WireError::new(
            Kind::VersionConflict,
            format!("the state is at version {}, not {wanted}; read it again", doc.version),
        )
        .with_number("version", doc.version)),
        Some(_) | None => Ok(()),
    }
}
