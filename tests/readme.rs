//! Every command in README.md is run here, and what it is shown to print is
//! compared with what it prints. White space is folded; `…` in a line stands for anything, a line of
//! its own `…` for any lines.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A fenced block: its language, its lines.
struct Block {
    language: String,
    lines: Vec<String>,
}

fn blocks() -> Vec<Block> {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match (inside, line.strip_prefix("```")) {
            (false, Some(language)) => {
                blocks.push(Block { language: language.to_owned(), lines: Vec::new() });
                inside = true;
            }
            (true, Some(_)) => inside = false,
            (true, None) => blocks.last_mut().unwrap().lines.push(line.to_owned()),
            (false, None) => {}
        }
    }
    blocks
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A place where `adrt` is on the PATH and remembers nothing.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, program: &str) -> Command {
        let bin = Path::new(env!("CARGO_BIN_EXE_adrt")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(program);
        command
            .current_dir(root())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.0.path())
            .env("XDG_RUNTIME_DIR", self.0.path().join("run"))
            .env("ADRT_STATE_DIR", self.0.path().join("state"))
            .env("TZ", "UTC")
            .stdin(std::process::Stdio::null());
        command
    }

    fn shell(&self, script: &str) -> Output {
        self.command("sh").args(["-e", "-c", script]).output().unwrap()
    }
}

fn succeeded(what: &str, output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Whether `line` is what `pattern` says, `…` standing for anything and any
/// white space for any other: columns are as wide as what is in them.
fn line_fits(pattern: &str, line: &str) -> bool {
    let folded = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    fits(&folded(pattern), &folded(line))
}

fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn lines_fit(patterns: &[String], lines: &[&str]) -> bool {
    match (patterns.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((any, rest)), _) if any == "…" => {
            (0..=lines.len()).any(|skipped| lines_fit(rest, &lines[skipped..]))
        }
        (Some((pattern, patterns)), Some((line, lines))) => {
            line_fits(pattern, line) && lines_fit(patterns, lines)
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[test]
fn what_the_console_shows_is_what_happens() {
    let bench = Bench::new();
    let mut shown: Vec<(String, Vec<String>)> = Vec::new();
    for block in blocks().into_iter().filter(|b| b.language == "console") {
        for line in block.lines {
            match line.strip_prefix("$ ") {
                Some(command) => shown.push((command.to_owned(), Vec::new())),
                None => shown.last_mut().expect("a command comes first").1.push(line),
            }
        }
    }
    assert!(shown.len() >= 5, "the demo is gone");
    for (command, expected) in shown {
        let printed = succeeded(&command, &bench.shell(&command));
        let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
        assert!(
            lines_fit(&expected, &lines),
            "$ {command}\nREADME.md shows:\n{}\nbut it prints:\n{printed}",
            expected.join("\n")
        );
    }
}

#[test]
fn the_shell_blocks_run() {
    let bench = Bench::new();
    // They speak of an agent that has run before.
    succeeded(
        "a first run",
        &bench.shell("adrt run -n mine -- true && adrt state set '{\"n\":1}'"),
    );
    let blocks: Vec<Block> = blocks().into_iter().filter(|b| b.language == "sh").collect();
    let [first, rest @ ..] = blocks.as_slice() else { panic!("no commands") };
    assert_eq!(first.lines[1], "cargo test", "the second command runs all tests");
    assert!(first.lines[0].starts_with("cargo run --release -- "), "the first runs the main job");
    let main_job = first.lines[0].replace("cargo run --release --", "adrt");
    let main_job = main_job.replace("target/demo", bench.0.path().join("demo").to_str().unwrap());
    assert!(succeeded(&main_job, &bench.shell(&main_job)).ends_with("10\n"));
    for block in rest {
        let script = block.lines.join("\n");
        succeeded(&script, &bench.shell(&script));
    }
    assert_eq!(succeeded("the state", &bench.shell("adrt state get mine /n")), "2\n");
}

#[test]
fn the_python_blocks_run() {
    let names = BTreeMap::from([
        ("call_the_model", "def call_the_model(*text): return 'an answer'"),
        ("fallback_fn", "def fallback_fn(): return 'later'"),
        ("fn,", "def fn(): return 'done'"),
    ]);
    let counter = fs::read_to_string(root().join("examples/counter.py")).unwrap();
    for block in blocks().into_iter().filter(|b| b.language == "python") {
        let code = block.lines.join("\n");
        if code.contains("\n...\n") {
            // An excerpt of the example.
            for line in block.lines.iter().filter(|line| *line != "...") {
                assert!(counter.contains(line.as_str()), "not in counter.py: {line}");
            }
            continue;
        }
        let given = names.iter().filter(|(name, _)| code.contains(**name));
        let mut script: String = given.map(|(_, def)| format!("{def}\n")).collect();
        if code.contains("await ") {
            let body: String = code.lines().map(|line| format!("    {line}\n")).collect();
            script += &format!(
                "import asyncio\nasync def main():\n{body}    await runtime.stop()\nasyncio.run(main())\n"
            );
        } else {
            script += &code;
        }
        let bench = Bench::new();
        let file = bench.0.path().join("snippet.py");
        fs::write(&file, &script).unwrap();
        let run = format!("adrt run -n snippet --restart never -- python3 {}", file.display());
        let told = if code.contains(".events(") { with_an_event(&run) } else { run };
        succeeded(&script, &bench.shell(&told));
    }
}

/// An agent that waits for events is given one, and stopped when it has acked it.
fn with_an_event(run: &str) -> String {
    let until = |what: &str| format!("until timeout 60 {what} 2>/dev/null; do sleep 0.02; done");
    let emitted = until("adrt events emit snippet '{\"type\": \"mail\", \"text\": \"hello\"}'");
    let acked = until("adrt state get snippet /replies/0");
    format!("{run} &\n{emitted}\n{acked}\nadrt stop snippet\nwait $!")
}

#[test]
fn the_wildcards_fit_what_they_should() {
    assert!(line_fits("a … c", "a b c"));
    assert!(line_fits(" 2 …  exited", " 2  just now  exited"));
    assert!(!line_fits("a … c", "a b d"));
    assert!(!line_fits("a", "a b"));
    let patterns = ["x", "…"].map(str::to_owned);
    assert!(lines_fit(&patterns, &["x", "y", "z"]));
    assert!(!lines_fit(&patterns, &["y"]));
}
