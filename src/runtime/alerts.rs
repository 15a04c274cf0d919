//! `--on-alert`: a command of the operator's, run when a person should look.
//!
//! ```text
//!  raise ──► waiting ──► one at a time: spawned, JSON on its stdin ──► ended
//!                                          └─ 30 s later: its group is killed
//! ```
//!
//! It is a child of adrt's, but no agent: its end is nothing to the agent, and
//! the agent's is nothing to it. The loop never waits for it; only at the very
//! end of a run, when nothing else is left to be done, it is given some time.
//! What it prints goes to adrt's stderr.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::sync::mpsc as ends;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::mpsc;

use super::environment;
use super::sources;
use crate::clock::{self, Mono, span};
use crate::output::{SharedRing, Sink, TextPipe};
use crate::process::pipes;
use crate::process::reap::{Ended, Reaper, Roster};
use crate::process::spawn::{self, Child, Spawner, Stdin};
use crate::quiet;
use crate::settings::Settings;
use crate::store::failure::OpenError;
use crate::store::home::Home;
use crate::supervisor::alerts::not_opened;
use crate::supervisor::io::{Alert, AlertKind, Exit, GroupSignal, SpawnFailure};

/// How long a command may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);
/// Alerts that wait for the one before them. A command that hangs holds up the
/// next ones, and there are eight kinds: more than twice of each would be news
/// of long ago. Past it the oldest goes, and is counted.
const WAITING_MAX: usize = 16;
/// How long the last alerts of a run may take …
const END_PATIENCE: Duration = Duration::from_secs(5);
/// … and how long if somebody wants it to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(1);
/// In an agent's directory: the damage that a person was told of, so that they
/// are not told anew by each of a service manager's attempts.
const TOLD_FILE: &str = "alerted";

/// How a start went.
type Report = Result<Child, SpawnFailure>;

/// What there is to do for it.
#[derive(Debug)]
pub enum Event {
    /// It was started, or was not.
    Spawned(Report),
    /// One of its two pipes was read, and may be read again.
    Output {
        /// Which.
        pipe: usize,
        /// There may be more.
        open: bool,
    },
    /// It takes too long.
    Overdue,
}

/// The command, and what it is to be told.
#[derive(Debug)]
pub struct Alerts {
    command: Option<spawn::Command>,
    agent: String,
    roster: Roster,
    /// The thread it is spawned from, from the first alert on.
    spawner: Option<Spawner>,
    reports: mpsc::UnboundedReceiver<Report>,
    report: mpsc::UnboundedSender<Report>,
    waiting: VecDeque<Alert>,
    /// Alerts that had no room, since the last one that was told.
    dropped: u64,
    stage: Stage,
    stderr: Sink,
}

/// How far the present one is.
#[derive(Debug)]
enum Stage {
    /// There is none.
    Idle,
    /// It is being started; it may have ended before that was said.
    Starting { alert: Alert, ended: Vec<Ended> },
    /// It runs.
    Running(Running),
}

#[derive(Debug)]
struct Running {
    kind: AlertKind,
    pid: i32,
    /// None once it was killed.
    deadline: Option<Mono>,
    /// Its stdout and stderr, until it closes them.
    output: [Option<TextPipe>; 2],
}

impl Alerts {
    /// Those of a run; without a command, nobody is told anything.
    pub fn new(settings: &Settings, roster: Roster, stderr: Sink) -> Self {
        let (report, reports) = mpsc::unbounded_channel();
        let command = settings.on_alert.as_ref().map(|line| spawn::Command {
            argv: shell(line),
            env: environment::of_helpers(settings),
            stdin: Stdin::Wire,
            cwd: None,
        });
        Self {
            command,
            agent: settings.agent.clone(),
            roster,
            spawner: None,
            reports,
            report,
            waiting: VecDeque::new(),
            dropped: 0,
            stage: Stage::Idle,
            stderr,
        }
    }

    /// Takes an alert. Never waits.
    pub fn raise(&mut self, alert: Alert) {
        if self.command.is_none() {
            return;
        }
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(alert);
        self.go_on();
    }

    /// Whether anything is still to be told.
    pub fn is_busy(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }

