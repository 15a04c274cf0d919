//! `adrt systemd unit` and `template`: a hardened unit on stdout, and on
//! stderr what it opens, what stands in its way, and how it is installed.

mod passed;
mod quote;
mod reach;
mod unit;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;

use self::passed::Passed;
use self::reach::{Account, Use};
use self::unit::{ACCOUNT, Agent, Open, Unit};
use super::failure::{Failure, Kind};
use super::naming::Source;
use super::output::note;
use super::run::given_name;
use super::run::options::RunOptions;
use super::text::escaped;
use super::{Context, DONE, config, naming};
use crate::supervisor::machine::{READY_TIMEOUT_DEFAULT, STOP_TIMEOUT_DEFAULT};

/// Where the package puts it.
const INSTALLED: &str = "/usr/bin/adrt";
/// The longest `--stop-timeout` that instances of the template can have: what
/// their files say is not known when it is printed.
const TEMPLATE_STOP_TIMEOUT: Duration = Duration::from_secs(40);

/// Print units for systemd
#[derive(Debug, Clone, Subcommand)]
#[expect(missing_docs, reason = "a command's help stands at its arguments")]
pub enum SystemdCommand {
    Unit(Box<UnitArgs>),
    Template(TemplateArgs),
}

/// Print a hardened unit for an agent
///
/// The unit goes to stdout; what it opens, what would keep CMD from being
/// reached in it, and the commands that install it, to stderr. It is
/// Type=notify: started when the agent is ready, watched, reloadable, and
/// failed only when adrt says that another start is of no use. Every option
/// of adrt run is taken, too, and written into it.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "adrt systemd unit [OPTIONS] [OPTIONS OF RUN] <NAME> -- <CMD>...",
    after_help = "Examples:
  adrt systemd unit watch -- /usr/bin/python3 /opt/watch/agent.py
  adrt systemd unit gate --device /dev/gpiochip0 --group gpio -- /opt/gate/run
  adrt systemd unit mail --max-restarts 50 --on-failure page-me.service \\
      --env-file /etc/adrt/mail.env -- /opt/mail/venv/bin/python -m mail"
)]
pub struct UnitArgs {
    /// The agent's name; the unit is adrt-NAME.service
    pub name: String,
    /// Read options of run, and the command, from a TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What differs from the usual unit.
    #[command(flatten)]
    pub shape: Shape,
    /// Options of run.
    #[command(flatten)]
    pub passed: Passed,
    /// The command and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// Print the template for many agents, adrt@.service
///
/// An instance adrt@NAME runs the agent that /etc/adrt/NAME.toml describes, a
/// file of --config. The package has this template; print it to have one with
/// something opened.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt systemd template | sudo tee /etc/systemd/system/adrt@.service
  adrt systemd template --group gpio --device /dev/gpiochip0")]
pub struct TemplateArgs {
    /// What differs from the usual one.
    #[command(flatten)]
    pub shape: Shape,
}

/// What both can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Shape {
    /// The user that runs the agent
    #[arg(long, value_name = "USER", default_value = ACCOUNT)]
    pub user_name: String,
    /// Let it use a device
    #[arg(long, value_name = "PATH")]
    pub device: Vec<PathBuf>,
    /// Give it another group, as gpio for a device
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// Let it write there, beside its own state
    #[arg(long, value_name = "PATH")]
    pub write: Vec<PathBuf>,
    /// Let it see a path in a home directory or in /tmp
    #[arg(long, value_name = "PATH")]
    pub read: Vec<PathBuf>,
    /// Hand it a secret, in $CREDENTIALS_DIRECTORY/ID
    #[arg(long, value_name = "ID:PATH", value_parser = credential)]
    pub load_credential: Vec<String>,
    /// Start this unit when it has failed for good
    #[arg(long, value_name = "UNIT")]
    pub on_failure: Vec<String>,
}

fn credential(typed: &str) -> Result<String, String> {
    let (id, _) = typed.split_once(':').unwrap_or((typed, ""));
    if id.is_empty() || id.contains('/') {
        return Err("is an ID and the path of a file, as in key:/etc/adrt/key".into());
    }
    Ok(typed.to_owned())
}

/// Runs one of them.
///
/// # Errors
/// See each.
pub fn main(command: SystemdCommand, context: &Context) -> Result<u8, Failure> {
    match command {
        SystemdCommand::Unit(args) => of_agent(*args, context),
        SystemdCommand::Template(args) => template(args, context),
    }
}

