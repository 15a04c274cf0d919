//! A write while it is being put together: nothing of the book has changed.
//!
//! A draft holds a copy of the speculative state, which costs nothing, and
//! beside each change of it the typed write that says the same to the store.
//! When all steps have gone well, [`Draft::into_applied`] makes it the book's
//! new state; a draft that is dropped never was. So a transaction is all or
//! nothing by construction.
//!
//! - [`decisions`], [`events`], [`steps`], [`timers`], [`reviews`]: the steps
//!   by subject;
//! - [`known`]: what the store has to be asked before a write can be decided.

pub mod decisions;
mod events;
pub mod known;
mod reviews;
mod steps;
mod timers;

use std::fmt::{self, Write as _};
use std::sync::Arc;

pub use events::EVENTS_FULL_PERCENT;
pub use known::Known;

use super::apply::{Applied, Context};
use super::book::{Book, Doc};
use super::io::{
    CheckpointReason, CheckpointRow, Incarnation, JournalRow, KeyHash, KeyRow, Op, PostRow, Scope,
    Seq, WorkOp,
};
use super::keys;
use super::outbox::Text;
use super::queue::Body;
use crate::engines::state::{Format, PatchError, join};
use crate::protocol::error::{Kind, WireError};
use crate::protocol::message::{IdempotencyKey, Write, WriteOp};
use crate::protocol::work::{PatchText, WorkWrite};

/// Room for a patch's result.
const RESULT_BYTES: usize = 24;

/// What is to be done once a write has reached the disk and was answered.
#[derive(Debug, Clone)]
pub enum Follow {
    /// An event goes to the agent: number, attempt and the params of its
    /// delivery but for the lease.
    Deliver(Delivery),
    /// The agent is told of something.
    Notify {
        /// The method.
        method: &'static str,
        /// Its params.
        params: String,
    },
    /// The time for an event begins anew.
    Lease(Seq),
    /// The post office has something to do.
    Post(PostRow),
}

/// An event on its way to who asked for it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its number.
    pub seq: Seq,
    /// How often it was handed out, this time included.
    pub attempt: u32,
    /// The incarnation it is for, and no later one.
    pub holder: Incarnation,
    /// The whole of it.
    pub body: Arc<str>,
    /// Why it was nacked last.
    pub last_error: Option<Box<str>>,
}

/// See the module's text.
pub struct Draft<'a> {
    pub doc: Doc,
    book: &'a mut Book,
    context: &'a Context,
    known: &'a Known,
    ops: Vec<Op>,
    /// One after another, with commas.
    results: String,
    checkpoints: bool,
    /// Of the state, in order.
    patches: Vec<(Format, Arc<str>)>,
    /// Hashes of source and id of new events.
    ids: Vec<(KeyHash, Seq)>,
    /// Keys that steps are remembered by, beside that of the whole.
    keys: Vec<KeyRow>,
    follow: Vec<Follow>,
    progress: bool,
    rng: fastrand::Rng,
}

impl<'a> Draft<'a> {
    /// Begins one.
    pub fn new(book: &'a mut Book, context: &'a Context, known: &'a Known) -> Self {
        Self {
            doc: book.doc.clone(),
            book,
            context,
            known,
            ops: Vec::new(),
            results: String::new(),
            checkpoints: false,
            patches: Vec::new(),
            ids: Vec::new(),
            keys: Vec::new(),
            follow: Vec::new(),
            progress: false,
            rng: fastrand::Rng::with_seed(context.seed),
        }
    }

    /// Goes on from what was written before in the same transaction.
    pub fn go_on_from(&mut self, ops: Vec<Op>) {
        self.ops = ops;
    }

    /// A post has arrived, or never will.
    pub fn posted(&mut self, id: u64) {
        self.doc.agenda.posts.done(id);
        self.put(WorkOp::DropPost { id });
    }

    /// All steps of a write, or the refusal of the first that can't be done.
    pub fn write(&mut self, write: &Write) -> Result<(), WireError> {
        self.ops.reserve(write.ops.len() + usize::from(write.key.is_some()));
        self.results.reserve(RESULT_BYTES * write.ops.len());
        if write.ops.iter().any(patches) {
            self.doc.version = self.book.next_version();
        }
        for (index, op) in write.ops.iter().enumerate() {
            self.step(op).map_err(|error| {
                if write.is_tx { error.with_number("index", index as u64) } else { error }
            })?;
        }
        self.checkpoint_if_every();
        self.seal_checkpoints();
        self.journal();
        Ok(())
    }

