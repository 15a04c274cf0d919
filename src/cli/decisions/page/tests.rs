use std::sync::Arc;

use super::super::account::Learnt;
use super::*;
use crate::engines::context::Reading;
use crate::engines::decision::{Policy, RiskMatch, Thresholds};
use crate::protocol::work::event;

const OVERLOAD: &str = r#"{"type":"service_overload","cpu":94,"memory":88,"severity":0.82}"#;

fn account_by(policy: Policy, text: &str, environment: Level) -> Account {
    let signals = Signals::of_event(text).expect("signals");
    let event = event(text).expect("an event");
    Account::of_event(&event, signals, &Arc::new(policy), &Learnt::default(), environment)
}

fn account(text: &str, environment: Level) -> Account {
    account_by(Policy::default(), text, environment)
}

fn shown(account: &Account) -> String {
    page(account, Paint::PLAIN, 80).lay_out(Paint::PLAIN)
}

/// The value of one field, its lines joined.
fn value(account: &Account, name: &str) -> String {
    let page = shown(account);
    let lines = page.lines().map(|line| (line.get(2..12).unwrap_or("").trim(), line));
    let mut lines = lines.skip_while(|(found, _)| *found != name);
    let first = lines.next().map(|(_, line)| line);
    let more = lines.take_while(|(found, _)| found.is_empty()).map(|(_, line)| line);
    let all: Vec<&str> =
        first.into_iter().chain(more).map(|line| line[NAMES_WIDTH..].trim()).collect();
    all.join(" | ")
}

