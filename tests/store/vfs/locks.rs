//! The locks of a database file and of its WAL index, and that index itself.
//! All of it is gone at a power cut.

use std::collections::BTreeMap;
use std::os::raw::{c_int, c_void};

use rusqlite::ffi;

/// Slots of the WAL index's lock, as bits.
const SHM_SLOTS: usize = ffi::SQLITE_SHM_NLOCK as usize;

/// Who holds which lock of a database file.
#[derive(Debug, Default)]
pub struct Locks(BTreeMap<u64, c_int>);

impl Locks {
    /// The strongest lock anybody but `me` holds.
    fn others(&self, me: u64) -> c_int {
        let held = self.0.iter().filter(|(who, _)| **who != me).map(|(_, level)| *level);
        held.max().unwrap_or(ffi::SQLITE_LOCK_NONE)
    }

    /// Raises the lock of `me`, or says busy.
    pub fn lock(&mut self, me: u64, level: c_int) -> Result<(), c_int> {
        if self.0.get(&me).is_some_and(|held| *held >= level) {
            return Ok(());
        }
        let others = self.others(me);
        let free = match level {
            ffi::SQLITE_LOCK_SHARED => others < ffi::SQLITE_LOCK_PENDING,
            ffi::SQLITE_LOCK_RESERVED => others < ffi::SQLITE_LOCK_RESERVED,
            _ => others < ffi::SQLITE_LOCK_SHARED,
        };
        if free {
            self.0.insert(me, level);
            return Ok(());
        }
        if level == ffi::SQLITE_LOCK_EXCLUSIVE && others < ffi::SQLITE_LOCK_RESERVED {
            self.0.insert(me, ffi::SQLITE_LOCK_PENDING);
        }
        Err(ffi::SQLITE_BUSY)
    }

    /// Lowers the lock of `me`.
    pub fn unlock(&mut self, me: u64, level: c_int) {
        if level == ffi::SQLITE_LOCK_NONE {
            self.0.remove(&me);
        } else if let Some(held) = self.0.get_mut(&me) {
            *held = level.min(*held);
        }
    }

    /// Whether anybody is about to write.
    pub fn reserved(&self) -> bool {
        self.others(0) >= ffi::SQLITE_LOCK_RESERVED
    }
}

/// A piece of shared memory that SQLite reads and writes through its address.
struct Region(Box<[u64]>);

/// What one connection holds of the WAL index's locks, a bit a slot.
#[derive(Default, Clone, Copy)]
struct Held {
    shared: u32,
    exclusive: u32,
}

/// The WAL index of one database file.
#[derive(Default)]
pub struct Shm {
    regions: Vec<Region>,
    users: BTreeMap<u64, Held>,
}

impl Shm {
    /// The address of a region of `size` bytes; null when it is not there and
    /// not to be made.
    pub fn map(&mut self, me: u64, region: usize, size: usize, extend: bool) -> *mut c_void {
        self.users.entry(me).or_default();
        while self.regions.len() <= region {
            if !extend {
                return std::ptr::null_mut();
            }
            self.regions.push(Region(vec![0; size.div_ceil(size_of::<u64>())].into()));
        }
        self.regions[region].0.as_mut_ptr().cast()
    }

    /// Whether mapping this region makes the index longer.
    pub fn has(&self, region: usize) -> bool {
        region < self.regions.len()
    }

    /// Takes or gives back `n` slots from `first` on.
    pub fn lock(&mut self, me: u64, first: usize, n: usize, flags: c_int) -> Result<(), c_int> {
        debug_assert!(first + n <= SHM_SLOTS);
        let bits = ((1u32 << n) - 1) << first;
        let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
        if flags & ffi::SQLITE_SHM_LOCK != 0 {
            let taken = self.users.iter().filter(|(who, _)| **who != me).any(|(_, held)| {
                held.exclusive & bits != 0 || (exclusive && held.shared & bits != 0)
            });
            if taken {
                return Err(ffi::SQLITE_BUSY);
            }
        }
        let held = self.users.entry(me).or_default();
        let mask = if exclusive { &mut held.exclusive } else { &mut held.shared };
        if flags & ffi::SQLITE_SHM_LOCK != 0 {
            *mask |= bits;
        } else {
            *mask &= !bits;
        }
        Ok(())
    }

    /// `me` is done with it. Whether nobody is left.
    pub fn leave(&mut self, me: u64) -> bool {
        self.users.remove(&me);
        self.users.is_empty()
    }
}
