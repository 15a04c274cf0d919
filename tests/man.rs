//! The manual pages in `man/` are those of this command line.
//!
//! `ADRT_BLESS=1 cargo test --test man` writes them anew.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use adrt::cli::args;
use adrt::cli::failure::EXIT_CODES;
use clap::Command;
use clap_mangen::Man;

const MANUAL: &str = "Adaptive Runtime";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man")
}

/// Every page by its file's name.
fn pages() -> BTreeMap<String, String> {
    let mut root = args::command();
    root.build();
    let mut pages = BTreeMap::new();
    add_pages(&root, &[], &mut pages);
    pages
}

fn add_pages(command: &Command, above: &[&str], pages: &mut BTreeMap<String, String>) {
    let path: Vec<&str> = above.iter().copied().chain([command.get_name()]).collect();
    pages.insert(format!("{}.1", path.join("-")), page(command, &path));
    for below in command.get_subcommands() {
        add_pages(below, &path, pages);
    }
}

fn page(command: &Command, path: &[&str]) -> String {
    let name = path.join("-");
    let shown = command.clone();
    // Global options have a section of their own, on the page of adrt itself.
    let shown = if path.len() > 1 {
        shown.mut_args(|arg| if is_global(&arg) { arg.hide(true) } else { arg })
    } else {
        shown
    };
    let man = Man::new(shown)
        .title(name.to_uppercase())
        .section("1")
        .manual(MANUAL)
        .source("adrt")
        .date("");
    let mut text = Vec::new();
    let written = man
        .render_title(&mut text)
        .and_then(|()| man.render_name_section(&mut text))
        .and_then(|()| man.render_synopsis_section(&mut text))
        .and_then(|()| man.render_description_section(&mut text));
    written.expect("memory takes everything");
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut text).expect("memory takes everything");
    }
    let mut text = String::from_utf8(text).expect("roff is text");
    commands(command, path, &mut text);
    after_help(command, &mut text);
    if path.len() == 1 {
        environment(command, &mut text);
        files(&mut text);
    } else {
        command_environment(command, &mut text);
    }
    exit_status(path, &mut text);
    see_also(command, path, &mut text);
    text
}

fn is_global(arg: &clap::Arg) -> bool {
    matches!(arg.get_id().as_str(), "state_dir" | "color")
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    text.lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.into() })
        .collect::<Vec<String>>()
        .join("\n")
}

fn commands(command: &Command, path: &[&str], out: &mut String) {
    if command.get_subcommands().next().is_none() {
        return;
    }
    out.push_str(".SH COMMANDS\n");
    for below in command.get_subcommands() {
        let about = below.get_about().map(ToString::to_string).unwrap_or_default();
        let page = format!("{}-{}", path.join("-"), below.get_name());
        out.push_str(&format!(".TP\n\\fB{}\\fR(1)\n{}\n", escaped(&page), escaped(&about)));
    }
}

/// What stands below the help: examples, and what is said before them.
fn after_help(command: &Command, out: &mut String) {
    let Some(text) = command.get_after_help().map(ToString::to_string) else { return };
    let (notes, examples) = text.split_once("Examples:\n").unwrap_or((&text, ""));
    let (examples, more) = examples.split_once("\n\n").unwrap_or((examples, ""));
    for notes in [notes, more] {
        if !notes.trim().is_empty() {
            out.push_str(&format!(".SH NOTES\n{}\n", escaped(notes.trim())));
        }
    }
    if !examples.is_empty() {
        out.push_str(&format!(".SH EXAMPLES\n.nf\n{}\n.fi\n", escaped(examples)));
    }
}

fn term(out: &mut String, name: &str, meaning: &str) {
    out.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", escaped(name), escaped(meaning)));
}

