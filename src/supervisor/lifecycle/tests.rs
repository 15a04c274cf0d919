use super::super::io::{Answer, Boot, Input, LastEnd, Op, Origin, ProcessIdentity, RestartMemory};
use super::super::machine::Setup;
use super::super::restart::{Policy, RestartMode};
use super::super::testbed::{Bed, checkpoint, empty, setup};
use super::*;
use crate::clock::Wall;
use crate::engines::state::Node;

fn always() -> Setup {
    let policy = Policy { mode: RestartMode::Always, ..setup().policy };
    Setup { policy, ..setup() }
}

fn kept(restart: RestartMemory) -> Boot {
    Boot { last_incarnation: 6, restart, origin: Origin::Kept, ..Boot::default() }
}

fn memories(bed: &Bed) -> Vec<RestartMemory> {
    bed.ops().filter_map(|op| if let Op::Restart(m) = op { Some(*m) } else { None }).collect()
}

#[test]
fn run_finish_counts_from_when_it_was_said() {
    // Before the state is there, nothing is applied.
    let mut bed = Bed::started(always(), &Boot::default());
    bed.spawned();
    bed.initialize();
    bed.asks("run.finish", "{}");
    bed.ends(Exit::Code(0));
    bed.give(Input::Restored(Box::new(empty())));
    bed.commit();
    assert_eq!(bed.verdict().map(|v| v.outcome), Some(Outcome::Done));
}

