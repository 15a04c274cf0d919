use std::time::Duration;

use super::super::io::{
    Answer, Committed, Effect, Exit, GroupSignal, Input, Op, Outcome, Receipt, StoreFailureKind,
};
use super::super::machine::Phase;
use super::super::testbed::{Bed, STOP_TIMEOUT, empty, setup};
use super::PROBE_INTERVAL;

const PATCH: &str = r#"{"patch":{"a":1}}"#;

fn refused(kind: &str, bed: &Bed) -> bool {
    bed.sent().contains(&format!("\"kind\":\"{kind}\""))
}

#[test]
fn what_fails_with_others_is_tried_alone_and_in_order() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    bed.asks("state.patch", r#"{"patch":{"b":1}}"#);
    bed.asks("state.get", "{}");
    bed.fail(StoreFailureKind::Full);
    assert!(bed.sent().is_empty(), "nothing is refused yet");
    assert!(bed.units.len() == 1 && bed.units[0].alone);
    bed.commit();
    assert!(bed.sent().contains(r#""id":1,"result":{"version":1}"#));
    assert!(bed.units.len() == 1 && bed.units[0].alone);
    bed.commit();
    assert!(bed.sent().contains(r#""id":2,"result":{"version":2}"#));
    assert!(bed.sent().contains(r#""id":3,"result":{"version":2,"value":{"a":1,"b":1}}"#));
}

#[test]
fn what_fails_alone_is_refused_and_leaves_no_trace() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", r#"{"patch":{"a":1},"key":"k"}"#);
    bed.fail(StoreFailureKind::Full);
    bed.fail(StoreFailureKind::Full);
    assert!(refused("store_failed", &bed) && bed.sent().contains(r#""retryable":true"#));
    bed.asks("state.get", "{}");
    assert!(bed.sent().contains(r#""result":{"version":0,"value":{}}"#));
    // Further writes are refused without trying, until a probe succeeds.
    bed.asks("state.patch", PATCH);
    assert!(refused("store_failed", &bed) && bed.units.is_empty());
    bed.pass(PROBE_INTERVAL);
    bed.commit();
    bed.asks("state.patch", r#"{"patch":{"a":1},"key":"k"}"#);
    bed.commit();
    assert!(bed.sent().contains(r#""result":{"version":1}"#), "the key was not used up");
}

#[test]
fn a_probe_writes_to_the_database_and_asks_for_the_reserve() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", PATCH);
    bed.fail(StoreFailureKind::ReadOnly);
    bed.fail(StoreFailureKind::ReadOnly);
    let mut values = Vec::new();
    for _ in 0..3 {
        bed.pass(PROBE_INTERVAL);
        let ops: Vec<&Op> = bed.ops().collect();
        let [Op::Meta { value, .. }, Op::RebuildReserve] = ops[..] else { panic!("{ops:?}") };
        values.push(value.clone());
        let no_reserve =
            |op: &Op| matches!(op, Op::RebuildReserve).then_some(Answer::Reserve(false));
        bed.commit_with(no_reserve);
        bed.asks("state.patch", PATCH);
        assert!(refused("store_failed", &bed), "without the reserve it goes on");
    }
    values.dedup();
    assert_eq!(values.len(), 3, "writing what is there already would be no write");
}

#[test]
fn a_write_in_doubt_restarts_the_agent_from_what_is_there() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", PATCH);
    bed.lose();
    assert!(refused("outcome_unknown", &bed));
    assert!(bed.effects.iter().any(|e| matches!(e, Effect::Resume { reread: true, .. })));
    assert!(bed.sent().contains(r#""method":"shutdown","params":{"reason":"store_lost""#));
    bed.ends(Exit::Code(0));
    assert!(matches!(bed.machine.phase, Phase::Settling(_)), "it waits for what is there");
    bed.give(Input::Restored(Box::new(super::super::io::Restored { version: 4, ..empty() })));
    assert!(bed.spawns(), "at once: it was not the agent's fault");
}

#[test]
fn what_only_reads_is_read_again_in_its_place() {
    let mut bed = Bed::speaking();
    bed.asks("state.get", "{}");
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    bed.asks("state.get", "{}");
    bed.asks("checkpoint.list", "{}");
    bed.asks("state.patch", r#"{"patch":{"a":2}}"#);
    bed.lose();
    assert!(bed.sent().contains(r#""id":2,"error""#), "{}", bed.sent());
    assert!(!bed.sent().contains(r#""id":5"#), "it comes after what is still to be read");
    bed.give(Input::Restored(Box::new(super::super::io::Restored { version: 9, ..empty() })));
    assert!(bed.sent().contains(r#""id":3,"result":{"version":9"#), "{}", bed.sent());
    bed.commit();
    let sent = bed.sent();
    let (list, write) = (sent.find(r#""id":4,"result""#), sent.find(r#""id":5,"error""#));
    assert!(list.is_some() && list < write, "{sent}");
}

#[test]
fn records_in_doubt_do_not_cost_the_agent_its_life() {
    let mut bed = Bed::speaking();
    // A probe, say, of a disk whose fsync fails again and again.
    bed.asks("state.patch", PATCH);
    bed.fail(StoreFailureKind::Io);
    bed.fail(StoreFailureKind::Io);
    for _ in 0..3 {
        bed.pass(PROBE_INTERVAL);
        assert!(bed.ops().any(|op| matches!(op, Op::RebuildReserve)));
        bed.lose();
        assert!(bed.sent().is_empty() && bed.signals().is_empty());
        bed.give(Input::Restored(Box::new(empty())));
        assert!(bed.units.is_empty(), "once a second is often enough");
    }
}

#[test]
fn one_bad_moment_is_over_as_soon_as_the_file_has_been_read_again() {
    let mut bed = Bed::speaking();
    bed.operator(1, "checkpoint.prune", r#"{"keep":1}"#);
    bed.lose();
    bed.give(Input::Restored(Box::new(empty())));
    assert!(bed.ops().any(|op| matches!(op, Op::RebuildReserve)), "it is tried at once");
    bed.commit();
    bed.asks("state.patch", PATCH);
    assert!(!refused("store_failed", &bed) && !bed.units.is_empty());
}

#[test]
fn a_file_that_cannot_be_read_again_ends_the_run() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", PATCH);
    bed.lose();
    let failure = super::super::io::StoreFailure {
        epoch: 1,
        kind: StoreFailureKind::Io,
        outcome_unknown: false,
        message: "gone".into(),
        reserve_freed: false,
    };
    bed.give(Input::RestoreFailed(failure));
    assert_eq!(bed.signals(), [GroupSignal::Kill]);
    bed.ends(Exit::Signal { signal: 9, core: false });
    assert_eq!(bed.verdict().map(|v| v.outcome), Some(Outcome::StoreFailed));
}

#[test]
fn the_last_records_wait_for_a_disk_that_is_full_but_not_for_ever() {
    let stuck = || {
        let mut bed = Bed::speaking();
        bed.give(Input::Signal { request: super::super::io::Request::Stop, who: "a test" });
        bed.ends(Exit::Code(0));
        while !bed.units.is_empty() {
            bed.fail(StoreFailureKind::Full);
        }
        assert!(bed.verdict().is_none(), "there is time left");
        bed
    };
    let mut bed = stuck();
    bed.pass(PROBE_INTERVAL);
    bed.commit();
    assert!(bed.ops().any(|op| matches!(op, Op::End(_))), "there is room again");
    bed.commit();
    assert!(bed.verdict().is_some());
    let mut bed = stuck();
    let deadline = bed.now.mono + STOP_TIMEOUT;
    while bed.now.mono < deadline {
        assert!(bed.verdict().is_none());
        bed.pass(PROBE_INTERVAL);
        while !bed.units.is_empty() && !bed.machine.is_over() {
            bed.fail(StoreFailureKind::Full);
        }
    }
    assert!(bed.machine.is_over());
}

#[test]
fn records_that_come_late_bring_no_old_memory_back() {
    let mut bed = Bed::running();
    bed.ends(Exit::Code(1));
    while !bed.units.is_empty() {
        bed.fail(StoreFailureKind::Full);
    }
    bed.pass(Duration::from_millis(500));
    assert!(bed.spawns(), "supervision goes on");
    bed.spawned();
    bed.commit();
    bed.pass(PROBE_INTERVAL);
    bed.commit();
    let memory = bed.ops().filter_map(|op| match op {
        Op::Restart(memory) => Some(memory.delay_left),
        _ => None,
    });
    let memory: Vec<_> = memory.collect();
    assert!(!memory.is_empty() && memory.iter().all(Option::is_none), "{memory:?}");
}

/// All units that wait are written; the file is then so large.
fn commit_at(bed: &mut Bed, used_bytes: u64) {
    let units = std::mem::take(&mut bed.units);
    let receipt = |unit: &super::super::io::Unit| Receipt {
        unit: unit.id,
        answers: unit
            .ops
            .iter()
            .filter(|op| matches!(op, Op::RebuildReserve))
            .map(|_| Answer::Reserve(true))
            .collect(),
    };
    let receipts = units.iter().map(receipt).collect();
    bed.give(Input::Committed(Committed { receipts, used_bytes, written_bytes: 0 }));
}

#[test]
fn past_the_budget_writes_are_refused_and_room_is_made_once_a_second() {
    let budget = 1000;
    let mut bed = Bed::speaking_with(super::super::machine::Setup { max_db: budget, ..setup() });
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    commit_at(&mut bed, budget);
    bed.asks("state.patch", r#"{"patch":{"a":2}}"#);
    assert!(!bed.units.is_empty(), "at the budget, not past it: the store sheds nothing there");
    commit_at(&mut bed, budget + 1);
    bed.asks("state.patch", r#"{"patch":{"a":2}}"#);
    assert!(refused("store_failed", &bed) && bed.sent().contains(r#""reason":"budget""#));
    let makes_room = |bed: &Bed| bed.ops().any(|op| matches!(op, Op::Checkpoint(_)));
    assert!(makes_room(&bed), "what comes before a checkpoint can be shed");
    bed.asks("state.patch", r#"{"patch":{"a":3}}"#);
    assert_eq!(bed.units.len(), 1, "once a second");
    commit_at(&mut bed, budget + 1);
    bed.pass(PROBE_INTERVAL);
    assert!(bed.units.is_empty(), "nobody asks");
    bed.asks("state.patch", r#"{"patch":{"a":4}}"#);
    assert!(refused("store_failed", &bed) && !bed.units.is_empty());
    commit_at(&mut bed, budget);
    bed.asks("state.patch", r#"{"patch":{"a":5}}"#);
    commit_at(&mut bed, budget);
    assert!(bed.sent().contains(r#""result":{"version":3}"#), "{}", bed.sent());
}
