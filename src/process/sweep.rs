//! Kills what outlives an agent.
//!
//! Three things do: members of its group (killed with it, see [`super::reap`]),
//! daemons that left the group by `setsid` and that adrt, as their subreaper,
//! has adopted (`kill_adopted`), and what an adrt that was itself killed left of
//! its agent: the agent's group ([`kill_orphan_group`]) and what carries the
//! run's mark (`kill_marked`, see [`super::kin`]). Both are killed by the next
//! `adrt run`.
//!
//! A process is known by its number and its start time together, and is
//! killed through a pidfd that was checked against both, so an innocent one
//! that got the number meanwhile is never hit. Nothing here waits for a
//! victim to be gone: it is enough that it can do nothing any more.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::kin::MARK_VARIABLE;
use super::reap;
use super::table::{self, Entry};
use crate::clock;
use crate::supervisor::io::ProcessIdentity;

/// How often the table is read anew for processes that were born while others
/// were being killed. Each round costs some milliseconds; a fork bomb that
/// outruns so many is the operator's to stop (a cgroup can).
const ROUNDS: usize = 64;

/// So many rounds in a row must find nobody new once somebody was found: a
/// process whose parent has ended while the table was read may not be in it, and
/// one that is just executing its program has no environment for a moment.
const QUIET_ROUNDS: usize = 3;

/// How long the killed group of an earlier run is waited for.
const GONE_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks. They are not our children: nobody reports their end.
const GONE_PAUSE: Duration = Duration::from_millis(2);

/// The children that adrt has now.
pub(super) fn children() -> Vec<i32> {
    if !reap::has_children() {
        return Vec::new();
    }
    let adrt = nix::unistd::getpid().as_raw();
    let processes = table::all().unwrap_or_default().into_iter();
    processes.filter(|process| process.parent == adrt).map(|process| process.pid).collect()
}

/// Kills all children of adrt's that are not in `spared`, and their
/// descendants. Returns how many.
pub(super) fn kill_adopted(spared: &[i32]) -> usize {
    let adrt = nix::unistd::getpid().as_raw();
    // By far the most agents leave nothing: then one system call says so, and
    // no table is read.
    if spared.is_empty() && !reap::has_children() {
        return 0;
    }
    kill_rounds(|victims| {
        let processes = table::all().unwrap_or_default();
        let below = descendants(&processes, adrt, spared);
        kill_groups(&processes, &below, adrt);
        below.iter().for_each(|victim| victims.take(victim));
    })
}

