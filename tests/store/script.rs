//! What the store is made to do: a seeded mix of everything the machine
//! writes, as the machine would write it.
//!
//! Small patches mostly, now and then one of several pages, so that pages
//! split, the WAL is checkpointed and starts over, all within a few dozen
//! commits. The script counts versions and numbers itself, from the
//! [`Model`] it is given, so that it can go on from wherever a store stands.

use std::sync::Arc;
use std::time::Duration;

use adrt::clock::{Age, Wall};
use adrt::engines::state::{Format, Node};
use adrt::supervisor::io::{
    CheckpointReason, CheckpointRef, CheckpointRow, Exit, ExitClass, IncarnationEnd,
    IncarnationStart, JournalRow, KeyHash, KeyRow, Op, ProcessIdentity, RestartMemory, Unit,
    UnitId,
};
use adrt::supervisor::work::{
    Arrival, EventState, EventStatus, KvRow, KvValue, Scope, Seq, StepKey, StepRow, StepState,
    WorkOp,
};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::model::Model;

/// Members of the state that the script plays with.
const NAMES: u32 = 10;
/// The clock of the first unit, and what passes from one to the next.
const FIRST_AT_MS: i64 = 1_767_225_600_000;
const STEP_MS: u64 = 700;

/// A source of units.
pub struct Script {
    rng: Rng,
    next_unit: u64,
    next_key: u64,
    /// The epoch of the units to come.
    pub epoch: u32,
    /// Every commit makes a version, so that the state alone tells whether it is there.
    pub versioned: bool,
}

