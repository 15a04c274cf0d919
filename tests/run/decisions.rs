//! Decisions, their outcomes and their reviews, over real processes that die:
//! nothing is forgotten, and nothing is counted twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::storm::{END, QUICK, Storm};
use crate::support::{Puppet, Puppets, Run, World, kill, wait_for};

/// Kills in each campaign.
const KILLS: usize = 60;
/// An agent is killed within so many lines of its diary.
const LINES_MAX: usize = 60;
/// The agent.
const SCRIPT: &str = "run/agents/judge.py";
/// What its events are called for.
const CONTEXT: &str = "unknown_storm";

/// For a person, with the thresholds as they are.
const RECOVERY: &str = r#"{"type":"recovery_needed","severity":0.15}"#;

// ----------------------------------------------------------------------- storms

#[test]
fn kills_of_the_agent_between_decision_and_outcome() {
    let storm = Storm::new("agent", SCRIPT, LINES_MAX);
    let mut rng = storm.rng();
    let (mut run, mut seen) = (storm.run(), 0);
    for _ in 0..KILLS {
        kill(storm.next_victim(&mut run, &mut seen, &mut rng), 9);
    }
    end(&storm, run);
}

#[test]
fn kills_of_adrt_between_decision_and_outcome() {
    let storm = Storm::new("adrt", SCRIPT, LINES_MAX);
    let mut rng = storm.rng();
    let (mut run, mut seen) = (storm.run(), 0);
    for _ in 0..KILLS {
        let agent = storm.next_victim(&mut run, &mut seen, &mut rng);
        if rng.bool() {
            kill(agent, 9);
        }
        run.kill();
        run = storm.run();
    }
    end(&storm, run);
}

/// Lets the last agent bring all to an end, and counts.
fn end(storm: &Storm, run: Run) {
    storm.world.file("enough", "");
    wait_for("all to be answered", || {
        let diary = storm.noted();
        let (_, life) = diary.rsplit_once("\nP ")?;
        life.contains("\nD .").then_some(())
    });
    let done = run.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    let diary = Diary::read(&storm.noted());
    println!("{} lives, {} events", diary.lives, diary.of('e').count());
    assert!(diary.lives > KILLS / 4, "only {} lives got that far", diary.lives);
    decisions(storm, &diary);
    outcomes(storm, &diary);
}

/// One for each event, and each with the outcome that was told.
fn decisions(storm: &Storm, diary: &Diary) {
    let list = ["decisions", "list", "a", "--json", "--limit", "1000000"];
    let listed = storm.world.json(&list);
    let rows: BTreeMap<u64, &Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["decision_id"].as_u64().unwrap(), row))
        .collect();
    let known: BTreeSet<u64> = diary.of('e').map(|name| diary.answers[name]).collect();
    assert_eq!(known.len(), diary.of('e').count(), "two events, one decision");
    assert_eq!(known, rows.keys().copied().collect(), "each decision is known, and is there");
    assert_eq!(
        rows.keys().copied().collect::<Vec<_>>(),
        (1..=rows.len() as u64).collect::<Vec<_>>()
    );
    for (id, row) in rows {
        assert_eq!(row["success"], diary.asked[&format!("d{id}")]["success"], "{row}");
    }
}

