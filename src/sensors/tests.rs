//! Texts of real machines, in trees of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::cgroup::Version;
use super::cpu::{self, Cpu, Processors, Ticks};
use super::memory::{self, Memory};
use super::probe::{Probe, Sources};
use super::psi::{self, Line};
use super::text::Reader;
use super::thermal::{self, Heat, Thermal};
use super::{Sensors, disk};
use crate::engines::environment::{Sample, Stalls};

/// A Raspberry Pi 4 with 2 GiB, at work.
const PI_STAT: &str = "\
cpu  132410 12 41000 4012345 8123 0 911 0 0 0
cpu0 33102 3 10250 1003086 2030 0 227 0 0 0
cpu1 33103 3 10250 1003087 2031 0 228 0 0 0
cpu2 33102 3 10250 1003086 2031 0 228 0 0 0
cpu3 33103 3 10250 1003086 2031 0 228 0 0 0
intr 41230141 0 181 9921
ctxt 81239012
btime 1763990000
";
const PI_MEMINFO: &str = "\
MemTotal:        1892544 kB
MemFree:          102400 kB
MemAvailable:     946272 kB
Buffers:           40960 kB
Cached:           810000 kB
SwapCached:            0 kB
";
const PRESSURE: &str = "\
some avg10=12.34 avg60=5.00 avg300=1.00 total=3574525242
full avg10=1.50 avg60=0.00 avg300=0.00 total=77533906
";
const NO_PRESSURE: &str = "\
some avg10=0.00 avg60=0.01 avg300=0.29 total=3574525242
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
";
/// A group's memory: 300 MiB of files in 400.
const STAT_V2: &str = "\
anon 83886080
file 314572800
kernel 20971520
slab_reclaimable 10485760
inactive_file 209715200
active_file 104857600
workingset_refault_file 0
";
const STAT_V1: &str = "\
cache 314572800
inactive_file 4096
active_file 4096
total_inactive_file 209715200
total_active_file 104857600
";

const LONG: Duration = Duration::from_secs(60);

/// A directory like `/`.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn of_a_pi() -> Self {
        let tree = Self::new();
        tree.put("proc/stat", PI_STAT);
        tree.put("proc/meminfo", PI_MEMINFO);
        tree.put("proc/self/status", "Name:\tadrt\nCpus_allowed_list:\t0-3\n");
        tree.put("proc/self/cgroup", "0::/system.slice/adrt.service\n");
        tree.put("sys/fs/cgroup/cgroup.controllers", "cpu memory io\n");
        tree.put("sys/fs/cgroup/system.slice/adrt.service/memory.max", "max\n");
        tree.put("sys/fs/cgroup/system.slice/adrt.service/cpu.max", "max 100000\n");
        for name in ["cpu", "memory", "io"] {
            tree.put(&format!("proc/pressure/{name}"), PRESSURE);
        }
        tree.zone(0, "cpu-thermal", "54048");
        tree
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn zone(&self, number: usize, kind: &str, temp: &str) {
        let dir = format!("sys/class/thermal/thermal_zone{number}");
        self.put(&format!("{dir}/type"), &format!("{kind}\n"));
        self.put(&format!("{dir}/temp"), &format!("{temp}\n"));
    }

    fn trip(&self, zone: usize, number: usize, kind: &str, temp: &str) {
        let point = format!("sys/class/thermal/thermal_zone{zone}/trip_point_{number}");
        self.put(&format!("{point}_type"), &format!("{kind}\n"));
        self.put(&format!("{point}_temp"), &format!("{temp}\n"));
    }

    fn probe(&self) -> Probe {
        let mut probe = Probe::new(Sources { root: self.root().to_owned(), disk: None });
        // However busy the machine is that this runs on.
        probe.patience = LONG;
        probe
    }

    fn look(&self) -> Sample {
        self.probe().look()
    }

    fn heat(&self) -> Option<Heat> {
        let mut thermal = Thermal::new(self.root());
        thermal.find();
        thermal.look()
    }
}

