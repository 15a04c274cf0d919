//! What is written to the disk and read from it, as data: the typed writes of
//! the machine, their receipts, and what a start needs to know.
//!
//! The store carries these out and decides nothing about them. What must be on
//! disk before somebody may be told of it is in one [`Unit`], and the telling
//! waits for that unit's [`Receipt`].

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::exit::{Exit, ExitClass};
use super::io::Incarnation;
use super::work::{Seq, StepKey, WorkAnswer, WorkOp, WorkRestored};
use crate::clock::{Age, Wall};
use crate::engines::state::{Format, Node};

/// Names a unit; rises by one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnitId(pub u64);

/// Writes that reach the disk together or not at all. Several units may share
/// one transaction; no unit is split over two.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its name.
    pub id: UnitId,
    /// After a failure the machine starts a new epoch, and the store drops
    /// every unit of an older one: they were built on what was never written.
    pub epoch: u32,
    /// The wall clock for the rows it makes.
    pub at: Wall,
    /// adrt's own count of time for them, which is written down with it now
    /// and then.
    pub age: Age,
    /// Commit it in a transaction of its own.
    pub alone: bool,
    /// It may use the space of the reserve file (the crash ledger, a last
    /// checkpoint, pruning).
    pub privileged: bool,
    /// What to write, in order.
    pub ops: Vec<Op>,
}

/// One typed write, or a read that must see the writes before it.
#[derive(Debug, Clone)]
pub enum Op {
    /// A new version of the state.
    Journal(JournalRow),
    /// A whole snapshot. Retention runs in the same transaction.
    Checkpoint(CheckpointRow),
    /// Keeps a checkpoint for the sake of the crash of that incarnation.
    Pin {
        /// The checkpoint.
        checkpoint: u64,
        /// The incarnation that crashed.
        incarnation: Incarnation,
    },
    /// Remembers a keyed request and its result.
    Key(KeyRow),
    /// Reads a remembered result: answered by [`Answer::Recalled`].
    RecallKey {
        /// Hash of the key.
        key: KeyHash,
    },
    /// An incarnation was started.
    Begin(IncarnationStart),
    /// An incarnation ended: the crash ledger's row.
    End(Box<IncarnationEnd>),
    /// What the restart policy must not forget.
    Restart(RestartMemory),
    /// Reads a checkpoint's content: answered by [`Answer::Loaded`].
    LoadCheckpoint(CheckpointRef),
    /// Reads the list: answered by [`Answer::Checkpoints`], newest first.
    ListCheckpoints {
        /// At most so many.
        limit: u64,
    },
    /// Deletes all checkpoints but the newest `keep` (labelled and pinned ones
    /// too when `all`), and the journal that only they needed: answered by
    /// [`Answer::Removed`].
    Prune {
        /// How many stay; at least 1.
        keep: u64,
        /// Labelled and pinned ones are not spared.
        all: bool,
    },
    /// Drops every version but the present one, from journal and checkpoints,
    /// overwriting what they held (`secure_delete`): answered by
    /// [`Answer::Removed`]. The machine puts a checkpoint of the present
    /// state before it in the same unit.
    Forget {
        /// Only if some older version still kept has another value at this
        /// JSON Pointer than the present one.
        path: Option<String>,
    },
    /// Tries whether the disk takes writes again, and remakes the reserve
    /// file: answered by [`Answer::Reserve`].
    RebuildReserve,
    /// A setting kept for the next run (`script`, `release`).
    Meta {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Events, steps, timers and the like.
    Work(WorkOp),
}

/// One change of the state.
#[derive(Debug, Clone)]
pub struct JournalRow {
    /// The version it makes; one more than the one before, except after damage.
    pub version: u64,
    /// How `patch` is written.
    pub format: Format,
    /// The change, as it came in.
    pub patch: Arc<str>,
    /// Who: `agent`, `operator`, `restore:<checkpoint id>`.
    pub by: Cow<'static, str>,
    /// Under which incarnation (0: none ran).
    pub incarnation: Incarnation,
}

/// Why a checkpoint was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointReason {
    /// `checkpoint.create`, or `adrt checkpoints create`.
    Request,
    /// The journal's tail outgrew its bound.
    Tail,
    /// `--checkpoint-every`.
    Every,
    /// The incarnation crashed.
    Crash,
    /// The incarnation or the run ended otherwise.
    End,
    /// Before another release of the agent starts.
    Release,
    /// Of a state that was restored from elsewhere.
    Restore,
}

