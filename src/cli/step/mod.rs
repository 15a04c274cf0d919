//! `adrt step …`: a command whose result is remembered.
//!
mod outcome;
mod run;

use std::ffi::OsString;

use clap::Subcommand;

use super::failure::Failure;
use super::json::Object;
use super::text::escaped;
use super::{Context, DONE, agent, client};

/// Do something once, whatever crashes in between
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "a command's help stands at its arguments")]
pub enum StepCommand {
    Run(RunArgs),
    Forget(ForgetArgs),
}

/// Run a command, or print what it printed before
///
/// The first time CMD is executed; its output and exit code 0 are remembered
/// under NAME, and from then on printed without running it. A command that
/// fails is run again the next time. CMD finds ADRT_IDEMPOTENCY_KEY in its
/// environment, the same in every attempt: hand it to whoever is paid.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt step run [OPTIONS] [AGENT] <NAME> -- <CMD>...",
    after_help = "Output past 8 MiB is printed, but not remembered.

Examples:
  reply=$(adrt step run ask -- ./ask-the-model \"$question\")
  adrt step run charge --event 88 --on-unknown review -- ./charge 12.50
  ADRT_EVENT=88 adrt step run mail --keep-failure -- ./mail.sh"
)]
pub struct RunArgs {
    /// Which agent, and the step's name, its own within the scope
    #[arg(value_name = "AGENT|NAME", num_args = 1..=2, required = true)]
    pub words: Vec<String>,
    /// The event it belongs to, and is forgotten with [default: $ADRT_EVENT]
    #[arg(long, value_name = "SEQ", conflicts_with = "scope")]
    pub event: Option<u64>,
    /// Or a name it is kept under until step forget [default: default]
    #[arg(long, value_name = "NAME")]
    pub scope: Option<String>,
    /// What it is done with: a repetition with another input is refused
    #[arg(long, value_name = "TEXT")]
    pub input: Option<String>,
    /// Remember a failure, too: it is final
    #[arg(long)]
    pub keep_failure: bool,
    /// What to do when an attempt began and never succeeded
    #[arg(long, value_enum, value_name = "WHAT", default_value = "rerun")]
    pub on_unknown: OnUnknown,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD", required = true)]
    pub command: Vec<OsString>,
}

/// What to do after an attempt that never succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OnUnknown {
    /// Run it again
    Rerun,
    /// Ask a person first
    Review,
}

/// Forget the steps of a scope
///
/// They are run anew the next time. Those of an event go with it.
#[derive(Debug, Clone, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  adrt step forget default
  adrt step forget night-watch 2026-03 --json"
)]
pub struct ForgetArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Which scope
    #[arg(required = true)]
    pub scope: String,
    /// Print {agent, scope}
    #[arg(long)]
    pub json: bool,
}

/// Runs one of them.
///
/// # Errors
/// See each.
pub fn main(command: StepCommand, context: &Context) -> Result<u8, Failure> {
    match command {
        StepCommand::Run(args) => run::main(&args, context),
        StepCommand::Forget(args) => forget(&args, context),
    }
}

fn forget(args: &ForgetArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let params = Object::new().text("scope", &args.scope).finish();
    client::call(context, &home, "step.forget", &params)?;
    let name = home.agent();
    if args.json {
        let object = Object::new().text("agent", name).text("scope", &args.scope);
        context.out.json(&object.finish())?;
    } else {
        context
            .out
            .line(&format!("{name}: the steps of {} are forgotten", escaped(&args.scope)))?;
    }
    Ok(DONE)
}
