//! `adrt status`: how an agent is.
//!
//! Of a running one its adrt is asked; of any other the database. Both give
//! one [`Status`], whose `--json` has the same members either way.
//!
//! `status` itself exits 0 whenever it could tell, also of an agent that is
//! down: it did what it was asked. `status --check` is for scripts and
//! monitors: one line, 0 ok, 1 degraded, 2 down.

mod document;
mod environment;
mod page;
mod trouble;

pub use document::{Inbox, LastCheckpoint, LastExit, OfType, Rules, Status, Subscribed};
pub use environment::{Change, Environment};

use super::failure::{Failure, Kind};
use super::json::array;
use super::output::Tint;
use super::{Context, DONE, agent, client, list, logs, past};
use crate::clock::{self, Wall};
use crate::runtime::usage;
use crate::store::home::Home;
use crate::store::ledger::{IncarnationEnding, IncarnationRow};
use crate::store::lock::Holder;
use crate::store::read::{ReadError, Reader, Summary};
use crate::store::read_work::InboxSummary;
use crate::supervisor::io::Exit;

/// Lines of output on a page.
const LINES_SHOWN: usize = 10;
/// The phase of an agent that no adrt runs.
const STOPPED: &str = "stopped";
/// The phase of one whose adrt was killed, and has not been started again.
const LOST: &str = "lost";
/// The phase of one whose process started its adrt, not the other way round.
const ATTACHED: &str = "attached";
/// The phase of one whose adrt does not answer.
const UNREACHABLE: &str = "unreachable";

/// Show how an agent is
///
/// Its phase, why it restarted, what waits in its inbox and for you, what it
/// takes of the machine, and the last lines it printed; where there are several
/// agents and none is named, a line each.
///
/// With --check one line that names the worst, and the exit code tells: 0 it
/// runs, 1 it runs in trouble (back-off, crash loop, failing disk, full inbox),
/// 2 it is down; of several agents, how the worst of them is.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt status
  adrt status night-watch --json
  adrt status night-watch --check || page-somebody")]
pub struct StatusArgs {
    /// Which agent [default: the only one, else all of them]
    pub agent: Option<String>,
    /// One line; exit 0 ok, 1 degraded, 2 down
    #[arg(long)]
    pub check: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `--check` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It runs.
    Ok,
    /// It runs, in trouble.
    Degraded,
    /// It does not run.
    Down,
}

