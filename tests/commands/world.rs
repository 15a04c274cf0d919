//! A state directory of its own for each test, and the real binary in it,
//! with an environment that holds nothing but what is said here.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::terminal;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(10);

/// A place with agents of its own.
pub struct World {
    dir: TempDir,
}

impl World {
    pub fn new() -> Self {
        Self { dir: TempDir::new().expect("temporary directory") }
    }

    /// A world in which the agents of these names have run, to no effect.
    pub fn with(agents: &[&str]) -> Self {
        let world = Self::new();
        for agent in agents {
            world.ok(&["run", "-n", agent, "--", "true"]);
        }
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes an executable file.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("directory");
        std::fs::write(&path, text).expect("script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
        path
    }

    /// adrt with these words, not started.
    pub fn adrt<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adrt"));
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("TZ", "UTC")
            .env("ADRT_STATE_DIR", self.path("state"))
            .env("ADRT_RUNTIME_DIR", self.path("run"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// What it printed; it must have succeeded, and said nothing on stderr
    /// (but `run` tells there what happens).
    pub fn ok<S: AsRef<OsStr>>(&self, words: &[S]) -> String {
        let output = output(&mut self.adrt(words));
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{complaint}");
        let is_run = words.first().is_some_and(|word| word.as_ref() == "run");
        assert!(is_run || complaint.is_empty(), "{complaint}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// What it printed as JSON.
    pub fn json<S: AsRef<OsStr>>(&self, words: &[S]) -> Value {
        let text = self.ok(words);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What it complained; it must have exited with that code.
    pub fn fails<S: AsRef<OsStr>>(&self, code: i32, words: &[S]) -> String {
        failed(code, &mut self.adrt(words))
    }

    /// Starts `adrt run` of an agent that does nothing until it is stopped.
    pub fn idle(&self, agent: &str) -> Running<'_> {
        self.run(agent, &["run", "-n", agent, "--", "sleep", "1000"], "running")
    }

    /// Starts `adrt run` and waits until the agent is in that phase.
    #[expect(clippy::disallowed_methods, reason = "the rule is for the agents of adrt itself")]
    pub fn run(&self, agent: &str, words: &[&str], phase: &str) -> Running<'_> {
        let mut command = self.adrt(words);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        let running = Running { world: self, agent: agent.to_owned(), child };
        until(&format!("{agent} is {phase}"), || {
            let seen = output(&mut self.adrt(&["status", agent, "--json"]));
            let status: Value = serde_json::from_slice(&seen.stdout).ok()?;
            (status["phase"] == phase).then_some(())
        });
        running
    }
}

/// An `adrt run` that ends with the test at the latest.
pub struct Running<'w> {
    world: &'w World,
    agent: String,
    child: Child,
}

impl Running<'_> {
    pub fn status(&self) -> Value {
        self.world.json(&["status", &self.agent, "--json"])
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit code, once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        until("adrt run ends", || self.child.try_wait().expect("waits")).code()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Its agent dies with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a condition.
#[expect(clippy::disallowed_methods, reason = "a test's own patience")]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(PAUSE);
    }
}

pub fn output(command: &mut Command) -> Output {
    command.output().expect("the binary runs")
}

/// What it complained; it must have exited with that code.
pub fn failed(code: i32, command: &mut Command) -> String {
    let output = output(command);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{complaint}{said}");
    assert!(!complaint.contains("panicked"), "{complaint}");
    complaint
}

/// That there are three lines: what, why, and what to do.
pub fn assert_three_lines(complaint: &str) {
    let lines: Vec<&str> = complaint.lines().collect();
    assert_eq!(lines.len(), 3, "{complaint}");
    assert!(lines[0].starts_with("adrt: "), "{complaint}");
    assert!(lines[1].starts_with("  why: "), "{complaint}");
    assert!(lines[2].starts_with("  try: "), "{complaint}");
}

/// What a command shows on a terminal until it ends; it must succeed.
pub fn shown(command: Command) -> String {
    let told = format!("{command:?}");
    let (mut child, screen) = terminal::start(command, false);
    let status = child.wait().expect("waits");
    let text = screen.text();
    assert!(status.success(), "{told}: {status}\n{text}");
    text
}

/// A stdout whose reader is gone already.
pub fn no_reader() -> io::Result<Stdio> {
    let (reader, writer) = io::pipe()?;
    drop(reader);
    Ok(writer.into())
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}
