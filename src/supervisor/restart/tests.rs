use super::*;

fn rng() -> fastrand::Rng {
    fastrand::Rng::with_seed(7)
}

fn steady() -> Policy {
    Policy { jitter: 0.0, ..Policy::default() }
}

fn crash() -> Ended {
    let exit = Some(Exit::Code(1));
    Ended {
        class: ExitClass::Failed,
        exit,
        uptime: Duration::from_secs(1),
        age: Age::default(),
        checkpoint: None,
    }
}

fn done() -> Ended {
    Ended { class: ExitClass::Done, exit: Some(Exit::Code(0)), ..crash() }
}

fn delay_of(next: Next) -> Duration {
    match next {
        Next::Start { delay, .. } => delay,
        Next::End { .. } => panic!("it ends: {next:?}"),
    }
}

fn outcome_of(next: Next) -> Outcome {
    match next {
        Next::End { outcome, .. } => outcome,
        Next::Start { .. } => panic!("it goes on: {next:?}"),
    }
}

/// Milliseconds of so many delays after crashes in a row.
fn delays(policy: Policy, count: usize) -> Vec<u128> {
    let mut restarts = Restarts::new(policy, RestartMemory::default());
    let mut rng = rng();
    (0..count).map(|_| delay_of(restarts.after(crash(), &mut rng)).as_millis()).collect()
}

#[test]
fn delays_double_up_to_the_cap() {
    assert_eq!(
        delays(steady(), 10),
        [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]
    );
}

#[test]
fn the_cap_is_reached_however_small_the_multiplier() {
    let slow = Policy { multiplier: 1.02, ..steady() };
    let delays = delays(slow, 300);
    assert!(delays.is_sorted());
    assert_eq!(delays.last(), Some(&60_000));
}

#[test]
fn a_multiplier_of_one_keeps_the_delay() {
    assert_eq!(delays(Policy { multiplier: 1.0, ..steady() }, 4), [500; 4]);
}

#[test]
fn no_delay_at_all_stays_none() {
    assert_eq!(delays(Policy { initial: Duration::ZERO, ..Policy::default() }, 3), [0; 3]);
}

#[test]
fn an_initial_delay_above_the_cap_is_cut_to_it() {
    let policy = Policy { initial: Duration::from_secs(90), ..steady() };
    assert_eq!(delays(policy, 3), [60_000; 3]);
}

#[test]
fn jitter_stays_in_its_share_and_under_the_cap() {
    let policy = Policy { jitter: 0.2, ..Policy::default() };
    let mut rng = rng();
    let (mut least, mut most) = (f64::MAX, 0.0_f64);
    for count in 1..40 {
        for _ in 0..200 {
            let full = interval(&policy, count).as_secs_f64();
            let delay = delay(&policy, count, &mut rng);
            assert!(delay <= policy.max, "the cap holds after jitter");
            let share = delay.as_secs_f64() / full;
            assert!((0.799..=1.201).contains(&share), "{share} of the delay");
            (least, most) = (least.min(share), most.max(share));
        }
    }
    assert!(least < 0.82 && most > 1.18, "chance reaches both sides: {least} to {most}");
}

#[test]
fn delays_follow_from_the_seed_alone() {
    let policy = Policy { max: Duration::from_secs(86_400 * 365), ..Policy::default() };
    let all = || {
        let mut rng = rng();
        (1..60).map(|count| delay(&policy, count, &mut rng)).collect::<Vec<_>>()
    };
    let first = all();
    for _ in 0..200 {
        assert_eq!(all(), first, "not a nanosecond of other chance");
    }
}

#[test]
fn the_longest_spans_do_no_harm() {
    let policy = Policy { initial: Duration::MAX, max: Duration::MAX, ..Policy::default() };
    for count in [1, 2, u32::MAX] {
        assert!(delay(&policy, count, &mut rng()) <= Duration::MAX);
    }
}

