use proptest::prelude::*;

use super::*;

const EVERY: Duration = Duration::from_secs(5);

fn memory(share: f64) -> Sample {
    Sample { memory: Some(share), ..Sample::default() }
}

fn cpu(share: f64) -> Sample {
    Sample { cpu: Some(share), ..Sample::default() }
}

fn heat(degrees: f64) -> Sample {
    Sample { temperature: Some(degrees), ..Sample::default() }
}

fn stalls(psi: Stalls) -> Sample {
    Sample { psi, ..Sample::default() }
}

/// The same for so long.
fn lasting(environment: &mut Environment, sample: &Sample, span: Duration) -> Level {
    for _ in 0..span.as_secs() / EVERY.as_secs() {
        environment.take(sample, EVERY);
    }
    environment.level()
}

/// Where it ends if it lasts.
fn in_the_end(sample: &Sample) -> (Level, f64) {
    let mut environment = Environment::default();
    let level = lasting(&mut environment, sample, Duration::from_secs(600));
    (level, environment.score())
}

#[test]
fn names() {
    for level in Level::ALL {
        assert_eq!(Level::from_name(level.as_str()), Some(level));
    }
    assert_eq!(Level::from_name("Calm"), None);
    assert!(Level::Calm < Level::Elevated && Level::High < Level::Critical);
    assert_eq!(Level::default(), Level::Calm);
}

#[test]
fn before_the_first_look_all_is_calm_and_null() {
    let environment = Environment::default();
    let nothing = r#"{"level":"calm","score":0.0,"signals":{"cpu":null,"memory":null,"psi":null,"temperature":null,"disk":null}}"#;
    assert_eq!(environment.to_json(), nothing);
    assert_eq!((environment.worst(), environment.in_words()), (None, String::new()));
    // A machine without a single sensor stays so.
    assert_eq!(in_the_end(&Sample::default()), (Level::Calm, 0.0));
}

#[test]
fn what_each_signal_comes_to() {
    let of = |cpu, memory, io| stalls(Stalls { cpu, memory, io });
    let disk = |disk, free: Option<f64>| Sample {
        disk: Some(disk),
        disk_free: free.map(|gib| gib * 1_073_741_824.0),
        ..Sample::default()
    };
    let laptop = |degrees| Sample { throttles_at: Some(95.0), ..heat(degrees) };
    for (sample, level) in [
        (cpu(0.5), Level::Calm),
        (cpu(0.9), Level::Elevated),
        // A fully busy processor alone is never more than that.
        (cpu(1.0), Level::Elevated),
        (memory(0.6), Level::Calm),
        (memory(0.8), Level::Elevated),
        (memory(0.9), Level::High),
        (memory(0.96), Level::Critical),
        (of(Some(0.3), None, None), Level::Calm),
        (of(Some(0.6), None, None), Level::Elevated),
        // Slow is not dangerous.
        (of(Some(1.0), None, None), Level::High),
        (of(None, None, Some(1.0)), Level::High),
        (of(None, None, Some(0.3)), Level::Calm),
        (of(None, Some(0.01), None), Level::Calm),
        (of(None, Some(0.2), None), Level::High),
        (of(None, Some(0.5), None), Level::Critical),
        (heat(60.0), Level::Calm),
        (heat(75.0), Level::Elevated),
        (heat(80.0), Level::High),
        (heat(85.0), Level::Critical),
        (laptop(80.0), Level::Calm),
        (laptop(90.0), Level::Elevated),
        (disk(0.97, Some(100.0)), Level::Calm),
        (disk(0.97, Some(1.5)), Level::Elevated),
        (disk(0.97, Some(0.8)), Level::High),
        (disk(0.5, Some(0.1)), Level::Calm),
        (disk(0.99, None), Level::Critical),
        (disk(1.0, Some(0.0)), Level::Critical),
    ] {
        assert_eq!(in_the_end(&sample).0, level, "{sample:?}");
    }
}

