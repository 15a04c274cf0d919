//! Which commands start something else, and how their own options are told
//! from what they start.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Source, Unnamed, base_name};

/// How deep launchers may be stacked (`env nice uv run …`).
const LAUNCHERS_MAX: usize = 8;

/// A command that runs the rest of its words.
struct Launcher {
    /// Its first words.
    words: &'static [&'static str],
    /// Its options that take the next word.
    valued: &'static [&'static str],
    /// `NAME=value` words come before the command.
    assignments: bool,
}

const LAUNCHERS: &[Launcher] = &[
    Launcher { words: &["env"], valued: &["-u", "--unset", "-C", "--chdir"], assignments: true },
    Launcher {
        words: &["uv", "run"],
        valued: &[
            "--with",
            "--with-editable",
            "--with-requirements",
            "-p",
            "--python",
            "--project",
            "--directory",
            "--env-file",
            "--extra",
            "--group",
            "--only-group",
            "--no-group",
            "--package",
            "--index",
            "--index-url",
            "-i",
            "--extra-index-url",
            "--find-links",
            "-f",
            "--config-file",
            "--cache-dir",
            "--refresh-package",
            "--python-platform",
            "-w",
        ],
        assignments: false,
    },
    Launcher {
        words: &["poetry", "run"],
        valued: &["-P", "--project", "-C", "--directory"],
        assignments: false,
    },
    Launcher { words: &["pdm", "run"], valued: &["-p", "--project"], assignments: false },
    Launcher { words: &["pipenv", "run"], valued: &[], assignments: false },
    Launcher { words: &["rye", "run"], valued: &["--pyproject"], assignments: false },
    Launcher { words: &["nice"], valued: &["-n", "--adjustment"], assignments: false },
    Launcher {
        words: &["ionice"],
        valued: &["-c", "--class", "-n", "--classdata"],
        assignments: false,
    },
    Launcher {
        words: &["stdbuf"],
        valued: &["-i", "--input", "-o", "--output", "-e", "--error"],
        assignments: false,
    },
    Launcher { words: &["nohup"], valued: &[], assignments: false },
    Launcher { words: &["setsid"], valued: &[], assignments: false },
];

/// Drops launchers from the front.
pub(super) fn strip(argv: &[OsString]) -> Vec<OsString> {
    let mut words = argv.to_vec();
    for _ in 0..LAUNCHERS_MAX {
        let Some(rest) = strip_one(&words) else { break };
        words = rest;
    }
    words
}

fn strip_one(words: &[OsString]) -> Option<Vec<OsString>> {
    let program = base_name(words.first()?);
    let launcher = LAUNCHERS.iter().find(|launcher| launcher.words[0] == program)?;
    let mut at = 1;
    // Options may stand between `uv` and `run`.
    if let Some(second) = launcher.words.get(1) {
        at = skip_options(words, at, launcher.valued);
        if words.get(at)? != second {
            return None;
        }
        at += 1;
    }
    while let Some(word) = words.get(at) {
        let text = word.to_string_lossy();
        if let Some(command) = split_string(launcher, words, at) {
            return Some(command);
        }
        // `uv run -m mod` is `python -m mod`.
        if program == "uv" && matches!(&*text, "-m" | "--module") {
            return Some([&[OsString::from("python"), "-m".into()], &words[at + 1..]].concat());
        }
        let next = skip_options(words, at, launcher.valued);
        if next != at {
            at = next;
            if words.get(at - 1).is_some_and(|word| word == "--") {
                break;
            }
        } else if launcher.assignments && text.contains('=') {
            at += 1;
        } else {
            break;
        }
    }
    let mut rest: Vec<OsString> = words.get(at..)?.to_vec();
    // `uv run agent.py` runs the script itself.
    if program == "uv" && rest.first().is_some_and(|word| word.to_string_lossy().ends_with(".py")) {
        rest.insert(0, "python".into());
    }
    Some(rest)
}

/// `env -S 'python3 -u x.py'`: the words are inside one.
fn split_string(launcher: &Launcher, words: &[OsString], at: usize) -> Option<Vec<OsString>> {
    if launcher.words[0] != "env" {
        return None;
    }
    let text = words.get(at)?.to_string_lossy();
    let (inside, after) = if matches!(&*text, "-S" | "--split-string") {
        (words.get(at + 1)?.to_string_lossy().into_owned(), at + 2)
    } else if let Some(inside) = text.strip_prefix("--split-string=") {
        (inside.to_owned(), at + 1)
    } else if let Some(inside) = text.strip_prefix("-S") {
        (inside.to_owned(), at + 1)
    } else {
        return None;
    };
    let mut out = vec![OsString::from("env")];
    out.extend(inside.split_whitespace().map(|word| word.trim_matches(['\'', '"']).into()));
    out.extend(words.get(after..).unwrap_or_default().iter().cloned());
    Some(out)
}

/// The first place at or after `at` that is no option, and no option's value.
fn skip_options(words: &[OsString], mut at: usize, valued: &[&str]) -> usize {
    while let Some(word) = words.get(at) {
        let text = word.to_string_lossy();
        if text == "--" {
            return at + 1;
        }
        // `env -` is `env -i`.
        if !text.starts_with('-') {
            break;
        }
        at += if valued.contains(&&*text) { 2 } else { 1 };
    }
    at.min(words.len())
}

/// A program that runs the script named on its command line.
pub(super) struct Interpreter {
    /// Options that take the next word.
    valued: &'static [&'static str],
    /// Options that carry code.
    code: &'static [&'static str],
    /// Options whose value is the script (`java -jar`).
    script: &'static [&'static str],
    /// Words between the program and the script (`deno run`).
    subcommand: Option<&'static str>,
    /// Short options may be joined (`-um mod`), and `-m` names a module.
    python: bool,
}

