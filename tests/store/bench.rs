//! The store on a virtual disk, and how what it says is compared with a model.

use std::collections::BTreeMap;
use std::path::Path;

use adrt::engines::state::Node;
use adrt::store::{Home, OpenError, Options, Store};
use adrt::supervisor::io::{
    Answer, Boot, CheckpointInfo, CheckpointRef, Op, Restored, StoreFailure, StoreFailureKind,
    Unit, UnitId,
};
use adrt::supervisor::work::{EventRow, EventState, EventStatus, Seq};
use serde_json::Value;

use crate::judged;
use crate::model::{Event, Model, Snapshot, step_of};
use crate::vfs::Vfs;

/// Where the store's home would be; nothing is looked for there, since with a
/// VFS the path is only the database's name.
const STATE_DIR: &str = "/virtual";
/// The database's name.
pub const DATABASE: &str = "/virtual/agent/db/adrt.db";
/// The WAL is moved into the file at so many pages: often, since nearly all
/// that can go wrong happens around it.
const WAL_MOVE_PAGES: u64 = 12;
/// So many of the newest checkpoints are never let go by retention alone.
const CHECKPOINTS_KEPT: usize = 5;

/// How the store is made to sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// As it does.
    Full,
    /// As it must not, for a control.
    Normal,
    /// Likewise.
    Off,
}

/// Why the store did not do what it was asked.
#[derive(Debug)]
pub enum Refusal {
    /// It says that the disk refused.
    Disk(StoreFailure),
    /// It says something else, or what it has is wrong.
    Other(String),
}

impl From<StoreFailure> for Refusal {
    fn from(failure: StoreFailure) -> Self {
        Self::Disk(failure)
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Failed(failure) => Self::Disk(failure),
            other => Self::Other(format!("not opened: {other}")),
        }
    }
}

/// An open store.
pub struct Bench {
    store: Store,
    /// What the opening said; none once it is out of date.
    boot: Option<Boot>,
}

impl Bench {
    pub fn open(vfs: &Vfs, setting: Setting) -> Result<Self, Refusal> {
        let home = Home::new(Path::new(STATE_DIR), "agent").expect("a good name");
        let options = Options {
            vfs: Some(vfs.name().to_owned()),
            reserve: false,
            wal_move_pages: WAL_MOVE_PAGES,
            ..Options::default()
        };
        let (store, boot) = Store::open(&home, &options)?;
        let bench = Self { store, boot: Some(boot) };
        match setting {
            Setting::Full => {}
            Setting::Normal => bench.pragma("synchronous = NORMAL"),
            Setting::Off => bench.pragma("synchronous = OFF"),
        }
        Ok(bench)
    }

    fn pragma(&self, text: &str) {
        let conn = self.store.raw().expect("just opened");
        conn.execute_batch(&format!("PRAGMA {text}")).expect("a setting of the connection");
    }

    pub fn commit(&mut self, units: &[Unit]) -> Result<(), StoreFailure> {
        self.boot = None;
        let committed = self.store.commit(units)?;
        let answered: Vec<_> = committed.receipts.iter().map(|receipt| receipt.unit).collect();
        let asked: Vec<_> = units.iter().map(|unit| unit.id).collect();
        assert_eq!(answered, asked, "one receipt a unit, in order");
        Ok(())
    }

    /// What the writer does when it has answered.
    pub fn rest(&mut self) {
        self.store.maintain();
    }

    /// Reopens and rereads, as after a failure whose outcome is not known.
    pub fn reopen(&mut self) -> Result<(), StoreFailure> {
        self.boot = None;
        self.store.reopen()
    }

    /// Closes it as a stop does; dropping it is a closing too, but says nothing.
    pub fn close(self) -> Result<(), StoreFailure> {
        self.store.close()
    }

    /// Which of `models` the store equals: the last of those that fit.
    /// `thorough` looks into each checkpoint and the structure of the file too.
    pub fn stands(&mut self, models: &[Model], thorough: bool) -> Result<usize, Refusal> {
        let restored = self.store.load()?;
        let inside = self.inside()?;
        let mut why = String::from("there is nothing to compare with");
        let mut stand = None;
        for (index, model) in models.iter().enumerate().rev() {
            match difference(model, &restored, &inside, self.boot.as_ref()) {
                None => {
                    stand = Some(index);
                    break;
                }
                Some(what) => why = what,
            }
        }
        let Some(stand) = stand else { return Err(Refusal::Other(why)) };
        if thorough {
            self.look_inside(&models[stand])?;
        }
        Ok(stand)
    }

