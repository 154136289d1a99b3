//! Charges: one attempt to take money from a card, made directly or by a `PaymentIntent`.

use axum::http::StatusCode;
use keybrake_core::time::Timestamp;
use serde_json::{Value, json};

use super::{
    amounts,
    cards::{self, Decline, GENERIC, Method},
    customers,
    errors::{self, ApiError},
    ledger::{self, Effect},
    lists::{self, Paging},
    metadata,
    params::{self, Params},
    world::{Call, Keyed, Metadata, Record, World, blank},
};

/// A charge; it failed exactly if it has a decline.
pub(super) struct Charge {
    pub(super) id: String,
    created: Timestamp,
    pub(super) amount: u64,
    pub(super) currency: String,
    pub(super) captured: bool,
    pub(super) amount_captured: u64,
    pub(super) amount_refunded: u64,
    /// An authorization that was given up.
    pub(super) released: bool,
    pub(super) customer: Option<String>,
    pub(super) intent: Option<String>,
    method: Method,
    decline: Option<Decline>,
    description: Option<String>,
    pub(super) metadata: Metadata,
}

impl Charge {
    pub(super) fn succeeded(&self) -> bool {
        self.decline.is_none()
    }

    pub(super) fn status(&self) -> &'static str {
        if self.succeeded() { "succeeded" } else { "failed" }
    }

    /// What a refund can still return.
    pub(super) fn refundable(&self) -> u64 {
        self.amount_captured.saturating_sub(self.amount_refunded)
    }

    pub(super) fn capture(&mut self, amount: u64) {
        self.captured = true;
        self.amount_captured = amount;
    }
}

/// Fields that are always null here.
const UNUSED: &[&str] = &[
    "application",
    "application_fee",
    "application_fee_amount",
    "calculated_statement_descriptor",
    "failure_balance_transaction",
    "on_behalf_of",
    "receipt_email",
    "receipt_number",
    "receipt_url",
    "review",
    "shipping",
    "source",
    "source_transfer",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
];

impl Keyed for Charge {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Record for Charge {
    const OBJECT: &'static str = "charge";
    const URL: &'static str = "/v1/charges";

    fn created(&self) -> Timestamp {
        self.created
    }

