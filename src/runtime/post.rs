//! The post office: carries events to the inboxes of other agents.
//!
//! ```text
//!  Effect::Post ──► queue ──► a thread ──► the other's adrt, by its socket
//!                                     └──► the other's database, under its lock,
//!  Input::Posted ◄── outcome ◄────┘        when no adrt runs it
//! ```
//!
//! An event to be posted is on the sender's disk before it comes here, and
//! stays there until it has arrived or never will; the machine tries again
//! what is to come [later](Posted::Later). Since the other side knows each by
//! its token, one that arrives twice counts once. So nothing here has to be
//! remembered, nor to be finished before adrt ends.
//!
//! The loop never waits for the thread, and the thread waits only for the
//! other's loop, at most [`ANSWER_TIMEOUT`]: two agents may post to each other
//! at once.
//!
//! Deliberately not here: when to try again, and what becomes of an event that
//! is refused. That is the machine's business.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use super::offline::{self, OfflineError};
use super::peer::{self, Refusal};
use crate::protocol::reply;
use crate::store::home::Home;
use crate::store::lock::Holder;
use crate::store::open::{MAX_DB_DEFAULT, Options};
use crate::supervisor::io::{PostRow, Posted};
use crate::supervisor::work::POSTS_KEPT;

/// How long the other's adrt is waited for. It answers from its disk; if that
/// hangs, posts to others are to go on.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Events under way: the machine has no more in memory.
const QUEUE_MAX: usize = POSTS_KEPT as usize;
/// Stack of the thread: SQLite and the machine run on it.
const THREAD_STACK_BYTES: usize = 1024 * 1024;
/// A database of this size takes no more events of others while its agent does
/// not run: nobody is there who would take them out again. (Its own budget
/// only its own `adrt run` knows.)
const STOPPED_BYTES_MAX: u64 = MAX_DB_DEFAULT;
/// Refusals that no later try would change.
const FINAL_KINDS: [&str; 6] = [
    "invalid_params",
    "invalid_request",
    "key_reused",
    "parse_error",
    "too_large",
    "unknown_agent",
];

/// Told what became of a post, on any thread.
type Report = Arc<dyn Fn(u64, Posted) + Send + Sync>;

/// The loop's side.
pub struct PostOffice {
    state_dir: PathBuf,
    report: Report,
    /// To the thread, which is started with the first post: most agents have none.
    orders: Option<SyncSender<PostRow>>,
}

impl PostOffice {
    /// Among the agents of this state directory.
    pub fn new(state_dir: PathBuf, report: impl Fn(u64, Posted) + Send + Sync + 'static) -> Self {
        Self { state_dir, report: Arc::new(report), orders: None }
    }

    /// Sends an event on its way; never waits.
    pub fn send(&mut self, post: PostRow) {
        let id = post.id;
        let later = |why: String| (self.report)(id, Posted::Later(why));
        let orders = match &self.orders {
            Some(orders) => orders,
            None => match self.start() {
                Ok(orders) => self.orders.insert(orders),
                Err(error) => return later(format!("the system gave no thread: {error}")),
            },
        };
        match orders.try_send(post) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => later("too many events are under way".to_owned()),
            Err(TrySendError::Disconnected(_)) => {
                later("the thread that posts is gone".to_owned());
                self.orders = None;
            }
        }
    }

    fn start(&self) -> io::Result<SyncSender<PostRow>> {
        let (orders, incoming) = sync_channel(QUEUE_MAX);
        let clerk = Clerk {
            state_dir: self.state_dir.clone(),
            report: self.report.clone(),
            patience: ANSWER_TIMEOUT,
        };
        thread::Builder::new().name("adrt-post".to_owned()).stack_size(THREAD_STACK_BYTES).spawn(
            move || {
                // Signals are other threads' work.
                let _cannot_fail =
                    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
                clerk.work(&incoming);
            },
        )?;
        Ok(orders)
    }
}

/// The thread's side.
struct Clerk {
    state_dir: PathBuf,
    report: Report,
    patience: Duration,
}

impl Clerk {
    /// Until the office is closed. What waits for one agent goes together, in
    /// its order, so that one which does not answer costs the others one wait.
    fn work(&self, incoming: &Receiver<PostRow>) {
        while let Ok(first) = incoming.recv() {
            let mut waiting = vec![first];
            waiting.extend(incoming.try_iter().take(QUEUE_MAX));
            while let Some(to) = waiting.first().map(|post| post.to.clone()) {
                let (bag, others) = waiting.into_iter().partition(|post| post.to == to);
                waiting = others;
                self.deliver(&to, &bag);
            }
        }
    }

