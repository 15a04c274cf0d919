//! The kernel, the clock, memory and limits.

use std::fs;
use std::path::Path;

use nix::libc;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::Group;

use super::Finding;
use super::place::any_integer;
use crate::cli::env::Env;
use crate::cli::text::bytes;
use crate::clock::{self, Wall};

/// No adrt was built before: 2025-01-01. A clock that says so was never set.
const EARLIEST_MS: i64 = 1_735_689_600_000;
/// A machine with less memory than this needs swap.
const SMALL_MEMORY_BYTES: u64 = 1 << 30;
/// Descriptors: an agent with a few connections, and adrt's own.
const FILES_LEAST: u64 = 256;
/// Processes of a user: some agents with their helpers.
const PROCESSES_LEAST: u64 = 128;
/// Who may use control sockets, where it exists.
const GROUP: &str = "adrt";

/// All about it. `root` is where proc and sys are.
pub fn look(root: &Path, env: &Env) -> Vec<Finding> {
    let found = [
        Some(wall(clock::wall())),
        Some(synchronised(root)),
        Some(time_zone(env)),
        Some(kernel()),
        Some(pressure(root)),
        Some(cgroups(root)),
        memory(root),
        swap(root),
        limit("open files", limit_of(Resource::RLIMIT_NOFILE), FILES_LEAST, "ulimit -n 1024"),
        limit("processes", limit_of(Resource::RLIMIT_NPROC), PROCESSES_LEAST, "ulimit -u 1024"),
        Some(group(Group::from_name(GROUP).ok().flatten().is_some())),
    ];
    found.into_iter().flatten().collect()
}

fn text(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path)).ok()
}

/// Whether the clock was ever set.
fn wall(now: Wall) -> Finding {
    if now.millis() >= EARLIEST_MS {
        return Finding::ok("clock", format!("it is {}", now.rfc3339()));
    }
    let why =
        "the records of crashes, events and checkpoints get wrong times; deadlines don't care";
    let cure = "set it: timedatectl set-ntp true, or date -s …";
    Finding::problem("clock", format!("the clock says {}", now.rfc3339()), why, cure)
}

/// Whether anybody keeps it right. A machine without a clock of its own starts
/// in the past each time.
fn synchronised(root: &Path) -> Finding {
    // SAFETY: zeroed is a valid timex: modes 0 asks and sets nothing; the call
    // writes nothing but it.
    let state = unsafe {
        let mut ask: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut ask), ask.status)
    };
    let rtc = root.join("sys/class/rtc/rtc0").exists();
    judge_clock(state.0 >= 0 && state.0 != libc::TIME_ERROR && state.1 & libc::STA_UNSYNC == 0, rtc)
}

fn judge_clock(synchronised: bool, rtc: bool) -> Finding {
    let rtc = if rtc { "" } else { ", and the machine has none that runs while it is off" };
    if synchronised {
        return Finding::ok("clock-sync", "the clock is kept right by the network");
    }
    let what = format!("the clock is not kept right by the network{rtc}");
    let why = "times in records drift or jump; delays and deadlines of adrt don't go by it";
    let cure = "timedatectl set-ntp true, or install chrony or systemd-timesyncd";
    Finding::warning("clock-sync", what, why, cure)
}

/// By which cron timers go that name no zone.
fn time_zone(env: &Env) -> Finding {
    let zone = clock::time_zone();
    match env.text("TZ").map(|name| name.trim_start_matches(':')) {
        Some(name) if !name.starts_with('/') && jiff::tz::TimeZone::get(name).is_err() => {
            let what = format!("TZ is {name:?}, which is no time zone here");
            let why = format!("cron timers that name no zone go by {zone}");
            Finding::warning("time-zone", what, why, "install tzdata, or mend TZ: TZ=Europe/Paris")
        }
        Some(_) | None => Finding::ok("time-zone", format!("cron timers go by {zone}")),
    }
}

