//! A command whose stdout, or stderr too, is a terminal.

use std::fs::File;
use std::io::Read as _;
use std::process::{Child, Command};
use std::thread::JoinHandle;

/// A terminal that somebody watches.
pub struct Screen {
    master: JoinHandle<String>,
}

impl Screen {
    /// What was shown, with plain line ends, once nobody can write there any
    /// more.
    pub fn text(self) -> String {
        self.master.join().unwrap()
    }
}

/// Starts it with its stdout on a terminal, and its stderr if that is asked for.
#[expect(clippy::disallowed_methods, reason = "tests start processes from outside")]
pub fn start(mut command: Command, with_stderr: bool) -> (Child, Screen) {
    let terminal = nix::pty::openpty(None, None).unwrap();
    if with_stderr {
        command.stderr(terminal.slave.try_clone().unwrap());
    }
    command.stdout(terminal.slave);
    let child = command.spawn().unwrap();
    // It holds the last copies of the terminal's other end.
    drop(command);
    let mut master = File::from(terminal.master);
    let master = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let mut chunk = [0; 4096];
        // A terminal that nobody has any more fails to be read.
        while let Ok(count @ 1..) = master.read(&mut chunk) {
            seen.extend_from_slice(&chunk[..count]);
        }
        String::from_utf8_lossy(&seen).replace("\r\n", "\n")
    });
    (child, Screen { master })
}
