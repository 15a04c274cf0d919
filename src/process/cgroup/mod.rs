//! Groups of the kernel (cgroups): one of the agent's own, where adrt may make
//! one.
//!
//! What is in a group stays in it, whatever it does: `setsid`, a double fork, a
//! parent that died. So all of it can be killed at once, by the next adrt too
//! if this one is killed, and a limit holds for all of it together. That takes
//! a tree of version 2 and a group that was handed to adrt (see `delegated`);
//! where there is none, processes are found by their parents and by their mark
//! (see [`super::sweep`]), and there is no limit.
//!
//! ```text
//!  D                     handed to adrt: a unit's group, under Delegate=yes
//!  ├─ agent.NAME.MARK    the agent and all it starts; a new one for each run
//!  └─ supervisor         adrt, but only where memory is limited
//! ```
//!
//! No controller is needed to kill. To limit memory one must be enabled for the
//! groups below D, and the kernel does so only when no process is in D itself;
//! then, and only then, adrt moves into a group of its own, and back when the
//! run is over. A group with other people's processes in it is never changed.
//!
//! Which controllers there are, `memory` counts by either version: that of
//! version 1 too, in which adrt makes no groups.

mod delegated;
mod files;
mod here;
mod in_use;
mod memory;

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;

use self::delegated::Delegated;
use self::here::Here;
pub use self::in_use::InUse;
pub use self::memory::Watch;
use super::{sweep, table};
use crate::clock;

/// What the agent's group is called, before the agent's name.
const AGENT_PREFIX: &str = "agent.";
/// What adrt's own is called.
const SUPERVISOR: &str = "supervisor";

const PROCESSES: &str = "cgroup.procs";
const CONTROLLERS: &str = "cgroup.controllers";
const ENABLED_BELOW: &str = "cgroup.subtree_control";
const EVENTS: &str = "cgroup.events";
const KILL: &str = "cgroup.kill";
const FREEZE: &str = "cgroup.freeze";
const MEMORY: &str = "memory";
const MEMORY_MAX: &str = "memory.max";
const SWAP_MAX: &str = "memory.swap.max";
const TOGETHER: &str = "memory.oom.group";

/// How often the members of a frozen group are read anew. Frozen, it makes no
/// new ones; only who was just entering it may be seen late.
const ROUNDS: usize = 16;

/// How long what was killed is waited for before its group is removed. A
/// process that hangs in the kernel may never go; its group then stays, empty
/// but for it, and is nobody's trouble.
const GONE_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks: the end of what is no child of ours is told to nobody.
const GONE_PAUSE: Duration = Duration::from_millis(1);

/// The agent's group.
#[derive(Debug)]
pub struct Group {
    dir: PathBuf,
    memory_max: Option<u64>,
    /// Where adrt was before it moved for the limit's sake.
    moved_from: Option<PathBuf>,
}

