//! How a run ended, or why it did not begin: the exit code, and what is said.

use nix::unistd::{Uid, User};

use crate::cli::agent::of_home;
use crate::cli::config::of_fault;
use crate::cli::failure::{Failure, Kind};
use crate::cli::manage::of_lock;
use crate::cli::output::note;
use crate::cli::text::escaped;
use crate::output::{Priority, prefix_on_stderr};
use crate::runtime::{Refusal, RunError, SourceError};
use crate::settings::Settings;
use crate::store::failure::OpenError;
use crate::store::home::{Home, HomeError};
use crate::store::lock::LockError;
use crate::supervisor::io::{Outcome, Verdict};

/// `--max-restarts` was reached.
const GAVE_UP: u8 = 69;
/// A code of `--fatal-exit`.
const FATAL: u8 = 70;

/// The exit code of adrt after a run.
pub(in crate::cli) fn exit_code(outcome: Outcome) -> u8 {
    let small = |code: i32| u8::try_from(code & 0xff).unwrap_or(u8::MAX);
    match outcome {
        Outcome::Done | Outcome::Stopped => crate::cli::DONE,
        Outcome::GaveUp => GAVE_UP,
        Outcome::Fatal => FATAL,
        Outcome::AgentFailed(exit) => small(exit.shell_code()),
        Outcome::ExecFailed(code) => small(code),
        Outcome::StoreFailed => Kind::Store.exit_code(),
    }
}

/// Says how the run ended, unless it ended well, and gives the exit code.
pub(in crate::cli) fn tell(settings: &Settings, verdict: &Verdict) -> u8 {
    let name = &settings.agent;
    let (what, to_do) = laid_out(verdict);
    let hint = match verdict.outcome {
        Outcome::Done | Outcome::Stopped => None,
        Outcome::GaveUp | Outcome::Fatal | Outcome::AgentFailed(_) => {
            (!settings.ephemeral).then(|| format!("adrt crashes show {name}"))
        }
        Outcome::ExecFailed(_) => {
            Some(to_do.unwrap_or("check the command, and its interpreter's path").to_owned())
        }
        Outcome::StoreFailed => Some(format!("adrt status {name}, and the system's log")),
    };
    let priority = if hint.is_some() { Priority::Error } else { Priority::Info };
    let prefix = prefix_on_stderr(priority);
    match verdict.outcome {
        Outcome::Done | Outcome::Stopped if !settings.verbose => {}
        _ => note(&format!("{prefix}adrt: {}", escaped(what))),
    }
    if let Some(hint) = hint {
        note(&format!("{prefix}  try: {}", escaped(&hint)));
    }
    exit_code(verdict.outcome)
}

/// The message; and what to do, which of a command that can't be executed
/// stands behind it in the same sentence.
fn laid_out(verdict: &Verdict) -> (&str, Option<&str>) {
    match (verdict.outcome, verdict.message.split_once("; ")) {
        (Outcome::ExecFailed(_), Some((what, to_do))) => (what, Some(to_do)),
        (_, _) => (&verdict.message, None),
    }
}

/// Why a run did not begin, as a failure of the command.
pub(in crate::cli) fn of_run(settings: &Settings, error: RunError) -> Failure {
    let name = &settings.agent;
    let done = if settings.attached.is_some() { "attached" } else { "started" };
    let what = format!("{name} was not {done}");
    match error {
        RunError::Home(error) => cant_create(&what, &error),
        RunError::Lock(LockError::Io { path, source }) => {
            cant_create(&what, &HomeError::Io { path, source })
        }
        RunError::Lock(error) => match Home::new(&settings.state_dir, name) {
            Ok(home) => of_lock(&home, &what, error),
            Err(bad) => of_home(what, &bad),
        },
        RunError::Open(error) => {
            let hint = error.hint();
            Failure::new(kind_of_open(&error), what).why(error).hint(hint)
        }
        RunError::OtherScript { .. } => Failure::new(Kind::Usage, what)
            .why(error)
            .hint(format!("-n NAME for a state of its own, or -n {name} to go on with that one")),
        RunError::OtherUser { agent, uid } => other_user(what, settings, &agent, uid),
        RunError::LeftOver => Failure::new(Kind::Held, what)
            .why(error)
            .hint(format!("end it; adrt run -n {name} kills what is left of it")),
        RunError::Source(error @ SourceError::WrongKind(_)) => Failure::new(Kind::Usage, what)
            .why(error)
            .hint("--events takes a file that grows, a FIFO, or - for stdin"),
        RunError::Source(error @ SourceError::Io { .. }) => Failure::new(Kind::NotFound, what)
            .why(error)
            .hint("let the user the agent runs as read it, or name another file: --events FILE"),
        RunError::Unreadable(fault) => of_fault(&fault),
        RunError::MemoryMax(refusal) => no_limit(what, &refusal),
        RunError::System { .. } => Failure::new(Kind::Failed, what)
            .why(error)
            .hint("the system is short of something: see ulimit -a, and the system's log"),
    }
}