#[test]
fn a_life_of_backoff_reset_makes_the_count_start_anew() {
    let mut restarts = Restarts::new(steady(), RestartMemory::default());
    let mut rng = rng();
    for _ in 0..5 {
        restarts.after(crash(), &mut rng);
    }
    assert!(restarts.is_loop());
    let almost = Ended { uptime: BACKOFF_RESET_DEFAULT - Duration::from_millis(1), ..crash() };
    assert_eq!(delay_of(restarts.after(almost, &mut rng)).as_secs(), 16);
    let age = Age::from_millis(7_200_000);
    let long = Ended { uptime: BACKOFF_RESET_DEFAULT, age, ..crash() };
    assert_eq!(delay_of(restarts.after(long, &mut rng)).as_millis(), 500);
    assert!(!restarts.is_loop());
    assert_eq!(restarts.crashes_in_row(), 1);
}

#[test]
fn a_crash_loop_is_five_in_a_row() {
    let mut restarts = Restarts::new(steady(), RestartMemory::default());
    for count in 1..=CRASH_LOOP {
        assert!(!restarts.is_loop());
        restarts.after(crash(), &mut rng());
        assert_eq!(restarts.crashes_in_row(), count);
    }
    assert!(restarts.is_loop());
    restarts.forget();
    assert!(!restarts.is_loop() && !restarts.counts());
}

#[test]
fn what_an_earlier_adrt_counted_goes_on() {
    let memory = RestartMemory {
        crashes_in_row: 3,
        delay_left: None,
        restarts: 3,
        ..RestartMemory::default()
    };
    let mut restarts = Restarts::new(steady(), memory);
    assert_eq!(delay_of(restarts.after(crash(), &mut rng())).as_secs(), 4);
}

#[test]
fn fatal_codes_end_the_run_at_once() {
    let policy = Policy { fatal_exit: vec![3, 64], mode: RestartMode::Always, ..steady() };
    let mut restarts = Restarts::new(policy, RestartMemory::default());
    let exit = |code| Ended { exit: Some(Exit::Code(code)), ..crash() };
    assert!(delay_of(restarts.after(exit(4), &mut rng())) > Duration::ZERO);
    assert_eq!(outcome_of(restarts.after(exit(64), &mut rng())), Outcome::Fatal);
    // A signal of that number is no code.
    let signal = Exit::Signal { signal: 3, core: false };
    let killed = Ended { class: ExitClass::Signal, exit: Some(signal), ..crash() };
    assert!(matches!(restarts.after(killed, &mut rng()), Next::Start { .. }));
}

#[test]
fn max_restarts_counts_starts_without_progress() {
    let policy = Policy { max_restarts: Some(2), ..steady() };
    let mut restarts = Restarts::new(policy, RestartMemory::default());
    let long = Ended { uptime: BACKOFF_RESET_DEFAULT, ..crash() };
    for ended in [crash(), crash(), long, crash()] {
        assert!(matches!(restarts.after(ended, &mut rng()), Next::Start { .. }));
    }
    assert_eq!(outcome_of(restarts.after(crash(), &mut rng())), Outcome::GaveUp);
    let none = Policy { max_restarts: Some(0), ..steady() };
    let mut restarts = Restarts::new(none, RestartMemory::default());
    assert_eq!(outcome_of(restarts.after(crash(), &mut rng())), Outcome::GaveUp);
}

#[test]
fn never_means_never() {
    let policy = || Policy { mode: RestartMode::Never, ..steady() };
    let after = |ended| {
        outcome_of(Restarts::new(policy(), RestartMemory::default()).after(ended, &mut rng()))
    };
    assert_eq!(after(crash()), Outcome::AgentFailed(Exit::Code(1)));
    assert_eq!(after(done()), Outcome::Done);
    let exit = Exit::Signal { signal: 9, core: false };
    let killed = Ended { class: ExitClass::OutOfMemory, exit: Some(exit), ..crash() };
    assert_eq!(after(killed), Outcome::AgentFailed(exit));
    // It never ran: that is no success.
    let no_start = Ended { class: ExitClass::ExecFailed, exit: None, ..crash() };
    assert_eq!(after(no_start), Outcome::ExecFailed(EXIT_NOT_EXECUTABLE));
}

