//! Where a file went when it was rotated, and what came after it.
//!
//! A file that was renamed is found by its inode, under whatever name, in the
//! directory it was in. What was written after it is told by names, as
//! logrotate and its like give them:
//!
//! | name | order |
//! |---|---|
//! | `FILE.1`, `FILE.2` … | the higher the older |
//! | `FILE-20250314`, `FILE.2025-03-14T05` … | by the text, of the same length |
//! | any other | not known to belong to it |
//!
//! One that was compressed since can't be read any more, and is told of.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Endings of compressed files.
const COMPRESSED: [&str; 6] = [".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z"];
/// Numbers of more digits are dates.
const COUNT_DIGITS_MAX: usize = 4;
/// Dates begin with so many digits, or with four and a `-`.
const DATE_DIGITS: usize = 8;

/// The name under which the file of that inode is in the directory of `path`,
/// if it is there under another one than `path`.
pub(super) fn find(path: &Path, inode: u64) -> io::Result<Option<PathBuf>> {
    let Some((dir, base)) = place(path) else { return Ok(None) };
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        // A stacked file system may list other numbers than it tells of a file.
        let like = || name.as_bytes().starts_with(base.as_bytes());
        let is_it = entry.ino() == inode
            || like() && entry.metadata().is_ok_and(|meta| meta.ino() == inode);
        if is_it && name != base {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// A file that was written after another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Later {
    pub path: PathBuf,
    /// It can't be read any more.
    pub compressed: bool,
}

/// What was written to `path` after the file that is now at `old` and before
/// the one that is at `path`, oldest first.
pub(super) fn between(path: &Path, old: &Path) -> io::Result<Vec<Later>> {
    let (Some((dir, base)), Some(old)) = (place(path), old.file_name()) else {
        return Ok(Vec::new());
    };
    let Some(old) = Name::of(base, old) else { return Ok(Vec::new()) };
    let mut later = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let file_name = entry?.file_name();
        if let Some(name) = Name::of(base, &file_name).filter(|name| name.is_after(&old)) {
            later.push((name, dir.join(&file_name)));
        }
    }
    later.sort_by(|(a, _), (b, _)| a.order(b));
    // Both are there while one is being compressed; the plain one comes first.
    later.dedup_by(|(a, _), (b, _)| a.rank == b.rank);
    let of = |(name, path): (Name, PathBuf)| Later { path, compressed: name.compressed };
    Ok(later.into_iter().map(of).collect())
}

/// Its directory and its name there.
fn place(path: &Path) -> Option<(&Path, &OsStr)> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    Some((dir.unwrap_or(Path::new(".")), path.file_name()?))
}

/// What a rotated file's name says.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    separator: u8,
    rank: Rank,
    compressed: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Rank {
    Count(u32),
    Date(String),
}

impl Name {
    fn of(base: &OsStr, name: &OsStr) -> Option<Self> {
        let suffix = name.as_bytes().strip_prefix(base.as_bytes())?;
        let (separator, suffix) = suffix.split_first()?;
        if !matches!(separator, b'.' | b'-') {
            return None;
        }
        let suffix = std::str::from_utf8(suffix).ok()?;
        let plain = COMPRESSED.iter().find_map(|ending| suffix.strip_suffix(ending));
        let rank = Rank::of(plain.unwrap_or(suffix))?;
        Some(Self { separator: *separator, rank, compressed: plain.is_some() })
    }

    /// Whether it is younger, by the same way of naming.
    fn is_after(&self, old: &Self) -> bool {
        self.separator == old.separator
            && match (&self.rank, &old.rank) {
                (Rank::Count(this), Rank::Count(old)) => this < old,
                (Rank::Date(this), Rank::Date(old)) => this.len() == old.len() && this > old,
                (Rank::Count(_), Rank::Date(_)) | (Rank::Date(_), Rank::Count(_)) => false,
            }
    }

    /// Oldest first, and the plain one before the compressed.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let age = match (&self.rank, &other.rank) {
            (Rank::Count(this), Rank::Count(other)) => other.cmp(this),
            (Rank::Date(this), Rank::Date(other)) => this.cmp(other),
            (Rank::Count(_), Rank::Date(_)) | (Rank::Date(_), Rank::Count(_)) => {
                std::cmp::Ordering::Equal
            }
        };
        age.then(self.compressed.cmp(&other.compressed))
    }
}

impl Rank {
    fn of(suffix: &str) -> Option<Self> {
        let digits = suffix.bytes().take_while(u8::is_ascii_digit).count();
        if digits == suffix.len() && (1..=COUNT_DIGITS_MAX).contains(&digits) {
            return suffix.parse().ok().map(Self::Count);
        }
        let date = digits >= DATE_DIGITS || digits == 4 && suffix.as_bytes().get(4) == Some(&b'-');
        let plain =
            |c: u8| c.is_ascii_digit() || matches!(c, b'-' | b'_' | b'T' | b'Z' | b':' | b'.');
        (date && suffix.bytes().all(plain)).then(|| Self::Date(suffix.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between_in(names: &[&str], old: &str) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a directory");
        for name in names {
            std::fs::write(dir.path().join(name), "").expect("written");
        }
        let found = between(&dir.path().join("feed"), &dir.path().join(old)).expect("looked");
        let name = |later: &Later| {
            let name = later.path.file_name().expect("a name").to_string_lossy().into_owned();
            if later.compressed { format!("({name})") } else { name }
        };
        found.iter().map(name).collect()
    }

    #[test]
    fn counted_names() {
        let names =
            ["feed", "feed.1", "feed.2", "feed.2.gz", "feed.3.gz", "feed.10", "feed.bak", "feed-1"];
        assert_eq!(between_in(&names, "feed.10"), ["(feed.3.gz)", "feed.2", "feed.1"]);
        assert_eq!(between_in(&names, "feed.2"), ["feed.1"]);
        assert!(between_in(&names, "feed.1").is_empty());
        assert!(between_in(&names, "feed.bak").is_empty());
        assert!(between_in(&names, "elsewhere").is_empty());
    }

    #[test]
    fn dated_names() {
        let names = [
            "feed-20250313",
            "feed-20250314",
            "feed-20250315.zst",
            "feed-20250316",
            "feed-2025031612",
            "feed-notes",
            "feed.20250320",
        ];
        assert_eq!(
            between_in(&names, "feed-20250313"),
            ["feed-20250314", "(feed-20250315.zst)", "feed-20250316"]
        );
        assert_eq!(
            between_in(
                &["feed.2025-03-14T05:00", "feed.2025-03-14T06:00"],
                "feed.2025-03-14T05:00"
            ),
            ["feed.2025-03-14T06:00"]
        );
    }

    #[test]
    fn a_renamed_file_is_found_by_its_inode() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("feed");
        std::fs::write(&path, "x").expect("written");
        let inode = std::fs::metadata(&path).expect("there").ino();
        assert_eq!(find(&path, inode).expect("looked"), None, "it is where it was");
        let moved = dir.path().join("any name");
        std::fs::rename(&path, &moved).expect("renamed");
        assert_eq!(find(&path, inode).expect("looked"), Some(moved));
        assert_eq!(find(&path, u64::MAX).expect("looked"), None);
    }
}
