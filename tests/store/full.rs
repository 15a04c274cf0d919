//! A disk that is full: small file systems of the test's own, where it may
//! mount one, and a limit on file sizes.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use adrt::store::{Home, Options, Reader, Store};
use adrt::supervisor::io::{Answer, Op, StoreFailure, StoreFailureKind};

use super::kit::{Place, Script, commit, options};

/// Runs this test again as a process of its own, in a mount namespace of its
/// own if that is to be had. True in that process.
fn apart(test: &str) -> bool {
    if std::env::var_os("STORE_TEST_APART").is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", test]).env("STORE_TEST_APART", "1");
    // SAFETY: unshare, signal and _exit are system calls and nothing else, as
    // is allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            nix::libc::signal(nix::libc::SIGXFSZ, nix::libc::SIG_IGN);
            // Refused to those who are not root: seen when the mount is tried.
            nix::libc::unshare(nix::libc::CLONE_NEWNS);
            Ok(())
        });
    }
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    for line in said.lines().filter(|line| line.starts_with("skipped")) {
        println!("{line}");
    }
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    false
}

/// Mounts a tmpfs of that size; false, with a word, where that is not allowed.
fn mount(at: &Path, kib: u64) -> bool {
    use nix::mount::{MsFlags, mount};
    fs::create_dir_all(at).unwrap();
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    let mounted = mount(None::<&str>, "/", None::<&str>, private, None::<&str>).and_then(|()| {
        let size = format!("size={kib}k");
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(size.as_str()))
    });
    if let Err(e) = mounted {
        println!("skipped: no file system can be mounted here ({e})");
    }
    mounted.is_ok()
}

