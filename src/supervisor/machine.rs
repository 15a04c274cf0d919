//! The machine: one run of adrt over one agent.
//!
//! ```text
//!              ┌────────────────────── start again ───────────────────┐
//!              ▼                                                      │
//!  Waiting ► Starting ──spawned──► Running ──exited──► Draining ──► Settling
//!     ▲        │ failed                                               │
//!     │        └──────────────────────────────────────────────────────┤
//!     └───────────────── start again, later ──────────────────────────┤
//!                                                                     │
//!                               Over ◄──all written── Closing ◄──end──┘
//! ```
//!
//! - *Starting* and *Draining* wait for an input the loop owes; *Running*
//!   waits for the agent, and with a deadline once it was asked to leave;
//!   *Waiting* and *Closing* have a deadline; *Settling* waits for the state
//!   to be restored, or for a request to stop. Nothing waits for ever.
//! - There is at most one live incarnation: *Starting* is only entered with
//!   none alive, and *Running* is left only by the report of wait.
//! - The state is restored while the first process starts, so every phase can
//!   come before the book is there: requests then wait in the queue.
//!
//! An attached client ([`super::attached`]) goes through the same phases once:
//! its *Running* ends when adrt lets go of it, and no start follows.
//!
//! *Detached* stands beside all this: the machine without an agent, with
//! which the command line applies an operator's request under the lock when
//! no `adrt run` holds it. It is the same transition function.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::age::AgeBase;
use super::alerts::Alarms;
use super::announce::Announced;
use super::apply::Judgement;
use super::book::Book;
use super::cause::StartCause;
use super::counters::{Counters, Tally};
use super::desk::Desk;
use super::io::{
    Boot, CheckpointReason, Effect, Exit, GroupSignal, Incarnation, Input, Level, Occasion, Oom,
    ProcessIdentity, Request as SignalRequest, Seq, Unit, UnitId, Verdict,
};
use super::leaving::{Leaving, Stopping};
use super::lifecycle::Settled;
use super::outbox::Outbox;
use super::pulse::Pulse;
use super::queue::{Flight, Origin, Own, Queue, Work};
use super::reload::Reloads;
use super::restart::Restarts;
pub use super::setup::{
    EVENT_MAX_AGE_DEFAULT, EventPolicy, INFLIGHT_BYTES_MAX, MAX_ATTEMPTS_DEFAULT,
    MAX_FRAME_DEFAULT, MAX_INFLIGHT_DEFAULT, MAX_STATE_DEFAULT, NACK_MAX_DEFAULT, OnCrashLoop,
    READY_TIMEOUT_DEFAULT, STOP_TIMEOUT_DEFAULT, Setup,
};
use super::surroundings::Surroundings;
use super::trouble::Trouble;
use super::way_back::WayBack;
use crate::clock::{Age, Mono, Now, Wall, span};
use crate::engines::state::Limits;
use crate::protocol::work::Subscription;

/// Sets the numbers for names apart from those for the jitter.
const NAMES_SEED: u64 = 0x6e61_6d65_735f_6f66;

/// Where the run is. See the module's diagram.
#[derive(Debug)]
pub(super) enum Phase {
    /// A delay before the next start.
    Waiting(Delay),
    /// A spawn is under way.
    Starting,
    /// A process is there: [`Machine::live`].
    Running,
    /// It has ended; what it wrote is still coming in.
    Draining { exit: Exit, oom: Option<Oom> },
    /// All of it is here, but not yet the state to record it with.
    Settling(Box<Settled>),
    /// No further start; the last writes are under way.
    Closing { verdict: Verdict, deadline: Mono },
    /// [`Effect::Exit`] is out.
    Over,
    /// No agent, ever.
    Detached,
}

/// A delay before a start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delay {
    pub until: Mono,
    /// When the time left is next written down.
    pub note_at: Mono,
    pub step: Duration,
}

