//! `adrt stop`, `adrt restart` and `adrt reload`: asking a running adrt, and
//! waiting for it.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use serde::Deserialize;

use super::failure::{Failure, Kind};
use super::json::Object;
use super::status::Rules;
use super::text::{counted, span};
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

/// Have a running agent's rules read again
///
/// The file of run --rules, or the table rules of --config; nothing else is
/// read again. If it makes no sense it is refused as a whole, with line and
/// column, and decisions go on by the rules there were. SIGHUP does the same.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt reload
  adrt reload night-watch --json")]
pub struct ReloadArgs {
    /// Which agent
    pub agent: Option<String>,
    /// How long to wait until they are read; 0 only asks
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = quantity::duration)]
    pub wait: Duration,
    /// Print {agent, reloaded, own}
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

/// What of the status tells whether the rules were read again.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ruled {
    rules: Option<Rules>,
}

/// Runs `reload`.
///
/// # Errors
/// It does not run, can't be asked, has no rules file, or there is a mistake
/// in it.
pub fn reload(args: &ReloadArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let name = home.agent();
    let holder = holder(&home)?;
    let rules =
        || client::parse::<Ruled>(&client::status(&home, &holder)?).map(|ruled| ruled.rules);
    let Some(before) = rules()? else {
        return Err(Failure::new(Kind::Failed, format!("{name} has no rules to read again"))
            .why("it was started without a file of rules")
            .hint("adrt run --rules FILE; adrt-rules(5) says what is in it"));
    };
    client::ask_running(&home, &holder, "reload")?;
    if args.wait.is_zero() {
        return tell(context, args.json, &home, "reloaded", false, || {
            format!("{name} is reading its rules")
        });
    }
    let read = wait_for(args.wait, &format!("reading the rules of {name}"), || {
        rules().ok().flatten().filter(|now| now.reloads > before.reloads)
    });
    match read {
        Some(Rules { trouble: Some(trouble), .. }) => {
            Err(Failure::new(Kind::Config, format!("the rules of {name} stay as they were"))
                .why(trouble)
                .hint(format!("mend the file, then adrt reload {name}")))
        }
        Some(Rules { own, trouble: None, .. }) => {
            if args.json {
                let text = Object::new().text("agent", name).number("reloaded", true);
                context.out.json(&text.number("own", own).finish())?;
            } else {
                let rules = counted(own, "rule");
                context.out.line(&format!("{name} goes by {rules} of its own now"))?;
            }
            Ok(DONE)
        }
        None => Err(Failure::new(Kind::Failed, format!("the rules of {name} are not read yet"))
            .why(format!("{} have passed", span(args.wait)))
            .hint("is the disk of the file hanging? they come into force once it is read")),
    }
}

fn holder(home: &Home) -> Result<Holder, Failure> {
    client::running(home).ok_or_else(|| {
        Failure::new(Kind::Failed, format!("{} is not running", home.agent()))
            .why("no adrt run holds it")
            .hint("start it: adrt run -- CMD, or systemctl start of its unit")
    })
}

/// Runs `restart`.
///
/// # Errors
/// It does not run, can't be asked, or does not come back in time.
pub fn restart(args: &RestartArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let name = home.agent();
    let holder = holder(&home)?;
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
