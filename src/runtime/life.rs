//! Processes that begin and end, and the signals that tell of it.

use std::sync::Arc;

use super::child::Child;
use super::driver::{Agent, Begun, Driver};
use crate::process::reap::Ended;
use crate::process::terminal;
use crate::signals::Signal;
use crate::supervisor::io::{
    Exit, GroupSignal, Incarnation, Input, ProcessIdentity, Request, SpawnFailure,
};

impl Driver {
    pub(super) fn signalled(&mut self) {
        // Down to the end, or the loop would not be woken again; what is left
        // to be told is in the counters behind the pipe.
        while matches!(self.wake.try_read(&mut [0; 64]), Ok(1..)) {}
        let signals: Vec<Signal> = self.signals.pending().collect();
        for signal in signals {
            match signal {
                Signal::Terminate | Signal::Interrupt | Signal::Quit => {
                    self.handle(Input::Signal(Request::Stop));
                }
                Signal::HangUp if self.had_terminal => self.handle(Input::Signal(Request::Stop)),
                Signal::HangUp => self.handle(Input::Signal(Request::Reload)),
                Signal::User1 => self.handle(Input::Signal(Request::Checkpoint)),
                Signal::Child => {
                    for ended in self.reaper.reap() {
                        self.ended(ended);
                    }
                }
            }
        }
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
        let made = outcome.and_then(|begun| {
            let (process, child) = match begun {
                Begun::Spawned(spawned) => (
                    spawned.process.clone(),
                    Child::new(incarnation, spawned, self.max_frame, &self.text, &self.stderr),
                ),
                Begun::Attached(client) => (
                    ProcessIdentity::attached(client.pid),
                    Child::attached(incarnation, client, self.max_frame),
                ),
            };
            child.map(|child| (process, child)).map_err(|e| SpawnFailure::System(e.to_string()))
        });
        match made {
            Err(failure) => self.handle(Input::SpawnFailed { incarnation, failure }),
            Ok((process, child)) => {
                let pid = child.pid;
                self.child = Some(child);
                self.handle(Input::Spawned { incarnation, process, token });
                if let Some(place) = self.early_ends.iter().position(|e| Some(e.pid) == pid) {
                    let ended = self.early_ends.swap_remove(place);
                    self.ended(ended);
                }
            }
        }
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
            // Ctrl-C reached the agent's group alone; it was meant for the run.
            if matches!(ended.exit, Exit::Signal { signal: nix::libc::SIGINT, .. }) {
                self.handle(Input::Signal(Request::Stop));
            }
        }
        self.handle(Input::Exited { incarnation, exit: ended.exit, oom: false });
    }
}

/// What `initialize` must show: 128 bits that nobody can guess.
fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
