//! How hot it is, from the kernel's thermal zones.
//!
//! Each zone has its own limit, and the one that is nearest to it counts: a
//! laptop's processor is well at a temperature at which a Raspberry Pi is
//! slowed down. Where a zone does not say at what temperature that happens, it
//! is taken to be as for a Raspberry Pi, whose firmware does it at 80 °C and
//! tells the kernel nothing.

use std::path::{Path, PathBuf};

use super::text::Reader;
use crate::engines::environment::THROTTLES_AT;

/// Zones that are looked for; some telephones have this many.
const ZONES_MAX: usize = 96;
/// So many missing numbers in a row, and there are no more of them.
const GAP_MAX: usize = 4;
/// Trip points of a zone that are looked at.
const TRIPS_MAX: usize = 12;

/// What a sensor in a machine at work may say, in °C; others are not connected.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = -40.0..=150.0;
/// What may be a limit. Zones that have none say 0, or less than any cold.
const PLAUSIBLE_LIMIT: std::ops::RangeInclusive<f64> = 50.0..=125.0;

/// Zones of a PC's processor and board by the beginning of their type …
const OF_A_PC: [&str; 5] = ["x86_pkg_temp", "acpitz", "TCPU", "B0D4", "pch_"];
/// … and where such a processor slows itself down: few degrees below the 100
/// or so that all of them bear.
const PC_THROTTLES_AT: f64 = 95.0;
/// The kernel switches the machine off at a critical point. At so much below
/// it there is reason to worry, whatever else is said.
const BELOW_CRITICAL: f64 = 10.0;

/// How hot a zone is, in °C.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heat {
    /// It is this hot.
    pub degrees: f64,
    /// It is slowed down there.
    pub throttles_at: f64,
}

impl Heat {
    fn excess(self) -> f64 {
        self.degrees - self.throttles_at
    }
}

/// °C, from the text of a zone's `temp`, in thousandths.
pub fn degrees(text: &str) -> Option<f64> {
    let thousandths: f64 = text.trim().parse().ok()?;
    let degrees = thousandths / 1000.0;
    PLAUSIBLE.contains(&degrees).then_some(degrees)
}

/// Where a zone of that type is slowed down, with the types and texts of its
/// trip points.
pub fn limit<'t>(kind: &str, trips: impl Iterator<Item = (&'t str, f64)>) -> f64 {
    let is_pc = OF_A_PC.iter().any(|beginning| kind.starts_with(beginning));
    let usual = if is_pc { PC_THROTTLES_AT } else { THROTTLES_AT };
    let (mut slowed, mut critical) = (f64::INFINITY, f64::INFINITY);
    for (kind, degrees) in trips.filter(|(_, degrees)| PLAUSIBLE_LIMIT.contains(degrees)) {
        match kind {
            "passive" | "hot" => slowed = degrees.min(slowed),
            "critical" => critical = degrees.min(critical),
            // At an active one a fan comes on.
            _ => {}
        }
    }
    let slowed = if slowed.is_finite() { slowed } else { usual };
    slowed.min(critical - BELOW_CRITICAL)
}

/// Whether there is any zone: a machine without one needs nobody to read it.
pub fn is_there(root: &Path) -> bool {
    let dir = root.join("sys/class/thermal");
    (0..=GAP_MAX).any(|number| dir.join(format!("thermal_zone{number}")).is_dir())
}

#[derive(Debug)]
struct Zone {
    temp: PathBuf,
    throttles_at: f64,
}

/// All zones.
#[derive(Debug)]
pub struct Thermal {
    dir: PathBuf,
    zones: Vec<Zone>,
    reader: Reader,
}

impl Thermal {
    /// For a system whose files are there. Reads nothing yet.
    pub fn new(root: &Path) -> Self {
        Self { dir: root.join("sys/class/thermal"), zones: Vec::new(), reader: Reader::default() }
    }

    /// Looks for zones: there may be new ones.
    pub fn find(&mut self) {
        self.zones.clear();
        let mut missing = 0;
        for number in 0..ZONES_MAX {
            let dir = self.dir.join(format!("thermal_zone{number}"));
            match self.zone(&dir) {
                Some(zone) => {
                    self.zones.push(zone);
                    missing = 0;
                }
                None if missing == GAP_MAX => break,
                None => missing += 1,
            }
        }
    }

    /// A zone is there whether it can be read now or not.
    fn zone(&mut self, dir: &Path) -> Option<Zone> {
        if !dir.is_dir() {
            return None;
        }
        let kind = self.reader.text(&dir.join("type")).unwrap_or_default().trim().to_owned();
        let mut trips = Vec::new();
        for number in 0..TRIPS_MAX {
            let Some(trip) = self.trip(dir, number) else { break };
            trips.push(trip);
        }
        let trips = trips.iter().map(|(kind, degrees)| (kind.as_str(), *degrees));
        Some(Zone { temp: dir.join("temp"), throttles_at: limit(&kind, trips) })
    }

    fn trip(&mut self, dir: &Path, number: usize) -> Option<(String, f64)> {
        let file = |what| dir.join(format!("trip_point_{number}_{what}"));
        let kind = self.reader.text(&file("type"))?.trim().to_owned();
        let thousandths: f64 = self.reader.text(&file("temp"))?.trim().parse().ok()?;
        Some((kind, thousandths / 1000.0))
    }

    /// The zone nearest to its limit.
    pub fn look(&mut self) -> Option<Heat> {
        let reader = &mut self.reader;
        let heats = self.zones.iter().filter_map(|zone| {
            let degrees = degrees(reader.text(&zone.temp)?)?;
            Some(Heat { degrees, throttles_at: zone.throttles_at })
        });
        heats.max_by(|one, other| one.excess().total_cmp(&other.excess()))
    }
}
