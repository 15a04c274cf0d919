use super::super::io::{Effect, Input};
use super::super::testbed::Bed;
use super::*;

const EVERY: Duration = Duration::from_secs(5);

/// A look, so long after the last input.
fn look(bed: &mut Bed, memory: f64) -> String {
    bed.pass(EVERY);
    bed.give(Input::Sample(Sample { memory: Some(memory), ..Sample::default() }));
    bed.sent()
}

fn status(bed: &mut Bed) -> Value {
    bed.operator(1, "status", "{}");
    let reply: Value = serde_json::from_str(&bed.replies()[0]).unwrap();
    reply["result"]["environment"].clone()
}

fn logged(bed: &Bed) -> Vec<(LogLevel, String)> {
    let lines = bed.effects.iter().filter_map(|effect| match effect {
        Effect::Log { level, message, .. } => Some((*level, message.clone())),
        _ => None,
    });
    lines.collect()
}

#[test]
fn a_change_of_level_is_told_once() {
    let mut bed = Bed::speaking();
    assert!(bed.sent().contains(
        r#""environment":{"level":"calm","score":0.0,"signals":{"cpu":null,"memory":null,"#
    ));
    assert_eq!(look(&mut bed, 0.5), "");
    assert!(logged(&bed).is_empty());
    assert_eq!(
        look(&mut bed, 1.0),
        "{\"jsonrpc\":\"2.0\",\"method\":\"environment.changed\",\"params\":\
         {\"level\":\"elevated\",\"score\":0.527,\"signals\":{\"cpu\":null,\"memory\":0.816,\
         \"psi\":null,\"temperature\":null,\"disk\":null}}}\n"
    );
    let line = "pressure on the machine is up to elevated (score 0.53; memory 82 %)";
    assert_eq!(logged(&bed), [(LogLevel::Info, line.to_owned())]);
    assert!(look(&mut bed, 0.97).contains(r#""level":"high""#));
    assert_eq!(logged(&bed)[0].0, LogLevel::Warning);
    assert_eq!(look(&mut bed, 0.90), "");
    let told: String = (0..20).map(|_| look(&mut bed, 0.2)).collect();
    assert_eq!(told.matches("environment.changed").count(), 1, "{told}");
    assert!(told.contains(r#""level":"calm""#));
    let status = status(&mut bed);
    let levels: Vec<_> =
        status["changes"].as_array().unwrap().iter().map(|c| &c["level"]).collect();
    assert_eq!(levels, ["elevated", "high", "calm"]);
    assert_eq!(status["since"], status["changes"][2]["at"]);
}

#[test]
fn a_greeting_tells_the_level_that_there_is() {
    let mut bed = Bed::running();
    assert_eq!(look(&mut bed, 0.9), "", "it has not said anything yet");
    bed.initialize();
    assert!(bed.sent().contains(r#""environment":{"level":"high","#), "{}", bed.sent());
    assert!(!bed.sent().contains("environment.changed"));
    assert_eq!(look(&mut bed, 0.9), "");
}

#[test]
fn a_level_that_changes_while_it_is_greeted_is_told_after_that() {
    let mut bed = Bed::running();
    // The disk is slow, and the greeting stands behind this in the line.
    bed.operator(2, "state.patch", r#"{"patch":{"n":1}}"#);
    bed.initialize();
    assert_eq!((bed.sent(), look(&mut bed, 0.9)), (String::new(), String::new()));
    bed.commit();
    let sent = bed.sent();
    let lines: Vec<&str> = sent.lines().collect();
    assert!(lines[0].contains(r#""environment":{"level":"calm","#), "{sent}");
    assert!(lines[1].contains(r#""method":"environment.changed","params":{"level":"high""#));
    assert_eq!(lines.len(), 2, "{sent}");
}

#[test]
fn who_is_not_greeted_is_told_nothing() {
    let mut bed = Bed::running();
    assert_eq!(look(&mut bed, 0.99), "");
    bed.ends(super::super::io::Exit::Code(1));
    assert_eq!(look(&mut bed, 0.1), "");
    assert_eq!(bed.machine.environment_level(), Level::Critical);
}

#[test]
fn nobody_looks() {
    let mut bed = Bed::speaking();
    assert_eq!(status(&mut bed), Value::Null);
    look(&mut bed, 0.5);
    let status = status(&mut bed);
    assert_eq!((&status["level"], &status["score"]), (&json!("calm"), &json!(0.15)));
    assert_eq!((&status["worst"], &status["changes"]), (&json!("memory"), &json!([])));
    assert_eq!(status["since"], status["looked"]);
    assert_eq!(status["signals"]["memory"], 0.5);
}

#[test]
fn the_last_changes_are_kept() {
    let mut bed = Bed::speaking();
    let changes = (0..2000).filter(|n| !look(&mut bed, [0.1, 0.96][n / 12 % 2]).is_empty()).count();
    assert!(changes > CHANGES_KEPT, "{changes}");
    let status = status(&mut bed);
    let kept = status["changes"].as_array().unwrap();
    assert_eq!(kept.len(), CHANGES_KEPT);
    assert_eq!(status["since"], kept[CHANGES_KEPT - 1]["at"]);
}
