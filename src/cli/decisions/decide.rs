//! `adrt decide`: what would be done about an event.
//!
//! Nothing is written, and no agent is needed: it is the same arithmetic that
//! `event.process` does, with what an agent's outcomes have taught if one is
//! named.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::account::{Account, Learnt};
use super::fields::fields;
use super::page::{headline, page, tinted_headline};
use crate::cli::config::of_fault;
use crate::cli::failure::{Failure, Kind};
use crate::cli::input::{self, STDIN};
use crate::cli::output::{Tint, note};
use crate::cli::{Context, DONE, agent, past};
use crate::engines::context::Signals;
use crate::engines::decision::{Policy, Verdict};
use crate::engines::environment::Level;
use crate::protocol::work::{EventText, event_line};
use crate::runtime::rules;
use crate::settings::RulesFile;

/// The longest line: as long as a frame of an agent may be.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Decide about an event
///
/// What it means, how sure one can be, what is to be done and whether a person
/// is asked first: as event.process decides, but nothing is written, and no
/// agent is needed. With - lines of JSON are read from stdin, an event each, and
/// a line is printed for each.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt decide '{\"type\": \"service_overload\", \"cpu\": 94, \"severity\": 0.82}'
  adrt decide --rules rules.toml --environment high '{\"type\": \"disk_full\"}'
  tail -f events.ndjson | adrt decide - --json")]
pub struct DecideArgs {
    /// The event: a JSON object with a type; - reads lines of them from stdin
    pub event: String,
    /// Try the rules in this TOML file first
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Or those in the table rules of this configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "rules")]
    pub config: Option<PathBuf>,
    /// How hard pressed the machine is
    #[arg(long, value_name = "LEVEL", default_value = "calm", value_parser = level())]
    pub environment: Level,
    /// With what the outcomes of this agent's decisions have taught
    #[arg(short = 'n', long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Print {event_type, context, signals, ..., rules, otherwise}, one a line
    #[arg(long)]
    pub json: bool,
}

fn level() -> impl TypedValueParser<Value = Level> {
    PossibleValuesParser::new(Level::ALL.map(Level::as_str))
        .map(|name| Level::from_name(&name).unwrap_or_default())
}

/// What decisions are made by.
struct Bench {
    policy: Arc<Policy>,
    learnt: Learnt,
    environment: Level,
}

impl Bench {
    fn account(&self, event: &EventText) -> Result<Account, String> {
        let signals = Signals::of_event(&event.text).map_err(|error| error.to_string())?;
        Ok(Account::of_event(event, signals, &self.policy, &self.learnt, self.environment))
    }
}

/// Runs the command.
///
/// # Errors
/// It is no event, or the rules make no sense.
pub fn main(args: &DecideArgs, context: &Context) -> Result<u8, Failure> {
    let bench = Bench {
        policy: policy(args, context)?,
        learnt: learnt(args.agent.as_deref(), context)?,
        environment: args.environment,
    };
    if args.event == STDIN {
        return from_stdin(args, context, &bench);
    }
    let event = event_line(args.event.as_bytes()).map_err(|why| no_event("that", &why))?;
    let account = bench.account(&event).map_err(|why| no_event("that", &why))?;
    if args.json {
        context.out.json(&fields(&account).finish())?;
        return Ok(DONE);
    }
    let (paint, width) = (context.out.paint, context.out.width);
    context.out.line(&tinted_headline(&account, paint, width))?;
    context.out.print(&page(&account, paint, width).lay_out(paint))?;
    Ok(DONE)
}

fn policy(args: &DecideArgs, context: &Context) -> Result<Arc<Policy>, Failure> {
    let own = args.rules.as_ref().map(|path| RulesFile::Own(context.env.cwd.join(path)));
    let config = args.config.as_ref().map(|path| RulesFile::Config(context.env.cwd.join(path)));
    let Some(file) = own.or(config) else { return Ok(Arc::default()) };
    let found = rules::read(&file).map_err(|fault| of_fault(&fault))?;
    for line in rules::warnings(&file, &found) {
        note(&format!("adrt: {line}"));
    }
    Ok(Arc::new(found.policy))
}

fn learnt(name: Option<&str>, context: &Context) -> Result<Learnt, Failure> {
    let Some(name) = name else { return Ok(Learnt::default()) };
    let home = agent::choose(context, Some(name))?;
    let reader = past::open(&home)?;
    let of_read = |error| past::of_read(&home, error);
    let rows = reader.calibrations().map_err(of_read)?;
    let age = reader.age(context.moment.now).map_err(of_read)?;
    Ok(Learnt::new(rows, age))
}

fn no_event(which: &str, why: &str) -> Failure {
    Failure::new(Kind::Usage, format!("{which} is no event"))
        .why(why.trim_start_matches("invalid params: "))
        .hint("an event is an object with a type, as {\"type\": \"timeout\", \"severity\": 0.5}")
}

/// A decision for each line, as it comes.
fn from_stdin(args: &DecideArgs, context: &Context, bench: &Bench) -> Result<u8, Failure> {
    let mut stdin = BufReader::new(std::io::stdin().lock());
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let mut limited = (&mut stdin).take(LINE_BYTES_MAX + 1);
        let read = limited.read_until(b'\n', &mut line).map_err(|e| input::unreadable(&e))?;
        if read == 0 {
            break;
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            return Err(no_event(&format!("line {number}"), "it is longer than 16 MiB"));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let event = event_line(line.trim_ascii());
        let account = event.and_then(|event| bench.account(&event));
        let account = account.map_err(|why| no_event(&format!("line {number}"), &why))?;
        if args.json {
            context.out.json_line(&fields(&account).finish())?;
        } else {
            context.out.line(&in_a_line(&account, context))?;
        }
    }
    Ok(DONE)
}

fn in_a_line(account: &Account, context: &Context) -> String {
    let line = headline(account, context.out.width);
    match account.verdict {
        Verdict::Execute => line,
        Verdict::Review => context.out.paint.tint(Tint::Warn, &format!("{line} (review)")),
    }
}
