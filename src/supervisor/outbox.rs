//! What is on its way to the agent.
//!
//! adrt never waits for an agent to read. What is said to it queues up: up to
//! [`HANDED_BOUND`] bytes with the loop, the rest here, unwritten. Answers
//! that carry a whole state stay a reference to it until there is room, so a
//! thousand reads of a large state do not become a thousand copies. While
//! anything waits here the machine takes no further requests from the agent,
//! which bounds the list by what was in flight. Changes that somebody else
//! makes meanwhile are told as one: the state as it is after the last of them.
//! Of the machine's environment only the last level is told, and none that the
//! agent knows already.

use std::collections::VecDeque;

use crate::engines::environment::Level;
use crate::engines::state::Node;
use crate::protocol::reply;

/// Past so many unread bytes the agent's stdout is no longer read.
pub const HANDED_BOUND: usize = 16 * 1024 * 1024;

/// A result, perhaps with a state still to be written into it.
#[derive(Debug, Clone)]
pub enum Text {
    /// JSON text.
    Plain(String),
    /// `head`, the JSON text of `node`, `tail`.
    WithState {
        /// Before it.
        head: String,
        /// The state.
        node: Node,
        /// After it.
        tail: String,
    },
}

impl Text {
    /// The JSON text.
    pub fn render(self) -> String {
        match self {
            Self::Plain(text) => text,
            Self::WithState { head, node, tail } => {
                let mut text = head;
                text.reserve(node.text_len() + tail.len());
                node.write_to(&mut text);
                text.push_str(&tail);
                text
            }
        }
    }
}

#[derive(Debug)]
enum Outgoing {
    Line(Vec<u8>),
    Result {
        id: Box<str>,
        text: Text,
    },
    /// Params of `state.changed`.
    Changed(Text),
    /// Params of `environment.changed`, and the level in them.
    Environment(Level, String),
}

/// The queue to one incarnation.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Outgoing>,
    handed: usize,
    closed: bool,
    /// The level it will know of when it has read what was handed over, and
    /// its greeting.
    level: Level,
}

impl Outbox {
    /// Queues a finished line.
    pub fn line(&mut self, line: Vec<u8>) {
        if !self.closed {
            self.waiting.push_back(Outgoing::Line(line));
        }
    }

    /// Queues a result.
    pub fn result(&mut self, id: &str, text: Text) {
        match text {
            _ if self.closed => {}
            Text::Plain(text) => self.line(reply::result_line(id, &text)),
            with_state @ Text::WithState { .. } => {
                self.waiting.push_back(Outgoing::Result { id: id.into(), text: with_state });
            }
        }
    }

    /// Queues a `state.changed` with these params; with `whole`, which must
    /// say all there is to know, if an earlier one has not gone out yet: then
    /// it takes the place of both.
    pub fn changed(&mut self, params: Text, whole: impl FnOnce() -> Text) {
        if self.closed {
            return;
        }
        let earlier = self.waiting.iter().position(|o| matches!(o, Outgoing::Changed(_)));
        let told = match earlier.and_then(|place| self.waiting.remove(place)) {
            Some(_) => whole(),
            None => params,
        };
        self.waiting.push_back(Outgoing::Changed(told));
    }

    /// It is being greeted, with this level of the environment.
    pub const fn greeted_with(&mut self, level: Level) {
        self.level = level;
    }

    /// Queues an `environment.changed` with these params, in the place of one
    /// that has not gone out yet; unless its last word was the same level.
    pub fn environment(&mut self, level: Level, params: String) {
        if self.closed {
            return;
        }
        self.waiting.retain(|outgoing| !matches!(outgoing, Outgoing::Environment(..)));
        if level != self.level {
            self.waiting.push_back(Outgoing::Environment(level, params));
        }
    }

    /// The next line to hand to the loop, if there is room for one.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        if self.handed >= HANDED_BOUND {
            return None;
        }
        let line = match self.waiting.pop_front()? {
            Outgoing::Line(line) => line,
            Outgoing::Result { id, text } => reply::result_line(&id, &text.render()),
            Outgoing::Changed(params) => {
                reply::notification_line("state.changed", &params.render())
            }
            Outgoing::Environment(level, params) => {
                self.level = level;
                reply::notification_line("environment.changed", &params)
            }
        };
        self.handed += line.len();
        Some(line)
    }

    /// So many bytes have been read by the agent, or at least by its pipe.
    pub fn sent(&mut self, bytes: usize) {
        self.handed = self.handed.saturating_sub(bytes);
    }

    /// Its stdin is about to be closed: what was handed over still leaves,
    /// and nothing follows.
    pub fn seal(&mut self) {
        self.closed = true;
        self.waiting.clear();
    }

    /// Nobody reads any more: the agent closed its stdin, or has ended.
    pub fn close(&mut self) {
        self.seal();
        self.handed = 0;
    }

    /// Whether anything can be told to it.
    pub fn is_open(&self) -> bool {
        !self.closed
    }

    /// Whether all of it has left.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.handed == 0
    }

    /// Whether more requests may be taken.
    pub fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.handed < HANDED_BOUND
    }
}