    fn render(&self) -> Value {
        let ok = self.succeeded();
        let refunded = self.released || (self.amount_captured > 0 && self.refundable() == 0);
        let transaction = self.captured.then(|| self.id.replacen("ch_", "txn_", 1));
        blank(
            json!({
                "id": self.id, "object": "charge", "amount": self.amount,
                "amount_captured": self.amount_captured, "amount_refunded": self.amount_refunded,
                "balance_transaction": transaction,
                "billing_details": {
                    "address": null, "email": null, "name": null, "phone": null, "tax_id": null,
                },
                "captured": self.captured,
                "created": self.created.as_seconds(), "currency": self.currency,
                "customer": self.customer, "description": self.description, "disputed": false,
                "failure_code": self.decline.map(|d| d.code),
                "failure_message": self.decline.map(|d| d.message),
                "fraud_details": {}, "livemode": false, "metadata": self.metadata,
                "outcome": {
                    "network_status": if ok { "approved_by_network" } else { "declined_by_network" },
                    "reason": self.decline.map(|d| d.reason), "seller_message": null,
                    "type": if ok { "authorized" } else { "issuer_declined" },
                },
                "paid": ok, "payment_intent": self.intent, "payment_method": self.method.id,
                "payment_method_details": self.method.card.details(),
                "refunded": refunded,
                "status": self.status(),
            }),
            UNUSED,
        )
    }
}

/// What a charge is made of.
pub(super) struct Attempt {
    pub(super) amount: u64,
    pub(super) currency: String,
    pub(super) capture: bool,
    pub(super) customer: Option<String>,
    pub(super) intent: Option<String>,
    pub(super) method: Method,
    pub(super) description: Option<String>,
    pub(super) metadata: Metadata,
}

/// Tries the card. The charge exists afterwards either way.
pub(super) fn attempt(call: &mut Call<'_>, attempt: Attempt) -> (String, Option<Decline>) {
    let forced = std::mem::take(&mut call.decline).then_some(GENERIC);
    let decline = forced.or(attempt.method.card.decline);
    let captured = attempt.capture && decline.is_none();
    let charge = Charge {
        id: call.world.ids.next("ch_"),
        created: call.now,
        amount: attempt.amount,
        currency: attempt.currency,
        captured,
        amount_captured: if captured { attempt.amount } else { 0 },
        amount_refunded: 0,
        released: false,
        customer: attempt.customer,
        intent: attempt.intent,
        method: attempt.method,
        decline,
        description: attempt.description,
        metadata: attempt.metadata,
    };
    let id = charge.id.clone();
    let kind = if charge.succeeded() { "charge.succeeded" } else { "charge.failed" };
    call.emit(kind, &charge.render());
    call.world.charges.push(charge);
    (id, decline)
}

/// 402, with the charge that failed.
pub(super) fn declined(charge: &str, decline: Decline) -> ApiError {
    ApiError::new(StatusCode::PAYMENT_REQUIRED, "card_error", decline.message)
        .code(decline.code)
        .with("decline_code", json!(decline.reason))
        .with("charge", json!(charge))
        .begun()
}

pub(super) fn create(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let currency = amounts::currency(call.params)?;
    let amount = amounts::payment(call.params, &currency)?;
    let capture = call.params.boolean("capture")?.unwrap_or(true);
    let description = call.params.text("description")?.map(str::to_owned);
    let metadata = metadata::of_new(call.params)?;
    let customer = customers::reference(call.world, call.params)?;
    let method = funding(call, customer.as_deref())?;
    let (id, decline) = attempt(
        call,
        Attempt {
            amount,
            currency: currency.clone(),
            capture,
            customer,
            intent: None,
            method,
            description,
            metadata: metadata.clone(),
        },
    );
    let status = if decline.is_some() { "failed" } else { "succeeded" };
    ledger::record(
        call,
        &Effect { object_id: &id, amount, currency: &currency, status, metadata: &metadata },
    );
    if let Some(decline) = decline {
        return Err(declined(&id, decline));
    }
    call.world.ledger.commit(&id, &currency, amount);
    one(call.world, &id)
}

/// The card to charge: the source, or else the customer's own.
fn funding(call: &mut Call<'_>, customer: Option<&str>) -> Result<Method, ApiError> {
    if let Some(token) = call.params.text("source")? {
        return cards::source(call.world, token);
    }
    let Some(customer) = customer else {
        return Err(params::missing("source"));
    };
    customers::default_source(call.world, Some(customer))?.ok_or_else(|| {
        let message = "Cannot charge a customer that has no active card";
        ApiError::new(StatusCode::PAYMENT_REQUIRED, "card_error", message)
            .code("missing")
            .param("card")
            .begun()
    })
}

pub(super) fn capture(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let charge = find(call.world, call.id)?;
    if charge.intent.is_some() {
        return Err(errors::unexpected_state(
            "This charge belongs to a PaymentIntent: capture that one instead",
        ));
    }
    if charge.captured || charge.released || !charge.succeeded() {
        return Err(ApiError::invalid(format!("Charge {} cannot be captured", call.id))
            .code("charge_already_captured")
            .begun());
    }
    let amount = amounts::part_of(call.params, "amount", charge.amount)?;
    let Some(charge) = call.world.charges.get_mut(call.id) else {
        return Err(errors::no_such("charge", call.id));
    };
    charge.capture(amount);
    let (currency, metadata) = (charge.currency.clone(), charge.metadata.clone());
    let rendered = charge.render();
    call.emit("charge.captured", &rendered);
    call.world.ledger.commit(call.id, &currency, amount);
    ledger::record(
        call,
        &Effect {
            object_id: call.id,
            amount,
            currency: &currency,
            status: "succeeded",
            metadata: &metadata,
        },
    );
    Ok(rendered)
}

pub(super) fn one(world: &World, id: &str) -> Result<Value, ApiError> {
    find(world, id).map(Record::render)
}

fn find<'a>(world: &'a World, id: &str) -> Result<&'a Charge, ApiError> {
    let found = world.charges.get(id);
    found.ok_or_else(|| errors::no_such("charge", id))
}

pub(super) fn list(world: &World, params: &Params) -> Result<Value, ApiError> {
    let customer = params.text("customer")?;
    let intent = params.text("payment_intent")?;
    let page = lists::page(&world.charges, &Paging::read(params)?, |charge| {
        customer.is_none_or(|id| charge.customer.as_deref() == Some(id))
            && intent.is_none_or(|id| charge.intent.as_deref() == Some(id))
    })?;
    Ok(lists::render(&page, Record::render))
}
