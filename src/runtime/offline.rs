//! One request of an operator when no `adrt run` holds the agent.
//!
//! The same machine, detached: no agent, no loop. The request goes in as it
//! would from the control socket, its units are committed on the spot, and
//! its answer comes out. So a write means the same whether the agent runs or
//! not. The caller holds nothing; the lock is taken here, for as long as it
//! lasts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::log_file;
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
    perform(home, options, setup(home, options.max_db, max_state), request)
}

/// Does `event.emit` for another agent. By `max_db` its inbox may be full;
/// its history is not shed by that, since it may well have a larger budget.
///
/// # Errors
/// As [`call`].
pub fn deliver(home: &Home, max_db: u64, request: &str) -> Result<Vec<u8>, OfflineError> {
    let options = Options { max_db: u64::MAX, ..Options::default() };
    // An event does not change the state.
    perform(home, &options, setup(home, max_db, usize::MAX), request)
}

fn perform(
    home: &Home,
    options: &Options,
    setup: Setup,
    request: &str,
) -> Result<Vec<u8>, OfflineError> {
    let _lock = Lock::take_within(home, HolderKind::Command, None, COMMAND_PATIENCE)
        .map_err(OfflineError::Lock)?;
    let (mut store, boot) = Store::open(home, options).map_err(OfflineError::Open)?;
    let mut machine = Machine::detached(setup, &boot, clock::now());
    let restored = store.load().map_err(OfflineError::Store)?;
    let mut effects = Vec::new();
    machine.handle(clock::now(), Input::Restored(Box::new(restored)), &mut effects);
    let input = Input::Operator { conn: 0, uid: 0, line: request.as_bytes() };
    machine.handle(clock::now(), input, &mut effects);
    let answer = carry_out(home, &mut machine, &mut store, effects)?;
    store.close().map_err(OfflineError::Store)?;
    Ok(answer)
}

/// Commits what the machine sends until it answers.
fn carry_out(
    home: &Home,
    machine: &mut Machine,
    store: &mut Store,
    mut effects: Vec<Effect>,
) -> Result<Vec<u8>, OfflineError> {
    loop {
        let mut units: Vec<Unit> = Vec::new();
        for effect in effects.drain(..) {
            match effect {
                Effect::Reply { bytes, .. } => return Ok(bytes),
                Effect::Persist(unit) => units.push(unit),
                Effect::Resume { .. } => units.clear(),
                Effect::ForgetLog => log_file::forget(home),
                Effect::Log { .. } | Effect::Notify(_) | Effect::PassLine => {}
                // There is no agent to do these to.
                Effect::Spawn { .. }
                | Effect::OpenWire { .. }
                | Effect::Send { .. }
                | Effect::CloseStdin { .. }
                | Effect::Signal { .. }
                | Effect::LetGo { .. }
                | Effect::Post(_)
                | Effect::Reload
                | Effect::Alert(_)
                | Effect::Exit(_) => {}
            }
        }
        if units.is_empty() {
            let message = "the request was not answered; this is a bug".into();
            return Err(OfflineError::Store(internal(message)));
        }
        let input = match store.commit(&units) {
            Ok(committed) => Input::Committed(committed),
            Err(failure) if failure.outcome_unknown => return Err(OfflineError::Store(failure)),
            Err(failure) => Input::StoreFailed(failure),
        };
        machine.handle(clock::now(), input, &mut effects);
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

fn setup(home: &Home, max_db: u64, max_state: usize) -> Setup {
    Setup {
        agent: home.agent().to_owned(),
        run_id: "command".into(),
        policy: Policy::default(),
        stop_timeout: machine::STOP_TIMEOUT_DEFAULT,
        ready_timeout: machine::READY_TIMEOUT_DEFAULT,
        ready_from_agent: false,
        hang_timeout: None,
        release: None,
        max_frame: machine::MAX_FRAME_DEFAULT,
        max_state,
        max_inflight: machine::MAX_INFLIGHT_DEFAULT,
        max_db,
        by_hand: true,
        attached: false,
        script: None,
        events: machine::EventPolicy::default(),
        on_crash_loop: machine::OnCrashLoop::default(),
        checkpoint_every: None,
        decisions: Arc::default(),
        rules_file: false,
        time_zone: clock::time_zone(),
        seed: seed(),
    }
}

/// Keys of steps and tokens of posts come from it: no two commands may make
/// the same.
fn seed() -> u64 {
    let mut seed = [0; 8];
    match getrandom::fill(&mut seed) {
        Ok(()) => u64::from_ne_bytes(seed),
        // No other process has this number at this time.
        Err(_) => {
            let now = u64::try_from(clock::wall().millis()).unwrap_or_default();
            (now << 22) ^ u64::from(std::process::id())
        }
    }
}
