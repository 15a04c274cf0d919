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

/// From what `systemctl show` prints.
fn judge(unit: &str, said: &str) -> Vec<Finding> {
    let set: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once('=')).collect();
    let is = |name: &str, value: &str| set.get(name).is_none_or(|found| *found == value);
    let mut found = Vec::new();
    let mut warn = |what: &str, why: &str, line: &str| {
        let what = format!("{unit} has {what}");
        let cure = format!("systemctl edit {unit}: {line}; adrt systemd unit prints a whole one");
        found.push(Finding::warning(CHECK, what, why, cure));
    };
    if !is("Type", "notify") && !is("Type", "notify-reload") {
        warn(
            "another Type than notify",
            "systemd takes it for started before the agent is ready, and its watchdog does nothing",
            "[Service] Type=notify",
        );
    }
    if !is("StartLimitIntervalUSec", "0") {
        warn(
            "a limit of starts",
            "some quick ends of adrt leave it failed for ever on a device nobody can reach; adrt \
             has its own delays, and --max-restarts to give up",
            "[Unit] StartLimitIntervalSec=0",
        );
    }
    if set.get("KillMode").is_some_and(|mode| matches!(*mode, "none" | "process")) {
        warn(
            "a KillMode that leaves processes behind",
            "what outlives adrt would write beside its successor",
            "[Service] KillMode=mixed",
        );
    } else if is("KillMode", "control-group") && set.contains_key("KillMode") {
        warn(
            "KillMode=control-group",
            "at a stop the agent gets SIGTERM beside adrt's own request, before it is told why",
            "[Service] KillMode=mixed",
        );
    }
    if is("Restart", "no") && set.contains_key("Restart") {
        warn(
            "Restart=no",
            "when adrt itself is killed, nobody starts it again",
            "[Service] Restart=on-failure",
        );
    }
    if !is("OOMPolicy", "continue") {
        warn(
            "another OOMPolicy than continue",
            "systemd ends the whole service when the agent alone runs out of memory",
            "[Service] OOMPolicy=continue",
        );
    }
    if is("WatchdogUSec", "0") && set.contains_key("WatchdogUSec") {
        warn("no watchdog", "an adrt that hangs is noticed by nobody", "[Service] WatchdogSec=30");
    }
    if found.is_empty() {
        let limits = if is("Delegate", "yes") {
            ""
        } else {
            "; without Delegate=yes it has no --memory-max"
        };
        found.push(Finding::ok(CHECK, format!("{unit} is set as it should be{limits}")));
    }
    found
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
