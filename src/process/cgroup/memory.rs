//! What the kernel counts of those it killed for memory.
//!
//! Each group counts the processes in it that were killed so, whatever limit
//! it was that there was no memory under: its own, one above it, or all that
//! the machine has. The counter says how many, and not which; it tells about
//! the agent only where nobody else can have been meant:
//!
//! - the agent's own group, where memory is counted for it;
//! - the group that adrt and its agent share, as long as nobody else is in it
//!   but the processes above adrt, such as a container's init, which are still
//!   there afterwards;
//! - the same in version 1 of the groups.
//!
//! Elsewhere nothing is said: a SIGKILL is a SIGKILL.

use std::fs;
use std::path::{Path, PathBuf};

use super::here::{Found, Here};
use super::{files, groups_below};
use crate::process::table;
use crate::supervisor::io::Oom;

/// The counter, in both versions.
const KILLED: &str = "oom_kill";
const EVENTS_TWO: &str = "memory.events";
const EVENTS_ONE: &str = "memory.oom_control";
const LIMIT_TWO: &str = "memory.max";
const LIMIT_ONE: &str = "memory.limit_in_bytes";

/// What version 1 says where there is no limit is some number beyond this.
const NO_LIMIT_ONE_BYTES: u64 = 1 << 60;

/// So many steps lead from a process to its first ancestor, at most: a table
/// that changes while it is read must not make a ring of it.
const ANCESTORS_MAX: usize = 256;

/// Watches the counter over the lives of an agent.
///
/// A rise is told twice removed: what had risen by the last look, and the
/// agent has survived, befell another of its processes. So a death that the
/// kernel is still busy with is not taken for somebody else's.
#[derive(Debug, Default)]
pub struct Watch {
    counter: Option<Counter>,
    /// What has been told, or was before.
    settled: u64,
    /// What it was at the last look.
    last: u64,
    /// Nobody else can have been meant.
    alone: bool,
}

#[derive(Debug)]
struct Counter {
    file: PathBuf,
    /// Where the limits are that hold there, the innermost first.
    limits: Vec<PathBuf>,
    /// The group that others may be in; none if it is the agent's own.
    shared: Option<PathBuf>,
    /// It counts what is below it, too.
    below: bool,
}

impl Watch {
    /// For an agent in the group `own`, if it has one.
    pub(super) fn new(here: &Here, own: Option<&Path>) -> Self {
        let two = here.unified.as_ref().and_then(|found| Counter::two(found, own));
        let one = || here.memory.as_ref().and_then(Counter::one);
        Self { counter: two.or_else(one), ..Self::default() }
    }

    /// For an agent in a group of adrt's, or in none.
    pub fn of_this_process() -> Self {
        Self::new(&Here::read(), None)
    }

    /// Whether there is anything to look at.
    pub fn is_useful(&self) -> bool {
        self.counter.is_some()
    }

    /// A process of the agent is about to begin.
    pub fn begin(&mut self) {
        let Some(counter) = &self.counter else { return };
        self.settled = counter.read();
        self.last = self.settled;
        self.alone = counter.is_alone();
    }

    /// The agent is alive. What was killed of it by the look before.
    pub fn look(&mut self) -> Option<Oom> {
        let counter = self.counter.as_ref()?;
        let now = counter.read();
        let count = std::mem::replace(&mut self.last, now).saturating_sub(self.settled);
        self.settled += count;
        killed(counter, count, self.alone)
    }

    /// The agent has ended, just now. What was killed of it since the look
    /// before the last, itself included.
    pub fn end(&mut self) -> Option<Oom> {
        let counter = self.counter.as_ref()?;
        let now = counter.read();
        let count = now.saturating_sub(self.settled);
        (self.settled, self.last) = (now, now);
        killed(counter, count, self.alone)
    }
}

fn killed(counter: &Counter, count: u64, alone: bool) -> Option<Oom> {
    let told = count > 0 && alone && counter.is_alone();
    told.then(|| Oom { count, limit: counter.limit() })
}

impl Counter {
    /// That of the group, or of the nearest above it for which memory is counted.
    fn two(found: &Found, own: Option<&Path>) -> Option<Self> {
        let place = own.unwrap_or(&found.dir);
        let counted = |dir: &&Path| dir.join(EVENTS_TWO).is_file();
        let dir = upwards(place, &found.top).find(counted)?;
        Some(Self {
            file: dir.join(EVENTS_TWO),
            limits: upwards(dir, &found.top).map(|dir| dir.join(LIMIT_TWO)).collect(),
            shared: (own != Some(dir)).then(|| dir.to_owned()),
            below: true,
        })
    }

    fn one(found: &Found) -> Option<Self> {
        let file = found.dir.join(EVENTS_ONE);
        files::keyed(&found.dir, EVENTS_ONE, KILLED)?;
        Some(Self {
            file,
            limits: upwards(&found.dir, &found.top).map(|dir| dir.join(LIMIT_ONE)).collect(),
            shared: Some(found.dir.clone()),
            below: false,
        })
    }

    /// Where it can't be read nothing rises.
    fn read(&self) -> u64 {
        let dir = self.file.parent().unwrap_or(Path::new("/"));
        let name = self.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        files::keyed(dir, name, KILLED).unwrap_or(0)
    }

    fn limit(&self) -> Option<u64> {
        let limit = |file: &PathBuf| fs::read_to_string(file).ok()?.trim().parse().ok();
        self.limits.iter().filter_map(limit).filter(|bytes| *bytes < NO_LIMIT_ONE_BYTES).min()
    }

    fn is_alone(&self) -> bool {
        self.shared.as_ref().is_none_or(|dir| has_only_ours(dir, self.below))
    }
}

/// The group and those above it, as far as they can be seen.
fn upwards<'a>(dir: &'a Path, top: &'a Path) -> impl Iterator<Item = &'a Path> {
    dir.ancestors().take_while(move |above| above.starts_with(top))
}

/// Whether all its processes are adrt, below adrt, or above it. One that can't
/// be seen from here is a stranger.
fn has_only_ours(dir: &Path, below: bool) -> bool {
    let us = nix::unistd::getpid().as_raw();
    let above_us = ancestors(us);
    let ours = |pid: &i32| {
        *pid == us || *pid > 0 && (above_us.contains(pid) || ancestors(*pid).contains(&us))
    };
    let Ok(members) = files::members(dir) else { return false };
    if !members.iter().all(ours) {
        return false;
    }
    !below || groups_below(dir).iter().all(|group| has_only_ours(group, below))
}

fn ancestors(pid: i32) -> Vec<i32> {
    let parent = |pid: &i32| table::entry(*pid).map(|entry| entry.parent).filter(|pid| *pid > 0);
    std::iter::successors(parent(&pid), parent).take(ANCESTORS_MAX).collect()
}
