//! The thread's way to the loop: batches, and what an operator should know.

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
