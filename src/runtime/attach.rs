//! One `adrt attach`: the same loop over the same store, for a client that
//! started adrt and speaks on its stdin and stdout.
//!
//! The order is that of a run: the lock, the database, what a killed adrt may
//! have left of its agent. Nothing is spawned, so nothing is reaped, and the
//! service manager is the client's business.

use nix::unistd::{getpid, getppid};

use super::driver::Agent;
use super::relay;
use super::run::{
    Beside, Ends, FLUSH_PATIENCE, RunError, drive, hold, kill_left_over, open, parts, place,
    read_rules, sensors, system,
};
use crate::output::Sink;
use crate::process::cgroup::Watch;
use crate::process::kin;
use crate::process::reap::Reaper;
use crate::process::sweep;
use crate::settings::Settings;
use crate::signals::Signals;
use crate::store::home::Home;
use crate::store::lock::HolderKind;
use crate::supervisor::io::{Boot, Outcome, Verdict};
use crate::systemd::Notifier;

/// Serves the program that started adrt until it is done.
///
/// # Errors
/// What kept it from beginning; see [`RunError`].
pub fn attach(settings: &Settings) -> Result<Verdict, RunError> {
    let rules = read_rules(settings)?;
    let home = place(settings)?;
    let held = hold(settings, &home, HolderKind::Attach)?;
    let sensors = sensors(settings);
    let (store, boot) = open(settings, &home)?;
    if held.is_some() {
        refuse_left_over(&home, &boot)?;
        kill_left_over(&home, &boot);
    }
    let signals = Signals::install().map_err(system("signal handlers"))?;
    let (lock, control) = held.unzip();
    let stderr = Sink::stderr().map_err(system("output thread"))?;
    let (client, written) = relay::take().map_err(system("the wire on stdin and stdout"))?;
    let token = settings.attached.clone().unwrap_or_default();
    let ends = Ends {
        agent: Agent::Attached { client: Some(client), token },
        reaper: Reaper::new(),
        memory: Watch::default(),
        notifier: Notifier::disabled(),
        text: stderr.clone(),
        stderr,
    };
    let beside = Beside { sensors, rules };
    let verdict = drive(parts(settings, control, (store, boot), signals, ends, beside)?)?;
    // The last answers may take as long as the client takes to read them, and
    // who attaches next need not wait for that.
    drop(lock);
    let patience = match verdict.outcome {
        Outcome::Done => settings.stop_timeout,
        Outcome::Stopped
        | Outcome::GaveUp
        | Outcome::Fatal
        | Outcome::AgentFailed(_)
        | Outcome::ExecFailed(_)
        | Outcome::StoreFailed => FLUSH_PATIENCE.min(settings.stop_timeout),
    };
    written.wait(patience);
    Ok(verdict)
}

/// An old incarnation, whose `adrt run` was killed, does not become the new one.
fn refuse_left_over(home: &Home, boot: &Boot) -> Result<(), RunError> {
    let note = home.kin_path();
    let is_left = |pid: i32| {
        boot.orphan.as_ref().is_some_and(|orphan| sweep::is_orphan(orphan, pid))
            || kin::is_noted(&note, pid)
    };
    match [getpid().as_raw(), getppid().as_raw()].into_iter().any(is_left) {
        true => Err(RunError::LeftOver),
        false => Ok(()),
    }
}
