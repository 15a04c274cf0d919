//! The directories, and the disk they are on.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::statfs::statfs;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};

use super::Finding;
use crate::cli::text::bytes;

/// With less room than this a database soon has none …
const FREE_WARNING_BYTES: u64 = 64 << 20;
/// … and with less than this it has none already, but for the reserve.
const FREE_PROBLEM_BYTES: u64 = 16 << 20;
/// New files are soon refused.
const FILES_FREE_LEAST: u64 = 100;
/// Everybody may write to it …
const ALL_WRITE: u32 = 0o002;
/// … or a group.
const GROUP_WRITES: u32 = 0o020;
/// But not change what is another's in it, as in /tmp.
const STICKY: u32 = 0o1000;
/// Where to begin anew.
const ELSEWHERE: &str = "keep state elsewhere: --state-dir DIR, or ADRT_STATE_DIR=DIR";

/// All about them.
pub fn look(state_dir: &Path, runtime_dir: &Path, uid: u32) -> Vec<Finding> {
    let mut found = vec![directory("state-directory", state_dir, uid)];
    let there = nearest(state_dir);
    found.extend(file_system(&there));
    found.extend(room(&there));
    if runtime_dir.exists() {
        found.push(directory("runtime-directory", runtime_dir, uid));
        found.extend(sockets(runtime_dir));
    }
    found
}

/// A directory that adrt writes to.
pub fn directory(check: &'static str, dir: &Path, uid: u32) -> Finding {
    let shown = dir.display();
    let meta = match fs::metadata(dir) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return missing(check, dir),
        Err(e) => {
            let cure = "look as the user the agents run as: sudo -u USER adrt doctor";
            return Finding::problem(
                check,
                format!("{shown} can't be looked at"),
                e.to_string(),
                cure,
            );
        }
    };
    if !meta.is_dir() {
        let why = "agents are kept in a directory of that name";
        return Finding::problem(check, format!("{shown} is no directory"), why, ELSEWHERE);
    }
    let mode = meta.mode() & 0o7777;
    if mode & (ALL_WRITE | GROUP_WRITES) != 0 && mode & STICKY == 0 {
        let why = "who may write to it can put another agent's memory in the place of yours";
        let what = format!("{shown} may be written by others ({mode:04o})");
        let cure = format!("chmod go-w {shown}");
        return if mode & ALL_WRITE != 0 {
            Finding::problem(check, what, why, cure)
        } else {
            Finding::warning(check, what, why, cure)
        };
    }
    if access(dir, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        let owner = user(meta.uid());
        let what = format!("{shown} is {owner}'s, and you may not write to it");
        let why = "agents of this directory can be neither run nor changed by this user";
        return Finding::warning(
            check,
            what,
            why,
            format!("sudo -u {owner} adrt …, or {ELSEWHERE}"),
        );
    }
    let owner = if meta.uid() == uid { String::new() } else { format!(", {}'s", user(meta.uid())) };
    Finding::ok(check, format!("{shown} ({mode:04o}{owner})"))
}

fn missing(check: &'static str, dir: &Path) -> Finding {
    let (above, shown) = (nearest(dir), dir.display());
    if access(&above, AccessFlags::W_OK).is_ok() {
        return Finding::ok(check, format!("{shown} is not there yet; the first run makes it"));
    }
    let why = format!("it is not there, and {} may not be written by you", above.display());
    Finding::problem(check, format!("{shown} can't be made"), why, ELSEWHERE)
}

fn user(uid: u32) -> String {
    let found = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    found.map_or_else(|| format!("user {uid}"), |user| user.name)
}

