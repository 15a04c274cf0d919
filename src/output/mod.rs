//! The way of an agent's text to adrt's own stdout and stderr.
//!
//! ```text
//!   agent's fd 3, fd 2 ──> TextPipe ──┬──> Sink ──thread──> adrt's fd 1, fd 2
//!   text lines of its fd 1 ───────────┤
//!                                     ├──> Ring (the last 64 KiB, for the ledger)
//!                                     └──> Log (the last 256 KiB, for `adrt logs`)
//! ```
//!
//! Invariants:
//! - text is passed on byte for byte, in the order in which it came out of
//!   one descriptor; only a terminal is spared control characters;
//! - a write to adrt's stdout may block for ever (`adrt run … | less`), so a
//!   thread does it, behind a bounded queue; adrt's own descriptors are never
//!   made non-blocking, since others share them;
//! - when the queue is full its source is no longer read, and the agent
//!   waits; adrt does not grow;
//! - a closed or failing stdout is no reason to stop an agent: the text is
//!   then dropped and counted;
//! - adrt's own lines begin at the beginning of a line;
//! - where the descriptor is the journal of systemd, what goes out are entries
//!   of it, of the same queue and in the same order (`journal`, `lines`).
//!
//! Not here: telling frames from text on the wire, which needs the protocol.

mod entry;
mod escape;
mod journal;
mod lines;
mod log;
mod ring;
mod sink;
mod text;
mod writer;

pub use entry::{Entry, Priority};
pub use escape::escape_line;
pub use journal::prefix_on_stderr;
pub use log::{Log, Reader as LogReader, Record, Stream, Tail};
pub use ring::{RING_BYTES, Ring, SharedRing};
pub use sink::{CHUNK_BYTES, Full, QUEUE_BYTES, Sink};
pub use text::TextPipe;
