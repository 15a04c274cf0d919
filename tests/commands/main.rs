//! Every command of the real binary, on agents of its own: what is printed,
//! for people and as JSON, and the exit codes.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod agents;
mod crashes;
mod decisions;
mod events;
mod output;
mod past;
mod running;
mod starting;
mod state;
mod steps;
mod systemd;
mod world;
