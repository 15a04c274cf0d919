//! A status for people: a page, or the line of `--check`.

use std::time::Duration;

use super::{Health, Inbox, Rules, Status, point};
use crate::cli::Context;
use crate::cli::output::{Page, Tint};
use crate::cli::text::{bytes, clipped, counted, escaped, span};
use crate::store::read_work::COUNTED_MAX;

/// Columns of a page that its names take, with the blanks around them.
const NAMES_WIDTH: usize = 16;

/// The line of `--check`.
pub(super) fn line(context: &Context, status: &Status, health: Health) -> String {
    let mut parts = vec![format!("{} {}", status.agent, health.word()), escaped(&status.phase)];
    if let Some(pid) = status.pid {
        parts.push(format!("pid {pid}"));
    }
    if let Some(uptime) = status.uptime() {
        parts.push(format!("up {}", span(uptime)));
    }
    if let Some(crashes) = status.crashes_in_row.filter(|count| *count > 0) {
        let s = if crashes == 1 { "" } else { "es" };
        parts.push(format!("{crashes} crash{s} in a row"));
    }
    if let Some(store) = status.store.as_deref().filter(|store| *store != "ok") {
        parts.push(format!("store: {}", escaped(store)));
    }
    if let Some(trouble) = status.rules.as_ref().and_then(|rules| rules.trouble.as_ref()) {
        parts.push(format!("rules: {}", escaped(trouble)));
    }
    if let Some(inbox) = &status.inbox {
        if inbox.depth() > 0 {
            parts.push(counted(inbox.depth(), "event"));
        }
        if inbox.full {
            parts.push("inbox full".to_owned());
        }
    }
    parts.extend(left_to_people(status));
    if health == Health::Down
        && let Some(exit) = &status.last_exit
    {
        parts.push(escaped(&exit.summary));
    }
    context.out.paint.tint(status.tint(), &parts.join(", "))
}

/// The page.
pub(super) fn page(context: &Context, status: &Status) -> String {
    let paint = context.out.paint;
    let mut page = Page::new();
    process(context, status, &mut page);
    work(context, status, &mut page);
    memory(context, status, &mut page);
    if let Some(rules) = &status.rules {
        ruled(context, rules, &mut page);
    }
    if let Some(environment) = &status.environment {
        environment.show(context, &mut page);
    }
    let heading = format!(
        "{} · {}",
        paint.bold(&status.agent),
        paint.tint(status.tint(), &escaped(&status.phase))
    );
    format!("{heading}{}\n{}", since(context, status), page.lay_out(paint))
}

fn since(context: &Context, status: &Status) -> String {
    status.since.as_deref().and_then(point).map_or_else(String::new, |at| {
        context.out.paint.dim(&format!(" since {}", context.moment.both(at)))
    })
}

fn process(context: &Context, status: &Status, page: &mut Page) {
    if let Some(pid) = status.pid {
        let adrt = status.adrt_pid.map_or_else(String::new, |pid| format!(", its adrt {pid}"));
        // Of an attached one adrt knows only who started it.
        let name = if status.phase == super::ATTACHED { "client" } else { "pid" };
        page.field(name, format!("{pid}{adrt}"));
    } else if let Some(pid) = status.adrt_pid {
        page.field("adrt", format!("pid {pid}"));
    }
    if let Some(incarnation) = status.incarnation {
        let reason = status.start_reason.as_deref().unwrap_or_default();
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        page.field("incarnation", escaped(&format!("{incarnation}{reason}")));
    }
    if let Some(release) = &status.release {
        page.field("release", escaped(release));
    }
    if let Some(uptime) = status.uptime() {
        let ready = match status.ready {
            Some(true) => ", ready",
            Some(false) => ", not ready yet",
            None => "",
        };
        page.field("up", format!("{}{ready}", span(uptime)));
    }
    if let Some(text) = &status.status_text {
        page.field("says", escaped(text));
    }
    if let Some(restarts) = status.restarts {
        page.field("restarts", restarts.to_string());
    }
    if let Some(crashes) = status.crashes_in_row.filter(|count| *count > 0) {
        let called = if status.crash_loop == Some(true) { ": a crash loop" } else { "" };
        page.field("crashes", format!("{crashes} in a row{called}"));
    }
    if let Some(delay) = status.next_retry_ms {
        page.field("next start", format!("in {}", span(Duration::from_millis(delay))));
    }
    if let Some(exit) = &status.last_exit {
        let more = match status.crashes_in_row {
            Some(1..) => context.out.paint.dim(&format!("  (adrt crashes show {})", status.agent)),
            Some(0) | None => String::new(),
        };
        page.field("last exit", format!("{}{more}", escaped(&exit.summary)));
    }
}

/// "3 dead letters", "10000+ dead letters" where counting ended.
fn dead_letters(count: u64) -> String {
    counted(count, "dead letter").replacen(&count.to_string(), &number(count), 1)
}

