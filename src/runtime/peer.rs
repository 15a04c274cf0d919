//! Asking the adrt that holds an agent: a request over its control socket,
//! and what its reply says.
//!
//! The command line asks so for its user, the post office for the agent's
//! events. Both block while they wait; the loop never calls this.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, getsockopt, socket};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json;
use crate::protocol::reply;
use crate::store::home::Home;
use crate::store::lock::{self, Holder, HolderKind};

/// How long an adrt that may be about to go is waited for.
const GLANCE: Duration = Duration::from_secs(1);
/// Largest state's text, and room for the frame around it.
const ANSWER_MAX_BYTES: u64 = 1 << 30;

/// Where the sockets of services are.
const SHARED_RUNTIME_DIR: &str = "/run/adrt";

/// The `adrt run` or `adrt attach` that holds the agent, if there is one.
pub fn running(home: &Home) -> Option<Holder> {
    lock::holder(home).filter(|holder| holder.kind.answers()).or_else(|| unseen(home))
}

/// The service that holds an agent of another user. Its lock is not to be
/// read, but where its socket is can be known, and whoever is in the group
/// `adrt` may use that.
fn unseen(home: &Home) -> Option<Holder> {
    let readable = std::fs::read_dir(&home.dir);
    if !readable.is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied) {
        return None;
    }
    let socket = Path::new(SHARED_RUNTIME_DIR).join(home.socket_name());
    // One that an adrt left behind when it was killed answers nobody.
    let stream = connect(&socket, GLANCE).ok()?;
    let pid = getsockopt(&stream, PeerCredentials).ok()?.pid();
    Some(Holder { pid, kind: HolderKind::Run, socket: Some(socket) })
}

/// Whether the agent of that adrt is leaving it, or has left. One that has
/// closed its socket does not answer any more.
pub fn is_leaving(holder: &Holder) -> bool {
    let Some(socket) = &holder.socket else { return false };
    let Ok(line) = exchange(socket, &request("status", "{}"), GLANCE) else { return true };
    let Ok(Ok(status)) = outcome(&line) else { return false };
    let phase = serde_json::from_str::<Phase<'_>>(&status).map(|status| status.phase);
    phase.is_ok_and(|phase| matches!(phase, "stopping" | "ended" | "closing"))
}

#[derive(Deserialize)]
struct Phase<'a> {
    phase: &'a str,
}

/// A request as one line. `params` is JSON text.
pub fn request(method: &str, params: &str) -> String {
    let (method, params) = (reply::quote(method), json::one_line(params));
    format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":{method},\"params\":{params}}}\n")
}

/// One line out, one line in.
///
/// # Errors
/// The socket can't be reached, or there is no answer in time.
pub fn exchange(path: &Path, request: &str, patience: Duration) -> io::Result<String> {
    let mut stream = connect(path, patience)?;
    stream.write_all(request.as_bytes())?;
    let mut line = String::new();
    io::Read::take(BufReader::new(stream), ANSWER_MAX_BYTES).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(line)
}

/// A connection that waits for nothing longer than that; not for the
/// connection itself either, since a process that is stopped accepts none.
fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let stream = UnixStream::from(fd);
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    nix::sys::socket::connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(stream)
}

/// A request that was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// What happened and what to do, for people.
    pub message: String,
    /// The error's name.
    pub kind: String,
    /// The same request may succeed later.
    pub retryable: bool,
    /// The version the state has, where that is why.
    pub version: Option<u64>,
    /// Which op of a `tx` it is about.
    pub index: Option<usize>,
}

/// What a reply says: the result as JSON text, or the refusal.
///
/// # Errors
/// It is no reply.
pub fn outcome(line: &str) -> serde_json::Result<Result<String, Refusal>> {
    let reply: Reply<'_> = serde_json::from_str(line)?;
    Ok(match (reply.result, reply.error) {
        (_, Some(ReplyError { message, data })) => Err(Refusal {
            message,
            kind: data.kind,
            retryable: data.retryable,
            version: data.version,
            index: data.index,
        }),
        (Some(result), None) => Ok(result.get().to_owned()),
        (None, None) => Ok("null".to_owned()),
    })
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<ReplyError>,
}

#[derive(Deserialize)]
struct ReplyError {
    message: String,
    #[serde(default)]
    data: ReplyData,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReplyData {
    kind: String,
    retryable: bool,
    version: Option<u64>,
    index: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line() {
        assert_eq!(
            request("state.set", "{\"value\":\n {\"a\": 1e400}}"),
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"state.set\",\
             \"params\":{\"value\": {\"a\": 1e400}}}\n"
        );
    }

    #[test]
    fn results_and_refusals() {
        let said = |line: &str| outcome(line).expect("a reply");
        assert_eq!(
            said(r#"{"jsonrpc":"2.0","id":1,"result":{"n":-0.0}}"#),
            Ok("{\"n\":-0.0}".into())
        );
        assert_eq!(said(r#"{"jsonrpc":"2.0","id":1}"#), Ok("null".into()));
        let refused = r#"{"id":1,"error":{"code":1101,"message":"m",
                          "data":{"kind":"version_conflict","retryable":false,"version":7}}}"#;
        let refusal = Refusal {
            message: "m".into(),
            kind: "version_conflict".into(),
            retryable: false,
            version: Some(7),
            ..Refusal::default()
        };
        assert_eq!(said(refused), Err(refusal));
        let bare = Refusal { message: "m".into(), ..Refusal::default() };
        assert_eq!(said(r#"{"error":{"message":"m"}}"#), Err(bare));
        assert!(outcome("no reply\n").is_err());
    }
}
