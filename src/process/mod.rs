//! Real processes: starting the agent, noticing its end, and leaving nothing
//! of it behind.
//!
//! - [`spawn`] starts a command from a permanent thread and gives its pipes;
//! - [`reap`] collects every child of ours that ends, and is the only place
//!   that waits;
//! - [`sweep`] kills what outlives an agent: its group, its daemons, and the
//!   group of an agent whose adrt was killed;
//! - [`kin`] knows an agent's processes after their adrt has died, by a mark;
//! - [`cgroup`] keeps them in a group of the kernel's, where that is adrt's to
//!   make, and reads what the kernel says of memory;
//! - [`pipes`], [`terminal`], [`table`] are their tools.
//!
//! Invariants:
//! - a pid is only ever signalled while its process is known not to have been
//!   reaped, so a number that was given away again is never hit;
//! - an agent's end is known from wait, never from an end of file: a
//!   grandchild may hold the pipes open;
//! - the child sees exactly the descriptors 0, 1, 2 and 3, default signal
//!   dispositions and an empty signal mask, whatever adrt itself was given.
//!
//! Not here: when to start or to stop (the supervisor decides), reading and
//! writing of the pipes while the agent lives (the loop does).

pub mod cgroup;
mod child;
mod exec;
pub mod kin;
pub mod pipes;
pub mod reap;
pub mod spawn;
pub mod sweep;
pub mod table;
pub mod terminal;
