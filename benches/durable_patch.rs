//! One change, on the disk before the answer comes: `state.patch` of some 100
//! bytes from a compiled client, one at a time.
//!
//! The floor is what can't be done without: a round trip through two pipes to
//! a process that writes 4 KiB to a file on the same file system and calls
//! `fdatasync`. Both are done by the same agent, in turns. Goal: the median is
//! at most 1.5 times the floor's; 1.3 is aimed at.
//!
//! `cargo bench --bench durable_patch`

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use support::lab::{Lab, Talk, own_path};
use support::report::{Report, median, share};
use support::wire::Wire;

/// Turns of each, so many at a time.
const TURNS: usize = 40;
const IN_A_TURN: usize = 50;
/// Enough for adrt's log to have its full length, so that it is written over
/// and not appended to, as the floor's file is.
const WARM_UP: usize = 2500;
const PAGE_BYTES: usize = 4096;
/// Pages of the floor's file.
const PAGES: u64 = 1000;
const ASK: &[u8; 100] = &[b'x'; 100];

fn patch(number: usize) -> String {
    format!("{{\"k{}\":\"{number:080}\"}}", number % 10)
}

/// The floor's far end: reads, writes to the disk, answers.
fn disk(path: &str) -> io::Result<()> {
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let file = File::options().create(true).truncate(true).write(true).open(path)?;
    let mut page = vec![7; PAGE_BYTES];
    for number in 0..PAGES {
        file.write_all_at(&page, number * PAGE_BYTES as u64)?;
    }
    file.sync_all()?;
    for number in 0_u64.. {
        let mut ask = *ASK;
        if input.read(&mut ask)? == 0 {
            break;
        }
        page[..8].copy_from_slice(&number.to_ne_bytes());
        file.write_all_at(&page, number % PAGES * PAGE_BYTES as u64)?;
        file.sync_data()?;
        output.write_all(&ask[..60])?;
    }
    Ok(())
}

fn floor_trip(to: &mut ChildStdin, from: &mut ChildStdout) -> io::Result<()> {
    to.write_all(ASK)?;
    from.read_exact(&mut [0; 60])
}

fn timed(spans: &mut Vec<f64>, mut one: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    for _ in 0..IN_A_TURN {
        let begin = support::nanos();
        one()?;
        spans.push((support::nanos() - begin) as f64 / 1e3);
    }
    Ok(())
}

fn agent(link: &str, floor_file: &str) -> io::Result<()> {
    let (mut wire, _) = Wire::open()?;
    let mut disk = Command::new(own_path()?)
        .args(["--disk", floor_file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut to), Some(mut from)) = (disk.stdin.take(), disk.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let mut number = 0;
    let mut one_patch = || {
        number += 1;
        wire.patch(&patch(number))
    };
    for _ in 0..WARM_UP {
        one_patch()?;
    }
    let (mut floor, mut adrt) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        timed(&mut floor, || floor_trip(&mut to, &mut from))?;
        timed(&mut adrt, &mut one_patch)?;
    }
    let told = [&floor, &adrt].map(|spans| format!("{} {}", median(spans), share(spans, 0.9)));
    let mut talk = Talk::to(link)?;
    talk.say(&told.join(" "))?;
    talk.hear().map(drop)
}

fn run() -> io::Result<()> {
    let lab = Lab::new()?;
    let floor_file = lab.path("floor");
    let (run, mut talk) =
        lab.start_agent("bench", &[], "patch", &[&floor_file.display().to_string()])?;
    let numbers = talk.hear_numbers()?;
    drop(run);
    let [floor, floor_90, adrt, adrt_90] = numbers[..] else {
        return Err(io::Error::other("the agent said something else"));
    };
    let mut report = Report::new("durable_patch");
    report.number("floor_p50", floor, "us");
    report.number("adrt_p50", adrt, "us");
    report.number("floor_p90", floor_90, "us");
    report.number("adrt_p90", adrt_90, "us");
    report.at_most("ratio_p50", adrt / floor, "", 1.5);
    report.finish();
    Ok(())
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--agent", "patch", link, floor_file] => agent(link, floor_file),
        ["--disk", path] => disk(path),
        _ => run(),
    }
}
