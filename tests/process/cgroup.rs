//! Groups of the kernel's: what is in one dies with it, and nobody else.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use adrt::process::cgroup::Group;
use adrt::process::kin::{self, Kin, MARK_VARIABLE};
use adrt::supervisor::io::{Exit, GroupSignal};

use crate::isolated;
use crate::support::cgroup::Cgroup;
use crate::support::{World, read_line, sh, wait_dead, wait_for};

/// Of this test alone: others run beside it, and kill by theirs.
fn mark() -> String {
    format!("{:016x}", std::process::id())
}

/// Leaves processes behind in each way there is: in its group, in a session of
/// its own, by a double fork, deaf to SIGTERM, and as a chain of forks whose
/// links live for some milliseconds each.
const PROLIFIC: &str = "\
    trap '' TERM; sleep 1000 & setsid sleep 1000 & \
    (setsid sh -c 'setsid sleep 1000 & sleep 1000' &) ; \
    setsid sh -c 'link() { sleep 0.002; (link &) ; }; link' & \
    echo up; read go; exit 3";

/// An adrt whose agent has a group of its own.
fn in_group(group: Group) -> World {
    World::for_kin(Arc::new(Kin::new(mark(), Some(group))))
}

/// A group that was handed to us, and the agent's in it; none where a test
/// can't have one.
fn delegated() -> Option<(Cgroup, Group)> {
    let outer = Cgroup::delegated()?;
    outer.enter();
    let group = Group::make("a", &mark(), None).unwrap().expect("it was handed to us");
    Some((outer, group))
}

fn wait_up(outer: &Cgroup, stdout: &OwnedFd) {
    assert_eq!(read_line(stdout), "up");
    wait_for("all of them", || (outer.members().len() >= 7).then_some(()));
}

