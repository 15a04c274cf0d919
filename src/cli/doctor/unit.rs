//! The systemd service that an agent's adrt runs in, if it does.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use super::Finding;
use crate::cli::client;
use crate::store::home::Home;

const CHECK: &str = "unit";
/// What is asked of systemd.
const PROPERTIES: &str = "Type,NotifyAccess,KillMode,Restart,StartLimitIntervalUSec,OOMPolicy,\
                          WatchdogUSec,Delegate";

/// What can be told of the service of this agent.
pub fn look(home: &Home) -> Vec<Finding> {
    let Some(holder) = client::running(home).filter(|holder| holder.pid > 0) else {
        return Vec::new();
    };
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", holder.pid)).unwrap_or_default();
    let Some(unit) = service_of(&cgroup) else { return Vec::new() };
    let asked = Command::new("systemctl").args(["show", unit, "--property", PROPERTIES]).output();
    let Ok(said) = asked else { return Vec::new() };
    if !said.status.success() {
        return Vec::new();
    }
    let found = judge(unit, &String::from_utf8_lossy(&said.stdout));
    found.into_iter().map(|found| found.of(home.agent())).collect()
}

/// The service a process belongs to. One of a user's session manager, which
/// runs whatever a person starts in a terminal, is not adrt's own.
fn service_of(cgroup: &str) -> Option<&str> {
    // cgroup v2, or systemd's own hierarchy of v1.
    let line =
        cgroup.lines().find(|line| line.starts_with("0::") || line.contains(":name=systemd:"));
    let path = line?.rsplit(':').next()?;
    let unit = path.split('/').rfind(|part| part.ends_with(".service"))?;
    let is_ours = !unit.starts_with("user@") && !path.contains("/user.slice/");
    is_ours.then_some(unit)
}

/// Something that a unit may have and should not.
struct Fault {
    property: &'static str,
    /// Values that are as they should be; or, turned round, those that are not.
    values: Values,
    what: &'static str,
    why: &'static str,
    /// A line for `systemctl edit`.
    line: &'static str,
}

enum Values {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

const FAULTS: &[Fault] = &[
    Fault {
        property: "Type",
        values: Values::Only(&["notify", "notify-reload"]),
        what: "another Type than notify",
        why: "systemd takes it for started before the agent is ready, and its watchdog does nothing",
        line: "[Service] Type=notify",
    },
    Fault {
        property: "StartLimitIntervalUSec",
        values: Values::Only(&["0"]),
        what: "a limit of starts",
        why: "some quick ends of adrt leave it failed for ever on a device nobody can reach; adrt \
              has delays of its own, and --max-restarts to give up",
        line: "[Unit] StartLimitIntervalSec=0",
    },
    Fault {
        property: "KillMode",
        values: Values::AllBut(&["none", "process"]),
        what: "a KillMode that leaves processes behind",
        why: "what outlives adrt would write beside its successor",
        line: "[Service] KillMode=mixed",
    },
    Fault {
        property: "KillMode",
        values: Values::AllBut(&["control-group"]),
        what: "KillMode=control-group",
        why: "at a stop the agent gets SIGTERM before adrt has told it that it is to leave",
        line: "[Service] KillMode=mixed",
    },
    Fault {
        property: "Restart",
        values: Values::AllBut(&["no"]),
        what: "Restart=no",
        why: "when adrt itself is killed, nobody starts it again",
        line: "[Service] Restart=on-failure",
    },
    Fault {
        property: "OOMPolicy",
        values: Values::Only(&["continue"]),
        what: "another OOMPolicy than continue",
        why: "systemd ends the whole service when the agent alone runs out of memory",
        line: "[Service] OOMPolicy=continue",
    },
    Fault {
        property: "WatchdogUSec",
        values: Values::AllBut(&["0", "infinity"]),
        what: "no watchdog",
        why: "an adrt that hangs is noticed by nobody",
        line: "[Service] WatchdogSec=30",
    },
];

/// From what `systemctl show` prints. What an old systemd does not know it
/// does not tell, and that is no fault.
fn judge(unit: &str, said: &str) -> Vec<Finding> {
    let set: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once('=')).collect();
    let is_at_fault = |fault: &&Fault| {
        set.get(fault.property).is_some_and(|value| match fault.values {
            Values::Only(good) => !good.contains(value),
            Values::AllBut(bad) => bad.contains(value),
        })
    };
    let told = |fault: &Fault| {
        let what = format!("{unit} has {}", fault.what);
        let cure = format!("systemctl edit {unit}: {}", fault.line);
        Finding::warning(CHECK, what, fault.why, cure)
    };
    let found: Vec<Finding> = FAULTS.iter().filter(is_at_fault).map(told).collect();
    if !found.is_empty() {
        return found;
    }
    let limited = set.get("Delegate").is_none_or(|value| *value == "yes");
    let limits = if limited { "" } else { "; without Delegate=yes it has no --memory-max" };
    vec![Finding::ok(CHECK, format!("{unit} is set as it should be{limits}"))]
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn services() {
        for (cgroup, unit) in [
            ("0::/system.slice/adrt@night.service\n", Some("adrt@night.service")),
            ("0::/system.slice/system-adrt.slice/adrt@a.service/agent\n", Some("adrt@a.service")),
            ("1:name=systemd:/system.slice/x.service\n0::/\n", Some("x.service")),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/t.scope\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(service_of(cgroup), unit, "{cgroup}");
        }
    }

    const GOOD: &str = "Type=notify\nNotifyAccess=main\nKillMode=mixed\nRestart=on-failure\n\
        StartLimitIntervalUSec=0\nOOMPolicy=continue\nWatchdogUSec=30s\n";

    #[test]
    fn a_good_unit_and_what_may_be_wrong_with_one() {
        let levels = |said: &str| -> Vec<Level> {
            judge("x.service", said).iter().map(|found| found.level).collect()
        };
        assert_eq!(levels(GOOD), [Level::Ok]);
        for (good, bad) in [
            ("Type=notify\n", "Type=simple\n"),
            ("KillMode=mixed", "KillMode=process"),
            ("KillMode=mixed", "KillMode=control-group"),
            ("Restart=on-failure", "Restart=no"),
            ("StartLimitIntervalUSec=0", "StartLimitIntervalUSec=10s"),
            ("OOMPolicy=continue", "OOMPolicy=stop"),
            ("WatchdogUSec=30s", "WatchdogUSec=0"),
        ] {
            let said = GOOD.replace(good, bad);
            assert_eq!(levels(&said), [Level::Warning], "{bad}: {:?}", judge("x.service", &said));
        }
        assert!(
            judge("x.service", &format!("{GOOD}Delegate=no\n"))[0].what.contains("Delegate=yes")
        );
        // What an old systemd does not know it does not tell.
        assert_eq!(levels("Type=notify\n"), [Level::Ok]);
    }
}
