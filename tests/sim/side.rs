//! One incarnation, as it looks from outside: what it is owed, what it knows.

use std::collections::VecDeque;

use adrt::engines::environment::Level;
use adrt::engines::state::Format;
use serde_json::Value;

use super::agent::{Line, Meaning};
use super::answers::{self, Told};
use super::durable::Durable;
use super::hands::Hands;
use super::request::{Request, What};

/// What counts as a frame of it at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Closed,
    Open,
    Tagged,
}

/// What happens to a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    Passed,
    Taken,
}

/// An answer that is owed.
#[derive(Debug)]
enum Owed {
    To(Request),
    Refusal { id: String, code: i64 },
}

impl Owed {
    fn id(&self) -> &str {
        match self {
            Self::To(request) => request.id.as_deref().unwrap_or("none"),
            Self::Refusal { id, .. } => id,
        }
    }
}

pub struct Side {
    pub incarnation: u64,
    pub mode: Mode,
    owed: VecDeque<Owed>,
    /// The version its greeting told.
    greeted: Option<u64>,
    /// The newest version it knows of.
    knows: u64,
    /// The level of the environment it knows of.
    level: Level,
    /// It can't be told anything any more.
    pub deaf: bool,
    pub asked_to_leave: bool,
    /// It said `run.finish`.
    pub finished: bool,
    pub hands: Hands,
}

impl Side {
    pub fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            mode: Mode::Closed,
            owed: VecDeque::new(),
            greeted: None,
            knows: 0,
            level: Level::Calm,
            deaf: false,
            asked_to_leave: false,
            finished: false,
            hands: Hands::default(),
        }
    }

    /// Says what is to happen to a line, and notes what it is owed.
    pub fn line(&mut self, line: &Line) -> Fate {
        let counts = match self.mode {
            Mode::Closed => false,
            Mode::Open => true,
            Mode::Tagged => line.tagged,
        };
        let refusal = |id: &str, code| Owed::Refusal { id: id.into(), code };
        match &line.meaning {
            Meaning::Text => return Fate::Passed,
            Meaning::Overlong => self.owed.push_back(refusal("null", -32700)),
            Meaning::Broken if counts => self.owed.push_back(refusal("null", -32700)),
            Meaning::Invalid { id, code } if counts => self.owed.push_back(refusal(id, *code)),
            Meaning::Frame(request) if request.method == "initialize" => {
                if self.mode == Mode::Tagged && !line.tagged {
                    return Fate::Passed;
                }
                self.initialize(request);
            }
            Meaning::Frame(request) if counts => self.expect(request),
            Meaning::Broken | Meaning::Invalid { .. } | Meaning::Frame(_) => return Fate::Passed,
        }
        Fate::Taken
    }

    fn expect(&mut self, request: &Request) {
        self.finished |= matches!(request.what, What::Finish { .. });
        if request.id.is_some() {
            self.owed.push_back(Owed::To(request.clone()));
        }
    }

    fn initialize(&mut self, request: &Request) {
        let refused = |code| Request { what: What::Refused(code), ..request.clone() };
        match request.what {
            What::Refused(-32602) => self.expect(request),
            _ if self.mode != Mode::Closed => self.expect(&refused(1003)),
            What::Initialize { tag, .. } => {
                self.mode = if tag { Mode::Tagged } else { Mode::Open };
                self.expect(request);
            }
            _ => self.expect(request),
        }
    }

    /// Something was sent to it.
    pub fn hears(&mut self, message: &Value, durable: &Durable, told: &mut Told) {
        assert!(!self.deaf, "told to one who can't hear: {message}");
        match message["method"].as_str() {
            Some("shutdown") => self.asked_to_leave = true,
            Some("state.changed") => self.state_changed(&message["params"], durable),
            Some("environment.changed") => {
                assert!(self.greeted.is_some(), "nothing is told before the greeting");
                let level = level_in(&message["params"]);
                assert_ne!(level, self.level, "a level is told once");
                self.level = level;
            }
            Some("event.deliver") => {
                assert!(self.greeted.is_some(), "handed out before the greeting");
                let (params, told) = (&message["params"], &mut told.hand_outs);
                self.hands.delivered(params, self.incarnation, told, &durable.work);
            }
            Some("review.resolved") => {
                let id = message["params"]["review_id"].as_u64().unwrap();
                let (params, work) = (&message["params"], &durable.work);
                let status = work.reviews[&id].status.as_str();
                assert_eq!(params["status"], status, "how review {id} ended");
                let about = work.decisions.first_of(id);
                assert_eq!(params["decision_id"].as_u64(), about, "what review {id} was about");
            }
            Some(other) => panic!("an unknown notification {other}"),
            None => self.answered(message, durable, told),
        }
    }

    fn answered(&mut self, message: &Value, durable: &Durable, told: &mut Told) {
        let owed = self.owed.pop_front().expect("an answer to nothing");
        let id = message["id"].to_string();
        assert_eq!(owed.id(), id, "answers leave in the order of the requests");
        match owed {
            Owed::Refusal { code, .. } => {
                assert_eq!(message["error"]["code"], code, "{message}");
            }
            Owed::To(request) => {
                let version = answers::check(&request, message, durable, told, self.knows);
                self.knows = self.knows.max(version.unwrap_or(0));
                self.hands.leaves = self.asked_to_leave;
                self.hands.answered(&request, message, &told.hand_outs);
                if matches!(request.what, What::Initialize { .. }) {
                    self.greeted = version;
                    if version.is_some() {
                        self.level = level_in(&message["result"]["environment"]);
                    }
                }
            }
        }
    }

    /// Somebody else's change: told in the order of versions, and enough to
    /// make the new state of the one before.
    fn state_changed(&mut self, params: &Value, durable: &Durable) {
        let greeted = self.greeted.expect("nothing is told before the greeting");
        let version = params["version"].as_u64().unwrap();
        assert!(version > greeted && version > self.knows, "changes are told in their order");
        self.knows = version;
        let row = durable.history.get(version).expect("only what is on the disk is told");
        let format = Format::from_name(params["format"].as_str().unwrap());
        let before = &durable.history.get(row.before).unwrap().value;
        let made = super::model::apply(before, format.unwrap(), &params["patch"]);
        assert_eq!(made.as_ref(), Some(&*row.value), "the change to {version} as it was told");
    }

    pub fn is_greeted(&self) -> bool {
        self.greeted.is_some()
    }

    /// Answers that are on their way.
    pub fn owed(&self) -> usize {
        if self.deaf { 0 } else { self.owed.len() }
    }

    /// All has been carried out that can be.
    pub fn settled(&self, durable: &Durable, level: Level) {
        if self.deaf {
            return;
        }
        assert!(self.owed.is_empty(), "the agent waits for ever: {:?}", self.owed);
        let Some(greeted) = self.greeted.filter(|_| !self.asked_to_leave) else { return };
        assert_eq!(self.level, level, "the level it was told of last");
        let later = durable.history.from(greeted + 1);
        let by_operator = later.filter(|(_, row)| &*row.by == "operator");
        let newest = by_operator.last().map_or(0, |(version, _)| version);
        assert!(self.knows >= newest, "the agent was not told of version {newest}");
    }
}

/// What is told of the environment: its level.
fn level_in(told: &Value) -> Level {
    let score = told["score"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&score), "{told}");
    Level::from_name(told["level"].as_str().unwrap()).unwrap()
}
