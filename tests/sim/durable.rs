//! What is on the disk, and the whole history of it: the truth that all the
//! machine says is held against.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use adrt::clock::Wall;
use adrt::engines::state::{Format, Limits, Node};
use adrt::supervisor::io::{
    Answer, CheckpointInfo, CheckpointRef, CheckpointRow, IncarnationEnd, IncarnationStart,
    JournalRow, KeyHash, Op, ProcessIdentity, RestartMemory, Restored, Scope, StepState, Unit,
};
use serde_json::Value;

use super::model;
use super::unit;
use super::work::Work;

/// A checkpoint.
#[derive(Clone)]
pub struct Snapshot {
    pub info: CheckpointInfo,
    pub root: Node,
    pub pinned: bool,
}

/// A row of the ledger.
#[derive(Clone)]
pub struct Row {
    pub id: u64,
    pub begun: Option<ProcessIdentity>,
    pub release: Option<String>,
    pub end: Option<(IncarnationEnd, Wall)>,
}

/// A change that was made, for good.
#[derive(Clone)]
pub struct Version {
    pub value: Rc<Value>,
    pub format: Format,
    pub patch: Rc<str>,
    pub by: Rc<str>,
    pub before: u64,
}

/// A checkpoint that was made once, kept or not.
#[derive(Clone)]
pub struct Made {
    pub version: u64,
    pub bytes: u64,
    pub label: Option<String>,
}

#[derive(Clone)]
pub struct Durable {
    pub root: Node,
    pub version: u64,
    /// Damage once cost versions up to here: they are not used again.
    pub highest: u64,
    pub history: History,
    pub checkpoints: Vec<Rc<Snapshot>>,
    pub made: BTreeMap<u64, Made>,
    next_checkpoint: u64,
    pub keys: Vec<(KeyHash, KeyHash, Wall, Rc<str>)>,
    /// A key was forgotten: a repeat may be done again.
    pub forgot_key: bool,
    pub incarnations: BTreeMap<u64, Row>,
    pub restart: RestartMemory,
    pub meta: HashMap<String, String>,
    pub reserve: bool,
    pub work: Rc<Work>,
    /// Bytes of journal that are still kept.
    journal_bytes: u64,
}

/// Every version there ever was.
#[derive(Clone, Default)]
pub struct History(Rc<BTreeMap<u64, Version>>);

impl History {
    pub fn get(&self, version: u64) -> Option<&Version> {
        self.0.get(&version)
    }

    fn insert(&mut self, version: u64, row: Version) {
        Rc::make_mut(&mut self.0).insert(version, row);
    }

    pub fn from(&self, version: u64) -> impl Iterator<Item = (u64, &Version)> {
        self.0.range(version..).map(|(v, row)| (*v, row))
    }

    /// The version that a change made.
    pub fn patch(&self, text: &str) -> Option<u64> {
        self.0.iter().rev().find(|(_, row)| &*row.patch == text).map(|(v, _)| *v)
    }
}

impl Default for Durable {
    fn default() -> Self {
        let mut history = History::default();
        let value = Rc::new(serde_json::json!({}));
        let (patch, by) = ("".into(), "".into());
        history.insert(0, Version { value, format: Format::Set, patch, by, before: 0 });
        Self {
            root: Node::empty_object(),
            version: 0,
            highest: 0,
            history,
            checkpoints: Vec::new(),
            made: BTreeMap::new(),
            next_checkpoint: 1,
            keys: Vec::new(),
            forgot_key: false,
            incarnations: BTreeMap::new(),
            restart: RestartMemory::default(),
            meta: HashMap::new(),
            reserve: true,
            work: Rc::default(),
            journal_bytes: 0,
        }
    }
}

impl Durable {
    /// The state, by the model.
    pub fn value(&self) -> &Rc<Value> {
        &self.history.get(self.version).expect("every version is kept").value
    }

    pub fn is_new(&self) -> bool {
        self.incarnations.is_empty() && self.version == 0 && self.checkpoints.is_empty()
    }

    pub fn newest(&self) -> Option<&Rc<Snapshot>> {
        self.checkpoints.last()
    }

    pub fn used_bytes(&self) -> u64 {
        4096 + self.journal_bytes + self.checkpoints.iter().map(|c| c.info.bytes).sum::<u64>()
    }

    pub fn restored(&self) -> Restored {
        Restored {
            root: Node::from_valid(&self.root.to_text()),
            version: self.version,
            highest_version: self.highest.max(self.version),
            checkpoint: self.newest().map(|c| c.info.clone()),
            highest_checkpoint: self.next_checkpoint - 1,
            tail_bytes: self.tail_bytes(),
            last_begun: self.newest_begun().map_or(0, |row| row.id),
            keys: self.keys.iter().map(|(key, request, at, _)| (*key, *request, *at)).collect(),
            used_bytes: self.used_bytes(),
            work: self.work.restored(),
            warnings: Vec::new(),
        }
    }

    fn newest_begun(&self) -> Option<&Row> {
        self.incarnations.values().rev().find(|row| row.begun.is_some())
    }

