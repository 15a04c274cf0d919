//! `adrt doctor`: what is wrong with the machine, the directories and the
//! databases, and what to do about it.
//!
//! Every check is a function that looks at one thing and gives what it found:
//! also that all is well, so that one can see what was looked at. It changes
//! nothing, needs no agent and no root, and what it may not look at it says so.
//!
//! - [`place`]: directories and the disk; [`machine`]: kernel, clock, memory,
//!   limits; [`python`]: the interpreter and what it would import; [`unit`]: the
//!   service an agent runs in; [`agents`]: databases and what they tell.

mod agents;
mod machine;
mod place;
mod python;
mod unit;

use std::path::Path;

use super::json::{Object, array};
use super::output::{Tint, folded};
use super::text::{counted, escaped};
use super::{Context, DONE, agent};
use crate::cli::failure::{Failure, Kind};
use crate::cli::target;
use crate::store::home::{self, Home};

/// Look for what is wrong, and say what to do
///
/// The machine, the directories, the databases of all agents or of one, the
/// service they run in. Exit code 0 if nothing is wrong, 1 with a warning or a
/// problem: a problem keeps an agent from running or its memory from being
/// kept; a warning is what may become one, or waits for a person. Nothing is
/// changed, and no root is needed, but what another user's files hide can't be
/// looked at.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt doctor
  sudo adrt doctor --json | jq '.findings[] | select(.level != \"ok\")'
  adrt doctor night-watch")]
pub struct DoctorArgs {
    /// Only this agent's database and service, and the machine
    pub agent: Option<String>,
    /// Print {findings: [{check, level, agent, what, why, do}], warnings, problems}
    #[arg(long)]
    pub json: bool,
}

/// Columns that the level takes, with the blank behind it.
const LEVEL_WIDTH: usize = 9;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It may become a problem, or waits for a person.
    Warning,
    /// An agent can't run, or its memory is not safe.
    Problem,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    const fn tint(self) -> Tint {
        match self {
            Self::Ok => Tint::Good,
            Self::Warning => Tint::Warn,
            Self::Problem => Tint::Bad,
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    check: &'static str,
    level: Level,
    agent: Option<String>,
    what: String,
    why: String,
    cure: String,
}

impl Finding {
    /// All is well.
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        let (why, cure) = (String::new(), String::new());
        Self { check, level: Level::Ok, agent: None, what: what.into(), why, cure }
    }

    /// It is not: why that matters, and what to do.
    fn warning(
        check: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        let (why, cure) = (why.into(), cure.into());
        Self { level: Level::Warning, why, cure, ..Self::ok(check, what) }
    }

    /// As [`Finding::warning`], and worse.
    fn problem(
        check: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { level: Level::Problem, ..Self::warning(check, what, why, cure) }
    }

    /// Of this agent.
    fn of(self, agent: &str) -> Self {
        Self { agent: Some(agent.to_owned()), ..self }
    }

    fn to_json(&self) -> String {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Object::new()
            .text("check", self.check)
            .text("level", self.level.as_str())
            .maybe_text("agent", self.agent.as_deref())
            .text("what", &self.what)
            .maybe_text("why", some(&self.why).as_deref())
            .maybe_text("do", some(&self.cure).as_deref())
            .finish()
    }

    fn lines(&self, context: &Context) -> String {
        let level =
            context.out.paint.tint(self.level.tint(), &format!("{:<8}", self.level.as_str()));
        let agent = self.agent.as_ref().map_or_else(String::new, |agent| format!("{agent}: "));
        let mut text = escaped(&agent) + &escaped(&self.what);
        for (head, line) in [("why", &self.why), ("try", &self.cure)] {
            if !line.is_empty() {
                text.push_str(&format!("\n{head}: {}", escaped(line)));
            }
        }
        let room = context.out.width.saturating_sub(LEVEL_WIDTH);
        let text = folded(&text, room).replace('\n', &format!("\n{}", " ".repeat(LEVEL_WIDTH)));
        format!("{level} {text}\n")
    }
}

/// Runs the command.
///
/// # Errors
/// There is no such agent. What is wrong is in the exit code.
pub fn main(args: &DoctorArgs, context: &Context) -> Result<u8, Failure> {
    let findings = look(args, context)?;
    let count = |level| findings.iter().filter(|found| found.level == level).count() as u64;
    let (warnings, problems) = (count(Level::Warning), count(Level::Problem));
    if args.json {
        let object = Object::new()
            .raw("findings", &array(findings.iter().map(Finding::to_json)))
            .number("warnings", warnings)
            .number("problems", problems);
        context.out.json(&object.finish())?;
    } else {
        let mut text: String = findings.iter().map(|found| found.lines(context)).collect();
        text.push_str(&match (problems, warnings) {
            (0, 0) => "nothing is wrong\n".to_owned(),
            (0, _) => format!("{}\n", counted(warnings, "warning")),
            (_, 0) => format!("{}\n", counted(problems, "problem")),
            (_, _) => {
                format!("{}, {}\n", counted(problems, "problem"), counted(warnings, "warning"))
            }
        });
        context.out.print(&text)?;
    }
    Ok(if warnings + problems == 0 { DONE } else { Kind::Failed.exit_code() })
}

fn look(args: &DoctorArgs, context: &Context) -> Result<Vec<Finding>, Failure> {
    let state_dir = context.state_dir()?;
    let homes = match &args.agent {
        Some(name) => vec![agent::choose(context, Some(name))?],
        None => homes(&state_dir),
    };
    let runtime_dir = target::runtime_dir(None, None, &context.env, &state_dir);
    let mut found = place::look(&state_dir, &runtime_dir, context.env.uid);
    found.extend(machine::look(Path::new("/"), &context.env));
    found.extend(python::look(context.env.get("PATH")));
    for home in &homes {
        found.extend(agents::look(home, &state_dir));
        found.extend(unit::look(home));
    }
    if homes.is_empty() {
        found
            .push(Finding::ok("agents", format!("there are no agents in {}", state_dir.display())));
    }
    Ok(found)
}

/// Those that can be seen; that the directory can't be read is [`place`]'s to
/// tell.
fn homes(state_dir: &Path) -> Vec<Home> {
    let names = home::list(state_dir).unwrap_or_default();
    names.iter().filter_map(|name| Home::new(state_dir, name).ok()).collect()
}
