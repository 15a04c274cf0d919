//! Lending the terminal to an agent that reads it (`--stdin inherit`).
//!
//! The agent has a process group of its own, and a background group that
//! reads its terminal is stopped by SIGTTIN. So the agent's group is made the
//! foreground one when it starts, and adrt's own is again when it has ended.
//! Only if adrt is in the foreground itself: started with `&`, it has nothing
//! to lend.
//!
//! Job control follows from that. What the keyboard sends (Ctrl-C, Ctrl-\,
//! Ctrl-Z) goes to the foreground group alone: to adrt's, or to the agent's
//! while it has the terminal. Whichever of both is stopped, the other is to
//! be, too, and the shell is to see its job stopped, which is adrt.

use std::io::IsTerminal as _;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, killpg, pthread_sigmask, raise,
    sigaction,
};
use nix::unistd::{Pid, getpgrp, getsid, isatty, tcgetpgrp, tcsetpgrp};

use super::reap::Halt;

/// Whether this descriptor is a terminal with adrt's group in its foreground.
pub fn is_ours_to_lend(fd: BorrowedFd<'_>) -> bool {
    isatty(fd).unwrap_or(false) && tcgetpgrp(fd).is_ok_and(|group| group == getpgrp())
}

/// Makes adrt's group the foreground one of the terminal on stdin again.
/// Does nothing where there is no terminal or nothing was lent.
pub fn give_back_terminal() {
    let stdin = std::io::stdin();
    let fd = stdin.as_fd();
    if !isatty(fd).unwrap_or(false) {
        return;
    }
    // From the background, tcsetpgrp raises SIGTTOU; blocked, it is let pass.
    let mut before = SigSet::empty();
    if pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), Some(&mut before)).is_err() {
        return;
    }
    let _terminal_may_be_gone = tcsetpgrp(fd, getpgrp());
    let _same_mask_as_before = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
}

/// Puts the group of an agent into the foreground of the terminal on stdin, if
/// adrt's own is there. Says whether it is there now.
pub fn lend_terminal(group: i32) -> bool {
    let stdin = std::io::stdin();
    let fd = stdin.as_fd();
    is_ours_to_lend(fd) && tcsetpgrp(fd, Pid::from_raw(group)).is_ok()
}

/// Whether adrt's stdin or stderr is a terminal; one that has been hung up is
/// none any more.
pub fn has_terminal() -> bool {
    std::io::stdin().is_terminal() || std::io::stderr().is_terminal()
}

/// Whether that process is the shell whose session adrt is in.
pub fn is_session_leader(pid: u32) -> bool {
    getsid(None).is_ok_and(|leader| i32::try_from(pid) == Ok(leader.as_raw()))
}

/// Stops adrt as that would have without a handler, until somebody lets it go
/// on; with `whole_group`, what is in a pipeline with it as well. Returns at
/// once where nobody could: the kernel stops no group that no shell looks
/// after.
pub fn halt(why: Halt, whole_group: bool) {
    let signal = match why {
        Halt::Suspended => Signal::SIGTSTP,
        Halt::Reads => Signal::SIGTTIN,
        Halt::Writes => Signal::SIGTTOU,
    };
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default runs no code of ours.
    let Ok(before) = (unsafe { sigaction(signal, &default) }) else { return };
    let _not_stopped = match whole_group {
        true => killpg(getpgrp(), signal),
        false => raise(signal),
    };
    // SAFETY: this is what was there before.
    let _same_as_before = unsafe { sigaction(signal, &before) };
}
