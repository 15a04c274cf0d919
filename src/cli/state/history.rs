//! `adrt state history`: the changes that are still kept.

use crate::cli::failure::Failure;
use crate::cli::json::{self, Object, array, shown_string};
use crate::cli::output::{Column, Table, Tint};
use crate::cli::text::{bytes, escaped};
use crate::cli::{Context, DONE, agent, past};
use crate::store::read::Change;

/// Longer patches are cut before they are laid out; no terminal is so wide.
const PATCH_SHOWN_MAX: usize = 1000;

/// List the changes, newest first
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt state history
  adrt state history --limit 5 --before 100
  adrt state history counter --json")]
pub struct HistoryArgs {
    /// Which agent
    pub agent: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u64,
    /// Only versions before this one: the next page
    #[arg(long, value_name = "VERSION")]
    pub before: Option<u64>,
    /// Print [{version, at, by, incarnation, format, patch}]
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// It can't be read.
pub fn main(args: &HistoryArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let reader = past::open(&home)?;
    let found = reader.history(args.before, args.limit).map_err(|e| past::of_read(&home, e))?;
    drop(reader);
    if args.json {
        context.out.json(&array(found.iter().map(as_object)))?;
        return Ok(DONE);
    }
    if found.is_empty() {
        context.out.line(&format!("no changes of {} are kept", home.agent()))?;
        return Ok(DONE);
    }
    context.out.table(&table(context, &found))?;
    if found.len() as u64 == args.limit
        && let Some(last) = found.last()
    {
        let more =
            format!("older ones: adrt state history {} --before {}", home.agent(), last.version);
        context.out.line(&context.out.paint.dim(&more))?;
    }
    Ok(DONE)
}

fn table(context: &Context, found: &[Change]) -> Table {
    let mut table = Table::new(&[
        ("VERSION", Column::Right),
        ("WHEN", Column::Left),
        ("WHO", Column::Left),
        ("FORMAT", Column::Left),
        ("SIZE", Column::Right),
        ("CHANGE", Column::Fill),
    ]);
    for change in found {
        let start: String = change.patch.chars().take(PATCH_SHOWN_MAX).collect();
        table.row(
            vec![
                change.version.to_string(),
                context.moment.ago(change.at),
                who(change),
                escaped(&change.format),
                bytes(change.patch.len() as u64),
                shown_string(&json::compact(&start)),
            ],
            Tint::None,
        );
    }
    table
}

fn who(change: &Change) -> String {
    if change.by == "agent" && change.incarnation > 0 {
        format!("agent #{}", change.incarnation)
    } else {
        escaped(&change.by)
    }
}

fn as_object(change: &Change) -> String {
    Object::new()
        .number("version", change.version)
        .text("at", &change.at.rfc3339())
        .text("by", &change.by)
        .number("incarnation", change.incarnation)
        .text("format", &change.format)
        .raw("patch", &change.patch)
        .finish()
}
