//! The power goes, at any moment: nothing acknowledged is lost.
//!
//! A *life* is one store on one disk, from its creation on: it does what the
//! script says, and by chance moments of its disk are remembered. Each is cut
//! and the store opened on what is left: it must stand where it stood after
//! some commit, the last acknowledged one or the one that was under way. One
//! of the cut disks is where the life goes on.
//!
//! Two things are done to a store that came back, since they are where
//! stores that survive the first cut fail:
//! - the power goes again, while it was being opened or just after. What an
//!   open store once showed must not be taken back by that;
//! - now and then there was no cut at first, only adrt killed: the system
//!   still has what no sync covered, so that the opened store sees it, and
//!   then the power goes.
//!
//! `ADRT_CUTS=1000000` makes so many cuts. A failure names its life's seed,
//! and `ADRT_SEED=<seed>` runs that life alone.

use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;

use crate::bench::{Bench, DATABASE, Refusal, Setting};
use crate::model::Model;
use crate::script::Script;
use crate::vfs::{Disk, Moment, Vfs, World};

/// Cuts in an ordinary test run.
const CUTS_DEFAULT: u64 = 5_000;
/// Cuts of each negative control.
const CUTS_CONTROL: u64 = 300;
/// Cuts of the campaign in which one follows closely on another.
const CUTS_BROWNOUTS: u64 = 1_500;
/// Lives without a cut, and the commits of each.
const UNCUT_LIVES: u64 = 20;
const UNCUT_COMMITS: u32 = 100;
/// One in so many moments of a stretch is cut.
const MOMENTS: u32 = 4;
/// One in so many moments of an opening is cut again.
const MOMENTS_OF_OPENING: u32 = 10;

/// How a life goes.
#[derive(Debug, Clone, Copy)]
struct Manner {
    setting: Setting,
    /// The disk only says that it syncs.
    lying: bool,
    /// Stretches, each from one cut to the next.
    stretches: u32,
    /// Commits in a stretch, at most.
    commits: usize,
    /// Every remembered moment of a stretch is cut, not only the one from
    /// which the life goes on.
    all: bool,
}

/// A store that works for a while between cuts.
const STEADY: Manner =
    Manner { setting: Setting::Full, lying: false, stretches: 4, commits: 16, all: true };
/// A supply that does not come back for good: what one cut tore is still
/// there at the next.
const BROWNOUTS: Manner = Manner { stretches: 16, commits: 2, all: false, ..STEADY };

/// What a life found out.
#[derive(Debug, Default)]
struct Findings {
    cuts: u64,
    /// A sentence for each cut after which something was missing or wrong.
    wrong: Vec<String>,
}

/// A store's life so far.
struct Life {
    seed: u64,
    manner: Manner,
    rng: Rng,
    script: Script,
    /// What it had after each commit; the last may be one that never was.
    models: Vec<Model>,
    findings: Findings,
}

/// Tells a life's seed if it ends by a panic.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("that was ADRT_SEED={}", self.0);
        }
    }
}

impl Life {
    fn new(seed: u64, manner: Manner) -> Self {
        Self {
            seed,
            manner,
            rng: Rng::with_seed(seed),
            script: Script::new(seed),
            models: vec![Model::default()],
            findings: Findings::default(),
        }
    }

    fn run(mut self) -> Findings {
        // A panic names the seed as well.
        let _seed = Named(self.seed);
        let mut disk = Disk::default();
        for _ in 0..self.manner.stretches {
            let moments = match self.stretch(disk) {
                Ok(moments) => moments,
                Err(refusal) => {
                    self.findings.wrong.push(format!("it did not go on: {refusal:?}"));
                    break;
                }
            };
            let chosen = self.rng.usize(0..moments.len());
            let mut next = None;
            for (index, moment) in moments.iter().enumerate() {
                if !self.manner.all && (index < chosen || next.is_some()) {
                    continue;
                }
                let stands = self.cut(moment);
                if stands.is_some() && (index <= chosen || next.is_none()) {
                    next = stands;
                }
            }
            let Some((stand, left)) = next else { break };
            self.models.truncate(stand + 1);
            disk = left;
        }
        self.findings
    }