fn environment(command: &Command, out: &mut String) {
    out.push_str(".SH ENVIRONMENT\n");
    command_variables(command, out);
    for (name, meaning) in [
        ("ADRT_AGENT", "The agent that is meant where AGENT is left out; set inside an agent."),
        (
            "ADRT_INCARNATION",
            "Set inside an agent: a process that an earlier incarnation left behind may not write.",
        ),
        ("ADRT_EVENT", "The event that a step of step run belongs to where none is named."),
        (
            "ADRT_IDEMPOTENCY_KEY, ADRT_STEP_ATTEMPT",
            "Set by step run for its command: a name for the outside that is the same in every \
             attempt, and the number of this one.",
        ),
        ("STATE_DIRECTORY, RUNTIME_DIRECTORY", "Set by systemd: used where nothing else is said."),
        ("XDG_STATE_HOME, XDG_RUNTIME_DIR", "The bases of the default directories, but for root."),
        ("NO_COLOR", "No colour if set."),
        ("COLUMNS", "The width that is laid out for."),
        ("TZ", "The time zone of what is shown and typed; JSON is in UTC."),
    ] {
        term(out, name, meaning);
    }
}

fn command_environment(command: &Command, out: &mut String) {
    let mut variables = String::new();
    command_variables(command, &mut variables);
    if !variables.is_empty() {
        out.push_str(".SH ENVIRONMENT\n");
        out.push_str(&variables);
    }
}

fn command_variables(command: &Command, out: &mut String) {
    for arg in command.get_arguments() {
        let (Some(variable), Some(long)) = (arg.get_env(), arg.get_long()) else { continue };
        if is_global(arg) && command.get_name() != "adrt" {
            continue;
        }
        term(out, &variable.to_string_lossy(), &format!("Stands for --{long}."));
    }
}

fn files(out: &mut String) {
    out.push_str(".SH FILES\n");
    for (name, meaning) in [
        ("/var/lib/adrt", "Where root's agents are kept, a directory each."),
        ("~/.local/state/adrt", "Where those of other users are."),
        ("AGENT/db/adrt.db", "The database of one agent, with its log beside it."),
        ("AGENT/lock", "Held while something writes; names the process and its socket."),
        ("AGENT/log", "Where the log is that adrt logs reads."),
        ("AGENT/reserve", "Space that is given up when the disk is full."),
        (
            "/run/adrt, $XDG_RUNTIME_DIR/adrt",
            "The control sockets of running agents, and the logs of all.",
        ),
    ] {
        term(out, name, meaning);
    }
}

fn exit_status(path: &[&str], out: &mut String) {
    out.push_str(".SH EXIT STATUS\n");
    let command = path.get(1..).unwrap_or_default().join(" ");
    let is_its = |only: &[&str]| only.is_empty() || only.contains(&&*command);
    let mut meanings: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in EXIT_CODES.iter().filter(|row| path.len() == 1 || is_its(row.only)) {
        match meanings.last_mut().filter(|(code, _)| *code == row.code) {
            Some((_, said)) => said.push(row.meaning),
            None => meanings.push((row.code, vec![row.meaning])),
        }
    }
    for (code, said) in meanings {
        term(out, code, &said.join("\n"));
    }
}

fn see_also(command: &Command, path: &[&str], out: &mut String) {
    let mut others: Vec<String> = Vec::new();
    if let Some((_, above)) = path.split_last()
        && !above.is_empty()
    {
        others.push(format!("{}(1)", above.join("-")));
    }
    let below = command.get_subcommands().map(|below| below.get_name());
    others.extend(below.map(|name| format!("{}-{name}(1)", path.join("-"))));
    if ["run", "reload", "decide", "why"].contains(&path.get(1).copied().unwrap_or_default())
        || path.len() == 1
    {
        others.push("adrt-rules(5)".to_owned());
    }
    others.push("adrt-protocol(7)".to_owned());
    let others: Vec<String> = others.iter().map(|page| escaped(page)).collect();
    out.push_str(&format!(".SH SEE ALSO\n{}\n", others.join(", ")));
}

#[test]
fn pages_are_those_of_the_command_line() {
    let directory = directory();
    let pages = pages();
    if std::env::var_os("ADRT_BLESS").is_some() {
        bless(&directory, &pages);
    }
    let kept: Vec<String> = kept_pages(&directory);
    let expected: Vec<String> = pages.keys().cloned().collect();
    assert_eq!(kept, expected, "bless with ADRT_BLESS=1 cargo test --test man");
    for (name, text) in &pages {
        let kept = fs::read_to_string(directory.join(name)).expect("readable");
        assert!(kept == *text, "{name} is old: ADRT_BLESS=1 cargo test --test man");
    }
}

