//! Requests, done on the speculative state.
//!
//! Every refusal but the disk's is decided here, before anything is sent to
//! the store: the store refuses nothing request by request.

use std::fmt::{self, Write as _};

use super::book::{Book, Doc};
use super::io::{
    CheckpointReason, CheckpointRef, CheckpointRow, Incarnation, JournalRow, KeyHash, Op,
    RestartMemory,
};
use super::keys::{known_key, remember};
use super::outbox::Text;
use super::queue::Body;
use super::records::checkpoint_op;
use crate::clock::Now;
use crate::engines::state::{Format, Limits, Node, PatchError};
use crate::protocol::error::{Kind, WireError};
use crate::protocol::message::{Restore, Write, WriteOp};
use crate::protocol::reply;

/// `checkpoint.list` without a limit, and the most it gives.
const CHECKPOINTS_LISTED_MAX: u64 = 1000;

/// Room for a patch's result.
const RESULT_BYTES: usize = 24;

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
    /// Remembered under this key.
    pub key: Option<KeyHash>,
    /// Nothing behind it is applied until it is answered.
    pub barrier: bool,
}

impl Applied {
    /// Something that only reads, answered with this.
    pub fn answer(body: Body) -> Self {
        Self { ops: Vec::new(), body, changed: false, privileged: false, key: None, barrier: false }
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

/// `state.set`, `state.patch`, `checkpoint.create`, `tx`.
pub fn write(book: &mut Book, write: &Write, context: &Context) -> Result<Applied, WireError> {
    if let Some(recall) = known_key(book, write.key.as_ref(), context)? {
        return Ok(recall);
    }
    check_version(&book.doc, write.if_version)?;
    let draft = Draft::make(book, write, context)?;
    Ok(draft.into_applied(book, write, context))
}

/// A write while it is being put together: nothing of the book has changed.
struct Draft {
    doc: Doc,
    ops: Vec<Op>,
    /// One after another, with commas.
    results: String,
    checkpoints: bool,
}

impl Draft {
    fn make(book: &mut Book, write: &Write, context: &Context) -> Result<Self, WireError> {
        let mut draft = Self {
            doc: book.doc.clone(),
            ops: Vec::with_capacity(write.ops.len() + usize::from(write.key.is_some())),
            results: String::with_capacity(RESULT_BYTES * write.ops.len()),
            checkpoints: false,
        };
        let patches = write.ops.iter().filter(|op| matches!(op, WriteOp::Patch { .. })).count();
        if patches > 0 {
            draft.doc.version = book.next_version();
        }
        for (index, op) in write.ops.iter().enumerate() {
            let done = match op {
                WriteOp::Work(_) => Err(WireError::new(Kind::Internal, "not built yet")),
                WriteOp::Patch { format, text } => draft.patch(*format, text, context),
                WriteOp::Checkpoint { label } => {
                    draft.checkpoint(book, label.clone(), context);
                    Ok(())
                }
            };
            if let Err(error) = done {
                let index = index as u64;
                return Err(if write.is_tx { error.with_number("index", index) } else { error });
            }
        }
        draft.seal_checkpoints();
        if patches > 0 {
            draft.journal(write, context);
        }
        Ok(draft)
    }

    /// All of a tx is one version, so each checkpoint in it holds the whole
    /// of it, wherever among the patches it stood.
    fn seal_checkpoints(&mut self) {
        for op in &mut self.ops {
            if let Op::Checkpoint(row) = op {
                row.root = self.doc.root.clone();
                self.doc.checkpoint = Some((row.id, row.version));
                self.doc.tail_bytes = 0;
            }
        }
    }

    fn patch(&mut self, format: Format, text: &str, context: &Context) -> Result<(), WireError> {
        let root = self.doc.root.apply(format, text, &context.limits).map_err(refusal)?;
        self.doc.root = root;
        let version = self.doc.version;
        self.result(format_args!("{{\"version\":{version}}}"));
        Ok(())
    }

    fn result(&mut self, result: fmt::Arguments<'_>) {
        if !self.results.is_empty() {
            self.results.push(',');
        }
        // Into a string: it can't fail.
        let _ = self.results.write_fmt(result);
    }

    fn checkpoint(&mut self, book: &mut Book, label: Option<String>, context: &Context) {
        let id = book.take_checkpoint_id();
        let version = self.doc.version;
        self.result(format_args!("{{\"id\":{id},\"version\":{version},\"bytes\":null}}"));
        self.ops.push(Op::Checkpoint(CheckpointRow {
            id,
            version: self.doc.version,
            label,
            reason: CheckpointReason::Request,
            incarnation: context.incarnation,
            root: self.doc.root.clone(),
        }));
        self.checkpoints = true;
    }

    /// One row for all the patches, before the checkpoints: a version is in
    /// the journal before anything refers to it.
    fn journal(&mut self, write: &Write, context: &Context) {
        let mut patches = write.ops.iter().filter_map(|op| match op {
            WriteOp::Patch { format, text } => Some((*format, text)),
            WriteOp::Checkpoint { .. } | WriteOp::Work(_) => None,
        });
        let (format, patch) = match (patches.next(), patches.next()) {
            (Some((format, text)), None) => (format, text.clone()),
            (first, second) => {
                let all: Vec<_> = first.into_iter().chain(second).chain(patches).collect();
                (Format::Many, many(&all).into())
            }
        };
        if !self.checkpoints {
            self.doc.tail_bytes += patch.len() as u64;
        }
        let row = JournalRow {
            version: self.doc.version,
            format,
            patch,
            by: context.by.into(),
            incarnation: context.incarnation,
        };
        self.ops.insert(0, Op::Journal(row));
    }

    fn into_applied(self, book: &mut Book, write: &Write, context: &Context) -> Applied {
        let result =
            if write.is_tx { format!("{{\"results\":[{}]}}", self.results) } else { self.results };
        let mut ops = self.ops;
        let key = remember(book, &mut ops, write.key.as_ref(), &result, context);
        book.doc = self.doc;
        let body = if self.checkpoints {
            Body::AwaitsBytes(result)
        } else {
            Body::Text(Text::Plain(result))
        };
        Applied { changed: !ops.is_empty(), ops, key, ..Applied::answer(body) }
    }
}

fn many(patches: &[(Format, &std::sync::Arc<str>)]) -> String {
    let parts: Vec<String> = patches
        .iter()
        .map(|(format, text)| {
            format!("{{\"format\":{},\"patch\":{text}}}", reply::quote(format.name()))
        })
        .collect();
    format!("[{}]", parts.join(","))
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
    checkpoint: u64,
    root: &Node,
    context: &Context,
) -> Result<Applied, WireError> {
    // Several with the same key may have been looked up before this was done.
    if let Some(recall) = known_key(book, restore.key.as_ref(), context)? {
        return Ok(recall);
    }
    check_version(&book.doc, restore.if_version)?;
    let version = book.next_version();
    let patch: std::sync::Arc<str> = root.to_text().into();
    book.doc.tail_bytes += patch.len() as u64;
    book.doc.root = root.clone();
    book.doc.version = version;
    let mut ops = vec![Op::Journal(JournalRow {
        version,
        format: Format::Set,
        patch,
        by: format!("restore:{checkpoint}").into(),
        incarnation: context.incarnation,
    })];
    let result = format!("{{\"version\":{version}}}");
    let key = remember(book, &mut ops, restore.key.as_ref(), &result, context);
    let body = Body::Text(Text::Plain(result));
    Ok(Applied { changed: true, ops, key, ..Applied::answer(body) })
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
