//! `adrt logs`: what an agent printed, and what its adrt said of it.
//!
//! The log is a file that the agent's adrt writes; reading it asks nobody and
//! holds up nobody. Following goes on over restarts of the agent, and of adrt.

mod lines;
mod source;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

pub use lines::Line;
pub use source::last;

use self::lines::Lines;
use super::failure::{Failure, Kind};
use super::json::Object;
use super::text::escaped_line;
use super::{Context, DONE, agent, when};
use crate::clock::Wall;
use crate::output::{Stream, Tail};
use crate::store::home::Home;

/// Lines that are shown when nothing is said.
const LINES_DEFAULT: usize = 100;
/// Between two looks: a person takes it for at once.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Looks without news after which a line is shown that was not ended: a second.
const LOOKS_PATIENCE: u32 = 10;

/// Show what an agent printed
///
/// Its stdout and stderr, and what adrt said of it, from the last 256 KiB that
/// are kept in memory (adrt run keeps them in its runtime directory); after a
/// reboot the last output of the newest incarnations, from the ledger. On a
/// terminal each line has the time it began. An agent of run --ephemeral has
/// no log.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt logs
  adrt logs night-watch -f
  adrt logs -n 1000 | grep Error
  adrt logs --since '10 min ago' --json | jq -r .text")]
pub struct LogsArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Go on with what comes, over restarts of the agent and of adrt, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// At most so many lines, the last ones [default: 100; with --since all]
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
    /// Only lines that began since: 03:12, "2h ago", 2026-03-01T03:12
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only those of this process of the agent
    #[arg(long, value_name = "N")]
    pub incarnation: Option<u64>,
    /// Print lines of JSON, {time, incarnation, stream, text}
    #[arg(long)]
    pub json: bool,
}

/// Runs the command; with `-f` it ends with its reader, a signal, or the agent.
///
/// # Errors
/// There is no such agent, or its log can't be read.
pub fn main(args: &LogsArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let hint = "adrt logs -n 1000 shows when lines came";
    let since = when::since(args.since.as_deref(), &context.moment, hint)?;
    let count = match (args.lines, since) {
        (Some(count), _) => count,
        (None, Some(_)) => usize::MAX,
        (None, None) => LINES_DEFAULT,
    };
    let wanted = Wanted { since, incarnation: args.incarnation };
    let today = local_date(context, context.moment.now);
    let mut teller = Teller { args, context, wanted, last_date: today };
    let mut following = Following { open: None, lines: Lines::default(), idle: 0, home };
    let mut found = following.begin(count)?;
    found.retain(|line| teller.wanted.takes(line));
    let found = found.split_off(found.len().saturating_sub(count));
    teller.tell(&found)?;
    if !args.follow {
        return Ok(DONE);
    }
    loop {
        std::thread::sleep(LOOK_EVERY);
        let mut found = following.look()?;
        found.retain(|line| teller.wanted.takes(line));
        teller.tell(&found)?;
    }
}

/// Which lines are asked for.
struct Wanted {
    since: Option<Wall>,
    incarnation: Option<u64>,
}

impl Wanted {
    fn takes(&self, line: &Line) -> bool {
        self.since.is_none_or(|since| line.at >= since)
            && self.incarnation.is_none_or(|incarnation| line.incarnation == incarnation)
    }
}

/// The log as it grows, and as it is replaced by another.
struct Following {
    home: Home,
    open: Option<(PathBuf, Tail)>,
    lines: Lines,
    /// Looks since the last news.
    idle: u32,
}

impl Following {
    /// All lines there are.
    fn begin(&mut self, enough: usize) -> Result<Vec<Line>, Failure> {
        self.open = source::open(&self.home)?;
        let mut whole = Vec::new();
        self.read(&mut whole)?;
        self.lines.finish(&mut whole);
        if self.open.is_some() {
            return Ok(whole);
        }
        let agent = self.home.agent();
        let found = source::of_ledger(&self.home, enough)?;
        super::output::note(&if found.is_empty() {
            format!("adrt: nothing that {agent} printed is kept")
        } else {
            format!(
                "adrt: no log of {agent} is there (a reboot ends it); \
                 this is the last output of its ended processes, from the ledger"
            )
        });
        Ok(found)
    }

