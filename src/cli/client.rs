//! Asking for what changes an agent: the running `adrt run` over its control
//! socket, or, when none runs, the same machine under the agent's lock.
//!
//! Params and results are JSON text throughout: a value on its way to the
//! state is never parsed into a machine type, so `1e400` gets there.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::failure::{Failure, Kind};
use super::manage::of_lock;
use super::{Context, quantity};
use crate::protocol::error::Kind as WireKind;
use crate::runtime::offline::{self, OfflineError};
use crate::runtime::peer;
pub use crate::runtime::peer::running;
use crate::runtime::usage::is_stopped;
use crate::store::home::Home;
use crate::store::lock::{Holder, LockError};
use crate::store::open::Options;
use crate::supervisor::machine::MAX_STATE_DEFAULT;

/// How long an answer is waited for. A disk that is full or slow may keep a
/// write waiting; longer than this nobody looks at a prompt.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long `status` is waited for: the loop answers it from memory.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);

/// What came of a request that was understood: a result as JSON text, or a
/// refusal.
pub type Answer = Result<String, Refusal>;

/// Calls a method of the control socket that changes something, whether the
/// agent runs or not. The result is JSON text.
///
/// # Errors
/// The request was refused, or nobody could be asked.
pub fn call(context: &Context, home: &Home, method: &str, params: &str) -> Result<String, Failure> {
    request(context, home, method, params)?.map_err(|refusal| refusal.into_failure(home))
}

/// The same, for a command that does something about a refusal.
///
/// # Errors
/// Nobody could be asked.
pub fn request(
    context: &Context,
    home: &Home,
    method: &str,
    params: &str,
) -> Result<Answer, Failure> {
    let holder = running(home);
    refuse_old_incarnation(context, home, holder.as_ref())?;
    match holder {
        Some(holder) => ask(home, &holder, method, params, ANSWER_TIMEOUT),
        None => match ask_offline(context, home, method, params)? {
            Offline::Answer(answer) => answer_of(home, &answer),
            // It was started just now.
            Offline::Held(holder) => ask(home, &holder, method, params, ANSWER_TIMEOUT),
        },
    }
}

/// Calls a method that means something only while the agent runs. `wait` is
/// what it may take of itself.
///
/// # Errors
/// It does not run, the request was refused, or adrt does not answer.
pub fn call_running(
    context: &Context,
    home: &Home,
    method: &str,
    params: &str,
    wait: Duration,
) -> Result<String, Failure> {
    let holder = running(home);
    refuse_old_incarnation(context, home, holder.as_ref())?;
    let Some(holder) = holder else {
        return Err(Failure::new(Kind::Failed, format!("{} is not running", home.agent()))
            .why("this is for the process that runs, or for one it has started")
            .hint("start it: adrt run -- CMD"));
    };
    ask(home, &holder, method, params, ANSWER_TIMEOUT + wait)?
        .map_err(|refusal| refusal.into_failure(home))
}

/// What came of a request that no running adrt was there for.
enum Offline {
    Answer(String),
    Held(Holder),
}

fn ask_offline(
    context: &Context,
    home: &Home,
    method: &str,
    params: &str,
) -> Result<Offline, Failure> {
    // Budgets are those of the run, which this command does not know unless
    // it is told: one write is no reason to shed history by another budget.
    let budget = |name, default| {
        context.env.text(name).and_then(|text| quantity::size(text).ok()).unwrap_or(default)
    };
    let options = Options { max_db: budget("ADRT_MAX_DB", u64::MAX), ..Options::default() };
    let max_state = budget("ADRT_MAX_STATE", MAX_STATE_DEFAULT as u64);
    let max_state = usize::try_from(max_state).unwrap_or(usize::MAX);
    let what = || format!("{} can't be written", home.agent());
    match offline::call(home, &options, max_state, &peer::request(method, params)) {
        Ok(answer) => Ok(Offline::Answer(String::from_utf8_lossy(&answer).into_owned())),
        Err(OfflineError::Lock(LockError::Held(holder))) if holder.kind.answers() => {
            Ok(Offline::Held(holder))
        }
        Err(OfflineError::Lock(error)) => Err(of_lock(home, &what(), error)),
        Err(OfflineError::Open(error)) => {
            let hint = error.hint();
            Err(Failure::new(Kind::Store, what()).why(error).hint(hint))
        }
        Err(OfflineError::Store(failure)) => Err(Failure::new(Kind::Store, what())
            .why(failure.message)
            .hint("make room on the disk, or look at the system's log; then try again")),
    }
}

