//! What adrt tells the service manager that started it (sd_notify(3)).
//!
//! Without `NOTIFY_SOCKET` nothing happens at all. With it, a thread does the
//! sending: the socket belongs to the service manager, and while that hangs,
//! a write to it blocks, which must not stop the loop that keeps the agent
//! alive. Messages are few; past `QUEUE_MESSAGES` waiting they are dropped,
//! for by then the manager has older troubles. Errors are never fatal: they
//! say something of the manager, nothing of the agent.
//!
//! The variables stay in adrt's own environment, which is never changed while
//! threads run; what children are given is made without them.

use std::env;
use std::io;
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::quiet;

/// Messages that may wait for the manager.
const QUEUE_MESSAGES: usize = 64;

/// Stack of the sending thread.
const THREAD_STACK_BYTES: usize = 64 * 1024;

/// The longest status that is sent; the manager shows one line.
const STATUS_CHARS_MAX: usize = 500;

/// The variables that are meant for adrt and not for what it starts.
pub const NOT_FOR_CHILDREN: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    // Tells of descriptors that a child does not have.
    "JOURNAL_STREAM",
];

enum Message {
    Ready,
    Status(String),
    Stopping,
    Reloading,
    Watchdog,
    ExtendTimeout(Duration),
    /// Everything before it has been sent.
    Flush(SyncSender<()>),
}

/// The way to the service manager, if there is one.
#[derive(Debug, Default)]
pub struct Notifier {
    messages: Option<SyncSender<Message>>,
    watchdog_interval: Option<Duration>,
}

impl Notifier {
    /// Reads the environment, once.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn from_env() -> io::Result<Self> {
        if env::var_os("NOTIFY_SOCKET").is_none_or(|path| path.is_empty()) {
            return Ok(Self::default());
        }
        let (messages, incoming) = mpsc::sync_channel(QUEUE_MESSAGES);
        quiet::spawn("adrt-notify", Some(THREAD_STACK_BYTES), move || {
            for message in incoming {
                send(message);
            }
        })?;
        Ok(Self { messages: Some(messages), watchdog_interval: sd_notify::watchdog_enabled() })
    }

    /// A notifier that tells nobody anything.
    pub fn disabled() -> Self {
        Self::default()
    }

    /// The run is up.
    pub fn ready(&self) {
        self.post(Message::Ready);
    }

    /// A line for `systemctl status`.
    pub fn status(&self, text: &str) {
        // A newline would begin another variable.
        let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        self.post(Message::Status(line.take(STATUS_CHARS_MAX).collect()));
    }

    /// The run is ending.
    pub fn stopping(&self) {
        self.post(Message::Stopping);
    }

    /// The configuration is being read again; to be followed by
    /// [`Notifier::ready`].
    pub fn reloading(&self) {
        self.post(Message::Reloading);
    }

    /// adrt is alive.
    pub fn watchdog(&self) {
        self.post(Message::Watchdog);
    }

    /// Give so much more time, from now, to start or to stop.
    pub fn extend_timeout(&self, by: Duration) {
        self.post(Message::ExtendTimeout(by));
    }

    /// How often the manager wants to hear [`Notifier::watchdog`] at least;
    /// half of it is a good pace. `None` if it doesn't.
    pub const fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog_interval
    }

    /// Waits until all has been sent, at most so long; says whether it was.
    /// A message of a process that has ended may not be believed.
    pub fn flush(&self, patience: Duration) -> bool {
        let Some(messages) = &self.messages else { return true };
        let (done, sent) = mpsc::sync_channel(1);
        messages.try_send(Message::Flush(done)).is_ok() && sent.recv_timeout(patience).is_ok()
    }

    fn post(&self, message: Message) {
        if let Some(messages) = &self.messages {
            let _dropped_when_full = messages.try_send(message);
        }
    }
}

fn send(message: Message) {
    let result = match message {
        Message::Ready => sd_notify::notify(&[NotifyState::Ready]),
        Message::Status(text) => sd_notify::notify(&[NotifyState::Status(&text)]),
        Message::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        Message::Reloading => match NotifyState::monotonic_usec_now() {
            Ok(now) => sd_notify::notify(&[NotifyState::Reloading, now]),
            Err(error) => Err(error),
        },
        Message::Watchdog => sd_notify::notify(&[NotifyState::Watchdog]),
        Message::ExtendTimeout(by) => {
            let micros = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
            sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(micros)])
        }
        Message::Flush(done) => {
            let _nobody_waits_any_more = done.send(());
            Ok(())
        }
    };
    // A manager that is gone or restarting is told again with the next one.
    let _never_fatal: io::Result<()> = result;
}