impl Script {
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), next_unit: 1, next_key: 1, epoch: 0, versioned: false }
    }

    /// The units of the next commit, and what the store must have after it.
    pub fn next(&mut self, model: &Model) -> (Vec<Unit>, Model) {
        let several = if self.rng.u8(0..4) == 0 { self.rng.u8(2..5) } else { 1 };
        let mut after = model.clone();
        let mut units = Vec::new();
        for _ in 0..several {
            let unit = self.unit(&after);
            after = after.after(std::slice::from_ref(&unit));
            units.push(unit);
        }
        if self.versioned && after.version == model.version {
            let patch = journal(&after, Format::Merge, &json!({"n": self.rng.u32(..)}));
            let unit = self.wrap(vec![patch]);
            after = after.after(std::slice::from_ref(&unit));
            units.push(unit);
        }
        (units, after)
    }

    fn wrap(&mut self, ops: Vec<Op>) -> Unit {
        let id = UnitId(self.next_unit);
        self.next_unit += 1;
        let age = STEP_MS * id.0;
        Unit {
            id,
            epoch: self.epoch,
            at: Wall::from_millis(FIRST_AT_MS + i64::try_from(age).unwrap_or(0)),
            age: Age::from_millis(age),
            alone: false,
            privileged: false,
            ops,
        }
    }

    fn unit(&mut self, model: &Model) -> Unit {
        let ops = match self.rng.u8(0..32) {
            0..=8 => vec![self.patch(model)],
            9 | 10 => {
                let patch = self.patch(model);
                let key = self.key();
                vec![patch, key]
            }
            11 | 12 => vec![checkpoint(model, CheckpointReason::Request, self.label())],
            13 => {
                let op = self.patch(model);
                let after = model.after(&[self.wrap(vec![op.clone()])]);
                vec![op, checkpoint(&after, CheckpointReason::Tail, None)]
            }
            14..=16 => self.life(model),
            17 => self.housekeeping(model),
            18 => self.reads(model),
            19..=24 => self.work(model),
            25..=30 => model.judged.ops(&mut self.rng).into_iter().map(Op::Work).collect(),
            _ => vec![Op::Meta { name: "script", value: format!("{:x}", self.rng.u64(..)) }],
        };
        self.wrap(ops)
    }

    fn patch(&mut self, model: &Model) -> Op {
        let name = format!("k{}", self.rng.u32(0..NAMES));
        let value = self.value();
        match self.rng.u8(0..10) {
            0..=4 => {
                let value = if self.rng.u8(0..6) == 0 { Value::Null } else { value };
                journal(model, Format::Merge, &json!({ name: value, "n": self.rng.u32(..) }))
            }
            5 | 6 => journal(model, Format::Json, &self.edits(model, &name, value)),
            7 => journal(model, Format::Shallow, &json!({ name: value })),
            8 => {
                let edits = self.edits(model, &name, value);
                let many = json!([
                    {"format": "json", "patch": edits},
                    {"format": "merge", "patch": {"many": self.rng.u8(..)}},
                ]);
                journal(model, Format::Many, &many)
            }
            _ => journal(model, Format::Set, &json!({ name: value, "set": true })),
        }
    }

    fn edits(&mut self, model: &Model, name: &str, value: Value) -> Value {
        let path = format!("/{name}");
        let old = model.state.get(name);
        match old {
            Some(old) if self.rng.bool() => {
                json!([{"op": "test", "path": path, "value": old}, {"op": "remove", "path": path}])
            }
            Some(_) => json!([{"op": "replace", "path": path, "value": value}]),
            None if model.state.get("list").is_some_and(Value::is_array) => {
                json!([{"op": "add", "path": "/list/-", "value": self.rng.u32(..)}])
            }
            None => json!([
                {"op": "add", "path": path, "value": value},
                {"op": "add", "path": "/list", "value": []},
            ]),
        }
    }

    fn value(&mut self) -> Value {
        match self.rng.u8(0..8) {
            0 => json!(self.noise(200..900)),
            1 if self.rng.u8(0..3) == 0 => json!(self.noise(5_000..14_000)),
            2 => json!({"a": self.rng.i32(..), "b": [self.rng.bool(), null]}),
            _ => json!(self.rng.u32(..)),
        }
    }

    /// Text that does not compress to nothing.
    fn noise(&mut self, len: std::ops::Range<usize>) -> String {
        let len = self.rng.usize(len);
        (0..len).map(|_| self.rng.alphanumeric()).collect()
    }

    fn label(&mut self) -> Option<String> {
        (self.rng.u8(0..3) == 0).then(|| format!("label-{}", self.rng.u8(0..5)))
    }

    fn key(&mut self) -> Op {
        let key = hash(self.next_key);
        self.next_key += 1;
        Op::Key(KeyRow { key, request: hash(self.rng.u64(..)), result: self.noise(2..40) })
    }

    /// An incarnation begins, or the running one ends.
    fn life(&mut self, model: &Model) -> Vec<Op> {
        let incarnation = model.last_incarnation;
        if model.running.is_none() {
            return vec![Op::Begin(IncarnationStart {
                incarnation: incarnation + 1,
                run_id: "run".to_owned(),
                reason: "crash".to_owned(),
                process: ProcessIdentity {
                    pid: self.rng.i32(2..30_000),
                    session: self.rng.i32(2..30_000),
                    start_ticks: u64::from(self.rng.u32(..)),
                    boot_id: "boot".to_owned(),
                },
                release: None,
            })];
        }
        let checkpoint_row = checkpoint(model, CheckpointReason::Crash, None);
        let memory = RestartMemory {
            crashes_in_row: self.rng.u32(0..5),
            delay_left: self.rng.bool().then(|| Duration::from_millis(self.rng.u64(1..60_000))),
            restarts: self.rng.u32(0..50),
            before_loop: self.rng.bool().then(|| self.rng.u64(1..100)),
            rolled_back: self.rng.bool(),
            crashes: RestartMemory::default()
                .crashes
                .map(|_| Age::from_millis(self.rng.u64(0..1 << 40))),
        };
        vec![
            checkpoint_row,
            Op::Pin { checkpoint: model.highest_checkpoint + 1, incarnation },
            Op::End(Box::new(IncarnationEnd {
                incarnation,
                class: ExitClass::Signal,
                exit: Some(Exit::Signal { signal: 9, core: false }),
                summary: "killed".to_owned(),
                uptime: Duration::from_millis(self.rng.u64(1..100_000)),
                version: model.version,
                output: self.noise(0..2_000).into_bytes(),
                backoff: memory.delay_left,
                backoff_why: "crash".to_owned(),
                held: Vec::new(),
                steps: Vec::new(),
                asked_by: None,
            })),
            Op::Restart(memory),
        ]
    }

    fn housekeeping(&mut self, model: &Model) -> Vec<Op> {
        match self.rng.u8(0..4) {
            0 => {
                vec![checkpoint(model, CheckpointReason::Request, None), Op::Forget { path: None }]
            }
            _ => vec![Op::Prune { keep: self.rng.u64(1..4), all: self.rng.bool() }],
        }
    }

    /// An event comes with something else, or something becomes of those there are.
    fn work(&mut self, model: &Model) -> Vec<Op> {
        let there: Vec<Seq> = model.events.keys().copied().collect();
        let ops = match (self.rng.u8(0..8), self.rng.choice(&there).copied()) {
            (0..=2, _) | (_, None) => {
                let seq = model.last_seq + 1;
                let arrival = self.arrival(seq);
                vec![WorkOp::Arrive(Box::new(arrival)), self.step(seq)]
            }
            (3 | 4, Some(seq)) => vec![WorkOp::Status(Box::new(self.status(seq)))],
            (5, Some(seq)) => vec![WorkOp::Drop { seq }],
            (6, Some(seq)) => vec![self.step(seq), self.step(0)],
            (_, Some(_)) => {
                let (ns, key) = ("agent".into(), format!("k{}", self.rng.u8(0..6)).into());
                if self.rng.u8(0..4) == 0 {
                    vec![WorkOp::KvDelete { ns, key }]
                } else {
                    let json = format!("\"{}\"", self.noise(1..300));
                    vec![WorkOp::KvPut(Box::new(KvRow {
                        ns,
                        key,
                        value: KvValue::Json(json.into()),
                    }))]
                }
            }
        };
        ops.into_iter().map(Op::Work).collect()
    }

    fn arrival(&mut self, seq: Seq) -> Arrival {
        let status = EventStatus { state: EventState::Pending, wait: None, ..self.status(seq) };
        let body = format!("{{\"type\":\"test\",\"data\":\"{}\"}}", self.noise(2..700));
        Arrival { status, kind: "test".into(), body: body.into(), id: Some(hash(seq)) }
    }

    fn status(&mut self, seq: Seq) -> EventStatus {
        let states = [EventState::Pending, EventState::Parked, EventState::Acked, EventState::Dead];
        let state = states[self.rng.usize(0..states.len())];
        let place = Age::from_millis(self.rng.u64(0..1 << 40));
        EventStatus {
            seq,
            state,
            place,
            due: place,
            born: place,
            attempt: self.rng.u32(0..9),
            deaths: 0,
            nacks: self.rng.u32(0..9),
            holder: 1,
            version: self.rng.u64(0..100),
            wait: (state == EventState::Parked).then(|| "event:never".into()),
            reason: self.rng.bool().then(|| self.noise(1..60).into()),
        }
    }

    /// A step is begun, for the first time or again.
    fn step(&mut self, seq: Seq) -> WorkOp {
        let scope = if seq == 0 { Scope::Named("named".into()) } else { Scope::Event(seq) };
        let name = format!("s{}", self.rng.u8(0..3));
        WorkOp::Step(Box::new(StepRow {
            key: StepKey { scope, name: name.into() },
            state: StepState::Open,
            attempt: self.rng.u32(1..100),
            idempotency_key: self.noise(4..12).into(),
            input_hash: None,
            outcome: None,
            review: None,
        }))
    }

    fn reads(&mut self, model: &Model) -> Vec<Op> {
        let key = hash(self.rng.u64(1..=self.next_key));
        vec![
            Op::ListCheckpoints { limit: 3 },
            Op::RecallKey { key },
            Op::LoadCheckpoint(CheckpointRef::Id(model.highest_checkpoint)),
        ]
    }
}

fn hash(number: u64) -> KeyHash {
    u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes()
}

fn journal(model: &Model, format: Format, patch: &Value) -> Op {
    Op::Journal(JournalRow {
        version: model.version + 1,
        format,
        patch: Arc::from(patch.to_string()),
        by: "agent".into(),
        incarnation: model.last_incarnation,
    })
}

fn checkpoint(model: &Model, reason: CheckpointReason, label: Option<String>) -> Op {
    Op::Checkpoint(CheckpointRow {
        id: model.highest_checkpoint + 1,
        version: model.version,
        label,
        reason,
        incarnation: model.last_incarnation,
        root: Node::from_valid(&model.state.to_string()),
    })
}
