//! `adrt stop` and `adrt restart`: asking a running adrt, and waiting for it.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use serde::Deserialize;

use super::failure::{Failure, Kind};
use super::json::Object;
use super::text::span;
use super::{Context, DONE, agent, client, quantity};
use crate::clock::{self, Mono};
use crate::store::home::Home;
use crate::store::lock::Holder;

/// How often a look at the lock or the status is repeated. Neither can be
/// waited for, and a person takes this for at once.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// From here on a person is told that it takes time.
const PATIENCE: Duration = Duration::from_secs(1);

/// Stop a running agent, and its adrt
///
/// The agent is asked to end, then told to, then killed, all within the
/// --stop-timeout of its run. A last checkpoint is taken. The program that
/// started an adrt attach is asked and let go of, never killed. An agent that
/// does not run is left as it is.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt stop
  adrt stop night-watch --wait 2m")]
pub struct StopArgs {
    /// Which agent
    pub agent: Option<String>,
    /// How long to wait for its end; 0 only asks
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = quantity::duration)]
    pub wait: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Start a running agent's process anew
///
/// As in a stop, but adrt stays and starts the agent at once, with the state
/// it has. An agent in its back-off delay is started without waiting for the
/// rest of it. One that is attached is not adrt's to start.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt restart
  adrt restart night-watch --json")]
pub struct RestartArgs {
    /// Which agent
    pub agent: Option<String>,
    /// How long to wait for its new start; 0 only asks
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = quantity::duration)]
    pub wait: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs `stop`.
///
/// # Errors
/// It can't be asked, or does not end in time.
pub fn stop(args: &StopArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let name = home.agent();
    let Some(holder) = client::running(&home) else {
        return tell(context, args.json, &home, "stopped", false, || {
            format!("{name} is not running")
        });
    };
    client::ask_running(&home, &holder, "stop")?;
    if args.wait.is_zero() {
        return tell(context, args.json, &home, "stopped", false, || format!("{name} is stopping"));
    }
    let gone = wait_for(args.wait, &format!("stopping {name}"), || {
        client::running(&home).is_none_or(|now| now.pid != holder.pid).then_some(())
    });
    if gone.is_none() {
        return Err(Failure::new(Kind::Failed, format!("{name} has not ended yet"))
            .why(format!("process {} still holds it after {}", holder.pid, span(args.wait)))
            .hint(format!(
                "adrt status {name}; a second SIGTERM to {} kills at once",
                holder.pid
            )));
    }
    tell(context, args.json, &home, "stopped", true, || format!("{name} stopped"))
}

/// Says how it went. `was_running`: whether there was something to end.
fn tell(
    context: &Context,
    json: bool,
    home: &Home,
    member: &str,
    done: bool,
    sentence: impl FnOnce() -> String,
) -> Result<u8, Failure> {
    if json {
        context
            .out
            .json(&Object::new().text("agent", home.agent()).number(member, done).finish())?;
    } else {
        context.out.line(&sentence())?;
    }
    Ok(DONE)
}

/// What of the status tells one process from the next.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Process {
    incarnation: u64,
    pid: Option<i64>,
    phase: String,
}

impl Process {
    /// It is another one than before: it runs, or it ran and ended at once.
    fn follows(&self, before: &Self) -> bool {
        self.incarnation > before.incarnation && (self.pid.is_some() || self.phase == "backoff")
    }
}

/// Runs `restart`.
///
/// # Errors
/// It does not run, can't be asked, or does not come back in time.
pub fn restart(args: &RestartArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let name = home.agent();
    let Some(holder) = client::running(&home) else {
        return Err(Failure::new(Kind::Failed, format!("{name} is not running"))
            .why("no adrt holds it")
            .hint("start it: adrt run -- CMD, or systemctl start of its unit"));
    };
    let before = process(&home, &holder)?;
    client::ask_running(&home, &holder, "restart")?;
    if args.wait.is_zero() {
        return tell(context, args.json, &home, "restarted", false, || {
            format!("{name} is restarting")
        });
    }
    let found = wait_for(args.wait, &format!("restarting {name}"), || {
        if client::running(&home).is_none() {
            return Some(None);
        }
        let now = process(&home, &holder).ok()?;
        now.follows(&before).then_some(Some(now))
    });
    match found {
        Some(Some(Process { pid: None, incarnation, .. })) => {
            Err(Failure::new(Kind::Failed, format!("{name} was started and ended again"))
                .why(format!("incarnation {incarnation} did not last; the next one waits"))
                .hint(format!("adrt crashes show {name}")))
        }
        Some(Some(now)) => {
            let pid = now.pid.unwrap_or_default();
            if args.json {
                let text = Object::new()
                    .text("agent", name)
                    .number("restarted", true)
                    .number("incarnation", now.incarnation)
                    .number("pid", pid);
                context.out.json(&text.finish())?;
            } else {
                let number = now.incarnation;
                context.out.line(&format!("{name} runs again: incarnation {number}, pid {pid}"))?;
            }
            Ok(DONE)
        }
        Some(None) => Err(Failure::new(Kind::Failed, format!("{name} did not come back"))
            .why("its adrt ended meanwhile")
            .hint(format!("adrt crashes list {name}, or the log of its unit"))),
        None => Err(Failure::new(Kind::Failed, format!("{name} does not run again yet"))
            .why(format!("{} have passed", span(args.wait)))
            .hint(format!("adrt status {name}"))),
    }
}

fn process(home: &Home, holder: &Holder) -> Result<Process, Failure> {
    client::parse(&client::status(home, holder)?)
}

/// Looks until there is something to see, at most so long; on a terminal
/// tells that it takes time.
fn wait_for<T>(patience: Duration, doing: &str, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = clock::mono();
    let mut progress = Progress::new(doing);
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        let waited = clock::mono().since(begun);
        if waited >= patience {
            return None;
        }
        progress.show(begun);
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A line on a terminal's stderr that is written over, and wiped in the end.
struct Progress<'a> {
    doing: &'a str,
    shown: Option<u64>,
    terminal: bool,
}

impl<'a> Progress<'a> {
    fn new(doing: &'a str) -> Self {
        Self { doing, shown: None, terminal: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, begun: Mono) {
        let waited = clock::mono().since(begun);
        if !self.terminal || waited < PATIENCE || self.shown == Some(waited.as_secs()) {
            return;
        }
        self.shown = Some(waited.as_secs());
        let _ = write!(std::io::stderr().lock(), "\r{} … {} s", self.doing, waited.as_secs());
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K");
        }
    }
}
