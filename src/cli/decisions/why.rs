//! `adrt why`: how a decision came about, and what became of it.

use super::account::Account;
use super::fields::fields;
use super::page::{NAMES_WIDTH, page, tinted_headline};
use crate::cli::failure::{Failure, Kind};
use crate::cli::json::Object;
use crate::cli::output::{Page, Tint};
use crate::cli::text::{clipped, escaped, span};
use crate::cli::{Context, DONE, agent, past, reviews};
use crate::clock::Wall;
use crate::engines::decision::Policy;
use crate::store::home::Home;
use crate::store::read::{ReadError, Reader};
use crate::supervisor::rulings::DecisionRow;
use crate::supervisor::work::{ReviewRow, ReviewStatus};

/// Explain a decision
///
/// What it was made of, which rules were tried and why each missed, what would
/// have changed it, what a person said and how it went. It is worked out again
/// from what is kept, by the rules that were in force then.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt why [OPTIONS] [AGENT] [ID]
       adrt why [OPTIONS] [AGENT] --event <SEQ>",
    after_help = "Examples:
  adrt why                   the newest
  adrt why 12
  adrt why night-watch 12 --json
  adrt why --event 88"
)]
pub struct WhyArgs {
    /// Which agent, and which decision [default: the newest]
    #[arg(value_name = "AGENT|ID", num_args = 0..=2)]
    pub words: Vec<String>,
    /// The one that was made when this event was processed
    #[arg(long, value_name = "SEQ")]
    pub event: Option<u64>,
    /// Print {agent, decision_id, at, ..., rules, otherwise, review, success}
    #[arg(long)]
    pub json: bool,
}