/// Memory can't be limited here. A limit that does not hold would be worse than
/// none: somebody counts on it.
fn no_limit(what: String, refusal: &Refusal) -> Failure {
    let hint = match refusal {
        Refusal::NoTree | Refusal::NoController(_) => {
            "boot with cgroup v2 and its memory controller, or leave out --memory-max"
        }
        Refusal::NotDelegated(_) | Refusal::Io { .. } => {
            "Delegate=yes in the unit that runs adrt, or MemoryMax= there in the place of \
             --memory-max"
        }
        Refusal::NotWritable(_) => "ProtectControlGroups=no beside Delegate=yes in the unit",
        Refusal::Shared(_) => "run adrt in a unit of its own, with Delegate=yes",
    };
    Failure::new(Kind::Config, what).why(format!("--memory-max: {refusal}")).hint(hint)
}

/// One that was moved away is another adrt's, elsewhere: no start here will ever
/// go better. The rest may, once somebody has seen to the disk or the program.
const fn kind_of_open(error: &OpenError) -> Kind {
    match error {
        OpenError::Moved { .. } => Kind::Held,
        OpenError::Home(_)
        | OpenError::Damaged { .. }
        | OpenError::DamagedTail { .. }
        | OpenError::Newer { .. }
        | OpenError::NotOurs(_)
        | OpenError::Setting { .. }
        | OpenError::Failed(_) => Kind::Store,
    }
}

/// Root could, but would leave files that the agent's own user can't use.
fn other_user(what: String, settings: &Settings, agent: &str, uid: u32) -> Failure {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let user = user.map_or_else(|| format!("'#{uid}'"), |user| user.name);
    let dir = settings.state_dir.display();
    let verb = if settings.attached.is_some() { "attach" } else { "run" };
    Failure::new(Kind::Usage, what)
        .why(format!("it is kept in {dir}, and is user {user}'s there"))
        .hint(format!(
            "sudo -u {user} adrt {verb} -n {agent} --state-dir {dir} …, or another --state-dir"
        ))
}

/// The directory could not be made or used: that has an exit code of its own.
fn cant_create(what: &str, error: &HomeError) -> Failure {
    let failure = of_home(what, error);
    match error {
        HomeError::Io { .. } | HomeError::Symlink(_) | HomeError::WrongKind(_) => {
            Failure { kind: Kind::CantCreate, ..failure }
                .hint("name a directory you may write to: --state-dir DIR")
        }
        HomeError::BadName(_)
        | HomeError::Missing(_)
        | HomeError::Exists(_)
        | HomeError::Held(_) => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::io::Exit;

    #[test]
    fn exit_codes() {
        for (outcome, code) in [
            (Outcome::Done, 0),
            (Outcome::Stopped, 0),
            (Outcome::GaveUp, 69),
            (Outcome::Fatal, 70),
            (Outcome::StoreFailed, 74),
            (Outcome::ExecFailed(127), 127),
            (Outcome::AgentFailed(Exit::Code(3)), 3),
            (Outcome::AgentFailed(Exit::Signal { signal: 9, core: false }), 137),
        ] {
            assert_eq!(exit_code(outcome), code);
        }
    }
}