impl Health {
    const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => DONE,
            Self::Degraded => Kind::Failed.exit_code(),
            Self::Down => Kind::Down.exit_code(),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// There is no such agent, or it can't be read.
pub fn main(args: &StatusArgs, context: &Context) -> Result<u8, Failure> {
    if args.agent.is_none() && context.env.text("ADRT_AGENT").is_none() {
        let names = agent::all(context)?;
        if names.len() > 1 {
            return of_several(args, context, &names);
        }
    }
    let home = agent::choose(context, args.agent.as_deref())?;
    let status = of_agent(&home)?;
    if args.json {
        context.out.json(&as_json(&status)?)?;
    } else if args.check {
        context.out.line(&page::line(context, &status))?;
    } else {
        context.out.print(&page::page(context, &status, &logs::last(&home, LINES_SHOWN)))?;
    }
    Ok(if args.check { status.health().exit_code() } else { DONE })
}

/// A line each; with `--check` that of the worst, which one that can't be read
/// is.
fn of_several(args: &StatusArgs, context: &Context, names: &[String]) -> Result<u8, Failure> {
    let state_dir = context.state_dir()?;
    if !args.check && !args.json {
        return list::main(&list::ListArgs { json: false }, context);
    }
    let (mut found, mut texts, mut unreadable) = (Vec::new(), Vec::new(), None);
    for name in names {
        let home = Home::new(&state_dir, name)
            .map_err(|error| agent::of_home("the agents can't be listed", &error))?;
        match of_agent(&home) {
            Ok(status) => {
                texts.push(as_json(&status)?);
                found.push(status);
            }
            Err(failure) => {
                texts.push(list::unreadable(name, &failure));
                unreadable = unreadable.or(Some(failure));
            }
        }
    }
    if args.json {
        context.out.json(&array(texts))?;
    }
    if !args.check {
        return Ok(DONE);
    }
    if let Some(failure) = unreadable {
        return Err(failure);
    }
    // The first of those that are equally bad.
    let worst = found.iter().rev().max_by_key(|status| status.health());
    let Some(worst) = worst else { return Ok(DONE) };
    if !args.json {
        context.out.line(&page::line(context, worst))?;
    }
    Ok(worst.health().exit_code())
}

fn as_json(status: &Status) -> Result<String, Failure> {
    serde_json::to_string(status).map_err(|error| {
        Failure::new(Kind::Failed, "the status can't be written as JSON").why(error)
    })
}

/// How that agent is.
///
/// # Errors
/// It does not run and can't be read.
pub fn of_agent(home: &Home) -> Result<Status, Failure> {
    match client::running(home) {
        Some(holder) => Ok(of_running(home, &holder)),
        None => {
            let reader = past::open(home)?;
            let kept = Kept::of(&reader).map_err(|error| past::of_read(home, error))?;
            Ok(of_stopped(home, &kept))
        }
    }
}

/// What the database says.
struct Kept {
    summary: Summary,
    inbox: InboxSummary,
    oldest_type: Option<String>,
    reviews: usize,
    timers: usize,
    written_in_a_day: u64,
    /// The newest two processes.
    newest: Vec<IncarnationRow>,
}

impl Kept {
    fn of(reader: &Reader) -> Result<Self, ReadError> {
        let inbox = reader.inbox_summary()?;
        let oldest = inbox.oldest_unacked.map(|(seq, _)| reader.event(seq)).transpose()?;
        Ok(Self {
            summary: reader.summary()?,
            oldest_type: oldest.flatten().map(|(view, _)| view.row.kind.to_string()),
            inbox,
            reviews: reader.reviews(true, u64::MAX)?.len(),
            timers: reader.timers()?.len(),
            written_in_a_day: reader.written_in_a_day(clock::wall())?,
            newest: reader.incarnations(false, None, 2)?,
        })
    }
}

/// An adrt that does not answer is a status too, with what the database says.
fn of_running(home: &Home, holder: &Holder) -> Status {
    let said = client::status(home, holder).and_then(|text| client::parse::<Status>(&text));
    // Read here too: the machine does not keep when something was made.
    let kept = Reader::open(home).and_then(|reader| Kept::of(&reader)).ok();
    let mut status = match said {
        Ok(status) => status,
        Err(failure) => Status {
            agent: home.agent().to_owned(),
            phase: UNREACHABLE.to_owned(),
            since: None,
            status_text: Some(failure.why),
            ..kept.as_ref().map(|kept| of_stopped(home, kept)).unwrap_or_default()
        },
    };
    status.adrt_pid = (holder.pid > 0).then_some(holder.pid.into());
    // Of an attached one adrt knows only who started it.
    let own = status.pid.filter(|_| status.phase != ATTACHED);
    status.usage = own.and_then(|pid| usage::usage(home.agent(), pid));
    let Some(kept) = kept else { return status };
    told_by_ledger(&mut status, &kept.newest);
    if status.updated.is_none() {
        status.updated = kept.summary.updated.map(Wall::rfc3339);
    }
    if status.release.is_none() {
        let row =
            kept.summary.incarnation.as_ref().filter(|row| Some(row.id) == status.incarnation);
        status.release = row.and_then(|row| row.release.clone());
    }
    if let Some(inbox) = status.inbox.as_mut().filter(|inbox| inbox.depth() > 0) {
        let Inbox { oldest, oldest_seq, oldest_type, .. } = Inbox::of(&kept);
        (inbox.oldest, inbox.oldest_seq, inbox.oldest_type) = (oldest, oldest_seq, oldest_type);
        let unwanted = status.subscribed.as_ref().map(|asked| asked.leaves(&kept.inbox.by_type));
        inbox.unwanted = unwanted.unwrap_or_default();
    }
    status
}

/// Why a process was started and how one ended, as it was written down: its
/// adrt keeps the reason of the next start, and less of an end's story.
fn told_by_ledger(status: &mut Status, newest: &[IncarnationRow]) {
    if let Some(row) = newest.iter().find(|row| Some(row.id) == status.incarnation) {
        status.start_reason = Some(row.reason.clone());
    }
    if let Some(end) = newest.iter().find_map(|row| row.end.as_ref()) {
        status.last_exit = Some(last_exit(end));
    }
}

fn last_exit(end: &IncarnationEnding) -> LastExit {
    let (code, signal) = match end.exit {
        Some(Exit::Code(code)) => (Some(code), None),
        Some(Exit::Signal { signal, .. }) => (None, Some(signal)),
        None => (None, None),
    };
    let (class, summary) = (Some(end.class.clone()), end.summary.clone());
    LastExit { class, code, signal, summary }
}

fn of_stopped(home: &Home, kept: &Kept) -> Status {
    let Kept { summary, reviews, timers, .. } = kept;
    let row = summary.incarnation.as_ref();
    let end = row.and_then(|row| row.end.as_ref());
    let crashes = u64::from(summary.restart.crashes_in_row);
    // An end that nobody could write down.
    let is_lost = row.is_some_and(|row| row.end.is_none());
    Status {
        agent: home.agent().to_owned(),
        phase: if is_lost { LOST } else { STOPPED }.to_owned(),
        since: end.map(|end| end.ended.rfc3339()),
        run_id: row.map(|row| row.run_id.clone()),
        incarnation: row.map(|row| row.id),
        start_reason: row.map(|row| row.reason.clone()),
        release: row.and_then(|row| row.release.clone()),
        crashes_in_row: Some(crashes),
        crash_loop: Some(crashes >= u64::from(crate::supervisor::restart::CRASH_LOOP)),
        last_exit: end.map(last_exit),
        version: Some(summary.version),
        updated: summary.updated.map(Wall::rfc3339),
        checkpoint: summary.checkpoint.as_ref().map(|info| LastCheckpoint {
            id: info.id,
            version: info.version,
            created: info.created.rfc3339(),
        }),
        file_bytes: Some(summary.file_bytes),
        written_day_bytes: Some(kept.written_in_a_day),
        store: summary.moved_to.as_ref().map(|to| format!("moved away, to {to}")),
        inbox: Some(Inbox::of(kept)),
        reviews: Some(*reviews as u64),
        timers: Some(*timers as u64),
        ..Status::default()
    }
}

impl Inbox {
    /// Of an agent that has none in hand, since it does not run.
    fn of(kept: &Kept) -> Self {
        let oldest_type = kept.oldest_type.clone();
        let kept = &kept.inbox;
        Self {
            pending: kept.pending,
            parked: kept.parked,
            dead: kept.dead,
            oldest: kept.oldest_unacked.map(|(_, at)| at.rfc3339()),
            oldest_seq: kept.oldest_unacked.map(|(seq, _)| seq),
            oldest_type,
            ..Self::default()
        }
    }
}

impl Status {
    /// How well it is.
    pub fn health(&self) -> Health {
        match self.phase.as_str() {
            "running" | "starting" | ATTACHED => {
                let trouble = self.crash_loop == Some(true)
                    || self.unstable == Some(true)
                    || self.inbox.as_ref().is_some_and(|inbox| inbox.full)
                    || self.store.as_deref().is_some_and(|store| store != "ok")
                    // The next start of adrt would refuse that file.
                    || self.rules.as_ref().is_some_and(|rules| rules.trouble.is_some())
                    || (self.phase == "starting" && self.crashes_in_row > Some(0));
                if trouble { Health::Degraded } else { Health::Ok }
            }
            STOPPED | LOST | UNREACHABLE => Health::Down,
            // Back-off, the moments between two incarnations, and an end that
            // has begun: adrt is there, the agent is not, or not for long.
            _ => Health::Degraded,
        }
    }

