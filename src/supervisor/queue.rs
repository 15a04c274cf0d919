//! Everything that waits: for its turn, or for its commit.
//!
//! ```text
//!             apply                    receipt, in order
//!  waiting ───────────►  flight  ───────────────────────►  answered
//!     ▲                    │
//!     └────────────────────┘
//!       a transaction failed: all that is unanswered runs again,
//!       alone, once
//! ```
//!
//! One line for all: the agent's requests, the operator's and adrt's own
//! writes keep one order, so a read sees the writes before it and an answer
//! never overtakes an earlier one. An entry in flight has been applied to the
//! speculative state; it is answered when it is at the head of the line and
//! its unit, if it has one, has reached the disk.
//!
//! A *barrier* is an entry whose result later ones depend on and which the
//! store has to look up first (the content of an old checkpoint, the result
//! remembered under a key): nothing behind it is applied until it is answered.
//!
//! Every entry carries the length of the line it came in, and the queue knows
//! their sum exactly: it bounds what an agent may have under way.

use std::collections::VecDeque;
use std::sync::Arc;

use super::book::Doc;
use super::counters::Tally;
use super::draft::{Follow, Known};
use super::io::{
    Answer, CheckpointInfo, CheckpointReason, ConnId, Incarnation, IncarnationEnd,
    IncarnationStart, KeyHash, Receipt, SourceBatch, UnitId, WorkOp,
};
use super::outbox::Text;
use crate::clock::Mono;
use crate::engines::state::Node;
use crate::protocol::error::WireError;
use crate::protocol::message::{Request, Restore, Write};

/// Who waits for the answer.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The agent; without an id nobody does.
    Agent {
        /// Which process of it.
        incarnation: Incarnation,
        /// JSON text.
        id: Option<Box<str>>,
    },
    /// A connection to the control socket.
    Operator {
        /// Which.
        conn: ConnId,
        /// The other end's user.
        uid: u32,
        /// JSON text.
        id: Option<Box<str>>,
    },
    /// adrt itself.
    Own,
}

