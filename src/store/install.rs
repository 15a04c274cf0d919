//! Making a database, and putting one in another's place, so that a crash at
//! any moment leaves either the old or the new one under `db`.
//!
//! A database is made whole in `db.new` and renamed. When it takes the place
//! of a damaged one, that one is first renamed to `db.damaged-<n>`; a crash
//! between the two leaves a whole `db.new`, which the next start puts in place.

use std::fs;
use std::path::{Path, PathBuf};

use super::failure::{OpenError, open_failure};
use super::home::{
    ASIDE_PREFIX, DB_FILE, Home, HomeError, Kind, NEW_DIR, io_error, kind_of, make_dir, open_file,
    sync_parent,
};
use super::migrate::BLANK;
use super::open::{OnDamage, Options, connect};
use super::schema::{self, META_DAMAGED, STEPS};
use super::{migrate, settings, verify};

/// Sees to it that `db` is there: finishes a renaming that was cut short, or
/// makes a new database where there never was one. Whether it made one.
pub(crate) fn settle(home: &Home, on_damage: OnDamage) -> Result<bool, OpenError> {
    let new = home.dir.join(NEW_DIR);
    if kind_of(&home.db_dir())? == Kind::Directory {
        if kind_of(&new)? != Kind::Nothing {
            fs::remove_dir_all(&new).map_err(|e| io_error(&new, e))?;
        }
        if kind_of(&home.database())? == Kind::Nothing {
            return missing(home, on_damage, "its file is gone");
        }
        let length = fs::metadata(home.database()).map_err(|e| io_error(&home.database(), e))?;
        if length.len() == 0 {
            return missing(home, on_damage, "its file is empty");
        }
        return Ok(false);
    }
    if kind_of(&new)? == Kind::Directory && is_whole(home) {
        put_in_place(home)?;
        return Ok(true);
    }
    if !aside(home).is_empty() && on_damage != OnDamage::Fresh {
        return Err(OpenError::Damaged {
            dir: home.dir.clone(),
            what: "the database was put aside, and nothing has taken its place".to_owned(),
            nothing_sound: true,
        });
    }
    let after_damage = !aside(home).is_empty();
    let file = begin(home)?;
    make_empty(&file, after_damage)?;
    put_in_place(home)?;
    Ok(true)
}

/// Makes the tables. No single write of a file that has no name yet need
/// last: [`put_in_place`] syncs it once, when it is whole.
fn make_empty(file: &Path, after_damage: bool) -> Result<(), OpenError> {
    let conn = connect(file, &Options::default())?;
    let unsynced = || conn.execute_batch("PRAGMA synchronous = OFF");
    let failed = |e: rusqlite::Error| open_failure(Some(&conn), &e);
    unsynced().map_err(failed)?;
    settings::settle(&conn, &BLANK, false)?;
    unsynced().map_err(failed)?;
    migrate::migrate(&conn, &BLANK, STEPS, None)?;
    if after_damage {
        schema::put_meta(&conn, META_DAMAGED, "1").map_err(failed)?;
    }
    conn.close().map_err(|(conn, e)| open_failure(Some(&conn), &e))
}

fn missing(home: &Home, on_damage: OnDamage, what: &str) -> Result<bool, OpenError> {
    if on_damage == OnDamage::Fresh {
        put_aside(home)?;
        return settle(home, on_damage);
    }
    Err(OpenError::Damaged { dir: home.db_dir(), what: what.to_owned(), nothing_sound: true })
}

/// Makes `db.new` with an empty file in it, and gives that file's path.
pub(crate) fn begin(home: &Home) -> Result<PathBuf, HomeError> {
    let new = home.dir.join(NEW_DIR);
    if kind_of(&new)? != Kind::Nothing {
        fs::remove_dir_all(&new).map_err(|e| io_error(&new, e))?;
    }
    make_dir(&new)?;
    let file = new.join(DB_FILE);
    open_file(&file)?;
    Ok(file)
}

/// Renames `db.new`, whole and closed, to `db`.
pub(crate) fn put_in_place(home: &Home) -> Result<(), OpenError> {
    let new = home.dir.join(NEW_DIR);
    let file = new.join(DB_FILE);
    // Whoever made it may have been killed before its sync.
    let synced = fs::File::open(&file).and_then(|file| file.sync_all());
    synced.map_err(|e| io_error(&file, e))?;
    sync_parent(&file)?;
    fs::rename(&new, home.db_dir()).map_err(|e| io_error(&new, e))?;
    sync_parent(&new)?;
    Ok(())
}

/// Renames `db`, as it is, to the next `db.damaged-<n>`.
pub(crate) fn put_aside(home: &Home) -> Result<PathBuf, HomeError> {
    let next = aside(home).last().map_or(1, |n| n + 1);
    let target = home.dir.join(format!("{ASIDE_PREFIX}{next}"));
    fs::rename(home.db_dir(), &target).map_err(|e| io_error(&target, e))?;
    sync_parent(&target)?;
    Ok(target)
}

/// The numbers of the directories put aside, ascending.
fn aside(home: &Home) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(&home.dir) else { return Vec::new() };
    let number = |name: std::ffi::OsString| {
        name.to_string_lossy().strip_prefix(ASIDE_PREFIX).and_then(|n| n.parse().ok())
    };
    let mut numbers: Vec<u64> =
        entries.flatten().filter_map(|entry| number(entry.file_name())).collect();
    numbers.sort_unstable();
    numbers
}

/// Whether the database in `db.new` was finished: it is filled in one
/// transaction, or synced only as a whole, and then nothing in it is broken.
fn is_whole(home: &Home) -> bool {
    let file = home.dir.join(NEW_DIR).join(DB_FILE);
    connect(&file, &Options::default()).is_ok_and(|conn| {
        migrate::identity(&conn)
            .is_ok_and(|it| it.application == schema::APPLICATION_ID && it.schema > 0)
            && verify::verify(&conn).is_ok()
    })
}
