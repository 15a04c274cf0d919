//! The few lines that run in a new process before it becomes the agent.
//!
//! The child is made with `CLONE_VM | CLONE_VFORK`: it borrows adrt's memory
//! instead of copying its page tables, so that a start costs the same however
//! large adrt has grown, and the spawning thread stands still until the child
//! has executed the agent or has failed. (`fork` from a process of 200 MB
//! takes several times as long as the whole `execve`.)
//!
//! What that asks of [`in_child`]: it writes to no memory but its own stack,
//! the report and `errno`; it allocates nothing, takes no lock, and can't
//! panic. All signals are blocked when it starts, because a handler of adrt's
//! would run on adrt's data; it empties the mask only once no handler is left.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::libc;

use super::exec::Image;

/// Bytes of the stack the child runs on. It calls a dozen system calls; the
/// rest is room for an unoptimised build.
const STACK_BYTES: usize = 64 * 1024;

/// The lowest address of the stack is made unreachable, as far as this.
/// A multiple of every page size that Linux uses.
const GUARD_BYTES: usize = 64 * 1024;

/// Signals are numbered from 1 to this.
const LAST_SIGNAL: c_int = 64;

/// Bytes of the kernel's signal set: 64 signals, a bit each.
const KERNEL_SIGSET_BYTES: usize = 8;

/// Words that hold the kernel's `struct sigaction` on any architecture.
const KERNEL_SIGACTION_WORDS: usize = 8;

/// The first descriptor that is not the agent's.
const FIRST_FOREIGN_FD: c_int = 4;

/// What the child reports through [`Report`] when it never came to a failure.
const NO_FAILURE: c_int = 0;

/// The exit code of a child that could not become the agent; nobody sees it.
const CHILD_FAILED: c_int = 127;

/// Where the child was when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Signals, group, descriptors.
    Prepare,
    /// adrt, or its spawning thread, was gone before the death signal was set.
    Orphaned,
    /// The agent's group of the kernel.
    Enter,
    /// The working directory.
    Chdir,
    /// Executing the command.
    Exec,
}

/// Why a child did not become the agent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    pub(super) step: Step,
    pub(super) errno: c_int,
}

/// Why [`start`] made no agent.
pub(super) enum NotStarted {
    /// The system made no process.
    NoProcess(io::Error),
    /// It did, and the child failed.
    Failed(Failed),
}

/// What the child is to do, beside executing the [`Image`].
pub(super) struct Setup<'a> {
    /// What become its descriptors 0, 1, 2 and 3. All lie above 3.
    pub(super) fds: [BorrowedFd<'a>; 4],
    /// Make its group the foreground one of the terminal on 0.
    pub(super) take_terminal: bool,
    /// Where the kernel can't mark all descriptors close-on-exec at once:
    /// the highest one that is open.
    pub(super) mark_up_to: Option<RawFd>,
    /// What it writes `0` to in order to be in the agent's group.
    pub(super) entrance: Option<BorrowedFd<'a>>,
    /// What it writes into its `oom_score_adj`.
    pub(super) oom_score: Option<&'a str>,
}

/// Memory for the child to run on, with a guard page below.
#[derive(Debug)]
pub(super) struct Stack {
    base: *mut c_void,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is used by
// its one owner only.
unsafe impl Send for Stack {}

impl Stack {
    /// Reserves it; pages cost memory only once they are touched.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice
        // touches nothing that exists.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                GUARD_BYTES + STACK_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { base };
        // SAFETY: the range is the lower part of the mapping just made.
        let guarded = unsafe { libc::mprotect(base, GUARD_BYTES, libc::PROT_NONE) };
        if guarded == 0 { Ok(stack) } else { Err(io::Error::last_os_error()) }
    }

    /// Where a stack that grows down begins: aligned to a page.
    fn top(&self) -> *mut c_void {
        self.base.wrapping_byte_add(GUARD_BYTES + STACK_BYTES)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no child runs on it: clone with
        // CLONE_VFORK has returned.
        unsafe { libc::munmap(self.base, GUARD_BYTES + STACK_BYTES) };
    }
}

/// All that [`in_child`] reads, and the report it leaves.
struct Order {
    argv: *const *const c_char,
    env: *const *const c_char,
    candidates: *const *const c_char,
    cwd: *const c_char,
    fds: [RawFd; 4],
    take_terminal: bool,
    mark_up_to: Option<RawFd>,
    entrance: Option<RawFd>,
    oom_score: Option<(*const u8, usize)>,
    adrt: libc::pid_t,
    report: Report,
}

