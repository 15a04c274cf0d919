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

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json;
use crate::protocol::reply;
use crate::store::home::Home;
use crate::store::lock::{self, Holder, HolderKind};

/// Largest state's text, and room for the frame around it.
const ANSWER_MAX_BYTES: u64 = 1 << 30;

/// The `adrt run` that holds the agent, if there is one.
pub fn running(home: &Home) -> Option<Holder> {
    lock::holder(home).filter(|holder| holder.kind == HolderKind::Run)
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
pub fn exchange(socket: &Path, request: &str, patience: Duration) -> io::Result<String> {
    let mut stream = connect(socket, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(request.as_bytes())?;
    let mut line = String::new();
    io::Read::take(BufReader::new(stream), ANSWER_MAX_BYTES).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(line)
}

/// The time-out comes first: at an adrt that is stopped, connections queue up
/// until a further one would wait for ever.
fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let stream = UnixStream::from(socket);
    stream.set_write_timeout(Some(patience))?;
    socket::connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(stream)
}

/// A request that was refused.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// What happened and what to do, for people.
    pub message: String,
    /// The error's name.
    pub kind: String,
    /// The same request may succeed later.
    pub retryable: bool,
    /// The version the state has, where that is why.
    pub version: Option<u64>,
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
    fn an_adrt_that_is_stopped_is_not_waited_for_longer_than_that() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let nobody_accepts =
            socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)
                .expect("a socket");
        let address = UnixAddr::new(&path).expect("short enough");
        socket::bind(nobody_accepts.as_raw_fd(), &address).expect("bound");
        let backlog = socket::Backlog::new(1).expect("small enough");
        socket::listen(&nobody_accepts, backlog).expect("listening");
        let patience = Duration::from_millis(10);
        let error = exchange(&path, "{}\n", patience).expect_err("no answer");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let mut queued = Vec::new();
        let error = (0..1000)
            .find_map(|_| connect(&path, patience).map(|stream| queued.push(stream)).err());
        assert_eq!(error.expect("the queue has an end").kind(), io::ErrorKind::WouldBlock);
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
        };
        assert_eq!(said(refused), Err(refusal));
        let bare = Refusal { message: "m".into(), ..Refusal::default() };
        assert_eq!(said(r#"{"error":{"message":"m"}}"#), Err(bare));
        assert!(outcome("no reply\n").is_err());
    }
}
