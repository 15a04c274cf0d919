use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::record::{HEAD_BYTES, RING_BYTES, TEXT_MAX_BYTES};
use super::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("a.log")
    }

    /// One that takes nothing for a flood.
    fn log(&self) -> Log {
        Log::open_for(&self.path(), |_| (), Duration::ZERO).unwrap()
    }

    fn records(&self) -> Vec<Record> {
        Reader::open(&self.path()).unwrap().records().unwrap()
    }

    fn text(&self) -> Vec<u8> {
        self.records().into_iter().flat_map(|record| record.text).collect()
    }
}

fn flushed(log: &Log) {
    assert!(log.flush().is_none());
}

#[test]
fn what_came_is_kept_with_where_it_came_from() {
    let place = Place::new();
    let log = place.log();
    log.push(Stream::Stdout, 1, b"half ");
    log.push(Stream::Stdout, 1, b"a line\n");
    log.push(Stream::Stderr, 1, b"oh\n");
    log.begin(2);
    log.line(Stream::Adrt, "started\nanew");
    log.push(Stream::Stdout, 2, b"");
    flushed(&log);
    let kept: Vec<_> =
        place.records().into_iter().map(|r| (r.stream, r.incarnation, r.text)).collect();
    let expected: [(Stream, u64, &[u8]); 3] = [
        (Stream::Stdout, 1, b"half a line\n"),
        (Stream::Stderr, 1, b"oh\n"),
        (Stream::Adrt, 2, b"started\\nanew\n"),
    ];
    assert_eq!(kept, expected.map(|(stream, n, text)| (stream, n, text.to_vec())));
}

#[test]
fn another_writer_goes_on_where_the_last_one_was() {
    let place = Place::new();
    for n in 0..3 {
        let log = place.log();
        log.push(Stream::Stdout, n, format!("{n}\n").as_bytes());
        flushed(&log);
        // What waits when a writer is killed is lost, and nothing else.
        log.push(Stream::Stdout, n, b"lost\n");
    }
    assert_eq!(place.text(), b"0\n1\n2\n");
}

#[test]
fn the_end_of_a_flood_is_kept_and_what_is_not_is_counted() {
    let place = Place::new();
    let log = place.log();
    let flood: Vec<u8> = (0..3 * TEXT_MAX_BYTES).map(|n| (n % 251) as u8).collect();
    log.push(Stream::Stdout, 1, &flood);
    flushed(&log);
    let records = place.records();
    assert_eq!(records[0].skipped, 2 * TEXT_MAX_BYTES as u64);
    assert_eq!(records[0].text, flood[2 * TEXT_MAX_BYTES..]);
}

#[test]
fn of_what_comes_too_fast_the_ends_are_kept() {
    let place = Place::new();
    let log = Log::open_for(&place.path(), |_| (), Duration::MAX).unwrap();
    for _ in 0..RING_BYTES / TEXT_MAX_BYTES + 1 {
        log.push(Stream::Stdout, 1, &[b'x'; TEXT_MAX_BYTES]);
    }
    log.push(Stream::Stderr, 1, b"a line\n");
    flushed(&log);
    let records = place.records();
    let sizes: Vec<usize> = records.iter().map(|record| record.text.len()).collect();
    assert_eq!(sizes, [TEXT_MAX_BYTES, TEXT_MAX_BYTES, TEXT_MAX_BYTES, 4096, 7]);
    assert_eq!(records[3].skipped, (TEXT_MAX_BYTES - 4096) as u64);
}

#[test]
fn a_torn_record_is_none_and_is_written_over() {
    use std::os::unix::fs::FileExt as _;
    let place = Place::new();
    let log = place.log();
    log.push(Stream::Stdout, 1, b"first\n");
    flushed(&log);
    log.push(Stream::Stdout, 1, &[b'x'; 10_000]);
    flushed(&log);
    drop(log);
    let file = std::fs::OpenOptions::new().write(true).open(place.path()).unwrap();
    file.write_all_at(&[0; 4096], 4096 + 8192).unwrap();
    assert_eq!(place.text(), b"first\n");
    let log = place.log();
    log.push(Stream::Stdout, 2, b"second\n");
    flushed(&log);
    assert_eq!(place.text(), b"first\nsecond\n");
}

#[test]
fn a_record_within_text_is_text() {
    let place = Place::new();
    let log = place.log();
    log.push(Stream::Stdout, 1, b"first\n");
    flushed(&log);
    // An agent that prints what it has seen in another log.
    let forged = std::fs::read(place.path()).unwrap()[4096..4096 + 64].to_vec();
    let other = Place::new();
    let log = other.log();
    log.push(Stream::Stdout, 1, &forged);
    flushed(&log);
    assert_eq!(other.records().len(), 1);
    assert_eq!(other.text(), forged);
}

