//! Where the machine has no more to give: memory, processes, descriptors.
//! adrt lives, says what it was, and goes on when there is some again.

use std::fs;

use serde_json::json;

use crate::storm::QUICK;
use crate::support::process::is_alive;
use crate::support::{Cgroup, Run, World, kill, python, wait_for};

/// What the tests limit memory to. adrt needs a part of it; Python, too.
const MEMORY_BYTES: u64 = 32 << 20;

/// Takes more memory than there is, and touches all of it.
const GREEDY: &str = "block = b'x' * (256 << 20)";

/// `adrt run` of Python code, in a group of version 1 that limits its memory.
fn limited(world: &World, options: &[&str], code: &str) -> Option<(Cgroup, Run)> {
    let group = Cgroup::one("memory")?;
    group.set("memory.limit_in_bytes", &MEMORY_BYTES.to_string());
    if !group.read("memory.oom_control").contains("oom_kill ") {
        println!("skipped: this kernel does not count who is killed for memory");
        return None;
    }
    let options = [&QUICK[..], options].concat();
    let argv = [python().to_str().unwrap(), "-SE", "-c", code];
    let mut command = world.run_command(&options, argv);
    group.holds(&mut command);
    Some((group, Run::start(command)))
}

#[test]
fn an_agent_that_dies_for_memory_is_told_so_and_started_again() {
    let world = World::new();
    let told = world.file("told", "");
    let code = format!(
        "import os, time\n\
         first = not os.path.getsize({told:?})\n\
         open({told:?}, 'a').write('.')\n\
         if first: {GREEDY}\n\
         print('second', flush=True); time.sleep(1000)"
    );
    let Some((_group, run)) = limited(&world, &[], &code) else { return };
    run.stdout.wait_for("second\n");
    run.stderr.wait_for("agent killed by SIGKILL: out of memory (limit 32 MiB) after ");
    let end = wait_for("its record", || world.ends().pop());
    assert_eq!((&end["class"], &end["signal"]), (&json!("out_of_memory"), &json!(9)), "{end}");
    assert_eq!(end["crash"], true);
    assert_eq!(run.stop().code, Some(0));
}

#[test]
fn a_sigkill_is_no_want_of_memory() {
    let world = World::new();
    let code = "import time; print('up', flush=True); time.sleep(1000)";
    let Some((_group, run)) = limited(&world, &[], code) else { return };
    run.stdout.wait_for("up\n");
    let agent = world.status()["pid"].as_i64().unwrap().try_into().unwrap();
    kill(agent, 9);
    let end = wait_for("its record", || world.crash_list().pop());
    assert_eq!((&end["class"], &end["signal"]), (&json!("signal"), &json!(9)), "{end}");
    assert_eq!(run.stop().code, Some(0));
}

#[test]
fn a_shell_that_tells_of_it_dies_of_it_too() {
    let world = World::new();
    let python = python().display();
    let code = format!(
        "import os\n\
         greedy = \"{python} -SE -c '{}'; exit $?\"\n\
         os.execv('/bin/sh', ['sh', '-c', greedy])",
        GREEDY.replace('\'', "\\\"")
    );
    let Some((_group, run)) = limited(&world, &["--restart", "never"], &code) else { return };
    let done = run.done();
    assert_eq!(done.code, Some(137), "{done:?}");
    let end = world.ends().pop().unwrap();
    assert_eq!((&end["class"], &end["code"]), (&json!("out_of_memory"), &json!(137)), "{end}");
}

#[test]
fn a_worker_that_dies_for_memory_is_told_of_and_blamed_for_nothing() {
    let world = World::new();
    let code = format!(
        "import os\n\
         child = os.fork()\n\
         if not child:\n    {GREEDY}\n\
         status = os.waitpid(child, 0)[1]\n\
         os._exit(7 if os.WTERMSIG(status) == 9 else 8)"
    );
    let Some((_group, run)) = limited(&world, &["--restart", "never"], &code) else { return };
    let done = run.done();
    assert_eq!(done.code, Some(7), "{done:?}");
    let told = "the kernel killed a process of the agent's: out of memory (limit 32 MiB)";
    assert!(done.stderr.contains(told), "{done:?}");
    assert_eq!(world.ends().pop().unwrap()["class"], "failed");
}

#[test]
fn a_counter_that_strangers_share_tells_nothing() {
    let world = World::new();
    let code = format!("import sys; sys.stdin.readline(); {GREEDY}");
    let Some(group) = Cgroup::one("memory") else { return };
    group.set("memory.limit_in_bytes", &MEMORY_BYTES.to_string());
    let mut stranger = world.program("sleep");
    group.holds(stranger.arg("1000"));
    let _stranger = Run::start(stranger);
    let options = [&QUICK[..], &["--restart", "never", "--stdin", "inherit"]].concat();
    let argv = [python().to_str().unwrap(), "-SE", "-c", &code];
    let mut command = world.run_command(&options, argv);
    group.holds(&mut command);
    command.stdin(std::process::Stdio::piped());
    let mut run = Run::start(command);
    wait_for("both", || (group.members().len() >= 3).then_some(()));
    run.type_in("go\n");
    assert_eq!(run.done().code, Some(137));
    let end = world.ends().pop().unwrap();
    assert_eq!((&end["class"], &end["signal"]), (&json!("signal"), &json!(9)), "{end}");
}

