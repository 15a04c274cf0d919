//! Processes that begin and end, and the signals that tell of it.

use std::sync::Arc;

use nix::libc;

use super::alerts::{self, Alerts};
use super::child::{Child, End};
use super::driver::{Agent, Begun, Driver};
use super::sources;
use crate::clock;
use crate::output::Stream;
use crate::process::reap::{Ended, Halt};
use crate::process::terminal;
use crate::signals::{Received, Sender, Signal};
use crate::supervisor::exit::SHELL_SIGNAL_BASE;
use crate::supervisor::io::{
    Exit, GroupSignal, Incarnation, Input, Level, Outcome, ProcessIdentity, Request, SpawnFailure,
};

impl Driver {
    pub(super) fn signalled(&mut self) {
        // Down to the end, or the loop would not be woken again; what is left
        // to be told is in the counters behind the pipe.
        while matches!(self.wake.try_read(&mut [0; 64]), Ok(1..)) {}
        for received in self.signals.pending() {
            match received.signal {
                Signal::Terminate | Signal::Interrupt => self.asked(Request::Stop, received),
                Signal::Quit => self.asked(Request::Quit, received),
                Signal::HangUp if self.terminal_went_away(received.sender) => {
                    self.asked(Request::HangUp, received);
                }
                Signal::HangUp => self.asked(Request::Reload, received),
                Signal::User1 => self.asked(Request::Checkpoint, received),
                Signal::Suspend => self.stand_still(Halt::Suspended, false),
                Signal::Child => {
                    for ended in self.reaper.reap() {
                        self.ended(ended);
                    }
                    self.helpers_ended();
                    self.look_for_halt();
                }
            }
        }
    }

    pub(super) fn asked(&mut self, request: Request, received: Received) {
        self.handle(Input::Signal { request, who: &received.to_string() });
    }

    pub(super) fn spawn(&mut self, incarnation: Incarnation) {
        let (spawner, command) = match &mut self.agent {
            Agent::Command { spawner, command } => (spawner, command),
            Agent::Attached { client, token } => {
                let begun = client.take().map(Begun::Attached);
                let gone = || SpawnFailure::System("the client was attached before".to_owned());
                let report = (incarnation, token.clone(), begun.ok_or_else(gone));
                let _loop_is_here = self.spawn_sender.send(report);
                return;
            }
        };
        let token = match new_token() {
            Ok(token) => token,
            Err(error) => {
                let failure = SpawnFailure::System(format!("no random numbers: {error}"));
                let _loop_is_here =
                    self.spawn_sender.send((incarnation, String::new(), Err(failure)));
                return;
            }
        };
        let (template, shown) = (Arc::clone(command), token.clone());
        let make = move || {
            let made = template.command(incarnation, &shown);
            made.map_err(|fault| SpawnFailure::System(fault.to_string()))
        };
        self.memory.begin();
        // Those were not waited for.
        self.early_ends.clear();
        let report = self.spawn_sender.clone();
        spawner.spawn_made(make, move |outcome| {
            let _loop_is_gone = report.send((incarnation, token, outcome.map(Begun::Spawned)));
        });
    }

    pub(super) fn spawn_reported(
        &mut self,
        incarnation: Incarnation,
        token: String,
        outcome: Result<Begun, SpawnFailure>,
    ) {
        match outcome.and_then(|begun| self.take_over(incarnation, begun)) {
            Err(failure) => self.handle(Input::SpawnFailed { incarnation, failure }),
            Ok((process, child)) => {
                let pid = child.pid;
                self.note_begin(&child);
                self.whose(Some(incarnation));
                self.child = Some(child);
                self.handle(Input::Spawned { incarnation, process, token });
                if let Some(place) = self.early_ends.iter().position(|e| Some(e.pid) == pid) {
                    let ended = self.early_ends.swap_remove(place);
                    self.ended(ended);
                }
                // It may have wanted the terminal before this was known of it.
                self.look_for_halt();
            }
        }
    }

    /// Takes over what has begun. A process that can't be is not left to itself:
    /// the next one would not be alone.
    fn take_over(
        &self,
        incarnation: Incarnation,
        begun: Begun,
    ) -> Result<(ProcessIdentity, Child), SpawnFailure> {
        let (process, child) = match begun {
            Begun::Spawned(spawned) => {
                let (process, has_terminal) = (spawned.process.clone(), spawned.has_terminal);
                let sinks = (&self.text, &self.stderr);
                let child = Child::new(incarnation, spawned, self.max_frame, sinks, &self.log);
                if child.is_err() {
                    // Of its end nobody needs to know.
                    let _ended = self.reaper.kill_group(process.pid, GroupSignal::Kill);
                    if has_terminal {
                        terminal::give_back_terminal();
                    }
                }
                (process, child)
            }
            Begun::Attached(client) => (
                ProcessIdentity::attached(client.pid),
                Child::attached(incarnation, client, self.max_frame, &self.log),
            ),
        };
        match child {
            Ok(child) => Ok((process, child)),
            Err(error) => Err(SpawnFailure::System(error.to_string())),
        }
    }