    fn look_inside(&mut self, model: &Model) -> Result<(), Refusal> {
        let conn = self.store.raw().ok_or(Refusal::Other("closed".to_owned()))?;
        let sound: rusqlite::Result<String> =
            conn.query_row("PRAGMA integrity_check", [], |row| row.get(0));
        if let Ok(said) = sound
            && said != "ok"
        {
            return Err(Refusal::Other(format!("integrity_check: {said}")));
        }
        let kept = model.checkpoints.iter().rev().take(CHECKPOINTS_KEPT);
        for snapshot in kept {
            let (info, root) = self.load_checkpoint(snapshot.id)?;
            let same = info.version == snapshot.version
                && info.label == snapshot.label
                && value_of(&root) == *snapshot.state;
            if !same {
                return Err(Refusal::Other(format!("checkpoint {} differs", snapshot.id)));
            }
        }
        Ok(())
    }

    /// What a restore does not read: settled events, and the entries. Asked of
    /// the file itself, so that looking writes nothing.
    fn inside(&self) -> Result<Inside, Refusal> {
        let conn = self.store.raw().ok_or(Refusal::Other("closed".to_owned()))?;
        let read = || -> rusqlite::Result<Inside> {
            let mut entries = conn.prepare("SELECT key, json FROM kv")?;
            let entries = entries.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
            let mut events = conn.prepare(
                "SELECT i.seq, i.state, i.place, i.attempt, i.nacks, i.version, e.body
                 FROM inbox i LEFT JOIN events e ON e.seq = i.seq",
            )?;
            let events = events.query_map([], |r| {
                let numbers = [r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?];
                Ok((numbers, r.get(6)?))
            })?;
            Ok(Inside {
                entries: entries.collect::<rusqlite::Result<_>>()?,
                events: events.collect::<rusqlite::Result<_>>()?,
                judged: judged::Inside::of(conn)?,
            })
        };
        read().map_err(|error| {
            Refusal::Disk(StoreFailure {
                epoch: 0,
                kind: StoreFailureKind::Io,
                outcome_unknown: false,
                message: error.to_string(),
                reserve_freed: false,
            })
        })
    }

    fn load_checkpoint(&mut self, id: u64) -> Result<(CheckpointInfo, Node), Refusal> {
        let unit = Unit {
            id: UnitId(u64::MAX),
            epoch: 0,
            at: adrt::clock::Wall::from_millis(0),
            age: adrt::clock::Age::default(),
            alone: true,
            privileged: false,
            ops: vec![Op::LoadCheckpoint(CheckpointRef::Id(id))],
        };
        let committed = self.store.commit(&[unit])?;
        match committed.receipts.into_iter().next().and_then(|mut receipt| receipt.answers.pop()) {
            Some(Answer::Loaded(Some(loaded))) => Ok(loaded),
            other => Err(Refusal::Other(format!("checkpoint {id} is gone: {other:?}"))),
        }
    }
}

fn value_of(root: &Node) -> Value {
    serde_json::from_str(&root.to_text()).expect("a state is JSON")
}

