//! Real processes, pipes, signals and terminals: what only the kernel can
//! tell whether it is right.
//!
//! Most of it changes or watches a whole process (its children, descriptors,
//! signal dispositions), so each test runs in a process of its own: see
//! [`support::isolate`].

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

mod cgroup;
mod output;
mod reap;
mod signals;
mod spawn;
mod systemd;
mod terminal;
