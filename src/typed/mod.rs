//! What people write for adrt to read: quantities, and files in which every
//! mistake has a line and a column.
//!
//! - [`quantity`]: `500ms`, `256MiB`, shares and factors;
//! - [`document`]: reading TOML and telling what is wrong where;
//! - [`variables`]: files of variables for the agent.
//!
//! Pure: who reads the file, and what its keys mean, is elsewhere.

pub mod document;
pub mod quantity;
pub mod variables;
