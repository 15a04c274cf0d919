use std::io::Write as _;

use super::*;
use crate::supervisor::io::SOURCE_LINES_MAX;

const LINE_MAX: usize = 16 << 20;

/// A directory with a file `feed`, and its follower.
struct Lab {
    _dir: tempfile::TempDir,
    path: PathBuf,
    follower: Follower,
    /// The position of the last batch.
    position: Option<String>,
    told: Vec<(Level, String)>,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("feed");
        let follower = Follower::new(path.clone(), None, LINE_MAX);
        Self { _dir: dir, path, follower, position: None, told: Vec::new() }
    }

    fn with(text: &str) -> Self {
        let lab = Self::new();
        lab.append(text);
        lab
    }

    fn writer(&self) -> File {
        File::options().append(true).create(true).open(&self.path).expect("opened")
    }

    fn append(&self, text: &str) {
        self.writer().write_all(text.as_bytes()).expect("written");
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }

    fn rename(&self, name: &str) {
        std::fs::rename(&self.path, self.beside(name)).expect("renamed");
    }

    fn next(&mut self) -> Option<Vec<String>> {
        let told = &mut self.told;
        let next = self.follower.next(&mut |level, what| told.push((level, what)));
        let batch = next.expect("readable")?;
        assert!(!batch.lines.is_empty() && batch.lines.len() <= SOURCE_LINES_MAX);
        self.position = Some(batch.position.expect("a file has positions"));
        let text = |line: &Vec<u8>| String::from_utf8_lossy(line).into_owned();
        Some(batch.lines.iter().map(text).collect())
    }

    /// All that can be read now.
    fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).flatten().collect()
    }

    /// As after a death of adrt, with what was committed before.
    fn restart(&mut self) {
        let kept = self.position.as_deref().map(|text| Position::parse(text).expect("a position"));
        self.follower = Follower::new(self.path.clone(), kept, LINE_MAX);
        self.told.clear();
    }

    fn warned_of(&self, what: &str) -> bool {
        self.told.iter().any(|(level, told)| *level == Level::Warning && told.contains(what))
    }
}

#[test]
fn lines_as_they_come() {
    let mut lab = Lab::with("one\r\ntw");
    assert_eq!(lab.rest(), ["one"]);
    lab.append("o\n\n  \nthree\n");
    assert_eq!(lab.rest(), ["two", "three"]);
    lab.append("\n\n");
    assert!(lab.rest().is_empty());
    lab.append("unfinished");
    assert!(lab.rest().is_empty());
    assert!(lab.told.is_empty(), "{:?}", lab.told);
}

#[test]
fn a_file_that_is_not_there_is_waited_for() {
    let mut lab = Lab::new();
    assert!(lab.rest().is_empty() && lab.rest().is_empty());
    assert_eq!(lab.told.len(), 1, "{:?}", lab.told);
    lab.append("one\n");
    assert_eq!(lab.rest(), ["one"]);
}

#[test]
fn large_lines_and_many() {
    const LARGE: usize = 1 << 20;
    let mut lab = Lab::new();
    let large: String = std::iter::repeat_n('x', LARGE).collect();
    lab.append(&format!("a\n{large}\r\nb\n{large}{large}\n"));
    let mut lines = Vec::new();
    while let Some(batch) = lab.next() {
        let bytes: usize = batch.iter().map(String::len).sum();
        assert!(batch.len() == 1 || bytes <= LARGE, "{bytes}");
        lines.extend(batch);
        // Each batch's position is the beginning of the next.
        lab.restart();
    }
    assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [1, LARGE, 1, 2 * LARGE]);
    lab.append(&"x\n".repeat(3 * SOURCE_LINES_MAX + 1));
    assert_eq!(lab.rest().len(), 3 * SOURCE_LINES_MAX + 1);
}

#[test]
fn a_line_that_is_too_long_is_told_and_cut() {
    let mut lab = Lab::new();
    lab.follower = Follower::new(lab.path.clone(), None, 10_000);
    lab.append(&format!("{}\nok\n", "x".repeat(20_000)));
    let lines = lab.rest();
    assert_eq!((lines[0].len(), lines[1].as_str()), (4096, "ok"));
    assert!(lab.warned_of("20001 bytes"), "{:?}", lab.told);
}