/// A live process.
#[derive(Debug)]
pub(super) struct Live {
    pub incarnation: Incarnation,
    pub process: ProcessIdentity,
    pub token: String,
    pub started: Mono,
    /// How long there had been none before it.
    pub downtime: Duration,
    pub wire: Wire,
    /// `initialize` has been answered with the state.
    pub greeted: bool,
    pub outbox: Outbox,
    /// It is being made to end.
    pub leaving: Option<Leaving>,
    /// It said `run.finish`.
    pub finished: bool,
    /// An attached client has closed its side of the wire: until when the last
    /// answers may take to leave.
    pub eof: Option<Mono>,
    /// What it last said of itself.
    pub said: Option<String>,
    /// What events it wants.
    pub subscription: Option<Subscription>,
    /// The same, as far as it has been answered.
    pub subscribed: Option<Subscription>,
    /// Until when it may hold an event, under `--event-timeout`.
    pub leases: BTreeMap<Seq, Mono>,
    /// Its last sign of life, for `--hang-timeout`.
    pub pulse: Pulse,
    /// How it hung, if it did.
    pub hung: Option<String>,
    /// A checkpoint after so many acked events, if `run` was not told otherwise.
    pub checkpoint_every: Option<u64>,
}

/// The agent's side of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// No valid `initialize` yet.
    Closed,
    /// Frames count.
    Open,
    /// Frames with the tag count.
    Tagged,
}

/// See the module's text.
#[derive(Debug)]
pub struct Machine {
    pub(super) setup: Setup,
    /// From the setup, shared with what is under way.
    pub(super) agent: Arc<str>,
    pub(super) time_zone: Arc<str>,
    pub(super) rng: fastrand::Rng,
    /// For names that must be new.
    pub(super) names: fastrand::Rng,
    pub(super) age_base: Option<AgeBase>,
    pub(super) desk: Desk,
    /// What decisions go by.
    pub(super) judgement: Judgement,
    pub(super) reloads: Reloads,
    pub(super) environment: Surroundings,
    pub(super) now: Now,
    pub(super) phase: Phase,
    pub(super) phase_since: Wall,
    pub(super) live: Option<Live>,
    /// The last one started.
    pub(super) incarnation: Incarnation,
    pub(super) restarts: Restarts,
    /// Why the next, or the present, incarnation starts.
    pub(super) cause: StartCause,
    /// Starts of this run.
    pub(super) starts: u64,
    /// None until it is restored.
    pub(super) book: Option<Book>,
    pub(super) queue: Queue,
    pub(super) epoch: u32,
    pub(super) next_unit: u64,
    pub(super) trouble: Option<Trouble>,
    /// What a person has been told to look at.
    pub(super) alarms: Alarms,
    pub(super) counters: Counters,
    /// When the store was last asked to make room under the budget.
    pub(super) room_made_at: Option<Mono>,
    pub(super) stopping: Option<Stopping>,
    /// Restores that wait for the agent to be gone.
    pub(super) after_leaving: Vec<(Origin, Work)>,
    /// A restart was asked for when the agent had just ended.
    pub(super) restart_asked: bool,
    /// Who asked for the restart or restore that is under way, in words.
    pub(super) asked_by: Option<String>,
    /// The checkpoint before another release.
    pub(super) way_back: WayBack,
    /// The store is gone for good: why.
    pub(super) store_dead: Option<String>,
    /// READY=1 is out, or the point in time at which it goes out anyway.
    pub(super) ready: Readiness,
    /// What the service manager shows.
    pub(super) announced: Announced,
    pub(super) out: Vec<Effect>,
}

/// What the service manager has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Nothing yet; at this point it will be, whatever the agent says.
    Pending(Option<Mono>),
    /// Nothing until the agent says so; then more time is asked for.
    AgentsWord(Mono),
    /// READY=1.
    Told,
}

impl Machine {
    /// A run over an agent. [`Machine::start`] begins it.
    pub fn new(setup: Setup, boot: &Boot, now: Now) -> Self {
        let mut restarts = Restarts::new(setup.policy.clone(), boot.restart);
        if setup.by_hand || setup.attached {
            restarts.set_delay_left(None);
        }
        Self {
            agent: setup.agent.as_str().into(),
            time_zone: setup.time_zone.as_str().into(),
            rng: fastrand::Rng::with_seed(setup.seed),
            names: fastrand::Rng::with_seed(setup.seed ^ NAMES_SEED),
            age_base: None,
            desk: Desk::default(),
            judgement: Judgement::new(setup.decisions.clone()),
            reloads: Reloads::default(),
            environment: Surroundings::default(),
            way_back: WayBack::new(setup.release.as_deref(), boot),
            setup,
            now,
            phase: Phase::Starting,
            phase_since: now.wall,
            live: None,
            incarnation: boot.last_incarnation,
            restarts,
            cause: StartCause::of_boot(boot),
            starts: 0,
            book: None,
            queue: Queue::default(),
            epoch: 0,
            next_unit: 0,
            trouble: None,
            alarms: Alarms::default(),
            counters: Counters::new(now.mono),
            room_made_at: None,
            stopping: None,
            after_leaving: Vec::new(),
            restart_asked: false,
            asked_by: None,
            store_dead: None,
            ready: Readiness::Pending(None),
            announced: Announced::default(),
            out: Vec::new(),
        }
    }

