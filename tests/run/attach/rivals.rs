//! One writer, and nobody's parent is killed.

use serde_json::json;

use super::{Client, kill_and_wait, us, wait_for_record};
use crate::support::process::{is_alive, wait_dead};
use crate::support::{Run, World, kill, wait_for};

#[test]
fn a_second_one_is_refused_with_the_first_ones_number() {
    let world = World::new();
    let mut client = Client::open(&world, &[]);
    let pid = client.run.pid().to_string();
    let commands: [&[&str]; 4] = [
        &["attach", "-n", "a"],
        &["run", "-n", "a", "--", "true"],
        &["rm", "a", "--yes"],
        &["rename", "a", "b"],
    ];
    for words in commands {
        let refused = world.done(words);
        assert_eq!(refused.code, Some(75), "{words:?}: {refused:?}");
        assert!(refused.stderr.contains(&pid), "{words:?}: {refused:?}");
        assert!(refused.stdout.is_empty(), "{words:?}: {refused:?}");
    }
    client.wire.ask("heartbeat", "{}").unwrap();
    assert_eq!(client.leave().code, Some(0));

    let run = world.run_shell(&[], "echo up; exec sleep 1000");
    run.stdout.wait_for("up\n");
    let refused = world.done(["attach", "-n", "a"]);
    assert_eq!(refused.code, Some(75), "{refused:?}");
    assert!(refused.stderr.contains(&run.pid().to_string()), "{refused:?}");
    assert_eq!(run.stop().code, Some(0));
}

/// A client that is started again at once does not come too early.
#[test]
fn the_next_waits_for_what_the_one_before_still_writes() {
    let world = World::new();
    let mut gone = Vec::new();
    for n in 1..=20_u64 {
        let mut client = Client::open(&world, &[]);
        let patched = client.wire.ask("state.patch", json!({"patch": {"n": n}})).unwrap();
        assert_eq!(patched["version"], n);
        // As if it were killed.
        client.wire.close();
        gone.push(client.run);
    }
    for run in gone {
        assert_eq!(run.done().code, Some(0));
    }
}

/// A program that leads a group and a session of its own, as a service does,
/// and has started `adrt attach`: what it is, and what it started.
fn parent(world: &World) -> (Run, crate::support::Puppet, i32) {
    let puppets = world.puppets();
    let mut argv = puppets.argv();
    let mut command = world.program(argv.remove(0));
    command.args(argv);
    let run = Run::start(command);
    let mut puppet = puppets.next();
    let adrt = env!("CARGO_BIN_EXE_adrt");
    let started = puppet.ask(&format!(
        "os.setsid()\n\
         pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n\
         attached = subprocess.Popen([{adrt:?}, 'attach', '-n', 'a'], **pipes)\n\
         hello = {{'protocol': [1], 'token': '', 'client': {{'name': 'x'}}}}\n\
         hello = {{'jsonrpc': '2.0', 'id': 1, 'method': 'initialize', 'params': hello}}\n\
         attached.stdin.write(json.dumps(hello).encode() + b'\\n')\n\
         attached.stdin.flush()\n\
         attached.stdout.readline()\n\
         answer = attached.pid"
    ));
    (run, puppet, started.as_i64().unwrap().try_into().unwrap())
}

#[test]
fn who_started_a_killed_adrt_is_no_orphan_of_it() {
    let world = World::new();
    let (_run, puppet, attached) = parent(&world);
    assert_eq!(world.status()["pid"], puppet.pid);
    wait_for_record(&world, 1);
    kill(attached, 9);
    wait_dead(attached);

    // By the next run …
    let run = world.run_shell(&[], "echo up; exec sleep 1000");
    run.stdout.wait_for("up\n");
    assert!(is_alive(puppet.pid), "it was killed as an orphan");
    let lost = wait_for("its record", || world.ends().first().cloned());
    assert_eq!((&lost["class"], &lost["crash"]), (&json!("lost"), &json!(false)));
    assert!(lost["summary"].as_str().unwrap().contains("attached"), "{lost}");
    assert_eq!(run.stop().code, Some(0));

    // … and by the next that attaches.
    let mut client = Client::open(&world, &[]);
    wait_for_record(&world, 3);
    kill_and_wait(&mut client.run);
    let mut client = Client::start(&world, &[]);
    let greeting = client.initialize(json!({}));
    assert_eq!(
        (&greeting["incarnation"], &greeting["start"]["reason"]),
        (&json!(4), &json!("resume"))
    );
    assert_eq!(client.leave().code, Some(0));
    assert!(is_alive(puppet.pid) && is_alive(us()));
}

#[test]
fn nor_is_it_touched_by_any_end() {
    let world = World::new();
    for end in [&["stop", "a"][..], &["stop", "a", "--wait", "0"]] {
        let (_run, mut puppet, attached) = parent(&world);
        assert_eq!(world.done(end).code, Some(0));
        if end.len() > 2 {
            kill(attached, 15);
        } else {
            wait_dead(attached);
        }
        let code = puppet.ask("answer = attached.wait()");
        assert_eq!(code, 0);
        assert!(is_alive(puppet.pid));
    }
}

#[test]
fn what_a_killed_run_left_is_killed_but_does_not_attach() {
    let world = World::new();
    // Of the group of its agent, and not dead with it.
    let left = "(echo child $(exec sh -c 'echo $PPID'); until [ -e go ]; do sleep 0.01; done; \
                adrt attach -n a </dev/null; echo $? > code; exec sleep 1000) & \
                echo agent $$; wait";
    let mut run = world.run_shell(&[], left);
    let number = |text| run.stdout.after(text).trim().parse::<i32>().unwrap();
    let (child, agent) = (number("child "), number("agent "));
    wait_for_record(&world, 1);
    kill_and_wait(&mut run);
    wait_dead(agent);
    assert!(is_alive(child), "nobody is there to kill it");
    world.file("go", "");
    let code = wait_for("its attempt to end", || {
        std::fs::read_to_string(world.path("code")).ok().filter(|code| code.ends_with('\n'))
    });
    assert_eq!(code, "75\n");
    assert!(is_alive(child));
    // Somebody else attaches, and there is only one.
    let mut client = Client::start(&world, &[]);
    assert_eq!(client.initialize(json!({}))["start"]["reason"], "resume");
    wait_dead(child);
    assert_eq!(client.leave().code, Some(0));
}
