//! What goes into the machine and what comes out of it: the whole of its
//! contact with the world, as data.
//!
//! The loop that owns the machine turns every happening into an [`Input`],
//! and carries out every [`Effect`] in order. Nothing here touches anything.
//!
//! Two rules hold throughout:
//! - everything a child does is tagged with its incarnation, so that a late
//!   byte of a dead process can't touch its successor;
//! - what must be on disk before somebody may be told of it is in one
//!   [`Unit`], and the telling waits for that unit's [`Receipt`].

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Mono;
use crate::engines::decision::Policy;

pub use super::alerts::{Alert, AlertKind};
pub use super::exit::{Exit, ExitClass, Oom};
pub use super::occasion::Occasion;
pub use super::rulings::{CalibrationRow, DecisionRef, DecisionRow, PolicyRow};
pub use super::units::{
    Answer, Boot, CheckpointInfo, CheckpointReason, CheckpointRef, CheckpointRow, Committed,
    IncarnationEnd, IncarnationStart, JournalRow, KeyHash, KeyRow, LastEnd, Op, Origin,
    ProcessIdentity, Receipt, RestartMemory, Restored, STEPS_TOLD_MAX, StepAttempt, StoreFailure,
    StoreFailureKind, Unit, UnitId,
};
pub use super::wear::Wear;
pub use super::work::{
    Arrival, Due, EventRow, EventState, EventStatus, Fetch, Fetched, History, KvQuery, KvRow,
    KvValue, Place, PostRow, Repeat, ReviewRef, ReviewRow, ReviewStatus, Scope, Seq, StepFound,
    StepKey, StepRow, StepState, TimerRow, WorkAnswer, WorkOp, WorkRestored,
};

pub use crate::engines::environment::Sample;

/// Which process of the agent: 1, 2, 3 … over the agent's life.
pub type Incarnation = u64;

/// A connection to the control socket, numbered by the loop.
pub type ConnId = u64;

/// A happening.
#[derive(Debug, Clone)]
pub enum Input<'a> {
    /// The state has been read: at the start, and again after [`Effect::Resume`].
    Restored(Box<Restored>),
    /// It could not be.
    RestoreFailed(StoreFailure),
    /// The agent's process is there.
    Spawned {
        /// Which.
        incarnation: Incarnation,
        /// Its identity.
        process: ProcessIdentity,
        /// What `initialize` must show.
        token: String,
    },
    /// It could not be started.
    SpawnFailed {
        /// Which.
        incarnation: Incarnation,
        /// Why.
        failure: SpawnFailure,
    },
    /// A whole line of the wire whose first non-blank byte is `{`, without
    /// its newline. If it turns out to be text, [`Effect::PassLine`] says so.
    Line {
        /// Whose.
        incarnation: Incarnation,
        /// The line.
        line: &'a [u8],
    },
    /// A line that looked like a frame was longer than `max_frame` and was dropped.
    Overlong {
        /// Whose.
        incarnation: Incarnation,
    },
    /// So many bytes of what was sent have left for the agent.
    Sent {
        /// To whom.
        incarnation: Incarnation,
        /// How many.
        bytes: usize,
    },
    /// The agent closed its stdin; what was queued for it is dropped.
    SendFailed {
        /// Whose.
        incarnation: Incarnation,
    },
    /// Wait reported its end. Its group has been killed, the process reaped.
    Exited {
        /// Whose.
        incarnation: Incarnation,
        /// How.
        exit: Exit,
        /// Shortly before, or just then, the kernel killed for memory.
        oom: Option<Oom>,
    },
    /// The kernel killed processes of the agent's for memory; the agent itself
    /// lives.
    KilledForMemory {
        /// Whose.
        incarnation: Incarnation,
        /// What is known of it.
        oom: Oom,
    },
    /// An attached client has closed its side of the wire, and all it wrote
    /// has been handed in. It may still read.
    Eof {
        /// Whose.
        incarnation: Incarnation,
    },
    /// All it ever wrote has been handed in; its pipes are closed.
    Drained {
        /// Whose.
        incarnation: Incarnation,
        /// The last of its stderr and text, at most 64 KiB.
        output: Vec<u8>,
    },
    /// Units are on the disk.
    Committed(Committed),
    /// A transaction failed.
    StoreFailed(StoreFailure),
    /// A request on the control socket: one line.
    Operator {
        /// From where.
        conn: ConnId,
        /// The other end's user.
        uid: u32,
        /// The line.
        line: &'a [u8],
    },
    /// The connection is gone; nobody waits for its answers.
    OperatorGone {
        /// Which.
        conn: ConnId,
    },
    /// Lines of `--events`.
    Source(SourceBatch),
    /// What became of [`Effect::Post`].
    Posted {
        /// Which.
        id: u64,
        /// What.
        outcome: Posted,
    },
    /// From now on decisions go by this policy.
    Policy(Arc<Policy>),
    /// The rules file was read again and has this mistake: they go on by the
    /// policy that there is.
    PolicyRefused(String),
    /// A look at the machine's sensors.
    Sample(Sample),
    /// What is known of the agent's text, when [`super::machine::Machine::doubts_life`]
    /// asks for it.
    Output {
        /// Whose.
        incarnation: Incarnation,
        /// When it last wrote any, on whatever way.
        wrote: Option<Mono>,
        /// Until when it could write none, since nobody took adrt's.
        held_up: Option<Mono>,
    },
    /// Somebody asked adrt itself for something by a signal.
    Signal {
        /// For what.
        request: Request,
        /// Which signal, and from whom: "SIGTERM from pid 12 (bash, uid 0)".
        who: &'a str,
    },
    /// adrt and the agent's group were stopped by job control, and go on.
    StoodStill {
        /// For how long.
        span: Duration,
    },
    /// A deadline has passed: the earliest of [`super::machine::Machine::next_timeout`].
    Tick,
}

