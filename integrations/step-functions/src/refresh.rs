//! `refresh-vault-key`: for machines that pass tokens, where one has expired.

use keybrake_client::{Failure, IssuedKey, Keybrake, input};
use keybrake_core::ids::KeyId;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Refresh {
    key_id: KeyId,
    /// Such as `2h`; as long as it had at first otherwise.
    expires_in: Option<String>,
    #[serde(default)]
    return_token: bool,
}

/// The key that takes over, on the same budget. All who ask get the same one while it lives.
pub async fn refresh_vault_key(keybrake: Keybrake, input: Value) -> Result<IssuedKey, Failure> {
    let asked: Refresh = input::read(input)?;
    keybrake.refresh(asked.key_id, asked.expires_in.as_deref(), asked.return_token).await
}
