use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::engines::context::{Risk, Signals, Weights};
use crate::engines::decision::{Gate, RiskMatch, Verdict, policy};

/// Everything a file may say.
const ALL: &str = r#"
[contexts]
disk_full = "resource_pressure"
"door open" = "intrusion"

[weights]
severity = 0.4
cpu = 0.2
memory = 0.2
error_rate = 0.1
latency = 0.1

[thresholds]
high = 0.65
critical = { error = 10.0, review = 2 }

[reviews]
timeout = "2h"
default = "approve"

[[rule]]
context = "intrusion"
risk = "high+"
min_confidence = 0.7
action = "call_the_guard"
reason = "a_door_is_open"
gate = "full"
review_timeout = "10m"
review_default = "reject"

[[rule]]
action = "optimize_something"
reason = "why_not"
"#;

fn read(text: &str) -> Rules {
    parse(text, Layout::Whole).unwrap_or_else(|wrong| panic!("{wrong:?} in {text}"))
}

/// "LINE:COLUMN what / hint".
fn mistake(text: &str, layout: Layout) -> String {
    let wrong = match parse(text, layout) {
        Ok(rules) => return format!("accepted: {:?}", rules.warnings),
        Err(wrong) => wrong.in_file(Path::new("f"), text),
    };
    let place = wrong.place.map_or_else(String::new, |at| format!("{}:{}", at.line, at.column));
    let hint = if wrong.hint.is_empty() { String::new() } else { format!(" / {}", wrong.hint) };
    format!("{place} {}{hint}", wrong.what)
}

#[test]
fn everything_is_read() {
    let Rules { policy, warnings } = read(ALL);
    assert_eq!(warnings, []);
    assert_eq!(&*policy.reading.context_of("disk_full"), "resource_pressure");
    assert_eq!(&*policy.reading.context_of("door open"), "intrusion");
    assert_eq!(&*policy.reading.context_of("timeout"), "latency_issue", "the others stay");
    assert_eq!(policy.reading.weights.severity, 0.4);
    assert_eq!(policy.thresholds, Thresholds([0.20, 0.45, 0.65, 0.8]));
    assert_eq!((policy.review_timeout_ms, policy.review_approve), (7_200_000, true));
    assert_eq!(policy.own_rules(), 2);
    let [first, second, ..] = policy.rules() else { panic!("two rules") };
    assert_eq!(first.context.as_deref(), Some("intrusion"));
    assert_eq!((first.risk, first.min_confidence), (RiskMatch::AtLeast(Risk::High), 0.7));
    assert_eq!((&*first.action, &*first.reason), ("call_the_guard", "a_door_is_open"));
    assert_eq!(first.gate, Gate::Full);
    assert_eq!(first.review.timeout_ms, Some(600_000));
    assert_eq!(first.review.approve, Some(false));
    assert_eq!((second.context.as_deref(), second.risk), (None, RiskMatch::Any));
    assert_eq!(second.gate, Gate::Risk, "that of the action");
}

#[test]
fn nothing_is_the_policy_that_is_built_in() {
    for text in
        ["", "# only a remark\n", "rule = []\n[weights]\n[thresholds]\n[reviews]\n[contexts]\n"]
    {
        assert_eq!(read(text).policy, Policy::default(), "{text}");
    }
}

#[test]
fn in_a_configuration_file() {
    let indented = ALL.replace("[[rule]]", "[[rules.rule]]");
    let mut config = "restart = \"always\"\nunknown = 3\n".to_owned();
    for line in indented.lines() {
        match line.strip_prefix('[').filter(|rest| !rest.starts_with('[')) {
            Some(rest) => config.push_str(&format!("[rules.{rest}\n")),
            None => config.push_str(&format!("{line}\n")),
        }
    }
    let found = parse(&config, Layout::Table).expect("sound");
    assert_eq!(found.policy, read(ALL).policy);
    let none = parse("restart = \"always\"\n", Layout::Table).expect("sound");
    assert_eq!(none.policy, Policy::default());
}

#[test]
fn what_was_read_decides() {
    let policy = read(ALL).policy;
    let event = r#"{"type":"door open","severity":0.9}"#;
    let signals = Signals::of_event(event).expect("signals");
    let context = policy.reading.analyze("door open", &signals);
    let question = crate::engines::decision::Question {
        context: &context.context,
        risk: context.risk,
        confidence: 0.8,
        environment: crate::engines::environment::Level::Calm,
    };
    let decision = policy.decide(&[], &question);
    assert_eq!(&*decision.rule.action, "call_the_guard");
    assert_eq!((decision.threshold, decision.verdict), (0.65, Verdict::Execute));
    assert_eq!(policy.review_terms(decision.rule), (std::time::Duration::from_secs(600), false));
}

