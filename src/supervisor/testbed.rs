//! A machine on a bench: inputs one by one, a clock that is set by hand, and a
//! store that answers when it is told to.

mod shelf;

use std::time::Duration;

use super::io::{
    Answer, Boot, CheckpointInfo, Committed, ConnId, Effect, Exit, Input, Op, Origin,
    ProcessIdentity, Receipt, Restored, StoreFailure, StoreFailureKind, Unit, Verdict,
    WorkRestored,
};
use super::machine::{EventPolicy, Machine, OnCrashLoop, Phase, Setup};
use super::restart::Policy;
use crate::clock::{Mono, Now, Wall};
use crate::engines::state::Node;

pub use shelf::Shelf;

pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);
pub const TOKEN: &str = "t0k3n";

pub struct Bed {
    pub machine: Machine,
    pub now: Now,
    /// Of the last input.
    pub effects: Vec<Effect>,
    /// Sent to the store and not answered.
    pub units: Vec<Unit>,
    /// What the disk has of the work.
    pub shelf: Shelf,
    /// Bytes in the file, as it says with each commit.
    pub used_bytes: u64,
    epoch: u32,
    next_id: u64,
    spawning: bool,
}

pub fn setup() -> Setup {
    Setup {
        agent: "bench".into(),
        run_id: "run".into(),
        policy: Policy { jitter: 0.0, ..Policy::default() },
        stop_timeout: STOP_TIMEOUT,
        ready_timeout: Duration::from_secs(10),
        ready_from_agent: false,
        hang_timeout: None,
        release: None,
        max_frame: 1 << 20,
        max_state: 64 << 20,
        max_inflight: 1024,
        max_db: 1 << 30,
        by_hand: false,
        attached: false,
        script: None,
        events: EventPolicy::default(),
        on_crash_loop: OnCrashLoop::default(),
        checkpoint_every: None,
        decisions: Default::default(),
        rules_file: false,
        time_zone: "UTC".into(),
        seed: 1,
    }
}

pub fn empty() -> Restored {
    Restored {
        root: Node::empty_object(),
        version: 0,
        highest_version: 0,
        checkpoint: None,
        highest_checkpoint: 0,
        tail_bytes: 0,
        last_begun: 0,
        keys: Vec::new(),
        used_bytes: 0,
        work: WorkRestored::default(),
        warnings: Vec::new(),
    }
}

pub fn checkpoint(id: u64, version: u64) -> CheckpointInfo {
    CheckpointInfo {
        id,
        version,
        created: Wall::default(),
        label: None,
        reason: "request".into(),
        incarnation: 1,
        bytes: 10,
        state_bytes: 20,
    }
}

impl Bed {
    /// Started, nothing answered yet.
    pub fn started(setup: Setup, boot: &Boot) -> Self {
        let now = Now {
            mono: Mono::from_origin(Duration::from_millis(5)),
            wall: Wall::from_millis(1_000_000),
        };
        let mut effects = Vec::new();
        let mut machine = Machine::new(setup, boot, now);
        machine.start(now, boot, &mut effects);
        Self {
            machine,
            now,
            effects,
            units: Vec::new(),
            shelf: Shelf::default(),
            used_bytes: 0,
            epoch: 0,
            next_id: 0,
            spawning: true,
        }
    }

    /// A process is there, which has said nothing.
    pub fn running() -> Self {
        Self::running_with(setup())
    }

    pub fn running_with(setup: Setup) -> Self {
        let mut bed = Self::started(setup, &Boot { origin: Origin::First, ..Boot::default() });
        bed.give(Input::Restored(Box::new(empty())));
        bed.spawned();
        bed.commit();
        bed
    }

    /// It speaks, and has been greeted.
    pub fn speaking() -> Self {
        Self::speaking_with(setup())
    }

    pub fn speaking_with(setup: Setup) -> Self {
        let mut bed = Self::running_with(setup);
        bed.initialize();
        bed
    }

    pub fn incarnation(&self) -> u64 {
        self.machine.incarnation
    }

