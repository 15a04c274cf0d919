//! The package's completions ask adrt itself for its words, in each shell that
//! is here.

use std::path::Path;
use std::process::Command;

use crate::support::World;

/// What the shell, having read the package's file, says that `adrt ch` may become.
fn completed(shell: &str, script: &str) -> Option<String> {
    let world = World::new();
    let own = Path::new(env!("CARGO_BIN_EXE_adrt")).parent().unwrap();
    let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap());
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/completions");
    let mut command: Command = world.program(shell);
    command.args(["-c", script]).env("PATH", path).env("FILES", files);
    let Ok(output) = command.output() else {
        println!("skipped: there is no {shell} here");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{shell}: {}\n{said}", output.status);
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn bash() {
    let script = r#"
        . "$FILES/adrt.bash"
        COMP_WORDS=(adrt ch) COMP_CWORD=1
        _adrt adrt ch adrt
        echo "${COMPREPLY[@]}"
    "#;
    assert_eq!(completed("bash", script).expect("these tests need bash"), "checkpoints\n");
}

#[test]
fn zsh() {
    // The file is loaded as the shell's own completion does it; what it then
    // asks the shell for stands in for the menu.
    let script = r#"
        autoload -Uz compinit && compinit -D
        _arguments() { print -r -- "$*" }
        fpath=("$FILES" $fpath) && autoload -Uz _adrt
        words=(adrt ch) CURRENT=2
        _adrt
    "#;
    let Some(asked) = completed("zsh", script) else { return };
    assert_eq!(asked.matches("--state-dir").count(), 1, "asked for twice: {asked}");
}

#[test]
fn fish() {
    let script = r#"
        source "$FILES/adrt.fish"
        complete --do-complete "adrt ch"
    "#;
    let Some(words) = completed("fish", script) else { return };
    assert!(words.starts_with("checkpoints\t"), "{words}");
}