fn template(args: TemplateArgs, context: &Context) -> Result<u8, Failure> {
    let unit = template_unit(&args.shape, &context.env.cwd);
    context.out.print(&unit::text(&unit))?;
    let account = Account::of(&unit.user, &[]);
    tell_opened(&unit.open);
    tell_account(&account, &unit.user);
    note("to install it:");
    note("  adrt systemd template … | sudo tee /etc/systemd/system/adrt@.service");
    note("  sudo systemctl daemon-reload && sudo systemctl enable --now adrt@NAME");
    Ok(DONE)
}

fn template_unit(shape: &Shape, cwd: &Path) -> Unit {
    Unit {
        agent: Agent::Instance,
        adrt: INSTALLED.to_owned(),
        words: Vec::new(),
        has_restart: false,
        stop_timeout: TEMPLATE_STOP_TIMEOUT,
        ready_timeout: READY_TIMEOUT_DEFAULT,
        user: shape.user_name.clone(),
        open: open(shape, cwd),
        on_failure: shape.on_failure.clone(),
    }
}

fn of_agent(args: UnitArgs, context: &Context) -> Result<u8, Failure> {
    let name = given_name(args.name)?;
    let cwd = &context.env.cwd;
    let config = args.config.map(|path| cwd.join(path));
    let file = config.as_deref().map(config::read).transpose()?.unwrap_or_default();
    let argv = if args.command.is_empty() { &file.command } else { &args.command };
    let command = Command::new(argv, &name, context)?;
    let mut words = args.passed.words(cwd);
    words.extend(config.iter().map(|path| with_path("--config=", path)));
    if !args.command.is_empty() {
        words.push("--".into());
        words.extend(command.words.clone());
    }
    let has_restart = args.passed.has("restart") || file.options.restarts.restart.is_some();
    let options = args.passed.options.clone().over(file.options);
    let mut open = open(&args.shape, cwd);
    if let Some(dir) = options.watching.metrics.as_deref().and_then(Path::parent) {
        open.write.push(cwd.join(dir));
    }
    let adrt = own_path();
    let unit = Unit {
        agent: Agent::Named(name),
        adrt: adrt.display().to_string(),
        words: as_text(words)?,
        has_restart,
        stop_timeout: options.process.stop_timeout.unwrap_or(STOP_TIMEOUT_DEFAULT),
        ready_timeout: options.process.ready_timeout.unwrap_or(READY_TIMEOUT_DEFAULT),
        user: args.shape.user_name,
        open,
        on_failure: args.shape.on_failure,
    };
    context.out.print(&unit::text(&unit))?;
    let files = files_of(options).into_iter().chain(config).map(|path| cwd.join(path));
    let reads = files.chain(command.script.clone()).map(|path| (path, Use::Read));
    let runs = [adrt].into_iter().chain(command.program.clone()).map(|path| (path, Use::Execute));
    tell(&unit, runs.chain(reads));
    command.tell();
    tell_installation(&unit);
    Ok(DONE)
}

/// What is run, as it stands in the unit, and what is known of it.
struct Command {
    words: Vec<OsString>,
    /// Where it was found.
    program: Option<PathBuf>,
    /// The file that an interpreter is given.
    script: Option<PathBuf>,
    /// Words that look like files of the working directory.
    doubtful: Vec<PathBuf>,
}

impl Command {
    fn new(argv: &[OsString], name: &str, context: &Context) -> Result<Self, Failure> {
        let Some(first) = argv.first() else {
            return Err(Failure::new(Kind::Usage, "there is no command to run")
                .why("nothing follows --, and no configuration file names one")
                .hint(format!(
                    "adrt systemd unit {name} -- /usr/bin/python3 /opt/{name}/agent.py"
                )));
        };
        let cwd = &context.env.cwd;
        let program = reach::program(first, cwd, context.env.get("PATH").unwrap_or_default());
        let script = naming::from_command(argv).ok().and_then(|named| match named.source {
            Source::Script(script) => Some(script),
            Source::Module(_) | Source::Command(_) => None,
        });
        let (doubtful, mut words) = reach::absolute(argv, script.as_deref(), cwd);
        if let (Some(program), Some(word)) = (&program, words.first_mut()) {
            program.as_os_str().clone_into(word);
        }
        let script = script.map(|script| cwd.join(script)).filter(|s| Some(s) != program.as_ref());
        Ok(Self { words, program, script, doubtful })
    }

    fn tell(&self) {
        if self.program.is_none()
            && let Some(word) = self.words.first()
        {
            warn(
                &format!("{} is not found on the PATH", word.display()),
                "give its path, or see that it is on the unit's PATH",
            );
        }
        for word in &self.doubtful {
            warn(
                &format!("{} is relative, and the unit starts in /", word.display()),
                "give its whole path if it is a file",
            );
        }
    }
}

