//! What `adrt run` or `adrt attach` was asked to do, complete and checked: flags, environment
//! variables, the configuration file and the defaults have been joined
//! already, names and paths resolved.
//!
//! Deliberately not here: where a value came from (that is `cli::config`'s
//! business), and any default.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One supervised run.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The agent's name; also the name of its directory.
    pub agent: String,
    /// The command, to be executed as it stands. Empty only under `attached`.
    pub argv: Vec<OsString>,
    /// The agent is the program that started adrt, on adrt's own stdin and
    /// stdout: no command is run, and what is said below of its process and
    /// of restarts counts for nothing. Holds what `initialize` must show;
    /// empty where adrt was given nothing.
    pub attached: Option<String>,
    /// The absolute path of the script the name was taken from; `None` when
    /// the name was given.
    pub script: Option<PathBuf>,
    /// Where all agents live.
    pub state_dir: PathBuf,
    /// Where control sockets live.
    pub runtime_dir: PathBuf,

    /// Which ends of the agent are followed by a new start.
    pub restart: RestartMode,
    /// The delay after the first crash.
    pub backoff_initial: Duration,
    /// What each further crash multiplies it by; at least 1.
    pub backoff_multiplier: f64,
    /// The longest delay, jitter included; at least `backoff_initial`.
    pub backoff_max: Duration,
    /// The share by which a delay is moved up or down at random; 0 to 1.
    pub backoff_jitter: f64,
    /// An incarnation that lived this long has made progress.
    pub backoff_reset: Duration,
    /// Starts after crashes before adrt gives up; `None`: never.
    pub max_restarts: Option<u32>,
    /// Exit codes after which there is no new start.
    pub fatal_exit: Vec<i32>,
    /// What a crash loop leads to.
    pub on_crash_loop: OnCrashLoop,

    /// Where events are read from, beside those that are sent.
    pub events: Option<EventSource>,
    /// Deaths of the agent over an event that make it a dead letter; at least 1.
    pub max_attempts: u32,
    /// The longest delay after a nack; not zero.
    pub nack_max: Duration,
    /// The age at which a nacked event is given up.
    pub event_max_age: Duration,
    /// How long an event may be held; not zero. `None`: for ever.
    pub event_timeout: Option<Duration>,
    /// Later events wait for one that is delayed or was nacked.
    pub ordered: bool,

    /// Where the rules are that decisions go by, beside those built in.
    pub rules: Option<RulesFile>,

    /// What a stop may take, from the request to SIGKILL.
    pub stop_timeout: Duration,
    /// How long after the spawn READY=1 waits for the agent's `ready`.
    pub ready_timeout: Duration,
    /// READY=1 waits for the agent's `ready`, however long that takes.
    pub ready_from_agent: bool,
    /// How long the agent may give no sign of life; not zero. `None`: for ever.
    pub hang_timeout: Option<Duration>,
    /// Memory of the agent and all it starts, in bytes.
    pub memory_max: Option<u64>,
    /// Files of variables for the agent, absolute; read at each spawn, the
    /// later ones win.
    pub env_files: Vec<PathBuf>,
    /// Which release of the agent's code this is.
    pub release: Option<String>,
    /// The agent reads adrt's own stdin, not the wire.
    pub stdin_inherit: bool,
    /// Put the Python client on the agent's PYTHONPATH.
    pub python_client: bool,

    /// Budget of the database file, in bytes.
    pub max_db: u64,
    /// The largest state, in bytes of JSON text.
    pub max_state: usize,
    /// The longest line from the agent, in bytes.
    pub max_frame: usize,
    /// Requests that may wait for their COMMIT before the agent is no longer read.
    pub max_inflight: usize,
    /// Acked events between automatic checkpoints; `None` leaves it to the agent.
    pub checkpoint_every: Option<u64>,
    /// What to do with a damaged database.
    pub on_damage: OnDamage,
    /// Keep everything in memory.
    pub ephemeral: bool,

    /// How often the machine's sensors are looked at; not zero. `None`: never.
    pub sensors_every: Option<Duration>,
    /// Where `proc` and `sys` are that they are read from.
    pub sensors_root: PathBuf,

    /// What is run when a person should look, by `/bin/sh -c`.
    pub on_alert: Option<OsString>,
    /// Where metrics are kept for a collector to read; absolute.
    pub metrics: Option<PathBuf>,

    /// Tell more on stderr.
    pub verbose: bool,
}

/// Which ends of the agent are followed by a new start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartMode {
    /// Crashes only.
    OnFailure,
    /// Every end but `run.finish`.
    Always,
    /// None; adrt exits as the agent did.
    Never,
}

/// What a crash loop leads to, beside a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCrashLoop {
    /// A new start, later and later.
    Continue,
    /// Once per loop, the newest checkpoint older than its first crash.
    Rollback,
    /// The end of the run.
    Stop,
}

/// Where events are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSource {
    /// adrt's own stdin.
    Stdin,
    /// A file that is followed, or a FIFO; absolute. It need not be there yet.
    Path(PathBuf),
}

/// Where rules are written; absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulesFile {
    /// In a file of their own.
    Own(PathBuf),
    /// In the table `rules` of the configuration file, if it has one.
    Config(PathBuf),
}

impl RulesFile {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(path) | Self::Config(path) => path,
        }
    }
}

/// What to do with a damaged database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDamage {
    /// Start nothing.
    Stop,
    /// Go on from the last version that is sound.
    Salvage,
    /// Put the database aside and begin with an empty state.
    Fresh,
}
