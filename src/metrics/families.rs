//! What is told of each agent. Counters of the run begin anew with each `adrt
//! run`, those of the process with each incarnation; their help says which.

use super::text::{Family, Kind, Samples, number};
use super::{Figures, Inbox};
use crate::clock::Wall;

/// The phases there are. One that a later adrt has is told by none of them.
const PHASES: [&str; 8] =
    ["starting", "running", "attached", "stopping", "ended", "backoff", "closing", "stopped"];
/// The levels there are, from 0 on.
const LEVELS: [&str; 4] = ["calm", "elevated", "high", "critical"];

type Put = fn(&Figures, Wall, &mut Samples);

const fn gauge(name: &'static str, help: &'static str, samples: Put) -> Family {
    Family { name, unit: None, kind: Kind::Gauge, help, samples }
}

const fn counter(name: &'static str, help: &'static str, samples: Put) -> Family {
    Family { name, unit: None, kind: Kind::Counter, help, samples }
}

impl Family {
    const fn in_unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    const fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }
}

/// All of them, in their order.
pub(super) const ALL: &[Family] = &[
    gauge(
        "adrt_agent",
        "What runs: the agent's release, if it has one, and adrt's version.",
        |f, _, to| {
            let release = f.counters.as_ref().and_then(|counters| counters.release.as_deref());
            let labels =
                [("release", release.unwrap_or("")), ("version", env!("CARGO_PKG_VERSION"))];
            to.labelled(&labels, Some(1.0));
        },
    )
    .of_kind(Kind::Info),
    gauge("adrt_agent_up", "Whether a process of the agent is there.", |f, _, to| {
        to.truth(Some(f.pid.is_some() || f.phase == "attached"));
    }),
    gauge("adrt_agent_phase", "1 for the phase the agent is in.", |f, _, to| {
        for phase in PHASES {
            to.labelled(&[("phase", phase)], Some(f64::from(u8::from(f.phase == phase))));
        }
    }),
    gauge("adrt_agent_uptime_seconds", "How long the process has lived.", |f, _, to| {
        to.put(f.uptime_ms.map(seconds));
    })
    .in_unit("seconds"),
    counter("adrt_incarnations", "Processes of the agent, over its life.", |f, _, to| {
        to.count(f.incarnation);
    }),
    counter("adrt_restarts", "Starts after the first one of the run.", |f, _, to| {
        to.count(f.restarts);
    }),
    counter("adrt_crashes", "Crashes of the run, by class.", |f, _, to| {
        let Some(crashes) = f.counters.as_ref().map(|counters| &counters.crashes) else { return };
        for (class, count) in [
            ("failed", crashes.failed),
            ("signal", crashes.signal),
            ("out_of_memory", crashes.out_of_memory),
            ("hang", crashes.hang),
            ("exec_failed", crashes.exec_failed),
        ] {
            to.labelled(&[("class", class)], Some(number(count)));
        }
    }),
    gauge("adrt_crashes_in_row", "Crashes since the agent last got on.", |f, _, to| {
        to.count(f.crashes_in_row);
    }),
    gauge("adrt_crash_loop", "Whether these are so many that it is a loop.", |f, _, to| {
        to.truth(f.crash_loop);
    }),
    gauge("adrt_unstable", "Whether it crashed too often within an hour.", |f, _, to| {
        to.truth(f.unstable);
    }),
    gauge(
        "adrt_restart_delay_seconds",
        "Time to the next start, while one is waited for.",
        |f, _, to| {
            to.put(f.next_retry_ms.map(seconds));
        },
    )
    .in_unit("seconds"),
    gauge("adrt_state_version", "Version of the state.", |f, _, to| to.count(f.version)),
    gauge("adrt_state_bytes", "Bytes of the state's JSON text.", |f, _, to| {
        to.count(f.state_bytes);
    })
    .in_unit("bytes"),
    gauge("adrt_checkpoint_age_seconds", "Time since the newest checkpoint.", |f, now, to| {
        to.put(f.checkpoint.as_ref().and_then(|checkpoint| age(&checkpoint.created, now)));
    })
    .in_unit("seconds"),
    gauge("adrt_inbox_events", "Events that are not settled.", |f, _, to| {
        let Some(Inbox { pending, held, parked, .. }) = &f.inbox else { return };
        for (state, count) in [("pending", pending), ("held", held), ("parked", parked)] {
            to.labelled(&[("state", state)], Some(number(*count)));
        }
    }),
    gauge(
        "adrt_inbox_oldest_seconds",
        "Age of the oldest event that is not settled.",
        |f, now, to| {
            let oldest = f.inbox.as_ref().and_then(|inbox| inbox.oldest.as_deref());
            to.put(oldest.and_then(|oldest| age(oldest, now)));
        },
    )
    .in_unit("seconds"),
    gauge("adrt_inbox_full", "Whether events are refused for want of room.", |f, _, to| {
        to.truth(f.inbox.as_ref().map(|inbox| inbox.full));
    }),
    gauge("adrt_dead_letters", "Events that were given up and not dropped.", |f, _, to| {
        to.count(f.inbox.as_ref().map(|inbox| inbox.dead));
    }),
    counter("adrt_events_arrived", "Events that came in the run.", |f, _, to| {
        to.count(f.counters.as_ref().map(|counters| counters.events.arrived));
    }),
    counter(
        "adrt_events_delivered",
        "Times that an event was handed out in the run.",
        |f, _, to| {
            to.count(f.counters.as_ref().map(|counters| counters.events.delivered));
        },
    ),
    counter("adrt_events_acked", "Events acked in the run.", |f, _, to| {
        to.count(f.counters.as_ref().map(|counters| counters.events.acked));
    }),
    counter("adrt_events_dead", "Events given up in the run.", |f, _, to| {
        to.count(f.counters.as_ref().map(|counters| counters.events.dead));
    }),
    gauge("adrt_reviews_pending", "Reviews that wait for a person.", |f, _, to| {
        to.count(f.reviews);
    }),
    gauge("adrt_timers", "Timers that are set.", |f, _, to| to.count(f.timers)),
    gauge("adrt_posts_waiting", "Events on their way to other agents.", |f, _, to| {
        to.count(f.posts);
    }),
    gauge(
        "adrt_environment_level",
        "How hard pressed the machine is: 0 calm, 1 elevated, 2 high, 3 critical.",
        |f, _, to| {
            let level = f.environment.as_ref().and_then(|environment| {
                LEVELS.iter().position(|level| *level == environment.level)
            });
            to.count(level.map(|level| level as u64));
        },
    ),
    gauge("adrt_environment_score", "The same as a share, from 0 to 1.", |f, _, to| {
        to.put(f.environment.as_ref().map(|environment| environment.score));
    }),
    gauge("adrt_db_bytes", "Bytes of the database.", |f, _, to| to.count(f.file_bytes))
        .in_unit("bytes"),
    gauge("adrt_db_max_bytes", "Bytes that the database may have (--max-db).", |f, _, to| {
        to.count(f.counters.as_ref().and_then(|counters| counters.max_db));
    })
    .in_unit("bytes"),
    counter("adrt_store_written_bytes", "Bytes written to the disk in the run.", |f, _, to| {
        to.count(f.written_bytes);
    })
    .in_unit("bytes"),
    gauge(
        "adrt_store_written_day_bytes",
        "Bytes written to the disk in the last 24 hours, by earlier runs, too.",
        |f, _, to| to.count(f.written_day_bytes),
    )
    .in_unit("bytes"),
    gauge("adrt_store_failing", "Whether the disk refuses writes.", |f, _, to| {
        // A stopped agent has no disk that could refuse.
        let running = f.counters.is_some();
        to.truth(f.store.as_ref().filter(|_| running).map(|store| store != "ok"));
    }),
    gauge("adrt_writes_waiting", "Requests that wait for the disk.", |f, _, to| {
        to.count(f.writes_waiting);
    }),
    gauge(
        "adrt_commit_seconds",
        "Writes of the run that reached the disk, and how long they took.",
        |f, _, to| {
            if let Some(counters) = &f.counters {
                to.summary(counters.commits, counters.commit_seconds);
            }
        },
    )
    .in_unit("seconds")
    .of_kind(Kind::Summary),
    gauge(
        "adrt_agent_resident_memory_bytes",
        "Memory that the agent's first process uses.",
        |f, _, to| {
            to.count(f.usage.map(|usage| usage.resident_bytes));
        },
    )
    .in_unit("bytes"),
    counter(
        "adrt_agent_cpu_seconds",
        "Processor time of the agent's first process, in this incarnation.",
        |f, _, to| {
            to.put(f.usage.map(|usage| usage.cpu_seconds));
        },
    )
    .in_unit("seconds"),
];

fn seconds(ms: u64) -> f64 {
    number(ms) / 1000.0
}

/// Time since then; none of what is no time.
fn age(then: &str, now: Wall) -> Option<f64> {
    let then: jiff::Timestamp = then.parse().ok()?;
    let since = now.since(Wall::from_millis(then.as_millisecond()));
    Some(since.as_secs_f64())
}
