//! supervisord, where it is installed, with one program under it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::lab::Lab;

/// Its executable: the one that `BENCH_SUPERVISORD` names, or the first on
/// the PATH.
pub fn installed() -> Option<PathBuf> {
    let named = std::env::var_os("BENCH_SUPERVISORD").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|dir| dir.join("supervisord"));
    named.or_else(|| found.find(|path| path.is_file()))
}

/// When a program counts as started, for its restarts.
#[derive(Debug, Clone, Copy)]
pub enum Starts {
    /// As soon as it is there: it is started again without a delay.
    AtOnce,
    /// After a second, as is usual: one that ends sooner is started again
    /// after delays that grow by a second each. (The usual three attempts
    /// would be over before the bench is; here there is no end to them.)
    AfterASecond,
}

/// A command that runs `words` under it, in the foreground, and keeps no logs.
pub fn command(
    lab: &Lab,
    supervisord: &Path,
    name: &str,
    words: &[String],
    starts: Starts,
) -> io::Result<Command> {
    let startsecs = match starts {
        Starts::AtOnce => 0,
        Starts::AfterASecond => 1,
    };
    let file = lab.path(&format!("{name}.conf"));
    let pid = lab.path(&format!("{name}.pid"));
    // Words of a bench hold neither blanks nor percent signs.
    let text = format!(
        "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={}\n\
         [program:agent]\ncommand={}\nautorestart=true\nstartsecs={startsecs}\n\
         startretries=1000000\nstdout_logfile=NONE\nstderr_logfile=NONE\n",
        pid.display(),
        words.join(" "),
    );
    std::fs::write(&file, text)?;
    let mut command = lab.bare(supervisord);
    command.arg("-c").arg(&file).stderr(Stdio::null());
    Ok(command)
}
