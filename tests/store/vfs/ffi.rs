//! The C side: SQLite's function tables over [`Handle`] and [`World`].
//!
//! A [`Vfs`] is registered under a name of its own, so that each test has its
//! own world and they run side by side. Nothing here decides anything; no
//! function here may panic, since it is called from C.

use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_int, c_void};
use std::sync::Arc;
use std::{ptr, slice};

use rusqlite::ffi;

use super::handle::{self, Handle};
use super::world::World;

/// Longest path SQLite may hand over, in bytes.
const MAX_PATH: c_int = 1024;
/// What the Unix VFS calls its sector; the tearing is finer.
const SECTOR_SIZE: c_int = 4096;
/// Length of a Julian day in milliseconds.
const DAY_MS: f64 = 86_400_000.0;
/// The clock of every world stands still: 2026-01-01 in Julian milliseconds.
const NOW_JULIAN_MS: i64 = 212_634_072_000_000;

/// A file as SQLite knows it: its own part first, ours behind.
#[repr(C)]
struct CFile {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

/// A world registered with SQLite, by name, until dropped.
pub struct Vfs {
    raw: *mut ffi::sqlite3_vfs,
    name: CString,
    world: Arc<World>,
}

impl Vfs {
    /// Registers the world under a name nobody else has.
    pub fn new(world: World) -> Self {
        let world = Arc::new(world);
        let name = CString::new(format!("crash-{:p}", Arc::as_ptr(&world))).expect("no NUL");
        let raw = Box::into_raw(Box::new(table(&name, &world)));
        // SAFETY: `raw` is a complete table that stays where it is until it is
        // unregistered; the name and world it points to live in `self`.
        let code = unsafe { ffi::sqlite3_vfs_register(raw, 0) };
        assert_eq!(code, ffi::SQLITE_OK, "sqlite3_vfs_register");
        Self { raw, name, world }
    }

    /// The name to open databases with.
    pub fn name(&self) -> &str {
        self.name.to_str().expect("made from a str")
    }