/// Writes until it is refused; every unit is either there or not.
fn fill(store: &mut Store, script: &mut Script) -> StoreFailure {
    for _ in 0..100_000 {
        let (root, version) = (script.root.clone(), script.version);
        let patch = format!(r#"{{"m{}":"{}"}}"#, version % 50, "y".repeat(3000));
        if let Err(failure) = store.commit(&[script.patch(&patch)]) {
            (script.root, script.version) = (root, version);
            return failure;
        }
    }
    panic!("it never was full");
}

fn on_small_disk(kib: u64, options: &Options) -> Option<(Place, Store)> {
    let place = Place::new();
    let small = place.dir.path().join("small");
    if !mount(&small, kib) {
        return None;
    }
    let home = Home::new(&small, "agent").unwrap();
    home.create().unwrap();
    let store = Store::open(&home, options).unwrap().0;
    Some((Place { home, ..place }, store))
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room() {
    if !apart("full::a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room") {
        return;
    }
    let Some((place, mut store)) = on_small_disk(2048, &Options::default()) else { return };
    assert!(!place.home.reserve_path().exists(), "too small for a reserve");
    let ballast = place.home.dir.join("ballast");
    fs::write(&ballast, vec![0; 512 << 10]).unwrap();
    let mut script = Script::default();
    for _ in 0..3 {
        let failure = fill(&mut store, &mut script);
        assert_eq!(failure.kind, StoreFailureKind::Full, "{failure:?}");
        assert!(!failure.outcome_unknown, "a refused write is not there: {failure:?}");
        assert!(!failure.reserve_freed);
    }
    assert!(script.version > 10);
    let (state, version) = (script.root.to_text(), script.version);
    // Nothing acknowledged is lost: for this process, a reader, the next one.
    assert_eq!(Reader::open(&place.home).unwrap().newest().unwrap().version, version);
    let probe = script.unit(vec![Op::RebuildReserve]);
    match store.commit(&[probe]) {
        Ok(done) => assert!(matches!(done.receipts[0].answers[..], [Answer::Reserve(false)])),
        Err(failure) => assert_eq!(failure.kind, StoreFailureKind::Full),
    }
    drop(store);
    let mut store = Store::open(&place.home, &Options::default()).unwrap().0;
    let restored = store.load().unwrap();
    assert_eq!((restored.root.to_text(), restored.version), (state, version));
    // Room again.
    fs::remove_file(&ballast).unwrap();
    let probe = script.unit(vec![Op::RebuildReserve]);
    assert!(matches!(commit(&mut store, probe)[..], [Answer::Reserve(true)]));
    commit(&mut store, script.count());
    drop(store);
    assert_eq!(place.open().load().unwrap().version, version + 1);
}

#[test]
fn the_reserve_lets_the_last_words_through() {
    if !apart("full::the_reserve_lets_the_last_words_through") {
        return;
    }
    let Some((place, mut store)) = on_small_disk(48 << 10, &Options::default()) else { return };
    let reserve = place.home.reserve_path();
    assert_eq!(fs::metadata(&reserve).unwrap().len(), 8 << 20);
    let mut script = Script::default();
    commit(&mut store, script.count());
    // Somebody else fills the disk.
    let ballast = place.home.dir.join("ballast");
    let mut room = 64 << 20;
    while room > 0 {
        let mut bytes = fs::read(&ballast).unwrap_or_default();
        bytes.resize(bytes.len() + room, 1);
        if fs::write(&ballast, &bytes).is_err() {
            bytes.truncate(fs::metadata(&ballast).unwrap().len() as usize);
            room /= 2;
        }
        if room < 4096 {
            break;
        }
    }
    let failure = fill(&mut store, &mut script);
    assert_eq!(failure.kind, StoreFailureKind::Full);
    assert!(failure.reserve_freed && !failure.outcome_unknown, "{failure:?}");
    assert!(!reserve.exists());
    let mut last = script.checkpoint(None);
    last.privileged = true;
    commit(&mut store, last);
    let probe = script.unit(vec![Op::RebuildReserve]);
    assert!(matches!(commit(&mut store, probe)[..], [Answer::Reserve(false)]));
    fs::remove_file(&ballast).unwrap();
    let probe = script.unit(vec![Op::RebuildReserve]);
    assert!(matches!(commit(&mut store, probe)[..], [Answer::Reserve(true)]));
    assert!(reserve.exists());
    drop(store);
    assert_eq!(place.open().load().unwrap().root.to_text(), script.root.to_text());
}

#[test]
fn a_limit_on_file_sizes_is_a_full_disk() {
    if !apart("full::a_limit_on_file_sizes_is_a_full_disk") {
        return;
    }
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.count());
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 400 << 10, hard).unwrap();
    let failure = fill(&mut store, &mut script);
    assert_eq!(failure.kind, StoreFailureKind::Full, "{failure:?}");
    assert!(!failure.outcome_unknown, "{failure:?}");
    assert_eq!(place.reader().newest().unwrap().version, script.version);
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
    commit(&mut store, script.count());
    drop(store);
    assert_eq!(place.open().load().unwrap().root.to_text(), script.root.to_text());
}

#[test]
fn a_read_only_disk_is_told_as_such_and_can_still_be_read() {
    if !apart("full::a_read_only_disk_is_told_as_such_and_can_still_be_read") {
        return;
    }
    let Some((place, mut store)) = on_small_disk(4096, &options()) else { return };
    let mut script = Script::default();
    commit(&mut store, script.count());
    store.close().unwrap();
    let small = place.home.dir.parent().unwrap();
    let read_only = nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_RDONLY;
    nix::mount::mount(None::<&str>, small, None::<&str>, read_only, None::<&str>).unwrap();
    assert_eq!(place.reader().newest().unwrap().version, 1);
    let refused = place.try_open(&options()).and_then(|(mut store, _)| {
        store.commit(&[script.count()]).map_err(adrt::store::OpenError::Failed)
    });
    match refused {
        Err(adrt::store::OpenError::Failed(failure)) => {
            assert_eq!(failure.kind, StoreFailureKind::ReadOnly, "{failure:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(place.home.leftovers().is_empty());
}
