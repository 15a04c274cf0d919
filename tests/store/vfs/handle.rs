//! An open file: what SQLite's methods do, without C.
//!
//! Errors are SQLite's result codes. Behaviour follows its Unix VFS where that
//! matters to durability: the directory is synced with the first sync of a
//! journal or WAL after an opening that would have made it, and at no other
//! time but a delete that asks for it.

use std::os::raw::{c_int, c_void};
use std::sync::Arc;

use rusqlite::ffi;

use super::disk::{Inode, SECTOR};
use super::world::{Call, State, World};

/// Kinds of files with whose first sync the Unix VFS syncs their directory.
const JOURNALS: c_int =
    ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_WAL;

/// The longest read or write the Unix VFS does; it takes the lowest bits of a
/// greater length for the whole of it.
const LONGEST: usize = 0x1_ffff;

/// An open file of a world.
pub struct Handle {
    world: Arc<World>,
    me: u64,
    inode: Inode,
    name: Option<String>,
    delete_on_close: bool,
    sync_names: bool,
    persist_wal: bool,
}

impl Handle {
    /// Opens or makes a file; one without a name is temporary.
    pub fn open(world: &Arc<World>, name: Option<&str>, flags: c_int) -> Result<Self, c_int> {
        let mut guard = world.lock();
        let state = &mut *guard;
        let found = name.and_then(|name| state.disk.find(name));
        let create = name.is_none() || flags & ffi::SQLITE_OPEN_CREATE != 0;
        let made = found.is_none() && create;
        if made {
            state.change(Call::Open)?;
        } else {
            state.count(Call::Open, false)?;
        }
        let inode = match found {
            Some(_) if flags & ffi::SQLITE_OPEN_EXCLUSIVE != 0 => return Err(ffi::SQLITE_CANTOPEN),
            Some(inode) => inode,
            None if made => state.disk.create(name),
            None => return Err(ffi::SQLITE_CANTOPEN),
        };
        state.open_files += 1;
        state.last_handle += 1;
        Ok(Self {
            world: Arc::clone(world),
            me: state.last_handle,
            inode,
            name: name.map(str::to_owned),
            delete_on_close: flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0,
            sync_names: flags & ffi::SQLITE_OPEN_CREATE != 0 && flags & JOURNALS != 0,
            persist_wal: false,
        })
    }

    /// Reads at `at`; what lies past the end is zeros and a short read.
    pub fn read(&self, out: &mut [u8], at: usize) -> Result<(), c_int> {
        let mut state = self.world.lock();
        state.call(Call::Read)?;
        if out.len() > LONGEST || state.is_bad(self.inode, at, out.len()) {
            return Err(ffi::SQLITE_IOERR_READ);
        }
        let len = state.disk.read(self.inode, at, out);
        out[len..].fill(0);
        if len == out.len() { Ok(()) } else { Err(ffi::SQLITE_IOERR_SHORT_READ) }
    }

    /// Writes at `at`; a write that fails may have written a part, in whole sectors.
    pub fn write(&self, data: &[u8], at: usize) -> Result<(), c_int> {
        let mut guard = self.world.lock();
        let state = &mut *guard;
        if data.len() > LONGEST {
            return Err(ffi::SQLITE_FULL);
        }
        let outcome = state.change(Call::Write);
        let written = match outcome {
            Ok(()) => data.len(),
            Err(_) => {
                let end = at + state.rng.usize(0..data.len().max(1));
                (end / SECTOR * SECTOR).saturating_sub(at)
            }
        };
        if written > 0 {
            state.disk.write(self.inode, at, &data[..written]);
        }
        outcome
    }

    /// Changes the size.
    pub fn truncate(&self, len: usize) -> Result<(), c_int> {
        let mut state = self.world.lock();
        state.change(Call::Truncate)?;
        state.disk.resize(self.inode, len);
        Ok(())
    }

