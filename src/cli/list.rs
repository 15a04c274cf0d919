//! `adrt list`: every agent, a line each.

use super::failure::Failure;
use super::json::{Object, array};
use super::output::{Column, Table, Tint};
use super::status::{Inbox, Status, of_agent};
use super::text::{NONE, escaped};
use super::{Context, DONE, agent};
use crate::clock::Wall;
use crate::store::home::Home;

/// List the agents
///
/// A line each, stopped ones too: how long it has been in its phase, its newest
/// process (RUN), and what is wrong with it, the worst first. A narrow screen
/// has fewer columns; adrt status AGENT has all.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt list
  adrt list --json
  sudo adrt list --state-dir /var/lib/adrt")]
pub struct ListArgs {
    /// Print [{agent, phase, since, pid, incarnation, version, ..., inbox, reviews}]
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// The state directory can't be read. An agent that can't be is a line of the list.
pub fn main(args: &ListArgs, context: &Context) -> Result<u8, Failure> {
    let state_dir = context.state_dir()?;
    let mut found: Vec<Found> = Vec::new();
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
    context.out.table(&table(context, &found))?;
    for failure in found.iter().filter_map(|(_, status)| status.as_ref().err()) {
        super::output::note(&failure.to_string());
    }
    Ok(DONE)
}

type Found = (String, Result<Status, Failure>);

/// The columns, and how soon one is left out where the line is too short for
/// all: none of those that have no number.
const COLUMNS: [(&str, Column, Option<u8>); 8] = [
    ("AGENT", Column::Left, None),
    ("PHASE", Column::Left, None),
    ("SINCE", Column::Right, None),
    ("RUN", Column::Right, Some(0)),
    ("RESTARTS", Column::Right, Some(2)),
    ("VERSION", Column::Right, Some(1)),
    ("INBOX", Column::Right, Some(3)),
    ("NOTE", Column::Fill, None),
];
/// Columns of the screen that the notes take at least, if they have so much to
/// say: a crash loop with its count.
const NOTE_WIDTH_LEAST: usize = 32;

fn table(context: &Context, found: &[Found]) -> Table {
    let rows: Vec<[String; COLUMNS.len()]> =
        found.iter().map(|(name, status)| cells(context, name, status)).collect();
    let kept = fitting(context.out.width, &rows);
    let columns: Vec<_> = kept.iter().map(|at| (COLUMNS[*at].0, COLUMNS[*at].1)).collect();
    let mut table = Table::new(&columns);
    for (row, (_, status)) in rows.iter().zip(found) {
        let tint = status.as_ref().map_or_else(|_| Tint::Bad, Status::tint);
        table.row(kept.iter().map(|at| row[*at].clone()).collect(), tint);
    }
    table
}

/// The columns that a line of that width has room for.
fn fitting(width: usize, rows: &[[String; COLUMNS.len()]]) -> Vec<usize> {
    let of_column = |at: usize| {
        let (name, column, _) = COLUMNS[at];
        let cells = rows.iter().map(|row| row[at].chars().count());
        let widest = cells.chain([name.len()]).max().unwrap_or(0);
        match column {
            Column::Fill => widest.min(NOTE_WIDTH_LEAST),
            Column::Left | Column::Right => widest,
        }
    };
    let mut kept: Vec<usize> = (0..COLUMNS.len()).collect();
    loop {
        let used: usize = kept.iter().map(|at| of_column(*at) + 2).sum();
        let next = kept.iter().filter(|at| COLUMNS[**at].2.is_some());
        let Some(next) = next.min_by_key(|at| COLUMNS[**at].2).copied() else { return kept };
        if used <= width + 1 {
            return kept;
        }
        kept.retain(|at| *at != next);
    }
}

fn cells(
    context: &Context,
    name: &str,
    status: &Result<Status, Failure>,
) -> [String; COLUMNS.len()] {
    let none = || NONE.to_owned();
    let status = match status {
        Ok(status) => status,
        Err(failure) => {
            let mut cells = std::array::from_fn(|_| none());
            cells[0] = name.to_owned();
            cells[1] = "unreadable".to_owned();
            cells[COLUMNS.len() - 1] = escaped(&failure.why);
            return cells;
        }
    };
    let number = |count: Option<u64>| count.map_or_else(none, |count| count.to_string());
    let troubles = status.troubles();
    [
        name.to_owned(),
        escaped(&status.phase),
        status.since_at().map_or_else(none, |at| lasting(context, at)),
        number(status.incarnation),
        number(status.restarts),
        number(status.version),
        number(status.inbox.as_ref().map(Inbox::depth)),
        if troubles.is_empty() { none() } else { troubles.join(", ") },
    ]
}

fn as_object(name: &str, status: &Result<Status, Failure>) -> String {
    let object = Object::new().text("agent", name);
    match status {
        Ok(status) => object
            .text("phase", &status.phase)
            .maybe_text("since", status.since.as_deref())
            .number("pid", status.pid)
            .number("incarnation", status.incarnation)
            .number("version", status.version)
            .maybe_text("updated", status.updated.as_deref())
            .number("restarts", status.restarts)
            .number("file_bytes", status.file_bytes)
            .number("inbox", serde_json::to_value(&status.inbox).unwrap_or_default())
            .number("reviews", status.reviews)
            .finish(),
        Err(failure) => unreadable(name, failure),
    }
}

/// An agent that can't be read, as JSON.
pub(in crate::cli) fn unreadable(name: &str, failure: &Failure) -> String {
    let object = Object::new().text("agent", name);
    object.text("phase", "unreadable").text("error", &failure.why).finish()
}

/// How long ago that was, in one unit.
fn lasting(context: &Context, at: Wall) -> String {
    let ago = context.moment.ago(at);
    ago.strip_suffix(" ago").map_or(ago.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_screen_has_fewer_columns() {
        let row = |note| {
            ["night-watch", "backoff", "3 min", "12", "11", "104", "3", note].map(str::to_owned)
        };
        let of = |width, note| -> Vec<&str> {
            fitting(width, &[row(note)]).into_iter().map(|at| COLUMNS[at].0).collect()
        };
        let names = |width| of(width, "crash loop: 7 crashes in a row, exited with code 3");
        let all = ["AGENT", "PHASE", "SINCE", "RUN", "RESTARTS", "VERSION", "INBOX", "NOTE"];
        assert_eq!(names(100), all);
        assert_eq!(names(90), ["AGENT", "PHASE", "SINCE", "RESTARTS", "VERSION", "INBOX", "NOTE"]);
        assert_eq!(names(72), ["AGENT", "PHASE", "SINCE", "INBOX", "NOTE"]);
        assert_eq!(names(50), ["AGENT", "PHASE", "SINCE", "NOTE"]);
        // Where there is little to say, the numbers have the room.
        assert_eq!(of(72, "–"), all);
    }
}
