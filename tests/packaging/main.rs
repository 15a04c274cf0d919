//! What is made of adrt for others to install: the binaries for other machines,
//! the package's files and its scripts.
//!
//! What takes a whole build, or root, is in `packaging/check`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

#[expect(dead_code, unused_imports, reason = "most of it is for the tests of `adrt run`")]
#[path = "../support/mod.rs"]
mod support;

mod completions;
mod life;
mod package;
mod scripts;
