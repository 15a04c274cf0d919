//! The world around the machine: clocks, a process, a disk, operators, and
//! power that fails. All of it follows from one seed.

use std::sync::Arc;
use std::time::Duration;

use adrt::clock::{Mono, Now};
use adrt::supervisor::io::{
    Effect, EventState, Input, KeyHash, Oom, ProcessIdentity, SOURCE_POSITION, SpawnFailure,
};
use adrt::supervisor::machine::{Machine, Setup};
use fastrand::Rng;

use super::agent::{Meaning, Process};
use super::checks::Checks;
use super::decisions::{Decisions, hash};
use super::errands::Errand;
use super::outside::Outside;
use super::request::{Known, Request, Script, Step, What};
use super::rulings;
use super::side::{Fate, Mode};
use super::store::{Disk, Odds, Report, Store, bad, wall};
use super::trace::Trace;

/// Turns that may follow each other at one moment without time passing.
const TICKS_AT_ONCE: usize = 8;
/// Calculations whose outcome somebody may tell.
const CALLS_TOLD: usize = 6;

pub struct World {
    pub rng: Rng,
    pub mono: Mono,
    wall_ms: i64,
    pub setup: Setup,
    pub machine: Option<Machine>,
    pub store: Store,
    pub agent: Option<Process>,
    pub spawning: Option<u64>,
    pub checks: Checks,
    pub script: Script,
    pub conns: u64,
    pub outside: Outside,
    pub trace: Trace,
    /// Spawns fail so often in a hundred.
    spawn_fails: u8,
    /// Its agents work.
    industrious: bool,
    /// They ask the engines, above all.
    decides: bool,
    /// The line being handed in is text.
    passed: bool,
    /// The rules file is to be read again.
    pub rules_wanted: bool,
    /// What decisions go by: a hash of its text.
    policy: KeyHash,
}

impl World {
    pub fn new(seed: u64, trace: Trace) -> Self {
        let mut rng = Rng::with_seed(seed);
        let setup = super::setup::draw(&mut rng);
        let calm = rng.u8(0..4) == 0;
        let odds = Odds {
            glitch: if calm { 0 } else { rng.u32(0..60) },
            unknown: if calm { 0 } else { rng.u32(0..40) },
            restore_fails: [0, 0, 0, 60][rng.usize(0..4)],
            forgets_key: [0, 0, 0, 20][rng.usize(0..4)],
        };
        let mut store = Store::new(odds, setup.max_db);
        let work = store.durable.work_mut();
        (work.max_attempts, work.ordered) = (setup.events.max_attempts, setup.events.ordered);
        work.every = setup.checkpoint_every;
        if rng.u8(0..4) == 0 {
            // Damage once cost versions that somebody may have been told of.
            store.durable.highest = rng.u64(1..30);
        }
        Self {
            mono: Mono::from_origin(Duration::from_secs(rng.u64(0..5))),
            wall_ms: rng.i64(0..4_000_000_000_000),
            store,
            setup,
            machine: None,
            agent: None,
            spawning: None,
            checks: Checks::default(),
            script: Script::default(),
            conns: 0,
            outside: Outside::default(),
            trace,
            spawn_fails: [0, 0, 5, 50][rng.usize(0..4)],
            industrious: rng.bool(),
            decides: rng.bool(),
            passed: false,
            rules_wanted: true,
            policy: KeyHash::default(),
            rng,
        }
    }

    fn now(&self) -> Now {
        Now { mono: self.mono, wall: wall(self.wall_ms) }
    }

    pub fn known(&self, operator: bool) -> Known {
        let (durable, work) = (&self.store.durable, &self.store.durable.work);
        let dead = work.events.values().filter(|row| row.status.state == EventState::Dead);
        let hands = self.checks.side.as_ref().map(|side| &side.hands).filter(|_| !operator);
        let told = &self.checks.told.hand_outs.to_operators;
        let calls = &self.checks.told.rulings.calls;
        Known {
            version: durable.version,
            checkpoint: durable.newest().map_or(0, |c| c.info.id),
            held: match hands {
                Some(hands) => hands.held.iter().map(|(seq, attempt)| (*seq, *attempt)).collect(),
                None => told[told.len().saturating_sub(3)..].to_vec(),
            },
            steps: hands.map_or(Vec::new(), |hands| hands.steps.clone()),
            stale: self.checks.told.hand_outs.stale(),
            dead: dead.map(|row| row.status.seq).collect(),
            last_seq: work.last_seq,
            decides: self.decides && !operator,
            last_review: work.reviews.last_key_value().map_or(0, |(id, _)| *id),
            last_decision: work.decisions.rows.last_key_value().map_or(0, |(id, _)| *id),
            calls: calls[calls.len().saturating_sub(CALLS_TOLD)..].to_vec(),
        }
    }

