//! What adrt costs when there is nothing to do: memory (PSS, the process's
//! share of what it maps) and processor time, with an agent that has
//! initialized, written a little and then sleeps; and the binary's size.
//!
//! The floor is a bare Rust process (this program) that has an SQLite
//! database of the same settings open. Goals: 4 MiB, 0.1 % of a processor
//! over 10 seconds, 5 MB.
//!
//! `cargo bench --bench idle`

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::fs;
use std::io;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use rusqlite::Connection;

use support::lab::{Lab, Run, Talk, adrt, own_path};
use support::report::Report;
use support::wire::Wire;

/// So long it is watched.
const WATCHED: Duration = Duration::from_secs(10);
/// What is done at the start is done after it.
const SETTLED: Duration = Duration::from_secs(2);
const PATCHES: usize = 200;

fn agent(link: &str) -> io::Result<()> {
    let (mut wire, _) = Wire::open()?;
    for number in 0..PATCHES {
        wire.patch(&format!("{{\"k{}\":\"{number:080}\"}}", number % 10))?;
    }
    let mut talk = Talk::to(link)?;
    talk.hear().map(drop)
}

/// A process with a database open, that has written to it.
fn bare(link: &str, database: &str) -> io::Result<()> {
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open(database)?;
        for (name, value) in [("journal_mode", "WAL"), ("cache_size", "-512")] {
            conn.pragma_update(None, name, value)?;
        }
        conn.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")?;
        for number in 0..PATCHES {
            conn.execute("INSERT INTO t (text) VALUES (?1)", [format!("{number:080}")])?;
        }
        Ok(conn)
    };
    let _conn = open().map_err(io::Error::other)?;
    Talk::to(link)?.hear().map(drop)
}

/// A line of `smaps_rollup`, in MiB.
fn rollup(pid: i32, name: &str) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Processor time of all its threads, in seconds.
fn processor_time(pid: i32) -> io::Result<f64> {
    let mut nanos = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    }
    Ok(nanos / 1e9)
}

fn run() -> io::Result<()> {
    let lab = Lab::new()?;
    // With all that usually goes on.
    let every = ["--sensors-every", "5s"];
    let (run, _agent) = lab.start_agent("bench", &every, "patch", &[])?;
    let link = lab.link("bare")?;
    let mut command = lab.bare(own_path()?.as_ref());
    command.arg("--bare").arg(&link.path).arg(lab.path("bare.db")).stderr(Stdio::null());
    let bare = Run(command.spawn()?);
    let _bare_talk = link.accept()?;
    sleep(SETTLED);
    let before = processor_time(run.pid())?;
    sleep(WATCHED);
    let used = processor_time(run.pid())? - before;
    let mut report = Report::new("idle");
    report.number("bare_pss", rollup(bare.pid(), "Pss")?, "MiB");
    report.at_most("adrt_pss", rollup(run.pid(), "Pss")?, "MiB", 4.0);
    report.number("adrt_pss_anonymous", rollup(run.pid(), "Pss_Anon")?, "MiB");
    report.number("adrt_rss", rollup(run.pid(), "Rss")?, "MiB");
    report.at_most("adrt_cpu", 100.0 * used / WATCHED.as_secs_f64(), "%", 0.1);
    report.at_most("binary", fs::metadata(adrt())?.len() as f64 / 1e6, "MB", 5.0);
    report.finish();
    Ok(())
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--agent", "patch", link] => agent(link),
        ["--bare", link, database] => bare(link, database),
        _ => run(),
    }
}
