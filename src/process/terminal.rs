//! Lending the terminal to an agent that reads it (`--stdin inherit`).
//!
//! The agent has a process group of its own, and a background group that
//! reads its terminal is stopped by SIGTTIN. So the agent's group is made the
//! foreground one when it starts, and adrt's own is again when it has ended.
//! Only if adrt is in the foreground itself: started with `&`, it has nothing
//! to lend.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::unistd::{getpgrp, isatty, tcgetpgrp, tcsetpgrp};

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
