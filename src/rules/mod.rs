//! The operator's rules: TOML text that becomes a [`Policy`].
//!
//! ```text
//!  [contexts]    type of event -> context
//!  [weights]     what each signal counts for
//!  [thresholds]  the confidence it takes, or what it is worked out from
//!  [reviews]     how long a person has, and what silence means
//!  [[rule]]      tried in this order, before those that are built in
//! ```
//!
//! All of it may be left out; what is, stays as it is built in. It stands in a
//! file of its own or in the table `rules` of a configuration file ([`Layout`]).
//!
//! Whatever makes no sense is refused with its place, and nothing of the text
//! is taken then: half of somebody's rules would be another policy than theirs.
//! What makes sense and yet does nothing is a [`Warning`].
//!
//! Pure: who reads the file, and when, is the runtime's business.

mod rule;
mod sections;
#[cfg(test)]
mod tests;
mod warnings;

use std::ops::Range;

use toml::de::DeTable;

use crate::engines::context::Reading;
use crate::engines::decision::{Policy, Thresholds};
use crate::typed::document::{self, Entry, Place, Wrong};

/// Rules in one file: each decision may try them all.
pub const RULES_MAX: usize = 1000;

/// Where in a document the rules stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// They are all of it.
    Whole,
    /// In its table `rules`, if it has one; what else there is, is not looked
    /// at.
    Table,
}

/// What a text says.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// The policy that it makes.
    pub policy: Policy,
    /// What in it does nothing, in the order of the text.
    pub warnings: Vec<Warning>,
}

/// Something that makes sense and does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub what: String,
}

/// Reads the rules of a document.
///
/// ```
/// use adrt::rules::{Layout, parse};
///
/// let text = "[[rule]]\nrisk = \"high+\"\naction = \"page_somebody\"\nreason = \"night\"\n";
/// let rules = parse(text, Layout::Whole).expect("sound");
/// assert_eq!(rules.policy.own_rules(), 1);
///
/// let wrong = parse("[thresholds]\nhihg = 0.7\n", Layout::Whole).expect_err("a slip");
/// assert_eq!(wrong.hint, "did you mean \"high\"?");
/// ```
///
/// # Errors
/// The first mistake.
pub fn parse(text: &str, layout: Layout) -> Result<Rules, Wrong> {
    let table = document::parse(text)?;
    let draft = match layout {
        Layout::Whole => Draft::of(&table)?,
        Layout::Table => Draft::of_config(&table)?,
    };
    Ok(draft.finish(text))
}

/// Something that is to be warned of, and where it stands in the text.
struct Remark {
    at: Range<usize>,
    what: String,
}

/// What has been read so far.
#[derive(Default)]
struct Draft {
    reading: Reading,
    thresholds: Thresholds,
    reviews: sections::Reviews,
    rules: Vec<rule::Placed>,
    remarks: Vec<Remark>,
}

impl Draft {
    fn of_config(table: &DeTable<'_>) -> Result<Self, Wrong> {
        let mut entries = document::entries(table).into_iter();
        match entries.find(|entry| entry.key == "rules") {
            None => Ok(Self::default()),
            Some(Entry { value, .. }) if value.is.is_str() => Err(value
                .wrong("the rules are in a file of their own now")
                .hint("adrt reads from another file only when it is started anew")),
            Some(Entry { value, .. }) => Self::of(value.table()?),
        }
    }

    fn of(table: &DeTable<'_>) -> Result<Self, Wrong> {
        const KNOWN: [&str; 5] = ["contexts", "weights", "thresholds", "reviews", "rule"];
        let mut draft = Self::default();
        for Entry { key, key_at, value } in document::entries(table) {
            match key {
                "contexts" => draft.reading.names = sections::contexts(&value)?,
                "weights" => draft.reading.weights = sections::weights(&value)?,
                "thresholds" => {
                    draft.thresholds = sections::thresholds(&value, &mut draft.remarks)?;
                }
                "reviews" => draft.reviews = sections::reviews(&value)?,
                "rule" => draft.rules = rule::all(&value)?,
                "rules" if value.is.is_table() => {
                    return Err(Wrong::new(key_at, "a file of rules has no table rules")
                        .hint("write [thresholds], not [rules.thresholds]; that is for --config"));
                }
                unknown => {
                    let hint = "adrt-rules(5) lists them";
                    return Err(document::unknown(unknown, key_at, &KNOWN, hint));
                }
            }
        }
        Ok(draft)
    }

    fn finish(self, text: &str) -> Rules {
        let Self { reading, thresholds, reviews, rules, mut remarks } = self;
        let places: Vec<Range<usize>> = rules.iter().map(|rule| rule.at.clone()).collect();
        warnings::slips(&reading, &rules, &mut remarks);
        let own = rules.into_iter().map(|rule| rule.rule).collect();
        let mut policy = Policy::new(reading, thresholds, own);
        if let Some(timeout_ms) = reviews.timeout_ms {
            policy.review_timeout_ms = timeout_ms;
        }
        if let Some(approve) = reviews.approve {
            policy.review_approve = approve;
        }
        warnings::unreachable(&policy, &places, text, &mut remarks);
        remarks.sort_by_key(|remark| remark.at.start);
        let warnings = remarks
            .into_iter()
            .map(|remark| Warning { place: Place::of(text, remark.at.start), what: remark.what });
        Rules { policy, warnings: warnings.collect() }
    }
}
