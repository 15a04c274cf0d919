//! A decision and how it came about, on one screen.

use super::account::{Account, Evidence};
use super::figures::{apart, figure, measured};
use crate::cli::output::{Page, Paint, Tint};
use crate::cli::text::{clipped, counted, escaped};
use crate::engines::confidence::Scope;
use crate::engines::context::{PRESSURE_BOUNDS, Risk, SEVERITY_BOUNDS, Signals};
use crate::engines::decision::explain::{Alternative, Explanation, Source, Tried};
use crate::engines::decision::{Gate, Miss, Priority, Rule, Verdict};
use crate::engines::environment::Level;

/// Columns of the page that its names take, with the blanks around them.
pub(super) const NAMES_WIDTH: usize = 14;
/// Rules that are shown line by line, from the one that matched back. What
/// came before them is counted.
const RULES_SHOWN_MAX: usize = 8;
/// What was learnt counts as whole above that.
const FADED_SHOWN: f64 = 0.995;

/// `[HIGH] service_overload → scale_up_immediate`.
pub(super) fn headline(account: &Account, width: usize) -> String {
    let priority = Priority::of(account.risk).as_str().to_uppercase();
    let line = format!("[{priority}] {} → {}", escaped(&account.kind), escaped(&account.action));
    clipped(&line, width)
}

/// The headline in its colour.
pub(super) fn tinted_headline(account: &Account, paint: Paint, width: usize) -> String {
    paint.bold(&headline(account, width))
}

/// How it came about.
pub(super) fn page(account: &Account, paint: Paint, width: usize) -> Page {
    let explanation = account.explanation();
    let (sound, strange) = match &explanation {
        Some(found) if account.agrees(found) => (Some(found), None),
        other => (None, other.as_ref()),
    };
    let mut sheet = Sheet { page: Page::new(), paint, room: width.saturating_sub(NAMES_WIDTH) };
    sheet.context(account);
    sheet.confidence(account);
    sheet.threshold(account, sound);
    sheet.verdict(account);
    if let Some(explanation) = sound {
        sheet.rules(&explanation.tried);
        sheet.otherwise(explanation);
    }
    if account.policy.is_none() {
        sheet.lines("rules", vec!["what it went by is no longer kept".into()], Tint::Dim);
    }
    if let Some(explanation) = strange {
        sheet.strange(explanation);
    }
    sheet.page
}

/// The page while it is put together.
struct Sheet {
    page: Page,
    paint: Paint,
    /// Columns for a value.
    room: usize,
}

impl Sheet {
    /// Lines under one name, each within the width.
    fn lines(&mut self, name: &'static str, lines: Vec<String>, tint: Tint) {
        let clip = |line: &String| self.paint.tint(tint, &clipped(line, self.room));
        let lines: Vec<String> = lines.iter().map(clip).collect();
        self.page.field(name, lines.join("\n"));
    }

    fn line(&mut self, name: &'static str, line: String) {
        self.lines(name, vec![line], Tint::None);
    }

    // ------------------------------------------------------------ what it means

    fn context(&mut self, account: &Account) {
        self.line("context", escaped(&account.context));
        if let Some(pressure) = account.pressure {
            let mut lines = vec![figure(pressure)];
            if let Some(signals) = &account.signals {
                lines.extend(signal_lines(account, signals));
            }
            self.lines("pressure", lines, Tint::None);
        }
        let why = match (account.pressure, &account.signals) {
            (Some(pressure), Some(signals)) => {
                reached(account.risk, pressure, signals.severity.unwrap_or(0.0))
            }
            (Some(_) | None, _) => ", as it was told".to_owned(),
        };
        self.line("risk", format!("{}{why}", account.risk.as_str()));
    }

    // --------------------------------------------------------------- confidence

    fn confidence(&mut self, account: &Account) {
        let value = figure(account.confidence);
        let lines = match &account.evidence {
            None => vec![format!("{value}, as it was told")],
            Some(evidence) => confidence_lines(evidence, &value),
        };
        self.lines("confidence", lines, Tint::None);
    }

    // ---------------------------------------------------------------- threshold