    /// Its colour.
    pub fn tint(&self) -> Tint {
        match self.health() {
            Health::Ok => Tint::Good,
            Health::Degraded if self.crash_loop == Some(true) => Tint::Bad,
            Health::Degraded => Tint::Warn,
            Health::Down if self.phase == STOPPED && self.crashes_in_row == Some(0) => Tint::Dim,
            Health::Down => Tint::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(phase: &str) -> Status {
        Status { phase: phase.to_owned(), store: Some("ok".to_owned()), ..Status::default() }
    }

    #[test]
    fn health() {
        for (phase, health) in [
            ("running", Health::Ok),
            ("attached", Health::Ok),
            ("starting", Health::Ok),
            ("backoff", Health::Degraded),
            ("stopping", Health::Degraded),
            ("ended", Health::Degraded),
            ("stopped", Health::Down),
            ("lost", Health::Down),
            ("unreachable", Health::Down),
        ] {
            assert_eq!(status(phase).health(), health, "{phase}");
        }
        let looping = Status { crash_loop: Some(true), ..status("running") };
        assert_eq!(looping.health(), Health::Degraded);
        let full = Status { store: Some("disk full".to_owned()), ..status("running") };
        assert_eq!(full.health(), Health::Degraded);
        let full =
            Status { inbox: Some(Inbox { full: true, ..Inbox::default() }), ..status("running") };
        assert_eq!(full.health(), Health::Degraded);
        let trouble = Some("line 1, column 1: no".to_owned());
        let rules = Rules { trouble, ..Rules::default() };
        let unruly = Status { rules: Some(rules), ..status("running") };
        assert_eq!(unruly.health(), Health::Degraded);
        let again = Status { crashes_in_row: Some(1), ..status("starting") };
        assert_eq!(again.health(), Health::Degraded);
    }

    #[test]
    fn what_nobody_asks_for() {
        let waiting = [("mail.in".to_owned(), 2), ("temp".to_owned(), 1)];
        let leaves = |types: &[&str]| -> Vec<String> {
            let types = types.iter().map(|glob| (*glob).to_owned()).collect();
            let left = Subscribed { credit: 1, types }.leaves(&waiting);
            left.into_iter().map(|of| of.kind).collect()
        };
        assert_eq!(leaves(&[]), [""; 0]);
        assert_eq!(leaves(&["mail.*"]), ["temp"]);
        assert_eq!(leaves(&["x", "t*"]), ["mail.in"]);
    }

    #[test]
    fn exit_codes_of_check() {
        assert_eq!(Health::Ok.exit_code(), 0);
        assert_eq!(Health::Degraded.exit_code(), 1);
        assert_eq!(Health::Down.exit_code(), 2);
    }

    #[test]
    fn the_wire_may_say_more_or_less() {
        let text = r#"{"agent":"a","phase":"running","pid":7,"new_member":[1],
            "last_exit":{"signal":9,"summary":"killed by SIGKILL","this_run":true}}"#;
        let status: Status = serde_json::from_str(text).expect("parses");
        assert_eq!(status.pid, Some(7));
        assert_eq!(status.last_exit.and_then(|exit| exit.signal), Some(9));
    }
}
