//! Durable changes a second when an agent does not wait for each: requests
//! go out as long as fewer than `max_inflight` are unanswered.
//!
//! Two agents: a compiled client (goal: 100,000 a second; 200,000 is aimed
//! at) and the Python client's `patch_nowait` (goal: 25,000). The floor is
//! bare SQLite in this process: the same patches as rows of one table, 1024 in
//! a transaction, same settings, same file system; no pipes, no JSON. All
//! three take turns.
//!
//! `cargo bench --bench pipelined [-- THOUSANDS]`

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::io;

use rusqlite::Connection;

use support::lab::{Lab, Run, Talk};
use support::report::{Report, median};
use support::wire::Wire;

/// `max_inflight`, which a client is told in `initialize`.
const IN_FLIGHT: usize = 1024;
/// Written at once.
const AT_ONCE: usize = 128;
const ROUNDS: usize = 5;
const DEFAULT_THOUSANDS: usize = 200;
/// The Python client gets so much less to do.
const PYTHON_SHARE: usize = 5;

const PYTHON_AGENT: &str = r#"
import asyncio, socket, sys, time
from collections import deque
from adaptive_runtime import Runtime

async def burst(runtime, count):
    waiting = deque()
    begin = time.monotonic_ns()
    for n in range(count):
        if len(waiting) == 1024:
            for _ in range(128):
                await waiting.popleft()
        waiting.append(runtime.patch_nowait({"k%d" % (n % 10): "%080d" % n}))
    for done in waiting:
        await done
    return time.monotonic_ns() - begin

async def main():
    link = socket.socket(socket.AF_UNIX)
    link.connect(sys.argv[1])
    lines = link.makefile("rw")
    async with Runtime() as runtime:
        for line in lines:
            lines.write("%d\n" % await burst(runtime, int(line)))
            lines.flush()

asyncio.run(main())
"#;

fn patch(number: usize) -> String {
    format!("{{\"k{}\":\"{number:080}\"}}", number % 10)
}

/// Nanoseconds for so many.
fn burst(wire: &mut Wire, count: usize) -> io::Result<u64> {
    let begin = support::nanos();
    let (mut sent, mut answered) = (0, 0);
    while answered < count {
        while sent < count && sent - answered + AT_ONCE <= IN_FLIGHT {
            for number in sent..(sent + AT_ONCE).min(count) {
                wire.queue("state.patch", &format!("{{\"patch\":{}}}", patch(number)));
            }
            wire.flush()?;
            sent = (sent + AT_ONCE).min(count);
        }
        answered += wire.answers()?;
    }
    Ok(support::nanos() - begin)
}

fn agent(link: &str) -> io::Result<()> {
    let (mut wire, _) = Wire::open()?;
    let mut talk = Talk::to(link)?;
    loop {
        let words = talk.hear()?;
        let Some(count) = words.first().and_then(|word| word.parse().ok()) else { return Ok(()) };
        let nanos = burst(&mut wire, count)?;
        talk.say(&nanos.to_string())?;
    }
}

/// The floor's database.
fn bare(lab: &Lab) -> rusqlite::Result<Connection> {
    let conn = Connection::open(lab.path("bare.db"))?;
    for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL")] {
        conn.pragma_update(None, name, value)?;
    }
    conn.execute_batch("CREATE TABLE journal (version INTEGER PRIMARY KEY, patch TEXT NOT NULL)")?;
    Ok(conn)
}

fn bare_burst(conn: &mut Connection, count: usize) -> rusqlite::Result<u64> {
    let begin = support::nanos();
    let mut left = count;
    while left > 0 {
        let transaction = conn.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO journal (patch) VALUES (?1)")?;
            for number in 0..left.min(IN_FLIGHT) {
                insert.execute([patch(number)])?;
            }
        }
        transaction.commit()?;
        left = left.saturating_sub(IN_FLIGHT);
    }
    Ok(support::nanos() - begin)
}

fn rate(count: usize, nanos: f64) -> f64 {
    count as f64 * 1e9 / nanos
}

fn ask(talk: &mut Talk, count: usize) -> io::Result<f64> {
    let numbers = talk.ask(&count.to_string())?;
    let nanos = numbers.first().ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(rate(count, *nanos))
}

/// The Python client's agent, if there is a Python.
fn start_python(lab: &Lab) -> io::Result<(Run, Talk)> {
    let script = lab.path("agent.py");
    std::fs::write(&script, PYTHON_AGENT)?;
    let link = lab.link("python")?;
    let mut command = lab.adrt_run("python", &[]);
    command.args(["--", "python3"]).arg(script).arg(&link.path);
    Ok((Run(command.spawn()?), link.accept()?))
}

fn run(thousands: usize) -> io::Result<()> {
    let count = thousands * 1000;
    let lab = Lab::new()?;
    let mut conn = bare(&lab).map_err(io::Error::other)?;
    let (_compiled, mut compiled) = lab.start_agent("compiled", &[], "burst", &[])?;
    let (_python, mut python) = start_python(&lab)?;
    let (mut floor, mut fast, mut slow) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let nanos = bare_burst(&mut conn, count).map_err(io::Error::other)?;
        floor.push(rate(count, nanos as f64));
        fast.push(ask(&mut compiled, count)?);
        slow.push(ask(&mut python, count / PYTHON_SHARE)?);
    }
    let mut report = Report::new("pipelined");
    report.number("bare_sqlite", median(&floor), "/s");
    report.at_least("compiled", median(&fast), "/s", 100_000.0);
    report.at_least("python", median(&slow), "/s", 25_000.0);
    report.number("compiled_to_bare", median(&fast) / median(&floor), "");
    report.finish();
    Ok(())
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--agent", "burst", link] => agent(link),
        [thousands] => run(thousands.parse().map_err(io::Error::other)?),
        _ => run(DEFAULT_THOUSANDS),
    }
}
