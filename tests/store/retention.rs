//! What is kept after much has been written.

use adrt::store::Options;
use adrt::supervisor::io::{ExitClass, Op};

use super::kit::{DAY, HOUR, MINUTE, Place, Script, T0, begin_op, commit, end_op, key_op, options};

fn versions(place: &Place) -> Vec<u64> {
    let mut versions: Vec<u64> =
        place.reader().checkpoints(None).unwrap().iter().map(|c| c.version).collect();
    versions.sort_unstable();
    versions
}

#[test]
fn an_hourly_and_a_daily_checkpoint_outlive_the_rest() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    // Every quarter of an hour for nine days; a label at the very first.
    for quarter in 0..9 * 24 * 4 {
        script.at = T0 + quarter * 15 * MINUTE;
        commit(&mut store, script.count());
        commit(&mut store, script.checkpoint((quarter == 0).then_some("first")));
    }
    let kept = versions(&place);
    assert_eq!(kept[0], 1, "the label");
    let at = |version: &u64| (*version as i64 - 1) * 15 * MINUTE;
    let now = at(&script.version);
    let hours = kept.iter().filter(|v| at(v) / HOUR > now / HOUR - 24).map(|v| at(v) / HOUR);
    let days = kept.iter().filter(|v| at(v) / DAY > now / DAY - 7).map(|v| at(v) / DAY);
    let distinct = |it: Vec<i64>| it.into_iter().collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(distinct(hours.collect()), 24);
    assert_eq!(distinct(days.collect()), 7);
    assert!(kept.len() <= 5 + 24 + 7 + 1, "{}", kept.len());
    // The journal goes back to the fifth newest.
    let changes = place.reader().history(None, 1000).unwrap();
    assert_eq!(changes.len(), 4);
}

#[test]
fn a_pin_keeps_a_checkpoint_for_ten_crashes() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    for crash in 1..=14_u64 {
        // All in one hour: nothing but the pins keeps them.
        script.at += 1000;
        commit(&mut store, script.count());
        let checkpoint = script.checkpoint_op(None);
        let id = script.checkpoint;
        let pin = Op::Pin { checkpoint: id, incarnation: crash };
        let ops = vec![begin_op(crash), checkpoint, pin, end_op(crash, ExitClass::Failed, b"")];
        commit(&mut store, script.unit(ops));
    }
    assert_eq!(versions(&place), (5..=14).collect::<Vec<_>>());
}

#[test]
fn no_transaction_deletes_more_than_a_thousand_changes() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    for _ in 0..6 {
        let units: Vec<_> = (0..2000).map(|_| script.count()).collect();
        store.commit(&units).unwrap();
        commit(&mut store, script.checkpoint(None));
    }
    let count = || place.reader().summary().unwrap().changes;
    // The fifth checkpoint let 2,000 go, the sixth 2,000 more: a thousand
    // with each commit since.
    let mut before = count();
    assert!(before > 8000, "{before}");
    while before > 8000 {
        store.maintain();
        let now = count();
        assert!(before - now <= 1000 && now < before, "{before} {now}");
        before = now;
    }
    assert_eq!(before, 8000);
}

#[test]
fn keys_are_forgotten_by_number_and_by_age() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let key = |number: u32| {
        let mut key = [0; 16];
        key[..4].copy_from_slice(&number.to_le_bytes());
        key
    };
    for batch in 0..70 {
        let ops = (0..1000)
            .map(|n| {
                let mut op = key_op(0, "{}");
                if let Op::Key(row) = &mut op {
                    row.key = key(batch * 1000 + n);
                }
                op
            })
            .collect();
        commit(&mut store, script.unit(ops));
    }
    drop(store);
    let mut store = place.open();
    let keys = store.load().unwrap().keys;
    assert_eq!(keys.len(), 65_536);
    assert_eq!((keys[0].0, keys[65_535].0), (key(70_000 - 65_536), key(69_999)));
    // A week later, day by day, with a checkpoint each.
    for _ in 0..8 {
        script.at += DAY;
        commit(&mut store, script.checkpoint(None));
    }
    commit(&mut store, script.unit(vec![key_op(9, "{}")]));
    let restored = store.load().unwrap();
    assert_eq!(restored.keys.len(), 1, "the young one");
    assert!(restored.warnings.is_empty());
    // A jump of the clock by years ages nothing by more than a day.
    script.at += 3650 * DAY;
    commit(&mut store, script.checkpoint(None));
    assert_eq!(store.load().unwrap().keys.len(), 1);
}

/// 200 KB that zstd can't make smaller, different each time.
fn noise(seed: u64) -> String {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    while text.len() < 200_000 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        text.push(char::from(b'0' + (x >> 58) as u8));
    }
    text.replace(['\\', '"'], "_")
}

#[test]
fn the_budget_sheds_history_before_anything_else() {
    let place = Place::new();
    let budget = Options { max_db: 3 << 20, ..options() };
    let mut store = place.try_open(&budget).unwrap().0;
    let mut script = Script::default();
    let mut used = 0;
    for number in 0..40_u64 {
        script.at += HOUR;
        let patch = format!(r#"{{"n":"{}"}}"#, noise(number));
        commit(&mut store, script.patch(&patch));
        let label = (number < 2).then(|| format!("label{number}"));
        let unit = script.checkpoint(label.as_deref());
        used = store.commit(&[unit]).unwrap().used_bytes;
    }
    assert!(used <= 3 << 20, "{used}");
    let labels: Vec<_> =
        place.reader().checkpoints(None).unwrap().into_iter().filter_map(|c| c.label).collect();
    assert_eq!(labels, ["label1", "label0"], "labels go last");
    assert!(versions(&place).len() >= 4);
    // Space is given back to the file system as well.
    while store.maintain() {}
    store.close().unwrap();
    let length = std::fs::metadata(place.database()).unwrap().len();
    assert!(length < 5 << 20, "{length}");
    // Down to two checkpoints when even those are too many, and not further.
    let budget = Options { max_db: 100 << 10, ..options() };
    let mut store = place.try_open(&budget).unwrap().0;
    for _ in 0..5 {
        commit(&mut store, script.checkpoint(None));
    }
    assert_eq!(versions(&place).len(), 2);
    drop(store);
    assert_eq!(place.open().load().unwrap().root.to_text(), script.root.to_text());
}
