//! The disk fails or fills up, at any call: the store says so, loses nothing,
//! and goes on when the trouble is over.
//!
//! First a run without trouble counts the calls the store makes of the file
//! system, from its opening on. Then for each of them there is a run in which
//! that call fails, alone or with all that follow until three commits have
//! been refused. After a failure whose outcome is unknown the store is
//! reopened and reread, as the supervisor does it; after any other it goes on
//! as it is. Whenever there was trouble the power is cut too, on the side: a
//! sync that failed may have taken with it what later ones no longer write, so
//! that only then it shows what was really kept.

use std::sync::atomic::{AtomicU64, Ordering};

use adrt::supervisor::io::{StoreFailure, StoreFailureKind};
use fastrand::Rng;

use crate::bench::{Bench, DATABASE, Refusal, Setting};
use crate::model::Model;
use crate::script::Script;
use crate::vfs::{Disk, Fault, Trouble, Vfs, World};

/// Commits of a run, from the opening on.
const COMMITS: usize = 5;
/// Bytes of a page of the database.
const PAGE: usize = 4096;
/// A lasting fault ends after so many refusals.
const REFUSALS: u32 = 3;

/// Where the runs of a campaign begin.
struct Start {
    disk: Disk,
    model: Model,
    seed: u64,
}

impl Start {
    /// No database at all.
    fn nothing(seed: u64) -> Self {
        Self { disk: Disk::default(), model: Model::default(), seed }
    }

    /// A store with some history, closed; or killed, its WAL still to be replayed.
    fn history(seed: u64, killed: bool) -> Self {
        let vfs = Vfs::new(World::new(Disk::default(), seed));
        let mut bench = Bench::open(&vfs, Setting::Full).expect("nothing is wrong");
        let (mut script, mut model) = (Script::new(seed), Model::default());
        for _ in 0..12 {
            let (units, after) = script.next(&model);
            bench.commit(&units).expect("nothing is wrong");
            model = after;
        }
        let disk = vfs.world().moments().pop().expect("the present one").disk;
        drop(bench);
        let closed = vfs.world().moments().pop().expect("the present one").disk;
        Self { disk: if killed { disk } else { closed }, model, seed }
    }
}

/// A run: a store that meets a fault.
struct Run<'a> {
    vfs: &'a Vfs,
    script: Script,
    /// What was acknowledged last.
    model: Model,
    refusals: u32,
    /// After a failure of unknown outcome adrt is killed and started anew,
    /// where it would else reopen the file itself.
    killed: bool,
    /// There was such a failure.
    unknown: bool,
    /// No commit has gone well since the last that failed.
    troubled: bool,
    rng: Rng,
}

impl Run<'_> {
    fn fault_ends(&self) {
        self.vfs.world().set_fault(None);
    }

    /// Opens the store; what it refuses must be the disk's fault.
    fn open(&mut self) -> Result<Bench, String> {
        match Bench::open(self.vfs, Setting::Full) {
            Ok(bench) => Ok(bench),
            Err(Refusal::Disk(failure)) => {
                self.typed(&failure)?;
                self.fault_ends();
                Bench::open(self.vfs, Setting::Full).map_err(|e| format!("stays shut: {e:?}"))
            }
            Err(Refusal::Other(why)) => Err(format!("not told as the disk's fault: {why}")),
        }
    }

    /// Whether a failure says what it must.
    fn typed(&mut self, failure: &StoreFailure) -> Result<(), String> {
        self.refusals += 1;
        if self.vfs.world().struck().is_empty() {
            return Err(format!("failed without a cause: {failure:?}"));
        }
        match failure.kind {
            StoreFailureKind::Full | StoreFailureKind::Io if !failure.message.is_empty() => Ok(()),
            _ => Err(format!("the wrong kind: {failure:?}")),
        }
    }

    /// Reads where it stands: before or after the commit in question.
    fn read(&mut self, mut bench: Bench, attempted: Model) -> Result<Bench, String> {
        let models = [self.model.clone(), attempted];
        let stand = match bench.stands(&models, true) {
            Ok(stand) => stand,
            Err(Refusal::Disk(failure)) => {
                self.typed(&failure)?;
                self.fault_ends();
                bench = self.again(bench)?;
                bench.stands(&models, true).map_err(|e| format!("stays unreadable: {e:?}"))?
            }
            Err(Refusal::Other(why)) => return Err(why),
        };
        let [acknowledged, attempted] = models;
        self.model = if stand == 0 { acknowledged } else { attempted };
        // An agent has been shown this now.
        self.cut()?;
        Ok(bench)
    }

    /// Cuts the power, in another world: what was acknowledged is there, and
    /// no more.
    fn cut(&mut self) -> Result<(), String> {
        let disk = self.vfs.world().moments().pop().ok_or("no moment")?.disk;
        let vfs = Vfs::new(World::new(disk.cut(&mut self.rng), 0));
        let look = || {
            let mut bench = Bench::open(&vfs, Setting::Full)?;
            bench.stands(std::slice::from_ref(&self.model), true)
        };
        look().map(drop).map_err(|why| format!("after a cut: {why:?}"))
    }

    /// Opens again.
    fn again(&mut self, mut bench: Bench) -> Result<Bench, String> {
        if self.killed {
            drop(bench);
            return self.open();
        }
        if let Err(failure) = bench.reopen() {
            self.typed(&failure)?;
            self.fault_ends();
            bench.reopen().map_err(|e| format!("can't be reopened: {e:?}"))?;
        }
        Ok(bench)
    }

    fn commit(&mut self, mut bench: Bench) -> Result<Bench, String> {
        let (units, after) = self.script.next(&self.model);
        let Err(failure) = bench.commit(&units) else {
            self.model = after;
            if std::mem::take(&mut self.troubled) {
                self.cut()?;
            }
            return Ok(bench);
        };
        self.troubled = true;
        self.typed(&failure)?;
        if self.refusals >= REFUSALS {
            self.fault_ends();
        }
        self.script.epoch += 1;
        if failure.outcome_unknown {
            self.unknown = true;
            bench = self.again(bench)?;
            return self.read(bench, after);
        }
        // It was said to be not there.
        self.cut()?;
        Ok(bench)
    }

    fn go(&mut self) -> Result<(), String> {
        let bench = self.open()?;
        let mut bench = self.read(bench, self.model.clone())?;
        for _ in 0..COMMITS {
            bench = self.commit(bench)?;
            bench.rest();
        }
        self.fault_ends();
        let refusals = self.refusals;
        for _ in 0..2 {
            bench = self.commit(bench)?;
        }
        if self.refusals != refusals {
            return Err("it did not go on after the fault".to_owned());
        }
        drop(bench);
        self.cut()
    }
}

