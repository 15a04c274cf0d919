//! The loop: waits on all sources and hands what happened to the machine. What
//! the machine says then is carried out in `effects`; what happens to
//! processes and their pipes is in `life` and `wire`.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;

use super::child::{Child, End};
use super::control::{self, Bound, Control};
use super::environment::Template;
use super::manager::Manager;
use super::post::{self, PostOffice};
use super::relay::Client;
use super::rules::{self, Rereader};
use super::sources;
use crate::clock;
use crate::feed::Feed;
use crate::output::Sink;
use crate::process::reap::{Ended, Reaper};
use crate::process::spawn::{Child as Spawned, Spawner};
use crate::sensors::Sensors;
use crate::settings::RulesFile;
use crate::signals::Signals;
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
    /// The operators' socket.
    pub control: Option<Bound>,
    /// The service manager.
    pub notifier: Notifier,
    /// Where the agent's text goes: adrt's stdout, or its stderr where stdout
    /// is the wire.
    pub text: Sink,
    /// adrt's stderr.
    pub stderr: Sink,
    /// Lines of `--events`.
    pub feed: Option<Feed>,
    /// The machine's sensors.
    pub sensors: Option<Sensors>,
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
    pub(super) spawned: mpsc::UnboundedReceiver<SpawnReport>,
    pub(super) spawn_sender: mpsc::UnboundedSender<SpawnReport>,
    pub(super) control: Option<Control>,
    pub(super) manager: Manager,
    pub(super) text: Sink,
    pub(super) stderr: Sink,
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
    /// Ends of processes whose spawn has not been reported yet.
    pub(super) early_ends: Vec<Ended>,
    pub(super) verdict: Option<Verdict>,
    pub(super) watchdog: Option<tokio::time::Interval>,
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
    Reread(rules::Report),
    WireReadable,
    StdinWritable,
    Stderr { open: bool },
    Text { open: bool },
    SinkHasRoom,
    Timeout,
    Watchdog,
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
        let watchdog = parts
            .notifier
            .watchdog_interval()
            .map(|every| tokio::time::interval(every / WATCHDOG_SHARE));
        Ok(Self {
            machine: parts.machine,
            boot: parts.boot,
            writer: Some(writer),
            reports,
            wake: Receiver::from_owned_fd(parts.signals.as_fd().try_clone_to_owned()?)?,
            signals: parts.signals,
            reaper: parts.reaper,
            agent: parts.agent,
            spawned,
            spawn_sender,
            control: parts.control.map(Control::serve).transpose()?,
            manager: Manager::new(parts.notifier),
            text: parts.text,
            stderr: parts.stderr,
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
            had_terminal: io::stdin().is_terminal() || io::stderr().is_terminal(),
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
            if let Some(verdict) = self.verdict.take() {
                return verdict;
            }
            let event = self.next_event().await;
            self.happened(event);
        }
    }

    /// After the end: closes the store cleanly, removes the socket.
    pub async fn finish(mut self) {
        for _ in 0..LAST_TURNS {
            tokio::task::yield_now().await;
        }
        if let Some(Err(failure)) = self.writer.take().map(Writer::stop) {
            // All that was acknowledged is in the log, and read at the next start.
            self.stderr
                .line(&format!("adrt: the database was not closed cleanly: {}", failure.message));
        }
        if let Some(control) = &self.control {
            control.remove();
        }
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
            Some(report) = self.reread.recv() => Event::Reread(report),
            () = sources::readable(wire) => Event::WireReadable,
            () = sources::writable(stdin) => Event::StdinWritable,
            open = sources::text(stderr) => Event::Stderr { open },
            open = sources::text(text) => Event::Text { open },
            () = self.text.room(), if waits_for_sink => Event::SinkHasRoom,
            () = sources::after(timeout) => Event::Timeout,
            () = sources::tick(self.watchdog.as_mut()) => Event::Watchdog,
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
            Event::Reread(report) => self.reread(report),
            Event::WireReadable => self.read_wire(),
            Event::Stderr { open: false } => self.with_child(|child| child.stderr = None),
            Event::Text { open: false } => self.with_child(|child| child.text = None),
            Event::Stderr { open: true } | Event::Text { open: true } => {}
            // The loop's next turn does what was waited for.
            Event::StdinWritable | Event::SinkHasRoom => {}
            Event::Timeout => self.handle(Input::Tick),
            Event::Watchdog => self.manager.watchdog(),
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

    fn reported(&mut self, report: Report) {
        match report {
            Report::Committed(committed) => self.handle(Input::Committed(committed)),
            Report::Failed(failure) => self.handle(Input::StoreFailed(failure)),
            Report::Restored(restored) => self.handle(Input::Restored(restored)),
            Report::RestoreFailed(failure) => self.handle(Input::RestoreFailed(failure)),
        }
    }
}
