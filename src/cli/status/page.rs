//! A status for people: a page, or the line of `--check`.

use std::time::Duration;

use super::document::point;
use super::trouble::{counted_to_the_end, number};
use super::{Health, Inbox, Rules, Status};
use crate::cli::Context;
use crate::cli::logs::{self, Line};
use crate::cli::output::{Page, Tint};
use crate::cli::text::{bytes, clipped, counted, escaped, span};
use crate::runtime::usage::Usage;

/// Columns of a page that its names take, with the blanks around them.
const NAMES_WIDTH: usize = 16;
/// Characters of an event's type.
const TYPE_WIDTH: usize = 24;

/// The line of `--check`: how it is, and the worst thing first.
pub(super) fn line(context: &Context, status: &Status) -> String {
    let health = status.health();
    let head = format!("{} {}", status.agent, health.word());
    let mut parts = vec![escaped(&status.phase)];
    if let Some(pid) = status.pid {
        parts.push(format!("pid {pid}"));
    }
    if let Some(uptime) = status.uptime() {
        parts.push(format!("up {}", span(uptime)));
    }
    if let Some(inbox) = status.inbox.as_ref().filter(|inbox| inbox.depth() > 0) {
        parts.push(counted(inbox.depth(), "event"));
    }
    let mut troubles = status.troubles();
    let line = if health == Health::Ok {
        parts.append(&mut troubles);
        format!("{head}, {}", parts.join(", "))
    } else {
        troubles.append(&mut parts);
        format!("{head}: {}", troubles.join(", "))
    };
    context.out.paint.tint(status.tint(), &line)
}

/// The page, and the last lines of output below it.
pub(super) fn page(context: &Context, status: &Status, output: &[Line]) -> String {
    let paint = context.out.paint;
    let mut page = Page::new();
    process(context, status, &mut page);
    crashes(context, status, &mut page);
    work(context, status, &mut page);
    memory(context, status, &mut page);
    if let Some(rules) = &status.rules {
        ruled(context, rules, &mut page);
    }
    if let Some(environment) = &status.environment {
        environment.show(context, &mut page);
    }
    let mut text = heading(context, status);
    text.push_str(&page.lay_out_in(context.out.width, paint));
    if !output.is_empty() {
        text.push('\n');
    }
    for line in output {
        text.push_str(&clipped_line(context, line));
        text.push('\n');
    }
    text
}

/// "● counter · running since 14:03:21 (3 min ago)".
fn heading(context: &Context, status: &Status) -> String {
    let paint = context.out.paint;
    let dot = if status.health() == Health::Down { "○" } else { "●" };
    let dot = paint.tint(status.tint(), dot);
    let name = paint.bold(&status.agent);
    let phase = paint.tint(status.tint(), &escaped(&status.phase));
    let since =
        status.since.as_deref().and_then(point).map_or_else(String::new, |at| {
            paint.dim(&format!(" since {}", context.moment.both(at)))
        });
    format!("{dot} {name} · {phase}{since}\n")
}

/// A line of output with its time, as much of it as one line holds.
fn clipped_line(context: &Context, line: &Line) -> String {
    /// "14:03:21 ".
    const TIME_WIDTH: usize = 9;
    let room = context.out.width.saturating_sub(TIME_WIDTH);
    // Bytes of a character, at the most: a long line is not laid out whole.
    let most = line.text.len().min(4 * room);
    let cut = Line { text: line.text[..most].to_vec(), ..line.clone() };
    let said = logs::said(context, &cut, |text| clipped(text, room));
    format!("{} {said}", logs::stamp(context, line.at))
}

fn takes(usage: &Usage) -> String {
    let &Usage { processes, memory_bytes, cpu_ms, group_memory_bytes, group_memory_max_bytes } =
        usage;
    let memory = bytes(group_memory_bytes.unwrap_or(memory_bytes));
    let limit = group_memory_max_bytes.map_or_else(String::new, |n| format!(" (of {})", bytes(n)));
    let cpu = span(Duration::from_millis(cpu_ms));
    let more = if processes > 1 { format!(", {processes} processes") } else { String::new() };
    format!("{memory} of memory{limit}, {cpu} of CPU{more}")
}

