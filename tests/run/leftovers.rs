//! Nothing is left behind: whatever an agent starts, and however it, adrt or
//! both come to their ends.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use adrt::process::table;

use crate::storm::{QUICK, a_moment};
use crate::support::process::is_alive;
use crate::support::{Cgroup, Run, World, kill, wait_for};

/// How often each end is brought about; for a longer storm.
const ROUNDS: &str = "ADRT_TEST_ROUNDS";
const ROUNDS_DEFAULT: usize = 50;

/// An agent's offspring, each of another kind: in its group, in sessions of
/// their own, orphaned by a double fork, deaf to SIGTERM, and a chain of forks
/// whose links live for some milliseconds each. All hold its pipes.
const OFFSPRING: &str = "\
    sleep 1000 & setsid sleep 1000 & \
    setsid sh -c 'trap \"\" TERM HUP INT; sleep 1000 & sleep 1001' & \
    (setsid sh -c 'setsid sleep 1000 & sleep 1000' &) ; \
    setsid sh -c 'link() { sleep 0.01; (link &) ; }; link' & \
    (setsid --fork sh -c 'echo up; exec sleep 1000') ;";

/// So many processes are there when all of it is.
const FAMILY: usize = 9;

fn rounds() -> usize {
    std::env::var(ROUNDS).map_or(ROUNDS_DEFAULT, |rounds| rounds.parse().unwrap())
}

/// Processes of the world, adrt left out; told from those that get their numbers.
fn family(world: &World, run: &Run) -> HashSet<(i32, u64)> {
    let others = world.processes().into_iter().filter(|pid| *pid != run.pid());
    others.filter_map(table::entry).map(|entry| (entry.pid, entry.start_ticks)).collect()
}

/// The family of the run's agent number so many, when all of it is there. What
/// was there before may be among it.
fn wait_family(world: &World, run: &Run, number: usize) -> HashSet<(i32, u64)> {
    wait_for("the last of the family", || {
        run.stdout.text().matches("up\n").nth(number - 1).map(drop)
    });
    wait_for("the whole family", || {
        Some(family(world, run)).filter(|family| family.len() >= FAMILY)
    })
}

fn is_there((pid, start_ticks): (i32, u64)) -> bool {
    table::entry(pid).is_some_and(|entry| entry.start_ticks == start_ticks && !entry.zombie)
}

fn wait_gone(family: &HashSet<(i32, u64)>) {
    wait_for("the old family to be gone", || {
        family.iter().all(|process| !is_there(*process)).then_some(())
    });
}

/// `adrt run` of a script whose offspring it is, in this group if there is one.
fn run(world: &World, group: Option<&Cgroup>, options: &[&str], then: &str) -> Run {
    let options = [&QUICK[..], options].concat();
    let script = format!("{OFFSPRING} {then}");
    let mut command = world.run_command(&options, ["/bin/sh", "-c", &script]);
    if let Some(group) = group {
        group.holds(&mut command);
    }
    Run::start(command)
}

/// Without a group of the agent's own; then in one, where there can be one.
fn each_way(mut body: impl FnMut(&World, Option<&Cgroup>)) {
    body(&World::new(), None);
    if let Some(group) = Cgroup::delegated() {
        body(&World::new(), Some(&group));
        wait_for("the group to be as it was", || {
            (group.members().is_empty() && group.below().is_empty()).then_some(())
        });
    }
}

#[test]
fn at_a_stop() {
    each_way(|world, group| {
        for _ in 0..rounds() {
            let run = run(world, group, &["--stop-timeout", "1h"], "exec sleep 1000");
            wait_family(world, &run, 1);
            let done = run.stop();
            assert_eq!(done.code, Some(0), "{done:?}");
            world.wait_empty();
        }
    });
}

