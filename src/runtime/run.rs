//! One `adrt run`, from the lock to the exit code.
//!
//! The order is part of the promise. The lock comes first: there is one
//! writer. Then the database is opened, migrated and its checksums verified,
//! so that damage is known before anything is started. Then what an adrt that
//! was killed may have left of its agent is killed. Only then the agent is
//! spawned, and the state is read while it starts.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;

use super::alerts::{self, Alerts};
use super::control::{self, Bound};
use super::driver::{Agent, Driver, Parts};
use super::environment::Template;
use super::told::tell;
use super::{peer, python_client, rules, variables};
use crate::clock;
use crate::engines::decision;
use crate::feed::{self, Feed, Source, SourceError};
use crate::output::{Log, Sink, Stream};
use crate::process::cgroup::{self, Group, Refusal, Watch};
use crate::process::kin::{self, Kin};
use crate::process::reap::{self, Reaper};
use crate::process::spawn::{self, Spawner};
use crate::process::sweep;
use crate::rules::Rules;
use crate::sensors::{Sensors, Sources};
use crate::settings::{self, Settings};
use crate::signals::Signals;
use crate::store::failure::OpenError;
use crate::store::home::{Home, HomeError};
use crate::store::lock::{HolderKind, Lock, LockError};
use crate::store::open::{OnDamage, Options, Store};
use crate::supervisor::exit::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND};
use crate::supervisor::io::{Boot, Level, Outcome, SOURCE_POSITION, SpawnFailure, Verdict};
use crate::supervisor::machine::{EventPolicy, Machine, OnCrashLoop, Setup};
use crate::supervisor::restart::{Policy, RestartMode};
use crate::systemd::Notifier;
use crate::typed::document::Fault;

/// How long `run` waits for a command that holds the lock for a write.
const COMMAND_PATIENCE: Duration = Duration::from_secs(5);
/// How long an `adrt attach` may take to notice that its client has gone.
const NOTICE_PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks at a holder that is about to go.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// How long the last output may take to be read at the end.
pub(super) const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Why a run did not come to be.
#[derive(Debug)]
pub enum RunError {
    /// The state directory can't be made or used.
    Home(HomeError),
    /// Somebody else holds the agent, or the lock can't be taken.
    Lock(LockError),
    /// The database can't be opened.
    Open(OpenError),
    /// A defaulted name whose state was last used by another script.
    OtherScript {
        /// The name.
        agent: String,
        /// The script the state belongs to.
        theirs: PathBuf,
        /// The one that was given.
        ours: PathBuf,
    },
    /// The agent is another user's.
    OtherUser {
        /// Which.
        agent: String,
        /// Whose.
        uid: u32,
    },
    /// Who wants to attach belongs to an incarnation whose adrt was killed.
    LeftOver,
    /// Events can't be read from where they are to come from.
    Source(SourceError),
    /// The rules, or variables for the agent, can't be read, or make no sense.
    Unreadable(Fault),
    /// There is no way to limit the agent's memory.
    MemoryMax(Refusal),
    /// The system refused something that nothing works without.
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(e) => write!(f, "{e}"),
            Self::Lock(e) => write!(f, "{e}"),
            Self::Open(e) => write!(f, "{e}"),
            Self::Source(e) => write!(f, "{e}"),
            Self::Unreadable(e) => write!(f, "{e}"),
            Self::MemoryMax(e) => write!(f, "{e}"),
            Self::LeftOver => f.write_str(
                "the program that started this is left over from a run whose adrt was killed",
            ),
            Self::OtherUser { agent, uid } => {
                write!(f, "{agent:?} belongs to user number {uid}")
            }
            Self::OtherScript { agent, theirs, ours } => write!(
                f,
                "the state of {agent:?} belongs to {}, not to {}",
                theirs.display(),
                ours.display()
            ),
            Self::System { what, source } => write!(f, "{what}: {source}"),
        }
    }
}

impl std::error::Error for RunError {}

pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> RunError {
    move |source| RunError::System { what, source }
}