    pub fn give(&mut self, input: Input<'_>) -> &[Effect] {
        self.effects.clear();
        self.machine.handle(self.now, input, &mut self.effects);
        for effect in &self.effects {
            match effect {
                Effect::Persist(unit) => self.units.push(unit.clone()),
                Effect::Resume { epoch, .. } => self.epoch = *epoch,
                Effect::Spawn { .. } => self.spawning = true,
                Effect::OpenWire { .. }
                | Effect::PassLine
                | Effect::Send { .. }
                | Effect::CloseStdin { .. }
                | Effect::Signal { .. }
                | Effect::LetGo { .. }
                | Effect::Post(_)
                | Effect::Reload
                | Effect::ForgetLog
                | Effect::Reply { .. }
                | Effect::Notify(_)
                | Effect::Log { .. }
                | Effect::Alert(_)
                | Effect::Exit(_) => {}
            }
        }
        let timeout = self.machine.next_timeout();
        let ahead = timeout.is_none_or(|at| at > self.now.mono);
        assert!(ahead || matches!(self.machine.phase, Phase::Over), "a deadline in the past");
        &self.effects
    }

    pub fn pass(&mut self, span: Duration) -> &[Effect] {
        self.now.mono = self.now.mono + span;
        self.now.wall =
            Wall::from_millis(self.now.wall.millis() + i64::try_from(span.as_millis()).unwrap());
        self.give(Input::Tick)
    }

    pub fn spawned(&mut self) {
        self.spawning = false;
        let incarnation = self.incarnation();
        let process = ProcessIdentity { pid: 77, ..ProcessIdentity::default() };
        self.give(Input::Spawned { incarnation, process, token: TOKEN.into() });
    }

    pub fn initialize(&mut self) {
        self.initialize_with("");
    }

