//! The real binary in a world of its own.
//!
//! A [`World`] is a temporary directory with a state directory, a runtime
//! directory and a home in it. Commands see nothing of the environment of the
//! tests but `PATH`. Whatever was started in a world, by whomever, carries the
//! world's mark in its environment and is killed when the world is dropped.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use tempfile::TempDir;

#[expect(dead_code, reason = "tests of the parts use the rest")]
pub mod cgroup;
pub mod process;
pub mod puppet;
pub mod terminal;

pub use cgroup::Cgroup;
pub use process::{Done, Run, kill, wait_for};
pub use puppet::{Puppet, Puppets};

/// How long a condition may take to come true on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Names the world a process belongs to.
const MARK: &str = "ADRT_TEST_WORLD";

/// See the module.
pub struct World {
    dir: TempDir,
    adrt: PathBuf,
}

impl World {
    pub fn new() -> Self {
        Self::around(&binary())
    }

    /// With another adrt than the one of these tests.
    pub fn around(adrt: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("adrt-").tempdir().unwrap();
        for name in ["state", "run", "home"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir, adrt: adrt.to_owned() }
    }

    /// A place in the world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where agents live.
    pub fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// A file with this content.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// An executable shell script.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.file(name, format!("#!/bin/sh\n{body}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Any program, in the world's environment.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        usual_signals();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TZ", "UTC")
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("ADRT_RUNTIME_DIR", self.path("run"))
            .env("ADRT_STATE_DIR", self.state_dir())
            // How busy this machine is must not be told in the midst of a test.
            .env("ADRT_SENSORS_EVERY", "0")
            .env(MARK, self.dir.path())
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// adrt with these arguments.
    pub fn adrt<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.program(&self.adrt);
        command.args(args);
        command
    }

    /// `adrt run` of an agent called `a`.
    pub fn run_command<S: AsRef<OsStr>>(
        &self,
        options: &[&str],
        argv: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = self.adrt(["run", "-n", "a"]);
        command.args(options).arg("--").args(argv);
        command
    }

    /// Starts it.
    pub fn run<S: AsRef<OsStr>>(&self, options: &[&str], argv: impl IntoIterator<Item = S>) -> Run {
        Run::start(self.run_command(options, argv))
    }

    /// Starts it over a shell script.
    pub fn run_shell(&self, options: &[&str], script: &str) -> Run {
        self.run(options, ["/bin/sh", "-c", script])
    }

    /// Runs a command of adrt's to its end.
    pub fn done<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Done {
        Done::of(self.adrt(args))
    }

    /// What a command prints as JSON; it must succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        let done = self.done(args);
        assert_eq!(done.code, Some(0), "adrt {args:?}: {done:?}");
        serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {done:?}"))
    }

    /// `adrt status --json` of `a`.
    pub fn status(&self) -> Value {
        self.json(&["status", "a", "--json"])
    }

    /// `adrt state show --json` of `a`: version and state.
    pub fn state(&self) -> (u64, Value) {
        let shown = self.json(&["state", "show", "a", "--json"]);
        (shown["version"].as_u64().unwrap(), shown["state"].clone())
    }

    /// The ends of `a`'s incarnations, oldest first.
    pub fn ends(&self) -> Vec<Value> {
        let rows = self.json(&["crashes", "list", "a", "--all", "--json", "--limit", "1000"]);
        let mut rows = rows.as_array().unwrap().clone();
        rows.reverse();
        rows
    }

    /// The crashes among them, as far as there is an agent yet.
    pub fn crash_list(&self) -> Vec<Value> {
        let done = self.done(["crashes", "list", "a", "--json", "--limit", "1000"]);
        serde_json::from_slice(&done.stdout).unwrap_or_default()
    }

    /// Waits until `a` is in this phase.
    pub fn wait_for_phase(&self, phase: &str) -> Value {
        wait_for(&format!("the phase {phase}"), || {
            let done = self.done(["status", "a", "--json"]);
            let status: Value = serde_json::from_slice(&done.stdout).ok()?;
            (status["phase"] == phase).then_some(status)
        })
    }

    /// Agents that are told what to do.
    pub fn puppets(&self) -> Puppets {
        let mut names = (0..).map(|n| self.path(&format!("puppets-{n}")));
        Puppets::new(&names.find(|path| !path.exists()).unwrap())
    }

    /// What was started in it and is there yet.
    pub fn processes(&self) -> Vec<i32> {
        process::with_environment(MARK, self.dir.path())
    }

    /// Waits until nothing that was started in it is alive.
    pub fn wait_empty(&self) {
        wait_for("all processes to be gone", || self.processes().is_empty().then_some(()));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // One may start another while it is being killed.
        while let found @ [_, ..] = self.processes().as_slice() {
            found.iter().for_each(|pid| kill(*pid, 9));
            std::thread::sleep(process::GLANCE);
        }
    }
}

/// Puts an empty disk of that size (`2m`) there, for this thread and its
/// children alone: it goes with them.
pub fn small_disk(at: &Path, size: &str) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(&*format!("size={size}")))
}

/// The adrt that is tested: the one that was built with the tests, or another
/// build of it, `ADRT_TEST_BINARY`.
pub fn binary() -> PathBuf {
    let given = std::env::var_os("ADRT_TEST_BINARY");
    given.unwrap_or_else(|| env!("CARGO_BIN_EXE_adrt").into()).into()
}

/// The interpreter itself: `python3` may be a launcher that costs more than it.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let asked = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .expect("the tests need python3");
        PathBuf::from(String::from_utf8(asked.stdout).unwrap().trim())
    })
}

/// The command line of a Python script, without what it does not need.
pub fn python_script(script: impl AsRef<Path>) -> Vec<OsString> {
    vec![python().into(), "-SE".into(), script.as_ref().into()]
}

/// A file beside the tests.
pub fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// However the tests were started (nohup, in the background of a shell): what
/// they start is to be interruptible.
fn usual_signals() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        for number in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
            // SAFETY: the default disposition runs no code of ours.
            unsafe { signal(number, SigHandler::SigDfl) }.expect("a disposition can be set");
        }
    });
}