    fn world(&mut self, disk: Disk) -> Vfs {
        let vfs = Vfs::new(World::new(disk, self.rng.u64(..)));
        if self.manner.lying {
            vfs.world().lie_about_syncs();
        }
        vfs
    }

    /// Opens the store, works and closes it; the moments that were remembered.
    fn stretch(&mut self, disk: Disk) -> Result<Vec<Moment>, Refusal> {
        let vfs = self.world(disk);
        let acknowledged = |models: &[Model]| vfs.world().mark(mark(models.len() - 1, false));
        acknowledged(&self.models);
        vfs.world().remember_one_in(MOMENTS);
        let mut bench = Bench::open(&vfs, self.manner.setting)?;
        for _ in 0..self.rng.usize(1..=self.manner.commits) {
            let last = self.models.last().expect("there is a first");
            let (units, after) = self.script.next(last);
            self.models.push(after);
            bench.commit(&units)?;
            acknowledged(&self.models);
            bench.rest();
        }
        bench.close()?;
        assert_eq!(vfs.world().open_files(), 0, "the store left a file open");
        Ok(vfs.world().moments())
    }

    /// Cuts at that moment: where the store stands then, and the disk it was
    /// opened on. A life goes on from there, so that what one cut tore is still
    /// in the log when the next one comes. None if something was wrong, or the
    /// power was not cut at first: what stands is not on that disk then.
    fn cut(&mut self, moment: &Moment) -> Option<(usize, Disk)> {
        let killed_only = self.rng.u8(0..4) == 0;
        let left = if killed_only { moment.disk.clone() } else { moment.disk.cut(&mut self.rng) };
        let first = left.clone();
        let vfs = self.world(left);
        let (oldest, _) = marked(moment.mark);
        let newest = (oldest + 1).min(self.models.len() - 1);
        vfs.world().mark(moment.mark);
        vfs.world().remember_one_in(MOMENTS_OF_OPENING);
        let stand = self.look(&vfs, oldest, newest)?;
        for again in vfs.world().moments() {
            let left = again.disk.cut(&mut self.rng);
            let cut = self.world(left);
            let (oldest, shown) = marked(again.mark);
            self.look(&cut, oldest, if shown { oldest } else { newest })?;
        }
        (!killed_only).then_some((stand, first))
    }

    /// Opens the store and says which model it equals; none if none of those it may.
    fn look(&mut self, vfs: &Vfs, oldest: usize, newest: usize) -> Option<usize> {
        self.findings.cuts += 1;
        let thorough = self.rng.u8(0..8) == 0;
        let stands = Bench::open(vfs, Setting::Full).and_then(|mut bench| {
            let stand = bench.stands(&self.models[oldest..=newest], thorough)?;
            // Said while the store is open: this is what an agent would be shown.
            vfs.world().mark(mark(oldest + stand, true));
            Ok(oldest + stand)
        });
        if vfs.world().open_files() > 0 {
            self.findings.wrong.push("the store left a file open".to_owned());
        }
        let why = match stands {
            Ok(stand) => return Some(stand),
            Err(Refusal::Other(why)) => why,
            Err(Refusal::Disk(failure)) => failure.message,
        };
        self.findings.wrong.push(why);
        None
    }
}

/// The mark of a world whose store has acknowledged this model, or has shown
/// it after an opening: then it may not turn out to be a later one either.
fn mark(model: usize, shown: bool) -> u64 {
    2 * model as u64 + u64::from(shown)
}

/// What that mark says.
fn marked(mark: u64) -> (usize, bool) {
    ((mark / 2) as usize, mark % 2 == 1)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number in the environment"))
}

/// Lives until so many cuts are made, on as many threads as there are CPUs.
fn campaign(cuts: u64, manner: Manner) -> Vec<(u64, Findings)> {
    if let Some(seed) = number("ADRT_SEED") {
        return vec![(seed, Life::new(seed, manner).run())];
    }
    let (next, done) = (AtomicU64::new(1), AtomicU64::new(0));
    let work = || {
        let mut lives = Vec::new();
        while done.load(Ordering::Relaxed) < cuts {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let findings = Life::new(seed, manner).run();
            done.fetch_add(findings.cuts, Ordering::Relaxed);
            lives.push((seed, findings));
        }
        lives
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("a life panicked")).collect()
    })
}

