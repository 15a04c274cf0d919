//! How it is written down what an incarnation had in hand when it ended.
//!
//! The numbers of the events it held, a blank between them; behind them, where
//! there is more to tell, one JSON object without a blank in it. An older adrt
//! takes the words that are numbers and passes over the other.

use serde_json::{Map, Value, json};

use crate::supervisor::io::{Scope, Seq, StepAttempt, StepKey};

/// What is read.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Hands {
    pub events: Vec<Seq>,
    pub steps: Vec<StepAttempt>,
    pub asked_by: Option<String>,
}

/// The text; empty where there is nothing to tell.
pub(super) fn to_text(held: &[Seq], steps: &[StepAttempt], asked_by: Option<&str>) -> String {
    let mut words: Vec<String> = held.iter().map(Seq::to_string).collect();
    let mut more = Map::new();
    if !steps.is_empty() {
        more.insert("steps".into(), steps.iter().map(step_value).collect());
    }
    if let Some(who) = asked_by {
        more.insert("asked_by".into(), who.into());
    }
    if !more.is_empty() {
        // Outside of strings there is none.
        words.push(Value::Object(more).to_string().replace(' ', "\\u0020"));
    }
    words.join(" ")
}

fn step_value(step: &StepAttempt) -> Value {
    let (name, attempt) = (&*step.key.name, step.attempt);
    match &step.key.scope {
        Scope::Event(seq) => json!({"seq": seq, "step": name, "attempt": attempt}),
        Scope::Named(scope) => json!({"scope": &**scope, "step": name, "attempt": attempt}),
    }
}

/// What the text says, as far as it can be read.
pub(super) fn from_text(text: &str) -> Hands {
    let (numbers, more) = text.split_at(text.find('{').unwrap_or(text.len()));
    let more: Value = serde_json::from_str(more).unwrap_or_default();
    let steps = more["steps"].as_array();
    Hands {
        events: numbers.split(' ').filter_map(|seq| seq.parse().ok()).collect(),
        steps: steps.map(|all| all.iter().filter_map(step_of).collect()).unwrap_or_default(),
        asked_by: more["asked_by"].as_str().map(str::to_owned),
    }
}

fn step_of(value: &Value) -> Option<StepAttempt> {
    let scope = match (value["seq"].as_u64(), value["scope"].as_str()) {
        (Some(seq), _) => Scope::Event(seq),
        (None, Some(scope)) => Scope::Named(scope.into()),
        (None, None) => return None,
    };
    let name = value["step"].as_str()?.into();
    let attempt = u32::try_from(value["attempt"].as_u64()?).ok()?;
    Some(StepAttempt { key: StepKey { scope, name }, attempt })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(scope: Scope, name: &str) -> StepAttempt {
        StepAttempt { key: StepKey { scope, name: name.into() }, attempt: 2 }
    }

    #[test]
    fn what_is_written_is_read() {
        let steps = [step(Scope::Event(7), "pay 12 {\"}"), step(Scope::Named("a b".into()), "é\n")];
        for held in [vec![], vec![7], vec![7, 12]] {
            for steps in [&steps[..], &[]] {
                for asked_by in [None, Some("adrt stop (uid 0)")] {
                    let text = to_text(&held, steps, asked_by);
                    let hands = from_text(&text);
                    assert_eq!((&hands.events, &hands.steps[..]), (&held, steps), "{text}");
                    assert_eq!(hands.asked_by.as_deref(), asked_by, "{text}");
                }
            }
        }
        assert_eq!(to_text(&[], &[], None), "");
    }

    #[test]
    fn an_older_adrt_finds_the_events_and_no_others() {
        let text =
            to_text(&[7], &[step(Scope::Event(7), "pay 12 of 13")], Some("pid 14 of uid 15"));
        let as_it_reads: Vec<Seq> = text.split(' ').filter_map(|seq| seq.parse().ok()).collect();
        assert_eq!(as_it_reads, [7], "{text}");
        assert_eq!(from_text("7 12"), Hands { events: vec![7, 12], ..Hands::default() });
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        let odd = "7 x {\"steps\":[{\"seq\":7},{\"step\":\"s\",\"attempt\":1},3],\"asked_by\":5}";
        assert_eq!(from_text(odd), Hands { events: vec![7], ..Hands::default() });
        assert_eq!(from_text("7 {\"steps\":["), Hands { events: vec![7], ..Hands::default() });
    }
}
