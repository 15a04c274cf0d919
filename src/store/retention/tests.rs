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
fn no_step_of_the_clock_counts_for_more_than_a_day() {
    let mut age = AgeClock::default();
    age.advance(Wall::from_millis(1000)); // 1970
    age.advance(Wall::from_millis(2000));
    assert_eq!(age.millis(), 1000);
    age.advance(Wall::from_millis(1_700_000_000_000)); // the first NTP answer
    assert_eq!(age.millis(), 1000 + DAY_MS);
    age.advance(Wall::from_millis(1_600_000_000_000)); // set back
    assert_eq!(age.millis(), 1000 + DAY_MS);
    age.advance(Wall::from_millis(1_600_000_000_500));
    assert_eq!(age.millis(), 1500 + DAY_MS);
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
