//! What is forgotten is gone: from the tables, the file and the log.

use std::fs;

use adrt::supervisor::io::{Answer, Op};

use super::kit::{MINUTE, Place, Script, commit, end_op};

const SECRET: &[u8] = b"hunter2-hunter2";

/// Files of the database that hold those bytes.
fn found_in(place: &Place, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place.home.db_dir()).unwrap() {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        if bytes.windows(needle.len()).any(|window| window == needle) {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found
}

/// History with a secret in it: in patches, in rows that were moved about and
/// deleted, and small enough in a checkpoint that zstd leaves it as it is.
fn with_secret(place: &Place) -> (adrt::store::Store, Script) {
    let mut store = place.open();
    let mut script = Script::default();
    let secret = String::from_utf8(SECRET.to_vec()).unwrap();
    for round in 0..8 {
        for number in 0..40 {
            script.at += MINUTE;
            let filler = "x".repeat(number * 7);
            let patch = format!(r#"{{"k":"{secret}","n":{number},"f":"{filler}"}}"#);
            commit(&mut store, script.patch(&patch));
        }
        commit(&mut store, script.checkpoint((round == 2).then_some("kept")));
        store.maintain();
    }
    commit(&mut store, script.patch(r#"{"k":null,"other":1}"#));
    (store, script)
}

fn forget(store: &mut adrt::store::Store, script: &mut Script, path: Option<&str>) -> (u64, u64) {
    let checkpoint = script.checkpoint_op(None);
    let op = Op::Forget { path: path.map(str::to_owned) };
    let answers = commit(store, script.unit(vec![checkpoint, op]));
    match answers.as_slice() {
        [Answer::Checkpoint(_), Answer::Removed { checkpoints, versions }] => {
            (*checkpoints, *versions)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_of_it_is_left_in_any_file() {
    let place = Place::new();
    let (mut store, mut script) = with_secret(&place);
    assert!(!found_in(&place, SECRET).is_empty(), "else this test proves nothing");
    let (checkpoints, versions) = forget(&mut store, &mut script, None);
    assert!(checkpoints >= 5 && versions >= 1, "{checkpoints} {versions}");
    // While it runs, not only after the end.
    assert_eq!(found_in(&place, SECRET), Vec::<String>::new());
    let reader = place.reader();
    assert_eq!(reader.newest().unwrap().root.to_text(), script.root.to_text());
    assert!(reader.at_version(script.version - 1).is_err());
    assert_eq!(reader.checkpoints(None).unwrap().len(), 1);
    commit(&mut store, script.count());
    drop((store, reader));
    assert_eq!(found_in(&place, SECRET), Vec::<String>::new());
    let restored = place.open().load().unwrap();
    assert_eq!(
        (restored.version, restored.root.to_text()),
        (script.version, script.root.to_text())
    );
    assert_eq!(place.reader().check().unwrap(), Vec::<String>::new());
}

#[test]
fn with_a_path_only_if_something_else_was_there() {
    let place = Place::new();
    let (mut store, mut script) = with_secret(&place);
    assert_eq!(forget(&mut store, &mut script, Some("/never")), (0, 0));
    assert!(!found_in(&place, SECRET).is_empty());
    let before = place.reader().checkpoints(None).unwrap().len() as u64;
    let (checkpoints, versions) = forget(&mut store, &mut script, Some("/k"));
    assert!(checkpoints >= before && versions > 0, "{checkpoints} {versions}");
    assert_eq!(found_in(&place, SECRET), Vec::<String>::new());
}

#[test]
fn a_forgetting_that_was_cut_short_is_finished_at_the_next_opening() {
    let place = Place::new();
    let (mut store, mut script) = with_secret(&place);
    // A reader in the middle of something keeps the log from being emptied.
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    conn.execute_batch("BEGIN; SELECT count(*) FROM journal").unwrap();
    conn.query_row("SELECT count(*) FROM journal", [], |_| Ok(())).unwrap();
    conn.execute_batch("PRAGMA busy_timeout = 0").unwrap();
    forget(&mut store, &mut script, None);
    assert!(!found_in(&place, SECRET).is_empty(), "the reader still sees the old versions");
    conn.execute_batch("ROLLBACK").unwrap();
    drop(conn);
    // A crash: nothing is closed properly.
    let copy = Place::new();
    fs::create_dir(copy.home.db_dir()).unwrap();
    for name in ["adrt.db", "adrt.db-wal"] {
        fs::copy(place.home.db_dir().join(name), copy.home.db_dir().join(name)).unwrap();
    }
    assert!(!found_in(&copy, SECRET).is_empty());
    let mut store = copy.open();
    store.maintain();
    assert_eq!(found_in(&copy, SECRET), Vec::<String>::new());
    assert_eq!(store.load().unwrap().root.to_text(), script.root.to_text());
}

#[test]
fn without_a_checkpoint_of_the_present_nothing_is_touched() {
    let place = Place::new();
    let (mut store, mut script) = with_secret(&place);
    let answers = commit(&mut store, script.unit(vec![Op::Forget { path: None }]));
    assert!(matches!(answers.as_slice(), [Answer::Removed { checkpoints: 0, versions: 0 }]));
    drop(store);
    assert_eq!(place.open().load().unwrap().version, script.version);
}

#[test]
fn the_ledger_keeps_its_output() {
    let place = Place::new();
    let (mut store, mut script) = with_secret(&place);
    let end = end_op(1, adrt::supervisor::io::ExitClass::Failed, b"Traceback");
    commit(&mut store, script.unit(vec![end]));
    forget(&mut store, &mut script, None);
    let row = place.reader().incarnation(1).unwrap().unwrap();
    assert_eq!(row.end.unwrap().output.as_deref(), Some(&b"Traceback"[..]));
}
