//! The command line. Data goes to standard output, talk to standard error.

mod audit;
mod client;
mod demo;
mod key;
mod sandbox;
mod serve;
mod table;
mod vendor;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

/// The spending brake for agents: a proxy that holds the money before the call.
#[derive(Parser)]
#[command(name = "keybrake", version, arg_required_else_help = true)]
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
    /// Keep the vendors' secrets.
    #[command(subcommand)]
    Vendor(vendor::Command),
    /// Issue, show, refresh and revoke vault keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Read the audit log, and resolve calls in doubt.
    #[command(subcommand)]
    Audit(audit::Command),
}

/// Runs the command that the process's arguments ask for. Exit codes: 0 done, 1 failed, 2 misused.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
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
            Command::Audit(command) => audit::run(command).await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    talk(&format!("error: {error:#}"));
    ExitCode::FAILURE
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