impl Origin {
    /// Whether it is an agent that waits for the answer.
    fn is_agent_waiting(&self) -> bool {
        matches!(self, Self::Agent { id: Some(_), .. })
    }
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Work {
    /// What somebody asked for.
    Request(Request),
    /// The second half of a restore: its content is here.
    Restore {
        /// What was asked.
        restore: Restore,
        /// Which it is.
        info: CheckpointInfo,
        /// What it holds.
        root: Node,
    },
    /// The second half of a write: what it had to know is here.
    Informed {
        /// What was asked.
        write: Write,
        /// What was looked up for it.
        known: Known,
    },
    /// What adrt writes for itself.
    Own(Own),
    /// Nothing: the answer is made, and waits for its turn.
    Answered(Body),
}

/// adrt's own writes. What the restart policy remembers is not in them: it is
/// taken as it stands when they are applied, so that a record which had to
/// wait for the disk brings no old memory back.
#[derive(Debug, Clone)]
pub enum Own {
    /// An incarnation was started.
    Begin(IncarnationStart),
    /// An incarnation ended. Its version is filled in when it is applied.
    Ended(Box<IncarnationEnd>),
    /// An automatic checkpoint.
    Checkpoint(CheckpointReason),
    /// The last checkpoint of the run, and what the next one must know.
    Farewell,
    /// What the restart policy must not forget has changed.
    Restart,
    /// Whether the disk takes writes again.
    Probe,
    /// The file is past its budget: lets the store shed what it can.
    MakeRoom,
    /// Hands out what can be handed out.
    HandOut,
    /// Reads on in the inbox.
    Fetch,
    /// Fires timers and ends reviews that are due.
    Timers,
    /// Lines of a source.
    Source(Arc<SourceBatch>),
    /// A post has arrived, or never will.
    Posted {
        /// Which.
        id: u64,
    },
    /// Reads on in what is to be sent.
    FetchPosts,
    /// A setting for the next run.
    Meta {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

/// What an answer will be made of.
#[derive(Debug, Clone)]
pub enum Body {
    /// There is nobody to answer.
    Nothing,
    /// Known already.
    Text(Text),
    /// Refused; nothing was applied.
    Error(WireError),
    /// Known but for the size of the checkpoints made: `"bytes":null`, in order.
    AwaitsBytes(String),
    /// The remembered result of an earlier request with the same key.
    Recalled,
    /// A list of checkpoints.
    Checkpoints,
    /// A checkpoint's content, for the second half of a restore.
    Loaded(Restore),
    /// How much was deleted.
    Removed,
    /// What a write has to know, for its second half.
    Informs {
        /// The write.
        write: Write,
        /// What was asked for it.
        questions: Vec<WorkOp>,
    },
    /// The answer to a question about work.
    Looked,
    /// A restore after which events wait again: its version, and how many.
    Reopened {
        /// The version.
        version: u64,
    },
    /// It is answered when there is something to say, at the latest then.
    Later(Mono),
}

/// An entry that waits for its turn.
#[derive(Debug)]
pub struct Waiting {
    /// Who asked.
    pub origin: Origin,
    /// For what.
    pub work: Work,
    /// It failed along with others once: now it gets a transaction of its own.
    pub second_try: bool,
    /// Bytes of the agent's line it came in; 0 for everybody else's.
    pub size: usize,
}

/// An entry that has been applied.
#[derive(Debug)]
pub struct Flight {
    /// Who asked.
    pub origin: Origin,
    /// For what: kept to run it again.
    pub work: Work,
    /// It is the second try.
    pub second_try: bool,
    /// As in [`Waiting`].
    pub size: usize,
    /// The state before it, if a live agent must be told of the change.
    pub before: Option<Node>,
    /// What was sent to the store for it.
    pub unit: Option<UnitId>,
    /// It has reached the disk.
    pub committed: bool,
    /// What the answer is made of.
    pub body: Body,
    /// What the store said.
    pub answers: Vec<Answer>,
    /// The state it makes.
    pub after: Option<Doc>,
    /// The keys it is remembered by.
    pub keys: Vec<KeyHash>,
    /// See the module's text.
    pub barrier: bool,
    /// Hashes of the events that come with it.
    pub ids: Vec<KeyHash>,
    /// What is to be done once it was answered.
    pub follow: Vec<Follow>,
    /// The agent got on by it.
    pub progress: bool,
    /// What is counted once it is on the disk.
    pub tally: Tally,
}

impl Flight {
    /// Whether a transaction that may or may not be there leaves it open what
    /// became of this: it was to write something.
    pub fn in_doubt(&self) -> bool {
        let looks_up = match &self.body {
            Body::Recalled
            | Body::Checkpoints
            | Body::Loaded(_)
            | Body::Informs { .. }
            | Body::Looked => true,
            Body::Later(_)
            | Body::Reopened { .. }
            | Body::Nothing
            | Body::Text(_)
            | Body::Error(_)
            | Body::AwaitsBytes(_)
            | Body::Removed => false,
        };
        // What they hand out along with their answer was never told.
        let says_only =
            matches!(self.work, Work::Request(Request::Initialize(_) | Request::Subscribe(_)));
        self.unit.is_some() && !looks_up && !says_only
    }
}

/// Both lines.
#[derive(Debug, Default)]
pub struct Queue {
    /// Not yet applied.
    waiting: VecDeque<Waiting>,
    /// Applied.
    flight: VecDeque<Flight>,
    /// Sum of the sizes in both.
    bytes: usize,
    /// Entries in both that an agent waits for.
    owed: usize,
}

impl Queue {
    /// Joins the end of the line.
    pub fn push(&mut self, origin: Origin, work: Work) {
        self.push_sized(origin, work, 0);
    }

    /// Joins the end of the line with what came in a line of so many bytes.
    pub fn push_sized(&mut self, origin: Origin, work: Work, size: usize) {
        self.bytes += size;
        self.owed += usize::from(origin.is_agent_waiting());
        self.waiting.push_back(Waiting { origin, work, second_try: false, size });
    }

    /// Goes to the head of what waits: it has had its turn before.
    pub fn push_front(&mut self, waiting: Waiting) {
        self.bytes += waiting.size;
        self.owed += usize::from(waiting.origin.is_agent_waiting());
        self.waiting.push_front(waiting);
    }

    /// What comes next, if it may be applied now.
    pub fn next(&self) -> Option<&Waiting> {
        let next = self.waiting.front()?;
        // Nothing is applied behind a barrier, nor behind one that runs
        // alone: so if there is one, it is the last.
        let closely = self.flight.back().is_some_and(|f| f.barrier || f.second_try);
        let alone = next.second_try && !self.flight.is_empty();
        (!closely && !alone).then_some(next)
    }

    /// Takes it out.
    pub fn pop_waiting(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.bytes -= waiting.size;
        self.owed -= usize::from(waiting.origin.is_agent_waiting());
        Some(waiting)
    }

    /// It has been applied.
    pub fn push_flight(&mut self, flight: Flight) {
        self.bytes += flight.size;
        self.owed += usize::from(flight.origin.is_agent_waiting());
        self.flight.push_back(flight);
    }

    /// Takes the head of the line if it needs to wait no longer.
    pub fn pop_settled(&mut self) -> Option<Flight> {
        let head = self.flight.front()?;
        if head.unit.is_some() && !head.committed {
            return None;
        }
        let head = self.flight.pop_front()?;
        self.bytes -= head.size;
        self.owed -= usize::from(head.origin.is_agent_waiting());
        Some(head)
    }

    /// Notes that units are on the disk; receipts come in the order in which
    /// the units were sent.
    pub fn settle(&mut self, receipts: Vec<Receipt>, mut each: impl FnMut(&Flight)) {
        let mut from = 0;
        for Receipt { unit, answers } in receipts {
            let found = self.flight.iter().skip(from).position(|f| f.unit == Some(unit));
            let Some(place) = found.map(|steps| from + steps) else { continue };
            from = place + 1;
            if let Some(flight) = self.flight.get_mut(place) {
                flight.committed = true;
                flight.answers = answers;
                each(flight);
            }
        }
    }

    /// Takes back all that is unanswered, oldest first.
    pub fn recall(&mut self) -> Vec<Flight> {
        let all: Vec<Flight> = self.flight.drain(..).collect();
        self.bytes -= all.iter().map(|flight| flight.size).sum::<usize>();
        self.owed -= all.iter().filter(|flight| flight.origin.is_agent_waiting()).count();
        all
    }

    /// Nothing waits for its turn.
    pub fn is_applied(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Entries that have been applied and not answered.
    pub fn in_flight(&self) -> usize {
        self.flight.len()
    }

    /// All entries.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.flight.len()
    }

    /// Bytes of the agent's lines that are in here.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether an agent waits for an answer to anything in here.
    pub fn owes_agent(&self) -> bool {
        self.owed > 0
    }

    /// Whether an incarnation's requests are in here.
    pub fn has_of(&self, incarnation: Incarnation) -> bool {
        let flight = self.flight.iter().map(|f| &f.origin);
        let mut all = flight.chain(self.waiting.iter().map(|w| &w.origin));
        all.any(|o| matches!(o, Origin::Agent { incarnation: of, .. } if *of == incarnation))
    }

    /// What there is to do or being done, in order.
    pub fn works(&self) -> impl Iterator<Item = &Work> {
        self.flight.iter().map(|f| &f.work).chain(self.waiting.iter().map(|w| &w.work))
    }

    /// Who waits for an answer.
    pub fn origins_mut(&mut self) -> impl Iterator<Item = &mut Origin> {
        let flight = self.flight.iter_mut().map(|f| &mut f.origin);
        flight.chain(self.waiting.iter_mut().map(|w| &mut w.origin))
    }
}
