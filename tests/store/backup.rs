//! An agent in one file, and back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use adrt::store::backup::{TRAILER, backup, backup_move, restore};
use adrt::store::{BackupError, HolderKind, Home, HomeError, Lock, OpenError, Reader, Store};
use adrt::supervisor::io::{ExitClass, Op};

use super::kit::{Place, Script, begin_op, commit, end_op, key_op, options};

fn filled(place: &Place) -> Script {
    let mut store = place.open();
    let mut script = Script::default();
    for _ in 0..30 {
        commit(&mut store, script.count());
    }
    commit(&mut store, script.checkpoint(Some("kept")));
    let ops = vec![
        begin_op(1),
        end_op(1, ExitClass::Signal, b"words"),
        key_op(3, "{}"),
        Op::Meta { name: "script", value: "a.py".to_owned() },
    ];
    commit(&mut store, script.unit(ops));
    commit(&mut store, script.count());
    script
}

fn other(place: &Place) -> Home {
    Home::new(&place.dir.path().join("elsewhere"), "copy").unwrap()
}

#[test]
fn a_backup_brings_everything_back() {
    let place = Place::new();
    let script = filled(&place);
    let file = place.dir.path().join("agent.backup");
    let made = backup(&place.home, &file).unwrap();
    assert_eq!((made.agent.as_str(), made.version), ("agent", 31));
    let meta = fs::metadata(&file).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert_eq!(meta.len(), made.bytes + TRAILER as u64);
    let home = other(&place);
    assert_eq!(restore(&file, &home).unwrap(), made);
    let (mut store, boot) = Store::open(&home, &options()).unwrap();
    let restored = store.load().unwrap();
    assert_eq!(restored.root.to_text(), script.root.to_text());
    assert_eq!((restored.version, restored.keys.len()), (31, 1));
    assert_eq!(restored.checkpoint.unwrap().label.as_deref(), Some("kept"));
    assert_eq!(boot.last_end.unwrap().class, ExitClass::Signal);
    assert_eq!(boot.meta, [("script".to_owned(), "a.py".to_owned())]);
    let mut script = script;
    commit(&mut store, script.count());
    drop(store);
    assert_eq!(Reader::open(&home).unwrap().check().unwrap(), Vec::<String>::new());
}

#[test]
fn it_is_consistent_while_the_agent_writes() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.count());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // The state's two members always agree.
                let n = script.version + 1;
                commit(&mut store, script.patch(&format!(r#"{{"n":{n},"m":{n}}}"#)));
                if n % 50 == 0 {
                    commit(&mut store, script.checkpoint(None));
                }
            }
        });
        let mut last = 0;
        for round in 0..10 {
            let file = place.dir.path().join(format!("backup-{round}"));
            let made = backup(&place.home, &file).unwrap();
            assert!(made.version >= last);
            last = made.version;
            let home = Home::new(&place.dir.path().join("copies"), &format!("c{round}")).unwrap();
            restore(&file, &home).unwrap();
            let state = Reader::open(&home).unwrap().newest().unwrap();
            let n = state.version;
            assert_eq!(n, made.version);
            if n > 1 {
                assert_eq!(state.root.to_text(), format!(r#"{{"n":{n},"m":{n}}}"#));
            }
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
}

#[test]
fn nothing_is_overwritten() {
    let place = Place::new();
    filled(&place);
    let file = place.dir.path().join("precious");
    fs::write(&file, "precious").unwrap();
    assert!(matches!(backup(&place.home, &file), Err(BackupError::Exists(_))));
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    let file = place.dir.path().join("backup");
    backup(&place.home, &file).unwrap();
    let refused = restore(&file, &place.home);
    assert!(matches!(refused, Err(BackupError::Home(HomeError::Exists(_)))), "{refused:?}");
    assert_eq!(place.open().load().unwrap().version, 31);
}

#[test]
fn a_file_that_is_not_what_was_written_is_refused() {
    let place = Place::new();
    filled(&place);
    let file = place.dir.path().join("backup");
    let made = backup(&place.home, &file).unwrap();
    let whole = fs::read(&file).unwrap();
    let length = whole.len();
    // A bit anywhere in the database, in the name, in the hash.
    let name_at = made.bytes as usize + "\nadrt-backup 1\nagent ".len();
    for at in [0, 100, 5000, length / 2, made.bytes as usize - 1, name_at] {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(&file, &bytes).unwrap();
        let refused = restore(&file, &other(&place));
        assert!(matches!(refused, Err(BackupError::Mismatch(_))), "{at}: {refused:?}");
    }
    // Cut short anywhere.
    for kept in [0, 100, TRAILER, length / 2, length - 1] {
        fs::write(&file, &whole[..kept]).unwrap();
        let refused = restore(&file, &other(&place));
        assert!(matches!(refused, Err(BackupError::NotABackup(_))), "{kept}: {refused:?}");
    }
    assert!(!other(&place).exists());
}

#[test]
fn a_moved_agent_refuses_to_run_and_says_where_it_went() {
    let place = Place::new();
    filled(&place);
    let file = place.dir.path().join("backup");
    let lock = Lock::take(&place.home, HolderKind::Command, None).unwrap();
    backup_move(&place.home, &lock, &file).unwrap();
    drop(lock);
    let real = fs::canonicalize(&file).unwrap();
    match place.try_open(&options()) {
        Err(OpenError::Moved { to }) => assert_eq!(to, real.to_str().unwrap()),
        other => panic!("{:?}", other.map(|_| ())),
    }
    // It can still be read, and what was taken away runs.
    let summary = place.reader().summary().unwrap();
    assert_eq!((summary.version, summary.moved_to.as_deref()), (31, real.to_str()));
    let home = other(&place);
    restore(&file, &home).unwrap();
    assert_eq!(Store::open(&home, &options()).unwrap().0.load().unwrap().version, 31);
    // And it may come home.
    restore(&file, &place.home).unwrap();
    assert_eq!(place.open().load().unwrap().version, 31);
}
