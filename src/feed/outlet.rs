//! The thread's way to the loop: batches, and what an operator should know.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::supervisor::io::{Level, SourceBatch};

/// Says something to the operator; must not block.
pub type Log = Box<dyn Fn(Level, &str) + Send>;

/// The loop is over, and so is the thread.
#[derive(Debug)]
pub(super) struct Gone;

/// See the module's text.
pub(super) struct Outlet {
    batches: mpsc::Sender<SourceBatch>,
    log: Log,
}

impl Outlet {
    pub fn new(batches: mpsc::Sender<SourceBatch>, log: Log) -> Self {
        Self { batches, log }
    }

    /// Hands a batch over; waits as long as the loop takes none.
    pub fn send(&self, lines: Vec<Vec<u8>>, position: Option<String>) -> Result<(), Gone> {
        self.batches.blocking_send(SourceBatch { lines, position }).map_err(|_| Gone)
    }

    /// Whether the loop is there.
    pub fn check(&self) -> Result<(), Gone> {
        if self.batches.is_closed() { Err(Gone) } else { Ok(()) }
    }

    pub fn log(&self, level: Level, message: &str) {
        (self.log)(level, message);
    }
}

/// The pause after a failure; each further one doubles it.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: somebody may just have mended it, and wonders.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A source that can't be read just now: told once, tried again ever later.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    told: String,
    pauses: u32,
}

impl Trouble {
    /// Tells it, unless it was told last, and lets time pass.
    pub fn tell_and_pause(
        &mut self,
        outlet: &Outlet,
        what: &str,
        error: &io::Error,
    ) -> Result<(), Gone> {
        let message = format!("events can't be read from {what}: {error}; tried again");
        if self.told != message {
            outlet.log(Level::Error, &message);
            self.told = message;
        }
        let pause = PAUSE.saturating_mul(1_u32.checked_shl(self.pauses).unwrap_or(u32::MAX));
        self.pauses += 1;
        thread::sleep(pause.min(PAUSE_MAX));
        outlet.check()
    }

    /// It is read again; true if it was not before.
    pub fn is_over(&mut self) -> bool {
        std::mem::take(self).pauses > 0
    }
}