/// Files that adrt itself reads by these options.
fn files_of(options: RunOptions) -> Vec<PathBuf> {
    let events = options.events.events.filter(|path| path.as_os_str() != "-");
    let mut files: Vec<PathBuf> = options.decisions.rules.into_iter().chain(events).collect();
    files.extend(options.process.env_file.into_iter().flatten());
    files
}

/// What is opened, and what stands between the unit and what it needs.
fn tell(unit: &Unit, needs: impl Iterator<Item = (PathBuf, Use)>) {
    let groups: Vec<&str> = unit.open.groups.iter().map(String::as_str).chain([ACCOUNT]).collect();
    let account = Account::of(&unit.user, &groups);
    tell_opened(&unit.open);
    tell_account(&account, &unit.user);
    for (path, purpose) in needs {
        if let Some(obstacle) = reach::obstacle(&path, purpose, &account, &unit.open) {
            warn(&obstacle.what, &obstacle.remedy);
        }
    }
}

/// The adrt that the unit runs: the installed one, or this one where there is
/// none.
fn own_path() -> PathBuf {
    let installed = PathBuf::from(INSTALLED);
    if installed.exists() {
        return installed;
    }
    std::env::current_exe().unwrap_or(installed)
}

fn with_path(option: &str, path: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(path);
    word
}

/// A unit is text; a word that is none can't stand in it.
fn as_text(words: Vec<OsString>) -> Result<Vec<String>, Failure> {
    let text = |word: OsString| {
        word.into_string().map_err(|word| {
            Failure::new(Kind::Usage, "a word of the command is not UTF-8")
                .why(format!("{}: a unit's lines are", word.display()))
                .hint("put the command into a script, and run that")
        })
    };
    words.into_iter().map(text).collect()
}

fn open(shape: &Shape, cwd: &Path) -> Open {
    let absolute = |paths: &[PathBuf]| paths.iter().map(|path| cwd.join(path)).collect();
    Open {
        devices: absolute(&shape.device),
        groups: shape.group.clone(),
        write: absolute(&shape.write),
        read: absolute(&shape.read),
        credentials: shape.load_credential.clone(),
    }
}

fn warn(what: &str, remedy: &str) {
    note(&format!("adrt: warning: {}", escaped(what)));
    note(&format!("  try: {}", escaped(remedy)));
}

/// What was opened, and what that costs.
fn tell_opened(open: &Open) {
    let tell = |what: &str, names: Vec<String>, cost: &str| {
        if !names.is_empty() {
            note(&format!("opened: {what} {}: {cost}", escaped(&names.join(", "))));
        }
    };
    let names = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
    tell(
        "device",
        names(&open.devices),
        "whoever takes over the agent has it too, and sees the names of all devices",
    );
    tell("group", open.groups.clone(), "whatever is open to that group is open to the agent");
    tell("writing to", names(&open.write), "its files outlive the agent's state and its backups");
    tell("a look at", names(&open.read), "the agent can read all of it that its user may");
}

fn tell_account(account: &Account, user: &str) {
    if !account.exists() {
        warn(
            &format!("there is no user {user} here"),
            &format!("echo 'u {user} - \"adrt agents\" /var/lib/adrt' | sudo systemd-sysusers -"),
        );
    }
    if user == ACCOUNT {
        return;
    }
    note(&format!(
        "note: systemd gives /var/lib/adrt to the user of the unit that starts; let all agents \
         of this machine run as {user}"
    ));
    let owner = std::os::unix::fs::MetadataExt::uid;
    if let Ok(meta) = std::fs::metadata("/var/lib/adrt")
        && account.uid().is_some_and(|uid| uid != owner(&meta))
    {
        warn(
            &format!("/var/lib/adrt belongs to user number {}, not to {user}", owner(&meta)),
            "leave out --user-name, or stop the agents there first",
        );
    }
}

fn tell_installation(unit: &Unit) {
    let name = unit.agent.unit_name();
    note("to install it:");
    note(&format!("  adrt systemd unit … | sudo tee /etc/systemd/system/{name}.service"));
    note(&format!("  sudo systemctl daemon-reload && sudo systemctl enable --now {name}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the package installs is what is printed, to the letter.
    #[test]
    fn the_template_is_the_one_that_is_kept() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/adrt@.service");
        let shape = Shape {
            user_name: ACCOUNT.into(),
            device: Vec::new(),
            group: Vec::new(),
            write: Vec::new(),
            read: Vec::new(),
            load_credential: Vec::new(),
            on_failure: Vec::new(),
        };
        let printed = unit::text(&template_unit(&shape, Path::new("/")));
        let kept = std::fs::read_to_string(path).expect("systemd/adrt@.service");
        assert!(kept == printed, "adrt systemd template > systemd/adrt@.service");
    }
}
