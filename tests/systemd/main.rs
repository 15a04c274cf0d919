//! adrt under a real systemd: this machine's own, booted as PID 1 of
//! namespaces of its own ([`machine`]), which needs root. Where that can't be,
//! each test says that it was skipped and why.
//!
//! The units are those that `adrt systemd` prints.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

#[expect(dead_code, unused_imports, reason = "most of it is for tests that boot no machine")]
#[path = "../support/mod.rs"]
mod support;

mod machine;

mod device;
mod ends;
mod journal;
mod lives;
mod template;
mod units;
