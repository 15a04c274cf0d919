//! The layers of the crate, kept by a test.
//!
//! Imports go one way (the crate's documentation draws the map), edge modules
//! do not know each other, and the pure folders touch no clock, no file, no
//! process and no runtime. Test code is exempt: it may look anything up.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may import of the crate.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("json", &[]),
    ("settings", &[]),
    ("typed", &[]),
    ("quiet", &[]),
    ("metrics", &["clock"]),
    ("engines", &["clock", "json"]),
    ("protocol", &["clock", "json", "engines"]),
    ("rules", &["engines", "protocol", "typed"]),
    ("supervisor", &["clock", "json", "engines", "protocol"]),
    ("store", &["clock", "json", "engines", "supervisor"]),
    ("process", &["clock", "supervisor", "quiet"]),
    ("signals", &[]),
    ("systemd", &["quiet"]),
    ("output", &["clock", "quiet"]),
    ("feed", &["supervisor", "quiet"]),
    ("sensors", &["clock", "engines", "quiet"]),
    (
        "runtime",
        &[
            "clock",
            "json",
            "engines",
            "protocol",
            "supervisor",
            "store",
            "process",
            "signals",
            "systemd",
            "output",
            "feed",
            "sensors",
            "rules",
            "typed",
            "quiet",
            "settings",
            "metrics",
        ],
    ),
    (
        "cli",
        &[
            "clock",
            "json",
            "engines",
            "protocol",
            "supervisor",
            "store",
            "sensors",
            "output",
            "settings",
            "rules",
            "typed",
            "runtime",
            "metrics",
        ],
    ),
];

/// Folders in which the machine and the engines live.
const PURE: &[&str] = &["json", "typed", "protocol", "engines", "rules", "supervisor", "metrics"];

/// What nothing pure may touch.
const IMPURE: &[&str] = &[
    "tokio::",
    "rusqlite::",
    "nix::",
    "libc::",
    "std::fs",
    "std::process",
    "std::net",
    "std::thread",
    "std::env",
    "Instant::now",
    "SystemTime::now",
    "clock::now(",
    "clock::mono(",
    "clock::wall(",
];

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every source file but those of tests: its top module, its path, its code.
fn sources() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let is_test = |path: &PathBuf| {
        path.components().any(|c| matches!(c.as_os_str().to_str(), Some("tests" | "tests.rs")))
    };
    files
        .into_iter()
        .filter(|path| !is_test(path))
        .map(|path| {
            let inside = path.strip_prefix(&src).unwrap().to_owned();
            let top = inside.components().next().unwrap().as_os_str().to_str().unwrap();
            let module = top.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap().to_owned();
            (module, inside, code)
        })
        .collect()
}

fn without_comments(code: &str) -> String {
    code.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// Modules of the crate named behind `crate::`, braces included.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !word.is_empty() {
            found.insert(word);
        } else if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0_i32;
            let mut name = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.insert(std::mem::take(&mut name));
                    }
                    c if depth == 0 && (c.is_alphanumeric() || c == '_') => name.push(c),
                    ':' if depth == 0 && !name.is_empty() => {
                        found.insert(name.clone());
                    }
                    _ => {}
                }
            }
            if !name.is_empty() {
                found.insert(name);
            }
        }
    }
    let known = MAY_IMPORT.iter().map(|(module, _)| *module);
    let known: BTreeSet<String> = known.map(str::to_owned).collect();
    found.intersection(&known).cloned().collect()
}

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for (module, path, code) in sources() {
        if module == "lib" || module == "main" {
            continue;
        }
        let allowed = MAY_IMPORT
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{} is in no layer: add it to the map", path.display()))
            .1;
        for import in imports(&without_comments(&code)) {
            if import != module && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{} imports {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the layers:\n{}", wrong.join("\n"));
}

#[test]
fn pure_folders_touch_nothing() {
    let mut wrong = Vec::new();
    for (module, path, code) in sources() {
        if !PURE.contains(&module.as_str()) {
            continue;
        }
        let code = without_comments(&code);
        for impure in IMPURE.iter().filter(|impure| code.contains(**impure)) {
            wrong.push(format!("{} uses {impure}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "not pure:\n{}", wrong.join("\n"));
}

#[test]
fn the_check_sees_what_it_is_for() {
    assert_eq!(imports("use crate::store::read;"), BTreeSet::from(["store".to_owned()]));
    let group = "use crate::{clock, store::{self, read}, supervisor::io};";
    let names = ["clock", "store", "supervisor"].map(str::to_owned);
    assert_eq!(imports(group), BTreeSet::from(names));
}
