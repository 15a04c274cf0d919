//! The answer to `initialize`: all an agent needs to go on where it was.

use std::time::Duration;

use super::agenda::Agenda;
use super::book::Doc;
use super::cause::StartCause;
use super::io::{CheckpointInfo, Exit, Incarnation, Scope, StepRow};
use super::outbox::Text;
use crate::protocol::message::{Initialize, StateWanted};
use crate::protocol::reply::quote;

/// What goes into it.
pub(super) struct Facts<'a> {
    pub agent: &'a str,
    pub run_id: &'a str,
    pub incarnation: Incarnation,
    pub cause: &'a StartCause,
    pub downtime: Duration,
    pub crashes_in_row: u32,
    pub safe_mode: bool,
    pub doc: &'a Doc,
    pub checkpoint: Option<&'a CheckpointInfo>,
    pub agenda: &'a Agenda,
    /// JSON text.
    pub environment: String,
    pub max_frame: usize,
    pub max_state: usize,
    pub max_inflight: usize,
    pub hang_timeout: Option<Duration>,
    pub event_timeout: Option<Duration>,
}

/// The result; the state's text is written when it is sent.
pub(super) fn text(initialize: &Initialize, facts: &Facts<'_>) -> Text {
    let checkpoint = facts.checkpoint.map_or_else(|| "null".into(), CheckpointInfo::to_json);
    let head = format!(
        "{{\"protocol\":1,\"agent\":{},\"run_id\":{},\"incarnation\":{},\"start\":{},\"state\":{{\"version\":{}",
        quote(facts.agent),
        quote(facts.run_id),
        facts.incarnation,
        start(facts),
        facts.doc.version,
    );
    let tail = format!(
        "}},\"checkpoint\":{checkpoint},\"pending\":{},\"environment\":{},\
         \"limits\":{{\"max_frame\":{},\"max_state\":{},\"max_inflight\":{},\
         \"hang_timeout_ms\":{},\"event_timeout_ms\":{}}}}}",
        pending(facts.agenda),
        facts.environment,
        facts.max_frame,
        facts.max_state,
        facts.max_inflight,
        millis(facts.hang_timeout),
        millis(facts.event_timeout),
    );
    match initialize.state {
        StateWanted::Omit => Text::Plain(head + &tail),
        StateWanted::Whole => {
            Text::WithState { head: head + ",\"value\":", node: facts.doc.root.clone(), tail }
        }
    }
}

/// null where there is none.
fn millis(span: Option<Duration>) -> String {
    span.map_or_else(|| "null".into(), |span| span.as_millis().to_string())
}

/// Open steps that are named: an agent has few, and one that has many knows.
const STEPS_TOLD: usize = 100;

/// What waits for it.
fn pending(agenda: &Agenda) -> String {
    let reviews: Vec<String> = agenda.reviews.ids().map(|id| id.to_string()).collect();
    let steps: Vec<String> = agenda.steps.open().take(STEPS_TOLD).map(step).collect();
    format!(
        "{{\"events\":{},\"reviews\":[{}],\"steps\":[{}]}}",
        agenda.inbox.depth(),
        reviews.join(","),
        steps.join(","),
    )
}

fn step(row: &StepRow) -> String {
    let scope = match &row.key.scope {
        Scope::Event(seq) => format!("\"seq\":{seq}"),
        Scope::Named(scope) => format!("\"scope\":{}", quote(scope)),
    };
    format!("{{{scope},\"step\":{},\"attempt\":{}}}", quote(&row.key.name), row.attempt)
}

fn start(facts: &Facts<'_>) -> String {
    let cause = facts.cause;
    let exit = match cause.exit {
        None => String::new(),
        Some(exit) => {
            let oom = if cause.oom { ",\"oom\":true" } else { "" };
            match exit {
                Exit::Code(code) => format!("\"exit\":{{\"code\":{code}{oom}}},"),
                Exit::Signal { signal, core } => {
                    let core = if core { ",\"core\":true" } else { "" };
                    format!("\"exit\":{{\"signal\":{signal}{core}{oom}}},")
                }
            }
        }
    };
    format!(
        "{{\"reason\":\"{}\",{exit}\"crashes_in_row\":{},\"downtime_ms\":{},\"safe_mode\":{}}}",
        cause.reason.as_str(),
        facts.crashes_in_row,
        facts.downtime.as_millis(),
        facts.safe_mode,
    )
}
