//! An agent's silence: that one with an excuse is never taken for hung, and one
//! without always.

use std::time::Duration;

use adrt::clock::Mono;
use adrt::supervisor::io::Input;
use adrt::supervisor::machine::Machine;

use super::side::Mode;
use super::store::Disk;
use super::world::World;

/// From the end of its time to its end: what adrt itself takes.
const NOTICED_IN: Duration = Duration::from_secs(1);
/// Deadlines on the way there.
const DEADLINES_MAX: usize = 100_000;
/// Excuses on the way there: a timer that goes off again and again may fill a
/// small queue each time, and then adrt does not listen.
const EXCUSES_MAX: usize = 50;

/// What the world knows of its agent's life.
#[derive(Default)]
pub struct Pulse {
    /// Its last sign, or the end of its last excuse.
    pub sign: Mono,
    /// A stop with a trace was asked for.
    pub quit: bool,
}

impl Pulse {
    pub fn hear(&mut self, at: Mono) {
        self.sign = self.sign.max(at);
    }

    /// It is taken for hung.
    pub fn assert_silent(&self, timeout: Option<Duration>, now: Mono) {
        let timeout = timeout.expect("it had no time to be silent for");
        let silent = now.since(self.sign);
        assert!(silent >= timeout, "taken for hung after {silent:?} of {timeout:?}");
    }
}

impl World {
    /// It waits for adrt, or for an event that is not there; or adrt does not
    /// listen.
    pub fn is_excused(&self) -> bool {
        let Some(side) = &self.checks.side else { return true };
        let holds = !side.hands.held.is_empty() || !self.store.durable.work.held.is_empty();
        let asks = side.hands.credit.is_some_and(|credit| credit > 0);
        let waits = asks && !side.deaf && !side.finished;
        let heard = self.machine.as_ref().is_some_and(Machine::wants_line);
        side.asked_to_leave || side.owed() > 0 || (waits && !holds) || !heard
    }

    /// The loop says what it knows of the agent's text, if it is asked.
    pub fn tell_of_output(&mut self) {
        let machine = self.machine.as_ref().unwrap();
        let Some(agent) = self.agent.as_ref().filter(|_| machine.doubts_life()) else { return };
        let (incarnation, wrote, held_up) = (agent.incarnation, agent.wrote, agent.held_up);
        let side = self.checks.side.as_ref();
        let counts = side.is_some_and(|side| side.mode == Mode::Closed);
        for at in wrote.filter(|_| counts).into_iter().chain(held_up) {
            self.checks.pulse.hear(at);
        }
        self.hand(Input::Output { incarnation, wrote, held_up });
    }

    /// It writes text, or finds that nobody takes any.
    pub fn agent_writes(&mut self) {
        let Some(agent) = self.agent.as_mut().filter(|agent| agent.is_alive()) else { return };
        match self.rng.u8(0..4) {
            0 => agent.held_up = Some(self.mono),
            _ => agent.wrote = Some(self.mono),
        }
    }

    /// Ctrl-Z, and `fg` some time after.
    pub fn both_stand_still(&mut self) {
        let span = Duration::from_millis(self.rng.u64(0..60_000));
        if self.is_excused() {
            self.checks.pulse.hear(self.mono);
        }
        self.checks.pulse.sign = self.checks.pulse.sign + span;
        self.pass(span);
        self.give(Input::StoodStill { span });
    }

    /// An agent that says and reads nothing from now on is taken for hung when
    /// its time is over, unless it has an excuse.
    pub fn silence_is_noticed(&mut self) {
        let Some(timeout) = self.setup.hang_timeout.filter(|_| !self.setup.attached) else {
            return;
        };
        self.settle();
        self.store.disk = Disk::Well;
        let odds = std::mem::take(&mut self.store.odds);
        self.trace.note(|| "it falls silent".into());
        let begun = self.mono;
        let (mut excused, mut excuses) = (self.checks.pulse.sign, 0);
        for _ in 0..DEADLINES_MAX {
            if self.hear_store() {
                continue;
            }
            if self.store.has_work() {
                self.store.turn(&mut self.rng);
                continue;
            }
            let there = self.agent.as_ref().is_some_and(|agent| agent.is_alive());
            excuses += usize::from(self.checks.pulse.sign > excused);
            excused = self.checks.pulse.sign;
            if excuses > EXCUSES_MAX
                || self.is_over()
                || !there
                || self.checks.run.hung
                || self.is_excused()
            {
                self.store.odds = odds;
                return;
            }
            let silent = self.mono.since(begun.max(self.checks.pulse.sign));
            assert!(silent < timeout + NOTICED_IN, "silent for {silent:?}, and nobody noticed");
            assert!(self.next_deadline(), "nobody looks after it");
        }
        panic!("it takes too many turns to notice");
    }
}