#[test]
fn run_finish_does_not_rub_off_on_the_next_incarnation() {
    let mut bed = Bed::speaking_with(always());
    bed.operator(1, "checkpoint.restore", r#"{"id":3}"#);
    // Stands behind what the store looks up.
    bed.asks("run.finish", "{}");
    bed.ends(Exit::Code(1));
    bed.pass(Duration::from_secs(1));
    bed.spawned();
    bed.commit();
    bed.commit();
    bed.ends(Exit::Code(0));
    assert!(bed.verdict().is_none() && !matches!(bed.machine.phase, Phase::Closing { .. }));
}

#[test]
fn an_end_that_nobody_saw_is_recorded_and_costs_nothing() {
    let orphan = Some(ProcessIdentity { pid: 5, ..ProcessIdentity::default() });
    let mut bed = Bed::started(setup(), &Boot { orphan, ..kept(RestartMemory::default()) });
    assert!(bed.spawns());
    bed.give(Input::Restored(Box::new(super::super::io::Restored { version: 3, ..empty() })));
    let lost =
        bed.ops().find_map(|op| if let Op::End(end) = op { Some(end.clone()) } else { None });
    let lost = lost.expect("it is recorded");
    assert_eq!((lost.incarnation, lost.class, lost.version), (6, ExitClass::Lost, 3));
}

#[test]
fn a_delay_left_over_is_waited_out_but_not_by_hand() {
    let left = Duration::from_secs(7);
    let boot = kept(RestartMemory {
        crashes_in_row: 3,
        delay_left: Some(left),
        restarts: 3,
        ..RestartMemory::default()
    });
    let mut bed = Bed::started(setup(), &boot);
    assert!(!bed.spawns());
    bed.pass(left - Duration::from_millis(1));
    assert!(!bed.spawns());
    bed.pass(Duration::from_millis(1));
    assert!(bed.spawns());
    let by_hand = Bed::started(Setup { by_hand: true, ..setup() }, &boot);
    assert!(by_hand.spawns());
}

#[test]
fn a_delay_that_was_waited_out_is_forgotten_on_disk() {
    let mut bed = Bed::running();
    bed.ends(Exit::Code(1));
    assert_eq!(memories(&bed).last().unwrap().delay_left, Some(Duration::from_millis(500)));
    bed.commit();
    bed.pass(Duration::from_millis(500));
    bed.spawned();
    let memory = *memories(&bed).last().expect("the record of the start says so");
    assert_eq!((memory.delay_left, memory.crashes_in_row), (None, 1));
}

#[test]
fn what_is_left_of_a_long_delay_is_noted_now_and_then() {
    let initial = Duration::from_secs(40);
    let policy = Policy { initial, ..setup().policy };
    let mut bed = Bed::running_with(Setup { policy, ..setup() });
    bed.ends(Exit::Code(1));
    bed.commit();
    let mut noted = Vec::new();
    while !bed.spawns() {
        let next = bed.machine.next_timeout().expect("a delay ends");
        bed.pass(next.since(bed.now.mono));
        noted.extend(memories(&bed).iter().filter_map(|m| m.delay_left));
        bed.units.clear();
    }
    assert_eq!(noted, [30, 20, 10].map(Duration::from_secs));
}

#[test]
fn a_long_life_is_progress_while_it_lasts() {
    let memory = RestartMemory {
        crashes_in_row: 5,
        delay_left: None,
        restarts: 5,
        ..RestartMemory::default()
    };
    let mut bed = Bed::started(setup(), &kept(memory));
    bed.give(Input::Restored(Box::new(empty())));
    bed.spawned();
    bed.commit();
    bed.operator(1, "status", "{}");
    assert!(bed.replies()[0].contains(r#""crash_loop":true"#));
    bed.pass(setup().policy.reset);
    assert_eq!(memories(&bed), [RestartMemory::default()], "adrt's own death won't bring it back");
    bed.commit();
    bed.operator(1, "status", "{}");
    assert!(bed.replies()[0].contains(r#""crash_loop":false"#));
    // Nothing is counted any more, so nothing is due.
    bed.pass(setup().policy.reset);
    assert!(bed.units.is_empty());
}

#[test]
fn the_downtime_spans_a_restart_of_adrt() {
    let last_end = Some(LastEnd {
        class: ExitClass::Failed,
        exit: Some(Exit::Code(1)),
        ended: Wall::from_millis(1_000_000 - 90_000),
    });
    let mut bed = Bed::started(setup(), &Boot { last_end, ..kept(RestartMemory::default()) });
    bed.give(Input::Restored(Box::new(empty())));
    bed.spawned();
    bed.commit();
    bed.initialize();
    assert!(bed.sent().contains(r#""exit":{"code":1}"#));
    assert!(bed.sent().contains(r#""downtime_ms":90000"#), "{}", bed.sent());
}

#[test]
fn the_downtime_within_a_run_is_the_time_between_end_and_spawn() {
    let mut bed = Bed::running();
    bed.ends(Exit::Code(1));
    bed.commit();
    bed.pass(Duration::from_millis(500));
    bed.pass(Duration::from_millis(20));
    bed.spawned();
    bed.commit();
    bed.pass(Duration::from_secs(3));
    bed.initialize();
    assert!(bed.sent().contains(r#""downtime_ms":520"#), "{}", bed.sent());
}

#[test]
fn a_restart_asked_for_when_it_has_just_ended_is_a_restart() {
    let mut bed = Bed::running();
    bed.exits(Exit::Code(1));
    bed.operator(1, "restart", "{}");
    bed.drained();
    assert!(bed.spawns(), "no delay is waited out");
    let class = bed.ops().find_map(|op| if let Op::End(end) = op { Some(end.class) } else { None });
    assert_eq!(class, Some(ExitClass::Failed), "what it was stays what it was");
    bed.spawned();
    bed.commit();
    bed.initialize();
    assert!(bed.sent().contains(r#""start":{"reason":"operator","exit":{"code":1}"#));
}

#[test]
fn an_exit_0_under_a_restart_that_was_asked_for_starts_again() {
    let mut bed = Bed::speaking();
    bed.operator(1, "restart", "{}");
    bed.ends(Exit::Code(0));
    assert!(bed.spawns());
}

#[test]
fn a_restart_cuts_a_delay_short_and_says_so() {
    let mut bed = Bed::running();
    bed.ends(Exit::Code(1));
    bed.commit();
    bed.operator(1, "restart", "{}");
    assert!(bed.spawns());
    bed.spawned();
    bed.commit();
    bed.initialize();
    assert!(bed.sent().contains(r#""reason":"operator""#));
}

#[test]
fn a_restore_that_comes_while_it_leaves_for_a_restart_is_the_reason_told() {
    let mut bed = Bed::speaking();
    bed.operator(1, "restart", "{}");
    bed.operator(2, "checkpoint.restore", r#"{"id":3}"#);
    let found = |op: &Op| match op {
        Op::LoadCheckpoint(_) => {
            Some(Answer::Loaded(Some((checkpoint(3, 1), Node::from_valid("{\"old\":1}")))))
        }
        _ => None,
    };
    bed.commit_with(found);
    bed.operator(3, "restart", "{}");
    bed.ends(Exit::Code(0));
    assert!(bed.spawns());
    bed.spawned();
    bed.initialize();
    bed.commit();
    assert!(bed.sent().contains(r#""reason":"rollback""#), "{}", bed.sent());
    assert!(bed.sent().contains(r#""value":{"old":1}"#), "the greeting stands behind it");
}

#[test]
fn a_crash_pins_the_checkpoint_of_what_it_crashed_on() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    bed.asks("checkpoint.create", "{}");
    // Neither is on the disk yet.
    bed.ends(Exit::Code(1));
    let made: Vec<u64> = bed
        .ops()
        .filter_map(|op| if let Op::Checkpoint(row) = op { Some(row.id) } else { None })
        .collect();
    let pinned = bed.ops().find_map(|op| match op {
        Op::Pin { checkpoint, .. } => Some(*checkpoint),
        _ => None,
    });
    assert_eq!((made.len(), pinned), (1, made.first().copied()));
}

#[test]
fn the_ledger_has_the_version_of_what_was_applied_before_the_end() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    bed.exits(Exit::Code(1));
    // A whole frame that it wrote before it died.
    bed.asks("state.patch", r#"{"patch":{"a":2}}"#);
    bed.drained();
    let version = bed.ops().find_map(|op| if let Op::End(e) = op { Some(e.version) } else { None });
    assert_eq!(version, Some(2));
}

fn the_end(bed: &Bed) -> super::super::io::IncarnationEnd {
    let end = bed.ops().find_map(|op| if let Op::End(end) = op { Some(end.clone()) } else { None });
    *end.expect("it is recorded")
}

#[test]
fn an_end_that_was_asked_for_says_by_whom() {
    let mut bed = Bed::speaking();
    bed.operator(1, "restart", "{}");
    bed.ends(Exit::Code(0));
    let end = the_end(&bed);
    assert_eq!(end.class, ExitClass::Stopped);
    assert_eq!(end.asked_by.as_deref(), Some("adrt restart (uid 0)"));
    assert_eq!(end.summary, "stopped by adrt restart (uid 0), exited with code 0");
    assert_eq!(end.backoff_why, "adrt restart (uid 0) asked for it");
    // The next end has nothing to do with it.
    bed.commit();
    bed.spawned();
    bed.commit();
    bed.ends(Exit::Code(1));
    assert_eq!((the_end(&bed).asked_by, the_end(&bed).class), (None, ExitClass::Failed));
    let mut bed = Bed::speaking();
    bed.operator(1, "restart", "{}");
    bed.operator(1, "stop", "{}");
    bed.ends(Exit::Signal { signal: 15, core: false });
    let end = the_end(&bed);
    assert_eq!(end.summary, "stopped by adrt stop (uid 0), killed by SIGTERM");
    bed.commit();
    assert_eq!(bed.verdict().map(|v| v.message.clone()), Some(end.summary), "who, and only once");
}

#[test]
fn a_restore_says_by_whom() {
    let mut bed = Bed::speaking();
    bed.operator(2, "checkpoint.restore", r#"{"id":3}"#);
    bed.commit_with(|op| match op {
        Op::LoadCheckpoint(_) => {
            Some(Answer::Loaded(Some((checkpoint(3, 1), Node::from_valid("{}")))))
        }
        _ => None,
    });
    bed.ends(Exit::Code(0));
    let who = "adrt checkpoints restore (uid 0)";
    assert_eq!(the_end(&bed).asked_by.as_deref(), Some(who));
}

#[test]
fn a_signal_of_somebody_elses_is_told_from_a_fault() {
    for (signal, summary) in [
        (15, "killed by SIGTERM (not by adrt)"),
        (9, "killed by SIGKILL (not by adrt)"),
        (11, "killed by SIGSEGV"),
        (6, "killed by SIGABRT"),
    ] {
        let mut bed = Bed::running();
        bed.ends(Exit::Signal { signal, core: false });
        let end = the_end(&bed);
        assert_eq!((end.class, &*end.summary, end.asked_by), (ExitClass::Signal, summary, None));
    }
}

#[test]
fn a_code_that_stands_for_a_signal_says_so() {
    for (code, summary) in
        [(137, "exited with code 137 (a shell's word for SIGKILL)"), (255, "exited with code 255")]
    {
        let mut bed = Bed::running();
        bed.ends(Exit::Code(code));
        assert_eq!((the_end(&bed).class, &*the_end(&bed).summary), (ExitClass::Failed, summary));
    }
}

fn names(end: &super::super::io::IncarnationEnd) -> Vec<(&str, u32)> {
    end.steps.iter().map(|step| (&*step.key.name, step.attempt)).collect()
}

#[test]
fn the_steps_it_was_in_are_on_record() {
    let mut bed = Bed::speaking();
    bed.done("step.begin", r#"{"scope":"s","step":"done"}"#);
    bed.done("step.complete", r#"{"scope":"s","step":"done","attempt":1,"result":1}"#);
    bed.done("step.begin", r#"{"scope":"s","step":"charge"}"#);
    // By a command, which a shell agent runs its steps with.
    bed.operator(1, "step.begin", r#"{"scope":"s","step":"mail"}"#);
    bed.commit_all();
    bed.ends(Exit::Code(1));
    assert_eq!(names(&the_end(&bed)), [("charge", 1), ("mail", 1)]);
    bed.commit_all();
    bed.pass(Duration::from_secs(1));
    bed.spawned();
    bed.commit_all();
    bed.initialize();
    // Those of the life before are open, but not what this one was in.
    bed.done("step.begin", r#"{"scope":"s","step":"charge"}"#);
    bed.ends(Exit::Code(1));
    assert_eq!(names(&the_end(&bed)), [("charge", 2)]);
}

#[test]
fn a_step_of_an_event_that_was_given_back_is_not_under_way() {
    let mut bed = Bed::working(setup(), 1);
    bed.done("event.emit", r#"{"event":{"type":"t"}}"#);
    bed.done("step.begin", r#"{"seq":1,"step":"charge"}"#);
    bed.done("event.nack", r#"{"seq":1,"attempt":1,"delay_ms":60000}"#);
    bed.ends(Exit::Code(1));
    let end = the_end(&bed);
    assert!(end.held.is_empty() && end.steps.is_empty(), "{end:?}");
}

/// The labels of checkpoints, and the releases of starts, in their order.
fn releases(bed: &Bed) -> Vec<String> {
    let told = bed.ops().filter_map(|op| match op {
        Op::Checkpoint(row) => Some(row.label.clone().unwrap_or_else(|| "none".into())),
        Op::Begin(start) => Some(start.release.clone().unwrap_or_else(|| "-".into())),
        _ => None,
    });
    told.collect()
}

fn of_release(release: Option<&str>, last: Option<&str>) -> Bed {
    let setup = Setup { release: release.map(str::to_owned), ..setup() };
    let last_release = last.map(str::to_owned);
    let boot = Boot { last_release, ..kept(RestartMemory::default()) };
    let mut bed = Bed::started(setup, &boot);
    bed.give(Input::Restored(Box::new(empty())));
    bed.spawned();
    bed
}

#[test]
fn another_release_takes_a_checkpoint_along_with_its_first_start() {
    let mut bed = of_release(Some("v2"), Some("v1"));
    assert_eq!(releases(&bed), ["before v2", "v2"]);
    assert_eq!(bed.units.len(), 1, "both or neither");
    let row = bed.ops().find_map(|op| if let Op::Checkpoint(row) = op { Some(row) } else { None });
    assert_eq!(row.map(|row| row.incarnation), Some(6), "what it holds is the one before's");
    bed.commit();
    bed.ends(Exit::Code(1));
    bed.commit();
    bed.pass(Duration::from_secs(1));
    bed.spawned();
    assert_eq!(releases(&bed), ["v2"], "once");
    assert_eq!(releases(&of_release(Some("v2"), None)), ["before v2", "v2"]);
    assert_eq!(releases(&of_release(Some("v1"), Some("v1"))), ["v1"]);
    assert_eq!(releases(&of_release(None, Some("v1"))), ["-"], "nobody says that it changed");
    let fresh = Boot { origin: Origin::First, ..Boot::default() };
    let mut bed = Bed::started(Setup { release: Some("v1".into()), ..setup() }, &fresh);
    bed.give(Input::Restored(Box::new(empty())));
    bed.spawned();
    assert_eq!(releases(&bed), ["v1"], "there is nothing to go back to");
}

#[test]
fn a_release_that_can_not_be_executed_is_one_too() {
    let boot = Boot { last_release: Some("v1".into()), ..kept(RestartMemory::default()) };
    let mut bed = Bed::started(Setup { release: Some("v2".into()), ..setup() }, &boot);
    bed.give(Input::Restored(Box::new(empty())));
    let failure = SpawnFailure::System("not now".into());
    bed.give(Input::SpawnFailed { incarnation: bed.incarnation(), failure });
    assert_eq!(releases(&bed), ["before v2", "v2"]);
}

#[test]
fn a_commit_that_may_have_been_one_takes_no_second_checkpoint() {
    for was_written in [false, true] {
        let mut bed = of_release(Some("v2"), Some("v1"));
        bed.lose();
        let last_begun = if was_written { 7 } else { 6 };
        let restored = super::super::io::Restored { last_begun, ..empty() };
        bed.give(Input::Restored(Box::new(restored)));
        while !bed.units.is_empty() && releases(&bed).is_empty() {
            bed.commit();
        }
        let expected: &[&str] = if was_written { &["v2"] } else { &["before v2", "v2"] };
        assert_eq!(releases(&bed), expected, "{was_written}");
    }
}

/// What was said on stderr since the last time anything was given.
fn said(effects: &[Effect]) -> Vec<String> {
    let message = |effect: &Effect| match effect {
        Effect::Log { message, .. } => Some(message.clone()),
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

#[test]
fn a_death_for_memory_is_told_with_its_limit() {
    let mut bed = Bed::speaking();
    let incarnation = bed.incarnation();
    let exit = Exit::Signal { signal: 9, core: false };
    let oom = Some(Oom { count: 1, limit: Some(32 << 20) });
    bed.give(Input::Exited { incarnation, exit, oom });
    let said = said(bed.drained());
    let told = "agent killed by SIGKILL: out of memory (limit 32 MiB) after";
    assert!(said.iter().any(|line| line.starts_with(told)), "{said:?}");
    assert_eq!(said.len(), 1, "and of no further process: {said:?}");
}

#[test]
fn a_worker_lost_to_memory_is_a_warning_and_no_end() {
    let mut bed = Bed::speaking();
    let incarnation = bed.incarnation();
    let oom = Oom { count: 2, limit: None };
    let told = said(bed.give(Input::KilledForMemory { incarnation, oom }));
    assert_eq!(told, ["the kernel killed 2 processes of the agent's: out of memory"]);
    assert!(matches!(bed.machine.phase, Phase::Running));
    let late = Input::KilledForMemory { incarnation: incarnation + 1, oom };
    assert!(said(bed.give(late)).is_empty(), "another's");
    // It ends over it with a code of its own: that is what it died of.
    let exit = Exit::Code(1);
    bed.give(Input::Exited { incarnation, exit, oom: Some(Oom { count: 1, limit: None }) });
    let told = said(bed.drained());
    assert_eq!(told[0], "the kernel killed a process of the agent's: out of memory");
    assert!(told[1].starts_with("agent exited with code 1 after"), "{told:?}");
}
