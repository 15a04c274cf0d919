//! How a process ended, in words and numbers for people and shells.
//!
//! [`crate::process::reap`] makes the [`Exit`], this tells it.

use std::borrow::Cow;
use std::fmt;

/// How an agent's process ended, as told by wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited.
    Code(i32),
    /// A signal killed it.
    Signal {
        /// Which.
        signal: i32,
        /// A core was dumped.
        core: bool,
    },
}

/// The kernel killed processes of an agent's for want of memory, as its own
/// counters say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oom {
    /// How many; at least one.
    pub count: u64,
    /// The lowest limit they were under, in bytes, if there is one.
    pub limit: Option<u64>,
}

/// What an incarnation's end was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitClass {
    /// Exit 0.
    Done,
    /// It said `run.finish` and exited 0.
    Finished,
    /// A code other than 0.
    Failed,
    /// A signal that nobody of adrt's sent.
    Signal,
    /// The kernel killed it for memory.
    OutOfMemory,
    /// adrt killed it because it hung.
    Hang,
    /// adrt ended it: a stop, a restart or a restore asked for it.
    Stopped,
    /// adrt ended it because the store had to be read again.
    StoreLost,
    /// It could not be executed.
    ExecFailed,
    /// It was running when adrt itself died; nobody saw how it ended.
    Lost,
}

impl ExitClass {
    /// As it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Signal => "signal",
            Self::OutOfMemory => "out_of_memory",
            Self::Hang => "hang",
            Self::Stopped => "stopped",
            Self::StoreLost => "store_lost",
            Self::ExecFailed => "exec_failed",
            Self::Lost => "lost",
        }
    }

    /// The class stored under that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Done,
            Self::Finished,
            Self::Failed,
            Self::Signal,
            Self::OutOfMemory,
            Self::Hang,
            Self::Stopped,
            Self::StoreLost,
            Self::ExecFailed,
            Self::Lost,
        ]
        .into_iter()
        .find(|class| class.as_str() == name)
    }

    /// Whether it counts as a crash: for the back-off, the ledger's list and the pins.
    pub const fn is_crash(self) -> bool {
        match self {
            Self::Failed | Self::Signal | Self::OutOfMemory | Self::Hang | Self::ExecFailed => true,
            Self::Done | Self::Finished | Self::Stopped | Self::StoreLost | Self::Lost => false,
        }
    }
}

/// The exit code of a shell for a command that is there and can't be executed.
pub const EXIT_NOT_EXECUTABLE: i32 = 126;
/// The exit code of a shell for a command that is not there.
pub const EXIT_NOT_FOUND: i32 = 127;

/// What the kernel kills with.
const SIGKILL: i32 = 9;

/// What a shell adds to a signal's number to make an exit code of it.
pub const SHELL_SIGNAL_BASE: i32 = 128;

/// The names of signals by number, from 1, as Linux numbers them on every
/// architecture that Rust's standard library is built for but MIPS and SPARC.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The first of the real-time signals, as the C libraries count them.
const FIRST_REAL_TIME: i32 = 34;

/// The last of them.
const LAST_REAL_TIME: i32 = 64;

/// A signal's name: `SIGSEGV`, `SIGRTMIN+1`, or `signal 99`.
pub fn signal_name(signal: i32) -> Cow<'static, str> {
    let named = usize::try_from(signal)
        .ok()
        .and_then(|number| number.checked_sub(1))
        .and_then(|index| NAMES.get(index));
    match (named, signal) {
        (Some(name), _) => Cow::Borrowed(name),
        (None, FIRST_REAL_TIME) => Cow::Borrowed("SIGRTMIN"),
        (None, FIRST_REAL_TIME..=LAST_REAL_TIME) => {
            Cow::Owned(format!("SIGRTMIN+{}", signal - FIRST_REAL_TIME))
        }
        (None, _) => Cow::Owned(format!("signal {signal}")),
    }
}

/// Signals that others send. All else is mostly a fault of the process itself,
/// or its own doing.
const SENT: [&str; 7] = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGTERM"];

/// Whether a process that dies of it was most likely sent it by another one.
pub fn is_sent(signal: i32) -> bool {
    SENT.contains(&&*signal_name(signal))
}

/// The signal that a shell means by this code: it killed the shell's last
/// command, and the shell ended with 128 and its number.
pub fn signal_in_code(code: i32) -> Option<i32> {
    let signal = code.checked_sub(SHELL_SIGNAL_BASE)?;
    let is_one = usize::try_from(signal).is_ok_and(|n| (1..=NAMES.len()).contains(&n));
    is_one.then_some(signal)
}

/// In a few words: `exited with code 3`,
/// `killed by SIGSEGV (core dumped)`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal { signal, core } => {
                let core = if core { " (core dumped)" } else { "" };
                write!(f, "killed by {}{core}", signal_name(signal))
            }
        }
    }
}

