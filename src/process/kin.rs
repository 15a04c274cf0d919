//! What tells an agent's processes from all others, for as long as they live.
//!
//! Each run has a mark: text that nobody can guess. All that the agent starts
//! inherits it in its environment, as `ADRT_RUN`, and is in the agent's group
//! of the kernel, where there is one, whose name ends with it. A process
//! belongs to a run if it has that run's very mark, so an innocent one is never
//! taken for it.
//!
//! The mark is noted in a file beside the agent's database before the first
//! process is started, and the file is removed when the run is over and nothing
//! is left. So a file that is there tells the next adrt that the last one was
//! killed, and whom it left behind. It is written without waiting for the
//! disk: who cuts the power leaves no process behind.
//!
//! What has neither the mark nor the group any more is not found: a program
//! that clears its environment, on a system without a group for the agent.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cgroup::Group;
use super::sweep;
use super::table;

/// Names the run's mark to all that the agent starts.
pub const MARK_VARIABLE: &str = "ADRT_RUN";

/// The longest note that is read: a path, and a little.
const NOTE_BYTES_MAX: u64 = 8 * 1024;

/// A mark is no shorter: what is shorter was not made by [`Kin::new`]'s callers.
const MARK_CHARS_MIN: usize = 16;

/// One run's.
#[derive(Debug)]
pub struct Kin {
    mark: String,
    group: Option<Group>,
}

impl Kin {
    /// For a run with this mark: at least 16 letters and digits that nobody
    /// can guess.
    pub fn new(mark: String, group: Option<Group>) -> Self {
        Self { mark, group }
    }

    /// The mark.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// The agent's group, where there is one.
    pub fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// Notes it for the next adrt.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn note(&self, path: &Path) -> io::Result<()> {
        let group = self.group.as_ref().map(|group| group.dir().display().to_string());
        let boot = table::boot_id();
        fs::write(path, format!("{boot}\n{}\n{}\n", self.mark, group.unwrap_or_default()))
    }
}

/// Kills what is left of the run that was noted there, if it was not over when
/// its adrt ended. Returns how many processes were found by their mark; those
/// of the group are not counted.
///
/// The caller holds the agent's lock: nobody is running it now.
pub fn kill_noted(path: &Path) -> usize {
    let Some((mark, group)) = read_note(path) else { return 0 };
    if let Some(group) = group.and_then(|dir| Group::left(dir, &mark)) {
        group.remove();
    }
    let killed = sweep::kill_marked(&mark);
    let _looked_at_again_then = fs::remove_file(path);
    killed
}

/// Whether that process is one that [`kill_noted`] would look for.
pub fn is_noted(path: &Path, pid: i32) -> bool {
    read_note(path).is_some_and(|(mark, _)| sweep::has_mark(pid, &mark))
}

/// The mark and the group; nothing if the note is of another boot, or is none.
fn read_note(path: &Path) -> Option<(String, Option<PathBuf>)> {
    let size = fs::metadata(path).ok()?.len();
    if size > NOTE_BYTES_MAX {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    let (boot, mark, group) = (lines.next()?, lines.next()?, lines.next()?);
    let sound = !boot.is_empty()
        && boot == table::boot_id()
        && mark.len() >= MARK_CHARS_MIN
        && mark.bytes().all(|byte| byte.is_ascii_alphanumeric());
    sound.then(|| (mark.to_owned(), (!group.is_empty()).then(|| PathBuf::from(group))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "0123456789abcdef";

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note");
        Kin::new(MARK.to_owned(), None).note(&path).unwrap();
        assert_eq!(read_note(&path), Some((MARK.to_owned(), None)));
    }

    #[test]
    fn what_is_no_note_of_this_boot_names_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note");
        let boot = table::boot_id();
        for text in [
            String::new(),
            format!("{boot}\n"),
            format!("{boot}\n{MARK}"),
            format!("other\n{MARK}\n\n"),
            format!("\n{MARK}\n\n"),
            format!("{boot}\nshort\n\n"),
            format!("{boot}\n0123456789 abcdef\n\n"),
            format!("{boot}\n{MARK}\n{}\n", "x".repeat(9000)),
        ] {
            fs::write(&path, &text).unwrap();
            assert_eq!(read_note(&path), None, "{text:?}");
        }
        assert_eq!(read_note(&dir.path().join("none")), None);
        let group = format!("{boot}\n{MARK}\n/sys/fs/cgroup/agent.a.{MARK}\n");
        fs::write(&path, group).unwrap();
        assert!(read_note(&path).is_some_and(|(_, group)| group.is_some()));
    }
}
