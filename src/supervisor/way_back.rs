//! The way back from a release that turns out badly: a checkpoint of the state
//! as the one before it left it.
//!
//! It is taken in the transaction that records the first start under the new
//! release, so there is none without the other, whatever is killed when. Which
//! start that is depends on the disk: while that refuses, records wait, and a
//! later one may be written first. The agent's own writes are refused then, so
//! the state is still what it was.

use super::apply::Applied;
use super::book::Book;
use super::io::{Boot, CheckpointReason, Incarnation, Origin};
use super::records::labelled_checkpoint_op;

/// See the module's text.
#[derive(Debug)]
pub(super) struct WayBack {
    /// While it is not on the disk.
    label: Option<String>,
    /// It has been sent there.
    under_way: bool,
    /// The first start of this run.
    first: Incarnation,
}

impl WayBack {
    /// There is one to be taken if the last start was of another release, and
    /// there is something to go back to.
    pub fn new(release: Option<&str>, boot: &Boot) -> Self {
        let had_life = boot.last_incarnation > 0 && boot.origin == Origin::Kept;
        let other = release.filter(|release| boot.last_release.as_deref() != Some(*release));
        let label = other.filter(|_| had_life).map(|release| format!("before {release}"));
        Self { label, under_way: false, first: boot.last_incarnation + 1 }
    }

    /// What it will be called.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// A start is being recorded.
    pub fn take(&mut self, book: &mut Book, applied: &mut Applied) {
        let Some(label) = self.label.clone().filter(|_| !self.under_way) else { return };
        if book.has_begun(self.first) {
            // A COMMIT that failed was one after all. What the new release has
            // written since is not to be taken for what was before it.
            self.label = None;
            return;
        }
        self.under_way = true;
        let (reason, last) = (CheckpointReason::Release, self.first - 1);
        let mut ops = Vec::new();
        labelled_checkpoint_op(book, &mut ops, reason, Some(label), last);
        ops.append(&mut applied.ops);
        (applied.ops, applied.changed) = (ops, true);
    }

    /// A record of a start is on the disk.
    pub fn recorded(&mut self) {
        if self.under_way {
            self.label = None;
        }
    }

    /// What was under way did not come to pass, as far as anybody knows.
    pub fn taken_back(&mut self) {
        self.under_way = false;
    }
}
