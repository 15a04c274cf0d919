//! Requests, with what they mean to the checks; and a script that makes them up.

use adrt::engines::state::Format;
use adrt::supervisor::io::{CheckpointRef, Seq, StepKey};
use fastrand::Rng;

use super::errands::Errand;
use super::lessons::Of;

/// A request on its way, or waiting for its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// As it stands in the line; a notification has none.
    pub id: Option<String>,
    pub method: &'static str,
    /// JSON text.
    pub params: String,
    pub what: What,
}

/// What its answer is held to.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Initialize {
        omit: bool,
        tag: bool,
        events: Option<(usize, Vec<String>)>,
    },
    Subscribe {
        events: Option<(usize, Vec<String>)>,
    },
    /// `event.next`.
    Next,
    /// A question about work, of which only the disk can tell.
    Look,
    /// `context.analyze`.
    Analyze,
    /// `confidence.calculate`.
    Calculate,
    Get {
        path: Option<String>,
    },
    Write(Write),
    List,
    Restore {
        which: CheckpointRef,
        if_version: Option<u64>,
        key: Option<String>,
    },
    Removal,
    Finish {
        result: String,
    },
    /// `{}`.
    Plain,
    Status,
    /// It is refused with this code whatever the state.
    Refused(i64),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    pub steps: Vec<Step>,
    pub is_tx: bool,
    pub if_version: Option<u64>,
    pub key: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Patch { format: Format, text: String },
    Checkpoint { label: Option<String> },
    Errand { method: &'static str, params: String, what: Errand },
}

impl Step {
    /// Whether doing it twice comes to the same as doing it once.
    fn may_repeat(&self) -> bool {
        let Self::Errand { what, .. } = self else { return false };
        match what {
            Errand::Process { id, .. } => id.is_some(),
            Errand::Outcome(told) => !matches!(told.of, Of::Stated { .. }),
            Errand::ProcessHeld { .. } | Errand::ReviewOf { .. } => true,
            _ => false,
        }
    }
}

impl Request {
    /// The line, without its newline.
    pub fn line(&self, tag: Option<&str>) -> Vec<u8> {
        let id = self.id.as_ref().map_or(String::new(), |id| format!("\"id\":{id},"));
        let tag = tag.map_or(String::new(), |tag| format!("\"tag\":\"{tag}\","));
        let Self { method, params, .. } = self;
        format!("{{\"jsonrpc\":\"2.0\",{tag}{id}\"method\":\"{method}\",\"params\":{params}}}")
            .into_bytes()
    }
}

impl What {
    /// Whether it takes an event out of somebody's hands.
    fn is_about_hands(&self) -> bool {
        let Self::Write(write) = self else { return false };
        write.steps.iter().any(|step| match step {
            Step::Errand { what, .. } => {
                matches!(what, Errand::Ack { .. } | Errand::Release { .. })
            }
            Step::Patch { .. } | Step::Checkpoint { .. } => false,
        })
    }

    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Write(write) => write.key.as_deref(),
            Self::Restore { key, .. } => key.as_deref(),
            _ => None,
        }
    }
}

/// What a script may know of the world.
#[derive(Debug, Clone)]
pub struct Known {
    pub version: u64,
    pub checkpoint: u64,
    /// In the hands of whoever asks.
    pub held: Vec<(Seq, u32)>,
    /// Steps it may run.
    pub steps: Vec<(StepKey, u32)>,
    pub dead: Vec<Seq>,
    /// Hand-outs that are over.
    pub stale: Vec<(Seq, u32)>,
    pub last_seq: Seq,
    /// Whoever asks is fond of decisions.
    pub decides: bool,
    pub last_review: u64,
    pub last_decision: u64,
    /// Names of the last calculations.
    pub calls: Vec<String>,
}

/// Makes requests up. Every change it makes is unlike any other.
#[derive(Default)]
pub struct Script {
    nonce: u64,
    keyed: Vec<Request>,
}

const MEMBERS: [&str; 5] = ["a", "b", "c", "d", "list"];
const LABELS: [&str; 3] = ["one", "two", "before it all"];

pub fn pick<T: Copy>(rng: &mut Rng, list: &[T]) -> T {
    list[rng.usize(0..list.len())]
}

impl Script {
    pub fn next(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }

    fn id(&mut self, rng: &mut Rng) -> Option<String> {
        let n = self.next();
        match rng.u8(0..10) {
            0 => None,
            1 => Some(format!("\"id {n}\"")),
            _ => Some(n.to_string()),
        }
    }

