//! What one incarnation has in its hands, by what it was told.

use std::collections::BTreeMap;

use adrt::supervisor::io::{Seq, StepKey};
use serde_json::Value;

use super::errands::Errand;
use super::request::{Request, Step, What};
use super::work::{Work, glob};

/// Hand-outs that were told, to whomever.
#[derive(Default)]
pub struct HandOuts {
    /// The last attempt of each event.
    last: BTreeMap<Seq, u32>,
    /// Told to operators.
    pub to_operators: Vec<(Seq, u32)>,
}

impl HandOuts {
    /// Those before the last of each event.
    pub fn stale(&self) -> Vec<(Seq, u32)> {
        self.last.iter().map(|(seq, last)| (*seq, last - 1)).collect()
    }

    /// Somebody is told of one: gives its number and attempt.
    pub fn told(&mut self, params: &Value, work: &Work) -> (Seq, u32) {
        let seq = params["seq"].as_u64().unwrap();
        let attempt = u32::try_from(params["attempt"].as_u64().unwrap()).unwrap();
        let before = self.last.insert(seq, attempt);
        assert!(before.is_none_or(|before| before < attempt), "attempt {attempt} of {seq} twice");
        let row = work.events.get(&seq).expect("what is handed out is on the disk");
        assert_eq!(row.status.attempt, attempt, "the attempt that was told of {seq}");
        let body: Value = serde_json::from_str(&row.body).unwrap();
        assert_eq!(params["event"], body, "the content of {seq}");
        (seq, attempt)
    }
}

#[derive(Default)]
pub struct Hands {
    /// None before it asked for events.
    pub credit: Option<usize>,
    pub types: Vec<String>,
    pub held: BTreeMap<Seq, u32>,
    /// Steps it may run.
    pub steps: Vec<(StepKey, u32)>,
    /// It was asked to leave: perhaps since nobody knows what it holds.
    pub leaves: bool,
}

impl Hands {
    pub fn wants(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|g| glob(g, kind))
    }

    /// `event.deliver`.
    pub fn delivered(
        &mut self,
        params: &Value,
        incarnation: u64,
        told: &mut HandOuts,
        work: &Work,
    ) {
        let (seq, attempt) = told.told(params, work);
        let credit = self.credit.expect("it never asked for events");
        assert!(self.held.len() < credit, "more than it has credit for");
        let row = &work.events[&seq];
        assert_eq!(row.status.holder, incarnation, "{seq} is another's");
        assert!(self.wants(&row.kind), "it never asked for {}", row.kind);
        assert_eq!(self.held.insert(seq, attempt), None, "{seq} is in its hands");
    }

    /// A request of its own was answered.
    pub fn answered(&mut self, request: &Request, message: &Value, told: &HandOuts) {
        match &request.what {
            What::Initialize { events, .. } | What::Subscribe { events }
                if message.get("result").is_some() =>
            {
                let (credit, types) = events.clone().unzip();
                (self.credit, self.types) = (credit, types.unwrap_or_default());
            }
            What::Write(write) => {
                let code = message["error"]["code"].as_i64();
                let results = match (&message["result"], write.is_tx) {
                    (result, true) => result["results"].as_array().cloned().unwrap_or_default(),
                    (result, false) => vec![result.clone()],
                };
                // What was done before is not in its hands any more; what an operator has
                // in hand it may settle.
                let keyed = write.key.is_some();
                for (index, step) in write.steps.iter().enumerate() {
                    let Step::Errand { what, .. } = step else { continue };
                    match code {
                        None => self.done(what, &results[index], keyed, told),
                        Some(1201) if !write.is_tx => self.refused(what),
                        Some(_) => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn done(&mut self, what: &Errand, result: &Value, keyed: bool, told: &HandOuts) {
        match what {
            Errand::Ack { seq, attempt } | Errand::Release { seq, attempt } => {
                let held = self.held.get(seq) == Some(attempt);
                let others = told.to_operators.contains(&(*seq, *attempt));
                assert!(held || keyed || others, "{seq} was not in its hands");
                if held {
                    self.held.remove(seq);
                }
            }
            Errand::Begin(key) if result["status"] == "run" => {
                self.steps.retain(|(known, _)| known != key);
                let attempt = u32::try_from(result["attempt"].as_u64().unwrap()).unwrap();
                self.steps.push((key.clone(), attempt));
            }
            Errand::Complete(key) => self.steps.retain(|(known, _)| known != key),
            Errand::Extend { .. }
            | Errand::Begin(_)
            | Errand::Emit { .. }
            | Errand::Post
            | Errand::Process { .. }
            | Errand::ProcessHeld { .. }
            | Errand::Decide { .. }
            | Errand::Outcome(_)
            | Errand::ReviewOf { .. }
            | Errand::Other => {}
        }
    }

    /// `stale_attempt`: what is in its hands is never that.
    fn refused(&self, what: &Errand) {
        if let Errand::Release { seq, attempt } | Errand::Extend { seq, attempt } = what {
            let held = self.held.get(seq) == Some(attempt);
            assert!(!held || self.leaves, "{seq} is in its hands");
        }
        if let Errand::ProcessHeld { seq } = what {
            assert!(!self.held.contains_key(seq) || self.leaves, "{seq} is in its hands");
        }
    }
}
