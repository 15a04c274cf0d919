//! From a spawn to the end of an incarnation, and what follows.
//!
//! The record of a start is written while the process starts, and the record
//! of an end while the next one does: neither holds up the agent. That is
//! safe because nothing is answered before its commit, and the greeting of an
//! incarnation stands behind its own record in the queue.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::attached;
use super::cause::{DownSince, StartCause, StartReason};
use super::exit::{self, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, signal_name};
use super::io::{
    Effect, Exit, ExitClass, Incarnation, IncarnationEnd, IncarnationStart, Level, Occasion, Oom,
    Outcome, ProcessIdentity, SpawnFailure,
};
use super::leaving::{Stopping, Why};
use super::machine::{Delay, Live, Machine, Phase, Readiness, Wire};
use super::outbox::Outbox;
use super::pulse::Pulse;
use super::queue::{Origin, Own, Work};
use super::restart::{CRASH_LOOP, Ended, Next};
use super::setup::OnCrashLoop;
use super::status::millis;
use crate::clock::{Mono, span};
use crate::protocol::message::{Request, Restore};

/// A delay's time left is written down in so many steps: often enough that a
/// crash of adrt wastes little of it, seldom enough for a storage card.
const DELAY_NOTES: u32 = 4;
/// And no oftener than this.
const DELAY_NOTE_MIN: Duration = Duration::from_millis(100);

/// An incarnation that has ended, with all it ever wrote.
#[derive(Debug)]
pub(super) struct Settled {
    pub incarnation: Incarnation,
    pub class: ExitClass,
    pub exit: Option<Exit>,
    pub uptime: Duration,
    pub summary: String,
    pub output: Vec<u8>,
    /// Why it was made to end, if it was.
    pub why: Option<Why>,
    /// Who had asked for that, in words.
    pub asked_by: Option<String>,
    /// What adrt's own exit code is, where the command could not be executed.
    pub exec_code: Option<i32>,
}

impl Machine {
    /// Starts the next incarnation.
    pub(super) fn spawn(&mut self) {
        self.incarnation += 1;
        self.starts += 1;
        self.restarts.set_delay_left(None);
        self.set_phase(Phase::Starting);
        self.out.push(Effect::Spawn { incarnation: self.incarnation });
    }

    pub(super) fn spawned(
        &mut self,
        incarnation: Incarnation,
        process: ProcessIdentity,
        token: String,
    ) {
        if incarnation != self.incarnation || !matches!(self.phase, Phase::Starting) {
            return;
        }
        self.record_begin(process.clone());
        if self.ready == Readiness::Pending(None) {
            self.ready = Readiness::Pending(Some(self.now.mono + self.setup.ready_timeout));
        }
        let (reason, pid) = (self.cause.reason.as_str(), process.pid);
        let fields = json!({"agent_pid": pid, "reason": reason});
        let line = format!("agent started: incarnation {incarnation} ({reason}), process {pid}");
        self.log_with(Occasion::Started, Level::Debug, line, &fields);
        self.live = Some(Live {
            incarnation,
            process,
            token,
            started: self.now.mono,
            downtime: self.cause.downtime(self.now),
            wire: Wire::Closed,
            greeted: false,
            outbox: Outbox::default(),
            leaving: None,
            finished: false,
            eof: None,
            said: None,
            subscription: None,
            subscribed: None,
            leases: BTreeMap::new(),
            pulse: Pulse::begun(self.now.mono),
            hung: None,
            checkpoint_every: None,
        });
        self.set_phase(Phase::Running);
        if let Some(at_once) = self.stopping.as_ref().map(|stopping| stopping.at_once) {
            self.begin_leaving(Why::Stop);
            if at_once {
                self.kill();
            }
        } else if !self.after_leaving.is_empty() {
            self.begin_leaving(Why::Restore);
        }
    }

    /// The ledger's first half of the row.
    fn record_begin(&mut self, process: ProcessIdentity) {
        let start = IncarnationStart {
            incarnation: self.incarnation,
            run_id: self.setup.run_id.clone(),
            reason: self.cause.reason.as_str().into(),
            process,
            release: self.setup.release.clone(),
        };
        self.write_own(Own::Begin(start));
    }

