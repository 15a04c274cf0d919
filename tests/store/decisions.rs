//! Decisions, the policies they went by, and what their outcomes taught: what
//! is written comes back, how long it is kept, and what damage and forgetting
//! leave of it.

use std::fs;

use adrt::clock::Wall;
use adrt::engines::context::Risk;
use adrt::engines::decision::Verdict;
use adrt::engines::environment::Level;
use adrt::store::{DecisionFilter, OnDamage, Options, Store};
use adrt::supervisor::io::{
    Answer, DecisionRef, DecisionRow, Op, ReviewRef, ReviewRow, Wear, WorkAnswer, WorkOp,
};
use adrt::supervisor::work::EventState;

use super::kit::{
    DAY, HOUR, MINUTE, Place, Script, T0, calibration_op, commit, count, days, decision,
    decision_op, held, on_damage, options, policy_op, restored_from_backup, review_op,
};

/// The decisions that are kept, oldest first.
fn kept(place: &Place) -> Vec<u64> {
    let all = place.reader().decisions(u64::MAX, None, &DecisionFilter::default()).unwrap();
    all.iter().rev().map(|row| row.id).collect()
}

/// Which of the policies 1 to 9 are kept.
fn policies(place: &Place) -> Vec<u8> {
    let reader = place.reader();
    (1..=9).filter(|policy| reader.policy(&[*policy; 16]).unwrap().is_some()).collect()
}

fn tamper(place: &Place, sql: &str) {
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    assert_eq!(conn.execute(sql, []).unwrap(), 1, "{sql}");
}

fn look(store: &mut Store, script: &mut Script, which: DecisionRef) -> Option<DecisionRow> {
    let op = Op::Work(WorkOp::LookDecision(which));
    match commit(store, script.unit(vec![op])).as_slice() {
        [Answer::Work(WorkAnswer::Decision(found))] => found.as_deref().cloned(),
        other => panic!("{other:?}"),
    }
}

fn look_review(store: &mut Store, script: &mut Script, which: ReviewRef) -> Option<ReviewRow> {
    let op = Op::Work(WorkOp::LookReview(which));
    match commit(store, script.unit(vec![op])).as_slice() {
        [Answer::Work(WorkAnswer::Review(found))] => found.as_deref().cloned(),
        other => panic!("{other:?}"),
    }
}

/// Decisions `from` to `to`, each about the event of its number, by policy 1.
fn some(from: u64, to: u64) -> Vec<Op> {
    (from..=to).map(|id| decision_op(decision(id, id, 1))).collect()
}

#[test]
fn what_is_written_comes_back_to_the_last_bit() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let whole = DecisionRow {
        risk: Risk::Critical,
        confidence: 1.0,
        q: Some(f64::MIN_POSITIVE),
        environment: Level::Critical,
        threshold: 0.95,
        verdict: Verdict::Review,
        policy: *b"\x00\xff0123456789abcd",
        basis: format!("{{\"text\":\"é{}\"}}", "x".repeat(20_000)).into(),
        review: Some(5),
        outcome: Some(false),
        settled: Some(Wall::from_millis(-1)),
        ..decision(1, 1, 1)
    };
    let plain = DecisionRow { q: None, confidence: 0.1 + 0.2, ..decision(2, 0, 1) };
    let slope = 0.1 + 0.7;
    let ops = vec![
        policy_op(1),
        decision_op(whole.clone()),
        decision_op(plain.clone()),
        calibration_op("a", slope, -f64::EPSILON),
        calibration_op("*", 3.0, -0.0),
    ];
    commit(&mut store, script.unit(ops));
    drop(store);
    let mut store = place.open();
    let restored = store.load().unwrap();
    assert_eq!(restored.warnings, Vec::<String>::new());
    let reader = place.reader();
    for row in [&whole, &plain] {
        assert_eq!(look(&mut store, &mut script, DecisionRef::Id(row.id)).as_ref(), Some(row));
        assert_eq!(reader.decision(row.id).unwrap().as_ref(), Some(row));
    }
    let taught = restored.work.calibrations;
    assert_eq!(reader.calibrations().unwrap(), taught);
    let bits: Vec<_> = taught
        .iter()
        .map(|row| (&*row.context, row.calibration.a.to_bits(), row.calibration.b.to_bits()))
        .collect();
    // Zero is zero.
    let expected = [("*", 3f64.to_bits(), 0), ("a", slope.to_bits(), (-f64::EPSILON).to_bits())];
    assert_eq!(bits, expected);
    assert_eq!(taught[1].calibration.last.millis(), 12_345);
    assert_eq!(*reader.policy(&[1; 16]).unwrap().unwrap().text, *r#"{"policy":1}"#);
    assert_eq!(restored.work.last_decision, 2);
}

