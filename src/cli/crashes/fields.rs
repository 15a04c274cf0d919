//! A crash as JSON.

use crate::cli::json::{Object, array};
use crate::cli::quantity::millis;
use crate::clock::Wall;
use crate::store::ledger::{IncarnationEnding, IncarnationRow};
use crate::supervisor::exit::signal_name;
use crate::supervisor::io::{Exit, ExitClass, Scope, StepAttempt};

/// All that is known of it but its output.
pub(super) fn of(row: &IncarnationRow) -> Object {
    let object = Object::new()
        .number("id", row.id)
        .text("run_id", &row.run_id)
        .text("start_reason", &row.reason)
        .maybe_text("started", time(row.begun).as_deref())
        .number("pid", Some(row.process.pid).filter(|pid| *pid > 0))
        .maybe_text("release", row.release.as_deref());
    match &row.end {
        Some(end) => object.with(ending(row, end)),
        None => object,
    }
}

fn ending(row: &IncarnationRow, end: &IncarnationEnding) -> Object {
    let (code, signal, core) = match end.exit {
        Some(Exit::Code(code)) => (Some(code), None, None),
        Some(Exit::Signal { signal, core }) => (None, Some(signal), Some(core)),
        None => (None, None, None),
    };
    Object::new()
        .text("ended", &end.ended.rfc3339())
        .text("class", &end.class)
        .number("crash", end.crash)
        .number("code", code)
        .number("signal", signal)
        .maybe_text("signal_name", signal.map(signal_name).as_deref())
        .number("core", core)
        .number("oom", end.class == ExitClass::OutOfMemory.as_str())
        .text("summary", &end.summary)
        .maybe_text("asked_by", row.asked_by.as_deref())
        .number("uptime_ms", millis(end.uptime))
        .raw("held", &array(row.held.iter().map(u64::to_string)))
        .raw("steps", &array(row.steps.iter().map(step)))
        .number("version", end.version)
        .number("checkpoint", row.pinned)
        .number("backoff_ms", end.backoff.map(millis))
        .text("backoff_why", &end.backoff_why)
        .maybe_text("next_due", time(end.next_due()).as_deref())
        .maybe_text("next_started", time(row.next_begun).as_deref())
        .number("damaged", row.damaged)
}

fn time(at: Option<Wall>) -> Option<String> {
    at.map(Wall::rfc3339)
}

/// The names are those of the wire.
fn step(step: &StepAttempt) -> String {
    let object = match &step.key.scope {
        Scope::Event(seq) => Object::new().number("seq", *seq),
        Scope::Named(scope) => Object::new().text("scope", scope),
    };
    object.text("step", &step.key.name).number("attempt", step.attempt).finish()
}
