//! The agent: one process at a time, of a random temper.

use std::collections::VecDeque;

use adrt::clock::Mono;
use adrt::supervisor::io::{Exit, GroupSignal};
use fastrand::Rng;

use super::request::{Known, Request, Script, What};

/// Lines that its pipe to adrt holds.
const PIPE_LINES: usize = 12;

/// A line it wrote.
pub struct Line {
    pub bytes: Vec<u8>,
    pub meaning: Meaning,
    /// It bears this spawn's tag.
    pub tagged: bool,
}

/// What a line is, once frames count.
pub enum Meaning {
    Text,
    Frame(Request),
    /// Looks like a frame and does not parse.
    Broken,
    /// A frame that is no request: answered under this id with this code.
    Invalid {
        id: String,
        code: i64,
    },
    /// Longer than may be; cut off before it comes to the machine.
    Overlong,
}

/// What it is like.
#[derive(Clone, Copy)]
struct Temper {
    speaks: bool,
    tag: bool,
    /// Asks for events.
    works: bool,
    /// Reads its answers: in so many of a hundred turns.
    reads: u8,
    /// Ends of itself: in so many of a thousand turns.
    frail: u16,
    obeys_shutdown: bool,
    obeys_terminate: bool,
}

pub struct Process {
    pub incarnation: u64,
    pub token: String,
    temper: Temper,
    /// Written and not read by adrt.
    pub pipe: VecDeque<Line>,
    /// Bytes sent and not read by it.
    pub unread: usize,
    pub stdin_closed: bool,
    /// adrt has been told that its stdin is closed.
    pub told_closed: bool,
    said_initialize: bool,
    said_finish: bool,
    /// How it ended.
    pub exit: Option<(Exit, bool)>,
    /// The machine knows; of an attached one, that it says nothing more.
    pub told_exit: bool,
    /// It started adrt: what it does is seen on the wire alone.
    pub attached: bool,
    /// It has been let go of.
    pub let_go: bool,
    asked: bool,
    terminated: bool,
    /// When it last wrote text on another way than the wire.
    pub wrote: Option<Mono>,
    /// Until when nobody took any.
    pub held_up: Option<Mono>,
}

impl Process {
    /// Of any temper, or one that gets its work done until it dies of it.
    pub fn new(incarnation: u64, rng: &mut Rng, industrious: bool) -> Self {
        let mut temper = Temper {
            speaks: rng.u8(0..10) > 1,
            tag: rng.u8(0..4) == 0,
            works: rng.u8(0..4) > 0,
            reads: [0, 10, 60, 100][rng.usize(0..4)],
            frail: [0, 5, 30, 200][rng.usize(0..4)],
            obeys_shutdown: rng.u8(0..3) > 0,
            obeys_terminate: rng.u8(0..3) > 0,
        };
        if industrious {
            let frail = [2, 20, 60][rng.usize(0..3)];
            temper = Temper { speaks: true, works: true, reads: 60, frail, ..temper };
        }
        Self {
            incarnation,
            token: format!("{:032x}", rng.u128(..)),
            temper,
            pipe: VecDeque::new(),
            unread: 0,
            stdin_closed: false,
            told_closed: false,
            said_initialize: false,
            said_finish: false,
            exit: None,
            told_exit: false,
            attached: false,
            let_go: false,
            asked: false,
            terminated: false,
            wrote: None,
            held_up: None,
        }
    }

    pub fn is_alive(&self) -> bool {
        self.exit.is_none()
    }

    /// Whether what it is told can be seen to arrive, or not to.
    pub fn is_there(&self) -> bool {
        self.is_alive() || (self.attached && !self.let_go)
    }

    /// It does something. Returns bytes it read.
    pub fn act(&mut self, rng: &mut Rng, script: &mut Script, known: &Known) -> usize {
        let leaves = (self.asked && self.temper.obeys_shutdown && rng.bool())
            || (self.terminated && self.temper.obeys_terminate);
        if leaves || rng.u16(0..1000) < self.temper.frail {
            self.end(rng, leaves, script);
            return 0;
        }
        if rng.u16(0..400) == 0 {
            self.stdin_closed = true;
            self.unread = 0;
        }
        if rng.u8(0..100) < self.temper.reads {
            let read = if rng.bool() { self.unread } else { rng.usize(0..=self.unread) };
            self.unread -= read;
            return read;
        }
        let burst = rng.usize(1..6);
        for _ in 0..burst {
            if self.pipe.len() < PIPE_LINES {
                self.write(rng, script, known);
            }
        }
        0
    }

    /// Reads all there is, without a thought.
    pub fn read_all(&mut self) -> usize {
        std::mem::take(&mut self.unread)
    }

    fn write(&mut self, rng: &mut Rng, script: &mut Script, known: &Known) {
        if !self.temper.speaks || rng.u8(0..12) == 0 {
            return self.babble(rng);
        }
        if !self.said_initialize || rng.u8(0..60) == 0 {
            let request = self.initialize(rng, script);
            return self.frame(request, rng);
        }
        let request = script.of_agent(rng, known);
        self.frame(request, rng);
    }

    /// It says that, and in such a way that it counts.
    pub fn says(&mut self, request: Request) {
        let tag = self.temper.tag.then_some(self.token.as_str());
        let (bytes, tagged) = (request.line(tag), self.temper.tag);
        self.pipe.push_back(Line { bytes, meaning: Meaning::Frame(request), tagged });
    }

