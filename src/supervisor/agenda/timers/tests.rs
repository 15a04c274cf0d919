use super::*;

fn timer(id: &str, due: Due, repeat: Repeat) -> TimerRow {
    TimerRow { id: id.into(), due, repeat, event: r#"{"type":"t"}"#.into(), kind: "t".into() }
}

fn at(ms: u64) -> Due {
    Due::Age(Age::from_millis(ms))
}

fn wall(text: &str) -> Wall {
    Wall::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn now(age: u64, wall: Option<Wall>) -> TimerNow {
    TimerNow { age: Age::from_millis(age), wall }
}

#[test]
fn what_was_missed_of_every_is_counted_and_the_beat_is_kept() {
    let timers = Timers::new(vec![timer("e", at(100), Repeat::Every(50))]);
    assert!(timers.due(now(99, None), "UTC").is_empty());
    let fired = |age| {
        let fired = timers.due(now(age, None), "UTC").remove(0);
        (fired.missed, fired.next)
    };
    assert_eq!(fired(100), (0, Some(at(150))));
    assert_eq!(fired(149), (0, Some(at(150))));
    assert_eq!(fired(150), (1, Some(at(200))), "150 is one that goes by with it");
    assert_eq!(fired(349), (4, Some(at(350))));
}

#[test]
fn what_was_missed_of_cron_is_counted() {
    let due = wall("2026-01-01T06:00:00Z");
    let row = timer("c", Due::Wall(due), Repeat::Cron("0 * * * *".into()));
    let timers = Timers::new(vec![row]);
    let fired = |text| timers.due(now(0, Some(wall(text))), "UTC").pop();
    assert!(fired("2026-01-01T05:59:59Z").is_none());
    let one = fired("2026-01-01T06:00:00Z").unwrap();
    assert_eq!((one.missed, one.next), (0, Some(Due::Wall(wall("2026-01-01T07:00:00Z")))));
    let late = fired("2026-01-01T09:30:00Z").unwrap();
    assert_eq!((late.missed, late.next), (3, Some(Due::Wall(wall("2026-01-01T10:00:00Z")))));
}

#[test]
fn a_clock_that_is_not_believed_fires_nothing_of_the_wall() {
    let due = Due::Wall(wall("2026-01-01T06:00:00Z"));
    let timers = Timers::new(vec![timer("w", due, Repeat::Once), timer("a", at(5), Repeat::Once)]);
    let now = now(9, None);
    assert!(timers.any_due(now));
    let ids: Vec<_> = timers.due(now, "UTC").into_iter().map(|fired| fired.row.id).collect();
    assert_eq!(ids, ["a".into()]);
}

#[test]
fn cron_goes_by_the_zone_and_its_summer() {
    let next = |text, zone| next_cron("30 2 * * *", wall(text), zone).unwrap();
    assert_eq!(next("2026-01-10T00:00:00Z", "UTC"), wall("2026-01-10T02:30:00Z"));
    assert_eq!(next("2026-01-10T00:00:00Z", "Europe/Berlin"), wall("2026-01-10T01:30:00Z"));
    assert_eq!(next("2026-07-10T00:00:00Z", "Europe/Berlin"), wall("2026-07-10T00:30:00Z"));
    // On the day on which there is no half past two it comes the day after,
    // or by the hour that is left out; never twice, and never in the past.
    let spring = next("2026-03-28T12:00:00Z", "Europe/Berlin");
    assert!(spring > wall("2026-03-29T00:00:00Z") && spring <= wall("2026-03-30T00:30:00Z"));
    let own_zone = next_cron("30 2 * * * Asia/Tokyo", wall("2026-01-10T00:00:00Z"), "UTC");
    assert_eq!(own_zone.unwrap(), wall("2026-01-10T17:30:00Z"));
    let wrong = next_cron("61 * * * *", wall("2026-01-10T00:00:00Z"), "UTC").unwrap_err();
    assert!(!wrong.contains('\n'), "{wrong}");
}

#[test]
fn one_that_is_set_again_takes_the_place_of_the_first() {
    let mut timers = Timers::default();
    timers.set(timer("t", at(5), Repeat::Once));
    timers.set(timer("t", at(50), Repeat::Once));
    assert_eq!((timers.count(), timers.next_age()), (1, Some(Age::from_millis(50))));
    assert!(timers.cancel("t") && !timers.cancel("t"));
    assert_eq!((timers.next_age(), timers.bytes), (None, 0));
}

#[test]
fn there_is_a_bound_to_each_and_to_all() {
    let mut timers = Timers::default();
    assert!(timers.has_room_for("t", TIMER_EVENT_BYTES_MAX + 1).is_err());
    for n in 0..TIMERS_MAX {
        timers.set(timer(&n.to_string(), at(5), Repeat::Once));
    }
    assert!(timers.has_room_for("new", 5).is_err());
    assert!(timers.has_room_for("0", 5).is_ok(), "it takes the place of one");
}
