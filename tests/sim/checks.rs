//! What must hold after every transition, whatever the world does.

use std::collections::{BTreeSet, HashMap};

use adrt::clock::Mono;
use adrt::engines::environment::Level;
use adrt::supervisor::io::{
    ConnId, Effect, EventRow, GroupSignal, KeyHash, Notice, Op, RestartMemory, Seq, Unit, WorkOp,
};
use adrt::supervisor::machine::Setup;
use serde_json::Value;

use super::agent::{Line, Meaning};
use super::answers::{self, Told};
use super::durable::Durable;
use super::pulse::Pulse;
use super::request::Request;
use super::run::Run;
use super::side::{Fate, Side};
use super::work::Work;

#[derive(Default)]
pub struct Checks {
    /// The process that lives, or whose last words are still coming in.
    pub side: Option<Side>,
    conns: HashMap<ConnId, Request>,
    pub told: Told,
    pub run: Run,
    pub pulse: Pulse,
    epoch: u32,
    last_unit: u64,
    highest_incarnation: u64,
    /// What decisions of this moment go by.
    pub judged_by: Option<(Level, KeyHash)>,
}

impl Checks {
    /// adrt begins, with what the disk remembers.
    pub fn begin(&mut self, now: Mono, memory: RestartMemory, by_hand: bool, durable: &Durable) {
        self.side = None;
        self.conns.clear();
        self.told.disk_refused = false;
        (self.epoch, self.last_unit) = (0, 0);
        self.pulse = Pulse::default();
        self.run = Run::begin(now, memory.delay_left.filter(|_| !by_hand));
        // A number that never reached the disk may be given again: nothing
        // was said to its process.
        self.highest_incarnation =
            durable.incarnations.last_key_value().map_or(0, |(number, _)| *number);
    }

    // ---------------------------------------------------------- incarnations

    pub fn spawning(&mut self, incarnation: u64, now: Mono) {
        assert!(incarnation > self.highest_incarnation, "incarnation numbers rise");
        self.highest_incarnation = incarnation;
        self.run.spawning(now);
    }

    pub fn spawned(&mut self, incarnation: u64, now: Mono) {
        self.pulse.hear(now);
        self.side = Some(Side::new(incarnation));
    }

    /// It ended, and all it wrote is in.
    pub fn ended(&mut self, incarnation: u64, now: Mono) {
        self.side = None;
        self.run.ended(incarnation, now);
    }

    /// It can't be told anything any more.
    pub fn deaf(&mut self) {
        self.side.as_mut().expect("it is somebody").deaf = true;
    }

    /// An attached client has closed its side of the wire.
    pub fn says_no_more(&mut self, now: Mono) {
        self.side.as_mut().expect("it is somebody").asked_to_leave = true;
        self.run.eof = Some(now);
    }

    pub fn line(&mut self, line: &Line) -> Fate {
        self.run.ready_said |=
            matches!(&line.meaning, Meaning::Frame(frame) if frame.method == "ready");
        self.side.as_mut().expect("a line comes from somebody").line(line)
    }

    /// Answers to the agent that are on their way.
    pub fn owed(&self) -> usize {
        self.side.as_ref().map_or(0, Side::owed)
    }

    // ---------------------------------------------------------------- operator

    pub fn operator(&mut self, conn: ConnId, request: &Request) {
        self.run.excused |= request.method == "restart";
        self.run.restore_wanted |= request.method == "checkpoint.restore";
        if request.method == "stop" {
            self.stop_asked();
        }
        assert!(self.conns.insert(conn, request.clone()).is_none());
    }

    pub fn stop_asked(&mut self) {
        self.run.stop_asked |= self.run.closing_since.is_none();
    }

    pub fn operator_gone(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
    }

    pub fn waiting_operators(&self) -> Vec<ConnId> {
        let mut list: Vec<_> = self.conns.keys().copied().collect();
        list.sort_unstable();
        list
    }

    // ----------------------------------------------------------------- effects