fn process(context: &Context, status: &Status, page: &mut Page) {
    let adrt = status.adrt_pid.map(|pid| format!("adrt {pid}"));
    if let Some(pid) = status.pid {
        // Of an attached one adrt knows only who started it.
        let name = if status.phase == super::ATTACHED { "client" } else { "pid" };
        let adrt = adrt.map_or_else(String::new, |adrt| format!(", its {adrt}"));
        page.field(name, format!("{pid}{adrt}"));
    } else if let Some(adrt) = adrt {
        // Whether one runs is not known of an adrt that does not answer.
        let none = if status.phase == super::UNREACHABLE { "" } else { "none, its " };
        page.field("pid", format!("{none}{adrt}"));
    }
    if let Some(usage) = &status.usage {
        page.field("takes", takes(usage));
    }
    if let Some(incarnation) = status.incarnation {
        page.field("incarnation", incarnation_in_words(incarnation, status));
    }
    if let Some(release) = &status.release {
        page.field("release", escaped(release));
    }
    if let Some(text) = &status.status_text {
        let name = if status.phase == super::UNREACHABLE { "why" } else { "says" };
        page.field(name, escaped(text));
    }
    match (status.phase.as_str(), status.incarnation) {
        (super::LOST, _) => {
            let why = "its adrt was killed, or the machine went down; nobody has started it since";
            page.field("why", context.out.paint.tint(Tint::Bad, why));
        }
        (super::STOPPED, None) => page.field("why", "it was never started"),
        _ => {}
    }
}

/// "3 (after a crash), up 3 min, ready".
fn incarnation_in_words(incarnation: u64, status: &Status) -> String {
    let mut words = incarnation.to_string();
    if let Some(reason) = status.start_reason.as_deref().filter(|reason| !reason.is_empty()) {
        words.push_str(&format!(" ({})", escaped(reason)));
    }
    if let Some(uptime) = status.uptime() {
        words.push_str(&format!(", up {}", span(uptime)));
        // A client says so to nobody, and is never started again.
        match status.ready.filter(|_| status.phase != super::ATTACHED) {
            Some(true) => words.push_str(", ready"),
            Some(false) => words.push_str(", not ready yet"),
            None => {}
        }
    }
    words
}

/// Restarts, and why there were any.
fn crashes(context: &Context, status: &Status, page: &mut Page) {
    let paint = context.out.paint;
    let in_row = status.crashes_in_row.filter(|count| *count > 0);
    let restarts = status.restarts.filter(|_| status.phase != super::ATTACHED);
    if restarts.is_some() || in_row.is_some() {
        let row = in_row.map(|count| {
            // The field says of what.
            let crashes = match (restarts.is_some(), count) {
                (false, _) => "",
                (true, 1) => " crash",
                (true, _) => " crashes",
            };
            let called = match (status.crash_loop, status.unstable) {
                (Some(true), _) => ", a crash loop",
                (_, Some(true)) => ", and many within an hour",
                _ => "",
            };
            let tint = if called.is_empty() { Tint::Warn } else { Tint::Bad };
            paint.tint(tint, &format!("{count}{crashes} in a row{called}"))
        });
        let count = restarts.map(|count| count.to_string());
        let words: Vec<String> = count.into_iter().chain(row).collect();
        let name = if restarts.is_some() { "restarts" } else { "crashes" };
        page.field(name, words.join(", "));
    }
    if let Some(exit) = &status.last_exit {
        let more = match status.crashes_in_row {
            Some(1..) => paint.dim(&format!("  (adrt crashes show {})", status.agent)),
            Some(0) | None => String::new(),
        };
        page.field("last exit", format!("{}{more}", escaped(&exit.summary)));
    }
    if let Some(delay) = status.next_retry_ms {
        page.field("next start", format!("in {}", span(Duration::from_millis(delay))));
    }
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
            let dead = counted_to_the_end(inbox.dead, "dead letter");
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
        let kind = inbox.oldest_type.as_deref().map(|kind| clipped(&escaped(kind), TYPE_WIDTH));
        let kind = kind.map_or_else(String::new, |kind| format!(", {kind},"));
        parts.push(format!("the oldest{kind} came {}", context.moment.ago(at)));
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
            .written_day_bytes
            .map_or_else(String::new, |n| format!(", {} written in 24 hours", bytes(n)));
        page.field("on disk", format!("{}{written}", bytes(size)));
    }
    if let Some(store) = &status.store {
        let tint = if store == "ok" { Tint::None } else { Tint::Bad };
        page.field("store", context.out.paint.tint(tint, &escaped(store)));
    }
    if let Some(waiting) = status.writes_waiting.filter(|count| *count > 0) {
        page.field("waiting", format!("{waiting} writes"));
    }
}