#[test]
fn an_exit_0_ends_the_run_unless_always() {
    let mut restarts = Restarts::new(steady(), RestartMemory::default());
    assert_eq!(outcome_of(restarts.after(done(), &mut rng())), Outcome::Done);
    let always = Policy { mode: RestartMode::Always, ..steady() };
    let mut restarts = Restarts::new(always, RestartMemory::default());
    restarts.after(crash(), &mut rng());
    // Not at once, or an agent that is done at once would spin.
    assert_eq!(delay_of(restarts.after(done(), &mut rng())), BACKOFF_INITIAL_DEFAULT);
    assert_eq!(restarts.crashes_in_row(), 0);
    let finished = Ended { class: ExitClass::Finished, ..done() };
    assert_eq!(outcome_of(restarts.after(finished, &mut rng())), Outcome::Done);
}

#[test]
fn what_was_not_the_agents_fault_costs_it_nothing() {
    for class in [ExitClass::Lost, ExitClass::StoreLost] {
        let mut restarts = Restarts::new(steady(), RestartMemory::default());
        let next = restarts.after(Ended { class, ..crash() }, &mut rng());
        assert_eq!(delay_of(next), Duration::ZERO);
        assert!(!restarts.counts());
    }
}

#[test]
fn a_run_that_is_over_leaves_no_delay_behind() {
    let memory = RestartMemory {
        crashes_in_row: 2,
        delay_left: Some(Duration::from_secs(9)),
        restarts: 2,
        ..RestartMemory::default()
    };
    let mut restarts = Restarts::new(steady(), memory);
    restarts.run_is_over();
    let left = RestartMemory {
        crashes_in_row: 2,
        delay_left: None,
        restarts: 0,
        ..RestartMemory::default()
    };
    assert_eq!(restarts.memory(), left);
}

#[test]
fn a_rollback_is_offered_once_per_loop_to_what_was_before_it() {
    let mut restarts = Restarts::new(steady(), RestartMemory::default());
    let mut rng = rng();
    for n in 1..CRASH_LOOP {
        restarts.after(Ended { checkpoint: Some(u64::from(n)), ..crash() }, &mut rng);
        assert_eq!(restarts.take_rollback(), None);
    }
    restarts.after(Ended { checkpoint: Some(99), ..crash() }, &mut rng);
    assert_eq!(restarts.take_rollback(), Some(1), "from before the first crash");
    restarts.after(crash(), &mut rng);
    assert_eq!(restarts.take_rollback(), None);
    restarts.progress();
    for _ in 0..CRASH_LOOP {
        restarts.after(Ended { checkpoint: Some(120), ..crash() }, &mut rng);
    }
    assert_eq!(restarts.take_rollback(), Some(120), "another loop");
}

#[test]
fn more_than_six_crashes_within_an_hour_are_unstable_whatever_lies_between() {
    let mut restarts = Restarts::new(steady(), RestartMemory::default());
    let mut rng = rng();
    let minute = |n: u64| Age::from_millis(1 + n * 60_000);
    for n in 0..6 {
        restarts.progress();
        let next = restarts.after(Ended { age: minute(n * 9), ..crash() }, &mut rng);
        assert_eq!(delay_of(next), BACKOFF_INITIAL_DEFAULT);
        assert!(!restarts.is_unstable(minute(n * 9)));
    }
    restarts.progress();
    let next = restarts.after(Ended { age: minute(54), ..crash() }, &mut rng);
    assert_eq!(delay_of(next), BACKOFF_INITIAL_DEFAULT * 16, "as in a loop");
    assert!(restarts.is_unstable(minute(54)));
    assert!(!restarts.is_unstable(minute(61)), "an hour after the first of them");
}
