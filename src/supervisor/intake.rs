//! Lines from the agent and from operators, on their way into the queue.

use super::apply::Applied;
use super::io::{ConnId, Effect, Incarnation, Level};
use super::machine::{Live, Machine, Phase, Wire};
use super::queue::{Body, Origin, Work};
use crate::json::JsonFault;
use crate::protocol::PROTOCOL_MAJORS;
use crate::protocol::envelope::{self, Envelope, Line, Mode};
use crate::protocol::error::{Detail, Kind, WireError, id_text};
use crate::protocol::message::{self, Caller, Heartbeat, Initialize, LogLevel, LogLine, Request};

impl Live {
    /// What counts as a frame from it at this moment.
    fn mode(&self) -> Mode<'_> {
        match self.wire {
            Wire::Closed => Mode::Closed,
            Wire::Open => Mode::Open,
            Wire::Tagged => Mode::Tagged(&self.token),
        }
    }
}

impl Machine {
    /// A line of the agent that begins with `{`.
    pub(super) fn line(&mut self, incarnation: Incarnation, line: &[u8]) {
        let Some(live) = self.live.as_ref().filter(|live| live.incarnation == incarnation) else {
            self.out.push(Effect::PassLine);
            return;
        };
        let found = envelope::classify(line, live.mode());
        if !matches!(found, Line::Text) || live.wire == Wire::Closed {
            self.sign_of_life();
        }
        match found {
            Line::Text => self.out.push(Effect::PassLine),
            Line::Frame(frame) => self.frame(incarnation, &frame, line.len()),
            Line::Invalid { id, reason, duplicate } => {
                let kind = if duplicate { Kind::InvalidParams } else { Kind::InvalidRequest };
                let origin = Origin::Agent { incarnation, id: Some(id_text(id).into()) };
                self.refuse(origin, WireError::new(kind, reason), line.len());
            }
            Line::Broken(fault) => {
                let origin = Origin::Agent { incarnation, id: Some("null".into()) };
                self.refuse(origin, parse_error(&fault), line.len());
            }
        }
    }

    fn frame(&mut self, incarnation: Incarnation, frame: &Envelope<'_>, size: usize) {
        let id = frame.id.map(Into::into);
        let origin = Origin::Agent { incarnation, id };
        match message::decode(&frame.method, frame.params, Caller::Agent) {
            Ok(Request::Initialize(initialize)) => self.initialize(origin, initialize),
            Ok(Request::Ready { status }) => self.agent_ready(origin, status),
            Ok(Request::Heartbeat(heartbeat)) => self.heartbeat(origin, heartbeat),
            Ok(Request::Log(line)) => self.agent_log(origin, line),
            Ok(request) => {
                // What was said is said, whatever becomes of its record.
                if let (Request::RunFinish { .. }, Some(live)) = (&request, &mut self.live) {
                    live.finished = true;
                }
                self.queue.push_sized(origin, Work::Request(request), size);
            }
            Err(error) => self.refuse(origin, error, size),
        }
    }

    /// A frame that was too long to be read.
    pub(super) fn overlong(&mut self, incarnation: Incarnation) {
        // Before `initialize` it was text, and nothing is said to the agent.
        if !self
            .live
            .as_ref()
            .is_some_and(|l| l.incarnation == incarnation && l.wire != Wire::Closed)
        {
            return;
        }
        self.sign_of_life();
        let limit = self.setup.max_frame;
        let error = WireError::new(
            Kind::ParseError,
            format!(
                "a line longer than {limit} bytes (max_frame) was dropped; send less at a time"
            ),
        )
        .with_number("line", 1)
        .with_number("column", limit as u64)
        .with_text("reason", "longer than max_frame")
        .with_number("max_frame", limit as u64);
        self.refuse(Origin::Agent { incarnation, id: Some("null".into()) }, error, 0);
    }