impl CheckpointReason {
    /// As it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Tail => "tail",
            Self::Every => "every",
            Self::Crash => "crash",
            Self::End => "end",
            Self::Release => "release",
            Self::Restore => "restore",
        }
    }
}

/// A snapshot to write.
#[derive(Debug, Clone)]
pub struct CheckpointRow {
    /// Its number, given by the machine.
    pub id: u64,
    /// Of this version.
    pub version: u64,
    /// A person's name for it.
    pub label: Option<String>,
    /// Why.
    pub reason: CheckpointReason,
    /// Under which incarnation (0: none ran).
    pub incarnation: Incarnation,
    /// The state; shared with the machine, written out on the store's thread.
    pub root: Node,
}

/// What is known of a stored checkpoint without reading its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointInfo {
    /// Its number.
    pub id: u64,
    /// Of this version.
    pub version: u64,
    /// When.
    pub created: Wall,
    /// A person's name for it.
    pub label: Option<String>,
    /// [`CheckpointReason::as_str`], or what a newer adrt wrote.
    pub reason: String,
    /// Under which incarnation.
    pub incarnation: Incarnation,
    /// Bytes it takes on disk.
    pub bytes: u64,
    /// Bytes of the state's JSON text.
    pub state_bytes: u64,
}

impl CheckpointInfo {
    /// As it stands on the wire and in `--json`.
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "id": self.id,
            "version": self.version,
            "created": self.created.rfc3339(),
            "label": self.label,
            "reason": self.reason,
            "incarnation": self.incarnation,
            "bytes": self.bytes,
            "state_bytes": self.state_bytes,
        })
        .to_string()
    }
}

/// How a person or an agent names a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointRef {
    /// By number.
    Id(u64),
    /// By label; the newest that has it.
    Label(String),
}

/// SHA-256, cut to 16 bytes: the file never holds the keys themselves.
pub type KeyHash = [u8; 16];

/// A keyed request that was done.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// Hash of the key.
    pub key: KeyHash,
    /// Hash of method and params.
    pub request: KeyHash,
    /// The result that was, or will be, sent. `bytes` of a checkpoint made in
    /// the same unit is filled in by the store.
    pub result: String,
}

/// The row of a started incarnation.
#[derive(Debug, Clone)]
pub struct IncarnationStart {
    /// Its number.
    pub incarnation: Incarnation,
    /// The `adrt run` it belongs to.
    pub run_id: String,
    /// What `start.reason` said.
    pub reason: String,
    /// Its process and process group; with the boot id, its session and start
    /// time it tells whether a left-over group is still ours to kill.
    pub process: ProcessIdentity,
    /// `--release`.
    pub release: Option<String>,
}

/// What tells a process from another that got its number later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessIdentity {
    /// Process id, which is also its group's.
    pub pid: i32,
    /// Its session.
    pub session: i32,
    /// Start time in clock ticks since boot (/proc/PID/stat field 22).
    pub start_ticks: u64,
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: String,
}

/// Stands for the boot of a client that adrt did not start. No kernel names a
/// boot so, and without its session and start time it matches no process.
const NO_BOOT: &str = "attached";

