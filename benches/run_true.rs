//! What a whole `adrt run -- /bin/true` adds to `/bin/true`: opening and
//! checking the database, the record of the run, closing.
//!
//! The floor is `/bin/true` by itself, and, for scale, what one `fdatasync` of
//! 4 KiB takes on the same file system. An agent that has run before, and one
//! whose database is made; all take turns. There is no goal.
//!
//! `cargo bench --bench run_true`

#![expect(clippy::disallowed_methods, reason = "a bench measures time and starts processes")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod support;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use support::lab::Lab;
use support::report::{Report, median};

const TURNS: usize = 30;
const PAGE: &[u8; 4096] = &[7; 4096];

fn timed(spans: &mut Vec<f64>, mut command: Command) -> io::Result<()> {
    let begin = support::nanos();
    let status = command.stderr(Stdio::null()).status()?;
    spans.push((support::nanos() - begin) as f64 / 1e6);
    if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
}

fn adrt(lab: &Lab, name: &str) -> Command {
    let mut command = lab.adrt_run(name, &[]);
    command.args(["--", "/bin/true"]);
    command
}

fn main() -> io::Result<()> {
    let lab = Lab::new()?;
    let file = File::create(lab.path("floor"))?;
    file.write_all_at(PAGE, 0)?;
    file.sync_all()?;
    let (mut bare, mut sync, mut again, mut new) = (vec![], vec![], vec![], vec![]);
    timed(&mut Vec::new(), adrt(&lab, "again"))?;
    for turn in 0..TURNS {
        timed(&mut bare, lab.bare("/bin/true".as_ref()))?;
        timed(&mut again, adrt(&lab, "again"))?;
        timed(&mut new, adrt(&lab, &format!("new{turn}")))?;
        let begin = support::nanos();
        file.write_all_at(PAGE, 0)?;
        file.sync_data()?;
        sync.push((support::nanos() - begin) as f64 / 1e6);
    }
    let mut report = Report::new("run_true");
    let bare = median(&bare);
    report.number("true_p50", bare, "ms");
    report.number("fdatasync_p50", median(&sync), "ms");
    report.number("added_p50", median(&again) - bare, "ms");
    report.number("added_by_a_first_run_p50", median(&new) - bare, "ms");
    report.number("ratio_p50", median(&again) / bare, "");
    report.finish();
    Ok(())
}
