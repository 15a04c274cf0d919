//! `adrt step run`.
//!
//! ```text
//! step.begin ─ run ──► CMD ─ exit 0 ──► step.complete ──► its exit code
//!      │                  ├ another ──► the step stays open ──► its exit code
//!      │                  └ another, --keep-failure ──► step.complete
//!      ├ done, failed ──► what is remembered is printed again
//!      └ review ────────► a person decides whether it is run again
//! ```
//!
//! A result may have cost money. So while there is hope that it can be
//! remembered this goes on trying, and where there is none it says so: the
//! exit code is then no longer the command's.

use std::io::{self, Write as _};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::outcome::{OUTPUT_BYTES_MAX, Remembered, decode, encode};
use super::{OnUnknown, RunArgs};
use crate::cli::failure::{Failure, Kind};
use crate::cli::json::{Object, compact, shown_string};
use crate::cli::output::note;
use crate::cli::text::{bytes, clipped};
use crate::cli::{Context, DONE, agent, client};
use crate::clock;
use crate::runtime::foreground::{self, Ended};
use crate::store::home::Home;
use crate::store::lock::StepLock;
use crate::supervisor::io::Exit;

/// What steps belong to where nobody says.
const SCOPE_DEFAULT: &str = "default";
/// Names the event that a script is at.
const EVENT_VARIABLE: &str = "ADRT_EVENT";
/// How long a disk that is full, or an adrt that starts anew, is waited for
/// with a result in hand.
const REMEMBER_PATIENCE: Duration = Duration::from_secs(300);
/// Between two tries, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Characters of an error that are shown.
const ERROR_SHOWN_MAX: usize = 500;
/// As shells tell a death by signal.
const BY_SIGNAL: i32 = 128;

/// What `step.begin` says.
#[derive(Deserialize)]
struct Begun<'a> {
    status: String,
    #[serde(default)]
    attempt: u64,
    #[serde(default)]
    idempotency_key: String,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(default)]
    review_id: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// The step may not be run now, CMD can't be started, or what it did can't be
/// remembered.
pub(super) fn main(args: &RunArgs, context: &Context) -> Result<u8, Failure> {
    let step = Step::of(args, context)?;
    let mut params = step.params();
    if let Some(input) = &args.input {
        params = params.text("input_hash", &hashed(input));
    }
    if args.on_unknown == OnUnknown::Review {
        params = params.text("on_unknown", "review");
    }
    let Some(_until_it_is_over) = StepLock::take(&step.home, step.hash()) else {
        return Err(Failure::new(Kind::Held, format!("the step {:?} is being done", step.name))
            .why("another adrt step run has begun it, and has not ended")
            .hint("wait for it, or give this one another name"));
    };
    let result = client::call(context, &step.home, "step.begin", &params.finish())?;
    let begun: Begun<'_> = client::parse(&result)?;
    match begun.status.as_str() {
        "run" => step.execute(args, &begun),
        "done" => step.repeat(begun.result.map_or("null", RawValue::get)),
        "failed" => step.repeat_failure(begun.error.map_or("null", RawValue::get)),
        "review" => Err(step.waits(begun.review_id)),
        other => Err(Failure::new(Kind::Failed, "the answer of adrt makes no sense")
            .why(format!("a step is {other:?}"))
            .hint("is the adrt that runs the agent of another version? restart it")),
    }
}