/// Kills whole process groups, where all of one are to be killed: a chain of
/// forks may be quicker than any look at the table, but stays in its group.
///
/// Only groups with a child of adrt's in them, alive or not: nobody else reaps
/// that one, so the group's number is nobody else's meanwhile.
fn kill_groups(processes: &[Entry], victims: &[Entry], adrt: i32) {
    let ours: HashSet<i32> = victims.iter().map(|victim| victim.pid).collect();
    let pinned: HashSet<i32> =
        victims.iter().filter(|victim| victim.parent == adrt).map(|victim| victim.group).collect();
    for group in pinned.into_iter().filter(|group| *group > 1) {
        let mut members = processes.iter().filter(|process| process.group == group);
        if members.all(|member| ours.contains(&member.pid)) {
            let _nobody_is_alive = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

/// Kills what is left of the group of an agent that ran under an adrt which
/// was killed. Returns how many processes.
///
/// The number of the group may be another's by now. It is still the old one's
/// only in the same boot, and only if its leader is the recorded process, or
/// the leader is gone and a member belongs to the recorded session and is
/// younger than the leader. (While a member lives, the kernel gives the
/// group's number to no new process; so if a stranger has it, none is left.)
pub fn kill_orphan_group(identity: &ProcessIdentity) -> usize {
    if !can_be_found(identity) {
        return 0;
    }
    let left = || orphans(&table::all().unwrap_or_default(), identity);
    let killed = kill_rounds(|victims| left().iter().for_each(|victim| victims.take(victim)));
    if killed > 0 {
        wait_gone(left);
    }
    killed
}

/// Kills all that has this mark in its environment, as it was when its program
/// was executed, and waits until it is gone. Spares adrt and those above it: an
/// agent may start the adrt that is to take over.
pub(super) fn kill_marked(mark: &str) -> usize {
    let spared = with_ancestors(nix::unistd::getpid().as_raw());
    let marked = || {
        // The youngest first: of a chain of forks they are what is alive.
        let pids = table::pids().unwrap_or_default().into_iter().rev();
        let ours = pids.filter(|pid| !spared.contains(pid) && has_mark(*pid, mark));
        ours.filter_map(table::entry)
    };
    let killed = kill_rounds(|victims| marked().for_each(|victim| victims.take(&victim)));
    if killed > 0 {
        wait_gone(|| marked().collect());
    }
    killed
}

/// A process and those above it.
fn with_ancestors(pid: i32) -> HashSet<i32> {
    let mut found = HashSet::new();
    let mut next = Some(pid);
    while let Some(pid) = next.filter(|pid| found.insert(*pid)) {
        next = table::entry(pid).map(|entry| entry.parent);
    }
    found
}

/// One that can't be looked into is another user's, and none of ours.
pub(super) fn has_mark(pid: i32, mark: &str) -> bool {
    let wanted = format!("{MARK_VARIABLE}={mark}");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
}

/// Whether that process is one that [`kill_orphan_group`] would kill.
pub fn is_orphan(identity: &ProcessIdentity, pid: i32) -> bool {
    can_be_found(identity)
        && table::all().is_ok_and(|processes| {
            orphans(&processes, identity).iter().any(|process| process.pid == pid)
        })
}

/// Whether anything may be taken for what is left of it. An attached client is
/// not adrt's to kill; and what could not be read when it was recorded matches
/// nothing.
fn can_be_found(identity: &ProcessIdentity) -> bool {
    let complete = identity.pid > 1 && identity.start_ticks > 0 && !identity.boot_id.is_empty();
    !identity.is_attached() && complete && identity.boot_id == table::boot_id()
}

/// Waits until what was killed is gone: its ports and locks are to be free
/// when the next one starts. Not for ever; a process that hangs in the kernel
/// may never go.
fn wait_gone(left: impl Fn() -> Vec<Entry>) {
    let deadline = clock::mono() + GONE_PATIENCE;
    while clock::mono() < deadline && left().iter().any(|process| !process.zombie) {
        std::thread::sleep(GONE_PAUSE);
    }
}

/// Those who were found, by number and start time.
#[derive(Default)]
struct Victims {
    found: HashSet<(i32, u64)>,
    killed: usize,
}

impl Victims {
    /// Kills it, unless it was found before. One that has ended already counts
    /// as found: it may have had a child meanwhile.
    fn take(&mut self, victim: &Entry) {
        if self.found.insert((victim.pid, victim.start_ticks)) && !victim.zombie {
            kill_exactly(victim);
            self.killed += 1;
        }
    }
}

/// Kills what `find` finds, until it finds nobody new. Returns how many.
fn kill_rounds(find: impl Fn(&mut Victims)) -> usize {
    let mut victims = Victims::default();
    let mut quiet = 0;
    for _ in 0..ROUNDS {
        let before = victims.found.len();
        find(&mut victims);
        quiet = if victims.found.len() == before { quiet + 1 } else { 0 };
        if victims.found.is_empty() || quiet == QUIET_ROUNDS {
            break;
        }
    }
    victims.killed
}

/// All processes below `root`, without those in `spared` and below them.
pub(crate) fn descendants(processes: &[Entry], root: i32, spared: &[i32]) -> Vec<Entry> {
    let mut children: HashMap<i32, Vec<&Entry>> = HashMap::new();
    for process in processes {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            if !spared.contains(&child.pid) {
                found.push(*child);
                parents.push(child.pid);
            }
        }
    }
    found
}

/// The processes that are left of a recorded group; none if its number has
/// come to somebody else.
fn orphans(processes: &[Entry], identity: &ProcessIdentity) -> Vec<Entry> {
    let leader = processes.iter().find(|process| process.pid == identity.pid);
    if leader.is_some_and(|leader| leader.start_ticks != identity.start_ticks) {
        return Vec::new();
    }
    let ours = |process: &&Entry| {
        process.group == identity.pid
            && process.start_ticks >= identity.start_ticks
            && (leader.is_some() || process.session == identity.session)
    };
    processes.iter().filter(ours).copied().collect()
}

/// Kills this very process, and no other that has its number.
pub(super) fn kill_exactly(victim: &Entry) {
    let Some(pidfd) = open_pidfd(victim.pid) else {
        return;
    };
    let same = table::entry(victim.pid).is_some_and(|now| now.start_ticks == victim.start_ticks);
    if !same {
        return;
    }
    match pidfd {
        // SAFETY: plain numbers and a null siginfo, which is allowed.
        PidFd::Open(pidfd) => unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                pidfd.as_raw_fd(),
                libc::SIGKILL,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            );
        },
        PidFd::Unsupported => {
            let _gone_already = kill(Pid::from_raw(victim.pid), Signal::SIGKILL);
        }
    }
}

