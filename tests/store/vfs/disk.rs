//! A disk that can lose power: what was asked of it, and what it must keep.
//!
//! Every file has durable content and a list of changes that no sync has
//! covered yet; the directory likewise has durable names and a list of
//! pending ones. Programs see everything applied. [`Disk::cut`] is the power
//! loss: of what no sync covered any part may survive.
//!
//! What a cut does to one file's pending changes:
//! - each write is torn at [`SECTOR`] boundaries, and every sector of it is
//!   kept or dropped. Keeping an older write and dropping a newer one of the
//!   same sector is what reordering can do: the sector ends up with any one of
//!   its pending contents or the durable one;
//! - each change of size is kept or dropped; a size may survive without its
//!   data, which then reads as zeros or as what the disk held there before;
//! - a sector is never torn itself, and a sector that nothing wrote to is
//!   never harmed: SQLite counts on both (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`).
//!
//! A sync that *fails* is worse than none, as on Linux: what it was to write
//! is marked clean, stays visible, and no later sync writes it any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;

/// Bytes the disk writes as one.
pub const SECTOR: usize = 512;

/// A file's identity, which outlives its name.
pub type Inode = u64;

/// A change no sync has covered.
#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, data: Arc<[u8]> },
    Resize(usize),
}

/// One file.
#[derive(Debug, Clone, Default)]
struct File {
    durable: Arc<Vec<u8>>,
    current: Arc<Vec<u8>>,
    pending: Vec<Change>,
}

/// A change of the directory that no sync has covered.
#[derive(Debug, Clone)]
enum NameChange {
    Link(String, Inode),
    Unlink(String),
}

impl NameChange {
    fn name(&self) -> &str {
        match self {
            Self::Link(name, _) | Self::Unlink(name) => name,
        }
    }

    fn apply(self, names: &mut BTreeMap<String, Inode>) {
        match self {
            Self::Link(name, inode) => names.insert(name, inode),
            Self::Unlink(name) => names.remove(&name),
        };
    }
}

fn directory_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// The disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: BTreeMap<Inode, File>,
    names: BTreeMap<String, Inode>,
    durable_names: BTreeMap<String, Inode>,
    pending_names: Vec<NameChange>,
    last_inode: Inode,
}

/// How much of what was pending survives a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Survival {
    /// All: the power went after the disk had caught up.
    All,
    /// Nothing.
    Nothing,
    /// The first part, in order.
    Prefix,
    /// Any sectors.
    Any,
}

impl Survival {
    fn choose(rng: &mut Rng) -> Self {
        match rng.u8(0..8) {
            0 => Self::All,
            1 => Self::Nothing,
            2 | 3 => Self::Prefix,
            _ => Self::Any,
        }
    }
}

/// Writes `data` at `at`, the gap before it filled with zeros.
fn put(content: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if content.len() < end {
        set_len(content, end);
    }
    content[at..end].copy_from_slice(data);
}

/// `resize` with zeros, but not byte by byte in a debug build.
fn set_len(content: &mut Vec<u8>, len: usize) {
    match len.checked_sub(content.len()) {
        Some(more) => content.extend_from_slice(&vec![0; more]),
        None => content.truncate(len),
    }
}

impl File {
    fn of(content: Vec<u8>) -> Self {
        let content = Arc::new(content);
        Self { durable: Arc::clone(&content), current: content, pending: Vec::new() }
    }

    fn sync(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        for change in &pending {
            match change {
                Change::Write { at, data } => put(durable, *at, data),
                Change::Resize(len) => set_len(durable, *len),
            }
        }
    }

