//! What a run is told at its beginning: small bounds, so that they are met.

use std::time::Duration;

use adrt::supervisor::machine::{EventPolicy, OnCrashLoop, Setup};
use adrt::supervisor::restart::{Policy, RestartMode};
use fastrand::Rng;

pub fn draw(rng: &mut Rng) -> Setup {
    let setup = of_a_run(rng);
    // One life in four is that of a client which comes by itself.
    let events = EventPolicy { timeout: None, ..setup.events };
    if rng.u8(0..4) == 0 { Setup { attached: true, events, ..setup } } else { setup }
}

fn of_a_run(rng: &mut Rng) -> Setup {
    let initial = Duration::from_millis([0, 1, 500, 3000][rng.usize(0..4)]);
    Setup {
        agent: "sim".into(),
        run_id: "0123".into(),
        policy: Policy {
            mode: [RestartMode::OnFailure, RestartMode::Always, RestartMode::Never]
                [rng.usize(0..8).saturating_sub(5)],
            initial,
            multiplier: [1.0, 2.0, 1.3][rng.usize(0..3)],
            max: initial + Duration::from_secs(rng.u64(0..60)),
            jitter: [0.0, 0.2, 1.0][rng.usize(0..3)],
            reset: Duration::from_secs([1, 10, 60][rng.usize(0..3)]),
            max_restarts: (rng.u8(0..4) == 0).then(|| rng.u32(0..6)),
            fatal_exit: if rng.bool() { vec![42] } else { Vec::new() },
        },
        stop_timeout: Duration::from_millis(rng.u64(1..10_000)),
        ready_timeout: Duration::from_secs(10),
        ready_from_agent: rng.bool(),
        hang_timeout: [None, None, Some(300), Some(5000)][rng.usize(0..4)]
            .map(Duration::from_millis),
        release: None,
        max_frame: 1 << 20,
        max_state: 64 << 20,
        max_inflight: rng.usize(1..24),
        max_db: if rng.u8(0..4) == 0 { rng.u64(4_500..12_000) } else { 1 << 30 },
        by_hand: false,
        attached: false,
        script: rng.bool().then(|| "/agent.py".into()),
        events: EventPolicy {
            max_attempts: rng.u32(1..4),
            nack_max: Duration::from_millis([500, 5000, 600_000][rng.usize(0..3)]),
            max_age: Duration::from_secs([10, 24 * 3600][rng.usize(0..2)]),
            timeout: [None, None, Some(300), Some(5000)][rng.usize(0..4)]
                .map(Duration::from_millis),
            ordered: rng.u8(0..4) == 0,
        },
        on_crash_loop: OnCrashLoop::default(),
        checkpoint_every: [None, Some(1), Some(4)][rng.usize(0..3)],
        decisions: Default::default(),
        rules_file: rng.bool(),
        time_zone: "UTC".into(),
        seed: 0,
    }
}