    pub(super) fn spawn_failed(&mut self, incarnation: Incarnation, failure: SpawnFailure) {
        if incarnation != self.incarnation || !matches!(self.phase, Phase::Starting) {
            return;
        }
        let (summary, code) = match failure {
            SpawnFailure::NotFound(what) => (what, Some(EXIT_NOT_FOUND)),
            SpawnFailure::NotExecutable(what) => (what, Some(EXIT_NOT_EXECUTABLE)),
            SpawnFailure::System(what) => (what, None),
        };
        self.record_begin(ProcessIdentity::default());
        self.settle_when_restored(Settled {
            incarnation,
            class: ExitClass::ExecFailed,
            exit: None,
            uptime: Duration::ZERO,
            summary,
            output: Vec::new(),
            why: None,
            asked_by: None,
            // A command that has run before is being replaced, or its disk is
            // away for a moment: later failures are waited out like crashes.
            exec_code: code.filter(|_| self.starts == 1),
        });
    }

    pub(super) fn exited(&mut self, incarnation: Incarnation, exit: Exit, oom: Option<Oom>) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        let Some(live) = self.live.as_mut().filter(|live| live.incarnation == incarnation) else {
            return;
        };
        // Nobody is left to read: a full outbox must not keep its last lines
        // from being taken.
        live.outbox.close();
        self.set_phase(Phase::Draining { exit, oom });
    }

    pub(super) fn drained(&mut self, incarnation: Incarnation, output: Vec<u8>) {
        let Phase::Draining { exit, oom } = self.phase else { return };
        if !self.is_live(incarnation) {
            return;
        }
        let Some(live) = self.live.take() else { return };
        let why = live.leaving.as_ref().map(|leaving| leaving.why);
        let class = classify(exit, oom.is_some(), why, live.finished);
        // How an attached client ends, wait does not tell.
        let attached = self.setup.attached;
        let asked_by = self.asker(class);
        let summary = match &asked_by {
            _ if attached => attached::summary(&live, class),
            Some(who) => format!("stopped by {who}, {exit}"),
            None => summary(exit, class, oom, live.hung.as_deref()),
        };
        if let Some(oom) = oom.filter(|_| class != ExitClass::OutOfMemory) {
            self.tell_lost_to_memory(oom);
        }
        self.settle_when_restored(Settled {
            incarnation,
            class,
            exit: (!attached).then_some(exit),
            uptime: self.now.mono.since(live.started),
            summary,
            output,
            why,
            asked_by,
            exec_code: None,
        });
    }

    /// The kernel killed some of its processes for memory, and it lives on.
    pub(super) fn lost_to_memory(&mut self, incarnation: Incarnation, oom: Oom) {
        if self.is_live(incarnation) && matches!(self.phase, Phase::Running) {
            self.tell_lost_to_memory(oom);
        }
    }

    fn tell_lost_to_memory(&mut self, oom: Oom) {
        let what = match oom.count {
            1 => "a process".to_owned(),
            count => format!("{count} processes"),
        };
        let message = format!("the kernel killed {what} of the agent's: out of memory{oom}");
        self.log(Level::Warning, message);
    }

    /// Who asked for an end that was asked for.
    fn asker(&self, class: ExitClass) -> Option<String> {
        if class != ExitClass::Stopped {
            return None;
        }
        let stop = self.stopping.as_ref().map(|stopping| stopping.who.clone());
        stop.or_else(|| self.asked_by.clone())
    }

    fn settle_when_restored(&mut self, settled: Settled) {
        if self.store_dead.is_some() {
            self.die_of_store();
        } else if self.book.is_some() || self.stopping.is_some() {
            self.settle(settled);
        } else {
            self.set_phase(Phase::Settling(Box::new(settled)));
        }
    }

    /// Goes on from *Settling*.
    pub(super) fn settle_waiting(&mut self) {
        if matches!(self.phase, Phase::Settling(_))
            && let Phase::Settling(settled) = std::mem::replace(&mut self.phase, Phase::Starting)
        {
            self.settle(*settled);
        }
    }

    /// Decides what follows, and writes the end and the decision down.
    fn settle(&mut self, mut settled: Settled) {
        self.ready_or_not();
        settled.why = self.asked_for(settled.why);
        self.note_poison(settled.class);
        self.counters.ended(settled.class);
        let next = self.decide(&settled);
        let (next, rollback) = self.consider_loop(next);
        let (backoff, backoff_why) = match &next {
            Next::Start { delay, why } => (Some(*delay), why.clone()),
            Next::End { why, .. } => (None, why.clone()),
        };
        self.cause = StartCause {
            reason: match rollback {
                Some(_) => StartReason::Rollback,
                None => self.next_reason(&settled),
            },
            exit: settled.exit,
            oom: settled.class == ExitClass::OutOfMemory,
            down_since: DownSince::Mono(self.now.mono),
        };
        self.restarts.set_delay_left(backoff.filter(|delay| !delay.is_zero()));
        self.report_end(&settled, &next);
        let says_all = settled.asked_by.is_some() || settled.exec_code.is_some();
        let end = IncarnationEnd {
            incarnation: settled.incarnation,
            class: settled.class,
            exit: settled.exit,
            summary: settled.summary.clone(),
            uptime: settled.uptime,
            version: 0,
            output: settled.output,
            backoff,
            backoff_why,
            held: Vec::new(),
            steps: Vec::new(),
            asked_by: settled.asked_by,
        };
        self.write_own(Own::Ended(Box::new(end)));
        for (origin, work) in std::mem::take(&mut self.after_leaving) {
            self.queue.push(origin, work);
        }
        if let Some(checkpoint) = rollback {
            self.roll_back(checkpoint);
        }
        match next {
            Next::Start { delay, .. } if delay.is_zero() => self.spawn(),
            Next::Start { delay, .. } => self.wait(delay),
            // Who stopped it, or why it can't be executed, stands in its summary.
            Next::End { outcome, .. } if says_all => {
                self.close(outcome, settled.summary, String::new());
            }
            Next::End { outcome, why } => self.close(outcome, settled.summary, why),
        }
    }

    /// The weightiest of what the agent was made to end for and what was
    /// asked for after its end.
    fn asked_for(&mut self, why: Option<Why>) -> Option<Why> {
        let restore = (!self.after_leaving.is_empty()).then_some(Why::Restore);
        let restart = std::mem::take(&mut self.restart_asked).then_some(Why::Operator);
        [why, restore, restart].into_iter().flatten().max()
    }

    /// The agent has died too often over an event, which is given up: that is
    /// a new beginning, not one more crash of a loop.
    fn note_poison(&mut self, class: ExitClass) {
        let most = self.setup.events.max_attempts;
        let Some(book) = self.book.as_ref().filter(|_| class.is_crash()) else { return };
        let dead = book.doc.agenda.inbox.would_bury(most);
        if dead.is_empty() {
            return;
        }
        let list: Vec<String> = dead.iter().map(u64::to_string).collect();
        self.restarts.progress();
        self.log_as(
            Occasion::DeadLetter,
            Level::Error,
            format!(
                "event {} is given up: the agent died {most} times over it (--max-attempts); \
                 adrt events list --dead shows it",
                list.join(", ")
            ),
        );
    }

    fn decide(&mut self, settled: &Settled) -> Next {
        if let Some(Stopping { who, .. }) = &self.stopping {
            let why = format!("{who} asked for it");
            return Next::End { outcome: Outcome::Stopped, why };
        }
        if let Some(code) = settled.exec_code {
            let why = "a command that can't be executed at its first start ends the run".into();
            return Next::End { outcome: Outcome::ExecFailed(code), why };
        }
        if self.setup.attached {
            return attached::after(settled);
        }
        match settled.why {
            Some(Why::Operator | Why::Restore) => {
                self.restarts.forget();
                let who = self.asked_by.take();
                let who = who.as_deref().unwrap_or("an operator");
                Next::Start { delay: Duration::ZERO, why: format!("{who} asked for it") }
            }
            Some(Why::Stop | Why::StoreLost | Why::Hang) | None => {
                let Settled { class, exit, uptime, .. } = *settled;
                let checkpoint = self.book.as_ref().and_then(|book| book.doc.checkpoint);
                let checkpoint = checkpoint.map(|(id, _)| id);
                let ended = Ended { class, exit, uptime, age: self.age(), checkpoint };
                self.restarts.after(ended, &mut self.rng)
            }
        }
    }

    /// What a crash loop leads to: the end of the run, or the way back to a
    /// checkpoint of before it.
    fn consider_loop(&mut self, next: Next) -> (Next, Option<u64>) {
        if !self.restarts.is_loop() || !matches!(next, Next::Start { .. }) {
            return (next, None);
        }
        match self.setup.on_crash_loop {
            OnCrashLoop::Continue => (next, None),
            OnCrashLoop::Rollback => {
                let checkpoint = self.restarts.take_rollback();
                (next, checkpoint)
            }
            OnCrashLoop::Stop => {
                let why = format!("{CRASH_LOOP} crashes in a row (--on-crash-loop stop)");
                (Next::End { outcome: Outcome::GaveUp, why }, None)
            }
        }
    }

    /// The state becomes, once per loop, what it was before the loop; the
    /// journal keeps what it goes back from.
    fn roll_back(&mut self, checkpoint: u64) {
        self.log(
            Level::Warning,
            format!("a crash loop: going back to checkpoint {checkpoint} (--on-crash-loop)"),
        );
        let restore = Restore {
            id: Some(checkpoint),
            label: None,
            if_version: None,
            reopen_events: false,
            key: None,
        };
        self.queue.push(Origin::Own, Work::Request(Request::CheckpointRestore(restore)));
    }

    fn next_reason(&self, settled: &Settled) -> StartReason {
        match (settled.why, settled.class) {
            (Some(Why::Operator), _) => StartReason::Operator,
            (Some(Why::Restore), _) => StartReason::Rollback,
            (_, ExitClass::Hang) => StartReason::Hang,
            (_, ExitClass::Done | ExitClass::Finished) => StartReason::Restart,
            (_, ExitClass::Stopped | ExitClass::StoreLost | ExitClass::Lost) => StartReason::Resume,
            (
                _,
                ExitClass::Failed
                | ExitClass::Signal
                | ExitClass::OutOfMemory
                | ExitClass::ExecFailed,
            ) => StartReason::Crash,
        }
    }

    fn occasion_of_end(&self, class: ExitClass, next: &Next) -> Occasion {
        let goes_on = matches!(next, Next::Start { .. });
        if !class.is_crash() {
            Occasion::Ended
        } else if !goes_on && self.stopping.is_none() {
            Occasion::GaveUp
        } else if self.restarts.is_loop() || self.restarts.is_unstable(self.age()) {
            Occasion::CrashLoop
        } else {
            Occasion::Crashed
        }
    }

    fn report_end(&mut self, settled: &Settled, next: &Next) {
        let Settled { summary, uptime, class, .. } = settled;
        if settled.exec_code.is_some() {
            // The verdict says all of it.
            return;
        }
        let occasion = self.occasion_of_end(*class, next);
        let level = match occasion {
            Occasion::GaveUp => Level::Error,
            _ if class.is_crash() => Level::Warning,
            _ => Level::Info,
        };
        let then = match next {
            Next::Start { delay, why } if delay.is_zero() => format!("; starting again ({why})"),
            Next::Start { delay, why } => {
                format!("; starting again in {} ({why})", span(*delay))
            }
            Next::End { why, .. } if class.is_crash() => format!("; not started again: {why}"),
            Next::End { .. } => String::new(),
        };
        let what = if *class == ExitClass::ExecFailed {
            format!("agent not started: {summary}")
        } else {
            format!("agent {summary} after {}", span(*uptime))
        };
        let mut fields = json!({
            "class": class.as_str(),
            "uptime_ms": millis(*uptime),
            "crashes_in_row": self.restarts.crashes_in_row(),
        });
        match settled.exit {
            Some(Exit::Code(code)) => fields["code"] = json!(code),
            Some(Exit::Signal { signal, .. }) => fields["signal"] = json!(signal),
            None => {}
        }
        if let Next::Start { delay, .. } = next {
            fields["backoff_ms"] = json!(millis(*delay));
        }
        self.log_with(occasion, level, format!("{what}{then}"), &fields);
    }

    /// Lets a delay pass before the next start.
    pub(super) fn wait(&mut self, delay: Duration) {
        let now = self.now.mono;
        let (until, step) = (now + delay, (delay / DELAY_NOTES).max(DELAY_NOTE_MIN));
        self.restarts.set_delay_left(Some(delay));
        self.set_phase(Phase::Waiting(Delay { until, note_at: next_note(now, until, step), step }));
    }

    /// Writes down what is left of the delay.
    pub(super) fn note_delay(&mut self, delay: Delay) {
        let left = delay.until.since(self.now.mono);
        self.restarts.set_delay_left(Some(left));
        self.write_own(Own::Restart);
        let note_at = next_note(self.now.mono, delay.until, delay.step);
        self.phase = Phase::Waiting(Delay { note_at, ..delay });
    }

    /// The end of an incarnation that nobody saw: adrt itself had died.
    pub(super) fn record_lost(&mut self, incarnation: Incarnation, process: &ProcessIdentity) {
        let summary = if process.is_attached() {
            "was attached when adrt itself ended"
        } else {
            "ended along with adrt itself"
        };
        let end = IncarnationEnd {
            incarnation,
            class: ExitClass::Lost,
            exit: None,
            summary: summary.into(),
            uptime: Duration::ZERO,
            version: 0,
            output: Vec::new(),
            backoff: None,
            backoff_why: "adrt was started anew".into(),
            held: Vec::new(),
            steps: Vec::new(),
            asked_by: None,
        };
        self.write_own(Own::Ended(Box::new(end)));
    }

    /// It acked an event or completed a step.
    pub(super) fn got_on(&mut self) {
        if self.restarts.counts() {
            self.restarts.progress();
            self.write_own(Own::Restart);
        }
    }

    /// It has lived long enough: what came before is not counted any more.
    pub(super) fn note_progress(&mut self) {
        if self.progress_at().is_some_and(|at| at <= self.now.mono) {
            self.restarts.progress();
            self.write_own(Own::Restart);
        }
    }

    /// When the live incarnation will have lived long enough, if that matters.
    pub(super) fn progress_at(&self) -> Option<Mono> {
        let live = self.live.as_ref().filter(|_| matches!(self.phase, Phase::Running))?;
        self.restarts.counts().then(|| live.started + self.restarts.policy().reset)
    }

    pub(super) fn is_live(&self, incarnation: Incarnation) -> bool {
        self.live.as_ref().is_some_and(|live| live.incarnation == incarnation)
    }
}

