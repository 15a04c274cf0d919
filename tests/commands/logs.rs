//! What an agent printed, as `adrt logs` and `adrt status` show it.

use serde_json::{Value, json};

use crate::world::{World, assert_three_lines, no_reader, output, shown, text, until};

/// Two processes: one that fails with a traceback of sorts, one that is done.
const TWICE: &str = "if [ $ADRT_INCARNATION = 1 ]; then\n\
                     printf 'Traceback:\\n\\tat \\033[2Jhome\\n' >&2; printf 'no end'; exit 3\n\
                     fi\nprintf 'sec'; printf 'ond\\n'\n";

fn ran_twice(world: &World) {
    let script = world.script("twice.sh", TWICE);
    // On a busy machine adrt would have more to say.
    let words = ["run", "-n", "a", "--sensors-every", "0", "--backoff-initial", "1ms", "--", "sh"];
    world.ok(&[&words[..], &[text(&script)]].concat());
}

/// The lines as JSON.
fn lines(world: &World, words: &[&str]) -> Vec<Value> {
    let said = world.ok(&[&["logs", "--json"], words].concat());
    said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What is said in them, but adrt's own words.
fn texts(lines: &[Value]) -> Vec<&str> {
    let of_agent = lines.iter().filter(|line| line["stream"] != "adrt");
    of_agent.map(|line| line["text"].as_str().expect("text")).collect()
}

#[test]
fn lines_have_their_process_their_stream_and_what_adrt_said_of_it() {
    let world = World::new();
    ran_twice(&world);
    let found = lines(&world, &[]);
    let mut of_first = texts(&found)[..3].to_vec();
    of_first.sort_unstable();
    assert_eq!(of_first, ["\tat \u{1b}[2Jhome", "Traceback:", "no end"]);
    assert_eq!(texts(&found)[3..], ["second"]);
    let second = found.iter().find(|line| line["text"] == "second").expect("it is there");
    assert_eq!((&second["incarnation"], &second["stream"]), (&json!(2), &json!("stdout")));
    let of_adrt: Vec<String> = found
        .iter()
        .filter(|line| line["stream"] == "adrt")
        .map(|line| line["text"].as_str().expect("text").to_owned())
        .collect();
    assert!(of_adrt[0].starts_with("incarnation 1 started, pid "), "{of_adrt:?}");
    assert!(of_adrt[1].starts_with("agent exited with code 3 after "), "{of_adrt:?}");
    assert!(of_adrt[1].contains("starting again in"), "{of_adrt:?}");
    assert!(of_adrt.last().expect("an end").starts_with("the run is over"), "{of_adrt:?}");

    let page = world.ok(&["logs"]);
    assert!(page.contains("\tat \\u{1b}[2Jhome\n") && !page.contains('\u{1b}'), "{page}");
    assert!(page.contains("\nadrt: agent exited with code 3"), "{page}");
    assert_eq!(texts(&lines(&world, &["--incarnation", "2"])), ["second"]);
    assert_eq!(lines(&world, &["-n", "2"]), found[found.len() - 2..]);
    assert_eq!(lines(&world, &["--since", "1h ago"]), found);
    assert!(lines(&world, &["-n", "0"]).is_empty());
    assert_three_lines(&world.fails(2, &["logs", "--since", "whenever"]));
    assert_three_lines(&world.fails(66, &["logs", "b"]));
}

#[test]
fn the_end_of_it_is_on_the_page_of_a_status() {
    let world = World::new();
    ran_twice(&world);
    let seen = output(world.adrt(&["status"]).env("COLUMNS", "50"));
    let page = String::from_utf8(seen.stdout).expect("text");
    assert!(page.contains(" second\n") && page.contains("at \\u{1b}[2Jhome"), "{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 50), "{page}");
}

#[test]
fn a_terminal_sees_when_a_line_came() {
    let world = World::new();
    ran_twice(&world);
    let mut command = world.adrt(&["logs"]);
    command.env("TERM", "dumb");
    let page = shown(command);
    let line = page.lines().find(|line| line.ends_with(" second")).expect("it is there");
    let time: Vec<&str> = line.split_once(' ').expect("a time").0.split(':').collect();
    assert!(time.len() == 3 && time.iter().all(|part| part.parse::<u8>().is_ok()), "{line}");
}

#[test]
fn it_survives_kill_9_and_after_a_reboot_the_ledger_has_the_rest() {
    let world = World::new();
    let script = world.script(
        "a.sh",
        "if [ $ADRT_INCARNATION = 1 ]; then echo first; exit 3; fi\necho again; exec sleep 1000\n",
    );
    let words = ["run", "-n", "a", "--sensors-every", "0", "--backoff-initial", "1ms", "--", "sh"];
    let running = world.run("a", &[&words[..], &[text(&script)]].concat(), "running");
    until("all is said", || world.ok(&["logs"]).contains("\nagain\n").then_some(()));
    // Killed, with its agent.
    drop(running);
    until("it is gone", || (world.json(&["status", "--json"])["phase"] == "lost").then_some(()));
    assert_eq!(texts(&lines(&world, &[])), ["first", "again"]);

    // What a reboot does to a runtime directory.
    std::fs::remove_dir_all(world.path("run")).expect("removed");
    let seen = output(&mut world.adrt(&["logs"]));
    let (said, told) =
        (String::from_utf8_lossy(&seen.stdout), String::from_utf8_lossy(&seen.stderr));
    assert_eq!(said, "first\nadrt: agent exited with code 3\n");
    assert!(told.contains("from the ledger"), "{told}");

    let world = World::with(&["silent"]);
    std::fs::remove_dir_all(world.path("run")).expect("removed");
    let seen = output(&mut world.adrt(&["logs"]));
    assert_eq!((seen.status.code(), seen.stdout.len()), (Some(0), 0));
    assert!(String::from_utf8_lossy(&seen.stderr).contains("nothing that silent printed is kept"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let world = World::new();
    ran_twice(&world);
    let mut command = world.adrt(&["logs"]);
    let seen = command.stdout(no_reader().expect("a pipe")).output().expect("runs");
    assert_eq!((seen.status.code(), seen.stderr.len()), (Some(0), 0));
}

#[test]
fn the_log_goes_with_its_agent_and_nothing_else_does() {
    let logs = |world: &World| {
        let entries = std::fs::read_dir(world.path("run")).expect("a directory").flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "log")).count()
    };
    let world = World::with(&["a", "b"]);
    assert_eq!(logs(&world), 2);
    world.ok(&["rm", "a", "--yes"]);
    assert_eq!(logs(&world), 1);
    // An agent may write what it likes into its own directory.
    let precious = world.path("precious.log");
    std::fs::write(&precious, "adrtlog1 is what it begins with").expect("written");
    std::fs::write(world.path("state/b/log"), format!("{}\n", text(&precious))).expect("written");
    world.ok(&["rm", "b", "--yes"]);
    assert!(precious.exists());
}

#[test]
fn several_agents_have_a_line_each_and_the_worst_is_told() {
    let world = World::with(&["a", "b"]);
    let running = world.idle("c");
    let table = world.ok(&["status"]);
    let names: Vec<_> = table.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["AGENT", "a", "b", "c"], "{table}");
    let all = world.json(&["status", "--json"]);
    assert_eq!(all.as_array().map(Vec::len), Some(3));
    let seen = output(&mut world.adrt(&["status", "--check"]));
    assert_eq!(seen.status.code(), Some(2));
    let line = String::from_utf8_lossy(&seen.stdout);
    assert!(line.starts_with("a down: exited with code 0") && line.lines().count() == 1, "{line}");
    assert!(running.status()["usage"]["memory_bytes"].as_u64() > Some(0));
}

/// Every file of the runtime directory.
fn runtime_files(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.path("run")).expect("it is there");
    entries.map(|entry| entry.expect("entry").file_name().into_string().expect("text")).collect()
}

