//! The interpreter that agents in Python run by, and what it would import.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Finding;

const CHECK: &str = "python";
/// The oldest that the package works with.
const OLDEST: (u32, u32) = (3, 9);
/// Tells its version, and where two packages would come from.
const QUESTION: &str = "import sys, importlib.util as u
print(*sys.version_info[:2])
for name in ('adrt', 'adaptive_runtime'):
    spec = u.find_spec(name)
    print(spec and (spec.origin or list(spec.submodule_search_locations or [''])[0]) or '')";

/// All about it; and which adrt agents would call.
pub fn look(path: Option<&OsStr>) -> Vec<Finding> {
    let asked = Command::new("python3").args(["-c", QUESTION]).output();
    let mut found = match asked {
        Ok(said) if said.status.success() => judge(&String::from_utf8_lossy(&said.stdout)),
        Ok(said) => {
            let why = String::from_utf8_lossy(&said.stderr);
            let why = why.lines().last().unwrap_or("it says nothing").to_owned();
            let cure = "try it by hand: python3 -c pass";
            vec![Finding::warning(CHECK, "python3 does not work", why, cure)]
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            vec![Finding::ok(CHECK, "there is no python3 on PATH: only agents in Python need one")]
        }
        Err(e) => {
            let cure = "look at the modes of the file: ls -l $(command -v python3)";
            vec![Finding::warning(CHECK, "python3 can't be run", e.to_string(), cure)]
        }
    };
    found.extend(other_adrt(path, std::env::current_exe().ok().as_deref()));
    found
}

/// From what the interpreter answered.
fn judge(said: &str) -> Vec<Finding> {
    let mut lines = said.lines();
    let version = lines.next().and_then(|line| {
        let (major, minor) = line.split_once(' ')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    let Some((major, minor)) = version else {
        let why = format!("asked for its version it said {said:?}");
        return vec![Finding::warning(
            CHECK,
            "python3 is no Python",
            why,
            "see: command -v python3",
        )];
    };
    let (stranger, ours) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let what = format!("python3 is {major}.{minor}");
    let mut found = vec![if (major, minor) < OLDEST {
        let why = format!("the package needs {}.{} or later", OLDEST.0, OLDEST.1);
        let cure = "run agents by a newer one: adrt run -- python3.11 agent.py";
        Finding::warning(CHECK, what, why, cure)
    } else if ours.is_empty() {
        Finding::ok(CHECK, format!("{what}; agents get the package from adrt itself"))
    } else {
        Finding::ok(CHECK, format!("{what}; adaptive_runtime is installed: {ours}"))
    }];
    if !stranger.is_empty() {
        let what = format!("a package called adrt is installed: {stranger}");
        let why = "it is another project's: import adrt gives that one";
        let cure = "import adaptive_runtime in its place; pip uninstall adrt if nobody needs it";
        found.push(Finding::warning("python-adrt", what, why, cure));
    }
    found
}

/// Agents and scripts call the first adrt on PATH.
fn other_adrt(path: Option<&OsStr>, own: Option<&Path>) -> Option<Finding> {
    let own = own?.canonicalize().ok()?;
    let first =
        std::env::split_paths(path?).map(|dir| dir.join("adrt")).find(|file| file.is_file())?;
    let real: PathBuf = first.canonicalize().ok()?;
    if real == own {
        return None;
    }
    let what = format!("the adrt on PATH is another one: {}", first.display());
    let why = format!("agents and scripts call that one, and this is {}", own.display());
    let cure = "delete the older of the two: adrt --version tells";
    Some(Finding::warning("adrt-on-path", what, why, cure))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn levels(said: &str) -> Vec<Level> {
        judge(said).iter().map(|found| found.level).collect()
    }

    #[test]
    fn what_it_answers() {
        assert_eq!(levels("3 12\n\n\n"), [Level::Ok]);
        assert_eq!(levels("3 9\n\n/x/adaptive_runtime/__init__.py\n"), [Level::Ok]);
        assert_eq!(levels("3 8\n\n\n"), [Level::Warning]);
        assert_eq!(levels("2 7\n\n\n"), [Level::Warning]);
        assert_eq!(levels("3 12\n/x/adrt/__init__.py\n\n"), [Level::Ok, Level::Warning]);
        assert_eq!(levels("hello\n"), [Level::Warning]);
    }

    #[test]
    fn the_adrt_that_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, other) = (dir.path().join("ours"), dir.path().join("other"));
        for place in [&ours, &other] {
            std::fs::create_dir(place).unwrap();
            std::fs::write(place.join("adrt"), "").unwrap();
        }
        let own = ours.join("adrt");
        let look = |dirs: [&Path; 2]| {
            let path = std::env::join_paths(dirs).unwrap();
            other_adrt(Some(&path), Some(&own))
        };
        assert_eq!(look([&ours, &other]), None);
        assert!(look([&other, &ours]).is_some());
        assert_eq!(look([dir.path(), dir.path()]), None);
        // A link to this one is this one.
        std::fs::remove_file(other.join("adrt")).unwrap();
        std::os::unix::fs::symlink(&own, other.join("adrt")).unwrap();
        assert_eq!(look([&other, &ours]), None);
    }
}