impl ProcessIdentity {
    /// Of a client that attached itself. Its number is kept to be shown;
    /// nothing else of it is, so that no later run can take it, or whoever has
    /// its number then, for something that adrt left behind and may kill.
    pub fn attached(pid: i32) -> Self {
        Self { pid, session: 0, start_ticks: 0, boot_id: NO_BOOT.to_owned() }
    }

    /// Whether it is of such a client: never to be signalled.
    pub fn is_attached(&self) -> bool {
        self.boot_id == NO_BOOT
    }
}

/// The ledger's row of an ended incarnation.
#[derive(Debug, Clone)]
pub struct IncarnationEnd {
    /// Its number.
    pub incarnation: Incarnation,
    /// What its end was.
    pub class: ExitClass,
    /// What wait said; none for [`ExitClass::Lost`] and `ExecFailed`.
    pub exit: Option<Exit>,
    /// One sentence for people.
    pub summary: String,
    /// How long it had lived.
    pub uptime: Duration,
    /// Version of the state when it ended.
    pub version: u64,
    /// The last of its stderr and text, at most 64 KiB.
    pub output: Vec<u8>,
    /// The delay chosen before the next start; none when there is none.
    pub backoff: Option<Duration>,
    /// Why that delay, or why no next start.
    pub backoff_why: String,
    /// The events it held.
    pub held: Vec<Seq>,
    /// The steps it was in: begun during its life and not completed; at most
    /// [`STEPS_TOLD_MAX`].
    pub steps: Vec<StepAttempt>,
    /// Who had asked for it, in words; none where nobody had.
    pub asked_by: Option<String>,
}

/// Steps that are told of one end: an agent is in one, mostly, and in as many
/// as it has threads at the most.
pub const STEPS_TOLD_MAX: usize = 32;

/// One try of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepAttempt {
    /// Its scope and name.
    pub key: StepKey,
    /// Which try.
    pub attempt: u32,
}

/// What the restart policy carries over a restart of adrt or of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestartMemory {
    /// Crashes since the last progress.
    pub crashes_in_row: u32,
    /// Time left of a delay that had begun: kept as a span, since a device
    /// without a clock has no point in time to keep.
    pub delay_left: Option<Duration>,
    /// Starts after crashes in this run, for `--max-restarts`.
    pub restarts: u32,
    /// The newest checkpoint that is older than the first of those crashes.
    pub before_loop: Option<u64>,
    /// It was gone back to, in this loop.
    pub rolled_back: bool,
    /// When the last crashes were, oldest first; zero where there was none.
    pub crashes: [Age; UNSTABLE_CRASHES + 1],
}

/// More crashes than so many within [`UNSTABLE_SPAN`] make an agent unstable,
/// however long it lived in between.
pub const UNSTABLE_CRASHES: usize = 6;
/// See [`UNSTABLE_CRASHES`].
pub const UNSTABLE_SPAN: Duration = Duration::from_secs(3600);

/// What happened to one unit that was committed.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Which.
    pub unit: UnitId,
    /// What its ops had to say, in their order; most say nothing.
    pub answers: Vec<Answer>,
}

/// What a committed op says.
#[derive(Debug, Clone)]
pub enum Answer {
    /// [`Op::Checkpoint`]: what was written.
    Checkpoint(CheckpointInfo),
    /// [`Op::RecallKey`]; `None` if it is forgotten by now.
    Recalled(Option<String>),
    /// [`Op::LoadCheckpoint`]; `None` if there is no such checkpoint, or its
    /// content is damaged.
    Loaded(Option<(CheckpointInfo, Node)>),
    /// [`Op::ListCheckpoints`].
    Checkpoints(Vec<CheckpointInfo>),
    /// [`Op::Prune`], [`Op::Forget`].
    Removed {
        /// Checkpoints deleted.
        checkpoints: u64,
        /// Journal rows deleted.
        versions: u64,
    },
    /// [`Op::RebuildReserve`]: whether the reserve file is there again.
    Reserve(bool),
    /// [`Op::Work`].
    Work(WorkAnswer),
}

