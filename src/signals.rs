//! The signals that adrt itself is sent, as a readable descriptor and a list.
//!
//! A handler may do almost nothing, so it counts and writes one byte to a
//! pipe that the loop reads. What was sent is told by the counters: the pipe
//! may be full, yet no signal is lost that the kernel delivered. (Two of one
//! kind that come before the first is delivered are one to the kernel.)
//!
//! A signal that was already ignored when adrt started stays ignored where
//! that has a meaning: SIGHUP under `nohup`, SIGINT and SIGQUIT for a command
//! that a shell script started with `&`.
//!
//! SIGPIPE and SIGXFSZ are ignored for good: a closed pipe and a file at its
//! size limit are errors of the write that met them, not the end of adrt.
//! (Children get them back, see [`crate::process`].)
//!
//! The kernel says of each signal who sent it; that is told along with it.
//!
//! What each signal means is the loop's business.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::signal::{SigHandler, Signal as System, signal};
use signal_hook::SigId;
use signal_hook::low_level::{register, unregister};
use signal_hook_registry::register_sigaction;

/// Bytes read from the pipe at once; each is one signal's wake-up.
const DRAIN_BYTES: usize = 256;

/// How many times one kind is told at most in one go: enough to tell a
/// second request to stop from the first.
const REPEATS_MAX: u32 = 8;

/// Bytes of a process's name that are told; the kernel keeps 15.
const NAME_BYTES_MAX: usize = 64;

/// A signal that adrt acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    HangUp,
    /// SIGUSR1.
    User1,
    /// SIGTSTP: Ctrl-Z.
    Suspend,
    /// SIGCHLD.
    Child,
}

/// All of them, in the order they are told in when several have come. A
/// child's end comes last: a request to stop that came together with it is
/// then known before a restart is thought of.
const ALL: [Signal; 7] = [
    Signal::Terminate,
    Signal::Interrupt,
    Signal::Quit,
    Signal::HangUp,
    Signal::User1,
    Signal::Suspend,
    Signal::Child,
];

impl Signal {
    const fn number(self) -> i32 {
        match self {
            Self::Terminate => libc::SIGTERM,
            Self::Interrupt => libc::SIGINT,
            Self::Quit => libc::SIGQUIT,
            Self::HangUp => libc::SIGHUP,
            Self::User1 => libc::SIGUSR1,
            Self::Suspend => libc::SIGTSTP,
            Self::Child => libc::SIGCHLD,
        }
    }

    /// Its name: `SIGTERM`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::HangUp => "SIGHUP",
            Self::User1 => "SIGUSR1",
            Self::Suspend => "SIGTSTP",
            Self::Child => "SIGCHLD",
        }
    }

    /// Whether "ignored" is left as adrt found it.
    const fn may_stay_ignored(self) -> bool {
        match self {
            Self::Interrupt | Self::Quit | Self::HangUp | Self::Suspend => true,
            Self::Terminate | Self::User1 | Self::Child => false,
        }
    }
}

/// A signal that has come, and from whom. For people: `SIGTERM from pid 12
/// (bash, uid 0)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// What.
    pub signal: Signal,
    /// From whom.
    pub sender: Sender,
}

/// Who sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The kernel: for a key that was pressed on the terminal, or for the
    /// terminal's going away.
    Kernel,
    /// A process.
    Process {
        /// Its number; 0 if it has none in adrt's namespace.
        pid: u32,
        /// Its user.
        uid: u32,
    },
    /// Something else, such as a timer.
    Unknown,
}

impl Sender {
    /// Reads it from what the handler is given.
    ///
    /// Called in a handler: looks at memory, and nothing else.
    fn of(info: &libc::siginfo_t) -> Self {
        match info.si_code {
            libc::SI_KERNEL => Self::Kernel,
            libc::SI_USER | libc::SI_TKILL | libc::SI_QUEUE => {
                // SAFETY: with these codes the kernel has set both fields.
                let (pid, uid) = unsafe { (info.si_pid(), info.si_uid()) };
                Self::Process { pid: pid.unsigned_abs(), uid }
            }
            _ => Self::Unknown,
        }
    }

