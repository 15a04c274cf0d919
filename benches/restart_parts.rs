//! From the SIGKILL of a child to the first byte of its successor: adrt's
//! parts (signal pipe, reaper, spawning thread) against a bare loop of
//! `wait` and `spawn` of the standard library, in the same run.
//!
//! `cargo bench --bench restart_parts`. Prints medians, their ratio, and one
//! line of JSON. The child is this program itself, which writes one byte.

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
mod parts {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use adrt::process::reap::{NotOurs, Reaper};
    use adrt::process::spawn::{self, Child, LocalSpawner, Spawner, Stdin};
    use adrt::signals::{Signal, Signals};
    use adrt::supervisor::io::{GroupSignal, SpawnFailure};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    const ROUNDS: usize = 400;
    const WARM_UP: usize = 20;

    /// The child: says that it runs, then waits to be killed.
    pub fn child() -> io::Result<()> {
        io::stdout().write_all(b"!\n")?;
        io::stdout().flush()?;
        loop {
            std::thread::park();
        }
    }

    fn first_byte(mut pipe: impl Read + AsFd) -> io::Result<()> {
        let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::NONE)?;
        pipe.read_exact(&mut [0])
    }

    fn bare() -> io::Result<Vec<Duration>> {
        let start = || {
            let path = std::env::current_exe()?;
            let mut command = Command::new(path);
            command.arg("--child").stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.stderr(Stdio::piped()).spawn()?;
            child.stdout.as_mut().map_or(Ok(()), first_byte)?;
            io::Result::Ok(child)
        };
        let mut child = start()?;
        let mut spans = Vec::new();
        for _ in 0..WARM_UP + ROUNDS {
            let begin = Instant::now();
            child.kill()?;
            child.wait()?;
            child = start()?;
            spans.push(begin.elapsed());
        }
        child.kill()?;
        child.wait()?;
        Ok(spans)
    }

    /// Starts a child by `spawn`, and waits for its first byte.
    fn start(spawn: &mut dyn FnMut(spawn::Command) -> io::Result<Child>) -> io::Result<Child> {
        let command = spawn::Command {
            argv: vec![std::env::current_exe()?.into(), "--child".into()],
            env: std::env::vars_os().collect(),
            stdin: Stdin::Wire,
            cwd: None,
        };
        let child = spawn(command)?;
        first_byte(File::from(child.stdout.try_clone()?))?;
        Ok(child)
    }

    fn failed(failure: SpawnFailure) -> io::Error {
        io::Error::other(format!("{failure:?}"))
    }

    /// By the spawning thread, or by this one.
    fn adrt(local: bool) -> io::Result<Vec<Duration>> {
        let mut signals = Signals::install()?;
        let mut reaper = Reaper::new();
        if local {
            let mut spawner = LocalSpawner::new(reaper.roster())?;
            return rounds(&mut signals, &mut reaper, &mut |command| {
                spawner.spawn(command).map_err(failed)
            });
        }
        let spawner = Spawner::start(reaper.roster())?;
        rounds(&mut signals, &mut reaper, &mut |command| {
            let (tell, told) = mpsc::channel();
            spawner.spawn(command, move |result| drop(tell.send(result)));
            told.recv().map_err(io::Error::other)?.map_err(failed)
        })
    }

    fn rounds(
        signals: &mut Signals,
        reaper: &mut Reaper,
        spawn: &mut dyn FnMut(spawn::Command) -> io::Result<Child>,
    ) -> io::Result<Vec<Duration>> {
        let mut child = start(spawn)?;
        let mut spans = Vec::new();
        for _ in 0..WARM_UP + ROUNDS {
            let begin = Instant::now();
            let killed = reaper.kill_group(child.process.pid, GroupSignal::Kill);
            killed.map_err(|NotOurs| io::ErrorKind::NotFound)?;
            loop {
                let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
                let _interrupted = poll(&mut fds, PollTimeout::NONE);
                let told = signals.pending().iter().any(|it| it.signal == Signal::Child);
                if told && !reaper.reap().is_empty() {
                    break;
                }
            }
            child = start(spawn)?;
            spans.push(begin.elapsed());
        }
        let _gone = reaper.kill_group(child.process.pid, GroupSignal::Kill);
        Ok(spans)
    }

    fn median(mut spans: Vec<Duration>) -> f64 {
        spans.drain(..WARM_UP);
        spans.sort();
        spans[spans.len() / 2].as_secs_f64() * 1e6
    }

    /// Measures both, and reports.
    pub fn run() -> io::Result<()> {
        // Resident memory like that of a busy adrt, so that copying page
        // tables would show.
        let ballast = vec![1_u8; 100 * 1024 * 1024];
        let bare = median(bare()?);
        let (thread, local) = (median(adrt(false)?), median(adrt(true)?));
        drop(ballast);
        let (by_thread, by_local) = (thread / bare, local / bare);
        println!("bare loop          {bare:>6.0} us");
        println!("spawning thread    {thread:>6.0} us, ratio {by_thread:.2}");
        println!("on the loop itself {local:>6.0} us, ratio {by_local:.2}");
        println!(
            "{{\"bench\":\"restart_parts\",\"bare_us\":{bare:.0},\"thread_us\":{thread:.0},\
             \"local_us\":{local:.0},\"thread_ratio\":{by_thread:.3},\
             \"local_ratio\":{by_local:.3}}}"
        );
        Ok(())
    }
}

fn main() -> std::io::Result<()> {
    if std::env::args().any(|word| word == "--child") { parts::child() } else { parts::run() }
}
