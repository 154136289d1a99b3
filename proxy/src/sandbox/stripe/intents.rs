//! `PaymentIntents`: a promise to pay that lives from its creation to success or cancellation.
//!
//! An intent commits its whole amount as soon as it exists, because whoever holds its client secret
//! can still confirm it; only a cancellation or a partial capture gives money back.

use std::time::Duration;

use keybrake_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    cards::{Decline, Method},
    errors::{self, ApiError},
    lists::{self, Paging},
    params::Params,
    search,
    world::{Keyed, Metadata, Record, World, blank},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresCapture,
    Succeeded,
    Canceled,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresCapture => "requires_capture",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }

    /// Whether the intent may still be confirmed, so that its terms may still change.
    pub(super) fn is_open(self) -> bool {
        match self {
            Self::RequiresPaymentMethod | Self::RequiresConfirmation => true,
            Self::RequiresCapture | Self::Succeeded | Self::Canceled => false,
        }
    }
}

/// A payment intent.
#[derive(Clone)]
pub(super) struct PaymentIntent {
    pub(super) id: String,
    pub(super) created: Timestamp,
    pub(super) secret: String,
    pub(super) status: Status,
    pub(super) amount: u64,
    pub(super) amount_received: u64,
    pub(super) currency: String,
    pub(super) manual: bool,
    pub(super) customer: Option<String>,
    pub(super) method: Option<Method>,
    pub(super) latest_charge: Option<String>,
    pub(super) last_error: Option<Value>,
    pub(super) canceled_at: Option<Timestamp>,
    pub(super) cancellation_reason: Option<String>,
    pub(super) description: Option<String>,
    pub(super) metadata: Metadata,
    /// Parameters that Stripe only gives back.
    pub(super) echoed: Map<String, Value>,
}

impl PaymentIntent {
    /// What this intent takes from a budget.
    pub(super) fn committed(&self) -> u64 {
        match self.status {
            Status::Canceled => 0,
            Status::Succeeded => self.amount_received,
            Status::RequiresPaymentMethod
            | Status::RequiresConfirmation
            | Status::RequiresCapture => self.amount,
        }
    }

    pub(super) fn accept(&mut self, charge: String) {
        self.latest_charge = Some(charge);
        self.last_error = None;
        if self.manual {
            self.status = Status::RequiresCapture;
        } else {
            self.status = Status::Succeeded;
            self.amount_received = self.amount;
        }
    }

    pub(super) fn refuse(&mut self, charge: String, decline: Decline) {
        self.last_error = Some(json!({
            "type": "card_error", "code": decline.code, "decline_code": decline.reason,
            "message": decline.message, "charge": charge,
        }));
        self.latest_charge = Some(charge);
        self.method = None;
        self.status = Status::RequiresPaymentMethod;
    }
}

/// Fields that are always null here.
const UNUSED: &[&str] = &[
    "allowed_payment_method_types",
    "application",
    "application_fee_amount",
    "automatic_payment_methods",
    "customer_account",
    "excluded_payment_method_types",
    "managed_payments",
    "next_action",
    "on_behalf_of",
    "payment_method_configuration_details",
    "payment_record",
    "processing",
    "receipt_email",
    "review",
    "setup_future_usage",
    "shipping",
    "source",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
];

impl Keyed for PaymentIntent {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Record for PaymentIntent {
    const OBJECT: &'static str = "payment_intent";
    const URL: &'static str = "/v1/payment_intents";

    fn created(&self) -> Timestamp {
        self.created
    }

    fn render(&self) -> Value {
        let capturable = match self.status {
            Status::RequiresCapture => self.amount,
            Status::RequiresPaymentMethod
            | Status::RequiresConfirmation
            | Status::Succeeded
            | Status::Canceled => 0,
        };
        let mut object = blank(
            json!({
                "id": self.id, "object": "payment_intent",
                "amount": self.amount, "amount_capturable": capturable,
                "amount_details": {"tip": {}}, "amount_received": self.amount_received,
                "canceled_at": self.canceled_at.map(Timestamp::as_seconds),
                "cancellation_reason": self.cancellation_reason,
                "capture_method": if self.manual { "manual" } else { "automatic" },
                "client_secret": self.secret, "confirmation_method": "automatic",
                "created": self.created.as_seconds(), "currency": self.currency,
                "customer": self.customer,
                "description": self.description,
                "last_payment_error": self.last_error, "latest_charge": self.latest_charge,
                "livemode": false, "metadata": self.metadata,
                "payment_method": self.method.as_ref().map(|m| &m.id),
                "payment_method_options": {},
                "payment_method_types": ["card"],
                "status": self.status.name(),
            }),
            UNUSED,
        );
        if let Value::Object(fields) = &mut object {
            fields.extend(self.echoed.clone());
        }
        object
    }
}

/// The intent as the caller wants to see it, with its charge in place where `expand` says so.
pub(super) fn present(world: &World, intent: &PaymentIntent, with_charge: bool) -> Value {
    let mut object = intent.render();
    let charge = intent.latest_charge.as_deref();
    if with_charge
        && let Some(charge) = charge.and_then(|id| world.charges.get(id))
        && let Value::Object(fields) = &mut object
    {
        fields.insert("latest_charge".to_owned(), charge.render());
    }
    object
}

pub(super) fn find<'a>(world: &'a World, id: &str) -> Result<&'a PaymentIntent, ApiError> {
    let found = world.intents.get(id);
    found.ok_or_else(|| errors::no_such("payment_intent", id))
}

pub(super) fn one(world: &World, id: &str, params: &Params) -> Result<Value, ApiError> {
    let intent = find(world, id)?;
    if params.text("client_secret")?.is_some_and(|secret| secret != intent.secret) {
        return Err(ApiError::invalid("The client_secret does not match").param("client_secret"));
    }
    let with_charge = params.list("expand")?.contains(&"latest_charge");
    Ok(present(world, intent, with_charge))
}

pub(super) fn list(world: &World, params: &Params) -> Result<Value, ApiError> {
    let customer = params.text("customer")?;
    let with_charge = params.list("expand")?.contains(&"data.latest_charge");
    let page = lists::page(&world.intents, &Paging::read(params)?, |intent| {
        customer.is_none_or(|id| intent.customer.as_deref() == Some(id))
    })?;
    Ok(lists::render(&page, |intent| present(world, intent, with_charge)))
}

pub(super) fn search(
    world: &World,
    params: &Params,
    now: Timestamp,
    delay: Duration,
) -> Result<Value, ApiError> {
    let with_charge = params.list("expand")?.contains(&"data.latest_charge");
    search::run(&world.intents, params, now, delay, |intent| present(world, intent, with_charge))
}