/// Names of the generated pages that are there, sorted.
fn kept_pages(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("man/ is there");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".1"))
        .collect();
    names.sort();
    names
}

fn bless(directory: &Path, pages: &BTreeMap<String, String>) {
    fs::create_dir_all(directory).expect("man/ can be made");
    for name in kept_pages(directory) {
        if !pages.contains_key(&name) {
            fs::remove_file(directory.join(name)).expect("removed");
        }
    }
    for (name, text) in pages {
        fs::write(directory.join(name), text).expect("written");
    }
}

/// The sections a page is looked up for.
#[test]
fn every_page_has_its_sections() {
    for (name, text) in pages() {
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"] {
            assert!(text.contains(&format!("\n.SH {section}\n")), "{name} lacks {section}");
        }
        assert!(text.is_ascii(), "{name} has characters that old roff does not know");
        let is_family = text.contains("\n.SH COMMANDS\n");
        assert!(is_family || text.contains("\n.SH EXAMPLES\n"), "{name} lacks examples");
    }
    let pages = pages();
    for section in ["ENVIRONMENT", "FILES"] {
        assert!(pages["adrt.1"].contains(&format!("\n.SH {section}\n")), "{section}");
    }
    assert!(pages["adrt-run.1"].contains("ADRT_BACKOFF_MAX"));
}

