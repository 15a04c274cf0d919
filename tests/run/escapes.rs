//! Nothing that an agent says is obeyed by a terminal, whichever command shows
//! it.

use std::process::Stdio;

use adrt::cli::text::is_hostile;
use serde_json::json;

use crate::support::terminal;
use crate::support::{World, wait_for};

/// A title, a cleared screen, text from right to left, the C1 form of an
/// escape, and a line that is written over.
const EVIL: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}txt\u{9b}31m\rover\u{8}";

/// Every command that shows something of an agent's, with what it needs.
const COMMANDS: &[&[&str]] = &[
    &["list"],
    &["status", "a"],
    &["status", "a", "--check"],
    &["logs", "a"],
    &["crashes", "list", "a"],
    &["crashes", "show", "a"],
    &["state", "show", "a"],
    &["state", "get", "a", "evil"],
    &["state", "history", "a"],
    &["state", "diff", "a", "1", "2"],
    &["checkpoints", "list", "a"],
    &["checkpoints", "show", "a", "1"],
    &["events", "list", "a"],
    &["events", "list", "a", "--dead"],
    &["events", "show", "a", "1"],
    &["reviews", "list", "a"],
    &["decisions", "list", "a"],
    &["why", "a", "1"],
];

#[test]
fn what_a_hostile_agent_says_is_shown_and_not_obeyed() {
    let world = World::new();
    let puppets = world.puppets();
    let options = ["--no-python-client", "--backoff-initial", "1ms", "--max-attempts", "1"];
    let mut command = world.run_command(&options, puppets.argv());
    command.stdin(Stdio::null());
    let (mut run, screen) = terminal::start(command, true);
    let mut puppet = puppets.next();
    puppet.wire.write(format!("{EVIL}\n").as_bytes());
    puppet.initialize();
    let mut ask = |method: &str, params: serde_json::Value| {
        puppet.wire.ask(method, params).unwrap_or_else(|e| panic!("{method}: {e}"))
    };
    ask("state.set", json!({"value": {"evil": EVIL, EVIL: 1}}));
    ask("state.patch", json!({"patch": {"more": [EVIL]}}));
    ask("checkpoint.create", json!({"label": EVIL}));
    ask("event.process", json!({"event": {"type": "service_overload", "cpu": 94, "evil": EVIL}}));
    ask("event.emit", json!({"event": {"type": "evil", "text": EVIL}}));
    ask("review.request", json!({"prompt": EVIL, "options": [EVIL, "no"]}));
    ask("log", json!({"level": "error", "message": EVIL, "fields": {"evil": EVIL}}));
    ask("heartbeat", json!({"status": EVIL}));
    // It is handed the event, and gives it up for good.
    puppet.wire.ask("event.subscribe", json!({"credit": 1})).unwrap();
    let event = puppet.wire.read()["params"].clone();
    let give_up = json!({"seq": event["seq"], "attempt": event["attempt"], "dead": true,
                         "reason": EVIL});
    puppet.wire.ask("event.nack", give_up).unwrap();
    let evil = json!(format!("{EVIL}\n")).to_string();
    puppet.ask(&format!("os.write(2, {evil}.encode()); os.write(3, {evil}.encode())"));
    wait_for("all of it to be kept", || {
        let done = world.done(["logs", "a", "--json"]);
        let text = String::from_utf8(done.stdout).unwrap();
        (text.matches("owned").count() >= 5).then_some(())
    });
    let mut said = 0;
    let mut shown = || {
        for words in COMMANDS {
            for more in [&[][..], &["--json"], &["--color", "always"]] {
                let mut command = world.adrt(words.iter().chain(more));
                command.env("COLUMNS", "100").env("TERM", "xterm");
                let (mut child, screen) = terminal::start(command, true);
                let code = child.wait().unwrap().code();
                let text = screen.text();
                let expected = if words.contains(&"--check") { [0, 1] } else { [0, 0] };
                assert!(code.is_some_and(|code| expected.contains(&code)), "{words:?}: {text}");
                assert_harmless(&format!("{words:?} {more:?}"), &without_colours(&text));
                said += text.matches("owned").count();
            }
        }
    };
    // An end that is on record, and one whose output is in the log alone.
    puppet.exit(1);
    let mut puppet = puppets.next();
    puppet.initialize();
    shown();
    // It is in nearly all of them: they have been looked at to some purpose.
    assert!(said > 2 * COMMANDS.len(), "{said}");
    // And adrt itself, while the agent's text goes through it.
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(run.id().try_into().unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    puppet.exit(0);
    run.wait().unwrap();
    let text = screen.text();
    assert!(text.contains("owned"), "{text}");
    // A terminal is spared what it would obey; what it would only show from
    // right to left, and a line that begins anew, are text.
    let obeyed = |c: &char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    assert_eq!(text.chars().find(obeyed), None, "{text:?}");
}

/// The text without the colours that adrt itself uses.
fn without_colours(text: &str) -> String {
    let mut text = text.to_owned();
    for code in ["0", "1", "2", "31", "32", "33", "34", "36"] {
        text = text.replace(&format!("\u{1b}[{code}m"), "");
    }
    text
}

fn assert_harmless(what: &str, text: &str) {
    let hostile = text.chars().find(|c| is_hostile(*c) && *c != '\n' && *c != '\t');
    assert_eq!(hostile, None, "{what}: {text:?}");
}
