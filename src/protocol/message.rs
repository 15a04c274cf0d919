//! The methods and their params.
//!
//! Each method has a struct of its own that refuses members it does not know
//! by name: a misspelt `if_verison` that is ignored would lose an update
//! without a word.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::{Kind, WireError};
use crate::engines::state::Format;

/// A decoded request, owned: it may have to run a second time after a failed
/// transaction.
#[derive(Debug, Clone)]
pub enum Request {
    /// Opens the wire.
    Initialize(Box<Initialize>),
    /// The agent is ready to work.
    Ready {
        /// A line for the service manager.
        status: Option<String>,
    },
    /// Reads the state, or a part.
    StateGet {
        /// JSON Pointer.
        path: Option<String>,
    },
    /// Changes the agent's record: one transaction, one version at most.
    Write(Write),
    /// Lists checkpoints, newest first.
    CheckpointList {
        /// At most so many.
        limit: Option<u64>,
    },
    /// Makes an old state the new version.
    CheckpointRestore(Restore),
    /// Deletes old checkpoints (operator).
    CheckpointPrune {
        /// How many stay.
        keep: u64,
        /// Labelled and pinned ones too.
        all: bool,
    },
    /// Drops all old versions (operator).
    HistoryForget {
        /// Only if an older version has another value there.
        path: Option<String>,
    },
    /// The agent is done.
    RunFinish {
        /// What it has to show for it, as JSON text.
        result: Option<String>,
    },
    /// The agent lives.
    Heartbeat(Heartbeat),
    /// A line for the log.
    Log(LogLine),
    /// What is going on (operator).
    Status,
    /// End the run (operator).
    Stop,
    /// Start the agent anew (operator).
    Restart,
}

/// A mutation, whole.
#[derive(Debug, Clone)]
pub struct Write {
    /// What to do, in order.
    pub ops: Vec<WriteOp>,
    /// Came as `tx`: the result is a list, and errors name the index.
    pub is_tx: bool,
    /// Only if this is the version.
    pub if_version: Option<u64>,
    /// Idempotency key, with the hash input of method and params.
    pub key: Option<IdempotencyKey>,
}

/// One step of a [`Write`].
#[derive(Debug, Clone)]
pub enum WriteOp {
    /// `state.set`, `state.patch`.
    Patch {
        /// How `text` is written.
        format: Format,
        /// JSON text.
        text: Arc<str>,
    },
    /// `checkpoint.create`.
    Checkpoint {
        /// A name for it.
        label: Option<String>,
    },
}

/// A client's name for a mutation, so that asking twice does it once.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// As given.
    pub key: String,
    /// Method and params as they came, to tell a repeat from a reuse.
    pub request: Arc<str>,
}

/// `checkpoint.restore`.
#[derive(Debug, Clone)]
pub struct Restore {
    /// By number …
    pub id: Option<u64>,
    /// … or by label (operator).
    pub label: Option<String>,
    /// Only if this is the version.
    pub if_version: Option<u64>,
    /// Idempotency key.
    pub key: Option<IdempotencyKey>,
}

/// `initialize`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Initialize {
    /// Majors the client speaks.
    pub protocol: Vec<u64>,
    /// `ADRT_TOKEN` of this spawn.
    pub token: String,
    /// Who it is.
    pub client: Client,
    /// Only frames with this spawn's `tag` count from now on.
    #[serde(default)]
    pub frame_tag: bool,
    /// How many events it wants at a time. There are none to hand out yet;
    /// the member is part of the wire and read all the same.
    #[serde(default)]
    pub events: Option<EventsWanted>,
    /// A name the agent has for itself; adrt's wins.
    #[serde(default)]
    pub agent_id: Option<String>,
    /// A checkpoint every so many processed events, unless `run` was told otherwise.
    #[serde(default)]
    pub checkpoint_every: Option<u64>,
    /// The version of its state's layout the agent's code has.
    #[serde(default)]
    pub schema: Option<u64>,
    /// `"omit"` leaves the state's value out of the answer.
    #[serde(default)]
    pub state: StateWanted,
}

