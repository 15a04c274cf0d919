//! One request of an operator when no `adrt run` holds the agent.
//!
//! The same machine, detached: no agent, no loop. The request goes in as it
//! would from the control socket, its units are committed on the spot, and
//! its answer comes out. So a write means the same whether the agent runs or
//! not. The caller holds nothing; the lock is taken here, for as long as it
//! lasts.

use std::fmt;
use std::time::Duration;

use crate::clock;
use crate::store::failure::OpenError;
use crate::store::home::Home;
use crate::store::lock::{HolderKind, Lock, LockError};
use crate::store::open::{Options, Store};
use crate::supervisor::io::{Effect, Input, StoreFailure, Unit};
use crate::supervisor::machine::{self, Machine, Setup};
use crate::supervisor::restart::Policy;

/// How long a command waits for another command that writes.
const COMMAND_PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug)]
pub enum OfflineError {
    /// Somebody else holds the agent.
    Lock(LockError),
    /// The database can't be opened.
    Open(OpenError),
    /// It can't be read or written.
    Store(StoreFailure),
}

impl fmt::Display for OfflineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(e) => write!(f, "{e}"),
            Self::Open(e) => write!(f, "{e}"),
            Self::Store(e) => write!(f, "{}", e.message),
        }
    }
}

impl std::error::Error for OfflineError {}

/// Does one request, a JSON-RPC line, and gives its answer: the line a
/// control socket would have sent.
///
/// # Errors
/// What kept it from being done at all. A refusal of the request itself is an
/// answer.
pub fn call(
    home: &Home,
    options: &Options,
    max_state: usize,
    request: &str,
) -> Result<Vec<u8>, OfflineError> {
    let mut answers = Vec::new();
    call_each(home, options, max_state, &[request], |answer| answers = answer)?;
    Ok(answers)
}

/// As [`call`] for each in turn, under one lock and with one reading of the
/// state. `answered` is told as they are done.
///
/// # Errors
/// As [`call`]; those that were answered are done all the same.
pub fn call_each<R: AsRef<str>>(
    home: &Home,
    options: &Options,
    max_state: usize,
    requests: &[R],
    mut answered: impl FnMut(Vec<u8>),
) -> Result<(), OfflineError> {
    let _lock = Lock::take_within(home, HolderKind::Command, None, COMMAND_PATIENCE)
        .map_err(OfflineError::Lock)?;
    let (mut store, boot) = Store::open(home, options).map_err(OfflineError::Open)?;
    let mut machine = Machine::detached(setup(home, options, max_state), &boot, clock::now());
    let restored = store.load().map_err(OfflineError::Store)?;
    let mut effects = Vec::new();
    machine.handle(clock::now(), Input::Restored(Box::new(restored)), &mut effects);
    for (conn, request) in (0..).zip(requests) {
        let line = request.as_ref().as_bytes();
        machine.handle(clock::now(), Input::Operator { conn, uid: 0, line }, &mut effects);
        answered(carry_out(&mut machine, &mut store, &mut effects)?);
    }
    store.close().map_err(OfflineError::Store)
}

/// Commits what the machine sends until it has answered and sends no more.
fn carry_out(
    machine: &mut Machine,
    store: &mut Store,
    effects: &mut Vec<Effect>,
) -> Result<Vec<u8>, OfflineError> {
    let mut answer = None;
    loop {
        let mut units: Vec<Unit> = Vec::new();
        for effect in effects.drain(..) {
            match effect {
                Effect::Reply { bytes, .. } => answer = Some(bytes),
                Effect::Persist(unit) => units.push(unit),
                Effect::Resume { .. } => units.clear(),
                Effect::Log { .. } | Effect::Notify(_) | Effect::PassLine => {}
                // There is no agent to do these to.
                Effect::Spawn { .. }
                | Effect::OpenWire { .. }
                | Effect::Send { .. }
                | Effect::CloseStdin { .. }
                | Effect::Signal { .. }
                | Effect::Post(_)
                | Effect::Exit(_) => {}
            }
        }
        if units.is_empty() {
            let bug = || internal("the request was not answered; this is a bug".into());
            return answer.ok_or_else(|| OfflineError::Store(bug()));
        }
        let input = match store.commit(&units) {
            Ok(committed) => Input::Committed(committed),
            Err(failure) if failure.outcome_unknown => {
                // What was answered was on the disk before.
                return answer.ok_or(OfflineError::Store(failure));
            }
            Err(failure) => Input::StoreFailed(failure),
        };
        machine.handle(clock::now(), input, effects);
    }
}

fn internal(message: String) -> StoreFailure {
    StoreFailure {
        epoch: 0,
        kind: crate::supervisor::io::StoreFailureKind::Other,
        outcome_unknown: false,
        message,
        reserve_freed: false,
    }
}

fn setup(home: &Home, options: &Options, max_state: usize) -> Setup {
    Setup {
        agent: home.agent().to_owned(),
        run_id: "command".into(),
        policy: Policy::default(),
        stop_timeout: machine::STOP_TIMEOUT_DEFAULT,
        ready_timeout: machine::READY_TIMEOUT_DEFAULT,
        max_frame: machine::MAX_FRAME_DEFAULT,
        max_state,
        max_inflight: machine::MAX_INFLIGHT_DEFAULT,
        max_db: options.max_db,
        by_hand: true,
        script: None,
        events: machine::EventPolicy::default(),
        on_crash_loop: machine::OnCrashLoop::default(),
        checkpoint_every: None,
        time_zone: jiff::tz::TimeZone::system(),
        seed: 0,
    }
}
