//! The wire, as data: what a line is, what a request says, what a reply looks
//! like. Newline-delimited JSON-RPC 2.0; the whole of it for implementers is
//! in the manual page adrt-protocol(7).
//!
//! - [`frame`] cuts bytes into lines.
//! - [`envelope`] tells frames from text and opens the outer object.
//! - [`message`] decodes the params of a method into a typed [`message::Request`];
//!   [`work`] those of the methods about events, steps, timers and the like.
//! - [`reply`] writes results, errors and notifications.
//! - [`error`] is the table of error codes.
//!
//! Decoding has two stages, the envelope with raw params first and the
//! method's own struct second: an internally tagged enum would buffer, and
//! raw JSON text can't be taken out of a buffer.
//!
//! Nothing in here knows whether a request may be done; that is the
//! supervisor's business.

pub mod envelope;
pub mod error;
pub mod frame;
pub mod message;
pub mod reply;
pub mod work;

/// The major versions of the protocol that are spoken.
pub const PROTOCOL_MAJORS: [u64; 1] = [1];
