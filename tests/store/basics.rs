//! What was committed is there again.

use std::time::Duration;

use adrt::clock::{Age, Wall};
use adrt::store::{Options, Store};
use adrt::supervisor::io::{
    Answer, CheckpointRef, Exit, ExitClass, Op, Origin, RestartMemory, Scope, StepAttempt, StepKey,
};

use super::kit::{HOUR, Place, Script, T0, begin_op, commit, end_op, key_op, options};

#[test]
fn an_empty_store_says_so() {
    let place = Place::new();
    let (mut store, boot) = place.try_open(&options()).unwrap();
    assert_eq!(boot.origin, Origin::First);
    assert_eq!(boot.last_incarnation, 0);
    assert!(boot.orphan.is_none() && boot.last_end.is_none());
    let restored = store.load().unwrap();
    assert_eq!(restored.root.to_text(), "{}");
    assert_eq!((restored.version, restored.highest_version), (0, 0));
    assert!(restored.checkpoint.is_none() && restored.warnings.is_empty());
    store.close().unwrap();
    let (_, boot) = place.try_open(&options()).unwrap();
    assert_eq!(boot.origin, Origin::Kept);
}

#[test]
fn changes_come_back_byte_for_byte() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    for patch in [
        r#"{"big":123456789012345678901234567890,"e":1e400,"z":-0.0}"#,
        r#"{"text":"\ud83d\ude00 \u0000 é"}"#,
        r#"{"deep":{"a":{"b":[1,2.50,3]}}}"#,
    ] {
        commit(&mut store, script.patch(patch));
    }
    commit(&mut store, script.checkpoint(None));
    commit(&mut store, script.patch(r#"{"deep":{"a":{"c":null,"d":1E+2}}}"#));
    drop(store);
    let restored = place.open().load().unwrap();
    assert_eq!(restored.root.to_text(), script.root.to_text());
    assert_eq!(restored.version, 4);
    let checkpoint = restored.checkpoint.unwrap();
    assert_eq!((checkpoint.id, checkpoint.version), (1, 3));
    assert_eq!(restored.tail_bytes, r#"{"deep":{"a":{"c":null,"d":1E+2}}}"#.len() as u64);
}

#[test]
fn many_units_share_a_commit_and_answer_in_order() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let units: Vec<_> = (0..100).map(|_| script.count()).collect();
    let done = store.commit(&units).unwrap();
    let ids: Vec<u64> = done.receipts.iter().map(|r| r.unit.0).collect();
    assert_eq!(ids, (1..=100).collect::<Vec<_>>());
    assert!(done.written_bytes > 0 && done.used_bytes > 0);
    let restored = store.load().unwrap();
    assert_eq!((restored.version, restored.highest_version), (100, 100));
}

#[test]
fn a_checkpoint_is_found_by_number_and_by_its_newest_label() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.count());
    let made = commit(&mut store, script.checkpoint(Some("good")));
    let [Answer::Checkpoint(info)] = made.as_slice() else { panic!("{made:?}") };
    assert_eq!((info.id, info.version, info.state_bytes), (1, 1, 7));
    commit(&mut store, script.count());
    commit(&mut store, script.checkpoint(Some("good")));
    let asked = vec![
        Op::LoadCheckpoint(CheckpointRef::Id(1)),
        Op::LoadCheckpoint(CheckpointRef::Label("good".to_owned())),
        Op::LoadCheckpoint(CheckpointRef::Label("bad".to_owned())),
        Op::ListCheckpoints { limit: 1 },
    ];
    let answers = commit(&mut store, script.unit(asked));
    let [
        Answer::Loaded(Some((first, root))),
        Answer::Loaded(Some((newest, _))),
        Answer::Loaded(None),
        Answer::Checkpoints(list),
    ] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert_eq!((first.id, root.to_text().as_str()), (1, r#"{"n":1}"#));
    assert_eq!(newest.id, 2);
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].id, 2);
}

