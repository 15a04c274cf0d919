//! `adrt events retry` and `drop`: what a person does about events.

use super::seq;
use crate::cli::failure::{Failure, Kind};
use crate::cli::json::{Object, array};
use crate::cli::manage::confirm;
use crate::cli::text::counted;
use crate::cli::{Context, DONE, agent, client, past};
use crate::protocol::work::SEQS_MAX;
use crate::store::home::Home;
use crate::store::read_work::EventFilter;

/// More words than a command line has.
const WORDS_MAX: usize = usize::MAX;

/// Give dead letters another chance
///
/// They are handed out again, with no death and no nack counted.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt events retry [OPTIONS] [AGENT] <SEQ>...
       adrt events retry [OPTIONS] [AGENT] --dead",
    after_help = "Examples:
  adrt events retry 88 91
  adrt events retry night-watch --dead --type mail"
)]
pub struct RetryArgs {
    /// Which agent, and which events
    #[arg(value_name = "AGENT|SEQ")]
    pub words: Vec<String>,
    /// All dead letters
    #[arg(long)]
    pub dead: bool,
    /// ... of this type
    #[arg(long = "type", value_name = "TYPE", requires = "dead")]
    pub kind: Option<String>,
    /// Print {agent, retried}
    #[arg(long)]
    pub json: bool,
}

/// Delete events
///
/// With their steps, whether they wait, are done or were given up. One that
/// the agent has in hand can't be deleted. It can't be undone.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt events drop [OPTIONS] [AGENT] <SEQ>...
       adrt events drop [OPTIONS] [AGENT] --dead",
    after_help = "Examples:
  adrt events drop 88 91
  adrt events drop night-watch --dead --type mail --yes"
)]
pub struct DropArgs {
    /// Which agent, and which events
    #[arg(value_name = "AGENT|SEQ")]
    pub words: Vec<String>,
    /// All dead letters
    #[arg(long)]
    pub dead: bool,
    /// ... of this type
    #[arg(long = "type", value_name = "TYPE", requires = "dead")]
    pub kind: Option<String>,
    /// Do not ask before all dead letters go
    #[arg(short, long)]
    pub yes: bool,
    /// Print {agent, dropped}
    #[arg(long)]
    pub json: bool,
}

/// Runs `events retry`.
///
/// # Errors
/// There is no such event, or it was refused.
pub fn retry(args: &RetryArgs, context: &Context) -> Result<u8, Failure> {
    let (home, seqs) = chosen(&args.words, args.dead, args.kind.as_deref(), context)?;
    send(context, &home, "event.retry", &seqs)?;
    tell(context, &home, args.json, "retried", seqs.len(), "pending again")
}

/// Runs `events drop`.
///
/// # Errors
/// There is no such event, nobody agreed, or it was refused.
pub fn drop(args: &DropArgs, context: &Context) -> Result<u8, Failure> {
    let (home, seqs) = chosen(&args.words, args.dead, args.kind.as_deref(), context)?;
    let name = home.agent();
    if args.dead && !seqs.is_empty() {
        let question = format!("Delete {} of {name}?", counted(seqs.len() as u64, "dead letter"));
        confirm(args.yes, &question, || {
            Failure::new(Kind::Usage, format!("no dead letter of {name} was deleted"))
                .why("nobody is there to agree, and it can't be undone")
                .hint(format!("adrt events drop {name} --dead --yes"))
        })?;
    }
    send(context, &home, "event.drop", &seqs)?;
    tell(context, &home, args.json, "dropped", seqs.len(), "deleted")
}

/// The agent, and the events that are meant.
fn chosen(
    words: &[String],
    dead: bool,
    kind: Option<&str>,
    context: &Context,
) -> Result<(Home, Vec<u64>), Failure> {
    if dead {
        let (home, rest) = agent::split(context, words, 0, 0)?;
        if let Some(word) = rest.first() {
            return Err(Failure::new(Kind::Usage, "which events are meant?")
                .why(format!("--dead stands for all dead letters, and {word:?} for one event"))
                .hint("leave one of them out"));
        }
        let seqs = dead_letters(&home, kind)?;
        return Ok((home, seqs));
    }
    let (home, rest) = match words.split_first() {
        // A word that is no number can only be the agent.
        Some((first, rest)) if first.parse::<u64>().is_err() => {
            (agent::choose(context, Some(first))?, rest.to_vec())
        }
        Some(_) | None => agent::split(context, words, 1, WORDS_MAX)?,
    };
    if rest.is_empty() {
        return Err(Failure::new(Kind::Usage, "which events are meant?")
            .why("neither the number of one nor --dead is given")
            .hint(format!("adrt events list {}", home.agent())));
    }
    let seqs = rest.iter().map(|word| seq(word)).collect::<Result<_, _>>()?;
    Ok((home, seqs))
}

/// All of them, newest first.
fn dead_letters(home: &Home, kind: Option<&str>) -> Result<Vec<u64>, Failure> {
    let reader = past::open(home)?;
    let mut seqs: Vec<u64> = Vec::new();
    loop {
        let filter = EventFilter {
            dead_only: true,
            kind: kind.map(str::to_owned),
            before: seqs.last().copied(),
            ..EventFilter::default()
        };
        let found =
            reader.events(&filter, SEQS_MAX as u64).map_err(|error| past::of_read(home, error))?;
        if found.is_empty() {
            return Ok(seqs);
        }
        seqs.extend(found.iter().map(|view| view.row.status.seq));
    }
}

fn send(context: &Context, home: &Home, method: &str, seqs: &[u64]) -> Result<(), Failure> {
    for some in seqs.chunks(SEQS_MAX) {
        let list = array(some.iter().map(u64::to_string));
        let params = Object::new().raw("seqs", &list).finish();
        if let Err(refusal) = client::request(context, home, method, &params)? {
            let hint = format!("nothing was done; look with adrt events list {}", home.agent());
            return Err(refusal.into_failure(home).hint(hint));
        }
    }
    Ok(())
}

fn tell(
    context: &Context,
    home: &Home,
    as_json: bool,
    member: &str,
    count: usize,
    what: &str,
) -> Result<u8, Failure> {
    if as_json {
        let object = Object::new().text("agent", home.agent()).number(member, count as u64);
        context.out.json(&object.finish())?;
    } else {
        let verb = if count == 1 { "is" } else { "are" };
        context.out.line(&format!(
            "{}: {} {verb} {what}",
            home.agent(),
            counted(count as u64, "event")
        ))?;
    }
    Ok(DONE)
}
