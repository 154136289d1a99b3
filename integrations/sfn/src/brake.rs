//! `keybrake-sfn brake`: no more spending by an execution, from now on.

use std::process::ExitCode;

use anyhow::Context;
use aws_sdk_sfn::Client as StepFunctions;
use clap::Args;
use keybrake_client::{Keybrake, Settings};

use crate::{
    aws::{self, failed},
    print, talk,
};

#[derive(Args)]
pub(crate) struct Options {
    /// The execution's ARN, which is the label of its keys.
    execution: String,
    /// Stop the execution as well.
    #[arg(long)]
    stop: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let keybrake = keybrake()?;
    // The keys first: stopping an execution does not stop the functions that it has invoked.
    let revoked = keybrake
        .revoke_run(&options.execution)
        .await
        .context("nothing is revoked, and the execution goes on")?;
    if options.json {
        print(&serde_json::to_string(&revoked)?);
    } else {
        print(&format!(
            "revoked at {}; the run issues no key until it is lifted",
            revoked.revoked_at
        ));
        print(&format!(
            "${} spent, ${} of it in doubt in {} calls, ${} still in flight in {} calls",
            revoked.spent_usd,
            revoked.in_doubt_usd,
            revoked.in_doubt.len(),
            revoked.held_usd,
            revoked.in_flight.len(),
        ));
    }
    if options.stop {
        let stopped = StepFunctions::new(&aws::config().await)
            .stop_execution()
            .execution_arn(&options.execution)
            .error("Braked")
            .cause("keybrake-sfn brake --stop: the keys of this execution are revoked")
            .send()
            .await;
        stopped
            .map_err(|error| failed("the keys are revoked, but the execution goes on", error))?;
        talk("the execution is stopped");
    }
    Ok(ExitCode::SUCCESS)
}

/// The proxy of the environment.
pub(crate) fn keybrake() -> anyhow::Result<Keybrake> {
    Ok(Keybrake::new(Settings::from_env()?)?)
}
