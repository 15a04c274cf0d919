//! The text of a unit. Pure: what it is made from is in [`Unit`].
//!
//! adrt starts the agent again by itself, with its own delays, so the manager
//! only has to bring back adrt: after a second, for ever, unless adrt has said
//! that another start is of no use. `failed` is thus what `--max-restarts`, a
//! fatal exit and a wrong command line lead to, and nothing else.
//!
//! The sandbox is as tight as it can be around a program nobody knows. What is
//! deliberately not in it, with the reason, stands in the unit itself.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::quote;

/// Exit codes of adrt after which another start would end the same way: usage,
/// no source of events, given up, a fatal exit, held by another adrt, bad
/// configuration, a command that can't be executed. Not 73 and 74: a disk can
/// come back.
const NO_RESTART: &str = "2 66 69 70 75 78 126 127";
/// adrt gives two signs of life in this time.
const WATCHDOG_SECONDS: u64 = 30;
/// What adrt may need beyond the agent's own grace: `--stop-timeout` again at
/// most for the last writes, and this for closing the file.
const STOP_MARGIN: Duration = Duration::from_secs(10);
/// What adrt may need for checking a large database on a slow card, before the
/// agent is even started.
const START_MARGIN: Duration = Duration::from_secs(120);

/// Where files are that a sandboxed unit does not see: home directories, and
/// those of sessions.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// What PrivateTmp= replaces.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// The user and the group that the package makes.
pub(super) const ACCOUNT: &str = "adrt";

/// What a unit is made from.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// How the agent is called in it: a name, or `%i`.
    pub agent: Agent,
    /// The program itself.
    pub adrt: String,
    /// Words behind `adrt run -n NAME`, with the command.
    pub words: Vec<String>,
    /// `--restart` is among the words.
    pub has_restart: bool,
    /// The agent's grace at a stop.
    pub stop_timeout: Duration,
    /// How long adrt waits for the agent's word that it is ready.
    pub ready_timeout: Duration,
    /// Who runs it.
    pub user: String,
    /// What is opened.
    pub open: Open,
    /// Units started when this one has failed.
    pub on_failure: Vec<String>,
}

/// Whose unit it is.
#[derive(Debug, Clone)]
pub(super) enum Agent {
    /// One agent's.
    Named(String),
    /// Any agent's: a template.
    Instance,
}

/// What is opened of the sandbox.
#[derive(Debug, Clone, Default)]
pub(super) struct Open {
    pub devices: Vec<PathBuf>,
    pub groups: Vec<String>,
    pub write: Vec<PathBuf>,
    pub read: Vec<PathBuf>,
    pub credentials: Vec<String>,
}

impl Agent {
    /// As it stands in a unit.
    fn word(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Instance => "%i",
        }
    }

    /// The unit's name without its ending.
    pub fn unit_name(&self) -> String {
        match self {
            Self::Named(name) => format!("adrt-{name}"),
            Self::Instance => "adrt@".to_owned(),
        }
    }
}

impl Open {
    /// Whether something under the home directories is among it.
    fn reaches_homes(&self) -> bool {
        self.write.iter().chain(&self.read).any(|path| is_in_home(path))
    }
}

/// Whether a sandboxed unit does not see it.
pub(super) fn is_in_home(path: &Path) -> bool {
    HOMES.iter().any(|home| path.starts_with(home))
}

/// Whether a sandboxed unit has something else there.
pub(super) fn is_temporary(path: &Path) -> bool {
    TEMPORARY.iter().any(|dir| path.starts_with(dir))
}

/// The whole unit.
pub(super) fn text(unit: &Unit) -> String {
    let mut out = String::new();
    head(unit, &mut out);
    service(unit, &mut out);
    account(unit, &mut out);
    sandbox(&mut out);
    opened(&unit.open, &mut out);
    out.push_str("\n[Install]\n");
    line(&mut out, "WantedBy", "multi-user.target");
    out
}

fn line(out: &mut String, key: &str, value: impl std::fmt::Display) {
    let _a_string_takes_all = writeln!(out, "{key}={value}");
}

fn comment(out: &mut String, text: &str) {
    for line in text.lines() {
        let _a_string_takes_all = writeln!(out, "# {line}");
    }
}

fn head(unit: &Unit, out: &mut String) {
    let agent = unit.agent.word();
    match &unit.agent {
        Agent::Named(name) => {
            comment(out, &format!("The agent {name}, kept alive by adrt. See adrt-systemd(7)."));
        }
        Agent::Instance => comment(
            out,
            "An agent, kept alive by adrt: adrt@NAME reads /etc/adrt/NAME.toml.\n\
             See adrt-systemd(7). To change it: systemctl edit adrt@NAME.",
        ),
    }
    out.push_str("\n[Unit]\n");
    line(out, "Description", format_args!("adrt agent {agent}"));
    line(out, "Documentation", "man:adrt-systemd(7)");
    line(out, "After", "network.target");
    comment(out, "adrt has delays of its own; the manager never gives up on it.");
    line(out, "StartLimitIntervalSec", 0);
    for name in &unit.on_failure {
        line(out, "OnFailure", name);
    }
}

