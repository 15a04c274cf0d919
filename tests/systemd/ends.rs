//! How units end: stopped whatever the agent is at, and `failed` only when
//! another start is of no use.

use crate::machine::{Machine, machine};

/// Counts its starts.
const COUNTS: &str = "from adaptive_runtime import Agent\n\
                      agent = Agent()\n\
                      agent.patch({'starts': agent.state.get('starts', 0) + 1})\n";

fn assert_stopped(machine: &Machine, unit: &str) {
    machine.ok(&["systemctl", "stop", unit]);
    let [state, result] = ["ActiveState", "Result"].map(|what| machine.show(unit, what));
    assert_eq!((state.as_str(), result.as_str()), ("inactive", "success"), "{unit}");
    assert_eq!(machine.show(unit, "NRestarts"), "0");
}

#[test]
fn a_stop_during_a_delay() {
    let Some(machine) = machine() else { return };
    let delay = ["--backoff-initial", "1h", "--backoff-max", "1h"];
    machine.install("waits", &delay, &format!("{COUNTS}raise SystemExit(3)\n"));
    machine.ok(&["systemctl", "start", "adrt-waits"]);
    machine.wait_for_status("waits", |status| status["phase"] == "backoff");
    crate::support::wait_for("the line of systemctl status", || {
        let line = machine.show("adrt-waits", "StatusText");
        let begin = line.starts_with("waiting to start again, in ");
        (begin && line.contains("; it exited with code 3, crash 1 in a row; state version 1"))
            .then_some(())
    });
    assert_stopped(&machine, "adrt-waits");
    // A start by hand after it does not wait for the rest of the hour.
    machine.ok(&["systemctl", "start", "adrt-waits"]);
    machine.wait_for_status("waits", |status| status["incarnation"] == 2);
    assert_stopped(&machine, "adrt-waits");
}

/// An agent that listens to nothing is killed when its time is over.
#[test]
fn a_stop_during_a_hang() {
    let Some(machine) = machine() else { return };
    let agent = format!(
        "import signal, subprocess, time\n\
         signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{COUNTS}\
         subprocess.Popen(['/bin/sleep', '1000'], start_new_session=True)\n\
         agent.patch({{'hangs': True}})\n\
         while True: time.sleep(1000)\n"
    );
    machine.install("hangs", &["--stop-timeout", "200ms"], &agent);
    machine.ok(&["systemctl", "start", "adrt-hangs"]);
    machine.state("hangs", "/hangs");
    assert_stopped(&machine, "adrt-hangs");
    let left = machine.run(&["pgrep", "-u", "adrt", "-f", "/opt/hangs|sleep 1000"]);
    assert_eq!(left.code, Some(1), "{left:?}");
}

#[test]
fn a_stop_during_a_checkpoint() {
    let Some(machine) = machine() else { return };
    let agent = format!(
        "import os\n{COUNTS}\
         agent.patch({{'bulk': os.urandom(4 << 20).hex(), 'there': True}})\n\
         for event in agent.events(): pass\n"
    );
    machine.install("large", &[], &agent);
    machine.ok(&["systemctl", "start", "adrt-large"]);
    machine.state("large", "/there");
    let checkpoint = machine.start(&["adrt", "checkpoints", "create", "large"]);
    assert_stopped(&machine, "adrt-large");
    // It came first, or too late; in both cases it is told.
    let code = checkpoint.done().code;
    assert!(code.is_some(), "{code:?}");
    let shown = machine.json(&["adrt", "state", "show", "large", "--json"]);
    assert_eq!(shown["state"]["starts"], 1);
    assert_eq!(shown["state"]["bulk"].as_str().map(str::len), Some(8 << 20));
    let newest = &machine.json(&["adrt", "checkpoints", "list", "large", "--json"])[0];
    assert_eq!(newest["version"], shown["version"]);
}

/// What ends in `failed` is adrt's own verdict, and somebody is called.
#[test]
fn giving_up_fails_the_unit() {
    let Some(machine) = machine() else { return };
    machine.write(
        "/etc/systemd/system/call.service",
        "[Service]\nType=oneshot\nExecStart=/bin/touch /run/called\n",
    );
    let options =
        ["--max-restarts", "2", "--backoff-initial", "1ms", "--on-failure", "call.service"];
    machine.install("doomed", &options, &format!("{COUNTS}raise SystemExit(3)\n"));
    // The first end counts as a start; the unit is up until adrt gives up.
    machine.ok(&["systemctl", "start", "adrt-doomed"]);
    machine.wait_for("adrt-doomed", "ActiveState", "failed");
    assert_eq!(machine.show("adrt-doomed", "ExecMainStatus"), "69");
    assert_eq!(machine.show("adrt-doomed", "NRestarts"), "0");
    assert_eq!(machine.state("doomed", "/starts"), 3);
    crate::support::wait_for("OnFailure=", || machine.path("/run/called").exists().then_some(()));
    // A person's start begins anew.
    machine.ok(&["systemctl", "start", "adrt-doomed"]);
    machine.wait_for("adrt-doomed", "ActiveState", "failed");
    assert_eq!(machine.state("doomed", "/starts"), 6);
}

#[test]
fn what_another_start_would_not_change() {
    let Some(machine) = machine() else { return };
    machine.install_command("nothing", &[], &["/opt/nothing/at/all"]);
    machine.write("/opt/fatal/agent.py", "raise SystemExit(9)\n");
    let fatal = ["--fatal-exit", "9"];
    let script = ["/usr/bin/python3", "/opt/fatal/agent.py"];
    machine.install_command("fatal", &fatal, &script);
    machine.install_command("misspelt", &["--nack-max", "0"], &["/bin/true"]);
    for (name, code) in [("nothing", "127"), ("fatal", "70"), ("misspelt", "2")] {
        let unit = format!("adrt-{name}");
        let _told_by_its_state = machine.run(&["systemctl", "start", &unit]);
        machine.wait_for(&unit, "ActiveState", "failed");
        assert_eq!(machine.show(&unit, "ExecMainStatus"), code, "{name}");
        assert_eq!(machine.show(&unit, "NRestarts"), "0", "{name}");
    }
}

/// An agent that is done with all it has to do ends its unit in good order.
#[test]
fn an_agent_that_is_done() {
    let Some(machine) = machine() else { return };
    machine.install("done", &[], &format!("{COUNTS}agent.finish()\n"));
    machine.ok(&["systemctl", "start", "adrt-done"]);
    machine.wait_for("adrt-done", "ActiveState", "inactive");
    assert_eq!(machine.show("adrt-done", "Result"), "success");
}
