//! The file of `run --config`: TOML, one key for each long option of `run`,
//! and `name`, `command`, `state-dir`; and a table `rules`, which is read where
//! rules are ([`crate::rules`]).
//!
//! Keys and values are judged by the option parser itself, so that the file
//! knows what the command line knows, no more and no less. Whatever is wrong
//! is told with its line and column; an unknown key is never passed over.

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Args as _, FromArgMatches as _};
use toml::de::DeValue;

use super::failure::{Failure, Kind};
use super::run::options::RunOptions;
use crate::typed::document::{self, Entry, Fault, Value, Wrong};

/// What a configuration file says.
#[derive(Debug, Clone, Default)]
pub struct File {
    /// `name`.
    pub name: Option<String>,
    /// `command`: an array of strings.
    pub command: Vec<OsString>,
    /// `state-dir`.
    pub state_dir: Option<PathBuf>,
    /// It has a table `rules`.
    pub has_rules: bool,
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
    parse(&text).map_err(|wrong| of_fault(&wrong.in_file(path, &text)))
}

/// A mistake in a file as a failure of the command.
pub fn of_fault(fault: &Fault) -> Failure {
    let hint = match (fault.hint.as_str(), fault.place) {
        ("", Some(_)) => "mend that line",
        (hint, _) => hint,
    };
    Failure::new(Kind::Config, format!("bad configuration: {}", fault.location()))
        .why(&fault.what)
        .hint(hint)
}

fn parse(text: &str) -> Result<File, Wrong> {
    let table = document::parse(text)?;
    let mut file = File::default();
    let mut words = vec![OsString::from("file")];
    for Entry { key, key_at, value } in document::entries(&table) {
        match key {
            "name" => file.name = Some(value.string()?.to_owned()),
            "state-dir" => file.state_dir = Some(value.string()?.into()),
            "command" => file.command = command(&value)?,
            "rules" if value.is.is_table() => file.has_rules = true,
            name => {
                known(name, key_at)?;
                let word = format!("--{name}={}", scalar(&value)?);
                check(&word, &value)?;
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
    let hint = "adrt run --help lists them; keys are the long options";
    Err(document::unknown(name, at, &names, hint))
}

fn command(value: &Value<'_, '_>) -> Result<Vec<OsString>, Wrong> {
    let words = value.elements().map_err(|_| {
        value
            .wrong("command is an array of strings, one for each word")
            .hint("command = [\"python3\", \"agent.py\"]")
    })?;
    words.iter().map(|word| word.string().map(OsString::from)).collect()
}

/// A value as it would be typed after `--name=`.
fn scalar(value: &Value<'_, '_>) -> Result<String, Wrong> {
    match value.is {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Ok(truth.to_string()),
        DeValue::Array(_) => {
            let words: Result<Vec<_>, _> = value.elements()?.iter().map(scalar).collect();
            Ok(words?.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => {
            Err(value.wrong(format!("a setting is no {}", value.is.type_str())))
        }
    }
}

/// Whether the option takes the value.
fn check(word: &str, value: &Value<'_, '_>) -> Result<(), Wrong> {
    let error = match options(&["file".into(), word.into()]) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let typed = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(typed)) => format!("{typed:?}"),
        _ => "this value".to_owned(),
    };
    let mut wrong = match std::error::Error::source(&error) {
        Some(why) => value.wrong(format!("{typed} {why}")),
        None => value.wrong(format!("{typed} is not possible here")),
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
            Err(wrong) => of_fault(&wrong.in_file(Path::new("f.toml"), text)).to_string(),
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
        assert!(wrong("[rule]\n").contains("did you mean \"rules\"?"));
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
