//! `adrt rm` and `adrt rename`: agents as a whole.

use super::failure::{Failure, Kind};
use super::json::Object;
use super::output::{agrees, can_ask, note};
use super::{Context, DONE, agent};
use crate::runtime::log_file;
use crate::store::home::{Home, HomeError};
use crate::store::lock::{HolderKind, Lock, LockError};

/// Delete an agent and all it remembers
///
/// State, versions, checkpoints and the crash ledger go, and nothing brings
/// them back but a backup. A running agent is not touched.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt backup night-watch night-watch.adrt && adrt rm night-watch --yes")]
pub struct RmArgs {
    /// Which agent; never left out here
    pub agent: String,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Give an agent another name
///
/// Its directory is renamed in one step, and its log with it. The agent must not run; start it
/// with -n NEW afterwards.
#[derive(Debug, Clone, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  adrt rename agent night-watch
  adrt run -n night-watch -- python3 agent.py"
)]
pub struct RenameArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Its new name
    #[arg(required = true)]
    pub new: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs `rm`.
///
/// # Errors
/// There is none, it is held, nobody agreed, or the system refused.
pub fn rm(args: &RmArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, Some(&args.agent))?;
    let name = home.agent();
    // Before the question: an agent that runs can't be deleted anyway.
    let lock = lock(&home, "can't be deleted")?;
    confirm(args.yes, &format!("Delete {name} and all it remembers?"), || {
        Failure::new(Kind::Usage, format!("{name} was not deleted"))
            .why("nobody is there to agree, and it can't be undone")
            .hint(format!("adrt rm {name} --yes"))
    })?;
    let log = log_file::place(&home);
    home.remove(lock)
        .map_err(|error| agent::of_home(format!("{name} can't be deleted"), &error))?;
    if let Some(log) = log {
        log_file::remove_at(&log);
    }
    if args.json {
        let text = Object::new().text("agent", name).number("deleted", true).finish();
        context.out.json(&text)?;
    } else {
        context.out.line(&format!("{name} is deleted"))?;
    }
    Ok(DONE)
}

/// Asks, unless there was a yes before.
///
/// # Errors
/// Somebody said no, or nobody could be asked.
pub fn confirm(yes: bool, question: &str, nobody: impl FnOnce() -> Failure) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !can_ask() {
        return Err(nobody());
    }
    if agrees(question) {
        return Ok(());
    }
    Err(Failure::new(Kind::Failed, "nothing was done").why("the answer was not yes"))
}

/// Takes the agent's lock for a moment.
///
/// # Errors
/// Somebody has it, or the system refused.
pub fn lock(home: &Home, what: &str) -> Result<Lock, Failure> {
    Lock::take(home, HolderKind::Command, None)
        .map_err(|error| of_lock(home, &format!("{} {what}", home.agent()), error))
}

/// A failure of the lock as one of the command.
pub fn of_lock(home: &Home, what: &str, error: LockError) -> Failure {
    let name = home.agent();
    match error {
        LockError::Held(holder) => {
            let hint = match holder.kind {
                HolderKind::Run | HolderKind::Attach => format!("adrt stop {name}, then try again"),
                HolderKind::Command => "try again in a moment".to_owned(),
            };
            Failure::new(Kind::Held, what).why(LockError::Held(holder)).hint(hint)
        }
        LockError::Io { path, source } => agent::of_home(what, &HomeError::Io { path, source }),
        LockError::Home(error) => agent::of_home(what, &error),
    }
}

/// Runs `rename`.
///
/// # Errors
/// There is none, it is held, the name is taken or is none, or the system refused.
pub fn rename(args: &RenameArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let old = home.agent();
    let (renamed, lock) = home.rename(&args.new).map_err(|error| {
        agent::of_home(format!("{old} can't be renamed to {}", args.new), &error)
    })?;
    let new = renamed.agent();
    if let Err(error) = log_file::carry_over(&home, &renamed) {
        note(&format!("adrt: the log of {old} stays where it is: {error}"));
    }
    drop(lock);
    if args.json {
        context.out.json(&Object::new().text("agent", new).text("was", old).finish())?;
    } else {
        context.out.line(&format!("{old} is now {new}; run it with -n {new}"))?;
    }
    Ok(DONE)
}
