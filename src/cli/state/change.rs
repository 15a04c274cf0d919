//! `adrt state diff`, and the comparison it shares with `checkpoints diff`.

use crate::cli::failure::{Failure, Kind};
use crate::cli::json::{self, Object, array};
use crate::cli::output::Tint;
use crate::cli::text::{clipped, escaped};
use crate::cli::{Context, DONE, agent, past};
use crate::engines::state::{Change, changes};
use crate::store::home::Home;
use crate::store::read::Snapshot;

/// The most differences that are shown; more than this nobody reads.
const CHANGES_MAX: usize = 1000;

/// Show what changed between two versions
///
/// From A to B; without B to the newest; without both, what the last change
/// did. With two words the first is AGENT if an agent has that name.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt state diff [OPTIONS] [AGENT] [A] [B]",
    after_help = "Examples:
  adrt state diff              the last change
  adrt state diff 41           from version 41 to now
  adrt state diff counter 41 44"
)]
pub struct DiffArgs {
    /// Which agent, and the versions to compare
    #[arg(value_name = "AGENT|VERSION", num_args = 0..=3)]
    pub words: Vec<String>,
    /// Print {agent, from, to, changes, complete}
    #[arg(long)]
    pub json: bool,
}

/// Runs `state diff`.
///
/// # Errors
/// A version is none, or can't be read.
pub fn diff(args: &DiffArgs, context: &Context) -> Result<u8, Failure> {
    let (home, words) = agent::split(context, &args.words, 0, 2)?;
    let versions = words.iter().map(|word| version(word)).collect::<Result<Vec<_>, _>>()?;
    let reader = past::open(&home)?;
    let new = match versions.get(1) {
        Some(version) => past::at_version(&home, &reader, *version)?,
        None => past::newest(&home, &reader)?,
    };
    let old = versions.first().copied().unwrap_or_else(|| new.version.saturating_sub(1));
    let old = past::at_version(&home, &reader, old)?;
    drop(reader);
    let name = |found: &Snapshot| format!("version {}", found.version);
    let (old, new) = (Side::new(name(&old), old), Side::new(name(&new), new));
    compare(context, &home, &old, &new, args.json)
}

fn version(word: &str) -> Result<u64, Failure> {
    word.parse().map_err(|_| {
        Failure::new(Kind::Usage, format!("{word:?} is no version"))
            .why("a version is a number")
            .hint("adrt state history lists them; checkpoints have adrt checkpoints diff")
    })
}

/// One side of a comparison.
#[derive(Debug)]
pub struct Side {
    name: String,
    found: Snapshot,
}

impl Side {
    /// What was found, and what it is called.
    pub fn new(name: String, found: Snapshot) -> Self {
        Self { name, found }
    }
}

/// Prints what differs.
///
/// # Errors
/// stdout takes no more.
pub fn compare(
    context: &Context,
    home: &Home,
    old: &Side,
    new: &Side,
    as_json: bool,
) -> Result<u8, Failure> {
    let mut found = changes(&old.found.root, &new.found.root, CHANGES_MAX + 1);
    let complete = found.len() <= CHANGES_MAX;
    found.truncate(CHANGES_MAX);
    if as_json {
        let object = Object::new()
            .text("agent", home.agent())
            .number("from", old.found.version)
            .number("to", new.found.version)
            .raw("changes", &array(found.iter().map(as_object)))
            .number("complete", complete);
        context.out.json(&object.finish())?;
        return Ok(DONE);
    }
    let heading = format!("{}: {} → {}", home.agent(), old.name, new.name);
    context.out.line(&context.out.paint.bold(&escaped(&heading)))?;
    if found.is_empty() {
        context.out.line("  no difference")?;
    }
    let mut page = String::new();
    for change in &found {
        page.push_str(&lines(context, change));
    }
    context.out.print(&page)?;
    if !complete {
        context.out.line(&format!("  … and more than these {CHANGES_MAX}"))?;
    }
    Ok(DONE)
}

fn as_object(change: &Change) -> String {
    let mut object = Object::new().text("path", &change.path);
    if let Some(before) = &change.before {
        object = object.raw("before", before);
    }
    if let Some(after) = &change.after {
        object = object.raw("after", after);
    }
    object.finish()
}

/// `+ /path  value`, `- /path  value`, or `~ /path  before → after`.
fn lines(context: &Context, change: &Change) -> String {
    let path = if change.path.is_empty() { "(all)".to_owned() } else { escaped(&change.path) };
    let room = context.out.width.saturating_sub(path.chars().count() + 6).max(16);
    let short = |text: &String, room| clipped(&json::shown_string(&json::compact(text)), room);
    let (mark, tint, value) = match (&change.before, &change.after) {
        (None, Some(after)) => ("+", Tint::Good, short(after, room)),
        (Some(before), None) => ("-", Tint::Bad, short(before, room)),
        (before, after) => {
            let none = String::new();
            let (before, after) =
                (before.as_ref().unwrap_or(&none), after.as_ref().unwrap_or(&none));
            let half = room.saturating_sub(3) / 2;
            let before = short(before, half);
            // What the old value leaves free, the new one may use.
            let after = short(after, room.saturating_sub(3 + before.chars().count()).max(half));
            ("~", Tint::Warn, format!("{before} → {after}"))
        }
    };
    format!("{}\n", context.out.paint.tint(tint, &format!("  {mark} {path}  {value}")))
}