    /// In one word, for an atomic: kind, process and user. A process's number
    /// has 22 bits at most.
    fn to_bits(self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Kernel => 1 << 62,
            Self::Process { pid, uid } => {
                2 << 62 | u64::from(pid & (u32::MAX >> 2)) << 32 | u64::from(uid)
            }
        }
    }

    fn from_bits(bits: u64) -> Self {
        let [pid, uid] = [bits >> 32 & u64::from(u32::MAX >> 2), bits & u64::from(u32::MAX)];
        match bits >> 62 {
            1 => Self::Kernel,
            2 => Self::Process {
                pid: u32::try_from(pid).unwrap_or(0),
                uid: u32::try_from(uid).unwrap_or(0),
            },
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.signal.name())?;
        match self.sender {
            // What else the kernel sends these for.
            Sender::Kernel => match self.signal {
                Signal::Interrupt | Signal::Quit | Signal::HangUp | Signal::Suspend => {
                    f.write_str(" from the terminal")
                }
                Signal::Terminate | Signal::User1 | Signal::Child => {
                    f.write_str(" from the kernel")
                }
            },
            Sender::Process { pid: 0, uid } => {
                write!(f, " from a process outside this container (uid {uid})")
            }
            Sender::Process { pid, uid } => match name_of(pid) {
                Some(name) => write!(f, " from pid {pid} ({name}, uid {uid})"),
                None => write!(f, " from pid {pid} (gone by now, uid {uid})"),
            },
            Sender::Unknown => Ok(()),
        }
    }
}

/// What a process calls itself, fit to be shown.
fn name_of(pid: u32) -> Option<String> {
    let name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = String::from_utf8_lossy(name.get(..NAME_BYTES_MAX).unwrap_or(&name)).into_owned();
    Some(name.trim_end_matches('\n').escape_debug().collect())
}

/// What has come of one kind.
#[derive(Debug, Default)]
struct Tally {
    /// How often, over all time. Written in the handler, after the sender.
    count: AtomicU32,
    /// The last senders, each at its number.
    senders: [AtomicU64; REPEATS_MAX as usize],
}

impl Tally {
    /// Called in a handler, which never runs twice at a time: threads other
    /// than the loop's take no signals, and one of a kind blocks the next.
    fn add(&self, sender: Sender) {
        let count = self.count.load(Ordering::Relaxed);
        self.sender(count).store(sender.to_bits(), Ordering::Relaxed);
        self.count.store(count.wrapping_add(1), Ordering::Release);
    }

    fn sender(&self, number: u32) -> &AtomicU64 {
        &self.senders[(number % REPEATS_MAX) as usize]
    }

    /// Who has sent it since it had come so often; at most the last few.
    fn since(&self, seen: &mut u32, most: u32) -> Vec<Sender> {
        let count = self.count.load(Ordering::Acquire);
        let new = count.wrapping_sub(*seen).min(most);
        *seen = count;
        let numbers = (0..new).rev().map(|ago| count.wrapping_sub(ago + 1));
        numbers.map(|n| Sender::from_bits(self.sender(n).load(Ordering::Relaxed))).collect()
    }
}

/// The handlers, until it is dropped; from then on the signals do nothing.
#[derive(Debug)]
pub struct Signals {
    wake: OwnedFd,
    tallies: Arc<[Tally; ALL.len()]>,
    seen: [u32; ALL.len()],
    registered: Vec<SigId>,
}

/// From now on a closed pipe and a file at its size limit are errors of a
/// write, and not the end of the process. To be done before any file is
/// written.
///
/// # Errors
/// The system refuses it, which it has no reason to.
pub fn ignore_failed_writes() -> io::Result<()> {
    for ignored in [System::SIGPIPE, System::SIGXFSZ] {
        // SAFETY: ignoring runs no code.
        unsafe { signal(ignored, SigHandler::SigIgn) }?;
    }
    Ok(())
}

impl Signals {
    /// Installs the handlers. To be done before any child is started.
    ///
    /// # Errors
    /// The system has no descriptor to give, or refuses a handler.
    pub fn install() -> io::Result<Self> {
        ignore_failed_writes()?;
        let (wake, waker) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let waker = Arc::new(waker);
        let tallies: Arc<[Tally; ALL.len()]> = Arc::default();
        let mut signals = Self { wake, tallies, seen: [0; ALL.len()], registered: Vec::new() };
        for (index, signal) in ALL.into_iter().enumerate() {
            if signal.may_stay_ignored() && is_ignored(signal.number()) {
                continue;
            }
            let (tallies, waker) = (Arc::clone(&signals.tallies), Arc::clone(&waker));
            let action = move |info: &libc::siginfo_t| {
                tallies[index].add(Sender::of(info));
                wake_up(&waker);
            };
            // SAFETY: the action reads what it is given, writes atomics and
            // calls write(2), and leaves errno as it was.
            let id = unsafe { register_sigaction(signal.number(), action) }?;
            signals.registered.push(id);
        }
        Ok(signals)
    }

