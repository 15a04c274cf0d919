//! What is to be executed: laid out before the child exists, and explained
//! after it could not be.
//!
//! Between its birth and `execve` a child may not allocate, so every string
//! is made here: the arguments, the environment, and each path that the
//! command's name may stand for. The rules are those of execvp(3) with the
//! `PATH` of the child's environment, with one exception: a file without a
//! format that the kernel knows is an error, never handed to a shell.

use std::ffi::{CString, OsStr, OsString, c_char};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::ptr;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use super::child::{Failed, Step};
use crate::supervisor::io::SpawnFailure;

/// Where commands are looked for when the environment has no `PATH`, as in
/// the C libraries.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// As much of a script's first line as the kernel looks at.
const SHEBANG_BYTES: usize = 256;

/// Strings in the form `execve` takes: an array of pointers, ended by null.
pub(super) struct CStrings {
    /// Owns what `pointers` points to.
    strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl CStrings {
    fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|text| text.as_ptr()).collect();
        pointers.push(ptr::null());
        Self { strings, pointers }
    }

    /// Valid as long as `self` is.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// Everything `execve` and `chdir` need.
pub(super) struct Image {
    /// The paths to try, in order.
    pub(super) candidates: CStrings,
    pub(super) argv: CStrings,
    pub(super) env: CStrings,
    pub(super) cwd: Option<CString>,
    name: OsString,
    /// The `PATH` that was searched; `None` for a name with a slash in it.
    searched: Option<OsString>,
}

impl Image {
    /// Lays out a command.
    ///
    /// # Errors
    /// There is no command, or a string contains a NUL byte, which no program
    /// can be given.
    pub(super) fn new(
        argv: Vec<OsString>,
        env: Vec<(OsString, OsString)>,
        cwd: Option<PathBuf>,
    ) -> Result<Self, SpawnFailure> {
        let Some(name) = argv.first().cloned() else {
            return Err(SpawnFailure::NotFound("there is no command to run".to_owned()));
        };
        let searched = (!name.as_bytes().contains(&b'/')).then(|| path_of(&env));
        let candidates = match &searched {
            None => vec![c_string(name.clone(), "the command")?],
            Some(path) => candidates(&name, path)?,
        };
        let argv = argv.into_iter().map(|text| c_string(text, "an argument"));
        let env = env.into_iter().map(|(key, value)| {
            let mut pair = key;
            pair.push("=");
            pair.push(value);
            c_string(pair, "the environment")
        });
        Ok(Self {
            candidates: CStrings::new(candidates),
            argv: CStrings::new(argv.collect::<Result<_, _>>()?),
            env: CStrings::new(env.collect::<Result<_, _>>()?),
            cwd: match cwd {
                Some(path) => Some(c_string(path.into_os_string(), "the working directory")?),
                None => None,
            },
            name,
            searched,
        })
    }

    /// What a failure in the child means: the sentence says what happened,
    /// why, and what to do.
    pub(super) fn explain(&self, failed: Failed) -> SpawnFailure {
        let errno = Errno::from_raw(failed.errno);
        let name = self.name.display();
        match failed.step {
            Step::Exec => self.explain_exec(errno),
            Step::Chdir => SpawnFailure::NotExecutable(format!(
                "{name} was not started: the working directory {} can't be entered: {}",
                self.cwd.as_deref().unwrap_or_default().to_string_lossy(),
                errno.desc()
            )),
            Step::Orphaned => SpawnFailure::System(format!(
                "{name} was not started: adrt's spawning thread ended meanwhile"
            )),
            Step::Enter => SpawnFailure::System(format!(
                "{name} was not started: it could not enter its control group: {}",
                errno.desc()
            )),
            Step::Prepare => SpawnFailure::System(format!(
                "{name} was not started: the system refused to set the process up: {}",
                errno.desc()
            )),
        }
    }

