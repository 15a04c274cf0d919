//! What is told on stderr, as entries: lines for people, with all that is known
//! beside their text for systemd's journal.

use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::output::{Entry, Priority, Sink};
use crate::supervisor::io::{Level, Occasion};

/// The longest name of a field that the journal takes.
const FIELD_NAME_MAX: usize = 64;
/// What adrt's own fields begin with, and what an agent's do: an agent can't
/// write one that means something to others.
const OWN_PREFIX: &str = "ADRT_";
const AGENT_PREFIX: &str = "AGENT_";

/// adrt's own words, at once.
pub(super) fn tell(stderr: &Sink, level: Level, message: impl Into<String>) {
    stderr.entry(own(level, message));
}

/// adrt's own words.
pub(super) fn own(level: Level, message: impl Into<String>) -> Entry {
    Entry::own(priority(level), message)
}

/// What the machine says. `fields` is a JSON object, as text.
pub(super) fn entry(
    level: Level,
    message: String,
    from_agent: bool,
    occasion: Option<Occasion>,
    fields: Option<String>,
) -> Entry {
    let prefix = if from_agent { AGENT_PREFIX } else { OWN_PREFIX };
    Entry {
        from_agent,
        message_id: occasion.map(Occasion::message_id),
        fields: fields.as_deref().map(|text| named(prefix, text)).unwrap_or_default(),
        // Of adrt's own fields the message speaks already.
        rest: fields.filter(|_| from_agent),
        ..own(level, message)
    }
}

const fn priority(level: Level) -> Priority {
    match level {
        Level::Debug => Priority::Debug,
        Level::Info => Priority::Info,
        Level::Warning => Priority::Warning,
        Level::Error => Priority::Error,
    }
}

/// The members of an object, under names that the journal takes.
fn named(prefix: &str, object: &str) -> Vec<(String, String)> {
    let Ok(members) = Map::deserialize(&mut serde_json::Deserializer::from_str(object)) else {
        return Vec::new();
    };
    let field = |(name, value): (String, Value)| {
        let allowed =
            |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let name = prefix.chars().chain(name.chars().map(allowed)).take(FIELD_NAME_MAX).collect();
        let value = match value {
            Value::String(text) => text,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => value.to_string(),
        };
        (name, value)
    };
    members.into_iter().map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_an_agent_are_its_own() {
        let mut fields = named(AGENT_PREFIX, r#"{"order-id":7,"MESSAGE_ID":"x","grün":[1,"a"]}"#);
        fields.sort_unstable();
        let expected =
            [("AGENT_GR_N", "[1,\"a\"]"), ("AGENT_MESSAGE_ID", "x"), ("AGENT_ORDER_ID", "7")];
        assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(named(AGENT_PREFIX, "7"), []);
        let long = format!("{{\"{}\":1}}", "x".repeat(100));
        assert_eq!(named(OWN_PREFIX, &long)[0].0.len(), FIELD_NAME_MAX);
    }

    #[test]
    fn an_agents_line_ends_with_its_fields() {
        let told = entry(Level::Info, "hi".into(), true, None, Some("{\"a\":1}".into()));
        assert_eq!(told.said(), "hi {\"a\":1}");
        let fields = Some("{\"code\":1}".into());
        let told = entry(Level::Info, "hi".into(), false, Some(Occasion::Crashed), fields);
        assert_eq!((&*told.said(), told.message_id.map(str::len)), ("hi", Some(32)));
        assert_eq!(told.fields, [("ADRT_CODE".to_owned(), "1".to_owned())]);
    }
}
