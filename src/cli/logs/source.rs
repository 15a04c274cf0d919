//! Where what an agent said is kept: in the log of its last run, or, where
//! that is gone, in the ledger.

use std::io;
use std::path::{Path, PathBuf};

use super::lines::{Line, Lines};
use crate::cli::failure::{Failure, Kind};
use crate::cli::{client, past};
use crate::output::{LogReader, Stream, Tail};
use crate::runtime::log_file::log_beside;
use crate::store::home::Home;
use crate::store::ledger::IncarnationRow;

/// Processes whose last output is looked for in the ledger.
const INCARNATIONS_MAX: u64 = 20;

/// The log of that agent's last run, if it is still there.
///
/// # Errors
/// It is there and can't be read.
pub fn open(home: &Home) -> Result<Option<(PathBuf, Tail)>, Failure> {
    let running = || client::running(home).and_then(|holder| holder.socket);
    let told = [home.log_place(), running().as_deref().map(log_beside)];
    for path in told.into_iter().flatten() {
        match LogReader::open(&path) {
            Ok(reader) => return Ok(Some((path, Tail::new(reader)))),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(of_log(home, &path, &error)),
        }
    }
    Ok(None)
}

/// Not there, or not a log: then it is somebody else's by now.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::NotADirectory
    )
}

/// A failure of the log as one of the command.
pub fn of_log(home: &Home, path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(Kind::Store, format!("the log of {} can't be read", home.agent()))
        .why(format!("{}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            failure.hint("run it as the user the agent runs as (sudo -u USER adrt …)")
        }
        _ => failure.hint(format!("adrt crashes show {}", home.agent())),
    }
}

/// The last output of the agent's last processes, as it was kept with their
/// ends, until there are `enough` lines.
///
/// # Errors
/// The agent can't be read.
pub fn of_ledger(home: &Home, enough: usize) -> Result<Vec<Line>, Failure> {
    let of_read = |error| past::of_read(home, error);
    let reader = past::open(home)?;
    let ended = reader.incarnations(false, None, INCARNATIONS_MAX).map_err(of_read)?;
    let mut newest_first: Vec<Vec<Line>> = Vec::new();
    let mut count = 0;
    for row in ended {
        if count >= enough {
            break;
        }
        let Some(row) = reader.incarnation(row.id).map_err(of_read)? else { continue };
        let lines = of_row(&row);
        count += lines.len();
        newest_first.push(lines);
    }
    Ok(newest_first.into_iter().rev().flatten().collect())
}

/// Its output, and then how it ended; nothing of one that left no output.
fn of_row(row: &IncarnationRow) -> Vec<Line> {
    let Some(end) = &row.end else { return Vec::new() };
    let Some(output) = end.output.as_deref().filter(|output| !output.is_empty()) else {
        return Vec::new();
    };
    let line = |stream, text: &[u8]| Line {
        at: end.ended,
        incarnation: row.id,
        stream,
        text: text.to_vec(),
    };
    let output = output.strip_suffix(b"\n").unwrap_or(output);
    let said = output.split(|byte| *byte == b'\n').map(|text| line(None, text));
    said.chain([line(Some(Stream::Adrt), format!("agent {}", end.summary).as_bytes())]).collect()
}

/// The last lines that are kept of what an agent said, wherever that is; none
/// where nothing can be read.
pub fn last(home: &Home, count: usize) -> Vec<Line> {
    let of_log = || {
        let (_, mut tail) = open(home).ok()??;
        let (mut lines, mut whole) = (Lines::default(), Vec::new());
        for record in tail.more().ok()? {
            lines.take(record, &mut whole);
        }
        lines.finish(&mut whole);
        Some(whole)
    };
    let mut found = of_log().unwrap_or_else(|| of_ledger(home, count).unwrap_or_default());
    found.split_off(found.len().saturating_sub(count))
}
