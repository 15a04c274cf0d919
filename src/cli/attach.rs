//! `adrt attach`: the wire on adrt's own stdin and stdout, for the program
//! that starts it.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use super::env::Env;
use super::failure::{Failure, Kind};
use super::output::note;
use super::run::options::{
    DecisionOptions, EventOptions, LogOptions, ProcessOptions, RunOptions, SensorOptions,
    StorageOptions, WatchingOptions,
};
use super::run::{self, Dirs, Named, ending};
use super::{Context, quantity, target};
use crate::settings::{EventSource, Settings};

/// What `initialize` is to show, if the client set it.
const TOKEN: &str = "ADRT_TOKEN";

/// Keep the state of the program that starts this
///
/// For a program that adrt did not start and that wants its memory all the
/// same: it starts adrt attach, and speaks adrt-protocol(7) on adrt's stdin
/// and stdout. State, events, steps, timers and reviews are as under adrt
/// run. Supervision there is none: the program is never signalled and never
/// started again. When it closes its end, or dies, a last checkpoint is taken
/// and adrt exits 0.
///
/// SIGTERM, SIGINT and adrt stop tell it to leave, and wait until it has
/// closed its end, --stop-timeout at most; a second one waits for nothing.
/// Only warnings and errors are told on stderr, and text that is no frame.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt attach [OPTIONS] --name <NAME>",
    after_help = "If ADRT_TOKEN is in its environment, initialize must show that token; without it
the token is empty. Every option can also stand in the environment (ADRT_ORDERED=true).

Examples:
  adrt attach -n notes < requests.jsonl
  adrt attach -n notes --ephemeral"
)]
pub struct AttachArgs {
    /// The agent's name
    #[arg(short, long, value_name = "NAME", env = "ADRT_NAME")]
    pub name: String,
    /// What is told on stderr.
    #[command(flatten)]
    pub log: LogOptions,
    /// How long a stop waits for the client to close the wire [default: 10s]
    #[arg(long, value_name = "TIME", env = "ADRT_STOP_TIMEOUT", value_parser = quantity::duration)]
    pub stop_timeout: Option<Duration>,
    /// Where events come from, and what becomes of them.
    #[command(flatten)]
    pub events: EventOptions,
    /// What is kept, and how much.
    #[command(flatten)]
    pub storage: StorageOptions,
    /// What decisions go by.
    #[command(flatten)]
    pub decisions: DecisionOptions,
    /// How the machine is watched.
    #[command(flatten)]
    pub sensors: SensorOptions,
    /// Who is told, and how.
    #[command(flatten)]
    pub watching: WatchingOptions,
}

/// Runs the command.
///
/// # Errors
/// The client could not be attached. How it ended is in the exit code.
pub fn main(args: AttachArgs, context: &Context) -> Result<u8, Failure> {
    let settings = settings(args, context.common.state_dir.as_deref(), &context.env)?;
    if std::io::stdin().is_terminal() {
        note(
            "adrt: attach is for programs, which speak adrt-protocol(7) here; type its lines, \
             Ctrl-D ends it",
        );
    }
    match crate::runtime::attach(&settings) {
        Ok(verdict) => Ok(ending::tell(&settings, &verdict)),
        Err(error) => Err(ending::of_run(&settings, error)),
    }
}

/// Joins flags, environment and defaults.
///
/// # Errors
/// A value makes no sense.
pub fn settings(
    args: AttachArgs,
    state_dir: Option<&Path>,
    env: &Env,
) -> Result<Settings, Failure> {
    let AttachArgs { name, log, stop_timeout, events, storage, decisions, sensors, watching } =
        args;
    let named = Named { agent: run::given_name(name)?, argv: Vec::new(), script: None };
    let state_dir = target::state_dir(state_dir, None, env)?;
    let runtime_dir = target::runtime_dir(storage.runtime_dir.as_deref(), None, env, &state_dir);
    let rules = run::rules_file(decisions.rules.as_deref(), None, false, &env.cwd)?;
    let dirs = Dirs { state_dir, runtime_dir, rules, cwd: &env.cwd };
    let process = ProcessOptions { stop_timeout, ..ProcessOptions::default() };
    let options =
        RunOptions { log, events, process, storage, sensors, watching, ..RunOptions::default() };
    let settings = Settings { attached: Some(token(env)?), ..run::complete(named, dirs, options) };
    run::check(&settings)?;
    if settings.events == Some(EventSource::Stdin) {
        return Err(Failure::new(Kind::Usage, "stdin can't be read by both")
            .why("--events - takes adrt's stdin for events, and the client speaks on it")
            .hint("feed the events through a file or a FIFO: --events PATH"));
    }
    Ok(settings)
}

/// What `initialize` must show.
fn token(env: &Env) -> Result<String, Failure> {
    let Some(token) = env.get(TOKEN) else { return Ok(String::new()) };
    token.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::new(Kind::Config, format!("bad configuration: the variable {TOKEN}"))
            .why("it is not UTF-8, so no initialize could show it")
            .hint(format!("set it to plain text, or unset {TOKEN}"))
    })
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn of(words: &[&str], vars: &[(&str, &str)]) -> Result<Settings, Failure> {
        let words = std::iter::once("attach").chain(words.iter().copied());
        let parser = AttachArgs::augment_args(clap::Command::new("attach"))
            .mut_args(|arg| arg.env(None::<&'static str>));
        let matches = parser.try_get_matches_from(words).expect("parses");
        let args = AttachArgs::from_arg_matches(&matches).expect("parses");
        settings(args, None, &Env::made_up(0, vars))
    }

    #[test]
    fn options_are_those_of_run() {
        let words = ["-n", "a", "--max-db", "16MiB", "--ordered", "--stop-timeout", "3s"];
        let settings = of(&words, &[]).expect("ok");
        assert_eq!((settings.agent.as_str(), settings.max_db), ("a", 16 << 20));
        assert_eq!((settings.ordered, settings.stop_timeout.as_secs()), (true, 3));
        assert_eq!(settings.attached.as_deref(), Some(""));
        assert!(settings.argv.is_empty());
        let plain = of(&["-n", "a"], &[("ADRT_TOKEN", "t")]).expect("ok");
        assert_eq!(plain.attached.as_deref(), Some("t"));
        assert_eq!(plain.stop_timeout, crate::supervisor::machine::STOP_TIMEOUT_DEFAULT);
    }

    #[test]
    fn what_makes_no_sense() {
        for words in [
            &["-n", "a b"][..],
            &["-n", "a", "--events", "-"],
            &["-n", "a", "--max-frame", "10"],
            &["-n", "a", "--nack-max", "0"],
        ] {
            assert_eq!(of(words, &[]).expect_err("refused").kind, Kind::Usage, "{words:?}");
        }
    }
}
