//! A crash on one screen.

use super::dump;
use crate::cli::Context;
use crate::cli::output::Page;
use crate::cli::text::{escaped, span};
use crate::store::ledger::{IncarnationEnding, IncarnationRow};
use crate::supervisor::io::{Exit, ExitClass, Scope, StepAttempt};

/// Events that are named on a page; the rest is counted.
const HELD_SHOWN_MAX: usize = 8;
/// Steps that are named on a page; the rest is counted.
const STEPS_SHOWN_MAX: usize = 4;

/// What is known of it but its output.
pub(super) fn page(context: &Context, row: &IncarnationRow, end: &IncarnationEnding) -> Page {
    let mut page = Page::new();
    let moment = &context.moment;
    page.field("ended", moment.both(end.ended));
    if let Some(begun) = row.begun {
        page.field("started", format!("{} ({})", moment.local(begun), escaped(&row.reason)));
    }
    if end.class != ExitClass::ExecFailed.as_str() {
        page.field("lived", span(end.uptime));
    }
    page.field("class", escaped(&end.class));
    if let Some(who) = &row.asked_by {
        page.field("asked by", escaped(who));
    }
    if row.process.pid > 0 {
        page.field("pid", row.process.pid.to_string());
    }
    if let Some(release) = &row.release {
        page.field("release", escaped(release));
    }
    if !row.held.is_empty() {
        page.field("in hand", in_hand(&row.held));
    }
    if !row.steps.is_empty() {
        page.field("in step", in_steps(&row.steps));
    }
    page.field("version", end.version.to_string());
    if let Some(checkpoint) = row.pinned {
        page.field("checkpoint", format!("{checkpoint}, kept as the newest there was"));
    }
    if let Some(Exit::Signal { core: true, .. }) = end.exit {
        page.field("core", dump::hint(row.process.pid));
    }
    page.field("next start", next(context, row, end));
    if row.damaged {
        page.field("damaged", "a checksum does not hold; some of this may be wrong");
    }
    page
}

/// The delay that was chosen, why, and what came of it.
fn next(context: &Context, row: &IncarnationRow, end: &IncarnationEnding) -> String {
    let why = escaped(&end.backoff_why);
    let chosen = match end.backoff {
        Some(delay) if delay.is_zero() => format!("at once: {why}"),
        Some(delay) => format!("after {}: {why}", span(delay)),
        None => format!("none: {why}"),
    };
    match (row.next_begun, end.next_due()) {
        (Some(begun), _) => {
            let at = context.moment.local(begun);
            format!("{chosen}\nincarnation {} was started at {at}", row.id + 1)
        }
        (None, Some(due)) => format!("{chosen}\ndue at {}", context.moment.both(due)),
        (None, None) => chosen,
    }
}

/// "event 88", "events 88, 91 and 3 more".
fn in_hand(held: &[u64]) -> String {
    let s = if held.len() == 1 { "" } else { "s" };
    format!("event{s} {}", listed(held.iter().map(u64::to_string), HELD_SHOWN_MAX, ", "))
}

/// "charge of event 88, attempt 2", one a line.
fn in_steps(steps: &[StepAttempt]) -> String {
    let name = |step: &StepAttempt| {
        let name = escaped(&step.key.name);
        let of = match &step.key.scope {
            Scope::Event(seq) => format!("event {seq}"),
            Scope::Named(scope) => format!("scope {}", escaped(scope)),
        };
        format!("{name} of {of}, attempt {}", step.attempt)
    };
    listed(steps.iter().map(name), STEPS_SHOWN_MAX, "\n")
}

/// At most so many of them, and how many more there are.
fn listed(names: impl ExactSizeIterator<Item = String>, most: usize, between: &str) -> String {
    let more = match names.len().saturating_sub(most) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named: Vec<String> = names.take(most).collect();
    named.join(between) + &more
}