    fn step(&mut self, op: &WriteOp) -> Result<(), WireError> {
        match op {
            WriteOp::Patch { format, text } => {
                self.patch(*format, text)?;
                self.version_result();
            }
            WriteOp::Checkpoint { label } => {
                let id = self.checkpoint(label.clone(), CheckpointReason::Request);
                let version = self.doc.version;
                self.result(format_args!("{{\"id\":{id},\"version\":{version},\"bytes\":null}}"));
            }
            WriteOp::Work(work) => self.work(work)?,
        }
        Ok(())
    }

    fn work(&mut self, work: &WorkWrite) -> Result<(), WireError> {
        match work {
            WorkWrite::Emit(emit) => {
                let result = self.emit(emit)?;
                self.result(format_args!("{result}"));
            }
            WorkWrite::Ack(ack) => self.ack(ack)?,
            WorkWrite::Nack(nack) => self.nack(nack)?,
            WorkWrite::Park(park) => self.park(park)?,
            WorkWrite::Extend { seq, attempt } => self.extend(*seq, *attempt)?,
            WorkWrite::StepBegin(begin) => self.step_begin(begin)?,
            WorkWrite::StepComplete(complete) => {
                self.step_complete(complete)?;
                self.version_result();
            }
            WorkWrite::StepForget { scope } => {
                self.doc.agenda.steps.forget(&Scope::Named(scope.clone()));
                self.put(WorkOp::ForgetSteps { scope: (**scope).into() });
                self.empty_result();
            }
            WorkWrite::Kv(write) => {
                self.kv(write);
                self.empty_result();
            }
            WorkWrite::TimerSet(set) => self.timer_set(set)?,
            WorkWrite::TimerCancel { id } => {
                let existed = self.doc.agenda.timers.cancel(id);
                if existed {
                    self.put(WorkOp::DropTimer { id: (**id).into() });
                }
                self.result(format_args!("{{\"existed\":{existed}}}"));
            }
            WorkWrite::ReviewRequest(request) => self.review_request(request)?,
            WorkWrite::ReviewResolve(resolve) => self.review_resolve(resolve)?,
            WorkWrite::Process(process) => self.process(process)?,
            WorkWrite::Decide(decide) => self.decide(decide)?,
            WorkWrite::Outcome(outcome) => self.outcome(outcome)?,
            WorkWrite::Retry { seqs } => self.retry(seqs)?,
            WorkWrite::Drop { seqs } => self.drop_events(seqs)?,
        }
        Ok(())
    }

    // -------------------------------------------------------------- results

    fn result(&mut self, result: fmt::Arguments<'_>) {
        if !self.results.is_empty() {
            self.results.push(',');
        }
        // Into a string: it can't fail.
        let _ = self.results.write_fmt(result);
    }

    fn empty_result(&mut self) {
        self.result(format_args!("{{}}"));
    }

    fn version_result(&mut self) {
        let version = self.doc.version;
        self.result(format_args!("{{\"version\":{version}}}"));
    }

    fn put(&mut self, op: WorkOp) {
        self.ops.push(Op::Work(op));
    }

    /// What this draft says about work so far.
    fn work_ops(&self) -> impl DoubleEndedIterator<Item = &WorkOp> {
        self.ops.iter().filter_map(|op| match op {
            Op::Work(op) => Some(op),
            _ => None,
        })
    }

    /// What was remembered under a key, by this draft or before it.
    fn known_key(&mut self, key: &KeyHash) -> Option<KeyHash> {
        let here = self.keys.iter().find(|row| row.key == *key).map(|row| row.request);
        here.or_else(|| self.book.key(key, self.context.now.mono))
    }

    /// Remembers something by a key of its own.
    fn note_key(&mut self, key: KeyHash, request: KeyHash) {
        self.keys.push(KeyRow { key, request, result: "{}".into() });
    }

    // ------------------------------------------------------------ the state

    fn patch(&mut self, format: Format, text: &Arc<str>) -> Result<(), WireError> {
        self.doc.root = self.doc.root.apply(format, text, &self.context.limits).map_err(refusal)?;
        self.patches.push((format, text.clone()));
        Ok(())
    }

    fn patch_text(&mut self, patch: Option<&PatchText>) -> Result<(), WireError> {
        patch.map_or(Ok(()), |patch| self.patch(patch.format, &patch.text))
    }

