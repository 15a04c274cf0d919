//! The methods and their params.
//!
//! Each method has a struct of its own that refuses members it does not know
//! by name: a misspelt `if_verison` that is ignored would lose an update
//! without a word.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::{Kind, WireError};
use super::work::{self, Assess, Look, Subscription, WorkWrite};
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
    /// Reads about work.
    Look(Look),
    /// Asks the engines.
    Assess(Assess),
    /// From now on it wants these events.
    Subscribe(Subscription),
    /// Hands the next event out to whoever asks (operator).
    EventNext {
        /// How long one is waited for.
        wait: Duration,
    },
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
    /// Read the rules file again (operator).
    Reload,
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
    /// What is about work.
    Work(WorkWrite),
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
    /// What was acked since is handed out again (operator).
    pub reopen_events: bool,
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
    /// What events it wants; none without.
    #[serde(default, deserialize_with = "subscription")]
    pub events: Option<Subscription>,
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
        "ready" => Ok(Request::Ready { status: params_of::<ReadyParams>(text)?.status }),
        "heartbeat" => Ok(Request::Heartbeat(params_of(text)?)),
        "log" if agent => Ok(Request::Log(params_of(text)?)),
        "run.finish" if agent => {
            Ok(Request::RunFinish { result: params_of::<FinishParams>(text)?.result })
        }
        "state.get" => Ok(Request::StateGet { path: params_of::<GetParams>(text)?.path }),
        "tx" => tx(text, caller),
        "event.subscribe" if agent => {
            let wanted = params_of::<EventsParams>(text)?;
            wanted.into_subscription().map(Request::Subscribe).map_err(WireError::invalid_params)
        }
        "event.next" if !agent => {
            let wait = Duration::from_millis(params_of::<NextParams>(text)?.wait_ms);
            Ok(Request::EventNext { wait })
        }
        "checkpoint.list" => {
            Ok(Request::CheckpointList { limit: params_of::<ListParams>(text)?.limit })
        }
        "checkpoint.restore" => restore(text, agent),
        "checkpoint.prune" if !agent => {
            let PruneParams { keep, all } = params_of(text)?;
            Ok(Request::CheckpointPrune { keep, all })
        }
        "history.forget" if !agent => {
            Ok(Request::HistoryForget { path: params_of::<GetParams>(text)?.path })
        }
        "status" if !agent => no_params(text, Request::Status),
        "reload" if !agent => no_params(text, Request::Reload),
        "stop" if !agent => no_params(text, Request::Stop),
        "restart" if !agent => no_params(text, Request::Restart),
        _ => write(method, text, caller)
            .or_else(|| work::look(method, text).map(|look| look.map(Request::Look)))
            .or_else(|| work::assess(method, text).map(|asked| asked.map(Request::Assess)))
            .unwrap_or_else(|| {
                let method = shortened(method);
                let what = format!("there is no method {method:?}; adrt-protocol(7) lists them");
                Err(WireError::new(Kind::MethodNotFound, what))
            }),
    }
}

/// A mutation of its own, if the method is one.
fn write(method: &str, text: &str, caller: Caller) -> Option<Result<Request, WireError>> {
    let (op, extra) = match write_op(method, text, caller)? {
        Ok(decoded) => decoded,
        Err(error) => return Some(Err(error)),
    };
    Some(Ok(Request::Write(Write {
        ops: vec![op],
        is_tx: false,
        if_version: extra.if_version,
        key: extra.key.map(|key| idempotency(key, method, text)),
    })))
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

pub(super) fn params_of<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, WireError> {
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
pub(super) struct WriteExtra {
    pub key: Option<String>,
    pub if_version: Option<u64>,
}

/// Decodes a mutation, or says that the method is none.
fn write_op(
    method: &str,
    text: &str,
    caller: Caller,
) -> Option<Result<(WriteOp, WriteExtra), WireError>> {
    Some(match method {
        "state.set" => params_of::<SetParams<'_>>(text).map(|params| {
            let op = WriteOp::Patch { format: Format::Set, text: params.value.get().into() };
            (op, WriteExtra { key: params.key, if_version: params.if_version })
        }),
        "state.patch" => params_of::<PatchParams<'_>>(text).map(|params| {
            let text = params.patch.get().into();
            let op = WriteOp::Patch { format: params.format.into(), text };
            (op, WriteExtra { key: params.key, if_version: params.if_version })
        }),
        "checkpoint.create" => params_of::<CreateParams>(text).map(|params| {
            let op = WriteOp::Checkpoint { label: params.label };
            (op, WriteExtra { key: params.key, if_version: params.if_version })
        }),
        _ => {
            let decoded = work::write_op(method, text, caller)?;
            decoded.map(|(op, extra)| (WriteOp::Work(op), extra))
        }
    })
}