/// Calls a method of a running agent.
///
/// # Errors
/// The request was refused, or adrt does not answer.
pub fn ask_running(home: &Home, holder: &Holder, method: &str) -> Result<String, Failure> {
    ask(home, holder, method, "{}", ANSWER_TIMEOUT)?.map_err(|refusal| refusal.into_failure(home))
}

/// What a running agent's adrt says of it. One that was stopped is not waited
/// for.
///
/// # Errors
/// It does not answer in time.
pub fn status(home: &Home, holder: &Holder) -> Result<String, Failure> {
    if is_stopped(holder.pid.into()) {
        return Err(silent(home, holder));
    }
    ask(home, holder, "status", "{}", STATUS_TIMEOUT)?.map_err(|refusal| refusal.into_failure(home))
}

/// The incarnation that lives now, if one does and its adrt says so.
pub fn live_incarnation(home: &Home) -> Option<u64> {
    let holder = running(home)?;
    live_of(&status(home, &holder).ok()?)
}

fn live_of(status: &str) -> Option<u64> {
    let alive = serde_json::from_str::<Alive>(status).ok()?;
    alive.pid.and(alive.incarnation)
}

/// A process that an agent left behind must not write for the agent that has
/// taken its place: adrt tells every process its incarnation, and only the
/// live one's word counts.
fn refuse_old_incarnation(
    context: &Context,
    home: &Home,
    holder: Option<&Holder>,
) -> Result<(), Failure> {
    let env = &context.env;
    if env.text("ADRT_AGENT") != Some(home.agent()) {
        return Ok(());
    }
    let Some(mine) = env.text("ADRT_INCARNATION").and_then(|text| text.parse::<u64>().ok()) else {
        return Ok(());
    };
    let live = match holder {
        Some(holder) => live_of(&status(home, holder)?),
        None => None,
    };
    if live == Some(mine) {
        return Ok(());
    }
    let now = live.map_or_else(|| "none runs".to_owned(), |n| format!("incarnation {n} runs"));
    Err(Failure::new(Kind::Held, "this process may no longer write for its agent")
        .why(format!("it belongs to incarnation {mine} of {}, but {now}", home.agent()))
        .hint("end it; the agent that runs now has its own"))
}

#[derive(Deserialize)]
struct Alive {
    pid: Option<i64>,
    incarnation: Option<u64>,
}

fn ask(
    home: &Home,
    holder: &Holder,
    method: &str,
    params: &str,
    patience: Duration,
) -> Result<Answer, Failure> {
    let Some(socket) = &holder.socket else {
        return Err(Failure::new(Kind::Failed, format!("{} can't be asked", home.agent()))
            .why(format!("its adrt (process {}) has no control socket yet", holder.pid))
            .hint("try again in a moment"));
    };
    let line = peer::exchange(socket, &peer::request(method, params), patience)
        .map_err(|error| unreachable(home, holder, socket, &error))?;
    answer_of(home, &line)
}

/// The result in a reply, or the refusal.
fn answer_of(home: &Home, line: &str) -> Result<Answer, Failure> {
    let outcome = peer::outcome(line).map_err(|error| {
        Failure::new(Kind::Failed, format!("{} gave no sensible answer", home.agent()))
            .why(error)
            .hint("is its adrt of another version? adrt --version, and restart it")
    })?;
    Ok(outcome.map_err(Refusal))
}

/// A request that was understood and not done.
#[derive(Debug, Clone)]
pub struct Refusal(peer::Refusal);

impl Refusal {
    /// Whether it is of that kind.
    pub fn is(&self, kind: WireKind) -> bool {
        self.0.kind == kind.name()
    }

    /// Whether the same request may succeed later.
    pub const fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Which op of a `tx` it is about.
    pub const fn index(&self) -> Option<usize> {
        self.0.index
    }

    /// As a failure of the command.
    pub fn into_failure(self, home: &Home) -> Failure {
        let (kind, what, hint) = self.told(home.agent());
        let why = self.0.message.strip_prefix("invalid params: ").unwrap_or(&self.0.message);
        Failure::new(kind, what).why(why).hint(hint)
    }

    /// Its kind, what happened, and what to do.
    fn told(&self, agent: &str) -> (Kind, &'static str, String) {
        let is = |kind| self.is(kind);
        if is(WireKind::StoreFailed) {
            let hint = "make room on the disk, then try again".to_owned();
            return (Kind::Store, "the store refused; nothing was applied", hint);
        }
        if is(WireKind::OutcomeUnknown) {
            let hint = format!("look with adrt status {agent}, then try again");
            return (Kind::Store, "nobody knows yet whether it was written", hint);
        }
        if is(WireKind::Overloaded) {
            return (Kind::Failed, "adrt is busy", "try again in a moment".to_owned());
        }
        if is(WireKind::Attached) {
            let hint = format!("adrt stop {agent}");
            return (Kind::Failed, "an attached agent is not adrt's to start", hint);
        }
        if is(WireKind::MethodNotFound) {
            let hint = format!("it is of another version: adrt stop {agent}, and start it anew");
            return (Kind::Failed, "the adrt that runs it does not know this", hint);
        }
        let or_else = || {
            let hint = "adrt-protocol(7) says what may be asked".to_owned();
            (Kind::Failed, "the request was refused", hint)
        };
        self.told_of_state(agent).or_else(|| self.told_of_work(agent)).unwrap_or_else(or_else)
    }

