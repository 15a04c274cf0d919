//! The process's surroundings, read once: variables, user, directory.
//! Handed to whoever needs them, so that tests can hand in others.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// What adrt was started in.
#[derive(Debug, Clone, Default)]
pub struct Env {
    vars: BTreeMap<OsString, OsString>,
    /// The effective user.
    pub uid: u32,
    /// The working directory; `/` when there is none any more.
    pub cwd: PathBuf,
}

impl Env {
    /// Reads them.
    pub fn of_process() -> Self {
        Self {
            vars: std::env::vars_os().collect(),
            uid: nix::unistd::geteuid().as_raw(),
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        }
    }

    /// Surroundings made up for a test.
    #[cfg(test)]
    pub fn made_up(uid: u32, vars: &[(&str, &str)]) -> Self {
        let vars = vars.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { vars, uid, cwd: PathBuf::from("/cwd") }
    }

    /// A variable; one that is empty counts as unset.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// A variable, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    /// A variable that holds a path, made absolute.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(|value| self.cwd.join(value))
    }
}
