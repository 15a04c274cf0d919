//! `adrt run`: from what was typed, the environment and the configuration
//! file to one complete [`Settings`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::env::Env;
use super::failure::{Failure, Kind};
use super::naming::{self, Unnamed};
use super::{Context, config, target};

pub(in crate::cli) mod ending;
pub mod options;

use options::{CrashLoop, Damage, Ready, Restart, RunOptions, Stdin};

use crate::sensors;
use crate::settings::{EventSource, RulesFile, Settings};
use crate::store::open::MAX_DB_DEFAULT;
use crate::supervisor::machine;
use crate::supervisor::restart::Policy;

/// Run an agent and keep it running
///
/// CMD is executed as it stands, no shell in between. When it crashes it is
/// started again, after a delay that grows with each crash in a row; exit 0,
/// or the agent's own run.finish, ends the run.
///
/// SIGTERM and SIGINT (Ctrl-C) stop it in order, a second one at once. SIGQUIT
/// (Ctrl-\) ends it at once with a trace: the agent gets SIGABRT, and SIGKILL
/// within five seconds. SIGHUP has the rules read again, or stops the run if
/// the terminal that it was started from went away or the shell there sent it
/// (to reload from that shell: adrt reload). SIGUSR1 takes a checkpoint.
/// Ctrl-Z stops agent and adrt, and fg or bg lets both go on; no time of
/// theirs has passed meanwhile. The log says who sent a signal.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt run [OPTIONS] -- <CMD>...",
    after_help = "Every option can also stand in the file of --config, under its long name
(restart = \"always\"), and in the environment (ADRT_RESTART=always).
Flags win over the environment, that over the file.

Examples:
  adrt run -- python3 agent.py
  adrt run -n night-watch --restart always -- ./watch --every 60
  adrt run --backoff-max 5m --max-restarts 20 -- uv run agent.py
  adrt run --config /etc/adrt/agent.toml"
)]
pub struct RunArgs {
    /// The agent's name [default: the script's, or the command's]
    #[arg(short, long, value_name = "NAME", env = "ADRT_NAME")]
    pub name: Option<String>,
    /// Read options from a TOML file
    #[arg(long, value_name = "FILE", env = "ADRT_CONFIG")]
    pub config: Option<PathBuf>,
    /// The command and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    pub command: Vec<OsString>,
    /// All else.
    #[command(flatten)]
    pub options: RunOptions,
}

/// A line must hold at least an `initialize`.
const MAX_FRAME_LEAST_BYTES: u64 = 1 << 10;
/// Below this the file's own structure leaves no room for an agent.
const MAX_DB_LEAST_BYTES: u64 = 1 << 20;

/// Looking oftener than this would be a load of its own.
const SENSORS_EVERY_LEAST: Duration = Duration::from_millis(10);

/// Runs the command.
///
/// # Errors
/// The run did not come to be. How it ended is in the exit code.
pub fn main(args: RunArgs, context: &Context) -> Result<u8, Failure> {
    let settings = settings(args, context.common.state_dir.as_deref(), &context.env)?;
    match crate::runtime::run(&settings) {
        Ok(verdict) => Ok(ending::tell(&settings, &verdict)),
        Err(error) => Err(ending::of_run(&settings, error)),
    }
}

/// Joins flags, environment, file and defaults.
///
/// # Errors
/// A value makes no sense, there is no command, or no name can be taken from it.
pub fn settings(args: RunArgs, state_dir: Option<&Path>, env: &Env) -> Result<Settings, Failure> {
    let file = match &args.config {
        Some(path) => config::read(&env.cwd.join(path))?,
        None => config::File::default(),
    };
    let argv = if args.command.is_empty() { file.command } else { args.command };
    if argv.first().is_none_or(|program| program.is_empty()) {
        return Err(Failure::new(Kind::Usage, "there is no command to run")
            .why("nothing follows --, and no configuration file names one")
            .hint("adrt run -- python3 agent.py"));
    }
    let (agent, script) = name(args.name.or(file.name), &argv, env)?;
    let state_dir = target::state_dir(state_dir, file.state_dir.as_deref(), env)?;
    let runtime_dir = target::runtime_dir(
        args.options.storage.runtime_dir.as_deref(),
        file.options.storage.runtime_dir.as_deref(),
        env,
        &state_dir,
    );
    let options = args.options.over(file.options);
    let config = args.config.as_ref().map(|path| env.cwd.join(path));
    let rules = rules_file(options.decisions.rules.as_deref(), config, file.has_rules, &env.cwd)?;
    let dirs = Dirs { state_dir, runtime_dir, rules, cwd: &env.cwd };
    let settings = complete(Named { agent, argv, script }, dirs, options);
    check(&settings)?;
    Ok(settings)
}