/// Lines of `--events`, and how far they are read with these. Handed in only
/// while [`super::machine::Machine::wants_source`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceBatch {
    /// Without their newlines; at most [`SOURCE_LINES_MAX`].
    pub lines: Vec<Vec<u8>>,
    /// Where to go on, as the reader words it: written down together with the
    /// events, and found in [`Boot::meta`] under [`SOURCE_POSITION`]. None for
    /// a source that can't be read again.
    pub position: Option<String>,
}

/// Lines of a source in one batch: they share one commit.
pub const SOURCE_LINES_MAX: usize = 256;
/// The name of the setting that holds a source's position.
pub const SOURCE_POSITION: &str = "source";

/// What became of an event for another agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// It is in the other's inbox, on the disk.
    Arrived,
    /// Not now; worth trying again. Why.
    Later(String),
    /// Never. Why.
    Refused(String),
}

/// What a signal to adrt means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP of a terminal that went away: a stop. The kernel and the shell
    /// both send one, so that a further one is no second request.
    HangUp,
    /// SIGQUIT: at once, with a trace of where the agent was.
    Quit,
    /// SIGUSR1.
    Checkpoint,
    /// SIGHUP.
    Reload,
}

/// Why a command could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpawnFailure {
    /// No such file: 127.
    NotFound(String),
    /// There, but not to be executed: 126.
    NotExecutable(String),
    /// The system had no process, memory or descriptor to give; worth trying again.
    System(String),
}

// ---------------------------------------------------------------- effects

/// Something to do.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Start the agent; where a client has attached itself, begin the wire
    /// with it.
    Spawn {
        /// As this incarnation.
        incarnation: Incarnation,
    },
    /// From the next line on, frames count on this agent's stdout.
    OpenWire {
        /// Whose.
        incarnation: Incarnation,
    },
    /// The line just handed in is text: pass it on.
    PassLine,
    /// Queue this line, newline included, for the agent's stdin.
    Send {
        /// To whom.
        incarnation: Incarnation,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close its stdin once the queue is empty.
    CloseStdin {
        /// Whose.
        incarnation: Incarnation,
    },
    /// Signal its process group.
    Signal {
        /// Whose.
        incarnation: Incarnation,
        /// How.
        signal: GroupSignal,
    },
    /// Let go of an attached client: close the wire, read no further. To be
    /// answered by [`Input::Drained`]. Nobody is signalled.
    LetGo {
        /// Of whom.
        incarnation: Incarnation,
    },
    /// Write a unit.
    Persist(Unit),
    /// After a failure: drop units older than this epoch, go on with it.
    /// When `reread`, close and reopen the file first, and answer
    /// [`Input::Restored`].
    Resume {
        /// The new epoch.
        epoch: u32,
        /// Whether to read all again.
        reread: bool,
    },
    /// Hand an event to another agent; answered by [`Input::Posted`].
    Post(PostRow),
    /// Answer on the control socket: a line, newline included.
    Reply {
        /// To whom.
        conn: ConnId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Read the rules file again, and answer with [`Input::Policy`], or
    /// [`Input::PolicyRefused`] if it has a mistake.
    Reload,
    /// Old versions were forgotten: so is what the log of the agent's output
    /// holds, which may say what they did.
    ForgetLog,
    /// Tell the service manager.
    Notify(Notice),
    /// Tell the operator, on adrt's stderr.
    Log {
        /// How grave.
        level: Level,
        /// What.
        message: String,
        /// `adrt` or the agent through `log`.
        from_agent: bool,
        /// What it is about, where somebody may look for that.
        occasion: Option<Occasion>,
        /// More of it: the members of a JSON object, as text.
        fields: Option<String>,
    },
    /// Tell a person, by `--on-alert`.
    Alert(Alert),
    /// The run is over. All units have been answered.
    Exit(Verdict),
}

/// What is sent to the agent's whole process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupSignal {
    /// SIGTERM, then SIGCONT for those that are stopped.
    Terminate,
    /// SIGABRT, for a trace of what hung.
    Abort,
    /// SIGKILL.
    Kill,
}

/// For the service manager (sd_notify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The agent is ready.
    Ready,
    /// A line for `systemctl status`.
    Status(String),
    /// The run is ending.
    Stopping,
    /// Starting or stopping takes longer, and is under way: so much more time,
    /// from now.
    ExtendTimeout(Duration),
}

/// How grave a line of the log is, by syslog's scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only with `--verbose`.
    Debug,
    /// The usual.
    Info,
    /// Something a person should see.
    Warning,
    /// Something failed.
    Error,
}

/// How the run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub outcome: Outcome,
    /// One sentence for people.
    pub message: String,
}

/// Why a run ended; decides adrt's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The agent was done.
    Done,
    /// Somebody asked it to stop.
    Stopped,
    /// `--max-restarts` was reached.
    GaveUp,
    /// A code in `--fatal-exit`.
    Fatal,
    /// `--restart never`, and the agent failed so.
    AgentFailed(Exit),
    /// The command could not be executed: 126 or 127.
    ExecFailed(i32),
    /// The store could not be read again.
    StoreFailed,
}