    /// Whether executing it is bound to fail, as far as a look can tell.
    ///
    /// # Errors
    /// There is no such command, or it may not be executed.
    pub(super) fn foresee(&self) -> Result<(), SpawnFailure> {
        match self.existing() {
            None => Err(self.explain_exec(Errno::ENOENT)),
            Some(file) if file.is_dir() || access(&file, AccessFlags::X_OK).is_err() => {
                Err(self.explain_exec(Errno::EACCES))
            }
            Some(_) => Ok(()),
        }
    }

    fn explain_exec(&self, errno: Errno) -> SpawnFailure {
        let name = self.name.display();
        let found = self.existing();
        match (errno, found) {
            (Errno::ENOENT | Errno::ENOTDIR, None) => SpawnFailure::NotFound(self.not_found()),
            (Errno::ENOENT | Errno::ENOTDIR, Some(file)) => {
                SpawnFailure::NotExecutable(missing_interpreter(&file))
            }
            (Errno::EACCES, Some(file)) if file.is_dir() => {
                SpawnFailure::NotExecutable(format!("{} is a directory", file.display()))
            }
            (Errno::EACCES | Errno::EPERM, file) => SpawnFailure::NotExecutable(format!(
                "{} may not be executed: {}; check its mode (chmod +x), the directories above \
                 it, and whether its file system is mounted noexec",
                file.as_deref().unwrap_or(Path::new(&self.name)).display(),
                errno.desc()
            )),
            (Errno::ENOEXEC, file) => SpawnFailure::NotExecutable(format!(
                "{} is neither a program for this machine nor a script with a #! line; run it \
                 through its interpreter, as in: python3 agent.py",
                file.as_deref().unwrap_or(Path::new(&self.name)).display()
            )),
            (Errno::ELOOP | Errno::ENAMETOOLONG | Errno::EINVAL | Errno::ELIBBAD, _) => {
                SpawnFailure::NotExecutable(format!("{name} can't be executed: {}", errno.desc()))
            }
            (_, _) => SpawnFailure::System(format!(
                "{name} could not be started: the system says: {}",
                errno.desc()
            )),
        }
    }

    fn not_found(&self) -> String {
        let name = self.name.display();
        match &self.searched {
            Some(_) if self.name.is_empty() => "the command is an empty string".to_owned(),
            Some(_) => format!("{name} is not in the agent's PATH; install it or give its path"),
            None => format!("there is no file {name}; check the path"),
        }
    }

    /// The first candidate that is there, as the child would have seen it.
    fn existing(&self) -> Option<PathBuf> {
        let cwd = self.cwd.as_ref().map(|cwd| Path::new(OsStr::from_bytes(cwd.to_bytes())));
        self.candidates.strings.iter().find_map(|candidate| {
            let path = Path::new(OsStr::from_bytes(candidate.to_bytes()));
            let path = cwd.map_or_else(|| path.to_owned(), |cwd| cwd.join(path));
            fs::metadata(&path).is_ok().then_some(path)
        })
    }
}

/// The `PATH` the child will have.
fn path_of(env: &[(OsString, OsString)]) -> OsString {
    env.iter()
        .find(|(key, _)| key == "PATH")
        .map_or_else(|| OsString::from(DEFAULT_PATH), |(_, value)| value.clone())
}

/// The paths a name without a slash may stand for. An empty element of `PATH`
/// is the working directory.
fn candidates(name: &OsStr, path: &OsStr) -> Result<Vec<CString>, SpawnFailure> {
    let directories = path.as_bytes().split(|byte| *byte == b':');
    let joined = directories.filter(|_| !name.is_empty()).map(|directory| {
        let mut bytes = directory.to_vec();
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name.as_bytes());
        c_string(OsString::from_vec(bytes), "the command")
    });
    joined.collect()
}

fn c_string(text: OsString, what: &str) -> Result<CString, SpawnFailure> {
    CString::new(text.into_vec()).map_err(|error| {
        let before = String::from_utf8_lossy(&error.into_vec()).replace('\0', "\\0");
        SpawnFailure::NotExecutable(format!(
            "{what} contains a NUL byte, which no program can be given: {before}"
        ))
    })
}

