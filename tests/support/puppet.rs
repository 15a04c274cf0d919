//! An agent whose strings a test holds: its wire is the test's to speak on,
//! and it does what it is told. The other half is `puppet.py`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader, IoSliceMut, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use adrt::clock;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};

use super::{PATIENCE, beside, python_script, wait_for};

/// Where puppets report for work.
pub struct Puppets {
    listener: UnixListener,
    path: PathBuf,
}

impl Puppets {
    pub fn new(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, path: path.to_owned() }
    }

    /// The command line of a puppet.
    pub fn argv(&self) -> Vec<OsString> {
        let mut argv = python_script(beside("support/puppet.py"));
        argv.push(self.path.clone().into());
        argv
    }

    /// The next one that was started.
    pub fn next(&self) -> Puppet {
        Puppet::new(wait_for("a puppet", || self.listener.accept().ok()).0)
    }
}

/// One incarnation.
pub struct Puppet {
    pub pid: i32,
    pub env: Value,
    pub wire: Wire,
    /// Its stderr and its text pipe, to write to.
    pub stderr: File,
    pub text: Option<File>,
    strings: BufReader<UnixStream>,
}

impl Puppet {
    fn new(stream: UnixStream) -> Self {
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut fds = receive_fds(&stream).into_iter();
        let mut file = || fds.next();
        let (stdin, stdout, stderr) = (file().unwrap(), file().unwrap(), file().unwrap());
        let text = file();
        let mut strings = BufReader::new(stream);
        let mut hello = String::new();
        strings.read_line(&mut hello).unwrap();
        let hello: Value = serde_json::from_str(&hello).unwrap();
        Self {
            pid: hello["pid"].as_i64().unwrap().try_into().unwrap(),
            env: hello["env"].clone(),
            wire: Wire::new(stdin, stdout),
            stderr,
            text,
            strings,
        }
    }

    /// Lets it run this, and does not wait.
    pub fn tell(&mut self, python: &str) {
        let line = format!("{}\n", json!(python));
        self.strings.get_mut().write_all(line.as_bytes()).unwrap();
    }

    /// Lets it run this; the value of `answer` afterwards.
    pub fn ask(&mut self, python: &str) -> Value {
        self.tell(python);
        let mut line = String::new();
        self.strings.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{python}: {e}: {line:?}"))
    }

    /// Lets it end with this code.
    pub fn exit(mut self, code: i32) {
        self.tell(&format!("os._exit({code})"));
    }

    pub fn token(&self) -> String {
        self.env["ADRT_TOKEN"].as_str().unwrap().to_owned()
    }

    /// Says `initialize`; its result.
    pub fn initialize(&mut self) -> Value {
        self.initialize_with(json!({}))
    }

    /// With further members.
    pub fn initialize_with(&mut self, extra: Value) -> Value {
        let mut params = json!({
            "protocol": [1],
            "token": self.token(),
            "client": {"name": "puppet"},
        });
        params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.wire.ask("initialize", params).unwrap()
    }
}

