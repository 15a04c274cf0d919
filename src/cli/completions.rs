//! `adrt completions`: a script that teaches a shell adrt's words.

use clap_complete::Shell;

use super::failure::Failure;
use super::{Context, DONE, args};

/// Print a completion script for a shell
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  adrt completions bash > ~/.local/share/bash-completion/completions/adrt
  adrt completions zsh > ~/.zfunc/_adrt
  adrt completions fish > ~/.config/fish/completions/adrt.fish")]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// stdout takes no more.
pub fn main(args: &CompletionsArgs, context: &Context) -> Result<u8, Failure> {
    context.out.print(&script(args.shell))?;
    Ok(DONE)
}

/// The script for that shell.
pub fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "adrt", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let script = script(shell);
            for word in ["checkpoints", "history", "backoff-initial", "--at"] {
                assert!(script.contains(word.trim_start_matches('-')), "{shell}: {word}");
            }
        }
    }
}