    /// Checks what can be checked at once; the greeting itself takes its turn.
    fn initialize(&mut self, origin: Origin, initialize: Box<Initialize>) {
        let Some(live) = &mut self.live else { return };
        let refusal = if live.wire != Wire::Closed {
            Some(WireError::new(Kind::AlreadyInitialized, "initialize was answered before"))
        } else if !same_token(&initialize.token, &live.token) {
            let what = "the token is not this spawn's; send $ADRT_TOKEN as it is";
            Some(WireError::new(Kind::BadToken, what))
        } else if !initialize.protocol.iter().any(|major| PROTOCOL_MAJORS.contains(major)) {
            let mut error = WireError::new(
                Kind::UnsupportedProtocol,
                "none of the protocol versions offered is spoken here; update adrt or the client",
            );
            error.data.push(("supported", Detail::Numbers(PROTOCOL_MAJORS.to_vec())));
            Some(error)
        } else {
            None
        };
        if let Some(error) = refusal {
            self.refuse(origin, error, 0);
            return;
        }
        live.wire = if initialize.frame_tag { Wire::Tagged } else { Wire::Open };
        let incarnation = live.incarnation;
        self.out.push(Effect::OpenWire { incarnation });
        if let Some(own_name) = &initialize.agent_id
            && *own_name != self.setup.agent
        {
            let name = self.setup.agent.clone();
            self.log(
                Level::Warning,
                format!("the agent calls itself {own_name:?}; its state is kept as {name:?}"),
            );
        }
        self.queue.push(origin, Work::Request(Request::Initialize(initialize)));
    }

    fn agent_ready(&mut self, origin: Origin, status: Option<String>) {
        self.tell_ready();
        if let Some(status) = status {
            self.agent_says(status);
        }
        self.answer_at_once(origin);
    }

    fn heartbeat(&mut self, origin: Origin, heartbeat: Heartbeat) {
        let progress = heartbeat.progress.map(|p| match p.total {
            Some(total) => format!("{} of {total}", p.done),
            None => p.done.to_string(),
        });
        let said = match (heartbeat.status, progress) {
            (Some(status), Some(progress)) => Some(format!("{status} ({progress})")),
            (status, progress) => status.or(progress),
        };
        if let Some(said) = said {
            self.agent_says(said);
        }
        self.answer_at_once(origin);
    }

    fn agent_says(&mut self, line: String) {
        if let Some(live) = &mut self.live {
            live.said = Some(line);
        }
        self.announced.dirty = true;
    }

    fn agent_log(&mut self, origin: Origin, line: LogLine) {
        let level = match line.level {
            LogLevel::Debug => Level::Debug,
            LogLevel::Info => Level::Info,
            LogLevel::Warning => Level::Warning,
            LogLevel::Error => Level::Error,
        };
        let LogLine { message, fields, .. } = line;
        let occasion = None;
        self.out.push(Effect::Log { level, message, from_agent: true, occasion, fields });
        self.answer_at_once(origin);
    }

    /// `{}` in its place in the line, for those that wait for one.
    fn answer_at_once(&mut self, origin: Origin) {
        if matches!(origin, Origin::Agent { id: Some(_), .. } | Origin::Operator { .. }) {
            let text = super::outbox::Text::Plain("{}".into());
            self.queue.push(origin, Work::Answered(Body::Text(text)));
        }
    }

    /// A refusal keeps its place among the answers, too. It may repeat what
    /// was asked, so it counts as many bytes as that.
    fn refuse(&mut self, origin: Origin, error: WireError, size: usize) {
        self.queue.push_sized(origin, Work::Answered(Body::Error(error)), size);
    }

