//! The file system itself, under plain SQLite without a store: it must lose
//! nothing of a database that syncs as it should, and be able to tell one
//! that does not.

use fastrand::Rng;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::vfs::{Disk, Vfs, World};

/// Runs a setting; each yields some eighty cuts.
const RUNS: u64 = 6;
/// Rows of a run, each a transaction.
const ROWS: u64 = 60;

/// What became of the cuts.
#[derive(Debug, Default)]
struct Tally {
    cuts: u64,
    /// Rows that were acknowledged are missing.
    lost: u64,
    /// The database can't be read.
    broken: u64,
}

fn open(vfs: &Vfs, synchronous: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let db = Connection::open_with_flags_and_vfs("/a/plain.db", flags, vfs.name())?;
    let mode: String = db.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    assert_eq!(mode, "wal", "shared memory must work");
    db.execute_batch(&format!(
        "PRAGMA synchronous={synchronous}; PRAGMA wal_autocheckpoint=8;
         CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, x BLOB)"
    ))?;
    Ok(db)
}

/// The last row, and whether all before it are there.
fn last_row(vfs: &Vfs) -> rusqlite::Result<u64> {
    let db = open(vfs, "FULL")?;
    let sound: String = db.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
    let sql = "SELECT max(id) FROM t HAVING count(*) = max(id)";
    let last: Option<i64> = db.query_row(sql, [], |row| row.get(0)).optional()?;
    if sound != "ok" {
        return Err(rusqlite::Error::QueryReturnedNoRows);
    }
    Ok(u64::try_from(last.unwrap_or(0)).expect("ids count from 1"))
}

fn campaign(synchronous: &str, lying: bool) -> Tally {
    let mut tally = Tally::default();
    for seed in 0..RUNS {
        let mut rng = Rng::with_seed(seed);
        let vfs = Vfs::new(World::new(Disk::default(), seed));
        if lying {
            vfs.world().lie_about_syncs();
        }
        vfs.world().remember_one_in(8);
        let db = open(&vfs, synchronous).expect("nothing is wrong yet");
        for row in 1..=ROWS {
            let size = rng.u32(0..6000);
            db.execute("INSERT INTO t VALUES (?1, zeroblob(?2))", (row.cast_signed(), size))
                .expect("nothing is wrong yet");
            vfs.world().mark(row);
        }
        drop(db);
        assert_eq!(vfs.world().open_files(), 0);
        for moment in vfs.world().moments() {
            tally.cuts += 1;
            let after = Vfs::new(World::new(moment.disk.cut(&mut rng), seed));
            match last_row(&after) {
                Ok(last) if last < moment.mark => tally.lost += 1,
                Ok(last) => assert!(last <= moment.mark + 1, "a row nobody wrote"),
                Err(_) => tally.broken += 1,
            }
        }
    }
    assert!(tally.cuts > RUNS * 30, "too few to say anything: {tally:?}");
    tally
}

#[test]
fn sqlite_that_syncs_every_commit_loses_nothing() {
    let tally = campaign("FULL", false);
    assert_eq!((tally.lost, tally.broken), (0, 0), "{tally:?}");
}

#[test]
fn sqlite_that_syncs_checkpoints_only_loses_commits_but_never_breaks() {
    let tally = campaign("NORMAL", false);
    assert!(tally.lost > 0, "{tally:?}");
    assert_eq!(tally.broken, 0, "{tally:?}");
}

#[test]
fn sqlite_that_never_syncs_loses_and_breaks() {
    let tally = campaign("OFF", false);
    assert!(tally.lost > 0 && tally.broken > 0, "{tally:?}");
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let tally = campaign("FULL", true);
    assert!(tally.lost > 0 && tally.broken > 0, "{tally:?}");
}