enum PidFd {
    Open(OwnedFd),
    /// Before Linux 5.3, or forbidden by a sandbox: the number and the start
    /// time, compared just before, must do.
    Unsupported,
}

/// `None`: the process is gone.
fn open_pidfd(pid: i32) -> Option<PidFd> {
    // SAFETY: plain numbers; the result is a new descriptor, close-on-exec.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match (i32::try_from(opened), Errno::last()) {
        // SAFETY: the kernel has just made this descriptor for us.
        (Ok(fd), _) if fd >= 0 => Some(PidFd::Open(unsafe { OwnedFd::from_raw_fd(fd) })),
        (_, Errno::ESRCH) => None,
        (_, _) => Some(PidFd::Unsupported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKS: u64 = 1000;

    fn process(pid: i32, parent: i32, group: i32, start_ticks: u64) -> Entry {
        Entry { pid, parent, group, session: 5, start_ticks, zombie: false }
    }

    fn recorded() -> ProcessIdentity {
        ProcessIdentity {
            pid: 40,
            session: 5,
            start_ticks: TICKS,
            boot_id: table::boot_id().to_owned(),
        }
    }

    fn pids(mut entries: Vec<Entry>) -> Vec<i32> {
        entries.sort_by_key(|entry| entry.pid);
        entries.iter().map(|entry| entry.pid).collect()
    }

    #[test]
    fn descendants_spare_leaders_and_theirs() {
        let table = [
            process(10, 1, 10, 1),
            process(20, 10, 20, 2),
            process(21, 20, 20, 2),
            process(30, 10, 30, 3),
            process(31, 30, 31, 3),
            process(32, 31, 31, 3),
            process(99, 1, 99, 3),
        ];
        assert_eq!(pids(descendants(&table, 10, &[20])), [30, 31, 32]);
        assert_eq!(pids(descendants(&table, 10, &[])), [20, 21, 30, 31, 32]);
    }

    #[test]
    fn who_is_above_us() {
        let us = i32::try_from(std::process::id()).unwrap();
        let above = with_ancestors(us);
        let parent = nix::unistd::getppid().as_raw();
        assert!(above.contains(&us) && above.contains(&parent), "{above:?}");
    }

    #[test]
    fn a_group_with_its_leader_is_ours() {
        let table = [process(40, 1, 40, TICKS), process(41, 40, 40, TICKS + 1)];
        assert_eq!(pids(orphans(&table, &recorded())), [40, 41]);
    }

    #[test]
    fn a_group_without_its_leader_is_ours_in_the_same_session_only() {
        let member = process(41, 1, 40, TICKS + 1);
        assert_eq!(pids(orphans(&[member], &recorded())), [41]);
        assert!(orphans(&[Entry { session: 6, ..member }], &recorded()).is_empty());
        assert!(orphans(&[Entry { start_ticks: TICKS - 1, ..member }], &recorded()).is_empty());
    }

    #[test]
    fn a_stranger_with_the_number_saves_everybody() {
        let table = [process(40, 1, 40, TICKS + 500), process(41, 40, 40, TICKS + 501)];
        assert!(orphans(&table, &recorded()).is_empty());
    }

    #[test]
    fn nothing_is_killed_after_a_reboot_or_by_an_empty_record() {
        let other_boot = ProcessIdentity { boot_id: "other".to_owned(), ..recorded() };
        assert_eq!(kill_orphan_group(&other_boot), 0);
        assert_eq!(kill_orphan_group(&ProcessIdentity::default()), 0);
    }

    #[test]
    fn an_attached_client_is_nobodys_orphan() {
        let us = table::identify(i32::try_from(std::process::id()).unwrap());
        let attached = ProcessIdentity::attached(us.pid);
        assert_eq!(kill_orphan_group(&attached), 0, "we are alive to see it");
        // Not even if all else were recorded of it.
        let more = ProcessIdentity { boot_id: attached.boot_id, ..us };
        assert!(!is_orphan(&more, more.pid));
        assert_eq!(kill_orphan_group(&more), 0);
    }
}
