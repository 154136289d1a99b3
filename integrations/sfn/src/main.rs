//! `keybrake-sfn`: Keybrake in AWS Step Functions from the command line.
//!
//! `deploy` puts the functions and a state machine where they run, `run` starts an execution and
//! says what it did, in Step Functions' words and in the ledger's, and `brake` stops its spending.
//! Data goes to standard output, talk to standard error.

mod aws;
mod brake;
mod definition;
mod deploy;
mod run;
mod zip;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

const ENVIRONMENT: &str = "AWS credentials, region and endpoints come from the environment or ~/.aws, \
    as for the AWS CLI. `run` and `brake` ask the proxy by KEYBRAKE_URL and KEYBRAKE_API_KEY.";

/// Deploy, run and brake state machines that spend through Keybrake.
#[derive(Parser)]
#[command(name = "keybrake-sfn", version, arg_required_else_help = true, after_help = ENVIRONMENT)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create or update the functions and a state machine that names them.
    Deploy(deploy::Options),
    /// Start an execution, follow it, and sum up what it did and spent.
    Run(run::Options),
    /// Revoke all keys of an execution, and stop it if asked.
    Brake(brake::Options),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Deploy(options) => deploy::run(options).await,
        Command::Run(options) => run::run(options).await,
        Command::Brake(options) => brake::run(options).await,
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            talk(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Data, to standard output. A reader that has gone away is no failure.
fn print(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}

/// Talk, to standard error.
fn talk(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}
