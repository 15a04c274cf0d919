//! What `adrt status` tells of the machine an agent runs on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::document::point;
use crate::cli::Context;
use crate::cli::output::{Page, Tint};
use crate::cli::text::escaped;
use crate::engines::environment::Signals;

/// Earlier changes on the page; `--json` has more.
const CHANGES_SHOWN: usize = 4;
/// A look that is older than this is told to be so.
const OLD: Duration = Duration::from_secs(120);

/// How hard pressed the machine is.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Environment {
    /// `calm`, `elevated`, `high` or `critical`.
    pub level: String,
    /// 0 to 1.
    pub score: f64,
    /// When that level was entered, RFC 3339.
    pub since: Option<String>,
    /// The signal that presses hardest.
    pub worst: Option<String>,
    /// All of them.
    pub signals: Signals,
    /// When the sensors were last looked at, RFC 3339.
    pub looked: Option<String>,
    /// The last changes of the level, oldest first.
    pub changes: Vec<Change>,
}

/// A change of the level.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Change {
    /// When, RFC 3339.
    pub at: String,
    /// The new one.
    pub level: String,
    /// What brought it there.
    pub score: f64,
}

impl Environment {
    fn tint(&self) -> Tint {
        match self.level.as_str() {
            "high" => Tint::Warn,
            "critical" => Tint::Bad,
            _ => Tint::None,
        }
    }

    /// "memory 91 %".
    fn worst(&self) -> Option<String> {
        let name = self.worst.as_deref()?;
        let Signals { cpu, memory, psi, temperature, disk } = self.signals;
        let percent = |share: Option<f64>| share.map(|share| format!(" {:.0} %", 100.0 * share));
        let value = match name {
            "cpu" => percent(cpu),
            "memory" => percent(memory),
            "psi" => percent(psi),
            "temperature" => temperature.map(|degrees| format!(" {degrees:.0} °C")),
            "disk" => percent(disk),
            _ => None,
        };
        Some(format!("{}{}", escaped(name), value.unwrap_or_default()))
    }

    /// "high (score 0.72) since 5 min ago, worst is memory 91 %".
    fn in_words(&self, context: &Context) -> String {
        let level = context.out.paint.tint(self.tint(), &escaped(&self.level));
        let ago = |at: &Option<String>| {
            at.as_deref().and_then(point).map(|at| (at, context.moment.ago(at)))
        };
        let mut words = format!("{level} (score {:.2})", self.score);
        if let Some((_, since)) = ago(&self.since) {
            words.push_str(&format!(", entered {since}"));
        }
        if let Some(worst) = self.worst() {
            words.push_str(&format!(", worst is {worst}"));
        }
        if let Some((at, looked)) = ago(&self.looked)
            && context.moment.now.since(at) > OLD
        {
            words.push_str(&format!(", last looked at {looked}"));
        }
        words
    }

    /// "calm 2 h ago, elevated 10 min ago": the last before the present one.
    fn before(&self, context: &Context) -> Option<String> {
        let (_, earlier) = self.changes.split_last()?;
        let shown = earlier.len().saturating_sub(CHANGES_SHOWN);
        let words: Vec<String> = earlier
            .iter()
            .skip(shown)
            .map(|change| {
                let ago = point(&change.at).map(|at| context.moment.ago(at));
                format!("{} {}", escaped(&change.level), ago.unwrap_or_default())
            })
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Its lines on the page.
    pub(super) fn show(&self, context: &Context, page: &mut Page) {
        page.field("environment", self.in_words(context));
        if let Some(before) = self.before(context) {
            page.field("before that", context.out.paint.dim(&before));
        }
    }
}