/// Each outcome has taught once.
fn outcomes(storm: &Storm, diary: &Diary) {
    let told = ['d', 'c', 'k'].map(|kind| diary.of(kind).count());
    println!("outcomes of decisions, calculations, and stated: {told:?}");
    assert!(told.iter().all(|count| *count > 0), "{told:?}");
    let total = told.iter().sum::<usize>();
    for (kind, scope) in [("storm", "context"), ("another", "*")] {
        let event = format!(r#"{{"type":"{kind}","severity":0.3}}"#);
        let found = storm.world.json(&["decide", "-n", "a", "--json", &event]);
        let learnt = &found["evidence"]["calibration"];
        assert_eq!(learnt["scope"], scope, "{found}");
        assert_eq!(learnt["outcomes"], total, "what {CONTEXT} has taught: {learnt}");
    }
}

/// What the agents noted.
#[derive(Default)]
struct Diary {
    lives: usize,
    asked: BTreeMap<String, Value>,
    answers: BTreeMap<String, u64>,
}

impl Diary {
    fn read(text: &str) -> Self {
        let mut diary = Self::default();
        for line in text.lines() {
            // One that was torn tells of nothing that had been done by then.
            let Some(line) = line.strip_suffix(END) else { continue };
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[0] {
                "P" | "D" => {}
                "B" => diary.lives += 1,
                "S" => {
                    let params = serde_json::from_str(words[3]).unwrap();
                    diary.asked.insert(words[1].into(), params);
                }
                "A" => {
                    let number = words[2].parse().unwrap();
                    let before = diary.answers.insert(words[1].into(), number);
                    assert!(before.is_none_or(|before| before == number), "{line}: {before:?}");
                }
                _ => panic!("{line}"),
            }
        }
        let unanswered: Vec<_> =
            diary.asked.keys().filter(|name| !diary.answers.contains_key(*name)).collect();
        assert!(unanswered.is_empty(), "{unanswered:?}");
        diary
    }

    /// What was asked for, of one kind.
    fn of(&self, kind: char) -> impl Iterator<Item = &String> {
        self.asked.keys().filter(move |name| name.starts_with(kind))
    }
}

// ---------------------------------------------------------------------- reviews

/// An agent whose runs come and go.
struct Lasting {
    puppets: Puppets,
    world: World,
}

impl Lasting {
    fn new() -> Self {
        let world = World::new();
        Self { puppets: world.puppets(), world }
    }

    /// A run, and its agent with what it was greeted with.
    fn run(&self, wants: Value) -> (Run, Puppet, Value) {
        let run = self.world.run(&QUICK, self.puppets.argv());
        let mut puppet = self.puppets.next();
        let greeting = puppet.initialize_with(wants);
        (run, puppet, greeting)
    }

    fn reviews(&self) -> Value {
        self.world.json(&["reviews", "list", "a", "--all", "--json"])
    }
}

fn process(puppet: &mut Puppet, event: &str) -> Value {
    puppet.wire.ask("event.process", format!(r#"{{"event":{event}}}"#)).unwrap()
}

#[test]
fn a_review_outlives_adrt_and_is_answered_while_nothing_runs() {
    let lasting = Lasting::new();
    let (mut run, mut puppet, _) = lasting.run(json!({}));
    let asked = process(&mut puppet, RECOVERY);
    assert_eq!((&asked["verdict"], &asked["review_id"]), (&json!("review"), &json!(1)), "{asked}");
    run.kill();
    let (run, mut puppet, greeting) = lasting.run(json!({}));
    assert_eq!(greeting["pending"]["reviews"], json!([1]), "{greeting}");
    let again = process(&mut puppet, RECOVERY);
    assert_eq!(again["review_id"], 1, "the same question is joined, over a restart, too");
    let pending = &lasting.reviews()[0];
    assert_eq!((&pending["status"], &pending["count"]), (&json!("pending"), &json!(2)));
    let done = run.stop();
    assert_eq!(done.code, Some(0), "{done:?}");

    let approve = ["reviews", "approve", "a", "1", "--answer", "now", "--note", "go on"];
    let approved = lasting.world.done(approve);
    assert_eq!(approved.code, Some(0), "{approved:?}");
    let twice = lasting.world.done(approve);
    assert_eq!(twice.code, Some(1), "{twice:?}");

    let (mut run, mut puppet, greeting) = lasting.run(json!({"events": {"credit": 1}}));
    assert_eq!(greeting["pending"]["reviews"], json!([]), "{greeting}");
    let delivered = puppet.wire.read();
    let event = &delivered["params"]["event"];
    let expected = json!({
        "type": "review.resolved", "review_id": 1, "status": "approved", "decision_id": 1,
        "answer": "now", "note": "go on",
    });
    assert_eq!(*event, expected, "it is kept as an event: {delivered}");
    for decision in [1, 2] {
        let asked = json!({"prompt": "may I?", "decision_id": decision});
        let found = puppet.wire.ask("review.request", asked).unwrap();
        assert_eq!(found, json!({"review_id": 1, "status": "approved", "answer": "now"}));
    }
    // The event's end is written; an outcome is not, and neither is lost.
    puppet.wire.ask("event.ack", r#"{"seq":3,"attempt":1}"#).unwrap();
    let outcome = json!({"success": true, "decision_id": 2});
    puppet.wire.ask("confidence.record_outcome", &outcome).unwrap();
    run.kill();
    let (run, mut puppet, greeting) = lasting.run(json!({"events": {"credit": 1}}));
    assert_eq!(greeting["pending"]["events"], 0, "{greeting}");
    puppet.wire.ask("confidence.record_outcome", &outcome).unwrap();
    let other = json!({"success": false, "decision_id": 2});
    let refused = puppet.wire.refused(-32602, "confidence.record_outcome", other);
    assert_eq!(refused["data"]["member"], "success", "{refused}");
    assert_eq!(run.stop().code, Some(0));
    let ever = ["decide", "-n", "a", "--json", RECOVERY];
    let learnt = lasting.world.json(&ever)["evidence"]["calibration"].clone();
    assert_eq!(learnt["outcomes"], 1, "{learnt}");
}

#[test]
fn who_waits_for_a_review_with_the_only_event_in_hand_hears_of_it() {
    let lasting = Lasting::new();
    let wants = json!({"events": {"credit": 1, "types": ["recovery_needed"]}});
    let (run, mut puppet, _) = lasting.run(wants);
    let emit = lasting.world.done(["events", "emit", "a", RECOVERY]);
    assert_eq!(emit.code, Some(0), "{emit:?}");
    let delivered = puppet.wire.read();
    assert_eq!(delivered["method"], "event.deliver", "{delivered}");
    let decided = puppet.wire.ask("event.process", r#"{"seq":1}"#).unwrap();
    assert_eq!(decided["verdict"], "review", "{decided}");
    let approved = lasting.world.done(["reviews", "reject", "a", "1", "--note", "not now"]);
    assert_eq!(approved.code, Some(0), "{approved:?}");
    let told = puppet.wire.read();
    assert_eq!(told["method"], "review.resolved", "{told}");
    let params = json!({"review_id": 1, "status": "rejected", "decision_id": 1, "note": "not now"});
    assert_eq!(told["params"], params);
    // Silence settles one, too, and is told in the same way.
    let asked = json!({"prompt": "and now?", "timeout_ms": 1, "default": "approve"});
    let asked = puppet.wire.ask("review.request", asked).unwrap();
    assert_eq!(asked, json!({"review_id": 2, "status": "pending"}));
    let told = puppet.wire.read();
    let params = json!({"review_id": 2, "status": "expired", "default": "approved"});
    assert_eq!((&told["method"], &told["params"]), (&json!("review.resolved"), &params));
    let again = puppet.wire.ask("event.process", r#"{"seq":1}"#).unwrap();
    assert_eq!(again, decided, "it is decided once");
    puppet.wire.ask("event.ack", r#"{"seq":1,"attempt":1}"#).unwrap();
    // The filter hides them as events until it is lifted.
    puppet.wire.ask("event.subscribe", r#"{"credit":2}"#).unwrap();
    let kept: Vec<Value> = (0..2).map(|_| puppet.wire.read()).collect();
    let ids: Vec<&Value> = kept.iter().map(|line| &line["params"]["event"]["review_id"]).collect();
    assert_eq!(ids, [1, 2], "{kept:?}");
    assert_eq!(run.stop().code, Some(0));
}

#[test]
fn an_event_in_hand_is_decided_once_over_the_death_of_its_agent() {
    let lasting = Lasting::new();
    let wants = json!({"events": {"credit": 1}});
    let (run, mut puppet, _) = lasting.run(wants.clone());
    let emit = lasting.world.done(["events", "emit", "a", r#"{"type":"timeout","severity":0.6}"#]);
    assert_eq!(emit.code, Some(0), "{emit:?}");
    assert_eq!(puppet.wire.read()["params"]["attempt"], 1);
    let first = puppet.wire.ask("event.process", r#"{"seq":1}"#).unwrap();
    // Asked again, and dead before it can hear of it.
    puppet.wire.send("event.process", r#"{"seq":1}"#);
    kill(puppet.pid, 9);
    let mut next = lasting.puppets.next();
    next.initialize_with(wants);
    assert_eq!(next.wire.read()["params"]["attempt"], 2);
    let ack = r#"{"method":"event.ack","params":{"seq":1,"attempt":2,"patch":{"n":1}}}"#;
    let process = r#"{"method":"event.process","params":{"seq":1}}"#;
    let outcome =
        r#"{"method":"confidence.record_outcome","params":{"success":true,"decision_id":1}}"#;
    let all = format!(r#"{{"ops":[{process},{ack},{outcome},{outcome}]}}"#);
    let done = next.wire.ask("tx", all).unwrap();
    assert_eq!(done["results"][0]["decision_id"], first["decision_id"]);
    assert_eq!(done["results"][0]["context"], first["context"]);
    assert_eq!(done["results"][0]["confidence"], first["confidence"]);
    assert_eq!(run.stop().code, Some(0));
    let listed = lasting.world.json(&["decisions", "list", "a", "--json"]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    let ever = ["decide", "-n", "a", "--json", r#"{"type":"timeout","severity":0.6}"#];
    let learnt = lasting.world.json(&ever)["evidence"]["calibration"].clone();
    assert_eq!(learnt["outcomes"], 1, "{learnt}");
}
