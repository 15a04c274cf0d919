//! What an agent that dies as soon as it is started costs a small device, per
//! minute: processor time of who restarts it, and of all of it.
//!
//! adrt with its usual delays, beside a bare loop of `wait` and `spawn`, and
//! beside supervisord where one is installed (its usual `startsecs`, but
//! without an end to its attempts). One after the other, a minute each. The
//! agent is this program, which exits with 1 at once, and so costs as little
//! as a process can: a Python one costs twenty times as much, each time.
//!
//! Goal: adrt burns at most 1 % of one processor; in that, every crash is
//! written to its ledger, fsync included.
//!
//! `cargo bench --bench crash_loop`, or `-- SECONDS` for another span.

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::fs;
use std::io;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use support::lab::{Lab, Run, own_path};
use support::report::Report;
use support::supervisord::{self, Starts};

/// So long each of them is watched.
const WATCHED: Duration = Duration::from_secs(60);

/// The floor: no delay, no record, nothing.
fn wait_and_spawn(command: &[String]) -> io::Result<()> {
    let [program, words @ ..] = command else { return Ok(()) };
    loop {
        Command::new(program).args(words).spawn()?.wait()?;
    }
}

/// What one of them cost.
struct Cost {
    /// Processor time of the one that restarts, in seconds.
    own: f64,
    /// The same of all that it started and waited for.
    children: f64,
    /// Starts of the agent.
    starts: f64,
}

/// Watches a command for so long. The agent adds a byte to `tally` each time.
fn watch(mut command: Command, tally: &std::path::Path, watched: Duration) -> io::Result<Cost> {
    fs::write(tally, [])?;
    let mut run = Run(command.stderr(Stdio::null()).spawn()?);
    sleep(watched);
    let cost = cost(run.pid(), tally)?;
    run.stop()?;
    Ok(cost)
}

/// Fields 14 to 17 of proc(5)'s stat: user and system time, of itself and of
/// the children it has waited for.
fn cost(pid: i32, tally: &std::path::Path) -> io::Result<Cost> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(4).flat_map(str::parse).collect();
    let [user, system, children_user, children_system] = ticks[..] else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.unwrap_or(100) as f64;
    Ok(Cost {
        own: (user + system) / second,
        children: (children_user + children_system) / second,
        starts: fs::metadata(tally)?.len() as f64,
    })
}

fn tell(report: &mut Report, name: &str, cost: &Cost) {
    report.number(&format!("{name}_starts"), cost.starts, "");
    report.number(&format!("{name}_own"), cost.own, "s");
    report.number(&format!("{name}_all"), cost.own + cost.children, "s");
}

fn run(watched: Duration) -> io::Result<()> {
    let lab = Lab::new()?;
    let tally = lab.path("tally");
    let own = own_path()?.to_string_lossy().into_owned();
    let agent = [own.clone(), "--die".into(), tally.to_string_lossy().into_owned()];
    let mut report = Report::new("crash_loop");

    let mut command = lab.adrt_run("agent", &[]);
    command.arg("--").args(&agent);
    let adrt = watch(command, &tally, watched)?;
    tell(&mut report, "adrt", &adrt);

    let mut command = lab.bare(own.as_ref());
    command.arg("--loop").args(&agent);
    let bare = watch(command, &tally, watched)?;
    tell(&mut report, "bare", &bare);

    match supervisord::installed() {
        Some(path) => {
            let command = supervisord::command(&lab, &path, "agent", &agent, Starts::AfterASecond)?;
            tell(&mut report, "supervisord", &watch(command, &tally, watched)?);
        }
        None => println!("supervisord is not installed: not compared"),
    }
    let share = 100.0 * adrt.own / watched.as_secs_f64();
    report.number("adrt_to_bare", (adrt.own + adrt.children) / (bare.own + bare.children), "");
    report.at_most("adrt_cpu", share, "%", 1.0);
    report.finish();
    Ok(())
}

/// The agent: it was started, and that was all.
fn die(tally: &str) -> io::Result<ExitCode> {
    use std::io::Write as _;
    fs::OpenOptions::new().append(true).open(tally)?.write_all(b"x")?;
    Ok(ExitCode::FAILURE)
}

fn main() -> io::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, tally] if role == "--die" => return die(tally),
        [role, command @ ..] if role == "--loop" => wait_and_spawn(command)?,
        words => {
            let seconds = words.iter().find_map(|word| word.parse().ok());
            run(seconds.map_or(WATCHED, Duration::from_secs))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
