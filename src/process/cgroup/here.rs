//! Which groups a process is in, most often this one, and where their files are.
//!
//! `/proc/self/cgroup` names a group of each tree, `/proc/self/mountinfo` says
//! where the trees are mounted. Both speak of what this process may see: in a
//! container its own group may be called `/`, and a mount may begin further
//! down than the tree does.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Fields of a line of mountinfo, see proc(5). What follows the separator is
/// counted from it.
const FIELD_ROOT: usize = 3;
const FIELD_MOUNT_POINT: usize = 4;
const SEPARATOR: &str = "-";
const FIELD_TYPE: usize = 1;
const FIELD_SUPER_OPTIONS: usize = 3;

/// The file system types of both versions.
const TYPE_ONE: &str = "cgroup";
const TYPE_TWO: &str = "cgroup2";

/// The controller of memory, as version 1 names its tree.
const MEMORY: &str = "memory";

/// A group of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Where its files are.
    pub dir: PathBuf,
    /// Where its tree is mounted: nothing above can be seen.
    pub top: PathBuf,
    /// It is called `/`: the topmost that this process may know of.
    pub is_root: bool,
}

/// The groups that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Here {
    /// That of version 2, if such a tree is mounted.
    pub unified: Option<Found>,
    /// That of version 1 which counts memory.
    pub memory: Option<Found>,
}

impl Here {
    /// Reads them; empty where there is no /proc.
    pub fn read() -> Self {
        Self::of("self")
    }

    /// Those of another process, by its number.
    pub fn of(process: &str) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read(&format!("/proc/{process}/cgroup")), &read("/proc/self/mountinfo"))
    }

    fn parse(cgroup: &str, mountinfo: &str) -> Self {
        let mut here = Self::default();
        for line in cgroup.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            if controllers.is_empty() {
                here.unified = find(mountinfo, path, |kind, _| kind == TYPE_TWO);
            } else if controllers.split(',').any(|it| it == MEMORY) {
                here.memory = find(mountinfo, path, |kind, options| {
                    kind == TYPE_ONE && options.split(',').any(|it| it == MEMORY)
                });
            }
        }
        here
    }
}

/// The group of that name, in the first mount of the wanted kind that has it.
fn find(mountinfo: &str, path: &str, wanted: impl Fn(&str, &str) -> bool) -> Option<Found> {
    mountinfo.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let separator = fields.iter().position(|field| *field == SEPARATOR)?;
        let kind = fields.get(separator + FIELD_TYPE)?;
        let options = fields.get(separator + FIELD_SUPER_OPTIONS)?;
        if !wanted(kind, options) {
            return None;
        }
        let root = unescaped(fields.get(FIELD_ROOT)?);
        let top = unescaped(fields.get(FIELD_MOUNT_POINT)?);
        let below = Path::new(path).strip_prefix(&root).ok()?;
        // Joining nothing would put a slash at the end.
        let dir = if below.as_os_str().is_empty() { top.clone() } else { top.join(below) };
        Some(Found { dir, top, is_root: path == "/" })
    })
}

/// Blanks, tabs, newlines and backslashes stand in mountinfo as three octal
/// digits.
fn unescaped(field: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|_| *first == b'\\');
        let byte = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(dir: &str, top: &str) -> Found {
        Found { dir: dir.into(), top: top.into(), is_root: false }
    }

    #[test]
    fn both_versions_at_once() {
        let cgroup = "4:memory:/unit\n1:cpu:/other\n0::/system.slice/adrt.service\n";
        let mounts = "\
            35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        let here = Here::parse(cgroup, mounts);
        let unified = "/sys/fs/cgroup/unified/system.slice/adrt.service";
        assert_eq!(here.unified, Some(found(unified, "/sys/fs/cgroup/unified")));
        let memory = found("/sys/fs/cgroup/memory/unit", "/sys/fs/cgroup/memory");
        assert_eq!(here.memory, Some(memory));
    }

    #[test]
    fn a_mount_may_begin_further_down() {
        let mounts = "41 31 0:38 /box /sys/fs/cgroup rw - cgroup2 none rw\n";
        let at = |path: &str| Here::parse(&format!("0::{path}\n"), mounts).unified;
        assert_eq!(at("/box/a"), Some(found("/sys/fs/cgroup/a", "/sys/fs/cgroup")));
        assert_eq!(at("/box"), Some(found("/sys/fs/cgroup", "/sys/fs/cgroup")));
        assert_eq!(at("/boxes"), None, "another group, whose name only begins alike");
        assert_eq!(at("/../outside"), None, "it can't be seen from here");
    }

    #[test]
    fn the_top_of_what_is_seen_is_known_as_such() {
        let mounts = "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 none rw\n";
        let here = Here::parse("0::/\n", mounts);
        assert_eq!(
            here.unified.map(|it| (it.is_root, it.dir)),
            Some((true, "/sys/fs/cgroup".into()))
        );
    }

    #[test]
    fn odd_places_are_found() {
        let mounts = "41 31 0:38 / /mnt/a\\040b\\134c rw - cgroup2 none rw\n";
        let here = Here::parse("0::/x:y\n", mounts);
        assert_eq!(here.unified.unwrap().dir, Path::new("/mnt/a b\\c/x:y"));
    }

    #[test]
    fn nonsense_is_nothing() {
        for (cgroup, mounts) in [("", ""), ("0::/a\n", "1 2 3\n"), ("x\n", "- - - -\n")] {
            assert_eq!(Here::parse(cgroup, mounts), Here::default());
        }
    }

    #[test]
    fn we_are_where_it_says() {
        let me = std::process::id().to_string();
        let here = Here::read();
        for found in [here.unified, here.memory].into_iter().flatten() {
            let members = fs::read_to_string(found.dir.join("cgroup.procs")).unwrap();
            assert!(members.lines().any(|line| line == me), "{}", found.dir.display());
        }
    }
}