    fn threshold(&mut self, account: &Account, explanation: Option<&Explanation<'_>>) {
        let (risk, level) = (account.risk.as_str(), account.environment);
        let environment = format!("environment is {}", level.as_str());
        let value = figure(account.threshold);
        let Some(explanation) = explanation else {
            return self.line("threshold", format!("{value}, the {environment}"));
        };
        let calm = figure(explanation.threshold_calm);
        let line = match explanation.decision.rule.gate {
            Gate::Never => "none: an action that only watches needs no confidence".to_owned(),
            Gate::Risk if level == Level::Calm => format!("{value} for risk {risk}"),
            Gate::Risk => {
                format!("{value} for risk {risk}; relief, so no environment raises it")
            }
            Gate::Full if account.threshold > explanation.threshold_calm => {
                format!("{value}: {calm} for risk {risk}, raised, as the {environment}")
            }
            Gate::Full => format!("{value} for risk {risk}, the {environment}"),
        };
        self.line("threshold", line);
    }

    fn verdict(&mut self, account: &Account) {
        let (confidence, threshold) = apart(account.confidence, account.threshold);
        let (line, tint) = match account.verdict {
            Verdict::Execute if account.threshold <= 0.0 => ("execute".to_owned(), Tint::Good),
            Verdict::Execute => (format!("execute: {confidence} ≥ {threshold}"), Tint::Good),
            Verdict::Review => {
                (format!("review: {confidence} < {threshold}, a person is asked"), Tint::Warn)
            }
        };
        self.lines("verdict", vec![line], tint);
        let why = format!("{}, since {}", escaped(&account.action), escaped(&account.reason));
        self.line("action", why);
    }

    // -------------------------------------------------------------------- rules

    fn rules(&mut self, tried: &[Tried<'_>]) {
        let mut folded = folded(tried);
        let before = folded.len().saturating_sub(RULES_SHOWN_MAX);
        if before > 0 {
            let count: usize = folded.drain(..before).map(|line| line.count).sum();
            let text = format!("{} before these did not match", counted(count as u64, "rule"));
            folded.insert(0, Line { label: "…".into(), result: "", text, count });
        }
        let widest = |cell: fn(&Line) -> &str| {
            folded.iter().map(|line| cell(line).chars().count()).max().unwrap_or(0)
        };
        let (labels, results) = (widest(|line| &line.label), widest(|line| line.result));
        let lines = folded.iter().map(|Line { label, result, text, .. }| {
            let blanks = " ".repeat(labels - label.chars().count());
            format!("{label}{blanks}  {result:results$}  {text}")
        });
        self.lines("rules", lines.collect(), Tint::None);
    }

    fn otherwise(&mut self, explanation: &Explanation<'_>) {
        let told = |when: String, action: &str, verdict: Verdict| {
            format!("{when:<11}  {}, {}", escaped(action), verdict.as_str())
        };
        let other = |when: &str, found: &Alternative<'_>| {
            told(format!("{when} {}", figure(found.confidence)), found.action, found.verdict)
        };
        let mut lines = Vec::new();
        lines.extend(explanation.above.as_ref().map(|found| other("from", found)));
        lines.extend(explanation.below.as_ref().map(|found| other("below", found)));
        lines.extend(explanation.environment.map(|level| {
            let action = &explanation.decision.rule.action;
            told(format!("when {}", level.as_str()), action, Verdict::Execute)
        }));
        if !lines.is_empty() {
            self.lines("otherwise", lines, Tint::None);
        }
    }

    /// Worked out again it is another decision.
    fn strange(&mut self, explanation: &Explanation<'_>) {
        let decision = &explanation.decision;
        let lines = vec![
            "worked out again, this adrt comes to something else:".to_owned(),
            format!(
                "{}, {} (threshold {})",
                escaped(&decision.rule.action),
                decision.verdict.as_str(),
                figure(decision.threshold)
            ),
            "what stands here was decided by another version of it".to_owned(),
        ];
        self.lines("differs", lines, Tint::Warn);
    }
}

