//! What units live through.

use serde_json::json;

use crate::machine::{machine, own_machine, skipped};
use crate::support::wait_for;

/// Waits for events and counts its starts.
const WAITS: &str = "from adaptive_runtime import Agent\n\
                     with Agent() as agent:\n    \
                         agent.patch({'starts': agent.state.get('starts', 0) + 1})\n    \
                         for event in agent.events():\n        \
                             with event: agent.patch({'last': event['type']})\n";

/// One rule of one's own.
const RULES: &str = "[contexts]\ndisk_full = \"disk_pressure\"\n\
                     [[rule]]\ncontext = \"disk_pressure\"\naction = \"delete_old_logs\"\n\
                     reason = \"disk_is_filling\"\n";

/// Enough to be sure that no limit of the manager's is at work.
const CRASHES: u64 = 50;
/// A restart of adrt itself takes the manager longer.
const KILLS: usize = 12;

#[test]
fn a_start_waits_for_the_agent() {
    let Some(machine) = machine() else { return };
    let agent = "import os, time\nfrom adaptive_runtime import Agent\n\
                 while not os.path.exists('/opt/slow/go'): time.sleep(0.01)\n\
                 with Agent() as agent:\n    for event in agent.events(): pass\n";
    machine.install("slow", &["--ready-timeout", "1h"], agent);
    let start = machine.start(&["systemctl", "start", "adrt-slow"]);
    machine.wait_for_status("slow", |status| status["phase"] == "running");
    assert_eq!(machine.show("adrt-slow", "ActiveState"), "activating");
    machine.write("/opt/slow/go", "");
    assert_eq!(start.done().code, Some(0));
    assert_eq!(machine.show("adrt-slow", "ActiveState"), "active");
    machine.ok(&["systemctl", "stop", "adrt-slow"]);
}

/// With `--ready agent` it waits for the agent's word over crashes, and for
/// longer than the unit's time for a start.
#[test]
fn a_start_waits_for_the_agents_word_beyond_its_time() {
    // A daemon-reload of another test would take the extension back.
    let Some(machine) = own_machine() else { return };
    let agent = "import os, sys\nfrom adaptive_runtime import Agent\n\
                 if os.environ['ADRT_INCARNATION'] == '1': sys.exit(3)\n\
                 import time\n\
                 while not os.path.exists('/opt/later/go'): time.sleep(0.01)\n\
                 with Agent() as agent:\n    for event in agent.events(): pass\n";
    machine.install("later", &["--ready", "agent", "--backoff-initial", "1ms"], agent);
    machine.edit("adrt-later", "[Service]\nTimeoutStartSec=5\n");
    let start = machine.start(&["systemctl", "start", "adrt-later"]);
    machine.wait_for_status("later", |status| status["incarnation"] == 2);
    let begun = machine.show("adrt-later", "ExecMainStartTimestampMonotonic");
    let over = begun.parse::<f64>().unwrap() / 1e6 + 6.0;
    wait_for("the end of the unit's own time", || {
        let uptime = machine.ok(&["cat", "/proc/uptime"]);
        (uptime.split(' ').next()?.parse::<f64>().ok()? > over).then_some(())
    });
    assert_eq!(machine.show("adrt-later", "ActiveState"), "activating");
    machine.write("/opt/later/go", "");
    let done = start.done();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(machine.show("adrt-later", "NRestarts"), "0");
    machine.ok(&["systemctl", "stop", "adrt-later"]);
}