    /// What has come since the last call. Once it has been called, the
    /// descriptor is readable only if more has come.
    pub fn pending(&mut self) -> Vec<Received> {
        // First the pipe, then the counters: a signal in between leaves a
        // byte too many, never a count that nobody is woken for.
        let mut bytes = [0; DRAIN_BYTES];
        while matches!(nix::unistd::read(&self.wake, &mut bytes), Ok(1..) | Err(Errno::EINTR)) {}
        let mut received = Vec::new();
        for (index, signal) in ALL.into_iter().enumerate() {
            let most = match signal {
                // Each look at the children sees them all, and a stop stops once.
                Signal::Child | Signal::Suspend => 1,
                Signal::Terminate
                | Signal::Interrupt
                | Signal::Quit
                | Signal::HangUp
                | Signal::User1 => REPEATS_MAX,
            };
            let senders = self.tallies[index].since(&mut self.seen[index], most);
            received.extend(senders.into_iter().map(|sender| Received { signal, sender }));
        }
        received
    }
}

impl AsFd for Signals {
    /// Readable when [`Signals::pending`] has something to tell.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            unregister(id);
        }
    }
}

/// What a command in the foreground is told of: it is asked to end, or its
/// terminal went away.
const PASSED_ON: [i32; 2] = [libc::SIGTERM, libc::SIGHUP];
/// What a terminal sends to everything in the foreground, that command too.
const LEFT_TO_IT: [i32; 2] = [libc::SIGINT, libc::SIGQUIT];

/// For the time that a command runs in the foreground: requests to end are
/// passed on to it rather than obeyed, so that its end can be waited for.
/// When dropped, signals are obeyed again.
#[derive(Debug)]
pub struct PassedOn {
    target: Arc<Target>,
    registered: Vec<(i32, SigId)>,
}

#[derive(Debug, Default)]
struct Target {
    /// 0: there is none, yet or any more.
    pid: AtomicI32,
    /// A signal that came before there was one.
    missed: AtomicI32,
}

impl PassedOn {
    /// Installs the handlers. Signals that are ignored stay so.
    ///
    /// # Errors
    /// The system refuses a handler, which it has no reason to.
    pub fn install() -> io::Result<Self> {
        let mut passed_on = Self { target: Arc::default(), registered: Vec::new() };
        for number in PASSED_ON.into_iter().chain(LEFT_TO_IT) {
            if is_ignored(number) {
                continue;
            }
            let target = Arc::clone(&passed_on.target);
            let action = move || {
                if PASSED_ON.contains(&number) {
                    target.tell(number);
                }
            };
            // SAFETY: the action uses atomics and calls kill(2), and leaves
            // errno as it was.
            let id = unsafe { register(number, action) }?;
            passed_on.registered.push((number, id));
        }
        Ok(passed_on)
    }

    /// From now on they go to that process.
    pub fn begin(&self, pid: i32) {
        self.target.pid.store(pid, Ordering::SeqCst);
        let missed = self.target.missed.swap(0, Ordering::SeqCst);
        if missed != 0 {
            self.target.tell(missed);
        }
    }

    /// From now on to none. To be called before it is reaped.
    pub fn end(&self) {
        self.target.pid.store(0, Ordering::SeqCst);
    }
}

impl Target {
    /// Called in a handler.
    fn tell(&self, number: i32) {
        let pid = self.pid.load(Ordering::SeqCst);
        if pid > 0 {
            let before = Errno::last_raw();
            // SAFETY: kill(2) touches no memory of ours.
            unsafe { libc::kill(pid, number) };
            Errno::set_raw(before);
        } else {
            self.missed.store(number, Ordering::SeqCst);
        }
    }
}

impl Drop for PassedOn {
    fn drop(&mut self) {
        for (number, id) in self.registered.drain(..) {
            unregister(id);
            if let Ok(signal_to_obey) = System::try_from(number) {
                // SAFETY: the default runs no code of ours.
                let _obeyed_again = unsafe { signal(signal_to_obey, SigHandler::SigDfl) };
            }
        }
    }
}

/// Called in a handler. A full pipe is readable already, which is all that
/// the byte is for.
fn wake_up(waker: &OwnedFd) {
    let before = Errno::last_raw();
    let _full_is_fine = nix::unistd::write(waker, &[1]);
    Errno::set_raw(before);
}

/// Whether adrt was started with this signal ignored.
fn is_ignored(number: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: no new action is given, and there is room for the old one, of
    // which zeroed is a valid value.
    unsafe {
        libc::sigaction(number, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