    /// Makes the content durable, or only says so in a world that lies.
    pub fn sync(&mut self) -> Result<(), c_int> {
        let mut guard = self.world.lock();
        let state = &mut *guard;
        if let Err(code) = state.change(Call::Sync) {
            state.disk.fail_sync(self.inode, &mut state.rng);
            return Err(code);
        }
        if state.lying_sync {
            return Ok(());
        }
        state.disk.sync(self.inode);
        if let (true, Some(name)) = (std::mem::take(&mut self.sync_names), &self.name) {
            state.disk.sync_names(name);
        }
        Ok(())
    }

    /// Bytes in the file.
    pub fn size(&self) -> Result<usize, c_int> {
        let mut state = self.world.lock();
        state.call(Call::Size)?;
        Ok(state.disk.len(self.inode))
    }

    /// Raises the lock.
    pub fn lock(&self, level: c_int) -> Result<(), c_int> {
        let mut state = self.world.lock();
        state.call(Call::Lock)?;
        state.locks.entry(self.inode).or_default().lock(self.me, level)
    }

    /// Lowers the lock.
    pub fn unlock(&self, level: c_int) {
        self.world.lock().locks.entry(self.inode).or_default().unlock(self.me, level);
    }

    /// Whether anybody is about to write.
    pub fn reserved(&self) -> Result<bool, c_int> {
        let mut state = self.world.lock();
        state.call(Call::Lock)?;
        Ok(state.locks.entry(self.inode).or_default().reserved())
    }

    /// Whether the WAL stays when the last connection closes.
    pub fn persist_wal(&mut self, set: Option<bool>) -> bool {
        if let Some(set) = set {
            self.persist_wal = set;
        }
        self.persist_wal
    }

    /// The address of a piece of the WAL index, null where there is none.
    pub fn shm_map(&self, region: usize, size: usize, extend: bool) -> Result<*mut c_void, c_int> {
        let mut state = self.world.lock();
        let longer = extend && !state.shm.entry(self.inode).or_default().has(region);
        state.count(Call::ShmMap, longer)?;
        Ok(state.shm.entry(self.inode).or_default().map(self.me, region, size, extend))
    }

    /// Takes or gives back locks of the WAL index. Giving back never fails.
    pub fn shm_lock(&self, first: usize, n: usize, flags: c_int) -> Result<(), c_int> {
        let mut state = self.world.lock();
        if flags & ffi::SQLITE_SHM_LOCK != 0 {
            state.call(Call::ShmLock)?;
        }
        state.shm.entry(self.inode).or_default().lock(self.me, first, n, flags)
    }

    /// Lets go of the WAL index, which ends with its last user.
    pub fn shm_leave(&self) {
        let mut state = self.world.lock();
        if state.shm.get_mut(&self.inode).is_some_and(|shm| shm.leave(self.me)) {
            state.shm.remove(&self.inode);
        }
    }

    /// A mapped read is never offered, but asking for one may fail.
    pub fn fetch(&self) -> Result<(), c_int> {
        self.world.lock().call(Call::Fetch)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shm_leave();
        self.unlock(ffi::SQLITE_LOCK_NONE);
        let mut state = self.world.lock();
        state.open_files = state.open_files.saturating_sub(1);
        if let (true, Some(name)) = (self.delete_on_close, &self.name) {
            state.disk.unlink(name);
        }
    }
}

/// Deletes a file, durably if asked.
pub fn delete(state: &mut State, name: &str, sync_names: bool) -> Result<(), c_int> {
    state.change(Call::Delete)?;
    if !state.disk.unlink(name) {
        return Err(ffi::SQLITE_IOERR_DELETE_NOENT);
    }
    if sync_names && !state.lying_sync {
        state.disk.sync_names(name);
    }
    Ok(())
}

/// Whether a file is there; an empty one is not, as in the Unix VFS.
pub fn access(state: &mut State, name: &str, flags: c_int) -> Result<bool, c_int> {
    state.call(Call::Access)?;
    let found = state.disk.find(name);
    Ok(found.is_some_and(|inode| flags != ffi::SQLITE_ACCESS_EXISTS || state.disk.len(inode) > 0))
}
