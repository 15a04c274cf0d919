//! `adrt events next`, `ack` and `nack`: events for an agent that is a script.
//!
//! They are handed out to the incarnation that lives, and to it alone: when
//! it dies with one in hand, the next one gets it again, as another attempt.

use std::time::Duration;

use serde::Deserialize;

use super::{number, seq};
use crate::cli::failure::{Failure, Kind};
use crate::cli::input::{self, Shape};
use crate::cli::json::{Object, array};
use crate::cli::state::PatchFormat;
use crate::cli::{Context, DONE, agent, client, quantity};
use crate::clock;
use crate::store::home::Home;

/// What one request waits for an event. Waiting longer is asking again: so a
/// command that was killed is not handed one for long after its end.
const WAIT_MAX: Duration = Duration::from_secs(25);
/// Exit code when there is none.
const NOTHING: u8 = Kind::Failed.exit_code();

/// Take the next event
///
/// It is printed as one line of JSON, and is to be acked or nacked by its seq
/// and attempt. Exit 1 and nothing printed: there is none.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt events next
  adrt events next --wait=10m
  while event=$(adrt events next --wait); do ...; done")]
pub struct NextArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Wait for one, at most so long [default: as long as it takes]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = quantity::duration)]
    pub wait: Option<Option<Duration>>,
}

/// Say that an event is done
///
/// With what follows from it: all of it is one transaction, so that after any
/// crash both are there, or neither.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt events ack [OPTIONS] [AGENT] <SEQ> <ATTEMPT>",
    after_help = "Examples:
  adrt events ack 88 2
  adrt events ack 88 2 --patch '{\"n\": 6}' --emit '{\"type\": \"counted\"}'"
)]
pub struct AckArgs {
    /// Which agent, the event's number, and its attempt
    #[arg(value_name = "AGENT|SEQ|ATTEMPT", num_args = 2..=3, required = true)]
    pub words: Vec<String>,
    /// What it changes in the state, in JSON
    #[arg(long, value_name = "JSON")]
    pub patch: Option<String>,
    /// How the patch is written
    #[arg(long, value_enum, default_value = "merge", requires = "patch")]
    pub format: PatchFormat,
    /// An event that follows from it, in JSON; may be given again
    #[arg(long, value_name = "JSON")]
    pub emit: Vec<String>,
    /// Take a checkpoint after it
    #[arg(long)]
    pub checkpoint: bool,
    /// Print {agent, seq, version}
    #[arg(long)]
    pub json: bool,
}

/// Say that an event could not be done
///
/// It is handed out again after a delay that grows with each nack, until it
/// is older than --event-max-age of the run.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt events nack [OPTIONS] [AGENT] <SEQ> <ATTEMPT>",
    after_help = "Examples:
  adrt events nack 88 2 --reason 'the provider says 429'
  adrt events nack 88 2 --delay 10m
  adrt events nack 88 2 --dead --reason 'no such customer'"
)]
pub struct NackArgs {
    /// Which agent, the event's number, and its attempt
    #[arg(value_name = "AGENT|SEQ|ATTEMPT", num_args = 2..=3, required = true)]
    pub words: Vec<String>,
    /// Try again after so long, whatever the count
    #[arg(long, value_name = "TIME", value_parser = quantity::duration)]
    pub delay: Option<Duration>,
    /// Never try again: it is a dead letter
    #[arg(long, conflicts_with = "delay")]
    pub dead: bool,
    /// What went wrong
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Print {agent, seq}
    #[arg(long)]
    pub json: bool,
}

/// An event that was handed out, or none.
#[derive(Deserialize)]
struct Handed {
    seq: Option<u64>,
}

/// Runs `events next`.
///
/// # Errors
/// It does not run, or can't be asked.
pub fn next(args: &NextArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let begun = clock::mono();
    loop {
        let waited = clock::mono().since(begun);
        let left = match args.wait {
            None => Duration::ZERO,
            Some(None) => WAIT_MAX,
            Some(Some(patience)) => patience.saturating_sub(waited),
        };
        let wait = left.min(WAIT_MAX);
        let params = Object::new().number("wait_ms", quantity::millis(wait)).finish();
        let result = client::call_running(context, &home, "event.next", &params, wait)?;
        let handed: Option<Handed> = client::parse(&result)?;
        if handed.is_some_and(|event| event.seq.is_some()) {
            // One line, also on a terminal: it is read by programs.
            context.out.json_line(&result)?;
            return Ok(DONE);
        }
        if left <= wait && args.wait != Some(None) {
            return Ok(NOTHING);
        }
    }
}

/// Which hand-out of which event.
struct Which {
    home: Home,
    seq: u64,
    attempt: u64,
}

impl Which {
    fn of(context: &Context, words: &[String]) -> Result<Self, Failure> {
        let (home, words) = agent::split(context, words, 2, 2)?;
        let [event, attempt] = words.as_slice() else {
            return Err(Failure::new(Kind::Usage, "which event is meant?")
                .why("an event is settled by its seq and its attempt")
                .hint("both are in what adrt events next printed"));
        };
        let attempt = number(attempt, "attempt")?;
        Ok(Self { seq: seq(event)?, attempt, home })
    }

    fn params(&self) -> Object {
        Object::new().number("seq", self.seq).number("attempt", self.attempt)
    }

    fn call(&self, context: &Context, method: &str, params: Object) -> Result<String, Failure> {
        client::call_running(context, &self.home, method, &params.finish(), Duration::ZERO)
    }
}

#[derive(Deserialize)]
struct Acked {
    version: u64,
}

/// Runs `events ack`.
///
/// # Errors
/// The attempt is over, or it was refused.
pub fn ack(args: &AckArgs, context: &Context) -> Result<u8, Failure> {
    let which = Which::of(context, &args.words)?;
    let mut params = which.params();
    if let Some(patch) = &args.patch {
        let patch = input::json(patch, "the patch", args.format.shape())?;
        params = params.raw("patch", &patch).text("format", args.format.name());
    }
    if !args.emit.is_empty() {
        let events = args.emit.iter().map(|event| input::json(event, "the event", Shape::Object));
        params = params.raw("emit", &array(events.collect::<Result<Vec<_>, _>>()?));
    }
    if args.checkpoint {
        params = params.number("checkpoint", true);
    }
    let result = which.call(context, "event.ack", params)?;
    let Acked { version } = client::parse(&result)?;
    let name = which.home.agent();
    if args.json {
        let object = Object::new().text("agent", name).number("seq", which.seq);
        context.out.json(&object.number("version", version).finish())?;
    } else {
        let seq = which.seq;
        context.out.line(&format!("{name}: event {seq} is done, at version {version}"))?;
    }
    Ok(DONE)
}

/// Runs `events nack`.
///
/// # Errors
/// The attempt is over, or it was refused.
pub fn nack(args: &NackArgs, context: &Context) -> Result<u8, Failure> {
    let which = Which::of(context, &args.words)?;
    let mut params = which.params();
    if let Some(delay) = args.delay {
        params = params.number("delay_ms", quantity::millis(delay));
    }
    if args.dead {
        params = params.number("dead", true);
    }
    if let Some(reason) = &args.reason {
        params = params.text("reason", reason);
    }
    which.call(context, "event.nack", params)?;
    let (name, seq) = (which.home.agent(), which.seq);
    if args.json {
        context.out.json(&Object::new().text("agent", name).number("seq", seq).finish())?;
    } else {
        let then = if args.dead { "is a dead letter" } else { "will be handed out again" };
        context.out.line(&format!("{name}: event {seq} {then}"))?;
    }
    Ok(DONE)
}
