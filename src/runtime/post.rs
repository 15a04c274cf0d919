//! The post office: takes events to the inboxes of other agents.
//!
//! What is to be sent is in the sender's database, and stays there until the
//! other side has it on its disk; each carries a token by which the other
//! side knows it again. So a post may be tried any number of times, and
//! arrives once.
//!
//! Whoever holds the other agent is asked over its control socket; when
//! nobody does, its inbox is written under its lock. Both may wait, so a
//! thread does it, one post after another, and two agents that write to each
//! other both go on: the loop answers its socket meanwhile. An agent that did
//! not answer is left alone for a while, so that posts to others are not held
//! up by it.
//!
//! The queue needs no bound of its own: the machine hands in each post it has
//! in memory once, and again only after its [`Posted`].

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc as orders;
use std::time::Duration;

use tokio::sync::mpsc;

use super::offline;
use super::peer::{self, Refusal};
use crate::clock::{self, Mono};
use crate::protocol::error::Kind;
use crate::protocol::reply::quote;
use crate::quiet;
use crate::store::home::Home;
use crate::store::lock::{self, Holder, HolderKind};
use crate::supervisor::io::{PostRow, Posted};

/// How long a running agent's adrt is waited for: one commit on a slow disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an agent that did not answer is not asked again.
const SILENCE: Duration = Duration::from_secs(10);

/// A post's number, and what became of it.
pub type Report = (u64, Posted);

/// The loop's side.
#[derive(Debug)]
pub struct PostOffice {
    state_dir: PathBuf,
    max_db: u64,
    reports: mpsc::UnboundedSender<Report>,
    /// The thread, from the first post on: most agents never send one.
    orders: Option<orders::Sender<PostRow>>,
}

impl PostOffice {
    /// One for the agents of a state directory. `max_db` is the budget by
    /// which an inbox is full whose own adrt does not run: the sender's, since
    /// agents of one device are run alike.
    pub fn new(state_dir: PathBuf, max_db: u64, reports: mpsc::UnboundedSender<Report>) -> Self {
        Self { state_dir, max_db, reports, orders: None }
    }

    /// Takes a post. Never waits.
    pub fn send(&mut self, row: PostRow) {
        let id = row.id;
        if let Err(error) = self.hand_over(row) {
            let outcome = Posted::Later(format!("there is no thread for it: {error}"));
            let _loop_is_gone = self.reports.send((id, outcome));
        }
    }

    fn hand_over(&mut self, row: PostRow) -> io::Result<()> {
        let orders = match self.orders.take() {
            Some(orders) => orders,
            None => self.start()?,
        };
        // It ends only with this handle, or by a panic.
        let sent = orders.send(row).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe));
        if sent.is_ok() {
            self.orders = Some(orders);
        }
        sent
    }

    fn start(&self) -> io::Result<orders::Sender<PostRow>> {
        let (sender, posts) = orders::channel::<PostRow>();
        let mut carrier = Carrier {
            state_dir: self.state_dir.clone(),
            max_db: self.max_db,
            silent: HashMap::new(),
        };
        let reports = self.reports.clone();
        quiet::spawn("adrt-post", None, move || {
            for row in posts {
                if reports.send((row.id, carrier.carry(&row))).is_err() {
                    return;
                }
            }
        })?;
        Ok(sender)
    }
}

/// The thread's side.
struct Carrier {
    state_dir: PathBuf,
    max_db: u64,
    /// Agents that did not answer, with since when. As many as there are.
    silent: HashMap<Arc<str>, Mono>,
}

impl Carrier {
    fn carry(&mut self, row: &PostRow) -> Posted {
        let home = match Home::new(&self.state_dir, &row.to) {
            Ok(home) => home,
            Err(error) => return Posted::Refused(error.to_string()),
        };
        let gone = || Posted::Refused(format!("there is no agent {:?} any more", row.to));
        // Looked into, not only at: what can't be is no proof that it is gone.
        match std::fs::read_dir(&home.dir) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return gone(),
            Err(e) => return Posted::Later(format!("{}: {e}", home.dir.display())),
        }
        match lock::holder(&home) {
            Some(holder) => self.ask(&holder, row),
            // A directory alone is no agent, and none is made by a post.
            None if !home.exists() => gone(),
            None => self.write(&home, row),
        }
    }

    /// Over the control socket of the adrt that holds it.
    fn ask(&mut self, holder: &Holder, row: &PostRow) -> Posted {
        let later =
            |why: &str| Posted::Later(format!("process {}, of {}, {why}", holder.pid, row.to));
        if holder.kind == HolderKind::Command {
            return later("writes to it just now");
        }
        let Some(socket) = &holder.socket else { return later("has no control socket yet") };
        if self.was_silent(&row.to) {
            return later("did not answer");
        }
        match peer::exchange(socket, &request(row), ANSWER_TIMEOUT) {
            Ok(line) => outcome_of(row, &line),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                self.silent.insert(row.to.clone(), clock::mono());
                later("does not answer")
            }
            Err(e) => later(&format!("can't be asked: {e}")),
        }
    }

    fn was_silent(&mut self, to: &Arc<str>) -> bool {
        let now = clock::mono();
        self.silent.retain(|_, since| now.since(*since) < SILENCE);
        self.silent.contains_key(to)
    }

    /// Into its database, since nobody holds it.
    fn write(&self, home: &Home, row: &PostRow) -> Posted {
        match offline::deliver(home, self.max_db, &request(row)) {
            Ok(answer) => outcome_of(row, &String::from_utf8_lossy(&answer)),
            Err(error) => Posted::Later(format!("{}: {error}", row.to)),
        }
    }
}

