//! Reading versions of the past.

use adrt::clock::Wall;
use adrt::store::{ReadError, Reader};
use adrt::supervisor::io::{CheckpointRef, Op};

use super::kit::{MINUTE, Place, Script, T0, commit};

/// Versions 1 to 40, a minute apart, a checkpoint after every fifth.
fn forty(place: &Place) -> Script {
    let mut store = place.open();
    let mut script = Script::default();
    for version in 1..=40 {
        script.at = T0 + version * MINUTE;
        commit(&mut store, script.count());
        if version % 5 == 0 {
            commit(&mut store, script.checkpoint(Some(&format!("v{version}"))));
        }
    }
    script
}

fn text(reader: &Reader, version: u64) -> String {
    reader.at_version(version).unwrap().root.to_text()
}

#[test]
fn every_version_that_is_kept_can_be_read() {
    let place = Place::new();
    forty(&place);
    let reader = place.reader();
    // The newest five checkpoints are of 20, 25, 30, 35, 40: the journal goes
    // back to the first of them.
    for version in 20..=40 {
        assert_eq!(text(&reader, version), format!(r#"{{"n":{version}}}"#));
    }
    for version in [5, 10, 15] {
        assert_eq!(text(&reader, version), format!(r#"{{"n":{version}}}"#));
    }
    let newest = reader.newest().unwrap();
    assert_eq!((newest.version, newest.updated), (40, Wall::from_millis(T0 + 40 * MINUTE)));
}

#[test]
fn a_version_that_is_not_kept_names_its_neighbours() {
    let place = Place::new();
    forty(&place);
    let reader = place.reader();
    let asked = |version| match reader.at_version(version) {
        Err(ReadError::NotKept { asked, nearest_before, nearest_after, oldest, newest }) => {
            assert_eq!((asked, oldest, newest), (version, 5, 40));
            (nearest_before, nearest_after)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(asked(12), (Some(10), Some(15)));
    assert_eq!(asked(17), (Some(15), Some(20)));
    assert_eq!(asked(0), (None, Some(5)));
    assert_eq!(asked(41), (Some(40), None));
    assert_eq!(asked(u64::MAX), (Some(40), None));
}

#[test]
fn a_time_finds_the_version_that_was_there() {
    let place = Place::new();
    forty(&place);
    let reader = place.reader();
    let at = |ms| reader.at_time(Wall::from_millis(T0 + ms)).unwrap().version;
    assert_eq!(at(33 * MINUTE), 33);
    assert_eq!(at(33 * MINUTE + 1), 33);
    assert_eq!(at(33 * MINUTE - 1), 32);
    assert_eq!(at(999 * MINUTE), 40);
    assert_eq!(at(13 * MINUTE), 10, "the nearest kept one before it");
    let early = reader.at_time(Wall::from_millis(T0));
    assert!(matches!(early, Err(ReadError::NothingBefore { oldest: 5, .. })), "{early:?}");
}

#[test]
fn before_the_first_change_there_is_version_0() {
    let place = Place::new();
    let mut store = place.open();
    let reader = place.reader();
    assert_eq!(reader.newest().unwrap().version, 0);
    assert_eq!(text(&reader, 0), "{}");
    let mut script = Script::default();
    commit(&mut store, script.count());
    assert_eq!(text(&reader, 0), "{}");
    assert_eq!(text(&reader, 1), r#"{"n":1}"#);
}

#[test]
fn history_and_checkpoints_come_in_pages_newest_first() {
    let place = Place::new();
    forty(&place);
    let reader = place.reader();
    let page = reader.history(Some(39), 2).unwrap();
    assert_eq!(page.iter().map(|c| c.version).collect::<Vec<_>>(), [38, 37]);
    assert_eq!((page[0].by.as_str(), page[0].format.as_str()), ("agent", "merge"));
    assert_eq!(page[0].patch, r#"{"n":38}"#);
    assert_eq!(reader.history(None, 1).unwrap()[0].version, 40);
    let newest = reader.checkpoints(Some(2)).unwrap();
    assert_eq!(newest.iter().map(|c| c.version).collect::<Vec<_>>(), [40, 35]);
    let (info, snapshot) = reader.at_checkpoint(&CheckpointRef::Label("v10".to_owned())).unwrap();
    assert_eq!((info.version, snapshot.root.to_text().as_str()), (10, r#"{"n":10}"#));
    let none = reader.at_checkpoint(&CheckpointRef::Id(999));
    assert!(matches!(none, Err(ReadError::NoCheckpoint(CheckpointRef::Id(999)))));
    let summary = reader.summary().unwrap();
    assert_eq!((summary.version, summary.changes, summary.checkpoints), (40, 20, 8));
    assert_eq!(reader.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_reader_sees_commits_of_a_live_writer() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.count());
    let reader = place.reader();
    for version in 2..20 {
        commit(&mut store, script.count());
        assert_eq!(reader.newest().unwrap().version, version);
    }
    drop(store);
    assert_eq!(reader.newest().unwrap().version, 19);
}

#[test]
fn there_is_nothing_to_read_of_an_agent_that_is_not_there() {
    let place = Place::new();
    assert!(matches!(Reader::open(&place.home), Err(ReadError::NoAgent(_))));
}

#[test]
fn a_gap_that_damage_left_is_crossed() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.count());
    script.version = 6; // as after a salvage: 2 to 6 are never given again
    commit(&mut store, script.count());
    let reader = place.reader();
    assert_eq!(text(&reader, 7), r#"{"n":7}"#);
    assert!(matches!(
        reader.at_version(4),
        Err(ReadError::NotKept { nearest_before: Some(1), nearest_after: Some(7), .. })
    ));
    drop(store);
    assert_eq!(place.open().load().unwrap().version, 7);
}

#[test]
fn a_prune_keeps_what_it_says() {
    let place = Place::new();
    let mut script = forty(&place);
    let mut store = place.open();
    let answers = commit(&mut store, script.unit(vec![Op::Prune { keep: 2, all: false }]));
    assert!(
        matches!(
            answers.as_slice(),
            [adrt::supervisor::io::Answer::Removed { checkpoints: 0, versions: 15 }]
        ),
        "{answers:?}"
    );
    let answers = commit(&mut store, script.unit(vec![Op::Prune { keep: 2, all: true }]));
    assert!(
        matches!(
            answers.as_slice(),
            [adrt::supervisor::io::Answer::Removed { checkpoints: 6, versions: 0 }]
        ),
        "{answers:?}"
    );
    let reader = place.reader();
    assert_eq!(text(&reader, 36), r#"{"n":36}"#);
    assert!(reader.at_version(34).is_err());
    assert_eq!(reader.checkpoints(None).unwrap().len(), 2);
}
