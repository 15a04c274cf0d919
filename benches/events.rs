//! Events a second: handed out, acked, and on the disk.
//!
//! A compiled client and the Python client, each with a credit of 64, ack
//! events that wait in the inbox. The floor is bare SQLite in this process:
//! the same rows as adrt makes of them (one that never changes, one that says
//! how far it is), 64 events in a transaction, same settings, same file
//! system. All take turns. Emitting them is told beside it, and so is the
//! latency of a single event from `event.emit` to its delivery, against a
//! commit of bare SQLite and a round trip through a pipe.
//!
//! `cargo bench --bench events [-- THOUSANDS]`

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::io::{self, Read as _, Write as _};

use memchr::memmem;
use rusqlite::Connection;

use support::lab::{Lab, Run, Talk};
use support::report::{Report, median};
use support::wire::Wire;

/// Events an agent holds at a time.
const CREDIT: usize = 64;
/// Emits that are not answered yet.
const IN_FLIGHT: usize = 1024;
const ROUNDS: usize = 3;
const DEFAULT_THOUSANDS: usize = 50;
/// The Python client gets so much less to do.
const PYTHON_SHARE: usize = 5;
/// Single events for the latency.
const SINGLES: usize = 500;

const PYTHON_AGENT: &str = r#"
import socket, sys, time
from adaptive_runtime import Runtime
import asyncio

async def main():
    link = socket.socket(socket.AF_UNIX)
    link.connect(sys.argv[1])
    lines = link.makefile("rw")
    async with Runtime() as runtime:
        async def handle(event):
            async with event:
                pass
        for line in lines:
            count = int(line)
            for n in range(count):
                await runtime.emit({"type": "bench", "n": n, "text": "x" * 60})
            begin = time.monotonic_ns()
            done = 0
            tasks = set()
            async for event in runtime.events(credit=64):
                tasks.add(asyncio.create_task(handle(event)))
                done += 1
                if len(tasks) > 63:
                    _, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if done == count:
                    break
            if tasks:
                await asyncio.wait(tasks)
            lines.write("%d\n" % (time.monotonic_ns() - begin))
            lines.flush()

asyncio.run(main())
"#;

fn event(number: usize) -> String {
    format!("{{\"type\":\"bench\",\"n\":{number},\"text\":\"{number:060}\"}}")
}

/// Nanoseconds to emit so many, without taking any.
fn emit(wire: &mut Wire, count: usize) -> io::Result<u64> {
    let begin = support::nanos();
    let (mut sent, mut answered) = (0, 0);
    while answered < count {
        while sent < count && sent - answered < IN_FLIGHT {
            wire.queue("event.emit", &format!("{{\"event\":{}}}", event(sent)));
            sent += 1;
        }
        wire.flush()?;
        answered += wire.answers()?;
    }
    Ok(support::nanos() - begin)
}

/// The number after a member's name.
fn number(line: &[u8], name: &[u8]) -> Option<u64> {
    let at = memmem::find(line, name)? + name.len();
    let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Nanoseconds to ack so many that wait.
fn ack(wire: &mut Wire, count: usize) -> io::Result<u64> {
    let begin = support::nanos();
    wire.queue("event.subscribe", &format!("{{\"credit\":{CREDIT}}}"));
    wire.flush()?;
    let (mut answered, mut held) = (0, Vec::new());
    while answered < count {
        wire.lines(|line| {
            let seq = number(line, b"\"seq\":");
            match (seq, number(line, b"\"attempt\":")) {
                (Some(seq), Some(attempt)) => held.push((seq, attempt)),
                // The answer to `event.subscribe` tells nothing of an event.
                _ => answered += usize::from(memmem::find(line, b"\"version\"").is_some()),
            }
        })?;
        for (seq, attempt) in held.drain(..) {
            wire.queue("event.ack", &format!("{{\"seq\":{seq},\"attempt\":{attempt}}}"));
        }
        wire.flush()?;
    }
    wire.queue("event.subscribe", "{\"credit\":0}");
    wire.flush()?;
    wire.answer()?;
    Ok(support::nanos() - begin)
}

/// Nanoseconds from each emit to its delivery, one at a time.
fn singles(wire: &mut Wire) -> io::Result<Vec<f64>> {
    wire.queue("event.subscribe", "{\"credit\":1}");
    wire.flush()?;
    wire.answer()?;
    let mut spans = Vec::new();
    for n in 0..SINGLES {
        let begin = support::nanos();
        wire.queue("event.emit", &format!("{{\"event\":{}}}", event(n)));
        wire.flush()?;
        let mut held = None;
        while held.is_none() {
            wire.lines(|line| {
                let attempt = number(line, b"\"attempt\":");
                held = held.or(number(line, b"\"seq\":").zip(attempt));
            })?;
        }
        spans.push((support::nanos() - begin) as f64);
        let (seq, attempt) = held.unwrap_or_default();
        wire.queue("event.ack", &format!("{{\"seq\":{seq},\"attempt\":{attempt}}}"));
        wire.flush()?;
        wire.answer()?;
    }
    wire.queue("event.subscribe", "{\"credit\":0}");
    wire.flush()?;
    wire.answer()?;
    Ok(spans)
}

fn agent(link: &str) -> io::Result<()> {
    let (mut wire, _) = Wire::open()?;
    let mut talk = Talk::to(link)?;
    loop {
        let words = talk.hear()?;
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["burst", count] => {
                let count = count.parse().map_err(io::Error::other)?;
                let emitted = emit(&mut wire, count)?;
                let acked = ack(&mut wire, count)?;
                talk.say(&format!("{emitted} {acked}"))?;
            }
            ["singles"] => talk.say(&median(&singles(&mut wire)?).to_string())?,
            _ => return Ok(()),
        }
    }
}