    fn frame(&mut self, request: Request, rng: &mut Rng) {
        let tagged = if self.temper.tag { rng.u8(0..20) > 0 } else { rng.u8(0..20) == 0 };
        let bytes = request.line(tagged.then_some(self.token.as_str()));
        self.pipe.push_back(Line { bytes, meaning: Meaning::Frame(request), tagged });
    }

    fn initialize(&mut self, rng: &mut Rng, script: &mut Script) -> Request {
        let omit = rng.u8(0..4) == 0;
        let (wanted, events) = match self.temper.works {
            true => {
                let (params, events) = Script::events(rng);
                (format!(",\"events\":{params}"), Some(events))
            }
            false => (String::new(), None),
        };
        let (mut token, mut protocol, mut what) =
            (self.token.clone(), "[1]", What::Initialize { omit, tag: self.temper.tag, events });
        match rng.u8(0..14) {
            0 => {
                token.replace_range(0..1, if token.starts_with('x') { "y" } else { "x" });
                what = What::Refused(1002);
            }
            1 => {
                protocol = "[2,3]";
                what = What::Refused(1001);
            }
            _ => self.said_initialize = true,
        }
        let omit = if omit { ",\"state\":\"omit\"" } else { "" };
        let params = format!(
            "{{\"protocol\":{protocol},\"token\":\"{token}\",\"client\":{{\"name\":\"sim\"}},\
             \"frame_tag\":{}{omit}{wanted}}}",
            self.temper.tag
        );
        let id = Some(script.next().to_string());
        Request { id, method: "initialize", params, what }
    }

    /// Text, and what only looks like frames.
    fn babble(&mut self, rng: &mut Rng) {
        let tagged = self.temper.tag && rng.bool();
        let tag = if tagged { format!("\"tag\":\"{}\",", self.token) } else { String::new() };
        let (text, meaning) = match rng.u8(0..8) {
            0 => (format!("{{\"jsonrpc\":\"2.0\",{tag}\"id\":7,\"method\":"), Meaning::Broken),
            1 => (format!("{{\"jsonrpc\":\"2.0\",{tag}\"id\":7,\"x\":NaN}}"), Meaning::Broken),
            2 => {
                let invalid = Meaning::Invalid { id: "7".into(), code: -32600 };
                (format!("{{\"jsonrpc\":\"2.0\",{tag}\"id\":7,\"result\":{{}}}}"), invalid)
            }
            3 => {
                let invalid = Meaning::Invalid { id: "8".into(), code: -32602 };
                let twice = "\"method\":\"ready\",\"method\":\"log\"";
                (format!("{{\"jsonrpc\":\"2.0\",{tag}\"id\":8,{twice}}}"), invalid)
            }
            4 => (String::new(), Meaning::Overlong),
            5 => ("{\"jsonrpc\":\"1.0\",\"method\":\"state.get\"}".into(), Meaning::Text),
            6 => ("{not json at all".into(), Meaning::Text),
            _ => ("{\"level\":\"info\",\"msg\":\"jsonrpc\"}".into(), Meaning::Text),
        };
        self.pipe.push_back(Line { bytes: text.into_bytes(), meaning, tagged });
    }

    fn end(&mut self, rng: &mut Rng, leaves: bool, script: &mut Script) {
        let mut exit = match rng.u8(0..8) {
            0..3 => Exit::Code(0),
            3 | 4 => Exit::Code(rng.i32(1..4)),
            5 => Exit::Code(42),
            6 => Exit::Signal { signal: 11, core: rng.bool() },
            _ => Exit::Signal { signal: 9, core: false },
        };
        if leaves && rng.bool() {
            exit = Exit::Code(0);
        }
        if exit == Exit::Code(0) && self.said_initialize && rng.bool() {
            let request = script.finish(rng);
            let tag = self.temper.tag.then_some(self.token.as_str());
            let bytes = request.line(tag);
            let tagged = self.temper.tag;
            self.said_finish = true;
            self.pipe.push_back(Line { bytes, meaning: Meaning::Frame(request), tagged });
        }
        let oom = matches!(exit, Exit::Signal { signal: 9, .. }) && rng.bool();
        self.die(exit, oom, rng);
    }

    fn die(&mut self, exit: Exit, oom: bool, rng: &mut Rng) {
        self.exit = Some((exit, oom));
        if self.attached {
            // It may only have closed the one side, and read on.
            self.stdin_closed |= !matches!(exit, Exit::Code(0));
        } else {
            self.unread = 0;
        }
        if rng.u8(0..4) == 0 && !self.said_finish {
            // It died in the middle of writing.
            self.pipe.truncate(rng.usize(0..=self.pipe.len()));
        }
    }

    pub fn hears(&mut self, method: &str) {
        self.asked |= method == "shutdown";
    }

    pub fn signal(&mut self, signal: GroupSignal, rng: &mut Rng) {
        match signal {
            GroupSignal::Terminate | GroupSignal::Abort => self.terminated = true,
            GroupSignal::Kill if self.is_alive() => {
                self.die(Exit::Signal { signal: 9, core: false }, false, rng);
            }
            GroupSignal::Kill => {}
        }
    }

    /// Without adrt it dies at once, and all it wrote is lost.
    pub fn orphaned(&mut self) {
        self.pipe.clear();
        self.exit = Some((Exit::Signal { signal: 9, core: false }, false));
    }

    /// What it would do within its life if nothing else happened.
    pub fn would_leave(&self) -> bool {
        (self.asked && self.temper.obeys_shutdown)
            || (self.terminated && self.temper.obeys_terminate)
    }
}
