//! `adrt reviews …`: what waits for a person.

use clap::Subcommand;
use serde::Deserialize;

use super::client::Refusal;
use super::decisions::figure;
use super::failure::{Failure, Kind};
use super::json::{Object, array, compact, shown_string};
use super::output::{Column, Table, Tint};
use super::text::{NONE, clipped, escaped};
use super::{Context, DONE, agent, client, past};
use crate::store::home::Home;
use crate::store::read::{ReadError, Reader};
use crate::supervisor::rulings::DecisionRow;
use crate::supervisor::work::{ReviewRow, ReviewStatus};

/// Longer prompts are cut before they are laid out; no terminal is so wide.
const PROMPT_SHOWN_MAX: usize = 1000;

/// Decide what an agent leaves to a person
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "a command's help stands at its arguments")]
pub enum ReviewsCommand {
    List(ListArgs),
    Approve(ApproveArgs),
    Reject(RejectArgs),
}

/// List what waits for a person
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt reviews list
  adrt reviews list night-watch --all --json")]
pub struct ListArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Those that are settled, too
    #[arg(long)]
    pub all: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u64,
    /// Print [{id, status, prompt, options, default, asked, ..., decision}]
    #[arg(long)]
    pub json: bool,
}

/// Say yes
///
/// The agent is told, and what waited for it goes on. It can't be undone.
#[derive(Debug, Clone, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  adrt reviews approve 7
  adrt reviews approve night-watch 7 --answer blue --note 'as discussed'"
)]
pub struct ApproveArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Which review
    #[arg(required = true)]
    pub id: u64,
    /// What to say.
    #[command(flatten)]
    pub said: Said,
}

/// Say no
///
/// The agent is told, and what waited for it goes on. It can't be undone.
#[derive(Debug, Clone, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  adrt reviews reject 7
  adrt reviews reject night-watch 7 --note 'not on a Friday'"
)]
pub struct RejectArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Which review
    #[arg(required = true)]
    pub id: u64,
    /// What to say.
    #[command(flatten)]
    pub said: Said,
}

/// What a person says to it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Said {
    /// One of its options, in JSON; what is no JSON is taken for text
    #[arg(long, value_name = "JSON")]
    pub answer: Option<String>,
    /// A word on it, for the agent and the record
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Print {agent, id, status}
    #[arg(long)]
    pub json: bool,
}

/// Runs one of them.
///
/// # Errors
/// See each.
pub fn main(command: ReviewsCommand, context: &Context) -> Result<u8, Failure> {
    match command {
        ReviewsCommand::List(args) => list(&args, context),
        ReviewsCommand::Approve(args) => {
            resolve(args.agent.as_deref(), args.id, "approved", &args.said, context)
        }
        ReviewsCommand::Reject(args) => {
            resolve(args.agent.as_deref(), args.id, "rejected", &args.said, context)
        }
    }
}

fn list(args: &ListArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let reader = past::open(&home)?;
    let found = found(args, &reader).map_err(|error| past::of_read(&home, error))?;
    drop(reader);
    if args.json {
        let rows = found.iter().map(|asked| {
            let decision = asked.decision.as_ref().map(|row| decision(row).finish());
            fields(&asked.row).raw("decision", decision.as_deref().unwrap_or("null")).finish()
        });
        context.out.json(&array(rows))?;
        return Ok(DONE);
    }
    if found.is_empty() {
        let what = if args.all { "has no reviews" } else { "waits for nobody" };
        context.out.line(&format!("{} {what}", home.agent()))?;
        return Ok(DONE);
    }
    context.out.table(&table(context, &found))?;
    Ok(DONE)
}

/// A review, and what was decided where it is about that.
struct Asked {
    row: ReviewRow,
    decision: Option<DecisionRow>,
}

fn found(args: &ListArgs, reader: &Reader) -> Result<Vec<Asked>, ReadError> {
    let rows = reader.reviews(!args.all, args.limit)?;
    rows.into_iter()
        .map(|row| {
            let decision = row.decision.map(|id| reader.decision(id)).transpose()?.flatten();
            Ok(Asked { row, decision })
        })
        .collect()
}

fn table(context: &Context, found: &[Asked]) -> Table {
    let mut table = Table::new(&[
        ("ID", Column::Right),
        ("STATUS", Column::Left),
        ("ASKED", Column::Left),
        ("DECISION", Column::Right),
        ("SURE", Column::Right),
        ("PROMPT", Column::Fill),
    ]);
    for Asked { row, decision } in found {
        let tint = match row.status {
            ReviewStatus::Pending => Tint::Warn,
            ReviewStatus::Approved | ReviewStatus::Rejected | ReviewStatus::Expired => Tint::Dim,
        };
        table.row(
            vec![
                row.id.to_string(),
                row.status.as_str().to_owned(),
                context.moment.ago(row.asked),
                row.decision.map_or_else(|| NONE.to_owned(), |id| id.to_string()),
                decision.as_ref().map_or_else(|| NONE.to_owned(), |row| figure(row.confidence)),
                clipped(&prompt(row), PROMPT_SHOWN_MAX),
            ],
            tint,
        );
    }
    table
}

