//! Ends of children, and what they leave behind.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::sync::mpsc;

use adrt::process::reap::{NotOurs, Reaper, become_subreaper};
use adrt::process::spawn::Spawner;
use adrt::process::sweep::kill_orphan_group;
use adrt::process::table::{self, Entry};
use adrt::signals::{Signal, Signals};
use adrt::supervisor::io::{Exit, GroupSignal, ProcessIdentity, SpawnFailure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::isolated;
use crate::support::{
    World, command, itself, read_all, read_line, receive, sh, wait_dead, wait_for,
};

fn alive(pid: i32) -> bool {
    table::entry(pid).is_some_and(|process| !process.zombie)
}

/// All processes below us, but zombies.
fn below_us() -> Vec<Entry> {
    let processes = table::all().unwrap();
    let mut found: Vec<Entry> = Vec::new();
    let mut parents = vec![i32::try_from(std::process::id()).unwrap()];
    while let Some(parent) = parents.pop() {
        for process in processes.iter().filter(|process| process.parent == parent) {
            parents.push(process.pid);
            found.extend((!process.zombie).then_some(*process));
        }
    }
    found
}

isolated! {
    fn ends_are_told_as_they_were() {
        let mut world = World::new();
        assert_eq!(world.run(sh("exit 0")).1, Exit::Code(0));
        assert_eq!(world.run(sh("exit 255")).1, Exit::Code(255));
        for (name, signal) in [("KILL", 9), ("TERM", 15), ("USR1", 10)] {
            let (_, exit) = world.run(sh(&format!("kill -{name} $$")));
            assert_eq!(exit, Exit::Signal { signal, core: false });
        }
        let (_, exit) = world.run(sh("ulimit -c 0; kill -SEGV $$"));
        assert!(matches!(exit, Exit::Signal { signal: 11, .. }), "{exit:?}");
        let (_, exit) = world.run(sh("kill -40 $$"));
        assert_eq!(exit, Exit::Signal { signal: 40, core: false });
    }

    /// Children that end at once, while another thread spawns them and this
    /// one reaps without pause: each end is told once, none is lost.
    fn no_end_is_lost_to_the_race_with_spawning() {
        const CHILDREN: usize = 150;
        become_subreaper().unwrap();
        let mut signals = Signals::install().unwrap();
        let mut reaper = Reaper::new();
        let spawner = Spawner::start(reaper.roster()).unwrap();
        let (tell, told) = mpsc::channel();
        for n in 0..CHILDREN {
            let tell = tell.clone();
            // An orphan each, and a failure now and then, to confuse it.
            let next = if n % 10 == 9 { command(&["/no/file"]) } else { sh("(exit 1 &) ; exit 7") };
            spawner.spawn(next, move |result| tell.send(result).unwrap());
        }
        let mut ended = Vec::new();
        let mut born = Vec::new();
        let mut failed = 0;
        while ended.len() + failed < CHILDREN {
            // Woken by signals alone, as the loop is.
            let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            let timeout = if born.len() + failed < CHILDREN { 0_u16 } else { 30_000 };
            let ready = poll(&mut fds, PollTimeout::from(timeout)).unwrap_or(1);
            assert!(ready > 0 || timeout == 0, "nobody said that a child had ended");
            if timeout == 0 || signals.pending().iter().any(|it| it.signal == Signal::Child) {
                ended.extend(reaper.reap());
            }
            for result in told.try_iter() {
                match result {
                    Ok(child) => born.push(child.process.pid),
                    Err(SpawnFailure::NotFound(_)) => failed += 1,
                    Err(failure) => panic!("{failure:?}"),
                }
            }
        }
        assert!(ended.iter().all(|ended| ended.exit == Exit::Code(7)));
        let mut ended: Vec<i32> = ended.iter().map(|ended| ended.pid).collect();
        ended.sort_unstable();
        born.sort_unstable();
        assert_eq!(ended, born);
    }

    fn a_grandchild_that_holds_the_pipes_delays_nothing() {
        let mut world = World::new();
        let child = world.shell("sleep 1000 & echo $!; exit 4");
        let grandchild = read_line(&child.stdout).parse().unwrap();
        // The end is told, though no pipe has come to its end.
        assert_eq!(world.end(child.process.pid), Exit::Code(4));
        // It was in the group, and is dead; so the pipes come to their ends.
        wait_dead(grandchild);
        assert_eq!(read_all(child.stdout), b"");
    }

    fn the_group_is_killed_even_where_orphans_are_not_adopted() {
        let mut world = World::without_adoption();
        let child = world.shell("sleep 1000 & echo $!; exit 4");
        let grandchild = read_line(&child.stdout).parse().unwrap();
        assert_eq!(world.end(child.process.pid), Exit::Code(4));
        wait_dead(grandchild);
    }

    fn daemons_are_swept() {
        let mut world = World::new();
        // One that left the group, one that did so in a double fork and has
        // children itself, and one whose parent ended long before.
        let script = "setsid sleep 1000 & \
             setsid sh -c 'setsid sh -c \"sleep 1000 & setsid sleep 1000 & echo ready; wait\" & \
             sleep 1000 & wait' & \
             (setsid sleep 1000 &) ; read wait; exit 1";
        let child = world.shell(script);
        assert_eq!(read_line(&child.stdout), "ready");
        wait_for("all seven sleepers and shells", || {
            world.reaper.reap();
            (below_us().len() >= 8).then_some(())
        });
        drop(child.stdin);
        assert_eq!(world.end(child.process.pid), Exit::Code(1));
        world.wait_childless();
        assert_eq!(read_all(child.stdout), b"", "nobody holds the pipe");
    }

    /// A chain of forks, each link of which ends at once: no look at the table
    /// is as quick as it is.
    fn a_chain_of_forks_has_an_end() {
        let mut world = World::new();
        let chain = "import os\n\
             os.setsid()\n\
             print('up', flush=True)\n\
             while os.getppid() != 1:\n    \
                 if os.fork(): os._exit(0)";
        for _ in 0..5 {
            let child = world.shell(&format!("python3 -SE -c \"{chain}\" & read go; exit 3"));
            assert_eq!(read_line(&child.stdout), "up");
            drop(child.stdin);
            assert_eq!(world.end(child.process.pid), Exit::Code(3));
            // It would go on for ever, as children of ours.
            wait_for("no child to be left", || {
                world.reaper.reap();
                let any = nix::sys::wait::waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG));
                (any == Err(nix::errno::Errno::ECHILD)).then_some(())
            });
        }
    }

    fn adopted_children_live_as_long_as_the_agent() {
        let mut world = World::new();
        let child = world.shell("(setsid sleep 1000 & echo $!) ; read wait");
        let daemon: i32 = read_line(&child.stdout).parse().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        wait_for("its adoption", || {
            assert!(world.reaper.reap().is_empty());
            table::entry(daemon).filter(|entry| entry.parent == me)
        });
        assert!(alive(daemon));
        drop(child.stdin);
        world.end(child.process.pid);
        wait_dead(daemon);
    }

    fn a_sweep_spares_the_other_leader_and_its_children() {
        let mut world = World::new();
        let other = world.shell("sleep 1000 & setsid sleep 1001 & echo $! ; echo $!; wait");
        let sleeper: i32 = read_line(&other.stdout).parse().unwrap();
        let child = world.shell("setsid sleep 1000 & echo $!; exit 0");
        let swept = read_line(&child.stdout).parse().unwrap();
        world.end(child.process.pid);
        wait_dead(swept);
        assert!(alive(other.process.pid) && alive(sleeper));
        world.reaper.sweep();
        assert!(alive(other.process.pid) && alive(sleeper));
        world.reaper.kill_group(other.process.pid, GroupSignal::Kill).unwrap();
        let killed = Exit::Signal { signal: 9, core: false };
        assert_eq!(world.end(other.process.pid), killed);
        wait_dead(sleeper);
    }

    fn nobody_is_signalled_after_the_reaping() {
        let mut world = World::new();
        let child = world.shell("exit 0");
        let pid = child.process.pid;
        // Ended but not reaped: the number is still its own.
        wait_dead(pid);
        assert_eq!(world.reaper.kill_group(pid, GroupSignal::Terminate), Ok(()));
        world.end(pid);
        for signal in [GroupSignal::Terminate, GroupSignal::Abort, GroupSignal::Kill] {
            assert_eq!(world.reaper.kill_group(pid, signal), Err(NotOurs));
        }
        assert_eq!(world.reaper.kill_group(1, GroupSignal::Kill), Err(NotOurs));
        assert_eq!(world.reaper.kill_group(0, GroupSignal::Kill), Err(NotOurs));
        assert_eq!(world.reaper.kill_group(-1, GroupSignal::Kill), Err(NotOurs));
    }

    fn a_stopped_agent_can_be_asked_to_stop() {
        let mut world = World::new();
        for (signal, number) in [(GroupSignal::Terminate, 15), (GroupSignal::Abort, 6)] {
            let child = world.shell("ulimit -c 0; kill -STOP $$; exit 0");
            wait_for("it to stop", || {
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.process.pid));
                stat.unwrap().contains(") T ").then_some(())
            });
            world.reaper.kill_group(child.process.pid, signal).unwrap();
            let exit = world.end(child.process.pid);
            assert!(matches!(exit, Exit::Signal { signal, .. } if signal == number), "{exit:?}");
        }
    }

    fn the_whole_group_is_asked_to_stop() {
        let mut world = World::new();
        let script = "trap : TERM; \
             sh -c 'trap \"echo asked; exit\" TERM; echo up; sleep 1000 & wait' & \
             wait; wait; exit 3";
        let child = world.shell(script);
        assert_eq!(read_line(&child.stdout), "up");
        world.reaper.kill_group(child.process.pid, GroupSignal::Terminate).unwrap();
        assert_eq!(read_line(&child.stdout), "asked");
        assert_eq!(world.end(child.process.pid), Exit::Code(3));
        world.wait_childless();
    }

    fn a_killed_adrts_group_is_killed_by_the_next() {
        let mut world = World::new();
        let (identity, member) = orphan_group(&mut world);
        // Not ours by any mark: nobody is touched.
        let other_session = ProcessIdentity { session: identity.session + 1, ..identity.clone() };
        let younger = ProcessIdentity { start_ticks: u64::MAX, ..identity.clone() };
        let other_boot = ProcessIdentity { boot_id: "other".to_owned(), ..identity.clone() };
        for wrong in [other_session, younger, other_boot] {
            assert_eq!(kill_orphan_group(&wrong), 0);
        }
        assert!(alive(member));
        assert_eq!(kill_orphan_group(&identity), 1);
        wait_dead(member);
        assert_eq!(kill_orphan_group(&identity), 0);
    }

    fn a_sweep_without_children_is_nothing() {
        let mut world = World::new();
        assert_eq!(world.reaper.sweep(), 0);
        assert!(world.reaper.reap().is_empty());
    }

    fn a_stop_ends_with_a_sweep() {
        let mut world = World::new();
        let child = world.shell("(setsid sleep 1000 & echo $!)");
        let daemon = read_line(&child.stdout).parse().unwrap();
        world.end(child.process.pid);
        wait_dead(daemon);
        world.wait_childless();
        assert_eq!(world.reaper.sweep(), 0);
    }
}

