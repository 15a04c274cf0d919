//! The options of `adrt run`: one list for flags, variables and the file.
//! Those that mean something without a process of adrt's own are options of
//! `adrt attach`, too.
//!
//! No default stands in the attributes: the file comes between a flag and
//! its default. The help names defaults by hand, and a test holds them equal.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{
    BoolishValueParser, OsStringValueParser, PathBufValueParser, TypedValueParser,
};

use crate::cli::quantity;
use crate::settings::{OnCrashLoop, OnDamage, RestartMode};

/// What may also be said by the configuration file.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RunOptions {
    /// What is told on stderr.
    #[command(flatten)]
    pub log: LogOptions,
    /// When it is started again.
    #[command(flatten)]
    pub restarts: RestartOptions,
    /// Where events come from, and what becomes of them.
    #[command(flatten)]
    pub events: EventOptions,
    /// What decisions go by.
    #[command(flatten)]
    pub decisions: DecisionOptions,
    /// How the process is treated.
    #[command(flatten)]
    pub process: ProcessOptions,
    /// What is kept, and how much.
    #[command(flatten)]
    pub storage: StorageOptions,
    /// How the machine is watched.
    #[command(flatten)]
    pub sensors: SensorOptions,
    /// Who is told of the run, and how.
    #[command(flatten)]
    pub watching: WatchingOptions,
}

/// What is told on stderr.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LogOptions {
    /// Tell more on stderr
    #[arg(short, long, value_name = "BOOL", env = "ADRT_VERBOSE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub verbose: Option<bool>,
}

/// When the agent is started again.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Restarts")]
pub struct RestartOptions {
    /// What ends are followed by a new start [default: on-failure]
    #[arg(long, value_name = "WHEN", env = "ADRT_RESTART")]
    pub restart: Option<Restart>,
    /// Delay after the first crash [default: 500ms]
    #[arg(long, value_name = "TIME", env = "ADRT_BACKOFF_INITIAL", value_parser = quantity::duration)]
    pub backoff_initial: Option<Duration>,
    /// What each further crash multiplies it by [default: 2]
    #[arg(long, value_name = "X", env = "ADRT_BACKOFF_MULTIPLIER", value_parser = quantity::factor)]
    pub backoff_multiplier: Option<f64>,
    /// The longest delay [default: 60s]
    #[arg(long, value_name = "TIME", env = "ADRT_BACKOFF_MAX", value_parser = quantity::duration)]
    pub backoff_max: Option<Duration>,
    /// Share by which a delay is moved at random [default: 0.2]
    #[arg(long, value_name = "SHARE", env = "ADRT_BACKOFF_JITTER", value_parser = quantity::share)]
    pub backoff_jitter: Option<f64>,
    /// A life this long begins the delays anew [default: 60s]
    #[arg(long, value_name = "TIME", env = "ADRT_BACKOFF_RESET", value_parser = quantity::duration)]
    pub backoff_reset: Option<Duration>,
    /// Give up (exit 69) after so many restarts [default: never]
    #[arg(long, value_name = "N", env = "ADRT_MAX_RESTARTS")]
    pub max_restarts: Option<u32>,
    /// Exit codes with no restart after them (exit 70), as 3,4
    #[arg(long, value_name = "CODES", env = "ADRT_FATAL_EXIT", value_parser = quantity::exit_code, value_delimiter = ',')]
    pub fatal_exit: Option<Vec<i32>>,
    /// What to do after five crashes in a row without progress [default: continue]
    #[arg(long, value_name = "WHAT", env = "ADRT_ON_CRASH_LOOP")]
    pub on_crash_loop: Option<CrashLoop>,
}

