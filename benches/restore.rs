//! A state of 10 MB back in an agent's hands: from the start of `adrt run` to
//! the moment the agent has read the whole of it from the wire.
//!
//! The floor is the same program started without adrt by a process that reads
//! the same text from a file and writes it to a pipe. Both take turns. There
//! is no goal; the ratio tells what opening, checking, unpacking and the
//! greeting cost on top.
//!
//! `cargo bench --bench restore`

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use support::lab::{Lab, Talk, own_path};
use support::report::{Report, median};
use support::wire::Wire;

const MEMBERS: usize = 100_000;
const TURNS: usize = 15;

/// JSON as agents write it: numbers, text, lists.
fn state() -> String {
    let member = |place: usize| {
        format!(
            "\"item{place:06}\":{{\"score\":0.{place:05},\"tags\":[\"a\",\"b{place}\"],\
             \"note\":\"what was said of {place} at noon\"}}"
        )
    };
    let members: Vec<String> = (0..MEMBERS).map(member).collect();
    format!("{{{}}}", members.join(","))
}

/// Fills the state the first time; then only reads it.
fn agent(link: &str, fill: bool) -> io::Result<()> {
    let (mut wire, bytes) = Wire::open()?;
    let at = support::nanos();
    if fill {
        wire.queue("state.set", &format!("{{\"value\":{}}}", state()));
        wire.flush()?;
        wire.answer()?;
    }
    let mut talk = Talk::to(link)?;
    talk.say(&format!("{at} {bytes}"))?;
    talk.hear().map(drop)
}

/// The floor's agent.
fn reader(link: &str) -> io::Result<()> {
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    let at = support::nanos();
    Talk::to(link)?.say(&format!("{at} {}", bytes.len()))
}

/// The floor's other half.
fn feeder(link: &str, file: &str) -> io::Result<()> {
    let mut child =
        Command::new(own_path()?).args(["--reader", link]).stdin(Stdio::piped()).spawn()?;
    let text = std::fs::read(file)?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(&text)?;
    }
    child.wait().map(drop)
}

fn milliseconds(begin: u64, talk: &mut Talk) -> io::Result<f64> {
    match talk.hear_numbers()?[..] {
        [at, bytes] if bytes as usize > MEMBERS => Ok((at - begin as f64) / 1e6),
        _ => Err(io::Error::other("the state did not come")),
    }
}

fn run() -> io::Result<()> {
    let lab = Lab::new()?;
    let text = state();
    let file = lab.path("state.json");
    std::fs::write(&file, &text)?;
    let (mut first, mut talk) = lab.start_agent("bench", &[], "fill", &[])?;
    talk.hear()?;
    talk.say("stop")?;
    first.0.wait()?;
    let (mut floor, mut adrt) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let link = lab.link(&format!("read{turn}"))?;
        let begin = support::nanos();
        let mut command = lab.adrt_run("bench", &[]);
        command.arg("--").arg(own_path()?).args(["--agent", "read"]).arg(&link.path);
        let mut run = command.stderr(Stdio::null()).spawn()?;
        adrt.push(milliseconds(begin, &mut link.accept()?)?);
        run.wait()?;

        let link = lab.link(&format!("floor{turn}"))?;
        let begin = support::nanos();
        let mut command = lab.bare(own_path()?.as_ref());
        let mut run = command.arg("--feeder").arg(&link.path).arg(&file).spawn()?;
        floor.push(milliseconds(begin, &mut link.accept()?)?);
        run.wait()?;
    }
    let mut report = Report::new("restore");
    report.number("state", text.len() as f64 / 1e6, "MB");
    report.number("floor_p50", median(&floor), "ms");
    report.number("adrt_p50", median(&adrt), "ms");
    report.number("ratio_p50", median(&adrt) / median(&floor), "");
    report.finish();
    Ok(())
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--agent", role, link] => agent(link, role == "fill"),
        ["--reader", link] => reader(link),
        ["--feeder", link, file] => feeder(link, file),
        _ => run(),
    }
}
