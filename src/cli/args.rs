//! The command line as it is typed. What it means is each command's business.
//!
//! AGENT comes first everywhere and may be left out: see [`super::agent`].

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};

use super::output::ColorWhen;
use super::text::wrapped;
use super::{
    attach, backup, checkpoints, completions, control, crashes, decisions, doctor, events, history,
    list, logs,
};
use super::{manage, metrics, notify, reviews, run, state, status, step, systemd};

/// Keeps an AI agent alive and remembering.
///
/// adrt starts a command, starts it again with growing delays when it
/// crashes, and keeps its state in a file that survives kill -9 and power
/// cuts. An agent that speaks the protocol of adrt-protocol(7) gets back, at
/// each start, every write it was ever told is done; any other command runs
/// unmodified.
#[derive(Debug, Parser)]
#[command(
    name = "adrt",
    version,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:
  adrt run -- python3 agent.py     run it, restart it when it crashes
  adrt status                      is it up, why did it restart
  adrt logs -f                     what it prints
  adrt state show                  what it remembers
  adrt state show --at 03:12       what it remembered then
  adrt checkpoints list            where it can be taken back to

AGENT may be left out when there is only one.
adrt COMMAND --help says more, and so does man adrt-COMMAND."
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Common {
    /// Where agents are kept [default: /var/lib/adrt for root, else ~/.local/state/adrt]
    #[arg(long, global = true, value_name = "DIR", env = "ADRT_STATE_DIR", hide_env_values = true)]
    pub state_dir: Option<PathBuf>,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", value_enum)]
    pub color: ColorWhen,
}

/// Every command.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "a command's help stands at its arguments")]
pub enum Command {
    Run(Box<run::RunArgs>),
    Attach(Box<attach::AttachArgs>),
    List(list::ListArgs),
    Status(status::StatusArgs),
    Metrics(metrics::MetricsArgs),
    Logs(logs::LogsArgs),
    Stop(control::StopArgs),
    Restart(control::RestartArgs),
    Reload(control::ReloadArgs),
    #[command(subcommand, arg_required_else_help = true)]
    State(state::StateCommand),
    #[command(subcommand, arg_required_else_help = true)]
    Checkpoints(checkpoints::CheckpointsCommand),
    #[command(subcommand, arg_required_else_help = true)]
    History(history::HistoryCommand),
    #[command(subcommand, arg_required_else_help = true)]
    Crashes(crashes::CrashesCommand),
    #[command(subcommand, arg_required_else_help = true)]
    Events(events::EventsCommand),
    #[command(subcommand, arg_required_else_help = true)]
    Reviews(reviews::ReviewsCommand),
    #[command(subcommand, arg_required_else_help = true)]
    Decisions(decisions::DecisionsCommand),
    Decide(decisions::decide::DecideArgs),
    Why(decisions::why::WhyArgs),
    #[command(subcommand, arg_required_else_help = true)]
    Step(step::StepCommand),
    #[command(subcommand, arg_required_else_help = true)]
    Notify(notify::NotifyCommand),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Rename(manage::RenameArgs),
    Rm(manage::RmArgs),
    Doctor(doctor::DoctorArgs),
    #[command(subcommand, arg_required_else_help = true)]
    Systemd(systemd::SystemdCommand),
    Completions(completions::CompletionsArgs),
}

/// Commands by what they are for, in the order of the help.
const GROUPS: &[(&str, &[&str])] = &[
    ("Run", &["run", "attach", "list", "status", "logs", "metrics", "stop", "restart", "reload"]),
    ("Memory", &["state", "checkpoints", "history", "crashes"]),
    ("Work", &["events", "reviews", "step", "notify"]),
    ("Decisions", &["decisions", "decide", "why"]),
    ("Keep", &["backup", "restore", "rename", "rm"]),
    ("Machine", &["doctor", "systemd"]),
    ("Shell", &["completions"]),
];

/// Columns that help is laid out for, at most.
const HELP_WIDTH: usize = 80;

/// The whole command line, for parsing, help, manual pages and completions:
/// the tree of [`Cli`] with one page of help a command, and its commands
/// listed in groups.
pub fn command() -> clap::Command {
    let root = dressed(Cli::command());
    let about = wrapped(&long_about(&root), HELP_WIDTH);
    let template = format!(
        "{about}\n\n{{usage-heading}} {{usage}}\n{}\nOptions:\n{{options}}{{after-help}}\n",
        groups(&root)
    );
    root.help_template(template)
}

/// The command with `-h` and `--help` giving the same page: there is one to
/// keep short. Variables are left out of it, since one rule gives them all.
fn dressed(command: clap::Command) -> clap::Command {
    let about = wrapped(&long_about(&command), HELP_WIDTH);
    let template =
        format!("{about}\n\n{{usage-heading}} {{usage}}\n\n{{all-args}}{{after-help}}\n");
    command
        .mut_subcommands(dressed)
        .mut_args(|arg| {
            let truth = arg.get_value_names().is_some_and(|names| names == ["BOOL"]);
            arg.hide_env(true).hide_possible_values(truth)
        })
        .disable_help_flag(true)
        .arg(
            clap::Arg::new("help")
                .short('h')
                .long("help")
                .action(clap::ArgAction::HelpShort)
                .help_heading(None::<&'static str>)
                .help("Print help"),
        )
        .max_term_width(HELP_WIDTH)
        .help_template(template)
}

/// What a command is for, at length.
pub fn long_about(command: &clap::Command) -> String {
    let about = command.get_long_about().or_else(|| command.get_about());
    about.map(ToString::to_string).unwrap_or_default()
}

fn groups(command: &clap::Command) -> String {
    let mut out = String::new();
    for (heading, names) in GROUPS {
        out.push_str(&format!("\n{heading}:\n"));
        for name in *names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            out.push_str(&format!("  {name:<12} {about}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_is_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        let command = Cli::command();
        let mut all: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }
}
