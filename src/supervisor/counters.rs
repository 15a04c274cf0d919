//! What is counted over a run, for whoever draws curves of it.
//!
//! All of it begins at 0 with each `adrt run` and only rises. Only what is on
//! the disk is counted, but for the ends of processes.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::io::{EventState, ExitClass, Op, Seq, WorkOp};
use super::machine::Machine;
use crate::clock::Mono;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// The beginning.
    begun: Mono,
    commits: u64,
    commit_time: Duration,
    /// Bytes written to the disk.
    pub written_bytes: u64,
    events: Events,
    failed: u64,
    signal: u64,
    out_of_memory: u64,
    hang: u64,
    exec_failed: u64,
    /// The newest dead letter that nobody was told of.
    pub last_dead: Option<Seq>,
}

/// What became of events.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Events {
    arrived: u64,
    delivered: u64,
    acked: u64,
    dead: u64,
}

/// What is counted once a unit is on the disk.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    sent: Mono,
    events: Events,
    last_dead: Option<Seq>,
}

impl Tally {
    /// Of what is sent to the store now.
    pub fn of(ops: &[Op], now: Mono) -> Self {
        let (mut events, mut last_dead) = (Events::default(), None);
        for op in ops {
            let Op::Work(work) = op else { continue };
            let status = match work {
                WorkOp::Arrive(arrival) => {
                    events.arrived += 1;
                    &arrival.status
                }
                WorkOp::Status(status) => status,
                _other => continue,
            };
            match status.state {
                EventState::Pending => events.delivered += u64::from(status.holder > 0),
                EventState::Acked => events.acked += 1,
                EventState::Dead => {
                    events.dead += 1;
                    last_dead = Some(status.seq);
                }
                EventState::Parked => {}
            }
        }
        Self { sent: now, events, last_dead }
    }
}

impl Counters {
    /// None yet.
    pub fn new(now: Mono) -> Self {
        Self { begun: now, ..Self::default() }
    }

    /// A unit is on the disk.
    pub fn committed(&mut self, tally: Tally, now: Mono) {
        self.commits += 1;
        self.commit_time += now.since(tally.sent);
        self.events.arrived += tally.events.arrived;
        self.events.delivered += tally.events.delivered;
        self.events.acked += tally.events.acked;
        self.events.dead += tally.events.dead;
        self.last_dead = tally.last_dead.or(self.last_dead);
    }

    /// A process has ended.
    pub fn ended(&mut self, class: ExitClass) {
        match class {
            ExitClass::Failed => self.failed += 1,
            ExitClass::Signal => self.signal += 1,
            ExitClass::OutOfMemory => self.out_of_memory += 1,
            ExitClass::Hang => self.hang += 1,
            ExitClass::ExecFailed => self.exec_failed += 1,
            ExitClass::Done
            | ExitClass::Finished
            | ExitClass::Stopped
            | ExitClass::StoreLost
            | ExitClass::Lost => {}
        }
    }

    fn crashes(&self) -> Value {
        let crashes = [
            (ExitClass::Failed, self.failed),
            (ExitClass::Signal, self.signal),
            (ExitClass::OutOfMemory, self.out_of_memory),
            (ExitClass::Hang, self.hang),
            (ExitClass::ExecFailed, self.exec_failed),
        ];
        let named = |(class, count): (ExitClass, u64)| (class.as_str().to_owned(), count.into());
        Value::Object(crashes.into_iter().map(named).collect::<Map<_, _>>())
    }
}

impl Machine {
    /// `counters` of the status.
    pub(super) fn counters_json(&self) -> Value {
        let Counters { commits, commit_time, events, .. } = &self.counters;
        json!({
            "release": self.setup.release,
            "run_seconds": self.now.mono.since(self.counters.begun).as_secs_f64(),
            "max_db": self.setup.max_db,
            "crashes": self.counters.crashes(),
            "events": {
                "arrived": events.arrived,
                "delivered": events.delivered,
                "acked": events.acked,
                "dead": events.dead,
            },
            "commits": commits,
            "commit_seconds": commit_time.as_secs_f64(),
        })
    }

    /// What an operator is shown, for whoever keeps it in a file.
    pub fn status(&self) -> String {
        self.status_json()
    }
}

#[cfg(test)]
mod tests {
    use super::super::io::{Exit, Input, Restored, WorkRestored};
    use super::super::testbed::{Bed, empty, setup};
    use super::*;
    use crate::clock::Age;

    #[test]
    fn what_is_on_the_disk_is_counted_and_nothing_else() {
        let mut bed = Bed::working(setup(), 1);
        let count = |bed: &Bed| serde_json::from_str::<Value>(&bed.machine.status()).unwrap();
        let before = count(&bed)["counters"]["commits"].as_u64().unwrap();
        assert!(before > 0, "the start was written down");
        bed.operator(1, "event.emit", r#"{"event":{"type":"x"}}"#);
        assert_eq!(count(&bed)["counters"]["events"]["arrived"], 0);
        bed.now.mono = bed.now.mono + Duration::from_secs(2);
        bed.commit_all();
        bed.asks("event.ack", r#"{"seq":1,"attempt":1}"#);
        bed.commit_all();
        bed.ends(Exit::Code(3));
        bed.commit_all();
        let counters = count(&bed)["counters"].clone();
        let events = json!({"arrived": 1, "delivered": 1, "acked": 1, "dead": 0});
        assert_eq!(counters["events"], events);
        assert_eq!(counters["crashes"]["failed"], 1);
        assert_eq!(counters["crashes"]["signal"], 0);
        assert!(counters["commits"].as_u64() > Some(before), "{counters}");
        assert!(counters["commit_seconds"].as_f64() >= Some(2.0), "{counters}");
    }

    #[test]
    fn an_event_that_an_agent_died_of_was_handed_out_once() {
        let mut bed = Bed::working(setup(), 1);
        bed.operator(1, "event.emit", r#"{"event":{"type":"x"}}"#);
        bed.commit_all();
        bed.ends(Exit::Code(3));
        bed.commit_all();
        let delivered = |bed: &Bed| {
            let status = serde_json::from_str::<Value>(&bed.machine.status()).unwrap();
            status["counters"]["events"]["delivered"].clone()
        };
        assert_eq!(delivered(&bed), 1);
        bed.next_one(1);
        bed.commit_all();
        assert_eq!(delivered(&bed), 2);
    }

    #[test]
    fn what_was_written_is_counted_on_when_the_file_is_read_again() {
        let mut bed = Bed::speaking();
        let written = |bed: &Bed| {
            let status = serde_json::from_str::<Value>(&bed.machine.status()).unwrap();
            (status["written_bytes"].as_u64(), status["written_day_bytes"].as_u64())
        };
        let (run, day) = written(&bed);
        assert!(run > Some(0) && run == day, "{run:?}, {day:?}");
        let mut work = WorkRestored::default();
        work.wear.add(Age::default(), 1000);
        bed.give(Input::Restored(Box::new(Restored { work, ..empty() })));
        assert_eq!(written(&bed), (run, Some(1000)), "a day's is what the store knows");
        bed.pass(Duration::from_secs(24 * 3600));
        assert_eq!(written(&bed).0, run);
        assert_eq!(written(&bed).1, Some(0), "a day passes without a commit");
    }
}