/// A number, or where counting it ended.
fn number(count: u64) -> String {
    if count == COUNTED_MAX { format!("{count}+") } else { count.to_string() }
}

/// What nobody but a person takes care of.
pub(in crate::cli) fn left_to_people(status: &Status) -> Vec<String> {
    let dead = status.inbox.as_ref().map_or(0, |inbox| inbox.dead);
    let reviews = status.reviews.unwrap_or(0);
    [(dead, "dead letter"), (reviews, "review")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| counted(count, what))
        .collect()
}

fn work(context: &Context, status: &Status, page: &mut Page) {
    let paint = context.out.paint;
    let agent = &status.agent;
    if let Some(inbox) = &status.inbox {
        page.field("inbox", in_words(context, inbox));
        if inbox.full {
            let full = format!("no more events are taken  {}", paint.dim("(--max-db)"));
            page.field("full", paint.tint(Tint::Bad, &full));
        }
        if !inbox.unwanted.is_empty() {
            page.field("no taker", unwanted(context, inbox));
        }
        if inbox.dead > 0 {
            let dead = dead_letters(inbox.dead);
            let more = paint.dim(&format!("  (adrt events list {agent} --dead)"));
            page.field("given up", format!("{}{more}", paint.tint(Tint::Bad, &dead)));
        }
    }
    if let Some(count) = status.reviews.filter(|count| *count > 0) {
        let waiting = format!("{count} waiting for a person");
        let more = paint.dim(&format!("  (adrt reviews list {agent})"));
        page.field("reviews", format!("{}{more}", paint.tint(Tint::Warn, &waiting)));
    }
    if let Some(count) = status.timers.filter(|count| *count > 0) {
        page.field("timers", count.to_string());
    }
    if let Some(count) = status.posts.filter(|count| *count > 0) {
        page.field("outbox", format!("{} for other agents", counted(count, "event")));
    }
}

/// "3 waiting, 1 in hand, 2 parked, the oldest came 5 min ago".
fn in_words(context: &Context, inbox: &Inbox) -> String {
    let parts = [(inbox.pending, "waiting"), (inbox.held, "in hand"), (inbox.parked, "parked")];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let mut parts: Vec<String> =
        parts.map(|(count, how)| format!("{} {how}", number(count))).collect();
    if parts.is_empty() {
        return "empty".to_owned();
    }
    if let Some(at) = inbox.oldest.as_deref().and_then(point) {
        parts.push(format!("the oldest came {}", context.moment.ago(at)));
    }
    parts.join(", ")
}

/// "temp 12, mail 3": cut where the line would end.
fn unwanted(context: &Context, inbox: &Inbox) -> String {
    let types = inbox.unwanted.iter().map(|of| format!("{} {}", escaped(&of.kind), of.pending));
    let types = types.collect::<Vec<_>>().join(", ");
    let room = context.out.width.saturating_sub(NAMES_WIDTH);
    context.out.paint.tint(Tint::Warn, &clipped(&types, room))
}

fn ruled(context: &Context, rules: &Rules, page: &mut Page) {
    let read = rules.reloaded.as_deref().and_then(point);
    let read = read.map_or_else(String::new, |at| format!(", read {}", context.moment.ago(at)));
    if rules.own > 0 || rules.trouble.is_some() {
        page.field("rules", format!("{} of its own{read}", rules.own));
    }
    if let Some(trouble) = &rules.trouble {
        let why = format!("not read again: {}", escaped(trouble));
        page.field("", context.out.paint.tint(Tint::Bad, &why));
    }
}

fn memory(context: &Context, status: &Status, page: &mut Page) {
    if let Some(version) = status.version {
        let changed = match status.updated_at() {
            Some(at) if version > 0 => format!(", {}", context.moment.ago(at)),
            Some(_) | None => String::new(),
        };
        let size = status.state_bytes.map_or_else(String::new, |n| format!(", {}", bytes(n)));
        page.field("state", format!("version {version}{size}{changed}"));
    }
    if let Some(checkpoint) = &status.checkpoint {
        let when = point(&checkpoint.created)
            .map_or_else(String::new, |at| format!(", {}", context.moment.ago(at)));
        page.field(
            "checkpoint",
            format!("{} of version {}{when}", checkpoint.id, checkpoint.version),
        );
    }
    if let Some(size) = status.file_bytes {
        let written = status
            .written_bytes
            .map_or_else(String::new, |n| format!(", {} written in this run", bytes(n)));
        page.field("on disk", format!("{}{written}", bytes(size)));
    }
    if let Some(store) = &status.store {
        page.field("store", escaped(store));
    }
    if let Some(waiting) = status.writes_waiting.filter(|count| *count > 0) {
        page.field("waiting", format!("{waiting} writes"));
    }
}
