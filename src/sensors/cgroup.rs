//! Where the limits are that adrt and its agent run under.
//!
//! A limit may stand at the group itself or at any above it that can be seen:
//! a service in a slice, a container with groups of its own inside. Each
//! counts. What a container sees as the root of its groups is one with limits,
//! too.
//!
//! Groups of version 1 have a tree for each controller, and a machine may have
//! some of both versions.

use std::path::{Component, Path, PathBuf};

/// Groups above each other that are looked at: deeper is nobody's.
const DEPTH_MAX: usize = 16;

/// Which kind of files a group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `memory.limit_in_bytes`, `cpu.cfs_quota_us`.
    One,
    /// `memory.max`, `cpu.max`.
    Two,
}

/// A group that may have a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Which kind of files it has.
    pub version: Version,
    /// Where the limit is.
    pub dir: PathBuf,
    /// Where the use of the processor is counted; elsewhere in version 1.
    pub usage: PathBuf,
}

/// The groups of this process, the innermost first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups {
    /// Those that may limit memory.
    pub memory: Vec<Group>,
    /// Those that may limit the processor.
    pub cpu: Vec<Group>,
    /// Its own of version 2, which has its stalls.
    pub own: Option<PathBuf>,
}

/// From the text of `/proc/self/cgroup`, for a system whose files are under
/// `root`. `unified` is where its tree of version 2 is.
pub fn groups(cgroup: &str, root: &Path, unified: &str) -> Groups {
    let tree = root.join("sys/fs/cgroup");
    let mut groups = Groups::default();
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if controllers.is_empty() {
            let two = |dir: PathBuf| Group { version: Version::Two, usage: dir.clone(), dir };
            let dirs = upwards(&root.join(unified), path);
            groups.own = dirs.first().cloned();
            groups.memory.extend(dirs.iter().cloned().map(two));
            groups.cpu.extend(dirs.into_iter().map(two));
            continue;
        }
        for controller in controllers.split(',') {
            let dirs = upwards(&tree.join(controller), path);
            let one = |dir: PathBuf, usage: PathBuf| Group { version: Version::One, dir, usage };
            match controller {
                "memory" => groups.memory.extend(dirs.into_iter().map(|dir| one(dir.clone(), dir))),
                "cpu" => {
                    let usages = upwards(&tree.join("cpuacct"), path);
                    let both = dirs.into_iter().zip(usages);
                    groups.cpu.extend(both.map(|(dir, usage)| one(dir, usage)));
                }
                _ => {}
            }
        }
    }
    groups
}

/// The group of that path and all above it. In a container the path may be
/// the host's, of which nothing is here but the root: then the others are
/// missing, as files.
fn upwards(tree: &Path, path: &str) -> Vec<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    if path.components().any(|part| !matches!(part, Component::Normal(_))) {
        // Outside of what this container may see.
        return vec![tree.to_owned()];
    }
    let above = path.ancestors().take(DEPTH_MAX);
    let mut dirs: Vec<PathBuf> =
        above.filter(|path| !path.as_os_str().is_empty()).map(|path| tree.join(path)).collect();
    dirs.push(tree.to_owned());
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(groups: &[Group]) -> Vec<&str> {
        groups.iter().map(|group| group.dir.to_str().expect("text")).collect()
    }

    fn of(text: &str) -> Groups {
        groups(text, Path::new("/"), "sys/fs/cgroup")
    }

    #[test]
    fn a_service_under_version_2() {
        let found = of("0::/system.slice/adrt.service\n");
        let expected = [
            "/sys/fs/cgroup/system.slice/adrt.service",
            "/sys/fs/cgroup/system.slice",
            "/sys/fs/cgroup",
        ];
        assert_eq!(dirs(&found.memory), expected);
        assert_eq!(dirs(&found.cpu), expected);
        assert_eq!(found.own.as_deref(), Some(Path::new(expected[0])));
    }

    #[test]
    fn a_container_sees_its_own_as_the_root() {
        assert_eq!(dirs(&of("0::/\n").memory), ["/sys/fs/cgroup"]);
        assert_eq!(dirs(&of("0::/../../x\n").memory), ["/sys/fs/cgroup"]);
        assert_eq!(dirs(&of("0::/a/../../x\n").memory), ["/sys/fs/cgroup"]);
    }

    #[test]
    fn version_1_and_both() {
        let found = of("12:pids:/x\n4:memory:/docker/77\n3:cpu,cpuacct:/docker/77\n\
             1:name=systemd:/docker/77\n0::/\n");
        let memory = [
            "/sys/fs/cgroup/memory/docker/77",
            "/sys/fs/cgroup/memory/docker",
            "/sys/fs/cgroup/memory",
            "/sys/fs/cgroup",
        ];
        assert_eq!(dirs(&found.memory), memory);
        assert_eq!(found.memory[0].version, Version::One);
        assert_eq!(found.memory[3].version, Version::Two);
        let first = &found.cpu[0];
        assert_eq!(first.dir, Path::new("/sys/fs/cgroup/cpu/docker/77"));
        assert_eq!(first.usage, Path::new("/sys/fs/cgroup/cpuacct/docker/77"));
    }

    #[test]
    fn no_depth_and_no_nonsense_is_too_much() {
        let deep = format!("0::{}\n", "/a".repeat(1000));
        assert_eq!(of(&deep).memory.len(), DEPTH_MAX + 1);
        assert_eq!(of("nonsense\n0:\n:\n\n"), Groups::default());
        // A path may hold a colon.
        assert_eq!(dirs(&of("0::/a:b\n").memory), ["/sys/fs/cgroup/a:b", "/sys/fs/cgroup"]);
    }
}
