//! The engines: pure functions over typed inputs, with no clock and no I/O.

pub mod environment;
pub mod state;
