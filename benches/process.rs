//! One decision, on the disk before the answer comes: `event.process` from a
//! compiled client, one at a time, and then as many as it takes.
//!
//! The floor is what can't be done without: a round trip through two pipes to
//! a process that writes the same rows (the event, how far it is, the
//! decision) with bare SQLite, in one transaction, same settings, same file
//! system. Both are asked by the same agent, in turns. Goal: the median is at
//! most 1.7 times the floor's. `state.patch` takes turns with them, to tell what
//! a decision costs more than any other write.
//!
//! Pipelined events are told a second, beside those of bare SQLite in
//! transactions of 64.
//!
//! `cargo bench --bench process [-- THOUSANDS]`

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rusqlite::Connection;

use support::lab::{Lab, Talk, own_path};
use support::report::{Report, median, share};
use support::wire::Wire;

/// Turns of each, so many at a time.
const TURNS: usize = 40;
const IN_A_TURN: usize = 25;
/// Enough for both logs to have their full length, so that they are written
/// over and not appended to.
const WARM_UP: usize = 1500;
/// Requests that are not answered yet, of those that wait for no answer.
const IN_FLIGHT: usize = 256;
/// Events in a transaction of the floor then.
const AT_ONCE: usize = 64;
const ROUNDS: usize = 3;
const DEFAULT_THOUSANDS: usize = 20;
/// The length of adrt's answer, for the floor's.
const ANSWER_BYTES: usize = 430;
/// What adrt keeps of such a decision, beside its columns.
const BASIS: &str = "{\"signals\":{\"severity\":0.91,\"cpu\":96,\"memory\":92},\"pressure\":0.6945,\
    \"base\":0.926,\"caution\":0.9,\"a\":1,\"b\":0,\"outcomes\":0,\"scope\":\"*\",\"decay\":1}";

fn event(number: usize) -> String {
    format!(
        "{{\"type\":\"service_overload\",\"n\":{number},\"severity\":0.91,\"cpu\":96,\"memory\":92}}"
    )
}

fn request(number: usize) -> String {
    format!("{{\"event\":{}}}", event(number))
}

// ---------------------------------------------------------------------- the floor

/// The floor's database.
fn bare(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL")] {
        conn.pragma_update(None, name, value)?;
    }
    conn.execute_batch(
        "CREATE TABLE events (seq INTEGER PRIMARY KEY, at INTEGER, type TEXT, body TEXT, sum INTEGER);
         CREATE TABLE inbox (seq INTEGER PRIMARY KEY, state INTEGER, place INTEGER, due INTEGER,
             born INTEGER, attempt INTEGER, deaths INTEGER, nacks INTEGER, holder INTEGER,
             version INTEGER, wait TEXT, reason TEXT, sum INTEGER);
         CREATE TABLE decisions (id INTEGER PRIMARY KEY, at INTEGER, age INTEGER, seq INTEGER,
             type TEXT, context TEXT, risk TEXT, confidence REAL, q REAL, environment TEXT,
             threshold REAL, action TEXT, reason TEXT, verdict TEXT, policy BLOB, review INTEGER,
             outcome INTEGER, settled INTEGER, basis TEXT, sum INTEGER)",
    )?;
    Ok(conn)
}

/// So many events with their decisions, in one transaction.
fn decide(conn: &mut Connection, bodies: &[String]) -> rusqlite::Result<()> {
    let transaction = conn.transaction()?;
    for body in bodies {
        transaction
            .prepare_cached(
                "INSERT INTO events (at, type, body, sum)
                 VALUES (1234567890123, 'service_overload', ?1, 1234567890)",
            )?
            .execute([body])?;
        transaction
            .prepare_cached(
                "INSERT INTO inbox (state, place, due, born, attempt, deaths, nacks, holder,
                     version, sum)
                 VALUES (2, 1234567, 1234567, 1234567, 0, 0, 0, 0, 1, 1234567890)",
            )?
            .execute([])?;
        transaction
            .prepare_cached(
                "INSERT INTO decisions (at, age, seq, type, context, risk, confidence, q,
                     environment, threshold, action, reason, verdict, policy, basis, sum)
                 VALUES (1234567890123, 1234567, last_insert_rowid(), 'service_overload',
                     'resource_pressure', 'high', 0.8334, 0.8334, 'calm', 0.6,
                     'scale_up_immediate', 'high_resource_pressure_certain', 'execute',
                     x'00112233445566778899aabbccddeeff', ?1, 1234567890)",
            )?
            .execute([BASIS])?;
    }
    transaction.commit()
}

/// Its far end: reads a line, commits, answers.
fn disk(path: &str) -> io::Result<()> {
    let mut conn = bare(Path::new(path)).map_err(io::Error::other)?;
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = io::stdout().lock();
    let (mut line, mut answer) = (String::new(), [b'x'; ANSWER_BYTES]);
    answer[ANSWER_BYTES - 1] = b'\n';
    while input.read_line(&mut line)? > 0 {
        decide(&mut conn, &[std::mem::take(&mut line)]).map_err(io::Error::other)?;
        output.write_all(&answer)?;
        output.flush()?;
    }
    Ok(())
}

