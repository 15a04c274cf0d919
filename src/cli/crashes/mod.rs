//! `adrt crashes …`: the ledger of how the agent's processes ended.

use clap::Subcommand;

use super::failure::{Failure, Kind};
use super::json::array;
use super::output::{Column, Table, Tint};
use super::text::{NONE, escaped, escaped_lines, span, wrapped};
use super::{Context, DONE, agent, past};
use crate::store::home::Home;
use crate::store::ledger::IncarnationRow;

mod dump;
mod fields;
mod page;

/// See why an agent crashed
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "a command's help stands at its arguments")]
pub enum CrashesCommand {
    List(ListArgs),
    Show(ShowArgs),
}

/// List crashes, newest first
///
/// With --all, ends that were no crashes as well: what a stop, a restart or a
/// restore was asked by, agents that were done, and those that ended along
/// with adrt. NEXT is the delay chosen before the next start.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt crashes list
  adrt crashes list counter --all --limit 5
  adrt crashes list --json")]
pub struct ListArgs {
    /// Which agent
    pub agent: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u64,
    /// Only incarnations before this one: the next page
    #[arg(long, value_name = "ID")]
    pub before: Option<u64>,
    /// Ends that were no crashes, too
    #[arg(long)]
    pub all: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Show one crash with its last output
///
/// How and when it ended, how long it had lived, what it had in hand (the
/// events it held and the steps it had begun), the delay chosen before the next
/// start and why, and the checkpoint that is kept of what it crashed on.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt crashes show [OPTIONS] [AGENT] [ID]",
    after_help = "Examples:
  adrt crashes show              the newest
  adrt crashes show 12
  adrt crashes show counter 12 --json"
)]
pub struct ShowArgs {
    /// Which agent, and the incarnation that crashed [default: the newest]
    #[arg(value_name = "AGENT|ID", num_args = 0..=2)]
    pub words: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs one of them.
///
/// # Errors
/// See each.
pub fn main(command: CrashesCommand, context: &Context) -> Result<u8, Failure> {
    match command {
        CrashesCommand::List(args) => list(&args, context),
        CrashesCommand::Show(args) => show(&args, context),
    }
}

fn list(args: &ListArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let reader = past::open(&home)?;
    let mut found = reader
        .incarnations(!args.all, args.before, args.limit)
        .map_err(|error| past::of_read(&home, error))?;
    drop(reader);
    // One that still runs has not ended.
    found.retain(|row| row.end.is_some());
    if args.json {
        let rows = found.iter().map(|row| fields::of(row).finish());
        context.out.json(&array(rows))?;
        return Ok(DONE);
    }
    if found.is_empty() {
        let what = if args.all { "no end" } else { "no crash" };
        context.out.line(&format!("{what} of {} is on record", home.agent()))?;
        return Ok(DONE);
    }
    context.out.table(&table(context, &found))?;
    Ok(DONE)
}

fn table(context: &Context, found: &[IncarnationRow]) -> Table {
    let mut table = Table::new(&[
        ("ID", Column::Right),
        ("ENDED", Column::Left),
        ("LIVED", Column::Right),
        ("NEXT", Column::Right),
        ("HOW", Column::Fill),
    ]);
    for row in found {
        let Some(end) = &row.end else { continue };
        let tint = if end.crash { Tint::None } else { Tint::Dim };
        table.row(
            vec![
                row.id.to_string(),
                context.moment.ago(end.ended),
                span(end.uptime),
                end.backoff.map_or_else(|| NONE.to_owned(), |delay| format!("+{}", span(delay))),
                escaped(&end.summary),
            ],
            tint,
        );
    }
    table
}

fn show(args: &ShowArgs, context: &Context) -> Result<u8, Failure> {
    let (home, words) = agent::split(context, &args.words, 0, 1)?;
    let row = found(&home, words.first())?;
    let Some(end) = &row.end else {
        return Err(Failure::new(Kind::NotFound, format!("incarnation {} has not ended", row.id))
            .why("it runs, or its adrt died and has not been started again")
            .hint(format!("adrt status {}", home.agent())));
    };
    let output = end.output.as_deref().map(String::from_utf8_lossy);
    if args.json {
        let object = fields::of(&row).maybe_text("output", output.as_deref());
        context.out.json(&object.finish())?;
        return Ok(DONE);
    }
    let paint = context.out.paint;
    let heading = format!("{} · incarnation {} · {}", home.agent(), row.id, escaped(&end.summary));
    context.out.line(&paint.bold(&wrapped(&heading, context.out.width)))?;
    context.out.print(&page::page(context, &row, end).lay_out_in(context.out.width, paint))?;
    match output.as_deref() {
        Some(text) if !text.is_empty() => {
            context.out.line(&paint.dim("last output:"))?;
            context.out.line(escaped_lines(text).trim_end())?;
        }
        Some(_) | None => context.out.line(&paint.dim("no output is kept"))?,
    }
    Ok(DONE)
}

/// The incarnation of that number, or the newest that crashed.
fn found(home: &Home, word: Option<&String>) -> Result<IncarnationRow, Failure> {
    let reader = past::open(home)?;
    let of_read = |error| past::of_read(home, error);
    let id = match word {
        Some(word) => word.parse().map_err(|_| {
            Failure::new(Kind::Usage, format!("{word:?} is neither an agent nor an incarnation"))
                .why("an incarnation is a number")
                .hint(format!("adrt crashes list {}", home.agent()))
        })?,
        None => {
            let newest = reader.incarnations(true, None, 1).map_err(of_read)?;
            let newest = newest.first().map(|row| row.id);
            newest.ok_or_else(|| {
                Failure::new(Kind::NotFound, format!("{} has not crashed", home.agent()))
                    .why("no crash of it is on record")
                    .hint(format!("adrt crashes list {} --all", home.agent()))
            })?
        }
    };
    reader.incarnation(id).map_err(of_read)?.ok_or_else(|| {
        Failure::new(Kind::NotFound, format!("{} has no incarnation {id}", home.agent()))
            .why("there was none, or it is no longer on record")
            .hint(format!("adrt crashes list {} --all", home.agent()))
    })
}