#[test]
fn a_decision_is_found_by_its_event_and_its_review_by_the_decision() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let mut ops = vec![review_op(1, None), review_op(2, None), policy_op(1)];
    // Two about event 7, the second of which waits; two wait for one review,
    // and one is about no event that is kept.
    ops.extend([decision(1, 7, 1), held(decision(2, 7, 1), 2), decision(3, 0, 1)].map(decision_op));
    ops.extend([held(decision(4, 8, 1), 2), held(decision(5, 9, 1), 77)].map(decision_op));
    commit(&mut store, script.unit(ops));
    let mut by = |which| look(&mut store, &mut script, which).map(|row| row.id);
    assert_eq!(by(DecisionRef::Event(7)), Some(1));
    assert_eq!(by(DecisionRef::Event(8)), Some(4));
    assert_eq!((by(DecisionRef::Event(0)), by(DecisionRef::Event(1))), (None, None));
    assert_eq!((by(DecisionRef::Id(3)), by(DecisionRef::Id(6))), (Some(3), None));
    let mut of = |id| {
        let found = look_review(&mut store, &mut script, ReviewRef::Decision(id));
        found.map(|review| (review.id, review.decision))
    };
    assert_eq!((of(2), of(4)), (Some((2, Some(2))), Some((2, Some(2)))), "the first is named");
    assert_eq!((of(1), of(5), of(6)), (None, None, None));
    let by_id = look_review(&mut store, &mut script, ReviewRef::Id(1)).unwrap();
    assert_eq!(by_id.decision, None);
    let decisions: Vec<_> =
        store.load().unwrap().work.reviews.iter().map(|review| review.decision).collect();
    assert_eq!(decisions, [None, Some(2)]);
    let reader = place.reader();
    assert_eq!(reader.review(2).unwrap().unwrap().decision, Some(2));
    assert_eq!(reader.reviews(true, 9).unwrap()[0].decision, Some(2));
}

#[test]
fn decisions_go_after_a_week_but_for_those_whose_review_waits() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let mut ops = vec![policy_op(1), review_op(1, None), review_op(2, None)];
    ops.extend([decision(1, 1, 1), held(decision(2, 2, 1), 1)].map(decision_op));
    ops.extend([decision(3, 3, 1), held(decision(4, 4, 1), 2), decision(5, 5, 1)].map(decision_op));
    commit(&mut store, script.unit(ops));
    days(&mut store, &mut script, 6);
    // An outcome makes none younger.
    let told = DecisionRow { outcome: Some(true), ..decision(3, 3, 1) };
    commit(&mut store, script.unit(vec![decision_op(told)]));
    days(&mut store, &mut script, 1);
    assert_eq!(kept(&place), [1, 2, 3, 4, 5]);
    commit(&mut store, script.unit(vec![policy_op(2), decision_op(decision(6, 6, 2))]));
    days(&mut store, &mut script, 1);
    assert_eq!((kept(&place), policies(&place)), (vec![2, 4, 6], vec![1, 2]));
    // What was left behind goes when its review is settled, also after
    // another opening.
    commit(&mut store, script.unit(vec![review_op(1, Some(T0))]));
    assert_eq!(kept(&place), [4, 6]);
    drop(store);
    let mut store = place.open();
    commit(&mut store, script.unit(vec![]));
    assert_eq!(kept(&place), [4, 6]);
    commit(&mut store, script.unit(vec![review_op(2, Some(T0))]));
    assert_eq!((kept(&place), policies(&place)), (vec![6], vec![2]), "the last took its policy");
    // The newest tells the next one's number, and is kept for it.
    days(&mut store, &mut script, 30);
    assert_eq!(kept(&place), [6]);
    drop(store);
    assert_eq!(place.open().load().unwrap().work.last_decision, 6);
}

