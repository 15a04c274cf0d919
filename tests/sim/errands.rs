//! Requests about work, made up as any other by the script.

use adrt::supervisor::io::{Scope, Seq, StepKey};
use fastrand::Rng;

use super::lessons::Told;
use super::request::{Known, Request, Script, Step, pick};
use super::rulings::signals;
use super::work::OTHER;

/// What a step of a write is about, for the checks.
#[derive(Debug, Clone, PartialEq)]
pub enum Errand {
    /// An event with this mark in it.
    Emit {
        mark: u64,
        id: Option<String>,
    },
    /// An event for an agent that there is, or is not.
    Post,
    Ack {
        seq: Seq,
        attempt: u32,
    },
    /// A nack or a park.
    Release {
        seq: Seq,
        attempt: u32,
    },
    Extend {
        seq: Seq,
        attempt: u32,
    },
    Begin(StepKey),
    Complete(StepKey),
    /// An event with this mark in it, decided at once.
    Process {
        mark: u64,
        id: Option<String>,
    },
    /// One that is in hand.
    ProcessHeld {
        seq: Seq,
    },
    Decide {
        confidence: f64,
    },
    Outcome(Told),
    /// A review that is about a decision.
    ReviewOf {
        decision: u64,
    },
    /// Nothing that is looked into.
    Other,
}

const KINDS: [&str; 3] = ["a.x", "a.y", "b.z"];
const STEPS: [&str; 2] = ["pay", "mail"];

impl Script {
    /// A step of a write about work.
    pub fn errand(&mut self, rng: &mut Rng, known: &Known, operator: bool) -> Step {
        let (method, params, what) = match rng.u8(0..36) {
            24.. => self.consult(rng, known),
            0..7 => self.ack(rng, known),
            7..12 => self.emit(rng),
            12 | 13 => self.release(rng, known),
            14 => {
                let (seq, attempt) = self.in_hand(rng, known);
                let params = format!("{{\"seq\":{seq},\"attempt\":{attempt}}}");
                ("event.extend", params, Errand::Extend { seq, attempt })
            }
            15..18 => self.begin(rng, known),
            18 => self.complete(rng, known),
            19 => self.timer(rng),
            20 => self.review(rng),
            21 if operator => self.judge(rng, known),
            22 if operator => Self::bury_or_revive(rng, known),
            21 => ("step.forget", "{\"scope\":\"job\"}".into(), Errand::Other),
            _ => {
                let n = self.next();
                let params = format!("{{\"ns\":\"n\",\"key\":\"k{}\",\"value\":{n}}}", n % 3);
                ("kv.put", params, Errand::Other)
            }
        };
        Step::Errand { method, params, what }
    }

    /// What is in hand is worked on.
    pub fn work(&mut self, rng: &mut Rng, known: &Known) -> Request {
        let (method, params, what) = match rng.u8(0..19) {
            16.. => self.process_held(rng, known),
            0..9 => self.ack(rng, known),
            9..12 => self.release(rng, known),
            12..14 => self.begin(rng, known),
            _ => self.complete(rng, known),
        };
        self.alone(Step::Errand { method, params, what })
    }

    /// An ack of the first that is in hand.
    pub fn diligent(&mut self, rng: &mut Rng, known: &Known) -> Option<Request> {
        let held = known.held.first().copied()?;
        let known = Known { held: vec![held], ..known.clone() };
        let (method, params, what) = self.ack(rng, &known);
        Some(self.alone(Step::Errand { method, params, what }))
    }

    /// Mostly something that is held; else what once was, or never.
    pub fn in_hand(&mut self, rng: &mut Rng, known: &Known) -> (Seq, u32) {
        if !known.held.is_empty() && rng.u8(0..12) > 0 {
            let (seq, attempt) = known.held[rng.usize(0..known.held.len())];
            return (seq, attempt);
        }
        match known.stale.get(rng.usize(0..known.stale.len() + 1)) {
            Some(stale) => *stale,
            None => (rng.u64(0..known.last_seq + 2), 99),
        }
    }