/// The client's name and version, for the log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: Option<String>,
}

/// What events a client wants.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsWanted {
    /// How many it may hold unacked.
    #[serde(default)]
    pub credit: Option<u64>,
    /// Globs of types.
    #[serde(default)]
    pub types: Option<Vec<String>>,
}

/// Whether `initialize` answers with the state's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateWanted {
    /// It does.
    #[default]
    Whole,
    /// It does not.
    Omit,
}

/// `heartbeat`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// A line for the service manager.
    #[serde(default)]
    pub status: Option<String>,
    /// How far it is.
    #[serde(default)]
    pub progress: Option<Progress>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// So much is done …
    pub done: f64,
    /// … of so much.
    #[serde(default)]
    pub total: Option<f64>,
}

/// `log`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// How grave.
    pub level: LogLevel,
    /// What.
    pub message: String,
    /// More of it, kept as text.
    #[serde(default, deserialize_with = "raw_text")]
    pub fields: Option<String>,
}

/// How grave a line of an agent's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For the one who writes the agent.
    Debug,
    /// The usual.
    Info,
    /// Something to look at.
    #[serde(alias = "warn")]
    Warning,
    /// Something failed.
    #[serde(alias = "critical")]
    Error,
}

/// Who may ask for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The agent, over the wire.
    Agent,
    /// The command line, over the control socket.
    Operator,
}

/// Decodes the params of a method.
///
/// # Errors
/// `method_not_found`, or `invalid_params` naming the member.
pub fn decode(method: &str, params: Option<&str>, caller: Caller) -> Result<Request, WireError> {
    let text = params.unwrap_or("{}");
    let agent = caller == Caller::Agent;
    match method {
        "initialize" if agent => Ok(Request::Initialize(Box::new(params_of(text)?))),
        "ready" if agent => Ok(Request::Ready { status: params_of::<ReadyParams>(text)?.status }),
        "heartbeat" if agent => Ok(Request::Heartbeat(params_of(text)?)),
        "log" if agent => Ok(Request::Log(params_of(text)?)),
        "run.finish" if agent => {
            Ok(Request::RunFinish { result: params_of::<FinishParams>(text)?.result })
        }
        "state.get" => Ok(Request::StateGet { path: params_of::<GetParams>(text)?.path }),
        "state.set" | "state.patch" | "checkpoint.create" => {
            let (op, extra) = write_op(method, text)?;
            Ok(Request::Write(Write {
                ops: vec![op],
                is_tx: false,
                if_version: extra.if_version,
                key: extra.key.map(|key| idempotency(key, method, text)),
            }))
        }
        "tx" => tx(text),
        "checkpoint.list" => {
            Ok(Request::CheckpointList { limit: params_of::<ListParams>(text)?.limit })
        }
        "checkpoint.restore" => restore(text),
        "checkpoint.prune" if !agent => {
            let PruneParams { keep, all } = params_of(text)?;
            Ok(Request::CheckpointPrune { keep, all })
        }
        "history.forget" if !agent => {
            Ok(Request::HistoryForget { path: params_of::<GetParams>(text)?.path })
        }
        "status" if !agent => no_params(text, Request::Status),
        "stop" if !agent => no_params(text, Request::Stop),
        "restart" if !agent => no_params(text, Request::Restart),
        _ => {
            let method = shortened(method);
            let what = format!("there is no method {method:?}; adrt-protocol(7) lists them");
            Err(WireError::new(Kind::MethodNotFound, what))
        }
    }
}

/// What somebody wrote, fit to be repeated in a message: a line may be long.
fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    /// Bytes of it that are repeated.
    const REPEATED_MAX: usize = 200;
    if text.len() <= REPEATED_MAX {
        return text.into();
    }
    let end = (0..=REPEATED_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end]).into()
}

fn params_of<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, WireError> {
    if !text.trim_start().starts_with('{') {
        return Err(WireError::invalid_params("\"params\" must be an object"));
    }
    serde_json::from_str(text).map_err(|e| {
        let sentence = e.to_string();
        // The position is within params, which nobody can see on their own.
        let reason = sentence.rsplit_once(" at line ").map_or(&*sentence, |(reason, _)| reason);
        WireError::invalid_params(shortened(reason))
    })
}

