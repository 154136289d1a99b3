//! The `keybrake` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    keybrake::cli::run()
}
