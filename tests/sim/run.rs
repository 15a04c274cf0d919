//! One run of adrt, as it looks from outside: delays, and how it ends.

use std::collections::HashMap;
use std::time::Duration;

use adrt::clock::{Age, Mono};
use adrt::supervisor::alerts::ALERT_BYTES_MAX;
use adrt::supervisor::io::{
    Alert, AlertKind, Exit, IncarnationEnd, Op, Outcome, RestartMemory, Unit, Verdict,
};
use adrt::supervisor::machine::Setup;
use adrt::supervisor::restart::{CRASH_LOOP, Policy, RestartMode};
use adrt::supervisor::units::UNSTABLE_SPAN;

use super::durable::Durable;

#[derive(Default)]
pub struct Run {
    pub last_exit: Option<Exit>,
    pub spawn_failed: bool,
    /// It was killed because it hung.
    pub hung: bool,
    pub stop_asked: bool,
    /// It said so, in this run.
    pub ready_said: bool,
    pub restore_failed: bool,
    /// Nobody knew for a while what is on the disk.
    pub store_lost: bool,
    pub closing_since: Option<Mono>,
    /// The service manager knows that it stops.
    pub stopping_told: bool,
    pub spawns: usize,
    /// An attached client said its last, or read something after that.
    pub eof: Option<Mono>,
    verdict: Option<Verdict>,
    /// What was told and is not over.
    troubles: Vec<&'static str>,
    gave_up: bool,
    /// No spawn before this, unless an operator asked for one.
    not_before: Option<Mono>,
    pub excused: bool,
    /// An operator's restore may be under way, perhaps with nobody waiting.
    pub restore_wanted: bool,
    /// When the last incarnation was known to be over.
    ended: Option<(u64, Mono)>,
    /// Delays that were kept, by the incarnation they followed.
    kept: HashMap<u64, Duration>,
    chosen: HashMap<u64, Duration>,
}

impl Run {
    /// With so much left of a delay.
    pub fn begin(now: Mono, left: Option<Duration>) -> Self {
        Self { not_before: left.map(|left| now + left), ..Self::default() }
    }

    /// No more is done than what was asked for before.
    pub fn is_ending(&self) -> bool {
        self.closing_since.is_some() || self.restore_failed
    }

    /// The agent read something.
    pub fn reads(&mut self, now: Mono) {
        self.eof = self.eof.map(|_| now);
    }

    /// An attached client is let go of, with so many answers on their way.
    pub fn let_go(&mut self, owed: usize, patience: Duration, now: Mono) {
        let Some(read) = self.eof else {
            assert!(self.stop_asked || self.restore_failed || self.store_lost, "it stays");
            return;
        };
        let in_time = now.since(read) < patience;
        let forced = self.stop_asked || self.restore_failed || self.store_lost;
        assert!(owed == 0 || !in_time || forced, "{owed} answers are kept from it");
    }

    /// What lasts is told once, and over once; nothing is told after the end.
    pub fn alert(&mut self, alert: &Alert) {
        assert!(self.verdict.is_none(), "told after the end: {alert:?}");
        assert!(alert.to_json(&"a".repeat(64), Some(&"h".repeat(64))).len() <= ALERT_BYTES_MAX);
        match alert.kind {
            AlertKind::CrashLoop | AlertKind::Unstable | AlertKind::StoreFailing => {
                let kind = alert.kind.as_str();
                assert!(!self.troubles.contains(&kind), "told twice: {alert:?}");
                self.troubles.push(kind);
            }
            AlertKind::Recovered => {
                let what = alert.details.iter().find(|(name, _)| *name == "over").unwrap();
                let place = self.troubles.iter().position(|told| what.1 == **told);
                self.troubles.remove(place.expect("nobody was told of what is over"));
            }
            AlertKind::GaveUp => self.gave_up = true,
            AlertKind::DeadLetter | AlertKind::ReviewPending => {
                let new = alert.details.iter().find(|(name, _)| *name == "new").unwrap();
                assert!(new.1.as_u64() > Some(0), "{alert:?}");
            }
            AlertKind::Damaged => {}
        }
    }

    pub fn ended(&mut self, incarnation: u64, now: Mono) {
        self.ended = Some((incarnation, now));
    }

    pub fn spawning(&mut self, now: Mono) {
        self.hung = false;
        self.excused |= self.restore_wanted;
        if let Some(at) = self.not_before.take() {
            assert!(self.excused || now >= at, "a delay left over from before was cut short");
        }
        if let Some((ended, at)) = self.ended.take()
            && !self.excused
        {
            self.kept.insert(ended, now.since(at));
            self.assert_kept(ended);
        }
        self.excused = false;
    }