/// A policy that was read is the same after it was kept as text.
#[test]
fn what_was_read_can_be_kept() {
    let policy = read(ALL).policy;
    let again = Policy::from_json(&policy.to_json()).expect("its own text");
    assert_eq!(again, policy);
    let own = policy.rules().get(..2).expect("two rules");
    let kept = policy::rules_from_json(&policy::rules_to_json(own)).expect("its own text");
    assert_eq!(kept, own);
}

/// Every mistake there is, each with its place: line, column, what is wrong,
/// what to do.
#[test]
fn mistakes_are_told_with_their_place() {
    let rule = |line: &str| format!("[[rule]]\naction = \"a\"\nreason = \"r\"\n{line}\n");
    let long = "x".repeat(513);
    let table = [
        // TOML itself.
        ("[reviews]\n[reviews]\n".to_owned(), "2:2 duplicate key"),
        // Sections.
        (
            "[wieghts]\ncpu = 1\n".into(),
            "1:2 there is no setting \"wieghts\" / did you mean \"weights\"?",
        ),
        ("speed = 1\n".into(), "1:1 there is no setting \"speed\" / adrt-rules(5) lists them"),
        (
            "[[rules]]\naction = \"a\"\n".into(),
            "1:3 there is no setting \"rules\" / did you mean \"rule\"?",
        ),
        (
            "[rules.weights]\n".into(),
            "1:2 a file of rules has no table rules / write [thresholds], not \
             [rules.thresholds]; that is for --config",
        ),
        ("weights = 1\n".into(), "1:11 this is a table, not integer"),
        // Contexts.
        ("[contexts]\na = 7\n".into(), "2:5 this is a string, not integer"),
        ("[contexts]\na = \"\"\n".into(), "2:5 a name is never empty"),
        ("[contexts]\n\"\" = \"a\"\n".into(), "2:1 a type of event is never empty"),
        (
            "[contexts]\n  a = \"*\"\n".into(),
            "2:7 \"*\" is no context / leave the context out of a rule that is for all",
        ),
        ("[contexts]\na = \"b\\n\"\n".into(), "2:5 a name has no control characters"),
        (
            format!("[contexts]\na = \"{long}\"\n"),
            "2:5 a name has 512 bytes at most, and this has 513",
        ),
        // Weights.
        (
            "[weights]\nlatency_ms = 0.1\n".into(),
            "2:1 there is no setting \"latency_ms\" / did you mean \"latency\"?",
        ),
        (
            "[weights]\nx = 0.1\n".into(),
            "2:1 there is no setting \"x\" / one of: severity, cpu, memory, error_rate, latency",
        ),
        ("[weights]\ncpu = 1.5\n".into(), "2:7 1.5 is no number from 0 to 1"),
        ("[weights]\ncpu = -1\n".into(), "2:7 -1 is no number from 0 to 1"),
        ("[weights]\ncpu = nan\n".into(), "2:7 this is no number to reckon with"),
        ("[weights]\ncpu = \"0.2\"\n".into(), "2:7 this is a number, not string"),
        (
            "\n[weights]\ncpu = 0.5\n".into(),
            "2:1 the weights sum to 1.3, not to 1 / they are severity 0.35, cpu 0.5, memory 0.2, \
             error_rate 0.15, latency 0.1; those left out are as built in",
        ),
        // Thresholds.
        (
            "[thresholds]\nhihg = 0.5\n".into(),
            "2:1 there is no setting \"hihg\" / did you mean \"high\"?",
        ),
        ("[thresholds]\nhigh = 0.96\n".into(), "2:8 0.96 is no number from 0 to 0.95"),
        ("[thresholds]\nhigh = true\n".into(), "2:8 this is a number, not boolean"),
        (
            "[thresholds]\nhigh = { error = 10 }\n".into(),
            "2:8 the cost of a review is missing / { error = 10.0, review = 2.0 }, or a number \
             from 0 to 0.95",
        ),
        (
            "[thresholds.high]\nreview = 10\n".into(),
            "1:1 the cost of an error is missing / { error = 10.0, review = 2.0 }, or a number \
             from 0 to 0.95",
        ),
        (
            "[thresholds]\nhigh = { error = 1, review = 2 }\n".into(),
            "2:8 a review costs more than an error / then it is never worth one: write the \
             threshold 0",
        ),
        (
            "[thresholds]\nhigh = { error = 1, review = 0 }\n".into(),
            "2:30 0 is no cost; that is a number above 0",
        ),
        (
            "[thresholds]\nhigh = { eror = 1, review = 2 }\n".into(),
            "2:10 there is no setting \"eror\" / did you mean \"error\"?",
        ),
        // Reviews.
        (
            "[reviews]\ntime_out = \"1h\"\n".into(),
            "2:1 there is no setting \"time_out\" / did you mean \"timeout\"?",
        ),
        (
            "[reviews]\ntimeout = 10\n".into(),
            "2:11 this is a string, not integer / write it like \"10m\" or \"1h\"",
        ),
        (
            "[reviews]\ntimeout = \"10\"\n".into(),
            "2:11 \"10\" has no unit; write it like 500ms, 10s, 2m, 1h or 1h30m",
        ),
        (
            "[reviews]\ntimeout = \"0\"\n".into(),
            "2:11 nobody answers in no time / give the rule the gate \"never\", and there are no \
             reviews of it",
        ),
        (
            "[reviews]\ndefault = \"aprove\"\n".into(),
            "2:11 \"aprove\" is no answer / did you mean \"approve\"?",
        ),
        (
            "[reviews]\ndefault = \"no\"\n".into(),
            "2:11 \"no\" is no answer / one of: approve, reject",
        ),
        // Rules.
        (
            "[rule]\naction = \"a\"\n".into(),
            "1:1 this is an array, not table / begin each rule with [[rule]], in two pairs of \
             brackets",
        ),
        ("rule = [1]\n".into(), "1:9 this is a table, not integer"),
        (
            "[[rule]]\nreason = \"r\"\n".into(),
            "1:1 this rule has no action / say what is to be done: action = \"restart_service\"",
        ),
        (
            "[[rule]]\naction = \"a\"\n".into(),
            "1:1 this rule has no reason / say why, in a word: reason = \"disk_is_filling\"",
        ),
        (
            rule("confidence = 0.7"),
            "4:1 there is no setting \"confidence\" / a rule has context, risk, min_confidence, \
             action, reason, gate, review_timeout, review_default",
        ),
        (rule("conext = \"c\""), "4:1 there is no setting \"conext\" / did you mean \"context\"?"),
        (
            rule("context = \"*\""),
            "4:11 \"*\" is no context / leave the context out of a rule that is for all",
        ),
        (rule("min_confidence = 70"), "4:18 70 is no number from 0 to 1"),
        (rule("risk = \"hgih\""), "4:8 \"hgih\" is no risk / did you mean \"high\"?"),
        (
            rule("risk = \"bad\""),
            "4:8 \"bad\" is no risk / low, medium, high or critical; high+ is high and above",
        ),
        (rule("risk = \"High\""), "4:8 \"High\" is no risk / did you mean \"high\"?"),
        (rule("risk = \"+high\""), "4:8 \"+high\" is no risk / did you mean \"high\"?"),
        (rule("gate = \"ful\""), "4:8 \"ful\" is no gate / did you mean \"full\"?"),
        (rule("gate = \"open\""), "4:8 \"open\" is no gate / one of: never, risk, full"),
        (
            rule("review_timeout = \"soon\""),
            "4:18 \"soon\" is no span of time; write it like 500ms, 10s, 2m, 1h or 1h30m",
        ),
        (rule("review_default = \"x\""), "4:18 \"x\" is no answer / one of: approve, reject"),
    ];
    let differs = |(text, expected): &(String, &str)| {
        let told = mistake(text, Layout::Whole);
        (told != *expected).then(|| format!("{text}\n  told: {told}\n  not:  {expected}\n"))
    };
    let wrong: Vec<String> = table.iter().filter_map(differs).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        mistake("rules = \"x.toml\"\n", Layout::Table),
        "1:9 the rules are in a file of their own now / adrt reads from another file only when it \
         is started anew"
    );
    assert_eq!(
        mistake("[rules.thresholds]\nhigh = 2\n", Layout::Table),
        "2:8 2 is no number from 0 to 0.95"
    );
}

