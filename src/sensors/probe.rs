//! All sensors in one look.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::aside::Aside;
use super::cgroup;
use super::cpu::Cpu;
use super::disk::{self, Room};
use super::memory::Meter;
use super::psi::Psi;
use super::text::Reader;
use super::thermal::{self, Heat, Thermal};
use crate::engines::environment::Sample;

/// Looks after which it is found out anew where limits and zones are: a
/// minute at the usual pace.
const FIND_EVERY: u32 = 12;

/// How long what is read aside may take to count for this look.
const PATIENCE: Duration = Duration::from_millis(20);

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Sources {
    /// `proc` and `sys` are in this directory.
    pub root: PathBuf,
    /// Something on the disk that is watched, if one is.
    pub disk: Option<PathBuf>,
}

/// Looks at all of them. What can't be had is missing in what is seen.
#[derive(Debug)]
pub struct Probe {
    root: PathBuf,
    reader: Reader,
    cpu: Cpu,
    memory: Meter,
    psi: Psi,
    /// None while there is no zone.
    thermal: Option<Aside<Heat>>,
    disk: Option<Aside<Room>>,
    looks: u32,
    /// For what is read aside.
    pub(super) patience: Duration,
}

impl Probe {
    /// Starts a thread for the disk; where the system has none to give, that
    /// is missing.
    pub fn new(sources: Sources) -> Self {
        let Sources { root, disk } = sources;
        let disk = disk.map(|path| Aside::start("adrt-disk", move || disk::look(&path)));
        Self {
            reader: Reader::default(),
            cpu: Cpu::new(&root),
            memory: Meter::new(&root),
            psi: Psi::new(&root),
            thermal: None,
            disk: disk.transpose().ok().flatten(),
            root,
            looks: 0,
            patience: PATIENCE,
        }
    }

    /// Looks.
    pub fn look(&mut self) -> Sample {
        if self.looks.is_multiple_of(FIND_EVERY) {
            self.find();
        }
        self.looks = self.looks.wrapping_add(1);
        // One that has not answered the last time is not waited for.
        let patience = |asked: bool| if asked { self.patience } else { Duration::ZERO };
        let heat_in = patience(self.thermal.as_ref().is_some_and(Aside::ask));
        let room_in = patience(self.disk.as_ref().is_some_and(Aside::ask));
        let cpu = self.cpu.look(&mut self.reader);
        let (memory, memory_is_limited) = self.memory.look(&mut self.reader);
        let psi = self.psi.look(cpu.limited || memory_is_limited, &mut self.reader);
        let heat = self.thermal.as_ref().and_then(|thermal| thermal.answer(heat_in));
        let room = self.disk.as_ref().and_then(|disk| disk.answer(room_in));
        Sample {
            cpu: cpu.share,
            memory,
            psi,
            temperature: heat.map(|heat| heat.degrees),
            throttles_at: heat.map(|heat| heat.throttles_at),
            disk: room.map(|room| room.used),
            disk_free: room.map(|room| room.free),
        }
    }

    /// Where limits are, and whether there is anything hot.
    fn find(&mut self) {
        if self.thermal.is_none() && thermal::is_there(&self.root) {
            self.thermal = read_zones(&self.root);
        }
        let tree = self.root.join("sys/fs/cgroup");
        let pure = self.reader.text(&tree.join("cgroup.controllers")).is_some();
        let unified = if pure { "sys/fs/cgroup" } else { "sys/fs/cgroup/unified" };
        // Where /proc is kept from us, what can be seen is still our own.
        let cgroup = self.reader.text(&self.root.join("proc/self/cgroup")).unwrap_or("0::/");
        let groups = cgroup::groups(cgroup, &self.root, unified);
        self.cpu.find(&groups.cpu, &mut self.reader);
        self.memory.find(&groups.memory);
        self.psi.find(groups.own.as_deref());
    }
}

/// Where the system has no thread to give, it is not known how hot it is.
fn read_zones(root: &Path) -> Option<Aside<Heat>> {
    let mut zones = Thermal::new(root);
    let mut looks = 0_u32;
    let read = move || {
        if looks.is_multiple_of(FIND_EVERY) {
            zones.find();
        }
        looks = looks.wrapping_add(1);
        zones.look()
    };
    Aside::start("adrt-thermal", read).ok()
}
