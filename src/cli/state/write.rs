//! `adrt state set` and `adrt state patch`.
//!
//! What the value does to the state is decided where the state is.

use crate::cli::failure::Failure;
use crate::cli::input::{Shape, json_or_stdin};
use crate::cli::json::Object;
use crate::cli::{Context, DONE, agent, client};
use crate::store::home::Home;

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
    /// What a patch of it must be.
    pub const fn shape(self) -> Shape {
        match self {
            Self::Json => Shape::Array,
            Self::Merge | Self::Shallow => Shape::Object,
        }
    }

    /// As it is on the wire.
    pub const fn name(self) -> &'static str {
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
    let value = json_or_stdin(&args.value, "the state", Shape::Object)?;
    let params = with_version(Object::new().raw("value", &value), args.if_version);
    write(context, &home, "state.set", &params, args.json)
}

/// Runs `state patch`.
///
/// # Errors
/// The patch is not what its format asks for, or it was refused.
pub fn patch(args: &PatchArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let patch = json_or_stdin(&args.patch, "the patch", args.format.shape())?;
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
