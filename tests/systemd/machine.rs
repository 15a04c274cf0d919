//! A machine with a systemd of its own. `boot.sh` makes it and takes it away
//! again; it lives as long as somebody in this process holds it, and not
//! longer than the process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Done, Run, beside, wait_for};

/// Tests that run at the same time share one.
static SHARED: Mutex<Weak<Machine>> = Mutex::new(Weak::new());

/// See the module.
pub struct Machine {
    holder: Child,
    pid1: String,
    _dir: TempDir,
}

/// The machine; none, once it has been said why, where there can be none.
pub fn machine() -> Option<Arc<Machine>> {
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(machine) = shared.upgrade() {
        return Some(machine);
    }
    let machine = Arc::new(own_machine()?);
    *shared = Arc::downgrade(&machine);
    Some(machine)
}

/// One that no other test has.
pub fn own_machine() -> Option<Machine> {
    Machine::boot().map_err(|why| skipped(&format!("under systemd: {why}"))).ok()
}

/// Says so past the capture of the tests' output, of which only failures show.
pub fn skipped(why: &str) {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}

impl Machine {
    #[expect(clippy::disallowed_methods, reason = "tests start processes from outside")]
    fn boot() -> Result<Self, String> {
        let dir = tempfile::Builder::new().prefix("adrt-systemd-").tempdir().unwrap();
        let name = dir.path().file_name().unwrap().to_owned();
        let mut command = Command::new("bash");
        command.arg(beside("systemd/boot.sh")).arg(dir.path()).arg(name);
        command.arg(env!("CARGO_BIN_EXE_adrt"));
        command.arg(beside("../systemd/adrt.sysusers"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = command.spawn().map_err(|error| format!("bash: {error}"))?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match line.trim().strip_prefix("booted ") {
            Some(pid1) => Ok(Self { holder, pid1: pid1.to_owned(), _dir: dir }),
            None => {
                drop(holder.stdin.take());
                holder.wait().unwrap();
                Err(line.trim().trim_start_matches("skipped: ").to_owned())
            }
        }
    }

    /// A command inside, as root, with nothing in its environment but `PATH`.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid1, "-p", "-m", "-u", "-i", "-C", "-n", "--"]).args(words);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, words: &[&str]) -> Done {
        Done::of(self.command(words))
    }

    /// Starts it.
    pub fn start(&self, words: &[&str]) -> Run {
        Run::start(self.command(words))
    }

    /// What it prints; it must succeed.
    pub fn ok(&self, words: &[&str]) -> String {
        let done = self.run(words);
        assert_eq!(done.code, Some(0), "{words:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// The same as JSON.
    pub fn json(&self, words: &[&str]) -> Value {
        let text = self.ok(words);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"))
    }

    /// The path from outside of one inside.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid1))
    }

    /// A file for all to read.
    pub fn write(&self, path: &str, text: &str) {
        let outside = self.path(path);
        std::fs::create_dir_all(outside.parent().unwrap()).unwrap();
        std::fs::write(&outside, text).unwrap();
        std::fs::set_permissions(&outside, std::fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// Puts a Python agent in its place, and the unit that `adrt systemd unit`
    /// prints for it with these options; says what was said on stderr.
    pub fn install(&self, name: &str, options: &[&str], agent: &str) -> String {
        let script = format!("/opt/{name}/agent.py");
        self.write(&script, agent);
        self.install_command(name, options, &["/usr/bin/python3", &script])
    }

    /// The same for any command.
    pub fn install_command(&self, name: &str, options: &[&str], argv: &[&str]) -> String {
        let mut words = vec!["adrt", "systemd", "unit", name];
        words.extend(options);
        words.push("--");
        words.extend(argv);
        let done = self.run(&words);
        assert_eq!(done.code, Some(0), "{done:?}");
        let unit = String::from_utf8(done.stdout).unwrap();
        self.write(&format!("/etc/systemd/system/adrt-{name}.service"), &unit);
        self.ok(&["systemctl", "daemon-reload"]);
        done.stderr
    }

    /// Adds to a unit, as `systemctl edit` does.
    pub fn edit(&self, unit: &str, text: &str) {
        self.write(&format!("/etc/systemd/system/{unit}.service.d/test.conf"), text);
        self.ok(&["systemctl", "daemon-reload"]);
    }

    /// A property of a unit.
    pub fn show(&self, unit: &str, property: &str) -> String {
        let text = self.ok(&["systemctl", "show", "-P", property, unit]);
        text.trim_end().to_owned()
    }

    /// Waits until a unit's property has this value.
    pub fn wait_for(&self, unit: &str, property: &str, value: &str) {
        wait_for(&format!("{unit}: {property}={value}"), || {
            (self.show(unit, property) == value).then_some(())
        });
    }

    /// `adrt status` of an agent, once it says this.
    pub fn wait_for_status(&self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        wait_for(&format!("a status of {name}"), || {
            let done = self.run(&["adrt", "status", name, "--json"]);
            let status: Value = serde_json::from_slice(&done.stdout).ok()?;
            holds(&status).then_some(status)
        })
    }

    /// A value of an agent's state, once it is there.
    pub fn state(&self, name: &str, path: &str) -> Value {
        wait_for(&format!("{path} of {name}"), || {
            let done = self.run(&["adrt", "state", "get", name, path, "--json"]);
            serde_json::from_slice(&done.stdout).ok()
        })
    }

    /// What the journal has of a unit.
    pub fn journal(&self, unit: &str) -> Vec<Value> {
        let unit = format!("{unit}.service");
        let text = self.ok(&["journalctl", "-u", &unit, "-o", "json", "--all", "--no-pager"]);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// An entry of the journal, once it is there.
    pub fn entry(&self, unit: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        wait_for(&format!("an entry of {unit}"), || self.journal(unit).into_iter().find(&is_it))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The end of its stdin is the end of the machine.
        drop(self.holder.stdin.take());
        let _gone = self.holder.wait();
    }
}
