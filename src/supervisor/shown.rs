//! Work as it is told on the wire: answers to questions about it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::io::{Answer, EventRow, EventState, KvValue, WorkAnswer};
use crate::protocol::reply::quote;

/// The answer to a question.
pub fn looked(answers: &[Answer]) -> String {
    let Some(answer) = work_of(answers) else { return "{}".into() };
    match answer {
        WorkAnswer::Kv(None) => "{\"found\":false}".into(),
        WorkAnswer::Kv(Some(value)) => format!("{{\"found\":true,{}}}", kv_value(value)),
        WorkAnswer::KvList { entries, next } => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{{\"key\":{},{}}}", quote(key), kv_value(value)))
                .collect();
            let next = next.as_deref().map_or_else(|| "null".into(), quote);
            format!("{{\"entries\":[{}],\"next\":{next}}}", entries.join(","))
        }
        WorkAnswer::History { rows, next } => {
            let events: Vec<String> = rows.iter().map(event).collect();
            let next = next.map_or_else(|| "null".into(), |next| next.to_string());
            format!("{{\"events\":[{}],\"next\":{next}}}", events.join(","))
        }
        WorkAnswer::Review(Some(review)) => review.to_json(),
        WorkAnswer::Review(None) => "{\"status\":\"unknown\"}".into(),
        WorkAnswer::Fetched(_)
        | WorkAnswer::Event(_)
        | WorkAnswer::Reopened(_)
        | WorkAnswer::Step(_)
        | WorkAnswer::Posts(_)
        | WorkAnswer::Decision(_)
        | WorkAnswer::Agent { .. } => "{}".into(),
    }
}

/// The answer to a restore after which events wait again.
pub fn reopened(version: u64, answers: &[Answer]) -> String {
    let count = match work_of(answers) {
        Some(WorkAnswer::Reopened(count)) => *count,
        Some(_) | None => 0,
    };
    format!("{{\"version\":{version},\"reopened\":{count}}}")
}

fn work_of(answers: &[Answer]) -> Option<&WorkAnswer> {
    answers.iter().find_map(Answer::as_work)
}

fn kv_value(value: &KvValue) -> String {
    match value {
        KvValue::Json(text) => format!("\"value\":{text}"),
        KvValue::Bytes(bytes) => format!("\"base64\":\"{}\"", BASE64.encode(bytes)),
    }
}

/// An event with how far it is.
fn event(row: &EventRow) -> String {
    let status = &row.status;
    let state = match status.state {
        EventState::Pending | EventState::Parked | EventState::Acked | EventState::Dead => {
            status.state.as_str()
        }
    };
    let error = status.reason.as_deref();
    let error = error.map_or_else(String::new, |e| format!(",\"last_error\":{}", quote(e)));
    format!(
        "{{\"seq\":{},\"status\":\"{state}\",\"attempt\":{},\"at\":\"{}\",\"event\":{}{error}}}",
        status.seq,
        status.attempt,
        row.at.rfc3339(),
        row.body,
    )
}
