//! Files of every schema there ever was, and of one there is not yet.

use std::collections::BTreeMap;
use std::fs;

use adrt::clock::Age;
use adrt::store::{
    DecisionFilter, EventFilter, Home, InboxSummary, OnDamage, OpenError, Reader, schema,
};
use adrt::supervisor::io::{ExitClass, Op, Origin, Restored, WorkOp};

use super::kit::{
    Place, Script, calibration_op, commit, decision, decision_op, held, on_damage, options,
    policy_op, row_sum,
};

/// As `.dump` of the sqlite3 shell gives it, of a database written by the
/// first release. Never to be changed: files like it are out there.
const V1: &str = include_str!("fixtures/v1.sql");
/// The same of the last adrt before decisions.
const V2: &str = include_str!("fixtures/v2.sql");

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
    assert!(reader.review(1).unwrap().is_none());
    no_decisions(&reader);
    assert_eq!(reader.summary().unwrap().schema, 1, "and stays what it is");
}

fn no_decisions(reader: &Reader) {
    assert!(reader.decisions(9, None, &DecisionFilter::default()).unwrap().is_empty());
    assert!(reader.decision(1).unwrap().is_none() && reader.policy(&[1; 16]).unwrap().is_none());
    assert!(reader.calibrations().unwrap().is_empty());
}

/// What the file of schema 2 holds besides the state.
fn assert_work(restored: &Restored) {
    assert_eq!(restored.root.to_text(), r#"{"a":[1,2.50,"é"],"n":1e400}"#);
    assert_eq!(restored.warnings, Vec::<String>::new());
    let work = &restored.work;
    assert_eq!((work.last_seq, work.depth, work.dead, work.ids.len()), (5, 2, 1, 5));
    assert_eq!(*work.first.rows[0].body, *r#"{"type":"test","data":1}"#);
    assert_eq!(work.parked, [("review:1".into(), 1)]);
    assert_eq!((&*work.open_steps[0].key.name, work.open_steps[0].review), ("charge", Some(1)));
    let timers: Vec<&str> = work.timers.iter().map(|timer| &*timer.id).collect();
    assert_eq!(timers, ["daily", "every"]);
    assert_eq!((work.posts.len(), work.last_post), (1, 2));
    assert_eq!((work.reviews.len(), work.last_review), (1, 2));
    let review = &work.reviews[0];
    assert_eq!((review.key.as_deref(), review.count, review.decision), (Some("restart"), 2, None));
}

#[test]
fn a_file_of_schema_2_is_read_and_written() {
    let place = from_sql(V2);
    let (mut store, boot) = place.try_open(&options()).unwrap();
    assert_eq!((boot.origin, boot.last_incarnation), (Origin::Kept, 1));
    assert_eq!(boot.restart.crashes, [Age::from_millis(5); 7]);
    let restored = store.load().unwrap();
    assert_work(&restored);
    assert_eq!((restored.work.last_decision, restored.work.calibrations.len()), (0, 0));
    let mut script = Script::default();
    script.resume(&restored);
    let ops =
        vec![policy_op(1), decision_op(held(decision(1, 1, 1), 1)), calibration_op("*", 1.0, 0.5)];
    commit(&mut store, script.unit(ops));
    drop(store);
    let work = place.open().load().unwrap().work;
    assert_eq!((work.last_decision, work.calibrations.len()), (1, 1));
    assert_eq!(work.reviews[0].decision, Some(1));
    let summary = place.reader().summary().unwrap();
    assert_eq!((summary.schema, summary.min_writer), (schema::SCHEMA_VERSION, 1));
    assert_eq!(place.reader().check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_file_of_schema_2_is_read_as_it_is() {
    let place = from_sql(V2);
    let reader = place.reader();
    assert_eq!(reader.reviews(false, 9).unwrap().len(), 2);
    let review = reader.review(2).unwrap().unwrap();
    assert_eq!((review.note.as_deref(), review.decision), (Some("go on"), None));
    assert_eq!(reader.inbox_summary().unwrap().parked, 1);
    assert_eq!(reader.incarnation(1).unwrap().unwrap().held, [1]);
    no_decisions(&reader);
    assert_eq!(reader.check().unwrap(), Vec::<String>::new());
    assert_eq!(reader.summary().unwrap().schema, 2, "and stays what it is");
}

/// Statements of the file's tables and indexes, by name.
fn definitions(place: &Place) -> BTreeMap<String, String> {
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL";
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// That an adrt of schema 2 agrees to write such a file is tested in
/// `store::migrate`; here, that what it writes into is as it was.
#[test]
fn an_adrt_of_schema_2_finds_all_it_knows_as_it_left_it() {
    let old = from_sql(V2);
    let place = from_sql(V2);
    let mut store = place.open();
    let mut script = Script::default();
    script.resume(&store.load().unwrap());
    let mut review = store.load().unwrap().work.reviews.remove(0);
    let ops = vec![policy_op(1), decision_op(held(decision(1, 1, 1), 1))];
    commit(&mut store, script.unit(ops));
    review.decision = Some(1);
    let op = Op::Work(WorkOp::Review(Box::new(review)));
    commit(&mut store, script.unit(vec![op]));
    store.close().unwrap();
    let (before, after) = (definitions(&old), definitions(&place));
    for (name, sql) in &before {
        assert_eq!(after.get(name), Some(sql), "{name}");
    }
    let added: Vec<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    let ours = ["calibration", "decisions", "policies"];
    assert!(added.iter().all(|name| ours.iter().any(|table| name.starts_with(table))), "{added:?}");
    // The row of a review that a decision names is the one schema 2 wrote.
    let row = |place: &Place| -> i64 {
        let conn = rusqlite::Connection::open(place.database()).unwrap();
        conn.query_row("SELECT sum FROM reviews WHERE id = 1", [], |r| r.get(0)).unwrap()
    };
    assert_eq!(row(&old), row(&place));
}

#[test]
fn what_salvage_takes_from_a_file_of_schema_2() {
    let place = from_sql(V2);
    execute(&place.home, "UPDATE journal SET made_by = 'nobody' WHERE version = 2");
    let (mut store, _) = place.try_open(&on_damage(OnDamage::Salvage)).unwrap();
    let work = store.load().unwrap().work;
    assert_eq!((work.last_seq, work.last_review, work.last_decision), (5, 2, 0));
    let mut script = Script::default();
    commit(&mut store, script.unit(vec![policy_op(1), decision_op(decision(1, 1, 1))]));
    assert_eq!(store.load().unwrap().work.last_decision, 1);
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
