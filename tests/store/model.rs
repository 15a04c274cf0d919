//! What the store must have, kept the plain way: `serde_json` values, vectors.
//!
//! A [`Model`] is all a reopened store can be asked about. It is made anew by
//! every commit, so that a test can say after which commit the store stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use adrt::engines::state::Format;
use adrt::supervisor::io::{
    Exit, ExitClass, Incarnation, KeyHash, Op, ProcessIdentity, RestartMemory, Unit,
};
use adrt::supervisor::work::{EventState, EventStatus, KvValue, Scope, Seq, StepRow, WorkOp};
use serde_json::Value;

use crate::judged::Judged;

/// A snapshot that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub id: u64,
    pub version: u64,
    pub label: Option<String>,
    pub state: Arc<Value>,
}

/// Everything that was committed so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub state: Arc<Value>,
    pub version: u64,
    /// Oldest first. Those that retention may have dropped are still in it.
    pub checkpoints: Vec<Snapshot>,
    pub highest_checkpoint: u64,
    pub keys: Vec<(KeyHash, KeyHash)>,
    pub last_incarnation: Incarnation,
    pub last_end: Option<(ExitClass, Option<Exit>)>,
    pub running: Option<ProcessIdentity>,
    pub restart: RestartMemory,
    pub meta: BTreeMap<String, String>,
    /// Events that are kept, by number.
    pub events: BTreeMap<Seq, Event>,
    pub last_seq: Seq,
    /// Attempts of open steps, by the number of their event (0: of a named scope) and name.
    pub steps: BTreeMap<(Seq, String), u32>,
    pub kv: BTreeMap<String, String>,
    pub judged: Judged,
}

/// An event that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub status: EventStatus,
    pub body: Arc<str>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            state: Arc::new(Value::Object(serde_json::Map::new())),
            version: 0,
            checkpoints: Vec::new(),
            highest_checkpoint: 0,
            keys: Vec::new(),
            last_incarnation: 0,
            last_end: None,
            running: None,
            restart: RestartMemory::default(),
            meta: BTreeMap::new(),
            events: BTreeMap::new(),
            last_seq: 0,
            steps: BTreeMap::new(),
            kv: BTreeMap::new(),
            judged: Judged::default(),
        }
    }
}

