//! Pressure stall information: how much of the time work stood still.
//!
//! The kernel's mean over ten seconds is taken: it is there at the first
//! look, and no stall between two looks is missed. Under a limit it is that of
//! adrt's own group, which the machine may know nothing of.

use std::path::{Path, PathBuf};

use super::text::Reader;
use crate::engines::environment::Stalls;

/// Which of its two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Some task stood still.
    Some,
    /// All did.
    Full,
}

/// The share of the last ten seconds, from the text of a pressure file.
pub fn share(pressure: &str, line: Line) -> Option<f64> {
    let name = match line {
        Line::Some => "some ",
        Line::Full => "full ",
    };
    let numbers = pressure.lines().find_map(|line| line.strip_prefix(name))?;
    let percent = numbers.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?;
    let percent: f64 = percent.parse().ok()?;
    percent.is_finite().then(|| (percent / 100.0).clamp(0.0, 1.0))
}

/// Its files.
#[derive(Debug)]
struct Files {
    cpu: PathBuf,
    memory: PathBuf,
    io: PathBuf,
}

impl Files {
    fn look(&self, reader: &mut Reader) -> Stalls {
        let mut of = |path: &Path, line| reader.text(path).and_then(|text| share(text, line));
        Stalls {
            cpu: of(&self.cpu, Line::Some),
            memory: of(&self.memory, Line::Some),
            io: of(&self.io, Line::Full),
        }
    }
}

/// The machine's, and those of a group.
#[derive(Debug)]
pub struct Psi {
    machine: Files,
    group: Option<Files>,
}

impl Psi {
    /// For a system whose files are there.
    pub fn new(root: &Path) -> Self {
        let file = |name| root.join("proc/pressure").join(name);
        let machine = Files { cpu: file("cpu"), memory: file("memory"), io: file("io") };
        Self { machine, group: None }
    }

    /// From now on, this is adrt's own group.
    pub fn find(&mut self, own: Option<&Path>) {
        self.group = own.map(|dir| Files {
            cpu: dir.join("cpu.pressure"),
            memory: dir.join("memory.pressure"),
            io: dir.join("io.pressure"),
        });
    }

    /// Looks; at the group, where there is a limit and it tells.
    pub fn look(&self, limited: bool, reader: &mut Reader) -> Stalls {
        let group = self.group.as_ref().filter(|_| limited);
        let group = group.map_or_else(Stalls::default, |files| files.look(reader));
        if [group.cpu, group.memory, group.io].iter().all(Option::is_some) {
            return group;
        }
        let machine = self.machine.look(reader);
        Stalls {
            cpu: group.cpu.or(machine.cpu),
            memory: group.memory.or(machine.memory),
            io: group.io.or(machine.io),
        }
    }
}