    // ------------------------------------------------------------ the machine

    /// adrt starts.
    pub fn boot(&mut self) {
        let boot = self.store.open();
        self.outside_is_cut_off();
        let read = boot.meta.iter().find(|(name, _)| name == SOURCE_POSITION);
        self.outside.next_line = read.map_or(0, |(_, position)| position.parse().unwrap());
        self.setup.by_hand = self.rng.bool();
        self.setup.release =
            [None, None, Some("v1"), Some("v2")][self.rng.usize(0..4)].map(Into::into);
        if self.rng.u8(0..4) == 0 || self.rules_wanted {
            self.draw_policy();
        }
        self.setup.seed = self.rng.u64(..);
        self.trace.note(|| format!("---- adrt starts at {:?}: {boot:?}", self.mono));
        let waits_for_none = self.setup.by_hand || self.setup.attached;
        self.checks.begin(self.mono, boot.restart, waits_for_none, &self.store.durable);
        let mut machine = Machine::new(self.setup.clone(), &boot, self.now());
        let mut effects = Vec::new();
        machine.start(self.now(), &boot, &mut effects);
        self.machine = Some(machine);
        self.carry_out(effects);
    }

    /// adrt is killed, and its agent with it.
    pub fn crash(&mut self) {
        self.trace.note(|| "---- adrt is killed".into());
        self.machine = None;
        self.spawning = None;
        if let Some(mut agent) = self.agent.take() {
            agent.orphaned();
        }
        self.store.crash(&mut self.rng);
        self.pass_up_to(20_000);
    }

    pub fn is_over(&self) -> bool {
        self.machine.as_ref().is_some_and(Machine::is_over)
    }

    pub fn give(&mut self, input: Input<'_>) {
        self.hand(input);
        self.tell_of_output();
        for _ in 0..TICKS_AT_ONCE {
            let machine = self.machine.as_ref().unwrap();
            if machine.is_over() || machine.next_timeout().is_none_or(|at| at > self.mono) {
                return;
            }
            self.hand(Input::Tick);
            self.tell_of_output();
        }
        panic!("the loop spins: a deadline stays in the past");
    }

    pub fn hand(&mut self, input: Input<'_>) {
        if self.is_excused() {
            self.checks.pulse.hear(self.mono);
        }
        self.trace.input(self.mono, &input);
        let mut effects = Vec::new();
        let now = self.now();
        self.machine.as_mut().unwrap().handle(now, input, &mut effects);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let level = self.machine.as_ref().map(Machine::environment_level);
        self.checks.judged_by = level.map(|level| (level, self.policy));
        if self.machine.as_ref().is_some_and(|machine| machine.phase_name() == "closing") {
            self.checks.run.closing_since.get_or_insert(self.mono);
        }
        for effect in effects {
            self.trace.effect(&effect);
            self.store.take(&effect);
            if let Effect::Spawn { incarnation } = effect {
                assert!(self.spawning.is_none() && self.agent.is_none(), "two incarnations");
                self.checks.spawning(incarnation, self.mono);
                self.spawning = Some(incarnation);
            }
            self.checks.effect(&effect, &self.store.durable, &self.setup, self.mono);
            self.do_to_agent(&effect);
        }
        let live = self.machine.as_ref().and_then(Machine::live_incarnation);
        assert!(live.is_none() || live == self.agent.as_ref().map(|agent| agent.incarnation));
        if self.is_over() {
            assert!(self.agent.is_none() && self.spawning.is_none(), "left behind");
        }
    }

    fn do_to_agent(&mut self, effect: &Effect) {
        match effect {
            Effect::PassLine => self.passed = true,
            Effect::Reload => self.rules_wanted = true,
            Effect::Post(row) => self.post(row),
            Effect::Send { bytes, .. } => {
                let agent = self.agent.as_mut().expect("sent to nobody");
                if let Some(method) = shutdown_in(bytes) {
                    agent.hears(method);
                }
                if !agent.stdin_closed && agent.is_there() {
                    agent.unread += bytes.len();
                }
            }
            Effect::Signal { signal, .. } => {
                let agent = self.agent.as_mut().expect("a signal to nobody");
                assert!(!agent.told_exit, "a signal after wait's report");
                agent.signal(*signal, &mut self.rng);
            }
            Effect::CloseStdin { .. } => {
                let agent = self.agent.as_ref().expect("closed to nobody");
                assert!(!agent.told_exit || agent.attached, "closed after wait's report");
            }
            Effect::LetGo { .. } => {
                let agent = self.agent.as_mut().expect("nobody is let go of");
                assert!(agent.attached && !agent.let_go);
                agent.let_go = true;
                // What adrt had read of it is still taken.
                agent.pipe.truncate(self.rng.usize(0..=agent.pipe.len()));
            }
            _ => {}
        }
    }