#[test]
fn the_score_is_that_of_the_worst() {
    let mut environment = Environment::default();
    let sample = Sample { memory: Some(0.9), temperature: Some(50.0), ..cpu(0.1) };
    assert_eq!(environment.take(&sample, Duration::ZERO), Some(Level::High));
    assert_eq!(environment.worst(), Some(Signal::Memory));
    assert_eq!(in_the_end(&memory(0.9)).1, environment.score());
    lasting(&mut environment, &sample, Duration::from_secs(300));
    let json = r#"{"level":"high","score":0.707,"signals":{"cpu":0.1,"memory":0.9,"psi":null,"temperature":50.0,"disk":null}}"#;
    assert_eq!(environment.to_json(), json);
    assert_eq!(environment.in_words(), "memory 90 %, cpu 10 %, 50 °C");
}

#[test]
fn psi_is_told_as_one_number() {
    let mut environment = Environment::default();
    let psi = Stalls { cpu: Some(0.4), memory: Some(0.2), io: None };
    environment.take(&stalls(psi), Duration::ZERO);
    assert_eq!(environment.signals().psi, Some(0.4));
    // Little of one weighs more than much of the other.
    assert_eq!((environment.level(), environment.worst()), (Level::High, Some(Signal::Psi)));
}

#[test]
fn a_burst_is_no_load() {
    let mut environment = Environment::default();
    environment.take(&cpu(1.0), EVERY);
    assert!(environment.signals().cpu > Some(0.99), "told as it is");
    assert!(environment.score() < 0.2, "counted as a burst");
    assert_eq!(lasting(&mut environment, &cpu(1.0), Duration::from_secs(20)), Level::Calm);
    assert_eq!(lasting(&mut environment, &cpu(1.0), Duration::from_secs(20)), Level::Elevated);
}

#[test]
fn a_level_is_entered_at_once_and_left_late() {
    let mut environment = Environment::default();
    assert_eq!(environment.take(&memory(0.97), Duration::ZERO), Some(Level::Critical));
    let left = (1..100).find_map(|n| environment.take(&memory(0.1), EVERY).map(|level| (n, level)));
    // Six looks to pass the time, and one until the mean has fallen.
    assert!(matches!(left, Some((6..=9, Level::Calm))), "{left:?}");
}

#[test]
fn it_falls_no_lower_than_the_worst_of_the_quiet_time() {
    let mut environment = Environment::default();
    environment.take(&memory(0.97), Duration::ZERO);
    for share in [0.1, 0.1, 0.1, 0.8, 0.8, 0.1, 0.1, 0.1] {
        environment.take(&memory(share), EVERY);
    }
    assert_eq!(environment.level(), Level::Elevated);
}

#[test]
fn a_load_that_comes_and_goes_is_one_load() {
    let mut environment = Environment::default();
    let mut changes = 0;
    for turn in 0..1000 {
        let share = if turn % 5 == 0 { 0.99 } else { 0.2 };
        changes += usize::from(environment.take(&memory(share), EVERY).is_some());
    }
    assert!(changes <= 3, "{changes}");
}

#[test]
fn a_missed_look_matters_little() {
    let at = |spans: &[u64]| {
        let mut environment = Environment::default();
        environment.take(&cpu(0.2), EVERY);
        for seconds in spans {
            environment.take(&cpu(0.9), Duration::from_secs(*seconds));
        }
        environment.score()
    };
    assert!((at(&[5, 5, 5, 5]) - at(&[5, 10, 5])).abs() < 1e-9);
    // Of an hour in which nobody looked, one look says little.
    let mut environment = Environment::default();
    environment.take(&memory(0.97), Duration::ZERO);
    let hour = Duration::from_secs(3600);
    assert_eq!(environment.take(&memory(0.1), hour), None);
    assert_eq!(environment.take(&memory(0.1), hour), Some(Level::Calm));
}

#[test]
fn a_sensor_that_fails_now_and_then_is_one_that_works() {
    let mut environment = Environment::default();
    environment.take(&heat(82.0), Duration::ZERO);
    environment.take(&Sample::default(), EVERY);
    assert_eq!(environment.signals().temperature, Some(82.0));
    assert_eq!(environment.level(), Level::High);
    // One that is gone is forgotten, with what it said.
    let gone = lasting(&mut environment, &Sample::default(), Duration::from_secs(90));
    assert_eq!((environment.signals(), gone), (Signals::default(), Level::Calm));
    // And one that comes back counts at once.
    assert_eq!(environment.take(&heat(86.0), EVERY), Some(Level::Critical));
}

