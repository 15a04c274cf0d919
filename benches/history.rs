//! What is read of events costs what is shown, not what there is.
//!
//! Agents with a page of events, a hundred thousand and a million: a page of them as
//! `adrt events list` and `event.history` read it, of all types and of one,
//! and what `status` asks. The goal is the same time, whatever the number:
//! twice that of the first at most. Rows are written by the store itself.
//!
//! `cargo bench --bench history [-- MOST]`

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::fmt::Display;
use std::io;

use adrt::clock::{Age, Wall};
use adrt::store::home::Home;
use adrt::store::open::{Options, Store};
use adrt::store::read::Reader;
use adrt::store::read_work::EventFilter;
use adrt::supervisor::io::{
    Arrival, EventState, EventStatus, History, Op, Seq, Unit, UnitId, WorkOp,
};

use support::lab::Lab;
use support::report::{Report, median};

const DEFAULT_MOST: u64 = 1_000_000;
/// Events in one transaction.
const AT_ONCE: u64 = 1000;
/// Events on a page.
const PAGE: u64 = 50;
const ROUNDS: usize = 200;

fn failed(error: impl Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// A dead letter, which is kept however many there are; one in a thousand is
/// of another type.
fn arrival(seq: Seq) -> Op {
    let kind = if seq.is_multiple_of(1000) { "rare" } else { "usual" };
    let status = EventStatus {
        seq,
        state: EventState::Dead,
        place: Age::from_millis(seq),
        due: Age::from_millis(seq),
        born: Age::from_millis(seq),
        attempt: 3,
        deaths: 3,
        nacks: 0,
        holder: 1,
        version: 0,
        wait: None,
        reason: Some("the agent died".into()),
    };
    let body = format!("{{\"type\":\"{kind}\",\"n\":{seq},\"text\":\"{seq:060}\"}}").into();
    Op::Work(WorkOp::Arrive(Box::new(Arrival { status, kind: kind.into(), body, id: None })))
}

fn unit(number: u64, ops: Vec<Op>) -> Unit {
    Unit {
        id: UnitId(number),
        epoch: 0,
        at: Wall::from_millis(1_000_000),
        age: Age::from_millis(number),
        alone: false,
        privileged: false,
        ops,
    }
}

struct Place {
    home: Home,
    store: Store,
}

impl Place {
    fn filled(lab: &Lab, events: u64) -> io::Result<Self> {
        let home = Home::new(&lab.path("state"), &format!("with-{events}")).map_err(failed)?;
        home.create().map_err(failed)?;
        let options = Options { max_db: u64::MAX, reserve: false, ..Options::default() };
        let (mut store, _) = Store::open(&home, &options).map_err(failed)?;
        for first in (1..=events).step_by(AT_ONCE as usize) {
            let ops = (first..(first + AT_ONCE).min(events + 1)).map(arrival).collect();
            store.commit(&[unit(first, ops)]).map_err(|failure| failed(failure.message))?;
        }
        // What retention looks at once after opening is another matter.
        while store.maintain() {}
        Ok(Self { home, store })
    }

    /// Medians in microseconds: a page, one of a type, the summary, and
    /// `event.history`.
    fn measure(&mut self) -> io::Result<[f64; 4]> {
        let reader = Reader::open(&self.home).map_err(failed)?;
        let all = EventFilter { dead_only: false, kind: None, since: None, before: None };
        let usual = EventFilter { kind: Some("usual".into()), ..all.clone() };
        let mut spans: [Vec<f64>; 4] = Default::default();
        for round in 0..ROUNDS {
            spans[0].push(timed(|| reader.events(&all, PAGE).map(drop).map_err(failed))?);
            spans[1].push(timed(|| reader.events(&usual, PAGE).map(drop).map_err(failed))?);
            spans[2].push(timed(|| reader.inbox_summary().map(drop).map_err(failed))?);
            let history = History { limit: PAGE, before: None, kind: None };
            let ask = unit(u64::MAX / 2 + round as u64, vec![Op::Work(WorkOp::History(history))]);
            let store = &mut self.store;
            let ask = || store.commit(&[ask]).map(drop).map_err(|failure| failed(failure.message));
            spans[3].push(timed(ask)?);
        }
        Ok(spans.map(|spans| median(&spans)))
    }
}

fn timed(act: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let begin = support::nanos();
    act()?;
    Ok((support::nanos() - begin) as f64 / 1000.0)
}

fn run(most: u64) -> io::Result<()> {
    let lab = Lab::new()?;
    let mut few = Place::filled(&lab, PAGE)?;
    let mut some = Place::filled(&lab, most / 10)?;
    let mut many = Place::filled(&lab, most)?;
    let mut report = Report::new("history");
    let (few, some, many) = (few.measure()?, some.measure()?, many.measure()?);
    for (at, name) in ["list", "list_of_type", "summary", "event_history"].into_iter().enumerate() {
        report.number(&format!("{name}_{PAGE}"), few[at], "us");
        report.number(&format!("{name}_{}", most / 10), some[at], "us");
        report.number(&format!("{name}_{most}"), many[at], "us");
        report.at_most(&format!("{name}_ratio"), many[at] / few[at], "", 2.0);
    }
    report.finish();
    Ok(())
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let most = words.first().map(|word| word.parse().map_err(io::Error::other)).transpose()?;
    run(most.unwrap_or(DEFAULT_MOST))
}