/// When the time left of a delay is written down next; at its end, never.
fn next_note(now: Mono, until: Mono, step: Duration) -> Mono {
    let at = now + step;
    // What rounding leaves of the last step is not worth a write.
    if until.since(at) < step / 2 { until } else { at }
}

/// What an end was, from what wait said and what adrt had done.
fn classify(exit: Exit, oom: bool, why: Option<Why>, finished: bool) -> ExitClass {
    match why {
        Some(_) if finished && exit == Exit::Code(0) => ExitClass::Finished,
        Some(Why::Stop | Why::Operator | Why::Restore) => ExitClass::Stopped,
        Some(Why::StoreLost) => ExitClass::StoreLost,
        Some(Why::Hang) => ExitClass::Hang,
        None => exit::classify(exit, finished, oom),
    }
}

fn summary(exit: Exit, class: ExitClass, oom: Option<Oom>, hung: Option<&str>) -> String {
    let how = exit.to_string();
    match class {
        ExitClass::OutOfMemory => {
            let limit = oom.map(|oom| oom.to_string()).unwrap_or_default();
            format!("{how}: out of memory{limit}")
        }
        ExitClass::Hang => match hung {
            Some(why) => format!("{how}: it hung ({why})"),
            None => format!("{how}: it hung"),
        },
        ExitClass::Finished => "finished".into(),
        ExitClass::Failed => match exit {
            Exit::Code(code) => match exit::signal_in_code(code) {
                Some(signal) => format!("{how} (a shell's word for {})", signal_name(signal)),
                None => how,
            },
            Exit::Signal { .. } => how,
        },
        ExitClass::Signal => match exit {
            Exit::Signal { signal, .. } if exit::is_sent(signal) => format!("{how} (not by adrt)"),
            Exit::Signal { .. } | Exit::Code(_) => how,
        },
        ExitClass::Done
        | ExitClass::Stopped
        | ExitClass::StoreLost
        | ExitClass::ExecFailed
        | ExitClass::Lost => how,
    }
}

#[cfg(test)]
mod tests;
