//! The loop: waits on all sources, hands what happened to the machine,
//! carries out what it says.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;

use super::child::{Child, End};
use super::control::{self, Bound, Control};
use super::environment::Template;
use super::sources;
use crate::clock;
use crate::output::Sink;
use crate::process::reap::{Ended, Reaper};
use crate::process::spawn::{Child as Spawned, Spawner};
use crate::process::terminal;
use crate::protocol::frame::{Framer, Item};
use crate::signals::{Signal, Signals};
use crate::store::open::Store;
use crate::store::writer::{Command, Report, Writer};
use crate::supervisor::io::{
    Boot, Effect, Exit, GroupSignal, Incarnation, Input, Level, Notice, Request, SpawnFailure,
    Verdict,
};
use crate::supervisor::machine::Machine;
use crate::systemd::Notifier;

/// Reads of the wire before other sources get their turn.
const READS_IN_A_ROW: usize = 4;
/// A watchdog is pinged so many times as often as it asks.
const WATCHDOG_SHARE: u32 = 2;
/// Turns of the loop that the last answers to operators get.
const LAST_TURNS: usize = 16;
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
    /// Starts them.
    pub spawner: Spawner,
    /// The operators' socket.
    pub control: Option<Bound>,
    /// The service manager.
    pub notifier: Notifier,
    /// adrt's stdout.
    pub stdout: Sink,
    /// adrt's stderr.
    pub stderr: Sink,
    /// What is started.
    pub command: Template,
    /// Longest line of the wire.
    pub max_frame: usize,
    /// Tell more.
    pub verbose: bool,
}

/// A spawn's outcome on its way from the spawning thread.
type SpawnReport = (Incarnation, String, Result<Spawned, SpawnFailure>);

/// The loop.
pub struct Driver {
    machine: Machine,
    boot: Boot,
    writer: Option<Writer>,
    reports: mpsc::UnboundedReceiver<Report>,
    signals: Signals,
    /// Readable when a signal has come.
    wake: Receiver,
    reaper: Reaper,
    spawner: Spawner,
    spawned: mpsc::UnboundedReceiver<SpawnReport>,
    spawn_sender: mpsc::UnboundedSender<SpawnReport>,
    control: Option<Control>,
    notifier: Notifier,
    stdout: Sink,
    stderr: Sink,
    command: Template,
    max_frame: usize,
    verbose: bool,
    child: Option<Child>,
    /// Ends of processes whose spawn has not been reported yet.
    early_ends: Vec<Ended>,
    verdict: Option<Verdict>,
    watchdog: Option<tokio::time::Interval>,
    /// adrt was started from a terminal, whose going away ends it.
    had_terminal: bool,
    /// Kept for its memory.
    effects: Vec<Effect>,
}

/// What woke the loop.
enum Event {
    Signals,
    Report(Report),
    Spawned(SpawnReport),
    Operator(control::Event),
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
        let writer = Writer::start(parts.store, move |r| {
            // The loop is gone only when nobody waits for reports any more.
            let _loop_is_gone = report.send(r);
        })?;
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
            spawner: parts.spawner,
            spawned,
            spawn_sender,
            control: parts.control.map(Control::serve).transpose()?,
            notifier: parts.notifier,
            stdout: parts.stdout,
            stderr: parts.stderr,
            command: parts.command,
            max_frame: parts.max_frame,
            verbose: parts.verbose,
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
        loop {
            self.take_lines();
            self.finish_draining();
            self.write_stdin();
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
        self.notifier.flush(NOTIFY_PATIENCE);
    }