#[test]
fn a_raspberry_pi() {
    let tree = Tree::of_a_pi();
    let mut probe = tree.probe();
    let first = probe.look();
    assert_eq!(first.cpu, None, "it takes two looks");
    assert_eq!(first.memory, Some(0.5));
    let psi = Stalls { cpu: Some(0.1234), memory: Some(0.1234), io: Some(0.015) };
    assert_eq!(first.psi, psi);
    assert_eq!((first.temperature, first.throttles_at), (Some(54.048), Some(80.0)));
    assert_eq!((first.disk, first.disk_free), (None, None));
    // 300 ticks of four processors, a quarter of them busy.
    let busy = PI_STAT.replace("cpu  132410 12 41000 4012345", "cpu  132460 12 41025 4012570");
    tree.put("proc/stat", &busy);
    assert_eq!(probe.look().cpu, Some(0.25));
    assert_eq!(probe.look().cpu, None, "no tick has passed");
}

#[test]
fn a_machine_that_has_nothing_of_it() {
    assert_eq!(Tree::new().look(), Sample::default());
    let nowhere = Sources { root: "/nowhere/at/all".into(), disk: Some("/nowhere".into()) };
    assert_eq!(Probe::new(nowhere).look(), Sample::default());
}

#[test]
fn each_file_may_be_missing_or_broken() {
    let all = [
        "proc/stat",
        "proc/meminfo",
        "proc/self/status",
        "proc/self/cgroup",
        "proc/pressure/cpu",
        "proc/pressure/memory",
        "proc/pressure/io",
        "sys/class/thermal/thermal_zone0/temp",
        "sys/class/thermal/thermal_zone0/type",
        "sys/fs/cgroup/cgroup.controllers",
        "sys/fs/cgroup/system.slice/adrt.service/memory.max",
        "sys/fs/cgroup/system.slice/adrt.service/cpu.max",
    ];
    let whole = Tree::of_a_pi().look();
    let seen = |sample: &Sample| {
        let Sample { memory, psi, temperature, .. } = *sample;
        [memory, psi.cpu, psi.memory, psi.io, temperature].iter().flatten().count()
    };
    for name in all {
        for harm in ["missing", "empty", "nonsense", "binary", "a directory", "a FIFO"] {
            let tree = Tree::of_a_pi();
            let path = tree.path(name);
            fs::remove_file(&path).expect("it was there");
            match harm {
                "empty" => fs::write(&path, "").expect("written"),
                "nonsense" => {
                    fs::write(&path, "some -\nMemTotal: x kB\ncpu  1\n").expect("written")
                }
                "binary" => fs::write(&path, [0xff, 0, 0xfe]).expect("written"),
                "a directory" => fs::create_dir(&path).expect("made"),
                "a FIFO" => mkfifo(&path, Mode::S_IRWXU).expect("made"),
                _ => {}
            }
            let mut probe = tree.probe();
            let sample = probe.look();
            assert!(seen(&sample) + 1 >= seen(&whole), "{name} {harm}: {sample:?}");
            probe.look();
        }
    }
}

#[test]
fn a_container_of_version_2() {
    let tree = Tree::of_a_pi();
    tree.put("proc/self/cgroup", "0::/\n");
    let group = |name: &str, text: &str| tree.put(&format!("sys/fs/cgroup/{name}"), text);
    group("memory.max", "536870912\n");
    group("memory.current", "419430400\n");
    group("memory.stat", STAT_V2);
    group("memory.pressure", PRESSURE);
    group("cpu.pressure", NO_PRESSURE);
    group("cpu.max", "50000 100000\n");
    group("cpu.stat", "usage_usec 1000000\nuser_usec 900000\nsystem_usec 100000\n");
    let mut probe = tree.probe();
    let first = probe.look();
    // 400 MiB less 310 that can be given back, of 512; the host's half counts for nothing.
    assert_eq!(first.memory, Some(90.0 / 512.0));
    // Its own where it has them.
    assert_eq!(first.psi.cpu, Some(0.0));
    assert_eq!(first.psi.io, Some(0.015));
    assert_eq!(first.cpu, None);
    // More than half a processor can have given by now.
    group("cpu.stat", "usage_usec 9000000000\n");
    assert_eq!(probe.look().cpu, Some(1.0));
    assert_eq!(probe.look().cpu, Some(0.0));
}

