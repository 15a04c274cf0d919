//! `adrt checkpoints …`: whole snapshots of the state.

use clap::Subcommand;
use serde::Deserialize;

use super::failure::{Failure, Kind};
use super::history::{Removed, tell};
use super::json::{self, Object, array};
use super::output::{Column, Page, Table, Tint};
use super::past::{self, checkpoint, named};
use super::state::{Side, compare};
use super::text::{NONE, bytes, clipped, escaped};
use super::{Context, DONE, agent, client};
use crate::store::home::Home;
use crate::store::read::Reader;
use crate::supervisor::io::{CheckpointInfo, CheckpointRef};

/// Take, look at and go back to checkpoints
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "a command's help stands at its arguments")]
pub enum CheckpointsCommand {
    List(ListArgs),
    Show(ShowArgs),
    Create(CreateArgs),
    Restore(RestoreArgs),
    Diff(DiffArgs),
    Prune(PruneArgs),
}

/// List the checkpoints, newest first
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt checkpoints list
  adrt checkpoints list counter --limit 3 --json")]
pub struct ListArgs {
    /// Which agent
    pub agent: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u64,
    /// Print [{id, version, created, label, reason, incarnation, release, bytes, state_bytes}]
    #[arg(long)]
    pub json: bool,
}

/// Show a checkpoint with its state
#[derive(Debug, Clone, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  adrt checkpoints show 7
  adrt checkpoints show counter before-migration --json"
)]
pub struct ShowArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Which checkpoint
    #[arg(required = true, value_name = "ID|LABEL", value_parser = checkpoint)]
    pub checkpoint: CheckpointRef,
    /// Print {agent, id, version, ..., state}
    #[arg(long)]
    pub json: bool,
}

/// Take a checkpoint now
///
/// One with a label is kept until it is pruned with --all.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt checkpoints create --label before-migration")]
pub struct CreateArgs {
    /// Which agent
    pub agent: Option<String>,
    /// A name for it
    #[arg(long, value_name = "TEXT", value_parser = label)]
    pub label: Option<String>,
    /// Print {agent, id, version, bytes}
    #[arg(long)]
    pub json: bool,
}

/// Go back to a checkpoint
///
/// Its state becomes a new version; what came since stays in the history. A
/// running agent is restarted with it; an attached one must be stopped first. Events that were acked since stay done,
/// unless they are to be handed out again; steps that were done for them are
/// remembered all the same, and not paid for twice.
#[derive(Debug, Clone, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  adrt checkpoints restore 7
  adrt checkpoints restore counter 'before v2'
  adrt checkpoints restore counter before-migration --reopen-events"
)]
pub struct RestoreArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Which checkpoint
    #[arg(required = true, value_name = "ID|LABEL", value_parser = checkpoint)]
    pub checkpoint: CheckpointRef,
    /// Hand out again what was acked since
    #[arg(long)]
    pub reopen_events: bool,
    /// Print {agent, version, reopened}
    #[arg(long)]
    pub json: bool,
}

/// Show what changed since a checkpoint
///
/// From A to B, or to the newest state. With two words the first is AGENT if
/// an agent has that name.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt checkpoints diff [OPTIONS] [AGENT] <A> [B]",
    after_help = "Examples:
  adrt checkpoints diff 7
  adrt checkpoints diff counter before-migration 9"
)]
pub struct DiffArgs {
    /// Which agent, and the ids or labels of the checkpoints
    #[arg(value_name = "AGENT|ID|LABEL", num_args = 1..=3, required = true)]
    pub words: Vec<String>,
    /// Print {agent, from, to, changes, complete}
    #[arg(long)]
    pub json: bool,
}

/// Delete old checkpoints
///
/// And the changes that only they needed. Those with a label, and those of
/// the last crashes, stay.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt checkpoints prune --keep 2
  adrt checkpoints prune counter --keep 1 --all")]
pub struct PruneArgs {
    /// Which agent
    pub agent: Option<String>,
    /// How many of the newest stay
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub keep: u64,
    /// Delete those with a label, and those of crashes, too
    #[arg(long)]
    pub all: bool,
    /// Print {agent, checkpoints, versions}
    #[arg(long)]
    pub json: bool,
}

