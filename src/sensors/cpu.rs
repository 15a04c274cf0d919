//! How much of the processor time that may be used is used.
//!
//! Without a limit: of the processors that adrt and its agent may run on.
//! With one, of what it allows in the time that passed; of several, the one
//! that is used up most.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cgroup::{Group, Version};
use super::text::{Reader, named, number};
use crate::clock;
use crate::clock::Mono;

/// Enough of `/proc/stat` for its first line.
const FIRST_LINE_BYTES: usize = 256;
/// Processors that can be told apart.
const PROCESSORS_MAX: usize = 1024;
const WORD_BITS: usize = u64::BITS as usize;

/// A set of processors, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processors([u64; PROCESSORS_MAX / WORD_BITS]);

impl Processors {
    /// From a list like `0-3,8`; a number that is too high is left out.
    pub fn parse(list: &str) -> Option<Self> {
        let mut set = Self([0; PROCESSORS_MAX / WORD_BITS]);
        for range in list.trim().split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            for number in first..=last.min(PROCESSORS_MAX - 1) {
                if let Some(word) = set.0.get_mut(number / WORD_BITS) {
                    *word |= 1 << (number % WORD_BITS);
                }
            }
        }
        Some(set)
    }

    fn has(&self, number: usize) -> bool {
        self.0.get(number / WORD_BITS).is_some_and(|word| word >> (number % WORD_BITS) & 1 == 1)
    }
}

/// The list of `Cpus_allowed_list` in the text of `/proc/self/status`.
pub fn allowed(status: &str) -> Option<Processors> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Processors::parse(list)
}

/// Time that processors have been up, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ticks {
    /// Used, by anybody: also by other guests of the host.
    pub busy: u64,
    /// All.
    pub total: u64,
}

impl Ticks {
    /// The share that was busy since `before`.
    pub fn share_since(self, before: Self) -> Option<f64> {
        // The kernel's count of idle time goes back now and then.
        let total = self.total.checked_sub(before.total).filter(|total| *total > 0)?;
        let busy = self.busy.saturating_sub(before.busy).min(total);
        Some(busy as f64 / total as f64)
    }
}

/// What a line of `/proc/stat` counts, without its name.
fn ticks(counts: &str) -> Option<Ticks> {
    let mut counts = counts.split_whitespace().map(str::parse::<u64>);
    let mut next = || counts.next().and_then(Result::ok);
    let (user, nice, system, idle) = (next()?, next()?, next()?, next()?);
    // Old kernels have fewer. What guests used, behind these, is in user and nice.
    let mut more = || next().unwrap_or(0);
    let (waiting, irq, softirq, stolen) = (more(), more(), more(), more());
    let busy = [user, nice, system, irq, softirq, stolen].into_iter().fold(0, u64::wrapping_add);
    Some(Ticks { busy, total: busy.wrapping_add(idle).wrapping_add(waiting) })
}

/// Of all processors, from the text of `/proc/stat`.
pub fn ticks_of_all(stat: &str) -> Option<Ticks> {
    ticks(stat.lines().find_map(|line| line.strip_prefix("cpu "))?)
}

/// The processors that are there, with their ticks.
fn each(stat: &str) -> impl Iterator<Item = (usize, Ticks)> {
    stat.lines().filter_map(|line| {
        let (name, counts) = line.strip_prefix("cpu")?.split_once(' ')?;
        Some((name.parse().ok()?, ticks(counts)?))
    })
}

/// Of these processors.
pub fn ticks_of(stat: &str, processors: &Processors) -> Option<Ticks> {
    let ours = each(stat).filter(|(number, _)| processors.has(*number));
    ours.map(|(_, ticks)| ticks).reduce(|one, other| Ticks {
        busy: one.busy.wrapping_add(other.busy),
        total: one.total.wrapping_add(other.total),
    })
}

/// So many processors' worth of time are allowed, from the text of `cpu.max`;
/// none if there is no limit.
pub fn quota(cpu_max: &str) -> Option<f64> {
    let (quota, period) = cpu_max.trim().split_once(' ')?;
    limit(quota.parse().ok()?, period.parse().ok()?)
}