/// A page that is written by hand.
fn by_hand(name: &str) -> String {
    fs::read_to_string(directory().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// That it is sound roff.
fn assert_sound(text: &str) {
    let known = [
        "TH", "SH", "SS", "PP", "TP", "IP", "RS", "RE", "B", "I", "BI", "BR", "IR", "RI", "nf",
        "fi", "\\\"",
    ];
    let (mut filled, mut indent) = (true, 0_i32);
    for (number, line) in text.lines().enumerate() {
        let at = number + 1;
        assert!(line.is_ascii(), "line {at} is not ASCII");
        assert!(!filled || !line.is_empty(), "line {at} is empty; roff wants .PP");
        let Some(request) = line.strip_prefix('.') else { continue };
        let word = request.split_whitespace().next().unwrap_or_default();
        assert!(known.contains(&word), "line {at}: unknown request .{word}");
        match word {
            "nf" | "fi" => {
                assert_eq!(filled, word == "nf", "line {at}: .{word} twice");
                filled = word == "fi";
            }
            "RS" => indent += 1,
            "RE" => indent -= 1,
            _ => {}
        }
        assert!(indent >= 0, "line {at}: .RE without .RS");
    }
    assert!(filled && indent == 0, "an open .nf or .RS at the end");
}

/// The lines between `.nf` and `.fi` behind a heading, as they are shown.
fn block(text: &str, heading: &str) -> String {
    let (_, below) = text.split_once(&format!("{heading}\n")).expect("the heading");
    let (_, below) = below.split_once(".nf\n").expect(".nf");
    let (block, _) = below.split_once(".fi\n").expect(".fi");
    block.replace("\\-", "-").replace("\\(dq", "\"")
}

/// What it says is what the rules are read and decided by.
#[test]
fn the_rules_page_is_true() {
    use adrt::engines::context::{KNOWN_CONTEXTS, Weights};
    use adrt::engines::decision::rules::built_in;
    let text = by_hand("adrt-rules.5");
    assert!(text.starts_with(".TH ADRT\\-RULES 5"));
    assert_sound(&text);
    let rules = adrt::rules::parse(&block(&text, ".SH EXAMPLE"), adrt::rules::Layout::Whole);
    let rules = rules.unwrap_or_else(|wrong| panic!("the example: {wrong:?}"));
    assert_eq!((rules.policy.own_rules(), rules.warnings.len()), (2, 0));
    let told = block(&text, ".SS Rules that are built in");
    let told: Vec<Vec<&str>> =
        told.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let real: Vec<Vec<String>> = built_in()
        .iter()
        .map(|rule| {
            let min = (rule.min_confidence > 0.0).then(|| format!("{:.2}", rule.min_confidence));
            let context = rule.context.as_deref().map(str::to_owned);
            let risk = rule.risk.name().map(|name| name.into_owned());
            [context, risk, min, Some(rule.action.to_string())].into_iter().flatten().collect()
        })
        .collect();
    assert_eq!(told, real);
    for (kind, context) in KNOWN_CONTEXTS {
        assert!(text.contains(kind) && text.contains(&format!(".B {context}")), "{kind}");
    }
    for weight in Weights::default().in_order() {
        assert!(text.contains(&format!("({weight:.2})")), "{weight}");
    }
    for key in ["context", "risk", "min_confidence", "action", "reason", "gate"] {
        assert!(text.contains(&format!(".I {key}\n")), "{key}");
    }
}

/// The page that is written by hand: sound roff, and nothing that is not there yet.
#[test]
fn the_protocol_page_is_sound() {
    let text = by_hand("adrt-protocol.7");
    assert!(text.starts_with(".TH ADRT\\-PROTOCOL 7"));
    assert_sound(&text);
    for method in [
        "initialize",
        "ready",
        "state.get",
        "state.set",
        "state.patch",
        "checkpoint.create",
        "checkpoint.list",
        "checkpoint.restore",
        "tx",
        "run.finish",
        "heartbeat",
        "log",
        "event.subscribe",
        "event.emit",
        "event.ack",
        "event.nack",
        "event.park",
        "event.extend",
        "event.history",
        "event.process",
        "context.analyze",
        "confidence.calculate",
        "confidence.record_outcome",
        "decision.decide",
        "step.begin",
        "step.complete",
        "step.forget",
        "kv.put",
        "kv.get",
        "kv.list",
        "kv.delete",
        "timer.set",
        "timer.cancel",
        "review.request",
        "review.get",
        "event.deliver",
        "review.resolved",
        "state.changed",
        "shutdown",
    ] {
        assert!(text.contains(method), "{method} is missing");
    }
    for code in [
        1001, 1002, 1003, 1005, 1006, 1101, 1102, 1103, 1201, 1202, 1203, 1204, 1301, 1302, 1401,
        1501, 1502,
    ] {
        assert!(text.contains(&code.to_string()), "{code} is missing");
    }
}

/// Every occasion has its number on it, and every exit code that a unit can
/// end with is told of.
#[test]
fn the_systemd_page_is_true() {
    use adrt::supervisor::occasion::Occasion;
    let text = by_hand("adrt-systemd.7");
    assert!(text.starts_with(".TH ADRT\\-SYSTEMD 7"));
    assert_sound(&text);
    let (_, below) = text.split_once(".SS Numbers of what happens\n").expect("the heading");
    let (list, _) = below.split_once(".PP\n").expect("an end");
    let number = |line: &&str| line.len() == 32 && line.bytes().all(|b| b.is_ascii_hexdigit());
    let told: Vec<&str> = list.lines().filter(number).collect();
    let real: Vec<&str> = Occasion::ALL.iter().map(|occasion| occasion.message_id()).collect();
    assert_eq!(told, real);
    let template = fs::read_to_string(directory().join("../systemd/adrt@.service"));
    let template = template.expect("readable");
    let (_, below) = template.split_once("\nRestartPreventExitStatus=").expect("the setting");
    let (_, codes) = text.split_once(".SH WHAT EACH EXIT DOES TO THE UNIT\n").expect("heading");
    let (codes, _) = codes.split_once(".SH ").expect("an end");
    for code in below.lines().next().expect("codes").split(' ') {
        let entry = codes.split(".TP\n").find(|entry| {
            let mut heads =
                entry.lines().next().unwrap_or_default().trim_start_matches(".B ").split(", ");
            heads.any(|head| head == code)
        });
        assert!(entry.is_some_and(|entry| entry.contains(": failed")), "{code}");
    }
    for option in
        ["user\\-name", "device", "group", "write", "read", "load\\-credential", "on\\-failure"]
    {
        assert!(text.contains(&format!("\\-\\-{option}")), "{option}");
    }
}
