//! Directories, modes, links, and who holds an agent.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::time::Duration;

use adrt::store::{
    HolderKind, Home, HomeError, Lock, LockError, OpenError, Reader, Store, holder, list,
};

use super::kit::{Place, Script, commit, options};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn names_follow_the_rule() {
    let dir = Path::new("/nowhere");
    let longest = "a".repeat(64);
    for name in ["a", "0", "agent-1.2_x", "A..b", longest.as_str()] {
        assert_eq!(Home::new(dir, name).unwrap().dir, dir.join(name));
    }
    let long = "a".repeat(65);
    for name in ["", ".", "..", "-a", "_a", "a/b", "a b", "é", "a\n", long.as_str()] {
        assert!(matches!(Home::new(dir, name), Err(HomeError::BadName(_))), "{name:?}");
    }
}

#[test]
fn everything_is_for_the_owner_only_whatever_the_umask() {
    // The umask is the process's: a child of its own has it.
    if std::env::var_os("STORE_TEST_UMASK").is_none() {
        for umask in ["000", "077", "277"] {
            let done = Command::new("sh")
                .arg("-c")
                .arg(format!("umask {umask}; exec \"$0\" --exact {UMASK_TEST}"))
                .arg(std::env::current_exe().unwrap())
                .env("STORE_TEST_UMASK", umask)
                .output()
                .unwrap();
            assert!(done.status.success(), "{umask}: {}", String::from_utf8_lossy(&done.stdout));
        }
        return;
    }
    let place = Place::new();
    let mut store = place.try_open(&adrt::store::Options::default()).unwrap().0;
    let mut script = Script::default();
    commit(&mut store, script.count());
    let lock = Lock::take(&place.home, HolderKind::Run, None).unwrap();
    for dir in [place.home.dir.clone(), place.home.db_dir(), place.dir.path().join("state")] {
        assert_eq!(mode(&dir), 0o700, "{}", dir.display());
    }
    let mut files = vec![place.home.lock_path(), place.home.reserve_path()];
    files.extend(["", "-wal", "-shm"].map(|end| {
        let mut name = place.database().into_os_string();
        name.push(end);
        PathBuf::from(name)
    }));
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    drop(lock);
}

const UMASK_TEST: &str = "home::everything_is_for_the_owner_only_whatever_the_umask";

#[test]
fn the_state_directory_itself_may_be_a_link() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
    let home = Home::new(&dir.path().join("link"), "a").unwrap();
    home.create().unwrap();
    let (mut store, _) = Store::open(&home, &options()).unwrap();
    let mut script = Script::default();
    commit(&mut store, script.count());
    assert_eq!(Reader::open(&home).unwrap().newest().unwrap().version, 1);
    assert!(dir.path().join("real/a/db/adrt.db").exists());
}

/// A link in place of each part, to one that would do.
#[test]
fn links_below_the_state_directory_are_refused() {
    type Part = fn(&Home) -> PathBuf;
    let parts: [Part; 3] = [|home| home.dir.clone(), Home::db_dir, Home::database];
    for part in parts {
        let place = Place::new();
        drop(place.open());
        let path = part(&place.home);
        let elsewhere = place.dir.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        let refused = place.try_open(&options()).err();
        assert!(
            matches!(&refused, Some(OpenError::Home(HomeError::Symlink(at))) if *at == path),
            "{refused:?}"
        );
        assert!(Reader::open(&place.home).is_err());
    }
    let place = Place::new();
    symlink(place.dir.path().join("elsewhere"), place.home.lock_path()).unwrap();
    let refused = Lock::take(&place.home, HolderKind::Run, None);
    assert!(matches!(refused, Err(LockError::Home(HomeError::Symlink(_)))), "{refused:?}");
    assert!(!place.dir.path().join("elsewhere").exists());
}

#[test]
fn a_dangling_link_is_no_place_to_make_an_agent() {
    let dir = tempfile::tempdir().unwrap();
    symlink(dir.path().join("nowhere"), dir.path().join("a")).unwrap();
    let home = Home::new(dir.path(), "a").unwrap();
    assert!(matches!(home.create(), Err(HomeError::Symlink(_))));
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn agents_are_listed_by_name() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(list(&dir.path().join("none")).unwrap(), Vec::<String>::new());
    for name in ["b", "a", "c"] {
        let home = Home::new(dir.path(), name).unwrap();
        home.create().unwrap();
        drop(Store::open(&home, &options()).unwrap());
    }
    fs::create_dir(dir.path().join("no-database")).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    fs::create_dir_all(dir.path().join(".hidden/db")).unwrap();
    symlink(dir.path().join("a"), dir.path().join("link")).unwrap();
    assert_eq!(list(dir.path()).unwrap(), ["a", "b", "c"]);
}