    /// The lines that have come.
    fn look(&mut self) -> Result<Vec<Line>, Failure> {
        if !self.home.exists() {
            let what = format!("{} is gone", self.home.agent());
            let why = "it was deleted, or given another name";
            return Err(Failure::new(Kind::NotFound, what).why(why).hint("adrt list"));
        }
        let mut whole = Vec::new();
        self.read(&mut whole)?;
        let is_current = self.open.as_ref().is_some_and(|(path, tail)| tail.is_at(path));
        if !is_current && let Some(other) = source::open(&self.home)? {
            self.lines.finish(&mut whole);
            self.open = Some(other);
            self.read(&mut whole)?;
        }
        self.idle = if whole.is_empty() { self.idle.saturating_add(1) } else { 0 };
        if self.idle >= LOOKS_PATIENCE && !self.lines.is_empty() {
            self.lines.finish(&mut whole);
        }
        Ok(whole)
    }

    fn read(&mut self, whole: &mut Vec<Line>) -> Result<(), Failure> {
        let Some((path, tail)) = &mut self.open else { return Ok(()) };
        let records = tail.more().map_err(|error| source::of_log(&self.home, path, &error))?;
        for record in records {
            self.lines.take(record, whole);
        }
        Ok(())
    }
}

/// The way of lines to the reader.
struct Teller<'a> {
    args: &'a LogsArgs,
    context: &'a Context,
    wanted: Wanted,
    /// Of the last line that was told; none if dates mean nothing here.
    last_date: Option<Date>,
}

impl Teller<'_> {
    fn tell(&mut self, lines: &[Line]) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for line in lines {
            if self.args.json {
                text.push_str(&self.context.out.json_in_a_line(&as_json(line)));
            } else {
                self.date(line, &mut text);
                text.push_str(&for_people(self.context, line));
            }
            text.push('\n');
        }
        self.context.out.print(&text)
    }

    /// Lines have the time of day only: a line between them says that the day
    /// is another one.
    fn date(&mut self, line: &Line, text: &mut String) {
        if !self.context.out.terminal {
            return;
        }
        let date = local_date(self.context, line.at);
        if date != self.last_date {
            self.last_date = date;
            let date = date.map(|date| format!("── {date} ──\n")).unwrap_or_default();
            text.push_str(&self.context.out.paint.dim(&date));
        }
    }
}

fn local_date(context: &Context, at: Wall) -> Option<Date> {
    let stamp = Timestamp::from_millisecond(at.millis()).ok()?;
    Some(stamp.to_zoned(context.moment.zone.clone()).date())
}

/// A line for people: on a terminal with its time. What the agent wrote is
/// shown and never obeyed; adrt's own lines stand out.
fn for_people(context: &Context, line: &Line) -> String {
    let time = if context.out.terminal { stamp(context, line.at) + " " } else { String::new() };
    format!("{time}{}", said(context, line, str::to_owned))
}

/// The time of day, dim.
pub(in crate::cli) fn stamp(context: &Context, at: Wall) -> String {
    let zone = context.moment.zone.clone();
    let time = Timestamp::from_millisecond(at.millis())
        .map(|stamp| stamp.to_zoned(zone).strftime("%H:%M:%S").to_string());
    context.out.paint.dim(&time.unwrap_or_else(|_| at.rfc3339()))
}

/// What is said in a line, escaped and then made to fit.
pub(in crate::cli) fn said(
    context: &Context,
    line: &Line,
    fit: impl FnOnce(&str) -> String,
) -> String {
    let text = escaped_line(&String::from_utf8_lossy(&line.text));
    match line.stream {
        Some(Stream::Adrt) => context.out.paint.bold(&fit(&format!("adrt: {text}"))),
        Some(Stream::Stdout | Stream::Stderr | Stream::Log) | None => fit(&text),
    }
}

fn as_json(line: &Line) -> String {
    Object::new()
        .text("time", &line.at.rfc3339())
        .number("incarnation", line.incarnation)
        .maybe_text("stream", line.stream.map(Stream::as_str))
        .text("text", &String::from_utf8_lossy(&line.text))
        .finish()
}