    pub fn effect(&mut self, effect: &Effect, durable: &Durable, setup: &Setup, now: Mono) {
        match effect {
            Effect::Persist(unit) => {
                self.unit(unit, setup);
                self.judged(unit, durable);
            }
            Effect::Resume { epoch, reread } => {
                self.run.store_lost |= *reread;
                assert_eq!(*epoch, self.epoch + 1, "epochs follow each other");
                self.epoch = *epoch;
                self.told.disk_refused = true;
            }
            Effect::Send { incarnation, bytes } => {
                let side = self.side.as_mut().expect("something is sent to somebody");
                assert_eq!(side.incarnation, *incarnation, "sent to another incarnation");
                side.hears(&parse(bytes), durable, &mut self.told);
            }
            Effect::CloseStdin { incarnation } => {
                let side = self.side_of(*incarnation);
                side.deaf = true;
                side.asked_to_leave = true;
            }
            Effect::Signal { incarnation, signal } => {
                assert!(!setup.attached, "who started adrt is never signalled");
                let quit = self.pulse.quit;
                let leaves = self.side_of(*incarnation).asked_to_leave;
                if *signal == GroupSignal::Abort {
                    let holds = !durable.work.held.is_empty();
                    let may_hold_too_long = setup.events.timeout.is_some() && holds;
                    if !may_hold_too_long && !quit {
                        assert!(!leaves, "it is leaving");
                        self.pulse.assert_silent(setup.hang_timeout, now);
                    }
                }
                self.side_of(*incarnation).asked_to_leave = true;
                self.run.hung |= *signal == GroupSignal::Abort && !quit;
            }
            Effect::Reply { conn, bytes } => {
                let request = self.conns.remove(conn).expect("an operator was answered twice");
                let answer = parse(bytes);
                assert_eq!(answer["id"].to_string(), request.id.clone().unwrap());
                assert!(setup.attached || answer["error"]["code"] != 1006, "{answer}");
                assert!(
                    !setup.attached || request.method != "restart" || answer["error"].is_object(),
                    "nobody can start it anew"
                );
                answers::check(&request, &answer, durable, &mut self.told, 0);
            }
            Effect::LetGo { incarnation } => {
                assert!(setup.attached, "it is a process of adrt's");
                let owed = self.owed();
                let side = self.side_of(*incarnation);
                (side.deaf, side.asked_to_leave) = (true, true);
                self.run.let_go(owed, setup.stop_timeout, now);
            }
            Effect::Spawn { .. } => {
                self.run.spawns += 1;
                assert!(!setup.attached || self.run.spawns == 1, "it can't be started anew");
            }
            Effect::Notify(Notice::Ready) => {
                assert!(!setup.ready_from_agent || self.run.ready_said, "on nobody's word");
                let too_late = self.run.stopping_told && !setup.ready_from_agent;
                assert!(!too_late, "ready when it is over");
            }
            Effect::Notify(Notice::Stopping) => {
                assert!(!std::mem::replace(&mut self.run.stopping_told, true), "told twice");
            }
            Effect::Exit(verdict) => {
                assert!(self.side.is_none(), "nobody is left behind");
                self.run.exit(verdict, durable, setup, now);
            }
            Effect::OpenWire { .. }
            | Effect::PassLine
            | Effect::Post(_)
            | Effect::Reload
            | Effect::ForgetLog
            | Effect::Notify(Notice::Status(_) | Notice::ExtendTimeout(_))
            | Effect::Log { .. } => {}
            Effect::Alert(alert) => self.run.alert(alert),
        }
    }

    /// Work that could go on has gone on.
    pub fn work_flows(&self, work: &Work) {
        let Some(side) = &self.side else { return };
        let gone = side.deaf || side.asked_to_leave || side.finished || !side.is_greeted();
        let Some(credit) = side.hands.credit.filter(|_| !gone) else { return };
        let held = &work.held;
        let waits =
            |row: &&&EventRow| !held.contains_key(&row.status.seq) && side.hands.wants(&row.kind);
        let pending = work.pending();
        let Some(next) = pending.iter().find(waits) else { return };
        let suspect = |seq: &Seq| work.events[seq].status.deaths > 0;
        let alone = next.status.deaths > 0 && !held.is_empty();
        let may = next.status.due <= work.age && held.len() < credit;
        if may && !alone && !held.keys().any(suspect) {
            panic!("it waits, and nobody holds it back: {next:?}; held: {held:?}");
        }
    }

    fn side_of(&mut self, incarnation: u64) -> &mut Side {
        let side = self.side.as_mut().expect("effects are for a live process");
        assert_eq!(side.incarnation, incarnation, "an effect for another incarnation");
        side
    }

    fn unit(&mut self, unit: &Unit, setup: &Setup) {
        assert!(unit.id.0 > self.last_unit, "unit numbers rise");
        self.last_unit = unit.id.0;
        assert_eq!(unit.epoch, self.epoch, "a unit is of the present epoch");
        for op in &unit.ops {
            if let Op::End(end) = op {
                self.run.recorded(end, unit, self.highest_incarnation, &setup.policy);
            }
        }
    }

    /// A decision goes by the policy and the environment of its moment.
    fn judged(&self, unit: &Unit, durable: &Durable) {
        let mut seen = BTreeSet::new();
        for op in &unit.ops {
            let Op::Work(WorkOp::Decision(row)) = op else { continue };
            let is_new = !durable.work.decisions.rows.contains_key(&row.id);
            if is_new && seen.insert(row.id) {
                let by = Some((row.environment, row.policy));
                assert_eq!(by, self.judged_by, "what decision {} went by", row.id);
            }
        }
    }

    /// All has been carried out that can be: nobody is left without an answer.
    pub fn settled(&mut self, durable: &Durable, level: Level) {
        let leaves = self.side.as_ref().is_some_and(|side| side.asked_to_leave);
        // A restore waits for the agent to be gone.
        let may_wait = |request: &Request| leaves && request.method == "checkpoint.restore";
        let stuck: Vec<_> = self.conns.values().filter(|request| !may_wait(request)).collect();
        assert!(stuck.is_empty(), "operators wait for ever: {stuck:?}");
        self.run.restore_wanted = !self.conns.is_empty();
        if let Some(side) = &self.side {
            side.settled(durable, level);
        }
    }
}

fn parse(bytes: &[u8]) -> Value {
    let line = bytes.strip_suffix(b"\n").expect("a line ends");
    assert!(!line.contains(&b'\n'), "a message is one line");
    serde_json::from_slice(line).expect("a message is JSON")
}