    /// Waits for whatever comes first.
    async fn next_event(&mut self) -> Event {
        let timeout = self.machine.next_timeout().map(|at| at.since(clock::mono()));
        let wants_line = self.machine.wants_line();
        let waits_for_sink = wants_line && self.text_must_wait();
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
            () = sources::readable(wire) => Event::WireReadable,
            () = sources::writable(stdin) => Event::StdinWritable,
            open = sources::text(stderr) => Event::Stderr { open },
            open = sources::text(text) => Event::Text { open },
            () = self.stdout.room(), if waits_for_sink => Event::SinkHasRoom,
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
            Event::WireReadable => self.read_wire(),
            Event::Stderr { open: false } => self.with_child(|child| child.stderr = None),
            Event::Text { open: false } => self.with_child(|child| child.text = None),
            Event::Stderr { open: true } | Event::Text { open: true } => {}
            // The loop's next turn does what was waited for.
            Event::StdinWritable | Event::SinkHasRoom => {}
            Event::Timeout => self.handle(Input::Tick),
            Event::Watchdog => self.notifier.watchdog(),
        }
    }

    fn with_child(&mut self, change: impl FnOnce(&mut Child)) {
        if let Some(child) = &mut self.child {
            change(child);
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        let mut effects = std::mem::take(&mut self.effects);
        self.machine.handle(clock::now(), input, &mut effects);
        self.carry_out(&mut effects, &[]);
        self.effects = effects;
    }

    /// Carries out effects, in order. `line` is what [`Effect::PassLine`] means.
    fn carry_out(&mut self, effects: &mut Vec<Effect>, line: &[u8]) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Spawn { incarnation } => self.spawn(incarnation),
                Effect::OpenWire { .. } => self.with_child(|child| child.wire_open = true),
                Effect::PassLine => self.pass_on(line),
                Effect::Send { incarnation, bytes } => {
                    self.with_child(|child| {
                        if child.incarnation == incarnation {
                            child.stdin.send(bytes);
                        }
                    });
                }
                Effect::CloseStdin { .. } => self.with_child(|child| child.stdin.close()),
                Effect::Signal { incarnation, signal } => self.signal_child(incarnation, signal),
                Effect::Persist(unit) => self.command_store(Command::Persist(unit)),
                Effect::Resume { epoch, reread } => {
                    self.command_store(Command::Resume { epoch, reread });
                }
                Effect::Reply { conn, bytes } => {
                    if let Some(control) = &mut self.control {
                        control.answer(conn, bytes);
                    }
                }
                // Sent by the post office, which is to come.
                Effect::Post(_) => {}
                Effect::Notify(notice) => self.notify(&notice),
                Effect::Log { level, message, from_agent } => self.log(level, &message, from_agent),
                Effect::Exit(verdict) => self.verdict = Some(verdict),
            }
        }
    }

    fn command_store(&self, command: Command) {
        if let Some(writer) = &self.writer {
            writer.send(command);
        }
    }

    fn notify(&self, notice: &Notice) {
        match notice {
            Notice::Ready => self.notifier.ready(),
            Notice::Status(line) => self.notifier.status(line),
            Notice::Stopping => self.notifier.stopping(),
        }
    }

    fn log(&self, level: Level, message: &str, from_agent: bool) {
        if level == Level::Debug && !self.verbose {
            return;
        }
        let who = if from_agent { "agent" } else { "adrt" };
        self.stderr.line(&format!("{who}: {message}"));
    }

    /// Text that came over the wire.
    fn pass_on(&mut self, text: &[u8]) {
        self.put_out(text);
        self.with_child(|child| child.ring.push(text));
    }

    fn put_out(&self, text: &[u8]) {
        if !self.stdout.try_copy(text) {
            self.stdout.copy_left_over(text);
        }
    }

    /// What comes before `initialize` is all text and none of it may be lost,
    /// so a reader of ours that is slow holds it up.
    fn text_must_wait(&self) -> bool {
        let is_text = |child: &Child| matches!(child.end, End::None) && !child.wire_open;
        self.child.as_ref().is_some_and(is_text) && !self.stdout.has_room()
    }

    // ------------------------------------------------------------ the store

    fn reported(&mut self, report: Report) {
        match report {
            Report::Committed(committed) => self.handle(Input::Committed(committed)),
            Report::Failed(failure) => self.handle(Input::StoreFailed(failure)),
            Report::Restored(restored) => self.handle(Input::Restored(restored)),
            Report::RestoreFailed(failure) => self.handle(Input::RestoreFailed(failure)),
        }
    }

    // -------------------------------------------------------------- signals

    fn signalled(&mut self) {
        // Down to the end, or the loop would not be woken again; what is left
        // to be told is in the counters behind the pipe.
        while matches!(self.wake.try_read(&mut [0; 64]), Ok(1..)) {}
        let signals: Vec<Signal> = self.signals.pending().collect();
        for signal in signals {
            match signal {
                Signal::Terminate | Signal::Interrupt | Signal::Quit => {
                    self.handle(Input::Signal(Request::Stop));
                }
                Signal::HangUp if self.had_terminal => self.handle(Input::Signal(Request::Stop)),
                Signal::HangUp => self.handle(Input::Signal(Request::Reload)),
                Signal::User1 => self.handle(Input::Signal(Request::Checkpoint)),
                Signal::Child => {
                    for ended in self.reaper.reap() {
                        self.ended(ended);
                    }
                }
            }
        }
    }

    // ------------------------------------------------------------ the child

    fn spawn(&mut self, incarnation: Incarnation) {
        let token = match new_token() {
            Ok(token) => token,
            Err(error) => {
                let failure = SpawnFailure::System(format!("no random numbers: {error}"));
                let _loop_is_here =
                    self.spawn_sender.send((incarnation, String::new(), Err(failure)));
                return;
            }
        };
        let command = self.command.command(incarnation, &token);
        let report = self.spawn_sender.clone();
        self.spawner.spawn(command, move |outcome| {
            let _loop_is_gone = report.send((incarnation, token, outcome));
        });
    }

    fn spawn_reported(
        &mut self,
        incarnation: Incarnation,
        token: String,
        outcome: Result<Spawned, SpawnFailure>,
    ) {
        let made = outcome.and_then(|spawned| {
            let process = spawned.process.clone();
            let child =
                Child::new(incarnation, spawned, self.max_frame, &self.stdout, &self.stderr);
            child.map(|child| (process, child)).map_err(|e| SpawnFailure::System(e.to_string()))
        });
        match made {
            Err(failure) => self.handle(Input::SpawnFailed { incarnation, failure }),
            Ok((process, child)) => {
                let pid = child.pid;
                self.child = Some(child);
                self.handle(Input::Spawned { incarnation, process, token });
                if let Some(place) = self.early_ends.iter().position(|e| e.pid == pid) {
                    let ended = self.early_ends.swap_remove(place);
                    self.ended(ended);
                }
            }
        }
    }

    fn signal_child(&mut self, incarnation: Incarnation, signal: GroupSignal) {
        if let Some(child) = self.child.as_ref().filter(|c| c.incarnation == incarnation) {
            // It may have ended this moment; then wait's report is on its way.
            let _ended = self.reaper.kill_group(child.pid, signal);
        }
    }

    fn ended(&mut self, ended: Ended) {
        let Some(child) = self.child.as_mut().filter(|child| child.pid == ended.pid) else {
            self.early_ends.push(ended);
            return;
        };
        child.ended();
        let incarnation = child.incarnation;
        if child.has_terminal {
            terminal::give_back_terminal();
            // Ctrl-C reached the agent's group alone; it was meant for the run.
            if matches!(ended.exit, Exit::Signal { signal: nix::libc::SIGINT, .. }) {
                self.handle(Input::Signal(Request::Stop));
            }
        }
        self.handle(Input::Exited { incarnation, exit: ended.exit, oom: false });
    }

    fn read_wire(&mut self) {
        for _ in 0..READS_IN_A_ROW {
            let Some(child) = &mut self.child else { return };
            if !child.read_wire() {
                return;
            }
            self.take_lines();
            if !self.machine.wants_line() || self.text_must_wait() {
                return;
            }
        }
    }

    /// Hands over the lines that are here, as long as the machine takes them.
    fn take_lines(&mut self) {
        let Some(child) = self.child.as_mut().filter(|child| child.pending) else { return };
        let incarnation = child.incarnation;
        let mut framer = std::mem::replace(&mut child.framer, Framer::new(0));
        let mut effects = std::mem::take(&mut self.effects);
        let now = clock::now();
        let mut pending = true;
        while self.machine.wants_line() && !self.text_must_wait() {
            match framer.next() {
                None => {
                    pending = false;
                    break;
                }
                Some(Item::Text(text)) => self.pass_on(text),
                Some(Item::Line { line, whole }) => {
                    self.machine.handle(now, Input::Line { incarnation, line }, &mut effects);
                    self.carry_out(&mut effects, whole);
                }
                Some(Item::Overlong) => {
                    self.machine.handle(now, Input::Overlong { incarnation }, &mut effects);
                    self.carry_out(&mut effects, &[]);
                }
            }
            if self.child.as_ref().is_some_and(|child| child.wire_open) {
                framer.open_wire();
            }
        }
        self.effects = effects;
        self.with_child(|child| {
            child.framer = framer;
            child.pending = pending;
        });
    }

    /// After its end: reads what is left, then reports that this was all.
    fn finish_draining(&mut self) {
        loop {
            let Some(child) = &mut self.child else { return };
            if matches!(child.end, End::None) {
                return;
            }
            if child.pending {
                // The machine takes no lines now; it goes on after a commit.
                return;
            }
            if !child.read_wire() {
                break;
            }
            self.take_lines();
        }
        let Some(mut child) = self.child.take() else { return };
        while let Some(item) = child.framer.finish() {
            // Bytes after the last newline were never sent.
            if let Item::Text(rest) = item {
                self.put_out(rest);
                child.ring.push(rest);
            }
        }
        let (incarnation, output) = (child.incarnation, child.ring.take());
        self.handle(Input::Drained { incarnation, output });
    }

    fn write_stdin(&mut self) {
        let Some(child) = self.child.as_mut().filter(|child| child.stdin.has_output()) else {
            return;
        };
        let incarnation = child.incarnation;
        match child.stdin.write_some() {
            Ok(0) => {}
            Ok(bytes) => self.handle(Input::Sent { incarnation, bytes }),
            Err(_) => self.handle(Input::SendFailed { incarnation }),
        }
    }
}

/// What `initialize` must show: 128 bits that nobody can guess.
fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
