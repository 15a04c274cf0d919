//! `adrt crashes …`: the ledger of how the agent's processes ended.

use clap::Subcommand;

use super::failure::{Failure, Kind};
use super::json::{Object, array};
use super::output::{Column, Page, Table, Tint};
use super::quantity::millis;
use super::text::{NONE, escaped, escaped_lines, span};
use super::{Context, DONE, agent, past};
use crate::store::home::Home;
use crate::store::ledger::{IncarnationEnding, IncarnationRow};
use crate::supervisor::io::Exit;

/// Events that are named on a page; the rest is counted.
const HELD_SHOWN_MAX: usize = 8;

/// See why an agent crashed
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "a command's help stands at its arguments")]
pub enum CrashesCommand {
    List(ListArgs),
    Show(ShowArgs),
}

/// List crashes, newest first
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
        let rows = found.iter().map(|row| fields(row).finish());
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
        let held = array(row.held.iter().map(u64::to_string));
        let object = fields(&row).raw("held", &held).maybe_text("output", output.as_deref());
        context.out.json(&object.finish())?;
        return Ok(DONE);
    }
    let paint = context.out.paint;
    let heading = format!("{} · incarnation {} · {}", home.agent(), row.id, escaped(&end.summary));
    context.out.line(&paint.bold(&heading))?;
    context.out.print(&page(context, &row, end).lay_out_in(context.out.width, paint))?;
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

fn page(context: &Context, row: &IncarnationRow, end: &IncarnationEnding) -> Page {
    let mut page = Page::new();
    page.field("ended", context.moment.both(end.ended));
    if let Some(begun) = row.begun {
        page.field(
            "started",
            format!("{} ({})", context.moment.local(begun), escaped(&row.reason)),
        );
    }
    page.field("lived", span(end.uptime));
    page.field("class", escaped(&end.class));
    if row.process.pid > 0 {
        page.field("pid", row.process.pid.to_string());
    }
    if !row.held.is_empty() {
        page.field("in hand", in_hand(&row.held));
    }
    if let Some(release) = &row.release {
        page.field("release", escaped(release));
    }
    page.field("version", end.version.to_string());
    let next = match end.backoff {
        Some(delay) => format!("after {}: {}", span(delay), escaped(&end.backoff_why)),
        None => format!("none: {}", escaped(&end.backoff_why)),
    };
    page.field("next start", next);
    if row.damaged {
        page.field("damaged", "a checksum does not hold; some of this may be wrong");
    }
    page
}

/// "event 88", "events 88, 91 and 3 more".
fn in_hand(held: &[u64]) -> String {
    let named: Vec<String> = held.iter().take(HELD_SHOWN_MAX).map(u64::to_string).collect();
    let s = if held.len() == 1 { "" } else { "s" };
    let more = match held.len().saturating_sub(HELD_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("event{s} {}{more}", named.join(", "))
}

fn fields(row: &IncarnationRow) -> Object {
    let object = Object::new()
        .number("id", row.id)
        .text("run_id", &row.run_id)
        .text("start_reason", &row.reason)
        .maybe_text("started", row.begun.map(crate::clock::Wall::rfc3339).as_deref());
    let Some(end) = &row.end else { return object };
    let (code, signal, core) = match end.exit {
        Some(Exit::Code(code)) => (Some(code), None, None),
        Some(Exit::Signal { signal, core }) => (None, Some(signal), Some(core)),
        None => (None, None, None),
    };
    object
        .text("ended", &end.ended.rfc3339())
        .text("class", &end.class)
        .number("crash", end.crash)
        .number("code", code)
        .number("signal", signal)
        .number("core", core)
        .text("summary", &end.summary)
        .number("uptime_ms", millis(end.uptime))
        .number("version", end.version)
        .number("backoff_ms", end.backoff.map(millis))
        .text("backoff_why", &end.backoff_why)
        .maybe_text("release", row.release.as_deref())
        .number("damaged", row.damaged)
}
