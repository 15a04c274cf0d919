//! Reading and writing the small files of a group.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// The processes of a group, those of the groups below it left out. Processes
/// that can't be seen from here (another namespace of process ids) are 0.
///
/// # Errors
/// The group is gone, or is of a kind that has no processes of its own.
pub(super) fn members(dir: &Path) -> io::Result<Vec<i32>> {
    let text = fs::read_to_string(dir.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Writes one value, by one system call, as the kernel wants it. The file must
/// be there.
pub(super) fn set(dir: &Path, name: &str, value: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(dir.join(name))?;
    // Not write_all: a second write would be another command.
    file.write(value.as_bytes()).map(drop)
}

/// A file of one number.
pub(super) fn number(dir: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok()
}

/// The number after this word, in a file of such lines.
pub(super) fn keyed(dir: &Path, name: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(dir.join(name)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

/// Whether a file of words has this one; one that isn't there has none.
pub(super) fn has_word(dir: &Path, name: &str, word: &str) -> bool {
    let text = fs::read_to_string(dir.join(name)).unwrap_or_default();
    text.split_ascii_whitespace().any(|it| it == word)
}
