//! Which checkpoints stay.

use super::*;

/// Checkpoints 1 to `count`, `step` apart; the newest is as old as now.
fn every(step: i64, count: i64) -> (Vec<Entry>, i64) {
    let entry = |id| Entry { id, version: id, age: id * step, labelled: false };
    ((1..=count).rev().map(entry).collect(), count * step)
}

fn keep(list: &[Entry], now: i64) -> Vec<i64> {
    kept(list, &BTreeSet::new(), now).into_iter().collect()
}

#[test]
fn the_newest_five_stay() {
    let (list, now) = every(1000, 10);
    assert_eq!(keep(&list, now), [6, 7, 8, 9, 10]);
}

#[test]
fn one_an_hour_for_a_day_and_one_a_day_for_a_week() {
    let (list, now) = every(10 * 60_000, 6 * 24 * 10); // every ten minutes, ten days
    let keep = keep(&list, now);
    let ages: Vec<i64> = keep.iter().map(|id| id * 10 * 60_000).collect();
    let hours: BTreeSet<i64> = ages.iter().map(|a| a / HOUR_MS).collect();
    let days: BTreeSet<i64> = ages.iter().map(|a| a / DAY_MS).collect();
    let (hour, day) = (now / HOUR_MS, now / DAY_MS);
    assert!((0..HOURLY_FOR).all(|h| hours.contains(&(hour - h))));
    assert!((0..DAILY_FOR).all(|d| days.contains(&(day - d))));
    assert!(keep.len() <= NEWEST_KEPT + 24 + 7, "{}", keep.len());
}

#[test]
fn what_stays_once_is_not_let_go_for_the_shape_of_the_hour() {
    // Applied after every checkpoint, as it is, the rule must leave what it
    // would leave if applied once.
    let (all, now) = every(7 * 60_000, 2000);
    let mut list: Vec<Entry> = Vec::new();
    for entry in all.iter().rev() {
        list.insert(0, entry.clone());
        let keep = kept(&list, &BTreeSet::new(), entry.age);
        list.retain(|e| keep.contains(&e.id));
    }
    let once = keep(&all, now);
    let stepwise: Vec<i64> = list.iter().rev().map(|e| e.id).collect();
    assert_eq!(stepwise, once);
}

#[test]
fn labels_and_pins_stay_up_to_their_number() {
    let (mut list, now) = every(1000, 300);
    for entry in list.iter_mut().filter(|e| e.id <= 150) {
        entry.labelled = true;
    }
    let keep = kept(&list, &BTreeSet::from([160, 170]), now + 30 * DAY_MS);
    assert_eq!(keep.iter().filter(|id| **id <= 150).count(), LABELLED_KEPT);
    assert!(!keep.contains(&50) && keep.contains(&51));
    assert!(keep.contains(&160) && keep.contains(&170) && !keep.contains(&165));
}

#[test]
fn the_count_of_time_never_goes_back_and_is_noted_every_minute() {
    let mut age = AgeClock::default();
    assert!(age.is_due(), "the first write after opening");
    age.advance(Age::from_millis(5000), Wall::from_millis(1000));
    assert_eq!(age.note(), "5000 1000");
    age.advance(Age::from_millis(4000), Wall::from_millis(900));
    assert_eq!(age.stand(), (Age::from_millis(5000), Some(Wall::from_millis(900))));
    age.advance(Age::from_millis(64_999), Wall::from_millis(1 << 42));
    assert!(!age.is_due());
    age.advance(Age::from_millis(65_000), Wall::from_millis(1 << 42));
    assert!(age.is_due());
}

#[test]
fn the_budget_sheds_plain_ones_before_labels_and_leaves_two() {
    let (mut list, _) = every(1000, 4);
    assert_eq!(next_to_shed(&list), Some(1));
    list[3].labelled = true; // number 1
    assert_eq!(next_to_shed(&list), Some(2));
    list[2].labelled = true;
    assert_eq!(next_to_shed(&list), Some(1));
    list.truncate(2);
    assert_eq!(next_to_shed(&list), None);
    assert_eq!(next_to_shed(&[]), None);
}