/// Where events come from, and what becomes of them.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Events")]
pub struct EventOptions {
    /// Feed the inbox from this file or FIFO, or from stdin (-)
    ///
    /// One JSON object a line. A file is read from its beginning and followed
    /// through rotation by renaming; how far it is read is written down
    /// together with its events, so a restart neither repeats nor skips one.
    /// A FIFO and stdin can't be read twice: lines that were read from them
    /// and not yet written down when adrt dies are lost. A line that is no
    /// event becomes a dead letter with its text.
    #[arg(long, value_name = "FILE|FIFO|-", env = "ADRT_EVENTS", value_parser = source())]
    pub events: Option<PathBuf>,
    /// Give an event up after so many deaths of the agent over it [default: 3]
    #[arg(long, value_name = "N", env = "ADRT_MAX_ATTEMPTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_attempts: Option<u32>,
    /// The longest delay after a nack [default: 10m]
    #[arg(long, value_name = "TIME", env = "ADRT_NACK_MAX", value_parser = quantity::duration)]
    pub nack_max: Option<Duration>,
    /// Give up an event that is nacked at this age [default: 24h]
    #[arg(long, value_name = "TIME", env = "ADRT_EVENT_MAX_AGE", value_parser = quantity::duration)]
    pub event_max_age: Option<Duration>,
    /// Let later events wait for one that is delayed or was nacked
    #[arg(long, value_name = "BOOL", env = "ADRT_ORDERED", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub ordered: Option<bool>,
}

/// A place to read events from; the empty one is a slip, not a file.
fn source() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        if path.as_os_str().is_empty() {
            return Err("is empty; name a file or a FIFO, or - for stdin");
        }
        Ok(path)
    })
}

/// What decisions go by.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Decisions")]
pub struct DecisionOptions {
    /// Decide by the rules in this TOML file, then by those built in
    ///
    /// Contexts, weights, thresholds, reviews and rules: see adrt-rules(5). They
    /// may also stand in the table rules of the file of --config. adrt reload,
    /// or SIGHUP, has the file read again; one with a mistake in it is refused
    /// with line and column, and what was read before stays.
    #[arg(long, value_name = "FILE", env = "ADRT_RULES", value_parser = file())]
    pub rules: Option<PathBuf>,
}

/// A file; the empty one is a slip.
fn file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        if path.as_os_str().is_empty() { Err("is empty; name a file") } else { Ok(path) }
    })
}

/// How the agent's process is treated.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "The process")]
pub struct ProcessOptions {
    /// How long an event may be held before the agent counts as hung [default: for ever]
    ///
    /// Heartbeats do not make it longer, event.extend does.
    #[arg(long, help_heading = "Events", value_name = "TIME", env = "ADRT_EVENT_TIMEOUT", value_parser = quantity::duration)]
    pub event_timeout: Option<Duration>,
    /// What a stop may take before SIGKILL [default: 10s]
    #[arg(long, value_name = "TIME", env = "ADRT_STOP_TIMEOUT", value_parser = quantity::duration)]
    pub stop_timeout: Option<Duration>,
    /// How long to wait for `ready` before telling systemd [default: 10s]
    #[arg(long, value_name = "TIME", env = "ADRT_READY_TIMEOUT", value_parser = quantity::duration)]
    pub ready_timeout: Option<Duration>,
    /// What tells systemd that the agent is ready [default: any]
    ///
    /// With agent, a unit is started when the agent says ready (or a command in
    /// it adrt notify ready), be it after crashes and delays. More time is
    /// asked for meanwhile, whatever TimeoutStartSec= of the unit. One that ends
    /// without it has failed to start.
    #[arg(long, value_name = "WHAT", env = "ADRT_READY")]
    pub ready: Option<Ready>,
    /// How long the agent may give no sign of life before it counts as hung [default: for ever]
    ///
    /// A sign of life is a heartbeat or any other frame; before the agent has
    /// said initialize, any output. The time runs only while adrt owes the agent
    /// nothing and reads its output, and not while the agent waits for events.
    /// The Python client beats at a third of it, from its event loop; a script
    /// says adrt notify heartbeat. A hung agent gets SIGABRT, then SIGKILL, and
    /// is started again.
    #[arg(long, value_name = "TIME", env = "ADRT_HANG_TIMEOUT", value_parser = quantity::duration)]
    pub hang_timeout: Option<Duration>,
    /// Memory that the agent and all it starts may use [default: no limit]
    ///
    /// By a cgroup of its own, which needs cgroup v2 and a delegated one: under
    /// systemd, Delegate=yes. Past it the kernel kills the agent as a whole, all
    /// that it started included, and the crash is told as out of memory. It is
    /// not given swap in the place of memory. Where there is no such cgroup adrt
    /// exits with 78 before it starts anything.
    #[arg(long, value_name = "SIZE", env = "ADRT_MEMORY_MAX", value_parser = quantity::size)]
    pub memory_max: Option<u64>,
    /// Read variables for the agent from this file at each start
    ///
    /// One NAME=VALUE a line, as in systemd's EnvironmentFile=: # and ; begin
    /// comments, quotes hold blanks, a backslash at the end goes on with the
    /// next line. May be given several times; later files win, and all win over
    /// adrt's own environment. A key that was changed in it is taken with adrt
    /// restart. Every file must be there (there is no - before one that need
    /// not be) and be right: at the first start a mistake ends adrt with 78,
    /// at a later one the agent is not started until it is mended. ADRT_* and
    /// NOTIFY_* can't be set. Values are never told.
    #[arg(long, value_name = "FILE", env = "ADRT_ENV_FILE", value_parser = file(), action = clap::ArgAction::Append, value_delimiter = ',')]
    pub env_file: Option<Vec<PathBuf>>,
    /// Which release of the agent's code this is
    ///
    /// Kept with each start, and shown with status, crashes, checkpoints and
    /// metrics. When it is another than the last one, a checkpoint "before
    /// RELEASE" is kept before the first start, to go back to with adrt
    /// checkpoints restore. The agent finds it in ADRT_RELEASE.
    #[arg(long, value_name = "TEXT", env = "ADRT_RELEASE", value_parser = release)]
    pub release: Option<String>,
    /// What the agent reads: the protocol, or adrt's own stdin [default: wire]
    #[arg(long, value_name = "WHAT", env = "ADRT_STDIN")]
    pub stdin: Option<Stdin>,
    /// Leave adrt's Python package off the agent's PYTHONPATH
    #[arg(long, value_name = "BOOL", env = "ADRT_NO_PYTHON_CLIENT", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub no_python_client: Option<bool>,
}

