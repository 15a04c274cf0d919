//! What the benches share: a place of their own with the real `adrt` in it
//! ([`lab`]), a compiled client of the wire ([`wire`]), how numbers are
//! summed up and told ([`report`]), and whom adrt is compared with
//! ([`supervisord`]).
//!
//! A bench is its own agent: `adrt run` is given the bench's executable with
//! `--agent`, and the two halves talk over a socket beside adrt, so that what
//! is measured goes over the wire and nothing else does.

pub mod lab;
pub mod report;
pub mod supervisord;
pub mod wire;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock, which all processes of a machine
/// share, so that one can tell what another has measured.
pub fn nanos() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| {
        let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
        seconds * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0)
    })
}
