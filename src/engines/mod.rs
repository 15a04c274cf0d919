//! The engines: pure functions over typed inputs, with no clock and no I/O.
//!
//! - [`state`]: one JSON object, changed by patches.
//! - [`context`]: what an event means.
//! - [`confidence`]: how likely it is that acting is right.
//! - [`decision`]: what to do, and whether a person is asked first.
//! - [`environment`]: how hard pressed the machine is.
//!
//! Recovery, the fifth of the design, is what [`crate::supervisor`] is about.

pub mod confidence;
pub mod context;
pub mod decision;
pub mod environment;
pub mod state;
