//! Collects every child of adrt's that has ended.
//!
//! adrt is a subreaper: what an agent leaves behind becomes adrt's child. So
//! there are three kinds of children, and this module tells them apart by the
//! [`Roster`]: the leaders that were spawned, helpers that were spawned to do
//! something for adrt itself, and orphans that were adopted. The end of a
//! helper is nothing to the agent: only its own group is killed then, and no
//! orphan is swept.
//!
//! A fourth kind was there before: a script that executes adrt (a container's
//! entry point) may have started something else first. Those are reaped as any
//! child, and never killed.
//!
//! Whoever makes a child by any other way than [`super::spawn`] must know that
//! it is taken for an orphan here, reaped, and killed at the next sweep.
//!
//! An ended child is first looked at and left in place (`WNOWAIT`). While it
//! is there nobody else can get its number, and if it is a leader, its whole
//! group is killed then; only after that it is reaped. That order is what
//! makes signalling by number safe.
//!
//! A child may end before the thread that made it has said its number. The
//! roster therefore knows when a spawn is under way; an unknown ended child
//! is then left for later, and a SIGCHLD is raised anew when it is settled.

use std::io;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::kin::Kin;
use super::sweep;
use crate::supervisor::io::{Exit, GroupSignal, ProcessIdentity};

/// Makes adrt the parent of all orphans among its descendants.
///
/// # Errors
/// The kernel is older than 3.4, or a sandbox refuses.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// A leader that has ended. Its group has been killed, it has been reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its process id; not to be signalled any more.
    pub pid: i32,
    /// How it ended.
    pub exit: Exit,
}

/// A group was to be signalled whose leader has been reaped, or was never
/// spawned: its number may be somebody else's by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOurs;

/// Why a terminal stops a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// Ctrl-Z: SIGTSTP.
    Suspended,
    /// It read it from the background: SIGTTIN.
    Reads,
    /// It wrote to it from there, or changed it: SIGTTOU.
    Writes,
}

/// Which children were spawned, and what tells theirs from others; shared by
/// who spawns and who reaps.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    spawned: Arc<Mutex<Spawned>>,
    kin: Option<Arc<Kin>>,
}

/// What a spawned child is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is an agent.
    Leader,
    /// It does something for adrt.
    Helper,
}

#[derive(Debug, Default)]
struct Spawned {
    /// Alive, or ended and not yet reaped.
    leaders: Vec<i32>,
    /// The same.
    helpers: Vec<i32>,
    /// So many children may exist that are in neither list yet: there may be
    /// a thread that spawns agents, and one that spawns helpers.
    under_way: usize,
    /// Somebody looked at the children meanwhile and has to look again.
    look_again: bool,
}

impl Roster {
    /// Runs `spawn` and enters the child it makes, unseen by the reaper.
    pub(super) fn while_spawning<E>(
        &self,
        kind: Kind,
        spawn: impl FnOnce() -> Result<ProcessIdentity, E>,
    ) -> Result<ProcessIdentity, E> {
        self.lock().under_way += 1;
        let result = spawn();
        let mut spawned = self.lock();
        spawned.under_way -= 1;
        let those = match kind {
            Kind::Leader => &mut spawned.leaders,
            Kind::Helper => &mut spawned.helpers,
        };
        those.extend(result.as_ref().ok().map(|process| process.pid));
        if std::mem::take(&mut spawned.look_again) {
            // To the process, not to this thread, where it is blocked.
            let _the_loop_looks_later = kill(Pid::this(), Signal::SIGCHLD);
        }
        result
    }

    /// What is to tell the children and all of theirs from others.
    pub(super) fn kin(&self) -> Option<&Kin> {
        self.kin.as_deref()
    }

    fn lock(&self) -> MutexGuard<'_, Spawned> {
        // Every change of it is complete at each moment, so a panic of the
        // other holder leaves nothing half done.
        self.spawned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who an ended child is.
enum Who {
    Leader,
    Helper,
    Orphan,
    NotYetKnown,
}

/// The one who waits. There is one in a process.
#[derive(Debug, Default)]
pub struct Reaper {
    roster: Roster,
    /// A leader ended while another was being spawned; what it left is to be
    /// swept at the next look.
    sweep_due: bool,
    /// Helpers that have ended and of which nobody was told.
    helpers: Vec<Ended>,
    /// Children that adrt had before it became one: of the script that has
    /// executed it.
    strangers: Vec<i32>,
}

impl Reaper {
    /// A reaper with an empty roster.
    pub fn new() -> Self {
        Self::default()
    }