/// What is kept, and how much.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Storage")]
pub struct StorageOptions {
    /// Budget of the agent's database [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "ADRT_MAX_DB", value_parser = quantity::size)]
    pub max_db: Option<u64>,
    /// The largest state [default: 64MiB]
    #[arg(long, value_name = "SIZE", env = "ADRT_MAX_STATE", value_parser = quantity::size)]
    pub max_state: Option<u64>,
    /// The longest line from the agent [default: 16MiB]
    #[arg(long, value_name = "SIZE", env = "ADRT_MAX_FRAME", value_parser = quantity::size)]
    pub max_frame: Option<u64>,
    /// Requests that may wait for the disk [default: 1024]
    #[arg(long, value_name = "N", env = "ADRT_MAX_INFLIGHT", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub max_inflight: Option<u32>,
    /// A checkpoint after so many events [default: the agent's wish]
    #[arg(long, value_name = "N", env = "ADRT_CHECKPOINT_EVERY", value_parser = clap::value_parser!(u64).range(1..))]
    pub checkpoint_every: Option<u64>,
    /// What to do with a damaged database [default: stop]
    #[arg(long, value_name = "WHAT", env = "ADRT_ON_DAMAGE")]
    pub on_damage: Option<Damage>,
    /// Keep everything in memory
    #[arg(long, value_name = "BOOL", env = "ADRT_EPHEMERAL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub ephemeral: Option<bool>,
    /// Where control sockets live [default: /run/adrt for root, else $XDG_RUNTIME_DIR/adrt]
    #[arg(long, value_name = "DIR", env = "ADRT_RUNTIME_DIR")]
    pub runtime_dir: Option<PathBuf>,
}

