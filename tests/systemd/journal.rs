//! What the journal is told.

use serde_json::Value;

use crate::machine::{Machine, machine};
use crate::support::wait_for;

/// Says something in every way there is, then waits for events and dies of
/// one; each restart begins with the same words.
const SPEAKS: &str = r#"
import sys
from adaptive_runtime import Agent
agent = Agent()
print("said on stdout", agent.start_info.incarnation)
print("<3>said as an error", file=sys.stderr)
print("said on stderr", file=sys.stderr)
agent.log("said by log", level="warning", order=7, MESSAGE_ID="mine")
for event in agent.events():
    event.ack()
    try:
        {}["night"]
    except KeyError as error:
        raise RuntimeError("a bug, at night") from error
"#;

/// How much of a flood the journal is sent.
const FLOOD_LINES: usize = 20_000;

fn message(entry: &Value) -> &str {
    entry["MESSAGE"].as_str().unwrap_or_default()
}

fn said(machine: &Machine, unit: &str, text: &str) -> Value {
    machine.entry(unit, |entry| message(entry).starts_with(text))
}

/// The number under which the manual page lists an occasion.
fn number(name: &str) -> String {
    let page = include_str!("../../man/adrt-systemd.7");
    let (_, below) = page.split_once(&format!(".B {name}\n")).expect("listed");
    below.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn entries_have_priorities_and_fields() {
    let Some(machine) = machine() else { return };
    machine.install("speaks", &["--backoff-initial", "1ms"], SPEAKS);
    machine.ok(&["systemctl", "start", "adrt-speaks"]);
    machine.ok(&["adrt", "events", "emit", "speaks", r#"{"type": "night"}"#]);
    let of_agent = |text: &str, priority: &str, incarnation: &str| {
        let entry = said(&machine, "adrt-speaks", text);
        let found = ["PRIORITY", "AGENT", "INCARNATION", "SYSLOG_IDENTIFIER"].map(|f| &entry[f]);
        assert_eq!(found, [priority, "speaks", incarnation, "speaks"], "{entry}");
        entry
    };
    of_agent("said on stdout 1", "6", "1");
    of_agent("said on stdout 2", "6", "2");
    of_agent("said as an error", "3", "1");
    of_agent("said on stderr", "6", "1");
    let logged = of_agent("said by log", "4", "1");
    assert_eq!(
        (&logged["AGENT_ORDER"], &logged["AGENT_MESSAGE_ID"]),
        (&"7".into(), &"mine".into())
    );
    // One entry, with what it was caused by.
    let trace = of_agent("Traceback", "3", "1");
    assert!(message(&trace).contains("KeyError: 'night'"), "{trace}");
    assert!(message(&trace).ends_with("RuntimeError: a bug, at night"), "{trace}");

    let crash = machine.entry("adrt-speaks", |e| e["MESSAGE_ID"] == number("crashed").as_str());
    let found =
        ["PRIORITY", "AGENT", "INCARNATION", "SYSLOG_IDENTIFIER", "ADRT_CODE", "ADRT_CLASS"];
    assert_eq!(found.map(|f| &crash[f]), ["4", "speaks", "1", "adrt", "1", "failed"], "{crash}");
    let started = machine.entry("adrt-speaks", |e| {
        e["MESSAGE_ID"] == number("started").as_str() && e["INCARNATION"] == "2"
    });
    assert_eq!((&started["PRIORITY"], &started["ADRT_REASON"]), (&"6".into(), &"crash".into()));
    machine.ok(&["systemctl", "stop", "adrt-speaks"]);
    let number = number("ended");
    machine.entry("adrt-speaks", |e| e["MESSAGE_ID"] == number.as_str());
}

#[test]
fn giving_up_and_what_kept_it_from_starting_are_errors() {
    let Some(machine) = machine() else { return };
    let options = ["--max-restarts", "1", "--backoff-initial", "1ms"];
    machine.install("gives-up", &options, "raise SystemExit(1)\n");
    machine.ok(&["systemctl", "start", "adrt-gives-up"]);
    let number = number("gave up");
    let entry = machine.entry("adrt-gives-up", |e| e["MESSAGE_ID"] == number.as_str());
    assert_eq!(entry["PRIORITY"], "3", "{entry}");
    machine.install_command("mistaken", &["--nack-max", "0"], &["/bin/true"]);
    let _told_in_the_journal = machine.run(&["systemctl", "start", "adrt-mistaken"]);
    let entry = said(&machine, "adrt-mistaken", "adrt: --nack-max is zero");
    assert_eq!(entry["PRIORITY"], "3", "{entry}");
}

/// adrt and its agent live on while the journal does not, and what was said
/// meanwhile is there afterwards.
#[test]
fn the_journal_is_killed() {
    let Some(machine) = machine() else { return };
    let agent = "from adaptive_runtime import Agent\n\
                 with Agent() as agent:\n    \
                     for event in agent.events():\n        \
                         with event:\n            \
                             print('got', event['n'])\n            \
                             agent.patch({'n': event['n']})\n";
    machine.install("goes-on", &[], agent);
    machine.ok(&["systemctl", "start", "adrt-goes-on"]);
    let pid = machine.show("adrt-goes-on", "MainPID");
    for round in 1..=4 {
        machine.ok(&["systemctl", "kill", "-s", "KILL", "systemd-journald"]);
        let event = format!(r#"{{"type": "x", "n": {round}}}"#);
        machine.ok(&["adrt", "events", "emit", "goes-on", &event]);
        wait_for("the event", || (machine.state("goes-on", "/n") == round).then_some(()));
        said(&machine, "adrt-goes-on", &format!("got {round}"));
    }
    assert_eq!(machine.show("adrt-goes-on", "MainPID"), pid);
    assert_eq!(machine.show("adrt-goes-on", "NRestarts"), "0");
    machine.ok(&["systemctl", "stop", "adrt-goes-on"]);
}

/// A journal that takes nothing makes the agent wait, and adrt not grow.
#[test]
fn a_flood_waits_for_the_journal() {
    let Some(machine) = machine() else { return };
    let agent = format!(
        "from adaptive_runtime import Agent\n\
         agent = Agent()\n\
         agent.patch({{'begun': True}})\n\
         for n in range({FLOOD_LINES}): print(n, 'x' * 500)\n\
         agent.patch({{'told': True}})\n\
         for event in agent.events(): pass\n"
    );
    let pid = machine.show("systemd-journald", "MainPID");
    machine.install("floods", &[], &agent);
    machine.ok(&["kill", "-STOP", &pid]);
    // From here on nothing may panic before it goes on.
    let start = machine.run(&["systemctl", "start", "adrt-floods"]);
    let status = machine.run(&["adrt", "state", "get", "floods", "/told"]);
    machine.ok(&["kill", "-CONT", &pid]);
    assert_eq!(start.code, Some(0), "{start:?}");
    assert_eq!(status.code, Some(66), "it did not wait: {status:?}");
    let adrt = machine.show("adrt-floods", "MainPID");
    let peak = machine.ok(&["grep", "VmHWM", &format!("/proc/{adrt}/status")]);
    let peak: usize = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 64 * 1024, "{peak} KiB");
    wait_for("the end of the flood", || (machine.state("floods", "/told") == true).then_some(()));
    said(&machine, "adrt-floods", &format!("{} x", FLOOD_LINES - 1));
    machine.ok(&["systemctl", "stop", "adrt-floods"]);
}

/// Without the journal's socket lines go by the stream, each with its priority;
/// and a traceback that nothing follows is not held back for ever.
#[test]
fn without_the_socket_there_is_the_stream() {
    let Some(machine) = machine() else { return };
    let agent = "import traceback\n\
                 from adaptive_runtime import Agent\n\
                 with Agent() as agent:\n    \
                     print('a usual line')\n    \
                     try: {}['x']\n    \
                     except KeyError: traceback.print_exc()\n    \
                     for event in agent.events(): event.ack(); raise SystemExit(4)\n";
    for (name, hidden) in
        [("by-stream", "InaccessiblePaths=/run/systemd/journal/socket"), ("held", "")]
    {
        let unit = format!("adrt-{name}");
        machine.install(name, &["--backoff-initial", "1ms"], agent);
        machine.edit(&unit, &format!("[Service]\n{hidden}\n"));
        machine.ok(&["systemctl", "start", &unit]);
        let by = if hidden.is_empty() { "journal" } else { "stdout" };
        let of = |text: &str, priority: &str| {
            let entry = said(&machine, &unit, text);
            let found = ["PRIORITY", "SYSLOG_IDENTIFIER", "_TRANSPORT"].map(|f| &entry[f]);
            assert_eq!(found, [priority, name, by], "{entry}");
        };
        of("a usual line", "6");
        of("Traceback", "3");
        machine.ok(&["adrt", "events", "emit", name, r#"{"type": "x"}"#]);
        let crash = machine.entry(&unit, |e| message(e).contains("agent exited with code 4"));
        assert_eq!((&crash["PRIORITY"], &crash["_TRANSPORT"]), (&"4".into(), &by.into()));
        machine.ok(&["systemctl", "stop", &unit]);
    }
}