#[test]
fn what_was_let_go_does_not_come_back_with_its_outcome() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.unit(some(1, 3)));
    days(&mut store, &mut script, 8);
    assert_eq!(kept(&place), [3]);
    let told = |id| DecisionRow { outcome: Some(true), ..decision(id, id, 1) };
    commit(&mut store, script.unit(vec![decision_op(told(2)), decision_op(told(3))]));
    drop(store);
    assert_eq!(kept(&place), [3]);
    assert_eq!(place.reader().decision(3).unwrap().unwrap().outcome, Some(true));
}

#[test]
fn a_jump_of_the_clock_lets_no_decision_go() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.unit(some(1, 10)));
    script.at += 3650 * DAY;
    commit(&mut store, script.unit(vec![]));
    assert_eq!(kept(&place).len(), 10);
}

#[test]
fn a_damaged_decision_goes_with_those_around_it() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.unit(some(1, 3)));
    days(&mut store, &mut script, 4);
    commit(&mut store, script.unit(some(4, 6)));
    drop(store);
    // One that would be old by what it says, and one that would not be.
    tamper(&place, "UPDATE decisions SET age = 0 WHERE id = 5");
    tamper(&place, "UPDATE decisions SET age = age + 1000000000 WHERE id = 2");
    let mut store = place.open();
    days(&mut store, &mut script, 4);
    assert_eq!((kept(&place), count(&place, "decisions")), (vec![4, 6], 3));
    // The second is known to be old only when a sound one after it is.
    days(&mut store, &mut script, 4);
    assert_eq!((kept(&place), count(&place, "decisions")), (vec![6], 2));
    commit(&mut store, script.unit(some(7, 7)));
    assert_eq!((kept(&place), count(&place, "decisions")), (vec![7], 1));
}

#[test]
fn of_very_many_decisions_the_newest_are_kept() {
    const MANY: u64 = 103_000;
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let ops = (1..=20).map(|id| review_op(id, None)).collect();
    commit(&mut store, script.unit(ops));
    let mut before = 0;
    for first in (1..=MANY).step_by(2000) {
        let waits = |id: u64| (id.is_multiple_of(100) && id <= 2000).then_some(id / 100);
        let row = |id| match waits(id) {
            Some(review) => held(decision(id, id, 1), review),
            None => decision(id, id, 1),
        };
        let ops = (first..(first + 2000).min(MANY + 1)).map(|id| decision_op(row(id))).collect();
        store.commit(&[script.unit(ops)]).unwrap();
    }
    let mut now = count(&place, "decisions");
    assert!(now >= MANY - 2000, "{now}");
    while store.maintain() {
        before = now;
        now = count(&place, "decisions");
        assert!(before - now <= 1000, "{before} {now}");
    }
    assert!(before > 0);
    assert_eq!(count(&place, "decisions"), 100_000 + 20);
    // Settling one costs what is left behind, not what is kept.
    commit(&mut store, script.unit(vec![review_op(7, Some(T0))]));
    assert_eq!(count(&place, "decisions"), 100_000 + 19);
    assert_eq!(store.load().unwrap().work.last_decision, MANY);
}

#[test]
fn many_decisions_of_one_review_go_a_thousand_at_a_time() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let mut ops = vec![review_op(1, None)];
    ops.extend((1..=2500).map(|id| decision_op(held(decision(id, 0, 1), 1))));
    ops.push(decision_op(decision(2501, 0, 1)));
    commit(&mut store, script.unit(ops));
    days(&mut store, &mut script, 9);
    assert_eq!(count(&place, "decisions"), 2501);
    commit(&mut store, script.unit(vec![review_op(1, Some(T0))]));
    let mut left = count(&place, "decisions");
    assert_eq!(left, 1501);
    while store.maintain() {
        let now = count(&place, "decisions");
        assert!(left - now <= 1000);
        left = now;
    }
    assert_eq!(kept(&place), [2501]);
}

