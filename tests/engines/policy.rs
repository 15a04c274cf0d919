//! Policies and rules as text: what a decision went by is kept, and must say
//! the same when it is asked years later.

use std::time::Duration;

use adrt::engines::decision::policy::{rules_from_json, rules_to_json};
use adrt::engines::decision::{Policy, ReviewTerms, RiskMatch, Rule};
use proptest::prelude::*;

use super::any;

#[test]
fn a_review_has_the_terms_of_its_rule_or_of_the_policy() {
    let mut policy = Policy::default();
    (policy.review_timeout_ms, policy.review_approve) = (5, true);
    let rule = Rule::new(None, RiskMatch::Any, 0.0, "act", "because");
    assert_eq!(policy.review_terms(&rule), (Duration::from_millis(5), true));
    let review = ReviewTerms { timeout_ms: Some(7), approve: Some(false) };
    let rule = Rule { review, ..rule };
    assert_eq!(policy.review_terms(&rule), (Duration::from_millis(7), false));
    let rule = Rule { review: ReviewTerms::default(), ..rule };
    assert_eq!(Policy::default().review_terms(&rule), (Duration::from_secs(3600), false));
}

#[test]
fn what_is_no_policy_is_refused() {
    for text in ["", "{}", "[]", "null", r#"{"weights":[1,2,3,4]}"#] {
        assert!(Policy::from_json(text).is_err(), "{text}");
    }
    assert!(rules_from_json("{}").is_err());
}

proptest! {
    #[test]
    fn a_policy_reads_back_as_it_was(policy in any::strange_policy()) {
        let text = policy.to_json();
        let read = Policy::from_json(&text).unwrap();
        prop_assert_eq!(read.to_json(), text, "it has a name by its text");
        prop_assert_eq!(read, policy);
    }

    #[test]
    fn rules_read_back_as_they_were(rules in prop::collection::vec(any::rule(), 0..5)) {
        prop_assert_eq!(rules_from_json(&rules_to_json(&rules)).unwrap(), rules);
    }
}
