//! What the tests build stores and units with.

use std::path::PathBuf;

use adrt::clock::{Age, Wall};
use adrt::engines::confidence::Calibration;
use adrt::engines::context::Risk;
use adrt::engines::decision::Verdict;
use adrt::engines::environment::Level;
use adrt::engines::state::{Format, Limits, Node};
use adrt::store::{Home, OnDamage, OpenError, Options, Reader, Store, backup};
use adrt::supervisor::io::{
    Answer, Boot, CheckpointReason, CheckpointRow, Exit, ExitClass, IncarnationEnd,
    IncarnationStart, JournalRow, KeyRow, Op, ProcessIdentity, Restored, Unit, UnitId,
};
use adrt::supervisor::rulings::{CalibrationRow, DecisionRow, PolicyRow};
use adrt::supervisor::work::{
    Arrival, EventState, EventStatus, KvRow, KvValue, PostRow, Repeat, ReviewRow, ReviewStatus,
    Scope, StepKey, StepRow, StepState, TimerRow, WorkOp,
};

/// The wall clock of the first unit of a test.
pub const T0: i64 = 1_700_000_000_000;
pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// A state directory with one agent in it.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub home: Home,
}

impl Place {
    pub fn new() -> Self {
        // In memory where that can be had: thousands of syncs are made here.
        let shm = std::path::Path::new("/dev/shm");
        let dir = tempfile::tempdir_in(shm).or_else(|_| tempfile::tempdir()).unwrap();
        let home = Home::new(&dir.path().join("state"), "agent").unwrap();
        home.create().unwrap();
        Self { dir, home }
    }

    pub fn try_open(&self, options: &Options) -> Result<(Store, Boot), OpenError> {
        Store::open(&self.home, options)
    }

    pub fn open(&self) -> Store {
        self.try_open(&options()).unwrap().0
    }

    pub fn reader(&self) -> Reader {
        Reader::open(&self.home).unwrap()
    }

    pub fn database(&self) -> PathBuf {
        self.home.database()
    }
}

/// No reserve file: most tests need none, and it is 8 MiB.
pub fn options() -> Options {
    Options { reserve: false, ..Options::default() }
}

pub fn on_damage(on_damage: OnDamage) -> Options {
    Options { on_damage, ..options() }
}

/// Makes units in the order of their numbers, and keeps the state they make.
pub struct Script {
    pub root: Node,
    pub version: u64,
    pub at: i64,
    pub checkpoint: u64,
    unit: u64,
    /// adrt's own count of time at the last unit, and the clock then.
    aged: (i64, i64),
}

impl Default for Script {
    fn default() -> Self {
        Self {
            root: Node::empty_object(),
            version: 0,
            at: T0,
            checkpoint: 0,
            unit: 0,
            aged: (0, T0),
        }
    }
}

impl Script {
    pub fn unit(&mut self, ops: Vec<Op>) -> Unit {
        self.unit += 1;
        self.aged = (self.age().millis() as i64, self.at);
        Unit {
            id: UnitId(self.unit),
            epoch: 0,
            at: Wall::from_millis(self.at),
            age: Age::from_millis(self.aged.0 as u64),
            alone: false,
            privileged: false,
            ops,
        }
    }

    /// adrt's own count of time at the next unit, as the machine counts: never
    /// back, and no step of the clock for more than a day.
    pub fn age(&self) -> Age {
        let (age, before) = self.aged;
        Age::from_millis((age + (self.at - before).clamp(0, DAY)) as u64)
    }

    /// An event of type `test` comes, with an id of its own.
    pub fn arrive_op(&self, seq: u64) -> Op {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&seq.to_le_bytes());
        Op::Work(WorkOp::Arrive(Box::new(Arrival {
            status: self.status(seq, EventState::Pending),
            kind: "test".into(),
            body: format!(r#"{{"type":"test","data":{seq}}}"#).into(),
            id: Some(id),
        })))
    }

    /// How far that event is, being as old as the next unit.
    pub fn status(&self, seq: u64, state: EventState) -> EventStatus {
        let age = self.age();
        EventStatus {
            seq,
            state,
            place: age,
            due: age,
            born: age,
            attempt: 1,
            deaths: 0,
            nacks: 0,
            holder: 1,
            version: 0,
            wait: (state == EventState::Parked).then(|| "event:never".into()),
            reason: None,
        }
    }

    pub fn status_op(&self, seq: u64, state: EventState) -> Op {
        Op::Work(WorkOp::Status(Box::new(self.status(seq, state))))
    }