/// Where the rules are. A configuration file that has none may have some when
/// it is read again; what is no file can't be.
pub(in crate::cli) fn rules_file(
    own: Option<&Path>,
    config: Option<PathBuf>,
    config_has_rules: bool,
    cwd: &Path,
) -> Result<Option<RulesFile>, Failure> {
    match (own, config) {
        (Some(own), Some(config)) if config_has_rules => {
            Err(Failure::new(Kind::Usage, "there are rules in two places")
                .why(format!(
                    "--rules names {}, and {} has a table rules",
                    own.display(),
                    config.display()
                ))
                .hint("leave out one of them"))
        }
        (Some(own), _) => Ok(Some(RulesFile::Own(cwd.join(own)))),
        (None, config) => {
            let config = config.filter(|path| config_has_rules || path.is_file());
            Ok(config.map(RulesFile::Config))
        }
    }
}

/// Who is run.
pub(in crate::cli) struct Named {
    pub agent: String,
    pub argv: Vec<OsString>,
    pub script: Option<PathBuf>,
}

/// Where everything is.
pub(in crate::cli) struct Dirs<'a> {
    pub state_dir: PathBuf,
    pub runtime_dir: PathBuf,
    pub rules: Option<RulesFile>,
    pub cwd: &'a Path,
}

/// Puts the default wherever nobody said anything. The defaults are those of
/// the modules that the settings are for.
pub(in crate::cli) fn complete(named: Named, dirs: Dirs<'_>, options: RunOptions) -> Settings {
    let policy = Policy::default();
    let RunOptions {
        log,
        restarts,
        events,
        process,
        storage,
        sensors: watch,
        watching,
        decisions: _,
    } = options;
    let sensors_every = watch.sensors_every.unwrap_or(sensors::EVERY_DEFAULT);
    Settings {
        agent: named.agent,
        argv: named.argv,
        attached: None,
        script: named.script,
        state_dir: dirs.state_dir,
        runtime_dir: dirs.runtime_dir,
        restart: restarts.restart.unwrap_or(Restart::OnFailure).into(),
        backoff_initial: restarts.backoff_initial.unwrap_or(policy.initial),
        backoff_multiplier: restarts.backoff_multiplier.unwrap_or(policy.multiplier),
        backoff_max: restarts.backoff_max.unwrap_or(policy.max),
        backoff_jitter: restarts.backoff_jitter.unwrap_or(policy.jitter),
        backoff_reset: restarts.backoff_reset.unwrap_or(policy.reset),
        max_restarts: restarts.max_restarts,
        fatal_exit: restarts.fatal_exit.unwrap_or_default(),
        on_crash_loop: restarts.on_crash_loop.unwrap_or(CrashLoop::Continue).into(),
        events: events.events.map(|path| source(&path, dirs.cwd)),
        max_attempts: events.max_attempts.unwrap_or(machine::MAX_ATTEMPTS_DEFAULT),
        nack_max: events.nack_max.unwrap_or(machine::NACK_MAX_DEFAULT),
        event_max_age: events.event_max_age.unwrap_or(machine::EVENT_MAX_AGE_DEFAULT),
        event_timeout: process.event_timeout,
        ordered: events.ordered == Some(true),
        rules: dirs.rules,
        stop_timeout: process.stop_timeout.unwrap_or(machine::STOP_TIMEOUT_DEFAULT),
        ready_timeout: process.ready_timeout.unwrap_or(machine::READY_TIMEOUT_DEFAULT),
        ready_from_agent: process.ready == Some(Ready::Agent),
        hang_timeout: process.hang_timeout,
        memory_max: process.memory_max,
        env_files: absolute(process.env_file.unwrap_or_default(), dirs.cwd),
        release: process.release,
        stdin_inherit: process.stdin == Some(Stdin::Inherit),
        python_client: process.no_python_client != Some(true),
        max_db: storage.max_db.unwrap_or(MAX_DB_DEFAULT),
        max_state: storage.max_state.map_or(machine::MAX_STATE_DEFAULT, in_memory),
        max_frame: storage.max_frame.map_or(machine::MAX_FRAME_DEFAULT, in_memory),
        max_inflight: storage.max_inflight.map_or(machine::MAX_INFLIGHT_DEFAULT, |n| n as usize),
        checkpoint_every: storage.checkpoint_every,
        on_damage: storage.on_damage.unwrap_or(Damage::Stop).into(),
        ephemeral: storage.ephemeral == Some(true),
        sensors_every: (!sensors_every.is_zero()).then_some(sensors_every),
        sensors_root: dirs.cwd.join(watch.sensors_root.unwrap_or_else(|| "/".into())),
        on_alert: watching.on_alert,
        metrics: watching.metrics.map(|path| dirs.cwd.join(path)),
        verbose: log.verbose == Some(true),
    }
}

fn absolute(paths: Vec<PathBuf>, cwd: &Path) -> Vec<PathBuf> {
    paths.into_iter().map(|path| cwd.join(path)).collect()
}

