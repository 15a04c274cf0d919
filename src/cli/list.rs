//! `adrt list`: every agent, a line each.

use super::failure::Failure;
use super::json::{Object, array};
use super::output::{Column, Table};
use super::status::{Status, left_to_people, of_agent};
use super::text::{NONE, escaped, span};
use super::{Context, DONE, agent};
use crate::store::home::Home;

/// List the agents
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt list
  adrt list --json
  sudo adrt list --state-dir /var/lib/adrt")]
pub struct ListArgs {
    /// Print [{agent, phase, pid, version, ..., inbox, reviews}]
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// The state directory can't be read. An agent that can't be is a line of the list.
pub fn main(args: &ListArgs, context: &Context) -> Result<u8, Failure> {
    let state_dir = context.state_dir()?;
    let mut found = Vec::new();
    for name in agent::all(context)? {
        let home = Home::new(&state_dir, &name)
            .map_err(|error| agent::of_home("the agents can't be listed", &error))?;
        found.push((name, of_agent(&home)));
    }
    if args.json {
        context.out.json(&array(found.iter().map(|(name, status)| as_object(name, status))))?;
        return Ok(DONE);
    }
    if found.is_empty() {
        let dir = state_dir.display();
        context.out.line(&format!("no agents in {dir}; adrt run -- CMD makes one"))?;
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        ("AGENT", Column::Left),
        ("PHASE", Column::Left),
        ("UP", Column::Right),
        ("RESTARTS", Column::Right),
        ("VERSION", Column::Right),
        ("CHANGED", Column::Left),
        ("INBOX", Column::Right),
        ("FOR YOU", Column::Fill),
    ]);
    for (name, status) in &found {
        table.row(
            cells(context, name, status),
            status.as_ref().map_or_else(|_| super::output::Tint::Bad, Status::tint),
        );
    }
    context.out.table(&table)?;
    for (name, status) in &found {
        if let Err(failure) = status {
            super::output::note(&format!("{name}: {failure}"));
        }
    }
    Ok(DONE)
}

fn cells(context: &Context, name: &str, status: &Result<Status, Failure>) -> Vec<String> {
    let none = || NONE.to_owned();
    let Ok(status) = status else {
        let mut cells = vec![name.to_owned(), "unreadable".to_owned()];
        cells.resize_with(8, none);
        return cells;
    };
    let changed = status.updated_at();
    let left = left_to_people(status);
    vec![
        name.to_owned(),
        escaped(&status.phase),
        status.uptime().map_or_else(none, span),
        status.restarts.map_or_else(none, |count| count.to_string()),
        status.version.map_or_else(none, |version| version.to_string()),
        changed.map_or_else(none, |at| context.moment.ago(at)),
        status.inbox.as_ref().map_or_else(none, |inbox| inbox.depth().to_string()),
        if left.is_empty() { none() } else { left.join(", ") },
    ]
}

fn as_object(name: &str, status: &Result<Status, Failure>) -> String {
    let object = Object::new().text("agent", name);
    match status {
        Ok(status) => object
            .text("phase", &status.phase)
            .number("pid", status.pid)
            .number("version", status.version)
            .maybe_text("updated", status.updated.as_deref())
            .number("restarts", status.restarts)
            .number("file_bytes", status.file_bytes)
            .number("inbox", serde_json::to_value(&status.inbox).unwrap_or_default())
            .number("reviews", status.reviews)
            .finish(),
        Err(failure) => object.text("phase", "unreadable").text("error", &failure.why).finish(),
    }
}
