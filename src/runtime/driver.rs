//! The loop: waits on all sources and hands what happened to the machine. What
//! the machine says then is carried out in `effects`; what happens to
//! processes and their pipes is in `life` and `wire`.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::alerts::{self, Alerts};
use super::child::{Child, End};
use super::control::{self, Bound, Control};
use super::environment::Template;
use super::manager::Manager;
use super::metrics::MetricsFile;
use super::post::{self, PostOffice};
use super::relay::Client;
use super::rules::{self, Rereader};
use super::sources;
use super::told::tell;
use crate::clock;
use crate::feed::Feed;
use crate::output::{Log, Sink};
use crate::process::cgroup::Watch;
use crate::process::reap::{Ended, Reaper};
use crate::process::spawn::{Child as Spawned, Spawner};
use crate::process::terminal;
use crate::sensors::Sensors;
use crate::settings::RulesFile;
use crate::signals::Signals;
use crate::store::home::Home;
use crate::store::open::Store;
use crate::store::writer::{Report, Writer};
use crate::supervisor::io::{
    Boot, Effect, Incarnation, Input, Level, Sample, SourceBatch, SpawnFailure, Verdict,
};
use crate::supervisor::machine::Machine;
use crate::systemd::Notifier;

/// A watchdog is pinged so many times as often as it asks.
const WATCHDOG_SHARE: u32 = 2;
/// Turns of the loop that the last answers to operators get.
const LAST_TURNS: usize = 16;
/// How long the first look at the sensors is waited for, once the agent is on
/// its way: it began before that, and takes microseconds.
const FIRST_LOOK_PATIENCE: Duration = Duration::from_millis(1);
/// How long the last words to the service manager may take.
const NOTIFY_PATIENCE: Duration = Duration::from_millis(500);

/// How often the kernel's count of processes killed for memory is looked at
/// while the agent lives. It is the span that tells the death of one of its
/// processes from its own.
const MEMORY_EVERY: Duration = Duration::from_secs(5);

/// All the loop is made of.
pub struct Parts {
    /// Decides.
    pub machine: Machine,
    /// What the store found.
    pub boot: Boot,
    /// The open store.
    pub store: Store,
    /// Signals to adrt.
    pub signals: Signals,
    /// Waits for children.
    pub reaper: Reaper,
    /// What a start begins.
    pub agent: Agent,
    /// Those of the agent that are killed for memory.
    pub memory: Watch,
    /// The operators' socket.
    pub control: Option<Bound>,
    /// Tells a person.
    pub alerts: Alerts,
    /// The service manager.
    pub notifier: Notifier,
    /// Where the agent's text goes: adrt's stdout, or its stderr where stdout
    /// is the wire.
    pub text: Sink,
    /// adrt's stderr.
    pub stderr: Sink,
    /// What `adrt logs` reads.
    pub log: Log,
    /// Lines of `--events`.
    pub feed: Option<Feed>,
    /// The machine's sensors.
    pub sensors: Option<Sensors>,
    /// Where metrics are kept, and of whom.
    pub metrics: Option<(PathBuf, Home)>,
    /// Where rules are.
    pub rules: Option<RulesFile>,
    /// Where other agents are.
    pub state_dir: PathBuf,
    /// The budget of a database.
    pub max_db: u64,
    /// Longest line of the wire.
    pub max_frame: usize,
    /// The least that is told on stderr.
    pub told_from: Level,
}

/// What [`Effect::Spawn`] begins.
pub enum Agent {
    /// A process of this command.
    Command {
        /// Starts it.
        spawner: Spawner,
        /// What is started; put together by the spawning thread.
        command: Arc<Template>,
    },
    /// The wire with a client that is there already; away once it has begun.
    Attached {
        /// Its wire.
        client: Option<Client>,
        /// What it must show.
        token: String,
    },
}

/// What has begun.
pub(super) enum Begun {
    /// A process.
    Spawned(Spawned),
    /// The wire with a client.
    Attached(Client),
}

/// How a start went, perhaps on its way from the spawning thread.
type SpawnReport = (Incarnation, String, Result<Begun, SpawnFailure>);

/// The loop.
pub struct Driver {
    pub(super) machine: Machine,
    pub(super) boot: Boot,
    pub(super) writer: Option<Writer>,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
    pub(super) signals: Signals,
    /// Readable when a signal has come.
    pub(super) wake: Receiver,
    pub(super) reaper: Reaper,
    pub(super) agent: Agent,
    pub(super) memory: Watch,
    pub(super) memory_look: Option<Interval>,
    pub(super) spawned: mpsc::UnboundedReceiver<SpawnReport>,
    pub(super) spawn_sender: mpsc::UnboundedSender<SpawnReport>,
    pub(super) control: Option<Control>,
    pub(super) manager: Manager,
    pub(super) alerts: Alerts,
    pub(super) metrics: Option<MetricsFile>,
    pub(super) text: Sink,
    pub(super) stderr: Sink,
    pub(super) log: Log,
    pub(super) feed: Option<Feed>,
    pub(super) sensors: Option<Sensors>,
    pub(super) post_office: PostOffice,
    pub(super) posted: mpsc::UnboundedReceiver<post::Report>,
    pub(super) rules_file: Option<RulesFile>,
    pub(super) rereader: Rereader,
    pub(super) reread: mpsc::UnboundedReceiver<rules::Report>,
    pub(super) max_frame: usize,
    pub(super) told_from: Level,
    pub(super) child: Option<Child>,
    /// Ends of processes whose spawn has not been reported yet, since the last
    /// one began.
    pub(super) early_ends: Vec<Ended>,
    pub(super) verdict: Option<Verdict>,
    pub(super) watchdog: Option<Interval>,
    /// adrt was started from a terminal, whose going away ends it.
    pub(super) had_terminal: bool,
    /// Kept for its memory.
    pub(super) effects: Vec<Effect>,
}

