//! The file of `run --config`: TOML, one key for each long option of `run`,
//! and `name`, `command`, `state-dir`.
//!
//! Keys and values are judged by the option parser itself, so that the file
//! knows what the command line knows, no more and no less. Whatever is wrong
//! is told with its line and column; an unknown key is never passed over.

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Args as _, FromArgMatches as _};
use toml::de::{DeTable, DeValue};

use super::failure::{Failure, Kind};
use super::run::options::RunOptions;

/// What a configuration file says.
#[derive(Debug, Clone, Default)]
pub struct File {
    /// `name`.
    pub name: Option<String>,
    /// `command`: an array of strings.
    pub command: Vec<OsString>,
    /// `state-dir`.
    pub state_dir: Option<PathBuf>,
    /// All else.
    pub options: RunOptions,
}

/// Keys that are no option of `run`.
const OWN_KEYS: [&str; 3] = ["name", "command", "state-dir"];

/// Reads a file.
///
/// # Errors
/// It can't be read, is no TOML, or says what no option does.
pub fn read(path: &Path) -> Result<File, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(Kind::Config, format!("{} can't be read", path.display()))
            .why(error)
            .hint("name a readable TOML file with --config")
    })?;
    parse(&text).map_err(|wrong| wrong.failure(path, &text))
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrong {
    at: Option<Range<usize>>,
    what: String,
    hint: String,
}

impl Wrong {
    fn new(at: Range<usize>, what: impl Into<String>) -> Self {
        Self { at: Some(at), what: what.into(), hint: String::new() }
    }

    fn failure(&self, path: &Path, text: &str) -> Failure {
        let place = match &self.at {
            Some(at) => {
                let (line, column) = line_column(text, at.start);
                format!("{}, line {line}, column {column}", path.display())
            }
            None => path.display().to_string(),
        };
        let hint = if self.hint.is_empty() { "mend that line" } else { &self.hint };
        Failure::new(Kind::Config, format!("bad configuration: {place}")).why(&self.what).hint(hint)
    }
}

/// Both from 1; columns in characters.
fn line_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn parse(text: &str) -> Result<File, Wrong> {
    let table = DeTable::parse(text).map_err(|error| Wrong {
        at: error.span(),
        what: error.message().to_owned(),
        hint: String::new(),
    })?;
    let mut file = File::default();
    let mut words = vec![OsString::from("file")];
    for (key, value) in table.get_ref() {
        let at = value.span();
        match key.get_ref().as_ref() {
            "name" => file.name = Some(string(value.get_ref(), at)?),
            "state-dir" => file.state_dir = Some(string(value.get_ref(), at)?.into()),
            "command" => file.command = command(value.get_ref(), at)?,
            name => {
                known(name, key.span())?;
                let word = format!("--{name}={}", scalar(value.get_ref(), at.clone())?);
                check(&word, at)?;
                words.push(word.into());
            }
        }
    }
    file.options = options(&words).map_err(|error| Wrong {
        at: None,
        what: error.to_string(),
        hint: String::new(),
    })?;
    Ok(file)
}

/// The options as the command line knows them, deaf to the environment: a
/// variable is laid over the file later.
fn parser() -> clap::Command {
    RunOptions::augment_args(clap::Command::new("file").no_binary_name(false))
        .mut_args(|arg| arg.env(None::<&'static str>))
}

fn options(words: &[OsString]) -> Result<RunOptions, clap::Error> {
    RunOptions::from_arg_matches(&parser().try_get_matches_from(words)?)
}

fn known(name: &str, at: Range<usize>) -> Result<(), Wrong> {
    let parser = parser();
    let mut names: Vec<&str> = parser.get_arguments().filter_map(clap::Arg::get_long).collect();
    if names.contains(&name) {
        return Ok(());
    }
    names.extend(OWN_KEYS);
    let mut wrong = Wrong::new(at, format!("there is no setting {name:?}"));
    wrong.hint = match nearest(name, &names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "adrt run --help lists them; keys are the long options".to_owned(),
    };
    Err(wrong)
}

/// The name that is fewest edits away, if that is few enough to be a slip.
fn nearest<'n>(typed: &str, names: &[&'n str]) -> Option<&'n str> {
    let typed = typed.replace('_', "-").to_lowercase();
    let best = names.iter().map(|name| (distance(&typed, name), *name)).min()?;
    (best.0 <= typed.len().max(3) / 3).then_some(best.1)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn string(value: &DeValue<'_>, at: Range<usize>) -> Result<String, Wrong> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Wrong::new(at, format!("this is a string, not {}", value.type_str())))
}

