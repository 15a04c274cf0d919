//! The command line: what was typed, what it means, what is printed.
//!
//! One file a command, or family of commands; each has its arguments as they
//! are typed, and one function that carries it out with a [`Context`]. What
//! reads an agent's memory opens the database read-only; what writes goes
//! through [`client`], to the running `adrt run` or, if there is none, under
//! the agent's lock.
//!
//! A command ends with an exit code or a [`failure::Failure`]; nothing here
//! exits or panics on its own, and neither a closed stdout nor a closed
//! stderr is an error.

pub mod agent;
pub mod args;
pub mod attach;
pub mod backup;
pub mod checkpoints;
pub mod client;
pub mod completions;
pub mod config;
pub mod control;
pub mod crashes;
pub mod decisions;
pub mod doctor;
pub mod env;
pub mod events;
pub mod failure;
pub mod history;
pub mod input;
pub mod json;
pub mod list;
pub mod logs;
pub mod manage;
pub mod metrics;
pub mod naming;
pub mod notify;
pub mod output;
pub mod past;
pub mod reviews;
pub mod run;
pub mod state;
pub mod status;
pub mod step;
pub mod systemd;
pub mod target;
pub mod text;
mod usage;
pub mod when;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::FromArgMatches as _;
use jiff::tz::TimeZone;

use self::args::{Cli, Command, Common};
use self::env::Env;
use self::failure::Failure;
use self::output::Out;
use self::text::Moment;
use crate::clock;
pub(crate) use crate::typed::quantity;

/// The exit code of a command that did what it was asked.
pub const DONE: u8 = 0;

/// What every command is handed.
#[derive(Debug)]
pub struct Context {
    /// Options that hold for every command.
    pub common: Common,
    /// The process's surroundings.
    pub env: Env,
    /// The way to stdout.
    pub out: Out,
    /// The present, and the reader's zone.
    pub moment: Moment,
}

impl Context {
    fn new(common: Common) -> Self {
        let env = Env::of_process();
        let out = Out::new(&env, common.color);
        let moment = Moment { now: clock::wall(), zone: TimeZone::system() };
        Self { common, env, out, moment }
    }

    /// Where all agents live, for who asks about them or tells them something.
    ///
    /// # Errors
    /// See [`target::state_dir`].
    pub fn state_dir(&self) -> Result<PathBuf, Failure> {
        target::state_dir_to_ask(self.common.state_dir.as_deref(), &self.env)
    }
}

/// Carries out a whole command line, the program's name included, and gives
/// the exit code.
pub fn main(words: impl IntoIterator<Item = OsString>) -> u8 {
    let words: Vec<OsString> = words.into_iter().collect();
    let parsed = args::command().try_get_matches_from(&words);
    match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => {
            let context = Context::new(cli.common);
            dispatch(cli.command, &context).unwrap_or_else(|failure| failed(&failure))
        }
        Err(error) => match usage::of_variable(&error, &words, &Env::of_process()) {
            Some(failure) => failed(&failure),
            None => usage::tell(&error),
        },
    }
}

fn failed(failure: &Failure) -> u8 {
    failure.tell();
    failure.kind.exit_code()
}

fn dispatch(command: Command, context: &Context) -> Result<u8, Failure> {
    match command {
        Command::Run(args) => run::main(*args, context),
        Command::Attach(args) => attach::main(*args, context),
        Command::List(args) => list::main(&args, context),
        Command::Status(args) => status::main(&args, context),
        Command::Metrics(args) => metrics::main(&args, context),
        Command::Logs(args) => logs::main(&args, context),
        Command::Stop(args) => control::stop(&args, context),
        Command::Restart(args) => control::restart(&args, context),
        Command::Reload(args) => control::reload(&args, context),
        Command::State(command) => state::main(command, context),
        Command::Checkpoints(command) => checkpoints::main(command, context),
        Command::History(command) => history::main(command, context),
        Command::Crashes(command) => crashes::main(command, context),
        Command::Events(command) => events::main(command, context),
        Command::Reviews(command) => reviews::main(command, context),
        Command::Decisions(command) => decisions::main(command, context),
        Command::Decide(args) => decisions::decide::main(&args, context),
        Command::Why(args) => decisions::why::main(&args, context),
        Command::Step(command) => step::main(command, context),
        Command::Notify(command) => notify::main(command, context),
        Command::Backup(args) => backup::backup(&args, context),
        Command::Restore(args) => backup::restore(&args, context),
        Command::Rename(args) => manage::rename(&args, context),
        Command::Rm(args) => manage::rm(&args, context),
        Command::Doctor(args) => doctor::main(&args, context),
        Command::Systemd(command) => systemd::main(command, context),
        Command::Completions(args) => completions::main(&args, context),
    }
}