/// The agent is in a group of its own, and nothing of it outlives a crash of
/// it, or a kill of adrt, wherever it went.
#[test]
fn nothing_outlives_a_crash_or_a_kill() {
    let Some(machine) = machine() else { return };
    let agent = "import subprocess\nfrom adaptive_runtime import Agent\n\
                 agent = Agent()\n\
                 agent.patch({'group': open('/proc/self/cgroup').read()})\n\
                 far = ['setsid', '--fork', 'setsid', 'sleep', '31337']\n\
                 for _ in range(3): subprocess.run(far, check=True)\n\
                 agent.patch({'starts': agent.state.get('starts', 0) + 1})\n\
                 for event in agent.events(): event.ack(); raise SystemExit(3)\n";
    machine.install("spawns", &["--backoff-initial", "1ms"], agent);
    machine.edit("adrt-spawns", "[Service]\nRestartSec=10ms\n");
    machine.ok(&["systemctl", "start", "adrt-spawns"]);
    let sleepers = |start: u64| {
        wait_for("a start", || (machine.state("spawns", "/starts") == start).then_some(()));
        wait_for("its processes and no others", || {
            let done = machine.run(&["pgrep", "-x", "-f", "sleep 31337"]);
            let found = String::from_utf8(done.stdout).unwrap();
            (found.lines().count() == 3).then_some(found)
        })
    };
    let first = sleepers(1);
    let group = machine.state("spawns", "/group");
    assert!(group.as_str().unwrap().contains("adrt-spawns.service/agent"), "{group}");
    machine.ok(&["adrt", "events", "emit", "spawns", r#"{"type": "crash"}"#]);
    let second = sleepers(2);
    machine.ok(&["kill", "-KILL", &machine.show("adrt-spawns", "MainPID")]);
    let third = sleepers(3);
    assert!(first != second && second != third, "{first} {second} {third}");
    machine.ok(&["systemctl", "stop", "adrt-spawns"]);
    assert_eq!(machine.run(&["pgrep", "-x", "-f", "sleep 31337"]).code, Some(1));
}

/// An adrt that does not move is replaced, and its agent comes back with all
/// it had.
#[test]
fn the_watchdog_replaces_an_adrt_that_is_stuck() {
    let Some(machine) = machine() else { return };
    machine.install("stuck", &[], WAITS);
    machine
        .edit("adrt-stuck", "[Service]\nWatchdogSec=500ms\nTimeoutAbortSec=2\nRestartSec=10ms\n");
    machine.ok(&["systemctl", "start", "adrt-stuck"]);
    assert_eq!(machine.state("stuck", "/starts"), 1);
    let pid = machine.show("adrt-stuck", "MainPID");
    machine.ok(&["kill", "-STOP", &pid]);
    let status = machine.wait_for_status("stuck", |status| status["incarnation"] == 2);
    assert_eq!(status["start_reason"], "resume");
    wait_for("the second start", || (machine.state("stuck", "/starts") == 2).then_some(()));
    assert_eq!(machine.show("adrt-stuck", "NRestarts"), "1");
    assert_ne!(machine.show("adrt-stuck", "MainPID"), pid);
    machine.ok(&["systemctl", "stop", "adrt-stuck"]);
}

#[test]
fn no_number_of_crashes_fails_the_unit() {
    let Some(machine) = machine() else { return };
    machine.write("/opt/crashes/agent.sh", "exit 1\n");
    let options = ["--backoff-initial", "1ms", "--backoff-max", "2ms"];
    machine.install_command("crashes", &options, &["/bin/sh", "/opt/crashes/agent.sh"]);
    machine.ok(&["systemctl", "start", "adrt-crashes"]);
    let pid = machine.show("adrt-crashes", "MainPID");
    machine.wait_for_status("crashes", |status| status["incarnation"].as_u64() > Some(CRASHES));
    let [state, restarts, now] =
        ["ActiveState", "NRestarts", "MainPID"].map(|what| machine.show("adrt-crashes", what));
    assert_eq!((state.as_str(), restarts.as_str(), now), ("active", "0", pid));
    machine.ok(&["systemctl", "stop", "adrt-crashes"]);
}

/// Nor does any number of kills of adrt itself; there is never a second agent.
#[test]
fn adrt_killed_over_and_over() {
    let Some(machine) = machine() else { return };
    machine.install("killed", &[], WAITS);
    machine.edit("adrt-killed", "[Service]\nRestartSec=10ms\n");
    machine.ok(&["systemctl", "start", "adrt-killed"]);
    for round in 1..=KILLS {
        wait_for("the next start", || (machine.state("killed", "/starts") == round).then_some(()));
        let agents = machine.ok(&["pgrep", "-c", "-f", "python3 /opt/killed/agent.py"]);
        // adrt has the words in its own command line.
        assert_eq!(agents.trim(), "2");
        machine.ok(&["kill", "-KILL", &machine.show("adrt-killed", "MainPID")]);
    }
    machine.wait_for("adrt-killed", "NRestarts", &KILLS.to_string());
    machine.ok(&["systemctl", "stop", "adrt-killed"]);
    assert_eq!(machine.show("adrt-killed", "ActiveState"), "inactive");
}

#[test]
fn a_reload_that_goes_well_and_one_that_does_not() {
    let Some(machine) = machine() else { return };
    machine.write("/etc/adrt/rules.toml", "");
    machine.install("reloads", &["--rules", "/etc/adrt/rules.toml"], WAITS);
    machine.ok(&["systemctl", "start", "adrt-reloads"]);
    machine.write("/etc/adrt/rules.toml", RULES);
    machine.ok(&["systemctl", "reload", "adrt-reloads"]);
    machine.wait_for_status("reloads", |status| status["rules"]["own"] == 1);
    machine.write("/etc/adrt/rules.toml", "[[rule]\n");
    assert_ne!(machine.run(&["systemctl", "reload", "adrt-reloads"]).code, Some(0));
    assert_eq!(machine.show("adrt-reloads", "ActiveState"), "active");
    let told = machine.show("adrt-reloads", "StatusText");
    assert!(told.contains("the rules stay as they were"), "{told}");
    machine.ok(&["systemctl", "stop", "adrt-reloads"]);
}

/// The agent is killed for its memory, and nobody else.
#[test]
fn a_limit_of_memory_kills_the_agent_only() {
    let Some(machine) = machine() else { return };
    let agent = "from adaptive_runtime import Agent\n\
                 with Agent() as agent:\n    \
                     agent.patch({'starts': agent.state.get('starts', 0) + 1})\n    \
                     for event in agent.events():\n        \
                         agent.patch({'eats': True})\n        \
                         event.ack()\n        \
                         eaten = b'x' * (512 << 20)\n";
    machine.install("greedy", &["--backoff-initial", "1ms"], agent);
    machine.edit("adrt-greedy", "[Service]\nMemoryMax=96M\nMemorySwapMax=0\n");
    machine.ok(&["systemctl", "start", "adrt-greedy"]);
    let group = machine.show("adrt-greedy", "ControlGroup");
    let limits = [
        format!("/sys/fs/cgroup{group}/memory.max"),
        format!("/sys/fs/cgroup/memory{group}/memory.limit_in_bytes"),
    ];
    let limit = limits.iter().find_map(|path| {
        let done = machine.run(&["cat", path]);
        String::from_utf8(done.stdout).unwrap().trim().parse::<u64>().ok()
    });
    if limit != Some(96 << 20) {
        skipped("no cgroup of this machine limits memory");
        return;
    }
    let pid = machine.show("adrt-greedy", "MainPID");
    machine.ok(&["adrt", "events", "emit", "greedy", r#"{"type": "eat"}"#]);
    machine.wait_for_status("greedy", |status| status["incarnation"] == 2);
    wait_for("the second start", || (machine.state("greedy", "/starts") == 2).then_some(()));
    assert_eq!(machine.state("greedy", "/eats"), true);
    assert_eq!(machine.show("adrt-greedy", "MainPID"), pid);
    assert_eq!(machine.show("adrt-greedy", "ActiveState"), "active");
    let crash = &machine.json(&["adrt", "crashes", "list", "greedy", "--json"])[0];
    assert_eq!((&crash["signal"], &crash["id"]), (&json!(9), &json!(1)));
    // By the counter of the unit's group, in which nobody else is.
    assert_eq!(crash["class"], "out_of_memory", "{crash}");
    let page = machine.ok(&["adrt", "crashes", "show", "greedy"]);
    assert!(page.contains("out of memory"), "{page}");
    machine.ok(&["systemctl", "stop", "adrt-greedy"]);
}