const PLAIN: Interpreter =
    Interpreter { valued: &[], code: &[], script: &[], subcommand: None, python: false };
const PYTHON: Interpreter = Interpreter {
    valued: &["-W", "-X", "-Q", "--check-hash-based-pycs"],
    code: &["-c"],
    python: true,
    ..PLAIN
};
const SHELL: Interpreter = Interpreter { valued: &["-o", "-O"], code: &["-c"], ..PLAIN };
const NODE: Interpreter = Interpreter {
    valued: &[
        "-r",
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "-C",
        "--conditions",
    ],
    code: &["-e", "--eval", "-p", "--print"],
    ..PLAIN
};
const DENO: Interpreter =
    Interpreter { valued: &["-c", "--config", "--import-map"], subcommand: Some("run"), ..PLAIN };
const BUN: Interpreter =
    Interpreter { code: &["-e", "--eval"], subcommand: Some("run"), valued: &["-r"], ..PLAIN };
const RUBY: Interpreter = Interpreter { valued: &["-I", "-r", "-C", "-E"], code: &["-e"], ..PLAIN };
const PERL: Interpreter = Interpreter { valued: &["-I"], code: &["-e", "-E"], ..PLAIN };
const PHP: Interpreter =
    Interpreter { valued: &["-d", "-c"], code: &["-r"], script: &["-f"], ..PLAIN };
const LUA: Interpreter = Interpreter { valued: &["-l"], code: &["-e"], ..PLAIN };
const RSCRIPT: Interpreter = Interpreter { code: &["-e"], ..PLAIN };
const JAVA: Interpreter =
    Interpreter { valued: &["-cp", "-classpath", "--class-path"], script: &["-jar"], ..PLAIN };

/// The interpreter of that name, versions (`python3.11`) looked through.
pub(super) fn interpreter(program: &str) -> Option<&'static Interpreter> {
    let bare = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    match bare {
        "python" | "pythonw" | "pypy" | "ipython" | "micropython" => Some(&PYTHON),
        "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh" | "fish" | "busybox" => Some(&SHELL),
        "node" | "nodejs" => Some(&NODE),
        "deno" => Some(&DENO),
        "bun" => Some(&BUN),
        "ruby" => Some(&RUBY),
        "perl" => Some(&PERL),
        "php" => Some(&PHP),
        "lua" | "luajit" => Some(&LUA),
        "Rscript" => Some(&RSCRIPT),
        "java" => Some(&JAVA),
        _ => None,
    }
}

impl Interpreter {
    /// Finds the script among the interpreter's words.
    pub(super) fn find_script(&self, program: &str, words: &[OsString]) -> Result<Source, Unnamed> {
        let mut words = words.iter();
        let mut subcommand = self.subcommand;
        while let Some(word) = words.next() {
            let text = word.to_string_lossy();
            if subcommand.is_some_and(|name| name == text) {
                subcommand = None;
                continue;
            }
            if text == "-" {
                break;
            }
            if text == "--" {
                return words.next().map_or_else(|| no_script(program), script);
            }
            if !text.starts_with('-') {
                return script(word);
            }
            if self.script.contains(&&*text) {
                return words.next().map_or_else(|| no_script(program), script);
            }
            match self.option(&text) {
                Meaning::Alone => {}
                Meaning::TakesNext => {
                    words.next();
                }
                Meaning::Code => {
                    let (program, option) = (program.to_owned(), text.into_owned());
                    return Err(Unnamed::Inline { program, option });
                }
                Meaning::Module(attached) => {
                    let module = if attached.is_empty() {
                        words.next().map(|word| word.to_string_lossy().into_owned())
                    } else {
                        Some(attached.to_owned())
                    };
                    return module.map_or_else(|| no_script(program), |m| Ok(Source::Module(m)));
                }
            }
        }
        no_script(program)
    }

    fn option<'t>(&self, text: &'t str) -> Meaning<'t> {
        if self.code.iter().any(|code| *code == text || is_long(code, text)) {
            return Meaning::Code;
        }
        if self.valued.contains(&text) {
            return Meaning::TakesNext;
        }
        if text.starts_with("--") {
            return Meaning::Alone;
        }
        // Joined short options: `-lc`, `-um mod`, `-Xdev`, `-uX dev`.
        for (at, c) in text.char_indices().skip(1) {
            let short = format!("-{c}");
            let after = &text[at + c.len_utf8()..];
            if self.python && c == 'm' {
                return Meaning::Module(after);
            }
            if self.code.contains(&short.as_str()) {
                return Meaning::Code;
            }
            if self.valued.contains(&short.as_str()) {
                return if after.is_empty() { Meaning::TakesNext } else { Meaning::Alone };
            }
        }
        Meaning::Alone
    }
}

/// Whether `text` is `code` with a value: `--eval=…`.
fn is_long(code: &str, text: &str) -> bool {
    code.starts_with("--") && text.strip_prefix(code).is_some_and(|rest| rest.starts_with('='))
}

enum Meaning<'t> {
    Alone,
    TakesNext,
    Code,
    Module(&'t str),
}

fn script(word: &OsString) -> Result<Source, Unnamed> {
    Ok(Source::Script(PathBuf::from(word)))
}

fn no_script(program: &str) -> Result<Source, Unnamed> {
    Err(Unnamed::NoScript { program: program.to_owned() })
}
