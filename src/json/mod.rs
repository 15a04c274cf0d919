//! JSON as text: strict validation, one level of reading, string content.
//!
//! adrt keeps JSON as the text that came in and looks inside only where it
//! must. This module is the one place that scans such text. It is a leaf:
//! the wire ([`crate::protocol`]) and the engines ([`crate::engines`]) stand
//! on it, and it stands on nothing of ours.
//!
//! Invariants:
//! - members and elements are handed out as slices of the text they are in,
//!   byte for byte, keys as their raw literal with its quotes;
//! - no function here recurses with the nesting of the text, so text of any
//!   depth is safe.
//!
//! Deliberately not here: any parse into a tree of values. It would be slower
//! and would damage numbers that no machine type holds.

mod scan;
mod string;
mod validate;

pub use scan::{MembersError, each_element, each_member, members};
pub use string::{decode, display, encode};
pub use validate::{JsonFault, one_line, text, validate};
