//! The error codes of the wire.
//!
//! JSON-RPC's own are negative, the project's are positive. Every error
//! carries `data.kind`, the name a client switches on, and `data.retryable`.

/// Which error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A line that looks like a frame and is no JSON.
    ParseError,
    /// JSON, but no request.
    InvalidRequest,
    /// No such method.
    MethodNotFound,
    /// The params are not the method's.
    InvalidParams,
    /// The same key with other params.
    KeyReused,
    /// A bug of adrt's.
    Internal,
    /// None of the majors offered is spoken.
    UnsupportedProtocol,
    /// `initialize` without this spawn's token.
    BadToken,
    /// A second `initialize`.
    AlreadyInitialized,
    /// Too many requests wait on the control socket.
    Overloaded,
    /// An operator asks for what takes a new start, of a client that adrt did
    /// not start.
    Attached,
    /// `if_version` is not the current version.
    VersionConflict,
    /// A JSON Patch `test` or path failed.
    PatchFailed,
    /// The state would be too large.
    TooLarge,
    /// An ack or the like for an attempt that is not the current one.
    StaleAttempt,
    /// No such event.
    UnknownEvent,
    /// No agent of that name.
    UnknownAgent,
    /// Past the file's budget for new events.
    InboxFull,
    /// The same step with another input.
    StepMismatch,
    /// The step was begun and is not completed.
    StepInProgress,
    /// No such checkpoint.
    UnknownCheckpoint,
    /// The disk refused; nothing was applied.
    StoreFailed,
    /// COMMIT itself failed; nobody knows yet.
    OutcomeUnknown,
}

impl Kind {
    /// The JSON-RPC code.
    pub const fn code(self) -> i64 {
        match self {
            Self::ParseError => -32700,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
            Self::InvalidParams | Self::KeyReused => -32602,
            Self::Internal => -32603,
            Self::UnsupportedProtocol => 1001,
            Self::BadToken => 1002,
            Self::AlreadyInitialized => 1003,
            Self::Overloaded => 1005,
            Self::Attached => 1006,
            Self::VersionConflict => 1101,
            Self::PatchFailed => 1102,
            Self::TooLarge => 1103,
            Self::StaleAttempt => 1201,
            Self::UnknownEvent => 1202,
            Self::UnknownAgent => 1203,
            Self::InboxFull => 1204,
            Self::StepMismatch => 1301,
            Self::StepInProgress => 1302,
            Self::UnknownCheckpoint => 1401,
            Self::StoreFailed => 1501,
            Self::OutcomeUnknown => 1502,
        }
    }

    /// `data.kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ParseError => "parse_error",
            Self::InvalidRequest => "invalid_request",
            Self::MethodNotFound => "method_not_found",
            Self::InvalidParams => "invalid_params",
            Self::KeyReused => "key_reused",
            Self::Internal => "internal",
            Self::UnsupportedProtocol => "unsupported_protocol",
            Self::BadToken => "bad_token",
            Self::AlreadyInitialized => "already_initialized",
            Self::Overloaded => "overloaded",
            Self::Attached => "attached",
            Self::VersionConflict => "version_conflict",
            Self::PatchFailed => "patch_failed",
            Self::TooLarge => "too_large",
            Self::StaleAttempt => "stale_attempt",
            Self::UnknownEvent => "unknown_event",
            Self::UnknownAgent => "unknown_agent",
            Self::InboxFull => "inbox_full",
            Self::StepMismatch => "step_mismatch",
            Self::StepInProgress => "step_in_progress",
            Self::UnknownCheckpoint => "unknown_checkpoint",
            Self::StoreFailed => "store_failed",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }

    /// Whether the same request may succeed later, where the kind alone says.
    const fn retryable(self) -> bool {
        match self {
            Self::Overloaded | Self::InboxFull | Self::StoreFailed | Self::OutcomeUnknown => true,
            Self::ParseError
            | Self::InvalidRequest
            | Self::MethodNotFound
            | Self::InvalidParams
            | Self::KeyReused
            | Self::Internal
            | Self::UnsupportedProtocol
            | Self::BadToken
            | Self::AlreadyInitialized
            | Self::Attached
            | Self::VersionConflict
            | Self::PatchFailed
            | Self::TooLarge
            | Self::StaleAttempt
            | Self::UnknownEvent
            | Self::UnknownAgent
            | Self::StepMismatch
            | Self::StepInProgress
            | Self::UnknownCheckpoint => false,
        }
    }
}

/// An error on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct WireError {
    /// Which.
    pub kind: Kind,
    /// What happened and what to do, for people.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Further members of `data`.
    pub data: Vec<(&'static str, Detail)>,
}

/// A member of an error's `data`.
#[derive(Debug, Clone, PartialEq)]
pub enum Detail {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
    /// A list of numbers.
    Numbers(Vec<u64>),
}

impl WireError {
    /// An error of that kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retryable: kind.retryable(), data: Vec::new() }
    }

    /// The same with a number in its data.
    #[must_use]
    pub fn with_number(mut self, name: &'static str, value: u64) -> Self {
        self.data.push((name, Detail::Number(value)));
        self
    }

    /// The same with a text in its data.
    #[must_use]
    pub fn with_text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.data.push((name, Detail::Text(value.into())));
        self
    }

    /// `-32602` naming what is wrong.
    pub fn invalid_params(reason: impl std::fmt::Display) -> Self {
        Self::new(Kind::InvalidParams, format!("invalid params: {reason}"))
    }

    /// The `error` member as JSON text.
    pub fn to_json(&self) -> String {
        let mut data = serde_json::Map::new();
        data.insert("kind".into(), self.kind.name().into());
        data.insert("retryable".into(), self.retryable.into());
        for (name, value) in &self.data {
            let value = match value {
                Detail::Number(n) => (*n).into(),
                Detail::Text(text) => text.as_str().into(),
                Detail::Numbers(list) => list.clone().into(),
            };
            data.insert((*name).into(), value);
        }
        serde_json::json!({
            "code": self.kind.code(),
            "message": self.message,
            "data": data,
        })
        .to_string()
    }
}

/// An id as the peer wrote it; `null` where it could not be read.
pub fn id_text(id: Option<&str>) -> &str {
    id.unwrap_or("null")
}
