//! `adrt events …`: what has happened, and what became of it.

mod emit;
mod follow;
mod handle;
mod list;
mod settle;
mod show;
mod shown;

use clap::Subcommand;

use super::failure::{Failure, Kind};
use super::{Context, when};
use crate::clock::Wall;

/// Put events into the inbox, and see what becomes of them
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "a command's help stands at its arguments")]
pub enum EventsCommand {
    Emit(emit::EmitArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Follow(follow::FollowArgs),
    Retry(settle::RetryArgs),
    Drop(settle::DropArgs),
    Next(handle::NextArgs),
    Ack(handle::AckArgs),
    Nack(handle::NackArgs),
}

/// Runs one of them.
///
/// # Errors
/// See each.
pub fn main(command: EventsCommand, context: &Context) -> Result<u8, Failure> {
    match command {
        EventsCommand::Emit(args) => emit::main(&args, context),
        EventsCommand::List(args) => list::main(&args, context),
        EventsCommand::Show(args) => show::main(&args, context),
        EventsCommand::Follow(args) => follow::main(&args, context),
        EventsCommand::Retry(args) => settle::retry(&args, context),
        EventsCommand::Drop(args) => settle::drop(&args, context),
        EventsCommand::Next(args) => handle::next(&args, context),
        EventsCommand::Ack(args) => handle::ack(&args, context),
        EventsCommand::Nack(args) => handle::nack(&args, context),
    }
}

/// The number of an event.
fn seq(word: &str) -> Result<u64, Failure> {
    number(word, "event")
}

fn number(word: &str, what: &str) -> Result<u64, Failure> {
    word.parse().map_err(|_| {
        Failure::new(Kind::Usage, format!("{word:?} is no {what}"))
            .why(format!("an {what} is a number"))
            .hint("adrt events list shows the events that are kept")
    })
}

/// A point in time as it is typed.
fn since(context: &Context, text: Option<&str>) -> Result<Option<Wall>, Failure> {
    when::since(text, &context.moment, "adrt events list shows when events came")
}