    // -------------------------------------------------------------- decisions

    /// The rules file is read again; now and then it has a mistake.
    pub fn rules_are_read(&mut self) {
        if self.rng.u8(0..4) > 0 {
            return self.rules_change();
        }
        self.rules_wanted = false;
        self.give(Input::PolicyRefused("line 3, column 1: no such member".into()));
    }

    /// Decisions go by other rules from now on.
    pub fn rules_change(&mut self) {
        self.draw_policy();
        self.give(Input::Policy(self.setup.decisions.clone()));
    }

    fn draw_policy(&mut self) {
        self.rules_wanted = false;
        let policy = rulings::policy(&mut self.rng);
        self.policy = hash(&["policy", &policy.to_json()]);
        self.setup.decisions = Arc::new(policy);
    }

    /// Outcomes that somebody tells may teach from now on.
    pub fn asks(&mut self, request: &Request) {
        let What::Write(write) = &request.what else { return };
        for step in &write.steps {
            if let Step::Errand { what: Errand::Outcome(told), .. } = step {
                let Decisions { lessons, rows, .. } = &mut self.store.durable.work_mut().decisions;
                lessons.ask(told, rows);
            }
        }
    }

    // ------------------------------------------------------------------- time

    pub fn pass(&mut self, span: Duration) {
        self.mono = self.mono + span;
        self.wall_ms += i64::try_from(span.as_millis()).unwrap();
    }

    pub fn pass_up_to(&mut self, ms: u64) {
        let span = Duration::from_millis(self.rng.u64(0..ms));
        self.pass(span);
    }

    /// To the machine's next deadline. False where it has none.
    pub fn next_deadline(&mut self) -> bool {
        let Some(at) = self.machine.as_ref().and_then(Machine::next_timeout) else { return false };
        self.pass(at.since(self.mono));
        self.give(Input::Tick);
        true
    }

    pub fn some_time(&mut self) {
        match self.rng.u8(0..8) {
            0 => drop(self.next_deadline()),
            1 => {
                // The loop comes late: the whole machine was held up.
                self.pass_up_to(3000);
                self.give(Input::Tick);
            }
            2 => self.wall_ms += self.rng.i64(-100_000_000_000..100_000_000_000),
            _ => {
                self.pass_up_to(100);
                self.give(Input::Tick);
            }
        }
    }

    // -------------------------------------------------------------- the agent

    /// The spawning thread reports.
    pub fn report_spawn(&mut self, may_fail: bool) {
        let Some(incarnation) = self.spawning.take() else { return };
        if may_fail && !self.setup.attached && self.rng.u8(0..100) < self.spawn_fails {
            let failure = match self.rng.u8(0..3) {
                0 => SpawnFailure::NotFound("not there".into()),
                1 => SpawnFailure::NotExecutable("no x".into()),
                _ => SpawnFailure::System("EAGAIN".into()),
            };
            self.checks.run.spawn_failed = true;
            self.checks.run.last_exit = None;
            self.checks.ended(incarnation, self.mono);
            return self.give(Input::SpawnFailed { incarnation, failure });
        }
        self.checks.run.spawn_failed = false;
        let mut agent = Process::new(incarnation, &mut self.rng, self.industrious);
        agent.attached = self.setup.attached;
        let token = agent.token.clone();
        self.agent = Some(agent);
        self.checks.spawned(incarnation, self.mono);
        let process = if self.setup.attached {
            ProcessIdentity::attached(1000)
        } else {
            ProcessIdentity { pid: 1000, ..ProcessIdentity::default() }
        };
        self.give(Input::Spawned { incarnation, process, token });
    }

    pub fn agent_acts(&mut self) {
        let known = self.known(false);
        if self.client_reads() {
            return;
        }
        let Some(agent) = self.agent.as_mut().filter(|agent| agent.is_alive()) else { return };
        let (incarnation, read) =
            (agent.incarnation, agent.act(&mut self.rng, &mut self.script, &known));
        self.sent(incarnation, read);
    }

