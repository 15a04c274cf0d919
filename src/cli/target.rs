//! Where agents and their sockets live, found in this order:
//!
//! - state: `--state-dir`, `$ADRT_STATE_DIR`, `state-dir` of the configuration
//!   file, `$STATE_DIRECTORY` (set by systemd), else `/var/lib/adrt` for root
//!   and `$XDG_STATE_HOME/adrt` for others. Where that is not there, commands
//!   that run no agent look into `/var/lib/adrt`, for who may read it: the
//!   group `adrt`;
//! - sockets: `--runtime-dir`, `$ADRT_RUNTIME_DIR`, `runtime-dir` of the file,
//!   `$RUNTIME_DIRECTORY`, else `/run/adrt` for root, `$XDG_RUNTIME_DIR/adrt`
//!   for others, and `.run` in the state directory where there is none: a
//!   directory in /tmp could be made by somebody else first.
//!
//! Only `run` needs the second; other commands find a socket through the lock.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use nix::unistd::AccessFlags;

use super::env::Env;
use super::failure::{Failure, Kind};

/// Where root's agents live, and those of units that systemd runs.
const STATE_OF_SERVICES: &str = "/var/lib/adrt";
/// The directory's name under every base.
const OURS: &str = "adrt";
/// In the state directory; begins with a dot, so that it is no agent's.
const SOCKETS_BESIDE_STATE: &str = ".run";

/// Where all agents live.
///
/// # Errors
/// There is no home directory to take it from.
pub fn state_dir(given: Option<&Path>, file: Option<&Path>, env: &Env) -> Result<PathBuf, Failure> {
    if let Some(dir) = chosen(given, "ADRT_STATE_DIR", file, "STATE_DIRECTORY", env) {
        return Ok(dir);
    }
    if env.uid == 0 {
        return Ok(PathBuf::from(STATE_OF_SERVICES));
    }
    // The XDG rule: a relative value is to be ignored.
    if let Some(base) = env.path("XDG_STATE_HOME").filter(|_| is_absolute(env, "XDG_STATE_HOME")) {
        return Ok(base.join(OURS));
    }
    if let Some(home) = env.path("HOME") {
        return Ok(home.join(".local/state").join(OURS));
    }
    // No $HOME: the user database knows.
    let base = etcetera::base_strategy::Xdg::new().ok().and_then(|xdg| xdg.state_dir());
    base.map(|base| base.join(OURS)).ok_or_else(|| {
        Failure::new(Kind::CantCreate, "no directory to keep state in")
            .why("neither HOME nor XDG_STATE_HOME is set")
            .hint("name one: --state-dir DIR, or ADRT_STATE_DIR=DIR")
    })
}

/// The same for a command that runs no agent: who has none of their own, and
/// may look at those of the machine's services, means these.
///
/// # Errors
/// As [`state_dir`].
pub fn state_dir_to_ask(given: Option<&Path>, env: &Env) -> Result<PathBuf, Failure> {
    let own = state_dir(given, None, env)?;
    let is_chosen = chosen(given, "ADRT_STATE_DIR", None, "STATE_DIRECTORY", env).is_some();
    if is_chosen || own.is_dir() {
        return Ok(own);
    }
    let services = Path::new(STATE_OF_SERVICES);
    let may_look = nix::unistd::access(services, AccessFlags::R_OK | AccessFlags::X_OK).is_ok();
    Ok(if may_look { services.to_owned() } else { own })
}

/// Where control sockets live.
pub fn runtime_dir(given: Option<&Path>, file: Option<&Path>, env: &Env, state: &Path) -> PathBuf {
    if let Some(dir) = chosen(given, "ADRT_RUNTIME_DIR", file, "RUNTIME_DIRECTORY", env) {
        return dir;
    }
    if env.uid == 0 {
        return Path::new("/run").join(OURS);
    }
    match env.path("XDG_RUNTIME_DIR").filter(|_| is_absolute(env, "XDG_RUNTIME_DIR")) {
        Some(base) => base.join(OURS),
        None => state.join(SOCKETS_BESIDE_STATE),
    }
}

