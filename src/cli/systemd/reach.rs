//! Whether what a unit runs can be reached from inside of it: by its user, and
//! past its sandbox. Looks at this machine's files, which may not be those of
//! the device the unit is for: so what is found is told, and nothing refused.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User};

use super::unit::{Open, is_in_home, is_temporary};

/// Links followed from one name, at most; the kernel's own limit.
const LINKS_MAX: usize = 40;
/// The longest first line of a script that the kernel looks at.
const SHEBANG_BYTES: u64 = 256;

/// Whose eyes a file is looked at with.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    name: String,
    /// `None`: there is no such user here yet, and only what all may do counts.
    uid: Option<u32>,
    gids: Vec<u32>,
}

impl Account {
    /// The user of a unit with these groups beside its own.
    pub(super) fn of(name: &str, groups: &[&str]) -> Self {
        let user = User::from_name(name).ok().flatten();
        let named = groups.iter().filter_map(|group| Group::from_name(group).ok().flatten());
        let mut gids: Vec<u32> = named.map(|group| group.gid.as_raw()).collect();
        gids.extend(user.as_ref().map(|user| user.gid.as_raw()));
        Self { name: name.to_owned(), uid: user.map(|user| user.uid.as_raw()), gids }
    }

    /// Whether it exists on this machine.
    pub(super) const fn exists(&self) -> bool {
        self.uid.is_some()
    }

    /// Its number, if it exists.
    pub(super) const fn uid(&self) -> Option<u32> {
        self.uid
    }

    fn may(&self, meta: &fs::Metadata, bit: u32) -> bool {
        let shift = if self.uid == Some(0) {
            // Root is stopped by nothing but a program that nobody may run.
            return bit != EXECUTE || meta.is_dir() || meta.mode() & 0o111 != 0;
        } else if self.uid == Some(meta.uid()) {
            6
        } else if self.gids.contains(&meta.gid()) {
            3
        } else {
            0
        };
        meta.mode() >> shift & bit != 0
    }
}

const READ: u32 = 4;
const EXECUTE: u32 = 1;

/// What is to be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Run it.
    Execute,
    /// Read it.
    Read,
}

/// Something that will not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// What.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// What stands between the account and a file, if anything does. The file is
/// looked at with all the links on the way, and the interpreter of a script.
pub(super) fn obstacle(
    path: &Path,
    purpose: Use,
    account: &Account,
    open: &Open,
) -> Option<Obstacle> {
    let mut at = path.to_owned();
    for _ in 0..LINKS_MAX {
        if let Some(hidden) = hidden(path, &at, open) {
            return Some(hidden);
        }
        let Some(next) = next_link(&at) else { break };
        at = next;
    }
    forbidden(path, purpose, account).or_else(|| {
        let interpreter = interpreter(path).filter(|_| purpose == Use::Execute)?;
        obstacle(&interpreter, Use::Execute, account, open)
    })
}

/// Where a path leads whose last link is followed, or one of the directories
/// on the way to it.
fn next_link(path: &Path) -> Option<PathBuf> {
    let mut upper = PathBuf::new();
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        upper.push(part);
        if let Ok(target) = fs::read_link(&upper) {
            let rest = parts.as_path();
            let next = upper.parent().unwrap_or(Path::new("/")).join(target);
            return Some(if rest.as_os_str().is_empty() { next } else { next.join(rest) });
        }
    }
    None
}

fn hidden(asked: &Path, at: &Path, open: &Open) -> Option<Obstacle> {
    let is_open = open.write.iter().chain(&open.read).any(|path| at.starts_with(path));
    let temporary = is_temporary(at);
    if is_open || !(is_in_home(at) || temporary) {
        return None;
    }
    let leads = if asked == at {
        asked.display().to_string()
    } else {
        format!("{} leads to {}, which", asked.display(), at.display())
    };
    let what = if temporary {
        format!("{leads} is in a directory that the unit has one of its own of (PrivateTmp=)")
    } else {
        format!("{leads} is in a home directory, which the unit does not see (ProtectHome=)")
    };
    let is_python = at.file_name().is_some_and(|name| name.as_bytes().starts_with(b"python"));
    let dir = at.parent().unwrap_or(at).display().to_string();
    let remedy = if is_python {
        "make the environment with a Python outside of it: \
         /usr/bin/python3 -m venv /opt/NAME/venv"
            .to_owned()
    } else {
        format!("put it elsewhere (/opt/NAME), or open the directory: --read {dir}")
    };
    Some(Obstacle { what, remedy })
}

