//! Files of every schema there ever was, and of one there is not yet.

use std::fs;

use adrt::clock::Age;
use adrt::store::{EventFilter, Home, InboxSummary, OnDamage, OpenError, Reader, schema};
use adrt::supervisor::io::{ExitClass, Origin};

use super::kit::{Place, Script, commit, on_damage, options, row_sum};

/// As `.dump` of the sqlite3 shell gives it, of a database written by the
/// first release. Never to be changed: files like it are out there.
const V1: &str = include_str!("fixtures/v1.sql");

fn from_sql(sql: &str) -> Place {
    let place = Place::new();
    fs::create_dir(place.home.db_dir()).unwrap();
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    conn.execute_batch(sql).unwrap();
    place
}

fn execute(home: &Home, sql: &str) {
    rusqlite::Connection::open(home.database()).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_file_of_schema_1_is_read_and_written() {
    let place = from_sql(V1);
    let (mut store, boot) = place.try_open(&options()).unwrap();
    assert_eq!((boot.origin, boot.last_incarnation), (Origin::Kept, 1));
    assert_eq!(boot.last_end.unwrap().class, ExitClass::Signal);
    assert_eq!(boot.meta, [("script".to_owned(), "/srv/agent.py".to_owned())]);
    assert_eq!(boot.restart.crashes_in_row, 2);
    assert_eq!(boot.restart.before_loop, None);
    assert!(!boot.restart.rolled_back && boot.restart.crashes == [Age::default(); 7]);
    let restored = store.load().unwrap();
    assert_eq!(restored.root.to_text(), r#"{"a":[1,2.50,"é"],"n":1e400}"#);
    assert_eq!((restored.version, restored.keys.len()), (3, 1));
    assert_eq!(restored.checkpoint.as_ref().unwrap().label.as_deref(), Some("first"));
    assert_eq!(restored.warnings, Vec::<String>::new());
    let mut script = Script::default();
    script.resume(&restored);
    commit(&mut store, script.count());
    commit(&mut store, script.checkpoint(None));
    drop(store);
    assert_eq!(place.open().load().unwrap().version, 4);
    let summary = place.reader().summary().unwrap();
    assert_eq!((summary.schema, summary.min_writer), (schema::SCHEMA_VERSION, 1));
}

#[test]
fn a_file_of_schema_1_is_read_as_it_is() {
    let place = from_sql(V1);
    let reader = place.reader();
    assert_eq!(reader.newest().unwrap().version, 3);
    assert_eq!(reader.summary().unwrap().schema, 1);
    assert_eq!(reader.incarnation(1).unwrap().unwrap().held, Vec::<u64>::new());
    assert_eq!(reader.check().unwrap(), Vec::<String>::new());
    assert!(reader.events(&EventFilter::default(), 9).unwrap().is_empty());
    assert!(reader.event(1).unwrap().is_none());
    assert_eq!(reader.inbox_summary().unwrap(), InboxSummary::default());
    assert!(reader.reviews(false, 9).unwrap().is_empty() && reader.timers().unwrap().is_empty());
    assert_eq!(reader.summary().unwrap().schema, 1, "and stays what it is");
}

/// An adrt of schema 1 was killed: its last change is in the log only.
#[test]
fn a_log_that_an_older_adrt_left_behind_is_part_of_what_is_migrated() {
    let live = from_sql(V1);
    let writer = rusqlite::Connection::open(live.database()).unwrap();
    writer.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0").unwrap();
    let sum = row_sum("meta", &["script", "/srv/new.py"]);
    let sql = "UPDATE meta SET value = '/srv/new.py', sum = ?1 WHERE name = 'script'";
    writer.execute(sql, [sum]).unwrap();
    let killed = Place::new();
    fs::create_dir(killed.home.db_dir()).unwrap();
    for name in ["adrt.db", "adrt.db-wal"] {
        fs::copy(live.home.db_dir().join(name), killed.home.db_dir().join(name)).unwrap();
    }
    let log = killed.database().with_extension("db-wal");
    let salts = || fs::read(&log).unwrap()[16..24].to_vec();
    let before = salts();
    let (store, boot) = killed.try_open(&options()).unwrap();
    assert_eq!(boot.meta, [("script".to_owned(), "/srv/new.py".to_owned())]);
    assert_ne!(salts(), before, "the tables were made in a log of its own");
    drop(store);
    assert_eq!(killed.reader().summary().unwrap().schema, schema::SCHEMA_VERSION);
}

#[test]
fn a_damaged_file_of_schema_1_is_not_migrated() {
    let place = from_sql(V1);
    execute(&place.home, "UPDATE journal SET made_by = 'nobody' WHERE version = 3");
    execute(&place.home, "PRAGMA journal_mode = WAL");
    let before = fs::read(place.database()).unwrap();
    let refused = place.try_open(&options()).err();
    assert!(matches!(refused, Some(OpenError::DamagedTail { .. })), "{refused:?}");
    assert!(fs::read(place.database()).unwrap() == before, "stop touches nothing");
    let (mut store, _) = place.try_open(&on_damage(OnDamage::Salvage)).unwrap();
    assert_eq!(store.load().unwrap().version, 2);
    assert_eq!(place.reader().summary().unwrap().schema, schema::SCHEMA_VERSION);
}

/// Makes the file one of a schema that is not invented yet.
fn newer(min_writer: &str) -> Place {
    let place = from_sql(V1);
    drop(place.open());
    execute(
        &place.home,
        "ALTER TABLE journal ADD COLUMN mood TEXT; CREATE TABLE dreams (id INTEGER PRIMARY KEY);
         PRAGMA user_version = 7",
    );
    place.set_meta("adrt.min_writer", min_writer);
    place.refresh_schema_sum();
    place
}

#[test]
fn a_newer_file_that_only_added_things_is_written() {
    let place = newer("1");
    let (mut store, _) = place.try_open(&options()).unwrap();
    let restored = store.load().unwrap();
    let mut script = Script::default();
    script.resume(&restored);
    commit(&mut store, script.count());
    drop(store);
    assert_eq!(place.open().load().unwrap().version, 4);
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    let version: i32 = conn.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
    assert_eq!(version, 7, "and stays what it is");
}

#[test]
fn a_newer_file_that_changed_things_is_only_read() {
    let place = newer("7");
    for way in [OnDamage::Stop, OnDamage::Salvage, OnDamage::Fresh] {
        let refused = place.try_open(&on_damage(way)).err();
        assert!(
            matches!(refused, Some(OpenError::Newer { schema: 7, min_writer: 7 })),
            "{way:?}: {refused:?}"
        );
    }
    let reader = Reader::open(&place.home).unwrap();
    assert_eq!(reader.newest().unwrap().version, 3);
    assert_eq!(reader.history(None, 10).unwrap().len(), 3);
    assert_eq!(reader.summary().unwrap().min_writer, 7);
}