#[test]
fn the_holder_is_named_and_forgotten_with_its_hold() {
    let place = Place::new();
    assert_eq!(holder(&place.home), None);
    let socket = Path::new("/run/adrt/agent.sock");
    let mut lock = Lock::take(&place.home, HolderKind::Run, Some(socket)).unwrap();
    let held = holder(&place.home).unwrap();
    assert_eq!(held.pid, std::process::id() as i32);
    assert_eq!((held.kind, held.socket.as_deref()), (HolderKind::Run, Some(socket)));
    lock.update_socket(None).unwrap();
    assert_eq!(holder(&place.home).unwrap().socket, None);
    match Lock::take(&place.home, HolderKind::Command, None) {
        Err(LockError::Held(by)) => assert_eq!(by.pid, std::process::id() as i32),
        other => panic!("{other:?}"),
    }
    drop(lock);
    // The file still says the name; the kernel knows better.
    assert!(fs::read_to_string(place.home.lock_path()).unwrap().contains("run"));
    assert_eq!(holder(&place.home), None);
    for kind in [HolderKind::Command, HolderKind::Attach] {
        let lock = Lock::take(&place.home, kind, None).unwrap();
        assert_eq!(holder(&place.home).unwrap().kind, kind);
        drop(lock);
    }
}

#[test]
fn of_two_takers_one_gets_it() {
    for _ in 0..50 {
        let place = Place::new();
        let gate = Barrier::new(2);
        let take = || {
            gate.wait();
            Lock::take(&place.home, HolderKind::Run, None)
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(take);
            let mine = take();
            let theirs = other.join().unwrap();
            // Both results are alive: neither gave back what it got.
            let refused = match (&mine, &theirs) {
                (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
                both => panic!("{both:?}"),
            };
            let LockError::Held(by) = refused else { panic!("{refused:?}") };
            assert_eq!(by.pid, std::process::id() as i32);
        });
    }
}

#[test]
fn asking_for_the_holder_never_stands_in_a_takers_way() {
    let place = Place::new();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(relaxed) {
                if let Some(by) = holder(&place.home) {
                    assert!(by.pid == std::process::id() as i32 || by.pid == 0, "{by:?}");
                }
            }
        });
        for _ in 0..500 {
            drop(Lock::take(&place.home, HolderKind::Run, None).unwrap());
        }
        stop.store(true, relaxed);
    });
}

#[test]
fn a_short_holder_is_waited_for_and_a_long_one_is_not() {
    let place = Place::new();
    let patience = Duration::from_secs(60);
    let short = Lock::take(&place.home, HolderKind::Command, None).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope
            .spawn(|| Lock::take_within(&place.home, HolderKind::Run, None, patience).unwrap());
        assert!(!waiter.is_finished());
        drop(short);
        let long = waiter.join().unwrap();
        let refused = Lock::take_within(&place.home, HolderKind::Run, None, patience);
        assert!(matches!(refused, Err(LockError::Held(_))));
        drop(long);
    });
    let _held = Lock::take(&place.home, HolderKind::Command, None).unwrap();
    let impatient = Lock::take_within(&place.home, HolderKind::Run, None, Duration::ZERO);
    assert!(matches!(impatient, Err(LockError::Held(_))));
}

#[test]
fn a_rename_moves_all_and_is_refused_while_held() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.count());
    drop(store);
    let held = Lock::take(&place.home, HolderKind::Run, None).unwrap();
    assert!(matches!(place.home.rename("other"), Err(HomeError::Held(_))));
    drop(held);
    assert!(matches!(place.home.rename("../x"), Err(HomeError::BadName(_))));
    assert!(matches!(place.home.rename("agent"), Err(HomeError::Exists(_))));
    let (other, lock) = place.home.rename("other").unwrap();
    assert!(matches!(Lock::take(&other, HolderKind::Run, None), Err(LockError::Held(_))));
    drop(lock);
    assert!(!place.home.exists() && other.exists());
    assert_eq!(Reader::open(&other).unwrap().newest().unwrap().version, 1);
    assert!(matches!(place.home.rename("third"), Err(HomeError::Missing(_))));
}

#[test]
fn a_removed_agent_is_gone_and_can_be_made_again() {
    let place = Place::new();
    drop(place.try_open(&adrt::store::Options::default()).unwrap());
    let lock = Lock::take(&place.home, HolderKind::Command, None).unwrap();
    place.home.remove(lock).unwrap();
    assert!(!place.home.dir.exists());
    place.home.create().unwrap();
    let _lock = Lock::take(&place.home, HolderKind::Run, None).unwrap();
    assert_eq!(place.open().load().unwrap().version, 0);
}