/// The floor's database.
fn bare(lab: &Lab) -> rusqlite::Result<Connection> {
    let conn = Connection::open(lab.path("bare.db"))?;
    for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL")] {
        conn.pragma_update(None, name, value)?;
    }
    conn.execute_batch(
        "CREATE TABLE events (seq INTEGER PRIMARY KEY, at INTEGER, type TEXT, body TEXT, sum INTEGER);
         CREATE TABLE inbox (seq INTEGER PRIMARY KEY, state INTEGER, place INTEGER, due INTEGER,
             born INTEGER, attempt INTEGER, deaths INTEGER, nacks INTEGER, holder INTEGER,
             version INTEGER, wait TEXT, reason TEXT, sum INTEGER)",
    )?;
    Ok(conn)
}

fn bare_burst(conn: &mut Connection, count: usize, at_once: usize) -> rusqlite::Result<u64> {
    let begin = support::nanos();
    for from in (0..count).step_by(at_once) {
        let transaction = conn.transaction()?;
        {
            let mut events = transaction.prepare_cached(
                "INSERT INTO events (at, type, body, sum) VALUES (1, 'bench', ?1, 9)",
            )?;
            let mut inbox = transaction.prepare_cached(
                "INSERT INTO inbox (state, place, due, born, attempt, deaths, nacks, holder, version, sum)
                 VALUES (2, 1234567, 1234567, 1234567, 1, 0, 0, 1, 1, 1234567890)",
            )?;
            for number in from..(from + at_once).min(count) {
                events.execute([event(number)])?;
                inbox.execute([])?;
            }
        }
        transaction.commit()?;
    }
    Ok(support::nanos() - begin)
}

/// The median of a commit of one event, and a line there and back through
/// pipes and another process.
fn single_floor(conn: &mut Connection) -> io::Result<f64> {
    let mut cat = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let (Some(mut to), Some(mut from)) = (cat.stdin.take(), cat.stdout.take()) else {
        return Err(io::Error::other("no pipes"));
    };
    let mut spans = Vec::new();
    let line = format!("{}\n", event(1));
    let mut back = vec![0; line.len()];
    for _ in 0..SINGLES {
        let begin = support::nanos();
        to.write_all(line.as_bytes())?;
        from.read_exact(&mut back)?;
        let turned = support::nanos() - begin;
        let committed = bare_burst(conn, 1, 1).map_err(io::Error::other)?;
        spans.push((turned + committed) as f64);
    }
    drop(to);
    cat.wait()?;
    Ok(median(&spans))
}

fn rate(count: usize, nanos: f64) -> f64 {
    count as f64 * 1e9 / nanos
}

/// The Python client's agent.
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
    let (mut floor, mut emitted, mut acked, mut slow) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let nanos = bare_burst(&mut conn, count, CREDIT).map_err(io::Error::other)?;
        floor.push(rate(count, nanos as f64));
        let spans = compiled.ask(&format!("burst {count}"))?;
        let [emit, ack] = spans[..] else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        emitted.push(rate(count, emit));
        acked.push(rate(count, ack));
        let few = count / PYTHON_SHARE;
        let spans = python.ask(&few.to_string())?;
        slow.extend(spans.first().map(|span| rate(few, *span)));
    }
    let single = compiled.ask("singles")?.first().copied().unwrap_or(f64::MAX);
    let single_floor = single_floor(&mut conn)?;
    let mut report = Report::new("events");
    report.number("bare_sqlite", median(&floor), "/s");
    report.number("emitted", median(&emitted), "/s");
    report.number("acked", median(&acked), "/s");
    report.at_least("acked_to_bare", median(&acked) / median(&floor), "", 0.5);
    report.number("python_acked", median(&slow), "/s");
    report.number("emit_to_delivery", single / 1000.0, "us");
    report.number("emit_to_delivery_to_floor", single / single_floor, "");
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
