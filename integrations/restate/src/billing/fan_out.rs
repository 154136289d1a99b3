//! The virtual object `FanOut`: counts the charges of a one-way fan-out, and stops its key when the
//! last one has ended.

use keybrake_client::Summary;
use keybrake_core::ids::KeyId;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{input, steps::Worker};

/// The object's key is the run's label.
#[derive(Clone, Debug)]
pub struct FanOut(pub Worker);

/// What was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
    key_id: KeyId,
    charges: u32,
}

/// How far a fan-out is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// How many charges were sent; none before the parent's word has come.
    pub charges: Option<u32>,
    /// How many have ended, and how.
    pub summary: Summary,
    /// Whether all have ended and the key is revoked.
    pub revoked: bool,
}

const BEGUN: &str = "begun";
const SUMMARY: &str = "summary";
const REVOKED: &str = "revoked";

#[restate_sdk::object(name = "FanOut")]
impl FanOut {
    /// `{"key_id", "charges"}`, from the parent.
    #[handler(ingress_private)]
    async fn begin(&self, ctx: ObjectContext<'_>, Json(input): Json<Value>) -> HandlerResult<()> {
        let begun: Begun = input::read(input)?;
        ctx.set(BEGUN, Json(begun));
        self.revoke_after_the_last(&ctx).await
    }

    /// A summary of what has ended, from a child.
    #[handler(ingress_private)]
    async fn ended(&self, ctx: ObjectContext<'_>, Json(input): Json<Value>) -> HandlerResult<()> {
        let one: Summary = input::read(input)?;
        let mut summary =
            ctx.get::<Json<Summary>>(SUMMARY).await?.map(Json::into_inner).unwrap_or_default();
        summary.merge(&one);
        ctx.set(SUMMARY, Json(summary));
        self.revoke_after_the_last(&ctx).await
    }

    /// How far it is.
    #[handler]
    async fn summary(&self, ctx: SharedObjectContext<'_>) -> HandlerResult<Json<Progress>> {
        let begun = ctx.get::<Json<Begun>>(BEGUN).await?.map(Json::into_inner);
        let summary =
            ctx.get::<Json<Summary>>(SUMMARY).await?.map(Json::into_inner).unwrap_or_default();
        let revoked = ctx.get::<bool>(REVOKED).await?.unwrap_or(false);
        Ok(Json(Progress { charges: begun.map(|begun| begun.charges), summary, revoked }))
    }
}

impl FanOut {
    async fn revoke_after_the_last(&self, ctx: &ObjectContext<'_>) -> HandlerResult<()> {
        let begun = ctx.get::<Json<Begun>>(BEGUN).await?.map(Json::into_inner);
        let summary =
            ctx.get::<Json<Summary>>(SUMMARY).await?.map(Json::into_inner).unwrap_or_default();
        let Some(begun) = begun.filter(|begun| begun.charges <= summary.counted()) else {
            return Ok(());
        };
        let steps = self.0.steps(ctx, "FanOut", ctx.invocation_id());
        steps.revoke(begun.key_id).await?;
        ctx.set(REVOKED, true);
        Ok(())
    }
}
