//! `adrt events follow`: events as they come, and what becomes of them.
//!
//! Nothing is held open between two looks: each is a short read of its own,
//! and there is one only when something was committed since the last.

use std::collections::BTreeMap;
use std::time::Duration;

use super::shown::{Standing, body, fields, why};
use super::since;
use crate::cli::failure::{Failure, Kind};
use crate::cli::json::{compact, shown_string};
use crate::cli::text::{clipped, escaped};
use crate::cli::{Context, agent, client, past};
use crate::clock;
use crate::store::home::Home;
use crate::store::read::Reader;
use crate::store::read_work::{EventFilter, EventView};

/// Between two looks: a person takes it for at once.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Events read at once.
const PAGE_EVENTS: u64 = 500;
/// Events that are watched for changes at a time: the newest of those that
/// are not over. Each is read again whenever anything was committed.
const WATCHED_MAX: usize = 100;
/// Characters of a type in a line.
const TYPE_SHOWN_MAX: usize = 20;
/// Longer bodies are cut before they are laid out; no terminal is so wide.
const BODY_SHOWN_MAX: usize = 1000;

/// Print events as they come
///
/// And again when one is handed out, parked, done or given up, until Ctrl-C.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt events follow
  adrt events follow night-watch --type temp
  adrt events follow --since '1h ago' --json | jq .event")]
pub struct FollowArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Only those of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Begin with those that came since: 03:12, "2h ago", 2026-03-01T03:12
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Print lines of JSON, {seq, status, type, at, attempt, ..., event}
    #[arg(long)]
    pub json: bool,
}

/// Runs the command, which ends with its reader or a signal.
///
/// # Errors
/// It can't be read any more.
pub fn main(args: &FollowArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let reader = past::open(&home)?;
    let mut following =
        Following { args, context, last: 0, watched: BTreeMap::new(), seen: None, reader, home };
    following.begin()?;
    loop {
        following.look()?;
        std::thread::sleep(LOOK_EVERY);
    }
}

struct Following<'a> {
    args: &'a FollowArgs,
    context: &'a Context,
    home: Home,
    reader: Reader,
    /// The newest event that was seen.
    last: u64,
    /// Those whose state may change, with what was shown of it.
    watched: BTreeMap<u64, Shown>,
    /// What the file was at at the last look.
    seen: Option<i64>,
}

/// What makes a line of its own when it changes.
#[derive(PartialEq, Eq)]
struct Shown {
    state: &'static str,
    attempt: u32,
}

impl Following<'_> {
    /// From where: the events of a time, or whatever comes next.
    fn begin(&mut self) -> Result<(), Failure> {
        let since = since(self.context, self.args.since.as_deref())?;
        let mut filter = EventFilter { since, ..EventFilter::default() };
        let limit = if since.is_none() { 1 } else { PAGE_EVENTS };
        loop {
            let found = self.reader.events(&filter, limit);
            let found = found.map_err(|error| past::of_read(&self.home, error))?;
            // Newest first: the last is where to begin, or to read on.
            let Some(oldest) = found.last().map(|view| view.row.status.seq) else { return Ok(()) };
            if since.is_none() {
                self.last = oldest;
                return Ok(());
            }
            self.last = oldest.saturating_sub(1);
            filter.before = Some(oldest);
        }
    }

    fn look(&mut self) -> Result<(), Failure> {
        let of_read = |error| past::of_read(&self.home, error);
        let version = self.reader.data_version().map_err(of_read)?;
        if self.seen == Some(version) {
            return self.still_there();
        }
        let live = client::live_incarnation(&self.home);
        let seqs: Vec<u64> = self.watched.keys().copied().collect();
        for seq in seqs {
            let of_read = |error| past::of_read(&self.home, error);
            match self.reader.event(seq).map_err(of_read)? {
                Some((view, _)) => self.tell(&view, live)?,
                None => {
                    self.watched.remove(&seq);
                }
            }
        }
        loop {
            let of_read = |error| past::of_read(&self.home, error);
            let found = self.reader.events_after(self.last, PAGE_EVENTS).map_err(of_read)?;
            let Some(newest) = found.last().map(|view| view.row.status.seq) else { break };
            self.last = newest;
            let kind = self.args.kind.as_deref();
            for view in found.iter().filter(|view| kind.is_none_or(|kind| *kind == *view.row.kind))
            {
                self.tell(view, live)?;
            }
        }
        self.seen = Some(version);
        Ok(())
    }

    /// A file that was deleted can still be read, and never changes.
    fn still_there(&self) -> Result<(), Failure> {
        if self.home.exists() {
            return Ok(());
        }
        Err(Failure::new(Kind::NotFound, format!("{} is gone", self.home.agent()))
            .why("it was deleted, or given another name")
            .hint("adrt list"))
    }

    /// Prints an event if that was not printed before.
    fn tell(&mut self, view: &EventView, live: Option<u64>) -> Result<(), Failure> {
        let row = &view.row;
        let standing = Standing::of(row, live);
        let shown = Shown { state: standing.as_str(), attempt: row.status.attempt };
        let seq = row.status.seq;
        let before = self.watched.get(&seq);
        if before == Some(&shown) {
            return Ok(());
        }
        let line = if self.args.json {
            self.context.out.json_in_a_line(&fields(view, standing).finish())
        } else {
            self.line(view, standing, before.is_none())
        };
        self.context.out.line(&line)?;
        if standing.is_over() {
            self.watched.remove(&seq);
        } else {
            self.watched.insert(seq, shown);
            if self.watched.len() > WATCHED_MAX {
                self.watched.pop_first();
            }
        }
        Ok(())
    }

    /// `14:03:21  88  pending  temp  {"type":"temp"}`; of a change, why.
    fn line(&self, view: &EventView, standing: Standing, is_new: bool) -> String {
        let row = &view.row;
        let moment = &self.context.moment;
        let at = if is_new { row.at } else { clock::wall() };
        let kind = clipped(&escaped(&row.kind), TYPE_SHOWN_MAX);
        let attempt = row.status.attempt;
        let more = match (is_new, why(view, standing, moment)) {
            (true, _) => {
                let start: String = body(view).chars().take(BODY_SHOWN_MAX).collect();
                shown_string(&compact(&start))
            }
            (false, why) if why.is_empty() => format!("attempt {attempt}"),
            (false, why) => format!("attempt {attempt}, {why}"),
        };
        let seq = row.status.seq;
        let state = standing.as_str();
        let line = format!("{}  {seq:>4}  {state:<7}  {kind:<12}  {more}", moment.local(at));
        let paint = self.context.out.paint;
        paint.tint(standing.tint(), &clipped(&line, self.context.out.width))
    }
}
