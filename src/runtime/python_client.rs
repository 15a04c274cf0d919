//! The Python package, carried inside the binary: an air-gapped device needs
//! nothing else.
//!
//! It is laid out once for each of its versions, under a name made of its
//! content, so that two versions of adrt never mix their files. It is written
//! beside its place and renamed into it. Nothing is synced: each start
//! compares what is there, and a power cut costs writing it again.
//!
//! A run that keeps nothing has a copy of its own in the runtime directory,
//! removed at its end.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::settings::Settings;
use crate::store::home::Home;

/// Path below the package's parent directory, and content.
const FILES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/python_client.rs"));

/// Tells the package that it is this copy: it steps aside for one that is
/// installed and speaks the same protocol.
const MARKER: (&str, &[u8]) = ("adaptive_runtime/_embedded", b"");

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The package, laid out.
#[derive(Debug)]
pub struct Installed {
    place: PathBuf,
    remove: bool,
}

impl Installed {
    /// What goes on PYTHONPATH.
    pub fn path(&self) -> &Path {
        &self.place
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if self.remove {
            let _best_effort = fs::remove_dir_all(&self.place);
        }
    }
}

/// Lays the package out, unless it is there.
///
/// # Errors
/// The directory can't be written.
pub fn install(settings: &Settings, home: &Home) -> io::Result<Installed> {
    let name = format!("python-{:08x}", content_hash());
    let own = format!("{name}.{}", std::process::id());
    if settings.ephemeral {
        let installed = Installed { place: settings.runtime_dir.join(own), remove: true };
        lay_out(&installed.place)?;
        return Ok(installed);
    }
    let place = home.dir.join(&name);
    if !is_whole(&place) {
        let draft = home.dir.join(own);
        let _not_there = fs::remove_dir_all(&place);
        if let Err(error) = lay_out(&draft).and_then(|()| fs::rename(&draft, &place)) {
            let _best_effort = fs::remove_dir_all(&draft);
            return Err(error);
        }
    }
    remove_others(&home.dir, &name);
    Ok(Installed { place, remove: false })
}

fn files() -> impl Iterator<Item = &'static (&'static str, &'static [u8])> {
    FILES.iter().chain([&MARKER])
}

fn is_whole(dir: &Path) -> bool {
    files().all(|(name, content)| fs::read(dir.join(name)).is_ok_and(|found| found == *content))
}

fn lay_out(dir: &Path) -> io::Result<()> {
    for (name, content) in files() {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(DIR_MODE).create(parent)?;
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path)?;
        file.write_all(content)?;
    }
    Ok(())
}

/// Those of other versions of adrt: the lock is ours, so nobody uses them.
fn remove_others(parent: &Path, name: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let other = entry.file_name();
        if other.to_string_lossy().starts_with("python-") && other != name {
            let _best_effort = fs::remove_dir_all(entry.path());
        }
    }
}

fn content_hash() -> u32 {
    FILES.iter().fold(0, |crc, (name, content)| {
        crc32c::crc32c_append(crc32c::crc32c_append(crc, name.as_bytes()), content)
    })
}