    /// The machine without an agent, for one request of an operator.
    pub fn detached(setup: Setup, boot: &Boot, now: Now) -> Self {
        Self { phase: Phase::Detached, ..Self::new(setup, boot, now) }
    }

    /// Begins the run: the first start, now or after what is left of a delay.
    pub fn start(&mut self, now: Now, boot: &Boot, effects: &mut Vec<Effect>) {
        self.enter(now, effects);
        self.wait_for_agents_word();
        if let Some(process) = &boot.orphan {
            self.record_lost(boot.last_incarnation, process);
        }
        if let Some(label) = self.way_back.label() {
            let message = format!("another release: checkpoint {label:?} is taken first");
            self.log(Level::Info, message);
        }
        if let Some(script) = self.setup.script.clone() {
            self.write_own(Own::Meta { name: "script", value: script });
        }
        match self.restarts.memory().delay_left {
            Some(left) if !left.is_zero() => {
                self.log(Level::Info, format!("waiting out {} left of a delay", span(left)));
                self.wait(left);
            }
            Some(_) | None => self.spawn(),
        }
        self.leave(effects);
    }

    /// One transition. Effects are appended in the order they are to be carried out.
    pub fn handle(&mut self, now: Now, input: Input<'_>, effects: &mut Vec<Effect>) {
        let before = self.now;
        self.enter(now, effects);
        self.note_clock(before);
        if let Input::StoodStill { span } = input {
            self.stood_still(span);
        }
        self.excuse_silence();
        match input {
            Input::Restored(restored) => self.restored(*restored),
            Input::RestoreFailed(failure) => self.restore_failed(&failure),
            Input::Spawned { incarnation, process, token } => {
                self.spawned(incarnation, process, token);
            }
            Input::SpawnFailed { incarnation, failure } => self.spawn_failed(incarnation, failure),
            Input::Line { incarnation, line } => self.line(incarnation, line),
            Input::Overlong { incarnation } => self.overlong(incarnation),
            Input::Sent { incarnation, bytes } => self.sent(incarnation, bytes),
            Input::SendFailed { incarnation } => self.send_failed(incarnation),
            Input::Exited { incarnation, exit, oom } => self.exited(incarnation, exit, oom),
            Input::KilledForMemory { incarnation, oom } => self.lost_to_memory(incarnation, oom),
            Input::Eof { incarnation } => self.eof(incarnation),
            Input::Drained { incarnation, output } => self.drained(incarnation, output),
            Input::Committed(committed) => self.committed(committed),
            Input::StoreFailed(failure) => self.store_failed(failure),
            Input::Operator { conn, uid, line } => self.operator(conn, uid, line),
            Input::OperatorGone { conn } => self.operator_gone(conn),
            Input::Source(batch) => self.source(batch),
            Input::Posted { id, outcome } => self.posted(id, outcome),
            Input::Policy(policy) => self.judge_by(policy),
            Input::PolicyRefused(trouble) => self.policy_refused(trouble),
            Input::Sample(sample) => self.sampled(&sample),
            Input::Output { incarnation, wrote, held_up } => {
                self.output(incarnation, wrote, held_up);
            }
            Input::Signal { request, who } => self.signalled(request, who),
            Input::StoodStill { .. } | Input::Tick => {}
        }
        self.advance();
        self.leave(effects);
    }

