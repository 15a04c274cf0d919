use super::super::io::{Answer, Effect, Exit, Input, Op};
use super::super::testbed::{Bed, checkpoint};
use crate::engines::state::Node;

fn keyed(n: u32) -> String {
    format!("{{\"patch\":{{\"a\":{n}}},\"key\":\"k\"}}")
}

#[test]
fn nothing_leaves_before_its_commit_and_nothing_out_of_order() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    bed.asks("state.get", r#"{"path":"/a"}"#);
    bed.asks("no.such", "{}");
    bed.asks("heartbeat", "{}");
    bed.says(r#"{"jsonrpc":"2.0","id":9,"method":"#);
    assert!(bed.sent().is_empty());
    bed.commit();
    let sent = bed.sent();
    let lines: Vec<&str> = sent.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[0].contains(r#""id":1,"result":{"version":1}"#));
    assert!(lines[1].contains(r#""id":2,"result":{"version":1,"value":1}"#));
    assert!(lines[2].contains(r#""id":3,"error":{"code":-32601"#));
    assert!(lines[3].contains(r#""id":4,"result":{}"#));
    assert!(lines[4].contains(r#""id":null,"error":{"code":-32700"#));
}

#[test]
fn the_same_key_gives_the_same_result_and_does_nothing() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", &keyed(1));
    bed.asks("state.patch", &keyed(1));
    assert_eq!(bed.ops().filter(|op| matches!(op, Op::Journal(_))).count(), 1);
    bed.commit_with(|op| match op {
        Op::RecallKey { .. } => Some(Answer::Recalled(Some(r#"{"version":1}"#.into()))),
        _ => None,
    });
    assert!(bed.sent().contains(r#""id":2,"result":{"version":1}"#));
    bed.asks("state.patch", &keyed(2));
    assert!(bed.sent().contains(r#""kind":"key_reused""#));
}

#[test]
fn a_key_that_the_store_forgot_is_done_anew_in_its_place() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", &keyed(1));
    bed.commit();
    bed.asks("state.patch", &keyed(1));
    bed.asks("state.get", "{}");
    // Forgotten: the bench recalls nothing.
    bed.commit();
    assert_eq!(bed.ops().filter(|op| matches!(op, Op::Journal(_))).count(), 1);
    bed.commit();
    assert!(bed.sent().contains(r#""id":2,"result":{"version":2}"#));
    assert!(bed.sent().contains(r#""id":3,"result":{"version":2"#), "the read comes after it");
}

#[test]
fn a_restore_whose_key_the_store_forgot_is_not_asked_for_for_ever() {
    let mut bed = Bed::speaking();
    let restore = r#"{"id":3,"key":"k"}"#;
    let found = |op: &Op| match op {
        Op::LoadCheckpoint(_) => {
            Some(Answer::Loaded(Some((checkpoint(3, 1), Node::from_valid("{\"old\":1}")))))
        }
        _ => None,
    };
    for (id, version) in [(1, 1), (2, 2)] {
        assert_eq!(bed.asks("checkpoint.restore", restore), id);
        for _ in 0..4 {
            if !bed.units.is_empty() {
                bed.commit_with(found);
            }
        }
        let result = format!(r#""id":{id},"result":{{"version":{version}}}"#);
        assert!(bed.sent().contains(&result), "{}", bed.sent());
    }
}

#[test]
fn two_restores_under_one_key_are_one() {
    let mut bed = Bed::running();
    let restore = r#"{"id":3,"key":"k"}"#;
    bed.operator(1, "checkpoint.restore", restore);
    bed.operator(2, "checkpoint.restore", restore);
    let store = |op: &Op| match op {
        Op::LoadCheckpoint(_) => {
            Some(Answer::Loaded(Some((checkpoint(3, 1), Node::from_valid("{\"old\":1}")))))
        }
        Op::RecallKey { .. } => Some(Answer::Recalled(Some(r#"{"version":1}"#.into()))),
        _ => None,
    };
    bed.commit_with(store);
    bed.commit_with(store);
    assert!(bed.units.is_empty(), "both wait for the agent to be gone");
    bed.ends(Exit::Signal { signal: 15, core: false });
    let mut replies = Vec::new();
    let mut restores = 0;
    while !bed.units.is_empty() {
        restores += bed.ops().filter(|op| matches!(op, Op::Journal(_))).count();
        bed.commit_with(store);
        replies.extend(bed.replies());
    }
    assert_eq!(restores, 1);
    assert_eq!(replies.len(), 2);
    assert!(replies.iter().all(|reply| reply.contains(r#""result":{"version":1}"#)));
}

#[test]
fn a_step_of_the_wall_clock_makes_no_done_request_look_new() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", &keyed(1));
    bed.commit();
    // A machine without a clock hears the time: 50 years go by.
    bed.now.wall = crate::clock::Wall::from_millis(1_600_000_000_000);
    bed.asks("state.patch", &keyed(1));
    assert!(bed.ops().any(|op| matches!(op, Op::RecallKey { .. })));
}

#[test]
fn nothing_is_told_before_the_greeting() {
    let mut bed = Bed::running();
    bed.operator(1, "state.patch", r#"{"patch":{"a":1}}"#);
    bed.initialize();
    bed.operator(2, "state.patch", r#"{"patch":{"a":2}}"#);
    bed.commit();
    let sent = bed.sent();
    let lines: Vec<&str> = sent.lines().collect();
    assert_eq!(lines.len(), 2, "{sent}");
    assert!(lines[0].contains(r#""state":{"version":1,"value":{"a":1}}"#));
    assert!(lines[1].contains(r#""method":"state.changed","params":{"version":2"#));
}

#[test]
fn an_operators_change_is_told_as_a_patch() {
    let mut bed = Bed::speaking();
    for (method, params, told) in [
        ("state.patch", r#"{"patch":{"a":{"b":1}}}"#, r#""patch":{"a":{"b":1}},"format":"merge""#),
        ("state.set", r#"{"value":{"a":{"b":1},"c":2}}"#, r#""patch":{"c":2},"format":"merge""#),
        // What became null can't be said by a merge patch.
        (
            "state.patch",
            r#"{"patch":{"c":null},"format":"shallow"}"#,
            r#""patch":{"a":{"b":1},"c":null},"format":"set""#,
        ),
    ] {
        bed.operator(1, method, params);
        bed.commit();
        assert!(bed.sent().contains(told), "{}", bed.sent());
    }
    bed.operator(1, "checkpoint.create", "{}");
    bed.commit();
    assert!(bed.sent().is_empty(), "nothing changed");
}

#[test]
fn the_gone_operators_work_is_done_in_silence() {
    let mut bed = Bed::running();
    bed.operator(1, "state.patch", r#"{"patch":{"a":1}}"#);
    bed.operator(2, "state.patch", r#"{"patch":1}"#);
    bed.give(Input::OperatorGone { conn: 1 });
    bed.give(Input::OperatorGone { conn: 2 });
    bed.commit();
    assert!(bed.replies().is_empty());
    assert!(!bed.effects.iter().any(|e| matches!(e, Effect::Log { .. })), "nor is it told of");
    bed.operator(3, "state.get", "{}");
    assert!(bed.replies()[0].contains(r#""value":{"a":1}"#));
}

#[test]
fn a_tx_is_one_version_and_its_checkpoints_hold_all_of_it() {
    let mut bed = Bed::speaking();
    bed.asks(
        "tx",
        r#"{"ops":[{"method":"state.patch","params":{"patch":{"a":1}}},
            {"method":"checkpoint.create","params":{"label":"x"}},
            {"method":"state.patch","params":{"patch":{"b":2}}}]}"#
            .replace('\n', " ")
            .as_str(),
    );
    let checkpoint = bed.ops().find_map(|op| match op {
        Op::Checkpoint(row) => Some((row.version, row.root.to_text())),
        _ => None,
    });
    assert_eq!(checkpoint, Some((1, r#"{"a":1,"b":2}"#.into())));
    bed.commit();
    let results =
        r#""result":{"results":[{"version":1},{"id":1,"version":1,"bytes":10},{"version":1}]}"#;
    assert!(bed.sent().contains(results), "{}", bed.sent());
}
