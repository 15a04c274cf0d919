//! Groups that are plain directories: what is read from them and written to
//! them. What only the kernel can tell is in `tests/process/cgroup.rs`.

use tempfile::TempDir;

use super::here::Found;
use super::*;

/// A tree with a unit's group in it, and the agent's below that.
struct Tree {
    top: TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree = Self { top: tempfile::tempdir().unwrap() };
        fs::create_dir_all(tree.agent()).unwrap();
        tree.put("unit/cgroup.type", "domain\n");
        tree.put("unit/cgroup.procs", &format!("{}\n", std::process::id()));
        tree.put("unit/agent.a.x/cgroup.procs", "");
        tree
    }

    fn unit(&self) -> PathBuf {
        self.top.path().join("unit")
    }

    fn agent(&self) -> PathBuf {
        self.unit().join("agent.a.x")
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.top.path().join(name), text).unwrap();
    }

    fn found(&self) -> Found {
        Found { dir: self.unit(), top: self.top.path().to_owned(), is_root: false }
    }

    /// As if this were version 2.
    fn two(&self) -> Here {
        Here { unified: Some(self.found()), memory: None }
    }

    /// As if this were the tree for memory of version 1.
    fn one(&self) -> Here {
        Here { unified: None, memory: Some(self.found()) }
    }

    fn killed(&self, group: &str, count: u64) {
        self.put(&format!("{group}/memory.events"), &format!("oom 9\noom_kill {count}\nx 1\n"));
    }
}

fn oom(count: u64, limit: Option<u64>) -> Option<crate::supervisor::io::Oom> {
    Some(crate::supervisor::io::Oom { count, limit })
}

#[test]
fn a_rise_is_told_of_the_agent_at_once_and_of_others_later() {
    let tree = Tree::new();
    tree.killed("unit/agent.a.x", 7);
    let mut watch = Watch::new(&tree.two(), Some(&tree.agent()));
    assert!(watch.is_useful());
    watch.begin();
    assert_eq!((watch.look(), watch.end()), (None, None), "what was before is not told");
    tree.killed("unit/agent.a.x", 8);
    assert_eq!(watch.end(), oom(1, None));
    assert_eq!(watch.end(), None, "and once only");

    watch.begin();
    tree.killed("unit/agent.a.x", 10);
    assert_eq!(watch.look(), None, "it may be the agent that is dying");
    assert_eq!(watch.look(), oom(2, None), "it is not");
    assert_eq!((watch.look(), watch.end()), (None, None));

    watch.begin();
    tree.killed("unit/agent.a.x", 11);
    assert_eq!(watch.look(), None);
    assert_eq!(watch.end(), oom(1, None), "it was");
}

#[test]
fn the_lowest_limit_is_the_one_that_counts() {
    let tree = Tree::new();
    tree.killed("unit/agent.a.x", 0);
    tree.put("unit/agent.a.x/memory.max", "max\n");
    tree.put("unit/memory.max", "33554432\n");
    tree.put("memory.max", "99999999999\n");
    let mut watch = Watch::new(&tree.two(), Some(&tree.agent()));
    watch.begin();
    tree.killed("unit/agent.a.x", 1);
    assert_eq!(watch.end(), oom(1, Some(32 << 20)));
}

#[test]
fn a_counter_shared_with_strangers_says_nothing() {
    let tree = Tree::new();
    tree.killed("unit", 0);
    let us = std::process::id();
    let above = nix::unistd::getppid();
    // The kernel's own first thread is neither above nor below anybody.
    for (members, told) in [
        (format!("{us}\n"), oom(1, None)),
        (format!("{us}\n{above}\n"), oom(1, None)),
        (format!("{us}\n2\n"), None),
        (format!("{us}\n0\n"), None),
    ] {
        for below in [false, true] {
            let (unit, agent) = if below { ("", &*members) } else { (&*members, "") };
            tree.put("unit/cgroup.procs", unit);
            tree.put("unit/agent.a.x/cgroup.procs", agent);
            tree.killed("unit", 0);
            let mut watch = Watch::new(&tree.two(), Some(&tree.agent()));
            watch.begin();
            tree.killed("unit", 1);
            assert_eq!(watch.end(), told, "{members:?}, below: {below}");
        }
    }
}

#[test]
fn a_stranger_who_comes_later_makes_it_silent_too() {
    let tree = Tree::new();
    tree.killed("unit", 0);
    let mut watch = Watch::new(&tree.two(), None);
    watch.begin();
    tree.killed("unit", 1);
    tree.put("unit/cgroup.procs", "2\n");
    assert_eq!(watch.end(), None);
}

#[test]
fn version_one_counts_too() {
    let tree = Tree::new();
    let put = |count: u64| {
        let text = format!("oom_kill_disable 0\nunder_oom 0\noom_kill {count}\n");
        tree.put("unit/memory.oom_control", &text);
    };
    put(3);
    tree.put("unit/memory.limit_in_bytes", "33554432\n");
    tree.put("memory.limit_in_bytes", "9223372036854771712\n");
    let mut watch = Watch::new(&tree.one(), None);
    watch.begin();
    put(4);
    assert_eq!(watch.end(), oom(1, Some(32 << 20)));
    assert!(!Watch::new(&Tree::new().one(), None).is_useful(), "kernels before 4.13 count nothing");
    assert!(!Watch::new(&Tree::new().two(), None).is_useful());
}