/// It, or the first directory above it that is there.
fn nearest(dir: &Path) -> PathBuf {
    let found = dir.ancestors().find(|above| above.exists());
    found.map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

/// What the disk is, as SQLite and a power cut see it.
pub fn file_system(dir: &Path) -> Vec<Finding> {
    let Ok(system) = statfs(dir) else { return Vec::new() };
    let kind = judge(any_integer(system.filesystem_type().0), dir);
    let read_only = statvfs(dir).is_ok_and(|disk| disk.flags().contains(FsFlags::ST_RDONLY));
    let read_only = read_only.then(|| {
        let what = format!("{} is on a disk that is mounted read-only", dir.display());
        let why = "nothing can be kept; a disk that fails is often remounted so by the kernel";
        Finding::problem("file-system", what, why, "look at dmesg, then: mount -o remount,rw …")
    });
    [Some(kind), read_only].into_iter().flatten().collect()
}

/// A number of the system's, whose type differs from machine to machine.
pub fn any_integer<T: Default>(number: impl TryInto<T>) -> T {
    number.try_into().unwrap_or_default()
}

/// By the number in its superblock, as statfs(2) tells it.
fn judge(magic: i64, dir: &Path) -> Finding {
    const CHECK: &str = "file-system";
    let shown = dir.display();
    let network = "SQLite's log needs memory that all who use it share, and locks that hold: over \
                   a network neither is sure";
    let lost = |what: &str, why: &str| {
        Finding::warning(CHECK, format!("{shown} is on {what}"), why, ELSEWHERE)
    };
    let wrong = |what: &str, why: &str| {
        Finding::problem(CHECK, format!("{shown} is on {what}"), why, ELSEWHERE)
    };
    match magic & 0xffff_ffff {
        0xef53 => Finding::ok(CHECK, format!("{shown} is on ext4")),
        0x9123_683e => Finding::ok(CHECK, format!("{shown} is on btrfs")),
        0x5846_5342 => Finding::ok(CHECK, format!("{shown} is on xfs")),
        0xf2f5_2010 => Finding::ok(CHECK, format!("{shown} is on f2fs")),
        0x2fc1_2fc1 => Finding::ok(CHECK, format!("{shown} is on zfs")),
        0x6969 => wrong("NFS", network),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => wrong("SMB", network),
        0x0102_1997 => wrong("9p", network),
        0x6573_5546 => lost("a FUSE file system", "whether it keeps what was synced is up to it"),
        0x4d44 | 0x2011_bab0 => wrong(
            "a FAT file system",
            "it knows neither owners nor modes, and a power cut may damage it as a whole",
        ),
        0x0102_1994 | 0x8584_58f6 => {
            lost("a file system in memory (tmpfs)", "all of it is gone at the next boot")
        }
        0x794c_7630 => lost(
            "an overlay, as in a container",
            "all of it is gone with the container, unless a volume is mounted there",
        ),
        other => Finding::ok(CHECK, format!("{shown} is on a file system of type {other:#x}")),
    }
}

/// How much is left of it.
pub fn room(dir: &Path) -> Vec<Finding> {
    let Ok(disk) = statvfs(dir) else { return Vec::new() };
    let free = any_integer(disk.blocks_available());
    let free = u64::saturating_mul(free, any_integer(disk.fragment_size()));
    let files: u64 = any_integer(disk.files());
    judge_room(dir, free, (files > 0).then(|| any_integer(disk.files_available())))
}

fn judge_room(dir: &Path, free: u64, files_free: Option<u64>) -> Vec<Finding> {
    const CHECK: &str = "disk";
    let (shown, left) = (dir.display(), bytes(free));
    let what = format!("{shown} has {left} left");
    let why = "writes of agents are refused when nothing is left; nothing acknowledged is lost";
    let cure = "make room: journalctl --vacuum-size=100M, apt-get clean, adrt checkpoints prune";
    let mut found = vec![match free {
        0..FREE_PROBLEM_BYTES => Finding::problem(CHECK, what, why, cure),
        FREE_PROBLEM_BYTES..FREE_WARNING_BYTES => Finding::warning(CHECK, what, why, cure),
        FREE_WARNING_BYTES.. => Finding::ok(CHECK, what),
    }];
    if let Some(files) = files_free.filter(|files| *files < FILES_FREE_LEAST) {
        let what = format!("{shown} takes only {files} more files");
        let why = "the disk has room, but no inodes: nothing new can be made on it";
        found.push(Finding::problem(CHECK, what, why, "delete small files: df -i shows where"));
    }
    found
}

/// Sockets that nobody listens on any more: harmless, and told as such.
pub fn sockets(dir: &Path) -> Option<Finding> {
    let entries = fs::read_dir(dir).ok()?;
    let socket = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_socket());
    let dead = |entry: &fs::DirEntry| {
        let refused = UnixStream::connect(entry.path()).err()?;
        (refused.kind() == io::ErrorKind::ConnectionRefused).then(|| entry.file_name())
    };
    let names: Vec<String> = entries
        .flatten()
        .filter(socket)
        .filter_map(|entry| Some(dead(&entry)?.to_string_lossy().into_owned()))
        .collect();
    let what = format!("left over from an adrt that was killed: {}", names.join(", "));
    (!names.is_empty()).then(|| Finding::ok("sockets", format!("{what}; the next run clears it")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::super::Level;
    use super::*;

    fn mode(dir: &Path, mode: u32) {
        fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn me() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    #[test]
    fn directories() {
        let dir = tempfile::tempdir().unwrap();
        mode(dir.path(), 0o700);
        let look = |path: &Path| directory("state-directory", path, me());
        assert_eq!(look(dir.path()).level, Level::Ok);
        mode(dir.path(), 0o770);
        assert_eq!(look(dir.path()).level, Level::Warning);
        mode(dir.path(), 0o777);
        let open = look(dir.path());
        assert_eq!(open.level, Level::Problem);
        assert!(open.cure.starts_with("chmod go-w "), "{open:?}");
        mode(dir.path(), 0o755);
        assert!(look(&dir.path().join("not/yet")).what.contains("the first run makes it"));
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(look(&file).level, Level::Problem);
        // Below a file nothing can be.
        assert_eq!(look(&file.join("below")).level, Level::Problem);
    }

    #[test]
    fn what_a_disk_is() {
        let judge = |magic| judge(magic, Path::new("/x"));
        for (magic, level, name) in [
            (0xef53, Level::Ok, "ext4"),
            (0x6969, Level::Problem, "NFS"),
            (0xff53_4d42, Level::Problem, "SMB"),
            // As a machine with 32 bits has it.
            (i64::from(0xff53_4d42_u32 as i32), Level::Problem, "SMB"),
            (0x4d44, Level::Problem, "FAT"),
            (0x0102_1994, Level::Warning, "tmpfs"),
            (0x794c_7630, Level::Warning, "container"),
            (0x1234, Level::Ok, "0x1234"),
        ] {
            let found = judge(magic);
            assert!(found.level == level && format!("{found:?}").contains(name), "{found:?}");
        }
        let there = file_system(Path::new("/proc"));
        assert!(!there.is_empty());
        assert!(file_system(Path::new("/dev/shm")).iter().any(|f| f.level == Level::Warning));
    }

    #[test]
    fn what_is_left_of_it() {
        let levels = |free, files| -> Vec<Level> {
            judge_room(Path::new("/x"), free, files).iter().map(|found| found.level).collect()
        };
        assert_eq!(levels(1 << 30, Some(5000)), [Level::Ok]);
        assert_eq!(levels(FREE_WARNING_BYTES - 1, None), [Level::Warning]);
        assert_eq!(levels(0, Some(0)), [Level::Problem, Level::Problem]);
        assert!(!room(Path::new("/")).is_empty());
    }

    #[test]
    fn sockets_without_anybody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(sockets(dir.path()), None);
        drop(listener);
        assert!(sockets(dir.path()).unwrap().what.contains("a.sock"));
    }
}
