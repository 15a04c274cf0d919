//! Which agent is meant.
//!
//! AGENT is the first word of every command and may be left out: inside an
//! agent it is that agent (`$ADRT_AGENT`), else the only one there is. Where
//! there are several, the failure lists them.

use super::Context;
use super::failure::{Failure, Kind};
use crate::store::home::{self, Home, HomeError};
use crate::store::lock;

/// The most agents that a failure lists.
const LISTED_MAX: usize = 12;

/// The agent of that name, or the one that is meant without one.
///
/// # Errors
/// There is none, or there are several.
pub fn choose(context: &Context, given: Option<&str>) -> Result<Home, Failure> {
    if let Some(name) = given.or_else(|| context.env.text("ADRT_AGENT")) {
        return named(context, name);
    }
    let names = all(context)?;
    match names.as_slice() {
        [only] => named(context, only),
        [] => Err(Failure::new(Kind::NotFound, "there are no agents yet")
            .why(format!("{} holds none", context.state_dir()?.display()))
            .hint("adrt run -- python3 agent.py, or name another place with --state-dir")),
        several => Err(Failure::new(Kind::Usage, "which agent is meant?")
            .why(format!("there are {}: {}", several.len(), listed(several)))
            .hint("give its name as the first word")),
    }
}

/// Splits words into the agent and the rest, of which the command takes
/// `least` to `most`: with one word more than `most` the first is the agent;
/// with fewer it is, if an agent has that name and enough words are left.
///
/// # Errors
/// As [`choose`].
pub fn split(
    context: &Context,
    words: &[String],
    least: usize,
    most: usize,
) -> Result<(Home, Vec<String>), Failure> {
    if let Some((first, rest)) = words.split_first() {
        let is_agent = rest.len() == most || (rest.len() >= least && exists(context, first)?);
        if is_agent {
            return Ok((named(context, first)?, rest.to_vec()));
        }
    }
    Ok((choose(context, None)?, words.to_vec()))
}

/// Whether an agent has that name.
///
/// # Errors
/// There is no state directory to look into.
pub fn exists(context: &Context, name: &str) -> Result<bool, Failure> {
    Ok(Home::new(&context.state_dir()?, name).is_ok_and(|home| is_there(&home)))
}

/// Names of all agents.
///
/// # Errors
/// The state directory can't be read.
pub fn all(context: &Context) -> Result<Vec<String>, Failure> {
    home::list(&context.state_dir()?).map_err(|error| of_home("the agents can't be listed", &error))
}

fn named(context: &Context, name: &str) -> Result<Home, Failure> {
    let state_dir = context.state_dir()?;
    let missing = || Failure::new(Kind::NotFound, format!("there is no agent {name:?}"));
    let home = Home::new(&state_dir, name).map_err(|error| missing().why(error).hint(LIST))?;
    if is_there(&home) {
        return Ok(home);
    }
    let names = all(context)?;
    Err(if names.is_empty() {
        missing()
            .why(format!("{} holds none", state_dir.display()))
            .hint("name another place with --state-dir; adrt status says which is used")
    } else {
        missing()
            .why(format!("{} holds {}", state_dir.display(), listed(&names)))
            .hint("check the name, or name another place with --state-dir")
    })
}

const LIST: &str = "adrt list";

/// A database, or an `adrt run --ephemeral` that has none.
fn is_there(home: &Home) -> bool {
    home.exists() || lock::holder(home).is_some()
}

fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(LISTED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED_MAX {
        text.push_str(&format!(" and {} more", names.len() - LISTED_MAX));
    }
    text
}

/// A failure of the directory as one of the command.
pub fn of_home(what: impl Into<String>, error: &HomeError) -> Failure {
    let (kind, hint) = match error {
        HomeError::BadName(_) => (Kind::Usage, "choose another name"),
        HomeError::Missing(_) => (Kind::NotFound, LIST),
        HomeError::Exists(_) => (Kind::Failed, "choose another name, or adrt rm that one first"),
        HomeError::Symlink(_) | HomeError::WrongKind(_) => {
            (Kind::Store, "move it away; nothing of adrt put it there")
        }
        HomeError::Held(_) => (Kind::Held, "adrt stop, then try again"),
        HomeError::Io { source, .. } => match source.kind() {
            std::io::ErrorKind::PermissionDenied => {
                (Kind::Store, "run it as the user the agent runs as (sudo -u USER adrt …)")
            }
            _ => (Kind::Store, "check the state directory"),
        },
    };
    Failure::new(kind, what).why(error).hint(hint)
}