    fn patch(&mut self, rng: &mut Rng) -> (Format, String) {
        let (n, at) = (self.next(), rng.usize(0..4));
        let (k, j) = (MEMBERS[at], MEMBERS[at + 1]);
        match rng.u8(0..9) {
            0 => (Format::Set, format!("{{\"{k}\":{{\"n\":{n}}},\"list\":[]}}")),
            1 => (Format::Shallow, format!("{{\"{k}\":{{\"n\":{n}}},\"{j}\":null}}")),
            2 => (Format::Json, format!("[{{\"op\":\"add\",\"path\":\"/{k}\",\"value\":{n}}}]")),
            3 => {
                let tail = match rng.u8(0..4) {
                    0 => format!("{{\"op\":\"remove\",\"path\":\"/{j}\"}}"),
                    1 => format!("{{\"op\":\"add\",\"path\":\"/list/-\",\"value\":{n}}}"),
                    2 => format!("{{\"op\":\"test\",\"path\":\"/{j}\",\"value\":null}}"),
                    _ => format!("{{\"op\":\"move\",\"from\":\"/{j}\",\"path\":\"/moved\"}}"),
                };
                let head = format!("{{\"op\":\"add\",\"path\":\"/{k}\",\"value\":{n}}}");
                (Format::Json, format!("[{head},{tail}]"))
            }
            4 => (Format::Merge, format!("{{\"{k}\":{n},\"{j}\":null}}")),
            5 => (Format::Merge, format!("{{\"{k}\":{{\"x\":{{\"n\":{n}}}}}}}")),
            6 => (Format::Merge, format!("{{\"{k}\":[{n},{{}}],\"list\":[1]}}")),
            _ => (Format::Merge, format!("{{\"{k}\":{{\"n\":{n}}}}}")),
        }
    }

    fn step(&mut self, rng: &mut Rng, known: &Known, operator: bool) -> Step {
        if known.decides && rng.u8(0..3) > 0 {
            let (method, params, what) = self.consult(rng, known);
            return Step::Errand { method, params, what };
        }
        if rng.bool() {
            return self.errand(rng, known, operator);
        }
        if rng.u8(0..6) == 0 {
            let label = rng.bool().then(|| pick(rng, &LABELS).to_owned());
            return Step::Checkpoint { label };
        }
        let (format, text) = self.patch(rng);
        Step::Patch { format, text }
    }

    /// A change, perhaps with a key: a new one, a repeat, or one used for
    /// something else before.
    pub fn write(&mut self, rng: &mut Rng, known: &Known, operator: bool) -> Request {
        if !self.keyed.is_empty() && rng.u8(0..8) == 0 {
            let mut again = self.keyed[rng.usize(0..self.keyed.len())].clone();
            again.id = Some(self.next().to_string());
            if !operator || !again.what.is_about_hands() {
                return again;
            }
        }
        let is_tx = rng.u8(0..5) == 0;
        let count = if is_tx { rng.usize(0..4) } else { 1 };
        let mut steps: Vec<Step> = (0..count).map(|_| self.step(rng, known, operator)).collect();
        if is_tx && rng.bool() {
            let again: Vec<Step> = steps.iter().filter(|step| step.may_repeat()).cloned().collect();
            steps.extend(again);
        }
        // Not every method of one step takes these.
        let plain = is_tx || takes_version(&steps);
        let if_version = match rng.u8(0..12) {
            _ if !plain => None,
            0 => Some(known.version),
            1 => Some(known.version + 1),
            _ => None,
        };
        let key = if takes_key(&steps, is_tx) { self.key(rng) } else { None };
        let (method, mut params) = write_params(&steps, is_tx);
        add_extra(&mut params, if_version, key.as_deref());
        // Whoever has an event in hand waits for the answer.
        let needs = |what: &Errand| !matches!(what, Errand::Outcome(_));
        let waits = steps.iter().any(|s| matches!(s, Step::Errand { what, .. } if needs(what)));
        let what = What::Write(Write { steps, is_tx, if_version, key });
        let id = if waits { Some(self.next().to_string()) } else { self.id(rng) };
        self.remembered(Request { id, method, params, what })
    }

    fn key(&mut self, rng: &mut Rng) -> Option<String> {
        match rng.u8(0..16) {
            0..3 => Some(format!("k{}", self.next())),
            3 => self.keyed.last().and_then(|request| request.what.key().map(Into::into)),
            _ => None,
        }
    }

    fn remembered(&mut self, request: Request) -> Request {
        if request.what.key().is_some() {
            self.keyed.push(request.clone());
        }
        request
    }