    /// The release of the newest one whose start is on record.
    pub fn last_release(&self) -> Option<Option<String>> {
        self.newest_begun().map(|row| row.release.clone())
    }

    fn tail_bytes(&self) -> u64 {
        let after = self.newest().map_or(0, |c| c.info.version);
        self.history.from(after + 1).map(|(_, row)| row.patch.len() as u64).sum()
    }

    pub fn forget_a_key(&mut self) {
        if !self.keys.is_empty() {
            self.keys.remove(0);
            self.forgot_key = true;
            self.work_mut().decisions.lessons.forgetful = true;
        }
    }

    /// All units, or nothing: `self` is what was there before.
    pub fn transact(&self, units: &[Unit], max_db: u64) -> (Self, Vec<Vec<Answer>>) {
        let mut next = self.clone();
        let answers = units.iter().map(|unit| next.unit(unit)).collect();
        next.hold_budget(max_db);
        (next, answers)
    }

    fn unit(&mut self, unit: &Unit) -> Vec<Answer> {
        assert!(!unit.ops.is_empty(), "an empty unit");
        let mut answers = Vec::new();
        self.work_mut().begin_unit(unit);
        for op in &unit.ops {
            answers.extend(self.op(op, unit, &answers));
        }
        self.work_mut().end_unit(unit, &unit::effects(unit));
        answers
    }

    pub fn work_mut(&mut self) -> &mut Work {
        Rc::make_mut(&mut self.work)
    }

    fn op(&mut self, op: &Op, unit: &Unit, made: &[Answer]) -> Option<Answer> {
        let at = unit.at;
        match op {
            Op::Journal(row) => self.journal(row),
            Op::Checkpoint(row) => return Some(self.snapshot(row, at)),
            Op::Pin { checkpoint, incarnation } => self.pin(*checkpoint, *incarnation),
            Op::Key(row) => {
                assert!(
                    self.forgot_key || self.keys.iter().all(|(key, ..)| *key != row.key),
                    "a key was used a second time"
                );
                let result = fill_in(&row.result, made);
                self.keys.push((row.key, row.request, at, result.into()));
            }
            Op::RecallKey { key } => {
                let found = self.keys.iter().rev().find(|(k, ..)| k == key);
                return Some(Answer::Recalled(found.map(|(.., result)| result.to_string())));
            }
            Op::Begin(start) => {
                self.check_release(start, made);
                let row = self.row(start.incarnation);
                row.begun = Some(start.process.clone());
                row.release.clone_from(&start.release);
            }
            Op::End(end) => {
                // Below it when the disk took the record late.
                assert!(end.version <= self.version, "the ledger's version at an end");
                assert!(self.history.get(end.version).is_some(), "a version that never was");
                self.check_steps(end);
                let row = self.row(end.incarnation);
                row.end = Some(((**end).clone(), at));
                self.work_mut().ended(end.incarnation, end.class.is_crash());
            }
            Op::Restart(memory) => self.restart = *memory,
            Op::LoadCheckpoint(which) => {
                let found = self.find(which).map(|c| (c.info.clone(), c.root.clone()));
                return Some(Answer::Loaded(found));
            }
            Op::ListCheckpoints { limit } => {
                let limit = usize::try_from(*limit).unwrap();
                let list = self.checkpoints.iter().rev().take(limit);
                return Some(Answer::Checkpoints(list.map(|c| c.info.clone()).collect()));
            }
            Op::Prune { keep, all } => return Some(self.prune(*keep, *all)),
            Op::Forget { .. } => return Some(self.forget()),
            Op::RebuildReserve => return Some(Answer::Reserve(self.reserve)),
            Op::Meta { name, value } => drop(self.meta.insert((*name).into(), value.clone())),
            Op::Work(op) => return self.work_mut().op(op, unit).map(Answer::Work),
        }
        None
    }

    fn row(&mut self, id: u64) -> &mut Row {
        self.incarnations.entry(id).or_insert(Row { id, begun: None, release: None, end: None })
    }

    /// What it is said to have been in was begun, and did not come to its end;
    /// unless the event died of it just now, and its steps with it.
    fn check_steps(&self, end: &IncarnationEnd) {
        for told in &end.steps {
            let of_held = matches!(told.key.scope, Scope::Event(seq) if end.held.contains(&seq));
            let open = match self.work.steps.get(&told.key) {
                Some(row) => row.state == StepState::Open && row.attempt == told.attempt,
                None => of_held,
            };
            assert!(open, "incarnation {} was in no {told:?}", end.incarnation);
        }
    }

    /// The first start on record of another release comes with a checkpoint of
    /// what was before it, and no other one does.
    fn check_release(&self, start: &IncarnationStart, made: &[Answer]) {
        let labels = made.iter().filter_map(|answer| match answer {
            Answer::Checkpoint(info) if info.reason == "release" => info.label.as_ref(),
            _ => None,
        });
        let taken: Vec<&String> = labels.collect();
        // Before the first one there is nothing to go back to, or only what
        // somebody wrote without an agent.
        let Some(last) = self.last_release() else { return };
        let other = start.release.as_ref().filter(|_| last != start.release);
        let expected = other.map(|release| format!("before {release}"));
        assert_eq!(
            taken,
            expected.iter().collect::<Vec<_>>(),
            "{} after {last:?}",
            start.incarnation
        );
    }