    /// An attached client that says nothing more reads on, or does not.
    pub fn client_reads(&mut self) -> bool {
        let Some(agent) = self.agent.as_mut().filter(|a| !a.is_alive() && a.is_there()) else {
            return false;
        };
        let (incarnation, bytes) = (agent.incarnation, agent.read_all());
        let tells = bytes > 0 || (agent.stdin_closed && !agent.told_closed);
        self.sent(incarnation, bytes);
        tells
    }

    pub fn sent(&mut self, incarnation: u64, bytes: usize) {
        let Some(agent) = &mut self.agent else { return };
        if agent.stdin_closed && !agent.told_closed && agent.is_there() {
            agent.told_closed = true;
            self.checks.deaf();
            return self.give(Input::SendFailed { incarnation });
        }
        if bytes > 0 {
            self.checks.run.reads(self.mono);
            self.checks.pulse.hear(self.mono);
            self.give(Input::Sent { incarnation, bytes });
        }
    }

    /// Hands in the next line, if there is one and the machine takes it.
    pub fn deliver_line(&mut self) -> bool {
        let Some(agent) = &mut self.agent else { return false };
        if !self.machine.as_ref().unwrap().wants_line() {
            return false;
        }
        let Some(line) = agent.pipe.pop_front() else { return false };
        let incarnation = agent.incarnation;
        let open = self.checks.side.as_ref().unwrap().mode != Mode::Closed;
        if matches!(line.meaning, Meaning::Overlong) {
            if open {
                self.checks.line(&line);
                self.checks.pulse.hear(self.mono);
                self.give(Input::Overlong { incarnation });
            }
            return true;
        }
        let (fate, now) = (self.checks.line(&line), self.mono);
        if fate == Fate::Taken || !open {
            self.checks.pulse.hear(now);
        }
        if let (Fate::Taken, Meaning::Frame(request)) = (&fate, &line.meaning) {
            self.asks(request);
        }
        self.passed = false;
        self.give(Input::Line { incarnation, line: &line.bytes });
        assert_eq!(self.passed, fate == Fate::Passed, "text is text, and nothing else is");
        assert!(
            self.checks.owed() <= self.setup.max_inflight,
            "more requests are in flight than may be"
        );
        true
    }

    /// wait reports, and when the pipes are empty, the end of it all.
    pub fn report_end(&mut self) -> bool {
        if self.setup.attached {
            return self.report_end_of_client();
        }
        let Some(agent) = &mut self.agent else { return false };
        let (incarnation, Some((exit, oom))) = (agent.incarnation, agent.exit) else {
            return false;
        };
        if !agent.told_exit {
            agent.told_exit = true;
            self.checks.run.last_exit = Some(exit);
            self.checks.deaf();
            let oom = oom.then_some(Oom { count: 1, limit: None });
            self.give(Input::Exited { incarnation, exit, oom });
            return true;
        }
        if !agent.pipe.is_empty() {
            return false;
        }
        self.agent = None;
        self.checks.ended(incarnation, self.mono);
        self.give(Input::Drained { incarnation, output: b"last words".to_vec() });
        true
    }

    /// Its side of the wire has closed; or it has been let go of.
    fn report_end_of_client(&mut self) -> bool {
        let Some(agent) = self.agent.as_mut().filter(|agent| agent.pipe.is_empty()) else {
            return false;
        };
        let incarnation = agent.incarnation;
        if agent.let_go {
            self.agent = None;
            self.checks.ended(incarnation, self.mono);
            self.give(Input::Drained { incarnation, output: b"last words".to_vec() });
            return true;
        }
        if agent.is_alive() || agent.told_exit {
            return false;
        }
        agent.told_exit = true;
        self.checks.says_no_more(self.mono);
        self.give(Input::Eof { incarnation });
        true
    }

    // -------------------------------------------------------------- the store

    pub fn hear_store(&mut self) -> bool {
        let Some(report) = self.store.reports.pop_front() else { return false };
        if matches!(report, Report::RestoreFailed(_)) {
            self.checks.run.restore_failed = true;
        }
        self.give(report.into_input());
        true
    }

    pub fn disk_changes(&mut self) {
        self.store.disk = match self.store.disk {
            Disk::Well => match self.rng.u8(0..8) {
                0 | 1 => bad(&mut self.rng),
                2 => Disk::Hung,
                _ => Disk::Well,
            },
            Disk::Bad { .. } | Disk::Hung => Disk::Well,
        };
        let disk = self.store.disk;
        self.trace.note(|| format!("disk: {disk:?}"));
    }
}

fn shutdown_in(bytes: &[u8]) -> Option<&'static str> {
    bytes.starts_with(b"{\"jsonrpc\":\"2.0\",\"method\":\"shutdown\"").then_some("shutdown")
}