    /// The delay that was chosen is known when the end is recorded, which may
    /// be before the next start or after it.
    fn assert_kept(&self, incarnation: u64) {
        if let (Some(kept), Some(chosen)) =
            (self.kept.get(&incarnation), self.chosen.get(&incarnation))
        {
            assert!(kept >= chosen, "a delay of {chosen:?} was cut short to {kept:?}");
        }
    }

    /// An end is being recorded, in that unit.
    pub fn recorded(&mut self, end: &IncarnationEnd, unit: &Unit, newest: u64, policy: &Policy) {
        let Some(delay) = end.backoff else { return };
        assert!(delay <= policy.max, "a delay is longer than --backoff-max");
        self.chosen.insert(end.incarnation, delay);
        self.assert_kept(end.incarnation);
        let count = unit.ops.iter().find_map(|op| match op {
            Op::Restart(memory) => Some((memory.crashes_in_row, is_unstable(memory, unit))),
            _ => None,
        });
        // A record that comes late stands beside a younger memory.
        if end.class.is_crash()
            && end.incarnation == newest
            && let Some((count @ 1.., unstable)) = count
            && !end.backoff_why.contains("asked for it")
        {
            let count = if unstable { count.max(CRASH_LOOP) } else { count };
            assert_in_backoff(policy, count, delay);
        }
    }

    /// The verdict fits what happened.
    pub fn exit(&mut self, verdict: &Verdict, durable: &Durable, setup: &Setup, now: Mono) {
        assert!(self.verdict.is_none(), "a run ends once");
        let told = self.stopping_told || verdict.outcome == Outcome::StoreFailed;
        assert!(told, "the manager was not told that it stops");
        let well = matches!(verdict.outcome, Outcome::Done | Outcome::Stopped);
        assert_eq!(
            self.gave_up, !well,
            "a person is told of an end that is not well, and of no other"
        );
        let policy = &setup.policy;
        let crashed = self.hung || self.last_exit.is_some_and(|exit| exit != Exit::Code(0));
        match verdict.outcome {
            Outcome::Done if setup.attached => assert!(self.eof.is_some(), "it stays"),
            Outcome::Done => assert_eq!(self.last_exit, Some(Exit::Code(0)), "done"),
            Outcome::Stopped => assert!(self.stop_asked, "nobody asked to stop"),
            Outcome::GaveUp => {
                assert!(policy.max_restarts.is_some() && (crashed || self.spawn_failed));
            }
            Outcome::Fatal => assert!(
                matches!(self.last_exit, Some(Exit::Code(c)) if policy.fatal_exit.contains(&c))
            ),
            Outcome::AgentFailed(exit) => {
                assert_eq!((policy.mode, self.last_exit), (RestartMode::Never, Some(exit)));
            }
            Outcome::ExecFailed(_) => assert!(self.spawn_failed),
            Outcome::StoreFailed if setup.attached => {
                assert!(self.restore_failed || self.store_lost);
            }
            Outcome::StoreFailed => assert!(self.restore_failed),
        }
        if self.stop_asked {
            assert!(matches!(verdict.outcome, Outcome::Stopped | Outcome::StoreFailed));
        }
        if let Some(since) = self.closing_since
            && verdict.outcome != Outcome::StoreFailed
            && now.since(since) < setup.stop_timeout
        {
            assert_well_left(durable);
        }
        self.verdict = Some(verdict.clone());
    }
}

/// The run ended before its last deadline: then all of it is on the disk.
fn assert_well_left(durable: &Durable) {
    let last = durable.incarnations.last_key_value().map(|(_, row)| row);
    assert!(last.is_none_or(|row| row.end.is_some()), "the last end was not recorded");
    assert_eq!(durable.restart.delay_left, None, "a delay is left over");
    let newest = durable.newest().map_or(0, |c| c.info.version);
    assert_eq!(newest, durable.version, "the last state has no checkpoint");
}

/// So many crashes of late that each waits as in a loop.
fn is_unstable(memory: &RestartMemory, unit: &Unit) -> bool {
    let recent = |crash: &Age| crash.millis() > 0 && unit.age.since(*crash) < UNSTABLE_SPAN;
    memory.crashes.iter().all(recent)
}

fn assert_in_backoff(policy: &Policy, count: u32, delay: Duration) {
    let grown = policy.initial.as_secs_f64() * policy.multiplier.powi(count as i32 - 1);
    let full = grown.min(policy.max.as_secs_f64());
    let (low, high) = (full * (1.0 - policy.jitter), full * (1.0 + policy.jitter));
    let (seconds, slack) = (delay.as_secs_f64(), 1e-5);
    assert!(
        seconds >= low - slack && seconds <= high + slack,
        "crash {count} in a row waits {seconds} s, not between {low} and {high}"
    );
}
