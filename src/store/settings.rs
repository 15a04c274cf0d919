//! The settings SQLite is run with, each read back after it was made.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::failure::{OpenError, open_failure};
use super::migrate::Found;

/// How a setting is checked after it was made.
#[derive(Debug, Clone, Copy)]
struct Setting {
    name: &'static str,
    value: &'static str,
    /// What reading it back must say.
    reads: &'static str,
    scope: Scope,
}

/// What a setting is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The connection: made at each opening.
    Connection,
    /// A file, which a database in memory does not have: made at each opening.
    File,
    /// The file's layout: made before it has content, and read back for ever.
    Layout,
}

const fn setting(
    name: &'static str,
    value: &'static str,
    reads: &'static str,
    scope: Scope,
) -> Setting {
    Setting { name, value, reads, scope }
}

/// How long somebody else's lock on the file is waited for.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Every setting, in the order in which they are made.
const SETTINGS: &[Setting] = &[
    // Before the file has content: they decide its layout.
    setting("page_size", "4096", "4096", Scope::Layout),
    setting("auto_vacuum", "INCREMENTAL", "2", Scope::Layout),
    // Readers never wait for the writer, and a commit is one append and one sync.
    setting("journal_mode", "WAL", "wal", Scope::File),
    // The sync comes before the commit is reported. NORMAL would lose
    // acknowledged writes at a power cut.
    setting("synchronous", "FULL", "2", Scope::Connection),
    // Checkpoints of the WAL are made by the writer after it has reported, not
    // inside somebody's commit, where their failure would look like the commit's.
    setting("wal_autocheckpoint", "0", "0", Scope::File),
    // A WAL is written again from its start, not truncated; only one that
    // grew past this is cut back.
    setting("journal_size_limit", "8388608", "8388608", Scope::File),
    // Nothing in the file may call functions.
    setting("trusted_schema", "OFF", "0", Scope::Connection),
    setting("foreign_keys", "ON", "1", Scope::Connection),
    // Cells are checked when a page is read: damage is noticed sooner.
    setting("cell_size_check", "ON", "1", Scope::Connection),
    // What is deleted is overwritten where that costs no write of its own.
    setting("secure_delete", "FAST", "2", Scope::Connection),
    // KiB when negative. The whole of adrt is to fit in 4 MiB.
    setting("cache_size", "-512", "-512", Scope::Connection),
    setting("temp_store", "MEMORY", "2", Scope::Connection),
    // Damage or a truncated file under a map would be a SIGBUS, not an error.
    setting("mmap_size", "0", "0", Scope::File),
    // For somebody with the sqlite3 shell in the same file: BUSY_TIMEOUT.
    setting("busy_timeout", "5000", "5000", Scope::Connection),
];

/// Makes every setting and reads each one back. Nothing is written to a file
/// that has content, but that it is in WAL mode if it was not.
pub(crate) fn settle(conn: &Connection, found: &Found, in_memory: bool) -> Result<(), OpenError> {
    let failed = |e: rusqlite::Error| open_failure(Some(conn), &e);
    for setting in SETTINGS {
        let (make, check) = match setting.scope {
            Scope::Connection => (true, true),
            Scope::File => (!in_memory, !in_memory),
            Scope::Layout => (found.blank && !in_memory, !in_memory),
        };
        if make {
            let sql = format!("PRAGMA {} = {}", setting.name, setting.value);
            conn.prepare(&sql).and_then(|mut s| exhaust(s.query([])?)).map_err(failed)?;
        }
        if !check {
            continue;
        }
        let got = read_pragma(conn, setting.name).map_err(failed)?;
        if got == setting.reads {
            continue;
        }
        return Err(if setting.scope == Scope::Layout && !found.blank {
            // Every file is made with it.
            super::migrate::damaged(None, &format!("its header says {} = {got}", setting.name))
        } else {
            OpenError::Setting { name: setting.name, wanted: setting.value.to_owned(), got }
        });
    }
    Ok(())
}

fn exhaust(mut rows: rusqlite::Rows<'_>) -> rusqlite::Result<()> {
    while rows.next()?.is_some() {}
    Ok(())
}

/// A pragma's value as text.
pub(crate) fn read_pragma(conn: &Connection, name: &str) -> rusqlite::Result<String> {
    conn.query_row(&format!("PRAGMA {name}"), [], |row| {
        Ok(match row.get_ref(0)? {
            rusqlite::types::ValueRef::Integer(v) => v.to_string(),
            rusqlite::types::ValueRef::Text(v) => String::from_utf8_lossy(v).into_owned(),
            rusqlite::types::ValueRef::Null
            | rusqlite::types::ValueRef::Real(_)
            | rusqlite::types::ValueRef::Blob(_) => String::new(),
        })
    })
    .optional()
    .map(Option::unwrap_or_default)
}