fn service(unit: &Unit, out: &mut String) {
    let agent = unit.agent.word();
    out.push_str("\n[Service]\n");
    line(out, "Type", "notify");
    line(out, "NotifyAccess", "main");
    line(out, "ExecStart", exec_start(unit));
    let adrt = quote::command_word(&unit.adrt);
    line(out, "ExecReload", format_args!("{adrt} reload {agent}"));
    line(out, "Restart", "on-failure");
    line(out, "RestartSec", 1);
    comment(
        out,
        "Ends that another start would not change: adrt(1), EXIT STATUS. Only these\n\
         leave the unit failed, and OnFailure= runs.",
    );
    line(out, "RestartPreventExitStatus", NO_RESTART);
    line(out, "TimeoutStartSec", (unit.ready_timeout + START_MARGIN).as_secs());
    line(out, "TimeoutStopSec", (unit.stop_timeout * 2 + STOP_MARGIN).as_secs());
    line(out, "WatchdogSec", WATCHDOG_SECONDS);
    comment(out, "SIGTERM is for adrt, which stops its agent in order; SIGKILL for all.");
    line(out, "KillMode", "mixed");
    comment(out, "An agent killed for its memory is one more crash, not the unit's end.");
    line(out, "OOMPolicy", "continue");
    comment(out, "A cgroup of its own for the agent: --memory-max, and no process left behind.");
    line(out, "Delegate", "yes");
    line(out, "SyslogIdentifier", agent);
}

fn exec_start(unit: &Unit) -> String {
    let mut line = format!("{} run", quote::command_word(&unit.adrt));
    if !unit.has_restart {
        line.push_str(" --restart always");
    }
    // A specifier is to be expanded, so it is not quoted.
    let _a_string_takes_all = write!(line, " -n {}", unit.agent.word());
    match &unit.agent {
        Agent::Instance => line.push_str(" --config /etc/adrt/%i.toml"),
        Agent::Named(_) => {}
    }
    if !unit.words.is_empty() {
        line.push(' ');
        line.push_str(&quote::command_line(&unit.words));
    }
    line
}

fn account(unit: &Unit, out: &mut String) {
    out.push('\n');
    comment(
        out,
        "Who it runs as, and what it keeps. All agents of a machine share the account,\n\
         so that they can send each other events and one adrt list shows them all.",
    );
    line(out, "User", &unit.user);
    line(out, "Group", ACCOUNT);
    line(out, "UMask", "0077");
    line(out, "StateDirectory", "adrt");
    line(out, "StateDirectoryMode", "0750");
    line(out, "RuntimeDirectory", "adrt");
    line(out, "RuntimeDirectoryPreserve", "yes");
    for credential in &unit.open.credentials {
        line(out, "LoadCredential", quote::list_word(credential));
    }
}

fn sandbox(out: &mut String) {
    out.push('\n');
    comment(
        out,
        "What it can't do. Left out on purpose: MemoryDenyWriteExecute= (JIT compilers),\n\
         ProcSubset=pid (adrt reads /proc/pressure), ProtectControlGroups= (the agent's\n\
         cgroup), RemoveIPC= (the account is shared), @resources in the filter (numpy\n\
         and its like bind their threads), chown (of its own files).",
    );
    for (key, value) in [
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("PrivateTmp", "yes"),
        ("PrivateMounts", "yes"),
        ("ProtectProc", "invisible"),
        ("ProcSubset", "all"),
        ("ProtectClock", "yes"),
        ("ProtectHostname", "yes"),
        ("ProtectKernelLogs", "yes"),
        ("ProtectKernelModules", "yes"),
        ("ProtectKernelTunables", "yes"),
        ("LockPersonality", "yes"),
        ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
        ("RestrictNamespaces", "yes"),
        ("RestrictRealtime", "yes"),
        ("RestrictSUIDSGID", "yes"),
        ("SystemCallArchitectures", "native"),
        ("SystemCallFilter", "@system-service"),
        ("SystemCallFilter", "~@privileged"),
        ("SystemCallFilter", "@chown"),
        ("SystemCallErrorNumber", "EPERM"),
    ] {
        line(out, key, value);
    }
}

/// What depends on what is opened.
fn opened(open: &Open, out: &mut String) {
    line(out, "ProtectHome", if open.reaches_homes() { "tmpfs" } else { "yes" });
    if open.devices.is_empty() {
        line(out, "PrivateDevices", "yes");
    } else {
        line(out, "DevicePolicy", "closed");
    }
    for device in &open.devices {
        line(out, "DeviceAllow", format_args!("{} rw", quote::list_word(&shown(device))));
    }
    for group in &open.groups {
        line(out, "SupplementaryGroups", quote::list_word(group));
    }
    for (paths, bind, plain) in [
        (&open.write, "BindPaths", Some("ReadWritePaths")),
        // All but homes and what is private can be read as it is.
        (&open.read, "BindReadOnlyPaths", None),
    ] {
        for path in paths {
            match plain {
                Some(plain) if !(is_in_home(path) || is_temporary(path)) => {
                    line(out, plain, quote::list_word(&shown(path)));
                }
                Some(_) | None => line(out, bind, quote::bound_path(&shown(path))),
            }
        }
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
