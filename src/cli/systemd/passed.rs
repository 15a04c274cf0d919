//! The options of `adrt run`, taken by `adrt systemd unit` as they are and
//! written into the unit.
//!
//! Which there are is asked of the option parser itself, so that one that is
//! new to `run` is known here without a word. What the environment of whoever
//! makes the unit says (`ADRT_*`) counts for nothing.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::cli::run::options::RunOptions;

/// The options as they were typed.
#[derive(Debug, Clone, Default)]
pub struct Passed {
    /// By their long names, each with its value.
    given: Vec<Given>,
    /// What they mean.
    pub options: RunOptions,
}

#[derive(Debug, Clone)]
struct Given {
    long: String,
    value: OsString,
    is_path: bool,
}

impl Passed {
    /// As words for `adrt run`; paths are made absolute.
    pub(super) fn words(&self, cwd: &Path) -> Vec<OsString> {
        let word = |given: &Given| {
            let mut word = OsString::from(format!("--{}=", given.long));
            // `--events -` is no file.
            if given.is_path && given.value != "-" {
                word.push(cwd.join(&given.value));
            } else {
                word.push(&given.value);
            }
            word
        };
        self.given.iter().map(word).collect()
    }

    /// Whether that option was given.
    pub(super) fn has(&self, long: &str) -> bool {
        self.given.iter().any(|given| given.long == long)
    }
}

fn options() -> Vec<Arg> {
    let command = RunOptions::augment_args(Command::new("run"));
    command.get_arguments().cloned().collect()
}

impl Args for Passed {
    fn augment_args(command: Command) -> Command {
        let hidden = |arg: Arg| arg.env(None::<&'static str>).hide(true);
        options().into_iter().map(hidden).fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Passed {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Vec::new();
        for arg in options() {
            let id = arg.get_id().as_str();
            let Some(long) = arg.get_long() else { continue };
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            let is_path = arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
            let values = matches.get_raw(id).into_iter().flatten();
            given.extend(values.map(|value| Given {
                long: long.to_owned(),
                value: value.to_owned(),
                is_path,
            }));
        }
        Ok(Self { given, options: RunOptions::from_arg_matches(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(typed: &[&str]) -> Vec<String> {
        let parser = Passed::augment_args(Command::new("unit"));
        let typed = std::iter::once("unit").chain(typed.iter().copied());
        let matches = parser.try_get_matches_from(typed).expect("parses");
        let passed = Passed::from_arg_matches(&matches).expect("parses");
        let words = passed.words(Path::new("/cwd")).into_iter();
        words.map(|word| word.into_string().expect("text")).collect()
    }

    #[test]
    fn options_are_written_as_they_were_typed() {
        assert_eq!(words(&[]), [""; 0]);
        assert_eq!(
            words(&["--stop-timeout", "30s", "--ordered", "--max-restarts=4", "-v"]),
            ["--verbose=true", "--max-restarts=4", "--ordered=true", "--stop-timeout=30s"]
        );
        assert_eq!(words(&["--backoff-jitter", "0", "--on-alert", "mail -s x"]).len(), 2);
    }

    #[test]
    fn paths_are_made_absolute() {
        assert_eq!(
            words(&["--env-file", "a,/b", "--rules", "r.toml", "--events", "f"]),
            ["--events=/cwd/f", "--rules=/cwd/r.toml", "--env-file=/cwd/a", "--env-file=/b"]
        );
        assert_eq!(words(&["--events", "-"]), ["--events=-"]);
    }

    /// An option whose value is text for a path would be left relative.
    #[test]
    fn every_file_is_known_for_one() {
        for arg in options() {
            let names: Vec<&str> =
                arg.get_value_names().unwrap_or_default().iter().map(|n| n.as_str()).collect();
            let is_path = arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
            let says_so = names.iter().any(|name| name.contains("FILE") || name.contains("DIR"));
            assert_eq!(is_path, says_so, "{names:?}");
        }
    }
}