/// What woke the loop.
enum Event {
    Signals,
    Report(Report),
    Spawned(SpawnReport),
    Operator(control::Event),
    Lines(SourceBatch),
    Sample(Sample),
    Posted(post::Report),
    Alert(alerts::Event),
    MetricsDue,
    Reread(rules::Report),
    WireReadable,
    StdinWritable,
    Stderr { open: bool },
    Text { open: bool },
    SinkHasRoom,
    Timeout,
    Watchdog,
    MemoryLook,
}

impl Driver {
    /// Sets the loop up, and the store's thread; to be called on the loop.
    ///
    /// # Errors
    /// The system has no thread or descriptor to give.
    pub fn new(parts: Parts) -> io::Result<Self> {
        let (report, reports) = mpsc::unbounded_channel();
        let (spawn_sender, spawned) = mpsc::unbounded_channel();
        let (posted_sender, posted) = mpsc::unbounded_channel();
        let writer = Writer::start(parts.store, move |r| {
            // The loop is gone only when nobody waits for reports any more.
            let _loop_is_gone = report.send(r);
        })?;
        let (reread_sender, reread) = mpsc::unbounded_channel();
        let watchdog =
            parts.notifier.watchdog_interval().map(|every| interval(every / WATCHDOG_SHARE));
        let stderr = parts.stderr.clone();
        let metrics = parts.metrics.map(|(path, home)| MetricsFile::start(path, home, stderr));
        Ok(Self {
            machine: parts.machine,
            boot: parts.boot,
            writer: Some(writer),
            reports,
            wake: Receiver::from_owned_fd(parts.signals.as_fd().try_clone_to_owned()?)?,
            signals: parts.signals,
            reaper: parts.reaper,
            agent: parts.agent,
            memory_look: parts.memory.is_useful().then(|| interval(MEMORY_EVERY)),
            memory: parts.memory,
            spawned,
            spawn_sender,
            control: parts.control.map(Control::serve).transpose()?,
            manager: Manager::new(parts.notifier),
            alerts: parts.alerts,
            metrics: metrics.transpose()?,
            text: parts.text,
            stderr: parts.stderr,
            log: parts.log,
            feed: parts.feed,
            sensors: parts.sensors,
            post_office: PostOffice::new(parts.state_dir, parts.max_db, posted_sender),
            posted,
            rules_file: parts.rules.clone(),
            rereader: Rereader::new(parts.rules, reread_sender),
            reread,
            max_frame: parts.max_frame,
            told_from: parts.told_from,
            child: None,
            early_ends: Vec::new(),
            verdict: None,
            watchdog,
            had_terminal: terminal::has_terminal(),
            effects: Vec::new(),
        })
    }

    /// Runs until the machine says that the run is over.
    pub async fn run(&mut self) -> Verdict {
        let mut effects = Vec::new();
        self.machine.start(clock::now(), &self.boot, &mut effects);
        self.carry_out(&mut effects, &[]);
        let first = self.sensors.as_ref().and_then(|s| s.first(FIRST_LOOK_PATIENCE));
        if let Some(sample) = first {
            self.handle(Input::Sample(sample));
        }
        loop {
            self.take_lines();
            self.write_stdin();
            // After what may let go of a client: its end is nobody else's to report.
            self.report_eof();
            self.finish_draining();
            self.note_phase();
            self.tell_of_output();
            if let Some(verdict) = self.verdict.take() {
                return verdict;
            }
            self.flush_log();
            let event = self.next_event().await;
            self.happened(event);
        }
    }

    /// After the end: closes the store cleanly, removes the socket, and lets
    /// the last alerts get out.
    pub async fn finish(mut self, verdict: &Verdict) {
        for _ in 0..LAST_TURNS {
            tokio::task::yield_now().await;
        }
        if let Some(Err(failure)) = self.writer.take().map(Writer::stop) {
            // All that was acknowledged is in the log, and read at the next start.
            let what = "the database was not closed cleanly";
            tell(&self.stderr, Level::Warning, format!("{what}: {}", failure.message));
        }
        if let Some(control) = &self.control {
            control.remove();
        }
        if let Some(metrics) = &self.metrics {
            metrics.close(self.machine.status());
        }
        self.last_alerts(verdict.outcome).await;
        // An agent's end that came while a command was being started.
        self.reaper.reap();
        self.flush_log();
        self.manager.flush(NOTIFY_PATIENCE);
    }