    pub fn restore(&mut self, rng: &mut Rng, known: &Known) -> Request {
        let (which, mut params) = match rng.u8(0..4) {
            0 => {
                let label = pick(rng, &LABELS);
                (CheckpointRef::Label(label.into()), format!("{{\"label\":\"{label}\"}}"))
            }
            1 => (CheckpointRef::Id(9999), "{\"id\":9999}".into()),
            _ => {
                let id = rng.u64(1..known.checkpoint + 2);
                (CheckpointRef::Id(id), format!("{{\"id\":{id}}}"))
            }
        };
        let if_version = (rng.u8(0..8) == 0).then_some(known.version);
        let key = self.key(rng);
        add_extra(&mut params, if_version, key.as_deref());
        let what = What::Restore { which, if_version, key };
        let id = self.id(rng);
        self.remembered(Request { id, method: "checkpoint.restore", params, what })
    }

    pub fn get(&mut self, rng: &mut Rng) -> Request {
        let path = rng.bool().then(|| format!("/{}", pick(rng, &MEMBERS)));
        let params = path.as_ref().map_or("{}".into(), |path| format!("{{\"path\":\"{path}\"}}"));
        let id = Some(self.next().to_string());
        Request { id, method: "state.get", params, what: What::Get { path } }
    }

    /// Anything an agent may say once its wire is open.
    pub fn of_agent(&mut self, rng: &mut Rng, known: &Known) -> Request {
        if !known.held.is_empty() && rng.u8(0..3) > 0 {
            return self.work(rng, known);
        }
        if rng.u8(0..8) == 0 {
            let (method, params, what) = self.emit(rng);
            return self.alone(Step::Errand { method, params, what });
        }
        match rng.u8(0..25) {
            0..10 => self.write(rng, known, false),
            10..13 => self.get(rng),
            20 => self.subscribe(rng),
            21 => self.look(rng),
            22.. => self.assess(rng),
            13 => self.simple(rng, "checkpoint.list", "{\"limit\":3}", What::List),
            14 if rng.bool() => self.restore(rng, known),
            14 | 15 => self.simple(rng, "heartbeat", "{\"progress\":{\"done\":1}}", What::Plain),
            16 => {
                let params = "{\"level\":\"info\",\"message\":\"m\",\"fields\":{\"x\":1}}";
                self.simple(rng, "log", params, What::Plain)
            }
            17 => self.simple(rng, "ready", "{\"status\":\"up\"}", What::Plain),
            18 => self.wrong(rng),
            _ => self.simple(rng, "state.get", "{\"path\":\"no pointer\"}", What::Refused(-32602)),
        }
    }

    pub fn finish(&mut self, rng: &mut Rng) -> Request {
        let result = format!("{{\"n\":{}}}", self.next());
        let params = format!("{{\"result\":{result}}}");
        Request { id: self.id(rng), method: "run.finish", params, what: What::Finish { result } }
    }

    /// Refused whatever the state.
    fn wrong(&mut self, rng: &mut Rng) -> Request {
        match rng.u8(0..5) {
            0 => self.simple(rng, "no.such", "{}", What::Refused(-32601)),
            1 => self.simple(rng, "state.patch", "{\"pach\":{}}", What::Refused(-32602)),
            2 => self.simple(rng, "state.patch", "{\"patch\":1}", What::Refused(-32602)),
            3 => self.simple(rng, "initialize", "{}", What::Refused(-32602)),
            _ => self.simple(rng, "checkpoint.prune", "{\"keep\":1}", What::Refused(-32601)),
        }
    }

    pub fn of_operator(&mut self, rng: &mut Rng, known: &Known) -> Request {
        let mut request = match rng.u8(0..25) {
            0..8 => self.write(rng, known, true),
            20 | 21 => {
                let params = format!("{{\"wait_ms\":{}}}", [0, 0, 100, 3000][rng.usize(0..4)]);
                self.simple(rng, "event.next", &params, What::Next)
            }
            22 | 23 => self.look(rng),
            24 => self.assess(rng),
            8..10 => self.get(rng),
            10 => self.simple(rng, "checkpoint.list", "{}", What::List),
            11..13 => self.restore(rng, known),
            13 => {
                let params = format!("{{\"keep\":{},\"all\":{}}}", rng.u8(1..4), rng.bool());
                self.simple(rng, "checkpoint.prune", &params, What::Removal)
            }
            14 => {
                let params = if rng.bool() { "{}" } else { "{\"path\":\"/a\"}" };
                self.simple(rng, "history.forget", params, What::Removal)
            }
            15..17 => self.simple(rng, "status", "{}", What::Status),
            17 => self.simple(rng, "restart", "{}", What::Plain),
            18 if rng.u8(0..4) == 0 => self.simple(rng, "stop", "{}", What::Plain),
            18 => self.simple(rng, "run.finish", "{}", What::Refused(-32601)),
            _ => self.simple(rng, "checkpoint.prune", "{\"keep\":0}", What::Refused(-32602)),
        };
        // An operator always waits for an answer.
        request.id = Some(self.next().to_string());
        request
    }

