//! adrt keeps an AI agent alive and remembering.
//!
//! It starts a command, starts it again with growing delays when it crashes,
//! and hands back every write it had acknowledged. This crate is the program;
//! as a library it offers its parts, above all the pure ones.
//!
//! # The layers
//!
//! Imports go one way, from right to left; a test (`tests/layers.rs`) keeps it.
//!
//! ```text
//!                                        ┌ store ────┐
//!  clock, json ◄ engines, protocol ◄ supervisor ◄ process ├ ◄ runtime ◄ cli ◄ main
//!                                        │ signals   │        │
//!                                        │ systemd   │     settings
//!                                        │ output    │
//!                                        │ feed      │
//!                                        └ sensors ──┘
//!  typed, engines, protocol ◄ rules ◄ runtime;  typed ◄ cli
//! ```
//!
//! - [`clock`]: two kinds of time, and the only place that reads them;
//!   [`json`]: text that is JSON, scanned and not parsed.
//! - [`engines`]: what is computed. [`protocol`]: what is said on the wire.
//! - [`typed`]: what people write for adrt to read; [`rules`]: the operator's
//!   rules, of which decisions are made.
//! - [`supervisor`]: what is decided. A synchronous state machine over data:
//!   inputs in, effects out, no clock, no file, no thread.
//! - [`store`], [`process`], [`signals`], [`systemd`], [`output`], [`feed`], [`sensors`]:
//!   the edges. They do things, decide nothing, and don't know each other.
//! - [`runtime`]: one loop that joins the machine to the edges.
//! - [`cli`]: one file a command.
//!
//! # Where the promises are kept
//!
//! - *No acknowledged write is lost*: an answer waits in
//!   [`supervisor`]'s queue until [`store`] has reported its unit's COMMIT.
//! - *One writer*: [`store::lock`] is taken before anything else.
//! - *No agent grows or blocks adrt*: every queue has a named bound beside
//!   it, and [`supervisor::machine::Machine::wants_line`] stops the reading.
//! - *When adrt dies its agent dies*: [`process::spawn`].
//! - *Nothing waits for ever*: the diagram in [`supervisor::machine`] names
//!   the deadline or the pending input of each phase.

pub mod cli;
pub mod clock;
pub mod engines;
pub mod feed;
pub mod json;
pub mod output;
pub mod process;
pub mod protocol;
pub mod rules;
pub mod runtime;
pub mod sensors;
pub mod settings;
pub mod signals;
pub mod store;
pub mod supervisor;
pub mod systemd;
pub mod typed;