fn tx(text: &str, caller: Caller) -> Result<Request, WireError> {
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
        let decoded = write_op(&op.method, params, caller);
        let (op, extra) = decoded.unwrap_or_else(|| Err(not_in_tx(&op.method))).map_err(at)?;
        if extra.key.is_some() || extra.if_version.is_some() {
            let reason = "\"key\" and \"if_version\" belong to the tx, not to one of its ops";
            return Err(at(WireError::invalid_params(reason)));
        }
        write.ops.push(op);
    }
    Ok(Request::Write(write))
}

fn not_in_tx(method: &str) -> WireError {
    let method = shortened(method);
    let what = format!("{method:?} can't stand in a tx; adrt-protocol(7) says which methods can");
    WireError::new(Kind::MethodNotFound, what)
}

fn restore(text: &str, agent: bool) -> Result<Request, WireError> {
    let RestoreParams { id, label, reopen_events, key, if_version } = params_of(text)?;
    if reopen_events && agent {
        return Err(WireError::invalid_params("unknown field `reopen_events`"));
    }
    if id.is_some() == label.is_some() {
        return Err(WireError::invalid_params("give \"id\" or \"label\", and one of them only"));
    }
    let key = key.map(|key| idempotency(key, "checkpoint.restore", text));
    Ok(Request::CheckpointRestore(Restore { id, label, if_version, reopen_events, key }))
}

fn idempotency(key: String, method: &str, params: &str) -> IdempotencyKey {
    IdempotencyKey { key, request: format!("{method} {params}").into() }
}

fn raw_text<'de, D: Deserializer<'de>>(de: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Box<RawValue>>::deserialize(de)?.map(|raw| raw.get().to_owned()))
}

/// What events a client wants, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsParams {
    #[serde(default)]
    credit: Option<u64>,
    #[serde(default)]
    types: Option<Vec<String>>,
}

impl EventsParams {
    fn into_subscription(self) -> Result<Subscription, String> {
        let credit = self.credit.unwrap_or(work::CREDIT_DEFAULT);
        if credit > work::CREDIT_MAX {
            return Err(format!("\"credit\" may be {} at most", work::CREDIT_MAX));
        }
        let types = self.types.unwrap_or_default();
        let too_long = types.iter().any(|glob| glob.len() > work::NAME_BYTES_MAX);
        if types.len() > work::TYPES_MAX || too_long {
            let (most, bytes) = (work::TYPES_MAX, work::NAME_BYTES_MAX);
            return Err(format!("\"types\" may be {most} globs of {bytes} bytes at most"));
        }
        let credit = usize::try_from(credit).unwrap_or(usize::MAX);
        Ok(Subscription { credit, types })
    }
}

fn subscription<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Subscription>, D::Error> {
    let wanted = Option::<EventsParams>::deserialize(de)?;
    wanted.map(EventsParams::into_subscription).transpose().map_err(serde::de::Error::custom)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NextParams {
    #[serde(default)]
    wait_ms: u64,
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
pub(super) enum PatchFormat {
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
    reopen_events: bool,
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
