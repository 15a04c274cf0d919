use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::*;
use crate::clock;

mod storm;

/// How long a line may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LINE_MAX: usize = 1000;

/// A directory with a file that is fed from.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn reader(&self, position: Option<String>) -> Reader {
        let said = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&said);
        let log = Box::new(move |_, text: &str| log.lock().unwrap().push(text.to_owned()));
        let source = Source::Path(self.path("log"));
        let feed = Feed::start(source, position.clone(), LINE_MAX, log).unwrap();
        Reader { feed, said, position }
    }
}

/// The loop's side.
struct Reader {
    feed: Feed,
    said: Arc<Mutex<Vec<String>>>,
    /// Of the last batch.
    position: Option<String>,
}

impl Reader {
    /// The next lines, so many of them, in however many batches.
    fn lines(&mut self, count: usize) -> Vec<String> {
        let (begin, mut lines) = (clock::mono(), Vec::new());
        while lines.len() < count {
            match self.feed.batches.try_recv() {
                Ok(batch) => {
                    let text = |line| String::from_utf8(line).unwrap();
                    lines.extend(batch.lines.into_iter().map(text));
                    self.position = batch.position;
                }
                Err(e) => {
                    let waited = clock::mono().since(begin);
                    let short: Vec<_> =
                        lines.iter().map(|line: &String| line.trim_end_matches('x')).collect();
                    assert!(waited < PATIENCE, "{e}: {short:?}; {}", self.said());
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        lines
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    fn wait_for(&self, word: &str) {
        let begin = clock::mono();
        while !self.said().contains(word) {
            assert!(clock::mono().since(begin) < PATIENCE, "not said: {word}: {:?}", self.said());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// As after a restart of adrt that had written all of it down.
    fn again(self, place: &Place) -> Self {
        place.reader(self.position)
    }
}

#[test]
fn a_file_grows_and_is_gone_on_with() {
    let place = Place::new();
    place.append("log", "1\n2\r\n\n3\nunfini");
    let mut reader = place.reader(None);
    assert_eq!(reader.lines(3), ["1", "2", "3"]);
    place.append("log", "shed\n4\n");
    assert_eq!(reader.lines(2), ["unfinished", "4"]);
    place.append("log", "5\n6");
    assert_eq!(reader.lines(1), ["5"]);
    let mut reader = reader.again(&place);
    place.append("log", "7\n");
    assert_eq!(reader.lines(1), ["67"], "what was not whole is read again");
    assert_eq!(reader.said(), "");
}

#[test]
fn a_line_too_long_is_one_line() {
    let place = Place::new();
    place.append("log", &format!("{}\n8\n", "x".repeat(200_000)));
    let mut reader = place.reader(None);
    let lines = reader.lines(2);
    assert!(lines[0].ends_with("--max-frame is 1000"), "{lines:?}");
    assert_eq!(lines[1], "8");
}

#[test]
fn a_file_that_is_not_there_yet() {
    let place = Place::new();
    let mut reader = place.reader(None);
    reader.wait_for("not there yet");
    place.append("log", "1\n");
    assert_eq!(reader.lines(1), ["1"]);
    assert_eq!(reader.said().lines().count(), 1, "{}", reader.said());
}

#[test]
fn rotation_while_it_is_read() {
    let place = Place::new();
    place.append("log", "1\n");
    let mut reader = place.reader(None);
    assert_eq!(reader.lines(1), ["1"]);
    place.rename("log", "log.1");
    place.append("log.1", "2\ntail");
    assert_eq!(reader.lines(1), ["2"], "the writer has not reopened it yet");
    place.append("log", "3\n");
    assert_eq!(reader.lines(2), ["tail", "3"]);
    reader.wait_for("rotated");
    let mut reader = reader.again(&place);
    place.append("log", "4\n");
    assert_eq!(reader.lines(1), ["4"]);
}

#[test]
fn rotations_while_away() {
    let place = Place::new();
    place.append("log", "1\n2\n");
    let mut reader = place.reader(None);
    assert_eq!(reader.lines(2), ["1", "2"]);
    let position = reader.position.clone();
    drop(reader);
    place.append("log", "3\n");
    place.rename("log", "log.2");
    place.append("log.1", "4\n5\n");
    place.append("log", "6\n");
    let mut reader = place.reader(position);
    assert_eq!(reader.lines(4), ["3", "4", "5", "6"]);
    let mut reader = reader.again(&place);
    place.append("log", "7\n");
    assert_eq!(reader.lines(1), ["7"]);
}

#[test]
fn rotation_while_away_and_no_new_one_yet() {
    let place = Place::new();
    place.append("log", "1\n");
    let mut reader = place.reader(None);
    assert_eq!(reader.lines(1), ["1"]);
    place.append("log", "2\n");
    place.rename("log", "log-20260107");
    let mut reader = reader.again(&place);
    assert_eq!(reader.lines(1), ["2"]);
    place.append("log", "3\n");
    assert_eq!(reader.lines(1), ["3"]);
}

#[test]
fn the_old_one_is_gone() {
    let place = Place::new();
    place.append("log", "1\n2\n");
    let mut reader = place.reader(None);
    assert_eq!(reader.lines(2), ["1", "2"]);
    // Kept elsewhere, so that its inode is not given to the new one.
    place.rename("log", "elsewhere");
    place.append("log", "3\n");
    let mut reader = reader.again(&place);
    assert_eq!(reader.lines(1), ["3"]);
    assert!(reader.said().contains("after its byte 4 was not read"), "{}", reader.said());
}

#[test]
fn truncation_while_it_is_read() {
    let place = Place::new();
    place.append("log", "one\ntwo\n");
    let mut reader = place.reader(None);
    assert_eq!(reader.lines(2), ["one", "two"]);
    File::create(place.path("log")).unwrap();
    place.append("log", "3\n");
    assert_eq!(reader.lines(1), ["3"]);
    assert!(reader.said().contains("truncated"), "{}", reader.said());
}

#[test]
fn truncation_while_away_even_if_it_has_grown_again() {
    let place = Place::new();
    place.append("log", "one\ntwo\n");
    let mut reader = place.reader(None);
    assert_eq!(reader.lines(2), ["one", "two"]);
    let position = reader.position.clone();
    drop(reader);
    fs::write(place.path("log"), "three\nfour\nfive\n").unwrap();
    let mut reader = place.reader(position);
    assert_eq!(reader.lines(3), ["three", "four", "five"]);
    assert!(reader.said().contains("truncated or replaced"), "{}", reader.said());
}

#[test]
fn a_position_nobody_understands() {
    let place = Place::new();
    place.append("log", "1\n");
    let mut reader = place.reader(Some("9 what is this".into()));
    assert_eq!(reader.lines(1), ["1"]);
    assert!(reader.said().contains("does not know"), "{}", reader.said());
}

#[test]
fn another_file_than_before() {
    let place = Place::new();
    place.append("log", "1\n");
    let mut reader = place.reader(None);
    assert_eq!(reader.lines(1), ["1"]);
    let position = reader.position.clone().unwrap().replace("/log", "/other");
    let mut reader = place.reader(Some(position));
    assert_eq!(reader.lines(1), ["1"]);
    assert!(reader.said().contains("from its beginning, not"), "{}", reader.said());
}

#[test]
fn a_fifo_outlives_its_writers() {
    let place = Place::new();
    mkfifo(&place.path("log"), Mode::S_IRWXU).unwrap();
    let mut reader = place.reader(None);
    for round in 0..3 {
        place.append("log", &format!("{round}\r\n"));
        assert_eq!(reader.lines(1), [round.to_string()]);
        assert_eq!(reader.position, None);
    }
    // Another one in its place.
    fs::remove_file(place.path("log")).unwrap();
    mkfifo(&place.path("log"), Mode::S_IRWXU).unwrap();
    reader.wait_for("replaced");
    place.append("log", "x\n");
    assert_eq!(reader.lines(1), ["x"]);
}

#[test]
fn many_lines_in_batches_each_with_its_place() {
    let place = Place::new();
    let count = 3000;
    let text: Vec<String> = (0..count).map(|n| format!("line {n}")).collect();
    place.append("log", &(text.join("\n") + "\n"));
    let mut reader = place.reader(None);
    let mut lines = Vec::new();
    // Each batch by another adrt.
    while lines.len() < count {
        lines.extend(reader.lines(1));
        reader = reader.again(&place);
    }
    assert_eq!(lines, text);
}

#[test]
fn what_can_be_a_source() {
    let place = Place::new();
    let check = |path: PathBuf| check(&Source::Path(path));
    assert!(super::check(&Source::Stdin).is_ok());
    assert!(check(place.path("missing")).is_ok());
    assert!(check("/dev/null".into()).is_ok());
    assert!(matches!(check(place.path(".")), Err(SourceError::WrongKind(_))));
    place.append("file", "");
    assert!(check(place.path("file")).is_ok());
    assert!(matches!(check(place.path("file/x")), Err(SourceError::Io { .. })));
}

#[test]
fn truncation_is_seen_though_it_begins_as_before() {
    let place = Place::new();
    let same = "the same line\n".repeat(200);
    place.append("log", &same);
    let mut reader = place.reader(None);
    assert_eq!(reader.lines(200).len(), 200);
    let position = reader.position.clone();
    // Longer than it was, before anybody looks.
    fs::write(place.path("log"), same.replacen("the same line\n", "", 50) + &"new\n".repeat(1000))
        .unwrap();
    assert_eq!(reader.lines(1150)[150], "new");
    assert!(reader.said().contains("truncated or replaced"), "{}", reader.said());
    drop(reader);
    let mut reader = place.reader(position);
    assert_eq!(reader.lines(1150)[150], "new");
}

#[test]
fn what_cannot_be_read_is_told_once_and_tried_again() {
    let place = Place::new();
    mkfifo(&place.path("log"), Mode::S_IRWXU).unwrap();
    let mut reader = place.reader(None);
    place.append("log", "1\n");
    assert_eq!(reader.lines(1), ["1"]);
    fs::remove_file(place.path("log")).unwrap();
    fs::create_dir(place.path("log")).unwrap();
    reader.wait_for("directory");
    fs::remove_dir(place.path("log")).unwrap();
    place.append("log", "2\n");
    assert_eq!(reader.lines(1), ["2"]);
    reader.wait_for("is read again");
    assert_eq!(reader.said().matches("tried again").count(), 1, "{}", reader.said());
}
