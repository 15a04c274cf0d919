//! What happens in the world, one thing at a time.

use std::time::Duration;

use adrt::supervisor::io::{GroupSignal, Input, Request as SignalRequest};
use adrt::supervisor::machine::Machine;

use super::request::Request;
use super::store::Disk;
use super::world::World;

/// Writes that are tried, a second apart, until one goes through.
const WRITES_TRIED: usize = 4;
/// Nobody waits for longer than this for something to be looked up.
const SETTLES_IN: Duration = Duration::from_secs(6);
/// More than there is to be acked in one life.
const ACKS_MAX: usize = 400;
/// Operators that ask at a time.
const OPERATORS: u64 = 3;

impl World {
    fn operator_acts(&mut self) {
        let waiting = self.checks.waiting_operators();
        if waiting.len() as u64 >= OPERATORS || (!waiting.is_empty() && self.rng.u8(0..3) == 0) {
            let conn = waiting[self.rng.usize(0..waiting.len())];
            self.checks.operator_gone(conn);
            return self.give(Input::OperatorGone { conn });
        }
        let known = self.known(true);
        let request = self.script.of_operator(&mut self.rng, &known);
        self.ask(&request);
    }

    pub fn ask(&mut self, request: &Request) {
        self.conns += 1;
        let (conn, line) = (self.conns, request.line(None));
        self.asks(request);
        self.checks.operator(conn, request);
        self.give(Input::Operator { conn, uid: 0, line: &line });
    }

    pub fn signal(&mut self, request: SignalRequest) {
        match request {
            SignalRequest::Stop | SignalRequest::HangUp => self.checks.stop_asked(),
            SignalRequest::Quit => {
                self.checks.stop_asked();
                self.checks.pulse.quit = true;
            }
            SignalRequest::Checkpoint | SignalRequest::Reload => {}
        }
        self.give(Input::Signal { request, who: "a signal" });
        let run = &self.checks.run;
        // A state that can't be read ends the run by itself, as a failure.
        let told = run.stopping_told || run.restore_failed || self.is_over();
        assert!(!run.stop_asked || told, "nobody is told of the stop");
    }

    /// One thing happens.
    pub fn step(&mut self) {
        if self.machine.is_none() || self.is_over() {
            self.pass_up_to(5000);
            return self.boot();
        }
        match self.rng.u16(0..1000) {
            0..4 => self.crash(),
            4..7 => self.signal(SignalRequest::Stop),
            7 if self.rng.bool() => self.signal(SignalRequest::HangUp),
            7 => self.signal(SignalRequest::Quit),
            8..14 => self.signal(SignalRequest::Checkpoint),
            14..16 => self.signal(SignalRequest::Reload),
            16..30 => self.disk_changes(),
            30..36 => self.settle(),
            36..90 => self.operator_acts(),
            90..200 => self.some_time(),
            200..230 => self.report_spawn(true),
            230..240 => drop(self.source_reads()),
            240..244 => self.agent_writes(),
            244 => self.both_stand_still(),
            245..249 => self.sensors_look(),
            249 => self.rules_change(),
            250..260 => drop(self.post_answers(false)),
            260..430 if self.store.has_work() => self.store.turn(&mut self.rng),
            430..600 => drop(self.hear_store()),
            600..650 => drop(self.report_end()),
            650..820 => drop(self.deliver_line()),
            _ => self.agent_acts(),
        }
    }

    /// Everything that is owed is done, by a disk that is well, and nothing
    /// new is asked for: then nobody may be left without an answer.
    pub fn settle(&mut self) {
        self.trace.note(|| "settling".into());
        self.store.disk = Disk::Well;
        let odds = std::mem::take(&mut self.store.odds);
        let until = self.mono + SETTLES_IN;
        loop {
            while !self.is_over() && self.do_what_is_owed() {}
            if self.is_over() {
                break;
            }
            let next = self.machine.as_ref().and_then(Machine::next_timeout);
            if next.is_none_or(|at| at > until) {
                break;
            }
            self.next_deadline();
        }
        if !self.is_over() {
            let machine = self.machine.as_ref().unwrap();
            self.checks.settled(&self.store.durable, machine.environment_level());
            let deadline = machine.next_timeout();
            assert!(self.agent.is_some() || deadline.is_some(), "it waits for ever");
        }
        self.writes_go_through();
        if !self.is_over() && !self.checks.run.is_ending() {
            while !self.is_over() && self.do_what_is_owed() {}
            self.checks.work_flows(&self.store.durable.work);
        }
        self.store.odds = odds;
    }

    /// An agent that acks all it is given, and asks for more in no other way,
    /// comes to the end of it.
    pub fn work_is_done(&mut self) {
        self.store.disk = Disk::Well;
        let odds = std::mem::take(&mut self.store.odds);
        for _ in 0..ACKS_MAX {
            while !self.is_over() && self.do_what_is_owed() {}
            if self.is_over() {
                break;
            }
            let known = self.known(false);
            let Some(agent) = self.agent.as_mut().filter(|agent| agent.is_alive()) else { break };
            let Some(request) = self.script.diligent(&mut self.rng, &known) else { break };
            agent.says(request);
        }
        self.settle();
        self.store.odds = odds;
    }

    /// On a disk that is well, whatever it was before, and under the budget,
    /// however full the file was: what is asked for is done.
    fn writes_go_through(&mut self) {
        for _ in 0..WRITES_TRIED {
            if self.is_over() || self.checks.run.is_ending() {
                return;
            }
            let request = self.script.plain_patch();
            self.ask(&request);
            while !self.is_over() && self.do_what_is_owed() {}
            if self.checks.told.refusal.is_none() {
                return;
            }
            self.pass(Duration::from_secs(1));
            self.give(Input::Tick);
        }
        assert!(self.is_over(), "a disk that is well takes no writes");
    }

    /// One thing that the world owes the machine, in a fixed order.
    pub fn do_what_is_owed(&mut self) -> bool {
        if self.spawning.is_some() {
            self.report_spawn(false);
            return true;
        }
        if self.rules_wanted {
            self.rules_are_read();
            return true;
        }
        if self.hear_store() {
            return true;
        }
        if self.store.has_work() {
            self.store.turn(&mut self.rng);
            return true;
        }
        let Some(agent) = &mut self.agent else { return self.post_answers(true) };
        if agent.is_alive() && !agent.stdin_closed && agent.unread > 0 {
            let (incarnation, bytes) = (agent.incarnation, agent.read_all());
            self.sent(incarnation, bytes);
            return true;
        }
        self.client_reads() || self.deliver_line() || self.report_end() || self.post_answers(true)
    }

    /// The agent goes if it would; without a shutdown it stays.
    pub fn let_leave(&mut self) -> bool {
        let Some(agent) = self.agent.as_mut().filter(|a| a.is_alive() && a.would_leave()) else {
            return false;
        };
        agent.signal(GroupSignal::Kill, &mut self.rng);
        true
    }
}