/// The first in the text, not the first in the alphabet.
#[test]
fn of_several_mistakes_the_first_is_told() {
    let told = mistake("[weights]\ny = 1\nx = 1\n[contexts]\na = 1\n", Layout::Whole);
    assert!(told.starts_with("2:1 there is no setting \"y\""), "{told}");
}

#[test]
fn there_is_an_end_to_rules() {
    let rule = "[[rule]]\naction = \"a\"\nreason = \"r\"\n";
    assert_eq!(read(&rule.repeat(RULES_MAX)).policy.own_rules(), RULES_MAX);
    let told = mistake(&rule.repeat(RULES_MAX + 1), Layout::Whole);
    assert_eq!(told, "3001:1 there are 1001 rules, and 1000 is the most");
}

fn warnings(text: &str) -> Vec<String> {
    let all = read(text).warnings;
    all.iter().map(|w| format!("{}:{} {}", w.place.line, w.place.column, w.what)).collect()
}

#[test]
fn rules_that_are_never_reached_are_told() {
    let text = r#"
[[rule]]
context = "c"
risk = "high+"
min_confidence = 0.5
action = "a"
reason = "r"

[[rule]]        # other risks: reached
context = "c"
min_confidence = 0.6
action = "a"
reason = "r"

[[rule]]        # all of it is taken by the first
context = "c"
risk = "critical"
min_confidence = 0.5
action = "b"
reason = "r"

[[rule]]        # less confidence will do: reached
context = "c"
risk = "critical"
min_confidence = 0.4
action = "b"
reason = "r"

[[rule]]
action = "all"
reason = "r"

[[rule]]
context = "other"
action = "c"
reason = "r"
"#;
    assert_eq!(
        warnings(text),
        [
            "15:1 this rule is never reached: rule 1 in line 2 comes first, and takes what it \
             would match",
            "33:1 this rule is never reached: rule 5 in line 29 comes first, and takes what it \
             would match",
        ]
    );
    assert_eq!(warnings(ALL), [""; 0]);
}