/// What adrt asks of the kernel, and what it does without.
fn kernel() -> Finding {
    let has = |number: libc::c_long, args: [libc::c_long; 3]| {
        // SAFETY: of both calls these arguments touch no memory: a pidfd of
        // ourselves, which is closed, and descriptors that can't be open.
        let result = unsafe { libc::syscall(number, args[0], args[1], args[2]) };
        if result >= 0 && number == libc::SYS_pidfd_open {
            // SAFETY: the kernel has just made it for us, and nobody else knows it.
            unsafe { libc::close(i32::try_from(result).unwrap_or(-1)) };
        }
        result >= 0
    };
    let us = libc::c_long::from(nix::unistd::getpid().as_raw());
    let none = libc::c_long::from(i32::MAX);
    let missing: Vec<&str> = [
        ("pidfd_open", has(libc::SYS_pidfd_open, [us, 0, 0])),
        ("close_range", has(libc::SYS_close_range, [none, none, 0])),
        ("PR_SET_CHILD_SUBREAPER", nix::sys::prctl::get_child_subreaper().is_ok()),
    ]
    .into_iter()
    .filter_map(|(name, there)| (!there).then_some(name))
    .collect();
    let release = nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    judge_kernel(&release, &missing)
}

fn judge_kernel(release: &str, missing: &[&str]) -> Finding {
    if missing.is_empty() {
        return Finding::ok("kernel", format!("Linux {release} has all that adrt asks of it"));
    }
    let what = format!("Linux {release} has no {}, or a sandbox forbids it", missing.join(", "));
    if missing.contains(&"PR_SET_CHILD_SUBREAPER") {
        let why = "what an agent leaves behind could not be found, so adrt run refuses to start";
        return Finding::problem("kernel", what, why, "use Linux 3.4 or later, or allow prctl");
    }
    let why = "adrt does without: starts are a little slower, and what an agent leaves behind is \
               killed by its number alone";
    Finding::warning("kernel", what, why, "use Linux 5.9 or later, or allow these calls")
}

/// Stalled work, which tells a pressed machine best.
fn pressure(root: &Path) -> Finding {
    if text(root, "proc/pressure/memory").is_some() {
        return Finding::ok("pressure", "the kernel tells of stalled work (PSI)");
    }
    Finding::ok(
        "pressure",
        "the kernel does not tell of stalled work: the sensors go by the rest (psi=1 on the \
         kernel's command line turns it on)",
    )
}

/// What `--memory-max` needs.
fn cgroups(root: &Path) -> Finding {
    const CHECK: &str = "cgroups";
    let Some(controllers) = text(root, "sys/fs/cgroup/cgroup.controllers") else {
        return Finding::ok(CHECK, "there is no cgroup v2 here: --memory-max is refused");
    };
    if controllers.split_whitespace().any(|name| name == "memory") {
        return Finding::ok(CHECK, "cgroup v2 with its memory controller");
    }
    let cmdline = text(root, "proc/cmdline").unwrap_or_default();
    let why = if cmdline.contains("cgroup_disable=memory") {
        "the kernel's command line switches it off (cgroup_disable=memory), as on a Raspberry Pi"
    } else {
        "without it memory can neither be limited nor its shortage be told from other ends"
    };
    let cure = "add cgroup_enable=memory to the kernel's command line (/boot/firmware/cmdline.txt \
                on a Raspberry Pi) and boot";
    Finding::warning(CHECK, "cgroup v2 has no memory controller", why, cure)
}

/// A number of /proc/meminfo, in bytes.
fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok()?.checked_mul(1024)
}

/// Little memory, and nothing behind it.
fn memory(root: &Path) -> Option<Finding> {
    let info = text(root, "proc/meminfo")?;
    let (all, swap) = (meminfo(&info, "MemTotal")?, meminfo(&info, "SwapTotal").unwrap_or(0));
    let what = format!("{} of memory, {} of swap", bytes(all), bytes(swap));
    if all >= SMALL_MEMORY_BYTES || swap > 0 {
        return Some(Finding::ok("memory", what));
    }
    let why = "the kernel kills the largest process without warning: mostly the agent";
    let cure = "compressed memory costs no storage card: apt-get install zram-tools, or \
                systemd-zram-generator";
    Some(Finding::warning("memory", what, why, cure))
}

/// Swap that wears a card out.
fn swap(root: &Path) -> Option<Finding> {
    let swaps = text(root, "proc/swaps")?;
    let on_card = swaps.lines().skip(1).find_map(|line| {
        let device = line.split_whitespace().next()?;
        device.starts_with("/dev/mmcblk").then_some(device)
    })?;
    let why = "it is written to whenever memory is short, and wears the card out";
    let cure = "use compressed memory in its place: apt-get install zram-tools, then swapoff it";
    Some(Finding::warning("swap", format!("swap is on a storage card ({on_card})"), why, cure))
}

/// None is the largest there is.
const NO_LIMIT: u64 = u64::MAX;

fn limit_of(which: Resource) -> Option<u64> {
    let (soft, _) = getrlimit(which).ok()?;
    Some(if soft == RLIM_INFINITY { NO_LIMIT } else { any_integer(soft) })
}