    /// How long the last of them may take, at the end of a run.
    pub const fn patience(stopped: bool) -> Duration {
        if stopped { STOP_PATIENCE } else { END_PATIENCE }
    }

    /// What happens next; may be dropped at any time.
    pub async fn next(&mut self) -> Event {
        let (mut stdout, mut stderr, mut left) = (None, None, None);
        if let Stage::Running(running) = &mut self.stage {
            let [first, second] = &mut running.output;
            (stdout, stderr) = (first.as_mut(), second.as_mut());
            left = running.deadline.map(|at| at.since(clock::mono()));
        }
        tokio::select! {
            Some(report) = self.reports.recv() => Event::Spawned(report),
            open = sources::text(stdout) => Event::Output { pipe: 0, open },
            open = sources::text(stderr) => Event::Output { pipe: 1, open },
            () = sources::after(left) => Event::Overdue,
        }
    }

    /// Does what an event asks for; gives what an operator is to know of it.
    pub fn happened(&mut self, event: Event, reaper: &Reaper) -> Option<String> {
        match event {
            Event::Spawned(report) => self.spawned(report, reaper),
            Event::Output { pipe, open } => {
                if let Stage::Running(running) = &mut self.stage
                    && !open
                {
                    running.output[pipe] = None;
                }
                None
            }
            Event::Overdue => self.kill(reaper),
        }
    }

    /// One of adrt's helpers has ended.
    pub fn ended(&mut self, helper: Ended) -> Option<String> {
        match &mut self.stage {
            Stage::Starting { ended, .. } => ended.push(helper),
            Stage::Running(running) if running.pid == helper.pid => {
                let kind = running.kind;
                for pipe in running.output.iter_mut().filter_map(Option::take) {
                    let _read_what_there_is =
                        pipes::drain(pipe.as_fd(), |bytes| pipe.left_over(bytes));
                }
                self.stage = Stage::Idle;
                self.go_on();
                return complaint(kind, helper.exit);
            }
            Stage::Running(_) | Stage::Idle => {}
        }
        None
    }

    /// No time is left for what is still to be told.
    pub fn give_up(&mut self, reaper: &Reaper) -> Option<String> {
        let waiting = self.waiting.len() + usize::from(self.is_busy());
        self.waiting.clear();
        self.kill(reaper);
        (waiting > 0).then(|| format!("--on-alert took too long: {waiting} alerts were not told"))
    }

    fn kill(&mut self, reaper: &Reaper) -> Option<String> {
        let Stage::Running(running) = &mut self.stage else { return None };
        running.deadline = None;
        // It may have ended this moment; then wait's report is on its way.
        let _ended = reaper.kill_group(running.pid, GroupSignal::Kill);
        let (kind, time) = (running.kind.as_str(), span(COMMAND_PATIENCE));
        Some(format!("--on-alert took longer than {time} over {kind}, and was killed"))
    }

    /// Starts the next one, if none runs.
    fn go_on(&mut self) {
        if self.is_busy() {
            return;
        }
        let (Some(command), Some(mut alert)) = (&self.command, self.waiting.pop_front()) else {
            return;
        };
        if self.dropped > 0 {
            alert.details.push(("dropped", std::mem::take(&mut self.dropped).into()));
        }
        self.stage = Stage::Starting { alert, ended: Vec::new() };
        let spawner = match self.spawner.take() {
            Some(spawner) => Ok(spawner),
            None => Spawner::start(self.roster.clone()),
        };
        let report = self.report.clone();
        match spawner {
            Ok(spawner) => {
                spawner.spawn_helper(command.clone(), move |outcome| {
                    let _loop_is_gone = report.send(outcome);
                });
                self.spawner = Some(spawner);
            }
            Err(error) => {
                let failure = SpawnFailure::System(format!("there is no thread: {error}"));
                let _loop_is_here = report.send(Err(failure));
            }
        }
    }

    fn spawned(&mut self, report: Report, reaper: &Reaper) -> Option<String> {
        let Stage::Starting { alert, ended } = std::mem::replace(&mut self.stage, Stage::Idle)
        else {
            return None;
        };
        let kind = alert.kind;
        match report.map_err(why).and_then(|child| self.tell(&alert, child, reaper)) {
            Ok(running) => {
                let early = ended.into_iter().find(|ended| ended.pid == running.pid);
                self.stage = Stage::Running(running);
                early.and_then(|ended| self.ended(ended))
            }
            Err(why) => {
                self.go_on();
                Some(format!("--on-alert could not be told of {}: {why}", kind.as_str()))
            }
        }
    }

