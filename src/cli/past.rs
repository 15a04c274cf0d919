//! Reading what an agent remembers, now or at some time.
//!
//! Read-only and beside a running agent: what is shown was committed. Not
//! every old version is kept for ever; where the one asked for is gone, the
//! nearest one kept is shown, and said to be.

use super::failure::{Failure, Kind};
use super::output::note;
use super::{Context, agent, when};
use crate::store::home::Home;
use crate::store::read::{ReadError, Reader, Snapshot};
use crate::supervisor::io::{CheckpointInfo, CheckpointRef, StoreFailureKind};

/// Which version is meant; none of these is the newest.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(multiple = false)]
pub struct Past {
    /// As it was at this version
    #[arg(long, value_name = "N", help_heading = "The past")]
    pub version: Option<u64>,
    /// As it was at this time: 03:12, "2h ago", 2026-03-01T03:12
    #[arg(long, value_name = "TIME", help_heading = "The past")]
    pub at: Option<String>,
    /// As it was in this checkpoint
    #[arg(long, value_name = "ID|LABEL", help_heading = "The past", value_parser = checkpoint)]
    pub checkpoint: Option<CheckpointRef>,
}

/// A checkpoint as it is typed: a number is its id, all else a label.
///
/// # Errors
/// It is empty.
pub fn checkpoint(text: &str) -> Result<CheckpointRef, String> {
    match text.parse() {
        Ok(id) => Ok(CheckpointRef::Id(id)),
        Err(_) if text.is_empty() => Err("is empty; give an id or a label".to_owned()),
        Err(_) => Ok(CheckpointRef::Label(text.to_owned())),
    }
}

/// A checkpoint for people.
pub fn named(checkpoint: &CheckpointRef) -> String {
    match checkpoint {
        CheckpointRef::Id(id) => format!("checkpoint {id}"),
        CheckpointRef::Label(label) => format!("checkpoint {label:?}"),
    }
}

/// Opens the agent's database for reading.
///
/// # Errors
/// See [`of_read`].
pub fn open(home: &Home) -> Result<Reader, Failure> {
    Reader::open(home).map_err(|error| of_read(home, error))
}

/// The state at that point.
///
/// # Errors
/// Nothing is kept of it, or it can't be read.
pub fn snapshot(
    context: &Context,
    home: &Home,
    reader: &Reader,
    past: &Past,
) -> Result<Snapshot, Failure> {
    if let Some(checkpoint) = &past.checkpoint {
        return at_checkpoint(home, reader, checkpoint).map(|(_, found)| found);
    }
    if let Some(version) = past.version {
        return at_version(home, reader, version);
    }
    match &past.at {
        Some(text) => at_time(context, home, reader, text),
        None => newest(home, reader),
    }
}

/// The state now.
///
/// # Errors
/// It can't be read.
pub fn newest(home: &Home, reader: &Reader) -> Result<Snapshot, Failure> {
    reader.newest().map_err(|error| of_read(home, error))
}

/// The state at that version, or the nearest one kept.
///
/// # Errors
/// There never was such a version, or it can't be read.
pub fn at_version(home: &Home, reader: &Reader, version: u64) -> Result<Snapshot, Failure> {
    let (before, after) = match reader.at_version(version) {
        Err(ReadError::NotKept { newest, .. }) if newest < version => {
            return Err(Failure::new(Kind::NotFound, format!("there is no version {version} yet"))
                .why(format!("{} is at version {newest}", home.agent()))
                .hint(format!("adrt state history {}", home.agent())));
        }
        Err(ReadError::NotKept { nearest_before, nearest_after, .. }) => {
            (nearest_before, nearest_after)
        }
        found => return found.map_err(|error| of_read(home, error)),
    };
    let Some(nearest) = nearest(version, before, after) else {
        return newest(home, reader);
    };
    note(&format!("adrt: version {version} is no longer kept; this is {nearest}, the nearest"));
    reader.at_version(nearest).map_err(|error| of_read(home, error))
}