    /// When [`Input::Tick`] is due at the latest. It lies ahead, or a tick
    /// brings something about.
    pub fn next_timeout(&self) -> Option<Mono> {
        let phase = match &self.phase {
            Phase::Over => return None,
            Phase::Waiting(delay) => Some(delay.until.min(delay.note_at)),
            Phase::Closing { deadline, .. } => Some(*deadline),
            Phase::Running => self.live.as_ref().and_then(|l| l.leaving.as_ref()?.next_at()),
            Phase::Starting | Phase::Draining { .. } | Phase::Settling(_) | Phase::Detached => None,
        };
        let ready = match self.ready {
            Readiness::Pending(at) => at,
            Readiness::AgentsWord(at) => Some(at),
            Readiness::Told => None,
        };
        let probe = self.trouble.as_ref().filter(|_| self.book.is_some()).map(|t| t.probe_at);
        let checkpoint = self.book.as_ref().filter(|_| self.may_take_checkpoint());
        let checkpoint = checkpoint.and_then(Book::checkpoint_deadline);
        let own =
            [self.progress_at(), self.desk_timeout(), self.eof_deadline(), self.pulse_deadline()];
        let told = [self.alert_deadline(), self.announce_at()];
        let all = [phase, ready, probe, checkpoint].into_iter().chain(own).chain(told);
        all.flatten().min()
    }

    /// Whether a line of the agent's wire may be handed in. While not, its
    /// pipe fills, and the agent waits.
    ///
    /// What an ended agent left in its pipe is always taken: it is no more
    /// than a pipe holds, and a disk that hangs must not keep the run from
    /// going on.
    pub fn wants_line(&self) -> bool {
        if matches!(self.phase, Phase::Draining { .. }) {
            return true;
        }
        self.takes_lines() && self.live.as_ref().is_none_or(|live| live.outbox.has_room())
    }

    /// The same, as far as it depends on adrt and its disk and not on whether
    /// the agent reads.
    pub(super) fn takes_lines(&self) -> bool {
        self.queue.is_applied()
            && self.queue.in_flight() < self.setup.max_inflight
            && self.queue.bytes() < INFLIGHT_BYTES_MAX
    }

    /// Whether the run has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// The live incarnation, for checks from outside.
    pub fn live_incarnation(&self) -> Option<Incarnation> {
        self.live.as_ref().map(|live| live.incarnation)
    }

    fn enter(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.now = now;
        std::mem::swap(&mut self.out, effects);
    }

    fn leave(&mut self, effects: &mut Vec<Effect>) {
        std::mem::swap(&mut self.out, effects);
    }

    /// What follows from the present state and time, whatever the input was.
    fn advance(&mut self) {
        self.pass_deadlines();
        self.pump();
        self.tend_desk();
        self.take_due_checkpoint();
        self.let_go_if_answered();
        self.raise_alerts();
        self.close_if_done();
        self.announce();
    }

    fn pass_deadlines(&mut self) {
        let now = self.now.mono;
        self.readiness_is_due();
        if let Phase::Waiting(delay) = &self.phase {
            let delay = *delay;
            if delay.until <= now {
                self.spawn();
            } else if delay.note_at <= now {
                self.note_delay(delay);
            }
        }
        if self.book.is_some() && self.trouble.as_ref().is_some_and(|t| t.probe_at <= now) {
            self.probe();
        }
        self.note_progress();
        self.check_pulse();
        self.press_on_leaving();
    }

    /// A checkpoint that is due waits while others wait for their turn, and
    /// while the disk is in trouble.
    fn may_take_checkpoint(&self) -> bool {
        self.trouble.is_none() && self.queue.is_applied()
    }

    fn take_due_checkpoint(&mut self) {
        let now = self.now.mono;
        if self.may_take_checkpoint()
            && self.book.as_ref().is_some_and(|book| book.checkpoint_is_due(now))
        {
            self.write_own(Own::Checkpoint(CheckpointReason::Tail));
            self.pump();
        }
    }

    /// Applies what may be applied, answers what may be answered.
    pub(super) fn pump(&mut self) {
        loop {
            while let Some(flight) = self.queue.pop_settled() {
                self.answer(flight);
            }
            match self.queue.next() {
                None => break,
                // All but a finished answer needs the state.
                Some(next) if self.book.is_none() && !matches!(next.work, Work::Answered(_)) => {
                    break;
                }
                Some(_) => {}
            }
            let Some(next) = self.queue.pop_waiting() else { break };
            self.apply(next);
        }
        self.pump_outbox();
    }

