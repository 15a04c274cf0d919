//! `adrt events show`: one event, and what was made of it.

use super::seq;
use super::shown::{Standing, body, due, fields, waits_for};
use crate::cli::failure::{Failure, Kind};
use crate::cli::json::{self, Object, array, compact, shown_string};
use crate::cli::output::{Column, Page, Table, Tint};
use crate::cli::text::{NONE, clipped, escaped, escaped_lines, wrapped};
use crate::cli::{Context, DONE, agent, client, past};
use crate::store::read_work::EventView;
use crate::supervisor::work::{EventState, StepRow, StepState};

/// Columns of the page that its names take, with the blanks around them.
const NAMES_WIDTH: usize = 14;
/// Characters of a step's name in the table.
const NAME_SHOWN_MAX: usize = 30;
/// Longer results are cut before they are laid out; no terminal is so wide.
const RESULT_SHOWN_MAX: usize = 1000;

/// Show one event with its steps
#[derive(Debug, Clone, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  adrt events show 88
  adrt events show night-watch 88 --json"
)]
pub struct ShowArgs {
    /// Which agent
    pub agent: Option<String>,
    /// Which event
    #[arg(required = true)]
    pub seq: String,
    /// Print {agent, seq, status, type, at, attempt, ..., event, steps}
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// There is no such event, or it can't be read.
pub fn main(args: &ShowArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let seq = seq(&args.seq)?;
    let reader = past::open(&home)?;
    let of_read = |error| past::of_read(&home, error);
    let found = reader.event(seq).map_err(of_read)?;
    drop(reader);
    let Some((view, steps)) = found else {
        return Err(Failure::new(Kind::NotFound, format!("there is no event {seq}"))
            .why(format!("{} never had it, or it is no longer kept", home.agent()))
            .hint(format!("adrt events list {}", home.agent())));
    };
    let standing = Standing::of(&view.row, client::live_incarnation(&home));
    if args.json {
        let steps = array(steps.iter().map(|step| step_fields(step).finish()));
        let object = Object::new().text("agent", home.agent());
        let object = object.with(fields(&view, standing)).raw("steps", &steps);
        context.out.json(&object.finish())?;
        return Ok(DONE);
    }
    let paint = context.out.paint;
    let word = paint.tint(standing.tint(), standing.as_str());
    let heading = paint.bold(&format!("{} · event {seq}", home.agent()));
    context.out.line(&format!("{heading} · {word}"))?;
    context.out.print(&page(context, &view, standing).lay_out(paint))?;
    if !steps.is_empty() {
        context.out.line(&paint.dim("steps:"))?;
        context.out.table(&table(&steps))?;
    }
    context.out.line(&json::pretty(&body(&view), paint))?;
    Ok(DONE)
}

fn page(context: &Context, view: &EventView, standing: Standing) -> Page {
    let row = &view.row;
    let status = &row.status;
    let mut page = Page::new();
    page.field("type", escaped(&row.kind));
    page.field("came", context.moment.both(row.at));
    page.field("handed out", times(status.attempt));
    if status.deaths > 0 {
        page.field("deaths", format!("{} while the agent had it", times(status.deaths)));
    }
    if status.nacks > 0 {
        page.field("nacked", times(status.nacks));
    }
    if status.holder > 0 {
        page.field("last by", format!("incarnation {}", status.holder));
    }
    match status.state {
        EventState::Pending if !standing.is_held() && due(row) > context.moment.now => {
            page.field("due", context.moment.both(due(row)));
        }
        EventState::Acked => page.field("done", format!("with version {}", status.version)),
        EventState::Pending | EventState::Parked | EventState::Dead => {}
    }
    if let Some(wait) = waits_for(row) {
        page.field("parked", wait);
    }
    if let Some(reason) = &status.reason {
        let room = context.out.width.saturating_sub(NAMES_WIDTH);
        page.field("last error", wrapped(&escaped_lines(reason), room));
    }
    if view.damaged {
        page.field("damaged", "a checksum does not hold; some of this may be wrong");
    }
    page
}

fn times(count: u32) -> String {
    match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

const fn state_of(step: &StepRow) -> &'static str {
    match (step.state, step.review) {
        (StepState::Open, Some(_)) => "review",
        (StepState::Open, None) => "open",
        (StepState::Done, _) => "done",
        (StepState::Failed, _) => "failed",
    }
}

fn table(steps: &[StepRow]) -> Table {
    let mut table = Table::new(&[
        ("STEP", Column::Left),
        ("STATE", Column::Left),
        ("ATTEMPTS", Column::Right),
        ("RESULT", Column::Fill),
    ]);
    for step in steps {
        let (result, tint) = match (step.state, step.review) {
            (StepState::Open, Some(id)) => (format!("waits for review {id}"), Tint::Warn),
            (StepState::Open, None) => (NONE.to_owned(), Tint::None),
            (StepState::Done, _) => (cut(step), Tint::None),
            (StepState::Failed, _) => (cut(step), Tint::Bad),
        };
        let name = clipped(&escaped(&step.key.name), NAME_SHOWN_MAX);
        table.row(vec![name, state_of(step).to_owned(), step.attempt.to_string(), result], tint);
    }
    table
}

fn cut(step: &StepRow) -> String {
    let outcome = step.outcome.as_deref().unwrap_or("null");
    let start: String = outcome.chars().take(RESULT_SHOWN_MAX).collect();
    shown_string(&compact(&start))
}

fn step_fields(step: &StepRow) -> Object {
    let object = Object::new()
        .text("step", &step.key.name)
        .text("status", state_of(step))
        .number("attempt", step.attempt)
        .text("idempotency_key", &step.idempotency_key);
    let object = match (step.state, &step.outcome) {
        (StepState::Done, Some(result)) => object.raw("result", result),
        (StepState::Failed, Some(error)) => object.raw("error", error),
        (StepState::Open | StepState::Done | StepState::Failed, _) => object,
    };
    match step.review {
        Some(id) => object.number("review_id", id),
        None => object,
    }
}