/// The nearer of two; the older one where both are as near.
fn nearest(asked: u64, before: Option<u64>, after: Option<u64>) -> Option<u64> {
    let candidates = before.into_iter().chain(after);
    candidates.min_by_key(|version| version.abs_diff(asked))
}

fn at_time(
    context: &Context,
    home: &Home,
    reader: &Reader,
    text: &str,
) -> Result<Snapshot, Failure> {
    let at = when::parse(text, &context.moment).map_err(|why| {
        Failure::new(Kind::Usage, "the time is not understood")
            .why(format!("{text:?} {why}"))
            .hint(format!("adrt state history {} shows when it changed", home.agent()))
    })?;
    match reader.at_time(at) {
        Err(ReadError::NothingBefore { oldest, .. }) => {
            let found = reader.at_version(oldest).map_err(|error| of_read(home, error))?;
            let when = context.moment.local(found.updated);
            note(&format!(
                "adrt: nothing as old as {} is kept; this is version {oldest}, of {when}",
                context.moment.local(at)
            ));
            Ok(found)
        }
        found => found.map_err(|error| of_read(home, error)),
    }
}

/// A checkpoint and the state in it.
///
/// # Errors
/// There is no such checkpoint, or it can't be read.
pub fn at_checkpoint(
    home: &Home,
    reader: &Reader,
    checkpoint: &CheckpointRef,
) -> Result<(CheckpointInfo, Snapshot), Failure> {
    reader.at_checkpoint(checkpoint).map_err(|error| of_read(home, error))
}

/// The time of a snapshot as `--json` has it; null where nothing was ever written.
pub fn updated(found: &Snapshot) -> Option<String> {
    (found.updated.millis() != 0).then(|| found.updated.rfc3339())
}

/// A failure to read as one of the command.
pub fn of_read(home: &Home, error: ReadError) -> Failure {
    let name = home.agent();
    let what = format!("{name} can't be read");
    match error {
        ReadError::Home(error) => agent::of_home(what, &error),
        ReadError::NoAgent(_) => Failure::new(Kind::NotFound, format!("nothing is kept of {name}"))
            .why("it has no database; an agent of run --ephemeral has none")
            .hint("adrt list"),
        ReadError::NoCheckpoint(which) => {
            Failure::new(Kind::NotFound, format!("there is no {}", named(&which)))
                .why(format!("{name} has none of that name, or it was let go"))
                .hint(format!("adrt checkpoints list {name}"))
        }
        ReadError::NotKept { .. } | ReadError::NothingBefore { .. } => {
            Failure::new(Kind::NotFound, "that version is not kept")
                .why(error)
                .hint(format!("adrt state history {name}"))
        }
        ReadError::NotOurs => Failure::new(Kind::Store, what)
            .why(error)
            .hint(format!("move {} away", home.database().display())),
        ReadError::Damaged(_) => Failure::new(Kind::Store, what).why(error).hint(format!(
            "adrt restore FILE of a backup, or adrt run -n {name} --on-damage salvage; \
             the old file is kept beside"
        )),
        ReadError::Failed(failure) => {
            Failure::new(Kind::Store, what).why(failure.message).hint(match failure.kind {
                StoreFailureKind::Full => "make room on the disk",
                StoreFailureKind::ReadOnly => "run it as the user the agent runs as",
                StoreFailureKind::Io | StoreFailureKind::Damaged | StoreFailureKind::Other => {
                    "look at the system's log, and at who owns the state directory"
                }
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_an_id() {
        assert_eq!(checkpoint("7"), Ok(CheckpointRef::Id(7)));
        assert_eq!(checkpoint("v7"), Ok(CheckpointRef::Label("v7".to_owned())));
        assert!(checkpoint("").is_err());
    }

    #[test]
    fn the_nearest_version() {
        assert_eq!(nearest(10, Some(8), Some(11)), Some(11));
        assert_eq!(nearest(10, Some(9), Some(11)), Some(9));
        assert_eq!(nearest(10, None, Some(30)), Some(30));
        assert_eq!(nearest(10, None, None), None);
    }
}
