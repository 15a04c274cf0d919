//! The screens that README.md shows are what adrt prints.
//!
//! `ADRT_BLESS=1 cargo test --test commands screens` draws them anew. What
//! differs from run to run (times, process ids, sizes) is replaced by figures
//! that are always the same, in the order in which they come.

use std::path::{Path, PathBuf};

use crate::svg;
use crate::world::{World, shown, text, until};

const COLUMNS: usize = 80;

/// It watches cameras, one of which fails it. What it counts and what it
/// decides is on the disk.
const AGENT: &str = r#"import logging, time
from adaptive_runtime import Agent

# All on one stream: what two say at once comes in any order.
logging.basicConfig(level=logging.INFO, format="%(message)s")

def look(camera):
    if camera == 2 and agent.start_info.incarnation < 3:
        raise TimeoutError("camera 2: no answer for half a minute")
    agent.patch({"frames": agent.state.get("frames", 0) + 107})
    logging.info("camera %d: %d frames", camera, agent.state["frames"])

with Agent() as agent:
    logging.info("watching 7 cameras, %d frames so far", agent.state.get("frames", 0))
    for camera in range(1, 8):
        look(camera)
    event = {"type": "service_overload", "cpu": 94, "memory": 88, "severity": 0.82}
    decision = agent.process(event)
    logging.info("overload: %s", decision.action)
    agent.heartbeat("7 cameras, all quiet")
    while True:
        time.sleep(1)
"#;

/// What the figures are replaced by, one after the other, the last again and
/// again.
struct Figures {
    times: &'static [&'static str],
    spans: &'static [&'static str],
    sizes: &'static [&'static str],
    pids: &'static [&'static str],
}

const OF_STATUS: Figures = Figures {
    times: &["03:12:39", "03:12:38", "03:12:39"],
    spans: &["140 ms", "4 min"],
    sizes: &["24.3 MiB", "14 B", "196 KiB", "121 KiB"],
    pids: &["4729", "4702", "4729"],
};
const OF_LOGS: Figures = Figures {
    times: &["03:12:38"],
    spans: &["31 s", "1.1 s"],
    sizes: &[""],
    pids: &["4718", "4729"],
};
const OF_CRASH: Figures = Figures {
    times: &["03:12:38", "03:12:07"],
    spans: &["31 s", "1.1 s"],
    sizes: &[""],
    pids: &["4718"],
};
const OF_DECISION: Figures =
    Figures { times: &["03:12:39"], spans: &[""], sizes: &[""], pids: &[""] };

#[test]
fn screens_of_the_readme_are_real() {
    let world = World::new();
    let script = world.script("night-watch.py", AGENT);
    let words = ["run", "--sensors-every", "0", "--backoff-initial", "1ms"];
    let running = world.run(
        "night-watch",
        &[&words[..], &["--", "python3", text(&script)]].concat(),
        "running",
    );
    until("it has settled down", || {
        let status = running.status();
        (status["status_text"] == "7 cameras, all quiet" && status["ready"] == true).then_some(())
    });
    until("its words are in the log", || {
        world.ok(&["logs"]).contains("overload: restart_service").then_some(())
    });
    let told: [(&str, &[&str], &Figures); 4] = [
        ("status", &["status"], &OF_STATUS),
        ("logs", &["logs", "-n", "21"], &OF_LOGS),
        ("crashes-show", &["crashes", "show"], &OF_CRASH),
        ("why", &["why", "1"], &OF_DECISION),
    ];
    let mut old = Vec::new();
    for (name, words, figures) in told {
        let mut command = world.adrt(words);
        command.env("COLUMNS", COLUMNS.to_string()).env("TERM", "xterm");
        let screen = always_the_same(&world, figures, &shown(command));
        let prompt = format!("$ adrt {}", words.join(" "));
        let picture = svg::picture(&prompt, &format!("{prompt}\n{screen}"), COLUMNS);
        let path = kept(name);
        if std::env::var_os("ADRT_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("docs/screens");
            std::fs::write(&path, &picture).expect("written");
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != picture {
            old.push((name, screen));
        }
    }
    assert!(
        old.is_empty(),
        "old screens: ADRT_BLESS=1 cargo test --test commands screens\n{old:#?}"
    );
}

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/screens/{name}.svg"))
}

