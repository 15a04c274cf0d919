//! What an agent's processes take of the machine: its own, and those below it.

use serde::{Deserialize, Serialize};

use crate::process::cgroup::InUse;
use crate::process::sweep;
use crate::process::table::{self, Entry, Load};

/// What they take together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Usage {
    /// How many there are.
    pub processes: u64,
    /// Memory that is theirs now; what they share counts for each.
    pub memory_bytes: u64,
    /// Time on processors since each was started.
    pub cpu_ms: u64,
    /// Memory of the agent's own control group, where there is one that memory
    /// is counted for: what they share counts once, what the kernel holds for
    /// them counts, too.
    pub group_memory_bytes: Option<u64>,
    /// What that may be, by `--memory-max`.
    pub group_memory_max_bytes: Option<u64>,
}

/// Of the agent's process and all that descend from it. None where it is gone,
/// or in another namespace.
pub fn usage(agent: &str, pid: i64) -> Option<Usage> {
    let pid = i32::try_from(pid).ok()?;
    let processes = table::all().unwrap_or_default();
    let group = InUse::of_agent(agent, pid);
    Some(Usage {
        group_memory_bytes: group.map(|group| group.bytes),
        group_memory_max_bytes: group.and_then(|group| group.limit),
        ..of_tree(&processes, table::load, pid, Units::of_system()?)?
    })
}

/// Whether the process was stopped, as by SIGSTOP or Ctrl-Z: it does nothing
/// until it is let go on. What can't be seen is not.
pub fn is_stopped(pid: i64) -> bool {
    i32::try_from(pid).ok().and_then(table::load).is_some_and(|load| load.stopped)
}

/// What the kernel counts in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Units {
    page_bytes: u64,
    ticks_a_second: u64,
}

impl Units {
    pub fn of_system() -> Option<Self> {
        use nix::unistd::{SysconfVar, sysconf};
        let number = |var| u64::try_from(sysconf(var).ok()??).ok().filter(|n| *n > 0);
        let (page_bytes, ticks_a_second) =
            (number(SysconfVar::PAGE_SIZE)?, number(SysconfVar::CLK_TCK)?);
        Some(Self { page_bytes, ticks_a_second })
    }

    pub fn bytes(self, load: Load) -> u64 {
        load.pages.saturating_mul(self.page_bytes)
    }

    pub fn seconds(self, load: Load) -> f64 {
        load.ticks as f64 / self.ticks_a_second as f64
    }
}

/// What that process and all below it take together. One that ends meanwhile
/// is left out.
fn of_tree(
    processes: &[Entry],
    load: impl Fn(i32) -> Option<Load>,
    root: i32,
    units: Units,
) -> Option<Usage> {
    let first = load(root)?;
    let below = sweep::descendants(processes, root, &[]);
    let rest = below.iter().filter_map(|process| load(process.pid));
    let mut usage = Usage::default();
    for load in std::iter::once(first).chain(rest) {
        usage.processes += 1;
        usage.memory_bytes += units.bytes(load);
        usage.cpu_ms += load.ticks * 1000 / units.ticks_a_second;
    }
    Some(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pid: i32, name: &str, parent: i32, pages: u64) -> (Entry, Load) {
        let stat = format!(
            "{pid} ({name}) S {parent} 1 1 0 -1 4194304 1 2 3 4 70 30 0 0 20 0 1 0 99 4096 {pages} 1"
        );
        let (entry, load) =
            (table::parse(pid, stat.as_bytes()), table::parse_load(stat.as_bytes()));
        (entry.expect("a line"), load.expect("a line"))
    }

    #[test]
    fn a_tree_is_counted_whole_and_nothing_beside_it() {
        let lines = [
            line(1, "init", 0, 500),
            line(10, "agent) S 1 (", 1, 100),
            line(11, "helper", 10, 20),
            line(12, "helper's", 11, 3),
            line(13, "other", 1, 900),
        ];
        let entries = lines.map(|(entry, _)| entry);
        let load = |pid| lines.iter().find(|(entry, _)| entry.pid == pid).map(|(_, load)| *load);
        let units = Units { page_bytes: 4096, ticks_a_second: 100 };
        let usage = of_tree(&entries, load, 10, units).expect("it is there");
        let expected =
            Usage { processes: 3, memory_bytes: 123 * 4096, cpu_ms: 3000, ..Usage::default() };
        assert_eq!(usage, expected);
        assert_eq!(of_tree(&entries, load, 99, units), None);
        assert_eq!(table::parse_load(b"1 (cut"), None);
        let stopped = b"7 (a) T 1 1 1 0 -1 4194304 1 2 3 4 70 30 0 0 20 0 1 0 99 4096 5 1";
        assert!(table::parse_load(stopped).is_some_and(|load| load.stopped));
    }

    #[test]
    fn units_are_those_of_the_system() {
        let stat = b"77 (a) b (c) S 1 77 77 0 -1 4194560 5 0 0 0 150 50 0 0 20 0 1 0 9 1000 25 \
                     18446744073709551615";
        let (load, units) =
            (table::parse_load(stat), Units { page_bytes: 4096, ticks_a_second: 100 });
        let load = load.expect("a line");
        assert_eq!((units.seconds(load), units.bytes(load)), (2.0, 25 * 4096));
        assert_eq!(table::parse_load(b"77 (x) S 1"), None);
    }

    #[test]
    fn this_process_takes_something() {
        let usage = usage("a", std::process::id().into()).expect("it is there");
        assert!(usage.processes >= 1 && usage.memory_bytes > 0, "{usage:?}");
    }
}
