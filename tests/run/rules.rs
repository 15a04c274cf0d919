//! The rules file of a run: read at its start, read again when that is asked
//! for, and never by halves.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{PATIENCE, Puppet, Puppets, Run, World, wait_for};

/// A rule for everything, with that action.
fn rule(action: &str) -> String {
    format!("[[rule]]\naction = \"{action}\"\nreason = \"r\"\ngate = \"never\"\n")
}

/// A run with these rules, and its agent.
struct Ruled {
    run: Run,
    puppet: Puppet,
    _puppets: Puppets,
    world: World,
}

impl Ruled {
    fn new(rules: &str) -> Self {
        let world = World::new();
        let file = world.file("rules.toml", rules).display().to_string();
        Self::in_world(world, &["--rules", &file], None)
    }

    fn in_world(world: World, options: &[&str], notify: Option<&Path>) -> Self {
        let puppets = world.puppets();
        let mut all = vec!["--no-python-client", "--stop-timeout", "1s"];
        all.extend(options);
        let mut command = world.run_command(&all, puppets.argv());
        if let Some(socket) = notify {
            command.env("NOTIFY_SOCKET", socket);
        }
        let run = Run::start(command);
        let mut puppet = puppets.next();
        puppet.initialize_with(json!({"state": "omit"}));
        Self { run, puppet, _puppets: puppets, world }
    }

    /// What is to be done about anything.
    fn action(&mut self) -> String {
        let params =
            json!({"event": {"type": "t"}, "context": "c", "risk": "low", "confidence": 1});
        let decided = self.puppet.wire.ask("decision.decide", params).unwrap();
        decided["action"].as_str().unwrap().to_owned()
    }

    fn write(&self, rules: &str) {
        self.world.file("rules.toml", rules);
    }

    fn hang_up(&self, said: &str) {
        self.run.stderr.take();
        self.run.signal(1);
        self.run.stderr.wait_for(said);
    }

    fn rules(&self) -> Value {
        self.world.status()["rules"].clone()
    }
}

#[test]
fn they_are_read_again_on_sighup() {
    let mut ruled = Ruled::new(&rule("first"));
    assert_eq!(ruled.action(), "first");
    ruled.write(&format!("{}{}", rule("second"), rule("never_reached")));
    assert_eq!(ruled.action(), "first", "nobody has asked for it");
    ruled.hang_up("adrt: read again: 2 rules from ");
    ruled.run.stderr.wait_for("rules.toml, 1 warning\n");
    assert!(ruled.run.stderr.contains("line 5, column 1: this rule is never reached"));
    assert_eq!(ruled.action(), "second");
    ruled.write("");
    ruled.hang_up("adrt: read again: 0 rules from ");
    assert_eq!(ruled.action(), "monitor_and_wait");
}

#[test]
fn with_a_mistake_in_them_they_stay_as_they_were() {
    let mut ruled = Ruled::new(&rule("first"));
    ruled.write(&format!("{}[thresholds]\n  hihg = 1\n", rule("second")));
    ruled.hang_up("adrt: the rules stay as they were: ");
    ruled.run.stderr.wait_for(
        "rules.toml, line 6, column 3: there is no setting \"hihg\" (did you mean \"high\"?)\n",
    );
    assert_eq!(ruled.action(), "first");
    let rules = ruled.rules();
    assert_eq!((&rules["own"], &rules["reloads"]), (&json!(1), &json!(1)));
    assert!(rules["trouble"].as_str().unwrap().contains("line 6, column 3"), "{rules}");
    let check = ruled.world.done(["status", "a", "--check"]);
    assert_eq!(check.code, Some(1), "the next start would be refused: {check:?}");
    std::fs::remove_file(ruled.world.path("rules.toml")).unwrap();
    ruled.hang_up("can't be read: No such file");
    assert_eq!(ruled.action(), "first");
    ruled.write(&rule("third"));
    ruled.hang_up("read again: 1 rule from ");
    assert_eq!(ruled.action(), "third");
    assert_eq!(ruled.rules()["trouble"], Value::Null);
    assert_eq!(ruled.world.done(["status", "a", "--check"]).code, Some(0));
}