    fn checkpoint(&mut self, label: Option<String>, reason: CheckpointReason) -> u64 {
        let id = self.book.take_checkpoint_id();
        self.ops.push(Op::Checkpoint(CheckpointRow {
            id,
            version: self.doc.version,
            label,
            reason,
            incarnation: self.context.incarnation,
            root: self.doc.root.clone(),
        }));
        self.checkpoints = true;
        self.doc.events_since = 0;
        id
    }

    /// So many events have been acked: a checkpoint is due.
    fn checkpoint_if_every(&mut self) {
        let due = self
            .context
            .checkpoint_every
            .is_some_and(|every| every > 0 && self.doc.events_since >= every && !self.checkpoints);
        if due {
            self.checkpoint(None, CheckpointReason::Every);
        }
    }

    /// All of a transaction is one version, so each checkpoint in it holds the
    /// whole of it, wherever among the patches it stood.
    fn seal_checkpoints(&mut self) {
        for op in &mut self.ops {
            if let Op::Checkpoint(row) = op {
                row.root = self.doc.root.clone();
                self.doc.checkpoint = Some((row.id, row.version));
                self.doc.tail_bytes = 0;
            }
        }
    }

    /// One row for all the patches, before the checkpoints: a version is in
    /// the journal before anything refers to it.
    fn journal(&mut self) {
        let (format, patch) = match self.patches.as_slice() {
            [] => return,
            [(format, text)] => (*format, text.clone()),
            all => (Format::Many, join(all.iter().map(|(format, text)| (*format, &**text))).into()),
        };
        if !self.checkpoints {
            self.doc.tail_bytes += patch.len() as u64;
        }
        let row = JournalRow {
            version: self.doc.version,
            format,
            patch,
            by: self.context.by.into(),
            incarnation: self.context.incarnation,
        };
        self.ops.insert(0, Op::Journal(row));
    }

    // -------------------------------------------------------------- the end

    /// Makes it the book's state, as the answer to a write.
    pub fn into_applied(mut self, is_tx: bool, key: Option<&IdempotencyKey>) -> Applied {
        let results = std::mem::take(&mut self.results);
        let result = if is_tx { format!("{{\"results\":[{results}]}}") } else { results };
        let key = keys::remember(self.book, &mut self.ops, key, &result, self.context);
        let body = if self.checkpoints {
            Body::AwaitsBytes(result)
        } else {
            Body::Text(Text::Plain(result))
        };
        let mut applied = self.settle(body);
        applied.keys.extend(key);
        applied
    }

    /// Makes it the book's state, as a write of adrt's own.
    pub fn into_own(self) -> Applied {
        self.settle(Body::Nothing)
    }

    fn settle(mut self, body: Body) -> Applied {
        let now = self.context.now.mono;
        for (id, seq) in &self.ids {
            self.book.remember_event(*id, *seq, now);
        }
        let mut keys = Vec::with_capacity(self.keys.len());
        for row in self.keys {
            self.book.remember_key(row.key, row.request, now);
            keys.push(row.key);
            self.ops.push(Op::Key(row));
        }
        self.book.doc = self.doc;
        Applied {
            keys,
            changed: !self.ops.is_empty(),
            ops: self.ops,
            ids: self.ids.into_iter().map(|(id, _)| id).collect(),
            follow: self.follow,
            progress: self.progress,
            ..Applied::answer(body)
        }
    }
}

/// Whether a step of a write changes the state.
pub fn patches(op: &WriteOp) -> bool {
    match op {
        WriteOp::Patch { .. } => true,
        WriteOp::Work(WorkWrite::Ack(ack)) => {
            ack.patch.is_some() || ack.steps.iter().any(|step| step.patch.is_some())
        }
        WriteOp::Work(WorkWrite::StepComplete(complete)) => complete.patch.is_some(),
        WriteOp::Checkpoint { .. } | WriteOp::Work(_) => false,
    }
}

fn refusal(error: PatchError) -> WireError {
    match error {
        PatchError::Failed { index, reason } => {
            WireError::new(Kind::PatchFailed, format!("the patch does not apply: {reason}"))
                .with_number("index", index as u64)
        }
        PatchError::TooLarge { size, limit } => WireError::new(
            Kind::TooLarge,
            format!("the state would have {size} bytes and may have {limit} (--max-state)"),
        )
        .with_number("size", size as u64)
        .with_number("limit", limit as u64),
        PatchError::Invalid { reason } => WireError::invalid_params(reason),
    }
}

#[cfg(test)]
mod tests;
