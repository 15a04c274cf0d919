//! `adrt state set` and `adrt state patch`.
//!
//! The value goes on as the text that was typed: only its syntax is looked
//! at here, and what it does to the state is decided where the state is.

use std::io::Read as _;

use crate::cli::failure::{Failure, Kind};
use crate::cli::json::Object;
use crate::cli::{Context, DONE, agent, client};
use crate::store::home::Home;

/// Stands for stdin.
const STDIN: &str = "-";
/// More than this is no value that somebody pipes in.
const STDIN_MAX_BYTES: u64 = 1 << 30;

/// Replace the whole state
///
/// The old one stays in the history. A running agent is told.
#[derive(Debug, Clone, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  adrt state set '{\"n\": 0}'
  adrt state show other | adrt state set agent -"
)]
pub struct SetArgs {
    /// Which agent
    pub agent: Option<String>,
    /// The new state, a JSON object; - reads it from stdin
    #[arg(required = true)]
    pub value: String,
    /// Only if this is the version
    #[arg(long, value_name = "N")]
    pub if_version: Option<u64>,
    /// Print {agent, version}
    #[arg(long)]
    pub json: bool,
}

/// Change parts of the state
///
/// A running agent is told. One change is one version, all of it or nothing.
#[derive(Debug, Clone, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  adrt state patch '{\"paused\": true, \"error\": null}'
  adrt state patch --format json '[{\"op\": \"remove\", \"path\": \"/queue/0\"}]'
  adrt state patch counter '{\"n\": 7}' --if-version 41"
)]
pub struct PatchArgs {
    /// Which agent
    pub agent: Option<String>,
    /// The change, in JSON; - reads it from stdin
    #[arg(required = true)]
    pub patch: String,
    /// How it is written
    #[arg(long, value_enum, default_value = "merge")]
    pub format: PatchFormat,
    /// Only if this is the version
    #[arg(long, value_name = "N")]
    pub if_version: Option<u64>,
    /// Print {agent, version}
    #[arg(long)]
    pub json: bool,
}

/// How a patch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PatchFormat {
    /// Members are merged in, null removes one (RFC 7396)
    Merge,
    /// A list of operations (RFC 6902)
    Json,
    /// Top-level members are replaced, null is kept
    Shallow,
}

impl PatchFormat {
    const fn name(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Json => "json",
            Self::Shallow => "shallow",
        }
    }
}

/// Runs `state set`.
///
/// # Errors
/// The value is no object, or it was refused.
pub fn set(args: &SetArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let value = json_of(&args.value, "the state", '{')?;
    let params = with_version(Object::new().raw("value", &value), args.if_version);
    write(context, &home, "state.set", &params, args.json)
}

/// Runs `state patch`.
///
/// # Errors
/// The patch is not what its format asks for, or it was refused.
pub fn patch(args: &PatchArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let first = if args.format == PatchFormat::Json { '[' } else { '{' };
    let patch = json_of(&args.patch, "the patch", first)?;
    let params = Object::new().raw("patch", &patch).text("format", args.format.name());
    write(context, &home, "state.patch", &with_version(params, args.if_version), args.json)
}

fn with_version(params: Object, if_version: Option<u64>) -> String {
    match if_version {
        Some(version) => params.number("if_version", version).finish(),
        None => params.finish(),
    }
}

#[derive(serde::Deserialize)]
struct Written {
    version: u64,
}

fn write(
    context: &Context,
    home: &Home,
    method: &str,
    params: &str,
    as_json: bool,
) -> Result<u8, Failure> {
    let result = client::call(context, home, method, params)?;
    let Written { version } = client::parse(&result)?;
    if as_json {
        let text = Object::new().text("agent", home.agent()).number("version", version);
        context.out.json(&text.finish())?;
    } else {
        context.out.line(&format!("{} is at version {version}", home.agent()))?;
    }
    Ok(DONE)
}

/// The text that was typed or piped in, if it is JSON that begins so.
fn json_of(word: &str, what: &str, first: char) -> Result<String, Failure> {
    let text = if word == STDIN { stdin()? } else { word.as_bytes().to_vec() };
    let refused = |why: String| {
        let kind = if first == '{' { "an object, {…}" } else { "an array of operations, […]" };
        Failure::new(Kind::Usage, format!("{what} makes no sense"))
            .why(why)
            .hint(format!("give {kind}, in single quotes for the shell"))
    };
    let text = crate::json::validate(&text).map_err(|fault| refused(fault.to_string()))?.trim();
    if !text.starts_with(first) {
        let start: String = text.chars().take(20).collect();
        return Err(refused(format!("it begins with {start:?}")));
    }
    Ok(text.to_owned())
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let read = std::io::stdin().lock().take(STDIN_MAX_BYTES).read_to_end(&mut text);
    read.map(|_| text).map_err(|error| Failure::new(Kind::Failed, "stdin can't be read").why(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_on_as_it_was_typed() {
        assert_eq!(json_of(" {\"a\": 1e400} ", "x", '{').as_deref(), Ok("{\"a\": 1e400}"));
        assert_eq!(json_of("[]", "x", '[').as_deref(), Ok("[]"));
    }

    #[test]
    fn other_text_is_refused() {
        for (word, first) in [("[]", '{'), ("{}", '['), ("{a:1}", '{'), ("", '{'), ("{}{}", '{')] {
            let failure = json_of(word, "the state", first).expect_err(word);
            assert_eq!(failure.kind, Kind::Usage, "{word}");
            assert!(!failure.why.is_empty() && !failure.hint.is_empty());
        }
    }
}