#[test]
fn keys_are_remembered_with_the_size_of_their_checkpoint() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let change = script.patch_op(r#"{"a":1}"#);
    let checkpoint = script.checkpoint_op(None);
    let ops = vec![
        key_op(7, r#"{"id":1,"version":1,"bytes":null}"#),
        change,
        checkpoint,
        key_op(8, r#"{"version":1}"#),
    ];
    let made = commit(&mut store, script.unit(ops));
    let [Answer::Checkpoint(info)] = made.as_slice() else { panic!("{made:?}") };
    let recall = |key| Op::RecallKey { key: [key; 16] };
    let answers = commit(&mut store, script.unit(vec![recall(7), recall(8), recall(9)]));
    let [Answer::Recalled(Some(seven)), Answer::Recalled(Some(eight)), Answer::Recalled(None)] =
        answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert_eq!(*seven, format!(r#"{{"id":1,"version":1,"bytes":{}}}"#, info.bytes));
    assert_eq!(eight, r#"{"version":1}"#);
    drop(store);
    let keys = place.open().load().unwrap().keys;
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], ([7; 16], [7 ^ 0xff; 16], Wall::from_millis(T0)));
}

/// The same end, of one that held those events.
fn holding(events: &[u64], mut end: Op) -> Op {
    if let Op::End(row) = &mut end {
        row.held = events.to_vec();
    }
    end
}

#[test]
fn what_was_held_is_kept_as_long_as_outputs_and_told_when_damaged() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    for incarnation in 1..=102 {
        let end = holding(&[incarnation], end_op(incarnation, ExitClass::Failed, b"x"));
        commit(&mut store, script.unit(vec![begin_op(incarnation), end]));
    }
    let held = |id| place.reader().incarnation(id).unwrap().unwrap();
    assert_eq!(held(2).held, Vec::<u64>::new());
    assert_eq!((held(3).held, held(102).held), (vec![3], vec![102]));
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    conn.execute("UPDATE held SET events = '8' WHERE incarnation = 3", []).unwrap();
    assert!(held(3).damaged && !held(102).damaged);
}

#[test]
fn what_it_was_doing_stands_behind_what_it_held() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let step = StepAttempt {
        key: StepKey { scope: Scope::Event(17), name: "charge 5 euros".into() },
        attempt: 2,
    };
    for (incarnation, held) in [(1, &[4, 17][..]), (2, &[])] {
        let mut end = holding(held, end_op(incarnation, ExitClass::Stopped, b""));
        if let Op::End(row) = &mut end {
            row.steps = vec![step.clone()];
            row.asked_by = Some("adrt stop (uid 0)".to_owned());
        }
        commit(&mut store, script.unit(vec![begin_op(incarnation), end]));
    }
    for (id, held) in [(1, &[4, 17][..]), (2, &[])] {
        let row = place.reader().incarnation(id).unwrap().unwrap();
        assert_eq!((&row.held[..], &row.steps[..]), (held, &[step.clone()][..]));
        assert_eq!((row.asked_by.as_deref(), row.damaged), (Some("adrt stop (uid 0)"), false));
    }
    let listed = place.reader().incarnations(false, None, 9).unwrap();
    assert_eq!(listed[0].steps, [step], "lists have it too");
    // What an adrt before this one makes of it.
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    let text = |id: i64| -> String {
        conn.query_row("SELECT events FROM held WHERE incarnation = ?1", [id], |r| r.get(0))
            .unwrap()
    };
    let as_it_reads =
        |text: &str| -> Vec<u64> { text.split(' ').filter_map(|seq| seq.parse().ok()).collect() };
    assert_eq!(as_it_reads(&text(1)), [4, 17]);
    assert_eq!(as_it_reads(&text(2)), [0_u64; 0]);
}

#[test]
fn a_row_tells_of_its_pin_and_of_the_next_start() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.count());
    commit(&mut store, script.checkpoint(None));
    let pin = |checkpoint| Op::Pin { checkpoint, incarnation: 1 };
    let end = end_op(1, ExitClass::Failed, b"");
    commit(&mut store, script.unit(vec![begin_op(1), end, pin(1)]));
    let row = |id| place.reader().incarnation(id).unwrap().unwrap();
    assert_eq!((row(1).pinned, row(1).next_begun), (Some(1), None));
    let due = row(1).end.unwrap();
    assert_eq!(due.next_due().unwrap().millis() - due.ended.millis(), 500);
    script.at += 700;
    commit(&mut store, script.unit(vec![begin_op(2)]));
    assert_eq!(row(1).next_begun, row(2).begun);
    assert_eq!((row(2).pinned, row(2).next_begun), (None, None));
    assert_eq!(store.load().unwrap().last_begun, 2);
    // A checkpoint that is gone is not named.
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    conn.execute("DELETE FROM checkpoints", []).unwrap();
    assert_eq!(row(1).pinned, None);
}

