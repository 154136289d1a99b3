//! The service `VaultKeys`: a run's vault key, for handlers in any language.

#![expect(missing_docs, reason = "the SDK's macro writes clients without docs")]

use keybrake_client::{
    IssueRequest, IssuedKey,
    key::{KeyState, Revoked},
};
use keybrake_core::ids::KeyId;
use restate_sdk::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::{input, steps::Worker};

/// Issues, refreshes, revokes and shows vault keys.
#[derive(Clone, Debug)]
pub struct VaultKeys(pub Worker);

/// Which key, and what is wanted of its successor.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    key_id: KeyId,
    /// Such as `2h`; as long as the key was issued for by default.
    expires_in: Option<String>,
    #[serde(default)]
    return_token: bool,
}

/// Which key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfKey {
    key_id: KeyId,
}

#[restate_sdk::service(name = "VaultKeys")]
impl VaultKeys {
    /// The request as the proxy takes it. The answer has no token unless `return_token` asks for it.
    #[handler]
    async fn issue(
        &self,
        ctx: Context<'_>,
        Json(input): Json<Value>,
    ) -> HandlerResult<Json<IssuedKey>> {
        let request: IssueRequest = input::read(input)?;
        let steps = self.0.steps(&ctx, "VaultKeys", ctx.invocation_id());
        Ok(Json(steps.issue(request).await?))
    }

    /// `{"key_id", "expires_in"?, "return_token"?}`: the key that takes over, on the same budget.
    #[handler]
    async fn refresh(
        &self,
        ctx: Context<'_>,
        Json(input): Json<Value>,
    ) -> HandlerResult<Json<IssuedKey>> {
        let asked: RefreshRequest = input::read(input)?;
        let steps = self.0.steps(&ctx, "VaultKeys", ctx.invocation_id());
        Ok(Json(steps.refresh(asked.key_id, asked.expires_in, asked.return_token).await?))
    }

    /// `{"key_id"}`: nothing more is sent for it. What was sent, held, in doubt and spent.
    #[handler]
    async fn revoke(
        &self,
        ctx: Context<'_>,
        Json(input): Json<Value>,
    ) -> HandlerResult<Json<Revoked>> {
        let asked: OfKey = input::read(input)?;
        let steps = self.0.steps(&ctx, "VaultKeys", ctx.invocation_id());
        Ok(Json(steps.revoke(asked.key_id).await?))
    }

    /// `{"key_id"}`: its policy and where its money stands.
    #[handler]
    async fn status(
        &self,
        ctx: Context<'_>,
        Json(input): Json<Value>,
    ) -> HandlerResult<Json<KeyState>> {
        let asked: OfKey = input::read(input)?;
        let steps = self.0.steps(&ctx, "VaultKeys", ctx.invocation_id());
        Ok(Json(steps.status(asked.key_id).await?))
    }
}
