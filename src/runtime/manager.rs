//! What the service manager is told, and in which order.
//!
//! ```text
//!  starting ──READY──► ready ──RELOADING──► reloading ──READY──► ready
//!      └──────────────────┴───────STOPPING───────┴──► stopping
//! ```
//!
//! A manager takes the READY that ends a reload for the one that ends a start,
//! so a reload before that is not told at all. That the rules could not be read
//! has no word of its own in the protocol: it stands at the end of the status
//! for as long as it is so.

use std::time::Duration;

use crate::supervisor::io::Notice;
use crate::systemd::Notifier;

/// The manager, and what it has been told.
#[derive(Debug)]
pub struct Manager {
    notifier: Notifier,
    knows: Knows,
    /// The status, without what is wrong with the rules.
    line: String,
    trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knows {
    Starting,
    Ready,
    Reloading,
    Stopping,
}

impl Manager {
    /// One that has been told nothing yet.
    pub fn new(notifier: Notifier) -> Self {
        Self { notifier, knows: Knows::Starting, line: String::new(), trouble: None }
    }

    /// Tells it what the machine says.
    pub fn tell(&mut self, notice: Notice) {
        match notice {
            Notice::Ready => self.ready(),
            Notice::Status(line) => {
                self.line = line;
                self.status();
            }
            Notice::Stopping => {
                self.knows = Knows::Stopping;
                self.notifier.stopping();
            }
            Notice::ExtendTimeout(by) => self.notifier.extend_timeout(by),
        }
    }

    /// The rules are being read again.
    pub fn reloading(&mut self) {
        if self.knows == Knows::Ready {
            self.knows = Knows::Reloading;
            self.notifier.reloading();
        }
    }

    /// They have been, or could not be: then what the trouble is.
    pub fn reloaded(&mut self, trouble: Option<String>) {
        if self.trouble != trouble {
            self.trouble = trouble;
            self.status();
        }
        if self.knows == Knows::Reloading {
            self.ready();
        }
    }

    fn ready(&mut self) {
        if self.knows != Knows::Stopping {
            self.knows = Knows::Ready;
        }
        self.notifier.ready();
    }

    fn status(&self) {
        match &self.trouble {
            None => self.notifier.status(&self.line),
            Some(trouble) if self.line.is_empty() => self.notifier.status(trouble),
            Some(trouble) => self.notifier.status(&format!("{}; {trouble}", self.line)),
        }
    }

    /// adrt is alive.
    pub fn watchdog(&self) {
        self.notifier.watchdog();
    }

    /// Waits until all has been sent, at most so long.
    pub fn flush(&self, patience: Duration) {
        self.notifier.flush(patience);
    }
}
