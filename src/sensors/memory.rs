//! How much of the memory that may be used is used.
//!
//! What the kernel can give back at once, above all files it keeps at hand, is
//! not used: not in the machine's count (`MemAvailable`) and not in that of a
//! group, where it is taken off here.

use std::path::{Path, PathBuf};

use super::cgroup::{Group, Version};
use super::text::{Reader, named, number};

/// Memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What can't be given back.
    pub used: u64,
    /// What may be used.
    pub total: u64,
}

impl Memory {
    /// The share that is used.
    pub fn share(self) -> f64 {
        // None of nothing can be used: all of it is.
        if self.total == 0 { 1.0 } else { (self.used as f64 / self.total as f64).min(1.0) }
    }
}

/// Of the machine, from the text of `/proc/meminfo`.
pub fn of_machine(meminfo: &str) -> Option<Memory> {
    let kib = |name| named(meminfo, name).map(|kib| kib.saturating_mul(1024));
    let total = kib("MemTotal").filter(|total| *total > 0)?;
    let available = kib("MemAvailable").or_else(|| {
        // Kernels before 3.14: not quite the same.
        Some(kib("MemFree")?.saturating_add(kib("Buffers")?).saturating_add(kib("Cached")?))
    })?;
    Some(Memory { used: total.saturating_sub(available), total })
}

/// The limit in the text of `memory.max` or `memory.limit_in_bytes`; none if
/// there is none, which version 1 writes as a number beyond any machine.
pub fn limit(text: &str) -> Option<u64> {
    number(text)
}

/// What can be given back of a group, from the text of its `memory.stat`.
pub fn reclaimable(stat: &str, version: Version) -> u64 {
    let names: &[&str] = match version {
        Version::One => &["total_inactive_file", "total_active_file"],
        Version::Two => &["inactive_file", "active_file", "slab_reclaimable"],
    };
    let counts = names.iter().filter_map(|name| named(stat, name));
    counts.fold(0, u64::saturating_add)
}

/// Files of a group.
#[derive(Debug)]
struct Limited {
    version: Version,
    limit: PathBuf,
    current: PathBuf,
    stat: PathBuf,
}

impl Limited {
    fn new(group: &Group) -> Self {
        let (limit, current) = match group.version {
            Version::One => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            Version::Two => ("memory.max", "memory.current"),
        };
        Self {
            version: group.version,
            limit: group.dir.join(limit),
            current: group.dir.join(current),
            stat: group.dir.join("memory.stat"),
        }
    }

    /// Its share, if it has a limit below what the machine has.
    fn look(&self, reader: &mut Reader, machine: Option<Memory>) -> Option<f64> {
        let most = machine.map_or(u64::MAX, |machine| machine.total);
        let total = limit(reader.text(&self.limit)?).filter(|limit| *limit < most)?;
        let current = number(reader.text(&self.current)?)?;
        let stat = reader.text(&self.stat).unwrap_or_default();
        let used = current.saturating_sub(reclaimable(stat, self.version));
        Some(Memory { used, total }.share())
    }
}

/// Memory, and its limits.
#[derive(Debug, Default)]
pub struct Meter {
    meminfo: PathBuf,
    groups: Vec<Limited>,
}

impl Meter {
    /// For a system whose files are there.
    pub fn new(root: &Path) -> Self {
        Self { meminfo: root.join("proc/meminfo"), groups: Vec::new() }
    }

    /// From now on, these groups limit it.
    pub fn find(&mut self, groups: &[Group]) {
        self.groups = groups.iter().map(Limited::new).collect();
    }

    /// Looks: the share, and whether there is a limit.
    pub fn look(&self, reader: &mut Reader) -> (Option<f64>, bool) {
        let machine = reader.text(&self.meminfo).and_then(of_machine);
        let limited = self.groups.iter().filter_map(|group| group.look(reader, machine));
        match limited.reduce(f64::max) {
            Some(share) => (Some(share), true),
            None => (machine.map(Memory::share), false),
        }
    }
}
