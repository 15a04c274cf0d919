//! The machine's sensors, as an agent and an operator see them: from files
//! that a test has put in the place of the kernel's.

use std::path::PathBuf;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::support::{Puppet, World, wait_for};
use crate::wire::Scene;

/// Looks so often that nothing has to be waited for.
const OFTEN: &str = "10ms";
/// A test has not so much time.
const NEVER: &str = "1h";

/// A directory like `/`, beside the world.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// As a whole: nobody reads half of it.
    fn put(&self, name: &str, text: &str) {
        let new = self.path("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    /// So many of a hundred parts of its memory are used.
    fn uses_memory(&self, percent: u64) {
        let free = 100_000 - 1000 * percent;
        let text = format!("MemTotal: 100000 kB\nMemFree: 0 kB\nMemAvailable: {free} kB\n");
        self.put("proc/meminfo", &text);
    }

    fn scene(&self, every: &str) -> Scene {
        let root = self.0.path().to_str().unwrap();
        Scene::new(&["--sensors-root", root, "--sensors-every", every, "--stop-timeout", NEVER])
    }
}

/// Waits until the sensors have been looked at.
fn wait_for_look(world: &World, found: impl Fn(&Value) -> bool) -> Value {
    wait_for("a look at the sensors", || {
        let done = world.done(["status", "a", "--json"]);
        let status: Value = serde_json::from_slice(&done.stdout).ok()?;
        let seen = status["environment"].clone();
        (seen["looked"].is_string() && found(&seen)).then_some(seen)
    })
}

/// Waits for so many more looks.
fn wait_for_looks(world: &World, count: usize) {
    let mut last = json!(null);
    for _ in 0..count {
        last = wait_for_look(world, |seen| seen["looked"] != last)["looked"].clone();
    }
}

/// Lets the agent go, which ends the run.
fn ends(scene: Scene, puppet: Puppet) -> String {
    puppet.exit(0);
    let done = scene.run.done();
    assert_eq!(done.code, Some(0), "{done:?}");
    done.stderr
}

#[test]
fn a_level_that_rises_is_told_once() {
    let machine = Machine::new();
    let scene = machine.scene(OFTEN);
    let mut puppet = scene.puppets.next();
    let greeting = puppet.initialize();
    let nothing = json!({"cpu": null, "memory": null, "psi": null, "temperature": null});
    let environment = &greeting["environment"];
    // Its score is that of the disk the state is on, which is this machine's.
    assert_eq!(environment["level"], "calm", "{environment}");
    for name in nothing.as_object().unwrap().keys() {
        assert_eq!(environment["signals"].get(name), Some(&json!(null)), "{environment}");
    }
    machine.uses_memory(90);
    let told = puppet.wire.read();
    assert_eq!(told["method"], "environment.changed");
    assert_eq!(told["params"]["level"], "high");
    assert_eq!(told["params"]["signals"]["memory"], 0.9);
    // Now and then it has a little less.
    for percent in [86, 91, 87, 90] {
        machine.uses_memory(percent);
        wait_for_looks(&scene.world, 3);
    }
    // What is next on the wire is no second one.
    puppet.wire.ask("state.get", "{}").unwrap();
    let seen = scene.world.status()["environment"].clone();
    assert_eq!((&seen["level"], &seen["worst"]), (&json!("high"), &json!("memory")));
    assert_eq!(seen["changes"].as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(seen["since"], seen["changes"][0]["at"]);
    let page = String::from_utf8(scene.world.done(["status", "a"]).stdout).unwrap();
    // How far it follows the last looks depends on how many there were.
    assert!(page.contains("environment  high (score 0."), "{page}");
    assert!(page.contains("worst is memory 9") || page.contains("worst is memory 8"), "{page}");
    let said = ends(scene, puppet);
    assert_eq!(said.matches("pressure on the machine").count(), 1, "{said}");
    assert!(said.contains("is up to high (score 0.7"), "{said}");
}

#[test]
fn a_successor_is_greeted_with_the_level() {
    let machine = Machine::new();
    machine.uses_memory(97);
    let scene = machine.scene(OFTEN);
    let mut puppet = scene.puppets.next();
    wait_for_look(&scene.world, |seen| seen["level"] == "critical");
    assert_eq!(puppet.initialize()["environment"]["level"], "critical");
    puppet.exit(1);
    let mut puppet = scene.puppets.next();
    let environment = puppet.initialize()["environment"].clone();
    assert_eq!(environment["level"], "critical");
    assert!(environment["score"].as_f64() >= Some(0.85), "{environment}");
    ends(scene, puppet);
}

#[test]
fn the_limits_of_a_container_count() {
    let machine = Machine::new();
    machine.uses_memory(10);
    machine.put("proc/self/cgroup", "0::/\n");
    machine.put("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    machine.put("sys/fs/cgroup/memory.max", "1000000\n");
    machine.put("sys/fs/cgroup/memory.current", "960000\n");
    machine.put("sys/fs/cgroup/memory.stat", "inactive_file 0\nactive_file 0\n");
    let scene = machine.scene(OFTEN);
    let mut puppet = scene.puppets.next();
    let seen = wait_for_look(&scene.world, |seen| seen["level"] == "critical");
    assert_eq!(seen["signals"]["memory"], 0.96);
    puppet.initialize();
    ends(scene, puppet);
}

#[test]
fn a_sensor_that_blocks_holds_up_nothing() {
    let machine = Machine::new();
    machine.uses_memory(90);
    machine.put("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
    machine.put("sys/class/thermal/thermal_zone1/type", "cpu-thermal\n");
    machine.put("sys/class/thermal/thermal_zone1/temp", "50000\n");
    for name in ["sys/class/thermal/thermal_zone0/temp", "proc/stat", "proc/pressure/cpu"] {
        mkfifo(&machine.path(name), Mode::S_IRWXU).unwrap();
    }
    let scene = machine.scene(OFTEN);
    let mut puppet = scene.puppets.next();
    puppet.initialize();
    let seen = wait_for_look(&scene.world, |seen| seen["signals"]["memory"] == 0.9);
    assert_eq!(seen["signals"]["cpu"], json!(null));
    wait_for_looks(&scene.world, 3);
    // The other zone is read all the same.
    wait_for_look(&scene.world, |seen| seen["signals"]["temperature"] == 50.0);
    scene.run.signal(15);
    puppet.exit(0);
    let done = scene.run.done();
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn nobody_looks() {
    let machine = Machine::new();
    machine.uses_memory(99);
    let scene = machine.scene("0");
    let mut puppet = scene.puppets.next();
    assert_eq!(puppet.initialize()["environment"]["level"], "calm");
    assert_eq!(scene.world.status()["environment"], json!(null));
    let threads = std::fs::read_dir(format!("/proc/{}/task", scene.run.pid())).unwrap();
    for thread in threads {
        let name = std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap();
        assert!(!name.contains("sensors") && !name.contains("thermal"), "{name}");
    }
    ends(scene, puppet);
}

#[test]
fn the_machine_this_runs_on() {
    let world = World::new();
    let mut run = world.run_shell(&["--sensors-every", "20ms"], "read x");
    // The processor needs two looks.
    let seen = wait_for_look(&world, |seen| seen["signals"]["cpu"].is_number());
    for name in ["cpu", "memory", "disk"] {
        let share = seen["signals"][name].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{seen}");
    }
    run.kill();
}
