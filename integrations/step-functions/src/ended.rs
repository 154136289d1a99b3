//! `revoke-ended-run`: for EventBridge's word that an execution was aborted or timed out.
//!
//! No state of such an execution runs any more, so none can revoke its key; but its Lambda
//! functions may still be at work. Revoking the run by its label stops them, and refuses a key
//! that a late `issue-vault-key` still asks for.

use keybrake_client::{Failure, Keybrake, input};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::revoke::Stopped;

#[derive(Deserialize)]
struct Event {
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(rename = "executionArn")]
    execution_arn: String,
    status: String,
}

/// What came of an event.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Ended {
    /// The run's keys are revoked.
    Stopped(Stopped),
    /// The execution goes on, has ended by itself, or issued no key.
    Nothing {
        /// Why nothing was to be done.
        nothing_to_do: String,
    },
}

/// Revokes the keys of an execution that was aborted or timed out, by the run's label, which must be
/// the execution's ARN.
pub async fn revoke_ended_run(keybrake: Keybrake, input: Value) -> Result<Ended, Failure> {
    let Detail { execution_arn, status } = input::read::<Event>(input)?.detail;
    if !matches!(status.as_str(), "ABORTED" | "TIMED_OUT") {
        return Ok(Ended::Nothing { nothing_to_do: format!("the execution is {status}") });
    }
    Ok(Ended::Stopped(keybrake.revoke_run(&execution_arn).await?.into()))
}