#[test]
fn a_container_of_version_1() {
    let tree = Tree::new();
    tree.put("proc/meminfo", PI_MEMINFO);
    tree.put("proc/stat", PI_STAT);
    tree.put("proc/pressure/cpu", PRESSURE);
    // The host's path, of which only the root is here.
    tree.put("proc/self/cgroup", "5:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n");
    tree.put("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
    tree.put("sys/fs/cgroup/memory/memory.usage_in_bytes", "419430400\n");
    tree.put("sys/fs/cgroup/memory/memory.stat", STAT_V1);
    tree.put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000\n");
    tree.put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    tree.put("sys/fs/cgroup/cpuacct/cpuacct.usage", "1000000000\n");
    let mut probe = tree.probe();
    let first = probe.look();
    assert_eq!(first.memory, Some(100.0 / 512.0));
    assert_eq!(first.psi, Stalls { cpu: Some(0.1234), ..Stalls::default() });
    tree.put("sys/fs/cgroup/cpuacct/cpuacct.usage", "9000000000000000\n");
    assert_eq!(probe.look().cpu, Some(1.0));
}

#[test]
fn what_is_no_limit() {
    let limits = [("max", "max 100000"), ("9223372036854771712", "400000 100000"), ("1", "x")];
    for (memory, cpu) in &limits[..2] {
        let tree = Tree::of_a_pi();
        let group = "sys/fs/cgroup/system.slice/adrt.service";
        tree.put(&format!("{group}/memory.max"), memory);
        tree.put(&format!("{group}/memory.current"), "1");
        tree.put(&format!("{group}/cpu.max"), cpu);
        tree.put(&format!("{group}/cpu.stat"), "usage_usec 1");
        tree.put(&format!("{group}/memory.pressure"), NO_PRESSURE);
        let sample = tree.look();
        assert_eq!((sample.memory, sample.psi.memory), (Some(0.5), Some(0.1234)), "{memory}");
    }
    assert_eq!(cpu::quota("max 100000\n"), None);
    assert_eq!(cpu::quota("50000 100000\n"), Some(0.5));
    assert_eq!((cpu::limit(-1, 100_000), cpu::limit(1, 0)), (None, None));
    assert_eq!((cpu::quota(""), cpu::quota("1"), cpu::quota("x y")), (None, None, None));
    assert_eq!((memory::limit("max\n"), memory::limit("0\n")), (None, Some(0)));
}

#[test]
fn of_several_limits_the_nearest_counts() {
    let tree = Tree::of_a_pi();
    let slice = "sys/fs/cgroup/system.slice";
    for (dir, max, current) in [("adrt.service", 1000, 100), (".", 2000, 1500)] {
        tree.put(&format!("{slice}/{dir}/memory.max"), &max.to_string());
        tree.put(&format!("{slice}/{dir}/memory.current"), &current.to_string());
    }
    assert_eq!(tree.look().memory, Some(0.75));
}

#[test]
fn a_limit_that_comes_and_goes() {
    let tree = Tree::of_a_pi();
    let group = "sys/fs/cgroup/system.slice/adrt.service";
    let mut probe = tree.probe();
    for _ in 0..2 {
        assert_eq!(probe.look().memory, Some(0.5));
        tree.put(&format!("{group}/memory.max"), "1000");
        tree.put(&format!("{group}/memory.current"), "900");
        assert_eq!(probe.look().memory, Some(0.9));
        tree.put(&format!("{group}/memory.max"), "max");
    }
}

#[test]
fn only_the_processors_that_may_be_used() {
    let tree = Tree::of_a_pi();
    tree.put("proc/self/status", "Cpus_allowed:\t2\nCpus_allowed_list:\t1\n");
    let mut reader = Reader::default();
    let mut cpu = Cpu::new(tree.root());
    cpu.find(&[], &mut reader);
    assert_eq!(cpu.look(&mut reader).share, None);
    let busy = PI_STAT
        .replace("cpu0 33102 3 10250 1003086", "cpu0 93102 3 10250 1003086")
        .replace("cpu1 33103 3 10250 1003087", "cpu1 33153 3 10250 1003137");
    tree.put("proc/stat", &busy);
    assert_eq!(cpu.look(&mut reader).share, Some(0.5));
}

#[test]
fn lists_of_processors() {
    let stat = |list: &str| {
        let set = Processors::parse(list)?;
        cpu::ticks_of("cpu  9 9 9 9\ncpu0 1 0 0 1\ncpu3 2 0 0 2\ncpu1023 4 0 0 4\n", &set)
    };
    let ticks = |busy| Some(Ticks { busy, total: 2 * busy });
    for (list, found) in [
        ("0-3", ticks(3)),
        ("0,3,1023\n", ticks(7)),
        ("2-1023", ticks(6)),
        ("1-2", None),
        ("0-99999999999999", ticks(7)),
        ("3-1", None),
        ("", None),
        ("a-b", None),
        ("0-", None),
    ] {
        assert_eq!(stat(list), found, "{list}");
    }
}

#[test]
fn ticks() {
    let all = cpu::ticks_of_all(PI_STAT).expect("ticks");
    assert_eq!(all, Ticks { busy: 174_333, total: 4_194_801 });
    // Of a guest whose host has no time for it: not idle, not its own.
    let stolen = cpu::ticks_of_all("cpu  10 0 0 80 0 0 0 10 0 0\n").expect("ticks");
    assert_eq!(stolen.share_since(Ticks::default()), Some(0.2));
    // Before 2.6 there were four.
    assert!(cpu::ticks_of_all("cpu  10 0 0 80\n").is_some());
    assert_eq!(cpu::ticks_of_all("cpu  10 0 0\ncpu0 1 1 1 1\n"), None);
    assert_eq!(all.share_since(all), None);
    let later = Ticks { busy: 0, total: all.total + 4 };
    assert_eq!(later.share_since(all), Some(0.0), "busy time went back");
    assert_eq!(Ticks::default().share_since(all), None);
}

#[test]
fn memory_of_a_machine() {
    let of = memory::of_machine;
    assert_eq!(of(PI_MEMINFO), Some(Memory { used: 946_272 << 10, total: 1_892_544 << 10 }));
    let old = "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 100 kB\nCached: 300 kB\n";
    assert_eq!(of(old).map(Memory::share), Some(0.5));
    for broken in ["", "MemTotal: 1000 kB\n", "MemTotal: 0 kB\nMemAvailable: 0 kB\n"] {
        assert_eq!(of(broken), None, "{broken}");
    }
    let more = "MemTotal: 1000 kB\nMemAvailable: 2000 kB\n";
    assert_eq!(of(more).map(Memory::share), Some(0.0));
    assert_eq!(Memory { used: 0, total: 0 }.share(), 1.0);
    assert_eq!(memory::reclaimable(STAT_V2, Version::Two), 310 << 20);
    assert_eq!(memory::reclaimable(STAT_V1, Version::One), 300 << 20);
    assert_eq!(memory::reclaimable("", Version::Two), 0);
}

#[test]
fn pressure() {
    assert_eq!(psi::share(PRESSURE, Line::Some), Some(0.1234));
    assert_eq!(psi::share(PRESSURE, Line::Full), Some(0.015));
    // Before 5.13 there is no "full" of a processor.
    assert_eq!(psi::share("some avg10=1.00 avg60=0 avg300=0 total=0\n", Line::Full), None);
    for broken in ["", "some", "some avg60=1", "some avg10=", "some avg10=NaN", "some avg10=inf"] {
        assert_eq!(psi::share(broken, Line::Some), None, "{broken}");
    }
    assert_eq!(psi::share("some avg10=250.0", Line::Some), Some(1.0));
}

#[test]
fn zones_of_a_laptop() {
    let tree = Tree::new();
    tree.zone(0, "INT3400 Thermal", "20000");
    tree.zone(1, "acpitz", "61000");
    tree.trip(1, 0, "critical", "107000");
    tree.trip(1, 1, "passive", "97000");
    tree.zone(3, "x86_pkg_temp", "83000");
    tree.trip(3, 0, "passive", "0");
    tree.trip(3, 1, "passive", "-274000");
    tree.zone(7, "iwlwifi_1", "51000");
    assert_eq!(tree.heat(), Some(Heat { degrees: 83.0, throttles_at: 95.0 }));
    // Less hot, but nearer to its limit.
    tree.zone(7, "iwlwifi_1", "76000");
    assert_eq!(tree.heat(), Some(Heat { degrees: 76.0, throttles_at: 80.0 }));
}

#[test]
fn limits_of_zones() {
    let limit = |kind: &str, trips: &[(&str, f64)]| thermal::limit(kind, trips.iter().copied());
    assert_eq!(limit("cpu-thermal", &[]), 80.0);
    assert_eq!(limit("cpu-thermal", &[("critical", 110.0), ("active", 55.0)]), 80.0);
    assert_eq!(limit("soc", &[("hot", 90.0), ("passive", 70.0), ("critical", 115.0)]), 70.0);
    assert_eq!(limit("soc", &[("critical", 75.0)]), 65.0);
    assert_eq!(limit("x86_pkg_temp", &[("passive", 0.0)]), 95.0);
    assert_eq!(limit("acpitz", &[("critical", f64::NAN)]), 95.0);
}

#[test]
fn temperatures() {
    for (text, degrees) in [
        ("54048\n", Some(54.048)),
        ("-12000", Some(-12.0)),
        ("0", Some(0.0)),
        ("-274000", None),
        ("255000", None),
        ("", None),
        ("N/A", None),
        ("NaN", None),
    ] {
        assert_eq!(thermal::degrees(text), degrees, "{text:?}");
    }
}

#[test]
fn room_on_a_disk() {
    // 100 blocks, 30 free, 10 of these for root alone.
    let room = disk::room(4096.0, 100.0, 30.0, 20.0).expect("room");
    assert_eq!((room.used, room.free), (70.0 / 90.0, 81_920.0));
    assert_eq!(disk::room(4096.0, 0.0, 0.0, 0.0), None);
    assert_eq!(disk::room(4096.0, 100.0, 0.0, 0.0).map(|room| room.used), Some(1.0));
    let real = disk::look(&std::env::temp_dir()).expect("a disk");
    assert!((0.0..=1.0).contains(&real.used) && real.free >= 0.0, "{real:?}");
}

#[test]
fn a_long_text_is_cut_between_lines() {
    let tree = Tree::new();
    tree.put("long", &"a line\n".repeat(20_000));
    let mut reader = Reader::default();
    let text = reader.text(&tree.path("long")).expect("text");
    assert!(text.len() > 60_000 && text.ends_with("a line\n"));
    let text = reader.beginning(&tree.path("long"), 10).expect("text");
    assert!(text.len() >= 7 && text.ends_with("a line\n"));
}

/// The machine this runs on, whatever it has.
#[test]
fn this_machine() {
    let here = Sources { root: "/".into(), disk: Some(std::env::temp_dir()) };
    let sample = Probe::new(here).look();
    assert!(sample.memory.is_some_and(|share| share > 0.0 && share <= 1.0), "{sample:?}");
}

#[test]
fn samples_come_by_themselves_and_the_newest_is_kept() {
    let tree = Tree::of_a_pi();
    let sources = Sources { root: tree.root().to_owned(), disk: None };
    let sensors = Sensors::start(sources, Duration::from_millis(1)).expect("a thread");
    let first = sensors.first(LONG).expect("a sample");
    assert_eq!(first.memory, Some(0.5));
    tree.put("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 10 kB\n");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async { while sensors.next().await.memory != Some(0.9) {} });
}
