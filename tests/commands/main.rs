//! Every command of the real binary, on agents of its own: what is printed,
//! for people and as JSON, and the exit codes.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../support/svg.rs"]
mod svg;
#[path = "../support/terminal.rs"]
mod terminal;

mod agents;
mod crashes;
mod decisions;
mod doctor;
mod events;
mod logs;
mod metrics;
mod output;
mod past;
mod running;
mod screens;
mod starting;
mod state;
mod steps;
mod systemd;
mod world;