fn request(row: &PostRow) -> String {
    let PostRow { id: _, to: _, token, event, delay_ms } = row;
    let dedup = quote(token);
    let params = format!("{{\"event\":{event},\"delay_ms\":{delay_ms},\"dedup\":{dedup}}}");
    peer::request("event.emit", &params)
}

fn outcome_of(row: &PostRow, line: &str) -> Posted {
    let to = &row.to;
    match peer::outcome(line) {
        Ok(Ok(_seq)) => Posted::Arrived,
        Ok(Err(refusal)) if is_final(&refusal) => {
            Posted::Refused(format!("{to} refused it: {}", refusal.message))
        }
        Ok(Err(refusal)) => Posted::Later(format!("{to}: {}", refusal.message)),
        Err(error) => Posted::Later(format!("{to} gave no sensible answer: {error}")),
    }
}

/// Whether the same event would be refused again, whatever happens. All else
/// may be over one day: a full disk, an adrt that is older than the sender's.
fn is_final(refusal: &Refusal) -> bool {
    let kinds = [
        Kind::InvalidParams,
        Kind::InvalidRequest,
        Kind::ParseError,
        Kind::TooLarge,
        Kind::UnknownAgent,
    ];
    !refusal.retryable && kinds.iter().any(|kind| kind.name() == refusal.kind)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use super::*;
    use crate::store::lock::Lock;
    use crate::store::open::{Options, Store};

    fn agent(state_dir: &Path, name: &str) -> Home {
        let home = Home::new(state_dir, name).unwrap();
        home.create().unwrap();
        Store::open(&home, &Options::default()).unwrap().0.close().unwrap();
        home
    }

    fn carrier(state_dir: &Path) -> Carrier {
        Carrier { state_dir: state_dir.into(), max_db: 1 << 28, silent: HashMap::new() }
    }

    fn post(to: &str, token: &str) -> PostRow {
        let event = "{\"type\":\"x\",\"n\":1e400}".into();
        PostRow { id: 1, to: to.into(), token: token.into(), event, delay_ms: 5 }
    }

    #[test]
    fn nobody_to_send_it_to() {
        let dir = tempfile::tempdir().unwrap();
        let mut carrier = carrier(dir.path());
        assert!(matches!(carrier.carry(&post("nobody", "t")), Posted::Refused(_)));
        assert!(matches!(carrier.carry(&post("../x", "t")), Posted::Refused(_)));
        std::fs::create_dir(dir.path().join("bare")).unwrap();
        assert!(matches!(carrier.carry(&post("bare", "t")), Posted::Refused(_)));
        assert_eq!(std::fs::read_dir(dir.path().join("bare")).unwrap().count(), 0);
    }

    #[test]
    fn to_one_that_does_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let home = agent(dir.path(), "b");
        let mut carrier = carrier(dir.path());
        for _ in 0..3 {
            assert_eq!(carrier.carry(&post("b", "t")), Posted::Arrived);
        }
        assert_eq!(carrier.carry(&post("b", "u")), Posted::Arrived);
        let (mut store, _) = Store::open(&home, &Options::default()).unwrap();
        assert_eq!(store.load().unwrap().work.last_seq, 2, "each once");
        store.close().unwrap();
        let bad = PostRow { event: "{}".into(), ..post("b", "v") };
        assert!(matches!(carrier.carry(&bad), Posted::Refused(_)));
        let held = Lock::take(&home, HolderKind::Command, None).unwrap();
        assert!(matches!(carrier.carry(&post("b", "w")), Posted::Later(_)));
        drop(held);
        assert_eq!(carrier.carry(&post("b", "w")), Posted::Arrived);
        carrier.max_db = 1;
        assert!(matches!(carrier.carry(&post("b", "x")), Posted::Later(_)), "its inbox is full");
    }

    #[test]
    fn to_one_that_runs() {
        let dir = tempfile::tempdir().unwrap();
        let home = agent(dir.path(), "b");
        let socket = dir.path().join("s");
        let mut carrier = carrier(dir.path());
        let starting = Lock::take(&home, HolderKind::Run, None).unwrap();
        assert!(matches!(carrier.carry(&post("b", "t")), Posted::Later(_)), "no socket yet");
        drop(starting);
        let _held = Lock::take(&home, HolderKind::Run, Some(&socket)).unwrap();
        assert!(matches!(carrier.carry(&post("b", "t")), Posted::Later(_)), "nobody listens");
        let refusal = |kind: &str| {
            format!("{{\"error\":{{\"message\":\"m\",\"data\":{{\"kind\":\"{kind}\"}}}}}}")
        };
        let answers =
            ["{\"result\":{\"seq\":1}}".into(), refusal("inbox_full"), refusal("invalid_params")];
        let listener = UnixListener::bind(&socket).unwrap();
        let served = std::thread::spawn(move || {
            answers.map(|answer: String| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                stream.write_all(format!("{answer}\n").as_bytes()).unwrap();
                line
            })
        });
        assert_eq!(carrier.carry(&post("b", "t")), Posted::Arrived);
        assert!(matches!(carrier.carry(&post("b", "t")), Posted::Later(_)));
        assert!(matches!(carrier.carry(&post("b", "t")), Posted::Refused(_)));
        assert_eq!(
            served.join().unwrap()[0],
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"event.emit\",\"params\":\
             {\"event\":{\"type\":\"x\",\"n\":1e400},\"delay_ms\":5,\"dedup\":\"t\"}}\n"
        );
    }

    #[test]
    fn the_thread_reports() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, mut reports) = mpsc::unbounded_channel();
        let mut office = PostOffice::new(dir.path().into(), 1 << 28, sender);
        for id in [7, 8] {
            office.send(PostRow { id, ..post("nobody", "t") });
        }
        for id in [7, 8] {
            assert!(matches!(reports.blocking_recv(), Some((at, Posted::Refused(_))) if at == id));
        }
    }
}