#[test]
fn a_rotated_file_is_read_to_its_end_first() {
    let mut lab = Lab::with("one\n");
    let mut writer = lab.writer();
    assert_eq!(lab.rest(), ["one"]);
    lab.rename("feed.1");
    assert!(lab.rest().is_empty());
    lab.append("");
    // Its writer has not been told yet.
    writer.write_all(b"two\nthr").expect("written");
    assert_eq!(lab.rest(), ["two"]);
    writer.write_all(b"ee\nlast").expect("written");
    lab.append("four\n");
    assert_eq!(lab.rest(), ["three", "last", "four"]);
    assert!(lab.told.iter().all(|(level, _)| *level == Level::Info), "{:?}", lab.told);
    assert!(lab.told[0].1.contains("rotated"), "{:?}", lab.told);
    lab.append("five\n");
    assert_eq!(lab.rest(), ["five"]);
}

#[test]
fn several_rotations_at_once() {
    let mut lab = Lab::with("one\n");
    assert_eq!(lab.rest(), ["one"]);
    lab.append("two\n");
    lab.rename("feed.1");
    lab.append("three\n");
    std::fs::rename(lab.beside("feed.1"), lab.beside("feed.2")).expect("renamed");
    lab.rename("feed.1");
    lab.append("four\n");
    assert_eq!(lab.rest(), ["two", "three", "four"]);
}

#[test]
fn one_that_was_compressed_meanwhile_is_told_of() {
    let mut lab = Lab::with("one\n");
    assert_eq!(lab.rest(), ["one"]);
    lab.rename("feed-20250101");
    std::fs::write(lab.beside("feed-20250102.gz"), "zipped").expect("written");
    lab.append("three\n");
    assert_eq!(lab.rest(), ["three"]);
    assert!(lab.warned_of("feed-20250102.gz is compressed"), "{:?}", lab.told);
}

#[test]
fn a_deleted_file_is_read_to_its_end() {
    let mut lab = Lab::with("one\n");
    let mut writer = lab.writer();
    assert_eq!(lab.rest(), ["one"]);
    std::fs::remove_file(&lab.path).expect("deleted");
    writer.write_all(b"two\n").expect("written");
    assert_eq!(lab.rest(), ["two"]);
    lab.append("three\n");
    assert_eq!(lab.rest(), ["three"]);
}

#[test]
fn truncation_is_told() {
    let mut lab = Lab::with("one\ntwo\nthr");
    assert_eq!(lab.rest(), ["one", "two"]);
    File::options().write(true).truncate(true).open(&lab.path).expect("truncated");
    assert!(lab.rest().is_empty());
    assert!(lab.warned_of("truncated to 0 bytes after 8"), "{:?}", lab.told);
    lab.append("3\n");
    assert_eq!(lab.rest(), ["3"]);
    // Longer than what was read, before anybody looked.
    std::fs::write(&lab.path, "4 and more\n").expect("written anew");
    assert_eq!(lab.rest(), ["4 and more"]);
    assert!(lab.warned_of("written anew"), "{:?}", lab.told);
}

#[test]
fn an_unfinished_line_may_be_taken_back() {
    let mut lab = Lab::with("one\nunfinished");
    assert_eq!(lab.rest(), ["one"]);
    lab.writer().set_len(4).expect("cut");
    lab.append("two\n");
    assert_eq!(lab.rest(), ["two"]);
    assert!(lab.told.is_empty(), "{:?}", lab.told);
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut lab = Lab::with("one\ntwo\n");
    assert_eq!(lab.rest(), ["one", "two"]);
    lab.restart();
    assert!(lab.rest().is_empty());
    lab.append("three\n");
    lab.restart();
    assert_eq!(lab.rest(), ["three"]);
    assert!(lab.told.is_empty(), "{:?}", lab.told);
    // Without a commit it comes again.
    lab.position = None;
    lab.restart();
    assert_eq!(lab.rest(), ["one", "two", "three"]);
}

#[test]
fn rotated_while_away() {
    let mut lab = Lab::with("one\ntwo\n");
    assert_eq!(lab.rest(), ["one", "two"]);
    lab.append("three\nfour");
    lab.rename("feed-20250101");
    lab.append("five\n");
    lab.rename("feed-20250102");
    lab.restart();
    // The new one is not there yet.
    assert_eq!(lab.rest(), ["three", "four", "five"]);
    lab.append("six\n");
    lab.restart();
    assert_eq!(lab.rest(), ["six"]);
    assert!(!lab.told.iter().any(|(level, _)| *level == Level::Warning), "{:?}", lab.told);
}