fn chosen(
    given: Option<&Path>,
    ours: &str,
    file: Option<&Path>,
    systemd: &str,
    env: &Env,
) -> Option<PathBuf> {
    let given = given.filter(|dir| !dir.as_os_str().is_empty());
    let dir = given.map(|dir| env.cwd.join(dir)).or_else(|| env.path(ours));
    dir.or_else(|| file.map(|dir| env.cwd.join(dir)))
        .or_else(|| env.get(systemd).and_then(|list| of_systemd(list, env)))
}

/// systemd lists all directories of a unit: ours is the one called `adrt`,
/// else the first.
fn of_systemd(list: &OsStr, env: &Env) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut dirs = list
        .as_bytes()
        .split(|&byte| byte == b':')
        .filter(|dir| !dir.is_empty())
        .map(|dir| env.cwd.join(OsStr::from_bytes(dir)))
        .peekable();
    let first = dirs.peek().cloned();
    dirs.find(|dir| dir.file_name() == Some(OsStr::new(OURS))).or(first)
}

fn is_absolute(env: &Env, name: &str) -> bool {
    env.get(name).is_some_and(|value| Path::new(value).is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(uid: u32, vars: &[(&str, &str)]) -> String {
        let env = Env::made_up(uid, vars);
        state_dir(None, None, &env).map(|dir| dir.display().to_string()).unwrap_or_default()
    }

    #[test]
    fn the_first_that_is_set_wins() {
        let all = [
            ("ADRT_STATE_DIR", "/a"),
            ("STATE_DIRECTORY", "/b"),
            ("XDG_STATE_HOME", "/c"),
            ("HOME", "/d"),
        ];
        assert_eq!(state(1000, &all), "/a");
        assert_eq!(state(1000, &all[1..]), "/b");
        assert_eq!(state(1000, &all[2..]), "/c/adrt");
        assert_eq!(state(1000, &all[3..]), "/d/.local/state/adrt");
        assert_eq!(state(0, &all[2..]), "/var/lib/adrt");
        let env = Env::made_up(0, &all);
        let flag = state_dir(Some(Path::new("rel")), Some(Path::new("/file")), &env);
        assert_eq!(flag, Ok(PathBuf::from("/cwd/rel")));
        let file = state_dir(None, Some(Path::new("/file")), &Env::made_up(0, &all[1..]));
        assert_eq!(file, Ok(PathBuf::from("/file")));
    }

    #[test]
    fn empty_and_relative_values_are_no_values() {
        let vars = [("ADRT_STATE_DIR", ""), ("XDG_STATE_HOME", "rel"), ("HOME", "/h")];
        assert_eq!(state(1000, &vars), "/h/.local/state/adrt");
    }

    #[test]
    fn a_list_of_systemd() {
        assert_eq!(state(1, &[("STATE_DIRECTORY", "/var/lib/x:/var/lib/adrt")]), "/var/lib/adrt");
        assert_eq!(state(1, &[("STATE_DIRECTORY", "/var/lib/x:/var/lib/y")]), "/var/lib/x");
    }

    #[test]
    fn sockets() {
        let dir = |uid, vars: &[(&str, &str)]| {
            let env = Env::made_up(uid, vars);
            runtime_dir(None, None, &env, Path::new("/s")).display().to_string()
        };
        assert_eq!(dir(0, &[]), "/run/adrt");
        assert_eq!(dir(1, &[("XDG_RUNTIME_DIR", "/run/user/1")]), "/run/user/1/adrt");
        assert_eq!(dir(1, &[]), "/s/.run");
        assert_eq!(dir(1, &[("RUNTIME_DIRECTORY", "/run/x")]), "/run/x");
    }
}
