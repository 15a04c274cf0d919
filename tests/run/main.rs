//! The real binary over real processes: what an agent, an operator or a
//! machine may do to it, and what must hold all the same.
//!
//! Nothing here waits for a time to pass: every test waits for what it expects
//! to see, and fails if it never comes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

#[path = "../support/mod.rs"]
mod support;

mod alerts;
mod attach;
mod clocks;
mod decisions;
mod disk;
mod endurance;
mod escapes;
mod hangs;
mod kills;
mod ledger;
mod leftovers;
mod limits;
mod logs;
mod long_lines;
mod output;
mod plain;
mod ready;
mod refusals;
mod releases;
mod restarts;
mod rivals;
mod rules;
mod sensors;
mod sources;
mod stops;
mod storm;
mod terminals;
mod variables;
mod wire;