#[test]
fn the_budget_sheds_decisions_before_acked_events() {
    let place = Place::new();
    let budget = Options { max_db: 2 << 20, ..options() };
    let mut store = place.try_open(&budget).unwrap().0;
    let mut script = Script::default();
    for seq in 1..=20 {
        let ops = vec![script.arrive_op(seq), script.status_op(seq, EventState::Acked)];
        commit(&mut store, script.unit(ops));
    }
    commit(&mut store, script.unit(vec![policy_op(1), review_op(1, None)]));
    let mut used = 0;
    for id in 1..=100 {
        let row = if id == 3 { held(decision(3, 3, 1), 1) } else { decision(id, id, 1) };
        let basis = format!("\"{}\"", "x".repeat(50_000)).into();
        let op = decision_op(DecisionRow { basis, ..row });
        used = store.commit(&[script.unit(vec![op])]).unwrap().used_bytes;
    }
    assert!(used <= 2 << 20, "{used}");
    let kept = kept(&place);
    assert_eq!((kept[0], kept.last()), (3, Some(&100)));
    assert!(kept.len() < 50, "{}", kept.len());
    assert_eq!(count(&place, "events"), 20);
    assert_eq!(policies(&place), [1]);
}

#[test]
fn a_policy_stays_while_a_decision_names_it_or_it_is_the_newest() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    // Reloaded twice with nothing decided in between.
    commit(&mut store, script.unit(vec![policy_op(1), decision_op(decision(1, 1, 1))]));
    commit(&mut store, script.unit(vec![policy_op(2)]));
    commit(&mut store, script.unit(vec![policy_op(3)]));
    assert_eq!(policies(&place), [1, 3]);
    commit(&mut store, script.unit(vec![decision_op(decision(2, 2, 3))]));
    // The first one again: it is the newest now, and nobody's decision holds it.
    commit(&mut store, script.unit(vec![policy_op(1)]));
    days(&mut store, &mut script, 8);
    assert_eq!((kept(&place), policies(&place)), (vec![2], vec![1, 3]));
    commit(&mut store, script.unit(vec![policy_op(1), decision_op(decision(3, 3, 1))]));
    days(&mut store, &mut script, 1);
    assert_eq!((kept(&place), policies(&place)), (vec![3], vec![1]));
    assert_eq!(count(&place, "policies"), 1);
    // One that was damaged is written anew.
    tamper(&place, "UPDATE policies SET text = '{}'");
    assert_eq!(policies(&place), Vec::<u8>::new());
    commit(&mut store, script.unit(vec![policy_op(1)]));
    assert_eq!((policies(&place), count(&place, "policies")), (vec![1], 1));
}

#[test]
fn what_outcomes_taught_is_kept_by_context_and_risk() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let ops = vec![
        calibration_op("a", 1.0, 0.0),
        calibration_op("b", 2.0, 0.0),
        calibration_op("a", 1.5, 0.25),
        Op::Work(WorkOp::DropCalibration { context: "b".into(), risk: Risk::High }),
        Op::Work(WorkOp::DropCalibration { context: "a".into(), risk: Risk::Low }),
    ];
    commit(&mut store, script.unit(ops));
    days(&mut store, &mut script, 400);
    let taught = store.load().unwrap().work.calibrations;
    assert_eq!(taught.len(), 1);
    assert_eq!((&*taught[0].context, taught[0].risk), ("a", Risk::High));
    assert_eq!((taught[0].calibration.a, taught[0].calibration.b), (1.5, 0.25));
}