impl Exit {
    /// The code a shell would show for it: the process's own, or 128 + n for
    /// signal n.
    pub const fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal { signal, core: _ } => SHELL_SIGNAL_BASE + signal,
        }
    }
}

/// ` (limit 32 MiB)`, where there is one.
impl fmt::Display for Oom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limit.map_or(Ok(()), |bytes| write!(f, " (limit {})", size(bytes)))
    }
}

/// In the largest unit that leaves no rest, as limits are written.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let whole = |(_, shift): &&(&str, u32)| bytes > 0 && bytes.is_multiple_of(1 << shift);
    match UNITS.iter().find(whole) {
        Some((unit, shift)) => format!("{} {unit}", bytes >> shift),
        None => format!("{bytes} bytes"),
    }
}

/// What the end was, when adrt had no part in it. What adrt itself asked for
/// (stop, hang, a lost store) the supervisor knows better.
///
/// `oom`: at about the same time the kernel killed processes of the agent's for
/// memory. Then that is what it died of if it was itself killed, or is a shell
/// that tells so of the command it ran. Any other code is the agent's own way
/// to end, over a lost worker perhaps, and nobody can know that it was.
pub const fn classify(exit: Exit, finished: bool, oom: bool) -> ExitClass {
    match exit {
        Exit::Code(0) if finished => ExitClass::Finished,
        Exit::Code(0) => ExitClass::Done,
        _ if oom && exit.shell_code() == SHELL_SIGNAL_BASE + SIGKILL => ExitClass::OutOfMemory,
        Exit::Code(_) => ExitClass::Failed,
        Exit::Signal { .. } => ExitClass::Signal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_agree_with_the_system() {
        for (index, name) in NAMES.iter().enumerate() {
            let number = i32::try_from(index).unwrap() + 1;
            let system = nix::sys::signal::Signal::try_from(number).unwrap();
            assert_eq!(system.as_str(), *name);
        }
    }

    #[test]
    fn unusual_signals_have_names_too() {
        assert_eq!(signal_name(34), "SIGRTMIN");
        assert_eq!(signal_name(64), "SIGRTMIN+30");
        assert_eq!(signal_name(0), "signal 0");
        assert_eq!(signal_name(-9), "signal -9");
        assert_eq!(signal_name(32), "signal 32");
    }

    #[test]
    fn what_a_shell_makes_of_a_signal() {
        assert_eq!(signal_in_code(137), Some(9));
        assert_eq!((signal_in_code(129), signal_in_code(159)), (Some(1), Some(31)));
        for code in [0, 1, 128, 160, 255, -1, i32::MIN, i32::MAX] {
            assert_eq!(signal_in_code(code), None, "{code}");
        }
    }

    #[test]
    fn what_others_send() {
        assert!([1, 2, 3, 9, 10, 12, 15].into_iter().all(is_sent));
        assert!(![4, 6, 8, 11, 13, 31, 34, 0].into_iter().any(is_sent));
    }

    #[test]
    fn ends_are_told_as_they_were() {
        assert_eq!(Exit::Code(3).to_string(), "exited with code 3");
        let segv = Exit::Signal { signal: 11, core: true };
        assert_eq!(segv.to_string(), "killed by SIGSEGV (core dumped)");
        assert_eq!(segv.shell_code(), 139);
        assert_eq!(Exit::Code(255).shell_code(), 255);
    }

    #[test]
    fn limits_are_told_as_they_were_set() {
        for (limit, told) in [
            (None, ""),
            (Some(32 << 20), " (limit 32 MiB)"),
            (Some(1536 << 20), " (limit 1536 MiB)"),
            (Some(2 << 30), " (limit 2 GiB)"),
            (Some(4096), " (limit 4 KiB)"),
            (Some(100), " (limit 100 bytes)"),
            (Some(0), " (limit 0 bytes)"),
        ] {
            assert_eq!(Oom { count: 1, limit }.to_string(), told);
        }
    }

    #[test]
    fn classes() {
        let killed = Exit::Signal { signal: 9, core: false };
        assert_eq!(classify(Exit::Code(0), false, false), ExitClass::Done);
        assert_eq!(classify(Exit::Code(0), true, true), ExitClass::Finished);
        assert_eq!(classify(Exit::Code(1), true, false), ExitClass::Failed);
        assert_eq!(classify(Exit::Code(137), false, true), ExitClass::OutOfMemory);
        assert_eq!(classify(killed, false, true), ExitClass::OutOfMemory);
        assert_eq!(classify(Exit::Code(1), false, true), ExitClass::Failed);
        let segv = Exit::Signal { signal: 11, core: false };
        assert_eq!(classify(segv, false, true), ExitClass::Signal);
        assert_eq!(classify(killed, false, false), ExitClass::Signal);
    }
}
