use super::super::io::{Op, Origin as DataOrigin, Restored, StoreFailureKind};
use super::super::outbox::HANDED_BOUND;
use super::super::testbed::{Bed, empty, setup};
use super::*;
use crate::engines::state::Node;

#[test]
fn past_max_inflight_the_agent_is_not_read() {
    let mut bed = Bed::speaking_with(Setup { max_inflight: 2, ..setup() });
    assert!(bed.machine.wants_line());
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    assert!(bed.machine.wants_line());
    bed.asks("heartbeat", "{}");
    assert!(!bed.machine.wants_line());
    bed.commit();
    assert!(bed.machine.wants_line());
}

#[test]
fn the_bytes_in_flight_are_counted_to_the_last() {
    let mut bed = Bed::speaking();
    let large = format!("{{\"patch\":{{\"a\":\"{}\"}}}}", "x".repeat(INFLIGHT_BYTES_MAX / 2));
    bed.asks("state.patch", &large);
    assert!(bed.machine.wants_line());
    bed.asks("state.patch", &large);
    assert!(!bed.machine.wants_line());
    // Something of adrt's own comes last in the line.
    bed.give(Input::Signal { request: SignalRequest::Checkpoint, who: "a test" });
    bed.commit();
    bed.commit();
    assert!(bed.machine.wants_line(), "nothing is in flight any more");
    assert_eq!(bed.machine.queue.bytes(), 0);
    // What fails and runs again is counted once.
    bed.asks("state.patch", r#"{"patch":{"b":1}}"#);
    let counted = bed.machine.queue.bytes();
    bed.fail(StoreFailureKind::Full);
    assert_eq!(bed.machine.queue.bytes(), counted);
    bed.fail(StoreFailureKind::Full);
    assert_eq!(bed.machine.queue.bytes(), 0);
}

#[test]
fn a_refusal_counts_as_much_as_what_it_refuses() {
    let mut bed = Bed::speaking();
    bed.asks("state.patch", r#"{"patch":{"b":1}}"#);
    let before = bed.machine.queue.bytes();
    bed.asks("no.such", &format!("{{\"x\":\"{}\"}}", "x".repeat(1000)));
    assert!(bed.machine.queue.bytes() > before + 1000);
}

fn large(bytes: usize) -> Restored {
    let root = Node::from_valid(&format!("{{\"a\":\"{}\"}}", "x".repeat(bytes)));
    Restored { root, version: 1, highest_version: 1, ..empty() }
}

/// An agent that reads nothing and asks for a large state again and again.
fn flooded() -> (Bed, usize) {
    let boot = Boot { origin: DataOrigin::First, ..Boot::default() };
    let mut bed = Bed::started(setup(), &boot);
    bed.give(Input::Restored(Box::new(large(1 << 20))));
    bed.spawned();
    bed.commit();
    bed.initialize();
    let mut unread = bed.sent().len();
    // They were on their way already when it was no longer to be read.
    for _ in 0..64 {
        bed.asks("state.get", "{}");
        unread += bed.sent().len();
    }
    (bed, unread)
}

#[test]
fn an_agent_that_reads_nothing_is_not_read_and_costs_so_much_at_most() {
    let (mut bed, unread) = flooded();
    assert!(!bed.machine.wants_line());
    assert!(
        (HANDED_BOUND..HANDED_BOUND + (2 << 20)).contains(&unread),
        "{unread} bytes handed over"
    );
    // What waits is a reference to the state, written out when there is room.
    bed.give(Input::Sent { incarnation: 1, bytes: 3 << 20 });
    assert!((3 << 20..4 << 20).contains(&bed.sent().len()));
    assert!(!bed.machine.wants_line());
}

#[test]
fn an_agent_that_read_nothing_ends_like_any_other() {
    let (mut bed, _) = flooded();
    assert!(!bed.machine.wants_line());
    bed.exits(Exit::Code(1));
    assert!(bed.machine.wants_line(), "what it left in its pipe is taken");
    bed.drained();
    assert!(matches!(bed.machine.phase, Phase::Waiting(_)));
}

#[test]
fn a_disk_that_hangs_does_not_keep_an_end_from_being_seen() {
    let mut bed = Bed::speaking_with(Setup { max_inflight: 1, ..setup() });
    bed.asks("state.patch", r#"{"patch":{"a":1}}"#);
    assert!(!bed.machine.wants_line());
    bed.exits(Exit::Code(1));
    assert!(bed.machine.wants_line());
    bed.asks("state.patch", r#"{"patch":{"a":2}}"#);
    bed.drained();
    bed.pass(Duration::from_millis(500));
    assert!(bed.spawns(), "supervision goes on");
}

#[test]
fn changes_that_an_agent_does_not_read_are_told_as_one() {
    let (mut bed, _) = flooded();
    for n in 0..1000 {
        bed.operator(1, "state.patch", &format!("{{\"patch\":{{\"n\":{n}}}}}"));
        bed.commit();
        assert!(bed.sent().is_empty());
    }
    let mut sent = String::new();
    while !bed.machine.wants_line() {
        bed.give(Input::Sent { incarnation: 1, bytes: 16 << 20 });
        sent += &bed.sent();
    }
    let told: Vec<&str> = sent.lines().filter(|line| line.contains("state.changed")).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains(r#""version":1001"#) && told[0].contains(r#""format":"set""#));
    assert!(told[0].contains(r#""n":999"#));
}

#[test]
fn levels_that_an_agent_does_not_read_are_told_as_one() {
    let look = |bed: &mut Bed, memory: f64| {
        bed.pass(Duration::from_secs(5));
        let sample = super::super::io::Sample { memory: Some(memory), ..Default::default() };
        bed.give(Input::Sample(sample));
        assert!(bed.sent().is_empty());
    };
    let drain = |bed: &mut Bed| {
        let mut sent = String::new();
        while !bed.machine.wants_line() {
            bed.give(Input::Sent { incarnation: 1, bytes: 16 << 20 });
            sent += &bed.sent();
        }
        sent.lines().filter(|line| line.contains("environment.changed")).collect::<String>()
    };
    let (mut bed, _) = flooded();
    for memory in [0.5, 0.8, 0.9, 0.99] {
        (0..20).for_each(|_| look(&mut bed, memory));
    }
    let told = drain(&mut bed);
    assert_eq!(told.matches("environment.changed").count(), 1, "{told}");
    assert!(told.contains(r#""level":"critical""#), "{told}");
    // Back where it knows it to be: nothing is left to tell.
    let (mut bed, _) = flooded();
    (0..20).for_each(|_| look(&mut bed, 0.9));
    (0..20).for_each(|_| look(&mut bed, 0.1));
    assert_eq!(drain(&mut bed), "");
}

#[test]
fn a_closed_stdin_is_no_reason_to_stop_reading() {
    let (mut bed, _) = flooded();
    bed.give(Input::SendFailed { incarnation: 1 });
    assert!(bed.machine.wants_line());
    bed.asks("state.get", "{}");
    assert!(bed.sent().is_empty());
    assert!(bed.machine.wants_line());
}

#[test]
fn a_due_checkpoint_does_not_keep_the_loop_busy_while_others_wait() {
    let mut bed = Bed::speaking();
    let tail = format!("{{\"patch\":{{\"a\":\"{}\"}}}}", "x".repeat(100_000));
    bed.asks("state.patch", &tail);
    bed.commit();
    bed.asks("state.patch", r#"{"patch":{"b":1}}"#);
    bed.asks("state.patch", r#"{"patch":{"b":2}}"#);
    // Both run alone now, and the second waits for the first.
    bed.fail(StoreFailureKind::Full);
    bed.pass(Duration::from_secs(100));
    assert_eq!(bed.machine.next_timeout(), None);
    bed.commit();
    bed.commit();
    assert!(bed.ops().any(|op| matches!(op, Op::Checkpoint(_))));
    // But for the line that systemd shows, which tells the new version later.
    assert_eq!(bed.machine.next_timeout(), bed.machine.announce_at());
}

#[test]
fn a_long_tail_brings_one_checkpoint() {
    let mut bed = Bed::speaking();
    let tail = format!("{{\"patch\":{{\"a\":\"{}\"}}}}", "x".repeat(1 << 20));
    bed.asks("state.patch", &tail);
    let checkpoints = |bed: &Bed| bed.ops().filter(|op| matches!(op, Op::Checkpoint(_))).count();
    assert_eq!(checkpoints(&bed), 1);
    bed.pass(Duration::from_secs(1));
    assert_eq!(checkpoints(&bed), 1);
    bed.commit();
    assert!(bed.units.is_empty());
}

#[test]
fn refusals_need_no_state_and_wait_for_none() {
    let mut bed = Bed::started(setup(), &Boot::default());
    bed.spawned();
    bed.says(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    // Behind the record of the start, which needs the state.
    assert!(bed.sent().is_empty());
    bed.give(Input::Restored(Box::new(empty())));
    bed.commit();
    assert!(bed.sent().contains("-32602"));
}

#[test]
fn before_initialize_nothing_is_said_to_the_agent() {
    let mut bed = Bed::running();
    bed.give(Input::Overlong { incarnation: 1 });
    bed.says(r#"{"jsonrpc":"2.0","id":1,"method":"state.get"}"#);
    assert!(bed.effects.iter().any(|effect| matches!(effect, Effect::PassLine)));
    bed.says(r#"{"jsonrpc":"2.0","id":1,"method":"#);
    bed.operator(1, "state.patch", r#"{"patch":{"a":1}}"#);
    bed.commit();
    assert!(bed.sent().is_empty());
    bed.initialize();
    assert!(bed.effects.iter().any(|effect| matches!(effect, Effect::OpenWire { .. })));
    bed.give(Input::Overlong { incarnation: 1 });
    assert!(bed.sent().contains(r#""max_frame":1048576"#));
}

#[test]
fn initialize_is_checked_in_order() {
    let mut bed = Bed::running();
    let initialize = |protocol: &str, token: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocol":{protocol},"token":"{token}","client":{{"name":"x"}}}}}}"#
        )
    };
    bed.says(&initialize("[1]", "wrong"));
    assert!(bed.sent().contains(r#""code":1002"#));
    bed.says(&initialize("[2]", super::super::testbed::TOKEN));
    assert!(bed.sent().contains(r#""code":1001"#) && bed.sent().contains(r#""supported":[1]"#));
    bed.says(&initialize("[9,1]", super::super::testbed::TOKEN));
    assert!(bed.sent().contains(r#""protocol":1"#));
    bed.says(&initialize("[1]", super::super::testbed::TOKEN));
    assert!(bed.sent().contains(r#""code":1003"#));
}

#[test]
fn late_news_of_an_old_incarnation_changes_nothing() {
    let mut bed = Bed::speaking();
    bed.ends(Exit::Code(1));
    bed.commit();
    bed.pass(Duration::from_millis(500));
    bed.spawned();
    bed.commit();
    let line = br#"{"jsonrpc":"2.0","id":1,"method":"state.set","params":{"value":{}}}"#;
    bed.give(Input::Line { incarnation: 1, line });
    assert!(matches!(bed.effects[..], [Effect::PassLine]));
    bed.give(Input::Exited { incarnation: 1, exit: Exit::Code(1), oom: None });
    bed.give(Input::Drained { incarnation: 1, output: Vec::new() });
    bed.give(Input::SendFailed { incarnation: 1 });
    bed.give(Input::Sent { incarnation: 1, bytes: 10 });
    bed.give(Input::Overlong { incarnation: 1 });
    assert!(bed.effects.is_empty() && matches!(bed.machine.phase, Phase::Running));
}

#[test]
fn without_an_agent_a_request_is_done_the_same_way() {
    let boot = Boot { origin: DataOrigin::Kept, ..Boot::default() };
    let mut bed = Bed::started(setup(), &boot);
    bed.machine = Machine::detached(setup(), &boot, bed.now);
    bed.give(Input::Restored(Box::new(empty())));
    bed.operator(0, "state.patch", r#"{"patch":{"a":1}}"#);
    assert!(bed.replies().is_empty());
    bed.commit();
    assert!(bed.replies()[0].contains(r#""result":{"version":1}"#));
    bed.operator(0, "checkpoint.restore", r#"{"id":4}"#);
    let found = |op: &Op| match op {
        Op::LoadCheckpoint(_) => {
            let info = super::super::testbed::checkpoint(4, 0);
            Some(super::super::io::Answer::Loaded(Some((info, Node::empty_object()))))
        }
        _ => None,
    };
    bed.commit_with(found);
    assert!(!bed.units.is_empty(), "it waits for no agent");
    bed.commit();
    assert!(bed.replies()[0].contains(r#""result":{"version":2}"#));
    assert_eq!(bed.machine.next_timeout(), None);
}
