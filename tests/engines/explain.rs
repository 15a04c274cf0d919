//! Why a decision is what it is: what is said to change it does, and nothing
//! nearer does.

use adrt::engines::context::Risk;
use adrt::engines::decision::explain::{Explanation, Source};
use adrt::engines::decision::{Decision, Miss, Policy, Question, Rule, Verdict};
use adrt::engines::environment::Level;
use proptest::prelude::*;

use super::any;

const QUESTION: Question<'_> = Question {
    context: "resource_pressure",
    risk: Risk::High,
    confidence: 0.78,
    environment: Level::Calm,
};

#[test]
fn the_articles_example_is_explained() {
    let policy = Policy::default();
    let why = policy.explain(&[], &QUESTION);
    assert_eq!(&*why.decision.rule.action, "restart_service");
    let misses: Vec<_> = why.tried.iter().map(|tried| tried.miss).collect();
    assert_eq!(misses, [Some(Miss::Risk), Some(Miss::Confidence), None]);
    assert!(why.tried.iter().all(|tried| tried.source == Source::BuiltIn));
    let above = why.above.unwrap();
    assert_eq!((above.confidence, above.action), (0.80, "scale_up_immediate"));
    let below = why.below.unwrap();
    assert_eq!((below.confidence, below.action), (0.70, "throttle_requests"));
    assert_eq!((above.verdict, below.verdict), (Verdict::Execute, Verdict::Execute));
    assert_eq!((why.threshold_calm, why.environment), (0.60, None));
}

#[test]
fn an_environment_that_held_it_back_is_named() {
    let policy = Policy::default();
    // Restarting has a full gate, raised to 0.80 here: from there on another
    // rule matches anyway.
    let critical = Question { environment: Level::Critical, ..QUESTION };
    let why = policy.explain(&[], &critical);
    assert_eq!(why.decision.verdict, Verdict::Review);
    assert_eq!(why.environment, Some(Level::High), "0.70 is enough there");
    assert_eq!(why.above.unwrap().action, "scale_up_immediate");
    let unsure = Question { confidence: 0.72, environment: Level::Critical, ..QUESTION };
    assert_eq!(policy.explain(&[], &unsure).environment, Some(Level::High));
    // An audit at critical risk waits in any environment.
    let never = Question {
        context: "security_signal",
        risk: Risk::Critical,
        confidence: 0.5,
        environment: Level::Critical,
    };
    let why = policy.explain(&[], &never);
    assert_eq!((why.decision.verdict, why.environment), (Verdict::Review, None));
}

#[test]
fn what_nothing_changes_has_no_alternative() {
    let policy = Policy::default();
    let question = Question { context: "unknown_fire", ..QUESTION };
    let why = policy.explain(&[], &question);
    assert_eq!((why.above, why.below, why.environment), (None, None, None));
    assert_eq!(why.threshold_calm, 0.0);
}

/// What a decision comes to.
fn outcome(decision: &Decision<'_>) -> (String, Verdict) {
    (decision.rule.action.to_string(), decision.verdict)
}

/// Confidences at which anything might change, with their neighbours, and many
/// in between.
fn confidences(policy: &Policy, extra: &[Rule], question: &Question<'_>) -> Vec<f64> {
    let mut all: Vec<f64> = (0..=100).map(|n| f64::from(n) / 100.0).collect();
    for rule in extra.iter().chain(policy.rules()) {
        all.push(rule.min_confidence);
        all.push(policy.threshold(rule.gate, question.risk, question.environment));
    }
    let near = |at: &f64| [at.next_down(), *at, at.next_up()];
    let mut all: Vec<f64> = all.iter().flat_map(near).collect();
    all.retain(|confidence| (0.0..=1.0).contains(confidence));
    all.sort_by(f64::total_cmp);
    all
}

/// What is told of higher and lower confidences against trying them all.
fn alternatives_hold(
    policy: &Policy,
    extra: &[Rule],
    question: &Question<'_>,
    why: &Explanation<'_>,
) -> Result<(), TestCaseError> {
    let present = outcome(&why.decision);
    let at =
        |confidence: f64| outcome(&policy.decide(extra, &Question { confidence, ..*question }));
    let all = confidences(policy, extra, question);
    let above = all.iter().filter(|other| **other > question.confidence);
    let nearest = above.clone().find(|other| at(**other) != present);
    prop_assert_eq!(why.above.as_ref().map(|above| above.confidence), nearest.copied());
    if let Some(above) = &why.above {
        prop_assert_eq!(at(above.confidence), (above.action.to_owned(), above.verdict));
        prop_assert_ne!(at(above.confidence), present.clone());
    }
    let mut below = all.iter().rev().filter(|other| **other < question.confidence);
    let nearest = below.find(|other| at(**other) != present);
    // "Below it": the confidence that is told is the last that changes nothing.
    let told = why.below.as_ref().map(|below| below.confidence.next_down());
    prop_assert_eq!(told, nearest.copied());
    if let Some(below) = &why.below {
        prop_assert_eq!(at(below.confidence.next_down()), (below.action.to_owned(), below.verdict));
        prop_assert_eq!(at(below.confidence), present);
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_told_to_change_it_does_and_nothing_nearer(
        policy in any::policy(),
        extra in prop::collection::vec(any::rule(), 0..3),
        context in any::context(),
        risk in any::risk(),
        confidence in any::share(),
        environment in any::level(),
    ) {
        let question = Question { context: &context, risk, confidence, environment };
        let why = policy.explain(&extra, &question);
        prop_assert_eq!(why.decision, policy.decide(&extra, &question));
        alternatives_hold(&policy, &extra, &question, &why)?;

        let verdict = |environment| {
            policy.decide(&extra, &Question { environment, ..question }).verdict
        };
        let calmer = Level::ALL.into_iter().filter(|level| *level < environment);
        let least_calm = calmer.rev().find(|level| verdict(*level) == Verdict::Execute);
        let waits = why.decision.verdict == Verdict::Review;
        prop_assert_eq!(why.environment, least_calm.filter(|_| waits));
        let gate = why.decision.rule.gate;
        prop_assert_eq!(why.threshold_calm, policy.threshold(gate, risk, Level::Calm));

        let place = why.decision.place;
        prop_assert_eq!(why.tried.len(), place + 1);
        let all: Vec<&Rule> = extra.iter().chain(policy.rules()).collect();
        for (at, tried) in why.tried.iter().enumerate() {
            prop_assert_eq!((tried.place, tried.rule), (at, all[at]));
            prop_assert_eq!(tried.miss, all[at].misses(&context, risk, confidence));
            prop_assert_eq!(tried.miss.is_none(), at == place);
            let source = if at < extra.len() {
                Source::Call
            } else if at < extra.len() + policy.own_rules() {
                Source::User
            } else {
                Source::BuiltIn
            };
            prop_assert_eq!(tried.source, source);
        }
    }
}
