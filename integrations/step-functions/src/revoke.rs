//! `revoke-vault-key`: the last state of a run, on every path.

use keybrake_client::{Failure, Keybrake, input, key::Revoked};
use keybrake_core::ids::KeyId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Revoke {
    key_id: KeyId,
}

/// What the run has spent, in dollars, and how many of its calls are open. Small whatever the run
/// did: a history keeps it.
#[derive(Debug, Serialize)]
pub struct Stopped {
    revoked_at: String,
    spent_usd: String,
    held_usd: String,
    in_doubt_usd: String,
    in_flight: usize,
    in_doubt: usize,
}

impl From<Revoked> for Stopped {
    fn from(revoked: Revoked) -> Self {
        Self {
            revoked_at: revoked.revoked_at,
            spent_usd: revoked.spent_usd,
            held_usd: revoked.held_usd,
            in_doubt_usd: revoked.in_doubt_usd,
            in_flight: revoked.in_flight.len(),
            in_doubt: revoked.in_doubt.len(),
        }
    }
}

/// Stops a key, its successors and all under it. When this has answered, nothing more is sent.
pub async fn revoke_vault_key(keybrake: Keybrake, input: Value) -> Result<Stopped, Failure> {
    let asked: Revoke = input::read(input)?;
    Ok(keybrake.revoke(asked.key_id).await?.into())
}