#[test]
fn at_a_crash_and_before_the_next_start() {
    each_way(|world, group| {
        // Each life looks whether anybody of the last is still there.
        let run = run(world, group, &[], "exec sleep 1000");
        let mut old = HashSet::new();
        for round in 0..rounds() {
            let both = wait_family(world, &run, round + 1);
            wait_gone(&old);
            old = both.difference(&old).copied().collect();
            let status = world.status();
            let agent = status["pid"].as_i64().unwrap().try_into().unwrap();
            kill(agent, if round % 2 == 0 { 9 } else { 11 });
        }
        assert_eq!(run.stop().code, Some(0));
        world.wait_empty();
    });
}

#[test]
fn at_the_death_of_adrt_and_a_new_run() {
    each_way(|world, group| {
        let mut old = HashSet::new();
        for _ in 0..rounds() {
            // The lock is free: it is not refused.
            let mut run = run(world, group, &[], "exec sleep 1000");
            let family = wait_family(world, &run, 1);
            assert!(!old.iter().any(|process| is_there(*process)), "they were killed first");
            old = family;
            run.kill();
        }
        let run = run(world, group, &[], "exec sleep 1000");
        wait_family(world, &run, 1);
        assert!(!old.iter().any(|process| is_there(*process)), "they were killed first");
        assert_eq!(run.stop().code, Some(0));
        world.wait_empty();
    });
}

#[test]
fn at_the_death_of_adrt_within_its_first_moments() {
    each_way(|world, group| {
        let mut rng = fastrand::Rng::new();
        for _ in 0..rounds() {
            let mut run = run(world, group, &[], "exec sleep 1000");
            let begun = adrt::clock::mono();
            // With its first child, or the next, there or not.
            wait_for("some of the family", || {
                let there = family(world, &run).len() > rng.usize(..4);
                let late = adrt::clock::mono().since(begun) > Duration::from_secs(5);
                (there || late).then_some(())
            });
            run.kill();
        }
        let run = run(world, group, &[], "exec sleep 1000");
        // Of the many there were, one family is left.
        wait_family(world, &run, 1);
        let marks: HashSet<Vec<u8>> = world.processes().into_iter().filter_map(mark).collect();
        assert_eq!(marks.len(), 1, "only this run's processes");
        assert_eq!(run.stop().code, Some(0));
        world.wait_empty();
    });
}

/// Which run's a process is.
fn mark(pid: i32) -> Option<Vec<u8>> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    variables.find(|it| it.starts_with(b"ADRT_RUN=")).map(<[u8]>::to_vec)
}

#[test]
fn at_a_stop_in_any_phase() {
    each_way(|world, group| {
        let mut rng = fastrand::Rng::new();
        for round in 0..rounds() {
            // A crash loop goes through all of its phases some hundred times a
            // second; one that ends goes through the last ones as well.
            let then = ["exit 3", "exit 0", "kill -9 $$", "sleep 0.01; exit 3"][round % 4];
            let mut run = run(world, group, &[], then);
            for _ in 0..rng.usize(..40) {
                a_moment(&mut rng);
            }
            run.signal([15, 2][round % 2]);
            if rng.bool() {
                a_moment(&mut rng);
                run.signal(15);
            }
            let end = run.wait();
            // Before its handlers are there, a signal ends it as any program.
            let fine = end.code() == Some(0) || matches!(end.signal(), Some(2 | 15));
            assert!(fine, "{end}: {}", run.stderr.text());
            if end.code() == Some(0) {
                world.wait_empty();
            }
        }
        world.wait_empty();
    });
}