/// Written by the child, read by the parent once the child has let it go on.
struct Report {
    step: AtomicI32,
    errno: AtomicI32,
}

/// Makes the child; returns its process id once it executes the command.
///
/// The calling thread must have all signals blocked, and must outlive the
/// child: the kernel kills the child when this thread ends.
///
/// # Errors
/// There is no child: none was made, or it failed and has been reaped.
pub(super) fn start(image: &Image, setup: &Setup<'_>, stack: &Stack) -> Result<i32, NotStarted> {
    let order = Order {
        argv: image.argv.as_ptr(),
        env: image.env.as_ptr(),
        candidates: image.candidates.as_ptr(),
        cwd: image.cwd.as_ref().map_or(ptr::null(), |cwd: &CString| cwd.as_ptr()),
        fds: setup.fds.map(|fd| fd.as_raw_fd()),
        take_terminal: setup.take_terminal,
        mark_up_to: setup.mark_up_to,
        entrance: setup.entrance.map(|fd| fd.as_raw_fd()),
        oom_score: setup.oom_score.map(|text| (text.as_ptr(), text.len())),
        adrt: nix::unistd::getpid().as_raw(),
        report: Report { step: AtomicI32::new(NO_FAILURE), errno: AtomicI32::new(0) },
    };
    // SAFETY: the stack is ours alone, and `order` and all it points to stay
    // in place until clone returns: CLONE_VFORK returns when the child has
    // executed or exited. `in_child` keeps to what this module's head asks.
    let pid = unsafe {
        libc::clone(
            in_child,
            stack.top(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw const order).cast::<c_void>().cast_mut(),
        )
    };
    if pid < 0 {
        return Err(NotStarted::NoProcess(io::Error::last_os_error()));
    }
    let step = match order.report.step.load(Ordering::Acquire) {
        NO_FAILURE => return Ok(pid),
        step if step == Step::Orphaned.number() => Step::Orphaned,
        step if step == Step::Enter.number() => Step::Enter,
        step if step == Step::Chdir.number() => Step::Chdir,
        step if step == Step::Exec.number() => Step::Exec,
        _ => Step::Prepare,
    };
    reap_failed(pid);
    let errno = order.report.errno.load(Ordering::Acquire);
    Err(NotStarted::Failed(Failed { step, errno }))
}

impl Step {
    /// As it stands in the [`Report`].
    const fn number(self) -> c_int {
        match self {
            Self::Prepare => 1,
            Self::Orphaned => 2,
            Self::Chdir => 3,
            Self::Exec => 4,
            Self::Enter => 5,
        }
    }
}

/// Takes away what is left of a child that has already called `_exit`.
fn reap_failed(pid: libc::pid_t) {
    loop {
        // SAFETY: a null status is allowed; the pid is that of our own child,
        // which nobody else reaps while a spawn is under way.
        let reaped = unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
        if reaped >= 0 || errno() != libc::EINTR {
            return;
        }
    }
}

fn errno() -> c_int {
    // SAFETY: the C library's own way to errno, always valid.
    unsafe { *libc::__errno_location() }
}

/// The child: from here to `execve` or `_exit`.
extern "C" fn in_child(order: *mut c_void) -> c_int {
    // SAFETY: `start` passes a valid `Order` that stays in place; it is only
    // read here, but for the atomics.
    let order = unsafe { &*order.cast::<Order>().cast_const() };
    let step = become_agent(order);
    order.report.errno.store(errno(), Ordering::Release);
    order.report.step.store(step.number(), Ordering::Release);
    // SAFETY: _exit runs nothing of adrt's, and ends this process alone.
    unsafe { libc::_exit(CHILD_FAILED) }
}

