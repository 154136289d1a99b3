//! Durable Task on this machine: runs a capped fan-out and says what each side has seen.

use std::process::ExitCode;

use keybrake_tests::{
    durable,
    stage::{Stage, say, text},
};

/// How many customers the example bills, a dollar each, and how many dollars it may spend.
const EXAMPLE: (usize, usize) = (50, 20);

#[tokio::main]
async fn main() -> ExitCode {
    match example().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn example() -> Result<(), Box<dyn std::error::Error>> {
    let (count, dollars) = EXAMPLE;
    say("Starting a sandbox for Stripe, the proxy, a Durable Task backend and Keybrake's worker.");
    let stage = Stage::start();
    let backend = durable::backend();
    let _worker = durable::worker(&stage.proxy.url, &["--durable-task", &backend.url], &[]);
    say(&format!("Billing {count} customers $1 each, in one run that may spend ${dollars}.\n"));
    let customers = durable::customers(&stage.sandbox.url, count).await;
    let folder = tempfile::tempdir()?;
    let ended =
        durable::printed(durable::example(&backend, folder.path(), &customers, dollars)).await;
    let label = text(&ended, "/agent_run_label");
    say(&format!("the run      {label}"));
    let of_engine = |name: &str| text(&ended, &format!("/summary/{name}"));
    say(&format!(
        "the engine   completed: {} charged, {} cap_exhausted",
        of_engine("charged"),
        of_engine("cap_exhausted")
    ));
    stage.say_what_both_know(&label).await;
    Ok(())
}
