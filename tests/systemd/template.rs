//! Many agents of one template, under one account.

use serde_json::Value;

use crate::machine::{Machine, machine};
use crate::support::wait_for;

fn install(machine: &Machine) {
    // The one that is packaged.
    let template = include_str!("../../systemd/adrt@.service");
    machine.write("/etc/systemd/system/adrt@.service", template);
    machine.ok(&["systemctl", "daemon-reload"]);
}

fn configure(machine: &Machine, name: &str, agent: &str) {
    machine.write(&format!("/opt/{name}/agent.py"), agent);
    let config = format!("command = [\"/usr/bin/python3\", \"/opt/{name}/agent.py\"]\n");
    machine.write(&format!("/etc/adrt/{name}.toml"), &config);
}

#[test]
fn two_instances_know_each_other() {
    let Some(machine) = machine() else { return };
    install(&machine);
    configure(
        &machine,
        "ping",
        "from adaptive_runtime import Agent\n\
         with Agent() as agent:\n    \
             agent.emit({'type': 'ping'}, to='pong', key='first')\n    \
             for event in agent.events():\n        \
                 with event: agent.patch({'got': event['type']})\n",
    );
    configure(
        &machine,
        "pong",
        "from adaptive_runtime import Agent\n\
         with Agent() as agent:\n    \
             for event in agent.events():\n        \
                 with event:\n            \
                     agent.patch({'got': event['type']})\n            \
                     agent.emit({'type': 'pong'}, to='ping')\n",
    );
    machine.ok(&["systemctl", "start", "adrt@pong", "adrt@ping"]);
    assert_eq!(machine.state("pong", "/got"), "ping");
    assert_eq!(machine.state("ping", "/got"), "pong");
    // Root sees both without a flag.
    let listed = machine.json(&["adrt", "list", "--json"]);
    let phase = |name: &str| {
        let agents = listed.as_array().unwrap();
        agents.iter().find(|agent| agent["agent"] == name).map(|agent| agent["phase"].clone())
    };
    assert_eq!(phase("ping"), Some(Value::from("running")));
    assert_eq!(phase("pong"), Some(Value::from("running")));
    // What root writes stays the agents'.
    machine.ok(&["systemctl", "stop", "adrt@pong"]);
    machine.ok(&["adrt", "state", "patch", "pong", r#"{"by": "root"}"#]);
    let strangers = ["find", "/var/lib/adrt/pong", "!", "-user", "adrt"];
    assert_eq!(machine.ok(&strangers), "");
    machine.ok(&["systemctl", "start", "adrt@pong"]);
    assert_eq!(machine.state("pong", "/by"), "root");
    machine.ok(&["systemctl", "stop", "adrt@ping", "adrt@pong"]);
}

/// Who is in the group asks and tells; others don't; and nobody runs an agent
/// that is another user's.
#[test]
fn who_may_what() {
    let Some(machine) = machine() else { return };
    install(&machine);
    let agent = "from adaptive_runtime import Agent\n\
                 with Agent() as agent:\n    \
                     agent.patch({'up': True})\n    \
                     for event in agent.events():\n        \
                         with event: agent.patch({'got': event['type']})\n";
    configure(&machine, "open", agent);
    machine.ok(&["systemctl", "start", "adrt@open"]);
    let as_user = |groups: &str, words: &[&str]| {
        let user = ["setpriv", "--reuid=daemon", "--regid=daemon", groups, "--"];
        machine.run(&[&user[..], &["env", "HOME=/nowhere"], words].concat())
    };
    let emit = ["adrt", "events", "emit", "open", r#"{"type": "hello"}"#];
    let member = as_user("--groups=adrt", &emit);
    assert_eq!(member.code, Some(0), "{member:?}");
    wait_for("the event", || (machine.state("open", "/got") == "hello").then_some(()));
    let listed = as_user("--groups=adrt", &["adrt", "list", "--json"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let found = listed.as_array().unwrap().iter().find(|agent| agent["agent"] == "open");
    assert_eq!(found.map(|agent| agent["phase"].clone()), Some("running".into()), "{listed}");
    let stranger = as_user("--clear-groups", &emit);
    assert_ne!(stranger.code, Some(0), "{stranger:?}");
    machine.ok(&["systemctl", "stop", "adrt@open"]);
    // Its directories would be left to nobody else than root.
    let root = machine.run(&["adrt", "run", "-n", "open", "--", "/bin/true"]);
    assert_eq!(root.code, Some(2), "{root:?}");
    assert!(root.stderr.contains("sudo -u adrt adrt run -n open"), "{root:?}");
}
