//! The log behind `adrt logs`: the last of what an agent and its adrt said,
//! in one file of a fixed size that outlives both.
//!
//! ```text
//!   ┌ header, 4 KiB ┬ ring, 256 KiB ─────────────────────────────────────┐
//!   │ magic │ key   │ …record│record│   free or old   │oldest record│…   │
//!   └───────────────┴────────────────────────────────────────────────────┘
//! ```
//!
//! The file is beside the control socket, in memory as a rule (tmpfs): it
//! wears no SD card, survives `kill -9` of adrt, and is gone after a reboot;
//! what must outlive that is in the ledger.
//!
//! Invariants:
//! - one writer, the holder of the agent's lock; any number of readers, which
//!   it does not know of and never waits for;
//! - a record is written by one `pwrite`, and nothing else is: there is no
//!   index and no pointer to the end. A reader finds records by the file's
//!   key, which an agent's text does not know, and believes those alone whose
//!   checksum holds. So it does not matter where a writer was killed;
//! - the file's room is taken when it is made: a full tmpfs is found out
//!   then, and not in the midst of a flood;
//! - whatever fails, the log is off from then on, which is told once. No agent
//!   waits for it or ends with it.
//!
//! Not here: lines. An agent's text comes in pieces and is kept as it came;
//! joining and escaping it is the reader's work.

mod reader;
mod record;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::{Reader, Tail};
pub use record::{Record, Stream};
pub use writer::Log;