    pub(super) fn pump_outbox(&mut self) {
        let Some(live) = &mut self.live else { return };
        while let Some(bytes) = live.outbox.next() {
            self.out.push(Effect::Send { incarnation: live.incarnation, bytes });
        }
    }

    /// Sends a unit to the store.
    pub(super) fn persist(
        &mut self,
        flight: &mut Flight,
        ops: Vec<super::io::Op>,
        privileged: bool,
    ) {
        if ops.is_empty() {
            return;
        }
        self.next_unit += 1;
        let id = UnitId(self.next_unit);
        flight.unit = Some(id);
        flight.tally = Tally::of(&ops, self.now.mono);
        self.out.push(Effect::Persist(Unit {
            id,
            epoch: self.epoch,
            at: self.now.wall,
            age: self.age(),
            alone: flight.second_try,
            privileged,
            ops,
        }));
    }

    pub(super) fn write_own(&mut self, own: Own) {
        self.queue.push(Origin::Own, Work::Own(own));
    }

    pub(super) fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_since = self.now.wall;
        self.announced.dirty = true;
    }

    pub(super) fn log(&mut self, level: Level, message: impl Into<String>) {
        self.tell(level, None, message.into(), None);
    }

    /// A line that somebody may look for.
    pub(super) fn log_as(&mut self, occasion: Occasion, level: Level, message: impl Into<String>) {
        self.tell(level, Some(occasion), message.into(), None);
    }

    /// The same with what is known beside it: an object.
    pub(super) fn log_with(
        &mut self,
        occasion: Occasion,
        level: Level,
        message: impl Into<String>,
        fields: &serde_json::Value,
    ) {
        self.tell(level, Some(occasion), message.into(), Some(fields.to_string()));
    }

    fn tell(
        &mut self,
        level: Level,
        occasion: Option<Occasion>,
        message: String,
        fields: Option<String>,
    ) {
        self.out.push(Effect::Log { level, message, from_agent: false, occasion, fields });
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { max_state: self.setup.max_state }
    }

    fn signalled(&mut self, request: SignalRequest, who: &str) {
        match request {
            SignalRequest::Stop => self.stop(who),
            SignalRequest::HangUp if self.stopping.is_some() => {}
            SignalRequest::HangUp => self.stop(who),
            SignalRequest::Quit => self.quit(who),
            SignalRequest::Checkpoint => {
                self.log(Level::Info, format!("taking a checkpoint: {who} asked for it"));
                self.write_own(Own::Checkpoint(CheckpointReason::Request));
            }
            SignalRequest::Reload => {
                self.log(Level::Info, format!("reloading: {who} asked for it"));
                self.reload();
            }
        }
    }

    /// An attached client is nobody's to signal.
    pub(super) fn signal_group(&mut self, signal: GroupSignal) {
        if let Some(live) = self.live.as_ref().filter(|_| !self.setup.attached) {
            self.out.push(Effect::Signal { incarnation: live.incarnation, signal });
        }
    }

    /// adrt's own count of time; it begins when the state is there.
    pub(super) fn age(&self) -> Age {
        self.age_base.map_or_else(Age::default, |base| base.at(self.now.mono))
    }

    /// What events the agent wants from now on; what a dead one wanted is of
    /// no interest to the next.
    pub(super) fn subscribe(
        &mut self,
        origin: &Origin,
        wanted: Option<&Subscription>,
        every: Option<u64>,
    ) {
        let Origin::Agent { incarnation, .. } = origin else { return };
        if let Some(live) = self.live.as_mut().filter(|l| l.incarnation == *incarnation) {
            live.subscription = wanted.cloned();
            live.checkpoint_every = every.or(live.checkpoint_every);
        }
    }

    fn restored(&mut self, mut restored: super::io::Restored) {
        for warning in &restored.warnings {
            self.log(Level::Warning, warning.clone());
        }
        let (age, noted) = (restored.work.age, restored.work.age_at);
        self.age_base.get_or_insert_with(|| AgeBase::new(age, noted, self.now));
        let warnings = std::mem::take(&mut restored.warnings);
        self.book = Some(Book::new(restored, self.now));
        self.tell_damage(&warnings);
        self.source_found();
        self.send_posts();
        self.settle_waiting();
    }
}

#[cfg(test)]
mod tests;