/// The floor, as the agent has it.
struct Floor {
    to: ChildStdin,
    from: ChildStdout,
    _child: Child,
}

impl Floor {
    fn start(path: &str) -> io::Result<Self> {
        let mut child = Command::new(own_path()?)
            .args(["--disk", path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Self { to, from, _child: child })
    }

    fn trip(&mut self, number: usize) -> io::Result<()> {
        self.to.write_all(format!("{}\n", event(number)).as_bytes())?;
        self.from.read_exact(&mut [0; ANSWER_BYTES])
    }
}

// ----------------------------------------------------------------------- the agent

fn one(wire: &mut Wire, number: usize) -> io::Result<()> {
    wire.queue("event.process", &request(number));
    wire.flush()?;
    wire.answer().map(drop)
}

fn timed(spans: &mut Vec<f64>, mut one: impl FnMut(usize) -> io::Result<()>) -> io::Result<()> {
    for number in 0..IN_A_TURN {
        let begin = support::nanos();
        one(number)?;
        spans.push((support::nanos() - begin) as f64 / 1e3);
    }
    Ok(())
}

/// Nanoseconds for so many that do not wait for each other.
fn pipelined(wire: &mut Wire, count: usize) -> io::Result<u64> {
    let begin = support::nanos();
    let (mut sent, mut answered) = (0, 0);
    while answered < count {
        while sent < count && sent - answered < IN_FLIGHT {
            wire.queue("event.process", &request(sent));
            sent += 1;
        }
        wire.flush()?;
        answered += wire.answers()?;
    }
    Ok(support::nanos() - begin)
}

fn agent(link: &str, floor_file: &str) -> io::Result<()> {
    let (mut wire, _) = Wire::open()?;
    let mut floor = Floor::start(floor_file)?;
    for number in 0..WARM_UP {
        one(&mut wire, number)?;
        floor.trip(number)?;
    }
    let (mut bare, mut adrt, mut patch) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        timed(&mut bare, |number| floor.trip(number))?;
        timed(&mut adrt, |number| one(&mut wire, number))?;
        timed(&mut patch, |number| wire.patch(&format!("{{\"n\":\"{number:080}\"}}")))?;
    }
    let told =
        [&bare, &adrt, &patch].map(|spans| format!("{} {}", median(spans), share(spans, 0.9)));
    let mut talk = Talk::to(link)?;
    talk.say(&told.join(" "))?;
    while let Some(count) = talk.hear()?.first() {
        let count = count.parse().map_err(io::Error::other)?;
        talk.say(&pipelined(&mut wire, count)?.to_string())?;
    }
    Ok(())
}

// ----------------------------------------------------------------------- the bench

fn rate(count: usize, nanos: f64) -> f64 {
    count as f64 * 1e9 / nanos
}

fn bare_burst(conn: &mut Connection, count: usize) -> rusqlite::Result<u64> {
    let begin = support::nanos();
    for from in (0..count).step_by(AT_ONCE) {
        let bodies: Vec<String> = (from..(from + AT_ONCE).min(count)).map(event).collect();
        decide(conn, &bodies)?;
    }
    Ok(support::nanos() - begin)
}

fn run(thousands: usize) -> io::Result<()> {
    let count = thousands * 1000;
    let lab = Lab::new()?;
    let floor_file = lab.path("floor.db").display().to_string();
    let (_run, mut talk) = lab.start_agent("bench", &[], "process", &[&floor_file])?;
    let numbers = talk.hear_numbers()?;
    let [floor, floor_90, adrt, adrt_90, patch, _] = numbers[..] else {
        return Err(io::Error::other("the agent said something else"));
    };
    let mut conn = bare(&lab.path("bare.db")).map_err(io::Error::other)?;
    let (mut rates, mut bare_rates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let nanos = bare_burst(&mut conn, count).map_err(io::Error::other)?;
        bare_rates.push(rate(count, nanos as f64));
        let nanos = talk.ask(&count.to_string())?;
        rates.extend(nanos.first().map(|nanos| rate(count, *nanos)));
    }
    let mut report = Report::new("process");
    report.number("floor_p50", floor, "us");
    report.number("adrt_p50", adrt, "us");
    report.number("floor_p90", floor_90, "us");
    report.number("adrt_p90", adrt_90, "us");
    report.number("patch_p50", patch, "us");
    report.at_most("ratio_p50", adrt / floor, "", 1.7);
    report.number("bare_sqlite", median(&bare_rates), "/s");
    report.number("pipelined", median(&rates), "/s");
    report.number("pipelined_to_bare", median(&rates) / median(&bare_rates), "");
    report.finish();
    Ok(())
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--agent", "process", link, floor_file] => agent(link, floor_file),
        ["--disk", path] => disk(path),
        [thousands] => run(thousands.parse().map_err(io::Error::other)?),
        _ => run(DEFAULT_THOUSANDS),
    }
}
