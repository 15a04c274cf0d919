//! From the SIGKILL of an agent to the first instruction of its successor's
//! `main`, with no delay asked for (`--backoff-initial 0ms`); the record of
//! the crash is written meanwhile.
//!
//! The floor is a loop of `wait` and `spawn` of the standard library, without
//! pipes or anything else, which restarts the same program. Both take turns.
//! Goal: at most 1.4 times the floor's median; 1.2 is aimed at.
//!
//! The same for a Python agent: from SIGKILL to the moment it has its state
//! back, against the same loop around `python3` that runs its first line.
//! Goal: at most 10 ms more.
//!
//! supervisord restarts the same program in the same run where it is
//! installed, with its delay switched off (`startsecs=0`).
//!
//! `cargo bench --bench restart`

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use support::lab::{Lab, Link, Run, Talk, own_path};
use support::report::{Report, median, share};
use support::supervisord::{self, Starts};

const TURNS: usize = 20;
const IN_A_TURN: usize = 15;
const PYTHON_IN_A_TURN: usize = 4;
/// It takes its time.
const SUPERVISORD_TURNS: usize = 20;
const WARM_UP: usize = 5;

/// Reports when it came to be, and waits for its end.
fn born(link: &str) -> io::Result<()> {
    let at = support::nanos();
    let mut talk = Talk::to(link)?;
    talk.say(&format!("{at} {}", std::process::id()))?;
    talk.hear().map(drop)
}

const PYTHON_BARE: &str = r#"
import time
at = time.monotonic_ns()
import os, socket, sys
"#;

const PYTHON_AGENT: &str = r#"
import time
from adaptive_runtime import Agent
agent = Agent()
count = agent.state.get("count", 0)
at = time.monotonic_ns()
import os, socket, sys
if count == 0:
    agent.patch({"count": 1})
"#;

const PYTHON_REPORT: &str = r#"
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
link.sendall(b"%d %d\n" % (at, os.getpid()))
link.recv(1)
"#;

/// The floor.
fn wait_and_spawn(command: &[String]) -> io::Result<()> {
    let [program, words @ ..] = command else { return Ok(()) };
    loop {
        Command::new(program).args(words).spawn()?.wait()?;
    }
}

/// Somebody who restarts, and the agent that reports.
struct Restarter {
    _run: Run,
    link: Link,
    talk: Talk,
    victim: Pid,
    spans: Vec<f64>,
}

impl Restarter {
    fn new(mut command: Command, link: Link) -> io::Result<Self> {
        let run = Run(command.stderr(Stdio::null()).spawn()?);
        let mut talk = link.accept()?;
        let (_, victim) = heard(&mut talk)?;
        Ok(Self { _run: run, link, talk, victim, spans: Vec::new() })
    }

    fn kill(&mut self, times: usize) -> io::Result<()> {
        for _ in 0..times {
            let begin = support::nanos();
            kill(self.victim, Signal::SIGKILL)?;
            self.talk = self.link.accept()?;
            let (at, victim) = heard(&mut self.talk)?;
            self.victim = victim;
            self.spans.push((at - begin as f64) / 1e3);
        }
        Ok(())
    }
}

fn heard(talk: &mut Talk) -> io::Result<(f64, Pid)> {
    match talk.hear_numbers()?[..] {
        [at, pid] => Ok((at, Pid::from_raw(pid as i32))),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// By adrt, and by the loop; each with its link for the agent's last word.
fn pair(lab: &Lab, name: &str, commands: [Vec<OsString>; 2]) -> io::Result<[Restarter; 2]> {
    let [ours, bare] = commands;
    let link = lab.link(name)?;
    let mut command = lab.adrt_run(name, &["--backoff-initial", "0ms"]);
    command.arg("--").args(ours).arg(&link.path);
    let adrt = Restarter::new(command, link)?;
    let link = lab.link(&format!("{name}-bare"))?;
    let mut command = lab.bare(own_path()?.as_ref());
    command.arg("--loop").args(bare).arg(&link.path);
    Ok([adrt, Restarter::new(command, link)?])
}

/// Under supervisord, if there is one.
fn by_supervisord(lab: &Lab) -> io::Result<Option<Restarter>> {
    let Some(supervisord) = supervisord::installed() else { return Ok(None) };
    let link = lab.link("supervisord")?;
    let own = own_path()?.to_string_lossy().into_owned();
    let words = [own, "--born".into(), link.path.to_string_lossy().into_owned()];
    let command = supervisord::command(lab, &supervisord, "restart", &words, Starts::AtOnce)?;
    let mut restarter = Restarter::new(command, link)?;
    restarter.kill(SUPERVISORD_TURNS)?;
    Ok(Some(restarter))
}

fn take_turns(pair: &mut [Restarter; 2], times: usize) -> io::Result<()> {
    for restarter in pair.iter_mut() {
        restarter.kill(WARM_UP)?;
        restarter.spans.clear();
    }
    for _ in 0..TURNS {
        for restarter in pair.iter_mut() {
            restarter.kill(times)?;
        }
    }
    Ok(())
}

fn run() -> io::Result<()> {
    let lab = Lab::new()?;
    let own = vec![own_path()?, "--born".into()];
    let mut compiled = pair(&lab, "compiled", [own.clone(), own])?;
    take_turns(&mut compiled, IN_A_TURN)?;

    let supervisord = by_supervisord(&lab)?;

    let scripts = [("agent.py", PYTHON_AGENT), ("bare.py", PYTHON_BARE)];
    let mut commands = [Vec::new(), Vec::new()];
    for ((name, text), command) in scripts.iter().zip(&mut commands) {
        let path = lab.path(name);
        std::fs::write(&path, format!("{text}{PYTHON_REPORT}"))?;
        *command = vec!["python3".into(), path.into()];
    }
    let mut python = pair(&lab, "python", commands)?;
    take_turns(&mut python, PYTHON_IN_A_TURN)?;

    let mut report = Report::new("restart");
    let [adrt, bare] = &compiled;
    report.number("bare_p50", median(&bare.spans), "us");
    report.number("adrt_p50", median(&adrt.spans), "us");
    report.number("adrt_p90", share(&adrt.spans, 0.9), "us");
    report.at_most("ratio_p50", median(&adrt.spans) / median(&bare.spans), "", 1.4);
    match &supervisord {
        Some(other) => report.number("supervisord_p50", median(&other.spans), "us"),
        None => println!("supervisord is not installed: not compared"),
    }
    let [adrt, bare] = &python;
    let (adrt, bare) = (median(&adrt.spans) / 1e3, median(&bare.spans) / 1e3);
    report.number("python_bare_p50", bare, "ms");
    report.number("python_state_p50", adrt, "ms");
    report.at_most("python_added", adrt - bare, "ms", 10.0);
    report.finish();
    Ok(())
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, link] if role == "--born" => born(link),
        [role, command @ ..] if role == "--loop" => wait_and_spawn(command),
        _ => run(),
    }
}
