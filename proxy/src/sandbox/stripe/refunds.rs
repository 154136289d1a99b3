//! Refunds: money back from a captured charge, never more than is left of it.

use axum::http::StatusCode;
use keybrake_core::time::Timestamp;
use serde_json::{Value, json};

use super::{
    amounts,
    charges::Charge,
    errors::{self, ApiError},
    ledger::{self, Effect},
    lists::{self, Paging},
    metadata,
    params::{self, Params},
    world::{Call, Keyed, Metadata, Record, World},
};

const REASONS: &[&str] = &["duplicate", "fraudulent", "requested_by_customer"];

/// A refund, which always succeeds at once.
pub(super) struct Refund {
    id: String,
    created: Timestamp,
    amount: u64,
    currency: String,
    charge: String,
    intent: Option<String>,
    reason: Option<String>,
    metadata: Metadata,
}

impl Keyed for Refund {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Record for Refund {
    const OBJECT: &'static str = "refund";
    const URL: &'static str = "/v1/refunds";

    fn created(&self) -> Timestamp {
        self.created
    }

    fn render(&self) -> Value {
        json!({
            "id": self.id, "object": "refund", "amount": self.amount,
            "balance_transaction": self.id.replacen("re_", "txn_", 1), "charge": self.charge,
            "created": self.created.as_seconds(), "currency": self.currency,
            "customer": null, "customer_account": null,
            "destination_details": {"card": {"type": "refund"}, "type": "card"},
            "metadata": self.metadata, "payment_intent": self.intent, "payment_method": null,
            "reason": self.reason, "receipt_number": null, "source_transfer_reversal": null,
            "status": "succeeded", "transfer_reversal": null,
        })
    }
}

pub(super) fn create(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let reason = call.params.word("reason", REASONS)?.map(str::to_owned);
    let metadata = metadata::of_new(call.params)?;
    let charge = target(call.world, call.params)?;
    if !charge.captured {
        return Err(ApiError::invalid(format!("Charge {} has no captured money", charge.id))
            .code("charge_not_refundable")
            .begun());
    }
    if charge.refundable() == 0 {
        return Err(ApiError::invalid(format!("Charge {} has already been refunded.", charge.id))
            .code("charge_already_refunded")
            .begun());
    }
    let amount = amounts::part_of(call.params, "amount", charge.refundable())?;
    let refund = Refund {
        created: call.now,
        amount,
        currency: charge.currency.clone(),
        charge: charge.id.clone(),
        intent: charge.intent.clone(),
        reason,
        metadata,
        id: call.world.ids.next("re_"),
    };
    settle(call, refund)
}

/// Books the refund on its charge and announces both.
fn settle(call: &mut Call<'_>, refund: Refund) -> Result<Value, ApiError> {
    let Some(charge) = call.world.charges.get_mut(&refund.charge) else {
        return Err(errors::no_such("charge", &refund.charge));
    };
    charge.amount_refunded = charge.amount_refunded.saturating_add(refund.amount);
    let charge = charge.render();
    let rendered = refund.render();
    call.emit("refund.created", &rendered);
    call.emit("charge.refunded", &charge);
    call.world.ledger.commit(&refund.id, &refund.currency, refund.amount);
    ledger::record(
        call,
        &Effect {
            object_id: &refund.id,
            amount: refund.amount,
            currency: &refund.currency,
            status: "succeeded",
            metadata: &refund.metadata,
        },
    );
    call.world.refunds.push(refund);
    Ok(rendered)
}

/// The charge that `charge` or `payment_intent` names.
fn target<'a>(world: &'a World, params: &Params) -> Result<&'a Charge, ApiError> {
    let not_found = |object, id, param| {
        errors::missing_reference(object, id, param).status(StatusCode::NOT_FOUND)
    };
    let charge = match (params.text("charge")?, params.text("payment_intent")?) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid("Give either charge or payment_intent, not both")
                .param("payment_intent"));
        }
        (Some(charge), None) => charge,
        (None, Some(id)) => {
            let Some(intent) = world.intents.get(id) else {
                return Err(not_found("payment_intent", id, "payment_intent"));
            };
            let charge = intent.latest_charge.as_deref();
            charge.ok_or_else(|| {
                errors::unexpected_state(format!(
                    "The PaymentIntent {id} has no successful charge to refund"
                ))
            })?
        }
        (None, None) => return Err(params::missing("charge")),
    };
    let found = world.charges.get(charge);
    found.ok_or_else(|| not_found("charge", charge, "charge"))
}

pub(super) fn one(world: &World, id: &str) -> Result<Value, ApiError> {
    let found = world.refunds.get(id).map(Record::render);
    found.ok_or_else(|| errors::no_such("refund", id))
}

pub(super) fn list(world: &World, params: &Params) -> Result<Value, ApiError> {
    let charge = params.text("charge")?;
    let intent = params.text("payment_intent")?;
    let page = lists::page(&world.refunds, &Paging::read(params)?, |refund| {
        charge.is_none_or(|id| refund.charge == id)
            && intent.is_none_or(|id| refund.intent.as_deref() == Some(id))
    })?;
    Ok(lists::render(&page, Record::render))
}