/// The same from `cpu.cfs_quota_us` and `cpu.cfs_period_us`, where -1 is no limit.
pub fn limit(quota: i64, period: i64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// Files of a group, and what it had used at the last look.
#[derive(Debug)]
struct Limited {
    version: Version,
    quota: PathBuf,
    period: PathBuf,
    usage: PathBuf,
    before: Option<(Duration, Mono)>,
}

impl Limited {
    fn new(group: &Group) -> Self {
        let (quota, usage) = match group.version {
            Version::One => ("cpu.cfs_quota_us", "cpuacct.usage"),
            Version::Two => ("cpu.max", "cpu.stat"),
        };
        Self {
            version: group.version,
            quota: group.dir.join(quota),
            period: group.dir.join("cpu.cfs_period_us"),
            usage: group.usage.join(usage),
            before: None,
        }
    }

    fn quota(&self, reader: &mut Reader) -> Option<f64> {
        match self.version {
            Version::Two => quota(reader.text(&self.quota)?),
            Version::One => {
                let quota = reader.text(&self.quota)?.trim().parse().ok()?;
                limit(quota, reader.text(&self.period)?.trim().parse().ok()?)
            }
        }
    }

    fn used(&self, reader: &mut Reader) -> Option<Duration> {
        let text = reader.text(&self.usage)?;
        match self.version {
            Version::Two => named(text, "usage_usec").map(Duration::from_micros),
            Version::One => number(text).map(Duration::from_nanos),
        }
    }

    /// What of its limit was used since the last look, if it is one.
    fn look(&mut self, reader: &mut Reader, processors: f64, now: Mono) -> Used {
        let quota = self.quota(reader).filter(|quota| *quota < processors);
        let Some(quota) = quota else {
            self.before = None;
            return Used::default();
        };
        let used = self.used(reader);
        let before = std::mem::replace(&mut self.before, used.map(|used| (used, now)));
        let share = used.zip(before).and_then(|(used, (before, at))| {
            let allowed = now.since(at).as_secs_f64() * quota;
            let used = used.saturating_sub(before).as_secs_f64();
            (allowed > 0.0).then(|| (used / allowed).min(1.0))
        });
        Used { share, limited: true }
    }
}

/// What a look gives.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Used {
    /// The share, once there are two looks to tell it from.
    pub share: Option<f64>,
    /// There is a limit.
    pub limited: bool,
}

impl Used {
    /// The limit that is used up most.
    fn or_more(self, other: Self) -> Self {
        let shares = [self.share, other.share].into_iter().flatten();
        Self { share: shares.reduce(f64::max), limited: self.limited || other.limited }
    }
}

/// The processor.
#[derive(Debug, Default)]
pub struct Cpu {
    stat: PathBuf,
    status: PathBuf,
    /// Those that may be used, if not all.
    restricted: Option<Processors>,
    /// How many that is.
    count: usize,
    before: Option<Ticks>,
    groups: Vec<Limited>,
}

impl Cpu {
    /// For a system whose files are there.
    pub fn new(root: &Path) -> Self {
        Self {
            stat: root.join("proc/stat"),
            status: root.join("proc/self/status"),
            ..Self::default()
        }
    }

    /// Finds out anew what may be used.
    pub fn find(&mut self, groups: &[Group], reader: &mut Reader) {
        let allowed = reader.text(&self.status).and_then(allowed);
        let stat = reader.text(&self.stat).unwrap_or_default();
        let here = each(stat).count();
        let ours = |set: &Processors| each(stat).filter(|(number, _)| set.has(*number)).count();
        let restricted = allowed.filter(|set| (1..here).contains(&ours(set)));
        self.count = restricted.as_ref().map_or(here, ours);
        if restricted != self.restricted {
            self.restricted = restricted;
            self.before = None;
        }
        let same = self.groups.len() == groups.len()
            && self.groups.iter().zip(groups).all(|(ours, group)| {
                ours.quota.parent() == Some(&group.dir) && ours.version == group.version
            });
        if !same {
            self.groups = groups.iter().map(Limited::new).collect();
        }
    }

    /// Looks.
    pub fn look(&mut self, reader: &mut Reader) -> Used {
        // Without a count any quota is a limit.
        let processors = if self.count == 0 { f64::MAX } else { self.count as f64 };
        let now = clock::mono();
        let looks = self.groups.iter_mut().map(|group| group.look(reader, processors, now));
        let limited = looks.fold(Used::default(), Used::or_more);
        let ticks = match &self.restricted {
            None => reader.beginning(&self.stat, FIRST_LINE_BYTES).and_then(ticks_of_all),
            Some(ours) => reader.text(&self.stat).and_then(|stat| ticks_of(stat, ours)),
        };
        let before = std::mem::replace(&mut self.before, ticks);
        let all = ticks.zip(before).and_then(|(now, before)| now.share_since(before));
        if limited.limited { limited } else { Used { share: all, limited: false } }
    }
}
