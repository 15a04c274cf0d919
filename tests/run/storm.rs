//! A campaign of kills: one agent that notes in a diary outside adrt what it
//! does, and is killed within its work again and again.
//!
//! The script of the agent says what its lines mean; each begins a life with
//! `P pid` and ends every line with a dot (see `agents/diary.py`).

use std::path::PathBuf;
use std::time::Duration;

use crate::support::{Run, World, beside, python_script, wait_for};

/// Gives the seed of a campaign that failed.
const SEED: &str = "ADRT_TEST_SEED";
/// So many microseconds after what was waited for somebody is killed, at most.
const MICROSECONDS_MAX: u64 = 1500;
/// The end of a line in the diary.
pub const END: &str = " .";

/// Agents of a campaign are back at once.
pub const QUICK: [&str; 5] =
    ["--no-python-client", "--backoff-initial", "1ms", "--backoff-max", "5ms"];

/// A world with one agent, and its diary.
pub struct Storm {
    pub world: World,
    pub diary: PathBuf,
    script: &'static str,
    /// An agent is killed within so many lines of its diary: before its
    /// greeting, amid its first batch, or later.
    lines_max: usize,
    seed: u64,
}

impl Storm {
    pub fn new(what: &str, script: &'static str, lines_max: usize) -> Self {
        let given = std::env::var(SEED).ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| fastrand::u64(..));
        println!("kills of {what}: {SEED}={seed}");
        let world = World::new();
        let diary = world.file("diary", "");
        Self { world, diary, script, lines_max, seed }
    }

    pub fn rng(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }

    pub fn run(&self) -> Run {
        let mut argv = python_script(beside(self.script));
        argv.push(self.diary.clone().into());
        self.world.run(&QUICK, argv)
    }

    /// What was noted so far.
    pub fn noted(&self) -> String {
        std::fs::read_to_string(&self.diary).unwrap()
    }

    /// Waits for the next agent, then for some of its life; its process.
    pub fn next_victim(&self, run: &mut Run, seen: &mut usize, rng: &mut fastrand::Rng) -> i32 {
        let lines = if rng.u8(..4) == 0 { 0 } else { rng.usize(..self.lines_max) };
        let victim = self.agent(run, seen, lines);
        a_moment(rng);
        victim
    }

    /// Waits until another one has begun its life with so many lines.
    pub fn agent(&self, run: &mut Run, seen: &mut usize, lines: usize) -> i32 {
        wait_for("some work of a new agent", || {
            assert!(run.is_running(), "adrt ended by itself: {}", run.stderr.text());
            let diary = self.noted();
            let (before, life) = diary.rsplit_once("\nP ")?;
            let (pid, work) = life.split_once(END)?;
            (before.len() >= *seen && work.matches(END).count() >= lines).then(|| {
                *seen = before.len() + 1;
                pid.parse().unwrap()
            })
        })
    }
}

/// Lets a random moment pass.
pub fn a_moment(rng: &mut fastrand::Rng) {
    std::thread::sleep(Duration::from_micros(rng.u64(..MICROSECONDS_MAX)));
}