fn no_params(text: &str, request: Request) -> Result<Request, WireError> {
    params_of::<NoParams>(text).map(|_| request)
}

/// What every mutation may carry beside its own params.
#[derive(Default)]
struct WriteExtra {
    key: Option<String>,
    if_version: Option<u64>,
}

fn write_op(method: &str, text: &str) -> Result<(WriteOp, WriteExtra), WireError> {
    match method {
        "state.set" => {
            let SetParams { value, key, if_version } = params_of(text)?;
            let op = WriteOp::Patch { format: Format::Set, text: value.get().into() };
            Ok((op, WriteExtra { key, if_version }))
        }
        "state.patch" => {
            let PatchParams { patch, format, key, if_version } = params_of(text)?;
            let op = WriteOp::Patch { format: format.into(), text: patch.get().into() };
            Ok((op, WriteExtra { key, if_version }))
        }
        "checkpoint.create" => {
            let CreateParams { label, key, if_version } = params_of(text)?;
            Ok((WriteOp::Checkpoint { label }, WriteExtra { key, if_version }))
        }
        _ => {
            let method = shortened(method);
            let what =
                format!("{method:?} can't stand in a tx; adrt-protocol(7) says which methods can");
            Err(WireError::new(Kind::MethodNotFound, what))
        }
    }
}

fn tx(text: &str) -> Result<Request, WireError> {
    let TxParams { ops, key, if_version } = params_of(text)?;
    let mut write = Write {
        ops: Vec::with_capacity(ops.len()),
        is_tx: true,
        if_version,
        key: key.map(|key| idempotency(key, "tx", text)),
    };
    for (index, op) in ops.into_iter().enumerate() {
        let at = |e: WireError| e.with_number("index", index as u64);
        let params = op.params.map_or("{}", RawValue::get);
        let (op, extra) = write_op(&op.method, params).map_err(at)?;
        if extra.key.is_some() || extra.if_version.is_some() {
            let reason = "\"key\" and \"if_version\" belong to the tx, not to one of its ops";
            return Err(at(WireError::invalid_params(reason)));
        }
        write.ops.push(op);
    }
    Ok(Request::Write(write))
}

fn restore(text: &str) -> Result<Request, WireError> {
    let RestoreParams { id, label, key, if_version } = params_of(text)?;
    if id.is_some() == label.is_some() {
        return Err(WireError::invalid_params("give \"id\" or \"label\", and one of them only"));
    }
    let key = key.map(|key| idempotency(key, "checkpoint.restore", text));
    Ok(Request::CheckpointRestore(Restore { id, label, if_version, key }))
}

fn idempotency(key: String, method: &str, params: &str) -> IdempotencyKey {
    IdempotencyKey { key, request: format!("{method} {params}").into() }
}

fn raw_text<'de, D: Deserializer<'de>>(de: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Box<RawValue>>::deserialize(de)?.map(|raw| raw.get().to_owned()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadyParams {
    #[serde(default)]
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FinishParams {
    #[serde(default, deserialize_with = "raw_text")]
    result: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetParams {
    #[serde(default)]
    path: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    #[serde(default)]
    limit: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PruneParams {
    keep: u64,
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetParams<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    if_version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchParams<'a> {
    #[serde(borrow)]
    patch: &'a RawValue,
    #[serde(default)]
    format: PatchFormat,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    if_version: Option<u64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PatchFormat {
    #[default]
    Merge,
    Json,
    Shallow,
}

impl From<PatchFormat> for Format {
    fn from(format: PatchFormat) -> Self {
        match format {
            PatchFormat::Merge => Self::Merge,
            PatchFormat::Json => Self::Json,
            PatchFormat::Shallow => Self::Shallow,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateParams {
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    if_version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestoreParams {
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    if_version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TxParams<'a> {
    #[serde(borrow)]
    ops: Vec<TxOp<'a>>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    if_version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TxOp<'a> {
    method: String,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests;