/// Why there is no group with a limit.
#[derive(Debug)]
pub enum Refusal {
    /// No tree of version 2 is mounted, or it has no group of ours.
    NoTree,
    /// The group that adrt is in is somebody else's to arrange.
    NotDelegated(PathBuf),
    /// It is adrt's, and can't be written: a hardened unit shows it read-only.
    NotWritable(PathBuf),
    /// The group has no controller for memory.
    NoController(PathBuf),
    /// Others are in it.
    Shared(PathBuf),
    /// The system refused.
    Io {
        /// What was touched.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTree => write!(f, "this system shows adrt no control group of version 2"),
            Self::NotDelegated(dir) => {
                write!(f, "the control group {} was not handed to adrt", dir.display())
            }
            Self::NotWritable(dir) => {
                write!(f, "the control group {} can't be written", dir.display())
            }
            Self::NoController(dir) => {
                write!(f, "the control group {} does not manage memory", dir.display())
            }
            Self::Shared(dir) => {
                write!(f, "other processes are in the control group {}", dir.display())
            }
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for Refusal {}

/// Whether memory could be limited, as far as a look can tell: for telling so
/// before anything is made.
///
/// # Errors
/// Why not.
pub fn foresee_limit() -> Result<(), Refusal> {
    let delegated = delegated(&Here::read())?;
    can_limit(&delegated)
}

fn delegated(here: &Here) -> Result<Delegated, Refusal> {
    here.unified.as_ref().ok_or(Refusal::NoTree).and_then(delegated::find)
}

fn can_limit(delegated: &Delegated) -> Result<(), Refusal> {
    let dir = &delegated.dir;
    if !files::has_word(dir, CONTROLLERS, MEMORY) {
        return Err(Refusal::NoController(dir.clone()));
    }
    if !files::has_word(dir, ENABLED_BELOW, MEMORY) && !delegated::is_alone(dir) {
        return Err(Refusal::Shared(dir.clone()));
    }
    Ok(())
}

impl Group {
    /// Makes a group for this agent, if adrt may; with a limit, if there is to
    /// be one, in bytes. `mark` is of this run alone.
    ///
    /// # Errors
    /// With a limit: why there can be none. Without: the system's refusal.
    pub fn make(agent: &str, mark: &str, memory_max: Option<u64>) -> Result<Option<Self>, Refusal> {
        let delegated = match delegated(&Here::read()) {
            Err(_) if memory_max.is_none() => return Ok(None),
            other => other?,
        };
        let moved_from = match memory_max {
            Some(_) => enable_memory(&delegated)?,
            None => None,
        };
        let dir = delegated.dir.join(format!("{AGENT_PREFIX}{agent}.{mark}"));
        let group = Self { dir, memory_max, moved_from };
        match group.build() {
            Ok(()) => Ok(Some(group)),
            Err(source) => {
                let path = group.dir.clone();
                group.remove();
                Err(Refusal::Io { path, source })
            }
        }
    }

    /// The group of an earlier run, which was called so. What is not named as
    /// groups of agents with that mark are is nobody's to touch.
    pub(super) fn left(dir: PathBuf, mark: &str) -> Option<Self> {
        let name = dir.file_name()?.to_str()?;
        let named = name.starts_with(AGENT_PREFIX) && name.ends_with(&format!(".{mark}"));
        let group = Self { dir, memory_max: None, moved_from: None };
        (named && group.dir.join(EVENTS).is_file()).then_some(group)
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What a new process writes `0` to in order to be in it. The group is made
    /// again if somebody has removed it, which one can while it is empty.
    ///
    /// # Errors
    /// The system's refusal.
    pub(super) fn entrance(&self) -> io::Result<OwnedFd> {
        match self.open_entrance() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.build()?;
                self.open_entrance()
            }
            other => other,
        }
    }

    fn open_entrance(&self) -> io::Result<OwnedFd> {
        let mut options = fs::OpenOptions::new();
        options.write(true).custom_flags(libc::O_CLOEXEC);
        options.open(self.dir.join(PROCESSES)).map(OwnedFd::from)
    }

    fn build(&self) -> io::Result<()> {
        match fs::create_dir(&self.dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            Ok(()) | Err(_) => {}
        }
        let Some(bytes) = self.memory_max else { return Ok(()) };
        files::set(&self.dir, MEMORY_MAX, &bytes.to_string())?;
        // Else the agent would be paged out instead, to a storage card perhaps,
        // and stand still for hours. Absent where the kernel has no swap.
        if self.dir.join(SWAP_MAX).is_file() {
            files::set(&self.dir, SWAP_MAX, "0")?;
        }
        // An agent that has lost a part of itself is not one that runs. Absent
        // before Linux 4.19.
        if self.dir.join(TOGETHER).is_file() {
            files::set(&self.dir, TOGETHER, "1")?;
        }
        Ok(())
    }

    /// Kills all that is in it, and in groups that the agent has made below it.
    /// Who enters it afterwards lives. Nobody is waited for.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn kill(&self) -> io::Result<()> {
        match files::set(&self.dir, KILL, "1") {
            // Before Linux 5.14; or the group is gone, which is as good.
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.kill_frozen(),
            other => other,
        }
    }

