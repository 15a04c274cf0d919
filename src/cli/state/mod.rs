//! `adrt state …`: what an agent remembers.

mod change;
mod history;
mod show;
mod write;

pub use change::{Side, compare};
pub use show::pointer;
pub use write::PatchFormat;

use clap::Subcommand;

use super::Context;
use super::failure::Failure;

/// Read and change what an agent remembers
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "a command's help stands at its arguments")]
pub enum StateCommand {
    Show(show::ShowArgs),
    Get(show::GetArgs),
    Set(write::SetArgs),
    Patch(write::PatchArgs),
    Diff(change::DiffArgs),
    History(history::HistoryArgs),
}

/// Runs one of them.
///
/// # Errors
/// See each.
pub fn main(command: StateCommand, context: &Context) -> Result<u8, Failure> {
    match command {
        StateCommand::Show(args) => show::show(&args, context),
        StateCommand::Get(args) => show::get(&args, context),
        StateCommand::Set(args) => write::set(&args, context),
        StateCommand::Patch(args) => write::patch(&args, context),
        StateCommand::Diff(args) => change::diff(&args, context),
        StateCommand::History(args) => history::main(&args, context),
    }
}
