//! What is decided about events, and how that is explained.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};

use crate::world::{World, assert_three_lines, failed, no_reader, output};

const OVERLOAD: &str = r#"{"type":"service_overload","cpu":94,"memory":88,"severity":0.82}"#;

/// An agent that speaks the wire by hand: it sends these requests and keeps
/// the answers, a line each.
fn agent(world: &World, options: &[&str], requests: &[(&str, Value)]) -> Vec<Value> {
    let mut script = "#!/bin/sh\nexec 4<&0 5>&1 </dev/null >&3\nsay() { printf '%s\\n' \"$1\" >&5\n\
                      IFS= read -r reply <&4; printf '%s\\n' \"$reply\" >> answers; }\n\
                      say '{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":\
                      {\"protocol\":[1],\"client\":{\"name\":\"t\"},\"token\":\"'\"$ADRT_TOKEN\"'\"}}'\n"
        .to_owned();
    for (method, params) in requests {
        let frame = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        script.push_str(&format!("say '{frame}'\n"));
    }
    let script = world.script("agent.sh", &script);
    let answers = world.path("answers");
    let _none_yet = std::fs::remove_file(&answers);
    // On a busy machine less would be decided without a person.
    let mut words = vec!["run", "-n", "a", "--sensors-every", "0"];
    words.extend(options);
    words.extend(["--", crate::world::text(&script)]);
    world.ok(&words);
    let text = std::fs::read_to_string(answers).expect("answers");
    let frame = |line: &str| serde_json::from_str::<Value>(line).expect("a frame");
    text.lines().skip(1).map(|line| frame(line)["result"].clone()).collect()
}

fn process(event: &str) -> (&'static str, Value) {
    let event: Value = serde_json::from_str(event).expect("JSON");
    ("event.process", json!({"event": event}))
}

/// What a command shows on a screen of eighty columns, in which no line is
/// longer and nothing is coloured.
fn screen(world: &World, words: &[&str]) -> String {
    let seen = output(world.adrt(words).env("COLUMNS", "80"));
    assert_eq!(seen.status.code(), Some(0), "{}", String::from_utf8_lossy(&seen.stderr));
    let text = String::from_utf8(seen.stdout).expect("text");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    text
}

// ---------------------------------------------------------------------- decide

#[test]
fn an_event_is_decided_about_without_an_agent() {
    let world = World::new();
    assert_data_eq!(
        screen(&world, &["decide", OVERLOAD]),
        str![[r#"
[HIGH] service_overload → restart_service
  context     resource_pressure
  pressure    0.651
              severity    0.82        0.82 × 0.35 = 0.287
              cpu         94 %        0.94 × 0.20 = 0.188
              memory      88 %        0.88 × 0.20 = 0.176
              without error_rate, latency_ms
  risk        high: severity 0.82 ≥ 0.80, pressure 0.651 ≥ 0.60
  confidence  0.781 = evidence 0.868 × caution 0.90
              no outcomes have taught anything yet
  threshold   0.60 for risk high, the environment is calm
  verdict     execute: 0.781 ≥ 0.60
  action      restart_service, since high_resource_pressure
  rules       built-in 1  risk        critical → scale_up_immediate
              built-in 2  confidence  high ≥ 0.80 → scale_up_immediate
              built-in 3  matched     high ≥ 0.70 → restart_service
  otherwise   from 0.80    scale_up_immediate, execute
              below 0.70   throttle_requests, execute

"#]]
    );
    assert!(!world.path("state").exists(), "nothing is written");
}

#[test]
fn the_environment_asks_for_more() {
    let world = World::new();
    let event = r#"{"type":"auth_failure","severity":0.6}"#;
    assert_data_eq!(
        screen(&world, &["decide", "--environment", "critical", event]),
        str![[r#"
[NORMAL] auth_failure → trigger_security_audit
  context     security_signal
  pressure    0.21
              severity    0.6         0.60 × 0.35 = 0.21
              without cpu, memory, error_rate, latency_ms
  risk        medium: severity 0.60 ≥ 0.50
  confidence  0.57 = evidence 0.60 × caution 0.95
              no outcomes have taught anything yet
  threshold   0.65: 0.45 for risk medium, raised, as the environment is critical
  verdict     review: 0.57 < 0.65, a person is asked
  action      trigger_security_audit, since security_event
  rules       built-in 1–11  context  11 rules for other contexts
              built-in 12    matched  any risk → trigger_security_audit
  otherwise   from 0.65    trigger_security_audit, execute
              when high    trigger_security_audit, execute

"#]]
    );
    world.fails(2, &["decide", "--environment", "hot", event]);
}

#[test]
fn all_of_it_is_in_the_json() {
    let world = World::new();
    let found = world.json(&["decide", OVERLOAD, "--json"]);
    assert_eq!(found["event_type"], "service_overload");
    assert_eq!((&found["action"], &found["priority"]), (&json!("restart_service"), &json!("high")));
    assert_eq!((&found["verdict"], &found["gate"]), (&json!("execute"), &json!("full")));
    assert_eq!(found["context"]["stability"], "low");
    assert_eq!(found["context"]["tags"][2], "cpu:high");
    assert_eq!(found["signals"].as_array().map(Vec::len), Some(5));
    assert_eq!(found["signals"][1]["value"], json!(94.0));
    assert_eq!(found["signals"][3]["value"], Value::Null);
    assert_eq!(found["evidence"]["calibration"]["outcomes"], 0);
    assert_eq!(found["rules"].as_array().map(Vec::len), Some(3));
    assert_eq!(found["rules"][1]["missed_by"], "confidence");
    assert_eq!(found["rules"][2]["rule"], "built-in 3");
    assert_eq!(found["otherwise"]["from"]["confidence"], json!(0.8));
    assert_eq!(found["otherwise"]["below"]["action"], "throttle_requests");
    assert_eq!(
        (&found["otherwise"]["environment"], &found["differs"]),
        (&Value::Null, &Value::Null)
    );
}

fn piped(world: &World, words: &[&str], lines: &[u8]) -> Output {
    let mut command = world.adrt(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[expect(clippy::disallowed_methods, reason = "the rule is for the agents of adrt itself")]
    let mut child = command.spawn().expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may have stopped reading at a mistake.
    let _reader_gone = stdin.write_all(lines);
    drop(stdin);
    child.wait_with_output().expect("ends")
}

#[test]
fn lines_are_decided_about_one_by_one() {
    let world = World::new();
    let lines = b"{\"type\":\"timeout\",\"severity\":0.3}\r\n\n  {\"type\":\"recovery_needed\"}\n\
                  {\"type\":\"auth_failure\",\"severity\":0.1}\n{\"type\":\"b\\u001bx\"}";
    let seen = piped(&world, &["decide", "-"], lines);
    let expected = "[LOW] timeout → cache_warmup\n[LOW] recovery_needed → run_recovery\n\
                    [LOW] auth_failure → trigger_security_audit (review)\n\
                    [LOW] b\\u{1b}x → monitor_and_wait\n";
    assert_eq!(String::from_utf8_lossy(&seen.stdout), expected);
    assert_eq!(seen.status.code(), Some(0));
    let seen = piped(&world, &["decide", "-", "--json"], lines);
    let text = String::from_utf8(seen.stdout).expect("text");
    let types: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["event_type"].clone())
        .collect();
    assert_eq!(types, ["timeout", "recovery_needed", "auth_failure", "b\u{1b}x"]);
}

#[test]
fn what_is_no_event_is_told_with_its_line() {
    let world = World::new();
    for bad in ["{", "[]", "{}", "{\"type\":7}", "{\"type\":\"a\",\"cpu\":\"high\"}", ""] {
        assert_three_lines(&world.fails(2, &["decide", bad]));
    }
    let seen =
        piped(&world, &["decide", "-"], b"{\"type\":\"a\"}\n\n{\"type\":\"b\",\"cpu\":101}\n{}\n");
    assert_eq!(seen.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&seen.stdout).lines().count(), 1);
    let complaint = String::from_utf8_lossy(&seen.stderr);
    assert!(
        complaint.starts_with("adrt: line 3 is no event\n  why: \"cpu\" must be"),
        "{complaint}"
    );
    let seen = output(world.adrt(&["decide", OVERLOAD]).stdout(no_reader().expect("a pipe")));
    assert_eq!(seen.status.code(), Some(0));
}

#[test]
fn rules_are_tried_before_an_agent_goes_by_them() {
    let world = World::new();
    let rules = "[contexts]\ndisk_full = \"disk\"\n[[rule]]\ncontext = \"disk\"\nrisk = \"high+\"\n\
                 action = \"delete_logs\"\nreason = \"disk_is_full\"\n[[rule]]\ncontext = \"disk\"\n\
                 risk = \"critical\"\naction = \"never\"\nreason = \"r\"\n";
    std::fs::write(world.path("rules.toml"), rules).expect("written");
    let event = r#"{"type":"disk_full","severity":0.9}"#;
    let seen = output(&mut world.adrt(&["decide", "--rules", "rules.toml", event]));
    let told = String::from_utf8_lossy(&seen.stdout);
    assert!(told.starts_with("[HIGH] disk_full → delete_logs\n"), "{told}");
    assert!(told.contains("user 1  matched  high+ → delete_logs"), "{told}");
    let warned = String::from_utf8_lossy(&seen.stderr);
    assert!(
        warned.contains("rules.toml, line 8, column 1: this rule is never reached"),
        "{warned}"
    );
    std::fs::write(world.path("adrt.toml"), "[rules.contexts]\ndisk_full = \"latency_issue\"\n")
        .expect("written");
    let told = world.ok(&["decide", "--config", "adrt.toml", event]);
    assert!(told.starts_with("[HIGH] disk_full → optimize_query\n"), "{told}");
    world.fails(2, &["decide", "--config", "adrt.toml", "--rules", "rules.toml", event]);
    std::fs::write(world.path("rules.toml"), "[thresholds]\nhigh = 2\n").expect("written");
    let complaint = world.fails(78, &["decide", "--rules", "rules.toml", event]);
    assert_three_lines(&complaint);
    assert!(complaint.contains("rules.toml, line 2, column 8"), "{complaint}");
    assert_three_lines(&world.fails(78, &["decide", "--rules", "nothing.toml", event]));
}

#[test]
fn outcomes_of_an_agent_count_if_it_is_named() {
    let world = World::new();
    let bad = json!({"success": false, "confidence": 0.78, "context_risk": "high"});
    let outcomes: Vec<_> = (0..3).map(|_| ("confidence.record_outcome", bad.clone())).collect();
    agent(&world, &[], &outcomes);
    let plain = world.json(&["decide", OVERLOAD, "--json"]);
    let taught = world.json(&["decide", "-n", "a", OVERLOAD, "--json"]);
    assert_eq!(taught["evidence"]["calibration"]["outcomes"], 3);
    assert_eq!(taught["evidence"]["calibration"]["scope"], "*");
    assert!(taught["confidence"].as_f64() < plain["confidence"].as_f64(), "{taught}");
    let screen = screen(&world, &["decide", "--agent", "a", OVERLOAD]);
    assert!(screen.contains("by 3 outcomes of all contexts: a "), "{screen}");
    assert_three_lines(&world.fails(66, &["decide", "-n", "b", OVERLOAD]));
}

// ------------------------------------------------------------------------- why

#[test]
fn a_decision_is_explained() {
    let world = World::new();
    let told = agent(&world, &[], &[process(OVERLOAD)]);
    assert_eq!(told[0]["decision_id"], 1);
    assert_data_eq!(
        screen(&world, &["why", "1"]),
        str![[r#"
[HIGH] service_overload → restart_service
a · decision 1 · [..] · event 1
  context     resource_pressure
  pressure    0.651
              severity    0.82        0.82 × 0.35 = 0.287
              cpu         94 %        0.94 × 0.20 = 0.188
              memory      88 %        0.88 × 0.20 = 0.176
              without error_rate, latency_ms
  risk        high: severity 0.82 ≥ 0.80, pressure 0.651 ≥ 0.60
  confidence  0.781 = evidence 0.868 × caution 0.90
              no outcomes have taught anything yet
  threshold   0.60 for risk high, the environment is calm
  verdict     execute: 0.781 ≥ 0.60
  action      restart_service, since high_resource_pressure
  rules       built-in 1  risk        critical → scale_up_immediate
              built-in 2  confidence  high ≥ 0.80 → scale_up_immediate
              built-in 3  matched     high ≥ 0.70 → restart_service
  otherwise   from 0.80    scale_up_immediate, execute
              below 0.70   throttle_requests, execute
  outcome     not told

"#]]
    );
    for words in [&["why"][..], &["why", "a"], &["why", "a", "1"], &["why", "--event", "1"]] {
        assert!(screen(&world, words).contains("decision 1 "), "{words:?}");
    }
    let coloured = world.ok(&["why", "--color", "always"]);
    assert!(coloured.contains('\u{1b}'));
}

#[test]
fn a_review_and_an_outcome_are_told() {
    let world = World::new();
    let rule = json!(["c", "high+", 0.9, "never_this", "r"]);
    let mine = json!({"context": "c", "action": "mine", "reason": "because", "gate": "full"});
    let decide = json!({"event": {"type": "t"}, "context": "c", "risk": "high", "confidence": 0.5,
        "rules": [rule, mine]});
    agent(&world, &[], &[("decision.decide", decide)]);
    assert_data_eq!(
        screen(&world, &["why"]),
        str![[r#"
[HIGH] t → mine
a · decision 1 · [..]
  context     c
  risk        high, as it was told
  confidence  0.50, as it was told
  threshold   0.60 for risk high, the environment is calm
  verdict     review: 0.50 < 0.60, a person is asked
  action      mine, since because
  rules       call 1  confidence  high+ ≥ 0.90 → never_this
              call 2  matched     any risk → mine
  otherwise   from 0.60    mine, execute
  review      1, waits: adrt reviews approve a 1
              rejected in [..] without an answer
  outcome     not told

"#]]
    );
    world.ok(&["reviews", "approve", "1", "--note", "as discussed\u{1b}[2J"]);
    let told = json!({"success": true, "decision_id": 1});
    agent(&world, &[], &[("confidence.record_outcome", told)]);
    let page = screen(&world, &["why", "1"]);
    let tail: Vec<&str> = page.lines().rev().take(2).collect();
    assert!(tail[0].starts_with("  outcome     success, told "), "{page}");
    assert!(tail[1].starts_with("  review      1, approved by "), "{page}");
    assert!(tail[1].ends_with(": as discussed\\u{1b}[2J"), "{page}");
    let found = world.json(&["why", "1", "--json"]);
    assert_eq!((&found["agent"], &found["decision_id"]), (&json!("a"), &json!(1)));
    assert_eq!((&found["success"], &found["seq"]), (&json!(true), &Value::Null));
    assert_eq!(found["review"]["status"], "approved");
    assert_eq!(found["rules"][0]["missed_by"], "confidence");
    assert_eq!((&found["signals"], &found["evidence"]), (&Value::Null, &Value::Null));
    assert_eq!(found["context"], json!({"risk": "high", "context": "c", "pressure_score": null}));
}

#[test]
fn it_is_explained_by_the_rules_of_then() {
    let world = World::new();
    let rules = "[weights]\nseverity = 0.5\ncpu = 0.1\nmemory = 0.1\nerror_rate = 0.2\n\
                 [[rule]]\naction = \"first\"\nreason = \"r\"\ngate = \"never\"\n";
    std::fs::write(world.path("rules.toml"), rules).expect("written");
    agent(&world, &["--rules", "rules.toml"], &[process(OVERLOAD)]);
    std::fs::write(world.path("rules.toml"), rules.replace("first", "second")).expect("written");
    agent(&world, &["--rules", "rules.toml"], &[process(OVERLOAD)]);
    for (id, action) in [("1", "first"), ("2", "second")] {
        let page = screen(&world, &["why", id]);
        assert!(page.starts_with(&format!("[HIGH] service_overload → {action}\n")), "{page}");
        assert!(page.contains(&format!("user 1  matched  any risk → {action}")), "{page}");
        assert!(page.contains("0.82 × 0.50 = 0.41"), "{page}");
    }
}

#[test]
fn a_decision_that_is_none() {
    let world = World::with(&["a"]);
    assert_three_lines(&world.fails(66, &["why"]));
    assert_three_lines(&world.fails(66, &["why", "7"]));
    assert_three_lines(&world.fails(66, &["why", "--event", "7"]));
    assert_three_lines(&world.fails(2, &["why", "x"]));
    assert_three_lines(&world.fails(66, &["why", "b", "7"]));
    assert_eq!(world.ok(&["decisions", "list"]), "a has decided nothing\n");
    assert_eq!(world.ok(&["decisions", "list", "--json"]), "[]\n");
    failed(2, &mut world.adrt(&["decisions", "list", "--since", "soon"]));
}

// ------------------------------------------------------------------------ lists

#[test]
fn decisions_are_listed() {
    let world = World::new();
    let unsure = r#"{"type":"recovery_needed","severity":0.1}"#;
    agent(
        &world,
        &[],
        &[
            process(OVERLOAD),
            process(unsure),
            process(r#"{"type":"anomaly_detected","severity":0.96}"#),
            ("confidence.record_outcome", json!({"success": false, "decision_id": 3})),
        ],
    );
    assert_data_eq!(
        screen(&world, &["decisions", "list"]),
        str![[r#"
ID  MADE [..] EVENT             RISK      ACTION[..]  SURE  STATUS   WENT
 3  [..]  anomaly_detected  critical  isolate_co[..]  0.768  execute  badly
 2  [..]  recovery_needed   low       run_recove[..]   0.10  pending  –
 1  [..]  service_overload  high      restart_se[..]  0.781  execute  –

"#]]
    );
    let ids = |words: &[&str]| -> Vec<u64> {
        let found = world.json(&[&["decisions", "list", "--json"][..], words].concat());
        let rows = found.as_array().expect("an array");
        rows.iter().filter_map(|row| row["decision_id"].as_u64()).collect()
    };
    assert_eq!(ids(&["--verdict", "review"]), [2]);
    assert_eq!(ids(&["--verdict", "execute"]), [3, 1]);
    assert_eq!(ids(&["--context", "anomaly_signal"]), [3]);
    assert_eq!(ids(&["--limit", "1"]), [3]);
    assert_eq!(ids(&["--before", "3", "--limit", "1"]), [2]);
    assert_eq!(ids(&["--since", "1h ago"]), [3, 2, 1]);
    assert_eq!(ids(&["a", "--since", "now"]), [0; 0]);
    let found = world.json(&["decisions", "list", "--json", "--verdict", "review"]);
    assert_eq!(
        (&found[0]["review_id"], &found[0]["review_status"]),
        (&json!(1), &json!("pending"))
    );
    assert_eq!((&found[0]["seq"], &found[0]["success"]), (&json!(2), &Value::Null));
    let more = world.ok(&["decisions", "list", "--limit", "2"]);
    assert!(more.ends_with("older ones: the same with --before 2\n"), "{more}");
    world.ok(&["reviews", "reject", "1"]);
    assert!(world.ok(&["decisions", "list"]).contains("rejected"));
}

#[test]
fn reviews_tell_what_was_decided() {
    let world = World::new();
    agent(
        &world,
        &[],
        &[
            process(r#"{"type":"recovery_needed","severity":0.1}"#),
            ("review.request", json!({"prompt": "go?"})),
        ],
    );
    assert_data_eq!(
        screen(&world, &["reviews", "list"]),
        str![[r#"
ID  STATUS   ASKED [..] DECISION  SURE  PROMPT
 2  pending  [..]        –     –  go?
 1  pending  [..]        1  0.10  run_recovery for recovery_needed [..]

"#]]
    );
    let found = world.json(&["reviews", "list", "--json"]);
    assert_eq!(found[0]["decision"], Value::Null);
    let decision = &found[1]["decision"];
    assert_eq!((&decision["decision_id"], &decision["risk"]), (&json!(1), &json!("low")));
    assert_eq!(
        (&decision["action"], &decision["threshold"]),
        (&json!("run_recovery"), &json!(0.2))
    );
}
