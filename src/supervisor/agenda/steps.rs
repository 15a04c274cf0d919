//! Steps that were begun and not completed.
//!
//! A step that is done is only on the disk, and looked up when it is begun
//! again. An open one is known here with all of it, whichever incarnation
//! began it: what became of it after that one's death nobody knows.

use rpds::{RedBlackTreeMap, RedBlackTreeSet};

use crate::supervisor::io::{Incarnation, Scope, Seq, StepKey, StepRow};

/// Open steps at a time: far more than an agent has use for.
pub const STEPS_OPEN_MAX: usize = 10_000;

/// A step that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenStep {
    /// All of it.
    pub row: StepRow,
    /// Who began its present attempt; 0 where that is not known any more.
    pub incarnation: Incarnation,
    /// During whose life it was begun, be it by a command; 0 once it is known
    /// to be under way no more.
    pub under: Incarnation,
}

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Steps {
    open: RedBlackTreeMap<StepKey, OpenStep>,
    /// Held events that have a step which is done.
    done: RedBlackTreeSet<Seq>,
}

impl Steps {
    /// From what was read.
    pub fn new(rows: Vec<StepRow>) -> Self {
        let open = rows
            .into_iter()
            .map(|row| (row.key.clone(), OpenStep { row, incarnation: 0, under: 0 }));
        Self { open: open.collect(), done: RedBlackTreeSet::new() }
    }

    /// Whether no further one may be begun.
    pub fn is_full(&self) -> bool {
        self.open.size() >= STEPS_OPEN_MAX
    }

    /// An open one.
    pub fn get(&self, key: &StepKey) -> Option<&OpenStep> {
        self.open.get(key)
    }

    /// It is begun.
    pub fn begun(&mut self, row: StepRow, incarnation: Incarnation, under: Incarnation) {
        self.open.insert_mut(row.key.clone(), OpenStep { row, incarnation, under });
    }

    /// It is open no more: its outcome is on the disk.
    pub fn closed(&mut self, key: &StepKey) -> Option<StepRow> {
        let step = self.open.get(key)?.row.clone();
        self.open.remove_mut(key);
        if let Scope::Event(seq) = key.scope {
            self.done.insert_mut(seq);
        }
        Some(step)
    }

    /// Whether the present hand-out of an event has had a step done.
    pub fn has_done(&self, seq: Seq) -> bool {
        self.done.contains(&seq)
    }

    /// An event is out of the agent's hands for now: what was begun of it is
    /// not under way any more.
    pub fn event_let_go(&mut self, seq: Seq) {
        self.done.remove_mut(&seq);
        for key in self.of_scope(&Scope::Event(seq)) {
            if let Some(step) = self.open.get_mut(&key) {
                (step.incarnation, step.under) = (0, 0);
            }
        }
    }

    /// An event is settled for good: what was open of it never will be completed.
    pub fn event_is_over(&mut self, seq: Seq) {
        self.done.remove_mut(&seq);
        self.forget(&Scope::Event(seq));
    }

    /// All of a scope are forgotten.
    pub fn forget(&mut self, scope: &Scope) {
        for key in self.of_scope(scope) {
            self.open.remove_mut(&key);
        }
    }

    fn of_scope(&self, scope: &Scope) -> Vec<StepKey> {
        let first = StepKey { scope: scope.clone(), name: "".into() };
        let keys = self.open.range(first..).map(|(key, _)| key);
        keys.take_while(|key| key.scope == *scope).cloned().collect()
    }

    /// Those that were begun during that life and are under way.
    pub fn under_way(&self, incarnation: Incarnation) -> impl Iterator<Item = &StepRow> {
        let of_it = move |step: &&OpenStep| incarnation != 0 && step.under == incarnation;
        self.open.values().filter(of_it).map(|step| &step.row)
    }

    /// Those that are open.
    pub fn open(&self) -> impl Iterator<Item = &StepRow> {
        self.open.values().map(|step| &step.row)
    }
}