/// The first thing that is not as the model has it.
fn difference(
    model: &Model,
    restored: &Restored,
    inside: &Inside,
    boot: Option<&Boot>,
) -> Option<String> {
    let newest = model.checkpoints.last();
    let same_checkpoint = |snapshot: &Snapshot, info: &CheckpointInfo| {
        (snapshot.id, snapshot.version, &snapshot.label) == (info.id, info.version, &info.label)
    };
    let checkpoint = match (newest, &restored.checkpoint) {
        (None, None) => true,
        (Some(snapshot), Some(info)) => same_checkpoint(snapshot, info),
        (None, Some(_)) | (Some(_), None) => false,
    };
    let state = || *model.state == value_of(&restored.root);
    let keys = restored.keys.iter().map(|(key, request, _)| (*key, *request));
    let checks = [
        ("the version", model.version == restored.version),
        ("the state", model.version != restored.version || state()),
        ("the highest version", restored.highest_version == model.version),
        ("the newest checkpoint", checkpoint),
        ("the highest checkpoint", model.highest_checkpoint == restored.highest_checkpoint),
        ("the keys", keys.eq(model.keys.iter().copied())),
        ("the last event", model.last_seq == restored.work.last_seq),
        ("the events that wait", waiting(model).eq(restored.work.first.rows.iter().map(shown))),
        ("the events that are parked or pending", depth(model) == restored.work.depth),
        ("the dead letters", model.of_state(EventState::Dead).count() as u64 == restored.work.dead),
        ("the open steps", open_steps(model) == steps(restored)),
        ("the entries", model.kv == inside.entries),
        ("the events", Inside::events_of(model) == inside.events),
        ("warnings", restored.warnings.is_empty()),
    ];
    let differs = checks.into_iter().find(|(_, same)| !same).map(|(what, _)| what);
    let differs = differs.or_else(|| model.judged.difference(restored, &inside.judged));
    let what = differs.or_else(|| boot.and_then(|boot| difference_at_boot(model, boot)))?;
    Some(format!(
        "{what} differs: the store is at version {} with checkpoint {:?}, the model at {} with {:?}",
        restored.version,
        restored.checkpoint.as_ref().map(|info| info.id),
        model.version,
        newest.map(|snapshot| snapshot.id),
    ))
}

/// The tables that a restore does not read.
struct Inside {
    entries: BTreeMap<String, String>,
    /// Number, state, place, attempt, nacks, version; content.
    events: Vec<([i64; 6], String)>,
    judged: judged::Inside,
}

impl Inside {
    fn events_of(model: &Model) -> Vec<([i64; 6], String)> {
        let row = |event: &Event| {
            let EventStatus { seq, state, place, attempt, nacks, version, .. } = event.status;
            let place = place.millis() as i64;
            let (seq, version) = (seq as i64, version as i64);
            let numbers = [seq, state.code(), place, attempt.into(), nacks.into(), version];
            (numbers, event.body.to_string())
        };
        model.events.values().map(row).collect()
    }
}

/// An event that waits, as it is compared.
type Waiting<'a> = (&'a EventStatus, &'a str);

fn shown(row: &EventRow) -> Waiting<'_> {
    (&row.status, &row.body)
}

/// In the order of their places.
fn waiting(model: &Model) -> impl Iterator<Item = Waiting<'_>> {
    let pending = model.of_state(EventState::Pending).map(|seq| &model.events[&seq]);
    let mut pending: Vec<Waiting<'_>> = pending.map(|e| (&e.status, &*e.body)).collect();
    pending.sort_by_key(|(status, _)| (status.place, status.seq));
    pending.into_iter()
}

fn depth(model: &Model) -> u64 {
    let parked = model.of_state(EventState::Parked).count();
    (model.of_state(EventState::Pending).count() + parked) as u64
}

type Steps = BTreeMap<(Seq, String), u32>;

fn steps(restored: &Restored) -> Steps {
    restored.work.open_steps.iter().map(|row| (step_of(row), row.attempt)).collect()
}

/// Those of events that are not settled, and of named scopes.
fn open_steps(model: &Model) -> Steps {
    let unsettled = |seq: &Seq| {
        *seq == 0
            || model.events.get(seq).is_some_and(|event| {
                matches!(event.status.state, EventState::Pending | EventState::Parked)
            })
    };
    let steps = model.steps.iter().filter(|((seq, _), _)| unsettled(seq));
    steps.map(|(key, attempt)| (key.clone(), *attempt)).collect()
}

/// The same for what an opening says.
fn difference_at_boot(model: &Model, boot: &Boot) -> Option<&'static str> {
    let end = boot.last_end.as_ref().map(|end| (end.class, end.exit));
    let meta = |name: &String| boot.meta.iter().find(|(n, _)| n == name).map(|(_, value)| value);
    let checks = [
        ("the last incarnation", model.last_incarnation == boot.last_incarnation),
        ("the last end", model.running.is_some() || model.last_end == end),
        ("the orphan", model.running == boot.orphan),
        ("the restart memory", model.restart == boot.restart),
        ("the settings", model.meta.iter().all(|(name, value)| meta(name) == Some(value))),
    ];
    checks.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
}