/// Runs an agent until its run is over.
///
/// # Errors
/// What kept the run from beginning; see [`RunError`].
pub fn run(settings: &Settings) -> Result<Verdict, RunError> {
    let rules = read_rules(settings)?;
    if settings.memory_max.is_some() {
        cgroup::foresee_limit().map_err(RunError::MemoryMax)?;
    }
    let command = Template::new(settings, None, None).command(0, "");
    let command = command.map_err(RunError::Unreadable)?;
    let home = place(settings)?;
    if !home.exists()
        && let Some(verdict) = foresee(command)
    {
        return Ok(verdict);
    }
    let held = hold(settings, &home, HolderKind::Run)?;
    // They have looked by the time the agent asks.
    let sensors = sensors(settings);
    let (store, boot) = open(settings, &home)?;
    same_script(settings, &boot)?;
    let signals = Signals::install().map_err(system("signal handlers"))?;
    reap::become_subreaper().map_err(system("adopting orphans"))?;
    if held.is_some() {
        kill_left_over(&home, &boot);
    }
    let (_lock, control) = held.unzip();
    let (text, stderr) = Sink::both_for(&settings.agent).map_err(system("output thread"))?;
    let kin = Arc::new(kin(settings, &home, &stderr)?);
    let ends = ends(settings, &home, control.as_ref(), &kin, (text, stderr))?;
    let beside = Beside { sensors, rules };
    let verdict = drive(parts(settings, control, (store, boot), signals, ends, beside)?)?;
    nothing_is_left(settings, &kin, &home);
    Ok(verdict)
}

/// Kills what an adrt that was killed may have left of this agent. The lock is
/// held: without it, as of what is kept in memory, somebody may be running it.
pub(super) fn kill_left_over(home: &Home, boot: &Boot) {
    if let Some(orphan) = &boot.orphan {
        sweep::kill_orphan_group(orphan);
    }
    kin::kill_noted(&home.kin_path());
}

/// What the agent's processes will be known by, noted for who comes after a
/// `kill -9`; nothing comes after what is kept in memory.
fn kin(settings: &Settings, home: &Home, stderr: &Sink) -> Result<Kin, RunError> {
    let mark = format!("{:016x}", u64::from_ne_bytes(random()?));
    let group = match Group::make(&settings.agent, &mark, settings.memory_max) {
        Err(refusal) if settings.memory_max.is_some() => return Err(RunError::MemoryMax(refusal)),
        Err(refusal) => {
            tell(
                stderr,
                Level::Warning,
                format!("the agent has no control group of its own: {refusal}"),
            );
            None
        }
        Ok(group) => group,
    };
    let kin = Kin::new(mark, group);
    if !settings.ephemeral
        && let Err(e) = kin.note(&home.kin_path())
    {
        let what = "what is left of the agent after a kill -9 of adrt may not be found";
        tell(stderr, Level::Warning, format!("{what}: {}: {e}", home.kin_path().display()));
    }
    Ok(kin)
}

/// The run is over, and so are all of the agent's processes. A note is another
/// run's where this one is kept in memory.
fn nothing_is_left(settings: &Settings, kin: &Kin, home: &Home) {
    if let Some(group) = kin.group() {
        group.remove();
    }
    if !settings.ephemeral {
        let _none_was_written = std::fs::remove_file(home.kin_path());
    }
}

/// The rules, before anything is made: a slip in them is not to leave an agent
/// behind.
pub(super) fn read_rules(settings: &Settings) -> Result<Option<Rules>, RunError> {
    settings.rules.as_ref().map(rules::read).transpose().map_err(RunError::Unreadable)
}

/// Where the agent is, once it is known that its events can be read, and that
/// it is this user's.
pub(super) fn place(settings: &Settings) -> Result<Home, RunError> {
    if let Some(source) = source(settings) {
        feed::check(&source).map_err(RunError::Source)?;
    }
    let home = Home::new(&settings.state_dir, &settings.agent).map_err(RunError::Home)?;
    let stranger = home.owner().filter(|uid| *uid != geteuid().as_raw() && !settings.ephemeral);
    match stranger {
        // What it wrote its own user could not read any more.
        Some(uid) => Err(RunError::OtherUser { agent: settings.agent.clone(), uid }),
        None => Ok(home),
    }
}

