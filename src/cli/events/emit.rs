//! `adrt events emit`: something has happened.
//!
//! From stdin, lines go into the inbox as they come: all that wait together
//! are one transaction, and the first is not kept waiting for more. A line
//! that is no event ends the command, and says which lines are in already.

use std::io::{BufRead as _, BufReader, Read};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::failure::{Failure, Kind};
use crate::cli::input::{self, STDIN, Shape};
use crate::cli::json::{Object, array};
use crate::cli::output::note;
use crate::cli::text::escaped;
use crate::cli::{Context, DONE, agent, client, quantity};
use crate::protocol::work::event;
use crate::store::home::Home;

/// Events of one transaction, so that its answer is not long in coming.
const BATCH_EVENTS: usize = 1000;
/// Bytes of lines of one transaction, and of what is read ahead.
const BATCH_BYTES: usize = 1 << 20;
/// The longest line: as long as a frame of an agent may be.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Put an event into the inbox
///
/// It is there when the command ends, whether the agent runs or not, and is
/// handed out until it is acked. Its number is printed. An event with a
/// source and an id that is there already is not put in again. With - lines
/// of JSON are read from stdin, an event each, and go in as they come.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt events emit [OPTIONS] [AGENT] <EVENT>
       adrt events emit [OPTIONS] [AGENT] --type <TYPE>",
    after_help = "Examples:
  adrt events emit '{\"type\": \"temp\", \"c\": 71}'
  adrt events emit --type temp --data '{\"c\": 71}' --delay 5m
  mosquitto_sub -t alarms | adrt events emit night-watch -
  adrt events emit --to other '{\"type\": \"done\", \"source\": \"me\", \"id\": \"7\"}'"
)]
pub struct EmitArgs {
    /// Which agent, and the event: a JSON object with a type; - reads stdin
    #[arg(value_name = "AGENT|EVENT", num_args = 0..=2)]
    pub words: Vec<String>,
    /// Make the event from this type
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// ... and the members of this JSON object
    #[arg(long, value_name = "JSON", requires = "kind")]
    pub data: Option<String>,
    /// Where it comes from
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Its id there: a second one with it is a duplicate
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Not to be handed out before so long
    #[arg(long, value_name = "TIME", value_parser = quantity::duration)]
    pub delay: Option<Duration>,
    /// Send it to this agent, through the outbox of AGENT
    #[arg(long, value_name = "AGENT")]
    pub to: Option<String>,
    /// Print {seq, duplicate}; with --to {outbox_id}
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// It is no event, or it was refused.
pub fn main(args: &EmitArgs, context: &Context) -> Result<u8, Failure> {
    let needed = usize::from(args.kind.is_none());
    let (home, words) = agent::split(context, &args.words, needed, needed)?;
    let text = match (&args.kind, words.first().map(String::as_str)) {
        (Some(kind), None) => {
            let data = args.data.as_deref().unwrap_or("{}");
            let data = input::json(data, "the data", Shape::Object)?;
            with_members(Object::new().text("type", kind), args, &data)
        }
        (None, Some(STDIN)) => return from_stdin(args, context, &home),
        (None, Some(word)) => {
            with_members(Object::new(), args, &input::json(word, "the event", Shape::Object)?)
        }
        (Some(_), Some(_)) | (None, None) => return Err(which()),
    };
    event(&text).map_err(|error| no_event(&error.message))?;
    let result = client::call(context, &home, "event.emit", &params(args, &text))?;
    tell(args, context, &result)?;
    Ok(DONE)
}

fn which() -> Failure {
    Failure::new(Kind::Usage, "which event is meant?")
        .why("one is given, as JSON or by its --type")
        .hint("adrt events emit [AGENT] '{\"type\": \"temp\", \"c\": 71}'")
}

fn no_event(why: &str) -> Failure {
    Failure::new(Kind::Usage, "that is no event")
        .why(why.trim_start_matches("invalid params: "))
        .hint("an event is an object with a type, as {\"type\": \"temp\", \"c\": 71}")
}

/// The event with the members that options stand for in front.
fn with_members(head: Object, args: &EmitArgs, object: &str) -> String {
    let mut head = head;
    for (name, value) in [("source", &args.source), ("id", &args.id)] {
        if let Some(value) = value {
            head = head.text(name, value);
        }
    }
    head.joined_with(object)
}

/// Params of `event.emit`.
fn params(args: &EmitArgs, event: &str) -> String {
    let mut params = Object::new().raw("event", event);
    if let Some(to) = &args.to {
        params = params.text("to", to);
    }
    if let Some(delay) = args.delay {
        params = params.number("delay_ms", quantity::millis(delay));
    }
    params.finish()
}

#[derive(Deserialize)]
struct Emitted {
    seq: Option<u64>,
    #[serde(default)]
    duplicate: bool,
    outbox_id: Option<u64>,
}

/// Prints one result of `event.emit`.
fn tell(args: &EmitArgs, context: &Context, result: &str) -> Result<(), Failure> {
    if args.json {
        return context.out.json_line(result);
    }
    let Emitted { seq, duplicate, outbox_id } = client::parse(result)?;
    match (seq, outbox_id, &args.to) {
        (Some(seq), _, _) => {
            context.out.line(&seq.to_string())?;
            if duplicate {
                note(&format!("adrt: event {seq} was there already, with this source and id"));
            }
        }
        (None, Some(id), Some(to)) => {
            context.out.line(&format!("on its way to {}, {id} in the outbox", escaped(to)))?;
        }
        (None, _, _) => {}
    }
    Ok(())
}

// ------------------------------------------------------------------ stdin

fn from_stdin(args: &EmitArgs, context: &Context, home: &Home) -> Result<u8, Failure> {
    if args.id.is_some() {
        return Err(Failure::new(Kind::Usage, "--id is for one event")
            .why("all lines of stdin would be duplicates of the first")
            .hint("put the ids into the lines, and give --source"));
    }
    let stdin = BufReader::with_capacity(BATCH_BYTES, std::io::stdin().lock());
    let mut lines = Lines { reader: stdin, number: 0 };
    let mut done = 0;
    loop {
        let batch = lines.batch(args).map_err(|failure| so_far(failure, done))?;
        if !batch.events.is_empty() {
            emit(args, context, home, &batch).map_err(|failure| so_far(failure, done))?;
        }
        done = batch.last;
        if let Some(failure) = batch.then {
            return Err(so_far(failure, done));
        }
        if batch.is_last {
            return Ok(DONE);
        }
    }
}

/// What is in already, so that the rest can be sent without a repetition.
fn so_far(failure: Failure, done: u64) -> Failure {
    let rest = match done {
        0 => "no line before it is in the inbox".to_owned(),
        done => format!("lines 1 to {done} are in the inbox: go on with tail -n +{}", done + 1),
    };
    let hint = match failure.hint.as_str() {
        "" => rest,
        hint => format!("{hint}; {rest}"),
    };
    Failure { hint, ..failure }
}

/// Lines that go in together.
#[derive(Default)]
struct Batch {
    /// Each with the number of its line.
    events: Vec<(u64, String)>,
    /// The last line that is in when these are.
    last: u64,
    /// Why reading stops here.
    then: Option<Failure>,
    /// There are no more.
    is_last: bool,
}

struct Lines<R> {
    reader: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// Waits for an event, and takes what else is there.
    fn batch(&mut self, args: &EmitArgs) -> Result<Batch, Failure> {
        let mut batch = Batch { last: self.number, ..Batch::default() };
        let mut bytes = 0;
        while batch.events.len() < BATCH_EVENTS && bytes < BATCH_BYTES {
            let Some(line) = self.line().map_err(|error| input::unreadable(&error))? else {
                batch.is_last = true;
                break;
            };
            bytes += line.len();
            match read(args, &line) {
                Ok(Some(event)) => batch.events.push((self.number, event)),
                Ok(None) => {}
                Err(why) => {
                    batch.then = Some(bad_line(self.number, &why));
                    break;
                }
            }
            batch.last = self.number;
            if !batch.events.is_empty() && !self.reader.buffer().contains(&b'\n') {
                break;
            }
        }
        Ok(batch)
    }