fn forbidden(path: &Path, purpose: Use, account: &Account) -> Option<Obstacle> {
    let Ok(real) = fs::canonicalize(path) else {
        return Some(Obstacle {
            what: format!("{} is not on this machine", path.display()),
            remedy: "it must be there where the unit is installed".to_owned(),
        });
    };
    let (bit, verb) = match purpose {
        Use::Execute => (EXECUTE, "run"),
        Use::Read => (READ, "read"),
    };
    let user = &account.name;
    let above = real
        .ancestors()
        .skip(1)
        .find(|dir| fs::metadata(dir).is_ok_and(|meta| !account.may(&meta, EXECUTE)));
    if let Some(dir) = above {
        return Some(Obstacle {
            what: format!("{user} may not enter {}, where {} is", dir.display(), path.display()),
            remedy: format!("chmod o+x {}, or put it elsewhere (/opt/NAME)", dir.display()),
        });
    }
    let meta = fs::metadata(&real).ok()?;
    if account.may(&meta, bit) {
        return None;
    }
    let remedy = match purpose {
        Use::Execute => format!("chmod a+x {}", real.display()),
        Use::Read => format!("chgrp adrt {0} && chmod g+r {0}", real.display()),
    };
    Some(Obstacle { what: format!("{user} may not {verb} {}", real.display()), remedy })
}

/// The interpreter that the first line of a script names.
fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    fs::File::open(path).ok()?.take(SHEBANG_BYTES).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = line.trim_ascii_start().split(u8::is_ascii_whitespace).next()?;
    let interpreter = PathBuf::from(OsStr::from_bytes(word));
    interpreter.is_absolute().then_some(interpreter)
}

/// The program of a command, absolute, where it can be found.
pub(super) fn program(word: &OsStr, cwd: &Path, search: &OsStr) -> Option<PathBuf> {
    if word.as_bytes().contains(&b'/') {
        return Some(cwd.join(word));
    }
    let runs =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0);
    std::env::split_paths(search).map(|dir| cwd.join(dir).join(word)).find(runs)
}

/// The words of a command with those that name a file of the working
/// directory made absolute: a unit starts in `/`. `script` is the one word
/// that is known for a file; of others the first return says which look like
/// one.
pub(super) fn absolute(
    argv: &[OsString],
    script: Option<&Path>,
    cwd: &Path,
) -> (Vec<PathBuf>, Vec<OsString>) {
    let mut doubtful = Vec::new();
    let words = argv.iter().enumerate().map(|(place, word)| {
        let path = Path::new(word);
        if place > 0 && script == Some(path) {
            return cwd.join(path).into_os_string();
        }
        if place > 0 && !path.is_absolute() && cwd.join(path).exists() && word != "." {
            doubtful.push(path.to_owned());
        }
        word.clone()
    });
    let words = words.collect();
    (doubtful, words)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn nobody() -> Account {
        Account { name: "adrt".into(), uid: None, gids: Vec::new() }
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// A directory that is open to the unit.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().expect("a directory"));
            mode(place.0.path(), 0o755);
            place
        }

        fn what(&self, path: &Path, purpose: Use) -> Option<String> {
            let open = Open { read: vec![self.0.path().into()], ..Open::default() };
            obstacle(path, purpose, &nobody(), &open).map(|found| found.what)
        }

        fn file(&self, name: &str, text: &str, bits: u32) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, text).expect("written");
            mode(&path, bits);
            path
        }
    }

    fn what(path: &Path, purpose: Use) -> Option<String> {
        obstacle(path, purpose, &nobody(), &Open::default()).map(|found| found.what)
    }

    #[test]
    fn homes_and_temporary_directories_are_hidden() {
        assert!(what(Path::new("/home/pi/agent.py"), Use::Read).unwrap().contains("ProtectHome="));
        assert!(what(Path::new("/tmp/agent.py"), Use::Read).unwrap().contains("PrivateTmp="));
        let open = Open { read: vec!["/home/pi".into()], ..Open::default() };
        let found = obstacle(Path::new("/home/pi/agent.py"), Use::Read, &nobody(), &open);
        assert!(found.unwrap().what.contains("not on this machine"));
    }

    #[test]
    fn links_are_followed_to_where_they_lead() {
        let place = Place::new();
        let link = place.0.path().join("venv");
        symlink("/root/.venv", &link).expect("a link");
        let found = place.what(&link.join("bin/python3"), Use::Execute).expect("an obstacle");
        assert!(found.contains("leads to /root/.venv/bin/python3"), "{found}");
    }

    #[test]
    fn modes_count_and_so_do_those_of_directories_and_interpreters() {
        let place = Place::new();
        let closed = place.file("closed.py", "", 0o640);
        assert!(place.what(&closed, Use::Read).unwrap().contains("may not read"));
        let open = place.file("open.sh", "#!/bin/sh\n", 0o755);
        assert_eq!(place.what(&open, Use::Execute), None);
        let script = place.file("a.py", "#! /root/venv/bin/python -u\n", 0o755);
        assert!(place.what(&script, Use::Execute).unwrap().contains("/root/venv/bin/python"));
        mode(place.0.path(), 0o700);
        assert!(place.what(&open, Use::Execute).unwrap().contains("may not enter"));
    }

    #[test]
    fn files_of_the_working_directory() {
        let place = Place::new();
        place.file("a.py", "", 0o644);
        place.file("data", "", 0o644);
        let argv: Vec<OsString> = ["python3", "a.py", "data", "-x"].map(Into::into).into();
        let (doubtful, words) = absolute(&argv, Some(Path::new("a.py")), place.0.path());
        assert_eq!(doubtful, [Path::new("data")]);
        assert_eq!(words[1], place.0.path().join("a.py"));
        assert_eq!((&words[0], &words[2]), (&argv[0], &argv[2]));
    }
}
