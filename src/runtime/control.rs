//! The control socket: where operators, and the agent's own `adrt` commands,
//! talk to a running adrt.
//!
//! A line in, a line out, as on the wire. Each connection is a small task;
//! what it reads goes to the loop through one bounded channel, so operators
//! can't grow adrt either. A connection has one request under way at a time.
//!
//! Who may: the user adrt runs as, and root. Where a group `adrt` exists the
//! socket is open to it (0660), and then the kernel has already decided.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chown};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::log_file::log_beside;
use crate::protocol::error::{Kind, WireError};
use crate::protocol::reply;
use crate::store::home::Home;
use crate::supervisor::io::ConnId;

/// Connections at a time; a further one is told `overloaded`.
const CONNECTIONS_MAX: usize = 64;
/// A request may carry a whole state, and a little around it.
const REQUEST_BYTES_MAX: u64 = 64 * 1024 * 1024 + 64 * 1024;
/// Requests waiting for the loop: as many as may be under way.
const REQUESTS_WAITING_MAX: usize = CONNECTIONS_MAX;
/// What `overloaded` advises.
const RETRY_AFTER_MS: u64 = 200;
/// The group that may use the socket, where it exists.
const GROUP: &str = "adrt";
/// Where groups stand.
const GROUPS_FILE: &str = "/etc/group";
/// Longest path of a Unix socket, with its end.
const SOCKET_PATH_MAX: usize = 107;

/// A socket that is bound and will be served; removed when dropped.
#[derive(Debug)]
pub struct Bound {
    listener: StdListener,
    path: PathBuf,
    open_to_group: bool,
}

impl Bound {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The agent's log, which is beside it.
    pub fn log_path(&self) -> PathBuf {
        log_beside(&self.path)
    }
}

/// Lets those read the log who may use the socket.
pub(super) fn share_log(path: &Path) {
    share(path, 0o640);
}

/// Binds the agent's socket in the runtime directory, or, where that can't be
/// used or its path is too long, beside the database. The caller holds the
/// agent's lock, so a socket that is there already is a dead one.
///
/// # Errors
/// Neither place will have it.
pub fn bind(runtime_dir: &Path, home: &Home) -> io::Result<Bound> {
    bind_at(runtime_dir.join(home.socket_name())).or_else(|_| bind_at(socket_within(home)))
}

/// The socket's place beside the database.
pub(super) fn socket_within(home: &Home) -> PathBuf {
    home.dir.join("control.sock")
}

fn bind_at(path: PathBuf) -> io::Result<Bound> {
    if path.as_os_str().len() > SOCKET_PATH_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket's path is too long"));
    }
    if let Some(parent) = path.parent()
        && !parent.is_dir()
    {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Ok(()) | Err(_) => {}
    }
    // Nobody else may connect between bind and chmod.
    let usual = umask(Mode::from_bits_truncate(0o177));
    let listener = StdListener::bind(&path);
    umask(usual);
    let bound = Bound { listener: listener?, open_to_group: share(&path, 0o660), path };
    bound.listener.set_nonblocking(true)?;
    Ok(bound)
}

/// Gives a file to the group, where that exists and we may.
fn share(path: &Path, mode: u32) -> bool {
    // Read from the file itself: to be asked, the C library loads the modules
    // of its name services, which costs more memory than adrt's own data. The
    // group is one that a package makes on this machine.
    let groups = std::fs::read(GROUPS_FILE).unwrap_or_default();
    let Some(group) = group_in(&String::from_utf8_lossy(&groups), GROUP) else { return false };
    chown(path, None, Some(group)).is_ok()
        && std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).is_ok()
}

/// The number of a group, by the lines of group(5).
fn group_in(groups: &str, name: &str) -> Option<Gid> {
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok().map(Gid::from_raw)
}

/// What came in.
#[derive(Debug)]
pub enum Event {
    /// A request.
    Request {
        /// From where.
        conn: ConnId,
        /// From whom.
        uid: u32,
        /// The line, without its newline.
        line: Vec<u8>,
    },
    /// The other end is gone.
    Gone {
        /// Which.
        conn: ConnId,
    },
}

/// The served socket.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    open_to_group: bool,
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    answers: HashMap<ConnId, mpsc::Sender<Vec<u8>>>,
    next: ConnId,
}

impl Control {
    /// Serves a bound socket; to be called on the loop.
    ///
    /// # Errors
    /// The loop takes no more descriptors.
    pub fn serve(bound: Bound) -> io::Result<Self> {
        let (sender, events) = mpsc::channel(REQUESTS_WAITING_MAX);
        Ok(Self {
            listener: UnixListener::from_std(bound.listener)?,
            path: bound.path,
            open_to_group: bound.open_to_group,
            events,
            sender,
            answers: HashMap::new(),
            next: 0,
        })
    }

    /// Waits for the next request; accepts connections meanwhile. May be
    /// dropped at any time.
    pub async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                Some(event) = self.events.recv() => {
                    if let Event::Gone { conn } = event {
                        self.answers.remove(&conn);
                    }
                    return event;
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.accept(stream),
                    // No descriptor to be had: those that are connected go on.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(RETRY_AFTER_MS)).await,
                },
            }
        }
    }

    fn accept(&mut self, stream: UnixStream) {
        let Ok(peer) = stream.peer_cred() else { return };
        let ours = peer.uid() == Uid::effective().as_raw() || peer.uid() == 0;
        if !ours && !self.open_to_group {
            return;
        }
        self.next += 1;
        let conn = self.next;
        if self.answers.len() >= CONNECTIONS_MAX {
            tokio::spawn(turn_away(stream));
            return;
        }
        let (answer, answers) = mpsc::channel(1);
        self.answers.insert(conn, answer);
        let events = self.sender.clone();
        let uid = peer.uid();
        tokio::spawn(async move {
            // Whatever ended it, the loop is told that nobody listens.
            let _ended = converse(stream, conn, uid, &events, answers).await;
            let _loop_is_gone = events.send(Event::Gone { conn }).await;
        });
    }

    /// Answers the request of a connection that is under way.
    pub fn answer(&mut self, conn: ConnId, line: Vec<u8>) {
        if let Some(answers) = self.answers.get(&conn) {
            // One request at a time, one answer each: there is room.
            let _gone = answers.try_send(line);
        }
    }

    /// Removes the socket's file.
    pub fn remove(&self) {
        let _best_effort = std::fs::remove_file(&self.path);
    }
}

async fn converse(
    stream: UnixStream,
    conn: ConnId,
    uid: u32,
    events: &mpsc::Sender<Event>,
    mut answers: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        (&mut read).take(REQUEST_BYTES_MAX).read_until(b'\n', &mut line).await?;
        if line.pop() != Some(b'\n') {
            return Ok(());
        }
        if events.send(Event::Request { conn, uid, line }).await.is_err() {
            return Ok(());
        }
        let Some(answer) = answers.recv().await else { return Ok(()) };
        write.write_all(&answer).await?;
    }
}

async fn turn_away(mut stream: UnixStream) {
    let error = WireError::new(Kind::Overloaded, "too many connections; try again shortly")
        .with_number("retry_after_ms", RETRY_AFTER_MS);
    let _gone = stream.write_all(&reply::error_line("null", &error)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\nadrt-old:x:7:a\nbroken\nadrt:x:998:ann,bob\n";
        assert_eq!(group_in(groups, "adrt"), Some(Gid::from_raw(998)));
        assert_eq!(group_in(groups, "ad"), None);
        assert_eq!(group_in(groups, "broken"), None);
    }
}