/// A command that can't be executed, before anything is made for it: a slip of
/// the pen is not to leave an agent behind.
fn foresee(command: spawn::Command) -> Option<Verdict> {
    let (code, message) = match spawn::foresee(command).err()? {
        SpawnFailure::NotFound(what) => (EXIT_NOT_FOUND, what),
        SpawnFailure::NotExecutable(what) => (EXIT_NOT_EXECUTABLE, what),
        SpawnFailure::System(_) => return None,
    };
    Some(Verdict { outcome: Outcome::ExecFailed(code), message })
}

/// Takes the lock, and binds the socket whose path it tells; neither for what
/// is kept in memory only.
pub(super) fn hold(
    settings: &Settings,
    home: &Home,
    kind: HolderKind,
) -> Result<Option<(Lock, Bound)>, RunError> {
    if settings.ephemeral {
        return Ok(None);
    }
    home.create().map_err(RunError::Home)?;
    let mut lock = take(home, kind).map_err(RunError::Lock)?;
    let socket = control::bind(&settings.runtime_dir, home).map_err(system("control socket"))?;
    lock.update_socket(Some(socket.path())).map_err(system("lock file"))?;
    Ok(Some((lock, socket)))
}

/// Takes the lock. A command that writes is waited for, and so is an
/// `adrt attach` whose client has gone: a client that is started again at once
/// is not to be refused for the sake of the last writes of its predecessor.
fn take(home: &Home, kind: HolderKind) -> Result<Lock, LockError> {
    let begun = clock::mono();
    loop {
        let waited = clock::mono().since(begun);
        let left = COMMAND_PATIENCE.saturating_sub(waited);
        match Lock::take_within(home, kind, None, left) {
            Err(LockError::Held(holder))
                if !left.is_zero()
                    && holder.kind == HolderKind::Attach
                    && (waited < NOTICE_PATIENCE || peer::is_leaving(&holder)) =>
            {
                std::thread::sleep(LOOK_PAUSE);
            }
            other => return other,
        }
    }
}

/// Opens the database. A person is told if it is too damaged for that.
pub(super) fn open(settings: &Settings, home: &Home) -> Result<(Store, Boot), RunError> {
    match Store::open(home, &options(settings)) {
        Ok(opened) => {
            if !settings.ephemeral {
                alerts::forget_damage(home);
            }
            Ok(opened)
        }
        Err(error) => {
            alerts::tell_of_damage(settings, home, &error);
            Err(RunError::Open(error))
        }
    }
}

pub(super) fn drive(parts: Parts) -> Result<Verdict, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(system("event loop"))?;
    let (text, stderr) = (parts.text.clone(), parts.stderr.clone());
    let verdict = runtime.block_on(async {
        let mut driver = Driver::new(parts).map_err(system("event loop"))?;
        let verdict = driver.run().await;
        driver.finish(&verdict).await;
        Ok(verdict)
    })?;
    text.close(FLUSH_PATIENCE);
    stderr.close(FLUSH_PATIENCE);
    Ok(verdict)
}

/// What depends on whose the agent's process is.
pub(super) struct Ends {
    pub agent: Agent,
    pub reaper: Reaper,
    /// Those of the agent that are killed for memory.
    pub memory: Watch,
    pub notifier: Notifier,
    /// Where the agent's text goes.
    pub text: Sink,
    pub stderr: Sink,
}

/// What decisions go by, beside what the agent says.
pub(super) struct Beside {
    /// The machine's sensors, if they can be read.
    pub sensors: io::Result<Option<Sensors>>,
    /// What the rules file says.
    pub rules: Option<Rules>,
}

/// For a command that adrt starts.
fn ends(
    settings: &Settings,
    home: &Home,
    control: Option<&Bound>,
    kin: &Arc<Kin>,
    (text, stderr): (Sink, Sink),
) -> Result<Ends, RunError> {
    let client = settings.python_client.then(|| python_client::install(settings, home));
    let client = client.transpose().unwrap_or_else(|e| {
        let what = "the Python client can't be laid out for the agent";
        tell(&stderr, Level::Warning, format!("{what}: {e}"));
        None
    });
    for line in variables::warnings(&settings.env_files) {
        tell(&stderr, Level::Warning, line);
    }
    let reaper = Reaper::for_kin(Arc::clone(kin));
    let spawner = Spawner::start(reaper.roster()).map_err(system("spawning thread"))?;
    let command = Template::new(settings, control.map(Bound::path), client);
    Ok(Ends {
        agent: Agent::Command { spawner, command: Arc::new(command) },
        reaper,
        memory: kin.group().map_or_else(Watch::of_this_process, Group::watch),
        notifier: Notifier::from_env().map_err(system("service manager"))?,
        text,
        stderr,
    })
}