/// Something in each table of decisions, and a state to be damaged.
fn all_tables(store: &mut Store, script: &mut Script) {
    let mut ops = vec![script.patch_op(r#"{"a":1}"#), script.patch_op(r#"{"a":2}"#)];
    ops.push(review_op(1, None));
    for id in 1..=3 {
        ops.push(policy_op(id as u8));
        ops.push(decision_op(held(decision(id, id, id as u8), 1)));
        ops.push(calibration_op(&format!("c{id}"), 1.0, id as f64));
    }
    commit(store, script.unit(ops));
}

/// What a table loses by a changed bit in its second row, and by the salvage:
/// that row, and nothing else.
#[test]
fn a_changed_bit_costs_that_row_only() {
    let flips = [
        ("decisions", "confidence = 0.31 WHERE id = 2"),
        ("decisions", "basis = '{}' WHERE id = 2"),
        ("decisions", "age = age + 1 WHERE id = 2"),
        ("decisions", "review = NULL WHERE id = 2"),
        ("decisions", "risk = 'grave' WHERE id = 2"),
        ("policies", "text = '{\"policy\":6}' WHERE id = 2"),
        ("calibration", "b = 2.0000000000000004 WHERE context = 'c2'"),
        ("calibration", "risk = 'hogh' WHERE context = 'c2'"),
    ];
    for (table, change) in flips {
        let place = Place::new();
        let mut store = place.open();
        let mut script = Script::default();
        all_tables(&mut store, &mut script);
        drop(store);
        tamper(&place, &format!("UPDATE {table} SET {change}"));
        let lost = |name| u64::from(table == name);
        let restored = place.open().load().unwrap();
        let taught = restored.work.calibrations.len() as u64;
        assert_eq!((restored.work.last_decision, taught), (3, 3 - lost("calibration")), "{change}");
        assert_eq!(restored.work.reviews[0].decision, Some(1), "{change}");
        let told = restored.warnings.iter().any(|warning| warning.contains("outcomes"));
        assert_eq!(told, table == "calibration", "{:?}", restored.warnings);
        let whole = if table == "decisions" { vec![1, 3] } else { vec![1, 2, 3] };
        assert_eq!(kept(&place), whole, "{change}");
        assert_eq!(place.reader().decision(2).unwrap().is_none(), table == "decisions");
        let whole = if table == "policies" { vec![1, 3] } else { vec![1, 2, 3] };
        assert_eq!(policies(&place), whole, "{change}");
        tamper(&place, "UPDATE journal SET made_by = 'nobody' WHERE version = 2");
        let (mut store, _) = place.try_open(&on_damage(OnDamage::Salvage)).unwrap();
        let restored = store.load().unwrap();
        assert_eq!(restored.warnings.len(), 1, "{change}: {:?}", restored.warnings);
        assert_eq!(restored.work.last_decision, 3, "{change}");
        assert_eq!(restored.work.reviews[0].decision, Some(1), "{change}");
        for name in ["decisions", "policies", "calibration"] {
            assert_eq!(count(&place, name), 3 - lost(name), "{change}: {name}");
        }
        assert_eq!(place.reader().check().unwrap(), Vec::<String>::new());
    }
}

/// A damaged decision can be replaced by a sound one.
#[test]
fn a_damaged_decision_is_written_anew_with_its_outcome() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    commit(&mut store, script.unit(some(1, 2)));
    tamper(&place, "UPDATE decisions SET action = 'other' WHERE id = 1");
    assert!(look(&mut store, &mut script, DecisionRef::Id(1)).is_none());
    let told = DecisionRow { outcome: Some(true), ..decision(1, 1, 1) };
    commit(&mut store, script.unit(vec![decision_op(told.clone())]));
    assert_eq!(place.reader().decision(1).unwrap(), Some(told));
}

#[test]
fn no_number_is_given_twice_after_damage_and_after_forgetting() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    all_tables(&mut store, &mut script);
    commit(&mut store, script.unit(vec![review_op(1, Some(T0))]));
    let checkpoint = script.checkpoint_op(None);
    commit(&mut store, script.unit(vec![checkpoint, Op::Forget { path: None }]));
    assert_eq!(kept(&place), Vec::<u64>::new());
    assert_eq!(store.load().unwrap().work.last_decision, 3);
    drop(store);
    assert_eq!(place.open().load().unwrap().work.last_decision, 3);
    let mut store = place.open();
    let patch = script.patch_op(r#"{"a":3}"#);
    let mut ops = vec![patch];
    ops.extend(some(4, 5));
    commit(&mut store, script.unit(ops));
    drop(store);
    tamper(&place, "UPDATE journal SET made_by = 'nobody' WHERE version = 3");
    let mut store = place.try_open(&on_damage(OnDamage::Fresh)).unwrap().0;
    let work = store.load().unwrap().work;
    assert_eq!((work.last_decision, work.calibrations.len()), (5, 0));
    assert_eq!(count(&place, "decisions"), 0);
    commit(&mut store, script.unit(some(6, 6)));
    assert_eq!(kept(&place), [6]);
}

#[test]
fn forgetting_drops_what_no_person_is_asked_about() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let secret = "hunter2-hunter2";
    let mut ops = vec![review_op(1, None), calibration_op("a", 2.0, 0.0)];
    for id in 1..=4 {
        let basis = format!("{{\"secret\":\"{secret}\"}}").into();
        let row = DecisionRow { basis, ..decision(id, id, id as u8) };
        ops.push(policy_op(id as u8));
        ops.push(decision_op(if id == 2 { held(decision(2, 2, 2), 1) } else { row }));
    }
    ops.push(policy_op(5));
    commit(&mut store, script.unit(ops));
    let checkpoint = script.checkpoint_op(None);
    commit(&mut store, script.unit(vec![checkpoint, Op::Forget { path: None }]));
    assert_eq!((kept(&place), policies(&place)), (vec![2], vec![2, 5]));
    let work = store.load().unwrap().work;
    assert_eq!((work.last_decision, work.calibrations.len()), (4, 1));
    store.close().unwrap();
    let bytes = fs::read(place.database()).unwrap();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    // The one that was left is let go in its time.
    let mut store = place.open();
    commit(&mut store, script.unit(vec![decision_op(decision(5, 5, 5)), review_op(1, Some(T0))]));
    days(&mut store, &mut script, 8);
    assert_eq!((kept(&place), policies(&place)), (vec![5], vec![5]));
}

