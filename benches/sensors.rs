//! What it costs to watch the machine: processor time for each look at the
//! sensors, as a share of a processor when one is taken every five seconds,
//! and the memory of the threads that look.
//!
//! Once in this process, where there is nothing else; once in a real
//! `adrt run`, against one that does not look: there the way into the loop and
//! what it does with a sample are in it. The goal is 0.1 % of a processor.
//!
//! `cargo bench --bench sensors`

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use adrt::sensors::probe::{Probe, Sources};
use nix::time::{ClockId, clock_gettime};

use support::lab::{Lab, Run};
use support::report::{Report, median};

/// Looks in this process, in so many rounds.
const LOOKS: u32 = 500;
const ROUNDS: usize = 7;
/// A run looks this often …
const OFTEN: Duration = Duration::from_millis(10);
/// … and is watched for so long, once it is at rest.
const WATCHED: Duration = Duration::from_secs(10);
const SETTLED: Duration = Duration::from_secs(3);
/// The usual pace, in microseconds.
const USUAL_MICROS: f64 = 5e6;

/// Processor time of this process, in microseconds.
fn own_time() -> io::Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    Ok(time.tv_sec() as f64 * 1e6 + time.tv_nsec() as f64 / 1e3)
}

/// Processor time of all threads of a process, in microseconds.
fn time_of(pid: i32) -> io::Result<f64> {
    let mut nanos = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    }
    Ok(nanos / 1e3)
}

/// Memory of a process, in KiB.
fn memory_of(pid: i32) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// What a run that looks so often uses in [`WATCHED`], and its memory.
fn run(lab: &Lab, name: &str, every: &str) -> io::Result<(f64, f64)> {
    let mut command = lab.adrt_run(name, &["--sensors-every", every]);
    let run = Run(command.args(["--", "sleep", "1000"]).spawn()?);
    sleep(SETTLED);
    let before = time_of(run.pid())?;
    sleep(WATCHED);
    Ok((time_of(run.pid())? - before, memory_of(run.pid())?))
}

fn main() -> io::Result<()> {
    let lab = Lab::new()?;
    let mut probe = Probe::new(Sources { root: "/".into(), disk: Some(PathBuf::from("/")) });
    let mut looks = Vec::new();
    for _ in 0..ROUNDS {
        let begin = own_time()?;
        for _ in 0..LOOKS {
            probe.look();
        }
        looks.push((own_time()? - begin) / f64::from(LOOKS));
    }
    let share = |micros: f64| 100.0 * micros / USUAL_MICROS;
    let mut report = Report::new("sensors");
    let look = median(&looks);
    report.number("look_cpu", look, "µs");
    report.at_most("look_cpu_share", share(look), "%", 0.1);
    let (floor, without) = run(&lab, "blind", "0")?;
    let (used, with) = run(&lab, "looks", &format!("{}ms", OFTEN.as_millis()))?;
    let turns = WATCHED.as_secs_f64() / OFTEN.as_secs_f64();
    let each = (used - floor) / turns;
    report.number("run_cpu_for_each_look", each, "µs");
    report.at_most("run_cpu_share", share(each), "%", 0.1);
    report.number("run_pss_without", without, "KiB");
    report.number("run_pss_added", with - without, "KiB");
    report.finish();
    Ok(())
}