    /// A line on the control socket.
    pub(super) fn operator(&mut self, conn: ConnId, uid: u32, line: &[u8]) {
        let frame = match envelope::classify(line, Mode::Open) {
            Line::Frame(frame) => frame,
            Line::Broken(fault) => {
                let origin = Origin::Operator { conn, uid, id: Some("null".into()) };
                return self.refuse(origin, parse_error(&fault), 0);
            }
            Line::Invalid { id, reason, .. } => {
                let origin = Origin::Operator { conn, uid, id: Some(id_text(id).into()) };
                return self.refuse(origin, WireError::new(Kind::InvalidRequest, reason), 0);
            }
            Line::Text => {
                let origin = Origin::Operator { conn, uid, id: Some("null".into()) };
                let error = WireError::new(Kind::InvalidRequest, "not a JSON-RPC 2.0 request");
                return self.refuse(origin, error, 0);
            }
        };
        let origin = Origin::Operator { conn, uid, id: Some(id_text(frame.id).into()) };
        let request = message::decode(&frame.method, frame.params, Caller::Operator);
        if let Ok(request) = &request {
            self.sign_by_request(request);
        }
        match request {
            Ok(Request::Stop) => {
                self.answer_operator(origin);
                self.stop(&format!("adrt stop (uid {uid})"));
            }
            Ok(Request::Restart) => {
                if let Some(error) = self.refuses_restart() {
                    return self.answer_body(&origin, Body::Error(error), &[]);
                }
                self.answer_operator(origin);
                self.restart(&format!("adrt restart (uid {uid})"));
            }
            Ok(Request::Reload) if !self.setup.rules_file => {
                let what = "nothing to reload: it runs without a rules file (--rules)";
                self.refuse(origin, WireError::new(Kind::InvalidRequest, what), 0);
            }
            Ok(Request::Reload) => {
                self.answer_operator(origin);
                self.reload();
            }
            Ok(Request::CheckpointRestore(restore)) => match self.refuses_restore() {
                Some(error) => self.answer_body(&origin, Body::Error(error), &[]),
                None => {
                    let work = Work::Request(Request::CheckpointRestore(restore));
                    self.queue.push(origin, work);
                }
            },
            Ok(Request::Status) => {
                let status = self.status_json();
                let text = super::outbox::Text::Plain(status);
                self.answer_body(&origin, Applied::answer(Body::Text(text)).body, &[]);
            }
            Ok(Request::Ready { status }) => self.agent_ready(origin, status),
            Ok(Request::Heartbeat(heartbeat)) => self.heartbeat(origin, heartbeat),
            Ok(request) => self.queue.push(origin, Work::Request(request)),
            Err(error) => self.refuse(origin, error, 0),
        }
    }

    fn answer_operator(&mut self, origin: Origin) {
        let text = super::outbox::Text::Plain("{}".into());
        self.answer_body(&origin, Body::Text(text), &[]);
    }

    /// Nobody waits for its answers any more; what it asked for is done.
    pub(super) fn operator_gone(&mut self, gone: ConnId) {
        let silence = |origin: &mut Origin| {
            if let Origin::Operator { conn, id, .. } = origin
                && *conn == gone
            {
                *id = None;
            }
        };
        self.queue.origins_mut().for_each(silence);
        self.after_leaving.iter_mut().for_each(|(origin, _)| silence(origin));
        self.forget_waiters(
            |origin| matches!(origin, Origin::Operator { conn, .. } if *conn == gone),
        );
    }

    pub(super) fn sent(&mut self, incarnation: Incarnation, bytes: usize) {
        if let Some(live) = self.live.as_mut().filter(|live| live.incarnation == incarnation) {
            live.outbox.sent(bytes);
            self.sign_of_life();
            self.still_reads();
        }
    }

    pub(super) fn send_failed(&mut self, incarnation: Incarnation) {
        if let Some(live) = self.live.as_mut().filter(|live| live.incarnation == incarnation) {
            live.outbox.close();
        }
    }

    /// The agent, if it can be told of what others do.
    pub(super) fn greeted_live(&mut self) -> Option<&mut Live> {
        if !matches!(self.phase, Phase::Running) {
            return None;
        }
        self.live.as_mut().filter(|live| live.greeted)
    }
}

/// `-32700` with the place and the reason.
fn parse_error(fault: &JsonFault) -> WireError {
    WireError::new(
        Kind::ParseError,
        format!(
            "not valid JSON at column {}: {}; send it again corrected",
            fault.column, fault.reason
        ),
    )
    .with_number("line", fault.line as u64)
    .with_number("column", fault.column as u64)
    .with_text("reason", fault.reason.clone())
}

/// Compares in a time that does not depend on where they differ.
fn same_token(given: &str, token: &str) -> bool {
    given.len() == token.len()
        && given.bytes().zip(token.bytes()).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}
