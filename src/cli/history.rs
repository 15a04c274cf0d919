//! `adrt history forget`: old versions go, for secrets' sake.

use clap::Subcommand;
use serde::Deserialize;

use super::failure::{Failure, Kind};
use super::json::Object;
use super::manage::confirm;
use super::state::pointer;
use super::{Context, DONE, agent, client, text};

/// Forget old versions
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "a command's help stands at its arguments")]
pub enum HistoryCommand {
    Forget(ForgetArgs),
}

/// Drop every version but the present one
///
/// Journal and checkpoints go, with acked events and the decisions that wait for
/// no person, and what they held is overwritten in the file; what adrt logs shows
/// goes too, but not the last output that adrt crashes show tells of. A secret that
/// is in the present state must be taken out of it first. It can't be undone.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt state patch '{\"token\": null}' && adrt history forget --path token --yes")]
pub struct ForgetArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Only if an old version holds another value here than the present one
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Print {agent, checkpoints, versions}
    #[arg(long)]
    pub json: bool,
}

/// What was deleted.
#[derive(Debug, Deserialize)]
pub struct Removed {
    /// Checkpoints.
    pub checkpoints: u64,
    /// Changes in the journal.
    pub versions: u64,
}

/// Runs one of them.
///
/// # Errors
/// Nobody agreed, or it was refused.
pub fn main(command: HistoryCommand, context: &Context) -> Result<u8, Failure> {
    let HistoryCommand::Forget(args) = command;
    let home = agent::choose(context, args.agent.as_deref())?;
    let name = home.agent();
    confirm(args.yes, &format!("Forget all old versions of {name}?"), || {
        Failure::new(Kind::Usage, format!("no version of {name} was forgotten"))
            .why("nobody is there to agree, and it can't be undone")
            .hint(format!("adrt history forget {name} --yes"))
    })?;
    let params = match &args.path {
        Some(path) => Object::new().text("path", &pointer(path)).finish(),
        None => "{}".to_owned(),
    };
    let result = client::call(context, &home, "history.forget", &params)?;
    tell(context, name, &client::parse(&result)?, args.json)
}

/// Says what was deleted.
///
/// # Errors
/// stdout takes no more.
pub fn tell(context: &Context, agent: &str, gone: &Removed, as_json: bool) -> Result<u8, Failure> {
    if as_json {
        let object = Object::new()
            .text("agent", agent)
            .number("checkpoints", gone.checkpoints)
            .number("versions", gone.versions);
        context.out.json(&object.finish())?;
    } else {
        context.out.line(&format!(
            "{agent}: {} and {} deleted",
            text::counted(gone.checkpoints, "checkpoint"),
            text::counted(gone.versions, "change")
        ))?;
    }
    Ok(DONE)
}