fn hashed(input: &str) -> String {
    Sha256::digest(input.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A step, as requests name it.
struct Step<'a> {
    context: &'a Context,
    home: Home,
    name: String,
    scope: Scope,
}

enum Scope {
    Event(u64),
    Named(String),
}

impl Scope {
    fn of(args: &RunArgs, context: &Context) -> Result<Self, Failure> {
        if let Some(seq) = args.event {
            return Ok(Self::Event(seq));
        }
        if let Some(name) = &args.scope {
            return Ok(Self::Named(name.clone()));
        }
        match context.env.text(EVENT_VARIABLE) {
            Some(seq) => seq.parse().map(Self::Event).map_err(|_| {
                Failure::new(Kind::Usage, format!("{EVENT_VARIABLE} names no event"))
                    .why(format!("{seq:?} is no number"))
                    .hint("set it to the seq that adrt events next printed, or give --scope")
            }),
            None => Ok(Self::Named(SCOPE_DEFAULT.to_owned())),
        }
    }

    /// How it is forgotten.
    fn forget(&self, agent: &str) -> String {
        match self {
            Self::Event(seq) => {
                format!("it is forgotten with the event: adrt events drop {agent} {seq}")
            }
            Self::Named(name) => format!("adrt step forget {agent} {name} forgets it"),
        }
    }
}

impl<'a> Step<'a> {
    fn of(args: &RunArgs, context: &'a Context) -> Result<Self, Failure> {
        let (home, mut words) = agent::split(context, &args.words, 1, 1)?;
        let Some(name) = words.pop().filter(|_| words.is_empty()) else {
            return Err(Failure::new(Kind::Usage, "which step is meant?")
                .why("a step has a name, its own within the scope")
                .hint("adrt step run [AGENT] NAME -- CMD"));
        };
        Ok(Self { context, home, name, scope: Scope::of(args, context)? })
    }

    /// For [`StepLock`]: the same for the same step.
    fn hash(&self) -> u32 {
        crc32c::crc32c(self.params().finish().as_bytes())
    }

    fn params(&self) -> Object {
        let params = Object::new().text("step", &self.name);
        match &self.scope {
            Scope::Event(seq) => params.number("seq", *seq),
            Scope::Named(name) => params.text("scope", name),
        }
    }

    /// Runs CMD, and has its end remembered if it is one to remember.
    fn execute(&self, args: &RunArgs, begun: &Begun<'_>) -> Result<u8, Failure> {
        let attempt = begun.attempt.to_string();
        let variables = [
            ("ADRT_IDEMPOTENCY_KEY", begun.idempotency_key.as_str()),
            ("ADRT_STEP_ATTEMPT", &attempt),
        ];
        let mut stdout = PassedOn::default();
        let pass = |piece: &[u8]| stdout.write(piece);
        let ended = foreground::run(&args.command, &variables, OUTPUT_BYTES_MAX, pass)
            .map_err(|error| not_started(args, &error))?;
        let (exit, final_failure) = match ended.exit {
            Exit::Code(code) => (code, args.keep_failure),
            // Nobody decided to end so: it is not final.
            Exit::Signal { signal, .. } => (BY_SIGNAL + signal, false),
        };
        let exit = u8::try_from(exit).unwrap_or(u8::MAX);
        if exit == DONE || final_failure {
            self.remember(begun, exit, &ended)?;
        }
        stdout.written()?;
        Ok(exit)
    }

    /// Tries until it is remembered, or never will be.
    fn remember(&self, begun: &Begun<'_>, exit: u8, ended: &Ended) -> Result<(), Failure> {
        let outcome = encode(exit, ended.bytes, ended.output.as_deref());
        let member = if exit == DONE { "result" } else { "error" };
        // The same in every try: one that was lost on its way may have arrived.
        let key = format!("step-run:{}:{}", begun.idempotency_key, begun.attempt);
        let params = self.params().number("attempt", begun.attempt).raw(member, &outcome);
        let params = params.text("key", &key).finish();
        let tried = clock::mono();
        let mut pause = RETRY_FIRST;
        loop {
            let failure = match client::request(self.context, &self.home, "step.complete", &params)
            {
                Ok(Ok(_)) => break,
                Ok(Err(refusal)) if !refusal.is_retryable() => {
                    return Err(paid_in_vain(refusal.into_failure(&self.home)));
                }
                Ok(Err(refusal)) => refusal.into_failure(&self.home),
                Err(failure) if failure.kind == Kind::Held => return Err(paid_in_vain(failure)),
                Err(failure) => failure,
            };
            if clock::mono().since(tried) >= REMEMBER_PATIENCE {
                return Err(paid_in_vain(failure));
            }
            if pause == RETRY_FIRST {
                note(&format!(
                    "adrt: the result can't be remembered yet: {}; trying again",
                    failure.what
                ));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(RETRY_MAX);
        }
        if ended.output.is_none() {
            note(&format!(
                "adrt: the step is done, but {} of output are more than is remembered ({})",
                bytes(ended.bytes),
                bytes(OUTPUT_BYTES_MAX as u64)
            ));
        }
        Ok(())
    }

    /// What was done before, again.
    fn repeat(&self, outcome: &str) -> Result<u8, Failure> {
        match decode(outcome) {
            Remembered::Whole { exit, output } => {
                print(&output)?;
                Ok(exit)
            }
            Remembered::TooLong { bytes: count } => Err(Failure::new(
                Kind::NotFound,
                "the step is done, but not what it printed is kept",
            )
            .why(format!("{} were more than is remembered", bytes(count)))
            .hint(format!(
                "have the command write to a file; {}",
                self.scope.forget(self.home.agent())
            ))),
            Remembered::Other => {
                self.context.out.json_line(outcome)?;
                Ok(DONE)
            }
        }
    }

    fn repeat_failure(&self, error: &str) -> Result<u8, Failure> {
        match decode(error) {
            Remembered::Other => {
                let error = clipped(&shown_string(&compact(error)), ERROR_SHOWN_MAX);
                Err(Failure::new(
                    Kind::Failed,
                    format!("the step {:?} has failed for good", self.name),
                )
                .why(error)
                .hint(self.scope.forget(self.home.agent())))
            }
            Remembered::Whole { .. } | Remembered::TooLong { .. } => self.repeat(error),
        }
    }

    fn waits(&self, review: Option<u64>) -> Failure {
        let agent = self.home.agent();
        let failure =
            Failure::new(Kind::Waiting, format!("the step {:?} waits for a review", self.name))
                .why("an attempt began, and nobody knows whether it did anything");
        match review {
            Some(id) => failure.hint(format!("adrt reviews approve {agent} {id} has it run again")),
            None => failure.hint(format!("adrt reviews list {agent}")),
        }
    }
}

/// The failure to remember what was done.
fn paid_in_vain(failure: Failure) -> Failure {
    let why = if failure.why.is_empty() {
        failure.what
    } else {
        format!("{}: {}", failure.what, failure.why)
    };
    Failure {
        what: "the command is done, but that could not be remembered".to_owned(),
        why,
        ..failure
    }
    .hint("its output is all there is of it: look before it is run again")
}

fn not_started(args: &RunArgs, error: &io::Error) -> Failure {
    let program = args.command.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    let kind = match error.kind() {
        io::ErrorKind::NotFound => Kind::NoCommand,
        io::ErrorKind::PermissionDenied => Kind::NotExecutable,
        _ => Kind::Failed,
    };
    Failure::new(kind, format!("{program} can't be run"))
        .why(error)
        .hint("nothing was done; the next step run tries it again")
}

/// stdout while the command prints. A reader that goes away is no reason to
/// lose what is still to come.
#[derive(Default)]
struct PassedOn {
    failed: Option<io::Error>,
}

impl PassedOn {
    fn write(&mut self, piece: &[u8]) {
        if self.failed.is_none() {
            let mut stdout = io::stdout().lock();
            self.failed = stdout.write_all(piece).and_then(|()| stdout.flush()).err();
        }
    }

    fn written(self) -> Result<(), Failure> {
        match self.failed {
            None => Ok(()),
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Some(error) => {
                Err(Failure::new(Kind::Failed, "the output could not be written").why(error))
            }
        }
    }
}

fn print(output: &[u8]) -> Result<(), Failure> {
    let mut stdout = PassedOn::default();
    stdout.write(output);
    stdout.written()
}
