//! A line of adrt's own, or of an agent's `log`, with what is known of it
//! beside its text. On a terminal or in a file it is one line; the journal
//! takes all of it.

use std::borrow::Cow;

/// How grave an entry is, by the scale of syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Something failed.
    Error = 3,
    /// A person should see it.
    Warning = 4,
    /// The usual.
    Info = 6,
    /// For the one who looks for a mistake.
    Debug = 7,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How grave.
    pub priority: Priority,
    /// What.
    pub message: String,
    /// The agent says it, not adrt.
    pub from_agent: bool,
    /// What sort of thing has happened: a journal's MESSAGE_ID.
    pub message_id: Option<&'static str>,
    /// More of it: names that the journal takes, and what they are.
    pub fields: Vec<(String, String)>,
    /// The line's end where there are no fields.
    pub rest: Option<String>,
}

impl Entry {
    /// adrt's own words, and nothing beside them.
    pub fn own(priority: Priority, message: impl Into<String>) -> Self {
        Self {
            priority,
            message: message.into(),
            from_agent: false,
            message_id: None,
            fields: Vec::new(),
            rest: None,
        }
    }

    /// What is said, as one line that is not yet escaped.
    pub fn said(&self) -> Cow<'_, str> {
        match &self.rest {
            Some(rest) => Cow::Owned(format!("{} {rest}", self.message)),
            None => Cow::Borrowed(&self.message),
        }
    }

    /// The same, and who says it.
    pub(super) fn plain(&self) -> String {
        let who = if self.from_agent { "agent" } else { "adrt" };
        format!("{who}: {}", self.said())
    }

    /// What it counts for in a queue.
    pub(super) fn bytes(&self) -> usize {
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let rest = self.rest.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.message.len() + fields + rest
    }
}
