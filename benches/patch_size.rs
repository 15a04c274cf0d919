//! A durable patch of some 100 bytes on states of 1 KB, 1 MB and 10 MB: it is
//! to cost the patch, never the state.
//!
//! The floor is the smallest state; the three agents take turns. Goal: the
//! medians are within a factor of 1.3.
//!
//! `cargo bench --bench patch_size`

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::io;

use support::lab::{Lab, Talk};
use support::report::{Report, median};
use support::wire::Wire;

const STATES: [(&str, usize); 3] = [("1KB", 1_000), ("1MB", 1_000_000), ("10MB", 10_000_000)];
/// Bytes of a member of the state, and of a patch of it, roughly.
const MEMBER_BYTES: usize = 100;
const TURNS: usize = 30;
const IN_A_TURN: usize = 60;
const WARM_UP_TURNS: usize = 20;

fn member(place: usize, content: usize) -> String {
    format!("\"member{place:06}\":\"{content:0width$}\"", width = MEMBER_BYTES - 17)
}

fn fill(wire: &mut Wire, bytes: usize) -> io::Result<usize> {
    let count = bytes / MEMBER_BYTES;
    let members: Vec<String> = (0..count).map(|place| member(place, place)).collect();
    wire.queue("state.set", &format!("{{\"value\":{{{}}}}}", members.join(",")));
    wire.flush()?;
    wire.answer()?;
    Ok(count)
}

fn agent(link: &str, bytes: &str) -> io::Result<()> {
    let (mut wire, _) = Wire::open()?;
    let members = fill(&mut wire, bytes.parse().map_err(io::Error::other)?)?;
    let mut talk = Talk::to(link)?;
    let mut place = 0;
    while !talk.hear()?.is_empty() {
        let mut spans = Vec::new();
        for number in 0..IN_A_TURN {
            // All over the state, so that nothing is warm by luck.
            place = (place + 7919) % members;
            let patch = format!("{{{}}}", member(place, number));
            let begin = support::nanos();
            wire.patch(&patch)?;
            spans.push((support::nanos() - begin) as f64 / 1e3);
        }
        let told: Vec<String> = spans.iter().map(f64::to_string).collect();
        talk.say(&told.join(" "))?;
    }
    Ok(())
}

fn run() -> io::Result<()> {
    let lab = Lab::new()?;
    let mut agents = Vec::new();
    for (name, bytes) in STATES {
        agents.push(lab.start_agent(name, &[], "state", &[&bytes.to_string()])?);
    }
    let mut spans = vec![Vec::new(); STATES.len()];
    for turn in 0..WARM_UP_TURNS + TURNS {
        for ((_, talk), spans) in agents.iter_mut().zip(&mut spans) {
            let told = talk.ask("go")?;
            if turn >= WARM_UP_TURNS {
                spans.extend(told);
            }
        }
    }
    drop(agents);
    let medians: Vec<f64> = spans.iter().map(|spans| median(spans)).collect();
    let mut report = Report::new("patch_size");
    for ((name, _), p50) in STATES.iter().zip(&medians) {
        report.number(&format!("p50_{name}"), *p50, "us");
    }
    let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
    let most = medians.iter().copied().fold(0.0, f64::max);
    report.at_most("spread", most / least, "", 1.3);
    report.finish();
    Ok(())
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--agent", "state", link, bytes] => agent(link, bytes),
        _ => run(),
    }
}
