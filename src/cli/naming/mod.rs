//! What an agent is called when nobody says: after its script.
//!
//! `python3 -u agent.py` is `agent`, `python3 -m pkg.mod` is `pkg.mod`,
//! `./collector` is `collector`; launchers (`env`, `uv run`, `poetry run` …)
//! are looked through. Code on the command line (`bash -c …`) has no name to
//! take, and neither has an interpreter by itself: those need `-n`.
//!
//! Pure: it looks at the words and at no file.

mod launchers;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The longest name, in bytes.
pub const NAME_MAX: usize = 64;

/// A name taken from a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name; keeps the rule of [`check`].
    pub name: String,
    /// What it was taken from.
    pub source: Source,
}

/// What a name was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, as it was written.
    Script(PathBuf),
    /// A Python module, found from the working directory first.
    Module(String),
    /// A command without a slash, to be found on PATH.
    Command(OsString),
}

/// Why no name could be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unnamed {
    /// The code is on the command line.
    Inline {
        /// The interpreter.
        program: String,
        /// The option that carries the code.
        option: String,
    },
    /// An interpreter or launcher with nothing to run.
    NoScript {
        /// The interpreter.
        program: String,
    },
    /// There is a stem, but it is no name.
    BadStem {
        /// As it is.
        stem: String,
        /// What is wrong with it.
        why: String,
        /// The nearest name.
        nearest: Option<String>,
    },
}

/// Whether the text may be an agent's name: a letter or digit, then letters,
/// digits, `.`, `_`, `-`; 64 at most. Such a name is safe as a directory.
///
/// # Errors
/// What is wrong with it.
pub fn check(name: &str) -> Result<(), String> {
    let mut chars = name.chars();
    match chars.next() {
        None => return Err("it is empty".to_owned()),
        Some(c) if !c.is_ascii_alphanumeric() => {
            return Err("it must begin with a letter or a digit".to_owned());
        }
        Some(_) => {}
    }
    if let Some(c) = chars.find(|&c| !is_name_char(c)) {
        return Err(format!("{c:?} is not allowed; letters, digits, \".\", \"_\" and \"-\" are"));
    }
    if name.len() > NAME_MAX {
        return Err(format!("it is longer than {NAME_MAX} characters"));
    }
    Ok(())
}

const fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// The name nearest to a text that is none, if anything of it can stay.
pub fn nearest(text: &str) -> Option<String> {
    let mut name: String = text.chars().map(|c| if is_name_char(c) { c } else { '-' }).collect();
    name.truncate(NAME_MAX);
    let name = name.trim_start_matches(['.', '_', '-']).trim_end_matches('-');
    check(name).is_ok().then(|| name.to_owned())
}

/// Takes a name from a command.
///
/// # Errors
/// See [`Unnamed`].
pub fn from_command(argv: &[OsString]) -> Result<Named, Unnamed> {
    let words: Vec<OsString> = launchers::strip(argv);
    let Some((program, rest)) = words.split_first() else {
        let program = argv.first().map(|word| base_name(word)).unwrap_or_default();
        return Err(Unnamed::NoScript { program });
    };
    let source = match launchers::interpreter(&base_name(program)) {
        Some(interpreter) => interpreter.find_script(&base_name(program), rest)?,
        None if program.as_encoded_bytes().contains(&b'/') => Source::Script(program.into()),
        None => Source::Command(program.clone()),
    };
    let stem = stem_of(&source);
    match check(&stem) {
        Ok(()) => Ok(Named { name: stem, source }),
        Err(why) => Err(Unnamed::BadStem { nearest: nearest(&stem), stem, why }),
    }
}

/// The absolute path that stands for the source, to tell two agents of one
/// name apart. For a module it is the place where Python looks first.
pub fn identity(source: &Source, cwd: &Path, path: &OsStr) -> Option<PathBuf> {
    match source {
        Source::Script(script) => Some(normal(&cwd.join(script))),
        Source::Module(module) => Some(cwd.join(module.replace('.', "/"))),
        Source::Command(command) => {
            std::env::split_paths(path).map(|dir| cwd.join(dir).join(command)).find(|p| p.is_file())
        }
    }
}

/// Removes `.` and resolves `..` by the words alone: `./a.py` and `x/../a.py`
/// are the same script. Links are not followed, so that a release switched by
/// a link stays the same agent.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => out.push(part),
        }
    }
    out
}

fn stem_of(source: &Source) -> String {
    /// What is taken off a file's name; any other ending belongs to the name.
    const ENDINGS: [&str; 20] = [
        "py", "pyw", "pyz", "sh", "bash", "zsh", "fish", "js", "mjs", "cjs", "ts", "mts", "rb",
        "pl", "php", "lua", "r", "R", "jar", "exe",
    ];
    match source {
        Source::Module(module) => module.strip_suffix(".__main__").unwrap_or(module).to_owned(),
        Source::Command(command) => command.to_string_lossy().into_owned(),
        Source::Script(script) => {
            // `pkg/__main__.py` is the program `pkg`.
            let script = match script.file_name() {
                Some(name) if name == "__main__.py" => script.parent().unwrap_or(script),
                _ => script,
            };
            let name = script.file_name().unwrap_or(script.as_os_str()).to_string_lossy();
            match name.rsplit_once('.') {
                Some((stem, ending)) if ENDINGS.contains(&ending) => stem.to_owned(),
                _ => name.into_owned(),
            }
        }
    }
}

/// The last component of a word.
fn base_name(word: &OsStr) -> String {
    Path::new(word).file_name().unwrap_or(word).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
