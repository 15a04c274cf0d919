//! What the agent finds in its environment.
//!
//! It inherits adrt's own, less what is meant for adrt alone: the service
//! manager's variables, and the secrets of an outer adrt's wire. Over these go
//! the files of `--env-file`, read anew for each spawn. Added are the
//! `ADRT_*` of the protocol, the Python client's place on `PYTHONPATH`, adrt's
//! own directory at the end of `PATH`, and `PYTHONUNBUFFERED`, since what a
//! piped `print()` still holds back is lost at SIGKILL.
//!
//! `CREDENTIALS_DIRECTORY` is inherited like any other: the files in it are
//! the agent's to read.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::python_client::Installed;
use super::variables;
use crate::process::spawn::{Command, Stdin};
use crate::settings::Settings;
use crate::supervisor::io::Incarnation;
use crate::systemd::NOT_FOR_CHILDREN;
use crate::typed::document::Fault;

/// Set anew for every spawn, or by the spawner.
const PER_SPAWN: [&str; 4] = ["ADRT_TOKEN", "ADRT_INCARNATION", "ADRT_WIRE", "ADRT_TEXT_FD"];

/// The command with all of its environment that does not change.
#[derive(Debug)]
pub struct Template {
    argv: Vec<OsString>,
    inherited: Env,
    /// Of `--env-file`.
    files: Vec<PathBuf>,
    /// The `ADRT_*` that every incarnation has alike.
    own: Env,
    stdin: Stdin,
    /// It is on PYTHONPATH, and stays where it is as long as this lives.
    client: Option<Installed>,
}

impl Template {
    /// For the agent of these settings.
    pub fn new(settings: &Settings, socket: Option<&Path>, client: Option<Installed>) -> Self {
        let mut own = Env::default();
        own.set("ADRT_AGENT", settings.agent.clone());
        own.set("ADRT_PROTOCOL", "1");
        own.set("ADRT_STATE_DIR", settings.state_dir.clone());
        if let Some(socket) = socket {
            own.set("ADRT_SOCKET", socket);
        }
        if let Some(release) = &settings.release {
            own.set("ADRT_RELEASE", release.clone());
        }
        let stdin = if settings.stdin_inherit { Stdin::Inherit } else { Stdin::Wire };
        Self {
            argv: settings.argv.clone(),
            inherited: Env::inherited(),
            files: settings.env_files.clone(),
            own,
            stdin,
            client,
        }
    }

    /// The command for one spawn. Reads files, which may take as long as a disk
    /// takes.
    ///
    /// # Errors
    /// One of them can't be read, or there is a mistake in it.
    pub fn command(&self, incarnation: Incarnation, token: &str) -> Result<Command, Fault> {
        let mut env = self.inherited.clone();
        for variable in variables::read(&self.files)? {
            env.set(&variable.name, variable.value);
        }
        if let Some(client) = &self.client {
            env.set("PYTHONPATH", before(client.path(), env.get("PYTHONPATH")));
        }
        if let Some(path) = with_own_directory(env.get("PATH")) {
            env.set("PATH", path);
        }
        if env.get("PYTHONUNBUFFERED").is_none() {
            env.set("PYTHONUNBUFFERED", "1");
        }
        for (name, value) in &self.own.0 {
            env.set(name, value);
        }
        env.set("ADRT_INCARNATION", incarnation.to_string());
        env.set("ADRT_TOKEN", token);
        Ok(Command { argv: self.argv.clone(), env: env.0, stdin: self.stdin, cwd: None })
    }
}

/// Variables, each name once.
#[derive(Debug, Clone, Default)]
struct Env(Vec<(OsString, OsString)>);

impl Env {
    /// adrt's own, without its secrets.
    fn inherited() -> Self {
        Self(std::env::vars_os().filter(|(name, _)| !is_withheld(name)).collect())
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(existing, _)| existing == name).map(|(_, value)| value.as_os_str())
    }

    fn set(&mut self, name: impl AsRef<OsStr>, value: impl Into<OsString>) {
        let name = name.as_ref();
        self.0.retain(|(existing, _)| existing != name);
        self.0.push((name.into(), value.into()));
    }
}

/// For what adrt runs for itself: its own environment without its secrets,
/// and which agent this is about.
pub fn of_helpers(settings: &Settings) -> Vec<(OsString, OsString)> {
    let mut env = Env::inherited();
    env.set("ADRT_AGENT", settings.agent.clone());
    env.set("ADRT_STATE_DIR", settings.state_dir.clone());
    if let Some(path) = with_own_directory(env.get("PATH")) {
        env.set("PATH", path);
    }
    env.0
}

fn is_withheld(name: &OsStr) -> bool {
    NOT_FOR_CHILDREN.iter().chain(&PER_SPAWN).any(|withheld| name == *withheld)
}

/// `PATH` with adrt's own directory last, unless it is in it: a script that
/// calls `adrt state patch` is to find one wherever this one was started from.
fn with_own_directory(path: Option<&OsStr>) -> Option<OsString> {
    let exe = std::env::current_exe().ok()?;
    let own = exe.parent()?;
    let path = path?;
    if std::env::split_paths(path).any(|dir| dir == own) {
        return None;
    }
    std::env::join_paths(std::env::split_paths(path).chain([own.to_owned()])).ok()
}

fn before(first: &Path, rest: Option<&OsStr>) -> OsString {
    let mut path = first.as_os_str().to_owned();
    if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
        path.push(":");
        path.push(rest);
    }
    path
}