    /// The world.
    pub fn world(&self) -> &World {
        &self.world
    }
}

impl Drop for Vfs {
    fn drop(&mut self) {
        // SAFETY: registered in `new`, and only there.
        unsafe { ffi::sqlite3_vfs_unregister(self.raw) };
        if self.world.open_files() > 0 {
            // A connection still points here (a test is failing): leave it be.
            std::mem::forget(Arc::clone(&self.world));
            return;
        }
        // SAFETY: made by Box::into_raw in `new`; unregistered, and no file
        // of it is open, so nobody has its address any more.
        drop(unsafe { Box::from_raw(self.raw) });
    }
}

fn table(name: &CString, world: &Arc<World>) -> ffi::sqlite3_vfs {
    ffi::sqlite3_vfs {
        iVersion: 2,
        szOsFile: size_of::<CFile>() as c_int,
        mxPathname: MAX_PATH,
        pNext: ptr::null_mut(),
        zName: name.as_ptr(),
        pAppData: Arc::as_ptr(world).cast_mut().cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: Some(last_error),
        xCurrentTimeInt64: Some(current_time_ms),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};

fn code(outcome: Result<(), c_int>) -> c_int {
    outcome.err().unwrap_or(ffi::SQLITE_OK)
}

/// Stores what was asked for where SQLite wants it.
///
/// # Safety
/// `out` must be valid for a write of `T`.
unsafe fn answer<T>(out: *mut T, outcome: Result<T, c_int>) -> c_int {
    match outcome {
        Ok(value) => {
            // SAFETY: as the caller promises.
            unsafe { out.write(value) };
            ffi::SQLITE_OK
        }
        Err(code) => code,
    }
}

/// The world of a registered table.
///
/// # Safety
/// `vfs` must be a table of [`table`], its [`Vfs`] alive; so it is in every
/// call SQLite makes through it.
unsafe fn world(vfs: *mut ffi::sqlite3_vfs) -> Arc<World> {
    // SAFETY: pAppData is `Arc::as_ptr` of the Arc that the Vfs holds, which
    // the caller promises is alive; the count is raised for the one made here.
    unsafe {
        let world: *const World = (*vfs).pAppData.cast();
        Arc::increment_strong_count(world);
        Arc::from_raw(world)
    }
}

/// The open file behind SQLite's pointer.
///
/// # Safety
/// `file` must have been opened by [`open`] and not been closed, and no other
/// reference to it may be in use: SQLite never calls two methods of one file
/// at once.
unsafe fn of<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: `open` put a CFile there, with a handle from Box::into_raw.
    unsafe { &mut *(*file.cast::<CFile>()).handle }
}

/// A path from SQLite.
///
/// # Safety
/// `name` must be null or a C string that outlives the result.
unsafe fn path<'a>(name: *const c_char) -> Option<&'a str> {
    if name.is_null() {
        return None;
    }
    // SAFETY: not null, so a C string, as the caller promises.
    unsafe { CStr::from_ptr(name) }.to_str().ok()
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes our table, a C string or null, szOsFile bytes at
    // `file`, and null or a valid pointer for the flags. pMethods must be
    // null when the open fails, or SQLite would call close.
    unsafe {
        let file = file.cast::<CFile>();
        (*file).base.pMethods = ptr::null();
        match Handle::open(&world(vfs), path(name), flags) {
            Ok(handle) => {
                (*file).handle = Box::into_raw(Box::new(handle));
                (*file).base.pMethods = &raw const METHODS;
                if !out_flags.is_null() {
                    *out_flags = flags;
                }
                ffi::SQLITE_OK
            }
            Err(code) => code,
        }
    }
}

unsafe extern "C" fn delete(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_dir: c_int,
) -> c_int {
    // SAFETY: our table, a C string.
    let (world, name) = unsafe { (world(vfs), path(name)) };
    let Some(name) = name else { return ffi::SQLITE_IOERR_DELETE };
    code(handle::delete(&mut world.lock(), name, sync_dir != 0))
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: our table, a C string, a valid pointer for the answer.
    unsafe {
        let world = world(vfs);
        let Some(name) = path(name) else { return ffi::SQLITE_IOERR_ACCESS };
        answer(out, handle::access(&mut world.lock(), name, flags).map(c_int::from))
    }
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    out_len: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes a C string and `out_len` bytes to copy it to,
    // which don't overlap.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes_with_nul();
        if name.len() > out_len as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        ptr::copy_nonoverlapping(name.as_ptr(), out.cast(), name.len());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(vfs: *mut ffi::sqlite3_vfs, len: c_int, out: *mut c_char) -> c_int {
    // SAFETY: our table, and `len` bytes at `out`, which are set to something
    // before they are seen as a slice.
    let (world, out) = unsafe {
        ptr::write_bytes(out, 0, len as usize);
        (world(vfs), slice::from_raw_parts_mut(out.cast::<u8>(), len as usize))
    };
    world.lock().rng.fill(out);
    len
}

unsafe extern "C" fn sleep(_vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    std::thread::yield_now();
    microseconds
}

unsafe extern "C" fn current_time(_vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: SQLite passes a valid pointer.
    unsafe { answer(out, Ok(NOW_JULIAN_MS as f64 / DAY_MS)) }
}

unsafe extern "C" fn current_time_ms(
    _vfs: *mut ffi::sqlite3_vfs,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes a valid pointer.
    unsafe { answer(out, Ok(NOW_JULIAN_MS)) }
}

unsafe extern "C" fn last_error(
    vfs: *mut ffi::sqlite3_vfs,
    _len: c_int,
    _out: *mut c_char,
) -> c_int {
    // SAFETY: our table.
    unsafe { world(vfs) }.lock().errno
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: opened by `open`, closed once; SQLite forgets the handle here.
    unsafe {
        drop(Box::from_raw((*file.cast::<CFile>()).handle));
        (*file).pMethods = ptr::null();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    out: *mut c_void,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: an open file, and `len` bytes at `out`, which are set to
    // something before they are seen as a slice.
    let (handle, out) = unsafe {
        ptr::write_bytes(out.cast::<u8>(), 0, len as usize);
        (of(file), slice::from_raw_parts_mut(out.cast::<u8>(), len as usize))
    };
    code(handle.read(out, at as usize))
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: an open file, and `len` bytes at `data`.
    let (handle, data) =
        unsafe { (of(file), slice::from_raw_parts(data.cast::<u8>(), len as usize)) };
    code(handle.write(data, at as usize))
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    // SAFETY: an open file.
    code(unsafe { of(file) }.truncate(len as usize))
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file.
    code(unsafe { of(file) }.sync())
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: an open file, a valid pointer.
    unsafe { answer(out, of(file).size().map(|size| size as ffi::sqlite3_int64)) }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    code(unsafe { of(file) }.lock(level))
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    unsafe { of(file) }.unlock(level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: an open file, a valid pointer.
    unsafe { answer(out, of(file).reserved().map(c_int::from)) }
}

unsafe extern "C" fn file_control(
    file: *mut ffi::sqlite3_file,
    op: c_int,
    arg: *mut c_void,
) -> c_int {
    match op {
        // SAFETY: an open file; for this op the argument is a pointer to an
        // int: negative asks, anything else sets.
        ffi::SQLITE_FCNTL_PERSIST_WAL => unsafe {
            let arg = arg.cast::<c_int>();
            let set = (*arg >= 0).then_some(*arg != 0);
            *arg = c_int::from(of(file).persist_wal(set));
            ffi::SQLITE_OK
        },
        // SAFETY: for this op it is a pointer to a 64-bit number: how much of
        // the file is mapped, which is nothing whatever is asked for.
        ffi::SQLITE_FCNTL_MMAP_SIZE => unsafe { answer(arg.cast::<ffi::sqlite3_int64>(), Ok(0)) },
        _ => ffi::SQLITE_NOTFOUND,
    }
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_SIZE
}

unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE | ffi::SQLITE_IOCAP_SUBPAGE_READ
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file, a valid pointer. What it is set to stays valid
    // until the last user unmaps: regions are boxed and never moved.
    unsafe {
        *out = ptr::null_mut();
        answer(out, of(file).shm_map(region as usize, size as usize, extend != 0))
    }
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    n: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: an open file.
    code(unsafe { of(file) }.shm_lock(first as usize, n as usize, flags))
}

unsafe extern "C" fn shm_barrier(_file: *mut ffi::sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: an open file.
    unsafe { of(file) }.shm_leave();
    ffi::SQLITE_OK
}

unsafe extern "C" fn fetch(
    file: *mut ffi::sqlite3_file,
    _at: ffi::sqlite3_int64,
    _len: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file, a valid pointer; null sends SQLite to `read`.
    unsafe { answer(out, of(file).fetch().map(|()| ptr::null_mut())) }
}

unsafe extern "C" fn unfetch(
    _file: *mut ffi::sqlite3_file,
    _at: ffi::sqlite3_int64,
    _page: *mut c_void,
) -> c_int {
    ffi::SQLITE_OK
}