    /// Delivers what is for one agent, and reports each.
    fn deliver(&self, to: &str, bag: &[PostRow]) {
        let home = match Home::new(&self.state_dir, to) {
            Ok(home) => home,
            Err(error) => return self.all(bag, &Posted::Refused(error.to_string())),
        };
        match peer::running(&home) {
            Some(holder) => self.ask(&holder, bag),
            None if is_nobody(&home) => {
                let why = format!("there is no agent {to} in {}", self.state_dir.display());
                self.all(bag, &Posted::Refused(why));
            }
            None => self.write(&home, bag),
        }
    }

    /// The same for all.
    fn all(&self, bag: &[PostRow], outcome: &Posted) {
        for post in bag {
            (self.report)(post.id, outcome.clone());
        }
    }

    /// Over the socket of the adrt that runs it.
    fn ask(&self, holder: &Holder, bag: &[PostRow]) {
        let Some(socket) = &holder.socket else {
            return self.all(bag, &later("its adrt is only starting"));
        };
        for (place, post) in bag.iter().enumerate() {
            match peer::exchange(socket, &request(post), self.patience) {
                Ok(line) => (self.report)(post.id, judge(&line)),
                // Nor would it answer the rest.
                Err(error) => {
                    let why = format!("its adrt (process {}) does not answer: {error}", holder.pid);
                    return self.all(bag.get(place..).unwrap_or_default(), &later(why));
                }
            }
        }
    }

    /// Into the database of one that nobody runs.
    fn write(&self, home: &Home, bag: &[PostRow]) {
        let bytes = database_bytes(home);
        if bytes >= STOPPED_BYTES_MAX {
            let why = format!(
                "it does not run, and its database has {bytes} bytes already; \
                 it takes events again when it runs"
            );
            return self.all(bag, &later(why));
        }
        // No history of another agent is shed for an event of ours.
        let options = Options { max_db: u64::MAX, ..Options::default() };
        let requests: Vec<String> = bag.iter().map(request).collect();
        let mut answered = 0;
        let ended = offline::call_each(home, &options, usize::MAX, &requests, |answer| {
            if let Some(post) = bag.get(answered) {
                (self.report)(post.id, judge(&String::from_utf8_lossy(&answer)));
            }
            answered += 1;
        });
        if let Err(error) = ended {
            let rest = bag.get(answered..).unwrap_or_default();
            self.all(rest, &later(in_words(&error)));
        }
    }
}

fn later(why: impl Into<String>) -> Posted {
    Posted::Later(why.into())
}

fn in_words(error: &OfflineError) -> String {
    let why: &dyn Display = match error {
        OfflineError::Lock(error) => error,
        OfflineError::Open(error) => error,
        OfflineError::Store(failure) => &failure.message,
    };
    format!("it does not run, and can't be written: {why}")
}

/// The other's adrt does the same with it as with an event of its own agent,
/// once for each token.
fn request(post: &PostRow) -> String {
    let token = reply::quote(&post.token);
    let params =
        format!(r#"{{"event":{},"delay_ms":{},"dedup":{token}}}"#, post.event, post.delay_ms);
    peer::request("event.emit", &params)
}

/// What a reply means for the post.
fn judge(line: &str) -> Posted {
    match peer::outcome(line) {
        Ok(Ok(_)) => Posted::Arrived,
        Ok(Err(refusal)) if is_final(&refusal) => Posted::Refused(refusal.message),
        Ok(Err(refusal)) => Posted::Later(refusal.message),
        Err(error) => Posted::Later(format!("its adrt gave no sensible answer: {error}")),
    }
}

/// Not one of an older adrt that knows no events: it will be updated.
fn is_final(refusal: &Refusal) -> bool {
    !refusal.retryable && FINAL_KINDS.contains(&refusal.kind.as_str())
}

/// Whether there is no such agent, as far as can be seen: a directory that
/// can't be looked into may well be one.
fn is_nobody(home: &Home) -> bool {
    match std::fs::read_dir(&home.dir) {
        Ok(_) => !home.exists(),
        Err(e) => matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

fn database_bytes(home: &Home) -> u64 {
    let file = home.database();
    let mut log = file.clone().into_os_string();
    log.push("-wal");
    let length = |path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    length(file) + length(log.into())
}

#[cfg(test)]
mod tests;