    fn told_of_state(&self, agent: &str) -> Option<(Kind, &'static str, String)> {
        let is = |kind| self.is(kind);
        Some(if is(WireKind::UnknownCheckpoint) {
            let hint = format!("adrt checkpoints list {agent}");
            (Kind::NotFound, "there is no such checkpoint", hint)
        } else if is(WireKind::VersionConflict) {
            let now = self.0.version.map_or(String::new(), |v| format!(" (now {v})"));
            let hint = format!("look at it{now} with adrt state show {agent}, then try again");
            (Kind::Failed, "the state was changed meanwhile", hint)
        } else if is(WireKind::PatchFailed) {
            let hint = format!("look at it with adrt state show {agent}; nothing was applied");
            (Kind::Failed, "the patch does not fit the state", hint)
        } else if is(WireKind::TooLarge) {
            let hint = "make it smaller, or run the agent with a larger --max-state".to_owned();
            (Kind::Failed, "the state would be too large", hint)
        } else {
            return None;
        })
    }

    fn told_of_work(&self, agent: &str) -> Option<(Kind, &'static str, String)> {
        let is = |kind| self.is(kind);
        Some(if is(WireKind::UnknownEvent) {
            let hint = format!("adrt events list {agent}");
            (Kind::NotFound, "there is no such event", hint)
        } else if is(WireKind::StaleAttempt) {
            let hint = "it is somebody else's now, or done: leave it alone".to_owned();
            (Kind::Failed, "that attempt is over", hint)
        } else if is(WireKind::UnknownAgent) {
            (Kind::NotFound, "there is no agent to send it to", "adrt list".to_owned())
        } else if is(WireKind::InboxFull) {
            let hint = format!(
                "let the agent catch up, adrt events drop {agent} --dead, or a larger --max-db"
            );
            (Kind::Store, "the inbox takes no more events", hint)
        } else if is(WireKind::StepMismatch) {
            let hint = "give the step another name, or the input it was begun with".to_owned();
            (Kind::Usage, "the step was begun with another input", hint)
        } else if is(WireKind::StepInProgress) {
            let hint = "wait for it, or try again later".to_owned();
            (Kind::Held, "the step is being done by another process", hint)
        } else {
            return None;
        })
    }
}

/// Of an adrt that takes what is asked and does not answer.
fn silent(home: &Home, holder: &Holder) -> Failure {
    let failure = Failure::new(Kind::Failed, cant_be_asked(home));
    let pid = holder.pid;
    if is_stopped(pid.into()) {
        failure
            .why(format!(
                "process {pid} was stopped, as by SIGSTOP or Ctrl-Z; kill -CONT {pid} lets it go on"
            ))
            .hint(format!("kill -CONT {pid}; what was asked may be done then"))
    } else {
        failure
            .why(format!("process {pid} does not answer"))
            .hint("is its disk hanging? what was asked may still be done")
    }
}

fn cant_be_asked(home: &Home) -> String {
    format!("the adrt of {} can't be asked", home.agent())
}

fn unreachable(home: &Home, holder: &Holder, socket: &Path, error: &io::Error) -> Failure {
    let agent = home.agent();
    let failure = Failure::new(Kind::Failed, cant_be_asked(home));
    match error.kind() {
        io::ErrorKind::PermissionDenied => failure
            .why(format!("{} is for its owner, root, and the group adrt", socket.display()))
            .hint("sudo -u USER adrt …, with the user the agent runs as"),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => silent(home, holder),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => failure
            .why(format!("process {} ended before it answered", holder.pid))
            .hint(format!("adrt status {agent}")),
        _ => failure
            .why(format!("{}: {error}", socket.display()))
            .hint(format!("adrt status {agent}; it may just be starting or ending")),
    }
}

/// Reads a result's members.
///
/// # Errors
/// It is not what that method answers.
pub fn parse<'a, T: Deserialize<'a>>(result: &'a str) -> Result<T, Failure> {
    serde_json::from_str(result).map_err(|error| {
        Failure::new(Kind::Failed, "the answer of adrt makes no sense")
            .why(error)
            .hint("is the adrt that runs the agent of another version? restart it")
    })
}
