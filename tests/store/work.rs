//! Events and what belongs to them: how long they are kept, what damage and
//! forgetting leave of them, and how they are read.

use adrt::clock::{Age, Wall};
use adrt::store::{EventFilter, OnDamage, Options, Store};
use adrt::supervisor::io::{Op, Restored, Wear};
use adrt::supervisor::work::{EventState, WorkOp};

use super::kit::{
    DAY, Place, Script, T0, commit, count, days, kv_op, on_damage, options, post_op,
    restored_from_backup, review_op, step_op, timer_op,
};

/// The events that are kept, oldest first.
fn kept(place: &Place) -> Vec<u64> {
    let events = place.reader().events_after(0, 1 << 30).unwrap();
    assert!(events.iter().all(|event| !event.damaged));
    events.iter().map(|event| event.row.status.seq).collect()
}

/// Ten events with a step each: eight acked, one pending, one dead.
fn ten(store: &mut Store, script: &mut Script) {
    for seq in 1..=10 {
        let ops = vec![script.arrive_op(seq), step_op(seq, "s")];
        commit(store, script.unit(ops));
    }
    let mut ops: Vec<Op> = (1..=8).map(|seq| script.status_op(seq, EventState::Acked)).collect();
    ops.extend([script.status_op(10, EventState::Dead), step_op(0, "s")]);
    commit(store, script.unit(ops));
}

#[test]
fn acked_events_go_after_a_week_and_nothing_else_does() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    ten(&mut store, &mut script);
    days(&mut store, &mut script, 7);
    assert_eq!(kept(&place), (1..=10).collect::<Vec<_>>());
    let unit = script.arrive_op(11);
    commit(&mut store, script.unit(vec![unit]));
    days(&mut store, &mut script, 1);
    assert_eq!(kept(&place), [9, 10, 11]);
    assert_eq!(count(&place, "steps"), 3, "with their steps; named ones stay");
    // What was left behind goes at its ack, also after another opening.
    drop(store);
    let mut store = place.open();
    days(&mut store, &mut script, 1);
    let ops = vec![script.status_op(9, EventState::Acked), script.status_op(10, EventState::Acked)];
    commit(&mut store, script.unit(ops));
    assert_eq!((kept(&place), count(&place, "steps")), (vec![11], 1));
    // The last one tells the next one's number, and is kept for it.
    let ops = vec![script.status_op(11, EventState::Acked)];
    commit(&mut store, script.unit(ops));
    days(&mut store, &mut script, 9);
    assert_eq!(kept(&place), [11]);
    let drop_op = Op::Work(WorkOp::Drop { seq: 11 });
    commit(&mut store, script.unit(vec![drop_op]));
    drop(store);
    assert_eq!(kept(&place), Vec::<u64>::new());
    assert_eq!(place.open().load().unwrap().work.last_seq, 11);
}

#[test]
fn a_jump_of_the_clock_lets_no_event_go() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    ten(&mut store, &mut script);
    script.at += 3650 * DAY;
    commit(&mut store, script.unit(vec![]));
    assert_eq!(kept(&place).len(), 10);
}

#[test]
fn of_very_many_events_the_newest_are_kept() {
    const MANY: u64 = 102_500;
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    for batch in 0..MANY / 2500 {
        let mut units = Vec::new();
        for few in 0..25 {
            let first = batch * 2500 + few * 100 + 1;
            let mut ops = Vec::new();
            for seq in first..first + 100 {
                ops.push(script.arrive_op(seq));
                // One in a thousand waits for ever.
                if seq % 1000 != 0 {
                    ops.push(script.status_op(seq, EventState::Acked));
                }
            }
            units.push(script.unit(ops));
        }
        store.commit(&units).unwrap();
    }
    let mut before = count(&place, "inbox");
    assert!(before >= MANY - 1000, "{before}");
    while store.maintain() {
        let now = count(&place, "inbox");
        assert!(before - now <= 1000, "{before} {now}");
        before = now;
    }
    assert_eq!(count(&place, "inbox"), 100_000 + 2);
    assert_eq!(count(&place, "events"), 100_000 + 2);
    let work = store.load().unwrap().work;
    assert_eq!((work.last_seq, work.depth), (MANY, 102));
    assert_eq!(work.ids.len(), 65_536);
    assert!(count(&place, "event_ids") <= 65_536 + 256);
    days(&mut store, &mut script, 8);
    assert!(store.load().unwrap().work.ids.is_empty());
}

#[test]
fn settled_reviews_outlive_any_step_of_the_clock() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let ops = vec![review_op(1, Some(T0)), review_op(2, None), review_op(3, Some(T0 + 3 * DAY))];
    commit(&mut store, script.unit(ops));
    days(&mut store, &mut script, 400);
    let kept = place.reader().reviews(false, 9).unwrap();
    assert_eq!(kept.iter().map(|review| review.id).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(place.reader().reviews(true, 9).unwrap().len(), 1);
    assert_eq!(store.load().unwrap().work.last_review, 3);
}