/// `-` is stdin; a file of that name is `./-`.
fn source(path: &Path, cwd: &Path) -> EventSource {
    if path.as_os_str() == "-" { EventSource::Stdin } else { EventSource::Path(cwd.join(path)) }
}

/// A size of something held in memory; none is larger than an address can say.
fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// What no single option can know.
pub(in crate::cli) fn check(settings: &Settings) -> Result<(), Failure> {
    let wrong = |what: &str, why: String, hint: &str| {
        Err(Failure::new(Kind::Usage, what).why(why).hint(hint))
    };
    if settings.backoff_initial > settings.backoff_max {
        return wrong(
            "the first delay is longer than the longest",
            format!(
                "--backoff-initial is {:?}, --backoff-max {:?}",
                settings.backoff_initial, settings.backoff_max
            ),
            "raise --backoff-max or lower --backoff-initial",
        );
    }
    if settings.events == Some(EventSource::Stdin) && settings.stdin_inherit {
        return wrong(
            "stdin can't be read by both",
            "--events - takes adrt's stdin for events, --stdin inherit gives it to the agent"
                .into(),
            "feed the events through a file or a FIFO: --events PATH",
        );
    }
    if settings.event_timeout.is_some_and(|span| span.is_zero()) {
        return wrong(
            "--event-timeout is zero",
            "the agent would count as hung with its first event".into(),
            "leave it out, and an event may be held for ever",
        );
    }
    if settings.hang_timeout.is_some_and(|span| span.is_zero()) {
        return wrong(
            "--hang-timeout is zero",
            "the agent would count as hung as soon as it was started".into(),
            "leave it out, and the agent may be silent for ever",
        );
    }
    if settings.nack_max.is_zero() {
        return wrong(
            "--nack-max is zero",
            "an event that fails would be handed out again without a pause, for ever".into(),
            "--nack-max 1s, or --event-max-age 0 to give it up at its first nack",
        );
    }
    if (settings.max_frame as u64) < MAX_FRAME_LEAST_BYTES {
        return wrong(
            "--max-frame is too small",
            format!("no agent could say hello in {} bytes", settings.max_frame),
            "--max-frame 1MiB",
        );
    }
    if settings.sensors_every.is_some_and(|every| every < SENSORS_EVERY_LEAST) {
        return wrong(
            "--sensors-every is too short",
            "looking at the machine would be what it is busy with".into(),
            "--sensors-every 1s, or 0 for never",
        );
    }
    if !settings.sensors_root.is_dir() {
        return wrong(
            "--sensors-root is no directory",
            format!("there is none at {}", settings.sensors_root.display()),
            "leave it out, and this machine's own sensors are read",
        );
    }
    if settings.max_db < MAX_DB_LEAST_BYTES {
        return wrong(
            "--max-db is too small",
            format!("an empty database with its indexes needs most of {} bytes", settings.max_db),
            "--max-db 16MiB",
        );
    }
    Ok(())
}

/// The agent's name, and the path that tells it from another of that name.
fn name(
    given: Option<String>,
    argv: &[OsString],
    env: &Env,
) -> Result<(String, Option<PathBuf>), Failure> {
    if let Some(name) = given {
        return given_name(name).map(|name| (name, None));
    }
    match naming::from_command(argv) {
        Ok(named) => {
            let path = env.get("PATH").unwrap_or_default();
            let script = naming::identity(&named.source, &env.cwd, path);
            Ok((named.name, script))
        }
        Err(unnamed) => Err(nameless(&unnamed)),
    }
}

/// A name that somebody chose.
pub(in crate::cli) fn given_name(name: String) -> Result<String, Failure> {
    naming::check(&name).map_err(|why| {
        let hint = naming::nearest(&name).unwrap_or_else(|| "agent".to_owned());
        Failure::new(Kind::Usage, format!("{name:?} can't be an agent's name"))
            .why(why)
            .hint(format!("-n {hint}"))
    })?;
    Ok(name)
}

fn nameless(unnamed: &Unnamed) -> Failure {
    let failure = Failure::new(Kind::Usage, "the agent needs a name");
    match unnamed {
        Unnamed::Inline { program, option } => failure
            .why(format!("the code is on the command line ({program} {option}), not in a file"))
            .hint("name it: adrt run -n NAME -- …"),
        Unnamed::NoScript { program } => failure
            .why(format!("no script follows {program}"))
            .hint("name it: adrt run -n NAME -- …"),
        Unnamed::BadStem { stem, why, nearest } => {
            let name = nearest.as_deref().unwrap_or("NAME");
            failure
                .why(format!("{stem:?}, which it would take, is no name: {why}"))
                .hint(format!("adrt run -n {name} -- …"))
        }
    }
}

#[cfg(test)]
mod tests;
