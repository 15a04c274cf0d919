//! What an operator is shown of a running agent: `adrt status`.

use serde_json::{Map, Value, json};

use super::cause::DownSince;
use super::io::Exit;
use super::machine::{Machine, Phase, Readiness};
use super::trouble;
use crate::protocol::message::Request;

impl Machine {
    /// One JSON object; the names are those of the wire.
    pub(super) fn status_json(&self) -> String {
        let mut status = Map::new();
        let mut put = |name: &str, value: Value| status.insert(name.into(), value);
        put("agent", json!(self.setup.agent));
        put("run_id", json!(self.setup.run_id));
        put("phase", json!(self.phase_name()));
        put("since", json!(self.phase_since.rfc3339()));
        put("incarnation", json!(self.incarnation));
        put("start_reason", json!(self.cause.reason.as_str()));
        put("release", json!(self.setup.release));
        put("restarts", json!(self.starts.saturating_sub(1)));
        put("crashes_in_row", json!(self.restarts.crashes_in_row()));
        put("crash_loop", json!(self.restarts.is_loop()));
        put("unstable", json!(self.restarts.is_unstable(self.age())));
        put("ready", json!(self.ready == Readiness::Told));
        let live = self.live.as_ref();
        // A client in another namespace of processes has no number here.
        put("pid", json!(live.map(|l| l.process.pid).filter(|pid| *pid > 0)));
        put("uptime_ms", json!(live.map(|l| millis(self.now.mono.since(l.started)))));
        put("status_text", json!(live.and_then(|l| l.said.as_deref())));
        put("next_retry_ms", json!(self.next_retry_ms()));
        put("subscribed", self.subscribed());
        put("last_exit", self.last_exit());
        put("environment", self.environment.status());
        put("rules", self.rules_json());
        put("store", json!(self.store_line()));
        put("writes_waiting", json!(self.writes_waiting()));
        put("counters", self.counters_json());
        if let Some(book) = &self.book {
            put("version", json!(book.committed().version));
            put("state_bytes", json!(book.committed().root.text_len()));
            put("checkpoint", book.last_checkpoint().map_or(Value::Null, checkpoint));
            put("file_bytes", json!(book.used_bytes));
            put("written_bytes", json!(self.counters.written_bytes));
            put("written_day_bytes", json!(book.wear.last_day(self.age())));
            let agenda = &book.doc.agenda;
            let held = agenda.inbox.held_count() as u64;
            let parked = agenda.inbox.parked();
            put(
                "inbox",
                json!({
                    "pending": agenda.inbox.depth().saturating_sub(parked + held),
                    "held": held,
                    "parked": parked,
                    "dead": agenda.inbox.dead(),
                    "full": self.inbox_is_full(),
                }),
            );
            put("reviews", json!(agenda.reviews.count()));
            put("timers", json!(agenda.timers.count()));
            put("posts", json!(agenda.posts.count()));
        }
        Value::Object(status).to_string()
    }

    fn subscribed(&self) -> Value {
        let wanted = self.live.as_ref().and_then(|live| live.subscription.as_ref());
        wanted.map_or(Value::Null, |w| json!({"credit": w.credit, "types": w.types}))
    }

    /// In one word.
    pub fn phase_name(&self) -> &'static str {
        match &self.phase {
            Phase::Waiting(_) => "backoff",
            Phase::Starting => "starting",
            Phase::Running => match &self.live {
                Some(live) if !live.stays() => "stopping",
                Some(_) if self.setup.attached => "attached",
                Some(_) | None => "running",
            },
            Phase::Draining { .. } | Phase::Settling(_) => "ended",
            Phase::Closing { .. } | Phase::Over => "closing",
            Phase::Detached => "stopped",
        }
    }

    fn next_retry_ms(&self) -> Option<u64> {
        match &self.phase {
            Phase::Waiting(delay) => Some(millis(delay.until.since(self.now.mono))),
            Phase::Starting
            | Phase::Running
            | Phase::Draining { .. }
            | Phase::Settling(_)
            | Phase::Closing { .. }
            | Phase::Over
            | Phase::Detached => None,
        }
    }

    /// How the incarnation before this one ended.
    fn last_exit(&self) -> Value {
        let Some(exit) = self.cause.exit else { return Value::Null };
        let mut last = match exit {
            Exit::Code(code) => json!({"code": code}),
            Exit::Signal { signal, core } => json!({"signal": signal, "core": core}),
        };
        last["summary"] = json!(exit.to_string());
        last["oom"] = json!(self.cause.oom);
        if let DownSince::Mono(_) = self.cause.down_since {
            last["this_run"] = json!(true);
        }
        last
    }

    fn store_line(&self) -> String {
        match &self.trouble {
            None => "ok".into(),
            Some(trouble) => format!(
                "{} since {}, {} writes refused, 0 lost: {}",
                trouble::headline(trouble.kind).trim_start_matches("store: "),
                trouble.since.rfc3339(),
                trouble.refused,
                trouble.message
            ),
        }
    }

    /// Requests that wait for their commit.
    pub(super) fn writes_waiting(&self) -> usize {
        use super::queue::Work;
        let is_write = |work: &&Work| matches!(work, Work::Request(Request::Write(_)));
        self.queue.works().filter(is_write).count()
    }
}

fn checkpoint(info: &super::io::CheckpointInfo) -> Value {
    json!({"id": info.id, "version": info.version, "created": info.created.rfc3339()})
}

pub(super) fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