/// The first bytes of a stream are left in it.
fn receive_fds(stream: &UnixStream) -> Vec<File> {
    let mut byte = [0];
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let mut place = [IoSliceMut::new(&mut byte)];
    let message = recvmsg::<()>(
        stream.as_raw_fd(),
        &mut place,
        Some(&mut space),
        MsgFlags::MSG_PEEK | MsgFlags::MSG_CMSG_CLOEXEC,
    )
    .unwrap();
    message
        .cmsgs()
        .unwrap()
        .filter_map(|part| match part {
            ControlMessageOwned::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        // SAFETY: the kernel has just made these descriptors for us.
        .map(|fd| unsafe { File::from_raw_fd(fd) })
        .collect()
}

/// The agent's end of the wire.
pub struct Wire {
    /// The agent's stdin: what adrt says. Non-blocking.
    from: Option<File>,
    /// The agent's stdout: what adrt hears. Non-blocking.
    to: Option<File>,
    unread: Vec<u8>,
    next_id: u64,
}

/// An answer that is an error.
pub type Refusal = Value;

impl Wire {
    pub fn new(from: File, to: File) -> Self {
        for file in [&from, &to] {
            fcntl(file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        }
        Self { from: Some(from), to: Some(to), unread: Vec::new(), next_id: 0 }
    }

    /// Lets go of the agent's stdin.
    pub fn close_input(&mut self) {
        self.from = None;
    }

    /// Says nothing more, and goes on listening.
    pub fn close_output(&mut self) {
        self.to = None;
    }

    /// Lets go of both, so that the agent alone holds them.
    pub fn close(&mut self) {
        self.from = None;
        self.to = None;
    }

    /// Writes all of it; panics if adrt does not read it in time.
    pub fn write(&mut self, mut bytes: &[u8]) {
        let begin = clock::mono();
        while !bytes.is_empty() {
            assert!(clock::mono().since(begin) < PATIENCE, "adrt does not read");
            let written = self.write_some(bytes, PollTimeout::from(100_u16));
            bytes = &bytes[written..];
        }
    }

    /// Writes what the pipe takes within this time.
    pub fn write_some(&mut self, bytes: &[u8], within: PollTimeout) -> usize {
        let to = self.to.as_mut().unwrap();
        wait_ready(to, PollFlags::POLLOUT, within);
        match to.write(bytes) {
            Ok(count) => count,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(e) => panic!("{e}"),
        }
    }

    /// Writes a line.
    pub fn line(&mut self, text: &str) {
        self.write(format!("{text}\n").as_bytes());
    }

    /// Sends a request and does not wait; its id.
    pub fn send(&mut self, method: &str, params: impl std::fmt::Display) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.line(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#
        ));
        id
    }

    /// The next line from adrt, as it is.
    pub fn read_line(&mut self) -> String {
        let begin = clock::mono();
        loop {
            if let Some(line) = self.buffered_line() {
                return line;
            }
            assert!(clock::mono().since(begin) < PATIENCE, "adrt does not answer");
            assert!(self.read_some(PollTimeout::from(100_u16)) != Some(0), "adrt closed stdin");
        }
    }

    /// The next line, if one is there already.
    pub fn buffered_line(&mut self) -> Option<String> {
        let end = memchr::memchr(b'\n', &self.unread)?;
        let line = self.unread.drain(..=end).collect();
        Some(String::from_utf8(line).unwrap().trim_end().to_owned())
    }

    /// Reads what is there within this time; 0 at the end of file.
    pub fn read_some(&mut self, within: PollTimeout) -> Option<usize> {
        let from = self.from.as_mut().unwrap();
        wait_ready(from, PollFlags::POLLIN, within);
        let mut chunk = [0; 64 * 1024];
        match from.read(&mut chunk) {
            Ok(count) => {
                self.unread.extend_from_slice(&chunk[..count]);
                Some(count)
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(e) => panic!("{e}"),
        }
    }

    /// Waits for the end of what adrt says.
    pub fn wait_end(&mut self) {
        wait_for("the end of the agent's stdin", || {
            (self.read_some(PollTimeout::ZERO) == Some(0)).then_some(())
        });
    }

    /// The next line as JSON.
    pub fn read(&mut self) -> Value {
        let line = self.read_line();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    /// The answer to this id, which must be the next line.
    pub fn answer(&mut self, id: u64) -> Result<Value, Refusal> {
        let mut answer = self.read();
        assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
        assert_eq!(answer["id"], id, "{answer}");
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }

    /// A request and its answer.
    pub fn ask(&mut self, method: &str, params: impl std::fmt::Display) -> Result<Value, Refusal> {
        let id = self.send(method, params);
        self.answer(id)
    }

    /// A request that is refused with this code; the error.
    pub fn refused(&mut self, code: i64, method: &str, params: impl std::fmt::Display) -> Value {
        let shown = params.to_string();
        let error = self.ask(method, params).expect_err(&shown);
        assert_eq!(error["code"], code, "{method} {shown}: {error}");
        assert!(error["data"]["kind"].is_string(), "{error}");
        assert!(error["data"]["retryable"].is_boolean(), "{error}");
        error
    }

    /// The whole state as adrt has it, as text.
    pub fn state_text(&mut self) -> String {
        let id = self.send("state.get", "{}");
        let line = self.read_line();
        let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"version":"#);
        let rest = line.strip_prefix(&head).unwrap_or_else(|| panic!("{line}"));
        let (_, value) = rest.split_once(r#","value":"#).unwrap();
        value.strip_suffix("}}").unwrap().to_owned()
    }
}

fn wait_ready(file: &File, what: PollFlags, within: PollTimeout) {
    let mut fds = [PollFd::new(file.as_fd(), what)];
    // An interrupted wait is a short one.
    let _ready = poll(&mut fds, within);
}
