//! The loop that joins the machine to the world.
//!
//! One thread runs everything but SQLite, spawning and adrt's own output. It
//! waits on all sources at once, turns what happened into an
//! [`Input`](crate::supervisor::io::Input), and carries out the effects. It
//! never awaits while doing so: whatever can block has a thread of its own.
//!
//! - [`run`]: one `adrt run`, from the lock to the exit code; [`attach`]: one
//!   `adrt attach`, in the same loop; `relay`: the wire on adrt's own stdin and stdout.
//! - `driver`: the loop; `effects`: what it does for the machine; `life`: processes
//!   that begin and end, and signals; `job`: job control; `wire`: their pipes.
//! - `child`: the live process and its pipes; `stdin_queue`: what is on its way to it.
//! - `control`: the Unix socket for operators.
//! - `environment`: what the agent finds in its environment; `variables`: the
//!   files of `--env-file`.
//! - `manager`: what the service manager is told.
//! - `alerts`: the operator's command for what a person should look at.
//! - [`metrics`]: what is measured, and the file it is kept in.
//! - [`usage`]: what an agent's processes take of the machine.
//! - `python_client`: the Python package carried in this binary.
//! - `post`: events on their way to other agents.
//! - [`rules`]: the rules file, read and read again; `text_file`: how such a
//!   file is read.
//! - [`offline`]: one request of an operator when nothing runs; [`peer`]: one to
//!   the adrt that runs an agent.
//! - [`foreground`]: one command, as a shell runs it.

mod alerts;
mod attach;
mod child;
mod control;
mod driver;
mod effects;
mod environment;
pub mod foreground;
mod job;
mod life;
pub mod log_file;
mod manager;
pub mod metrics;
pub mod offline;
pub mod peer;
mod post;
mod python_client;
mod relay;
pub mod rules;
mod run;
mod sources;
mod stdin_queue;
mod text_file;
mod told;
pub mod usage;
mod variables;
mod wire;

pub use attach::attach;
pub use run::{RunError, run};

pub use crate::feed::SourceError;
pub use crate::process::cgroup::Refusal;