    /// Waits for whatever comes first.
    async fn next_event(&mut self) -> Event {
        let timeout = self.machine.next_timeout().map(|at| at.since(clock::mono()));
        let wants_line = self.machine.wants_line();
        let waits_for_sink = wants_line && self.text_must_wait();
        let feed = self.feed.as_mut().filter(|_| self.machine.wants_source());
        let (mut wire, mut stdin, mut stderr, mut text) = (None, None, None, None);
        if let Some(child) = self.child.as_mut().filter(|c| matches!(c.end, End::None)) {
            wire = child.wire.as_ref().filter(|_| wants_line && !waits_for_sink);
            stdin = Some(&child.stdin);
            stderr = child.stderr.as_mut();
            text = child.text.as_mut();
        }
        tokio::select! {
            _ = self.wake.readable() => Event::Signals,
            Some(report) = self.reports.recv() => Event::Report(report),
            Some(report) = self.spawned.recv() => Event::Spawned(report),
            event = sources::operator(self.control.as_mut()) => Event::Operator(event),
            batch = sources::lines(feed) => Event::Lines(batch),
            sample = sources::sample(self.sensors.as_ref()) => Event::Sample(sample),
            Some(report) = self.posted.recv() => Event::Posted(report),
            event = self.alerts.next() => Event::Alert(event),
            () = sources::metrics(self.metrics.as_mut()) => Event::MetricsDue,
            Some(report) = self.reread.recv() => Event::Reread(report),
            () = sources::readable(wire) => Event::WireReadable,
            () = sources::writable(stdin) => Event::StdinWritable,
            open = sources::text(stderr) => Event::Stderr { open },
            open = sources::text(text) => Event::Text { open },
            () = self.text.room(), if waits_for_sink => Event::SinkHasRoom,
            () = sources::after(timeout) => Event::Timeout,
            () = sources::tick(self.watchdog.as_mut()) => Event::Watchdog,
            () = sources::tick(self.memory_look.as_mut()) => Event::MemoryLook,
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Signals => self.signalled(),
            Event::Report(report) => self.reported(report),
            Event::Spawned((incarnation, token, outcome)) => {
                self.spawn_reported(incarnation, token, outcome);
            }
            Event::Operator(control::Event::Request { conn, uid, line }) => {
                self.handle(Input::Operator { conn, uid, line: &line });
            }
            Event::Operator(control::Event::Gone { conn }) => {
                self.handle(Input::OperatorGone { conn });
            }
            Event::Lines(batch) => self.handle(Input::Source(batch)),
            Event::Sample(sample) => self.handle(Input::Sample(sample)),
            Event::Posted((id, outcome)) => self.handle(Input::Posted { id, outcome }),
            Event::Alert(event) => self.alert_happened(event),
            Event::MetricsDue => self.put_metrics(),
            Event::Reread(report) => self.reread(report),
            Event::WireReadable => self.read_wire(),
            Event::Stderr { open: false } => self.with_child(|child| child.stderr = None),
            Event::Text { open: false } => self.with_child(|child| child.text = None),
            Event::Stderr { open: true } | Event::Text { open: true } => self.text_came(),
            // The loop's next turn does what was waited for.
            Event::StdinWritable | Event::SinkHasRoom => {}
            Event::Timeout => self.handle(Input::Tick),
            // Without its store adrt answers nobody: better to be started anew.
            Event::Watchdog if self.writer.as_ref().is_none_or(Writer::is_alive) => {
                self.manager.watchdog();
            }
            Event::Watchdog => {}
            Event::MemoryLook => self.look_at_memory(),
        }
    }

    pub(super) fn with_child(&mut self, change: impl FnOnce(&mut Child)) {
        if let Some(child) = &mut self.child {
            change(child);
        }
    }

    pub(super) fn handle(&mut self, input: Input<'_>) {
        let mut effects = std::mem::take(&mut self.effects);
        self.machine.handle(clock::now(), input, &mut effects);
        self.carry_out(&mut effects, &[]);
        self.effects = effects;
    }

    /// A change of phase is told at once.
    fn note_phase(&mut self) {
        let phase = self.machine.phase_name();
        if self.metrics.as_mut().is_some_and(|metrics| metrics.entered(phase)) {
            self.put_metrics();
        }
    }

    fn put_metrics(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.put(self.machine.status());
        }
    }

    fn reported(&mut self, report: Report) {
        match report {
            Report::Committed(committed) => self.handle(Input::Committed(committed)),
            Report::Failed(failure) => self.handle(Input::StoreFailed(failure)),
            Report::Restored(restored) => self.handle(Input::Restored(restored)),
            Report::RestoreFailed(failure) => self.handle(Input::RestoreFailed(failure)),
        }
    }
}

/// After the machine was suspended it ticks once, not once for each span.
fn interval(every: Duration) -> Interval {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