/// Does it all; returns only if a step failed, with `errno` set by it.
fn become_agent(order: &Order) -> Step {
    // SAFETY: all calls below are async-signal-safe system calls on values
    // that were made before the child was; none writes to adrt's memory.
    unsafe {
        if !reset_dispositions() || libc::setpgid(0, 0) != 0 {
            return Step::Prepare;
        }
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Step::Prepare;
        }
        // adrt may have died before the line above.
        if libc::getppid() != order.adrt {
            return Step::Orphaned;
        }
        if let Some(score) = order.oom_score {
            raise_oom_score(score);
        }
        // Before anything of the agent's takes memory or makes processes.
        if let Some(entrance) = order.entrance
            && libc::write(entrance, c"0".as_ptr().cast(), 1) != 1
        {
            return Step::Enter;
        }
        for (target, fd) in (0..).zip(&order.fds) {
            if libc::dup2(*fd, target) < 0 {
                return Step::Prepare;
            }
        }
        if order.take_terminal {
            // A terminal that went away meanwhile is no reason not to start.
            libc::tcsetpgrp(0, libc::getpid());
        }
        close_on_exec_from(FIRST_FOREIGN_FD, order.mark_up_to);
        if !order.cwd.is_null() && libc::chdir(order.cwd) != 0 {
            return Step::Chdir;
        }
        if !unblock_all() {
            return Step::Prepare;
        }
        exec_first(order);
    }
    Step::Exec
}

/// Makes the kernel prefer this process when memory is short. Where that can't
/// be, it is one more as all others are.
///
/// # Safety
/// Only in the child; the text is valid.
unsafe fn raise_oom_score((text, length): (*const u8, usize)) {
    // SAFETY: system calls on values that were made before the child was.
    unsafe {
        let file =
            libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, text.cast(), length);
            libc::close(file);
        }
    }
}

/// Sets every signal to its default, the ones that adrt ignores and the ones
/// that adrt's parent ignored too: ignoring is what survives `execve`.
/// Asks the kernel itself, since C libraries keep two signals to themselves.
///
/// # Safety
/// Only in the child.
unsafe fn reset_dispositions() -> bool {
    let default = [0_usize; KERNEL_SIGACTION_WORDS];
    let mut signal = 1;
    while signal <= LAST_SIGNAL {
        if signal != libc::SIGKILL && signal != libc::SIGSTOP {
            // SAFETY: an all-zero action is SIG_DFL with no flags and no mask.
            let set = unsafe {
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    signal,
                    default.as_ptr(),
                    ptr::null_mut::<c_void>(),
                    KERNEL_SIGSET_BYTES,
                )
            };
            if set != 0 {
                return false;
            }
        }
        signal += 1;
    }
    true
}

/// Empties the signal mask, the C library's own signals included.
///
/// # Safety
/// Only in the child, after the dispositions.
unsafe fn unblock_all() -> bool {
    let none = 0_u64;
    // SAFETY: `none` is a kernel signal set of the size that is given.
    let set = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            ptr::null_mut::<c_void>(),
            KERNEL_SIGSET_BYTES,
        )
    };
    set == 0
}

/// Marks all descriptors from `first` on close-on-exec: one that adrt's
/// parent left open by mistake is none of the agent's business.
///
/// # Safety
/// Only in the child.
unsafe fn close_on_exec_from(first: c_int, mark_up_to: Option<RawFd>) {
    let Some(last) = mark_up_to else {
        // SAFETY: changes flags in the child's own table only.
        unsafe { mark_close_on_exec(first) };
        return;
    };
    let mut fd = first;
    while fd <= last {
        // SAFETY: a closed descriptor gives EBADF, which is as good.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        fd += 1;
    }
}

/// Marks all descriptors from `first` on; says whether the kernel can do it
/// (5.11 and later; a sandbox may refuse).
///
/// # Safety
/// Whoever calls it must not rely on such a descriptor living on past exec.
pub(super) unsafe fn mark_close_on_exec(first: c_int) -> bool {
    // SAFETY: no memory is involved.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, c_int::MAX, libc::CLOSE_RANGE_CLOEXEC) == 0
    }
}

/// Executes the first candidate that can be. As in execvp(3), a candidate
/// that may not be executed is passed over and told only if no other is found.
///
/// # Safety
/// Only in the child, as its last step.
unsafe fn exec_first(order: &Order) {
    let mut denied = false;
    let mut next = order.candidates;
    // SAFETY: the array ends with a null pointer, and all it points to are C
    // strings that live in the parent.
    unsafe {
        *libc::__errno_location() = libc::ENOENT;
        while !(*next).is_null() {
            libc::execve(*next, order.argv, order.env);
            match errno() {
                libc::EACCES => denied = true,
                libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
                _ => return,
            }
            next = next.add(1);
        }
        if denied {
            *libc::__errno_location() = libc::EACCES;
        }
    }
}
