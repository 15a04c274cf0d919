//! A file system in memory for SQLite that can lose power, fill up and fail.
//!
//! [`disk`] knows what survives, [`world`] what is planned to go wrong,
//! [`locks`] who holds what, [`handle`] what a file does, and [`ffi`] how to
//! say so in C. Nothing touches a real file. Deliberately not here: what the
//! store does with it, and real memory mapping (a fetch offers no page).

mod disk;
mod ffi;
mod handle;
mod locks;
mod world;

pub use disk::Disk;
pub use ffi::Vfs;
pub use world::{Fault, Moment, Trouble, World};