#[test]
fn a_backup_brings_all_of_it() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    all_tables(&mut store, &mut script);
    let other = restored_from_backup(&place);
    let (mut ours, theirs) = (store.load().unwrap().work, other.open().load().unwrap().work);
    assert!(ours.wear != Wear::default());
    ours.wear = Wear::default(); // Of another disk.
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    assert_eq!((kept(&other), policies(&other)), (vec![1, 2, 3], vec![1, 2, 3]));
    assert_eq!(theirs.calibrations.len(), 3);
}

#[test]
fn what_the_command_line_reads() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    script.at += HOUR;
    let mut ops = vec![review_op(1, None)];
    for id in 1..=12 {
        let context = if id % 3 == 0 { "latency_issue" } else { "resource_pressure" };
        let row = DecisionRow { context: context.into(), ..decision(id, id, 1) };
        ops.push(decision_op(if id % 2 == 0 { held(row, 1) } else { row }));
    }
    commit(&mut store, script.unit(ops));
    script.at += MINUTE;
    commit(&mut store, script.unit(vec![]));
    let reader = place.reader();
    let ask = |limit, before, verdict, context: Option<&str>| -> Vec<u64> {
        let filter = DecisionFilter { verdict, context: context.map(str::to_owned) };
        let rows = reader.decisions(limit, before, &filter).unwrap();
        rows.iter().map(|row| row.id).collect()
    };
    let (execute, review) = (Some(Verdict::Execute), Some(Verdict::Review));
    assert_eq!(ask(3, None, None, None), [12, 11, 10]);
    assert_eq!(ask(3, Some(3), None, None), [2, 1]);
    assert_eq!(ask(0, None, None, None), Vec::<u64>::new());
    assert_eq!(ask(3, None, execute, None), [11, 9, 7]);
    assert_eq!(ask(9, Some(6), review, None), [4, 2]);
    assert_eq!(ask(3, None, None, Some("latency_issue")), [12, 9, 6]);
    assert_eq!(ask(9, Some(9), None, Some("latency_issue")), [6, 3]);
    assert_eq!(ask(9, None, execute, Some("latency_issue")), [9, 3]);
    assert_eq!(ask(9, None, review, Some("latency_issue")), [12, 6]);
    assert_eq!(ask(9, None, None, Some("other")), Vec::<u64>::new());
    // A damaged one is passed over, and the page is as long as was asked for.
    tamper(&place, "UPDATE decisions SET action = 'none' WHERE id = 11");
    assert_eq!(ask(3, None, None, None), [12, 10, 9]);
}