    fn event(&mut self, rng: &mut Rng, members: &str) -> (u64, String) {
        let (mark, kind) = (self.next(), pick(rng, &KINDS));
        (mark, format!("{{\"type\":\"{kind}\",\"mark\":{mark}{members}}}"))
    }

    pub fn emit(&mut self, rng: &mut Rng) -> (&'static str, String, Errand) {
        let id = (rng.u8(0..4) == 0).then(|| format!("id{}", rng.u8(0..12)));
        let mut members = id.as_ref().map_or(String::new(), |id| format!(",\"id\":\"{id}\""));
        members += &signals(rng);
        let (mark, event) = self.event(rng, &members);
        let to = match rng.u8(0..10) {
            0 => Some(OTHER),
            1 => Some("nobody"),
            _ => None,
        };
        if let Some(to) = to {
            let params = format!("{{\"event\":{event},\"to\":\"{to}\"}}");
            return ("event.emit", params, Errand::Post);
        }
        let delay = [0, 0, 0, 50, 2000][rng.usize(0..5)];
        let params = format!("{{\"event\":{event},\"delay_ms\":{delay}}}");
        ("event.emit", params, Errand::Emit { mark, id })
    }

    /// Its change of the state says which event it is, and how many follow.
    fn ack(&mut self, rng: &mut Rng, known: &Known) -> (&'static str, String, Errand) {
        let (seq, attempt) = self.in_hand(rng, known);
        let emits = [0, 0, 1, 2][rng.usize(0..4)];
        let list: Vec<String> = (0..emits)
            .map(|_| {
                let (_, event) = self.event(rng, &format!(",\"of\":{seq}"));
                if rng.u8(0..6) > 0 {
                    event
                } else {
                    format!("{{\"event\":{event},\"to\":\"{OTHER}\"}}")
                }
            })
            .collect();
        let n = self.next();
        let kv = match rng.u8(0..3) {
            0 => format!(",\"kv\":[{{\"ns\":\"ack\",\"key\":\"{seq}\",\"value\":{n}}}]"),
            _ => String::new(),
        };
        let steps = match known.steps.iter().find(|(key, _)| key.scope == Scope::Event(seq)) {
            Some((key, attempt)) if rng.bool() => format!(
                ",\"steps\":[{{\"seq\":{seq},\"step\":\"{}\",\"attempt\":{attempt},\"result\":{n}}}]",
                key.name
            ),
            Some(_) | None => String::new(),
        };
        let checkpoint = if rng.u8(0..8) == 0 { ",\"checkpoint\":true" } else { "" };
        let params = format!(
            "{{\"seq\":{seq},\"attempt\":{attempt},\"patch\":{{\"effect\":{{\"{seq}\":{emits}}},\"m\":{n}}},\
             \"emit\":[{}]{kv}{steps}{checkpoint}}}",
            list.join(",")
        );
        ("event.ack", params, Errand::Ack { seq, attempt })
    }

    fn release(&mut self, rng: &mut Rng, known: &Known) -> (&'static str, String, Errand) {
        let (seq, attempt) = self.in_hand(rng, known);
        let what = Errand::Release { seq, attempt };
        let head = format!("{{\"seq\":{seq},\"attempt\":{attempt}");
        let (method, tail) = match rng.u8(0..8) {
            0..3 => ("event.nack", ",\"reason\":\"no luck\"}".into()),
            3 => ("event.nack", ",\"dead\":true}".into()),
            4 => ("event.nack", format!(",\"delay_ms\":{}}}", rng.u8(0..100))),
            5 => ("event.park", ",\"until\":{\"after_ms\":300}}".into()),
            6 => {
                ("event.park", format!(",\"until\":{{\"event_type\":\"{}\"}}}}", pick(rng, &KINDS)))
            }
            _ => {
                let id = rng.u64(1..known.last_review + 2);
                ("event.park", format!(",\"until\":{{\"review\":{id}}}}}"))
            }
        };
        (method, head + &tail, what)
    }

