//! Making and stopping API keys.

use crate::{
    access::ApiKey,
    ledger::{
        CreateApiKey, RevokeApiKey,
        rows::{Deed, Rows},
    },
    refusal::Refusal,
    time::Timestamp,
};

/// Makes an API key.
pub(super) fn create(rows: &mut Rows, create: &CreateApiKey, now: Timestamp) -> ApiKey {
    let key = ApiKey {
        id: create.id,
        token_hash: create.token_hash,
        name: create.name.clone(),
        role: create.role,
        bounds: create.bounds.clone(),
        created_at: now,
        expires_at: create.lives.map(|lives| now.after(lives)),
        revoked_at: None,
    };
    rows.api_keys.insert(key.id, key.clone());
    rows.changes.api_keys.insert(key.id);
    rows.record(&create.by, Deed::ApiKeyCreated, key.id.to_string(), now);
    key
}

/// Stops an API key. A second time changes nothing.
pub(super) fn revoke(
    rows: &mut Rows,
    revoke: &RevokeApiKey,
    now: Timestamp,
) -> Result<ApiKey, Refusal> {
    let unknown = || Refusal::NotFound { what: format!("API key {}", revoke.key) };
    let key = rows.api_keys.get_mut(&revoke.key).ok_or_else(unknown)?;
    if key.revoked_at.is_none() {
        key.revoked_at = Some(now);
        let revoked = key.clone();
        rows.changes.api_keys.insert(revoke.key);
        rows.record(&revoke.by, Deed::ApiKeyRevoked, revoke.key.to_string(), now);
        return Ok(revoked);
    }
    Ok(key.clone())
}