impl Answer {
    /// What it says about work, if it does.
    pub fn as_work(&self) -> Option<&WorkAnswer> {
        match self {
            Self::Work(answer) => Some(answer),
            Self::Checkpoint(_)
            | Self::Recalled(_)
            | Self::Loaded(_)
            | Self::Checkpoints(_)
            | Self::Removed { .. }
            | Self::Reserve(_) => None,
        }
    }
}

/// Units that have reached the disk.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// One each, in the order they were sent.
    pub receipts: Vec<Receipt>,
    /// Bytes in used pages of the file, for the budget.
    pub used_bytes: u64,
    /// Bytes written to the disk by this transaction, WAL frames included.
    pub written_bytes: u64,
}

/// Why a transaction failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFailure {
    /// The epoch of the units it took along; the store drops all others of it.
    pub epoch: u32,
    /// What was wrong with the disk.
    pub kind: StoreFailureKind,
    /// The failure was in COMMIT or fsync: the units may or may not be there.
    /// The connection is closed; the store waits to be reopened.
    pub outcome_unknown: bool,
    /// SQLite's and the system's words.
    pub message: String,
    /// The reserve file was given up to make room.
    pub reserve_freed: bool,
}

/// The kinds of trouble a disk makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFailureKind {
    /// No space, quota, or a file-size limit.
    Full,
    /// Mounted or remounted read-only, or permissions taken away.
    ReadOnly,
    /// An I/O error.
    Io,
    /// The file is damaged.
    Damaged,
    /// Anything else; the message says.
    Other,
}

impl StoreFailureKind {
    /// Whether the same request may succeed later.
    pub const fn retryable(self) -> bool {
        match self {
            Self::Full | Self::ReadOnly | Self::Io => true,
            Self::Damaged | Self::Other => false,
        }
    }
}

/// What must be known before the first spawn: read, and its checksums
/// checked, while nothing else runs.
#[derive(Debug, Clone, Default)]
pub struct Boot {
    /// The number of the last incarnation, 0 if there was none.
    pub last_incarnation: Incarnation,
    /// How it ended.
    pub last_end: Option<LastEnd>,
    /// The release of the last one whose start is on record.
    pub last_release: Option<String>,
    /// What the restart policy remembers.
    pub restart: RestartMemory,
    /// The database was made, or made anew after damage, by this opening.
    pub origin: Origin,
    /// Meta settings kept by [`Op::Meta`], by name.
    pub meta: Vec<(String, String)>,
    /// Process of the last incarnation, if its end was never recorded.
    pub orphan: Option<ProcessIdentity>,
}

/// Where the state comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// There was no database.
    #[default]
    First,
    /// There was one.
    Kept,
    /// There was a damaged one, and the operator had said to go on.
    Damaged,
}

/// The end of the last incarnation of an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEnd {
    /// What it was.
    pub class: ExitClass,
    /// What wait said.
    pub exit: Option<Exit>,
    /// When.
    pub ended: Wall,
}

/// The state and all else the machine keeps in memory.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The state.
    pub root: Node,
    /// Its version.
    pub version: u64,
    /// The highest version ever seen; the next one is greater than both.
    pub highest_version: u64,
    /// The newest sound checkpoint.
    pub checkpoint: Option<CheckpointInfo>,
    /// The highest checkpoint number ever given.
    pub highest_checkpoint: u64,
    /// Bytes of journal after it.
    pub tail_bytes: u64,
    /// The newest incarnation whose start is on record.
    pub last_begun: Incarnation,
    /// Remembered keys with the hash of their requests, oldest first.
    pub keys: Vec<(KeyHash, KeyHash, Wall)>,
    /// Bytes in used pages of the file.
    pub used_bytes: u64,
    /// Events, steps, timers and the like.
    pub work: WorkRestored,
    /// Sentences about what had to be passed over.
    pub warnings: Vec<String>,
}