#[test]
fn a_renamed_agent_takes_its_log_along_and_leaves_none_behind() {
    let world = World::new();
    ran_twice(&world);
    let before = lines(&world, &[]);
    world.ok(&["rename", "a", "b"]);
    assert_eq!(lines(&world, &["b"]), before);
    world.ok(&["run", "-n", "b", "--sensors-every", "0", "--", "true"]);
    assert_eq!(lines(&world, &["b"])[..before.len()], before);
    let files = runtime_files(&world);
    assert!(files.len() == 1 && files[0].starts_with("b-"), "{files:?}");
    world.ok(&["rm", "b", "--yes"]);
    assert!(runtime_files(&world).is_empty());
}

#[test]
fn the_log_beside_the_database_is_found_under_the_new_name() {
    let world = World::new();
    // No socket has room under that path.
    let long = world.path(&"x".repeat(100));
    let script = world.script("says.sh", "echo hello");
    let mut run = world.adrt(&["run", "-n", "a", "--", "sh", text(&script)]);
    assert!(output(run.env("ADRT_RUNTIME_DIR", &long)).status.success());
    world.ok(&["rename", "a", "b"]);
    assert_eq!(texts(&lines(&world, &["b"])), ["hello"]);
}

#[test]
fn what_is_forgotten_is_not_in_the_log_either() {
    let world = World::new();
    let secret = "printf 'the secret\n'; exec sleep 1000";
    let running = world.run("a", &["run", "-n", "a", "--", "sh", "-c", secret], "running");
    let wait_for_it = |what: &str| {
        until(what, || lines(&world, &[]).iter().any(|line| line["text"] == *what).then_some(()));
    };
    let kept = || -> Vec<u8> {
        let files = runtime_files(&world);
        let logs = files.iter().filter(|name| name.ends_with(".log"));
        logs.flat_map(|name| std::fs::read(world.path("run").join(name)).expect("log")).collect()
    };
    let has_secret = || kept().windows(10).any(|bytes| bytes == b"the secret");
    wait_for_it("the secret");
    world.ok(&["state", "patch", "a", "{\"token\": 1}"]);
    world.ok(&["state", "patch", "a", "{\"token\": 2}"]);
    // Where nothing is forgotten the log stays.
    world.ok(&["history", "forget", "a", "--path", "nothing", "--yes"]);
    assert!(has_secret());
    world.ok(&["history", "forget", "a", "--yes"]);
    wait_for_it("old versions were forgotten, and what was here before");
    assert!(!has_secret());
    drop(running);

    // And by a command, where nobody runs it.
    let words = ["run", "-n", "a", "--sensors-every", "0", "--", "printf", "the secret\n"];
    world.ok(&words);
    assert!(has_secret());
    world.ok(&["state", "patch", "a", "{\"token\": 3}"]);
    world.ok(&["history", "forget", "a", "--yes"]);
    assert!(!has_secret());
    // Nor does the ledger take its place.
    let left = lines(&world, &[]);
    assert_eq!((left.len(), &left[0]["stream"]), (1, &json!("adrt")), "{left:?}");
}
