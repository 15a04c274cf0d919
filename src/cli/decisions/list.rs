//! `adrt decisions list`: what was decided.

use super::figures::figure;
use crate::cli::failure::Failure;
use crate::cli::json::{Object, array};
use crate::cli::output::{Column, Table, Tint};
use crate::cli::text::{NONE, clipped, escaped};
use crate::cli::{Context, DONE, agent, past, when};
use crate::clock::Wall;
use crate::engines::decision::{Priority, Verdict};
use crate::store::DecisionFilter;
use crate::store::read::{ReadError, Reader};
use crate::supervisor::rulings::DecisionRow;
use crate::supervisor::work::ReviewStatus;

/// Characters of a type in a table.
const TYPE_SHOWN_MAX: usize = 16;
/// Longer actions are cut before they are laid out; no terminal is so wide.
const ACTION_SHOWN_MAX: usize = 1000;

/// `--verdict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum VerdictWord {
    /// To be carried out at once
    Execute,
    /// A person was asked first
    Review,
}

impl From<VerdictWord> for Verdict {
    fn from(typed: VerdictWord) -> Self {
        match typed {
            VerdictWord::Execute => Self::Execute,
            VerdictWord::Review => Self::Review,
        }
    }
}

/// List decisions, newest first
///
/// Those of event.process and decision.decide, as long as they are kept. adrt
/// why explains one.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt decisions list
  adrt decisions list --verdict review --since '2h ago'
  adrt decisions list night-watch --context anomaly_signal --json")]
pub struct ListArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Only with this verdict
    #[arg(long, value_name = "VERDICT")]
    pub verdict: Option<VerdictWord>,
    /// Only about this kind of trouble
    #[arg(long, value_name = "CONTEXT")]
    pub context: Option<String>,
    /// Only those that were made since: 03:12, "2h ago", 2026-03-01T03:12
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u64,
    /// Only those before this one: the next page
    #[arg(long, value_name = "ID")]
    pub before: Option<u64>,
    /// Print [{decision_id, at, event_type, risk, action, confidence, ...}]
    #[arg(long)]
    pub json: bool,
}

/// A decision, and how its review is.
struct Listed {
    row: DecisionRow,
    review: Option<ReviewStatus>,
}

impl Listed {
    /// "execute", or how far the review is.
    fn status(&self) -> &'static str {
        match (self.row.verdict, self.review) {
            (Verdict::Execute, _) => Verdict::Execute.as_str(),
            (Verdict::Review, Some(status)) => status.as_str(),
            (Verdict::Review, None) => Verdict::Review.as_str(),
        }
    }

    fn tint(&self) -> Tint {
        match (self.review, self.row.outcome) {
            (Some(ReviewStatus::Pending), _) => Tint::Warn,
            (_, Some(false)) => Tint::Bad,
            (_, Some(true) | None) => Tint::None,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// It can't be read, or the time makes no sense.
pub fn main(args: &ListArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let hint = "adrt decisions list shows when they were made";
    let since = when::since(args.since.as_deref(), &context.moment, hint)?;
    let reader = past::open(&home)?;
    let found = found(args, since, &reader).map_err(|error| past::of_read(&home, error))?;
    drop(reader);
    if args.json {
        context.out.json(&array(found.iter().map(|listed| fields(listed).finish())))?;
        return Ok(DONE);
    }
    if found.is_empty() {
        let narrowed = args.verdict.is_some() || args.context.is_some();
        let narrowed = narrowed || args.since.is_some() || args.before.is_some();
        let what = if narrowed { "nothing of that kind" } else { "nothing" };
        context.out.line(&format!("{} has decided {what}", home.agent()))?;
        return Ok(DONE);
    }
    context.out.table(&table(context, &found))?;
    if found.len() as u64 == args.limit
        && let Some(last) = found.last()
    {
        let more = format!("older ones: the same with --before {}", last.row.id);
        context.out.line(&context.out.paint.dim(&more))?;
    }
    Ok(DONE)
}

fn found(args: &ListArgs, since: Option<Wall>, reader: &Reader) -> Result<Vec<Listed>, ReadError> {
    let filter =
        DecisionFilter { verdict: args.verdict.map(Into::into), context: args.context.clone() };
    let rows = reader.decisions(args.limit, args.before, &filter)?;
    let is_in = |row: &DecisionRow| since.is_none_or(|since| row.at >= since);
    let rows = rows.into_iter().take_while(is_in);
    rows.map(|row| {
        let review = row.review.map(|id| reader.review(id)).transpose()?.flatten();
        Ok(Listed { row, review: review.map(|review| review.status) })
    })
    .collect()
}

fn table(context: &Context, found: &[Listed]) -> Table {
    let mut table = Table::new(&[
        ("ID", Column::Right),
        ("MADE", Column::Left),
        ("EVENT", Column::Left),
        ("RISK", Column::Left),
        ("ACTION", Column::Fill),
        ("SURE", Column::Right),
        ("STATUS", Column::Left),
        ("WENT", Column::Left),
    ]);
    for listed in found {
        let row = &listed.row;
        table.row(
            vec![
                row.id.to_string(),
                context.moment.ago(row.at),
                clipped(&escaped(&row.kind), TYPE_SHOWN_MAX),
                row.risk.as_str().to_owned(),
                clipped(&escaped(&row.action), ACTION_SHOWN_MAX),
                figure(row.confidence),
                listed.status().to_owned(),
                match row.outcome {
                    Some(true) => "well".to_owned(),
                    Some(false) => "badly".to_owned(),
                    None => NONE.to_owned(),
                },
            ],
            listed.tint(),
        );
    }
    table
}

fn fields(listed: &Listed) -> Object {
    let row = &listed.row;
    Object::new()
        .number("decision_id", row.id)
        .text("at", &row.at.rfc3339())
        .number("seq", (row.seq > 0).then_some(row.seq))
        .text("event_type", &row.kind)
        .text("context", &row.context)
        .text("risk", row.risk.as_str())
        .number("confidence", row.confidence)
        .text("environment", row.environment.as_str())
        .number("threshold", row.threshold)
        .text("verdict", row.verdict.as_str())
        .text("action", &row.action)
        .text("reason", &row.reason)
        .text("priority", Priority::of(row.risk).as_str())
        .number("review_id", row.review)
        .maybe_text("review_status", listed.review.map(ReviewStatus::as_str))
        .number("success", row.outcome)
        .maybe_text("settled", row.settled.map(Wall::rfc3339).as_deref())
}