#[test]
fn what_is_no_log_of_ours_is_replaced() {
    let place = Place::new();
    let aside = place.0.path().join("aside");
    std::fs::write(&aside, "precious").unwrap();
    std::os::unix::fs::symlink(&aside, place.path()).unwrap();
    let mut shared = 0;
    let log = Log::open(&place.path(), |_| shared += 1).unwrap();
    log.line(Stream::Adrt, "here");
    flushed(&log);
    assert_eq!((place.text(), shared), (b"here\n".to_vec(), 1));
    assert_eq!(std::fs::read(&aside).unwrap(), b"precious");
    let mode = std::fs::metadata(place.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    std::fs::write(place.path(), "short").unwrap();
    let not_ours = Reader::open(&place.path()).unwrap_err();
    assert_eq!(not_ours.kind(), std::io::ErrorKind::InvalidData);
    drop(place.log());
    assert!(place.records().is_empty());
}

#[test]
fn where_it_cannot_be_made_it_is_an_error_and_leaves_nothing() {
    let place = Place::new();
    std::fs::create_dir(place.path()).unwrap();
    assert!(Log::open(&place.path(), |_| ()).is_err());
    let left: Vec<_> = std::fs::read_dir(place.0.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn a_tail_sees_each_record_once_and_knows_what_it_missed() {
    let place = Place::new();
    let log = place.log();
    log.line(Stream::Adrt, "before");
    flushed(&log);
    let mut tail = Tail::new(Reader::open(&place.path()).unwrap());
    let more = |tail: &mut Tail| -> Vec<u8> {
        tail.more().unwrap().into_iter().flat_map(|record| record.text).collect()
    };
    assert_eq!(more(&mut tail), b"before\n");
    assert_eq!(more(&mut tail), b"");
    log.line(Stream::Adrt, "one");
    flushed(&log);
    log.line(Stream::Adrt, "two");
    flushed(&log);
    assert_eq!(more(&mut tail), b"one\ntwo\n");
    for _ in 0..5 {
        log.push(Stream::Stdout, 1, &[b'x'; TEXT_MAX_BYTES]);
    }
    flushed(&log);
    let records = tail.more().unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!(records[0].skipped, 2 * (HEAD_BYTES + TEXT_MAX_BYTES) as u64);
    assert!(tail.is_at(&place.path()));
    std::fs::remove_file(place.path()).unwrap();
    assert!(!tail.is_at(&place.path()));
}

#[test]
fn a_lap_of_the_same_text_is_news() {
    let place = Place::new();
    let log = place.log();
    let push = |count: usize| {
        for _ in 0..count {
            log.push(Stream::Stdout, 1, &[b'y'; TEXT_MAX_BYTES]);
            flushed(&log);
        }
    };
    push(5);
    let mut tail = Tail::new(Reader::open(&place.path()).unwrap());
    assert_eq!(tail.more().unwrap().len(), 3);
    assert!(tail.more().unwrap().is_empty());
    // At the place of the next record is text, as before.
    push(7);
    assert_eq!(tail.more().unwrap().len(), 3);
}

#[test]
fn a_log_that_is_off_takes_everything_and_keeps_nothing() {
    let log = Log::off();
    log.push(Stream::Stdout, 1, &[0; 100_000]);
    log.line(Stream::Adrt, "x");
    flushed(&log);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_holds_the_last_of_it(
        pieces in proptest::collection::vec((0..TEXT_MAX_BYTES, any::<bool>(), any::<bool>()), 1..24),
    ) {
        let place = Place::new();
        let log = place.log();
        let mut tail = Tail::new(Reader::open(&place.path()).unwrap());
        let (mut model, mut followed) = (Vec::new(), Vec::new());
        for (round, (size, on_stderr, look)) in pieces.into_iter().enumerate() {
            let text: Vec<u8> = (0..size).map(|i| ((i * 31 + round * 7) % 251) as u8).collect();
            let stream = if on_stderr { Stream::Stderr } else { Stream::Stdout };
            log.push(stream, round as u64, &text);
            model.extend_from_slice(&text);
            if look {
                flushed(&log);
                for record in tail.more().unwrap() {
                    // A gap is told, and its size is right but for the heads.
                    if record.skipped > 0 {
                        followed.clear();
                    }
                    followed.extend_from_slice(&record.text);
                }
                prop_assert!(model.ends_with(&followed));
            }
        }
        flushed(&log);
        let kept = place.text();
        prop_assert!(model.ends_with(&kept));
        // No more than a record and the heads are less than the whole ring.
        let least = RING_BYTES - TEXT_MAX_BYTES - 100 * HEAD_BYTES;
        prop_assert!(kept.len() >= model.len().min(least));
    }
}

#[test]
fn nothing_is_left_of_what_was_cleared_and_followers_go_on() {
    let place = Place::new();
    let log = place.log();
    log.push(Stream::Stdout, 1, b"a secret\n");
    flushed(&log);
    let mut tail = Tail::new(Reader::open(&place.path()).unwrap());
    assert_eq!(tail.more().unwrap().len(), 1);
    log.push(Stream::Stdout, 1, b"a secret that waits\n");
    log.clear();
    log.line(Stream::Adrt, "cleared");
    flushed(&log);
    let bytes = std::fs::read(place.path()).unwrap();
    assert!(memchr::memmem::find(&bytes, b"secret").is_none());
    let more = tail.more().unwrap();
    assert_eq!(more.len(), 1);
    assert_eq!((more[0].skipped, more[0].text.as_slice()), (0, &b"cleared\n"[..]));

    drop(log);
    Log::wipe(&place.path(), "wiped").unwrap();
    assert_eq!(place.text(), b"wiped\n");
    assert_eq!(tail.more().unwrap().len(), 1);
    let other = place.0.path().join("other");
    std::fs::write(&other, "no log").unwrap();
    assert!(Log::wipe(&other, "wiped").is_err());
    assert_eq!(std::fs::read(&other).unwrap(), b"no log");
}
