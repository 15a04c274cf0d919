use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::runtime::Runtime;

use super::*;
use crate::clock;

/// No test waits so long for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
const LINE_MAX: usize = 1 << 20;

/// A feed from `feed` in a directory of its own.
struct Lab {
    dir: tempfile::TempDir,
    runtime: Runtime,
    feed: Option<Feed>,
    position: Option<String>,
    told: Vec<String>,
}

impl Lab {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Self {
            dir: tempfile::tempdir().expect("a directory"),
            runtime: runtime.expect("a runtime"),
            feed: None,
            position: None,
            told: Vec::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("feed")
    }

    fn append(&self, text: &str) {
        let mut file = File::options().append(true).create(true).open(self.path()).expect("opened");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn start(&mut self) {
        let source = Source::Path(self.path());
        let feed = Feed::start(source, self.position.as_deref(), LINE_MAX);
        let mut feed = feed.expect("started");
        // Before that a FIFO has no reader.
        feed.ask();
        self.feed = Some(feed);
    }

    fn news(&mut self) -> News {
        let feed = self.feed.as_mut().expect("started");
        feed.ask();
        let news = async { tokio::time::timeout(PATIENCE, feed.next()).await };
        self.runtime.block_on(news).expect("there is news in time")
    }

    /// The lines of the next batch; what was told meanwhile is kept.
    fn lines(&mut self) -> Vec<String> {
        loop {
            match self.news() {
                News::Ready => break,
                News::Told { message, .. } => self.told.push(message),
                News::Trouble(trouble) => self.told.push(format!("trouble: {trouble:?}")),
                News::Ended => panic!("it ended"),
            }
        }
        let batch = self.feed.as_mut().and_then(Feed::take).expect("it is here");
        self.position = batch.position;
        batch.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    /// Waits until this has been told.
    fn wait_told(&mut self, what: &str) {
        while !self.told.iter().any(|told| told.contains(what)) {
            match self.news() {
                News::Told { message, .. } => self.told.push(message),
                News::Trouble(trouble) => self.told.push(format!("trouble: {trouble:?}")),
                News::Ready | News::Ended => panic!("{what} was to be told: {:?}", self.told),
            }
        }
    }
}

#[test]
fn a_file_is_followed_as_it_grows_and_rotates() {
    let mut lab = Lab::new();
    lab.start();
    lab.wait_told("waiting for it");
    lab.append("one\n");
    assert_eq!(lab.lines(), ["one"]);
    lab.append("two");
    lab.append("!\n");
    assert_eq!(lab.lines(), ["two!"]);
    std::fs::rename(lab.path(), lab.dir.path().join("feed.1")).expect("renamed");
    lab.append("three\n");
    assert_eq!(lab.lines(), ["three"]);
    lab.append("four\n");
    assert_eq!(lab.lines(), ["four"]);
    lab.start();
    lab.append("five\n");
    assert_eq!(lab.lines(), ["five"]);
}

#[test]
fn a_directory_that_is_not_there_is_waited_for() {
    let mut lab = Lab::new();
    let path = lab.dir.path().join("later/feed");
    let feed = Feed::start(Source::Path(path.clone()), None, LINE_MAX);
    lab.feed = Some(feed.expect("started"));
    lab.wait_told("waiting for it");
    std::fs::create_dir(lab.dir.path().join("later")).expect("made");
    std::fs::write(&path, "one\n").expect("written");
    assert_eq!(lab.lines(), ["one"]);
}

#[test]
fn nothing_is_read_that_was_not_asked_for() {
    let mut lab = Lab::new();
    mkfifo(&lab.path(), Mode::S_IRWXU).expect("a FIFO");
    lab.start();
    lab.append("one\n");
    assert_eq!(lab.lines(), ["one"]);
    let mut writer = File::options()
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(lab.path())
        .expect("there is a reader");
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    let mut waiting: nix::libc::c_int = 0;
    // SAFETY: FIONREAD stores an int at that place.
    unsafe {
        nix::libc::ioctl(
            std::os::fd::AsRawFd::as_raw_fd(&writer),
            nix::libc::FIONREAD,
            &mut waiting,
        );
    }
    assert!(waiting >= 64 * 1024, "{waiting} bytes wait in the pipe");
}

#[test]
fn a_fifo_never_ends() {
    let mut lab = Lab::new();
    lab.start();
    lab.wait_told("waiting for it");
    mkfifo(&lab.path(), Mode::S_IRWXU).expect("a FIFO");
    for text in ["one\ntwo\n", "three\n", "fo"] {
        // Each writer comes and goes.
        lab.append(text);
    }
    let mut lines = lab.lines();
    while lines.len() < 3 {
        lines.extend(lab.lines());
    }
    assert_eq!(lines, ["one", "two", "three"]);
    assert_eq!(lab.position, None);
    lab.append("ur\n");
    assert_eq!(lab.lines(), ["four"]);
    // Made anew under its name.
    std::fs::remove_file(lab.path()).expect("deleted");
    mkfifo(&lab.path(), Mode::S_IRWXU).expect("a FIFO");
    lab.feed.as_mut().expect("started").ask();
    lab.append("five\n");
    assert_eq!(lab.lines(), ["five"]);
}

#[test]
fn what_cannot_be_read_is_told_and_tried_again() {
    let mut lab = Lab::new();
    std::fs::create_dir(lab.path()).expect("a directory");
    lab.start();
    lab.wait_told("trouble: Some");
    assert!(lab.told[0].contains("no regular file"), "{:?}", lab.told);
    std::fs::remove_dir(lab.path()).expect("removed");
    lab.append("one\n");
    assert_eq!(lab.lines(), ["one"]);
    assert_eq!(lab.told.last().map(String::as_str), Some("trouble: None"));
}

#[test]
fn a_position_of_another_form_is_told() {
    let mut lab = Lab::new();
    lab.append("one\n");
    lab.position = Some("999 of the future".into());
    lab.start();
    assert_eq!(lab.lines(), ["one"]);
    assert!(lab.told[0].contains("not understood"), "{:?}", lab.told);
}

#[test]
fn it_ends_when_nobody_listens() {
    let mut lab = Lab::new();
    mkfifo(&lab.path(), Mode::S_IRWXU).expect("a FIFO");
    lab.start();
    lab.append("one\n");
    assert_eq!(lab.lines(), ["one"]);
    // It waits for more now.
    lab.feed.as_mut().expect("started").ask();
    lab.feed = None;
    let open =
        || File::options().write(true).custom_flags(nix::libc::O_NONBLOCK).open(lab.path()).is_ok();
    let begin = clock::mono();
    while open() {
        assert!(clock::mono().since(begin) < PATIENCE, "it still reads");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_can_be_told_before_is_told_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    let check_path = |path: &Path| check(&Source::Path(path.to_owned()));
    assert!(check_path(&file).is_ok(), "it may come");
    std::fs::write(&file, "").expect("written");
    assert!(check_path(&file).is_ok());
    assert!(check(&Source::Stdin).is_ok());
    assert!(matches!(check_path(dir.path()), Err(Unusable::Kind("a directory"))));
    assert!(matches!(check_path(Path::new("/dev/zero")), Err(Unusable::Kind("a device"))));
    assert!(matches!(check_path(&file.join("below")), Err(Unusable::Unreadable(_))));
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).expect("a FIFO");
    assert!(check_path(&fifo).is_ok());
    if !nix::unistd::geteuid().is_root() {
        mkfifo(&dir.path().join("closed"), Mode::empty()).expect("a FIFO");
        let found = check_path(&dir.path().join("closed"));
        assert!(matches!(found, Err(Unusable::Unreadable(_))));
    }
}