/// A line for each signal that is there, and one for those that are not.
fn signal_lines(account: &Account, signals: &Signals) -> Vec<String> {
    let weights = account.policy.as_ref().map(|policy| policy.reading.weights.in_order());
    let mut lines = Vec::new();
    let mut missing = Vec::new();
    let shares = signals.normalised();
    for (place, (name, value)) in signals.named().into_iter().enumerate() {
        let Some(value) = value else {
            missing.push(name);
            continue;
        };
        let unit = match name {
            "cpu" | "memory" => " %",
            "latency_ms" => " ms",
            _ => "",
        };
        let measured = format!("{}{unit}", measured(value));
        let share = shares.get(place).copied().flatten().unwrap_or(0.0);
        lines.push(match weights.and_then(|weights| weights.get(place).copied()) {
            Some(weight) => format!(
                "{name:<10}  {measured:<10}  {} × {} = {}",
                figure(share),
                figure(weight),
                figure(share * weight)
            ),
            None => format!("{name:<10}  {measured}"),
        });
    }
    if !missing.is_empty() {
        lines.push(format!("without {}", missing.join(", ")));
    }
    lines
}

/// Which of the two made the risk what it is: ": by severity (0.82 ≥ 0.80)".
fn reached(risk: Risk, pressure: f64, severity: f64) -> String {
    let Some(place) = risk.index().checked_sub(1) else {
        return ": neither pressure nor severity is high".to_owned();
    };
    let by = |name: &str, value: f64, bounds: [f64; 3]| {
        let bound = bounds.get(place).copied().filter(|bound| value >= *bound)?;
        let (value, bound) = apart(value, bound);
        Some(format!("{name} {value} ≥ {bound}"))
    };
    let reasons =
        [by("severity", severity, SEVERITY_BOUNDS), by("pressure", pressure, PRESSURE_BOUNDS)];
    let reasons: Vec<String> = reasons.into_iter().flatten().collect();
    if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) }
}

fn confidence_lines(evidence: &Evidence, value: &str) -> Vec<String> {
    let Evidence { base, caution, q, a, b, outcomes, scope, decay } = *evidence;
    let made = format!("evidence {} × caution {}", figure(base), figure(caution));
    if outcomes == 0 {
        return vec![format!("{value} = {made}"), "no outcomes have taught anything yet".into()];
    }
    let whose = match scope {
        Scope::Context => "this context",
        Scope::All => "all contexts",
    };
    let outcomes = counted(outcomes, "outcome");
    let faded = match decay {
        decay if decay < FADED_SHOWN => format!(", faded to {:.0} %", decay * 100.0),
        _ => String::new(),
    };
    vec![
        format!("{value}, from {} = {made}", figure(q)),
        format!("by {outcomes} of {whose}: a {}, b {}{faded}", figure(a), figure(b)),
    ]
}

/// Rules in one line.
struct Line {
    label: String,
    result: &'static str,
    text: String,
    /// How many.
    count: usize,
}

/// A line for each rule that was tried; those of one source that follow each
/// other and are for other contexts share one.
fn folded(tried: &[Tried<'_>]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut open: Option<(Source, usize)> = None;
    for one in tried {
        let (source, number) = (one.source, one.number);
        let elsewhere = one.miss == Some(Miss::Context);
        if elsewhere
            && let Some((_, first)) = open.filter(|(of, _)| *of == source)
            && let Some(line) = lines.last_mut()
        {
            line.count += 1;
            line.label = format!("{} {first}–{number}", source.as_str());
            line.text = format!("{} rules for other contexts", line.count);
            continue;
        }
        open = elsewhere.then_some((source, number));
        lines.push(Line {
            label: format!("{} {number}", source.as_str()),
            result: one.miss.map_or("matched", Miss::as_str),
            text: match one.rule.context.as_deref().filter(|_| elsewhere) {
                Some(context) => format!("a rule for {}", escaped(context)),
                None => in_short(one.rule),
            },
            count: 1,
        });
    }
    lines
}

/// "high+ ≥ 0.70 → restart_service": its context is that of the decision.
fn in_short(rule: &Rule) -> String {
    let risk = rule.risk.name().unwrap_or("any risk".into());
    let min = match rule.min_confidence {
        min if min > 0.0 => format!(" ≥ {}", figure(min)),
        _ => String::new(),
    };
    format!("{risk}{min} → {}", escaped(&rule.action))
}

#[cfg(test)]
mod tests;