    /// A reaper for one agent, whose processes are told from others by this. Who
    /// is a child of this process by now is none of them.
    pub fn for_kin(kin: Arc<Kin>) -> Self {
        let roster = Roster { kin: Some(kin), ..Roster::default() };
        Self { roster, strangers: sweep::children(), ..Self::default() }
    }

    /// The roster to give to the spawner.
    pub fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// Collects what has ended; never waits. To be called at each SIGCHLD.
    ///
    /// When a leader has ended, its process group, all that it left to adrt and
    /// all that is in the agent's group of the kernel have been killed when this
    /// returns, `setsid` or not. They are not waited for: a process that hangs
    /// in the kernel must not hold up a restart.
    pub fn reap(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        while let Some((pid, exit)) = peek() {
            match self.who(pid) {
                Who::Leader => {
                    self.end_leader(pid);
                    ended.push(Ended { pid, exit });
                }
                Who::Helper => {
                    self.end_leader(pid);
                    self.helpers.push(Ended { pid, exit });
                }
                Who::Orphan => {
                    // Its number may come to one that is to be killed.
                    self.strangers.retain(|stranger| *stranger != pid);
                    collect(pid);
                }
                Who::NotYetKnown => break,
            }
        }
        if !ended.is_empty() || self.sweep_due {
            self.sweep();
        }
        ended
    }

    /// The helpers among those that [`Reaper::reap`] has collected.
    pub fn ended_helpers(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.helpers)
    }

    /// Signals the group of a leader, or of a helper, that has not been reaped.
    ///
    /// # Errors
    /// [`NotOurs`]: the number may belong to somebody else by now. Nothing
    /// was sent.
    pub fn kill_group(&self, pid: i32, signal: GroupSignal) -> Result<(), NotOurs> {
        self.send(
            pid,
            match signal {
                // A stopped process acts on nothing but SIGKILL until it goes on.
                GroupSignal::Terminate => &[Signal::SIGTERM, Signal::SIGCONT],
                GroupSignal::Abort => &[Signal::SIGABRT, Signal::SIGCONT],
                GroupSignal::Kill => &[Signal::SIGKILL],
            },
        )
    }

    /// Stops the group of a leader, or lets it go on: job control.
    ///
    /// # Errors
    /// As [`Reaper::kill_group`].
    pub fn halt_group(&self, pid: i32, halt: bool) -> Result<(), NotOurs> {
        self.send(pid, &[if halt { Signal::SIGSTOP } else { Signal::SIGCONT }])
    }

    fn send(&self, pid: i32, signals: &[Signal]) -> Result<(), NotOurs> {
        let spawned = self.roster.lock();
        if !spawned.leaders.contains(&pid) && !spawned.helpers.contains(&pid) {
            return Err(NotOurs);
        }
        drop(spawned);
        // The leader, alive or not, keeps the group's number ours. A member
        // under another user may refuse; there is nobody to tell.
        for signal in signals {
            let _refused = killpg(Pid::from_raw(pid), *signal);
        }
        Ok(())
    }

    /// The terminal has stopped a leader since this was asked last: by Ctrl-Z,
    /// or since it wanted to read or write while it was in the background.
    pub fn halted_by_terminal(&self, pid: i32) -> Option<Halt> {
        if !self.roster.lock().leaders.contains(&pid) {
            return None;
        }
        match stopped(pid)? {
            libc::SIGTSTP => Some(Halt::Suspended),
            libc::SIGTTIN => Some(Halt::Reads),
            libc::SIGTTOU => Some(Halt::Writes),
            _ => None,
        }
    }

    /// Kills all that adrt has adopted, with its descendants; spares the
    /// leaders and helpers that live and theirs, and children that adrt had from
    /// the first. Returns how many were killed.
    ///
    /// When no leader lives, what is in the agent's group is killed first; what
    /// was, and is not adrt's child, is not counted.
    ///
    /// While a spawn is under way it does nothing, and is done at the next
    /// [`Reaper::reap`]: the new child can't be told from an orphan yet.
    pub fn sweep(&mut self) -> usize {
        let mut spawned = self.roster.lock();
        if spawned.under_way > 0 {
            spawned.look_again = true;
            self.sweep_due = true;
            return 0;
        }
        self.sweep_due = false;
        // Held on to, so that no child is born while orphans are told apart.
        if spawned.leaders.is_empty()
            && let Some(group) = self.roster.kin().and_then(Kin::group)
        {
            // What can't be killed there is, if it can be, by the sweep.
            let _refused = group.kill();
        }
        let spared = [&spawned.leaders[..], &spawned.helpers, &self.strangers].concat();
        let killed = sweep::kill_adopted(&spared);
        drop(spawned);
        killed
    }

