//! The database file and its write-ahead log as bytes, through SQLite's own
//! handles.
//!
//! SQLite's checks report a page that could not be *read* as damage, and no
//! statement of SQL writes a log over itself; both need the bytes. They are
//! reached through the VFS that the connection uses, so that they are the
//! same file whatever its name leads to by now, and no second descriptor is
//! opened: closing one would drop SQLite's locks on the file.
//!
//! Not here: any idea of what the bytes mean.

use std::io;
use std::marker::PhantomData;
use std::os::raw::{c_int, c_void};
use std::ptr::{NonNull, null_mut};

use rusqlite::{Connection, ffi};

/// Bytes moved at a time. SQLite's files take no more than 128 KiB - 1 in one
/// call: of a longer one they look at the lowest 17 bits of its length only.
pub(crate) const CHUNK: usize = 64 << 10;

/// An open file of a connection. It must not be used while a statement of
/// that connection runs, which the borrow does not see to.
pub(crate) struct RawFile<'conn> {
    file: NonNull<ffi::sqlite3_file>,
    conn: PhantomData<&'conn Connection>,
}

impl<'conn> RawFile<'conn> {
    /// The database file; none for one in memory.
    pub(crate) fn database(conn: &'conn Connection) -> Option<Self> {
        Self::of(conn, ffi::SQLITE_FCNTL_FILE_POINTER)
    }

    /// The write-ahead log. It is opened by the first reading of a database in
    /// WAL mode; none before, and in another mode.
    pub(crate) fn log(conn: &'conn Connection) -> rusqlite::Result<Option<Self>> {
        let mode: String = conn.query_row("PRAGMA journal_mode", [], |r| r.get(0))?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Ok(None);
        }
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(Self::of(conn, ffi::SQLITE_FCNTL_JOURNAL_POINTER))
    }

    fn of(conn: &'conn Connection, op: c_int) -> Option<Self> {
        let mut file: *mut ffi::sqlite3_file = null_mut();
        // SAFETY: the handle belongs to an open connection that outlives the
        // call and is used by no other thread; both ops store a pointer to a
        // file of the connection in the variable they are given.
        let code = unsafe {
            let out: *mut c_void = (&raw mut file).cast();
            ffi::sqlite3_file_control(conn.handle(), c"main".as_ptr(), op, out)
        };
        let file = NonNull::new(file).filter(|_| code == ffi::SQLITE_OK)?;
        let raw = Self { file, conn: PhantomData };
        raw.methods().is_some().then_some(raw)
    }

    /// The file's functions; none while it is not open.
    fn methods(&self) -> Option<&ffi::sqlite3_io_methods> {
        // SAFETY: SQLite keeps the file's memory as long as the connection,
        // which is borrowed; pMethods is null or a table that is never freed.
        unsafe { self.file.as_ref().pMethods.as_ref() }
    }

    /// Calls one of the file's functions.
    fn call(
        &self,
        function: impl FnOnce(&ffi::sqlite3_io_methods, *mut ffi::sqlite3_file) -> Option<c_int>,
    ) -> rusqlite::Result<c_int> {
        let methods = self.methods().ok_or(rusqlite::Error::InvalidQuery)?;
        function(methods, self.file.as_ptr()).ok_or(rusqlite::Error::InvalidQuery)
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> rusqlite::Result<u64> {
        let mut size = 0;
        // SAFETY: an open file's own function, and a variable for its answer.
        let code = self.call(|m, file| Some(unsafe { m.xFileSize?(file, &raw mut size) }))?;
        sound(code)?;
        Ok(super::rows::unsigned(size))
    }

    /// Reads what there is at `at`; past the end of the file there are zeros.
    /// No more than [`CHUNK`] bytes.
    fn read(&self, at: u64, out: &mut [u8]) -> rusqlite::Result<()> {
        let (to, len, at) = (out.as_mut_ptr().cast(), length(out), super::rows::signed(at));
        // SAFETY: an open file's own function, and memory of that length.
        let code = self.call(|m, file| Some(unsafe { m.xRead?(file, to, len, at) }))?;
        if code == ffi::SQLITE_IOERR_SHORT_READ { Ok(()) } else { sound(code) }
    }

    /// Writes at most [`CHUNK`] bytes.
    fn write(&self, at: u64, data: &[u8]) -> rusqlite::Result<()> {
        let (from, len, at) = (data.as_ptr().cast(), length(data), super::rows::signed(at));
        // SAFETY: an open file's own function, and memory of that length.
        sound(self.call(|m, file| Some(unsafe { m.xWrite?(file, from, len, at) }))?)
    }

    fn sync(&self) -> rusqlite::Result<()> {
        let flags = ffi::SQLITE_SYNC_NORMAL;
        // SAFETY: an open file's own function.
        sound(self.call(|m, file| Some(unsafe { m.xSync?(file, flags) }))?)
    }

    /// Writes the file over itself and syncs it. After a failed sync the
    /// system takes pages for written although they are not, for every
    /// process to come; only writing them again makes the next sync mean
    /// something.
    ///
    /// # Errors
    /// The disk's refusal.
    pub(crate) fn write_again(&self) -> rusqlite::Result<()> {
        let size = self.size()?;
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        while at < size {
            let len = CHUNK.min(usize::try_from(size - at).unwrap_or(CHUNK));
            self.read(at, &mut chunk[..len])?;
            self.write(at, &chunk[..len])?;
            at += len as u64;
        }
        if size > 0 { self.sync() } else { Ok(()) }
    }

    /// Whether every byte can be read.
    ///
    /// # Errors
    /// The disk's refusal.
    pub(crate) fn try_reading(&self) -> rusqlite::Result<()> {
        let size = self.size()?;
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        while at < size {
            self.read(at, &mut chunk)?;
            at += CHUNK as u64;
        }
        Ok(())
    }

    /// Reads it from its beginning.
    pub(crate) fn reader(&self) -> rusqlite::Result<RawReader<'_>> {
        Ok(RawReader { file: self, at: 0, size: self.size()? })
    }
}

/// Reads a file from its beginning to the end it had.
pub(crate) struct RawReader<'file> {
    file: &'file RawFile<'file>,
    at: u64,
    size: u64,
}

impl io::Read for RawReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let len = out.len().min(left).min(CHUNK);
        self.file.read(self.at, &mut out[..len]).map_err(io::Error::other)?;
        self.at += len as u64;
        Ok(len)
    }
}

fn length(bytes: &[u8]) -> c_int {
    debug_assert!(bytes.len() <= CHUNK, "see CHUNK");
    c_int::try_from(bytes.len()).unwrap_or(c_int::MAX)
}

fn sound(code: c_int) -> rusqlite::Result<()> {
    if code == ffi::SQLITE_OK {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
}