    /// That it is there is no news for who watches adrt's stderr, but a log
    /// without it could not be read.
    fn note_begin(&self, child: &Child) {
        self.log.begin(child.incarnation);
        let begun = match child.pid {
            Some(pid) => format!("incarnation {} started, pid {pid}", child.incarnation),
            None => format!("a client has attached itself, incarnation {}", child.incarnation),
        };
        self.log.line(Stream::Adrt, &begun);
    }

    /// Whose text it is that comes from now on.
    pub(super) fn whose(&self, incarnation: Option<Incarnation>) {
        self.text.whose(incarnation);
        self.stderr.whose(incarnation);
    }

    pub(super) fn signal_child(&mut self, incarnation: Incarnation, signal: GroupSignal) {
        let child = self.child.as_ref().filter(|child| child.incarnation == incarnation);
        if let Some(pid) = child.and_then(|child| child.pid) {
            // It may have ended this moment; then wait's report is on its way.
            let _ended = self.reaper.kill_group(pid, signal);
        }
    }

    pub(super) fn ended(&mut self, ended: Ended) {
        let Some(child) = self.child.as_mut().filter(|child| child.pid == Some(ended.pid)) else {
            self.early_ends.push(ended);
            return;
        };
        child.ended();
        let incarnation = child.incarnation;
        if child.has_terminal {
            terminal::give_back_terminal();
            if let Some(signal) = meant_for_the_run(ended.exit) {
                self.asked(Request::HangUp, Received { signal, sender: Sender::Kernel });
            }
        }
        let oom = self.memory.end();
        self.handle(Input::Exited { incarnation, exit: ended.exit, oom });
    }

    /// Looks whether the kernel has killed any of a live agent's processes.
    pub(super) fn look_at_memory(&mut self) {
        let Some(child) = self.child.as_ref().filter(|child| matches!(child.end, End::None)) else {
            return;
        };
        let incarnation = child.incarnation;
        if let Some(oom) = self.memory.look() {
            self.handle(Input::KilledForMemory { incarnation, oom });
        }
    }
}

// ------------------------------------------------------------- --on-alert

impl Driver {
    pub(super) fn alert_happened(&mut self, event: alerts::Event) {
        let complaint = self.alerts.happened(event, &self.reaper);
        self.complain(complaint);
    }

    fn helpers_ended(&mut self) {
        for helper in self.reaper.ended_helpers() {
            let complaint = self.alerts.ended(helper);
            self.complain(complaint);
        }
    }

    fn complain(&self, complaint: Option<String>) {
        if let Some(complaint) = complaint {
            self.say(Level::Warning, complaint);
        }
    }

    /// Lets the last alerts get out, for a short while; not at all any more
    /// once somebody wants adrt to be gone.
    pub(super) async fn last_alerts(&mut self, outcome: Outcome) {
        let stopped = matches!(outcome, Outcome::Stopped);
        let deadline = clock::mono() + Alerts::patience(stopped);
        while self.alerts.is_busy() {
            let left = deadline.since(clock::mono());
            tokio::select! {
                _ = self.wake.readable() => {
                    while matches!(self.wake.try_read(&mut [0; 64]), Ok(1..)) {}
                    let received = self.signals.pending();
                    let asked = received.iter().any(|received| match received.signal {
                        Signal::Terminate
                        | Signal::Interrupt
                        | Signal::Quit
                        | Signal::HangUp => true,
                        Signal::User1 | Signal::Suspend | Signal::Child => false,
                    });
                    self.reaper.reap();
                    self.helpers_ended();
                    if !asked { continue; }
                }
                event = self.alerts.next() => {
                    self.alert_happened(event);
                    continue;
                }
                () = sources::tick(self.watchdog.as_mut()) => {
                    self.manager.watchdog();
                    continue;
                }
                () = sources::after(Some(left)) => {}
            }
            let complaint = self.alerts.give_up(&self.reaper);
            return self.complain(complaint);
        }
    }
}

/// The key that was pressed, or the terminal that went away, as it reached an
/// agent's group alone. Shells, and what follows their custom, say it by a code.
fn meant_for_the_run(exit: Exit) -> Option<Signal> {
    match exit.shell_code() - SHELL_SIGNAL_BASE {
        libc::SIGINT => Some(Signal::Interrupt),
        libc::SIGQUIT => Some(Signal::Quit),
        libc::SIGHUP => Some(Signal::HangUp),
        _ => None,
    }
}

/// What `initialize` must show: 128 bits that nobody can guess.
fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
