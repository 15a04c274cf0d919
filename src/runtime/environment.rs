//! What the agent finds in its environment.
//!
//! It inherits adrt's own, less what is meant for adrt alone: the service
//! manager's variables, and the secrets of an outer adrt's wire. Added are the
//! `ADRT_*` of the protocol, the Python client's place on `PYTHONPATH`, adrt's
//! own directory at the end of `PATH`, and `PYTHONUNBUFFERED`, since what a
//! piped `print()` still holds back is lost at SIGKILL.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::python_client::Installed;
use crate::process::spawn::{Command, Stdin};
use crate::settings::Settings;
use crate::supervisor::io::Incarnation;
use crate::systemd::NOT_FOR_CHILDREN;

/// Set anew for every spawn, or by the spawner.
const PER_SPAWN: [&str; 4] = ["ADRT_TOKEN", "ADRT_INCARNATION", "ADRT_WIRE", "ADRT_TEXT_FD"];

/// The command with all of its environment that does not change.
#[derive(Debug)]
pub struct Template {
    argv: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Stdin,
    /// It is on PYTHONPATH, and stays where it is as long as this lives.
    _client: Option<Installed>,
}

impl Template {
    /// For the agent of these settings.
    pub fn new(settings: &Settings, socket: Option<&Path>, client: Option<Installed>) -> Self {
        let mut env: Vec<(OsString, OsString)> =
            std::env::vars_os().filter(|(name, _)| !is_withheld(name)).collect();
        let mut set = |name: &str, value: OsString| {
            env.retain(|(existing, _)| existing != name);
            env.push((name.into(), value));
        };
        set("ADRT_AGENT", settings.agent.clone().into());
        set("ADRT_PROTOCOL", "1".into());
        set("ADRT_STATE_DIR", settings.state_dir.clone().into());
        if let Some(socket) = socket {
            set("ADRT_SOCKET", socket.into());
        }
        if let Some(client) = &client {
            set("PYTHONPATH", before(client.path(), std::env::var_os("PYTHONPATH").as_deref()));
        }
        if let Some(path) = with_own_directory(std::env::var_os("PATH")) {
            set("PATH", path);
        }
        if std::env::var_os("PYTHONUNBUFFERED").is_none() {
            set("PYTHONUNBUFFERED", "1".into());
        }
        let stdin = if settings.stdin_inherit { Stdin::Inherit } else { Stdin::Wire };
        Self { argv: settings.argv.clone(), env, stdin, _client: client }
    }

    /// The command for one spawn.
    pub fn command(&self, incarnation: Incarnation, token: &str) -> Command {
        let mut env = self.env.clone();
        env.push(("ADRT_INCARNATION".into(), incarnation.to_string().into()));
        env.push(("ADRT_TOKEN".into(), token.into()));
        Command { argv: self.argv.clone(), env, stdin: self.stdin, cwd: None }
    }
}

/// For what adrt runs for itself: its own environment without its secrets,
/// and which agent this is about.
pub fn of_helpers(settings: &Settings) -> Vec<(OsString, OsString)> {
    let mut env: Vec<_> = std::env::vars_os().filter(|(name, _)| !is_withheld(name)).collect();
    let mut set = |name: &str, value: OsString| {
        env.retain(|(existing, _)| existing != name);
        env.push((name.into(), value));
    };
    set("ADRT_AGENT", settings.agent.clone().into());
    set("ADRT_STATE_DIR", settings.state_dir.clone().into());
    if let Some(path) = with_own_directory(std::env::var_os("PATH")) {
        set("PATH", path);
    }
    env
}

fn is_withheld(name: &OsStr) -> bool {
    NOT_FOR_CHILDREN.iter().chain(&PER_SPAWN).any(|withheld| name == *withheld)
}

/// `PATH` with adrt's own directory last, unless it is in it: a script that
/// calls `adrt state patch` is to find one wherever this one was started from.
fn with_own_directory(path: Option<OsString>) -> Option<OsString> {
    let exe = std::env::current_exe().ok()?;
    let own = exe.parent()?;
    let path = path?;
    if std::env::split_paths(&path).any(|dir| dir == own) {
        return None;
    }
    std::env::join_paths(std::env::split_paths(&path).chain([own.to_owned()])).ok()
}

fn before(first: &Path, rest: Option<&OsStr>) -> OsString {
    let mut path = first.as_os_str().to_owned();
    if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
        path.push(":");
        path.push(rest);
    }
    path
}
