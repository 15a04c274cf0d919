use super::super::io::{Exit, StoreFailureKind};
use super::super::restart::RestartMode;
use super::super::testbed::{Bed, setup};
use super::*;

fn lines(effects: &[Effect]) -> Vec<&str> {
    let line = |effect| match effect {
        &Effect::Notify(Notice::Status(ref line)) => Some(line.as_str()),
        _ => None,
    };
    effects.iter().filter_map(line).collect()
}

#[test]
fn what_a_person_wants_to_know_is_told_at_once() {
    let mut bed = Bed::speaking();
    let told =
        lines(bed.says(r#"{"jsonrpc":"2.0","method":"heartbeat","params":{"status":"busy"}}"#))
            .join("");
    assert!(told.starts_with("running, incarnation 1, process "), "{told}");
    assert!(told.ends_with("; state version 0; says: busy"), "{told}");
    let told = lines(bed.ends(Exit::Code(3))).join("");
    assert!(told.starts_with("waiting to start again, in "), "{told}");
    assert!(told.contains("; it exited with code 3, crash 1 in a row; state version 0"), "{told}");
}

#[test]
fn an_end_that_was_no_crash_is_not_told_as_one() {
    let mut setup = setup();
    setup.policy.mode = RestartMode::Always;
    let mut bed = Bed::running_with(setup);
    let told = lines(bed.ends(Exit::Code(0))).join("");
    assert!(told.contains("; it exited with code 0; state version 0"), "{told}");
    bed.commit_all();
    bed.pass(PAUSE);
    bed.spawned();
    let told = lines(&bed.effects).join("");
    assert!(told.ends_with("; state version 0; 1 restart"), "{told}");
}

#[test]
fn a_mere_number_waits_its_time() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    assert_eq!(lines(bed.commit()), [""; 0]);
    let told = lines(bed.pass(PAUSE)).join("");
    assert!(told.ends_with("; state version 1"), "{told}");
    bed.asks("state.patch", r#"{"patch":{"a":2}}"#);
    assert_eq!(lines(bed.commit()), [""; 0]);
}

#[test]
fn a_disk_in_trouble_comes_first() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    bed.fail(StoreFailureKind::Full);
    let told = lines(bed.fail(StoreFailureKind::Full)).join("");
    assert!(told.starts_with("store: disk full since "), "{told}");
    assert!(told.contains(" writes waiting, 0 lost; running, "), "{told}");
}
