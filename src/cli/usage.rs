//! Command lines that can't be understood.
//!
//! The parser words its own complaints. One thing it does not tell: that a
//! bad value came from a variable, which nobody looking at the command line
//! would find there.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};

use super::args;
use super::env::Env;
use super::failure::{Failure, Kind};

/// Prints help, the version, or a complaint, and gives the exit code.
pub(super) fn tell(error: &clap::Error) -> u8 {
    // Help goes to stdout, complaints to stderr; either may be closed.
    let _ = error.print();
    u8::try_from(error.exit_code()).unwrap_or(Kind::Usage.exit_code())
}

/// The failure, if the value that is complained of came from a variable.
pub(super) fn of_variable(error: &clap::Error, words: &[OsString], env: &Env) -> Option<Failure> {
    let (ContextValue::String(arg), ContextValue::String(value)) =
        (error.get(ContextKind::InvalidArg)?, error.get(ContextKind::InvalidValue)?)
    else {
        return None;
    };
    // It reads `--restart <WHEN>`.
    let long = arg.split([' ', '[', '=']).next()?.strip_prefix("--")?;
    let variable = variable_of(&args::command(), long)?;
    let typed = words.iter().take_while(|word| *word != "--").any(|word| {
        let word = word.to_string_lossy();
        word.strip_prefix("--").is_some_and(|word| word.split('=').next() == Some(long))
    });
    if typed || env.text(&variable) != Some(value) {
        return None;
    }
    let why = std::error::Error::source(error)
        .map_or_else(|| "is not possible here".to_owned(), ToString::to_string);
    let hint = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => format!("one of: {}", values.join(", ")),
        _ => format!("set it to another value, or unset {variable}"),
    };
    Some(
        Failure::new(Kind::Config, format!("bad configuration: the variable {variable}"))
            .why(format!("{value:?} {why}"))
            .hint(hint),
    )
}

/// The variable that stands for an option of any command.
fn variable_of(command: &clap::Command, long: &str) -> Option<String> {
    let own = command.get_arguments().find(|arg| arg.get_long() == Some(long));
    let own = own.and_then(clap::Arg::get_env).map(|name| name.to_string_lossy().into_owned());
    own.or_else(|| command.get_subcommands().find_map(|below| variable_of(below, long)))
}
