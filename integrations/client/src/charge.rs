//! Charging a customer by a Stripe PaymentIntent.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    call::{Done, VendorCall},
    failure::{Failure, Reason, Told},
};

/// The one endpoint that a charge needs on a vault key's allowlist.
pub const ENDPOINT: &str = "POST /v1/payment_intents";

/// What is to be charged, as an activity's input says it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Charge {
    /// Stripe's id of the customer.
    pub customer: String,
    /// In the currency's smallest unit: cents for dollars. More than nothing.
    #[serde(alias = "amount_cents")]
    pub amount: u64,
    /// Three letters; `usd` by default.
    #[serde(default = "usd")]
    pub currency: String,
    /// Stripe's id of the card or account that pays; the customer's default source otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<String>,
    /// What the customer reads about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

fn usd() -> String {
    "usd".to_owned()
}

/// A customer with what is to be charged, as the engines' examples have it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Customer {
    /// Stripe's id.
    #[serde(alias = "customer")]
    pub id: String,
    /// In the currency's smallest unit.
    #[serde(alias = "amount", alias = "amountCents")]
    pub amount_cents: u64,
    /// Three letters; `usd` by default.
    #[serde(default = "usd")]
    pub currency: String,
    /// Stripe's id of the card or account that pays; the customer's default source otherwise.
    #[serde(default, alias = "paymentMethod", skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<String>,
    /// What the customer reads about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl From<Customer> for Charge {
    fn from(customer: Customer) -> Self {
        Self {
            customer: customer.id,
            amount: customer.amount_cents,
            currency: customer.currency,
            payment_method: customer.payment_method,
            description: customer.description,
        }
    }
}

/// Which item of a fan-out: its index, or another name that its retries repeat.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Item {
    /// Counted from 0.
    Index(u64),
    /// In words.
    Name(String),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => index.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A charge that was made. Small, since engines keep it for each item of a fan-out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charged {
    /// Stripe's id of the PaymentIntent.
    pub id: String,
    /// Stripe's status: `succeeded`, `processing` or `requires_capture`.
    pub status: String,
    /// In the currency's smallest unit.
    pub amount: u64,
    /// Whether an earlier attempt had made it.
    pub replayed: bool,
}

impl Charge {
    /// The request to Stripe: paid at once, without the customer.
    pub fn call(&self) -> Result<VendorCall, Failure> {
        if self.amount == 0 {
            return Err(Failure::invalid_input(
                "amount",
                "is 0; it is in the smallest unit, such as cents",
            ));
        }
        if self.customer.is_empty() {
            return Err(Failure::invalid_input("customer", "is empty"));
        }
        let mut params = Map::from_iter([
            ("amount".to_owned(), json!(self.amount)),
            ("currency".to_owned(), json!(self.currency)),
            ("customer".to_owned(), json!(self.customer)),
            ("confirm".to_owned(), json!(true)),
            ("off_session".to_owned(), json!(true)),
        ]);
        let optional =
            [("payment_method", &self.payment_method), ("description", &self.description)];
        for (name, value) in optional {
            params.extend(value.iter().map(|value| (name.to_owned(), json!(value))));
        }
        Ok(VendorCall {
            vendor: "stripe".to_owned(),
            method: "POST".to_owned(),
            path: "/v1/payment_intents".to_owned(),
            params: Some(Value::Object(params)),
            account: None,
            context: Some("step=charge".to_owned()),
        })
    }

    /// What Stripe's answer says of the charge.
    pub fn outcome(&self, done: &Done) -> Result<Charged, Failure> {
        let text = |name: &str| done.body.get(name).and_then(Value::as_str).unwrap_or_default();
        let (id, status) = (text("id").to_owned(), text("status").to_owned());
        match status.as_str() {
            "succeeded" | "processing" | "requires_capture" => {
                Ok(Charged { id, status, amount: self.amount, replayed: done.replayed })
            }
            "" => {
                let message = "Stripe's answer can't be read; the charge may have been made; ask again with the same idempotency key, never with a new one";
                let code = "unreadable_answer".to_owned();
                let call_id = done.call_id.clone();
                let told = Told { code, message: message.to_owned(), call_id, ..Told::default() };
                Err(Failure::Unknown { after: None, told: Box::new(told) })
            }
            _ => {
                let message = format!(
                    "the PaymentIntent {id} was made and is {status:?}, not paid; its amount stays committed until it is canceled"
                );
                let told = Told {
                    code: status,
                    message,
                    status: 402,
                    call_id: done.call_id.clone(),
                    vendor_object_id: Some(id),
                    prior: None,
                };
                Err(Failure::Terminal { reason: Reason::VendorDeclined, told: Box::new(told) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge() -> Charge {
        serde_json::from_value(json!({"customer": "cus_1", "amount_cents": 100})).unwrap()
    }

    fn done(body: Value) -> Done {
        Done {
            status: 200,
            body,
            call_id: Some("call_1".to_owned()),
            remaining_usd: None,
            replayed: true,
        }
    }

    #[test]
    fn a_charge_is_paid_at_once_or_reported_as_not_paid() {
        let paid = charge().outcome(&done(json!({"id": "pi_1", "status": "succeeded"}))).unwrap();
        assert_eq!((paid.id.as_str(), paid.replayed), ("pi_1", true));

        let open = charge()
            .outcome(&done(json!({"id": "pi_1", "status": "requires_action"})))
            .unwrap_err();
        assert_eq!((open.name(), open.told().code.as_str()), ("VendorDeclined", "requires_action"));
        assert_eq!(open.told().vendor_object_id.as_deref(), Some("pi_1"));

        let unreadable = charge().outcome(&done(Value::Null)).unwrap_err();
        assert_eq!(unreadable.name(), "OutcomeUnknown");
    }

    #[test]
    fn a_charge_of_nothing_or_of_nobody_is_refused_by_its_field() {
        for (charge, field) in [
            (Charge { amount: 0, ..charge() }, "amount"),
            (Charge { customer: String::new(), ..charge() }, "customer"),
        ] {
            let failure = charge.call().unwrap_err();
            assert!(failure.told().message.starts_with(field), "{failure}");
        }
    }
}
