//! The files of `--env-file`: variables for the agent, read anew for every
//! start, so that a restart takes a key that was changed.
//!
//! A file that can't be read, or has a mistake in it, keeps the agent from
//! being started: it would run without its secrets. No value is ever told.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::text_file;
use crate::systemd::NOT_FOR_CHILDREN;
use crate::typed::document::{Fault, Wrong};
use crate::typed::variables::{self, Variable};

/// Names that begin so are adrt's to set.
const OWN_PREFIXES: [&str; 2] = ["ADRT_", "NOTIFY_"];
/// Others than the owner may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// What of a mode are permissions.
const PERMISSIONS: u32 = 0o7777;

/// The variables of all files; of a name that stands there twice, the last
/// one counts.
///
/// # Errors
/// A file can't be read, or there is a mistake in it.
pub fn read(files: &[PathBuf]) -> Result<Vec<Variable>, Fault> {
    let mut found = Vec::new();
    for path in files {
        found.extend(read_one(path)?);
    }
    Ok(found)
}

fn read_one(path: &Path) -> Result<Vec<Variable>, Fault> {
    let hint = "every --env-file must be there, for the user adrt runs as to read";
    let text = text_file::read(path, hint)?;
    let variables = variables::parse(&text).map_err(|wrong| wrong.in_file(path, &text))?;
    if let Some(own) = variables.iter().find(|variable| is_own(&variable.name)) {
        let what = format!("{} is adrt's to set, not a file's", own.name);
        return Err(Wrong::new(own.at.clone(), what).hint("leave it out").in_file(path, &text));
    }
    Ok(variables)
}

fn is_own(name: &str) -> bool {
    OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NOT_FOR_CHILDREN.contains(&name)
}

/// A line for each file that others may write: they could have anything run
/// in the agent's place. Who may read it is not judged; that depends on the
/// directories above it, and on whether there are secrets in it.
pub fn warnings(files: &[PathBuf]) -> Vec<String> {
    let us = nix::unistd::geteuid().as_raw();
    files.iter().filter_map(|path| warning(path, us)).collect()
}

fn warning(path: &Path, us: u32) -> Option<String> {
    let meta = std::fs::metadata(path).ok()?;
    let (mode, owner) = (meta.mode() & PERMISSIONS, meta.uid());
    let path = path.display();
    if owner != us && owner != 0 {
        return Some(format!(
            "{path} belongs to uid {owner}, who can change what the agent is given"
        ));
    }
    (mode & WRITABLE_BY_OTHERS != 0).then(|| {
        format!("others may write {path} (mode {mode:04o}), and change what the agent is given; chmod go-w {path}")
    })
}