    /// What events are wanted, as it is written.
    pub fn events(rng: &mut Rng) -> (String, (usize, Vec<String>)) {
        let credit = [1, 1, 2, 5][rng.usize(0..4)];
        let types: &[&str] =
            [&[][..], &[], &["a.*"], &["b.*", "line.*", "t.*", "review.*"]][rng.usize(0..4)];
        let list: Vec<String> = types.iter().map(|glob| format!("\"{glob}\"")).collect();
        let params = format!("{{\"credit\":{credit},\"types\":[{}]}}", list.join(","));
        (params, (credit, types.iter().map(|glob| (*glob).into()).collect()))
    }

    fn subscribe(&mut self, rng: &mut Rng) -> Request {
        let (params, events) = Self::events(rng);
        let what = What::Subscribe { events: Some(events) };
        // Whoever wants events waits for the answer.
        let id = Some(self.next().to_string());
        Request { id, method: "event.subscribe", params, what }
    }

    fn look(&mut self, rng: &mut Rng) -> Request {
        let (method, params) = match rng.u8(0..4) {
            0 => ("kv.get", "{\"ns\":\"n\",\"key\":\"k1\"}"),
            1 => ("kv.list", "{\"ns\":\"n\"}"),
            2 => ("event.history", "{\"limit\":3}"),
            _ => ("review.get", "{\"id\":1}"),
        };
        self.simple(rng, method, params, What::Look)
    }

    /// A change that nothing but the disk can refuse.
    pub fn plain_patch(&mut self) -> Request {
        let (format, text) = (Format::Merge, format!("{{\"e\":{}}}", self.next()));
        self.alone(Step::Patch { format, text })
    }

    /// One step, under no condition, whose answer is waited for.
    pub fn alone(&mut self, step: Step) -> Request {
        let steps = vec![step];
        let (method, params) = write_params(&steps, false);
        let id = Some(self.next().to_string());
        let what = What::Write(Write { steps, is_tx: false, if_version: None, key: None });
        Request { id, method, params, what }
    }

    fn simple(&mut self, rng: &mut Rng, method: &'static str, params: &str, what: What) -> Request {
        Request { id: self.id(rng), method, params: params.into(), what }
    }
}

fn write_params(steps: &[Step], is_tx: bool) -> (&'static str, String) {
    match steps {
        [step] if !is_tx => one(step),
        _ => {
            let ops: Vec<String> = steps
                .iter()
                .map(one)
                .map(|(method, params)| format!("{{\"method\":\"{method}\",\"params\":{params}}}"))
                .collect();
            ("tx", format!("{{\"ops\":[{}]}}", ops.join(",")))
        }
    }
}

fn one(step: &Step) -> (&'static str, String) {
    match step {
        Step::Patch { format: Format::Set, text } => ("state.set", format!("{{\"value\":{text}}}")),
        Step::Patch { format, text } => {
            ("state.patch", format!("{{\"patch\":{text},\"format\":\"{}\"}}", format.name()))
        }
        Step::Errand { method, params, .. } => (method, params.clone()),
        Step::Checkpoint { label: None } => ("checkpoint.create", "{}".into()),
        Step::Checkpoint { label: Some(label) } => {
            ("checkpoint.create", format!("{{\"label\":\"{label}\"}}"))
        }
    }
}

fn takes_version(steps: &[Step]) -> bool {
    match steps {
        [Step::Errand { what, .. }] => matches!(what, Errand::Ack { .. } | Errand::Complete(_)),
        _ => true,
    }
}

/// Whoever comes by a key asks again: so it is for what anybody may ask.
fn takes_key(steps: &[Step], is_tx: bool) -> bool {
    let is = |list: &[&str]| {
        steps.iter().any(|s| matches!(s, Step::Errand { method, .. } if list.contains(method)))
    };
    let operators = is(&["review.resolve", "event.retry", "event.drop"]);
    !operators && (is_tx || !is(&["kv.put", "review.request"]))
}

fn add_extra(params: &mut String, if_version: Option<u64>, key: Option<&str>) {
    let mut add = |member: String| {
        let open = params.strip_suffix('}').unwrap_or(params);
        let comma = if open == "{" { "" } else { "," };
        *params = format!("{open}{comma}{member}}}");
    };
    if let Some(version) = if_version {
        add(format!("\"if_version\":{version}"));
    }
    if let Some(key) = key {
        add(format!("\"key\":\"{key}\""));
    }
}
