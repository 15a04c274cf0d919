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
//!  typed, engines, protocol ◄ rules ◄ runtime;  typed ◄ cli;  metrics ◄ runtime, cli
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
//! - [`metrics`]: what is measured of agents, as text for Prometheus.
//! - [`quiet`]: the threads of the edges and the loop, which take no signals.
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
//!
//! # The engines by themselves
//!
//! What an event means, how sure one may be, what to do about it, and what is
//! learnt from how it went: functions of their arguments, to be used without
//! an agent, a database or a clock.
//!
//! ```
//! use adrt::clock::Age;
//! use adrt::engines::confidence::{Calibration, calculate};
//! use adrt::engines::context::{Reading, Risk, Signals};
//! use adrt::engines::decision::{Policy, Question, Verdict};
//! use adrt::engines::environment::Level;
//!
//! let policy = Policy::default();
//! let event = r#"{"type":"service_overload","cpu":94,"memory":88,"severity":0.82}"#;
//! let signals = Signals::of_event(event)?;
//!
//! // What it means.
//! let context = policy.reading.analyze("service_overload", &signals);
//! assert_eq!((context.risk, &*context.context), (Risk::High, "resource_pressure"));
//!
//! // How likely it is that acting is right. Nothing was learnt yet; what was
//! // learnt about this context and risk, and when it is now, is the caller's
//! // to keep.
//! let mut learnt = Calibration::default();
//! let mut now = Age::from_millis(0);
//! let sure = |learnt: &Calibration, now: Age| {
//!     calculate(&policy.reading.weights, &signals, context.risk, Some(learnt), None, now)
//! };
//! let confidence = sure(&learnt, now);
//! assert_eq!(format!("{:.2}", confidence.value), "0.78");
//!
//! // What to do, and whether a person is asked first.
//! let decide = |confidence: f64| {
//!     policy.decide(&[], &Question {
//!         context: &context.context,
//!         risk: context.risk,
//!         confidence,
//!         environment: Level::Calm,
//!     })
//! };
//! let decision = decide(confidence.value);
//! assert_eq!(&*decision.rule.action, "restart_service");
//! assert_eq!(decision.verdict, Verdict::Execute);
//!
//! // It went wrong, and again, and again: then it is not done any more.
//! for _ in 0..30 {
//!     now = Age::from_millis(now.millis() + 60_000);
//!     learnt = learnt.learn(confidence.q, false, now);
//! }
//! let humbled = sure(&learnt, now);
//! assert!(humbled.value < 0.5);
//! let decision = decide(humbled.value);
//! assert_eq!(&*decision.rule.action, "throttle_requests");
//! assert_eq!(decision.verdict, Verdict::Review);
//! # Ok::<(), adrt::engines::context::SignalError>(())
//! ```

pub mod cli;
pub mod clock;
pub mod engines;
pub mod feed;
pub mod json;
pub mod metrics;
pub mod output;
pub mod process;
pub mod protocol;
pub mod quiet;
pub mod rules;
pub mod runtime;
pub mod sensors;
pub mod settings;
pub mod signals;
pub mod store;
pub mod supervisor;
pub mod systemd;
pub mod typed;
