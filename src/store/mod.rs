//! The store: one SQLite database an agent, written by one thread.
//!
//! What is where:
//! - [`home`] and [`lock`]: the agent's directory, and who may write in it;
//! - [`schema`], `settings`, `migrate`, `rows`: the tables, what SQLite is told,
//!   files of other schemas, the checksum of every row;
//! - [`open`] with `install`, `verify`, `wal`, `raw` and `salvage`: opening, and
//!   what damage means;
//! - [`load`]: checkpoint + journal = the state;
//! - [`commit`] with `ops`, `retention`, `forget` and `reserve`; [`writer`]: writing;
//! - [`read`] with `past`, [`ledger`], [`read_work`], [`read_decisions`]: the command line's own read-only view;
//! - [`backup`]: an agent in one file.
//!
//! Rules that hold throughout:
//! - what was reported committed has been synced; a row is never half there;
//! - the store refuses nothing for its meaning: that was decided before;
//! - a damaged row is never used, and never passed over without a word;
//! - nothing is deleted because it could not be read: it is renamed aside.

pub mod backup;
pub mod commit;
pub mod failure;
mod forget;
pub mod home;
mod install;
pub mod ledger;
pub mod load;
pub mod lock;
mod migrate;
pub mod open;
mod ops;
mod past;
#[cfg(test)]
mod plan;
mod raw;
pub mod read;
pub mod read_decisions;
pub mod read_work;
mod reserve;
mod retention;
mod rows;
mod salvage;
pub mod schema;
mod settings;
mod verify;
mod wal;
mod work;
pub mod writer;

pub use backup::{BackupError, BackupInfo};
pub use failure::OpenError;
pub use home::{Home, HomeError, list};
pub use lock::{Holder, HolderKind, Lock, LockError, holder};
pub use open::{OnDamage, Options, Store};
pub use read::{Change, ReadError, Reader, Snapshot};
pub use read_decisions::DecisionFilter;
pub use read_work::{EventFilter, EventView, InboxSummary};
pub use reserve::RESERVE_BYTES;
pub use schema::SCHEMA_VERSION;
pub use writer::{Command, Report, Writer};