fn limit(what: &str, soft: Option<u64>, least: u64, cure: &str) -> Option<Finding> {
    let soft = soft?;
    if soft >= least {
        return Some(Finding::ok(
            "limits",
            if soft == NO_LIMIT {
                format!("no limit of {what}")
            } else {
                format!("{soft} {what} are allowed")
            },
        ));
    }
    let why = format!("agents inherit it, and so does adrt: fewer than {least} are soon too few");
    let cure = format!("{cure} before adrt run, or LimitNOFILE=, TasksMax= in the unit");
    Some(Finding::warning("limits", format!("only {soft} {what} are allowed"), why, cure))
}

/// Who may use the sockets.
fn group(exists: bool) -> Finding {
    Finding::ok(
        "group",
        if exists {
            "members of the group adrt may ask and stop running agents"
        } else {
            "there is no group adrt: only root and an agent's own user may ask and stop it"
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    /// A machine of one's own.
    fn made_up(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn clocks() {
        assert_eq!(wall(Wall::from_millis(EARLIEST_MS)).level, Level::Ok);
        assert_eq!(wall(Wall::from_millis(0)).level, Level::Problem);
        assert_eq!(judge_clock(true, false).level, Level::Ok);
        let alone = judge_clock(false, false);
        assert!(
            alone.level == Level::Warning && alone.what.contains("none that runs"),
            "{alone:?}"
        );
        assert!(!judge_clock(false, true).what.contains("none that runs"));
        assert!(synchronised(Path::new("/")).level <= Level::Warning);
    }

    #[test]
    fn zones() {
        let zone = |vars: &[(&str, &str)]| time_zone(&Env::made_up(1, vars)).level;
        assert_eq!(zone(&[]), Level::Ok);
        assert_eq!(zone(&[("TZ", "UTC")]), Level::Ok);
        assert_eq!(zone(&[("TZ", "Middle-earth/Shire")]), Level::Warning);
    }

    #[test]
    fn kernels() {
        assert_eq!(kernel().level, Level::Ok, "{:?}", kernel());
        assert_eq!(judge_kernel("5.4", &["close_range"]).level, Level::Warning);
        assert_eq!(judge_kernel("3.2", &["PR_SET_CHILD_SUBREAPER"]).level, Level::Problem);
    }

    #[test]
    fn groups_of_processes() {
        let with = |files: &[(&str, &str)]| cgroups(made_up(files).path());
        let file = "sys/fs/cgroup/cgroup.controllers";
        assert_eq!(with(&[(file, "cpu memory pids\n")]).level, Level::Ok);
        assert!(with(&[]).what.contains("--memory-max is refused"));
        let pi = with(&[(file, "cpu pids\n"), ("proc/cmdline", "cgroup_disable=memory x")]);
        assert!(pi.level == Level::Warning && pi.why.contains("Raspberry Pi"), "{pi:?}");
    }

    #[test]
    fn memory_and_what_is_behind_it() {
        let of = |text: &str| memory(made_up(&[("proc/meminfo", text)]).path()).unwrap().level;
        assert_eq!(of("MemTotal:  524288 kB\nSwapTotal: 0 kB\n"), Level::Warning);
        assert_eq!(of("MemTotal:  524288 kB\nSwapTotal: 262144 kB\n"), Level::Ok);
        assert_eq!(of("MemTotal: 8388608 kB\n"), Level::Ok);
        let swaps = "Filename Type Size Used Priority\n/dev/mmcblk0p3 partition 1 0 -2\n";
        assert!(swap(made_up(&[("proc/swaps", swaps)]).path()).is_some());
        let zram = "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 100\n";
        assert_eq!(swap(made_up(&[("proc/swaps", zram)]).path()), None);
    }

    #[test]
    fn limits() {
        let level = |soft| limit("open files", soft, FILES_LEAST, "x").map(|found| found.level);
        assert_eq!(level(None), None);
        assert_eq!(level(Some(64)), Some(Level::Warning));
        assert_eq!(level(Some(1024)), Some(Level::Ok));
        let none = limit("open files", Some(NO_LIMIT), 1, "x").unwrap();
        assert_eq!(none.what, "no limit of open files");
    }

    #[test]
    fn pressure_is_told_or_not() {
        assert!(pressure(made_up(&[]).path()).what.contains("psi=1"));
        let told = made_up(&[("proc/pressure/memory", "some avg10=0.00\n")]);
        assert!(pressure(told.path()).what.contains("PSI"));
    }
}