    /// Writes the alert to its stdin, and takes over its pipes. One whose pipes
    /// can't be is killed: nobody would see to its end.
    fn tell(&self, alert: &Alert, child: Child, reaper: &Reaper) -> Result<Running, String> {
        let pid = child.process.pid;
        self.take_over(alert, child).map_err(|error| {
            let _ended = reaper.kill_group(pid, GroupSignal::Kill);
            error.to_string()
        })
    }

    fn take_over(&self, alert: &Alert, child: Child) -> io::Result<Running> {
        if let Some(stdin) = child.stdin {
            // It fits, or the command has closed its stdin: it need not read.
            let _nobody_reads = nix::unistd::write(&stdin, line(alert, &self.agent).as_bytes());
        }
        let pipe = |fd| TextPipe::new(fd, SharedRing::new(), self.stderr.clone());
        Ok(Running {
            kind: alert.kind,
            pid: child.process.pid,
            deadline: Some(clock::mono() + COMMAND_PATIENCE),
            output: [Some(pipe(child.stdout)?), Some(pipe(child.stderr)?)],
        })
    }
}

fn shell(line: &OsString) -> Vec<OsString> {
    vec!["/bin/sh".into(), "-c".into(), line.clone()]
}

fn line(alert: &Alert, agent: &str) -> String {
    let host = nix::unistd::gethostname().ok();
    let host = host.map(|host| host.to_string_lossy().into_owned());
    alert.to_json(agent, host.as_deref()) + "\n"
}

fn why(failure: SpawnFailure) -> String {
    match failure {
        SpawnFailure::NotFound(why)
        | SpawnFailure::NotExecutable(why)
        | SpawnFailure::System(why) => why,
    }
}

fn complaint(kind: AlertKind, exit: Exit) -> Option<String> {
    let kind = kind.as_str();
    (exit != Exit::Code(0)).then(|| format!("--on-alert {exit} over {kind}: nobody may know of it"))
}

/// Tells of a database that can't be opened for damage. Nothing runs yet, so
/// this waits for the command, as long as at the end of a run.
pub fn tell_of_damage(settings: &Settings, home: &Home, error: &OpenError) {
    let Some(command) = &settings.on_alert else { return };
    match error {
        OpenError::Damaged { .. } | OpenError::DamagedTail { .. } => {}
        OpenError::Home(_)
        | OpenError::Newer { .. }
        | OpenError::NotOurs(_)
        | OpenError::Moved { .. }
        | OpenError::Setting { .. }
        | OpenError::Failed(_) => return,
    }
    let (what, told) = (error.to_string(), home.dir.join(TOLD_FILE));
    if fs::read_to_string(&told).is_ok_and(|before| before == what) {
        return;
    }
    let alert = not_opened(AlertKind::Damaged, clock::wall(), &what, &error.hint());
    let outcome = run_at_once(command, settings, &line(&alert, &settings.agent));
    match outcome {
        Ok(Exit::Code(0)) => {
            // If that can't be kept, they are told twice.
            let _kept = fs::write(&told, what);
        }
        Ok(exit) => complain(settings, &format!("--on-alert {exit}")),
        Err(error) => complain(settings, &format!("--on-alert: {error}")),
    }
}

/// The database was opened.
pub fn forget_damage(home: &Home) {
    let _mostly_there_was_none = fs::remove_file(home.dir.join(TOLD_FILE));
}

fn complain(settings: &Settings, what: &str) {
    let name = &settings.agent;
    let _nobody_reads =
        writeln!(io::stderr(), "adrt: {what}: nobody may know that {name} was not started");
}

