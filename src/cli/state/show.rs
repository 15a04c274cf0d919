//! `adrt state show` and `adrt state get`.

use crate::cli::failure::{Failure, Kind};
use crate::cli::json::{self, Object};
use crate::cli::past::Past;
use crate::cli::text::escaped_lines;
use crate::cli::{Context, DONE, agent, past};
use crate::engines::state::Node;

/// Show the whole state
///
/// On a terminal with its version and time in front; elsewhere the JSON alone.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt state show
  adrt state show --at 03:12
  adrt state show night-watch --version 41 --json
  adrt state show | jq .queue")]
pub struct ShowArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Which version.
    #[command(flatten)]
    pub past: Past,
    /// Print {agent, version, updated, state}
    #[arg(long)]
    pub json: bool,
}

/// Print one value of the state
///
/// Text comes without its quotes, all else as JSON. Exit 66 if there is
/// nothing at PATH.
#[derive(Debug, Clone, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  adrt state get cursor.page
  adrt state get /queue/0/url
  n=$(adrt state get counter n)"
)]
pub struct GetArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Where: a JSON Pointer (/a/0/b), or names with dots between (a.0.b)
    #[arg(required = true)]
    pub path: String,
    /// Which version.
    #[command(flatten)]
    pub past: Past,
    /// Print JSON: text with its quotes
    #[arg(long)]
    pub json: bool,
}

/// Runs `state show`.
///
/// # Errors
/// There is nothing to show, or it can't be read.
pub fn show(args: &ShowArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let reader = past::open(&home)?;
    let found = past::snapshot(context, &home, &reader, &args.past)?;
    // Not to hold the database while a slow reader takes what is printed.
    drop(reader);
    let text = found.root.to_text();
    if args.json {
        let object = Object::new()
            .text("agent", home.agent())
            .number("version", found.version)
            .maybe_text("updated", past::updated(&found).as_deref())
            .raw("state", &text);
        context.out.json(&object.finish())?;
        return Ok(DONE);
    }
    if context.out.terminal {
        let when = match past::updated(&found) {
            Some(_) => context.moment.both(found.updated),
            None => "nothing written yet".to_owned(),
        };
        let line = format!("{} · version {} · {when}", home.agent(), found.version);
        context.out.line(&context.out.paint.dim(&line))?;
    }
    context.out.line(&json::pretty(&text, context.out.paint))?;
    Ok(DONE)
}

/// Runs `state get`.
///
/// # Errors
/// There is nothing at that place, or it can't be read.
pub fn get(args: &GetArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let reader = past::open(&home)?;
    let found = past::snapshot(context, &home, &reader, &args.past)?;
    drop(reader);
    let pointer = pointer(&args.path);
    let value = found.root.get(&pointer).map_err(|why| {
        Failure::new(Kind::Failed, format!("{:?} can't be looked up", args.path))
            .why(why)
            .hint("a path is like /a/0/b or a.0.b")
    })?;
    let Some(value) = value else { return Err(missing(args, context, home.agent())) };
    print(context, &value, args.json)?;
    Ok(DONE)
}

fn print(context: &Context, value: &Node, as_json: bool) -> Result<(), Failure> {
    let text = value.to_text();
    if as_json {
        return context.out.json(&text);
    }
    if text.starts_with('"') {
        let content = crate::json::display(&text);
        // A terminal is not to obey it; a program is to have it as it is.
        let shown = if context.out.terminal { escaped_lines(&content) } else { content };
        return context.out.line(&shown);
    }
    if context.out.terminal {
        return context.out.line(&json::pretty(&text, context.out.paint));
    }
    context.out.line(&json::compact(&text))
}

fn missing(args: &GetArgs, context: &Context, agent: &str) -> Failure {
    let failure = Failure::new(Kind::NotFound, format!("there is nothing at {:?}", args.path))
        .why(format!("the state of {agent} has no such member at that version"));
    // `adrt state get counter` was meant as `adrt state show counter`.
    if args.agent.is_none() && agent::exists(context, &args.path).unwrap_or(false) {
        return failure.hint(format!("for the whole state: adrt state show {}", args.path));
    }
    failure.hint(format!("adrt state show {agent}"))
}

/// A JSON Pointer from what was typed.
pub fn pointer(path: &str) -> String {
    if path.is_empty() || path.starts_with('/') {
        return path.to_owned();
    }
    let names = path.split('.').map(|name| name.replace('~', "~0").replace('/', "~1"));
    names.fold(String::new(), |pointer, name| pointer + "/" + &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(pointer("/a/0/b"), "/a/0/b");
        assert_eq!(pointer("a.0.b"), "/a/0/b");
        assert_eq!(pointer("a"), "/a");
        assert_eq!(pointer("a/b.c~d"), "/a~1b/c~0d");
        assert_eq!(pointer(""), "");
    }
}