#[test]
fn adrt_reload_says_what_came_of_it() {
    let mut ruled = Ruled::new(&rule("first"));
    ruled.write(&rule("second"));
    let done = ruled.world.done(["reload", "a"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.stdout, b"a goes by 1 rule of its own now\n");
    assert_eq!(ruled.action(), "second");
    ruled.write("[[rule]]\nreason = \"r\"\n");
    let done = ruled.world.done(["reload"]);
    assert_eq!(done.code, Some(78), "{done:?}");
    assert!(done.stderr.starts_with("adrt: the rules of a stay as they were\n  why: "), "{done:?}");
    assert!(done.stderr.contains("line 1, column 1: this rule has no action"), "{done:?}");
    ruled.write("");
    let told = ruled.world.json(&["reload", "--json"]);
    assert_eq!(told, json!({"agent": "a", "reloaded": true, "own": 0}));
}

#[test]
fn without_rules_there_is_nothing_to_read() {
    let ruled = Ruled::in_world(World::new(), &[], None);
    let done = ruled.world.done(["reload", "a"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("without a file of rules"), "{done:?}");
    ruled.hang_up("nothing to reload");
    assert_eq!(ruled.rules(), Value::Null);
    let Ruled { run, world, .. } = ruled;
    assert_eq!(run.stop().code, Some(0));
    assert_eq!(world.done(["reload", "a"]).code, Some(1), "nobody runs");
}

#[test]
fn they_may_stand_in_the_configuration_file() {
    let world = World::new();
    let table = rule("first").replace("[[rule]]", "[[rules.rule]]");
    let config = world.file("adrt.toml", format!("backoff-max = \"5s\"\n{table}"));
    let config = config.display().to_string();
    let mut ruled = Ruled::in_world(world, &["--config", &config], None);
    assert_eq!(ruled.action(), "first");
    // What is no rule is not read again, so it is no mistake either.
    ruled.world.file("adrt.toml", "backoff-max = \"soon\"\n[rules.thresholds]\nlow = 0.5\n");
    ruled.hang_up("read again: 0 rules from ");
    assert_eq!(ruled.action(), "monitor_and_wait");
    ruled.world.file("adrt.toml", "[rules]\nfoo = 1\n");
    ruled.hang_up("adrt.toml, line 2, column 1: there is no setting \"foo\"");
}

#[test]
fn a_start_with_a_mistake_in_them_is_refused() {
    let world = World::new();
    let good = world.file("good.toml", rule("a")).display().to_string();
    let bad = world.file("bad.toml", "[weights]\ncpu = 2\n").display().to_string();
    let config = world.file("adrt.toml", "[rules.weights]\ncpu = 2\n").display().to_string();
    for (options, told) in [
        (&["--rules", "/no/such/file"][..], "can't be read"),
        (&["--rules", &bad], "bad.toml, line 2, column 7"),
        (&["--config", &config], "adrt.toml, line 2, column 7"),
    ] {
        let done = world.run_shell(options, "echo started").done();
        assert_eq!(
            (done.code, done.stdout.as_slice()),
            (Some(78), &b""[..]),
            "{options:?}: {done:?}"
        );
        assert!(done.stderr.contains(told), "{done:?}");
        assert_eq!(done.stderr.lines().count(), 3, "{done:?}");
    }
    let both = ["--rules", &good, "--config", &config];
    let done = world.run_shell(&both, "echo started").done();
    assert_eq!((done.code, done.stdout.as_slice()), (Some(2), &b""[..]), "{done:?}");
    assert!(done.stderr.contains("rules in two places"), "{done:?}");
    assert!(!world.state_dir().join("a").exists(), "nothing was made");
    let warned = world.run_shell(&["--rules", &good, "-v"], "exit 0").done();
    assert_eq!(warned.code, Some(0), "{warned:?}");
    assert!(warned.stderr.contains("adrt: 1 rule from "), "{warned:?}");
}

/// Asked for twice while it is read, it is read once more: the last word counts.
#[test]
fn many_signals_end_with_the_last_file() {
    let mut ruled = Ruled::new(&rule("first"));
    for n in 0..50 {
        ruled.write(&rule(&format!("action_{n}")));
        ruled.run.signal(1);
    }
    wait_for("the last one", || (ruled.action() == "action_49").then_some(()));
}

/// A service manager that listens.
struct Manager(UnixDatagram);

impl Manager {
    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let count = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    /// The next one that is no status, and the status before it.
    fn next_word(&self) -> (String, String) {
        let mut status = String::new();
        loop {
            let next = self.next();
            match next.strip_prefix("STATUS=") {
                Some(line) => status = line.trim().to_owned(),
                None => return (next.trim().to_owned(), status),
            }
        }
    }
}

#[test]
fn the_service_manager_is_told() {
    let world = World::new();
    let path = world.path("notify");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let file = world.file("rules.toml", rule("first")).display().to_string();
    let mut ruled =
        Ruled::in_world(world, &["--rules", &file, "--ready-timeout", "1h"], Some(&path));
    // Before it is ready a reload is not told: its end would be taken for that.
    ruled.hang_up("read again: 1 rule");
    ruled.puppet.wire.ask("ready", json!({"status": "I am up"})).unwrap();
    assert_eq!(manager.next_word().0, "READY=1");
    ruled.write("oops");
    ruled.hang_up("stay as they were");
    let reloading = manager.next_word().0;
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    let (ready, status) = manager.next_word();
    assert_eq!(ready, "READY=1");
    assert!(status.contains("; says: I am up; the rules stay as they were: "), "{status}");
    assert!(status.contains("line 1, column"), "{status}");
    ruled.write(&rule("second"));
    ruled.hang_up("read again: 1 rule");
    assert!(manager.next_word().0.starts_with("RELOADING=1"));
    let (ready, status) = manager.next_word();
    assert_eq!(ready, "READY=1");
    assert!(status.ends_with("; says: I am up"), "{status}");
    let done = ruled.run.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(manager.next_word().0, "STOPPING=1");
}
