//! What a service manager is told of a start and of an end.

use std::os::unix::net::UnixDatagram;

use crate::support::{PATIENCE, Puppets, Run, World};

/// A run with a manager that listens.
struct Service {
    manager: UnixDatagram,
    run: Run,
    puppets: Puppets,
    _world: World,
}

impl Service {
    fn new(options: &[&str]) -> Self {
        let world = World::new();
        let path = world.path("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let puppets = world.puppets();
        let quick = ["--backoff-initial", "1ms", "--backoff-max", "5ms", "--stop-timeout", "7s"];
        let mut command = world.run_command(&[&quick, options].concat(), puppets.argv());
        command.env("NOTIFY_SOCKET", &path);
        Self { manager, run: Run::start(command), puppets, _world: world }
    }

    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let count = self.manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    /// What is said up to a line that ends so, which is left out.
    fn until(&self, end: &str) -> Vec<String> {
        let said = std::iter::repeat_with(|| self.next());
        said.take_while(|line| !line.trim_end().ends_with(end)).collect()
    }
}

fn has(said: &[String], line: &str) -> bool {
    said.iter().any(|one| one.trim_end() == line)
}

const MORE_TIME: &str = "EXTEND_TIMEOUT_USEC=30000000";

#[test]
fn with_ready_agent_nothing_else_makes_it_ready() {
    let service = Service::new(&["--ready", "agent", "--ready-timeout", "1ms"]);
    assert_eq!(service.next().trim_end(), MORE_TIME, "before anything else");
    for _ in 0..3 {
        service.puppets.next().exit(1);
    }
    let mut puppet = service.puppets.next();
    puppet.initialize();
    puppet.wire.ask("heartbeat", r#"{"status":"warming up"}"#).unwrap();
    let said = service.until("; says: warming up");
    assert!(!has(&said, "READY=1"), "{said:?}");
    puppet.wire.ask("ready", "{}").unwrap();
    let said = service.until("READY=1");
    assert!(!has(&said, "STOPPING=1"), "{said:?}");
}

#[test]
fn a_word_by_a_command_is_as_good() {
    let service = Service::new(&["--ready", "agent"]);
    let puppet = service.puppets.next();
    let done = service._world.done(["notify", "ready", "a"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    service.until("READY=1");
    drop(puppet);
}

#[test]
fn without_it_the_end_of_the_first_one_is_enough() {
    let service = Service::new(&["--ready-timeout", "1h"]);
    service.puppets.next().exit(1);
    let said = service.until("READY=1");
    assert!(!has(&said, MORE_TIME), "{said:?}");
}

#[test]
fn a_stop_gets_the_time_that_its_last_writes_may_take() {
    let mut service = Service::new(&["--ready", "agent"]);
    let mut puppet = service.puppets.next();
    puppet.initialize();
    puppet.wire.ask("state.patch", r#"{"patch":{"n":1}}"#).unwrap();
    service.run.signal(15);
    let said = service.until("STOPPING=1");
    assert!(!has(&said, "READY=1"), "it never was: {said:?}");
    // --stop-timeout and a margin.
    service.until("EXTEND_TIMEOUT_USEC=17000000");
    assert_eq!(service.run.wait().code(), Some(0));
}