/// How the machine is watched.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "The machine")]
pub struct SensorOptions {
    /// How often to look at the machine's sensors; 0 for never [default: 5s]
    ///
    /// Processor, memory, disk, heat and stalled work (PSI) give a level: calm,
    /// elevated, high or critical. The agent is told when it changes, and adrt
    /// status shows it. Under the limits of a container or a service these
    /// count, not what the host has.
    #[arg(long, value_name = "TIME", env = "ADRT_SENSORS_EVERY", value_parser = quantity::duration)]
    pub sensors_every: Option<Duration>,
    /// Read the sensors from proc and sys under this directory [default: /]
    ///
    /// For trying how an agent behaves under pressure: put what the kernel
    /// would say into DIR/proc/meminfo, DIR/proc/pressure/memory,
    /// DIR/sys/class/thermal/thermal_zone0/temp and so on, and change it while
    /// the agent runs. What is missing there is not known. The disk is always
    /// that of the state directory.
    #[arg(long, value_name = "DIR", env = "ADRT_SENSORS_ROOT")]
    pub sensors_root: Option<PathBuf>,
}

/// Who is told of the run, and how.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Watching")]
pub struct WatchingOptions {
    /// Run this when a person should look, with JSON on its stdin
    ///
    /// By /bin/sh -c, one at a time, for at most 30 s each. The JSON has alert,
    /// agent, time, message, incarnation, host and more by kind. The kinds:
    /// crash_loop, unstable and store_failing, told once and, as recovered,
    /// once they are over; dead_letter and review_pending, at most once a
    /// minute, with how many are new; damaged; gave_up, when the run ends other
    /// than by a stop or with success. At the end of a run the last ones have 5 s
    /// more, 1 s after a stop. What it prints goes to adrt's stderr. It
    /// has adrt's environment and ADRT_AGENT, and not the agent's token.
    #[arg(long, value_name = "CMD", env = "ADRT_ON_ALERT", value_parser = command_line())]
    pub on_alert: Option<OsString>,
    /// Keep metrics fresh in this file, for node_exporter's textfile collector
    ///
    /// Written anew every 15 s, at each change of phase and at the end, always
    /// whole and readable for all. What adrt metrics prints, in the older text
    /// format. A file to each agent, with a name that ends in .prom. Should adrt
    /// be killed, the file stays as it was: node_textfile_mtime_seconds tells.
    #[arg(long, value_name = "FILE", env = "ADRT_METRICS", value_parser = file())]
    pub metrics: Option<PathBuf>,
}

/// Something for a shell; the empty one is a slip.
fn command_line() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new()
        .try_map(|line| if line.is_empty() { Err("is empty; give a command") } else { Ok(line) })
}

/// A release's longest name: it stands in tables.
const RELEASE_CHARS_MAX: usize = 100;

fn release(typed: &str) -> Result<String, String> {
    if typed.is_empty() || typed.chars().any(char::is_control) {
        return Err("is one line of text, and not empty".into());
    }
    if typed.chars().count() > RELEASE_CHARS_MAX {
        return Err(format!("is longer than {RELEASE_CHARS_MAX} characters"));
    }
    Ok(typed.to_owned())
}

impl RunOptions {
    /// These, and where they say nothing, those below.
    pub fn over(self, below: Self) -> Self {
        Self {
            restarts: self.restarts.over(below.restarts),
            events: self.events.over(below.events),
            decisions: self.decisions.over(below.decisions),
            process: self.process.over(below.process),
            storage: self.storage.over(below.storage),
            sensors: self.sensors.over(below.sensors),
            watching: self.watching.over(below.watching),
            log: LogOptions { verbose: self.log.verbose.or(below.log.verbose) },
        }
    }
}

impl RestartOptions {
    fn over(self, below: Self) -> Self {
        Self {
            restart: self.restart.or(below.restart),
            backoff_initial: self.backoff_initial.or(below.backoff_initial),
            backoff_multiplier: self.backoff_multiplier.or(below.backoff_multiplier),
            backoff_max: self.backoff_max.or(below.backoff_max),
            backoff_jitter: self.backoff_jitter.or(below.backoff_jitter),
            backoff_reset: self.backoff_reset.or(below.backoff_reset),
            max_restarts: self.max_restarts.or(below.max_restarts),
            fatal_exit: self.fatal_exit.or(below.fatal_exit),
            on_crash_loop: self.on_crash_loop.or(below.on_crash_loop),
        }
    }
}