    /// Kills them one by one while they stand still.
    fn kill_frozen(&self) -> io::Result<()> {
        if !self.dir.is_dir() {
            return Ok(());
        }
        let frozen = files::set(&self.dir, FREEZE, "1");
        for _ in 0..ROUNDS {
            let members = members_below(&self.dir);
            for pid in &members {
                let Some(entry) = table::entry(*pid).filter(|entry| !entry.zombie) else {
                    continue;
                };
                // Still a member: so this is the process that was read.
                if members_below(&self.dir).contains(pid) {
                    sweep::kill_exactly(&entry);
                }
            }
            if members.is_empty() {
                break;
            }
        }
        // Whoever is left must be able to die.
        let thawed = files::set(&self.dir, FREEZE, "0");
        frozen.and(thawed)
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        files::keyed(&self.dir, EVENTS, "populated").is_none_or(|populated| populated == 0)
    }

    /// Waits until what was killed is gone, but not for ever.
    pub fn wait_empty(&self) {
        let deadline = clock::mono() + GONE_PATIENCE;
        while !self.is_empty() && clock::mono() < deadline {
            std::thread::sleep(GONE_PAUSE);
        }
    }

    /// A watch over those of it that are killed for memory.
    pub fn watch(&self) -> Watch {
        Watch::new(&Here::read(), Some(&self.dir))
    }

    /// Kills what is in it, removes it, and undoes what was done for it.
    pub fn remove(&self) {
        let _refused = self.kill();
        self.wait_empty();
        remove_groups(&self.dir);
        if let Some(dir) = &self.moved_from {
            // No process may be in a group that has controllers below it.
            let _others_use_it = files::set(dir, ENABLED_BELOW, "-memory");
            let _stays_then = files::set(dir, PROCESSES, &std::process::id().to_string());
            let _not_empty = fs::remove_dir(dir.join(SUPERVISOR));
        }
    }
}

/// Has memory counted for the groups below. Where adrt had to move for that,
/// the group it was in.
fn enable_memory(delegated: &Delegated) -> Result<Option<PathBuf>, Refusal> {
    can_limit(delegated)?;
    let dir = &delegated.dir;
    if files::has_word(dir, ENABLED_BELOW, MEMORY) {
        return Ok(None);
    }
    let moves = delegated.own == *dir;
    let done = if moves { move_down(dir) } else { Ok(()) };
    let done = done.and_then(|()| files::set(dir, ENABLED_BELOW, "+memory"));
    match done {
        Ok(()) => Ok(moves.then(|| dir.clone())),
        Err(source) => {
            let _where_we_were = files::set(dir, PROCESSES, &std::process::id().to_string());
            let _not_made = fs::remove_dir(dir.join(SUPERVISOR));
            Err(Refusal::Io { path: dir.clone(), source })
        }
    }
}

fn move_down(dir: &Path) -> io::Result<()> {
    let own = dir.join(SUPERVISOR);
    match fs::create_dir(&own) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        Ok(()) | Err(_) => {}
    }
    files::set(&own, PROCESSES, &std::process::id().to_string())
}

/// The processes of a group and of all below it.
fn members_below(dir: &Path) -> Vec<i32> {
    let mut members = files::members(dir).unwrap_or_default();
    for below in groups_below(dir) {
        members.extend(members_below(&below));
    }
    members
}

fn groups_below(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let is_group = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(is_group).map(|entry| entry.path()).collect()
}

/// Removes a group and those that the agent has made below it. One that still
/// has somebody in it stays.
fn remove_groups(dir: &Path) {
    for below in groups_below(dir) {
        remove_groups(&below);
    }
    let _not_empty = fs::remove_dir(dir);
}

#[cfg(test)]
mod tests;