/// The screen with every figure that depends on the moment replaced.
fn always_the_same(world: &World, figures: &Figures, screen: &str) -> String {
    let screen = screen.replace(text(&world.path("")), "/home/ada/");
    // At midnight the log has a line with the new date.
    let is_date = |line: &str| line.contains("──");
    let lines: Vec<&str> = screen.lines().filter(|line| !is_date(line)).collect();
    let screen = lines.join("\n") + "\n";
    let mut counts = Counts::default();
    let mut out = String::new();
    let mut rest = screen.as_str();
    while !rest.is_empty() {
        let at_word =
            !out.ends_with(|c: char| c.is_alphanumeric() || c == '.') || ends_in_code(&out);
        let found = if at_word { figure(&out, rest) } else { None };
        match found {
            Some((kind, length)) => {
                out.push_str(counts.replaced(figures, kind));
                rest = &rest[length..];
            }
            None => {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                out.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
    }
    out
}

/// Whether the code of a colour is the last of it.
fn ends_in_code(text: &str) -> bool {
    let digits = |code: &str| code.bytes().all(|byte| byte.is_ascii_digit());
    text.strip_suffix('m')
        .and_then(|text| text.rsplit_once("\u{1b}["))
        .is_some_and(|(_, code)| digits(code))
}

#[derive(Clone, Copy)]
enum Kind {
    Time,
    Ago,
    Span,
    Size,
    Pid,
}

#[derive(Default)]
struct Counts {
    times: usize,
    spans: usize,
    sizes: usize,
    pids: usize,
}

impl Counts {
    fn replaced(&mut self, figures: &Figures, kind: Kind) -> &'static str {
        fn next(of: &[&'static str], at: &mut usize) -> &'static str {
            let figure = of[(*at).min(of.len() - 1)];
            *at += 1;
            figure
        }
        match kind {
            Kind::Time => next(figures.times, &mut self.times),
            Kind::Span => next(figures.spans, &mut self.spans),
            Kind::Size => next(figures.sizes, &mut self.sizes),
            Kind::Ago => "4 min ago",
            Kind::Pid => next(figures.pids, &mut self.pids),
        }
    }
}

/// The figure that the text begins with after what is before it, and its
/// length.
fn figure(before: &str, text: &str) -> Option<(Kind, usize)> {
    if text.starts_with("just now") {
        return Some((Kind::Ago, "just now".len()));
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return None;
    }
    let is_pid =
        |name: &str| before.strip_suffix(' ').is_some_and(|b| b.trim_end().ends_with(name));
    if is_pid("pid") || is_pid("adrt") || is_pid("pid\u{1b}[0m") {
        return Some((Kind::Pid, digits));
    }
    let bytes = text.as_bytes();
    let is_time = digits == 2 && text.len() >= 8 && bytes[2] == b':' && bytes[5] == b':';
    if is_time {
        return Some((Kind::Time, 8));
    }
    // A date before a time, around midnight.
    let is_date = digits == 4 && text.len() >= 19 && bytes[4] == b'-' && bytes[7] == b'-';
    if is_date {
        return Some((Kind::Time, 19));
    }
    let number =
        text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let unit = text[number..].strip_prefix(' ')?;
    let word = unit.len() - unit.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
    let whole = number + 1 + word;
    match &unit[..word] {
        "B" | "KiB" | "MiB" => Some((Kind::Size, whole)),
        "ms" | "s" | "min" if text[whole..].starts_with(" ago") => Some((Kind::Ago, whole + 4)),
        "ms" | "s" | "min" => Some((Kind::Span, whole)),
        _ => None,
    }
}