    /// What a power loss now would leave.
    fn torn(&self, rng: &mut Rng) -> Vec<u8> {
        let mut left = self.durable.as_ref().clone();
        let survival = Survival::choose(rng);
        let prefix = rng.usize(0..=self.pending.len());
        let share = f64::from(rng.u8(1..100)) / 100.0;
        for (index, change) in self.pending.iter().enumerate() {
            match survival {
                Survival::All => {}
                Survival::Nothing => break,
                Survival::Prefix if index < prefix => {}
                Survival::Prefix if index == prefix => {
                    tear(&mut left, change, rng, 0.5);
                    break;
                }
                Survival::Prefix => break,
                Survival::Any => {
                    tear(&mut left, change, rng, share);
                    continue;
                }
            }
            tear(&mut left, change, rng, 1.0);
        }
        if self.current.len() > left.len() && rng.u8(0..4) == 0 {
            let (from, zeros) = (left.len(), rng.bool());
            set_len(&mut left, self.current.len());
            if !zeros {
                rng.fill(&mut left[from..]);
            }
        }
        left
    }
}

/// Applies the sectors of `change` that survive, each with the probability `share`.
fn tear(left: &mut Vec<u8>, change: &Change, rng: &mut Rng, share: f64) {
    match change {
        Change::Resize(len) => {
            if rng.f64() < share {
                set_len(left, *len);
            }
        }
        Change::Write { at, data } => {
            let mut from = 0;
            while from < data.len() {
                let to = data.len().min((at + from) / SECTOR * SECTOR + SECTOR - at);
                if rng.f64() < share {
                    put(left, at + from, &data[from..to]);
                }
                from = to;
            }
        }
    }
}

impl Disk {
    /// The file of that name.
    pub fn find(&self, name: &str) -> Option<Inode> {
        self.names.get(name).copied()
    }

    /// A new, empty file; without a name when `name` is none.
    pub fn create(&mut self, name: Option<&str>) -> Inode {
        self.last_inode += 1;
        let inode = self.last_inode;
        self.files.insert(inode, File::default());
        if let Some(name) = name {
            self.names.insert(name.to_owned(), inode);
            self.pending_names.push(NameChange::Link(name.to_owned(), inode));
        }
        inode
    }

    /// Takes a name away; what holds the file open keeps it. Whether it was there.
    pub fn unlink(&mut self, name: &str) -> bool {
        let was_there = self.names.remove(name).is_some();
        if was_there {
            self.pending_names.push(NameChange::Unlink(name.to_owned()));
        }
        was_there
    }

    /// What a program reads at `at`: how many bytes there were.
    pub fn read(&self, inode: Inode, at: usize, out: &mut [u8]) -> usize {
        let Some(file) = self.files.get(&inode) else { return 0 };
        let from = file.current.get(at..).unwrap_or_default();
        let len = from.len().min(out.len());
        out[..len].copy_from_slice(&from[..len]);
        len
    }

    /// Bytes a program sees in the file.
    pub fn len(&self, inode: Inode) -> usize {
        self.files.get(&inode).map_or(0, |file| file.current.len())
    }

    /// Writes, without any promise.
    pub fn write(&mut self, inode: Inode, at: usize, data: &[u8]) {
        if let Some(file) = self.files.get_mut(&inode) {
            put(Arc::make_mut(&mut file.current), at, data);
            file.pending.push(Change::Write { at, data: Arc::from(data) });
        }
    }

    /// Changes the size, without any promise.
    pub fn resize(&mut self, inode: Inode, len: usize) {
        if let Some(file) = self.files.get_mut(&inode) {
            set_len(Arc::make_mut(&mut file.current), len);
            file.pending.push(Change::Resize(len));
        }
    }

    /// Makes all that was written to the file durable (its name is another matter).
    pub fn sync(&mut self, inode: Inode) {
        if let Some(file) = self.files.get_mut(&inode) {
            file.sync();
        }
    }

    /// A sync that fails: some of it is durable, the rest never will be,
    /// whatever later syncs say, though all of it can still be read.
    pub fn fail_sync(&mut self, inode: Inode, rng: &mut Rng) {
        if let Some(file) = self.files.get_mut(&inode) {
            file.durable = Arc::new(file.torn(rng));
            file.pending.clear();
        }
    }

