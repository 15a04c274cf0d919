//! What many lives, and rude neighbours, must not add up to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::support::process::peak_memory_kib;
use crate::support::{World, wait_for};
use crate::wire::Scene;

/// Lives of an agent that crashes at once.
const LIVES: usize = 200;
/// What adrt may have at its peak after them.
const PEAK_KIB_MAX: u64 = 32 * 1024;

#[test]
fn many_lives_leave_no_descriptor_and_no_process_behind() {
    let world = World::new();
    let script = "setsid --fork true; echo x >> lives; exit 1";
    let options = ["--no-python-client", "--backoff-initial", "0ms", "--backoff-max", "0ms"];
    let run = world.run_shell(&options, script);
    let lives = || std::fs::read(world.path("lives")).unwrap_or_default().len() / 2;
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", run.pid())).unwrap().count();
    wait_for("some lives", || (lives() >= 10).then_some(()));
    let most_before = (0..100).map(|_| descriptors()).max().unwrap();
    wait_for("many lives", || (lives() >= LIVES).then_some(()));
    // It may be amid a spawn at any one moment.
    wait_for("no more descriptors than before", || (descriptors() <= most_before).then_some(()));
    wait_for("no remains", || {
        let path = format!("/proc/{0}/task/{0}/children", run.pid());
        let children = std::fs::read_to_string(path).unwrap_or_default();
        (children.split_whitespace().count() <= 1).then_some(())
    });
    let peak = peak_memory_kib(run.pid());
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    assert_eq!(run.stop().code, Some(0));
    world.wait_empty();
}

#[test]
fn orphans_are_reaped_while_the_agent_lives() {
    let (scene, mut puppet) = Scene::open(&[]);
    let orphan = puppet.ask(
        "orphan = ['setsid', '--fork', 'sh', '-c', 'echo $$']\n\
         answer = [int(subprocess.check_output(orphan)) for _ in range(20)]",
    );
    for pid in orphan.as_array().unwrap() {
        wait_for("an orphan to be reaped", || {
            (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
        });
    }
    puppet.wire.ask("heartbeat", "{}").unwrap();
    assert_eq!(scene.world.status()["phase"], "running");
}

#[test]
fn operators_may_say_anything() {
    let (scene, mut puppet) = Scene::open(&[]);
    let path = puppet.env["ADRT_SOCKET"].as_str().unwrap().to_owned();
    let connect = || {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        BufReader::new(stream)
    };
    let mut operator = connect();
    let mut ask = |line: &[u8]| -> Value {
        operator.get_mut().write_all(&[line, b"\n"].concat()).unwrap();
        let mut answer = String::new();
        operator.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
    };
    for (line, code) in [
        (&b"hello"[..], -32600),
        (b"", -32600),
        (b"\xff\xfe", -32600),
        (b"[]", -32600),
        (br#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":1,"method":NaN}"#, -32700),
        (br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#, -32601),
        (br#"{"jsonrpc":"2.0","id":1,"method":"run.finish","params":{}}"#, -32601),
        (br#"{"jsonrpc":"2.0","id":1,"method":"stop","params":{"now":true}}"#, -32602),
    ] {
        let answer = ask(line);
        assert_eq!(answer["error"]["code"], code, "{}: {answer}", String::from_utf8_lossy(line));
    }
    // Every request is answered, even one that asks for no answer.
    let silent = ask(br#"{"jsonrpc":"2.0","method":"state.get"}"#);
    assert_eq!(silent["result"]["value"], json!({}), "{silent}");
    // Those that go away in the midst of it leave nothing waiting.
    for part in [&br#"{"jsonrpc":"2.0","id":1,"method":"state.get"}"#[..], b"{", b"\n\n\n"] {
        for _ in 0..100 {
            let _full = connect().get_mut().write_all(part);
        }
    }
    // More than may be served at a time: the others are told to come again.
    let mut crowd: Vec<_> = (0..80).map(|_| connect()).collect();
    let mut told = String::new();
    crowd.last_mut().unwrap().read_line(&mut told).unwrap();
    assert!(told.contains("overloaded"), "{told}");
    puppet.wire.ask("state.set", r#"{"value":{"n":1}}"#).unwrap();
    drop(crowd);
    wait_for("room for an operator", || {
        let done = scene.world.done(["status", "a", "--json"]);
        let status: Value = serde_json::from_slice(&done.stdout).ok()?;
        (status["phase"] == "running").then_some(())
    });
}
