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

/// The files' contents one after the other, compressed: build.rs packs them.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/python_client.zst"));

/// What is in there, in that order.
const FILES: &[Packed] = &include!(concat!(env!("OUT_DIR"), "/python_client.rs"));

/// Tells the package that it is this copy: it steps aside for one that is
/// installed and speaks the same protocol.
const MARKER: &str = "adaptive_runtime/_embedded";

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A file among the packed ones.
struct Packed {
    /// Its path below the package's parent directory.
    name: &'static str,
    /// Where its content begins and ends among the unpacked.
    start: usize,
    end: usize,
    /// The content's CRC-32C: whether a file is whole is known without unpacking.
    crc: u32,
}

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

/// Is each file there as it was packed?
fn is_whole(dir: &Path) -> bool {
    let is_same = |file: &Packed| {
        fs::read(dir.join(file.name)).is_ok_and(|found| {
            found.len() == file.end - file.start && crc32c::crc32c(&found) == file.crc
        })
    };
    dir.join(MARKER).exists() && FILES.iter().all(is_same)
}

fn lay_out(dir: &Path) -> io::Result<()> {
    let unpacked = zstd::bulk::decompress(PACKED, FILES.last().map_or(0, |file| file.end))?;
    for file in FILES {
        let content = unpacked.get(file.start..file.end).ok_or(io::ErrorKind::UnexpectedEof)?;
        write(&dir.join(file.name), content)?;
    }
    write(&dir.join(MARKER), b"")
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(parent)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(content)
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

/// Of the contents and their names, however they were compressed.
fn content_hash() -> u32 {
    FILES.iter().fold(0, |hash, file| {
        let hash = crc32c::crc32c_append(hash, file.name.as_bytes());
        crc32c::crc32c_append(hash, &file.crc.to_le_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        lay_out(dir.path()).unwrap();
        assert!(is_whole(dir.path()));
        dir
    }

    #[test]
    fn what_is_laid_out_is_the_package() {
        let dir = laid_out();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        for file in FILES {
            let (there, here) = (dir.path().join(file.name), source.join(file.name));
            assert_eq!(fs::read(there).unwrap(), fs::read(here).unwrap(), "{}", file.name);
        }
        for name in ["__init__.py", "agent.py", "py.typed", "_memory/store.py", "_embedded"] {
            assert!(dir.path().join("adaptive_runtime").join(name).exists(), "{name}");
        }
    }

    #[test]
    fn a_file_that_lost_or_changed_a_byte_or_is_gone_is_seen() {
        let dir = laid_out();
        let path = dir.path().join("adaptive_runtime/agent.py");
        let good = fs::read(&path).unwrap();
        let mut changed = good.clone();
        changed[good.len() / 2] ^= 1;
        for bad in [&changed, &good[1..], &good[..good.len() - 1], &[]] {
            fs::write(&path, bad).unwrap();
            assert!(!is_whole(dir.path()), "{} of {} bytes", bad.len(), good.len());
        }
        fs::write(&path, &good).unwrap();
        assert!(is_whole(dir.path()));
        fs::remove_file(&path).unwrap();
        assert!(!is_whole(dir.path()), "it is gone");
    }

    #[test]
    fn a_package_without_its_marker_is_not_whole() {
        let dir = laid_out();
        fs::remove_file(dir.path().join(MARKER)).unwrap();
        assert!(!is_whole(dir.path()));
    }
}
