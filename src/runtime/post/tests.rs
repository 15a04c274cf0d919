use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc;

use super::*;
use crate::store::lock::{HolderKind, Lock};
use crate::store::open::Store;

/// No test waits so long for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

fn post(id: u64, to: &str) -> PostRow {
    PostRow {
        id,
        to: to.into(),
        token: format!("a\"{id}").into(),
        event: r#"{"type":"t","n":1e400}"#.into(),
        delay_ms: 7,
    }
}

/// What became of these, in the order they were told.
fn outcomes(state_dir: &Path, patience: Duration, posts: Vec<PostRow>) -> Vec<(u64, Posted)> {
    let (tell, told) = mpsc::channel();
    let report: Report = Arc::new(move |id, outcome| {
        let _nobody_listens = tell.send((id, outcome));
    });
    let clerk = Clerk { state_dir: state_dir.to_owned(), report, patience };
    let (orders, incoming) = sync_channel(QUEUE_MAX);
    for post in posts {
        orders.send(post).expect("there is room");
    }
    drop(orders);
    clerk.work(&incoming);
    drop(clerk);
    told.iter().collect()
}

/// The lock and the socket of a running adrt; each request is answered by this.
struct Peer {
    _lock: Lock,
    heard: mpsc::Receiver<String>,
}

fn peer(state_dir: &Path, agent: &str, answers: &'static [&'static str]) -> Peer {
    let home = Home::new(state_dir, agent).expect("a name");
    home.create().expect("a home");
    let socket = home.dir.join("socket");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let lock = Lock::take(&home, HolderKind::Run, Some(&socket)).expect("the lock");
    let (tell, heard) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("a request");
            let _test_is_over = tell.send(line);
            stream.write_all(answer.as_bytes()).expect("answered");
        }
        // It listens on, and answers nothing more.
        thread::park();
        drop(listener);
    });
    Peer { _lock: lock, heard }
}

const YES: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"seq\":1,\"duplicate\":false}}\n";
const FULL: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1204,\"message\":\"full\",\
                    \"data\":{\"kind\":\"inbox_full\",\"retryable\":true}}}\n";
const WRONG: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"bad\",\
                     \"data\":{\"kind\":\"invalid_params\",\"retryable\":false}}}\n";
const OLD: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"what?\",\
                   \"data\":{\"kind\":\"method_not_found\",\"retryable\":false}}}\n";

#[test]
fn a_running_agent_is_asked_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let peer = peer(dir.path(), "b", &[YES, FULL, WRONG, OLD, "nonsense\n"]);
    let told = outcomes(dir.path(), PATIENCE, (1..=5).map(|id| post(id, "b")).collect());
    assert_eq!(told[0], (1, Posted::Arrived));
    assert_eq!(told[1], (2, Posted::Later("full".into())));
    assert_eq!(told[2], (3, Posted::Refused("bad".into())));
    assert_eq!(told[3], (4, Posted::Later("what?".into())));
    assert!(matches!(&told[4], (5, Posted::Later(why)) if why.contains("no sensible answer")));
    assert_eq!(
        peer.heard.recv_timeout(PATIENCE).expect("heard"),
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"event.emit\",\"params\":{\"event\":\
         {\"type\":\"t\",\"n\":1e400},\"delay_ms\":7,\"dedup\":\"a\\\"1\"}}\n"
    );
}

#[test]
fn one_that_does_not_answer_costs_one_wait() {
    let dir = tempfile::tempdir().expect("a directory");
    let _deaf = peer(dir.path(), "deaf", &[]);
    let _good = peer(dir.path(), "good", &[YES]);
    let posts = vec![post(1, "deaf"), post(2, "good"), post(3, "deaf")];
    let told = outcomes(dir.path(), Duration::from_millis(50), posts);
    assert!(matches!(&told[0], (1, Posted::Later(why)) if why.contains("does not answer")));
    assert!(matches!(&told[1], (3, Posted::Later(_))), "{told:?}");
    assert_eq!(told[2], (2, Posted::Arrived));
}

#[test]
fn nobody_is_told_from_one_who_is_out() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("empty")).expect("made");
    let home = Home::new(dir.path(), "stopped").expect("a name");
    home.create().expect("a home");
    drop(Store::open(&home, &Options::default()).expect("a database"));
    let posts = vec![post(1, "nobody"), post(2, "../x"), post(3, "empty"), post(4, "stopped")];
    let told = outcomes(dir.path(), PATIENCE, posts);
    let refused = |told: &(u64, Posted)| matches!(told.1, Posted::Refused(_));
    assert!(told[..3].iter().all(refused), "{told:?}");
    assert!(!refused(&told[3]), "{told:?}");
    let Ok(held) = Lock::take(&home, HolderKind::Run, None) else { panic!("still held") };
    let told = outcomes(dir.path(), PATIENCE, vec![post(5, "stopped")]);
    assert!(matches!(&told[0], (5, Posted::Later(why)) if why.contains("starting")), "{told:?}");
    drop(held);
}

#[test]
fn a_stopped_agent_whose_database_is_large_takes_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let home = Home::new(dir.path(), "b").expect("a name");
    home.create().expect("a home");
    drop(Store::open(&home, &Options::default()).expect("a database"));
    let file = std::fs::OpenOptions::new().write(true).open(home.database()).expect("there");
    file.set_len(STOPPED_BYTES_MAX).expect("sparse");
    let told = outcomes(dir.path(), PATIENCE, vec![post(1, "b")]);
    assert!(matches!(&told[0], (1, Posted::Later(why)) if why.contains("does not run")));
}

#[test]
fn the_office_answers_on_its_own_thread() {
    let dir = tempfile::tempdir().expect("a directory");
    let (tell, told) = mpsc::channel();
    let mut office = PostOffice::new(dir.path().to_owned(), move |id, outcome| {
        let _test_is_over = tell.send((id, outcome));
    });
    for id in 1..=3 {
        office.send(post(id, "nobody"));
    }
    for id in 1..=3 {
        let (told, outcome) = told.recv_timeout(PATIENCE).expect("told");
        assert_eq!(told, id);
        assert!(matches!(outcome, Posted::Refused(_)), "{outcome:?}");
    }
}
