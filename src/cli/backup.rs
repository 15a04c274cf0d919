//! `adrt backup` and `adrt restore`: a whole agent in one file.

use std::path::PathBuf;

use super::failure::{Failure, Kind};
use super::json::Object;
use super::text::bytes;
use super::{Context, DONE, agent, manage, past};
use crate::store::backup::{self, BackupError, BackupInfo};
use crate::store::home::{Home, HomeError};

/// Copy a whole agent into one file
///
/// Consistent while it runs, and without holding it up; with a hash, so that
/// a bad copy is noticed. Nothing is overwritten.
///
/// With --move the agent goes where the file goes: here it refuses to run from
/// then on, and says so. Two devices don't both do its work. To take it back,
/// restore the file here.
#[derive(Debug, Clone, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  adrt backup night-watch.adrt
  adrt backup counter \"counter-$(date +%F).adrt\" --json
  adrt stop night-watch && adrt backup night-watch /media/stick/nw.adrt --move"
)]
pub struct BackupArgs {
    /// Which agent
    pub agent: Option<String>,
    /// The file to make
    #[arg(required = true)]
    pub file: PathBuf,
    /// Let it run no more here; it must be stopped
    #[arg(long = "move")]
    pub moved: bool,
    /// Print {agent, file, bytes, sha256, version}
    #[arg(long)]
    pub json: bool,
}

/// Bring an agent back from such a file
///
/// Under its old name, or another one. An agent that is there is not touched.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt restore night-watch.adrt
  adrt restore night-watch.adrt -n copy")]
pub struct RestoreArgs {
    /// The file
    pub file: PathBuf,
    /// The agent's name [default: the one in the file]
    #[arg(short, long, value_name = "NAME")]
    pub name: Option<String>,
    /// Print {agent, file, bytes, sha256, version}
    #[arg(long)]
    pub json: bool,
}

/// Runs `backup`.
///
/// # Errors
/// The file is there, the agent can't be read, or the system refused.
pub fn backup(args: &BackupArgs, context: &Context) -> Result<u8, Failure> {
    let home = agent::choose(context, args.agent.as_deref())?;
    let file = context.env.cwd.join(&args.file);
    let made = if args.moved {
        let lock = manage::lock(&home, "can't be moved away while it runs")?;
        backup::backup_move(&home, &lock, &file)
    } else {
        backup::backup(&home, &file)
    };
    let made = made.map_err(|error| {
        of_backup(format!("{} was not backed up", home.agent()), Some(&home), error)
    })?;
    let (name, size) = (home.agent(), bytes(made.bytes));
    let (shown, version) = (args.file.display(), made.version);
    tell(context, args.json, name, &file, &made, || {
        if args.moved {
            format!("{name}, at version {version}, is in {shown} ({size}), and runs no more here")
        } else {
            format!("{name}, at version {version}, is in {shown} ({size})")
        }
    })
}

/// Runs `restore`.
///
/// # Errors
/// The file is no sound backup, the agent is there, or the system refused.
pub fn restore(args: &RestoreArgs, context: &Context) -> Result<u8, Failure> {
    let file = context.env.cwd.join(&args.file);
    let what = || format!("{} was not restored", args.file.display());
    let name = match &args.name {
        Some(name) => name.clone(),
        None => backup::agent_in(&file).map_err(|error| of_backup(what(), None, error))?,
    };
    let home = Home::new(&context.state_dir()?, &name);
    let home = home.map_err(|error| agent::of_home(what(), &error))?;
    let made =
        backup::restore(&file, &home).map_err(|error| of_backup(what(), Some(&home), error))?;
    tell(context, args.json, &name, &file, &made, || {
        format!("{name} is there again, at version {}", made.version)
    })
}

fn tell(
    context: &Context,
    as_json: bool,
    agent: &str,
    file: &std::path::Path,
    made: &BackupInfo,
    sentence: impl FnOnce() -> String,
) -> Result<u8, Failure> {
    if as_json {
        let object = Object::new()
            .text("agent", agent)
            .text("file", &file.to_string_lossy())
            .number("bytes", made.bytes)
            .text("sha256", &made.sha256)
            .number("version", made.version);
        context.out.json(&object.finish())?;
    } else {
        context.out.line(&sentence())?;
    }
    Ok(DONE)
}

fn of_backup(what: String, home: Option<&Home>, error: BackupError) -> Failure {
    match error {
        BackupError::Exists(_) => Failure::new(Kind::Failed, what)
            .why(error)
            .hint("name another file, or remove that one first"),
        BackupError::Read(error) => match home {
            Some(home) => past::of_read(home, error),
            None => Failure::new(Kind::Store, what).why(error),
        },
        BackupError::Home(HomeError::Exists(_)) => {
            let name = home.map_or("it", Home::agent);
            Failure::new(Kind::Failed, what)
                .why(format!("there is an agent {name:?} already"))
                .hint(format!("give it another name with -n, or adrt rm {name} first"))
        }
        BackupError::Home(error) => agent::of_home(what, &error),
        BackupError::NotABackup(_) => Failure::new(Kind::Failed, what)
            .why(error)
            .hint("give a file that adrt backup wrote, copied whole"),
        BackupError::Mismatch(_) => {
            Failure::new(Kind::Failed, what).why(error).hint("copy it again, or take an older one")
        }
        BackupError::Open(error) => {
            let hint = error.hint();
            Failure::new(Kind::Store, what).why(error).hint(hint)
        }
        BackupError::Io { ref source, .. } => {
            let kind = match source.kind() {
                std::io::ErrorKind::NotFound => Kind::NotFound,
                _ => Kind::Store,
            };
            Failure::new(kind, what).why(error).hint("check the path, its owner and the disk")
        }
    }
}