#[test]
fn the_threshold_says_what_raised_it() {
    let told = |text: &str, level| value(&account(text, level), "threshold");
    assert_eq!(told(OVERLOAD, Level::Calm), "0.60 for risk high, the environment is calm");
    assert_eq!(
        told(OVERLOAD, Level::High),
        "0.70: 0.60 for risk high, raised, as the environment is high"
    );
    let certain = r#"{"type":"service_overload","severity":0.92}"#;
    assert_eq!(
        told(certain, Level::High),
        "0.60 for risk high; relief, so no environment raises it"
    );
    assert!(
        told(r#"{"type":"timeout"}"#, Level::Critical).starts_with("none: an action that only")
    );
}

#[test]
fn what_would_have_changed_it() {
    let account = account(r#"{"type":"auth_failure","severity":0.7}"#, Level::Critical);
    assert_eq!(value(&account, "verdict"), "execute: 0.665 ≥ 0.65");
    assert_eq!(value(&account, "otherwise"), "below 0.65   trigger_security_audit, review");
    let account =
        account_by(Policy::default(), r#"{"type":"auth_failure","severity":0.6}"#, Level::Critical);
    assert_eq!(value(&account, "verdict"), "review: 0.57 < 0.65, a person is asked");
    assert_eq!(
        value(&account, "otherwise"),
        "from 0.65    trigger_security_audit, execute | when high    trigger_security_audit, execute"
    );
}

#[test]
fn a_decision_about_a_confidence_alone() {
    let account =
        Account { signals: None, pressure: None, evidence: None, ..account(OVERLOAD, Level::Calm) };
    assert_eq!(value(&account, "risk"), "high, as it was told");
    assert_eq!(value(&account, "confidence"), "0.781, as it was told");
    assert_eq!(value(&account, "pressure"), "");
}

#[test]
fn outcomes_are_told_with_whose_they_are() {
    let plain = account(OVERLOAD, Level::Calm);
    let taught = |outcomes, scope, decay| {
        let evidence = plain.evidence.expect("made of evidence");
        let evidence = Evidence { a: 1.2, b: -0.3, outcomes, scope, decay, ..evidence };
        let account = Account { evidence: Some(evidence), confidence: 0.74, ..plain.clone() };
        value(&account, "confidence")
    };
    assert_eq!(
        taught(14, Scope::Context, 1.0),
        "0.74, from 0.781 = evidence 0.868 × caution 0.90 | by 14 outcomes of this context: a 1.20, b -0.30"
    );
    assert!(
        taught(1, Scope::All, 0.5)
            .ends_with("by 1 outcome of all contexts: a 1.20, b -0.30, faded to 50 %")
    );
}

#[test]
fn many_rules_are_folded_and_counted() {
    let rule = |context: Option<&str>, risk, min| Rule::new(context, risk, min, "act", "r");
    let mut own: Vec<Rule> =
        (0..200).map(|n| rule(Some(&format!("c{n}")), RiskMatch::Any, 0.0)).collect();
    own.push(rule(None, RiskMatch::Is(Risk::Low), 0.0));
    own.push(rule(Some("elsewhere"), RiskMatch::Any, 0.0));
    own.push(rule(None, RiskMatch::AtLeast(Risk::High), 0.99));
    own.push(rule(None, RiskMatch::Any, 0.5));
    let policy = |own| Policy::new(Reading::default(), Thresholds::default(), own);
    let account = account_by(policy(own), OVERLOAD, Level::Calm);
    assert_eq!(
        value(&account, "rules"),
        "user 1–200  context     200 rules for other contexts | \
         user 201    risk        low → act | \
         user 202    context     a rule for elsewhere | \
         user 203    confidence  high+ ≥ 0.99 → act | \
         user 204    matched     any risk ≥ 0.50 → act"
    );
    let own = (0..200).map(|_| rule(None, RiskMatch::Is(Risk::Low), 0.0)).collect();
    let account = account_by(policy(own), OVERLOAD, Level::Calm);
    let told = value(&account, "rules");
    assert_eq!(told.matches(" | ").count(), RULES_SHOWN_MAX);
    assert!(told.starts_with("…"), "{told}");
    assert!(told.contains("195 rules before these did not match"), "{told}");
    assert!(told.ends_with("built-in 3  matched     high ≥ 0.70 → restart_service"), "{told}");
}

#[test]
fn what_another_adrt_decided_stands_and_is_told() {
    let plain = account(OVERLOAD, Level::Calm);
    let account = Account { action: "reboot".into(), threshold: 0.5, ..plain };
    let page = shown(&account);
    assert!(page.contains("reboot, since high_resource_pressure"), "{page}");
    assert!(page.contains("execute: 0.781 ≥ 0.50"), "{page}");
    assert!(page.contains("this adrt comes to something else:"), "{page}");
    assert!(page.contains("restart_service, execute (threshold 0.60)"), "{page}");
    assert!(!page.contains("matched") && !page.contains("otherwise"), "{page}");
}

#[test]
fn without_its_policy_it_is_shown_as_far_as_it_goes() {
    let account = Account { policy: None, ..account(OVERLOAD, Level::Calm) };
    let page = shown(&account);
    assert!(page.contains("what it went by is no longer kept"), "{page}");
    assert_eq!(value(&account, "threshold"), "0.60, the environment is calm");
    assert!(value(&account, "pressure").contains("severity    0.82"), "{page}");
}

/// Names may have 512 bytes, and characters that a terminal obeys.
#[test]
fn no_line_is_longer_than_the_screen_or_moves_the_cursor() {
    let long = "\u{1b}[2J".repeat(100);
    let rule = Rule::new(None, RiskMatch::Any, 0.0, &long, &long);
    let mut reading = Reading::default();
    reading.names.insert("t".into(), long.as_str().into());
    let policy = Policy::new(reading, Thresholds::default(), vec![rule]);
    let account =
        account_by(policy, r#"{"type":"t","severity":0.9,"latency_ms":1e300}"#, Level::High);
    let page = format!("{}\n{}", headline(&account, 80), shown(&account));
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    assert!(!page.contains('\u{1b}'), "{page}");
}

#[test]
fn one_screen() {
    let account = account(
        r#"{"type":"service_overload","cpu":94,"memory":88,"severity":0.82,"error_rate":0.1,"latency_ms":90}"#,
        Level::High,
    );
    // The headline, what is below it, a review in two lines and the outcome.
    assert!(shown(&account).lines().count() + 5 <= 24, "{}", shown(&account));
}