#[test]
fn what_was_written_in_a_day_is_counted_over_runs_and_clocks() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let mut written = 0;
    for _ in 0..20 {
        let done = store.commit(&[script.count()]).unwrap();
        assert!(done.written_bytes > 0);
        written += done.written_bytes;
    }
    let of = |store: &mut Store, age: Age| store.load().unwrap().work.wear.last_day(age);
    assert_eq!(of(&mut store, script.age()), written, "each commit is in it at once");
    // It is written down with an end, with what came before that.
    let noted = written;
    commit(&mut store, script.unit(vec![begin_op(1), end_op(1, ExitClass::Done, b"")]));
    drop(store);
    let read = |at| place.reader().written_in_a_day(Wall::from_millis(at)).unwrap();
    assert_eq!((read(script.at), read(script.at + 25 * HOUR)), (noted, 0));
    let mut store = place.open();
    assert_eq!(of(&mut store, script.age()), noted);
    // A year is set back, and another one on: a day at most has passed.
    script.at -= 365 * 24 * HOUR;
    let more = store.commit(&[script.count()]).unwrap().written_bytes;
    assert_eq!(of(&mut store, script.age()), noted + more);
    script.at += HOUR;
    assert_eq!(of(&mut store, script.age()), noted + more);
    script.at += 365 * 24 * HOUR;
    assert_eq!(of(&mut store, script.age()), 0);
    // A damaged count is none, and hinders nothing.
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    conn.execute("UPDATE meta SET value = '7 7' WHERE name = 'adrt.wear'", []).unwrap();
    drop((conn, store));
    assert_eq!(of(&mut place.open(), script.age()), 0);
}

#[test]
fn the_release_of_the_last_one_is_known_before_the_next() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.unit(vec![begin_op(1)]));
    assert_eq!(place.reader().release(1).unwrap().as_deref(), Some("r1"));
    assert_eq!(place.reader().release(2).unwrap(), None);
    drop(store);
    let (_, boot) = place.try_open(&options()).unwrap();
    assert_eq!(boot.last_release.as_deref(), Some("r1"));
}