#[test]
fn gone_while_away() {
    let mut lab = Lab::with("one\ntwo\n");
    let first = lab.next();
    assert!(first.is_some());
    // Another file keeps its inode in use.
    std::fs::hard_link(&lab.path, lab._dir.path().join("elsewhere")).expect("linked");
    std::fs::remove_file(&lab.path).expect("deleted");
    lab.append("a new one\n");
    std::fs::remove_file(lab._dir.path().join("elsewhere")).expect("deleted");
    lab.restart();
    assert_eq!(lab.rest(), ["a new one"]);
    assert!(lab.warned_of("not to be found"), "{:?}", lab.told);
}

#[test]
fn truncated_while_away() {
    let mut lab = Lab::with("one\ntwo\n");
    assert_eq!(lab.rest(), ["one", "two"]);
    std::fs::write(&lab.path, "3\n").expect("written anew");
    lab.restart();
    assert_eq!(lab.rest(), ["3"]);
    assert!(lab.warned_of("truncated or replaced"), "{:?}", lab.told);
}

#[test]
fn another_path_is_another_file() {
    let mut lab = Lab::with("one\ntwo\n");
    assert_eq!(lab.rest(), ["one", "two"]);
    let old = lab.path.clone();
    lab.path = lab.beside("other");
    lab.append("three\n");
    lab.restart();
    assert_eq!(lab.rest(), ["three"]);
    assert!(!lab.warned_of(""), "{:?}", lab.told);
    // Yet the same file under another name is the same.
    std::fs::rename(&lab.path, &old).expect("renamed");
    lab.path = old;
    lab.append("four\n");
    lab.restart();
    assert_eq!(lab.rest(), ["four"]);
}

/// Lines in pieces, rotations by number or date, deaths of adrt at every place:
/// every line comes once, in order.
#[test]
fn nothing_is_repeated_and_nothing_skipped() {
    const STEPS: usize = 150;
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut lab = Lab::new();
        let (mut written, mut read): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        let mut writer = lab.writer();
        // Before the first commit a file that is rotated is not known.
        writer.write_all(b"first\n").expect("written");
        written.push("first".to_owned());
        read.extend(lab.rest());
        // What is on the disk: the last batch but one may be the last there.
        let mut committed = (lab.position.clone(), read.len());
        let mut rotations = 0;
        let by_date = rng.bool();
        for step in 0..STEPS {
            match rng.u8(..10) {
                0..4 => {
                    let line = format!("{step}{}", "x".repeat(rng.usize(..3000)));
                    let (start, end) = line.split_at(rng.usize(..line.len()));
                    writer.write_all(start.as_bytes()).expect("written");
                    if rng.u8(..4) == 0 {
                        committed = (lab.position.clone(), read.len());
                        read.extend(lab.next().into_iter().flatten());
                    }
                    writer.write_all(end.as_bytes()).expect("written");
                    writer.write_all(b"\n").expect("written");
                    written.push(line);
                }
                4..7 => {
                    committed = (lab.position.clone(), read.len());
                    read.extend(lab.next().into_iter().flatten());
                }
                7 => {
                    if rng.bool() {
                        lab.position.clone_from(&committed.0);
                        read.truncate(committed.1);
                    }
                    lab.restart();
                }
                8 => {
                    read.extend(lab.rest());
                    committed = (lab.position.clone(), read.len());
                }
                9 => {
                    rotations += 1;
                    rotate(&lab, rotations, by_date);
                    // The writer goes on with the old one for a while.
                    if rng.bool() {
                        writer = lab.writer();
                    }
                }
                _ => unreachable!(),
            }
            // Once it has turned to the new one there is something in it.
            if rng.u8(..3) == 0 && lab.follower.open.is_some() && !lab.path.exists() {
                writer = lab.writer();
            }
        }
        read.extend(lab.rest());
        drop(writer);
        let steps = |lines: &[String]| -> Vec<String> {
            lines.iter().map(|line| line.trim_end_matches('x').to_owned()).collect()
        };
        assert_eq!(steps(&read), steps(&written), "seed {seed}");
        assert_eq!(read, written, "seed {seed}");
        assert!(!lab.warned_of(""), "seed {seed}: {:?}", lab.told);
    }
}

fn rotate(lab: &Lab, count: usize, by_date: bool) {
    if !lab.path.exists() {
        return;
    }
    if by_date {
        lab.rename(&format!("feed-{:08}", 20_000_000 + count));
        return;
    }
    let name = |n: usize| lab.beside(&format!("feed.{n}"));
    let last = (1..).find(|n| !name(*n).exists()).expect("a free name");
    for n in (1..last).rev() {
        std::fs::rename(name(n), name(n + 1)).expect("renamed");
    }
    lab.rename("feed.1");
}
