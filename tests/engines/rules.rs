//! Which rule decides, and which never can.

use adrt::engines::context::{Reading, Risk};
use adrt::engines::decision::rules::{built_in, shadowed};
use adrt::engines::decision::{Policy, Question, RiskMatch, Rule, Thresholds};
use adrt::engines::environment::Level;
use proptest::prelude::*;

use super::any;

fn rule(context: Option<&str>, risk: Option<&str>, min: f64, action: &str) -> Rule {
    let risk = risk.map_or(RiskMatch::Any, |name| RiskMatch::from_name(name).unwrap());
    Rule::new(context, risk, min, action, "because")
}

fn action(policy: &Policy, extra: &[Rule], context: &str, risk: Risk, confidence: f64) -> String {
    let question = Question { context, risk, confidence, environment: Level::Calm };
    policy.decide(extra, &question).rule.action.to_string()
}

#[test]
fn rules_of_the_call_come_first_then_the_users_then_the_built_in() {
    let own = vec![rule(Some("resource_pressure"), Some("high"), 0.70, "mine")];
    let policy = Policy::new(Reading::default(), Thresholds::default(), own);
    let call = [rule(Some("resource_pressure"), None, 0.75, "of_the_call")];
    let decide = |extra: &[Rule], confidence| {
        action(&policy, extra, "resource_pressure", Risk::High, confidence)
    };
    assert_eq!(decide(&call, 0.75), "of_the_call");
    assert_eq!(decide(&call, 0.74), "mine");
    assert_eq!(decide(&call, 0.69), "throttle_requests");
    assert_eq!(decide(&[], 0.9), "mine", "although a built-in rule wants more confidence");
    assert_eq!(action(&policy, &call, "latency_issue", Risk::High, 1.0), "optimize_query");
}

#[test]
fn nothing_is_left_undecided() {
    let mut policy = Policy::from_json(&Policy::default().to_json()).unwrap();
    assert_eq!(action(&policy, &[], "x", Risk::Critical, 0.0), "monitor_and_wait");
    // Not even by a policy that some other program wrote, without any rules.
    let text = policy.to_json();
    let at = text.find("\"rules\":").unwrap();
    policy = Policy::from_json(&format!("{}\"rules\":[]}}", &text[..at])).unwrap();
    assert_eq!(policy.rules(), []);
    assert_eq!(action(&policy, &[], "x", Risk::Critical, 0.0), "monitor_and_wait");
}

#[test]
fn every_built_in_rule_can_be_reached() {
    let rules = built_in();
    for place in 0..rules.len() {
        assert_eq!(shadowed(&rules, place), None, "{:?}", rules[place]);
    }
    assert_eq!(shadowed(&rules, rules.len()), None, "there is no such rule");
}

#[test]
fn a_rule_is_shadowed_by_several_together() {
    let rules = [
        rule(Some("x"), Some("high+"), 0.2, "one"),
        rule(None, Some("low"), 0.0, "two"),
        rule(Some("x"), Some("medium"), 0.6, "three"),
        rule(Some("x"), None, 0.5, "reached: medium, below 0.6"),
        rule(Some("x"), Some("medium"), 0.3, "four"),
        rule(Some("x"), None, 0.3, "never"),
        rule(None, None, 0.3, "reached: in other contexts"),
    ];
    let places: Vec<_> = (0..rules.len()).map(|place| shadowed(&rules, place)).collect();
    assert_eq!(places, [None, None, None, None, None, Some(0), None]);
}

/// Every question that can make a difference between rules.
fn questions(rules: &[Rule]) -> Vec<(String, Risk, f64)> {
    let mut contexts: Vec<&str> = rules.iter().filter_map(|rule| rule.context.as_deref()).collect();
    contexts.push("a context that no rule names");
    let mut confidences: Vec<f64> = rules.iter().map(|rule| rule.min_confidence).collect();
    confidences.push(1.0);
    let mut all = Vec::new();
    for context in contexts {
        for risk in Risk::ALL {
            all.extend(confidences.iter().map(|confidence| (context.into(), risk, *confidence)));
        }
    }
    all
}

proptest! {
    #[test]
    fn the_first_that_matches_decides(
        policy in any::policy(),
        extra in prop::collection::vec(any::rule(), 0..4),
        context in any::context(),
        risk in any::risk(),
        confidence in any::share(),
        environment in any::level(),
    ) {
        let question = Question { context: &context, risk, confidence, environment };
        let decision = policy.decide(&extra, &question);
        let all: Vec<&Rule> = extra.iter().chain(policy.rules()).collect();
        prop_assert_eq!(all[decision.place], decision.rule);
        // What it means to match, said once more.
        let matches = |rule: &Rule| {
            let risks = match rule.risk {
                RiskMatch::Any => &Risk::ALL[..],
                RiskMatch::Is(risk) => &[risk],
                RiskMatch::AtLeast(least) => &Risk::ALL[least.index()..],
            };
            rule.context.as_deref().is_none_or(|own| own == context)
                && risks.contains(&risk)
                && confidence >= rule.min_confidence
        };
        prop_assert!(matches(decision.rule));
        prop_assert!(all[..decision.place].iter().all(|rule| !matches(rule)));
        let built_in = all.len() - built_in().len();
        let own_matches = all[..built_in].iter().any(|rule| matches(rule));
        prop_assert_eq!(decision.place < built_in, own_matches, "the user's come first");
    }

    #[test]
    fn shadowed_is_what_no_question_reaches(
        rules in prop::collection::vec(any::rule(), 1..9),
    ) {
        let questions = questions(&rules);
        let misses = |rule: &Rule, question: &(String, Risk, f64)| {
            rule.misses(&question.0, question.1, question.2).is_some()
        };
        for (place, rule) in rules.iter().enumerate() {
            let mut matching = questions.iter().filter(|question| !misses(rule, question));
            let reached = matching.clone().any(|question| {
                rules[..place].iter().all(|earlier| misses(earlier, question))
            });
            let by = shadowed(&rules, place);
            prop_assert_eq!(by.is_none(), reached, "{:?}", rule);
            if let Some(by) = by {
                prop_assert!(by < place);
                let takes_some = matching.any(|question| !misses(&rules[by], question));
                prop_assert!(takes_some, "{by} has nothing to do with it");
            }
        }
    }
}
