//! Why a decision is what it is, and what would have changed it.
//!
//! A decision is a pure function of the policy and the question, so nothing of
//! this is kept: it is worked out again from what is.

use super::policy::Policy;
use super::rules::{Miss, Rule};
use super::{Decision, Question, Verdict};
use crate::engines::environment::Level;

/// A rule that was tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tried<'p> {
    /// Its place: among the rules of the call first, then those of the policy.
    pub place: usize,
    /// Where it comes from.
    pub source: Source,
    /// Its number there, from 1.
    pub number: usize,
    /// The rule.
    pub rule: &'p Rule,
    /// Why it did not match; none for the one that did.
    pub miss: Option<Miss>,
}

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It came with the request.
    Call,
    /// The operator's rules file.
    User,
    /// It is in every policy.
    BuiltIn,
}

impl Source {
    /// A word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::User => "user",
            Self::BuiltIn => "built-in",
        }
    }
}

/// Another outcome, and what leads to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Alternative<'p> {
    /// With a confidence of at least that, or below it.
    pub confidence: f64,
    /// What would have been done.
    pub action: &'p str,
    /// And whether at once.
    pub verdict: Verdict,
}

/// See the module's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation<'p> {
    /// What was decided.
    pub decision: Decision<'p>,
    /// The rules that were tried, the one that matched last.
    pub tried: Vec<Tried<'p>>,
    /// The threshold in a calm environment.
    pub threshold_calm: f64,
    /// The nearest higher confidence with another outcome: from there on.
    pub above: Option<Alternative<'p>>,
    /// The nearest lower confidence with another outcome: below it.
    pub below: Option<Alternative<'p>>,
    /// The least calm environment in which it would have been carried out at
    /// once, where this one has prevented that.
    pub environment: Option<Level>,
}

impl Policy {
    /// Where the rule at a place comes from, and its number there, from 1, when
    /// so many came with the request.
    pub fn origin(&self, place: usize, extra: usize) -> (Source, usize) {
        let (source, before) = match place.checked_sub(extra) {
            None => (Source::Call, 0),
            Some(own) if own < self.own_rules() => (Source::User, extra),
            Some(_) => (Source::BuiltIn, extra + self.own_rules()),
        };
        (source, place - before + 1)
    }

    /// Why it decides as it does.
    pub fn explain<'p>(&'p self, extra: &'p [Rule], question: &Question<'_>) -> Explanation<'p> {
        let decision = self.decide(extra, question);
        let risk = question.risk;
        Explanation {
            tried: self.tried(extra, question, decision.place),
            threshold_calm: self.threshold(decision.rule.gate, risk, Level::Calm),
            above: self.above(extra, question, &decision),
            below: self.below(extra, question, &decision),
            environment: self.calmer(extra, question, &decision),
            decision,
        }
    }

    fn tried<'p>(
        &'p self,
        extra: &'p [Rule],
        question: &Question<'_>,
        last: usize,
    ) -> Vec<Tried<'p>> {
        let all = extra.iter().chain(self.rules()).enumerate().take(last.saturating_add(1));
        let miss = |rule: &Rule| rule.misses(question.context, question.risk, question.confidence);
        all.map(|(place, rule)| {
            let (source, number) = self.origin(place, extra.len());
            Tried { place, source, number, rule, miss: miss(rule) }
        })
        .collect()
    }

    /// The confidences at which something may change, rising: where a rule
    /// begins to match, and where a gate opens.
    fn turning_points(&self, extra: &[Rule], question: &Question<'_>) -> Vec<f64> {
        let matching = extra.iter().chain(self.rules()).filter(|rule| {
            // Whether it matches but for the confidence.
            rule.misses(question.context, question.risk, f64::INFINITY).is_none()
        });
        let threshold =
            |rule: &Rule| self.threshold(rule.gate, question.risk, question.environment);
        let mut points: Vec<f64> =
            matching.flat_map(|rule| [rule.min_confidence, threshold(rule)]).collect();
        points.retain(|point| (0.0..=1.0).contains(point));
        points.sort_by(f64::total_cmp);
        points.dedup();
        points
    }

    fn above<'p>(
        &'p self,
        extra: &'p [Rule],
        question: &Question<'_>,
        present: &Decision<'p>,
    ) -> Option<Alternative<'p>> {
        let points = self.turning_points(extra, question);
        points.into_iter().filter(|point| *point > question.confidence).find_map(|confidence| {
            let other = self.decide(extra, &Question { confidence, ..*question });
            differs(&other, present).then(|| alternative(confidence, &other))
        })
    }

    fn below<'p>(
        &'p self,
        extra: &'p [Rule],
        question: &Question<'_>,
        present: &Decision<'p>,
    ) -> Option<Alternative<'p>> {
        let points = self.turning_points(extra, question);
        points.into_iter().rev().filter(|point| *point <= question.confidence).find_map(|point| {
            let confidence = point.next_down();
            let other = self.decide(extra, &Question { confidence, ..*question });
            (confidence >= 0.0 && differs(&other, present)).then(|| alternative(point, &other))
        })
    }

    fn calmer(
        &self,
        extra: &[Rule],
        question: &Question<'_>,
        present: &Decision<'_>,
    ) -> Option<Level> {
        let waits = |environment: Level| {
            self.decide(extra, &Question { environment, ..*question }).verdict == Verdict::Review
        };
        let calmer = Level::ALL.into_iter().rev().filter(|level| *level < question.environment);
        match present.verdict {
            Verdict::Execute => None,
            Verdict::Review => calmer.into_iter().find(|level| !waits(*level)),
        }
    }
}

fn differs(one: &Decision<'_>, other: &Decision<'_>) -> bool {
    one.rule.action != other.rule.action || one.verdict != other.verdict
}

fn alternative<'p>(confidence: f64, decision: &Decision<'p>) -> Alternative<'p> {
    Alternative { confidence, action: &decision.rule.action, verdict: decision.verdict }
}
