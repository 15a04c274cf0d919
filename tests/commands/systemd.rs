//! `adrt systemd`: what is printed where no systemd is needed. What it makes
//! of the units is tested in `tests/systemd`.

use crate::world::{World, assert_three_lines, text};

#[test]
fn a_unit_with_all_that_run_was_told() {
    let world = World::new();
    let script = world.script("agent.sh", "exit 0\n");
    let words = ["systemd", "unit", "night", "--stop-timeout", "30s", "--env-file", "keys.env"];
    let mut command = world.adrt(&[&words[..], &["--", "/bin/sh", "agent.sh", "100%"]].concat());
    // What whoever prints it has in the environment is nobody's wish for the unit.
    command.env("ADRT_MAX_RESTARTS", "3").current_dir(script.parent().expect("a parent"));
    let output = command.output().expect("adrt runs");
    let (unit, notes) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{notes}");
    let start = unit.lines().find(|line| line.starts_with("ExecStart=")).expect("a start");
    let dir = script.parent().expect("a parent").canonicalize().expect("there");
    let expected = format!(
        " run --restart always -n night --stop-timeout=30s --env-file={0}/keys.env \
         -- /bin/sh {0}/agent.sh 100%%",
        dir.display()
    );
    assert!(start.ends_with(&expected), "{start}\n{expected}");
    // Twice the agent's grace, and ten seconds.
    assert!(
        unit.contains("\nTimeoutStopSec=70\n") && unit.ends_with("multi-user.target\n"),
        "{unit}"
    );
    assert!(notes.contains("/etc/systemd/system/adrt-night.service"), "{notes}");
    // A temporary directory is not what the unit sees under that name.
    assert!(notes.contains("warning: ") && notes.contains(text(&dir.join("agent.sh"))), "{notes}");
}

#[test]
fn what_no_unit_can_be_made_of() {
    let world = World::new();
    assert_three_lines(&world.fails(2, &["systemd", "unit", "night"]));
    assert_three_lines(&world.fails(2, &["systemd", "unit", "a b", "--", "/bin/true"]));
    assert_three_lines(&world.fails(78, &["systemd", "unit", "a", "--config", "/nowhere.toml"]));
    world.fails(2, &["systemd", "unit", "a", "--load-credential", "/x", "--", "/bin/true"]);
    world.fails(2, &["systemd", "unit", "a", "--nack-max", "soon", "--", "/bin/true"]);
}