    fn who(&self, pid: i32) -> Who {
        let mut spawned = self.roster.lock();
        if spawned.leaders.contains(&pid) {
            Who::Leader
        } else if spawned.helpers.contains(&pid) {
            Who::Helper
        } else if spawned.under_way > 0 {
            spawned.look_again = true;
            Who::NotYetKnown
        } else {
            Who::Orphan
        }
    }

    /// Kills a dead leader's or helper's group while its number is still taken, then
    /// reaps it.
    fn end_leader(&mut self, pid: i32) {
        let _nobody_left = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        let mut spawned = self.roster.lock();
        spawned.leaders.retain(|leader| *leader != pid);
        spawned.helpers.retain(|helper| *helper != pid);
        drop(spawned);
        collect(pid);
    }
}

/// Whether there is any child, ended or alive.
pub(super) fn has_children() -> bool {
    !matches!(wait(libc::P_ALL, 0, libc::WNOHANG | libc::WNOWAIT), Err(Errno::ECHILD))
}

/// An ended child, left in place.
fn peek() -> Option<(i32, Exit)> {
    wait(libc::P_ALL, 0, libc::WNOHANG | libc::WNOWAIT).ok().flatten()
}

/// Reaps a child that has ended.
pub(super) fn collect(pid: i32) {
    let Ok(id) = libc::id_t::try_from(pid) else { return };
    let _gone_already = wait(libc::P_PID, id, libc::WNOHANG);
}

/// The signal that has stopped this child, if it is news.
fn stopped(pid: i32) -> Option<i32> {
    let id = libc::id_t::try_from(pid).ok()?;
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WSTOPPED | libc::WNOHANG;
    // SAFETY: `info` is room for a siginfo_t; zeroed is a valid one.
    let result = unsafe { libc::waitid(libc::P_PID, id, info.as_mut_ptr(), flags) };
    // SAFETY: as in `wait`.
    let (of, status) = unsafe {
        let info = info.assume_init();
        (info.si_pid(), info.si_status())
    };
    (result == 0 && of == pid).then_some(status)
}

/// waitid(2) for ended children, with the exit decoded. `None`: there are
/// children, but none of them has ended.
fn wait(kind: libc::idtype_t, id: libc::id_t, flags: i32) -> Result<Option<(i32, Exit)>, Errno> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: `info` is room for a siginfo_t; zeroed is a valid one.
        let result = unsafe { libc::waitid(kind, id, info.as_mut_ptr(), libc::WEXITED | flags) };
        match Errno::result(result) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    // SAFETY: zeroed above and filled in by waitid, which sets the fields of
    // a SIGCHLD, or leaves si_pid zero if nobody has ended.
    let (pid, status, code) = unsafe {
        let info = info.assume_init();
        (info.si_pid(), info.si_status(), info.si_code)
    };
    let exit = match code {
        libc::CLD_EXITED => Exit::Code(status),
        code => Exit::Signal { signal: status, core: code == libc::CLD_DUMPED },
    };
    Ok((pid != 0).then_some((pid, exit)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn an_unknown_child_is_looked_at_again_after_the_spawn() {
        let reaper = Reaper::new();
        let raised = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(libc::SIGCHLD, Arc::clone(&raised)).unwrap();
        let spawned = reaper.roster().while_spawning(Kind::Leader, || {
            assert!(matches!(reaper.who(77), Who::NotYetKnown));
            Ok::<_, ()>(ProcessIdentity { pid: 77, ..ProcessIdentity::default() })
        });
        assert!(spawned.is_ok());
        let begin = crate::clock::mono();
        while !raised.load(Ordering::Acquire) {
            let waited = crate::clock::mono().since(begin);
            assert!(waited < std::time::Duration::from_secs(10), "no SIGCHLD was raised");
        }
        assert!(matches!(reaper.who(77), Who::Leader));
        assert!(matches!(reaper.who(78), Who::Orphan));
    }

    #[test]
    fn no_sweep_while_a_child_is_being_made() {
        let mut reaper = Reaper::new();
        let roster = reaper.roster();
        let _failed = roster.while_spawning(Kind::Leader, || {
            assert_eq!(reaper.sweep(), 0);
            assert!(reaper.sweep_due);
            Err::<ProcessIdentity, ()>(())
        });
        assert!(!roster.lock().look_again, "told");
    }
}