/// A store that nothing happens to does what the model does, also what comes
/// about too rarely to be met by the few commits of a life.
#[test]
fn a_store_that_is_left_alone_is_as_the_model_has_it() {
    for seed in 0..UNCUT_LIVES {
        let vfs = Vfs::new(World::new(Disk::default(), seed));
        let mut bench = Bench::open(&vfs, Setting::Full).expect("nothing is wrong");
        let (mut script, mut model) = (Script::new(seed), Model::default());
        for commit in 0..UNCUT_COMMITS {
            let (units, after) = script.next(&model);
            bench.commit(&units).expect("nothing is wrong");
            model = after;
            let stands = bench.stands(std::slice::from_ref(&model), false);
            assert!(stands.is_ok(), "seed {seed}, commit {commit}: {stands:?}");
            bench.rest();
        }
    }
}

/// Cuts so often, and loses nothing.
fn loses_nothing(cuts: u64, manner: Manner) {
    let lives = campaign(cuts, manner);
    let made: u64 = lives.iter().map(|(_, findings)| findings.cuts).sum();
    let wrong = lives.iter().flat_map(|(seed, findings)| {
        findings.wrong.iter().map(move |why| format!("ADRT_SEED={seed}: {why}"))
    });
    let wrong: Vec<String> = wrong.collect();
    let first = wrong.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {made} cuts lost something:\n{first}", wrong.len());
    println!("{made} cuts, nothing lost");
}

#[test]
fn no_cut_takes_back_what_was_acknowledged() {
    loses_nothing(number("ADRT_CUTS").unwrap_or(CUTS_DEFAULT), STEADY);
}

#[test]
fn nor_do_cuts_that_follow_closely_on_each_other() {
    loses_nothing(number("ADRT_CUTS").unwrap_or(CUTS_BROWNOUTS), BROWNOUTS);
}

/// The campaign must find what a store that does not sync loses, or it proves nothing.
fn finds_losses(manner: Manner) {
    let lives = campaign(CUTS_CONTROL, manner);
    let wrong: usize = lives.iter().map(|(_, findings)| findings.wrong.len()).sum();
    assert!(wrong > 0, "{lives:?}");
}

#[test]
fn control_synchronous_normal_is_found_out() {
    finds_losses(Manner { setting: Setting::Normal, ..STEADY });
}

#[test]
fn control_synchronous_off_is_found_out() {
    finds_losses(Manner { setting: Setting::Off, ..STEADY });
}

#[test]
fn control_a_lying_disk_is_found_out() {
    finds_losses(Manner { lying: true, ..STEADY });
}

/// The salts in the header of the database's log: those of every frame that
/// belongs to it.
fn salts(vfs: &Vfs) -> [u8; 8] {
    let disk = vfs.world().moments().pop().expect("the present one").disk;
    let log = disk.find(&format!("{DATABASE}-wal")).expect("there is a log");
    let mut salts = [0; 8];
    assert_eq!(disk.read(log, 16, &mut salts), salts.len());
    salts
}

/// Two cuts that both tear a transaction of the same log can look like damage
/// in its middle, but too seldom for a short campaign to meet. So a log that
/// was left behind is ended.
#[test]
fn a_log_that_was_left_behind_is_not_gone_on_with() {
    let (mut script, mut model) = (Script::new(1), Model::default());
    script.versioned = true;
    let killed = Vfs::new(World::new(Disk::default(), 1));
    let mut bench = Bench::open(&killed, Setting::Full).expect("nothing is wrong");
    for _ in 0..2 {
        let (units, after) = script.next(&model);
        bench.commit(&units).expect("nothing is wrong");
        model = after;
    }
    let left = killed.world().moments().pop().expect("the present one").disk;
    let again = Vfs::new(World::new(left, 2));
    let mut bench = Bench::open(&again, Setting::Full).expect("nothing is wrong");
    bench.commit(&script.next(&model).0).expect("nothing is wrong");
    assert_ne!(salts(&again), salts(&killed));
}
