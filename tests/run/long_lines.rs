//! Lines far longer than any frame may be.

use crate::support::process::peak_memory_kib;
use crate::support::wait_for;
use crate::wire::Scene;

/// Longer than `max_frame`, and than all adrt may ever need for it.
const LONG_BYTES: usize = 64 << 20;
/// A line is held up to `max_frame`, 16 MiB, in a buffer that grows by
/// doubling; the rest is the program.
const PEAK_KIB_MAX: u64 = 60 * 1024;

#[test]
fn a_frame_of_64_mb_is_refused_and_the_agent_lives() {
    let (scene, mut puppet) = Scene::open(&[]);
    puppet.wire.write(br#"{"jsonrpc":"2.0","id":1,"method":"state.set","params":{"value":{"x":""#);
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..LONG_BYTES / chunk.len() {
        puppet.wire.write(&chunk);
    }
    puppet.wire.line(r#""}}}"#);
    let answer = puppet.wire.read();
    let error = &answer["error"];
    assert_eq!((&answer["id"], error["code"].as_i64()), (&serde_json::Value::Null, Some(-32700)));
    assert!(error["message"].as_str().unwrap().contains("max_frame"), "{error}");
    assert_eq!(error["data"]["max_frame"], 16 << 20);
    puppet.wire.ask("state.set", r#"{"value":{"n":1}}"#).unwrap();
    assert_eq!(scene.world.state().0, 1);
    assert_eq!(scene.run.stdout.len(), 0);
    let peak = peak_memory_kib(scene.run.pid());
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
}

#[test]
fn text_of_64_mb_is_passed_on_byte_for_byte() {
    // What may be a frame is held twice: where it is read and where it is written.
    let scene = Scene::new(&["--max-frame", "4MiB"]);
    let mut puppet = scene.puppets.next();
    // Every byte but the newline, in lines of which some begin like a frame.
    let chunk: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').cycle().take(1 << 20).collect();
    for begin in ["", "{", r#"{"jsonrpc":"2.0","id":1,"#] {
        let line = [begin.as_bytes(), &chunk.repeat(LONG_BYTES / chunk.len()), b"\n"].concat();
        puppet.wire.write(&line);
        let from = passed_on(&scene, line.len());
        assert!(from == line, "it came out changed");
    }
    puppet.initialize();
    // From then on printed text has a pipe of its own.
    puppet.ask(&format!(
        "import threading\n\
         text = bytes(range(256)) * ({LONG_BYTES} // 256)\n\
         def flood():\n\
         \x20   at = 0\n\
         \x20   while at < len(text): at += os.write(3, text[at:at + 65536])\n\
         threading.Thread(target=flood, daemon=True).start()"
    ));
    puppet.wire.ask("state.set", r#"{"value":{"n":1}}"#).unwrap();
    let text = passed_on(&scene, LONG_BYTES);
    assert!(text.iter().enumerate().all(|(at, byte)| *byte == (at % 256) as u8));
    let peak = peak_memory_kib(scene.run.pid());
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
}

/// Waits for so much of stdout, and takes it away.
fn passed_on(scene: &Scene, length: usize) -> Vec<u8> {
    wait_for("all of the text", || (scene.run.stdout.len() >= length).then_some(()));
    scene.run.stdout.take()
}
