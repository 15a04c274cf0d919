//! The supervisor: a pure, deterministic state machine.
//!
//! [`machine::Machine::handle`] takes one [`io::Input`] and says what to do as
//! [`io::Effect`]s. It reads no clock and no file and draws its randomness
//! from a seed it was given, so live running, recovery and simulation are the
//! same function.
//!
//! - [`exit`]: ends of processes, in words, numbers and classes.
//! - [`io`]: inputs and effects; [`units`], [`work`], [`rulings`]: the typed writes of
//!   the store.
//! - [`machine`]: the phases of a run, and the dispatch; [`setup`]: what it is told before.
//! - [`lifecycle`]: from spawn to the end of an incarnation and what follows;
//!   [`cause`]: why it starts; [`closing`]: the end of the run.
//! - [`pulse`]: whether a live agent still gives a sign of life; [`leaving`]: how
//!   it is made to end; [`attached`]: one that adrt did not start.
//! - [`age`]: adrt's own count of time.
//! - [`restart`]: whether and when to start again.
//! - [`intake`]: lines from the agent and the operator, into the queue.
//! - [`queue`]: what waits for its turn or its commit, in order.
//! - [`apply`]: requests done on the speculative state, each once for its key ([`keys`]);
//!   [`draft`]: a write while it is put together; [`desk`]: work that is due;
//!   [`records`]: adrt's own writes; [`answers`], [`shown`]: what is said of all these;
//!   [`lookups`]: what the store was asked for them;
//!   [`greeting`]: the answer to `initialize`.
//! - [`book`]: the state itself, committed and speculative; [`agenda`]: what is
//!   still to be done.
//! - [`outbox`]: what the agent has been told and has not read yet.
//! - [`trouble`]: a disk that refuses.
//! - [`way_back`]: the checkpoint before another release.
//! - [`wear`]: what was written to the disk in the last day.
//! - [`surroundings`]: what the sensors say of the machine, and the telling of it.
//! - [`readiness`]: what the service manager waits for.
//! - [`reload`]: the rules file, and what came of reading it again.
//! - [`status`]: what an operator is shown; [`counters`]: what is counted for it;
//!   [`alerts`]: what a person is told to look at.

pub mod alerts;
pub mod exit;
pub mod io;
pub mod machine;
pub mod occasion;
pub mod restart;
pub mod rulings;
pub mod units;
pub mod work;

mod age;
mod agenda;
mod announce;
mod answers;
mod apply;
mod attached;
mod book;
mod cause;
mod closing;
mod counters;
mod desk;
mod draft;
mod greeting;
mod intake;
mod keys;
mod leaving;
mod lifecycle;
mod lookups;
mod outbox;
mod pulse;
mod queue;
mod readiness;
mod records;
mod reload;
mod setup;
mod shown;
mod status;
mod surroundings;
#[cfg(test)]
mod testbed;
mod trouble;
mod way_back;
mod wear;