/// Runs it while nothing else of adrt's does.
fn run_at_once(command: &OsString, settings: &Settings, line: &str) -> io::Result<Exit> {
    let [shell, args @ ..] = &shell(command)[..] else { return Ok(Exit::Code(0)) };
    let stderr = io::stderr().as_fd().try_clone_to_owned()?;
    let mut command = std::process::Command::new(shell);
    command.args(args).env_clear().envs(environment::of_helpers(settings));
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::from(stderr));
    #[expect(clippy::disallowed_methods, reason = "there is no loop yet that could reap it")]
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let _it_need_not_read = stdin.write_all(line.as_bytes());
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
    let (ended, end) = ends::channel();
    let waits = quiet::spawn("adrt-wait", None, move || {
        // Left in place, so that its number stays its own until it is reaped.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while let Err(nix::errno::Errno::EINTR) = waitid(Id::Pid(pid), flags) {}
        let _nobody_waits_any_more = ended.send(());
    });
    if waits.is_ok() {
        let _too_long = end.recv_timeout(END_PATIENCE);
    }
    // What it left behind, or all of it.
    let _nobody_left = killpg(pid, Signal::SIGKILL);
    let status = child.wait()?;
    waits?;
    Ok(super::foreground::exit_of(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(n: i64) -> Alert {
        Alert::new(AlertKind::DeadLetter, clock::Wall::from_millis(n), 1, "x")
    }

    /// While the first is being told.
    fn alerts() -> Alerts {
        let (report, reports) = mpsc::unbounded_channel();
        Alerts {
            command: Some(spawn::Command {
                argv: vec!["/no/such/command".into()],
                env: Vec::new(),
                stdin: Stdin::Wire,
                cwd: None,
            }),
            agent: "a".to_owned(),
            roster: Roster::default(),
            spawner: None,
            reports,
            report,
            waiting: VecDeque::new(),
            dropped: 0,
            stage: Stage::Starting { alert: alert(0), ended: Vec::new() },
            stderr: Sink::stderr().unwrap(),
        }
    }

    #[test]
    fn one_that_cant_be_seen_to_is_killed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _on_the_loop = runtime.enter();
        let (reaper, mut alerts) = (Reaper::new(), alerts());
        let mut spawner = spawn::LocalSpawner::new(reaper.roster()).unwrap();
        let argv = ["/bin/sleep", "1000"].map(OsString::from).into();
        let command = spawn::Command { argv, env: Vec::new(), stdin: Stdin::Wire, cwd: None };
        let mut child = spawner.spawn(command).unwrap();
        let pid = Pid::from_raw(child.process.pid);
        child.stderr = fs::File::open("/dev/null").unwrap().into();
        let said = alerts.spawned(Ok(child), &reaper).unwrap();
        assert!(said.contains("could not be told of dead_letter: "), "{said}");
        let ended = nix::sys::wait::waitpid(pid, None).unwrap();
        assert_eq!(ended, nix::sys::wait::WaitStatus::Signaled(pid, Signal::SIGKILL, false));
    }

    #[test]
    fn the_newest_are_kept_and_the_others_counted() {
        let mut alerts = alerts();
        let many = i64::try_from(WAITING_MAX).unwrap() + 4;
        (1..=many).for_each(|n| alerts.raise(alert(n)));
        assert_eq!((alerts.waiting.len(), alerts.dropped), (WAITING_MAX, 4));
        assert_eq!(alerts.waiting.back(), Some(&alert(many)));
        // The next one tells how many there were.
        let failure = SpawnFailure::System("no process".to_owned());
        let said = alerts.spawned(Err(failure), &Reaper::new()).unwrap();
        assert!(said.contains("no process") && said.contains("dead_letter"), "{said}");
        let Stage::Starting { alert: next, .. } = &alerts.stage else { panic!("none is told") };
        assert_eq!((next.at, &next.details[..]), (alert(5).at, &[("dropped", 4.into())][..]));
        assert_eq!(alerts.dropped, 0);
        // Without a command there is nobody to tell.
        alerts.command = None;
        alerts.raise(alert(99));
        assert_eq!(alerts.waiting.len(), WAITING_MAX - 1);
    }

    #[test]
    fn an_end_is_complained_of_unless_it_is_a_good_one() {
        assert_eq!(complaint(AlertKind::GaveUp, Exit::Code(0)), None);
        let said = complaint(AlertKind::GaveUp, Exit::Code(3)).unwrap();
        assert_eq!(said, "--on-alert exited with code 3 over gave_up: nobody may know of it");
    }
}
