//! A device's life, as adrt-systemd(7) tells it: each of its walkthroughs,
//! with the commands that stand there, on a real agent that spends money.
//!
//! The agent is `agents/courier.py`: it pays for each order, in a book that
//! adrt knows nothing of. Whatever happens to the device, each order is in it
//! once.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

#[expect(dead_code, unused_imports, reason = "each target uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

mod adrt_itself;
mod disk;
mod keeping;
mod night;
mod releases;
mod secrets;
mod shop;