isolated! {
    fn nothing_of_a_group_outlives_its_leader() {
        let Some((outer, group)) = delegated() else { return };
        let us = i32::try_from(std::process::id()).unwrap();
        let mut world = in_group(group);
        for _ in 0..5 {
            let child = world.shell(PROLIFIC);
            wait_up(&outer, &child.stdout);
            drop(child.stdin);
            assert_eq!(world.end(child.process.pid), Exit::Code(3));
            wait_for("nobody else to be in it", || {
                world.reaper.reap();
                (outer.members() == [us]).then_some(())
            });
        }
    }

    fn where_there_is_no_adoption_the_group_is_enough() {
        let Some((outer, group)) = delegated() else { return };
        let us = i32::try_from(std::process::id()).unwrap();
        let mut world = in_group(group);
        // What is orphaned goes to the machine's init, out of a sweep's sight.
        nix::sys::prctl::set_child_subreaper(false).unwrap();
        let child = world.shell(PROLIFIC);
        wait_up(&outer, &child.stdout);
        world.reaper.kill_group(child.process.pid, GroupSignal::Kill).unwrap();
        assert_eq!(world.end(child.process.pid), Exit::Signal { signal: 9, core: false });
        wait_for("nobody else to be in it", || (outer.members() == [us]).then_some(()));
    }

    fn a_group_that_was_removed_is_made_again() {
        let Some((_outer, group)) = delegated() else { return };
        let dir = group.dir().to_owned();
        let mut world = in_group(group);
        fs::remove_dir(&dir).unwrap();
        let said = world.print("grep ^0: /proc/$$/cgroup");
        assert!(said.trim().ends_with(&format!("/agent.a.{}", mark())), "{said}");
    }

    fn a_removed_group_takes_all_along_and_leaves_no_trace() {
        let Some((outer, group)) = delegated() else { return };
        let inner = group.dir().join("made-by-the-agent");
        let kin = Arc::new(Kin::new(mark(), Some(group)));
        let mut world = World::for_kin(Arc::clone(&kin));
        let child = world.shell(&format!(
            "mkdir {0}; sleep 1000 & echo $! > {0}/cgroup.procs; echo $!; wait",
            inner.display()
        ));
        let inside: i32 = read_line(&child.stdout).parse().unwrap();
        kin.group().unwrap().remove();
        wait_dead(inside);
        assert!(outer.below().is_empty(), "{:?}", outer.below());
        world.end(child.process.pid);
    }

    fn the_next_adrt_kills_what_is_in_the_noted_group() {
        let Some((outer, group)) = delegated() else { return };
        let note = tempfile::tempdir().unwrap();
        let note = note.path().join("kin");
        let dir = group.dir().to_owned();
        Kin::new(mark(), Some(group)).note(&note).unwrap();
        // Not by the mark, which a program may drop: by the group alone.
        let stranger = World::new().shell("sleep 1000 & echo $!");
        let mut world = in_group(Group::make("a", &mark(), None).unwrap().unwrap());
        let script = format!("exec env -u {MARK_VARIABLE} setsid sh -c 'echo $$; exec sleep 1000'");
        let child = world.shell(&script);
        let left: i32 = read_line(&child.stdout).parse().unwrap();
        wait_for("its new program", || {
            let environment = fs::read(format!("/proc/{left}/environ")).ok()?;
            let is_marked = environment.windows(16).any(|it| it == mark().as_bytes());
            (!is_marked && !environment.is_empty()).then_some(())
        });
        assert_eq!(kin::kill_noted(&note), 0, "nobody has the mark");
        wait_dead(left);
        assert!(!dir.exists() && outer.below().is_empty() && !note.exists());
        world.end(child.process.pid);
        drop(stranger);
    }

    fn what_is_not_adrts_is_left_as_it_is() {
        let Some(outer) = Cgroup::unified() else { return };
        outer.enter();
        assert!(Group::make("a", &mark(), None).unwrap().is_none());
        let refused = Group::make("a", &mark(), Some(1 << 20)).unwrap_err().to_string();
        assert!(refused.contains("was not handed to adrt"), "{refused}");
        assert!(outer.below().is_empty());
    }

    fn without_a_controller_there_is_no_limit() {
        let Some(outer) = Cgroup::delegated() else { return };
        outer.enter();
        if outer.read("cgroup.controllers").contains("memory") {
            println!("skipped: this machine's version 2 has the controller");
            return;
        }
        let refused = Group::make("a", &mark(), Some(1 << 20)).unwrap_err().to_string();
        assert!(refused.contains("does not manage memory"), "{refused}");
        assert!(outer.below().is_empty());
    }

    fn the_marked_are_found_without_a_group_and_nobody_else() {
        let note = tempfile::tempdir().unwrap();
        let note = note.path().join("kin");
        let kin = Kin::new(mark(), None);
        kin.note(&note).unwrap();
        let mut world = World::new();
        let innocent = world.shell(&format!(
            "ADRT_RUN=fedcba9876543210 setsid sleep 1000 & echo $!; \
             ADRT_RUNS={} setsid sleep 1000 & echo $!; read go",
            mark()
        ));
        let mut sleepers = vec![innocent.process.pid];
        sleepers.extend([(); 2].map(|()| read_line(&innocent.stdout).parse::<i32>().unwrap()));
        let mut marked = World::for_kin(Arc::new(kin));
        let child = marked.spawn(sh(PROLIFIC));
        assert_eq!(read_line(&child.stdout), "up");
        assert!(kin::is_noted(&note, child.process.pid));
        assert!(!kin::is_noted(&note, innocent.process.pid));
        assert!(kin::kill_noted(&note) >= 5);
        wait_dead(child.process.pid);
        for pid in sleepers {
            assert!(adrt::process::table::entry(pid).is_some_and(|it| !it.zombie), "{pid}");
        }
        assert!(!note.exists());
        assert_eq!(kin::kill_noted(&note), 0);
        drop(innocent.stdin);
        world.end(innocent.process.pid);
    }
}
