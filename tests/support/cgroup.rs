//! Groups of the kernel's, made by a test: what a service manager would hand
//! to adrt, or limit it by. They take root, and are gone when they are dropped.
//! A test that can't have one says why, and is skipped.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adrt::clock;
use nix::unistd::{Pid, geteuid};

/// What is in a group dies soon after it was killed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// One.
pub struct Cgroup {
    pub dir: PathBuf,
}

impl Cgroup {
    /// One of version 2, marked as systemd marks what it hands over.
    pub fn delegated() -> Option<Self> {
        let group = Self::unified()?;
        group.mark();
        Some(group)
    }

    /// One of version 2 that nobody said was adrt's.
    pub fn unified() -> Option<Self> {
        Self::make("version 2", |kind, _| kind == "cgroup2", "")
    }

    /// One of version 1, with this controller.
    pub fn one(controller: &str) -> Option<Self> {
        let wanted = |kind: &str, options: &str| {
            kind == "cgroup" && options.split(',').any(|it| it == controller)
        };
        Self::make(&format!("version 1 with {controller}"), wanted, controller)
    }

    fn make(what: &str, wanted: impl Fn(&str, &str) -> bool, controller: &str) -> Option<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let skipped = |why: &str| println!("skipped: it needs a control group of {what}, {why}");
        if !geteuid().is_root() {
            skipped("and only root makes one");
            return None;
        }
        let Some(own) = own_group(wanted, controller) else {
            skipped("and no such tree is mounted");
            return None;
        };
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = own.join(format!("adrt-test-{}-{number}", std::process::id()));
        if let Err(e) = fs::create_dir(&dir) {
            skipped(&format!("which can't be made: {}: {e}", dir.display()));
            return None;
        }
        Some(Self { dir })
    }

    fn mark(&self) {
        let path = std::ffi::CString::new(self.dir.to_str().unwrap()).unwrap();
        // SAFETY: C strings, and a value of the length that is given.
        let set = unsafe {
            let (name, value) = (c"user.delegate".as_ptr(), c"1".as_ptr().cast());
            nix::libc::setxattr(path.as_ptr(), name, value, 1, 0)
        };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }

    pub fn set(&self, name: &str, value: &str) {
        fs::write(self.dir.join(name), value).unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap()
    }

    /// The processes in it, and in all below it.
    pub fn members(&self) -> Vec<i32> {
        members(&self.dir)
    }

    /// The groups below it.
    pub fn below(&self) -> Vec<PathBuf> {
        below(&self.dir)
    }

    /// Lets a command begin in it.
    pub fn holds(&self, command: &mut Command) {
        let entrance = File::options().write(true).open(self.dir.join("cgroup.procs")).unwrap();
        // SAFETY: one system call on a descriptor that is open already.
        unsafe { command.pre_exec(move || (&entrance).write(b"0").map(drop)) };
    }

    /// Moves this process into it.
    pub fn enter(&self) {
        self.set("cgroup.procs", &std::process::id().to_string());
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let us = i32::try_from(std::process::id()).unwrap();
        if self.members().contains(&us) {
            let above = self.dir.parent().unwrap().join("cgroup.procs");
            let _no_matter = fs::write(above, us.to_string());
        }
        let begin = clock::mono();
        while clock::mono().since(begin) < PATIENCE {
            let members = self.members();
            for pid in &members {
                let _gone = nix::sys::signal::kill(Pid::from_raw(*pid), nix::sys::signal::SIGKILL);
            }
            if members.is_empty() && remove(&self.dir) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        eprintln!("{} is left", self.dir.display());
    }
}

fn remove(dir: &Path) -> bool {
    below(dir).iter().all(|dir| remove(dir)) && fs::remove_dir(dir).is_ok()
}

fn members(dir: &Path) -> Vec<i32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let mut members: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    below(dir).iter().for_each(|dir| members.extend(self::members(dir)));
    members
}

fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The group of that kind that this process is in.
fn own_group(wanted: impl Fn(&str, &str) -> bool, controller: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let top = mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let tail: Vec<&str> = tail.split(' ').collect();
        let head: Vec<&str> = head.split(' ').collect();
        (head[3] == "/" && wanted(tail[0], tail[2])).then(|| PathBuf::from(head[4]))
    })?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|it| it == controller).then(|| path.to_owned())
    })?;
    Some(top.join(own.trim_start_matches('/')))
}