pub(super) fn parts(
    settings: &Settings,
    control: Option<Bound>,
    (store, boot): (Store, Boot),
    signals: Signals,
    ends: Ends,
    beside: Beside,
) -> Result<Parts, RunError> {
    let Ends { agent, reaper, memory, notifier, text, stderr } = ends;
    let Beside { sensors, rules } = beside;
    let decisions =
        rules.map_or_else(Default::default, |rules| first_rules(settings, rules, &stderr));
    // An agent that is not told of the machine runs all the same.
    let sensors = sensors.unwrap_or_else(|e| {
        tell(&stderr, Level::Warning, format!("the machine's sensors are not read: {e}"));
        None
    });
    let log = control.as_ref().map(|bound| log(settings, bound, &stderr)).unwrap_or_default();
    let feed = feed(settings, &boot, (&stderr, &log)).map_err(system("thread for events"))?;
    Ok(Parts {
        machine: Machine::new(setup(settings, decisions)?, &boot, clock::now()),
        boot,
        store,
        signals,
        alerts: Alerts::new(settings, reaper.roster(), stderr.clone()),
        reaper,
        agent,
        memory,
        notifier,
        text,
        stderr,
        log,
        control,
        feed,
        sensors,
        metrics: settings.metrics.clone().zip(Home::new(&settings.state_dir, &settings.agent).ok()),
        rules: settings.rules.clone(),
        state_dir: settings.state_dir.clone(),
        max_db: settings.max_db,
        max_frame: settings.max_frame,
        told_from: told_from(settings),
    })
}

/// The least that is told on stderr. An attached client has a terminal of its
/// own, or one that it shares with adrt: there adrt only speaks up.
fn told_from(settings: &Settings) -> Level {
    match &settings.attached {
        _ if settings.verbose => Level::Debug,
        Some(_) => Level::Warning,
        None => Level::Info,
    }
}

fn source(settings: &Settings) -> Option<Source> {
    settings.events.as_ref().map(|events| match events {
        settings::EventSource::Stdin => Source::Stdin,
        settings::EventSource::Path(path) => Source::Path(path.clone()),
    })
}

/// Reads events from where they are to come from, on from where an earlier
/// run was.
fn feed(
    settings: &Settings,
    boot: &Boot,
    (stderr, log): (&Sink, &Log),
) -> io::Result<Option<Feed>> {
    let Some(source) = source(settings) else { return Ok(None) };
    let position = boot.meta.iter().find(|(name, _)| name == SOURCE_POSITION);
    let position = position.map(|(_, position)| position.clone());
    let (stderr, log, told_from) = (stderr.clone(), log.clone(), told_from(settings));
    let tell = move |level, message: &str| {
        if level >= told_from {
            log.line(Stream::Adrt, message);
            tell(&stderr, level, message);
        }
    };
    Feed::start(source, position, settings.max_frame, Box::new(tell)).map(Some)
}

/// The log beside the socket, and word in the agent's directory of where that
/// is. An agent runs without one, too.
fn log(settings: &Settings, control: &Bound, stderr: &Sink) -> Log {
    let path = control.log_path();
    let missing = |why: String| {
        tell(stderr, Level::Warning, format!("adrt logs will show nothing: {why}"));
    };
    let placed =
        Home::new(&settings.state_dir, &settings.agent).and_then(|home| home.set_log_place(&path));
    if let Err(error) = placed {
        missing(error.to_string());
    }
    Log::open(&path, control::share_log).unwrap_or_else(|error| {
        missing(format!("{}: {error}", path.display()));
        Log::off()
    })
}

/// Looks at the machine from now on, if it is to be looked at.
pub(super) fn sensors(settings: &Settings) -> io::Result<Option<Sensors>> {
    let Some(every) = settings.sensors_every else { return Ok(None) };
    // What is kept in memory fills no disk.
    let disk = (!settings.ephemeral).then(|| settings.state_dir.join(&settings.agent));
    Sensors::start(Sources { root: settings.sensors_root.clone(), disk }, every).map(Some)
}

