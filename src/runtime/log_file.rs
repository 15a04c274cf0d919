//! The file behind `adrt logs` of an agent that nobody runs: it goes with the
//! agent, or with its history, and takes its next name. The caller holds the
//! agent's lock: else a run that begins would write to a file without a name.
//!
//! Whoever wrote down where it is may have been the agent itself, so nothing
//! is touched that is no log of that agent's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::control::socket_within;
use crate::output::{Log, LogReader};
use crate::store::home::Home;

/// Of a checksum, as [`Home::socket_name`] writes it.
const TAG_DIGITS: usize = 8;

/// The log beside an agent's socket.
pub fn log_beside(socket: &Path) -> PathBuf {
    socket.with_extension("log")
}

/// What stands in a log instead of all that was before.
pub(super) const FORGOTTEN: &str = "old versions were forgotten, and what was here before";

/// Overwrites what is in it, as old versions are.
pub fn forget(home: &Home) {
    if let Some(path) = place(home) {
        let _somebody_elses = Log::wipe(&path, FORGOTTEN);
    }
}

/// Deletes the log at that place, which [`place`] has told while the agent
/// was there.
pub fn remove_at(path: &Path) {
    // A file system that is no memory would keep what was in it.
    let _somebody_elses = Log::wipe(path, "the agent was deleted");
    let _best_effort = fs::remove_file(path);
}

/// Where it is, if it is a log of that agent's.
pub fn place(home: &Home) -> Option<PathBuf> {
    home.log_place().filter(|path| is_of(home, path))
}

/// Gives it the name by which the renamed agent is run. What can't be moved
/// stays to be read where it is.
///
/// # Errors
/// The system refused.
pub fn carry_over(old: &Home, renamed: &Home) -> io::Result<()> {
    let Some(path) = renamed.log_place() else { return Ok(()) };
    let told = if path == log_beside(&socket_within(old)) {
        // It went along with the directory.
        log_beside(&socket_within(renamed))
    } else if is_of(old, &path) {
        let new = log_beside(&path.with_file_name(renamed.socket_name()));
        fs::rename(&path, &new)?;
        new
    } else {
        return Ok(());
    };
    renamed.set_log_place(&told).map_err(io::Error::other)
}

/// By its name: `<agent>-<tag>.log`, or that of the one beside the database.
fn is_of(home: &Home, path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let tag = name.as_deref().and_then(|name| {
        let rest = name.strip_prefix(home.agent())?;
        rest.strip_prefix('-')?.strip_suffix(".log")
    });
    let is_tag = |tag: &str| tag.len() == TAG_DIGITS && tag.bytes().all(|b| b.is_ascii_hexdigit());
    let is_within = path == log_beside(&socket_within(home));
    (tag.is_some_and(is_tag) || is_within) && LogReader::open(path).is_ok()
}
