//! A device's life, by the commands that stand in adrt-systemd(7): they are
//! read from the page and run there word for word, by root, on an agent of the
//! template that spends money. `tests/device` goes the same ways without root,
//! and further into what can go wrong on them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::machine::{Machine, own_machine};
use crate::support::{beside, wait_for};

/// Where whoever reads the page has their files.
const AT_HAND: &str = "/srv";
const UNIT: &str = "adrt@watch";
/// The book of what was paid for, which adrt knows nothing of.
const BOOK: &str = "/srv/book/paid";
/// Small, so that it is soon full.
const DISK: [&str; 4] = ["mount", "-t", "tmpfs", "-osize=4m,mode=750"];
/// How the status line begins then.
const FULL: &str = "store: disk full since ";
const ORDERS_MAX: u64 = 10_000;

#[test]
fn a_device_s_life() {
    let Some(old) = own_machine() else { return };
    let Some(new) = own_machine() else { return };
    set_up(&old);
    walk(&old, "Many agents of one template", 1, |line| line.replace("mail", "watch"));
    a_night(&old);
    a_full_disk(&old);
    an_upgrade_and_the_way_back(&old);
    a_backup(&old);
    secrets(&old);
    adrts_own_upgrade(&old);
    a_move(&old, &new);
}

/// What the package brings, and what the operator writes.
fn set_up(machine: &Machine) {
    let template = include_str!("../../systemd/adrt@.service");
    machine.write("/usr/lib/systemd/system/adrt@.service", template);
    machine.write(
        "/etc/adrt/watch.toml",
        "command = [\"/usr/bin/python3\", \"/opt/watch/agent.py\", \"/srv/book/paid\"]\n\
         env-file = \"/etc/adrt/watch.env\"\nbackoff-initial = \"1ms\"\n",
    );
    machine.write("/etc/adrt/watch.env", "KEY=first\n");
    machine.write("/etc/adrt/watch.key", "first");
    machine.write("/opt/watch/agent.py", &program("courier"));
    machine.write(BOOK, "");
    machine.ok(&["chown", "-R", "adrt:", "/srv/book"]);
    machine.ok(&["mkdir", "-p", "/var/lib/adrt", "/srv/backup"]);
    machine.ok(&[&DISK[..], &["tmpfs", "/var/lib/adrt"]].concat());
    let opened = "[Service]\nReadWritePaths=/srv/book\nLoadCredential=key:/etc/adrt/watch.key\n";
    machine.edit(UNIT, opened);
}

fn a_night(machine: &Machine) {
    order(machine, "bread");
    wait_served(machine, &json!(1));
    let at = machine.ok(&["date", "-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"]);
    order(machine, "poison");
    order(machine, "milk");
    wait_served(machine, &json!(2));
    let seen = walk(machine, "A crash at night", 0, |line| line.replace("03:12", at.trim()));
    for sign in [
        "active (running)",
        "exited with code 3",
        "no way to deliver this",
        "\"served\": 1",
        "agent exited with code 3",
    ] {
        assert!(seen.contains(sign), "{sign}: {seen}");
    }
    machine.write("/opt/watch/agent.py", &program("courier_mended"));
    let seen = walk(machine, "A crash at night", 1, str::to_owned);
    assert!(seen.contains("order"), "{seen}");
    wait_served(machine, &json!(3));
    assert_eq!(paid(machine), ["bread", "milk", "poison"]);
}

fn a_full_disk(machine: &Machine) {
    let filler = "/var/lib/adrt/.camera";
    let _full = machine.run(&["dd", "if=/dev/zero", &format!("of={filler}"), "bs=64k"]);
    let mut orders = 3;
    let line = loop {
        // What is refused leaves a little room, which the agent may yet find.
        let name = format!("{orders}{}", "-".repeat(2000));
        orders += u64::from(try_order(machine, &orders.to_string(), &name));
        assert!(orders < ORDERS_MAX, "the disk is never full");
        let line = machine.show(UNIT, "StatusText");
        if line.starts_with(FULL) {
            break line;
        }
    };
    assert!(line.contains(" writes waiting, 0 lost; running, "), "{line}");
    let seen = walk(machine, "A full disk", 0, str::to_owned);
    assert!(seen.contains("disk full"), "{seen}");
    machine.ok(&["rm", filler]);
    wait_served(machine, &json!(orders));
    wait_for("the all clear", || {
        (!machine.show(UNIT, "StatusText").starts_with(FULL)).then_some(())
    });
    assert_eq!(paid(machine).len() as u64, orders, "each once");
    assert_eq!(machine.show(UNIT, "NRestarts"), "0");
}

fn an_upgrade_and_the_way_back(machine: &Machine) {
    let before = served(machine).as_u64().unwrap();
    machine.write("/srv/agent.py", &program("courier_2"));
    walk(machine, "An upgrade of the agent", 0, str::to_owned);
    order(machine, "cheese");
    wait_served(machine, &json!({"total": before + 1}));
    machine.write("/srv/agent-1.9.py", &program("courier"));
    walk(machine, "A rollback", 0, str::to_owned);
    wait_served(machine, &json!(before + 1));
    assert_eq!(paid(machine).iter().filter(|&name| name == "cheese").count(), 1, "paid once");
}

fn a_backup(machine: &Machine) {
    let before = served(machine).as_u64().unwrap();
    walk(machine, "A backup", 0, str::to_owned);
    walk(machine, "A backup", 1, str::to_owned);
    // It is known to be paid for.
    order(machine, "bread");
    order(machine, "eggs");
    wait_served(machine, &json!(before + 1));
    assert_owned(machine);
}