#[test]
fn nonsense_is_no_reading() {
    let nonsense = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(Some);
    for value in nonsense {
        let psi = Stalls { cpu: value, memory: value, io: value };
        let sample = Sample {
            cpu: value,
            memory: value,
            psi,
            temperature: value,
            throttles_at: value,
            disk: value,
            disk_free: value,
        };
        assert_eq!(in_the_end(&sample), (Level::Calm, 0.0));
    }
    assert_eq!(in_the_end(&memory(7.0)), in_the_end(&memory(1.0)));
    assert_eq!(in_the_end(&memory(-7.0)), in_the_end(&memory(0.0)));
}

fn signal(most: f64) -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        1 => Just(None),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), Just(1e300)].prop_map(Some),
        8 => (0.0..most).prop_map(Some),
    ]
}

prop_compose! {
    fn sample()(
        cpu in signal(1.0), memory in signal(1.0), temperature in signal(110.0),
        throttles_at in signal(100.0), disk in signal(1.0), disk_free in signal(2e10),
        stalled in (signal(1.0), signal(1.0), signal(1.0)),
    ) -> Sample {
        let psi = Stalls { cpu: stalled.0, memory: stalled.1, io: stalled.2 };
        Sample { cpu, memory, psi, temperature, throttles_at, disk, disk_free }
    }
}

fn elapsed() -> impl Strategy<Value = Duration> {
    prop_oneof![
        6 => (0_u64..20_000).prop_map(Duration::from_millis),
        1 => Just(Duration::ZERO),
        1 => Just(Duration::MAX),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_score_is_a_number_and_fits_its_level(
        looks in prop::collection::vec((sample(), elapsed()), 1..60),
    ) {
        let mut environment = Environment::default();
        for (sample, elapsed) in looks {
            let before = environment.level();
            let change = environment.take(&sample, elapsed);
            prop_assert!((0.0..=1.0).contains(&environment.score()), "{}", environment.score());
            prop_assert_eq!(change, (environment.level() != before).then_some(environment.level()));
            prop_assert!(environment.level() >= Level::reached(environment.score(), 0.0));
            let json: serde_json::Value = serde_json::from_str(&environment.to_json()).unwrap();
            prop_assert_eq!(json["level"].as_str(), Some(environment.level().as_str()));
        }
    }

    #[test]
    fn more_of_anything_is_no_less(
        looks in prop::collection::vec((sample(), 0_u64..20, 0.0..1.0), 1..30), which in 0..7,
    ) {
        let (mut one, mut other) = (Environment::default(), Environment::default());
        for (sample, seconds, more) in looks {
            let mut worse = sample;
            let raised = |value: Option<f64>, by: f64| value.map(|value| value + by);
            match which {
                0 => worse.cpu = raised(sample.cpu, more),
                1 => worse.memory = raised(sample.memory, more),
                2 => worse.psi.cpu = raised(sample.psi.cpu, more),
                3 => worse.psi.memory = raised(sample.psi.memory, more),
                4 => worse.psi.io = raised(sample.psi.io, more),
                5 => worse.temperature = raised(sample.temperature, 50.0 * more),
                _ => worse.disk = raised(sample.disk, more),
            }
            let elapsed = Duration::from_secs(seconds);
            one.take(&sample, elapsed);
            other.take(&worse, elapsed);
            prop_assert!(other.score() >= one.score() - 1e-12);
        }
    }

    #[test]
    fn a_level_does_not_flap_around_its_bound(
        // Around .40, by memory: about 0.73 to 0.765 is the width of the gap.
        noise in prop::collection::vec(0.735..0.78, 20..300),
    ) {
        let mut environment = Environment::default();
        let changes = noise.iter().filter(|share| environment.take(&memory(**share), EVERY).is_some());
        prop_assert!(changes.count() <= 1);
    }

    #[test]
    fn levels_fall_no_oftener_than_they_are_held(
        looks in prop::collection::vec((sample(), 0_u64..30_000), 1..200),
    ) {
        let mut environment = Environment::default();
        let (mut total, mut falls) = (Duration::ZERO, 0);
        for (sample, millis) in looks {
            let (before, elapsed) = (environment.level(), Duration::from_millis(millis));
            total += elapsed;
            falls += u32::from(environment.take(&sample, elapsed).is_some_and(|now| now < before));
            prop_assert!(HOLD * falls <= total);
        }
    }
}
