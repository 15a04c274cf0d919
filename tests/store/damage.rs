//! Damaged files: what comes back is right, or there is an error. Never a
//! wrong state, never a panic, never a silent step back.

use std::fs;
use std::path::{Path, PathBuf};

use adrt::store::{DecisionFilter, Home, OnDamage, OpenError, Options, Store};
use adrt::supervisor::io::{ExitClass, Op, Origin, Restored};

use super::kit::{
    MINUTE, Place, Script, begin_op, calibration_op, commit, decision, decision_op, end_op, key_op,
    on_damage, options, policy_op, step_op, timer_op,
};

const PAGE: usize = 4096;

/// A small generator of its own, so that a seed means the same for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }

    fn seeded(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.roll(2);
        }
        dice
    }
}

/// An agent with some history, and every state it ever had, by version.
struct Original {
    place: Place,
    states: Vec<String>,
    /// The files, from while the writer was alive: the log is in use.
    live: PathBuf,
}

impl Original {
    fn new() -> Self {
        let place = Place::new();
        let mut store = place.open();
        let mut script = Script::default();
        let mut states = vec!["{}".to_owned()];
        let mut dice = Dice::seeded(42);
        commit(&mut store, script.unit(vec![begin_op(1)]));
        for number in 1..=90_u64 {
            script.at += MINUTE;
            let size = if number % 13 == 0 { 9000 } else { dice.roll(300) };
            let text = format!("{number}{}", "abcdefgh".repeat(size / 8));
            let patch = format!(r#"{{"n":{number},"m{}":"{text}"}}"#, number % 7);
            let mut ops = vec![script.patch_op(&patch)];
            if number % 3 == 0 {
                ops.push(key_op(number as u8, r#"{"version":1}"#));
            }
            if number % 2 == 0 {
                ops.extend([script.arrive_op(number / 2), step_op(number / 2, "s")]);
                ops.push(timer_op(&format!("timer{number}")));
                ops.extend([policy_op(1), decision_op(decision(number / 2, number / 2, 1))]);
                ops.push(calibration_op(&format!("{number}"), 1.0, number as f64));
            }
            if number % 12 == 0 {
                ops.push(script.checkpoint_op((number == 24).then_some("kept")));
            }
            if number == 50 {
                ops.push(end_op(1, ExitClass::Signal, &[b'x'; 9000]));
                ops.push(begin_op(2));
            }
            commit(&mut store, script.unit(ops));
            states.push(script.root.to_text());
            if number == 70 {
                store.maintain();
            }
        }
        let live = place.dir.path().join("live");
        copy_dir(&place.home.db_dir(), &live);
        drop(store);
        Self { place, states, live }
    }

    fn last(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    /// A copy of it, to be damaged.
    fn copy(&self, with_log: bool) -> Place {
        let copy = Place::new();
        let from = if with_log { self.live.clone() } else { self.place.home.db_dir() };
        copy_dir(&from, &copy.home.db_dir());
        copy
    }

    /// What was restored is a state that was, and the one of that version.
    fn assert_true(&self, restored: &Restored, seed: u64) {
        let expected = &self.states[restored.version as usize];
        assert!(restored.root.to_text() == *expected, "seed {seed}: a state that never was");
        for (key, request, _) in &restored.keys {
            assert!(request[0] == key[0] ^ 0xff && key[0] % 3 == 0, "seed {seed}: a wrong key");
        }
        for event in &restored.work.first.rows {
            let body = format!(r#"{{"type":"test","data":{}}}"#, event.status.seq);
            assert_eq!(*event.body, *body, "seed {seed}: an event that never was");
        }
        for row in &restored.work.calibrations {
            let said = row.calibration.b.to_string();
            assert_eq!(said, *row.context, "seed {seed}: a lesson that never was");
        }
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // The index of the log is rebuilt, as after a reboot.
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Damages a file in one of the ways files get damaged. Says how.
fn damage(file: &Path, dice: &mut Dice, may_truncate: bool) -> String {
    let mut bytes = fs::read(file).unwrap();
    let pages = bytes.len() / PAGE;
    let how = match dice.roll(if may_truncate { 8 } else { 7 }) {
        0..=3 => {
            let count = 1 + dice.roll(4);
            let mut flipped = Vec::new();
            for _ in 0..count {
                let (at, bit) = (dice.roll(bytes.len()), dice.roll(8));
                bytes[at] ^= 1 << bit;
                flipped.push(at);
            }
            format!("bits flipped at {flipped:?}")
        }
        4 => {
            let (one, other) = (dice.roll(pages), dice.roll(pages));
            for at in 0..PAGE {
                bytes.swap(one * PAGE + at, other * PAGE + at);
            }
            format!("pages {one} and {other} swapped")
        }
        5 => {
            let (from, to) = (dice.roll(pages), dice.roll(pages));
            bytes.copy_within(from * PAGE..(from + 1) * PAGE, to * PAGE);
            format!("page {from} written over {to}")
        }
        6 => {
            let (at, length) = (dice.roll(bytes.len()), 1 + dice.roll(600));
            let end = bytes.len().min(at + length);
            bytes[at..end].fill(0);
            format!("zeroes from {at} to {end}")
        }
        _ => {
            let length = dice.roll(bytes.len());
            bytes.truncate(length);
            format!("cut to {length}")
        }
    };
    fs::write(file, bytes).unwrap();
    how
}

/// How many files are damaged: more by `ADRT_DAMAGE_SEEDS`.
fn seeds(usual: u64) -> u64 {
    std::env::var("ADRT_DAMAGE_SEEDS").map_or(usual, |text| text.parse().unwrap())
}

#[derive(Debug, Default)]
struct Tally {
    right: u32,
    warned: u32,
    refused: u32,
    salvaged: u32,
    lost: u32,
}

#[test]
fn two_hundred_damaged_files_tell_the_truth() {
    let original = Original::new();
    let mut tally = Tally::default();
    for seed in 0..seeds(200) {
        let copy = original.copy(false);
        let how = damage(&copy.database(), &mut Dice::seeded(seed), true);
        match copy.try_open(&options()) {
            Ok((mut store, _)) => match store.load() {
                Ok(restored) => {
                    original.assert_true(&restored, seed);
                    assert_eq!(restored.version, original.last(), "seed {seed}: {how}");
                    tally.right += 1;
                    tally.warned += u32::from(!restored.warnings.is_empty());
                    goes_on(store, &restored, seed, &copy);
                }
                Err(failure) => {
                    panic!("seed {seed}: {how}: found at opening, or never: {failure:?}")
                }
            },
            Err(error) => {
                assert_told(&error, seed, &how);
                tally.refused += 1;
                salvage(&original, &copy, seed, &how, &mut tally);
            }
        }
    }
    println!("{tally:?}");
    // The files must be damaged enough to prove something, and the store not
    // so shy that it refuses all of them.
    assert!(tally.right >= 20 && tally.refused >= 20 && tally.warned >= 3, "{tally:?}");
    assert!(tally.salvaged >= 20, "{tally:?}");
}

/// Only damage may be the reason, and the error says what to do.
fn assert_told(error: &OpenError, seed: u64, how: &str) {
    let is_damage = matches!(
        error,
        OpenError::Damaged { .. } | OpenError::DamagedTail { .. } | OpenError::Newer { .. }
    );
    assert!(is_damage, "seed {seed}: {how}: {error:?}");
    assert!(!error.hint().is_empty());
}

/// The file takes a further write, which is there again.
fn goes_on(mut store: Store, restored: &Restored, seed: u64, copy: &Place) {
    let mut script = Script::default();
    script.resume(restored);
    commit(&mut store, script.count());
    commit(&mut store, script.checkpoint(None));
    drop(store);
    let again = copy.open().load().unwrap();
    assert_eq!(again.root.to_text(), script.root.to_text(), "seed {seed}");
    assert!(again.version > restored.version, "seed {seed}");
    let decisions = copy.reader().decisions(1 << 20, None, &DecisionFilter::default());
    for row in decisions.unwrap() {
        assert_eq!(row, decision(row.id, row.id, 1), "seed {seed}: a decision that never was");
    }
}

fn salvage(original: &Original, copy: &Place, seed: u64, how: &str, tally: &mut Tally) {
    match copy.try_open(&on_damage(OnDamage::Salvage)) {
        Ok((mut store, boot)) => {
            let restored = store.load().unwrap();
            original.assert_true(&restored, seed);
            assert_eq!(boot.origin, Origin::Damaged);
            assert!(!restored.warnings.is_empty(), "seed {seed}: told");
            assert_eq!(copy.home.leftovers().len(), 1, "seed {seed}: the old one is kept");
            tally.salvaged += 1;
            goes_on(store, &restored, seed, copy);
        }
        Err(OpenError::Damaged { nothing_sound: true, .. }) => {
            tally.lost += 1;
            let (mut store, boot) = copy.try_open(&on_damage(OnDamage::Fresh)).unwrap();
            assert_eq!(boot.origin, Origin::Damaged);
            assert_eq!(store.load().unwrap().root.to_text(), "{}");
            assert_eq!(copy.home.leftovers().len(), 1, "seed {seed}: the old one is kept");
        }
        Err(OpenError::Newer { .. }) => {}
        Err(other) => panic!("seed {seed}: {how}: {other:?}"),
    }
}

/// The write-ahead log: the last commits in it can't be told from what a power
/// cut leaves.
#[test]
fn a_damaged_log_loses_no_more_than_a_power_cut_might() {
    let original = Original::new();
    let (mut right, mut refused) = (0, 0);
    for seed in 0..seeds(100) {
        let copy = original.copy(true);
        let log = copy.database().with_extension("db-wal");
        let how = damage(&log, &mut Dice::seeded(seed), false);
        match copy.try_open(&options()) {
            Ok((mut store, _)) => {
                let restored = store.load().unwrap();
                original.assert_true(&restored, seed);
                // One damaged stretch may touch two frames: the two commits it
                // is in, and two after it.
                assert!(restored.version + 4 >= original.last(), "seed {seed}: {how}");
                right += 1;
            }
            Err(error) => {
                assert_told(&error, seed, &how);
                refused += 1;
            }
        }
    }
    assert!(right >= 5 && refused >= 20, "{right} {refused}");
}

/// A row's content changed through SQLite itself: structure is sound, only
/// the checksum tells.
fn tamper(home: &Home, sql: &str) {
    let conn = rusqlite::Connection::open(home.database()).unwrap();
    assert_eq!(conn.execute(sql, []).unwrap(), 1, "{sql}");
}

#[test]
fn a_damaged_checkpoint_costs_nothing_but_a_warning() {
    let original = Original::new();
    let copy = original.copy(false);
    let last = "(SELECT max(id) FROM snapshots)";
    tamper(
        &copy.home,
        &format!("UPDATE snapshots SET content = zeroblob(length(content)) WHERE id = {last}"),
    );
    let restored = copy.open().load().unwrap();
    original.assert_true(&restored, 0);
    assert_eq!(restored.version, original.last());
    assert_eq!(restored.checkpoint.as_ref().unwrap().version, 72);
    assert!(restored.warnings[0].contains("84"), "{:?}", restored.warnings);
    assert_eq!(copy.reader().newest().unwrap().version, original.last());
    // The row that describes it, instead of its content.
    let copy = original.copy(false);
    tamper(&copy.home, &format!("UPDATE checkpoints SET version = 85 WHERE id = {last}"));
    let restored = copy.open().load().unwrap();
    assert_eq!((restored.version, restored.checkpoint.unwrap().version), (90, 72));
}

#[test]
fn a_damaged_change_ends_what_is_sound() {
    let original = Original::new();
    for sql in [
        "UPDATE journal SET patch = replace(patch, 'abc', 'abd') WHERE version = 88",
        "UPDATE journal SET at = at + 1 WHERE version = 88",
        "UPDATE journal SET made_by = 'operator' WHERE version = 88",
        "DELETE FROM journal WHERE version = 88",
    ] {
        let copy = original.copy(false);
        tamper(&copy.home, sql);
        let before = fs::read(copy.database()).unwrap();
        match copy.try_open(&options()) {
            Err(OpenError::DamagedTail { last_sound: 87, version, .. }) => {
                assert!(version == 88 || version == 89, "{sql}: {version}");
            }
            other => panic!("{sql}: {:?}", other.map(|_| ())),
        }
        assert!(fs::read(copy.database()).unwrap() == before, "stop touches nothing");
        let (mut store, boot) = copy.try_open(&on_damage(OnDamage::Salvage)).unwrap();
        assert_eq!(boot.origin, Origin::Damaged);
        let restored = store.load().unwrap();
        original.assert_true(&restored, 0);
        assert_eq!((restored.version, restored.highest_version), (87, 90));
        assert_eq!(restored.keys.len(), 30);
        let row = copy.reader().incarnation(1).unwrap().unwrap();
        assert!(!row.damaged && row.end.unwrap().output.unwrap().len() == 9000);
        // The origin is remembered until something runs.
        drop(store);
        let (mut store, boot) = copy.try_open(&options()).unwrap();
        assert_eq!(boot.origin, Origin::Damaged);
        let mut script = Script::default();
        script.resume(&restored);
        commit(&mut store, script.unit(vec![begin_op(3)]));
        commit(&mut store, script.count());
        drop(store);
        let (mut store, boot) = copy.try_open(&options()).unwrap();
        assert_eq!(boot.origin, Origin::Kept);
        assert_eq!(store.load().unwrap().version, 91);
    }
}

#[test]
fn a_damaged_change_that_no_restore_needs_is_no_reason_to_stop() {
    let original = Original::new();
    let copy = original.copy(false);
    tamper(&copy.home, "UPDATE journal SET patch = '{}' WHERE version = 70");
    assert_eq!(copy.open().load().unwrap().version, 90);
    let changes = copy.reader().history(Some(71), 1).unwrap();
    assert!(changes[0].damaged);
    assert!(copy.reader().at_version(70).is_err());
    assert_eq!(copy.reader().at_version(69).unwrap().root.to_text(), original.states[69]);
}

#[test]
fn a_lost_key_is_told() {
    let original = Original::new();
    for sql in ["DELETE FROM keys WHERE id = 5", "UPDATE keys SET result = '{}' WHERE id = 5"] {
        let copy = original.copy(false);
        tamper(&copy.home, sql);
        let restored = copy.open().load().unwrap();
        assert_eq!(restored.keys.len(), 29);
        assert!(restored.warnings[0].contains("1 remembered request"), "{:?}", restored.warnings);
    }
}

#[test]
fn a_damaged_setting_is_told_and_passed_over() {
    let original = Original::new();
    let copy = original.copy(false);
    let mut store = copy.open();
    let mut script = Script::default();
    commit(&mut store, script.unit(vec![Op::Meta { name: "script", value: "a.py".into() }]));
    drop(store);
    tamper(&copy.home, "UPDATE meta SET value = 'b.py' WHERE name = 'script'");
    let (mut store, boot) = copy.try_open(&options()).unwrap();
    assert!(boot.meta.is_empty());
    assert!(store.load().unwrap().warnings[0].contains("script"));
}

/// Each way to lose the file itself. None of them is a fresh start.
#[test]
fn an_agent_never_silently_starts_from_zero() {
    let original = Original::new();
    let ways: [fn(&Place); 4] = [
        |copy| fs::remove_file(copy.database()).unwrap(),
        |copy| fs::write(copy.database(), "").unwrap(),
        |copy| fs::write(copy.database(), vec![0; 8192]).unwrap(),
        |copy| fs::rename(copy.home.db_dir(), copy.home.dir.join("db.damaged-1")).unwrap(),
    ];
    for (number, lose) in ways.iter().enumerate() {
        let copy = original.copy(false);
        lose(&copy);
        for way in [OnDamage::Stop, OnDamage::Salvage] {
            let refused = copy.try_open(&on_damage(way)).err();
            assert!(
                matches!(refused, Some(OpenError::Damaged { .. })),
                "way {number}, {way:?}: {refused:?}"
            );
        }
        let (mut store, boot) = copy.try_open(&on_damage(OnDamage::Fresh)).unwrap();
        assert_eq!(boot.origin, Origin::Damaged, "way {number}");
        assert_eq!(store.load().unwrap().version, 0);
        assert_eq!(copy.home.leftovers().len(), 1, "way {number}");
    }
}

#[test]
fn fresh_gives_no_number_twice() {
    let original = Original::new();
    let copy = original.copy(false);
    tamper(&copy.home, "UPDATE journal SET patch = '{}' WHERE version = 88");
    let (mut store, boot) = copy.try_open(&on_damage(OnDamage::Fresh)).unwrap();
    assert_eq!((boot.origin, boot.last_incarnation), (Origin::Damaged, 2));
    let restored = store.load().unwrap();
    assert_eq!((restored.version, restored.highest_version), (0, 90));
    assert_eq!(restored.highest_checkpoint, 7);
}

/// Not damage: nothing is renamed, whatever the operator said.
#[test]
fn what_is_not_damage_is_never_answered_by_a_fresh_start() {
    let original = Original::new();
    let copy = original.copy(false);
    fs::remove_file(copy.database()).unwrap();
    fs::create_dir(copy.database()).unwrap();
    for way in [OnDamage::Salvage, OnDamage::Fresh] {
        assert!(matches!(copy.try_open(&on_damage(way)), Err(OpenError::Home(_))));
    }
    assert!(copy.home.leftovers().is_empty());
    let other = Place::new();
    fs::create_dir(other.home.db_dir()).unwrap();
    let conn = rusqlite::Connection::open(other.database()).unwrap();
    conn.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(conn);
    for way in [OnDamage::Salvage, OnDamage::Fresh] {
        assert!(matches!(other.try_open(&on_damage(way)), Err(OpenError::NotOurs(_))));
    }
}

#[test]
fn a_crash_between_the_two_renamings_is_finished() {
    let original = Original::new();
    let copy = original.copy(false);
    tamper(&copy.home, "UPDATE journal SET patch = '{}' WHERE version = 88");
    drop(copy.try_open(&on_damage(OnDamage::Salvage)).unwrap());
    // As it was in between: the old one aside, the new one not in place.
    fs::rename(copy.home.db_dir(), copy.home.dir.join("db.new")).unwrap();
    let (mut store, boot) = copy.try_open(&options()).unwrap();
    assert_eq!((store.load().unwrap().version, boot.origin), (87, Origin::Damaged));
    drop(store);
    // And a half-made one is no database.
    let half = Place::new();
    fs::create_dir(half.home.dir.join("db.new")).unwrap();
    fs::write(half.home.dir.join("db.new/adrt.db"), "").unwrap();
    let (_, boot) = half.try_open(&Options { reserve: false, ..Options::default() }).unwrap();
    assert_eq!(boot.origin, Origin::First);
    assert!(!half.home.dir.join("db.new").exists());
}
