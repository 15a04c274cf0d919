//! An agent's directory and database, and what they and its adrt tell.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::Finding;
use super::place::any_integer;
use crate::cli::client;
use crate::cli::text::{bytes, counted};
use crate::clock::span;
use crate::runtime::usage::is_stopped;
use crate::store::home::{Home, HomeError};
use crate::store::lock;
use crate::store::read::{ReadError, Reader, Summary};
use crate::store::read_work::InboxSummary;
use crate::store::{RESERVE_BYTES, SCHEMA_VERSION};
use crate::supervisor::restart::CRASH_LOOP;

/// Past this share of its budget a database is told of, in percent: from here
/// on new events are refused.
const BUDGET_WARNING_PERCENT: u64 = 90;
/// The log is recycled long before; past this somebody keeps it from being so.
const LOG_WARNING_BYTES: u64 = 64 << 20;
/// What a storage card takes for years: some ten times its size a year on a
/// card of 32 GiB.
const WEAR_WARNING_BYTES: u64 = 1 << 30;
/// A shorter run says nothing about a day.
const WEAR_SPAN_LEAST: Duration = Duration::from_secs(3600);
/// Seconds of a day.
const DAY_SECONDS: f64 = 24.0 * 3600.0;
/// The kernel's number for devices of storage cards.
const CARD_MAJOR: u64 = 179;
/// Bits of a mode that let others in.
const OTHERS: u32 = 0o077;

