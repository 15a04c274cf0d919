//! A world: one disk, the locks and shared memory of those who have it open,
//! and what is planned to go wrong.
//!
//! Calls are numbered from 1 over a world's life; reads count too. A
//! [`Fault`] makes calls fail. A [`Moment`] is the disk as it is just before a
//! call that would change it, together with the [`World::mark`] of what had
//! been acknowledged by then. Remembering one costs little, so that one run
//! of a workload yields many cuts; what happens later in the run is nothing
//! the remembered disk could know of.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::raw::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use rusqlite::ffi;

use super::disk::{Disk, Inode};
use super::locks::{Locks, Shm};

/// What SQLite asks of a file system, as far as it can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Open,
    Delete,
    Access,
    Read,
    Write,
    Truncate,
    Sync,
    Size,
    Lock,
    ShmMap,
    ShmLock,
    Fetch,
}

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// EIO.
    Io,
    /// ENOSPC: only what needs space fails.
    NoSpace,
}

impl Trouble {
    const fn errno(self) -> c_int {
        match self {
            Self::Io => nix::libc::EIO,
            Self::NoSpace => nix::libc::ENOSPC,
        }
    }
}

/// Calls that are to fail.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// The first call that fails, by number.
    pub from: u64,
    /// All after it fail too.
    pub lasting: bool,
    /// How.
    pub trouble: Trouble,
}

/// The disk as it was when the power could have gone.
#[derive(Debug, Clone)]
pub struct Moment {
    /// [`World::mark`] at that moment.
    pub mark: u64,
    /// The disk.
    pub disk: Disk,
}

/// One disk and all that has it open.
pub struct World(Mutex<State>);

/// What the lock of a world guards.
pub struct State {
    pub disk: Disk,
    pub rng: Rng,
    pub locks: BTreeMap<Inode, Locks>,
    pub shm: BTreeMap<Inode, Shm>,
    pub open_files: usize,
    pub last_handle: u64,
    pub lying_sync: bool,
    /// What the system's last failed call said.
    pub errno: c_int,
    /// Bytes of one file that can't be read.
    bad: Option<(Inode, Range<usize>)>,
    calls: u64,
    mark: u64,
    fault: Option<Fault>,
    struck: Vec<(u64, Call)>,
    remember_one_in: Option<u32>,
    remembering: Rng,
    moments: Vec<Moment>,
}

impl World {
    /// A world around `disk`; `seed` decides all that chance decides in it.
    pub fn new(disk: Disk, seed: u64) -> Self {
        Self(Mutex::new(State {
            disk,
            rng: Rng::with_seed(seed),
            locks: BTreeMap::new(),
            shm: BTreeMap::new(),
            open_files: 0,
            last_handle: 0,
            lying_sync: false,
            errno: 0,
            bad: None,
            calls: 0,
            mark: 0,
            fault: None,
            struck: Vec::new(),
            remember_one_in: None,
            remembering: Rng::with_seed(!seed),
            moments: Vec::new(),
        }))
    }

    /// The world, held.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what has been acknowledged by now, for the moments to come.
    pub fn mark(&self, mark: u64) {
        self.lock().mark = mark;
    }

    /// Remembers, by chance, one in so many moments before a change (opens
    /// that create, writes, truncates, syncs, deletes) from now on.
    pub fn remember_one_in(&self, many: u32) {
        self.lock().remember_one_in = Some(many);
    }

    /// The moments remembered, oldest first, and the present one last.
    pub fn moments(&self) -> Vec<Moment> {
        let mut state = self.lock();
        let now = state.moment();
        let mut moments = std::mem::take(&mut state.moments);
        moments.push(now);
        moments
    }

    /// Plans a fault, or with none ends it.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    /// From now on these bytes of a file can't be read. False if there is no such file.
    pub fn wear_out(&self, name: &str, bytes: Range<usize>) -> bool {
        let mut state = self.lock();
        let inode = state.disk.find(name);
        state.bad = inode.map(|inode| (inode, bytes));
        inode.is_some()
    }

