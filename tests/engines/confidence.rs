//! Confidence: evidence, caution, calibration and its fading, number by number
//! and whatever comes.

use std::time::Duration;

use adrt::clock::Age;
use adrt::engines::confidence::{Calibration, HALF_LIFE, Scope, calculate, evidence, serving};
use adrt::engines::context::{Risk, Weights};
use proptest::prelude::*;

use super::{any, close, signals};

const OVERLOAD: &str = r#"{"cpu":94,"memory":88,"severity":0.82}"#;
const NOW: Age = Age::from_millis(1_000_000);
/// The last digit that is told: how exp and ln are rounded may tip it over.
const ROUNDING: f64 = 1.1e-12;

#[test]
fn evidence_is_that_of_the_signals_there_are() {
    for (event, base) in [
        ("{}", 0.5),
        (r#"{"severity":null}"#, 0.5),
        (r#"{"severity":0.3}"#, 0.3),
        (r#"{"cpu":40}"#, 0.4),
        (r#"{"severity":1,"cpu":0}"#, 0.35 / 0.55),
        (r#"{"latency_ms":50000}"#, 1.0),
        (OVERLOAD, 0.651 / 0.75),
    ] {
        assert!(close(evidence(&Weights::default(), &signals(event)), base), "{event}");
    }
    let nothing = Weights { severity: 0.0, ..Weights::default() };
    let unweighed = evidence(&nothing, &signals(r#"{"severity":0.9}"#));
    assert_eq!(unweighed, 0.5, "what counts for nothing says nothing");
}

#[test]
fn each_risk_has_its_caution() {
    let event = signals(r#"{"cpu":50}"#);
    for (risk, caution) in Risk::ALL.into_iter().zip([1.00, 0.95, 0.90, 0.80]) {
        let found = calculate(&Weights::default(), &event, risk, None, None, NOW);
        assert_eq!(found.context_adjustment, caution);
        assert!(close(found.q, 0.5 * caution));
        assert!(close(found.value, found.q), "with nothing learnt, evidence is believed");
        assert!(close(found.history_weight, 1.0));
        assert_eq!((found.decay_factor, found.scope), (1.0, Scope::All));
        assert_eq!(found.calibration, Calibration::default());
    }
}

#[test]
fn nothing_is_ever_certain() {
    let q = |event: &str, risk| {
        calculate(&Weights::default(), &signals(event), risk, None, None, NOW).q
    };
    assert_eq!(q(r#"{"severity":0}"#, Risk::Low), 0.02);
    assert_eq!(q(r#"{"severity":0.02}"#, Risk::Low), 0.02);
    assert_eq!(q(r#"{"severity":1}"#, Risk::Low), 0.98);
    assert_eq!(q(r#"{"severity":1}"#, Risk::Critical), 0.80);
    let sure = Calibration { b: 40.0, outcomes: 9, ..Calibration::default() };
    assert_eq!(sure.apply(0.5), 0.98);
    assert_eq!(Calibration { b: -40.0, ..sure }.apply(0.5), 0.02);
    assert_eq!((sure.apply(0.0), sure.apply(1.0)), (0.02, 0.98));
}

#[test]
fn evidence_right_at_a_threshold_is_confidence_right_at_it() {
    // There and back through logarithms the last bit would be lost.
    for hundredths in 2..=98 {
        let q = f64::from(hundredths) / 100.0;
        assert_eq!(Calibration::default().apply(q), q);
    }
}

#[test]
fn an_outcome_moves_slope_and_offset_by_their_steps() {
    let fresh = Calibration::default();
    let x = f64::ln(4.0); // logit .8
    let won = fresh.learn(0.8, true, NOW);
    assert!(close(won.a, 1.0 + 0.03 * 0.2 * x) && close(won.b, 0.02), "{won:?}");
    assert_eq!((won.outcomes, won.last), (1, NOW));
    let lost = fresh.learn(0.8, false, NOW);
    assert!(close(lost.a, 1.0 - 0.03 * 0.8 * x) && close(lost.b, -0.08), "{lost:?}");
    // At even odds evidence says nothing about the slope.
    let even = fresh.learn(0.5, true, NOW);
    assert!(close(even.a, 1.0) && close(even.b, 0.05), "{even:?}");
    // The second step goes by what the first has left.
    let again = won.learn(0.8, false, NOW);
    let error = 1.0 / (1.0 + f64::exp(-(won.a * x + won.b)));
    assert!(close(again.a, won.a - 0.03 * error * x) && close(again.b, won.b - 0.1 * error));
}

#[test]
fn the_slope_keeps_to_its_bounds() {
    let mut inverted = Calibration::default();
    let mut clear = Calibration::default();
    for _ in 0..5_000 {
        inverted = inverted.learn(0.98, false, NOW).learn(0.02, true, NOW);
        clear = clear.learn(0.52, true, NOW).learn(0.48, false, NOW);
    }
    assert_eq!(inverted.a, 0.1, "evidence that misleads counts little, never the other way round");
    assert_eq!(clear.a, 3.0);
}

#[test]
fn what_was_learnt_fades_by_half_in_a_week() {
    let learnt = Calibration { a: 1.8, b: -0.6, outcomes: 40, last: NOW };
    assert_eq!(HALF_LIFE, Duration::from_secs(604_800));
    assert_eq!(learnt.at(NOW), learnt);
    for (weeks, left) in [(1, 0.5), (2, 0.25), (10, 1.0 / 1024.0)] {
        let later = NOW + HALF_LIFE * weeks;
        let at = learnt.at(later);
        assert!(close(learnt.weight(later), left));
        assert!(close(at.a, 1.0 + 0.8 * left) && close(at.b, -0.6 * left));
        let event = signals(OVERLOAD);
        let own = Some(&learnt);
        let found = calculate(&Weights::default(), &event, Risk::Low, own, None, later);
        assert!(close(found.decay_factor, left));
        // It fades before it is taught.
        let faded = Calibration { last: later, ..at };
        assert_eq!(learnt.learn(0.7, true, later), faded.learn(0.7, true, later));
    }
    let earlier = Age::from_millis(0);
    assert_eq!(learnt.at(earlier), learnt, "time that ran backwards is no time");
    assert_eq!(learnt.learn(0.7, true, earlier).last, NOW, "and what is known of it stays");
    assert_eq!(Calibration::default().weight(NOW + HALF_LIFE), 1.0, "nothing can't fade");
}

#[test]
fn a_context_goes_by_its_own_outcomes_from_the_fifth_on() {
    let all = Calibration { b: 1.0, outcomes: 50, ..Calibration::default() };
    let event = signals(OVERLOAD);
    for outcomes in 0..8 {
        let own = Calibration { b: -1.0, outcomes, ..Calibration::default() };
        let found = calculate(&Weights::default(), &event, Risk::High, Some(&own), Some(&all), NOW);
        let trusted = outcomes >= 5;
        assert_eq!(found.scope, if trusted { Scope::Context } else { Scope::All }, "{outcomes}");
        assert_eq!(found.value < found.q, trusted, "{outcomes}");
    }
    let few = Calibration { outcomes: 4, ..all };
    assert_eq!(serving(Some(&few), None), (None, Scope::All), "four are as good as none");
    assert_eq!(serving(None, Some(&few)), (Some(&few), Scope::All), "of all contexts, any count");
}

#[test]
fn a_stated_confidence_is_taken_back_to_its_evidence() {
    let learnt = Calibration { a: 1.7, b: -0.4, outcomes: 9, last: NOW };
    for confidence in [0.05, 0.3, 0.5, 0.78, 0.93] {
        let x = (f64::ln(confidence / (1.0 - confidence)) + 0.4) / 1.7;
        let q = 1.0 / (1.0 + f64::exp(-x));
        assert!(close(learnt.evidence_of(confidence), q));
        assert!(close(learnt.apply(learnt.evidence_of(confidence)), confidence));
    }
    for (stated, q) in [(0.0, 0.02), (1.0, 0.98)] {
        let of = Calibration::default().evidence_of(stated);
        assert!(close(of, q), "evidence is never certain either: {of}");
    }
}

/// Outcomes at any time, in any order.
fn outcomes() -> impl Strategy<Value = Vec<(f64, bool, u64)>> {
    let time = prop_oneof![any::<u64>(), 0..10_u64, Just(u64::MAX)];
    let evidence = prop_oneof![any::share(), Just(f64::MIN_POSITIVE)];
    prop::collection::vec((evidence, any::<bool>(), time), 0..200)
}

proptest! {
    #[test]
    fn no_sequence_of_outcomes_leads_out_of_the_numbers(
        outcomes in outcomes(),
        q in any::share(),
        now in any::<u64>(),
    ) {
        let mut learnt = Calibration::default();
        for (count, (q, success, ms)) in outcomes.into_iter().enumerate() {
            let next = learnt.learn(q, success, Age::from_millis(ms));
            prop_assert!((0.1..=3.0).contains(&next.a), "{next:?}");
            prop_assert!(next.b.is_finite() && (next.b - learnt.b).abs() <= learnt.b.abs() + 0.1);
            prop_assert_eq!(next.outcomes, count as u64 + 1);
            prop_assert!(next.last >= learnt.last, "time is never unlearnt");
            learnt = next;
        }
        let at = learnt.at(Age::from_millis(now));
        prop_assert!((0.1..=3.0).contains(&at.a) && at.b.abs() <= learnt.b.abs());
        prop_assert!((0.0..=1.0).contains(&learnt.weight(Age::from_millis(now))));
        prop_assert!((0.02..=0.98).contains(&at.apply(q)));
        prop_assert!((0.02..=0.98).contains(&at.evidence_of(q)));
    }

    #[test]
    fn outcomes_pull_confidence_to_their_side(
        learnt in any::calibration(),
        q in any::share(),
    ) {
        let (now, q) = (learnt.last, q.clamp(0.02, 0.98));
        let before = learnt.apply(q);
        prop_assert!(learnt.learn(q, true, now).apply(q) >= before - ROUNDING);
        prop_assert!(learnt.learn(q, false, now).apply(q) <= before + ROUNDING);
    }

    #[test]
    fn confidence_rises_with_evidence(
        learnt in any::calibration(),
        one in any::share(),
        other in any::share(),
    ) {
        let (less, more) = if one <= other { (one, other) } else { (other, one) };
        prop_assert!(learnt.apply(more) >= learnt.apply(less) - ROUNDING);
        let far = more.clamp(0.02, 0.98) - less.clamp(0.02, 0.98) > 1e-6;
        let inside = |c: f64| c > 0.021 && c < 0.979;
        if far && inside(learnt.apply(less)) && inside(learnt.apply(more)) {
            prop_assert!(learnt.apply(more) > learnt.apply(less), "a slope is never nought");
        }
    }

    #[test]
    fn confidence_rises_with_each_signal_that_is_there(
        event in any::signals(),
        place in 0..5_usize,
        by in any::share(),
        risk in any::risk(),
        learnt in any::calibration(),
    ) {
        let of = |event| {
            calculate(&Weights::default(), event, risk, None, Some(&learnt), learnt.last)
        };
        let found = of(&event);
        prop_assert!((0.02..=0.98).contains(&found.value) && (0.02..=0.98).contains(&found.q));
        prop_assert!((0.0..=1.0).contains(&found.base));
        prop_assert!(close(found.value, found.q * found.history_weight));
        prop_assert_eq!(found, of(&event), "asking changes nothing");
        if event.named()[place].1.is_some() {
            let more = of(&any::raised(&event, place, by));
            prop_assert!(more.base >= found.base - ROUNDING);
            prop_assert!(more.value >= found.value - ROUNDING);
        }
    }

    #[test]
    fn more_risk_is_never_more_confidence(event in any::signals(), learnt in any::calibration()) {
        let of = |risk| {
            calculate(&Weights::default(), &event, risk, None, Some(&learnt), learnt.last).value
        };
        let by_risk = Risk::ALL.map(of);
        prop_assert!(by_risk.windows(2).all(|pair| pair[0] >= pair[1] - ROUNDING), "{by_risk:?}");
    }

    #[test]
    fn a_confidence_goes_back_to_its_evidence(learnt in any::calibration(), q in 0.02..=0.98_f64) {
        let confidence = learnt.apply(q);
        // A slope of 0.1 stretches the last digits tenfold; at the ends all is
        // the same confidence.
        if (0.021..0.979).contains(&confidence) {
            prop_assert!((learnt.evidence_of(confidence) - q).abs() < 1e-9);
        }
    }
}