#[test]
fn the_ledger_knows_how_the_last_one_ended() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let memory = RestartMemory {
        crashes_in_row: 3,
        delay_left: Some(Duration::from_millis(750)),
        restarts: 9,
        before_loop: Some(4),
        rolled_back: true,
        crashes: [0, 0, 0, 0, 11, 22, 33].map(Age::from_millis),
    };
    commit(&mut store, script.unit(vec![begin_op(1)]));
    drop(store);
    let (mut store, boot) = place.try_open(&options()).unwrap();
    assert_eq!(boot.last_incarnation, 1);
    let orphan = boot.orphan.expect("its end was never recorded");
    assert_eq!((orphan.pid, orphan.session, orphan.start_ticks), (4242, 4200, 77));
    script.at += 5;
    let ops = vec![
        holding(&[4, 17], end_op(1, ExitClass::Signal, b"last words")),
        Op::Restart(memory),
        Op::Meta { name: "script", value: "/srv/agent.py".to_owned() },
    ];
    commit(&mut store, script.unit(ops));
    drop(store);
    let (_, boot) = place.try_open(&options()).unwrap();
    let end = boot.last_end.unwrap();
    assert_eq!(end.class, ExitClass::Signal);
    assert_eq!(end.exit, Some(Exit::Signal { signal: 9, core: false }));
    assert_eq!(end.ended, Wall::from_millis(T0 + 5));
    assert!(boot.orphan.is_none());
    assert_eq!(boot.restart, memory);
    assert_eq!(boot.meta, [("script".to_owned(), "/srv/agent.py".to_owned())]);
    let row = place.reader().incarnation(1).unwrap().unwrap();
    assert!(!row.damaged);
    assert_eq!(row.release.as_deref(), Some("r1"));
    assert_eq!(row.held, [4, 17]);
    let end = row.end.unwrap();
    assert_eq!(end.output.as_deref(), Some(&b"last words"[..]));
    assert_eq!((end.uptime, end.version), (Duration::from_millis(1234), 1));
    assert!(end.crash);
    assert_eq!(end.backoff, Some(Duration::from_millis(500)));
}

#[test]
fn an_end_without_a_beginning_is_kept() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.unit(vec![end_op(1, ExitClass::ExecFailed, b"")]));
    drop(store);
    let (_, boot) = place.try_open(&options()).unwrap();
    assert_eq!(boot.last_incarnation, 1);
    assert_eq!(boot.last_end.unwrap().class, ExitClass::ExecFailed);
    assert!(boot.orphan.is_none());
    let crashes = place.reader().incarnations(true, None, 10).unwrap();
    assert_eq!(crashes.len(), 1);
}

#[test]
fn outputs_of_old_incarnations_are_let_go() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    for id in 1..=103 {
        let class = if id % 2 == 0 { ExitClass::Done } else { ExitClass::Failed };
        commit(&mut store, script.unit(vec![begin_op(id), end_op(id, class, b"text")]));
    }
    let reader = place.reader();
    let output = |id| reader.incarnation(id).unwrap().unwrap().end.unwrap().output;
    assert_eq!(output(3), None);
    assert!(output(4).is_some());
    let page = reader.incarnations(true, Some(100), 3).unwrap();
    assert_eq!(page.iter().map(|row| row.id).collect::<Vec<_>>(), [99, 97, 95]);
    let summary = reader.summary().unwrap();
    assert_eq!((summary.incarnations, summary.crashes), (103, 52));
}

#[test]
fn an_ephemeral_store_touches_no_file() {
    let place = Place::new();
    let options = Options { ephemeral: true, ..Options::default() };
    let (mut store, boot) = place.try_open(&options).unwrap();
    assert_eq!(boot.origin, Origin::First);
    let mut script = Script::default();
    commit(&mut store, script.count());
    commit(&mut store, script.checkpoint(None));
    let forget = script.unit(vec![Op::Forget { path: None }, Op::RebuildReserve]);
    let answers = commit(&mut store, forget);
    assert!(matches!(
        answers.as_slice(),
        [Answer::Removed { checkpoints: 0, versions: 1 }, Answer::Reserve(true)]
    ));
    store.reopen().unwrap();
    store.close().unwrap();
    assert_eq!(std::fs::read_dir(&place.home.dir).unwrap().count(), 0);
}

#[test]
fn reopening_finds_what_was_committed() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.count());
    store.reopen().unwrap();
    assert_eq!(store.load().unwrap().version, 1);
    commit(&mut store, script.count());
    store.reopen().unwrap();
    assert_eq!(store.load().unwrap().root.to_text(), r#"{"n":2}"#);
    let _: Store = store;
}