#[test]
fn at_a_stop_while_a_hung_one_has_its_grace() {
    for _ in 0..rounds().div_ceil(10) {
        let world = World::new();
        let puppets = world.puppets();
        let options = [&QUICK[..], &["--event-timeout", "50ms", "--stop-timeout", "500ms"]];
        let run = world.run(&options.concat(), puppets.argv());
        let mut puppet = puppets.next();
        puppet.initialize();
        let left = puppet.ask(
            "signal.signal(signal.SIGABRT, signal.SIG_IGN)\n\
             daemon = ['setsid', '--fork', 'sh', '-c', 'echo $$; exec sleep 1000 >/dev/null']\n\
             answer = int(subprocess.check_output(daemon))",
        );
        let left = i32::try_from(left.as_i64().unwrap()).unwrap();
        puppet.wire.ask("event.subscribe", r#"{"credit":1}"#).unwrap();
        assert_eq!(world.done(["events", "emit", "a", r#"{"type":"x"}"#]).code, Some(0));
        run.stderr.wait_for("the agent hangs");
        assert!(is_alive(left));
        let done = run.stop();
        assert_eq!(done.code, Some(0), "{done:?}");
        world.wait_empty();
    }
}

#[test]
fn a_second_run_is_refused_and_harms_nobody() {
    let world = World::new();
    let run = run(&world, None, &[], "exec sleep 1000");
    let family = wait_family(&world, &run, 1);
    let second = world.run_shell(&[], "echo second").done();
    assert_eq!(second.code, Some(75), "{second:?}");
    let chain_links = 2;
    let there = family.iter().filter(|process| is_there(**process)).count();
    assert!(there + chain_links >= FAMILY, "{there} of {}", family.len());
}

#[test]
fn a_run_that_keeps_nothing_harms_nobody_of_that_name() {
    let world = World::new();
    let mut first = run(&world, None, &[], "exec sleep 1000");
    let family = wait_family(&world, &first, 1);
    for command in ["true", "echo second"] {
        let done = world.run_shell(&["--ephemeral"], command).done();
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    let mut attach = world.adrt(["attach", "-n", "a", "--ephemeral"]);
    attach.stdin(std::process::Stdio::null());
    let done = crate::support::Done::of(attach);
    assert_eq!(done.code, Some(0), "{done:?}");
    let chain_links = 2;
    let there = family.iter().filter(|process| is_there(**process)).count();
    assert!(there + chain_links >= FAMILY, "{there} of {}", family.len());
    // And what is left of it after a kill -9 is still found.
    first.kill();
    assert_eq!(world.run_shell(&[], "true").done().code, Some(0));
    wait_gone(&family);
    world.wait_empty();
}

#[test]
fn what_was_there_before_adrt_is_not_the_agents() {
    let world = World::new();
    let adrt = env!("CARGO_BIN_EXE_adrt");
    // As in a container: its entry point starts something, and executes adrt.
    let script = format!(
        "sleep 1000 >/dev/null 2>&1 & echo $! > side; sh -c 'exit 3' & \
         exec {adrt} run -n a --no-python-client --backoff-initial 1ms --backoff-max 1ms -- sh -c \
         'setsid --fork sleep 1000; echo x >> lives; [ $(wc -l < lives) -lt 3 ] && exit 7; echo up; \
          exec sleep 1000'"
    );
    let mut command = world.program("sh");
    command.args(["-c", &script]);
    let run = Run::start(command);
    run.stdout.wait_for("up\n");
    let side: i32 = std::fs::read_to_string(world.path("side")).unwrap().trim().parse().unwrap();
    assert!(is_alive(side), "three lives of the agent were none of its business");
    // adrt, its agent with a daemon of this life, and that one.
    wait_for("the daemons of two lives to be gone", || {
        (world.processes().len() == 4).then_some(())
    });
    assert_eq!(run.stop().code, Some(0));
    assert!(is_alive(side));
    assert_eq!(world.processes(), [side], "and nobody else");
    kill(side, 9);
    world.wait_empty();
}

/// Somebody else has the number of what was killed: he is not touched. Numbers
/// are given out by hand, in a namespace of their own.
#[test]
fn a_number_that_was_given_away_is_nobody_elses_death() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root gives out process ids (ns_last_pid)");
        return;
    }
    let world = World::new();
    let adrt = env!("CARGO_BIN_EXE_adrt");
    // adrt is killed, and its agent's group and mark are noted. Its agent's
    // number comes to a stranger, who leads a group of that number.
    let script = format!(
        "set -e
         {adrt} run -n a --no-python-client -- sh -c 'echo $$ > agent; exec sleep 1000' &
         until [ -s agent ]; do sleep 0.01; done
         {adrt} state patch a '{{}}' >/dev/null
         kill -9 $!; wait $! || :
         agent=$(cat agent); while [ -e /proc/$agent ]; do sleep 0.01; done
         echo $((agent - 1)) > /proc/sys/kernel/ns_last_pid
         setsid sh -c 'echo $$ > stranger; exec sleep 1000' &
         until [ -s stranger ]; do sleep 0.01; done
         [ $(cat stranger) = $agent ] || {{ echo \"no luck: $(cat stranger), not $agent\"; exit 9; }}
         {adrt} run -n a --no-python-client -- true
         kill -0 $agent && echo the stranger lives"
    );
    for _ in 0..20 {
        let mut command = world.program("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &script]);
        for name in ["agent", "stranger"] {
            let _there_was_none = std::fs::remove_file(world.path(name));
        }
        let done = crate::support::Done::of(command);
        match done.code {
            Some(0) => return assert!(done.stdout.ends_with(b"the stranger lives\n"), "{done:?}"),
            // Somebody else was quicker to take the number.
            Some(9) => println!("{done:?}"),
            Some(1) if done.stderr.contains("unshare") => {
                return println!("skipped: no namespaces here: {}", done.stderr);
            }
            _ => panic!("{done:?}"),
        }
    }
    panic!("the number was never to be had");
}

#[test]
fn an_agent_may_start_the_adrt_that_takes_over() {
    let world = World::new();
    let adrt = env!("CARGO_BIN_EXE_adrt");
    // In a session of its own, with the mark of the run that it ends.
    let script = format!(
        "echo first; read go; \
         setsid --fork sh -c \"kill -9 $PPID; \
         until {adrt} run -n a --no-python-client -- sh -c 'echo second; exec sleep 1000'; \
         do sleep 0.01; done\"; exec sleep 1000"
    );
    let options = ["--no-python-client", "--stdin", "inherit"];
    let mut command = world.run_command(&options, ["/bin/sh", "-c", &script]);
    command.stdin(std::process::Stdio::piped());
    let mut run = Run::start(command);
    run.stdout.wait_for("first");
    run.type_in("go\n");
    run.wait();
    world.wait_for_phase("running");
    assert_eq!(world.done(["stop", "a"]).code, Some(0));
    world.wait_empty();
}

/// Starts adrt in a group of the kernel's, as a service manager does.
#[test]
fn the_agents_group_is_gone_when_the_run_is_over() {
    let Some(group) = Cgroup::delegated() else { return };
    let world = World::new();
    let run = run(&world, Some(&group), &[], "cat /proc/$$/cgroup; exec sleep 1000");
    wait_family(&world, &run, 1);
    assert_eq!(group.below().len(), 1);
    let inside = format!("{}/agent.a.", group.dir.file_name().unwrap().to_str().unwrap());
    run.stdout.wait_for(&inside);
    assert_eq!(run.stop().code, Some(0));
    assert!(group.below().is_empty(), "{:?}", group.below());
}

#[test]
fn an_agent_is_what_the_kernel_kills_first() {
    let world = World::new();
    let run = world.run_shell(&[], "cat /proc/self/oom_score_adj; exec sleep 1000");
    let of = |pid: i32| -> i32 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        text.trim().parse().unwrap()
    };
    run.stdout.wait_for("\n");
    let agents: i32 = run.stdout.text().trim().parse().unwrap();
    let adrts = of(run.pid());
    assert_eq!(agents, (adrts + 500).min(1000));
    assert_eq!(adrts, of(i32::try_from(std::process::id()).unwrap()), "adrt's own is as it was");
    assert_eq!(run.stop().code, Some(0));
}
