//! The last inputs and effects, for the one who reads of a failure. Nothing
//! is written down until a seed has failed and runs again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use adrt::clock::Mono;
use adrt::supervisor::io::{Effect, Input};

/// Lines kept.
const KEPT: usize = 40;
/// Characters of a line kept.
const WIDTH: usize = 400;

/// Shared, so that it outlives a world that panicked.
#[derive(Clone)]
pub struct Trace(Option<Rc<RefCell<VecDeque<String>>>>);

impl Trace {
    pub fn off() -> Self {
        Self(None)
    }

    pub fn on() -> Self {
        Self(Some(Rc::default()))
    }

    pub fn note(&self, text: impl FnOnce() -> String) {
        let Some(lines) = &self.0 else { return };
        let mut lines = lines.borrow_mut();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(text().chars().take(WIDTH).collect());
    }

    pub fn input(&self, now: Mono, input: &Input<'_>) {
        self.note(|| {
            let at = now.since_origin();
            match input {
                Input::Line { incarnation, line } => {
                    format!("{at:?} <- line of {incarnation}: {}", String::from_utf8_lossy(line))
                }
                Input::Operator { conn, line, .. } => {
                    format!("{at:?} <- operator {conn}: {}", String::from_utf8_lossy(line))
                }
                other => format!("{at:?} <- {other:?}"),
            }
        });
    }

    pub fn effect(&self, effect: &Effect) {
        self.note(|| match effect {
            Effect::Send { incarnation, bytes } => {
                format!("    -> to {incarnation}: {}", String::from_utf8_lossy(bytes).trim_end())
            }
            Effect::Reply { conn, bytes } => {
                format!("    -> reply {conn}: {}", String::from_utf8_lossy(bytes).trim_end())
            }
            other => format!("    -> {other:?}"),
        });
    }

    pub fn text(&self) -> String {
        let lines = self.0.as_ref().map(|lines| lines.borrow().iter().cloned().collect::<Vec<_>>());
        lines.unwrap_or_default().join("\n")
    }
}