/// One run; how many calls it made, whether the outcome of a commit was ever
/// unknown, and what was wrong.
fn run(start: &Start, fault: Option<Fault>, killed: bool) -> (u64, bool, Result<(), String>) {
    let vfs = Vfs::new(World::new(start.disk.clone(), start.seed));
    vfs.world().set_fault(fault);
    let mut script = Script::new(!start.seed);
    script.versioned = true;
    let mut run = Run {
        vfs: &vfs,
        script,
        model: start.model.clone(),
        refusals: 0,
        killed,
        unknown: false,
        troubled: false,
        rng: Rng::with_seed(fault.map_or(0, |fault| fault.from)),
    };
    let outcome = run.go();
    let unknown = run.unknown;
    let struck = vfs.world().struck();
    let told = outcome.map_err(|why| format!("{why} (killed {killed}, failed calls {struck:?})"));
    let told = match vfs.world().open_files() {
        0 => told,
        left => told.and_then(|()| Err(format!("{left} files were left open"))),
    };
    (vfs.world().calls(), unknown, told)
}

/// A run for every call.
fn campaign(start: &Start, trouble: Trouble, lasting: bool) {
    let (calls, _, outcome) = run(start, None, false);
    outcome.expect("nothing is wrong");
    let next = AtomicU64::new(1);
    let work = || {
        let mut wrong = Vec::new();
        loop {
            let from = next.fetch_add(1, Ordering::Relaxed);
            if from > calls {
                return wrong;
            }
            let fault = Fault { from, lasting, trouble };
            let (_, unknown, mut outcome) = run(start, Some(fault), false);
            if unknown && outcome.is_ok() {
                (_, _, outcome) = run(start, Some(fault), true);
            }
            if let Err(why) = outcome {
                wrong.push(format!("{fault:?}: {why}"));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("a run panicked")).collect()
    });
    let first = wrong.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {calls} runs went wrong:\n{first}", wrong.len());
}

#[test]
fn an_error_at_any_call_of_making_a_database() {
    campaign(&Start::nothing(1), Trouble::Io, false);
}

#[test]
fn errors_from_any_call_of_making_a_database_on() {
    campaign(&Start::nothing(2), Trouble::Io, true);
}

#[test]
fn an_error_at_any_call_of_a_store_that_was_closed() {
    campaign(&Start::history(3, false), Trouble::Io, false);
}

#[test]
fn errors_from_any_call_on_of_a_store_that_was_closed() {
    campaign(&Start::history(4, false), Trouble::Io, true);
}

#[test]
fn an_error_at_any_call_of_a_store_that_was_killed() {
    campaign(&Start::history(5, true), Trouble::Io, false);
}

#[test]
fn errors_from_any_call_on_of_a_store_that_was_killed() {
    campaign(&Start::history(6, true), Trouble::Io, true);
}

#[test]
fn a_full_disk_at_any_call_of_making_a_database() {
    campaign(&Start::nothing(7), Trouble::NoSpace, true);
}

#[test]
fn a_full_disk_for_one_call_only() {
    campaign(&Start::history(8, false), Trouble::NoSpace, false);
}

#[test]
fn a_full_disk_from_any_call_on() {
    campaign(&Start::history(9, true), Trouble::NoSpace, true);
}

/// A sector that can't be read any more is no damage that a fresh start or a
/// salvage may answer, and what else is in the file stays where it is.
#[test]
fn a_page_that_cannot_be_read_is_told_as_a_failing_disk() {
    let start = Start::history(10, false);
    let mut told = 0;
    for page in 0.. {
        let vfs = Vfs::new(World::new(start.disk.clone(), start.seed));
        let bytes = page * PAGE..(page + 1) * PAGE;
        assert!(vfs.world().wear_out(DATABASE, bytes.clone()));
        if bytes.start >= start.disk.find(DATABASE).map_or(0, |inode| start.disk.len(inode)) {
            break;
        }
        match Bench::open(&vfs, Setting::Full) {
            Err(Refusal::Disk(failure)) => {
                assert_eq!(failure.kind, StoreFailureKind::Io, "page {page}: {failure:?}");
                told += 1;
            }
            Err(Refusal::Other(why)) => panic!("page {page}: {why}"),
            Ok(_) => {}
        }
    }
    assert!(told > 5, "only {told} pages were ever read");
}