#[test]
fn a_group_is_made_with_its_limit() {
    let tree = Tree::new();
    for name in [MEMORY_MAX, SWAP_MAX, TOGETHER] {
        tree.put(&format!("unit/agent.a.x/{name}"), "");
    }
    let made = |memory_max| Group { dir: tree.agent(), memory_max, moved_from: None }.build();
    let read = |name| fs::read_to_string(tree.agent().join(name)).unwrap();
    made(None).unwrap();
    assert_eq!(read(MEMORY_MAX), "");
    made(Some(32 << 20)).unwrap();
    assert_eq!([MEMORY_MAX, SWAP_MAX, TOGETHER].map(read), ["33554432", "0", "1"]);
    fs::remove_file(tree.agent().join(SWAP_MAX)).unwrap();
    made(Some(1)).unwrap();
    fs::remove_file(tree.agent().join(MEMORY_MAX)).unwrap();
    assert!(made(Some(1)).is_err(), "a limit that can't be set is no limit");
}

#[test]
fn adrt_moves_only_where_nobody_else_is() {
    let tree = Tree::new();
    let delegated = Delegated { dir: tree.unit(), own: tree.unit() };
    tree.put("unit/cgroup.controllers", "cpu pids\n");
    tree.put("unit/cgroup.subtree_control", "");
    assert!(matches!(enable_memory(&delegated), Err(Refusal::NoController(_))));
    tree.put("unit/cgroup.controllers", "cpu memory pids\n");
    tree.put("unit/cgroup.procs", &format!("{}\n2\n", std::process::id()));
    assert!(matches!(enable_memory(&delegated), Err(Refusal::Shared(_))));
    assert!(!tree.unit().join(SUPERVISOR).exists());
    // Enabled already, from a group of adrt's own: nothing is to be done.
    tree.put("unit/cgroup.subtree_control", "memory\n");
    assert!(matches!(enable_memory(&delegated), Ok(None)));
}

#[test]
fn what_was_not_said_to_be_adrts_is_not() {
    let tree = Tree::new();
    let is_root = nix::unistd::geteuid().is_root();
    let found = delegated::find(&tree.found());
    assert_eq!(found.is_ok(), !is_root, "a user's own is his, all is root's and says nothing");
    let topmost = Found { is_root: true, ..tree.found() };
    assert!(delegated::find(&topmost).is_ok(), "a container's own");
    tree.put("unit/cgroup.procs", "2\n");
    for found in [tree.found(), topmost] {
        assert!(matches!(delegated::find(&found), Err(Refusal::NotDelegated(_))));
    }
    tree.put("unit/cgroup.procs", "");
    tree.put("unit/cgroup.type", "threaded\n");
    let topmost = Found { is_root: true, ..tree.found() };
    assert!(matches!(delegated::find(&topmost), Err(Refusal::NotWritable(_))));
}

#[test]
fn only_groups_of_that_mark_are_taken_for_left_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mark = "0123456789abcdef";
    let left = |name: &str| {
        let group = dir.path().join(name);
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join(EVENTS), "populated 0\n").unwrap();
        Group::left(group, mark).is_some()
    };
    assert!(left("agent.a.0123456789abcdef"));
    assert!(!left("agent.a.fedcba9876543210"));
    assert!(!left("user.slice"));
    assert!(!left("agent.a0123456789abcdef"));
    assert!(Group::left(dir.path().join("agent.b.0123456789abcdef"), mark).is_none(), "not there");
}

/// A group of this machine's, where a test can have one.
fn real_group(mark: &str) -> Option<Group> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root makes control groups");
        return None;
    }
    let Some(found) = Here::read().unified else {
        println!("skipped: no tree of version 2 is mounted");
        return None;
    };
    let dir = found.dir.join(format!("{AGENT_PREFIX}test.{mark}"));
    let group = Group { dir, memory_max: None, moved_from: None };
    match group.build() {
        Ok(()) => Some(group),
        Err(e) => {
            println!("skipped: {}: {e}", group.dir.display());
            None
        }
    }
}

#[test]
fn where_the_kernel_kills_no_group_it_is_frozen_and_killed_one_by_one() {
    use std::ffi::OsString;
    use std::sync::Arc;

    use crate::process::kin::Kin;
    use crate::process::reap::Reaper;
    use crate::process::spawn::{Command, LocalSpawner, Stdin};

    let mark = format!("{:016x}", std::process::id());
    let Some(group) = real_group(&mark) else { return };
    let kin = Arc::new(Kin::new(mark, Some(group)));
    let reaper = Reaper::for_kin(Arc::clone(&kin));
    let mut spawner = LocalSpawner::new(reaper.roster()).unwrap();
    // Among them a chain of forks, each link of which ends at once, and some in
    // a group that the agent has made.
    let group = kin.group().unwrap();
    let script = format!(
        "trap '' TERM; setsid sleep 1000 & (setsid setsid sleep 1000 &) ; \
         mkdir {0}/own; sh -c 'echo 0 > {0}/own/cgroup.procs; exec sleep 1000' & \
         setsid sh -c 'link() {{ (link &) ; }}; link' & exec sleep 1000",
        group.dir.display()
    );
    let argv = ["/bin/sh", "-c", &script].map(OsString::from).into();
    let env = std::env::vars_os().collect();
    let child = spawner.spawn(Command { argv, env, stdin: Stdin::Wire, cwd: None }).unwrap();
    let deadline = clock::mono() + Duration::from_secs(30);
    while members_below(&group.dir).len() < 4 || files::members(&group.dir.join("own")).is_err() {
        assert!(clock::mono() < deadline, "{:?}", members_below(&group.dir));
    }
    group.kill_frozen().unwrap();
    group.wait_empty();
    assert_eq!(members_below(&group.dir), [0; 0]);
    let frozen = fs::read_to_string(group.dir.join(FREEZE)).unwrap();
    assert_eq!(frozen.trim(), "0", "who comes later is not to stand still");
    super::super::reap::collect(child.process.pid);
    group.remove();
    assert!(!group.dir.exists());
}
