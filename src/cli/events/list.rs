//! `adrt events list`: what is in the inbox, and what was.

use super::shown::{Standing, fields, why};
use super::since;
use crate::cli::failure::Failure;
use crate::cli::json::array;
use crate::cli::output::{Column, Table};
use crate::cli::text::{NONE, clipped, escaped};
use crate::cli::{Context, DONE, agent, client, past};
use crate::store::read_work::{EventFilter, EventView};

/// Characters of a type in a table.
const TYPE_SHOWN_MAX: usize = 20;
/// Longer reasons are cut before they are laid out; no terminal is so wide.
const WHY_SHOWN_MAX: usize = 1000;

/// List the events, newest first
///
/// Those that wait, those the agent has in hand, and those that are done as
/// long as they are kept. A dead one was given up: it killed the agent too
/// often, or was nacked for too long.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt events list
  adrt events list --dead --type temp
  adrt events list night-watch --since '2h ago' --json")]
pub struct ListArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Only those that were given up
    #[arg(long)]
    pub dead: bool,
    /// Only those of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Only those that came since: 03:12, "2h ago", 2026-03-01T03:12
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u64,
    /// Only those before this one: the next page
    #[arg(long, value_name = "SEQ")]
    pub before: Option<u64>,
    /// Print [{seq, status, type, at, attempt, ..., event}]
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// It can't be read, or the time makes no sense.
pub fn main(args: &ListArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let filter = EventFilter {
        dead_only: args.dead,
        kind: args.kind.clone(),
        since: since(context, args.since.as_deref())?,
        before: args.before,
    };
    let reader = past::open(&home)?;
    let found = reader.events(&filter, args.limit).map_err(|error| past::of_read(&home, error))?;
    drop(reader);
    let live = client::live_incarnation(&home);
    if args.json {
        let rows = found.iter().map(|view| fields(view, Standing::of(&view.row, live)).finish());
        context.out.json(&array(rows))?;
        return Ok(DONE);
    }
    if found.is_empty() {
        let what = if args.dead { "dead letters" } else { "events" };
        context.out.line(&format!("{} has no {what}{}", home.agent(), narrowed(args)))?;
        return Ok(DONE);
    }
    context.out.table(&table(context, &found, live))?;
    if found.len() as u64 == args.limit
        && let Some(last) = found.last()
    {
        let more = format!("older ones: the same with --before {}", last.row.status.seq);
        context.out.line(&context.out.paint.dim(&more))?;
    }
    Ok(DONE)
}

/// That there may be others.
fn narrowed(args: &ListArgs) -> &'static str {
    if args.kind.is_some() || args.since.is_some() || args.before.is_some() {
        " of that kind"
    } else {
        ""
    }
}

fn table(context: &Context, found: &[EventView], live: Option<u64>) -> Table {
    let mut table = Table::new(&[
        ("SEQ", Column::Right),
        ("STATE", Column::Left),
        ("TYPE", Column::Left),
        ("CAME", Column::Left),
        ("ATTEMPTS", Column::Right),
        ("WHY", Column::Fill),
    ]);
    for view in found {
        let row = &view.row;
        let standing = Standing::of(row, live);
        let why = why(view, standing, &context.moment);
        table.row(
            vec![
                row.status.seq.to_string(),
                standing.as_str().to_owned(),
                clipped(&escaped(&row.kind), TYPE_SHOWN_MAX),
                context.moment.ago(row.at),
                row.status.attempt.to_string(),
                if why.is_empty() { NONE.to_owned() } else { clipped(&why, WHY_SHOWN_MAX) },
            ],
            standing.tint(),
        );
    }
    table
}
