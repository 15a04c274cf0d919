//! Files that a rotation has renamed: `FILE.1`, `FILE.2` …, `FILE-20260107`,
//! beside `FILE`.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;

/// Renamed files that are looked at: more than any rotation keeps.
const FILES_MAX: usize = 1000;
/// A number with so many digits is a date, and grows with time; a shorter one
/// counts the rotations since.
const DATE_DIGITS: usize = 6;

/// A file that was renamed, and those that came after it, oldest first; not
/// the one that has the name now.
pub(super) struct Rotated {
    file: File,
    later: Vec<PathBuf>,
}

impl Rotated {
    /// With the later ones opened: they may be renamed again.
    pub fn open(self) -> io::Result<(File, VecDeque<File>)> {
        let later = self.later.iter().filter_map(|path| regular(path).transpose());
        Ok((self.file, later.collect::<io::Result<_>>()?))
    }
}

/// Opens a regular file; whatever else has such a name came from no rotation.
fn regular(path: &PathBuf) -> io::Result<Option<File>> {
    // A FIFO is not waited for.
    match File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENXIO)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Looks beside `path` for the file that `is_it`.
///
/// # Errors
/// The directory can't be read.
pub(super) fn find(
    path: &Path,
    inode: u64,
    is_it: impl Fn(&File) -> io::Result<bool>,
) -> io::Result<Option<Rotated>> {
    let names = renamed(path)?;
    for (at, suffix) in &names {
        let there = fs::metadata(at);
        if !there.is_ok_and(|there| there.is_file() && there.ino() == inode) {
            continue;
        }
        let file = File::open(at)?;
        if is_it(&file)? {
            return Ok(Some(Rotated { file, later: later_than(suffix, &names) }));
        }
    }
    Ok(None)
}

/// What begins with the file's name, and the rest of the name: at least a
/// `.` or `-`.
fn renamed(path: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)?.flatten() {
        let other = entry.file_name();
        let suffix = other.as_bytes().strip_prefix(name.as_bytes());
        if let Some(suffix) = suffix.filter(|suffix| matches!(suffix.first(), Some(b'.' | b'-'))) {
            found.push((entry.path(), suffix.to_vec()));
        }
        if found.len() >= FILES_MAX {
            break;
        }
    }
    Ok(found)
}

/// Those renamed after the one with this suffix, oldest first. Names that
/// tell no order are not touched: they may be anything.
fn later_than(suffix: &[u8], names: &[(PathBuf, Vec<u8>)]) -> Vec<PathBuf> {
    let Some(order) = Order::of(suffix) else { return Vec::new() };
    let same_form = |other: &&(PathBuf, Vec<u8>)| other.1.first() == suffix.first();
    let ordered = names.iter().filter(same_form).filter_map(|(path, suffix)| {
        Order::of(suffix).filter(|other| order.comes_before(*other)).map(|order| (order, path))
    });
    let mut later: Vec<_> = ordered.collect();
    later.sort_by_key(|(order, _)| order.time());
    later.into_iter().map(|(_, path)| path.clone()).collect()
}

/// What a suffix tells of when the file was renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// So many rotations ago.
    Ago(u64),
    /// At that time.
    Date(u64),
}

impl Order {
    fn of(suffix: &[u8]) -> Option<Self> {
        // 20260107, 20260107-1200, 2026-01-07
        let digits: Vec<u8> = suffix[1..].iter().copied().filter(|b| *b != b'-').collect();
        let number = std::str::from_utf8(&digits).ok()?.parse().ok()?;
        Some(if digits.len() < DATE_DIGITS { Self::Ago(number) } else { Self::Date(number) })
    }

    const fn comes_before(self, other: Self) -> bool {
        match (self, other) {
            (Self::Ago(a), Self::Ago(b)) => a > b,
            (Self::Date(a), Self::Date(b)) => a < b,
            (Self::Ago(_), Self::Date(_)) | (Self::Date(_), Self::Ago(_)) => false,
        }
    }

    /// Grows with time among those of one form.
    const fn time(self) -> u64 {
        match self {
            Self::Ago(number) => u64::MAX - number,
            Self::Date(number) => number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(of: &str, all: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for name in all {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let inode = fs::metadata(dir.path().join(of)).unwrap().ino();
        let found = find(&dir.path().join("log"), inode, |_| Ok(true)).unwrap().unwrap();
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        found.later.iter().map(name).collect()
    }

    #[test]
    fn numbers_count_down() {
        let all = ["log", "log.1", "log.2", "log.3", "log.10", "log.bak", "log.1.gz", "login.1"];
        assert_eq!(later("log.3", &all), ["log.2", "log.1"]);
        assert_eq!(later("log.10", &all), ["log.3", "log.2", "log.1"]);
        assert_eq!(later("log.1", &all), [""; 0]);
        assert_eq!(later("log.bak", &all), [""; 0]);
    }

    #[test]
    fn what_is_no_file_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("log.4"), "").unwrap();
        fs::create_dir(path("log.3")).unwrap();
        std::os::unix::fs::symlink("nowhere", path("log.2")).unwrap();
        fs::write(path("log.1"), "").unwrap();
        let inode = fs::metadata(path("log.4")).unwrap().ino();
        let found = find(&path("log"), inode, |_| Ok(true)).unwrap().unwrap();
        assert_eq!(found.later.len(), 3);
        assert_eq!(found.open().unwrap().1.len(), 1);
    }

    #[test]
    fn dates_count_up() {
        let all = ["log", "log-20260101", "log-20260102", "log-20260103", "log-20260103.gz"];
        assert_eq!(later("log-20260101", &all), ["log-20260102", "log-20260103"]);
    }

    #[test]
    fn what_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log.1"), "").unwrap();
        let log = dir.path().join("log");
        assert!(find(&log, 0, |_| Ok(true)).unwrap().is_none(), "no such inode");
        let inode = fs::metadata(dir.path().join("log.1")).unwrap().ino();
        assert!(find(&log, inode, |_| Ok(false)).unwrap().is_none(), "other content");
        assert!(find(&dir.path().join("gone/log"), 0, |_| Ok(true)).is_err());
    }
}
