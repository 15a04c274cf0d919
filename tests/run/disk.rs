//! A disk that is full, and then is not: a tmpfs of 2 MB under a live agent.

use serde_json::{Value, json};

use crate::support::{Run, World, kill, small_disk, wait_for};
use crate::wire::Scene;

#[test]
fn a_disk_that_is_filled_up_and_freed() {
    let world = World::new();
    if let Err(errno) = small_disk(&world.state_dir(), "2m") {
        println!("skipped: a tmpfs can't be mounted here ({errno})");
        return;
    }
    let puppets = world.puppets();
    let tell = format!("cat >> '{}'", world.path("diary").display());
    let options = ["--no-python-client", "--backoff-initial", "1ms", "--on-alert", &tell];
    let run = world.run(&options, puppets.argv());
    let scene = Scene { run, puppets, world };
    let mut puppet = scene.puppets.next();
    puppet.initialize();
    let mut acked = json!({});
    let mut n = 0_u64;
    for round in 0..3 {
        // Somebody else fills the disk while the agent writes.
        let refusal = loop {
            n += 1;
            let block = vec![1; 100 << 10];
            let _full = std::fs::write(scene.world.state_dir().join(format!("filler-{n}")), block);
            match patch(&mut puppet, &mut acked, n) {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(refusal["code"], 1501, "{refusal}");
        assert_eq!(refusal["data"]["kind"], "store_failed");
        assert_eq!(refusal["data"]["retryable"], true);
        assert_eq!(refusal["data"]["reason"], "full", "{refusal}");
        // Reads go on, here and beside it, and nothing acknowledged is gone.
        let read = puppet.wire.ask("state.get", "{}").unwrap();
        assert_eq!(read["value"], acked);
        assert_eq!(scene.world.state().1, acked);
        let store = scene.world.status()["store"].as_str().unwrap().to_owned();
        assert!(store.contains("full"), "{store}");
        assert_eq!(scene.world.done(["status", "a", "--check"]).code, Some(1));
        if round == 1 {
            // Nor does a crash in the midst of it lose anything.
            puppet.exit(1);
            puppet = scene.puppets.next();
            assert_eq!(puppet.initialize()["state"]["value"], acked);
        }
        // It goes on by itself when there is room again.
        for entry in std::fs::read_dir(scene.world.state_dir()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with("filler") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        wait_for("the disk to take writes", || {
            n += 1;
            patch(&mut puppet, &mut acked, n).ok()
        });
        wait_for("the all clear", || (scene.world.status()["store"] == "ok").then_some(()));
    }
    puppet.exit(1);
    let mut puppet = scene.puppets.next();
    assert_eq!(puppet.initialize()["state"]["value"], acked);
    puppet.exit(0);
    let Scene { run, world, .. } = scene;
    let done = run.done();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(world.state().1, acked);
    assert_eq!(world.ends().len(), 3, "each end is in the ledger: {:?}", world.ends());
    // A person was told each time it began, and each time it was over.
    let diary = std::fs::read_to_string(world.path("diary")).unwrap();
    let told: Vec<Value> = diary.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(told.len() >= 6, "three times at least: {told:?}");
    for pair in told.chunks(2) {
        let [begun, over] = pair else { panic!("it is not over: {told:?}") };
        assert_eq!(
            (&begun["alert"], &over["over"]),
            (&json!("store_failing"), &json!("store_failing"))
        );
        assert_eq!((&begun["reason"], &over["alert"]), (&json!("full"), &json!("recovered")));
    }
}

#[test]
fn a_limit_of_the_file_size_is_an_error_and_no_death() {
    let world = World::new();
    let puppets = world.puppets();
    let options = ["--no-python-client", "--backoff-initial", "1ms", "--stop-timeout", "1s"];
    let inner = world.run_command(&options, puppets.argv());
    // In blocks of 512 bytes: 1 MiB.
    let mut limited = world.program("/bin/sh");
    limited.args(["-c", "ulimit -f 2048; exec \"$@\"", "sh"]);
    limited.arg(inner.get_program()).args(inner.get_args());
    let run = Run::start(limited);
    let mut puppet = puppets.next();
    puppet.initialize();
    let disposition = puppet.ask("answer = signal.getsignal(signal.SIGXFSZ) is not None");
    assert_eq!(disposition, true);
    let mut acked = json!({});
    let refusal = (1..).find_map(|n| {
        let change = json!({format!("k{n}"): "x".repeat(20_000)});
        match puppet.wire.ask("state.patch", json!({"patch": change})) {
            Ok(_) => acked.as_object_mut().unwrap().extend(change.as_object().unwrap().clone()),
            Err(error) => return Some(error),
        }
        None
    });
    let refusal = refusal.unwrap();
    assert!([1501, 1502].contains(&refusal["code"].as_i64().unwrap()), "{refusal}");
    assert_eq!(refusal["data"]["retryable"], true);
    assert_eq!(world.state().1, acked);
    kill(puppet.pid, 9);
    let mut puppet = puppets.next();
    assert_eq!(puppet.initialize()["state"]["value"], acked);
    let done = run.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(world.state().1, acked);
}

/// A patch; what was acknowledged with it.
fn patch(puppet: &mut crate::support::Puppet, acked: &mut Value, n: u64) -> Result<(), Value> {
    // Some of it lasting, so that the state itself grows a little.
    let change = json!({"n": n, format!("k{}", n % 50): "x".repeat(200)});
    puppet.wire.ask("state.patch", json!({"patch": change}))?;
    let state = acked.as_object_mut().unwrap();
    state.extend(change.as_object().unwrap().clone());
    Ok(())
}