    /// Makes names that came and went in the directory of `beside` durable.
    pub fn sync_names(&mut self, beside: &str) {
        let directory = directory_of(beside).to_owned();
        let (here, elsewhere): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending_names)
            .into_iter()
            .partition(|change| directory_of(change.name()) == directory);
        self.pending_names = elsewhere;
        for change in here {
            change.apply(&mut self.durable_names);
        }
    }

    /// The disk after the power came back: one of the many it could be.
    pub fn cut(&self, rng: &mut Rng) -> Self {
        let mut after = Self { last_inode: self.last_inode, ..Self::default() };
        after.names.clone_from(&self.durable_names);
        let survival = Survival::choose(rng);
        let prefix = rng.usize(0..=self.pending_names.len());
        for (index, change) in self.pending_names.iter().enumerate() {
            let kept = match survival {
                Survival::All => true,
                Survival::Nothing => false,
                Survival::Prefix => index < prefix,
                Survival::Any => rng.bool(),
            };
            if kept {
                change.clone().apply(&mut after.names);
            }
        }
        for inode in after.names.values() {
            if let Some(file) = self.files.get(inode) {
                after.files.insert(*inode, File::of(file.torn(rng)));
            }
        }
        after.durable_names.clone_from(&after.names);
        after
    }
}

mod tests {
    use super::*;

    fn content(disk: &Disk, name: &str) -> Option<Vec<u8>> {
        let inode = disk.find(name)?;
        let mut out = vec![0; disk.len(inode)];
        disk.read(inode, 0, &mut out);
        Some(out)
    }

    #[test]
    fn what_was_synced_survives_every_cut() {
        let mut disk = Disk::default();
        let inode = disk.create(Some("a"));
        disk.write(inode, 100, &[7; 2000]);
        disk.resize(inode, 1500);
        disk.sync(inode);
        disk.sync_names("a");
        let kept = content(&disk, "a");
        for seed in 0..200 {
            assert_eq!(content(&disk.cut(&mut Rng::with_seed(seed)), "a"), kept, "seed {seed}");
        }
    }

    #[test]
    fn a_sector_is_whole_or_absent_and_every_mixture_happens() {
        let mut disk = Disk::default();
        let inode = disk.create(Some("a"));
        disk.write(inode, 0, &[1; 2 * SECTOR]);
        disk.sync(inode);
        disk.sync_names("a");
        disk.write(inode, 0, &[2; 2 * SECTOR]);
        disk.write(inode, 0, &[3; 2 * SECTOR]);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..2000 {
            let after = content(&disk.cut(&mut Rng::with_seed(seed)), "a").unwrap();
            let (first, second) = after.split_at(SECTOR);
            assert!(first.iter().all(|byte| *byte == first[0]), "seed {seed}: torn inside");
            assert!(second.iter().all(|byte| *byte == second[0]), "seed {seed}: torn inside");
            seen.insert((first[0], second[0]));
        }
        assert_eq!(seen.len(), 9, "{seen:?}");
    }

    #[test]
    fn a_name_is_durable_only_after_its_directory_was_synced() {
        let mut disk = Disk::default();
        let inode = disk.create(Some("a"));
        disk.write(inode, 0, b"x");
        disk.sync(inode);
        let lost = (0..200).filter(|seed| disk.cut(&mut Rng::with_seed(*seed)).find("a").is_none());
        assert!(lost.count() > 0);
        disk.sync_names("a");
        disk.unlink("a");
        let back = (0..200).filter(|seed| {
            content(&disk.cut(&mut Rng::with_seed(*seed)), "a") == Some(b"x".to_vec())
        });
        assert!(back.count() > 0);
    }

    #[test]
    fn a_failed_sync_leaves_what_no_later_one_writes() {
        let mut rng = Rng::with_seed(1);
        let lost = (0..200u64).filter(|seed| {
            let mut disk = Disk::default();
            let inode = disk.create(Some("a"));
            disk.sync_names("a");
            disk.write(inode, 0, &[9; SECTOR]);
            disk.fail_sync(inode, &mut Rng::with_seed(*seed));
            disk.sync(inode);
            assert_eq!(content(&disk, "a"), Some(vec![9; SECTOR]), "still to be read");
            content(&disk.cut(&mut rng), "a") != Some(vec![9; SECTOR])
        });
        assert!(lost.count() > 0);
    }
}