    /// With further params.
    pub fn initialize_with(&mut self, more: &str) {
        self.says(&format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocol":[1],"token":"{TOKEN}","client":{{"name":"x"}}{more}}}}}"#
        ));
    }

    /// It speaks, and takes so many events at a time.
    pub fn working(setup: Setup, credit: u32) -> Self {
        let mut bed = Self::running_with(setup);
        bed.initialize_with(&format!(",\"events\":{{\"credit\":{credit}}}"));
        bed
    }

    /// A crash, and the next incarnation, which takes so many events.
    pub fn crashes(&mut self, credit: u32) {
        self.ends(Exit::Code(1));
        self.commit_all();
        self.next_one(credit);
    }

    /// The next incarnation starts, and takes so many events.
    pub fn next_one(&mut self, credit: u32) {
        while self.machine.live_incarnation().is_none() {
            if self.spawning {
                self.spawned();
            } else {
                self.pass(Duration::from_secs(60));
            }
        }
        self.commit_all();
        self.initialize_with(&format!(",\"events\":{{\"credit\":{credit}}}"));
    }

    /// Asks, and all there is reaches the disk: what was sent meanwhile.
    pub fn done(&mut self, method: &str, params: &str) -> String {
        self.asks(method, params);
        let sent = self.sent();
        sent + &self.commit_all()
    }

    /// Until there is nothing more to write: what was sent meanwhile.
    pub fn commit_all(&mut self) -> String {
        let mut sent = String::new();
        while !self.units.is_empty() {
            self.commit();
            sent += &self.sent();
        }
        sent
    }

    /// The file is read again.
    pub fn reread(&mut self) -> &[Effect] {
        let work = self.shelf.restored();
        self.give(Input::Restored(Box::new(Restored { work, ..empty() })))
    }

    pub fn says(&mut self, line: &str) -> &[Effect] {
        let incarnation = self.incarnation();
        self.give(Input::Line { incarnation, line: line.as_bytes() })
    }

    /// A request of the agent; gives its id.
    pub fn asks(&mut self, method: &str, params: &str) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.says(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#
        ));
        id
    }

    pub fn operator(&mut self, conn: ConnId, method: &str, params: &str) -> &[Effect] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        self.give(Input::Operator { conn, uid: 0, line: line.as_bytes() })
    }

    pub fn exits(&mut self, exit: Exit) {
        let incarnation = self.incarnation();
        self.give(Input::Exited { incarnation, exit, oom: None });
    }

    pub fn drained(&mut self) -> &[Effect] {
        let incarnation = self.incarnation();
        self.give(Input::Drained { incarnation, output: Vec::new() })
    }

    pub fn ends(&mut self, exit: Exit) -> &[Effect] {
        self.exits(exit);
        self.drained()
    }

    /// All units that wait reach the disk, each with the usual answers.
    pub fn commit(&mut self) -> &[Effect] {
        self.commit_with(|_| None)
    }

    /// The same; what is looked up is answered as told.
    pub fn commit_with(&mut self, looked_up: impl Fn(&Op) -> Option<Answer>) -> &[Effect] {
        let units = std::mem::take(&mut self.units);
        let receipts = units
            .iter()
            .filter(|unit| unit.epoch == self.epoch)
            .map(|unit| {
                let answers = unit.ops.iter().filter_map(|op| {
                    let shelved = match op {
                        Op::Work(work) => self.shelf.op(work, unit).map(Answer::Work),
                        _ => None,
                    };
                    looked_up(op).or(shelved).or_else(|| usual(op))
                });
                Receipt { unit: unit.id, answers: answers.collect() }
            })
            .collect();
        let used_bytes = self.used_bytes;
        self.give(Input::Committed(Committed { receipts, used_bytes, written_bytes: 1 }))
    }

    /// What waits fails, and nothing of it is there.
    pub fn fail(&mut self, kind: StoreFailureKind) -> &[Effect] {
        self.fails(kind, false)
    }

    /// Nobody knows whether what waits is there; it is.
    pub fn lose_what_is_there(&mut self) -> &[Effect] {
        for unit in &self.units {
            for op in &unit.ops {
                if let Op::Work(work) = op {
                    self.shelf.op(work, unit);
                }
            }
        }
        self.lose()
    }

    /// Nobody knows whether what waits is there.
    pub fn lose(&mut self) -> &[Effect] {
        self.fails(StoreFailureKind::Io, true)
    }

    fn fails(&mut self, kind: StoreFailureKind, outcome_unknown: bool) -> &[Effect] {
        self.units.clear();
        let (epoch, message) = (self.epoch, "no luck".into());
        self.give(Input::StoreFailed(StoreFailure {
            epoch,
            kind,
            outcome_unknown,
            message,
            reserve_freed: false,
        }))
    }

    // ---------------------------------------------------------- what came out

    /// What was sent to the agent by the last input.
    pub fn sent(&self) -> String {
        let mut text = String::new();
        for effect in &self.effects {
            if let Effect::Send { bytes, .. } = effect {
                text.push_str(std::str::from_utf8(bytes).unwrap());
            }
        }
        text
    }

    /// What operators were answered by the last input.
    pub fn replies(&self) -> Vec<String> {
        let mut replies = Vec::new();
        for effect in &self.effects {
            if let Effect::Reply { bytes, .. } = effect {
                replies.push(String::from_utf8(bytes.clone()).unwrap());
            }
        }
        replies
    }

    pub fn spawns(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Spawn { .. }))
    }

    pub fn signals(&self) -> Vec<super::io::GroupSignal> {
        let signal = |effect: &Effect| match effect {
            Effect::Signal { signal, .. } => Some(*signal),
            _ => None,
        };
        self.effects.iter().filter_map(signal).collect()
    }

    pub fn verdict(&self) -> Option<&Verdict> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Exit(verdict) => Some(verdict),
            _ => None,
        })
    }

    /// Ops that wait for the disk.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.units.iter().flat_map(|unit| &unit.ops)
    }
}

fn usual(op: &Op) -> Option<Answer> {
    match op {
        Op::Checkpoint(row) => {
            let info =
                CheckpointInfo { label: row.label.clone(), ..checkpoint(row.id, row.version) };
            Some(Answer::Checkpoint(info))
        }
        Op::RecallKey { .. } => Some(Answer::Recalled(None)),
        Op::LoadCheckpoint(_) => Some(Answer::Loaded(None)),
        Op::ListCheckpoints { .. } => Some(Answer::Checkpoints(Vec::new())),
        Op::Prune { .. } | Op::Forget { .. } => {
            Some(Answer::Removed { checkpoints: 0, versions: 0 })
        }
        Op::RebuildReserve => Some(Answer::Reserve(true)),
        Op::Journal(_)
        | Op::Pin { .. }
        | Op::Key(_)
        | Op::Begin(_)
        | Op::End(_)
        | Op::Restart(_)
        | Op::Meta { .. }
        | Op::Work(_) => None,
    }
}