    /// The calls that were made to fail: number and kind.
    pub fn struck(&self) -> Vec<(u64, Call)> {
        self.lock().struck.clone()
    }

    /// Syncs succeed and do nothing from now on, as cheap storage has it.
    pub fn lie_about_syncs(&self) {
        self.lock().lying_sync = true;
    }

    /// How many calls there have been.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// How many files are open: none once every connection is closed.
    pub fn open_files(&self) -> usize {
        self.lock().open_files
    }
}

impl State {
    fn moment(&self) -> Moment {
        Moment { mark: self.mark, disk: self.disk.clone() }
    }

    /// Whether any of these bytes can't be read; the system says EIO then.
    pub fn is_bad(&mut self, inode: Inode, at: usize, len: usize) -> bool {
        let worn = |(file, bytes): &(Inode, Range<usize>)| {
            *file == inode && bytes.start < at + len && at < bytes.end
        };
        let bad = self.bad.as_ref().is_some_and(worn);
        if bad {
            self.errno = Trouble::Io.errno();
        }
        bad
    }

    /// Counts a call; an error when it is to fail.
    pub fn call(&mut self, call: Call) -> Result<(), c_int> {
        self.count(call, true)
    }

    /// Counts a call that changes the disk, and remembers the moment before
    /// it when that was planned.
    pub fn change(&mut self, call: Call) -> Result<(), c_int> {
        if self.remember_one_in.is_some_and(|many| self.remembering.u32(0..many) == 0) {
            let moment = self.moment();
            self.moments.push(moment);
        }
        self.count(call, true)
    }

    /// Counts a call; `needs_space` says whether a full disk can fail it.
    pub fn count(&mut self, call: Call, needs_space: bool) -> Result<(), c_int> {
        self.calls += 1;
        let Some(fault) = self.fault else { return Ok(()) };
        if self.calls < fault.from {
            return Ok(());
        }
        let code = match fault.trouble {
            Trouble::Io => io_error(call),
            Trouble::NoSpace if needs_space => match space_error(call) {
                Some(code) => code,
                None => return Ok(()),
            },
            Trouble::NoSpace => return Ok(()),
        };
        self.errno = fault.trouble.errno();
        self.struck.push((self.calls, call));
        if !fault.lasting {
            self.fault = None;
        }
        Err(code)
    }
}

/// What the Unix VFS returns when the system call fails with EIO.
const fn io_error(call: Call) -> c_int {
    match call {
        Call::Open => ffi::SQLITE_CANTOPEN,
        Call::Delete => ffi::SQLITE_IOERR_DELETE,
        Call::Access => ffi::SQLITE_IOERR_ACCESS,
        Call::Read => ffi::SQLITE_IOERR_READ,
        Call::Write => ffi::SQLITE_IOERR_WRITE,
        Call::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
        Call::Sync => ffi::SQLITE_IOERR_FSYNC,
        Call::Size => ffi::SQLITE_IOERR_FSTAT,
        Call::Lock => ffi::SQLITE_IOERR_LOCK,
        Call::ShmMap => ffi::SQLITE_IOERR_SHMMAP,
        Call::ShmLock => ffi::SQLITE_IOERR_SHMLOCK,
        Call::Fetch => ffi::SQLITE_IOERR_MMAP,
    }
}

/// What it returns for ENOSPC; none where no space is asked for.
const fn space_error(call: Call) -> Option<c_int> {
    match call {
        Call::Open => Some(ffi::SQLITE_CANTOPEN),
        Call::Write => Some(ffi::SQLITE_FULL),
        Call::Sync => Some(ffi::SQLITE_IOERR_FSYNC),
        Call::ShmMap => Some(ffi::SQLITE_IOERR_SHMSIZE),
        Call::Delete
        | Call::Access
        | Call::Read
        | Call::Truncate
        | Call::Size
        | Call::Lock
        | Call::ShmLock
        | Call::Fetch => None,
    }
}
