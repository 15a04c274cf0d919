//! The machine in a simulated world, seed by seed.
//!
//! The machine reads no clock and no file, so a world made of a random
//! generator, a virtual clock, a scripted agent and a model of the disk shows
//! it years of bad luck in seconds. Each seed is a life of one agent: runs of
//! adrt that are stopped, finish, or are killed at any moment, over a disk
//! that fills up, fails, hangs, or leaves it open whether it wrote.
//!
//! `checks` says what must hold after every single transition. A failure
//! prints its seed and what happened last; `ADRT_SEED=n cargo test --test sim`
//! runs that one alone, `ADRT_SIM_SEEDS=1000000` so many of them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod agent;
mod answers;
mod checks;
mod decisions;
mod durable;
mod errands;
mod hands;
mod lessons;
mod model;
mod outside;
mod pulse;
mod request;
mod rulings;
mod run;
mod setup;
mod side;
mod steps;
mod store;
mod trace;
mod unit;
mod work;
mod world;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use adrt::supervisor::io::Request;
use store::Disk;
use trace::Trace;
use world::World;

/// Seeds in an ordinary run of the tests.
const SEEDS: u64 = 600;
/// Things that happen in one life, at most.
const STEPS: usize = 700;
/// Failed seeds after which it is enough.
const FAILURES_SHOWN: usize = 10;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_promise_holds_in_every_world() {
    let seeds = match from_environment("ADRT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_environment("ADRT_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let mut failed: Vec<(u64, String)> = Vec::new();
    for seed in seeds {
        if let Err(panic) = catch_unwind(|| live(seed, Trace::off())) {
            failed.push((seed, words(&*panic)));
        }
        if failed.len() == FAILURES_SHOWN {
            break;
        }
    }
    if let Some((seed, _)) = failed.first() {
        let list: Vec<String> =
            failed.iter().map(|(seed, words)| format!("ADRT_SEED={seed}: {words}")).collect();
        panic!("{}\n\nseed {seed}:\n{}", list.join("\n"), told_again(*seed));
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").into()
}

/// Runs a seed that failed once more, to tell how it came to that.
fn told_again(seed: u64) -> String {
    let trace = Trace::on();
    let again = catch_unwind(AssertUnwindSafe(|| live(seed, trace.clone())));
    let note = if again.is_ok() { "\n(it passed this time: it is not deterministic)" } else { "" };
    trace.text() + note
}

/// One life, from the first start to an end in order.
fn live(seed: u64, trace: Trace) {
    let mut world = World::new(seed, trace);
    world.boot();
    for _ in 0..world.rng.usize(20..STEPS) {
        world.step();
    }
    if world.machine.is_none() || world.is_over() {
        world.boot();
    }
    world.work_is_done();
    if world.is_over() {
        world.boot();
    }
    world.silence_is_noticed();
    if world.is_over() {
        world.boot();
    }
    bring_to_an_end(&mut world);
}

/// Somebody asks it to stop. Within the time that was set it has: whether the
/// agent obeys or not, and whether the disk answers or not.
fn bring_to_an_end(world: &mut World) {
    world.store.disk = if world.rng.u8(0..3) == 0 { Disk::Hung } else { Disk::Well };
    let disk = world.store.disk;
    world.trace.note(|| format!("brought to an end with disk {disk:?}"));
    let stopped = world.mono;
    world.signal(Request::Stop);
    if world.rng.u8(0..4) == 0 {
        world.signal(Request::Stop);
    }
    while !world.is_over() {
        if world.do_what_is_owed() || world.let_leave() {
            continue;
        }
        assert!(world.next_deadline(), "nothing is owed and there is no deadline");
    }
    let most = world.setup.stop_timeout * 2 + Duration::from_secs(1);
    assert!(world.mono.since(stopped) <= most, "the stop took {:?}", world.mono.since(stopped));
}