fn secrets(machine: &Machine) {
    assert_eq!(variable(machine, "KEY"), "first");
    machine.write("/srv/watch.env", "KEY=second\n");
    machine.write("/srv/watch.key", "second");
    walk(machine, "A secret is rotated", 0, str::to_owned);
    wait_for("the new variable", || (variable(machine, "KEY") == "second").then_some(()));
    walk(machine, "A secret is rotated", 1, str::to_owned);
    wait_for("the new credential", || {
        let dir = variable(machine, "CREDENTIALS_DIRECTORY");
        let root = format!("/proc/{}/root{dir}/key", machine.show(UNIT, "MainPID"));
        (machine.run(&["cat", &root]).stdout == b"second").then_some(())
    });
    machine.ok(&["adrt", "state", "patch", "watch", r#"{"token": "hunter2"}"#]);
    let kept = ["grep", "-r", "-a", "-l", "hunter2", "/var/lib/adrt/watch/db"];
    assert_eq!(machine.run(&kept).code, Some(0), "it is there to be removed");
    walk(machine, "A secret is rotated", 2, str::to_owned);
    machine.ok(&["systemctl", "stop", UNIT]);
    let left = machine.run(&kept);
    assert_eq!(left.code, Some(1), "{left:?}");
    machine.ok(&["systemctl", "start", UNIT]);
}

fn adrts_own_upgrade(machine: &Machine) {
    let (pid, before) = (machine.show(UNIT, "MainPID"), served(machine).as_u64().unwrap());
    walk(machine, "An upgrade of adrt", 0, str::to_owned);
    assert_ne!(machine.show(UNIT, "MainPID"), pid);
    order(machine, "tea");
    wait_served(machine, &json!(before + 1));
}

fn a_move(old: &Machine, new: &Machine) {
    let before = served(old).as_u64().unwrap();
    walk(old, "A move to another device", 0, str::to_owned);
    set_up(new);
    std::fs::copy(old.path("/srv/watch.adrt"), new.path("/srv/watch.adrt")).unwrap();
    walk(new, "A move to another device", 1, str::to_owned);
    order(new, "bread");
    order(new, "salt");
    wait_served(new, &json!(before + 1));
    assert_eq!(paid(new), ["salt"]);
    assert_owned(new);
    // A start by mistake does not last, and is not tried for ever.
    let _refused = old.run(&["systemctl", "start", UNIT]);
    old.wait_for(UNIT, "ActiveState", "failed");
    assert_eq!(old.show(UNIT, "ExecMainStatus"), "75");
}

/// Runs the commands of a block of a section, the first being 0, each changed
/// in this way; they must succeed. What they print.
fn walk(
    machine: &Machine,
    section: &str,
    block: usize,
    changed: impl Fn(&str) -> String,
) -> String {
    let blocks = blocks(section);
    let commands = blocks.get(block).unwrap_or_else(|| panic!("{section} has {blocks:?}"));
    let mut seen = String::new();
    for command in commands.lines().filter(|line| is_command(line)) {
        let command = format!("cd {AT_HAND} && {}", changed(command));
        writeln!(seen, "{}", machine.ok(&["sh", "-c", &command])).unwrap();
    }
    assert!(!seen.is_empty(), "{section}: no command");
    seen
}

/// A block may show a file, too.
fn is_command(line: &str) -> bool {
    ["adrt ", "systemctl ", "journalctl ", "install ", "df "].iter().any(|it| line.starts_with(it))
}

/// The texts of a section of the page that are shown as they are.
fn blocks(section: &str) -> Vec<String> {
    let page = include_str!("../../man/adrt-systemd.7");
    let (_, below) = page.split_once(&format!(".SS {section}\n")).expect(section);
    let end = below.find("\n.S").map_or(below.len(), |at| at + 1);
    let blocks = below[..end].split(".nf\n").skip(1);
    blocks.map(|block| block.split(".fi").next().unwrap().replace(r"\-", "-")).collect()
}

fn program(name: &str) -> String {
    std::fs::read_to_string(beside(&format!("device/agents/{name}.py"))).unwrap()
}

fn order(machine: &Machine, name: &str) {
    assert!(try_order(machine, name, name), "{name} is refused");
}

/// Whether the order was taken. Only the disk refuses any.
fn try_order(machine: &Machine, id: &str, name: &str) -> bool {
    let event = json!({"type": "order", "source": "shop", "id": id, "name": name});
    let done = machine.run(&["adrt", "events", "emit", "watch", &event.to_string()]);
    assert!(matches!(done.code, Some(0 | 74)), "{done:?}");
    done.code == Some(0)
}

fn served(machine: &Machine) -> Value {
    machine.state("watch", "/served")
}

fn wait_served(machine: &Machine, count: &Value) {
    wait_for(&format!("{count} served"), || (served(machine) == *count).then_some(()));
}

fn paid(machine: &Machine) -> Vec<String> {
    let book = std::fs::read_to_string(machine.path(BOOK)).unwrap();
    book.lines().map(str::to_owned).collect()
}

/// A variable of the agent's process.
fn variable(machine: &Machine, name: &str) -> String {
    let status = machine.wait_for_status("watch", |status| status["phase"] == "running");
    let done = machine.run(&["cat", &format!("/proc/{}/environ", status["pid"])]);
    let all = String::from_utf8_lossy(&done.stdout).into_owned();
    let found = all.split('\0').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_default().to_owned()
}

/// What root's commands leave is the agents' own.
fn assert_owned(machine: &Machine) {
    let strangers = ["find", "/var/lib/adrt", "!", "-user", "adrt"];
    assert_eq!(machine.ok(&strangers), "");
}
