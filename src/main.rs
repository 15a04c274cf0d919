//! Hands the operating system's words to the library and its exit code back.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Every command may write; where that is refused, an error is to say so.
    let _best_effort = adrt::signals::ignore_failed_writes();
    ExitCode::from(adrt::cli::main(std::env::args_os()))
}