#[test]
fn of_very_many_reviews_the_newest_are_kept() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    let ops = (1..=12_000).map(|id| review_op(id, (id > 5).then_some(T0))).collect();
    commit(&mut store, script.unit(ops));
    for _ in 0..20 {
        script.at += 60_000;
        commit(&mut store, script.unit(vec![]));
    }
    assert_eq!(count(&place, "reviews"), 10_000 + 5);
}

#[test]
fn the_budget_sheds_acked_events_before_anything_else() {
    let place = Place::new();
    let budget = Options { max_db: 2 << 20, ..options() };
    let mut store = place.try_open(&budget).unwrap().0;
    let mut script = Script::default();
    for _ in 0..6 {
        commit(&mut store, script.count());
        commit(&mut store, script.checkpoint(None));
    }
    let checkpoints = place.reader().checkpoints(None).unwrap().len();
    let mut used = 0;
    for seq in 1..=100 {
        let mut arrival = script.arrive_op(seq);
        if let Op::Work(WorkOp::Arrive(row)) = &mut arrival {
            row.body = format!("\"{}\"", "x".repeat(100_000)).into();
        }
        let mut ops = vec![arrival];
        if seq > 3 {
            ops.push(script.status_op(seq, EventState::Acked));
        }
        used = store.commit(&[script.unit(ops)]).unwrap().used_bytes;
    }
    assert!(used <= 2 << 20, "{used}");
    let kept = kept(&place);
    assert_eq!((kept[..3].to_vec(), kept.last()), (vec![1, 2, 3], Some(&100)));
    assert_eq!(place.reader().checkpoints(None).unwrap().len(), checkpoints);
}