/// What is asked, what may be answered, and what was.
fn prompt(row: &ReviewRow) -> String {
    let mut text = escaped(&row.prompt);
    if row.count > 1 {
        text.push_str(&format!(" (asked {} times)", row.count));
    }
    let shown = |json: &str| shown_string(&compact(json));
    match (row.status, &row.options, &row.answer) {
        (ReviewStatus::Pending, Some(options), _) => text.push_str(&format!(" {}", shown(options))),
        (ReviewStatus::Pending, None, _) | (_, _, None) => {}
        (_, _, Some(answer)) => text.push_str(&format!(" → {}", shown(answer))),
    }
    if let Some(by) = &row.by {
        text.push_str(&format!(" ({})", escaped(by)));
    }
    text
}

/// What was decided, in short; `adrt why` has all of it.
fn decision(row: &DecisionRow) -> Object {
    Object::new()
        .number("decision_id", row.id)
        .text("event_type", &row.kind)
        .text("context", &row.context)
        .text("risk", row.risk.as_str())
        .text("action", &row.action)
        .text("reason", &row.reason)
        .number("confidence", row.confidence)
        .number("threshold", row.threshold)
}

/// A review as JSON, without what it is about.
pub(super) fn fields(row: &ReviewRow) -> Object {
    let object = Object::new()
        .number("id", row.id)
        .text("status", row.status.as_str())
        .text("prompt", &row.prompt)
        .raw("options", row.options.as_deref().unwrap_or("null"))
        .text("default", row.default.as_str())
        .text("asked", &row.asked.rfc3339())
        .number("count", row.count)
        .maybe_text("key", row.key.as_deref());
    if row.status == ReviewStatus::Pending {
        return object;
    }
    object
        .raw("answer", row.answer.as_deref().unwrap_or("null"))
        .maybe_text("by", row.by.as_deref())
        .maybe_text("note", row.note.as_deref())
        .maybe_text("settled", row.settled.map(crate::clock::Wall::rfc3339).as_deref())
}

fn resolve(
    agent: Option<&str>,
    id: u64,
    status: &str,
    said: &Said,
    context: &Context,
) -> Result<u8, Failure> {
    let home = agent::choose(context, agent)?;
    let mut params = Object::new().number("id", id).text("status", status);
    if let Some(answer) = &said.answer {
        params = params.raw("answer", &answered(answer));
    }
    if let Some(note) = &said.note {
        params = params.text("note", note);
    }
    let params = params.text("by", &person(context)).finish();
    if let Err(refusal) = client::request(context, &home, "review.resolve", &params)? {
        return Err(not_resolved(context, &home, id, refusal));
    }
    let name = home.agent();
    if said.json {
        let object = Object::new().text("agent", name).number("id", id).text("status", status);
        context.out.json(&object.finish())?;
    } else {
        context.out.line(&format!("{name}: review {id} is {status}"))?;
    }
    Ok(DONE)
}

/// Why it is not to be settled: it is already, or there is none.
fn not_resolved(context: &Context, home: &Home, id: u64, refusal: Refusal) -> Failure {
    let params = Object::new().number("id", id).finish();
    let told = client::call(context, home, "review.get", &params);
    let failure = refusal.into_failure(home);
    let hint = format!("adrt reviews list {} --all", home.agent());
    match told.and_then(|text| client::parse::<Told>(&text)) {
        Ok(Told { status }) if ReviewStatus::from_name(&status).is_none() => {
            Failure::new(Kind::NotFound, format!("there is no review {id}"))
                .why(failure.why)
                .hint(hint)
        }
        Ok(Told { status }) if status != ReviewStatus::Pending.as_str() => failure.hint(hint),
        Ok(_) | Err(_) => failure,
    }
}

/// The answer of `review.get`.
#[derive(Deserialize)]
struct Told {
    status: String,
}

/// JSON, or text for somebody who does not think of quotes.
fn answered(word: &str) -> String {
    match crate::json::validate(word.as_bytes()) {
        Ok(text) => text.trim().to_owned(),
        Err(_) => super::json::quoted(word),
    }
}

/// Who says so: the person, also behind sudo.
fn person(context: &Context) -> String {
    let env = &context.env;
    if env.uid == 0
        && let Some(name) = env.text("SUDO_USER")
    {
        return name.to_owned();
    }
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(env.uid)).ok().flatten();
    user.map_or_else(|| format!("uid {}", env.uid), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(answered("{\"n\": 1e400}"), "{\"n\": 1e400}");
        assert_eq!(answered("7"), "7");
        assert_eq!(answered("blue sky"), "\"blue sky\"");
        assert_eq!(answered(""), "\"\"");
    }
}