impl Model {
    /// What these units make of it.
    pub fn after(&self, units: &[Unit]) -> Self {
        let mut after = self.clone();
        for op in units.iter().flat_map(|unit| &unit.ops) {
            after.apply(op);
        }
        after
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Journal(row) => {
                assert_eq!(row.version, self.version + 1, "the script's own mistake");
                let state = change(&self.state, row.format, &row.patch);
                self.state = Arc::new(state);
                self.version = row.version;
            }
            Op::Checkpoint(row) => {
                self.highest_checkpoint = row.id;
                self.checkpoints.push(Snapshot {
                    id: row.id,
                    version: row.version,
                    label: row.label.clone(),
                    state: Arc::clone(&self.state),
                });
            }
            Op::Key(row) => self.keys.push((row.key, row.request)),
            Op::Begin(start) => {
                self.last_incarnation = start.incarnation;
                self.running = Some(start.process.clone());
            }
            Op::End(end) => {
                self.running = None;
                self.last_end = Some((end.class, end.exit));
            }
            Op::Restart(memory) => self.restart = *memory,
            Op::Meta { name, value } => {
                self.meta.insert((*name).to_owned(), value.clone());
            }
            Op::Prune { keep, .. } => {
                let keep = usize::try_from(*keep).unwrap_or(usize::MAX);
                let drop = self.checkpoints.len().saturating_sub(keep);
                self.checkpoints.drain(..drop);
            }
            Op::Forget { .. } => {
                let drop = self.checkpoints.len().saturating_sub(1);
                self.checkpoints.drain(..drop);
                let acked: Vec<Seq> = self.of_state(EventState::Acked).collect();
                acked.into_iter().for_each(|seq| self.forget_event(seq));
                self.judged.forget();
            }
            Op::Work(op) => self.work(op),
            Op::Pin { .. }
            | Op::RecallKey { .. }
            | Op::LoadCheckpoint(_)
            | Op::ListCheckpoints { .. }
            | Op::RebuildReserve => {}
        }
    }

    fn work(&mut self, op: &WorkOp) {
        match op {
            WorkOp::Arrive(row) => {
                self.last_seq = row.status.seq;
                let event = Event { status: row.status.clone(), body: Arc::clone(&row.body) };
                self.events.insert(row.status.seq, event);
            }
            WorkOp::Status(status) => {
                let event = self.events.get_mut(&status.seq).expect("the script chose one");
                event.status = (**status).clone();
            }
            WorkOp::Drop { seq } => self.forget_event(*seq),
            WorkOp::Step(row) => {
                self.steps.insert(step_of(row), row.attempt);
            }
            WorkOp::KvPut(row) => {
                let KvValue::Json(json) = &row.value else { panic!("the script writes JSON") };
                self.kv.insert(row.key.to_string(), json.to_string());
            }
            WorkOp::KvDelete { key, .. } => {
                self.kv.remove(&**key);
            }
            other => assert!(self.judged.apply(other), "the script wrote {other:?}"),
        }
    }

    /// Numbers of the events in that state, oldest first.
    pub fn of_state(&self, state: EventState) -> impl Iterator<Item = Seq> + '_ {
        let all = self.events.values().map(|event| &event.status);
        all.filter(move |status| status.state == state).map(|status| status.seq)
    }

    fn forget_event(&mut self, seq: Seq) {
        self.events.remove(&seq);
        self.steps.retain(|(of, _), _| *of != seq);
    }
}

/// What the model knows a step by.
pub fn step_of(row: &StepRow) -> (Seq, String) {
    let seq = match row.key.scope {
        Scope::Event(seq) => seq,
        Scope::Named(_) => 0,
    };
    (seq, row.key.name.to_string())
}

/// The state after a change: each format by its definition, in few words.
fn change(state: &Value, format: Format, patch: &str) -> Value {
    let patch: Value = serde_json::from_str(patch).expect("the script writes JSON");
    let mut state = state.clone();
    match format {
        Format::Set => state = patch,
        Format::Merge => merge(&mut state, &patch),
        Format::Shallow => {
            let members = state.as_object_mut().expect("an object");
            members.extend(patch.as_object().expect("an object").clone());
        }
        Format::Json => {
            for op in patch.as_array().expect("an array") {
                edit(&mut state, op);
            }
        }
        Format::Many => {
            for one in patch.as_array().expect("an array") {
                let format = match one["format"].as_str() {
                    Some("set") => Format::Set,
                    Some("merge") => Format::Merge,
                    Some("shallow") => Format::Shallow,
                    Some("json") => Format::Json,
                    other => panic!("the script wrote the format {other:?}"),
                };
                state = change(&state, format, &one["patch"].to_string());
            }
        }
    }
    state
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let target = target.as_object_mut().expect("made one");
    for (name, value) in members {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The operations of RFC 6902 that the script uses, on top-level members and
/// at the end of a top-level array.
fn edit(state: &mut Value, op: &Value) {
    let path = op["path"].as_str().expect("a path");
    let members = state.as_object_mut().expect("an object");
    if let Some(name) = path.strip_suffix("/-") {
        let list = members.get_mut(&name[1..]).and_then(Value::as_array_mut);
        list.expect("the script made it").push(op["value"].clone());
        return;
    }
    let name = path[1..].to_owned();
    match op["op"].as_str() {
        Some("add" | "replace") => {
            members.insert(name, op["value"].clone());
        }
        Some("remove") => {
            members.remove(&name).expect("the script removes what is there");
        }
        Some("test") => assert_eq!(members[&name], op["value"]),
        other => panic!("the script wrote the operation {other:?}"),
    }
}