    /// A merge patch, as the next version.
    pub fn patch_op(&mut self, patch: &str) -> Op {
        let limits = Limits { max_state: usize::MAX };
        self.root = self.root.apply(Format::Merge, patch, &limits).unwrap();
        self.version += 1;
        Op::Journal(JournalRow {
            version: self.version,
            format: Format::Merge,
            patch: patch.into(),
            by: "agent".into(),
            incarnation: 1,
        })
    }

    pub fn patch(&mut self, patch: &str) -> Unit {
        let op = self.patch_op(patch);
        self.unit(vec![op])
    }

    /// `{"n": <version>}`.
    pub fn count(&mut self) -> Unit {
        let patch = format!(r#"{{"n":{}}}"#, self.version + 1);
        self.patch(&patch)
    }

    pub fn checkpoint_op(&mut self, label: Option<&str>) -> Op {
        self.checkpoint += 1;
        Op::Checkpoint(CheckpointRow {
            id: self.checkpoint,
            version: self.version,
            label: label.map(str::to_owned),
            reason: CheckpointReason::Request,
            incarnation: 1,
            root: self.root.clone(),
        })
    }

    pub fn checkpoint(&mut self, label: Option<&str>) -> Unit {
        let op = self.checkpoint_op(label);
        self.unit(vec![op])
    }

    /// Goes on from what was restored.
    pub fn resume(&mut self, restored: &Restored) {
        self.root = restored.root.clone();
        self.version = restored.highest_version.max(restored.version);
        self.checkpoint = restored.highest_checkpoint;
    }
}

/// The commit of one unit, with its answers.
pub fn commit(store: &mut Store, unit: Unit) -> Vec<Answer> {
    let mut done = store.commit(&[unit]).unwrap();
    done.receipts.pop().unwrap().answers
}

pub fn key_op(key: u8, result: &str) -> Op {
    Op::Key(KeyRow { key: [key; 16], request: [key ^ 0xff; 16], result: result.to_owned() })
}

pub fn begin_op(incarnation: u64) -> Op {
    Op::Begin(IncarnationStart {
        incarnation,
        run_id: "run".to_owned(),
        reason: "first".to_owned(),
        process: ProcessIdentity {
            pid: 4242,
            session: 4200,
            start_ticks: 77,
            boot_id: "boot".to_owned(),
        },
        release: Some("r1".to_owned()),
    })
}

pub fn end_op(incarnation: u64, class: ExitClass, output: &[u8]) -> Op {
    Op::End(Box::new(IncarnationEnd {
        incarnation,
        class,
        exit: Some(Exit::Signal { signal: 9, core: false }),
        summary: "killed by signal 9".to_owned(),
        uptime: std::time::Duration::from_millis(1234),
        version: 1,
        output: output.to_vec(),
        backoff: Some(std::time::Duration::from_millis(500)),
        backoff_why: "first crash".to_owned(),
        held: Vec::new(),
        steps: Vec::new(),
        asked_by: None,
    }))
}

/// A step of that event, or of the scope `named` for 0.
pub fn step_op(seq: u64, name: &str) -> Op {
    let scope = if seq == 0 { Scope::Named("named".into()) } else { Scope::Event(seq) };
    Op::Work(WorkOp::Step(Box::new(StepRow {
        key: StepKey { scope, name: name.into() },
        state: StepState::Open,
        attempt: 1,
        idempotency_key: format!("{seq}-{name}").into(),
        input_hash: None,
        outcome: None,
        review: None,
    })))
}

pub fn kv_op(key: &str, value: &str) -> Op {
    Op::Work(WorkOp::KvPut(Box::new(KvRow {
        ns: "agent".into(),
        key: key.into(),
        value: KvValue::Json(value.into()),
    })))
}

pub fn timer_op(id: &str) -> Op {
    Op::Work(WorkOp::Timer(Box::new(TimerRow {
        id: id.into(),
        due: adrt::supervisor::work::Due::Age(Age::from_millis(1 << 40)),
        repeat: Repeat::Every(5000),
        event: r#"{"type":"tick"}"#.into(),
        kind: "tick".into(),
    })))
}

pub fn post_op(id: u64) -> Op {
    Op::Work(WorkOp::Post(Box::new(PostRow {
        id,
        to: "other".into(),
        token: format!("token-{id}").into(),
        event: r#"{"type":"hello"}"#.into(),
        delay_ms: 0,
    })))
}

/// A review that waits, or was settled at that time.
pub fn review_op(id: u64, settled: Option<i64>) -> Op {
    let status = if settled.is_some() { ReviewStatus::Approved } else { ReviewStatus::Pending };
    Op::Work(WorkOp::Review(Box::new(ReviewRow {
        id,
        key: None,
        prompt: "May I?".into(),
        options: None,
        default: ReviewStatus::Rejected,
        expires: None,
        decision: None,
        count: 1,
        asked: Wall::from_millis(settled.unwrap_or(T0)),
        status,
        answer: None,
        by: None,
        note: None,
        settled: settled.map(Wall::from_millis),
    })))
}

/// A decision about that event, by the policy of that number.
pub fn decision(id: u64, seq: u64, policy: u8) -> DecisionRow {
    DecisionRow {
        id,
        at: Wall::from_millis(T0),
        seq,
        kind: "service_overload".into(),
        context: "resource_pressure".into(),
        risk: Risk::High,
        confidence: 0.1 + 0.2,
        q: Some(1.0 / 3.0),
        environment: Level::Calm,
        threshold: 0.6,
        action: "restart_service".into(),
        reason: "high_resource_pressure".into(),
        verdict: Verdict::Execute,
        policy: [policy; 16],
        basis: format!(r#"{{"cpu":94,"of":{id}}}"#).into(),
        review: None,
        outcome: None,
        settled: None,
    }
}

pub fn decision_op(row: DecisionRow) -> Op {
    Op::Work(WorkOp::Decision(Box::new(row)))
}

/// One that waits for that review.
pub fn held(row: DecisionRow, review: u64) -> DecisionRow {
    DecisionRow { verdict: Verdict::Review, review: Some(review), ..row }
}

pub fn policy_op(policy: u8) -> Op {
    let text = format!(r#"{{"policy":{policy}}}"#).into();
    Op::Work(WorkOp::Policy(PolicyRow { id: [policy; 16], text }))
}

pub fn calibration_op(context: &str, a: f64, b: f64) -> Op {
    Op::Work(WorkOp::Calibration(CalibrationRow {
        context: context.into(),
        risk: Risk::High,
        calibration: Calibration { a, b, outcomes: 7, last: Age::from_millis(12_345) },
    }))
}

/// CRC-32C of fields as the store sums them, done over again here: a change
/// of the rule would make every file out there unreadable.
pub fn row_sum(table: &str, fields: &[&str]) -> i64 {
    let mut bytes = table.as_bytes().to_vec();
    for field in fields {
        bytes.push(2);
        bytes.extend((field.len() as u64).to_le_bytes());
        bytes.extend(field.as_bytes());
    }
    i64::from(crc32c_slowly(&bytes))
}

/// Bit by bit, from the polynomial.
fn crc32c_slowly(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

impl Place {
    /// Writes a row of `meta` as the store would.
    pub fn set_meta(&self, name: &str, value: &str) {
        let conn = rusqlite::Connection::open(self.database()).unwrap();
        let sum = row_sum("meta", &[name, value]);
        conn.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2, ?3)", (name, value, sum))
            .unwrap();
    }

    /// As a newer adrt does after it changed the tables.
    pub fn refresh_schema_sum(&self) {
        let conn = rusqlite::Connection::open(self.database()).unwrap();
        let mut bytes = b"sqlite_schema".to_vec();
        let mut statement = conn
            .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")
            .unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..4 {
                match row.get::<_, Option<String>>(column).unwrap() {
                    None => bytes.push(0),
                    Some(text) => {
                        bytes.push(2);
                        bytes.extend((text.len() as u64).to_le_bytes());
                        bytes.extend(text.as_bytes());
                    }
                }
            }
        }
        self.set_meta("adrt.schema_sum", &crc32c_slowly(&bytes).to_string());
    }
}

/// Rows of a table.
pub fn count(place: &Place, table: &str) -> u64 {
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    let sql = format!("SELECT count(*) FROM {table}");
    conn.query_row(&sql, [], |r| r.get::<_, i64>(0)).unwrap() as u64
}

/// A day at a time: no more is believed of the clock.
pub fn days(store: &mut Store, script: &mut Script, days: i64) {
    for _ in 0..days {
        script.at += DAY;
        commit(store, script.unit(vec![]));
    }
}

/// Another place, with what a backup of this one brings there.
pub fn restored_from_backup(place: &Place) -> Place {
    let file = place.dir.path().join("agent.backup");
    backup::backup(&place.home, &file).unwrap();
    let other = Place::new();
    std::fs::remove_dir_all(&other.home.dir).unwrap();
    backup::restore(&file, &other.home).unwrap();
    other
}