/// Columns of a release in a table, at most.
const RELEASE_COLUMNS_MAX: usize = 12;

/// A label as it is typed.
fn label(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    if text.parse::<u64>().is_ok() {
        return Err("would be taken for an id; put a letter into it".to_owned());
    }
    Ok(text.to_owned())
}

/// Runs one of them.
///
/// # Errors
/// See each.
pub fn main(command: CheckpointsCommand, context: &Context) -> Result<u8, Failure> {
    match command {
        CheckpointsCommand::List(args) => list(&args, context),
        CheckpointsCommand::Show(args) => show(&args, context),
        CheckpointsCommand::Create(args) => create(&args, context),
        CheckpointsCommand::Restore(args) => restore(&args, context),
        CheckpointsCommand::Diff(args) => diff(&args, context),
        CheckpointsCommand::Prune(args) => prune(&args, context),
    }
}

fn list(args: &ListArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let reader = past::open(&home)?;
    let found =
        reader.checkpoints(Some(args.limit)).map_err(|error| past::of_read(&home, error))?;
    let found = found
        .into_iter()
        .map(|info| Ok((release(&home, &reader, &info)?, info)))
        .collect::<Result<Vec<_>, Failure>>()?;
    drop(reader);
    if args.json {
        let rows = found
            .iter()
            .map(|(release, info)| fields(Object::new(), info, release.as_deref()).finish());
        context.out.json(&array(rows))?;
        return Ok(DONE);
    }
    if found.is_empty() {
        context.out.line(&format!("{} has no checkpoints yet", home.agent()))?;
        return Ok(DONE);
    }
    context.out.table(&table(context, &found))?;
    Ok(DONE)
}

/// Checkpoints, each with its release; that has a column only if there is one.
fn table(context: &Context, found: &[(Option<String>, CheckpointInfo)]) -> Table {
    let has_releases = found.iter().any(|(release, _)| release.is_some());
    let mut columns = vec![
        ("ID", Column::Right),
        ("VERSION", Column::Right),
        ("CREATED", Column::Left),
        ("REASON", Column::Left),
        ("STATE", Column::Right),
        ("ON DISK", Column::Right),
    ];
    columns.extend(has_releases.then_some(("RELEASE", Column::Left)));
    columns.push(("LABEL", Column::Fill));
    let or_none = |text: Option<&str>| text.map_or_else(|| NONE.to_owned(), escaped);
    let mut table = Table::new(&columns);
    for (release, info) in found {
        let mut cells = vec![
            info.id.to_string(),
            info.version.to_string(),
            context.moment.ago(info.created),
            escaped(&info.reason),
            bytes(info.state_bytes),
            bytes(info.bytes),
        ];
        cells.extend(
            has_releases.then(|| clipped(&or_none(release.as_deref()), RELEASE_COLUMNS_MAX)),
        );
        cells.push(or_none(info.label.as_deref()));
        table.row(cells, Tint::None);
    }
    table
}

/// The release that its state is of.
fn release(home: &Home, reader: &Reader, info: &CheckpointInfo) -> Result<Option<String>, Failure> {
    reader.release(info.incarnation).map_err(|error| past::of_read(home, error))
}

/// The members of one checkpoint, in the order of the documentation.
fn fields(object: Object, info: &CheckpointInfo, release: Option<&str>) -> Object {
    object
        .number("id", info.id)
        .number("version", info.version)
        .text("created", &info.created.rfc3339())
        .maybe_text("label", info.label.as_deref())
        .text("reason", &info.reason)
        .number("incarnation", info.incarnation)
        .maybe_text("release", release)
        .number("bytes", info.bytes)
        .number("state_bytes", info.state_bytes)
}

