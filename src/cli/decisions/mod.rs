//! `adrt decisions …`, `adrt decide` and `adrt why`: what is decided about
//! events, and how it comes about.

use clap::Subcommand;

use super::Context;
use super::failure::Failure;

mod account;
pub mod decide;
mod fields;
mod figures;
pub mod list;
mod page;
pub mod why;

pub(in crate::cli) use figures::figure;

/// See what was decided
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "a command's help stands at its arguments")]
pub enum DecisionsCommand {
    List(list::ListArgs),
}

/// Runs one of them.
///
/// # Errors
/// See each.
pub fn main(command: DecisionsCommand, context: &Context) -> Result<u8, Failure> {
    match command {
        DecisionsCommand::List(args) => list::main(&args, context),
    }
}