/// Tells of what in the rules does nothing, and makes of them what decisions go
/// by.
fn first_rules(settings: &Settings, rules: Rules, stderr: &Sink) -> Arc<decision::Policy> {
    let Some(file) = &settings.rules else { return Arc::default() };
    for line in rules::warnings(file, &rules) {
        tell(stderr, Level::Warning, line);
    }
    if settings.verbose {
        tell(stderr, Level::Info, rules::summary(file, &rules));
    }
    Arc::new(rules.policy)
}

fn setup(settings: &Settings, decisions: Arc<decision::Policy>) -> Result<Setup, RunError> {
    let (seed, run_id) = (random()?, random()?);
    Ok(Setup {
        agent: settings.agent.clone(),
        run_id: format!("{:016x}", u64::from_ne_bytes(run_id)),
        policy: policy(settings),
        stop_timeout: settings.stop_timeout,
        ready_timeout: settings.ready_timeout,
        ready_from_agent: settings.ready_from_agent,
        hang_timeout: settings.hang_timeout,
        release: settings.release.clone(),
        max_frame: settings.max_frame,
        max_state: settings.max_state,
        max_inflight: settings.max_inflight,
        max_db: settings.max_db,
        by_hand: io::stdin().is_terminal(),
        attached: settings.attached.is_some(),
        script: settings.script.as_ref().map(|path| path.display().to_string()),
        events: event_policy(settings),
        on_crash_loop: match settings.on_crash_loop {
            settings::OnCrashLoop::Continue => OnCrashLoop::Continue,
            settings::OnCrashLoop::Rollback => OnCrashLoop::Rollback,
            settings::OnCrashLoop::Stop => OnCrashLoop::Stop,
        },
        checkpoint_every: settings.checkpoint_every,
        decisions,
        rules_file: settings.rules.is_some(),
        time_zone: clock::time_zone(),
        seed: u64::from_ne_bytes(seed),
    })
}

fn random() -> Result<[u8; 8], RunError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|e| RunError::System {
        what: "random numbers",
        source: io::Error::other(e.to_string()),
    })?;
    Ok(bytes)
}

fn policy(settings: &Settings) -> Policy {
    Policy {
        mode: match settings.restart {
            settings::RestartMode::OnFailure => RestartMode::OnFailure,
            settings::RestartMode::Always => RestartMode::Always,
            settings::RestartMode::Never => RestartMode::Never,
        },
        initial: settings.backoff_initial,
        multiplier: settings.backoff_multiplier,
        max: settings.backoff_max,
        jitter: settings.backoff_jitter,
        reset: settings.backoff_reset,
        max_restarts: settings.max_restarts,
        fatal_exit: settings.fatal_exit.clone(),
    }
}

fn event_policy(settings: &Settings) -> EventPolicy {
    EventPolicy {
        max_attempts: settings.max_attempts,
        nack_max: settings.nack_max,
        max_age: settings.event_max_age,
        timeout: settings.event_timeout,
        ordered: settings.ordered,
    }
}

pub(super) fn options(settings: &Settings) -> Options {
    Options {
        max_db: settings.max_db,
        on_damage: match settings.on_damage {
            settings::OnDamage::Stop => OnDamage::Stop,
            settings::OnDamage::Salvage => OnDamage::Salvage,
            settings::OnDamage::Fresh => OnDamage::Fresh,
        },
        ephemeral: settings.ephemeral,
        ..Options::default()
    }
}

/// Two scripts of one name would otherwise take turns with one state.
fn same_script(settings: &Settings, boot: &Boot) -> Result<(), RunError> {
    let Some(ours) = &settings.script else { return Ok(()) };
    let kept = boot.meta.iter().find(|(name, _)| name == "script").map(|(_, value)| value);
    match kept {
        Some(theirs) if *theirs != ours.display().to_string() => Err(RunError::OtherScript {
            agent: settings.agent.clone(),
            theirs: theirs.into(),
            ours: ours.clone(),
        }),
        Some(_) | None => Ok(()),
    }
}