#[test]
fn slips_in_contexts_are_told() {
    let text = "[contexts]\nfull = \"disk_pressure\"\n[[rule]]\naction = \"a\"\nreason = \"r\"\n\
                context = \"resource_presure\"\n[[rule]]\ncontext = \"disk_pressures\"\n\
                min_confidence = 0.5\naction = \"a\"\nreason = \"r\"\n[[rule]]\naction = \"a\"\n\
                reason = \"r\"\ncontext = \"something_else\"\n";
    assert_eq!(
        warnings(text),
        [
            "6:11 no type of event has the context \"resource_presure\"; is it \
             \"resource_pressure\"?",
            "8:11 no type of event has the context \"disk_pressures\"; is it \"disk_pressure\"?",
        ]
    );
}

#[test]
fn costs_beyond_every_threshold_are_told() {
    let text = "[thresholds]\ncritical = { error = 1000, review = 1 }\n";
    let Rules { policy, warnings } = read(text);
    assert_eq!(policy.thresholds.of(Risk::Critical), 0.95);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].what.contains("0.999"), "{warnings:?}");
    let same = read("[thresholds]\nlow = { error = 3, review = 3 }\n").policy;
    assert_eq!(same.thresholds.of(Risk::Low), 0.0);
}

#[test]
fn weights_in_thirds_pass() {
    let text =
        "[weights]\nseverity = 0.333\ncpu = 0.333\nmemory = 0.333\nerror_rate = 0\nlatency = 0\n";
    let weights =
        Weights { severity: 0.333, cpu: 0.333, memory: 0.333, error_rate: 0.0, latency: 0.0 };
    assert_eq!(read(text).policy.reading.weights, weights);
}

proptest! {
    /// Whatever is typed is a policy or a mistake with a place in the text.
    #[test]
    fn any_text_has_an_answer(
        at in 0..ALL.len(),
        length in 0..20usize,
        put in "[\\[\\]={}\"\n#.a-z0-9 +-]{0,12}",
    ) {
        let mut text = ALL.to_owned();
        text.replace_range(at..(at + length).min(ALL.len()), &put);
        match parse(&text, Layout::Whole) {
            Ok(rules) => prop_assert!(rules.policy.own_rules() <= 2 + put.len()),
            Err(wrong) => {
                let place = wrong.in_file(Path::new("f"), &text).place.expect("a place");
                prop_assert!(place.line <= text.lines().count() + 1);
            }
        }
    }
}
