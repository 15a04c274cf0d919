//! The thread: batches, epochs, order.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use adrt::store::{Command, Report, Writer};
use adrt::supervisor::io::{Op, StoreFailureKind, Unit};

use super::kit::{Place, Script, options};

/// Long enough for any machine; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(60);

fn start(place: &Place) -> (Writer, Receiver<Report>) {
    let (report, reports) = channel();
    let writer = Writer::start(place.open(), move |it| {
        let _ = report.send(it);
    })
    .unwrap();
    (writer, reports)
}

fn next(reports: &Receiver<Report>) -> Report {
    reports.recv_timeout(DEADLINE).unwrap()
}

/// Takes reports until so many units are answered: their numbers in order,
/// and how many transactions it were.
fn receipts(reports: &Receiver<Report>, count: usize) -> (Vec<u64>, usize) {
    let (mut ids, mut commits) = (Vec::new(), 0);
    while ids.len() < count {
        match next(reports) {
            Report::Committed(done) => {
                ids.extend(done.receipts.iter().map(|r| r.unit.0));
                commits += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    (ids, commits)
}

fn broken(script: &mut Script) -> Unit {
    // A version that is there already: SQLite refuses the row.
    script.version -= 1;
    script.count()
}

#[test]
fn it_begins_with_the_state_and_answers_in_order() {
    let place = Place::new();
    let (writer, reports) = start(&place);
    assert!(matches!(next(&reports), Report::Restored(state) if state.version == 0));
    let mut script = Script::default();
    for _ in 0..500 {
        writer.send(Command::Persist(script.count()));
    }
    let (ids, _) = receipts(&reports, 500);
    assert_eq!(ids, (1..=500).collect::<Vec<_>>());
    writer.stop().unwrap();
    assert_eq!(place.open().load().unwrap().version, 500);
    let wal = place.database().with_extension("db-wal");
    assert!(!wal.exists(), "the log is moved into the file at the end");
}

#[test]
fn what_waits_is_written_together_and_what_wants_to_be_alone_is_not() {
    let place = Place::new();
    let mut script = Script::default();
    // The thread is held up by its first report, so that all of it waits.
    let (report, reports) = channel();
    let (go, gate) = channel::<()>();
    let writer = Writer::start(place.open(), move |it| {
        if matches!(it, Report::Restored(_)) {
            gate.recv().unwrap();
        }
        let _ = report.send(it);
    })
    .unwrap();
    for number in 1..=30 {
        let mut unit = script.count();
        unit.alone = number == 11 || number == 12;
        writer.send(Command::Persist(unit));
    }
    go.send(()).unwrap();
    next(&reports);
    let (ids, commits) = receipts(&reports, 30);
    assert_eq!(ids, (1..=30).collect::<Vec<_>>());
    assert_eq!(commits, 4, "1 to 10, 11, 12, 13 to 30");
    writer.stop().unwrap();
}

#[test]
fn a_failure_takes_its_epoch_along() {
    let place = Place::new();
    let (writer, reports) = start(&place);
    next(&reports);
    let mut script = Script::default();
    writer.send(Command::Persist(script.count()));
    receipts(&reports, 1);
    writer.send(Command::Persist(broken(&mut script)));
    let Report::Failed(failure) = next(&reports) else { panic!() };
    assert_eq!((failure.epoch, failure.kind), (0, StoreFailureKind::Other));
    assert!(!failure.outcome_unknown);
    // Of the failed epoch: dropped without a word.
    writer.send(Command::Persist(script.count()));
    writer.send(Command::Resume { epoch: 1, reread: false });
    let mut late = script.count();
    late.epoch = 0;
    writer.send(Command::Persist(late));
    script.version = 1;
    let mut good = script.count();
    good.epoch = 1;
    let id = good.id.0;
    writer.send(Command::Persist(good));
    assert_eq!(receipts(&reports, 1).0, [id]);
    writer.stop().unwrap();
    assert_eq!(place.open().load().unwrap().version, 2);
}

#[test]
fn a_resume_may_read_all_again() {
    let place = Place::new();
    let (writer, reports) = start(&place);
    next(&reports);
    let mut script = Script::default();
    writer.send(Command::Persist(script.count()));
    receipts(&reports, 1);
    writer.send(Command::Resume { epoch: 1, reread: true });
    let Report::Restored(state) = next(&reports) else { panic!() };
    assert_eq!((state.version, state.root.to_text().as_str()), (1, r#"{"n":1}"#));
    let mut unit = script.count();
    unit.epoch = 1;
    writer.send(Command::Persist(unit));
    receipts(&reports, 1);
    writer.stop().unwrap();
}

#[test]
fn nothing_of_a_failed_transaction_is_there() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    store.commit(&[script.count()]).unwrap();
    let fine = script.count();
    let again = broken(&mut script);
    let after = script.unit(vec![Op::Meta { name: "x", value: "1".to_owned() }]);
    store.commit(&[fine, after, again]).unwrap_err();
    assert_eq!(place.reader().newest().unwrap().version, 1);
    script.version = 1;
    store.commit(&[script.count()]).unwrap();
    drop(store);
    let (mut store, boot) = place.try_open(&options()).unwrap();
    assert_eq!(store.load().unwrap().version, 2);
    assert!(boot.meta.is_empty());
}

#[test]
fn the_log_stays_bounded_under_a_stream_without_pauses() {
    let place = Place::new();
    let (writer, reports) = start(&place);
    next(&reports);
    let mut script = Script::default();
    let wal = place.database().with_extension("db-wal");
    let mut longest = 0;
    for _ in 0..40 {
        for _ in 0..50 {
            let patch = format!(r#"{{"n":"{}"}}"#, "x".repeat(4000));
            writer.send(Command::Persist(script.patch(&patch)));
        }
        receipts(&reports, 50);
        longest = longest.max(std::fs::metadata(&wal).unwrap().len());
    }
    // 2,000 pages were written; the log begins anew after about 1,000.
    assert!(longest < 1400 * 4120, "{longest}");
    writer.stop().unwrap();
}

/// What the watchdog's signs depend on: a thread that is held up is there.
#[test]
fn it_is_alive_while_it_is_held_up_and_until_it_panics() {
    let place = Place::new();
    let (go, gate) = channel::<()>();
    let writer = Writer::start(place.open(), move |_| {
        gate.recv().unwrap();
        panic!("a bug, as planned");
    })
    .unwrap();
    assert!(writer.is_alive());
    go.send(()).unwrap();
    while writer.is_alive() {
        std::thread::yield_now();
    }
    assert!(writer.stop().is_err());
}