/// What a running adrt says of itself, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    store: Option<String>,
    written_bytes: Option<u64>,
    file_bytes: Option<u64>,
    rules: Option<Rules>,
    environment: Option<Environment>,
    counters: Counters,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rules {
    trouble: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Environment {
    level: String,
    worst: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Counters {
    max_db: Option<u64>,
    run_seconds: Option<f64>,
}

/// All about it.
pub fn look(home: &Home, state_dir: &Path) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(directory(home));
    found.extend(leftovers(home));
    found.extend(running(home, on_a_card(state_dir)));
    found.extend(untouched(home).unwrap_or_else(|| read(home, Reader::open(home))));
    found.into_iter().map(|found| found.of(home.agent())).collect()
}

/// What the database tells, without a file made beside it; none if somebody
/// writes it, for whom these files are there anyhow.
fn untouched(home: &Home) -> Option<Vec<Finding>> {
    let stamp = || {
        let meta = fs::metadata(home.database()).ok();
        meta.map(|meta| (meta.len(), meta.mtime(), meta.mtime_nsec()))
    };
    let is_held = || lock::holder(home).is_some();
    if is_held() {
        return None;
    }
    let before = stamp();
    let found = read(home, Reader::open_untouched(home));
    (!is_held() && stamp() == before).then_some(found)
}

fn read(home: &Home, reader: Result<Reader, ReadError>) -> Vec<Finding> {
    match reader {
        Ok(reader) => database(home, &reader),
        Err(error) => vec![unreadable(home, &error)],
    }
}

/// Who may look into it.
fn directory(home: &Home) -> Option<Finding> {
    let mode = fs::symlink_metadata(&home.dir).ok()?.mode() & 0o777;
    (mode & OTHERS != 0).then(|| {
        let shown = home.dir.display();
        let what = format!("{shown} is open to others ({mode:04o})");
        let why = "what the agent remembers, secrets too, may be read by them";
        Finding::warning("agent-directory", what, why, format!("chmod 700 {shown}"))
    })
}

/// Copies of earlier databases.
fn leftovers(home: &Home) -> Option<Finding> {
    let found = home.leftovers();
    let size: u64 = found.iter().map(|path| size_of(path)).sum();
    let first = found.first()?.display().to_string();
    let copies =
        if found.len() == 1 { "an old copy".into() } else { format!("{} old copies", found.len()) };
    let what = format!("{copies}, {}: {first}", bytes(size));
    let why = "damaged databases and those of before a migration are never deleted by adrt";
    let cure = format!("look into them if anything is missed, then: rm -r {first}");
    Some(Finding::warning("leftovers", what, why, cure))
}

fn size_of(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    if !meta.is_dir() {
        return meta.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.metadata().map_or(0, |meta| meta.len())).sum()
}

fn on_a_card(dir: &Path) -> bool {
    let major = |meta: fs::Metadata| nix::sys::stat::major(any_integer(meta.dev()));
    fs::metadata(dir).is_ok_and(|meta| any_integer::<u64>(major(meta)) == CARD_MAJOR)
}

/// What its adrt says, if one runs.
fn running(home: &Home, card: bool) -> Vec<Finding> {
    let Some(holder) = client::running(home) else { return Vec::new() };
    let said = client::status(home, &holder).and_then(|text| client::parse::<Said>(&text));
    match said {
        Ok(said) => judge_running(home.agent(), &said, card),
        Err(failure) => {
            let what = format!("its adrt (process {}) does not answer", holder.pid);
            let pid = holder.pid;
            let cure = if is_stopped(pid.into()) {
                format!("kill -CONT {pid}")
            } else {
                format!("kill -TERM {pid}, then kill -KILL {pid}; nothing acknowledged is lost")
            };
            vec![Finding::problem("running", what, failure.why, cure)]
        }
    }
}

fn judge_running(agent: &str, said: &Said, card: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(trouble) = said.store.as_deref().filter(|store| *store != "ok") {
        let why =
            "writes are refused until the disk takes them again; nothing acknowledged is lost";
        let cure = "make room, or look at dmesg for errors of the disk";
        found.push(Finding::problem("store", trouble, why, cure));
    }
    if let Some(trouble) = said.rules.as_ref().and_then(|rules| rules.trouble.as_deref()) {
        let why = "the rules of before stay in force, and the next start would refuse the file";
        let cure = format!("mend the file, then: adrt reload {agent}");
        found.push(Finding::warning("rules", trouble, why, cure));
    }
    let pressed = said.environment.as_ref().filter(|e| matches!(&*e.level, "high" | "critical"));
    if let Some(environment) = pressed {
        let worst = environment.worst.as_deref().unwrap_or("several");
        let what = format!("pressure on the machine is {} ({worst})", environment.level);
        let why = match worst {
            "memory" => "decisions are more careful, and the agent may be killed for its memory",
            _ => "decisions are more careful, and work takes longer",
        };
        found.push(Finding::warning("environment", what, why, format!("adrt status {agent}")));
    }
    if let (Some(used), Some(most)) = (said.file_bytes, said.counters.max_db.filter(|max| *max > 0))
    {
        found.push(budget(agent, used, most));
    }
    found.extend(wear(said, card));
    found
}

fn budget(agent: &str, used: u64, most: u64) -> Finding {
    const CHECK: &str = "budget";
    let what = format!("{} of {} used (--max-db)", bytes(used), bytes(most));
    let percent = used.saturating_mul(100) / most;
    let cure = format!("raise --max-db, or: adrt checkpoints prune {agent}, adrt events drop …");
    if percent >= 100 {
        let why = "patches and acks are refused";
        Finding::problem(CHECK, what, why, cure)
    } else if percent >= BUDGET_WARNING_PERCENT {
        Finding::warning(CHECK, what, "new events are refused", cure)
    } else {
        Finding::ok(CHECK, what)
    }
}

/// How much a day like this one writes.
fn wear(said: &Said, card: bool) -> Option<Finding> {
    let (written, seconds) = (said.written_bytes?, said.counters.run_seconds?);
    if seconds < WEAR_SPAN_LEAST.as_secs_f64() {
        return None;
    }
    let day = (written as f64 / seconds * DAY_SECONDS) as u64;
    let time = span(Duration::from_secs_f64(seconds));
    let what = format!("{} written in {time}, {} a day", bytes(written), bytes(day));
    if card && day > WEAR_WARNING_BYTES {
        let why = "the state is on a storage card, which so many writes wear out within years";
        let cure = "write less often: several changes in one patch, larger values less often; or \
                    use a disk";
        return Some(Finding::warning("wear", what, why, cure));
    }
    Some(Finding::ok("wear", what))
}

/// Why it can't be read, and what that means.
fn unreadable(home: &Home, error: &ReadError) -> Finding {
    const CHECK: &str = "database";
    let agent = home.agent();
    let what = error.to_string();
    match error {
        ReadError::Damaged(_) => damaged(agent, &what),
        ReadError::NotOurs => {
            let why = "no agent of adrt's is kept in it";
            Finding::problem(CHECK, what, why, format!("move it away: {}", home.db_dir().display()))
        }
        ReadError::Home(HomeError::Symlink(_) | HomeError::WrongKind(_)) => {
            let why = "another's file could be written through it, so adrt refuses to run";
            Finding::problem(CHECK, what, why, "put a real directory or file in its place")
        }
        ReadError::NoAgent(_) => {
            let why = "a database was put aside, and none made in its place";
            let cure = format!("adrt restore FILE -n {agent}, or run it with --on-damage fresh");
            Finding::problem(CHECK, what, why, cure)
        }
        ReadError::Home(_)
        | ReadError::NotKept { .. }
        | ReadError::NothingBefore { .. }
        | ReadError::NoCheckpoint(_)
        | ReadError::Failed(_) => {
            let why = "it may be another user's, or the disk fails";
            let cure = format!("sudo adrt doctor {agent}; look at dmesg for errors of the disk");
            Finding::problem(CHECK, what, why, cure)
        }
    }
}

fn damaged(agent: &str, what: &str) -> Finding {
    let why = "adrt run refuses to start it, so that nothing sound is lost";
    let cure = format!(
        "adrt run -n {agent} --on-damage salvage … goes on from what is sound; adrt restore FILE \
         brings back a backup"
    );
    Finding::problem("database", what, why, cure)
}

/// What the database tells.
fn database(home: &Home, reader: &Reader) -> Vec<Finding> {
    let agent = home.agent();
    let read = || Ok((reader.glance()?, reader.summary()?, reader.inbox_summary()?));
    let (damage, summary, inbox) = match read() {
        Ok(read) => read,
        Err(error) => return vec![unreadable(home, &error)],
    };
    let reviews = reader.reviews(true, u64::MAX).map_or(0, |reviews| reviews.len() as u64);
    let mut found = Vec::new();
    match damage.as_slice() {
        [] => found.push(Finding::ok("database", format!("sound, {}", bytes(summary.file_bytes)))),
        list => found.extend(list.iter().map(|what| damaged(agent, what))),
    }
    found.extend(schema(agent, &summary));
    found.extend(log(home));
    found.extend(reserve(home));
    found.extend(crashes(agent, &summary, client::running(home).is_some()));
    found.extend(for_people(agent, &inbox, reviews));
    found
}

/// Who may write it.
fn schema(agent: &str, summary: &Summary) -> Option<Finding> {
    const CHECK: &str = "schema";
    if let Some(to) = &summary.moved_to {
        return Some(Finding::ok(CHECK, format!("it was moved away, to {to}: it is not run here")));
    }
    if summary.min_writer > SCHEMA_VERSION {
        let what = format!(
            "a newer adrt wrote it (schema {}, this one has {SCHEMA_VERSION})",
            summary.schema
        );
        let why = "this adrt can read it and must not write it: adrt run refuses";
        let cure = "use the newer adrt, or go back by a backup made before it";
        return Some(Finding::problem(CHECK, what, why, cure));
    }
    (summary.schema < SCHEMA_VERSION).then(|| {
        let what = format!(
            "schema {}, of an older adrt: the next run brings it up to date",
            summary.schema
        );
        Finding::ok(CHECK, format!("{what} (adrt backup {agent} FILE first costs nothing)"))
    })
}

/// The log beside the database.
fn log(home: &Home) -> Option<Finding> {
    let size = fs::metadata(home.database().with_extension("db-wal")).ok()?.len();
    (size > LOG_WARNING_BYTES).then(|| {
        let what = format!("its log has grown to {}", bytes(size));
        let why = "some reader has kept it from being moved into the database for long";
        let cure =
            "find it: fuser -v …/db/adrt.db; a restart of the agent's adrt clears it as well";
        Finding::warning("log", what, why, cure)
    })
}

/// What is there for a full disk.
fn reserve(home: &Home) -> Option<Finding> {
    let size = fs::metadata(home.reserve_path()).map_or(0, |meta| meta.len());
    (size < RESERVE_BYTES).then(|| {
        let what = "there is no reserve for a full disk";
        let why = "the disk is or was too full for its 8 MiB: the next full disk may cost the \
                   crash ledger its last entries; nothing acknowledged is lost";
        Finding::warning("reserve", what, why, "make room; the reserve is made again by itself")
    })
}

/// How it has fared.
fn crashes(agent: &str, summary: &Summary, is_held: bool) -> Option<Finding> {
    const CHECK: &str = "crashes";
    let cure =
        format!("adrt crashes list {agent}; adrt crashes show {agent} ID has the last output");
    let count = summary.restart.crashes_in_row;
    if count >= CRASH_LOOP {
        let what = format!("it is in a crash loop: {count} crashes without getting on");
        let why = "each next start waits longer, a minute at most unless set otherwise";
        return Some(Finding::problem(CHECK, what, why, cure));
    }
    let row = summary.incarnation.as_ref();
    if !is_held && row.is_some_and(|row| row.end.is_none()) {
        let what = "its adrt was killed, or the machine went down; nobody has started it since";
        let why = "it does nothing; all that was acknowledged is there at the next start";
        let cure = format!("start its service, or adrt run -n {agent} … as before");
        return Some(Finding::problem("lost", what, why, cure));
    }
    let last = row.and_then(|row| row.end.as_ref());
    let last = last.filter(|end| end.crash)?;
    let what = format!("its last end was a crash: {}", last.summary);
    Some(Finding::warning(CHECK, what, "nobody but you looks into why", cure))
}

/// What waits for a person.
fn for_people(agent: &str, inbox: &InboxSummary, reviews: u64) -> Vec<Finding> {
    let mut found = Vec::new();
    if inbox.dead > 0 {
        let what = format!("{} given up", counted(inbox.dead, "event"));
        let why = "they were tried too often, or for too long, and nothing more becomes of them";
        let cure = format!("adrt events list {agent} --dead, then events retry or events drop");
        found.push(Finding::warning("dead-letters", what, why, cure));
    }
    if reviews > 0 {
        let what = format!("{} for a person to answer", counted(reviews, "review"));
        let why = "the agent goes on with it only once somebody has answered";
        let cure = format!("adrt reviews list {agent}, then reviews approve or reviews reject");
        found.push(Finding::warning("reviews", what, why, cure));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::store::{Options, Store};

    #[test]
    fn who_may_write_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path(), "a").unwrap();
        home.create().unwrap();
        let (store, _) = Store::open(&home, &Options::default()).unwrap();
        let mut summary = Reader::open(&home).unwrap().summary().unwrap();
        assert_eq!(schema("a", &summary), None);
        summary.schema = SCHEMA_VERSION - 1;
        assert_eq!(schema("a", &summary).map(|found| found.level), Some(Level::Ok));
        (summary.schema, summary.min_writer) = (SCHEMA_VERSION + 1, SCHEMA_VERSION);
        assert_eq!(schema("a", &summary), None, "it may still be written");
        summary.min_writer = SCHEMA_VERSION + 1;
        assert_eq!(schema("a", &summary).map(|found| found.level), Some(Level::Problem));
        summary.moved_to = Some("/elsewhere".to_owned());
        assert_eq!(schema("a", &summary).map(|found| found.level), Some(Level::Ok));
        // A crash loop is worse than a crash.
        assert_eq!(crashes("a", &summary, false), None);
        summary.restart.crashes_in_row = CRASH_LOOP;
        assert_eq!(crashes("a", &summary, false).map(|found| found.level), Some(Level::Problem));
        store.close().unwrap();
    }

    #[test]
    fn what_waits_for_a_person() {
        let inbox = InboxSummary { dead: 1, ..InboxSummary::default() };
        let found = for_people("a", &inbox, 2);
        let said: Vec<&str> = found.iter().map(|found| found.what.as_str()).collect();
        assert_eq!(said, ["1 event given up", "2 reviews for a person to answer"]);
        assert!(for_people("a", &InboxSummary::default(), 0).is_empty());
    }

    #[test]
    fn a_log_that_nobody_empties() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path(), "a").unwrap();
        fs::create_dir_all(home.db_dir()).unwrap();
        assert_eq!(log(&home), None);
        let file = fs::File::create(home.database().with_extension("db-wal")).unwrap();
        file.set_len(LOG_WARNING_BYTES + 1).unwrap();
        assert!(log(&home).is_some());
    }

    fn said(json: &str) -> Said {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_a_running_adrt_says() {
        let level =
            |json: &str| judge_running("a", &said(json), false).iter().map(|f| f.level).max();
        assert_eq!(level(r#"{"store":"ok"}"#), None);
        assert_eq!(level(r#"{"store":"disk full since …"}"#), Some(Level::Problem));
        assert_eq!(level(r#"{"rules":{"trouble":"line 3"}}"#), Some(Level::Warning));
        assert_eq!(level(r#"{"environment":{"level":"critical"}}"#), Some(Level::Warning));
        assert_eq!(level(r#"{"environment":{"level":"calm"}}"#), None);
        for (used, expected) in [(50, Level::Ok), (90, Level::Warning), (100, Level::Problem)] {
            let json = format!("{{\"file_bytes\":{used},\"counters\":{{\"max_db\":100}}}}");
            assert_eq!(level(&json), Some(expected), "{json}");
        }
    }

    #[test]
    fn wear_counts_on_a_card_and_over_an_hour() {
        let heavy = r#"{"written_bytes":1073741824,"counters":{"run_seconds":7200}}"#;
        assert_eq!(wear(&said(heavy), true).map(|f| f.level), Some(Level::Warning));
        assert_eq!(wear(&said(heavy), false).map(|f| f.level), Some(Level::Ok));
        let short = r#"{"written_bytes":1073741824,"counters":{"run_seconds":60}}"#;
        assert_eq!(wear(&said(short), true), None);
        let light = r#"{"written_bytes":1048576,"counters":{"run_seconds":7200}}"#;
        assert_eq!(wear(&said(light), true).map(|f| f.level), Some(Level::Ok));
    }
}
