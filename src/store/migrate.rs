//! What a file is, and how an older one becomes a newer one.
//!
//! Each step runs in a transaction of its own with the number it leads to, so
//! a crash leaves the file at one schema or the next. What may be written by
//! whom is said in `schema`.

use std::path::Path;

use rusqlite::Connection;

use super::failure::{OpenError, open_failure};
use super::schema::{
    APPLICATION_ID, META_MIN_WRITER, META_SCHEMA_SUM, SCHEMA_VERSION, Step, get_meta, put_meta,
    schema_sum,
};

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub application: i32,
    pub schema: i32,
}

pub(crate) fn identity(conn: &Connection) -> rusqlite::Result<Identity> {
    Ok(Identity {
        application: conn.query_row("PRAGMA application_id", [], |r| r.get(0))?,
        schema: conn.query_row("PRAGMA user_version", [], |r| r.get(0))?,
    })
}

/// Whether the file has no tables at all.
pub(crate) fn is_blank(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get::<_, i64>(0)).map(|n| n == 0)
}

/// Whether it has the tables that only a database of adrt has.
fn has_our_tables(conn: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema
               WHERE type = 'table' AND name IN ('journal', 'checkpoints', 'snapshots')";
    conn.query_row(sql, [], |r| r.get::<_, i64>(0)).map(|n| n == 3)
}

/// What a migration did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The tables were made: the file had none.
    pub made: bool,
    /// Sentences for the operator.
    pub warnings: Vec<String>,
}

/// What a file is, before anything is written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// It has no tables.
    pub blank: bool,
    /// Its schema.
    pub schema: i32,
}

impl Found {
    /// It has content, of a schema that this adrt brings up to date.
    pub(crate) const fn is_old(&self) -> bool {
        !self.blank && self.schema < SCHEMA_VERSION
    }
}

/// A file that was just made.
pub(crate) const BLANK: Found = Found { blank: true, schema: 0 };

/// Looks whether a file may be written by an adrt that knows `steps`.
/// `beside` is the file's path, for errors.
pub(crate) fn inspect(
    conn: &Connection,
    steps: &[Step],
    beside: Option<&Path>,
) -> Result<Found, OpenError> {
    let failed = |e: rusqlite::Error| open_failure(Some(conn), &e);
    let newest = steps.last().map_or(0, |s| s.to);
    let Identity { application, schema } = identity(conn).map_err(failed)?;
    let blank = is_blank(conn).map_err(failed)?;
    if !blank && application != APPLICATION_ID {
        if has_our_tables(conn).map_err(failed)? {
            return Err(damaged(beside, "its header does not say that it is adrt's"));
        }
        return Err(OpenError::NotOurs(beside.map(Path::to_owned).unwrap_or_default()));
    }
    if blank && schema != 0 {
        return Err(damaged(beside, "its tables are gone"));
    }
    if !blank && schema <= 0 {
        return Err(damaged(beside, "it does not say which schema it has"));
    }
    if schema > newest {
        let min_writer = min_writer(conn).map_err(failed)?.unwrap_or(schema);
        if min_writer > newest {
            return Err(OpenError::Newer { schema, min_writer });
        }
    }
    Ok(Found { blank, schema })
}

/// Brings a file to the newest of `steps`. `beside` is the file's path, next
/// to which copies are kept; none in memory.
pub(crate) fn migrate(
    conn: &Connection,
    found: &Found,
    steps: &[Step],
    beside: Option<&Path>,
) -> Result<Migrated, OpenError> {
    let failed = |e: rusqlite::Error| open_failure(Some(conn), &e);
    let mut done = Migrated { made: found.blank, ..Migrated::default() };
    for step in steps.iter().filter(|s| s.to > found.schema) {
        if !step.additive
            && !found.blank
            && let Some(path) = beside
        {
            let copy = path.with_file_name(format!("adrt.db.v{}", step.to - 1));
            keep_copy(conn, &copy).map_err(failed)?;
            done.warnings.push(format!(
                "the database was brought from schema {} to {}, which older versions of adrt \
                 can't write; a copy of it as it was is in {}",
                step.to - 1,
                step.to,
                copy.display()
            ));
        }
        apply(conn, step).map_err(failed)?;
    }
    Ok(done)
}

pub(crate) fn damaged(beside: Option<&Path>, what: &str) -> OpenError {
    OpenError::Damaged {
        dir: beside.and_then(Path::parent).map(Path::to_owned).unwrap_or_default(),
        what: what.to_owned(),
        nothing_sound: false,
    }
}

/// One step with its numbers, in one transaction.
fn apply(conn: &Connection, step: &Step) -> rusqlite::Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let all = || {
        conn.execute_batch(step.sql)?;
        if !step.additive {
            put_meta(conn, META_MIN_WRITER, &step.to.to_string())?;
        }
        put_meta(conn, META_SCHEMA_SUM, &schema_sum(conn)?)?;
        conn.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}; COMMIT",
            step.to
        ))
    };
    all().inspect_err(|_| {
        if !conn.is_autocommit() {
            // The first error is the one to tell; if this fails too, closing
            // the connection rolls back.
            let _ = conn.execute_batch("ROLLBACK");
        }
    })
}

/// A whole copy at that path, made anew if a try before was cut short.
fn keep_copy(conn: &Connection, copy: &Path) -> rusqlite::Result<()> {
    match std::fs::remove_file(copy) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(rusqlite::Error::ToSqlConversionFailure(Box::new(e))),
    }
    let made = super::home::open_file(copy);
    made.map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    let name = copy.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(copy.to_owned()))?;
    conn.execute("VACUUM INTO ?1", [name])?;
    Ok(())
}

fn min_writer(conn: &Connection) -> rusqlite::Result<Option<i32>> {
    Ok(get_meta(conn, META_MIN_WRITER)?.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests;