    fn step_key(&mut self, rng: &mut Rng, known: &Known) -> StepKey {
        let scope = if rng.bool() && !known.held.is_empty() {
            Scope::Event(self.in_hand(rng, known).0)
        } else {
            Scope::Named("job".into())
        };
        StepKey { scope, name: pick(rng, &STEPS).into() }
    }

    fn begin(&mut self, rng: &mut Rng, known: &Known) -> (&'static str, String, Errand) {
        let key = self.step_key(rng, known);
        let hash = if rng.u8(0..12) == 0 { "other" } else { "same" };
        let review = if rng.u8(0..6) == 0 { ",\"on_unknown\":\"review\"" } else { "" };
        let params = format!("{{{},\"input_hash\":\"{hash}\"{review}}}", named(&key));
        ("step.begin", params, Errand::Begin(key))
    }

    fn complete(&mut self, rng: &mut Rng, known: &Known) -> (&'static str, String, Errand) {
        let (key, attempt) = match known.steps.get(rng.usize(0..known.steps.len() + 1)) {
            Some(open) => open.clone(),
            None => (self.step_key(rng, known), 1),
        };
        let n = self.next();
        let outcome = if rng.u8(0..5) == 0 { "error" } else { "result" };
        let patch = if rng.bool() { format!(",\"patch\":{{\"m\":{n}}}") } else { String::new() };
        let params = format!("{{{},\"attempt\":{attempt},\"{outcome}\":{n}{patch}}}", named(&key));
        ("step.complete", params, Errand::Complete(key))
    }

    fn timer(&mut self, rng: &mut Rng) -> (&'static str, String, Errand) {
        let id = format!("t{}", rng.u8(0..4));
        if rng.u8(0..4) == 0 {
            return ("timer.cancel", format!("{{\"id\":\"{id}\"}}"), Errand::Other);
        }
        let when = match rng.u8(0..8) {
            0..3 => format!("\"after_ms\":{}", rng.u16(0..3000)),
            3..6 => format!("\"every_ms\":{}", rng.u16(200..5000)),
            6 => "\"at\":\"2030-01-01T00:00:00Z\"".into(),
            _ => "\"cron\":\"0 0 1 * *\"".into(),
        };
        let event = format!("{{\"type\":\"t.tick\",\"timer\":\"{id}\"}}");
        ("timer.set", format!("{{\"id\":\"{id}\",{when},\"event\":{event}}}"), Errand::Other)
    }

    fn review(&mut self, rng: &mut Rng) -> (&'static str, String, Errand) {
        let key = format!("r{}", rng.u8(0..5));
        let timeout = [500, 5000, 3_600_000][rng.usize(0..3)];
        let params = format!("{{\"prompt\":\"may I\",\"key\":\"{key}\",\"timeout_ms\":{timeout}}}");
        ("review.request", params, Errand::Other)
    }

    fn judge(&mut self, rng: &mut Rng, known: &Known) -> (&'static str, String, Errand) {
        let (id, n) = (rng.u64(1..known.last_review + 2), self.next());
        let status = if rng.bool() { "approved" } else { "rejected" };
        let params = format!("{{\"id\":{id},\"status\":\"{status}\",\"answer\":{n}}}");
        ("review.resolve", params, Errand::Other)
    }

    fn bury_or_revive(rng: &mut Rng, known: &Known) -> (&'static str, String, Errand) {
        let dead = known.dead.get(rng.usize(0..known.dead.len() + 1));
        let seq = dead.copied().unwrap_or_else(|| rng.u64(0..known.last_seq + 2));
        let method = if rng.u8(0..3) == 0 { "event.drop" } else { "event.retry" };
        let twice = if rng.u8(0..6) == 0 { format!(",{seq}") } else { String::new() };
        (method, format!("{{\"seqs\":[{seq}{twice}]}}"), Errand::Other)
    }
}

fn named(key: &StepKey) -> String {
    let scope = match &key.scope {
        Scope::Event(seq) => format!("\"seq\":{seq}"),
        Scope::Named(scope) => format!("\"scope\":\"{scope}\""),
    };
    format!("\"step\":\"{}\",{scope}", key.name)
}
