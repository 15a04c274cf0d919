//! How fast the text of a flooding agent goes through `adrt run`, to a file
//! and to a pipe, and how much memory that takes. What comes out is compared
//! with what was produced, byte for byte.
//!
//! The floor is `cat` in adrt's place, with the same producer and the same
//! reader; both take turns. Goals: 500 MB/s of any kind of text (700 is aimed
//! at), and memory that does not grow with the amount.
//!
//! `cargo bench --bench text_flood [-- MEBIBYTES]`

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::lab::{Lab, own_path};
use support::report::{Report, median};

/// The kinds of text, by name.
const KINDS: [&str; 3] = ["lines_100", "lines_200k", "all_bytes"];
/// What is written when nothing is said.
const DEFAULT_MIB: usize = 512;
const ROUNDS: usize = 5;
/// What a producer hands to one `write`.
const PRODUCER_WRITE_BYTES: usize = 64 * 1024;
const MIB: usize = 1024 * 1024;
/// How often adrt's memory is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// More than this is no bounded memory.
const PEAK_MIB_MAX: f64 = 16.0;

/// A stretch of the text, repeated by the producer.
fn pattern(kind: &str) -> Vec<u8> {
    let line_bytes = match kind {
        "lines_100" => 100,
        "lines_200k" => 200_000,
        _ => return (0..=255_u8).cycle().take(4 * MIB).collect(),
    };
    let line: Vec<u8> = (b'a'..=b'z').cycle().take(line_bytes - 1).chain([b'\n']).collect();
    line.iter().copied().cycle().take(4 * MIB / line_bytes * line_bytes).collect()
}

/// Writes so many bytes of it to stdout.
fn produce(kind: &str, total: usize) -> io::Result<()> {
    let pattern = pattern(kind);
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut left = total;
    while left > 0 {
        for piece in pattern.chunks(PRODUCER_WRITE_BYTES) {
            let count = piece.len().min(left);
            out.write_all(&piece[..count])?;
            left -= count;
        }
    }
    Ok(())
}

/// Reads it all, and compares it with what it should be.
fn check(mut source: impl Read, pattern: &[u8], total: usize) -> io::Result<()> {
    let mut buffer = vec![0; MIB];
    let mut seen = 0;
    loop {
        let count = source.read(&mut buffer)?;
        let mut rest = &buffer[..count];
        if rest.is_empty() {
            break;
        }
        while !rest.is_empty() {
            let expected = &pattern[seen % pattern.len()..];
            let length = expected.len().min(rest.len());
            if rest[..length] != expected[..length] {
                return Err(io::Error::other(format!("it differs after byte {seen}")));
            }
            rest = &rest[length..];
            seen += length;
        }
    }
    if seen == total { Ok(()) } else { Err(io::Error::other(format!("{seen} bytes of {total}"))) }
}

/// Memory of a process at its highest, in MiB, looked at until it is over.
fn watch(pid: u32, over: &AtomicBool) -> f64 {
    let mut peak = 0.0_f64;
    while !over.load(Ordering::Acquire) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
        std::thread::sleep(LOOK);
    }
    peak
}

/// Where it goes to.
enum Target<'a> {
    File(&'a Path),
    Pipe,
}

struct Found {
    rate: f64,
    peak_mib: f64,
}

/// Runs a command whose stdout is the text.
fn measure(mut command: Command, kind: &str, total: usize, to: &Target) -> io::Result<Found> {
    let pattern = pattern(kind);
    command.stdout(match to {
        Target::File(path) => Stdio::from(File::create(path)?),
        Target::Pipe => Stdio::piped(),
    });
    let begin = support::nanos();
    let mut child = command.stderr(Stdio::null()).spawn()?;
    let (pid, over) = (child.id(), AtomicBool::new(false));
    let (nanos, peak_mib) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(pid, &over));
        let read = child.stdout.take().map_or(Ok(()), |pipe| check(pipe, &pattern, total));
        let ended = child.wait();
        let nanos = support::nanos() - begin;
        over.store(true, Ordering::Release);
        let peak = watcher.join().unwrap_or(0.0);
        read.and(ended).map(|_| (nanos, peak))
    })?;
    if let Target::File(path) = to {
        check(File::open(path)?, &pattern, total)?;
    }
    Ok(Found { rate: total as f64 * 1e3 / nanos as f64, peak_mib })
}

fn through_cat(lab: &Lab, kind: &str, total: usize, to: &Target) -> io::Result<Found> {
    let mut producer = lab.bare(own_path()?.as_ref());
    producer.args(["--produce", kind, &total.to_string()]).stdout(Stdio::piped());
    let mut producer = producer.spawn()?;
    let mut cat = lab.bare("cat".as_ref());
    cat.stdin(producer.stdout.take().map_or(Stdio::null(), Stdio::from));
    let found = measure(cat, kind, total, to)?;
    producer.wait()?;
    Ok(found)
}

fn through_adrt(lab: &Lab, kind: &str, total: usize, to: &Target) -> io::Result<Found> {
    let mut adrt = lab.adrt_run("flood", &[]);
    adrt.arg("--").arg(own_path()?).args(["--produce", kind, &total.to_string()]);
    measure(adrt, kind, total, to)
}

fn run(mebibytes: usize) -> io::Result<()> {
    let total = mebibytes * MIB;
    let lab = Lab::new()?;
    let file = lab.path("text");
    let mut report = Report::new("text_flood");
    let mut peak = 0.0_f64;
    for kind in KINDS {
        for (name, to) in [("file", Target::File(&file)), ("pipe", Target::Pipe)] {
            let (mut cat, mut adrt) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                cat.push(through_cat(&lab, kind, total, &to)?.rate);
                let found = through_adrt(&lab, kind, total, &to)?;
                adrt.push(found.rate);
                peak = peak.max(found.peak_mib);
            }
            let (cat, adrt) = (median(&cat), median(&adrt));
            report.number(&format!("{kind}_{name}_cat"), cat, "MB/s");
            report.at_least(&format!("{kind}_{name}"), adrt, "MB/s", 500.0);
            report.number(&format!("{kind}_{name}_ratio"), adrt / cat, "");
        }
    }
    report.at_most("peak_memory", peak, "MiB", PEAK_MIB_MAX);
    report.finish();
    Ok(())
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().map_err(io::Error::other);
    match words[..] {
        ["--produce", kind, total] => produce(kind, number(total)?),
        [mebibytes] => run(number(mebibytes)?),
        _ => run(DEFAULT_MIB),
    }
}
