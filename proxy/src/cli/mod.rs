//! The command line. Data goes to standard output, talk to standard error.

mod api_key;
mod audit;
mod client;
mod confirm;
mod demo;
mod doctor;
mod failure;
mod key;
mod page;
mod report;
mod run;
mod sandbox;
mod serve;
mod table;
mod vendor;

use std::{io::Write, process::ExitCode, thread::available_parallelism};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 misused, 3 no answer from the server, \
    4 refused by the server, 5 not confirmed.";

/// The spending brake for agents: a proxy that holds the money before the call.
#[derive(Parser)]
#[command(name = "keybrake", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy.
    Serve,
    /// See it work: 200 charges against a $50 cap, at a sandbox that loses answers.
    Demo(demo::Options),
    /// Run the sandbox: a strict fake of Stripe, to try things out.
    Sandbox(sandbox::Options),
    /// Keep the vendors' secrets, and check definitions of your own.
    #[command(subcommand)]
    Vendor(vendor::Command),
    /// Issue, show, refresh and revoke vault keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Stop whole runs by their label, and let them issue again.
    #[command(subcommand)]
    Run(run::Command),
    /// Read and export the audit log, and resolve calls in doubt.
    #[command(subcommand)]
    Audit(audit::Command),
    /// What runs, agents and vendors cost, and which runs stand out.
    #[command(subcommand)]
    Report(report::Command),
    /// Create, list and revoke API keys.
    #[command(subcommand)]
    ApiKey(api_key::Command),
    /// Check this machine's configuration: database, master key, clock, vendors.
    Doctor {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// Runs the command that the process's arguments ask for, and gives its exit code.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    // One core is the ledger's thread's.
    let workers = available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Serve => serve::run().await,
            Command::Demo(options) => Box::pin(demo::run(options)).await,
            Command::Sandbox(options) => sandbox::run(options).await,
            Command::Vendor(command) => vendor::run(command),
            Command::Key(command) => key::run(command).await,
            Command::Run(command) => run::run(command).await,
            Command::Audit(command) => audit::run(command).await,
            Command::Report(command) => report::run(command).await,
            Command::ApiKey(command) => api_key::run(command).await,
            Command::Doctor { json } => doctor::run(json).await,
            Command::Completions { shell } => {
                clap_complete::generate(
                    shell,
                    &mut Arguments::command(),
                    "keybrake",
                    &mut std::io::stdout(),
                );
                Ok(())
            }
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    talk(&format!("error: {error:#}"));
    ExitCode::from(failure::Failure::exit_code(error))
}

/// Data, to standard output. A reader that has gone away is no failure.
fn print(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}

/// Talk, to standard error.
fn talk(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// Completes when the process is asked to stop.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// A text as one segment of a path.
fn path_segment(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