fn show(args: &ShowArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let reader = past::open(&home)?;
    let (info, found) = past::at_checkpoint(&home, &reader, &args.checkpoint)?;
    let release = release(&home, &reader, &info)?;
    drop(reader);
    let state = found.root.to_text();
    if args.json {
        let object = Object::new().text("agent", home.agent());
        let object = fields(object, &info, release.as_deref()).raw("state", &state);
        context.out.json(&object.finish())?;
        return Ok(DONE);
    }
    let mut page = Page::new();
    page.field("version", info.version.to_string());
    page.field("created", context.moment.both(info.created));
    page.field("reason", escaped(&info.reason));
    if let Some(label) = &info.label {
        page.field("label", escaped(label));
    }
    if info.incarnation > 0 {
        page.field("incarnation", info.incarnation.to_string());
    }
    if let Some(release) = &release {
        page.field("release", escaped(release));
    }
    page.field("size", format!("{}, {} on disk", bytes(info.state_bytes), bytes(info.bytes)));
    let heading = format!("{} · checkpoint {}", home.agent(), info.id);
    let paint = context.out.paint;
    context.out.line(&paint.bold(&heading))?;
    context.out.print(&page.lay_out(paint))?;
    context.out.line(&json::pretty(&state, paint))?;
    Ok(DONE)
}

#[derive(Deserialize)]
struct Created {
    id: u64,
    version: u64,
    bytes: u64,
}

fn create(args: &CreateArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let params = match &args.label {
        Some(label) => Object::new().text("label", label).finish(),
        None => "{}".to_owned(),
    };
    let result = client::call(context, &home, "checkpoint.create", &params)?;
    let made: Created = client::parse(&result)?;
    if args.json {
        let object = Object::new()
            .text("agent", home.agent())
            .number("id", made.id)
            .number("version", made.version)
            .number("bytes", made.bytes);
        context.out.json(&object.finish())?;
    } else {
        let Created { id, version, bytes: size } = made;
        context.out.line(&format!(
            "{}: checkpoint {id} of version {version} ({})",
            home.agent(),
            bytes(size)
        ))?;
    }
    Ok(DONE)
}

#[derive(Deserialize)]
struct Restored {
    version: u64,
    #[serde(default)]
    reopened: u64,
}

fn restore(args: &RestoreArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let mut params = match &args.checkpoint {
        CheckpointRef::Id(id) => Object::new().number("id", *id),
        CheckpointRef::Label(label) => Object::new().text("label", label),
    };
    if args.reopen_events {
        params = params.number("reopen_events", true);
    }
    let result = client::call(context, &home, "checkpoint.restore", &params.finish())?;
    let Restored { version, reopened } = client::parse(&result)?;
    let name = home.agent();
    if args.json {
        let object = Object::new().text("agent", name).number("version", version);
        context.out.json(&object.number("reopened", reopened).finish())?;
    } else {
        let back = named(&args.checkpoint);
        let events = match (args.reopen_events, reopened) {
            (false, _) => String::new(),
            (true, 1) => ", and 1 event is handed out again".to_owned(),
            (true, count) => format!(", and {count} events are handed out again"),
        };
        context.out.line(&format!("{name} is back at {back}, as version {version}{events}"))?;
    }
    Ok(DONE)
}

fn diff(args: &DiffArgs, context: &Context) -> Result<u8, Failure> {
    let (home, words) = agent::split(context, &args.words, 1, 2)?;
    let sides = words.iter().map(|word| checkpoint(word)).collect::<Result<Vec<_>, _>>();
    let sides = sides.map_err(|why| Failure::new(Kind::Usage, "a checkpoint's name").why(why))?;
    let reader = past::open(&home)?;
    let side = |which: &CheckpointRef| -> Result<Side, Failure> {
        let (_, found) = past::at_checkpoint(&home, &reader, which)?;
        Ok(Side::new(named(which), found))
    };
    let (old, new) = match sides.as_slice() {
        [old, new] => (side(old)?, side(new)?),
        [old] => {
            let now = past::newest(&home, &reader)?;
            (side(old)?, Side::new(format!("now (version {})", now.version), now))
        }
        _ => {
            return Err(Failure::new(Kind::Usage, "which checkpoint is meant?")
                .why("one or two are compared")
                .hint("adrt checkpoints diff [AGENT] A [B]"));
        }
    };
    compare(context, &home, &old, &new, args.json)
}

fn prune(args: &PruneArgs, context: &Context) -> Result<u8, Failure> {
    let home: Home = agent::choose(context, args.agent.as_deref())?;
    let params = Object::new().number("keep", args.keep).number("all", args.all).finish();
    let result = client::call(context, &home, "checkpoint.prune", &params)?;
    let gone: Removed = client::parse(&result)?;
    tell(context, home.agent(), &gone, args.json)
}
