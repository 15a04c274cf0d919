//! What an agent's processes take of the machine: its own, and those below it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::runtime::InUse;

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

/// A process, as its line in `/proc/PID/stat` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: i64,
    /// It was stopped, by a signal or a terminal.
    stopped: bool,
    ticks: u64,
    pages: u64,
}

/// Of the agent's process and all that descend from it. None where it is gone,
/// or in another namespace.
pub fn usage(agent: &str, pid: i64) -> Option<Usage> {
    let table = table(Path::new("/proc"));
    let units = Units::of_system()?;
    let group = i32::try_from(pid).ok().and_then(|pid| InUse::of_agent(agent, pid));
    Some(Usage {
        group_memory_bytes: group.map(|group| group.bytes),
        group_memory_max_bytes: group.and_then(|group| group.limit),
        ..of_tree(&table, pid, units)?
    })
}

/// Whether the process was stopped, as by SIGSTOP or Ctrl-Z: it does nothing
/// until it is let go on. What can't be seen is not.
pub fn is_stopped(pid: i64) -> bool {
    one(&Path::new("/proc").join(pid.to_string())).is_some_and(|process| process.stopped)
}

#[derive(Debug, Clone, Copy)]
struct Units {
    page_bytes: u64,
    ticks_a_second: u64,
}

impl Units {
    fn of_system() -> Option<Self> {
        use nix::unistd::{SysconfVar, sysconf};
        let number = |var| u64::try_from(sysconf(var).ok()??).ok().filter(|n| *n > 0);
        let (page_bytes, ticks_a_second) =
            (number(SysconfVar::PAGE_SIZE)?, number(SysconfVar::CLK_TCK)?);
        Some(Self { page_bytes, ticks_a_second })
    }
}

/// Every process there is. One that ends meanwhile is left out.
fn table(proc: &Path) -> BTreeMap<i64, Process> {
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, one(&entry.path())?))
        })
        .collect()
}

fn one(dir: &Path) -> Option<Process> {
    let stat = std::fs::read(dir.join("stat")).ok()?;
    parse(&String::from_utf8_lossy(&stat))
}

/// `pid (name) state ppid …`: the name may hold blanks and parentheses.
fn parse(stat: &str) -> Option<Process> {
    /// Where numbers are, counted from the state, by proc_pid_stat(5).
    const STATE: usize = 0;
    const PARENT: usize = 1;
    const USER_TICKS: usize = 11;
    const SYSTEM_TICKS: usize = 12;
    const PAGES: usize = 21;
    let (_, rest) = stat.rsplit_once(')')?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| words.get(at)?.parse::<u64>().ok();
    Some(Process {
        parent: words.get(PARENT)?.parse().ok()?,
        stopped: *words.get(STATE)? == "T",
        ticks: number(USER_TICKS)?.saturating_add(number(SYSTEM_TICKS)?),
        pages: number(PAGES)?,
    })
}

fn of_tree(table: &BTreeMap<i64, Process>, root: i64, units: Units) -> Option<Usage> {
    table.get(&root)?;
    let mut below: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (pid, process) in table {
        below.entry(process.parent).or_default().push(*pid);
    }
    let mut usage = Usage::default();
    let mut left = vec![root];
    while let Some(pid) = left.pop() {
        let Some(process) = table.get(&pid) else { continue };
        usage.processes += 1;
        usage.memory_bytes += process.pages * units.page_bytes;
        usage.cpu_ms += process.ticks * 1000 / units.ticks_a_second;
        // Each is below one other: no process is come upon twice.
        left.extend(below.remove(&pid).unwrap_or_default());
    }
    Some(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pid: i64, name: &str, parent: i64, pages: u64) -> (i64, Process) {
        let stat = format!(
            "{pid} ({name}) S {parent} 1 1 0 -1 4194304 1 2 3 4 70 30 0 0 20 0 1 0 99 4096 {pages} 1"
        );
        (pid, parse(&stat).expect("a line"))
    }

    #[test]
    fn a_tree_is_counted_whole_and_nothing_beside_it() {
        let table = BTreeMap::from([
            line(1, "init", 0, 500),
            line(10, "agent) S 1 (", 1, 100),
            line(11, "helper", 10, 20),
            line(12, "helper's", 11, 3),
            line(13, "other", 1, 900),
        ]);
        let units = Units { page_bytes: 4096, ticks_a_second: 100 };
        let usage = of_tree(&table, 10, units).expect("it is there");
        let expected =
            Usage { processes: 3, memory_bytes: 123 * 4096, cpu_ms: 3000, ..Usage::default() };
        assert_eq!(usage, expected);
        assert_eq!(of_tree(&table, 99, units), None);
        assert_eq!(parse("1 (cut"), None);
        let stopped = parse("7 (a) T 1 1 1 0 -1 4194304 1 2 3 4 70 30 0 0 20 0 1 0 99 4096 5 1");
        assert!(stopped.is_some_and(|process| process.stopped));
    }

    #[test]
    fn this_process_takes_something() {
        let usage = usage("a", std::process::id().into()).expect("it is there");
        assert!(usage.processes >= 1 && usage.memory_bytes > 0, "{usage:?}");
    }
}