/// Why a file that is there is told as "no such file": what is missing is the
/// program that is to run it.
fn missing_interpreter(file: &Path) -> String {
    let name = file.display();
    match shebang(file) {
        Some(interpreter) => format!(
            "{name} can't be executed: its first line asks for {}, which is not there; install \
             it or mend that line",
            interpreter.display()
        ),
        None => format!(
            "{name} can't be executed: the loader or interpreter it was built for is not on \
             this machine"
        ),
    }
}

/// The interpreter that a script's first line names. A carriage return at its
/// end, which editors on other systems leave, is shown, not hidden.
fn shebang(file: &Path) -> Option<OsString> {
    let mut start = Vec::new();
    let limit = u64::try_from(SHEBANG_BYTES).unwrap_or(u64::MAX);
    File::open(file).ok()?.take(limit).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let word = line.split(blank).find(|word| !word.is_empty())?;
    Some(OsString::from(String::from_utf8_lossy(word).replace('\r', "\\r")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn image(name: &str, path: Option<&str>) -> Image {
        let env = path.map(|path| ("PATH".into(), path.into())).into_iter().collect();
        Image::new(vec![name.into()], env, None).unwrap()
    }

    fn shown(image: &Image) -> Vec<String> {
        let text = |candidate: &CString| candidate.to_string_lossy().into_owned();
        image.candidates.strings.iter().map(text).collect()
    }

    fn why(image: &Image, errno: Errno) -> SpawnFailure {
        image.explain(Failed { step: Step::Exec, errno: errno as i32 })
    }

    #[test]
    fn names_are_looked_for_as_execvp_does() {
        assert_eq!(
            shown(&image("ls", Some("/a:/b/::c:"))),
            ["/a/ls", "/b//ls", "ls", "c/ls", "ls"]
        );
        assert_eq!(shown(&image("ls", None)), ["/bin/ls", "/usr/bin/ls"]);
        assert_eq!(shown(&image("./ls", Some("/a"))), ["./ls"]);
        assert_eq!(shown(&image("", Some("/a"))), [""; 0]);
    }

    #[test]
    fn a_nul_byte_is_refused_by_name() {
        let refused = Image::new(vec!["a".into(), "b\0c".into()], Vec::new(), None);
        let Err(SpawnFailure::NotExecutable(why)) = refused else { panic!("taken") };
        assert!(why.contains("an argument") && why.contains("b\\0c"), "{why}");
    }

    #[test]
    fn a_missing_interpreter_is_not_a_missing_command() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("agent.py");
        fs::write(&script, "#! /opt/no/python3 -u\nprint()\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let image = image(script.to_str().unwrap(), None);
        let SpawnFailure::NotExecutable(why) = why(&image, Errno::ENOENT) else { panic!() };
        assert!(why.contains("/opt/no/python3,"), "{why}");
    }

    #[test]
    fn kinds_follow_the_errno() {
        let gone = image("/no/such/file", None);
        assert!(matches!(why(&gone, Errno::ENOENT), SpawnFailure::NotFound(_)));
        assert!(matches!(why(&gone, Errno::ENOTDIR), SpawnFailure::NotFound(_)));
        let there = image("/etc/passwd", None);
        for errno in [Errno::EACCES, Errno::ENOEXEC, Errno::EPERM, Errno::ELOOP] {
            assert!(matches!(why(&there, errno), SpawnFailure::NotExecutable(_)), "{errno}");
        }
        for errno in [Errno::ENOMEM, Errno::EAGAIN, Errno::EMFILE, Errno::E2BIG, Errno::ETXTBSY] {
            assert!(matches!(why(&there, errno), SpawnFailure::System(_)), "{errno}");
        }
        let SpawnFailure::NotExecutable(text) = why(&image("/etc", None), Errno::EACCES) else {
            panic!()
        };
        assert_eq!(text, "/etc is a directory");
    }
}
