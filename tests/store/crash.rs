//! The store under power cuts and failing disks, on a file system of its own.

#![expect(clippy::expect_used, reason = "a test that can't go on says why")]

mod bench;
mod cuts;
mod faults;
mod judged;
mod model;
mod plain;
mod script;
mod vfs;