fn command(value: &DeValue<'_>, at: Range<usize>) -> Result<Vec<OsString>, Wrong> {
    let Some(items) = value.as_array() else {
        let mut wrong = Wrong::new(at, "command is an array of strings, one for each word");
        wrong.hint = "command = [\"python3\", \"agent.py\"]".to_owned();
        return Err(wrong);
    };
    items.iter().map(|item| string(item.get_ref(), item.span()).map(OsString::from)).collect()
}

/// A value as it would be typed after `--name=`.
fn scalar(value: &DeValue<'_>, at: Range<usize>) -> Result<String, Wrong> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Ok(truth.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| scalar(item.get_ref(), item.span()));
            Ok(items.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => {
            Err(Wrong::new(at, format!("a setting is no {}", value.type_str())))
        }
    }
}

/// Whether the option takes the value.
fn check(word: &str, at: Range<usize>) -> Result<(), Wrong> {
    let error = match options(&["file".into(), word.into()]) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => format!("{value:?}"),
        _ => "this value".to_owned(),
    };
    let mut wrong = match std::error::Error::source(&error) {
        Some(why) => Wrong::new(at, format!("{value} {why}")),
        None => Wrong::new(at, format!("{value} is not possible here")),
    };
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue) {
        wrong.hint = format!("one of: {}", values.join(", "));
    }
    Err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::run::options::Restart;
    use std::time::Duration;

    fn wrong(text: &str) -> String {
        match parse(text) {
            Ok(file) => format!("{file:?}"),
            Err(wrong) => wrong.failure(Path::new("f.toml"), text).to_string(),
        }
    }

    #[test]
    fn every_kind_of_value() {
        let text = "name = \"night\"\ncommand = [\"python3\", \"a b.py\"]\nrestart = \"always\"\n\
                    backoff-initial = \"2s\"\nbackoff-multiplier = 1.5\nmax-restarts = 7\n\
                    fatal-exit = [3, 4]\nephemeral = true\nmax-db = \"1GiB\"\nstate-dir = \"/s\"\n";
        let file = parse(text).expect("parses");
        assert_eq!(file.name.as_deref(), Some("night"));
        assert_eq!(file.command, ["python3", "a b.py"]);
        assert_eq!(file.state_dir.as_deref(), Some(Path::new("/s")));
        assert_eq!(file.options.restarts.restart, Some(Restart::Always));
        assert_eq!(file.options.restarts.backoff_initial, Some(Duration::from_secs(2)));
        assert_eq!(file.options.restarts.backoff_multiplier, Some(1.5));
        assert_eq!(file.options.restarts.max_restarts, Some(7));
        assert_eq!(file.options.restarts.fatal_exit, Some(vec![3, 4]));
        assert_eq!(file.options.storage.ephemeral, Some(true));
        assert_eq!(file.options.storage.max_db, Some(1 << 30));
        assert_eq!(file.options.storage.max_state, None);
    }

    #[test]
    fn an_unknown_key_is_told_with_place_and_nearest() {
        assert_eq!(
            wrong("restart = \"always\"\n  backof_initial = \"1s\"\n"),
            "adrt: bad configuration: f.toml, line 2, column 3\n  \
             why: there is no setting \"backof_initial\"\n  try: did you mean \"backoff-initial\"?"
        );
        assert!(wrong("zzz = 1").contains("adrt run --help"));
        assert!(wrong("comand = []").contains("\"command\""));
        assert!(wrong("[rules]\n").contains("there is no setting \"rules\""));
    }

    #[test]
    fn a_bad_value_is_told_with_its_place() {
        let text = wrong("stop-timeout = 10\n");
        assert!(text.contains("line 1, column 16"), "{text}");
        assert!(text.contains("\"10\" has no unit"), "{text}");
        let text = wrong("restart = \"sometimes\"");
        assert!(text.contains("one of: on-failure, always, never"), "{text}");
        assert!(wrong("restart = {a = 1}").contains("a setting is no table"));
        assert!(wrong("command = \"python3 a.py\"").contains("array of strings"));
        assert!(wrong("fatal-exit = [0]").contains("success"));
        assert!(wrong("max-restarts = -1").contains("column 16"));
    }

    #[test]
    fn bad_toml_is_told_with_its_place() {
        assert!(wrong("restart = \n").contains("line 1, column"));
        assert!(wrong("a = 1\na = 2\n").contains("line 2, column 1"));
    }
}
