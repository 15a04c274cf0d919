//! One writer: of two supervisors that start at once, one wins.

use crate::support::{Done, Run, World, wait_for};

/// Starts of two at once.
const ROUNDS: usize = 50;

#[test]
fn of_two_at_once_exactly_one_wins() {
    let world = World::new();
    world.file("starts", "");
    for round in 1..=ROUNDS {
        let start =
            || world.run_shell(&["--no-python-client"], "echo $$ >> starts; exec sleep 1000");
        let mut rivals = [start(), start()];
        let lost =
            wait_for("one to lose", || rivals.iter_mut().position(|rival| !rival.is_running()));
        let [first, second] = rivals;
        let (loser, mut winner) = if lost == 0 { (first, second) } else { (second, first) };
        refused(loser.done(), &winner);
        wait_for("the winner's agent", || {
            assert!(winner.is_running(), "{}", winner.stderr.text());
            (starts(&world) >= round).then_some(())
        });
        assert_eq!(starts(&world), round, "one agent a round");
        let done = winner.stop();
        assert_eq!(done.code, Some(0), "{done:?}");
    }
}

fn refused(loser: Done, winner: &Run) {
    assert_eq!(loser.code, Some(75), "{loser:?}");
    let holder = winner.pid().to_string();
    let names_it = loser.stderr.split(|c: char| !c.is_ascii_digit()).any(|word| word == holder);
    assert!(names_it, "not the holder's pid {holder}: {loser:?}");
}

fn starts(world: &World) -> usize {
    std::fs::read_to_string(world.path("starts")).unwrap().lines().count()
}

#[test]
fn agents_of_other_names_do_not_mind() {
    let world = World::new();
    let run = world.run_shell(&[], "echo one; exec sleep 1000");
    run.stdout.wait_for("one\n");
    let other = Done::of(world.adrt(["run", "-n", "b", "--", "echo", "two"]));
    assert_eq!((other.code, &other.stdout[..]), (Some(0), &b"two\n"[..]), "{other:?}");
    refused(world.run_shell(&[], "echo three").done(), &run);
}