/// Something in each table of work.
fn all_tables(store: &mut Store, script: &mut Script) {
    let mut ops = Vec::new();
    for id in 1..=3 {
        ops.extend([
            script.arrive_op(id),
            step_op(id, "s"),
            kv_op(&format!("k{id}"), "1"),
            timer_op(&format!("t{id}")),
            post_op(id),
            review_op(id, None),
        ]);
    }
    ops.push(script.patch_op(r#"{"a":1}"#));
    ops.push(script.patch_op(r#"{"a":2}"#));
    commit(store, script.unit(ops));
    let mut end = super::kit::end_op(1, adrt::supervisor::io::ExitClass::Failed, b"");
    if let Op::End(row) = &mut end {
        row.held = vec![2];
    }
    commit(store, script.unit(vec![super::kit::begin_op(1), end]));
}

fn load(place: &Place) -> Restored {
    place.open().load().unwrap()
}

/// What a table loses by a changed bit in its second row, and by the salvage:
/// that row, and nothing else.
#[test]
fn a_changed_bit_in_a_table_of_work_costs_that_row_only() {
    let flips = [
        ("inbox", "place = place + 1 WHERE seq = 2"),
        ("events", "body = replace(body, '2', '6') WHERE seq = 2"),
        ("event_ids", "seq = 9 WHERE id = 2"),
        ("steps", "ikey = 'other' WHERE seq = 2"),
        ("kv", "json = '3' WHERE key = 'k2'"),
        ("timers", "every = 5001 WHERE id = 't2'"),
        ("posts", "token = 'token-6' WHERE id = 2"),
        ("reviews", "prompt = 'Nay I?' WHERE id = 2"),
        ("held", "events = '3' WHERE incarnation = 1"),
    ];
    for (table, change) in flips {
        let place = Place::new();
        let mut store = place.open();
        let mut script = Script::default();
        all_tables(&mut store, &mut script);
        drop(store);
        let conn = rusqlite::Connection::open(place.database()).unwrap();
        assert_eq!(conn.execute(&format!("UPDATE {table} SET {change}"), []).unwrap(), 1);
        drop(conn);
        let work = load(&place).work;
        let whole = |name| usize::from(table != name);
        assert_eq!(work.first.rows.len(), 1 + whole("inbox") + whole("events"), "{table}");
        assert_eq!(work.first.damaged.len(), 2 - whole("inbox") - whole("events"), "{table}");
        assert_eq!(work.ids.len(), 2 + whole("event_ids"), "{table}");
        assert_eq!(work.open_steps.len(), 2 + whole("steps"), "{table}");
        assert_eq!(work.timers.len(), 2 + whole("timers"), "{table}");
        assert_eq!(work.posts.len(), 2 + whole("posts"), "{table}");
        assert_eq!(work.reviews.len(), 2 + whole("reviews"), "{table}");
        salvaged(&place, table);
    }
}

/// The same file with a change of the state damaged too, so that it has to be
/// made anew.
fn salvaged(place: &Place, table: &str) {
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    conn.execute("UPDATE journal SET made_by = 'nobody' WHERE version = 2", []).unwrap();
    drop(conn);
    let (mut store, _) = place.try_open(&on_damage(OnDamage::Salvage)).unwrap();
    let restored = store.load().unwrap();
    assert!(restored.warnings[0].contains("rows were not"), "{table}: {:?}", restored.warnings);
    let work = restored.work;
    assert_eq!((work.last_seq, work.last_post, work.last_review), (3, 3, 3), "{table}");
    let lost = |name| u64::from(table == name);
    assert_eq!(work.dead, lost("inbox"), "how far it was is not known: a person says");
    assert_eq!(work.depth, 3 - lost("inbox") - lost("events"), "{table}");
    assert!(work.first.damaged.is_empty(), "{table}");
    for name in ["event_ids", "kv", "timers", "posts", "reviews"] {
        assert_eq!(count(place, name), 3 - lost(name), "{table}: {name}");
    }
    assert_eq!(count(place, "steps"), 3 - lost("steps") - lost("events"), "{table}");
    assert_eq!(count(place, "held"), 1 - lost("held"), "{table}");
    if table == "inbox" {
        let (event, _) = place.reader().event(2).unwrap().unwrap();
        assert!(event.row.status.reason.unwrap().contains("damaged"));
    }
}

#[test]
fn fresh_after_damage_gives_no_number_twice() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    all_tables(&mut store, &mut script);
    drop(store);
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    conn.execute("UPDATE journal SET made_by = 'nobody' WHERE version = 2", []).unwrap();
    drop(conn);
    let work = place.try_open(&on_damage(OnDamage::Fresh)).unwrap().0.load().unwrap().work;
    assert_eq!((work.last_seq, work.last_post, work.last_review), (3, 3, 3));
    assert_eq!((work.depth, work.timers.len()), (0, 0));
}

#[test]
fn a_backup_brings_all_of_it() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    all_tables(&mut store, &mut script);
    let other = restored_from_backup(&place);
    let (mut ours, theirs) = (store.load().unwrap().work, load(&other).work);
    assert!(ours.wear != Wear::default());
    ours.wear = Wear::default(); // Of another disk.
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    assert_eq!(theirs.first.rows.len(), 3);
    assert_eq!(count(&other, "kv"), 3);
    assert_eq!(other.reader().incarnation(1).unwrap().unwrap().held, [2]);
}

#[test]
fn forgetting_drops_acked_events_with_their_steps() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    ten(&mut store, &mut script);
    let ops = vec![script.status_op(9, EventState::Acked), script.arrive_op(11)];
    commit(&mut store, script.unit(ops));
    let ops = vec![script.status_op(11, EventState::Acked)];
    commit(&mut store, script.unit(ops));
    let checkpoint = script.checkpoint_op(None);
    commit(&mut store, script.unit(vec![checkpoint, Op::Forget { path: None }]));
    assert_eq!((kept(&place), count(&place, "steps")), (vec![10], 2));
    assert_eq!(store.load().unwrap().work.last_seq, 11);
}

#[test]
fn what_the_command_line_reads() {
    let place = Place::new();
    let mut store = place.open();
    let mut script = Script::default();
    ten(&mut store, &mut script);
    script.at += 1000;
    let mut other = script.arrive_op(11);
    if let Op::Work(WorkOp::Arrive(row)) = &mut other {
        row.kind = "other".into();
    }
    commit(&mut store, script.unit(vec![other, timer_op("t"), review_op(1, None)]));
    let parked = script.status_op(11, EventState::Parked);
    commit(&mut store, script.unit(vec![parked]));
    let reader = place.reader();
    let ask = |filter: &EventFilter, limit| -> Vec<u64> {
        let events = reader.events(filter, limit).unwrap();
        events.iter().map(|event| event.row.status.seq).collect()
    };
    let all = EventFilter::default();
    assert_eq!(ask(&all, 3), [11, 10, 9]);
    assert_eq!(ask(&EventFilter { before: Some(3), ..all.clone() }, 9), [2, 1]);
    assert_eq!(ask(&EventFilter { dead_only: true, ..all.clone() }, 9), [10]);
    assert_eq!(ask(&EventFilter { kind: Some("other".to_owned()), ..all.clone() }, 9), [11]);
    let dead = EventFilter { dead_only: true, kind: Some("other".to_owned()), ..all.clone() };
    assert!(ask(&dead, 9).is_empty());
    let since = EventFilter { since: Some(Wall::from_millis(T0 + 1)), ..all.clone() };
    assert_eq!(ask(&since, 9), [11]);
    let (event, steps) = reader.event(4).unwrap().unwrap();
    assert_eq!(
        (event.row.status.state, event.row.status.born),
        (EventState::Acked, Age::default())
    );
    assert_eq!(steps.len(), 1);
    assert!(reader.event(12).unwrap().is_none());
    let summary = reader.inbox_summary().unwrap();
    assert_eq!((summary.pending, summary.parked, summary.dead), (1, 1, 1));
    assert_eq!(summary.oldest_unacked, Some((9, Wall::from_millis(T0))));
    assert_eq!(summary.by_type, [("test".to_owned(), 1)]);
    assert_eq!((reader.timers().unwrap().len(), reader.reviews(true, 9).unwrap().len()), (1, 1));
    // A damaged one is shown, and told.
    let conn = rusqlite::Connection::open(place.database()).unwrap();
    conn.execute("UPDATE inbox SET nacks = 77 WHERE seq = 5", []).unwrap();
    let (event, _) = reader.event(5).unwrap().unwrap();
    assert!(event.damaged && event.row.status.nacks == 77 && &*event.row.kind == "test");
}