#[test]
fn a_limit_that_would_not_hold_is_refused() {
    let world = World::new();
    let done = world.run_shell(&["--memory-max", "32MiB"], "true").done();
    if done.code == Some(0) {
        println!("skipped: memory can be limited where the tests run");
        return;
    }
    assert_eq!(done.code, Some(78), "{done:?}");
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines[0], "adrt: a was not started");
    assert!(lines[1].starts_with("  why: --memory-max: "), "{done:?}");
    assert!(lines[2].starts_with("  try: "), "{done:?}");
    assert!(!world.state_dir().join("a").exists(), "nothing was made");
}

#[test]
fn without_descriptors_the_start_is_tried_again() {
    let world = World::new();
    let options = ["--no-python-client", "--backoff-initial", "20ms", "--backoff-max", "50ms"];
    let run = world.run_shell(&options, "echo up; exec sleep 1000");
    run.stdout.wait_for("up\n");
    let agent = agent_of(&world);
    let before = limit_descriptors(run.pid(), None);
    let open = fs::read_dir(format!("/proc/{}/fd", run.pid())).unwrap().count();
    // The three pipes that it has to the agent are closed with it.
    limit_descriptors(run.pid(), Some(open.saturating_sub(3).try_into().unwrap()));
    kill(agent, 9);
    run.stderr.wait_for("the pipes to the agent could not be made");
    limit_descriptors(run.pid(), Some(before));
    wait_for("the next", || run.stdout.text().matches("up").nth(1).map(drop));
    assert!(is_alive(agent_of(&world)));
    assert_eq!(world.crash_list()[0]["class"], "exec_failed");
    assert_eq!(run.stop().code, Some(0));
}

#[test]
fn without_processes_the_start_is_tried_again() {
    let Some(group) = Cgroup::one("pids") else { return };
    let world = World::new();
    let options = ["--no-python-client", "--backoff-initial", "20ms", "--backoff-max", "50ms"];
    let mut command = world.run_command(&options, ["/bin/sh", "-c", "echo up; exec sleep 1000"]);
    group.holds(&mut command);
    let run = Run::start(command);
    run.stdout.wait_for("up\n");
    let agent = agent_of(&world);
    // Less than there are: nobody is ended by it, and nobody born.
    group.set("pids.max", "1");
    kill(agent, 9);
    run.stderr.wait_for("the system made no process");
    assert!(run.stderr.contains("TasksMax="), "{}", run.stderr.text());
    group.set("pids.max", "max");
    wait_for("the next", || run.stdout.text().matches("up").nth(1).map(drop));
    assert!(is_alive(agent_of(&world)));
    assert_eq!(run.stop().code, Some(0));
}

#[test]
fn an_agent_that_forks_without_end_is_ended_whole() {
    let Some(pids) = Cgroup::one("pids") else { return };
    let world = World::new();
    // Each makes two, until there are no more to be had; and none ends.
    let bomb = "bomb() { trap '' TERM; (bomb &) ; (bomb &) ; while :; do sleep 1; done; }; \
                echo up; setsid sh -c \"$0\" & bomb 2>/dev/null";
    let mut command = world.run_command(&QUICK, ["/bin/sh", "-c", bomb, "sleep 1000"]);
    pids.holds(&mut command);
    pids.set("pids.max", "120");
    let run = Run::start(command);
    run.stdout.wait_for("up\n");
    wait_for("the bomb to hit the limit", || {
        (pids.read("pids.events").trim() != "max 0").then_some(())
    });
    run.signal(15);
    run.signal(15);
    let done = run.done();
    assert_eq!(done.code, Some(0), "{done:?}");
    world.wait_empty();
}

fn agent_of(world: &World) -> i32 {
    let status = world.wait_for_phase("running");
    status["pid"].as_i64().unwrap().try_into().unwrap()
}

/// Sets how many descriptors another process may have, if so many are given;
/// how many it could have before.
fn limit_descriptors(pid: i32, most: Option<u64>) -> u64 {
    use nix::libc;
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both point to room for what is read or written.
    unsafe {
        let none = std::ptr::null::<libc::rlimit>();
        assert_eq!(libc::prlimit(pid, libc::RLIMIT_NOFILE, none, &raw mut before), 0);
        if let Some(most) = most {
            let new = libc::rlimit { rlim_cur: most, ..before };
            let none = std::ptr::null_mut();
            assert_eq!(libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const new, none), 0);
        }
    }
    before.rlim_cur
}