    fn journal(&mut self, row: &JournalRow) {
        assert_eq!(row.version, self.version.max(self.highest) + 1, "versions rise by one");
        let patch: Value = serde_json::from_str(&row.patch).expect("a patch is JSON");
        let value = model::apply(self.value(), row.format, &patch);
        let value = value.expect("what reaches the disk applies");
        if !row.by.starts_with("restore:") && !self.forgot_key {
            assert_eq!(self.history.patch(&row.patch), None, "a change was made twice");
        }
        let limits = Limits { max_state: usize::MAX };
        self.root = self.root.apply(row.format, &row.patch, &limits).expect("it applies");
        let text: Value = serde_json::from_str(&self.root.to_text()).expect("a state is JSON");
        assert_eq!(text, value, "engine and model part ways at {}", row.version);
        let version = Version {
            value: value.into(),
            format: row.format,
            patch: (*row.patch).into(),
            by: (*row.by).into(),
            before: self.version,
        };
        self.history.insert(row.version, version);
        self.journal_bytes += row.patch.len() as u64;
        self.version = row.version;
    }

    fn snapshot(&mut self, row: &CheckpointRow, at: Wall) -> Answer {
        assert_eq!(row.version, self.version, "a checkpoint is of the present version");
        assert!(row.id >= self.next_checkpoint, "checkpoint numbers rise");
        let text = row.root.to_text();
        let value: Value = serde_json::from_str(&text).expect("a state is JSON");
        assert_eq!(value, **self.value(), "a checkpoint holds the state");
        let info = CheckpointInfo {
            id: row.id,
            version: row.version,
            created: at,
            label: row.label.clone(),
            reason: row.reason.as_str().into(),
            incarnation: row.incarnation,
            bytes: text.len() as u64 / 2 + 1,
            state_bytes: text.len() as u64,
        };
        self.next_checkpoint = row.id + 1;
        let (version, bytes, label) = (row.version, info.bytes, row.label.clone());
        self.made.insert(row.id, Made { version, bytes, label });
        let root = row.root.clone();
        self.checkpoints.push(Rc::new(Snapshot { info: info.clone(), root, pinned: false }));
        Answer::Checkpoint(info)
    }

    fn pin(&mut self, checkpoint: u64, incarnation: u64) {
        let version = self.version;
        let found = self.checkpoints.iter_mut().find(|c| c.info.id == checkpoint);
        let found = found.expect("a pin names a checkpoint that is there");
        assert_eq!(
            found.info.version, version,
            "the pin of {incarnation} keeps what it crashed on"
        );
        Rc::make_mut(found).pinned = true;
    }

    pub fn find(&self, which: &CheckpointRef) -> Option<&Rc<Snapshot>> {
        self.checkpoints.iter().rev().find(|c| match which {
            CheckpointRef::Id(id) => c.info.id == *id,
            CheckpointRef::Label(label) => c.info.label.as_ref() == Some(label),
        })
    }

    fn prune(&mut self, keep: u64, all: bool) -> Answer {
        assert!(keep > 0);
        let first_kept = self.checkpoints.len().saturating_sub(usize::try_from(keep).unwrap());
        let before = self.checkpoints.len();
        let mut place = 0;
        self.checkpoints.retain(|c| {
            place += 1;
            place > first_kept || (!all && (c.pinned || c.info.label.is_some()))
        });
        self.cut_journal();
        let gone = (before - self.checkpoints.len()) as u64;
        Answer::Removed { checkpoints: gone, versions: 0 }
    }

    fn forget(&mut self) -> Answer {
        let newest = self.newest().expect("a checkpoint comes before it").clone();
        assert_eq!(newest.info.version, self.version, "only the present version stays");
        let gone = self.checkpoints.len() as u64 - 1;
        self.checkpoints = vec![newest];
        self.journal_bytes = 0;
        Answer::Removed { checkpoints: gone, versions: 0 }
    }

    /// Only what lies after the newest checkpoint is needed.
    fn cut_journal(&mut self) {
        self.journal_bytes = self.tail_bytes();
    }

    fn hold_budget(&mut self, max_db: u64) {
        if self.used_bytes() > max_db && !self.checkpoints.is_empty() {
            while self.used_bytes() > max_db && self.checkpoints.len() > 2 {
                self.checkpoints.remove(0);
            }
            self.cut_journal();
        }
    }
}

/// Sizes of the checkpoints made in a unit, where its remembered result waits for them.
fn fill_in(result: &str, made: &[Answer]) -> String {
    made.iter().fold(result.to_owned(), |text, answer| match answer {
        Answer::Checkpoint(info) => {
            text.replacen("\"bytes\":null", &format!("\"bytes\":{}", info.bytes), 1)
        }
        _ => text,
    })
}