/// A decision, with what there is about it.
struct Found {
    row: DecisionRow,
    policy: Option<Policy>,
    review: Option<ReviewRow>,
    /// What silence about the review will mean, and in how long.
    expires: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// There is no such decision, or it can't be read.
pub fn main(args: &WhyArgs, context: &Context) -> Result<u8, Failure> {
    let most = usize::from(args.event.is_none());
    let (home, words) = agent::split(context, &args.words, 0, most)?;
    let reader = past::open(&home)?;
    let row = match (args.event, words.first()) {
        (Some(seq), _) => of_event(&home, &reader, seq)?,
        (None, Some(word)) => by_number(&home, &reader, word)?,
        (None, None) => newest(&home, &reader)?,
    };
    let found = found(context, &reader, row).map_err(|error| past::of_read(&home, error))?;
    drop(reader);
    let Found { row, policy, review, expires } = found;
    let account = Account::of_row(&row, policy);
    if args.json {
        let object = Object::new()
            .text("agent", home.agent())
            .number("decision_id", row.id)
            .text("at", &row.at.rfc3339())
            .with(fields(&account))
            .raw("review", &review_json(&row, review.as_ref()))
            .number("success", row.outcome)
            .maybe_text("settled", row.settled.map(Wall::rfc3339).as_deref());
        context.out.json(&object.finish())?;
        return Ok(DONE);
    }
    let (paint, width) = (context.out.paint, context.out.width);
    context.out.line(&tinted_headline(&account, paint, width))?;
    let event = account.seq.map_or_else(String::new, |seq| format!(" · event {seq}"));
    let when = context.moment.both(row.at);
    context.out.line(&format!("{} · decision {} · {when}{event}", home.agent(), row.id))?;
    let mut page = page(&account, paint, width);
    aftermath(context, &home, &row, review.as_ref(), expires, &mut page);
    context.out.print(&page.lay_out(paint))?;
    Ok(DONE)
}

// ------------------------------------------------------------------- which one

fn missing(home: &Home, what: String, why: &str) -> Failure {
    Failure::new(Kind::NotFound, what)
        .why(why)
        .hint(format!("adrt decisions list {}", home.agent()))
}

fn by_number(home: &Home, reader: &Reader, word: &str) -> Result<DecisionRow, Failure> {
    let id = word.parse().map_err(|_| {
        Failure::new(Kind::Usage, format!("{word:?} is neither an agent nor a decision"))
            .why("a decision is a number")
            .hint(format!("adrt decisions list {}", home.agent()))
    })?;
    let row = reader.decision(id).map_err(|error| past::of_read(home, error))?;
    row.ok_or_else(|| {
        let what = format!("{} has no decision {id}", home.agent());
        missing(home, what, "there was none, or it is no longer kept")
    })
}

fn of_event(home: &Home, reader: &Reader, seq: u64) -> Result<DecisionRow, Failure> {
    let row = reader.decision_of_event(seq).map_err(|error| past::of_read(home, error))?;
    row.ok_or_else(|| {
        let what = format!("{} has no decision about event {seq}", home.agent());
        missing(home, what, "it was not processed, or that is no longer kept")
    })
}

fn newest(home: &Home, reader: &Reader) -> Result<DecisionRow, Failure> {
    let rows = reader.decisions(1, None, &Default::default());
    let rows = rows.map_err(|error| past::of_read(home, error))?;
    rows.into_iter().next().ok_or_else(|| {
        Failure::new(Kind::NotFound, format!("{} has decided nothing", home.agent()))
            .why("it has not asked adrt to, or that is no longer kept")
            .hint("adrt decide shows what would be done about an event")
    })
}

fn found(context: &Context, reader: &Reader, row: DecisionRow) -> Result<Found, ReadError> {
    let policy = reader.policy(&row.policy)?;
    let policy = policy.and_then(|kept| Policy::from_json(&kept.text).ok());
    let review = row.review.map(|id| reader.review(id)).transpose()?.flatten();
    let expires = review.as_ref().filter(|review| review.status == ReviewStatus::Pending);
    let expires = match expires.and_then(|review| review.expires.map(|at| (review.default, at))) {
        Some((default, at)) => {
            let left = at.since(reader.age(context.moment.now)?);
            Some(format!("{} in {} without an answer", default.as_str(), span(left)))
        }
        None => None,
    };
    Ok(Found { row, policy, review, expires })
}

// -------------------------------------------------------------- what came of it

fn aftermath(
    context: &Context,
    home: &Home,
    row: &DecisionRow,
    review: Option<&ReviewRow>,
    expires: Option<String>,
    page: &mut Page,
) {
    let paint = context.out.paint;
    match (row.review, review) {
        (None, _) => {}
        (Some(id), None) => page.field("review", paint.dim(&format!("{id}, no longer kept"))),
        (Some(id), Some(review)) if review.status == ReviewStatus::Pending => {
            let asks = format!("{id}, waits: adrt reviews approve {} {id}", home.agent());
            let lines = [Some(asks), expires].into_iter().flatten();
            let lines: Vec<String> = lines.map(|line| paint.tint(Tint::Warn, &line)).collect();
            page.field("review", lines.join("\n"));
        }
        (Some(id), Some(review)) => {
            let room = context.out.width.saturating_sub(NAMES_WIDTH);
            page.field("review", clipped(&settled(context, id, review), room));
        }
    }
    let told =
        row.settled.map_or_else(String::new, |at| format!(", told {}", context.moment.ago(at)));
    match row.outcome {
        Some(true) => page.field("outcome", paint.tint(Tint::Good, &format!("success{told}"))),
        Some(false) => page.field("outcome", paint.tint(Tint::Bad, &format!("failure{told}"))),
        None => page.field("outcome", paint.dim("not told")),
    }
}

/// "7, approved by ada, 2 min ago: as discussed".
fn settled(context: &Context, id: u64, review: &ReviewRow) -> String {
    let by = review.by.as_deref().map_or_else(String::new, |by| format!(" by {}", escaped(by)));
    let when =
        review.settled.map_or_else(String::new, |at| format!(", {}", context.moment.ago(at)));
    let note =
        review.note.as_deref().map_or_else(String::new, |note| format!(": {}", escaped(note)));
    format!("{id}, {}{by}{when}{note}", review.status.as_str())
}

fn review_json(row: &DecisionRow, review: Option<&ReviewRow>) -> String {
    match (row.review, review) {
        (None, _) => "null".to_owned(),
        (Some(id), None) => Object::new().number("id", id).finish(),
        (Some(_), Some(review)) => reviews::fields(review).finish(),
    }
}
