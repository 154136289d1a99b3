//! The service `ChargeOne`: one charge, or one call at any vendor, under a vault key.

#![expect(missing_docs, reason = "the SDK's macro writes clients without docs")]

use keybrake_client::{
    Spender, VendorCall,
    call::Done,
    charge::{Charge, Charged},
};
use restate_sdk::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::{input, steps::Worker};

/// Spends.
#[derive(Clone, Debug)]
pub struct ChargeOne(pub Worker);

/// A charge and who pays for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChargeRequest {
    /// What an issue answered, or just its `key_id`, or `{"vault_key": …}`.
    key: Spender,
    charge: Charge,
    /// `{invocation id}-{customer}` by default.
    idempotency_key: Option<String>,
}

/// A call and who pays for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallRequest {
    key: Spender,
    call: VendorCall,
    /// `{invocation id}-call` by default.
    idempotency_key: Option<String>,
}

#[restate_sdk::service(name = "ChargeOne")]
impl ChargeOne {
    /// `{"key", "charge": {"customer", "amount", …}, "idempotency_key"?}`: a Stripe PaymentIntent.
    #[handler]
    async fn charge(
        &self,
        ctx: Context<'_>,
        Json(input): Json<Value>,
    ) -> HandlerResult<Json<Charged>> {
        let asked: ChargeRequest = input::read(input)?;
        let steps = self.0.steps(&ctx, "ChargeOne", ctx.invocation_id());
        let key = match asked.idempotency_key {
            Some(given) => input::idempotency_key(given)?,
            None => steps.item(&asked.charge.customer)?,
        };
        Ok(Json(steps.charge(&asked.key, &asked.charge, &key).await?))
    }

    /// `{"key", "call": {"vendor", "method", "path", "params"?}, "idempotency_key"?}`: any vendor's API.
    #[handler]
    async fn call(&self, ctx: Context<'_>, Json(input): Json<Value>) -> HandlerResult<Json<Done>> {
        let asked: CallRequest = input::read(input)?;
        let steps = self.0.steps(&ctx, "ChargeOne", ctx.invocation_id());
        let key = match asked.idempotency_key {
            Some(given) => input::idempotency_key(given)?,
            None => steps.item("call")?,
        };
        Ok(Json(steps.call(&asked.key, &asked.call, &key).await?))
    }
}
