//! Processes: started, watched, and never left behind.

use std::io::{Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use adrt::clock;

use super::PATIENCE;
use super::puppet::Wire;

/// Between two looks at a condition.
pub const GLANCE: Duration = Duration::from_millis(2);

/// Looks until something is found; panics after [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = clock::mono();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock::mono().since(begin) < PATIENCE, "waited too long for: {what}");
        std::thread::sleep(GLANCE);
    }
}

/// Sends a signal; it is no matter if the process is gone.
pub fn kill(pid: i32, signal: i32) {
    let signal = nix::sys::signal::Signal::try_from(signal).unwrap();
    let _gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}

/// Whether it runs: not gone, and not only its remains.
pub fn is_alive(pid: i32) -> bool {
    adrt::process::table::entry(pid).is_some_and(|entry| !entry.zombie)
}

pub fn wait_dead(pid: i32) {
    wait_for(&format!("process {pid} to die"), || (!is_alive(pid)).then_some(()));
}

/// Processes that have this in their environment.
pub fn with_environment(name: &str, value: &Path) -> Vec<i32> {
    let wanted = [name.as_bytes(), b"=", value.as_os_str().as_bytes()].concat();
    let mut found: Vec<i32> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
        })
        .collect();
    found.sort_unstable();
    found
}

/// The most memory it ever had, in KiB.
pub fn peak_memory_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "tests start processes from outside")]
fn spawn(mut command: Command) -> Child {
    command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// What comes out of a pipe, read as it comes.
#[derive(Clone, Default)]
pub struct Capture(Arc<Mutex<Vec<u8>>>);

impl Capture {
    pub fn of(mut pipe: impl Read + Send + 'static) -> (Self, JoinHandle<()>) {
        let capture = Self::default();
        let bytes = capture.clone();
        let thread = std::thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                bytes.0.lock().unwrap().extend_from_slice(&chunk[..count]);
            }
        });
        (capture, thread)
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// What has come since the last time.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Its end, for a message.
    pub fn last_words(&self) -> String {
        const SHOWN_BYTES: usize = 2000;
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(SHOWN_BYTES)..]).into_owned()
    }

    pub fn contains(&self, text: &str) -> bool {
        memchr::memmem::find(&self.0.lock().unwrap(), text.as_bytes()).is_some()
    }

    /// Waits until this has come.
    pub fn wait_for(&self, text: &str) {
        wait_for(&format!("{text:?}"), || self.contains(text).then_some(()));
    }

    /// Waits for a line with this in it, and gives what follows it there.
    pub fn after(&self, text: &str) -> String {
        wait_for(&format!("a line with {text:?}"), || {
            let all = self.text();
            let (_, rest) = all.split_once(text)?;
            rest.split_once('\n').map(|(line, _)| line.to_owned())
        })
    }
}

/// How a command ended and what it said.
pub struct Done {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stdout = String::from_utf8_lossy(&self.stdout);
        let (code, signal) = (self.code, self.signal);
        write!(f, "code {code:?}, signal {signal:?}\n{stdout}\n{}", self.stderr)
    }
}

impl Done {
    /// Runs it to its end.
    pub fn of(command: Command) -> Self {
        Run::start(command).done()
    }
}

/// A started process, killed if it is dropped.
pub struct Run {
    child: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: Capture,
    pub stderr: Capture,
    readers: Vec<JoinHandle<()>>,
}

impl Run {
    /// With its output captured.
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::start_as_it_is(command)
    }

    /// With its descriptors as the command has them.
    pub fn start_as_it_is(command: Command) -> Self {
        let mut child = spawn(command);
        let mut readers = Vec::new();
        let mut capture = |pipe: Option<Box<dyn Read + Send>>| {
            let Some(pipe) = pipe else { return Capture::default() };
            let (capture, reader) = Capture::of(pipe);
            readers.push(reader);
            capture
        };
        let stdout = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
        let stderr = child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
        let (stdout, stderr) = (capture(stdout), capture(stderr));
        Self { stdin: child.stdin.take(), child, stdout, stderr, readers }
    }

    /// With a wire of the test's on its stdin and stdout.
    pub fn start_with_wire(mut command: Command) -> (Self, Wire) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(command);
        let (from, to) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
        let (stderr, reader) = Capture::of(child.stderr.take().unwrap());
        let stdout = Capture::default();
        let run = Self { stdin: None, child, stdout, stderr, readers: vec![reader] };
        (run, Wire::new(OwnedFd::from(from).into(), OwnedFd::from(to).into()))
    }

    pub fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    pub fn signal(&self, signal: i32) {
        kill(self.pid(), signal);
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Types into its stdin.
    pub fn type_in(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let said = self.stderr.clone();
        let end = wait_for_end(&mut self.child);
        end.unwrap_or_else(|| panic!("it does not end; it said:\n{}", said.last_words()))
    }

    /// Waits for its end, and for the end of its output.
    pub fn done(mut self) -> Done {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.wait();
        for reader in self.readers.drain(..) {
            wait_for("the end of its output", || reader.is_finished().then_some(()));
        }
        Done {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout.bytes(),
            stderr: self.stderr.text(),
        }
    }

    /// Asks it to stop, and waits for its end.
    pub fn stop(self) -> Done {
        self.signal(15);
        self.done()
    }

    /// SIGKILL, and wait for its end.
    pub fn kill(&mut self) {
        self.signal(9);
        self.wait();
    }
}

fn wait_for_end(child: &mut Child) -> Option<ExitStatus> {
    let begin = clock::mono();
    while clock::mono().since(begin) < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(GLANCE);
    }
    None
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
