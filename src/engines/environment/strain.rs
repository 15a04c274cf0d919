//! How hard a signal presses: for each a line through the points given here,
//! from what it measures to a strain in [0, 1]. The levels begin at .40
//! (elevated), .65 (high) and .85 (critical).
//!
//! Critical is for what ends badly if nothing is done. Want of processor time
//! or a busy disk only make things slow, so their lines end below it.

/// Points of a line, rising in both.
pub(super) type Curve = &'static [(f64, f64)];

/// Where a part of unknown limits is taken to be slowed down, in °C: as a
/// Raspberry Pi is.
pub const THROTTLES_AT: f64 = 80.0;

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1024.0 * MIB;

/// A processor that is fully busy is well used, and no more than that: whether
/// work waits for it is what the stalls say.
pub(super) const CPU: Curve = &[(0.0, 0.0), (0.60, 0.20), (0.85, 0.40), (1.0, 0.60)];

/// Of memory that can't be given back. Three quarters leave room for another
/// process of the usual size; beyond 95 % the next allocation brings the
/// kernel to kill something, and on a small machine that is the agent.
pub(super) const MEMORY: Curve =
    &[(0.0, 0.0), (0.50, 0.15), (0.75, 0.40), (0.88, 0.65), (0.95, 0.85), (1.0, 1.0)];

/// Some task waits for a processor. Half of the time: there are half as many
/// again who want one as there are processors. All of the time: twice as many,
/// or more, which can't be told apart.
pub(super) const STALLED_CPU: Curve =
    &[(0.0, 0.0), (0.25, 0.20), (0.50, 0.40), (0.85, 0.65), (1.0, 0.80)];

/// Some task waits for memory: the kernel reclaims in its place. A healthy
/// machine does that for no time at all; out-of-memory daemons kill at 40 to
/// 60 %.
pub(super) const STALLED_MEMORY: Curve =
    &[(0.0, 0.0), (0.02, 0.20), (0.05, 0.40), (0.15, 0.65), (0.40, 0.85), (0.70, 1.0)];

/// All tasks wait for a disk. A backup alone on a machine brings it there, so
/// half of the time is not much yet.
pub(super) const STALLED_IO: Curve =
    &[(0.0, 0.0), (0.20, 0.20), (0.50, 0.40), (0.80, 0.65), (1.0, 0.80)];

/// Degrees above the point where the part is slowed down. For a Raspberry Pi:
/// elevated at 72 °C, high at 80, where it begins to slow down, critical at
/// 85, where it does so hard.
pub(super) const EXCESS: Curve =
    &[(-40.0, 0.0), (-20.0, 0.20), (-8.0, 0.40), (0.0, 0.65), (5.0, 0.85), (10.0, 1.0)];

/// The share of a disk that is used …
pub(super) const DISK: Curve =
    &[(0.50, 0.0), (0.80, 0.20), (0.90, 0.40), (0.95, 0.65), (0.98, 0.85), (1.0, 1.0)];

/// … and, negative, what is free: a GiB is two days of a talkative log, and
/// less than 256 MiB is less than one agent's database may need.
pub(super) const DISK_FREE: Curve = &[
    (-16.0 * GIB, 0.0),
    (-8.0 * GIB, 0.20),
    (-2.0 * GIB, 0.40),
    (-GIB, 0.65),
    (-256.0 * MIB, 0.85),
    (-64.0 * MIB, 1.0),
];

/// The strain at a value: on the line, and beyond its ends as at them.
pub(super) fn at(curve: Curve, value: f64) -> f64 {
    let mut before: Option<(f64, f64)> = None;
    for &(x, y) in curve {
        if value <= x {
            // Exactly there on a point, which may be a level's bound.
            let Some((x0, y0)) = before.filter(|_| value < x) else { return y };
            return y0 + (y - y0) * (value - x0) / (x - x0);
        }
        before = Some((x, y));
    }
    before.map_or(0.0, |(_, y)| y)
}
