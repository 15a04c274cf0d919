//! The Python client's tests, run by the machine's `python3` with nothing
//! installed: each module of `python/tests` is a test here.
//!
//! The tests of the bindings to frameworks need those: they are installed into
//! an environment below `target`, once; where that can't be done, those tests
//! are skipped and say so.
//!
//! `ADRT_TEST_PYTHON` names another interpreter, `ADRT_TEST_SEED` repeats a run.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What the bindings are for, and the test suite that LangGraph has for savers.
const FRAMEWORKS: &[&str] = &["langgraph", "langgraph-checkpoint-conformance", "openai-agents"];
/// Modules that are of no use without them.
const NEED_FRAMEWORKS: &[&str] = &["test_langgraph", "test_openai_agents", "test_work"];

macro_rules! modules {
    ($($name:ident)*) => {
        const MODULES: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*
    };
}

modules! {
    test_adrt test_article test_attach test_client_engines test_clients test_delivery test_engines
    test_engines_under_adrt test_events test_examples test_hazards test_heartbeats test_langgraph
    test_openai_agents test_package test_reviews test_scenes test_state test_steps test_testing test_timers test_wire test_work
}

#[test]
fn no_module_is_left_out() {
    let entries = fs::read_dir(python_dir().join("tests")).expect("python/tests is there");
    let there: BTreeSet<String> = entries
        .map(|entry| entry.expect("an entry can be read").file_name())
        .filter_map(|name| Some(name.to_str()?.strip_suffix(".py")?.to_owned()))
        .filter(|name| name.starts_with("test_"))
        .collect();
    assert_eq!(there, MODULES.iter().map(|name| (*name).to_owned()).collect());
}

fn run(module: &str) {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let python = if NEED_FRAMEWORKS.contains(&module) { with_frameworks() } else { python() };
    let mut command = Command::new(&python);
    // Above all no PYTHONUNBUFFERED: adrt sets it for the agent, and a test
    // that has it anyway would not see if it didn't.
    command
        .args(["-W", "error", "-B", "-m", "unittest", module])
        .current_dir(python_dir().join("tests"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .env("LANG", "C.UTF-8")
        .env("PYTHONPATH", python_dir())
        .env("ADRT_BIN", env!("CARGO_BIN_EXE_adrt"));
    for name in ["ADRT_TEST_SEED", "PYENV_VERSION", "PYENV_ROOT"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let output = command.output().unwrap_or_else(|error| panic!("{python} can't be run: {error}"));
    assert!(
        output.status.success(),
        "{python} -m unittest {module}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn python() -> String {
    std::env::var("ADRT_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// A Python that has the frameworks, or the usual one where they can't be had.
fn with_frameworks() -> String {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("frameworks");
        let (inside, done) = (place.join("bin/python"), place.join("installed"));
        // The mark is made last: an installation that was cut short is made anew.
        if !done.exists() {
            let run = |command: &mut Command| command.status().is_ok_and(|status| status.success());
            let _not_there = fs::remove_dir_all(&place);
            let installed = run(Command::new(python()).args(["-m", "venv"]).arg(&place))
                && run(Command::new(&inside)
                    .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                    .args(FRAMEWORKS));
            if !installed || fs::write(&done, "").is_err() {
                eprintln!("the frameworks can't be installed: their tests are skipped");
                return None;
            }
        }
        Some(inside)
    });
    made.as_ref().map_or_else(python, |inside| inside.display().to_string())
}

fn python_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}
