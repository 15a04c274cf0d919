//! The store against real files: what is kept, what is found again, what
//! damage does.

#![expect(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod backup;
mod basics;
mod damage;
mod decisions;
mod forget;
mod full;
mod home;
mod kit;
mod migrate;
mod past;
mod retention;
mod work;
mod writer;