/// An adrt that was killed, and what it left: the identity of its agent, and
/// a member of the agent's group that lives.
fn orphan_group(world: &mut World) -> (ProcessIdentity, i32) {
    #[expect(clippy::disallowed_methods, reason = "a helper is no agent")]
    let mut helper = itself(crate::test_name!(helper_that_leaves_a_group))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(helper.stdout.take().unwrap()).lines();
    let line = lines.find(|line| line.as_ref().unwrap().starts_with("group ")).unwrap().unwrap();
    let numbers: Vec<u64> = line.split(' ').skip(1).map(|word| word.parse().unwrap()).collect();
    let number = |at: usize| i32::try_from(numbers[at]).unwrap();
    helper.kill().unwrap();
    helper.wait().unwrap();
    let identity = ProcessIdentity {
        pid: number(0),
        session: number(1),
        start_ticks: numbers[2],
        boot_id: table::boot_id().to_owned(),
    };
    wait_for("the leader to die and be reaped", || {
        world.reaper.reap();
        table::entry(identity.pid).is_none().then_some(())
    });
    (identity, number(3))
}

/// Not a test of its own: an adrt to be killed.
#[test]
#[ignore = "started by a_killed_adrts_group_is_killed_by_the_next"]
fn helper_that_leaves_a_group() {
    let reaper = Reaper::new();
    let spawner = Spawner::start(reaper.roster()).unwrap();
    let (tell, told) = mpsc::channel();
    spawner.spawn(sh("sleep 1000 & echo $!; wait"), move |result| tell.send(result).unwrap());
    let child = receive(&told).unwrap();
    let member = read_line(&child.stdout);
    let process = &child.process;
    println!("\ngroup {} {} {} {member}", process.pid, process.session, process.start_ticks);
    nix::unistd::alarm::set(90);
    nix::unistd::pause();
}
