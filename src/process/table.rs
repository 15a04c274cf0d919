//! The system's table of processes, as /proc tells it.

use std::fs;
use std::io;
use std::sync::OnceLock;

use crate::supervisor::io::ProcessIdentity;

/// Fields of /proc/PID/stat, counted from the state, which is the first one
/// after the command's name (the third of proc(5)).
const FIELD_STATE: usize = 0;
const FIELD_PARENT: usize = 1;
const FIELD_GROUP: usize = 2;
const FIELD_SESSION: usize = 3;
const FIELD_USER_TICKS: usize = 11;
const FIELD_SYSTEM_TICKS: usize = 12;
const FIELD_START_TICKS: usize = 19;
const FIELD_RESIDENT_PAGES: usize = 21;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Process id.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// Start time in clock ticks since boot.
    pub start_ticks: u64,
    /// It has ended; only its number and exit code are left.
    pub zombie: bool,
}

/// What a process takes of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// It was stopped, by a signal or a terminal.
    pub stopped: bool,
    /// Time on processors since it was started, in clock ticks.
    pub ticks: u64,
    /// Pages of memory that are its now.
    pub pages: u64,
}

/// Reads one process's entry; `None` if there is no such process.
pub fn entry(pid: i32) -> Option<Entry> {
    parse(pid, &line(pid)?)
}

/// Reads what a process takes; `None` if there is no such process.
pub fn load(pid: i32) -> Option<Load> {
    parse_load(&line(pid)?)
}

fn line(pid: i32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/stat")).ok()
}

/// Reads all processes that can be seen. One that ends meanwhile is left out.
///
/// # Errors
/// /proc can't be read.
pub fn all() -> io::Result<Vec<Entry>> {
    Ok(pids()?.into_iter().filter_map(entry).collect())
}

/// The numbers of all processes that can be seen, the lowest first.
///
/// # Errors
/// /proc can't be read.
pub fn pids() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for directory in fs::read_dir("/proc")? {
        pids.extend(directory?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    pids.sort_unstable();
    Ok(pids)
}

/// What tells the process `pid` from all that have or will have its number.
/// Fields that can't be read are empty, and then match nothing.
pub fn identify(pid: i32) -> ProcessIdentity {
    let found = entry(pid);
    ProcessIdentity {
        pid,
        session: found.map_or(0, |entry| entry.session),
        start_ticks: found.map_or(0, |entry| entry.start_ticks),
        boot_id: boot_id().to_owned(),
    }
}

/// The kernel's name for this boot; empty if it has none.
pub fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    })
}

/// The fields of a line of /proc/PID/stat. The command's name may hold
/// anything, blanks and parentheses too, so they are counted from its end.
fn fields(line: &[u8]) -> Option<Vec<&str>> {
    let name_end = line.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(line.get(name_end + 1..)?).ok()?;
    Some(fields.split_ascii_whitespace().collect())
}

/// An entry, from such a line.
pub(crate) fn parse(pid: i32, line: &[u8]) -> Option<Entry> {
    let fields = fields(line)?;
    Some(Entry {
        pid,
        parent: fields.get(FIELD_PARENT)?.parse().ok()?,
        group: fields.get(FIELD_GROUP)?.parse().ok()?,
        session: fields.get(FIELD_SESSION)?.parse().ok()?,
        start_ticks: fields.get(FIELD_START_TICKS)?.parse().ok()?,
        zombie: matches!(*fields.get(FIELD_STATE)?, "Z" | "X"),
    })
}

/// What a process takes, from such a line.
pub(crate) fn parse_load(line: &[u8]) -> Option<Load> {
    let fields = fields(line)?;
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Load {
        stopped: *fields.get(FIELD_STATE)? == "T",
        ticks: number(FIELD_USER_TICKS)?.saturating_add(number(FIELD_SYSTEM_TICKS)?),
        pages: number(FIELD_RESIDENT_PAGES)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let line = b"77 (a) Z 1 (b)) S 5 6 7 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 12345 99 1\n";
        let parsed = parse(77, line).unwrap();
        let expected =
            Entry { pid: 77, parent: 5, group: 6, session: 7, start_ticks: 12345, zombie: false };
        assert_eq!(parsed, expected);
    }

    #[test]
    fn torn_lines_are_nothing() {
        for line in [&b""[..], b"77 (a", b"77 (a) S 5", b"77 (a) S x 6 7"] {
            assert_eq!(parse(77, line), None);
        }
    }

    #[test]
    fn we_are_in_the_table() {
        let me = i32::try_from(std::process::id()).unwrap();
        let mine = entry(me).unwrap();
        assert!(all().unwrap().contains(&mine));
        assert_eq!(identify(me).start_ticks, mine.start_ticks);
        assert!(!boot_id().is_empty());
    }
}