    fn line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line)?;
        self.number += u64::from(read > 0);
        Ok((read > 0).then_some(line))
    }
}

fn bad_line(number: u64, why: &str) -> Failure {
    let failure = no_event(why);
    Failure { what: format!("line {number} is no event"), ..failure }
}

/// The event of a line; none if the line is blank.
fn read(args: &EmitArgs, line: &[u8]) -> Result<Option<String>, String> {
    if line.len() as u64 > LINE_BYTES_MAX {
        return Err(format!("it is longer than {} MiB", LINE_BYTES_MAX >> 20));
    }
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let text = crate::json::validate(line)
        .map_err(|fault| format!("column {}: {}", fault.column, fault.reason))?;
    if !text.starts_with('{') {
        return Err("it is no object".to_owned());
    }
    let text = with_members(Object::new(), args, text);
    event(&text).map_err(|error| error.message)?;
    Ok(Some(text))
}

#[derive(Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

/// One transaction.
fn emit(args: &EmitArgs, context: &Context, home: &Home, batch: &Batch) -> Result<(), Failure> {
    let ops = batch.events.iter().map(|(_, event)| {
        Object::new().text("method", "event.emit").raw("params", &params(args, event)).finish()
    });
    let ops = Object::new().raw("ops", &array(ops)).finish();
    let result = client::request(context, home, "tx", &ops)?.map_err(|refusal| {
        let line = refusal.index().and_then(|index| batch.events.get(index));
        let failure = refusal.clone().into_failure(home);
        match line {
            Some((number, _)) => {
                Failure { what: format!("line {number}: {}", failure.what), ..failure }
            }
            None => failure,
        }
    })?;
    let Results { results } = client::parse(&result)?;
    for result in results {
        tell(args, context, result.get())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> EmitArgs {
        EmitArgs {
            words: Vec::new(),
            kind: None,
            data: None,
            source: None,
            id: None,
            delay: None,
            to: None,
            json: false,
        }
    }

    #[test]
    fn options_become_members() {
        let args = EmitArgs { source: Some("mqtt".into()), id: Some("1".into()), ..args() };
        let head = Object::new().text("type", "t");
        assert_eq!(
            with_members(head, &args, "{\"c\": 1e400}"),
            r#"{"type":"t","source":"mqtt","id":"1","c": 1e400}"#
        );
        assert_eq!(with_members(Object::new(), &args, "{ }"), r#"{"source":"mqtt","id":"1"}"#);
        let args = EmitArgs { source: None, id: None, ..args };
        assert_eq!(with_members(Object::new(), &args, "{\"type\":1}"), "{\"type\":1}");
    }

    /// Gives one piece for each read, as a pipe does.
    struct Pieces<'a>(Vec<&'a str>);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0).as_bytes();
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn batches(pieces: &[&str]) -> Vec<(usize, u64, bool)> {
        let reader = BufReader::with_capacity(BATCH_BYTES, Pieces(pieces.to_vec()));
        let mut lines = Lines { reader, number: 0 };
        let mut seen = Vec::new();
        loop {
            let batch = lines.batch(&args()).expect("reads");
            seen.push((batch.events.len(), batch.last, batch.then.is_some()));
            if batch.is_last || batch.then.is_some() {
                return seen;
            }
        }
    }

    #[test]
    fn lines_go_together_as_they_come() {
        let event = "{\"type\":\"t\"}\n";
        let two = event.repeat(2);
        assert_eq!(
            batches(&[event, &two, event]),
            [(1, 1, false), (2, 3, false), (1, 4, false), (0, 4, false)]
        );
        assert_eq!(
            batches(&["\n\n", event, "{\"type\":", "\"t\"}"]),
            [(1, 3, false), (1, 4, false), (0, 4, false)]
        );
        let many = event.repeat(BATCH_EVENTS + 1);
        assert_eq!(batches(&[&many])[0], (BATCH_EVENTS, BATCH_EVENTS as u64, false));
    }

    #[test]
    fn a_bad_line_stops_behind_those_before_it() {
        let event = "{\"type\":\"t\"}\n";
        for bad in ["{\"type\":1}\n", "[]\n", "{}\n", "nonsense\n"] {
            assert_eq!(batches(&[&format!("{event}{bad}{event}")]), [(1, 1, true)]);
        }
    }
}