impl EventOptions {
    fn over(self, below: Self) -> Self {
        Self {
            events: self.events.or(below.events),
            max_attempts: self.max_attempts.or(below.max_attempts),
            nack_max: self.nack_max.or(below.nack_max),
            event_max_age: self.event_max_age.or(below.event_max_age),
            ordered: self.ordered.or(below.ordered),
        }
    }
}

impl DecisionOptions {
    fn over(self, below: Self) -> Self {
        Self { rules: self.rules.or(below.rules) }
    }
}

impl ProcessOptions {
    fn over(self, below: Self) -> Self {
        Self {
            event_timeout: self.event_timeout.or(below.event_timeout),
            stop_timeout: self.stop_timeout.or(below.stop_timeout),
            ready_timeout: self.ready_timeout.or(below.ready_timeout),
            ready: self.ready.or(below.ready),
            hang_timeout: self.hang_timeout.or(below.hang_timeout),
            memory_max: self.memory_max.or(below.memory_max),
            env_file: self.env_file.or(below.env_file),
            release: self.release.or(below.release),
            stdin: self.stdin.or(below.stdin),
            no_python_client: self.no_python_client.or(below.no_python_client),
        }
    }
}

impl StorageOptions {
    fn over(self, below: Self) -> Self {
        Self {
            max_db: self.max_db.or(below.max_db),
            max_state: self.max_state.or(below.max_state),
            max_frame: self.max_frame.or(below.max_frame),
            max_inflight: self.max_inflight.or(below.max_inflight),
            checkpoint_every: self.checkpoint_every.or(below.checkpoint_every),
            on_damage: self.on_damage.or(below.on_damage),
            ephemeral: self.ephemeral.or(below.ephemeral),
            runtime_dir: self.runtime_dir.or(below.runtime_dir),
        }
    }
}

impl SensorOptions {
    fn over(self, below: Self) -> Self {
        Self {
            sensors_every: self.sensors_every.or(below.sensors_every),
            sensors_root: self.sensors_root.or(below.sensors_root),
        }
    }
}

impl WatchingOptions {
    fn over(self, below: Self) -> Self {
        Self { on_alert: self.on_alert.or(below.on_alert), metrics: self.metrics.or(below.metrics) }
    }
}

/// `--restart`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Restart {
    /// Crashes only
    OnFailure,
    /// Every end but run.finish
    Always,
    /// None; adrt exits as the agent did
    Never,
}

/// `--on-crash-loop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CrashLoop {
    /// Start it again, later and later; it is told safe_mode
    Continue,
    /// Once, go back to the newest checkpoint from before the first of them
    Rollback,
    /// End the run
    Stop,
}

/// `--ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Ready {
    /// Its ready, --ready-timeout, or the end of its first process
    Any,
    /// Only its ready, however long that takes
    Agent,
}

/// `--stdin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Stdin {
    /// adrt's replies; empty for an agent that does not speak the protocol
    Wire,
    /// adrt's own stdin, for chat loops; there is no protocol then
    Inherit,
}

/// `--on-damage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Damage {
    /// Start nothing, exit 74
    Stop,
    /// Go on from the last sound version
    Salvage,
    /// Put the database aside and begin with nothing
    Fresh,
}

impl From<Restart> for RestartMode {
    fn from(typed: Restart) -> Self {
        match typed {
            Restart::OnFailure => Self::OnFailure,
            Restart::Always => Self::Always,
            Restart::Never => Self::Never,
        }
    }
}

impl From<CrashLoop> for OnCrashLoop {
    fn from(typed: CrashLoop) -> Self {
        match typed {
            CrashLoop::Continue => Self::Continue,
            CrashLoop::Rollback => Self::Rollback,
            CrashLoop::Stop => Self::Stop,
        }
    }
}

impl From<Damage> for OnDamage {
    fn from(typed: Damage) -> Self {
        match typed {
            Damage::Stop => Self::Stop,
            Damage::Salvage => Self::Salvage,
            Damage::Fresh => Self::Fresh,
        }
    }
}
